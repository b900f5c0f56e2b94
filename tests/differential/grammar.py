"""grammar.py -- random requests: a syntax line becomes words, and some of them are made wrong.

A syntax line is written as in the Redis documentation: words in capitals stand for themselves, [a | b] may be left out,
(a | b) is one of them, <a b> comes once or several times; options at the end change their order. Holes:

    k key             v value            n integer to add     f float to add    i index       off offset of SETRANGE
    s seconds         ms milliseconds    at, msat a time      db database       pat pattern   cnt COUNT    cur cursor
    word anything     name of a client    user, secret of AUTH

True    the same seed gives the same words.
        No time to live that is set ends while a stream runs, and no two relative ones are nearer than 20 s, so neither
        server can see another order of them than the other, however long it was kept waiting. Absolute times lie
        in the far future. What ends on purpose is in streams.py.
"""
import re

MAX, MIN = 2**63 - 1, -2**63
FUTURE_S = 4102444800  # the year 2100

KEYS = [
    b"a", b"b", b"c", b"key:1", b"key:2", b"Key", b"", b"\0\r\n\xff", b"with space", b"[a]*?\\", b"{tag}x",
    b"k" * 100,
]
INTEGERS = [b"0", b"1", b"-1", b"2", b"10", b"100", b"9999", b"10000", b"-100", str(MAX).encode(), str(MIN).encode(),
            str(MAX - 1).encode(), str(MIN + 1).encode()]
NOT_INTEGERS = [str(MAX + 1).encode(), str(MIN - 1).encode(), b"007", b"+5", b" 5", b"5 ", b"-0", b"", b"1.5", b"abc",
                b"0x10", b"1e3", b"5\0", b"--1", b"1" * 30, b"9" * 200]
FLOATS = [b"0", b"1.5", b"-1.5", b"0.1", b"0.2", b"3.0e3", b"5.0e-1", b"1e17", b"1e-17", b"123456789.123456789",
          b"3.14159265358979323846", b"-0", b"-0.0", b".5", b"5.", b"1e300", b"-1e300", b"0.30000000000000004", b"1E2",
          b"1e18", b"99999999999999999999", b"0.000001", b"1e5", b"-2.5e-3", b"0x10", b"0x1p-3", b"1e4000", b"2e4931",
          b"1234567890123456789.5", b"0.00000000000000001", b"0.000000000000000001"]
NOT_FLOATS = [
    b"nan", b"inf", b"-inf", b"+inf", b"infinity", b"NaN", b"1e40000", b"-1e40000", b"", b" 1", b"1 ", b"1.5x",
    b"abc", b"1,5", b"1.5\0", b"e5", b".", b"--1", b"1e-50000", b"9" * 300,
]
OPTIONS = """NX XX GET EX PX EXAT PXAT KEEPTTL PERSIST GT LT REPLACE DB MATCH COUNT TYPE ASYNC AUTH SETNAME ON
    default""".split()
PATTERNS = [
    b"*", b"", b"a", b"k*", b"key:?", b"[a-c]", b"[^a]", b"*e*", b"?", b"??*", b"\\a", b"[", b"[a", b"[a-", b"**",
    b"*\xff", b"[^", b"\\", b"k\\*", b"[c-a]", b"[\\a]", b"*1", b"K*", b"key:[12]", b"[]", b"[]a]", b"*[k]",
]
LONGEST_KEY = 1000
RELATIVE = {b"SETEX": 2, b"PSETEX": 2, b"EXPIRE": 2, b"PEXPIRE": 2}  # where the time to live stands
WITH_OPTIONS = (b"SET", b"GETEX", b"MSETEX")
RELATIVE_OPTIONS, ABSOLUTE_OPTIONS = (b"EX", b"PX"), (b"EXAT", b"PXAT")


def integer(word):
    """What Redis reads as an integer, or None."""
    return int(word) if re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", word) else None


def parse_syntax(text):
    tokens = re.findall(r"[][()<>|]|[^][()<>|\s]+", text)
    at = 0

    def alternatives(end):
        nonlocal at
        found = [sequence(end)]
        while tokens[at - 1] == "|":
            found.append(sequence(end))
        return found

    def sequence(end):
        nonlocal at
        nodes = []
        while at < len(tokens):
            token = tokens[at]
            at += 1
            if token in ("|", end):
                return nodes
            if token == "[":
                nodes.append(("maybe", alternatives("]")))
            elif token == "(":
                nodes.append(("one", alternatives(")")))
            elif token == "<":
                nodes.append(("several", alternatives(">")))
            elif token.islower():
                nodes.append(("hole", token))
            else:
                nodes.append(("word", token.encode()))
        return nodes

    return sequence(None)


