"""test_life.py -- the process: how it starts, what it is told, whom it listens to, how it ends."""
import os
import re
import signal
import socket
import stat
import tempfile
import threading
import time

from harness import (MB, OK, PATIENCE, SERVER, Connection, Process, Server, Simple, check, equal, free_port,
                     reply, request, run_server, shown, test, until)

PONG = Simple("PONG")


# ---- start ----


@test
def start_line():
    """One line at the start tells what it listens on and which limits hold."""
    with Server("--maxmemory", "100mb", "--maxclients", "50", "--threads", "2", "--max-key-size", "99") as server:
        lines = [line for line in server.stderr().splitlines() if " ready on " in line]
        equal(len(lines), 1)
        for part in (f"127.0.0.1 port {server.port}", "maxmemory 100 MB", "64 shards", "99 bytes", "maxclients 50",
                     "threads 2"):
            check(part in lines[0], f"{part} is not in: {lines[0]}")
        check(re.match(r"\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d", lines[0]), f"a log line begins with the time: {lines[0]}")
        equal(server.stdout(), "")


@test
def help_and_version():
    """--help lists every option and --version the version; both end with 0."""
    code, out, err = run_server("--help")
    equal((code, err), (0, ""))
    for option in """bind port unixsocket unixsocketperm threads maxclients timeout tcp-keepalive tcp-backlog maxmemory
            shard-capacity max-key-size max-value-size requirepass shutdown-timeout""".split():
        check(f"--{option} " in out, f"--help does not name {option}")
    code, out, err = run_server("--version")
    equal((code, err), (0, ""))
    check(re.fullmatch(r"sponson \d+\.\d+\.\d+\S*\n", out), out)
    equal(run_server("--port", "nonsense", "--version")[0], 0, "--version wins over a bad option")


BAD = [  # arguments, and what the sentence must hold
    (("--nothing", "1"), ("nothing",)),
    (("--maxmemry", "1gb"), ("maxmemry", "--help")),
    (("--port",), ("port",)),
    (("--port", "abc"), ("port", "abc", "65535")),
    (("--port", "65536"), ("port", "65536", "65535")),
    (("--port", "-1"), ("port", "-1")),
    (("--port", ""), ("port",)),
    (("--port", "1", "2"), ("port",)),
    (("--port", "0"), ("port", "unixsocket")),
    (("--maxmemory", "lots"), ("maxmemory", "lots")),
    (("--maxmemory", "1mb"), ("maxmemory", "1mb", "8mb")),
    (("--maxmemory", "99999999999999999999gb"), ("maxmemory",)),
    (("--maxmemory", "64mb", "--max-value-size", "1mb"), ("max-value-size", "1mb", "512kb")),
    (("--max-key-size", "0"), ("max-key-size", "0", "4095")),
    (("--max-key-size", "4096"), ("max-key-size", "4096", "4095")),
    (("--max-value-size", "1gb"), ("max-value-size", "1gb")),
    (("--threads", "-3"), ("threads", "-3")),
    (("--threads", "two"), ("threads", "two")),
    (("--maxclients", "0"), ("maxclients", "0")),
    (("--timeout", "-1"), ("timeout", "-1")),
    (("--shutdown-timeout", "x"), ("shutdown-timeout", "x")),
    (("--loglevel", "loud"), ("loglevel", "loud", "notice")),
    (("--unixsocketperm", "999"), ("unixsocketperm", "999")),
    (("--unixsocket", "/" + "x" * 200), ("unixsocket", "107")),
    (("--bind", "localhost"), ("bind", "localhost")),
    (("--bind", ""), ("bind",)),
    (("--appendonly", "yes"), ("appendonly", "yes", "no")),
    (("--save", "900 1"), ("save", "900 1")),
    (("--daemonize", "yes"), ("daemonize", "yes")),
    (("--maxmemory-policy", "noeviction"), ("maxmemory-policy", "noeviction", "allkeys-lru")),
    (("--cluster-enabled", "yes"), ("cluster-enabled", "yes")),
    (("--replicaof", "127.0.0.1", "6379"), ("replicaof",)),
    (("--loadmodule", "x.so"), ("loadmodule",)),
    (("/nowhere/sponson.conf",), ("/nowhere/sponson.conf", "No such file")),
    (("--timeout", "1", "/etc/sponson.conf"), ("timeout",)),
    (("stray",), ("stray",)),
]


