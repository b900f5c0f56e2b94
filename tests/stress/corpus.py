"""corpus.py -- requests of every command that a server has, for stress.c to draw from.

The commands and their syntax come from the server itself (COMMAND LIST, COMMAND DOCS), so a new one is there by itself;
what must be drawn with care is in SYNTAX. There are three kinds of keys:

    a few that everything happens to                    any value
    self:0 to self:7, which are only stored whole       values that say which key's they are, and their checksum
    fill:0 to fill:1999                                 large values, so that others are evicted

A file of requests has for each a line "bytes, number of the command, mark, keys" and then the bytes. Marks: "-" none,
"s" every value in the reply is that of the key at its place among `keys`, "q" the connection ends, "r" replies come no
longer, "a" the password must be sent again.
"""
import os
import random
import re
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "differential"), os.path.join(HERE, "..", "integration")]

from grammar import Generator  # noqa: E402
from harness import request  # noqa: E402

PASSWORD = "secret"
FEW = 60  # requests of each command

# In place of what COMMAND DOCS says: choices that would stop the test, and what random words seldom hit. 'x stands for
# x itself, in small letters.
SYNTAX = {
    "auth": "AUTH [user] secret",
    "client|kill": "CLIENT KILL (ID n | ADDR address | LADDR address | TYPE 'replica | USER 'nobody) "
                   "[SKIPME ('yes | 'no)]",
    "client|list": "CLIENT LIST [TYPE 'normal | ID n n]",
    "client|no-evict": "CLIENT NO-EVICT (ON | OFF)",
    "client|no-touch": "CLIENT NO-TOUCH (ON | OFF)",
    "client|pause": "CLIENT PAUSE short (WRITE | ALL)",
    "client|reply": "CLIENT REPLY (ON | ON | ON | OFF | SKIP)",
    "client|setinfo": "CLIENT SETINFO (LIB-NAME name | LIB-VER name)",
    "command|getkeys": "COMMAND GETKEYS (GET k | MSET <k v> | DEL <k> | word | RENAME k k)",
    "command|getkeysandflags": "COMMAND GETKEYSANDFLAGS (GET k | MSET <k v> | DEL <k> | word | RENAME k k)",
    "command|list": "COMMAND LIST [FILTERBY (MODULE 'nothing | ACLCAT 'write | PATTERN pat)]",
    "config|get": "CONFIG GET (* | 'max* | '*memory | 'requirepass | word)",
    "config|set": "CONFIG SET ('maxmemory memory | 'client-output-buffer-limit limit | 'maxclients clients | "
                  "'loglevel 'notice | 'shard-capacity capacity | 'tcp-keepalive cnt | 'requirepass password | "
                  "'max-value-size size | 'timeout 0 'maxmemory memory)",
    "hotkeys|start": "HOTKEYS START [METRICS 1 (USES | CPU | NET)] [COUNT 5] [SAMPLE (1 | 16)]",
    "hello": "HELLO [(2 | 3) [AUTH user secret] [SETNAME name]]",
    "info": "INFO ['everything | 'stats | 'commandstats | 'clients | 'memory | 'keyspace | word]",
    "msetex": "MSETEX 2 key value key value [NX | XX] [EX seconds | PX milliseconds | EXAT at | PXAT msat | KEEPTTL]",
    "shutdown": "SHUTDOWN (ABORT | SAVE | NOSAVE NOW ABORT)",
    "wait": "WAIT (0 | 1) (0 | 1)",
}
# Of these fewer, for one stops all others, removes all keys, or answers with a quarter of a megabyte.
RARE = {"client|pause": 1, "flushall": 1, "flushdb": 2, "swapdb": 6, "client|kill": 6, "config|set": 20, "quit": 10,
        "command|docs": 6, "command": 6, "keys": 20, "info": 20, "client|reply": 10, "reset": 20, "command|info": 20,
        "config|resetstat": 2}
# Parents of subcommands; what could not be taken back; what only a cluster has.
REFUSED = {"client", "config", "hotkeys", "latency", "latency|graph", "memory", "module", "object", "slowlog", "shutdown",
           "readonly", "readwrite"}
# Whose replies hold what others asked for, and values that are cut.
LEFT_OUT = {"monitor", "slowlog|get"}


def self_value(rng, key):
    """A value that says whose it is: a mark, the key's last character, a checksum, anything."""
    rest = rng.randbytes(rng.choice((0, 1, 10, 40, 100, 500, 3000)))
    return b"\x01=%s%08x%s" % (key[-1:], zlib.crc32(rest), rest)


