/* shard.c -- 64 shards: which one a key belongs to, its lock, and what is done to all of them.
 *
 * Owns    the address space of all shards, one reservation. Nothing is touched before it is used, so resident memory
 *         follows what is stored.
 *
 *   memory  | struct shard 0 to 63 | buckets: page 0 of shards 0 to 63, page 1 of shards 0 to 63, ... |
 *           | shard 0: the rest, its arena first | shard 1 | ...
 *   hash    | shard 6 | tag 8 | ... | bucket 32 |        split in hash.h
 *   cursor  | 0       | shard 6 | position in lru_scan() 32 |
 *   databases  16, each with one of 32 ids, which its entries bear and their hashes contain. FLUSHDB gives the database a
 *           fresh id; what bears the former one is found by nobody, goes as the oldest or is purged by upkeep, shard by
 *           shard, in one walk for all such ids; when the last is through, they are free again.
 *
 * True    at most one lock is held by a thread, or several that were taken in the order of the index.
 *         A lock is held for less than a turn; the holder makes no system call but one: giving pages back
 *         (64 of them at most), so that nobody stores there meanwhile; who waits for the next of several may yield.
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
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/random.h>

#define SPINS 1000               /* longer than all commands but those on the largest values */
#define UPKEEP_STEPS 128         /* entries looked at in one piece of upkeep */
#define UPKEEP_TRIM (256u << 10) /* bytes given back in one piece of upkeep */
#define UPKEEP_BUCKETS 16        /* looked at in one piece of upkeep for what is stale */
#define GROWTH 4                 /* so many times the first maxmemory is reserved */
#define LARGE_PAGE (2u << 20)
#define PAGE 4096u
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

_Thread_local uint64_t shards_held;

void shard_wait(struct shard *shard) {
    for (int spins = 0; atomic_load_explicit(&shard->locked, memory_order_relaxed) ||
                        atomic_exchange_explicit(&shard->locked, 1, memory_order_acquire);
         spins++)
        if (spins >= SPINS) sched_yield();
}

static size_t round_up(size_t bytes) { return (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE; }

/* Address space for so much memory, and empty shards in it. */
static bool reserve(struct shards *s, uint64_t maxmemory_bytes, uint32_t capacity) {
    size_t buckets_bytes = round_up(lru_bucket_bytes(capacity));
    size_t shard_bytes = round_up(lru_reserve_bytes(maxmemory_bytes / SHARDS, capacity));
    s->maxmemory_max = maxmemory_bytes;
    s->capacity_max = capacity;
    s->memory_bytes = round_up(SHARDS * sizeof *s->shard) + LARGE_PAGE + buckets_bytes + shard_bytes * SHARDS;
    s->shard = mmap(NULL, s->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->shard == MAP_FAILED) return false;
    s->buckets = (char *)round_up((size_t)(s->shard + SHARDS));
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct lru *l = &s->shard[i].lru;
        l->buckets = (struct bucket *)(s->buckets + i * PAGE);
        l->seed = &s->seed;
        l->budget_bytes = s->budget_bytes;
        l->capacity = s->capacity;
        lru_init(l, s->buckets + buckets_bytes + i * shard_bytes, maxmemory_bytes / SHARDS, capacity);
    }
    return true;
}

bool shards_init(struct shards *s, uint64_t maxmemory_bytes, uint32_t capacity, int threads) {
    *s = (struct shards){.shared = threads > 1, .large_pages = true, .capacity = capacity};
    s->budget_bytes = maxmemory_bytes / SHARDS;
    uint32_t entries = capacity < INT32_MAX / GROWTH ? capacity * GROWTH + GROWTH - 1 : INT32_MAX;
    uint64_t most = maxmemory_bytes * GROWTH < MAXMEMORY_MAX ? maxmemory_bytes * GROWTH : MAXMEMORY_MAX;
    for (uint32_t i = 0; i < DATABASES_MAX; i++)
        atomic_init(&s->id[i], (uint8_t)i);
    if (getrandom(&s->seed, sizeof s->seed, 0) != sizeof s->seed) return false;
    return reserve(s, most, entries) || reserve(s, maxmemory_bytes, capacity);
}

void shards_release(struct shards *s) { munmap(s->shard, s->memory_bytes); }

