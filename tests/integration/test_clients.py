"""test_clients.py -- the clients that people have: redis-cli, redis-benchmark, hiredis."""
import atexit
import os
import re
import select
import shutil
import subprocess
import tempfile

from harness import (PATIENCE, Failure, Server, add_test, check, clean_environment, equal, request, shown,
                     test)

HERE = os.path.dirname(os.path.abspath(__file__))


def run(argv, stdin=b"", seconds=60):
    """Runs a client to its end; returns its output. It must end with 0."""
    try:
        done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, env=clean_environment(),
                              timeout=seconds * PATIENCE)
    except FileNotFoundError:
        raise Failure(f"{argv[0]} is not installed") from None
    except subprocess.TimeoutExpired as e:
        raise Failure(f"{argv} did not end: {shown(e.stdout)}") from None
    check(done.returncode == 0, f"{argv} ended with {done.returncode}: {shown(done.stdout)} {shown(done.stderr)}")
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def cli(server, *args, stdin=b""):
    return run(["redis-cli", "-p", server.port, *args], stdin)


def watch_output(argv, pattern, seconds=60):
    """Starts a client that does not end by itself, on a terminal; returns its output once that holds the pattern."""
    terminal, its_end = os.openpty()
    try:
        child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=its_end, stderr=its_end,
                                 env=clean_environment())
    except FileNotFoundError:
        os.close(terminal)
        raise Failure(f"{argv[0]} is not installed") from None
    finally:
        os.close(its_end)
    text = ""
    try:
        while not re.search(pattern, text):
            check(select.select([terminal], [], [], seconds * PATIENCE)[0], f"{argv}: {shown(text)}")
            try:
                text += os.read(terminal, 65536).decode("utf-8", "replace")
            except OSError:  # nobody is at its end any more
                raise Failure(f"{argv} ended: {shown(text)}") from None
        return text
    finally:
        child.kill()
        child.wait()
        os.close(terminal)


# ---- redis-cli ----


@test
def cli_one_shot():
    """redis-cli: one command, in RESP2 and RESP3, with -n, -x, -r, -a and over a unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        with Server("--unixsocket", path) as server:
            equal(cli(server, "PUT", "greeting", "hello"), "OK\n")
            equal(cli(server, "GET", "greeting"), "hello\n")
            equal(cli(server, "--no-raw", "GET", "greeting"), "\"hello\"\n")
            equal(cli(server, "--no-raw", "GET", "nothing"), "(nil)\n")
            equal(cli(server, "-3", "--no-raw", "GET", "nothing"), "(nil)\n")
            equal(cli(server, "--no-raw", "EXISTS", "greeting"), "(integer) 1\n")
            check("1# \"timeout\" => \"0\"" in cli(server, "-3", "--no-raw", "CONFIG", "GET", "timeout"), "RESP3")
            equal(cli(server, "-n", "0", "-3", "PING"), "PONG\n")
            equal(cli(server, "-r", "3", "INCR", "n"), "1\n2\n3\n")
            equal(cli(server, "-x", "SET", "from-stdin", stdin=b"a\0b\n\xff"), "OK\n")
            equal(cli(server, "STRLEN", "from-stdin"), "5\n")
            equal(run(["redis-cli", "-s", path, "GET", "greeting"]), "hello\n")
            check("ERR unknown command 'NOTHING'" in cli(server, "NOTHING", "x"), "an error")
            check("redis_version:7.2" in cli(server, "INFO"), "INFO")
            check("name=" in cli(server, "CLIENT", "LIST"), "CLIENT LIST")
            check(f"n: {server.port}" != cli(server, "-u", f"redis://127.0.0.1:{server.port}/0", "GET", "n"), "-u")
        with Server("--requirepass", "secret") as server:
            check("NOAUTH" in cli(server, "PING"), "without the password")
            equal(cli(server, "-a", "secret", "--no-auth-warning", "PING"), "PONG\n")
            equal(cli(server, "-a", "secret", "--no-auth-warning", "-3", "PING"), "PONG\n")
            equal(cli(server, "--user", "default", "--pass", "secret", "--no-auth-warning", "PING"), "PONG\n")


@test
def cli_interactive():
    """redis-cli: a session on standard input."""
    with Server() as server:
        got = cli(server, stdin=b"SET k \"a b\"\nGET k\n\nEXPIRE k 100\nTTL k\nNOTHING\nMGET k n\nHELLO 3\nGET n\n")
        lines = got.split("\n")
        equal(lines[:2] + [lines[3 - 1], lines[3]], ["OK", "a b", "1", "100"])
        check("ERR unknown command 'NOTHING'" in got, got)


@test
def cli_stat():
    """redis-cli --stat prints its line."""
    with Server() as server:
        cli(server, "SET", "k", "v")
        got = watch_output(["redis-cli", "-p", server.port, "--stat"],
                           r"\n1 +\d+(\.\d+)?[KMGB] +\d+ +\d+ +\d+ \(\+\d+\) +\d+")
        check("keys" in got, got)


@test
def cli_latency():
    """redis-cli --latency measures."""
    with Server() as server:
        watch_output(["redis-cli", "-p", server.port, "--latency"], r"\([1-9]\d* samples\)")
        got = run(["redis-cli", "-p", server.port, "--latency", "-i", "1", "--csv"])
        check(re.match(r"\d+,\d+,\d+\.\d+,[1-9]\d*", got), got)


@test
def cli_bigkeys():
    """redis-cli --bigkeys finds the biggest key of all."""
    with Server() as server, server.connect() as c:
        c.pipeline([request("SET", f"key:{i}", b"v" * (i % 100)) for i in range(2000)])
        c.ask("SET", "biggest", b"v" * 5000)
        got = cli(server, "--bigkeys")
        check(re.search(r"Sampled 2001 keys in the keyspace", got), got)
        check(re.search(r"Biggest string found '\"?biggest\"?' has 5000 bytes", got), got)


@test
def cli_memkeys_hotkeys():
    """redis-cli --memkeys finds the key that takes most, --hotkeys gets Redis's error; -n chooses the database."""
    with Server() as server:
        cli(server, "-n", "3", "SET", "large", "v" * 1000)
        cli(server, "-n", "3", "-3", "SET", "small", "v")
        got = cli(server, "-n", "3", "--memkeys")
        check("Biggest string found '\"large\"' has 1032 bytes" in got, got)
        check("1 strings" not in got and "2 strings with" in got, got)
        check("Sampled 0 keys" in cli(server, "--memkeys"), "database 0 is empty")
        done = subprocess.run(["redis-cli", "-p", str(server.port), "-n", "3", "--hotkeys"], capture_output=True, text=True,
                              timeout=60 * PATIENCE, check=False)
        check("An LFU maxmemory policy is not selected" in done.stdout + done.stderr, done)


