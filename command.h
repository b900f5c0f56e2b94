/* command.h -- the command table, and how a request is executed: argv in, reply out.
 *
 * A worker takes each request through these steps, with other requests' steps between them, so that the memory that
 * one request waits for is fetched while others are looked at:
 *
 *   command_prepare()   which command, the hash of its key, fetch the bucket
 *   command_fetch()     find the entry in the bucket, fetch it
 *   command_fetch_links()  fetch what a hit will write
 *   command_execute()   do it
 *
 * No socket, no epoll: a test calls these with arrays of slices. */
#ifndef SPONSON_COMMAND_H
#define SPONSON_COMMAND_H

#include <pthread.h>
#include <stdatomic.h>

#include "call.h"

enum command_index { COMMAND_SLOTS = 256 };
enum command_samples { SAMPLE_COMMANDS, SAMPLE_INPUT, SAMPLE_OUTPUT, SAMPLES };

struct host;

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

/* What all workers share. */
struct command_server {
    /* set once, before they start */
    struct shards *shards;
    struct registry *registry;
    const struct host *host;
    struct pool_budget *client_memory;
    struct metrics **metrics; /* of every thread that counts */
    int metrics_count;
    int64_t started_ms;
    char run_id[41];                 /* forty hexadecimal digits, new at every start */
    void (*shutdown)(void *context); /* asks for an orderly end; returns at once */
    /* Makes `next` the configuration; under config_lock. False, and nothing changed: `error` says why. */
    bool (*reconfigure)(void *context, const struct config *next, char *error, size_t error_size);
    void *callback_context; /* of both */
    struct command_slot {
        uint64_t letters; /* of the name, in lower case */
        size_t size;
        const struct command *command; /* NULL: free */
    } index[COMMAND_SLOTS];            /* by name; command_init() fills it */

    /* of the last second, and what command_sample() counts from */
    _Atomic uint64_t per_s[SAMPLES];
    int64_t sampled_ms;
    uint64_t sampled[SAMPLES];

    _Atomic int64_t paused_until_ms, paused_ms; /* by CLIENT PAUSE: no longer than that, should the clock be set back */
    atomic_bool paused_all;                     /* not only what writes */

    struct feed feed; /* of MONITOR */

    pthread_mutex_t config_lock;
    struct config *config;       /* changed under the lock; its atomic fields are read without */
    struct metrics_totals since; /* under the lock: what was counted up to CONFIG RESETSTAT */
};

struct request {
    struct slice *argv; /* argc >= 1 of them; p is NULL where an argument was too long to be kept */
    int argc;
    bool resumed;         /* it answered COMMAND_AGAIN before */
    bool sizes_are_right; /* no argument is longer than command_argument_safe(): saves looking at each */
    /* between the steps */
    uint32_t ref;
    const struct command *command;
    const struct lru *ahead; /* the shard of the first key, to fetch from; NULL: there is no key */
    uint64_t hash;           /* of the first key */
};

/* Fills server->index and makes the lock. */
void command_init(struct command_server *server);

/* What a new client may do: with a password set, only authenticate. */
void command_greet(struct command_server *server, struct client *client, int64_t now_ms);

/* Works out the rates that INFO shows, since the last call: one worker does, once a second. */
void command_sample(struct command_server *server, int64_t now_ms);

/* Whether CLIENT PAUSE holds. */
bool command_is_paused(const struct command_server *server, int64_t now_ms);

/* What context->unusual is to say to command_execute() from now on. No pause holds up an end. */
uint8_t command_unusual(const struct command_server *server, int64_t now_ms, bool ending);

/* Puts the lines of the feed that stand behind *seen into `out`, which is empty and has room for FEED_PART bytes, and
 * moves *seen behind them; with no room, only looks. False: they are not there any more. */
bool command_feed_read(struct feed *f, uint64_t *seen, struct buf *out);

void command_prepare(const struct command_context *c, const struct client *client, struct request *r);
void command_fetch(struct request *r);
void command_fetch_links(const struct request *r);

/* Executes one request, appending its reply to `out`, which has command_reply_room() bytes left. */
enum command_result command_execute(struct command_context *c, struct client *client, const struct request *r,
                                    struct buf *out);

/* What a reply may take at most: the largest value, and as much again as any list that is answered at once. */
static inline size_t command_reply_room(const struct shards *shards) {
    return shards_value_room(shards) + LIST_REPLY_BYTES;
}

/* And the most that this becomes, whatever CONFIG SET does. */
size_t command_reply_room_max(const struct shards *shards);

/* The longest argument that a request may bring; the parser keeps no bytes of a longer one. */
size_t command_argument_max(const struct config *config);

/* An argument of at most so many bytes is within every limit. */
size_t command_argument_safe(const struct config *config);

/* Returns to the pool what a suspended command of this client holds, and its transaction. */
void command_forget(struct command_context *c, struct client *client);

/* The table, for documents and tests: row i, in lower case; NULL past the end. Subcommands are "client|list". */
const char *command_name(uint32_t row);
const char *command_last_name(uint32_t last_command); /* of client->last_command; "NULL" when there was none */
const char *command_syntax(uint32_t row);
const char *command_summary(uint32_t row);

#endif
