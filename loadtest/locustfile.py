"""locustfile.py -- users who PUT and GET through raw RESP sockets, and distrust every reply.

    locust -f loadtest/locustfile.py --host tcp://127.0.0.1:7171

Owns    one socket a user, and a latency histogram a process (Locust's own percentiles end at 1 ms).

A value says of itself which key it was stored under, which of 256 variants it is and how long it is; the bytes after
that head are cut from one pseudo-random pad at a place that all three decide:

    17:203:100:.....................................
    |  |   |   the pad from offset_of(17, 203, 100) on
    |  |   length in bytes, head included
    |  variant: every PUT draws one, so that an overwrite changes bytes and length
    key id

True    any process can judge any value without knowing who stored it, or when: value_for() of the head is the value, or
        the server has mixed up keys, cut a value short, or shown one half overwritten.
        A request ends in exactly one entry of Locust's statistics; a reply that was not asked for, a wrong value, an
        error reply and a lost connection are failures there.
Threads none; each user is a greenlet.   Time: microseconds inside, milliseconds towards Locust.
Failure a bad setting ends the program with one sentence before any user starts.
"""

import csv
import functools
import hashlib
import logging
import math
import os
import random
import socket
import sys
import time

import gevent
import locust
import locust.runners
import locust.stats
from locust import User, events

log = logging.getLogger("loadtest")

# Debian ships Locust with an empty version, and a master refuses every worker whose version is empty.
if not locust.runners.__version__:
    locust.runners.__version__ = locust.__version__ or "unknown"

locust.stats.CSV_STATS_FLUSH_INTERVAL_SEC = 1  # 10 by default: a short run would leave an empty history
locust.stats.CONSOLE_STATS_INTERVAL_SEC = 5  # 2 by default: more table than progress

# ---- settings: environment variables ----

KEYS_MAX = 10**9
VALUE_SIZE_MIN = 24  # bytes: the longest head, "999999999:255:67108864:", and one byte of the pad
VALUE_SIZE_MAX = 64 << 20  # bytes: every process holds a pad of this size
PIPELINE_MAX = 10000  # requests of one write


def bad(name, text, allowed):
    return ValueError(f"{name} is '{text}', but it must be {allowed}.")


def whole_number(environment, name, default, low, high):
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise bad(name, text, f"a whole number from {low} to {high}")
    return int(text)


def number(environment, name, default, low, high):
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise bad(name, text, f"a number from {low} to {high}")
    return value


def number_range(environment, name, default, kind, low, high, unit):
    """`5` or `1-9`, as (5, 5) or (1, 9)."""
    text = environment.get(name) or default
    first, dash, last = text.partition("-")
    try:
        least, most = kind(first), kind(last if dash else first)
    except ValueError:
        least, most = high, low
    if not low <= least <= most <= high:
        raise bad(name, text, f"{unit} from {low} to {high}, or a range MIN-MAX of them")
    return least, most


class Settings:
    def __init__(self, environment):
        self.keys = whole_number(environment, "KEYS", 100000, 1, KEYS_MAX)
        self.value_sizes = number_range(environment, "VALUE_SIZE", "100", int, VALUE_SIZE_MIN, VALUE_SIZE_MAX, "bytes")
        self.get_share = number(environment, "GET_SHARE", 0.9, 0, 1)
        self.pipeline = whole_number(environment, "PIPELINE", 16, 0, PIPELINE_MAX)
        self.pipeline_share = number(environment, "PIPELINE_SHARE", 0.1, 0, 1) if self.pipeline else 0.0
        # A request a second and user: 10,000 users are then 10,000 requests/s, which two cores shared with the
        # server can ask for and check. The spread keeps users who were spawned together from staying together.
        self.wait_s = number_range(environment, "WAIT", "0.5-1.5", float, 0, 3600, "seconds")
        self.timeout_s = number(environment, "TIMEOUT", 10, 0.001, 3600)
        self.password = environment.get("PASSWORD", "").encode()
        self.summary_csv = environment.get("SUMMARY_CSV", "")


