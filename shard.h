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

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "lru.h"

struct shard {
    alignas(64) atomic_int locked;
    /* under the lock */
    struct lru lru;
    uint32_t stale; /* ids of databases that are no more: a walk purges them, anew from its start when one is added */
    /* by who does its upkeep */
    uint32_t large; /* large pages of the arena, counted from the first, that were made, or tried */
};

static_assert(offsetof(struct shard, lru.heap) % 64 == 0, "what a request reads and writes is in three cache lines");

struct shards {
    /* set once */
    struct shard *shard; /* SHARDS of them */
    bool shared;         /* more than one thread uses them: locks are real */
    size_t memory_bytes;
    char *buckets;           /* of all shards: a page of each in turn */
    atomic_bool large_pages; /* the system gives them when asked */
    uint32_t large_buckets;  /* large pages of buckets, counted from the first; by who does the last shard's upkeep */
    struct hash_seed seed;
    uint64_t maxmemory_max; /* shards_resize() may go so far, ... */
    uint32_t capacity_max;  /* ... and to so many entries a shard */

    /* written with all locks held; read by anyone */
    _Atomic uint8_t id[DATABASES_MAX];     /* of the entries of each database */
    _Atomic uint32_t moves[DATABASES_MAX]; /* how often that was changed */
    _Atomic uint64_t budget_bytes;         /* of a shard; the shards come to it step by step */
    _Atomic uint32_t capacity;

    _Atomic size_t value_room; /* by shards_allow_values() */
};

/* Reserves address space for `maxmemory_bytes` over all shards, and four times as much to grow into if the system lets
 * it, and makes them empty; `capacity` is the entries of one shard. `threads` is how many will call. False: the system
 * gives no such address space; errno tells why. */
bool shards_init(struct shards *s, uint64_t maxmemory_bytes, uint32_t capacity, int threads);
void shards_release(struct shards *s);

/* The id that the entries of a database have now: another one after FLUSHDB and SWAPDB, which change it with all locks
 * held. So who has a lock and finds the id in the hash of its key is right until the lock is given back. */
static inline uint32_t shards_id(const struct shards *s, uint32_t database) {
    return atomic_load_explicit(&s->id[database], memory_order_relaxed);
}

static inline uint32_t shards_moves(const struct shards *s, uint32_t database) {
    return atomic_load_explicit(&s->moves[database], memory_order_relaxed);
}

__attribute__((always_inline)) static inline uint64_t shards_hash(const struct shards *s, uint32_t database,
                                                                  struct slice key) {
    return hash_key(&s->seed, shards_id(s, database), key);
}

/* A key's shard: whose lock the caller holds, or to fetch ahead. */
static inline struct lru *shard_of(const struct shards *s, uint64_t hash) { return &s->shard[hash_shard(hash)].lru; }

void shard_wait(struct shard *shard);

/* The shards that this thread holds by shards_lock_many(): locking one of them again does nothing, so a command runs
 * within a transaction as it runs alone. */
extern _Thread_local uint64_t shards_held;

static inline struct lru *shard_lock_index(struct shards *s, uint32_t i) {
    struct shard *shard = &s->shard[i];
    if (s->shared && !(shards_held >> i & 1) && atomic_exchange_explicit(&shard->locked, 1, memory_order_acquire))
        shard_wait(shard);
    return &shard->lru;
}

static inline void shard_unlock_index(struct shards *s, uint32_t i) {
    if (s->shared && !(shards_held >> i & 1)) atomic_store_explicit(&s->shard[i].locked, 0, memory_order_release);
}

static inline struct lru *shard_lock(struct shards *s, uint64_t hash) { return shard_lock_index(s, hash_shard(hash)); }

static inline void shard_unlock(struct shards *s, uint64_t hash) { shard_unlock_index(s, hash_shard(hash)); }

#define SHARDS_ALL UINT64_MAX

/* Locks the shards whose bits are set, in the order of the index, but for those that are held. Returns which it has
 * locked, for shards_unlock_many(). Who holds some already may ask for no others. */
uint64_t shards_lock_many(struct shards *s, uint64_t set);
void shards_unlock_many(struct shards *s, uint64_t locked);

/* Says that values of so many bytes will be stored: before the first is. */
static inline void shards_allow_values(struct shards *s, size_t bytes) {
    if (bytes > atomic_load(&s->value_room)) atomic_store(&s->value_room, bytes);
}

/* The largest value that may be stored, even if the limit has become less since. */
static inline size_t shards_value_room(const struct shards *s) {
    return atomic_load_explicit(&s->value_room, memory_order_relaxed);
}

/* ---- all shards ---- */

struct shards_totals {
    uint64_t entries; /* those of databases that are no more with them, until they are purged */
    struct {
        uint64_t entries, with_deadline;
    } database[DATABASES_MAX];
    uint64_t used_bytes;
    struct {
        uint64_t least, most;
    } shard_entries, shard_used_bytes; /* of any one shard */
    struct lru_counters counters;
    uint64_t lag_max_ms;
};

/* Adds up all shards without a lock: what the caller has changed, or waited for, is in it; what others change meanwhile
 * may be, half of it too. */
void shards_total(const struct shards *s, struct shards_totals *totals);

/* Sets counters and lag_max_ms to zero. */
void shards_reset_counters(struct shards *s);

/* Removes all entries, at once for who looks. Their memory goes back to the system by shard_upkeep(). */
void shards_clear(struct shards *s);

/* Removes all entries of one database, at once and in constant time: it gets another id, and shard_upkeep() purges
 * those with the former one. False, and nothing changed: no id is free, so many are still to be purged. */
bool shards_clear_database(struct shards *s, uint32_t database);

void shards_swap_databases(struct shards *s, uint32_t a, uint32_t b);

/* Where SCAN stands: a cursor is below 2^53, since some clients hold it in a double. Reads one bucket, hands its
 * entries to emit (as lru_scan() does) and returns the next cursor, 0 at the end; passes over shards that have no
 * entries with that id, but hands out all entries of the bucket. False: that is no cursor. */
bool shards_cursor_valid(uint64_t cursor);
uint64_t shards_scan(struct shards *s, uint32_t id, uint64_t cursor, int64_t now_ms,
                     void (*emit)(void *context, const struct entry *e), void *context);

/* A cursor in a shard that has entries with that id, chosen by their number, at a random place; 0 when none has. */
uint64_t shards_random_cursor(const struct shards *s, uint32_t id, uint64_t random);

/* Says what the budget of all shards, up to maxmemory_max, and their capacity are to be. shard_upkeep() changes them;
 * upwards shards_grow() does it at once, by a thread that may lock shards: the one that accepts may not where there is
 * one worker, whose locks are none. */
void shards_resize(struct shards *s, uint64_t maxmemory_bytes, uint32_t capacity);
void shards_grow(struct shards *s);

/* A bounded piece of upkeep for shard i: expired entries go, free pages go back to the system. True: more to do. */
bool shard_upkeep(struct shards *s, uint32_t i, int64_t now_ms);

#endif
