"""differences.py -- what may differ between sponson and Redis 7.0.15, and why. Data, and nothing else.

COMPARED    commands whose replies are not the same bytes by their nature: how they are compared instead (compare.py).
            An error is always compared byte for byte.
ALLOWED     differences that are meant: (name, request, ours, theirs, reason). Request, ours and theirs are regular
            expressions over the whole request (its words joined by spaces, the name in capitals) and the whole replies.
            RAW is what was sent as bytes; its replies are all that came up to the close.
BY_CHANCE   differences that are meant, and that are not there when servers that were started anew run the same stream.
            The same five fields. More than CHANCES of them in one run are too many.
"""

COMPARED = {
    "TTL": ("near", 1, "both servers have the same clock, but are not asked at the same moment"),
    "EXPIRETIME": ("near", 1, "the same"),
    "PTTL": ("near", 2000, "the same"),
    "PEXPIRETIME": ("near", 2000, "the same"),
    "OBJECT IDLETIME": ("same kind", None, "Redis shares the integers below 10000 among keys, and their age with them"),
    "TIME": ("time", 2, "the same"),
    "KEYS": ("keys", None, "hash tables have no order; of patterns, only * finds the empty key in Redis"),
    "SCAN": ("page", None, "where a page ends is the server's matter; whole iterations are compared as sets"),
    "RANDOMKEY": ("same kind", None, "random; that the key is there is checked at the end of a stream"),
    "CLIENT ID": ("same kind", None, "the servers count for themselves"),
    "MEMORY USAGE": ("same kind", None, "the servers need different memory"),
    "OBJECT ENCODING": ("encoding", None, "Redis remembers how a value was made: after APPEND, SETRANGE or INCRBYFLOAT "
                        "it is raw or embstr even where the same value, set at once, is an int or embstr"),
    "OBJECT REFCOUNT": ("same kind", None, "Redis shares the integers below 10000 among keys"),
    "COMMAND COUNT": ("same kind", None, "the servers have different commands"),
    "COMMAND": ("same kind", None, "the same; COMMAND INFO is compared command by command in a test of its own"),
    "COMMAND LIST": ("same kind", None, "the same"),
    "COMMAND DOCS": ("same kind", None, "the texts are our own"),
    "COMMAND INFO": ("same kind", None, "as COMMAND"),
    "HELLO": ("hello", None, "version and id are the server's own"),
    "CLIENT LIST": ("clients", None, "ports, ids, buffers and times are the server's own"),
    "CLIENT INFO": ("clients", None, "the same"),
    "CONFIG GET": ("options", None, "only options that mean the same in both"),
    "OBJECT HELP": ("help", None, "texts of help are our own"),
    "MEMORY HELP": ("help", None, "the same"),
    "CLIENT HELP": ("help", None, "the same"),
    "CONFIG HELP": ("help", None, "the same"),
    "COMMAND HELP": ("help", None, "the same"),
}

# Fields of CLIENT LIST and CLIENT INFO that tell the same of the same connection; of the flags Redis's "d", a watched key
# has changed, is left out: here EXEC finds that out, and nobody before.
CLIENT_FIELDS = ["name", "flags", "db", "sub", "psub", "multi", "cmd", "user", "resp"]

# Options of CONFIG GET that both have and that have the same value when nothing was set.
CONFIG_OPTIONS = ["timeout", "save", "appendonly", "tcp-keepalive", "tcp-backlog", "maxclients", "loglevel"]

# Commands that Redis queues in a transaction and that answer "not allowed inside a transaction" here: they make system
# calls, take other locks, have long replies or much work, and a transaction is executed between locks.
NOT_IN_MULTI = ["AUTH", "HELLO", "CLIENT GETNAME", "CLIENT SETINFO", "CLIENT SETNAME", "CLIENT INFO", "CLIENT KILL", "CLIENT LIST", "CLIENT PAUSE", "CLIENT UNPAUSE", "COMMAND",
                "COMMAND DOCS", "COMMAND GETKEYS", "COMMAND GETKEYSANDFLAGS", "COMMAND INFO", "COMMAND LIST",
                "CONFIG GET", "CONFIG RESETSTAT", "CONFIG SET", "INFO", "KEYS", "LATENCY HISTOGRAM", "MEMORY STATS",
                "MONITOR", "SLOWLOG GET", "SLOWLOG LEN", "SLOWLOG RESET"]

