"""bench.py -- the servers side by side on this machine:  make bench, or  python3 bench/bench.py [--quick] [options]

Each server runs alone on one core, the load (bench/load.c) on another. The main figure is CPU per request: the server's
own scheduler time, all threads, user and kernel, over the requests that were answered. It holds on a noisy machine
where requests per second do not, and those are often the load's limit, not the server's. The floor is bench/null.c,
which parses nothing: what the kernel alone costs. Rounds interleave the servers, so that drift hits all alike; a figure
is the median of its rounds. Every reply is checked; misses, wrong values and errors are shown, and end it with 1.

    --servers     of null (always), sponson, redis, memcached; one that is not installed keeps its row with the reason
    --workloads   of p1, p16, p64, p64set, 4k, and memory (bytes an entry), redis-benchmark (a second opinion)
    --rounds, --seconds     of each workload and server
    --quick       one round of 0.2 s with few keys: a test, no measurement
    --out         where results.md and results.svg go (default: bench/, with --quick build/bench)

Environment: SERVER (default ./sponson), REDIS_SERVER, MEMCACHED, REDIS_BENCHMARK: the programs; CC: the compiler;
BUILD (default build): where load and null are built.
"""
import argparse
import collections
import contextlib
import csv
import datetime
import glob
import json
import os
import platform
import random
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import report

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD", os.path.join(HERE, "..", "build"))
PROGRAMS = {
    "null": os.path.join(BUILD, "bench-null"),
    "sponson": os.environ.get("SERVER", os.path.join(HERE, "..", "sponson")),
    "redis": os.environ.get("REDIS_SERVER", "redis-server"),
    "memcached": os.environ.get("MEMCACHED", "memcached"),
}
LOAD = os.path.join(BUILD, "bench-load")
REDIS_BENCHMARK = os.environ.get("REDIS_BENCHMARK", "redis-benchmark")
ARGUMENTS = {  # one thread and as much memory each, nothing on disk; memcached may answer a whole pipeline in one turn
    "sponson": "--bind 127.0.0.1 --port {port} --threads 1 --maxmemory 1gb",
    "redis": "--bind 127.0.0.1 --port {port} --save '' --appendonly no --maxmemory 1gb --maxmemory-policy allkeys-lru",
    "memcached": "-l 127.0.0.1 -p {port} -U 0 -u nobody -t 1 -m 1024 -R 200",
    "null": "{port} {request_bytes} {value_bytes}",
}

Workload = collections.namedtuple("Workload", "title pipeline keys value gets")
CONNECTIONS = 50
WORKLOADS = {
    "p1": Workload("no pipeline, 95% GET, 64-byte values", 1, 1000000, 64, 95),
    "p16": Workload("pipeline 16, 95% GET, 64-byte values", 16, 1000000, 64, 95),
    "p64": Workload("pipeline 64, 95% GET, 64-byte values", 64, 1000000, 64, 95),
    "p64set": Workload("pipeline 64, SET, 64-byte values", 64, 1000000, 64, 0),
    "4k": Workload("no pipeline, 95% GET, 4096-byte values", 1, 50000, 4096, 95),
}
MEMORY_VALUES = (32, 64)
MEMORY_KEYS = 1000000
WARM_UP_S = 0.5
QUICK_SHARE = 100  # --quick: so many times fewer keys
FIGURES = "cpu_ns rate p50_us p99_us busy".split()
TROUBLES = "misses wrong errors".split()
NOT_INSTALLED = "not installed"


class Unable(Exception):
    """Why a server has no figures."""


def find(program):
    path = shutil.which(program)
    if not path:
        raise Unable(NOT_INSTALLED)
    return path


def build_all():
    """Compiles our own C files where they are newer than their programs."""
    for program, source in ((PROGRAMS["null"], "null.c"), (LOAD, "load.c")):
        source = os.path.join(HERE, source)
        if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
            os.makedirs(BUILD, exist_ok=True)
            compiler = os.environ.get("CC", "cc")
            subprocess.run([compiler, "-std=c11", "-D_GNU_SOURCE", "-O2", "-o", program, source, "-lm"], check=True)


