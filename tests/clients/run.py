"""run.py -- client libraries, unmodified, against the real server; prints TAP.

    SERVER=./sponson python3 tests/clients/run.py [--table] [pattern]

The pattern is a regular expression, looked for in the names of the tests; --table prints a table in Markdown of what
ran behind them. install.sh installs what is needed; what is missing fails its tests, nothing is skipped.

Each library has a program beside this file, which is called in two ways:

    PROGRAM             says of each capability, a line each, whether the library has it: "+ name" or "- name",
                        and behind it a remark: why not, or what is particular
    PROGRAM PORT NAME   shows this capability with the server at 127.0.0.1:PORT; it passed when it ends with 0. To have
                        the server restarted it prints "RESTART" and waits for a line on stdin.

Each call meets a server of its own. What a library does not have is left out for it, and said.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "clients")  # what install.sh and this file make
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

from harness import Failure, Server, add_test, check, clean_environment, run_all  # noqa: E402

CAPABILITIES = {
    "resp2": "connects in RESP2, sets and gets",
    "resp3": "connects in RESP3, sets and gets",
    "handshake": "gives its connection a name and takes database 3",
    "ttl": "sets with EX and PX, reads the TTL back, and what has expired is gone",
    "binary": "keys and values of all 256 bytes, and an empty value",
    "large": "a value of 1 MB comes back as it was",
    "pipeline": "10,000 commands in one pipeline, each with its reply",
    "many": "MSET, MGET, INCR, EXISTS and DEL of several keys",
    "scan": "SCAN finds 1,000 keys among others",
    "transaction": "the replies of a transaction in their order",
    "watch": "a watched key that another connection changed aborts the transaction, one left alone does not",
    "execabort": "after an error while queueing nothing is executed",
    "error": "INCR of a text raises the server's error, word for word",
    "unknown": "LPUSH raises the server's error about an unknown command",
    "reconnect": "goes on after the server was restarted",
}
SECONDS = 60  # a program that takes longer is killed


class Client:
    """One library: where its version is known, how its program is made and started, what it has."""

    def __init__(self, name, package, argv, build=None):
        self.name = name
        self.package = package
        self.argv = argv
        self.build = build
        self.remarks = {}
        self.missing = set()
        self.problem = ""

    def version(self):
        """As the package has it: an npm module is named with its folder."""
        if self.package.startswith("node_modules/"):
            with open(os.path.join(BUILD, self.package, "package.json")) as f:
                return re.search(r'"version": *"([^"]+)"', f.read()).group(1)
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", self.package], capture_output=True, text=True)
        check(done.returncode == 0, f"the package {self.package} is not installed")
        return re.sub(r"^\d+:|[-+~][^-]*$|\+.*", "", done.stdout)

    def prepare(self):
        """Compiles the program where needed and asks it what the library has. What goes wrong fails every test."""
        try:
            self.name += f" {self.version()}"
            for argv in filter(None, (self.build, self.argv)):
                done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, env=environment(), timeout=300)
                check(done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout[:3000]}")
            for line in done.stdout.splitlines():
                found = re.fullmatch(r"([-+]) (\w+) *(.*)", line)
                check(found and found[2] in CAPABILITIES and found[2] not in self.remarks, f"what does it mean: {line}")
                self.remarks[found[2]] = found[3]
                if found[1] == "-":
                    self.missing.add(found[2])
            check(len(self.remarks) == len(CAPABILITIES), f"it says nothing of {set(CAPABILITIES) - set(self.remarks)}")
        except (Failure, OSError, subprocess.SubprocessError) as e:
            self.problem = str(e)
            self.missing.clear()
            print(f"# {self.name}: {self.problem}".replace("\n", "\n# "))

    def show(self, capability):
        """Runs the program for one capability, restarting the server when it asks."""
        check(not self.problem, "what it has could not be asked; the reason stands above the tests")
        server = Server("--maxmemory", "512mb")
        child = None
        lines = []
        try:
            child = subprocess.Popen([*self.argv, str(server.port), capability], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                     env=environment())
            for line in child.stdout:
                if line == "RESTART\n":
                    server.stop()
                    server.__exit__(None, None, None)
                    server = Server("--maxmemory", "512mb", port=server.port)
                    child.stdin.write("\n")
                    child.stdin.flush()
                else:
                    lines.append(line)
            check(child.wait() == 0, f"it ended with {child.returncode}")
            server.stop()
        except Failure as e:  # the test's time is over, too
            raise Failure(f"{e}\n{''.join(lines)[-2000:]}") from None
        finally:
            if child:
                child.kill()
                child.wait()
                child.stdin.close()
                child.stdout.close()
            server.__exit__(None, None, None)


def environment():
    """npm modules, Go packages and Go's cache are in the build folder and where Debian has them, nowhere else."""
    return clean_environment({"NODE_PATH": os.path.join(BUILD, "node_modules"), "GO111MODULE": "off",
                              "GOPATH": "/usr/share/gocode", "GOCACHE": os.path.join(BUILD, "go-cache"),
                              "GOFLAGS": "", "GOPROXY": "off"})