@functools.lru_cache(maxsize=8)
def address_of(host):
    """`tcp://HOST:PORT`, `HOST:PORT` or `unix:///PATH` as (family, address). Names are resolved here, once."""
    if host.startswith("unix://"):
        if not host[7:].startswith("/"):
            raise ValueError(f"host is '{host}', but unix:// needs an absolute path: unix:///run/sponson.sock.")
        return socket.AF_UNIX, host[7:]
    place = host[6:] if host.startswith("tcp://") else host
    name, colon, port = place.rstrip("/").rpartition(":")
    if "/" in place.rstrip("/") or not colon or not name or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"host is '{host}', but it must be tcp://HOST:PORT, HOST:PORT or unix:///PATH.")
    try:
        found = socket.getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"host is '{host}', and its name cannot be resolved: {error.strerror}.") from error
    return found[0][0], found[0][4]


try:
    settings = Settings(os.environ)
except ValueError as error:
    sys.exit(f"locustfile.py: {error}")

# ---- keys and values ----

PAD_OFFSETS = 1 << 16
VARIANTS = 256



def pad_for(length):
    """The pad that values of up to `length` bytes are cut from. What SHAKE gives for a small size is the beginning of
    what it gives for a large one: processes with different VALUE_SIZE agree on every byte that both have."""
    return hashlib.shake_128(b"sponson load test").digest(PAD_OFFSETS + length)


pad = pad_for(settings.value_sizes[1])


def key_for(key):
    return b"load:%d" % key


def offset_of(key, variant, length):
    return (key * 40503 + variant * 2654435761 + length * 97) % PAD_OFFSETS


def value_for(key, variant, length):
    global pad
    if len(pad) < PAD_OFFSETS + length:  # stored by a run with a larger VALUE_SIZE
        pad = pad_for(length)
    head = b"%d:%d:%d:" % (key, variant, length)
    at = offset_of(key, variant, length)
    return head + pad[at : at + length - len(head)]


def some_key():
    return int(random.random() * settings.keys)


def some_value(key):
    least, most = settings.value_sizes
    length = least if least == most else random.randint(least, most)
    return value_for(key, int(random.random() * VARIANTS), length)


class WrongValue(Exception):
    """A value that was never stored under the key that was asked for. Its text is one of a few, since Locust keeps
    every different one; `detail` is for the log."""

    def __init__(self, text, key, value):
        super().__init__(text)
        self.detail = f"{key_for(key).decode()} is {value[:48]!r}, {len(value)} bytes"


def check_value(key, value):
    """Raises WrongValue unless `value` is one that value_for(key, ...) makes."""
    fields = value.split(b":", 3) if len(value) <= VALUE_SIZE_MAX else ()
    if len(fields) != 4 or not all(field.isdigit() and len(field) < 10 for field in fields[:3]):
        raise WrongValue("the value is none that this test stores", key, value)
    owner, variant, length = map(int, fields[:3])
    if owner != key:
        raise WrongValue("the value belongs to another key", key, value)
    if length != len(value):
        raise WrongValue("the value has the wrong length", key, value)
    if value != value_for(key, variant, length):
        raise WrongValue("the value has damaged bytes", key, value)


# ---- RESP ----

RECEIVE_BYTES = 16 << 10  # asked of one recv(); it is freed at once, an idle user holds none
RECEIVE_BYTES_MAX = 1 << 20  # for the rest of a long value
LINE_BYTES_MAX = 64 << 10
SEND_BYTES = 64 << 10  # what the sockets' buffers hold in any case


class BadReply(Exception):
    """Bytes that are no reply, or none to this request. Nothing after them on the connection can be trusted."""


class ErrorReply(Exception):
    """The server answered, and the answer is an error."""


class ConnectionLost(OSError):
    pass


def encode(*argv):
    parts = [b"*%d\r\n" % len(argv)]
    for argument in argv:
        parts.append(b"$%d\r\n%b\r\n" % (len(argument), argument))
    return b"".join(parts)


def encode_get(key):
    return encode(b"GET", key_for(key))


def encode_put(key):
    return encode(b"PUT", key_for(key), some_value(key))


