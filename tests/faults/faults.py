"""faults.py -- what makes things fail, and what tells how the server bears it.

    Strace      makes system calls of a running server fail
    Namespace   a network of its own, for rules that drop and reject
    Processor   seconds of processor time that a process used: who spins is seen by it
    Traces      what must be as before once all clients are gone: memory, descriptors, threads, counters
"""
import ctypes
import os
import re
import signal
import subprocess
import tempfile
import time

from harness import MB, PATIENCE, Failure, check, until

CLONE_NEWNET = 0x40000000


def run(*argv):
    """Runs a tool that must succeed."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"{' '.join(argv)}: {done.stderr or done.stdout}")
    return done.stdout


class Strace:
    """Makes a call of a server fail with an error while it lasts; `when` as in strace(1), counted for each thread.
    More such rules, written as strace has them, in `more`. When it goes, it may leave one call of each thread in the
    middle, which is not executed either, and fails with ENOSYS."""

    def __init__(self, server, calls, error, when="1+1", more=()):
        self.out = tempfile.NamedTemporaryFile()
        self.err = tempfile.TemporaryFile()
        self.what = f"{calls}:error={error}:when={when}"
        argv = ["strace", "-f", "-p", str(server.pid), "-o", self.out.name, "-e", "signal=none"]
        traced = ",".join([calls, *(rule.split(":")[0] for rule in more)])
        argv += ["-e", f"trace={traced}"] + [x for rule in (self.what, *more) for x in ("-e", f"inject={rule}")]
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.err)

    def __enter__(self):
        def attached():
            said = os.pread(self.err.fileno(), 4096, 0).decode()
            check(self.child.poll() is None, f"strace does not work here: {said}")
            return "attached" in said
        until(attached, 10, "strace is attached")
        return self

    def count(self):
        """Calls that have failed."""
        return os.pread(self.out.fileno(), 1 << 26, 0).count(b"(INJECTED)")

    def wait(self, count, seconds=15):
        until(lambda: self.count() >= count, seconds,
              lambda: f"{self.what}: {self.count()} of {count} calls have failed")

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGINT)
        self.child.wait(20 * PATIENCE)
        self.failed = self.count()
        self.out.close()
        self.err.close()


class Namespace:
    """While it lasts, this thread, and what it starts, is in a network of its own that has only a loopback."""

    def __enter__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if self.libc.unshare(CLONE_NEWNET) != 0:
            os.close(self.before)
            raise Failure(f"no network namespace can be made here: {os.strerror(ctypes.get_errno())}; it takes root")
        try:
            run("ip", "link", "set", "lo", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.libc.setns(self.before, CLONE_NEWNET)
        os.close(self.before)


class Processor:
    """Processor time of a process, user and system, since this was made."""

    def __init__(self, server):
        self.server = server
        self.began, self.used_before = time.monotonic(), self.used()

    def used(self):
        with open(f"/proc/{self.server.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def share(self, seconds=1.0):
        """The part of one processor that it used since the beginning, over at least so many seconds."""
        until(lambda: time.monotonic() - self.began >= seconds, seconds + 5, "time passes")
        return (self.used() - self.used_before) / (time.monotonic() - self.began)

    def check_rests(self, seconds=1.0):
        share = self.share(seconds)
        check(share < 0.25, f"the server used {100 * share:.0f} percent of a processor, with nothing to do")
        return share


def threads(server):
    return len(os.listdir(f"/proc/{server.pid}/task"))


class Traces:
    """What a server is like when nobody is connected but the one who asks; back() waits until it is so again."""

    def __init__(self, server, c):
        self.server, self.c = server, c
        c.ask("PING")
        self.descriptors, self.threads = server.descriptors(), threads(server)
        self.resident = server.resident()

    def back(self, growth=None):
        """With `growth`, resident memory is within so many bytes of what it was."""
        until(lambda: self.c.info()["connected_clients"] == "1", 20, "all clients are gone")
        until(lambda: self.server.descriptors() == self.descriptors, 20,
              lambda: f"{self.server.descriptors()} descriptors, not {self.descriptors}")
        until(lambda: self.c.info()["mem_clients_normal"] == "0", 20, "clients' buffers are given back")
        check(threads(self.server) == self.threads, "a thread is gone")
        if growth is not None:
            until(lambda: self.server.resident() - self.resident <= growth, 20,
                  lambda: f"{(self.server.resident() - self.resident) // 1024} KB more are resident")
        Processor(self.server).check_rests(0.5)


def counter(info, name):
    """A number of `name:number` within a field of INFO like keys=1,expires=0."""
    return int(re.search(r"\d+", info[name]).group())


GROWTH = 16 * MB  # what allocators and pools may keep of what was used
