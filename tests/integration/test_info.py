"""test_info.py -- what the server tells of itself: the slow log, /metrics beside INFO, readiness while it drains.

The text of /metrics is compared with INFO of the same server at rest: both are made from one list of figures."""
import http.client
import re
import signal

from harness import OK, Error, Server, check, equal, free_port, request, shown, test, until


def get(port, path):
    """(status, body) of the admin endpoint."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def metrics(port):
    """{name{labels}: value} of all samples; each stands there once, behind the type of its name."""
    status, body = get(port, "/metrics")
    equal(status, 200)
    samples, types = {}, {}
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            check(name not in types, f"{name} has two types")
            types[name] = kind
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            check(name not in samples, f"{name} is there twice")
            bare = re.sub(r"\{.*", "", name)
            check(bare in types or re.sub(r"_(bucket|sum|count)$", "", bare) in types, f"{name} has no type")
            samples[name] = float(value)
    return samples


@test
def one_list():
    """INFO and /metrics say the same of commands, hits, misses, entries, memory, connections."""
    port = free_port()
    with Server("--maxmemory", "64mb", "--threads", "2", "--admin-port", str(port)) as server, server.connect() as c:
        c.pipeline([request("SET", f"k{i}", "v" * 100) for i in range(500)])
        c.pipeline([request("GET", f"k{i}") for i in range(700)])
        c.ask("INCR", "k1")
        c.ask("NOPE")
        info = c.info()
        m = metrics(port)
        for name, field in (("sponson_hits_total", "keyspace_hits"), ("sponson_entries", None),
                            ("sponson_misses_total{cause=\"never_seen\"}", "keyspace_misses"),
                            ("sponson_errors_total{code=\"ERR\"}", "total_error_replies"),
                            ("sponson_connections_total", "total_connections_received"),
                            ("sponson_memory_used_bytes", "used_memory"), ("sponson_memory_max_bytes", "maxmemory"),
                            ("sponson_network_receive_bytes_total", "total_net_input_bytes")):
            equal(m[name], float(info[field]) if field else 500, name)
        equal((info["keyspace_hits"], info["keyspace_misses"]), ("500", "200"))
        equal(m["sponson_commands_total{command=\"set\"}"], 500)
        equal(m["sponson_commands_total{command=\"get\"}"], 700)
        equal(m["sponson_command_errors_total{command=\"incr\"}"], 1)
        least, most = m["sponson_shard_entries{stat=\"min\"}"], m["sponson_shard_entries{stat=\"max\"}"]
        check(0 <= least < 500 / 64 < most < 100, f"{least} to {most} entries a shard")
        equal(c.ask("CONFIG", "RESETSTAT"), OK)
        m = metrics(port)
        equal((m["sponson_hits_total"], m["sponson_connections_total"], m["sponson_entries"]), (0, 0, 500))
        check("sponson_commands_total{command=\"set\"}" not in m, "counted before RESETSTAT")


@test
def causes():
    """Misses by their cause, and the age of what is evicted, as it was done to the keys."""
    port = free_port()
    with Server("--maxmemory", "64mb", "--shard-capacity", "100", "--threads", "2", "--admin-port",
                str(port)) as server, server.connect() as c:
        c.pipeline([request("SET", f"t{i}", "v", "PX", "1") for i in range(300)])
        until(lambda: c.ask("DBSIZE") == 0, 20, "all are expired")
        c.pipeline([request("GET", f"t{i}") for i in range(300)])
        info = c.info()
        equal((info["keyspace_misses"], info["keyspace_misses_evicted"]), ("300", "0"))
        check(int(info["keyspace_misses_expired"]) >= 290, shown(info))
        c.ask("CONFIG", "RESETSTAT")
        c.pipeline([request("SET", f"k{i}", "v") for i in range(6400 + 3000)])
        info = c.info()
        equal((info["evicted_by_bytes"], info["evicted_out_of_order"]), ("0", "0"))
        evicted = int(info["evicted_by_entries"])
        check(3000 <= evicted <= 4500, f"{evicted} evicted")
        equal(evicted + c.ask("DBSIZE"), 9400)
        answers = c.pipeline([request("GET", f"k{i}") for i in range(9400)])
        equal(answers.count(None), evicted)
        c.pipeline([request("GET", f"other{i}") for i in range(1000)])
        c.ask("DEL", "k9399")
        c.ask("GET", "k9399")
        info = c.info()
        equal(int(info["keyspace_misses"]), evicted + 1001)
        check(abs(int(info["keyspace_misses_evicted"]) - evicted) <= evicted // 20, shown(info))
        check(int(info["evicted_age_p99_ms"]) <= 32768, shown(info))
        m = metrics(port)
        equal(sum(v for k, v in m.items() if k.startswith("sponson_misses_total")), evicted + 1001)
        equal(sum(v for k, v in m.items() if k.startswith("sponson_evictions_total")), evicted)
        check(abs(m["sponson_evicted_age_seconds_count"] - evicted) <= evicted // 20, shown(m))


@test
def only_what_was_executed_is_timed():
    """A request that was refused, or queued, is in no histogram of its command."""
    port = free_port()
    with Server("--admin-port", str(port)) as server, server.connect() as c:
        c.ask("CONFIG", "SET", "slowlog-log-slower-than", "0")  # so that all are timed
        equal(c.ask("GET", "k"), None)
        for _ in range(20):
            check(isinstance(c.ask("GET", "k", "k"), Error), "refused")
        check(isinstance(c.ask("GET", "k" * 2000), Error), "refused")
        equal(c.pipeline([request("MULTI"), request("GET", "k"), request("EXEC")])[1:], ["QUEUED", [None]])
        m = metrics(port)
        equal(m['sponson_command_duration_seconds_count{command="get"}'], 1)
        equal((m['sponson_commands_total{command="get"}'], m['sponson_command_errors_total{command="get"}']), (2, 21))


@test
def a_large_request_is_one():
    """A request of megabytes, read in many turns, is in the slow log once, and none of those turns beside it."""
    with Server("--maxmemory", "256mb", "--client-memory", "64mb", "--slowlog-log-slower-than", "2000") as server, \
            server.connect() as c:
        pairs = [word for i in range(30000) for word in (f"key{i}", "v" * 200)]
        seen = []
        for _ in range(100):  # where the system stops the thread, that may be another entry
            equal([c.ask("MSET", *pairs), c.ask("SLOWLOG", "RESET"), c.ask("MSET", *pairs)], [OK, OK, OK])
            seen.append([e[3][0] for e in c.ask("SLOWLOG", "GET", "-1")])
            if seen[-1] == [b"MSET"]:
                return
        check(False, f"only others: {shown(seen)}")


@test
def slow_requests():
    """A request that takes long is in the slow log, with its client; its values are cut and secrets left out."""
    with Server("--maxmemory", "256mb", "--client-memory", "64mb", "--slowlog-log-slower-than", "500") as server, server.connect() as c:
        c.ask("CLIENT", "SETNAME", "me")
        pairs = [word for i in range(20000) for word in (f"key{i}", "v" * 200)]
        equal(c.ask("MSET", *pairs), OK)
        entries = c.ask("SLOWLOG", "GET", "-1")
        mset = [e for e in entries if e[3][0] == b"MSET"]
        equal(len(mset), 1, shown(entries))
        _, at_s, us, argv, address, name = mset[0]
        check(us >= 500 and at_s > 1700000000, shown(mset))
        equal((argv[1], name), (b"key0", b"me"))
        check(argv[2].endswith(b"... (72 more bytes)") and b"more arguments" in argv[-1], shown(argv))
        check(re.fullmatch(rb"127\.0\.0\.1:\d+", address), shown(address))
        check(c.ask("SLOWLOG", "LEN") >= len(entries), "one more is there where this thread was stopped meanwhile")
        check(int(c.info()["slow_requests"]) >= 1, "counted")
        equal(c.ask("SLOWLOG", "RESET"), OK)
        equal(c.ask("CONFIG", "SET", "slowlog-log-slower-than", "0", "requirepass", "secret"), OK)
        equal(c.ask("AUTH", "secret"), OK)
        for i in range(20):
            c.ask("GET", f"k{i}")
        got = [e[3] for e in c.ask("SLOWLOG", "GET", "20")]
        equal(got[:2] + got[-2:], [[b"GET", b"k19"], [b"GET", b"k18"], [b"GET", b"k1"], [b"GET", b"k0"]], "0: all of them")
        equal(c.ask("HELLO", "2", "AUTH", "default", "secret")[0], b"server")
        equal(c.ask("CONFIG", "SET", "slowlog-log-slower-than", "-1"), OK)
        before = c.ask("SLOWLOG", "GET", "-1")
        check(b"secret" not in repr(before).encode(), shown(before))
        check([e for e in before if e[3] == [b"AUTH", b"(redacted)"]], shown(before))
        c.ask("KEYS", "*")
        equal(c.ask("SLOWLOG", "LEN"), len(before))


@test
def not_ready_while_it_drains():
    """While the end waits for a client, /readyz says 503 and /healthz and /metrics go on."""
    port = free_port()
    with Server("--admin-port", str(port), "--shutdown-timeout", "600") as server, server.connect() as c:
        equal(get(port, "/readyz"), (200, "ok\n"))
        c.ask("SET", "big", "v" * 1000000)
        c.send(request("GET", "big") * 60)  # it reads none of them: so the server has to wait for it
        equal(c.exactly(1), b"$")
        server.signal(signal.SIGTERM)
        until(lambda: get(port, "/readyz")[0] == 503, 10, "/readyz says that it drains")
        equal(get(port, "/healthz"), (200, "ok\n"))
        equal(metrics(port)["sponson_entries"], 1)
        c.rest()
        server.ended(0)


@test
def one_request_in_many_turns():
    """A request that is done piece by piece is one in the slow log and in the times, with all that it took."""
    with Server("--maxmemory", "64mb", "--slowlog-log-slower-than", "0") as server, server.connect() as c:
        c.pipeline([request("SET", f"key:{i}", "v") for i in range(50000)])
        c.ask("SLOWLOG", "RESET")
        c.ask("CONFIG", "RESETSTAT")
        equal(len(c.ask("KEYS", "*")), 50000)
        equal(len(c.ask("MGET", *(f"key:{i}" for i in range(20000)))), 20000)
        c.ask("CONFIG", "SET", "slowlog-log-slower-than", "-1")
        entries = {e[3][0]: e for e in c.ask("SLOWLOG", "GET", "-1")}
        equal(c.ask("SLOWLOG", "LEN"), len(entries), "each is there once")
        times = c.ask("LATENCY", "HISTOGRAM", "keys", "mget")
        for name, calls in zip(times[::2], times[1::2]):
            equal(calls[:2], [b"calls", 1])
            equal(calls[3][1::2], [1], f"{name}: one time, of the whole")
            check(entries[name.upper()][2] <= calls[3][0], shown((entries[name.upper()], calls)))
