/* shard.h -- key to shard, the lock of each, and the split of the budget.
 *
 *   uint64_t hash = shards_hash(s, key);
 *   struct lru *l = shard_lock(s, hash);
 *   ... lru_get(l, hash, key, now_ms) ...          no system call here, and no second shard
 *   shard_unlock(s, hash);
 *
 * One lock at a time; who needs several takes them with shards_lock_many(), which goes in the order of the index. */
#ifndef SPONSON_SHARD_H
#define SPONSON_SHARD_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "lru.h"

struct shard {
    alignas(64) atomic_int locked;
    struct lru lru; /* under the lock */
    /* by who does its upkeep */
    char *large_end;          /* pages of the arena below it are large ones, or were tried */
    atomic_uint bucket_pages; /* of its index; read by others */
};

struct shards {
    /* set once */
    struct shard *shard; /* SHARDS of them */
    bool shared;         /* more than one thread uses them: locks are real */
    char *memory;
    size_t memory_bytes;
    char *buckets;           /* of all shards: a page of each in turn */
    atomic_bool large_pages; /* the system gives them when asked */
    uint32_t large_buckets;  /* large pages of buckets, counted from the first; by who does the last shard's upkeep */
    struct hash_seed seed;
};

/* Reserves address space for `maxmemory_bytes` over all shards and makes them empty; `capacity` is the entries of one
 * shard. `threads` is how many will call. False: the system gives no such address space; errno tells why. */
bool shards_init(struct shards *s, uint64_t maxmemory_bytes, uint32_t capacity, int threads);
void shards_release(struct shards *s);

static inline uint64_t shards_hash(const struct shards *s, struct slice key) {
    return hash_key(&s->seed, key);
}

/* For fetching ahead only: not locked. */
static inline const struct lru *shard_unlocked(const struct shards *s, uint64_t hash) {
    return &s->shard[hash_shard(hash)].lru;
}

void shard_wait(struct shard *shard);

static inline struct lru *shard_lock_index(struct shards *s, uint32_t i) {
    struct shard *shard = &s->shard[i];
    if (s->shared && atomic_exchange_explicit(&shard->locked, 1, memory_order_acquire))
        shard_wait(shard);
    return &shard->lru;
}

static inline void shard_unlock_index(struct shards *s, uint32_t i) {
    if (s->shared)
        atomic_store_explicit(&s->shard[i].locked, 0, memory_order_release);
}

static inline struct lru *shard_lock(struct shards *s, uint64_t hash) {
    return shard_lock_index(s, hash_shard(hash));
}

static inline void shard_unlock(struct shards *s, uint64_t hash) {
    shard_unlock_index(s, hash_shard(hash));
}

/* Locks and unlocks the shards whose bits are set, in the order of the index. */
void shards_lock_many(struct shards *s, uint64_t set);
void shards_unlock_many(struct shards *s, uint64_t set);

/* A shard whose lock the caller holds by shards_lock_many(). */
static inline struct lru *shard_locked(struct shards *s, uint64_t hash) {
    return &s->shard[hash_shard(hash)].lru;
}

/* ---- all shards ---- */

struct shards_totals {
    uint64_t entries;
    uint64_t with_deadline;
    uint64_t used_bytes;
    uint64_t budget_bytes;
    uint64_t hits;
    uint64_t misses;
    uint64_t evicted;
    uint64_t evicted_out_of_order;
    uint64_t expired;
    uint64_t lag[LRU_LAG_BINS]; /* as in struct lru */
    uint64_t lag_max_ms;
};

/* Adds up all shards, locking one after the other. */
void shards_total(struct shards *s, struct shards_totals *totals);

/* Removes all entries, one shard after the other. Their memory goes back to the system by shard_upkeep(). */
void shards_clear(struct shards *s);

/* Where SCAN stands: a cursor is below 2^53, since some clients hold it in a double. Reads one bucket, hands its
 * entries to emit (as lru_scan() does) and returns the next cursor, 0 at the end. False: that is no cursor. */
bool shards_cursor_valid(uint64_t cursor);
uint64_t shards_scan(struct shards *s, uint64_t cursor, int64_t now_ms,
                     void (*emit)(void *context, const struct entry *e), void *context);

/* A bounded piece of upkeep for shard i: expired entries go, free pages go back to the system. True: more to do. */
bool shard_upkeep(struct shards *s, uint32_t i, int64_t now_ms);

#endif
