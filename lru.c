/* lru.c -- the entries of one shard, and which of them goes when room runs out.
 *
 * Owns    every entry. An entry is in the index and on the list, or it does not exist.
 *
 *   bucket   | tag[12], 1 byte each | ref[12], 4 bytes each          | next |   64 bytes: one cache line
 *   entry    | prev 4 | next 4 | meta 8 | (deadline 8 | prev 4 | next 4) | key | value |   multiples of 8 bytes
 *   meta       value size 29 | key size 12 | database 5 | deadline field 1 | young 1 | last access 15 | old 1
 *
 *   memory   | arena ... | overflow buckets ... | the sample, the wheel's slots, counters of changes, the heap's map |
 *              and the buckets, page by page: between two pages lie those of the other shards
 *              One budget: what the index holds, the arena may not.
 *
 * Index   Linear hashing: bucket b is split in two when the load asks for it, one bucket an insert, in the order of
 *         the buckets; so there never is a rehash. A tag is 8 bits of the hash; a tag of 0 is a free slot. A chain is
 *         compact: every bucket of it but the last is full. Load 0.8 of the slots: an entry then costs some 8 bytes of
 *         index, overflow counted.
 *
 * LRU     A list from the most recent to the oldest. A hit moves the entry to the front, unless it is young: among
 *         the first sixteenth of the list. Each move ages the entry at the boundary, so the young ones are always
 *         the first `young` of the list. The order is exact but for that sixteenth: while sizes are alike, an entry
 *         is evicted before at most count/16 others that were used longer ago.
 *
 * Expiry  A wheel of 6 levels of 64 slots, the lowest of 128 ms: an entry with a deadline is on the list of one
 *         slot. Sweeping walks the slots that are over, moving entries of a higher level down as their time nears.
 *         Slots are named by the absolute time, so a clock that jumps only changes where the walk stands.
 *
 * Room    When no free block is large enough, the oldest entries go until there are enough free units, and a 512th
 *         of the arena more where sizes differ; then the largest hole is widened: an entry to its right is moved
 *         into another hole, or slid to the left, past the hole, if it fits none. An entry can move, since only
 *         one slot of the index and its neighbours on the list and in the wheel refer to it. The work is bounded by
 *         the size asked for; beyond it, what lies beside the hole is evicted whatever its age.
 *         When the index needs more, what lies at the arena's end is moved, or goes.
 *
 * Old     The last entries of the list, a quarter at most, are marked; the mark is brought up to date by evictions,
 *         not by hits. What is evicted without it, and is not the last of the list, is counted: out of order.
 *
 * Sample  (sample.h) A hit on a young entry notes nothing in it, so the time there may be too early by as long as the
 *         entry was young; the access clock in `meta` says if it is, and to 4 s, when the entry was used.
 *
 * True    whenever a function returns (lru_check() of tests/check_lru.c asserts it, after each change in tests):
 *           entries on the list == entries in the index == count <= capacity
 *           bytes of index + bytes of arena <= budget
 *           young <= count / 16, and they are the first of the list; the old ones are the last
 *           entries with a deadline == entries in the wheel; the databases' entries add up to count
 *
 * Threads none; the caller holds the shard's lock, but for the three prefetch calls.   Time: passed in.
 * Failure an entry that cannot fit returns false, and nothing changes. */
#include "lru.h"

#include <assert.h>
#include <sys/param.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SLOTS 12
#define ALL_SLOTS ((1u << SLOTS) - 1)
#define BUCKETS_FIRST 4u /* the index never is smaller: SCAN of an empty cache is short */
#define PAGE_BUCKETS (PAGE / (uint32_t)sizeof(struct bucket))
#define LOAD_SPLIT 96u    /* entries per ten buckets above which a bucket is split: 0.8 of the slots */
#define LOAD_JOIN 48u     /* and below which two are joined: half of it, so that no insert undoes a removal */
#define YOUNG_SHARE 16u   /* one of so many entries is young */
#define OLD_SHARE 4u      /* one of so many is old: to evict it out of turn is no loss */
#define OLD_STEPS 16      /* entries that become old with one eviction, at most */
#define MARGIN_SHARE 512u /* so much of the arena is kept free where sizes differ: less, and much is moved for little */
#define GATHER_TRIES 8    /* holes that are widened before entries are evicted whatever their age */
#define GATHER_WORK 32u   /* units moved for one that is wanted, ... */
#define GATHER_LEAST 4096u     /* ... and so many for the smallest */
#define GATHER_MOST (1u << 19) /* and no more than 4 MB of them, or twice what is wanted */
#define MOVE_COST 64u          /* what moving one entry costs beside its bytes, in units: its neighbours' cache lines */
#define SHRINK_TRIES 8         /* oldest entries that go for one that lies where the index must grow */
#define GRANULE 16u            /* buckets by which a region of the index grows */
#define INDEX_TRIM_PAGES 2u    /* fewer free pages of the index are kept, ... */
#define ARENA_TRIM_PAGES 16u   /* ... and of the arena: not worth a system call, and its top comes back up */
#define RESIZE_EVICTIONS 64    /* of one step towards a smaller capacity */
#define RESIZE_BYTES (32u << 10) /* of one step towards a smaller budget */
#define TICK_SHIFT 7             /* a tick of the wheel is 128 ms */
#define SLOT_BITS 6              /* of the tick, a level */
#define PAGE 4096u
#define WHEEL_BYTES (LRU_WHEEL_LEVELS * LRU_WHEEL_SLOTS * sizeof(uint32_t))

#define META_DEADLINE (1ull << 46)
#define META_YOUNG (1ull << 47)
#define META_OLD (1ull << 63)
#define ACCESS_SHIFT 48
#define ACCESS_CLOCK 12   /* a step of the clock is 2^12 ms, ... */
#define ACCESS_MAX 0x7FFF /* ... and so many of them are 37 hours */
#define META_ACCESS ((uint64_t)ACCESS_MAX << ACCESS_SHIFT)
#define META_VALUE ((1ull << 29) - 1)

