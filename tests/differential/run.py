"""run.py -- the differential test: the same random requests to this server and to Redis, every reply compared.

    SERVER=./sponson /usr/bin/python3 tests/differential/run.py [--seed N] [--commands N] [--seconds N] [--counts]
        [--family NAME] [--stream N] [--keep-going]

Each family of streams is one test. Without --seconds the streams are the same ones each time; with it, more and more
of them are made until the time is over. A difference is shown with the fewest steps that still show it, and with the
options that repeat its stream.

Environment:
    SERVER        the binary under test (default ./sponson)
    REDIS_SERVER  the Redis to compare with (default redis-server)
"""
import argparse
import os
import re
import sys
import time
from collections import Counter, namedtuple

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import grammar
import harness
import newer
import streams
from compare import excuse, name_of, shown
from differences import ALLOWED, BY_CHANCE, CHANCES, COMMAND_ITEMS, NOT_IN_MULTI
from streams import Run, Side, Stream, show_words, shrink
from wire import Closed, Connection, parse, request

# `streams`: how many by default, of `length` steps each; `keys`: the fewer, the more they meet.
Family = namedtuple("Family", "name title make streams length keys options")
PASSWORD = "secret"
FAMILIES = [
    Family("exact", "every written request with its known pitfalls", streams.make_exact, 6, 1000, 4, {}),
    Family("strings", "commands on strings", streams.of_table(grammar.STRINGS), 80, 1000, 6, {}),
    Family("numbers", "integers and floats, up to their ends", streams.of_table(grammar.NUMBERS), 80, 1000, 4, {}),
    Family("lifetimes", "times to live", streams.of_table(grammar.LIFETIMES), 80, 1000, 5, {}),
    Family("ending", "keys whose time ends", streams.make_ending, 20, 600, 5, {"sizes": False}),
    Family("keyspace", "keys, and all keys", streams.of_table(grammar.KEYSPACE, scans=True), 80, 1000, 8, {}),
    Family("databases", "several databases", streams.of_table(grammar.DATABASES), 60, 1000, 4,
           {"needs": "SWAPDB"}),
    Family("transactions", "MULTI, EXEC, DISCARD and WATCH on three connections", streams.make_transactions, 120, 1000,
           4, {"needs": "MULTI"}),
    Family("connection", "commands on the connection and the server", streams.make_connection, 50, 800, 4, {}),
    Family("wrong", "any words behind any name", streams.make_wrong, 60, 1000, 6, {}),
    Family("mixed", "everything in turns", streams.make_mixed, 80, 1000, 8, {}),
    Family("password", "servers that want a password", streams.make_password, 30, 600, 4, {"servers": "password"}),
    Family("config", "options that are changed while it runs", streams.make_config, 6, 200, 4, {"servers": "changed"}),
    Family("protocol", "bytes that are not always requests", streams.make_protocol, 30, 1000, 4, {}),
]


class Servers:
    """Pairs of servers by name: "plain"; "password", which want one; "changed", whose options may be changed."""

    def __init__(self):
        self.running = {}
        self.ends = []  # what our servers had to say about their end

    def pair(self, name="plain"):
        if name in self.running and all(s.running() for s in self.running[name][:2]):
            return self.running[name][2:]
        if name in self.running:
            self.stop(name)
        password = PASSWORD if name == "password" else ""
        flags = ["--requirepass", password] if password else []
        ours = harness.Server(*flags)
        try:
            theirs = harness.Redis(*flags)
        except BaseException:
            ours.kill()
            raise
        self.running[name] = [ours, theirs, *(Side(s.port, password) for s in (ours, theirs))]
        return self.running[name][2:]

    def stop(self, name):
        ours, theirs, *_ = self.running.pop(name)
        try:
            if ours.running():
                ours.stop()
            else:
                ours.ended(0)
        except harness.Failure as e:
            self.ends.append(str(e))
        finally:
            ours.kill()
            theirs.stop()

    def stop_all(self):
        for name in list(self.running):
            self.stop(name)
        return self.ends


