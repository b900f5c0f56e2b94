/* test_lru.c -- the entries of one shard against a simple model, with lru_check() after each change. */
#include "../lru.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "check.h"
#include "random.h"
#include "tap.h"

/* ---- one shard and its model: what is stored under key i, and when it was used ---- */

enum { KEYS = 4000 };

struct fixture {
    struct lru lru;
    struct hash_seed seed;
    void *memory;
    size_t reserved;
    struct {
        bool stored;
        uint32_t size;    /* of the value */
        uint32_t version; /* the value's bytes follow from key and version */
        uint64_t used;    /* the model's clock at the last use */
        int64_t deadline_ms;
        int64_t used_ms;        /* these two by the test of causes */
        enum sample_state gone; /* why it is not there, when it is not */
    } model[KEYS];
    uint64_t clock;
    char value[1 << 20];
};

static struct fixture *fixture_new(uint64_t budget, uint32_t capacity, uint64_t seed) {
    struct fixture *f = calloc(1, sizeof *f);
    random_state = seed * 0x9E3779B97F4A7C15ull + 1;
    for (size_t i = 0; i < HASH_WORDS + 2; i++)
        f->seed.word[i] = rnd();
    size_t buckets = lru_bucket_bytes(capacity);
    f->reserved = buckets + lru_reserve_bytes(budget, capacity);
    f->memory = mmap(NULL, f->reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    f->lru = (struct lru){.buckets = f->memory, .seed = &f->seed, .budget_bytes = budget, .capacity = capacity};
    lru_init(&f->lru, (char *)f->memory + buckets, budget, capacity);
    lru_check(&f->lru);
    return f;
}

static void fixture_free(struct fixture *f) {
    munmap(f->memory, f->reserved);
    free(f);
}

static struct slice key_of(uint32_t i, char *text) {
    return (struct slice){text, (size_t)snprintf(text, 32, "key:%u", i)};
}

static struct slice value_of(struct fixture *f, uint32_t i) {
    uint32_t x = i * 2654435761u + f->model[i].version;
    for (uint32_t n = 0; n < f->model[i].size; n++)
        f->value[n] = (char)(x = x * 1664525u + 1013904223u);
    return (struct slice){f->value, f->model[i].size};
}

static struct entry *get(struct fixture *f, uint32_t i, int64_t now_ms) {
    char text[32];
    struct slice key = key_of(i, text);
    struct entry *e = lru_get(&f->lru, hash_key(&f->seed, 0, key), key, now_ms);
    if (e) f->model[i].used = ++f->clock;
    return e;
}

static struct entry *peek(struct fixture *f, uint32_t i, int64_t now_ms) {
    char text[32];
    struct slice key = key_of(i, text);
    return lru_peek(&f->lru, hash_key(&f->seed, 0, key), key, now_ms);
}

static bool set(struct fixture *f, uint32_t i, uint32_t size, int64_t deadline_ms) {
    char text[32];
    struct slice key = key_of(i, text);
    f->model[i].size = size;
    f->model[i].version++;
    f->model[i].deadline_ms = deadline_ms;
    f->model[i].stored = true;
    f->model[i].used = ++f->clock;
    return lru_set(&f->lru, hash_key(&f->seed, 0, key), key, value_of(f, i), deadline_ms);
}

static bool remove_key(struct fixture *f, uint32_t i, int64_t now_ms) {
    char text[32];
    struct slice key = key_of(i, text);
    struct entry *e = peek(f, i, now_ms);
    if (e) lru_remove(&f->lru, hash_key(&f->seed, 0, key), e);
    f->model[i].stored = false;
    return e != NULL;
}

/* Every key of the model that the shard still has holds its bytes; one that it lost is forgotten. Returns how
 * many are there. */
static uint32_t reconcile(struct fixture *f, int64_t now_ms) {
    uint32_t there = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct entry *e = peek(f, i, now_ms);
        if (e == NULL) {
            f->model[i].stored = false;
            continue;
        }
        there++;
        CHECK(f->model[i].stored);
        CHECK(slice_equal(entry_value(e), value_of(f, i)));
        CHECK(entry_deadline_ms(e) == f->model[i].deadline_ms);
    }
    return there;
}

/* ---- order ---- */

