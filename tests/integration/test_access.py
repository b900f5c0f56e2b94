"""test_access.py -- who is served: protected mode, the time and the room that a client has before AUTH, passwords.

An address that is not this machine's loopback is made in a network namespace of the server's own.
"""
import contextlib
import os
import subprocess
import time

from harness import (Closed, Error, Failure, OK, PATIENCE, Process, SERVER, Server, Simple, check,
                     equal, free_port, request, run_server, shown, test, until)

PONG = Simple("PONG")
NOAUTH = Error("NOAUTH Authentication required.")


# ---- protected mode ----


class Isolated(Process):
    """A server in a network of its own, which has the address 10.9.8.7; ask() is redis-cli in the same network."""

    def __init__(self, *flags, env=None):
        self.port = str(free_port())
        setup = 'ip link set lo up && ip address add 10.9.8.7/32 dev lo && exec "$0" "$@"'
        super().__init__(["unshare", "--net", "sh", "-c", setup, SERVER, "--port", self.port, *flags], env)

    def ask(self, host, *words):
        done = subprocess.run(["nsenter", "-t", str(self.pid), "-n", "redis-cli", "-h", host, "-p", self.port, *words],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20 * PATIENCE)
        return done.stdout.strip()

    def __enter__(self):
        def ready():
            check(self.running(), f"the server did not start\n{self.stderr()}")
            return " ready on " in self.stderr()
        until(ready, 10, self.stderr)
        return self

    def __exit__(self, *_):
        self.check_stderr()
        self.kill()


@test
def protected_mode():
    """Without a password and bound beyond loopback only this machine is served, and the error says how to change it."""
    with Isolated("--bind", "*", "-::*") as server:
        check("protected-mode: clients of other machines are refused" in server.stderr(), server.stderr())
        equal(server.ask("127.0.0.1", "PING"), "PONG")
        for _ in range(40):  # more than are kept open to have read their line
            got = server.ask("10.9.8.7", "PING")
            check(got.startswith("DENIED sponson is in protected mode") and "requirepass" in got and
                  "protected-mode no" in got, got)
        until(lambda: " warning client refused: addr=10.9.8.7:" in server.stderr(), 10, "the log names who is refused")
        equal(server.ask("127.0.0.1", "SET", "k", "v"), "OK")
        # each way out that the error names works at once, and back
        for setting, back in (("protected-mode no", "protected-mode yes"), ("requirepass secret", "requirepass \"\"")):
            equal(server.ask("127.0.0.1", "CONFIG", "SET", *setting.split()), "OK")
            password = ["-a", "secret", "--no-auth-warning"] if "secret" in setting else []
            equal(server.ask("10.9.8.7", *password, "GET", "k"), "v")
            equal(server.ask("127.0.0.1", *password, "CONFIG", "SET", back.split()[0], back.split()[1].strip('"')), "OK")
            check(server.ask("10.9.8.7", "GET", "k").startswith("DENIED"), "after it was set back")
        equal(server.ask("127.0.0.1", "CONFIG", "GET", "protected-mode"), "protected-mode\nyes")
        stats = server.ask("127.0.0.1", "INFO", "stats")
        check("rejected_connections:42" in stats, stats)


@test
def protected_mode_off():
    """With protected-mode no, or a password, every address is served; the first says so in the log."""
    for flags, env, warning in ((("--protected-mode", "no"), {}, "anybody who can reach this address"),
                                ((), {"SPONSON_PROTECTED_MODE": "no"}, "anybody who can reach this address"),
                                (("--requirepass", "secret"), {}, "")):
        with Isolated("--bind", "*", *flags, env=env) as server:
            check(warning in server.stderr(), server.stderr())
            check(" ready on " in server.stderr().splitlines()[-1], "who waits for ready has read every line of the start")
            check("protected-mode:" not in server.stderr(), server.stderr())
            password = ["-a", "secret", "--no-auth-warning"] if "--requirepass" in flags else []
            equal(server.ask("10.9.8.7", *password, "PING"), "PONG")
            if password:
                equal(server.ask("10.9.8.7", "PING"), "NOAUTH Authentication required.")


# ---- before authentication ----


@test
def room_before_authentication():
    """Before AUTH a request has at most 10 arguments of 16 KB; after it, in the same pipeline, any."""
    with Server("--requirepass", "secret") as server:
        many, large = request("DEL", *range(10)), request("SET", "k", b"v" * 16385)
        for data, error in ((many, "unauthenticated multibulk length"), (b"*11\r\n", "unauthenticated multibulk length"),
                            (large, "unauthenticated bulk length"), (large[:34], "unauthenticated bulk length"),
                            (b"*2\r\n$4\r\nAUTH\r\n$536870912\r\n", "unauthenticated bulk length")):
            with server.connect() as c:
                c.send(data)
                equal(c.read(), Error(f"ERR Protocol error: {error}"), shown(data))
                equal(c.rest(), b"")
        with server.connect() as c:
            fits = request("SET", "k", b"v" * 16384)
            most = request("DEL", *range(9))
            c.send(fits + most + request("AUTH secret") + large + many + request("STRLEN k"))
            equal([c.read() for _ in range(6)], [NOAUTH, NOAUTH, OK, OK, 0, 16385])
            equal(c.ask("RESET"), Simple("RESET"))
            equal(c.ask("DEL", *range(10)), Error("ERR Protocol error: unauthenticated multibulk length"))
        with server.connect() as c:  # a byte at a time the limits are the same
            for byte in many[:5]:
                c.send(bytes([byte]))
            equal(c.read(), Error("ERR Protocol error: unauthenticated multibulk length"))


