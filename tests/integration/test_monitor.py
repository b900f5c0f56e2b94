"""test_monitor.py -- MONITOR: what it shows, beside a redis-server and byte for byte; that it shows everything and no secret;
that nobody waits for a watcher, and none holds more than its bound.

A watcher gets its lines a moment after the request was answered, so tests read up to a marker: an ECHO that another client
sends behind all the rest.
"""
import os
import re
import socket
import threading

from harness import (MB, OK, PATIENCE, Closed, Connection, Error, Pinger, Redis, Server, Simple, check, equal, request,
                     shown, test, until)
from test_clients import cli, watch_output
from test_transactions import together

LINE = re.compile(rb"\+(\d+)\.(\d{6}) \[(\d+) ([^ ]+)\] (.*)", re.DOTALL)
RING = MB  # what is kept for watchers


def watcher(server, *before):
    c = server.connect()
    for words in before:
        equal(c.ask(words), OK)
    equal(c.ask("MONITOR"), OK)
    return c


def quoted(*words):
    return b" ".join(b'"%s"' % (w if isinstance(w, bytes) else str(w).encode()) for w in words)


def lines_until(c, marker):
    """Everything up to the line of `ECHO marker`, which is left out: (database, address, request) of each line that has
    that form, other lines as they are."""
    got = []
    while True:
        line = c.line()
        found = LINE.fullmatch(line)
        if found and found[5] == quoted("ECHO", marker):
            return got
        got.append((int(found[3]), found[4], found[5]) if found else line)


def seen(server, c, marker="the end"):
    """What a watcher has got so far."""
    with server.connect() as other:
        equal(other.ask("ECHO", marker), marker.encode())
    return lines_until(c, marker)


# ---- what it shows ----

# Requests of one client, and of one that watches, and is asked for nothing else: as Redis 7.0 they are shown, or not.
REQUESTS = [b"SELECT 1\r\n", b"SELECT 0\r\n", b"SET a 12345\r\n", b"GeT a\r\n", request("SET", "b", bytes(range(256))),
            request("SET", "", ""), b"GET\r\n", b"nosuch a\r\n", b"ECHO 'one two'\r\n", b"INCR b\r\n", b"PING\r\n",
            b"MULTI\r\nSET a 1\r\nSELECT 3\r\nGET a\r\nEXEC\r\n", b"SELECT 0\r\n", b"MULTI\r\nGET a\r\nDISCARD\r\n",
            b"MULTI\r\nGET a\r\nnosuch\r\nEXEC\r\n", b"WATCH a\r\n", b"EXEC\r\n", b"AUTH x\r\n", b"AUTH u x\r\n", b"HELLO 2\r\n",
            b"CONFIG SET timeout 0\r\n", b"CONFIG GET save\r\n", b"CLIENT LIST\r\n", b"CLIENT SETNAME x\r\n",
            b"CLIENT ID\r\n", b"CLIENT NO-EVICT OFF\r\n", b"CLIENT KILL ID 12345\r\n", b"INFO server\r\n",
            b"COMMAND COUNT\r\n", b"CLIENT REPLY SKIP\r\nPING\r\n", b"TIME\r\n", b"ROLE\r\n", b"MEMORY USAGE a\r\n",
            b"OBJECT ENCODING a\r\n", b"DBSIZE\r\n", b"KEYS *\r\n", b"RANDOMKEY\r\n", b"MGET a b c\r\n", b"FLUSHALL\r\n",
            b"SCAN 0\r\n", b"CLIENT PAUSE 0\r\n", b"RESET\r\n"]
BY_WATCHER = [b"PING\r\n", b"MONITOR\r\n", b"PING x\r\n", b"GET a\r\n", b"SET a 1\r\n", b"DBSIZE\r\n", b"WATCH a\r\n",
              b"MULTI\r\nGET a\r\nPING\r\nEXEC\r\n", b"SELECT 2\r\n", b"ECHO x\r\n", b"nosuch\r\n",
              b"RESET\r\n", b"PING\r\n"]


