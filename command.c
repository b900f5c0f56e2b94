/* command.c -- the command table, its arity checked once, one handler a command: argv in, reply out.
 *
 * Owns    nothing that lasts but client->suspended of a command that was interrupted.
 *
 * A handler is headed by its syntax as the Redis documentation writes it, and answers as Redis 7.2 does, byte for
 * byte. It locks a shard, encodes the reply from the entry itself, and unlocks; between the two there is no system
 * call, since `out` has room for any reply that is given at once (command_reply_room()).
 *
 * Work without a bound (KEYS, MGET of very many keys) is done in pieces: the handler keeps its place in
 * client->suspended and returns COMMAND_AGAIN; on the next turn it is called with the same arguments. A reply whose
 * length must be known before its first byte is collected in a block of the pool meanwhile.
 *
 * The order of checks is Redis's: name, arity, (then ours: key size, value size), authentication, the handler. A
 * client's mistake becomes an error line here and nowhere else. */
#include "command.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "glob.h"
#include "resp.h"

#define LIST_REPLY_BYTES (1u << 20) /* what a list that is answered at once takes at most */
#define KEYS_PER_TURN 512           /* keys of one MGET or DEL */
#define BUCKETS_PER_TURN 64         /* of KEYS: some 600 keys */
#define CLIENTS_PER_TURN 64         /* of CLIENT LIST: a system call each */
#define SCAN_BUCKETS_MAX 512        /* of one SCAN, whatever its COUNT asks for */
#define SCAN_BYTES_MAX (256u << 10) /* of one SCAN: it stops at the bucket that passes it */
#define CONFIG_PATTERNS_MAX 64      /* of one CONFIG GET, ... */
#define CONFIG_PATTERN_BYTES 128    /* ... each: no name is half as long, and matching takes patterns x names x bytes */
#define PATTERN_BYTES_MAX 1024      /* of KEYS and SCAN; or max-key-size, where that is less */
#define MATCH_STEPS_MAX 500000      /* of KEYS and SCAN: a pattern of many stars takes a thousand a key */
#define COLLECT_FIRST (64u << 10)   /* first size of a collected reply */
#define COLLECT_HEADER 32           /* room before it for its header */
#define KEYS_AHEAD 16               /* keys whose memory is fetched at once: as many lines as a core waits for */

enum flags {
    WRITE = 1 << 0,
    READONLY = 1 << 1,
    FAST = 1 << 2,
    DENYOOM = 1 << 3,
    ADMIN = 1 << 4,
    NOSCRIPT = 1 << 5,
    LOADING = 1 << 6,
    STALE = 1 << 7,
    NO_AUTH = 1 << 8,
};

/* One call of a handler. */
struct call {
    struct command_context *context;
    struct client *client;
    const struct request *request;
    struct slice *argv;
    int argc;
    struct buf *out;
    struct shards *shards;
    uint64_t hash; /* of the first key */
    int64_t now_ms;
    int resp;
};

struct command {
    const char *name; /* lower case; a subcommand's is "parent|name" */
    int arity;        /* negative: at least so many; the name counts */
    unsigned flags;
    int first_key, last_key, key_step;
    enum command_result (*handler)(struct call *c);
    const char *syntax;
    const char *group;
    const char *since;
    const char *summary;
};

/* ---- helpers ---- */

static enum command_result error(struct call *c, struct slice text) {
    resp_error(c->out, text);
    metrics_add(&c->context->metrics->total_error_replies, 1);
    return COMMAND_DONE;
}

__attribute__((format(printf, 2, 3))) static enum command_result error_format(struct call *c, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t size = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    return error(c, (struct slice){text, size});
}

static enum command_result syntax_error(struct call *c) {
    return error(c, SLICE("ERR syntax error"));
}

static enum command_result not_an_integer(struct call *c) {
    return error(c, SLICE("ERR value is not an integer or out of range"));
}

static enum command_result ok(struct call *c) {
    buf_put_slice(c->out, SLICE("+OK\r\n")); /* the most frequent reply of all but values, composed once */
    return COMMAND_DONE;
}

static enum command_result integer(struct call *c, int64_t value) {
    resp_integer(c->out, value);
    return COMMAND_DONE;
}

static enum command_result null(struct call *c) {
    resp_null(c->out, c->resp);
    return COMMAND_DONE;
}

static bool is_word(struct slice s, struct slice word) {
    return slice_equal_nocase(s, word);
}

static struct lru *lock(struct call *c) {
    return shard_lock(c->shards, c->hash);
}

static void unlock(struct call *c) {
    shard_unlock(c->shards, c->hash);
}

/* Finds an entry for a command that reads it, counting hits and misses. */
static struct entry *read_entry(struct lru *l, uint64_t hash, struct slice key, int64_t now_ms, bool touch) {
    struct entry *e = touch ? lru_get(l, hash, key, now_ms) : lru_peek(l, hash, key, now_ms);
    *(e ? &l->hits : &l->misses) += 1;
    return e;
}

static bool value_fits(struct call *c, size_t bytes) {
    uint64_t max = c->context->server->config->max_value_size_bytes;
    if (bytes <= max)
        return true;
    error_format(c, "ERR value exceeds max-value-size (%" PRIu64 " bytes)", max);
    return false;
}

/* Stores a value whose size was checked. It always fits: config.c keeps max-value-size below half a shard. */
static void store(struct call *c, struct lru *l, struct slice value, int64_t deadline_ms) {
    bool stored = lru_set(l, c->hash, c->argv[1], value, deadline_ms);
    (void)stored;
}

/* The end of `out`, `bytes` of it: a place to put a value together while the shard is locked. */
static char *scratch(struct call *c, size_t bytes) {
    return c->out->p + c->out->cap - bytes;
}

/* Stores the entry anew with the same value and another deadline: for one that has no room for a deadline. */
static void store_with_deadline(struct call *c, struct lru *l, const struct entry *e, int64_t deadline_ms) {
    struct slice value = entry_value(e);
    char *copy = scratch(c, value.n);
    if (value.n)
        memcpy(copy, value.p, value.n);
    store(c, l, (struct slice){copy, value.n}, deadline_ms);
}

/* Calls each(c, l, hash, key) for the keys of argv from `from` to `to` (exclusive), every step-th, with their memory
 * fetched ahead. */
static void for_keys(struct call *c, int from, int to, int step,
                     void (*each)(struct call *c, struct lru *l, uint64_t hash, struct slice key)) {
    uint64_t hash[KEYS_AHEAD];
    while (from < to) {
        int n = (to - from + step - 1) / step;
        n = n < KEYS_AHEAD ? n : KEYS_AHEAD;
        for (int i = 0; i < n; i++) {
            hash[i] = shards_hash(c->shards, c->argv[from + i * step]);
            lru_prefetch_bucket(shard_unlocked(c->shards, hash[i]), hash[i]);
        }
        for (int i = 0; i < n; i++)
            lru_prefetch_entry(shard_unlocked(c->shards, hash[i]), hash[i]);
        for (int i = 0; i < n; i++) {
            each(c, shard_lock(c->shards, hash[i]), hash[i], c->argv[from + i * step]);
            shard_unlock(c->shards, hash[i]);
        }
        from += n * step;
    }
}

/* Where a command over all of argv[1..] goes on: *from and *to say which keys are this turn's. True: they are the
 * last ones. */
static bool keys_of_turn(struct call *c, int *from, int *to) {
    struct suspended *s = &c->client->suspended;
    *from = s->next ? (int)s->next : 1;
    *to = c->argc - *from > KEYS_PER_TURN ? *from + KEYS_PER_TURN : c->argc;
    s->next = *to == c->argc ? 0 : *to;
    return *to == c->argc;
}

/* ---- collected replies ---- */

void command_forget(struct command_context *c, struct client *client) {
    pool_put(c->pool, client->suspended.reply.p, client->suspended.reply.cap);
    client->suspended = (struct suspended){0};
}

/* Makes `bytes` of room in the collected reply. False: it would pass what may wait for one client. */
static bool collect_room(struct call *c, size_t bytes) {
    struct buf *b = &c->client->suspended.reply;
    if (b->p == NULL) {
        b->p = pool_get(c->context->pool, COLLECT_FIRST, &b->cap);
        b->len = COLLECT_HEADER;
    } else if (b->cap - b->len < bytes) {
        if (b->len + bytes > c->context->server->config->client_output_bytes)
            return false;
        char *p = pool_grow(c->context->pool, b->p, &b->cap, b->len, b->len + bytes);
        if (p == NULL)
            return false;
        b->p = p;
    }
    b->full = false;
    return b->p != NULL;
}

static enum command_result collect_failed(struct call *c, const char *command, const char *instead) {
    command_forget(c->context, c->client);
    return error_format(
        c, "ERR the reply of %s exceeds client-output-buffer-limit (%" PRIu64 " bytes) or client-memory; %s", command,
        c->context->server->config->client_output_bytes, instead);
}

/* Puts the header before what was collected. */
static enum command_result collected(struct call *c, const char *header, size_t n) {
    struct suspended *s = &c->client->suspended;
    s->start = COLLECT_HEADER - n;
    memcpy(s->reply.p + s->start, header, n);
    s->next = 0;
    s->cursor = 0;
    s->count = 0;
    return COMMAND_COLLECTED;
}

/* ---- strings ---- */

/* GET key */
static enum command_result cmd_get(struct call *c) {
    struct lru *l = lock(c);
    struct entry *e = read_entry(l, c->hash, c->argv[1], c->now_ms, true);
    if (e)
        resp_bulk(c->out, entry_value(e));
    unlock(c);
    return e ? COMMAND_DONE : null(c);
}

