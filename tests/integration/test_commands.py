"""test_commands.py -- every command's replies, byte for byte, in RESP2 and RESP3.

A table is a list of (request, reply[, mark]); a request is a string that is split at its spaces, or a tuple of words.
Each table starts on an empty cache, its rows are sent one after another, and every reply is compared with exact bytes.
The same tables are put to the local Redis, which proves them right, but for rows that are marked:

    OURS     only this server: its own commands, limits and texts
    SINCE72  Redis answers so from 7.2 on; an older local one is not asked
"""
import atexit
import os
import re
import time

from harness import OK, Error, Redis, Server, Simple, Verbatim, check, equal, reply, request, shown, test, to_bytes

OURS, SINCE72 = "ours", "since 7.2"

SYNTAX = Error("ERR syntax error")
NOT_INTEGER = Error("ERR value is not an integer or out of range")
MIN, MAX = -2**63, 2**63 - 1


def arity(name):
    return Error(f"ERR wrong number of arguments for '{name}' command")


def bad_expire(name):
    return Error(f"ERR invalid expire time in '{name}' command")


def unknown(name, *words):
    return Error(f"ERR unknown command '{name}', with args beginning with: " + "".join(f"'{w}' " for w in words))


def unsupported(word):
    return Error(f"ERR Unsupported option {word}")


STRINGS = [
    ("GET nothing", None),
    ("PUT k v", OK, OURS),
    ("put k v2", OK, OURS),
    ("SET k v2", OK),
    ("GET k", "v2"),
    ("get k", "v2"),
    ("gEt k", "v2"),
    (("SET", "", ""), OK),
    (("GET", ""), ""),
    (("SET", b"\0\r\n\xff", b"$5\r\nhello\r\n\0"), OK),
    (("GET", b"\0\r\n\xff"), b"$5\r\nhello\r\n\0"),
    (("STRLEN", b"\0\r\n\xff"), 12),
    ("STRLEN nothing", 0),
    ("SETNX k v", 0),
    ("SETNX n v", 1),
    ("GET n", "v"),
    ("GETSET k new", "v2"),
    ("GETSET fresh new", None),
    ("GET fresh", "new"),
    ("SET t v EX 100", OK),
    ("GETSET t w", "v"),
    ("TTL t", -1),
    ("MGET k nothing n k", ["new", None, "v", "new"]),
    ("MSET a 1 b 2 a 3", OK),
    ("MGET a b", ["3", "2"]),
    ("MSET a", arity("mset")),
    ("MSET a 1 b", arity("mset")),
    ("MGET a b", ["3", "2"]),
    ("SET t v EX 100", OK),
    ("MSET t w", OK),
    ("TTL t", -1),
    ("APPEND p hello", 5),
    (("APPEND", "p", " world"), 11),
    (("APPEND", "p", ""), 11),
    ("GET p", "hello world"),
    ("SET t v EX 100", OK),
    ("APPEND t w", 2),
    ("TTL t", 100),
    (("APPEND", "empty", ""), 0),
    ("EXISTS empty", 1),
]

SET = [
    ("SET k v NX", OK),
    ("SET k w NX", None),
    ("GET k", "v"),
    ("SET k w XX", OK),
    ("SET nothing w XX", None),
    ("EXISTS nothing", 0),
    ("SET k x GET", "w"),
    ("SET new x GET", None),
    ("SET new y NX GET", "x"),
    ("GET new", "x"),
    ("SET absent y XX GET", None),
    ("EXISTS absent", 0),
    ("SET absent y GET NX", None),
    ("GET absent", "y"),
    ("SET k v xx get ex 100", "x"),
    ("TTL k", 100),
    ("SET k v KEEPTTL", OK),
    ("TTL k", 100),
    ("SET k v", OK),
    ("TTL k", -1),
    ("SET k v KEEPTTL", OK),
    ("TTL k", -1),
    ("SET k v PX 100000", OK),
    ("TTL k", 100),
    ("SET k v EXAT 33177117420", OK),
    ("SET k v PXAT 33177117420000", OK),
    ("SET k v EX 100 EX 200", OK),
    ("TTL k", 200),
    ("SET k v GET GET", "v"),
    ("SET k v NX XX", SYNTAX),
    ("SET k v XX NX", SYNTAX),
    ("SET k v EX", SYNTAX),
    ("SET k v PX", SYNTAX),
    ("SET k v EXAT", SYNTAX),
    ("SET k v PXAT", SYNTAX),
    ("SET k v EX 1 PX 1", SYNTAX),
    ("SET k v EX 1 KEEPTTL", SYNTAX),
    ("SET k v KEEPTTL PXAT 1", SYNTAX),
    ("SET k v EXAT 1 PXAT 1", SYNTAX),
    ("SET k v PERSIST", SYNTAX),
    ("SET k v what", SYNTAX),
    ("SET k v EX NX", NOT_INTEGER),
    (("SET", "k", "v", ""), SYNTAX),
    ("SET k v EX 0", bad_expire("set")),
    ("SET k v EX -1", bad_expire("set")),
    ("SET k v PX 0", bad_expire("set")),
    ("SET k v EXAT 0", bad_expire("set")),
    ("SET k v PXAT -5", bad_expire("set")),
    ("SET k v EX 1.5", NOT_INTEGER),
    ("SET k v EX abc", NOT_INTEGER),
    ("SET k v EX +1", NOT_INTEGER),
    ("SET k v EX 01", NOT_INTEGER),
    (("SET", "k", "v", "EX", ""), NOT_INTEGER),
    (("SET", "k", "v", "EX", " 1"), NOT_INTEGER),
    (f"SET k v EX {MAX}", bad_expire("set")),
    (f"SET k v EX {MAX // 1000}", bad_expire("set")),
    (f"SET k v PX {MAX}", bad_expire("set")),
    (f"SET k v PX {MAX + 1}", NOT_INTEGER),
    (f"SET k v EX {MIN}", bad_expire("set")),
    ("SET k v EX 0 what", SYNTAX),
    ("GET k", "v"),
    ("SET k w PXAT 1", OK),
    ("GET k", None),
    ("SET k w EXAT 1", OK),
    ("EXISTS k", 0),
    ("SET k v", OK),
    ("SET k w NX EX 100", None),
    ("TTL k", -1),
    ("SETEX k 100 v", OK),
    ("TTL k", 100),
    ("SETEX k 0 v", bad_expire("setex")),
    ("SETEX k -1 v", bad_expire("setex")),
    ("SETEX k abc v", NOT_INTEGER),
    (f"SETEX k {MAX} v", bad_expire("setex")),
    ("PSETEX k 100000 v", OK),
    ("TTL k", 100),
    ("PSETEX k 0 v", bad_expire("psetex")),
    ("PSETEX k 1.0 v", NOT_INTEGER),
    (f"PSETEX k {MAX} v", bad_expire("psetex")),
]

