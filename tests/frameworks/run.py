"""run.py -- cache frameworks, as Debian and npm have them, through their own APIs against the server.

    SERVER=./sponson python3 tests/frameworks/run.py [pattern]            prints TAP
    SERVER=./sponson python3 tests/frameworks/run.py --table [pattern]    runs the same, prints what came out as markdown

The pattern chooses frameworks by their names. Each has a program in this folder, which tries the capabilities below and
reports each of them (report.py says how); it stays silent about none, or that is a failure. What it reports is checked
against the server's own counters: that it asked the server at all, and that the server refused a command just where the
program says so, since a framework may well swallow an error.

Environment: SERVER, THREADS as in ../integration/harness.py; BUILD, where install.sh has put what npm fetched (build);
TIMES=1 prints how long each test took. A framework that is not installed fails its tests.
"""
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

import harness  # noqa: E402

CAPABILITIES = ["get and set", "get or compute", "add", "many", "increment", "expiry", "touch", "delete", "delete many",
                "delete by pattern", "prefixes", "versions", "tags", "clear", "database", "lock", "stale lock"]
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's packages
FRAMEWORKS = {
    "Django": [PYTHON, "django-cache.py", "own"],
    "django-redis": [PYTHON, "django-cache.py", "django-redis"],
    "Flask-Caching": [PYTHON, "flask-caching.py"],
    "dogpile.cache": [PYTHON, "dogpile-cache.py"],
    "Symfony, phpredis": ["php", "symfony.php", "phpredis"],
    "Symfony, Predis": ["php", "symfony.php", "predis"],
    "Laravel, phpredis": ["php", "laravel.php", "phpredis"],
    "Laravel, Predis": ["php", "laravel.php", "predis"],
    "PHP sessions": ["php", "php-sessions.php"],
    "Rails": ["ruby", "rails.rb"],
    "Moneta": ["ruby", "moneta.rb"],
    "CHI": ["perl", "chi.pl"],
    "cache-manager": ["node", "cache-manager.mjs"],
    "connect-redis": ["node", "connect-redis.mjs"],
}
SECONDS = 60 * harness.PATIENCE * harness.BUSY  # for one framework; they take 1 to 5


