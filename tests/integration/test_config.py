"""test_config.py -- options while the server runs: CONFIG SET, SIGHUP; the log; the service manager."""
import json
import os
import re
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time

from harness import (Connection, Error, MB, OK, PATIENCE, Pinger, Process, SERVER, Server, Simple, check, equal,
                     free_port, request, run_server, shown, test, until)

PONG = Simple("PONG")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|verbose|notice|warning) [^\x00-\x1f]*$")


def options(connection):
    """All options and their values, as CONFIG GET shows them."""
    found = connection.ask("CONFIG GET *")
    return {found[i].decode(): found[i + 1].decode() for i in range(0, len(found), 2)}


def lines(server, pattern):
    return [line for line in server.stderr().splitlines() if re.search(pattern, line)]


def hang_up(server, pattern, count=1):
    """Sends SIGHUP, and waits for what the log says of it: so many lines, which all have to match."""
    before = len(lines(server, "SIGHUP: "))
    server.signal(signal.SIGHUP)
    until(lambda: len(lines(server, "SIGHUP: ")) >= before + count, 10, lambda: f"SIGHUP is logged\n{server.stderr()}")
    said = [line.split("SIGHUP: ")[1] for line in lines(server, "SIGHUP: ")[before:]]
    for line in said:
        check(re.fullmatch(pattern, line), f"{shown(line)} is not {pattern}")
    equal(len(said), count, "lines")


# ---- names and bounds ----


@test
def unknown():
    """An option that is not known is answered with the name that was meant, where there is one."""
    with Server() as server, server.connect() as c:
        for wrong, meant in (("maxmemry", "maxmemory"), ("MAXMEMROY", "maxmemory"), ("time-out", "timeout"),
                             ("max_value_size", "max-value-size"), ("maxmem", "maxmemory"), ("maxclient", "maxclients"),
                             ("nothing", None), ("x", None), ("", None), ("shard", None), ("m" * 100, None)):
            want = f"ERR Unknown option or number of arguments for CONFIG SET - '{wrong}'"
            equal(c.ask("CONFIG", "SET", wrong, "1"), Error(want + (f", did you mean '{meant}'?" if meant else "")))
    for wrong, meant in (("maxmemry", "did you mean maxmemory? "), ("nothing", "")):
        want = f'unknown option "{wrong}"; {meant}--help lists the known ones\n'
        code, _, err = run_server("--" + wrong, "1")
        equal([code, err], [1, "sponson: " + want])


