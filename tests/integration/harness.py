"""harness.py -- what the integration tests share: servers, connections, results.

Owns    every process it starts: each is stopped by its own pid, and its exit code and stderr are looked at.
True    a server whose stderr holds a sanitizer's report, or that ends with another code than expected, fails the test
        that started it.
Waits   nothing sleeps for a fixed time: until() asks again and again until a deadline.

Environment:
    SERVER        the binary under test (default ./sponson)
    THREADS       its --threads, where a test does not choose (default: the server's own)
    REDIS_SERVER  the Redis that tables of replies are checked against (default redis-server)
"""
import fcntl
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import traceback

SERVER = os.path.abspath(os.environ.get("SERVER", "./sponson"))
THREADS = os.environ.get("THREADS")
REDIS_SERVER = os.environ.get("REDIS_SERVER", "redis-server")
REPORTS = re.compile(r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed")
MB = 1 << 20


def is_sanitized():
    """Whether the server is slowed down by a sanitizer, or by counting the lines that run."""
    try:
        with open(SERVER, "rb") as f:
            return re.search(rb"__(asan|tsan|msan|gcov)_init", f.read()) is not None
    except OSError:
        return False


SANITIZED = is_sanitized()
PATIENCE = 6 if SANITIZED else 1  # times as long is waited, ...
BUSY = 5  # times as long as it takes at most where nothing else runs, before it is taken for hanging
FATNESS = 5 if SANITIZED else 1  # ... and times as much memory allowed, where a sanitizer looks on


# ---- checks ----


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def shown(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]} ... {text[-60:]} ({len(text)} characters)"


def equal(got, want, what=""):
    if got != want:
        raise Failure(f"{what}{': ' if what else ''}got {shown(got)}, not {shown(want)}")


def until(condition, seconds, what):
    """Asks until the condition holds, the last time when the seconds are over; returns its value."""
    seconds *= PATIENCE * BUSY
    deadline = time.monotonic() + seconds
    while True:
        is_over = time.monotonic() > deadline
        value = condition()
        if value:
            return value
        if is_over:
            raise Failure(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.005)


# ---- RESP ----


class Simple(str):
    """A simple string: +OK"""


class Error(str):
    """An error line, without its '-'"""


class Verbatim(bytes):
    """A verbatim string of RESP3, without its 'txt:'"""


OK = Simple("OK")


def to_bytes(value):
    return value if isinstance(value, (bytes, bytearray)) else str(value).encode()


def request(*words):
    """The bytes of a request; one string is split at its spaces."""
    if len(words) == 1 and isinstance(words[0], str):
        words = words[0].split()
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = to_bytes(word)
        parts += (b"$%d\r\n" % len(word), word, b"\r\n")
    return b"".join(parts)


def reply(value, resp=2):
    """The bytes that a server of this protocol version answers with."""
    if isinstance(value, Error):
        return b"-%s\r\n" % value.encode()
    if isinstance(value, Simple):
        return b"+%s\r\n" % value.encode()
    if value is None:
        return b"$-1\r\n" if resp == 2 else b"_\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, Verbatim):
        return b"$%d\r\n%s\r\n" % (len(value), value) if resp == 2 else b"=%d\r\ntxt:%s\r\n" % (len(value) + 4, value)
    if isinstance(value, (bytes, str)):
        value = to_bytes(value)
        return b"$%d\r\n%s\r\n" % (len(value), value)
    if isinstance(value, dict):
        items = [x for pair in value.items() for x in pair]
        return b"%s%d\r\n" % (b"*" if resp == 2 else b"%", len(items) if resp == 2 else len(value)) + b"".join(
            reply(x, resp) for x in items)
    return b"*%d\r\n" % len(value) + b"".join(reply(x, resp) for x in value)


class Closed(Exception):
    """The server closed the connection."""


