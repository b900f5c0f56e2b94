"""redis_py.py -- what redis-py does with the server. How it is called stands in run.py."""
import sys
import time

import redis

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 0
ALL_BYTES = bytes(range(256))
MANY = 10_000  # commands in one pipeline
MB = 1 << 20


def connect(**options):
    return redis.Redis("127.0.0.1", PORT, socket_timeout=30, **options)


def equal(got, want):
    assert got == want, f"got {got!r:.300}, not {want!r:.300}"


def raises(kind, function, *args):
    """The text of the error that this call raises."""
    try:
        got = function(*args)
    except kind as e:
        return str(e)
    raise AssertionError(f"no {kind.__name__} but {got!r:.300}")


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "not within 20 s"
        time.sleep(0.002)


def named(c, name):
    """The line of CLIENT LIST for the connection of this name."""
    found = [line for line in c.client_list() if line["name"] == name]
    equal(len(found), 1)
    return found[0]


def resp2():
    c = connect(client_name="plain")
    equal(c.ping(), True)
    equal((c.set("k", "v"), c.get("k"), c.get("nothing")), (True, b"v", None))
    equal(named(c, "plain")["resp"], "2")


def handshake():
    c = connect(client_name="the-name", db=3)
    c.set("k", "in 3")
    equal(named(c, "the-name")["db"], "3")
    equal((connect().get("k"), connect(db=3).get("k")), (None, b"in 3"))


def ttl():
    c = connect()
    c.set("seconds", "v", ex=100)
    c.set("milliseconds", "v", px=100_000)
    c.set("short", "v", px=30)
    assert 90 <= c.ttl("seconds") <= 100 and 90_000 <= c.pttl("milliseconds") <= 100_000
    until(lambda: c.get("short") is None)
    equal((c.ttl("short"), c.get("seconds")), (-2, b"v"))


def binary():
    c = connect()
    c.set(ALL_BYTES, ALL_BYTES[::-1])
    c.set("empty", b"")
    equal((c.get(ALL_BYTES), c.get("empty")), (ALL_BYTES[::-1], b""))


def large():
    value = b"".join(b"%08x" % i for i in range(MB // 8))
    c = connect()
    c.set("large", value)
    assert c.get("large") == value, "another value came back"


def pipeline():
    with connect().pipeline(transaction=False) as p:
        for i in range(MANY // 2):
            p.set(f"key:{i}", f"{i:01000d}").get(f"key:{i}")
        equal(p.execute(), [x for i in range(MANY // 2) for x in (True, b"%01000d" % i)])


def many():
    c = connect()
    c.mset({"a": 1, "b": "two"})
    equal((c.mget("a", "nothing", "b"), c.incr("a")), ([b"1", None, b"two"], 2))
    equal((c.exists("a", "b", "nothing"), c.delete("a", "b", "nothing"), c.exists("a", "b")), (2, 2, 0))


def scan():
    c = connect()
    keys = {f"scan:{i}": i for i in range(1000)}
    c.mset({**keys, **{f"other:{i}": i for i in range(500)}})
    equal(sorted(set(c.scan_iter("scan:*", count=100))), sorted(k.encode() for k in keys))


def transaction():
    p = connect().pipeline()
    equal(p.set("n", 1).incr("n").get("n").get("nothing").execute(), [True, 2, b"2", None])


def watch():
    c, other = connect(), connect()
    with c.pipeline() as p:
        p.watch("k")
        other.set("k", "the other's")
        p.multi()
        raises(redis.WatchError, p.set("k", "mine").execute)
        equal(c.get("k"), b"the other's")
        p.watch("k")
        p.multi()
        equal(p.set("k", "mine").get("k").execute(), [True, b"mine"])


def execabort():
    c = connect()
    p = c.pipeline().set("k", "v").execute_command("GET")
    text = raises(redis.ResponseError, p.execute)  # the first error while queueing stands for EXECABORT
    assert text.endswith("wrong number of arguments for 'get' command"), text
    equal(c.get("k"), None)
    with connect(single_connection_client=True) as c:
        c.execute_command("MULTI")
        raises(redis.ResponseError, c.execute_command, "GET")
        text = raises(redis.exceptions.ExecAbortError, c.execute_command, "EXEC")
        equal(text, "Transaction discarded because of previous errors.")


def error():
    c = connect()
    c.set("text", "abc")
    # The library takes "ERR " off.
    equal(raises(redis.ResponseError, c.incr, "text"), "value is not an integer or out of range")
    equal(c.get("text"), b"abc")


def unknown():
    text = raises(redis.ResponseError, connect().lpush, "k", "v")
    assert text.startswith("unknown command 'LPUSH', with args beginning with: 'k' 'v'"), text


def reconnect():
    c = connect(client_name="again", db=3)
    c.set("k", "v")
    print("RESTART", flush=True)
    sys.stdin.readline()
    equal((c.get("k"), c.set("k", "new"), c.get("k")), (None, True, b"new"))
    equal(named(c, "again")["db"], "3")


CAPABILITIES = [
    ("resp2", resp2, ""),
    ("resp3", None, "redis-py 5 brought it"),
    ("handshake", handshake, ""),
    ("ttl", ttl, ""),
    ("binary", binary, ""),
    ("large", large, ""),
    ("pipeline", pipeline, ""),
    ("many", many, ""),
    ("scan", scan, ""),
    ("transaction", transaction, ""),
    ("watch", watch, ""),
    ("execabort", execabort, ""),
    ("error", error, ""),
    ("unknown", unknown, ""),
    ("reconnect", reconnect, ""),
]

if PORT:
    {name: function for name, function, _ in CAPABILITIES}[sys.argv[2]]()
else:
    for name, function, remark in CAPABILITIES:
        print("+" if function else "-", name, remark)
