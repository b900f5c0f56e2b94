/* buf.h -- output bytes, and the pool that clients' buffers come from.
 *
 * A struct buf is memory with a fill level; writing past its end does not happen, it sets `full`. A pool hands out
 * blocks of 2^n bytes and keeps what comes back for the next one. Each worker has its own pool, so that it needs no
 * lock; all pools share one budget, which only blocks in use count against. */
#ifndef SPONSON_BUF_H
#define SPONSON_BUF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "slice.h"

/* Of what one thread writes and others may see a moment late. */
#define relaxed_load(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define relaxed_store(x, value) atomic_store_explicit(&(x), value, memory_order_relaxed)

struct buf {
    char *p;
    size_t len;
    size_t cap;
    bool full; /* something did not fit and is missing */
};

static inline size_t buf_left(const struct buf *b) { return b->cap - b->len; }

static inline void buf_put(struct buf *b, const char *p, size_t n) {
    if (n > b->cap - b->len) {
        b->full = true;
        return;
    }
    memcpy(b->p + b->len, p, n);
    b->len += n;
}

static inline void buf_put_slice(struct buf *b, struct slice s) {
    if (s.n) buf_put(b, s.p, s.n);
}

/* As printf; cut at `full` like everything else. */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- the pool ---- */

struct pool_budget {
    atomic_size_t used_bytes; /* in blocks that are handed out, of all pools */
    atomic_size_t limit_bytes;
};

enum pool_classes { POOL_CLASSES = 40 };

struct pool {
    struct pool_budget *budget;
    size_t kept_bytes;        /* free blocks held for the next pool_get() */
    void *kept[POOL_CLASSES]; /* by the logarithm of their size; each holds the address of the next */
    uint32_t count[POOL_CLASSES];
    uint32_t idle[POOL_CLASSES]; /* fewest that were kept since pool_trim(): so many nobody needed */
};

void pool_init(struct pool *pool, struct pool_budget *budget);
void pool_release(struct pool *pool);

/* The size of the block that pool_get() gives for so many bytes. */
size_t pool_block(size_t bytes);

/* A block of at least `bytes`; its real size goes to *cap. NULL when the budget or the system has no more. */
void *pool_get(struct pool *pool, size_t bytes, size_t *cap);

/* A block of at least `bytes` that holds the first `used` bytes of block p, which is gone; NULL: p stays as it is. Without
 * p, as pool_get(). */
void *pool_grow(struct pool *pool, void *p, size_t *cap, size_t used, size_t bytes);

/* Takes a block back. NULL is fine. */
void pool_put(struct pool *pool, void *p, size_t cap);

/* Gives half of what was not needed since the last call back to the system: called now and then, so it fades. Of
 * each size below a page four stay. */
void pool_trim(struct pool *pool);

#endif
