"""test_random.py -- random bytes that are nearly requests, and what must come of them.

Scripts are pipelines of random requests (grammar.py draws them), written in any form that RESP allows, and then often
broken: bytes changed, lost and inserted, lengths made wrong, huge or negative, the end cut off. What the server has to
make of the bytes is worked out beforehand: read_request() says which requests are in them and whether the protocol is
broken, Model what each is answered and what is stored then. So every reply is compared, every broken request must get
its one error line and the close, and at the end of a round all keys, values and times to live are those of the model.

    RANDOM_SECONDS  how long (default 10)      RANDOM_SEED  default 1; a round that failed is repeated by its own, 1.17
"""
import inspect
import os
import random
import re
import sys
import time

from harness import MB, Failure, Server, check, equal, shown, test, until

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "differential"))

import newer  # noqa: E402
from grammar import MAX, MIN, Generator, integer  # noqa: E402
from newer import ERROR, option_list  # noqa: E402
from wire import end_of_reply, parse  # noqa: E402

SECONDS = float(os.environ.get("RANDOM_SECONDS", "10"))
SEED = os.environ.get("RANDOM_SEED", "1")
LINE, ARGUMENTS, BULK = 65536, 1048576, 512 * MB
KEY, VALUE = 1024, MB
SYNTAXES = [
    (4, "GET k"), (4, "SET k v"),
    (4, "SET k v [NX | XX | IFEQ v] [GET] [EX s | PX ms | EXAT at | PXAT msat | KEEPTTL]"),
    (1, "PUT k v"), (1, "SETNX k v"), (1, "SETEX k s v"), (1, "PSETEX k ms v"), (1, "GETSET k v"), (1, "GETDEL k"),
    (2, "GETEX k [EX s | PX ms | EXAT at | PXAT msat | PERSIST]"), (2, "APPEND k v"), (1, "STRLEN k"),
    (2, "GETRANGE k i i"), (1, "SUBSTR k i i"), (2, "SETRANGE k off v"), (2, "INCR k"), (1, "DECR k"),
    (1, "INCRBY k n"), (1, "DECRBY k n"), (1, "SET k n"), (2, "MGET <k>"), (2, "MSET <k v>"), (1, "MSETNX <k v>"),
    (1, "MSETEX 2 k v k v [NX | XX] [EX s | PX ms | KEEPTTL]"), (1, "DEL <k>"), (1, "UNLINK <k>"), (1, "EXISTS <k>"),
    (1, "TOUCH <k>"), (1, "TTL k"), (2, "PTTL k"), (1, "PERSIST k"), (1, "TYPE k"), (1, "DELIFEQ k v"), (1, "DELEX k"),
    (2, "EXPIRE k s [NX | XX | GT | LT]"), (2, "PEXPIRE k ms [NX | XX | GT | LT]"), (1, "ECHO v"), (1, "PING"),
    (1, "PING v"), (1, "DBSIZE"), (0.5, "NOTHING k v"), (0.2, "GETT"),
]


# ---- what requests are in some bytes ----


def strict_integer(text):
    return integer(text) if MIN <= (integer(text) or 0) <= MAX else None


def words_of(line):
    """The words of an inline request, None when its quotes are not closed."""
    words, at = [], 0
    space = b" \t\n\v\f\r"
    while True:
        while at < len(line) and line[at] in space:
            at += 1
        if at == len(line):
            return words
        word, quote = bytearray(), 0
        while at < len(line):
            c = line[at]
            if quote == 0 and c in space:
                break
            at += 1
            if quote == 0 and c in b"\"'":
                quote = c
            elif quote and c == quote:
                if at < len(line) and line[at] not in space:
                    return None
                quote = 0
                break
            elif quote == 34 and c == 92 and at < len(line):
                if re.match(rb"x[0-9a-fA-F]{2}", line[at:at + 3]):
                    word.append(int(line[at + 1:at + 3], 16))
                    at += 3
                else:
                    word += {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}.get(
                        line[at:at + 1], line[at:at + 1])
                    at += 1
            elif quote == 39 and line[at - 1:at + 1] == b"\\'":
                word += b"'"
                at += 1
            else:
                word.append(c)
        if quote:
            return None
        words.append(bytes(word))


