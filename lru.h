/* lru.h -- the entries of one shard: find, store, remove; exact LRU; expiry.
 *
 *   *l = (struct lru){.buckets = ..., .seed = ..., .budget_bytes = ..., .capacity = ...};
 *   lru_init(l, memory, budget_max, capacity_max);
 *   lru_set(l, hash, key, value, 0);
 *   struct entry *e = lru_get(l, hash, key, now_ms);
 *   if (e) use entry_value(e), which stays valid until the next call that changes l
 *
 * Hashes are hash_key() of the key and its database, with the seed that l has: a key is told by both. No call locks,
 * reads a clock or does I/O. */
#ifndef SPONSON_LRU_H
#define SPONSON_LRU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heap.h"
#include "sample.h"
#include "slice.h"

struct bucket;

struct entry {
    uint32_t prev; /* refs: towards the most recent, towards the oldest; bit 31 of each is the heap's */
    uint32_t next;
    uint64_t meta; /* see the drawing in lru.c; only the functions below read it */
};

enum lru_sizes { LRU_WHEEL_LEVELS = 6, LRU_WHEEL_SLOTS = 64, LRU_BINS = 33 };

/* What happened: numbers of 64 bits and nothing else, so that they are read and added up as an array. */
struct lru_counters {
    uint64_t hits;                /* these two by lru_count_read() */
    uint64_t misses[SAMPLE_LIVE]; /* by their cause */
    uint64_t expired;
    uint64_t evicted;              /* in all: ... */
    uint64_t evicted_by_bytes;     /* ... since bytes were wanted, ... */
    uint64_t evicted_by_entries;   /* ... or since there were as many entries as may be, ... */
    uint64_t evicted_out_of_order; /* ... or, not in the oldest quarter, since room was wanted where they were */
    uint64_t lag[LRU_BINS]; /* entries swept less than 2^i ms after their deadline, and not less than half of it */
    /* The same of the time from an entry's last use to its eviction. Of a sample of keys, each of which counts for so
     * many that it stands for: all of them up to 512 entries, one in 2^k above. What is said is at most 164 ms less
     * than the truth; and more by less than 4.3 s, nor by more than the entry was young (lru.c), which is a sixteenth of
     * it as long as entries come and go at one rate. Below 128 ms nothing is told apart. It takes a clock that is not
     * set. */
    uint64_t age[LRU_BINS];
};

struct lru {
    /* what a lookup reads: set once, but for the state of linear hashing (mask + 1 + split buckets) */
    struct bucket *buckets;  /* a page of them, then those of the other shards; given, as the seed is */
    struct bucket *overflow; /* bucket 0 is never used: 0 is none */
    const struct hash_seed *seed;
    uint32_t buckets_max;
    uint32_t overflow_max;
    uint32_t mask;
    uint32_t split;

    /* LRU list */
    uint32_t head;
    uint32_t tail;
    uint32_t count;
    uint32_t boundary; /* the last young entry */
    uint32_t young;    /* young entries: always the first ones of the list */

    uint32_t capacity; /* entries; given */
    uint32_t watched;  /* kept by the caller: while it is not 0, ... */
    uint32_t *changes; /* ... these count what happens to the keys, HASH_CHANGES of them */
    uint64_t access;   /* the coarse clock of 2^12 ms, in its place in `meta` */
    struct sample sample;

    struct lru_counters counters;

    /* the index's memory */
    uint64_t budget_bytes; /* index and arena together never hold more; given */
    uint32_t overflow_top; /* overflow buckets below it are in use */
    uint32_t buckets_cap;  /* buckets that may be used, and count against the budget */
    uint32_t overflow_cap; /* the same of overflow buckets */

    uint32_t old_first;
    uint32_t old; /* entries known to be in the oldest quarter: the last ones of the list, from old_first on */

    /* expiry */
    int64_t tick; /* the wheel stands here: every slot due before it is empty */

    uint64_t lag_max_ms;

    struct heap heap;

    uint64_t slots_used[LRU_WHEEL_LEVELS]; /* which slots have an entry */
    uint32_t *slot;                        /* first entry of each slot, 0: none */

    struct lru_database {
        uint32_t entries;
        uint32_t with_deadline;
    } database[DATABASE_IDS];
    uint32_t purge_at; /* where lru_purge() goes on; the caller sets it to 0 when the set has become another one */
};

/* Address space that lru_init() wants for a budget and a capacity: more than the budget, since index and arena each
 * may grow to what they could use; and for the buckets of SHARDS shards, a page of each in turn. */
size_t lru_reserve_bytes(uint64_t budget_bytes, uint32_t capacity);
size_t lru_bucket_bytes(uint32_t capacity);

/* The largest value, in bytes, that a shard of this budget takes under the longest key allowed: half of it. */
uint64_t lru_value_max(uint64_t budget_bytes);

/* Readies an empty shard of which the caller has set buckets, seed, budget_bytes and capacity, all else being zero.
 * `memory` is lru_reserve_bytes() of zeroed, page-aligned address space, l->buckets the same: of the lru_bucket_bytes()
 * of all shards, from this one's first page on. Both stay the caller's, and are for budget_max and capacity_max: so far
 * lru_resize() may go. */
void lru_init(struct lru *l, char *memory, uint64_t budget_max, uint32_t capacity_max);

/* ---- entries ---- */

static inline uint32_t entry_value_size(const struct entry *e) { return (uint32_t)(e->meta & ((1u << 29) - 1)); }

static inline uint32_t entry_key_size(const struct entry *e) { return (uint32_t)(e->meta >> 29) & 0xFFF; }

