"""test_webdis.py -- Debian's webdis in front of the server: the commands by HTTP, as an application with no Redis
client would use them."""
import base64
import json
import os
import random
import socket
import threading
import urllib.parse

from harness import OK, PATIENCE, Server, check, equal, free_port, test, until
from tools import Tool, write

ALL_BYTES = bytes(range(256)) + b"\r\n\0\xff"


def webdis(server, host="127.0.0.1", **settings):
    def command(port, folder):
        configuration = {
            "redis_host": host, "redis_port": server.port, "http_host": "127.0.0.1", "http_port": port, "threads": 2,
            "pool_size": 4, "daemonize": False, "database": 0, "verbosity": 2,
            "logfile": os.path.join(folder, "webdis.log"), **settings}
        return ["webdis", write(folder, "webdis.json", json.dumps(configuration))]
    return Tool(command, "/PING")


def quoted(data):
    return urllib.parse.quote(data, safe="").replace(".", "%2e")


@test
def forms():
    """webdis: replies as JSON, JSONP, raw RESP, text and any type; requests by GET, POST and PUT"""
    with Server() as server, webdis(server) as web:
        def answer(path, **how):
            got = web.ask(path, **how)
            return got.status, got.headers.get_content_type() if got.status == 200 else "", got.body

        for path, want in (
                ("/SET/hello/world", {"SET": [True, "OK"]}), ("/GET/hello", {"GET": "world"}),
                ("/GET/none", {"GET": None}), ("/INCR/n", {"INCR": 1}), ("/MSET/a/1/b/2", {"MSET": [True, "OK"]}),
                ("/MGET/a/none/b", {"MGET": ["1", None, "2"]}), ("/TYPE/a", {"TYPE": [True, "string"]}),
                ("/EXISTS/a/b/none", {"EXISTS": 2}), ("/DEL/a/none", {"DEL": 1}), ("/PING", {"PING": [True, "PONG"]}),
                ("/APPEND/b/3", {"APPEND": 2}), ("/GETRANGE/hello/1/3", {"GETRANGE": "orl"}),
                ("/STRLEN/b", {"STRLEN": 2}), ("/SETNX/b/4", {"SETNX": 0}),
                ("/INCRBYFLOAT/f/1%2e5", {"INCRBYFLOAT": "1.5"}),
                ("/KEYS/hel*", {"KEYS": ["hello"]}), ("/DBSIZE", {"DBSIZE": 4}), ("/ECHO/a%2fb%2ec", {"ECHO": "a/b.c"}),
                ("/INCR/hello", {"INCR": [False, "ERR value is not an integer or out of range"]}),
                ("/LPUSH/l/1", {"LPUSH": [False, "ERR unknown command 'LPUSH', with args beginning with: 'l' '1' "]}),
                ("/GET", {"GET": [False, "ERR wrong number of arguments for 'get' command"]})):
            status, kind, body = answer(path)
            equal((status, kind, json.loads(body)), (200, "application/json", want), path)
        equal(answer("/GET/hello?jsonp=f"), (200, "application/json", b'f({"GET":"world"});\n'))
        for path, want in (("/GET/hello.raw", b"$5\r\nworld\r\n"), ("/GET/none.raw", b"$-1\r\n"),
                           ("/INCR/n.raw", b":2\r\n"), ("/SET/a/1.raw", b"+OK\r\n"),
                           ("/MGET/a/b.raw", b"*2\r\n$1\r\n1\r\n$2\r\n23\r\n"),
                           ("/INCR/hello.raw", b"-ERR value is not an integer or out of range\r\n")):
            equal(answer(path), (200, "binary/octet-stream", want), path)
        equal(answer("/GET/hello.txt"), (200, "text/plain", b"world"))
        equal(answer("/MGET/a/b.txt?sep=,"), (200, "text/plain", b"1,23"))
        equal(answer("/GET/hello.html"), (200, "text/html", b"world"))
        equal(answer("/GET/hello?type=application/pdf"), (200, "application/pdf", b"world"))
        equal(answer("/GET/none.txt")[0], 404)
        equal(answer("/", body="GET/hello"), (200, "application/json", b'{"GET":"world"}'))
        equal(answer("/SET/put", body="of a body", method="PUT"), (200, "application/json", b'{"SET":[true,"OK"]}'))
        equal(answer("/GET/put.txt"), (200, "text/plain", b"of a body"))
        etag = web.ask("/GET/hello").headers["ETag"]
        equal(web.ask("/GET/hello", headers={"If-None-Match": etag}).status, 304)
        equal(web.json("/SET/hello/again"), {"SET": [True, "OK"]})
        equal(web.ask("/GET/hello", headers={"If-None-Match": etag}).status, 200)
        equal(web.ask("/GET/hello", method="DELETE").status, 405)


