/* resp.c -- RESP requests to slices, values to replies. No socket, no allocation, no state but what is passed in.
 *
 * A request is parsed in one pass where it was read; it then costs no copy. Only when its end is missing it is kept
 * by the connection, and from then on scanned (which stores nothing but a position) until it is whole.
 *
 * As Redis does: a header line ends at '\r' and the byte after it is not looked at, nor are the two bytes after a
 * bulk string; a count of arguments of 0 or less is a request without arguments. */
#include "resp.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"

/* What a header line announces, and what is said of a wrong one. */
enum { COUNT, BULK };

static const struct header {
    char type;
    int64_t least, most, most_early; /* early: before the client has authenticated */
    const char *wrong, *early, *long_line;
} headers[] = {
    [COUNT] = {'*', INT64_MIN, ARGS_MAX, UNAUTHENTICATED_ARGS, "invalid multibulk length",
               "unauthenticated multibulk length", "too big mbulk count string"},
    [BULK] = {'$', 0, BULK_MAX, UNAUTHENTICATED_BULK, "invalid bulk length", "unauthenticated bulk length",
              "too big bulk count string"},
};

/* ---- integers ---- */

bool resp_integer_of(struct slice text, int64_t *value) {
    const char *p = text.p, *end = text.p + text.n;
    bool negative = p < end && *p == '-';
    p += negative;
    if (p == end || (*p == '0' && (negative || end - p > 1)) || end - p > 19) return false;
    uint64_t v = 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') return false;
        v = v * 10 + (uint64_t)(*p - '0'); /* nineteen digits do not overflow 64 bits */
    }
    if (v > (uint64_t)INT64_MAX + negative) return false;
    *value = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static enum resp_status bad(struct resp_request *r, const char *error) {
    r->error = error;
    return RESP_BAD;
}

/* Reads "<type>number\r\n" at in[at]: the number, 0 for one below it, goes to *value, the place behind the line to
 * *after. As Redis, looks for the end of the line first, so an unfinished line is not wrong yet. */
static enum resp_status read_header(const struct header *h, const char *in, size_t n, size_t at, size_t *value,
                                    size_t *after, struct resp_request *r) {
    int64_t number;
    size_t room = n - at;
    const char *p = in + at + 1, *cr = memchr(in + at, '\r', room <= LINE_MAX_BYTES ? room : LINE_MAX_BYTES + 1);
    if (cr == NULL) return room > LINE_MAX_BYTES ? bad(r, h->long_line) : RESP_MORE;
    if (in[at] != h->type) {
        r->got = in[at];
        return bad(r, "expected '$', got");
    }
    if (cr + 1 == in + n) return RESP_MORE;
    if (!resp_integer_of((struct slice){p, (size_t)(cr - p)}, &number) || number < h->least || number > h->most)
        return bad(r, h->wrong);
    if (r->unauthenticated && number > h->most_early) return bad(r, h->early);
    *value = number > 0 ? (size_t)number : 0;
    *after = (size_t)(cr + 2 - in);
    return RESP_OK;
}

/* ---- inline requests ---- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Unescapes one character behind a backslash at p; writes it to *to and returns how many bytes it took. */
static size_t unescape(const char *p, const char *end, char *to) {
    char hex[3] = {0};
    if (end - p >= 3 && p[0] == 'x') memcpy(hex, p + 1, 2);
    if (strspn(hex, "0123456789abcdefABCDEF") == 2) return *to = (char)strtol(hex, NULL, 16), 3;
    static const char from[] = "nrtba", into[] = "\n\r\t\b\a";
    const char *known = *p ? strchr(from, *p) : NULL;
    *to = known ? into[known - from] : *p;
    return 1;
}

bool resp_word(char **p, char *end, struct slice *word) {
    char *from = *p, *to = *p, quote = 0;
    for (; from < end && (quote || !is_space(*from)); from++) {
        if (quote == 0 && (*from == '"' || *from == '\'')) {
            quote = *from;
        } else if (quote && *from == quote) {
            if (++from < end && !is_space(*from)) return false;
            quote = 0;
            break;
        } else if (quote == '"' && *from == '\\' && from + 1 < end) {
            from += unescape(from + 1, end, to++);
        } else {
            from += quote == '\'' && *from == '\\' && from + 1 < end && from[1] == '\'';
            *to++ = *from;
        }
    }
    *word = (struct slice){*p, (size_t)(to - *p)};
    *p = from;
    return quote == 0;
}

/* Where the line at in[0] ends: r->used, its end included. */
static enum resp_status inline_line(const char *in, size_t n, struct resp_request *r) {
    const char *lf = memchr(in, '\n', n < LINE_MAX_BYTES ? n : LINE_MAX_BYTES);
    if (lf == NULL) return n >= LINE_MAX_BYTES ? bad(r, "too big inline request") : RESP_MORE;
    r->used = (size_t)(lf - in) + 1;
    return RESP_OK;
}

