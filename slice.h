/* slice.h -- borrowed bytes: a pointer and a length, never a terminator.
 *
 * A slice owns nothing. It is valid as long as the bytes it points at are. */
#ifndef SPONSON_SLICE_H
#define SPONSON_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *p;
    size_t n;
};

/* A slice of a string literal; nobody counts its bytes. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

static inline struct slice slice_of(const char *text) { return (struct slice){text, strlen(text)}; }

static inline bool slice_equal(struct slice a, struct slice b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Whether it is that word when ASCII letters are compared without their case: for names of commands and options, one of
 * which at least is ours, so it has no NUL. The locale is always "C". */
static inline bool is_word(struct slice s, struct slice word) {
    return s.n == word.n && (s.n == 0 || strncasecmp(s.p, word.p, s.n) == 0);
}

#endif