NUMBERS = [
    ("INCR n", 1),
    ("INCR n", 2),
    ("GET n", "2"),
    ("DECR n", 1),
    ("DECR fresh", -1),
    ("INCRBY n 41", 42),
    ("INCRBY n -42", 0),
    ("INCRBY n 0", 0),
    ("DECRBY n 5", -5),
    ("DECRBY n -5", 0),
    ("INCRBY n abc", NOT_INTEGER),
    ("INCRBY n 1.5", NOT_INTEGER),
    ("INCRBY n +1", NOT_INTEGER),
    ("INCRBY n 007", NOT_INTEGER),
    (("INCRBY", "n", ""), NOT_INTEGER),
    (f"INCRBY n {MAX + 1}", NOT_INTEGER),
    (f"DECRBY n {MIN}", Error("ERR decrement would overflow")),
    (f"DECRBY n {MIN - 1}", NOT_INTEGER),
    ("GET n", "0"),
    (f"SET n {MAX}", OK),
    ("INCR n", Error("ERR increment or decrement would overflow")),
    ("DECR n", MAX - 1),
    ("INCRBY n 2", Error("ERR increment or decrement would overflow")),
    (f"SET n {MIN}", OK),
    ("DECR n", Error("ERR increment or decrement would overflow")),
    ("DECRBY n 1", Error("ERR increment or decrement would overflow")),
    ("INCR n", MIN + 1),
    (f"INCRBY n {MIN}", Error("ERR increment or decrement would overflow")),
    (f"INCRBY low {MIN}", MIN),
    ("SET n abc", OK),
    ("INCR n", NOT_INTEGER),
    ("DECR n", NOT_INTEGER),
    ("INCRBY n 1", NOT_INTEGER),
    ("SET n 1.0", OK),
    ("INCR n", NOT_INTEGER),
    (("SET", "n", " 1"), OK),
    ("INCR n", NOT_INTEGER),
    (("SET", "n", "1 "), OK),
    ("INCR n", NOT_INTEGER),
    (("SET", "n", ""), OK),
    ("INCR n", NOT_INTEGER),
    ("SET n -0", OK),
    ("INCR n", NOT_INTEGER),
    ("SET n 01", OK),
    ("INCR n", NOT_INTEGER),
    (("SET", "n", b"1\0"), OK),
    ("INCR n", NOT_INTEGER),
    (f"SET n {MAX + 1}", OK),
    ("INCR n", NOT_INTEGER),
    ("SET n 10 EX 100", OK),
    ("INCR n", 11),
    ("TTL n", 100),
]

KEYS = [
    ("MSET a 1 b 2 c 3 d 4", OK),
    ("EXISTS a", 1),
    ("EXISTS a a nothing b", 3),
    ("TOUCH a b nothing", 2),
    ("TYPE a", Simple("string")),
    ("TYPE nothing", Simple("none")),
    ("DBSIZE", 4),
    ("DEL a a nothing", 1),
    ("UNLINK b nothing", 1),
    ("DEL nothing", 0),
    ("DBSIZE", 2),
    ("KEYS c", ["c"]),
    ("KEYS nothing*", []),
    ("KEYS [ab]", []),
    ("KEYS [^ab]x", []),
    ("KEYS ?x", []),
    ("KEYS \\c", ["c"]),
    ("KEYS [c-c]", ["c"]),
    ("KEYS [d-c]*e", []),
    ("SET h*llo 1", OK),
    ("KEYS h\\*llo", ["h*llo"]),
    ("KEYS h[*]llo", ["h*llo"]),
    ("KEYS H*", []),
    ("TTL c", -1),
    ("PTTL c", -1),
    ("TTL nothing", -2),
    ("PTTL nothing", -2),
    ("FLUSHDB", OK),
    ("DBSIZE", 0),
    ("SET a 1", OK),
    ("FLUSHALL ASYNC", OK),
    ("SET a 1", OK),
    ("FLUSHALL sync", OK),
    ("FLUSHDB sync", OK),
    ("FLUSHALL what", SYNTAX),
    ("FLUSHDB what", SYNTAX),
    ("FLUSHALL ASYNC SYNC", SYNTAX),
    ("KEYS *", []),
]

