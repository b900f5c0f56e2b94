"""test_service.py -- the service under a real systemd (systemd.sh), all that the unit forbids being forbidden."""
import os
import re
import shutil
import subprocess
import tempfile

from harness import PATIENCE, Process, check, equal, test, until
from test_install import make

HERE = os.path.dirname(os.path.abspath(__file__))


class Systemd:
    """It starts the service at once."""

    def __init__(self):
        check(os.geteuid() == 0, "a systemd of its own takes root")
        self.folder = tempfile.mkdtemp(prefix="sponson-systemd-", dir="/tmp")
        tree = os.path.join(self.folder, "tree")
        make("install", "PREFIX=/usr", f"DESTDIR={tree}")
        self.process = Process(["unshare", "--mount", "--net", "--uts", "--ipc", "bash",
                                os.path.join(HERE, "systemd.sh"), self.folder, tree])

    def pid_1(self):
        check(self.process.running(), f"it ended\n{self.process.stdout()}{self.process.stderr()}")
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            return f.read().strip()

    def inside(self, *argv):
        """(exit code, all output) of a program beside the service."""
        done = subprocess.run(["nsenter", f"--target={self.pid_1()}", "--mount", "--pid", "--net", "--root", "--wd",
                               "env", "-i", "PATH=/usr/bin:/bin", *argv], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300 * PATIENCE,
                              check=False)
        return done.returncode, done.stdout.strip()

    def systemctl(self, *words):
        code, output = self.inside("systemctl", "--no-pager", *words)
        check(code == 0, f"systemctl {' '.join(words)}: exit {code}\n{output}\n"
              f"{self.inside('systemctl', 'status', 'sponson')[1]}")
        return output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()  # and with it all others
        name = os.path.basename(self.folder)

        def cgroup_is_gone():  # once all have ended
            script = ('mount -t cgroup2 cgroup2 "$1/cgroup" && cd "$1/cgroup" && '
                      '{ [ ! -d "$2" ] || find "$2" -depth -type d -exec rmdir {} +; }')
            return subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", self.folder, name],
                                  stderr=subprocess.DEVNULL, check=False).returncode == 0
        until(cgroup_is_gone, 20, "its control group is empty")
        shutil.rmtree(self.folder)


@test(seconds=120)
def service():
    """The unit under a real systemd: it gets ready, serves, may do nothing else, reloads, restarts, stops in order"""
    with Systemd() as systemd:
        until(lambda: systemd.inside("systemctl", "is-active", "sponson")[1] in ("active", "failed"), 30,
              "it has started")
        equal(systemd.systemctl("is-active", "sponson"), "active")
        equal(systemd.inside("redis-cli", "-p", "7171", "SET", "greeting", "hello")[1], "OK")
        pid = systemd.systemctl("show", "-p", "MainPID", "--value", "sponson")
        status = dict(re.findall(r"^(\w+):\s+(.*)$", systemd.inside("cat", f"/proc/{pid}/status")[1], re.M))
        check(status["Uid"].split()[0] != "0", f"it runs as {status['Uid']}")
        equal((status["CapEff"], status["NoNewPrivs"], status["Seccomp"]), ("0" * 16, "1", "2"))
        limits = systemd.inside("cat", f"/proc/{pid}/limits")[1]
        check(re.search(r"Max open files +20000 ", limits), limits)
        equal(systemd.inside("cat", f"/proc/{pid}/oom_score_adj")[1], "500")
        systemd.inside("sed", "-i", "s/^#maxclients .*/maxclients 5000/", "/etc/sponson/sponson.conf")
        systemd.systemctl("reload", "sponson")
        until(lambda: systemd.inside("redis-cli", "-p", "7171", "CONFIG", "GET", "maxclients")[1].endswith("5000"), 20,
              "it has read the file again")
        systemd.systemctl("restart", "sponson")
        equal(systemd.inside("redis-cli", "-p", "7171", "EXISTS", "greeting")[1], "0")
        for _ in range(7):  # systemd by itself gives up after five in 10 s
            started = systemd.systemctl("show", "-p", "MainPID", "--value", "sponson")
            systemd.inside("redis-cli", "-p", "7171", "SHUTDOWN")
            until(lambda: systemd.systemctl("show", "-p", "MainPID", "--value", "sponson") not in ("0", started) and
                  systemd.inside("systemctl", "is-active", "sponson")[1] == "active", 20, "it is started again")
        systemd.systemctl("stop", "sponson")
        equal(systemd.systemctl("show", "-p", "Result,ExecMainStatus", "sponson").split(),
              ["Result=success", "ExecMainStatus=0"])
        # and this is noticed: a system call that is not allowed
        systemd.inside("sed", "-i", "s/^SystemCallErrorNumber.*/SystemCallFilter=~listen/",
                       "/run/units/sponson.service")
        systemd.systemctl("daemon-reload")
        check(systemd.inside("systemctl", "start", "sponson")[0] != 0, "it starts without listen(2)")
