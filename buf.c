/* buf.c -- pooled blocks of 2^n bytes.
 *
 * Owns    free blocks, one list a size, the link in the block itself. Blocks below a page come from malloc, larger
 *         ones straight from mmap, so that what is given back is given back to the system.
 * True    budget->used_bytes == the sum of all blocks handed out and not yet returned, of all pools
 *         kept_bytes <= KEEP_BYTES, and a KEEP_SHARE of the budget, or of what that was until pool_trim() has come
 * Threads a pool belongs to one worker; the budget is shared and atomic.   Failure: NULL. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define CLASS_MIN 8            /* 256 bytes: a request that was cut in half is seldom longer */
#define CLASS_PAGE 12          /* from here on blocks come from mmap */
#define KEEP_SMALL 4           /* of each size below a page: a request that is cut in two needs one, now and then */
#define KEEP_BYTES (4u << 20)  /* a worker's: large values that come and go need not touch new pages each time, ... */
#define KEEP_SHARE 32          /* ... but it is beside the budget */
#define MOVED_BYTES (8u << 20) /* from here on a block that grows has its pages moved: a copy would take too long */

void buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(b->p + b->len, buf_left(b), format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= buf_left(b))
        b->full = true;
    else
        b->len += (size_t)n;
}

static int class_of(size_t bytes) {
    int size_class = bytes <= 1 << CLASS_MIN ? CLASS_MIN : 64 - __builtin_clzll(bytes - 1);
    return size_class < POOL_CLASSES ? size_class : POOL_CLASSES;
}

size_t pool_block(size_t bytes) { return (size_t)1 << class_of(bytes); }

static void *system_get(int size_class) {
    if (size_class < CLASS_PAGE) return malloc((size_t)1 << size_class);
    void *p = mmap(NULL, (size_t)1 << size_class, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void system_put(void *p, int size_class) {
    if (size_class < CLASS_PAGE)
        free(p);
    else
        munmap(p, (size_t)1 << size_class);
}

void pool_init(struct pool *pool, struct pool_budget *budget) { *pool = (struct pool){.budget = budget}; }

static void *kept_pop(struct pool *pool, int size_class) {
    void *p = pool->kept[size_class];
    if (p) {
        memcpy(&pool->kept[size_class], p, sizeof p);
        pool->kept_bytes -= (size_t)1 << size_class;
        if (--pool->count[size_class] < pool->idle[size_class]) pool->idle[size_class] = pool->count[size_class];
    }
    return p;
}

void pool_release(struct pool *pool) {
    for (int size_class = 0; size_class < POOL_CLASSES; size_class++)
        for (void *p; (p = kept_pop(pool, size_class)) != NULL;)
            system_put(p, size_class);
}

void *pool_get(struct pool *pool, size_t bytes, size_t *cap) {
    int size_class = class_of(bytes);
    *cap = 0;
    if (size_class == POOL_CLASSES) return NULL;
    size_t size = (size_t)1 << size_class;
    size_t used = atomic_fetch_add_explicit(&pool->budget->used_bytes, size, memory_order_relaxed) + size;
    void *p = NULL;
    if (used <= pool->budget->limit_bytes && (p = kept_pop(pool, size_class)) == NULL) p = system_get(size_class);
    if (p == NULL) atomic_fetch_sub_explicit(&pool->budget->used_bytes, size, memory_order_relaxed);
    *cap = p ? size : 0;
    return p;
}

void *pool_grow(struct pool *pool, void *p, size_t *cap, size_t used, size_t bytes) {
    size_t larger = pool_block(bytes);
    if (p && *cap >= MOVED_BYTES && class_of(bytes) < POOL_CLASSES) { /* its pages are moved, not copied */
        size_t more = larger - *cap;
        bool fits = atomic_fetch_add_explicit(&pool->budget->used_bytes, more, memory_order_relaxed) + more <=
                    pool->budget->limit_bytes;
        void *moved = fits ? mremap(p, *cap, larger, MREMAP_MAYMOVE) : MAP_FAILED;
        if (moved != MAP_FAILED) return *cap = larger, moved;
        atomic_fetch_sub_explicit(&pool->budget->used_bytes, more, memory_order_relaxed);
        return NULL;
    }
    void *to = pool_get(pool, bytes, &larger);
    if (to == NULL) return NULL;
    if (p) memcpy(to, p, used);
    pool_put(pool, p, *cap);
    *cap = larger;
    return to;
}

void pool_put(struct pool *pool, void *p, size_t cap) {
    if (p == NULL) return;
    int size_class = class_of(cap);
    size_t size = (size_t)1 << size_class;
    atomic_fetch_sub_explicit(&pool->budget->used_bytes, size, memory_order_relaxed);
    size_t share = relaxed_load(pool->budget->limit_bytes) / KEEP_SHARE;
    if (pool->kept_bytes + size > (share < KEEP_BYTES ? share : KEEP_BYTES)) {
        system_put(p, size_class);
        return;
    }
    memcpy(p, &pool->kept[size_class], sizeof(void *));
    pool->kept[size_class] = p;
    pool->kept_bytes += size;
    pool->count[size_class]++;
}

void pool_trim(struct pool *pool) {
    for (int size_class = CLASS_MIN; size_class < POOL_CLASSES; size_class++) {
        uint32_t keep = size_class < CLASS_PAGE ? KEEP_SMALL : 0;
        for (uint32_t n = (pool->idle[size_class] + 1) / 2; n > 0 && pool->count[size_class] > keep; n--)
            system_put(kept_pop(pool, size_class), size_class);
        pool->idle[size_class] = pool->count[size_class];
    }
}
