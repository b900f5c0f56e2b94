"""test_bench.py -- the comparison works, and its figures hold together. Judges no speed.

    SERVER=./sponson python3 bench/test_bench.py [pattern]       TAP, as tests/integration/run.py
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tests", "integration")]

import bench  # noqa: E402
import harness  # noqa: E402
from harness import Connection, Process, check, equal, free_port, test, until  # noqa: E402

KEY = b"key:000000000000"  # of a load with --keys 1


class Folder:
    """A run of bench.py that writes here; `with` takes the files away."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="sponson-bench-test-")
        self.path = self.temporary.name
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def command(self, *options):
        return [sys.executable, os.path.join(HERE, "bench.py"), "--quick", "--out", self.path, *options]

    def run(self, *options, **variables):
        env = dict(harness.clean_environment(variables), SERVER=harness.SERVER)
        done = subprocess.run(self.command(*options), env=env, capture_output=True, text=True, timeout=1000)
        return done.returncode, done.stdout, done.stderr

    def read(self, name):
        with open(os.path.join(self.path, name)) as f:
            return f.read()


def rows(markdown):
    """The cells of every row of its tables."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def number(cell):
    return float(cell.split()[0].replace(",", "").rstrip("%"))


def check_svg(text):
    """Well-formed and self-contained; returns what it says."""
    root = xml.etree.ElementTree.fromstring(text)
    equal(root.tag, "{http://www.w3.org/2000/svg}svg")
    width, height = float(root.get("width")), float(root.get("height"))
    tags = {element.tag.split("}")[1] for element in root.iter()}
    check(tags <= {"svg", "title", "rect", "text", "line"}, f"the chart holds {tags}")
    check("href" not in text and "url(" not in text, "the chart refers to something outside")
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        check(float(rect.get("x")) + float(rect.get("width")) <= width, "a bar leaves the picture")
        check(float(rect.get("y")) + float(rect.get("height")) <= height, "a bar leaves the picture")
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


@test(seconds=200)
def every_workload():
    """The quick run measures null and sponson in every workload, and the files say what the table says"""
    with Folder() as folder:
        code, out, err = folder.run("--servers", "null,sponson", "--seconds", "0.1")
        equal(code, 0, err[-2000:])
        equal(folder.read("results.md").strip(), out.strip())
        found = {(row[0], row[1]): row for row in rows(out) if len(row) == 10}
        texts = check_svg(folder.read("results.svg"))
        for workload, about in bench.WORKLOADS.items():
            check(f"{workload}: {about.title}" in texts, f"{workload} is not in the chart")
            for name in ("null", "sponson"):
                row = found[workload, name]
                for at in (2, 4, 5, 6, 7, 8):
                    check(number(row[at]) > 0, f"no figure above 0: {row}")
                check(number(row[6]) <= number(row[7]), f"p50 above p99: {row}")
                check(f"{row[4]} x, {row[2]}" in texts, f"the chart does not show {row}")
                equal(row[9], "not checked" if name == "null" else "0 / 0 / 0")
            floor, ours = found[workload, "null"], found[workload, "sponson"]
            equal(number(floor[4]), 1)
            exact = number(ours[2]) / number(floor[2])
            check(abs(number(ours[4]) - exact) <= 0.01 * exact + 0.01, f"{ours[4]} is not {ours[2]} / {floor[2]}")
        memory = [row for row in rows(out) if row[0] == "sponson"]
        equal(len(memory), 1)
        check(all(number(cell) > 16 for cell in memory[0][1:]), f"an entry is larger than its key: {memory}")
        check("sponson 0." in out and "Linux" in out and "no measurement" in out, "what ran where is not told")


@test(seconds=200)
def other_servers():
    """redis and memcached answer every request right; redis-benchmark gives its second opinion"""
    with Folder() as folder:
        code, out, err = folder.run("--workloads", "p64,p64set,redis-benchmark", "--seconds", "0.1")
        check("redis: not installed" not in out, "redis-server is not installed")
        equal(code, 0, err[-2000:])
        found = rows(out)
        for name in ("sponson", "redis"):
            equal(len([row for row in found if row[:2] == ["p64", name] and row[2].endswith(" ns")]), 2, name)
        for row in found:
            if row[1] == "memcached":
                check(row[2] == "not installed" or row[9] == "0 / 0 / 0", row)


@test(seconds=100)
def not_installed():
    """A server that is not installed keeps its row with the reason, in the chart as well; the others are measured"""
    with Folder() as folder:
        code, out, err = folder.run("--servers", "sponson,memcached", "--workloads", "p1,memory", "--seconds", "0.05",
                                    MEMCACHED="no-such-program")
        equal(code, 0, err[-2000:])
        check(["p1", "memcached", "not installed"] == [row for row in rows(out) if row[1] == "memcached"][0][:3], out)
        check("memcached: not installed" in out, "the versions do not say so")
        check("not installed" in check_svg(folder.read("results.svg")), "the chart does not say so")
        check([row for row in rows(out) if row[:2] == ["p1", "sponson"]][0][2].endswith(" ns"), out)


@test(seconds=100)
def does_not_start():
    """A server that does not start keeps its row with what it said, and the exit code is 1"""
    with Folder() as folder:
        code, out, _ = folder.run("--servers", "redis", "--workloads", "p1", "--seconds", "0.05",
                                  REDIS_SERVER="/bin/false")
        equal(code, 1)
        check([row for row in rows(out) if row[:2] == ["p1", "redis"]][0][2].startswith("ended with 1"), out)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(child) for child in f.read().split()]


@test(seconds=100)
def ended_early():
    """SIGTERM ends it with every process that it started"""
    with Folder() as folder:
        child = Process(folder.command("--servers", "sponson", "--workloads", "p1", "--seconds", "60"),
                        env={"SERVER": harness.SERVER})
        try:
            until(lambda: len(children(child.pid)) == 3, 60, child.stderr)  # sponson, null and the load
            started = children(child.pid)
            child.signal(signal.SIGTERM)
            equal(child.child.wait(120), 1)
            until(lambda: not [pid for pid in started if os.path.exists(f"/proc/{pid}")], 10, "they are gone")
        finally:
            child.kill()


def load_against(replies, *options, cut=1 << 20):
    """What the load counts when each batch of four requests is answered with these bytes; and its exit code."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while connection.recv(1 << 16):  # a batch is small enough to come at once
                    for at in range(0, len(replies), cut):
                        connection.sendall(replies[at:at + cut])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        argv = [bench.LOAD, "--port", str(listener.getsockname()[1]), "--connections", "1", "--pipeline", "4",
                "--keys", "1", "--value", "20", "--ms", "50", *options]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        thread.join(60)
        return json.loads(done.stdout) if done.stdout else done.stderr, done.returncode