class Stress(Generator):
    """Holes by the names that the server's syntax gives them."""

    def __init__(self, rng):
        super().__init__(rng, keys=6)

    def ends_soon(self, words):  # here they may
        return False

    def key(self):
        return self.k()

    source = destination = newkey = key

    def seconds(self):
        return self.rng.choice((b"1", b"1", b"2", b"100", b"0", b"-1", b"9223372036854775807"))

    def milliseconds(self):
        return self.rng.choice((b"1", b"5", b"20", b"100", b"300", b"100000", b"-5"))

    def password(self):
        return PASSWORD.encode()

    def short(self):
        return str(self.rng.randrange(1, 20)).encode()

    def memory(self):
        return self.rng.choice((b"8mb", b"8mb", b"8mb", b"12mb", b"16mb"))

    def limit(self):
        return self.rng.choice((b"8mb", b"4mb"))

    def clients(self):
        return self.rng.choice((b"1000", b"2000", b"500"))

    def capacity(self):
        return self.rng.choice((b"200", b"1000", b"5000"))

    def size(self):
        return self.rng.choice((b"16kb", b"20kb", b"32kb"))

    def address(self):
        return b"127.0.0.1:%d" % self.rng.randrange(1024, 65536)

    def __getattr__(self, name):
        if name[0] == "'":
            return lambda: name[1:].encode()
        like = {"increment": "n", "decrement": "n", "offset": "off", "start": "i", "end": "i", "index": "db",
                "index1": "db", "index2": "db", "pattern": "pat", "count": "cnt", "cursor": "cur", "message": "v",
                "value": "v", "comparison-value": "v", "ifeq-value": "v", "connection-name": "name",
                "destination-db": "db", "unix-time-seconds": "at", "unix-time-milliseconds": "msat"}
        return getattr(self, like.get(name, "word"))

    def whole(self):
        """A request on the keys of which every value is known: (words, mark, keys)."""
        rng = self.rng
        (a, b), v = rng.sample([b"self:%d" % i for i in range(8)], 2), self.v()
        x, y, ms = self_value(rng, a), self_value(rng, b), self.milliseconds()
        time = rng.choice(([], [b"EX", self.seconds()], [b"PX", ms], [b"KEEPTTL"]))
        words = rng.choice((
            [b"GET", a], [b"GET", a], [b"MGET", a, b], [b"MGET", b, a, b], [b"SET", a, x], [b"SET", a, x, *time],
            [b"SET", a, x, b"GET", *time], [b"SET", a, x, b"XX", *time], [b"SET", a, x, b"IFEQ", v], [b"PUT", a, x],
            [b"SETEX", a, self.seconds(), x], [b"PSETEX", a, ms, x], [b"SETNX", a, x], [b"GETSET", a, x],
            [b"MSET", a, x, b, y], [b"MSETNX", a, x, b, y], [b"MSETEX", b"2", a, x, b, y, *time], [b"GETDEL", a],
            [b"DEL", a, b], [b"UNLINK", a], [b"DELEX", a], [b"DELIFEQ", a, v], [b"GETEX", a],
            [b"GETEX", a, b"PX", ms], [b"EXPIRE", a, self.seconds()], [b"PEXPIRE", a, ms], [b"PERSIST", a],
            [b"STRLEN", a], [b"TOUCH", a, b], [b"MOVE", a, self.db()], [b"OBJECT", b"IDLETIME", a]))
        if words[0] not in (b"GET", b"MGET", b"SET", b"GETSET", b"GETDEL", b"GETEX"):
            return words, "-", "-"
        return words, "s", "".join(chr(k[-1]) for k in (words[1:] if words[0] == b"MGET" else words[1:2]))


def commands_of(connection):
    """The names of all commands, with their syntax."""
    syntax = {}

    def add(docs):
        for name, what in zip(docs[::2], docs[1::2]):
            fields = dict(zip(what[::2], what[1::2]))
            syntax[name.decode()] = fields[b"syntax"].decode()
            add(fields.get(b"subcommands", []))

    add(connection.ask("COMMAND", "DOCS"))
    listed = {name.decode() for name in connection.ask("COMMAND", "LIST")}
    assert listed == set(syntax), listed ^ set(syntax)
    return syntax


def written(words, number, mark="-", keys="-"):
    data = request(*words)
    return b"%d %d %s %s\n%s" % (len(data), number, mark.encode(), keys.encode(), data)


def make_corpus(connection, seed):
    """The file of requests, and the names of the commands by their number."""
    rng = random.Random(f"stress {seed}")
    draw, syntax = Stress(rng), commands_of(connection)
    names, made = sorted(set(syntax) - LEFT_OUT), []
    number = {name: i for i, name in enumerate(names)}
    for name in names:
        text = SYNTAX.get(name) or re.sub(r"(\S+(?: \S+)?) \[\1 \.\.\.\]", r"<\1>", syntax[name])
        careful = name in SYNTAX or name in RARE
        for _ in range(RARE.get(name, FEW)):
            words = draw.request(text, wrong=0 if careful else 0.1)
            silent = name == "client|reply" and words[2].upper() != b"ON"
            made.append(written(words, number[name],
                                "r" if silent else "q" if name == "quit" else "a" if name == "reset" else "-"))
    for _ in range(3000):
        words, mark, keys = draw.whole()
        parent = words[0].decode().lower()
        made.append(written(words, number["object|idletime" if parent == "object" else parent], mark, keys))
    for i in range(2000):
        value = rng.randbytes(rng.choice((10, 1000, 5000, 16000, 16000)))
        made.append(written([b"SET", b"fill:%d" % rng.randrange(2000), value], number["set"]))
    rng.shuffle(made)
    return b"".join(made), names
