"""test_prometheus.py -- a real Prometheus scrapes the admin endpoint: every metric is there, of its type, with the
value that INFO gives, and neither Prometheus nor promtool has anything to say against it."""
import json
import math
import os
import re
import time
import urllib.parse

from harness import OK, Error, Failure, Server, check, equal, free_port, request, test, until
from tools import Metrics, Tool, ask, promtool, write

VERSION = "0.0.4"
LABELS = {  # every metric, its type, its label and the values of that which are there from the start; None: any
    "sponson_commands_total": ("counter", "command", None),
    "sponson_command_errors_total": ("counter", "command", None),
    "sponson_errors_total": ("counter", "code", {"ERR", "EXECABORT", "NOAUTH", "NOPROTO", "WRONGPASS"}),
    "sponson_slow_requests_total": ("counter", None, None),
    "sponson_hits_total": ("counter", None, None),
    "sponson_misses_total": ("counter", "cause", {"never_seen", "expired", "evicted"}),
    "sponson_evictions_total": ("counter", "cause", {"bytes", "entries", "out_of_order"}),
    "sponson_expired_total": ("counter", None, None),
    "sponson_connections_total": ("counter", None, None),
    "sponson_rejected_connections_total": ("counter", "reason", {"maxclients", "protected_mode", "resources"}),
    "sponson_closed_clients_total": (
        "counter", "reason", {"client_memory", "query_buffer", "output_buffer", "monitor"}),
    "sponson_auth_failures_total": ("counter", None, None),
    "sponson_network_receive_bytes_total": ("counter", None, None),
    "sponson_network_transmit_bytes_total": ("counter", None, None),
    "process_cpu_seconds_total": ("counter", None, None),
    "sponson_command_duration_seconds": ("histogram", "command", None),
    "sponson_evicted_age_seconds": ("histogram", None, None),
    "sponson_expiry_lag_seconds": ("histogram", None, None),
    "sponson_build_info": ("gauge", "version", None),
    "sponson_entries": ("gauge", None, None),
    "sponson_entries_with_ttl": ("gauge", None, None),
    "sponson_database_entries": ("gauge", "db", None),
    "sponson_shard_entries": ("gauge", "stat", {"min", "max"}),
    "sponson_shard_used_bytes": ("gauge", "stat", {"min", "max"}),
    "sponson_memory_used_bytes": ("gauge", None, None),
    "sponson_memory_max_bytes": ("gauge", None, None),
    "sponson_client_memory_bytes": ("gauge", None, None),
    "sponson_client_memory_max_bytes": ("gauge", None, None),
    "sponson_connected_clients": ("gauge", None, None),
    "sponson_max_clients": ("gauge", None, None),
    "process_resident_memory_bytes": ("gauge", None, None),
    "process_start_time_seconds": ("gauge", None, None),
}

# Totals that stand in INFO, too.
FIELDS = {
    "sponson_hits_total": "keyspace_hits",
    "sponson_expired_total": "expired_keys",
    "sponson_connections_total": "total_connections_received",
    "sponson_connected_clients": "connected_clients",
    "sponson_memory_used_bytes": "used_memory",
    "sponson_memory_max_bytes": "maxmemory",
}

CONFIGURATION = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: sponson
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


class Observed(Server):
    """A server with an admin endpoint."""

    def start(self, flags, *others):
        self.admin_port = free_port()
        super().start((*flags, "--admin-port", self.admin_port), *others)

    def metrics(self):
        return ask(self.admin_port, "/metrics").body.decode()


class Prometheus(Tool):
    """It scrapes once a second."""

    def __init__(self, server):
        super().__init__(lambda port, folder: [
            "prometheus", "--config.file",
            write(folder, "prometheus.yml", CONFIGURATION.format(port=server.admin_port)),
            "--storage.tsdb.path", os.path.join(folder, "data"), "--web.listen-address", f"127.0.0.1:{port}",
            "--log.level", "warn"], "/-/ready")

    def answers(self, path):
        return self.running() and super().answers(path) and self.ask(path).status == 200

    def query(self, query):
        """{labels as JSON: number} of an instant query."""
        answer = self.json("/api/v1/query?" + urllib.parse.urlencode({"query": query}))
        return {json.dumps({k: v for k, v in one["metric"].items() if k not in ("__name__", "job", "instance")}):
                float(one["value"][1]) for one in answer["data"]["result"]}

    def one(self, query):
        """The number of a query that has one result; None where there is none yet."""
        return next(iter(self.query(query).values()), None)

    def up(self):
        def is_up():
            target = next(iter(self.json("/api/v1/targets")["data"]["activeTargets"]), {"health": "unknown"})
            errors.append(target.get("lastError"))
            return target["health"] == "up" and self.one("up") == 1
        errors = []  # one may be that a scrape took longer than a second, for which Prometheus was stopped
        until(is_up, 20, lambda: f"the target is up: {errors[-1]}")

    def becomes(self, query, number):
        """Waits for it: where a scrape has failed there is none until the next one."""
        until(lambda: self.one(query) == number, 10, lambda: f"{query} is {number}, not {self.one(query)}")