@test
def values():
    """webdis: binary keys and values, a value of 1 MB, one that is too large, databases in the path"""
    with Server() as server, server.connect() as c, webdis(server) as web:
        large = random.Random(1).randbytes(1 << 20)
        for key, value in ((b"key", ALL_BYTES), (ALL_BYTES, b"value"), (b"large", large)):
            path = quoted(key)
            equal(web.ask(f"/SET/{path}", body=value, method="PUT").status, 200)
            check(c.ask("GET", key) == value, f"the server has {key[:9]}")
            check(web.ask(f"/GET/{path}.txt").body == value, f"GET of {key[:9]}")
            equal(web.json(f"/STRLEN/{path}"), {"STRLEN": len(value)})
        check(web.ask("/GET/large.raw").body == b"$1048576\r\n" + large + b"\r\n", "its raw form")
        answer = web.json("/SET/large", body=large + b"x", method="PUT")
        equal(answer, {"SET": [False, "ERR value exceeds max-value-size (1048576 bytes)"]})
        equal(web.json(f"/SET/{quoted(b'empty')}", body=b"", method="PUT").keys(), {"SET"})
        equal(web.json("/7/SET/there/x"), {"SET": [True, "OK"]})
        equal([web.json("/7/GET/there"), web.json("/GET/there")], [{"GET": "x"}, {"GET": None}])
        equal([c.ask("SELECT 7"), c.ask("GET there")], [OK, b"x"])


@test
def expiry():
    """webdis: SETEX, EXPIRE, TTL, PTTL, PERSIST, and what has expired is gone"""
    with Server() as server, webdis(server) as web:
        equal(web.json("/SETEX/a/100/v"), {"SETEX": [True, "OK"]})
        check(50 < web.json("/TTL/a")["TTL"] <= 100 and 50_000 < web.json("/PTTL/a")["PTTL"] <= 100_000, "its TTL")
        equal([web.json("/PERSIST/a"), web.json("/TTL/a"), web.json("/TTL/none")],
              [{"PERSIST": 1}, {"TTL": -1}, {"TTL": -2}])
        equal([web.json("/EXPIRE/a/50"), web.json("/EXPIRE/none/50")], [{"EXPIRE": 1}, {"EXPIRE": 0}])
        check(2 <= web.json("/TTL/a")["TTL"] <= 50, "its TTL")
        equal([web.json("/SET/b/v/PX/40"), web.json("/GETEX/a/PERSIST")], [{"SET": [True, "OK"]}, {"GETEX": "v"}])
        until(lambda: web.ask("/GET/b.txt").status == 404, 10, "it expires")
        equal(web.json("/GET/a"), {"GET": "v"})


@test
def information():
    """webdis: INFO as an object, and its numbers are those of the server"""
    with Server("--maxmemory", "32mb") as server, webdis(server) as web:
        web.json("/MSET/a/1/b/2")
        def info(path):
            """It leaves the heading of a section in the name of the first field."""
            return {key.split("\n")[-1]: value for key, value in web.json(path)["INFO"].items()}

        server_info = info("/INFO")
        equal({k: server_info.get(k) for k in ("maxmemory", "tcp_port", "role", "process_id", "maxmemory_policy")},
              {"maxmemory": str(32 << 20), "tcp_port": str(server.port), "role": "master",
               "process_id": str(server.pid), "maxmemory_policy": "allkeys-lru"})
        check(server_info["db0"].startswith("keys=2,expires=0"), server_info["db0"])
        check(info("/INFO/commandstats")["cmdstat_mset"].startswith("calls=1,"), "the commands")
        check(web.ask("/INFO.txt").body.startswith(b"# Server\r\n"), "INFO as text")


