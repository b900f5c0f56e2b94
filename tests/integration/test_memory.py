"""test_memory.py -- what is resident while the sizes of values change; who calls malloc."""
import math
import os
import random
import re
import subprocess
import tempfile
import time

from harness import FATNESS, MB, OK, Server, check, equal, is_sanitized, test, until

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
        until(lambda: server.resident() <= (start + 8 * MB) * FATNESS, 10, "FLUSHALL gives memory back")


# Counts calls in a file that is shared with the test. glibc gives its own functions a second name.
COUNTING = """
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void __libc_free(void *);
static _Atomic unsigned long nowhere, *calls = &nowhere;
__attribute__((constructor)) static void start(void) {
    int fd = open(getenv("CALLS"), O_RDWR);
    calls = mmap(0, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}
void *malloc(size_t n) { ++*calls; return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { ++*calls; return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { ++*calls; return __libc_realloc(p, n); }
void free(void *p) { ++*calls; __libc_free(p); }
"""


def no_malloc_in_a_request():
    """A million GETs and SETs of ordinary size live on the pool: malloc and free are called a few times a second at most."""
    with tempfile.TemporaryDirectory() as folder:
        library, file = os.path.join(folder, "counting.so"), os.path.join(folder, "calls")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], input=COUNTING.encode(), check=True)
        with open(file, "wb") as f:
            f.write(bytes(8))

        def calls():
            with open(file, "rb") as f:
                return int.from_bytes(f.read(), "little")

        flags = ("--maxmemory", 16 * MB, "--threads", 1)
        env = {"LD_PRELOAD": library, "CALLS": file}
        with Server(*flags, env=env) as server, server.connect() as c, server.connect() as other:
            rng = random.Random(2)
            values = [rng.randbytes(rng.randrange(1, 1000)) for _ in range(100)]
            batch = b"".join(b"*3\r\n$3\r\nSET\r\n$8\r\nkey:%04d\r\n$%d\r\n%b\r\n*2\r\n$3\r\nGET\r\n$8\r\nkey:%04d\r\n"
                             % (n, len(values[n % 100]), values[n % 100], n) for n in range(1000))
            answer = b"".join(b"+OK\r\n$%d\r\n%b\r\n" % (len(values[n % 100]), values[n % 100]) for n in range(1000))
            for n in 100, 400, 900, 1900:  # the first requests that are cut in two fill the pool of buffers
                cut = b"*3\r\n$3\r\nSET\r\n$3\r\ncut\r\n$4000\r\n%b\r\n" % bytes(4000)
                c.send(cut[:n])
                for _ in range(3):
                    other.ask("PING")
                c.send(cut[n:])
                equal(c.exactly(5), b"+OK\r\n")
            c.send(batch)
            equal(c.exactly(len(answer)), answer)
            before, began = calls(), time.monotonic()
            check(before > 0, "nothing was counted at all")
            for _ in range(500):
                c.send(batch)
                equal(c.exactly(len(answer)), answer)
            grown = calls() - before  # a turn that needs two blocks of a size, a second in which one was not needed
            check(grown <= 20 + 5 * (time.monotonic() - began), f"{grown} calls of malloc and free")


if not is_sanitized():  # a sanitizer counts on being the one that replaces malloc
    test(seconds=60)(no_malloc_in_a_request)
