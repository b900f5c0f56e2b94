/* glob.h -- patterns as KEYS, SCAN and CONFIG GET take them. */
#ifndef SPONSON_GLOB_H
#define SPONSON_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "slice.h"

static inline char glob_fold(char c, bool nocase) { return nocase && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* Whether c is in the set that begins behind '[' at p; *after goes behind its ']'. An open set ends with the
 * pattern, as in Redis. */
static inline bool glob_set(const char *p, const char *end, char c, bool nocase, const char **after) {
    bool negated = p < end && *p == '^', found = false;
    p += negated;
    while (p < end && *p != ']') {
        char low = *p, high = low;
        if (low == '\\' && end - p >= 2) {
            low = high = *++p;
        } else if (end - p >= 3 && p[1] == '-') {
            high = p[2];
            p += 2;
        }
        low = glob_fold(low, nocase);
        high = glob_fold(high, nocase);
        char least = low < high ? low : high, most = low < high ? high : low;
        found |= c >= least && c <= most;
        p++;
    }
    *after = p < end ? p + 1 : end;
    return found != negated;
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
        if (t == tend) {
            if (p == pend) return true;
            return false;
        }
        bool matched = false;
        const char *next = p;
        if (p < pend) {
            char c = glob_fold(*t, nocase);
            if (*p == '?') {
                matched = true;
                next = p + 1;
            } else if (*p == '[') {
                matched = glob_set(p + 1, pend, c, nocase, &next);
                *steps += (size_t)(next - p);
            } else {
                if (*p == '\\' && pend - p >= 2) p++;
                matched = glob_fold(*p, nocase) == c;
                next = p + 1;
            }
        }
        if (matched) {
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
