/* test_shard.c -- 64 shards: how keys and budget are split, walks over all of them, upkeep, and the locks.
 *
 * The threaded tests are meant for ThreadSanitizer too: what they do is little, and checks itself. */
#include "../shard.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "tap.h"

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545F4914F6CDD1Dull >> 33;
}

static struct slice key_of(uint32_t i, char *text) {
    return (struct slice){text, (size_t)snprintf(text, 32, "key:%u", i)};
}

static bool set(struct shards *s, uint32_t i, struct slice value, int64_t deadline_ms) {
    char text[32];
    struct slice key = key_of(i, text);
    uint64_t hash = shards_hash(s, 0, key);
    bool stored = lru_set(shard_lock(s, hash), hash, key, value, deadline_ms);
    shard_unlock(s, hash);
    return stored;
}

static void check_all(const struct shards *s) {
    for (uint32_t i = 0; i < SHARDS; i++) {
        lru_check(&s->shard[i].lru);
        lru_check_sample(&s->shard[i].lru);
    }
}

/* What all shards may hold. */
UNLOCKED static uint64_t budget_of(const struct shards *s) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < SHARDS; i++)
        bytes += READ(s->shard[i].lru.budget_bytes);
    return bytes;
}

/* ---- the split ---- */

static void test_spread(void) {
    enum { KEYS = 64000 };
    struct shards s;
    REQUIRE(shards_init(&s, 64 << 20, 100000, 1));
    CHECK(!s.shared);
    uint32_t expected[SHARDS] = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        char text[32];
        expected[hash_shard(shards_hash(&s, 0, key_of(i, text)))]++;
        REQUIRE(set(&s, i, SLICE("value"), i % 4 == 0 ? 1000 : 0));
    }
    struct shards_totals totals, sum = {0};
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        const struct lru *l = &s.shard[i].lru;
        CHECK(l->count == expected[i]);
        CHECK(l->count > 800 && l->count < 1200);
        CHECK(l->budget_bytes == 1 << 20 && l->capacity == 100000);
        CHECK(lru_used_bytes(l) <= l->budget_bytes);
        least = l->count < least ? l->count : least;
        most = l->count > most ? l->count : most;
        sum.entries += l->count;
        sum.database[0].with_deadline += l->database[0].with_deadline;
        sum.used_bytes += lru_used_bytes(l);
        s.shard[i].lru.counters.hits = i; /* the caller's to keep */
        s.shard[i].lru.counters.misses[i % SAMPLE_LIVE] = 2 * i;
    }
    shards_total(&s, &totals);
    CHECK(totals.entries == KEYS && sum.entries == KEYS);
    CHECK(totals.shard_entries.least == least && totals.shard_entries.most == most && least < most);
    CHECK(totals.shard_used_bytes.least <= sum.used_bytes / SHARDS && totals.shard_used_bytes.most < 1 << 20);
    CHECK(totals.shard_used_bytes.most >= sum.used_bytes / SHARDS && totals.shard_used_bytes.least > 30 * least);
    CHECK(totals.database[0].with_deadline == KEYS / 4 && sum.database[0].with_deadline == KEYS / 4);
    CHECK(totals.used_bytes == sum.used_bytes && budget_of(&s) == 64 << 20);
    CHECK(totals.counters.hits == 2016 &&
          totals.counters.misses[0] + totals.counters.misses[1] + totals.counters.misses[2] == 4032);
    CHECK(totals.counters.evicted == 0 && totals.counters.expired == 0);
    shards_reset_counters(&s);
    shards_total(&s, &totals);
    CHECK(totals.counters.hits == 0 && totals.counters.misses[0] == 0 && totals.entries == KEYS);
    check_all(&s);
    shards_release(&s);
}

