"""wire.py -- RESP as bytes: where a reply ends, what it says, and connections that know no more than that.

Owns    the sockets of its connections.
True    a reply is kept as the bytes that came; parse() looks into them only when two replies are not the same bytes.
Failure Broken: these bytes are no reply. Closed: the other side closed. Silent: no reply came in time.
"""
import socket

CRLF = b"\r\n"
SECONDS = 60  # to wait for a reply


class Broken(Exception):
    """These bytes are not RESP."""


class Closed(Exception):
    """The server closed the connection."""


class Silent(Exception):
    """No reply came in time."""


def request(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def end_of_reply(data, at):
    """Where the reply ends that begins at `at`; -1: not all of it is there."""
    pending = 1
    while pending:
        end = data.find(CRLF, at)
        if end < 0:
            return -1
        kind = data[at:at + 1]
        pending -= 1
        if kind in b"$=!":
            n = int(data[at + 1:end])
            at = end + 2 if n < 0 else end + n + 4
            if at > len(data):
                return -1
            if n >= 0 and data[at - 2:at] != CRLF:
                raise Broken(f"a string of {n} bytes does not end in CRLF")
        else:
            if kind in b"*~>":
                pending += max(0, int(data[at + 1:end]))
            elif kind == b"%":
                pending += 2 * int(data[at + 1:end])
            elif kind not in b"+-:_#,(":
                raise Broken(f"no reply begins like this: {bytes(data[at:at + 60])!r}")
            at = end + 2
    return at


def parse(data):
    """The reply as (type byte, value): bytes, an integer, None, or a list of such pairs (of a map: keys and values)."""
    value, at = parse_at(data, 0)
    if at != len(data):
        raise Broken(f"{len(data) - at} bytes behind a reply")
    return value


def parse_at(data, at):
    end = data.find(CRLF, at)
    kind, text = data[at:at + 1], data[at + 1:end]
    at = end + 2
    if kind == b":":
        return (kind, int(text)), at
    if kind in b"$=!":
        n = int(text)
        return ((kind, None), at) if n < 0 else ((kind, data[at:at + n]), at + n + 2)
    if kind in b"*~>%":
        n = int(text) * (2 if kind == b"%" else 1)
        if n < 0:
            return (kind, None), at
        items = []
        for _ in range(n):
            item, at = parse_at(data, at)
            items.append(item)
        return (kind, items), at
    return (kind, text), at


class Connection:
    """One client: sends bytes, reads replies as bytes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed("closed while a request was sent") from None

    def receive(self):
        try:
            more = self.socket.recv(1 << 18)
        except socket.timeout:
            raise Silent(f"no reply within {SECONDS} s; there is {self.data[:80]!r}") from None
        except ConnectionResetError:
            raise Closed("reset") from None
        if not more:
            raise Closed("closed")
        self.data += more

    def replies(self, n):
        """The next n replies; what comes behind them stays in self.data."""
        found, at = [], 0
        while len(found) < n:
            end = end_of_reply(self.data, at) if at < len(self.data) else -1
            if end < 0:
                self.receive()
                continue
            found.append(self.data[at:end])
            at = end
        self.data = self.data[at:]
        return found

    def rest(self):
        """Everything up to the close."""
        while True:
            try:
                self.receive()
            except Closed:
                data, self.data = self.data, b""
                return data

    def ask(self, *words):
        """One request, and its reply parsed."""
        self.send(request([w if isinstance(w, bytes) else str(w).encode() for w in words]))
        return parse(self.replies(1)[0])

    def pipeline(self, requests):
        self.send(b"".join(request(words) for words in requests))
        return self.replies(len(requests))