static enum resp_status parse_inline(char *in, size_t n, struct slice *argv, int argv_max, struct resp_request *r) {
    enum resp_status status = inline_line(in, n, r);
    if (status != RESP_OK) return status;
    r->longest = 0;
    char *p = in, *end = in + strnlen(in, r->used); /* as in Redis, a NUL ends the line; its own end is white space */
    int words = 0; /* counted first: what is unescaped cannot be parsed a second time */
    for (const char *c = in; c < end; c++)
        words += !is_space(*c) && (c == in || is_space(c[-1]));
    if (words > argv_max) {
        r->argc = words;
        return RESP_ARGS;
    }
    for (;;) {
        while (p < end && is_space(*p))
            p++;
        if (p == end) return RESP_OK;
        struct slice *argument = &argv[r->argc++];
        if (!resp_word(&p, end, argument)) return bad(r, "unbalanced quotes in request");
        r->longest = argument->n > r->longest ? argument->n : r->longest;
    }
}

/* ---- requests ---- */

/* The header of a request or an argument that is a type byte, one or two digits and a line end, at p, of which four
 * bytes are there: returns its length, 0 when it is something else. Four bytes are looked at as one word. */
static inline size_t short_header(const char *p, char type, size_t *value) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    word = (uint32_t)le32toh(word) ^ ((uint32_t)type | (uint32_t)'0' << 8);
    uint32_t a = word >> 8 & 0xFF, b = (word >> 16 & 0xFF) ^ '0';
    if ((word & 0xFF00FF) == (uint32_t)'\r' << 16 && a <= 9) {
        *value = a;
        return 4;
    }
    *value = a * 10 + b;
    return (word & 0xFF0000FF) == (uint32_t)'\r' << 24 && a - 1 <= 8 && b <= 9 ? 5 : 0;
}

/* The same for up to eight digits, when all of the line is there before `end`. */
static size_t plain_header(const char *p, const char *end, char type, size_t *value) {
    const char *q = p + 1, *last = end - p > 10 ? p + 9 : end - 1;
    unsigned digit;
    if (end - p < 4 || p[0] != type || *q == '0') return 0;
    for (*value = 0; q < last && (digit = (unsigned)(*q - '0')) <= 9; q++)
        *value = *value * 10 + digit;
    return q > p + 1 && q < end - 1 && *q == '\r' ? (size_t)(q + 2 - p) : 0;
}

/* Parses a request that is all there and has plain headers only, as nearly all are. False: it may still be right. */
static bool parse_plain(const char *in, size_t n, size_t max_bulk, struct slice *argv, int argv_max,
                        struct resp_request *r) {
    const char *p = in, *end = in + n;
    size_t count, size, longest = 0, line = n < 4 ? 0 : short_header(p, '*', &count);
    if (line == 0 || count > (size_t)argv_max) return false;
    p += line;
    for (struct slice *last = argv + count; argv < last; argv++) {
        if (end - p < 6 ||
            ((line = short_header(p, '$', &size)) == 0 && (line = plain_header(p, end, '$', &size)) == 0))
            return false;
        p += line;
        if ((size_t)(end - p) < size + 2) return false;
        *argv = (struct slice){p, size};
        longest = size > longest ? size : longest;
        p += size + 2;
    }
    r->argc = (int)count;
    r->longest = longest;
    r->used = (size_t)(p - in);
    return longest <= max_bulk;
}

enum resp_status resp_parse(char *in, size_t n, size_t max_bulk, bool stripped, struct slice *argv, int argv_max,
                            struct resp_request *r) {
    if (!r->unauthenticated && parse_plain(in, n, max_bulk, argv, argv_max, r)) return RESP_OK;
    r->argc = 0;
    if (n == 0) return RESP_MORE;
    if (in[0] != '*') return parse_inline(in, n, argv, argv_max, r);
    size_t count, at, size, longest = 0;
    enum resp_status status = read_header(&headers[COUNT], in, n, 0, &count, &at, r);
    if (status != RESP_OK) return status;
    r->argc = (int)count;
    if (r->argc > argv_max) return RESP_ARGS;
    for (int i = 0; i < r->argc; i++) {
        status = read_header(&headers[BULK], in, n, at, &size, &at, r);
        if (status != RESP_OK) return status;
        longest = size > longest ? size : longest;
        argv[i] = (struct slice){size > max_bulk ? NULL : in + at, size};
        if (size > max_bulk && stripped) continue;
        if (n - at < size + 2) return RESP_MORE;
        at += size + 2;
    }
    r->longest = longest;
    r->used = at;
    return RESP_OK;
}