/* Two caches side by side: each has its own seed, and nothing in common. */
static void test_two_caches(void) {
    struct shards a, b;
    REQUIRE(shards_init(&a, MAXMEMORY_MIN, 1000, 1) && shards_init(&b, MAXMEMORY_MIN, 1000, 2));
    CHECK(!a.shared && b.shared);
    CHECK(memcmp(&a.seed, &b.seed, sizeof a.seed) != 0);
    CHECK(a.seed.word[0] != 0 && a.seed.word[HASH_WORDS + 1] != 0);
    REQUIRE(set(&a, 1, SLICE("x"), 0));
    struct shards_totals totals;
    atomic_store(&b.shard[5].locked, 1);
    shards_total(&b, &totals); /* waits for nobody */
    CHECK(totals.entries == 0);
    atomic_store(&b.shard[5].locked, 0);
    shards_total(&a, &totals);
    CHECK(totals.entries == 1);
    shards_release(&a);
    shards_release(&b);
}

/* No shard ever uses more than its part, with values from nothing to the limit. */
static void test_budget(void) {
    struct shards s;
    uint64_t random = 11;
    REQUIRE(shards_init(&s, MAXMEMORY_MIN, 400, 1));
    uint32_t most = (uint32_t)lru_value_max(MAXMEMORY_MIN / SHARDS);
    char *value = calloc(1, most);
    for (uint32_t step = 0; step < 60000; step++) {
        uint64_t kind = next_random(&random) % 40;
        uint32_t size = (uint32_t)(next_random(&random) % (kind < 20 ? 50 : kind < 39 ? 2000 : most + 1));
        char text[32];
        struct slice key = key_of((uint32_t)(next_random(&random) % 40000), text);
        uint64_t hash = shards_hash(&s, 0, key);
        struct lru *l = shard_lock(&s, hash);
        REQUIRE(l == &s.shard[hash_shard(hash)].lru);
        REQUIRE(lru_set(l, hash, key, (struct slice){value, size}, 0));
        REQUIRE(lru_used_bytes(l) <= MAXMEMORY_MIN / SHARDS && l->count <= 400);
        shard_unlock(&s, hash);
    }
    check_all(&s);
    struct shards_totals totals;
    shards_total(&s, &totals);
    CHECK(totals.counters.evicted > 1000 && totals.used_bytes <= MAXMEMORY_MIN);
    shards_clear(&s);
    shards_total(&s, &totals);
    CHECK(totals.entries == 0 && totals.database[0].with_deadline == 0);
    check_all(&s);
    REQUIRE(set(&s, 1, SLICE("again"), 0));
    shards_total(&s, &totals);
    CHECK(totals.entries == 1);
    free(value);
    shards_release(&s);
}

/* ---- walks ---- */

enum { WALKED = 20000 };

static void count_key(void *context, const struct entry *e) {
    uint8_t *seen = context;
    uint32_t i = 0;
    struct slice key = entry_key(e);
    for (size_t n = 4; n < key.n; n++)
        i = i * 10 + (uint32_t)(key.p[n] - '0');
    seen[i]++;
}

static void test_walk(void) {
    struct shards s;
    static uint8_t seen[WALKED];
    REQUIRE(shards_init(&s, 64 << 20, 100000, 1));
    for (uint32_t keys = 0; keys <= WALKED; keys = keys ? keys * 200 : 1) { /* none, one, some, many */
        for (uint32_t i = 0; i < keys; i++)
            REQUIRE(set(&s, i, SLICE("v"), i % 10 == 9 ? 5000 : 0));
        memset(seen, 0, sizeof seen);
        uint64_t cursor = 0, steps = 0, last = 0;
        do {
            last = cursor;
            cursor = shards_scan(&s, 0, cursor, 6000, count_key, seen);
            CHECK(cursor < 1ull << 53 && shards_cursor_valid(cursor));
            CHECK(cursor == 0 || cursor >> 32 >= last >> 32);
        } while (cursor && ++steps < 1000000);
        CHECK(cursor == 0);
        CHECK(keys > 0 || steps == 0); /* empty shards are passed over */
        for (uint32_t i = 0; i < WALKED; i++)
            CHECK(seen[i] == (i < keys && i % 10 != 9)); /* each once, and what expired not */
    }
    check_all(&s);
    shards_release(&s);
}