/* Fewer than sixteen entries: no entry is young, and the survivors are exactly those of a reference list. */
static void test_exact_order_small(void) {
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        uint32_t capacity = 1 + (uint32_t)(seed % 15), reference[16], n = 0;
        struct fixture *f = fixture_new(1 << 20, capacity, seed);
        for (int step = 0; step < 80; step++) {
            uint32_t key = below(24), at = 0;
            bool is_set = below(2) == 0;
            while (at < n && reference[at] != key)
                at++;
            bool known = at < n;
            if (is_set) {
                CHECK(set(f, key, below(40), 0));
            } else {
                CHECK((get(f, key, 0) != NULL) == known);
            }
            if (known || is_set) { /* to the front of the reference list */
                if (!known && n < capacity)
                    at = n++;
                else if (!known)
                    at = n - 1;
                memmove(reference + 1, reference, at * sizeof *reference);
                reference[0] = key;
            }
            lru_check(&f->lru);
            REQUIRE(f->lru.count == n);
        }
        for (uint32_t i = 0; i < n; i++)
            CHECK(peek(f, reference[i], 0) != NULL);
        fixture_free(f);
    }
}

/* With more entries, hits on the newest sixteenth may leave the order as it is. The bound that this keeps: an
 * entry is evicted before at most capacity/16 others that were used longer ago. */
static void test_order_bound(void) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint32_t capacity = 16 + (uint32_t)(seed * 37 % 600), keys = capacity + capacity / 2;
        struct fixture *f = fixture_new(4 << 20, capacity, seed);
        uint64_t late = 0;
        for (int step = 0; step < 6000; step++) {
            uint32_t key = below(3) ? below(keys) : below(keys / 8 + 1); /* some keys are hot */
            uint64_t evicted = f->lru.counters.evicted;
            if (below(3) == 0 && peek(f, key, 0) != NULL) {
                CHECK(get(f, key, 0) != NULL);
            } else {
                CHECK(set(f, key, 16, 0));
            }
            CHECK(f->lru.count <= capacity);
            if (f->lru.counters.evicted == evicted) continue;
            REQUIRE(f->lru.counters.evicted == evicted + 1);
            uint64_t gone = 0;
            for (uint32_t i = 0; i < keys; i++)
                if (f->model[i].stored && peek(f, i, 0) == NULL) {
                    REQUIRE(gone == 0);
                    gone = f->model[i].used;
                    f->model[i].stored = false;
                }
            uint32_t older = 0;
            for (uint32_t i = 0; i < keys; i++)
                older += f->model[i].stored && f->model[i].used < gone;
            CHECK(older <= capacity / 16);
            late += older > 0;
        }
        lru_check(&f->lru);
        CHECK(capacity < 64 || late > 0); /* the shortcut was taken: this test is not empty */
        fixture_free(f);
    }
}

static void test_sequential_is_exact(void) {
    struct fixture *f = fixture_new(4 << 20, 1000, 5);
    for (uint32_t i = 0; i < KEYS; i++) {
        CHECK(set(f, i, 20, 0));
        CHECK(f->lru.count <= 1000);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        CHECK((peek(f, i, 0) != NULL) == (i >= KEYS - 1000));
    CHECK(f->lru.counters.evicted == KEYS - 1000);
    fixture_free(f);
}

/* ---- bytes ---- */

static void test_random_operations(void) {
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t budget = 128ull << (10 + seed % 3);
        uint32_t most = (uint32_t)lru_value_max(budget);
        struct fixture *f = fixture_new(budget, seed % 4 == 0 ? 300 : 100000, seed);
        for (int step = 0; step < 4000; step++) {
            uint32_t key = below(KEYS), kind = below(20);
            uint32_t size = kind < 12 ? below(64) : kind < 18 ? below(4000) : kind < 19 ? below(most) : most;
            if (below(5) == 0) {
                bool there = peek(f, key, 0) != NULL;
                CHECK(remove_key(f, key, 0) == there && peek(f, key, 0) == NULL);
            } else if (below(3) == 0) {
                struct entry *e = get(f, key, 0);
                if (e) CHECK(slice_equal(entry_value(e), value_of(f, key)));
            } else {
                REQUIRE(set(f, key, size, 0));
                struct entry *e = peek(f, key, 0);
                REQUIRE(e != NULL);
                CHECK(slice_equal(entry_value(e), value_of(f, key)));
            }
            lru_check(&f->lru);
            CHECK(lru_used_bytes(&f->lru) <= budget);
        }
        CHECK(reconcile(f, 0) == f->lru.count);
        fixture_free(f);
    }
}

/* Small values after large ones: the index grows out of the arena's pages; and back. */
static void test_sizes_turn_over(void) {
    uint64_t budget = 512 << 10;
    struct fixture *f = fixture_new(budget, 1 << 20, 7);
    static const uint32_t sizes[] = {2000, 8, 100000, 0, 30, 1500, 1};
    for (size_t phase = 0; phase < sizeof sizes / sizeof *sizes; phase++) {
        uint32_t writes = (uint32_t)(3 * budget / (sizes[phase] + 64));
        for (uint32_t n = 0; n < writes; n++) {
            REQUIRE(set(f, n % KEYS, sizes[phase], 0));
            if (n % 97 == 0) lru_check(&f->lru);
            void *memory;
            size_t bytes;
            if (n % 50 == 0) {
                lru_sweep(&f->lru, 0, 100);
                while (lru_trim(&f->lru, 1 << 18, &memory, &bytes))
                    memset(memory, 0xEE, bytes); /* what was given back may hold anything */
            }
        }
        lru_check(&f->lru);
        CHECK(reconcile(f, 0) == f->lru.count);
        uint64_t live = (uint64_t)f->lru.heap.used * HEAP_UNIT;
        CHECK(f->lru.count == KEYS || live > budget / 2);
    }
    fixture_free(f);
}