@test
def several_bad_lines():
    """All lines of a file that are wrong are said at once, ten at most."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write("port x\nmaxmemory 64mb\nmaxmemry 64mb\n\ndaemonize yes\ntimeout -1\n\"x\n")
        f.flush()
        code, _, err = run_server(f.name)
        equal(code, 1)
        equal(re.findall(r"^(?:sponson: )?\S+ line (\d+): (.{5})", err, re.M),
              [("1", "port:"), ("3", "unkno"), ("5", "daemo"), ("6", "timeo"), ("7", "quote")])
        f.write("timeout x\n" * 10)
        f.flush()
        equal(len(run_server(f.name)[2].splitlines()), 10)


@test
def help_tells_the_truth():
    """--help marks exactly what CONFIG SET changes; each such option can be set to what it is, and to another value."""
    code, text, _ = run_server("--help")
    marks = dict(re.findall(r"^  --(\S+) .*\(default .*\)( \*)?$", text, re.M))
    other = {"maxclients": "99", "timeout": "7", "tcp-keepalive": "0", "maxmemory": "128mb", "shard-capacity": "1000",
             "max-key-size": "100", "max-value-size": "1000", "client-memory": "20mb",
             "client-output-buffer-limit": "normal 1048576 0 0", "requirepass": "x", "protected-mode": "no",
             "authentication-timeout": "9", "shutdown-timeout": "3", "loglevel": "debug", "log-format": "json",
             "slowlog-log-slower-than": "-1", "slowlog-max-len": "5"}
    equal(sorted(other), sorted(name for name, mark in marks.items() if mark), "the options that CONFIG SET changes")
    with Server("--maxmemory", "64mb") as server, server.connect() as c:
        before = options(c)
        equal(sorted(before), sorted(marks))
        for name, value in before.items():
            if other.get(name):
                equal(c.ask("CONFIG", "SET", name, other[name]), OK, name)
                got = c.ask("CONFIG", "GET", name)[1].decode()
                check(got != value and got in (other[name], str(128 * MB), str(20 * MB), "********"), f"{name} {got}")
                equal(c.ask("CONFIG", "SET", name, value), OK, name)
            elif "FIXED" not in re.search(f"--{name} +(.*)", text).group(1):
                equal(c.ask("CONFIG", "SET", name, value), Error(
                    f"ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable config"))
        after = options(c)
        for name in ("shard-capacity", "max-value-size"):  # what follows maxmemory did
            equal(after.pop(name), before.pop(name), name)
        equal(after, before)


# ---- CONFIG SET ----


@test
def all_or_nothing():
    """CONFIG SET of several options, one of which cannot be: nothing changes, and nothing is logged."""
    with Server("--maxmemory", "64mb", "--requirepass", "old") as server, server.connect() as c:
        equal(c.ask("AUTH old"), OK)
        before = options(c)
        good = ("timeout", "5", "maxmemory", "32mb", "requirepass", "new", "maxclients", "77", "loglevel", "debug",
                "log-format", "json", "slowlog-max-len", "9")
        for bad in (("maxmemry", "1"), ("slowlog-max-len2", "1"), ("port", "1"), ("max-key-size", "4096"),
                    ("max-value-size", "1mb"), ("client-output-buffer-limit", "normal 1gb 0 0"), ("appendonly", "yes"),
                    ("timeout", "6"), ("shard-capacity", "2147483647"), ("tcp-keepalive", "x" * 2000),
                    ("tcp-keepalive", "1\x002")):
            for words in (good + bad, bad + good):
                check(isinstance(c.ask("CONFIG", "SET", *words), Error), f"{shown(words)} is refused")
                equal(options(c), before, shown(words))
        for bad in (("maxmemory", "1gb"), ("maxclients", "1000000")):  # what only the running server can tell
            words = ("timeout", "5", "requirepass", "new", *bad, "loglevel", "debug")
            check(isinstance(c.ask("CONFIG", "SET", *words), Error), f"{shown(words)} is refused")
            equal(options(c), before, shown(words))
        check(not lines(server, "CONFIG SET|ignored"), server.stderr())
        with server.connect() as other:
            equal(other.ask("AUTH old"), OK)
        equal(c.ask("CONFIG", "SET", *good), OK)  # and the good ones are so
        check(not lines(server, "old|new"), server.stderr())


@test
def changes_are_logged():
    """CONFIG SET is logged: by whom, from what to what; no password."""
    with Server("--maxmemory", "64mb") as server, server.connect() as c:
        def said(*words):
            equal(c.ask("CONFIG", "SET", *words), OK)
            line = until(lambda: lines(server, "CONFIG SET by"), 10, "it is logged")[-1]
            found = re.search(r" notice CONFIG SET by id=(\d+) addr=([\d.]+:\d+): (.*)$", line)
            check(found, line)
            equal([int(found.group(1)), found.group(2)], [c.ask("CLIENT ID"), "%s:%d" % c.socket.getsockname()])
            return found.group(3)
        equal(said("maxmemory", "128mb", "timeout", "60", "shard-capacity", "1000", "max-value-size", "1000"),
              "timeout 0 -> 60, maxmemory 64mb -> 128mb, shard-capacity 32768 -> 1000, max-value-size 128kb -> 1000")
        equal(said("requirepass", "s3cret"), "requirepass changed")
        equal(said("requirepass", "s3cret2"), "requirepass changed")
        equal(c.ask("CONFIG SET requirepass s3cret2"), OK)  # which changes nothing
        equal(said("slowlog-log-slower-than", "-1", "save", ""), "slowlog-log-slower-than 10000 -> -1")
        equal(len(lines(server, "CONFIG SET by")), 4)
        for i in range(1, 31):  # none is left out: they are no client's to hide
            equal(said("timeout", str(60 + i)), f"timeout {59 + i} -> {60 + i}")
        equal(said("requirepass", ""), "requirepass removed")
        check("s3cret" not in server.stderr(), server.stderr())
        equal(c.ask("CONFIG SET loglevel warning"), OK)
        equal(c.ask("CONFIG SET timeout 1"), OK)
        check(not lines(server, "timeout 90 -> 1"), "a notice at warning")
    with Server("--protected-mode", "no", "--requirepass", "s3cret", bind=False) as server, server.connect() as c:
        equal(c.ask("AUTH s3cret"), OK)
        check(not lines(server, "anybody who"), "it has a password")
        equal(c.ask("CONFIG", "SET", "requirepass", ""), OK)
        check(not lines(server, "anybody who"), "it listens on loopback")
    with Server("--protected-mode", "no", "--requirepass", "s3cret", "--bind", "0.0.0.0", bind=False) as server:
        with server.connect() as c:
            equal(c.ask("AUTH s3cret"), OK)
            check(not lines(server, "anybody who"), "it has a password")
            equal(c.ask("CONFIG", "SET", "requirepass", ""), OK)
            until(lambda: lines(server, "anybody who can reach"), 10, "who may connect is said")
            equal(c.ask("CONFIG", "SET", "protected-mode", "yes"), OK)
            until(lambda: lines(server, "clients of other machines are refused"), 10, "and again")


@test(seconds=90)
def maxmemory_steps():
    """maxmemory down: used_memory reaches the new bound while other clients are served; and up again."""
    with Server("--maxmemory", "128mb", "--threads", "2") as server, server.connect() as c:
        def fill():
            for start in range(0, 150000, 1000):
                c.pipeline([request("SET", f"key:{i}", "v" * 970) for i in range(start, start + 1000)])

        def used():
            return int(c.info()["used_memory"])
        fill()
        check(120 * MB < used() <= 128 * MB, f"it is full: {used()}")
        with Pinger(server):
            for size in (64, 33, 9):
                equal(c.ask(f"CONFIG SET maxmemory {size}mb"), OK)
                until(lambda: used() <= size * MB, 30, lambda: f"{used()} bytes used")
                check(used() > (size - 2) * MB, f"no more goes than has to: {used()}")
            equal(c.ask("CONFIG SET maxmemory 128mb"), OK)
            fill()
        check(120 * MB < used() <= 128 * MB, f"it is full again: {used()}")


# ---- SIGHUP ----


@test
def values_that_no_longer_fit():
    """A value that was stored before maxmemory sank is gone, and answered as such, when GETEX finds no room for its time."""
    with Server("--maxmemory", "64mb", "--max-value-size", "512kb") as server, server.connect() as c:
        for i in range(40):
            equal(c.ask("SET", f"k{i}", "x" * 520000), OK)
        equal(c.ask("CONFIG SET maxmemory 48mb max-value-size 100kb"), OK)
        stored = [i for i in range(40) if c.ask("EXISTS", f"k{i}")]
        check(stored, "none is left to ask for")
        until(lambda: c.ask(f"GETEX k{stored.pop()} EX 100") is None, 10, "a shard is too small for its value")
        equal(c.ask("PING"), PONG)


@test
def limits_that_rise_in_a_request():
    """What was dropped of a request by the old limit stays dropped when CONFIG SET raises it before the end comes."""
    with Server("--max-value-size", "2kb", "--max-key-size", 1000) as server, \
            server.connect() as c, server.connect() as other:
        words = [word for key in "abc" for word in (key, "v" * 2000)]
        data = request("MSET", *words, "d", "v" * 3000) + request("GET a")
        before = int(other.info()["total_net_input_bytes"])
        c.send(data[:7500])
        until(lambda: int(other.info()["total_net_input_bytes"]) >= before + 7500, 10, "the first part is read")
        equal(other.ask("CONFIG SET max-value-size 100kb max-key-size 4095"), OK)
        c.send(data[7500:])
        equal(c.read(), Error("ERR value exceeds max-value-size (102400 bytes)"))
        equal(c.read(), None)
        equal(c.ask("SET", "d", "v" * 3000), OK)


@test
def sighup_reads_again():
    """SIGHUP: the file holds again, below environment and flags; the log says what changed and what a restart would."""
    config = "maxmemory 64mb\ntimeout 10\nmax-key-size 100\ntcp-keepalive 100\nrequirepass s3cret\nport 1\n"
    with Server("--timeout", "30", config=config, env={"SPONSON_MAX_KEY_SIZE": "200"}) as server, server.connect() as c:
        path = os.path.join(server.folder, "sponson.conf")
        again = re.escape(path) + " read again: "
        equal(c.ask("AUTH s3cret"), OK)
        before = options(c)
        hang_up(server, again + "nothing changed")
        equal(c.ask("CONFIG SET maxmemory 96mb timeout 99 max-key-size 99 requirepass s3cret2 slowlog-max-len 3"), OK)
        hang_up(server, again + "timeout 99 -> 30, maxmemory 96mb -> 64mb, shard-capacity 49152 -> 32768, max-key-size "
                "99 -> 200, max-value-size 192kb -> 128kb, requirepass changed, slowlog-max-len 3 -> 128")
        equal(options(c), before)
        server.write("sponson.conf", "maxmemory 128mb\ntimeout 11\nmax-key-size 101\nloglevel verbose\n"
                     "log-format json\ntcp-backlog 7\ndatabases 3\nrequirepass s3cret3\n")
        hang_up(server, again + r"tcp-keepalive 100 -> 300, maxmemory 64mb -> 128mb, shard-capacity 32768 -> 65536, "
                r"max-value-size 128kb -> 256kb, requirepass changed, loglevel notice -> verbose, log-format "
                r"text -> json; needs a restart: databases 16 -> 3, tcp-backlog 511 -> 7\"}")
        equal(c.ask("PING"), PONG)
        with server.connect() as other:
            equal(other.ask("AUTH s3cret").split()[0], "WRONGPASS")
            equal(other.ask("AUTH s3cret3"), OK)
        after = options(c)
        for name, value in (("timeout", "30"), ("max-key-size", "200"), ("tcp-backlog", "511"), ("databases", "16"),
                            ("maxmemory", str(128 * MB)), ("tcp-keepalive", "300"), ("loglevel", "verbose")):
            equal(after[name], value, name)
        check("s3cret" not in server.stderr(), server.stderr())
        server.write("sponson.conf", "databases 3\nmaxmemory 128mb\nrequirepass s3cret3\nloglevel verbose\n")
        hang_up(server, again + "log-format json -> text; needs a restart: databases 16 -> 3")
        hang_up(server, again + "nothing changed; needs a restart: databases 16 -> 3")


@test
def log_of_a_stopped_terminal():
    """A terminal that shows nothing more, as after Ctrl-S, holds nobody up: lines are lost."""
    terminal = ("import os, pty, sys; master, slave = pty.openpty(); os.set_inheritable(master, True); os.dup2(slave, 2); "
                "os.execvp(sys.argv[1], sys.argv[1:])")  # the server holds the other end, and never reads it
    port = free_port()
    process = Process([sys.executable, "-c", terminal, SERVER, "--port", str(port), "--loglevel", "debug"])
    try:
        until(lambda: run_server("--ping", "--port", str(port))[0] == 0, 20, "it answers")
        for _ in range(1000):  # two lines each
            with Connection(("127.0.0.1", port), 20) as c:
                equal(c.ask("PING"), PONG)
        process.signal(signal.SIGTERM)
        process.ended(0)
    finally:
        process.kill()


@test
def sighup_beside_one_worker():
    """SIGHUP again and again while maxmemory sinks, with one worker, whose shards have no locks: nothing is damaged."""
    with Server("--threads", "1", config="maxmemory 256mb\nmax-value-size 16kb\n") as server, server.connect() as c:
        for i in range(0, 300000, 10000):
            c.pipeline([request("SET", k, b"x" * (k * 37 % 1300)) for k in range(i, i + 10000)])
        server.write("sponson.conf", "maxmemory 32mb\nmax-value-size 16kb\n")
        hang_up(server, ".*")

        def holds():
            for _ in range(100):
                server.signal(signal.SIGHUP)
            return int(c.info()["used_memory"]) <= 32 * MB
        until(holds, 20, "maxmemory holds")


@test
def memory_of_monitor_stays():
    """CONFIG SET client-memory leaves MONITOR's ring and others their room."""
    with Server("--client-memory", "16mb") as server, server.connect() as c, server.connect() as watcher:
        equal(watcher.ask("MONITOR"), OK)
        limit = ("client-output-buffer-limit", "normal 0 0 0")
        equal(c.ask("CONFIG", "SET", "client-memory", "1mb", *limit), Error(
            "ERR CONFIG SET failed (possibly related to argument 'client-memory') - client-memory has to be 2mb at least "
            "while somebody uses MONITOR"))
        equal(c.ask("CONFIG", "SET", "client-memory", "2mb", *limit), OK)
        watcher.close()
        until(lambda: c.ask("CONFIG", "SET", "client-memory", "1mb") == OK, 10, "when nobody does, it can be")


