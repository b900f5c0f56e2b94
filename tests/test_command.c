/* test_command.c -- commands by their replies: argv in, bytes out, at a time that the test says. No sockets.
 *
 * run() takes a request through all its steps as a worker does, turn by turn while it is suspended, and
 * checks what holds for every request: `out` is never too small, the reply is one whole RESP value, and
 * nothing is held after. */
#include "../command.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../glob.h"
#include "../host.h"
#include "../info.h"
#include "../log.h"
#include "../resp.h"
#include "check.h"
#include "random.h"
#include "reply.h"
#include "tap.h"

/* ---- one server with one client ---- */

#define NOW_MS 1700000000000

struct fixture {
    struct shards shards;
    struct registry registry;
    struct config config;
    struct pool_budget budget;
    struct pool pool;
    struct metrics metrics, other;
    struct metrics *all[2];
    struct command_server server;
    struct host host;
    struct command_context context;
    struct client *client;
    struct buf out;
    struct buf reply; /* of the last request, all turns together */
    enum command_result result;
    struct log log;
    int turns; /* of the last request */
    int shutdowns;
    unsigned calls;
};

static void note_shutdown(void *context) { ((struct fixture *)context)->shutdowns++; }

static bool reconfigure(void *context, const struct config *next, char *text, size_t size) {
    struct fixture *f = context;
    config_compare(&f->config, next, text, size);
    shards_allow_values(&f->shards, next->max_value_size_bytes);
    shards_resize(&f->shards, next->maxmemory_bytes, (uint32_t)next->shard_capacity);
    if (f->out.cap < command_reply_room(&f->shards)) return false; /* as much as the fixture was made for */
    config_apply(&f->config, next);
    return true;
}

static struct client *new_client(struct fixture *f) {
    struct sockaddr_storage from = {.ss_family = AF_INET};
    struct client *c = client_new(&f->registry, -1, &from, NULL, f->context.now_ms);
    command_greet(&f->server, c, f->context.now_ms);
    return c;
}

static struct fixture *fixture_new(uint64_t maxmemory_bytes, uint64_t max_value_size_bytes, int resp) {
    struct fixture *f = calloc(1, sizeof *f);
    config_init(&f->config);
    f->config.maxmemory_bytes = maxmemory_bytes;
    f->config.max_key_size_bytes = 1024;
    f->config.max_value_size_bytes = max_value_size_bytes;
    f->config.client_memory_bytes = 64 << 20;
    f->config.client_output_bytes = 32 << 20;
    f->config.threads = 1;
    f->budget.limit_bytes = f->config.client_memory_bytes;
    pool_init(&f->pool, &f->budget);
    if (!shards_init(&f->shards, maxmemory_bytes, 100000, 1) ||
        !registry_init(&f->registry, 3000, sizeof(struct client)))
        abort();
    f->all[0] = &f->metrics;
    f->all[1] = &f->other;
    f->server = (struct command_server){.shards = &f->shards,
                                        .registry = &f->registry,
                                        .config = &f->config,
                                        .client_memory = &f->budget,
                                        .metrics = f->all,
                                        .metrics_count = 2,
                                        .started_ms = NOW_MS - 90061000,
                                        .host = &f->host,
                                        .log = &f->log,
                                        .reconfigure = reconfigure,
                                        .shutdown = note_shutdown,
                                        .callback_context = f};
    memset(f->server.run_id, 'a', 40);
    f->log = (struct log){.fd = -1, .level = LOG_LEVEL_WARNING};
    command_init(&f->server);
    f->context = (struct command_context){.server = &f->server,
                                          .shards = &f->shards,
                                          .config = &f->config,
                                          .metrics = &f->metrics,
                                          .pool = &f->pool,
                                          .now_ms = NOW_MS,
                                          .random = 1};
    f->client = new_client(f);
    atomic_store(&f->client->resp, (uint8_t)resp);
    shards_allow_values(&f->shards, max_value_size_bytes);
    f->out.cap = command_reply_room(&f->shards);
    f->out.p = malloc(f->out.cap);
    return f;
}

static void fixture_free(struct fixture *f) {
    command_forget(&f->context, f->client);
    for (uint32_t i = 0; i < SHARDS; i++)
        CHECK(f->shards.shard[i].lru.watched == 0);
    CHECK(atomic_load(&f->budget.used_bytes) == 0);
    for (uint32_t i = 0; i < SHARDS; i++)
        lru_check(&f->shards.shard[i].lru);
    for (uint32_t i = 0; i < f->registry.high; i++)
        if (registry_record(&f->registry, i)->id) client_free(&f->registry, registry_record(&f->registry, i));
    info_release(&f->server);
    shards_release(&f->shards);
    registry_release(&f->registry);
    pool_release(&f->pool);
    free(f->out.p);
    free(f->reply.p);
    free(f);
}

static struct fixture *small(void) { return fixture_new(64 << 20, 128 << 10, 2); }

/* ---- replies ---- */

/* The count in the header at p, and the place behind it. */
static const char *header_at(const char *p, int64_t *n) {
    *n = strtoll(p + 1, NULL, 10);
    return strchr(p, '\n') + 1;
}

/* The bulk string at *p, which goes on to the next value. */
static struct slice bulk_at(const char **p) {
    int64_t n;
    const char *bytes = header_at(*p, &n);
    *p = bytes + n + 2;
    return (struct slice){bytes, (size_t)n};
}

static void show(const char *what, struct slice s) {
    printf("#   %s ", what);
    for (size_t i = 0; i < s.n && i < 300; i++)
        if (s.p[i] == '\r')
            printf("\\r");
        else if (s.p[i] == '\n')
            printf("\\n");
        else if (s.p[i] < ' ' || s.p[i] > '~')
            printf("\\x%02x", (unsigned char)s.p[i]);
        else
            putchar(s.p[i]);
    printf(s.n > 300 ? "... (%zu bytes)\n" : "\n", s.n);
}

static void gather(struct fixture *f, const char *p, size_t n) {
    if (f->reply.len + n + 1 > f->reply.cap) {
        f->reply.cap = 2 * (f->reply.len + n) + 4096;
        f->reply.p = realloc(f->reply.p, f->reply.cap);
    }
    if (n) memcpy(f->reply.p + f->reply.len, p, n);
    f->reply.len += n;
    f->reply.p[f->reply.len] = '\0';
}

/* One turn. True: there are more. */
static bool turn(struct fixture *f, struct request *r) {
    struct suspended *s = &f->client->suspended;
    f->out.len = 0;
    f->out.full = false;
    f->result = command_execute(&f->context, f->client, r, &f->out);
    f->turns++;
    CHECK(!f->out.full && f->out.len <= f->out.cap);
    gather(f, f->out.p, f->out.len);
    if (f->result == COMMAND_COLLECTED) {
        CHECK(!s->reply.full && s->start < s->reply.len);
        gather(f, s->reply.p + s->start, s->reply.len - s->start);
        pool_put(&f->pool, s->reply.p, s->reply.cap);
        s->reply = (struct buf){0};
        s->start = 0;
    }
    r->resumed = true;
    return f->result == COMMAND_AGAIN;
}

static struct request prepare(struct fixture *f, struct slice *argv, int argc) {
    struct request r = {.argv = argv, .argc = argc};
    size_t longest = 0;
    for (int i = 0; i < argc; i++)
        longest = argv[i].n > longest ? argv[i].n : longest;
    /* both ways must be the same: every second request has its sizes looked at though that is not needed */
    r.sizes_are_right = longest <= command_argument_safe(&f->config) && f->calls++ % 2 == 0;
    command_prepare(&f->context, f->client, &r);
    command_fetch(&r);
    command_fetch_links(&r);
    f->reply.len = 0;
    f->turns = 0;
    return r;
}

/* Whether some client is in a transaction, or watches: that takes memory. */
static bool holds_transaction(const struct fixture *f) {
    bool holds = false;
    for (uint32_t i = 0; i < f->registry.high; i++)
        holds |= registry_record(&f->registry, i)->id && registry_record(&f->registry, i)->transaction;
    return holds;
}

/* The place in metrics_codes of what an error begins with; -1: it is not there, and is counted as ERR. */
static int code_of(struct slice error) {
    for (int i = 0; i < METRICS_CODES; i++) {
        size_t n = strlen(metrics_codes[i]);
        if (error.n > n + 1 && !memcmp(error.p + 1, metrics_codes[i], n) && error.p[1 + n] == ' ') return i;
    }
    return -1;
}

static struct slice run(struct fixture *f, struct slice *argv, int argc) {
    uint8_t modes = atomic_load(&f->client->modes);
    struct request r = prepare(f, argv, argc);
    while (turn(f, &r))
        if (f->turns > 100000) abort();
    struct slice reply = {f->reply.p, f->reply.len};
    const struct suspended *s = &f->client->suspended;
    CHECK(s->next == 0 && s->cursor == 0 && s->count == 0 && s->reply.p == NULL);
    bool watched = atomic_load(&f->server.feed.watchers); /* the feed of MONITOR takes memory, too */
    CHECK(watched || holds_transaction(f) || atomic_load(&f->budget.used_bytes) == 0);
    if (reply.n && reply.p[0] == '-') CHECK(code_of(reply) >= 0);
    bool silent = f->result == COMMAND_CLOSE || f->result == COMMAND_WAIT || modes || atomic_load(&f->client->modes);
    if (reply.n > 0 || !silent) {
        bool whole = value_end(reply.p, reply.p + reply.n) == reply.p + reply.n;
        CHECK(whole);
        if (!whole) show("no RESP value:", reply);
    }
    return reply;
}

/* A request as one types it: words, quoted where needed, as an inline request. */
static struct slice line(struct fixture *f, const char *text) {
    char in[8192];
    struct slice argv[64];
    struct resp_request r = {0};
    size_t n = strlen(text);
    if (n + 1 > sizeof in) abort();
    memcpy(in, text, n);
    in[n] = '\n';
    if (resp_parse(in, n + 1, BULK_MAX, false, argv, 64, &r) != RESP_OK || r.argc == 0) abort();
    return run(f, argv, r.argc);
}

static void expect_at(int at, struct fixture *f, const char *text, struct slice want) {
    struct slice got = line(f, text);
    if (slice_equal(got, want)) return;
    tap_failures++;
    printf("# %s:%d: RESP%d: %s\n", __FILE__, at, atomic_load(&f->client->resp), text);
    show("is ", got);
    show("not", want);
}

#define EXPECT(f, text, want) expect_at(__LINE__, (f), (text), SLICE(want))

static bool same_at(int at, struct slice got, struct slice want) {
    if (slice_equal(got, want)) return true;
    tap_failures++;
    printf("# %s:%d:\n", __FILE__, at);
    show("is ", got);
    show("not", want);
    return false;
}

#define SAME(got, want) same_at(__LINE__, (got), (want))

/* The text of the last reply holds `text`. */
static bool has(const struct fixture *f, const char *text) { return strstr(f->reply.p, text) != NULL; }

/* n bytes of s from `from` on, or what there is of them. */
static struct slice part(struct slice s, size_t from, size_t n) {
    from = from < s.n ? from : s.n;
    return (struct slice){s.p + from, n < s.n - from ? n : s.n - from};
}

/* ---- tables ---- */

#define NIL "$-1\r\n"
#define NIL3 "_\r\n"
#define OK "+OK\r\n"
#define ZERO ":0\r\n"
#define ONE ":1\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define OVERFLOW "-ERR increment or decrement would overflow\r\n"
#define ARITY(name) "-ERR wrong number of arguments for '" name "' command\r\n"
#define EXPIRE_TIME(name) "-ERR invalid expire time in '" name "' command\r\n"

struct step {
    const char *line;  /* or "@n": n ms go by */
    const char *resp2; /* the reply */
    const char *resp3; /* NULL: the same */
};

/* Runs a table under both protocols, each on a new server. */
static void run_steps(const struct step *steps, size_t n) {
    for (int resp = 2; resp <= 3; resp++) {
        struct fixture *f = fixture_new(64 << 20, 128 << 10, resp);
        for (size_t i = 0; i < n; i++) {
            if (steps[i].line[0] == '@') {
                f->context.now_ms += strtoll(steps[i].line + 1, NULL, 10);
                continue;
            }
            const char *want = resp == 3 && steps[i].resp3 ? steps[i].resp3 : steps[i].resp2;
            int before = tap_failures;
            expect_at(__LINE__, f, steps[i].line, slice_of(want));
            if (tap_failures != before) printf("#   step %zu\n", i);
        }
        fixture_free(f);
    }
}

#define RUN(steps) run_steps(steps, sizeof steps / sizeof *steps)

static const struct step string_steps[] = {
    {"PUT k v", OK, NULL},
    {"GET k", "$1\r\nv\r\n", NULL},
    {"get K", NIL, NIL3},
    {"GET", ARITY("get"), NULL},
    {"GET a b", ARITY("get"), NULL},
    {"PUT k", ARITY("put"), NULL},
    {"PUT k v x", ARITY("put"), NULL},
    {"SET k \"\"", OK, NULL},
    {"GET k", "$0\r\n\r\n", NULL},
    {"SET \"\" empty", OK, NULL},
    {"GET \"\"", "$5\r\nempty\r\n", NULL},
    {"SET \"a\\r\\n\\xff\" \"b\\r\\nc\"", OK, NULL},
    {"GET \"a\\r\\n\\xff\"", "$4\r\nb\r\nc\r\n", NULL},
    {"SET k", ARITY("set"), NULL},
    {"SETNX n 1", ONE, NULL},
    {"SETNX n 2", ZERO, NULL},
    {"GET n", "$1\r\n1\r\n", NULL},
    {"SETNX n", ARITY("setnx"), NULL},
    {"GETSET n 3", "$1\r\n1\r\n", NULL},
    {"GETSET none 4", NIL, NIL3},
    {"GET none", "$1\r\n4\r\n", NULL},
    {"GETSET n", ARITY("getset"), NULL},
    {"MSET a 1 b 2 a 3", OK, NULL},
    {"MGET a b c a", "*4\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n", "*4\r\n$1\r\n3\r\n$1\r\n2\r\n_\r\n$1\r\n3\r\n"},
    {"MSET a", ARITY("mset"), NULL},
    {"MSET a 1 b", ARITY("mset"), NULL},
    {"MSET a 9 b 9 c", ARITY("mset"), NULL},
    {"MGET a", "*1\r\n$1\r\n3\r\n", NULL},
    {"MGET", ARITY("mget"), NULL},
    {"APPEND s abc", ":3\r\n", NULL},
    {"APPEND s \"\"", ":3\r\n", NULL},
    {"APPEND s defg", ":7\r\n", NULL},
    {"GET s", "$7\r\nabcdefg\r\n", NULL},
    {"APPEND e \"\"", ZERO, NULL},
    {"EXISTS e", ONE, NULL},
    {"APPEND s", ARITY("append"), NULL},
    {"STRLEN s", ":7\r\n", NULL},
    {"STRLEN nothing", ZERO, NULL},
    {"STRLEN", ARITY("strlen"), NULL},
    {"SET s 1", OK, NULL},
    {"STRLEN s", ONE, NULL},
};

static const struct step set_steps[] = {
    {"SET k 1 XX", NIL, NIL3},
    {"GET k", NIL, NIL3},
    {"SET k 1 NX", OK, NULL},
    {"SET k 2 nx", NIL, NIL3},
    {"GET k", "$1\r\n1\r\n", NULL},
    {"SET k 2 xx", OK, NULL},
    {"SET k 3 GET", "$1\r\n2\r\n", NULL},
    {"SET none 3 GET", NIL, NIL3},
    {"GET none", "$1\r\n3\r\n", NULL},
    {"SET k 4 NX GET", "$1\r\n3\r\n", NULL},
    {"GET k", "$1\r\n3\r\n", NULL},
    {"SET new 4 NX GET", NIL, NIL3},
    {"GET new", "$1\r\n4\r\n", NULL},
    {"SET k 5 XX GET", "$1\r\n3\r\n", NULL},
    {"GET k", "$1\r\n5\r\n", NULL},
    {"SET absent 5 XX GET", NIL, NIL3},
    {"EXISTS absent", ZERO, NULL},
    {"SET k 1 NX XX", SYNTAX, NULL},
    {"SET k 1 XX NX", SYNTAX, NULL},
    {"SET k 1 EX", SYNTAX, NULL},
    {"SET k 1 EX 10 PX 10", SYNTAX, NULL},
    {"SET k 1 PX 10 EX 10", SYNTAX, NULL},
    {"SET k 1 EXAT 10 PXAT 10", SYNTAX, NULL},
    {"SET k 1 KEEPTTL EX 10", SYNTAX, NULL},
    {"SET k 1 EX 10 KEEPTTL", SYNTAX, NULL},
    {"SET k 1 PXAT 10 KEEPTTL", SYNTAX, NULL},
    {"SET k 1 EXAT 10 EX 5", SYNTAX, NULL},
    {"SET k 1 10", SYNTAX, NULL},
    {"SET k 1 FOO", SYNTAX, NULL},
    {"SET k 1 EX 10 FOO", SYNTAX, NULL},
    {"SET k 1 EX x FOO", SYNTAX, NULL},
    {"SET k 1 EX NX", NOT_INTEGER, NULL},
    {"SET k 1 EX 1.5", NOT_INTEGER, NULL},
    {"SET k 1 EX \" 1\"", NOT_INTEGER, NULL},
    {"SET k 1 EX 9223372036854775808", NOT_INTEGER, NULL},
    {"SET k 1 EX 0", EXPIRE_TIME("set"), NULL},
    {"SET k 1 PX -1", EXPIRE_TIME("set"), NULL},
    {"SET k 1 EXAT 0", EXPIRE_TIME("set"), NULL},
    {"SET k 1 PXAT -5", EXPIRE_TIME("set"), NULL},
    {"SET k 1 EX 9223372036854775807", EXPIRE_TIME("set"), NULL},
    {"SET k 1 EX 9223372036854776", EXPIRE_TIME("set"), NULL},
    {"SET k 1 EX 9223372036854775", EXPIRE_TIME("set"), NULL}, /* only with the time of day it is too much */
    {"SET k 1 PX 9223372036854775807", EXPIRE_TIME("set"), NULL},
    {"SET k 1 EXAT 9223372036854776", EXPIRE_TIME("set"), NULL},
    {"GET k", "$1\r\n5\r\n", NULL}, /* none of these stored anything */
    {"TTL k", ":-1\r\n", NULL},
    {"SET k 1 EX 10 EX 20", OK, NULL},
    {"PTTL k", ":20000\r\n", NULL},
    {"SET k 2 KEEPTTL", OK, NULL},
    {"PTTL k", ":20000\r\n", NULL},
    {"GET k", "$1\r\n2\r\n", NULL},
    {"SET k 3 KEEPTTL GET XX", "$1\r\n2\r\n", NULL},
    {"PTTL k", ":20000\r\n", NULL},
    {"SET k 2 NX KEEPTTL", NIL, NIL3},
    {"SET k 2", OK, NULL},
    {"TTL k", ":-1\r\n", NULL},
    {"SET k 2 KEEPTTL", OK, NULL},
    {"TTL k", ":-1\r\n", NULL},
    {"SET k 2 px 1500 nx", NIL, NIL3},
    {"SET k 2 px 1500 xx", OK, NULL},
    {"PTTL k", ":1500\r\n", NULL},
    {"SET k 2 eXaT 1700000002", OK, NULL},
    {"PTTL k", ":2000\r\n", NULL},
    {"SET k 2 PxAt 1700000000001", OK, NULL},
    {"PTTL k", ONE, NULL},
    {"SET k 2 PXAT 1", OK, NULL}, /* in the past: stored, and gone at once */
    {"GET k", NIL, NIL3},
    {"SET k 2 PXAT 9223372036854775807", OK, NULL},
    {"GET k", "$1\r\n2\r\n", NULL},
    {"SETEX k 10 v", OK, NULL},
    {"PTTL k", ":10000\r\n", NULL},
    {"SETEX k 0 v", EXPIRE_TIME("setex"), NULL},
    {"SETEX k -1 v", EXPIRE_TIME("setex"), NULL},
    {"SETEX k x v", NOT_INTEGER, NULL},
    {"SETEX k 9223372036854775807 v", EXPIRE_TIME("setex"), NULL},
    {"SETEX k 10", ARITY("setex"), NULL},
    {"PSETEX k 15 v", OK, NULL},
    {"PTTL k", ":15\r\n", NULL},
    {"PSETEX k 0 v", EXPIRE_TIME("psetex"), NULL},
    {"PSETEX k 9223372036854775807 v", EXPIRE_TIME("psetex"), NULL},
    {"PSETEX k", ARITY("psetex"), NULL},
    {"GETSET k w", "$1\r\nv\r\n", NULL},
    {"PTTL k", ":-1\r\n", NULL},
    {"SETEX k 10 v", OK, NULL},
    {"MSET k w", OK, NULL},
    {"PTTL k", ":-1\r\n", NULL},
    {"SETEX k 10 v", OK, NULL},
    {"PUT k w", OK, NULL},
    {"PTTL k", ":-1\r\n", NULL},
};

