"""memory.py -- what the server's memory holds, what it lets go, and when: measured on the real binary.

    SERVER=./sponson python3 bench/memory.py phases [--maxmemory 128mb] [--thp always]
    SERVER=./sponson python3 bench/memory.py entries [--count 3000000 5000000] [--values 32 64 256 mix]
    SERVER=./sponson python3 bench/memory.py start
    SERVER=./sponson python3 bench/memory.py replay TRACE.gz... [--requests N] [--prefixes 64]
    SERVER=./sponson python3 bench/memory.py idle [--connections 10000]
    SERVER=./sponson python3 bench/memory.py expiry [--part lag cpu] [--first 20 --last 80]
    SERVER=./sponson python3 bench/memory.py flush [--count 5000000] [--rounds 3]
    SERVER=./sponson python3 bench/memory.py scrape [--count 5000000]
    SERVER=./sponson python3 bench/memory.py hostile [--part mget pipeline multi half mgets pipelines slow] [--rounds 3]

    phases    the hard bound: resident memory through phases that each want another layout of the same bytes
    entries   resident bytes an entry
    start     what an empty server holds, and how soon it answers
    replay    misses beside an exact LRU of the same size, on recorded requests: lines "key size"
    idle      resident bytes a connection
    expiry    how long an entry outlives its deadline, and what looking for such entries costs
    flush     whom FLUSHALL keeps waiting
    scrape    how long /metrics takes, alone and under load
    hostile   what clients that want too much cost: memory, and the latency of others beside them and alone

One line a figure, with its bound and whether it holds; the exit code is 1 when one does not. Lines that begin with
"-" have no bound. Servers are started and ended by the harness of the integration tests; load comes from fill.c and
replay.c, which are compiled into build/ (CC, default cc). Measure on a machine that does nothing else.
"""
import argparse
import array
import contextlib
import gzip
import json
import os
import re
import resource
import select
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

from harness import (MB, OK, SERVER, Closed, Connection, Failure, Server, check, clean_environment, equal,  # noqa: E402
                     free_port, request)

OVERHEAD = 8 * MB  # what the process may need beside entries and clients' buffers
KEY = 16  # bytes; fill.c says what is in them
SHARDS = 64
THP = "/sys/kernel/mm/transparent_hugepage/enabled"

failed = 0


def figure(what, value, bound=None, unit="", least=False):
    """Prints a figure; `least`: it must not be below its bound instead of above."""
    global failed
    holds = bound is None or (value >= bound if least else value <= bound)
    failed += not holds
    limit = "" if bound is None else f"   ({'at least' if least else 'at most'} {bound:,.10g} {unit})"
    mark = "-   " if bound is None else "ok  " if holds else "FAIL"
    print(f"{mark} {what}: {value:,.4g} {unit}{limit}" if isinstance(value, float) else
          f"{mark} {what}: {value:,} {unit}{limit}", flush=True)


# ---- load ----


def program(name):
    """Compiles bench/NAME.c, if it is newer than what was made of it; returns the path."""
    source, made = os.path.join(ROOT, "bench", name + ".c"), os.path.join(ROOT, "build", name)
    sources = [source, os.path.join(ROOT, "bench", "link.h")]
    if not os.path.exists(made) or any(os.path.getmtime(s) > os.path.getmtime(made) for s in sources):
        os.makedirs(os.path.dirname(made), exist_ok=True)
        subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-o", made, source, "-lm"],
                       check=True)
    return made


def fill(what, server, **options):
    """Runs fill.c; its options by their letters. Returns the numbers that it prints."""
    argv = [program("fill"), what, "-p", str(server.port)]
    for letter, value in options.items():
        argv += ["-" + letter] if value is True else ["-" + letter, str(value)]
    done = subprocess.run(argv, capture_output=True, text=True)
    check(done.returncode == 0, f"{' '.join(argv)}: {done.stderr}")
    return [float(n) if "." in n else int(n) for n in done.stdout.split()]


# ---- what a process holds ----


def status(server, field):
    with open(f"/proc/{server.pid}/status") as f:
        return int(re.search(field + r":\s+(\d+) kB", f.read()).group(1)) * 1024