@test
def sighup_bad():
    """SIGHUP with a file that is wrong, gone or impossible: it is said, and nothing changes."""
    config = "maxmemory 64mb\ntimeout 10\nmaxclients 100\n"
    few_files = ("/bin/sh", "-c", 'ulimit -Sn 256; exec "$0" "$@"')
    with Server(config=config, prefix=few_files) as server, server.connect() as c:
        path = os.path.join(server.folder, "sponson.conf")
        before = options(c)
        files = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        place = "nothing changed: " + re.escape(path)
        for text, want, count in (
                ("timeout 20\ntimeout x\n", place + ' line 2: timeout: "x" is not allowed; .*', 1),
                ("timeout 20\nmaxmemry 1\nport x\n", place + " line [23]: (port|unknown option).*", 2),
                ("timeout 20\nmaxmemory 64mb\nmax-value-size 1mb\n", "nothing changed: max-value-size: 1mb is .*", 1),
                ("timeout 20\nmaxmemory 1gb\n", "nothing changed: maxmemory can become at most 256mb.*", 1),
                ("maxclients 500\nmaxmemory 1gb\n", "nothing changed: maxmemory can become at most 256mb.*", 1),
                ("timeout 20\nmaxmemory 64mb\nshard-capacity 2147483647\n", "nothing changed: shard-cap.*", 1),
                ("timeout 20\nrequirepass-file /nowhere/x\n", "nothing changed: requirepass-file: cannot take .*", 1),
                ("timeout 20\nrequirepass x\nrequirepass-file /nowhere/x\n", "nothing changed: requirepass-file.*", 1)):
            server.write("sponson.conf", text)
            hang_up(server, want, count)
            equal(options(c), before, text)
            equal(resource.prlimit(server.pid, resource.RLIMIT_NOFILE), files, text)
        os.unlink(path)
        hang_up(server, 'nothing changed: cannot read the configuration file ".*": No such file or directory')
        os.mkdir(path)
        hang_up(server, 'nothing changed: cannot read the configuration file ".*": Is a directory')
        equal(options(c), before)
        os.rmdir(path)
        server.write("sponson.conf", "timeout 20\nmaxmemory 64mb\nmaxclients 500\n")
        hang_up(server, ".* read again: maxclients 100 -> 500, timeout 10 -> 20")
        check(resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[0] > 500, "there are descriptors for them")
        check(all(" warning " in line for line in lines(server, "nothing changed: ")), server.stderr())