@test
def bad_options():
    """A bad option ends it with 1 and one sentence that names option, value and what is allowed."""
    for args, needed in BAD:
        port = () if any(a == "--port" for a in args) else ("--port", str(free_port()))
        code, out, err = run_server(*args, *port)
        what = f"{' '.join(args)}: {err!r}"
        equal((code, out), (1, ""), what)
        equal(err.count("\n"), 1, what)
        for part in needed:
            check(part in err, f"{part} is not in {what}")


@test
def bad_file():
    """A bad line of the file is named with its number."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        for text, number, needed in (("port 7000\nnothing 1\n", 2, "nothing"), ("# x\n\nport abc\n", 3, "abc"),
                                     ("requirepass \"open\n", 1, "quotes"), ("port\n", 1, "port"),
                                     ("maxmemory 64mb\nappendonly yes", 2, "appendonly"),
                                     ("timeout " + "1" * 100000 + "\n", 1, "not allowed|too long")):
            f.seek(0)
            f.truncate()
            f.write(text)
            f.flush()
            code, _, err = run_server(f.name)
            equal(code, 1, shown(text))
            check(f"line {number}" in err and re.search(needed, err), err)
    code, _, err = run_server("/tmp")
    equal(code, 1, "a folder is no file")


@test
def redis_conf():
    """A redis.conf that asks for nothing we lack starts the server, and is read as Redis reads it."""
    text = """# a comment
        port 1
        SAVE ""
        appendonly no
        daemonize no
        maxmemory 100mb
        maxmemory-policy allkeys-lru
        maxmemory-samples 5
        timeout 0
        tcp-keepalive 300
        tcp-backlog 511
        databases 1
        lazyfree-lazy-eviction yes
        activedefrag yes
        hz 10
        dir /var/lib/redis
        dbfilename dump.rdb
        requirepass "se cr\\x65t"
        client-output-buffer-limit normal 0 0 0
        client-output-buffer-limit replica 256mb 64mb 60
        client-output-buffer-limit pubsub 32mb 8mb 60
        slowlog-log-slower-than 10000
        loglevel notice
    """
    with Server(config=text) as server, server.connect() as c:
        equal(c.ask("AUTH", "se cret"), OK)
        equal(c.ask("CONFIG GET maxmemory")[1], str(100 * MB).encode())
        check("se cret" not in server.stderr(), "a password in the log")


@test
def precedence():
    """The environment wins over the file, flags win over both."""
    config = "maxmemory 100mb\ntimeout 10\nmax-key-size 100\ntcp-backlog 100\n"
    env = {"SPONSON_TIMEOUT": "20", "SPONSON_MAX_KEY_SIZE": "200", "SPONSON_MAXCLIENTS": "200"}
    with Server("--max-key-size", "300", "--timeout", "30", "--timeout", "40", config=config,
                env=env) as server, server.connect() as c:
        for name, value in (("maxmemory", str(100 * MB)), ("tcp-backlog", "100"), ("maxclients", "200"),
                            ("max-key-size", "300"), ("timeout", "40")):
            equal(c.ask("CONFIG", "GET", name)[1], value.encode(), name)
    with Server(config=config, env=env) as server, server.connect() as c:
        equal(c.ask("CONFIG GET timeout")[1], b"20")
    code, _, err = run_server(env={"SPONSON_TIMEOUT": "soon"})
    equal(code, 1)
    check("SPONSON_TIMEOUT" in err and "soon" in err, err)


@test
def kubernetes():
    """Variables that Kubernetes sets for a service of our name are ignored and logged once each."""
    env = {"SPONSON_PORT": "tcp://10.0.0.1:7171", "SPONSON_SERVICE_HOST": "10.0.0.1",
           "SPONSON_PORT_7171_TCP_ADDR": "10.0.0.1", "SPONSON_TLS_SERVICE_HOST": "10.0.0.2"}
    with Server(env=env) as server, server.connect() as c:
        equal(c.ask("PING"), PONG)
        for name in env:
            equal(len(re.findall(rf"{name}\b", server.stderr())), 1, name)


@test
def port_in_use():
    """A port in use is said, and ends it with 1; so does a unix socket without its directory; both say what to do."""
    with Server() as server:
        code, _, err = run_server("--port", str(server.port), "--bind", "127.0.0.1")
        equal(code, 1)
        check(str(server.port) in err and "in use; another server has it" in err, err)
        code, _, err = run_server("--port", "0", "--unixsocket", os.path.join(server.folder, "none", "s"))
        equal(code, 1)
        check("No such file or directory; its directory has to be there" in err, err)


@test
def few_descriptors():
    """Where descriptors are few, maxclients is lowered, and that is said."""
    port = free_port()
    process = Process(["/bin/sh", "-c", f'ulimit -n 100; exec "{SERVER}" --port {port} --bind 127.0.0.1'])
    try:
        until(lambda: " ready on " in process.stderr(), 10, process.stderr)
        lowered = re.search(r"maxclients lowered from 10000 to (\d+)", process.stderr())
        check(lowered and 50 < int(lowered.group(1)) < 100, process.stderr())
        clients = [Connection(("127.0.0.1", port)) for _ in range(int(lowered.group(1)))]
        for c in clients:
            equal(c.ask("PING"), PONG)
        with Connection(("127.0.0.1", port)) as c:
            equal(c.rest(), b"-ERR max number of clients reached\r\n")
        process.signal(signal.SIGTERM)
        process.ended(0)
        for c in clients:
            c.close()
    finally:
        process.kill()


# ---- listening ----


@test
def unix_socket():
    """A unix socket is made with its mode, serves, and is gone at the end; a leftover is replaced."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        leftover = socket.socket(socket.AF_UNIX)
        leftover.bind(path)
        leftover.close()
        with Server("--unixsocket", path, "--unixsocketperm", "700") as server:
            equal(stat.S_IMODE(os.stat(path).st_mode), 0o700)
            with Connection(path) as c, server.connect() as tcp:
                equal(c.ask("SET k v"), OK)
                equal(tcp.ask("GET k"), b"v")
                check(b"addr=%s:0 " % path.encode() in c.ask("CLIENT LIST"), c.ask("CLIENT LIST"))
            code, _, err = run_server("--unixsocket", path, "--port", "0")
            equal(code, 1)
            check(path in err and "in use" in err, err)
        check(not os.path.exists(path), "the socket is left behind")
        with open(path, "w") as f:
            f.write("precious")
        code, _, err = run_server("--unixsocket", path, "--port", "0")
        equal(code, 1)
        check(path in err and open(path).read() == "precious", err)


