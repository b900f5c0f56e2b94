"""test_process.py -- the process stopped, killed, out of descriptors or memory, and the clock that jumps."""
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import redis
from faults import GROWTH, Processor, Traces
from harness import MB, OK, Error, Failure, Server, check, equal, free_port, request, test, until
from load import Load, check_value, value_of

SECONDS = float(os.environ.get("FAULT_SECONDS", 60))


# ---- stopped and killed ----


def state(server):
    with open(f"/proc/{server.pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


@test(seconds=60)
def stopped():
    """SIGSTOP and SIGCONT under load: every request is answered, what expired meanwhile is gone, nothing else."""
    with Server("--threads", "2") as server, server.connect() as c:
        traces = Traces(server, c)
        with Load(server) as load:
            for _ in range(3):
                for i in range(1000):
                    equal(c.ask("SET", f"short{i}", "v", "PX", 1000), OK)
                equal(c.ask("SET long v PX 100000"), OK)
                server.signal(signal.SIGSTOP)
                until(lambda: state(server) == "T", 5, "it is stopped")
                began, answered = time.monotonic(), load.requests
                others = [server.connect() for _ in range(50)]  # the kernel accepts for it
                for other in others:
                    other.send(request("GET long") + request("GET short1"))
                until(lambda: time.monotonic() > began + 1.2, 5, "the deadlines pass")
                check(load.requests - answered < 1000, "it was not stopped")
                server.signal(signal.SIGCONT)
                for other in others:
                    equal([other.read(), other.read()], [b"v", None])
                    other.close()
                equal([c.ask("GET", f"short{i}") for i in range(1000)], [None] * 1000)
                load.proceeds()
            equal(load.lost, 0)
        equal(c.ask("FLUSHALL"), OK)
        traces.back(GROWTH)


class Caller(threading.Thread):
    """An application with redis-py, which connects again when it has to."""

    def __init__(self, port, number, over):
        super().__init__(daemon=True)
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.02), 1000, (redis.ConnectionError, OSError))
        self.redis = redis.Redis("127.0.0.1", port, retry=retry, socket_timeout=20,
                                 retry_on_error=[redis.ConnectionError])
        self.number, self.over = number, over
        self.calls = 0
        self.trouble = ""

    def run(self):
        key = b"caller:%d" % self.number
        shared = b"shared"
        number = 0
        try:
            while not self.over.is_set():
                number += 1
                for name in (key, shared):
                    check(self.redis.set(name, value_of(name, number)), "SET")
                    got = self.redis.get(name)
                    seen = None if got is None else check_value(name, got)
                    check(name is shared or seen in (None, number), f"{name} holds {seen}, not {number}")
                    self.calls += 2
                with self.redis.pipeline() as pipe:
                    pipe.set(key, value_of(key, number)).get(key)
                    try:
                        got = pipe.execute()
                    except redis.ConnectionError:  # a transaction is not repeated by the library
                        continue
                    check(check_value(key, got[1]) == number, "a transaction saw something else")
        except Exception as e:
            self.trouble = repr(e)


@test(seconds=90)
def killed():
    """kill -9 and a new start, again and again: redis-py's clients come back, and never read a wrong value."""
    port, over = free_port(), threading.Event()
    callers = [Caller(port, i, over) for i in range(10)]
    rounds = 6

    def all_answered():
        calls = [x.calls for x in callers]
        until(lambda: any(x.trouble for x in callers) or all(x.calls > n + 5 for x, n in zip(callers, calls)), 20,
              "all are answered")
        equal([x.trouble for x in callers if x.trouble], [])

    try:
        for round_ in range(rounds):
            with Server("--threads", "2", port=port) as server:
                if round_ == 0:
                    for x in callers:
                        x.start()
                all_answered()
                server.signal(signal.SIGKILL)
                server.ended(-signal.SIGKILL)
        with Server("--threads", "2", port=port) as server:
            all_answered()
            over.set()
            for x in callers:
                x.join(20)
                x.redis.close()
    finally:
        over.set()
    equal([x.trouble for x in callers if x.trouble], [])
    print(f"# killed {rounds} times, {sum(x.calls for x in callers)} calls of {len(callers)} clients, all came back")