@test
def sighup_password_file():
    """SIGHUP reads requirepass-file again: a rotated secret takes effect, another path too, and neither shows."""
    with Server() as folder:
        first, second = folder.write("first", "s3cret1\n"), folder.write("second", "s3cret2\n")
        with Server(config=f"requirepass-file {first}\n") as server, server.connect() as c:
            equal(c.ask("AUTH s3cret1"), OK)
            folder.write("first", "s3cret3\n")
            hang_up(server, ".* read again: requirepass changed")
            equal(c.ask("PING"), PONG)
            with server.connect() as other:
                equal(other.ask("AUTH s3cret1").split()[0], "WRONGPASS")
                equal(other.ask("AUTH s3cret3"), OK)
            server.write("sponson.conf", f"requirepass-file {second}\n")
            hang_up(server, f".* read again: requirepass changed, requirepass-file {first} -> {second}")
            equal(c.ask("CONFIG GET requirepass-file")[1].decode(), second)
            folder.write("second", "\n")
            hang_up(server, "nothing changed: requirepass-file: cannot take a password .*: its first line is empty")
            with server.connect() as other:
                equal(other.ask("AUTH s3cret2"), OK)
            check("s3cret" not in server.stderr(), server.stderr())


@test
def sighup_without_a_file():
    """SIGHUP with nothing but flags: what CONFIG SET changed goes back, and what follows from the machine stays."""
    with Server("--max-key-size", "100") as server, server.connect() as c:
        before = options(c)
        hang_up(server, "options read again: nothing changed")
        equal(c.ask("CONFIG SET max-key-size 50 maxmemory 64mb client-memory 64mb maxclients 50"), OK)
        hang_up(server, "options read again: maxclients 50 -> 10000, maxmemory 64mb -> .*, max-key-size 50 -> 100, .*")
        equal(options(c), before)


