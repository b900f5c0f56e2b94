"""run.py -- the stress test and the check of recorded histories, as TAP.

    SERVER=build/tsan/sponson /usr/bin/python3 tests/stress/run.py [pattern]

stress.c sends all commands on few keys over many connections; the server must live, answer each request, end with exit
code 0, and a sanitizer that was built into it must have had nothing to say. linear.c records what many connections did
to few keys, and looks whether that could have been done one after another; first its checker is tried on histories that
are known to be right or wrong. Each runs with 2 and with 8 threads of the server.

Environment:
    SERVER          the binary under test, best one that was built with a sanitizer
    PLAIN_SERVER    another, whose histories are checked too (default: SERVER alone)
    STRESS_SECONDS  of each stress test (default 30); histories are recorded for a quarter of it
    STRESS_SEED     default 1
    STRESS_CONNECTIONS   default 32
"""
import os
import re
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [HERE, os.path.join(HERE, "..", "integration")]

import corpus  # noqa: E402
import harness  # noqa: E402
from harness import Server, add_test, check  # noqa: E402

SECONDS = float(os.environ.get("STRESS_SECONDS", "30"))
SEED = os.environ.get("STRESS_SEED", "1")
CONNECTIONS = os.environ.get("STRESS_CONNECTIONS", "32")
FOLDER = tempfile.TemporaryDirectory(prefix="sponson-stress-")
PATIENCE_S = 120  # beyond its time, until a program must have ended


def compiled(name):
    program = os.path.join(FOLDER.name, name)
    done = subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-pthread", "-Wall", "-Wextra", "-o", program,
                           os.path.join(HERE, f"{name}.c")], capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, done.stderr)
    return program


def run(*argv, seconds=0.0):
    """The lines of a program that must succeed."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, errors="replace",
                          timeout=seconds + PATIENCE_S)
    lines = done.stdout.splitlines()
    told = "\n".join([line for line in lines if line.startswith(("#", "not ok"))][-80:])
    check(done.returncode == 0, f"exit code {done.returncode}\n{told}\n{done.stderr[-3000:]}")
    return lines


class Watcher(threading.Thread):
    """Asks for INFO all the time, and adds up what CONFIG RESETSTAT sets to zero. It may be killed, as all others."""

    FIELDS = "evicted_keys", "expired_keys"

    def __init__(self, server):
        super().__init__()
        self.server, self.over = server, threading.Event()
        self.sum = dict.fromkeys(self.FIELDS, 0)

    def run(self):
        last = dict.fromkeys(self.FIELDS, 0)
        while not self.over.is_set() and self.server.running():
            try:
                with self.server.connect(60) as c:
                    c.ask("AUTH", corpus.PASSWORD)
                    while not self.over.wait(0.2):
                        info = c.info()
                        for name in self.FIELDS:
                            now = int(info[name])
                            self.sum[name] += now - last[name] if now >= last[name] else now
                            last[name] = now
            except (OSError, harness.Closed):
                pass

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def stress(threads):
    program = compiled("stress")
    with Server("--threads", threads, "--maxmemory", "8mb", "--requirepass", corpus.PASSWORD) as server:
        with server.connect() as c:
            c.ask("AUTH", corpus.PASSWORD)
            data, names = corpus.make_corpus(c, SEED)
        with open(os.path.join(FOLDER.name, "corpus"), "wb") as f:
            f.write(data)
        try:
            with Watcher(server) as watcher:
                lines = run(program, server.port, f.name, corpus.PASSWORD, SECONDS, CONNECTIONS, SEED, seconds=SECONDS)
        finally:
            check(server.running(), f"the server is dead: {server.child.returncode}\n{server.stderr()[-6000:]}")
        with server.connect() as c:
            c.ask("AUTH", corpus.PASSWORD)
            harness.until(lambda: c.info()["connected_clients"] == "1", 20, "all others are gone")
        counts = {names[int(n)]: (int(done), int(refused)) for n, done, refused in
                  re.findall(r"^command (\d+) (\d+) (\d+)$", "\n".join(lines), re.M)}
        print("\n".join(line for line in lines if line.startswith("#")))
        print("# " + ", ".join(f"{name} {n}" for name, n in watcher.sum.items()))
        check(all(watcher.sum.values()), "nothing was evicted, or nothing expired")
        never = sorted(set(names) - corpus.REFUSED - {name for name, (done, _) in counts.items() if done})
        check(not never, f"never done, only refused or not sent: {' '.join(never)}")


def linear(server_binary, threads):
    program = compiled("linear")
    kept, harness.SERVER = harness.SERVER, server_binary
    try:
        with Server("--threads", threads, "--maxmemory", "64mb") as server:
            print("\n".join(run(program, server.port, SECONDS / 4, 8, SEED, seconds=SECONDS)))
    finally:
        harness.SERVER = kept


def self_test():
    lines = run(compiled("linear"), "self-test")
    check(not [line for line in lines if line.startswith("not ok")], "\n".join(lines))
    print("\n".join("# " + line.lstrip("# ") for line in lines if not line.startswith("1..")))


add_test("the checker of histories accepts right ones and rejects wrong ones", self_test, 120)
for binary in dict.fromkeys((os.path.abspath(os.environ.get("PLAIN_SERVER", harness.SERVER)), harness.SERVER)):
    for n in (2, 8):
        add_test(f"{os.path.relpath(binary)}, {n} threads: recorded histories are linearizable",
                 lambda b=binary, t=n: linear(b, t), SECONDS + PATIENCE_S)
for n in (2, 8):
    add_test(f"{os.path.relpath(harness.SERVER)}, {n} threads: all commands on few keys from {CONNECTIONS} connections",
             lambda t=n: stress(t), SECONDS + 2 * PATIENCE_S)

if __name__ == "__main__":
    sys.exit(harness.run_all(sys.argv[1] if len(sys.argv) > 1 else ""))