class Peak:
    """The most resident memory between `with` and its end: looked at every 2 ms, and the kernel's own mark, which
    misses nothing where it may be begun anew."""

    def __init__(self, server):
        self.server = server
        self.most = 0

    def __enter__(self):
        with open(f"/proc/{self.server.pid}/clear_refs", "w") as f:
            f.write("5")  # the mark begins anew
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.ended.wait(0.002):
            self.most = max(self.most, self.server.resident())

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.most = max(self.most, status(self.server, "VmHWM"))


def dataset(info):
    """Bytes of entries and index. used_memory holds clients' buffers as well."""
    return int(info["used_memory"]) - int(info.get("mem_clients_normal", 0))


def flushed_within(server, near, seconds=5):
    """Seconds until resident memory is no more than that."""
    began = time.monotonic()
    while server.resident() > near:
        if time.monotonic() - began > seconds:
            break
        time.sleep(0.005)
    return time.monotonic() - began


def cpu_seconds(server):
    """CPU time of all threads of the process, in nanoseconds' steps: its CPU clock's id is made of its pid."""
    return time.clock_gettime(~server.pid << 3 | 2)


@contextlib.contextmanager
def huge_pages(mode):
    """The system's setting of transparent huge pages, for as long as this lasts."""
    if not mode:
        yield
        return
    with open(THP) as f:
        before = re.search(r"\[(\w+)\]", f.read()).group(1)
    try:
        with open(THP, "w") as f:
            f.write(mode)
    except OSError as e:
        raise Failure(f"{THP} cannot be set: {e}") from None
    try:
        yield
    finally:
        with open(THP, "w") as f:
            f.write(before)


# ---- phases ----

# name, value sizes (the letters of fill.c), bound of evictions out of order in percent
PHASES = (
    ("100 bytes", {"l": 100}, 0.1),
    ("2,000 bytes", {"l": 2000}, 0.1),
    ("300 bytes", {"l": 300}, 0.1),
    ("10 bytes to 500 KB", {"l": 10, "m": 500000, "g": True}, 3),
    ("every second deleted", {"l": 10, "m": 500000, "g": True}, 3),
)


def phases(args):
    flags = ["--maxmemory", args.maxmemory, "--max-value-size", "512kb"]
    with huge_pages(args.thp), Server(*flags) as server, server.connect() as c:
        before = c.info()
        start = server.resident()
        maxmemory = int(before["maxmemory"])
        bound = maxmemory + int(c.ask("CONFIG GET client-memory")[1]) + OVERHEAD
        at = written = 0
        for name, sizes, disorder in PHASES:
            with Peak(server) as peak:
                if "deleted" in name:
                    fill("delete", server, f=at - written, n=written, **sizes)
                written, _ = fill("set", server, f=at, b=2 * maxmemory, c=args.clients, **sizes)
            at += written
            info = c.info()
            keys, alive = fill("scan", server)
            figure(f"{name}: resident memory, at most", peak.most / MB, bound / MB, "MB")
            figure(f"{name}: used memory, of maxmemory", 100 * dataset(info) / maxmemory, 90, "%", least=True)
            figure(f"{name}: keys and values alive, of maxmemory", 100 * alive / maxmemory, None, "%")
            figure(f"{name}: keys", c.ask("DBSIZE"))
            twice = keys - c.ask("DBSIZE")  # SCAN may show a key twice while the index shrinks
            figure(f"{name}: keys that SCAN left out", max(0, -twice), 0)
            evicted = int(info["evicted_keys"]) - int(before["evicted_keys"])
            figure(f"{name}: evicted", evicted)
            if "evicted_out_of_order" in info and evicted:
                wrong = int(info["evicted_out_of_order"]) - int(before["evicted_out_of_order"])
                figure(f"{name}: evicted out of order", 100 * wrong / evicted, disorder, "%")
            before = info
        equal(c.ask("FLUSHALL"), OK)
        figure("FLUSHALL: until resident memory is near that of the start", flushed_within(server, start + OVERHEAD),
               1, "s")
        figure("FLUSHALL: resident memory more than at the start", (server.resident() - start) / MB, None, "MB")


# ---- entries ----

ENTRIES_BOUND = {"32": 73, "64": 105, "256": 297}
TTL_BYTES = 16
MIX_BYTES = 32  # over key and value, where values have 1 to 512 bytes