@test
def sighup_without_descriptors():
    """SIGHUP while there is no descriptor to look at the machine with: what follows from it stays."""
    with Server("--maxclients", "50") as server, server.connect() as c:
        before = options(c)
        hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (server.descriptors() + 5, hard))
        others = [server.connect() for _ in range(5)]
        until(lambda: c.info()["connected_clients"] == "6", 10, "all descriptors are used")
        hang_up(server, "options read again: nothing changed")
        equal(options(c), before)
        for other in others:
            other.close()


@test
def sighup_of_a_pipe():
    """SIGHUP where the file was a pipe, as bash's <(...) is: what it said is not taken for nothing."""
    prefix = ("bash", "-c", 'exec "$0" <(printf "requirepass s3cret\\ntimeout 5\\n") "$@"')
    with Server(prefix=prefix) as server, server.connect() as c:
        equal(c.ask("AUTH s3cret"), OK)
        before = options(c)
        hang_up(server, 'nothing changed: cannot read the configuration file "/dev/fd/.*": a pipe or device cannot be read again')
        equal([options(c), before["timeout"], before["requirepass"]], [before, "5", "********"])


@test
def sighup_waits_for_nothing():
    """SIGHUP where a file has become a pipe without a writer, or a device without an end: refused, and nobody waits."""
    with Server(config="timeout 5\n") as server, server.connect() as c:
        server.write("password", "s3cret\n")
        path, secret = (os.path.join(server.folder, name) for name in ("sponson.conf", "password"))
        server.write("sponson.conf", f"timeout 6\nrequirepass-file {secret}\n")
        hang_up(server, f"{re.escape(path)} read again: .*timeout 5 -> 6.*")
        for name, make in ((path, os.mkfifo), (path, lambda to: os.symlink("/dev/zero", to)),
                           (secret, os.mkfifo), (secret, lambda to: os.symlink("/dev/zero", to))):
            os.rename(name, name + ".kept")
            make(name)
            hang_up(server, "nothing changed: .*a pipe or device cannot be read again")
            os.rename(name + ".kept", name)
            with server.connect() as other:
                equal(other.ask("AUTH s3cret"), OK)
        hang_up(server, f"{re.escape(path)} read again: nothing changed")