/* Room for another size is made by moving, not by evicting whatever lies there: nearly all that goes is old, little of
 * the budget is lost to holes, and what was moved is whole, with its deadline. */
static void test_room_by_moving(void) {
    uint64_t budget = 512 << 10;
    struct fixture *f = fixture_new(budget, 1 << 20, 8);
    static const struct {
        uint32_t least, most, per_mille;
    } phases[] = {{100, 100, 1},    {2000, 2000, 1}, {300, 300, 1}, {0, 512, 1},
                  {10, 100000, 30}, {50, 60, 1},     {1, 4000, 1}};
    for (size_t phase = 0; phase < sizeof phases / sizeof *phases; phase++) {
        uint64_t evicted = f->lru.counters.evicted, out_of_order = f->lru.counters.evicted_out_of_order;
        uint32_t spread = phases[phase].most - phases[phase].least + 1;
        for (uint64_t written = 0, n = 0; written < 6 * budget; n++) {
            /* more small ones than large ones, as in life */
            uint32_t size = (uint32_t)(rnd() % spread);
            size = phases[phase].least + size / (1 + (uint32_t)(rnd() % 16));
            uint32_t key = (uint32_t)(rnd() % KEYS);
            REQUIRE(set(f, key, size, rnd() % 2 ? 1000000 + (int64_t)n : 0));
            written += size + 32;
            if (n % 101 == 0) lru_check(&f->lru);
        }
        lru_check(&f->lru);
        CHECK(reconcile(f, 0) == f->lru.count);
        evicted = f->lru.counters.evicted - evicted;
        out_of_order = f->lru.counters.evicted_out_of_order - out_of_order;
        CHECK(out_of_order * 1000 <= evicted * phases[phase].per_mille);
        /* a value may be a fifth of this shard: when it goes, it leaves a part of that free */
        CHECK(f->lru.count > KEYS * 9 / 10 ||
              lru_used_bytes(&f->lru) > budget / 100 * (phases[phase].most > 5000 ? 70 : 95));
    }
    CHECK(f->lru.counters.evicted > 1000);
    fixture_free(f);
}

/* More keys than fit the keys of the fixture: load, splits and joins of a large index. */
static void test_many_small(void) {
    struct fixture *f = fixture_new(8 << 20, 1 << 20, 11);
    char text[32];
    uint32_t n = 90000;
    for (uint32_t i = 0; i < n; i++) {
        struct slice key = key_of(i, text);
        REQUIRE(lru_set(&f->lru, hash_key(&f->seed, 0, key), key, key, 0));
    }
    lru_check(&f->lru);
    REQUIRE(f->lru.count == n);
    uint32_t nbuckets = f->lru.mask + 1 + f->lru.split;
    CHECK(n / nbuckets < 10);
    for (uint32_t i = 0; i < n; i++) {
        struct slice key = key_of(i, text);
        struct entry *e = lru_get(&f->lru, hash_key(&f->seed, 0, key), key, 0);
        REQUIRE(e != NULL && slice_equal(entry_value(e), key));
        if (i % 16) lru_remove(&f->lru, hash_key(&f->seed, 0, key), e);
    }
    lru_check(&f->lru);
    while (lru_sweep(&f->lru, 0, 100))
        ;
    CHECK(f->lru.mask + 1 + f->lru.split < nbuckets / 4);
    lru_check(&f->lru);
    CHECK(f->lru.count == (n + 15) / 16);
    lru_clear(&f->lru);
    lru_check(&f->lru);
    CHECK(f->lru.count == 0 && lru_scan(&f->lru, 0xFFFFFFFFu, 0, NULL, NULL) == 0);
    fixture_free(f);
}

static void test_does_not_fit(void) {
    struct fixture *f = fixture_new(256 << 10, 1000, 3);
    uint32_t most = (uint32_t)lru_value_max(256 << 10);
    CHECK(most == 128 << 10);
    REQUIRE(set(f, 1, 100, 0));
    char text[32];
    struct slice key = key_of(1, text);
    CHECK(!lru_set(&f->lru, hash_key(&f->seed, 0, key), key, (struct slice){f->value, most + 1}, 0));
    struct entry *e = peek(f, 1, 0);
    REQUIRE(e != NULL);
    CHECK(slice_equal(entry_value(e), value_of(f, 1)));
    lru_check(&f->lru);
    fixture_free(f);
}