static void test_cursors(void) {
    static const uint64_t good[] = {0, 1, 0xFFFFFFFF, 1ull << 32, 63ull << 32, 63ull << 32 | 0xFFFFFFFF};
    static const uint64_t bad[] = {64ull << 32, 65ull << 32, 1ull << 52, 1ull << 53, 1ull << 63, UINT64_MAX};
    struct shards s;
    static uint8_t seen[WALKED];
    REQUIRE(shards_init(&s, MAXMEMORY_MIN, 1000, 1));
    for (uint32_t i = 0; i < 5000; i++)
        REQUIRE(set(&s, i, SLICE("v"), 0));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(shards_cursor_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!shards_cursor_valid(bad[i]));
    uint64_t random = 5;
    for (int i = 0; i < 20000; i++) { /* made up by a client, but valid: it leads to the end, not out of bounds */
        uint64_t cursor = next_random(&random) % SHARDS << 32 | (next_random(&random) << 1 & 0xFFFFFFFF);
        uint64_t next = shards_scan(&s, 0, cursor, 0, count_key, seen);
        CHECK(shards_cursor_valid(next));
    }
    shards_release(&s);
}

/* ---- upkeep ---- */

/* Bytes of the shards' memory that are resident. */
static size_t resident(const struct shards *s) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (s->memory_bytes + page - 1) / page, n = 0;
    unsigned char *in_core = malloc(pages);
    if (mincore(s->shard, s->memory_bytes, in_core) == 0)
        for (size_t i = 0; i < pages; i++)
            n += in_core[i] & 1;
    free(in_core);
    return n * page;
}

static void upkeep_all(struct shards *s, int64_t now_ms) {
    for (uint32_t i = 0; i < SHARDS; i++)
        for (int pieces = 0; shard_upkeep(s, i, now_ms); pieces++)
            REQUIRE(pieces < 100000);
}

static void test_upkeep(void) {
    struct shards s;
    static char value[1000];
    REQUIRE(shards_init(&s, 64 << 20, 100000, 1));
    size_t empty = resident(&s);
    CHECK(empty < 4 << 20); /* nothing is touched before it is used */
    int64_t now_ms = 1700000000000;
    upkeep_all(&s, now_ms);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 40000; i++)
            REQUIRE(set(&s, i, (struct slice){value, sizeof value}, round == 0 ? now_ms + 1000 + i % 500 : 0));
        size_t full = resident(&s);
        CHECK(full > 40000000);
        upkeep_all(&s, now_ms);
        struct shards_totals totals;
        shards_total(&s, &totals);
        CHECK(totals.entries == 40000);
        CHECK(resident(&s) > 40000000); /* what is stored stays */
        if (round == 0) {
            now_ms += 10000;
            upkeep_all(&s, now_ms);
            shards_total(&s, &totals);
            CHECK(totals.entries == 0 && totals.database[0].with_deadline == 0 && totals.counters.expired == 40000);
        } else {
            shards_clear(&s);
            upkeep_all(&s, now_ms);
        }
        CHECK(resident(&s) < empty + (8 << 20)); /* a shard keeps up to 64 KB of arena and some of its index */
        check_all(&s);
    }
    shards_release(&s);
}

/* Shards whose arenas and buckets fill large pages: where the system gives them, nothing is lost or resident for it. */
static void test_large_pages(void) {
    enum { KEYS = 90000, VALUE = 2000, SMALL = 320000 };
    static char value[VALUE];
    struct shards s;
    REQUIRE(shards_init(&s, 512 << 20, 1 << 20, 1));
    size_t empty = resident(&s);
    for (uint32_t i = 0; i < KEYS; i++) {
        memset(value, (int)(i % 251), VALUE);
        REQUIRE(set(&s, i, (struct slice){value, VALUE}, 0));
    }
    for (uint32_t i = KEYS; i < KEYS + SMALL; i++)
        REQUIRE(set(&s, i, SLICE(""), 0));
    size_t full = resident(&s);
    upkeep_all(&s, 1);
    CHECK(!atomic_load(&s.large_pages) || s.large_buckets > 0);
    for (uint32_t i = 0; i < SHARDS; i++)
        CHECK(!atomic_load(&s.large_pages) || s.shard[i].large > 0);
    CHECK(resident(&s) < full + (4 << 20));
    check_all(&s);
    for (uint32_t i = 0; i < KEYS; i++) {
        char text[32];
        struct slice key = key_of(i, text);
        uint64_t hash = shards_hash(&s, 0, key);
        const struct entry *e = lru_get(shard_lock(&s, hash), hash, key, 1);
        REQUIRE(e && entry_value_size(e) == VALUE);
        CHECK(entry_value(e).p[0] == (char)(i % 251) && entry_value(e).p[VALUE - 1] == (char)(i % 251));
        shard_unlock(&s, hash);
    }
    shards_clear(&s);
    upkeep_all(&s, 1);
    CHECK(resident(&s) < empty + (16 << 20));
    for (uint32_t i = 0; i < SHARDS; i++)
        CHECK(s.shard[i].large == 0);
    shards_release(&s);
}