EXPIRE = [
    ("EXPIRE nothing 100", 0),
    ("PERSIST nothing", 0),
    ("SET k v", OK),
    ("PERSIST k", 0),
    ("EXPIRE k 100", 1),
    ("TTL k", 100),
    ("PERSIST k", 1),
    ("TTL k", -1),
    ("PEXPIRE k 100000", 1),
    ("TTL k", 100),
    ("EXPIREAT k 33177117420", 1),
    ("PEXPIREAT k 33177117420000", 1),
    ("EXPIRE k 100 NX", 0),
    ("EXPIRE k 100 XX", 1),
    ("EXPIRE k 50 GT", 0),
    ("EXPIRE k 200 GT", 1),
    ("EXPIRE k 300 LT", 0),
    ("EXPIRE k 100 LT", 1),
    ("TTL k", 100),
    ("EXPIRE k 200 XX GT", 1),
    ("EXPIRE k 100 xx lt", 1),
    ("EXPIRE k 100 XX XX", 1),
    ("PERSIST k", 1),
    ("EXPIRE k 100 XX", 0),
    ("EXPIRE k 100 GT", 0),
    ("EXPIRE k 100 LT", 1),
    ("PERSIST k", 1),
    ("EXPIRE k 100 XX LT", 0),
    ("EXPIRE k 100 NX", 1),
    ("TTL k", 100),
    ("EXPIRE k 100 NX XX", Error("ERR NX and XX, GT or LT options at the same time are not compatible")),
    ("EXPIRE k 100 NX GT", Error("ERR NX and XX, GT or LT options at the same time are not compatible")),
    ("EXPIRE k 100 GT LT", Error("ERR GT and LT options at the same time are not compatible")),
    ("EXPIRE k 100 what", unsupported("what")),
    ("EXPIRE k 100 NX what", unsupported("what")),
    ("EXPIRE k abc what", unsupported("what")),
    ("PEXPIREAT k 1 what", unsupported("what")),
    ("EXPIRE k abc", NOT_INTEGER),
    ("EXPIRE k 1.5", NOT_INTEGER),
    ("EXPIRE nothing abc", NOT_INTEGER),
    (f"EXPIRE k {MAX}", bad_expire("expire")),
    (f"EXPIRE k {MIN}", bad_expire("expire")),
    (f"EXPIRE k {MAX // 1000}", bad_expire("expire")),
    (f"EXPIRE k {MAX + 1}", NOT_INTEGER),
    (f"PEXPIRE k {MAX}", bad_expire("pexpire")),
    (f"EXPIREAT k {MAX}", bad_expire("expireat")),
    (f"PEXPIREAT k {MAX + 1}", NOT_INTEGER),
    ("TTL k", 100),
    ("EXPIRE k 0", 1),
    ("EXISTS k", 0),
    ("SET k v", OK),
    ("EXPIRE k -1", 1),
    ("GET k", None),
    ("SET k v", OK),
    ("PEXPIRE k -1", 1),
    ("GET k", None),
    ("SET k v", OK),
    ("EXPIREAT k 1", 1),
    ("GET k", None),
    ("SET k v", OK),
    (f"PEXPIREAT k {MIN}", 1),
    ("GET k", None),
    ("SET k v", OK),
    (f"PEXPIREAT k {MAX}", 1),
    ("GET k", "v"),
]

SCAN = [
    ("SCAN abc", Error("ERR invalid cursor")),
    (("SCAN", " 0"), Error("ERR invalid cursor")),
    ("SCAN 0x", Error("ERR invalid cursor")),
    ("SCAN 99999999999999999999", Error("ERR invalid cursor")),
    ("SCAN 0 COUNT", SYNTAX),
    ("SCAN 0 MATCH", SYNTAX),
    ("SCAN 0 COUNT 0", SYNTAX),
    ("SCAN 0 COUNT -1", SYNTAX),
    ("SCAN 0 COUNT abc", NOT_INTEGER),
    ("SCAN 0 what x", SYNTAX),
    ("SCAN 0 MATCH k what", SYNTAX),
    ("SCAN abc what", Error("ERR invalid cursor")),
]