enum resp_status resp_scan(struct resp_scan *s, char *in, size_t *n, size_t max_bulk, struct resp_request *r) {
    if (*n == 0) return RESP_MORE;
    if (in[0] != '*') return inline_line(in, *n, r);
    size_t number;
    if (s->args_left < 0) {
        enum resp_status status = read_header(&headers[COUNT], in, *n, 0, &number, &s->pos, r);
        if (status != RESP_OK) return status;
        s->args_left = (int64_t)number;
    }
    for (;;) {
        if (s->skip) { /* what has arrived of an oversized argument is dropped */
            size_t there = *n - s->pos, dropped = there < s->skip ? there : s->skip;
            memmove(in + s->pos, in + s->pos + dropped, there - dropped);
            *n -= dropped;
            s->skip -= dropped;
        }
        if (s->skip || s->pos > *n) return RESP_MORE;
        if (s->args_left == 0) return RESP_OK;
        enum resp_status status = read_header(&headers[BULK], in, *n, s->pos, &number, &s->pos, r);
        if (status != RESP_OK) return status; /* the place stays: asked again, the answer is the same */
        s->args_left--;
        if (number > max_bulk)
            s->skip = number + 2;
        else
            s->pos += number + 2;
    }
}

/* ---- replies ---- */

/* Writes the digits of v so that they end before `end`; returns where they begin. */
static char *digits(char *end, uint64_t v) {
    do
        *--end = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    return end;
}

static void number_line(struct buf *out, char type, int64_t value) {
    char line[24], *end = line + sizeof line - 2, *p = digits(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    memcpy(end, "\r\n", 2);
    if (value < 0) *--p = '-';
    *--p = type;
    buf_put(out, p, (size_t)(end + 2 - p));
}

void resp_simple(struct buf *out, struct slice text) {
    buf_put(out, "+", 1);
    buf_put_slice(out, text);
    buf_put(out, "\r\n", 2);
}

void resp_error(struct buf *out, struct slice text) {
    buf_put(out, "-", 1);
    size_t start = out->len;
    buf_put_slice(out, text);
    for (char *p = out->p + start; p < out->p + out->len; p++)
        if (*p == '\r' || *p == '\n') *p = ' ';
    buf_put(out, "\r\n", 2);
}

void resp_integer(struct buf *out, int64_t value) { number_line(out, ':', value); }

void resp_bulk(struct buf *out, struct slice bytes) {
    if (buf_left(out) < resp_bulk_bytes(bytes.n)) {
        out->full = true;
        return;
    }
    char *p = out->p + out->len;
    *p++ = '$';
    if (bytes.n < 10) {
        *p++ = (char)('0' + bytes.n);
    } else if (bytes.n < 100) {
        *p++ = (char)('0' + bytes.n / 10);
        *p++ = (char)('0' + bytes.n % 10);
    } else {
        char text[20], *end = text + sizeof text, *first = digits(end, bytes.n);
        memcpy(p, first, (size_t)(end - first));
        p += end - first;
    }
    memcpy(p, "\r\n", 2);
    if (bytes.n) memcpy(p + 2, bytes.p, bytes.n);
    memcpy(p + 2 + bytes.n, "\r\n", 2);
    out->len = (size_t)(p - out->p) + bytes.n + 4;
}

void resp_null(struct buf *out, int resp) { buf_put_slice(out, resp == 2 ? SLICE("$-1\r\n") : SLICE("_\r\n")); }

void resp_null_array(struct buf *out, int resp) { buf_put_slice(out, resp == 2 ? SLICE("*-1\r\n") : SLICE("_\r\n")); }

void resp_array(struct buf *out, size_t items) { number_line(out, '*', (int64_t)items); }

void resp_put(struct buf *out, int resp, const char *shape, ...) {
    char text[24];
    va_list args;
    va_start(args, shape);
    for (; *shape; shape++) {
        if (*shape == '#') {
            snprintf(text, sizeof text, "%lld", (long long)va_arg(args, int64_t));
            resp_bulk(out, slice_of(text));
        } else if (*shape == '%' && resp == 2) {
            resp_array(out, 2 * (size_t)va_arg(args, int));
        } else if (strchr("*%~", *shape)) {
            number_line(out, resp == 2 ? '*' : *shape, va_arg(args, int));
        } else if (*shape == '$') {
            resp_bulk(out, slice_of(va_arg(args, const char *)));
        } else if (*shape == 's') {
            resp_bulk(out, va_arg(args, struct slice));
        } else if (*shape == '+') {
            resp_simple(out, slice_of(va_arg(args, const char *)));
        } else {
            resp_integer(out, va_arg(args, int64_t));
        }
    }
    va_end(args);
}

void resp_text(struct buf *out, struct slice text, int resp) {
    if (resp == 2)
        resp_bulk(out, text);
    else
        buf_printf(out, "=%zu\r\ntxt:%.*s\r\n", text.n + 4, (int)text.n, text.p);
}