struct bucket {
    uint8_t tag[SLOTS];
    uint32_t ref[SLOTS];
    uint32_t next; /* an overflow bucket, 0: none */
};

struct deadline {  /* follows the header of an entry that has the field */
    int64_t at_ms; /* 0: none, and not in the wheel */
    uint32_t prev; /* HEAP_BIT | slot for the first of a slot */
    uint32_t next;
};

static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");
static_assert(sizeof(struct entry) == 16 && sizeof(struct deadline) == 16, "what an entry costs");
static_assert(PAGE == HEAP_PAGE_UNITS * HEAP_UNIT, "index and arena count the same pages");

static uint32_t pages_of(uint64_t bytes) { return (uint32_t)((bytes + PAGE - 1) / PAGE); }

/* ---- entries ---- */

static struct entry *at(const struct lru *l, uint32_t ref) { return heap_at(&l->heap, ref); }

static uint32_t ref_of(const struct lru *l, const struct entry *e) {
    return (uint32_t)((size_t)((const char *)e - l->heap.base) / HEAP_UNIT);
}

static struct deadline *deadline_of(struct entry *e) { return (struct deadline *)(e + 1); }

static uint32_t units_for(size_t key_size, size_t value_size, bool deadline) {
    size_t bytes = sizeof(struct entry) + (deadline ? sizeof(struct deadline) : 0) + key_size + value_size;
    return (uint32_t)((bytes + HEAP_UNIT - 1) / HEAP_UNIT);
}

static uint32_t entry_units(const void *block) {
    const struct entry *e = block;
    return units_for(entry_key_size(e), entry_value_size(e), entry_has_deadline_field(e));
}

static uint64_t entry_hash(const struct lru *l, const struct entry *e) {
    return hash_key(l->seed, entry_database(e), entry_key(e));
}

/* ---- the sample ---- */

static void count_in_bin(uint64_t *bins, uint64_t ms, uint64_t times) {
    int bin = 64 - __builtin_clzll(ms | 1);
    bins[bin < LRU_BINS ? bin : LRU_BINS - 1] += times;
}

/* Counts the age of an entry of the sample that goes; `used` is as its slot has it. */
static void count_age(struct lru *l, const struct entry *e, uint32_t used) {
    uint32_t step = used >> (ACCESS_CLOCK - SAMPLE_CLOCK);
    uint32_t later = ((uint32_t)(e->meta >> ACCESS_SHIFT) - step) & ACCESS_MAX;
    if (later) used = (step + later) << (ACCESS_CLOCK - SAMPLE_CLOCK); /* it was used while it was young */
    int64_t age = (int32_t)(l->sample.clock - used);
    count_in_bin(l->counters.age, (age > 0 ? (uint64_t)age << SAMPLE_CLOCK : 0) | 127,
                 1ull << sample_shift(&l->sample));
}

/* Notes what has become of an entry, or is about to, whose key is in the sample. */
__attribute__((noinline)) static void note(struct lru *l, uint64_t hash, const struct entry *e,
                                           enum sample_state state) {
    uint32_t used;
    if (sample_note(&l->sample, hash, state, l->count, &used) && state == SAMPLE_EVICTED) count_age(l, e, used);
}

/* ---- the list ---- */

static uint32_t next_of(const struct entry *e) { return e->next & ~HEAP_BIT; }

static void set_next(struct entry *e, uint32_t next) { e->next = (e->next & HEAP_BIT) | next; }

/* Has the neighbours of a place on the list refer to `before` and to `behind`; 0 is its end. */
static void list_join(struct lru *l, uint32_t prev, uint32_t next, uint32_t behind, uint32_t before) {
    if (prev)
        set_next(at(l, prev), behind);
    else
        l->head = behind;
    *(next ? &at(l, next)->prev : &l->tail) = before;
}

/* Takes youth from the boundary until no more than a sixteenth is young: once or twice after any one change. */
static void age(struct lru *l) {
    while (l->young > l->count / YOUNG_SHARE) {
        struct entry *e = at(l, l->boundary);
        e->meta &= ~META_YOUNG;
        l->boundary = e->prev;
        l->young--;
        __builtin_prefetch(at(l, l->boundary), 1); /* the next one: it was a tenth of a pipelined GET */
    }
}

static void list_push(struct lru *l, struct entry *e, uint32_t ref) {
    e->prev = 0;
    set_next(e, l->head);
    list_join(l, 0, l->head, ref, ref);
    e->meta |= META_YOUNG;
    if (l->young++ == 0) l->boundary = ref;
}

static void list_unlink(struct lru *l, struct entry *e, uint32_t ref) {
    uint32_t prev = e->prev, next = next_of(e);
    list_join(l, prev, next, next, prev);
    if (e->meta & META_YOUNG) {
        l->young--;
        if (l->boundary == ref) l->boundary = prev;
    }
    if (e->meta & META_OLD) {
        e->meta &= ~META_OLD;
        l->old--;
        if (l->old_first == ref) l->old_first = next;
    }
}

/* Brings the number of old entries nearer to a quarter, by `steps` at most. It is only looked at when an entry goes
 * before its time, so hits need not keep it. */
static void grow_old(struct lru *l, int steps) {
    uint32_t wanted = l->count / OLD_SHARE;
    for (; l->old > wanted && steps > 0; steps--, l->old--) {
        struct entry *e = at(l, l->old_first);
        e->meta &= ~META_OLD;
        l->old_first = next_of(e);
    }
    for (; l->old < wanted && steps > 0; steps--, l->old++) {
        l->old_first = l->old ? at(l, l->old_first)->prev : l->tail;
        struct entry *e = at(l, l->old_first);
        e->meta |= META_OLD;
        __builtin_prefetch(at(l, e->prev), 1);
    }
}