CONNECTION = [
    ("PING", Simple("PONG")),
    ("ping", Simple("PONG")),
    ("PING hello", "hello"),
    (("PING", ""), ""),
    (("ECHO", b"a\r\n\0b"), b"a\r\n\0b"),
    (("ECHO", ""), ""),
    ("SELECT 0", OK),
    ("SELECT 16", Error("ERR DB index is out of range")),
    ("SELECT 100", Error("ERR DB index is out of range")),
    ("SELECT -1", Error("ERR DB index is out of range")),
    ("SELECT abc", NOT_INTEGER),
    ("SELECT 1.0", NOT_INTEGER),
    ("SELECT 3000000000", Error("ERR value is out of range, value must between -2147483648 and 2147483647")),
    (f"SELECT {MAX + 1}", NOT_INTEGER),
    ("CLIENT GETNAME", None),
    ("CLIENT SETNAME me", OK),
    ("client getname", "me"),
    (("CLIENT", "SETNAME", "a b"), Error("ERR Client names cannot contain spaces, newlines or special characters.")),
    (("CLIENT", "SETNAME", "a\n"), Error("ERR Client names cannot contain spaces, newlines or special characters.")),
    (("CLIENT", "SETNAME", b"\xff"), Error("ERR Client names cannot contain spaces, newlines or special characters.")),
    ("CLIENT GETNAME", "me"),
    (("CLIENT", "SETNAME", ""), OK),
    ("CLIENT GETNAME", None),
    ("CLIENT SETINFO LIB-NAME mine", OK, SINCE72),
    ("CLIENT SETINFO lib-ver 1.2", OK, SINCE72),
    (("CLIENT", "SETINFO", "lib-name", ""), OK, SINCE72),
    ("CLIENT SETINFO what x", Error("ERR Unrecognized option 'what'"), SINCE72),
    (("CLIENT", "SETINFO", "LIB-NAME", "a b"),
     Error("ERR LIB-NAME cannot contain spaces, newlines or special characters."), SINCE72),
    (("CLIENT", "SETINFO", "lib-ver", "a b"),
     Error("ERR lib-ver cannot contain spaces, newlines or special characters."), SINCE72),
    ("CLIENT what", Error("ERR unknown subcommand 'what'. Try CLIENT HELP.")),
    ("CONFIG what", Error("ERR unknown subcommand 'what'. Try CONFIG HELP.")),
    ("COMMAND what", Error("ERR unknown subcommand 'what'. Try COMMAND HELP.")),
    ("CLIENT what x", Error("ERR unknown subcommand 'what'. Try CLIENT HELP.")),
    ("CLIENT LIST what", SYNTAX),
    ("AUTH secret", Error("ERR AUTH <password> called without any password configured for the default user. Are you "
                          "sure your configuration is correct?")),
    ("AUTH default anything", OK),
    ("AUTH nobody anything", Error("WRONGPASS invalid username-password pair or user is disabled.")),
    ("AUTH a b c", SYNTAX),
    ("HELLO abc", Error("ERR Protocol version is not an integer or out of range")),
    ("HELLO 1", Error("NOPROTO unsupported protocol version")),
    ("HELLO 4", Error("NOPROTO unsupported protocol version")),
    ("HELLO -1", Error("NOPROTO unsupported protocol version")),
    ("HELLO 3 what", Error("ERR Syntax error in HELLO option 'what'")),
    ("HELLO 3 AUTH default", Error("ERR Syntax error in HELLO option 'AUTH'")),
    ("HELLO 3 SETNAME", Error("ERR Syntax error in HELLO option 'SETNAME'")),
    ("HELLO 3 AUTH nobody x", Error("WRONGPASS invalid username-password pair or user is disabled.")),
    (("HELLO", "3", "SETNAME", "a b"),
     Error("ERR Client names cannot contain spaces, newlines or special characters.")),
    ("CLIENT GETNAME", None),
    ("SHUTDOWN what", SYNTAX),
    ("SHUTDOWN SAVE NOSAVE", SYNTAX),
    ("SHUTDOWN ABORT", Error("ERR No shutdown in progress.")),
    ("SHUTDOWN ABORT NOW", SYNTAX),
    ("INFO nothing", Verbatim(b"")),
    ("CONFIG GET nothing", {}),
    ("CONFIG GET appendonly", {"appendonly": "no"}),
    ("config get APPENDONLY", {"APPENDONLY": "no"}),
    ("CONFIG GET save", {"save": ""}),
    ("CONFIG GET maxmemory-policy", {"maxmemory-policy": "allkeys-lru"}),
    ("COMMAND DOCS nothing", {}),
]

ARITY = [
    (words, arity(name)) for name, *requests in (
        ("get", "GET", "GET a b"),
        ("set", "SET", "SET k"),
        ("setnx", "SETNX k", "SETNX k v x"),
        ("setex", "SETEX k 1", "SETEX k 1 v x"),
        ("psetex", "PSETEX k 1", "PSETEX k 1 v x"),
        ("getset", "GETSET k", "GETSET k v x"),
        ("mget", "MGET"),
        ("mset", "MSET", "MSET k", "MSET k v k2"),
        ("append", "APPEND k", "APPEND k v x"),
        ("strlen", "STRLEN", "STRLEN a b"),
        ("incr", "INCR", "INCR a 1"),
        ("decr", "DECR", "DECR a 1"),
        ("incrby", "INCRBY a", "INCRBY a 1 2"),
        ("decrby", "DECRBY a", "DECRBY a 1 2"),
        ("del", "DEL", "del"),
        ("unlink", "UNLINK"),
        ("exists", "EXISTS"),
        ("touch", "TOUCH"),
        ("type", "TYPE", "TYPE a b"),
        ("ttl", "TTL", "TTL a b"),
        ("pttl", "PTTL", "PTTL a b"),
        ("expire", "EXPIRE", "EXPIRE k"),
        ("pexpire", "PEXPIRE k"),
        ("expireat", "EXPIREAT k"),
        ("pexpireat", "PEXPIREAT k"),
        ("persist", "PERSIST", "PERSIST a b"),
        ("scan", "SCAN"),
        ("keys", "KEYS", "KEYS a b"),
        ("dbsize", "DBSIZE x"),
        ("ping", "PING a b", "PING a b c"),
        ("echo", "ECHO", "ECHO a b"),
        ("select", "SELECT", "SELECT 0 0"),
        ("reset", "RESET x"),
        ("auth", "AUTH"),
        ("time", "TIME x"),
        ("client", "CLIENT"),
        ("config", "CONFIG"),
        ("client|id", "CLIENT ID x"),
        ("client|setname", "CLIENT SETNAME", "CLIENT SETNAME a b"),
        ("client|getname", "CLIENT GETNAME x"),
        ("config|get", "CONFIG GET"),
        ("command|count", "COMMAND COUNT x"),
    ) for words in requests] + [
    ("CLIENT SETINFO", arity("client|setinfo"), SINCE72),
    ("CLIENT SETINFO LIB-NAME", arity("client|setinfo"), SINCE72),
    ("CLIENT SETINFO LIB-NAME a b", arity("client|setinfo"), SINCE72),
    ("PUT", arity("put"), OURS),
    ("PUT k", arity("put"), OURS),
    ("PUT k v EX", arity("put"), OURS),
]