# ---- descriptors ----


@test(seconds=60)
def out_of_descriptors():
    """When descriptors run out, nothing spins, clients are served, and who waits is served once one is free."""
    with Server("--threads", "2") as server, server.connect() as c:
        traces = Traces(server, c)
        few = server.descriptors() + 20
        before = subprocess.run(["prlimit", "--pid", str(server.pid), "--nofile", "--output", "SOFT", "--noheadings"],
                                capture_output=True, text=True, check=True).stdout.strip()
        subprocess.run(["prlimit", "--pid", str(server.pid), f"--nofile={few}:"], check=True)
        served = [server.connect() for _ in range(20)]
        for x in served:
            equal(x.ask("SET k v"), OK)
        waiting = [server.connect() for _ in range(20)]
        for x in waiting:
            x.send(request("GET k"))
        until(lambda: "cannot accept a connection" in server.stderr(), 10, "it says so")
        lines = server.stderr().count("\n")
        processor = Processor(server)
        share = processor.check_rests(2)
        lines = server.stderr().count("\n") - lines
        check(lines < 100, f"{lines} lines in the log in 2 s")
        equal(c.info()["connected_clients"], "21")
        for x in served:
            equal(x.ask("GET k"), b"v")
        for x, y in zip(served, waiting):  # one goes, one comes
            x.close()
            equal(y.read(), b"v")
        more = [server.connect() for _ in range(5)]
        subprocess.run(["prlimit", "--pid", str(server.pid), f"--nofile={before}:"], check=True)
        for x in more:
            equal(x.ask("GET k"), b"v")
        for x in waiting + more:
            x.close()
        traces.back()
        print(f"# {100 * share:.1f} percent of a processor and {lines} lines in the log in 2 s without a descriptor")


# ---- memory ----