def work(c, requests):
    """Hits, misses, errors, expiry and evictions; returns what was called, by command."""
    value = b"x" * 2000
    called = {"get": requests, "set": requests + 1, "incr": 10, "del": 1}
    c.pipeline([request("SET", f"key:{i}", value, *(("PX", 1) if i % 10 == 0 else ())) for i in range(requests)])
    c.pipeline([request("GET", f"{'key' if i % 2 else 'none'}:{i}") for i in range(requests - 1)])
    equal([c.ask("SET text t"), c.ask("GET text"), c.ask("DEL none")], [OK, b"t", 0])
    check(all(isinstance(c.ask("INCR text"), Error) for _ in range(10)), "INCR of a text")
    check(isinstance(c.ask("NONSENSE"), Error), "an unknown command")
    return called


def calls(info):
    return {name[8:]: float(re.match(r"calls=(\d+)", text)[1]) for name, text in info.items() if name[:8] == "cmdstat_"}


def all_info(c):
    return dict(line.split(":", 1) for line in c.ask("INFO everything").decode().split("\r\n") if ":" in line)


@test
def page():
    """/metrics: promtool has nothing to say, every metric is there with its type, its labels and a text, none twice"""
    with Observed("--maxmemory", "8mb") as server, server.connect() as c:
        for when in ("at the start", "after some work"):
            answer = ask(server.admin_port, "/metrics")
            equal(answer.status, 200)
            check(re.match(rf"text/plain; *version={VERSION}", answer.headers["Content-Type"]),
                  f"the type of the content: {answer.headers['Content-Type']}")
            text = answer.body.decode()
            equal(promtool(text), set(), when)
            metrics = Metrics(text)
            equal({name: metrics.types.get(name) for name in LABELS},
                  {name: kind for name, (kind, _, _) in LABELS.items()})
            equal(sorted(set(metrics.types) - set(LABELS)), [], "metrics that are not in the list")
            for name, (kind, label, values) in LABELS.items():
                check(re.search(rf"^# HELP {name} \S", text, re.MULTILINE), f"no help for {name}")
                got = [dict(labels) for own, labels in metrics.series
                       if own == (name + "_count" if kind == "histogram" else name)]
                for labels in got:
                    equal(set(labels), {label} if label else set(), name)
                if values or not label:
                    equal({labels.get(label) for labels in got}, values or {None}, name)
            check(metrics.check_histograms() >= 2, "histograms")
            equal(metrics.get("sponson_build_info", version=c.info()["sponson_version"]), 1)
            work(c, 10_000)
        check(metrics.check_histograms() >= 4, "those of GET and SET, too")
        for name in ("sponson_command_duration_seconds_count", "sponson_commands_total"):
            called = metrics.by("command", name)
            check({"get", "set"} <= called.keys() and min(called.values()) > 0, f"{name}: {called}")
        check(metrics.get("sponson_evicted_age_seconds_count") > 0, "the age of what was evicted")
        with open("/proc/uptime") as f, open(f"/proc/{server.pid}/stat") as g:
            booted, began = time.time() - float(f.read().split()[0]), int(g.read().rsplit(")", 1)[1].split()[19])
        check(abs(metrics.get("process_start_time_seconds") - (booted + began / os.sysconf("SC_CLK_TCK"))) < 2,
              "when the process started")
        check(0.8 < metrics.get("process_resident_memory_bytes") / server.resident() < 1.25, "resident memory")
        check(0 < metrics.get("process_cpu_seconds_total") < 60, "CPU time")


