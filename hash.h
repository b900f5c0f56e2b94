/* hash.h -- the seeded hash of a key in a database: 64 bits, split once.
 *
 *   | shard 6 | tag 8 | 1 | change 12 | database 5 | bucket 32 |      the database stands in it as it is
 *
 * Keys come from outside, so nobody without the seed may be able to choose keys that meet in one bucket. The bulk is
 * NH of UMAC (RFC 4418, section 5.2.2) on 64-bit words: for two different keys of one length the 128-bit sums meet
 * with a probability of 2^-64 over the choice of the seed, whatever the keys. Two more secret words fold the sum and
 * the length into 64 bits. One multiplication for 16 bytes of key, and one at the end. */
#ifndef SPONSON_HASH_H
#define SPONSON_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config.h"
#include "slice.h"

#define HASH_CHANGES 4096
#define HASH_WORDS ((KEY_SIZE_MAX + 15) / 16 * 2)

struct hash_seed {
    uint64_t word[HASH_WORDS + 2]; /* random; the last two fold */
};

static inline uint64_t hash_load64(const char *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t hash_load32(const char *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* key.n is at most KEY_SIZE_MAX; `database` is an id below DATABASE_IDS. */
__attribute__((always_inline)) static inline uint64_t hash_key(const struct hash_seed *s, uint32_t database,
                                                               struct slice key) {
    const char *p = key.p;
    size_t n = key.n, i = 0;
    unsigned __int128 sum = 0;
    uint64_t a = 0, b = 0;
    for (; n - i > 16 && n > 16; i += 16)
        sum += (unsigned __int128)(hash_load64(p + i) + s->word[i / 8]) * (hash_load64(p + i + 8) + s->word[i / 8 + 1]);
    if (n > 16) { /* the last 16 bytes, overlapping what went before */
        a = hash_load64(p + n - 16);
        b = hash_load64(p + n - 8);
    } else if (n >= 8) {
        a = hash_load64(p);
        b = hash_load64(p + n - 8);
    } else if (n >= 4) {
        a = hash_load32(p);
        b = hash_load32(p + n - 4);
    } else if (n > 0) {
        a = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[n / 2] << 8 |
            (uint64_t)(unsigned char)p[n - 1];
    }
    sum += (unsigned __int128)(a + s->word[i / 8]) * (b + s->word[i / 8 + 1]);
    sum = (unsigned __int128)((uint64_t)sum + s->word[HASH_WORDS] + n + ((uint64_t)database << 32)) *
          ((uint64_t)(sum >> 64) ^ s->word[HASH_WORDS + 1]);
    uint64_t hash = (uint64_t)sum ^ (uint64_t)(sum >> 64);
    return (hash & ~((DATABASE_IDS - 1ull) << 32)) | (uint64_t)database << 32;
}

static inline uint32_t hash_shard(uint64_t hash) { return (uint32_t)(hash >> 58); }

/* 1 to 255: 0 marks a free slot. */
static inline uint8_t hash_tag(uint64_t hash) {
    uint8_t tag = (uint8_t)(hash >> 50);
    return tag ? tag : 1;
}

static inline uint32_t hash_database(uint64_t hash) { return (uint32_t)(hash >> 32) & (DATABASE_IDS - 1); }

/* Which of an index's counters of changes is the key's. */
static inline uint32_t hash_change(uint64_t hash) { return (uint32_t)(hash >> 37) & (HASH_CHANGES - 1); }

/* The 32 low bits, of which an index takes as many as it has buckets. */
static inline uint32_t hash_bucket(uint64_t hash) { return (uint32_t)hash; }

_Static_assert(SHARDS == 64, "six bits of the hash choose the shard");

#endif