class Connection:
    """A connected socket, and the bytes received from it that no reply has used: data[at:]."""

    __slots__ = ("socket", "data", "at")

    def __init__(self, connected):
        self.socket = connected
        self.data = b""
        self.at = 0

    def send(self, request):
        """A long request is sent while replies are read: a server that reads no further until its replies are taken
        is right to, and must not find a client that takes no reply until its request is read."""
        if len(request) <= SEND_BYTES:
            self.socket.sendall(request)
        else:
            gevent.spawn(self._send_beside, request)

    def _send_beside(self, request):
        try:
            self.socket.sendall(request)
        except OSError:
            pass  # who reads the replies meets it, too

    def close(self):
        self.socket.close()

    def reply(self):
        """(type byte, payload): a simple string, an error, or a bulk string, whose payload is None for `$-1`."""
        line = self._line()
        kind, payload = line[:1], line[1:]
        if kind in (b"+", b"-"):
            return kind, payload
        if kind != b"$":
            raise BadReply("the reply begins with none of + - $")
        if payload == b"-1":
            return kind, None
        if not payload.isdigit() or len(payload) > 9:
            raise BadReply("the length of the bulk string is no number")
        return kind, self._bulk(int(payload))

    def finish(self):
        """Call it when every reply has been read: there must not be more."""
        if self.at != len(self.data):
            raise BadReply("bytes follow the last reply")
        self.data, self.at = b"", 0

    def _receive(self, size, begun):
        chunk = self.socket.recv(size)
        if not chunk:
            where = "in the middle of a reply" if begun else "before the reply"
            raise ConnectionLost(f"the server closed the connection {where}")
        return chunk

    def _line(self):
        while True:
            end = self.data.find(b"\r\n", self.at)
            if end >= 0:
                line, self.at = self.data[self.at : end], end + 2
                return line
            if len(self.data) - self.at > LINE_BYTES_MAX:
                raise BadReply("a line has no end")
            begun = self.data[self.at :]
            self.data, self.at = begun + self._receive(RECEIVE_BYTES, bool(begun)), 0

    def _bulk(self, length):
        missing = length + 2 - (len(self.data) - self.at)
        if missing > 0:
            chunks = [self.data[self.at :]]
            while missing > 0:
                chunks.append(self._receive(min(max(missing, RECEIVE_BYTES), RECEIVE_BYTES_MAX), True))
                missing -= len(chunks[-1])
            self.data, self.at = b"".join(chunks), 0
        end = self.at + length
        if self.data[end : end + 2] != b"\r\n":
            raise BadReply("a bulk string does not end where its length says")
        value, self.at = self.data[self.at : end], end + 2
        return value


def connect(host):
    family, address = address_of(host)
    connected = socket.socket(family, socket.SOCK_STREAM)
    try:
        connected.settimeout(settings.timeout_s)
        if family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.connect(address)
        connection = Connection(connected)
        if settings.password:
            connection.send(encode(b"AUTH", settings.password))
            check_ok(connection.reply())
            connection.finish()
        return connection
    except BaseException:  # a user who is stopped while it connects, too, leaves no socket behind
        connected.close()
        raise


def check_ok(reply):
    kind, payload = reply
    if kind == b"-":
        raise ErrorReply(payload[:200].decode("latin-1"))
    if kind != b"+" or payload != b"OK":
        raise BadReply("the reply is not +OK")


def check_get(key, reply):
    """True for a hit, False for a miss; raises for everything else."""
    kind, payload = reply
    if kind == b"-":
        raise ErrorReply(payload[:200].decode("latin-1"))
    if kind != b"$":
        raise BadReply("the reply to GET is no bulk string")
    if payload is None:
        return False
    check_value(key, payload)
    return True


def check_replies(asked, replies):
    """What check_get() or check_ok() says of each, and None; or [] and the first failure, errors last of all."""
    verdicts, errors = [], []
    for key, reply in zip(asked, replies):
        try:
            verdicts.append(check_ok(reply) if key is None else check_get(key, reply))
        except ErrorReply as failure:
            errors.append(failure)
        except (BadReply, WrongValue) as failure:
            return [], failure
    return ([], errors[0]) if errors else (verdicts, None)


# ---- what this process has seen, and what its workers have ----


def bucket_of(us):
    """Eight significant bits: a bucket is less than 0.8 % wide."""
    shift = max(0, us.bit_length() - 8)
    return shift << 8 | us >> shift


def bucket_end_us(bucket):
    shift, top = bucket >> 8, bucket & 255
    return ((top + 1) << shift) - 1