@test
def failed_start_removes_nothing():
    """A start that fails leaves the path of --unixsocket alone, be it a file or another server's socket."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "f")
        with open(path, "w") as f:
            f.write("precious")
        code, _, err = run_server("--port", str(free_port()), "--unixsocket", path)
        equal((code, open(path).read()), (1, "precious"), err)
        path = os.path.join(folder, "s")
        with Server("--unixsocket", path) as server:
            for port in server.port, free_port():  # the same configuration twice; and another port
                code, _, err = run_server("--port", str(port), "--unixsocket", path)
                equal(code, 1, err)
                with Connection(path) as c:
                    equal(c.ask("PING"), PONG)


@test
def many_addresses():
    """Sixteen addresses and a unix socket are listened on; a seventeenth address is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path, port = os.path.join(folder, "s"), str(free_port())
        addresses = ["127.0.0.%d" % i for i in range(1, 18)]
        process = Process([SERVER, "--port", port, "--unixsocket", path, "--bind", *addresses[:16]])
        try:
            until(lambda: " ready on " in process.stderr(), 10, process.stderr)
            with Connection(path) as c, Connection((addresses[15], int(port))) as tcp:
                equal((c.ask("PING"), tcp.ask("PING")), (PONG, PONG))
            process.signal(signal.SIGTERM)
            process.ended(0)
        finally:
            process.kill()
        code, _, err = run_server("--port", port, "--bind", *addresses)
        equal(code, 1)
        check("bind: more than 16 addresses" in err, err)


