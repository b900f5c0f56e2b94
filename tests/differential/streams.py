"""streams.py -- what is sent: streams of requests by kind, each from its seed; and how one is run on both servers.

A stream is a list of steps. Steps of one connection that follow each other go out in pieces of random size; before
another connection has its turn, all replies are there. So the order is the same on both servers.

    ask    words; one reply                       mute   words; no reply (CLIENT REPLY OFF and SKIP)
    scan   words of a SCAN; followed by its cursor to the end, the keys compared as a set
    gone   database and key; asked until both servers say that the key's time is over
    bytes  raw bytes, the sending side closed; everything up to the close is one reply

True    the same seed makes the same stream.
"""
import random
import time
from collections import namedtuple

import grammar
from compare import Late, is_error, name_of, same, shown
from differences import FLUSHES_ABORT_ALL, NOT_IN_MULTI, NOT_STORED_BESIDE_MULTI
from grammar import Generator
from wire import Broken, Closed, Connection, Silent, end_of_reply, parse, request

Step = namedtuple("Step", "kind connection words")
Difference = namedtuple("Difference", "at what ours theirs")
PIECE_BYTES = 200000
NOT_NAMES = ("raw bytes", "SCAN, to its end")  # what is counted beside commands
FLUSHES = ("FLUSHALL", "FLUSHDB", "SWAPDB")
BOUNDARIES = (b"MULTI", b"EXEC", b"DISCARD", b"RESET")


# ---- making ----


class Stream:
    """Collects steps. `supported` are the commands that both servers have, `missing` those that only Redis has."""

    def __init__(self, seed, supported, missing, databases, keys=8, connections=3):
        self.rng = random.Random(seed)
        self.draw = Generator(self.rng, keys, databases)
        self.supported, self.missing = supported, missing
        self.connections = connections
        self.connection = 0
        self.steps = []
        self.tables = {}
        self.in_multi, self.watching, self.flushing = set(), set(), set()  # connections
        for connection in range(connections):
            if self.rng.random() < 0.4:
                self.ask(b"HELLO", b"3", connection=connection)

    def ask(self, *words, connection=None, kind="ask"):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        step = Step(kind, self.connection if connection is None else connection, words)
        if kind == "ask" and step.connection in self.in_multi and name_of(words) in NOT_IN_MULTI:
            if self.rng.random() < 0.9:  # Redis would go on, and that would be the end of the comparison
                return
            self.steps.append(step)
            step = Step(kind, step.connection, [b"DISCARD"])
        if FLUSHES_ABORT_ALL and name_of(words) in FLUSHES and self.watching:
            return
        if FLUSHES_ABORT_ALL and name_of(words) == "WATCH" and self.flushing:
            return
        self.steps.append(step)
        self.follow(step)

    def follow(self, step):
        """Keeps in mind who is in a transaction, who watches keys, and who will flush them."""
        name, me, alone = step.words[0].upper(), step.connection, len(step.words) == 1
        if name == b"WATCH":
            self.watching.add(me)
        elif name.decode("latin-1") in FLUSHES and me in self.in_multi:
            self.flushing.add(me)
        elif step.kind == "ask" and name == b"MULTI" and alone:
            self.in_multi.add(me)
        elif step.kind == "bytes" or name == b"EXEC" or (name in (b"DISCARD", b"RESET") and alone):
            if step.kind == "bytes" or name == b"RESET" or me in self.in_multi:
                self.watching.discard(me)
            self.in_multi.discard(me)
            self.flushing.discard(me)

    def has(self, syntax):
        """Whether both servers have the command, and its subcommand unless neither has that."""
        words = syntax.upper().split()
        if self.draw.databases == 1 and (words[0] == "SELECT" or " DB" in syntax.upper()):
            return False
        return words[0] in self.supported and " ".join(words[:2]) not in self.missing

    def one_of(self, table):
        """A request from a table of (weight, syntax)."""
        if id(table) not in self.tables:
            rows = [row for row in table if self.has(row[1])]
            total, sums = 0, []
            for weight, _ in rows:
                total += weight
                sums.append(total)
            self.tables[id(table)] = ([syntax for _, syntax in rows], sums)
        syntaxes, sums = self.tables[id(table)]
        return self.draw.request(self.rng.choices(syntaxes, cum_weights=sums)[0])

    def turn(self, chance=0.05):
        if self.rng.random() < chance:
            self.connection = self.rng.randrange(self.connections)