def read_number(data, at, too_long):
    """The number of the line at `at`, behind its type byte: (number, end), an error, or None: its end is missing."""
    end = data.find(b"\r", at + 1, at + 1 + LINE)
    if end < 0:
        return too_long if len(data) - at - 1 >= LINE else None
    return None if end + 1 == len(data) else (strict_integer(data[at + 1:end]), end + 2)


def read_request(data, at):
    """The request at `at`: (words, end), what is broken as text, or None: not all is there."""
    if at == len(data):
        return None
    if data[at:at + 1] != b"*":
        end = data.find(b"\n", at, at + LINE)
        if end < 0:
            return "too big inline request" if len(data) - at >= LINE else None
        words = words_of(re.sub(rb"\r\Z", b"", data[at:end]).split(b"\0")[0])
        return "unbalanced quotes in request" if words is None else (words, end + 1)
    header = read_number(data, at, "too big mbulk count string")
    if header is None or isinstance(header, str):
        return header
    count, at = header
    if count is None or count > ARGUMENTS:
        return "invalid multibulk length"
    words = []
    for _ in range(count):
        if at == len(data):
            return None
        if data[at:at + 1] != b"$":
            if data.find(b"\r", at, at + LINE) < 0:
                return "too big bulk count string" if len(data) - at >= LINE else None
            got = data[at:at + 1].replace(b"\r", b" ").replace(b"\n", b" ").decode("latin-1")
            return "expected '$', got" if got == "\0" else f"expected '$', got '{got}'"
        header = read_number(data, at, "too big bulk count string")
        if header is None or isinstance(header, str):
            return header
        size, at = header
        if size is None or not 0 <= size <= BULK:
            return "invalid bulk length"
        if len(data) - at < size + 2:
            return None
        words.append(data[at:at + size])
        at += size + 2
    return words, at


# ---- what each is answered ----


class Near(int):
    """Milliseconds or seconds left of a time that goes on."""


