"""test_calls.py -- each system call on the server's path fails, under load and at the start.

A call that strace makes fail is not executed. What a failure may cost is one connection, and only where the error says
that the connection, or memory for it, is gone; every value that was stored is still read (load.py). brk is left out:
the kernel's own says the old end when it fails, and libc takes an error for success.
"""
import os
import re
import signal
import subprocess
import tempfile

from faults import GROWTH, Processor, Strace, Traces
from harness import (OK, PATIENCE, SERVER, Closed, Connection, Failure, Server, add_test, check, clean_environment,
                     equal, free_port, request, test, until)
from load import Load

# calls, errors, when (strace(1)), how many of each error, whether one may cost a connection
RUNNING = [
    ("accept4", "EINTR EAGAIN ECONNABORTED EPROTO EPERM", "1+2", 60, False),
    ("accept4", "EMFILE ENFILE ENOMEM ENOBUFS", "1+2", 15, False),
    ("recvfrom", "EINTR EAGAIN", "1+3", 60, False),
    ("recvfrom", "ECONNRESET ENOMEM ETIMEDOUT", "5+40", 60, True),
    ("sendto", "EINTR EAGAIN", "1+3", 60, False),
    ("sendto", "EPIPE ECONNRESET ENOMEM ENOBUFS", "5+40", 60, True),
    ("epoll_wait", "EINTR", "1+2", 60, False),
    ("epoll_ctl", "ENOMEM ENOSPC", "1+5", 60, True),
    ("mmap", "ENOMEM EAGAIN", "1+2", 10, True),
    ("mmap,mremap", "ENOMEM", "1+1", 5, True),
    ("madvise", "ENOMEM EAGAIN EINVAL", "1+2", 5, False),
    ("munmap", "ENOMEM", "1+1", 10, False),
    ("write", "EAGAIN ENOSPC EIO EPIPE", "1+2", 60, False),
    ("sched_yield", "ENOSYS", "1+1", 5, False),
]


def fails_under_load(calls, errors, when, count, may_lose):
    lossy = calls == "madvise"  # where FLUSHALL is what calls it
    flags = ["--threads", "2", "--maxmemory", "256mb"] + (["--loglevel", "verbose"] if calls == "write" else [])
    with Server(*flags) as server, server.connect() as c:
        traces = Traces(server, c)
        may = 0  # connections that may have been lost so far
        clients = 16 if calls in ("mmap", "munmap") else 6
        with Load(server, clients, lossy=lossy, scarce="mmap" in calls) as load:
            for error in errors.split():
                lost = load.lost + load.refused
                with Strace(server, calls, error, when) as strace:
                    def failed():
                        if lossy:
                            equal(c.ask("FLUSHALL"), OK)
                        load.check()
                        return strace.count() >= count
                    until(failed, 20, lambda: f"{strace.what}: {strace.count()} of {count} calls have failed")
                load.proceeds()
                may += traces.threads + (strace.failed if may_lose else 0)  # a call of each thread: Strace
                check(load.lost + load.refused <= may,
                      f"{strace.what}: {load.lost} connections lost, {load.refused} refused, of {may} that may be; now "
                      f"{strace.failed} calls failed\n{server.stderr()[-1000:]}")
                print(f"# {calls} {error}: {strace.failed} failed, {load.lost + load.refused - lost} connections lost")
        equal(c.ask("FLUSHALL"), OK)
        traces.back(growth=None if calls == "munmap" else GROWTH)


for row_ in RUNNING:
    add_test(f"{row_[0]} fails with {row_[1]} under load: "
             f"{'only connections that are hit are lost' if row_[4] else 'nothing is lost'}",
             lambda row=row_: fails_under_load(*row), 120)


@test(seconds=60)
def no_memory_at_all():
    """While the system gives no memory, clients that need none are served."""
    with Server("--threads", "2") as server, server.connect() as c, server.connect() as large:
        equal(c.ask("SET", "k", b"v" * 1000), OK)
        with Strace(server, "mmap,mremap", "ENOMEM"):
            large.send(request("SET", "large", b"v" * 500000)[:-1])
            try:
                large.send(b"\n")
                got = large.read()
            except (Closed, OSError):
                got = None
            check(got in (OK, None), got)
            for _ in range(1000):
                equal(c.ask("GET k"), b"v" * 1000)
            with server.connect() as new:
                equal(new.ask("GET k"), b"v" * 1000)
        with server.connect() as new:
            equal(new.ask("SET", "large", b"v" * 500000), OK)
            equal(new.ask("GET", "large"), b"v" * 500000)


@test(seconds=60)
def no_descriptors_at_all():
    """While accept4 says EMFILE without an end, nothing spins, clients are served, and then the one that waited."""
    for error in ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"):
        with Server("--threads", "2") as server, server.connect() as c:
            equal(c.ask("SET k v"), OK)
            with Strace(server, "accept4", error) as strace:
                waiting = server.connect()
                waiting.send(request("GET k"))
                strace.wait(1)
                share = Processor(server).check_rests(1)
                check(strace.count() < 100, f"{strace.count()} calls of accept4 in a second")
                for _ in range(100):
                    equal(c.ask("GET k"), b"v")
            equal(waiting.read(), b"v")
            waiting.close()
            print(f"# {error}: {100 * share:.1f} percent of a processor, {strace.failed} calls in a second")


