"""load.py -- clients that know what they must read, while faults go on around them.

Each client is a thread with keys of its own, and knows of each which value it holds. A value names its key and its
number and repeats that up to a length that follows from the number (value_of), so one that is another key's, an older
one, cut or shifted is noticed. A request whose connection was lost may or may not have been executed, now or later:
its keys are never used again, others take their place.

    with Load(server) as load:      clients connect, and again when they lose their connection
        ...                         load.lost, load.requests, load.connections: so far
        load.proceeds()             waits until each client has been answered again
    the end checks that no reply was wrong (load.trouble) and no value lost, and that no client is stuck

What a client does is drawn from STEPS: single requests, pipelines, transactions, large values in two parts, replies
that are read late, requests that are broken off by a reset, deadlines.
"""
import random
import socket
import struct
import threading
import time

from harness import OK, PATIENCE, Closed, Connection, Error, check, request, shown, until

KEYS = 40        # of each client
LARGE = 120000   # bytes of a large value
LATE_S = 2       # a value may be read so long after its deadline, a loaded machine being slow
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets the connection


class Wrong(Exception):
    """A reply that must not be."""


class Refused(Closed):
    """The server had no room for one more client, and said so."""


class Counted(Connection):
    """A connection that may be refused where clients are too many."""

    def read(self):
        got = super().read()
        if isinstance(got, Error) and got.startswith(("ERR max number of clients", "ERR the system gives no")):
            raise Refused(got)
        return got