class Group:
    """A control group with a memory limit, version 1 or 2."""

    def __init__(self, limit):
        with open("/proc/self/cgroup") as f:
            paths = dict(line.strip().split(":", 2)[1:] for line in f)
        if "memory" in paths:
            folders, self.names = ["/sys/fs/cgroup/memory" + paths["memory"], "/sys/fs/cgroup/memory"], (
                "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
        else:
            folders, self.names = ["/sys/fs/cgroup" + paths.get("", "/"), "/sys/fs/cgroup"], (
                "memory.max", "memory.peak", "memory.events")
        why = ""
        for folder in folders:  # in a container, the path is that of the host, and the root is its own
            self.path = f"{folder}/sponson-faults-{os.getpid()}"
            try:
                os.mkdir(self.path)
                with open(f"{self.path}/{self.names[0]}", "w") as f:
                    f.write(str(limit))
                return
            except OSError as e:
                why = f"{why} {self.path}: {e}."
                if os.path.isdir(self.path):
                    os.rmdir(self.path)
        raise Failure(f"no control group with a memory limit can be made here:{why}")

    def read(self, name):
        with open(f"{self.path}/{name}") as f:
            return f.read()

    def peak(self):
        return int(self.read(self.names[1]))

    def kills(self):
        return int(re.search(r"oom_kill (\d+)", self.read(self.names[2])).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        until(lambda: not self.read("cgroup.procs").strip(), 20, "the group is empty")
        os.rmdir(self.path)


def fill_mixed(server, over, number, trouble):
    """Values of all sizes, as fast as they go, each of which may be read and must then be whole."""
    rng = random.Random(number)
    try:
        with server.connect() as c:
            pool = rng.randbytes(1 << 20)
            while not over.is_set():
                requests, keys = [], []
                kind = rng.randrange(5)  # the sizes change from batch to batch
                for _ in range((300, 200, 60, 8, 40)[kind]):
                    n = rng.randrange(1 << 22)
                    size = (n % 100, n % 2000, n % 30000, n % 1000000, n % 3000)[kind] + 16
                    key = b"m:%d:%d" % (kind, n)
                    if rng.random() < 0.2:
                        requests.append(request("GET", key))
                        keys.append((key, b"%016d" % n + pool[:size - 16]))
                    else:
                        requests.append(request("SET", key, b"%016d" % n + pool[:size - 16]))
                        keys.append((key, None))
                for (key, value), got in zip(keys, c.pipeline(requests)):
                    if value is not None and got is not None:
                        check(len(got) == len(value) and got[:16] == value[:16], f"{key} is not its value")
                    check(value is not None or got == OK, f"SET: {got}")
    except Exception as e:
        trouble.append(repr(e))


@test(seconds=SECONDS + 90)
def within_the_limit():
    """With --maxmemory 1gb and a memory limit a tenth above it, full load of all sizes ends in no OOM kill."""
    limit = (1 << 30) * 11 // 10
    with Group(limit) as group:
        inside = ["/bin/sh", "-c", f'echo $$ > {group.path}/cgroup.procs && exec "$@"', "sh"]
        with Server("--maxmemory", "1gb", "--threads", "2", prefix=inside) as server, server.connect() as c:
            over, trouble = threading.Event(), []
            fillers = [threading.Thread(target=fill_mixed, args=(server, over, i, trouble), daemon=True)
                       for i in range(2)]
            tools = []
            began = time.monotonic()
            try:
                for thread in fillers:
                    thread.start()
                sizes = [(20000, 16), (2000, 32), (300, 64), (400000, 4), (100, 64), (60000, 8)]
                turn = 0
                while time.monotonic() < began + SECONDS:
                    tools = [x for x in tools if x.poll() is None]
                    if len(tools) < 2:
                        size, pipeline = sizes[turn % len(sizes)]
                        turn += 1
                        tools.append(subprocess.Popen(
                            ["redis-benchmark", "-p", str(server.port), "-q", "-t", "set", "-d", str(size), "-r",
                             "10000000", "-n", str(max(2000, 150 * MB // size)), "-P", str(pipeline), "-c", "20"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                    check(server.running(), "the server is gone; was it killed?")
                    check(not trouble, trouble)
                    info = c.info()
                    check(int(info["used_memory_dataset"]) <= 1 << 30, "over maxmemory")
                    over.wait(0.1)
            finally:
                over.set()
                for x in tools:
                    x.kill()
                    x.wait()
            for thread in fillers:
                thread.join(30)
            equal(trouble, [])
            equal(group.kills(), 0)
            info = c.info()
            check(int(info["evicted_keys"]) > 0, "the cache was not filled")
            equal(c.ask("SET k v"), OK)
            print(f"# {SECONDS:.0f} s, {int(info['total_net_input_bytes']) // MB} MB written, {info['evicted_keys']} "
                  f"evicted; most memory of the group {group.peak() // MB} of {limit // MB} MB")


# ---- the clock ----


class Clock:
    """The wall clock of a server, moved while it runs by libfaketime."""

    def __init__(self):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        check(found, "libfaketime is not installed")
        self.folder = f"/tmp/sponson-clock-{os.getpid()}"
        os.makedirs(self.folder, exist_ok=True)
        self.set(0)
        self.env = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": f"{self.folder}/offset",
                    "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, seconds):
        with open(f"{self.folder}/next", "w") as f:
            f.write(f"{seconds:+d}\n")
        os.rename(f"{self.folder}/next", f"{self.folder}/offset")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)


@test(seconds=90)
def clock_jumps():
    """The wall clock jumps forth and back: deadlines are those of the clock, nothing is lost, hangs or spins."""
    with Clock() as clock, Server("--threads", "2", env=clock.env) as server, server.connect() as c:
        traces = Traces(server, c)
        hour = 3600
        with Load(server, clock_jumps=True) as load:
            now = int(time.time())
            equal(c.ask("SET stays v"), OK)
            equal(c.ask("SET minute v EX 60"), OK)
            equal(c.ask("SET day v EX 86400"), OK)
            equal(c.ask("SET at v"), OK)
            equal(c.ask("EXPIREAT", "at", now + 2 * hour), 1)
            for offset, there in ((hour, "stays day at"), (0, "stays day at"), (-hour, "stays day at"),
                                  (3 * hour, "stays day"), (-24 * hour, "stays day"), (30 * 24 * hour, "stays"),
                                  (0, "stays"), (-10 * 365 * 24 * hour, "stays"), (5 * 365 * 24 * hour, "stays"),
                                  (0, "stays")):
                clock.set(offset)
                seen = int(c.ask("TIME")[0]) - int(time.time())
                check(abs(seen - offset) < 60, f"the clock was not moved by {offset} s but by {seen} s")
                for key in ("stays", "minute", "day", "at"):
                    want = key in there.split()
                    equal(c.ask("GET", key), b"v" if want else None, f"{key} at {offset}")
                equal(c.ask("SET soon v PX 150"), OK)
                equal(c.pipeline([request("SELECT 1"), request("SET unseen v PX 100"), request("SELECT 0")]), [OK] * 3)
                until(lambda: c.ask("EXISTS soon") == 0, 10, f"a deadline of 150 ms passes at {offset}")
                until(lambda: "db1" not in c.info(), 20, f"what nobody asks for is swept at {offset}")
                load.proceeds()
            equal(load.lost, 0)
        clock.set(-hour)
        Processor(server).check_rests(1)
        clock.set(0)
        equal(c.ask("FLUSHALL"), OK)
        traces.back(GROWTH)


@test(seconds=60)
def clock_jumps_back_while_lingering():
    """A connection that was told goodbye is closed in time, though the clock has jumped back."""
    with Clock() as clock, Server(env=clock.env) as server, server.connect() as c:
        traces = Traces(server, c)
        others = [server.connect() for _ in range(5)]
        for other in others:
            other.send(b"*1\r\n:\r\n")
            check(other.line().startswith(b"-ERR Protocol error"), "a protocol error")
        clock.set(-3600)
        traces.back()
        for other in others:
            other.close()


@test(seconds=60)
def clock_jumps_back_while_waiting():
    """CLIENT PAUSE, the time before AUTH and the end last no longer for a clock that jumps back; uptime is never negative."""
    flags = ("--requirepass", "secret", "--authentication-timeout", "2", "--shutdown-timeout", "1")
    with Clock() as clock, Server(*flags, env=clock.env) as server, server.connect() as c, server.connect() as unknown:
        equal(c.ask("AUTH secret"), OK)
        equal(c.ask("CLIENT PAUSE 1000 WRITE"), OK)
        equal(unknown.ask("PING"), Error("NOAUTH Authentication required."))
        c.send(request("SET k v"))
        clock.set(-3600)
        equal(c.read(), OK)
        equal(unknown.rest(), b"")
        equal(c.info()["uptime_in_seconds"], "0")
        # a client that leaves its replies unread makes the end wait: for a second, whatever the clock says
        clock.set(0)
        equal(c.ask("SET", "large", b"v" * 500000), OK)
        c.send(request("GET large") * 200)
        until(lambda: b"omem=0" not in show(server), 10, "its socket is full")
        server.signal(signal.SIGTERM)
        until(lambda: "SIGTERM" in server.stderr(), 10, "the end has begun")
        clock.set(-3600)
        server.ended(0, 20)


def show(server):
    """The line of CLIENT LIST that a slow reader has."""
    with server.connect() as c:
        equal(c.ask("AUTH secret"), OK)
        return b"\n".join(line for line in c.ask("CLIENT LIST").splitlines() if b"cmd=get" in line) or b"omem=0"


@test(seconds=60)
def clock_of_another_age():
    """A server whose monotonic clock began 30 years ago serves, expires and ends."""
    inside = ["unshare", "-T", "--monotonic", "1000000000", "--boottime", "1000000000"]
    with Server("--threads", "2", prefix=inside) as server, Load(server) as load, server.connect() as c:
        with open(f"/proc/{server.pid}/timens_offsets") as f:
            check("1000000000" in f.read(), "the clock is not another one")
        equal(c.ask("SET k v PX 100"), OK)
        until(lambda: c.ask("EXISTS k") == 0, 10, "a deadline passes")
        load.proceeds(50)