@test
def access():
    """webdis: its ACL lets pass and refuses; redis_auth with the password, and a wrong one says so"""
    acl = [{"disabled": ["FLUSHALL", "CONFIG", "SHUTDOWN"]},
           {"http_basic_auth": "user:password", "enabled": ["CONFIG"]}]
    user = {"Authorization": "Basic " + base64.b64encode(b"user:password").decode()}
    with Server("--requirepass", "se/cret", "--maxclients", 77) as server:
        with webdis(server, redis_auth="se/cret", acl=acl) as web:
            equal(web.json("/SET/a/b"), {"SET": [True, "OK"]})
            equal([web.ask(f"/{name}").status for name in ("FLUSHALL", "SHUTDOWN", "CONFIG/GET/maxclients")], [403] * 3)
            equal(web.ask("/FLUSHALL", headers=user).status, 403)
            equal(web.json("/CONFIG/GET/maxclients", headers=user), {"CONFIG": ["maxclients", "77"]})
            equal(web.json("/GET/a"), {"GET": "b"})
        for wrong in ({"redis_auth": "cret"}, {}):
            with webdis(server, **wrong) as web:
                got = web.ask("/GET/a")
                check(got.status == 503 or b"NOAUTH" in got.body, f"{got.status} {got.body}")


@test
def unix_socket():
    """webdis: by the unix socket, the server without a TCP port"""
    with Server() as other:  # for its folder
        path = os.path.join(other.folder, "socket")
        with Server("--unixsocket", path), webdis(other, path) as web:
            equal(web.json("/SET/a/socket"), {"SET": [True, "OK"]})
            equal(web.json("/GET/a"), {"GET": "socket"})
        with other.connect() as c:
            equal(c.ask("GET a"), None)


@test
def pipelined():
    """webdis: 2,000 requests pipelined on one connection are answered, in webdis' own order"""
    with Server() as server, webdis(server) as web:
        with socket.create_connection(("127.0.0.1", web.port), 20 * PATIENCE) as s:
            def answers():
                with s.makefile("rb") as f:
                    while True:
                        line = f.readline()
                        equal(line, b"HTTP/1.1 200 OK\r\n")
                        length = 0
                        while line.strip():
                            line = f.readline()
                            if line.lower().startswith(b"content-length:"):
                                length = int(line.split(b":")[1])
                        yield f.read(length)

            # In front of a redis-server, too, it answers pipelined requests in an order that is not theirs.
            answered = answers()
            for path in ("SET/p:{0}/v{0}", "GET/p:{0}.txt"):
                sender = threading.Thread(target=s.sendall, args=(b"".join(
                    f"GET /{path.format(i)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for i in range(1000)),))
                sender.start()
                got = sorted(next(answered) for _ in range(1000))
                sender.join()
                equal(got, sorted(f"v{i}".encode() for i in range(1000)) if "txt" in path
                      else [b'{"SET":[true,"OK"]}'] * 1000)


@test(seconds=60)
def parallel():
    """webdis: 50 connections at once, 100 requests each, every one with the right answer"""
    with Server() as server, server.connect() as c, webdis(server) as web:
        wrong, done = [], []

        def client(number):
            own = random.Random(number)
            try:
                for i in range(50):
                    key, value = f"c{number}:{own.randrange(20)}", str(own.randrange(10 ** 9))
                    equal(web.json(f"/SET/{key}/{value}"), {"SET": [True, "OK"]})
                    equal(web.json(f"/GET/{key}"), {"GET": value})
                    equal(web.json("/INCR/all").keys(), {"INCR"})
                    done.append(i)
            except Exception as e:
                wrong.append(repr(e))

        threads = [threading.Thread(target=client, args=(i,)) for i in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(wrong, [])
        equal([len(done), c.ask("GET all")], [2500, b"2500"])


@test
def restart():
    """webdis: 503 while the server is away, and answers again when it is back"""
    with Server(port=free_port()) as server, webdis(server) as web:
        equal(web.json("/SET/a/before"), {"SET": [True, "OK"]})
        server.stop()
        until(lambda: web.ask("/GET/a").status == 503, 20, "it says that the server is away")
        with Server(port=server.port) as again, again.connect() as c:
            equal(c.ask("SET a after"), OK)
            until(lambda: web.ask("/GET/a").body == b'{"GET":"after"}', 30, "it is connected again")
            until(lambda: all(web.ask("/GET/a").status == 200 for _ in range(100)), 30, "by all its connections")
