"""test_conf.py -- the files in conf/: the server starts with each of them as it is, and has what the file promises.

Only ports and paths are others, by flags: tests run beside each other.
"""
import os
import re
import resource
import shutil
import tempfile

from harness import SERVER, Connection, Failure, Process, add_test, check, equal, free_ports, run_server, test, until

CONF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf")
PROFILES = ["sidecar.conf", "high-concurrency.conf", "low-latency.conf", "development.conf"]
UNITS = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def settings(text):
    """{option: value} of a file's text, the values as CONFIG GET shows them."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, value = line.split(" ", 1)
            check(name not in found, f"{name} stands there twice")
            found[name] = re.sub(r"\b(\d+)([kmg]b)\b", lambda m: str(int(m[1]) * UNITS[m[2]]), value.strip('"'))
    return found


def read(name):
    with open(os.path.join(CONF, name)) as f:
        return f.read()


def options_of(path, promised):
    """Starts the server with the file, and returns all that CONFIG GET shows, what the flags moved left out."""
    folder = tempfile.mkdtemp(prefix="sponson-conf-")
    moved = {"unixsocket": os.path.join(folder, "s")}
    for (name, default), port in zip((("port", "7171"), ("admin-port", "0")), free_ports(2)):
        if promised.get(name, default) != "0":
            moved[name] = str(port)
    server = Process([SERVER, path, *(word for name, value in moved.items() for word in ("--" + name, value))])
    try:
        def ready():
            check(server.running(), f"it did not start\n{server.stderr()}")
            return " ready on " in server.stderr()
        until(ready, 10, "the server says that it is ready")
        with Connection(moved["unixsocket"]) as c:
            words = [word.decode() for word in c.ask("CONFIG GET *")]
        server.signal(15)
        server.ended(0)
        return {name: promised.get(name, value) if name in moved else value
                for name, value in zip(words[::2], words[1::2])}
    finally:
        server.kill()
        shutil.rmtree(folder)


def profile(name):
    def run():
        promised = settings(read(name))
        got = options_of(os.path.join(CONF, name), promised)
        plain = options_of("/dev/null", {})
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        for option, value in promised.items():
            if option == "maxclients" and int(value) > descriptors - 100:  # lowered to what this machine allows
                value = got[option]
                check(int(value) > min(10000, descriptors - 1000), f"maxclients {value} of {descriptors} descriptors")
            elif option not in ("unixsocket", "port", "admin-port"):  # of which the plain server has others
                check(plain[option] != value, f"{option} {value} is the default")
            equal(got[option], value, option)
    return run


for file in PROFILES:
    add_test(f"conf/{file}: starts, CONFIG GET shows each of its settings, and none is the default", profile(file))


@test
def profiles_say_why():
    """Each setting of a profile stands below a comment that gives its reason"""
    for name in PROFILES:
        for paragraph in read(name).strip().split("\n\n"):
            check(paragraph.startswith("#"), f"{name}: no reason for {paragraph}")


@test
def defaults():
    """conf/sponson.conf: as it is, and with every line set, it is the server without a file"""
    text = read("sponson.conf")
    equal(settings(text), {})
    lines = re.sub(r"^#(?=\S)", "", text, flags=re.M)
    listed = re.findall(r"^  --(\S+) .*\(default", run_server("--help")[1], re.M)
    listed = listed[:listed.index("save")]  # from here on they are Redis's
    equal([line.split()[0] for line in lines.splitlines() if line[:1] not in ("#", "")], listed)
    with tempfile.NamedTemporaryFile("w") as f:
        f.write(re.sub(r"^requirepass-file .*$", "", lines, flags=re.M))  # there is no such file
        f.flush()
        with_all, plain = options_of(f.name, settings(lines)), options_of(os.path.join(CONF, "sponson.conf"), {})
    for name, value in plain.items():
        if name not in ("unixsocket", "port"):
            equal(with_all[name], value, name)


@test
def checks_notice():
    """And this is noticed in a profile: a setting that is not taken, given twice, or the default"""
    with tempfile.NamedTemporaryFile("w", dir=CONF, suffix=".conf") as f:
        for text, problem in (("maxclients 64\nmaxclients 65\n", "twice"), ("loglevel notice\n", "is the default"),
                              ("no-such-option 1\n", "did not start")):
            f.seek(0)
            f.truncate()
            f.write(text)
            f.flush()
            try:
                profile(os.path.basename(f.name))()
            except Failure as e:
                check(problem in str(e), f"{text!r}: {e}")
            else:
                raise Failure(f"{text!r} passed")