@test
def commands_before_authentication():
    """Before AUTH a client can do AUTH, HELLO, QUIT and RESET, and nothing else, whatever is in the table."""
    with Server("--requirepass", "secret") as server, server.connect() as c, server.connect() as known:
        equal(known.ask("AUTH secret"), OK)
        names = [name.decode() for name in known.ask("COMMAND LIST")]
        check(len(names) > 70 and "client|help" in names, names)
        for name in names:
            row = known.ask("COMMAND", "INFO", name)[0]
            words = name.split("|") + ["x"] * (abs(row[1]) - len(name.split("|")))
            if name in ("auth", "hello", "quit", "reset"):
                check("no_auth" in row[2], row)
            elif f"{name}|help" not in names:  # that of a container needs a subcommand that there is
                want = Error(f"EXECABORT Transaction discarded because of: {NOAUTH}") if name == "exec" else NOAUTH
                equal(c.ask(*words), want, name)
        for data in (b"PING\r\n", b"GET k\r\n", b"INFO\r\n"):
            c.send(data)
            equal(c.read(), NOAUTH, shown(data))
        for words, want in (("AUTH wrong", "WRONGPASS"), ("HELLO 3", "NOAUTH HELLO"), ("HELLO 3 AUTH default no", "WRONGPASS")):
            check(c.ask(words).startswith(want), words)
        equal(c.ask("RESET"), Simple("RESET"))
        equal(c.ask("QUIT"), OK)
        equal(c.rest(), b"")
        equal(known.ask("DBSIZE"), 0)