def shown_by(server):
    """What is shown of all these requests, and what a watcher reads that sends requests itself."""
    with watcher(server) as one, server.connect() as c:
        got = []
        for data in REQUESTS:
            c.answer(data)
            got += lines_until(one, "the end of the answer")
        port = b"127.0.0.1:%d" % c.socket.getsockname()[1]
        equal({address for _, address, _ in got}, {port}, "the addresses")
        got = [(database, text) for database, _, text in got]
        own = []
        for data in BY_WATCHER:
            one.send(data)
            if data == b"RESET\r\n":  # from here on it gets replies only
                own += [one.line(), one.ask("PING")]
                break
            marked = ask_marked(one)  # of a pipeline all replies come first, or each before its line
            own += [x for x in marked if isinstance(x, bytes)] + [(x[0], x[2]) for x in marked if isinstance(x, tuple)]
        return got, own


def ask_marked(one):
    """What a watcher reads up to the line of its own ECHO, whose reply comes before it."""
    one.send(request("ECHO", "mark"))
    return [x for x in lines_until(one, "mark") if x not in (b"$4", b"mark")]


@test
def as_redis():
    """MONITOR shows the same requests as Redis does, byte for byte, but for the time; so a watcher's own requests."""
    with Redis() as redis:
        want, want_own = shown_by(redis)
    with Server() as server:
        got, own = shown_by(server)
    for at, (a, b) in enumerate(zip(got + own, want + want_own)):
        equal(a, b, f"line {at}")
    equal((len(got), len(own)), (len(want), len(want_own)), "lines")
    check(len(got) > 35 and len(own) > 20, f"{len(got)} and {len(own)} lines")


@test
def time_and_addresses():
    """The time is the wall's, to the microsecond, and does not go back; addresses of IPv4, IPv6 and a unix socket."""
    with Server("--unixsocket", os.path.join("/tmp", f"sponson-monitor-{os.getpid()}"), "--bind", "127.0.0.1 ::1",
                bind=False) as server:
        path = f"/tmp/sponson-monitor-{os.getpid()}"
        with watcher(server) as one:
            began = int(server.connect().ask("TIME")[0])
            for address, form in ((server.address, rb"127\.0\.0\.1:\d+"), (("::1", server.port), rb"\[::1\]:\d+"),
                                  (path, b"unix:" + re.escape(path.encode()))):
                with Connection(address) as c:
                    c.ask("ECHO", "here")
                while True:
                    line = one.line()
                    found = LINE.fullmatch(line)
                    check(found, shown(line))
                    check(began - 1 <= int(found[1]) <= began + 60 * PATIENCE, f"{line} after {began}")
                    if found[5] == quoted("ECHO", "here"):
                        break
                check(re.fullmatch(form, found[4]), shown(line))


@test
def long_lines():
    """A line is cut at 4 KB, and says how much is missing; what is a little shorter is whole."""
    with Server() as server, watcher(server) as one, server.connect() as c:
        for n in (1, 4096, 100_000, 1_000_000):
            equal(c.ask("SET", "k" * 500, b"v" * n), OK)
        equal(c.ask("SET", "k", b"\xff" * 900), OK)
        c.ask("MSET", *[x for i in range(2000) for x in (f"key:{i}", "v" * 10)])
        lines = [text for _, _, text in seen(server, one)]
        equal(len(lines), 6)
        equal(lines[0], quoted("SET", "k" * 500, "v"))
        equal(lines[4], quoted("SET", "k", rb"\xff" * 900))
        for n, line in ((4096, lines[1]), (100_000, lines[2]), (1_000_000, lines[3])):
            found = re.fullmatch(rb'"SET" "k{500}" "(v*)" \.\.\. \((\d+) more bytes\)', line)
            check(found and 3900 < len(line) < 4096, shown(line))
            equal(len(found[1]) + int(found[2]), n, "bytes that are shown, and that are not")
        found = re.fullmatch(rb'"MSET"(?: "[^"]*")* \.\.\. \((\d+) more bytes\)', lines[5])
        check(found and len(lines[5]) < 4096, shown(lines[5]))
        words = re.findall(rb'"([^"]*)"', lines[5])[1:]
        total = sum(len(f"key:{i}") + 10 for i in range(2000))
        equal(sum(map(len, words)) + int(found[1]), total, "bytes of MSET")