static void test_binary_and_empty_keys(void) {
    struct fixture *f = fixture_new(1 << 20, 1000, 9);
    static char longest[KEY_SIZE_MAX];
    memset(longest, 0x7F, sizeof longest);
    struct slice keys[] = {SLICE(""),
                           SLICE("\0"),
                           SLICE("\0\0"),
                           SLICE("a\r\nb"),
                           SLICE("\xFF\x00\xFF"),
                           {longest, sizeof longest},
                           {longest, sizeof longest - 1}};
    size_t n = sizeof keys / sizeof *keys;
    for (size_t i = 0; i < n; i++)
        CHECK(lru_set(&f->lru, hash_key(&f->seed, 0, keys[i]), keys[i], keys[n - 1 - i], 0));
    lru_check(&f->lru);
    for (size_t i = 0; i < n; i++) {
        struct entry *e = lru_get(&f->lru, hash_key(&f->seed, 0, keys[i]), keys[i], 0);
        REQUIRE(e != NULL);
        CHECK(slice_equal(entry_key(e), keys[i]) && slice_equal(entry_value(e), keys[n - 1 - i]));
    }
    CHECK(f->lru.count == n);
    fixture_free(f);
}

/* ---- time ---- */

static void test_deadline_on_access(void) {
    struct fixture *f = fixture_new(1 << 20, 1000, 13);
    CHECK(set(f, 1, 10, 5000));
    CHECK(get(f, 1, 4999) != NULL && get(f, 1, 5000) != NULL);
    CHECK(get(f, 1, 5001) == NULL && f->lru.counters.expired == 1 && f->lru.count == 0);
    CHECK(set(f, 2, 10, 5000));
    CHECK(lru_set_deadline(&f->lru, peek(f, 2, 0), 0)); /* PERSIST */
    CHECK(get(f, 2, 9000) != NULL && f->lru.database[0].with_deadline == 0);
    CHECK(set(f, 3, 10, 0));
    CHECK(!lru_set_deadline(&f->lru, peek(f, 3, 0), 7000)); /* no room for one: the caller stores it anew */
    lru_check(&f->lru);
    fixture_free(f);
}

/* Entries with deadlines near and far, a clock that runs, jumps and is set back: nobody lives on two ticks
 * after its time, nobody goes before it. */
static void test_sweep(void) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fixture *f = fixture_new(2 << 20, 100000, seed);
        int64_t now_ms = 1700000000000 + (int64_t)below(1000000);
        lru_sweep(&f->lru, now_ms, 1000000);
        for (int round = 0; round < 60; round++) {
            for (int n = 0; n < 60; n++) {
                uint32_t key = below(KEYS);
                int64_t away = (int64_t)1 << below(36);
                int64_t deadline_ms = now_ms + 1 + (int64_t)(rnd() % (uint64_t)away);
                REQUIRE(set(f, key, below(60), below(5) ? deadline_ms : 0));
            }
            lru_check(&f->lru);
            uint32_t how = below(12);
            int64_t step = how < 8    ? (int64_t)below(3000)
                           : how < 11 ? (int64_t)1 << below(37)
                                      : -(int64_t)below(10000000);
            now_ms += step;
            while (lru_sweep(&f->lru, now_ms, 1 + (int)below(50)))
                ;
            lru_check(&f->lru);
            uint32_t there = 0;
            for (uint32_t i = 0; i < KEYS; i++) {
                bool over = f->model[i].deadline_ms && now_ms > f->model[i].deadline_ms;
                bool long_over = over && now_ms - f->model[i].deadline_ms > 256;
                if (f->model[i].stored && !over) there++;
                if (f->model[i].stored && over && !long_over && peek(f, i, 0)) there++;
                if (f->model[i].stored && !over) REQUIRE(peek(f, i, now_ms) != NULL);
                if (f->model[i].stored && over && !peek(f, i, 0)) f->model[i].stored = false;
            }
            REQUIRE(f->lru.count == there);
        }
        fixture_free(f);
    }
}

static void test_lag(void) {
    struct fixture *f = fixture_new(2 << 20, 100000, 9);
    lru_sweep(&f->lru, 1000000, 1000);
    for (uint32_t i = 0; i < 300; i++)
        REQUIRE(set(f, i, 10, 1001000));
    while (lru_sweep(&f->lru, 1001700, 1000))
        ;
    CHECK(f->lru.count == 0 && f->lru.counters.expired == 300);
    CHECK(f->lru.lag_max_ms == 700 && f->lru.counters.lag[10] == 300); /* 512 to 1023 ms */
    REQUIRE(set(f, 2, 10, 5)); /* over when it is stored: nobody is late by all that time */
    while (lru_sweep(&f->lru, 1002000, 1000))
        ;
    CHECK(f->lru.count == 0 && f->lru.counters.expired == 301 && f->lru.lag_max_ms == 700);
    REQUIRE(set(f, 1, 10, 1002000));
    CHECK(get(f, 1, 1009000) == NULL); /* asked for, not swept: nobody waited */
    CHECK(f->lru.counters.expired == 302 && f->lru.lag_max_ms == 700);
    fixture_free(f);
}