/* ---- locks ---- */

enum { THREADS = 4, FEW = 40, STEPS = 12000 };

struct worker {
    pthread_t thread;
    struct shards *shards;
    uint64_t random;
    uint64_t wrong; /* values that were not what somebody wrote */
    uint64_t found;
};

/* A value tells its key, its size and its bytes: a 32-bit start, from which all follows. */
static size_t make_value(char *value, uint32_t key, uint32_t start) {
    size_t n = 8 + start % 700;
    memcpy(value, &key, 4);
    memcpy(value + 4, &start, 4);
    for (size_t i = 8; i < n; i++)
        value[i] = (char)(start = start * 1664525u + 1013904223u);
    return n;
}

static bool value_right(uint32_t key, struct slice v) {
    char want[1024];
    uint32_t start;
    if (v.n < 8) return false;
    memcpy(&start, v.p + 4, 4);
    return slice_equal(v, (struct slice){want, make_value(want, key, start)});
}

static void check_scanned(void *context, const struct entry *e) {
    struct worker *w = context;
    uint32_t key = 0;
    for (size_t n = 4; n < entry_key(e).n; n++)
        key = key * 10 + (uint32_t)(entry_key(e).p[n] - '0');
    w->wrong += key >= FEW || !value_right(key, entry_value(e));
}

static void *work(void *arg) {
    struct worker *w = arg;
    char value[1024], text[32];
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = (uint32_t)(next_random(&w->random) % FEW), what = (uint32_t)(next_random(&w->random) % 100);
        int64_t now_ms = 1700000000000 + step;
        struct slice key = key_of(i, text);
        uint64_t hash = shards_hash(w->shards, 0, key);
        lru_prefetch_bucket(shard_of(w->shards, hash), hash);
        lru_prefetch_links(shard_of(w->shards, hash), hash, lru_prefetch_entry(shard_of(w->shards, hash), hash));
        if (what < 40) {
            size_t n = make_value(value, i, (uint32_t)next_random(&w->random));
            w->wrong += !set(w->shards, i, (struct slice){value, n}, what < 10 ? now_ms + 20 : 0);
        } else if (what < 85) {
            struct entry *e = lru_get(shard_lock(w->shards, hash), hash, key, now_ms);
            w->wrong += e && (!slice_equal(entry_key(e), key) || !value_right(i, entry_value(e)));
            w->found += e != NULL;
            shard_unlock(w->shards, hash);
        } else if (what < 95) {
            struct lru *l = shard_lock(w->shards, hash);
            struct entry *e = lru_peek(l, hash, key, now_ms);
            if (e) lru_remove(l, hash, e);
            shard_unlock(w->shards, hash);
        } else if (what < 97) {
            shard_upkeep(w->shards, (uint32_t)(next_random(&w->random) % SHARDS), now_ms);
        } else if (what < 98) {
            struct shards_totals totals;
            shards_total(w->shards, &totals);
            w->wrong += totals.entries > FEW || totals.used_bytes > budget_of(w->shards);
        } else if (step % 8 == 0) {
            uint64_t cursor = 0;
            do
                cursor = shards_scan(w->shards, 0, cursor, now_ms, check_scanned, w);
            while (cursor);
        } else if (step % 500 == 1) {
            shards_clear(w->shards);
        }
    }
    return NULL;
}

/* Runs `body` in all threads; their results stand in `w`. */
static bool run_threads(struct shards *s, struct worker *w, void *(*body)(void *)) {
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.shards = s, .random = 0x9E3779B97F4A7C15ull + (unsigned)i * 2};
        if (pthread_create(&w[i].thread, NULL, body, &w[i]) != 0) return false;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(w[i].thread, NULL);
    return true;
}