@test
def no_secrets():
    """No form of AUTH, HELLO and CONFIG SET shows a password, whether it is right, wrong, misspelt or misplaced."""
    with Server("--requirepass", "hush-right") as server:
        with server.connect() as one, server.connect() as c:
            equal(one.ask("AUTH", "hush-right"), OK)
            equal(one.ask("MONITOR"), OK)
            for words in ("AUTH hush-wrong", "AUTH default hush-wrong", "AUTH hush-user hush-wrong", "AUTH hush-a hush-b hush-c",
                          "HELLO 3 AUTH default hush-wrong", "HELLO 2 AUTH hush-wrong", "HELLO 4 AUTH default hush-right",
                          "HELLO 3 AHTU default hush-right", "HELLO 3 SETNAME auth AUTH default hush-right",
                          "hello 2 auth default hush-right setname n", "AUTH hush-right", "auth default hush-right",
                          "CONFIG SET requirepass hush-new", "CONFIG SET timeout 0 requirepass hush-newer",
                          "MULTI", "AUTH hush-newer", "CONFIG SET requirepass hush-newest", "DISCARD", "RESET",
                          "QUIT"):
                c.send(request(words))
            c.rest()
            with server.connect() as other:
                equal(other.ask("AUTH", "hush-newer"), OK)
                other.ask("ECHO", "the end")
            lines = lines_until(one, "the end")
            text = b"\n".join(x[2] for x in lines)
            check(b"hush" not in text, shown(text))
            equal(text.count(b"(redacted)"), 1 + 2 + 2 + 3 + 3 + 2 + 3 + 3 + 5 + 5 + 1 + 2 + 1, shown(text))
            check(quoted("HELLO", "3", "(redacted)", "(redacted)", "(redacted)") in text, shown(text))


# ---- many ----


def everything(threads, clients, requests, watchers):
    """Each watcher sees every request of every client, and those of one client in their order."""
    with Server("--threads", threads, "--client-memory", "64mb") as server:
        watching = [watcher(server) for _ in range(watchers)]
        counts = [{} for _ in watching]
        total = clients * requests

        def read(one, count):
            for _ in range(total):
                found = LINE.fullmatch(one.line())
                name, number = found[5].split(b'"')[3].split(b":")
                equal(int(number), count.get(name, 0), f"the next of client {name}")
                count[name] = int(number) + 1

        def ask(name):
            with server.connect() as c:
                for first in range(0, requests, 20):
                    c.pipeline([request("SET", f"{name}:{i}", "v") for i in range(first, first + 20)])
        together(*[lambda n=n: ask(n) for n in range(clients)], *[lambda w=w, n=n: read(w, n) for w, n in
                                                                 zip(watching, counts)])
        for count in counts:
            equal(count, {b"%d" % n: requests for n in range(clients)})
        for one in watching:
            one.close()
        with server.connect() as c:
            until(lambda: c.info()["mem_clients_normal"] == "0", 10, "everything is given back")
            equal(c.info()["monitor_client_disconnections"], "0")


@test(seconds=60)
def everything_one_thread():
    """Eight clients, one worker: two watchers see all, each client's requests in their order."""
    everything(1, 8, 400, 2)


@test(seconds=60)
def everything_many_threads():
    """The same with four workers, and watchers on each."""
    everything(4, 8, 400, 5)


@test(seconds=90)
def hundred_watchers():
    """A hundred watchers see everything; then most close, in all ways, and the others still do."""
    with Server("--threads", "2") as server:
        watching = [watcher(server) for _ in range(100)]
        with server.connect() as c, Pinger(server):
            for i in range(20):
                c.pipeline([request("SET", f"key:{i}", n) for n in range(10)])
            c.ask("ECHO", "first")
            want = [quoted("SET", f"key:{i}", n) for i in range(20) for n in range(10)]
            for one in watching:
                got = [x[2] for x in lines_until(one, "first") if x[2] != quoted("PING")]
                equal(got, want)
            for n, one in enumerate(watching[10:]):
                if n % 3 == 0:
                    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
                if n % 3 == 1:
                    one.send(request("QUIT"))
                one.close()
            until(lambda: flags(server).count("O") == 10, 10, "they are gone")
            others = [server.connect() for _ in range(20)]  # which take their places
            equal([other.ask("PING") for other in others], [Simple("PONG")] * 20)
            c.pipeline([request("SET", "another", n) for n in range(100)])
            c.ask("ECHO", "second")
            for one in watching[:10]:
                got = [x[2] for x in lines_until(one, "second") if x[2] not in (quoted("PING"), quoted("QUIT"))]
                equal(got, [quoted("SET", "another", n) for n in range(100)])
                one.close()