static void test_sweep_is_bounded(void) {
    struct fixture *f = fixture_new(4 << 20, 100000, 17);
    int64_t now_ms = 1700000000000;
    lru_sweep(&f->lru, now_ms, 1000);
    for (uint32_t i = 0; i < KEYS; i++)
        REQUIRE(set(f, i, 10, now_ms + 1000));
    uint32_t before = f->lru.count;
    int calls = 0;
    for (bool more = true; more; calls++) {
        more = lru_sweep(&f->lru, now_ms + 2000, 64);
        CHECK(before - f->lru.count <= 64);
        before = f->lru.count;
    }
    CHECK(f->lru.count == 0 && calls >= (int)KEYS / 64);
    lru_check(&f->lru);
    fixture_free(f);
}

/* ---- why a key is not there, and how old what goes is ---- */

enum { FEWER = 160, CLOCK_MS = 164, ACCESS_MS = 4260 }; /* keys; how far off an age is, how much too long it may be */

static uint64_t misses(const struct lru *l) {
    return l->counters.misses[SAMPLE_FREE] + l->counters.misses[SAMPLE_EXPIRED] + l->counters.misses[SAMPLE_EVICTED];
}

static int bin_of(int64_t ms) { return 64 - __builtin_clzll((uint64_t)ms | 1); }

/* A read as a command does it. Returns why there was nothing, -1 when there was. */
static int read_key(struct fixture *f, uint32_t i, int64_t now_ms) {
    char text[32];
    uint64_t before[SAMPLE_LIVE];
    memcpy(before, f->lru.counters.misses, sizeof before);
    bool hit = get(f, i, now_ms) != NULL;
    lru_count_read(&f->lru, hash_key(&f->seed, 0, key_of(i, text)), hit);
    for (int cause = 0; cause < SAMPLE_LIVE; cause++)
        if (f->lru.counters.misses[cause] != before[cause]) return cause;
    return -1;
}

/* Notes for all keys that are there no more why that is. Returns one of them, FEWER when there is none. */
static uint32_t note_gone(struct fixture *f, enum sample_state why) {
    uint32_t gone = FEWER;
    for (uint32_t i = 0; i < FEWER; i++) {
        if (!f->model[i].stored || peek(f, i, 0)) continue;
        f->model[i].stored = false;
        f->model[i].gone = why;
        gone = i;
    }
    return gone;
}

/* The one age that was counted is right for one used when the model says. */
static bool age_right(const struct lru *l, const uint64_t *before, int64_t age_ms, int64_t longer_ms) {
    int bin = 0;
    while (bin < LRU_BINS - 1 && l->counters.age[bin] == before[bin])
        bin++;
    int least = bin_of((age_ms > CLOCK_MS ? age_ms - CLOCK_MS : 0) | 127);
    return bin >= least && bin <= bin_of((age_ms + longer_ms) | 127) && l->counters.age[bin] == before[bin] + 1;
}

/* Few enough keys that all are in the sample: every miss has the cause that the model knows, every eviction the age. With
 * fewer than 16 entries none is young, and ages are as exact as the clock. */