class Model(newer.Model):
    """Strings with times to live; an error says that there is one, and that nothing changed."""

    KEYS = {"mget": slice(1, None), "del": slice(1, None), "unlink": slice(1, None), "exists": slice(1, None),
            "touch": slice(1, None), "mset": slice(1, None, 2), "msetnx": slice(1, None, 2), "ping": slice(0),
            "echo": slice(0), "dbsize": slice(0), "msetex": slice(2, None, 2)}
    NAMES = """append decr decrby del delex delifeq dbsize echo exists expire get getdel getex getrange getset incr
        incrby mget mset msetex msetnx persist pexpire ping psetex pttl put set setex setnx setrange strlen substr touch
        ttl type unlink""".split()

    def execute(self, words):
        name = words[0].decode("latin-1").lower()
        if name not in self.NAMES:
            return ERROR
        keys = words[self.KEYS.get(name, slice(1, 2))]
        if name == "msetex":  # where its keys end, its first word says
            keys = keys[:int(words[1])] if len(words) > 1 and words[1].isdigit() and len(words[1]) < 9 else []
        if any(len(w) > VALUE for w in words[1:]) or any(len(k) > KEY for k in keys):
            return ERROR
        handler = getattr(self, f"do_{name}", None) or getattr(self, name)
        try:
            inspect.signature(handler).bind(*words[1:])
        except TypeError:
            return ERROR  # the wrong number of words
        return handler(*words[1:])

    def value(self, key):
        return self.held.get(key, (None, 0))[0]

    def change(self, key, value):
        """Another value with the time to live that there is."""
        if len(value) > VALUE:
            return ERROR
        self.held[key] = (value, self.held.get(key, (b"", 0))[1])
        return len(value)

    def do_get(self, key):
        return self.value(key)

    def do_put(self, key, value):
        self.held[key] = (value, 0)
        return "OK"

    def do_setnx(self, key, value):
        return 0 if key in self.held else int(self.do_put(key, value) == "OK")

    def timed(self, key, unit, time_left, value):
        options = option_list([unit, time_left], (unit,))
        if options is ERROR:
            return ERROR
        self.store(key, value, options)
        return "OK"

    def do_setex(self, key, seconds, value):
        return self.timed(key, b"EX", seconds, value)

    def do_psetex(self, key, milliseconds, value):
        return self.timed(key, b"PX", milliseconds, value)

    def do_getset(self, key, value):
        old = self.value(key)
        self.held[key] = (value, 0)
        return old

    def do_getdel(self, key):
        return self.held.pop(key, (None, 0))[0]

    def do_getex(self, key, *more):
        if key not in self.held:  # nobody looks at the time then
            more = list(more)
            for i in range(1, len(more)):
                if more[i - 1].upper() in (b"EX", b"PX", b"EXAT", b"PXAT"):
                    more[i] = b"1"
        options = option_list(more, (b"EX", b"PX", b"EXAT", b"PXAT", b"PERSIST"))
        if options is ERROR or (b"PERSIST" in options and len(options) > 1):
            return ERROR
        value = self.value(key)
        if value is not None and options:
            self.store(key, value, options)
            if options.get("ms", MAX) <= time.time() * 1000:
                del self.held[key]
        return value

    def do_append(self, key, value):
        return self.change(key, (self.value(key) or b"") + value)

    def do_strlen(self, key):
        return len(self.value(key) or b"")

    def do_getrange(self, key, start, end):
        start, end = strict_integer(start), strict_integer(end)
        if start is None or end is None:
            return ERROR
        value = self.value(key) or b""
        if end < start < 0:
            return b""
        start, end = (max(0, i + len(value) if i < 0 else i) for i in (start, end))
        return value[start:end + 1]

    do_substr = do_getrange

    def do_setrange(self, key, offset, value):
        offset, old = strict_integer(offset), self.value(key) or b""
        if offset is None or offset < 0:
            return ERROR
        if not value:
            return len(old)
        if offset + len(value) > VALUE:
            return ERROR
        return self.change(key, old[:offset].ljust(offset, b"\0") + value + old[offset + len(value):])

    def add(self, key, by):
        old = strict_integer(self.held.get(key, (b"0", 0))[0])
        if old is None or by is None or not MIN <= old + by <= MAX:
            return ERROR
        self.change(key, b"%d" % (old + by))
        return old + by

    def do_incr(self, key):
        return self.add(key, 1)

    def do_decr(self, key):
        return self.add(key, -1)

    def do_incrby(self, key, by):
        return self.add(key, strict_integer(by))

    def do_decrby(self, key, by):
        by = strict_integer(by)
        return ERROR if by is None or by == MIN else self.add(key, -by)

    def do_mget(self, key, *more):
        return [self.value(k) for k in (key, *more)]

    def do_mset(self, key, value, *more):
        if len(more) % 2:
            return ERROR
        for k, v in zip((key, *more[::2]), (value, *more[1::2])):
            self.held[k] = (v, 0)
        return "OK"

    def do_msetnx(self, key, value, *more):
        if len(more) % 2:
            return ERROR
        return 0 if any(k in self.held for k in (key, *more[::2])) else int(self.do_mset(key, value, *more) == "OK")

    def do_del(self, key, *more):
        return self.del_(key, *more)

    do_unlink = do_del

    def do_exists(self, key, *more):
        return sum(k in self.held for k in (key, *more))

    do_touch = do_exists

    def left(self, key):
        deadline = self.held.get(key, (b"", 0))[1]
        return deadline - int(time.time() * 1000) if deadline else -1 if key in self.held else -2

    def do_pttl(self, key):
        left = self.left(key)
        return Near(left) if left > 0 else left

    def do_ttl(self, key):
        left = self.left(key)
        return Near((left + 500) // 1000) if left > 0 else left

    def until(self, key, left, flags):
        """EXPIRE, in milliseconds; None: that is no time."""
        flags = [f.upper() for f in flags]
        now = int(time.time() * 1000)
        if left is None or not MIN <= left <= MAX - now or set(flags) - {b"NX", b"XX", b"GT", b"LT"}:
            return ERROR
        if (b"NX" in flags and len(set(flags)) > 1) or {b"GT", b"LT"} <= set(flags):
            return ERROR
        if key not in self.held:
            return 0
        value, old = self.held[key]
        new = now + left
        if (b"NX" in flags and old) or (b"XX" in flags and not old) or (b"GT" in flags and (not old or new <= old)) or (
                b"LT" in flags and old and new >= old):
            return 0
        self.held[key] = (value, new)
        if left <= 0:
            del self.held[key]
        return 1

    def do_expire(self, key, seconds, *flags):
        seconds = strict_integer(seconds)
        return self.until(key, None if seconds is None else seconds * 1000, flags)

    def do_pexpire(self, key, milliseconds, *flags):
        return self.until(key, strict_integer(milliseconds), flags)

    def do_type(self, key):
        return "string" if key in self.held else "none"

    def do_echo(self, message):
        return message

    def do_ping(self, *message):
        return ERROR if len(message) > 1 else message[0] if message else "PONG"

    def do_dbsize(self):
        return len(self.held)


def agrees(node, want):
    """Whether a parsed reply is what the model says."""
    kind, value = node
    if want is ERROR:
        return kind == b"-" and not value.startswith(b"ERR Protocol error")
    if isinstance(want, str):
        return kind == b"+" and value == want.encode()
    if isinstance(want, Near):
        return kind == b":" and abs(value - want) <= 15000
    if isinstance(want, int):
        return kind == b":" and value == want
    if isinstance(want, list):
        return kind == b"*" and len(value) == len(want) and all(map(agrees, value, want))
    return value is None or kind == b"_" if want is None else kind == b"$" and value == want


# ---- scripts ----


class Writer:
    """Draws requests, writes them in some form, and breaks them."""

    def __init__(self, rng, known):
        self.rng, self.known = rng, known
        self.draw = Generator(rng, keys=6)
        self.weights, self.syntaxes = zip(*SYNTAXES)

    def words(self):
        words = self.draw.request(self.rng.choices(self.syntaxes, self.weights)[0], wrong=0.15)
        if self.rng.random() < 0.01:
            words[self.rng.randrange(len(words))] = b"long" * (self.rng.choice((KEY, VALUE)) // 4) + self.rng.choice(
                (b"", b"x"))
        return words

    def written(self, words):
        """As Redis reads it: the bytes behind a '\\r', and those behind a string, may be any."""
        rng, kind = self.rng, self.rng.random()
        if kind < 0.12 and sum(map(len, words)) < 1000:
            def quoted(word):
                if word and re.fullmatch(rb"[!#-&(-~]+", word) and word[0] != 42 and rng.random() < 0.7:
                    return word
                if rng.random() < 0.3 and b"\\" not in word and b"\n" not in word and b"\0" not in word:
                    return b"'%s'" % word.replace(b"'", b"\\'")
                return b'"%s"' % b"".join(b"\\x%02x" % c if not 32 <= c <= 126 or c in b'"\\' or rng.random() < 0.05
                                          else bytes((c,)) for c in word)
            return rng.choice((b" ", b"\t", b"  ")).join(map(quoted, words)) + rng.choice((b"\r\n", b"\n", b" \r\n"))
        ends = (b"\r\n",) if kind < 0.9 else (b"\r\n", b"\r\r", b"\rx", b"\r\0")
        parts = [b"*%d%s" % (len(words), rng.choice(ends))]
        for word in words:
            parts += (b"$%d%s" % (len(word), rng.choice(ends)), word,
                      b"\r\n" if kind < 0.9 else rng.choice((b"\r\n", b"ab", b"\0\0")))
        return b"".join(parts)

    def number(self, n):
        return self.rng.choice((b"%d" % (n + 1), b"%d" % (n - 1), b"%d" % (n * 10), b"-%d" % n, b"-1", b"0", b"0%d" % n,
                                b"+%d" % n, b" %d" % n, b"%dx" % n, b"", b"1048576", b"1048577", b"536870912",
                                b"536870913", b"2147483648", b"4294967297", b"9223372036854775807",
                                b"9223372036854775808", b"18446744073709551616", b"9" * 70, b"1e3", b"0x10", b"\xff"))

    def broken(self, data):
        rng, data = self.rng, bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            kind, at = rng.randrange(8), rng.randrange(len(data) + 1)
            headers = list(re.finditer(rb"[*$](\d{1,20})\r", data))
            if kind == 0 and at < len(data):
                data[at] = rng.choice((rng.randrange(256), *b"\r\n$*:+-_ \"'\0019"))
            elif kind == 1:
                del data[at:at + rng.choice((1, 1, 2, 10))]
            elif kind == 2:
                data[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 5)), *b"\r\n \r \n $ * \0 \"".split(b" ")))
            elif kind == 3:
                data[at:at] = data[rng.randrange(len(data) + 1):][:rng.randrange(1, 200)]
            elif kind in (4, 5, 6) and headers:
                header = rng.choice(headers)
                if kind == 6:
                    data[header.start()] = rng.choice(b"*$:+-%~_x\r\n\0")
                else:
                    data[header.start(1):header.end(1)] = self.number(int(header.group(1)))
            else:
                data[at:] = rng.choice((b"", b"x" * 66000, b"*" + b"1" * 66000, b"*1\r\n$" + b"1" * 66000,
                                        b"\0" * 66000, b"GET 'a'b\r\n", b'GET "a\r\n'))
        return bytes(data)

    def script(self):
        """Bytes to send, the requests in them, and how they end: "" all of it is requests, None with a piece of one, or
        the error."""
        while True:
            before = (b"", b"", b"", b"\r\n", b"*0\r\n", b"*-1\r\n")
            data = b"".join(self.rng.choice(before) + self.written(self.words())
                            for _ in range(self.rng.choice((1, 2, 5, 20, 60))))
            kind = self.rng.random()
            if kind < 0.6:
                data = self.broken(data)
            if kind > 0.9:
                data = data[:self.rng.randrange(len(data) + 1)]
            requests, at = [], 0
            while True:
                read = read_request(data, at)
                if read is None or isinstance(read, str):
                    break
                requests.append(read[0])
                at = read[1]
            requests = [words for words in requests if words]
            if all(map(self.is_modelled, requests)):
                return data, requests, "" if at == len(data) else read

    def is_modelled(self, words):
        """Not so are other commands that a change of bytes may lead to, and what would end while the test runs."""
        name = words[0].decode("latin-1").lower()
        return (name in Model.NAMES or name not in self.known) and not self.draw.ends_soon(words)


