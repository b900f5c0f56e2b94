"""tools.py -- what the tests of tools share: the tools' processes, HTTP, and Prometheus' text format.

A tool is started as its users start it, on a free port, with its files in a folder that goes with it. Where it says
something wrong about itself (its log, its exit), the test that started it fails.
"""
import http.client
import json
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

from harness import PATIENCE, Failure, Process, check, free_port, until


# ---- processes ----


class Tool(Process):
    """A tool that serves HTTP: started by command(port, folder), it is there once it answers. Ended by SIGTERM."""

    def __init__(self, command, path="/", seconds=20):
        self.folder = tempfile.mkdtemp(prefix="sponson-test-tool-")
        for chances in (2, 1, 0):  # a free port may be somebody's before the tool has it
            self.port = free_port()
            super().__init__(command(self.port, self.folder))
            try:
                until(lambda: not self.running() or self.answers(path), seconds, lambda: f"it answers\n{self.said()}")
                check(self.running(), f"it did not start: exit {self.child.returncode}\n{self.said()}")
                return
            except BaseException:
                again = chances and not self.running() and re.search("in use|EADDRINUSE", self.said())
                self.kill()
                if not again:
                    shutil.rmtree(self.folder, ignore_errors=True)
                    raise

    def said(self):
        return (self.stdout() + self.stderr())[-3000:]

    def answers(self, path):
        try:
            self.ask(path, seconds=2)
            return True
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, path, **how):
        return ask(self.port, path, **how)

    def page(self, path, **how):
        """The body of what must be answered with 200."""
        answer = self.ask(path, **how)
        check(answer.status == 200, f"{path}: {answer.status} {answer.body[:500]}")
        return answer.body.decode()

    def json(self, path, **how):
        return json.loads(self.page(path, **how))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(10 * PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def ask(port, path, body=None, method=None, headers=None, seconds=20):
    """One request; a dictionary is sent as a form."""
    headers = dict(headers or {})
    if isinstance(body, dict):
        body = urllib.parse.urlencode(body)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds * PATIENCE)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


# ---- Prometheus' text format ----


LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


class Metrics:
    """A page of metrics. Raises a Failure where two series are the same, or where a line is not of the format."""

    def __init__(self, page):
        self.series = {}  # (name, ((label, value), ...)) -> number
        self.types = {}
        for line in page.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split(" ", 3)[2:]
                check(name not in self.types, f"two types of {name}")
                self.types[name] = kind
            if line.startswith("#") or not line:
                continue
            parts = LINE.match(line)
            check(parts, f"no line of the format: {line}")
            labels = LABEL.findall(parts[2] or "")
            check(LABEL.sub("", parts[2] or "") == "", f"no labels of the format: {line}")
            key = (parts[1], tuple(sorted(labels)))
            check(key not in self.series, f"twice the same series: {line}")
            self.series[key] = float(parts[3])

    def names(self):
        return {name for name, _ in self.series}

    def get(self, name, **labels):
        key = (name, tuple(sorted(labels.items())))
        check(key in self.series, f"no series {name} {labels}; there are {[k for k in self.series if k[0] == name]}")
        return self.series[key]

    def by(self, label, name):
        """{value of the label: number} of all series of this name."""
        return {dict(labels)[label]: n for (own, labels), n in self.series.items() if own == name}

    def check_histograms(self):
        """Each has buckets that only grow, the last of which, +Inf, is its count; and a sum. Returns their number."""
        histograms = {}
        for (name, labels), number in self.series.items():
            if name.endswith("_bucket") and self.types.get(name[:-7]) == "histogram":
                labels = dict(labels)
                bound = float(labels.pop("le"))
                histograms.setdefault((name[:-7], tuple(sorted(labels.items()))), []).append((bound, number))
        for (name, labels), buckets in histograms.items():
            what = f"{name} {labels}"
            buckets.sort()
            counts = [count for _, count in buckets]
            check(counts == sorted(counts), f"{what}: a bucket is smaller than the one below: {buckets}")
            check(buckets[-1][0] == math.inf, f"{what}: no bucket +Inf")
            check(self.get(name + "_count", **dict(labels)) == counts[-1], f"{what}: +Inf is not the count")
            total = self.get(name + "_sum", **dict(labels))
            check(total >= 0 and (total > 0 or counts[-1] == counts[0]), f"{what}: no such sum: {total}")
        return len(histograms)


def promtool(page):
    """What promtool has to say about a page of metrics: a set of lines, empty if nothing."""
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, timeout=300)
    lines = set((done.stdout + done.stderr).splitlines())
    if done.returncode == 1 or (done.returncode and not lines):
        raise Failure(f"promtool does not take it for metrics: {lines}")
    return lines