uint64_t shards_lock_many(struct shards *s, uint64_t set) {
    set &= ~shards_held;
    for (uint64_t rest = set; rest; rest &= rest - 1)
        shard_lock_index(s, (uint32_t)__builtin_ctzll(rest));
    shards_held |= set;
    return set;
}

void shards_unlock_many(struct shards *s, uint64_t locked) {
    shards_held &= ~locked;
    for (; locked; locked &= locked - 1)
        shard_unlock_index(s, (uint32_t)__builtin_ctzll(locked));
}

static void add_shard(uint64_t value, uint64_t *sum, uint64_t *least, uint64_t *most) {
    *sum += value;
    *least = MIN(*least, value);
    *most = MAX(*most, value);
}

UNLOCKED void shards_total(const struct shards *s, struct shards_totals *t) {
    *t = (struct shards_totals){.shard_entries.least = UINT64_MAX, .shard_used_bytes.least = UINT64_MAX};
    uint64_t *sum = (uint64_t *)&t->counters;
    for (const struct shard *shard = s->shard; shard < s->shard + SHARDS; shard++) {
        const struct lru *l = &shard->lru;
        const uint64_t *counter = (const uint64_t *)&l->counters;
        add_shard(READ(l->count), &t->entries, &t->shard_entries.least, &t->shard_entries.most);
        add_shard(lru_used_bytes(l), &t->used_bytes, &t->shard_used_bytes.least, &t->shard_used_bytes.most);
        for (uint32_t d = 0; d < DATABASES_MAX; d++) {
            t->database[d].entries += READ(l->database[shards_id(s, d)].entries);
            t->database[d].with_deadline += READ(l->database[shards_id(s, d)].with_deadline);
        }
        for (size_t i = 0; i < sizeof l->counters / sizeof *counter; i++)
            sum[i] += READ(counter[i]);
        if (READ(l->lag_max_ms) > t->lag_max_ms) t->lag_max_ms = READ(l->lag_max_ms);
    }
}

void shards_clear(struct shards *s) {
    uint64_t locked = shards_lock_many(s, SHARDS_ALL);
    for (uint32_t i = 0; i < SHARDS; i++)
        lru_clear(&s->shard[i].lru);
    shards_unlock_many(s, locked);
}

void shards_reset_counters(struct shards *s) {
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct lru *l = shard_lock_index(s, i);
        memset(&l->counters, 0, sizeof l->counters);
        l->lag_max_ms = 0;
        shard_unlock_index(s, i);
    }
}

bool shards_clear_database(struct shards *s, uint32_t database) {
    uint64_t locked = shards_lock_many(s, SHARDS_ALL);
    uint32_t old = shards_id(s, database), taken = 0; /* ids that a database has, or that entries still bear */
    uint64_t mixed = 0;                               /* the shards that have entries of other databases, too */
    for (uint32_t d = 0; d < DATABASES_MAX; d++)
        taken |= 1u << shards_id(s, d);
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint32_t own = s->shard[i].lru.database[old].entries;
        taken |= s->shard[i].stale;
        mixed |= (uint64_t)(own && own != s->shard[i].lru.count) << i;
    }
    bool done = mixed == 0 || ~taken;
    for (uint32_t i = 0; done && i < SHARDS; i++) {
        struct shard *shard = &s->shard[i];
        if (mixed >> i & 1) {
            shard->stale |= 1u << old;
            shard->lru.purge_at = 0;
        } else if (shard->lru.database[old].entries) {
            lru_clear(&shard->lru); /* it has no entries but these */
        }
    }
    if (done && mixed) {
        atomic_store(&s->id[database], (uint8_t)__builtin_ctz(~taken));
        atomic_fetch_add(&s->moves[database], 1);
    }
    shards_unlock_many(s, locked);
    return done;
}

void shards_swap_databases(struct shards *s, uint32_t a, uint32_t b) {
    uint64_t locked = shards_lock_many(s, SHARDS_ALL);
    uint8_t id = atomic_exchange(&s->id[a], (uint8_t)shards_id(s, b));
    atomic_store(&s->id[b], id);
    atomic_fetch_add(&s->moves[a], 1);
    atomic_fetch_add(&s->moves[b], 1);
    shards_unlock_many(s, locked);
}