/* The deadline that `text` means: of `unit_ms` each, counted from now or as a time itself. False: the error is
 * answered. As Redis, only what is positive is a time to live. */
static bool deadline_of(struct call *c, struct slice text, int64_t unit_ms, bool relative, int64_t *deadline_ms) {
    int64_t v;
    if (!resp_integer_of(text, &v)) {
        not_an_integer(c);
        return false;
    }
    if (v <= 0 || v > INT64_MAX / unit_ms || (relative && v * unit_ms > INT64_MAX - c->now_ms)) {
        error_format(c, "ERR invalid expire time in '%s' command", c->request->command->name);
        return false;
    }
    *deadline_ms = v * unit_ms + (relative ? c->now_ms : 0);
    return true;
}

enum set_flags {
    SET_NX = 1,
    SET_XX = 2,
    SET_GET = 4,
    SET_KEEPTTL = 8,
    SET_EX = 16,
    SET_PX = 32,
    SET_EXAT = 64,
    SET_PXAT = 128
};

/* Reads the options of SET. `*time` is the argument of a time to live, 0: none. False: they contradict each other or
 * are unknown. */
static bool set_options(struct call *c, unsigned *flags, int *time) {
    static const struct {
        struct slice word;
        unsigned flag;
        unsigned not_with;
        bool has_time;
    } options[] = {
        {{"nx", 2}, SET_NX, SET_XX, false},
        {{"xx", 2}, SET_XX, SET_NX, false},
        {{"get", 3}, SET_GET, 0, false},
        {{"keepttl", 7}, SET_KEEPTTL, SET_EX | SET_PX | SET_EXAT | SET_PXAT, false},
        {{"ex", 2}, SET_EX, SET_KEEPTTL | SET_PX | SET_EXAT | SET_PXAT, true},
        {{"px", 2}, SET_PX, SET_KEEPTTL | SET_EX | SET_EXAT | SET_PXAT, true},
        {{"exat", 4}, SET_EXAT, SET_KEEPTTL | SET_EX | SET_PX | SET_PXAT, true},
        {{"pxat", 4}, SET_PXAT, SET_KEEPTTL | SET_EX | SET_PX | SET_EXAT, true},
    };
    for (int i = 3; i < c->argc; i++) {
        size_t n = sizeof options / sizeof *options, o = 0;
        while (o < n && !is_word(c->argv[i], options[o].word))
            o++;
        if (o == n || (*flags & options[o].not_with) || (options[o].has_time && i + 1 == c->argc))
            return false;
        *flags |= options[o].flag;
        if (options[o].has_time)
            *time = ++i;
    }
    return true;
}

static enum command_result set_entry(struct call *c, unsigned flags, int64_t deadline_ms) {
    struct lru *l = lock(c);
    struct entry *e = NULL;
    if (flags & (SET_NX | SET_XX | SET_GET | SET_KEEPTTL))
        e = lru_peek(l, c->hash, c->argv[1], c->now_ms);
    if (flags & SET_GET) {
        *(e ? &l->hits : &l->misses) += 1;
        if (e)
            resp_bulk(c->out, entry_value(e));
        else
            resp_null(c->out, c->resp);
    }
    bool stored = !((flags & SET_NX) && e) && !((flags & SET_XX) && !e);
    if (stored) {
        if ((flags & SET_KEEPTTL) && e)
            deadline_ms = entry_deadline_ms(e);
        store(c, l, c->argv[2], deadline_ms);
    }
    unlock(c);
    if (flags & SET_GET)
        return COMMAND_DONE;
    return stored ? ok(c) : null(c);
}

/* SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL] */
static enum command_result cmd_set(struct call *c) {
    unsigned flags = 0;
    int time = 0;
    int64_t deadline_ms = 0;
    if (c->argc > 3) {
        if (!set_options(c, &flags, &time))
            return syntax_error(c);
        bool seconds = flags & (SET_EX | SET_EXAT), relative = flags & (SET_EX | SET_PX);
        if (time && !deadline_of(c, c->argv[time], seconds ? 1000 : 1, relative, &deadline_ms))
            return COMMAND_DONE;
    }
    if (!value_fits(c, c->argv[2].n))
        return COMMAND_DONE;
    return set_entry(c, flags, deadline_ms);
}

/* PUT key value: what SET without options does; the name that key-value servers of textbooks give it. */
static enum command_result cmd_put(struct call *c) {
    return value_fits(c, c->argv[2].n) ? set_entry(c, 0, 0) : COMMAND_DONE;
}

/* SETNX key value */
static enum command_result cmd_setnx(struct call *c) {
    if (!value_fits(c, c->argv[2].n))
        return COMMAND_DONE;
    struct lru *l = lock(c);
    bool stored = lru_peek(l, c->hash, c->argv[1], c->now_ms) == NULL;
    if (stored)
        store(c, l, c->argv[2], 0);
    unlock(c);
    return integer(c, stored);
}

static enum command_result set_with_ttl(struct call *c, int64_t unit_ms) {
    int64_t deadline_ms;
    if (!deadline_of(c, c->argv[2], unit_ms, true, &deadline_ms) || !value_fits(c, c->argv[3].n))
        return COMMAND_DONE;
    struct lru *l = lock(c);
    store(c, l, c->argv[3], deadline_ms);
    unlock(c);
    return ok(c);
}

/* SETEX key seconds value */
static enum command_result cmd_setex(struct call *c) {
    return set_with_ttl(c, 1000);
}

/* PSETEX key milliseconds value */
static enum command_result cmd_psetex(struct call *c) {
    return set_with_ttl(c, 1);
}

/* GETSET key value */
static enum command_result cmd_getset(struct call *c) {
    return value_fits(c, c->argv[2].n) ? set_entry(c, SET_GET, 0) : COMMAND_DONE;
}

static void mget_one(struct call *c, struct lru *l, uint64_t hash, struct slice key) {
    struct entry *e = read_entry(l, hash, key, c->now_ms, true);
    if (e)
        resp_bulk(c->out, entry_value(e));
    else
        resp_null(c->out, c->resp);
}

/* MGET key [key ...] */
static enum command_result cmd_mget(struct call *c) {
    struct suspended *s = &c->client->suspended;
    int from = s->next ? (int)s->next : 1;
    int most = c->argc - from > KEYS_PER_TURN ? from + KEYS_PER_TURN : c->argc;
    if (from == 1)
        resp_array(c->out, (size_t)c->argc - 1);
    size_t room = KEYS_AHEAD * resp_bulk_bytes(c->context->server->config->max_value_size_bytes);
    while (from < most) {
        /* as many at once as surely fit; one always does, since `out` came with room for a whole value */
        size_t left = buf_left(c->out);
        int n = left >= room ? KEYS_AHEAD : left >= room / KEYS_AHEAD ? 1 : 0;
        if (n == 0)
            break;
        n = most - from < n ? most - from : n;
        for_keys(c, from, from + n, 1, mget_one);
        from += n;
    }
    s->next = from == c->argc ? 0 : from;
    return s->next ? COMMAND_AGAIN : COMMAND_DONE;
}

/* MSET key value [key value ...]: all shards locked at once, so nobody sees a part of it. */
static enum command_result cmd_mset(struct call *c) {
    if (c->argc % 2 == 0)
        return error(c, SLICE("ERR wrong number of arguments for 'mset' command"));
    uint64_t set = 0;
    for (int i = 1; i < c->argc; i += 2) {
        if (!value_fits(c, c->argv[i + 1].n))
            return COMMAND_DONE;
        set |= 1ull << hash_shard(shards_hash(c->shards, c->argv[i]));
    }
    shards_lock_many(c->shards, set);
    for (int i = 1; i < c->argc; i += 2) {
        uint64_t hash = shards_hash(c->shards, c->argv[i]);
        lru_set(shard_locked(c->shards, hash), hash, c->argv[i], c->argv[i + 1], 0);
    }
    shards_unlock_many(c->shards, set);
    return ok(c);
}

/* APPEND key value */
static enum command_result cmd_append(struct call *c) {
    struct slice more = c->argv[2];
    if (!value_fits(c, more.n))
        return COMMAND_DONE;
    uint64_t max = c->context->server->config->max_value_size_bytes;
    struct lru *l = lock(c);
    const struct entry *e = lru_peek(l, c->hash, c->argv[1], c->now_ms);
    struct slice old = e ? entry_value(e) : (struct slice){"", 0};
    size_t size = old.n + more.n;
    if (size <= max) {
        char *joined = scratch(c, size);
        if (old.n)
            memcpy(joined, old.p, old.n);
        if (more.n)
            memcpy(joined + old.n, more.p, more.n);
        store(c, l, (struct slice){joined, size}, e ? entry_deadline_ms(e) : 0);
    }
    unlock(c);
    if (!value_fits(c, size))
        return COMMAND_DONE;
    return integer(c, (int64_t)size);
}

/* STRLEN key */
static enum command_result cmd_strlen(struct call *c) {
    struct lru *l = lock(c);
    const struct entry *e = read_entry(l, c->hash, c->argv[1], c->now_ms, true);
    int64_t size = e ? (int64_t)entry_value(e).n : 0;
    unlock(c);
    return integer(c, size);
}