def of_table(table, scans=False):
    def make(stream, length):
        for _ in range(length):
            stream.turn()
            stream.ask(*stream.one_of(table))
            if scans and stream.rng.random() < 0.01:
                stream.ask(*stream.draw.request("SCAN 0 [MATCH pat] [COUNT cnt] [TYPE (STRING | LIST)]", 0),
                           kind="scan")
    return make


def plain_floats(stream):
    stream.draw.floats = [f for f in grammar.FLOATS if f not in NOT_STORED_BESIDE_MULTI]


def make_ending(stream, length):
    """Keys whose time ends: set to end, seen to have ended, then used."""
    rng, draw = stream.rng, stream.draw
    plain_floats(stream)
    ways = ["SET k v PX 1", "SET k v PXAT 1", "SET k v EXAT 1", "PSETEX k 1 v", "PEXPIRE k 1", "PEXPIREAT k 1",
            "EXPIRE k -1", "GETEX k PX 1", "PEXPIRE k 1 XX", "SET k v GET PX 1", "PEXPIRE k 1 LT", "EXPIREAT k 1000",
            "GETEX k EXAT 1", "PEXPIRE k 0", "EXPIRE k -100 GT", "EXPIRE k -100 LT", f"PEXPIRE k {grammar.MIN}"]
    ways = [way for way in ways if stream.has(way)]
    table = [row for row in grammar.STRINGS + grammar.LIFETIMES + grammar.KEYSPACE + grammar.NUMBERS
             if "DBSIZE" not in row[1] and "FLUSH" not in row[1] and "OBJECT" not in row[1]]
    while len(stream.steps) < length:
        stream.turn(0.2)
        key = draw.k()
        if rng.random() < 0.6:
            stream.ask("SET", key, draw.v())
        watched = "WATCH" in stream.supported and rng.random() < 0.3
        if watched:
            stream.ask("WATCH", key)
        words = [{"k": key, "v": draw.v()}.get(word, word.encode()) for word in rng.choice(ways).split()]
        other = rng.randrange(stream.connections) if watched else stream.connection
        stream.ask(*words, connection=other)
        if words[0] in (b"SET", b"PSETEX") or words[-1] == b"1" or words[0] == b"PEXPIRE":
            stream.ask(b"0", key, kind="gone")
        if watched:
            if rng.random() < 0.3:
                stream.ask(*stream.one_of(table), connection=other)
            stream.ask("MULTI")
            stream.ask(*stream.one_of(table))
            stream.ask("EXEC")
        for _ in range(rng.randrange(6)):
            stream.ask(*stream.one_of(table))


def make_transactions(stream, length):
    rng = stream.rng
    plain_floats(stream)
    inner = grammar.EVERY + [(3, "SELECT db"), (4, "PING"), (2, "ECHO v"), (1, "HELLO (2 | 3)"), (1, "CLIENT ID"),
                             (2, "INCR k"), (1, "TIME"), (1, "WAIT 0 0"), (0.5, "RESET"), (0.5, "CLIENT SETNAME name"),
                             (0.5, "FOO v"), (1, "CLIENT GETNAME"), (1, "CLIENT INFO"), (1, "AUTH v"),
                             (0.5, "ROLE")]
    supported, stream.supported = stream.supported, stream.supported | {"FOO"}
    while len(stream.steps) < length:
        stream.turn(0.5)
        me = stream.connection
        others = [c for c in range(stream.connections) if c != me]
        for _ in range(rng.choice((0, 0, 1, 2))):
            stream.ask(*stream.one_of(inner))
        if rng.random() < 0.6:
            for _ in range(rng.choice((1, 1, 2))):
                stream.ask(*stream.draw.request("WATCH <k>", 0.05))
            for _ in range(rng.choice((0, 0, 1, 2))):
                stream.ask(*stream.one_of(inner), connection=rng.choice(others + [me]))
            if rng.random() < 0.1:
                stream.ask(*stream.draw.request("UNWATCH"))
        if rng.random() < 0.92:
            stream.ask(*stream.draw.request("MULTI", 0.03))
        for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 10))):
            kind = rng.random()
            if kind < 0.04:
                stream.ask(*stream.one_of(grammar.TRANSACTION))
            elif kind < 0.94:
                words = stream.draw.request("GET k", 0) if kind < 0.06 else stream.one_of(inner)
                stream.ask(*words)
            else:
                stream.ask(*stream.one_of(inner), connection=rng.choice(others))
        if rng.random() < 0.97:
            stream.ask(*stream.draw.request(rng.choice(("EXEC", "EXEC", "EXEC", "EXEC", "DISCARD")), 0.03))
    for connection in range(stream.connections):
        stream.ask("EXEC", connection=connection)
    stream.supported = supported