void shards_resize(struct shards *s, uint64_t maxmemory_bytes, uint32_t capacity) {
    atomic_store(&s->budget_bytes, maxmemory_bytes / SHARDS);
    atomic_store(&s->capacity, capacity);
}

void shards_grow(struct shards *s) {
    uint64_t budget = atomic_load(&s->budget_bytes);
    uint32_t capacity = atomic_load(&s->capacity);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct lru *l = shard_lock_index(s, i);
        lru_resize(l, MAX(budget, l->budget_bytes), MAX(capacity, l->capacity));
        shard_unlock_index(s, i);
    }
}

bool shards_cursor_valid(uint64_t cursor) { return cursor >> 32 < SHARDS; }

uint64_t shards_scan(struct shards *s, uint32_t id, uint64_t cursor, int64_t now_ms,
                     void (*emit)(void *context, const struct entry *e), void *context) {
    uint32_t i = (uint32_t)(cursor >> 32), position = (uint32_t)cursor, count;
    do {
        struct lru *l = shard_lock_index(s, i);
        count = l->database[id].entries; /* a shard without any is passed over */
        position = count ? lru_scan(l, position, now_ms, emit, context) : 0;
        shard_unlock_index(s, i);
        if (position) return (uint64_t)i << 32 | position;
    } while (++i < SHARDS && count == 0);
    return i == SHARDS ? 0 : (uint64_t)i << 32;
}

UNLOCKED uint64_t shards_random_cursor(const struct shards *s, uint32_t id, uint64_t random) {
    uint32_t entries[SHARDS], i = 0;
    uint64_t all = 0;
    for (uint32_t n = 0; n < SHARDS; n++)
        all += entries[n] = READ(s->shard[n].lru.database[id].entries);
    if (all == 0) return 0;
    for (uint64_t rest = (random >> 32) % all; rest >= entries[i]; i++)
        rest -= entries[i];
    return (uint64_t)i << 32 | (uint32_t)random;
}

/* Makes the next large page of a region of which so many are `full`, of small ones that are all in use: it copies them,
 * some 0.3 ms. `large` counts those that were made, or tried. True: it did. */
static bool make_large(struct shards *s, char *region, uint32_t *large, uint32_t full) {
    if (*large > full) *large = full;
    if (full == *large) return false;
    char *at = region + (size_t)(*large)++ * LARGE_PAGE;
    if (madvise(at, LARGE_PAGE, MADV_HUGEPAGE) != 0 || (madvise(at, LARGE_PAGE, MADV_COLLAPSE) != 0 && errno == EINVAL))
        atomic_store_explicit(&s->large_pages, false, memory_order_relaxed);
    madvise(at, LARGE_PAGE, MADV_NOHUGEPAGE); /* what is given back of it comes again in small pages */
    return true;
}

/* How many large pages of buckets all shards fill, eight small ones of each. */
UNLOCKED static uint32_t full_of_buckets(const struct shards *s) {
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint32_t buckets = READ(s->shard[i].lru.buckets_cap);
        least = MIN(least, buckets);
    }
    return least / (LARGE_PAGE / 64 / SHARDS);
}

bool shard_upkeep(struct shards *s, uint32_t i, int64_t now_ms) {
    struct shard *shard = &s->shard[i];
    struct lru *l = shard_lock_index(s, i);
    bool more = lru_sweep(l, now_ms, UPKEEP_STEPS);
    if (shard->stale && !lru_purge(l, shard->stale, UPKEEP_BUCKETS)) shard->stale = 0;
    more |= shard->stale != 0;
    more |= lru_resize(l, atomic_load(&s->budget_bytes), atomic_load(&s->capacity));
    void *memory;
    size_t bytes;
    if (lru_trim(l, UPKEEP_TRIM, &memory, &bytes)) {
        madvise(memory, bytes, MADV_DONTNEED);
        more = true;
    }
    uint32_t full = l->heap.top / (LARGE_PAGE / HEAP_UNIT);
    shard_unlock_index(s, i);
    if (!atomic_load_explicit(&s->large_pages, memory_order_relaxed)) return more;
    if (make_large(s, l->heap.base, &shard->large, full)) return true;
    return (i == SHARDS - 1 && make_large(s, s->buckets, &s->large_buckets, full_of_buckets(s))) || more;
}
