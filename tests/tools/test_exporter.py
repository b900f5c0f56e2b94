"""test_exporter.py -- Debian's prometheus-redis-exporter in front of the server: what it exports is what INFO says, and
it has nothing to complain of."""
import re
import time

from harness import OK, Error, Redis, Server, check, equal, free_port, test, until
from tools import Metrics, Tool, promtool, write

# Series that a redis-server gives and this server need not: what they would count is not here.
NOT_HERE = re.compile(r"""redis_(
    (allocator|(active_)?defrag)_.* |                             # an allocator that fragments, and its defragmentation
    (rdb|aof)_.* | latest_fork_seconds | module_fork_.* |         # persistence
    slave_.* | replica_.* | repl(ication)?_.* | second_repl_offset | mem_clients_slaves |  # replication
    migrate_cached_sockets_total | dump_payload_sanitizations |   # cluster, DUMP and RESTORE
    pubsub_.* | tracking_total_.* |                               # pub/sub, client-side caching
    errors_total |                                                # errors by their first word
    number_of_cached_scripts | memory_used_(lua|scripts)_bytes |  # scripts
    cpu_(sys|user)_(children|main_thread)_seconds_total |         # forks; a main thread
    io_threaded_.* | lazyfree_pending_objects | mem_not_counted_for_eviction_bytes |
    client_recent_max_.* | clients_in_timeout_table | unexpected_error_replies |
    expired_stale_percentage | expired_time_cap_reached_total |
    memory_used_(overhead|startup)_bytes | mem_fragmentation_bytes | total_(reads|writes)_processed
    )$""", re.VERBOSE)

# What it exports under a name of its own, and the field of INFO that it comes from.
FIELDS = {
    "redis_aof_enabled": "aof_enabled",
    "redis_blocked_clients": "blocked_clients",
    "redis_commands_processed_total": "total_commands_processed",
    "redis_connected_slaves": "connected_slaves",
    "redis_connections_received_total": "total_connections_received",
    "redis_cpu_sys_seconds_total": "used_cpu_sys",
    "redis_cpu_user_seconds_total": "used_cpu_user",
    "redis_evicted_keys_total": "evicted_keys",
    "redis_expired_keys_total": "expired_keys",
    "redis_keyspace_hits_total": "keyspace_hits",
    "redis_keyspace_misses_total": "keyspace_misses",
    "redis_loading_dump_file": "loading",
    "redis_memory_max_bytes": "maxmemory",
    "redis_memory_used_bytes": "used_memory",
    "redis_net_input_bytes_total": "total_net_input_bytes",
    "redis_net_output_bytes_total": "total_net_output_bytes",
    "redis_process_id": "process_id",
    "redis_rejected_connections_total": "rejected_connections",
    "redis_total_error_replies": "total_error_replies",
    "redis_uptime_in_seconds": "uptime_in_seconds",
}


def exporter(port, *flags):
    return Tool(lambda own, _: ["prometheus-redis-exporter", "-redis.addr", f"redis://127.0.0.1:{port}",
                                "-web.listen-address", f"127.0.0.1:{own}", *flags])


def scrape(tool):
    return Metrics(tool.page("/metrics"))


def check_log(tool):
    """Nothing worse than information was logged; to it, having read a file is an error."""
    lines = [line for line in tool.stderr().splitlines() if not re.search('level=info|msg="Loaded 1 entries', line)]
    equal(lines, [], "the exporter's log")


def some_work(c):
    """Some of everything that is counted."""
    for i in range(10):
        equal(c.ask("SET", f"user:{i}", "v" * (i + 1)), OK)
    equal([c.ask("GET", f"user:{i}") is None for i in range(8, 13)], [False, False, True, True, True])
    for wrong in ("INCR user:1", "NONSENSE", "GET"):
        check(isinstance(c.ask(wrong), Error), wrong)
    equal([c.ask("SELECT 2"), c.ask("MSET a 1 b 2 c 3"), c.ask("EXPIRE a 1000"), c.ask("EXPIRE b 2000")],
          [OK, OK, 1, 1])
    equal([c.ask("SET gone v PX 1"), c.ask("SELECT 0")], [OK, OK])
    until(lambda: int(c.info()["expired_keys"]) == 1, 10, "an entry expires")