static inline void touch(struct lru *l, uint64_t hash, struct entry *e) {
    if ((e->meta & META_ACCESS) != l->access) e->meta = (e->meta & ~META_ACCESS) | l->access;
    if (e->meta & META_YOUNG) return;
    if (sample_has(&l->sample, hash) && !sample_use(&l->sample, hash)) note(l, hash, e, SAMPLE_LIVE);
    uint32_t ref = ref_of(l, e);
    if (ref == l->head) return;
    list_unlink(l, e, ref);
    list_push(l, e, ref);
    age(l);
}

/* ---- the wheel ---- */

/* Puts an entry into the slot where it is looked at next: that of its deadline, or one of a higher level before it. */
static void wheel_add(struct lru *l, struct entry *e, uint32_t ref) {
    struct deadline *d = deadline_of(e);
    int64_t farthest = l->tick + ((int64_t)1 << (SLOT_BITS * LRU_WHEEL_LEVELS)) - 1;
    int64_t tick = MIN(MAX(d->at_ms >> TICK_SHIFT, l->tick + 1), farthest);
    uint64_t away = (uint64_t)(tick - l->tick);
    int level = away < LRU_WHEEL_SLOTS ? 0 : (63 - __builtin_clzll(away)) / SLOT_BITS;
    uint32_t in_level = (uint32_t)(tick >> (SLOT_BITS * level)) % LRU_WHEEL_SLOTS;
    uint32_t slot = (uint32_t)level * LRU_WHEEL_SLOTS + in_level;
    d->prev = HEAP_BIT | slot;
    d->next = l->slot[slot];
    if (d->next) deadline_of(at(l, d->next))->prev = ref;
    l->slot[slot] = ref;
    l->slots_used[level] |= 1ull << in_level;
}

/* Has what refers to an entry of the wheel, the slot or entry before it and the entry behind it, refer to `behind` and
 * to `before`. */
static void wheel_join(struct lru *l, const struct deadline *d, uint32_t behind, uint32_t before) {
    if (d->next) deadline_of(at(l, d->next))->prev = before;
    *(d->prev & HEAP_BIT ? &l->slot[d->prev & ~HEAP_BIT] : &deadline_of(at(l, d->prev))->next) = behind;
}

static void wheel_remove(struct lru *l, const struct deadline *d) {
    uint32_t slot = d->prev & ~HEAP_BIT;
    wheel_join(l, d, d->next, d->prev);
    if ((d->prev & HEAP_BIT) && d->next == 0)
        l->slots_used[slot / LRU_WHEEL_SLOTS] &= ~(1ull << (slot % LRU_WHEEL_SLOTS));
}

/* For an entry that has the field. */
static void change_deadline(struct lru *l, struct entry *e, int64_t deadline_ms) {
    struct deadline *d = deadline_of(e);
    uint32_t *with_deadline = &l->database[entry_database(e)].with_deadline;
    if (d->at_ms) {
        wheel_remove(l, d);
        --*with_deadline;
    }
    d->at_ms = deadline_ms;
    if (deadline_ms) {
        wheel_add(l, e, ref_of(l, e));
        ++*with_deadline;
    }
}

/* The next tick, from l->tick on, at which a slot that has an entry is to be emptied, and the slot: the one of the
 * highest level, if there are several. INT64_MAX: there is none. */
static int64_t wheel_next(const struct lru *l, uint32_t *slot) {
    int64_t next = INT64_MAX;
    for (uint32_t level = 0; level < LRU_WHEEL_LEVELS; level++) {
        int64_t span = (int64_t)1 << (SLOT_BITS * level), from = (l->tick + span - 1) >> (SLOT_BITS * level);
        uint64_t used = l->slots_used[level], low = (uint64_t)from % LRU_WHEEL_SLOTS;
        if (used == 0) continue;
        used = used >> low | used << (-low % LRU_WHEEL_SLOTS); /* in the order of time */
        int64_t in_level = from + __builtin_ctzll(used);
        if (in_level * span > next) continue;
        next = in_level * span;
        *slot = level * LRU_WHEEL_SLOTS + (uint32_t)in_level % LRU_WHEEL_SLOTS;
    }
    return next;
}

/* ---- the index ---- */

static uint32_t buckets(const struct lru *l) { return l->mask + 1 + l->split; }

static uint32_t bucket_index(uint32_t mask, uint32_t split, uint32_t hash) {
    uint32_t i = hash & mask;
    return i < split ? hash & (2 * mask + 1) : i;
}

static inline struct bucket *bucket_at(const struct lru *l, uint32_t i) {
    return l->buckets + (size_t)(i / PAGE_BUCKETS) * PAGE_BUCKETS * SHARDS + i % PAGE_BUCKETS;
}

static struct bucket *bucket_of(const struct lru *l, uint64_t hash) {
    return bucket_at(l, bucket_index(l->mask, l->split, hash_bucket(hash)));
}

#ifndef __SSE2__
/* One bit for each byte of x that is 0. */
static uint32_t zero_bytes(uint64_t x) {
    const uint64_t low7 = 0x7F7F7F7F7F7F7F7Full;
    uint64_t high = ~(((x & low7) + low7) | x | low7);
    return (uint32_t)(((high >> 7) * 0x0102040810204080ull) >> 56);
}
#endif

/* One bit for each slot with that tag, of the twelve in the first 16 bytes of a bucket: given as two words, so that
 * who has no lock reads each of them at once. */
static inline uint32_t match(uint64_t low, uint64_t high, uint8_t tag) {
    uint64_t pattern = 0x0101010101010101ull * tag;
#ifdef __SSE2__
    __m128i equal = _mm_cmpeq_epi8(_mm_set_epi64x((int64_t)high, (int64_t)low), _mm_set1_epi64x((int64_t)pattern));
    uint32_t slots = (uint32_t)_mm_movemask_epi8(equal);
#else
    uint32_t slots = zero_bytes(low ^ pattern) | zero_bytes(high ^ pattern) << 8;
#endif
    return slots & ALL_SLOTS;
}

static inline uint32_t slots_with(const struct bucket *b, uint8_t tag) {
    return match(hash_load64((const char *)b), hash_load64((const char *)b + 8), tag);
}