@test(seconds=60)
def scraped():
    """Prometheus: the target is up, counters go up under load and become what INFO says, no sample is refused"""
    with Observed("--maxmemory", "8mb", "--maxclients", 99) as server, server.connect() as c:
        with Prometheus(server) as prometheus:
            prometheus.up()
            done = {}
            for _ in range(3):  # over some seconds, so that it has a rate
                before = until(lambda: prometheus.query("sponson_hits_total"), 10, "there are hits")
                for command, n in work(c, 5000).items():
                    done[command] = done.get(command, 0) + n
                until(lambda: (prometheus.one("sponson_hits_total") or 0) > max(before.values()), 20, "more hits")
            until(lambda: "expires=0" in c.info()["db0"], 10, "what expires is gone")
            expired = int(c.info()["expired_keys"])
            check(expired > 0, "nothing has expired")
            until(lambda: (prometheus.one("sponson_expired_total") or 0) >= expired, 20, "the last scrape is over")
            info = all_info(c)
            for name, field in FIELDS.items():
                prometheus.becomes(name, float(info[field]))
            prometheus.becomes("sponson_max_clients", 99)
            prometheus.becomes("sum(sponson_misses_total)", float(info["keyspace_misses"]))
            prometheus.becomes("sum(sponson_entries)", float(c.ask("DBSIZE")))
            prometheus.becomes("sum(sponson_database_entries)", float(c.ask("DBSIZE")))
            prometheus.becomes("sum(sponson_evictions_total)", float(info["evicted_keys"]))
            for cause in ("never_seen", "expired", "evicted"):
                prometheus.becomes(f'sponson_misses_total{{cause="{cause}"}}', float(info[f"keyspace_misses_{cause}"]))
            for name, n in done.items():
                prometheus.becomes(f'sponson_commands_total{{command="{name}"}}', n)
            equal({name: n for name, n in calls(info).items() if name in done}, done)
            prometheus.becomes('sponson_command_errors_total{command="incr"}', 30)
            rate = until(lambda: prometheus.one("rate(sponson_commands_total{command='get'}[1m])"), 20, "a rate")
            check(rate > 1, f"GETs in a second: {rate}")
            p99 = until(lambda: prometheus.one(
                'histogram_quantile(0.99, sponson_command_duration_seconds_bucket{command="get"})'), 10, "a quantile")
            check(0 < p99 < 60 and math.isfinite(p99), f"the 99th percentile of GET: {p99}")
            p50, = until(lambda: prometheus.query(
                "histogram_quantile(0.5, sponson_evicted_age_seconds_bucket)").values(), 10, "a median")
            check(0 <= p50 < 60, f"the median age of what was evicted: {p50}")
            check(prometheus.one("avg_over_time(up[1h])") > 0.5, "scrapes have failed")
            own = Metrics(prometheus.page("/metrics"))
            for what in ("duplicate_timestamp", "out_of_bounds", "out_of_order"):
                equal(own.get(f"prometheus_target_scrapes_sample_{what}_total"), 0)
            equal(prometheus.stderr(), "", "Prometheus' log")


@test(seconds=60)
def returns():
    """Prometheus: the target is down while the server is away, and up when it is back, with a new start time"""
    with Observed(port=free_port()) as server:
        with Prometheus(server) as prometheus:
            prometheus.up()
            began = prometheus.one("process_start_time_seconds")
            server.stop()
            until(lambda: prometheus.one("up") == 0, 20, "it is down")
            with Server("--admin-port", server.admin_port, port=server.port):
                until(lambda: prometheus.one("up") == 1, 20, "it is up again")
                until(lambda: (prometheus.one("process_start_time_seconds") or 0) >= began, 10, "it started later")


@test
def password():
    """/metrics: needs no password and shows none; it is not served at the cache's own port"""
    with Observed("--requirepass", "a-secret") as server:
        with server.connect() as c:
            equal(c.ask("AUTH a-wrong-one")[:9], "WRONGPASS")
            equal(c.ask("AUTH a-secret"), OK)
        text = server.metrics()
        equal(Metrics(text).get("sponson_auth_failures_total"), 1)
        check("secret" not in text and "a-wrong-one" not in text, "no password in it")
        with server.connect() as c:
            c.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            check(b"sponson_" not in c.rest(), "metrics at the cache's port")


