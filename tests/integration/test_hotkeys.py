"""test_hotkeys.py -- HOTKEYS: which keys are used most. The sketch itself is tested in tests/test_hotkeys.c."""
import random
import time
from collections import Counter

from harness import OK, PATIENCE, Error, Pinger, Server, Simple, check, equal, request, shown, test, until
from test_transactions import together

KEYS_SHOWN = ("by-uses", "by-cpu-time-us", "by-net-bytes")


def get(c):
    """HOTKEYS GET as a dictionary, its lists of keys as lists of (key, number)."""
    (fields,) = c.ask("HOTKEYS GET")
    if isinstance(fields, list):
        fields = dict(zip(fields[::2], fields[1::2]))
    fields = {name.decode(): value for name, value in fields.items()}
    for name in KEYS_SHOWN:
        if name in fields:
            fields[name] = list(zip(fields[name][::2], fields[name][1::2]))
    return fields


@test
def counted():
    """With SAMPLE 1 each use is counted, of each key of a request, also within EXEC, by key and database; requests that
    were refused, or have no key, are not."""
    for resp in ("2", "3"):
        with Server() as server, server.connect() as c:
            c.ask("HELLO", resp)
            equal(c.ask("HOTKEYS START METRICS 3 NET USES CPU SAMPLE 1"), OK)
            for i in range(100):
                c.ask("SET", "a", i)
            c.pipeline([request("GET", "b")] * 50)
            c.ask("MGET", "a", "b", "c", "c")
            for words in ("PING", "GET", "NOSUCH a", "DBSIZE", "ECHO a", "GET " + "k" * 2000):
                c.ask(words)
            c.ask("SELECT", "3")
            for words in ("MULTI", "INCR a", "SELECT 5", "INCR a", "EXEC"):
                c.ask(words)
            got = get(c)
            equal(got["tracking-active"], 1)
            equal(got["sample-ratio"], 1)
            equal(got["selected-slots"], [[0, 16383]])
            equal(got["uses-all-commands"], 156)
            equal(list(zip(got["by-uses"][:3], got["by-uses-databases"])), [((b"a", 101), 0), ((b"b", 51), 0), ((b"c", 2), 0)])
            equal(sorted(zip(got["by-uses"][3:], got["by-uses-databases"][3:])), [((b"a", 1), 3), ((b"a", 1), 5)])
            # SET a n: 5 or 6 bytes, and +OK; GET b: 4, and a null; a fourth of MGET: 8, and its reply; INCR a: 5, and :1
            if resp == "2":
                equal(got["by-net-bytes"], [(b"a", 1090 + 8), (b"b", 450 + 8), (b"c", 16), (b"a", 9), (b"a", 9)])
            equal([key for key, _ in got["by-cpu-time-us"]].count(b"a"), 3)
            check(got["all-commands-all-slots-us"] >= max(n for _, n in got["by-cpu-time-us"]), shown(got))


@test
def life():
    """Off at first; START, STOP, RESET and GET in all orders; DURATION ends it."""
    with Server("--threads", "2") as server, server.connect() as c, server.connect() as other:
        equal(c.ask("HOTKEYS GET"), None)
        equal(c.ask("HOTKEYS STOP"), None)
        equal(c.ask("HOTKEYS RESET"), OK)
        equal(c.ask("HOTKEYS START SAMPLE 1"), OK)
        equal(other.ask("SET", "seen", "1"), OK)
        for words in ("HOTKEYS START", "HOTKEYS START METRICS 1 NET"):
            equal(other.ask(words), Error("ERR hotkey tracking session already in progress"))
        equal(c.ask("HOTKEYS RESET"), Error("ERR hotkey tracking session in progress, stop tracking first"))
        check("by-net-bytes" not in get(c) and "by-cpu-time-us" not in get(c), "only what was asked for")
        equal(other.ask("HOTKEYS STOP"), OK)
        until(lambda: other.ask("SET", "unseen", "1") == OK and c.ask("SET", "unseen", "1") == OK, 1, "nothing is counted")
        first = get(c)
        equal((first["tracking-active"], first["by-uses"]), (0, [(b"seen", 1)]))
        equal(get(other), first, "it stays as it is")
        began = time.monotonic()
        equal(c.pipeline([request("HOTKEYS START SAMPLE 1 COUNT 1 DURATION 1"), *[request("SET again 1")] * 2]), [OK] * 3)
        until(lambda: c.ask("SET", "again", "1") == OK and get(c)["tracking-active"] == 0, 10, "it ends")
        check(time.monotonic() - began > 0.9, "after a second")
        ended = get(c)
        equal(ended["collection-duration-ms"], 1000)
        check([key for key, _ in ended["by-uses"]] == [b"again"] and ended["by-uses"][0][1] > 1, shown(ended))
        equal(c.ask("HOTKEYS STOP"), None)
        equal(c.ask("HOTKEYS RESET"), OK)
        equal(c.ask("HOTKEYS GET"), None)


