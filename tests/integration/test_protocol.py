"""test_protocol.py -- bytes on the wire: pipelines, cuts, inline requests, broken and oversized ones, many arguments,
who may connect and for how long.
"""
import random
import select
import socket
import threading
import time

from harness import (FATNESS, MB, OK, PATIENCE, Error, Failure, Pinger, Redis, Server, Simple, check, equal, reply,
                     request, shown, test, until)

PONG = Simple("PONG")


# ---- pipelines and cuts ----


def mixed(count, seed):
    """Requests with the replies that a simple model expects: (request bytes, reply bytes)."""
    rng = random.Random(seed)
    store = {}
    for _ in range(count):
        key = b"key:%d" % rng.randrange(max(4, count // 8))
        kind = rng.randrange(9)
        if kind < 2:
            value = rng.randbytes(rng.choice((0, 1, 2, 10, 100, 1000)))
            store[key] = value
            yield request(rng.choice(("SET", "PUT", "set")), key, value), OK
        elif kind < 5:
            yield request("GET", key), store.get(key)
        elif kind == 5:
            yield request("DEL", key), int(store.pop(key, None) is not None)
        elif kind == 6:
            more = rng.randbytes(3)
            store[key] = store.get(key, b"") + more
            yield request("APPEND", key, more), len(store[key])
        elif kind == 7:
            other = b"key:%d" % rng.randrange(max(4, count // 8))
            yield request("MGET", key, other), [store.get(key), store.get(other)]
        else:
            yield rng.choice(((b"PING\r\n", PONG), (request("nothing"), Error(
                "ERR unknown command 'nothing', with args beginning with: ")), (request("GET"), Error(
                    "ERR wrong number of arguments for 'get' command")), (b"\r\n" + request("ECHO", key), key),
                (b"*0\r\nECHO \"a b\"\n", b"a b")))


@test
def pipelines():
    """Pipelines of 1, 100 and 10,000 mixed commands are answered in order, byte for byte."""
    with Server() as server:
        for count in (1, 100, 10000):
            with server.connect() as c:
                c.ask("FLUSHALL")
                pairs = list(mixed(count, count))
                want = b"".join(reply(value) for _, value in pairs)
                sender = threading.Thread(target=c.send, args=(b"".join(r for r, _ in pairs),), daemon=True)
                sender.start()
                got = c.exactly(len(want))
                sender.join()
                if got != want:
                    at = next(i for i in range(len(want)) if got[i] != want[i])
                    raise Failure(f"{count} commands: at byte {at} {shown(got[at:at + 80])}, not "
                                  f"{shown(want[at:at + 80])}")
                equal(c.answer(b""), b"", "nothing more")


CUT = (request("SET", "k", b"a\r\nb\0$3\r\n") + request("GET", "k") + b"PING\r\n" + b"\r\n" +
       b"ECHO \"a\\x41 b\"\n" + request("SET", "empty", "") + request("GET", "empty") + b"*0\r\n" +
       request("MGET", "k", "nothing") + request("nothing", "x"))
CUT_REPLY = b"".join(map(reply, (OK, b"a\r\nb\0$3\r\n", PONG, b"aA b", OK, b"", [b"a\r\nb\0$3\r\n", None], Error(
    "ERR unknown command 'nothing', with args beginning with: 'x' "))))


@test
def cut_everywhere():
    """A request that is cut at any byte is answered as if it had come whole."""
    with Server("--threads", "1") as server, server.connect() as other:
        for cut in range(1, len(CUT)):
            with server.connect() as c:
                c.send(CUT[:cut])
                equal(other.ask("PING"), PONG)  # one thread: by now the server has read the first part
                c.send(CUT[cut:])
                equal(c.exactly(len(CUT_REPLY)), CUT_REPLY, f"cut at {cut}")


@test
def byte_by_byte():
    """A pipeline that comes byte by byte is answered."""
    with Server("--threads", "1") as server, server.connect() as other, server.connect() as c:
        for i in range(len(CUT)):
            c.send(CUT[i:i + 1])
            equal(other.ask("PING"), PONG)
        equal(c.exactly(len(CUT_REPLY)), CUT_REPLY)


@test
def large_cut():
    """A value of 1 MB that comes in pieces of any size is stored as it was sent, among other requests."""
    rng = random.Random(1)
    value = rng.randbytes(MB)
    data = request("PING") + request("SET", "k", value) + request("GET", "k") + request("STRLEN", "k")
    want = reply(PONG) + reply(OK) + reply(value) + reply(MB)
    with Server("--maxmemory", "512mb") as server:
        for most in (1000, 65536, 65537, 200000, 2 * MB):
            with server.connect() as c:
                at = 0
                while at < len(data):
                    n = rng.randrange(1, most)
                    c.send(data[at:at + n])
                    at += n
                check(c.exactly(len(want)) == want, f"pieces of up to {most} bytes")


@test
def binary():
    """Keys and values may be any bytes."""
    rng = random.Random(2)
    words = [b"", b"\r\n", b"\0", b"$-1\r\n", b"*0\r\n", b"\xff\xfe", bytes(range(256))] + [
        rng.randbytes(n) for n in (1, 2, 7, 8, 63, 64, 65, 1000, 1024)]
    with Server() as server, server.connect() as c:
        for key in words:
            for value in words + [rng.randbytes(n) for n in (4095, 4096, 65535, 65536)]:
                equal(c.ask("SET", key, value), OK)
                equal(c.ask("GET", key), value)
        equal(sorted(c.ask("KEYS *")), sorted(set(words)))


INLINE = [
    (b"PING\r\n", PONG),
    (b"PING\n", PONG),
    (b"ping hello\r\n", b"hello"),
    (b"  PING  \t hello  \r\n", b"hello"),
    (b"ECHO \"a b\"\r\n", b"a b"),
    (b"ECHO 'a b'\r\n", b"a b"),
    (b"ECHO \"\"\r\n", b""),
    (b"ECHO ''\r\n", b""),
    (b"ECHO \"\\x00\\xff\\x4a\"\r\n", b"\0\xff\x4a"),
    (b"ECHO \"\\n\\r\\t\\b\\a\\\\\\\"\\q\"\r\n", b"\n\r\t\b\a\\\"q"),
    (b"ECHO \"\\x4\"\r\n", b"x4"),
    (b"ECHO \"\\xzz\"\r\n", b"xzz"),
    (b"ECHO 'it\\'s'\r\n", b"it's"),
    (b"ECHO 'a\\nb'\r\n", b"a\\nb"),
    (b"ECHO a\"b c\"\r\n", b"ab c"),
    (b"ECHO a\\nb\r\n", b"a\\nb"),
    (b"ECHO \"it's\"\r\n", b"it's"),
    (b"ECHO 'say \"x\"'\r\n", b"say \"x\""),
    (b"ECHO a\0b\r\n", b"a", "ours"),  # Redis waits for a line that has no NUL
    (b"PING\0garbage \"\r\n", PONG, "ours"),
    (b"\0\r\nPING\r\n", PONG, "ours"),
    (b"\r\n\r\n\n  \r\nPING\r\n", PONG),
    (b"SET k \"a b\"\r\n", OK),
    (b"GET k\r\n", b"a b"),
    (b"*0\r\n*-1\r\n*-5\r\nPING\r\n", PONG),
    (b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPING\r\n", None),  # three replies, see below
    (b"ECHO " + b"x" * 60000 + b"\r\n", b"x" * 60000),
    (b"GET\r\n", Error("ERR wrong number of arguments for 'get' command")),
]


@test
def inline():
    """Inline requests are split as Redis splits them: quotes, escapes, NULs, empty lines."""
    wrong = []
    with Redis() as redis, Server() as server:
        for name, target in (("Redis", redis), ("sponson", server)):
            with target.connect() as c:
                for data, value, *mark in INLINE:
                    if mark and target is redis:
                        continue
                    want = 3 * reply(PONG) if value is None else reply(value)
                    got = c.answer(data)
                    if got != want:
                        wrong.append(f"{name}: {shown(data)} got {shown(got)}, not {shown(want)}")
    check(not wrong, "\n".join(wrong))


# ---- what breaks the protocol ----

# a mark "ours" where Redis is not asked: a limit that it has elsewhere
BROKEN = [
    (b"*abc\r\n", "invalid multibulk length"),
    (b"*\r\n", "invalid multibulk length"),
    (b"* 1\r\n", "invalid multibulk length"),
    (b"*1x\r\n", "invalid multibulk length"),
    (b"*+1\r\n", "invalid multibulk length"),
    (b"*99999999999999999999\r\n", "invalid multibulk length"),
    (b"*1048577\r\n", "invalid multibulk length", "ours"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$abc\r\n", "invalid bulk length"),
    (b"*1\r\n$\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n", "invalid bulk length"),
    (b"*1\r\n:5\r\n", "expected '$', got ':'"),
    (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    (b"*2\r\n$4\r\nPING\r\n*1\r\n", "expected '$', got '*'"),
    (b"*1\r\n\r\n", "expected '$', got ' '"),
    (b"*" + b"1" * 66000, "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * 66000, "too big bulk count string"),
    (b"*1\r\n" + b"x" * 66000, "too big bulk count string"),
    (b"x" * 66000, "too big inline request"),
    (b"GET \"a\r\n", "unbalanced quotes in request"),
    (b"GET 'a\r\n", "unbalanced quotes in request"),
    (b"GET \"a\"b\r\n", "unbalanced quotes in request"),
    (b"GET 'a'b\r\n", "unbalanced quotes in request"),
    (b"\"\r\n", "unbalanced quotes in request"),
]


@test
def broken():
    """A broken request gets Redis's error line, behind the replies before it, and then the end; others live on."""
    wrong = []
    with Redis() as redis, Server() as server:
        for name, target in (("Redis", redis), ("sponson", server)):
            with target.connect() as other:
                for data, line, *mark in BROKEN:
                    if mark and target is redis:
                        continue
                    want = reply(OK) + reply(b"v") + reply(Error(f"ERR Protocol error: {line}"))
                    with target.connect() as c:
                        c.send(request("SET k v") + request("GET k"))
                        got = c.exactly(len(reply(OK) + reply(b"v")))
                        c.send(data)
                        try:
                            got += c.rest()
                        except ConnectionResetError:
                            got += b" and a reset"
                        if got != want:
                            wrong.append(f"{name}: {shown(data)} got {shown(got)}, not {shown(want)}")
                    equal(other.ask("PING"), PONG)
    check(not wrong, "\n".join(wrong))


@test
def broken_in_pipeline():
    """What follows a broken request is not executed, and however much it is, the error line arrives."""
    with Server() as server, server.connect() as other:
        for data, line, *_ in BROKEN:
            equal(other.ask("SET k old"), OK)
            with server.connect() as c:
                after = b"" if len(data) > 60000 else request("SET k new") + b"x" * MB
                sender = threading.Thread(target=send_quietly, args=(c, request("PING") + data + after), daemon=True)
                sender.start()
                try:
                    got = c.rest()
                except ConnectionResetError as e:
                    raise Failure(f"{shown(data)}: {e}") from None
                equal(got, b"+PONG\r\n-ERR Protocol error: %s\r\n" % line.encode(), shown(data))
                c.close()
                sender.join()
            equal(other.ask("GET k"), b"old")


def send_quietly(c, data):
    try:
        c.send(data)
    except OSError:
        pass


@test
def half_a_request():
    """A client that leaves in the middle of a request takes nothing with it."""
    with Server() as server, server.connect() as other:
        for data in (b"*", b"*2\r\n$3\r\nGET", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nabc", b"SET k",
                     b"*1048576\r\n$4\r\nMGET\r\n$1\r\na\r\n"):
            with server.connect() as c:
                c.send(data)
            with server.connect() as c:
                c.send(data)
                c.half_close()
                equal(c.rest(), b"", "an end in the middle gets no reply")
        until(lambda: other.info()["connected_clients"] == "1", 5, "they are gone")
        equal(other.ask("GET k"), None)
        equal(other.info()["mem_clients_normal"], "0")


@test
def http():
    """What a browser can be made to send closes the connection and does nothing."""
    with Server() as server, server.connect() as other:
        for data in (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET k v\r\n",
                     b"Host: localhost\r\n\r\nSET k v\r\n"):
            with server.connect() as c:
                c.send(data)
                check(b"OK" not in c.rest(), "SET was executed")
        equal(other.ask("GET k"), None)


# ---- oversized arguments ----


@test
def limits():
    """A key or value at its limit is stored; one byte more gets the error, and the next request its reply."""
    key_error = Error("ERR key exceeds max-key-size (1024 bytes)")
    value_error = Error("ERR value exceeds max-value-size (1048576 bytes)")
    long_key, key = "k" * 1025, "k" * 1024
    long_value, value = "v" * (MB + 1), "v" * MB
    longer_value = "v" * (5 * MB)
    joined = Error("ERR wrong number of arguments for 'get' command")
    with Server("--maxmemory", "512mb") as server, server.connect() as c:
        for words, want in (
                (("SET", key, value), OK), (("GET", key), value), (("STRLEN", key), MB),
                (("SET", long_key, "v"), key_error), (("GET", long_key), key_error),
                (("SET", long_value, "v"), key_error), (("GET", longer_value), key_error),
                (("DEL", "a", long_key), key_error), (("MGET", "a", long_key, "b"), key_error),
                (("EXISTS", longer_value, "a"), key_error), (("TTL", long_key), key_error),
                (("SET", "k", "old"), OK),
                (("SET", "k", long_value), value_error), (("SET", "k", longer_value), value_error),
                (("PUT", "k", long_value), value_error), (("SETNX", "new", long_value), value_error),
                (("SETEX", "k", "10", long_value), value_error), (("PSETEX", "k", "10", long_value), value_error),
                (("GETSET", "k", long_value), value_error), (("APPEND", "k", long_value), value_error),
                (("MSET", "k", "new", "k2", long_value), value_error),
                (("MSET", "k", "new", long_key, "v"), key_error),
                (("MSET", "k", long_value, long_key, "v"), key_error),
                (("GET", "k"), b"old"), (("TTL", "k"), -1), (("EXISTS", "k2"), 0),
                (("APPEND", "k", "v" * (MB - 3)), MB), (("APPEND", "k", "v"), value_error),
                (("APPEND", "k", ""), MB), (("STRLEN", "k"), MB),
                (("PING", longer_value), value_error), (("ECHO", longer_value), value_error),
                # the order of errors: unknown command, arity, key, value
                (("nothing", longer_value), Error(
                    "ERR unknown command 'nothing', with args beginning with: '' ")),
                (("GET", longer_value, "x"), joined), (("GET", long_key, long_key), joined),
                (("SET", longer_value, longer_value), key_error), (("SET", long_key, long_value), key_error),
                (("CLIENT", longer_value), None), (("SET", "k", "v", longer_value), value_error)):
            c.send(request(*words) + request("PING"))
            got = c.read()
            if want is not None and not (words[0] == "nothing" and got.startswith("ERR unknown command 'nothing'")):
                equal(got, want.encode() if type(want) is str else want, shown(words))
            equal(c.read(), PONG, shown(words))


@test
def own_limits():
    """max-key-size and max-value-size are kept as given, and shown in the errors."""
    with Server("--max-key-size", "10", "--max-value-size", "100") as server, server.connect() as c:
        equal(c.ask("SET", "k" * 10, "v" * 100), OK)
        equal(c.ask("SET", "k" * 11, "v"), Error("ERR key exceeds max-key-size (10 bytes)"))
        equal(c.ask("SET", "k", "v" * 101), Error("ERR value exceeds max-value-size (100 bytes)"))
        equal(c.ask("APPEND", "k" * 10, "v"), Error("ERR value exceeds max-value-size (100 bytes)"))
    with Server("--max-key-size", "4095", "--max-value-size", "20") as server, server.connect() as c:
        equal(c.ask("SET", "k" * 4095, "v" * 20), OK)
        equal(c.ask("GET", "k" * 4095), b"v" * 20)
        equal(c.ask("SET", "k" * 4096, "v"), Error("ERR key exceeds max-key-size (4095 bytes)"))
        equal(c.ask("SET", "k", "v" * 21), Error("ERR value exceeds max-value-size (20 bytes)"))
        equal(c.ask("INCRBY", "n", str(2**63 - 1)), 2**63 - 1)


@test
def oversized_memory():
    """A value of 200 MB is refused in constant memory, and the pipeline behind it answered."""
    size, piece = 200 * MB, b"v" * MB
    with Server() as server, server.connect() as c, server.connect() as other:
        other.ask("PING")
        before = most = server.resident()
        c.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % size)
        for i in range(size // MB):
            c.send(piece)
            if i % 10 == 0:
                most = max(most, server.resident())
                equal(other.ask("PING"), PONG)
        c.send(b"\r\n" + request("GET k") + request("PING"))
        check(c.read().startswith("ERR value exceeds max-value-size"), "the value is refused")
        equal(c.read(), None)
        equal(c.read(), PONG)
        most = max(most, server.resident())
        check(most - before < 8 * MB * FATNESS, f"resident memory grew by {(most - before) // MB} MB")


@test
def oversized_keys_memory():
    """Keys of many megabytes among thousands of arguments are skipped in constant memory."""
    with Server() as server, server.connect() as c:
        c.ask("PING")
        before = server.resident()
        parts = [b"*1001\r\n$3\r\nDEL\r\n"]
        for i in range(1000):
            parts.append(b"$%d\r\n" % (4 * MB if i % 50 == 0 else 1))
            parts.append(b"k" * (4 * MB if i % 50 == 0 else 1) + b"\r\n")
        for part in parts:
            c.send(part)
        c.send(request("PING"))
        check(c.read().startswith("ERR key exceeds max-key-size"), "the keys are refused")
        equal(c.read(), PONG)
        grown = server.resident() - before
        check(grown < 8 * MB * FATNESS, f"resident memory grew by {grown // MB} MB")


# ---- very many arguments ----


@test(seconds=60)
def many_arguments():
    """1,048,576 arguments are accepted by DEL, MGET and EXISTS, 65,536 pairs by MSET, while another client is served."""
    most = 1048576
    keys = [b"$7\r\nk%06d\r\n" % (i % 1000000) for i in range(most - 1)]
    values = [b"$7\r\nv%06d\r\n" % (i % 1000000) for i in range(most // 2 - 1)]
    pairs = b"".join(part for i in range(most // 2 - 1) for part in (keys[i], values[i]))
    joined = b"".join(keys)
    stored = min(most // 2 - 1, 1000000)

    def head(name, count):
        return b"*%d\r\n$%d\r\n%s\r\n" % (count, len(name), name)

    with Server("--maxmemory", "1gb", "--client-memory", "512mb") as server, server.connect(60) as c:
        with Pinger(server):
            c.send(head(b"MSET", 2 * (most // 2 - 1) + 1) + pairs)
            equal(c.read(), Error("ERR at most 65536 keys and 16777216 bytes are changed at once; send them in parts"))
            for i in range(0, most // 2 - 1, 65536):
                n = min(65536, most // 2 - 1 - i)
                c.send(head(b"MSET", 2 * n + 1) + pairs[26 * i:26 * (i + n)])
                equal(c.read(), OK)
            equal(c.ask("DBSIZE"), stored)
            c.send(head(b"MGET", most) + joined)
            want = b"*%d\r\n" % (most - 1) + b"".join(
                values[i % 1000000] if i % 1000000 < stored else b"$-1\r\n" for i in range(most - 1))
            got = c.exactly(len(want))
            check(got == want, "MGET's reply is not right")
            c.send(head(b"EXISTS", most) + joined)
            equal(c.read(), stored + max(0, most - 1 - 1000000))
            c.send(head(b"DEL", most) + joined)
            equal(c.read(), stored)
            equal(c.ask("DBSIZE"), 0)
            c.send(head(b"nothing", most) + joined + request("PING"))
            check(c.read().startswith("ERR unknown command 'nothing'"), "an unknown command")
            equal(c.read(), PONG)
            c.send(head(b"GET", most) + joined + request("PING"))
            equal(c.read(), Error("ERR wrong number of arguments for 'get' command"))
            equal(c.read(), PONG)
        equal(c.answer(b""), b"")
        until(lambda: int(c.info()["mem_clients_normal"]) < MB, 5, "the buffers are given back")


@test
def many_arguments_pipelined():
    """Requests with thousands of arguments stand in pipelines as any other."""
    with Server() as server, server.connect() as c:
        requests, want = [], []
        for n in (1, 1000, 1022, 1023, 1024, 1025, 3000, 511, 512, 513, 20000):
            names = [b"k%d" % i for i in range(n)]
            requests += [request("MSET", *[x for k in names for x in (k, k)]), request("MGET", *names), b"PING\r\n",
                         request("EXISTS", *names), request("DEL", *names), request("DBSIZE"),
                         b"ECHO " + b"x" * (n % 2000) + b"y\r\n", b"DEL " + b" ".join(names[:5000]) + b"\r\n"]
            want += [OK, names, PONG, n, n, 0, b"x" * (n % 2000) + b"y", 0]
        for i, (got, value) in enumerate(zip(c.pipeline(requests), want)):
            check(got == value, f"reply {i}: {shown(got)}, not {shown(value)}")


@test
def mset_is_atomic():
    """MSET over all shards is atomic: of several at once, one wins on every key."""
    names = [b"key%d" % i for i in range(200)]
    with Server("--threads", "4") as server:
        clients = [server.connect() for _ in range(8)]
        for round_ in range(100):
            for i, c in enumerate(clients):
                c.send(request("MSET", *[x for n in names for x in (n, b"%d-%d" % (round_, i))]))
            for c in clients:
                equal(c.read(), OK)
            equal(len(set(clients[0].ask("MGET", *names))), 1, "values of one MSET")
        for c in clients:
            c.close()


# ---- who may connect, and for how long ----


@test
def maxclients():
    """One client too many reads why; when another leaves there is room again."""
    with Server("--maxclients", "3") as server:
        clients = [server.connect() for _ in range(3)]
        for c in clients:
            equal(c.ask("PING"), PONG)
        for _ in range(20):
            with server.connect() as c:
                equal(c.rest(), b"-ERR max number of clients reached\r\n")
        with server.connect() as c:
            c.send(request("PING"))
            equal(c.rest(), b"-ERR max number of clients reached\r\n", "also when it spoke first")
        equal(clients[0].info()["rejected_connections"], "21")
        clients.pop().close()

        def room():
            with server.connect() as c:
                c.send(request("PING"))
                return c.line() == b"+PONG"
        until(room, 5, "there is room again")
        for c in clients:
            equal(c.ask("PING"), PONG)
            c.close()


@test
def timeout():
    """--timeout closes who is idle, and not who sends now and then."""
    with Server("--timeout", "3") as server:
        began = time.monotonic()
        idle, half, busy = server.connect(), server.connect(), server.connect()
        half.send(b"*2\r\n$3\r\nGET\r\n")

        def closed(c):
            equal(busy.ask("PING"), PONG)
            return select.select([c.socket], [], [], 0)[0]
        for c in (idle, half):
            until(lambda: closed(c), 20, "the idle client is closed")
            equal(c.rest(), b"")
        check(time.monotonic() - began > 2.5, "not at once")
        equal(busy.ask("PING"), PONG)
        for c in (idle, half, busy):
            c.close()


@test
def timeout_while_reading():
    """--timeout does not cut a reply that its client is still reading."""
    with Server("--timeout", "1", "--maxmemory", "512mb") as server, server.connect() as writer:
        for i in range(60):
            writer.pipeline([request("SET", b"%05d" % j + b"k" * 1000, "") for j in range(i * 200, i * 200 + 200)])
        want = 12000 * (1005 + 9) + len(b"*12000\r\n")

        def read():
            """Reads as one who needs some three seconds; returns the bytes, and the longest time between two of its looks."""
            with socket.socket() as c:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                c.connect(server.address)
                c.settimeout(20 * PATIENCE)
                c.sendall(request("KEYS *"))
                got, pause = 0, 0.0
                began = last = time.monotonic()
                while got < want:
                    now = time.monotonic()
                    pause, last = max(pause, now - last), now
                    due = int(want * (now - began) / 3.5)  # as much as is due by now, and no more
                    if got >= due:
                        select.select([], [], [], 0.01)
                        continue
                    try:
                        n = len(c.recv(min(65536, due - got)))
                    except ConnectionResetError:
                        break
                    if n == 0:
                        break
                    got += n
                return got, pause

        for _ in range(5):
            got, pause = read()
            if got == want or pause < 0.5:  # if not, the system had stopped the reader itself: it reads again
                break
        check(got == want, f"closed after {got} of {want} bytes")


@test
def half_close():
    """A client that has sent all and closed its half (printf | nc) still gets every reply."""
    value = b"v" * MB
    with Server("--maxmemory", "512mb") as server, server.connect() as other:
        equal(other.ask("SET", "big", value), OK)
        other.pipeline([request("SET", b"k%06d" % i, "") for i in range(20000)])
        big = reply(value)
        keys = b"*20001\r\n"
        for data, check_reply in (
                (b"PING\r\n", lambda r: r == b"+PONG\r\n"),
                (request("PING") * 10000, lambda r: r == b"+PONG\r\n" * 10000),
                (request("GET big") * 40 + request("PING"), lambda r: r == big * 40 + b"+PONG\r\n"),
                (request("KEYS *") + request("PING"), lambda r: r.startswith(keys) and r.endswith(b"+PONG\r\n")),
                (request("MGET", *["big"] * 30) + request("PING"),
                 lambda r: r == b"*30\r\n" + big * 30 + b"+PONG\r\n"),
                (request("EXISTS", *["big"] * 20000) + b"PING\r\n", lambda r: r == b":20000\r\n+PONG\r\n"),
                (b"PING\r\nPIN", lambda r: r == b"+PONG\r\n")):
            with server.connect() as c:
                c.send(data)
                c.half_close()
                got = c.rest()
                check(check_reply(got), f"{shown(data)}: {shown(got)}")


@test
def many_connections():
    """A thousand connections that all speak at once are all answered."""
    with Server() as server:
        clients = [server.connect() for _ in range(1000)]
        for round_ in range(3):
            for i, c in enumerate(clients):
                c.send(request("SET", f"k{i}", f"{round_}-{i}") + request("GET", f"k{i}"))
            for i, c in enumerate(clients):
                equal(c.read(), OK)
                equal(c.read(), f"{round_}-{i}".encode())
        for c in clients:
            c.close()