/* Whether two keys of n bytes are the same: nearly all are short, and a call of memcmp() costs more than these. */
static inline bool same_bytes(const char *a, const char *b, size_t n) {
    if (n < 8) return memcmp(a, b, n) == 0;
    for (size_t i = 0; i + 8 < n; i += 8)
        if (hash_load64(a + i) != hash_load64(b + i)) return false;
    return hash_load64(a + n - 8) == hash_load64(b + n - 8);
}

static struct entry *find(const struct lru *l, uint64_t hash, struct slice key) {
    uint8_t tag = hash_tag(hash);
    uint64_t size_and_database = key.n | (uint64_t)hash_database(hash) << 12;
    for (const struct bucket *b = bucket_of(l, hash);; b = &l->overflow[b->next]) {
        for (uint32_t slots = slots_with(b, tag); slots; slots &= slots - 1) {
            struct entry *e = at(l, b->ref[__builtin_ctz(slots)]);
            if ((e->meta >> 29 & 0x1FFFF) == size_and_database && same_bytes(entry_key_bytes(e), key.p, key.n))
                return e;
        }
        if (b->next == 0) return NULL;
    }
}

/* How many overflow_take() would still give. */
static uint32_t overflow_left(const struct lru *l) { return l->overflow_cap - l->overflow_top; }

/* An overflow bucket from the pages that the index has, 0 when they are full. */
static uint32_t overflow_take(struct lru *l) {
    if (overflow_left(l) == 0) return 0;
    memset(&l->overflow[l->overflow_top], 0, sizeof(struct bucket));
    return l->overflow_top++;
}

/* Takes back overflow bucket i, to which nothing leads any more: the last one moves there, so that none below the top is
 * free. It is in the chain of its entries, or in that which begins with `detached`. */
static void overflow_give(struct lru *l, uint32_t i, struct bucket *detached) {
    uint32_t last = --l->overflow_top;
    struct bucket *b = detached;
    if (i == last) return;
    while (b->next && b->next != last)
        b = &l->overflow[b->next];
    if (b->next == 0) b = bucket_of(l, entry_hash(l, at(l, l->overflow[last].ref[0])));
    while (b->next != last)
        b = &l->overflow[b->next];
    b->next = i;
    l->overflow[i] = l->overflow[last];
}

/* Adds a slot to the chain of bucket b. False: it is full, and no overflow bucket is to be had. */
static bool chain_add(struct lru *l, struct bucket *b, uint8_t tag, uint32_t ref) {
    while (b->next)
        b = &l->overflow[b->next];
    uint32_t slots = slots_with(b, 0);
    if (slots == 0) {
        uint32_t i = overflow_take(l);
        if (i == 0) return false;
        b->next = i;
        b = &l->overflow[i];
        slots = ALL_SLOTS;
    }
    int slot = __builtin_ctz(slots);
    b->ref[slot] = ref;
    b->tag[slot] = tag;
    return true;
}

/* The place in the index that refers to an entry: its bucket, and the slot there. */
static struct bucket *place_of(const struct lru *l, uint64_t hash, uint32_t ref, int *slot) {
    for (struct bucket *b = bucket_of(l, hash);; b = &l->overflow[b->next]) {
        for (uint32_t slots = slots_with(b, hash_tag(hash)); slots; slots &= slots - 1)
            if (b->ref[ *slot = __builtin_ctz(slots)] == ref) return b;
        assert(b->next);
    }
}

/* Removes the slot of an entry; the last slot of its chain fills the gap. */
static void chain_remove(struct lru *l, uint64_t hash, uint32_t ref) {
    int slot;
    struct bucket *b = place_of(l, hash, ref, &slot), *last = bucket_of(l, hash), *before = NULL;
    for (; last->next; last = &l->overflow[last->next])
        before = last;
    uint32_t filled = ~slots_with(last, 0) & ALL_SLOTS;
    int from = 31 - __builtin_clz(filled);
    b->tag[slot] = last->tag[from];
    b->ref[slot] = last->ref[from];
    last->tag[from] = 0;
    if ((filled & (filled - 1)) == 0 && before) {
        uint32_t empty = before->next;
        before->next = 0;
        overflow_give(l, empty, before);
    }
}

/* Moves every slot of a chain that begins with the copy `b` to the bucket where its hash belongs now; the chain's
 * overflow buckets are given back one by one before they are needed again, so there always is one. */
static void chain_spread(struct lru *l, struct bucket b) {
    for (;;) {
        uint32_t filled = ~slots_with(&b, 0) & ALL_SLOTS, next = b.next;
        for (uint32_t slots = filled; slots; slots &= slots - 1)
            __builtin_prefetch(at(l, b.ref[__builtin_ctz(slots)]));
        for (uint32_t slots = filled; slots; slots &= slots - 1) {
            int slot = __builtin_ctz(slots);
            uint64_t hash = entry_hash(l, at(l, b.ref[slot]));
            bool added = chain_add(l, bucket_of(l, hash), b.tag[slot], b.ref[slot]);
            assert(added);
            (void)added;
        }
        if (next == 0) return;
        b = l->overflow[next];
        overflow_give(l, next, &b);
    }
}

static void split(struct lru *l) {
    uint32_t low = l->split, high = l->mask + 1 + low;
    struct bucket old = *bucket_at(l, low);
    memset(bucket_at(l, low), 0, sizeof old);
    memset(bucket_at(l, high), 0, sizeof old);
    if (++l->split > l->mask) {
        l->mask = 2 * l->mask + 1;
        l->split = 0;
    }
    chain_spread(l, old);
}

static void join(struct lru *l) {
    if (l->split == 0) {
        l->mask /= 2;
        l->split = l->mask + 1;
    }
    uint32_t high = l->mask + l->split;
    l->split--;
    chain_spread(l, *bucket_at(l, high));
}

/* ---- removing, and making room ---- */

