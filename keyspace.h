/* keyspace.h -- the handlers of commands on keys and values. Each is headed by its syntax in keyspace.c. */
#ifndef SPONSON_KEYSPACE_H
#define SPONSON_KEYSPACE_H

#include "call.h"

command_handler cmd_append, cmd_copy, cmd_dbsize, cmd_del, cmd_delex, cmd_exists, cmd_expire, cmd_flush, cmd_get,
    cmd_getdel, cmd_getex, cmd_getrange, cmd_increment, cmd_incrbyfloat, cmd_keys, cmd_memory_usage, cmd_mget, cmd_move,
    cmd_mset, cmd_msetex, cmd_object, cmd_persist, cmd_randomkey, cmd_rename, cmd_scan, cmd_set, cmd_setex,
    cmd_setrange, cmd_strlen, cmd_swapdb, cmd_touch, cmd_ttl, cmd_type;

/* What tells commands of one handler apart: the row's `variant`. Of a time: */
enum variant_time { VARIANT_SECONDS = 1, VARIANT_UNIX = 2 };
/* INCR, DECR, INCRBY, DECRBY */
enum variant_increment { VARIANT_DOWN = 1, VARIANT_BY = 2 };
/* RENAME; DELEX; FLUSHALL, FLUSHDB */
enum variant_other { VARIANT_NX = 1, VARIANT_IFEQ = 1, VARIANT_ALL = 1 };
/* OBJECT, MEMORY USAGE */
enum variant_object { VARIANT_ENCODING, VARIANT_FREQ, VARIANT_IDLETIME, VARIANT_REFCOUNT, VARIANT_BYTES };
/* SET and its kin: the options that they have without being asked. */
enum set_time { SET_EX = 1, SET_PX = 2, SET_EXAT = 4, SET_PXAT = 8, SET_TIME = 15 };
enum set_ttl { SET_KEEPTTL = 16, SET_PERSIST = 32, SET_ANY_TTL = SET_TIME | SET_KEEPTTL | SET_PERSIST };
enum set_condition { SET_NX = 64, SET_XX = 128, SET_IFEQ = 256, SET_CONDITION = SET_NX | SET_XX | SET_IFEQ };
enum set_get { SET_GET = 512 };

#define COLLECT_FIRST (64u << 10) /* first size of a collected reply */
#define COLLECT_HEADER 32         /* room before it for its header */

/* What is done with one of many keys, c->key, while its shard is locked. */
typedef void key_function(struct call *c);

/* Calls each() for argv[1] and all behind it, in pieces, with their memory fetched ahead; what it adds to the reply is
 * `room` at most. COMMAND_DONE: that was the last. */
enum command_result each_key(struct call *c, size_t room, key_function *each);

/* Whether a number is written out, but for a small exponent: then INCRBYFLOAT makes no more characters of it than it has
 * (eight more, at most), or 60. What is 2^64 or more has no digits behind the point. */
bool is_plain_float(struct slice text);

/* Makes `bytes` of room in the client's collected reply, twice of all when they were too few. False: it would pass
 * what may wait for one client. */
bool collect_room(struct call *c, size_t bytes);

/* Answers that, and forgets what was collected. */
enum command_result collect_failed(struct call *c, const char *instead);

/* Puts the header before what was collected: the format of it takes a size. */
enum command_result collected(struct call *c, const char *format, size_t size);

/* Returns to the pool what the client's suspended command has collected. */
void collect_forget(struct pool *pool, struct client *client);

#endif