static void test_causes(void) {
    static const uint32_t capacities[] = {12, 40, 100, 1000};
    uint32_t seen[SAMPLE_LIVE] = {0}, ages = 0;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        uint32_t capacity = capacities[seed % 4];
        struct fixture *f = fixture_new(capacity == 1000 ? 32 << 10 : 1 << 20, capacity, seed);
        struct lru *l = &f->lru;
        int64_t now_ms = 1700000000000 + below(1u << 30), swept_ms = 0;
        uint64_t missed = 0;
        for (int step = 0; step < 12000; step++) {
            uint32_t hot = (uint32_t)step / 100 * 4 + below(4); /* for a while */
            uint32_t key = (below(2) ? below(FEWER) : hot) % FEWER, what = below(100);
            now_ms += below(step / 1000 % 2 ? 4 : 90);
            if (below(300) == 0) now_ms += (int64_t)1 << below(31);
            if (now_ms - swept_ms >= 100) { /* as often as the server does it */
                while (lru_sweep(l, now_ms, 100))
                    ;
                note_gone(f, SAMPLE_EXPIRED);
                swept_ms = now_ms;
            }
            if (what < 50) {
                int cause = read_key(f, key, now_ms);
                bool over = f->model[key].deadline_ms && now_ms > f->model[key].deadline_ms;
                REQUIRE(cause < 0 || over || !f->model[key].stored);
                note_gone(f, SAMPLE_EXPIRED);
                REQUIRE(cause < 0 ? f->model[key].stored : cause == (int)f->model[key].gone);
                if (cause < 0) f->model[key].used_ms = now_ms;
                if (cause >= 0) seen[cause]++;
                missed += cause >= 0;
            } else if (what < 90) {
                struct lru_counters before = l->counters;
                REQUIRE(set(f, key, below(2) ? 20 : below(1000), below(3) ? 0 : now_ms + below(20000)));
                uint32_t gone = note_gone(f, SAMPLE_EVICTED);
                f->model[key].used_ms = now_ms;
                CHECK((gone == FEWER) == (l->counters.evicted == before.evicted));
                CHECK(l->counters.evicted - before.evicted >=
                      l->counters.evicted_by_entries - before.evicted_by_entries);
                if (l->counters.evicted != before.evicted + 1) continue;
                ages++;
                REQUIRE(
                    age_right(l, before.age, now_ms - f->model[gone].used_ms, capacity < 16 ? CLOCK_MS : ACCESS_MS));
            } else if (what < 99) {
                if (remove_key(f, key, 0)) f->model[key].gone = SAMPLE_FREE;
            } else if (step % 8 == 0) {
                lru_clear(l);
                for (uint32_t i = 0; i < FEWER; i++) {
                    f->model[i].stored = false;
                    f->model[i].gone = SAMPLE_FREE;
                }
            }
            if (step % 8 == 0) lru_check(l);
            if (step % 8 == 0) lru_check_sample(l);
        }
        CHECK(misses(l) == missed && l->sample.outside == 0);
        CHECK((capacity < 1000) == (l->counters.evicted == l->counters.evicted_by_entries));
        fixture_free(f);
    }
    CHECK(seen[SAMPLE_FREE] > 1000 && seen[SAMPLE_EXPIRED] > 1000 && seen[SAMPLE_EVICTED] > 1000 && ages > 10000);
}

/* An entry that is hit while it is young notes nothing in the sample: its age is right all the same. */
static void test_age_of_the_young(void) {
    struct fixture *f = fixture_new(1 << 20, 100, 6);
    int64_t now_ms = 1700000000000;
    for (uint32_t i = 0; i < 300; i++) {
        lru_sweep(&f->lru, now_ms += i == 100 ? 3600000 : 100, 100);
        if (i == 100) CHECK(get(f, 99, now_ms) && get(f, 98, now_ms) && !get(f, 300, now_ms));
        REQUIRE(set(f, i, 10, 0));
        if (i == 199)
            CHECK(f->lru.counters.evicted == 100 && f->lru.counters.age[22] == 98); /* those that were not hit */
    }
    CHECK(f->lru.counters.age[14] == 102 && f->lru.counters.age[22] == 98); /* 8192 to 16383 ms */
    fixture_free(f);
}

/* A cache that is read and filled, of more keys than the sample has slots: what is counted is nearly what the model says,
 * with all that went remembered or some of it. */