def hello_of_70(words):
    """Whether this is a HELLO that 7.0 executes option by option until one is wrong; since 7.2 all are read first."""
    done, at = [], 2
    if words[0].upper() != b"HELLO":
        return False
    while at < len(words):
        option = words[at].upper()
        if option == b"AUTH" and at + 2 < len(words):
            done.append(option)
            at += 3
        elif option == b"SETNAME" and at + 1 < len(words) and re.fullmatch(rb"[!-~]*", words[at + 1]):
            done.append(option)
            at += 2
        else:
            return bool(done)
    return done not in ([], [b"AUTH"], [b"SETNAME"], [b"AUTH", b"SETNAME"])


class Generator:
    """Draws requests. `keys`: how many different keys there are; `databases`: how many databases."""

    def __init__(self, rng, keys=8, databases=16):
        self.rng = rng
        self.keys = rng.sample(KEYS, min(keys, len(KEYS)))
        self.databases = databases
        self.floats = FLOATS
        self.slots = list(range(6, 6000))  # of 20 s each
        rng.shuffle(self.slots)
        self.syntax = {}

    # ---- holes ----

    def k(self):
        return self.rng.choice(self.keys)

    def v(self):
        rng, kind = self.rng, self.rng.random()
        if kind < 0.3:
            return rng.choice(INTEGERS)
        if kind < 0.4:
            return str(rng.randrange(-2000, 20000)).encode()
        if kind < 0.45:
            return rng.choice(NOT_INTEGERS)
        if kind < 0.55:
            return rng.choice(self.floats)
        if kind < 0.6:
            return rng.choice(NOT_FLOATS)
        if kind < 0.65:
            return rng.choice(OPTIONS).encode()
        size = rng.choice((0, 1, 3, 12, 13, 20, 44, 45, 100)) if kind < 0.97 else rng.choice((1000, 5000, 16384))
        return rng.randbytes(size) if rng.random() < 0.3 else (b"value of some length " * 800)[:size]

    def n(self):
        kind = self.rng.random()
        if kind < 0.5:
            return str(self.rng.randrange(-50, 1000)).encode()
        return self.rng.choice(INTEGERS if kind < 0.9 else NOT_INTEGERS)

    def f(self):
        kind = self.rng.random()
        if kind < 0.3:
            return b"%.*f" % (self.rng.randrange(0, 12), self.rng.uniform(-1000, 1000))
        return self.rng.choice(INTEGERS if kind < 0.45 else self.floats if kind < 0.87 else NOT_FLOATS)

    def i(self):
        kind = self.rng.random()
        return str(self.rng.randrange(-60, 60)).encode() if kind < 0.85 else self.n()

    def off(self):
        kind = self.rng.random()
        if kind < 0.85:
            return str(self.rng.choice((0, 1, 2, 5, 10, 43, 44, 45, 100, 1000))).encode()
        return self.rng.choice((b"-1", b"-100", b"536870912", b"4294967296", str(MAX).encode(), str(MIN).encode(),
                                *NOT_INTEGERS))

    def slot(self):
        self.slots.append(self.slots.pop(0))
        return self.slots[-1] * 20

    def wrong_time(self, least):
        return self.rng.choice((b"0", b"-1", b"-100", str(MAX).encode(), str(MIN).encode(), str(least).encode(),
                                str(MAX // 1000).encode(), str(MAX // 1000 + 1).encode(), *NOT_INTEGERS))

    def s(self):
        kind = self.rng.random()
        if kind < 0.85:
            return str(self.slot()).encode()
        return b"9223370000000000" if kind < 0.87 else self.wrong_time(9223371000000000)

    def ms(self):
        kind = self.rng.random()
        if kind < 0.85:
            return str(self.slot() * 1000 + self.rng.randrange(1000)).encode()
        return b"9223370000000000000" if kind < 0.87 else self.wrong_time(9223371000000000000)

    def at(self):
        kind = self.rng.random()
        return str(FUTURE_S + self.rng.randrange(50)).encode() if kind < 0.85 else self.wrong_time(MAX // 1000)

    def msat(self):
        kind = self.rng.random()
        return str((FUTURE_S + self.rng.randrange(50)) * 1000 + 250).encode() if kind < 0.85 else self.wrong_time(MAX)

    def db(self):
        kind = self.rng.random()
        if kind < 0.8:
            return str(self.rng.randrange(min(self.databases, 4))).encode()
        return self.rng.choice((b"15", b"16", b"-1", b"2147483648", b"4294967296", *INTEGERS, *NOT_INTEGERS))

    def pat(self):
        return self.rng.choice(PATTERNS)

    def cnt(self):
        kind = self.rng.random()
        return self.rng.choice((b"1", b"2", b"10", b"1000") if kind < 0.8 else (b"0", b"-1", *INTEGERS, *NOT_INTEGERS))

    def cur(self):
        return b"0" if self.rng.random() < 0.7 else self.rng.choice((b"-1", b"abc", b"", b" 0", b"0 ", b"1.5", b"+0",
                                                                      b"18446744073709551616", b"9" * 30))

    def name(self):
        return self.rng.choice((b"me", b"", b"with space", b"tab\t", b"n\xc3\xa4me", b"x" * 60, b"a=b", b"new\nline",
                                b"~!", b"\0"))

    def user(self):
        return b"default" if self.rng.random() < 0.9 else b"DEFAULT"

    def secret(self):
        return b"secret" if self.rng.random() < 0.9 else self.rng.choice((b"", b"secre", b"SECRET", b"secretsecret"))

    def word(self):
        kind = self.rng.random()
        if kind < 0.4:
            return self.rng.choice(OPTIONS).encode()
        if kind < 0.6:
            return self.k()
        if kind < 0.8:
            return self.rng.choice(NOT_INTEGERS)
        if kind < 0.9:
            return str(self.slot()).encode()
        return self.rng.choice((b"0", b"-1", b"foo", b"\xff\0\r\n", b"string", b"%s%n", b"'quoted\"", b"x" * 200))

    # ---- requests ----

    def cased(self, word):
        kind = self.rng.random()
        if kind < 0.8:
            return word
        return word.lower() if kind < 0.9 else bytes(c ^ 32 if 65 <= c <= 90 and self.rng.random() < 0.5 else c
                                                     for c in word)

    def expand(self, nodes, words):
        options = []
        for kind, what in nodes:
            if kind == "maybe":
                if self.rng.random() < 0.35:
                    options.append(self.expand(self.rng.choice(what), []))
                continue
            if kind == "word":
                words.append(self.cased(what))
            elif kind == "hole":
                words.append(getattr(self, what)())
            elif kind == "one":
                self.expand(self.rng.choice(what), words)
            else:
                for _ in range(self.rng.choice((1, 1, 2, 2, 3, 5))):
                    self.expand(what[0], words)
        if self.rng.random() < 0.5:
            self.rng.shuffle(options)
        for option in options:
            words += option
        return words

    def made_wrong(self, words):
        """One word less, more, twice, or another."""
        words, kind = list(words), self.rng.random()
        at = self.rng.randrange(1, len(words)) if len(words) > 1 else 0
        if at == 0 or kind < 0.3:
            words.insert(at + 1, self.word())
        elif kind < 0.5:
            del words[at]
        elif kind < 0.65:
            words[at] = self.word()
        elif kind < 0.75:
            other = self.rng.randrange(1, len(words))
            words[at], words[other] = words[other], words[at]
        elif kind < 0.85:
            words.insert(at, words[at])
        elif kind < 0.95:
            words.append(self.word())
        else:
            words += words[1:]
        return words

    def request(self, syntax, wrong=0.12):
        """The words of one request of this syntax; `wrong`: the share that is made wrong."""
        if syntax not in self.syntax:
            self.syntax[syntax] = parse_syntax(syntax)
        while True:
            words = self.expand(self.syntax[syntax], [])
            if self.rng.random() < wrong:
                words = self.made_wrong(words)
                if self.rng.random() < 0.2:
                    words = self.made_wrong(words)
                if max(map(len, words)) > LONGEST_KEY:  # a value may now stand where a key does
                    continue
            if not self.ends_soon(words) and not hello_of_70(words):
                return words

    @staticmethod
    def ends_soon(words):
        """Whether a key might end while the stream runs, or be stored although its time is over (see above); or a
        reply never come (WAIT)."""
        name = words[0].upper()
        if name == b"WAIT":
            return len(words) == 3 and (integer(words[1]) or 0) > 0 and not 0 < (integer(words[2]) or 0) < 5
        for at in range(2, len(words)):
            before, value = words[at - 1].upper(), integer(words[at])
            if value is None or value <= 0:
                continue
            relative = RELATIVE.get(name) == at or (name in WITH_OPTIONS and before in RELATIVE_OPTIONS)
            if relative and value < 100 * (1000 if name.startswith(b"P") or before == b"PX" else 1):
                return True
            absolute = name in WITH_OPTIONS and name != b"GETEX" and before in ABSOLUTE_OPTIONS
            if absolute and value < FUTURE_S * (1000 if before == b"PXAT" else 1):
                return True
        return False


# ---- the tables: (weight, syntax) ----

STRINGS = [
    (3, "APPEND k v"), (6, "GET k"), (2, "GETDEL k"),
    (4, "GETEX k [EX s | PX ms | EXAT at | PXAT msat | PERSIST]"), (3, "GETRANGE k i i"), (1, "SUBSTR k i i"),
    (2, "GETSET k v"), (2, "MGET <k>"), (2, "MSET <k v>"), (2, "MSETNX <k v>"), (2, "PSETEX k ms v"),
    (10, "SET k v [NX | XX] [GET] [EX s | PX ms | EXAT at | PXAT msat | KEEPTTL]"), (3, "SET k v"), (2, "SETEX k s v"),
    (2, "SETNX k v"), (3, "SETRANGE k off v"), (2, "STRLEN k"), (1, "DEL <k>"), (1, "PTTL k"),
    (1, "OBJECT ENCODING k"),
]
NUMBERS = [
    (3, "INCR k"), (3, "DECR k"), (4, "INCRBY k n"), (4, "DECRBY k n"), (8, "INCRBYFLOAT k f"), (2, "SET k n"),
    (2, "SET k f"), (1, "SET k v EX s"), (3, "GET k"), (1, "APPEND k n"), (1, "SETRANGE k off n"), (1, "DEL k"),
    (1, "OBJECT ENCODING k"), (1, "GETSET k n"), (1, "STRLEN k"), (1, "TTL k"),
]
LIFETIMES = [
    (4, "EXPIRE k s [NX | XX | GT | LT] [NX | XX | GT | LT]"), (4, "PEXPIRE k ms [NX | XX | GT | LT] [XX]"),
    (4, "EXPIREAT k at [NX | XX | GT | LT]"), (4, "PEXPIREAT k msat [NX | XX | GT | LT] [GT]"), (2, "EXPIRETIME k"),
    (2, "PEXPIRETIME k"), (3, "PERSIST k"), (3, "TTL k"), (3, "PTTL k"), (3, "SET k v KEEPTTL"),
    (6, "SET k v [EX s | PX ms | EXAT at | PXAT msat]"), (2, "GETEX k [EX s | PX ms | EXAT at | PXAT msat | PERSIST]"),
    (1, "APPEND k v"), (1, "GETSET k v"), (1, "INCR k"), (1, "RENAME k k"), (1, "COPY k k [REPLACE]"), (1, "DEL k"),
    (1, "MSET <k v>"), (1, "SETRANGE k off v"), (1, "INCRBYFLOAT k f"), (1, "EXISTS <k>"),
]
KEYSPACE = [
    (2, "DEL <k>"), (2, "UNLINK <k>"), (3, "EXISTS <k>"), (2, "TOUCH <k>"), (3, "TYPE k"), (2, "KEYS pat"),
    (1, "RANDOMKEY"), (4, "RENAME k k"), (4, "RENAMENX k k"), (4, "COPY k k [REPLACE] [DB db]"), (2, "DBSIZE"),
    (2, "SCAN cur [MATCH pat] [COUNT cnt] [TYPE (STRING | LIST | word)]"), (6, "SET k v [EX s]"),
    (2, "MSET <k v>"), (1, "GET k"), (1, "PTTL k"), (2, "OBJECT ENCODING k"), (1, "OBJECT REFCOUNT k"),
    (1, "OBJECT IDLETIME k"), (1, "OBJECT FREQ k"), (1, "OBJECT word k"), (2, "MEMORY USAGE k [SAMPLES n]"),
    (1, "MEMORY word"), (0.3, "FLUSHDB [ASYNC | SYNC]"), (0.2, "FLUSHALL [ASYNC | SYNC]"), (0.3, "OBJECT HELP"),
    (0.2, "MEMORY HELP"),
]
DATABASES = [
    (6, "SELECT db"), (3, "SWAPDB db db"), (5, "MOVE k db"), (4, "COPY k k DB db [REPLACE]"), (6, "SET k v [EX s]"),
    (3, "GET k"), (2, "DBSIZE"), (1, "FLUSHDB [ASYNC | SYNC]"), (0.2, "FLUSHALL"), (2, "MSET <k v>"), (1, "KEYS *"),
    (1, "RANDOMKEY"), (1, "RENAME k k"), (1, "DEL <k>"), (1, "EXISTS <k>"), (1, "PTTL k"), (1, "INCR k"),
]
CONNECTION = [
    (3, "PING"), (2, "PING v"), (2, "ECHO v"), (2, "SELECT db"), (0.7, "RESET"), (2, "HELLO"),
    (3, "HELLO (2 | 3 | 3)"), (2, "HELLO (2 | 3 | 4 | 1 | word) [AUTH (user | word) v] [SETNAME name]"),
    (2, "AUTH v"), (1, "AUTH user v"), (1, "AUTH word v"), (2, "CLIENT ID"), (3, "CLIENT GETNAME"),
    (4, "CLIENT SETNAME name"), (1, "CLIENT REPLY (ON | word)"), (1, "CLIENT NO-EVICT (ON | OFF | word)"),
    (1, "CLIENT INFO"), (1, "CLIENT HELP"), (1, "CLIENT word"), (1, "CLIENT"), (1, "GET k"), (1, "SET k v"),
    (1, "MGET <k>"), (1, "TIME"), (1, "ROLE"), (1, "READONLY"), (1, "READWRITE"), (1, "WAIT 0 (0 | 1 | n)"),
    (0.03, "WAIT 1 (1 | 3)"), (1, "WAIT n (-1 | ABC)"), (0.5, "COMMAND COUNT"), (0.5, "COMMAND word"),
    (0.3, "COMMAND HELP"), (0.3, "CONFIG HELP"), (1, "CONFIG word"), (1, "CONFIG"),
    (1, "COMMAND GETKEYS (GET k | MSET <k v> | DEL <k> | SET k v EX s | PING | word | RENAME k k | COPY k k | GET)"),
    (1, "COMMAND INFO word"), (0.5, "CONFIG GET (NOTHING | N?THING | word)"), (0.5, "DBSIZE"),
]
TRANSACTION = [
    (1, "MULTI"), (1, "EXEC"), (1, "DISCARD"), (2, "WATCH <k>"), (1, "UNWATCH"),
]
EXACT = [  # no word of these is changed: some would end connections, wait, or change the server
    "CLIENT LIST TYPE", "CLIENT LIST TYPE nothing", "CLIENT LIST ID", "CLIENT LIST ID abc", "CLIENT LIST ID 0",
    "CLIENT LIST ID -1", "CLIENT LIST NOTHING", "CLIENT LIST TYPE normal more", "CLIENT LIST ID 999999999",
    "CLIENT LIST TYPE replica", "CLIENT LIST TYPE PUBSUB", "CLIENT LIST", "CLIENT LIST TYPE normal", "CLIENT KILL",
    "CLIENT KILL 1.2.3.4:5", "CLIENT KILL ID", "CLIENT KILL ID abc", "CLIENT KILL ID 0", "CLIENT KILL ID -5",
    "CLIENT KILL ID 999999999", "CLIENT KILL TYPE nothing", "CLIENT KILL TYPE pubsub", "CLIENT KILL ADDR 1.2.3.4:5",
    "CLIENT KILL LADDR 1.2.3.4:5", "CLIENT KILL USER nobody", "CLIENT KILL USER default ID 999999999",
    "CLIENT KILL SKIPME maybe ID 999999999", "CLIENT KILL NOTHING x", "CLIENT KILL ID 999999999 SKIPME",
    "CLIENT KILL ID 999999999 SKIPME yes", "CLIENT KILL a b c", "CLIENT UNBLOCK", "CLIENT UNBLOCK abc",
    "CLIENT UNBLOCK 999999999", "CLIENT UNBLOCK 999999999 NOTHING", "CLIENT PAUSE", "CLIENT PAUSE abc",
    "CLIENT PAUSE -1", "CLIENT PAUSE 1 NOTHING", "CLIENT NO-EVICT", "CLIENT NO-EVICT maybe", "CLIENT NO-EVICT on",
    "CLIENT NO-EVICT OFF", "CLIENT REPLY", "CLIENT REPLY maybe", "CLIENT REPLY ON", "CLIENT GETNAME x", "CLIENT ID x",
    "CLIENT INFO x", "CLIENT SETNAME", "CLIENT SETNAME a b", "CLIENT HELP x", "CONFIG GET", "CONFIG SET",
    "CONFIG SET x", "CONFIG SET nothing 1", "CONFIG SET nothing", "CONFIG SET timeout", "CONFIG SET timeout abc",
    "CONFIG SET timeout -1", "CONFIG SET timeout 1 nothing 1", "CONFIG SET timeout 0 timeout 0",
    "CONFIG SET timeout 0 TIMEOUT 0", "CONFIG SET timeout 99999999999999", "CONFIG SET maxmemory abc",
    "CONFIG SET maxmemory -1", "CONFIG SET port abc", "CONFIG SET timeout 1 maxmemory", "CONFIG SET databases 5",
    "CONFIG SET loglevel loud", "CONFIG SET loglevel notice", "CONFIG SET tcp-keepalive abc",
    "CONFIG SET maxmemory-policy nothing", "CONFIG SET unixsocketperm 888", "CONFIG SET maxclients 0",
    "CONFIG SET maxclients abc", "CONFIG SET daemonize yes", "CONFIG SET tcp-backlog 5", "CONFIG RESETSTAT",
    "CONFIG RESETSTAT x", "CONFIG NOTHING", "CONFIG REWRITE x", "CONFIG GET nothing", "CONFIG GET nothing nowhere",
    "CONFIG GET timeout", "CONFIG GET TIMEOUT", "CONFIG GET timeout timeout", "CONFIG GET TimeOut",
    "CONFIG GET appendonly", "CONFIG GET save", "CONFIG GET t?meout", "CONFIG GET maxclients",
    "CONFIG GET tcp-backlog", "COMMAND GETKEYS", "COMMAND GETKEYS nothing", "COMMAND GETKEYS GET",
    "COMMAND GETKEYS PING", "COMMAND GETKEYS GET a", "COMMAND GETKEYS MSET a 1 b 2", "COMMAND GETKEYS MSET",
    "COMMAND GETKEYS COPY a b", "COMMAND GETKEYSANDFLAGS GET a", "COMMAND GETKEYSANDFLAGS SET a b",
    "COMMAND GETKEYSANDFLAGS DEL a b", "COMMAND GETKEYSANDFLAGS RENAME a b", "COMMAND GETKEYSANDFLAGS COPY a b",
    "COMMAND GETKEYSANDFLAGS MSETNX a b c d", "COMMAND GETKEYSANDFLAGS GETEX a", "COMMAND GETKEYSANDFLAGS TTL a",
    "COMMAND GETKEYS OBJECT ENCODING a", "COMMAND GETKEYS MEMORY USAGE a", "COMMAND GETKEYS CLIENT ID",
    "COMMAND GETKEYS OBJECT", "COMMAND COUNT x", "COMMAND LIST x", "COMMAND LIST FILTERBY",
    "COMMAND LIST FILTERBY NOTHING x", "COMMAND LIST FILTERBY PATTERN getr*", "COMMAND LIST FILTERBY ACLCAT nothing",
    "COMMAND LIST FILTERBY MODULE nothing", "COMMAND INFO nothing", "COMMAND INFO", "COMMAND NOTHING",
    "COMMAND HELP x", "COMMAND DOCS nothing", "OBJECT", "OBJECT ENCODING", "OBJECT NOTHING", "OBJECT NOTHING a",
    "OBJECT ENCODING a b", "OBJECT FREQ nothing", "OBJECT FREQ a", "MEMORY", "MEMORY USAGE", "MEMORY USAGE a SAMPLES",
    "MEMORY USAGE a SAMPLES -1", "MEMORY USAGE a SAMPLES abc", "MEMORY USAGE a NOTHING 5", "MEMORY USAGE a SAMPLES 0",
    "MEMORY NOTHING", "WAIT", "WAIT 0", "WAIT 0 0", "WAIT abc 0", "WAIT 0 abc", "WAIT 0 -1", "WAIT -1 0", "WAIT 1 1",
    "WAIT 0 0 0", "ROLE", "ROLE x", "READONLY", "READONLY x", "READWRITE", "READWRITE x", "TIME", "TIME x",
    "FLUSHALL NOTHING", "FLUSHDB ASYNC SYNC", "FLUSHALL SYNC", "DBSIZE x", "SELECT", "SELECT 0 1", "SWAPDB",
    "SWAPDB 0", "SWAPDB a 0", "SWAPDB 0 a", "SWAPDB 0 99", "SWAPDB 99 0", "SWAPDB 0 0", "SWAPDB -1 0",
    "SWAPDB 9999999999999999999 0", "SWAPDB 2147483648 0", "MOVE a", "MOVE a abc", "MOVE a 0", "MOVE a 99",
    "MOVE a -1", "MOVE nothing 1", "MOVE a 2147483648", "COPY a b DB", "COPY a b DB 99", "COPY a b DB abc",
    "COPY a b NOTHING", "COPY a a", "COPY a a DB 0", "COPY a a REPLACE", "COPY nothing nothing",
    "COPY a b REPLACE REPLACE", "COPY a b DB 1 DB 2", "COPY a b DB -1", "RENAME nothing nothing", "RENAME nothing b",
    "RENAMENX nothing b", "RENAME a a", "RENAMENX a a", "RANDOMKEY x", "SCAN", "SCAN 0 COUNT", "SCAN 0 MATCH",
    "SCAN 0 TYPE", "SCAN 0 NOTHING 5", "SCAN abc", "SCAN 0 COUNT abc", "SCAN 0 COUNT 0", "SCAN 0 COUNT -1",
    "SCAN 0 COUNT 5 MATCH", "GETEX a EX", "GETEX a PERSIST EX 100", "GETEX a EX 100 PERSIST",
    "GETEX a PERSIST PERSIST", "GETEX a KEEPTTL", "GETEX a NX", "GETEX a EX 1000 PX 1000000", "GETEX nothing EX 0",
    "GETEX nothing EX abc", "GETEX nothing", "GETEX a EX 0", "SETRANGE a -1 v", "SETRANGE nothing 5 ",
    "SETRANGE nothing 536870912 v", "SETRANGE nothing abc v", "MSETNX a", "MSETNX a 1 b", "ECHO", "ECHO a b",
    "PING a b", "AUTH", "AUTH a b c", "AUTH a", "AUTH default a", "AUTH nobody a", "HELLO 3 AUTH", "HELLO 3 AUTH a",
    "HELLO 3 SETNAME", "HELLO 3 NOTHING", "HELLO abc", "HELLO 1", "HELLO 4", "HELLO -1",
    "HELLO 2 SETNAME a SETNAME b", "HELLO 2 AUTH nobody x", "RESET x", "MULTI x", "EXEC x", "DISCARD x", "UNWATCH x",
    "WATCH", "INCRBYFLOAT a", "GETDEL", "GETDEL a b", "SUBSTR a 0", "OBJECT HELP", "MEMORY HELP", "CLIENT HELP",
    "CONFIG HELP", "COMMAND HELP", "CLIENT UNPAUSE", "CLIENT UNPAUSE x",
   
]
EVERY = STRINGS + NUMBERS + LIFETIMES + KEYSPACE + DATABASES

# What a random number of random words may follow, wherever that leads.
ANY_ARITY = """APPEND DECR DECRBY DEL EXISTS EXPIRE EXPIREAT EXPIRETIME PEXPIRETIME FLUSHALL FLUSHDB GET GETDEL GETEX
    GETRANGE GETSET INCR INCRBY INCRBYFLOAT KEYS MGET MSET MSETNX PERSIST PEXPIRE PEXPIREAT PSETEX PTTL RANDOMKEY RENAME
    RENAMENX COPY SELECT SET SETEX SETNX SETRANGE STRLEN SUBSTR TOUCH TTL TYPE UNLINK DBSIZE SWAPDB MOVE OBJECT
    MEMORY PING ECHO AUTH HELLO RESET READONLY READWRITE ROLE TIME WAIT DISCARD EXEC MULTI UNWATCH WATCH SCAN""".split()
UNKNOWN = [
    b"FOO", b"foo", b"GETT", b"", b"\xff\0\r\n", b"x" * 200, b"GE\0T", b"S\rET", b"get ", b"%s", b"'quoted'",
    b"client|id",
]
