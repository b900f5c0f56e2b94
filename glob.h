/* glob.h -- patterns as KEYS, SCAN and CONFIG GET take them. */
#ifndef SPONSON_GLOB_H
#define SPONSON_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "slice.h"

static inline char glob_fold(char c, bool nocase) { return nocase && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* Where a pattern goes on behind what stands at p, before its end and no star; NULL: that does not match c. An open set
 * ends with the pattern, as in Redis. */
static inline const char *glob_one(const char *p, const char *end, char c, bool nocase, size_t *steps) {
    c = glob_fold(c, nocase);
    if (*p == '?') return p + 1;
    if (*p != '[') {
        if (*p == '\\' && end - p >= 2) p++;
        return glob_fold(*p, nocase) == c ? p + 1 : NULL;
    }
    bool negated = ++p < end && *p == '^', found = false;
    for (p += negated; p < end && *p != ']'; p++) {
        char low = *p, high = low;
        if (low == '\\' && end - p >= 2) {
            low = high = *++p;
        } else if (end - p >= 3 && p[1] == '-') {
            high = p[2];
            p += 2;
        }
        low = glob_fold(low, nocase);
        high = glob_fold(high, nocase);
        found |= (low <= c && c <= high) || (high <= c && c <= low);
        ++*steps;
    }
    if (found == negated) return NULL;
    return p < end ? p + 1 : end;
}

/* Whether `text` matches `pattern`: * ? [abc] [^a-z] and \ before a character that is to be itself. Time is bounded
 * by the product of both lengths: of several stars only the last one is ever tried again. What it took is added to
 * *steps, about a nanosecond each, so that who matches many texts can stop in time. */
static inline bool glob_match_steps(struct slice pattern, struct slice text, bool nocase, size_t *steps) {
    const char *p = pattern.p, *pend = p + pattern.n, *t = text.p, *tend = t + text.n;
    const char *star = NULL, *star_text = NULL;
    for (;;) {
        ++*steps;
        if (p < pend && *p == '*') {
            star = ++p;
            star_text = t;
            continue;
        }
        if (t == tend) return p == pend;
        const char *next = p < pend ? glob_one(p, pend, *t, nocase, steps) : NULL;
        if (next) {
            p = next;
            t++;
        } else if (star) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
}

static inline bool glob_match(struct slice pattern, struct slice text, bool nocase) {
    size_t steps = 0;
    return glob_match_steps(pattern, text, nocase, &steps);
}

#endif
