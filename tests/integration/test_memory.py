"""test_memory.py -- what is resident stays within its bound while the sizes of values change."""
import math
import random
import re

from harness import FATNESS, MB, OK, Server, check, equal, test, until

MAXMEMORY = 16 * MB
LARGEST = 64 << 10
BATCH = 64 << 10  # bytes sent before the server's memory is looked at again


def requests_of(numbers, sizes, pad):
    """SETs of new keys, as pieces of some BATCH bytes: (bytes of requests, number of requests)."""
    piece, count, length, stored = [], 0, 0, 0
    while stored < 2 * MAXMEMORY:
        n = sizes()
        piece.append(b"*3\r\n$3\r\nSET\r\n$16\r\n%016x\r\n$%d\r\n%b\r\n" % (next(numbers), n, pad[:n]))
        count += 1
        length += n + 60
        stored += n + 16
        if length >= BATCH:
            yield b"".join(piece), count
            piece, count, length = [], 0, 0
    yield b"".join(piece), count


@test(seconds=60)
def sizes_change():
    """Resident memory stays within maxmemory, client-memory and 8 MB while the sizes of values change"""
    rng = random.Random(1)
    pad = rng.randbytes(LARGEST)
    numbers = iter(range(1 << 60))
    phases = (lambda: 100, lambda: 2000, lambda: 300,
              lambda: int(10 * math.exp(rng.random() * math.log(LARGEST / 10))))
    with Server("--maxmemory", MAXMEMORY, "--max-value-size", LARGEST) as server, \
            server.connect() as c, server.connect() as other:
        start = server.resident()
        bound = (MAXMEMORY + int(other.ask("CONFIG GET client-memory")[1]) + 8 * MB) * FATNESS

        def look(what):
            resident = server.resident()
            check(resident <= bound, f"{what}: {resident} bytes are resident, more than {bound}")
            info = other.ask("INFO memory")
            used = int(re.search(rb"used_memory_dataset:(\d+)", info).group(1))
            check(used <= MAXMEMORY, f"{what}: {used} bytes are used, more than maxmemory")
            return used

        for number, sizes in enumerate(phases):
            for piece, count in requests_of(numbers, sizes, pad):
                c.send(piece)
                look(f"phase {number}")
                equal(c.exactly(5 * count), b"+OK\r\n" * count)
            used = look(f"phase {number}")
            check(used >= MAXMEMORY * 0.8, f"phase {number}: only {used} bytes are used")
        with open(f"/proc/{server.pid}/status") as f:
            most = int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) * 1024
        check(most <= bound, f"{most} bytes were resident at some time, more than {bound}")
        equal(other.ask("FLUSHALL"), OK)
        until(lambda: server.resident() <= (start + 8 * MB) * FATNESS, 1, "FLUSHALL gives memory back")