class Tests:
    def __init__(self, options):
        self.options = options
        self.servers = Servers()
        self.counts, self.excused, self.seen = Counter(), Counter(), Counter()
        ours, theirs = self.servers.pair()
        ours_have, theirs_have = (commands_of(side) for side in (ours, theirs))
        self.supported, self.missing = ours_have & theirs_have, theirs_have - ours_have
        self.databases = 16 if parse_ok(ours.control.ask("SELECT", "15")) else 1
        ours.control.ask("SELECT", "0")

    def folded_counts(self):
        """How often each command was compared; names that are none are one."""
        folded = Counter()
        for name, count in self.counts.items():
            first, *more = name.split(" ")
            if name not in self.supported and not name.endswith("(model)") and name not in streams.NOT_NAMES:
                name = f"{first}, no subcommand" if first in self.supported and more else "no command"
            folded[name] += count
        return folded

    def seed_of(self, family, number):
        return f"{self.options.seed} {family.name} {number}"

    def steps_of(self, family, number):
        stream = Stream(self.seed_of(family, number), self.supported, self.missing, self.databases,
                        family.keys)
        family.make(stream, self.options.commands or family.length)
        return stream.steps

    def run(self, family, number, steps, counts, excused, mangle=None):
        ours, theirs = self.servers.pair(family.options.get("servers", "plain"))
        return Run(ours, theirs, steps, self.seed_of(family, number), counts, excused, self.databases,
                   "OBJECT ENCODING" in self.supported, family.options.get("sizes", True), mangle).run()

    def stream(self, family, number):
        """Runs one stream; returns what to say about new differences."""
        steps = self.steps_of(family, number)
        found = self.run(family, number, steps, self.counts, self.excused)
        chance = self.by_chance(found, steps)
        if chance:
            self.servers.stop(family.options.get("servers", "plain"))
            found = self.run(family, number, steps, Counter(), Counter())
            self.excused[chance] += not self.by_chance(found, steps)
        said = []
        for difference in found:
            signature = signature_of(difference, steps)
            self.seen[signature] += 1
            if self.seen[signature] > 1:
                continue
            said.append(self.say(family, number, steps, difference, signature))
        return found, said

    def by_chance(self, found, steps):
        """The name of the line of BY_CHANCE that explains the first difference, or None."""
        if not found or found[0].at >= len(steps) or sum(self.excused[row[0]] for row in BY_CHANCE) >= CHANCES:
            return None
        return excuse(steps[found[0].at].words, found[0].ours, found[0].theirs, by_chance=True)

    def say(self, family, number, steps, difference, signature):
        def differs(fewer):
            again = self.run(family, number, fewer, Counter(), Counter())
            return any(signature_of(d, fewer) == signature for d in again)
        start = steps[:difference.at + 1]
        waits = b"Silent" in difference.ours + difference.theirs  # each try would wait as long
        fewest = shrink(differs, start) if not waits and differs(start) else None
        shown_steps, cut = (fewest, "") if fewest else (steps[max(0, difference.at - 20):difference.at + 1],
                                                       "the last of them; not made fewer")
        lines = [f"{family.name}, stream {number}, step {difference.at}: {difference.what} differs"]
        if difference.at < len(steps):
            lines.append(f"  request  {show_step(steps[difference.at])}")
        lines += [f"  sponson  {shown(difference.ours, 1500)}",
                  f"  redis    {shown(difference.theirs, 1500)}", f"  steps    {cut}"]
        lines += [f"    {show_step(step)}" for step in shown_steps[-25:]]
        commands = f" --commands {self.options.commands}" if self.options.commands else ""
        lines.append(f"  again    tests/differential/run.py --seed {self.options.seed}{commands} "
                     f"--family {family.name} --stream {number}")
        return "\n".join(lines)

    def family(self, family, seconds):
        """Returns what went wrong, as lines."""
        needs = family.options.get("needs")
        if needs and needs not in self.supported:
            return [f"{needs}: not there"]
        said, number, until = [], 0, time.monotonic() + seconds if seconds else 0
        numbers = [self.options.stream] if self.options.stream is not None else None
        wrong = 0
        while numbers is None or number < 1:
            found, more = self.stream(family, numbers[0] if numbers else number)
            wrong += bool(found)
            said += more
            number += 1
            if numbers is None and (time.monotonic() > until if seconds else number >= family.streams):
                break
            if len(said) >= 5 and not self.options.keep_going:
                break
        if wrong and not said:
            said.append(f"{wrong} streams with differences that are shown above")
        return said