class Program:
    """A framework's program: its reports come from a pipe, its stderr goes to a file."""

    def __init__(self, argv, port):
        self.err = tempfile.TemporaryFile()
        self.buffer = b""
        self.deadline = time.monotonic() + SECONDS
        modules = os.path.abspath(os.path.join(os.environ.get("BUILD", os.path.join(HERE, "../../build")), "frameworks"))
        self.child = subprocess.Popen(
            argv, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err,
            env=harness.clean_environment({"PORT": str(port), "NODE_FOLDER": modules, "PYTHONDONTWRITEBYTECODE": "1"}))

    def report(self):
        """The next report, or None at the end."""
        while b"\n" not in self.buffer:
            left = self.deadline - time.monotonic()
            harness.check(left > 0 and select.select([self.child.stdout], [], [], left)[0],
                          f"it did not end within {SECONDS} s")
            data = os.read(self.child.stdout.fileno(), 1 << 16)
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            return json.loads(line)
        except ValueError:
            raise harness.Failure(f"no report: {harness.shown(line + self.buffer)}") from None

    def go_on(self):
        try:
            self.child.stdin.write(b"\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which the next report() tells

    def ended(self):
        """Waits for the end, which must come with exit code 0."""
        code = self.child.wait(max(1, self.deadline - time.monotonic()))
        text = os.pread(self.err.fileno(), 1 << 16, 0).decode("utf-8", "replace").strip()
        harness.check(code == 0, f"it ended with {code}: {text[-1500:]}")

    def stop(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        for file in (self.child.stdin, self.child.stdout, self.err):
            try:
                file.close()
            except BrokenPipeError:
                pass


def counters(control):
    info = control.info()
    return int(info["total_commands_processed"]), int(info["total_error_replies"])


def checked(report, asked, refused):
    """The report, or a failure where the server's counters do not agree with it."""
    why = ""
    if report["result"] in ("works", "without", "needs") and asked == 0:
        why = "it did not ask the server anything"
    elif report["result"] == "works" and refused:
        why = f"it works, but the server refused {refused} of its requests"
    elif report["result"] in ("without", "needs") and not refused:
        why = f"the server refused nothing, not even {report['command']}"
    return {**report, "result": "failed", "why": why} if why else report


def reports(argv):
    """What a framework's program reports, a failure for each capability that it does not, and {"about": versions}."""
    missing = dict.fromkeys(CAPABILITIES)
    why = "it says nothing about this"
    try:
        with harness.Server("--maxmemory", "64mb") as server, server.connect() as control:
            program = Program(argv, server.port)
            try:
                before = counters(control)
                while (report := program.report()) is not None:
                    after = counters(control)
                    if "capability" in report:
                        name = report["capability"]
                        harness.check(name in missing, f"not a capability, or told twice: {name}")
                        del missing[name]
                        # One of the requests was the first INFO itself.
                        yield checked(report, after[0] - before[0] - 1, after[1] - before[1])
                    else:
                        yield report
                    before = counters(control)
                    program.go_on()
                program.ended()
            finally:
                program.stop()
    except FileNotFoundError as error:
        why = f"{error.filename} is not installed"
    except (harness.Failure, harness.Closed, OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
        if not missing:  # all was well until the end came
            yield {"capability": "the end", "result": "failed", "why": why}
    for name in missing:
        yield {"capability": name, "result": "failed", "why": why}
        why = "the same"


def why_not(name):
    """Why a framework is left out on purpose; "" runs it, and a missing package fails it."""
    if name != "Django":
        return ""
    probe = "import django; print(django.__version__); assert django.VERSION < (4,)"
    done = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True, timeout=60)
    return f"{done.stdout.strip()} has no Redis cache of its own, 4.0 is the first" if done.returncode == 0 else ""


def run(chosen, tell):
    """Runs the frameworks, tells each report as it comes: {framework: {"about": ..., capability: report}}"""
    results = {}
    for name in chosen:
        results[name] = {}
        left_out = why_not(name)
        if left_out:
            results[name]["left out"] = left_out
            tell(name, {"left out": left_out})
            continue
        for report in reports(FRAMEWORKS[name]):
            if "capability" in report:
                results[name][report["capability"]] = report
            else:
                results[name].update(report)
            tell(name, report)
    return results


# ---- TAP ----


class Tap:
    def __init__(self):
        self.count = self.failed = 0
        self.began = time.monotonic()

    def __call__(self, framework, report):
        if "capability" not in report:
            said = f"not run: {report['left out']}" if "left out" in report else report["about"]
            print(f"# {framework}: {said}", flush=True)
            return
        result = report["result"]
        title = f"{framework}: {report['capability']}"
        took = f" # {time.monotonic() - self.began:.1f} s" if os.environ.get("TIMES") else ""
        self.began = time.monotonic()
        if result == "absent":
            print(f"# {title}: not in its API", flush=True)
            return
        self.count += 1
        if result == "failed":
            self.failed += 1
            for line in report["why"].splitlines():
                print(f"# {line}")
        about = {"without": " (works without {})", "needs": " (needs {})"}.get(result, "").format(report.get("command"))
        print(f"{'not ok' if result == 'failed' else 'ok'} {self.count} - {title}{about}{took}", flush=True)


# ---- the table ----


def print_table(results):
    notes = []

    def cell(report):
        if report is None:
            return ""
        result = report["result"]
        text = {"works": "works", "absent": "-", "failed": "FAILS", "without": f"works without {report.get('command')}",
                "needs": f"needs {report.get('command')}"}[result]
        note = report.get("note")
        if note and note not in notes:
            notes.append(note)
        return f"{text} ({notes.index(note) + 1})" if note else text

    ran = [name for name in results if "left out" not in results[name]]
    print("| | " + " | ".join(ran) + " |")
    print("|---" * (len(ran) + 1) + "|")
    for capability in CAPABILITIES:
        print(f"| {capability} | " + " | ".join(cell(results[name].get(capability)) for name in ran) + " |")
    print("\n`-`: not in its API. `needs X`: a call sends X, which the server answers with `unknown command 'X'`; unless "
          "the note says otherwise that is an exception. `adapters/` is [tests/frameworks/adapters]"
          "(tests/frameworks/adapters).\n")
    for number, note in enumerate(notes, 1):
        print(f"{number}. {note}")
    print()
    for name in results:
        left_out = results[name].get("left out")
        print(f"- {name}: " + (f"not run: {left_out}" if left_out else results[name].get("about", "it did not start")))


def main(arguments):
    as_table = "--table" in arguments
    pattern = next((a for a in arguments if a != "--table"), "")
    chosen = [name for name in FRAMEWORKS if re.search(pattern, name, re.IGNORECASE)]
    if not chosen:
        print(f"# no framework matches {pattern}", file=sys.stderr)
        return 1
    if as_table:
        results = run(chosen, lambda *_: None)
        print_table(results)
        failed = [r for of in results.values() for r in of.values() if isinstance(r, dict) and r["result"] == "failed"]
        return 1 if failed else 0
    tap = Tap()
    run(chosen, tap)
    print(f"1..{tap.count}", flush=True)  # known only now: what an API does not have is not counted as a test
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
