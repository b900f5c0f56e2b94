"""test_connections.py -- connections that are lost, reset, cut off from the network, or stopped in the middle."""
import random
import socket
import threading

from faults import GROWTH, Namespace, Processor, Traces, run
from harness import OK, Pinger, Server, check, equal, request, test, until
from load import Load, reset


BIG = 500000         # bytes of a value that fills sockets
SOURCE = "127.0.0.2"  # where those come from that a rule is about


def iptables(*rule):
    run("iptables", "-w", *rule)


def begin(c, kind):
    """Leaves the connection in the middle of something."""
    if kind == 0:
        c.send(request("SET", "k", b"v" * 50000)[:random.randrange(1, 50000)])
    elif kind == 1:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send(request("GET big") * 20)  # replies that it does not read
    elif kind == 2:
        c.send(request("KEYS *") + request("GET big") * 3 + b"*1\r\n:")
    elif kind == 3:
        c.send(request("MULTI") + request("SET", "k", b"v" * 3000) * 20)
    elif kind == 4:
        c.send(request("WATCH big") + b"GET bi")


@test(seconds=60)
def lost_in_the_middle():
    """Clients that close, or reset, in the middle of requests and replies leave nothing behind."""
    with Server("--threads", "2", "--client-memory", "256mb") as server, server.connect() as c:
        equal(c.ask("SET", "big", b"v" * BIG), OK)
        traces = Traces(server, c)
        with Load(server) as load:
            for i in range(1000):
                other = server.connect()
                begin(other, i % 5)
                (reset if i % 2 else type(other).close)(other)
            load.proceeds()
            equal(load.lost, 0)
        equal(c.ask("STRLEN big"), BIG)
        equal(c.ask("FLUSHALL"), OK)
        traces.back(GROWTH)


@test(seconds=120)
def packets_are_lost():
    """With a tenth of all packets lost both ways, every request is answered, and rightly."""
    with Namespace(), Server("--threads", "2") as server, server.connect() as c:
        traces = Traces(server, c)
        iptables("-A", "INPUT", "-p", "tcp", "--dport", str(server.port), "-m", "statistic", "--mode", "random",
                 "--probability", "0.1", "-j", "DROP")
        iptables("-A", "INPUT", "-p", "tcp", "--sport", str(server.port), "-m", "statistic", "--mode", "random",
                 "--probability", "0.1", "-j", "DROP")
        with Load(server, patience=60) as load:
            dropped = 0
            while dropped <= 50:
                load.proceeds(40, 60)
                dropped = sum(int(line.split()[0]) for line in run("iptables", "-nvxL", "INPUT").splitlines()[2:])
            iptables("-F")
            load.proceeds(100)
            equal(load.lost, 0)
        print(f"# {dropped} packets lost, {load.requests} requests")
        traces.back()


@test(seconds=120)
def cut_off():
    """A client that is cut off in the middle of its replies holds up nobody, and goes on when the network is back."""
    with Namespace(), Server("--threads", "1") as server, server.connect() as c, \
            server.connect(600, SOURCE) as cut:
        equal(c.ask("SET", "big", b"v" * BIG), OK)
        cut.send(request("GET big") * 30)
        until(lambda: int(c.info()["mem_clients_normal"]) > 0, 10, "its socket is full")
        iptables("-A", "INPUT", "-s", SOURCE, "-j", "DROP")
        iptables("-A", "INPUT", "-d", SOURCE, "-j", "DROP")
        reader = threading.Thread(target=lambda: [equal(cut.read(), b"v" * BIG) for _ in range(30)], daemon=True)
        reader.start()
        with Pinger(server) as pinger, Load(server) as load:
            load.proceeds(200)
        Processor(server).check_rests(0.5)
        check(reader.is_alive(), "the network was not cut")
        iptables("-F")
        reader.join(200)  # the kernel tries again after as long as it was cut off, at most two minutes
        check(not reader.is_alive(), "the client that was cut off does not go on")
        equal(cut.ask("STRLEN big"), BIG)
        print(f"# another client waited for {1000 * pinger.longest:.1f} ms at most")


@test(seconds=60)
def reset_by_the_network():
    """Connections reset by the network, in any state, are freed; those that were not are served."""
    with Namespace(), Server("--threads", "2", "--client-memory", "256mb") as server, server.connect() as c:
        equal(c.ask("SET", "big", b"v" * BIG), OK)
        traces = Traces(server, c)
        with Load(server) as load:
            for round_ in range(4):
                others = [server.connect(source=SOURCE) for _ in range(100)]
                for i, other in enumerate(others):
                    begin(other, i % 5)
                equal(c.ask("PING"), "PONG")
                if round_ % 2:  # the server's sockets are aborted
                    run("ss", "-K", "-tn", "dst", SOURCE)
                else:  # what the server sends to them, if only to say that it has heard, is answered with a reset
                    iptables("-A", "INPUT", "-p", "tcp", "-d", SOURCE, "-j", "REJECT", "--reject-with", "tcp-reset")
                    for other in others:
                        other.send(b"PING\r\n")
                until(lambda: int(c.info()["connected_clients"]) <= 1 + 6, 20, "those that were reset are gone")
                iptables("-F")
                for other in others:
                    other.close()
                load.proceeds()
            equal(load.lost, 0)
        equal(c.ask("STRLEN big"), BIG)
        equal(c.ask("FLUSHALL"), OK)
        traces.back(GROWTH)


@test(seconds=60)
def a_byte_at_a_time():
    """Requests that come a byte at a time cost their bytes, are answered, and hold up nobody."""
    clients, bytes_ = 200, 1500
    with Server("--threads", "1") as server, server.connect() as c:
        traces = Traces(server, c)
        others = [server.connect() for _ in range(clients)]
        data = request("SET", "k%d", b"v" * bytes_)
        most = 0
        with Pinger(server) as pinger:
            for at in range(len(data)):
                for other in others:
                    other.send(data[at:at + 1])
                if at % 100 == 0:
                    most = max(most, int(c.info()["mem_clients_normal"]))
            for other in others:
                equal(other.read(), OK)
        print(f"# {most / clients:.0f} bytes of buffers for a client with up to {len(data)} bytes of a request; "
              f"another client waited for {1000 * pinger.longest:.1f} ms at most")
        check(most < clients * (4 * len(data) + 1024), f"{most} bytes of buffers")
        for other in others:
            other.close()
        traces.back(GROWTH)