/* `became` is for the sample: why it goes, SAMPLE_FREE when the user removes it, SAMPLE_LIVE when it is stored anew. */
static void discard(struct lru *l, uint64_t hash, struct entry *e, enum sample_state became) {
    uint32_t ref = ref_of(l, e);
    lru_changed(l, hash);
    if (sample_has(&l->sample, hash)) note(l, hash, e, became);
    chain_remove(l, hash, ref);
    if (entry_deadline_ms(e)) change_deadline(l, e, 0);
    list_unlink(l, e, ref);
    l->count--;
    l->database[entry_database(e)].entries--;
    age(l);
    heap_free(&l->heap, ref, entry_units(e));
}

/* `cause` is the counter of why it goes. */
static void evict_for(struct lru *l, uint32_t ref, uint64_t *cause) {
    struct entry *e = at(l, ref);
    ++*cause;
    l->counters.evicted++;
    discard(l, entry_hash(l, e), e, SAMPLE_EVICTED);
    grow_old(l, OLD_STEPS);
}

/* Since bytes are wanted, wherever they are or just there. */
static void evict(struct lru *l, uint32_t ref) {
    bool in_order = ref == l->tail || (at(l, ref)->meta & META_OLD);
    evict_for(l, ref, in_order ? &l->counters.evicted_by_bytes : &l->counters.evicted_out_of_order);
}

static void expire(struct lru *l, uint64_t hash, struct entry *e) {
    l->counters.expired++;
    discard(l, hash, e, SAMPLE_EXPIRED);
}

/* Mends what refers to an entry whose bytes have been moved. */
static void moved(struct lru *l, uint32_t from, uint32_t to) {
    struct entry *e = at(l, to);
    int slot;
    list_join(l, e->prev, next_of(e), to, to);
    if (l->boundary == from) l->boundary = to;
    if (l->old_first == from) l->old_first = to;
    if (entry_deadline_ms(e)) wheel_join(l, deadline_of(e), to, to);
    struct bucket *b = place_of(l, entry_hash(l, e), from, &slot);
    b->ref[slot] = to;
}

/* Moves an entry into another hole that is large enough. False: there is none but `hole`, which is not meant. */
static bool move_elsewhere(struct lru *l, uint32_t ref, uint32_t hole) {
    struct entry *e = at(l, ref);
    uint32_t units = entry_units(e), to = heap_alloc(&l->heap, units);
    if (to == 0) return false;
    if (to == hole) {
        heap_free(&l->heap, to, units);
        return false;
    }
    memcpy(at(l, to), e, (size_t)units * HEAP_UNIT);
    at(l, to)->next &= ~HEAP_BIT; /* the heap's bit of the place that it left */
    moved(l, ref, to);
    heap_free(&l->heap, ref, units);
    return true;
}

/* What the index counts, to the byte: the rest of its last pages is part of what the process has beside the cache. */
UNLOCKED static uint64_t index_bytes(const struct lru *l) {
    size_t map = heap_map_bytes((uint32_t)(READ(l->budget_bytes) / HEAP_UNIT)) - heap_map_bytes(0);
    return map + ((uint64_t)READ(l->buckets_cap) + READ(l->overflow_cap)) * sizeof(struct bucket);
}

UNLOCKED uint64_t lru_used_bytes(const struct lru *l) {
    return index_bytes(l) + (uint64_t)READ(l->heap.used) * HEAP_UNIT;
}

static uint32_t arena_units(const struct lru *l) { return (uint32_t)((l->budget_bytes - index_bytes(l)) / HEAP_UNIT); }

/* After the index has grown: the arena's end is given up. What lies there is moved; the oldest go for it, or else it. */
static void shrink_arena(struct lru *l) {
    struct heap *h = &l->heap;
    h->limit = arena_units(l);
    while (h->top > h->limit) {
        uint32_t last = heap_block_at(h, h->top - 1);
        for (int tries = 0; last != l->tail && tries < SHRINK_TRIES && !move_elsewhere(l, last, 0); tries++)
            evict(l, l->tail);
        if (last < h->top) evict(l, last);
    }
}

static void grow_region(struct lru *l, uint32_t *cap) {
    *cap += GRANULE;
    shrink_arena(l);
}

/* Sees to it that two overflow buckets are free, unless there may be no more. */
static bool has_spare(struct lru *l) {
    if (overflow_left(l) < 2 && l->overflow_cap < l->overflow_max) grow_region(l, &l->overflow_cap);
    return overflow_left(l) >= 2;
}

/* Readies the index for one more entry: a split when the load asks for it, and a spare overflow bucket. */
static void index_grow(struct lru *l) {
    uint32_t n = buckets(l);
    if ((uint64_t)(l->count + 1) * 10 > (uint64_t)n * LOAD_SPLIT && n < l->buckets_max) {
        if (n == l->buckets_cap) grow_region(l, &l->buckets_cap);
        split(l);
    }
    has_spare(l);
}

/* Joins buckets as long as few slots are filled, at most `most` of them. True: there are more to join. */
static bool index_shrink(struct lru *l, int most) {
    while (buckets(l) > BUCKETS_FIRST && (uint64_t)l->count * 10 < (uint64_t)buckets(l) * LOAD_JOIN) {
        if (most-- == 0) return true;
        if (!has_spare(l)) return false; /* a joined chain can be one or two buckets longer */
        join(l);
    }
    return false;
}

/* Widens the largest hole until a block of `units` fits. What lies to its right is moved into another hole, for which
 * the oldest may go until no more than `least_used` is used; what is large, or fits none, is slid to the left, past the
 * hole. 0: not with so little work. */