class Connection:
    """A client that knows bytes, and replies where asked."""

    def __init__(self, address, seconds=60, source=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(seconds * PATIENCE)
        try:
            if source:
                self.socket.bind((source, 0))
            self.socket.connect(address)
            if family != socket.AF_UNIX:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.socket.close()
            raise
        self.buffer = bytearray()
        self.at = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def has_arrived(self):
        """Whether the kernel at the other end has all that was sent."""
        return int.from_bytes(fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder) == 0

    def fill(self):
        if self.at > 1 << 16:
            del self.buffer[:self.at]
            self.at = 0
        data = self.socket.recv(1 << 18)
        if not data:
            raise Closed(f"closed by the server after {shown(bytes(self.buffer[self.at:]))}")
        self.buffer += data

    def exactly(self, n):
        """The next n bytes."""
        while len(self.buffer) - self.at < n:
            self.fill()
        data = bytes(self.buffer[self.at:self.at + n])
        self.at += n
        return data

    def line(self):
        """The next line, without its end."""
        start = self.at
        while True:
            end = self.buffer.find(b"\r\n", start)
            if end >= 0:
                data = bytes(self.buffer[self.at:end])
                self.at = end + 2
                return data
            before = len(self.buffer) - self.at
            self.fill()
            start = max(self.at, self.at + before - 1)

    def rest(self):
        """Everything up to the end of the connection; a reset is an error."""
        try:
            while True:
                self.fill()
        except Closed:
            data = bytes(self.buffer[self.at:])
            self.at = len(self.buffer)
            return data

    def read(self):
        """The next reply."""
        line = self.line()
        kind, text = line[:1], line[1:]
        if kind == b"+":
            return Simple(text.decode())
        if kind == b"-":
            return Error(text.decode("latin-1"))
        if kind == b":":
            return int(text)
        if kind == b"_":
            return None
        if kind == b"#":
            return text == b"t"
        if kind in b"$=":
            n = int(text)
            if n < 0:
                return None
            data = self.exactly(n + 2)
            check(data[-2:] == b"\r\n", f"a bulk string of {n} bytes does not end in CRLF")
            return data[:-2] if kind == b"$" else Verbatim(data[4:-2])
        if kind in b"*~>":
            n = int(text)
            return None if n < 0 else [self.read() for _ in range(n)]
        if kind == b"%":
            return {self.read(): self.read() for _ in range(int(text))}
        raise Failure(f"no RESP reply begins like this: {shown(line)}")

    def ask(self, *words):
        """Sends one request and reads its reply."""
        self.send(request(*words))
        return self.read()

    def answer(self, data):
        """The exact bytes that are answered to these; a marker behind them tells where they end."""
        marker = b"the end of the answer"
        self.send(data + request("ECHO", marker))
        end = reply(marker)
        start = self.at
        while True:
            found = self.buffer.find(end, start)
            if found >= 0:
                got = bytes(self.buffer[self.at:found])
                self.at = found + len(end)
                return got
            before = len(self.buffer) - self.at
            self.fill()
            start = max(self.at, self.at + before - len(end))

    def info(self):
        """INFO as a dictionary of strings."""
        lines = self.ask("INFO").decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def pipeline(self, requests):
        """Sends all requests while it reads their replies, so that neither side can block the other."""
        data = memoryview(b"".join(requests))
        replies, before = [], self.socket.gettimeout()
        self.socket.setblocking(False)
        try:
            deadline = time.monotonic() + 60 * PATIENCE
            while len(data):
                check(time.monotonic() < deadline, "the server took no more requests")
                readable, writable, _ = select.select([self.socket], [self.socket], [], 1)
                if writable:
                    data = data[self.socket.send(data):]
                if readable:
                    self.fill()
        finally:
            self.socket.settimeout(before)
        for _ in requests:
            replies.append(self.read())
        return replies


# ---- servers ----


def free_port(family=socket.AF_INET):
    """One that nobody has on any address, below those that outgoing connections are given: so it stays free for a server
    that starts in a moment, on all addresses or a second time."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        end = int(f.read().split()[0])
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            try:
                s.bind(("", random.randrange(10_000, end) if end > 12_000 else 0))
                return s.getsockname()[1]
            except OSError:
                pass


def free_ports(count):
    """So many, no two the same."""
    ports = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def clean_environment(extra=None):
    """Without options that the caller's shell happens to set for a server."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SPONSON_", "NOTIFY_SOCKET"))}
    env.setdefault("TSAN_OPTIONS", "report_thread_leaks=0")  # a second signal ends the process, threads and all
    env.update(extra or {})
    return env


class Process:
    """A child: its output goes to files, so that it never waits for us."""

    def __init__(self, argv, env=None):
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
                                      env=clean_environment(env))
        self.pid = self.child.pid

    def text(self, file):
        """What it has written so far; while it runs, whole lines: of the last one a part may be there."""
        running = self.running()
        data = os.pread(file.fileno(), 1 << 22, 0)
        return (data[:data.rfind(b"\n") + 1] if running else data).decode("utf-8", "replace")

    def stderr(self):
        return self.text(self.err)

    def stdout(self):
        return self.text(self.out)

    def signal(self, number):
        self.child.send_signal(number)

    def running(self):
        return self.child.poll() is None

    def ended(self, code, seconds=30):
        """Waits for the end, which must come with this exit code."""
        try:
            got = self.child.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"the server did not end within {seconds * PATIENCE} s\n{self.stderr()[-2000:]}") from None
        self.check_stderr()
        check(got == code, f"the server ended with {got}, not {code}\n{self.stderr()[-3000:]}")

    def check_stderr(self):
        """No sanitizer had anything to report."""
        text = self.stderr()
        found = REPORTS.search(text)
        check(not found, "the server's stderr:\n" + text[text.rfind("\n", 0, found.start()) + 1:][:6000] if found else "")

    def kill(self):
        if self.running():
            self.child.kill()
        self.child.wait()
        self.out.close()
        self.err.close()

    def resident(self):
        """Bytes of resident memory."""
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Server(Process):
    """The server under test. `with Server(...) as server:` starts it, waits until it answers, and ends it."""

    def __init__(self, *flags, env=None, config=None, port=None, host="127.0.0.1", bind=True, prefix=()):
        self.folder = tempfile.mkdtemp(prefix="sponson-test-")
        for chances in (2, 1, 0) if port is None else (0,):  # a free port may be somebody's before the server has it
            try:
                self.start(flags, env, config, port or free_port(socket.AF_INET6 if ":" in host else socket.AF_INET), host,
                           bind, prefix)
                return
            except BaseException as e:
                taken = "Address already in use" in self.stderr()
                self.kill()
                if not (isinstance(e, Failure) and taken and chances):
                    shutil.rmtree(self.folder)
                    raise

    def start(self, flags, env, config, port, host, bind, prefix):
        self.port = port
        self.address = (host, self.port)
        argv = [*prefix, SERVER]  # a prefix ends in an exec: the process is the server
        if config is not None:
            argv.append(self.write("sponson.conf", config))
        argv += ["--port", str(self.port)]
        if bind:
            argv += ["--bind", host]
        flags = [str(f) for f in flags]
        if THREADS and "--threads" not in flags:
            argv += ["--threads", THREADS]
        Process.__init__(self, argv + flags, env)
        self.is_ended = False
        self.wait_ready()

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def wait_ready(self):
        def ready():
            if not self.running():
                raise Failure(f"the server did not start: exit {self.child.returncode}\n{self.stderr()}")
            return " ready on " in self.stderr()
        until(ready, 10, lambda: f"the server says that it is ready\n{self.stderr()}")

    def connect(self, seconds=60, source=None):
        return Connection(self.address, seconds, source)

    def ended(self, code=0, seconds=30):
        super().ended(code, seconds)
        self.is_ended = True

    def stop(self):
        self.signal(signal.SIGTERM)
        self.ended(0)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        try:
            if not self.is_ended:
                if not self.running():  # whatever else went wrong, this is why
                    self.ended(0)
                elif kind is None:
                    self.stop()
            if kind is not None:
                self.check_stderr()
        finally:
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)


