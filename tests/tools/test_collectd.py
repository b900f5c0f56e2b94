"""test_collectd.py -- collectd's redis plugin, as Debian has it, reads the server and writes what it read as CSV."""
import glob
import os
import re
import shutil
import signal
import tempfile

from harness import OK, Process, Server, check, equal, test, until
from tools import write

CONFIGURATION = """
Hostname "here"
BaseDir "{folder}"
PIDFile "{folder}/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin logfile
LoadPlugin csv
LoadPlugin redis
<Plugin logfile>
  LogLevel notice
  File stderr
</Plugin>
<Plugin csv>
  DataDir "{folder}/csv"
</Plugin>
<Plugin redis>
  <Node "cache">
    Host "127.0.0.1"
    Port "{port}"
    Password "secret"
    ReportCommandStats true
    ReportCpuUsage true
    <Query "DBSIZE">
      Type "gauge"
      Instance "size"
    </Query>
  </Node>
</Plugin>
"""


@test(seconds=60)
def collected():
    """collectd: memory, clients, keys, hits, commands and a query of its own, with a password; nothing in its log"""
    folder = tempfile.mkdtemp(prefix="sponson-test-tool-")
    with Server("--requirepass", "secret") as server, server.connect() as c:
        equal([c.ask("AUTH secret"), c.ask("MSET a 1 b 2 text hello"), c.ask("EXPIRE a 1000"), c.ask("GET a"),
               c.ask("GET none"), c.ask("SELECT 3"), c.ask("SET c 3")], [OK, OK, 1, b"1", None, OK, OK])
        collectd = Process(["collectd", "-f", "-C", write(folder, "collectd.conf",
                                                          CONFIGURATION.format(folder=folder, port=server.port))])

        def values():
            """{name: [columns of the last line that is whole]}, of what was collected two times over."""
            found = {}
            for path in glob.glob(f"{folder}/csv/here/redis-cache/*"):
                with open(path) as f:
                    lines = f.read().split("\n")[1:-1]
                if len(lines) > 1:
                    found[os.path.basename(path)[:-11]] = [float(x) for x in lines[-1].split(",")[1:]]
            return found

        want = {"gauge-size": 3, "records-0": 3, "records-3": 1, "current_connections-clients": 2,
                "cache_result-hits": 1, "cache_result-misses": 1, "evicted_keys": 0, "expired_keys": 0,
                "commands-get": 2, "commands-mset": 1, "blocked_clients": 0}
        some = {"memory", "uptime", "total_operations", "ps_cputime-daemon"}
        try:
            until(lambda: not collectd.running() or want.keys() | some <= values().keys(), 30,
                  lambda: f"it collects, not only {sorted(values())}\n{collectd.stderr()}")
            check(collectd.running(), collectd.stderr())
            got = {name: numbers[0] for name, numbers in values().items()}
            equal({name: got[name] for name in want}, want)
            check(got["memory"] > 1000 and got["uptime"] >= 0 and got["total_operations"] > 7, f"{got}")
            collectd.signal(signal.SIGTERM)
            collectd.ended(0)
            usual = re.compile("successfully loaded|Initialization|Exiting|Stopping|"
                               "above its read interval|Not sleeping because")  # that is the machine's doing
            lines = [line for line in collectd.stderr().splitlines() if not usual.search(line)]
            equal(lines, [], "its log")
        finally:
            collectd.kill()
            shutil.rmtree(folder, ignore_errors=True)
