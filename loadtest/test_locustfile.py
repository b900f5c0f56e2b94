"""test_locustfile.py -- the checker catches what it is there for. Run: python3 -m unittest test_locustfile"""

import logging
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import locustfile as lf  # noqa: E402 (first of all imports of gevent: it patches sockets)

KEY = 17
VALUE = lf.value_for(KEY, 203, 100)
LATER = lf.value_for(KEY, 204, 100)


def bulk(value):
    return b"$%d\r\n%b\r\n" % (len(value), value)


class FakeEnvironment:
    """As much of Locust's environment as a user's request needs: it keeps what it is told."""

    def __init__(self):
        self.events = self.request = self
        self.told = []

    def fire(self, name, exception, **_):
        self.told.append((name, type(exception).__name__ if exception else None, str(exception or "")))


def outcome(answer, asked=(KEY,), name=lf.GET, at_once=None, data=b"nobody looks at the requests"):
    """What a user tells Locust when the server sends `answer` and closes, and what request() returns. `at_once`
    bytes arrive alone: a reply may be cut anywhere."""
    ours, servers = socket.socketpair()
    ours.settimeout(60)
    user = lf.CacheUser(FakeEnvironment())
    user.connection = lf.Connection(ours)
    if at_once:
        receive = lf.Connection._receive
        slowly = {"_receive": lambda self, _, begun: receive(self, at_once, begun)}
        user.connection = type("Slow", (lf.Connection,), slowly)(ours)
    servers.sendall(answer)
    servers.shutdown(socket.SHUT_WR)
    verdicts = user.request(name, data, list(asked))
    connected = user.connection is not None
    user.disconnect()
    servers.close()
    (told,) = user.environment.told  # exactly one entry a request
    return told, verdicts, connected


class Checker(unittest.TestCase):
    def setUp(self):
        logging.disable(logging.CRITICAL)

    def tearDown(self):
        logging.disable(logging.NOTSET)

    def fails(self, answer, kind, text, connected=False, **how):
        self.assertEqual(outcome(answer, **how), ((how.get("name", lf.GET), kind, text), [], connected))

    def test_good_replies(self):
        for at_once in (None, 1, 7):
            self.assertEqual(outcome(bulk(VALUE), at_once=at_once), ((lf.HIT, None, ""), [True], True))
            self.assertEqual(outcome(b"$-1\r\n", at_once=at_once), ((lf.MISS, None, ""), [False], True))
            self.assertEqual(
                outcome(bulk(VALUE) + b"+OK\r\n$-1\r\n", (KEY, None, KEY), "P", at_once),
                (("P", None, ""), [True, None, False], True),
            )

    def test_a_server_that_reads_no_further_until_its_reply_is_taken(self):
        self.assertEqual(outcome(bulk(VALUE), data=b"x" * (4 << 20)), ((lf.HIT, None, ""), [True], True))

    def test_every_length_is_its_own_value(self):
        for length in range(lf.VALUE_SIZE_MIN, 2000):
            value = lf.value_for(lf.KEYS_MAX - 1, length % lf.VARIANTS, length)
            self.assertEqual(len(value), length)
            lf.check_value(lf.KEYS_MAX - 1, value)

    def test_a_longer_value_than_this_run_stores(self):
        lf.check_value(KEY, lf.value_for(KEY, 1, 300000))

    def test_wrong_value(self):
        other = lf.value_for(KEY + 1, 203, 100)
        self.fails(bulk(other), "WrongValue", "the value belongs to another key")
        self.fails(bulk(b"x" * 100), "WrongValue", "the value is none that this test stores")
        self.fails(bulk(b""), "WrongValue", "the value is none that this test stores")
        half_overwritten = VALUE[:50] + LATER[50:]
        self.fails(bulk(half_overwritten), "WrongValue", "the value has damaged bytes")
        for at in range(11, 100):
            flipped = VALUE[:at] + bytes([VALUE[at] ^ 1]) + VALUE[at + 1 :]
            self.fails(bulk(flipped), "WrongValue", "the value has damaged bytes")

    def test_wrong_length(self):
        self.fails(bulk(VALUE[:-1]), "WrongValue", "the value has the wrong length")
        self.fails(bulk(VALUE + b"x"), "WrongValue", "the value has the wrong length")
        self.fails(b"$99\r\n" + VALUE + b"\r\n", "BadReply", "a bulk string does not end where its length says")
        self.fails(b"$1x\r\n", "BadReply", "the length of the bulk string is no number")

    def test_error_reply(self):
        self.fails(b"-OOM no room\r\n", "ErrorReply", "OOM no room", connected=True)
        answer = bulk(VALUE) + b"-ERR no\r\n+OK\r\n"
        self.fails(answer, "ErrorReply", "ERR no", connected=True, asked=(KEY, KEY, None), name="P")

    def test_reply_to_something_else(self):
        self.fails(b"+OK\r\n", "BadReply", "the reply to GET is no bulk string")
        self.fails(bulk(VALUE), "BadReply", "the reply is not +OK", asked=(None,), name=lf.PUT)
        self.fails(b":1\r\n", "BadReply", "the reply begins with none of + - $")
        self.fails(bulk(VALUE) * 2, "BadReply", "bytes follow the last reply")

    def test_truncated_reply(self):
        whole = bulk(VALUE)
        self.fails(b"", "ConnectionLost", "the server closed the connection before the reply")
        for size in range(1, len(whole)):
            text = "the server closed the connection in the middle of a reply"
            self.fails(whole[:size], "ConnectionLost", text, at_once=size % 9 + 1)


