/* tap.h -- the unit tests' harness: a table of {name, function}, results as TAP lines.
 *
 *   static void test_something(void) { CHECK(1 + 1 == 2); }
 *   int main(void) {
 *       static const struct tap_test tests[] = {{"one and one", test_something}};
 *       return tap_main(tests, sizeof tests / sizeof *tests);
 *   }
 *
 * A test fails when any of its checks does; it goes on after a failed CHECK and returns at a failed REQUIRE. */
#ifndef SPONSON_TAP_H
#define SPONSON_TAP_H

#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct tap_test {
    const char *name;
    void (*run)(void);
};

static int tap_failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                                                   \
            tap_failures++;                                                                                            \
        }                                                                                                              \
    } while (0)

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);                                                   \
            tap_failures++;                                                                                            \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

/* Compares two NUL-terminated texts and shows both when they differ. */
#define CHECK_TEXT(got, want)                                                                                          \
    do {                                                                                                               \
        const char *got_ = (got), *want_ = (want);                                                                     \
        if (strcmp(got_, want_) != 0) {                                                                                \
            printf("# %s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #got, got_, want_);                      \
            tap_failures++;                                                                                            \
        }                                                                                                              \
    } while (0)

static inline int tap_main(const struct tap_test *tests, size_t count) {
    int bad = 0;
    printf("1..%zu\n", count);
    for (size_t i = 0; i < count; i++) {
        tap_failures = 0;
        tests[i].run();
        printf("%sok %zu - %s\n", tap_failures ? "not " : "", i + 1, tests[i].name);
        fflush(stdout);
        bad += tap_failures != 0;
    }
    return bad != 0;
}

#endif