static void test_locks(void) {
    struct shards s;
    struct worker w[THREADS];
    REQUIRE(shards_init(&s, MAXMEMORY_MIN, 1000, THREADS));
    CHECK(s.shared);
    REQUIRE(run_threads(&s, w, work));
    for (int i = 0; i < THREADS; i++)
        CHECK(w[i].wrong == 0 && w[i].found > 100);
    check_all(&s);
    for (uint32_t i = 0; i < SHARDS; i++)
        CHECK(atomic_load(&s.shard[i].locked) == 0);
    shards_release(&s);
}

/* A counter in the shards' own memory that only the lock protects: lost updates show. */
static void *count_up(void *arg) {
    struct worker *w = arg;
    for (int step = 0; step < STEPS; step++) {
        struct lru *l = shard_lock_index(w->shards, 5);
        l->counters.hits += 1;
        shard_unlock_index(w->shards, 5);
        shards_lock_many(w->shards, 1ull << 5 | 1ull << 63 | 1);
        w->shards->shard[0].lru.counters.hits += 1;
        w->shards->shard[63].lru.counters.hits += 1;
        shards_unlock_many(w->shards, 1ull << 5 | 1ull << 63 | 1);
        struct lru *last = shard_lock_index(w->shards, 63);
        last->counters.hits += 1;
        shard_unlock_index(w->shards, 63);
    }
    return NULL;
}

static void test_no_lost_update(void) {
    struct shards s;
    struct worker w[THREADS];
    REQUIRE(shards_init(&s, MAXMEMORY_MIN, 1000, THREADS));
    REQUIRE(run_threads(&s, w, count_up));
    CHECK(s.shard[5].lru.counters.hits == (uint64_t)THREADS * STEPS);
    CHECK(s.shard[0].lru.counters.hits == (uint64_t)THREADS * STEPS);
    CHECK(s.shard[63].lru.counters.hits == (uint64_t)THREADS * STEPS * 2);
    shards_release(&s);
}

/* Three keys in three shards; who writes two of them under both locks writes the same to both. Who reads two
 * under both locks never sees ... one that was not written by a whole step: each pair's sum stays what it
 * was. */
enum { TOTAL = 3000 };

static const uint32_t *three; /* the keys */

static int64_t value_at(struct shards *s, uint32_t i) {
    char text[32];
    struct slice key = key_of(i, text);
    uint64_t hash = shards_hash(s, 0, key);
    struct entry *e = lru_get(shard_of(s, hash), hash, key, 0);
    int64_t v = -1;
    if (e) memcpy(&v, entry_value(e).p, sizeof v);
    return v;
}

static void store_at(struct shards *s, uint32_t i, int64_t v) {
    char text[32], bytes[sizeof v];
    struct slice key = key_of(i, text);
    uint64_t hash = shards_hash(s, 0, key);
    memcpy(bytes, &v, sizeof v);
    lru_set(shard_of(s, hash), hash, key, (struct slice){bytes, sizeof v}, 0);
}

static uint64_t bit_of(struct shards *s, uint32_t i) {
    char text[32];
    return 1ull << hash_shard(shards_hash(s, 0, key_of(i, text)));
}

static void *transfer(void *arg) {
    struct worker *w = arg;
    struct shards *s = w->shards;
    for (int step = 0; step < STEPS; step++) {
        uint32_t a = (uint32_t)(next_random(&w->random) % 3), b = (a + 1 + (uint32_t)(step % 2)) % 3;
        if (step % 3) { /* some go from one to another: pairs overlap, in both orders */
            uint64_t both = bit_of(s, three[a]) | bit_of(s, three[b]);
            shards_lock_many(s, both);
            int64_t from = value_at(s, three[a]), to = value_at(s, three[b]);
            store_at(s, three[a], from - 1);
            store_at(s, three[b], to + 1);
            shards_unlock_many(s, both);
        } else {
            uint64_t all = bit_of(s, three[0]) | bit_of(s, three[1]) | bit_of(s, three[2]);
            shards_lock_many(s, all);
            w->wrong += value_at(s, three[0]) + value_at(s, three[1]) + value_at(s, three[2]) != TOTAL;
            shards_unlock_many(s, all);
            w->found++;
        }
    }
    return NULL;
}