# ---- one that does not read ----


@test(seconds=120)
def slow_watcher():
    """A watcher that reads nothing while others write 50 MB is closed, and the log says so; nobody waits for it, or for
    one that reads, and client-memory keeps its bound."""
    limit = 16 * MB
    with Server("--threads", "2", "--client-memory", limit) as server:
        slow, good, most = watcher(server), watcher(server), [0]
        done = threading.Event()

        def read():  # the good one: all of it, or as much as comes before it falls behind itself
            try:
                while not done.is_set():
                    good.at = len(good.buffer)
                    good.fill()
            except (Closed, OSError):
                pass

        def look():
            with server.connect() as c:
                while not done.is_set():
                    held = [int(c.info()["mem_clients_normal"]) for _ in range(3)]  # one that is about to be refused counts
                    most[0] = max(most[0], min(held))

        def write():
            try:
                with server.connect() as c, Pinger(server):
                    for i in range(100):
                        c.pipeline([request("SET", f"key:{n}", b"v" * 1000) for n in range(525)])
                with server.connect() as c:
                    until(lambda: int(c.info()["monitor_client_disconnections"]) >= 1, 10, "it is closed")
            finally:
                done.set()
                good.socket.shutdown(socket.SHUT_RDWR)
        together(read, look, write)
        until(lambda: re.search(r"client closed: .*MONITOR.* flags=O ", server.stderr()), 10,
              lambda: f"the log has its line of CLIENT LIST: {server.stderr()[-1000:]}")
        check(RING <= most[0] <= limit, f"{most[0]} bytes of client-memory")
        try:
            got = len(slow.rest())
        except ConnectionResetError:
            got = 0
        check(got < 10 * MB, f"it got {got} bytes")
        good.close()
        with server.connect() as c:
            until(lambda: c.info()["mem_clients_normal"] == "0", 10, "everything is given back")


@test(seconds=90)
def stalls_and_goes_on():
    """A watcher that again and again does not read for a while, but less than is kept, misses nothing; replies to its own
    requests stand between lines."""
    with Server() as server, watcher(server) as one, server.connect() as c:
        for turn in range(12):
            for i in range(40):
                c.pipeline([request("SET", f"key:{turn}:{i}:{n}", b"v" * 100) for n in range(100)])
                one.send(request("PING"))
            lines = [x if isinstance(x, bytes) else x[2] for x in seen(server, one)]
            equal(lines.count(b"+PONG"), 40)
            equal([x for x in lines if x not in (b"+PONG", quoted("PING"))],
                  [quoted("SET", f"key:{turn}:{i}:{n}", b"v" * 100) for i in range(40) for n in range(100)])


# ---- its life ----


def flags(server):
    with server.connect() as c:
        return re.findall(r" flags=(\S+) ", c.ask("CLIENT", "LIST").decode())


@test
def begins_and_ends():
    """O in CLIENT LIST; MONITOR twice is answered once; RESET, QUIT and a close end it, and give back what it took."""
    with Server("--threads", "2") as server:
        with server.connect() as c:
            with watcher(server) as one:
                check("O" in flags(server), flags(server))
                one.send(request("MONITOR") + request("MONITOR") + request("PING"))
                equal(one.read(), Simple("PONG"))
                equal(LINE.fullmatch(one.line())[5], quoted("PING"), "CLIENT LIST is not shown, MONITOR is not answered")
                equal(one.ask("RESET"), Simple("RESET"))
                until(lambda: flags(server) == ["N"] * 3, 10, "it is none any more")
                until(lambda: c.info()["mem_clients_normal"] == "0", 10, "the ring is given back")
                equal(c.ask("PING"), Simple("PONG"))
                equal(one.ask("SET", "a", "1"), OK, "an ordinary client again")
                one.send(request("MONITOR") + request("RESET") + request("MONITOR") + request("PING"))
                equal([one.read() for _ in range(4)], [OK, Simple("RESET"), OK, Simple("PONG")])
                equal([x[2] for x in seen(server, one)], [quoted("PING")], "once, although it said MONITOR twice")
                with watcher(server) as second, watcher(server) as third, watcher(server) as fourth:
                    for again in (third, fourth):
                        again.send(request("RESET") + request("MONITOR"))
                        while again.line() != b"+RESET":  # what it got before, of the others
                            pass
                        equal(again.read(), OK)
                    for each in (one, second, third, fourth):
                        equal(c.ask("ECHO", "all"), b"all")
                        while b"all" not in each.line():
                            pass
                one.send(request("QUIT"))
                check(b"+OK\r\n" in one.rest(), "QUIT")
            with watcher(server) as one:
                pass
            until(lambda: flags(server) == ["N"] * 2, 10, "it is gone")
            until(lambda: c.info()["mem_clients_normal"] == "0", 10, "the ring is given back")


