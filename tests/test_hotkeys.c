/* test_hotkeys.c -- the sketch of HOTKEYS: which keys have most, of streams whose truth is counted beside it.
 */
#include "../info.h"

#include <stdio.h>
#include <stdlib.h>

#include "random.h"
#include "tap.h"

static struct slice name_of(uint32_t key, char *text) {
    return (struct slice){text, (size_t)sprintf(text, "key:%u", key)};
}

static uint64_t hash_of(uint32_t key) { return (key + 1) * 0x9E3779B97F4A7C15ull; }

static void add(struct sketch *s, uint32_t key, uint64_t weight) {
    char text[32];
    sketch_add(s, hash_of(key), key % 16, name_of(key, text), weight);
}

/* Whether place `at` is that of this key, with its name and database. */
static bool is_key(const struct sketch *s, int at, uint32_t key) {
    char text[32];
    struct slice name = name_of(key, text);
    return s->hash[at] == hash_of(key) && s->key[at].database == key % 16 && s->key[at].bytes == name.n &&
           memcmp(s->key[at].text, name.p, name.n) == 0;
}

/* A number below a million, drawn with (x + 1)^-0.99: by the inverse of the integral, ((1 + u (N^0.01 - 1))^100. */
static uint32_t zipf(void) {
    double u = (double)(rnd() >> 11) / (double)(1ull << 53), base = 1 + u * 0.1481536, x = 1;
    for (int i = 0; i < 100; i++)
        x *= base;
    return x - 1 < 1000000 ? (uint32_t)(x - 1) : 999999;
}

/* All places are true: the sum of counts is the total, no error is above its count, no key is there twice. */
static void check_sketch(const struct sketch *s, const uint32_t *truth, uint32_t keys) {
    uint64_t sum = 0;
    bool right = true;
    for (int i = 0; i < SKETCH_KEYS; i++) {
        uint32_t key = (uint32_t)(s->hash[i] * 0xF1DE83E19937733Dull) - 1; /* undoes hash_of() */
        sum += s->count[i];
        right &= s->error[i] <= s->count[i];
        if (s->count[i] && key < keys && truth)
            right &= is_key(s, i, key) && truth[key] <= s->count[i] && truth[key] >= s->count[i] - s->error[i];
        for (int j = 0; j < i; j++)
            right &= s->count[i] == 0 || s->hash[i] != s->hash[j];
    }
    CHECK(right && sum == s->total);
}

/* The ten keys that have most of two million draws from a million keys are the first ten, in order. */
static void test_zipf(void) {
    enum { KEYS = 1000000, DRAWS = 2000000 };
    struct sketch *s = calloc(1, sizeof *s);
    uint32_t *truth = calloc(KEYS, sizeof *truth);
    int top[20];
    random_state = 7;
    for (int i = 0; i < DRAWS; i++) {
        uint32_t key = zipf();
        truth[key]++;
        add(s, key, 1);
    }
    check_sketch(s, truth, KEYS);
    CHECK(s->total == DRAWS && sketch_top(s, 20, top) == 20);
    for (uint32_t i = 0; i < 10; i++) { /* key i is drawn oftener than i + 1 */
        bool found = is_key(s, top[i], i);
        CHECK(found && truth[i] > truth[i + 1]);
        uint64_t sure = s->count[top[i]] - s->error[top[i]];
        CHECK(sure <= truth[i] && sure > truth[i] - truth[i] / 50);
        if (!found) printf("# place %u: %.*s\n", i, (int)s->key[top[i]].bytes, s->key[top[i]].text);
    }
    free(truth);
    free(s);
}