static void test_lock_many(void) {
    struct shards s;
    struct worker w[THREADS];
    uint32_t keys[3] = {0, 0, 0};
    REQUIRE(shards_init(&s, MAXMEMORY_MIN, 1000, THREADS));
    while (bit_of(&s, keys[1]) == bit_of(&s, keys[0]))
        keys[1]++;
    while (bit_of(&s, keys[2]) == bit_of(&s, keys[0]) || bit_of(&s, keys[2]) == bit_of(&s, keys[1]))
        keys[2]++;
    three = keys;
    for (int i = 0; i < 3; i++)
        store_at(&s, keys[i], TOTAL / 3);
    REQUIRE(run_threads(&s, w, transfer));
    CHECK(value_at(&s, keys[0]) + value_at(&s, keys[1]) + value_at(&s, keys[2]) == TOTAL);
    for (int i = 0; i < THREADS; i++)
        CHECK(w[i].wrong == 0 && w[i].found > 0);
    check_all(&s);
    shards_release(&s);
}

/* The set's bits say exactly which shards are locked. */
static void test_lock_many_set(void) {
    struct shards s;
    REQUIRE(shards_init(&s, MAXMEMORY_MIN, 1000, 2));
    static const uint64_t sets[] = {0, 1, 1ull << 63, 0x8000000000000001ull, 0xAAAAAAAAAAAAAAAAull, UINT64_MAX};
    for (size_t n = 0; n < sizeof sets / sizeof *sets; n++) {
        CHECK(shards_lock_many(&s, sets[n]) == sets[n]);
        CHECK(shards_lock_many(&s, sets[n]) == 0); /* they are held: nothing to wait for, nothing to give back */
        for (uint32_t i = 0; i < SHARDS; i++)
            CHECK(atomic_load(&s.shard[i].locked) == (int)(sets[n] >> i & 1));
        shards_unlock_many(&s, sets[n]);
        for (uint32_t i = 0; i < SHARDS; i++)
            CHECK(atomic_load(&s.shard[i].locked) == 0);
    }
    shards_release(&s);
}

/* ---- databases ---- */

static bool put_in(struct shards *s, uint32_t database, uint32_t i) {
    char text[32];
    struct slice key = key_of(i, text);
    uint64_t hash = shards_hash(s, database, key);
    bool stored = lru_set(shard_lock(s, hash), hash, key, key, i % 3 ? 0 : 1000000);
    shard_unlock(s, hash);
    return stored;
}

static bool has_in(struct shards *s, uint32_t database, uint32_t i) {
    char text[32];
    struct slice key = key_of(i, text);
    uint64_t hash = shards_hash(s, database, key);
    bool found = lru_get(shard_lock(s, hash), hash, key, 1) != NULL;
    shard_unlock(s, hash);
    return found;
}

static uint64_t entries_in(struct shards *s, uint32_t database) {
    struct shards_totals totals;
    shards_total(s, &totals);
    return totals.database[database].entries;
}

/* As much upkeep as there is to do. */
static void purge(struct shards *s) {
    for (uint32_t i = 0; i < SHARDS; i++)
        while (shard_upkeep(s, i, 1))
            ;
}