@test
def shutdown_then_signal():
    """After SHUTDOWN the first signal is the first: the end stays an orderly one."""
    with Server("--maxmemory", "512mb", "--shutdown-timeout", "2") as server:
        reader = blocked_reader(server)
        with server.connect() as c:
            c.send(request("SHUTDOWN NOSAVE"))
            until(lambda: "SHUTDOWN: answering" in server.stderr(), 10, server.stderr)
        server.signal(signal.SIGTERM)
        server.ended(0)
        reader.close()


@test
def unix_socket_only():
    """--port 0 listens on the unix socket alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        process = Process([SERVER, "--port", "0", "--unixsocket", path])
        try:
            until(lambda: " ready on " in process.stderr(), 10, process.stderr)
            with Connection(path) as c:
                equal(c.ask("PING"), PONG)
            process.signal(signal.SIGINT)
            process.ended(0)
        finally:
            process.kill()


@test
def ipv6():
    """It listens on IPv6 addresses, by default on both loopbacks."""
    with Server(host="::1") as server, server.connect() as c:
        equal(c.ask("PING"), PONG)
        check(b"addr=[::1]:" in c.ask("CLIENT LIST"), c.ask("CLIENT LIST"))
    with Server(bind=False) as server:
        for host in ("127.0.0.1", "::1"):
            with Connection((host, server.port)) as c:
                equal(c.ask("PING"), PONG)
    with Server("--bind", "127.0.0.1", "-192.0.2.1", bind=False) as server, server.connect() as c:
        equal(c.ask("PING"), PONG, "an optional address that is not there")
    code, _, err = run_server("--bind", "192.0.2.1", "--port", str(free_port()))
    equal(code, 1)
    check("192.0.2.1" in err, err)


@test
def bind_all():
    """bind * listens everywhere, and warns where no password is set."""
    for flags, hosts in ((("*",), ("127.0.0.1",)), (("*", "::*"), ("127.0.0.1", "::1")), (("0.0.0.0",), ("127.0.0.1",))):
        with Server("--bind", *flags, bind=False) as server:
            for host in hosts:
                with Connection((host, server.port)) as c:
                    equal(c.ask("PING"), PONG)
            equal(server.stderr().count("requirepass"), 1, server.stderr())
    with Server("--bind", "*", "--requirepass", "x", bind=False) as server:
        check("requirepass" not in server.stderr(), server.stderr())
    with Server() as server:
        check("requirepass" not in server.stderr(), server.stderr())


# ---- the end ----


@test
def sigterm():
    """SIGTERM or SIGINT closes idle connections at once, and ends with 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with Server("--shutdown-timeout", "600") as server:
            clients = [server.connect() for _ in range(50)]
            clients[0].send(b"*2\r\n$3\r\nGET\r\n")
            for c in clients[1:]:
                equal(c.ask("PING"), PONG)
            server.signal(number)
            server.ended(0)  # none of them holds it
            for c in clients:
                equal(c.rest(), b"")
                c.close()


@test
def sigterm_answers():
    """What has arrived before SIGTERM is answered, all of it."""
    value = b"v" * (100 * 1024)
    with Server("--maxmemory", "512mb", "--shutdown-timeout", "600") as server:
        clients = [server.connect() for _ in range(40)]
        for c in clients:
            equal(c.ask("SET", "k", value), OK)
        want = [reply(PONG) * 10000, reply(value) * 50, reply(PONG), reply([b"k"]), b""]
        for i, c in enumerate(clients):
            c.send([request("PING") * 10000, request("GET k") * 50, b"PING\r\n", request("KEYS *"), b"PIN"][i % 5])
        for c in clients:
            until(c.has_arrived, 10, "all has arrived")
        server.signal(signal.SIGTERM)
        for i, c in enumerate(clients):
            got = c.rest()
            check(got == want[i % 5], f"client {i}: {shown(got)} of {len(want[i % 5])} bytes")
            c.close()
        server.ended(0)


