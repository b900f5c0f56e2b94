/* command.c -- the command table, its checks, transactions, MONITOR, and the commands on connections and the server.
 *
 * Owns    client->transaction, from MULTI or WATCH to EXEC, DISCARD or the end of the connection; server->config while
 *         CONFIG SET changes it, under config_lock; server->feed, while somebody watches.
 *
 * The handlers of commands on keys and values are in keyspace.c, those that tell what is measured in info.c. The table
 * is in commands.h.
 *
 * The order of checks is Redis's: name, arity, (then ours: key size, value size), authentication, transaction, pause
 * (there before a request is queued), the handler. A client's mistake becomes an error line in a handler or here, and
 * nowhere else.
 *
 * MULTI   Requests are checked and then kept, their bytes in one block of the pool, until EXEC. It locks the shards of
 *         all their keys (all shards, when one of them is about more than its keys) in the order of the index, and only
 *         then looks whether a watched key has changed and how long the reply can become: values do not grow behind its
 *         back any more. A reply that could pass client-output-buffer-limit, or writing more than ATOMIC_BYTES, is
 *         refused before anything is done. While shards are locked there is no system call and no lock but those of
 *         MONITOR and HOTKEYS, so commands that need one are not allowed within a transaction.
 * MONITOR What was executed is written to server->feed as a line, behind the request, as Redis does. Workers read it
 *         for those of their clients that watch.
 * WATCH   A shard with watched keys counts the changes of its keys, in 4096 counters; a transaction goes through if
 *         those of its watched keys stand where they stood, no deadline is over, and the database has kept its id.
 *         Another key that shares the counter aborts it for nothing.
 *
 * True    a shard's `watched` is the number of watches on its keys, of all clients. */
#include "command.h"

#include <limits.h>
#include <stdalign.h>
#include <strings.h>
#include <sys/param.h>

#include "glob.h"
#include "info.h"
#include "keyspace.h"
#include "log.h"

#define COMMANDS_MAX 128         /* of one COMMAND INFO or DOCS: some 6 KB each at most */
#define CLIENTS_PER_TURN 64      /* of CLIENT LIST: a system call each */
#define CONFIG_PATTERNS_MAX 64   /* of one CONFIG GET, ... */
#define CONFIG_PATTERN_BYTES 128 /* ... each: no name is half as long, and matching takes patterns x names x bytes */
#define SCAN_REPLY_BYTES (384u << 10) /* of one SCAN, its last bucket with it */
#define REPLY_BYTES 24                /* of a command on keys, beside values: +OK, a number; an error beyond it ... */
#define ERROR_ROOM (256u << 10)       /* ... takes of this, and is cut to its first word when that is used up */
#define REPLY_BYTES_OTHER 400         /* of one on the connection: a client's name, HELLO */
#define REPLY_BYTES_HELP 8192
#define ARGUMENTS_MAX 16          /* of a command's syntax, side by side */
#define ATOMIC_KEYS 65536         /* that one request or transaction changes at once: some 60 ms, ... */
#define ATOMIC_BYTES (16u << 20)  /* ... and bytes that it writes: each may evict as many, in the smallest entries */
#define SHARDS_COST (64u << 10)   /* what takes as long as writing so many bytes: a command about all shards, ... */
#define RANDOMKEY_COST (1u << 20) /* ... one that may look at all of a shard, ... */
#define FLOAT_COST 20             /* ... printing n digits: n * n / FLOAT_COST */
#define FLOAT_DIGITS 5200         /* of the largest long double, and some */
#define BYTES_ARGS 32             /* arguments of a request whose bytes need not be counted */
#define HOT_KEYS 16               /* keys of a request that are counted, about */
#define DISCARDED "EXECABORT Transaction discarded because "
#define EXEC_SIZES 256  /* of values in a transaction, at least; with 64 arguments of a request ... */
#define EXEC_BYTES 2048 /* ... they take so much, for which no block is needed */

/* Bits as COMMAND shows them, in this order; then those that only we know. */
enum flags {
    WRITE = 1 << 0,
    READONLY = 1 << 1,
    DENYOOM = 1 << 2,
    ADMIN = 1 << 3,
    NOSCRIPT = 1 << 4,
    LOADING = 1 << 5,
    STALE = 1 << 6,
    SKIP_SLOWLOG = 1 << 7,
    FAST = 1 << 8,
    NO_AUTH = 1 << 9,
    ALLOW_BUSY = 1 << 10,
    MOVABLE = 1 << 11,
    NO_MULTI = 1 << 12,
    KEYSPACE = 1 << 13,   /* has that ACL category without being a command on keys */
    DANGEROUS = 1 << 14,  /* the same */
    RETURNS = 1 << 15,    /* values */
    IN_MULTI = 1 << 16,   /* is not queued */
    CONTAINER = 1 << 17,  /* of subcommands */
    NOT_QUEUED = 1 << 18, /* as NO_MULTI, which COMMAND does not show */
    REWRITES = 1 << 19,   /* may store once more the value that is there; who makes a number of it does not */
};

static const char flag_names[] =
    "write readonly denyoom admin noscript loading stale skip_slowlog fast no_auth allow_busy movablekeys no_multi";

/* Whether a list in argv is short enough to be answered at once. */
static bool list_fits(struct call *c, int argc, int most, const char *what) {
    if (argc <= most) return true;
    return error_format(c, "ERR at most %d %s at once", most, what), false;
}

static void set_mode(struct client *client, uint8_t mode, bool on) {
    uint8_t modes = relaxed_load(client->modes);
    relaxed_store(client->modes, (uint8_t)(on ? modes | mode : modes & ~mode));
}

static bool has_mode(const struct client *client, uint8_t mode) { return relaxed_load(client->modes) & mode; }

static enum command_result no_memory(struct call *c) {
    return ERROR(c, "ERR client-memory is used up; send less at once");
}

/* ---- MONITOR ---- */

/* Adds an argument in quotes, escaped as in Redis, as far as there is room. Returns the bytes that there was none
 * for. */
static size_t put_quoted(struct buf *line, struct slice s) {
    static const char escaped[] = "\\\"\n\r\t\a\b", letters[] = "\\\"nrtab", digits[] = "0123456789abcdef";
    size_t i = 0;
    if (buf_left(line) < sizeof " \"\"") return s.n;
    buf_put_slice(line, SLICE(" \""));
    for (; i < s.n && buf_left(line) > sizeof "\\xff"; i++) {
        unsigned char byte = (unsigned char)s.p[i];
        const char *found = memchr(escaped, byte, sizeof escaped - 1);
        char text[] = {'\\', found ? letters[found - escaped] : 'x', digits[byte >> 4], digits[byte & 15]};
        if (byte >= ' ' && byte <= '~' && !found)
            buf_put(line, s.p + i, 1);
        else
            buf_put(line, text, found ? 2 : 4);
    }
    buf_put_slice(line, SLICE("\""));
    return s.n - i;
}

/* Shows a request that was executed to those who watch; none of an administrator, as in Redis, and no password. */
static void feed(struct call *c) {
    struct feed *f = &c->context->server->feed;
    char text[FEED_LINE], peer[CLIENT_ADDRESS_MAX];
    struct buf line = {text, 0, sizeof text - 64, false}; /* room is left for the end */
    uint64_t us = clock_ns(CLOCK_REALTIME) / 1000;
    size_t more = 0;
    if (c->command->flags & ADMIN) return;
    buf_printf(&line, "+%" PRIu64 ".%06" PRIu64 " [%u ", us / 1000000, us % 1000000, relaxed_load(c->client->database));
    client_address_text(peer, &c->client->address); /* without a system call: EXEC holds shards */
    bool local = c->client->address.sin6_family == AF_UNIX;
    buf_printf(&line, local ? "unix:%s]" : "%s]", local ? c->context->config->unixsocket : peer);
    for (int i = 0; i < c->argc; i++) { /* AUTH and HELLO: all but the version is taken for a secret */
        bool secret = (c->command->flags & NO_AUTH) && i > (strcmp(c->command->name, "auth") != 0);
        more += put_quoted(&line, secret ? SLICE("(redacted)") : c->argv[i]);
    }
    line.cap = sizeof text;
    if (more) buf_printf(&line, " ... (%zu more bytes)", more);
    buf_put_slice(&line, SLICE("\r\n"));
    pthread_mutex_lock(&f->lock);
    if (f->ring) {
        uint64_t written = relaxed_load(f->written);
        size_t at = written % FEED_BYTES, first = FEED_BYTES - at < line.len ? FEED_BYTES - at : line.len;
        memcpy(f->ring + at, text, first);
        memcpy(f->ring, text + first, line.len - first);
        relaxed_store(f->written, written + line.len);
    }
    pthread_mutex_unlock(&f->lock);
}

bool command_feed_read(struct feed *f, uint64_t *seen, struct buf *out) {
    pthread_mutex_lock(&f->lock);
    uint64_t left = relaxed_load(f->written) - *seen;
    size_t n = left < FEED_PART ? left : FEED_PART, at = *seen % FEED_BYTES;
    size_t first = FEED_BYTES - at < n ? FEED_BYTES - at : n;
    if (left <= FEED_BYTES && buf_left(out)) {
        buf_put(out, f->ring + at, first);
        buf_put(out, f->ring, n - first);
    }
    pthread_mutex_unlock(&f->lock);
    while (out->len && out->p[out->len - 1] != '\n') /* whole lines */
        out->len--;
    *seen += out->len;
    return left <= FEED_BYTES;
}

/* MONITOR */
static enum command_result cmd_monitor(struct call *c) {
    struct feed *f = &c->context->server->feed;
    size_t cap;
    if (has_mode(c->client, CLIENT_MONITOR)) return COMMAND_DONE; /* as Redis: without a word */
    if (c->context->config->client_memory_bytes < 2 * FEED_BYTES)
        return ERROR(c, "ERR MONITOR takes 1mb of client-memory, which has to have 2mb at least");
    pthread_mutex_lock(&f->lock);
    if (f->ring == NULL) f->ring = pool_get(c->context->pool, FEED_BYTES, &cap);
    bool made = f->ring != NULL;
    f->watchers += made;
    pthread_mutex_unlock(&f->lock);
    if (!made) return no_memory(c);
    set_mode(c->client, CLIENT_MONITOR, true);
    c->context->unusual |= UNUSUAL_WATCHED;
    ok(c);
    return COMMAND_WATCHES;
}

