/* test_hash.c -- who knows hash.h, but not the seed, finds no keys that meet in one bucket more often than others do.
 *
 * Every family of keys is stored in a shard under many seeds, and the longest chain of its index (lru_scan() hands out
 * one bucket a call) is held against that of random keys. Seeds and random keys are the same ones in every run. */
#include "../shard.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "random.h"
#include "tap.h"

enum { KEYS = 10000, SEEDS = 20, CAPACITY = 20000, MET = 1000, KEY_BYTES = 1024 };

#define BUDGET (16ull << 20)

/* ---- the system's randomness: what the server asks for goes through here, and is remembered ---- */

static char given[2 * sizeof(struct hash_seed)];
static size_t given_bytes;

ssize_t getrandom(void *p, size_t n, unsigned flags) {
    if (syscall(SYS_getrandom, p, n, flags) != (long)n) return -1;
    if (n <= sizeof given - given_bytes) memcpy(given + given_bytes, p, n);
    given_bytes += n;
    return (ssize_t)n;
}

static void test_seed(void) {
    struct shards one, other;
    given_bytes = 0;
    REQUIRE(shards_init(&one, 64 << 20, 1000, 1));
    REQUIRE(shards_init(&other, 64 << 20, 1000, 1));
    CHECK(given_bytes == sizeof given);
    CHECK(memcmp(&one.seed, given, sizeof one.seed) == 0);
    CHECK(memcmp(&other.seed, given + sizeof one.seed, sizeof other.seed) == 0);
    int same = 0, bits = 0;
    for (size_t i = 0; i < HASH_WORDS + 2; i++) {
        same += one.seed.word[i] == other.seed.word[i];
        bits += __builtin_popcountll(one.seed.word[i]);
    }
    CHECK(same == 0);
    CHECK(bits > 32 * (HASH_WORDS + 2) - 1000 && bits < 32 * (HASH_WORDS + 2) + 1000); /* 11 standard deviations */
    for (uint32_t i = 0; i < SHARDS; i++)
        CHECK(one.shard[i].lru.seed == &one.seed);
    shards_release(&one);
    shards_release(&other);
}

/* ---- families of keys ---- */

static struct hash_seed known; /* the one that an attacker believes in */

static void put(char *key, size_t at, uint64_t word) { memcpy(key + at, &word, sizeof word); }

static size_t two_words(char *key, uint64_t a, uint64_t b) {
    put(key, 0, a);
    put(key, 8, b);
    return 16;
}

static size_t filled(char *key, int byte, size_t n) {
    memset(key, byte, n);
    return n;
}

static size_t make_random(uint64_t i, char *key) {
    (void)i;
    return two_words(key, rnd(), rnd());
}

static size_t make_named(uint64_t i, char *key) {
    return (size_t)snprintf(key, KEY_BYTES, "user:%llu", (unsigned long long)i);
}

static size_t make_equal_halves(uint64_t i, char *key) { return two_words(key, i, i); }

static size_t make_one_word(uint64_t i, char *key) {
    put(key, 0, i); /* both factors are the same word */
    return 8;
}

static size_t make_first(uint64_t i, char *key) { return two_words(key, i, 0); }

static size_t make_second(uint64_t i, char *key) { return two_words(key, UINT64_MAX, i); }

static size_t make_shifted(uint64_t i, char *key) { return two_words(key, i << 48 | i >> 16, 1ull << 63); }

static size_t make_opposite(uint64_t i, char *key) { return two_words(key, i << 20, 0 - (i << 20)); }

static size_t make_square(uint64_t i, char *key) { return two_words(key, (i % 100) << 57, (i / 100) << 57); }

/* What one product gains, the other may lose. */
static size_t make_cancelling(uint64_t i, char *key) {
    filled(key, 0, 32);
    put(key, 0, i << 32);
    put(key, 16, 0 - (i << 32));
    return 32;
}

/* The same blocks in another order. */
static size_t make_permuted(uint64_t i, char *key) {
    size_t place[16];
    for (size_t k = 0; k < 16; k++)
        place[k] = k;
    for (size_t k = 8; k > 1; k--, i /= k + 1) {
        size_t with = i % k, kept = place[k - 1];
        place[k - 1] = place[with];
        place[with] = kept;
    }
    for (size_t k = 0; k < 16; k++) {
        put(key, place[k] * 16, k);
        put(key, place[k] * 16 + 8, k);
    }
    return 256;
}

/* One byte repeated: of up to 16 bytes, all lengths have the same words. */
static size_t make_repeated(uint64_t i, char *key) { return filled(key, (int)(i / 1000), i % 1000 + 1); }

static size_t make_two_bits(uint64_t i, char *key) {
    filled(key, 0, KEY_BYTES);
    key[i % KEY_BYTES] ^= 0x01;
    key[i / KEY_BYTES * 101] ^= (char)0x80;
    return KEY_BYTES;
}

static size_t make_short(uint64_t i, char *key) {
    memcpy(key, &i, 3);
    return i % 2 ? 2 : 3;
}