static enum command_result increment(struct call *c, int64_t by) {
    struct lru *l = lock(c);
    const struct entry *e = lru_peek(l, c->hash, c->argv[1], c->now_ms);
    int64_t value = 0;
    bool is_integer = e == NULL || resp_integer_of(entry_value(e), &value);
    bool in_range = is_integer && !__builtin_add_overflow(value, by, &value);
    if (in_range) {
        char text[24];
        int n = snprintf(text, sizeof text, "%" PRId64, value);
        store(c, l, (struct slice){text, (size_t)n}, e ? entry_deadline_ms(e) : 0);
    }
    unlock(c);
    if (!is_integer)
        return not_an_integer(c);
    return in_range ? integer(c, value) : error(c, SLICE("ERR increment or decrement would overflow"));
}

/* INCR key */
static enum command_result cmd_incr(struct call *c) {
    return increment(c, 1);
}

/* DECR key */
static enum command_result cmd_decr(struct call *c) {
    return increment(c, -1);
}

/* INCRBY key increment */
static enum command_result cmd_incrby(struct call *c) {
    int64_t by;
    return resp_integer_of(c->argv[2], &by) ? increment(c, by) : not_an_integer(c);
}

/* DECRBY key decrement */
static enum command_result cmd_decrby(struct call *c) {
    int64_t by;
    if (!resp_integer_of(c->argv[2], &by))
        return not_an_integer(c);
    return by == INT64_MIN ? error(c, SLICE("ERR decrement would overflow")) : increment(c, -by);
}

/* ---- keys ---- */

static void delete_one(struct call *c, struct lru *l, uint64_t hash, struct slice key) {
    struct entry *e = lru_peek(l, hash, key, c->now_ms);
    if (e == NULL)
        return;
    lru_remove(l, hash, e);
    c->client->suspended.count++;
}

static void exists_one(struct call *c, struct lru *l, uint64_t hash, struct slice key) {
    c->client->suspended.count += read_entry(l, hash, key, c->now_ms, true) != NULL;
}

/* Counts the keys of argv[1..] for which `each` said so, in pieces. */
static enum command_result count_keys(struct call *c,
                                      void (*each)(struct call *, struct lru *, uint64_t, struct slice)) {
    int from, to;
    bool last = keys_of_turn(c, &from, &to);
    for_keys(c, from, to, 1, each);
    if (!last)
        return COMMAND_AGAIN;
    int64_t count = c->client->suspended.count;
    c->client->suspended.count = 0;
    return integer(c, count);
}

/* DEL key [key ...] and UNLINK: nothing here is freed later, there is nothing to wait for */
static enum command_result cmd_del(struct call *c) {
    return count_keys(c, delete_one);
}

/* EXISTS key [key ...], TOUCH key [key ...] */
static enum command_result cmd_exists(struct call *c) {
    return count_keys(c, exists_one);
}

/* TYPE key */
static enum command_result cmd_type(struct call *c) {
    struct lru *l = lock(c);
    bool there = read_entry(l, c->hash, c->argv[1], c->now_ms, false) != NULL;
    unlock(c);
    resp_simple(c->out, there ? SLICE("string") : SLICE("none"));
    return COMMAND_DONE;
}

/* The time that is left, in ms: -2 no such key, -1 no deadline. */
static int64_t ttl_ms(struct call *c) {
    struct lru *l = lock(c);
    const struct entry *e = read_entry(l, c->hash, c->argv[1], c->now_ms, false);
    int64_t deadline_ms = e ? entry_deadline_ms(e) : 0;
    unlock(c);
    if (e == NULL)
        return -2;
    if (deadline_ms == 0)
        return -1;
    return deadline_ms > c->now_ms ? deadline_ms - c->now_ms : 0;
}

/* TTL key */
static enum command_result cmd_ttl(struct call *c) {
    int64_t left = ttl_ms(c);
    return integer(c, left < 0 ? left : left / 1000 + (left % 1000 >= 500));
}

/* PTTL key */
static enum command_result cmd_pttl(struct call *c) {
    return integer(c, ttl_ms(c));
}