def make_connection(stream, length):
    rng, draw = stream.rng, stream.draw
    for _ in range(length):
        stream.turn(0.1)
        kind = rng.random()
        if kind < 0.02 and "CLIENT REPLY" in stream.supported:
            off = rng.random() < 0.6
            stream.ask("CLIENT", "REPLY", draw.cased(b"OFF" if off else b"SKIP"), kind="mute")
            for _ in range(rng.randrange(1, 6) if off else 1):
                stream.ask(*draw.request("(SET k v | INCR k | GET k | NOTHING | DEL | PING)", 0), kind="mute")
            if off:
                stream.ask("CLIENT", "REPLY", "ON")
        elif kind < 0.05:
            tail = request([b"SET", draw.k(), b"after QUIT"])
            stream.ask(request([draw.cased(b"QUIT")]) + (tail if rng.random() < 0.7 else b""), kind="bytes")
        elif kind < 0.25 and rng.random() < 0.5:
            line = rng.choice(grammar.EXACT)
            if stream.has(line):
                stream.ask(*line.split(" "))
        else:
            stream.ask(*stream.one_of(grammar.CONNECTION))


def make_exact(stream, length):
    """Each of the written requests, in a random order."""
    rng = stream.rng
    stream.ask("MSET", "a", "1", "b", "two")
    lines = [line for line in grammar.EXACT if stream.has(line)]
    rng.shuffle(lines)
    for line in lines[:length]:
        if rng.random() < 0.1:
            stream.ask("SET", "a", rng.choice(("1", "text")))
        stream.ask(*line.split(" "))


def make_wrong(stream, length):
    """Names with any number of any words, and names that are none."""
    rng, draw = stream.rng, stream.draw
    names = [name for name in grammar.ANY_ARITY if name in stream.supported]
    for _ in range(length):
        stream.turn()
        if rng.random() < 0.1:
            words = [rng.choice(grammar.UNKNOWN)] + [draw.v()[:300] for _ in range(rng.choice((0, 1, 2, 5, 20)))]
        else:
            while True:
                words = [draw.cased(rng.choice(names).encode())]
                words += [draw.word() for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 7)))]
                if not Generator.ends_soon(words) and not grammar.hello_of_70(words):
                    break
        stream.ask(*words)


def make_password(stream, length):
    """On servers that want a password."""
    rng = stream.rng
    table = [(3, "AUTH secret"), (2, "AUTH user secret"), (2, "AUTH v"), (1, "AUTH word secret"), (1, "AUTH user v"),
             (2, "HELLO (2 | 3) AUTH user secret [SETNAME name]"), (1, "HELLO (2 | 3) AUTH user v"),
             (1, "HELLO (2 | 3)"), (1, "HELLO"), (1, "HELLO 4"), (5, "RESET"), (2, "PING"), (2, "GET k"),
             (2, "SET k v"), (1, "MULTI"), (1, "EXEC"), (1, "WATCH k"), (1, "FOO v"), (1, "GET"), (1, "CLIENT ID"),
             (1, "CLIENT word"), (1, "SELECT db"), (1, "COMMAND COUNT"), (1, "TIME"), (1, "ECHO v"),
             (1, "CLIENT REPLY word"), (1, "DISCARD"), (1, "CONFIG GET TIMEOUT"), (1, "CONFIG GET REQUIREPASS"),
             (1, "OBJECT word"), (1, "CLIENT SETNAME name"), (1, "CLIENT GETNAME")]
    stream.supported = stream.supported | {"FOO"}
    for _ in range(length):
        stream.turn()
        if rng.random() < 0.02:
            stream.ask(request([b"QUIT"]), kind="bytes")
        else:
            stream.ask(*stream.one_of(table))