@test
def values():
    """prometheus-redis-exporter: every series has the value that INFO gives, and nothing is in its log"""
    with Server("--maxmemory", "8mb", "--max-value-size", "60kb", "--maxclients", 123) as server, server.connect() as c:
        value = b"x" * 50_000
        for i in range(400):
            equal(c.ask("SET", f"large:{i}", value), OK)
        some_work(c)
        with exporter(server.port) as tool:
            first = c.info()
            equal(scrape(tool).get("redis_up"), 1)
            until(lambda: c.info()["connected_clients"] == "1", 10, "the exporter has left")
            before, metrics, after = c.info(), scrape(tool), c.info()
            equal(metrics.get("redis_exporter_last_scrape_error", err=""), 0)
            for name, field in FIELDS.items():
                low, got, high = float(before[field]), metrics.get(name), float(after[field])
                check(low <= got <= high, f"{name} is {got}, not {field}, which went from {low} to {high}")
            check(metrics.get("redis_evicted_keys_total") > 0, "something was evicted")
            equal(metrics.get("redis_expired_keys_total"), 1)
            equal([metrics.get(f"redis_keyspace_{what}_total") for what in ("hits", "misses")], [2, 3])
            equal(metrics.get("redis_memory_max_bytes"), 8 << 20)
            # The exporter's connection is there while it asks.
            equal([metrics.get("redis_connected_clients"), int(first["connected_clients"])], [2, 1])
            equal(metrics.get("redis_config_maxclients"), 123)
            equal(metrics.get("redis_config_maxmemory"), 8 << 20)
            check(abs(metrics.get("redis_start_time_seconds") - (time.time() - float(after["uptime_in_seconds"]))) < 30,
                  "when it started")
            check(metrics.get("redis_memory_used_rss_bytes") > 1 << 20, "resident memory")
            keys = {f"db{i}": 0.0 for i in range(16)} | {"db0": float(c.ask("DBSIZE")), "db2": 3.0}
            got = metrics.by("db", "redis_db_keys")
            equal({name: got.get(name) for name in keys if keys[name]}, {name: n for name, n in keys.items() if n})
            equal(sum(got.values()), sum(keys.values()))
            equal(metrics.by("db", "redis_db_keys_expiring")["db2"], 2)
            labels = next(dict(labels) for name, labels in metrics.series if name == "redis_instance_info")
            equal({k: labels[k] for k in ("role", "redis_mode", "maxmemory_policy", "tcp_port", "redis_version",
                                          "run_id", "process_id")},
                  {"role": "master", "redis_mode": "standalone", "maxmemory_policy": "allkeys-lru",
                   "tcp_port": str(server.port), "redis_version": after["redis_version"], "run_id": after["run_id"],
                   "process_id": str(server.pid)})
            check(labels["os"].startswith("Linux"), f"the system is {labels['os']}")
            check_log(tool)


@test
def commands():
    """prometheus-redis-exporter: calls, failures, refusals and latency percentiles of each command"""
    with Server() as server, server.connect() as c:
        some_work(c)
        for i in range(5000):
            c.ask("GET", f"user:{i % 10}")
        with exporter(server.port) as tool:
            metrics = scrape(tool)
            calls = metrics.by("cmd", "redis_commands_total")
            asked = {"set": 11, "get": 5005, "mset": 1, "expire": 2, "select": 2, "incr": 1}
            equal({cmd: calls.get(cmd) for cmd in asked}, asked)
            equal(metrics.get("redis_commands_failed_calls_total", cmd="incr"), 1)
            equal(metrics.get("redis_commands_failed_calls_total", cmd="set"), 0)
            equal(metrics.get("redis_commands_rejected_calls_total", cmd="get"), 1)
            equal(metrics.get("redis_total_error_replies"), 3)
            equal(metrics.by("err", "redis_errors_total"), {"ERR": 3})
            for cmd, n in calls.items():
                seconds = metrics.get("redis_commands_duration_seconds_total", cmd=cmd)
                check(0 <= seconds < 60, f"{cmd} took {seconds} s of all")
            check(metrics.get("redis_commands_duration_seconds_total", cmd="get") > 0, "GET took some time")
            percentiles = [metrics.get("redis_latency_percentiles_usec", cmd="get", quantile=q)
                           for q in ("50", "99", "99.9")]
            check(0 < percentiles[0] <= percentiles[1] <= percentiles[2] < 60e6, f"percentiles of GET: {percentiles}")
            check_log(tool)


