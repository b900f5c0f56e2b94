/* resp.h -- RESP bytes to requests, and values to RESP bytes.
 *
 * Follows https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2 and RESP3), and Redis 7.2 where the
 * specification leaves a choice: what counts as a broken request, and how the error line reads. */
#ifndef SPONSON_RESP_H
#define SPONSON_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "slice.h"

/* ---- requests ---- */

enum resp_status {
    RESP_OK,   /* a request is complete; one of no arguments (an empty line, "*0") is to be skipped */
    RESP_MORE, /* so far it is right, but its end is missing */
    RESP_BAD,  /* the protocol is broken: `error` says how, and nothing after it can be understood */
    RESP_ARGS  /* it has more arguments than argv has room for: `argc` says how many */
};

struct resp_request {
    bool unauthenticated; /* given: UNAUTHENTICATED_ARGS and _BULK are the limits, as in Redis */
    int argc;
    size_t longest;    /* bytes of the longest argument */
    size_t used;       /* bytes of the request, its end included */
    const char *error; /* static text behind "Protocol error: " */
    char got;          /* with error "expected '$', got": the byte that was there */
};

/* Parses the request that begins at in[0]. Its arguments go to argv as slices of `in`; one longer than max_bulk has
 * no bytes (p is NULL) but its length, and counts as read. With `stripped` such an argument's bytes are not in `in`.
 * An inline request's quoted arguments are unescaped in place, so it can be parsed only once. */
enum resp_status resp_parse(char *in, size_t n, size_t max_bulk, bool stripped, struct slice *argv, int argv_max,
                            struct resp_request *r);

/* Looks for the end of a request that arrives in pieces, going on where the last call stopped: so a byte at a time
 * costs no more than all at once. Begin with RESP_SCAN_START. */
struct resp_scan {
    size_t pos;        /* looked at so far; may lie beyond the bytes that are there: so many are needed at least */
    int64_t args_left; /* -1: the header is not read yet */
    size_t skip;       /* bytes of an oversized argument that are still to come and be dropped */
};

#define RESP_SCAN_START ((struct resp_scan){0, -1, 0})

/* `in` holds the request from its first byte, *n bytes of it. An argument longer than max_bulk is taken out of `in`
 * as it arrives, and *n becomes less. RESP_OK: resp_parse(stripped) will find all of it. RESP_MORE, RESP_BAD as
 * there; the error stands in *r. */
enum resp_status resp_scan(struct resp_scan *s, char *in, size_t *n, size_t max_bulk, struct resp_request *r);

/* Reads one argument of an inline request, or a word of a line of redis.conf, at *p, and moves *p behind it; what is
 * quoted is unescaped in place. False: its quotes are not closed, or glued to what follows. */
bool resp_word(char **p, char *end, struct slice *word);

/* A decimal integer with nothing before, between or after: as Redis reads lengths and values. */
bool resp_integer_of(struct slice text, int64_t *value);

/* ---- replies; `resp` is the protocol version of the client, 2 or 3 ---- */

void resp_simple(struct buf *out, struct slice text);
/* "-" text; the text begins with its code, such as ERR. Line ends in it become spaces. */
void resp_error(struct buf *out, struct slice text);
void resp_integer(struct buf *out, int64_t value);
void resp_bulk(struct buf *out, struct slice bytes);
void resp_null(struct buf *out, int resp);
void resp_array(struct buf *out, size_t items);
void resp_null_array(struct buf *out, int resp);
/* Text for people, in which there is no NUL: a verbatim string in RESP3, a bulk string in RESP2. */
void resp_text(struct buf *out, struct slice text, int resp);

/* Several values by their shape: '*' an array, '%' a map (an array of twice as many in RESP2), '~' a set (an array
 * there), each with an int, how many follow; '$' a bulk string, '+' a simple one (const char *), 's' a bulk string
 * (struct slice), ':' a number, '#' one as a bulk string (int64_t). */
void resp_put(struct buf *out, int resp, const char *shape, ...);

/* Bytes that a bulk string of n bytes takes at most. */
static inline size_t resp_bulk_bytes(size_t n) { return n + 32; }

#endif