@test
def cli_scan():
    """redis-cli --scan --pattern lists what matches."""
    with Server() as server, server.connect() as c:
        c.pipeline([request("SET", f"key:{i}", "v") for i in range(5000)])
        got = cli(server, "--scan").split()
        equal(sorted(got), sorted(f"key:{i}" for i in range(5000)))
        got = cli(server, "--scan", "--pattern", "key:12*").split()
        equal(sorted(got), sorted(f"key:{i}" for i in range(5000) if str(i).startswith("12")))
        equal(cli(server, "--scan", "--pattern", "nothing*"), "")


@test
def cli_pipe():
    """redis-cli --pipe loads 10,000 commands, inline ones too, and counts the errors."""
    with Server() as server, server.connect() as c:
        data = b"".join(request("SET", f"key:{i}", f"value {i}") for i in range(10000))
        check("errors: 0, replies: 10000" in cli(server, "--pipe", stdin=data), "RESP")
        equal(c.ask("DBSIZE"), 10000)
        equal(c.ask("GET key:9999"), b"value 9999")
        data = b"".join(b"SET key:%d inline\r\n" % i for i in range(10000))
        check("errors: 0, replies: 10000" in cli(server, "--pipe", stdin=data), "inline")
        equal(c.ask("GET key:77"), b"inline")
        check("errors: 2, replies: 3" in run_pipe_with_errors(server), "errors are counted")


def run_pipe_with_errors(server):
    done = subprocess.run(["redis-cli", "-p", str(server.port), "--pipe"], input=b"PING\r\nNOTHING\r\nGET\r\n",
                          capture_output=True, timeout=60 * PATIENCE)
    return (done.stdout + done.stderr).decode()


# ---- redis-benchmark ----


@test(seconds=60)
def benchmark():
    """redis-benchmark runs without errors, with and without pipelining."""
    with Server("--maxmemory", "256mb") as server, server.connect() as c:
        for flags in (("-P", "16"), ("-P", "16", "-r", "100000", "-d", "300"), (), ("-c", "200", "-3")):
            got = run(["redis-benchmark", "-p", server.port, "-t", "set,get,mset,incr", "-n", "20000", "--csv", *flags])
            rows = re.findall(r'^"(\w+)[^"]*","([\d.]+)"', got, re.MULTILINE)
            equal([name for name, _ in rows if name != "test"], ["SET", "GET", "INCR", "MSET"], got)
            check(not re.search(r"error|warning", got, re.IGNORECASE), got)
        got = run(["redis-benchmark", "-p", server.port, "-n", "1000", "-q", "PUT", "k", "v"])
        check("requests per second" in got and not re.search(r"error", got, re.IGNORECASE), got)
        equal(c.info()["total_error_replies"], "0")


# ---- hiredis ----


class Hiredis:
    """test_hiredis.c, compiled into a folder of its own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sponson-test-hiredis-")
        atexit.register(shutil.rmtree, self.folder, True)
        self.program = os.path.join(self.folder, "test_hiredis")
        self.error = self.compile()
        self.names = [] if self.error else run([self.program]).splitlines()

    def compile(self):
        try:
            done = subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-o", self.program,
                                   os.path.join(HERE, "test_hiredis.c"), "-lhiredis"],
                                  capture_output=True, text=True, timeout=300)
        except FileNotFoundError:
            return "cc is not installed"
        return done.stderr if done.returncode else ""


HIREDIS = Hiredis()


def compiled():
    check(not HIREDIS.error, HIREDIS.error)


def run_hiredis(number):
    """Runs one of its tests, restarting the server when it asks."""
    server = Server("--maxmemory", "512mb")
    child = None
    try:
        child = subprocess.Popen([HIREDIS.program, str(server.port), str(number)], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        lines = []
        for line in child.stdout:
            if line == "restart\n":
                port = server.port
                server.stop()
                server.__exit__(None, None, None)
                server = Server("--maxmemory", "512mb", port=port)
                child.stdin.write("\n")
                child.stdin.flush()
            else:
                lines.append(line.removeprefix("# "))
        check(child.wait() == 0 and not lines, "".join(lines)[:2000] or f"it ended with {child.returncode}")
        server.stop()
    finally:
        if child:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
        server.__exit__(None, None, None)


add_test("test_hiredis.c compiles", compiled)
for i, name in enumerate(HIREDIS.names):
    add_test(name, lambda number=i: run_hiredis(number))
