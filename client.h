/* client.h -- the registry of connections: id, address, name, and what CLIENT LIST tells of them.
 *
 * It hands out the memory of connections, records of a size that its user chooses, each beginning with a struct
 * client; a record costs nothing until it is used, and is used again when its connection is gone. */
#ifndef SPONSON_CLIENT_H
#define SPONSON_CLIENT_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "buf.h"

/* What is not usual about a client; nearly always nothing is. */
enum client_mode {
    CLIENT_LOCKED_OUT = 1, /* it has to authenticate first */
    CLIENT_MULTI = 2,      /* requests are queued until EXEC */
    CLIENT_MUTE = 4,       /* CLIENT REPLY OFF */
    CLIENT_SKIP = 8,       /* CLIENT REPLY SKIP: the next request is not answered */
    CLIENT_NO_TOUCH = 16,
    CLIENT_NO_EVICT = 32,
    CLIENT_MONITOR = 64 /* it gets all that is executed, and is far from the keys, as in Redis */
};

struct transaction; /* what command.c keeps of MULTI and WATCH */

enum client_limits {
    CLIENT_NAME_MAX = 256,
    CLIENT_LIBRARY_MAX = 64,
    CLIENT_ADDRESS_MAX = 128
}; /* bytes: ten thousand clients have them */

/* What a command that was suspended goes on with. */
struct suspended {
    int64_t next;     /* argument or record that comes next */
    uint64_t cursor;  /* of a walk over all keys */
    int64_t count;    /* of what was found so far */
    struct buf reply; /* collected for later; a block of the worker's pool, or p is NULL */
    size_t start;     /* where in `reply` what is to be sent begins */
};

/* An address of a socket; what a client keeps of one is as long as that of IPv6. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port), "the port of both");
_Static_assert(offsetof(struct sockaddr_in, sin_addr) == offsetof(struct sockaddr_in6, sin6_flowinfo), "IPv4");

struct client {
    /* set by client_new() */
    uint64_t id; /* 0: the record is free */
    int64_t created_ms;
    struct sockaddr_in6 address; /* the peer's; of IPv4 as much of a sockaddr_in, of a unix socket only the family counts */
    int fd;                      /* here it fills a hole: with what its owner adds a record is four cache lines */
    const void *owner;           /* its worker */
    struct client *next_free;

    /* owning worker only */
    struct suspended suspended;
    struct transaction *transaction; /* a block of the worker's pool; NULL: there is none */

    /* written by the owner, read by anyone */
    _Atomic uint8_t resp;  /* protocol version: 2 or 3 */
    _Atomic uint8_t modes; /* enum client_mode */
    _Atomic uint8_t database;
    _Atomic uint32_t queued;       /* requests of its transaction */
    _Atomic int64_t active_ms;     /* last time that a request came */
    _Atomic int64_t locked_ms;     /* since when it has to authenticate */
    _Atomic uint32_t last_command; /* its row in the command table */
    _Atomic uint32_t input_bytes;  /* held for it: a request that is not whole, or waits */
    _Atomic uint32_t output_bytes; /* held for it: replies that its socket did not take, or that are collected */
    _Atomic uint32_t multi_bytes;  /* held for its transaction and what it watches */

    /* under the registry's lock */
    bool evicted; /* its socket was shut because it held too much */
    char *name;   /* NULL: none; so are the next two */
    char *lib_name;
    char *lib_version;
};

/* What it holds of client-memory. */
static inline size_t client_bytes(const struct client *c) {
    return (size_t)relaxed_load(c->input_bytes) + relaxed_load(c->output_bytes) + relaxed_load(c->multi_bytes);
}

struct registry {
    /* set once */
    char *records;
    size_t record_bytes;
    uint32_t capacity;
    const char *(*command_name)(uint32_t last_command); /* as CLIENT LIST shows it; command_init() sets it */