def script(interpreter, file, *words):
    return [interpreter, os.path.join(HERE, file), *words]


def compiled(compiler, *files, libraries=()):
    """(argv, build): the program in the build folder, and what compiles it there."""
    program = os.path.join(BUILD, os.path.splitext(files[0])[0])
    return [program], [*compiler, "-o", program, *(os.path.join(HERE, f) for f in files), *libraries]


CC = [*os.environ.get("CC", "cc").split(), "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra"]
GO = ["go", "build"]
CLIENTS = [
    Client("hiredis", "libhiredis-dev", *compiled(CC, "hiredis.c", libraries=["-lhiredis"])),
    Client("redis-py", "python3-redis", script("/usr/bin/python3", "redis_py.py")),
    Client("ioredis", "node_modules/ioredis-5", script("node", "ioredis.js", "ioredis-5")),
    Client("ioredis", "node_modules/ioredis", script("node", "ioredis.js", "ioredis")),
    Client("iovalkey", "node_modules/iovalkey", script("node", "ioredis.js", "iovalkey")),
    Client("node-redis", "node_modules/redis-5", script("node", "node_redis.js", "redis-5")),
    Client("node-redis", "node_modules/redis", script("node", "node_redis.js", "redis")),
    Client("phpredis", "php-redis", script("php", "phpredis.php")),
    Client("predis", "php-predis", script("php", "predis.php")),
    Client("ruby-redis", "ruby-redis", script("ruby", "ruby_redis.rb")),
    Client("Redis.pm", "libredis-perl", script("perl", "perl_redis.pl", "Redis")),
    Client("Redis::Fast", "libredis-fast-perl", script("perl", "perl_redis.pl", "Redis::Fast")),
    Client("redigo", "golang-github-gomodule-redigo-dev", *compiled(GO, "redigo.go", "common.go")),
    Client("go-redis", "golang-gopkg-redis.v5-dev", *compiled(GO, "go_redis.go", "common.go")),
]


def table(results):
    """Clients down, capabilities across, from what ran; remarks are numbered below."""
    notes = []
    lines = ["| | " + " | ".join(CAPABILITIES) + " |", "|---" * (len(CAPABILITIES) + 1) + "|"]
    for client in CLIENTS:
        cells = [client.name]
        for capability in CAPABILITIES:
            cell = "no" if capability in client.missing else results.get((client, capability), "")
            remark = client.remarks.get(capability)
            if remark and remark not in notes:
                notes.append(remark)
            cells.append(f"{cell} ({notes.index(remark) + 1})" if remark else cell)
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"- `{name}`: {text}" for name, text in CAPABILITIES.items())]
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]
    return "\n".join([*lines, "", "No row: a client for Java, as Debian 12 has none."])


def main(arguments):
    with_table = "--table" in arguments
    patterns = [a for a in arguments if a != "--table"]
    results = {}

    def run(client, capability):
        results[client, capability] = "**failed**"
        client.show(capability)
        results[client, capability] = "yes"

    os.makedirs(BUILD, exist_ok=True)
    for client in CLIENTS:
        client.prepare()
        for capability, text in CAPABILITIES.items():
            if capability in client.missing:
                print(f"# {client.name}: no {capability}: {client.remarks[capability]}")
            else:
                add_test(f"{client.name}: {text}", lambda c=client, k=capability: run(c, k), SECONDS)
    code = run_all(patterns[0] if patterns else "")
    if with_table:
        print("\n" + table(results))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
