"""compare.py -- whether two replies to one request say the same.

Replies of the same bytes do. Others are parsed, and then looked at as differences.COMPARED has it for the command, or
excused by a line of differences.ALLOWED.
"""
import re

from differences import ALLOWED, BY_CHANCE, CLIENT_FIELDS, COMPARED, CONFIG_OPTIONS
from wire import Broken, parse

CONTAINERS = (b"CLIENT", b"COMMAND", b"CONFIG", b"OBJECT", b"MEMORY")
NULLS = ((b"$", None), (b"*", None), (b"_", b""))


def name_of(words):
    """The command's name, with its subcommand."""
    name = words[0].upper()
    if name in CONTAINERS and len(words) > 1:
        name += b" " + words[1].upper()
    return name.decode("latin-1")


def shown(data, most=300):
    text = repr(bytes(data))[1:]
    return text if len(text) <= most else f"{text[:most]}... ({len(data)} bytes)"


def is_error(node):
    return node[0] in b"-!"


def integers(*nodes):
    return all(node[0] == b":" for node in nodes)


class Late:
    """How long the two servers may have been apart in this stream: as the slowest piece of it took, in seconds."""
    seconds = 0.0


def near(_words, ours, theirs, most):
    if not integers(ours, theirs):
        return False
    most *= 1 + Late.seconds
    return ours[1] == theirs[1] or (ours[1] >= 0 and theirs[1] >= 0 and abs(ours[1] - theirs[1]) <= most)


def time(_words, ours, theirs, most):
    if ours[0] != b"*" or len(ours[1]) != 2 or len(theirs[1]) != 2:
        return False
    return abs(int(ours[1][0][1]) - int(theirs[1][0][1])) <= most + Late.seconds and int(ours[1][1][1]) < 10**6


def keys(words, ours, theirs, _):
    """In any order. Of patterns only "*" itself, which is never looked at, finds the empty key in Redis 7.0."""
    if not ours[0] == theirs[0] == b"*":
        return False
    ignored = () if words[1] == b"*" else ((b"$", b""),)
    return sorted(k for k in ours[1] if k not in ignored) == sorted(k for k in theirs[1] if k not in ignored)


def page(_words, ours, theirs, _):
    """[cursor, [key, ...]]"""
    def right(node):
        return (node[0] == b"*" and len(node[1]) == 2 and node[1][0][0] == b"$" and node[1][0][1].isdigit() and
                node[1][1][0] == b"*" and all(key[0] == b"$" for key in node[1][1][1]))
    return right(ours) and right(theirs)


def same_kind(_words, ours, theirs, _):
    return ours[0] == theirs[0] and (ours[1] is None) == (theirs[1] is None)


def encoding(_words, ours, theirs, _):
    if ours[0] != b"$" or theirs[0] != b"$":
        return False
    return (theirs[1], ours[1]) in ((b"raw", b"embstr"), (b"raw", b"int"), (b"embstr", b"int"))


def pairs(node):
    return {node[1][i][1]: node[1][i + 1] for i in range(0, len(node[1]), 2)}


def hello(_words, ours, theirs, _):
    if ours[0] != theirs[0]:
        return False
    ours, theirs = pairs(ours), pairs(theirs)
    kinds = all(ours[name][0] == theirs[name][0] for name in (b"version", b"id"))
    for fields in (ours, theirs):
        for name in (b"version", b"id", b"sponson_version"):
            fields.pop(name, None)
    return kinds and ours == theirs


def clients(_words, ours, theirs, _):
    def lines(node):
        text = node[1][4:] if node[0] == b"=" else node[1]
        return [dict(f.split("=", 1) for f in line.split(" ")) for line in text.decode("latin-1").splitlines()]
    if ours[0] != theirs[0]:
        return False
    ours, theirs = lines(ours), lines(theirs)
    for line in theirs:
        line["flags"] = line.get("flags", "").replace("d", "") or "N"
    told = [sorted(tuple(line.get(f) for f in CLIENT_FIELDS) for line in found) for found in (ours, theirs)]
    return told[0] == told[1]


def options(_words, ours, theirs, _):
    if ours[0] != theirs[0]:
        return False
    ours, theirs = ({n.lower(): v for n, v in pairs(node).items()} for node in (ours, theirs))
    return all(ours.get(n.encode()) == theirs.get(n.encode()) for n in CONFIG_OPTIONS)


def lines_of_help(_words, ours, theirs, _):
    return all(node[0] == b"*" and len(node[1]) > 2 and all(item[0] == b"+" for item in node[1])
               for node in (ours, theirs))


COMPARERS = {"near": near, "time": time, "keys": keys, "page": page, "same kind": same_kind,
             "encoding": encoding, "hello": hello, "clients": clients, "options": options, "help": lines_of_help}


def compiled(rows):
    return [(name, *(re.compile(p.encode("latin-1"), re.DOTALL) for p in patterns)) for name, *patterns, _ in rows]


_allowed, _by_chance = compiled(ALLOWED), compiled(BY_CHANCE)


def encoded(node):
    """The bytes of a parsed reply again; a null and a simple type as they came."""
    kind, value = node
    if value is None:
        return kind + b"-1\r\n"
    if isinstance(value, list):
        n = len(value) // (2 if kind == b"%" else 1)
        return kind + b"%d\r\n" % n + b"".join(map(encoded, value))
    if isinstance(value, int):
        return b":%d\r\n" % value
    return (kind + b"%d\r\n%s\r\n" % (len(value), value)) if kind in b"$=!" else kind + value + b"\r\n"


def excuse(words, ours, theirs, by_chance=False):
    """The name of the line of ALLOWED, or of BY_CHANCE, that explains the difference, or None."""
    asked = b" ".join([words[0].upper(), *words[1:]])
    for name, request, our, their in _by_chance if by_chance else _allowed:
        if request.fullmatch(asked) and our.fullmatch(ours) and their.fullmatch(theirs):
            return name
    return None


def same_nodes(words, ours, theirs, excused):
    if ours == theirs:
        return True
    if not is_error(ours) and not is_error(theirs):
        compared = COMPARED.get(name_of(words))
        if compared and ours not in NULLS and theirs not in NULLS and \
                COMPARERS[compared[0]](words, ours, theirs, compared[1]):
            return True
    name = excuse(words, encoded(ours), encoded(theirs))
    if name:
        excused[name] += 1
    return name is not None


def same(words, ours, theirs, queued, excused):
    """Whether the replies `ours` and `theirs` (bytes) to this request say the same. `queued`: the requests that an
    EXEC answers. `excused` counts what ALLOWED explained."""
    if ours == theirs:
        return True
    try:
        our, their = parse(ours), parse(theirs)
    except (Broken, ValueError):  # the bytes of a whole connection
        name = excuse(words, ours, theirs)
        if name:
            excused[name] += 1
        return name is not None
    if words[0].upper() == b"EXEC" and our[0] == their[0] == b"*" and our[1] is not None and their[1] is not None:
        if len(our[1]) != len(their[1]) or len(their[1]) != len(queued):
            return False
        return all(same_nodes(w, o, t, excused) for w, o, t in zip(queued, our[1], their[1]))
    return same_nodes(words, our, their, excused)