def choose_cores():
    """One for the server and one for the load: another core, not another thread of the same one, where there is one."""
    cores = sorted(os.sched_getaffinity(0))
    siblings = set()
    path = f"/sys/devices/system/cpu/cpu{cores[0]}/topology/thread_siblings_list"
    with contextlib.suppress(OSError), open(path) as f:
        for part in f.read().strip().split(","):
            first, _, last = part.partition("-")
            siblings.update(range(int(first), int(last or first) + 1))
    others = [core for core in cores[1:] if core not in siblings]
    return cores[0], (others or cores[1:] or cores)[0]


def free_port():
    """Below the ports of outgoing connections, so that the load of another does not take it meanwhile."""
    while True:
        port = random.randrange(10000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


class Server:
    """A server that runs on its core until the block is left; ended by its own PID (taskset becomes the server)."""

    def __init__(self, name, core, **numbers):
        self.name = name
        self.port = free_port()
        argv = [os.path.abspath(find(PROGRAMS[name]))] + shlex.split(ARGUMENTS[name].format(port=self.port, **numbers))
        self.folder = tempfile.mkdtemp(prefix="sponson-bench-")
        self.log = tempfile.TemporaryFile()
        env = {k: v for k, v in os.environ.items() if not k.startswith("SPONSON_")}
        self.child = subprocess.Popen(["taskset", "-c", str(core)] + argv, cwd=self.folder, env=env,
                                      stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def __enter__(self):
        try:
            deadline = time.monotonic() + 20
            while not self.answers():
                if self.child.poll() is not None:
                    last = os.pread(self.log.fileno(), 1 << 16, 0).decode("utf-8", "replace").strip().split("\n")[-1]
                    raise Unable(f"ended with {self.child.returncode}: {last[:120]}")
                if time.monotonic() > deadline:
                    raise Unable("did not listen within 20 s")
                time.sleep(0.01)
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def cpu_ns(self):
        """Scheduler time of all its threads so far."""
        total = 0
        for path in glob.glob(f"/proc/{self.child.pid}/task/*/schedstat"):
            with contextlib.suppress(FileNotFoundError), open(path) as f:
                total += int(f.read().split()[0])
        return total

    def resident(self):
        with open(f"/proc/{self.child.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024


def run(argv, core, what):
    argv = ["taskset", "-c", str(core)] + [str(word) for word in argv]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise Unable(f"{what}: {(done.stderr or done.stdout).strip()[-120:]}")
    if done.stderr:
        print(f"  {what}: {done.stderr.strip()[:200]}", file=sys.stderr)
    return done.stdout


def measured(server, action):
    """What the action tells, and the server's CPU meanwhile."""
    before = server.cpu_ns()
    sample = action()
    cpu = server.cpu_ns() - before
    if not cpu:
        raise Unable("this kernel keeps no /proc/PID/task/*/schedstat")
    return dict(sample, cpu_ns=cpu / sample["requests"], busy=cpu / 1e9 * sample["rate"] / sample["requests"])


def load(server, core, keys, value, **options):
    options = dict(options, port=server.port, keys=keys, value=value, memcached=int(server.name == "memcached"))
    argv = [LOAD] + [word for name, number in options.items() for word in (f"--{name}", number)]
    sample = json.loads(run(argv, core, f"load on {server.name}"))
    if server.name == "null":  # its values are made up; they are looked at all the same, so that the load is alike
        sample["wrong"] = 0
    return dict(sample, rate=sample["requests"] / sample["seconds"])


def redis_benchmark(server, core, workload, requests):
    out = run([find(REDIS_BENCHMARK), "-p", server.port, "-c", CONNECTIONS, "-P", workload.pipeline, "-n", requests,
               "-r", workload.keys, "-t", "get", "--csv"], core, f"redis-benchmark on {server.name}")
    row = list(csv.DictReader(line for line in out.splitlines() if line.startswith('"')))[-1]
    return {"requests": requests, "rate": float(row["rps"]), "p50_us": float(row["p50_latency_ms"]) * 1000,
            "p99_us": float(row["p99_latency_ms"]) * 1000}


class Bench:
    """One comparison: the options, and what was measured."""

    def __init__(self, options):
        self.options = options
        self.server_core, self.load_core = choose_cores()
        self.share = QUICK_SHARE if options.quick else 1
        self.samples = collections.defaultdict(list)  # (workload, server) -> one dictionary a round
        self.reasons = {}                             # (workload, server) -> why it has none
        self.bytes = {}                               # (value size, server) -> bytes an entry
        self.is_troubled = False                      # something was not answered as it must be

    def attempt(self, key, action):
        """Does it; a failure is the reason that is shown, and nothing more is tried for this key."""
        if key in self.reasons:
            return None
        try:
            return action()
        except (Unable, OSError, subprocess.SubprocessError, ValueError) as e:
            self.reasons[key] = str(e) or type(e).__name__
            print(f"  {key[1]}, {key[0]}: {self.reasons[key]}", file=sys.stderr)
            return None

    def everything(self):
        chosen = {name: w for name, w in WORKLOADS.items() if name in self.options.workloads}
        sets = {(w.keys, w.value): [] for w in chosen.values()}  # workloads with the same entries share one fill
        if "memory" in self.options.workloads:
            sets.update({(MEMORY_KEYS, value): [] for value in MEMORY_VALUES})
        for name, w in chosen.items():
            sets[w.keys, w.value].append(name)
        for (keys, value), names in sorted(sets.items()):
            self.one_set(keys // self.share, value, names)

    def one_set(self, keys, value, names):
        with contextlib.ExitStack() as stack:
            servers = {}
            for name in self.options.servers[1:]:
                print(f"{name}: {keys} entries of 16 + {value} bytes", file=sys.stderr)
                server = self.attempt((f"{value}-byte values", name), lambda: self.filled(stack, name, keys, value))
                if server:
                    servers[name] = server
            for name in names:
                self.workload(name, WORKLOADS[name]._replace(keys=keys), servers)
            for name in names if "redis-benchmark" in self.options.workloads else ():
                if WORKLOADS[name].gets and value == 64:
                    self.second_opinion(name, WORKLOADS[name]._replace(keys=keys), servers)

    def filled(self, stack, name, keys, value):
        server = stack.enter_context(Server(name, self.server_core))
        before = server.resident()
        self.count(name, load(server, self.load_core, keys, value, fill=1, connections=4, pipeline=16))
        if value in MEMORY_VALUES and keys == MEMORY_KEYS // self.share:
            self.bytes[value, name] = (server.resident() - before) / keys
        return server

    def count(self, name, sample):
        if any(sample[t] for t in TROUBLES):
            self.is_troubled = True
            print(f"  {name}: " + ", ".join(f"{sample[t]} {t}" for t in TROUBLES), file=sys.stderr)
        return sample

    def rounds(self, key, servers, once):
        """Interleaved, and each round begins with another server."""
        for name in servers:  # warm
            self.attempt((key, name), lambda: once(name, WARM_UP_S / self.share))
        for number in range(self.options.rounds):
            at = number % len(servers)
            for name in servers[at:] + servers[:at]:
                sample = self.attempt((key, name), lambda: once(name, self.options.seconds))
                if sample:
                    self.samples[key, name].append(sample)
        print(f"{key}: measured", file=sys.stderr)

    def workload(self, key, w, servers):
        # null tells requests apart by their length, so it gets one kind of them.
        head = "*2\r\n$3\r\nGET\r\n$16\r\n\r\n" if w.gets else f"*3\r\n$3\r\nSET\r\n$16\r\n\r\n${w.value}\r\n\r\n"
        numbers = {"request_bytes": len(head) + 16 + (0 if w.gets else w.value),
                   "value_bytes": w.value if w.gets else 0}
        for name in self.options.servers[1:]:
            if name not in servers:
                self.reasons[key, name] = self.reasons[f"{w.value}-byte values", name]

        def once(name, seconds):
            gets = 100 if name == "null" and w.gets else w.gets
            seed = len(self.samples[key, name]) + 1
            return self.count(name, measured(all_servers[name], lambda: load(
                all_servers[name], self.load_core, w.keys, w.value, connections=CONNECTIONS, pipeline=w.pipeline,
                gets=gets, ms=max(1, round(seconds * 1000)), seed=seed)))

        with Server("null", self.server_core, **numbers) as null:
            all_servers = dict({"null": null}, **servers)
            self.rounds(key, list(all_servers), once)

    def second_opinion(self, key, w, servers):
        """redis-benchmark on the same entries. It wants a number of requests: half of what the load did in a round."""
        def once(name, seconds):
            rate = statistics.median(s["rate"] for s in self.samples[key, name])
            return measured(servers[name], lambda: redis_benchmark(
                servers[name], self.load_core, w, max(1000, round(rate * seconds / 128) * 64)))

        asked = [name for name in servers if name != "memcached" and self.samples[key, name]]
        if asked:
            self.rounds(f"redis-benchmark {key}", asked, once)

    def median(self, key, name):
        """The medians of its rounds, and the sums of what went wrong; None when it has none."""
        samples = self.samples.get((key, name))
        if not samples or (key, name) in self.reasons:
            return None
        row = {figure: statistics.median(s[figure] for s in samples) for figure in FIGURES}
        cpu = [s["cpu_ns"] for s in samples]
        row["spread"] = f"{(max(cpu) - min(cpu)) / row['cpu_ns']:.0%}" if len(cpu) > 1 else "-"
        row.update({t: sum(s.get(t, 0) for s in samples) for t in TROUBLES})
        return row


def version(name, argument, pattern):
    with contextlib.suppress(Unable, OSError, subprocess.SubprocessError):
        told = subprocess.run([find(PROGRAMS[name]), argument], capture_output=True, text=True, timeout=10).stdout
        found = re.search(pattern, told)
        return f"{name} {found.group(1)}" if found else f"{name} of unknown version"
    return f"{name}: not installed"


def describe(bench):
    """The machine, the servers and the run, as the tables and the chart show them."""
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*:\s*(.+)$", f.read(), re.MULTILINE)
    versions = {"sponson": ("--version", r"sponson (\S+)"), "redis": ("--version", r"v=(\S+)"),
                "memcached": ("-V", r"memcached (\S+)")}
    o = bench.options
    return {
        "machine": f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, "
                   f"Linux {os.uname().release}",
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(version(name, *versions[name]) for name in o.servers if name in versions),
        "run": f"{CONNECTIONS} connections, 16-byte keys, {MEMORY_KEYS // bench.share:,} of them (4k: "
               f"{WORKLOADS['4k'].keys // bench.share:,}); server on core {bench.server_core}, load on core "
               f"{bench.load_core}; median of {o.rounds} interleaved rounds of {o.seconds:g} s"
               + (" -- a quick run, which is a test and no measurement" if o.quick else ""),
        "commands": {name: f"{name if name == 'null' else os.path.basename(PROGRAMS[name])} {ARGUMENTS[name]}"
                     for name in o.servers},
    }


def choice(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
        return [name for name in known if name in names]
    return parse


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    workloads = list(WORKLOADS) + ["memory", "redis-benchmark"]
    parser.add_argument("--servers", type=choice(list(PROGRAMS)), default=list(PROGRAMS))
    parser.add_argument("--workloads", type=choice(workloads), default=workloads)
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=float, help="of each round and server; default 2")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.seconds is None:
        options.seconds = 0.2 if options.quick else 2
    options.out = options.out or (os.path.join(BUILD, "bench") if options.quick else HERE)
    options.servers = ["null"] + [name for name in options.servers if name != "null"]
    if options.rounds < 1 or not 0 < options.seconds < 3600:
        parser.error("--rounds and --seconds must be above 0")
    return options


def main():
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are ended on this way out, too
    build_all()
    bench = Bench(options)
    if bench.server_core == bench.load_core:
        print("There is one core only: server and load share it, and the latencies tell little.", file=sys.stderr)
    bench.everything()
    text = report.tables(bench, describe(bench), WORKLOADS, MEMORY_VALUES)
    print(text)
    os.makedirs(options.out, exist_ok=True)
    for name, content in (("results.md", text), ("results.svg", report.chart(bench, describe(bench), WORKLOADS))):
        with open(os.path.join(options.out, name), "w") as f:
            f.write(content)
    print(f"\nWritten to {options.out}: results.md, results.svg", file=sys.stderr)
    failed = [reason for (_, name), reason in bench.reasons.items() if reason != NOT_INSTALLED or name == "sponson"]
    return 1 if failed or bench.is_troubled else 0


if __name__ == "__main__":
    sys.exit(main())
