"""test_install.py -- make install, the man page, and the systemd unit as systemd-analyze and strace see it.

test_service.py has it under a real systemd; what the server calls that the unit's filter does not allow is named here.
"""
import os
import re
import socket
import subprocess
import tempfile
import urllib.request

from harness import PATIENCE, Failure, Server, check, equal, free_ports, test, until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
UNIT = "lib/systemd/system/sponson.service"


def run(*argv, **options):
    """(exit code, all output)"""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=300 * PATIENCE, **options)
    return done.returncode, done.stdout


def succeeds(*argv, **options):
    code, output = run(*argv, **options)
    check(code == 0, f"{' '.join(argv)}: exit {code}\n{output[-3000:]}")
    return output


def make(goal, *variables):
    succeeds("make", "-s", "-C", ROOT, goal, *variables)


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


@test(seconds=120)
def install():
    """make install puts four files below DESTDIR, leaves a configuration that is there; uninstall takes the rest"""
    with tempfile.TemporaryDirectory() as folder:
        for prefix, etc in (("/usr", "etc"), ("/opt/cache", "opt/cache/etc")):
            below = prefix[1:]
            destination = f"DESTDIR={folder}/{below}-root"
            root = f"{folder}/{below}-root"
            make("install", destination, f"PREFIX={prefix}")
            conf = f"{etc}/sponson/sponson.conf"
            equal(files_below(root), sorted([f"{below}/bin/sponson", f"{below}/share/man/man1/sponson.1",
                                             f"{below}/{UNIT}", conf]), prefix)
            with open(f"{root}/{below}/{UNIT}") as f:
                unit = f.read()
            equal(re.search("^ExecStart=(.*)", unit, re.M).group(1), f"{prefix}/bin/sponson /{conf}")
            check("@" not in re.sub("SystemCallFilter=.*", "", unit), "a path was not filled in")
            with open(f"{root}/{conf}", "a") as f:
                f.write("maxmemory 64mb\n")
            make("install", destination, f"PREFIX={prefix}")
            with open(f"{root}/{conf}") as f:
                check(f.read().endswith("\nmaxmemory 64mb\n"), "the configuration was overwritten")
            check("maxmemory" in succeeds(f"{root}/{below}/bin/sponson", "--help"), "the binary does not run")
            make("uninstall", destination, f"PREFIX={prefix}")
            equal(files_below(root), [conf])


@test
def man_page():
    """sponson(1): neither mandoc nor man has a complaint; it names every option and every command"""
    page = os.path.join(ROOT, "docs/sponson.1")
    equal(succeeds("mandoc", "-T", "lint", "-W", "all", page), "")
    typeset = subprocess.run(["man", "--warnings=all", "-l", page], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             text=True, timeout=300 * PATIENCE, env={**os.environ, "MANWIDTH": "80"})
    equal((typeset.returncode, typeset.stderr), (0, ""), "man --warnings")
    text = succeeds("man", "-P", "cat", "-l", page, env={**os.environ, "MANWIDTH": "200", "MAN_KEEP_FORMATTING": ""})
    with Server() as server, server.connect() as c:
        for name in c.ask("CONFIG GET *")[::2]:
            check(re.search(rf"^ +(--)?{re.escape(name.decode())}( |$)", text, re.M), f"no option {name}")
        for name in c.ask("COMMAND LIST"):
            check(re.search(rf"^ +{name.decode().upper()}( |$)", text, re.M), f"no command {name}")
    with tempfile.NamedTemporaryFile("w", suffix=".1") as f:  # and this is noticed
        with open(page) as original:
            f.write(original.read().replace(".TP\n", ".TQ x\n.bogus\n", 1))
        f.flush()
        check(run("mandoc", "-T", "lint", f.name)[0] != 0, "mandoc has no complaint about a broken page")


