/* shard.c -- 64 shards: which one a key belongs to, its lock, and what is done to all of them.
 *
 * Owns    the address space of all shards, one reservation. Nothing is touched before it is used, so resident memory
 *         follows what is stored.
 *
 *   memory  | buckets: page 0 of shards 0 to 63, page 1 of shards 0 to 63, ... | shard 0: the rest | shard 1 | ...
 *   hash    | shard 6 | tag 8 | ... | bucket 32 |        split in hash.h
 *   cursor  | 0       | shard 6 | position in lru_scan() 32 |
 *
 * True    at most one lock is held by a thread, or several that were taken in the order of the index.
 *         A lock is held for less than a turn; the holder makes no system call but one: giving pages back
 *         (64 of them at most), so that nobody stores there meanwhile.
 *
 * Large   What is full anyway is made into pages of 2 MB by upkeep, one at a time: chunks of an arena below its top,
 * pages   and chunks of buckets that all shards fill. So translation costs less, and nothing more is resident. What is
 *         given back of one comes again as small pages.
 *
 * Threads any. With one thread only, the locks are left out.
 *         A waiting thread spins shortly, then lets others run: the holder may be the one that has no CPU. */
#include "shard.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define SPINS 1000               /* longer than all commands but those on the largest values */
#define UPKEEP_STEPS 128         /* entries looked at in one piece of upkeep */
#define UPKEEP_TRIM (256u << 10) /* bytes given back in one piece of upkeep */
#define LARGE_PAGE (2u << 20)
#define PAGE 4096u
#define PAGE_SHIFT 18 /* from one page of a shard's buckets to the next: those of all shards lie between */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

void shard_wait(struct shard *shard) {
    for (int spins = 0;; spins++) {
        if (atomic_load_explicit(&shard->locked, memory_order_relaxed) == 0 &&
            atomic_exchange_explicit(&shard->locked, 1, memory_order_acquire) == 0)
            return;
        if (spins >= SPINS)
            sched_yield();
    }
}