def bytes_an_entry(count, **sizes):
    """Resident bytes, and bytes of key and value, each per entry."""
    with Server("--maxmemory", "2gb") as server, server.connect() as c:
        equal(c.ask("PING"), "PONG")
        empty = server.resident()
        _, stored = fill("set", server, n=count, **sizes)
        equal(c.ask("DBSIZE"), count, "entries")
        return (server.resident() - empty) / count, stored / count


def entries(args):
    for count in args.count:
        for value in args.values:
            if value == "mix":
                resident, stored = bytes_an_entry(count, l=1, m=512)
                figure(f"{count:,} entries, values of 1 to 512 bytes: over key and value", resident - stored, MIX_BYTES,
                       "bytes an entry")
                continue
            bound = ENTRIES_BOUND.get(value)
            resident, _ = bytes_an_entry(count, l=value)
            figure(f"{count:,} entries, values of {value} bytes", resident, bound, "bytes an entry")
            with_ttl, _ = bytes_an_entry(count, l=value, x=100000)
            figure(f"{count:,} entries, values of {value} bytes, with a TTL", with_ttl, bound and bound + TTL_BYTES,
                   "bytes an entry")


# ---- start ----


def answers_after(maxmemory):
    """Milliseconds from before the fork to the first answered PING."""
    port = free_port()
    argv = [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--maxmemory", maxmemory]
    began = time.monotonic()
    child = subprocess.Popen(argv, stderr=subprocess.DEVNULL, env=clean_environment())
    try:
        while True:
            try:
                with Connection(("127.0.0.1", port)) as c:
                    equal(c.ask("PING"), "PONG")
                    return (time.monotonic() - began) * 1000
            except (OSError, Closed):
                check(time.monotonic() - began < 10 and child.poll() is None, "the server does not answer")
                time.sleep(0.0005)
    finally:
        child.kill()
        child.wait()


def start(_args):
    for maxmemory in ("128mb", "2gb", "8gb"):
        took = [answers_after(maxmemory) for _ in range(5)]
        figure(f"maxmemory {maxmemory}: first answer after start (median of 5; longest {max(took):.1f})",
               statistics.median(took), 50, "ms")
    with Server("--maxmemory", "8gb") as server, server.connect() as c:
        equal(c.ask("PING"), "PONG")
        figure("maxmemory 8gb, empty: resident memory", server.resident() / MB, 6, "MB")


# ---- replay ----


def read_trace(path, requests):
    """The requests as indices into the keys, the keys, their sizes (a key keeps the first that it is seen with)."""
    index, order, sizes = {}, array.array("I"), array.array("I")
    try:
        with gzip.open(path, "rb") as f:
            for number, line in enumerate(f, 1):
                if requests and len(order) == requests:
                    break
                words = line.split()
                if len(words) != 2 or not words[1].isdigit():
                    raise Failure(f"{path}: line {number} is not \"key size\"")
                at = index.setdefault(words[0], len(index))
                if at == len(sizes):
                    sizes.append(int(words[1]))
                order.append(at)
    except (EOFError, gzip.BadGzipFile) as e:
        raise Failure(f"{path}: {e}") from e
    check(len(order) > 0, f"{path}: no request in it")
    return order, list(index), sizes


def replay(args):
    for path in args.trace:
        order, keys, sizes = read_trace(path, args.requests)
        # as replay.c stores them: two digits and a colon before the key; 16 bytes of header; 8 of index
        costs = [(16 + 3 + len(k) + s + 7) // 8 * 8 + 8 for k, s in zip(keys, sizes)]
        maxmemory = max(int(sum(costs) * args.prefixes * args.percent // 100), 8 * MB)
        longest = min(max(sizes), maxmemory // SHARDS // 2 - 4096)
        name = os.path.basename(path)
        with Server("--maxmemory", maxmemory, "--max-value-size", longest) as server:
            argv = [program("replay"), server.port, args.prefixes, maxmemory, longest]
            data = array.array("I", [len(order), len(keys)]) + sizes + array.array("I", map(len, keys)) + order
            began = time.monotonic()
            done = subprocess.run([str(a) for a in argv], input=data.tobytes() + b"".join(keys), stdout=subprocess.PIPE)
            check(done.returncode == 0, f"{name}: the replay failed")
            real, model = map(int, done.stdout.split())
            with server.connect() as c:
                info = c.info()
        requests = len(order) * args.prefixes
        percent = 100 * maxmemory / (sum(costs) * args.prefixes)
        figure(f"{name}: maxmemory, {percent:.3g} % of {len(keys):,} keys x {args.prefixes}", maxmemory / MB, None,
               "MB")
        figure(f"{name}: requests in {time.monotonic() - began:.0f} s", requests)
        figure(f"{name}: an exact LRU misses", 100 * model / requests, None, "%")
        figure(f"{name}: the server misses", 100 * real / requests, None, "%")
        figure(f"{name}: misses more than those of an exact LRU", 100 * (real / model - 1), 1, "%")
        figure(f"{name}: used memory, of maxmemory", 100 * dataset(info) / maxmemory, None, "%")
        if "evicted_out_of_order" in info and int(info["evicted_keys"]):
            figure(f"{name}: evicted out of order", 100 * int(info["evicted_out_of_order"]) / int(info["evicted_keys"]),
                   None, "%")


# ---- idle ----


def idle(args):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    value = request("SET", "k", b"v" * 100000)
    with Server("--maxmemory", "128mb", "--maxclients", args.connections + 10) as server:
        with server.connect() as c:  # what the first large request of all makes resident is no connection's
            for _ in range(20):
                c.send(value)
                equal(c.read(), OK)
        before = server.resident()
        clients = []
        try:
            for _ in range(args.connections):
                clients.append(server.connect())
                equal(clients[-1].ask("GET", "absent"), None)
            figure(f"{args.connections:,} connections, a GET each", (server.resident() - before) / args.connections,
                   300, "bytes a connection")
            for c in clients:
                c.send(value)
                equal(c.read(), OK)
            took = flushed_within(server, before + 300 * args.connections, 3)
            figure(f"{args.connections:,} connections, a SET of 100 KB each (after {took:.1f} s)",
                   (server.resident() - before) / args.connections, 300, "bytes a connection")
        finally:
            for c in clients:
                c.close()


# ---- expiry ----


def lag(args, server, c):
    """Deadlines are spread evenly, so the nth is known. As many as were removed count as the first ones."""
    start_ms = int(time.time() * 1000)
    first, last = start_ms + args.first * 1000, start_ms + args.last * 1000
    fill("set", server, n=args.count, l=8, d=first, e=last)
    check(time.time() * 1000 < first, f"storing took longer than the first deadline: --first {args.first} is too soon")
    equal(c.ask("DBSIZE"), args.count, "entries")
    removed, lags = 0, []  # lags: (ms, entries); an upper limit, since one that is looked at late was removed before
    while removed < args.count:
        now_ms = time.time() * 1000
        gone = args.count - c.ask("DBSIZE")
        if gone > removed:
            lags.append((time.time() * 1000 - (first + removed * (last - first) / args.count), gone - removed))
            removed = gone
        check(now_ms < last + 10000, f"{args.count - removed} entries are still there 10 s after the last deadline")
        time.sleep(0.01)
    info = c.info()
    equal(int(info["expired_keys"]), args.count, "expired_keys")
    lags.sort()
    left = args.count * 0.99
    for p99, n in lags:
        left -= n
        if left <= 0:
            break
    figure(f"{args.count:,} entries: from deadline to removal, 99th percentile", p99 / 1000, 1, "s")
    figure(f"{args.count:,} entries: from deadline to removal, at most", lags[-1][0] / 1000, None, "s")
    for name, value in info.items():
        if name.startswith("expired_lag"):
            print(f"-    {name}: {value}")


def expiry(args):
    if "lag" in args.part:
        with Server("--maxmemory", "2gb") as server, server.connect() as c:
            lag(args, server, c)
    if "cpu" in args.part:
        with Server("--maxmemory", "2gb") as server, server.connect() as c:
            later = int(time.time() * 1000) + 1000000
            fill("set", server, n=args.count, l=8, d=later, e=later + 1000000)
            equal(c.ask("DBSIZE"), args.count, "entries")
            time.sleep(1)
            before = cpu_seconds(server)
            time.sleep(10)
            figure(f"{args.count:,} entries, none to expire: CPU over 10 s", (cpu_seconds(server) - before) * 10, 1,
                   "% of one core")


# ---- flush ----


def flush_once(count):
    """The longest GET in ms before FLUSHALL and during it, how long FLUSHALL took, and until memory was given back."""
    sizes = {"n": count, "l": 64}
    with Server("--maxmemory", "2gb") as server, server.connect() as c:
        empty = server.resident()
        fill("set", server, **sizes)
        _, _, before_us = fill("probe", server, s=1, **sizes)
        result = []
        prober = threading.Thread(target=lambda: result.extend(fill("probe", server, s=2, **sizes)))
        prober.start()
        time.sleep(0.5)
        began = time.monotonic()
        equal(c.ask("FLUSHALL"), OK)
        answered = time.monotonic() - began
        down = answered + flushed_within(server, empty + OVERHEAD)
        prober.join()
        check(len(result) == 3, "the GETs failed")
        return before_us / 1000, result[2] / 1000, answered * 1000, down


def flush(args):
    """The median of some rounds: other work on the machine delays a GET now and then, the server does so every time."""
    rounds = [flush_once(args.count) for _ in range(args.rounds)]
    before, during, answered, down = (sorted(r[i] for r in rounds) for i in range(4))
    name = f"{args.count:,} entries, median of {args.rounds}"
    figure(f"{name}: longest GET in 1 s before (longest of all {before[-1]:.1f})", statistics.median(before), None,
           "ms")
    figure(f"{name}: longest GET during FLUSHALL (longest of all {during[-1]:.1f})", statistics.median(during), 5, "ms")
    figure(f"{name}: FLUSHALL answered after", statistics.median(answered), None, "ms")
    figure(f"{name}: until resident memory is near that of the start", statistics.median(down), 1, "s")


# ---- scrape ----


def scrapes_ms(port):
    """How long each of 50 scrapes took, on a connection of its own."""
    took = []
    for _ in range(50):
        began = time.monotonic()
        with Connection(("127.0.0.1", port)) as c:
            c.send(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = c.rest()
        took.append((time.monotonic() - began) * 1000)
        check(text.startswith(b"HTTP/1.1 200 ") and b"\nsponson_entries " in text, "no metrics")
    return sorted(took)


def scrape(args):
    port, sizes = free_port(), {"n": args.count, "l": 32}
    with Server("--maxmemory", "2gb", "--admin-port", str(port)) as server:
        fill("set", server, **sizes)
        alone = scrapes_ms(port)
        prober = threading.Thread(target=lambda: fill("probe", server, s=3, **sizes))
        prober.start()
        beside = scrapes_ms(port)
        prober.join()
        for name, took in (("alone", alone), ("beside a client that asks without a pause", beside)):
            figure(f"{args.count:,} entries, {name}: a scrape, median of {len(took)} (longest {took[-1]:.1f})",
                   statistics.median(took), 5, "ms")


# ---- hostile ----

LARGE = b"v" * 1000000
HOSTILE = {  # connections; what each sends, once and then for ever; none of them ever reads; who is closed comes again
    "mget": (1, request("MGET", *["large"] * 1000000), b""),
    "pipeline": (1, request("GET large") * 10000, b""),
    "multi": (1, request("MULTI"), request("SET", "k", LARGE[:100000])),
    "half": (800, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n" + LARGE[:50000], b""),
    "mgets": (8, request("MGET", *["large"] * 1000000), b""),  # from here on more than client-memory holds: a storm of
    "pipelines": (50, request("GET large") * 10000, b""),  # connections that are closed and come again
    "slow": (200, request("GET large") * 20, request("GET large")),
}


def attack(port, part):
    """Sends for ever, without waiting for anything; who is closed connects again."""
    count, first, again = HOSTILE[part]
    victims = {}
    waiting = select.epoll()
    while True:
        while len(victims) < count:
            s = socket.socket()
            s.connect(("127.0.0.1", port))
            s.setblocking(False)
            waiting.register(s, select.EPOLLOUT | select.EPOLLRDHUP)
            victims[s.fileno()] = [s, memoryview(first)]
        for fd, events in waiting.poll(1):
            s, rest = victims[fd]
            try:
                if events & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
                    raise OSError("closed")
                victims[fd][1] = rest[s.send(rest[:1 << 18]):] or memoryview(again)
                if not victims[fd][1]:
                    waiting.modify(fd, select.EPOLLRDHUP)
            except BlockingIOError:
                pass
            except OSError:
                del victims[fd]
                s.close()


def p99_us(server, seconds):
    argv = [program("load"), "--port", server.port, "--connections", 4, "--pipeline", 1, "--keys", 100000, "--value", 64,
            "--gets", 90, "--ms", int(seconds * 1000)]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    check(done.returncode == 0, f"load: {done.stderr}")
    result = json.loads(done.stdout)
    equal(result["wrong"], 0, "wrong replies")
    return result["p99_us"]


def hostile(args):
    for part in args.part:
        with Server("--maxmemory", "1gb") as server, server.connect() as c:
            subprocess.run([program("load"), "--port", str(server.port), "--keys", "100000", "--value", "64", "--fill", "1"],
                           check=True, capture_output=True)
            equal(c.ask("SET", "large", LARGE), OK)
            limit = int(c.ask("CONFIG GET client-memory")[1])
            alone, beside, held, grown = [], [], 0, 0
            before = server.resident()
            for _ in range(args.rounds):
                alone.append(p99_us(server, args.seconds))
                child = os.fork()
                if child == 0:
                    try:
                        attack(server.port, part)
                    finally:
                        os._exit(0)
                try:
                    with Peak(server) as peak:
                        beside.append(p99_us(server, args.seconds))
                        held = max(held, int(c.info()["mem_clients_normal"]))
                    grown = max(grown, peak.most - before)
                finally:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
            info = c.info()
            figure(f"{part}: p99 of others beside it, alone {statistics.median(alone):.0f} us", statistics.median(beside),
                   5 * statistics.median(alone) if HOSTILE[part][0] == 1 else None, "us")
            figure(f"{part}: resident memory more than before", grown / MB, (limit + OVERHEAD) / MB, "MB")
            closed = {k: int(v) for k, v in info.items() if k == "evicted_clients" or k.endswith("_limit_disconnections")}
            print(f"-    {part}: {closed}; client buffers at the end {held / MB:.1f} MB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    p = commands.add_parser("phases")
    p.add_argument("--maxmemory", default="128mb")
    p.add_argument("--clients", type=int, default=4, help="connections that write at a time")
    p.add_argument("--thp", choices=("always", "madvise", "never"), help="set for the system, and restored")
    p = commands.add_parser("entries")
    p.add_argument("--count", type=int, nargs="+", default=[3000000, 5000000])
    p.add_argument("--values", nargs="+", default=["32", "64", "256", "mix"])
    commands.add_parser("start")
    p = commands.add_parser("replay")
    p.add_argument("trace", nargs="+")
    p.add_argument("--requests", type=int, default=0, help="only the first so many of each trace")
    p.add_argument("--prefixes", type=int, default=64, help="each request is done for so many key spaces")
    p.add_argument("--percent", type=float, default=10, help="maxmemory, of what all entries would need")
    p = commands.add_parser("idle")
    p.add_argument("--connections", type=int, default=10000)
    p = commands.add_parser("expiry")
    p.add_argument("--count", type=int, default=5000000)
    p.add_argument("--part", nargs="+", choices=("lag", "cpu"), default=["lag", "cpu"])
    p.add_argument("--first", type=int, default=20, help="seconds to the first deadline")
    p.add_argument("--last", type=int, default=80, help="seconds to the last one")
    p = commands.add_parser("flush")
    p.add_argument("--count", type=int, default=5000000)
    p.add_argument("--rounds", type=int, default=3)
    p = commands.add_parser("scrape")
    p.add_argument("--count", type=int, default=5000000)
    p = commands.add_parser("hostile")
    p.add_argument("--part", nargs="+", choices=tuple(HOSTILE), default=list(HOSTILE))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    try:
        globals()[args.command](args)
    except (Failure, Closed, OSError, subprocess.CalledProcessError) as e:
        print(f"FAIL {args.command}: {e}")
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
