/* sample.h -- what became of some keys of a shard: why a key that is asked for is not there, how old what goes is.
 *
 *   128 sets of 8 slots: a set is a cache line
 *   slot   | hash 30, state 2 | time 32 |        free, the key expired, was evicted, or is stored (SAMPLE_LIVE)
 *
 * A key is in the sample when the k first bits of hash_bucket() are zero; the caller asks sample_has(), nearly always
 * false, before it calls anything else. k is such that the stored keys of the sample fill an eighth to a half of the
 * slots. A new key takes the slot of what went longest ago, so as many keys that went are remembered as are stored, or
 * more; if none has gone in its set, that of what was used longest ago, which is forgotten.
 *
 * Misses of other keys count as the last one of the sample did, so that the causes add up and none is ever taken back.
 * 2^k for each would do neither: one key may be missed often. What happens to a key once, its eviction, counts 2^k. */
#ifndef SPONSON_SAMPLE_H
#define SPONSON_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "hash.h"

enum sample_state { SAMPLE_FREE, SAMPLE_EXPIRED, SAMPLE_EVICTED, SAMPLE_LIVE };

enum sample_sizes { SAMPLE_SETS = 128, SAMPLE_WAYS = 8, SAMPLE_SLOTS = SAMPLE_SETS * SAMPLE_WAYS };

#define SAMPLE_CLOCK 6 /* a step of its clock is 2^6 ms: half as long as one of the shortest age that is told apart */

struct sample_slot {
    uint32_t tag;  /* the first 30 bits of hash_bucket(), and the state */
    uint32_t time; /* when it was stored or used, or went */
};

struct sample {
    struct sample_slot *slots; /* SAMPLE_SLOTS, zeroed */
    uint32_t outside;          /* the k first bits */
    uint32_t clock;            /* by the caller */
    uint32_t cause;            /* of the last miss in the sample */
    bool written;              /* the slots are not as they were given */
};

static inline bool sample_has(const struct sample *s, uint64_t hash) { return (hash_bucket(hash) & s->outside) == 0; }

/* k: a key of the sample stands for 2^k. */
static inline int sample_shift(const struct sample *s) { return __builtin_clz(~s->outside); }

/* The slot of a key; when it has none, one that it may take, NULL when it is not to `take` one. */
static inline struct sample_slot *sample_slot(const struct sample *s, uint64_t hash, bool take) {
    struct sample_slot *set = s->slots + hash_change(hash) % SAMPLE_SETS * SAMPLE_WAYS, *worst = NULL;
    for (int i = 0; i < SAMPLE_WAYS; i++)
        if ((set[i].tag ^ (hash_bucket(hash) & ~3u)) - 1 < SAMPLE_LIVE) return &set[i]; /* in any state but free */
    uint64_t most = 0;
    for (struct sample_slot *slot = set; take && slot < set + SAMPLE_WAYS; slot++) {
        uint32_t state = slot->tag & 3;
        bool free = state == SAMPLE_FREE || (slot->tag & s->outside); /* the sample was larger when it was written */
        uint64_t rank = free ? UINT64_MAX : (uint64_t)(state != SAMPLE_LIVE) << 32 | (s->clock - slot->time);
        if (rank < most) continue;
        most = rank;
        worst = slot;
    }
    return worst;
}

/* Why a key of the sample is not there; SAMPLE_FREE: nothing is known. */
static inline enum sample_state sample_cause(const struct sample *s, uint64_t hash) {
    const struct sample_slot *slot = sample_slot(s, hash, false);
    return slot ? (slot->tag & 3) % SAMPLE_LIVE : SAMPLE_FREE;
}

/* Notes what has become of a key of the sample: SAMPLE_FREE when the user has removed it. `count` keys are stored in
 * all. Returns when it was noted as stored or used before; false: that is not known. */
static inline bool sample_note(struct sample *s, uint64_t hash, enum sample_state state, uint32_t count,
                               uint32_t *time) {
    struct sample_slot *slot = sample_slot(s, hash, state != SAMPLE_FREE);
    if (slot == NULL) return false;
    bool known = slot->tag == (hash_bucket(hash) | 3);
    *time = slot->time;
    *slot = (struct sample_slot){(hash_bucket(hash) & ~3u) | state, s->clock};
    s->written = true;
    count >>= sample_shift(s);
    if (count > SAMPLE_SLOTS / 2) s->outside = s->outside >> 1 | 1u << 31;
    if (count >= SAMPLE_SLOTS / 8 || s->outside == 0) return known;
    for (int i = 0; i < SAMPLE_SLOTS; i++) /* nothing was noted of the keys that come back */
        if (s->slots[i].tag & s->outside) s->slots[i].tag = 0;
    s->outside <<= 1;
    return known;
}

/* Notes that a stored key of the sample is used. False: nothing was noted of it, sample_note() is to do so. */
static inline bool sample_use(const struct sample *s, uint64_t hash) {
    struct sample_slot *slot = sample_slot(s, hash, false);
    if (slot == NULL || slot->tag != (hash_bucket(hash) | SAMPLE_LIVE)) return false;
    slot->time = s->clock;
    return true;
}

static inline void sample_clear(struct sample *s) {
    if (s->written) memset(s->slots, 0, SAMPLE_SLOTS * sizeof *s->slots);
    s->written = false;
    s->outside = 0;
}

#endif