static void end_monitor(struct command_context *context, struct client *client) {
    struct feed *f = &context->server->feed;
    if (!has_mode(client, CLIENT_MONITOR)) return;
    set_mode(client, CLIENT_MONITOR, false);
    pthread_mutex_lock(&f->lock);
    if (--f->watchers == 0) {
        pool_put(context->pool, f->ring, FEED_BYTES);
        f->ring = NULL;
    }
    pthread_mutex_unlock(&f->lock);
}

/* ---- transactions ---- */

struct watch {
    uint64_t hash;
    int64_t deadline_ms; /* of its entry; 0: none */
    uint32_t changes;    /* the counter as it stood */
    uint32_t moves;      /* of the database, ... */
    uint32_t database;
};

/* One queued request, and the bytes of its arguments behind it; all of it in `bytes`, a multiple of eight. */
struct queued {
    const struct command *command;
    uint32_t argc, bytes;
    uint32_t size[]; /* of each argument */
};

struct transaction {
    char *queue; /* blocks of the worker's pool; NULL: none */
    size_t queue_bytes, queue_cap;
    int argc_max;
    uint32_t keys; /* of all requests */
    bool aborted;  /* one of them was wrong */
    bool all;      /* one of them is about more than its keys */
    struct watch *watches;
    size_t watch_count, watch_cap; /* cap: in bytes */
};

/* The client's transaction, made when there is none. NULL: no memory. */
static struct transaction *transaction_of(struct call *c) {
    struct transaction *t = c->client->transaction;
    size_t cap;
    if (t || (t = pool_get(c->context->pool, sizeof *t, &cap)) == NULL) return t;
    *t = (struct transaction){0};
    return c->client->transaction = t;
}

static enum command_result exec_without_memory(struct call *c) {
    return ERROR(c, DISCARDED "client-memory is used up; send it in parts");
}

/* Tells what the client's transaction holds of client-memory. */
static void show_transaction(struct client *client) {
    const struct transaction *t = client->transaction;
    size_t bytes = t ? sizeof *t + t->queue_cap + t->watch_cap : 0;
    relaxed_store(client->multi_bytes, bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX);
}

/* Forgets all that was queued and watched. */
static void end_transaction(struct shards *shards, struct pool *pool, struct client *client) {
    struct transaction *t = client->transaction;
    uint32_t watches[SHARDS] = {0};
    set_mode(client, CLIENT_MULTI, false);
    relaxed_store(client->queued, 0);
    if (t == NULL) return;
    for (size_t i = 0; i < t->watch_count; i++)
        watches[hash_shard(t->watches[i].hash)]++;
    for (uint32_t i = 0; t->watch_count && i < SHARDS; i++) {
        shard_lock_index(shards, i)->watched -= watches[i];
        shard_unlock_index(shards, i);
    }
    pool_put(pool, t->queue, t->queue_cap);
    pool_put(pool, (char *)t->watches, t->watch_cap);
    pool_put(pool, (char *)t, sizeof *t);
    client->transaction = NULL;
    show_transaction(client);
}

/* The keys of a request, of no fewer arguments than its command has at least: argv[first], then every step-th up to
 * argv[last], which is before `first` when there are none. */
struct keys {
    int first, last, step, count;
};

static struct keys keys_of(const struct command *command, const struct slice *argv, int argc) {
    struct keys k = {command->first_key, command->last_key, command->key_step, 0};
    int64_t n;
    /* MSETEX numkeys key value ... */
    if ((command->flags & MOVABLE) && argv[1].p && resp_integer_of(argv[1], &n) && n > 0 && n <= (argc - 2) / 2)
        k = (struct keys){2, 2 * (int)n, 2, 0};
    if (k.first <= 0 || k.first >= argc) return (struct keys){0, -1, 1, 0};
    if (k.last < 0) k.last = argc - 1;
    k.count = (k.last - k.first) / k.step + 1;
    return k;
}

/* The bytes that may be changed at once: a few of the largest values always may. */
static uint64_t atomic_bytes(const struct call *c) {
    return MAX(2 * c->context->config->max_value_size_bytes, ATOMIC_BYTES);
}

/* Keeps the request until EXEC. */
static enum command_result queue_request(struct call *c) {
    struct transaction *t = c->client->transaction;
    size_t bytes = sizeof(struct queued) + (size_t)c->argc * sizeof(uint32_t);
    struct keys k = keys_of(c->command, c->argv, c->argc);
    uint32_t queued = relaxed_load(c->client->queued);
    if (t->keys + (uint32_t)k.count > ATOMIC_KEYS || queued >= ATOMIC_KEYS)
        return error_format(c, "ERR a transaction may have %d requests or keys; send it in parts", ATOMIC_KEYS);
    for (int i = 0; i < c->argc; i++)
        bytes += c->argv[i].n;
    bytes = (bytes + 7) / 8 * 8;
    if (t->queue_cap - t->queue_bytes < bytes) {
        size_t wanted = t->queue_bytes + bytes;
        uint64_t most = c->context->config->client_memory_bytes / 2;
        if (wanted > most)
            return error_format(
                c, "ERR a transaction may take half of client-memory (%" PRIu64 " bytes); send it in parts", most);
        char *p =
            bytes > UINT32_MAX ? NULL : pool_grow(c->context->pool, t->queue, &t->queue_cap, t->queue_bytes, wanted);
        if (p == NULL) return no_memory(c);
        t->queue = p;
        show_transaction(c->client);
    }
    struct queued *q = (void *)(t->queue + t->queue_bytes);
    *q = (struct queued){c->command, (uint32_t)c->argc, (uint32_t)bytes};
    char *p = (char *)(q->size + c->argc);
    for (int i = 0; i < c->argc; p += q->size[i++]) {
        q->size[i] = (uint32_t)c->argv[i].n;
        memcpy(p, c->argv[i].p, q->size[i]);
    }
    t->queue_bytes += bytes;
    relaxed_store(c->client->queued, queued + 1);
    t->argc_max = c->argc > t->argc_max ? c->argc : t->argc_max;
    t->keys += (uint32_t)k.count;
    t->all |= k.count == 0 || c->command->handler == cmd_move || (c->command->handler == cmd_copy && c->argc > 4);
    resp_simple(c->out, SLICE("QUEUED"));
    return COMMAND_DONE;
}

/* What EXEC works with: memory that it has before it locks. */
struct plan {
    uint32_t *sizes; /* of values, by hash: the most that one of those that share a place may have */
    size_t sizes_count;
    alignas(struct slice) char own[EXEC_BYTES]; /* for them and one.argv, the longest request's, ... */
    size_t block_cap;                           /* ... or a block of the pool, at one.argv; 0: there is none */
    struct call one;                            /* of the request that next_request() found; ... */
    struct keys keys;                           /* ... its keys */
    /* what reply_bound() knows so far */
    uint64_t written; /* bytes that all requests together write at most */
    bool any;         /* a key may hold what another one held: it came from another database */
};

/* The request that stands *at bytes into the queue; *at is moved to the next. False: there is none. */
static bool next_request(const struct transaction *t, size_t *at, struct plan *plan) {
    if (*at == t->queue_bytes) return false;
    const struct queued *q = (const void *)(t->queue + *at);
    const char *bytes = (const char *)(q->size + q->argc);
    for (uint32_t i = 0; i < q->argc; bytes += q->size[i++])
        plan->one.argv[i] = (struct slice){bytes, q->size[i]};
    *at += q->bytes;
    plan->one.command = q->command;
    plan->one.argc = (int)q->argc;
    plan->keys = keys_of(q->command, plan->one.argv, plan->one.argc);
    return true;
}

/* False: there is no memory, and that was answered. */
static bool plan_init(struct call *c, const struct transaction *t, struct plan *p) {
    p->sizes_count = 4 * t->keys > EXEC_SIZES ? 4 * t->keys : EXEC_SIZES;
    size_t bytes = (size_t)t->argc_max * sizeof *p->one.argv + p->sizes_count * sizeof *p->sizes;
    p->block_cap = 0;
    p->one = *c;
    p->one.argv = bytes > sizeof p->own ? pool_get(c->context->pool, bytes, &p->block_cap) : (void *)p->own;
    if (p->one.argv == NULL) return exec_without_memory(c), false;
    p->sizes = (uint32_t *)(void *)(p->one.argv + t->argc_max);
    return true;
}

/* The shards of all keys, watched ones included. */
static uint64_t shards_of(struct call *c, const struct transaction *t, struct plan *plan) {
    uint64_t set = t->all ? SHARDS_ALL : 0;
    for (size_t i = 0; i < t->watch_count; i++)
        set |= 1ull << hash_shard(t->watches[i].hash);
    for (size_t at = 0; set != SHARDS_ALL && next_request(t, &at, plan);)
        for (int i = plan->keys.first; i <= plan->keys.last; i += plan->keys.step)
            set |= 1ull << hash_shard(shards_hash(c->shards, c->database, plan->one.argv[i]));
    return set;
}

/* Whether all watched keys are as they were. Their shards are held. */
static bool watches_hold(struct call *c, const struct transaction *t) {
    for (size_t i = 0; i < t->watch_count; i++) {
        const struct watch *w = &t->watches[i];
        if (lru_changes(shard_of(c->shards, w->hash), w->hash) != w->changes ||
            w->moves != shards_moves(c->shards, w->database) || (w->deadline_ms && w->deadline_ms < c->now_ms))
            return false;
    }
    return true;
}

