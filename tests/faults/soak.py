"""soak.py -- everything at once, for SOAK_SECONDS (default 600), and then nothing is left of it.

    SERVER=./sponson SOAK_SECONDS=60 /usr/bin/python3 tests/faults/soak.py

Clients that know what they must read (load.py) run beside rough ones: bad requests, half-open ones, slow readers,
storms of connections, commands of every kind, CONFIG SET, FLUSHALL, CLIENT KILL, CLIENT PAUSE. Every few seconds
something fails: a system call, the network, descriptors; or the process is stopped. A first round of it warms up: what
the server is like after that is what it must be like at the end: memory, descriptors, threads, counters.
"""
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import harness  # noqa: E402
from faults import Strace, Traces, counter, run, threads  # noqa: E402
from harness import MB, OK, Closed, Server, check, equal, request, shown, test, until  # noqa: E402
from load import Counted, Load, check_value, reset, value_of  # noqa: E402

SECONDS = float(os.environ.get("SOAK_SECONDS", 600))
WARM_S = min(60.0, max(10.0, SECONDS / 5))
FLAGS = ("--threads", "2", "--maxmemory", "256mb", "--client-memory", "64mb", "--maxclients", "2000")
BIG = 250000
SHARED = 2000  # keys that all rough clients use

BAD = (b"*1\r\n:1\r\n", b"*2\r\n$3\r\nGET\r\n$-5\r\n", b"*99999999999\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
       b"\x00\xff" * 50, b"*1\r\n$999999999999\r\n", b"SET 'k v\r\n", request("SET", "k" * 2000, "v"),
       request("NOSUCH", "command"), request("GET"), request("SET", "k", "v", "EX", "never"), request("EXEC"),
       request("SELECT", "99"), request("CONFIG", "SET", "port", "1"), request("INCR", "big"),
       request("SETRANGE", "k", 1 << 40, "v"))

# what a rough client asks for: K a shared key, V a value of the last K
ORDINARY = """SET K V|SET K V EX 100|SET K V PX 30|SET K V NX|SETEX K 1 V|GET K|GET K|GET K|GETEX K PX 500|
GETDEL K|MGET K K K K K|DEL K K|UNLINK K|EXISTS K K|TTL K|PTTL K|EXPIRE K 10|PEXPIRE K 20|PERSIST K|STRLEN K|
TYPE K|TOUCH K|OBJECT IDLETIME K|MEMORY USAGE K|INCR n|INCRBYFLOAT f 0.5|APPEND a x|SETRANGE r 100 y|
GETRANGE K 0 5|SCAN 0 COUNT 100|SCAN 0 MATCH s:1* COUNT 500|RANDOMKEY|DBSIZE|PING|ECHO x|TIME|INFO|
COMMAND COUNT|CLIENT LIST|CLIENT ID|CLIENT INFO|CLIENT NO-EVICT ON|KEYS s:1?|MSET K V|SELECT 1|SELECT 0|FLUSHDB|
SWAPDB 2 3|DEL a r f n|LOLWUT|COPY K c REPLACE|RENAME c d|MULTI|EXEC|WATCH K|UNWATCH|DISCARD|HELLO 3|HELLO 2|
RESET""".replace("\n", "").split("|")

SETTINGS = (("timeout", "0", "100"), ("maxclients", "1500", "2000"), ("tcp-keepalive", "60", "300"),
            ("maxmemory", "128mb", "256mb"), ("max-value-size", "500000", "524288"), ("loglevel", "warning", "notice"),
            ("client-memory", "32mb", "64mb"), ("shutdown-timeout", "3", "5"))

# calls, errors, when; a dozen of each
FAILING = (("accept4", "EMFILE ENFILE ECONNABORTED EINTR", "1+2"), ("recvfrom", "EINTR EAGAIN", "1+3"),
           ("recvfrom", "ECONNRESET ETIMEDOUT ENOMEM", "5+40"), ("sendto", "EINTR EAGAIN", "1+3"),
           ("sendto", "EPIPE ECONNRESET ENOBUFS", "5+40"), ("epoll_wait", "EINTR", "1+2"),
           ("epoll_ctl", "ENOMEM ENOSPC", "1+5"), ("mmap", "ENOMEM", "1+2"), ("madvise", "EAGAIN", "1+2"))


