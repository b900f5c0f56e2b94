/* call.h -- one call of a command's handler: what it gets, and the replies that many of them give.
 *
 * command.c makes a struct call for each request and calls the handler of its row in the table; the handlers of keys
 * and values are in keyspace.c, those that tell what is measured in info.c, those of connections and the server in
 * command.c. */
#ifndef SPONSON_CALL_H
#define SPONSON_CALL_H

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "client.h"
#include "config.h"
#include "metrics.h"
#include "resp.h"
#include "shard.h"

#define LIST_REPLY_BYTES (1u << 20) /* what a list that is answered at once takes at most */
#define NAMES_MAX 512               /* of a list of names in a request that is answered at once */
#define ERROR_BYTES 1024            /* of an error's text; what is longer is cut */
#define SHOWN_BYTES 128             /* of what a client sent that an error shows: as Redis */

enum command_result {
    COMMAND_DONE,      /* its reply is in `out` */
    COMMAND_AGAIN,     /* a part is done: call again with the same request in the next turn, when `out` is sent */
    COMMAND_WAIT,      /* nothing is done: call again when command_unusual() says so no more */
    COMMAND_COLLECTED, /* as COMMAND_DONE, and client->suspended.reply holds more to be sent after `out`; the caller
                          takes the block over, and sends it from suspended.start on */
    COMMAND_WATCHES,   /* as COMMAND_DONE, and from now on the client gets what command_feed_read() gives */
    COMMAND_CLOSE      /* as COMMAND_DONE, and the connection is to be closed once that is sent */
};

struct call;
struct host;
struct log;

/* What executes a command. */
typedef enum command_result command_handler(struct call *c);

/* A row of the command table, which commands.h explains. */
struct command {
    const char *name;
    int arity;
    unsigned flags;
    int first_key, last_key, key_step;
    command_handler *handler;
    int variant;
    const char *keys, *tips, *group, *since, *syntax, *summary;
};

enum command_samples { SAMPLE_COMMANDS, SAMPLE_INPUT, SAMPLE_OUTPUT, SAMPLES };

/* What MONITOR shows: the last lines of what all workers execute, a ring of bytes that is there while somebody watches.
 * A watcher that is further behind than the ring is long is lost, and nobody waits for it. */
struct feed {
    atomic_uint watchers;     /* written under the lock, as is the next one */
    _Atomic uint64_t written; /* bytes, ever: the next goes to written % FEED_BYTES */
    pthread_mutex_t lock;
    char *ring; /* under the lock: FEED_BYTES, a block of a pool; NULL while there is no watcher */
};

enum feed_limits {
    FEED_BYTES = 1 << 20, /* of the ring */
    FEED_LINE = 4096,     /* of a line; a longer one is cut */
    FEED_PART = 64 << 10  /* handed to a watcher at once */
};

/* What HOTKEYS counts; info.c has the rest of it. */
enum hot_metric { HOT_USES, HOT_CPU, HOT_NET, HOT_METRICS };

struct hotkeys {
    _Atomic int64_t ends_ms; /* it counts until then */
    _Atomic uint32_t ratio;  /* one request in so many */
    pthread_mutex_t lock;
    /* under it */
    struct sketch *sketch; /* one a metric, in one block; NULL: none is kept */
    unsigned metrics;      /* bit i: metric i was asked for */
    int count;             /* of keys that are shown */
    int64_t started_ms;
};

/* What all workers share. */
struct command_server {
    /* set once, before they start */
    struct shards *shards;
    struct registry *registry;
    const struct host *host;
    struct log *log;
    struct pool_budget *client_memory;
    struct metrics **metrics; /* of every thread that counts */
    int metrics_count;
    int64_t started_ms;
    char run_id[41];                 /* forty hexadecimal digits, new at every start */
    void (*shutdown)(void *context); /* asks for an orderly end; returns at once */
    /* Makes `next` the configuration; under config_lock. `text` says what changed; false, and nothing did: why. */
    bool (*reconfigure)(void *context, const struct config *next, char *text, size_t size);
    void *callback_context; /* of both */
    struct command_slot {
        uint64_t letters; /* of the name, in lower case */
        size_t size;
        const struct command *command; /* NULL: free */
    } index[UINT8_MAX + 1];            /* by name; command_init() fills it */

    /* of the last second, and what info_sample() counts from */
    _Atomic uint64_t per_s[SAMPLES];
    int64_t sampled_ms;
    uint64_t sampled[SAMPLES];
    _Atomic uint64_t used_peak_bytes; /* most that entries and index took, looked at once a second */

    _Atomic int64_t paused_until_ms, paused_ms; /* by CLIENT PAUSE: no longer than that, should the clock be set back */
    atomic_bool paused_all;                     /* not only what writes */

    struct feed feed; /* of MONITOR */
    struct hotkeys hotkeys;

    pthread_mutex_t config_lock;
    struct config *config; /* changed under the lock; its atomic fields are read without */
    struct metrics since;  /* what was counted up to CONFIG RESETSTAT */

    struct slowlog {
        pthread_mutex_t lock;
        /* under it */
        int64_t first_id, next_id;                 /* those are kept, the second one excluded */
        struct slow_request *request[SLOWLOG_MAX]; /* number n stands at n % SLOWLOG_MAX */
    } slowlog;
};

/* The name of a row of the command table, in lower case, a subcommand "client|list"; NULL past the end. command.c has
 * it. */