enum expire_flags { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

/* Reads the condition of EXPIRE. False: the error is answered. */
static bool expire_options(struct call *c, unsigned *flags) {
    static const struct {
        struct slice word;
        unsigned flag;
    } options[] = {{{"nx", 2}, EXPIRE_NX}, {{"xx", 2}, EXPIRE_XX}, {{"gt", 2}, EXPIRE_GT}, {{"lt", 2}, EXPIRE_LT}};
    for (int i = 3; i < c->argc; i++) {
        size_t o = 0;
        while (o < 4 && !is_word(c->argv[i], options[o].word))
            o++;
        if (o == 4) {
            int n = c->argv[i].n < 128 ? (int)c->argv[i].n : 128;
            error_format(c, "ERR Unsupported option %.*s", n, c->argv[i].p);
            return false;
        }
        *flags |= options[o].flag;
    }
    if ((*flags & EXPIRE_NX) && (*flags & ~(unsigned)EXPIRE_NX)) {
        error(c, SLICE("ERR NX and XX, GT or LT options at the same time are not compatible"));
        return false;
    }
    if ((*flags & EXPIRE_GT) && (*flags & EXPIRE_LT)) {
        error(c, SLICE("ERR GT and LT options at the same time are not compatible"));
        return false;
    }
    return true;
}

/* Whether the condition lets an entry with deadline `old_ms` (0: none, so infinitely late) have `new_ms`. */
static bool expire_allowed(unsigned flags, int64_t old_ms, int64_t new_ms) {
    if ((flags & EXPIRE_NX) && old_ms)
        return false;
    if ((flags & EXPIRE_XX) && old_ms == 0)
        return false;
    if ((flags & EXPIRE_GT) && (old_ms == 0 || new_ms <= old_ms))
        return false;
    return !((flags & EXPIRE_LT) && old_ms && new_ms >= old_ms);
}

static enum command_result expire(struct call *c, int64_t unit_ms, bool relative) {
    unsigned flags = 0;
    int64_t v;
    if (!expire_options(c, &flags))
        return COMMAND_DONE;
    if (!resp_integer_of(c->argv[2], &v))
        return not_an_integer(c);
    if (v > INT64_MAX / unit_ms || v < INT64_MIN / unit_ms || (relative && v * unit_ms > INT64_MAX - c->now_ms))
        return error_format(c, "ERR invalid expire time in '%s' command", c->request->command->name);
    int64_t deadline_ms = v * unit_ms + (relative ? c->now_ms : 0);
    struct lru *l = lock(c);
    struct entry *e = lru_peek(l, c->hash, c->argv[1], c->now_ms);
    bool changed = e && expire_allowed(flags, entry_deadline_ms(e), deadline_ms);
    if (changed && deadline_ms <= c->now_ms)
        lru_remove(l, c->hash, e);
    else if (changed && !lru_set_deadline(l, e, deadline_ms))
        store_with_deadline(c, l, e, deadline_ms);
    unlock(c);
    return integer(c, changed);
}

/* EXPIRE key seconds [NX | XX | GT | LT] */
static enum command_result cmd_expire(struct call *c) {
    return expire(c, 1000, true);
}

/* PEXPIRE key milliseconds [NX | XX | GT | LT] */
static enum command_result cmd_pexpire(struct call *c) {
    return expire(c, 1, true);
}

/* EXPIREAT key unix-time-seconds [NX | XX | GT | LT] */
static enum command_result cmd_expireat(struct call *c) {
    return expire(c, 1000, false);
}

/* PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT] */
static enum command_result cmd_pexpireat(struct call *c) {
    return expire(c, 1, false);
}

/* PERSIST key */
static enum command_result cmd_persist(struct call *c) {
    struct lru *l = lock(c);
    struct entry *e = lru_peek(l, c->hash, c->argv[1], c->now_ms);
    bool changed = e && entry_deadline_ms(e);
    if (changed)
        lru_set_deadline(l, e, 0);
    unlock(c);
    return integer(c, changed);
}

/* ---- all keys ---- */

struct walk {
    struct buf *out;
    const struct slice *pattern; /* NULL: every key */
    int64_t found;
    size_t steps; /* of matching */
};

static void walk_emit(void *context, const struct entry *e) {
    struct walk *w = context;
    if (w->pattern && !glob_match_steps(*w->pattern, entry_key(e), false, &w->steps))
        return;
    resp_bulk(w->out, entry_key(e));
    w->found++;
}

/* The pattern in argv[i], in *pattern; what matches every key becomes NULL. False: it is too long, and that was
 * answered: matching takes time with the product of both lengths. */
static bool pattern_of(struct call *c, int i, const struct slice **pattern) {
    uint64_t max = c->context->server->config->max_key_size_bytes;
    max = max < PATTERN_BYTES_MAX ? max : PATTERN_BYTES_MAX;
    *pattern = slice_equal(c->argv[i], SLICE("*")) ? NULL : &c->argv[i];
    if (c->argv[i].n <= max)
        return true;
    error_format(c, "ERR pattern exceeds %" PRIu64 " bytes", max);
    return false;
}

/* SCAN cursor [MATCH pattern] [COUNT count] [TYPE type] */
static enum command_result cmd_scan(struct call *c) {
    int64_t cursor, count = 10;
    const struct slice *pattern = NULL;
    bool strings = true;
    if (!resp_integer_of(c->argv[1], &cursor) || cursor < 0 || !shards_cursor_valid((uint64_t)cursor))
        return error(c, SLICE("ERR invalid cursor"));
    for (int i = 2; i < c->argc; i += 2) {
        if (i + 1 == c->argc)
            return syntax_error(c);
        if (is_word(c->argv[i], SLICE("count"))) {
            if (!resp_integer_of(c->argv[i + 1], &count))
                return not_an_integer(c);
            if (count < 1)
                return syntax_error(c);
        } else if (is_word(c->argv[i], SLICE("match"))) {
            if (!pattern_of(c, i + 1, &pattern))
                return COMMAND_DONE;
        } else if (is_word(c->argv[i], SLICE("type"))) {
            strings = is_word(c->argv[i + 1], SLICE("string"));
        } else {
            return syntax_error(c);
        }
    }
    /* the items are written first, then moved up to the header that says how many they are */
    struct buf *out = c->out, items = {out->p + out->len + 64, 0, buf_left(out) - 64, false};
    struct walk w = {&items, pattern, 0, 0};
    uint64_t at = (uint64_t)cursor;
    int buckets = 0;
    do {
        at = shards_scan(c->shards, at, c->now_ms, walk_emit, &w);
        if (!strings)
            items.len = (size_t)(w.found = 0);
    } while (at && w.found < count && ++buckets < SCAN_BUCKETS_MAX && buckets / 10 < count &&
             items.len < SCAN_BYTES_MAX && w.steps < MATCH_STEPS_MAX);
    resp_array(out, 2);
    resp_bulk_integer(out, (int64_t)at);
    resp_array(out, (size_t)w.found);
    memmove(out->p + out->len, items.p, items.len);
    out->len += items.len;
    return COMMAND_DONE;
}

/* KEYS pattern */
static enum command_result cmd_keys(struct call *c) {
    struct suspended *s = &c->client->suspended;
    const struct slice *pattern;
    if (!pattern_of(c, 1, &pattern))
        return COMMAND_DONE;
    size_t steps = 0;
    for (int buckets = 0; buckets < BUCKETS_PER_TURN && steps < MATCH_STEPS_MAX; buckets++) {
        if (!collect_room(c, COLLECT_FIRST / 2))
            return collect_failed(c, "KEYS", "use SCAN");
        struct walk w = {&s->reply, pattern, 0, 0};
        size_t before = s->reply.len;
        uint64_t next = shards_scan(c->shards, s->cursor, c->now_ms, walk_emit, &w);
        steps += w.steps;
        if (s->reply.full) { /* a bucket of long keys: once more, with more room */
            s->reply.len = before;
            if (!collect_room(c, s->reply.cap))
                return collect_failed(c, "KEYS", "use SCAN");
            continue;
        }
        s->count += w.found;
        s->cursor = next;
        if (next == 0) {
            char header[COLLECT_HEADER];
            int n = snprintf(header, sizeof header, "*%" PRId64 "\r\n", s->count);
            return collected(c, header, (size_t)n);
        }
    }
    return COMMAND_AGAIN;
}

/* DBSIZE */
static enum command_result cmd_dbsize(struct call *c) {
    struct shards_totals totals;
    shards_total(c->shards, &totals);
    return integer(c, (int64_t)totals.entries);
}

/* FLUSHALL [ASYNC | SYNC], FLUSHDB [ASYNC | SYNC] */
static enum command_result cmd_flushall(struct call *c) {
    if (c->argc > 2 || (c->argc == 2 && !is_word(c->argv[1], SLICE("async")) && !is_word(c->argv[1], SLICE("sync"))))
        return syntax_error(c);
    shards_clear(c->shards);
    return ok(c);
}

/* ---- connection ---- */

/* PING [message] */
static enum command_result cmd_ping(struct call *c) {
    if (c->argc > 2)
        return error(c, SLICE("ERR wrong number of arguments for 'ping' command"));
    if (c->argc == 2)
        resp_bulk(c->out, c->argv[1]);
    else
        resp_simple(c->out, SLICE("PONG"));
    return COMMAND_DONE;
}

/* ECHO message */
static enum command_result cmd_echo(struct call *c) {
    resp_bulk(c->out, c->argv[1]);
    return COMMAND_DONE;
}

/* SELECT index */
static enum command_result cmd_select(struct call *c) {
    int64_t index;
    if (!resp_integer_of(c->argv[1], &index))
        return not_an_integer(c);
    if (index < INT_MIN || index > INT_MAX)
        return error_format(c, "ERR value is out of range, value must between %d and %d", INT_MIN, INT_MAX);
    return index == 0 ? ok(c) : error(c, SLICE("ERR DB index is out of range"));
}

/* QUIT */
static enum command_result cmd_quit(struct call *c) {
    ok(c);
    return COMMAND_CLOSE;
}

static bool password_set(const struct call *c) {
    return c->context->server->config->requirepass[0] != '\0';
}

/* RESET */
static enum command_result cmd_reset(struct call *c) {
    client_set_text(c->context->server->registry, &c->client->name, (struct slice){"", 0});
    atomic_store_explicit(&c->client->resp, 2, memory_order_relaxed);
    c->client->authenticated = false;
    resp_simple(c->out, SLICE("RESET"));
    return COMMAND_DONE;
}

/* Compares in a time that depends on the lengths only. */
static bool password_is(const struct call *c, struct slice given) {
    const char *password = c->context->server->config->requirepass;
    size_t n = strlen(password);
    unsigned char differs = given.n != n;
    for (size_t i = 0; i < given.n; i++)
        differs |= (unsigned char)(given.p[i] ^ password[n ? i % n : 0]);
    return differs == 0;
}

/* Whether user and password let in; answers when they do not. */
static bool authenticate(struct call *c, struct slice user, struct slice password) {
    if (slice_equal(user, SLICE("default")) && (!password_set(c) || password_is(c, password))) {
        c->client->authenticated = true;
        return true;
    }
    error(c, SLICE("WRONGPASS invalid username-password pair or user is disabled."));
    return false;
}

/* AUTH [username] password */
static enum command_result cmd_auth(struct call *c) {
    if (c->argc > 3)
        return syntax_error(c);
    if (c->argc == 2 && !password_set(c))
        return error(c, SLICE("ERR AUTH <password> called without any password configured for the default user. Are "
                              "you sure your configuration is correct?"));
    struct slice user = c->argc == 3 ? c->argv[1] : SLICE("default");
    return authenticate(c, user, c->argv[c->argc - 1]) ? ok(c) : COMMAND_DONE;
}

/* Whether `text` may be a client's name: printable and without spaces, as Redis has it, and of a bounded length. */
static bool is_plain(struct slice text) {
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < '!' || text.p[i] > '~')
            return false;
    return true;
}

/* Sets one of the client's texts; `what` names it in the error. False: that was answered. */
static bool set_client_text(struct call *c, char **field, struct slice text, struct slice what, size_t most) {
    if (!is_plain(text)) {
        error_format(c, "ERR %.*s cannot contain spaces, newlines or special characters.", (int)what.n, what.p);
        return false;
    }
    if (text.n > most) {
        error_format(c, "ERR %.*s cannot be longer than %zu bytes.", (int)what.n, what.p, most);
        return false;
    }
    if (client_set_text(c->context->server->registry, field, text))
        return true;
    error(c, SLICE("ERR out of memory"));
    return false;
}

static void hello_reply(struct call *c) {
    int resp = atomic_load_explicit(&c->client->resp, memory_order_relaxed);
    resp_map(c->out, 8, resp);
    resp_bulk(c->out, SLICE("server"));
    resp_bulk(c->out, SLICE("redis"));
    resp_bulk(c->out, SLICE("version"));
    resp_bulk(c->out, SLICE(SPONSON_REDIS_VERSION));
    resp_bulk(c->out, SLICE("sponson_version"));
    resp_bulk(c->out, SLICE(SPONSON_VERSION));
    resp_bulk(c->out, SLICE("proto"));
    resp_integer(c->out, resp);
    resp_bulk(c->out, SLICE("id"));
    resp_integer(c->out, (int64_t)c->client->id);
    resp_bulk(c->out, SLICE("mode"));
    resp_bulk(c->out, SLICE("standalone"));
    resp_bulk(c->out, SLICE("role"));
    resp_bulk(c->out, SLICE("master"));
    resp_bulk(c->out, SLICE("modules"));
    resp_array(c->out, 0);
}

/* HELLO [protover [AUTH username password] [SETNAME clientname]] */
static enum command_result cmd_hello(struct call *c) {
    int64_t version = 0;
    const struct slice *name = NULL, *user = NULL;
    if (c->argc > 1) {
        if (!resp_integer_of(c->argv[1], &version))
            return error(c, SLICE("ERR Protocol version is not an integer or out of range"));
        if (version < 2 || version > 3)
            return error(c, SLICE("NOPROTO unsupported protocol version"));
    }
    for (int i = 2; i < c->argc; i++) {
        int more = c->argc - 1 - i;
        if (is_word(c->argv[i], SLICE("auth")) && more >= 2) {
            user = &c->argv[i + 1];
            i += 2;
        } else if (is_word(c->argv[i], SLICE("setname")) && more >= 1) {
            name = &c->argv[++i];
            if (!is_plain(*name))
                return error(c, SLICE("ERR Client names cannot contain spaces, newlines or special characters."));
        } else {
            int n = c->argv[i].n < 128 ? (int)c->argv[i].n : 128;
            return error_format(c, "ERR Syntax error in HELLO option '%.*s'", n, c->argv[i].p);
        }
    }
    if (user && !authenticate(c, user[0], user[1]))
        return COMMAND_DONE;
    if (password_set(c) && !c->client->authenticated)
        return error(c, SLICE("NOAUTH HELLO must be called with the client already authenticated, otherwise the "
                              "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and "
                              "select the RESP protocol version at the same time"));
    if (name && !set_client_text(c, &c->client->name, *name, SLICE("Client names"), CLIENT_NAME_MAX - 1))
        return COMMAND_DONE;
    if (version)
        atomic_store_explicit(&c->client->resp, (uint8_t)version, memory_order_relaxed);
    hello_reply(c);
    return COMMAND_DONE;
}

