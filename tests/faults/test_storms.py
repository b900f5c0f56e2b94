"""test_storms.py -- ten thousand connections at once, over and over; ten thousand requests that stop in the middle."""
import resource
import select
import socket
import time

from faults import GROWTH, Traces
from harness import MB, PATIENCE, Pinger, Server, check, equal, request, test, until
from load import RESET, Load

COUNT = 10000
ROUNDS = 6
STALL_S = 10  # bound on what another client waits; 0.1 is the aim on a machine with nothing else to do


def allow_descriptors():
    need = COUNT + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    check(hard == resource.RLIM_INFINITY or hard >= need, f"the limit of open files is {hard}; this takes {need}")
    if soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


class Storm:
    """Connections that are all asked for at once."""

    def __init__(self, server, source):
        self.poller = select.epoll()
        self.sockets = {}
        for _ in range(COUNT):
            s = socket.socket()
            s.setblocking(False)
            s.bind((source, 0))  # one address a round, lest ports that were used just now run out
            s.connect_ex(server.address)
            self.sockets[s.fileno()] = s

    def wait(self, events, what):
        """Waits until each has one of these events."""
        for fd in self.sockets:
            self.poller.register(fd, events | select.EPOLLONESHOT)
        left = set(self.sockets)
        deadline = time.monotonic() + 40 * PATIENCE
        while left:
            check(time.monotonic() < deadline, f"{len(left)} of {COUNT} connections are not {what}")
            for fd, event in self.poller.poll(0.1):
                check(not event & select.EPOLLERR, f"a connection is refused before it is {what}")
                left.discard(fd)
        for fd in self.sockets:
            self.poller.unregister(fd)

    def send(self, data):
        """Each sends what data(number) says."""
        for i, s in enumerate(self.sockets.values()):
            s.send(data(i))

    def read(self, want):
        self.wait(select.EPOLLIN, "answered")
        for s in self.sockets.values():
            equal(s.recv(4096), want)

    def close(self, resets=lambda i: False):
        for i, s in enumerate(self.sockets.values()):
            if resets(i):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            s.close()
        self.poller.close()


def storm(server, c, kind, source, before):
    """One storm. Of kind 0 all are answered and close, of 1 leave within a request, of 2 leave before they are seen."""
    them = Storm(server, source)
    if kind < 2:
        them.wait(select.EPOLLOUT, "connected")
        them.send(lambda i: b"PING\r\n")
        them.read(b"+PONG\r\n")
        check(int(c.info()["connected_clients"]) >= COUNT + before - 5, c.info()["connected_clients"])
    if kind == 1:
        them.send(lambda i: request("SET", f"k{i}", "v" * 100)[:-50])
    them.close(lambda i: kind and i % 2)
    until(lambda: int(c.info()["connected_clients"]) <= before, 20, "they are gone")


@test(seconds=180)
def storms():
    """Storms of 10,000 connections, opened and closed at once, leave no trace, and other clients are served."""
    allow_descriptors()
    with Server("--threads", "1") as idle, Server("--threads", "2", "--maxclients", str(COUNT + 100)) as server, \
            server.connect() as c:
        traces = Traces(server, c)
        began = time.monotonic()
        with Pinger(idle, 99) as machine, Pinger(server, STALL_S) as pinger:
            with Load(server, clients=2) as load:  # no value is lost or wrong; it takes memory of its own
                for kind in range(3):
                    storm(server, c, kind, f"127.0.1.{kind}", len(load.clients) + 2)
                    load.proceeds()
                equal(load.lost, 0)
            resident = server.resident()
            for i in range(ROUNDS):
                storm(server, c, i % 3, f"127.0.2.{i}", 2)
        until(lambda: server.resident() - resident < MB, 20,
              lambda: f"resident memory grew by {(server.resident() - resident) // 1024} KB in the last {ROUNDS} storms")
        grown = server.resident() - resident
        seconds = time.monotonic() - began
        info = c.info()
        equal(info["rejected_connections"], "0")
        equal(c.ask("FLUSHALL"), "OK")
        traces.back(GROWTH)
        print(f"# {info['total_connections_received']} connections accepted in {ROUNDS + 3} storms, {seconds:.1f} s; "
              f"another client waited for {1000 * pinger.longest:.0f} ms at most, one of an idle server beside it "
              f"{1000 * machine.longest:.0f}; resident memory grew by {grown // 1024} KB in the last {ROUNDS}")


@test(seconds=120)
def storm_above_maxclients():
    """A storm of ten times maxclients: those above it are told so, those within it are served, none is lost."""
    allow_descriptors()
    with Server("--threads", "2", "--maxclients", "1000") as server, server.connect() as c:
        traces = Traces(server, c)
        with Pinger(server, STALL_S) as pinger, Load(server, clients=2) as load:
            them = Storm(server, "127.0.2.1")
            them.wait(select.EPOLLOUT | select.EPOLLIN, "connected")
            for s in them.sockets.values():
                try:
                    s.send(b"PING\r\n")
                except OSError:
                    pass  # told already, and closed
            until(lambda: int(c.info()["rejected_connections"]) > COUNT - 1000, 30, "those too many are refused")
            them.close()
            load.proceeds()
        traces.back(GROWTH)
        print(f"# {c.info()['rejected_connections']} refused; another client waited for "
              f"{1000 * pinger.longest:.0f} ms at most")


@test(seconds=120)
def half_open_requests():
    """Ten thousand requests that stop in the middle cost their bytes, no more, and are answered once they go on."""
    allow_descriptors()
    with Server("--threads", "2", "--maxclients", str(COUNT + 100)) as server, server.connect() as c:
        traces = Traces(server, c)
        whole = request("SET", "k", "v" * 150)
        half = len(whole) // 2
        them = Storm(server, "127.0.3.1")
        them.wait(select.EPOLLOUT, "connected")
        them.send(lambda i: b"PING\r\n")
        them.read(b"+PONG\r\n")
        before, idle = server.resident(), server.resident() - traces.resident
        with Pinger(server, STALL_S) as pinger:
            them.send(lambda i: whole[:half])
            until(lambda: int(c.info()["mem_clients_normal"]) >= COUNT * half, 30, "all is read")
            buffers = int(c.info()["mem_clients_normal"]) / COUNT
            resident = (server.resident() - before) / COUNT
            them.send(lambda i: whole[half:])
            them.read(b"+OK\r\n")
        print(f"# a connection that holds {half} bytes of a request: {buffers:.0f} bytes of buffers, "
              f"{resident:.0f} more are resident ({idle / COUNT:.0f} when it is idle); another client waited for "
              f"{1000 * pinger.longest:.0f} ms at most")
        check(buffers < half + 768, "buffers")
        check(resident < half + 1536, "resident memory")
        them.close()
        equal(c.ask("FLUSHALL"), "OK")
        traces.back(GROWTH)
