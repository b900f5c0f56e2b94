"""test_transactions.py -- what several clients see of transactions, databases, CLIENT KILL, PAUSE and CONFIG SET."""
import random
import select
import threading

from harness import MB, OK, PATIENCE, SANITIZED, Closed, Error, Failure, Server, Simple, check, equal, request, shown, test, until

PONG = Simple("PONG")
ACCOUNTS = 20
TOTAL = 1000 * ACCOUNTS


def together(*functions):
    """Runs them at once, each in a thread; the first that fails fails the test."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:  # noqa: B902 -- it is raised below, in the thread of the test
            errors.append(error)
    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


@test(seconds=90)
def exec_is_atomic():
    """EXEC is atomic over its shards: money goes from one account to another, and nobody ever sees a part of it."""
    accounts = [f"account:{i}" for i in range(ACCOUNTS)]
    with Server("--threads", "4") as server:
        with server.connect() as c:
            c.ask("MSET", *[x for a in accounts for x in (a, TOTAL // ACCOUNTS)])
        done = threading.Event()
        seen = []

        def transfer(seed):
            rng = random.Random(seed)
            with server.connect() as c:
                turns = 0
                while turns < 400 or len(seen) <= 10:  # until others have looked, too
                    turns += 1
                    a, b = rng.sample(accounts, 2)
                    n = rng.randrange(100)
                    c.send(request("MULTI") + request("DECRBY", a, n) + request("INCRBY", b, n) + request("EXEC"))
                    replies = [c.read() for _ in range(4)]
                    check(isinstance(replies[3], list) and len(replies[3]) == 2, replies)

        def look():
            with server.connect() as c:
                while not done.is_set():
                    c.send(request("MULTI") + b"".join(request("GET", a) for a in accounts) + request("EXEC"))
                    values = [c.read() for _ in range(ACCOUNTS + 2)][-1]
                    seen.append(sum(map(int, values)))

        def transfers():
            try:
                together(*[lambda s=s: transfer(s) for s in range(4)])
            finally:
                done.set()
        together(transfers, look, look)
        equal(set(seen), {TOTAL}, "the sum")


@test(seconds=90)
def flushall_is_atomic():
    """FLUSHALL beside MSET: who looks at all keys at once sees all of them or none."""
    keys = [f"key:{i}" for i in range(64)]
    with Server("--threads", "4") as server:
        done = threading.Event()
        seen = set()

        def store():
            try:
                with server.connect() as c:
                    for _ in range(1000):
                        equal(c.ask("MSET", *[x for k in keys for x in (k, 1)]), OK)
            finally:
                done.set()

        def flush():
            with server.connect() as c:
                while not done.is_set():
                    equal(c.ask("FLUSHALL"), OK)

        def look():
            with server.connect() as c:
                while not done.is_set():
                    c.send(request("MULTI") + request("MGET", *keys) + request("EXEC"))
                    values = [c.read() for _ in range(3)][2][0]
                    seen.add(sum(v is not None for v in values))
        together(store, flush, look)
        check(seen <= {0, 64}, seen)


@test(seconds=90)
def watch_loses_nothing():
    """WATCH: of many clients that read, add one and write, none overwrites another; few have to try again for nothing."""
    with Server("--threads", "4") as server:
        def add(times):
            with server.connect() as c:
                for _ in range(times):
                    while True:
                        equal(c.ask("WATCH n"), OK)
                        value = int(c.ask("GET n") or 0)
                        c.send(request("MULTI") + request("SET", "n", value + 1) + request("EXEC"))
                        if [c.read() for _ in range(3)][2] is not None:
                            break
        together(*[lambda: add(100)] * 8)
        with server.connect() as c:
            equal(c.ask("GET n"), b"800")
            aborted = 0
            for i in range(1000):  # alone, with writes to other keys beside it, one in 262,144 of which counts as this one
                c.send(request("WATCH", "n") + request("SET", f"other:{i}", "x") + request("MULTI") + request("EXEC"))
                got = [c.read() for _ in range(4)][3]
                check(got in ([], None), got)
                aborted += got is None
            check(aborted < 5, f"{aborted} of 1000 tried again for nothing")


@test(seconds=90)
def databases_are_apart():
    """FLUSHDB and SWAPDB while others write: what is set after the reply is there, what was there before is not."""
    with Server("--threads", "4", "--maxmemory", "64mb") as server:
        began, stop = threading.Event(), threading.Event()

        def noise():
            rng = random.Random(7)
            with server.connect() as c:
                equal(c.ask("SELECT 1"), OK)
                equal(c.ask("MSET", *[x for i in range(20000) for x in (i, "x")]), OK)
                began.set()
                while not stop.is_set():
                    c.send(b"".join(request("SET", rng.randrange(20000), "x" * rng.randrange(100)) for _ in range(50)))
                    for _ in range(50):
                        equal(c.read(), OK)

        def flush():
            try:
                with server.connect() as c, server.connect() as other:
                    check(began.wait(20 * PATIENCE), "the other database is filled")
                    equal([c.ask("SELECT 2"), other.ask("SELECT 2")], [OK, OK])
                    for i in range(300):
                        equal(c.ask("SET", f"old:{i}", i), OK)
                        equal((c if i % 2 else other).ask("FLUSHDB"), OK)
                        equal(other.ask("EXISTS", *[f"old:{n}" for n in range(i + 1)]), 0)
                        equal(c.ask("SET", "new", i), OK)
                        equal([other.ask("GET new"), other.ask("DBSIZE"), other.ask("KEYS *")], [b"%d" % i, 1, [b"new"]])
                        if i % 50 == 0:
                            equal([c.ask("SWAPDB 2 3"), c.ask("DBSIZE"), c.ask("SWAPDB 3 2"), c.ask("DBSIZE")], [OK, 0, OK, 1])
            finally:
                stop.set()
        together(noise, flush)
        with server.connect() as c:
            equal(c.ask("SELECT 1"), OK)
            equal(c.ask("DBSIZE"), 20000, "the other database is as it was")
            equal(c.ask("FLUSHDB"), OK)
            equal(c.ask("DBSIZE"), 0)


@test
def exec_of_much():
    """A reply of 20 MB of one EXEC is whole; one that could pass the limit is refused, and nothing was done."""
    with Server("--maxmemory", "512mb", "--client-memory", "128mb") as server, server.connect() as c:
        value = random.Random(3).randbytes(MB)
        equal(c.ask("SET", "big", value), OK)
        c.send(request("MULTI") + request("GET", "big") * 20 + request("INCR", "n") + request("EXEC"))
        replies = [c.read() for _ in range(23)][-1]
        check(replies[:20] == [value] * 20 and replies[20] == 1, "the replies of EXEC")
        c.send(request("MULTI") + request("INCR", "n") + request("GET", "big") * 40 + request("EXEC"))
        got = [c.read() for _ in range(43)][-1]
        check(got.startswith("EXECABORT Transaction discarded because its reply could exceed client-output-buffer-limit"), got)
        equal(c.ask("GET n"), b"1")


@test
def multi_without_end():
    """What one client queues is bounded; the others go on, and its memory comes back."""
    with Server("--client-memory", "4mb") as server, server.connect() as c, server.connect() as other:
        queued = 0
        equal(c.ask("MULTI"), OK)
        while c.ask("SET", "k", "v" * 50000) == "QUEUED":
            queued += 1
            check(queued < 100, "it goes on for ever")
        equal(other.ask("SET", "k", "w" * 50000), OK)
        check(isinstance(c.ask("EXEC"), Error), "the transaction is over")
        equal(c.ask("STRLEN k"), 50000)
        equal(c.ask("MULTI"), OK)
        c.ask("SET", "k", "v" * 50000)
        c.close()
        with server.connect() as watcher:
            equal(watcher.ask("WATCH", *range(10000)), OK)
        until(lambda: int(other.info()["mem_clients_normal"]) < 100000, 5, "the memory of both is given back")


@test
def client_kill():
    """CLIENT KILL closes clients in every state, and itself last; LIST filters."""
    with Server("--maxmemory", "512mb") as server, server.connect() as c:
        idle, multi, full = (server.connect() for _ in range(3))
        ids = [x.ask("CLIENT ID") for x in (idle, multi, full)]
        equal([multi.ask("MULTI"), multi.ask("PING")], [OK, "QUEUED"])
        equal(c.ask("SET", "big", "v" * MB), OK)
        full.send(request("GET", "big") * 30)
        until(lambda: f"id={ids[2]} " in c.ask("CLIENT LIST").decode() and "events=w" in c.ask(
            "CLIENT", "LIST", "ID", ids[2]).decode(), 5, "its socket is full")
        lines = c.ask("CLIENT", "LIST", "ID", *ids[:2]).decode().splitlines()
        equal([line.split()[0] for line in lines], [f"id={i}" for i in ids[:2]])
        check(" flags=x " in lines[1] and " multi=1 " in lines[1], lines[1])
        equal(c.ask("CLIENT LIST TYPE pubsub"), b"")
        equal(c.ask("CLIENT KILL TYPE nothing"), Error("ERR Unknown client type 'nothing'"))
        equal(c.ask("CLIENT KILL 1.2.3.4:5"), Error("ERR No such client"))
        host, port = idle.socket.getsockname()
        equal(c.ask("CLIENT", "KILL", f"{host}:{port}"), OK)
        equal(c.ask("CLIENT", "KILL", "ID", ids[1]), 1)
        equal(c.ask("CLIENT", "KILL", "ID", ids[1] + 100000), 0)
        for x in (idle, multi):
            equal(x.rest(), b"")
        until(lambda: c.info()["connected_clients"] == "2", 5, "two are gone")
        equal(c.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), 1)
        check(len(full.rest()) < 30 * MB, "it was not sent all")
        until(lambda: c.info()["connected_clients"] == "1", 5, "they are gone")
        equal(c.ask("CLIENT KILL LADDR 127.0.0.1:%d SKIPME no" % server.port), 1)
        equal(c.rest(), b"")


@test
def client_pause():
    """CLIENT PAUSE: who waits is answered in order afterwards; WRITE lets reads through; the server ends all the same."""
    with Server("--shutdown-timeout", "600") as server, server.connect() as c, server.connect() as other:
        equal(other.ask("SET k 1"), OK)
        equal(c.ask("CLIENT PAUSE 60000 WRITE"), OK)
        until(lambda: not other_waits(other), 5, "reads go through")
        other.send(request("INCR", "k") + request("GET", "k") + request("PING"))
        check(not select.select([other.socket], [], [], 0.2)[0], "a write waits")
        waiting = [server.connect() for _ in range(5)]
        for x in waiting:
            x.send(request("INCR", "lost") + b"*2\r\n")
        until(lambda: c.ask("CLIENT LIST").count(b"cmd=incr") == 6, 5, "they wait")
        for x in waiting[1:]:  # who goes while it waits is gone, and what it asked for is not done
            x.close()
        until(lambda: c.info()["connected_clients"] == "3", 5, "those who went are gone")
        equal(c.ask("CLIENT KILL LADDR 127.0.0.1:%d ID %d" % (server.port, waiting_id(c, waiting[0]))), 1)
        equal(waiting[0].rest(), b"")
        equal(c.ask("CLIENT UNPAUSE"), OK)
        equal([other.read() for _ in range(3)], [2, b"2", PONG])
        equal(c.ask("EXISTS lost"), 0)
        equal(c.ask("CLIENT PAUSE 200"), OK)
        equal(other.ask("INCR k"), 3)  # it is over by itself
        equal(c.ask("CLIENT PAUSE 60000"), OK)
        other.send(request("GET", "k") * 1000)
        third = server.connect()
        third.send(request("GET", "k"))
        third.close()
        server.stop()
        try:
            other.read()
        except (Closed, ConnectionError):
            pass


def waiting_id(c, connection):
    """The id of a client that is not asked for it."""
    host, port = connection.socket.getsockname()
    for line in c.ask("CLIENT LIST").decode().splitlines():
        if f" addr={host}:{port} " in line:
            return int(line.split()[0][3:])
    raise Failure("it is not in CLIENT LIST")


def other_waits(connection):
    connection.send(request("GET", "k"))
    waits = not select.select([connection.socket], [], [], 5 * PATIENCE)[0]
    if not waits:
        connection.read()
    return waits


@test(seconds=60)
def maxmemory_while_it_runs():
    """CONFIG SET maxmemory: a full cache becomes smaller, soon and for good, and larger again; nobody waits long."""
    with Server("--maxmemory", "64mb") as server, server.connect() as c, server.connect() as other:
        def fill(n):
            for start in range(0, n, 1000):
                c.pipeline([request("SET", f"key:{i}", "v" * 200) for i in range(start, start + 1000)])
        fill(300000)
        check(int(c.info()["used_memory"]) > 60 * MB, "it is full")
        newest = [f"key:{i}" for i in range(299000, 300000)]
        equal(c.ask("CONFIG SET maxmemory 16mb timeout 100"), OK)
        equal(c.ask("CONFIG GET maxmemory"), [b"maxmemory", b"%d" % (16 * MB)])
        until(lambda: int(other.info()["used_memory"]) <= 17 * MB, 20, lambda: other.info()["used_memory"])
        if not SANITIZED:  # a sanitizer keeps what it knows of memory that is given back
            until(lambda: server.resident() < 30 * MB, 20, lambda: f"{server.resident()} bytes resident")
        equal(c.ask("EXISTS", *newest), 1000)
        fill(100000)
        check(int(c.info()["used_memory"]) <= 17 * MB, "it stays so")
        equal(c.ask("CONFIG SET maxmemory 128mb"), OK)
        fill(300000)
        check(int(c.info()["used_memory"]) > 60 * MB, "it grows again")
        got = c.ask("CONFIG SET maxmemory 1gb")
        check("at most 256mb without a restart" in got, got)
        got = c.ask("CONFIG SET max-value-size 2mb")
        check("give at most 1mb" in got, got)
        equal(c.ask("CONFIG SET maxmemory 256mb max-value-size 1mb"), OK)  # a shard then holds three such values
        equal(c.ask("SET", "big", "v" * MB), OK)
        equal(c.ask("CONFIG SET max-value-size 1000"), OK)
        equal(len(c.ask("GET big")), MB)
        equal(c.ask("APPEND big x"), Error("ERR value exceeds max-value-size (1000 bytes)"))
        equal([len(v) for v in c.ask("MGET", *["big"] * 40)], [MB] * 40)
        c.send(request("MULTI") + request("GET", "big") + request("COPY big copy") + request("RENAME big huge") +
               request("GETRANGE huge 0 -1") + request("EXEC") + request("PING"))
        replies = [c.read() for _ in range(7)]
        equal([replies[5][0], replies[5][1:3], replies[5][3], replies[6]], [b"v" * MB, [1, OK], b"v" * MB, PONG])
        equal([c.ask("STRLEN copy"), len(c.ask("GETDEL huge"))], [MB, MB])


@test
def limits_while_it_runs():
    """CONFIG SET of maxclients, requirepass, timeout and loglevel holds at once."""
    with Server() as server, server.connect() as c:
        equal(c.ask("CONFIG SET maxclients 2 loglevel verbose"), OK)
        with server.connect() as two, server.connect() as three:
            equal(two.ask("PING"), PONG)
            equal(three.rest(), b"-ERR max number of clients reached\r\n")
            check(isinstance(c.ask("CONFIG SET maxclients 2000000"), Error), "more than there are descriptors")
            equal(c.ask("CONFIG SET maxclients 100"), OK)
            with server.connect() as four:
                equal(four.ask("PING"), PONG)
            equal(c.ask("CONFIG SET requirepass secret"), OK)
            equal(two.ask("PING"), PONG)
            with server.connect() as five:
                equal(five.ask("PING"), Error("NOAUTH Authentication required."))
                equal(five.ask("AUTH wrong"), Error("WRONGPASS invalid username-password pair or user is disabled."))
                equal([five.ask("AUTH secret"), five.ask("PING")], [OK, PONG])
            equal(c.ask("CONFIG", "SET", "requirepass", ""), OK)
            with server.connect() as six:
                equal(six.ask("PING"), PONG)
            check("connected" in server.stderr(), "the log is verbose")
            equal(c.ask("CONFIG SET timeout 1"), OK)
            equal(two.rest(), b"")


@test
def limits_within_a_pipeline():
    """max-value-size raised and lowered in one pipeline with what needs it; large values read by others meanwhile."""
    with Server("--maxmemory", "2gb", "--client-memory", "256mb", "--threads", "2") as server, server.connect() as c, \
            server.connect() as two, server.connect() as three:
        for _ in range(3):
            c.send(request("CONFIG SET max-value-size 8mb") + request("SETRANGE k 8000000 x") + request("STRLEN k") +
                   request("MULTI") + request("MGET k k") + request("GETRANGE k -1 -1") + request("EXEC") +
                   request("CONFIG SET max-value-size 1kb") + request("MGET", *["k"] * 4) + request("GET k"))
            replies = [c.read() for _ in range(10)]
            equal(replies[:3] + replies[3:6], [OK, 8000001, 8000001, OK, "QUEUED", "QUEUED"])
            equal([len(v) for v in replies[6][0]] + [replies[6][1]], [8000001, 8000001, b"x"])
            equal([len(v) for v in replies[8]] + [len(replies[9])], [8000001] * 5)
            equal([len(two.ask("GET k")), len(three.ask("GET k"))], [8000001] * 2)
            equal(len(three.ask("GETEX k EX 100")), 8000001)
            equal([two.ask("RENAME k l"), two.ask("EXPIRE l 50"), two.ask("COPY l k"), two.ask("DEL l k")], [OK, 1, 1, 2])


@test(seconds=60)
def config_set_beside_exec():
    """EXEC of all shards beside CONFIG SET of maxmemory and the password: nobody waits for ever."""
    with Server("--threads", "4", "--maxmemory", "64mb") as server, server.connect() as one, server.connect() as two:
        equal([one.ask("PING"), two.ask("PING")], [PONG, PONG])  # they are served before there is a password

        def transactions(c):
            for i in range(500):
                c.send(request("MULTI") + request("SET", i, i) + request("DBSIZE") + request("CLIENT ID") + request("EXEC") +
                       request("AUTH default x") + request("HELLO 2 AUTH default y"))
                got = [c.read() for _ in range(7)]
                check(isinstance(got[4], list), f"EXEC is answered: {got}")

        def configuration():
            with server.connect() as c:
                for i in range(500):
                    equal(c.ask("CONFIG", "SET", "maxmemory", f"{48 + i % 16}mb", "requirepass", "x" if i % 2 else ""), OK)
        together(lambda: transactions(one), lambda: transactions(two), configuration)


@test
def replies_off():
    """CLIENT REPLY OFF, SKIP and ON in one pipeline."""
    with Server() as server, server.connect() as c:
        c.send(request("CLIENT REPLY OFF") + request("SET k 1") + request("NOTHING") + request("KEYS *") + request("GET k") * 100 +
               request("CLIENT REPLY ON") + request("CLIENT REPLY SKIP") + request("INCR k") + request("GET k"))
        equal([c.read(), c.read()], [OK, b"2"])
        c.send(request("CLIENT REPLY SKIP") * 2 + request("INCR k") + request("GET k"))
        equal(c.read(), b"3")
        c.send(request("CLIENT REPLY OFF") + request("INCR k") + request("QUIT"))
        equal(c.rest(), b"")


@test(seconds=60)
def what_is_changed_at_once():
    """What one EXEC or MSET changes is bounded, in keys and in bytes: beyond it, an error, and nothing is done."""
    keys_error = Error("ERR a transaction may have 65536 requests or keys; send it in parts")
    mset_error = Error("ERR at most 65536 keys and 16777216 bytes are changed at once; send them in parts")
    much = Error("EXECABORT Transaction discarded because it could write more than 16777216 bytes; send it in parts")
    aborted = Error("EXECABORT Transaction discarded because of previous errors.")
    million = b"v" * 1000000
    with Server("--maxmemory", "1gb", "--client-memory", "512mb", "--client-output-buffer-limit", "normal 256mb 0 0") as server, \
            server.connect() as c:
        def transaction(requests):
            replies = c.pipeline([request("MULTI"), *requests, request("EXEC")])
            return replies[-2], replies[-1]

        queued = Simple("QUEUED")
        equal(c.ask("SET", "big", million), OK)
        # a value that is written again and again: each time all of it
        for words in (("APPEND", "big", ""), ("SETRANGE", "big", 0, "x"), ("PEXPIRE", "big", 1000000), ("PERSIST", "big"),
                      ("GETEX", "big", "PERSIST"), ("COPY", "big", "copy", "REPLACE"), ("SET", "new", million)):
            last, result = transaction([request(*words)] * 16)
            check(isinstance(result, list) and len(result) == 16, f"16 times {words[0]}: {shown(result)}")
            equal(transaction([request(*words)] * 17), (queued, much), words[0])
        equal(c.ask("STRLEN big"), 1000000)
        # but not what only looks at it, removes it or puts a small one in its place
        for words in (("STRLEN", "big"), ("EXISTS", "big"), ("SET", "big", "small"), ("DEL", "big")):
            c.ask("SET", "big", million)
            equal(len(transaction([request(*words)] * 200)[1]), 200, words[0])
        # MSET: each key has its own value
        names = [f"k{i}" for i in range(1000)]
        equal(transaction([request("MSET", "one", million, *[x for n in names for x in (n, "small")])])[1], [OK])
        few = [x for n in names[:17] for x in (n, million)]
        equal(c.ask("MSET", *few[:32]), OK)
        equal(c.ask("MSET", *few), mset_error)
        equal(c.ask("MSETEX", 17, *few, "PX", "1000"), mset_error)
        equal(transaction([request("MSET", *few)]), (mset_error, aborted))
        # a value that the table of sizes does not know, since it was moved, or its database swapped
        equal(c.ask("SELECT 5"), OK)
        equal(c.ask("SET", "big", million), OK)
        equal(c.ask("SELECT 0"), OK)
        swapped = [request("SWAPDB 6 5"), request("SELECT 6")]
        for words, count in (("SETRANGE big 0 x", 17), ("COPY big copy REPLACE", 17), ("EXPIRE big 100", 17)):
            equal(transaction(swapped + [request(words)] * count), (queued, much), words)
        equal(len(transaction(swapped + [request("INCR n")] * 1000)[1]), 1002)
        c.pipeline([request("SELECT 5"), request("SET fl 0"), request("INCRBYFLOAT fl 1e4900"), request("SELECT 0")])
        equal(transaction([request("SWAPDB 6 5"), request("SELECT 6")] + [request("INCRBYFLOAT fl 1")] * 600), (queued, much))
        equal(c.ask("PING"), PONG)
        # numbers of thousands of digits take long; others do not
        equal(transaction([request("INCRBYFLOAT fl 1e4900")] * 100), (queued, much))
        equal(len(transaction([request("INCRBYFLOAT fl 1.25")] * 1000)[1]), 1000)
        equal(c.ask("GET fl"), b"1250")
        equal(len(transaction([request("INCRBYFLOAT", f"fl{i}", "3e2") for i in range(20)])[1]), 20)
        # the exponent of what is stored counts, too, whenever it came there
        c.pipeline([request("SET", f"fl{i}", "1e4900") for i in range(1000)])
        no_float = Error("ERR value is not a valid float")
        equal(transaction([request("INCRBYFLOAT", f"fl{i}", 1) for i in range(1000)]), (queued, [no_float] * 1000))
        equal(c.ask("INCRBYFLOAT fl0 1")[:3], b"100")
        equal(transaction([request("SET fl 1"), request("APPEND fl e4900"), request("INCRBYFLOAT fl 1")])[1][2], no_float)
        for value, error in (("inf", "ERR increment would produce NaN or Infinity"), ("-inf", "ERR increment would produce NaN "
                             "or Infinity"), ("nan", no_float), ("x", no_float), ("-x", no_float), ("1e58", no_float),
                             ("1" * 49 + "e13", no_float), ("0x1p+9999", no_float), ("1e-300", no_float)):
            equal(c.ask("SET", "fl", value), OK)
            equal(transaction([request("INCRBYFLOAT fl 1")])[1], [Error(error)], value)
        for value in ("1e-05", "1e+16", "1.5e3", "5E1", "1e57", "-" + "1" * 300 + "e3", "0x10"):
            equal(c.ask("SET", "fl", value), OK)
            want = float(int(value, 0) if value[1] == "x" else value) + 1e-05
            check(abs(float(transaction([request("INCRBYFLOAT fl 1e-05")])[1][0]) - want) <= abs(want) / 2**50, value)
        equal(transaction([request("SET fl 0")] + [request("INCRBYFLOAT fl 0.5")] * 60000)[1][-1], b"30000")
        # what looks at all shards
        for words, most in (("FLUSHDB", 256), ("DBSIZE", 256), ("RANDOMKEY", 16), ("SCAN 0", 42)):
            equal(len(transaction([request(words)] * most)[1]), most, words)
            equal(transaction([request(words)] * (most + 1)), (queued, much), words)
        # an argument too few: nothing is read behind the last one
        equal(transaction([request("MSET a 1 b")])[1], [Error("ERR wrong number of arguments for 'mset' command")])
        # keys
        pairs = [x for i in range(65536) for x in (i, "v")]
        equal(c.ask("MSET", *pairs), OK)
        equal(c.ask("MSETNX", *pairs, 1, 1), mset_error)
        equal(c.ask("MSETEX", 65536, *pairs), 1)
        equal(c.ask("MSETEX", 65537, *pairs, 1, 1), mset_error)
        equal(transaction([request("DEL", *pairs[::2])])[1], [65536])
        equal(transaction([request("DEL", *pairs[::2], "one more")]), (keys_error, aborted))
        equal(len(transaction([request("PING")] * 65536)[1]), 65536)
        equal(transaction([request("PING")] * 65537), (keys_error, aborted))
        equal(c.ask("PING"), PONG)
    with Server("--maxmemory", "1gb", "--max-value-size", "7mb", "--client-memory", "256mb") as server, server.connect() as c:
        few = [x for i in range(5) for x in (i, b"v" * (4 * MB))]  # so few that they are not counted for their number
        equal(c.ask("MSET", *few), mset_error)
        equal([c.ask("DBSIZE"), c.ask("MSET", *few[:6]), c.ask("DBSIZE")], [0, OK, 3])