def parse_ok(reply):
    return reply[0] == b"+"


def commands_of(side):
    """The commands of a server, in capitals, subcommands as two words."""
    def name(node):
        return node[1].decode().upper().replace("|", " ")
    names = set()
    for command in parse(side.control.pipeline([[b"COMMAND"]])[0])[1]:
        names |= {name(command[1][0])} | {name(sub[1][0]) for sub in command[1][9][1]}
    return names | {name(node) for node in side.control.ask("COMMAND", "LIST")[1]}


def signature_of(difference, steps):
    """Two differences of one signature have one cause, most likely."""
    def kind(reply):
        return re.sub(rb"[0-9]+|'.*", b"", reply[:24]) if reply[:1] in (b"-", b"+") else reply[:1]
    name = ""
    if difference.at < len(steps):
        step = steps[difference.at]
        name = "bytes" if step.kind == "bytes" else name_of(step.words)[:30]
    return (name, re.sub(r"database.*", "", difference.what), kind(difference.ours), kind(difference.theirs))


def show_step(step):
    kind = "" if step.kind == "ask" else f"({step.kind}) "
    return f"{step.connection}> {kind}{show_words(step.words)}"


# ---- tests beside the families ----


def wanted():
    """The commands that the tables speak of, and some subcommands."""
    tables = (grammar.EVERY, grammar.CONNECTION, grammar.TRANSACTION)
    names = {syntax.split()[0] for table in tables for _, syntax in table} | set(grammar.ANY_ARITY)
    subcommands = """CLIENT ID, CLIENT GETNAME, CLIENT SETNAME, CLIENT REPLY, CLIENT NO-EVICT, CLIENT INFO, CLIENT LIST,
        CLIENT KILL, COMMAND COUNT, COMMAND INFO, COMMAND GETKEYS, CONFIG GET, CONFIG SET, OBJECT ENCODING,
        OBJECT REFCOUNT, OBJECT IDLETIME, OBJECT FREQ, MEMORY USAGE"""
    return names | {re.sub(r"\s+", " ", s.strip()) for s in subcommands.split(",")}


def test_commands(tests):
    """every command that is compared is there"""
    missing = sorted(wanted() - tests.supported)
    text = [f"missing: {', '.join(missing)}"] if missing else []
    return text + ([] if tests.databases == 16 else ["SELECT 15: there is one database only"])


def differing_items(name, ours, theirs):
    """How two entries of COMMAND INFO differ; notes of key specifications are prose."""
    items = "name arity flags first last step categories tips keys".split()
    for i, item in enumerate(items):
        is_set = item in ("flags", "categories", "tips")
        our, their = plain(ours[1][i], is_set), plain(theirs[1][i], is_set)
        if item == "keys":
            their = re.sub(r"notes .*? flags", "flags", their)
        if item == "flags" and name.upper() in NOT_IN_MULTI:
            our = our.replace(" no_multi", "").replace("no_multi", "")
        want, _ = COMMAND_ITEMS.get((name, item), (their, ""))
        if our != want:
            yield f"{name} {item}: {our}, not {want}"