/* A factor that is zero under the known seed: whatever the other one is, the product is zero. */
static size_t make_zero_factor(uint64_t i, char *key) { return two_words(key, 0 - known.word[0], i); }

static size_t make_zero_factor_late(uint64_t i, char *key) {
    filled(key, 'x', 48);
    put(key, 32, i);
    put(key, 40, 0 - known.word[5]);
    return 48;
}

/* Found by trying: one shard and one bucket of 256 under the known seed. */
static size_t make_searched(uint64_t i, char *key) {
    static uint64_t found[MET], from;
    static uint32_t so_far;
    for (; so_far <= i; from++) {
        uint64_t hash = hash_key(&known, 0, (struct slice){key, two_words(key, from, 'k')});
        if (hash_shard(hash) == 7 && hash_bucket(hash) % 256 == 99) found[so_far++] = from;
    }
    return two_words(key, found[i], 'k');
}

/* ---- how long a chain they make ---- */

static void count(void *context, const struct entry *e) {
    (void)e;
    ++*(uint32_t *)context;
}

static uint32_t longest_chain(const struct hash_seed *seed, size_t (*make)(uint64_t i, char *key), uint32_t keys) {
    size_t buckets = lru_bucket_bytes(CAPACITY), bytes = buckets + lru_reserve_bytes(BUDGET, CAPACITY);
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct lru l = {.buckets = (void *)memory, .seed = seed, .budget_bytes = BUDGET, .capacity = CAPACITY};
    lru_init(&l, memory + buckets, BUDGET, CAPACITY);
    for (uint32_t i = 0; i < keys; i++) {
        char text[KEY_BYTES];
        struct slice key = {text, make(i, text)};
        if (!lru_set(&l, hash_key(seed, 0, key), key, SLICE(""), 0)) abort();
    }
    uint32_t longest = 0, position = 0;
    do {
        uint32_t chain = 0;
        position = lru_scan(&l, position, 1, count, &chain);
        longest = chain > longest ? chain : longest;
    } while (position);
    if (l.count < keys * 9 / 10) longest = UINT32_MAX; /* the family repeats itself: it would show nothing */
    munmap(memory, bytes);
    return longest;
}

static void draw_seed(struct hash_seed *seed) {
    for (size_t i = 0; i < HASH_WORDS + 2; i++)
        seed->word[i] = rnd();
}

/* The longest chain under any of the seeds, which are the same ones each time. */
static uint32_t worst_chain(size_t (*make)(uint64_t i, char *key), uint32_t keys) {
    static struct hash_seed seed;
    uint32_t worst = 0;
    random_state = 12345;
    for (int i = 0; i < SEEDS; i++) {
        draw_seed(&seed);
        uint32_t chain = longest_chain(&seed, make, keys);
        worst = chain > worst ? chain : worst;
    }
    return worst;
}

static void test_families(void) {
    static const struct {
        const char *name;
        size_t (*make)(uint64_t i, char *key);
    } family[] = {
        {"user:1, user:2, ...", make_named},
        {"two equal words", make_equal_halves},
        {"a single word", make_one_word},
        {"the first word counts", make_first},
        {"the second word counts", make_second},
        {"only high bits", make_shifted},
        {"opposite words", make_opposite},
        {"a square of high bits", make_square},
        {"products that cancel each other", make_cancelling},
        {"the same blocks in another order", make_permuted},
        {"one byte repeated", make_repeated},
        {"two bits of a kilobyte", make_two_bits},
        {"two and three bytes", make_short},
    };
    uint32_t usual = worst_chain(make_random, KEYS);
    printf("# random keys: %u in one bucket at most\n", usual);
    for (size_t i = 0; i < sizeof family / sizeof *family; i++) {
        uint32_t worst = worst_chain(family[i].make, KEYS);
        printf("# %s: %u\n", family[i].name, worst);
        CHECK(worst <= usual * 3 / 2);
    }
}

static void test_known_seed(void) {
    static const struct {
        const char *name;
        size_t (*make)(uint64_t i, char *key);
        uint32_t least; /* of one bucket, under the seed that they are made for */
    } family[] = {
        {"a factor of zero", make_zero_factor, MET},
        {"a factor of zero behind other words", make_zero_factor_late, MET},
        {"found by trying", make_searched, MET},
    };
    random_state = 777;
    draw_seed(&known);
    uint32_t usual = worst_chain(make_random, MET);
    printf("# random keys: %u in one bucket at most\n", usual);
    for (size_t i = 0; i < sizeof family / sizeof *family; i++) {
        uint32_t met = longest_chain(&known, family[i].make, MET), worst = worst_chain(family[i].make, MET);
        printf("# %s: %u under the known seed, %u under others\n", family[i].name, met, worst);
        CHECK(met >= family[i].least);
        CHECK(worst <= usual * 3 / 2);
    }
}

int main(void) {
    static const struct tap_test tests[] = {
        {"the seed is the system's randomness, and another one for each server", test_seed},
        {"keys that meet under one seed do not meet under others", test_known_seed},
        {"keys built for the hash's structure make no longer chains than random ones", test_families},
    };
    return tap_main(tests, sizeof tests / sizeof *tests);
}
