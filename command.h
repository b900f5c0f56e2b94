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

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "client.h"
#include "config.h"
#include "metrics.h"
#include "shard.h"
#include "slice.h"

enum command_index { COMMAND_SLOTS = 256 };

struct command;

/* What all workers share. Set once, before they start. */
struct command_server {
    struct shards *shards;
    struct registry *registry;
    const struct config *config;
    struct pool_budget *client_memory;
    struct metrics **metrics; /* of every thread that counts */
    int metrics_count;
    int64_t started_ms;
    char run_id[41];                 /* forty hexadecimal digits, new at every start */
    void (*shutdown)(void *context); /* asks for an orderly end; returns at once */
    void *shutdown_context;
    struct command_slot {
        uint64_t letters; /* of the name, in lower case */
        size_t size;
        const struct command *command; /* NULL: free */
    } index[COMMAND_SLOTS];            /* by name; command_init() fills it */
};

/* What one worker has of its own. */
struct command_context {
    struct command_server *server;
    struct metrics *metrics;
    struct pool *pool;
    int64_t now_ms; /* wall clock, read once a turn and once for 16 requests */
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

enum command_result {
    COMMAND_DONE,      /* its reply is in `out` */
    COMMAND_AGAIN,     /* a part is done: call again with the same request in the next turn, when `out` is sent */
    COMMAND_COLLECTED, /* as COMMAND_DONE, and client->suspended.reply holds more to be sent after `out`; the caller
                          takes the block over, and sends it from suspended.start on */
    COMMAND_CLOSE      /* as COMMAND_DONE, and the connection is to be closed once that is sent */
};

/* Fills server->index. */
void command_init(struct command_server *server);

void command_prepare(const struct command_context *c, struct request *r);
void command_fetch(struct request *r);
void command_fetch_links(const struct request *r);

/* Executes one request, appending its reply to `out`, which has command_reply_room() bytes left. */
enum command_result command_execute(struct command_context *c, struct client *client, const struct request *r,
                                    struct buf *out);

/* What a reply may take at most: the largest value, and as much again as any list that is answered at once. */
size_t command_reply_room(const struct config *config);

/* The longest argument that a request may bring; the parser keeps no bytes of a longer one. */
size_t command_argument_max(const struct config *config);

/* An argument of at most so many bytes is within every limit. */
size_t command_argument_safe(const struct config *config);

/* Returns to the pool what a suspended command of this client holds. */
void command_forget(struct command_context *c, struct client *client);

/* The table, for documents and tests: row i, in lower case; NULL past the end. Subcommands are "client|list". */
const char *command_name(uint32_t row);
const char *command_syntax(uint32_t row);
const char *command_summary(uint32_t row);

#endif