static bool fill_random(void *p, size_t n) {
    for (char *at = p; n > 0;) {
        ssize_t got = getrandom(at, n < 256 ? n : 256, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static size_t round_up(size_t bytes) {
    return (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
}

bool shards_init(struct shards *s, uint64_t maxmemory_bytes, uint32_t capacity, int threads) {
    memset(s, 0, sizeof *s);
    uint64_t budget = maxmemory_bytes / SHARDS;
    size_t offset = lru_arena_offset(budget, capacity), buckets = round_up(lru_bucket_bytes(capacity) * SHARDS);
    size_t each = round_up(lru_reserve_bytes(budget, capacity) + LARGE_PAGE);
    s->shared = threads > 1;
    s->memory_bytes = LARGE_PAGE + buckets + each * SHARDS;
    atomic_init(&s->large_pages, true);
    if (!fill_random(&s->seed, sizeof s->seed))
        return false;
    s->memory = mmap(NULL, s->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->memory == MAP_FAILED)
        return false;
    s->shard = aligned_alloc(64, SHARDS * sizeof *s->shard);
    if (s->shard == NULL) {
        munmap(s->memory, s->memory_bytes);
        return false;
    }
    s->buckets = (char *)round_up((size_t)s->memory);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &s->shard[i];
        char *arena = s->buckets + buckets + i * each + round_up(offset);
        struct lru_options o = {arena - offset, s->buckets + i * PAGE, PAGE_SHIFT, budget, capacity, &s->seed};
        atomic_init(&shard->locked, 0);
        atomic_init(&shard->bucket_pages, 0);
        shard->large_end = arena;
        lru_init(&shard->lru, &o);
    }
    return true;
}

void shards_release(struct shards *s) {
    munmap(s->memory, s->memory_bytes);
    free(s->shard);
}

void shards_lock_many(struct shards *s, uint64_t set) {
    for (; set; set &= set - 1)
        shard_lock_index(s, (uint32_t)__builtin_ctzll(set));
}

void shards_unlock_many(struct shards *s, uint64_t set) {
    for (; set; set &= set - 1)
        shard_unlock_index(s, (uint32_t)__builtin_ctzll(set));
}

void shards_total(struct shards *s, struct shards_totals *totals) {
    memset(totals, 0, sizeof *totals);
    for (uint32_t i = 0; i < SHARDS; i++) {
        const struct lru *l = shard_lock_index(s, i);
        totals->entries += l->count;
        totals->with_deadline += l->with_deadline;
        totals->used_bytes += lru_used_bytes(l);
        totals->budget_bytes += l->budget_bytes;
        totals->hits += l->hits;
        totals->misses += l->misses;
        totals->evicted += l->evicted;
        totals->evicted_out_of_order += l->evicted_out_of_order;
        totals->expired += l->expired;
        for (int bin = 0; bin < LRU_LAG_BINS; bin++)
            totals->lag[bin] += l->lag[bin];
        if (l->lag_max_ms > totals->lag_max_ms)
            totals->lag_max_ms = l->lag_max_ms;
        shard_unlock_index(s, i);
    }
}

void shards_clear(struct shards *s) {
    for (uint32_t i = 0; i < SHARDS; i++) {
        lru_clear(shard_lock_index(s, i));
        shard_unlock_index(s, i);
    }
}

bool shards_cursor_valid(uint64_t cursor) {
    return cursor >> 32 < SHARDS;
}

uint64_t shards_scan(struct shards *s, uint64_t cursor, int64_t now_ms,
                     void (*emit)(void *context, const struct entry *e), void *context) {
    uint32_t i = (uint32_t)(cursor >> 32), position = (uint32_t)cursor, count;
    do {
        struct lru *l = shard_lock_index(s, i);
        count = l->count; /* an empty shard is passed over */
        position = count ? lru_scan(l, position, now_ms, emit, context) : 0;
        shard_unlock_index(s, i);
        if (position)
            return (uint64_t)i << 32 | position;
    } while (++i < SHARDS && count == 0);
    return i == SHARDS ? 0 : (uint64_t)i << 32;
}

/* Makes one large page of small ones that are all in use: it copies them, some 0.3 ms. */
static void make_large(struct shards *s, char *at) {
    if (madvise(at, LARGE_PAGE, MADV_HUGEPAGE) != 0 || (madvise(at, LARGE_PAGE, MADV_COLLAPSE) != 0 && errno == EINVAL))
        atomic_store_explicit(&s->large_pages, false, memory_order_relaxed);
    madvise(at, LARGE_PAGE, MADV_NOHUGEPAGE); /* what is given back of it comes again in small pages */
}

/* Makes the next large page of buckets when all shards fill theirs, eight small ones. True: it did. */
static bool make_large_buckets(struct shards *s) {
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint32_t pages = atomic_load_explicit(&s->shard[i].bucket_pages, memory_order_relaxed);
        least = pages < least ? pages : least;
    }
    uint32_t large = least / (LARGE_PAGE / PAGE / SHARDS);
    if (large <= s->large_buckets) {
        s->large_buckets = large;
        return false;
    }
    make_large(s, s->buckets + (size_t)s->large_buckets++ * LARGE_PAGE);
    return true;
}

bool shard_upkeep(struct shards *s, uint32_t i, int64_t now_ms) {
    struct shard *shard = &s->shard[i];
    struct lru *l = shard_lock_index(s, i);
    bool more = lru_sweep(l, now_ms, UPKEEP_STEPS);
    void *memory;
    size_t bytes;
    if (lru_trim(l, UPKEEP_TRIM, &memory, &bytes)) {
        madvise(memory, bytes, MADV_DONTNEED);
        more = true;
    }
    char *top = heap_at(&l->heap, l->heap.top);
    atomic_store_explicit(&shard->bucket_pages, l->buckets_cap / (PAGE / 64), memory_order_relaxed);
    shard_unlock_index(s, i);
    if (!atomic_load_explicit(&s->large_pages, memory_order_relaxed))
        return more;
    if (top < shard->large_end)
        shard->large_end -= (size_t)(shard->large_end - top + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    if (top - shard->large_end >= (ptrdiff_t)LARGE_PAGE) {
        make_large(s, shard->large_end);
        shard->large_end += LARGE_PAGE;
        return true;
    }
    return (i == SHARDS - 1 && make_large_buckets(s)) || more;
}