def plain(node, is_set=False):
    kind, value = node
    if isinstance(value, list):
        texts = list(map(plain, value))
        return "[" + " ".join(sorted(texts) if is_set else texts) + "]"
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def test_command_info(tests):
    """COMMAND INFO tells the same of the commands that both have"""
    said = []
    ours, theirs = tests.servers.pair()
    for name in sorted(n for n in tests.supported if " " not in n):
        our, their = (side.control.ask("COMMAND", "INFO", name)[1][0] for side in (ours, theirs))
        tests.counts["COMMAND INFO"] += 1
        said += differing_items(name.lower(), our, their)
        subs = [{sub[1][0][1]: sub for sub in node[1][9][1]} for node in (our, their)]
        for sub in sorted(subs[0].keys() & subs[1].keys()):
            said += differing_items(sub.decode().replace("|", " "), subs[0][sub], subs[1][sub])
    return said


def test_noticed(tests):
    """a reply that is changed, lost, doubled or moved is noticed, and so is a changed key"""
    import random
    family = next(f for f in FAMILIES if f.name == "strings")
    steps = tests.steps_of(family, 0)[:300]
    clean = tests.run(family, 0, steps, Counter(), Counter())
    if clean:
        return ["the stream itself differs; nothing can be said"]

    def other(reply):
        if reply[:1] == b":":
            return b":%d\r\n" % (int(reply[1:]) + 5000)
        if reply[:1] in b"+-":
            return reply[:-3] + b"~\r\n"
        if reply[:1] == b"$" and reply[1:2] not in b"-0":
            return reply[:-3] + bytes([reply[-3] ^ 1]) + b"\r\n"
        return b":77777\r\n"

    ways = {"changed": lambda r, i: r[:i] + [other(r[i])] + r[i + 1:], "lost": lambda r, i: r[:i] + r[i + 1:],
            "doubled": lambda r, i: r[:i] + [r[i]] + r[i:],
            "swapped": lambda r, i: r[:i - 1] + [r[i], r[i - 1]] + r[i + 1:] if i else r}
    said, rng = [], random.Random(1)
    for way, change in ways.items():
        for _ in range(8):
            at, done = rng.randrange(250), []

            def mangle(replies):
                """Changes the at-th reply, or the first one behind it for which that makes a difference."""
                count[0] += len(replies)
                if done or count[0] <= at:
                    return replies
                for i in range(len(replies)):
                    changed = change(replies, i)
                    if changed != replies:
                        done.append(i)
                        return changed
                return replies
            count = [0]
            found = tests.run(family, 0, steps, Counter(), Counter(), mangle)
            if not found or not done:
                said.append(f"reply {at} {way}: not noticed")
    # what a command did, not what it answered
    for words in (["SET", "odd", "1"], ["PEXPIRE", "key", "100000"], ["APPEND", "key", "x"], ["DEL", "key"]):
        both = [streams.Step("ask", 0, [b"SET", b"key", b"v"])]
        ours, theirs = tests.servers.pair()
        run = Run(ours, theirs, both, "1", Counter(), Counter(), tests.databases, "OBJECT ENCODING" in tests.supported)
        looked = run.compare_end

        def secretly():
            ours.control.ask("SELECT", "0")
            ours.control.ask(*words)
            looked()
        run.compare_end = secretly
        if not run.run():
            said.append(f"a secret {' '.join(words)}: not noticed")
    return said