@test
def slow_log():
    """prometheus-redis-exporter: the slow log's length, its last number and its last duration"""
    with Server("--slowlog-log-slower-than", -1) as server, server.connect() as c:
        with exporter(server.port) as tool:
            metrics = scrape(tool)
            equal(metrics.get("redis_slowlog_length"), 0)
            equal(c.ask("CONFIG SET slowlog-log-slower-than 0"), OK)  # of those that are timed
            until(lambda: c.ask("GET a") is None and c.ask("SLOWLOG LEN") >= 3, 10, "there are slow requests")
            equal(c.ask("CONFIG SET slowlog-log-slower-than -1"), OK)
            length, newest = c.ask("SLOWLOG LEN"), c.ask("SLOWLOG GET 1")[0]
            metrics = scrape(tool)
            equal(metrics.get("redis_slowlog_length"), length)
            equal(metrics.get("redis_slowlog_last_id"), newest[0])
            equal(metrics.get("redis_last_slow_execution_duration_seconds"), newest[2] / 1e6)
            equal(c.ask("SLOWLOG RESET"), OK)
            equal(scrape(tool).get("redis_slowlog_length"), 0)
            check_log(tool)


@test
def password():
    """prometheus-redis-exporter: with requirepass, by flag and by file; with a wrong one redis_up is 0"""
    with Server("--requirepass", "se cret") as server:
        files = write(server.folder, "passwords", f'{{"redis://127.0.0.1:{server.port}": "se cret"}}')
        for flags in (("-redis.password", "se cret"), ("-redis.password-file", files)):
            with exporter(server.port, *flags) as tool:
                equal(scrape(tool).get("redis_up"), 1)
                check_log(tool)
        for flags in ((), ("-redis.password", "secret")):
            with exporter(server.port, *flags) as tool:
                equal(scrape(tool).get("redis_up"), 0)
                until(lambda: "level=error" in tool.stderr(), 10, "it says so")


@test
def flags():
    """prometheus-redis-exporter: keys, patterns, clients, all settings, /scrape?target="""
    with Server() as server, server.connect() as c:
        some_work(c)
        equal([c.ask("CLIENT SETNAME tester"), c.ask("SET number 17.5")], [OK, OK])
        with exporter(server.port, "-check-keys", "db0=user:*", "-check-single-keys", "db0=number,db2=a", "-count-keys",
                      "db0=user:*", "-export-client-list", "-include-config-metrics",
                      "-include-system-metrics") as tool:
            metrics = scrape(tool)
            sizes = metrics.by("key", "redis_key_size")
            equal({k: sizes.get(k) for k in ("user:0", "user:9", "number")}, {"user:0": 1, "user:9": 10, "number": 4})
            equal(metrics.get("redis_key_value", db="db0", key="number"), 17.5)
            equal(metrics.get("redis_key_value", db="db2", key="a"), 1)
            equal(metrics.get("redis_keys_count", db="db0", key="user:*"), 10)
            check("tester" in metrics.by("name", "redis_connected_clients_details"), "the list of clients")
            check(metrics.get("redis_total_system_memory_bytes") > 1 << 26, "memory of the machine")
            settings = metrics.by("key", "redis_config_key_value")
            check({"maxclients", "maxmemory", "databases"} <= settings.keys(), f"all settings: {settings}")
            check_log(tool)
            other = Metrics(tool.page(f"/scrape?target=redis://127.0.0.1:{server.port}"))
            equal(other.get("redis_up"), 1)
            equal(other.get("redis_db_keys", db="db2"), 3)


@test
def restart():
    """prometheus-redis-exporter: redis_up is 0 while the server is away, and 1 when it is back"""
    with Server(port=free_port()) as server:
        with exporter(server.port) as tool:
            equal(scrape(tool).get("redis_up"), 1)
            server.stop()
            equal(scrape(tool).get("redis_up"), 0)
            with Server(port=server.port):
                equal(scrape(tool).get("redis_up"), 1)


@test
def series():
    """prometheus-redis-exporter: a redis-server's series but for what is not here; promtool has no more to say"""
    pages = []
    for target in (Server, Redis):
        with target() as server, server.connect() as c:
            some_work(c)
            equal([c.ask("CONFIG SET slowlog-log-slower-than 0"), c.ask("GET user:0")], [OK, b"v"])
            with exporter(server.port) as tool:
                tool.page("/metrics")
                pages.append(tool.page("/metrics"))
    own, redis = (Metrics(page) for page in pages)
    missing = sorted(redis.names() - own.names())
    missing = [name for name in missing if not NOT_HERE.match(name)]
    equal(missing, [], "series that a redis-server gives")
    equal(sorted(own.names() - redis.names()), [], "series that a redis-server does not give")
    equal({name: own.types[name] for name in own.types}, {name: redis.types.get(name) for name in own.types})
    equal(sorted(promtool(pages[0]) - promtool(pages[1])), [], "what promtool says")