static void grow_to(uint32_t *size, size_t n) {
    if (*size < n) *size = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static command_handler cmd_help;

/* The most characters that INCRBYFLOAT makes of a value of so many within a transaction; the digits that all of its
 * sums add are not counted. */
static size_t float_digits(struct slice increment, size_t size) {
    return is_plain_float(increment) ? MIN(MAX(60, MAX(increment.n, size)), FLOAT_DIGITS) : FLOAT_DIGITS;
}

/* The most that a request can add to the reply, and to the sizes of the values of its keys, whose shards are held. */
static size_t request_bound(struct plan *plan) {
    const struct call *c = &plan->one;
    const struct command *command = c->command;
    struct keys k = plan->keys;
    size_t longest = 0, bound = command->first_key == 1 ? REPLY_BYTES : REPLY_BYTES_OTHER;
    for (int i = 1; i < c->argc; i++)
        longest = c->argv[i].n > longest ? c->argv[i].n : longest;
    if (command->handler == cmd_help) return REPLY_BYTES_HELP;
    if (command->handler == cmd_scan || command->handler == cmd_randomkey) {
        bool scan = command->handler == cmd_scan;
        plan->written += scan ? SCAN_REPLY_BYTES : RANDOMKEY_COST;
        return bound + (scan ? SCAN_REPLY_BYTES : KEY_SIZE_MAX);
    }
    if (k.count == 0) { /* ECHO, PING; FLUSHALL, DBSIZE */
        plan->any |= command->handler == cmd_swapdb;
        plan->written += command->flags & (WRITE | READONLY) ? SHARDS_COST : 0;
        return bound + longest;
    }
    for (int i = k.first; i <= k.last; i += k.step) {
        uint64_t hash = shards_hash(c->shards, c->database, c->argv[i]);
        uint32_t *size = &plan->sizes[hash % plan->sizes_count];
        const struct entry *e = lru_peek(shard_of(c->shards, hash), hash, c->argv[i], c->now_ms);
        if (e) grow_to(size, entry_value_size(e)); /* unless a request before this one has made more of it */
        if (plan->any) grow_to(size, shards_value_room(c->shards));
        size_t held = *size;
        if ((command->flags & RETURNS) || (command->handler == cmd_set && c->argc > 3)) bound += resp_bulk_bytes(held);
        if (!(command->flags & WRITE)) continue;
        if (k.step == 2 && i + 1 < c->argc) longest = c->argv[i + 1].n; /* each key of MSET has its value */
        int64_t offset = 0;
        if (command->handler == cmd_append) longest += held;
        if ((command->handler == cmd_rename || command->handler == cmd_copy) && held > longest) longest = held;
        if (command->handler == cmd_setrange && resp_integer_of(c->argv[2], &offset))
            longest += offset > 0 && offset < VALUE_SIZE_MAX ? (size_t)offset : 0;
        if (command->handler == cmd_increment) bound += longest = 24;
        if (command->handler == cmd_incrbyfloat) {
            bound += 24 + (longest = float_digits(c->argv[2], held)); /* a header, an exponent, what 65,536 sums add */
            plan->written += longest * longest / FLOAT_COST;
        }
        bool rewrites = (command->flags & REWRITES) && held > longest;
        if (i > k.first || command->last_key != 2) plan->written += rewrites ? held : longest; /* RENAME, COPY: once */
        grow_to(size, longest);
    }
    plan->any |= command->handler == cmd_move || (command->handler == cmd_copy && c->argc > 4);
    return bound;
}

/* The most that the reply can take. All shards of the keys are held. */
static size_t reply_bound(struct call *c, const struct transaction *t, struct plan *plan) {
    size_t bound = 32 + ERROR_ROOM;
    struct call *one = &plan->one;
    plan->written = 0;
    plan->any = false;
    one->database = c->database;
    memset(plan->sizes, 0, plan->sizes_count * sizeof *plan->sizes);
    for (size_t at = 0; next_request(t, &at, plan);) {
        int64_t index;
        if (strcmp(one->command->name, "select") == 0 && resp_integer_of(one->argv[1], &index) && index >= 0 &&
            index < c->context->config->databases)
            one->database = (uint32_t)index;
        bound += request_bound(plan);
    }
    return bound;
}

static inline enum command_result run_handler(struct call *c) {
    enum command_result result = c->command->handler(c);
    if (result != COMMAND_AGAIN) metrics_add(&c->context->metrics->command[c->row].calls, 1);
    if (c->failed) metrics_add(&c->context->metrics->command[c->row].failed, 1);
    return result;
}

/* The same while something is looked at behind each request; within EXEC, too: it is shown to who watches, and of one
 * in so many the keys are counted. */
static enum command_result run_seen(struct call *c) {
    struct hotkeys *hot = &c->context->server->hotkeys;
    bool counted =
        (c->context->unusual & UNUSUAL_COUNTED) && next_random(&c->context->random) % relaxed_load(hot->ratio) == 0;
    uint64_t from_ns = counted ? clock_ns(CLOCK_MONOTONIC) : 0;
    enum command_result result;
    do
        result = run_handler(c);
    while (c->in_exec && result == COMMAND_AGAIN);
    if (c->context->unusual & UNUSUAL_WATCHED) feed(c);
    struct keys k = keys_of(c->command, c->argv, counted ? c->argc : 0);
    if (k.count == 0) return result;
    uint64_t every = 1 + (uint64_t)k.count / HOT_KEYS; /* of very many keys one stands for its neighbours, too */
    uint64_t ns = clock_ns(CLOCK_MONOTONIC) - from_ns, bytes = c->out->len - c->start;
    for (int i = 0; i < c->argc; i++)
        bytes += c->argv[i].n;
    uint64_t weight[] = {every, ns * every / (uint64_t)k.count, bytes * every / (uint64_t)k.count};
    for (uint64_t i = next_random(&c->context->random) % every; i < (uint64_t)k.count; i += every) {
        struct slice key = c->argv[k.first + (int)i * k.step];
        info_count_key(hot, c->now_ms, shards_hash(c->shards, c->database, key), c->database, key, weight);
    }
    return result;
}

static uint32_t row_of(const struct command *command);

/* Executes what is queued, one after the other, into `out`. */
static void run_queue(const struct transaction *t, struct plan *plan, struct buf *out) {
    struct call *one = &plan->one;
    one->out = out;
    one->in_exec = true;
    one->error_room = ERROR_ROOM;
    resp_array(out, relaxed_load(one->client->queued));
    for (size_t at = 0; next_request(t, &at, plan);) {
        one->row = row_of(one->command);
        one->failed = false;
        one->database = relaxed_load(one->client->database);
        one->key = &one->argv[1];
        if (one->command->first_key == 1) one->hash = shards_hash(one->shards, one->database, one->argv[1]);
        one->start = out->len;
        run_seen(one);
    }
}

/* Locks what is needed and executes; `out` has room for a reply of LIST_REPLY_BYTES, a longer one gets a block. */
static enum command_result execute_queue(struct call *c, const struct transaction *t, struct plan *plan) {
    struct buf block = {NULL, 0, 0, false};
    size_t limit = c->context->config->client_output_bytes;
    for (;;) {
        uint64_t set = shards_of(c, t, plan), locked = shards_lock_many(c->shards, set);
        bool right = !(shards_of(c, t, plan) & ~set); /* no database was flushed or swapped meanwhile */
        bool hold = right && watches_hold(c, t);
        size_t spare = shards_value_room(c->shards); /* no larger value is in these shards */
        size_t bound = hold ? reply_bound(c, t, plan) : 0;
        bool much = hold && plan->written > atomic_bytes(c);
        bool here = bound <= LIST_REPLY_BYTES, room = here || bound + spare <= block.cap;
        if (hold && room && !much) run_queue(t, plan, here ? c->out : &block);
        shards_unlock_many(c->shards, locked);
        if (!right) continue;
        if (hold && room && !much && !here) {
            c->out->full |= block.full; /* the bound was wrong: the connection cannot go on */
            c->client->suspended = (struct suspended){.reply = block};
            return COMMAND_COLLECTED;
        }
        pool_put(c->context->pool, block.p, block.cap);
        if (!hold) resp_null_array(c->out, resp_of(c));
        if (much)
            return error_format(c, DISCARDED "it could write more than %" PRIu64 " bytes; send it in parts",
                                atomic_bytes(c));
        if (room) return COMMAND_DONE;
        if (bound > limit)
            return error_format(
                c, DISCARDED "its reply could exceed client-output-buffer-limit (%zu bytes); send it in parts", limit);
        block.p = pool_get(c->context->pool, bound + spare, &block.cap);
        if (block.p == NULL) return exec_without_memory(c);
    }
}

/* MULTI */
static enum command_result cmd_multi(struct call *c) {
    if (has_mode(c->client, CLIENT_MULTI)) return ERROR(c, "ERR MULTI calls can not be nested");
    if (transaction_of(c) == NULL) return no_memory(c);
    set_mode(c->client, CLIENT_MULTI, true);
    return ok(c);
}

/* EXEC */
static enum command_result cmd_exec(struct call *c) {
    struct plan plan;
    struct transaction *t = c->client->transaction;
    enum command_result result = COMMAND_DONE;
    if (!has_mode(c->client, CLIENT_MULTI)) return ERROR(c, "ERR EXEC without MULTI");
    set_mode(c->client, CLIENT_MULTI, false); /* its requests are no longer queued */
    if (t->aborted) {
        ERROR(c, DISCARDED "of previous errors.");
    } else if (plan_init(c, t, &plan)) {
        result = execute_queue(c, t, &plan);
        if (plan.block_cap) pool_put(c->context->pool, plan.one.argv, plan.block_cap);
    }
    end_transaction(c->shards, c->context->pool, c->client);
    return result;
}

/* DISCARD; UNWATCH, whose variant is 1, and which EXEC does by itself */
static enum command_result cmd_discard(struct call *c) {
    if (!c->command->variant && !has_mode(c->client, CLIENT_MULTI)) return ERROR(c, "ERR DISCARD without MULTI");
    if (!c->in_exec) end_transaction(c->shards, c->context->pool, c->client);
    return ok(c);
}

static void watch_one(struct call *c) {
    struct transaction *t = c->client->transaction;
    const struct entry *e = lru_peek(c->lru, c->hash, *c->key, c->now_ms);
    c->lru->watched++;
    t->watches[t->watch_count++] = (struct watch){c->hash, e ? entry_deadline_ms(e) : 0, lru_changes(c->lru, c->hash),
                                                  shards_moves(c->shards, c->database), c->database};
}

/* WATCH key [key ...] */
static enum command_result cmd_watch(struct call *c) {
    if (has_mode(c->client, CLIENT_MULTI)) return ERROR(c, "ERR WATCH inside MULTI is not allowed");
    struct transaction *t = transaction_of(c);
    int64_t next = c->client->suspended.next;
    if (t == NULL) return no_memory(c);
    size_t wanted = (t->watch_count + (size_t)(c->argc - (next ? next : 1))) * sizeof *t->watches; /* of all, at once */
    if (t->watch_cap < wanted) {
        bool much = wanted > c->context->config->client_memory_bytes / 2;
        void *p = much ? NULL : pool_grow(c->context->pool, t->watches, &t->watch_cap, t->watch_cap, wanted);
        show_transaction(c->client);
        if (p == NULL) return no_memory(c);
        t->watches = p;
    }
    return each_key(c, 0, watch_one) == COMMAND_AGAIN ? COMMAND_AGAIN : ok(c);
}

void command_forget(struct command_context *context, struct client *client) {
    end_monitor(context, client);
    collect_forget(context->pool, client);
    end_transaction(context->shards, context->pool, client);
}

/* ---- connection ---- */

/* PING [message], ECHO message */
static enum command_result cmd_ping(struct call *c) {
    if (c->argc > 2) return wrong_arity(c);
    if (c->argc == 2) return bulk(c, c->argv[1]);
    resp_simple(c->out, SLICE("PONG"));
    return COMMAND_DONE;
}

/* SELECT index */
static enum command_result cmd_select(struct call *c) {
    uint32_t database;
    if (!database_of(c, c->argv[1], &database)) return COMMAND_DONE;
    relaxed_store(c->client->database, (uint8_t)database);
    return ok(c);
}

/* QUIT */
static enum command_result cmd_quit(struct call *c) {
    ok(c);
    return COMMAND_CLOSE;
}

/* RESET */
static enum command_result cmd_reset(struct call *c) {
    struct client *client = c->client;
    client_set_text(c->context->server->registry, &client->name, (struct slice){"", 0});
    command_forget(c->context, client);
    set_mode(client, (uint8_t) ~(CLIENT_NO_EVICT | CLIENT_LOCKED_OUT), false); /* its time before AUTH runs on */
    relaxed_store(client->database, 0);
    relaxed_store(client->resp, 2);
    command_greet(c->context->server, client, c->now_ms);
    resp_simple(c->out, SLICE("RESET"));
    return COMMAND_DONE;
}

/* Whether it lets in: without a password any does. Compares in a time that depends on the lengths only. */
static bool password_is(struct command_server *s, struct slice given) {
    pthread_mutex_lock(&s->config_lock);
    const char *password = s->config->requirepass;
    size_t n = strlen(password);
    unsigned char differs = n && given.n != n;
    for (size_t i = 0; n && i < given.n; i++)
        differs |= (unsigned char)(given.p[i] ^ password[i % n]);
    pthread_mutex_unlock(&s->config_lock);
    return differs == 0;
}

/* Whether the client has yet to give the password. Nobody has where there is none any more. */
static bool is_locked_out(struct call *c) {
    if (has_mode(c->client, CLIENT_LOCKED_OUT) && password_is(c->context->server, SLICE("")))
        set_mode(c->client, CLIENT_LOCKED_OUT, false);
    return has_mode(c->client, CLIENT_LOCKED_OUT);
}

/* Whether user and password let in; answers when they do not. Without a password any lets in. */
static bool authenticate(struct call *c, struct slice user, struct slice password) {
    char peer[CLIENT_ADDRESS_MAX];
    if (slice_equal(user, SLICE("default")) && password_is(c->context->server, password)) {
        set_mode(c->client, CLIENT_LOCKED_OUT, false);
        return true;
    }
    metrics_add(&c->context->metrics->acl_access_denied_auth, 1);
    client_address(c->client, false, peer);
    log_line(c->context->server->log, LOG_LEVEL_WARNING, "wrong password or user: id=%llu addr=%s",
             (unsigned long long)c->client->id, peer);
    ERROR(c, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

/* AUTH [username] password */
static enum command_result cmd_auth(struct call *c) {
    if (c->argc > 3) return syntax_error(c);
    if (c->argc == 2 && password_is(c->context->server, SLICE(""))) /* there is none */
        return ERROR(c, "ERR AUTH <password> called without any password configured for the default user. Are "
                        "you sure your configuration is correct?");
    struct slice user = c->argc == 3 ? c->argv[1] : SLICE("default");
    return authenticate(c, user, c->argv[c->argc - 1]) ? ok(c) : COMMAND_DONE;
}

/* Whether `text`, which is `what`, is printable and without spaces, as Redis has it. False: the error is answered. */
static bool is_plain(struct call *c, struct slice text, struct slice what) {
    size_t i = 0;
    while (i < text.n && text.p[i] >= '!' && text.p[i] <= '~')
        i++;
    if (i < text.n)
        error_format(c, "ERR %.*s cannot contain spaces, newlines or special characters.", (int)what.n, what.p);
    return i == text.n;
}

/* Sets one of the client's texts, of a bounded length; `what` names it in the error. False: that was answered. */
static bool set_client_text(struct call *c, char **field, struct slice text, struct slice what, size_t most) {
    if (!is_plain(c, text, what)) return false;
    if (text.n > most)
        return error_format(c, "ERR %.*s cannot be longer than %zu bytes.", (int)what.n, what.p, most), false;
    if (client_set_text(c->context->server->registry, field, text)) return true;
    return ERROR(c, "ERR out of memory"), false;
}

/* HELLO [protover [AUTH username password] [SETNAME clientname]] */
static enum command_result cmd_hello(struct call *c) {
    int64_t version = 0;
    const struct slice *name = NULL, *user = NULL;
    if (c->argc > 1 && !resp_integer_of(c->argv[1], &version))
        return ERROR(c, "ERR Protocol version is not an integer or out of range");
    if (c->argc > 1 && (version < 2 || version > 3)) return ERROR(c, "NOPROTO unsupported protocol version");
    for (int i = 2, words; i < c->argc; i += words) {
        bool auth = is_word(c->argv[i], SLICE("auth"));
        words = auth ? 3 : 2;
        if (i + words > c->argc || (!auth && !is_word(c->argv[i], SLICE("setname"))))
            return error_format(c, "ERR Syntax error in HELLO option '%.*s'", shown_option(c->argv[i]), c->argv[i].p);
        *(auth ? &user : &name) = &c->argv[i + 1];
        if (!auth && !is_plain(c, *name, SLICE("Client names"))) return COMMAND_DONE;
    }
    if (user && !authenticate(c, user[0], user[1])) return COMMAND_DONE;
    if (is_locked_out(c))
        return ERROR(c, "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
                        "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and "
                        "select the RESP protocol version at the same time");
    if (name && !set_client_text(c, &c->client->name, *name, SLICE("Client names"), CLIENT_NAME_MAX - 1))
        return COMMAND_DONE;
    if (version) relaxed_store(c->client->resp, (uint8_t)version);
    put(c, "%$$$$$$$:$:$$$$$*", 8, "server", "redis", "version", SPONSON_REDIS_VERSION, "sponson_version",
        SPONSON_VERSION, "proto", (int64_t)resp_of(c), "id", (int64_t)c->client->id, "mode", "standalone", "role",
        "master", "modules", 0);
    return COMMAND_DONE;
}

/* CLIENT ID */
static enum command_result cmd_client_id(struct call *c) { return integer(c, (int64_t)c->client->id); }

/* CLIENT SETNAME connection-name */
static enum command_result cmd_client_setname(struct call *c) {
    return set_client_text(c, &c->client->name, c->argv[2], SLICE("Client names"), CLIENT_NAME_MAX - 1) ? ok(c)
                                                                                                        : COMMAND_DONE;
}

/* CLIENT GETNAME */
static enum command_result cmd_client_getname(struct call *c) {
    const char *name = c->client->name; /* without the lock: nobody else changes it */
    return name ? bulk(c, slice_of(name)) : null(c);
}

/* CLIENT SETINFO LIB-NAME libname | LIB-VER libver */
static enum command_result cmd_client_setinfo(struct call *c) {
    char **fields[] = {&c->client->lib_name, &c->client->lib_version};
    int which = one_of(c->argv[2], "lib-name lib-ver");
    if (which < 0) return error_format(c, "ERR Unrecognized option '%.*s'", SHOWN(c->argv[2]));
    return set_client_text(c, fields[which], c->argv[3], c->argv[2], CLIENT_LIBRARY_MAX) ? ok(c) : COMMAND_DONE;
}

/* CLIENT GETREDIR */
static enum command_result cmd_client_getredir(struct call *c) { return integer(c, -1); }

/* CLIENT NO-EVICT ON | OFF, CLIENT NO-TOUCH ON | OFF */
static enum command_result cmd_client_mode(struct call *c) {
    int on = one_of(c->argv[2], "off on");
    if (on < 0) return syntax_error(c);
    set_mode(c->client, (uint8_t)c->command->variant, on);
    return ok(c);
}

/* CLIENT REPLY ON | OFF | SKIP */
static enum command_result cmd_client_reply(struct call *c) {
    enum { OFF, ON, SKIP };
    int reply = one_of(c->argv[2], "off on skip");
    if (reply < 0) return syntax_error(c);
    if (reply == SKIP)
        set_mode(c->client, CLIENT_SKIP, !has_mode(c->client, CLIENT_MUTE));
    else
        set_mode(c->client, CLIENT_MUTE, reply == OFF);
    if (reply == ON) ok(c);
    c->start = c->out->len; /* that is not taken back */
    return COMMAND_DONE;
}

/* CLIENT INFO */
static enum command_result cmd_client_info(struct call *c) {
    char text[2048];
    struct buf line = {text, 0, sizeof text, false};
    client_describe(c->context->server->registry, c->client, c->now_ms, &line);
    resp_text(c->out, (struct slice){text, line.len}, resp_of(c));
    return COMMAND_DONE;
}

/* Reads a client's type: every one of ours is "normal". False: that was answered. */
static bool type_filter(struct call *c, struct slice type, struct client_filter *f) {
    int which = one_of(type, "normal master replica slave pubsub");
    f->nobody |= which != 0;
    if (which < 0) error_format(c, "ERR Unknown client type '%.*s'", SHOWN(type));
    return which >= 0;
}

/* CLIENT LIST [TYPE NORMAL | MASTER | REPLICA | PUBSUB] [ID client-id [client-id ...]] */
static enum command_result cmd_client_list(struct call *c) {
    bool type = c->argc == 4 && is_word(c->argv[2], SLICE("type"));
    bool ids = c->argc > 3 && is_word(c->argv[2], SLICE("id"));
    struct client_filter f = {.ids = ids ? c->argv + 3 : NULL, .id_count = c->argc - 3};
    int64_t id;
    if (c->argc > 2 && !type && !ids) return syntax_error(c);
    if (type && !type_filter(c, c->argv[3], &f)) return COMMAND_DONE;
    if (ids && !list_fits(c, c->argc, NAMES_MAX, "names")) return COMMAND_DONE;
    for (int i = 3; ids && i < c->argc; i++)
        if (!resp_integer_of(c->argv[i], &id)) return ERROR(c, "ERR Invalid client ID");
    struct suspended *s = &c->client->suspended;
    if (!collect_room(c, COLLECT_FIRST / 2)) return collect_failed(c, "close some connections");
    struct client_visit visit = {.out = &s->reply, .now_ms = c->now_ms};
    int64_t next = registry_visit(c->context->server->registry, &f, s->next, CLIENTS_PER_TURN, &visit);
    if (!s->reply.full) s->next = next; /* else, lines of long names, once more, with more room */
    if (s->next >= 0) return COMMAND_AGAIN;
    size_t text = s->reply.len - COLLECT_HEADER;
    if (!collect_room(c, 2)) return collect_failed(c, "close some connections");
    buf_put(&s->reply, "\r\n", 2);
    return resp_of(c) == 2 ? collected(c, "$%zu\r\n", text) : collected(c, "=%zu\r\ntxt:", text + 4);
}

/* CLIENT KILL addr:port, or CLIENT KILL with filters: ID, TYPE, USER, ADDR, LADDR, SKIPME, MAXAGE */
static enum command_result cmd_client_kill(struct call *c) {
    enum { ADDR, LADDR, USER, TYPE, ID, MAXAGE, SKIPME };
    struct client_filter f = {.not_id = c->argc > 3 ? c->client->id : 0, .id_count = 1};
    int64_t v;
    if (c->argc == 3) f.addr = c->argv[2];
    for (int i = 2; c->argc > 3 && i < c->argc; i += 2) {
        if (i + 1 == c->argc) return syntax_error(c);
        struct slice value = c->argv[i + 1];
        int word = one_of(c->argv[i], "addr laddr user type id maxage skipme"), yes = one_of(value, "no yes");
        bool positive = resp_integer_of(value, &v) && v > 0;
        if (word < 0 || (word == SKIPME && yes < 0)) return syntax_error(c);
        if (word == USER && !slice_equal(value, SLICE("default")))
            return error_format(c, "ERR No such user '%.*s'", SHOWN(value));
        if (word == TYPE && !type_filter(c, value, &f)) return COMMAND_DONE;
        if (word == ID && !positive) return ERROR(c, "ERR client-id should be greater than 0");
        if (word == MAXAGE && (!positive || v > c->now_ms / 1000))
            return ERROR(c, "ERR maxage is not an integer or out of range");
        if (word == ADDR) f.addr = value;
        if (word == LADDR) f.laddr = value;
        if (word == ID) f.ids = &c->argv[i + 1];
        if (word == MAXAGE) f.created_before_ms = c->now_ms - v * 1000;
        if (word == SKIPME) f.not_id = yes ? c->client->id : 0;
    }
    struct suspended *s = &c->client->suspended;
    struct client_visit visit = {.own_id = c->client->id, .found = s->count, .own = s->cursor};
    int64_t next = registry_visit(c->context->server->registry, &f, s->next, CLIENTS_PER_TURN, &visit);
    *s = (struct suspended){.next = next, .count = visit.found, .cursor = visit.own};
    if (next >= 0) return COMMAND_AGAIN;
    *s = (struct suspended){0};
    if (c->argc == 3 && visit.found == 0) return ERROR(c, "ERR No such client");
    c->argc == 3 ? ok(c) : integer(c, visit.found);
    return visit.own ? COMMAND_CLOSE : COMMAND_DONE;
}

/* CLIENT PAUSE timeout [WRITE | ALL] */
static enum command_result cmd_client_pause(struct call *c) {
    struct command_server *s = c->context->server;
    int64_t timeout_ms;
    bool all = c->argc == 3 || is_word(c->argv[3], SLICE("all"));
    if (c->argc > 4 || (!all && !is_word(c->argv[3], SLICE("write"))))
        return c->argc > 4 ? wrong_arity(c) : ERROR(c, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    if (!resp_integer_of(c->argv[2], &timeout_ms) || timeout_ms > INT64_MAX - c->now_ms)
        return ERROR(c, "ERR timeout is not an integer or out of range");
    if (timeout_ms < 0) return ERROR(c, "ERR timeout is negative");
    bool paused = command_unusual(s, c->now_ms, false) & UNUSUAL_PAUSED; /* which becomes no shorter by another */
    if (paused) timeout_ms = MAX(timeout_ms, atomic_load(&s->paused_until_ms) - c->now_ms);
    all |= paused && atomic_load(&s->paused_all);
    atomic_store(&s->paused_all, all);
    atomic_store(&s->paused_ms, timeout_ms);
    atomic_store(&s->paused_until_ms, c->now_ms + timeout_ms);
    c->context->unusual |= UNUSUAL_PAUSED;
    return ok(c);
}

/* CLIENT UNPAUSE */
static enum command_result cmd_client_unpause(struct call *c) {
    atomic_store(&c->context->server->paused_until_ms, 0);
    c->context->unusual &= (uint8_t)~UNUSUAL_PAUSED;
    return ok(c);
}

uint8_t command_unusual(const struct command_server *server, int64_t now_ms, bool ending) {
    int64_t left_ms = relaxed_load(server->paused_until_ms) - now_ms;
    bool paused = left_ms > 0 && left_ms <= relaxed_load(server->paused_ms) && !ending;
    return (uint8_t)((paused ? UNUSUAL_PAUSED : 0) | (relaxed_load(server->feed.watchers) ? UNUSUAL_WATCHED : 0) |
                     (now_ms < relaxed_load(server->hotkeys.ends_ms) ? UNUSUAL_COUNTED : 0));
}

void command_greet(struct command_server *server, struct client *client, int64_t now_ms) {
    if (!has_mode(client, CLIENT_LOCKED_OUT)) relaxed_store(client->locked_ms, now_ms);
    set_mode(client, CLIENT_LOCKED_OUT, !password_is(server, SLICE("")));
}

/* READONLY, READWRITE */
static enum command_result cmd_readonly(struct call *c) {
    return ERROR(c, "ERR This instance has cluster support disabled");
}

/* WAIT numreplicas timeout: no replica will ever acknowledge, so there is nothing to wait for */
static enum command_result cmd_wait(struct call *c) {
    int64_t replicas, timeout_ms;
    if (!resp_integer_of(c->argv[1], &replicas)) return not_an_integer(c);
    if (!resp_integer_of(c->argv[2], &timeout_ms)) return ERROR(c, "ERR timeout is not an integer or out of range");
    return timeout_ms < 0 ? ERROR(c, "ERR timeout is negative") : integer(c, 0);
}

/* ROLE */
static enum command_result cmd_role(struct call *c) {
    put(c, "*$:*", 3, "master", (int64_t)0, 0);
    return COMMAND_DONE;
}

/* ---- server ---- */

/* TIME */
static enum command_result cmd_time(struct call *c) {
    int64_t us = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000);
    put(c, "*##", 2, us / 1000000, us % 1000000);
    return COMMAND_DONE;
}

/* SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT] */
static enum command_result cmd_shutdown(struct call *c) {
    enum { SAVE = 1, NOSAVE = 2, ABORT = 4 };
    unsigned given = 0;
    for (int i = 1; i < c->argc; i++) {
        int word = one_of(c->argv[i], "save nosave abort now force");
        if (word < 0) return syntax_error(c);
        given |= 1u << word;
    }
    if ((given & (SAVE | NOSAVE)) == (SAVE | NOSAVE) || ((given & ABORT) && c->argc > 2)) return syntax_error(c);
    if (given & ABORT) return ERROR(c, "ERR No shutdown in progress.");
    if (given & SAVE) return ERROR(c, "ERR SHUTDOWN SAVE: this cache keeps nothing on disk. Use SHUTDOWN NOSAVE");
    c->context->server->shutdown(c->context->server->callback_context);
    return COMMAND_CLOSE;
}

/* CONFIG GET pattern [pattern ...] */
static enum command_result cmd_config_get(struct call *c) {
    const struct config *config = c->context->config;
    if (!list_fits(c, c->argc - 2, CONFIG_PATTERNS_MAX, "patterns")) return COMMAND_DONE;
    for (int i = 2; i < c->argc; i++)
        if (c->argv[i].n > CONFIG_PATTERN_BYTES)
            return error_format(c, "ERR pattern exceeds %d bytes", CONFIG_PATTERN_BYTES);
    char value[CONFIG_TEXT_MAX + 64];
    pthread_mutex_lock(&c->context->server->config_lock);
    for (int counting = 1, found = 0; counting >= 0; counting--) {
        for (int o = 0; config_name(o); o++) {
            struct slice name = slice_of(config_name(o));
            int i = 2;
            while (i < c->argc && !glob_match(c->argv[i], name, true))
                i++;
            if (i == c->argc) continue;
            found++;
            if (counting) continue;
            /* as Redis: a name that is no pattern comes back as it was written */
            resp_bulk(c->out, is_word(c->argv[i], name) ? c->argv[i] : name);
            resp_bulk(c->out, (struct slice){value, config_value(config, o, false, value, sizeof value)});
        }
        if (counting) put(c, "%", found);
    }
    pthread_mutex_unlock(&c->context->server->config_lock);
    return COMMAND_DONE;
}

/* Why CONFIG SET changes nothing: as Redis says it. */
static enum command_result config_set_failed(struct call *c, int i, const char *why) {
    return error_format(c, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s", SHOWN(c->argv[i]), why);
}

/* Which of the options that stand in argv before `end` has that name; 0: none. */
static int option_in(const struct call *c, int end, struct slice name) {
    for (int i = 2; i < end; i += 2)
        if (is_word(c->argv[i], name)) return i;
    return 0;
}

/* Takes argv's options over into `next`; as Redis, looks at all names before any value. False: one cannot be, and that
 * was answered. */
static bool change_options(struct call *c, struct config *next) {
    char name[CONFIG_PATTERN_BYTES + 1], value[CONFIG_TEXT_MAX + 1], error[CONFIG_TEXT_MAX];
    for (int n = 0; n < 2 * (c->argc - 2); n += 2) {
        int i = 2 + n % (c->argc - 2);
        bool names = n < c->argc - 2;
        const struct slice *a = &c->argv[i];
        if (names && option_in(c, i, a[0])) return config_set_failed(c, i, "duplicate parameter"), false;
        bool whole = a[1].n < sizeof value && !memchr(a[1].p, '\0', a[1].n);
        bool named = a[0].n < sizeof name && !memchr(a[0].p, '\0', a[0].n);
        snprintf(name, sizeof name, "%.*s", named ? (int)a[0].n : 0, a[0].p);
        snprintf(value, sizeof value, "%.*s", whole ? (int)a[1].n : 0, a[1].p);
        enum config_change change = config_change(next, name, names ? NULL : value, error, sizeof error);
        if (change == CONFIG_CHANGED && (names || whole)) continue;
        if (!whole) strcpy(error, "at most 1023 bytes, and no NUL, are allowed");
        if (change == CONFIG_UNKNOWN)
            error_format(c, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'%s", SHOWN(a[0]), error);
        else
            config_set_failed(c, i, change == CONFIG_IMMUTABLE ? "can't set immutable config" : error);
        return false;
    }
    return true;
}

/* CONFIG SET parameter value [parameter value ...]: all or nothing */
static enum command_result cmd_config_set(struct call *c) {
    struct command_server *s = c->context->server;
    char text[CONFIG_ERROR_MAX], peer[CLIENT_ADDRESS_MAX];
    bool changed = false;
    if (c->argc % 2) return syntax_error(c);
    if (!list_fits(c, c->argc / 2, CONFIG_PATTERNS_MAX, "parameters")) return COMMAND_DONE;
    pthread_mutex_lock(&s->config_lock);
    struct config next = *s->config;
    if (change_options(c, &next)) {
        config_follow(&next, s->config, option_in(c, c->argc, SLICE("shard-capacity")),
                      option_in(c, c->argc, SLICE("max-value-size")));
        next.notes[0] = '\0'; /* what is doubtful is said anew */
        changed = config_resolve(&next, s->host, text, sizeof text) &&
                  s->reconfigure(s->callback_context, &next, text, sizeof text);
        /* what failed is the option that the sentence begins with; the first, when none does */
        int failed = changed ? 0 : option_in(c, c->argc, (struct slice){text, strcspn(text, ": ")});
        if (!changed) config_set_failed(c, failed ? failed : 2, text);
    }
    pthread_mutex_unlock(&s->config_lock);
    if (!changed) return COMMAND_DONE;
    shards_grow(c->shards);
    client_address(c->client, false, peer);
    if (strcmp(text, "nothing changed") != 0)
        log_line(s->log, *next.notes ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, "CONFIG SET by id=%llu addr=%s: %s%s%.*s",
                 (unsigned long long)c->client->id, peer, text, *next.notes ? "; " : "", (int)strcspn(next.notes, "\n"),
                 next.notes);
    return ok(c);
}

static command_handler cmd_command_count, cmd_command_list, cmd_command_info, cmd_command_docs, cmd_command_getkeys;

/* ---- the table ---- */

#include "commands.h"

static uint32_t row_of(const struct command *command) { return (uint32_t)(command - commands); }

enum table { COMMANDS = sizeof commands / sizeof *commands };

_Static_assert((int)COMMANDS <= (int)METRICS_COMMANDS, "each row has its counters");

const char *command_name(uint32_t row) { return row < COMMANDS ? commands[row].name : NULL; }

const char *command_syntax(uint32_t row) { return row < COMMANDS ? commands[row].syntax : NULL; }

const char *command_summary(uint32_t row) { return row < COMMANDS ? commands[row].summary : NULL; }

/* client->last_command is a row plus one: 0 is a client that sent nothing yet. */
static const char *last_name(uint32_t last_command) { return last_command ? commands[last_command - 1].name : "NULL"; }

/* ---- COMMAND, which prints the table ---- */

/* Whether `command` is a subcommand of the parent whose name is `parent`; of "", whether it is none. */
static bool is_child(const struct command *command, struct slice parent) {
    if (parent.n == 0) return strchr(command->name, '|') == NULL;
    return !strncasecmp(command->name, parent.p, parent.n) && command->name[parent.n] == '|';
}

/* Calls put_one(), where it is given, for the subcommands of a parent; of "", for all that are none. Returns how
 * many. */
static int put_children(struct call *c, struct slice parent,
                        void (*put_one)(struct call *c, const struct command *command)) {
    int n = 0;
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!is_child(&commands[i], parent)) continue;
        if (put_one) put_one(c, &commands[i]);
        n++;
    }
    return n;
}

/* The row of that name; with a parent, of its subcommand of that name. NULL: there is none. */
static const struct command *find_command(const struct command *parent, struct slice name) {
    size_t skip = parent ? strlen(parent->name) + 1 : 0;
    for (const struct command *r = commands; r < commands + COMMANDS; r++)
        if ((!parent || is_child(r, slice_of(parent->name))) && is_word(name, slice_of(r->name + skip))) return r;
    return NULL;
}

/* The part of *text up to the next `stop` outside of brackets; *text goes on behind it. False: nothing is left. Spaces
 * before a part are none of it; those behind it are, and matter to nobody. */
static bool next_part(struct slice *text, char stop, struct slice *part) {
    const char *p = text->p, *end = text->p + text->n;
    while (p < end && *p == ' ')
        p++;
    *part = (struct slice){p, 0};
    for (int depth = 0; p < end && (depth || *p != stop); p++)
        depth += (*p == '[') - (*p == ']');
    part->n = (size_t)(p - part->p);
    p += p < end;
    *text = (struct slice){p, (size_t)(end - p)};
    return part->n > 0;
}

static int count_parts(struct slice text, char stop) {
    int n = 0;
    for (struct slice part; next_part(&text, stop, &part);)
        n++;
    return n;
}

static const char categories[] = "keyspace read write string admin fast slow dangerous connection transaction";

/* The ACL categories of a command, those that Redis gives it: bit by bit of `categories`. */
static unsigned categories_of(const struct command *command) {
    unsigned f = command->flags, set = 0;
    const char *name = command->name, *group = command->handler ? command->group : "";
    bool wait = !strcmp(name, "wait");
    const bool has[] = {
        (!strcmp(group, "generic") && !wait) || (f & KEYSPACE),
        f & READONLY,
        f & WRITE,
        !strcmp(group, "string"),
        (f & ADMIN) || !strcmp(name, "role"),
        f & FAST,
        !(f & FAST),
        f & (ADMIN | DANGEROUS),
        !strcmp(group, "connection") || !strncmp(name, "command", 7) || wait,
        !strcmp(group, "transactions"),
    };
    for (size_t i = 0; i < sizeof has / sizeof *has; i++)
        set |= (unsigned)has[i] << i;
    return set;
}

/* A set of the words whose bits are set. */
static void put_words(struct call *c, struct slice words, unsigned set,
                      void (*put_one)(struct buf *out, struct slice word)) {
    set &= (1u << count_parts(words, ' ')) - 1;
    put(c, "~", __builtin_popcount(set));
    for (struct slice word; next_part(&words, ' ', &word); set >>= 1)
        if (set & 1) put_one(c->out, word);
}

static void put_category(struct buf *out, struct slice word) { buf_printf(out, "+@%.*s\r\n", (int)word.n, word.p); }

/* The key specifications: where the keys are, and what is done to them. */
static void put_key_specs(struct call *c, const struct command *command) {
    struct slice keys = slice_of(command->keys);
    int count = count_parts(keys, '/');
    bool movable = command->flags & MOVABLE, several = count > 1;
    int64_t at = movable ? 1 : command->first_key, step = command->key_step;
    int64_t last = command->last_key < 0 ? -1 : command->last_key - command->first_key; /* of one specification */
    put(c, "~", count);
    for (struct slice each; next_part(&keys, '/', &each); at++) {
        put(c, "%$", 3, "flags");
        put_words(c, each, UINT_MAX, resp_simple);
        put(c, "$%$$$%$:", "begin_search", 2, "type", "index", "spec", 1, "index", at);
        put(c, "$%$$$%", "find_keys", 2, "type", movable ? "keynum" : "range", "spec", 3);
        if (movable)
            put(c, "$:$:$:", "keynumidx", (int64_t)0, "firstkey", (int64_t)1, "keystep", (int64_t)2);
        else
            put(c, "$:$:$:", "lastkey", several ? (int64_t)0 : last, "keystep", step, "limit", (int64_t)0);
    }
}

/* Ten items, as COMMAND INFO of Redis 7. */
static void put_command_info(struct call *c, const struct command *command) {
    struct slice name = slice_of(command->name);
    put(c, "*s:", 10, name, (int64_t)command->arity);
    put_words(c, slice_of(flag_names), command->flags, resp_simple);
    put(c, ":::", (int64_t)command->first_key, (int64_t)command->last_key, (int64_t)command->key_step);
    put_words(c, slice_of(categories), categories_of(command), put_category);
    put_words(c, slice_of(command->tips), UINT_MAX, resp_bulk);
    put_key_specs(c, command);
    int children = put_children(c, name, NULL);
    put(c, children ? "*" : "~", children);
    put_children(c, name, put_command_info);
}

/* ---- the arguments of a command, read from its syntax line ---- */

struct argument {
    struct slice name, token; /* "EX seconds": p is NULL where there is none */
    struct slice inner;       /* of a block, or of several to choose from */
    bool optional, multiple, oneof;
};

static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

static int read_arguments(struct slice text, struct argument *a);

/* All of `text` as one argument: a block of them, when there are several. */
static struct argument read_argument(struct slice text) {
    struct argument list[ARGUMENTS_MAX];
    return read_arguments(text, list) == 1 ? list[0] : (struct argument){.inner = text};
}

/* Reads a sequence of arguments, ARGUMENTS_MAX at most, or several to choose from, which are one. Returns how many. */
static int read_arguments(struct slice text, struct argument *a) {
    int n = 0;
    if (count_parts(text, '|') > 1) {
        *a = (struct argument){.oneof = true, .inner = text};
        return 1;
    }
    for (struct slice part; n < ARGUMENTS_MAX && next_part(&text, ' ', &part);) {
        struct argument *last = n ? &a[n - 1] : NULL;
        struct slice inner = {part.p + 1, part.n - 2}; /* of brackets */
        if (part.p[0] != '[') {
            if (last && last->token.p && !last->name.p && !last->optional && !is_upper(part.p[0])) /* "EX seconds" */
                last->name = part;
            else
                a[n++] = is_upper(part.p[0]) ? (struct argument){.token = part} : (struct argument){.name = part};
        } else if (inner.n > 4 && memcmp(inner.p + inner.n - 4, " ...", 4) == 0) { /* what stood before, again */
            int words = count_parts(inner, ' ') - 1;
            n -= words < n ? words : n;
            if (words > 1) a[n] = (struct argument){.inner = {inner.p, inner.n - 4}};
            a[n++].multiple = true;
        } else {
            a[n] = read_argument(inner);
            a[n++].optional = true;
        }
    }
    return n;
}

static void put_arguments(struct call *c, struct slice text, bool oneof);

static void put_argument(struct call *c, const struct argument *a) {
    static const char numbers[] =
        "seconds milliseconds cursor count increment decrement offset start end index db timeout "
        "numkeys numreplicas client-id destination-db index1 index2 maxage protover";
    char name[64];
    struct slice text = a->oneof     ? slice_of(a->optional ? "option" : "subject")
                        : a->inner.p ? slice_of(a->multiple ? "data" : "block")
                        : a->name.p  ? a->name
                                     : a->token;
    snprintf(name, sizeof name, "%.*s", (int)text.n, text.p);
    for (char *p = name; *p; p++)
        *p = (char)(is_upper(*p) ? *p + 32 : *p);
    const char *type = a->oneof                                             ? "oneof"
                       : a->inner.p                                         ? "block"
                       : !a->name.p                                         ? "pure-token"
                       : one_of(text, "key newkey source destination") >= 0 ? "key"
                       : one_of(text, numbers) >= 0                         ? "integer"
                       : !strncmp(name, "unix-time", 9)                     ? "unix-time"
                                                                            : "string";
    int flags = a->optional + a->multiple;
    put(c, "%$$$$", 2 + (a->token.p != NULL) + (flags > 0) + (a->inner.p != NULL), "name", name, "type", type);
    if (a->token.p) put(c, "$s", "token", a->token);
    if (flags) put(c, "$*", "flags", flags);
    if (a->optional) put(c, "+", "optional");
    if (a->multiple) put(c, "+", "multiple");
    if (a->inner.p) put_arguments(c, a->inner, a->oneof);
}

static void put_arguments(struct call *c, struct slice text, bool oneof) {
    struct argument list[ARGUMENTS_MAX];
    int n = oneof ? 0 : read_arguments(text, list);
    for (struct slice part; oneof && n < ARGUMENTS_MAX && next_part(&text, '|', &part);)
        list[n++] = read_argument(part);
    put(c, "$*", "arguments", n);
    for (int i = 0; i < n; i++)
        put_argument(c, &list[i]);
}

static void put_command_docs(struct call *c, const struct command *command) {
    struct slice name = slice_of(command->name);
    struct slice arguments = slice_of(command->syntax + name.n); /* as long as the name, a space for its '|' */
    int children = put_children(c, name, NULL);
    put(c, "s%$$$$$$$$", name, 4 + (children > 0) + (arguments.n > 0), "summary", command->summary, "since",
        command->since, "group", command->group, "syntax", command->syntax);
    if (arguments.n) put_arguments(c, arguments, false);
    if (children) put(c, "$%", "subcommands", children);
    put_children(c, name, put_command_docs);
}

/* COMMAND COUNT */
static enum command_result cmd_command_count(struct call *c) { return integer(c, put_children(c, SLICE(""), NULL)); }

/* COMMAND LIST [FILTERBY MODULE module-name | ACLCAT category | PATTERN pattern] */
static enum command_result cmd_command_list(struct call *c) {
    enum { MODULE, CATEGORY, PATTERN, ALL };
    int filter = c->argc == 2 ? ALL : -1;
    if (c->argc == 5 && is_word(c->argv[2], SLICE("filterby"))) filter = one_of(c->argv[3], "module aclcat pattern");
    if (filter < 0 || (filter == PATTERN && c->argv[4].n > CONFIG_PATTERN_BYTES)) return syntax_error(c);
    int word = filter == CATEGORY ? one_of(c->argv[4], categories) : -1;
    unsigned category = word < 0 ? 0 : 1u << word;
    bool listed[COMMANDS];
    size_t n = 0;
    for (size_t i = 0; i < COMMANDS; i++)
        n += listed[i] = filter == ALL || (categories_of(&commands[i]) & category) ||
                         (filter == PATTERN && glob_match(c->argv[4], slice_of(commands[i].name), true));
    resp_array(c->out, n);
    for (size_t i = 0; i < COMMANDS; i++)
        if (listed[i]) resp_bulk(c->out, slice_of(commands[i].name));
    return COMMAND_DONE;
}

/* COMMAND, COMMAND INFO [command-name [command-name ...]] */
static enum command_result cmd_command_info(struct call *c) {
    bool all = c->argc <= 2;
    if (!list_fits(c, c->argc, COMMANDS_MAX, "names")) return COMMAND_DONE;
    put(c, "*", all ? put_children(c, SLICE(""), NULL) : c->argc - 2);
    if (all) put_children(c, SLICE(""), put_command_info);
    for (int i = 2; i < c->argc; i++) {
        const struct command *command = find_command(NULL, c->argv[i]);
        if (command)
            put_command_info(c, command);
        else
            null(c);
    }
    return COMMAND_DONE;
}

/* COMMAND DOCS [command-name [command-name ...]] */
static enum command_result cmd_command_docs(struct call *c) {
    if (!list_fits(c, c->argc, COMMANDS_MAX, "names")) return COMMAND_DONE;
    int known = c->argc == 2 ? put_children(c, SLICE(""), NULL) : 0;
    for (int i = 2; i < c->argc; i++)
        known += find_command(NULL, c->argv[i]) != NULL;
    put(c, "%", known);
    if (c->argc == 2) put_children(c, SLICE(""), put_command_docs);
    for (int i = 2; i < c->argc; i++) {
        const struct command *command = find_command(NULL, c->argv[i]);
        if (command) put_command_docs(c, command);
    }
    return COMMAND_DONE;
}

static void put_help(struct call *c, const struct command *command) {
    buf_printf(c->out, "+%s\r\n+    %s\r\n", command->syntax, command->summary);
}

/* CLIENT HELP and those of the other containers */
static enum command_result cmd_help(struct call *c) {
    const char *syntax = c->command->syntax;
    put(c, "*", 1 + 2 * put_children(c, c->argv[0], NULL));
    buf_printf(c->out, "+%.*s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n", (int)strcspn(syntax, " "),
               syntax);
    put_children(c, c->argv[0], put_help);
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

/* The place of a name in server->index, or the free one where its row would stand: behind the last one comes the
 * first. */
static inline struct command_slot *slot_of(struct command_server *s, struct slice name) {
    uint64_t letters = fold(name);
    for (uint32_t i = (uint32_t)((letters + name.n) * 0x9E3779B97F4A7C15ull >> 56);; i = (uint8_t)(i + 1)) {
        struct command_slot *slot = &s->index[i];
        if (slot->command == NULL || (slot->letters == letters && slot->size == name.n &&
                                      (name.n <= 8 || is_word(name, slice_of(slot->command->name)))))
            return slot;
    }
}

void command_init(struct command_server *server) {
    pthread_mutex_init(&server->config_lock, NULL);
    server->registry->command_name = last_name;
    info_init(server);
    pthread_mutex_init(&server->feed.lock, NULL);
    memset(server->index, 0, sizeof server->index);
    for (size_t r = 0; r < COMMANDS; r++) {
        struct slice name = slice_of(commands[r].name);
        if (is_child(&commands[r], SLICE("")))
            *slot_of(server, name) = (struct command_slot){fold(name), name.n, &commands[r]};
    }
}

static bool arity_right(const struct command *command, int argc) {
    return command->arity < 0 ? argc >= -command->arity : argc == command->arity;
}

/* COMMAND GETKEYS command [arg [arg ...]], COMMAND GETKEYSANDFLAGS command [arg [arg ...]] */
static enum command_result cmd_command_getkeys(struct call *c) {
    int argc = c->argc - 2;
    struct slice *argv = c->argv + 2;
    const struct command *command = find_command(NULL, argv[0]);
    if (command && command->handler == NULL && argc > 1) command = find_command(command, argv[1]);
    if (command == NULL) return ERROR(c, "ERR Invalid command specified");
    if (command->keys[0] == '\0') return ERROR(c, "ERR The command has no key arguments");
    if (!arity_right(command, argc)) return ERROR(c, "ERR Invalid number of arguments specified for command");
    struct keys k = keys_of(command, argv, argc);
    if (k.count == 0) return ERROR(c, "ERR Invalid arguments specified for command");
    size_t bytes = 0;
    for (int i = k.first; i <= k.last; i += k.step)
        bytes += resp_bulk_bytes(argv[i].n) + 64;
    if (bytes > LIST_REPLY_BYTES) return error_format(c, "ERR at most %u bytes of keys at once", LIST_REPLY_BYTES);
    struct slice each = SLICE(""), keys = slice_of(command->keys);
    if (strstr(command->keys, "variable_flags")) keys = SLICE("OW update");
    for (int i = 3; i < argc && command->handler == cmd_set; i++)
        if (is_word(argv[i], SLICE("get"))) keys = SLICE("RW access update");
    resp_array(c->out, (size_t)k.count);
    for (int i = k.first; i <= k.last; i += k.step) {
        if (c->command->variant) put(c, "*", 2);
        resp_bulk(c->out, argv[i]);
        if (!c->command->variant) continue;
        if (keys.n) next_part(&keys, '/', &each); /* what is last holds for all behind it, too */
        put_words(c, each, UINT_MAX, resp_simple);
    }
    return COMMAND_DONE;
}

/* ---- the steps of a request ---- */

void command_prepare(const struct command_context *c, const struct client *client, struct request *r) {
    const struct command *command = r->command = r->argv[0].p ? slot_of(c->server, r->argv[0])->command : NULL;
    r->hash = 0;
    r->ahead = NULL;
    if (command == NULL || command->first_key != 1 || r->argc < 2) {
        r->timed |= command && !(command->flags & FAST);
        return;
    }
    struct slice key = r->argv[1];
    if (key.p == NULL || key.n > KEY_SIZE_MAX) return;
    r->hash = shards_hash(c->shards, relaxed_load(client->database), key);
    r->ahead = shard_of(c->shards, r->hash);
    lru_prefetch_bucket(r->ahead, r->hash);
}

void command_fetch(struct request *r) { r->ref = r->ahead ? lru_prefetch_entry(r->ahead, r->hash) : 0; }

void command_fetch_links(const struct request *r) {
    if (r->ahead) lru_prefetch_links(r->ahead, r->hash, r->ref);
}

size_t command_reply_room_max(const struct shards *shards) {
    return (size_t)lru_value_max(shards->maxmemory_max / SHARDS) + LIST_REPLY_BYTES;
}

size_t command_argument_max(const struct config *config) {
    uint64_t key = config->max_key_size_bytes, value = config->max_value_size_bytes, most = key > value ? key : value;
    /* commands and passwords have no limit of theirs */
    return (size_t)(most > CONFIG_TEXT_MAX ? most : CONFIG_TEXT_MAX);
}

size_t command_argument_safe(const struct config *config) {
    uint64_t key = config->max_key_size_bytes, value = config->max_value_size_bytes;
    return (size_t)(key < value ? key : value);
}

/* Checks the sizes of all arguments; with `many`, whether no more is changed than may be at once. False: the error is
 * answered. */
static bool sizes_right(struct call *c, bool many) {
    uint64_t max_key = c->context->config->max_key_size_bytes, max_value = c->context->config->max_value_size_bytes;
    struct keys k = keys_of(c->command, c->argv, c->argc);
    uint64_t bytes = 0;
    for (int i = k.first; i <= k.last; i += k.step)
        if (c->argv[i].n > max_key)
            return error_format(c, "ERR key exceeds max-key-size (%" PRIu64 " bytes)", max_key), false;
    for (int i = 1; i < c->argc; bytes += c->argv[i++].n)
        if (c->argv[i].p == NULL)
            return error_format(c, "ERR value exceeds max-value-size (%" PRIu64 " bytes)", max_value), false;
    if (!many || (k.count <= ATOMIC_KEYS && bytes <= atomic_bytes(c))) return true;
    error_format(c, "ERR at most %d keys and %" PRIu64 " bytes are changed at once; send them in parts", ATOMIC_KEYS,
                 atomic_bytes(c));
    return false;
}

/* An error was answered before the command was executed. */
static enum command_result rejected(struct call *c) {
    c->context->put_off = true;
    if (c->command)
        metrics_add(&c->context->metrics->command[c->row].rejected, 1);
    else
        relaxed_store(c->client->last_command, 0);
    if (has_mode(c->client, CLIENT_MULTI)) c->client->transaction->aborted = true;
    if (c->command && c->command->handler == cmd_exec) { /* that was its end all the same */
        const char *why = c->out->p + c->start;
        why += memcmp(why, "-ERR ", 5) ? 1 : 5;
        int n = (int)(c->out->p + c->out->len - 2 - why);
        c->out->len = c->start;
        end_transaction(c->shards, c->context->pool, c->client);
        error_format(c, DISCARDED "of: %.*s", n, why);
    }
    return COMMAND_DONE;
}

static enum command_result unknown_command(struct call *c) {
    struct slice name = c->argv[0];
    /* at the start of a line that is a browser that was tricked into talking to us */
    if (name.p && one_of(name, "post host:") >= 0) return COMMAND_CLOSE;
    char text[160] = "";
    struct buf args = {text, 0, sizeof text, false};
    for (int i = 1; i < c->argc && args.len < SHOWN_BYTES; i++) {
        struct slice a = c->argv[i].p ? c->argv[i] : SLICE("");
        buf_printf(&args, "'%.*s' ", a.n < SHOWN_BYTES - args.len ? (int)a.n : SHOWN_BYTES - (int)args.len, a.p);
    }
    error_format(c, "ERR unknown command '%.*s', with args beginning with: %s", SHOWN(name), text);
    return rejected(c);
}

/* Executes, or does what is to be done instead, for a client that is not in its usual mode or while something is looked
 * at; apart, so that it costs the usual request no register. */
__attribute__((noinline)) static enum command_result execute_unusual(struct call *c) {
    const struct command *command = c->command;
    bool queued = has_mode(c->client, CLIENT_MULTI) && !(command->flags & IN_MULTI);
    bool locked_out = !(command->flags & NO_AUTH) && is_locked_out(c);
    bool refused = queued && (command->flags & (NO_MULTI | NOT_QUEUED));
    bool watches = has_mode(c->client, CLIENT_MONITOR) && (command->flags & (WRITE | READONLY));
    if (locked_out || refused || watches) {
        call_error(c, locked_out ? SLICE("NOAUTH Authentication required.")
                      : refused  ? SLICE("ERR Command not allowed inside a transaction")
                                 : SLICE("ERR Replica can't interact with the keyspace"));
        return rejected(c);
    }
    if (queued) {
        c->context->put_off = true;
        queue_request(c);
        c->client->transaction->aborted |= c->failed;
        return COMMAND_DONE;
    }
    bool writes = (command->flags & WRITE) || command->handler == cmd_exec;
    bool connection = (command->flags & NO_AUTH) || !strncmp(command->name, "client|", 7);
    bool paused = (c->context->unusual & UNUSUAL_PAUSED) && !connection;
    return paused && (writes || atomic_load(&c->context->server->paused_all)) ? COMMAND_WAIT : run_seen(c);
}

/* The reply of a client that wants none, or not this one, is taken back. */
static enum command_result muted(struct call *c, enum command_result result, uint8_t modes) {
    bool again = result == COMMAND_AGAIN || result == COMMAND_WAIT;
    c->out->len = c->start;
    if (again && (modes & CLIENT_SKIP)) set_mode(c->client, CLIENT_SKIP, true);
    if (result != COMMAND_COLLECTED) return result;
    collect_forget(c->context->pool, c->client);
    return COMMAND_DONE;
}

/* All of it but muting the reply. */
static inline enum command_result execute(struct call *c, const struct request *r, uint8_t modes) {
    const struct command *command = r->command;
    if (command == NULL) return unknown_command(c);
    if ((command->flags & CONTAINER) && r->argc > 1 && (command = find_command(command, r->argv[1])) == NULL) {
        error_format(c, "ERR unknown subcommand '%.*s'. Try %s HELP.", SHOWN(r->argv[1]), r->command->syntax);
        return rejected(c);
    }
    c->command = command;
    c->row = row_of(command);
    relaxed_store(c->client->last_command, c->row + 1);
    if (!r->resumed) {
        if (!arity_right(command, r->argc)) return wrong_arity(c), rejected(c);
        bool many = r->argc > BYTES_ARGS || !r->sizes_are_right;
        many = many && (command->handler == cmd_mset || command->handler == cmd_msetex);
        if ((!r->sizes_are_right || many) && !sizes_right(c, many)) return rejected(c);
        if (modes || c->context->unusual) return execute_unusual(c);
    }
    return run_handler(c);
}

enum command_result command_execute(struct command_context *context, struct client *client, const struct request *r,
                                    struct buf *out) {
    uint8_t modes = relaxed_load(client->modes);
    struct call c; /* field by field: nothing is cleared that need not be */
    c.context = context;
    c.command = NULL;
    c.client = client;
    c.argv = r->argv;
    c.argc = r->argc;
    c.in_exec = c.failed = false;
    c.database = relaxed_load(client->database);
    c.out = out;
    c.shards = context->shards;
    c.key = &r->argv[1];
    c.hash = r->hash;
    c.now_ms = context->now_ms;
    c.start = out->len;
    if (modes & CLIENT_SKIP) set_mode(client, CLIENT_SKIP, false); /* of this request; it may ask for the next */
    enum command_result result = execute(&c, r, modes);
    return modes & (CLIENT_MUTE | CLIENT_SKIP) ? muted(&c, result, modes) : result;
}