@test
def time_before_authentication():
    """Who does not AUTH in time is closed, idle, half-said or talking; who did stays, and a silent server has no limit."""
    flags = ("--requirepass", "secret", "--authentication-timeout", "1")
    with Server(*flags) as server, contextlib.ExitStack() as clients:
        began = time.monotonic()
        stays, idle, half, talks = (clients.enter_context(server.connect()) for _ in range(4))
        equal(stays.ask("AUTH secret"), OK)
        half.send(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsec")
        try:
            while time.monotonic() - began < 20 * PATIENCE:
                equal(talks.ask("PING"), NOAUTH)
            raise Failure("it still talks")
        except (Closed, ConnectionResetError, BrokenPipeError):
            pass
        check(time.monotonic() - began > 0.9, "it had its time")
        equal(idle.rest(), b"")
        equal(half.rest(), b"")
        equal(stays.ask("PING"), PONG)
        equal(stays.ask("RESET"), Simple("RESET"))  # from now on its time runs, whatever it says
        try:
            while time.monotonic() - began < 40 * PATIENCE:
                equal(stays.ask("RESET"), Simple("RESET"))
            raise Failure("it still resets")
        except (Closed, ConnectionResetError, BrokenPipeError):
            pass
        equal(server.connect().ask("AUTH secret"), OK)
    with Server("--authentication-timeout", "1") as server, server.connect() as c, server.connect() as other:
        began = time.monotonic()
        until(lambda: equal(other.ask("PING"), PONG) or time.monotonic() - began > 2.5, 10, "time goes by")
        equal(c.ask("PING"), PONG)


@test
def half_open_before_authentication():
    """A thousand clients that send the most that is allowed before AUTH hold what they sent, and lose it in time."""
    with Server("--requirepass", "secret", "--authentication-timeout", 600, "--maxmemory", "1gb") as server, \
            server.connect() as known:
        equal(known.ask("AUTH secret"), OK)
        clients = [server.connect() for _ in range(1000)]
        equal(int(known.info()["mem_clients_normal"]), 0)
        for c in clients:
            c.send(b"*10\r\n$16384\r\n" + b"x" * 4000)

        def all_is_read():
            listed = known.ask("CLIENT LIST")
            return listed.count(b"\n") == 1001 and listed.count(b"qbuf=0 ") <= 1
        until(all_is_read, 20, "all is read")
        held = int(known.info()["mem_clients_normal"])
        check(1000 * 4000 <= held <= 1000 * 8192 + 1000 * 512, f"{held} bytes are held for them")
        equal(known.ask("CONFIG SET authentication-timeout 1"), OK)
        until(lambda: known.info()["connected_clients"] == "1" and known.info()["mem_clients_normal"] == "0", 10,
              "all are closed, and nothing is held for them")
        for c in clients:
            c.close()


@test
def buffers_before_authentication():
    """Who has not authenticated leaves half of client-memory to the others, and goes first when it is used up."""
    with Server("--requirepass", "secret", "--client-memory", "4mb", "--maxmemory", "512mb", "--threads", "1") as server, \
            server.connect() as known, server.connect() as writer:
        equal([known.ask("AUTH secret"), writer.ask("AUTH secret")], [OK, OK])
        writer.send(request("SET", "k", b"v" * 100000)[:-10])
        until(lambda: int(known.info()["mem_clients_normal"]) > 100000, 5, "it is read")
        unknown = []
        for _ in range(400):
            unknown.append(server.connect())
            try:
                unknown[-1].send(b"*10\r\n" + b"$16384\r\n%b\r\n" % (b"x" * 16384) * 7)
            except OSError:  # it is closed already
                pass
        until(lambda: int(known.info()["client_query_buffer_limit_disconnections"]) > 100, 10, "most are closed")
        check(int(known.info()["mem_clients_normal"]) < 3 << 20, known.info()["mem_clients_normal"])
        rest = request("SET", "k", b"v" * 100000)[-10:]
        writer.send(rest)
        equal(writer.read(), OK)
        equal(known.ask("STRLEN k"), 100000)
        large = [server.connect() for _ in range(2)]  # now there is nothing left but what the unknown ones hold
        for c in large:
            equal(c.ask("AUTH secret"), OK)
            c.send(request("SET", "k", b"v" * 1000000)[:-10])
        until(lambda: int(known.info()["mem_clients_normal"]) > 2 << 20, 5, "they are read")
        for c in large:
            c.send(request("SET", "k", b"v" * 1000000)[-10:])
            equal(c.read(), OK)
        for c in unknown + large:
            c.close()
        until(lambda: known.info()["connected_clients"] == "2", 10, "all are gone")


# ---- passwords ----


@test
def password_sources():
    """The password comes from a flag, the file, a file of its own or the environment, and shows nowhere."""
    with Server() as server:
        path = server.write("password", "se cret\n")
        for flags, env, config in ((("--requirepass-file", path), {}, None), ((), {"SPONSON_REQUIREPASS": "se cret"}, None),
                                   ((), {"SPONSON_REQUIREPASS_FILE": path}, None), (("--requirepass", "se cret"), {}, None),
                                   ((), {}, 'requirepass "se cret"\n'), ((), {}, f"requirepass-file {path}\n")):
            with Server("--loglevel", "debug", *flags, env=env, config=config) as one, one.connect() as c:
                equal(c.ask("PING"), NOAUTH)
                check(c.ask("AUTH", "se cre").startswith("WRONGPASS"), "a part of it")
                check(c.ask("AUTH", "se cretse cret").startswith("WRONGPASS"), "twice")
                equal(c.ask("AUTH", "se cret"), OK)
                equal(c.ask("CONFIG GET requirepass"), [b"requirepass", b"********"])
                for words in ("INFO everything", "CONFIG GET *", "CLIENT LIST", "COMMAND"):
                    check(b"se cret" not in bytes(str(c.ask(words)), "utf-8"), words)
                equal(c.ask("CONFIG", "SET", "requirepass", "oth er"), OK)
                check("se cret" not in one.stderr() and "oth er" not in one.stderr(), one.stderr())
                equal(c.ask("CONFIG", "SET", "requirepass", ""), OK)
                equal(c.ask("CONFIG GET requirepass"), [b"requirepass", b""])
                equal(c.ask("CONFIG SET requirepass-file /tmp/x"), Error(
                    "ERR CONFIG SET failed (possibly related to argument 'requirepass-file') - can't set immutable config"))
        code, _, err = run_server("--requirepass-file", os.path.join(server.folder, "absent"))
        equal(code, 1)
        check("requirepass-file: cannot take a password from" in err and "No such file" in err, err)


@test
def nothing_writes_files():
    """No request makes the server create or open a file for writing: nothing names a path that it then writes."""
    with Server() as server, server.connect() as c:
        before = {f: os.readlink(f"/proc/{server.pid}/fd/{f}") for f in os.listdir(f"/proc/{server.pid}/fd")}
        target = os.path.join(server.folder, "written")
        for words in (("CONFIG", "SET", "dir", server.folder), ("CONFIG", "SET", "dbfilename", "written"),
                      ("CONFIG", "SET", "logfile", target), ("CONFIG", "SET", "unixsocket", target),
                      ("CONFIG", "SET", "pidfile", target), ("CONFIG", "SET", "requirepass-file", target),
                      ("CONFIG", "REWRITE"), ("SAVE",), ("BGSAVE",), ("BGREWRITEAOF",), ("DEBUG", "RELOAD"),
                      ("SHUTDOWN", "SAVE"), ("SLAVEOF", "127.0.0.1", "1"), ("MODULE", "LOAD", target)):
            check(isinstance(c.ask(*words), Error), words)
        check(not os.path.exists(target), "a file was written")
        after = {f: os.readlink(f"/proc/{server.pid}/fd/{f}") for f in os.listdir(f"/proc/{server.pid}/fd")}
        equal({f: p for f, p in after.items() if "/" in p and before.get(f) != p}, {})