@test(seconds=60)
def the_listener_is_watched_again():
    """When accept4 says EMFILE, and the rest and the waits after it fail too, the listener is not lost."""
    with Server("--threads", "1") as server:
        # of the main thread's poll the first is for the log line, the second the rest
        with Strace(server, "accept4", "EMFILE", "1", ["poll:error=ENOMEM:when=2..4"]) as strace:
            with server.connect() as waiting:
                waiting.send(request("PING"))
                strace.wait(4)
                equal(waiting.read(), "PONG")
        with server.connect() as c:
            equal(c.ask("PING"), "PONG")


@test(seconds=60)
def last_words():
    """A shutdown() that fails when a connection is told goodbye closes it, and nothing else."""
    with Server() as server, server.connect() as other:
        traces = Traces(server, other)
        for error in ("ENOTCONN", "ENOBUFS"):
            with Strace(server, "shutdown", error) as strace:
                clients = [server.connect() for _ in range(20)]
                for c in clients:
                    c.send(b"*1\r\n:1\r\n")
                    check(c.line().startswith(b"-ERR Protocol error"), "a protocol error is said")
                    equal(c.rest(), b"")
                    c.close()
                check(strace.count() == 20, strace.count())
            equal(other.ask("PING"), "PONG")
        traces.back()


@test(seconds=60)
def the_end():
    """A read of the signal, or a wait, that fails on SIGTERM does not keep the server from its end."""
    for call, error in (("read", "EINTR"), ("read", "EAGAIN"), ("epoll_wait", "EINTR"), ("write", "EINTR")):
        with Server() as server, server.connect() as c:
            equal(c.ask("PING"), "PONG")
            with Strace(server, call, error, "1+2"):
                server.signal(signal.SIGTERM)
                server.ended(0)


# ---- at the start ----

# calls, errors, the first to fail: what comes before is the dynamic linker's
STARTING = [
    ("openat", "ENOENT EACCES EMFILE ENFILE ENOMEM", 3),
    ("read", "EIO EINTR", 2),
    ("mmap", "ENOMEM", 8),
    ("madvise", "EINVAL ENOMEM", 1),
    ("munmap", "ENOMEM", 1),
    ("mprotect", "ENOMEM", 4),
    ("prctl", "EINVAL", 1),
    ("prlimit64", "EPERM", 1),
    ("sched_getaffinity", "EINVAL", 1),
    ("getrandom", "EAGAIN EINTR", 1),
    ("signalfd4", "EMFILE ENOMEM", 1),
    ("epoll_create1", "EMFILE ENOMEM", 1),
    ("eventfd2", "EMFILE ENFILE", 1),
    ("epoll_ctl", "ENOMEM ENOSPC", 1),
    ("socket", "EMFILE ENOBUFS EACCES", 1),
    ("setsockopt", "ENOPROTOOPT ENOMEM", 1),
    ("bind", "EACCES EADDRINUSE", 1),
    ("listen", "EADDRINUSE", 1),
    ("clone3,clone", "EAGAIN ENOMEM", 1),
    ("write", "EIO EAGAIN ENOSPC", 1),
]


def traced(path):
    """The process that strace started: its number opens each line."""
    with open(path) as f:
        return int(f.read().split(None, 1)[0])


def start_with(calls, error, when):
    """Starts a server of which one call fails; returns (calls that failed, exit code or "serves")."""
    port = free_port()
    with tempfile.NamedTemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(["strace", "-f", "-o", out.name, "-e", "signal=none", "-e", f"trace=execve,{calls}",
                                  "-e", f"inject={calls}:error={error}:when={when}",
                                  SERVER, "--port", str(port), "--bind", "127.0.0.1", "--threads", "2"],
                                 stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=clean_environment())
        try:
            def decided():
                if child.poll() is not None:
                    return True
                try:
                    with Connection(("127.0.0.1", port)) as c:
                        return c.ask("SET k v") == OK and c.ask("GET k") == b"v"
                except (Closed, OSError):
                    return False
            try:
                until(decided, 10, "decided")
            except Failure:
                raise Failure(f"{calls} {error} {when}: neither serves nor ends: {text_of(err)}") from None
            serves = child.poll() is None
            if serves:
                os.kill(traced(out.name), signal.SIGTERM)
            code = child.wait(15 * PATIENCE)
        finally:
            if child.poll() is None:  # strace's end would leave the server running
                os.kill(traced(out.name), signal.SIGKILL)
                child.wait()
        failed = open(out.name).read().count("(INJECTED)")
        said = text_of(err)
    what = f"{calls} {error} {when}: ended with {code}: {said}"
    if serves:
        check(code == 0, what)
    elif failed:
        check(code == 1 and (re.search("^sponson: ", said, re.M) or calls == "write") or code == 127, what)
    return failed, "serves" if serves else "ends with a sentence"


def text_of(file):
    return os.pread(file.fileno(), 4096, 0).decode("utf-8", "replace")


def fails_at_start(calls, errors, first):
    results = {}
    for error in errors.split():
        for when in [*range(first, first + 8), f"{first}..{first + 40}"]:
            failed, result = start_with(calls, error, when)
            if failed == 0:
                check(when != first, f"{calls} is never called")
                break
            results[result] = results.get(result, 0) + 1
    print(f"# {calls}: {', '.join(f'{n} x {result}' for result, n in sorted(results.items()))}")


for row_ in STARTING:
    add_test(f"{row_[0]} fails with {row_[1]} at the start: it serves, or ends with a sentence",
             lambda row=row_: fails_at_start(*row), 120)