def test_kill(tests):
    """CLIENT KILL finds the same connections"""
    def told(side):
        """What one server answers, without ports and ids."""
        said = []

        def kill(killer, *words):
            killer.send(request([b"CLIENT", b"KILL", *(w if isinstance(w, bytes) else str(w).encode() for w in words)]))
            said.append((words[0], killer.replies(1)[0]))

        def is_closed(connection):
            try:
                connection.ask("PING")
            except Closed:
                return True
            return False
        ways = ("ID", "ADDR", "old", "own id", "own id, SKIPME no", "own address", "LADDR", "TYPE", "USER",
                "ID and ADDR", "ID and another ADDR", "TYPE pubsub", "LADDR of another")
        for number, way in enumerate(ways):
            killer, victim = Connection(side.port), Connection(side.port)
            if number % 2:
                killer.ask("HELLO", "3")
            own, other = killer.ask("CLIENT", "ID")[1], victim.ask("CLIENT", "ID")[1]
            address = "%s:%d" % victim.socket.getsockname()
            own_address = "%s:%d" % killer.socket.getsockname()
            kill(killer, *{"ID": ("id", other), "ADDR": ("ADDR", address), "old": (address,), "own id": ("ID", own),
                           "own id, SKIPME no": ("ID", own, "SKIPME", "no"), "own address": (own_address,),
                           "LADDR": ("LADDR", "127.0.0.1:%d" % side.port, "ID", other),
                           "TYPE": ("TYPE", "normal", "ID", other), "USER": ("USER", "default", "ID", other),
                           "ID and ADDR": ("ID", other, "ADDR", address),
                           "ID and another ADDR": ("ID", other, "ADDR", own_address), "TYPE pubsub": ("TYPE", "pubsub"),
                           "LADDR of another": ("LADDR", "127.0.0.1:1", "ID", other)}[way])
            said[-1] = (way, said[-1][1], is_closed(killer), is_closed(victim))
            killer.close()
            victim.close()
        return said
    pairs = list(zip(*(told(side) for side in tests.servers.pair())))
    tests.counts["CLIENT KILL"] += len(pairs)
    return [f"CLIENT KILL {our[0]}: reply, killer closed, victim closed: {our[1:]}, not {their[1:]}"
            for our, their in pairs if our != their]


def test_newer(tests):
    """commands that are newer than this Redis do what their documentation says"""
    ours, _ = tests.servers.pair()
    said = [newer.run(ours.port, tests.options.seed * 100 + number, 1000, tests.counts) for number in range(20)]
    return [text for text in said if text][:3]


def main():
    parser = argparse.ArgumentParser(description="the same random requests to sponson and to Redis")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", type=int, help="steps of a stream")
    parser.add_argument("--seconds", type=float, help="go on so long, with ever new streams")
    parser.add_argument("--family", help="only this one")
    parser.add_argument("--stream", type=int, help="only the stream of this number")
    parser.add_argument("--counts", action="store_true", help="how often each command was compared")
    parser.add_argument("--keep-going", action="store_true", help="do not stop a family at its fifth difference")
    options = parser.parse_args()
    tests = Tests(options)
    families = [f for f in FAMILIES if options.family in (None, f.name)]
    others = [test_noticed, test_commands, test_command_info, test_kill, test_newer]
    others = others if options.family is None else [t for t in others if t.__name__ == "test_" + options.family]
    print(f"1..{len(others) + len(families) + 1}", flush=True)
    number = failed = 0
    began = time.monotonic()
    jobs = [(t.__doc__, lambda t=t: t(tests)) for t in others]
    share = options.seconds / len(families) if options.seconds and families else None
    jobs += [(f.title, lambda f=f: tests.family(f, share)) for f in families]
    jobs.append(("the servers end in order", tests.servers.stop_all))
    try:
        for title, job in jobs:
            number += 1
            before, started = sum(tests.counts.values()), time.monotonic()
            said = job()
            for line in "\n".join(said).splitlines():
                print(f"# {line}")
            compared = sum(tests.counts.values()) - before
            print(f"{'not ok' if said else 'ok'} {number} - {title} # {compared} in {time.monotonic() - started:.1f} s",
                  flush=True)
            failed += bool(said)
    finally:
        tests.servers.stop_all()
    counts = tests.folded_counts()
    if options.counts:
        cells = [f"{count:7} {name:30}" for name, count in sorted(counts.items())]
        for at in range(0, len(cells), 3):
            print("# " + "".join(cells[at:at + 3]).rstrip())
        for name, *_, reason in ALLOWED + BY_CHANCE:
            print(f"# {tests.excused[name]:8} allowed: {name} ({reason})")
    print(f"# {sum(counts.values())} requests compared in {time.monotonic() - began:.0f} s, {len(counts)} commands and "
          f"subcommands, {sum(tests.excused.values())} allowed differences")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