UNKNOWN = [
    ("nothing", unknown("nothing")),
    ("Nothing A b", unknown("Nothing", "A", "b")),
    (("nothing", ""), unknown("nothing", "")),
    (("", "x"), unknown("", "x")),
    (("GET ", "x"), unknown("GET ", "x")),
    (("get\0", "x"), unknown("get", "x")),
    (("n\r\nx", "a\r\nb"), unknown("n  x", "a  b")),
    (("nothing", "it's"), unknown("nothing", "it's")),
    (("n" * 200, "x"), unknown("n" * 128, "x")),
    (("nothing", "a" * 200, "b"), unknown("nothing", "a" * 128)),
    (("nothing", "a" * 100, "b" * 100, "c"), unknown("nothing", "a" * 100, "b" * 25)),
    (("nothing", "a" * 124, "bcd", "e"), unknown("nothing", "a" * 124, "b")),
    (("nothing", "a" * 125, "b", "c"), unknown("nothing", "a" * 125)),
    (("nothing", *"abcdefgh" * 20), unknown("nothing", *("abcdefgh" * 20)[:32])),
    ("LPUSH list x", unknown("LPUSH", "list", "x"), OURS),
    ("HSET hash f v", unknown("HSET", "hash", "f", "v"), OURS),
]


# ---- running a table ----


class Local:
    """The local Redis, started when the first table asks for it."""
    redis = None

    @classmethod
    def get(cls):
        if cls.redis is None:
            cls.redis = Redis("--maxmemory-policy", "allkeys-lru")
            atexit.register(cls.redis.stop)
        return cls.redis


def run_table(connection, table, resp, skipped):
    """Returns what is wrong, a line for each row. What is left to live is as much less as the table has taken so far."""
    wrong, began = [], time.monotonic()
    for row in table:
        words, value = row[0], row[1]
        if (row[2] if len(row) > 2 else "") in skipped:
            continue
        words = tuple(words.split()) if isinstance(words, str) else words
        got = connection.answer(request(*words))
        want = reply(value, resp)
        late = round(time.monotonic() - began) if words[0] == "TTL" and value == 100 else 0
        if got not in (want, *(reply(value - s, resp) for s in range(1, late + 1))):
            wrong.append(f"RESP{resp} {shown(b' '.join(map(to_bytes, words)))}: {shown(got)}, not {shown(want)}")
    return wrong


def run_versions(server, table, skipped, name):
    wrong = []
    for resp in (2, 3):
        with server.connect() as c:
            if resp == 3:
                c.ask("HELLO 3")
            c.ask("FLUSHALL")
            wrong += [f"{name}: {line}" for line in run_table(c, table, resp, skipped)]
    return wrong


def check_table(table):
    redis = Local.get()
    wrong = run_versions(redis, table, {OURS} | ({SINCE72} if redis.version < (7, 2) else set()), "Redis")
    with Server() as server:
        wrong += run_versions(server, table, set(), "sponson")
    check(not wrong, "\n".join(wrong))


@test
def strings():
    """Commands on strings answer as Redis does."""
    check_table(STRINGS)


@test
def set_options():
    """SET, SETEX and PSETEX take their options as Redis does."""
    check_table(SET)


@test
def numbers():
    """INCR and its kin count as Redis does, up to both ends of 64 bits."""
    check_table(NUMBERS)


@test
def keys():
    """Commands on keys answer as Redis does."""
    check_table(KEYS)


@test
def expire():
    """EXPIRE and its kin answer as Redis does."""
    check_table(EXPIRE)


@test
def scan():
    """SCAN refuses what Redis refuses."""
    check_table(SCAN)


@test
def scan_options():
    """SCAN with MATCH, COUNT and TYPE finds the keys that Redis finds."""
    def scanned(c, *options):
        cursor, found = "0", set()
        while True:
            cursor, page = c.ask("SCAN", cursor, *options)
            found |= set(page)
            if cursor == b"0":
                return found

    with Server() as server:
        for target in (Local.get(), server):
            with target.connect() as c:
                c.ask("FLUSHALL")
                equal(scanned(c), set())
                keys = {b"key%d" % i for i in range(300)} | {b"\0\r\n"}
                for key in keys:
                    c.ask("SET", key, "v")
                equal(scanned(c), keys)
                for count in ("1", "10", "1000", "1000000000", str(MAX)):
                    equal(scanned(c, "COUNT", count), keys, f"COUNT {count}")
                ones = {k for k in keys if k.startswith(b"key1")}
                equal(scanned(c, "MATCH", "key1*"), ones)
                equal(scanned(c, "match", "key1*", "count", "7", "type", "STRING"), ones)
                equal(scanned(c, "TYPE", "list"), set())
                equal(scanned(c, "MATCH", "key1", "MATCH", "key2"), {b"key2"})


@test
def connection():
    """Commands on the connection and the server answer as Redis does."""
    check_table(CONNECTION)


@test
def arity_errors():
    """A wrong number of arguments gets Redis's error line, for every command."""
    check_table(ARITY)


@test
def unknown_commands():
    """An unknown command gets Redis's error line, cut where Redis cuts it."""
    check_table(UNKNOWN)


# ---- replies that are not the same bytes each time ----