def make_config(stream, length):
    """Options are set, and set back."""
    rng = stream.rng
    values = {"timeout": ("0", "50", "1000", "abc", "-1", ""), "tcp-keepalive": ("0", "60", "300", "abc"),
              "maxclients": ("1000", "9000", "0", "x"), "loglevel": ("notice", "warning", "loud", "NOTICE"),
              "requirepass": ("", "word", "other"), "nothing": ("1",)}
    for _ in range(length):
        stream.turn(0.1)
        kind = rng.random()
        names = rng.choices(list(values), k=rng.choice((1, 1, 1, 2, 3)))
        if kind < 0.4:
            words = [w for n in names for w in (stream.draw.cased(n.upper().encode()), rng.choice(values[n]))]
            stream.ask("CONFIG", "SET", *words)
        elif kind < 0.7:
            stream.ask("CONFIG", "GET", *names)
        elif kind < 0.8:
            stream.ask("AUTH", rng.choice(values["requirepass"]))
        elif kind < 0.85:
            stream.ask("RESET")
        elif kind < 0.9:
            stream.ask(request([b"GET", b"k"]), kind="bytes")
        else:
            stream.ask(*stream.draw.request(rng.choice(("GET k", "SET k v", "PING", "HELLO 3", "MULTI", "EXEC"))))
    for word in ("word", "other"):
        stream.ask("AUTH", word, connection=9)
    stream.ask("CONFIG", "SET", "timeout", "0", "tcp-keepalive", "300", "maxclients", "10000", "loglevel", "notice",
               "requirepass", "", connection=9)


