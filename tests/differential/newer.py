"""newer.py -- commands that Redis 7.0.15 does not have: compared with a model of what their documentation says.

    SET key value IFEQ comparison-value [GET] [...]     Valkey 8.1      DELIFEQ key value             Valkey 9.0
    DELEX key [IFEQ value]                              Redis 8.4       (IFNE, IFDEQ and IFDNE are refused here)
    MSETEX numkeys key value [key value ...] [NX | XX] [EX s | PX ms | EXAT time | PXAT time | KEEPTTL]   Redis 8.4

The model keeps values and deadlines in a dictionary. Of an error it only says that there is one, and that nothing
changed.
"""
import random
import time

from compare import shown
from grammar import Generator
from wire import Connection, parse, request

SYNTAXES = [
    (5, "SET k few IFEQ few [GET] [EX s | PX ms | EXAT at | PXAT msat | KEEPTTL]"), (2, "SET k few IFEQ few NX"),
    (3, "SET k few [EX s]"), (3, "DELIFEQ k few"), (3, "DELEX k IFEQ few"), (1, "DELEX k"), (1, "DELEX k IFNE few"),
    (2, "MSETEX 1 k few [NX | XX] [EX s | PX ms | EXAT at | PXAT msat | KEEPTTL]"),
    (3, "MSETEX 2 k few k few [NX | XX] [EX s | PX ms | EXAT at | PXAT msat | KEEPTTL]"),
    (2, "MSETEX 3 k few k few k few [NX | XX] [EX s | PX ms | KEEPTTL]"), (1, "MSETEX n k few k few [NX | XX]"),
    (1, "PERSIST k"), (2, "PTTL k"), (2, "GET k"), (1, "DEL k"),
]
ERROR = object()


class NewerGenerator(Generator):
    def few(self):
        return self.rng.choice((b"", b"0", b"1", b"01", b"long enough to be no number, and longer than 44 bytes"))