# FLUSHALL, FLUSHDB and SWAPDB may abort a transaction that watches a key which is not there, as Redis does only where it
# is: the streams send none of these commands while anybody watches, and tests/test_command.c shows that they abort.
FLUSHES_ABORT_ALL = True

# INCRBYFLOAT within a transaction takes no stored number with a large exponent, nor most hexadecimal ones: its length
# does not tell how long the sum would be, and so not how long EXEC would take. The streams that have transactions store none
# of these; tests/integration/test_transactions.py shows what becomes of them.
NOT_STORED_BESIDE_MULTI = [b"1e300", b"-1e300", b"0x1p-3", b"1e4000", b"2e4931"]

# Items of COMMAND INFO that are not those of 7.0.15: what they are here, and why.
COMMAND_ITEMS = {
    ("command getkeys", "arity"): ("-3", "as in 7.2"),
    ("command getkeysandflags", "arity"): ("-3", "as in 7.2"),
    ("quit", "arity"): ("-1", "as in 7.2"),
    ("msetnx", "tips"): ("[]", "as in 7.2"),
    ("client setname", "tips"): ("[request_policy:all_nodes response_policy:all_succeeded]", "as in 7.2"),
    ("config resetstat", "tips"): ("[request_policy:all_nodes response_policy:all_succeeded]", "as in 7.2"),
}

BY_CHANCE = [
    ("a transaction aborted for nothing", r"EXEC", r"(\*-1|_)\r\n", r"\*.*",
     "a watched key shares one of its shard's 4096 counters of changes with other keys: one was changed or removed"),
]
CHANCES = 5

ALLOWED = [
    ("a cursor that no SCAN gave", r"(?i:SCAN) .*", r"-ERR invalid cursor\r\n", r"(?!-ERR invalid cursor).*",
     "Redis reads a cursor as C does, so '', +0 and -1 are numbers; here only what a SCAN gave is one"),
    ("HELLO without a password", r"(HELLO.*)", r"-NOAUTH HELLO .*HELLO <proto> AUTH.*", r"-NOAUTH HELLO .*HELLO AUTH.*",
     "the text of 7.2"),
    ("a long pattern of CONFIG GET", r"CONFIG (?i:GET) .*", r"-ERR pattern exceeds 128 bytes\r\n", r"[*%].*",
     "no name of an option is half as long; matching takes time with the product of the lengths"),
    ("CONFIG SET of a wrong value", r"CONFIG (?i:SET) .*", r"-ERR CONFIG SET failed \(.*",
     r"-ERR CONFIG SET failed \(.*", "the text says what is allowed here"),
    ("COMMAND GETKEYS of one word", r"COMMAND (?i:GETKEYS) .*", r"-ERR .*",
     r"-ERR wrong number of arguments for 'command\|getkeys' command\r\n", "since 7.2 its arity is -3"),
    ("a value that is too large", r"SETRANGE .*", r"-ERR value exceeds max-value-size .*",
     r"-ERR string exceeds maximum allowed size .*", "the limit is smaller, and its text tells it"),
    ("not in a transaction", r"(AUTH|HELLO|CLIENT|COMMAND|CONFIG|INFO|KEYS|LATENCY|MEMORY|MONITOR|SLOWLOG).*",
     r"-ERR Command not allowed inside a transaction\r\n", r"\+QUEUED\r\n", "see NOT_IN_MULTI"),
    ("POST and Host:", r"RAW .*(?i:post|host:).*", r".*", r"",
     "both close, but what was asked before is answered here"),
    ("how many words a request has", r"RAW .*\*1048577\r\n.*",
     r".*-ERR Protocol error: invalid multibulk length\r\n", r".*", "here at most 1048576, as in Redis before 7.0"),
]
