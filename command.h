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

#include "call.h"

struct request {
    struct slice *argv; /* argc >= 1 of them; p is NULL where an argument was too long to be kept */
    int argc;
    bool resumed;         /* it answered COMMAND_AGAIN before */
    bool sizes_are_right; /* no argument is longer than command_argument_safe(): saves looking at each */
    bool timed;           /* it may take long; so may others that command_prepare() finds */
    /* between the steps */
    uint32_t ref;
    const struct command *command;
    const struct lru *ahead; /* the shard of the first key, to fetch from; NULL: there is no key */
    uint64_t hash;           /* of the first key */
};

/* Fills server->index, makes the lock, and tells the registry the names of commands. */
void command_init(struct command_server *server);

/* What a new client may do: with a password set, only authenticate. */
void command_greet(struct command_server *server, struct client *client, int64_t now_ms);

/* What context->unusual is to say to command_execute() from now on, whether CLIENT PAUSE holds among it. No pause holds
 * up an end. */
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

/* The table, for documents and tests, as command_name(). */
const char *command_syntax(uint32_t row);
const char *command_summary(uint32_t row);

#endif