def percentile_us(buckets, share):
    """The least latency that `share` of the requests did not exceed, 0 of none."""
    rank = math.ceil(share * sum(buckets.values()))
    for bucket in sorted(buckets):
        rank -= buckets[bucket]
        if rank <= 0:
            return bucket_end_us(bucket)
    return 0


class Tally:
    """Latency histograms by name of the requests that succeeded, and counts of keys whichever way they were asked."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.latency = {}  # name -> {bucket: requests}
        self.keys = {"hits": 0, "misses": 0, "stored": 0}

    def request(self, name, us):
        buckets = self.latency.setdefault(name, {})
        bucket = bucket_of(us)
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def take(self):
        """Everything so far, as plain dictionaries; the tally starts again from nothing."""
        taken = {"latency": self.latency, "keys": self.keys}
        self.clear()
        return taken

    def add(self, taken):
        for name, buckets in taken["latency"].items():
            mine = self.latency.setdefault(name, {})
            for bucket, count in buckets.items():
                mine[bucket] = mine.get(bucket, 0) + count
        for what, count in taken["keys"].items():
            self.keys[what] += count

    def together(self):
        """Every request's latency in one histogram. Opening a connection is not a request."""
        buckets = {}
        for name, those in self.latency.items():
            if name != CONNECT:
                for bucket, count in those.items():
                    buckets[bucket] = buckets.get(bucket, 0) + count
        return buckets


tally = Tally()

# ---- the user ----

CONNECT, GET, HIT, MISS, PUT = "CONNECT", "GET", "GET hit", "GET miss", "PUT"
PIPELINE = f"PIPELINE x{settings.pipeline}"
PIPELINE_FILL = "PIPELINE fill"
RECONNECT_S = (0.5, 1.5)  # a lost server is not met by every user at once, nor by one user in a tight loop

complaints_left = 10  # failures that are logged with what is known of them; the rest are only counted


def complain(name, failure):
    global complaints_left
    if complaints_left:
        complaints_left -= 1
        log.warning("%s: %s; %s", name, failure, getattr(failure, "detail", type(failure).__name__))


def task_weights(shares):
    """{task: share} as {task: weight in thousandths, 1 at least}; a share of 0 leaves its task out."""
    return {task: max(1, round(share * 1000)) for task, share in shares.items() if share > 0}