static const struct step integer_steps[] = {
    {"INCR n", ONE, NULL},
    {"INCR n", ":2\r\n", NULL},
    {"DECR n", ONE, NULL},
    {"DECR m", ":-1\r\n", NULL},
    {"INCRBY n 10", ":11\r\n", NULL},
    {"INCRBY n -20", ":-9\r\n", NULL},
    {"DECRBY n 1", ":-10\r\n", NULL},
    {"DECRBY n -10", ZERO, NULL},
    {"GET n", "$1\r\n0\r\n", NULL},
    {"SET n 9223372036854775806", OK, NULL},
    {"INCR n", ":9223372036854775807\r\n", NULL},
    {"INCR n", OVERFLOW, NULL},
    {"INCRBY n 9223372036854775807", OVERFLOW, NULL},
    {"DECRBY n -1", OVERFLOW, NULL},
    {"GET n", "$19\r\n9223372036854775807\r\n", NULL},
    {"SET n -9223372036854775807", OK, NULL},
    {"DECR n", ":-9223372036854775808\r\n", NULL},
    {"DECR n", OVERFLOW, NULL},
    {"INCRBY n -1", OVERFLOW, NULL},
    {"GET n", "$20\r\n-9223372036854775808\r\n", NULL},
    {"INCRBY n 9223372036854775807", ":-1\r\n", NULL},
    {"DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n", NULL},
    {"INCRBY n -9223372036854775808", OVERFLOW, NULL},
    {"INCRBY n 9223372036854775808", NOT_INTEGER, NULL},
    {"INCRBY n 1.5", NOT_INTEGER, NULL},
    {"INCRBY n \"\"", NOT_INTEGER, NULL},
    {"INCRBY n +1", NOT_INTEGER, NULL},
    {"INCRBY n 01", NOT_INTEGER, NULL},
    {"DECRBY n x", NOT_INTEGER, NULL},
    {"SET t abc", OK, NULL},
    {"INCR t", NOT_INTEGER, NULL},
    {"SET t \" 1\"", OK, NULL},
    {"INCR t", NOT_INTEGER, NULL},
    {"SET t 01", OK, NULL},
    {"INCR t", NOT_INTEGER, NULL},
    {"SET t -0", OK, NULL},
    {"INCR t", NOT_INTEGER, NULL},
    {"SET t \"\"", OK, NULL},
    {"DECR t", NOT_INTEGER, NULL},
    {"SET t 9223372036854775808", OK, NULL},
    {"INCR t", NOT_INTEGER, NULL},
    {"SET t 5 PX 9000", OK, NULL},
    {"INCR t", ":6\r\n", NULL},
    {"APPEND t 7", ":2\r\n", NULL},
    {"PTTL t", ":9000\r\n", NULL},
    {"INCR", ARITY("incr"), NULL},
    {"INCR a b", ARITY("incr"), NULL},
    {"DECR", ARITY("decr"), NULL},
    {"INCRBY a", ARITY("incrby"), NULL},
    {"DECRBY a 1 2", ARITY("decrby"), NULL},
};