@test
def counted():
    """/metrics: a small piece of work of which every number is known"""
    with Observed("--maxmemory", "32mb", "--maxclients", 3, "--client-memory", "16mb", "--requirepass", "a",
                  "--slowlog-log-slower-than", -1) as server:
        with server.connect() as c, server.connect() as other:
            equal([other.ask("GET a")[:6], c.ask("AUTH b")[:9], c.ask("AUTH a")], ["NOAUTH", "WRONGPASS", OK])
            with server.connect(), server.connect() as refused:
                equal(refused.rest(), b"-ERR max number of clients reached\r\n")
            equal([c.ask("MSET a 1 b 2 c 3"), c.ask("MGET a b c none"), c.ask("GET none"), c.ask("EXPIRE a 1000")],
                  [OK, [b"1", b"2", b"3", None], None, 1])
            equal([c.ask("SELECT 5"), c.ask("SET gone v PX 1"), c.ask("SET d v EX 1000")], [OK] * 3)
            until(lambda: int(c.info()["expired_keys"]) == 1, 10, "an entry expires")
            check(isinstance(c.ask("INCR d"), Error) and isinstance(c.ask("NONSENSE"), Error), "errors")
            until(lambda: c.info()["connected_clients"] == "2", 10, "only these two are connected")
            metrics = Metrics(server.metrics())
            want = {
                "hits_total": 3, "misses_total never_seen": 2, "misses_total expired": 0, "misses_total evicted": 0,
                "expired_total": 1, "expiry_lag_seconds_count": 1, "evicted_age_seconds_count": 0, "errors_total ERR": 2, "errors_total NOAUTH": 1,
                "errors_total WRONGPASS": 1,
                "auth_failures_total": 1, "connections_total": 4, "rejected_connections_total maxclients": 1,
                "rejected_connections_total protected_mode": 0, "connected_clients": 2, "max_clients": 3, "entries": 4,
                "entries_with_ttl": 2, "database_entries 0": 3, "database_entries 5": 1, "shard_entries min": 0,
                "memory_max_bytes": 32 << 20, "client_memory_max_bytes": 16 << 20, "slow_requests_total": 0,
                "commands_total mget": 1, "commands_total set": 2, "commands_total client|list": None,
                "command_errors_total incr": 1, "command_errors_total get": 1, "command_errors_total set": 0}
            got = {" ".join((name.removeprefix("sponson_"), *(value for _, value in labels))): number
                   for (name, labels), number in metrics.series.items()}
            wrong = {name: (got.get(name), number) for name, number in want.items() if got.get(name) != number}
            equal(wrong, {}, "what it is, and what it should be")
            check(1 <= got["shard_entries max"] <= 4, "the fullest shard")
            check(got["shard_used_bytes min"] <= got["shard_used_bytes max"] <= got["memory_used_bytes"], "bytes")
            before = float(c.info()["total_net_input_bytes"])
            equal(c.ask("SET", "large", "x" * 50_000), OK)
            after = Metrics(server.metrics())
            added = after.get("sponson_network_receive_bytes_total") - before
            check(50_000 < added < 51_000, f"bytes received: {added}")
            added = after.get("sponson_memory_used_bytes") - metrics.get("sponson_memory_used_bytes")
            check(50_000 < added < 51_000, f"bytes used: {added}")


PLANTED = (
    ("a series twice", 'a{x="1",y="2"} 1\na{y="2",x="1"} 1\n'),
    ("a bucket below the one before", '# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="2"} 1\n'
                                      'h_bucket{le="+Inf"} 2\nh_sum 1\nh_count 2\n'),
    ("no bucket +Inf", '# TYPE h histogram\nh_bucket{le="1"} 2\nh_sum 1\nh_count 2\n'),
    ("another count", '# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3\nh_sum 1\nh_count 2\n'),
    ("no sum", '# TYPE h histogram\nh_bucket{le="+Inf"} 3\nh_count 3\n'),
    ("a sum of nothing", '# TYPE h histogram\nh_bucket{le="1"} 0\nh_bucket{le="+Inf"} 3\nh_sum 0\nh_count 3\n'),
    ("a quote in a label", 'a{x="1"2"} 1\n'),
    ("no number", "a{} \n"),
)


@test
def noticed():
    """The check of a page of metrics notices what is wrong with one"""
    for what, text in PLANTED:
        try:
            Metrics(text).check_histograms()
        except Failure:
            continue
        raise Failure(f"not noticed: {what}")
    check(promtool("# HELP a_total x\n# TYPE a_total gauge\na_total 1\n"), "promtool lets a gauge be called _total")
    good = '# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3\nh_sum 4\nh_count 3\na{x="\\"1\\n"} 1e3\n'
    equal(Metrics(good).check_histograms(), 1)
