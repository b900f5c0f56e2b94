/* fuzz_resp.c -- the parser alone: a stream of requests, cut in every way, must be understood in the same way.
 *
 *   input   | how long an argument may be | where to cut 7, before authentication 1 | the stream ...
 *
 * The stream is parsed request by request while all of it is there; then again as a connection gets it, in two pieces,
 * in pieces of random sizes and byte by byte, kept and scanned until a request is whole. What came out, requests and
 * errors, is written down each time, and must be the same.
 *
 * Whatever is parsed lies in a heap block of exactly its size, and so do the arguments: AddressSanitizer sees one byte
 * too many. */
#include "fuzz.h"

#include "../../config.h"
#include "../../resp.h"

static bool early; /* before authentication, with the limits that hold then */

enum { ARGV_FIRST = 3, EVERY_CUT = 48, SOME_CUTS = 6 };

/* What came out of a stream. */
struct transcript {
    char *p;
    size_t n, cap;
};

static void put(struct transcript *t, const void *p, size_t n) {
    if (t->n + n > t->cap) {
        t->cap = 2 * (t->n + n);
        t->p = realloc(t->p, t->cap);
        MUST(t->p);
    }
    if (n) memcpy(t->p + t->n, p, n);
    t->n += n;
}

/* A heap block of exactly n bytes with a copy of p. */
static char *exact(const char *p, size_t n) {
    char *copy = malloc(n);
    MUST(copy);
    if (n) memcpy(copy, p, n);
    return copy;
}

static void put_request(struct transcript *t, const char *in, size_t n, size_t max_bulk, const struct slice *argv,
                        const struct resp_request *r) {
    size_t longest = 0;
    MUST(r->used > 0 && r->used <= n && r->argc >= 0 && r->argc <= ARGS_MAX);
    put(t, &r->argc, sizeof r->argc);
    for (int i = 0; i < r->argc; i++) {
        bool kept = argv[i].p != NULL;
        longest = argv[i].n > longest ? argv[i].n : longest;
        MUST(argv[i].n <= BULK_MAX && (kept || argv[i].n > max_bulk));
        MUST(kept || in[0] == '*');
        MUST(!kept || (argv[i].p >= in && argv[i].p + argv[i].n <= in + r->used));
        MUST(in[0] != '*' || !kept || argv[i].n <= max_bulk);
        put(t, &argv[i].n, sizeof argv[i].n);
        put(t, kept ? argv[i].p : "", kept ? argv[i].n : 0);
    }
    MUST(r->longest == longest);
    MUST(!early || in[0] != '*' || (r->argc <= UNAUTHENTICATED_ARGS && longest <= UNAUTHENTICATED_BULK));
}

static void put_error(struct transcript *t, const struct resp_request *r) {
    MUST(r->error && r->error[0]);
    put(t, "-", 1);
    put(t, r->error, strlen(r->error));
    put(t, &r->got, 1);
}

/* Parses what begins at in[0] and notes what it is; *used is its length. RESP_ARGS: it has very many arguments, and
 * `many` was not given. */
static enum resp_status parse(struct transcript *t, char *in, size_t n, size_t max_bulk, bool stripped, bool many,
                              size_t *used) {
    struct resp_request r = {.unauthenticated = early};
    struct slice *argv = malloc(ARGV_FIRST * sizeof *argv);
    enum resp_status status = resp_parse(in, n, max_bulk, stripped, argv, ARGV_FIRST, &r);
    if (status == RESP_ARGS && many) {
        int argc = r.argc;
        MUST(argc > ARGV_FIRST && argc <= ARGS_MAX);
        free(argv);
        argv = malloc((size_t)argc * sizeof *argv);
        r = (struct resp_request){.unauthenticated = early};
        status = resp_parse(in, n, max_bulk, stripped, argv, argc, &r);
        MUST(status != RESP_ARGS);
    }
    if (status == RESP_OK) put_request(t, in, n, max_bulk, argv, &r);
    if (status == RESP_BAD) put_error(t, &r);
    *used = r.used;
    free(argv);
    return status;
}

static void all_at_once(struct transcript *t, struct bytes stream, size_t max_bulk) {
    enum resp_status status = RESP_OK;
    while (stream.n && status == RESP_OK) {
        size_t used;
        char *in = exact(stream.p, stream.n);
        status = parse(t, in, stream.n, max_bulk, false, true, &used);
        free(in);
        if (status == RESP_OK) bytes_take(&stream, used);
    }
}

/* What a connection keeps of a stream. */
struct kept {
    char *in;
    size_t n;
    bool scanning, bad;
    struct resp_scan scan;
};

static void replace(struct kept *k, const char *p, size_t n) {
    char *in = exact(p, n);
    free(k->in);
    k->in = in;
    k->n = n;
}

/* A piece arrives: requests that are whole now are parsed. */
static void arrive(struct transcript *t, struct kept *k, struct bytes piece, size_t max_bulk) {
    char *in = malloc(k->n + piece.n);
    MUST(in);
    if (k->n) memcpy(in, k->in, k->n);
    if (piece.n) memcpy(in + k->n, piece.p, piece.n);
    free(k->in);
    k->in = in;
    k->n += piece.n;
    while (k->n && !k->bad) {
        struct resp_request r = {.unauthenticated = early};
        size_t used;
        if (k->scanning) {
            enum resp_status status = resp_scan(&k->scan, k->in, &k->n, max_bulk, &r);
            replace(k, k->in, k->n);
            k->bad = status == RESP_BAD;
            if (k->bad) put_error(t, &r);
            if (status != RESP_OK) return;
        }
        enum resp_status status = parse(t, k->in, k->n, max_bulk, k->scanning, k->scanning, &used);
        MUST(!k->scanning || status == RESP_OK || status == RESP_BAD);
        k->bad = status == RESP_BAD;
        if (status == RESP_OK) {
            replace(k, k->in + used, k->n - used);
            k->scanning = false;
        } else if (status != RESP_BAD) {
            k->scanning = true;
            k->scan = RESP_SCAN_START;
        }
    }
}

/* Cuts the stream after `first` bytes, and then each time after 1 to `most`, chosen by `random`. */
static void in_pieces(const struct transcript *want, struct bytes stream, size_t max_bulk, size_t first, size_t most,
                      uint32_t random) {
    struct transcript t = {0};
    struct kept k = {0};
    arrive(&t, &k, bytes_take(&stream, first), max_bulk);
    while (stream.n) {
        random = random * 1664525 + 1013904223;
        arrive(&t, &k, bytes_take(&stream, 1 + (random >> 16) % most), max_bulk);
    }
    MUST(t.n == want->n && (t.n == 0 || memcmp(t.p, want->p, t.n) == 0));
    free(k.in);
    free(t.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes stream = {(const char *)data, size};
    uint8_t limit = bytes_one(&stream), cut = bytes_one(&stream);
    early = cut & 0x80;
    size_t max_bulk = limit < 128 ? BULK_MAX : limit - 128u;
    struct transcript want = {0};
    all_at_once(&want, stream, max_bulk);
    in_pieces(&want, stream, max_bulk, 0, 1, 0);
    in_pieces(&want, stream, max_bulk, 0, 1 + cut % 32u, cut);
    for (size_t i = 0; i < (stream.n < EVERY_CUT ? stream.n : SOME_CUTS); i++)
        in_pieces(&want, stream, max_bulk, stream.n < EVERY_CUT ? i : (cut + i * 41) % stream.n, stream.n, 0);
    free(want.p);
    return 0;
}