/* One database is cleared again and again beside another: at once for who looks, piece by piece for its memory. */
static void test_databases(void) {
    struct shards s;
    struct shards_totals totals;
    REQUIRE(shards_init(&s, 64u << 20, 100000, 2));
    for (uint32_t i = 0; i < 5000; i++)
        REQUIRE(put_in(&s, 0, i) && put_in(&s, 1, i));
    CHECK(entries_in(&s, 0) == 5000 && entries_in(&s, 1) == 5000 && !has_in(&s, 2, 7));
    for (int round = 0; round < 100; round++) {
        while (!shards_clear_database(&s, 1))
            for (uint32_t i = 0; i < SHARDS; i++)
                shard_upkeep(&s, i, 1);
        CHECK(entries_in(&s, 1) == 0 && entries_in(&s, 0) == 5000 && !has_in(&s, 1, 7) && has_in(&s, 0, 7));
        for (uint32_t i = 0; i < 500; i++)
            REQUIRE(put_in(&s, 1, i + (uint32_t)round));
        CHECK(entries_in(&s, 1) == 500 && has_in(&s, 1, (uint32_t)round) && !has_in(&s, 1, (uint32_t)round + 500));
    }
    shards_swap_databases(&s, 0, 15);
    CHECK(entries_in(&s, 15) == 5000 && entries_in(&s, 0) == 0 && has_in(&s, 15, 4999) && !has_in(&s, 0, 4999));
    purge(&s);
    shards_total(&s, &totals);
    CHECK(totals.entries == 5500);
    check_all(&s);
    CHECK(shards_clear_database(&s, 15) && shards_clear_database(&s, 1));
    purge(&s);
    shards_total(&s, &totals);
    CHECK(totals.entries == 0);
    check_all(&s);
    shards_release(&s);
}

/* More are cleared than there are ids, with nobody who purges: refused, until somebody does. */
static void test_ids_run_out(void) {
    struct shards s;
    int cleared = 0;
    REQUIRE(shards_init(&s, 64u << 20, 100000, 2));
    for (uint32_t i = 0; i < 1000; i++)
        REQUIRE(put_in(&s, 0, i));
    do
        for (uint32_t i = 0; i < 200; i++)
            REQUIRE(put_in(&s, 1, i));
    while (shards_clear_database(&s, 1) && ++cleared < 100);
    CHECK(cleared == DATABASE_IDS - DATABASES_MAX && entries_in(&s, 1) == 200);
    purge(&s);
    CHECK(shards_clear_database(&s, 1) && entries_in(&s, 1) == 0 && entries_in(&s, 0) == 1000);
    check_all(&s);
    shards_release(&s);
}

/* ---- another budget ---- */

static void test_resize(void) {
    static const uint64_t sizes[] = {16u << 20, 64u << 20, 8u << 20, 32u << 20, 128u << 20, 8u << 20};
    struct shards s;
    struct shards_totals totals;
    REQUIRE(shards_init(&s, 32u << 20, 1000000, 2));
    CHECK(s.maxmemory_max == 128u << 20);
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        for (uint32_t i = 0; i < 400000; i++)
            put_in(&s, i % 4, i);
        shards_resize(&s, sizes[n], sizes[n] == 16u << 20 ? 500 : 1000000);
        for (uint32_t i = 0; i < SHARDS; i++)
            for (int64_t calls = 0; shard_upkeep(&s, i, 1); calls++)
                REQUIRE(calls < 100000);
        shards_total(&s, &totals);
        CHECK(budget_of(&s) == sizes[n] && totals.used_bytes <= sizes[n]);
        CHECK(totals.entries > 0 && (sizes[n] != 16u << 20 || totals.entries <= 500 * SHARDS));
        check_all(&s);
    }
    shards_release(&s);
    REQUIRE(shards_init(&s, 32u << 20, 1001, 2)); /* as many entries as four times a memory that is no round number */
    CHECK(s.capacity_max >= 4 * 1001 + 3);
    shards_release(&s);
}

int main(void) {
    static const struct tap_test tests[] = {
        {"keys and budget are spread over the shards", test_spread},
        {"two caches side by side", test_two_caches},
        {"no shard passes its budget; clear empties them", test_budget},
        {"a walk finds every key once", test_walk},
        {"cursors that nobody gave out", test_cursors},
        {"upkeep expires, and gives memory back", test_upkeep},
        {"large pages", test_large_pages},
        {"four threads on few keys", test_locks},
        {"no update under a lock is lost", test_no_lost_update},
        {"several locks at once: no step is seen half done", test_lock_many},
        {"several locks at once: those of the set", test_lock_many_set},
        {"databases: cleared at once, purged in pieces, swapped", test_databases},
        {"databases: when ids run out", test_ids_run_out},
        {"maxmemory and capacity change, up and down", test_resize},
    };
    return tap_main(tests, sizeof tests / sizeof *tests);
}