class Rough(threading.Thread):
    """A client that does what a client should not, or anything at all."""

    def __init__(self, soak, number):
        super().__init__(daemon=True)
        self.soak, self.server = soak, soak.server
        self.random = random.Random(f"{soak.seed}:{number}")
        self.requests = self.connections = 0

    def run(self):
        while not self.soak.over.is_set():
            try:
                self.random.choice((self.ordinary, self.ordinary, self.bad, self.half_open, self.slow_reader,
                                    self.churn, self.large))()
            except TimeoutError:
                self.soak.trouble.append("a rough client is not answered")
            except (Closed, OSError):
                self.soak.over.wait(0.005)
            except Exception as e:
                self.soak.trouble.append(f"{e!r} {traceback.format_exc().splitlines()[-4].strip()}")

    def connect(self):
        self.connections += 1
        return Counted(self.server.address)

    def words(self):
        """A request and the key that it reads, if it does no more."""
        line = self.random.choice(ORDINARY).split(" ")
        key = b""
        for i, word in enumerate(line):
            if word == "K":
                line[i] = key = b"s:%d" % self.random.randrange(SHARED)
            elif word == "V":
                line[i] = value_of(key, self.random.randrange(10000))
        return line, key if line[0] == "GET" else None

    def ordinary(self):
        with self.connect() as c:
            for _ in range(self.random.randrange(1, 30)):
                batch = [self.words() for _ in range(self.random.choice((1, 1, 10, 100)))]
                for (line, key), got in zip(batch, c.pipeline([request(*line) for line, _ in batch])):
                    if key and isinstance(got, bytes):  # neither an error nor QUEUED
                        check_value(key, got)
                    self.requests += 1

    def bad(self):
        with self.connect() as c:
            for _ in range(10):
                c.send(self.random.choice(BAD) + request("PING"))
                while c.read() != "PONG":
                    self.requests += 1

    def half_open(self):
        them = [self.connect() for _ in range(self.random.randrange(1, 50))]
        for c in them:
            data = request("SET", "half", "v" * self.random.choice((10, 1000, 100000)))
            c.send(data[:self.random.randrange(1, len(data))])
        self.soak.over.wait(self.random.random() / 2)
        for c in them:
            self.random.choice((reset, type(c).close))(c)

    def slow_reader(self):
        with self.connect() as c:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            c.send(request("SET", "big", b"b" * BIG) + request("GET big") * self.random.randrange(1, 60))
            self.soak.over.wait(self.random.random())
            if self.random.random() < 0.5:
                equal(c.read(), OK)
                got = c.read()
                check(got is None or got == b"b" * BIG, f"the large value is {shown(got)}")
                self.requests += 2

    def churn(self):
        for _ in range(100):
            c = self.connect()
            if self.random.random() < 0.5:
                c.send(b"PING\r\n" * self.random.randrange(1, 5))
            self.random.choice((reset, type(c).close))(c)

    def large(self):
        """More values than fit, so that entries are evicted."""
        with self.connect() as c:
            for _ in range(20):
                size = self.random.choice((100, 5000, 60000, BIG))
                keys = [b"l:%d" % self.random.randrange(100000) for _ in range(max(1, min(300, 1000000 // size)))]
                c.pipeline([request("SET", key, b"%s;" % key + b"x" * size) for key in keys])
                for key, got in zip(keys, c.pipeline([request("GET", key) for key in keys])):
                    check(not isinstance(got, bytes) or got.startswith(key + b";"), f"{key} holds another one's value")
                self.requests += 2 * len(keys)


class Soak:
    def __init__(self, server):
        self.server = server
        self.seed = random.randrange(1 << 30)
        self.random = random.Random(self.seed)
        self.trouble = []
        self.over = threading.Event()
        self.faults = self.requests = self.connections = self.lost = self.wrong = self.rounds = 0

    # ---- faults ----

    def fail(self):
        """One of everything that may go wrong. Returns how many faults that was."""
        kind = self.random.randrange(8)
        if kind < 5:
            calls, errors, when = self.random.choice(FAILING)
            with Strace(self.server, calls, self.random.choice(errors.split()), when) as strace:
                deadline = time.monotonic() + 2
                while strace.count() < 12 and time.monotonic() < deadline and not self.over.is_set():
                    self.over.wait(0.01)
            return strace.failed
        if kind == 5:
            self.server.signal(signal.SIGSTOP)
            self.over.wait(0.2)
            self.server.signal(signal.SIGCONT)
        elif kind == 6:
            run("ss", "-K", "-tn", "src", "127.0.0.1", "sport", "=", f":{self.server.port}")
        else:
            run("prlimit", "--pid", str(self.server.pid), f"--nofile={self.server.descriptors()}:")
            self.over.wait(0.3)
            run("prlimit", "--pid", str(self.server.pid), "--nofile=3000:")
        return 1

    def administer(self):
        """One of what an operator does."""
        with self.server.connect() as c:
            kind = self.random.randrange(6)
            if kind < 2:
                name, *values = self.random.choice(SETTINGS)
                c.ask("CONFIG", "SET", name, self.random.choice(values))
            elif kind == 2:
                c.ask(self.random.choice(("FLUSHALL", "FLUSHALL ASYNC", "MEMORY PURGE")))
            elif kind == 3:
                lines = c.ask("CLIENT LIST")
                check(isinstance(lines, bytes), lines)
                c.ask("CLIENT", "KILL", "ID", self.random.choice(lines.split(b"\n")[:-1]).split()[0][3:])
            elif kind == 4:
                c.ask("CLIENT", "PAUSE", self.random.randrange(50), self.random.choice(("ALL", "WRITE")))
            else:
                check(isinstance(c.ask("INFO all"), bytes), "INFO")

    # ---- a round ----

    def round(self, seconds):
        deadline = time.monotonic() + seconds
        self.over.clear()
        rough = [Rough(self, f"{self.rounds}:{i}") for i in range(5)]
        self.rounds += 1
        with Load(self.server, lossy=True, scarce=True, name=b"load%d" % self.rounds, patience=60) as load:
            for x in rough:
                x.start()
            try:
                while time.monotonic() < deadline and not self.trouble and not load.trouble:
                    check(self.server.running(), "the server is gone")
                    self.faults += self.fail()
                    for _ in range(5):
                        try:
                            self.administer()
                        except (Closed, ConnectionError):
                            pass
                    self.over.wait(0.2)
                load.proceeds(seconds=60)
            finally:
                self.over.set()
                for x in rough:
                    x.join(90)
                self.requests += load.requests + sum(x.requests for x in rough)
                self.connections += load.connections + sum(x.connections for x in rough)
                self.lost += load.lost
                self.wrong += len(load.trouble) + len(self.trouble)
        equal(self.trouble, [])
        check(not any(x.is_alive() for x in rough), "a rough client is stuck")

    def calm(self, c):
        """Nobody is there any more, and nothing is stored."""
        for name, _, value in SETTINGS:
            equal(c.ask("CONFIG", "SET", name, value), OK)
        until(lambda: c.info()["connected_clients"] == "1", 30, "all clients are gone")
        equal(c.ask("FLUSHALL"), OK)
        equal(c.ask("DBSIZE"), 0)


def check_counters(c):
    """What INFO says agrees with itself, and counts on."""
    info = c.info()
    equal([(k, v) for k, v in info.items() if k.startswith("db")], [], "databases")
    for name in ("mem_clients_normal", "blocked_clients"):
        equal(info[name], "0", name)
    check(int(info["total_connections_received"]) >= int(info["rejected_connections"]), "connections")
    stats = dict(line.split(":", 1) for line in c.ask("INFO commandstats").decode().split("\r\n") if ":" in line)
    calls = {name: counter(stats, name) for name in stats}
    total = int(c.info()["total_commands_processed"])
    check(0 <= total - sum(calls.values()) <= 5, f"{total} commands, {sum(calls.values())} by name")
    equal([name for name, line in stats.items() if "-" in line.split(",usec")[0]], [], "negative counts")
    before = c.info()
    equal(c.ask("SET here v"), OK)
    for _ in range(100):
        equal(c.ask("GET here"), b"v")
        equal(c.ask("GET not_here"), None)
    equal(c.ask("DEL here"), 1)
    after = c.info()
    for name, more in (("keyspace_hits", 100), ("keyspace_misses", 100), ("total_commands_processed", 203),
                       ("evicted_keys", 0), ("expired_keys", 0), ("total_connections_received", 0)):
        equal(int(after[name]) - int(before[name]), more, name)


STATE = {}


@test(seconds=2 * (SECONDS + WARM_S) + 300)
def all_at_once():
    """Everything at once, with faults: no wrong value, no hang, every client is answered at the end."""
    server = Server(*FLAGS)
    c = server.connect(60)
    soak = Soak(server)
    STATE.update(server=server, soak=soak)
    equal(c.ask("PING"), "PONG")
    started = threads(server), server.descriptors()
    try:
        soak.round(WARM_S)
        check(server.running(), "the server is gone")
        c.close()
        c = server.connect(60)
        soak.calm(c)
        # a moment later, since refused clients are kept until they have read why
        until(lambda: (threads(server), server.descriptors()) == started, 10, "threads and descriptors are as before")
        STATE["traces"] = traces = Traces(server, c)
        traces.back(4 * MB)
        traces.resident = server.resident()
        soak.round(max(1, SECONDS - WARM_S))
        c.close()
        STATE["done"] = True
    finally:
        print(f"# {soak.requests} requests, {soak.connections} connections, {soak.lost} of load.py's lost, "
              f"{soak.faults} faults, {soak.wrong} wrong; seed {soak.seed}")


def after(function):
    def look():
        check(STATE.get("done"), "the load before did not end well")
        function(**{k: STATE[k] for k in ("server", "soak", "traces")})
    harness.add_test(function.__doc__.rstrip("."), look, 120)


@after
def memory_is_back(server, soak, traces):
    """Once all clients are gone and after FLUSHALL, memory, descriptors and threads are as before."""
    soak.c = traces.c = server.connect(60)
    soak.calm(traces.c)
    traces.back(8 * MB)
    print(f"# resident {traces.resident // 1024} KB before, {server.resident() // 1024} KB after; "
          f"{server.descriptors()} descriptors, {threads(server)} threads")


@after
def counters_agree(server, soak, traces):
    """The counters of INFO agree with each other, and count on."""
    check_counters(soak.c)


@after
def ends(server, soak, traces):
    """The server ends in order."""
    server.__exit__(None, None, None)


if __name__ == "__main__":
    code = harness.run_all(sys.argv[1] if len(sys.argv) > 1 else "")
    if "server" in STATE and STATE["server"].child.returncode is None:
        STATE["server"].kill()
    sys.exit(code)