    atomic_uint limit; /* no more connections than these, of the capacity */
    pthread_mutex_t lock;
    /* under lock */
    uint64_t next_id;
    struct client *free; /* the first of those below `high` that are free */
    atomic_uint count;   /* of connections; read by anyone, as is the next one */
    atomic_uint high;    /* records at and above it were never used */
};

/* Room for `capacity` records of `record_bytes`; the limit is as much. False: out of memory. */
bool registry_init(struct registry *r, uint32_t capacity, size_t record_bytes);
void registry_release(struct registry *r);

/* A zeroed record with its struct client filled in, or NULL when all are in use. `address` is the peer's. */
struct client *client_new(struct registry *r, int fd, const struct sockaddr_storage *address, const void *owner,
                          int64_t now_ms);

/* Takes the record out of the registry and frees it. The caller closes fd after that: who finds a record may use it. */
void client_free(struct registry *r, struct client *c);

/* Record i, which may be free (id 0). Only its owner may use it without the lock. */
static inline struct client *registry_record(const struct registry *r, uint32_t i) {
    return (struct client *)(void *)(r->records + (size_t)i * r->record_bytes);
}

/* Copies `text` into one of the fields under lock; an empty one clears it. False: out of memory. The owner alone
 * calls, so it may read them without the lock. */
bool client_set_text(struct registry *r, char **field, struct slice text);

/* Writes the peer's address, or our `own` end's, as CLIENT LIST shows it to `to` (CLIENT_ADDRESS_MAX bytes), with a NUL.
 * For a unix socket both are its path. */
void client_address(const struct client *c, bool own, char *to);

/* The same of an address that is no unix socket's. */
void client_address_text(char *to, const struct sockaddr_in6 *a);

/* The next client of an owner among the records from *at up to `end`; *at is moved behind it. NULL: there is none. */
struct client *registry_next(struct registry *r, const void *owner, uint32_t *at, uint32_t end);

/* Which clients are meant: those for which all holds that is set. */
struct client_filter {
    bool nobody;             /* a type or user that no client has */
    const struct slice *ids; /* decimal numbers, id_count of them; NULL: any */
    int id_count;
    struct slice addr, laddr;  /* as CLIENT LIST shows them; p is NULL: any */
    uint64_t not_id;           /* 0: any */
    int64_t created_before_ms; /* 0: any */
};

/* What is done to them: their lines of CLIENT LIST are written; or, without `out`, their sockets are shut, so that their
 * workers close them. */
struct client_visit {
    struct buf *out; /* `full` when they do not fit */
    int64_t now_ms;
    uint64_t own_id; /* of who asks: its socket stays open */
    int64_t found;   /* so many were added to what was here; ... */
    bool own;        /* ... one of them asks */
};

/* Does so to records `from` up to `from + most`; returns the next record to go on with, or -1 at the end. */
int64_t registry_visit(struct registry *r, const struct client_filter *f, int64_t from, int most,
                       struct client_visit *v);

enum { EVICTED_AT_ONCE = 8, CLIENT_LINE_MAX = 1024 };

/* Who is to make room. */
struct eviction {
    /* given */
    const atomic_size_t *used; /* of client-memory */
    size_t level;              /* what is to be used once all that were shut are gone */
    size_t least;              /* who holds no more stays */
    const void *owner;         /* the worker that asks */
    int64_t now_ms;
    /* found */
    bool relief; /* some that were shut, by this call or an earlier one, are still there */
    int count;
    struct {
        struct client *client;      /* NULL when it is not the owner's: its record may be gone */
        char line[CLIENT_LINE_MAX]; /* of CLIENT LIST, without its end */
    } closed[EVICTED_AT_ONCE];
};

/* Shuts the sockets of the clients that hold most memory: first those that have not authenticated, whatever the others
 * hold; never those with NO-EVICT. */
void registry_evict(struct registry *r, struct eviction *e);

/* Its line of CLIENT LIST. The owner calls, who alone changes the names in it, or somebody who has the registry's lock. */
void client_describe(const struct registry *r, const struct client *c, int64_t now_ms, struct buf *out);

#endif
