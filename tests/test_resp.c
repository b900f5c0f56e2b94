/* test_resp.c -- requests whole, cut, broken and oversized; replies byte for byte.
 *
 * What is parsed always lies in a heap block of exactly its size, so that AddressSanitizer sees one byte too
 * many. */
#include "../resp.h"

#include <stdio.h>
#include <stdlib.h>

#include "../config.h"
#include "random.h"
#include "tap.h"

/* A heap block of exactly n bytes with a copy of p. */
static char *exact(const char *p, size_t n) {
    char *copy = malloc(n);
    if (n) memcpy(copy, p, n);
    return copy;
}

enum { ARGV_MAX = 64 };

struct parsed {
    char *block; /* what argv points into */
    struct slice argv[ARGV_MAX];
    enum resp_status status;
    struct resp_request r;
};

static struct parsed parse(struct slice in, size_t max_bulk, bool stripped) {
    struct parsed p = {.block = exact(in.p, in.n)};
    p.status = resp_parse(p.block, in.n, max_bulk, stripped, p.argv, ARGV_MAX, &p.r);
    return p;
}

/* A fresh scan of all of `in` at once. */
static enum resp_status scan(struct slice in, size_t max_bulk, struct resp_request *r) {
    char *block = exact(in.p, in.n);
    struct resp_scan s = RESP_SCAN_START;
    size_t n = in.n;
    enum resp_status status = resp_scan(&s, block, &n, max_bulk, r);
    free(block);
    return status;
}

/* Appends argv as a client sends it; what is longer than max_bulk comes without its bytes when `stripped`. */
static void put_request(struct buf *out, const struct slice *argv, int argc, size_t max_bulk, bool stripped) {
    buf_printf(out, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++) {
        buf_printf(out, "$%zu\r\n", argv[i].n);
        if (stripped && argv[i].n > max_bulk) continue;
        buf_put_slice(out, argv[i]);
        buf_put(out, "\r\n", 2);
    }
}

/* ---- good requests ---- */

struct good {
    struct slice in;
    int argc;
    struct slice argv[5];
};

/* Every proper prefix asks for more; the whole is understood, whatever follows it. */
static void check_good(const struct good *g) {
    struct resp_request r = {0};
    for (size_t n = 0; n < g->in.n; n++) {
        struct parsed p = parse((struct slice){g->in.p, n}, BULK_MAX, false);
        CHECK(p.status == RESP_MORE);
        free(p.block);
        CHECK(scan((struct slice){g->in.p, n}, BULK_MAX, &r) == RESP_MORE);
    }
    for (size_t more = 0; more < 3; more++) {
        char text[4096];
        REQUIRE(g->in.n + more < sizeof text);
        memcpy(text, g->in.p, g->in.n);
        memset(text + g->in.n, more == 1 ? '\n' : '*', more);
        struct slice in = {text, g->in.n + more};
        struct parsed p = parse(in, BULK_MAX, false);
        CHECK(p.status == RESP_OK && p.r.used == g->in.n && p.r.argc == g->argc);
        size_t longest = 0;
        for (int i = 0; p.status == RESP_OK && i < g->argc; i++) {
            CHECK(slice_equal(p.argv[i], g->argv[i]) && p.argv[i].p != NULL);
            longest = g->argv[i].n > longest ? g->argv[i].n : longest;
        }
        CHECK(p.r.longest == longest);
        free(p.block);
        CHECK(scan(in, BULK_MAX, &r) == RESP_OK);
    }
}