/* CLIENT ID */
static enum command_result cmd_client_id(struct call *c) {
    return integer(c, (int64_t)c->client->id);
}

/* CLIENT SETNAME connection-name */
static enum command_result cmd_client_setname(struct call *c) {
    return set_client_text(c, &c->client->name, c->argv[2], SLICE("Client names"), CLIENT_NAME_MAX - 1) ? ok(c)
                                                                                                        : COMMAND_DONE;
}

/* CLIENT GETNAME */
static enum command_result cmd_client_getname(struct call *c) {
    char name[CLIENT_NAME_MAX];
    size_t n = client_name(c->context->server->registry, c->client, name);
    if (n == 0)
        return null(c);
    resp_bulk(c->out, (struct slice){name, n});
    return COMMAND_DONE;
}

/* CLIENT SETINFO LIB-NAME libname | LIB-VER libver */
static enum command_result cmd_client_setinfo(struct call *c) {
    bool set;
    if (is_word(c->argv[2], SLICE("lib-name"))) {
        set = set_client_text(c, &c->client->lib_name, c->argv[3], c->argv[2], CLIENT_LIBRARY_MAX);
    } else if (is_word(c->argv[2], SLICE("lib-ver"))) {
        set = set_client_text(c, &c->client->lib_version, c->argv[3], c->argv[2], CLIENT_LIBRARY_MAX);
    } else {
        int n = c->argv[2].n < 128 ? (int)c->argv[2].n : 128;
        return error_format(c, "ERR Unrecognized option '%.*s'", n, c->argv[2].p);
    }
    return set ? ok(c) : COMMAND_DONE;
}

static const char *display_name(uint32_t row);

/* CLIENT LIST */
static enum command_result cmd_client_list(struct call *c) {
    if (c->argc > 2)
        return syntax_error(c);
    struct suspended *s = &c->client->suspended;
    size_t before = s->reply.len;
    if (!collect_room(c, COLLECT_FIRST / 2))
        return collect_failed(c, "CLIENT LIST", "close some connections");
    if (before == 0)
        before = s->reply.len;
    int64_t next =
        registry_list(c->context->server->registry, s->next, CLIENTS_PER_TURN, c->now_ms, display_name, &s->reply);
    if (s->reply.full) { /* lines of long names: once more, with more room */
        s->reply.len = before;
        if (!collect_room(c, s->reply.cap))
            return collect_failed(c, "CLIENT LIST", "close some connections");
        return COMMAND_AGAIN;
    }
    if (next >= 0) {
        s->next = next;
        return COMMAND_AGAIN;
    }
    size_t text = s->reply.len - COLLECT_HEADER;
    char header[COLLECT_HEADER];
    int n = c->resp == 2 ? snprintf(header, sizeof header, "$%zu\r\n", text)
                         : snprintf(header, sizeof header, "=%zu\r\ntxt:", text + 4);
    if (!collect_room(c, 2))
        return collect_failed(c, "CLIENT LIST", "close some connections");
    buf_put(&s->reply, "\r\n", 2);
    return collected(c, header, (size_t)n);
}

/* ---- server ---- */

/* Whether a list of names in argv is short enough to be answered at once. */
static bool names_fit(struct call *c) {
    if (c->argc <= KEYS_PER_TURN)
        return true;
    error_format(c, "ERR at most %d names at once", KEYS_PER_TURN);
    return false;
}

/* TIME */
static enum command_result cmd_time(struct call *c) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    resp_array(c->out, 2);
    resp_bulk_integer(c->out, t.tv_sec);
    resp_bulk_integer(c->out, t.tv_nsec / 1000);
    return COMMAND_DONE;
}

/* SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT] */
static enum command_result cmd_shutdown(struct call *c) {
    bool save = false, nosave = false, abort = false;
    for (int i = 1; i < c->argc; i++) {
        if (is_word(c->argv[i], SLICE("save")))
            save = true;
        else if (is_word(c->argv[i], SLICE("nosave")))
            nosave = true;
        else if (is_word(c->argv[i], SLICE("abort")))
            abort = true;
        else if (!is_word(c->argv[i], SLICE("now")) && !is_word(c->argv[i], SLICE("force")))
            return syntax_error(c);
    }
    if ((save && nosave) || (abort && c->argc > 2))
        return syntax_error(c);
    if (abort)
        return error(c, SLICE("ERR No shutdown in progress."));
    if (save)
        return error(c, SLICE("ERR SHUTDOWN SAVE: this cache keeps nothing on disk. Use SHUTDOWN NOSAVE"));
    c->context->server->shutdown(c->context->server->shutdown_context);
    return COMMAND_CLOSE;
}

/* CONFIG GET pattern [pattern ...] */
static enum command_result cmd_config_get(struct call *c) {
    const struct config *config = c->context->server->config;
    if (c->argc - 2 > CONFIG_PATTERNS_MAX)
        return error_format(c, "ERR at most %d patterns at once", CONFIG_PATTERNS_MAX);
    for (int i = 2; i < c->argc; i++)
        if (c->argv[i].n > CONFIG_PATTERN_BYTES)
            return error_format(c, "ERR pattern exceeds %d bytes", CONFIG_PATTERN_BYTES);
    char value[CONFIG_TEXT_MAX + 64];
    for (int counting = 1, found = 0; counting >= 0; counting--) {
        for (int o = 0; o < config_count(); o++) {
            struct slice name = slice_of(config_name(o));
            int i = 2;
            while (i < c->argc && !glob_match(c->argv[i], name, true))
                i++;
            if (i == c->argc)
                continue;
            found++;
            if (counting)
                continue;
            /* as Redis: a name that is no pattern comes back as it was written */
            resp_bulk(c->out, is_word(c->argv[i], name) ? c->argv[i] : name);
            resp_bulk(c->out, (struct slice){value, config_value(config, o, value, sizeof value)});
        }
        if (counting)
            resp_map(c->out, (size_t)found, c->resp);
    }
    return COMMAND_DONE;
}

static void info_server(struct call *c, struct buf *b) {
    const struct command_server *s = c->context->server;
    int64_t up_s = (c->now_ms - s->started_ms) / 1000;
    buf_printf(b,
               "# Server\r\nredis_version:%s\r\nsponson_version:%s\r\nredis_mode:standalone\r\narch_bits:%zu\r\n"
               "multiplexing_api:epoll\r\natomicvar_api:c11-builtin\r\ngcc_version:%d.%d.%d\r\nprocess_id:%ld\r\n"
               "run_id:%s\r\ntcp_port:%d\r\nserver_time_usec:%lld\r\nuptime_in_seconds:%lld\r\n"
               "uptime_in_days:%lld\r\nhz:10\r\nconfigured_hz:10\r\nio_threads_active:%d\r\n",
               SPONSON_REDIS_VERSION, SPONSON_VERSION, sizeof(void *) * CHAR_BIT, __GNUC__, __GNUC_MINOR__,
               __GNUC_PATCHLEVEL__, (long)getpid(), s->run_id, s->config->port, (long long)c->now_ms * 1000,
               (long long)up_s, (long long)up_s / 86400, s->config->threads > 1);
}

static void info_clients(struct call *c, struct buf *b) {
    const struct command_server *s = c->context->server;
    buf_printf(b, "# Clients\r\nconnected_clients:%u\r\nmaxclients:%d\r\nblocked_clients:0\r\n",
               atomic_load_explicit(&s->registry->count, memory_order_relaxed), s->config->maxclients);
}