/* One request in sixteen: what is shown is near the truth, and nine of the ten are there. */
static void test_sampled(void) {
    enum { KEYS = 1000000, DRAWS = 4000000 };
    struct sketch *s = calloc(1, sizeof *s);
    uint32_t *truth = calloc(KEYS, sizeof *truth);
    int top[10], found = 0;
    random_state = 8;
    for (int i = 0; i < DRAWS; i++) {
        uint32_t key = zipf();
        truth[key]++;
        if (below(16) == 0) add(s, key, 1);
    }
    int n = sketch_top(s, 10, top);
    for (int i = 0; i < n; i++)
        for (uint32_t key = 0; key < 10; key++) {
            if (!is_key(s, top[i], key)) continue;
            double estimate = (double)(s->count[top[i]] - s->error[top[i]]) * 16;
            found++;
            CHECK(estimate > truth[key] * 0.85 && estimate < truth[key] * 1.15);
        }
    CHECK(n == 10 && found >= 9);
    free(truth);
    free(s);
}

/* Where all keys are alike none is shown as hot: what a place has from the one before it is not counted. */
static void test_uniform(void) {
    struct sketch *s = calloc(1, sizeof *s);
    int top[64];
    random_state = 9;
    for (int i = 0; i < 300000; i++)
        add(s, below(1000000), 1);
    check_sketch(s, NULL, 0);
    int n = sketch_top(s, 64, top);
    CHECK(n == 64);
    for (int i = 0; i < n; i++)
        CHECK(s->count[top[i]] - s->error[top[i]] <= 4);
    free(s);
}

/* Few keys are counted exactly, by weight, in order; fewer than are asked for are all that is shown. */
static void test_few(void) {
    struct sketch *s = calloc(1, sizeof *s);
    int top[64];
    CHECK(sketch_top(s, 64, top) == 0);
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t key = 0; key < SKETCH_KEYS; key++)
            add(s, key, 1 + (key * 37) % SKETCH_KEYS);
    uint64_t last = UINT64_MAX;
    CHECK(sketch_top(s, 64, top) == 64);
    for (int i = 0; i < 64; i++) {
        CHECK(s->count[top[i]] <= last && s->error[top[i]] == 0);
        CHECK(s->count[top[i]] == 3 * (SKETCH_KEYS - (uint64_t)i));
        last = s->count[top[i]];
    }
    CHECK(sketch_top(s, 1, top) == 1 && s->count[top[0]] == 3 * SKETCH_KEYS);
    memset(s, 0, sizeof *s);
    for (uint32_t key = 0; key < 5; key++)
        add(s, key, key + 1);
    CHECK(sketch_top(s, 64, top) == 5 && is_key(s, top[0], 4) && is_key(s, top[4], 0));
    CHECK(sketch_top(s, 3, top) == 3 && is_key(s, top[2], 2));
    free(s);
}

/* Keys of every length, each in a block of its size: one that is too long says how much of it is missing. */
static void test_lengths(void) {
    struct sketch *s = calloc(1, sizeof *s);
    for (size_t n = 0; n <= 4095; n += n < 300 ? 1 : 759) {
        char *key = malloc(n ? n : 1), end[64];
        memset(key, '\xff', n);
        memset(s, 0, sizeof *s);
        sketch_add(s, 1 + n, 3, (struct slice){key, n}, 2);
        free(key);
        int top, more = sprintf(end, "... (%zu more bytes)", n - SKETCH_KEY_CUT);
        CHECK(sketch_top(s, 1, &top) == 1);
        size_t bytes = s->key[top].bytes, kept = n > SKETCH_KEY_BYTES ? SKETCH_KEY_CUT : n;
        CHECK(bytes == (n > SKETCH_KEY_BYTES ? kept + (size_t)more : n) && bytes <= SKETCH_KEY_BYTES);
        for (size_t i = 0; i < kept; i++)
            CHECK(s->key[top].text[i] == '\xff');
        CHECK(bytes == n || memcmp(s->key[top].text + kept, end, (size_t)more) == 0);
    }
    free(s);
}

int main(void) {
    static const struct tap_test tests[] = {
        {"the ten keys that have most", test_zipf},
        {"one request in sixteen", test_sampled},
        {"no key is hot where all are alike", test_uniform},
        {"few keys are counted exactly", test_few},
        {"keys of every length", test_lengths},
    };
    return tap_main(tests, sizeof tests / sizeof *tests);
}