static uint32_t gather(struct lru *l, uint32_t units, uint32_t least_used) {
    struct heap *h = &l->heap;
    int64_t work = MIN((int64_t)units * GATHER_WORK + GATHER_LEAST, MAX(GATHER_MOST, 2 * units));
    uint32_t hole = heap_largest(h);
    while (hole && hole < h->top) {
        uint32_t size = heap_size(h, hole), right = hole + size;
        if (size >= units) break;
        uint32_t own = entry_units(at(l, right));
        work -= own + MOVE_COST;
        if (work < 0) return 0;
        if (own < size && move_elsewhere(l, right, hole)) continue;
        bool small = own <= units - size;
        if (small && right == l->tail) {
            evict(l, right);
        } else if (small && h->used > least_used && entry_units(at(l, l->tail)) <= units - size) {
            evict(l, l->tail);
            hole = heap_block_at(h, hole); /* what went may have been its neighbour to the left */
        } else {
            hole = heap_slide(h, hole);
            moved(l, right, right - size);
        }
    }
    return heap_alloc(h, units);
}

/* A block of `units`, which the lists do not have: the oldest go, then holes are brought together. */
static uint32_t make_room(struct lru *l, uint32_t units) {
    struct heap *h = &l->heap;
    uint32_t margin = h->limit / MARGIN_SHARE, most = 2 * units + MOVE_COST;
    uint32_t least_used = h->used > most ? h->used - most : 0;
    for (int tries = 0; tries < GATHER_TRIES && l->count;) {
        uint32_t enough = h->used > least_used ? units + margin : units, ref;
        if (h->limit - h->used > enough) { /* unit 0 is none's */
            tries++;
            ref = gather(l, units, least_used);
            if (ref) return ref;
        }
        if (l->count) evict(l, l->tail);
        ref = heap_alloc(h, units);
        if (ref) return ref;
    }
    uint32_t from = heap_largest(h);
    if (from == 0) from = l->tail ? l->tail : 1;
    from = MIN(from, h->limit - units);
    for (uint32_t to = from + units; from < to && from < h->top;) { /* what lies there goes, whatever its age */
        uint32_t ref = heap_block_at(h, from);
        if (heap_is_free(h, ref))
            from = ref + heap_size(h, ref);
        else
            evict(l, ref);
    }
    return heap_alloc(h, units);
}

/* ---- life ---- */

static uint32_t buckets_for(uint32_t capacity) {
    return (uint32_t)((uint64_t)capacity * 10 / LOAD_SPLIT / PAGE_BUCKETS + 1) * PAGE_BUCKETS;
}

static uint32_t overflow_for(uint32_t capacity) {
    return (buckets_for(capacity) / PAGE_BUCKETS / 2 + 1) * PAGE_BUCKETS;
}

size_t lru_bucket_bytes(uint32_t capacity) { return (size_t)buckets_for(capacity) * sizeof(struct bucket) * SHARDS; }

/* The sample, the wheel's slots, the counters and the heap's map stand outside of struct lru, which is to be small, since
 * each request comes to another shard. */
size_t lru_reserve_bytes(uint64_t budget_bytes, uint32_t capacity) {
    size_t overflow = (size_t)overflow_for(capacity) * sizeof(struct bucket);
    size_t fixed = SAMPLE_SLOTS * sizeof(struct sample_slot) + WHEEL_BYTES + HASH_CHANGES * sizeof(uint32_t);
    size_t map = heap_map_bytes((uint32_t)(budget_bytes / HEAP_UNIT));
    return (size_t)pages_of(budget_bytes) * PAGE + overflow + fixed + map;
}

uint64_t lru_value_max(uint64_t budget_bytes) { return budget_bytes / 2 < META_VALUE ? budget_bytes / 2 : META_VALUE; }

/* No entries, and as few buckets as can be. */
static void empty(struct lru *l) {
    memset(bucket_at(l, 0), 0, BUCKETS_FIRST * sizeof(struct bucket));
    l->mask = BUCKETS_FIRST - 1;
    l->split = 0;
    l->overflow_top = 1;
    l->head = l->tail = l->boundary = l->young = l->old_first = l->old = l->count = 0;
    memset(l->database, 0, sizeof l->database);
    memset(l->slots_used, 0, sizeof l->slots_used);
    memset(l->slot, 0, WHEEL_BYTES);
}

void lru_init(struct lru *l, char *memory, uint64_t budget_max, uint32_t capacity_max) {
    l->budget_bytes = l->budget_bytes / PAGE * PAGE;
    l->buckets_max = buckets_for(capacity_max);
    l->overflow_max = overflow_for(capacity_max);
    l->buckets_cap = l->overflow_cap = GRANULE;
    l->overflow = (struct bucket *)(memory + (size_t)pages_of(budget_max) * PAGE);
    l->sample.slots = (struct sample_slot *)(l->overflow + l->overflow_max);
    l->slot = (uint32_t *)(l->sample.slots + SAMPLE_SLOTS);
    l->changes = l->slot + LRU_WHEEL_LEVELS * LRU_WHEEL_SLOTS;
    heap_init(&l->heap, memory, l->changes + HASH_CHANGES, arena_units(l), entry_units);
    empty(l);
}

/* ---- one key ---- */

static inline struct entry *find_live(struct lru *l, uint64_t hash, struct slice key, int64_t now_ms) {
    struct entry *e = find(l, hash, key);
    int64_t deadline_ms = e ? entry_deadline_ms(e) : 0;
    if (deadline_ms == 0 || now_ms <= deadline_ms) return e;
    expire(l, hash, e);
    return NULL;
}

struct entry *lru_get(struct lru *l, uint64_t hash, struct slice key, int64_t now_ms) {
    struct entry *e = find_live(l, hash, key, now_ms);
    if (e) touch(l, hash, e);
    return e;
}

struct entry *lru_peek(struct lru *l, uint64_t hash, struct slice key, int64_t now_ms) {
    return find_live(l, hash, key, now_ms);
}

static void write_value(struct entry *e, struct slice value) {
    e->meta = (e->meta & ~META_VALUE) | value.n;
    if (value.n) memcpy(entry_key_bytes(e) + entry_key_size(e), value.p, value.n);
}