def value_of(key, number):
    """The value with this number of this key."""
    part = b"%s:%d;" % (key, number)
    kind = number % 16
    size = 20 if kind < 11 else 3000 if kind < 15 else LARGE
    return part * (1 + (size + number % 97) // len(part))


def check_value(key, got):
    """That this is a whole value of this key; returns its number."""
    try:
        name, number = got[:got.index(b";")].rsplit(b":", 1)
        if name == key and got == value_of(key, int(number)):
            return int(number)
    except (ValueError, TypeError, AttributeError):
        pass
    raise Wrong(f"{key.decode()} is {shown(got)}")


def reset(c):
    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    c.close()


class Client(threading.Thread):
    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.random = random.Random(f"{load.seed}:{number}")
        self.count = 0         # values ever made
        self.keys = [b"%s:%d:%d:0" % (load.name, number, i) for i in range(KEYS)]
        self.holds = [None] * KEYS  # number of the value that the key holds
        self.unsure = set()    # keys of the requests under way
        self.answered = self.connections = self.lost = self.refused = 0
        self.longest = 0.0

    # ---- the thread ----

    def run(self):
        while not self.load.stopping.is_set():
            c = None
            try:
                c = self.load.connect()
                self.connections += 1
                while not self.load.stopping.is_set():
                    began = time.monotonic()
                    keep = self.step(c)
                    self.longest = max(self.longest, time.monotonic() - began)
                    if not keep:
                        break
                    self.unsure.clear()
            except TimeoutError:
                self.load.trouble.append(f"client {self.number}: no reply in {c.socket.gettimeout() if c else '?'} s")
                return
            except Refused:
                self.refused += 1
            except ConnectionRefusedError:
                self.load.stopping.wait(0.01)
            except (Closed, OSError):
                self.lost += 1
            except Wrong as e:
                self.load.trouble.append(f"client {self.number}: {e}")
                return
            except Exception as e:
                self.load.trouble.append(f"client {self.number}: {e!r}")
                return
            finally:
                for i in self.unsure:  # what became of it is not known, and may be decided later
                    name, age = self.keys[i].rsplit(b":", 1)
                    self.keys[i] = b"%s:%d" % (name, int(age) + 1)
                    self.holds[i] = None
                self.unsure.clear()
                if c:
                    c.close()

    def step(self, c):
        """One of STEPS; False: the connection is to be closed."""
        return self.random.choices(STEPS, WEIGHTS)[0](self, c) is not False

    def read(self, c):
        got = c.read()
        self.answered += 1
        return got

    # ---- requests and what they must answer ----

    def draw(self):
        return self.random.randrange(KEYS)

    def set(self, i):
        self.count += 1
        self.unsure.add(i)
        return request("SET", self.keys[i], value_of(self.keys[i], self.count)), self.count

    def was_set(self, i, number, got):
        if got != OK:
            raise Wrong(f"SET {self.keys[i].decode()}: {shown(got)}")
        self.holds[i] = number

    def was_read(self, i, got, holds):
        key = self.keys[i]
        if got is None and (holds is None or self.load.lossy):
            return
        if got is None:
            raise Wrong(f"{key.decode()} is lost, it held {holds}")
        number = check_value(key, got)
        if number != holds:
            raise Wrong(f"{key.decode()} holds {number}, not {holds}")

    def one(self, c):
        """SET, GET or DEL, each alone."""
        i = self.draw()
        kind = self.random.randrange(10)
        if kind < 4:
            data, number = self.set(i)
            c.send(data)
            self.was_set(i, number, self.read(c))
        elif kind < 9:
            c.send(request("GET", self.keys[i]))
            self.was_read(i, self.read(c), self.holds[i])
        else:
            self.unsure.add(i)
            c.send(request("DEL", self.keys[i]))
            got = self.read(c)
            if got != (self.holds[i] is not None) and not (got == 0 and self.load.lossy):
                raise Wrong(f"DEL {self.keys[i].decode()}: {shown(got)}, it held {self.holds[i]}")
            self.holds[i] = None

    def several(self, c, before=(), after=(), count=None):
        """A pipeline of SET and GET."""
        data, steps = list(before), []
        holds = list(self.holds)
        for _ in range(count or self.random.randrange(2, 30)):
            i = self.draw()
            if self.random.random() < 0.4:
                bytes_, holds[i] = self.set(i)
                steps.append((i, holds[i], True))
            else:
                bytes_ = request("GET", self.keys[i])
                steps.append((i, holds[i], False))
            data.append(bytes_)
        c.send(b"".join(data + list(after)))
        replies = None
        if before:
            for _ in range(1 + len(steps)):
                self.read(c)  # OK, QUEUED ...
            got = self.read(c)
            if self.load.scarce and isinstance(got, Error) and got.startswith("EXECABORT"):
                return  # nothing of it was done
            if not isinstance(got, list):
                raise Wrong(f"EXEC: {shown(got)}")
            replies = iter(got)
        for i, number, is_set in steps:
            got = next(replies, None) if before else self.read(c)
            if is_set:
                self.was_set(i, number, got)
            else:
                self.was_read(i, got, number)

    def transaction(self, c):
        """The same within MULTI and EXEC."""
        self.several(c, [request("MULTI")], [request("EXEC")], self.random.randrange(1, 6))

    def many(self, c):
        """MGET of all keys."""
        c.send(request("MGET", *self.keys))
        got = self.read(c)
        if not isinstance(got, list) or len(got) != KEYS:
            raise Wrong(f"MGET: {shown(got)}")
        for i, value in enumerate(got):
            self.was_read(i, value, self.holds[i])

    def in_two(self, c):
        """A large value that comes in two parts, another client's requests between them."""
        i = self.draw()
        self.count += -self.count % 16 + 14  # the next one is large
        data, number = self.set(i)
        cut = self.random.randrange(1, len(data))
        c.send(data[:cut])
        self.load.stopping.wait(0.001)
        c.send(data[cut:])
        self.was_set(i, number, self.read(c))

    def late(self, c):
        """Many replies that are read only once their requests are sent: the server's socket gets full."""
        i = self.draw()
        count = 400 if self.holds[i] is None or self.holds[i] % 16 != 15 else 40
        c.send(request("GET", self.keys[i]) * count)
        for _ in range(count):
            self.was_read(i, self.read(c), self.holds[i])

    def broken_off(self, c):
        """A request, or its replies, broken off by a close or a reset."""
        i = self.draw()
        data, _ = self.set(i)
        kind = self.random.randrange(4)
        if kind == 0:
            c.send(data[:self.random.randrange(1, len(data))])
        elif kind == 1:
            c.send(data)
        else:
            c.send(request("GET", self.keys[i]) * 50)
        if kind % 2:
            reset(c)
        return False

    def leave(self, c):
        """A new connection."""
        return False

    def deadline(self, c):
        """A key with a deadline, and what became of an earlier one."""
        key = b"%s:%d:ttl" % (self.load.name, self.number)
        if self.random.random() < 0.3 or not hasattr(self, "ends"):
            self.count += 1
            life = self.random.choice((30, 300, 3000))
            began = time.monotonic()
            c.send(request("SET", key, value_of(key, self.count), "PX", life))
            self.ends = None
            if self.read(c) != OK:
                raise Wrong("SET PX")
            self.ends = (began + life / 1000, time.monotonic() + life / 1000)
            return
        asked = time.monotonic()
        c.send(request("GET", key))
        got = self.read(c)
        if got is not None:
            check_value(key, got)
        if self.load.clock_jumps or self.load.lossy or self.ends is None:
            return
        if got is None and time.monotonic() < self.ends[0] - 0.1:
            raise Wrong(f"{key.decode()} went {self.ends[0] - time.monotonic():.2f} s before its deadline")
        if got is not None and asked > self.ends[1] + LATE_S * PATIENCE:
            raise Wrong(f"{key.decode()} is there {asked - self.ends[1]:.2f} s after its deadline")


STEPS, WEIGHTS = zip((Client.one, 40), (Client.several, 15), (Client.transaction, 6), (Client.many, 2),
                     (Client.in_two, 6), (Client.late, 2), (Client.deadline, 10), (Client.leave, 1),
                     (Client.broken_off, 1))


class Load:
    """Clients at work, each a thread. `lossy`: values may be gone; `scarce`: no memory to queue a transaction is no
    fault; `clock_jumps`: deadlines are not looked at."""

    def __init__(self, server, clients=6, lossy=False, scarce=False, clock_jumps=False, name=b"load", patience=20):
        self.address = server.address
        self.lossy = lossy
        self.scarce = scarce
        self.clock_jumps = clock_jumps
        self.name = name
        self.seed = random.randrange(1 << 30)
        self.patience = patience
        self.trouble = []
        self.stopping = threading.Event()
        self.clients = [Client(self, i) for i in range(clients)]

    def connect(self):
        return Counted(self.address, self.patience)

    requests = property(lambda self: sum(c.answered for c in self.clients))
    connections = property(lambda self: sum(c.connections for c in self.clients))
    lost = property(lambda self: sum(c.lost for c in self.clients))
    refused = property(lambda self: sum(c.refused for c in self.clients))
    longest = property(lambda self: max(c.longest for c in self.clients))

    def check(self):
        check(not self.trouble, f"(seed {self.seed}) " + "\n".join(self.trouble[:5]))

    def proceeds(self, requests=10, seconds=20):
        """Waits until every client has been answered so many times more."""
        want = [c.answered + requests for c in self.clients]
        until(lambda: self.trouble or all(c.answered >= n for c, n in zip(self.clients, want)), seconds,
              lambda: f"{sum(c.answered < n for c, n in zip(self.clients, want))} of {len(want)} are not served")
        self.check()

    def __enter__(self):
        for c in self.clients:
            c.start()
        try:
            self.proceeds()
        except BaseException:
            self.stopping.set()
            raise
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        for c in self.clients:
            c.join(30 * PATIENCE if kind is None else 1)
        if kind is None:
            self.check()
            check(not any(c.is_alive() for c in self.clients), "a client is stuck")