@test
def sighup_with_few_descriptors():
    """SIGHUP where maxclients was lowered at the start by the limit of descriptors: it stays lowered."""
    prefix = ("/bin/sh", "-c", 'ulimit -Sn 100; ulimit -Hn 100; exec "$0" "$@"')
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 100 and os.geteuid() == 0:  # root would just raise it
        check(shutil.which("setpriv"), "setpriv (util-linux) is needed")
        prefix = ("/bin/sh", "-c", 'ulimit -Sn 100; ulimit -Hn 100; exec setpriv --bounding-set=-sys_resource '
                  '--inh-caps=-sys_resource "$0" "$@"')
    with Server(config="timeout 100\n", prefix=prefix) as server, server.connect() as c:
        low = c.ask("CONFIG GET maxclients")[1]
        check(0 < int(low) < 100, f"lowered to {low}")
        server.write("sponson.conf", "timeout 200\n")
        hang_up(server, ".* read again: timeout 100 -> 200")
        equal(c.ask("CONFIG GET maxclients")[1], low)
        equal(len(lines(server, f"maxclients lowered from 10000 to {low.decode()} ")), 2)
        server.write("sponson.conf", "timeout 200\nmaxclients 20\n")
        hang_up(server, f".* read again: maxclients {low.decode()} -> 20")