static void insert(struct lru *l, uint64_t hash, struct slice key, struct slice value, int64_t deadline_ms,
                   uint32_t ref) {
    struct entry *e = at(l, ref);
    lru_changed(l, hash);
    e->meta = (uint64_t)(key.n | hash_database(hash) << 12) << 29 | (deadline_ms ? META_DEADLINE : 0) | l->access;
    memcpy(entry_key_bytes(e), key.p, key.n);
    write_value(e, value);
    l->count++;
    l->database[hash_database(hash)].entries++;
    list_push(l, e, ref);
    age(l);
    if (sample_has(&l->sample, hash)) note(l, hash, e, SAMPLE_LIVE);
    if (deadline_ms) {
        deadline_of(e)->at_ms = 0;
        change_deadline(l, e, deadline_ms);
    }
    struct bucket *b = bucket_of(l, hash);
    while (!chain_add(l, b, hash_tag(hash), ref))
        evict(l, b->ref[0]); /* no overflow bucket to be had: somebody of this bucket goes */
}

bool lru_set(struct lru *l, uint64_t hash, struct slice key, struct slice value, int64_t deadline_ms) {
    if (key.n > KEY_SIZE_MAX || value.n > lru_value_max(l->budget_bytes)) return false;
    uint32_t units = units_for(key.n, value.n, deadline_ms != 0);
    struct entry *e = find(l, hash, key);
    if (e && entry_units(e) == units && entry_has_deadline_field(e) == (deadline_ms != 0)) {
        lru_changed(l, hash);
        write_value(e, value);
        if (deadline_ms) change_deadline(l, e, deadline_ms);
        touch(l, hash, e);
        return true;
    }
    if (units + 1 > l->heap.limit) return false;
    if (e) discard(l, hash, e, SAMPLE_LIVE);
    while (l->count >= l->capacity)
        evict_for(l, l->tail, &l->counters.evicted_by_entries);
    index_grow(l);
    uint32_t ref = heap_alloc(&l->heap, units);
    if (ref == 0) ref = make_room(l, units);
    assert(ref);
    insert(l, hash, key, value, deadline_ms, ref);
    return true;
}

bool lru_set_deadline(struct lru *l, struct entry *e, int64_t deadline_ms) {
    if (!entry_has_deadline_field(e)) return deadline_ms == 0;
    lru_changed(l, l->watched ? entry_hash(l, e) : 0);
    change_deadline(l, e, deadline_ms);
    return true;
}

void lru_remove(struct lru *l, uint64_t hash, struct entry *e) { discard(l, hash, e, SAMPLE_FREE); }

uint64_t lru_entry_bytes(const struct entry *e) { return (uint64_t)entry_units(e) * HEAP_UNIT; }

int64_t lru_idle_ms(const struct lru *l, const struct entry *e) {
    return (int64_t)((l->access - (e->meta & META_ACCESS)) >> ACCESS_SHIFT & ACCESS_MAX) << ACCESS_CLOCK;
}

/* ---- fetching ahead ---- */

UNLOCKED static inline const struct bucket *guess_bucket(const struct lru *l, uint64_t hash) {
    uint32_t i = bucket_index(READ(l->mask), READ(l->split), hash_bucket(hash));
    return bucket_at(l, i < l->buckets_max ? i : 0);
}

UNLOCKED void lru_prefetch_bucket(const struct lru *l, uint64_t hash) { __builtin_prefetch(guess_bucket(l, hash), 1); }

/* The first entry of bucket b that has the key's tag, fetched; 0: none. */
UNLOCKED static uint32_t guess_entry(const struct lru *l, const struct bucket *b, uint64_t hash) {
    const uint64_t *words = (const uint64_t *)(const void *)b;
    uint32_t slots = match(READ(words[0]), READ(words[1]), hash_tag(hash));
    if (slots == 0) return 0;
    uint32_t ref = READ(b->ref[__builtin_ctz(slots)]);
    const char *e = (const char *)at(l, ref);
    __builtin_prefetch(e, 1);
    __builtin_prefetch(e + 64);
    return ref;
}

/* The overflow bucket behind b, NULL when there is none. */
UNLOCKED static const struct bucket *guess_overflow(const struct lru *l, const struct bucket *b) {
    uint32_t next = READ(b->next);
    return next && next < l->overflow_max ? &l->overflow[next] : NULL;
}

UNLOCKED uint32_t lru_prefetch_entry(const struct lru *l, uint64_t hash) {
    const struct bucket *b = guess_bucket(l, hash);
    uint32_t ref = guess_entry(l, b, hash);
    if (ref == 0 && (b = guess_overflow(l, b)) != NULL) __builtin_prefetch(b, 1);
    return ref;
}

UNLOCKED void lru_prefetch_links(const struct lru *l, uint64_t hash, uint32_t ref) {
    if (ref == 0) { /* a key in ten is in an overflow bucket, which is here by now */
        const struct bucket *b = guess_overflow(l, guess_bucket(l, hash));
        if (b) guess_entry(l, b, hash);
        return;
    }
    const struct entry *e = at(l, ref);
    if (READ(e->meta) & META_YOUNG) return;
    __builtin_prefetch(at(l, READ(e->prev) & ~HEAP_BIT), 1);
    __builtin_prefetch(at(l, READ(e->next) & ~HEAP_BIT), 1);
}

/* ---- all keys ---- */

static uint32_t reverse_bits(uint32_t x) {
    x = (x & 0x55555555u) << 1 | (x >> 1 & 0x55555555u);
    x = (x & 0x33333333u) << 2 | (x >> 2 & 0x33333333u);
    x = (x & 0x0F0F0F0Fu) << 4 | (x >> 4 & 0x0F0F0F0Fu);
    return __builtin_bswap32(x);
}

/* A position is a bucket number with its 32 bits reversed: a bucket then covers one interval of positions, which a
 * split halves and a join doubles, so a walk neither skips nor needs to remember anything. The position behind bucket
 * i wraps to 0 after the last. */
static uint32_t position_behind(const struct lru *l, uint32_t position, uint32_t i) {
    int bits = __builtin_popcount(l->mask) + (i < l->split || i > l->mask);
    uint32_t interval = 1u << (32 - bits);
    return (position & ~(interval - 1)) + interval;
}