# ---- a round ----


def send_cut(c, other, data, rng):
    """In one piece, a few, or byte by byte; between pieces another connection is answered, so the server has read."""
    kind = rng.random()
    if kind < 0.5 or len(data) > 100000:
        cuts = []
    elif kind < 0.6 and len(data) < 300:
        cuts = range(1, len(data))
    else:
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 2, 5))))
    last = 0
    for cut in (*cuts, len(data)):
        try:
            c.send(data[last:cut])
        except (BrokenPipeError, ConnectionResetError):
            return  # the error was found in what was sent before; whether it was is seen below
        last = cut
        if cuts and rng.random() < 0.5:
            equal(str(other.ask("PING")), "PONG")


def received(c):
    try:
        return c.fill()
    except ConnectionResetError:
        raise Failure("the connection was reset: what was sent before that may be lost") from None


def play(c, other, writer, model, counts):
    """One script on one connection, which is at its end unless True is returned."""
    data, requests, end = writer.script()
    wanted = [model.execute(words) for words in requests]
    try:
        send_cut(c, other, data, writer.rng)
        at = 0
        for i, (words, want) in enumerate(zip(requests, wanted)):
            while (behind := end_of_reply(c.buffer, at) if at < len(c.buffer) else -1) < 0:
                received(c)
            got = parse(bytes(c.buffer[at:behind]))
            check(agrees(got, want), f"request {i}, {shown(words)}, got {shown(got)}, not "
                                     f"{'an error' if want is ERROR else shown(want)}")
            at = behind
            counts["requests"] += 1
            counts["refused"] += want is ERROR
        c.at = at
        if end == "":
            equal(c.answer(b""), b"", "behind all replies")
            c.buffer, c.at = bytearray(), 0
            return True
        if end is None:
            counts["cut"] += 1
            c.half_close()
            equal(c.rest(), b"", "for a piece of a request")
        else:
            counts["broken"] += 1
            equal(c.rest(), f"-ERR Protocol error: {end}\r\n".encode("latin-1"), "for what is broken")
        return False
    except (Failure, OSError) as e:
        raise Failure(f"{e}\nafter {len(requests)} requests, then {end!r}, in these bytes:\n{data[:3000]!r}") from None