@test
def hello():
    """HELLO tells the version of Redis that clients choose by, and switches the protocol."""
    with Server() as server, server.connect() as c:
        two = c.ask("HELLO")
        check(isinstance(two, list), f"RESP2 has no maps: {shown(two)}")
        two = dict(zip(two[::2], two[1::2]))
        three = c.ask("HELLO 3")
        check(isinstance(three, dict), f"RESP3 has maps: {shown(three)}")
        equal(two | {b"proto": 3}, three)
        equal(three[b"server"], b"redis")
        check(three[b"version"].startswith(b"7.2."), three)
        check(three[b"sponson_version"], three)
        equal((three[b"proto"], three[b"mode"], three[b"role"], three[b"modules"]),
              (3, b"standalone", b"master", []))
        equal(three[b"id"], c.ask("CLIENT ID"))
        equal(c.ask("HELLO")[b"proto"], 3, "HELLO alone changes nothing")
        equal(c.answer(request("GET nothing")), b"_\r\n")
        check(isinstance(c.ask("HELLO 2"), list), "back to RESP2")
        equal(c.answer(request("GET nothing")), b"$-1\r\n")
        c.ask("HELLO 3 SETNAME me")
        equal(c.ask("CLIENT GETNAME"), b"me")
        c.ask("HELLO 3 AUTH default anything SETNAME you")
        equal(c.ask("CLIENT GETNAME"), b"you")
        equal(c.ask("HELLO 4"), Error("NOPROTO unsupported protocol version"))
        equal(c.answer(request("GET nothing")), b"_\r\n", "a refused version changes nothing")


@test
def reset():
    """RESET takes a connection back to RESP2, without a name."""
    for target in (Local.get(), None):
        with target.connect() if target else Server() as first:
            c = first if target else first.connect()
            c.ask("HELLO 3 SETNAME me")
            equal(c.answer(request("RESET") + request("CLIENT GETNAME")), b"+RESET\r\n$-1\r\n")


@test
def quit_closes():
    """QUIT answers OK and closes; what follows it is not executed."""
    with Server() as server:
        for words in ("QUIT", "quit now"):
            with server.connect() as c, server.connect() as other:
                c.send(request("SET k v") + request(words) + request("DEL k"))
                equal(c.rest(), b"+OK\r\n+OK\r\n")
                equal(other.ask("GET k"), b"v")


@test
def time_command():
    """TIME tells seconds and microseconds."""
    with Server() as server, server.connect() as c:
        before = time.time()
        seconds, micros = c.ask("TIME")
        check(before - 1 <= int(seconds) + int(micros) / 1e6 <= time.time() + 1, (seconds, micros))
        check(0 <= int(micros) < 10**6, micros)


@test
def pttl():
    """PTTL tells the milliseconds that are left, and TTL rounds them as Redis does."""
    for target in (Local.get(), None):
        with target.connect() if target else Server() as first:
            c = first if target else first.connect()
            c.ask("SET k v PX 100000")
            left = c.ask("PTTL k")
            check(90000 < left <= 100000, left)
            equal(c.pipeline([request("PEXPIRE k 1999"), request("TTL k")]), [1, 2])  # until half a second is over
            equal(c.pipeline([request("PEXPIRE k 1499"), request("TTL k")]), [1, 1])


@test
def expired():
    """A key whose time ran out is gone for every command."""
    from harness import until
    with Server() as server, server.connect() as c:
        for words, gone in (("GET k", None), ("EXISTS k", 0), ("TTL k", -2), ("TYPE k", Simple("none")),
                            ("STRLEN k", 0), ("DEL k", 0), ("SETNX k w", 1), ("APPEND k w", 1), ("INCR k", 1),
                            ("EXPIRE k 10", 0), ("PERSIST k", 0), ("GETSET k w", None), ("SET k w XX", None),
                            ("KEYS k", []), ("MGET k k", [None, None])):
            equal(c.ask("SET k v PX 20"), OK)
            until(lambda: c.ask("PTTL k") == -2, 5, "the key expires")
            equal(c.ask(words), gone, words)


@test
def command_table():
    """COMMAND, COUNT, LIST, INFO and DOCS tell of every command of the specification."""
    names = """put get set setnx setex psetex getset mget mset append strlen incr decr incrby decrby del unlink exists
        touch type ttl pttl expire pexpire expireat pexpireat persist scan keys dbsize flushall flushdb ping echo
        select quit reset hello auth command info config client shutdown time""".split()
    with Server() as server, server.connect() as c:
        listed = [n.decode() for n in c.ask("COMMAND LIST")]
        equal(sorted(set(names) - set(listed)), [], "not listed")
        check("client|list" in listed, "subcommands are listed as well")
        listed = [n for n in listed if "|" not in n]
        equal(c.ask("COMMAND COUNT"), len(listed))
        equal(len(c.ask("COMMAND")), len(listed))
        equal(len(c.ask("COMMAND INFO")), len(listed))
        docs = c.ask("COMMAND DOCS")
        equal(sorted(d.decode() for d in docs[::2]), sorted(listed))
        redis = Local.get().connect()
        for name in sorted(set(listed) - {"put", "delex", "delifeq", "hotkeys", "msetex"}):
            ours, theirs = c.ask("COMMAND", "INFO", name)[0], redis.ask("COMMAND", "INFO", name)[0]
            check(theirs is not None, f"Redis has no {name}")
            equal(len(ours), 10, name)
            if name not in ("quit",):  # 7.2 counts one less than 7.0
                equal((name, ours[1], ours[3:6]), (name, theirs[1], theirs[3:6]), "arity and keys")
        equal(c.answer(request("COMMAND INFO nothing")), b"*1\r\n$-1\r\n")
        redis.close()
        c.ask("HELLO 3")
        equal(c.answer(request("COMMAND INFO nothing")), b"*1\r\n_\r\n")
        docs = c.ask("COMMAND DOCS GET nothing SET")
        equal(sorted(docs), [b"get", b"set"])
        check(b"summary" in docs[b"get"] and b"group" in docs[b"get"], docs)