@test
def load_counts():
    """The load tells hits, misses, wrong values and errors apart, in both protocols and however replies are cut"""
    right = KEY + KEY[:4]
    wrong = right[:-1] + b"x"
    resp = b"$20\r\n%b\r\n$-1\r\n$20\r\n%b\r\n-ERR no\r\n" % (right, wrong)
    meta = b"VA 20\r\n%b\r\nEN\r\nVA 20\r\n%b\r\nSERVER_ERROR no\r\n" % (right, wrong)
    for replies, protocol in ((resp, "0"), (meta, "1")):
        for cut in (1 << 20, 1, 7):
            told, code = load_against(replies, "--gets", "100", "--memcached", protocol, cut=cut)
            equal(code, 0, told)
            batches = told["requests"] // 4
            check(batches > 0, "nothing was counted")
            for what in ("hits", "misses", "wrong", "errors"):
                equal(told[what], batches, what)
    for replies, kind, gets in ((b"+OK\r\n" * 4, "wrong", "100"), (b"+OK\r\n" * 4, "stored", "0"),
                                (b"$-1\r\n" * 4, "wrong", "0"), (b"$19\r\n%b\r\n" % right[:-1] * 4, "wrong", "100")):
        told, code = load_against(replies, "--gets", gets)
        equal((code, told[kind]), (0, told["requests"]), replies[:6])


@test
def load_fails():
    """The load ends with 1 and a sentence when there is no server, or more comes than was asked for"""
    told, code = load_against(b"+OK\r\n" * 5, "--gets", "0")
    equal((code, told), (1, "load: reply: more came than was asked for\n"))
    for options, sentence in ((["--port", str(free_port())], "connect: "), (["--port", "0"], "--port: its number"),
                              (["--speed", "9"], "--speed: no such option"), (["--keys"], "--keys: its number")):
        done = subprocess.run([bench.LOAD, *options], capture_output=True, text=True, timeout=120)
        equal(done.returncode, 1)
        check(done.stderr.startswith(f"load: {sentence}"), done.stderr)


@test
def floor():
    """null answers every so many bytes, wherever they are cut, and closes nothing before its client"""
    for value, reply in ((3, b"$3\r\nxxx\r\n"), (0, b"+OK\r\n")):
        port = free_port()
        null = Process([bench.PROGRAMS["null"], str(port), "10", str(value)])
        try:
            def connected():
                try:
                    return Connection(("127.0.0.1", port))
                except OSError:
                    return None
            with until(connected, 10, null.stderr) as client:
                client.send(b"?" * 7)
                client.send(b"?" * 3)
                equal(client.exactly(len(reply)), reply)
                client.send(b"?" * 199995)  # more than a turn takes
                client.send(b"?" * 5)
                client.half_close()
                equal(client.rest(), reply * 20000)
        finally:
            null.kill()


if __name__ == "__main__":
    bench.build_all()
    sys.exit(harness.run_all(sys.argv[1] if len(sys.argv) > 1 else ""))