static inline uint32_t entry_database(const struct entry *e) { return (uint32_t)(e->meta >> 41) & (DATABASE_IDS - 1); }

static inline bool entry_has_deadline_field(const struct entry *e) { return e->meta >> 46 & 1; }

static inline char *entry_key_bytes(const struct entry *e) {
    return (char *)e + (entry_has_deadline_field(e) ? 32 : 16);
}

static inline struct slice entry_key(const struct entry *e) {
    return (struct slice){entry_key_bytes(e), entry_key_size(e)};
}

static inline struct slice entry_value(const struct entry *e) {
    return (struct slice){entry_key_bytes(e) + entry_key_size(e), entry_value_size(e)};
}

/* When the entry expires, in ms of the wall clock; 0: never. */
static inline int64_t entry_deadline_ms(const struct entry *e) {
    int64_t deadline = 0;
    if (entry_has_deadline_field(e)) memcpy(&deadline, e + 1, sizeof deadline);
    return deadline;
}

/* ---- one key ---- */

/* The live entry of `key`, made the most recent, or NULL. One whose time is over is removed and counts as expired. */
struct entry *lru_get(struct lru *l, uint64_t hash, struct slice key, int64_t now_ms);

/* The same, but the order of entries stays as it is (TYPE, TTL: questions about a key are no use of it). */
struct entry *lru_peek(struct lru *l, uint64_t hash, struct slice key, int64_t now_ms);

/* Stores key and value (copied), replacing an entry of that key, and makes it the most recent. Evicts what must go.
 * `value` may not point into l. deadline_ms 0: never expires. False, and nothing changed: the entry cannot fit. */
bool lru_set(struct lru *l, uint64_t hash, struct slice key, struct slice value, int64_t deadline_ms);

/* Gives an entry another deadline, 0 for none. False when it has no room for one: store it anew with lru_set(). */
bool lru_set_deadline(struct lru *l, struct entry *e, int64_t deadline_ms);

/* Removes an entry of l, whose hash this is. */
void lru_remove(struct lru *l, uint64_t hash, struct entry *e);

/* What it takes of the arena. */
uint64_t lru_entry_bytes(const struct entry *e);

/* How long ago the entry was used, in ms: a multiple of 2^12, and less than 37 hours. */
int64_t lru_idle_ms(const struct lru *l, const struct entry *e);

/* Counts what the caller takes for a read of the key. */
static inline void lru_count_read(struct lru *l, uint64_t hash, bool hit) {
    if (!hit && sample_has(&l->sample, hash)) l->sample.cause = sample_cause(&l->sample, hash);
    *(hit ? &l->counters.hits : &l->counters.misses[l->sample.cause]) += 1;
}

/* Has who watches the key know that something happened to it. Nearly always nobody watches any. */
static inline void lru_changed(struct lru *l, uint64_t hash) {
    if (l->watched) l->changes[hash_change(hash)]++;
}

/* A number that is another one after the key was stored, changed, removed or evicted, if `watched` was not 0 all the
 * while; one in HASH_CHANGES keys of the shard shares it. */
static inline uint32_t lru_changes(const struct lru *l, uint64_t hash) { return l->changes[hash_change(hash)]; }

/* ---- without the lock ---- */

/* Marks who reads what another thread may be writing, on purpose, and reads it. */
#define UNLOCKED __attribute__((no_sanitize("thread")))
#define READ(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

/* Bytes that count against the budget and are in use: entries, and the index. */
uint64_t lru_used_bytes(const struct lru *l);

/* Fetching ahead: what these three read is not believed. */

void lru_prefetch_bucket(const struct lru *l, uint64_t hash);
/* Returns a ref that may be the key's entry, 0 when there seems to be none, and fetches it. */
uint32_t lru_prefetch_entry(const struct lru *l, uint64_t hash);
/* Fetches what a hit on that entry would write, its neighbours on the list; or goes on looking for it when ref is 0. */
void lru_prefetch_links(const struct lru *l, uint64_t hash, uint32_t ref);

/* ---- all keys ---- */

/* Hands the live entries of one bucket to `emit` and returns where to go on, 0 when that was the last bucket. Start
 * at 0. An entry that is there from the first call to the last is handed out at least once, whatever is stored and
 * removed in between. A position is below 2^32. */
uint32_t lru_scan(struct lru *l, uint32_t position, int64_t now_ms, void (*emit)(void *context, const struct entry *e),
                  void *context);

/* Removes all entries, in time that does not depend on how many there are. */
void lru_clear(struct lru *l);

/* Removes the entries of a set of databases (bit i: id i), looking at `buckets` buckets at most. True: the walk is not
 * at its end; false: it is, and none of them is left. */
bool lru_purge(struct lru *l, uint32_t databases, int buckets);

/* ---- upkeep, in bounded steps ---- */

/* Removes entries whose deadline is over, and joins buckets that many removals left half empty; looks at `steps`
 * entries or slots at most. True: there is more to do. */
bool lru_sweep(struct lru *l, int64_t now_ms, int steps);

/* Brings budget and capacity nearer to these, at most what lru_init() was told: up at once, down by some 32 KB, for
 * which entries go as at any other time. True: there is more to do. */
bool lru_resize(struct lru *l, uint64_t budget_bytes, uint32_t capacity);

/* Pages that are resident and hold nothing, `max_bytes` at most: the caller gives [*memory, *memory + *bytes) back to
 * the system before it calls anything else for l. False: none that are worth a call. */
bool lru_trim(struct lru *l, size_t max_bytes, void **memory, size_t *bytes);

#endif