def hint(argument):
    """What redis-cli shows of one argument of COMMAND DOCS."""
    text = argument[b"token"].decode() + " " if b"token" in argument else ""
    kind, flags = argument[b"type"].decode(), argument.get(b"flags", [])
    if kind in ("oneof", "block"):
        text += (" | " if kind == "oneof" else " ").join(hint(a) for a in argument[b"arguments"])
    elif kind != "pure-token":
        text += argument[b"name"].decode() + ":" + kind
    text = text.strip()
    text = f"{text} [{text} ...]" if "multiple" in flags else text
    return f"[{text}]" if "optional" in flags else text


@test
def command_docs_arguments():
    """COMMAND DOCS tells the arguments as redis-cli makes its hints of them."""
    ttl = "EX seconds:integer | PX milliseconds:integer | EXAT unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time"
    wanted = {
        "get": "key:key",
        "set": f"key:key value:string [NX | XX | IFEQ comparison-value:string] [GET] [{ttl} | KEEPTTL]",
        "mget": "key:key [key:key ...]",
        "mset": "key:key value:string [key:key value:string ...]",
        "expire": "key:key seconds:integer [NX | XX | GT | LT]",
        "scan": "cursor:integer [MATCH pattern:string] [COUNT count:integer] [TYPE type:string]",
        "hello": "[protover:integer [AUTH username:string password:string] [SETNAME clientname:string]]",
        "copy": "source:key destination:key [DB destination-db:integer] [REPLACE]",
        "client|reply": "ON | OFF | SKIP",
        "client|setinfo": "LIB-NAME libname:string | LIB-VER libver:string",
        "command|info": "[command-name:string [command-name:string ...]]",
    }
    with Server() as server, server.connect() as c:
        c.ask("HELLO 3")
        docs = c.ask("COMMAND", "DOCS", *wanted)
        for name, want in wanted.items():
            equal(" ".join(hint(a) for a in docs[name.encode()][b"arguments"]), want, name)
        check(b"arguments" not in c.ask("COMMAND DOCS dbsize")[b"dbsize"], "none")
        with server.connect() as two:  # in RESP2 the same, as arrays
            equal(len(two.ask("COMMAND DOCS")), 2 * two.ask("COMMAND COUNT"))


@test
def info():
    """INFO has the sections and lines that clients and tools read."""
    wanted = """redis_version sponson_version redis_mode run_id tcp_port uptime_in_seconds connected_clients maxclients
        blocked_clients used_memory used_memory_human used_memory_rss maxmemory maxmemory_policy loading
        rdb_bgsave_in_progress aof_rewrite_in_progress total_connections_received total_commands_processed
        expired_keys evicted_keys keyspace_hits keyspace_misses role connected_slaves cluster_enabled""".split()
    with Server() as server, server.connect() as c:
        c.ask("MSET a 1 b 2")
        c.ask("EXPIRE a 100")
        c.ask("MGET a b c")
        info = c.info()
        equal([w for w in wanted if w not in info], [], "missing")
        check(info["redis_version"].startswith("7.2."), info["redis_version"])
        equal((info["tcp_port"], info["connected_clients"], info["keyspace_hits"], info["keyspace_misses"]),
              (str(server.port), "1", "2", "1"))
        check(info["db0"].startswith("keys=2,expires=1"), info["db0"])
        for words in ("INFO replication", "info REPLICATION", "INFO all", "INFO everything", "INFO default",
                      "INFO server replication"):
            check(b"role:master\r\n" in c.ask(words), words)
        check(b"role:" not in c.ask("INFO server"), "INFO server is one section")
        check(all(line.endswith(b"\r") for line in c.ask("INFO").split(b"\n")[:-1]), "lines end in CRLF")
        c.ask("HELLO 3")
        check(isinstance(c.ask("INFO"), Verbatim), "RESP3: a verbatim string")


@test
def config_get():
    """CONFIG GET takes patterns, several of them, and shows no password."""
    with Server("--maxmemory", "100mb", "--requirepass", "secret") as server, server.connect() as c:
        c.ask("AUTH secret")
        equal(c.ask("CONFIG GET maxmemory"), [b"maxmemory", b"104857600"])
        got = c.ask("CONFIG GET maxm* timeout maxmemory")
        names = got[::2]
        equal(len(names), len(set(names)), "each once")
        check({b"maxmemory", b"maxmemory-policy", b"timeout"} <= set(names), names)
        every = c.ask("CONFIG GET *")
        check(len(every) > 60 and b"secret" not in every, every)
        c.ask("HELLO 3")
        equal(c.ask("CONFIG GET timeout"), {b"timeout": b"0"})


@test
def client_list():
    """CLIENT LIST tells a line for each connection, with its name and library."""
    with Server() as server, server.connect() as a, server.connect() as b:
        b.ask("PING")
        a.ask("CLIENT SETNAME me")
        a.ask("CLIENT SETINFO LIB-NAME mine")
        a.ask("CLIENT SETINFO LIB-VER 1.2")
        text = a.ask("CLIENT LIST")
        check(text.endswith(b"\n") and text.count(b"\n") == 2, text)
        lines = [dict(f.split("=", 1) for f in line.split(" ")) for line in text.decode().splitlines()]
        mine = [x for x in lines if x["name"] == "me"][0]
        equal((mine["lib-name"], mine["lib-ver"], mine["resp"], mine["db"], mine["cmd"]),
              ("mine", "1.2", "2", "0", "client|list"))
        equal(mine["addr"], "127.0.0.1:%d" % a.socket.getsockname()[1])
        equal(mine["id"], str(a.ask("CLIENT ID")))
        equal(len({x["id"] for x in lines}), 2)
        a.ask("HELLO 3")
        check(isinstance(a.ask("CLIENT LIST"), Verbatim), "RESP3: a verbatim string")