/* Resident memory of the process in bytes, 0 when it cannot be read: the second number of statm, in pages. */
static uint64_t resident_bytes(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *second = strchr(text, ' ');
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void human(char text[32], uint64_t bytes) {
    static const char unit[] = "BKMGT";
    double v = (double)bytes;
    int u = 0;
    while (v >= 1024 && u < 4) {
        v /= 1024;
        u++;
    }
    snprintf(text, 32, u ? "%.2f%c" : "%.0f%c", v, unit[u]);
}

static void info_memory(struct call *c, struct buf *b) {
    const struct command_server *s = c->context->server;
    struct shards_totals totals;
    shards_total(c->shards, &totals);
    uint64_t clients = atomic_load_explicit(&s->client_memory->used_bytes, memory_order_relaxed);
    uint64_t used = totals.used_bytes + clients, rss = resident_bytes();
    char used_human[32], rss_human[32], max_human[32];
    human(used_human, used);
    human(rss_human, rss);
    human(max_human, s->config->maxmemory_bytes);
    buf_printf(b,
               "# Memory\r\nused_memory:%" PRIu64 "\r\nused_memory_human:%s\r\nused_memory_rss:%" PRIu64
               "\r\nused_memory_rss_human:%s\r\nused_memory_dataset:%" PRIu64 "\r\nmem_clients_normal:%" PRIu64
               "\r\nmaxmemory:%" PRIu64 "\r\nmaxmemory_human:%s\r\nmaxmemory_policy:allkeys-lru\r\n"
               "mem_fragmentation_ratio:%.2f\r\nmem_allocator:arena\r\n",
               used, used_human, rss, rss_human, totals.used_bytes, clients, s->config->maxmemory_bytes, max_human,
               used ? (double)rss / (double)used : 0.0);
}

static void info_persistence(struct call *c, struct buf *b) {
    (void)c;
    buf_printf(b, "# Persistence\r\nloading:0\r\nrdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\n"
                  "aof_enabled:0\r\naof_rewrite_in_progress:0\r\n");
}

/* The lag that 99 of 100 swept entries did not pass: the upper end of its power of two, or the longest there was. */
static uint64_t lag_p99_ms(const struct shards_totals *t) {
    uint64_t swept = 0, seen = 0, longest = t->lag_max_ms;
    for (int i = 0; i < LRU_LAG_BINS; i++)
        swept += t->lag[i];
    for (int i = 0; i < LRU_LAG_BINS; i++)
        if ((seen += t->lag[i]) >= swept - swept / 100)
            return (1ull << i) < longest ? 1ull << i : longest;
    return longest;
}

static void info_stats(struct call *c, struct buf *b) {
    const struct command_server *s = c->context->server;
    struct metrics_totals counters = {0};
    struct shards_totals totals;
    for (int i = 0; i < s->metrics_count; i++)
        metrics_sum(&counters, s->metrics[i]);
    shards_total(c->shards, &totals);
    buf_printf(b, "# Stats\r\n");
    metrics_print(b, &counters);
    buf_printf(b,
               "expired_keys:%" PRIu64 "\r\nexpired_lag_p99_ms:%" PRIu64 "\r\nexpired_lag_max_ms:%" PRIu64
               "\r\nevicted_keys:%" PRIu64 "\r\nevicted_out_of_order:%" PRIu64 "\r\nkeyspace_hits:%" PRIu64
               "\r\nkeyspace_misses:%" PRIu64 "\r\n",
               totals.expired, lag_p99_ms(&totals), totals.lag_max_ms, totals.evicted, totals.evicted_out_of_order,
               totals.hits, totals.misses);
}

static void info_replication(struct call *c, struct buf *b) {
    (void)c;
    buf_printf(b, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_repl_offset:0\r\n");
}

static void info_cpu(struct call *c, struct buf *b) {
    (void)c;
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    buf_printf(b, "# CPU\r\nused_cpu_total:%lld.%06ld\r\n", (long long)t.tv_sec, t.tv_nsec / 1000);
}

static void info_cluster(struct call *c, struct buf *b) {
    (void)c;
    buf_printf(b, "# Cluster\r\ncluster_enabled:0\r\n");
}

static void info_keyspace(struct call *c, struct buf *b) {
    struct shards_totals totals;
    shards_total(c->shards, &totals);
    buf_printf(b, "# Keyspace\r\n");
    if (totals.entries)
        buf_printf(b, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", totals.entries, totals.with_deadline);
}

/* INFO [section [section ...]] */
static enum command_result cmd_info(struct call *c) {
    static const struct {
        const char *name;
        void (*print)(struct call *c, struct buf *b);
    } sections[] = {
        {"server", info_server},     {"clients", info_clients},
        {"memory", info_memory},     {"persistence", info_persistence},
        {"stats", info_stats},       {"replication", info_replication},
        {"cpu", info_cpu},           {"cluster", info_cluster},
        {"keyspace", info_keyspace},
    };
    if (!names_fit(c))
        return COMMAND_DONE;
    char text[16384];
    struct buf b = {text, 0, sizeof text, false};
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        bool wanted = c->argc == 1;
        for (int i = 1; i < c->argc && !wanted; i++)
            wanted = is_word(c->argv[i], slice_of(sections[s].name)) || is_word(c->argv[i], SLICE("all")) ||
                     is_word(c->argv[i], SLICE("default")) || is_word(c->argv[i], SLICE("everything"));
        if (!wanted)
            continue;
        if (b.len)
            buf_printf(&b, "\r\n");
        sections[s].print(c, &b);
    }
    resp_text(c->out, (struct slice){text, b.len}, c->resp);
    return COMMAND_DONE;
}

static enum command_result cmd_command(struct call *c);
static enum command_result cmd_command_count(struct call *c);
static enum command_result cmd_command_list(struct call *c);
static enum command_result cmd_command_info(struct call *c);
static enum command_result cmd_command_docs(struct call *c);
static enum command_result cmd_help(struct call *c);

/* ---- the table ---- */

static const struct command commands[] = {
    {"append", 3, WRITE | DENYOOM | FAST, 1, 1, 1, cmd_append, "APPEND key value", "string", "2.0.0",
     "Appends a string to the value of a key. Creates the key if it doesn't exist."},
    {"auth", -2, FAST | NOSCRIPT | LOADING | STALE | NO_AUTH, 0, 0, 0, cmd_auth, "AUTH [username] password",
     "connection", "1.0.0", "Authenticates the connection."},
    {"client", -2, NOSCRIPT | LOADING | STALE, 0, 0, 0, NULL, "CLIENT ID | SETNAME | GETNAME | SETINFO | LIST | HELP",
     "connection", "2.4.0", "A container for client connection commands."},
    {"client|getname", 2, NOSCRIPT | LOADING | STALE, 0, 0, 0, cmd_client_getname, "CLIENT GETNAME", "connection",
     "2.6.9", "Returns the name of the connection."},
    {"client|help", 2, LOADING | STALE, 0, 0, 0, cmd_help, "CLIENT HELP", "connection", "5.0.0",
     "Returns helpful text about the different subcommands."},
    {"client|id", 2, NOSCRIPT | LOADING | STALE, 0, 0, 0, cmd_client_id, "CLIENT ID", "connection", "5.0.0",
     "Returns the unique client ID of the connection."},
    {"client|list", -2, ADMIN | NOSCRIPT | LOADING | STALE, 0, 0, 0, cmd_client_list, "CLIENT LIST", "connection",
     "2.4.0", "Lists open connections."},
    {"client|setinfo", 4, NOSCRIPT | LOADING | STALE, 0, 0, 0, cmd_client_setinfo,
     "CLIENT SETINFO LIB-NAME libname | LIB-VER libver", "connection", "7.2.0",
     "Sets information specific to the client or connection."},
    {"client|setname", 3, NOSCRIPT | LOADING | STALE, 0, 0, 0, cmd_client_setname, "CLIENT SETNAME connection-name",
     "connection", "2.6.9", "Sets the connection name."},
    {"command", -1, LOADING | STALE, 0, 0, 0, cmd_command, "COMMAND [COUNT | LIST | INFO | DOCS | HELP]", "server",
     "2.8.13", "Returns detailed information about all commands."},
    {"command|count", 2, LOADING | STALE, 0, 0, 0, cmd_command_count, "COMMAND COUNT", "server", "2.8.13",
     "Returns a count of commands."},
    {"command|docs", -2, LOADING | STALE, 0, 0, 0, cmd_command_docs, "COMMAND DOCS [command-name ...]", "server",
     "7.0.0", "Returns documentary information about one, multiple or all commands."},
    {"command|help", 2, LOADING | STALE, 0, 0, 0, cmd_help, "COMMAND HELP", "server", "5.0.0",
     "Returns helpful text about the different subcommands."},
    {"command|info", -2, LOADING | STALE, 0, 0, 0, cmd_command_info, "COMMAND INFO [command-name ...]", "server",
     "2.8.13", "Returns information about one, multiple or all commands."},
    {"command|list", -2, LOADING | STALE, 0, 0, 0, cmd_command_list, "COMMAND LIST", "server", "7.0.0",
     "Returns a list of command names."},
    {"config", -2, ADMIN | NOSCRIPT | LOADING | STALE, 0, 0, 0, NULL, "CONFIG GET | HELP", "server", "2.0.0",
     "A container for server configuration commands."},
    {"config|get", -3, ADMIN | NOSCRIPT | LOADING | STALE, 0, 0, 0, cmd_config_get, "CONFIG GET pattern [pattern ...]",
     "server", "2.0.0", "Returns the effective values of configuration parameters."},
    {"config|help", 2, LOADING | STALE, 0, 0, 0, cmd_help, "CONFIG HELP", "server", "5.0.0",
     "Returns helpful text about the different subcommands."},
    {"dbsize", 1, READONLY | FAST, 0, 0, 0, cmd_dbsize, "DBSIZE", "server", "1.0.0",
     "Returns the number of keys in the database."},
    {"decr", 2, WRITE | DENYOOM | FAST, 1, 1, 1, cmd_decr, "DECR key", "string", "1.0.0",
     "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist."},
    {"decrby", 3, WRITE | DENYOOM | FAST, 1, 1, 1, cmd_decrby, "DECRBY key decrement", "string", "1.0.0",
     "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist."},
    {"del", -2, WRITE, 1, -1, 1, cmd_del, "DEL key [key ...]", "generic", "1.0.0", "Deletes one or more keys."},
    {"echo", 2, LOADING | STALE | FAST, 0, 0, 0, cmd_echo, "ECHO message", "connection", "1.0.0",
     "Returns the given string."},
    {"exists", -2, READONLY | FAST, 1, -1, 1, cmd_exists, "EXISTS key [key ...]", "generic", "1.0.0",
     "Determines whether one or more keys exist."},
    {"expire", -3, WRITE | FAST, 1, 1, 1, cmd_expire, "EXPIRE key seconds [NX | XX | GT | LT]", "generic", "1.0.0",
     "Sets the expiration time of a key in seconds."},
    {"expireat", -3, WRITE | FAST, 1, 1, 1, cmd_expireat, "EXPIREAT key unix-time-seconds [NX | XX | GT | LT]",
     "generic", "1.2.0", "Sets the expiration time of a key to a Unix timestamp."},
    {"flushall", -1, WRITE, 0, 0, 0, cmd_flushall, "FLUSHALL [ASYNC | SYNC]", "server", "1.0.0",
     "Removes all keys from all databases."},
    {"flushdb", -1, WRITE, 0, 0, 0, cmd_flushall, "FLUSHDB [ASYNC | SYNC]", "server", "1.0.0",
     "Removes all keys from the current database."},
    {"get", 2, READONLY | FAST, 1, 1, 1, cmd_get, "GET key", "string", "1.0.0", "Returns the string value of a key."},
    {"getset", 3, WRITE | DENYOOM | FAST, 1, 1, 1, cmd_getset, "GETSET key value", "string", "1.0.0",
     "Returns the previous string value of a key after setting it to a new value."},
    {"hello", -1, FAST | NOSCRIPT | LOADING | STALE | NO_AUTH, 0, 0, 0, cmd_hello,
     "HELLO [protover [AUTH username password] [SETNAME clientname]]", "connection", "6.0.0",
     "Handshakes with the Redis server."},
    {"incr", 2, WRITE | DENYOOM | FAST, 1, 1, 1, cmd_incr, "INCR key", "string", "1.0.0",
     "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist."},
    {"incrby", 3, WRITE | DENYOOM | FAST, 1, 1, 1, cmd_incrby, "INCRBY key increment", "string", "1.0.0",
     "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist."},
    {"info", -1, LOADING | STALE, 0, 0, 0, cmd_info, "INFO [section [section ...]]", "server", "1.0.0",
     "Returns information and statistics about the server."},
    {"keys", 2, READONLY, 0, 0, 0, cmd_keys, "KEYS pattern", "generic", "1.0.0",
     "Returns all key names that match a pattern."},
    {"mget", -2, READONLY | FAST, 1, -1, 1, cmd_mget, "MGET key [key ...]", "string", "1.0.0",
     "Atomically returns the string values of one or more keys."},
    {"mset", -3, WRITE | DENYOOM, 1, -1, 2, cmd_mset, "MSET key value [key value ...]", "string", "1.0.1",
     "Atomically creates or modifies the string values of one or more keys."},
    {"persist", 2, WRITE | FAST, 1, 1, 1, cmd_persist, "PERSIST key", "generic", "2.2.0",
     "Removes the expiration time of a key."},
    {"pexpire", -3, WRITE | FAST, 1, 1, 1, cmd_pexpire, "PEXPIRE key milliseconds [NX | XX | GT | LT]", "generic",
     "2.6.0", "Sets the expiration time of a key in milliseconds."},
    {"pexpireat", -3, WRITE | FAST, 1, 1, 1, cmd_pexpireat, "PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]",
     "generic", "2.6.0", "Sets the expiration time of a key to a Unix milliseconds timestamp."},
    {"ping", -1, FAST, 0, 0, 0, cmd_ping, "PING [message]", "connection", "1.0.0",
     "Returns the server's liveliness response."},
    {"psetex", 4, WRITE | DENYOOM, 1, 1, 1, cmd_psetex, "PSETEX key milliseconds value", "string", "2.6.0",
     "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist."},
    {"pttl", 2, READONLY | FAST, 1, 1, 1, cmd_pttl, "PTTL key", "generic", "2.6.0",
     "Returns the expiration time in milliseconds of a key."},
    {"put", 3, WRITE | DENYOOM | FAST, 1, 1, 1, cmd_put, "PUT key value", "string", "1.0.0",
     "Sets the string value of a key, as SET without options."},
    {"quit", -1, FAST | NOSCRIPT | LOADING | STALE | NO_AUTH, 0, 0, 0, cmd_quit, "QUIT", "connection", "1.0.0",
     "Closes the connection."},
    {"reset", 1, FAST | NOSCRIPT | LOADING | STALE | NO_AUTH, 0, 0, 0, cmd_reset, "RESET", "connection", "6.2.0",
     "Resets the connection."},
    {"scan", -2, READONLY, 0, 0, 0, cmd_scan, "SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]", "generic",
     "2.8.0", "Iterates over the key names in the database."},
    {"select", 2, LOADING | STALE | FAST, 0, 0, 0, cmd_select, "SELECT index", "connection", "1.0.0",
     "Changes the selected database."},
    {"set", -3, WRITE | DENYOOM, 1, 1, 1, cmd_set,
     "SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT "
     "unix-time-milliseconds | KEEPTTL]",
     "string", "1.0.0", "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist."},
    {"setex", 4, WRITE | DENYOOM, 1, 1, 1, cmd_setex, "SETEX key seconds value", "string", "2.0.0",
     "Sets the string value and expiration time of a key. Creates the key if it doesn't exist."},
    {"setnx", 3, WRITE | DENYOOM | FAST, 1, 1, 1, cmd_setnx, "SETNX key value", "string", "1.0.0",
     "Set the string value of a key only when the key doesn't exist."},
    {"shutdown", -1, ADMIN | NOSCRIPT | LOADING | STALE, 0, 0, 0, cmd_shutdown,
     "SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", "server", "1.0.0", "Shuts down the server in an orderly way."},
    {"strlen", 2, READONLY | FAST, 1, 1, 1, cmd_strlen, "STRLEN key", "string", "2.2.0",
     "Returns the length of a string value."},
    {"time", 1, LOADING | STALE | FAST, 0, 0, 0, cmd_time, "TIME", "server", "2.6.0", "Returns the server time."},
    {"touch", -2, READONLY | FAST, 1, -1, 1, cmd_exists, "TOUCH key [key ...]", "generic", "3.2.1",
     "Returns the number of existing keys out of those specified after updating the time they were last accessed."},
    {"ttl", 2, READONLY | FAST, 1, 1, 1, cmd_ttl, "TTL key", "generic", "1.0.0",
     "Returns the expiration time in seconds of a key."},
    {"type", 2, READONLY | FAST, 1, 1, 1, cmd_type, "TYPE key", "generic", "1.0.0",
     "Determines the type of value stored at a key."},
    {"unlink", -2, WRITE | FAST, 1, -1, 1, cmd_del, "UNLINK key [key ...]", "generic", "4.0.0",
     "Deletes one or more keys; as DEL, which never blocks here."},
};

enum table { COMMANDS = sizeof commands / sizeof *commands };

const char *command_name(uint32_t row) {
    return row < COMMANDS ? commands[row].name : NULL;
}

const char *command_syntax(uint32_t row) {
    return row < COMMANDS ? commands[row].syntax : NULL;
}

const char *command_summary(uint32_t row) {
    return row < COMMANDS ? commands[row].summary : NULL;
}

/* client->last_command is a row plus one: 0 is a client that sent nothing yet. */
static const char *display_name(uint32_t last_command) {
    return last_command ? commands[last_command - 1].name : "NULL";
}

static bool is_subcommand(const struct command *command) {
    return strchr(command->name, '|') != NULL;
}

/* ---- COMMAND, which prints the table ---- */

static size_t count_commands(void) {
    size_t n = 0;
    for (size_t i = 0; i < COMMANDS; i++)
        n += !is_subcommand(&commands[i]);
    return n;
}

static const struct command *find_command(struct slice name) {
    for (size_t i = 0; i < COMMANDS; i++)
        if (is_word(name, slice_of(commands[i].name)))
            return &commands[i];
    return NULL;
}

/* Ten items, as COMMAND INFO of Redis 7; those that nothing here needs are empty. */
static void put_command_info(struct call *c, const struct command *command) {
    static const char *const names[] = {"write",    "readonly", "fast",  "denyoom", "admin",
                                        "noscript", "loading",  "stale", "no_auth"};
    resp_array(c->out, 10);
    resp_bulk(c->out, slice_of(command->name));
    resp_integer(c->out, command->arity);
    resp_set(c->out, (size_t)__builtin_popcount(command->flags), c->resp);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (command->flags >> i & 1)
            resp_simple(c->out, slice_of(names[i]));
    resp_integer(c->out, command->first_key);
    resp_integer(c->out, command->last_key);
    resp_integer(c->out, command->key_step);
    for (int empty = 0; empty < 4; empty++) /* ACL categories, tips, key specifications, subcommands */
        resp_set(c->out, 0, c->resp);
}

static void put_command_docs(struct call *c, const struct command *command) {
    resp_bulk(c->out, slice_of(command->name));
    resp_map(c->out, 4, c->resp);
    resp_bulk(c->out, SLICE("summary"));
    resp_bulk(c->out, slice_of(command->summary));
    resp_bulk(c->out, SLICE("since"));
    resp_bulk(c->out, slice_of(command->since));
    resp_bulk(c->out, SLICE("group"));
    resp_bulk(c->out, slice_of(command->group));
    resp_bulk(c->out, SLICE("syntax"));
    resp_bulk(c->out, slice_of(command->syntax));
}

/* COMMAND */
static enum command_result cmd_command(struct call *c) {
    resp_array(c->out, count_commands());
    for (size_t i = 0; i < COMMANDS; i++)
        if (!is_subcommand(&commands[i]))
            put_command_info(c, &commands[i]);
    return COMMAND_DONE;
}

/* COMMAND COUNT */
static enum command_result cmd_command_count(struct call *c) {
    return integer(c, (int64_t)count_commands());
}

/* COMMAND LIST */
static enum command_result cmd_command_list(struct call *c) {
    if (c->argc > 2)
        return syntax_error(c);
    resp_array(c->out, COMMANDS);
    for (size_t i = 0; i < COMMANDS; i++)
        resp_bulk(c->out, slice_of(commands[i].name));
    return COMMAND_DONE;
}

/* COMMAND INFO [command-name ...] */
static enum command_result cmd_command_info(struct call *c) {
    if (c->argc == 2)
        return cmd_command(c);
    if (!names_fit(c))
        return COMMAND_DONE;
    resp_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        const struct command *command = find_command(c->argv[i]);
        if (command)
            put_command_info(c, command);
        else
            null(c);
    }
    return COMMAND_DONE;
}

/* COMMAND DOCS [command-name ...] */
static enum command_result cmd_command_docs(struct call *c) {
    if (c->argc == 2) {
        resp_map(c->out, count_commands(), c->resp);
        for (size_t i = 0; i < COMMANDS; i++)
            if (!is_subcommand(&commands[i]))
                put_command_docs(c, &commands[i]);
        return COMMAND_DONE;
    }
    if (!names_fit(c))
        return COMMAND_DONE;
    size_t known = 0;
    for (int i = 2; i < c->argc; i++)
        known += find_command(c->argv[i]) != NULL;
    resp_map(c->out, known, c->resp);
    for (int i = 2; i < c->argc; i++) {
        const struct command *command = find_command(c->argv[i]);
        if (command)
            put_command_docs(c, command);
    }
    return COMMAND_DONE;
}

/* Whether `command` is a subcommand of the parent whose name is `parent`. */
static bool is_child(const struct command *command, struct slice parent) {
    size_t n = strcspn(command->name, "|");
    return command->name[n] == '|' && is_word((struct slice){command->name, n}, parent);
}

/* CLIENT HELP, COMMAND HELP, CONFIG HELP */
static enum command_result cmd_help(struct call *c) {
    size_t lines = 1;
    for (size_t i = 0; i < COMMANDS; i++)
        lines += is_child(&commands[i], c->argv[0]) ? 2 : 0;
    resp_array(c->out, lines);
    char title[96];
    size_t n = strcspn(c->request->command->name, "|");
    snprintf(title, sizeof title, "%.*s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", (int)n,
             c->request->command->name);
    for (size_t i = 0; i < n; i++)
        title[i] = (char)(title[i] - 32);
    resp_simple(c->out, slice_of(title));
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!is_child(&commands[i], c->argv[0]))
            continue;
        resp_simple(c->out, slice_of(commands[i].syntax));
        char line[256];
        snprintf(line, sizeof line, "    %s", commands[i].summary);
        resp_simple(c->out, slice_of(line));
    }
    return COMMAND_DONE;
}

