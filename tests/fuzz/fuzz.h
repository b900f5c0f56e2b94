/* fuzz.h -- what the fuzzers share. Each is one function of bytes, deterministic, that gives back all it took:
 * libFuzzer calls it (make fuzz), and replay.c with the inputs of the corpus (make test).
 *
 *   MUST(condition)      ends the process where it does not hold, and says which condition
 *   bytes_take(&b, n)    the next n bytes of the input, or what is left of it
 */
#ifndef SPONSON_FUZZ_H
#define SPONSON_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

struct bytes {
    const char *p;
    size_t n;
};

static inline struct bytes bytes_take(struct bytes *b, size_t n) {
    struct bytes taken = {b->p, n < b->n ? n : b->n};
    b->p += taken.n;
    b->n -= taken.n;
    return taken;
}

/* One byte; 0 at the end. */
static inline uint8_t bytes_one(struct bytes *b) {
    struct bytes one = bytes_take(b, 1);
    return one.n ? (uint8_t)one.p[0] : 0;
}

#endif