static void test_good_table(void) {
    const struct good table[] = {
        {SLICE("*1\r\n$4\r\nPING\r\n"), 1, {SLICE("PING")}},
        {SLICE("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), 2, {SLICE("GET"), SLICE("k")}},
        {SLICE("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n"), 3, {SLICE("SET"), SLICE(""), SLICE("")}},
        {SLICE("*1\r\n$0\r\n\r\n"), 1, {SLICE("")}},
        {SLICE("*2\r\n$2\r\n\r\n\r\n$5\r\n\0$1\r\n\r\n"), 2, {SLICE("\r\n"), SLICE("\0$1\r\n")}},
        {SLICE("*1\r\n$10\r\n\xFF\xFE\x00*1\r\n$4\r\r\n"), 1, {SLICE("\xFF\xFE\x00*1\r\n$4\r")}},
        {SLICE("*1\r\n$12\r\nabcdefghijkl\r\n"), 1, {SLICE("abcdefghijkl")}},
        /* as in Redis, the byte behind '\r' and the two behind a bulk string are not looked at */
        {SLICE("*1\rx$1\ryazz"), 1, {SLICE("a")}},
        /* no arguments: to be skipped */
        {SLICE("*0\r\n"), 0, {{NULL, 0}}},
        {SLICE("*-1\r\n"), 0, {{NULL, 0}}},
        {SLICE("*-9223372036854775808\r\n"), 0, {{NULL, 0}}},
        {SLICE("\r\n"), 0, {{NULL, 0}}},
        {SLICE("\n"), 0, {{NULL, 0}}},
        {SLICE("   \t \r\n"), 0, {{NULL, 0}}},
        /* inline */
        {SLICE("PING\r\n"), 1, {SLICE("PING")}},
        {SLICE("PING\n"), 1, {SLICE("PING")}},
        {SLICE("  get \t key  \r\n"), 2, {SLICE("get"), SLICE("key")}},
        {SLICE("set k \"a b\"\r\n"), 3, {SLICE("set"), SLICE("k"), SLICE("a b")}},
        {SLICE("set k 'a b'\r\n"), 3, {SLICE("set"), SLICE("k"), SLICE("a b")}},
        {SLICE("a \"\" ''\r\n"), 3, {SLICE("a"), SLICE(""), SLICE("")}},
        {SLICE("\"\\n\\r\\t\\b\\a\\\"\\\\\\q\" x\r\n"), 2, {SLICE("\n\r\t\b\a\"\\q"), SLICE("x")}},
        {SLICE("\"\\x41\\xfF\\x00\\xg0\\x4\"\r\n"), 1, {SLICE("A\xFF\0xg0x4")}},
        {SLICE("'it\\'s' '\\n\\x41' '\"'\r\n"), 3, {SLICE("it's"), SLICE("\\n\\x41"), SLICE("\"")}},
        {SLICE("\"'\" a'b c'\r\n"), 2, {SLICE("'"), SLICE("ab c")}},
        {SLICE("foo\"bar\" \\n\n"), 2, {SLICE("foobar"), SLICE("\\n")}},
        {SLICE("$3\r\n"), 1, {SLICE("$3")}},
        {SLICE("a\rb\r\n"), 2, {SLICE("a"), SLICE("b")}},
        {SLICE("\x80\xFF z\r\n"), 2, {SLICE("\x80\xFF"), SLICE("z")}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int before = tap_failures;
        check_good(&table[i]);
        if (tap_failures != before) printf("# good request %zu: %.*s\n", i, (int)table[i].in.n, table[i].in.p);
    }
}

/* 1 to 40 arguments of random bytes, of sizes around those where a length gets another digit. */
static void test_good_generated(void) {
    static const uint32_t sizes[] = {0, 1, 2, 8, 9, 10, 11, 98, 99, 100, 101, 200};
    static char bytes[200], text[16384];
    random_state = 42;
    for (int argc = 1; argc <= 40; argc++) {
        struct slice argv[ARGV_MAX];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)rnd();
        for (int i = 0; i < argc; i++)
            argv[i] = (struct slice){bytes, sizes[below(sizeof sizes / sizeof *sizes)]};
        struct buf b = {text, 0, sizeof text, false};
        put_request(&b, argv, argc, BULK_MAX, false);
        REQUIRE(!b.full);
        struct resp_request r = {0};
        for (size_t n = 0; n < b.len; n++) {
            struct parsed p = parse((struct slice){text, n}, BULK_MAX, false);
            CHECK(p.status == RESP_MORE);
            free(p.block);
            CHECK(scan((struct slice){text, n}, BULK_MAX, &r) == RESP_MORE);
        }
        struct parsed p = parse((struct slice){text, b.len}, BULK_MAX, false);
        REQUIRE(p.status == RESP_OK && p.r.argc == argc && p.r.used == b.len);
        for (int i = 0; i < argc; i++)
            CHECK(slice_equal(p.argv[i], argv[i]));
        free(p.block);
    }
}

/* ---- broken requests ---- */

static void check_bad(struct slice in, const char *error, char got) {
    bool was_bad = false;
    for (size_t n = 0; n <= in.n; n++) { /* never OK on the way; once bad it stays bad */
        struct resp_request r = {.error = "none"}, r2 = {.error = "none"};
        struct parsed p = parse((struct slice){in.p, n}, BULK_MAX, false);
        enum resp_status scanned = scan((struct slice){in.p, n}, BULK_MAX, &r);
        CHECK(p.status == RESP_BAD || (p.status == RESP_MORE && !was_bad));
        CHECK(scanned == p.status || in.p[0] != '*');
        was_bad = p.status == RESP_BAD;
        r2 = p.r;
        free(p.block);
        if (was_bad) {
            CHECK_TEXT(r2.error, error);
            CHECK(got == 0 || r2.got == got);
            if (in.p[0] == '*') CHECK_TEXT(r.error, error);
            CHECK(got == 0 || r.got == got);
        }
        if (n > 200 && n + 1200 < in.n) n += 997; /* long lines: not every prefix */
    }
    CHECK(was_bad);
}

static void test_bad_table(void) {
    static const char count[] = "invalid multibulk length", bulk[] = "invalid bulk length";
    static const char type[] = "expected '$', got", quotes[] = "unbalanced quotes in request";
    const struct {
        struct slice in;
        const char *error;
        char got;
    } table[] = {
        {SLICE("*\r\n"), count, 0},
        {SLICE("*x\r\n"), count, 0},
        {SLICE("*+1\r\n"), count, 0},
        {SLICE("* 1\r\n"), count, 0},
        {SLICE("*1 \r\n"), count, 0},
        {SLICE("*01\r\n"), count, 0},
        {SLICE("*00\r\n"), count, 0},
        {SLICE("*-0\r\n"), count, 0},
        {SLICE("*-01\r\n"), count, 0},
        {SLICE("*-\r\n"), count, 0},
        {SLICE("*--1\r\n"), count, 0},
        {SLICE("*1.0\r\n"), count, 0},
        {SLICE("*1e3\r\n"), count, 0},
        {SLICE("*0x10\r\n"), count, 0},
        {SLICE("*1\0\r\n"), count, 0},
        {SLICE("*1\n\r\n"), count, 0},
        {SLICE("*1:\r\n$1\r\n"), count, 0},
        {SLICE("*9/\r\n$1\r\n"), count, 0},
        {SLICE("*:\r\n$1\r\nx\r\n"), count, 0},
        {SLICE("*1048577\r\n"), count, 0},
        {SLICE("*4294967297\r\n"), count, 0},
        {SLICE("*9223372036854775807\r\n"), count, 0},
        {SLICE("*9223372036854775808\r\n"), count, 0},
        {SLICE("*18446744073709551617\r\n"), count, 0},
        {SLICE("*-9223372036854775809\r\n"), count, 0},
        {SLICE("*99999999999999999999999999\r\n"), count, 0},
        {SLICE("*1\r\n$\r\n"), bulk, 0},
        {SLICE("*1\r\n$x\r\n"), bulk, 0},
        {SLICE("*1\r\n$-1\r\n"), bulk, 0},
        {SLICE("*1\r\n$-0\r\n"), bulk, 0},
        {SLICE("*1\r\n$+3\r\nabc\r\n"), bulk, 0},
        {SLICE("*1\r\n$ 3\r\nabc\r\n"), bulk, 0},
        {SLICE("*1\r\n$3 \r\nabc\r\n"), bulk, 0},
        {SLICE("*1\r\n$03\r\nabc\r\n"), bulk, 0},
        {SLICE("*1\r\n$00\r\n\r\n"), bulk, 0},
        {SLICE("*1\r\n$3a\r\nabc\r\n"), bulk, 0},
        {SLICE("*1\r\n$1:\r\nabc\r\n"), bulk, 0},
        {SLICE("*1\r\n$536870913\r\n"), bulk, 0},
        {SLICE("*1\r\n$4294967297\r\nx\r\n"), bulk, 0},
        {SLICE("*1\r\n$9223372036854775808\r\n"), bulk, 0},
        {SLICE("*1\r\n$18446744073709551617\r\nx\r\n"), bulk, 0},
        {SLICE("*2\r\n$1\r\na\r\n$-5\r\n"), bulk, 0},
        {SLICE("*1\r\n:3\r\nabc\r\n"), type, ':'},
        {SLICE("*1\r\nPING\r\n"), type, 'P'},
        {SLICE("*1\r\n\r\n"), type, '\r'},
        {SLICE("*2\r\n$1\r\na\r\n*1\r\n$1\r\n"), type, '*'},
        {SLICE("*2\r\n$1\r\nab\r\n$1\r\n"), type, '\n'}, /* one byte more than announced */
        {SLICE("*1\r\n\xFF\r\n"), type, '\xFF'},
        {SLICE("\"abc\r\n"), quotes, 0},
        {SLICE("'abc\r\n"), quotes, 0},
        {SLICE("set k \"abc\\\"\r\n"), quotes, 0},
        {SLICE("\"a\"b\r\n"), quotes, 0},
        {SLICE("'a'b\r\n"), quotes, 0},
        {SLICE("'a'\"b\"\r\n"), quotes, 0},
        {SLICE("\"a\\\r\n"), quotes, 0},
        {SLICE("'a\\'\r\n"), quotes, 0},
        {SLICE("a b \"\n"), quotes, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int before = tap_failures;
        check_bad(table[i].in, table[i].error, table[i].got);
        if (tap_failures != before) printf("# broken request %zu: %.*s\n", i, (int)table[i].in.n, table[i].in.p);
    }
}

static void test_long_lines(void) {
    static char text[LINE_MAX_BYTES + 64];
    static const struct {
        const char *start;
        const char *error;
    } table[] = {
        {"*", "too big mbulk count string"},
        {"*1\r\n$", "too big bulk count string"},
        {"*1\r\nx", "too big bulk count string"},
        {"1", "too big inline request"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(table[i].start);
        memset(text, '1', sizeof text);
        memcpy(text, table[i].start, n);
        check_bad((struct slice){text, n + LINE_MAX_BYTES}, table[i].error, 0);
        struct parsed p = parse((struct slice){text, LINE_MAX_BYTES - 1}, BULK_MAX, false);
        CHECK(p.status == RESP_MORE);
        free(p.block);
    }
    memset(text, 'a', sizeof text); /* the longest inline request */
    text[LINE_MAX_BYTES - 1] = '\n';
    struct parsed p = parse((struct slice){text, LINE_MAX_BYTES}, BULK_MAX, false);
    CHECK(p.status == RESP_OK && p.r.argc == 1 && p.argv[0].n == LINE_MAX_BYTES - 1);
    free(p.block);
}

/* ---- limits ---- */

/* Before authentication: what may pass and what not, cut at any place; with authentication all of it passes. */
static void test_unauthenticated(void) {
    static char fits[17000], too_long[17000];
    struct buf b = {fits, 0, sizeof fits, false}, c = {too_long, 0, sizeof too_long, false};
    buf_printf(&b, "*1\r\n$%u\r\n", UNAUTHENTICATED_BULK);
    buf_printf(&c, "*1\r\n$%u\r\n", UNAUTHENTICATED_BULK + 1);
    memset(fits + b.len, 'a', UNAUTHENTICATED_BULK + 2);
    memset(too_long + c.len, 'a', UNAUTHENTICATED_BULK + 3);
    const struct {
        struct slice in;
        const char *error; /* NULL: it is whole */
    } table[] = {
        {SLICE("*10\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"
               "$1\r\na\r\n$1\r\na\r\n"),
         NULL},
        {{fits, b.len + UNAUTHENTICATED_BULK + 2}, NULL},
        {SLICE("*11\r\n"), "unauthenticated multibulk length"},
        {SLICE("*1048576\r\n"), "unauthenticated multibulk length"},
        {SLICE("*1048577\r\n"), "invalid multibulk length"},
        {{too_long, c.len}, "unauthenticated bulk length"},
        {{too_long, c.len + UNAUTHENTICATED_BULK + 3}, "unauthenticated bulk length"},
        {SLICE("*2\r\n$4\r\nAUTH\r\n$536870912\r\n"), "unauthenticated bulk length"},
        {SLICE("*1\r\n$536870913\r\n"), "invalid bulk length"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t n = 0; n <= table[i].in.n; n += n < 100 || n + 100 > table[i].in.n ? 1 : 97) {
            struct resp_request r = {.unauthenticated = true}, r2 = {.unauthenticated = true};
            char *block = exact(table[i].in.p, n);
            struct slice argv[ARGV_MAX];
            enum resp_status status = resp_parse(block, n, BULK_MAX, false, argv, ARGV_MAX, &r);
            free(block);
            CHECK(scan((struct slice){table[i].in.p, n}, BULK_MAX, &r2) == status);
            CHECK(status != RESP_BAD || (table[i].error && !strcmp(r.error, table[i].error) && r2.error == r.error));
            if (n == table[i].in.n) CHECK(status == (table[i].error ? RESP_BAD : RESP_OK));
        }
    struct parsed p = parse((struct slice){too_long, c.len + UNAUTHENTICATED_BULK + 3}, BULK_MAX, false);
    CHECK(p.status == RESP_OK && p.argv[0].n == UNAUTHENTICATED_BULK + 1);
    free(p.block);
}

static void test_argument_limit(void) {
    size_t size = 16 + (size_t)ARGS_MAX * 6;
    char *in = malloc(size);
    struct slice *argv = calloc(ARGS_MAX, sizeof *argv);
    struct buf b = {in, 0, size, false};
    buf_printf(&b, "*%d\r\n", ARGS_MAX);
    for (int i = 0; i < ARGS_MAX; i++)
        buf_put(&b, "$0\r\n\r\n", 6);
    struct resp_request r = {0};
    CHECK(resp_parse(in, b.len, 10, false, argv, ARGS_MAX, &r) == RESP_OK);
    CHECK(r.argc == ARGS_MAX && r.used == b.len && argv[ARGS_MAX - 1].p == in + b.len - 2);
    CHECK(resp_parse(in, b.len - 1, 10, false, argv, ARGS_MAX, &r) == RESP_MORE);
    CHECK(resp_parse(in, b.len, 10, false, argv, ARGS_MAX - 1, &r) == RESP_ARGS && r.argc == ARGS_MAX);
    struct resp_scan s = RESP_SCAN_START;
    size_t n = b.len;
    CHECK(resp_scan(&s, in, &n, 10, &r) == RESP_OK && s.pos == b.len && n == b.len);
    free(argv);
    free(in);
}

static void test_argv_too_small(void) {
    struct slice argv[8];
    struct resp_request r = {0};
    for (int words = 0; words <= 8; words++) {
        for (int room = 0; room <= 8; room++) {
            char text[64], inlined[64];
            struct buf b = {text, 0, sizeof text, false}, l = {inlined, 0, sizeof inlined, false};
            buf_printf(&b, "*%d\r\n", words);
            for (int i = 0; i < words; i++) {
                buf_printf(&b, "$0\r\n\r\n");
                buf_printf(&l, "%s\"\\x41\"", i ? " " : "");
            }
            buf_printf(&l, "\n");
            enum resp_status want = words > room ? RESP_ARGS : RESP_OK;
            CHECK(resp_parse(text, b.len, 10, false, argv, room, &r) == want && r.argc == words);
            CHECK(resp_parse(inlined, l.len, 10, false, argv, room, &r) == want && r.argc == words);
            if (want == RESP_ARGS) { /* nothing was unescaped: a second time with more room is right */
                CHECK(resp_parse(inlined, l.len, 10, false, argv, 8, &r) == RESP_OK && r.argc == words);
                CHECK(slice_equal(argv[words - 1], SLICE("A")));
            }
        }
    }
}

/* 512 MB may be announced; dropped as they come, they need no room. */
static void test_largest_bulk(void) {
    struct parsed p = parse(SLICE("*2\r\n$536870912\r\nabc"), BULK_MAX, false);
    CHECK(p.status == RESP_MORE);
    free(p.block);
    p = parse(SLICE("*2\r\n$536870912\r\n$1\r\nx\r\n"), 1 << 20, true);
    CHECK(p.status == RESP_OK && p.argv[0].p == NULL && p.argv[0].n == BULK_MAX && p.argv[1].n == 1);
    free(p.block);
    static const char start[] = "*2\r\n$536870912\r\n", end[] = "$1\r\nx\r\n";
    size_t header = sizeof start - 1, piece = 1 << 20, n = header;
    char *in = malloc(header + piece);
    memcpy(in, start, header);
    struct resp_scan s = RESP_SCAN_START;
    struct resp_request r = {0};
    CHECK(resp_scan(&s, in, &n, 1 << 20, &r) == RESP_MORE && n == header);
    for (uint64_t left = (uint64_t)BULK_MAX + 2; left > 0;) {
        size_t now = left < piece ? (size_t)left : piece;
        memset(in + n, '$', now < 16 ? now : 16);
        n += now;
        left -= now;
        REQUIRE(resp_scan(&s, in, &n, 1 << 20, &r) == RESP_MORE);
        REQUIRE(n == header);
    }
    memcpy(in + n, end, sizeof end - 1);
    n += sizeof end - 1;
    CHECK(resp_scan(&s, in, &n, 1 << 20, &r) == RESP_OK && s.pos == n);
    free(in);
}

static void test_oversized(void) {
    const struct slice argv[] = {SLICE("SET"), SLICE("12345678901"), SLICE("1234567890"), SLICE("123456789012345")};
    char text[256], without[256];
    struct buf b = {text, 0, sizeof text, false}, c = {without, 0, sizeof without, false};
    put_request(&b, argv, 4, 10, false);
    put_request(&c, argv, 4, 10, true);
    for (int stripped = 0; stripped <= 1; stripped++) {
        struct slice in = stripped ? (struct slice){without, c.len} : (struct slice){text, b.len};
        for (size_t n = 0; n < in.n; n++) {
            struct parsed p = parse((struct slice){in.p, n}, 10, stripped);
            CHECK(p.status == RESP_MORE);
            free(p.block);
        }
        struct parsed p = parse(in, 10, stripped);
        REQUIRE(p.status == RESP_OK);
        CHECK(p.r.argc == 4 && p.r.used == in.n && p.r.longest == 15);
        CHECK(slice_equal(p.argv[0], argv[0]) && slice_equal(p.argv[2], argv[2])); /* exactly the limit is kept */
        CHECK(p.argv[1].p == NULL && p.argv[1].n == 11 && p.argv[3].p == NULL && p.argv[3].n == 15);
        free(p.block);
    }
}

/* ---- scanning ---- */

/* Feeds `in` to resp_scan() in pieces as a connection would, in a block that has no byte to spare, until it
 * says something else than MORE. What is kept must be the start of `without`, which is `in` without its
 * oversized payload. The block goes to *kept. */
static enum resp_status feed(struct slice in, struct slice without, size_t max_bulk, uint32_t most, char **kept,
                             size_t *n, struct resp_scan *s, struct resp_request *r) {
    *s = RESP_SCAN_START;
    *kept = NULL;
    *n = 0;
    for (size_t at = 0; at < in.n;) {
        size_t piece = 1 + below(most);
        piece = piece < in.n - at ? piece : in.n - at;
        char *block = malloc(*n + piece);
        if (*n) memcpy(block, *kept, *n);
        memcpy(block + *n, in.p + at, piece);
        free(*kept);
        *kept = block;
        *n += piece;
        at += piece;
        enum resp_status status = resp_scan(s, block, n, max_bulk, r);
        if (without.p) CHECK(*n <= without.n && memcmp(block, without.p, *n) == 0);
        if (status != RESP_MORE) return status;
    }
    return RESP_MORE;
}

static void test_scan_in_pieces(void) {
    static char bytes[600], text[40000], without[40000];
    random_state = 7;
    for (int round = 0; round < 3000; round++) {
        int argc = 1 + (int)below(12);
        struct slice argv[ARGV_MAX];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = "\r\n$*15ab"[below(8)];
        for (int i = 0; i < argc; i++)
            argv[i] = (struct slice){bytes, below(4) ? below(20) : below(sizeof bytes)};
        size_t max_bulk = below(3) ? 15 : below(sizeof bytes);
        struct buf b = {text, 0, sizeof text, false}, c = {without, 0, sizeof without, false};
        put_request(&b, argv, argc, max_bulk, false);
        put_request(&c, argv, argc, max_bulk, true);
        REQUIRE(!b.full && !c.full);
        struct slice in = {text, b.len}, less = {without, c.len};
        char *kept;
        size_t n;
        struct resp_scan s;
        struct resp_request r = {0};
        REQUIRE(feed(in, less, max_bulk, round % 2 ? 1 : 1 + below(64), &kept, &n, &s, &r) == RESP_OK);
        CHECK(n == c.len && s.pos == n && s.skip == 0);
        struct parsed p = {.block = exact(kept, n)};
        p.status = resp_parse(p.block, n, max_bulk, true, p.argv, ARGV_MAX, &p.r);
        REQUIRE(p.status == RESP_OK && p.r.argc == argc && p.r.used == n);
        for (int i = 0; i < argc; i++) {
            CHECK(p.argv[i].n == argv[i].n);
            CHECK(argv[i].n > max_bulk ? p.argv[i].p == NULL : slice_equal(p.argv[i], argv[i]));
        }
        free(p.block);
        free(kept);
    }
}

/* What comes behind the request is kept as it is, also when it arrives together with dropped bytes. */
static void test_scan_keeps_what_follows(void) {
    static const char in[] = "*2\r\n$20\r\n12345678901234567890\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n";
    static const char left[] = "*2\r\n$20\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n";
    for (size_t first = 1; first < sizeof in - 1; first++) {
        char block[sizeof in];
        struct resp_scan s = RESP_SCAN_START;
        struct resp_request r = {0};
        memcpy(block, in, first);
        size_t n = first;
        enum resp_status status = resp_scan(&s, block, &n, 10, &r);
        memcpy(block + n, in + first, sizeof in - 1 - first);
        n += sizeof in - 1 - first;
        if (status == RESP_MORE) status = resp_scan(&s, block, &n, 10, &r);
        CHECK(status == RESP_OK && n == sizeof left - 1 && memcmp(block, left, n) == 0);
        CHECK(s.pos == 16);
    }
}

/* ---- random input ---- */

static size_t random_request(char *text, size_t cap) {
    static char bytes[64];
    struct buf b = {text, 0, cap, false};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = below(3) ? "\r\n$*0123456789\\'\" xn-+"[below(23)] : (char)rnd();
    if (below(4) == 0) { /* inline */
        buf_put(&b, bytes, below(40));
        buf_put(&b, "\r\n", 2);
    } else {
        struct slice argv[8];
        int argc = (int)below(8);
        for (int i = 0; i < argc; i++)
            argv[i] = (struct slice){bytes, below(below(3) ? 12 : sizeof bytes)};
        put_request(&b, argv, argc, BULK_MAX, false);
    }
    for (uint32_t changes = below(4); changes > 0 && b.len > 1; changes--) {
        size_t at = below(3) ? below((uint32_t)(b.len < 12 ? b.len : 12)) : below((uint32_t)b.len);
        uint32_t how = below(4);
        if (how == 0) {
            text[at] = (char)rnd();
        } else if (how == 1) {
            text[at] = "\r\n$*0123456789-+ \"'"[below(20)];
        } else if (how == 2) {
            memmove(text + at, text + at + 1, b.len - at - 1);
            b.len--;
        } else {
            b.len = at + 1;
        }
    }
    return b.len;
}

static void test_fuzz(void) {
    static char text[4096];
    static struct slice argv[ARGS_MAX], again[ARGS_MAX];
    uint32_t seen[4] = {0};
    random_state = 99;
    for (int round = 0; round < 200000; round++) {
        size_t n = random_request(text, sizeof text), kept_n, max_bulk = below(2) ? 9 : BULK_MAX;
        bool multibulk = n > 0 && text[0] == '*';
        struct resp_request r = {.error = "none"}, r1 = {.error = "none"}, r2 = {.error = "none"}, r3 = {0};
        char *block = exact(text, n), *kept;
        enum resp_status status = resp_parse(block, n, max_bulk, false, argv, ARGS_MAX, &r);
        seen[status]++;
        enum resp_status whole = scan((struct slice){text, n}, max_bulk, &r1);
        struct resp_scan s;
        enum resp_status pieces =
            feed((struct slice){text, n}, (struct slice){NULL, 0}, max_bulk, 1 + below(20), &kept, &kept_n, &s, &r2);
        REQUIRE(pieces == whole);
        if (whole == RESP_BAD) {
            REQUIRE(strcmp(r1.error, r2.error) == 0 && r1.got == r2.got);
            CHECK(status == RESP_BAD && strcmp(r.error, r1.error) == 0 && r.got == r1.got);
        } else if (multibulk) {
            CHECK(whole == status);
        } else { /* the quotes of an inline request are the parser's matter */
            CHECK(whole == status || (status == RESP_BAD && whole == RESP_OK));
        }
        if (status == RESP_OK) {
            CHECK(r.used > 0 && r.used <= n);
            for (int i = 0; i < r.argc; i++)
                CHECK(argv[i].p ? argv[i].p >= block && argv[i].p + argv[i].n <= block + r.used
                                : argv[i].n > max_bulk && multibulk);
        }
        if (pieces == RESP_OK && status == RESP_OK) {
            char *rest = exact(kept, kept_n);
            enum resp_status stripped = resp_parse(rest, kept_n, max_bulk, true, again, ARGS_MAX, &r3);
            CHECK(stripped == RESP_OK && r3.argc == r.argc && (!multibulk || r3.used == s.pos));
            for (int i = 0; stripped == RESP_OK && i < r.argc; i++)
                CHECK(again[i].n == argv[i].n && (argv[i].p ? slice_equal(again[i], argv[i]) : !again[i].p));
            free(rest);
        }
        free(kept);
        free(block);
        if (tap_failures) {
            printf("# round %d: %.*s\n", round, (int)n, text);
            return;
        }
    }
    CHECK(seen[RESP_OK] > 10000 && seen[RESP_MORE] > 10000 && seen[RESP_BAD] > 10000);
}

/* ---- integers ---- */

static bool integer_of(struct slice text, int64_t *value) {
    char *block = exact(text.p, text.n);
    bool is = resp_integer_of((struct slice){block, text.n}, value);
    free(block);
    return is;
}

static void test_integers(void) {
    const struct {
        struct slice text;
        int64_t value;
    } good[] = {
        {SLICE("0"), 0},
        {SLICE("1"), 1},
        {SLICE("-1"), -1},
        {SLICE("10"), 10},
        {SLICE("1234567890"), 1234567890},
        {SLICE("9223372036854775807"), INT64_MAX},
        {SLICE("-9223372036854775807"), -INT64_MAX},
        {SLICE("-9223372036854775808"), INT64_MIN},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t value = 99;
        CHECK(integer_of(good[i].text, &value) && value == good[i].value);
    }
    const struct slice bad[] = {
        SLICE(""),
        SLICE("-"),
        SLICE("+1"),
        SLICE(" 1"),
        SLICE("1 "),
        SLICE("01"),
        SLICE("00"),
        SLICE("-0"),
        SLICE("-01"),
        SLICE("--1"),
        SLICE("1-"),
        SLICE("1.0"),
        SLICE("1e1"),
        SLICE("0x1"),
        SLICE("1\n"),
        SLICE("1\0"),
        SLICE("\0"),
        SLICE("a"),
        SLICE("1a"),
        SLICE("/"),
        SLICE(":"),
        SLICE("1:"),
        SLICE("\xB1"),
        SLICE("1,000"),
        SLICE("9223372036854775808"),
        SLICE("-9223372036854775809"),
        SLICE("18446744073709551615"),
        SLICE("18446744073709551617"),
        SLICE("10000000000000000000"),
        SLICE("99999999999999999999"),
        SLICE("-99999999999999999999"),
        SLICE("100000000000000000000000000000000"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t value = 99;
        bool is = integer_of(bad[i], &value);
        CHECK(!is);
        if (is) printf("# taken for a number: %.*s\n", (int)bad[i].n, bad[i].p);
    }
    random_state = 5;
    for (int round = 0; round < 100000; round++) {
        int64_t want = (int64_t)(rnd() >> below(64)), value;
        want = below(2) ? want : (int64_t)(0 - (uint64_t)want);
        char text[32];
        int n = snprintf(text, sizeof text, "%lld", (long long)want);
        REQUIRE(integer_of((struct slice){text, (size_t)n}, &value) && value == want);
    }
}

/* ---- replies ---- */

static const char LONG_TEXT[] = "0123456789012345678901234567890123456789012345678901234567890123456789"
                                "012345678901234567890123456789+";

static void write_simple(struct buf *out, int resp) {
    (void)resp;
    resp_simple(out, SLICE("OK"));
}

static void write_error(struct buf *out, int resp) {
    (void)resp;
    resp_error(out, SLICE("ERR a\rb\nc\r\nd"));
}

static void write_integers(struct buf *out, int resp) {
    (void)resp;
    static const int64_t values[] = {0, 1, -1, 9, 10, 99, 100, -100, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        resp_integer(out, values[i]);
}

static void write_bulk_empty(struct buf *out, int resp) {
    (void)resp;
    resp_bulk(out, (struct slice){NULL, 0});
}

static void write_bulk(struct buf *out, int resp) {
    (void)resp;
    resp_bulk(out, SLICE("a\0\r\n"));
}

static void write_bulk_9(struct buf *out, int resp) {
    (void)resp;
    resp_bulk(out, (struct slice){LONG_TEXT, 9});
}

static void write_bulk_10(struct buf *out, int resp) {
    (void)resp;
    resp_bulk(out, (struct slice){LONG_TEXT, 10});
}

static void write_bulk_99(struct buf *out, int resp) {
    (void)resp;
    resp_bulk(out, (struct slice){LONG_TEXT, 99});
}

static void write_bulk_100(struct buf *out, int resp) {
    (void)resp;
    resp_bulk(out, (struct slice){LONG_TEXT, 100});
}

static void write_bulk_integers(struct buf *out, int resp) {
    resp_put(out, resp, "####", (int64_t)0, (int64_t)-12, INT64_MAX, INT64_MIN);
}

static void write_null(struct buf *out, int resp) { resp_null(out, resp); }

static void write_array(struct buf *out, int resp) {
    (void)resp;
    resp_array(out, 0);
    resp_array(out, 1048576);
}

static void write_map(struct buf *out, int resp) {
    resp_put(out, resp, "%", 0);
    resp_put(out, resp, "%", 7);
}

static void write_set(struct buf *out, int resp) {
    resp_put(out, resp, "~", 0);
    resp_put(out, resp, "~", 7);
}

static void write_text(struct buf *out, int resp) { resp_text(out, SLICE("a: b\r\n"), resp); }

static void write_text_empty(struct buf *out, int resp) { resp_text(out, SLICE(""), resp); }

#define DIGITS_99                                                                                                      \
    "0123456789012345678901234567890123456789012345678901234567890123456789"                                           \
    "01234567890123456789012345678"

static void test_replies(void) {
    static const struct {
        void (*write)(struct buf *out, int resp);
        const char *resp2;
        const char *resp3; /* NULL: the same */
        size_t n;          /* of resp2, where it has a NUL; 0: its strlen */
    } table[] = {
        {write_simple, "+OK\r\n", NULL, 0},
        {write_error, "-ERR a b c  d\r\n", NULL, 0},
        {write_integers,
         ":0\r\n:1\r\n:-1\r\n:9\r\n:10\r\n:99\r\n:100\r\n:-100\r\n:9223372036854775807\r\n:-"
         "9223372036854775808\r\n",
         NULL, 0},
        {write_bulk_empty, "$0\r\n\r\n", NULL, 0},
        {write_bulk, "$4\r\na\0\r\n\r\n", NULL, 10},
        {write_bulk_9, "$9\r\n012345678\r\n", NULL, 0},
        {write_bulk_10, "$10\r\n0123456789\r\n", NULL, 0},
        {write_bulk_99, "$99\r\n" DIGITS_99 "\r\n", NULL, 0},
        {write_bulk_100, "$100\r\n" DIGITS_99 "9\r\n", NULL, 0},
        {write_bulk_integers, "$1\r\n0\r\n$3\r\n-12\r\n$19\r\n9223372036854775807\r\n$20\r\n-9223372036854775808\r\n",
         NULL, 0},
        {write_null, "$-1\r\n", "_\r\n", 0},
        {write_array, "*0\r\n*1048576\r\n", NULL, 0},
        {write_map, "*0\r\n*14\r\n", "%0\r\n%7\r\n", 0},
        {write_set, "*0\r\n*7\r\n", "~0\r\n~7\r\n", 0},
        {write_text, "$6\r\na: b\r\n\r\n", "=10\r\ntxt:a: b\r\n\r\n", 0},
        {write_text_empty, "$0\r\n\r\n", "=4\r\ntxt:\r\n", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (int resp = 2; resp <= 3; resp++) {
            const char *want = resp == 3 && table[i].resp3 ? table[i].resp3 : table[i].resp2;
            size_t n = table[i].n ? table[i].n : strlen(want), before = (size_t)tap_failures;
            for (size_t cap = 0; cap < n + 64; cap++) {
                char guarded[512], *block = malloc(cap);
                struct buf b = {block, 0, cap, false}, g = {guarded + 32, 0, cap, false};
                memset(guarded, 0x5A, sizeof guarded);
                table[i].write(&b, resp);
                table[i].write(&g, resp);
                CHECK(b.len <= cap && b.full == g.full && b.len == g.len);
                for (size_t at = 0; at < sizeof guarded; at++)
                    CHECK((at >= 32 && at < 32 + cap) || guarded[at] == 0x5A);
                CHECK(b.full || cap >= n);
                CHECK(!b.full || cap < n + resp_bulk_bytes(0)); /* a writer may ask for a little more than it needs */
                if (!b.full) CHECK(b.len == n && memcmp(block, want, n) == 0);
                free(block);
            }
            if ((size_t)tap_failures != before) printf("# reply %zu, RESP%d\n", i, resp);
        }
    }
}

/* Replies follow one another; a full buffer keeps what it has and says so until somebody clears it. */
static void test_replies_append(void) {
    char text[64];
    struct buf b = {text, 0, sizeof text, false};
    resp_simple(&b, SLICE("A"));
    resp_bulk(&b, SLICE("bc"));
    resp_null(&b, 3);
    CHECK(!b.full && b.len == 15 && memcmp(text, "+A\r\n$2\r\nbc\r\n_\r\n", 15) == 0);
    resp_bulk(&b, (struct slice){LONG_TEXT, 60});
    CHECK(b.full && b.len == 15);
    resp_integer(&b, 7);
    CHECK(b.full && b.len == 19 && memcmp(text + 15, ":7\r\n", 4) == 0);
}

/* Who could not say at once that a request is broken asks again: the answer must not change. */
static void test_scan_asked_again(void) {
    static const char *const broken[] = {"*2\r\n$1\r\na\r\n$-5\r\nabc\r\n", "*2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n",
                                         "*9999999\r\n$1\r\na\r\n", "*1\r\n$9999999999\r\na\r\n"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char in[64];
        size_t n = strlen(broken[i]);
        memcpy(in, broken[i], n);
        struct resp_scan scan = RESP_SCAN_START;
        struct resp_request first = {0}, again = {0};
        CHECK(resp_scan(&scan, in, &n, 1024, &first) == RESP_BAD);
        CHECK(resp_scan(&scan, in, &n, 1024, &again) == RESP_BAD);
        CHECK(first.error != NULL && first.error == again.error);
    }
}

int main(void) {
    static const struct tap_test tests[] = {
        {"every prefix of a good request asks for more", test_good_table},
        {"requests of 1 to 40 arguments, every prefix", test_good_generated},
        {"each broken count, length, type and quote has its error", test_bad_table},
        {"a line over 64 KB is refused", test_long_lines},
        {"before authentication: 10 arguments of 16 KB, and no more", test_unauthenticated},
        {"1048576 arguments, and no more", test_argument_limit},
        {"argv too small: the request says how many it has", test_argv_too_small},
        {"a bulk string of 512 MB is dropped in constant memory", test_largest_bulk},
        {"oversized arguments keep their length", test_oversized},
        {"a scan in pieces ends where the parser does", test_scan_in_pieces},
        {"a scan keeps what follows", test_scan_keeps_what_follows},
        {"random requests: parser and scan agree", test_fuzz},
        {"integers are read as Redis reads them", test_integers},
        {"replies byte for byte, and in buffers too small", test_replies},
        {"replies follow one another", test_replies_append},
        {"a broken request stays broken when it is scanned again", test_scan_asked_again},
    };
    return tap_main(tests, sizeof tests / sizeof *tests);
}