static const struct step key_steps[] = {
    {"MSET a 1 b 2 c 3", OK, NULL},
    {"EXISTS a", ONE, NULL},
    {"EXISTS a b x a", ":3\r\n", NULL},
    {"TOUCH a x c", ":2\r\n", NULL},
    {"TYPE a", "+string\r\n", NULL},
    {"TYPE x", "+none\r\n", NULL},
    {"DBSIZE", ":3\r\n", NULL},
    {"DEL x", ZERO, NULL},
    {"DEL a a b", ":2\r\n", NULL},
    {"UNLINK c c", ONE, NULL},
    {"DBSIZE", ZERO, NULL},
    {"EXISTS", ARITY("exists"), NULL},
    {"TOUCH", ARITY("touch"), NULL},
    {"DEL", ARITY("del"), NULL},
    {"UNLINK", ARITY("unlink"), NULL},
    {"TYPE", ARITY("type"), NULL},
    {"TYPE a b", ARITY("type"), NULL},
    {"DBSIZE x", ARITY("dbsize"), NULL},
    {"MSET a 1 b 2 c 3", OK, NULL},
    {"FLUSHALL foo", SYNTAX, NULL},
    {"FLUSHDB sync x", SYNTAX, NULL},
    {"DBSIZE", ":3\r\n", NULL},
    {"FLUSHALL", OK, NULL},
    {"DBSIZE", ZERO, NULL},
    {"SET a 1", OK, NULL},
    {"FLUSHDB ASYNC", OK, NULL},
    {"EXISTS a", ZERO, NULL},
    {"FLUSHALL sync", OK, NULL},
    {"KEYS *", "*0\r\n", NULL},
    {"SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n", NULL},
    {"SET hello 1", OK, NULL},
    {"KEYS *", "*1\r\n$5\r\nhello\r\n", NULL},
    {"KEYS h?llo", "*1\r\n$5\r\nhello\r\n", NULL},
    {"KEYS H*", "*0\r\n", NULL},
    {"KEYS h[a-f]llo", "*1\r\n$5\r\nhello\r\n", NULL},
    {"KEYS", ARITY("keys"), NULL},
    {"KEYS a b", ARITY("keys"), NULL},
    {"SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nhello\r\n", NULL},
    {"SCAN 0 MATCH h* COUNT 5 TYPE string", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nhello\r\n", NULL},
    {"SCAN 0 match x*", "*2\r\n$1\r\n0\r\n*0\r\n", NULL},
    {"SCAN 0 type hash", "*2\r\n$1\r\n0\r\n*0\r\n", NULL},
    {"SCAN 0 TYPE STRING", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nhello\r\n", NULL},
    {"SCAN 0 COUNT 0", SYNTAX, NULL},
    {"SCAN 0 COUNT -1", SYNTAX, NULL},
    {"SCAN 0 COUNT x", NOT_INTEGER, NULL},
    {"SCAN 0 COUNT", SYNTAX, NULL},
    {"SCAN 0 FOO 1", SYNTAX, NULL},
    {"SCAN 0 MATCH", SYNTAX, NULL},
    {"SCAN x", "-ERR invalid cursor\r\n", NULL},
    {"SCAN 1.5", "-ERR invalid cursor\r\n", NULL},
    {"SCAN x COUNT x", "-ERR invalid cursor\r\n", NULL},
    {"SCAN 99999999999999999999", "-ERR invalid cursor\r\n", NULL},
    {"SCAN", ARITY("scan"), NULL},
};

static const struct step expiry_steps[] = {
    {"TTL k", ":-2\r\n", NULL},
    {"PTTL k", ":-2\r\n", NULL},
    {"EXPIRE k 10", ZERO, NULL},
    {"PERSIST k", ZERO, NULL},
    {"SET k v", OK, NULL},
    {"TTL k", ":-1\r\n", NULL},
    {"PTTL k", ":-1\r\n", NULL},
    {"PERSIST k", ZERO, NULL},
    {"EXPIRE k 10", ONE, NULL},
    {"TTL k", ":10\r\n", NULL},
    {"PTTL k", ":10000\r\n", NULL},
    {"@500", NULL, NULL},
    {"TTL k", ":10\r\n", NULL}, /* 9.5 s are 10 */
    {"@1", NULL, NULL},
    {"TTL k", ":9\r\n", NULL},
    {"@9498", NULL, NULL},
    {"PTTL k", ONE, NULL},
    {"TTL k", ZERO, NULL},
    {"@1", NULL, NULL},
    {"PTTL k", ZERO, NULL}, /* exactly at the deadline it is still there */
    {"GET k", "$1\r\nv\r\n", NULL},
    {"EXISTS k", ONE, NULL},
    {"TYPE k", "+string\r\n", NULL},
    {"@1", NULL, NULL},
    {"TTL k", ":-2\r\n", NULL},
    {"GET k", NIL, NIL3},
    {"DBSIZE", ZERO, NULL},
    /* every command sees an expired key as none */
    {"MSET a 1 b 1 c 1 d 1 e 1 f 1 g 1 h 1", OK, NULL},
    {"PEXPIRE a 5", ONE, NULL},
    {"PEXPIRE b 5", ONE, NULL},
    {"PEXPIRE c 5", ONE, NULL},
    {"PEXPIRE d 5", ONE, NULL},
    {"PEXPIRE e 5", ONE, NULL},
    {"PEXPIRE f 5", ONE, NULL},
    {"PEXPIRE g 5", ONE, NULL},
    {"@6", NULL, NULL},
    {"DEL a", ZERO, NULL},
    {"APPEND b 2", ONE, NULL},
    {"TTL b", ":-1\r\n", NULL},
    {"INCR c", ONE, NULL},
    {"TTL c", ":-1\r\n", NULL},
    {"SET d 2 XX", NIL, NIL3},
    {"SETNX e 2", ONE, NULL},
    {"GETSET f 2", NIL, NIL3},
    {"EXPIRE g 100", ZERO, NULL},
    {"PERSIST g", ZERO, NULL},
    {"STRLEN g", ZERO, NULL},
    {"MGET g h", "*2\r\n$-1\r\n$1\r\n1\r\n", "*2\r\n_\r\n$1\r\n1\r\n"},
    /* options */
    {"SET k v", OK, NULL},
    {"EXPIRE k 10 XX", ZERO, NULL},
    {"EXPIRE k 10 GT", ZERO, NULL},
    {"TTL k", ":-1\r\n", NULL},
    {"EXPIRE k 10 LT", ONE, NULL},
    {"EXPIRE k 20 NX", ZERO, NULL},
    {"EXPIRE k 10 GT", ZERO, NULL},
    {"EXPIRE k 10 LT", ZERO, NULL},
    {"EXPIRE k 11 gt", ONE, NULL},
    {"TTL k", ":11\r\n", NULL},
    {"EXPIRE k 12 lt", ZERO, NULL},
    {"EXPIRE k 9 XX LT", ONE, NULL},
    {"EXPIRE k 30 xx gt", ONE, NULL},
    {"TTL k", ":30\r\n", NULL},
    {"PERSIST k", ONE, NULL},
    {"TTL k", ":-1\r\n", NULL},
    {"EXPIRE k 10 XX LT", ZERO, NULL},
    {"EXPIRE k 10 NX", ONE, NULL},
    {"EXPIRE k 10 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n", NULL},
    {"EXPIRE k 10 GT NX", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n", NULL},
    {"EXPIRE k 10 NX LT", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n", NULL},
    {"EXPIRE k 10 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n", NULL},
    {"EXPIRE k x GT LT", "-ERR GT and LT options at the same time are not compatible\r\n", NULL},
    {"EXPIRE k 10 FOO", "-ERR Unsupported option FOO\r\n", NULL},
    {"EXPIRE k x FOO", "-ERR Unsupported option FOO\r\n", NULL},
    {"EXPIRE k 10 NX XX FOO", "-ERR Unsupported option FOO\r\n", NULL},
    {"EXPIRE k x", NOT_INTEGER, NULL},
    {"EXPIRE k 1.5", NOT_INTEGER, NULL},
    {"EXPIRE k 9223372036854775808", NOT_INTEGER, NULL},
    {"EXPIRE k 9223372036854775807", EXPIRE_TIME("expire"), NULL},
    {"EXPIRE k 9223372036854775", EXPIRE_TIME("expire"), NULL},
    {"EXPIRE k -9223372036854775807", EXPIRE_TIME("expire"), NULL},
    {"PEXPIRE k 9223372036854775807", EXPIRE_TIME("pexpire"), NULL},
    {"EXPIREAT k 9223372036854775807", EXPIRE_TIME("expireat"), NULL},
    {"EXPIRE none 9223372036854775807", EXPIRE_TIME("expire"), NULL},
    {"TTL k", ":10\r\n", NULL},
    {"PEXPIREAT k 9223372036854775807", ONE, NULL},
    {"EXISTS k", ONE, NULL},
    {"EXPIREAT k 1700000100", ONE, NULL},
    {"PTTL k", ":89993\r\n", NULL},
    {"PEXPIREAT k 1700000100001", ONE, NULL},
    {"PTTL k", ":89994\r\n", NULL},
    {"PEXPIRE k 1500", ONE, NULL},
    {"TTL k", ":2\r\n", NULL},
    {"PEXPIRE k 1499", ONE, NULL},
    {"TTL k", ONE, NULL},
    /* past times delete */
    {"EXPIRE k 0", ONE, NULL},
    {"EXISTS k", ZERO, NULL},
    {"SET k v", OK, NULL},
    {"EXPIRE k -1", ONE, NULL},
    {"EXISTS k", ZERO, NULL},
    {"SET k v", OK, NULL},
    {"PEXPIRE k -9223372036854775808", ONE, NULL},
    {"DBSIZE", ":5\r\n", NULL},
    {"SET k v", OK, NULL},
    {"EXPIREAT k 1", ONE, NULL},
    {"EXISTS k", ZERO, NULL},
    {"SET k v", OK, NULL},
    {"PEXPIREAT k 0", ONE, NULL},
    {"EXISTS k", ZERO, NULL},
    {"SET k v", OK, NULL},
    {"EXPIRE k -1 XX", ZERO, NULL}, /* the condition comes first */
    {"EXPIRE k -1 GT", ZERO, NULL},
    {"EXISTS k", ONE, NULL},
    {"EXPIRE k -1 LT", ONE, NULL},
    {"EXISTS k", ZERO, NULL},
    {"EXPIRE k", ARITY("expire"), NULL},
    {"PEXPIRE k", ARITY("pexpire"), NULL},
    {"EXPIREAT k", ARITY("expireat"), NULL},
    {"PEXPIREAT k", ARITY("pexpireat"), NULL},
    {"TTL", ARITY("ttl"), NULL},
    {"PTTL a b", ARITY("pttl"), NULL},
    {"PERSIST", ARITY("persist"), NULL},
};

static const struct step connection_steps[] = {
    {"PING", "+PONG\r\n", NULL},
    {"ping hi", "$2\r\nhi\r\n", NULL},
    {"PING \"\"", "$0\r\n\r\n", NULL},
    {"PING a b", ARITY("ping"), NULL},
    {"ECHO hi", "$2\r\nhi\r\n", NULL},
    {"ECHO", ARITY("echo"), NULL},
    {"ECHO a b", ARITY("echo"), NULL},
    {"SELECT 0", OK, NULL},
    {"SELECT x", NOT_INTEGER, NULL},
    {"SELECT 16", "-ERR DB index is out of range\r\n", NULL},
    {"SELECT -1", "-ERR DB index is out of range\r\n", NULL},
    {"SELECT", ARITY("select"), NULL},
    {"AUTH x",
     "-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
     "configuration is correct?\r\n",
     NULL},
    {"AUTH default x", OK, NULL},
    {"AUTH other x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n", NULL},
    {"AUTH", ARITY("auth"), NULL},
    {"AUTH a b c", SYNTAX, NULL},
    {"CLIENT", ARITY("client"), NULL},
    {"CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n", NULL},
    {"CLIENT FOO a b", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n", NULL},
    {"CONFIG foo", "-ERR unknown subcommand 'foo'. Try CONFIG HELP.\r\n", NULL},
    {"COMMAND foo", "-ERR unknown subcommand 'foo'. Try COMMAND HELP.\r\n", NULL},
    {"COMMAND GETKEYSANDFLAGS DEL a b",
     "*2\r\n*2\r\n$1\r\na\r\n*2\r\n+RM\r\n+delete\r\n*2\r\n$1\r\nb\r\n*2\r\n+RM\r\n+delete\r\n",
     "*2\r\n*2\r\n$1\r\na\r\n~2\r\n+RM\r\n+delete\r\n*2\r\n$1\r\nb\r\n~2\r\n+RM\r\n+delete\r\n"},
    {"COMMAND GETKEYSANDFLAGS SET a b", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update\r\n",
     "*1\r\n*2\r\n$1\r\na\r\n~2\r\n+OW\r\n+update\r\n"},
    {"COMMAND GETKEYSANDFLAGS SET a b EX 5 GET", "*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update\r\n",
     "*1\r\n*2\r\n$1\r\na\r\n~3\r\n+RW\r\n+access\r\n+update\r\n"},
    {"CONFIG", ARITY("config"), NULL},
    {"CONFIG GET", ARITY("config|get"), NULL},
    {"CLIENT GETNAME", NIL, NIL3},
    {"CLIENT SETNAME me", OK, NULL},
    {"client getname", "$2\r\nme\r\n", NULL},
    {"CLIENT SETNAME \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", NULL},
    {"CLIENT SETNAME \"a\\n\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", NULL},
    {"CLIENT SETNAME \"\\x7f\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", NULL},
    {"CLIENT SETNAME \"\\xe9\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", NULL},
    {"CLIENT SETNAME !~", OK, NULL},
    {"CLIENT GETNAME", "$2\r\n!~\r\n", NULL},
    {"CLIENT SETNAME \"\"", OK, NULL},
    {"CLIENT GETNAME", NIL, NIL3},
    {"CLIENT SETNAME", ARITY("client|setname"), NULL},
    {"CLIENT GETNAME x", ARITY("client|getname"), NULL},
    {"CLIENT ID x", ARITY("client|id"), NULL},
    {"CLIENT ID", ONE, NULL},
    {"SHUTDOWN FOO", SYNTAX, NULL},
    {"SHUTDOWN SAVE NOSAVE", SYNTAX, NULL},
    {"SHUTDOWN ABORT NOW", SYNTAX, NULL},
    {"SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n", NULL},
    {"RESET x", ARITY("reset"), NULL},
    {"TIME x", ARITY("time"), NULL},
    {"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n", NULL},
    {"HELLO 1", "-NOPROTO unsupported protocol version\r\n", NULL},
    {"HELLO 4", "-NOPROTO unsupported protocol version\r\n", NULL},
    {"HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n", NULL},
    {"HELLO 3 AUTH x", "-ERR Syntax error in HELLO option 'AUTH'\r\n", NULL},
    {"HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n", NULL},
    {"HELLO 3 SETNAME \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", NULL},
    {"HELLO 3 AUTH other x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n", NULL},
};

/* What is not a command here, with its arguments as Redis shows them: 128 bytes of them, each up to a NUL. */
static const struct step unknown_steps[] = {
    {"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n", NULL},
    {"lpush a b", "-ERR unknown command 'lpush', with args beginning with: 'a' 'b' \r\n", NULL},
    {"\"\" x", "-ERR unknown command '', with args beginning with: 'x' \r\n", NULL},
    {"\"a\\r\\nb\" \"c\\nd\"", "-ERR unknown command 'a  b', with args beginning with: 'c d' \r\n", NULL},
    {"x \"\" \"a\\x00b\" c", "-ERR unknown command 'x', with args beginning with: '' 'a' 'c' \r\n", NULL},
    {"client|list", "-ERR unknown command 'client|list', with args beginning with: \r\n", NULL},
    {"x 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
     "12345678901234567890 abcdefghij klmn",
     "-ERR unknown command 'x', with args beginning with: '12345678901234567890123456789012345678901234567890"
     "1234567890123456789012345678901234567890123456789012345678901234567890' 'abcde' \r\n",
     NULL},
    {"x 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
     "123456789012345678901234567890 a",
     "-ERR unknown command 'x', with args beginning with: '12345678901234567890123456789012345678901234567890"
     "123456789012345678901234567890123456789012345678901234567890123456789012345678' \r\n",
     NULL},
    {"x 12345678901234567890123456789012345678901234567890123456789012345678901234567890"
     "123456789012345678901234567890123456789012345 a",
     "-ERR unknown command 'x', with args beginning with: '1234567890123456789012345678901234567890"
     "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345' \r\n",
     NULL}, /* 128 bytes exactly: no more */
    {"y2345678901234567890123456789012345678901234567890123456789012345678901234567890"
     "123456789012345678901234567890123456789012345678901",
     "-ERR unknown command 'y234567890123456789012345678901234567890123456789012345678"
     "9012345678901234567890123456789012345678901234567890123456789012345678', with args beginning with: "
     "\r\n",
     NULL},
    {"CLIENT y234567890123456789012345678901234567890123456789012345678901234567890123"
     "4567890123456789012345678901234567890123456789012345678901",
     "-ERR unknown subcommand 'y234567890123456789012345678901234567890123456789012345"
     "6789012345678901234567890123456789012345678901234567890123456789012345678'. Try CLIENT HELP.\r\n",
     NULL},
};

static void test_strings(void) { RUN(string_steps); }

static void test_set_options(void) { RUN(set_steps); }

static void test_integers(void) { RUN(integer_steps); }

static void test_keys_of_all_kinds(void) { RUN(key_steps); }

static void test_expiry(void) { RUN(expiry_steps); }

static void test_connection(void) { RUN(connection_steps); }

static void test_unknown(void) { RUN(unknown_steps); }

static void test_setinfo(void) {
    struct fixture *f = small();
    EXPECT(f, "CLIENT SETINFO LIB-NAME redis-py", OK);
    EXPECT(f, "CLIENT SETINFO lib-ver 5.0.1", OK);
    CHECK_TEXT(f->client->lib_name, "redis-py");
    CHECK_TEXT(f->client->lib_version, "5.0.1");
    EXPECT(f, "CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'\r\n");
    EXPECT(f, "CLIENT SETINFO lib-name \"a b\"",
           "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n");
    EXPECT(f, "CLIENT SETINFO lib-ver \"a\\n\"",
           "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n");
    EXPECT(f, "CLIENT SETINFO Lib-Name \"a b\"", /* as it was written */
           "-ERR Lib-Name cannot contain spaces, newlines or special characters.\r\n");
    EXPECT(f, "CLIENT SETINFO LIB-NAME", ARITY("client|setinfo"));
    CHECK_TEXT(f->client->lib_name, "redis-py");
    EXPECT(f, "CLIENT SETINFO LIB-NAME \"\"", OK);
    CHECK(f->client->lib_name == NULL);
    char text[400], name[300];
    memset(name, 'n', sizeof name);
    static const char *const commands[] = {"CLIENT SETNAME", "CLIENT SETINFO LIB-NAME", "CLIENT SETINFO LIB-VER"};
    static const int most[] = {CLIENT_NAME_MAX - 1, CLIENT_LIBRARY_MAX, CLIENT_LIBRARY_MAX};
    for (int i = 0; i < 3; i++)
        for (int n = most[i] - 1; n <= most[i] + 2; n++) {
            snprintf(text, sizeof text, "%s %.*s", commands[i], n, name);
            struct slice reply = line(f, text);
            CHECK(n <= most[i] ? slice_equal(reply, SLICE(OK)) : reply.p[0] == '-');
        }
    snprintf(text, sizeof text, "$255\r\n%.255s\r\n", name);
    SAME(line(f, "CLIENT GETNAME"), slice_of(text));
    fixture_free(f);
}

/* ---- HELLO, AUTH, RESET, QUIT, SHUTDOWN ---- */

#define HELLO_BODY(proto)                                                                                              \
    "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n" SPONSON_REDIS_VERSION                                     \
    "\r\n$15\r\nsponson_version\r\n$5\r\n" SPONSON_VERSION "\r\n$5\r\nproto\r\n:" proto                                \
    "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$"                         \
    "7\r\nmodules\r\n*0\r\n"
#define HELLO2 "*16\r\n" HELLO_BODY("2")
#define HELLO3 "%8\r\n" HELLO_BODY("3")
#define NOAUTH "-NOAUTH Authentication required.\r\n"
#define WRONGPASS "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
#define NOAUTH_HELLO                                                                                                   \
    "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "            \
    "<user> "                                                                                                          \
    "<pass> option can be used to authenticate the client and select the RESP protocol version at the same "           \
    "time\r\n"

static void test_hello(void) {
    struct fixture *f = small();
    EXPECT(f, "HELLO", HELLO2);
    EXPECT(f, "HELLO 2", HELLO2);
    EXPECT(f, "HELLO 3", HELLO3);
    EXPECT(f, "GET x", NIL3);
    EXPECT(f, "HELLO 4", "-NOPROTO unsupported protocol version\r\n");
    EXPECT(f, "HELLO", HELLO3);
    EXPECT(f, "HELLO 2 SETNAME me AUTH default anything", HELLO2);
    EXPECT(f, "CLIENT GETNAME", "$2\r\nme\r\n");
    EXPECT(f, "HELLO 3 setname you", HELLO3);
    EXPECT(f, "RESET", "+RESET\r\n");
    EXPECT(f, "CLIENT GETNAME", NIL);
    EXPECT(f, "HELLO 3 AUTH other x SETNAME a", WRONGPASS); /* changes nothing */
    EXPECT(f, "CLIENT GETNAME", NIL);
    fixture_free(f);
}

static void test_auth(void) {
    struct fixture *f = small();
    strcpy(f->config.requirepass, "secret");
    atomic_store(&f->client->modes, CLIENT_LOCKED_OUT);
    EXPECT(f, "GET x", NOAUTH);
    EXPECT(f, "PING", NOAUTH);
    EXPECT(f, "CLIENT ID", NOAUTH);
    EXPECT(f, "COMMAND COUNT", NOAUTH);
    EXPECT(f, "GET", ARITY("get")); /* the order of errors: name, arity, sizes, then this */
    EXPECT(f, "FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n");
    EXPECT(f, "CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n");
    EXPECT(f, "AUTH wrong", WRONGPASS);
    EXPECT(f, "AUTH secre", WRONGPASS);
    EXPECT(f, "AUTH secret1", WRONGPASS);
    EXPECT(f, "AUTH secretsecret", WRONGPASS);
    EXPECT(f, "AUTH \"\"", WRONGPASS);
    EXPECT(f, "AUTH Secret", WRONGPASS);
    EXPECT(f, "AUTH other secret", WRONGPASS);
    EXPECT(f, "AUTH default wrong", WRONGPASS);
    EXPECT(f, "GET x", NOAUTH);
    EXPECT(f, "HELLO", NOAUTH_HELLO);
    EXPECT(f, "HELLO 3", NOAUTH_HELLO);
    EXPECT(f, "HELLO 3 SETNAME a", NOAUTH_HELLO);
    EXPECT(f, "HELLO 3 AUTH default wrong", WRONGPASS);
    EXPECT(f, "GET x", NOAUTH);
    EXPECT(f, "HELLO 3 AUTH default secret SETNAME a", HELLO3);
    EXPECT(f, "CLIENT GETNAME", "$1\r\na\r\n");
    EXPECT(f, "AUTH wrong", WRONGPASS); /* a client that is in stays in */
    EXPECT(f, "GET x", NIL3);
    EXPECT(f, "RESET", "+RESET\r\n");
    EXPECT(f, "GET x", NOAUTH);
    EXPECT(f, "AUTH secret", OK);
    EXPECT(f, "GET x", NIL);
    EXPECT(f, "RESET", "+RESET\r\n");
    EXPECT(f, "AUTH default secret", OK);
    EXPECT(f, "GET x", NIL);
    EXPECT(f, "RESET", "+RESET\r\n");
    CHECK(f->result == COMMAND_DONE);
    EXPECT(f, "QUIT", OK); /* needs no password */
    CHECK(f->result == COMMAND_CLOSE);
    fixture_free(f);
}

/* The options of HELLO are read before anything is done: a wrong one lets nobody in. */
static void test_hello_reads_options_first(void) {
    struct fixture *f = small();
    strcpy(f->config.requirepass, "secret");
    atomic_store(&f->client->modes, CLIENT_LOCKED_OUT);
    EXPECT(f, "HELLO 3 AUTH default secret FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n");
    EXPECT(f, "GET x", NOAUTH);
    EXPECT(f, "HELLO 3 AUTH default wrong FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n");
    fixture_free(f);
}

static void test_select_range(void) {
    struct fixture *f = small();
    EXPECT(f, "SELECT 2147483648", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    EXPECT(f, "SELECT -2147483649", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    EXPECT(f, "SELECT 9223372036854775808", NOT_INTEGER);
    fixture_free(f);
}

static void test_close(void) {
    struct fixture *f = small();
    EXPECT(f, "quit now", OK);
    CHECK(f->result == COMMAND_CLOSE);
    CHECK(line(f, "POST / HTTP/1.1").n == 0 && f->result == COMMAND_CLOSE);
    CHECK(line(f, "host: localhost").n == 0 && f->result == COMMAND_CLOSE);
    EXPECT(f, "SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    EXPECT(f, "SHUTDOWN foo", SYNTAX);
    CHECK(line(f, "SHUTDOWN SAVE").p[0] == '-');
    CHECK(f->shutdowns == 0);
    CHECK(line(f, "SHUTDOWN").n == 0 && f->result == COMMAND_CLOSE && f->shutdowns == 1);
    CHECK(line(f, "shutdown nosave now force").n == 0 && f->result == COMMAND_CLOSE && f->shutdowns == 2);
    fixture_free(f);
}

/* ---- sizes ---- */

static void test_sizes(void) {
    static const char key_error[] = "-ERR key exceeds max-key-size (1024 bytes)\r\n";
    static const char value_error[] = "-ERR value exceeds max-value-size (131072 bytes)\r\n";
    static char large[(128 << 10) + 2];
    struct fixture *f = small();
    memset(large, 'x', sizeof large);
    struct slice key = {large, 1024}, long_key = {large, 1025};
    struct slice value = {large, 128 << 10}, kept = {large, (128 << 10) + 1}, gone = {NULL, (128 << 10) + 1};
    struct slice set[] = {SLICE("SET"), key, value};
    SAME(run(f, set, 3), SLICE(OK));
    struct slice get[] = {SLICE("GET"), key};
    SAME(part(run(f, get, 2), 9, value.n), value);
    const struct {
        struct slice argv[6];
        int argc;
        const char *want;
    } table[] = {
        {{SLICE("SET"), long_key, value}, 3, key_error},
        {{SLICE("SET"), key, gone}, 3, value_error},
        {{SLICE("SET"), long_key, gone}, 3, key_error},
        {{SLICE("SET"), gone, gone}, 3, key_error},
        {{SLICE("SET"), gone, gone, SLICE("FOO")}, 4, key_error},
        {{SLICE("SET"), key, gone, SLICE("FOO")}, 4, value_error},
        {{SLICE("SET"), key, SLICE("v"), SLICE("EX"), gone}, 5, value_error},
        {{SLICE("SET"), gone}, 2, ARITY("set")},
        {{SLICE("GET"), gone, gone}, 3, ARITY("get")},
        {{SLICE("FOO"), gone}, 2, "-ERR unknown command 'FOO', with args beginning with: '' \r\n"},
        {{gone, SLICE("a")}, 2, "-ERR unknown command '', with args beginning with: 'a' \r\n"},
        {{SLICE("GET"), long_key}, 2, key_error},
        {{SLICE("DEL"), key, long_key}, 3, key_error},
        {{SLICE("MSET"), key, gone, long_key, SLICE("v")}, 5, key_error},
        {{SLICE("MSET"), key, long_key, SLICE("k"), gone}, 5, value_error},
        {{SLICE("MGET"), SLICE("a"), gone}, 3, key_error},
        {{SLICE("APPEND"), SLICE("a"), gone}, 3, value_error},
        {{SLICE("SETEX"), SLICE("a"), SLICE("1"), gone}, 4, value_error},
        {{SLICE("SETNX"), SLICE("a"), gone}, 3, value_error},
        {{SLICE("GETSET"), SLICE("a"), gone}, 3, value_error},
        {{SLICE("PUT"), SLICE("a"), gone}, 3, value_error},
        {{SLICE("ECHO"), gone}, 2, value_error},
        {{SLICE("PING"), gone}, 2, value_error},
        {{SLICE("CLIENT"), SLICE("SETNAME"), gone}, 3, value_error},
        {{SLICE("CLIENT"), gone}, 2, "-ERR unknown subcommand ''. Try CLIENT HELP.\r\n"},
        {{SLICE("HELLO"), gone}, 2, value_error},
        {{SLICE("CONFIG"), SLICE("GET"), gone}, 3, value_error},
        {{SLICE("KEYS"), long_key}, 2, "-ERR pattern exceeds 1024 bytes\r\n"},
        {{SLICE("SCAN"), SLICE("0"), SLICE("MATCH"), long_key}, 4, "-ERR pattern exceeds 1024 bytes\r\n"},
        {{SLICE("SCAN"), SLICE("0"), SLICE("MATCH"), gone}, 4, value_error},
    };
    for (int authenticated = 1; authenticated >= 0; authenticated--) { /* sizes come before the password */
        strcpy(f->config.requirepass, authenticated ? "" : "secret");
        atomic_store(&f->client->modes, authenticated ? 0 : CLIENT_LOCKED_OUT);
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            struct slice argv[6];
            memcpy(argv, table[i].argv, sizeof argv);
            struct slice reply = run(f, argv, table[i].argc);
            bool pattern = strstr(table[i].want, "pattern") != NULL;
            if (!SAME(reply, slice_of(pattern && !authenticated ? NOAUTH : table[i].want))) printf("#   row %zu\n", i);
        }
    }
    f->config.requirepass[0] = '\0';
    atomic_store(&f->client->modes, 0);
    SAME(part(run(f, get, 2), 9, value.n), value); /* none of these changed anything */
    EXPECT(f, "DBSIZE", ONE);

    /* a parser that kept the bytes, since a key may be longer than a value: the handlers look at the value */
    struct slice argv[] = {SLICE("SET"), SLICE("k"), kept};
    static const char *const three[] = {"SET", "PUT", "SETNX", "GETSET", "APPEND", "MSET"};
    for (size_t i = 0; i < 6; i++) {
        argv[0] = slice_of(three[i]);
        SAME(run(f, argv, 3), slice_of(value_error));
    }
    struct slice none[] = {
        SLICE("MSETEX"), {NULL, 200000}, SLICE("k"), SLICE("v")}; /* which of them are keys is not known */
    SAME(run(f, none, 4), slice_of(value_error));
    struct slice four[] = {SLICE("SETEX"), SLICE("k"), SLICE("1"), kept};
    SAME(run(f, four, 4), slice_of(value_error));
    four[0] = SLICE("PSETEX");
    SAME(run(f, four, 4), slice_of(value_error));
    EXPECT(f, "EXISTS k", ZERO);
    struct slice two[] = {SLICE("MSET"), SLICE("k"), SLICE("v"), SLICE("l"), kept};
    SAME(run(f, two, 5), slice_of(value_error));
    EXPECT(f, "EXISTS k l", ZERO); /* all or nothing */

    /* APPEND past the limit keeps the old value, and its deadline */
    struct slice first[] = {SLICE("SET"), SLICE("k"), {large, (128 << 10) - 3}, SLICE("PX"), SLICE("5000")};
    SAME(run(f, first, 5), SLICE(OK));
    EXPECT(f, "APPEND k 1234", "-ERR value exceeds max-value-size (131072 bytes)\r\n");
    EXPECT(f, "STRLEN k", ":131069\r\n");
    EXPECT(f, "PTTL k", ":5000\r\n");
    EXPECT(f, "APPEND k 123", ":131072\r\n");
    EXPECT(f, "APPEND k 1", "-ERR value exceeds max-value-size (131072 bytes)\r\n");
    EXPECT(f, "APPEND k \"\"", ":131072\r\n");
    EXPECT(f, "PTTL k", ":5000\r\n");
    EXPECT(f, "EXPIRE k 9", ONE);
    EXPECT(f, "PERSIST k", ONE);
    EXPECT(f, "STRLEN k", ":131072\r\n");
    struct slice get_k[] = {SLICE("GET"), SLICE("k")};
    struct slice reply = run(f, get_k, 2);
    CHECK(reply.n == 131072 + 11 && memcmp(reply.p + 9 + 131069, "123", 3) == 0);
    EXPECT(f, "SET small v", OK);
    EXPECT(f, "EXPIRE small 9", ONE); /* an entry that had no room for a deadline */
    EXPECT(f, "GET small", "$1\r\nv\r\n");
    fixture_free(f);
}

static void test_safe_sizes(void) {
    struct fixture *f = small();
    CHECK(command_argument_max(&f->config) == 128 << 10 && command_argument_safe(&f->config) == 1024);
    CHECK(command_reply_room(&f->shards) >= 128 << 10);
    f->config.max_value_size_bytes = 100;
    CHECK(command_argument_max(&f->config) == 1024 && command_argument_safe(&f->config) == 100);
    fixture_free(f);
}

/* ---- very many keys ---- */

static struct slice key_of(uint32_t i, char *text) {
    return (struct slice){text, (size_t)snprintf(text, 32, "key:%u", i)};
}

enum { MANY = 5000 };

/* argv of `name` and MANY keys; the texts stay in `text`. */
static void many_keys(struct slice *argv, char (*text)[32], struct slice name) {
    argv[0] = name;
    for (uint32_t i = 0; i < MANY; i++)
        argv[1 + i] = key_of(i, text[i]);
}

static void test_suspended(void) {
    static struct slice argv[MANY + 1];
    static char text[MANY][32], want[MANY * 32];
    struct fixture *f = small();
    many_keys(argv, text, SLICE("MGET"));
    struct buf b = {want, 0, sizeof want, false};
    buf_printf(&b, "*%d\r\n", MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        char command[64];
        if (i % 3) {
            snprintf(command, sizeof command, "SET key:%u value-%u", i, i * i);
            EXPECT(f, command, OK);
        }
        snprintf(command, sizeof command, "GET key:%u", i);
        buf_put_slice(&b, line(f, command));
    }
    REQUIRE(!b.full);
    struct slice wanted = {want, b.len};
    SAME(run(f, argv, MANY + 1), wanted);
    CHECK(f->turns >= 5 && f->result == COMMAND_DONE);
    argv[0] = SLICE("EXISTS");
    SAME(run(f, argv, MANY + 1), SLICE(":3333\r\n"));
    CHECK(f->turns >= 5);
    argv[0] = SLICE("touch");
    SAME(run(f, argv, MANY + 1), SLICE(":3333\r\n"));
    argv[0] = SLICE("DEL");
    argv[MANY] = argv[1]; /* one key is named twice, the last not */
    SAME(run(f, argv, MANY + 1), SLICE(":3332\r\n"));
    CHECK(f->turns >= 5);
    EXPECT(f, "DBSIZE", ONE);
    SAME(run(f, argv, MANY + 1), SLICE(ZERO));
    for (int argc = 510; argc <= 516; argc++) { /* around what one turn does */
        argv[0] = SLICE("MSET");
        struct slice pairs[1 + 2 * 600];
        pairs[0] = SLICE("MSET");
        for (int i = 1; i < argc; i++) {
            pairs[2 * i - 1] = argv[i];
            pairs[2 * i] = SLICE("v");
        }
        SAME(run(f, pairs, 2 * argc - 1), SLICE(OK));
        char number[32];
        snprintf(number, sizeof number, ":%d\r\n", argc - 1);
        argv[0] = SLICE("EXISTS");
        SAME(run(f, argv, argc), slice_of(number));
        argv[0] = SLICE("MGET");
        CHECK(run(f, argv, argc).n == strlen(number) + (size_t)(argc - 1) * 7);
        argv[0] = SLICE("UNLINK");
        SAME(run(f, argv, argc), slice_of(number));
    }
    /* suspended and forgotten: the next command starts from nothing */
    argv[0] = SLICE("DEL");
    EXPECT(f, "SET key:1 v", OK);
    struct request r = prepare(f, argv, MANY + 1);
    CHECK(turn(f, &r));
    command_forget(&f->context, f->client);
    EXPECT(f, "DEL key:1 key:4999", ONE);
    fixture_free(f);
}

/* Values that do not fit `out` together: a turn ends when it is full. */
static void test_mget_large(void) {
    enum { VALUES = 20 };
    static char value[1 << 20];
    struct fixture *f = fixture_new(512 << 20, 1 << 20, 2);
    struct slice argv[VALUES + 2] = {SLICE("MGET")};
    char text[VALUES + 1][32];
    for (uint32_t i = 0; i <= VALUES; i++) {
        argv[1 + i] = key_of(i, text[i]);
        memset(value, (int)('a' + i), sizeof value);
        struct slice set[] = {SLICE("SET"), argv[1 + i], {value, sizeof value}};
        if (i < VALUES) SAME(run(f, set, 3), SLICE(OK));
    }
    struct slice reply = run(f, argv, VALUES + 2);
    CHECK(f->turns >= VALUES / 2);
    size_t header = sizeof "*21\r\n" - 1, each = sizeof "$1048576\r\n" - 1 + sizeof value + 2;
    REQUIRE(reply.n == header + VALUES * each + 5 && memcmp(reply.p, "*21\r\n", 5) == 0);
    for (uint32_t i = 0; i < VALUES; i++) {
        memset(value, (int)('a' + i), sizeof value);
        const char *at = reply.p + header + i * each;
        CHECK(memcmp(at, "$1048576\r\n", 10) == 0 && memcmp(at + 10, value, sizeof value) == 0);
    }
    CHECK(memcmp(reply.p + reply.n - 5, NIL, 5) == 0);
    fixture_free(f);
}

/* ---- KEYS and SCAN ---- */

enum { STORED = 30000 };

static void store_many(struct fixture *f, uint32_t n) {
    char text[32];
    for (uint32_t i = 0; i < n; i++) {
        struct slice argv[] = {SLICE("SET"), key_of(i, text), SLICE("v"), SLICE("PX"), SLICE("100")};
        run(f, argv, i % 7 == 6 ? 5 : 3);
    }
}

/* Whether a reply that begins at p has each key that `pattern` matches exactly once, and no other. */
static bool keys_right(const char *p, const char *pattern, bool expired) {
    static uint8_t seen[STORED];
    int64_t n;
    p = header_at(p, &n);
    memset(seen, 0, sizeof seen);
    for (; n > 0; n--) {
        struct slice key = bulk_at(&p);
        uint32_t i = (uint32_t)strtoul(key.p + 4, NULL, 10);
        if (i >= STORED || seen[i]++) return false;
    }
    for (uint32_t i = 0; i < STORED; i++) {
        char text[32];
        bool want = !(expired && i % 7 == 6) && glob_match(slice_of(pattern), key_of(i, text), false);
        if (seen[i] != want) return false;
    }
    return true;
}

static void test_keys(void) {
    static const char *const patterns[] = {"*", "key:*", "*5", "key:1?3", "key:[1-3]*7", "none", "key:29999", "**"};
    struct fixture *f = small();
    store_many(f, STORED);
    for (int expired = 0; expired <= 1; expired++) {
        f->context.now_ms += 101 * expired;
        for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            struct slice argv[] = {SLICE("KEYS"), slice_of(patterns[i])};
            CHECK(keys_right(run(f, argv, 2).p, patterns[i], expired));
            CHECK(f->turns > 10 && f->result == COMMAND_COLLECTED);
        }
    }
    /* the connection goes in the middle: nothing is lost, and the next KEYS starts at the beginning */
    struct slice argv[] = {SLICE("KEYS"), SLICE("*")};
    struct request r = prepare(f, argv, 2);
    for (int i = 0; i < 5; i++)
        CHECK(turn(f, &r));
    CHECK(atomic_load(&f->budget.used_bytes) > 0);
    command_forget(&f->context, f->client);
    CHECK(atomic_load(&f->budget.used_bytes) == 0 && f->client->suspended.reply.p == NULL);
    command_forget(&f->context, f->client); /* a second time is nothing */
    CHECK(keys_right(run(f, argv, 2).p, "*", true));
    fixture_free(f);
}

static void test_keys_too_many(void) {
    static const char start[] = "-ERR the reply of 'keys' exceeds ";
    struct fixture *f = small();
    store_many(f, STORED);
    struct slice argv[] = {SLICE("KEYS"), SLICE("*")};
    f->config.client_output_bytes = 128 << 10;
    struct slice reply = run(f, argv, 2); /* run() checks that no memory is held */
    CHECK(strncmp(reply.p, start, sizeof start - 1) == 0 && has(f, "SCAN") && f->turns > 1);
    CHECK(has(f, "(131072 bytes)") && f->result == COMMAND_DONE);
    CHECK(f->metrics.errors[0] == 1);
    EXPECT(f, "KEYS key:77", "*1\r\n$6\r\nkey:77\r\n");
    f->config.client_output_bytes = 32 << 20;
    CHECK(keys_right(run(f, argv, 2).p, "*", false));
    for (size_t limit = 0; limit <= 512 << 10; limit = limit ? limit * 2 : 65536) { /* no memory for all clients */
        f->budget.limit_bytes = limit;
        reply = run(f, argv, 2);
        CHECK(strncmp(reply.p, start, sizeof start - 1) == 0 && has(f, "SCAN"));
    }
    f->budget.limit_bytes = 64 << 20;
    CHECK(keys_right(run(f, argv, 2).p, "*", false));
    fixture_free(f);
}

/* The longest keys: a bucket of them is more than the room that was made for it. */
static void test_long_keys(void) {
    enum { LONG = 3000 };
    struct fixture *f = fixture_new(64 << 20, 128 << 10, 2);
    f->config.max_key_size_bytes = KEY_SIZE_MAX;
    static char key[KEY_SIZE_MAX];
    static uint8_t seen[LONG];
    memset(key, 'k', sizeof key);
    for (uint32_t i = 0; i < LONG; i++) {
        memcpy(key, &i, sizeof i);
        struct slice argv[] = {SLICE("SET"), {key, sizeof key}, SLICE("v")};
        SAME(run(f, argv, 3), SLICE(OK));
    }
    struct slice keys[] = {SLICE("KEYS"), SLICE("*")};
    const char *p = run(f, keys, 2).p;
    int64_t n;
    p = header_at(p, &n);
    REQUIRE(n == LONG);
    for (; n > 0; n--) {
        uint32_t i;
        memcpy(&i, bulk_at(&p).p, sizeof i);
        REQUIRE(i < LONG);
        seen[i]++;
    }
    for (uint32_t i = 0; i < LONG; i++)
        CHECK(seen[i] == 1);
    char cursor[32] = "0";
    size_t most = 0, found = 0;
    do {
        struct slice argv[] = {SLICE("SCAN"), slice_of(cursor), SLICE("COUNT"), SLICE("1000000")};
        struct slice reply = run(f, argv, 4);
        most = reply.n > most ? reply.n : most;
        p = header_at(reply.p, &n);
        struct slice next = bulk_at(&p);
        snprintf(cursor, sizeof cursor, "%.*s", (int)next.n, next.p);
        p = header_at(p, &n);
        found += (size_t)n;
    } while (strcmp(cursor, "0") != 0);
    CHECK(found == LONG);
    CHECK(most < 512 << 10); /* it stops at the bucket that passes 256 KB */
    fixture_free(f);
}

static void test_scan(void) {
    static const struct {
        const char *options;
        const char *pattern;
        bool none;
    } table[] = {
        {"COUNT 1", "*", false},
        {"", "*", false},
        {"COUNT 1000", "*", false},
        {"COUNT 9223372036854775807", "*", false},
        {"MATCH *7", "*7", false},
        {"COUNT 500 MATCH key:1*", "key:1*", false},
        {"MATCH none* COUNT 100", "none*", false},
        {"TYPE string COUNT 300", "*", false},
        {"TYPE list COUNT 300", "*", true},
        {"MATCH x MATCH *5 COUNT 1 COUNT 700", "*5", false},
    };
    struct fixture *f = small();
    store_many(f, STORED);
    f->context.now_ms += 101;
    static char all[STORED * 32];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char cursor[32] = "0", text[128];
        struct buf b = {all, 16, sizeof all, false};
        int64_t total = 0, n;
        int calls = 0;
        do {
            snprintf(text, sizeof text, "SCAN %s %s", cursor, table[i].options);
            const char *p = line(f, text).p;
            p = header_at(p, &n);
            REQUIRE(n == 2);
            struct slice next = bulk_at(&p);
            snprintf(cursor, sizeof cursor, "%.*s", (int)next.n, next.p);
            CHECK(strtoull(cursor, NULL, 10) < 1ull << 53);
            p = header_at(p, &n);
            total += n;
            buf_put(&b, p, f->reply.len - (size_t)(p - f->reply.p));
            CHECK(f->turns == 1);
            REQUIRE(++calls < 100000);
        } while (strcmp(cursor, "0") != 0);
        REQUIRE(!b.full);
        snprintf(text, sizeof text, "*%lld\r\n", (long long)total);
        memcpy(all + 16 - strlen(text), text, strlen(text));
        CHECK(table[i].none ? total == 0 : keys_right(all + 16 - strlen(text), table[i].pattern, true));
        CHECK(strcmp(table[i].options, "COUNT 1") != 0 || calls > 1000);
        bool selective = strstr(table[i].options, "MATCH") || strstr(table[i].options, "TYPE");
        CHECK(calls > 5 || selective); /* who finds little may look at much in one turn */
    }
    EXPECT(f, "SCAN 274877906944", "-ERR invalid cursor\r\n"); /* 64 << 32 */
    EXPECT(f, "SCAN -1", "-ERR invalid cursor\r\n");
    fixture_free(f);
}

/* ---- patterns ---- */

static void test_glob_table(void) {
    static const struct {
        const char *pattern, *text;
        bool matches;
    } table[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"a", "a", true},
        {"a", "A", false},
        {"a", "aa", false},
        {"?", "a", true},
        {"?", "", false},
        {"??", "a", false},
        {"*", "a", true},
        {"**", "abc", true},
        {"a*", "a", true},
        {"*a", "a", true},
        {"a*c", "abbbc", true},
        {"a*c", "abbb", false},
        {"a*b*c", "a1b2b3c", true},
        {"*?", "a", true},
        {"?*", "", false},
        {"a**b", "ab", true},
        {"*ab", "aab", true},
        {"[abc]", "b", true},
        {"[abc]", "d", false},
        {"[a-c]", "b", true},
        {"[a-c]", "d", false},
        {"[c-a]", "b", true},
        {"[c-a]", "d", false},
        {"[^a]", "b", true},
        {"[^a]", "a", false},
        {"[^a-c]", "d", true},
        {"[^a-c]", "b", false},
        {"[^c-a]", "b", false},
        {"[a^]", "^", true},
        {"[a^]", "a", true},
        {"[", "a", false},
        {"[", "[", false},
        {"[a", "a", true},
        {"[a", "b", false},
        {"[a-", "a", true},
        {"[a-", "-", true},
        {"[a-]", "]", true},
        {"[a-]", "b", false},
        {"[-a]", "-", true},
        {"[^", "a", true},
        {"[^a", "b", true},
        {"[^a", "a", false},
        {"[]", "a", false},
        {"[]a]", "a", false},
        {"[^]", "a", true},
        {"[^]a", "xa", true},
        {"[a]b", "ab", true},
        {"[\\]]", "]", true},
        {"[\\]a]", "a", true},
        {"[\\^a]", "^", true},
        {"[\\a-c]", "-", true},
        {"[\\a-c]", "b", false},
        {"[a\\", "\\", true},
        {"[\\", "\\", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\?", "?", true},
        {"\\[a]", "[a]", true},
        {"\\\\", "\\", true},
        {"\\a", "a", true},
        {"\\", "\\", true},
        {"a\\", "a\\", true},
        {"a\\", "a", false},
        {"*\\", "a\\", true},
        {"*[a-c]*", "xbx", true},
        {"*[^x]", "xx", false},
        {"h[ae]llo", "hallo", true},
        {"h[ae]llo", "hillo", false},
        {"user:*:name", "user:1:name", true},
        {"user:*:name", "user:1:names", false},
        {"[A-Z]", "a", false},
        {"[\x80-\xff]", "\xc0", true},
        {"[a-\xff]", "0", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        bool matches = glob_match(slice_of(table[i].pattern), slice_of(table[i].text), false);
        CHECK(matches == table[i].matches);
        if (matches != table[i].matches) printf("#   %s on %s\n", table[i].pattern, table[i].text);
    }
    CHECK(glob_match(SLICE("MAX*"), SLICE("maxmemory"), true) && !glob_match(SLICE("MAX*"), SLICE("maxmemory"), false));
    CHECK(glob_match(SLICE("[A-C]"), SLICE("b"), true) && glob_match(SLICE("[a-c]"), SLICE("B"), true));
    CHECK(glob_match(SLICE("[^A]"), SLICE("b"), true) && !glob_match(SLICE("[^A]"), SLICE("a"), true));
    CHECK(glob_match(SLICE("\\A"), SLICE("a"), true) && glob_match(SLICE("a\0*"), SLICE("a\0b"), false));
}

/* By definition: slow, and written another way. */
static bool matches_plainly(const char *p, size_t pn, const char *t, size_t tn) {
    if (pn == 0) return tn == 0;
    if (*p == '*') {
        for (size_t skip = 0; skip <= tn; skip++)
            if (matches_plainly(p + 1, pn - 1, t + skip, tn - skip)) return true;
        return false;
    }
    if (tn == 0) return false;
    bool match = *p == '?' || *p == *t;
    size_t used = 1;
    if (*p == '\\' && pn > 1) {
        match = p[1] == *t;
        used = 2;
    } else if (*p == '[') {
        bool negated = pn > 1 && p[1] == '^', in = false;
        for (used = negated ? 2 : 1; used < pn && p[used] != ']'; used++) {
            int low = p[used], high = low;
            if (p[used] == '\\' && used + 1 < pn)
                low = high = p[++used];
            else if (used + 2 < pn && p[used + 1] == '-')
                high = p[used += 2];
            in |= (low <= *t && *t <= high) || (high <= *t && *t <= low);
        }
        used += used < pn;
        match = in != negated;
    }
    return match && matches_plainly(p + used, pn - used, t + 1, tn - 1);
}

static void test_glob_random(void) {
    random_state = 17;
    uint32_t matched = 0;
    for (int round = 0; round < 300000; round++) {
        char pattern[12], text[8];
        size_t pn = below(sizeof pattern), tn = below(sizeof text);
        for (size_t i = 0; i < pn; i++)
            pattern[i] = "ab***??[[]]^-\\c"[below(15)];
        for (size_t i = 0; i < tn; i++)
            text[i] = "aaabbc]-\\^*"[below(11)];
        char *p = malloc(pn), *t = malloc(tn); /* of exactly their sizes */
        memcpy(p, pattern, pn);
        memcpy(t, text, tn);
        bool want = matches_plainly(p, pn, t, tn);
        bool got = glob_match((struct slice){p, pn}, (struct slice){t, tn}, false);
        matched += want;
        CHECK(got == want);
        free(p);
        free(t);
        if (got != want) {
            printf("#   %.*s on %.*s\n", (int)pn, pattern, (int)tn, text);
            return;
        }
    }
    CHECK(matched > 5000);
}

/* Patterns that take a naive matcher longer than anybody waits. */
static void test_glob_bounded(void) {
    static char pattern[1021], text[4095];
    memset(text, 'a', sizeof text);
    clock_t start = clock();
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < sizeof pattern; i++)
            pattern[i] = kind == 0   ? "a*"[i % 2]
                         : kind == 1 ? "*a?"[i % 3]
                         : kind == 2 ? "*[^b]"[i % 5]
                         : i == 0    ? '*'
                                     : 'a';
        pattern[sizeof pattern - 1] = 'b';
        CHECK(!glob_match((struct slice){pattern, sizeof pattern}, (struct slice){text, sizeof text}, kind % 2));
    }
    CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 5);
}

/* ---- the command table ---- */

/* The row of a name, or -1. */
static int row_of(struct slice name) {
    for (uint32_t i = 0; command_name(i); i++)
        if (!strchr(command_name(i), '|') && is_word(name, slice_of(command_name(i)))) return (int)i;
    return -1;
}

/* The row that command_prepare() finds, or -1: told by what CLIENT LIST shows of it is not needed, a pointer
 * is. */
static const struct command *found(struct fixture *f, struct slice name) {
    struct request r = {.argv = &name, .argc = 1};
    command_prepare(&f->context, f->client, &r);
    return r.command;
}

static void test_table(void) {
    struct fixture *f = small();
    uint32_t rows = 0, names = 0;
    for (; command_name(rows); rows++) {
        const char *name = command_name(rows), *bar = strchr(name, '|');
        char upper[64];
        size_t n = strlen(name);
        REQUIRE(n < sizeof upper);
        for (size_t i = 0; i <= n; i++)
            upper[i] = (char)(name[i] == '|' ? ' ' : name[i] >= 'a' && name[i] <= 'z' ? name[i] - 32 : name[i]);
        CHECK(rows == 0 || strcmp(command_name(rows - 1), name) < 0); /* in order, so no name twice */
        REQUIRE(command_syntax(rows) && command_summary(rows));
        CHECK(strncmp(command_syntax(rows), upper, n) == 0 && strchr(" ", command_syntax(rows)[n]));
        n = strlen(command_summary(rows));
        CHECK(n > 10 && command_summary(rows)[n - 1] == '.');
        names += bar == NULL;
        if (bar) continue;
        const struct command *command = found(f, slice_of(name));
        CHECK(command != NULL && found(f, slice_of(upper)) == command);
        for (uint32_t other = 0; other < rows; other++)
            if (!strchr(command_name(other), '|')) CHECK(found(f, slice_of(command_name(other))) != command);
        upper[0] = name[0];
        CHECK(found(f, slice_of(upper)) == command);
    }
    CHECK(command_syntax(rows) == NULL && command_summary(rows) == NULL && command_name(UINT32_MAX) == NULL);
    char number[32];
    snprintf(number, sizeof number, ":%u\r\n", names);
    SAME(line(f, "COMMAND COUNT"), slice_of(number));
    fixture_free(f);
}

/* Every name with any one byte changed, one missing or one too much is no command, unless it is another's
 * name. */
static void test_names_are_exact(void) {
    struct fixture *f = small();
    for (uint32_t row = 0; command_name(row); row++) {
        char name[64];
        size_t n = strlen(command_name(row));
        if (strchr(command_name(row), '|')) continue;
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                memcpy(name, command_name(row), n);
                name[at] = (char)c;
                struct slice changed = {name, n};
                CHECK((found(f, changed) != NULL) == (row_of(changed) >= 0));
            }
        for (size_t at = 0; at <= n; at++) {
            memcpy(name, command_name(row), at);
            memcpy(name + at, command_name(row) + (at < n ? at + 1 : at), n - at);
            struct slice less = {name, at < n ? n - 1 : n};
            CHECK((found(f, less) != NULL) == (row_of(less) >= 0));
            memcpy(name, command_name(row), at);
            name[at] = 'x';
            memcpy(name + at + 1, command_name(row) + at, n - at);
            struct slice more = {name, n + 1};
            CHECK((found(f, more) != NULL) == (row_of(more) >= 0));
        }
        for (size_t a = 0; a < n; a++) /* two letters swapped */
            for (size_t b = 0; b < n; b++) {
                memcpy(name, command_name(row), n);
                char c = name[a];
                name[a] = name[b];
                name[b] = c;
                CHECK((found(f, (struct slice){name, n}) != NULL) == (row_of((struct slice){name, n}) >= 0));
            }
    }
    for (uint32_t row = 0; command_name(row); row++) { /* twice the name has the same first and last letters */
        char name[128];
        int n = snprintf(name, sizeof name, "%s%s", command_name(row), command_name(row));
        CHECK(found(f, (struct slice){name, (size_t)n}) == NULL);
    }
    CHECK(found(f, SLICE("")) == NULL && found(f, (struct slice){NULL, 5}) == NULL);
    static char longest[70000];
    memset(longest, 'g', sizeof longest);
    CHECK(found(f, (struct slice){longest, sizeof longest}) == NULL);
    CHECK(found(f, SLICE("get\0")) == NULL && found(f, SLICE("client|list")) == NULL);
    fixture_free(f);
}

static void test_command_command(void) {
    for (int resp = 2; resp <= 3; resp++) {
        struct fixture *f = fixture_new(64 << 20, 128 << 10, resp);
        int64_t names = 0, n;
        for (uint32_t i = 0; command_name(i); i++)
            names += !strchr(command_name(i), '|');
        const char *p = line(f, "COMMAND").p;
        p = header_at(p, &n);
        CHECK(n == names);
        for (int64_t i = 0; i < n; i++) {
            const char *item = p, *end = value_end(p, f->reply.p + f->reply.len);
            int64_t fields, arity;
            item = header_at(item, &fields);
            struct slice name = bulk_at(&item);
            CHECK(fields == 10 && row_of(name) >= 0);
            header_at(item, &arity);
            struct fixture *g = small(); /* the arity that it tells is the one that holds */
            struct slice argv[12] = {name};
            for (int argc = 1; argc < 12; argc++) {
                argv[argc] = SLICE("0");
                if (memcmp(name.p, "mset", 4) == 0 || slice_equal(name, SLICE("delex")) ||
                    slice_equal(name, SLICE("shutdown")) || arity == -1)
                    break;
                bool right = arity < 0 ? argc >= -arity : argc == arity;
                run(g, argv, argc);
                CHECK(has(g, "wrong number of arguments") == !right || has(g, "-ERR unknown subcommand"));
            }
            fixture_free(g);
            p = end;
        }
        p = header_at(line(f, "COMMAND LIST").p, &n);
        CHECK(n >= names);
        for (; n > 0; n--) {
            struct slice name = bulk_at(&p);
            CHECK(row_of(name) >= 0 || memchr(name.p, '|', name.n));
        }
        p = header_at(line(f, "COMMAND DOCS").p, &n);
        CHECK(n == (resp == 2 ? 2 * names : names));
        CHECK(has(f, command_summary(0)) && has(f, command_syntax(0)));
        line(f, "COMMAND INFO");
        header_at(f->reply.p, &n);
        CHECK(n == names);
        fixture_free(f);
    }
    static const struct step steps[] = {
        {"COMMAND INFO echo Echo",
         "*2\r\n*10\r\n$4\r\necho\r\n:2\r\n*3\r\n+loading\r\n+stale\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*2\r\n+@fast\r\n+@"
         "connection\r\n"
         "*0\r\n*0\r\n*0\r\n"
         "*10\r\n$4\r\necho\r\n:2\r\n*3\r\n+loading\r\n+stale\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*2\r\n+@fast\r\n+@"
         "connection\r\n"
         "*0\r\n*0\r\n*0\r\n",
         "*2\r\n*10\r\n$4\r\necho\r\n:2\r\n~3\r\n+loading\r\n+stale\r\n+fast\r\n:0\r\n:0\r\n:0\r\n~2\r\n+@fast\r\n+@"
         "connection\r\n"
         "~0\r\n~0\r\n~0\r\n"
         "*10\r\n$4\r\necho\r\n:2\r\n~3\r\n+loading\r\n+stale\r\n+fast\r\n:0\r\n:0\r\n:0\r\n~2\r\n+@fast\r\n+@"
         "connection\r\n"
         "~0\r\n~0\r\n~0\r\n"},
        {"COMMAND INFO nope", "*1\r\n" NIL, "*1\r\n" NIL3},
        {"COMMAND DOCS nope", "*0\r\n", "%0\r\n"},
        {"COMMAND DOCS Get nope",
         "*2\r\n$3\r\nget\r\n*10\r\n$7\r\nsummary\r\n$34\r\nReturns the string value of a "
         "key.\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n"
         "$5\r\ngroup\r\n$6\r\nstring\r\n$6\r\nsyntax\r\n$7\r\nGET key\r\n"
         "$9\r\narguments\r\n*1\r\n*4\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n",
         "%1\r\n$3\r\nget\r\n%5\r\n$7\r\nsummary\r\n$34\r\nReturns the string value of a "
         "key.\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n"
         "$5\r\ngroup\r\n$6\r\nstring\r\n$6\r\nsyntax\r\n$7\r\nGET key\r\n"
         "$9\r\narguments\r\n*1\r\n%2\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n"},
        {"COMMAND COUNT x", ARITY("command|count"), NULL},
    };
    RUN(steps);
    struct fixture *f = small();
    static struct slice argv[2000] = {{NULL, 0}};
    argv[0] = SLICE("COMMAND");
    argv[1] = SLICE("DOCS");
    for (size_t i = 2; i < 2000; i++)
        argv[i] = SLICE("set");
    CHECK(run(f, argv, 2000).p[0] == '-'); /* as long as one likes it is not */
    argv[1] = SLICE("INFO");
    CHECK(run(f, argv, 2000).p[0] == '-');
    CHECK(run(f, argv, 129).p[0] == '-');
    CHECK(run(f, argv, 128).p[0] == '*' && f->reply.len < LIST_REPLY_BYTES);
    for (size_t i = 2; i < 128; i++)
        argv[i] = SLICE("client"); /* the longest of all */
    CHECK(run(f, argv, 128).p[0] == '*' && f->reply.len < LIST_REPLY_BYTES);
    argv[1] = SLICE("DOCS");
    CHECK(run(f, argv, 128).p[0] == '*' && f->reply.len < LIST_REPLY_BYTES);
    fixture_free(f);
}

static void test_help(void) {
    static const char *const parents[] = {"CLIENT", "COMMAND", "CONFIG"};
    struct fixture *f = small();
    for (size_t i = 0; i < 3; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s HELP", parents[i]);
        line(f, text);
        snprintf(text, sizeof text, "+%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n", parents[i]);
        CHECK(has(f, text));
    }
    CHECK(has(f, "+CONFIG GET parameter") && !has(f, "CLIENT LIST"));
    fixture_free(f);
}

/* ---- databases, transactions, modes of a client ---- */

#define QUEUED "+QUEUED\r\n"

static void test_databases(void) {
    static const struct step steps[] = {
        {"SET a 0", OK, NULL},
        {"SELECT 15", OK, NULL},
        {"GET a", NIL, NIL3},
        {"SET a 15", OK, NULL},
        {"SET b 1 PX 100000", OK, NULL},
        {"DBSIZE", ":2\r\n", NULL},
        {"COPY a a", "-ERR source and destination objects are the same\r\n", NULL},
        {"COPY a a DB 0", ":0\r\n", NULL},
        {"COPY a a DB 0 REPLACE", ":1\r\n", NULL},
        {"COPY a a DB 16", "-ERR DB index is out of range\r\n", NULL},
        {"MOVE b 0", ":1\r\n", NULL},
        {"MOVE b 0", ":0\r\n", NULL},
        {"DBSIZE", ":1\r\n", NULL},
        {"KEYS *", "*1\r\n$1\r\na\r\n", NULL},
        {"RANDOMKEY", "$1\r\na\r\n", NULL},
        {"SELECT 0", OK, NULL},
        {"GET a", "$2\r\n15\r\n", NULL},
        {"PTTL b", ":100000\r\n", NULL},
        {"DBSIZE", ":2\r\n", NULL},
        {"FLUSHDB", OK, NULL},
        {"DBSIZE", ":0\r\n", NULL},
        {"GET a", NIL, NIL3},
        {"RANDOMKEY", NIL, NIL3},
        {"SELECT 15", OK, NULL},
        {"GET a", "$2\r\n15\r\n", NULL},
        {"SWAPDB 15 3", OK, NULL},
        {"GET a", NIL, NIL3},
        {"SELECT 3", OK, NULL},
        {"GET a", "$2\r\n15\r\n", NULL},
        {"FLUSHALL", OK, NULL},
        {"DBSIZE", ":0\r\n", NULL},
        {"RESET", "+RESET\r\n", NULL},
    };
    RUN(steps);
}

/* What one client's requests do to the transaction of another. */
static void test_watch(void) {
    static const struct {
        const char *before, *change;
        bool aborts;
    } rows[] = {
        {"PING", "SET k 1", true},
        {"SET k 1", "SET k 1", true},
        {"SET k 1", "DEL k", true},
        {"SET k 1", "GET k", false},
        {"SET k 1", "EXPIRE k 100", true},
        {"SET k 1 EX 9", "PERSIST k", true},
        {"SET k 1 EX 9", "EXPIRE k 8", true},
        {"PING", "INCR k", true},
        {"PING", "APPEND k x", true},
        {"SET a 1", "RENAME a k", true},
        {"SET k 1", "RENAME k a", true},
        {"SET a 1", "COPY a k", true},
        {"SET k 1", "FLUSHALL", true},
        {"SET k 1", "FLUSHDB", true},
        {"SET k 1", "SETRANGE k 0 1", true},
        {"SET k 1", "GETDEL k", true},
        {"SET k 1", "GETEX k EX 5", true},
        {"SET k 1", "SET other 1", false},
        {"PING", "MSET a 1 k 2", true},
        {"SET k 1", "SET k 2 NX", false},
        {"SET k 1", "SET k 2 IFEQ 2", false},
        {"SET k 1", "SET k 2 IFEQ 1", true},
        {"PING", "SWAPDB 0 1|SET k 1|SWAPDB 0 1", true},
        {"SET a 1", "SET k 1|FLUSHDB", true},
        {"SET k 1", "MSETNX k 2 a 3", false},
        {"SET k 1", "SWAPDB 0 1", true},
        {"PING", "SET k 1 PXAT 1", true},
        {"SET k 1", "UNLINK nothing k", true},
        {"SET k 1", "MOVE k 1", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture *f = small();
        struct client *one = f->client, *two = new_client(f);
        line(f, rows[i].before);
        EXPECT(f, "WATCH k w", OK);
        f->client = two;
        char changes[128], *rest;
        snprintf(changes, sizeof changes, "%s", rows[i].change);
        for (char *word = strtok_r(changes, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
            CHECK(line(f, word).p[0] != '-');
        f->client = one;
        EXPECT(f, "MULTI", OK);
        EXPECT(f, "PING", QUEUED);
        struct slice reply = line(f, "EXEC");
        if (!slice_equal(reply, slice_of(rows[i].aborts ? "*-1\r\n" : "*1\r\n+PONG\r\n")))
            printf("#   %s, WATCH, %s\n", rows[i].before, rows[i].change);
        SAME(reply, slice_of(rows[i].aborts ? "*-1\r\n" : "*1\r\n+PONG\r\n"));
        EXPECT(f, "MULTI", OK); /* EXEC has forgotten the watches */
        EXPECT(f, "EXEC", "*0\r\n");
        fixture_free(f);
    }
    struct fixture *f = small(); /* a key whose time is over while it is watched */
    EXPECT(f, "SET k 1 PX 100", OK);
    EXPECT(f, "WATCH k", OK);
    f->context.now_ms += 101;
    EXPECT(f, "MULTI", OK);
    EXPECT(f, "EXEC", "*-1\r\n");
    EXPECT(f, "WATCH k", OK); /* and one that was not there all the time */
    EXPECT(f, "UNWATCH", OK);
    EXPECT(f, "WATCH k", OK);
    EXPECT(f, "MULTI", OK);
    EXPECT(f, "WATCH k", "-ERR WATCH inside MULTI is not allowed\r\n");
    EXPECT(f, "DISCARD", OK);
    for (int i = 0; i < 1000; i++) { /* what was evicted has changed as well */
        EXPECT(f, "SET k 1", OK);
        EXPECT(f, "WATCH k", OK);
        EXPECT(f, "EXISTS k", ONE);
    }
    store_many(f, 0);
    fixture_free(f);
}

static void test_multi(void) {
    static const struct step steps[] = {
        {"EXEC", "-ERR EXEC without MULTI\r\n", NULL},
        {"DISCARD", "-ERR DISCARD without MULTI\r\n", NULL},
        {"MULTI", OK, NULL},
        {"MULTI", "-ERR MULTI calls can not be nested\r\n", NULL},
        {"SET a 1", QUEUED, NULL},
        {"INCR a", QUEUED, NULL},
        {"GET a", QUEUED, NULL},
        {"GET b", QUEUED, NULL},
        {"EXEC", "*4\r\n" OK ":2\r\n$1\r\n2\r\n" NIL, "*4\r\n" OK ":2\r\n$1\r\n2\r\n" NIL3},
        {"MULTI", OK, NULL},
        {"SET a 5", QUEUED, NULL},
        {"DISCARD", OK, NULL},
        {"GET a", "$1\r\n2\r\n", NULL},
        {"MULTI", OK, NULL},
        {"SET a 5", QUEUED, NULL},
        {"GET", ARITY("get"), NULL},
        {"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n", NULL},
        {"GET a", "$1\r\n2\r\n", NULL},
        {"MULTI", OK, NULL},
        {"EXEC x", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n",
         NULL},
        {"MULTI", OK, NULL},
        {"INFO", "-ERR Command not allowed inside a transaction\r\n", NULL},
        {"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n", NULL},
        {"MULTI", OK, NULL},
        {"SELECT 3", QUEUED, NULL},
        {"SET a 3", QUEUED, NULL},
        {"GET a", QUEUED, NULL},
        {"SWAPDB 3 4", QUEUED, NULL},
        {"GET a", QUEUED, NULL},
        {"SELECT 0", QUEUED, NULL},
        {"INCRBYFLOAT a 0.5", QUEUED, NULL},
        {"EXEC", "*7\r\n" OK OK "$1\r\n3\r\n" OK NIL OK "$3\r\n2.5\r\n",
         "*7\r\n" OK OK "$1\r\n3\r\n" OK NIL3 OK "$3\r\n2.5\r\n"},
        {"MULTI", OK, NULL},
        {"INCR a", QUEUED, NULL},
        {"SCAN 0 COUNT 1000", QUEUED, NULL},
        {"RANDOMKEY", QUEUED, NULL},
        {"FLUSHDB", QUEUED, NULL},
        {"DBSIZE", QUEUED, NULL},
        {"EXEC", "*5\r\n" NOT_INTEGER "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n$1\r\na\r\n" OK ZERO, NULL},
        {"MULTI", OK, NULL},
        {"AUTH x", "-ERR Command not allowed inside a transaction\r\n", NULL},
        {"RESET", "+RESET\r\n", NULL},
        {"EXEC", "-ERR EXEC without MULTI\r\n", NULL},
    };
    RUN(steps);
}

/* A reply that can pass what may wait for a client is refused before anything is done; a long one is given whole. */
static void test_exec_long(void) {
    struct fixture *f = small();
    char value[1000];
    memset(value, 'v', sizeof value);
    struct slice set[] = {SLICE("SET"), SLICE("k"), {value, sizeof value}},
                 append[] = {SLICE("APPEND"), SLICE("k"), {value, 1000}};
    run(f, set, 3);
    for (int gets = 1100; gets < 65536; gets *= 7) {
        EXPECT(f, "MULTI", OK);
        EXPECT(f, "SET done 1", QUEUED);
        for (int i = 0; i < gets; i++)
            SAME(line(f, "GET k"), SLICE(QUEUED));
        SAME(run(f, append, 3), SLICE(QUEUED)); /* it grows after it was read: that does not count */
        struct slice reply = line(f, "EXEC");
        if (gets < 50000) { /* 8 MB */
            CHECK(reply.n == (size_t)gets * 1009 + 7 + 5 + 7 && f->result == COMMAND_COLLECTED);
            EXPECT(f, "DEL done", ONE);
        } else {
            CHECK(strncmp(reply.p, "-EXECABORT Transaction discarded because its reply could exceed ", 63) == 0);
            EXPECT(f, "EXISTS done", ZERO);
        }
        run(f, set, 3);
    }
    for (int i = 0; i < 2; i++) { /* a value that grows within the transaction counts with what it becomes */
        EXPECT(f, "MULTI", OK);
        for (int n = 0; n < 120; n++) {
            SAME(run(f, append, 3), SLICE(QUEUED));
            for (int gets = 0; gets < (i ? 20 : 1); gets++)
                SAME(line(f, "GET k"), SLICE(QUEUED));
        }
        f->config.client_output_bytes = 8 << 20;
        CHECK(line(f, "EXEC").p[0] == (i ? '-' : '*'));
        f->config.client_output_bytes = 32 << 20;
        run(f, set, 3);
    }
    fixture_free(f);
}

/* What the bound of a reply must count: each of these closed the connection or lost a part of the reply. */
static void test_exec_bound(void) {
    struct fixture *f = fixture_new(1 << 30, 4 << 20, 2);
    size_t size = 3 << 20;
    char *value = malloc(size);
    for (size_t i = 0; i < size; i++)
        value[i] = (char)(i * 7 % 251);
    struct slice set[] = {SLICE("SET"), SLICE("big"), {value, size}};
    run(f, set, 3);
    struct slice reply = line(f, "GETEX big EX 100"); /* the value is moved through the same buffer as the reply */
    CHECK(reply.n == size + 12 && memcmp(reply.p + 10, value, size) == 0);
    f->config.max_value_size_bytes = 1000; /* values of the old limit are still there */
    for (int i = 0; i < 2; i++) {
        EXPECT(f, "MULTI", OK);
        for (int n = 0; n < (i ? 15000 : 1); n++) /* in place, and in a block */
            SAME(line(f, "ECHO 0123456789012345678901234567890123456789012345678901234567890123456789"), SLICE(QUEUED));
        EXPECT(f, i ? "RENAME big huge" : "RENAME huge big", QUEUED);
        EXPECT(f, i ? "EXPIRE huge 50" : "EXPIRE big 50", QUEUED);
        EXPECT(f, i ? "STRLEN huge" : "STRLEN big", QUEUED);
        if (i == 0) EXPECT(f, "CLIENT HELP", QUEUED);
        reply = line(f, "EXEC");
        if (i) CHECK(memcmp(reply.p + reply.n - 19, "+OK\r\n:1\r\n:3145728\r\n", 19) == 0);
        if (i == 0) EXPECT(f, "STRLEN big", ":3145728\r\n");
    }
    EXPECT(f, "MULTI", OK);
    EXPECT(f, "MGET huge huge", QUEUED);
    EXPECT(f, "SET huge x GET", QUEUED);
    reply = line(f, "EXEC");
    CHECK(reply.n == 4 + 4 + 3 * (size + 12) && memcmp(reply.p + reply.n - 2 - size, value, size) == 0);
    EXPECT(f, "MULTI", OK);
    for (int i = 0; i < 10000; i++) /* errors are told as long as there is room for them, then in short */
        SAME(line(f, "EXPIRE huge 1 0123456789012345678901234567890123456789"), SLICE(QUEUED));
    reply = line(f, "EXEC");
    CHECK(strstr(reply.p, "-ERR Unsupported option 0123456789012345678901234567890123456789\r\n") &&
          memcmp(reply.p + reply.n - 12, "-ERR\r\n-ERR\r\n", 12) == 0);
    f->config.client_output_bytes = 2 << 20; /* and what is short counts little */
    EXPECT(f, "SET short v", OK);
    EXPECT(f, "MULTI", OK);
    for (int i = 0; i < 6000; i++)
        SAME(line(f, i % 3 ? "SET k v EX 60" : i % 2 ? "PING" : "COPY short k REPLACE"), SLICE(QUEUED));
    EXPECT(f, "GET k", QUEUED);
    reply = line(f, "EXEC");
    CHECK(reply.p[0] == '*' && reply.n < 40000);
    fixture_free(f);
    free(value);
}

/* What is queued takes memory of clients, and no more than half of it. */
static void test_multi_without_end(void) {
    struct fixture *f = small();
    char value[10000] = {0};
    struct slice set[] = {SLICE("SET"), SLICE("k"), {value, sizeof value}};
    EXPECT(f, "MULTI", OK);
    int queued = 0;
    while (run(f, set, 3).p[0] == '+')
        queued++;
    CHECK(queued > 1000 && atomic_load(&f->budget.used_bytes) <= f->config.client_memory_bytes);
    EXPECT(f, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    CHECK(atomic_load(&f->budget.used_bytes) == 0);
    EXPECT(f, "EXISTS k", ZERO);
    f->budget.limit_bytes = 0;
    CHECK(line(f, "MULTI").p[0] == '-' && line(f, "WATCH k").p[0] == '-');
    EXPECT(f, "EXEC", "-ERR EXEC without MULTI\r\n");
    f->budget.limit_bytes = 64 << 20;
    fixture_free(f);
}

static void test_reply_modes(void) {
    struct fixture *f = small();
    EXPECT(f, "CLIENT REPLY OFF", "");
    EXPECT(f, "SET k v", "");
    EXPECT(f, "KEYS *", "");
    EXPECT(f, "NOTHING", "");
    EXPECT(f, "CLIENT REPLY ON", OK);
    EXPECT(f, "GET k", "$1\r\nv\r\n");
    EXPECT(f, "CLIENT REPLY SKIP", "");
    EXPECT(f, "GET k", "");
    EXPECT(f, "GET k", "$1\r\nv\r\n");
    EXPECT(f, "CLIENT REPLY MAYBE", "-ERR syntax error\r\n");
    for (int last = 0; last < 4; last++) { /* of SKIP nothing is left after the request that it is about */
        static const char *const requests[] = {"CLIENT REPLY ON", "CLIENT REPLY MAYBE", "CLIENT REPLY OFF", "FOO"};
        EXPECT(f, "CLIENT REPLY SKIP", "");
        SAME(line(f, requests[last]), slice_of(last == 0 ? OK : ""));
        if (last == 2) EXPECT(f, "CLIENT REPLY ON", OK);
        EXPECT(f, "GET k", "$1\r\nv\r\n");
    }
    EXPECT(f, "CLIENT REPLY SKIP", "");
    EXPECT(f, "CLIENT REPLY SKIP", "");
    EXPECT(f, "GET k", "");
    EXPECT(f, "GET k", "$1\r\nv\r\n");
    EXPECT(f, "CLIENT NO-TOUCH ON", OK);
    EXPECT(f, "CLIENT NO-EVICT MAYBE", "-ERR syntax error\r\n");
    CHECK(strstr(line(f, "CLIENT INFO").p, " flags=T ") != NULL);
    EXPECT(f, "RESET", "+RESET\r\n");
    CHECK(strstr(line(f, "CLIENT INFO").p, " flags=N ") != NULL);
    fixture_free(f);
}

static bool is_paused(const struct fixture *f, int64_t now_ms) {
    return command_unusual(&f->server, now_ms, false) & UNUSUAL_PAUSED;
}

/* Which commands make an entry the latest: Redis' do. */
static void test_touching(void) {
    static const struct {
        const char *request;
        bool touches, also_no_touch;
    } table[] = {{"GET k", true, false},         {"TOUCH k", true, true},    {"EXISTS k", false, false},
                 {"TTL k", false, false},        {"STRLEN k", true, false},  {"EXPIRE k 1000", true, false},
                 {"EXPIRE k 1 GT", true, false}, {"PERSIST k", true, false}, {"TYPE k", false, false}};
    struct fixture *f = small();
    for (size_t i = 0; i < 2 * sizeof table / sizeof *table; i++) {
        bool no_touch = i % 2, touches = no_touch ? table[i / 2].also_no_touch : table[i / 2].touches;
        EXPECT(f, "CLIENT NO-TOUCH OFF", OK);
        EXPECT(f, "SET k v EX 1000", OK);
        f->context.now_ms += 100000;
        for (uint32_t n = 0; n < SHARDS; n++)
            while (shard_upkeep(&f->shards, n, f->context.now_ms)) {
            }
        if (no_touch) EXPECT(f, "CLIENT NO-TOUCH ON", OK);
        line(f, table[i / 2].request);
        long idle_s = atol(line(f, "OBJECT IDLETIME k").p + 1);
        CHECK(touches ? idle_s < 10 : idle_s >= 90);
        if (touches != (idle_s < 10)) printf("#   %s\n", table[i / 2].request);
    }
    fixture_free(f);
}

/* Who connected while there was a password is let in when there is none any more. */
static void test_password_removed(void) {
    struct fixture *f = small();
    strcpy(f->config.requirepass, "secret");
    atomic_store(&f->client->modes, CLIENT_LOCKED_OUT);
    EXPECT(f, "GET k", "-NOAUTH Authentication required.\r\n");
    f->config.requirepass[0] = '\0';
    EXPECT(f, "GET k", NIL);
    CHECK(atomic_load(&f->client->modes) == 0);
    fixture_free(f);
}

/* While CLIENT PAUSE holds, requests are not executed but for those that could end it. */
static void test_pause(void) {
    struct fixture *f = small();
    EXPECT(f, "CLIENT PAUSE 1000 WRITE", OK);
    EXPECT(f, "GET k", NIL);
    CHECK(line(f, "SET k v").n == 0 && f->result == COMMAND_WAIT);
    EXPECT(f, "CLIENT PAUSE 1000", OK);
    CHECK(line(f, "GET k").n == 0 && f->result == COMMAND_WAIT);
    EXPECT(f, "MULTI", "");
    EXPECT(f, "CLIENT UNPAUSE", OK);
    EXPECT(f, "GET k", NIL);
    CHECK(!is_paused(f, NOW_MS));
    EXPECT(f, "CLIENT PAUSE 1000 ALL", OK);
    CHECK(is_paused(f, NOW_MS + 999) && !is_paused(f, NOW_MS + 1000));
    EXPECT(f, "CLIENT PAUSE 10 WRITE", OK); /* a pause becomes no shorter, nor lets more through, by another */
    CHECK(is_paused(f, NOW_MS + 999) && !is_paused(f, NOW_MS + 1000));
    CHECK(line(f, "GET k").n == 0 && f->result == COMMAND_WAIT);
    EXPECT(f, "CLIENT PAUSE 2000", OK);
    CHECK(is_paused(f, NOW_MS + 1999) && !is_paused(f, NOW_MS + 2000));
    EXPECT(f, "CLIENT PAUSE -1", "-ERR timeout is negative\r\n");
    EXPECT(f, "CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n");
    EXPECT(f, "CLIENT PAUSE 1 SOME", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n");
    fixture_free(f);
}

/* Commands of Valkey 8.1 and 9 and of Redis 8.4, and others that no table above has. */
static void test_newer(void) {
    static const struct step steps[] = {
        {"SET k 1", OK, NULL},
        {"SET k 2 IFEQ 2", NIL, NIL3},
        {"SET k 2 IFEQ 1", OK, NULL},
        {"SET n 2 IFEQ 1", NIL, NIL3},
        {"SET k 3 IFEQ 9 GET", "$1\r\n2\r\n", NULL},
        {"SET k 3 IFEQ 2 GET", "$1\r\n2\r\n", NULL},
        {"GET k", "$1\r\n3\r\n", NULL},
        {"SET k 3 IFEQ 3 NX", "-ERR syntax error\r\n", NULL},
        {"SET k 3 IFEQ", "-ERR syntax error\r\n", NULL},
        {"SET k 4 IFEQ 3 EX 100", OK, NULL},
        {"TTL k", ":100\r\n", NULL},
        {"EXPIRETIME k", ":1700000100\r\n", NULL},
        {"PEXPIRETIME k", ":1700000100000\r\n", NULL},
        {"EXPIRETIME none", ":-2\r\n", NULL},
        {"DELIFEQ k 5", ZERO, NULL},
        {"DELIFEQ k 4", ONE, NULL},
        {"DELIFEQ k 4", ZERO, NULL},
        {"SET k 1", OK, NULL},
        {"EXPIRETIME k", ":-1\r\n", NULL},
        {"DELEX k IFEQ 2", ZERO, NULL},
        {"DELEX k IFEQ 1", ONE, NULL},
        {"SET k 1", OK, NULL},
        {"DELEX k", ONE, NULL},
        {"DELEX k", ZERO, NULL},
        {"DELEX k IFEQ", ARITY("delex"), NULL},
        {"MSETEX 2 a 1 b 2 EX 10", ONE, NULL},
        {"MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n", NULL},
        {"TTL b", ":10\r\n", NULL},
        {"MSETEX 2 a 3 c 4 NX", ZERO, NULL},
        {"EXISTS c", ZERO, NULL},
        {"MSETEX 2 a 3 c 4 XX", ZERO, NULL},
        {"MSETEX 2 a 3 b 4 XX KEEPTTL", ONE, NULL},
        {"TTL a", ":10\r\n", NULL},
        {"MSETEX 1 a 3", ONE, NULL},
        {"TTL a", ":-1\r\n", NULL},
        {"MSETEX 0 a 1", "-ERR invalid numkeys value\r\n", NULL},
        {"MSETEX 3 a 1 b 2", ARITY("msetex"), NULL},
        {"MSETEX 1 a 1 GET", "-ERR syntax error\r\n", NULL},
        {"SET p v PXAT 1700000000000", OK, NULL},
        {"EXISTS p", ZERO, NULL},
        {"DBSIZE", ":2\r\n", NULL},
        {"GETEX none EX 0", NIL, NIL3},
        {"GETEX a EX 0", "-ERR invalid expire time in 'getex' command\r\n", NULL},
        {"GETEX a PX 500", "$1\r\n3\r\n", NULL},
        {"PTTL a", ":500\r\n", NULL},
        {"GETEX a PERSIST", "$1\r\n3\r\n", NULL},
        {"PTTL a", ":-1\r\n", NULL},
        {"GETDEL a", "$1\r\n3\r\n", NULL},
        {"GETDEL a", NIL, NIL3},
        {"OBJECT FREQ b",
         "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
         "switching between policies at runtime LRU and LFU data will take some time to adjust.\r\n",
         NULL},
        {"OBJECT IDLETIME b", ZERO, NULL},
        {"OBJECT ENCODING b", "$3\r\nint\r\n", NULL},
        {"OBJECT REFCOUNT b", ONE, NULL},
        {"OBJECT ENCODING none", NIL, NIL3},
        {"MEMORY USAGE none", NIL, NIL3},
        {"MEMORY USAGE b", ":48\r\n", NULL},
        {"MEMORY USAGE b SAMPLES -1", "-ERR syntax error\r\n", NULL},
        {"MEMORY PURGE", OK, NULL},
    };
    RUN(steps);
}

/* What is larger than half a shard since maxmemory sank is found, but cannot be stored anew: that evicts it. */
static void test_values_too_large(void) {
    struct fixture *f = fixture_new(64 << 20, 500000, 2);
    char *value = calloc(1, 450000);
    for (int i = 0; i < 3; i++) {
        struct slice set[] = {SLICE("SET"), SLICE("k"), {value, 450000}};
        EXPECT(f, "CONFIG SET maxmemory 64mb max-value-size 500000", OK);
        SAME(run(f, set, 3), SLICE(OK));
        EXPECT(f, "SET d v", OK);
        EXPECT(f, "CONFIG SET maxmemory 44mb max-value-size 100000", OK);
        for (uint32_t n = 0; n < SHARDS; n++)
            while (shard_upkeep(&f->shards, n, NOW_MS))
                ;
        EXPECT(f, "STRLEN k", ":450000\r\n");
        if (i == 0) EXPECT(f, "RENAME k d", OK);
        if (i == 1) EXPECT(f, "COPY k d REPLACE", ONE);
        if (i == 2) EXPECT(f, "EXPIRE k 100", ONE);
        SAME(line(f, "EXISTS d"), slice_of(i == 2 ? ONE : ZERO));
        SAME(line(f, "EXISTS k"), slice_of(i == 1 ? ONE : ZERO));
    }
    fixture_free(f);
    free(value);
}

static void test_config_set(void) {
    struct fixture *f = small();
    EXPECT(f, "CONFIG SET timeout 7 maxmemory 32mb", OK);
    CHECK(f->config.timeout_s == 7 && f->config.maxmemory_bytes == 32 << 20);
    EXPECT(f, "CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$1\r\n7\r\n");
    EXPECT(f, "CONFIG SET timeout 8 maxmemory 1",
           "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - maxmemory: \"1\" is not allowed; give "
           "bytes "
           "from 8mb to 1tb, or 0 for a share of the machine's memory\r\n");
    EXPECT(f, "CONFIG SET timeout 8 nothing 1",
           "-ERR Unknown option or number of arguments for CONFIG SET - 'nothing'\r\n");
    EXPECT(
        f, "CONFIG SET maxmemory-policy volatile-lru",
        "-ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - maxmemory-policy: \"volatile-lru\" "
        "is not allowed; give allkeys-lru: the least recently used go first, with a TTL or without\r\n");
    EXPECT(f, "CONFIG SET hz 10", "-ERR Unknown option or number of arguments for CONFIG SET - 'hz'\r\n");
    EXPECT(f, "CONFIG SET timeout 8 TIMEOUT 9",
           "-ERR CONFIG SET failed (possibly related to argument 'TIMEOUT') - duplicate parameter\r\n");
    EXPECT(f, "CONFIG SET timeout 8 port 1",
           "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config\r\n");
    EXPECT(f, "CONFIG SET timeout 8 max-value-size 1mb",
           "-ERR CONFIG SET failed (possibly related to argument 'max-value-size') - max-value-size: 1mb is not "
           "allowed with "
           "maxmemory "
           "32mb; give at most 256kb, or maxmemory 128mb\r\n");
    CHECK(f->config.timeout_s == 7); /* all or nothing */
    EXPECT(f, "CONFIG SET timeout", "-ERR wrong number of arguments for 'config|set' command\r\n");
    EXPECT(f, "CONFIG SET timeout 1 port", "-ERR syntax error\r\n");
    EXPECT(f, "CONFIG SET appendonly no", OK);
    CHECK(line(f, "CONFIG SET appendonly yes").p[0] == '-');
    EXPECT(f, "CONFIG SET requirepass secret", OK);
    EXPECT(f, "PING", "+PONG\r\n"); /* who is in stays in */
    EXPECT(f, "CONFIG GET requirepass", "*2\r\n$11\r\nrequirepass\r\n$8\r\n********\r\n");
    EXPECT(f, "RESET", "+RESET\r\n");
    EXPECT(f, "PING", "-NOAUTH Authentication required.\r\n");
    EXPECT(f, "AUTH secret", OK);
    EXPECT(f, "CONFIG SET requirepass \"\"", OK);
    EXPECT(f, "GET k", NIL);
    CHECK(strstr(line(f, "INFO commandstats").p, "\r\ncmdstat_config|set:calls=13,usec=") != NULL);
    CHECK(strstr(f->reply.p, ",rejected_calls=1,failed_calls=9\r\n") != NULL &&
          strstr(f->reply.p, "cmdstat_get:calls=1,"));
    EXPECT(f, "CONFIG RESETSTAT", OK);
    CHECK(strstr(line(f, "INFO commandstats").p, "cmdstat_get") == NULL);
    CHECK(strstr(line(f, "INFO").p, "\r\nkeyspace_misses:0\r\n") != NULL &&
          strstr(f->reply.p, "total_error_replies:0\r\n"));
    fixture_free(f);
}

/* ---- INFO, CONFIG GET, CLIENT LIST, TIME ---- */

static void test_rates(void) {
    struct fixture *f = small();
    info_sample(&f->server, NOW_MS);
    metrics_add(&f->metrics.command[3].calls, 300);
    metrics_add(&f->other.command[5].calls, 200);
    metrics_add(&f->other.total_net_input_bytes, 1024);
    info_sample(&f->server, NOW_MS + 500);
    line(f, "INFO stats");
    CHECK(has(f, "\r\ninstantaneous_ops_per_sec:1000\r\n"));
    CHECK(has(f, "\r\ninstantaneous_input_kbps:2.00\r\ninstantaneous_output_kbps:0.00\r\n"));
    info_sample(&f->server, NOW_MS); /* a clock that went back */
    CHECK(strstr(line(f, "INFO stats").p, "\r\ninstantaneous_input_kbps:0.00\r\n") != NULL);
    fixture_free(f);
}

static void test_info(void) {
    struct fixture *f = small();
    EXPECT(f, "SET k v", OK);
    EXPECT(f, "GET k", "$1\r\nv\r\n");
    EXPECT(f, "GET x", NIL);
    EXPECT(f, "SET t v PX 100", OK);
    metrics_add(&f->metrics.command[20].calls, 30);
    metrics_add(&f->other.command[20].calls, 12);
    struct slice reply = line(f, "INFO");
    CHECK(reply.p[0] == '$');
    static const char *const lines[] = {
        "# Server\r\n",
        "\r\nredis_version:" SPONSON_REDIS_VERSION "\r\n",
        "\r\nsponson_version:" SPONSON_VERSION "\r\n",
        "\r\nuptime_in_seconds:90061\r\n",
        "\r\nuptime_in_days:1\r\n",
        "\r\n\r\n# Clients\r\nconnected_clients:1\r\n",
        "\r\n\r\n# Memory\r\nused_memory:",
        "\r\nmaxmemory:67108864\r\nmaxmemory_human:64.00M\r\n",
        "\r\nmaxmemory_policy:allkeys-lru\r\n",
        "\r\n\r\n# Persistence\r\nloading:0\r\n",
        "\r\n\r\n# Stats\r\n",
        "\r\ntotal_commands_processed:46\r\n",
        "\r\nkeyspace_hits:1\r\nkeyspace_misses:1\r\nkeyspace_misses_never_seen:1\r\nkeyspace_misses_expired:0\r\n",
        "\r\nexpired_keys:0\r\nexpired_lag_p99_ms:0\r\nexpired_lag_max_ms:0\r\nevicted_keys:0\r\n",
        "\r\nevicted_by_bytes:0\r\nevicted_by_entries:0\r\nevicted_out_of_order:0\r\nevicted_age_p50_ms:0\r\n",
        "\r\n\r\n# Replication\r\nrole:master\r\n",
        "\r\n\r\n# CPU\r\n",
        "\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n",
        "\r\n\r\n# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=0\r\n",
        "run_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        CHECK(has(f, lines[i]));
        if (!has(f, lines[i])) show("missing", slice_of(lines[i]));
    }
    EXPECT(f, "INFO keyspace", "$44\r\n# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=0\r\n\r\n");
    EXPECT(f, "INFO CLUSTER Replication",
           "$160\r\n# "
           "Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_repl_"
           "offset:0\r\nrepl_backlog_active:0\r\n\r\n# "
           "Cluster\r\n"
           "cluster_enabled:0\r\n\r\n");
    EXPECT(f, "INFO nothing", "$0\r\n\r\n");
    EXPECT(f, "FLUSHALL", OK);
    EXPECT(f, "INFO keyspace", "$12\r\n# Keyspace\r\n\r\n");
    EXPECT(f, "HELLO 3", HELLO3);
    EXPECT(f, "INFO keyspace", "=16\r\ntxt:# Keyspace\r\n\r\n");
    line(f, "INFO everything");
    CHECK(has(f, "# Server") && has(f, "# Keyspace"));
    fixture_free(f);
}

/* Every figure that is counted shows in INFO and at /metrics, under its names, summed over the threads. */
static void test_metrics(void) {
    struct fixture *f = small();
    const size_t size = 1 << 20; /* what info.h says is enough */
    struct buf b = {malloc(size), 0, size - 1, false};
    uint32_t get = 0;
    while (strcmp(command_name(get), "get") != 0)
        get++;
    EXPECT(f, "SET k v", OK);
    EXPECT(f, "GET k", "$1\r\nv\r\n");
    EXPECT(f, "GET k x", ARITY("get"));
    metrics_add(&f->other.command[get].calls, 9);
    metrics_time(&f->metrics, get, 999, 64);     /* below 1 us */
    metrics_time(&f->other, get, 1000, 1);       /* below 2 us */
    metrics_time(&f->other, get, 1999, 1);       /* the same */
    metrics_time(&f->other, get, 3000000000, 1); /* 3 s */
    metrics_time(&f->other, get, 9000000000, 1); /* over all bounds but the last */
    struct {
        uint64_t *counter;
        uint64_t by;
        const char *info, *text;
    } counted[] = {
        {&f->metrics.total_connections_received, 7, "total_connections_received:7", "sponson_connections_total 7"},
        {&f->other.total_connections_received, 10, "total_connections_received:17", "sponson_connections_total 17"},
        {&f->other.total_net_input_bytes, 11, "total_net_input_bytes:11", "sponson_network_receive_bytes_total 11"},
        {&f->other.total_net_output_bytes, 12, "total_net_output_bytes:12", "sponson_network_transmit_bytes_total 12"},
        {&f->other.rejected_maxclients, 13, "rejected_connections:13",
         "sponson_rejected_connections_total{reason=\"maxclients\"} 13"},
        {&f->other.rejected_protected_mode, 14, "rejected_connections:27",
         "sponson_rejected_connections_total{reason=\"protected_mode\"} 14"},
        {&f->other.rejected_resources, 15, "rejected_connections:42",
         "sponson_rejected_connections_total{reason=\"resources\"} 15"},
        {&f->other.slow_requests, 16, "slow_requests:16", "sponson_slow_requests_total 16"},
        {&f->other.acl_access_denied_auth, 17, "acl_access_denied_auth:17", "sponson_auth_failures_total 17"},
        {&f->other.evicted_clients, 18, "evicted_clients:18",
         "sponson_closed_clients_total{reason=\"client_memory\"} 18"},
        {&f->other.client_query_buffer_limit_disconnections, 19, "client_query_buffer_limit_disconnections:19",
         "sponson_closed_clients_total{reason=\"query_buffer\"} 19"},
        {&f->other.client_output_buffer_limit_disconnections, 20, "client_output_buffer_limit_disconnections:20",
         "sponson_closed_clients_total{reason=\"output_buffer\"} 20"},
        {&f->other.errors[0], 4, "total_error_replies:5", "sponson_errors_total{code=\"ERR\"} 5"}, /* one: arity */
        {&f->other.errors[2], 21, "errorstat_NOAUTH:count=21", "sponson_errors_total{code=\"NOAUTH\"} 21"},
    };
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        char wanted[128];
        metrics_add(counted[i].counter, counted[i].by);
        b.len = 0;
        info_metrics(&f->server, &b);
        b.p[b.len] = '\0';
        snprintf(wanted, sizeof wanted, "\n%s\n", counted[i].text);
        CHECK(!b.full && strstr(b.p, wanted) != NULL);
        line(f, "INFO all");
        snprintf(wanted, sizeof wanted, "\r\n%s\r\n", counted[i].info);
        CHECK(has(f, wanted));
    }
    static const char *const lines[] = {
        "# TYPE sponson_commands_total counter\n",
        "\nsponson_commands_total{command=\"get\"} 10\n",
        "\nsponson_command_errors_total{command=\"get\"} 1\n",
        "\nsponson_command_duration_seconds_bucket{command=\"get\",le=\"1e-06\"} 64\n",
        "\nsponson_command_duration_seconds_bucket{command=\"get\",le=\"2e-06\"} 66\n",
        "\nsponson_command_duration_seconds_bucket{command=\"get\",le=\"2.097152\"} 66\n",
        "\nsponson_command_duration_seconds_bucket{command=\"get\",le=\"4.194304\"} 67\n",
        "\nsponson_command_duration_seconds_bucket{command=\"get\",le=\"+Inf\"} 68\n",
        "\nsponson_command_duration_seconds_count{command=\"get\"} 68\n",
        "\nsponson_hits_total 1\n",
        "\nsponson_entries 1\n",
        "\nsponson_database_entries{db=\"0\"} 1\n",
        "\nsponson_memory_max_bytes 67108864\n",
        "\nsponson_build_info{version=\"" SPONSON_VERSION "\"} 1\n",
        "\nsponson_evicted_age_seconds_bucket{le=\"+Inf\"} 0\n",
        "\nprocess_start_time_seconds 1699909939.000000\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        CHECK(strstr(b.p, lines[i]) != NULL);
        if (!strstr(b.p, lines[i])) show("missing", slice_of(lines[i]));
    }
    line(f, "INFO latencystats");
    CHECK(has(f, "latency_percentiles_usec_get:p50=1.000,p99=8388608.000,p99.9=8388608.000\r\n"));
    EXPECT(f, "LATENCY HISTOGRAM get nothing",
           "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:10\r\n$14\r\nhistogram_usec\r\n*8\r\n"
           ":1\r\n:9\r\n:2\r\n:10\r\n:4194304\r\n:10\r\n:8388608\r\n:10\r\n");
    EXPECT(f, "CONFIG RESETSTAT", OK);
    EXPECT(f, "LATENCY HISTOGRAM", "*0\r\n");
    b.len = 0;
    info_metrics(&f->server, &b);
    b.p[b.len] = '\0';
    CHECK(strstr(b.p, "\nsponson_connections_total 0\n") && strstr(b.p, "\nsponson_hits_total 0\n") &&
          !strstr(b.p, "command=\"get\""));
    free(b.p);
    fixture_free(f);
}

static void slow(struct fixture *f, const char *text, uint64_t us) {
    struct slice argv[64];
    char copy[8192], *p = copy;
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ", &p); word; word = strtok_r(NULL, " ", &p))
        argv[argc++] = slice_of(word);
    info_slow(&f->server, &f->metrics, f->client, argv, argc, us, NOW_MS);
}

static void test_slowlog(void) {
    struct fixture *f = small();
    char text[4096];
    EXPECT(f, "SLOWLOG LEN", ":0\r\n");
    EXPECT(f, "SLOWLOG GET", "*0\r\n");
    EXPECT(f, "CLIENT SETNAME me", OK);
    slow(f, "KEYS *", 15000);
#define SLOW_HEAD(id, us) "*6\r\n:" id "\r\n:1700000000\r\n:" us "\r\n"
#define SLOW_TAIL "$9\r\n0.0.0.0:0\r\n$2\r\nme\r\n"
    EXPECT(f, "SLOWLOG GET", "*1\r\n" SLOW_HEAD("0", "15000") "*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n" SLOW_TAIL);
    slow(f, "AUTH user secret", 1);
    slow(f, "CONFIG SET requirepass secret", 2);
    slow(f, "config SETX requirepass secret", 2);
    slow(f, "hello 3 AUTH default secret", 3);
    line(f, "SLOWLOG GET -1");
    CHECK(!has(f, "secret") && !has(f, "user") && !has(f, "requirepass") && has(f, "*5\r\n*6\r\n:4\r\n"));
    CHECK(has(f, "$4\r\nAUTH\r\n$10\r\n(redacted)\r\n"));
    EXPECT(f, "SLOWLOG RESET", OK);
    EXPECT(f, "SLOWLOG LEN", ":0\r\n");
    memset(text, 'x', sizeof text); /* a long argument, and many */
    memcpy(text, "SET k ", 6);
    text[6 + 200] = '\0';
    slow(f, text, 4);
    CHECK(line(f, "SLOWLOG GET 1").n && has(f, "xxx... (72 more bytes)\r\n"));
    for (int i = 0; i < 40; i++)
        memcpy(text + 2 * i, i ? "a " : "D ", 2);
    text[79] = '\0';
    slow(f, text, 5);
    CHECK(line(f, "SLOWLOG GET 1").n && has(f, "*32\r\n$1\r\nD\r\n") && has(f, "... (9 more arguments)\r\n"));
    memset(text, 'y', sizeof text);
    for (int i = 0; i < 20; i++)
        text[i * 150] = ' ';
    text[3000] = '\0';
    slow(f, text, 6); /* more than is kept of one request */
    CHECK(line(f, "SLOWLOG GET 1").n && has(f, "*3\r\n$") && has(f, "... (18 more arguments)\r\n"));
    f->config.slowlog_max_len = 2;
    slow(f, "GET 1", 7);
    EXPECT(f, "SLOWLOG LEN", ":2\r\n");
    for (int i = 0; i < 3000; i++)
        slow(f, "GET n", 8);
    EXPECT(f, "SLOWLOG LEN", ":2\r\n");
    f->config.slowlog_max_len = SLOWLOG_MAX;
    for (int i = 0; i < 3 * SLOWLOG_MAX; i++) {
        memset(text, 'z', 3000);
        for (int n = 0; n < 20; n++)
            text[n * 150] = ' ';
        slow(f, text, 9);
    }
    EXPECT(f, "SLOWLOG LEN", ":1024\r\n");
    line(f, "SLOWLOG GET -1"); /* turn() checks that there is room for all of it */
    f->config.slowlog_max_len = 0;
    slow(f, "GET 1", 7);
    EXPECT(f, "SLOWLOG LEN", ":0\r\n");
    EXPECT(f, "SLOWLOG GET -2", "-ERR count should be greater than or equal to -1\r\n");
    EXPECT(f, "SLOWLOG GET x", "-ERR count should be greater than or equal to -1\r\n");
    EXPECT(f, "SLOWLOG GET 1 2", ARITY("slowlog|get"));
    EXPECT(f, "SLOWLOG RESET", OK);
    fixture_free(f);
}

static void test_latency(void) {
    static const struct step steps[] = {
        {"LATENCY LATEST", "*0\r\n", NULL},
        {"LATENCY HISTORY command", "*0\r\n", NULL},
        {"LATENCY RESET", ":0\r\n", NULL},
        {"LATENCY RESET command fork", ":0\r\n", NULL},
        {"LATENCY GRAPH command", "-ERR No samples available for event 'command'\r\n", NULL},
        {"LATENCY HISTOGRAM nothing", "*0\r\n", "%0\r\n"},
        {"LATENCY NOPE", "-ERR unknown subcommand 'NOPE'. Try LATENCY HELP.\r\n", NULL},
    };
    run_steps(steps, sizeof steps / sizeof *steps);
}

static void test_config_get(void) {
    static const struct step steps[] = {
        {"CONFIG GET maxmemory-policy", "*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n",
         "%1\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n"},
        {"config get MAX-KEY-size nothing", "*2\r\n$12\r\nMAX-KEY-size\r\n$4\r\n1024\r\n",
         "%1\r\n$12\r\nMAX-KEY-size\r\n$4\r\n1024\r\n"},
        {"CONFIG GET max-key-siz[e] max-key-*", "*2\r\n$12\r\nmax-key-size\r\n$4\r\n1024\r\n",
         "%1\r\n$12\r\nmax-key-size\r\n$4\r\n1024\r\n"}, /* once, though two patterns match */
        {"CONFIG GET nothing", "*0\r\n", "%0\r\n"},
    };
    bool has_policy = false;
    int count = 0;
    for (; config_name(count); count++)
        has_policy |= strcmp(config_name(count), "maxmemory-policy") == 0;
    run_steps(has_policy ? steps : steps + 1, sizeof steps / sizeof *steps - !has_policy);
    struct fixture *f = small();
    strcpy(f->config.requirepass, "secret");
    int64_t n;
    const char *p = header_at(line(f, "CONFIG GET *").p, &n);
    CHECK(n == 2 * count);
    for (int i = 0; config_name(i); i++) {
        char value[2048];
        struct slice name = bulk_at(&p), text = bulk_at(&p);
        CHECK(slice_equal(name, slice_of(config_name(i))));
        CHECK(slice_equal(text, (struct slice){value, config_value(&f->config, i, false, value, sizeof value)}));
    }
    CHECK(!has(f, "secret"));
    struct slice argv[200] = {SLICE("CONFIG"), SLICE("GET")};
    for (int i = 2; i < 200; i++)
        argv[i] = SLICE("*");
    CHECK(run(f, argv, 200).p[0] == '-');
    fixture_free(f);
}

static void test_client_list(void) {
    enum { CLIENTS = 2000 };
    struct fixture *f = small();
    char name[200];
    memset(name, 'n', sizeof name);
    EXPECT(f, "CLIENT SETNAME first", OK);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = new_client(f);
        REQUIRE(c != NULL);
        CHECK(client_set_text(&f->registry, &c->name, (struct slice){name, (size_t)i % sizeof name}));
    }
    for (int resp = 2; resp <= 3; resp++) {
        atomic_store(&f->client->resp, (uint8_t)resp);
        struct slice reply = line(f, "CLIENT LIST");
        CHECK(f->turns > 10 && f->result == COMMAND_COLLECTED);
        CHECK(reply.p[0] == (resp == 2 ? '$' : '=') && (resp == 2 || has(f, "\r\ntxt:id=1 ")));
        CHECK(has(f, " name=first ") && has(f, " cmd=client|list ") && has(f, " cmd=NULL "));
        const char *at = reply.p;
        for (int id = 1; id <= CLIENTS + 1; id++) {
            char want[32];
            snprintf(want, sizeof want, "id=%d addr=", id);
            at = strstr(at, want);
            REQUIRE(at != NULL);
        }
        CHECK(strstr(at, "\n\r\n") == reply.p + reply.n - 3);
    }
    f->config.client_output_bytes = 100000;
    CHECK(line(f, "CLIENT LIST").p[0] == '-' && has(f, "client|list") && f->result == COMMAND_DONE);
    f->config.client_output_bytes = 32 << 20;
    struct slice argv[] = {SLICE("CLIENT"), SLICE("LIST")};
    struct request r = prepare(f, argv, 2);
    CHECK(turn(f, &r) && turn(f, &r));
    command_forget(&f->context, f->client);
    fixture_free(f);
}

static void test_time(void) {
    struct fixture *f = small();
    time_t before = time(NULL);
    const char *p = line(f, "TIME").p;
    int64_t n;
    p = header_at(p, &n);
    CHECK(n == 2);
    long long s = strtoll(bulk_at(&p).p, NULL, 10), us = strtoll(bulk_at(&p).p, NULL, 10);
    CHECK(s >= before - 1 && s <= time(NULL) + 1 && us >= 0 && us < 1000000);
    fixture_free(f);
}

/* Errors are counted, and nothing else is. */
static void test_errors_counted(void) {
    struct fixture *f = small();
    static const char *const lines[] = {"GET", "FOO", "INCRBY k x", "SET k v FOO", "CLIENT FOO", "SELECT 16"};
    for (size_t i = 0; i < 6; i++) {
        line(f, lines[i]);
        CHECK(f->metrics.errors[0] == i + 1);
    }
    EXPECT(f, "SET k -ERR", OK);
    EXPECT(f, "GET k", "$4\r\n-ERR\r\n");
    CHECK(f->metrics.errors[0] == 6);
    EXPECT(f, "INFO errorstats", "$37\r\n# Errorstats\r\nerrorstat_ERR:count=6\r\n\r\n");
    line(f, "HELLO 9");
    line(f, "MULTI");
    line(f, "FOO");
    line(f, "EXEC");
    CHECK(strstr(line(f, "INFO").p, "# Errorstats\r\nerrorstat_ERR:count=7\r\nerrorstat_EXECABORT:count=1\r\n"
                                    "errorstat_NOPROTO:count=1\r\n\r\n") != NULL);
    CHECK(has(f, "total_error_replies:9\r\n"));
    EXPECT(f, "CONFIG SET requirepass secret", OK);
    line(f, "RESET");
    line(f, "GET k");
    line(f, "AUTH wrong");
    EXPECT(f, "AUTH secret", OK);
    line(f, "INFO all");
    CHECK(has(f, "\r\nerrorstat_NOAUTH:count=1\r\n") && has(f, "\r\nerrorstat_WRONGPASS:count=1\r\n"));
    EXPECT(f, "CONFIG RESETSTAT", OK);
    EXPECT(f, "INFO errorstats", "$14\r\n# Errorstats\r\n\r\n");
    fixture_free(f);
}

/* ---- random requests ---- */

/* Anything at all, arguments without bytes among it: each has its reply, and nothing breaks. */
static void test_random_requests(void) {
    struct fixture *f = fixture_new(MAXMEMORY_MIN, 16 << 10, 2);
    static char bytes[20000];
    uint32_t rows = 0;
    while (command_name(rows))
        rows++;
    random_state = 23;
    for (int round = 0; round < 60000; round++) {
        struct slice argv[12];
        int argc = 1 + (int)below(below(2) ? 4 : 12);
        static const char *const words[] = {"EX",
                                            "PX",
                                            "NX",
                                            "XX",
                                            "GET",
                                            "KEEPTTL",
                                            "MATCH",
                                            "COUNT",
                                            "TYPE",
                                            "*",
                                            "AUTH",
                                            "SETNAME",
                                            "0",
                                            "1",
                                            "-1",
                                            "100",
                                            "9223372036854775807",
                                            "GT",
                                            "k"};
        for (int i = 0; i < argc; i++) {
            uint32_t kind = below(10);
            if (i == 0 || kind == 0) {
                const char *name = command_name(below(rows));
                argv[i] = slice_of(strchr(name, '|') ? strchr(name, '|') + 1 : name);
                if (i == 0 && strchr(name, '|') && argc > 1) {
                    argv[++i] = argv[0];
                    argv[0] = (struct slice){name, strcspn(name, "|")};
                }
            } else if (kind < 6) {
                argv[i] = slice_of(words[below(sizeof words / sizeof *words)]);
            } else if (kind < 9) {
                size_t n = below(below(4) ? 8 : 2000);
                for (size_t b = 0; b < 8; b++)
                    bytes[b] = below(2) ? (char)rnd() : '1';
                argv[i] = (struct slice){bytes, n};
            } else {
                argv[i] = (struct slice){NULL, command_argument_max(&f->config) + 1 + below(100000)};
            }
        }
        if (below(50) == 0) argv[0] = (struct slice){NULL, 20000};
        struct request r = {.argv = argv, .argc = argc};
        command_prepare(&f->context, f->client,
                        &r); /* the steps alone, and in a batch where the entry goes in between */
        command_fetch(&r);
        if (below(20) == 0) shards_clear(&f->shards);
        command_fetch_links(&r);
        run(f, argv, argc);
        if (atomic_load(&f->server.feed.watchers) && below(4) == 0) line(f, "RESET"); /* who watches has no keys */
        f->context.now_ms += below(20);
        if (tap_failures) {
            printf("#   round %d\n", round);
            for (int i = 0; i < argc; i++)
                show("argument", argv[i].p ? argv[i] : SLICE("(no bytes)"));
            break;
        }
    }
    fixture_free(f);
}

/* ---- random commands against a model ---- */

enum { KEYS = 8, VALUE_MAX = 200 };

struct model {
    bool there;
    size_t n;
    int64_t deadline_ms; /* 0: none */
    char value[VALUE_MAX];
};

static char want_text[1024];

static struct slice want(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(want_text, sizeof want_text, format, args);
    va_end(args);
    return (struct slice){want_text, (size_t)n};
}

static struct slice want_integer(int64_t v) { return want(":%lld\r\n", (long long)v); }

static struct slice want_value(const struct model *m) {
    return m->there ? want("$%zu\r\n%.*s\r\n", m->n, (int)m->n, m->value) : SLICE(NIL);
}

static void model_set(struct model *m, struct slice value, int64_t deadline_ms) {
    m->there = true;
    m->n = value.n;
    m->deadline_ms = deadline_ms;
    memcpy(m->value, value.p, value.n);
}

#define TOO_LARGE SLICE("-ERR value exceeds max-value-size (200 bytes)\r\n")

/* SET with random options. */
static struct slice model_set_options(struct model *m, struct slice *argv, int *argc, char number[32], int64_t now_ms) {
    uint32_t condition = below(4), life = below(6);
    bool get = below(3) == 0, had = m->there, stored = true;
    int64_t deadline_ms = 0, ttl = 1 + below(40);
    *argc = 3;
    if (get) argv[(*argc)++] = SLICE("get");
    if (condition == 0) {
        argv[(*argc)++] = SLICE("NX");
        stored = !had;
    } else if (condition == 1) {
        argv[(*argc)++] = SLICE("xx");
        stored = had;
    }
    if (life == 0) {
        argv[(*argc)++] = SLICE("KEEPTTL");
        deadline_ms = had ? m->deadline_ms : 0;
    } else if (life < 5) {
        static const char *const words[] = {"EX", "PX", "EXAT", "PXAT"};
        bool seconds = life % 2, at = life > 2;
        int64_t v = at && seconds ? now_ms / 1000 + 1 : at ? now_ms + ttl : ttl;
        argv[(*argc)++] = slice_of(words[life - 1]);
        argv[(*argc)++] = (struct slice){number, (size_t)snprintf(number, 32, "%lld", (long long)v)};
        deadline_ms = v * (seconds ? 1000 : 1) + (at ? 0 : now_ms);
    }
    if (argv[2].n > VALUE_MAX) return TOO_LARGE;
    struct slice reply = get ? want_value(m) : stored ? SLICE(OK) : SLICE(NIL);
    if (stored) model_set(m, argv[2], deadline_ms);
    return reply;
}

static struct slice model_incrby(struct model *m, int64_t by, bool overflow_text) {
    int64_t v = 0;
    if (m->there && !resp_integer_of((struct slice){m->value, m->n}, &v)) return SLICE(NOT_INTEGER);
    if (__builtin_add_overflow(v, by, &v)) return overflow_text ? SLICE(OVERFLOW) : SLICE("");
    char text[32];
    int n = snprintf(text, sizeof text, "%lld", (long long)v);
    model_set(m, (struct slice){text, (size_t)n}, m->there ? m->deadline_ms : 0);
    return want_integer(v);
}

static struct slice model_expire(struct model *m, int64_t deadline_ms, int64_t now_ms) {
    bool there = m->there;
    if (there && deadline_ms <= now_ms)
        m->there = false;
    else if (there)
        m->deadline_ms = deadline_ms;
    return want_integer(there);
}

static void test_random_commands(void) {
    static const char *const names[] = {"GET", "SET",    "SETNX",  "GETSET",  "APPEND",  "STRLEN", "INCRBY",
                                        "DEL", "EXISTS", "EXPIRE", "PEXPIRE", "PERSIST", "TTL",    "PTTL",
                                        "SET", "GET",    "DECRBY", "PSETEX",  "TYPE",    "UNLINK", "PEXPIREAT"};
    static struct model models[KEYS];
    struct fixture *f = fixture_new(MAXMEMORY_MIN, VALUE_MAX, 2);
    uint32_t expired = 0, replies[256] = {0};
    random_state = 31;
    memset(models, 0, sizeof models);
    for (int round = 0; round < 100000; round++) {
        int64_t now_ms = f->context.now_ms += below(40) ? below(3) : below(3000);
        uint32_t i = below(KEYS);
        struct model *m = &models[i];
        if (m->there && m->deadline_ms && now_ms > m->deadline_ms) {
            m->there = false;
            expired++;
        }
        char key[32], value[VALUE_MAX + 8], number[32];
        const char *name = names[below(sizeof names / sizeof *names)];
        struct slice argv[10] = {slice_of(name), key_of(i, key)}, reply;
        size_t n = below(8) ? below(20) : below(sizeof value);
        for (size_t b = 0; b < n; b++)
            value[b] = (char)('a' + below(26));
        if (below(2)) n = (size_t)snprintf(value, sizeof value, "%lld", (long long)(rnd() >> below(64)));
        argv[2] = (struct slice){value, n};
        int64_t by = (int64_t)rnd() >> below(63), ms = (int64_t)below(60) - 3;
        int argc = 3;
        if (strcmp(name, "GET") == 0) {
            argc = 2;
            reply = want_value(m);
        } else if (strcmp(name, "SET") == 0) {
            reply = model_set_options(m, argv, &argc, number, now_ms);
        } else if (strcmp(name, "SETNX") == 0) {
            reply = n > VALUE_MAX ? TOO_LARGE : want_integer(!m->there);
            if (n <= VALUE_MAX && !m->there) model_set(m, argv[2], 0);
        } else if (strcmp(name, "GETSET") == 0) {
            reply = n > VALUE_MAX ? TOO_LARGE : want_value(m);
            if (n <= VALUE_MAX) model_set(m, argv[2], 0);
        } else if (strcmp(name, "APPEND") == 0) {
            size_t old = m->there ? m->n : 0;
            reply = old + n > VALUE_MAX ? TOO_LARGE : want_integer((int64_t)(old + n));
            if (old + n <= VALUE_MAX) {
                char joined[VALUE_MAX];
                memcpy(joined, m->value, old);
                memcpy(joined + old, value, n);
                model_set(m, (struct slice){joined, old + n}, m->there ? m->deadline_ms : 0);
            }
        } else if (strcmp(name, "STRLEN") == 0) {
            argc = 2;
            reply = want_integer(m->there ? (int64_t)m->n : 0);
        } else if (strcmp(name, "INCRBY") == 0) {
            argv[2] = (struct slice){number, (size_t)snprintf(number, sizeof number, "%lld", (long long)by)};
            reply = model_incrby(m, by, true);
        } else if (strcmp(name, "DECRBY") == 0) {
            argv[2] = (struct slice){number, (size_t)snprintf(number, sizeof number, "%lld", (long long)by)};
            reply = by == INT64_MIN ? SLICE("-ERR decrement would overflow\r\n") : model_incrby(m, -by, true);
        } else if (strcmp(name, "DEL") == 0 || strcmp(name, "UNLINK") == 0) {
            argv[2] = argv[1];
            reply = want_integer(m->there);
            m->there = false;
        } else if (strcmp(name, "EXISTS") == 0) {
            argv[2] = argv[1];
            reply = want_integer(2 * m->there);
        } else if (strcmp(name, "EXPIRE") == 0) {
            ms /= 10;
            argv[2] = (struct slice){number, (size_t)snprintf(number, sizeof number, "%lld", (long long)ms)};
            reply = model_expire(m, now_ms + ms * 1000, now_ms);
        } else if (strcmp(name, "PEXPIRE") == 0 || strcmp(name, "PEXPIREAT") == 0) {
            bool at = name[7] == 'A';
            argv[2] = (struct slice){
                number, (size_t)snprintf(number, sizeof number, "%lld", (long long)(at ? now_ms + ms : ms))};
            reply = model_expire(m, now_ms + ms, now_ms);
        } else if (strcmp(name, "PSETEX") == 0) {
            argc = 4;
            argv[3] = argv[2];
            argv[2] = (struct slice){number, (size_t)snprintf(number, sizeof number, "%lld", (long long)ms)};
            reply = ms <= 0 ? SLICE(EXPIRE_TIME("psetex")) : n > VALUE_MAX ? TOO_LARGE : SLICE(OK);
            if (ms > 0 && n <= VALUE_MAX) model_set(m, argv[3], now_ms + ms);
        } else if (strcmp(name, "PERSIST") == 0) {
            argc = 2;
            reply = want_integer(m->there && m->deadline_ms);
            m->deadline_ms = 0;
        } else if (strcmp(name, "TYPE") == 0) {
            argc = 2;
            reply = m->there ? SLICE("+string\r\n") : SLICE("+none\r\n");
        } else { /* TTL, PTTL */
            argc = 2;
            int64_t left = m->deadline_ms - now_ms;
            reply = want_integer(!m->there ? -2 : !m->deadline_ms ? -1 : name[0] == 'T' ? (left + 500) / 1000 : left);
        }
        struct slice got = run(f, argv, argc);
        replies[(unsigned char)got.p[0]]++;
        if (!SAME(got, reply)) {
            printf("#   round %d\n", round);
            for (int a = 0; a < argc; a++)
                show("argument", argv[a]);
            break;
        }
        if (round % 1000 == 0) {
            for (uint32_t s = 0; s < SHARDS; s++)
                lru_check(&f->shards.shard[s].lru);
            shard_upkeep(&f->shards, (uint32_t)(round / 1000) % SHARDS, now_ms);
        }
    }
    CHECK(expired > 1000 && replies['-'] > 1000 && replies['$'] > 5000 && replies[':'] > 20000 && replies['+'] > 2000);
    fixture_free(f);
}

int main(void) {
    static const struct tap_test tests[] = {
        {"GET, PUT, SETNX, MSET, APPEND ...", test_strings},
        {"SET and its options", test_set_options},
        {"INCR, DECR and their limits", test_integers},
        {"DEL, EXISTS, TYPE, KEYS, SCAN, FLUSHALL ...", test_keys_of_all_kinds},
        {"TTL, EXPIRE and their options, to the millisecond", test_expiry},
        {"PING, SELECT, AUTH, CLIENT ...", test_connection},
        {"unknown commands", test_unknown},
        {"CLIENT SETNAME and SETINFO: what a text may be", test_setinfo},
        {"HELLO", test_hello},
        {"AUTH and RESET", test_auth},
        {"HELLO with a wrong option does nothing", test_hello_reads_options_first},
        {"SELECT beyond an int", test_select_range},
        {"QUIT, SHUTDOWN, and what is no client of ours", test_close},
        {"sizes of keys and values, and the order of errors", test_sizes},
        {"what the parser is told of sizes", test_safe_sizes},
        {"MGET, EXISTS and DEL of 5000 keys go on over turns", test_suspended},
        {"MGET of large values stops when out is full", test_mget_large},
        {"KEYS collected over turns", test_keys},
        {"KEYS of too much", test_keys_too_many},
        {"KEYS and SCAN of the longest keys", test_long_keys},
        {"SCAN finds each key once", test_scan},
        {"patterns", test_glob_table},
        {"random patterns against a plain matcher", test_glob_random},
        {"no pattern takes for ever", test_glob_bounded},
        {"the command table is whole, and every name is found", test_table},
        {"nothing else is found", test_names_are_exact},
        {"COMMAND tells the table", test_command_command},
        {"HELP", test_help},
        {"databases", test_databases},
        {"WATCH: what is a change, and what is none", test_watch},
        {"MULTI, EXEC and DISCARD", test_multi},
        {"EXEC with a long reply", test_exec_long},
        {"EXEC: what bounds its reply", test_exec_bound},
        {"MULTI without an end", test_multi_without_end},
        {"CLIENT REPLY and other modes", test_reply_modes},
        {"CLIENT PAUSE", test_pause},
        {"which commands make an entry the latest", test_touching},
        {"a password that is removed locks nobody out", test_password_removed},
        {"commands of Valkey 8.1 and 9 and of Redis 8.4", test_newer},
        {"values that are too large since maxmemory sank", test_values_too_large},
        {"CONFIG SET and RESETSTAT", test_config_set},
        {"INFO: rates of the last second", test_rates},
        {"INFO", test_info},
        {"INFO and /metrics: every counter, the histograms, RESETSTAT", test_metrics},
        {"SLOWLOG: what is shown, and how much is kept", test_slowlog},
        {"LATENCY", test_latency},
        {"CONFIG GET", test_config_get},
        {"CLIENT LIST over turns", test_client_list},
        {"TIME", test_time},
        {"errors are counted", test_errors_counted},
        {"random requests", test_random_requests},
        {"random commands against a model", test_random_commands},
    };
    return tap_main(tests, sizeof tests / sizeof *tests);
}