@test(seconds=60)
def sighup_under_load():
    """Many SIGHUPs, CONFIG SETs and changes of the file, while clients are served: none waits, all stays consistent."""
    with Server("--threads", "2", "--maxmemory", "64mb", config="") as server, server.connect() as c:
        with Pinger(server):
            for i in range(100):
                path = os.path.join(server.folder, "new")  # renamed: never half a file
                server.write("new", f"timeout {1000 + i}\nrequirepass ''\nmax-key-size {100 + i}\n")
                os.rename(path, os.path.join(server.folder, "sponson.conf"))
                server.signal(signal.SIGHUP)
                equal(c.ask(f"CONFIG SET maxmemory {48 + i % 16}mb max-key-size {200 + i}"), OK)
                equal(c.ask("SET", f"key:{i}", "v"), OK)
            server.signal(signal.SIGHUP)
            until(lambda: options(c)["max-key-size"] == "199" and options(c)["maxmemory"] == str(64 * MB), 10,
                  lambda: f"the last file holds: {options(c)}")
        equal(options(c)["timeout"], "1099")


# ---- the log ----


@test
def log_json():
    """--log-format json: every line is an object of time, level and message, whatever it says; text is one line."""
    hostile = {b'SPONSON_"q\\u"': "1", b"SPONSON_\x01\x1b[31m\xff\xc3\xa9\xed\xa0\x80": "1", "SPONSON_é": "1"}
    for form in ("json", "text"):
        with Server("--log-format", form, "--loglevel", "debug", env=hostile) as server, server.connect() as c:
            equal(c.ask("CONFIG", "SET", "timeout", "9"), OK)
            equal(c.ask("CLIENT", "SETNAME", '"\\x'), OK)
            equal(c.ask("CONFIG", "SET", "requirepass", '"\\x'), OK)
            server.stop()
            raw = os.pread(server.err.fileno(), 1 << 20, 0)
            text = raw.decode("utf-8")  # strictly
            messages = []
            for line in text.splitlines():
                if form == "text":
                    check(LINE.fullmatch(line), shown(line))
                    messages.append(line[25:].split(" ", 1)[1])
                    continue
                found = json.loads(line)
                equal(sorted(found), ["level", "message", "time"])
                check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"]), line)
                check(found["level"] in ("debug", "verbose", "notice", "warning"), line)
                messages.append(found["message"])
            start = "ignored environment variable SPONSON_"
            for want in (start + '"q\\u": ', start + "??[31m?é???: ", start + "é: ", "sponson ", "CONFIG SET by id=",
                         "bye"):
                check(any(m.startswith(want) for m in messages), f"{want} is in {messages}")


@test(seconds=90)
def log_repeats():
    """A line that repeats is written ten times in ten seconds; then how often more; verbose lines all are."""
    with Server("--requirepass", "s3cret", "--loglevel", "verbose") as server, server.connect() as c:
        def wrong(n):
            for i in range(n):
                check(c.ask("AUTH", f"wr0ng{i}").startswith("WRONGPASS"), "AUTH")
        kind = "wrong password or user: id="
        began = time.monotonic()
        wrong(57)
        got = lines(server, " warning " + kind)
        in_one_window = time.monotonic() - began < 8
        if in_one_window:
            equal(len(got), 10)
            address = "%s:%d" % c.socket.getsockname()
            check(all(re.search(f" warning {kind}\\d+ addr={address}$", line) for line in got), got[0])
            said = until(lambda: lines(server, "more lines like"), 40, "what was left out is said on its own")
            check(said[0].endswith(' warning 47 more lines like "wrong password or user: id=..." left out'), said[0])
        equal(c.ask("AUTH s3cret"), OK)
        before = len(lines(server, " warning " + kind))
        wrong(12)
        for _ in range(30):
            server.connect().close()
        until(lambda: len(lines(server, " verbose client id=.* connected")) > 30, 10, "all connections show")
        server.stop()
        if in_one_window:
            check(len(lines(server, " warning " + kind)) - before in range(10, 13), "there are lines again")
        left_out = [int(n) for n in re.findall(f' (\\d+) more lines like "{kind}', server.stderr())]
        total = len(lines(server, " warning " + kind)) + sum(left_out)
        equal(total, 57 + 12, "lines, written or left out and counted")
        check("s3cret" not in server.stderr() and "wr0ng" not in server.stderr(), "a password in the log")