def installed_unit(folder, change=lambda text: text):
    """The unit as it is installed below a folder, where systemd-analyze finds binary and configuration."""
    make("install", f"PREFIX={folder}")
    path = os.path.join(folder, UNIT)
    with open(path) as f:
        text = change(f.read())
    with open(path, "w") as f:
        f.write(text)
    return path


@test(seconds=120)
def unit():
    """sponson.service: systemd-analyze verify has no complaint, and its exposure is at most 2.0 of 10"""
    def judge(change=lambda text: text):
        with tempfile.TemporaryDirectory() as folder:
            path = installed_unit(folder, change)
            verified = succeeds("systemd-analyze", "verify", "--man=no", path)
            return verified, run("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", path)
    verified, (code, report) = judge()
    equal(verified, "")
    check(code == 0, report[-2000:])
    check("exposure level" in report, report)
    # and this is noticed
    check(judge(lambda text: text + "[Service]\nNoSuchThing=1\n")[0] != "", "an unknown line passes")
    check(judge(lambda text: re.sub("(?m)^(System|Private|Capability).*", "", text))[1][0] != 0, "a weak unit passes")


def allowed_calls(unit_text):
    """The system calls that the unit's filters leave, by what systemd-analyze says of each group."""
    def calls(word):
        if not word.startswith("@"):
            return {word}
        lines = succeeds("systemd-analyze", "syscall-filter", word).split("\n")[1:]
        names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        return set().union(*map(calls, names))
    allowed = calls("@default")
    for value in re.findall("^SystemCallFilter=(.*)", unit_text, re.M):
        for word in value.lstrip("~").split():
            allowed = allowed - calls(word) if value.startswith("~") else allowed | calls(word)
    return allowed


@test(seconds=120)
def calls():
    """The filter of system calls lets the server do all that it does: start, serve, notify, reload, stop"""
    with open(os.path.join(ROOT, "conf/sponson.service")) as f:
        allowed = allowed_calls(f.read())
    check({"read", "epoll_wait", "sendto", "setrlimit"} <= allowed and not {"mount", "ptrace", "setpriority"} & allowed,
          f"the filter was not understood: {sorted(allowed)}")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        log, (port, admin_port) = os.path.join(folder, "calls"), free_ports(2)
        manager.bind(os.path.join(folder, "manager"))
        manager.settimeout(60 * PATIENCE)
        with Server("--maxmemory", "8mb", "--unixsocket", f"{folder}/s", "--unixsocketperm", "770", "--maxclients",
                    "2000", "--admin-port", admin_port, port=port, config="# nothing\n",
                    prefix=("strace", "-f", "-qq", "-D", "-o", log),
                    env={"NOTIFY_SOCKET": f"{folder}/manager"}) as server:
            check(b"READY=1" in manager.recv(4096), "it does not say that it is ready")
            urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=60 * PATIENCE).close()
            with server.connect() as c:
                c.pipeline([b"*3\r\n$3\r\nSET\r\n$8\r\n%08d\r\n$5000\r\n%5000d\r\n" % (i, i) for i in range(5000)])
                for words in ("FLUSHALL", "INFO", "CLIENT LIST", "CONFIG SET maxclients 3000",
                              "CONFIG SET maxmemory 16mb"):
                    c.ask(words)
                server.signal(1)  # SIGHUP
                until(lambda: b"RELOADING=1" in manager.recv(4096), 20, "it says that it reads the file again")
                until(lambda: b"READY=1" in manager.recv(4096), 20, "it says that it has")
        with open(log) as f:
            seen = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z_0-9]+)", f.read(), re.M)) - {"execve"}
    check({"epoll_wait", "accept4", "bind", "chmod"} & seen and len(seen) > 25, f"strace saw only {sorted(seen)}")
    equal(sorted(seen - allowed), [], "system calls that the unit does not allow")
    if seen <= allowed_calls("SystemCallFilter=@io-event @network-io\n"):
        raise Failure("a filter that is too tight passes")
