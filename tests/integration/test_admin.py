"""test_admin.py -- the admin endpoint in the server: where it listens, who else waits for it, what it leaves behind.

What it answers to which bytes is tested without a server, in tests/test_admin.c."""
import http.client
import socket
import struct
import threading
import time

from harness import FATNESS, MB, PATIENCE, SERVER, Connection, Process, Server, check, equal, free_port, test, until

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def get(port, path, host="127.0.0.1", seconds=60):
    """(status, body)."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds * PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@test
def admin_addresses():
    """--admin-bind: several addresses, IPv4 and IPv6; without --admin-port there is no endpoint."""
    port = free_port()
    with Server("--admin-port", port, "--admin-bind", "127.0.0.1 127.0.0.3 ::1") as server:
        for host in ("127.0.0.1", "127.0.0.3", "::1"):
            equal(get(port, "/readyz", host), (200, "ok\n"), host)
        check(not refused(server.address), "the server answers beside it")
        check(refused(("127.0.0.2", port)), "an address that is not named is not listened on")
    with Server() as server:
        check(refused(("127.0.0.1", port)), "there is no endpoint where none is asked for")
    with Server(env={"SPONSON_ADMIN_PORT": str(port)}, config="admin-bind 127.0.0.3\n") as server:
        equal(get(port, "/healthz", "127.0.0.3"), (200, "ok\n"))


def refused(address):
    try:
        socket.create_connection(address, 20).close()
        return False
    except ConnectionRefusedError:
        return True


@test
def admin_port_in_use():
    """A second process on the same admin port says so and ends with 1; so does one whose two ports are one."""
    port = free_port()
    with Server("--admin-port", port) as server:
        for flags in (["--port", str(free_port()), "--admin-port", str(port)],
                      ["--port", str(server.port), "--admin-port", str(free_port())]):
            second = Process([SERVER, *flags])
            try:
                second.ended(1)
                taken = flags[3] if flags[3] == str(port) else flags[1]
                for part in ("127.0.0.1", taken, "Address already in use"):
                    check(part in second.stderr(), f"{part} is not in: {second.stderr()}")
            finally:
                second.kill()
        equal(get(port, "/healthz"), (200, "ok\n"))
    own = str(free_port())
    alone = Process([SERVER, "--port", own, "--admin-port", own])
    try:
        alone.ended(1)
        check("Address already in use" in alone.stderr() and own in alone.stderr(), alone.stderr())
    finally:
        alone.kill()


@test
def admin_crowd():
    """1,000 connections that are silent or send a byte now and then: who comes from elsewhere is answered in time.

    Clients do not wait, and no descriptor is left behind."""
    port = free_port()
    with Server("--admin-port", port) as server, server.connect() as c:
        equal(c.ask("PING"), "PONG")
        before = server.descriptors()

        def come():
            one = Connection(("127.0.0.1", port), source="127.0.0.9")
            one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its port is free at once
            return one

        crowd = [come() for _ in range(1000)]
        stop = threading.Event()
        rounds = []

        def drip():
            while not stop.wait(0.02):
                rounds.append(1)
                for i in range(0, 1000, 2):
                    try:
                        crowd[i].send(b"G")
                    except OSError:  # it was closed for another one, and comes again
                        crowd[i].close()
                        crowd[i] = come()
                    if stop.is_set():
                        break

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with Connection(("127.0.0.1", port)) as scraper:
                while len(rounds) < 10:
                    started = time.monotonic()
                    equal(get(port, "/healthz")[0], 200)
                    scraper.send(HEALTH)
                    equal(scraper.line(), b"HTTP/1.1 200 OK")
                    while scraper.line():
                        pass
                    equal(scraper.exactly(3), b"ok\n")
                    equal(c.ask("PING"), "PONG")
                    check(time.monotonic() - started < 20 * PATIENCE, "an answer took 20 s")
        finally:
            stop.set()
            thread.join()
            for one in crowd:
                one.close()
        until(lambda: server.descriptors() == before, 20, lambda: f"{server.descriptors()} descriptors, not {before}")


@test
def admin_memory():
    """Sixteen connections that stay open after a scrape each hold none of its memory."""
    port = free_port()
    with Server("--admin-port", port, "--maxmemory", "64mb") as server:
        equal(get(port, "/metrics")[0], 200)
        before = server.resident()
        scrapers = [http.client.HTTPConnection("127.0.0.1", port, timeout=20 * PATIENCE) for _ in range(16)]
        for _ in range(5):
            for one in scrapers:
                one.request("GET", "/metrics")
                answer = one.getresponse()
                equal(answer.status, 200)
                check(answer.read().endswith(b"\n"), "the text ends in a line")
        check(server.resident() - before < MB * FATNESS, f"{server.resident() - before} bytes more are resident")
        for one in scrapers:
            one.close()


@test
def admin_end():
    """The server ends in time while somebody is connected, and while somebody does not read his answers."""
    port = free_port()
    with Server("--admin-port", port) as server:
        with Connection(("127.0.0.1", port)) as idle, Connection(("127.0.0.1", port)) as deaf:
            idle.send(HEALTH)
            equal(idle.line(), b"HTTP/1.1 200 OK")
            deaf.socket.settimeout(0.2)
            try:
                while True:
                    deaf.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            except TimeoutError:  # it reads no more requests, as its answers are not read
                pass
            server.stop()