@test
def refusals():
    """Not within MULTI, not before AUTH, not where client-memory has no room for it."""
    with Server("--requirepass", "x", "--client-memory", "1mb") as server, server.connect() as c:
        equal(c.ask("MONITOR"), Error("NOAUTH Authentication required."))
        equal(c.ask("AUTH", "x"), OK)
        equal(c.ask("MULTI"), OK)
        equal(c.ask("MONITOR"), Error("ERR Command not allowed inside a transaction"))
        check(c.ask("EXEC").startswith("EXECABORT"), "the transaction")
        with server.connect() as other:
            equal(other.ask("AUTH", "x"), OK)
            equal(other.ask("MONITOR"), Error("ERR MONITOR takes 1mb of client-memory, which has to have 2mb at least"))
            equal(other.ask("SET", "k", "v" * 100000), OK)
            equal(other.ask("CLIENT", "GETNAME"), None)
            check("flags=N" in other.ask("CLIENT", "INFO").decode(), "it does not watch")


@test
def replies_off():
    """With CLIENT REPLY OFF a watcher gets nothing; from CLIENT REPLY ON on it gets what comes then."""
    with Server() as server, watcher(server) as one, server.connect() as c:
        one.send(request("CLIENT REPLY OFF"))
        until(lambda: "cmd=client|reply" in c.ask("CLIENT", "LIST").decode(), 10, "it is off")
        for i in range(50):
            equal(c.ask("SET", "unseen", i), OK)
        for words, name in (("PING", "ping"), ("ECHO x", "echo"), ("PING", "ping")):  # turns of its worker, in which all
            one.send(request(words))                                                  # that is dropped
            until(lambda name=name: re.search(rf"flags=O .* cmd={name} ", c.ask("CLIENT", "LIST").decode()), 10, "it was asked")
        one.send(request("CLIENT REPLY ON"))
        equal(one.read(), OK)
        got = [x[2] for x in seen(server, one)]
        equal(got, [quoted("CLIENT", "REPLY", "ON")])


@test
def never_times_out():
    """A watcher is no idle client; CLIENT PAUSE does not hold it up."""
    with Server("--timeout", "1") as server, watcher(server) as one:
        idle = server.connect()
        equal(idle.ask("PING"), Simple("PONG"))
        equal(idle.rest(), b"", "an idle client is closed")
        with server.connect() as c:
            equal(c.ask("CLIENT", "PAUSE", "60000"), OK)
            equal(c.ask("CLIENT", "GETNAME"), None)
            check(quoted("CLIENT", "GETNAME") in [x[2] for x in read_lines(one, 2)], "it still watches")
            equal(c.ask("CLIENT", "UNPAUSE"), OK)


def read_lines(c, n):
    found = [LINE.fullmatch(c.line()) for _ in range(n)]
    return [(int(f[3]), f[4], f[5]) for f in found]


@test
def cli_monitor():
    """redis-cli monitor."""
    with Server() as server:
        done = threading.Event()

        def ask():
            while not done.is_set():
                cli(server, "SET", "greeting", "hello")
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            text = watch_output(["redis-cli", "-p", server.port, "monitor"], r'"SET" "greeting" "hello"\s')
        finally:
            done.set()
            thread.join()
        check(re.search(r'OK\s+\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "', text), shown(text))