def blocked_reader(server, count=100):
    """A client that has asked for `count` MB and read nothing but the first byte."""
    with server.connect() as c:
        equal(c.ask("SET", "big", b"v" * MB), OK)
    c = server.connect()
    c.send(request("GET big") * count)
    equal(c.exactly(1), b"$")
    return c


@test
def sigterm_flushes():
    """A drain waits for a slow reader, who gets all; the idle are closed meanwhile, and nobody new comes in."""
    with Server("--maxmemory", "512mb", "--shutdown-timeout", "600") as server, server.connect() as idle:
        equal(idle.ask("PING"), PONG)
        c = blocked_reader(server)
        server.signal(signal.SIGTERM)
        equal(idle.rest(), b"")
        check(server.running(), "it did not wait for the reader")
        try:
            with server.connect() as late:
                late.send(b"PING\r\n")
                equal(late.rest(), b"", "a late client gets no answer")
        except OSError:
            pass
        got = c.rest()
        check(got == (reply(b"v" * MB) * 100)[1:], f"{len(got)} bytes came")
        c.close()
        server.ended(0)


@test
def second_signal():
    """A second signal ends a drain at once, with 1."""
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
        with Server("--maxmemory", "512mb", "--shutdown-timeout", "600") as server, server.connect() as idle:
            equal(idle.ask("PING"), PONG)
            c = blocked_reader(server)
            server.signal(first)
            equal(idle.rest(), b"", "the drain has begun")
            server.signal(second)
            server.ended(1)
            c.close()


@test
def shutdown_timeout():
    """--shutdown-timeout bounds a drain."""
    for seconds in (0, 1):
        with Server("--maxmemory", "512mb", "--shutdown-timeout", seconds) as server:
            c = blocked_reader(server)
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            server.ended(0)
            took = time.monotonic() - began
            check(seconds - 0.1 <= took, f"it took {took:.1f} s")  # and without a bound, for ever
            c.close()


@test
def sigterm_flooded():
    """Clients that never stop sending do not hold the end beyond --shutdown-timeout."""
    def flood(c):
        try:
            while True:
                c.send(request("PING") * 2000)
                c.exactly(7 * 2000)
        except Exception:  # the end that is waited for
            c.close()

    with Server("--shutdown-timeout", "2") as server:
        clients = [server.connect() for _ in range(8)]
        for c in clients:
            equal(c.ask("PING"), PONG)
        threads = [threading.Thread(target=flood, args=(c,), daemon=True) for c in clients]
        for t in threads:
            t.start()
        server.signal(signal.SIGTERM)
        server.ended(0)
        for t in threads:
            t.join()


@test
def shutdown_command():
    """SHUTDOWN ends the server with 0, without a reply; SHUTDOWN SAVE is refused."""
    for words in ("SHUTDOWN", "SHUTDOWN NOSAVE", "shutdown now force"):
        with Server() as server, server.connect() as c, server.connect() as other:
            equal(other.ask("PING"), PONG)
            check(c.ask("SHUTDOWN SAVE").startswith("ERR"), "SHUTDOWN SAVE")
            c.send(request(words))
            equal(c.rest(), b"")
            equal(other.rest(), b"")
            server.ended(0)


@test
def sighup():
    """SIGHUP and SIGPIPE change nothing."""
    with Server() as server, server.connect() as c:
        equal(c.ask("SET k v"), OK)
        server.signal(signal.SIGHUP)
        server.signal(signal.SIGPIPE)
        equal(c.ask("GET k"), b"v")
        with server.connect() as other:
            equal(other.ask("GET k"), b"v")


@test
def restart():
    """It starts again at once on the same port."""
    port = free_port()
    for _ in range(3):
        with Server(port=port) as server, server.connect() as c:
            equal(c.ask("PING"), PONG)