NOAUTH = Error("NOAUTH Authentication required.")
WRONGPASS = Error("WRONGPASS invalid username-password pair or user is disabled.")
NOAUTH_HELLO = Error("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> "
                     "AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol "
                     "version at the same time")

PASSWORD = [
    ("PING", NOAUTH),
    ("GET k", NOAUTH),
    ("SET k v", NOAUTH),
    ("INFO", NOAUTH),
    ("CLIENT ID", NOAUTH),
    ("COMMAND", NOAUTH),
    ("SHUTDOWN", NOAUTH),
    ("GET", arity("get")),
    ("nothing x", unknown("nothing", "x")),
    ("CLIENT what", Error("ERR unknown subcommand 'what'. Try CLIENT HELP.")),
    ("HELLO", NOAUTH_HELLO, SINCE72),
    ("HELLO 3", NOAUTH_HELLO, SINCE72),
    ("HELLO 3 SETNAME x", NOAUTH_HELLO, SINCE72),
    ("HELLO 4", Error("NOPROTO unsupported protocol version")),
    ("AUTH wrong", WRONGPASS),
    (("AUTH", ""), WRONGPASS),
    ("AUTH secre", WRONGPASS),
    ("AUTH secretsecret", WRONGPASS),
    ("AUTH SECRET", WRONGPASS),
    ("AUTH nobody secret", WRONGPASS),
    ("AUTH default wrong", WRONGPASS),
    ("HELLO 3 AUTH default wrong", WRONGPASS),
    ("AUTH a b c", SYNTAX),
    ("PING", NOAUTH),
    ("AUTH secret", OK),
    ("PING", Simple("PONG")),
    ("AUTH wrong", WRONGPASS),
    ("PING", Simple("PONG")),
    ("RESET", Simple("RESET")),
    ("PING", NOAUTH),
    ("AUTH default secret", OK),
    ("PING", Simple("PONG")),
]


@test
def password():
    """With requirepass nothing is answered before AUTH or HELLO AUTH, and the errors are Redis's."""
    def authenticated_marker(c, words):
        """As answer(), for a connection that may not ECHO: an unknown command is answered either way."""
        c.send(request(*words) + request("marker"))
        end = reply(unknown("marker"))
        data = b""
        while not data.endswith(end):
            data += c.line() + b"\r\n"
        return data[:-len(end)]

    wrong = []
    with Redis("--requirepass", "secret") as redis, Server("--requirepass", "secret") as server:
        for name, target in (("Redis", redis), ("sponson", server)):
            with target.connect() as c:
                for words, value, *mark in PASSWORD:
                    if target is redis and SINCE72 in mark and redis.version < (7, 2):
                        continue
                    words = tuple(words.split()) if isinstance(words, str) else words
                    got = authenticated_marker(c, words)
                    if got != reply(value):
                        wrong.append(f"{name} {shown(words)}: {shown(got)}, not {shown(reply(value))}")
            with target.connect() as c:
                hello = c.ask("HELLO 3 AUTH default secret SETNAME me")
                check(isinstance(hello, dict) and hello[b"proto"] == 3, f"{name}: {shown(hello)}")
                equal(c.ask("CLIENT GETNAME"), b"me")
            with target.connect() as c:
                c.send(request("QUIT"))
                equal(c.rest(), b"+OK\r\n", f"{name}: QUIT needs no password")
    check(not wrong, "\n".join(wrong))


@test
def databases_in_one_batch():
    """What comes behind SELECT, SWAPDB or FLUSHDB in one piece means the database that it then is."""
    with Server() as server, server.connect() as c:
        def batch(text):
            return c.pipeline([request(line) for line in text.split(", ")])
        equal(batch("SELECT 7, SET k 15, GET k, TTL k, STRLEN k, SUBSTR k 0 0, GETEX k, INCR k, TYPE k, EXISTS k, GETDEL k"),
              [OK, OK, b"15", -1, 2, b"1", b"15", 16, Simple("string"), 1, b"16"])
        equal(batch("SELECT 1, SET k one, SELECT 2, SET k two, GET k, SELECT 1, GET k, SWAPDB 1 2, GET k, SELECT 2, GET k"),
              [OK, OK, OK, OK, b"two", OK, b"one", OK, b"two", OK, b"one"])
        equal(batch("FLUSHDB, GET k, STRLEN k, SET k new, GET k, SELECT 1, GETSET k x, MGET k k, DEL k, GET k"),
              [OK, None, 0, OK, b"new", OK, b"two", [b"x", b"x"], 1, None])


@test
def readme_names_all():
    """README's table names every command and subcommand that there is, and the table beside it none of them."""
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "README.md")) as f:
        readme = f.read()
    table = readme[readme.index("\n## Commands\n"):readme.index("What is particular here")].upper()
    absent = readme[readme.index("**What a string cache does not have**"):readme.index("## A minute to")].upper()
    with Server() as server, server.connect() as c:
        for name in c.ask("COMMAND LIST"):
            parent, _, own = name.decode().upper().partition("|")
            check(f"`{own or parent}`" in table, f"{name} is not in README's table")
            check(own or not re.search(rf"\| .*`{parent}`.* \| .* \|", absent), f"{name} is said to be absent")