static void test_sample(void) {
    enum { MOST = 150000, FITS = 20000 };
    static const uint32_t many[] = {30000, MOST};
    static enum sample_state gone[MOST];
    static int64_t used_ms[MOST];
    static uint64_t evicted_as[MOST]; /* in their order */
    for (int round = 0; round < 2; round++) {
        uint64_t truth[SAMPLE_LIVE] = {0}, late = 0, ages[LRU_BINS] = {0}, counted = 0;
        struct fixture *f = fixture_new(8 << 20, FITS, 4);
        struct lru *l = &f->lru;
        const struct lru_counters *n = &l->counters;
        int64_t now_ms = 1700000000000;
        char text[32];
        memset(gone, 0, sizeof gone);
        for (int step = 0; step < 900000; step++) {
            uint32_t i = below(4) ? below(many[round]) : below(many[round] / 10);
            struct slice key = key_of(i, text);
            uint64_t hash = hash_key(&f->seed, 0, key);
            if (step % (step / 100000 % 2 ? 20 : 300) == 0) lru_sweep(l, now_ms += 100, 100000);
            bool hit = lru_get(l, hash, key, now_ms) != NULL;
            if (gone[i] == SAMPLE_LIVE && !hit) gone[i] = SAMPLE_EXPIRED;
            lru_count_read(l, hash, hit);
            used_ms[i] = now_ms;
            if (hit) continue;
            truth[gone[i]]++;
            late += gone[i] == SAMPLE_EVICTED && n->evicted - evicted_as[i] < FITS;
            if (l->count == FITS) {
                uint32_t last = (uint32_t)atoi(entry_key_bytes(heap_at(&l->heap, l->tail)) + 4);
                ages[bin_of((now_ms - used_ms[last]) | 127)]++;
                gone[last] = SAMPLE_EVICTED;
                evicted_as[last] = n->evicted;
            }
            REQUIRE(lru_set(l, hash, key, SLICE(":"), i % 3 ? 0 : now_ms + below(60000)));
            gone[i] = SAMPLE_LIVE; /* it is there */
        }
        uint64_t in_all = truth[SAMPLE_FREE] + truth[SAMPLE_EXPIRED] + truth[SAMPLE_EVICTED],
                 least = round ? late : truth[SAMPLE_EVICTED];
        CHECK(l->sample.outside == 0xFC000000u && n->evicted > 100000 && truth[SAMPLE_EXPIRED] > 10000 &&
              misses(l) == in_all);
        CHECK(n->misses[SAMPLE_EVICTED] > least - in_all / 20 &&
              n->misses[SAMPLE_EVICTED] < truth[SAMPLE_EVICTED] + in_all / 20);
        CHECK(n->misses[SAMPLE_EXPIRED] < truth[SAMPLE_EXPIRED] + in_all / 20);
        CHECK(round || n->misses[SAMPLE_EXPIRED] > truth[SAMPLE_EXPIRED] - in_all / 20);
        for (int bin = 0; bin < LRU_BINS; bin++) {
            counted += n->age[bin];
            CHECK(llabs((long long)(n->age[bin] - ages[bin])) < (long long)n->evicted / 20);
        }
        CHECK(llabs((long long)(counted - n->evicted)) < (long long)n->evicted / 10);
        lru_check(l);
        lru_check_sample(l);
        for (uint32_t i = 0; i < MOST; i++) { /* few are left: all of them are in the sample again */
            uint64_t hash = hash_key(&f->seed, 0, key_of(i, text));
            struct entry *e = lru_peek(l, hash, key_of(i, text), 0);
            if (e && i % 400) lru_remove(l, hash, e);
            if (i % 2000 == 0) lru_check(l);
            if (i % 2000 == 0) lru_check_sample(l);
        }
        CHECK(l->sample.outside == 0 && l->count > 10);
        fixture_free(f);
    }
}

/* ---- scanning ---- */

struct seen {
    uint32_t times[KEYS];
};

static void note(void *context, const struct entry *e) {
    struct seen *seen = context;
    struct slice key = entry_key(e);
    uint32_t i = 0;
    for (size_t n = 4; n < key.n; n++)
        i = i * 10 + (uint32_t)(key.p[n] - '0');
    seen->times[i]++;
}

static void test_scan_whole(void) {
    struct fixture *f = fixture_new(2 << 20, 100000, 19);
    for (uint32_t i = 0; i < KEYS; i++)
        REQUIRE(set(f, i, 5, i % 10 == 0 ? 100 : 0));
    static struct seen seen;
    memset(&seen, 0, sizeof seen);
    uint32_t position = 0;
    do
        position = lru_scan(&f->lru, position, 200, note, &seen);
    while (position);
    for (uint32_t i = 0; i < KEYS; i++)
        CHECK(seen.times[i] == (i % 10 != 0)); /* each once, and the expired not */
    fixture_free(f);
}

/* Keys 0..999 stay; others come and go between the calls, so that buckets are split and joined. */
static void test_scan_while_changing(void) {
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct fixture *f = fixture_new(4 << 20, 100000, seed);
        for (uint32_t i = 0; i < 1000; i++)
            REQUIRE(set(f, i, 5, 0));
        static struct seen seen;
        memset(&seen, 0, sizeof seen);
        uint32_t position = 0, splits = f->lru.mask + f->lru.split, changed = 0;
        do {
            position = lru_scan(&f->lru, position, 0, note, &seen);
            for (uint32_t n = below(200); n > 0; n--) {
                uint32_t key = 1000 + below(KEYS - 1000);
                if (seed % 2 ? position < 0x80000000u : position >= 0x80000000u)
                    REQUIRE(set(f, key, 5, 0));
                else
                    remove_key(f, key, 0);
            }
            changed += f->lru.mask + f->lru.split != splits;
            splits = f->lru.mask + f->lru.split;
        } while (position);
        for (uint32_t i = 0; i < 1000; i++)
            CHECK(seen.times[i] >= 1);
        CHECK(changed > 5);
        fixture_free(f);
    }
}

/* ---- the hash ---- */