class Figures(unittest.TestCase):
    def test_percentiles(self):
        tally = lf.Tally()
        for us in range(1, 10001):
            tally.request("GET", us)
        for share, exact in ((0.5, 5000), (0.99, 9900), (0.999, 9990), (1, 10000)):
            found = lf.percentile_us(tally.latency["GET"], share)
            self.assertTrue(exact <= found <= exact * 1.008, (share, found))
        self.assertEqual(lf.percentile_us({}, 0.5), 0)

    def test_tallies_add_up(self):
        first, second = lf.Tally(), lf.Tally()
        for tally in first, second:
            tally.request("GET", 100)
            tally.keys["hits"] += 1
        first.add(second.take())
        self.assertEqual(first.latency, {"GET": {100: 2}})
        self.assertEqual((first.keys["hits"], second.keys["hits"], second.latency), (2, 0, {}))


class Given(unittest.TestCase):
    def test_settings(self):
        good = lf.Settings({"VALUE_SIZE": "30-4000", "WAIT": "0.5-1.5", "PIPELINE": "0"})
        self.assertEqual((good.value_sizes, good.wait_s, good.pipeline_share), ((30, 4000), (0.5, 1.5), 0))
        for name, text in (
            ("KEYS", "0"),
            ("KEYS", "many"),
            ("VALUE_SIZE", "23"),
            ("VALUE_SIZE", "90-80"),
            ("GET_SHARE", "1.1"),
            ("GET_SHARE", "nan"),
            ("PIPELINE", "-1"),
            ("PIPELINE_SHARE", "x"),
            ("WAIT", "1-2-3"),
            ("WAIT", "inf"),
            ("TIMEOUT", "0"),
        ):
            with self.assertRaisesRegex(ValueError, f"{name} is '{text}', but it must be "):
                lf.Settings({name: text})

    def test_hosts(self):
        for host in ("tcp://127.0.0.1:7171", "127.0.0.1:7171", "tcp://127.0.0.1:7171/"):
            self.assertEqual(lf.address_of(host), (socket.AF_INET, ("127.0.0.1", 7171)))
        self.assertEqual(lf.address_of("tcp://[::1]:7171")[0], socket.AF_INET6)
        self.assertEqual(lf.address_of("unix:///run/x.sock"), (socket.AF_UNIX, "/run/x.sock"))
        for host in ("", "somewhere", "tcp://:7171", "http://127.0.0.1:7171", "127.0.0.1:0", "unix://x.sock"):
            with self.assertRaises(ValueError):
                lf.address_of(host)


if __name__ == "__main__":
    unittest.main()
