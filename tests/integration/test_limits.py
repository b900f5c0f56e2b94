"""test_limits.py -- what happens where there is much: slow readers, many keys, full caches, many connections."""
import os
import random
import re
import signal
import socket
import tempfile
import threading
import time

from harness import (FATNESS, MB, OK, PATIENCE, SANITIZED, Connection, Error, Pinger, Server, Simple, Verbatim, check, equal,
                     request, shown, test, until)

PONG = Simple("PONG")


def background(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def fill(c, pairs, batch=1000):
    """Sets all pairs, pipelined; calls back between batches."""
    group = []
    for key, value in pairs:
        group.append(request("SET", key, value))
        if len(group) == batch:
            check(all(r == OK for r in c.pipeline(group)), "a SET failed")
            group = []
    if group:
        check(all(r == OK for r in c.pipeline(group)), "a SET failed")


# ---- slow readers ----


@test(seconds=60)
def slow_reader():
    """Who asks for 10 GB and does not read costs little, holds up nobody, and then gets every byte."""
    count = 1000 if SANITIZED else 10000
    size = MB
    with Server("--maxmemory", "512mb") as server, server.connect() as other:
        values = [random.Random(i).randbytes(size) for i in range(4)]
        for i, value in enumerate(values):
            equal(other.ask("SET", f"big{i}", value), OK)
        before = server.resident()
        c = server.connect()
        sender = background(c.send, b"".join(request(f"GET big{i % 4}") for i in range(count)))
        buffered = until(lambda: int(other.info()["mem_clients_normal"]), 10, "its socket is full")
        check(buffered < 4 * MB, f"{buffered} bytes are kept for it")
        with Pinger(server):
            for i in range(300):
                equal(other.ask("SET", f"k{i}", "v"), OK)
                grown = server.resident() - before
                check(grown < 16 * MB * FATNESS, f"resident memory grew by {grown // MB} MB")
            # now it reads, everything, and it is right
            header = b"$%d\r\n" % size
            pattern = [memoryview(header + v + b"\r\n") for v in values]
            block = bytearray(size + len(header) + 2)
            view = memoryview(block)
            for i in range(count):
                at = 0
                while at < len(block):
                    n = c.socket.recv_into(view[at:])
                    check(n, f"closed in reply {i}")
                    at += n
                check(block == pattern[i % 4], f"reply {i} is not the value")
        sender.join()
        equal(c.answer(b""), b"")
        c.close()
        grown = server.resident() - before
        check(grown < 16 * MB * FATNESS, f"resident memory grew by {grown // MB} MB")


@test
def many_slow_readers():
    """A hundred clients that do not read stay within client-memory; some are closed, others are served."""
    limit = 16 * MB
    with Server("--maxmemory", "512mb", "--client-memory", limit) as server, server.connect() as other:
        equal(other.ask("SET", "big", b"v" * MB), OK)
        before = server.resident()
        slow = []
        for _ in range(100):
            c = socket.socket()
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
            c.connect(server.address)
            c.sendall(request("GET big") * 20)
            slow.append(c)
        for _ in range(200):  # a block that is about to be refused is counted for a moment
            until(lambda: int(other.info()["mem_clients_normal"]) <= limit, 5, "it stays within client-memory")
            grown = server.resident() - before
            check(grown < (limit + 8 * MB) * FATNESS, f"resident memory grew by {grown // MB} MB")
        equal(other.ask("STRLEN big"), MB)
        for c in slow:
            c.close()
        until(lambda: int(other.info()["mem_clients_normal"]) < MB and other.info()["connected_clients"] == "1", 5,
              "their buffers are given back")


@test
def mget_of_much():
    """MGET of 500 MB is sent piece by piece, in bounded memory, and is right."""
    with Server("--maxmemory", "512mb") as server, server.connect() as c:
        value = random.Random(5).randbytes(MB)
        equal(c.ask("SET", "big", value), OK)
        before = server.resident()
        c.send(request("MGET", *["big"] * 500) + request("PING"))
        equal(c.line(), b"*500")
        for i in range(500):
            check(c.read() == value, f"value {i}")
            if i % 50 == 0:
                grown = server.resident() - before
                check(grown < 16 * MB * FATNESS, f"resident memory grew by {grown // MB} MB")
        equal(c.read(), PONG)


@test
def promises():
    """Clients that announce large values or many arguments and send little cost little."""
    with Server("--maxmemory", "512mb") as server, server.connect() as other:
        other.ask("PING")
        before = server.resident()
        clients = [server.connect() for _ in range(1000)]
        for i, c in enumerate(clients):
            c.send((b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\nabc", b"*1048576\r\n$4\r\nMGET\r\n$1\r\na\r\n",
                    b"*3\r\n$3\r\nSET\r\n$536870912\r\nabc", b"SET k v")[i % 4])
        def all_is_read():
            listed = other.ask("CLIENT LIST")
            return listed.count(b"\n") == 1001 and listed.count(b"qbuf=0 ") <= 1
        until(all_is_read, 10, "all is read")
        held = int(other.info()["mem_clients_normal"])
        check(held < 1000 * 8192, f"{held} bytes are held for them")
        grown = server.resident() - before
        check(grown < 16 * MB * FATNESS, f"resident memory grew by {grown // MB} MB")
        for c in clients:
            c.close()
        until(lambda: other.info()["mem_clients_normal"] == "0", 5, "it is given back")


@test
def client_memory():
    """A request that does not fit client-memory closes its connection, is logged, and harms nobody."""
    with Server("--client-memory", "1mb") as server, server.connect() as other:
        equal(other.ask("SET k v"), OK)
        for data in (b"*1048576\r\n$4\r\nMGET\r\n" + b"$1\r\na\r\n" * 1048575,
                     request("SET", "k", b"v" * 1000000) + request("SET", "k", b"v" * 1000000)):
            with server.connect() as c:
                try:
                    c.send(data)
                    got = c.rest()
                except (BrokenPipeError, ConnectionResetError):
                    got = b""
                check(got in (b"", b"+OK\r\n", b"+OK\r\n+OK\r\n"), shown(got))
            equal(other.ask("PING"), PONG)
            until(lambda: other.info()["mem_clients_normal"] == "0", 5, "it is given back")
        until(lambda: "client-memory" in server.stderr(), 10, server.stderr)


@test
def largest_client_is_closed():
    """When client-memory is used up, who holds most of it is closed and named in the log; the others are served."""
    for kept in (False, True):
        with Server("--maxmemory", "512mb", "--client-memory", "16mb", "--threads", "2") as server, \
                server.connect() as other, server.connect() as queue, server.connect() as second:
            value = b"v" * 600000
            ids = [c.ask("CLIENT ID") for c in (queue, second)]
            equal(queue.ask("CLIENT", "NO-EVICT", "ON" if kept else "OFF"), OK)
            for c, count in ((queue, 7), (second, 3)):  # blocks of 8 and 2 MB
                equal(c.ask("MULTI"), OK)
                for i in range(count):
                    equal(c.ask("SET", f"k{i}", value), Simple("QUEUED"))
            check(b"multi-mem=8388" in other.ask("CLIENT LIST"), "CLIENT LIST tells it")
            small = [server.connect() for _ in range(5)]
            half = request("SET", "small", value)
            for n, c in enumerate(small, 1):  # 1 MB each: the last goes beyond seven eighths
                c.send(half[:-5])
                until(lambda: other.ask("CLIENT LIST").count(b"qbuf=1048576 ") == n, 5, "it is read")
            closed, stays = (second, queue) if kept else (queue, second)
            equal(closed.rest(), b"", server.stderr())
            for c in small:
                c.send(half[-5:])
                equal(c.read(), OK)
                c.close()
            equal(len(stays.ask("EXEC")), 7 if kept else 3)
            equal(other.info()["evicted_clients"], "1")
            lines = [line for line in server.stderr().splitlines() if "client-memory (16777216 bytes)" in line]
            equal(len(lines), 1, server.stderr())
            check("client closed: client-memory" in lines[0] and f" id={ids[kept]} " in lines[0], lines[0])
            check(f" tot-mem={(2 if kept else 8) * MB + 64} " in lines[0] and " cmd=set " in lines[0], lines[0])
            until(lambda: int(other.info()["mem_clients_normal"]) == 0, 5, "it is given back")


@test
def largest_client_waits_for_room():
    """Who is closed for its memory gives it back, though there is no room to read what it still sends."""
    with Server("--maxmemory", "128mb", "--max-value-size", "1mb", "--client-memory", "4mb", "--threads", "1") as server, \
            server.connect() as other:
        data = request("SET", "k", b"v" * 1000000)
        for _ in range(10):  # where it hits whom is left to chance
            clients = [server.connect() for _ in range(24)]
            paces = {c: 2000 * (i + 1) for i, c in enumerate(clients)}  # the fastest hold most
            for turn in range(40):
                for c in clients[:]:
                    try:
                        c.send(data[turn * paces[c]:(turn + 1) * paces[c]][:990000 - turn * paces[c]])
                    except OSError:
                        c.close()
                        clients.remove(c)
                other.ask("PING")
            for c in clients:
                c.close()
            until(lambda: other.info()["mem_clients_normal"] == "0" and other.info()["connected_clients"] == "1", 10,
                  "everything is given back")
        check(int(other.info()["evicted_clients"]) > 0, "client-memory was used up")
        with server.connect() as c:
            c.send(data)
            equal(c.read(), OK)


# ---- many keys ----


def key_of(i):
    return b"key:%06d" % i


@test
def keys_of_many():
    """KEYS over 200,000 keys is complete and correct, while another client is served."""
    count = 200000
    with Server("--maxmemory", "256mb") as server, server.connect() as c:
        fill(c, ((key_of(i), b"") for i in range(count)), 10000)
        equal(c.ask("DBSIZE"), count)
        with Pinger(server):
            every = c.ask("KEYS *")
            equal(len(every), count)
            equal(len(set(every)), count, "each once")
            check(set(every) == {key_of(i) for i in range(count)}, "the keys that are stored")
            equal(sorted(c.ask("KEYS key:19999[0-9]")), [key_of(i) for i in range(199990, 200000)])
            equal(len(c.ask("KEYS *7")), count // 10)
            got = c.pipeline([request("KEYS key:00000?"), request("PING"), request("KEYS nothing"),
                              request("DBSIZE")])
            equal((len(got[0]), *got[1:]), (10, PONG, [], count))


@test
def keys_past_limit():
    """KEYS past client-output-buffer-limit gets an error that names SCAN, and the connection goes on."""
    count = 50000
    with Server("--client-output-buffer-limit", "normal", "1mb", "0", "0") as server, server.connect() as c:
        fill(c, ((key_of(i) + b"x" * 50, b"") for i in range(count)), 10000)
        for _ in range(3):
            got = c.pipeline([request("KEYS *"), request("PING"), request("KEYS key:00000*")])
            check(got[0].startswith("ERR") and "SCAN" in got[0], got[0])
            equal((got[1], len(got[2])), (PONG, 10))
        until(lambda: int(c.info()["mem_clients_normal"]) < MB, 5, "what was collected is given back")


@test
def keys_slow_reader():
    """A client that leaves while its KEYS is answered takes nothing with it."""
    with Server("--maxmemory", "256mb") as server, server.connect() as c:
        fill(c, ((key_of(i) + b"x" * 100, b"") for i in range(50000)), 10000)
        for _ in range(20):
            with server.connect() as other:
                other.send(request("KEYS *") * 5)
        with server.connect() as other:
            other.send(request("KEYS *") * 5)
            other.exactly(10)
        until(lambda: c.info()["connected_clients"] == "1", 10, "they are gone")
        until(lambda: int(c.info()["mem_clients_normal"]) < MB, 5, "and what they held")


@test
def scan_while_changing():
    """SCAN finds every key that is there all the time, while others come and go; nothing that never was."""
    stay, rounds = 20000, 3
    with Server("--maxmemory", "256mb") as server, server.connect() as c:
        fill(c, ((b"stay:%d" % i, b"v") for i in range(stay)))
        over, trouble = threading.Event(), []

        def change(number):
            try:
                rng = random.Random(number)
                with server.connect() as d:
                    while not over.is_set():
                        start = rng.randrange(100000)
                        d.pipeline([request("SET", b"come:%d" % i, b"w" * 50) for i in range(start, start + 300)])
                        d.pipeline([request("DEL", *[b"come:%d" % i for i in range(start, start + 200)])])
            except Exception as e:  # told below
                trouble.append(e)

        threads = [background(change, i) for i in range(2)]
        try:
            for round_ in range(rounds):
                cursor, found, calls = b"0", [], 0
                while True:
                    cursor, page = c.ask("SCAN", cursor, "COUNT", (10, 100, 1000)[round_])
                    found += page
                    calls += 1
                    if cursor == b"0":
                        break
                    check(calls < 200000, "SCAN does not end")
                missing = {b"stay:%d" % i for i in range(stay)} - set(found)
                check(not missing, f"{len(missing)} keys were not found")
                check(all(k.startswith((b"stay:", b"come:")) for k in found), "a key that never was")
        finally:
            over.set()
            for t in threads:
                t.join()
        check(not trouble, trouble)


@test
def client_list_of_many():
    """CLIENT LIST tells of 300 connections, each once."""
    with Server() as server, server.connect() as c:
        clients = [server.connect() for _ in range(300)]
        for i, other in enumerate(clients):
            equal(other.ask("CLIENT", "SETNAME", f"client-{i}-" + "n" * (i % 200)), OK)
        for _ in range(3):
            got = c.pipeline([request("CLIENT LIST"), request("PING")])
            equal(got[1], PONG)
            lines = [dict(f.split("=", 1) for f in line.split(" ")) for line in got[0].decode().splitlines()]
            equal(len(lines), 301)
            equal({x["name"] for x in lines} - {""}, {f"client-{i}-" + "n" * (i % 200) for i in range(300)})
            equal({x["addr"] for x in lines}, {"127.0.0.1:%d" % o.socket.getsockname()[1] for o in [*clients, c]})
            equal(len({x["id"] for x in lines}), 301)
        c.ask("HELLO 3")
        got = c.ask("CLIENT LIST")
        check(isinstance(got, Verbatim) and got.count(b"\n") == 301, "RESP3")
        for other in clients:
            other.close()


# ---- a full cache ----


class Watch(threading.Thread):
    """Asks again and again how full the cache is, and keeps the most that it saw."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.over, self.error = server, threading.Event(), None
        self.bytes = self.keys = self.resident = self.times = 0

    def run(self):
        try:
            with self.server.connect() as c:
                while not self.over.is_set():
                    info = c.info()
                    self.bytes = max(self.bytes, int(info["used_memory"]) - int(info["mem_clients_normal"]))
                    self.keys = max(self.keys, c.ask("DBSIZE"))
                    self.resident = max(self.resident, self.server.resident())
                    self.times += 1
        except Exception as e:  # told below
            self.error = e

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.join()
        if kind is None and self.error:
            raise self.error


@test(seconds=60)
def eviction_in_bytes():
    """A cache that is filled ten times over with values of 1 byte to the limit is never over maxmemory."""
    limit, most = 32 * MB, 256 * 1024
    rng = random.Random(3)
    with Server("--maxmemory", limit, "--max-value-size", most) as server, server.connect() as c:
        c.ask("PING")
        before = server.resident()
        noise = rng.randbytes(most)
        last = {}
        with Watch(server) as watch:
            written = number = 0
            while written < 10 * limit:
                group = []
                for _ in range(50):
                    size = rng.choice((1, 10, 100, 1000, 10000, 100000, most, int(most ** rng.random())))
                    key, value = b"key:%d" % number, b"%d:" % number + noise[:max(0, size - 10)]
                    number += 1
                    last[key] = value
                    written += len(value)
                    group.append(request("SET", key, value))
                check(all(r == OK for r in c.pipeline(group)), "a SET failed")
                equal(c.ask("GET", key), value, "what was just stored is there")
                info = c.info()
                used = int(info["used_memory_dataset"])
                check(used <= limit, f"used_memory_dataset {used}")
        check(watch.times > 10, "looked often")
        check(watch.bytes <= limit, f"used_memory {watch.bytes}")
        grown = watch.resident - before
        check(grown < (limit + 12 * MB) * FATNESS, f"resident memory grew by {grown // MB} MB")
        info = c.info()
        check(int(info["evicted_keys"]) > 0, "something was evicted")
        check(int(info["used_memory_dataset"]) > limit // 2, f"{info['used_memory_dataset']}: it is well used")
        keys = c.ask("KEYS *")
        equal(len(keys), c.ask("DBSIZE"))
        equal(len(keys) + int(info["evicted_keys"]), number, "stored or evicted")
        for key in keys:
            check(c.ask("GET", key) == last[key], f"{key} has another value")


@test
def eviction_in_entries():
    """--shard-capacity bounds the keys, at every moment."""
    most = 64 * 100
    with Server("--shard-capacity", "100", "--maxmemory", "64mb") as server, server.connect() as c:
        with Watch(server) as watch:
            fill(c, ((key_of(i), b"%d" % i) for i in range(50000)), 500)
        check(watch.keys <= most and most * 9 // 10 <= c.ask("DBSIZE") <= most, f"{watch.keys} keys")
        equal(int(c.info()["evicted_keys"]) + c.ask("DBSIZE"), 50000)
        check(c.ask("GET", key_of(49999)) == b"49999", "the last one is there")
    with Server("--shard-capacity", "1") as server, server.connect() as c:
        fill(c, ((key_of(i), b"") for i in range(5000)))
        equal(c.ask("DBSIZE"), 64)


def survivors(c, count):
    found = set()
    for start in range(0, count, 1000):
        values = c.ask("MGET", *[key_of(i) for i in range(start, min(count, start + 1000))])
        found |= {start + i for i, v in enumerate(values) if v is not None}
    return found


def check_newest(alive, count):
    """Shards differ a little in how full they are; but for that, the newest are those that are left."""
    n = len(alive)
    check(n > 0, "nothing is left")
    newest = set(range(count - n * 3 // 4, count))
    check(newest <= alive, f"{len(newest - alive)} of the newest {len(newest)} are gone, {n} of {count} are left")
    old = {i for i in alive if i < count - n * 4 // 3}
    check(not old, f"{len(old)} old ones are left, {n} of {count} are left: {shown(sorted(old)[:10])}")


@test
def oldest_first():
    """The oldest go first, in bytes and in entries; what is read or written again stays."""
    count = 100000
    for flags, size in ((("--maxmemory", "16mb"), 300), (("--shard-capacity", "500"), 10)):
        with Server(*flags) as server, server.connect() as c:
            fill(c, ((key_of(i), b"v" * size) for i in range(count)))
            check_newest(survivors(c, count), count)
        with Server(*flags) as server, server.connect() as c:
            hot = [b"hot:%d" % i for i in range(200)]
            touch = [b"touch:%d" % i for i in range(200)]
            fill(c, ((k, b"hot") for k in hot + touch))
            for start in range(0, count, 1000):
                fill(c, ((key_of(i), b"v" * size) for i in range(start, start + 1000)))
                c.pipeline([request("GET", k) for k in hot])
                c.ask("TOUCH", *touch)
            equal(c.ask("EXISTS", *hot), 200, "what was read all the time")
            equal(c.ask("EXISTS", *touch), 200, "what was touched all the time")
            check_newest(survivors(c, count), count)


@test
def overwriting():
    """Values that grow and shrink under the same keys stay within maxmemory, and are what was stored last."""
    limit = 16 * MB
    rng = random.Random(4)
    with Server("--maxmemory", limit) as server, server.connect() as c:
        noise = rng.randbytes(32768)
        last = {}
        for round_ in range(40):
            group = []
            for i in range(500):
                key = b"k%d" % rng.randrange(300)
                last[key] = noise[:rng.choice((0, 1, 20, 500, 8000, rng.randrange(32768)))]
                group.append(request("SET", key, last[key]))
            c.pipeline(group)
            check(int(c.info()["used_memory_dataset"]) <= limit, "over maxmemory")
        present = 0
        for key, value in last.items():
            got = c.ask("GET", key)
            check(got is None or got == value, f"{key} has another value")
            present += got is not None
        check(present > 100, f"only {present} of {len(last)} keys are left")


@test
def ttls_expire():
    """What expires goes without being asked for, and its memory comes back."""
    count = 50000
    with Server("--maxmemory", "128mb") as server, server.connect() as c:
        empty = int(c.info()["used_memory_dataset"])
        equal(c.ask("SET stays v"), OK)
        for start in range(0, count, 5000):
            c.pipeline([request("SET", key_of(i), b"v" * 500, "PX", 200 + i % 2000)
                        for i in range(start, start + 5000)])
        full = int(c.info()["used_memory_dataset"])
        check(full > empty + count * 200 or int(c.info()["expired_keys"]) > 0, f"{full} bytes are used")
        until(lambda: c.ask("DBSIZE") == 1, 10, lambda: f"all expire; {c.ask('DBSIZE')} are left")
        until(lambda: int(c.info()["used_memory_dataset"]) < empty + 8 * MB, 10,
              lambda: f"their memory comes back; {c.info()['used_memory_dataset']} bytes are used")
        info = c.info()
        equal((info["expired_keys"], info["evicted_keys"], info["db0"].split(",")[1]), (str(count), "0", "expires=0"))
        equal(c.ask("GET stays"), b"v")


@test
def flushall():
    """FLUSHALL gives resident memory back, and what comes after is kept."""
    with Server("--maxmemory", "256mb") as server, server.connect() as c:
        c.ask("PING")
        before = server.resident()
        for _ in range(2):
            fill(c, ((key_of(i), b"v" * 1000) for i in range(100000)), 5000)
            full = server.resident()
            check(full - before > 80 * MB, f"{full - before} bytes more are resident")
            with Pinger(server):
                equal(c.pipeline([request("FLUSHALL"), request("SET k v"), request("DBSIZE")]), [OK, OK, 1])
                until(lambda: int(c.info()["used_memory_dataset"]) < 24 * MB, 10, "used_memory falls")
                if not SANITIZED:  # a sanitizer's shadow of what was used does not come back
                    until(lambda: server.resident() - before < 24 * MB, 10,
                          lambda: f"resident memory falls; it is {(server.resident() - before) // MB} MB more")
            equal(c.ask("GET k"), b"v")
            equal(c.ask("GET", key_of(1)), None)


# ---- many connections ----


@test(seconds=60)
def connections_come_and_go():
    """2,000 connections, opened and closed again and again, leave no descriptor and no client behind."""
    with Server("--maxclients", "5000") as server, server.connect() as c:
        c.ask("PING")
        descriptors = server.descriptors()
        resident = 0
        for round_ in range(4):
            clients = []
            for i in range(2000):
                other = server.connect()
                if i % 4 == 0:
                    other.send(request("SET", f"k{i}", "v") + b"*2\r\n$3\r\nGE")  # and leaves in the middle
                elif i % 4 == 1:
                    other.send(b"PING\r\n")
                elif i % 4 == 2:
                    other.send(b"*1\r\n:1\r\n")
                clients.append(other)
            until(lambda: c.info()["connected_clients"] == "2001" or int(c.info()["total_connections_received"]) ==
                  2000 * (round_ + 1) + 1, 10, "all are accepted")
            for i, other in enumerate(clients):
                if i % 4 == 1:
                    equal(other.read(), PONG)
                if i % 8 == 0:
                    other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
                other.close()
            until(lambda: c.info()["connected_clients"] == "1", 10, "all are gone")
            until(lambda: server.descriptors() == descriptors, 10,
                  lambda: f"{server.descriptors()} descriptors, not {descriptors}")
            if round_ == 0:
                resident = server.resident()
        until(lambda: server.resident() - resident < 4 * MB * FATNESS, 10,  # a worker's pool gives back what it need not keep
              lambda: f"resident memory grew by {(server.resident() - resident) // 1024} KB after the first round")
        equal(c.info()["mem_clients_normal"], "0")


@test
def idle_connections():
    """An idle connection costs less than 1 KB of resident memory, also after a large request."""
    count = 3000
    with Server() as server, server.connect() as c:
        c.ask("PING")
        before = server.resident()
        clients = [server.connect() for _ in range(count)]
        for i, other in enumerate(clients):
            equal(other.ask("SET", "k", b"v" * (100000 if i % 100 == 0 else 10)), OK)
        until(lambda: server.resident() - before < (count * 1024 + 2 * MB) * FATNESS, 5,
              lambda: f"{count} idle connections cost {(server.resident() - before) // 1024} KB")
        for other in clients:
            other.close()


@test
def everybody_at_once():
    """Forty clients that do everything at once read only what was written, and the counters add up."""
    with Server("--maxmemory", "16mb", "--threads", "4") as server, server.connect() as c:
        trouble = []
        rounds = 8

        def work(number):
            try:
                rng = random.Random(number)
                with server.connect() as d:
                    for _ in range(rounds):
                        requests, kinds = [], []
                        for _ in range(200):
                            n = rng.randrange(3000)
                            key = b"key:%d" % n
                            kind = rng.randrange(10)
                            kinds.append((kind, n))
                            requests.append(
                                request("SET", key, b"%d:" % n * rng.randrange(1, 2000)) if kind < 4 else
                                request("GET", key) if kind < 7 else
                                request("SET", key, b"%d:" % n, "PX", rng.randrange(1, 50)) if kind == 7 else
                                request("DEL", key) if kind == 8 else request("INCR", "counter"))
                        for (kind, n), got in zip(kinds, d.pipeline(requests)):
                            if 4 <= kind < 7 and got is not None:
                                part = b"%d:" % n
                                check(got == part * (len(got) // len(part)), f"key:{n} is {shown(got)}")
                            check(not isinstance(got, str) or got == "OK", got)
            except Exception as e:  # told below
                trouble.append(repr(e))

        threads = [background(work, i) for i in range(40)]
        while any(t.is_alive() for t in threads):
            info = c.info()
            check(int(info["used_memory_dataset"]) <= 16 * MB, "over maxmemory")
            c.ask("CLIENT LIST")
            c.ask("KEYS key:1*")
        check(not trouble, "\n".join(trouble[:5]))
        until(lambda: c.info()["connected_clients"] == "1", 10, "all are gone")


@test(seconds=60)
def costly_patterns():
    """A pattern that takes long with every key stops its own walk, not the other clients; what it finds is right."""
    keys = 1000 if SANITIZED else 5000
    with Server("--threads", "1") as server, server.connect() as c, server.connect() as walker:
        fill(c, ((b"a" * 990 + b"%08d" % i, b"v") for i in range(keys)))
        pattern = "*" + "a" * 500 + "b"
        cursor, found = walker.ask("SCAN", "0", "MATCH", pattern, "COUNT", "99999999")
        check(cursor != b"0" and found == [], "one call goes through all keys, at some 0.5 ms each")
        with Pinger(server) as pinger:
            began = time.monotonic()
            equal(walker.ask("KEYS", pattern), [])
            took = time.monotonic() - began
        check(pinger.longest < took / 2, f"another client waited for {pinger.longest:.2f} s of {took:.2f}")
        equal(len(walker.ask("KEYS", "*" + "a" * 500 + "0*")), keys)


@test(seconds=60)
def costly_pipelines():
    """A pipeline of requests that cost much more than their bytes gives way to other clients in between."""
    count = 1200 if SANITIZED else 12000
    with Server("--threads", "1", "--maxmemory", "512mb") as server, server.connect() as c:
        equal(c.ask("SET", "big", b"v" * 900000), OK)
        c.send(request("APPEND big a") * count)
        began = time.monotonic()
        with Pinger(server) as pinger:
            for i in range(count):
                equal(c.read(), 900001 + i)
            took = time.monotonic() - began
        check(pinger.longest < took / 2, f"another client waited for {pinger.longest:.2f} s of {took:.2f}")
        equal(c.ask("STRLEN big"), 900000 + count)


@test
def broken_behind_a_full_socket():
    """A protocol error behind replies that the socket does not take is said once they are read."""
    with Server("--maxmemory", "64mb") as server, server.connect() as c, server.connect() as other:
        equal(c.ask("SET", "k", b"v" * 60000), OK)
        c.send(request("GET k") * 1500 + b"*2000\r\n$1\r\na\r\n:\r\n")
        until(lambda: int(other.info()["mem_clients_normal"]) > 0, 10, "its socket is full")
        for _ in range(1500):
            equal(len(c.read()), 60000)
        equal(c.line(), b"-ERR Protocol error: expected '$', got ':'")
        equal(c.rest(), b"")


@test
def output_limit():
    """Who lets more wait than client-output-buffer-limit is closed; a collected reply up to the limit arrives whole."""
    with Server("--maxmemory", "256mb", "--client-output-buffer-limit", "normal 64kb 0 0") as server:
        with server.connect() as other, server.connect() as c:
            equal(other.ask("SET", "k", b"v" * 500000), OK)
            c.send(request("GET k") * 100)
            until(lambda: other.info()["client_output_buffer_limit_disconnections"] == "1", 10, "it is closed")
            equal(other.ask("PING"), PONG)
    with Server("--maxmemory", "64mb", "--client-memory", "16mb") as server, server.connect() as c:
        names = [b"%07d" % i + b"k" * 1000 for i in range(7500)]
        fill(c, ((name, b"") for name in names))
        with server.connect() as small:
            small.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
            equal(sorted(small.ask("KEYS *")), names)


@test(seconds=30)
def replies_of_two_connections_stay_apart():
    """A full socket, and another client's broken or suspended request in the same turn: no reply is lost or cut"""
    def ask_all():
        return b"".join(request("GET", f"big{i}") for i in range(len(values)))

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")  # a unix socket: it is full after some 200 KB
        with Server("--threads", 1, "--maxmemory", 64 * MB, "--unixsocket", path) as server, server.connect() as c:
            values = [(b"%04d" % i) * 5000 for i in range(40)]
            for i, v in enumerate(values):
                equal(c.ask("SET", f"big{i}", v), OK)
            for beginning, rest in ((b"*2\r\n$3\r\nGET\r\n", b"x\r\n"), (b"*2\r\n$3\r\nGET\r\n$", b"7\r\nnowhere\r\n"),
                                    (b"*2\r\n$3\r\nGET\r\n$70", b"00\r\n" + b"x" * 7000 + b"!!*x\r\n")):
                with Connection(path) as a, Connection(path) as b:
                    b.send(beginning)
                    for _ in range(3):  # the server has seen the beginning
                        c.ask("PING")
                    os.kill(server.pid, signal.SIGSTOP)
                    a.send(ask_all())
                    b.send(rest)
                    os.kill(server.pid, signal.SIGCONT)
                    for _ in range(3):
                        c.ask("PING")
                    for v in values:
                        equal(a.read(), v)
            until(lambda: re.search(rb"mem_clients_normal:0\r", c.ask("INFO memory")), 5, "all buffers are given back")


@test(seconds=30)
def cut_pipelines_are_read_in_large_pieces():
    """A client that sends 1000 requests over a unix socket before it reads a reply: their replies are few and fit"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        with Server("--threads", 1, "--unixsocket", path):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(60 * PATIENCE)
                s.connect(path)
                # a request at a time is a reply at a time, and small ones fill a socket: then it would wait for ever
                s.sendall(b"".join(request("SET", f"key:{i % 100:04d}", b"v" * 1000) for i in range(1000)))
                with s.makefile("rb") as replies:
                    equal(replies.read(5000), b"+OK\r\n" * 1000)


@test
def limits_of_a_few_bytes():
    """However small the limits, commands and passwords go through: CONFIG SET can take it back, and values are refused."""
    with Server("--requirepass", "p" * 100, "--max-key-size", "4", "--max-value-size", "4") as server, \
            server.connect() as c:
        equal(c.ask("AUTH", "p" * 100), OK)
        equal(c.ask("SET", "key", "12345"), Error("ERR value exceeds max-value-size (4 bytes)"))
        equal(c.ask("MSET", "k", "1234", "key", "12345"), Error("ERR value exceeds max-value-size (4 bytes)"))
        equal(c.ask("SET", "key45", "1"), Error("ERR key exceeds max-key-size (4 bytes)"))
        equal(c.ask("SET", "key", "1234"), OK)
        equal(c.ask("APPEND", "key", "5" * 1500), Error("ERR value exceeds max-value-size (4 bytes)"))
        equal(c.ask("CONFIG", "SET", "max-key-size", "100", "max-value-size", "100"), OK)
        equal(c.ask("SET", "key45", "12345"), OK)