class CacheUser(User):
    """Reads through the cache as an application does: a miss is followed by a PUT of the value."""

    host = "tcp://127.0.0.1:7171"
    connection = None

    def wait_time(self):
        least, most = settings.wait_s
        return least + random.random() * (most - least)

    def on_stop(self):
        self.disconnect()

    def put(self):
        self.store(some_key())

    def get(self):
        key = some_key()
        if self.request(GET, encode_get(key), [key]) == [False]:
            self.store(key)

    def pipeline(self):
        keys = [some_key() for _ in range(settings.pipeline)]
        asked = [key if random.random() < settings.get_share else None for key in keys]
        data = b"".join(encode_put(key) if get is None else encode_get(key) for key, get in zip(keys, asked))
        verdicts = self.request(PIPELINE, data, asked)
        missed = [key for key, verdict in zip(keys, verdicts) if verdict is False]
        if missed:
            self.store(*missed, name=PIPELINE_FILL)

    tasks = task_weights(
        {
            get: settings.get_share * (1 - settings.pipeline_share),
            put: (1 - settings.get_share) * (1 - settings.pipeline_share),
            pipeline: settings.pipeline_share,
        }
    )

    def store(self, *keys, name=PUT):
        self.request(name, b"".join(map(encode_put, keys)), [None] * len(keys))

    def request(self, name, data, asked):
        """Writes `data`, whose requests are GETs of the keys in `asked` and, where that holds None, PUTs; reads as
        many replies, checks them and tells Locust about all of it once. Returns what each reply was: True for a hit,
        False for a miss, None for a value stored; [] after a failure."""
        if not self.connection and not self.reconnect():
            return []
        started = time.perf_counter()
        try:
            self.connection.send(data)
            replies = [self.connection.reply() for _ in asked]
            us = microseconds_since(started)  # what follows is the test's own time
            self.connection.finish()
        except (OSError, BadReply) as failure:
            self.tell(name, microseconds_since(started), 0, failure)
            self.disconnect()
            return []
        size = sum(len(payload) for _, payload in replies if payload)
        verdicts, failure = check_replies(asked, replies)
        if failure:
            self.tell(name, us, size, failure)
            if not isinstance(failure, ErrorReply):
                self.disconnect()  # replies may have slipped against requests, and would stay so
            return []
        tally.keys["hits"] += verdicts.count(True)
        tally.keys["misses"] += verdicts.count(False)
        tally.keys["stored"] += verdicts.count(None)
        if name == GET:
            name = HIT if verdicts[0] else MISS
        self.tell(name, us, size, None)
        return verdicts

    def reconnect(self):
        started = time.perf_counter()
        try:
            self.connection = connect(self.host)
        except (OSError, ErrorReply, BadReply, ValueError) as failure:
            self.tell(CONNECT, microseconds_since(started), 0, failure)
            time.sleep(random.uniform(*RECONNECT_S))
            return False
        self.tell(CONNECT, microseconds_since(started), 0, None)
        return True

    def disconnect(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def tell(self, name, us, size, failure):
        if failure:
            complain(name, failure)
        self.environment.events.request.fire(
            request_type="RESP",
            name=name,
            response_time=us / 1000,
            response_length=size,
            exception=failure,
            context={},
        )


def microseconds_since(started):
    return int((time.perf_counter() - started) * 1e6)


# ---- what Locust calls ----


@events.init.add_listener
def on_init(environment, **_):
    random.seed()  # processes that Locust forked would all ask for the same keys
    if environment.host:
        try:
            address_of(environment.host)
        except ValueError as error:
            sys.exit(f"locustfile.py: {error}")
    is_worker = isinstance(environment.runner, locust.runners.WorkerRunner)
    users = {"most": 0}

    @environment.events.test_start.add_listener
    def on_test_start(**_):
        tally.clear()

    @environment.events.test_stopping.add_listener
    def on_test_stopping(**_):
        users["most"] = environment.runner.user_count

    @environment.events.quit.add_listener
    def on_quit(**_):
        if not is_worker:
            print_tally()
            if settings.summary_csv:
                write_summary(environment.stats, users["most"])


@events.request.add_listener
def on_request(name, response_time, exception, **_):
    # A refused connection is answered fast: failures would make the latencies look better than they are.
    if not exception:
        tally.request(name, round(response_time * 1000))


@events.report_to_master.add_listener
def on_report_to_master(data, **_):
    data["tally"] = tally.take()


@events.worker_report.add_listener
def on_worker_report(data, **_):
    tally.add(data["tally"])


COLUMNS = ("p50_us", 0.5), ("p99_us", 0.99), ("p99.9_us", 0.999), ("max_us", 1)


def print_tally():
    print(f"{'Latency in microseconds':<24}{'requests':>12}" + "".join(f"{name[:-3]:>12}" for name, _ in COLUMNS))
    rows = sorted(tally.latency.items()) + [("All but CONNECT", tally.together())]
    for name, buckets in rows:
        figures = "".join(f"{percentile_us(buckets, share):>12}" for _, share in COLUMNS)
        print(f"{name:<24}{sum(buckets.values()):>12}{figures}")
    print("Keys: {hits} hits, {misses} misses, {stored} stored".format(**tally.keys), flush=True)


def write_summary(stats, users):
    """One row a name of Locust's statistics, and one of everything but CONNECT, named `total`, for a script to read.
    Failures to connect are failures of the whole, though the connections are not its requests."""
    entries = stats.entries.values()
    opened = sum(entry.num_requests for entry in entries if entry.name == CONNECT)
    seconds = max((stats.last_request_timestamp or 0) - stats.start_time, 0.001)
    requests = stats.total.num_requests - opened
    rows = [(each.name, each.num_requests, each.num_failures, tally.latency.get(each.name, {})) for each in entries]
    rows.append(("total", requests, stats.total.num_failures, tally.together()))
    with open(settings.summary_csv, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "users", "requests", "failures", "requests_per_s", *(name for name, _ in COLUMNS)])
        for name, count, failures, buckets in rows:
            latencies = [percentile_us(buckets, share) for _, share in COLUMNS]
            writer.writerow([name, users, count, failures, round(count / seconds, 1), *latencies])