# ---- the probe ----


@test
def probe():
    """--ping ends with 0 when the server answers, NOAUTH included, and reads options as the server does."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        with Server("--unixsocket", path, "--requirepass", "secret", "--maxclients", "5") as server:
            port = str(server.port)
            conf = server.write("probe.conf", f"port {port}\n")
            for args, env in ((("--ping", "--port", port), {}), (("--port", port, "--ping"), {}),
                              (("--ping",), {"SPONSON_PORT": port}), ((conf, "--ping"), {}),
                              (("--ping", "--unixsocket", path), {}), (("--ping", "--bind", "*", "--port", port), {}),
                              (("--ping", "--bind", "0.0.0.0", "--port", port), {}),
                              (("--ping", "--port", "0", "--unixsocket", path), {}),
                              (("--ping", "--port", port, "--requirepass", "secret"), {})):
                equal(run_server(*args, env=env), (0, "", ""), f"{args} {env}")
            clients = [server.connect() for _ in range(5)]
            for c in clients:
                c.ask("PING")
            equal(run_server("--ping", "--port", port)[0], 0, "too many clients: it lives, and it answers")
            for c in clients:
                c.close()
        code, _, err = run_server("--ping", "--unixsocket", path)
        equal(code, 1)
        check(path in err, err)
    with Server(host="::1") as server:
        equal(run_server("--ping", "--bind", "::1", "--port", str(server.port))[0], 0)
        equal(run_server("--ping", "--bind", "::*", "--port", str(server.port))[0], 0)


@test
def probe_failures():
    """--ping ends with 1 and the reason: nobody there, silence, no RESP, a bad option."""
    port = str(free_port())
    code, _, err = run_server("--ping", "--port", port)
    equal(code, 1)
    check(port in err and "refused" in err, err)
    code, _, err = run_server("--ping", "--port", "abc")
    equal(code, 1)
    check("abc" in err, err)
    for words, needed in ((None, "did not answer"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no RESP server"),
                          (b"", "did not answer")):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()

            def serve():
                s, _ = listener.accept()
                s.recv(100)
                if words is not None:
                    s.sendall(words)
                    s.close()
                else:
                    over.wait(60 * PATIENCE)
                    s.close()
            over = threading.Event()
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            began = time.monotonic()
            code, _, err = run_server("--ping", "--port", str(listener.getsockname()[1]))
            took = time.monotonic() - began
            over.set()
            thread.join()
            equal(code, 1)
            check(needed in err and err.count("\n") == 1, err)
            if words is None:
                check(took > 1.5, f"it gave up after {took:.1f} s")


@test(seconds=20)
def connections_are_spread():
    """Connections are spread over the workers, within one of each other, also after some have gone"""
    with Server("--threads", 3) as server:
        def watched():
            counts = []
            for name in os.listdir(f"/proc/{server.pid}/fdinfo"):
                try:
                    with open(f"/proc/{server.pid}/fdinfo/{name}") as f:
                        counts.append(f.read().count("tfd:"))
                except FileNotFoundError:  # a connection that was just closed
                    pass
            return sorted(counts, reverse=True)[:3]  # the workers' epolls; the main thread's has only listeners

        clients = [server.connect() for _ in range(31)]
        for c in clients:
            equal(c.ask("PING"), Simple("PONG"))
        check(sum(watched()) == 31 + 3, f"31 connections and 3 eventfds, not {watched()}")
        check(watched()[0] - watched()[2] <= 1, f"spread as {watched()}")
        for c in clients[:20]:
            c.close()
        until(lambda: sum(watched()) == 11 + 3, 5, "20 connections are closed")
        for c in clients[20:]:  # each worker answers one, so it has counted those that it has closed
            equal(c.ask("PING"), Simple("PONG"))
        clients = clients[20:] + [server.connect() for _ in range(20)]
        for c in clients[11:]:
            equal(c.ask("PING"), Simple("PONG"))
        check(watched()[0] - watched()[2] <= 1, f"spread as {watched()} after some had gone")
        for c in clients:
            c.close()
