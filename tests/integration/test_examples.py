"""test_examples.py -- the configurations in examples/, with the real stunnel and HAProxy, and redis-cli --tls.

Each file is used as it is, but for its paths and port.
"""
import os
import random
import re
import shutil
import subprocess
import tempfile

from harness import OK, PATIENCE, Process, Server, check, equal, free_port, shown, test, until

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")


def certificates(folder):
    """An authority, ca.pem, and a certificate with its key, tls.pem, for localhost; another authority's is other.pem."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for authority, name in (("ca", "tls"), ("wrong", "other")):
        openssl("req", "-x509", *new_key, "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-days", "2", "-subj",
                f"/CN={authority}")
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=localhost")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                "-CAcreateserial", "-out", f"{name}.crt", "-days", "2")
        with open(os.path.join(folder, f"{name}.pem"), "w") as out:
            for part in ("crt", "key"):
                with open(os.path.join(folder, f"{name}.{part}")) as f:
                    out.write(f.read())


class Tls:
    """A sponson on a unix socket, and a program in front of it that was given an example's text."""

    def __init__(self, example, argv, *flags):
        self.folder = tempfile.mkdtemp(prefix="sponson-tls-")
        socket = os.path.join(self.folder, "s")
        self.server = Server("--unixsocket", socket, *flags)
        self.port = str(free_port())
        certificates(self.folder)
        with open(os.path.join(EXAMPLES, example)) as f:
            text = f.read()
        for old, new in (("0.0.0.0:6390", f"127.0.0.1:{self.port}"), ("/run/sponson/sponson.sock", socket),
                         ("/etc/sponson/tls.pem", f"{self.folder}/tls.pem"), ("/etc/sponson/ca.pem", f"{self.folder}/ca.pem")):
            lines = [line for line in text.splitlines() if line.strip()[:1] not in ("#", ";", "") and old in line]
            check(len(lines) == 1, f"{example} names {old} once")
            text = re.sub(rf"^([^#;\n]*){re.escape(old)}", lambda m, new=new: m.group(1) + new, text, flags=re.M)
        self.proxy = Process([*argv, self.server.write(example, text)])

    def cli(self, *words, name="tls", ca="ca", stdin=None):
        files = ["--cacert", f"{self.folder}/{ca}.pem"]
        if name:
            files += ["--cert", f"{self.folder}/{name}.pem", "--key", f"{self.folder}/{name}.pem"]
        done = subprocess.run(["redis-cli", "--tls", *files, "-p", self.port, *words], input=stdin, capture_output=True,
                              timeout=60 * PATIENCE)
        return done.stdout.decode().strip() or done.stderr.decode().strip()

    def __enter__(self):
        try:
            def answers():
                check(self.proxy.running(), f"it ended: {self.proxy.stderr()}")
                return self.cli("PING") in ("PONG", "NOAUTH Authentication required.")
            until(answers, 10, lambda: f"PONG through TLS: {self.cli('PING')}\n{self.proxy.stderr()[-2000:]}")
        except BaseException as e:
            self.__exit__(type(e), e, None)
            raise
        return self

    def __exit__(self, *what):
        self.proxy.kill()
        self.server.__exit__(*what)
        shutil.rmtree(self.folder)


def through_tls(example, *argv):
    check(shutil.which(argv[0]), f"{argv[0]} is not installed")
    value = random.Random(1).randbytes(100000)
    with Tls(example, argv) as t:
        equal(t.cli("PUT", "greeting", "hello"), "OK")
        equal(t.cli("GET", "greeting"), "hello")
        equal(t.cli("-x", "SET", "large", stdin=value), "OK")
        with t.server.connect() as c:
            equal(c.ask("GET large"), value)
            check(b"addr=" in c.ask("CLIENT LIST"), "CLIENT LIST")
        equal(t.cli("--raw", "-r", "100", "INCR", "n").split("\n")[-1], "100")
        for wrong in ({"ca": "wrong"}, {"name": "other"}, {"name": None}):
            got = t.cli("GET", "greeting", **wrong)
            check("hello" not in got and got, f"{wrong}: {shown(got)}")
        done = subprocess.run(["redis-cli", "-p", t.port, "GET", "greeting"], capture_output=True, timeout=60 * PATIENCE)
        check(b"hello" not in done.stdout, "without TLS")
        benchmark = subprocess.run(["redis-benchmark", "--tls", "--cacert", f"{t.folder}/ca.pem", "--cert", f"{t.folder}/tls.pem",
                                    "--key", f"{t.folder}/tls.pem", "-p", t.port, "-t", "set,get", "-n", "2000", "-c", "20",
                                    "-P", "10", "-q"], capture_output=True, text=True, timeout=120 * PATIENCE)
        equal(benchmark.stdout.count("requests per second"), 2, benchmark.stdout + benchmark.stderr)
    with Tls(example, argv, "--requirepass", "secret") as t:
        equal(t.cli("GET", "k"), "NOAUTH Authentication required.")
        equal(t.cli("-a", "secret", "--no-auth-warning", "SET", "k", "v"), "OK")
        if example != "haproxy.cfg":
            return
        with t.server.connect() as c:  # three health checks, and it is still not taken for dead
            def pings():
                return int(re.search(rb"cmdstat_ping:.*rejected_calls=(\d+)", c.ask("INFO commandstats")).group(1))
            equal(c.ask("AUTH secret"), OK)
            before = pings()
            until(lambda: pings() >= before + 3, 15, "three health checks")
        check("DOWN" not in t.proxy.stderr(), t.proxy.stderr())
        equal(t.cli("-a", "secret", "--no-auth-warning", "GET", "k"), "v")


@test(seconds=60)
def stunnel():
    """examples/stunnel.conf: redis-cli --tls and redis-benchmark --tls, certificates checked both ways."""
    through_tls("stunnel.conf", "stunnel4")


@test(seconds=60)
def haproxy():
    """examples/haproxy.cfg: the same, and its health check finds sponson alive, with and without a password."""
    through_tls("haproxy.cfg", "haproxy", "-f")