def make_protocol(stream, length):
    """Bytes that are not always requests; each on a connection of its own."""
    rng, draw = stream.rng, stream.draw
    inline = ["PING", "ping", "SET k v", "GET k", "  GET   k  ", "SET k 'a b'", 'SET k "a b"',
              'SET k "\\x41\\n\\t\\a\\q\\""', "SET k 'it\\'s'", "SET k \"open", "SET k 'open", 'SET k "a"b',
              "SET k 'a'b", "", " ", "\t", "GET\tk", "EXISTS k k", "ECHO \"\"", "ECHO ''", 'ECHO "\\x4"',
              'ECHO "\\xzz"', "FOO bar baz", "POST /", "Host: x", "post x", "ECHO a\"b\"", "MULTI", "EXEC",
              "ECHO \xff", "ECHO 'a' \"b\"", "MGET k 'k' \"k\"", "GET k\r", "INCR n", "*", "*\t"]
    inline = [line for line in inline if line.split(" ")[0] not in ("MULTI", "EXEC") or "MULTI" in stream.supported]
    broken = [b"*-1\r\n", b"*0\r\n", b"*abc\r\n", b"*1048577\r\n", b"*2147483648\r\n", b"*-2\r\n", b"*1\r\n:5\r\n",
              b"*1\r\nPING\r\n", b"*1\r\n$abc\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$536870913\r\n",
              b"*1\r\n$99999999999999999999\r\n", b"*\r\n", b"*1\r\n$\r\n", b"*1\r\n\r\n", b"*01\r\n$4\r\nPING\r\n",
              b"* 1\r\n$4\r\nPING\r\n", b"*1 \r\n$4\r\nPING\r\n", b"*+1\r\n$4\r\nPING\r\n", b"*1\r\n$04\r\nPING\r\n",
              b"*1\r\n$0\r\n\r\n", b"*1\r\n$+4\r\nPING\r\n", b"\r\n", b"\n", b"\r\n\r\n", b"*1\r\n$4\r\nPINGxx",
              b"*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n", b"$4\r\nPING\r\n", b"+OK\r\n", b":1\r\n", b"-ERR\r\n",
              b"%1\r\n", b"*1\n$4\nPING\n", b"\xff\xfe\r\n", b"*1\r\n*1\r\n$4\r\nPING\r\n",
              b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-5\r\n"]
    unended = [b"*1\r\n$4\r\nPIN", b"*2\r\n$4\r\nECHO\r\n", b"PING", b"*", b"x" * 70000, b"*" + b"1" * 70000,
               b"*1\r\n$" + b"1" * 70000]
    for _ in range(max(1, length // 8)):
        parts = []
        for _ in range(rng.choice((1, 1, 2, 3, 4))):
            kind = rng.random()
            if kind < 0.5:
                parts.append(rng.choice(inline).encode("latin-1") + rng.choice((b"\r\n", b"\r\n", b"\n")))
            elif kind < 0.75:
                parts.append(request(draw.request(rng.choice(("SET k v", "GET k", "PING", "MGET <k>", "ECHO v")), 0.2)))
            else:
                parts.append(rng.choice(broken))
        if rng.random() < 0.1:
            parts.append(rng.choice(unended))
        stream.connection = rng.randrange(stream.connections)
        stream.ask(b"".join(parts), kind="bytes")
        if rng.random() < 0.3:
            stream.ask("GET", "k")


def make_mixed(stream, length):
    tables = [grammar.STRINGS, grammar.NUMBERS, grammar.LIFETIMES, grammar.KEYSPACE, grammar.DATABASES,
              grammar.CONNECTION]
    weights = [8, 5, 5, 5, 4, 3]
    if "MULTI" in stream.supported:
        plain_floats(stream)
        tables.append(grammar.TRANSACTION)
        weights.append(2)
    for _ in range(length):
        stream.turn(0.1)
        stream.ask(*stream.one_of(stream.rng.choices(tables, weights)[0]))


# ---- running ----


class Side:
    """One server, as a stream sees it: connections by number, and one for looking on."""

    def __init__(self, port, password=""):
        self.port = port
        self.password = password
        self.control = Connection(port)
        if password:
            self.control.ask("AUTH", password)
        self.connections = {}

    def connection(self, number):
        if number not in self.connections:
            self.connections[number] = Connection(self.port)
        return self.connections[number]

    def forget(self, number):
        if number in self.connections:
            self.connections.pop(number).close()

    def fresh(self):
        """Nothing is stored, and nobody is connected."""
        for number in list(self.connections):
            self.forget(number)
        self.control.ask("FLUSHALL")

    def close(self):
        self.fresh()
        self.control.close()


class Run:
    """One run of one stream. `mangle` changes our replies, to see whether that is noticed."""

    def __init__(self, ours, theirs, steps, seed, counts, excused, databases=16, has_object=True, sizes=True,
                 mangle=None):
        self.ours, self.theirs = ours, theirs
        self.steps = steps
        self.rng = random.Random(f"pieces of {seed}")
        self.counts, self.excused = counts, excused
        self.databases, self.has_object, self.sizes = databases, has_object, sizes
        self.mangle = mangle
        self.queued = {}
        self.differences = []

    def run(self):
        Late.seconds = 0.0
        self.ours.fresh()
        self.theirs.fresh()
        at = 0
        try:
            while at < len(self.steps) and not self.is_over():
                at = self.piece(at)
            if not self.is_over():
                self.compare_end()
        except (Closed, Silent, Broken) as e:
            self.differ(at, f"{type(e).__name__}: {e}", b"", b"")
        return self.differences

    def is_over(self):
        """After a difference that is not just an error's text, the states may differ too."""
        return any(not d.ours[:5] == d.theirs[:5] == b"-ERR " for d in self.differences) or len(self.differences) > 20

    def differ(self, at, what, ours, theirs):
        self.differences.append(Difference(at, what, ours, theirs))

    def piece(self, at):
        """Sends some steps and compares their replies; returns where to go on."""
        first = self.steps[at]
        if first.kind == "scan":
            self.scan(at)
            return at + 1
        if first.kind == "gone":
            self.wait_until_gone(at)
            return at + 1
        if first.kind == "bytes":
            self.bytes(at)
            return at + 1
        # Redis closes those who have not said the password and do not read at once what is more than 1 KB
        end, most, size, data = at, self.rng.choice((1, 2, 4) if self.ours.password else (1, 2, 5, 20, 100, 200)), 0, []
        while end < len(self.steps) and end - at < most and size < PIECE_BYTES:
            step = self.steps[end]
            if step.connection != first.connection or step.kind not in ("ask", "mute"):
                break
            data.append(request(step.words))
            size += len(data[-1])
            end += 1
        steps = self.steps[at:end]
        data = b"".join(data)
        expected = sum(step.kind == "ask" for step in steps)
        ours, theirs = self.both(at, steps, data, first.connection, expected)
        replies = iter(zip(ours, theirs))
        for i, step in enumerate(steps):
            if step.kind == "ask":
                pair = next(replies, None)
                if pair is None:
                    break
                self.compare(at + i, step, *pair)
            self.counts[name_of(step.words)] += 1
        return end

    def both(self, at, steps, data, number, expected):
        sides = [side.connection(number) for side in (self.ours, self.theirs)]
        cut = self.rng.randrange(len(data)) if self.rng.random() < 0.1 else 0  # a request may come in two parts
        began = time.monotonic()
        for part in (data[:cut], data[cut:]):
            for c in sides:
                c.send(part)
        replies, failed = [], []
        for c in sides:
            try:
                replies.append(c.replies(expected))
                failed.append(b"")
            except (Closed, Silent, Broken) as e:
                replies.append(self.some(c.data))
                failed.append(f"{type(e).__name__}: {e}".encode())
            if c.data and not failed[-1]:
                failed[-1] = b"more than was asked for: " + c.data[:100]
        Late.seconds = max(Late.seconds, time.monotonic() - began)
        if failed[0] or failed[1]:
            asked = [i for i, step in enumerate(steps) if step.kind == "ask"]
            i = asked[min(len(replies[0]), len(replies[1]), len(asked) - 1)] if asked else 0
            self.differ(at + i, "the connection", *failed)
        if self.mangle:
            replies[0] = self.mangle(replies[0])
            if len(replies[0]) != len(replies[1]):
                self.differ(at, "another number of replies", b"%d" % len(replies[0]), b"%d" % len(replies[1]))
        return replies

    @staticmethod
    def some(data):
        """The replies that are there."""
        found, at = [], 0
        while at < len(data):
            try:
                end = end_of_reply(data, at)
            except Broken:
                break
            if end < 0:
                break
            found.append(data[at:end])
            at = end
        return found

    def compare(self, at, step, ours, theirs):
        name = step.words[0].upper()
        queued = self.queued.setdefault(step.connection, [])
        if not same(step.words, ours, theirs, queued, self.excused):
            self.differ(at, "the reply", ours, theirs)
        if theirs == b"+QUEUED\r\n":
            queued.append(step.words)
        elif theirs.startswith(b"-EXECABORT") or (name in BOUNDARIES and theirs[:1] != b"-"):
            queued.clear()

    def bytes(self, at):
        step = self.steps[at]
        answers = []
        for side in (self.ours, self.theirs):
            side.forget(step.connection)
        for side in (self.ours, self.theirs):
            c = side.connection(step.connection)
            if side.password:
                c.ask("AUTH", side.password)
            c.send(step.words[0])
            try:
                c.socket.shutdown(1)
            except OSError:
                pass
            answers.append(c.rest())
            side.forget(step.connection)
        self.queued[step.connection] = []
        self.counts[NOT_NAMES[0]] += 1
        if not same([b"RAW", step.words[0]], *answers, [], self.excused):
            self.differ(at, "the bytes up to the close", *answers)

    def scan(self, at):
        step = self.steps[at]
        found = []
        for side in (self.ours, self.theirs):
            c, keys, cursor, turns = side.connection(step.connection), set(), b"0", 0
            pattern = dict(zip(map(bytes.upper, step.words[2::2]), step.words[3::2])).get(b"MATCH", b"*")
            ignored = set() if pattern == b"*" else {b""}  # as compare.keys()
            while True:
                c.send(request([step.words[0], cursor, *step.words[2:]]))
                raw = c.replies(1)[0]
                reply = parse(raw)
                if is_error(reply) or reply[0] != b"*":
                    keys = raw
                    break
                cursor = reply[1][0][1]
                keys |= {key[1] for key in reply[1][1][1]} - ignored
                turns += 1
                if cursor == b"0":
                    break
                if turns > 10000:
                    raise Silent("SCAN comes to no end")
            found.append(keys)
        self.counts[NOT_NAMES[1]] += 1
        if found[0] == b"+QUEUED\r\n" and found[1] == found[0]:
            self.queued.setdefault(step.connection, []).append(step.words)
        if found[0] != found[1]:
            told = [f if isinstance(f, bytes) else repr(sorted(f)).encode() for f in found]
            self.differ(at, "the keys of a whole SCAN", *told)

    def wait_until_gone(self, at):
        database, key = self.steps[at].words
        deadline = time.monotonic() + 60
        while True:
            replies = []
            for side in (self.ours, self.theirs):
                replies.append(side.control.pipeline([[b"SELECT", database], [b"PTTL", key]])[1])
            if replies == [b":-2\r\n", b":-2\r\n"]:
                return
            if time.monotonic() > deadline or b":-1\r\n" in replies:
                break
            if any(int(r[1:]) > 1000 for r in replies):
                break  # it was not set to end at all: the same on both?
        if replies[0] != replies[1] and (min(int(r[1:]) for r in replies) < 0):
            self.differ(at, "whether the key is gone", *replies)

    def compare_end(self):
        """Everything that is stored."""
        at = len(self.steps)
        sides = [side.control for side in (self.ours, self.theirs)]
        numbers = [str(d).encode() for d in range(self.databases)]
        held = [c.pipeline([w for d in numbers for w in ([b"SELECT", d], [b"KEYS", b"*"])]) for c in sides]
        stored = [[sorted(k for _, k in parse(raw)[1]) for raw in replies[1::2]] for replies in held]
        for d, ours, theirs in zip(numbers, *stored):
            if ours != theirs:
                self.differ(at, f"the keys of database {d.decode()}", repr(ours).encode(), repr(theirs).encode())
                continue
            if not ours:
                continue
            asked = [[b"SELECT", d]] + ([[b"DBSIZE"]] if self.sizes else [])
            asked += [[b"RANDOMKEY"]] if "RANDOMKEY" in self.counts else []
            for key in ours:
                asked += [[b"TYPE", key], [b"STRLEN", key], [b"PTTL", key]]
                if self.has_object:
                    asked.append([b"OBJECT", b"ENCODING", key])
                asked.append([b"GET", key])
            began = time.monotonic()
            replies = [c.pipeline(asked) for c in sides]
            Late.seconds = max(Late.seconds, time.monotonic() - began)
            if self.mangle:
                replies[0] = self.mangle(replies[0])
            for words, our, their in zip(asked, *replies):
                self.counts[name_of(words)] += 1
                if words[0] == b"RANDOMKEY" and parse(our)[1] not in ours:
                    self.differ(at, f"RANDOMKEY of database {d.decode()} is not there", our, their)
                elif not same(words, our, their, [], self.excused):
                    self.differ(at, f"the end, database {d.decode()}: {show_words(words)}", our, their)


def show_words(words):
    return " ".join(shown(w, 120) if not w.isalnum() or len(w) > 120 else w.decode() for w in words)


def shrink(differs, steps, seconds=4):
    """Fewer steps for which differs(steps) still holds: the last few, then with pieces left out, ever smaller ones."""
    deadline = time.monotonic() + seconds
    for few in (1, 2, 4, 8, 16, 32, 64, 128):
        if few < len(steps) and differs(steps[-few:]):
            steps = steps[-few:]
            break
    size = max(1, len(steps) // 2)
    while True:
        at, less = 0, False
        while at < len(steps):
            if time.monotonic() > deadline:
                return steps
            fewer = steps[:at] + steps[at + size:]
            if fewer and differs(fewer):
                steps, less = fewer, True
            else:
                at += size
        if size > 1:
            size //= 2
        elif not less:
            return steps
