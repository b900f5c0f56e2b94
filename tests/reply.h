/* reply.h -- whether bytes are a reply: for tests that see them without a client. */
#ifndef SPONSON_REPLY_H
#define SPONSON_REPLY_H

#include "../resp.h"

/* Where the RESP value at p ends, NULL when it is none. */
static inline const char *value_end(const char *p, const char *end) {
    if (p == NULL || p == end) return NULL;
    char type = *p++;
    const char *cr = memchr(p, '\r', (size_t)(end - p));
    if (cr == NULL || cr + 1 == end || cr[1] != '\n' || memchr(p, '\n', (size_t)(cr - p))) return NULL;
    if (type == '+' || type == '-') return cr + 2;
    int64_t n;
    if (type == '_') return cr == p ? cr + 2 : NULL;
    if (!resp_integer_of((struct slice){p, (size_t)(cr - p)}, &n)) return NULL;
    p = cr + 2;
    if (type == ':' || ((type == '$' || type == '*') && n == -1)) return p;
    if (n < 0) return NULL;
    if (type == '$' || type == '=') return end - p >= n + 2 && p[n] == '\r' && p[n + 1] == '\n' ? p + n + 2 : NULL;
    if (type != '*' && type != '%' && type != '~') return NULL;
    for (int64_t i = 0; i < (type == '%' ? 2 * n : n); i++)
        p = value_end(p, end);
    return p;
}

#endif