/* ---- looking up ---- */

/* The letters of a name of up to eight, in lower case: two names of one length are equal if and only if these are,
 * since only a letter and its other case become the same letter. Longer names are compared as well. */
static inline uint64_t fold(struct slice name) {
    const char *p = name.p;
    size_t n = name.n;
    uint64_t v = 0;
    if (n >= 4)
        v = hash_load32(p) | hash_load32(p + n - 4) << 32;
    else if (n > 0)
        v = (uint64_t)(unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8 |
            (uint64_t)(unsigned char)p[n - 1] << 16;
    return v | 0x2020202020202020ull;
}

static uint32_t slot_of(uint64_t folded, size_t n) {
    return (uint32_t)((folded + n) * 0x9E3779B97F4A7C15ull >> 56);
}

_Static_assert(COMMAND_SLOTS == 256, "slot_of() gives eight bits");

static const struct command *lookup(const struct command_server *s, struct slice name) {
    if (name.p == NULL)
        return NULL;
    uint64_t letters = fold(name);
    for (uint32_t i = slot_of(letters, name.n); s->index[i].command; i = (i + 1) % COMMAND_SLOTS) {
        const struct command_slot *slot = &s->index[i];
        if (slot->letters == letters && slot->size == name.n &&
            (name.n <= 8 || is_word(name, slice_of(slot->command->name))))
            return slot->command;
    }
    return NULL;
}

void command_init(struct command_server *server) {
    memset(server->index, 0, sizeof server->index);
    for (size_t r = 0; r < COMMANDS; r++) {
        if (is_subcommand(&commands[r]))
            continue;
        struct slice name = slice_of(commands[r].name);
        uint32_t i = slot_of(fold(name), name.n);
        while (server->index[i].command)
            i = (i + 1) % COMMAND_SLOTS;
        server->index[i] = (struct command_slot){fold(name), name.n, &commands[r]};
    }
}

/* ---- the steps of a request ---- */

void command_prepare(const struct command_context *c, struct request *r) {
    const struct command *command = r->command = lookup(c->server, r->argv[0]);
    r->hash = 0;
    r->ahead = NULL;
    if (command == NULL || command->first_key == 0 || r->argc < 2)
        return;
    struct slice key = r->argv[1];
    if (key.p == NULL || key.n > KEY_SIZE_MAX)
        return;
    r->hash = shards_hash(c->server->shards, key);
    r->ahead = shard_unlocked(c->server->shards, r->hash);
    lru_prefetch_bucket(r->ahead, r->hash);
}

void command_fetch(struct request *r) {
    r->ref = r->ahead ? lru_prefetch_entry(r->ahead, r->hash) : 0;
}

void command_fetch_links(const struct request *r) {
    if (r->ahead)
        lru_prefetch_links(r->ahead, r->hash, r->ref);
}

size_t command_reply_room(const struct config *config) {
    return (size_t)config->max_value_size_bytes + LIST_REPLY_BYTES;
}

size_t command_argument_max(const struct config *config) {
    uint64_t key = config->max_key_size_bytes, value = config->max_value_size_bytes;
    return (size_t)(key > value ? key : value);
}

size_t command_argument_safe(const struct config *config) {
    uint64_t key = config->max_key_size_bytes, value = config->max_value_size_bytes;
    return (size_t)(key < value ? key : value);
}

/* "POST" or "Host:" at the start of a line is a browser that was tricked into talking to us. */
static bool is_http(struct slice name) {
    return name.p && (is_word(name, SLICE("post")) || is_word(name, SLICE("host:")));
}

static enum command_result unknown_command(struct call *c) {
    struct slice name = c->argv[0];
    if (is_http(name))
        return COMMAND_CLOSE;
    char args[160];
    size_t n = 0;
    args[0] = '\0';
    for (int i = 1; i < c->argc && n < 128; i++) {
        struct slice a = c->argv[i].p ? c->argv[i] : (struct slice){"", 0};
        int most = a.n < 128 - n ? (int)a.n : (int)(128 - n);
        n += (size_t)snprintf(args + n, sizeof args - n, "'%.*s' ", most, a.p);
    }
    int most = name.p == NULL ? 0 : name.n < 128 ? (int)name.n : 128;
    return error_format(c, "ERR unknown command '%.*s', with args beginning with: %s", most, name.p ? name.p : "",
                        args);
}

/* The row of "parent|name" for argv[1], NULL when there is none. */
static const struct command *subcommand(const struct command *parent, struct slice name) {
    size_t n = strlen(parent->name);
    for (size_t i = 0; i < COMMANDS; i++)
        if (is_child(&commands[i], (struct slice){parent->name, n}) &&
            is_word(name, slice_of(commands[i].name + n + 1)))
            return &commands[i];
    return NULL;
}

static enum command_result unknown_subcommand(struct call *c, const struct command *parent) {
    char upper[32];
    size_t n = strlen(parent->name);
    for (size_t i = 0; i <= n; i++)
        upper[i] = (char)(parent->name[i] >= 'a' ? parent->name[i] - 32 : parent->name[i]);
    struct slice name = c->argv[1];
    int most = name.p == NULL ? 0 : name.n < 128 ? (int)name.n : 128;
    return error_format(c, "ERR unknown subcommand '%.*s'. Try %s HELP.", most, name.p ? name.p : "", upper);
}

static bool arity_right(const struct command *command, int argc) {
    return command->arity < 0 ? argc >= -command->arity : argc == command->arity;
}

/* Checks the sizes of all arguments. False: the error is answered. */
static bool sizes_right(struct call *c, const struct command *command) {
    const struct config *config = c->context->server->config;
    if (command->first_key) {
        int last = command->last_key < 0 ? c->argc - 1 : command->last_key;
        for (int i = command->first_key; i <= last; i += command->key_step)
            if (c->argv[i].n > config->max_key_size_bytes) {
                error_format(c, "ERR key exceeds max-key-size (%" PRIu64 " bytes)", config->max_key_size_bytes);
                return false;
            }
    }
    for (int i = 1; i < c->argc; i++)
        if (c->argv[i].p == NULL) {
            error_format(c, "ERR value exceeds max-value-size (%" PRIu64 " bytes)", config->max_value_size_bytes);
            return false;
        }
    return true;
}

enum command_result command_execute(struct command_context *context, struct client *client, const struct request *r,
                                    struct buf *out) {
    struct call c = {context,
                     client,
                     r,
                     r->argv,
                     r->argc,
                     out,
                     context->server->shards,
                     r->hash,
                     context->now_ms,
                     atomic_load_explicit(&client->resp, memory_order_relaxed)};
    const struct command *command = r->command;
    struct request with_subcommand;
    if (command == NULL)
        return unknown_command(&c);
    if (r->argc > 1 && (command->handler == NULL || command->handler == cmd_command)) {
        const struct command *child = subcommand(command, r->argv[1]);
        if (child == NULL)
            return unknown_subcommand(&c, command);
        with_subcommand = *r;
        with_subcommand.command = command = child;
        c.request = &with_subcommand;
    }
    atomic_store_explicit(&client->last_command, (uint32_t)(command - commands) + 1, memory_order_relaxed);
    if (r->resumed)
        return command->handler(&c);
    if (!arity_right(command, r->argc))
        return error_format(&c, "ERR wrong number of arguments for '%s' command", command->name);
    if (!r->sizes_are_right && !sizes_right(&c, command))
        return COMMAND_DONE;
    if (!client->authenticated && !(command->flags & NO_AUTH) && password_set(&c))
        return error(&c, SLICE("NOAUTH Authentication required."));
    return command->handler(&c);
}