@test
def refusals():
    """Options that are wrong change nothing; not within MULTI; HELP."""
    with Server() as server, server.connect() as c:
        for words, error in (
                ("METRICS", "syntax error"), ("METRICS 0", "METRICS count must be between 1 and 3"),
                ("METRICS 4 USES CPU NET NET", "METRICS count must be between 1 and 3"),
                ("METRICS 2 CPU", "METRICS count must be followed by as many of USES, CPU and NET"),
                ("METRICS 2 CPU CPU", "METRICS count must be followed by as many of USES, CPU and NET"),
                ("METRICS 1 COUNT", "METRICS count must be followed by as many of USES, CPU and NET"),
                ("COUNT 0", "COUNT must be between 1 and 64"), ("COUNT 65", "COUNT must be between 1 and 64"),
                ("COUNT x", "COUNT must be between 1 and 64"), ("DURATION 0", "DURATION must be between 1 and 1000000"),
                ("DURATION 1000001", "DURATION must be between 1 and 1000000"),
                ("SAMPLE 0", "SAMPLE ratio must be between 1 and 2147483647"),
                ("SLOTS 1 0", "SLOTS parameter cannot be used in non-cluster mode"), ("NET", "syntax error"),
                ("COUNT 1 SAMPLE", "syntax error")):
            equal(c.ask("HOTKEYS START " + words), Error("ERR " + error), words)
        equal(c.ask("HOTKEYS GET"), None)
        equal(c.ask("MULTI"), OK)
        equal(c.ask("HOTKEYS START"), Error("ERR Command not allowed inside a transaction"))
        equal(c.ask("DISCARD"), OK)
        equal(c.ask("HOTKEYS"), Error("ERR wrong number of arguments for 'hotkeys' command"))
        check(any("SAMPLE" in line for line in c.ask("HOTKEYS HELP")), "HELP")


@test
def long_keys():
    """A key of more than 128 bytes shows 104 of them, and how many more there are; two that begin alike are two."""
    with Server("--max-key-size", "4095") as server, server.connect() as c:
        equal(c.ask("HOTKEYS START SAMPLE 1 COUNT 64"), OK)
        for n in (128, 129, 4095):
            for _ in range(3):
                c.ask("GET", b"\xff" * n)
        c.ask("GET", b"\xff" * 4094 + b"x")
        got = get(c)["by-uses"]
        equal(sorted(got), sorted([(b"\xff" * 128, 3), (b"\xff" * 104 + b"... (25 more bytes)", 3),
                                   (b"\xff" * 104 + b"... (3991 more bytes)", 3), (b"\xff" * 104 + b"... (3991 more bytes)", 1)]))


@test(seconds=60)
def many_keys_at_once():
    """Of a request with very many keys some stand for all: the sum is right, and nobody waits."""
    with Server("--threads", "2") as server, server.connect() as c:
        equal(c.ask("HOTKEYS START SAMPLE 1"), OK)
        with Pinger(server):
            for _ in range(20):
                c.ask("MSET", *[x for i in range(20000) for x in (f"key:{i}", "v")])
        total = get(c)["uses-all-commands"]
        check(380_000 < total < 420_000, f"{total} uses of 400,000")


@test(seconds=90)
def top_ten():
    """The ten keys that are used most, of 100,000 drawn with (x + 1)^-0.99 by four clients of four threads, one request in
    sixteen being looked at; the answer comes at once."""
    keys, draws = 100_000, 60_000
    with Server("--threads", "4") as server:
        weights = [(i + 1) ** -0.99 for i in range(keys)]
        truth = Counter()

        def ask(seed):
            drawn = random.Random(seed).choices(range(keys), weights, k=draws)
            truth.update(drawn)
            with server.connect() as c:
                for i in range(0, draws, 1000):
                    c.pipeline([request("GET", f"key:{k}") for k in drawn[i:i + 1000]])
        with server.connect() as c:
            equal(c.ask("HOTKEYS START COUNT 20"), OK)
            together(*[lambda s=s: ask(s) for s in range(4)])
            began = time.monotonic()
            got = get(c)
            check(time.monotonic() - began < 5 * PATIENCE, "it answers at once")
        shown_keys = [int(key.split(b":")[1]) for key, _ in got["by-uses"]]
        equal(got["sample-ratio"], 16)
        missing = [k for k in range(10) if k not in shown_keys]
        equal(missing, [], f"of the top ten, beside {shown(got['by-uses'])}")
        equal(shown_keys[0], 0)
        for key, uses in got["by-uses"][:5]:
            true = truth[int(key.split(b":")[1])]
            check(true * 0.7 < uses < true * 1.3, f"{key}: {uses} uses, in truth {true}")
        check(draws * 4 * 0.9 < got["uses-all-commands"] < draws * 4 * 1.1, f"{got['uses-all-commands']} uses")


@test(seconds=60)
def beside_monitor():
    """Started, stopped and forgotten again and again under load, beside MONITOR: nothing breaks."""
    with Server("--threads", "4") as server:
        def load(name):
            with server.connect() as c:
                for i in range(60):
                    c.pipeline([request("INCR", f"{name}:{n % 7}") for n in range(100)])
                    c.pipeline([request(w) for w in ("MULTI", "GET a", "SET b 1", "EXEC")])

        def switch():
            with server.connect() as c, server.connect() as watcher:
                for i in range(40):
                    c.ask(f"HOTKEYS START METRICS 3 USES CPU NET SAMPLE {1 + i % 3}")
                    watcher.send(request("MONITOR") + request("RESET"))
                    check(c.ask("HOTKEYS GET") is not None, "it counts")
                    equal(c.ask("HOTKEYS STOP"), OK)
                    if i % 2:
                        equal(c.ask("HOTKEYS RESET"), OK)
                equal(watcher.read(), OK)
        together(*[lambda n=n: load(n) for n in range(4)], switch)
        with server.connect() as c:
            equal(c.ask("PING"), Simple("PONG"))