@test
def log_tells_no_data():
    """No key, value or password is in the log, whatever happens to the client."""
    flags = ("--loglevel", "debug", "--client-memory", "2mb", "--maxmemory", "64mb", "--slowlog-log-slower-than", "0")
    with Server(*flags) as server, server.connect() as c:
        for words in (("SET", "k3y", "v4lue"), ("SET", "k3y" * 1000, "v4lue"), ("GET", "k3y", "v4lue"),
                      ("v4lue", "k3y"),
                      ("CONFIG", "SET", "requirepass", "v4lue"), ("CONFIG", "SET", "requirepass", "v4lue\n"),
                      ("CONFIG", "SET", "requirepass", ""), ("AUTH", "v4lue"), ("AUTH", "v4lue", "v4lue"),
                      ("HELLO", "3", "AUTH", "default", "v4lue"), ("HELLO", "2"), ("CONFIG", "SET", "v4lue", "k3y")):
            c.ask(*words)
        with server.connect() as other:  # closed for its memory, in the middle of a request
            try:
                other.send(b"*401\r\n$4\r\nMSET\r\n" + (b"$3\r\nk3y\r\n$100000\r\n" + b"v4lue" * 20000 + b"\r\n") * 100)
                other.rest()
            except OSError:
                pass
        until(lambda: lines(server, "client closed: "), 10, "it is closed, and described")
        with server.connect() as other:
            other.send(b"*1\r\n$-5\r\nv4lue\r\n")
            other.rest()
        equal(c.ask("PING"), PONG)
        server.stop()
        check(not lines(server, "k3y|v4lue"), "\n".join(lines(server, "k3y|v4lue")))


# ---- the service manager ----


def told(listener):
    return listener.recv(4096).decode()


@test
def service_manager():
    """NOTIFY_SOCKET, a path or an abstract name, is told READY, RELOADING and READY, and STOPPING."""
    folder = tempfile.mkdtemp(prefix="sponson-test-")
    try:
        for name in (os.path.join(folder, "notify"), f"@sponson-test-{os.getpid()}-{time.monotonic_ns()}"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
                listener.bind("\0" + name[1:] if name[0] == "@" else name)
                listener.settimeout(20 * PATIENCE)
                with Server(env={"NOTIFY_SOCKET": name}, config="supervised systemd\n") as server:
                    check(re.match(r"READY=1\nSTATUS=\S", told(listener)), "READY")
                    with server.connect() as c:
                        equal(c.ask("PING"), PONG)
                    for text in ("timeout 5\n", "timeout x\n"):
                        server.write("sponson.conf", text)
                        asked = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                        server.signal(signal.SIGHUP)
                        got = told(listener)
                        found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)\n", got)
                        check(found and asked <= int(found.group(1)) <= asked + 20000000 * PATIENCE, got)
                        equal(told(listener).split("\n")[0], "READY=1")
                    server.signal(signal.SIGTERM)
                    equal(told(listener).split("\n")[0], "STOPPING=1")
                    server.ended(0)
                    check(not lines(server, "service manager"), server.stderr())
    finally:
        shutil.rmtree(folder)


@test
def no_service_manager():
    """A NOTIFY_SOCKET that nobody listens on, or that is none, is one warning and no more."""
    for name in ("/nowhere/notify", "@nobody-listens-here", "/" + "x" * 200, "", "relative"):
        with Server(env={"NOTIFY_SOCKET": name}) as server, server.connect() as c:
            equal(c.ask("PING"), PONG)
            hang_up(server, "options read again: nothing changed")
            server.stop()
            equal(len(lines(server, " warning cannot tell the service manager at ")), 1, name)
            equal(len(server.stderr().splitlines()), 5, server.stderr())