def run_server(*argv, env=None, seconds=30):
    """Runs the binary to its end: (exit code, stdout, stderr)."""
    done = subprocess.run([SERVER, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=clean_environment(env), timeout=seconds * PATIENCE)
    check(not REPORTS.search(done.stderr), done.stderr[:4000])
    return done.returncode, done.stdout, done.stderr


PINGER = """
import select, socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
longest = count = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    began = time.monotonic()
    s.sendall(b"PING\\r\\n")
    got = b""
    while len(got) < 7:
        more = s.recv(7)
        if not more:
            sys.exit("closed by the server")
        got += more
    if got != b"+PONG\\r\\n":
        sys.exit(f"got {got!r}")
    longest = max(longest, time.monotonic() - began)
    count += 1
    if count == 1:
        print("begun", flush=True)
print(longest, count)
"""


class Pinger:
    """Another client, a process of its own: asks PING again and again; none may wait for longer than `most` seconds, which
    are many more than a machine is likely to stop a process."""

    def __init__(self, server, most=5):
        self.most = most
        self.longest = 0.0  # seconds that one waited, known at the end
        self.child = subprocess.Popen([sys.executable, "-c", PINGER, server.address[0], str(server.port)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        self.child.stdout.readline()
        return self

    def __exit__(self, kind, *_):
        try:
            out, err = self.child.communicate("", 60 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            out, err = self.child.communicate()
            err += "it did not end"
        if kind is None:
            check(self.child.returncode == 0, f"the other client: {err[-1000:]}")
            self.longest = float(out.split()[0])
            check(self.longest < self.most * PATIENCE, f"another client's PING waited for {self.longest:.2f} s")


class Redis(Process):
    """A Redis, to see whether a table of replies is right."""

    def __init__(self, *flags):
        self.folder = tempfile.mkdtemp(prefix="sponson-test-redis-")
        for chances in (2, 1, 0):  # a free port may be somebody's before Redis has it
            self.port = free_port()
            super().__init__([REDIS_SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir",
                              self.folder, *flags])
            try:
                until(self.accepts, 10, "redis-server accepts connections")
                break
            except BaseException:
                if chances and not self.running() and "in use" in self.stdout():
                    self.kill()
                    continue
                self.stop()
                raise
        version = re.search(r"version=(\d+)\.(\d+)", self.stdout())
        self.version = (int(version.group(1)), int(version.group(2)))

    def accepts(self):
        check(self.running(), f"redis-server did not start\n{self.stdout()}")
        try:
            self.connect().close()
            return "Ready to accept" in self.stdout()
        except OSError:
            return False

    def connect(self, seconds=60):
        return Connection(("127.0.0.1", self.port), seconds)

    def stop(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


# ---- tests ----


TESTS = []


def test(function=None, *, seconds=30):
    """Registers a test; the first line of its docstring is its name."""
    def register(f):
        TESTS.append((f.__doc__.strip().split("\n")[0].rstrip("."), seconds, f))
        return f
    return register(function) if function else register


def add_test(name, function, seconds=30):
    TESTS.append((name, seconds, function))


def out_of_time(_number, _frame):
    raise Failure("the test took too long")


def run_one(function, seconds):
    """Returns why it failed, "" when it did not."""
    signal.setitimer(signal.ITIMER_REAL, seconds * PATIENCE * BUSY)
    try:
        function()
        return ""
    except Failure as e:
        where = traceback.extract_tb(e.__traceback__)
        lines = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in where if "harness" not in f.filename]
        return f"{' '.join(lines)}: {e}"
    except Exception:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run_all(pattern=""):
    """Runs the registered tests whose name or module holds the pattern. Returns the exit code."""
    chosen = [t for t in TESTS if re.search(pattern, f"{t[2].__module__} {t[0]}", re.IGNORECASE)]
    signal.signal(signal.SIGALRM, out_of_time)
    failed = 0
    print(f"1..{len(chosen)}", flush=True)
    for number, (name, seconds, function) in enumerate(chosen, 1):
        began = time.monotonic()
        why = run_one(function, seconds)
        for line in why.splitlines():
            print(f"# {line}")
        took = f" # {time.monotonic() - began:.1f} s" if os.environ.get("TIMES") else ""
        print(f"{'not ok' if why else 'ok'} {number} - {name}{took}", flush=True)
        failed += why != ""
    if not chosen:
        print(f"# no test matches {pattern}")
    return 1 if failed or not chosen else 0