static void test_hash_spreads(void) {
    struct fixture *f = fixture_new(1 << 20, 1000, 23);
    static uint32_t shards[SHARDS], buckets[1024];
    char text[32];
    for (uint32_t i = 0; i < 640000; i++) {
        uint64_t hash = hash_key(&f->seed, 0, key_of(i, text));
        shards[hash_shard(hash)]++;
        buckets[hash_bucket(hash) % 1024]++;
    }
    for (int i = 0; i < SHARDS; i++)
        CHECK(shards[i] > 9500 && shards[i] < 10500);
    for (int i = 0; i < 1024; i++)
        CHECK(buckets[i] > 500 && buckets[i] < 750);
    /* every length differs from its neighbours, and every byte of a key counts */
    static char key[300];
    memset(key, 'x', sizeof key);
    for (size_t n = 1; n < sizeof key; n++) {
        uint64_t hash = hash_key(&f->seed, 0, (struct slice){key, n});
        CHECK(hash != hash_key(&f->seed, 0, (struct slice){key, n - 1}));
        for (size_t i = 0; i < n; i++) {
            key[i] ^= 1;
            CHECK(hash != hash_key(&f->seed, 0, (struct slice){key, n}));
            key[i] ^= 1;
        }
    }
    fixture_free(f);
}

/* Stores tiny entries until so many were evicted. Returns how many there are. */
static uint32_t fill(struct fixture *f, uint32_t *next, uint64_t evicted) {
    for (evicted += f->lru.counters.evicted; f->lru.counters.evicted < evicted; ++*next) {
        char text[32];
        struct slice key = key_of(*next, text);
        CHECK(lru_set(&f->lru, hash_key(&f->seed, *next & 1, key), key, SLICE("v"), 0));
    }
    return f->lru.count;
}

/* Small entries leave a large index behind, in buckets and overflow buckets: they do not keep the budget from sinking. */
static void test_budget_sinks(void) {
    enum { MOST = 2 << 20, CAPACITY = MOST / 16 };
    uint32_t next = 0;
    struct fixture *f = fixture_new(MOST, CAPACITY, 11);
    uint32_t before = fill(f, &next, 1000);
    for (uint32_t share = 2; share <= 32; share *= 2) {
        bool more = true;
        for (int64_t now_ms = 1, quiet = 0; quiet < 200; now_ms++, quiet = more ? 0 : quiet + 1) {
            void *memory;
            size_t bytes;
            more = lru_sweep(&f->lru, now_ms, 128);
            more |= lru_resize(&f->lru, MOST / share, CAPACITY);
            more |= lru_trim(&f->lru, 256 << 10, &memory, &bytes);
            if (now_ms % 256 == 0) lru_check(&f->lru);
        }
        CHECK(f->lru.budget_bytes == MOST / share);
        struct fixture *fresh = fixture_new(MOST / share, CAPACITY, 11);
        uint32_t other = 0, entries = fill(fresh, &other, 1000);
        CHECK(fill(f, &next, before) > entries / 100 * 80);
        lru_check(&f->lru);
        fixture_free(fresh);
    }
    for (uint32_t left = f->lru.database[0].entries, step = 0; lru_purge(&f->lru, 1 << 1, 3); step++) {
        if (step % 16 == 0) lru_check(&f->lru); /* of the chains that a purge walks, the buckets move */
        CHECK(f->lru.database[0].entries == left);
    }
    CHECK(f->lru.count > 0 && f->lru.database[1].entries == 0);
    lru_check(&f->lru);
    fixture_free(f);
}

int main(void) {
    static const struct tap_test tests[] = {
        {"fewer than 16 entries: survivors are exactly the reference list's", test_exact_order_small},
        {"more entries: at most a sixteenth older survive an evicted one", test_order_bound},
        {"stored in a row, the last ones survive", test_sequential_is_exact},
        {"random operations, values from nothing to the limit", test_random_operations},
        {"sizes turn over: index and arena share the budget", test_sizes_turn_over},
        {"room is made by moving", test_room_by_moving},
        {"a budget sinks whatever the index holds", test_budget_sinks},
        {"many small entries: the index splits and joins", test_many_small},
        {"what cannot fit is refused and changes nothing", test_does_not_fit},
        {"empty, binary and longest keys", test_binary_and_empty_keys},
        {"a deadline holds at every access", test_deadline_on_access},
        {"the sweep finds what is over, whatever the clock does", test_sweep},
        {"the lag of expiry is measured", test_lag},
        {"a sweep does no more than it is told", test_sweep_is_bounded},
        {"every miss has its cause, every eviction its age", test_causes},
        {"the age of what was used while it was young", test_age_of_the_young},
        {"causes and ages of a sample", test_sample},
        {"a scan hands out each entry once", test_scan_whole},
        {"a scan misses nothing that stays", test_scan_while_changing},
        {"the hash spreads", test_hash_spreads},
    };
    return tap_main(tests, sizeof tests / sizeof *tests);
}