def option_list(words, allowed):
    """The options as a dictionary, or ERROR."""
    found, at = {}, 0
    while at < len(words):
        option = words[at].upper()
        if option not in allowed:
            return ERROR
        takes = option in (b"EX", b"PX", b"EXAT", b"PXAT", b"IFEQ")
        if takes and at + 1 == len(words):
            return ERROR
        if option in found and option == b"IFEQ":
            return ERROR
        found[option] = words[at + 1] if takes else True
        at += 1 + takes
    times = found.keys() & {b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL"}
    if len(times) > 1 or len(found.keys() & {b"NX", b"XX", b"IFEQ"}) > 1:
        return ERROR
    for unit in times - {b"KEEPTTL"}:
        if not found[unit].isdigit() or found[unit][:1] == b"0" or len(found[unit]) > 19:
            return ERROR
        found["ms"] = int(found[unit]) * (1000 if unit in (b"EX", b"EXAT") else 1)
        if unit in (b"EX", b"PX"):
            found["ms"] += int(time.time() * 1000)
        if found["ms"] >= 2**63:
            return ERROR
    return found


class Model:
    """What is stored: key -> (value, deadline in ms or 0)."""

    def __init__(self):
        self.held = {}

    def store(self, key, value, options):
        deadline = self.held.get(key, (b"", 0))[1] if b"KEEPTTL" in options else options.get("ms", 0)
        self.held[key] = (value, deadline)

    def execute(self, words):
        """The value of the reply: an integer, bytes, None, "OK", or ERROR."""
        name, words = words[0].upper(), words[1:]
        return getattr(self, name.decode().lower())(*words) if words else ERROR

    def get(self, key, *more):
        return ERROR if more else self.held.get(key, (None, 0))[0]

    def pttl(self, key, *more):
        if more:
            return ERROR
        if key not in self.held:
            return -2
        deadline = self.held[key][1]
        return deadline - int(time.time() * 1000) if deadline else -1

    def persist(self, key, *more):
        if more:
            return ERROR
        value, deadline = self.held.get(key, (None, 0))
        if deadline:
            self.held[key] = (value, 0)
        return int(deadline > 0)

    def remove(self, key, wanted):
        there = key in self.held and wanted(self.held[key][0])
        if there:
            del self.held[key]
        return int(there)

    def delifeq(self, key, *more):
        return self.remove(key, lambda value: value == more[0]) if len(more) == 1 else ERROR

    def delex(self, key, *more):
        if not more:
            return self.remove(key, lambda value: True)
        if len(more) != 2 or more[0].upper() != b"IFEQ":
            return ERROR
        return self.remove(key, lambda value: value == more[1])

    def set(self, key, value=None, *more):
        options = option_list(more, (b"NX", b"XX", b"IFEQ", b"GET", b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL"))
        if value is None or options is ERROR:
            return ERROR
        old = self.held.get(key, (None, 0))[0]
        wanted = not (b"NX" in options and old is not None) and not (b"XX" in options and old is None)
        if b"IFEQ" in options:
            wanted = old == options[b"IFEQ"]
        if wanted:
            self.store(key, value, options)
        return old if b"GET" in options else "OK" if wanted else None

    def msetex(self, count, *more):
        if not count.isdigit() or (count[:1] == b"0") or len(count) > 9 or len(more) < 2 * int(count):
            return ERROR
        n = 2 * int(count)
        options = option_list(more[n:], (b"NX", b"XX", b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL"))
        if options is ERROR:
            return ERROR
        there = [key in self.held for key in more[:n:2]]
        if (b"NX" in options and any(there)) or (b"XX" in options and not all(there)):
            return 0
        for key, value in zip(more[:n:2], more[1:n:2]):
            self.store(key, value, options)
        return 1

    def del_(self, *keys):
        return len([self.held.pop(key) for key in set(keys) if key in self.held])


setattr(Model, "del", Model.del_)


def agrees(reply, want, late_ms):
    """`late_ms`: so long after the server the model may have looked at the clock."""
    kind, value = reply
    if want is ERROR:
        return kind == b"-"
    if want == "OK":
        return reply == (b"+", b"OK")
    if want is None:
        return value is None or kind == b"_"
    if isinstance(want, int):
        return kind == b":" and (value == want or (want > 2000 and abs(value - want) < 2000 + late_ms))
    return kind == b"$" and value == want


def run(port, seed, length, counts):
    """One stream; returns the first difference as text, or ""."""
    rng = random.Random(f"newer {seed}")
    draw = NewerGenerator(rng, keys=4)
    connection, model = Connection(port), Model()
    try:
        connection.ask("FLUSHALL")
        if seed % 2:
            connection.ask("HELLO", "3")
        weights, syntaxes = zip(*SYNTAXES)
        sent, late_ms = [], 0.0
        for _ in range(length):
            words = draw.request(rng.choices(syntaxes, weights)[0])
            sent.append(words)
            began = time.monotonic()
            connection.send(request(words))
            reply = parse(connection.replies(1)[0])
            want = model.execute(words)
            late_ms = max(late_ms, 1000 * (time.monotonic() - began))
            counts[words[0].upper().decode() + (" IFEQ" if b"IFEQ" in words else "") + " (model)"] += 1
            if not agrees(reply, want, late_ms):
                want = "an error" if want is ERROR else want
                return "\n".join([f"newer, seed {seed}: {reply!r}, not {want!r}; the last requests:"] +
                                 ["  " + " ".join(shown(w, 80) for w in s) for s in sent[-12:]])
        for key, (value, _) in model.held.items():
            if connection.ask("GET", key)[1] != value:
                return f"newer, seed {seed}: at the end {key!r} is not {shown(value)}"
        if connection.ask("DBSIZE")[1] != len(model.held):
            return f"newer, seed {seed}: there are not {len(model.held)} keys at the end"
        return ""
    finally:
        connection.close()