const char *command_name(uint32_t row);

/* What is to be looked at before or behind every request, of whatever client; nearly always nothing is. */
enum unusual {
    UNUSUAL_PAUSED = 1,  /* CLIENT PAUSE holds */
    UNUSUAL_WATCHED = 2, /* somebody said MONITOR */
    UNUSUAL_COUNTED = 4  /* HOTKEYS counts */
};

/* What one worker has of its own, and of what all share. */
struct command_context {
    struct command_server *server;
    struct shards *shards;
    const struct config *config;
    struct metrics *metrics;
    struct pool *pool;
    int64_t now_ms;  /* wall clock, read once a turn and once for 16 requests */
    uint64_t random; /* not 0: for RANDOMKEY, not for secrets */
    uint8_t unusual; /* enum unusual, when the clock was last looked at */
    bool put_off;    /* a request was refused before it was executed, or queued: its time is no command's */
};

struct call {
    struct command_context *context;
    const struct command *command; /* NULL until it is known */
    struct client *client;
    struct slice *argv;
    int argc;
    bool in_exec;      /* within a transaction: its shards are held, and each command comes to its end */
    bool failed;       /* an error was answered */
    uint32_t database; /* the client's */
    struct buf *out;
    struct shards *shards;
    const struct slice *key; /* that it is about: argv[1], or one after the other */
    uint64_t hash;           /* of the key, as it was when that was looked at: lock() sees to it */
    struct lru *lru;         /* its shard, while that is locked */
    int64_t now_ms;
    size_t start;      /* where in `out` its reply begins */
    uint32_t row;      /* of the command in the table */
    size_t error_room; /* in_exec only: how much longer than a number its errors may be */
};

/* The next of a sequence that is good enough for what is no secret. */
static inline uint64_t next_random(uint64_t *x) {
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

/* ---- replies; those that return a result are a handler's last words ---- */

/* The client's version of the protocol. */
static inline int resp_of(const struct call *c) { return relaxed_load(c->client->resp); }

/* Answers with an error. Called in a hundred places, none of them hot: inlined it would be 14 KB. */
__attribute__((noinline, unused)) static enum command_result call_error(struct call *c, struct slice text) {
    if (c->in_exec && c->error_room >= text.n)
        c->error_room -= text.n;
    else if (c->in_exec)
        text.n = (size_t)((const char *)memchr(text.p, ' ', text.n) - text.p); /* each begins with its code */
    resp_error(c->out, text);
    metrics_error(c->context->metrics, text.p);
    c->failed = true;
    return COMMAND_DONE;
}

__attribute__((format(printf, 2, 3))) static inline enum command_result error_format(struct call *c, const char *format,
                                                                                     ...) {
    char text[ERROR_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t size = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    return call_error(c, (struct slice){text, size});
}

/* Writes a reply of several values: as resp_put(). */
#define put(c, ...) resp_put((c)->out, resp_of(c), __VA_ARGS__)

/* An error whose text is a literal. */
#define ERROR(c, text) call_error(c, SLICE(text))

static inline enum command_result syntax_error(struct call *c) { return ERROR(c, "ERR syntax error"); }

static inline enum command_result not_an_integer(struct call *c) {
    return ERROR(c, "ERR value is not an integer or out of range");
}

static inline enum command_result wrong_arity(struct call *c) {
    return error_format(c, "ERR wrong number of arguments for '%s' command", c->command->name);
}

static inline enum command_result ok(struct call *c) {
    buf_put_slice(c->out, SLICE("+OK\r\n")); /* the most frequent reply of all but values, composed once */
    return COMMAND_DONE;
}

static inline enum command_result integer(struct call *c, int64_t value) {
    resp_integer(c->out, value);
    return COMMAND_DONE;
}

static inline enum command_result null(struct call *c) {
    resp_null(c->out, resp_of(c));
    return COMMAND_DONE;
}

static inline enum command_result bulk(struct call *c, struct slice bytes) {
    resp_bulk(c->out, bytes);
    return COMMAND_DONE;
}

/* Which of the words, apart by one space each, it is; -1: none. */
static inline int one_of(struct slice s, const char *words) {
    for (int i = 0; *words; i++) {
        size_t n = strcspn(words, " ");
        if (is_word(s, (struct slice){words, n})) return i;
        words += n + (words[n] == ' ');
    }
    return -1;
}

/* The bytes of an argument that an error shows, for "%.*s": of a name, and of an option. */
static inline int shown_bytes(struct slice s) { return s.p == NULL ? 0 : s.n < SHOWN_BYTES ? (int)s.n : SHOWN_BYTES; }

/* Both arguments of that "%.*s". */
#define SHOWN(s) shown_bytes(s), (s).p ? (s).p : ""

static inline int shown_option(struct slice s) { return s.n < ERROR_BYTES / 2 ? (int)s.n : ERROR_BYTES / 2; }

/* A database's index. False: the error is answered. */
static inline bool database_of(struct call *c, struct slice text, uint32_t *database) {
    int64_t v;
    if (!resp_integer_of(text, &v)) return not_an_integer(c), false;
    if (v < INT32_MIN || v > INT32_MAX)
        return error_format(c, "ERR value is out of range, value must between %d and %d", INT32_MIN, INT32_MAX), false;
    if (v < 0 || v >= c->context->config->databases) return ERROR(c, "ERR DB index is out of range"), false;
    *database = (uint32_t)v;
    return true;
}

#endif