def play_round(server, seed, other, known, counts):
    rng = random.Random(seed)
    writer, model = Writer(rng, known), Model()
    other.ask("FLUSHALL")
    c, began = None, time.monotonic()
    for _ in range(150):
        if c is None:
            c = server.connect()
            if rng.random() < 0.5:
                c.ask("HELLO", "3")
                c.buffer, c.at = bytearray(), 0
            counts["connections"] += 1
        if not play(c, other, writer, model, counts) or rng.random() < 0.1:
            c.close()
            c = None
        if time.monotonic() - began > 40:  # what has a time to live has one of 100 s at least
            break
    if c:
        c.close()
    equal(sorted(other.ask("KEYS", "*")), sorted(model.held), "the keys at the end")
    for key, (value, _) in model.held.items():
        equal(other.ask("GET", key), value, f"the value of {key!r} at the end")
        left = other.ask("PTTL", key)
        check(agrees((b":", left), model.do_pttl(key)), f"the time to live of {key!r} at the end is {left}")
    equal(other.ask("DBSIZE"), len(model.held))


@test(seconds=SECONDS + 60)
def nearly_requests():
    """Random bytes that are nearly requests: each reply, each protocol error, and all keys are those of a model."""
    counts = dict.fromkeys(("rounds", "connections", "requests", "refused", "broken", "cut"), 0)
    deadline = time.monotonic() + SECONDS
    with Server("--threads", "2", "--maxmemory", "512mb") as server, server.connect() as other:
        known = {name.decode() for name in other.ask("COMMAND", "LIST")}
        while time.monotonic() < deadline:
            seed = SEED if "." in SEED else f"{SEED}.{counts['rounds']}"
            try:
                play_round(server, seed, other, known, counts)
            except Failure as e:
                raise Failure(f"the round RANDOM_SEED={seed}: {e}") from None
            counts["rounds"] += 1
        until(lambda: other.info()["connected_clients"] == "1", 10, "all others are gone")
        equal(other.info()["mem_clients_normal"], "0")
    print(f"# RANDOM_SEED={SEED}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))


@test
def seeds():
    """Two servers keep the same keys in another order: the seed of their hash is not the same."""
    orders = []
    for _ in range(2):
        with Server() as server, server.connect() as c:
            c.ask("MSET", *(word for i in range(1000) for word in (f"key:{i}", "v")))
            orders.append(c.ask("KEYS", "*"))
    equal(sorted(orders[0]), sorted(orders[1]))
    check(orders[0] != orders[1], "the order of the keys tells that the seed is the same")