uint32_t lru_scan(struct lru *l, uint32_t position, int64_t now_ms, void (*emit)(void *context, const struct entry *e),
                  void *context) {
    uint32_t i = bucket_index(l->mask, l->split, reverse_bits(position));
    for (const struct bucket *b = bucket_at(l, i);; b = &l->overflow[b->next]) {
        for (uint32_t slots = ~slots_with(b, 0) & ALL_SLOTS; slots; slots &= slots - 1) {
            const struct entry *e = at(l, b->ref[__builtin_ctz(slots)]);
            int64_t deadline_ms = entry_deadline_ms(e);
            if (deadline_ms == 0 || now_ms <= deadline_ms) emit(context, e);
        }
        if (b->next == 0) break;
    }
    return position_behind(l, position, i);
}

void lru_clear(struct lru *l) {
    empty(l);
    heap_clear(&l->heap);
    sample_clear(&l->sample);
    for (uint32_t i = 0; l->watched && i < HASH_CHANGES; i++)
        l->changes[i]++;
}

bool lru_purge(struct lru *l, uint32_t databases, int most) {
    while (most-- > 0) {
        uint32_t i = bucket_index(l->mask, l->split, reverse_bits(l->purge_at));
        for (struct bucket *b = bucket_at(l, i), *next; b; b = next) {
            uint32_t top = l->overflow_top;
            for (int slot = 0; slot < SLOTS; slot++) /* into which the last one of the chain comes when it is emptied */
                while (top == l->overflow_top && b->tag[slot] && databases >> entry_database(at(l, b->ref[slot])) & 1)
                    discard(l, entry_hash(l, at(l, b->ref[slot])), at(l, b->ref[slot]), SAMPLE_FREE);
            next = b->next ? &l->overflow[b->next] : NULL;
            if (top != l->overflow_top) next = bucket_at(l, i); /* one was given back, another has moved there */
        }
        l->purge_at = position_behind(l, l->purge_at, i);
        if (l->purge_at == 0) return false;
    }
    return true;
}

/* ---- upkeep ---- */

/* Looks at the first entry of a slot: removes it when its time is over, moves it where it belongs when not. */
static void sweep_first(struct lru *l, uint32_t slot, int64_t now_ms) {
    struct entry *e = at(l, l->slot[slot]);
    struct deadline *d = deadline_of(e);
    if (now_ms <= d->at_ms) {
        wheel_remove(l, d);
        wheel_add(l, e, ref_of(l, e));
        return;
    }
    /* one that was over when it was stored is late only since then */
    uint64_t lag_ms = (uint64_t)(now_ms - MAX(d->at_ms, l->tick * (1 << TICK_SHIFT)));
    count_in_bin(l->counters.lag, lag_ms, 1);
    l->lag_max_ms = MAX(l->lag_max_ms, lag_ms);
    expire(l, entry_hash(l, e), e);
}

bool lru_sweep(struct lru *l, int64_t now_ms, int steps) {
    l->sample.clock = (uint32_t)(now_ms >> SAMPLE_CLOCK);
    l->access = (uint64_t)(now_ms >> ACCESS_CLOCK) << ACCESS_SHIFT & META_ACCESS;
    int64_t last = (now_ms >> TICK_SHIFT) - 1; /* the last tick that is wholly over */
    if (l->tick > last) l->tick = last;        /* the clock was set back */
    uint32_t slot;
    for (int64_t due; (due = wheel_next(l, &slot)) <= last;) {
        if (steps-- == 0) return true;
        l->tick = due;
        sweep_first(l, slot, now_ms);
    }
    l->tick = last;
    return index_shrink(l, steps < 16 ? steps : 16);
}

bool lru_resize(struct lru *l, uint64_t budget_bytes, uint32_t capacity) {
    budget_bytes = budget_bytes / PAGE * PAGE;
    for (int steps = 0; l->count > capacity && steps < RESIZE_EVICTIONS; steps++)
        evict_for(l, l->tail, &l->counters.evicted_by_entries);
    l->capacity = MAX(capacity, l->count);
    uint64_t least = index_bytes(l) + index_bytes(l) / 2, lower = l->budget_bytes - RESIZE_BYTES;
    if (budget_bytes < lower)
        budget_bytes = lower > least ? lower : l->budget_bytes; /* the index becomes smaller first */
    bool more = budget_bytes != l->budget_bytes || l->capacity != capacity;
    l->budget_bytes = budget_bytes;
    shrink_arena(l);
    return more;
}

/* Takes pages behind the `used` first things of a region away from it, `most` of them, unless there are fewer than
 * `least`: returns how many. `cap` is where it ends; so many things are in a page. */
static uint32_t trim_region(uint32_t used, uint32_t *cap, uint32_t in_page, uint32_t least, uint32_t most) {
    uint32_t high = (*cap + in_page - 1) / in_page, needed = (used + in_page - 1) / in_page;
    if (high < needed + least) return 0;
    uint32_t pages = MIN(high - needed, most);
    *cap = (high - pages) * in_page;
    return pages;
}

bool lru_trim(struct lru *l, size_t max_bytes, void **memory, size_t *bytes) {
    uint32_t most = (uint32_t)(max_bytes / PAGE), pages;
    if ((pages = trim_region(l->heap.top, &l->heap.high, HEAP_PAGE_UNITS, ARENA_TRIM_PAGES, most)) != 0)
        *memory = heap_at(&l->heap, l->heap.high);
    else if ((pages = trim_region(buckets(l), &l->buckets_cap, PAGE_BUCKETS, INDEX_TRIM_PAGES, 1)) != 0)
        *memory = bucket_at(l, l->buckets_cap);
    else if ((pages = trim_region(l->overflow_top + 2, &l->overflow_cap, PAGE_BUCKETS, INDEX_TRIM_PAGES, most)) != 0)
        *memory = l->overflow + l->overflow_cap;
    *bytes = (size_t)pages * PAGE;
    l->heap.limit = arena_units(l);
    return pages > 0;
}
