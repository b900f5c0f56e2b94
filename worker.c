/* worker.c -- one event loop per thread: reads requests, has them executed, writes replies.
 *
 * Owns    struct conn, from worker_add() to its close at the end of a turn; the buffers that all its connections
 *         share while a turn lasts:
 *
 *   input   what the sockets of a group brought: requests are parsed and executed where they lie
 *   output  the replies of a group, one segment a connection, each sent with one call
 *
 *         A connection owns nothing between turns but its record, unless it has to wait (struct waiting): for the
 *         rest of a request, for its next turn, or for its socket to take more. These buffers come from the pool.
 *
 * Turn    wait; read and execute the ready connections in groups; go on with those that were interrupted; write; a
 *         bounded piece of upkeep; close. Close is last, so no event of a turn meets a connection that is gone.
 *         A turn that has lasted TURN_MS gives everybody one more request: bytes do not tell what requests cost. Those
 *         who moved much in their last turn, or lately had a request that took long, come after all others, and wait
 *         when that time is over.
 *         A group is some sixteen connections, or fewer that bring much: all are received, then their requests go
 *         through a belt, over connections and pipelines alike: with each request that is parsed, the one STAGE
 *         before it fetches its entry, the one before that its neighbours, and the one before that is executed. So
 *         nobody waits for memory, and the fetches are spread evenly: a core has some twenty under way at most.
 *
 * Waiting A connection whose socket is full is not read and nothing is executed for it until all is sent: so what
 *         waits for one client never is more than one turn's output and one reply. A command that is suspended keeps
 *         its request's bytes and arguments here. A client that brings more than one turn's worth goes to the end of
 *         the line.
 *
 * True    between turns: a connection is in exactly one state of enum state; it has a struct waiting if and only if
 *         something waits; the group, the belt and the output are empty.
 * Threads all but worker_add(), worker_stop() and worker_connections() is done by the worker's own thread.
 *         Its connections are those of the registry whose owner it is.
 * Failure no memory for a buffer, or more output than client-output-buffer-limit, closes that connection, and the log
 *         says so; nothing else suffers. */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <unistd.h>

#include "info.h"
#include "log.h"
#include "resp.h"

#define EVENTS_MAX 256
#define GROUP_MAX 16             /* connections read before their requests are executed */
#define GROUP_BYTES (8u << 10)   /* or fewer, when they bring so much: it should stay in the first cache */
#define BELT 32                  /* requests that are parsed and not executed: a power of two, ... */
#define STAGE 8                  /* ... more than three stages of so many */
#define CLOCK_REQUESTS 16        /* requests executed between two looks at the clock: a tenth of the time of one */
#define BELT_ARGS 6              /* arguments of a request on the belt; one that has more is executed alone */
#define RECEIVE_MAX (66u << 10)  /* of one connection and turn: a request with a value of 64 KB arrives whole */
#define OUTPUT_SEND (64u << 10)  /* output is sent when it is so much, and not only at the end of a group */
#define OUTPUT_TURN (1u << 20)   /* a connection that has produced so much in a turn waits for the next one */
#define ARGV_SLICES 1024         /* arguments of a request in the worker's own memory; one that has more gets its own */
#define GROW_MIN (4u << 10)      /* room made for the rest of a request: as much again as came, ... */
#define GROW_MAX (256u << 10)    /* ... within these bounds, so that a promise of megabytes costs nothing */
#define HEAVY_BYTES (128u << 10) /* who moved so much in a turn comes after the others in the next one */
#define SLOW_US 200              /* a request that takes so long makes its connection heavy, ... */
#define SLOW_TURNS 64            /* ... for so many turns */
#define TIMED_FEW 1024           /* requests that are timed after sixteen that took over a ms: it may be chance */
#define TIMED_LONG 65536         /* the same after one that took SLOW_US */
#define LONG_REQUEST (4u << 10)  /* one of so many bytes is timed */
#define LONG_REPLY (16u << 10)   /* after one of so many bytes the clock is looked at before the next request */
#define TURN_MS 4                /* a turn that has lasted so long gives everybody one more request, and ends */
#define RECEIVE_LATE (4u << 10)  /* and reads no more than this of who comes late */
#define OUTPUT_KEPT (256u << 10) /* of the shared output that stays resident */
#define RELIEF_MS 10             /* so often at most clients are looked through for those who hold most memory */
#define TICK_MS 100              /* upkeep and time-outs are looked at so often */
#define FEED_MS 10               /* what MONITOR shows is looked for so often */
#define UPKEEP_PIECES 2          /* bounded pieces of upkeep a turn */
#define LINGER_MS 2000           /* a closed connection's last words may take so long to be read, ... */
#define LINGER_LAST_MS 200       /* the same, when the server itself ends */
#define LINGER_BYTES (16u << 20) /* ... and so much is read and dropped meanwhile */

enum state {
    READING,   /* its socket is asked for requests */
    SENDING,   /* its socket is full: asked only for room */
    QUEUED,    /* on the list of those that go on in the next turn; events are left alone */
    PAUSED,    /* on the list of those that go on when CLIENT PAUSE is over; asked only whether the peer is gone */
    LINGERING, /* said its last words; reads on, so that they are not lost with a reset */
    CLOSED     /* on the list of those that are freed at the end of the turn */
};

/* Bytes that wait in a block of the pool: [from, to) of it. */
struct held {
    char *p; /* NULL: none */
    size_t cap, from, to;
};

/* What a connection holds while it waits. */
struct waiting {
    struct held in;      /* received, not executed */
    bool scanning;       /* the request at in.from is not whole; `scan` looks for its end */
    size_t argument_max; /* as it was when that began: it tells what is taken out of the request */
    bool stripped;       /* arguments that were too long have been taken out of it */
    struct resp_scan scan;

    struct request
        request; /* at in.from, which is suspended, or has very many arguments; argv is NULL: there is none */
    size_t argv_cap;
    size_t request_bytes;
    uint64_t took_ns; /* in the turns before */

    struct held out; /* what the socket did not take */
};

struct conn {
    struct client client;    /* first: the registry knows only this */
    struct waiting *waiting; /* NULL: nothing waits */
    struct conn *next;       /* QUEUED, PAUSED or CLOSED */
    uint8_t state;
    uint8_t heavy;             /* turns for which it comes after those that ask little */
    bool known;                /* it had a turn */
    bool close_after_output;   /* then it lingers */
    atomic_bool watched;       /* the epoll has it */
    uint32_t linger_bytes;     /* dropped since */
    struct conn *next_watcher; /* those that said MONITOR, ... */
    uint64_t seen;             /* ... and what they have got of the feed, in bytes, ever */
};

static_assert(sizeof(struct conn) <= 256, "what an idle connection costs");

/* A connection's part in the group that is being executed. */
struct part {
    struct conn *c;
    char *in; /* bytes to execute, [0, size) */
    size_t size;
    size_t parsed; /* so far put on the belt */
    size_t done;   /* so far executed */
    size_t output; /* bytes it produced in this turn */
    bool shared;   /* `in` lies in worker->input: what is left must be saved */
    bool stop;     /* nothing more of it in this turn */
    bool again;    /* but there is something for the next one, ... */
    bool wait;     /* ... or for when CLIENT PAUSE is over */
    bool locked;   /* it has not authenticated, when that was last looked at */
    bool slow;     /* one of its requests took SLOW_US */
};

struct staged {
    struct request request;
    struct part *part;
    size_t from, to; /* of the request in part->in */
    struct slice argv[BELT_ARGS];
};

struct segment {
    struct conn *c;
    size_t from; /* in output; it ends where the next one begins */
};

struct worker {
    /* set once */
    struct command_server *server;
    int index, count;
    int epoll;
    int wake; /* an eventfd: worker_stop() was called */
    size_t argument_max, argument_safe;
    pthread_t thread;

    /* own thread only */
    struct command_context context;
    int64_t turn_ms;  /* when this turn began */
    uint64_t turn_ns; /* the same by the clock that nobody sets, which is coarse */
    bool slow_known;  /* a request was found to be slow since the clock was looked at */
    uint32_t turns;
    struct pool pool;
    struct metrics metrics; /* read by others */
    struct buf output;
    size_t output_mapped; /* bytes of address space for `output`, of which CONFIG SET may make more use */
    struct part parts[GROUP_MAX];
    int part_count;
    size_t input_used;
    struct staged belt[BELT];  /* number n stands at n % BELT */
    uint32_t parsed, executed; /* requests put on the belt and taken from it, ever */
    uint32_t clock_left;       /* requests until the clock is looked at */
    bool late;                 /* the turn has lasted its time */
    uint32_t timed_left;       /* requests that are timed, since some take long */
    struct slice argv[ARGV_SLICES];
    struct segment segments[GROUP_MAX];
    int segment_count;
    struct conn *queue; /* connections that go on in the next turn, first to last */
    struct conn **queue_end;
    struct conn *closed;
    struct conn *paused;  /* connections that go on when CLIENT PAUSE is over */
    int64_t tick_ms;      /* when the next tick is due */
    uint32_t upkeep_next; /* shard; SHARDS or more: this tick has done all */
    bool upkeep_again;    /* one of those before it has more to be done */
    uint32_t look_next;   /* record where the search for time-outs goes on */
    int ticks;
    struct conn *watchers;     /* connections that said MONITOR, ... */
    struct conn *watched_next; /* ... where the next turn goes on with them, ... */
    bool fed;                  /* ... and whether one got something in this turn: there may be more */
    int64_t relieved_ms;       /* when client-memory was last looked through for who holds most: ... */
    bool relief;               /* ... somebody who has to give it back was found */

    /* shared */
    atomic_uint connections;
    _Atomic uint64_t stop_at_ns; /* at the latest, by the clock that nobody sets; 0: it goes on */

    char input[GROUP_BYTES + 2 * RECEIVE_MAX]; /* own thread only */
};

size_t worker_record_bytes(void) { return sizeof(struct conn); }

/* ---- connections ---- */

/* Its next connection among the records from *at up to `end`; *at is moved behind it. NULL: there is none. */
static struct conn *next_conn(struct worker *w, uint32_t *at, uint32_t end) {
    return (struct conn *)registry_next(w->server->registry, w, at, end);
}

bool worker_add(struct worker *w, int fd, const struct sockaddr_storage *peer, int64_t now_ms) {
    struct client *client = client_new(w->server->registry, fd, peer, w, now_ms);
    if (client == NULL) return false;
    struct conn *c = (struct conn *)client;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    command_greet(w->server, client, now_ms);
    char from[CLIENT_ADDRESS_MAX];
    client_address_text(from, &client->address);
    log_line(w->server->log, LOG_LEVEL_VERBOSE, "client id=%" PRIu64 " addr=%s connected", client->id, from);
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        client_free(w->server->registry, client);
        return false;
    }
    atomic_fetch_add_explicit(&w->connections, 1, memory_order_relaxed); /* it may be gone already, and then it is 0 */
    relaxed_store(c->watched, true);
    return true;
}

unsigned worker_connections(const struct worker *w) { return relaxed_load(w->connections); }

/* Takes the first connection from a list, or from a place within it. */
static struct conn *take(struct conn **from) {
    struct conn *c = *from;
    *from = c->next;
    c->next = NULL;
    return c;
}

/* Marks a connection as closed; it is freed at the end of the turn. */
static void conn_close(struct worker *w, struct conn *c) {
    if (c->state == CLOSED) return;
    assert(c->state != QUEUED);
    c->state = CLOSED;
    c->next = w->closed;
    w->closed = c;
}

static void conn_watch(struct worker *w, struct conn *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->client.fd, &event) != 0) conn_close(w, c);
}

/* The connection goes on in the next turn, or when CLIENT PAUSE is over, whatever its socket says. */
static void conn_queue(struct worker *w, struct conn *c, bool wait) {
    struct conn **at = wait ? &w->paused : w->queue_end;
    if (wait) conn_watch(w, c, EPOLLRDHUP);
    if (c->state == CLOSED) return;
    c->state = wait ? PAUSED : QUEUED;
    c->next = *at;
    *at = c;
    if (!wait) w->queue_end = &c->next;
}

/* Everything is said: tell the peer, and read on until it has closed too, lest a reset takes our last words. */
static void conn_linger(struct worker *w, struct conn *c) {
    relaxed_store(c->client.active_ms, w->context.now_ms); /* from now on it lingers, LINGER_MS at most */
    if (shutdown(c->client.fd, SHUT_WR) == 0)
        c->state = LINGERING;
    else
        conn_close(w, c);
}

/* ---- what waits ---- */

static void drop(struct worker *w, struct held *h) {
    pool_put(&w->pool, h->p, h->cap);
    *h = (struct held){0};
}

/* Closes those who hold most of client-memory until `level` bytes are left; nobody who holds `least` or fewer. One of this
 * worker that waits for its socket gives its memory back now, others when they notice: `relief` is on its way. */
static void relieve(struct worker *w, size_t level, size_t least) {
    int64_t since_ms = w->context.now_ms - w->relieved_ms;
    if (since_ms >= 0 && since_ms < RELIEF_MS) return;
    w->relieved_ms = w->context.now_ms;
    struct pool_budget *budget = w->server->client_memory;
    struct eviction e = {
        .used = &budget->used_bytes, .level = level, .least = least, .owner = w, .now_ms = w->context.now_ms};
    registry_evict(w->server->registry, &e);
    w->relief = e.relief;
    for (int i = 0; i < e.count; i++) {
        struct conn *c = (struct conn *)e.closed[i].client;
        metrics_add(&w->metrics.evicted_clients, 1);
        log_line(w->server->log, LOG_LEVEL_WARNING,
                 "client closed: client-memory (%zu bytes) is nearly used up, and it holds most; with more it could "
                 "stay: %s",
                 budget->limit_bytes, e.closed[i].line);
        if (c == NULL || c->state != SENDING) continue;
        drop(w, &c->waiting->out);
        conn_close(w, c);
    }
}

/* At the end of a turn: an eighth of client-memory is kept free for what the next one brings. */
static void relieve_early(struct worker *w) {
    size_t used = relaxed_load(w->server->client_memory->used_bytes);
    size_t limit = relaxed_load(w->server->client_memory->limit_bytes);
    if (used > limit - limit / 8) relieve(w, limit - limit / 8, 0);
}

static bool is_locked_out(const struct conn *c) { return relaxed_load(c->client.modes) & CLIENT_LOCKED_OUT; }

/* A block for c, or one that takes the place of its block p as pool_grow() has it. Where there is no room, who holds
 * more than c would then makes some. */
static void *get_block(struct worker *w, const struct conn *c, char *p, size_t *cap, size_t used, size_t bytes) {
    size_t limit = relaxed_load(w->server->client_memory->limit_bytes);
    bool half = relaxed_load(w->server->client_memory->used_bytes) > limit / 2;
    bool locked = is_locked_out(c);
    if (locked && half && bytes > GROW_MIN) return NULL; /* that is kept for those who have authenticated */
    void *to = pool_grow(&w->pool, p, cap, used, bytes);
    if (to || locked) return to;
    size_t block = pool_block(bytes); /* which may be nearly twice as much */
    relieve(w, block < limit ? limit - block : 0, client_bytes(&c->client) + bytes);
    return pool_grow(&w->pool, p, cap, used, bytes);
}

static struct waiting *waiting_of(struct worker *w, struct conn *c) {
    if (c->waiting == NULL) {
        size_t cap;
        c->waiting = get_block(w, c, NULL, &cap, 0, sizeof *c->waiting);
        if (c->waiting) memset(c->waiting, 0, sizeof *c->waiting);
    }
    return c->waiting;
}

static void show_waiting(struct conn *c) {
    const struct waiting *q = c->waiting;
    size_t in = q ? q->in.cap + q->argv_cap : 0, out = (q ? q->out.cap : 0) + c->client.suspended.reply.cap;
    relaxed_store(c->client.input_bytes, (uint32_t)MIN(in, UINT32_MAX));
    relaxed_store(c->client.output_bytes, (uint32_t)MIN(out, UINT32_MAX));
}

static void drop_argv(struct worker *w, struct waiting *q) {
    pool_put(&w->pool, q->request.argv, q->argv_cap);
    q->request = (struct request){0};
    q->argv_cap = 0;
}

static void drop_input(struct worker *w, struct waiting *q) {
    drop(w, &q->in);
    q->scanning = q->stripped = false;
}

/* Gives back what is empty. */
static void settle_waiting(struct worker *w, struct conn *c) {
    struct waiting *q = c->waiting;
    if (q == NULL) return;
    bool suspended = q->request.argv;
    if (q->in.from == q->in.to && !suspended && !q->scanning) drop_input(w, q);
    if (q->in.p == NULL && !suspended && q->out.p == NULL) {
        pool_put(&w->pool, q, sizeof *q);
        c->waiting = NULL;
    }
    show_waiting(c);
}

/* Closes a connection for a reason that the log tells, with its line of CLIENT LIST. */
static void close_because(struct worker *w, struct conn *c, uint64_t *counter, const char *why, uint64_t limit) {
    char text[CLIENT_LINE_MAX];
    struct buf line = {text, 0, sizeof text - 1, false};
    client_describe(w->server->registry, &c->client, w->context.now_ms, &line);
    line.p[line.len - 1] = '\0';
    metrics_add(counter, 1);
    log_line(w->server->log, LOG_LEVEL_WARNING, "client closed: %s (%" PRIu64 " bytes): %s", why, limit, text);
    conn_close(w, c);
}

static void close_for_memory(struct worker *w, struct conn *c, uint64_t *counter) {
    close_because(w, c, counter, "no room for its buffers in client-memory", w->server->client_memory->limit_bytes);
}

/* Makes room for the arguments of a request that the connection keeps. False: no memory, it is closed. */
static bool make_argv(struct worker *w, struct conn *c, int argc) {
    struct request *r = &c->waiting->request;
    r->argv = get_block(w, c, NULL, &c->waiting->argv_cap, 0, (size_t)argc * sizeof *r->argv);
    r->argc = argc;
    if (r->argv == NULL) close_for_memory(w, c, &w->metrics.client_query_buffer_limit_disconnections);
    return r->argv;
}

/* Makes sure that the bytes left of this part belong to the connection. False: no memory, it is closed. */
static bool save_input(struct worker *w, struct part *p) {
    if (!p->shared) return true;
    size_t left = p->size - p->done, cap;
    struct waiting *q = waiting_of(w, p->c);
    char *to = q ? get_block(w, p->c, NULL, &cap, 0, left ? left : 1) : NULL;
    if (to == NULL) {
        close_for_memory(w, p->c, &w->metrics.client_query_buffer_limit_disconnections);
        return false;
    }
    memcpy(to, p->in + p->done, left);
    q->in = (struct held){to, cap, 0, left};
    p->in = to;
    p->size = left;
    p->parsed -= p->done;
    p->done = 0;
    p->shared = false;
    return true;
}

/* ---- sending ---- */

/* Sends what it can; returns the bytes sent, -1 when the connection is broken. */
static ssize_t send_some(struct worker *w, struct conn *c, const char *p, size_t n) {
    ssize_t sent;
    do
        sent = send(c->client.fd, p, n, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    metrics_add(&w->metrics.total_net_output_bytes, (uint64_t)sent);
    return sent;
}

/* Waits until the socket takes what is in waiting->out. */
static void wait_for_room(struct worker *w, struct conn *c) {
    c->state = SENDING;
    conn_watch(w, c, EPOLLOUT);
    show_waiting(c);
}

/* Puts bytes behind those that wait for the socket. */
static void keep_output(struct worker *w, struct conn *c, const char *p, size_t n) {
    struct waiting *q = waiting_of(w, c);
    char *to = q ? get_block(w, c, q->out.p, &q->out.cap, q->out.to, q->out.to + n) : NULL;
    if (to == NULL) {
        close_for_memory(w, c, &w->metrics.client_output_buffer_limit_disconnections);
        return;
    }
    memcpy(to + q->out.to, p, n);
    q->out.p = to;
    q->out.to += n;
    wait_for_room(w, c);
}

static void send_segment(struct worker *w, struct conn *c, const char *p, size_t n) {
    if (c->state == CLOSED) return;
    uint64_t limit = w->server->config->client_output_bytes;
    ssize_t sent = n ? send_some(w, c, p, n) : 0;
    if (sent < 0)
        conn_close(w, c);
    else if (n - (size_t)sent > limit)
        close_because(w, c, &w->metrics.client_output_buffer_limit_disconnections,
                      "more waits for it than client-output-buffer-limit", limit);
    else if ((size_t)sent < n)
        keep_output(w, c, p + sent, n - (size_t)sent);
    else if (c->close_after_output)
        conn_linger(w, c);
}

/* Sends all segments. Whoever has more to come stops for this turn when its socket is full. */
static void flush_output(struct worker *w) {
    for (int i = 0; i < w->segment_count; i++) {
        size_t from = w->segments[i].from;
        size_t to = i + 1 < w->segment_count ? w->segments[i + 1].from : w->output.len;
        send_segment(w, w->segments[i].c, w->output.p + from, to - from);
    }
    w->segment_count = 0;
    w->output.len = 0;
}

/* Its socket has room again. */
static void send_waiting(struct worker *w, struct conn *c) {
    struct waiting *q = c->waiting;
    ssize_t sent = send_some(w, c, q->out.p + q->out.from, q->out.to - q->out.from);
    if (sent < 0) {
        conn_close(w, c);
        return;
    }
    q->out.from += (size_t)sent;
    relaxed_store(c->client.active_ms, w->context.now_ms);
    show_waiting(c);
    if (q->out.from < q->out.to) return;
    drop(w, &q->out);
    c->state = READING;
    settle_waiting(w, c);
    conn_watch(w, c, EPOLLIN);
    if (c->state == CLOSED) return;
    if (c->close_after_output)
        conn_linger(w, c);
    else if (c->waiting) /* which may be a whole request, or an error that is still to be said */
        conn_queue(w, c, false);
}

/* ---- executing ---- */

static void begin_segment(struct worker *w, struct part *p, bool mine, bool room) {
    if (!room)
        w->output.cap = OUTPUT_TURN + command_reply_room(w->server->shards); /* CONFIG SET may have made it more */
    if (!room || (!mine && (w->output.len >= OUTPUT_SEND || w->segment_count == GROUP_MAX))) {
        flush_output(w);
        mine = false;
        if (p->c->state != READING) p->stop = true; /* its socket is full */
    }
    if (!mine) w->segments[w->segment_count++] = (struct segment){p->c, w->output.len};
}

/* Sees to it that `output` ends with an open segment of this connection that has room for any reply. */
static inline void open_segment(struct worker *w, struct part *p) {
    bool mine = w->segment_count && w->segments[w->segment_count - 1].c == p->c;
    bool room = buf_left(&w->output) >= command_reply_room(w->server->shards);
    if (!mine || !room) begin_segment(w, p, mine, room);
}

/* Keeps the suspended request, whose bytes begin at part->in + done, for the next turn. */
static void suspend(struct worker *w, struct part *p, const struct request *r, size_t bytes) {
    struct waiting *q = p->c->waiting;
    p->stop = p->again = true;
    if (q == NULL || q->request.argv == NULL) {
        const char *before = p->in + p->done;
        if (!save_input(w, p) || !make_argv(w, p->c, r->argc)) return;
        q = p->c->waiting;
        for (int i = 0; i < r->argc; i++)
            q->request.argv[i] = (struct slice){p->in + p->done + (r->argv[i].p - before), r->argv[i].n};
        q->request_bytes = bytes;
    }
    q->request.resumed = !p->wait;
}

/* Sends what stands in `output`, then what the command collected: its block is taken over, not copied. */
static void send_collected(struct worker *w, struct part *p) {
    struct conn *c = p->c;
    struct suspended *s = &c->client.suspended;
    size_t n = s->reply.len - s->start;
    flush_output(w);
    ssize_t sent = c->state == READING ? send_some(w, c, s->reply.p + s->start, n) : 0;
    if (sent < 0) {
        conn_close(w, c);
    } else if (c->state == READING && (size_t)sent < n && waiting_of(w, c)) {
        c->waiting->out = (struct held){s->reply.p, s->reply.cap, s->start + (size_t)sent, s->reply.len};
        s->reply.p = NULL;
        wait_for_room(w, c);
    } else if (c->state != CLOSED && (size_t)sent < n) { /* behind what already waits; or there is no memory */
        keep_output(w, c, s->reply.p + s->start + sent, n - (size_t)sent);
    }
    pool_put(&w->pool, s->reply.p, s->reply.cap);
    *s = (struct suspended){0};
    p->stop = p->again = true; /* it had its share of this turn */
}

static void unwatch(struct worker *w, struct conn *c) {
    if (w->watched_next == c) w->watched_next = c->next_watcher;
    struct conn **p = &w->watchers;
    while (*p && *p != c)
        p = &(*p)->next_watcher;
    if (*p) *p = c->next_watcher;
}

/* From now on it gets what is executed. */
static void watch(struct worker *w, struct conn *c) {
    unwatch(w, c); /* it may have said RESET a moment ago */
    c->seen = relaxed_load(w->server->feed.written);
    c->next_watcher = w->watchers;
    w->watchers = c;
}

/* What is rare after a request was executed. Returns as execute() does. */
static bool execute_rest(struct worker *w, struct part *p, const struct request *r, size_t bytes,
                         enum command_result result) {
    if (w->output.full) {
        w->output.full = false;
        close_because(w, p->c, &w->metrics.client_output_buffer_limit_disconnections,
                      "a reply was too large for the output buffer", w->output.cap);
        p->stop = true;
        return true;
    }
    if (result == COMMAND_AGAIN || result == COMMAND_WAIT) {
        p->wait = result == COMMAND_WAIT;
        suspend(w, p, r, bytes);
        return false;
    }
    p->done += bytes;
    if (result == COMMAND_COLLECTED) send_collected(w, p);
    if (result == COMMAND_WATCHES) watch(w, p->c);
    if (result == COMMAND_CLOSE) {
        p->c->close_after_output = true;
        p->stop = true;
    }
    return true;
}

/* Executes one request, whose bytes are part->in[done .. done + bytes). True: it is done with; false: it is still to
 * be executed, or to be gone on with. */
static inline bool execute(struct worker *w, struct part *p, const struct request *r, size_t bytes) {
    open_segment(w, p);
    if (p->stop) return false;
    size_t before = w->output.len;
    enum command_result result = command_execute(&w->context, &p->c->client, r, &w->output);
    p->output += w->output.len - before;
    if (w->output.len - before > LONG_REPLY) w->clock_left = 0; /* such a request may have taken its time */
    if (result != COMMAND_DONE || w->output.full) {
        if (!execute_rest(w, p, r, bytes, result)) return false;
    } else {
        p->done += bytes;
    }
    if (p->output >= OUTPUT_TURN) p->stop = p->again = true;
    return true;
}

/* So many us since the clock was looked at before: one of the requests executed was slow, if none of them is known to be.
 * A clock that was set is no turn that took as long. */
static void notice_slow(struct worker *w, int64_t us) {
    struct slice unknown = SLICE("(one of up to 16 requests, none of which was timed)");
    int64_t slow_us = w->server->config->slowlog_us;
    if (slow_us < 0 || us < slow_us || us < 2000 || w->slow_known) return;
    if ((clock_ns(CLOCK_MONOTONIC_COARSE) - w->turn_ns) / 1000 + 8000 < (uint64_t)us) return;
    info_slow(w->server, &w->metrics, NULL, &unknown, 1, (uint64_t)us, w->context.now_ms);
}

static void look_at_clock(struct worker *w) {
    int64_t before_ms = w->context.now_ms;
    bool executed = w->clock_left < CLOCK_REQUESTS; /* or none was, but one of megabytes was read */
    w->clock_left = CLOCK_REQUESTS;
    w->context.now_ms = clock_ms();
    if (executed && w->context.now_ms - before_ms > 1) notice_slow(w, (w->context.now_ms - before_ms) * 1000);
    w->slow_known = false;
    if (w->context.now_ms - before_ms > 1 && w->timed_left < TIMED_FEW) w->timed_left = TIMED_FEW;
    w->context.unusual = command_unusual(w->server, w->context.now_ms, relaxed_load(w->stop_at_ns));
    int64_t lasted_ms = w->context.now_ms - w->turn_ms;
    w->late = lasted_ms >= TURN_MS || lasted_ms < 0; /* what requests cost cannot be told from their bytes */
}

/* Executes a request, and takes its time, of all turns together, which stands for `weight` of them. Returns as execute()
 * does. */
static bool execute_timed(struct worker *w, struct part *p, const struct request *r, size_t bytes, uint64_t weight) {
    w->context.put_off = false;
    uint64_t from = clock_ns(CLOCK_MONOTONIC);
    bool done = execute(w, p, r, bytes);
    uint64_t ns = clock_ns(CLOCK_MONOTONIC) - from;
    int64_t slow_us = w->server->config->slowlog_us;
    p->slow |= ns >= SLOW_US * 1000;
    if (p->slow) w->timed_left = TIMED_LONG;
    w->slow_known |= slow_us >= 0 && ns / 1000 >= (uint64_t)slow_us;
    struct waiting *q = p->c->waiting;
    if (q) ns = q->took_ns += ns;
    if (!done) return false;
    if (q) q->took_ns = 0;
    uint32_t row = relaxed_load(p->c->client.last_command);
    if (row && !w->context.put_off) metrics_time(&w->metrics, row - 1, ns, weight);
    if (row && slow_us >= 0 && ns / 1000 >= (uint64_t)slow_us)
        info_slow(w->server, &w->metrics, &p->c->client, r->argv, r->argc, ns / 1000, w->context.now_ms);
    return true;
}

/* Executes a request that has gone through the stages. */
static void execute_next(struct worker *w, struct staged *b) {
    struct part *p = b->part;
    if (p->stop) return;
    assert(b->from == p->done);
    if (w->clock_left == 0) look_at_clock(w);
    w->clock_left--;
    bool timed = w->timed_left || b->request.timed;
    if (timed || w->executed % METRICS_SAMPLE == 1) {
        w->timed_left -= w->timed_left > 0;
        execute_timed(w, p, &b->request, b->to - b->from, timed || w->executed < METRICS_SAMPLE ? 1 : METRICS_SAMPLE);
    } else {
        execute(w, p, &b->request, b->to - b->from);
    }
    if (w->late) p->stop = p->again = true;
}

static struct staged *on_belt(struct worker *w, uint32_t n) { return &w->belt[n % BELT]; }

/* Moves the belt by one, `n` being the number of requests parsed so far; behind the last one it runs empty. */
static inline void move_belt(struct worker *w, uint32_t n) {
    uint32_t waiting = n - w->executed, behind = n - w->parsed;
    if (behind < STAGE && waiting >= STAGE) command_fetch(&on_belt(w, n - STAGE)->request);
    if (behind < 2 * STAGE && waiting >= 2 * STAGE) command_fetch_links(&on_belt(w, n - 2 * STAGE)->request);
    if (waiting >= 3 * STAGE) execute_next(w, on_belt(w, w->executed++));
}

/* Executes all that is parsed. */
static void empty_belt(struct worker *w) {
    for (uint32_t n = w->parsed; w->executed != w->parsed;)
        move_belt(w, ++n);
}

/* The protocol is broken: says how, and closes. */
static void refuse(struct worker *w, struct part *p, const struct resp_request *r) {
    open_segment(w, p);
    if (p->stop) return; /* until its socket has room */
    char text[128];
    struct buf line = {text, 0, sizeof text, false};
    buf_printf(&line, "ERR Protocol error: %s", r->error);
    if (r->got) buf_printf(&line, " '%c'", r->got);
    resp_error(&w->output, (struct slice){text, line.len});
    metrics_error(&w->metrics, text);
    p->c->close_after_output = true;
    p->stop = true;
}

/* Executes waiting->request. */
static void execute_kept(struct worker *w, struct part *p) {
    struct waiting *q = p->c->waiting;
    look_at_clock(w);
    command_prepare(&w->context, &p->c->client, &q->request);
    if (!execute_timed(w, p, &q->request, q->request_bytes, 1)) return;
    p->parsed = p->done;
    drop_argv(w, q);
}

/* A request with more arguments than the worker has room for: executed alone, with arguments of its own. */
static void execute_large(struct worker *w, struct part *p, int argc) {
    struct waiting *q = p->c->waiting;
    struct resp_request r = {0};
    q->scanning = false;
    p->stop = !save_input(w, p) || !make_argv(w, p->c, argc);
    if (p->stop) return;
    enum resp_status status =
        resp_parse(p->in + p->done, p->size - p->done, q->argument_max, true, q->request.argv, argc, &r);
    if (status != RESP_OK) { /* an inline request whose quotes are not balanced: everything else was scanned */
        drop_argv(w, q);
        refuse(w, p, &r);
        return;
    }
    q->request.argc = r.argc;
    q->request_bytes = r.used;
    execute_kept(w, p);
}

/* What is left of a part is not a whole request: from now on its end is looked for as bytes arrive. */
static void await_rest(struct worker *w, struct part *p) {
    p->stop = true;
    if (p->done == p->size || !save_input(w, p)) return;
    struct waiting *q = p->c->waiting;
    q->scanning = true;
    q->scan = RESP_SCAN_START;
    q->argument_max = w->argument_max;
}

/* Looks whether the request that arrives in pieces is whole now. False: not yet, or it is broken. */
static bool scan_whole(struct worker *w, struct part *p) {
    struct waiting *q = p->c->waiting;
    struct resp_request r = {.unauthenticated = is_locked_out(p->c)};
    size_t before = p->size;
    enum resp_status status = resp_scan(&q->scan, p->in, &p->size, q->argument_max, &r);
    q->stripped |= p->size < before || q->scan.skip;
    q->in.to = q->in.from + p->size;
    if (status == RESP_OK) return true;
    if (status == RESP_BAD) {
        empty_belt(w); /* what others asked for before is answered before */
        refuse(w, p, &r);
    }
    p->stop = true;
    return false;
}

/* Parses the next request of a part onto the belt. False: there is none, or none may be added now. */
static bool parse_next(struct worker *w, struct part *p) {
    struct waiting *q = p->c->waiting;
    bool stripped = !p->shared && q && q->scanning;
    if (stripped && !scan_whole(w, p)) return false;
    if (p->parsed == p->size) /* the belt goes on with the next connection */
        return false;
    bool is_inline = p->in[p->parsed] != '*';
    if (is_inline || p->locked) {
        empty_belt(w); /* an inline request is unescaped in place, so once it is parsed it must be executed; ... */
        p->locked = is_locked_out(p->c); /* ... and what was executed may be AUTH, or RESET */
        if (is_inline && !p->stop) open_segment(w, p);
    }
    if (p->stop) return false;
    struct resp_request r = {.unauthenticated = p->locked};
    size_t argument_max = stripped ? q->argument_max : w->argument_max;
    struct staged *b = on_belt(w, w->parsed);
    struct slice *argv = b->argv;
    char *in = p->in + p->parsed;
    enum resp_status status = resp_parse(in, p->size - p->parsed, argument_max, stripped, argv, BELT_ARGS, &r);
    bool alone = is_inline || status == RESP_ARGS;
    if (status == RESP_ARGS) {
        empty_belt(w);
        if (p->stop) return false;
        argv = w->argv;
        status = resp_parse(in, p->size - p->parsed, argument_max, stripped, argv, ARGV_SLICES, &r);
    }
    if (status == RESP_OK && r.argc) {
        b->request.argv = argv; /* the rest of it command_prepare() fills in */
        b->request.argc = r.argc;
        b->request.resumed = false;
        b->request.timed = r.used > LONG_REQUEST;
        b->request.sizes_are_right = r.longest <= MIN(argument_max, w->argument_safe); /* the limits may have risen */
        b->part = p;
        b->from = p->parsed;
        b->to = p->parsed += r.used;
        command_prepare(&w->context, &p->c->client, &b->request);
        move_belt(w, ++w->parsed);
        if (stripped) q->scanning = false;
        if (alone) empty_belt(w);
        return !p->stop;
    }
    empty_belt(w);
    if (p->stop) return false;
    if (status == RESP_OK) {
        p->done = p->parsed += r.used;
        if (stripped) q->scanning = false;
    } else if (status == RESP_BAD) {
        refuse(w, p, &r);
    } else if (status == RESP_ARGS && stripped) {
        execute_large(w, p, r.argc);
    } else { /* with very many arguments, it is found out first whether they are all there */
        await_rest(w, p);
        p->again = status == RESP_ARGS;
    }
    return !p->stop;
}

static void execute_part(struct worker *w, struct part *p) {
    if (p->c->waiting && p->c->waiting->request.argv) {
        empty_belt(w); /* a segment of output is one part's, and ends where the next part's begins */
        execute_kept(w, p);
    }
    while (!p->stop && parse_next(w, p))
        ;
}

/* ---- a group ---- */

/* Settles what a part left behind, after all its output was sent. */
static void finish_part(struct worker *w, struct part *p) {
    struct conn *c = p->c;
    if (c->state == CLOSED) return;
    bool much = p->output >= HEAVY_BYTES || p->done >= HEAVY_BYTES;
    c->heavy = (uint8_t)(p->slow ? SLOW_TURNS : c->heavy > 1 ? c->heavy - 1 : much);
    c->known = true;
    if (p->shared && p->done < p->size && !c->close_after_output && !save_input(w, p)) return;
    struct waiting *q = c->waiting;
    if (q && !p->shared) {
        q->in.from += p->done;
        if (c->close_after_output) drop_input(w, q);
    }
    settle_waiting(w, c);
    if (p->again && c->state == READING) conn_queue(w, c, p->wait);
}

static void run_group(struct worker *w) {
    for (int i = 0; i < w->part_count; i++)
        execute_part(w, &w->parts[i]);
    empty_belt(w);
    flush_output(w);
    for (int i = 0; i < w->part_count; i++)
        finish_part(w, &w->parts[i]);
    w->part_count = 0;
    w->input_used = 0;
}

static void add_part(struct worker *w, struct conn *c, char *in, size_t size, bool shared) {
    w->parts[w->part_count++] =
        (struct part){.c = c, .in = in, .size = size, .shared = shared, .locked = is_locked_out(c)};
    relaxed_store(c->client.active_ms, w->context.now_ms);
    if (w->part_count == GROUP_MAX || w->input_used >= GROUP_BYTES) run_group(w);
}

/* Where the next bytes of a request that arrives in pieces go: *room of them. NULL: no memory. */
static char *room_for_rest(struct worker *w, const struct conn *c, size_t *room) {
    struct waiting *q = c->waiting;
    if (q->scan.skip) { /* an oversized argument: read, and forget */
        *room = (size_t)MIN(q->scan.skip, RECEIVE_MAX);
        return w->input + w->input_used;
    }
    struct held *in = &q->in;
    size_t have = in->to - in->from, missing = q->scan.pos > have ? q->scan.pos - have : 1;
    size_t most = have < GROW_MIN ? GROW_MIN : have > GROW_MAX ? GROW_MAX : have;
    missing = MIN(missing, most);
    if (in->cap - in->to < missing && in->from) {
        memmove(in->p, in->p + in->from, have);
        in->from = 0;
        in->to = have;
    }
    if (in->cap - in->to < missing) {
        char *larger = get_block(w, c, in->p, &in->cap, in->to, in->to + missing);
        if (larger) in->p = larger;
        if (in->cap == in->to) return NULL;
    }
    *room = MIN(in->cap - in->to, GROW_MAX);
    return in->p + in->to;
}

/* One receive. Returns the bytes; 0 when there are none now; -1 when the connection is over. */
static ssize_t receive(struct worker *w, struct conn *c, char *to, size_t room) {
    ssize_t n;
    do
        n = recv(c->client.fd, to, room, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    metrics_add(&w->metrics.total_net_input_bytes, (uint64_t)n);
    return n ? n : -1;
}

/* Reads one connection and adds what came to the group. Returns like receive(). */
static ssize_t read_conn(struct worker *w, struct conn *c, uint32_t events) {
    struct waiting *q = c->waiting;
    size_t room, have = q ? q->in.to - q->in.from : 0;
    if (q == NULL || q->in.p == NULL || (have <= GROW_MIN && !q->stripped && q->request.argv == NULL)) {
        /* the short beginning of a request is put before what comes: in a block of its own, which is as large as what was
         * cut, each receive would be as small */
        char *in = w->input + w->input_used;
        ssize_t n = receive(w, c, in + have, have || !w->late ? RECEIVE_MAX - have : RECEIVE_LATE);
        if (n <= 0) return n;
        if (q && q->in.p) {
            memcpy(in, q->in.p + q->in.from, have);
            drop_input(w, q);
            settle_waiting(w, c);
        }
        w->input_used += have + (size_t)n;
        add_part(w, c, in, have + (size_t)n, true);
        return n;
    }
    char *to = room_for_rest(w, c, &room);
    if (to == NULL) { /* the bytes may stay in the socket for as long as others take to go, if it is not one of these */
        if (!w->relief || is_locked_out(c) || (events & (EPOLLHUP | EPOLLERR)))
            close_for_memory(w, c, &w->metrics.client_query_buffer_limit_disconnections);
        return 0;
    }
    ssize_t n = receive(w, c, to, room);
    if (n <= 0) return n;
    if (q->scan.skip)
        q->scan.skip -= (uint64_t)n;
    else
        q->in.to += (size_t)n;
    add_part(w, c, q->in.p + q->in.from, q->in.to - q->in.from, false);
    return n;
}

static void handle_event(struct worker *w, struct conn *c, uint32_t events) {
    uint8_t state = c->state; /* as it was: reading may change it */
    if (state == LINGERING) { /* what a client still sends that was told goodbye is read and forgotten */
        ssize_t n = receive(w, c, w->input + w->input_used, RECEIVE_MAX);
        if (n > 0) c->linger_bytes += (uint32_t)n;
        if (n < 0 || c->linger_bytes > LINGER_BYTES) conn_close(w, c);
    } else if (state == PAUSED) {
        struct conn **p = &w->paused;
        while (*p != c)
            p = &(*p)->next;
        conn_close(w, take(p));
    } else if (state == READING ? read_conn(w, c, events) < 0 : state == SENDING && (events & (EPOLLERR | EPOLLHUP))) {
        conn_close(w, c);
    } else if (state == SENDING) {
        send_waiting(w, c);
    } /* QUEUED: it is looked at in this turn anyway */
}

static void go_on(struct worker *w, struct conn *c) {
    struct waiting *q = c->waiting;
    c->state = READING;
    if (q && q->in.p) add_part(w, c, q->in.p + q->in.from, q->in.to - q->in.from, false);
}

/* Runs what one heavy connection wants. Returns whether there is time for another in this turn. */
static bool run_heavy(struct worker *w) {
    run_group(w);
    look_at_clock(w);
    return !w->late;
}

static bool is_heavy(const struct worker *w, const struct conn *c) {
    return c->heavy || c->state == SENDING || (w->timed_left && !c->known);
}

/* One look at all that is ready: who asks little comes first; of those who move much, after them, as many as there is
 * time for, beginning with another in each turn. What is left of these is ready in the next turn too. */
static void handle_events(struct worker *w, const struct epoll_event *events, int n, struct conn *queued) {
    int heavy[EVENTS_MAX], heavy_events = 0;
    struct conn **end = &queued;
    for (int i = 0; i < n; i++) {
        if (i + 4 < n) __builtin_prefetch(events[i + 4].data.ptr);
        if (events[i].data.ptr == NULL) continue; /* worker_stop() was called: the loop sees that for itself */
        if (is_heavy(w, events[i].data.ptr))
            heavy[heavy_events++] = i;
        else
            handle_event(w, events[i].data.ptr, events[i].events);
    }
    run_group(w);
    while (*end) /* the heavy ones stay */
        if ((*end)->heavy)
            end = &(*end)->next;
        else
            go_on(w, take(end));
    run_group(w);
    bool time = true;
    for (int i = 0; i < heavy_events && time; i++) {
        const struct epoll_event *e = &events[heavy[(w->turns + (uint32_t)i) % (uint32_t)heavy_events]];
        handle_event(w, e->data.ptr, e->events);
        time = run_heavy(w);
    }
    for (time = true; queued && time; time = run_heavy(w))
        go_on(w, take(&queued));
    if (queued) { /* before those that were queued meanwhile */
        *end = w->queue;
        w->queue_end = w->queue ? w->queue_end : end;
        w->queue = queued;
    }
}

/* ---- upkeep ---- */

static void free_conn(struct worker *w, struct conn *c) {
    unwatch(w, c);
    command_forget(&w->context, &c->client);
    if (c->waiting) {
        drop_argv(w, c->waiting);
        drop_input(w, c->waiting);
        drop(w, &c->waiting->out);
        settle_waiting(w, c);
    }
    log_line(w->server->log, LOG_LEVEL_VERBOSE, "client id=%" PRIu64 " closed", c->client.id);
    int fd = c->client.fd;
    client_free(w->server->registry, &c->client); /* first: who finds it there may shut its socket */
    close(fd);
    atomic_fetch_sub_explicit(&w->connections, 1, memory_order_relaxed);
}

/* A bounded piece of what the shards of this worker need: expired entries, free pages. */
static void upkeep(struct worker *w) {
    for (int pieces = 0; w->upkeep_next < SHARDS && pieces < UPKEEP_PIECES; w->upkeep_next += (uint32_t)w->count)
        if (shard_upkeep(w->server->shards, w->upkeep_next, w->context.now_ms)) {
            w->upkeep_again = true;
            pieces++;
        }
    if (w->upkeep_next < SHARDS || !w->upkeep_again) return;
    w->upkeep_next = (uint32_t)w->index; /* in turn: what one shard has to do keeps no other from its expiry */
    w->upkeep_again = false;
}

static bool timed_out(const struct worker *w, const struct conn *c, int64_t now_ms) {
    const struct config *config = w->server->config;
    if (!relaxed_load(c->watched)) return false; /* the thread that accepts is not done with it */
    int64_t idle_ms = now_ms - relaxed_load(c->client.active_ms);
    if (c->state == LINGERING) return llabs(idle_ms) > LINGER_MS; /* a clock can jump */
    if (is_locked_out(c) && config->authentication_timeout_s)
        return llabs(now_ms - relaxed_load(c->client.locked_ms)) > (int64_t)config->authentication_timeout_s * 1000;
    int64_t timeout_ms = (int64_t)config->timeout_s * 1000;
    bool watches = relaxed_load(c->client.modes) & CLIENT_MONITOR;
    return timeout_ms && !watches && c->state != QUEUED && c->state != PAUSED && idle_ms > timeout_ms;
}

/* Looks at a tenth of all records, so that all are seen once a second. */
static void find_timed_out(struct worker *w, int64_t now_ms) {
    uint32_t high = relaxed_load(w->server->registry->high), end = w->look_next + high / 10 + 1;
    for (struct conn *c; (c = next_conn(w, &w->look_next, end)) != NULL;) {
        if (!timed_out(w, c, now_ms)) continue;
        log_line(w->server->log, LOG_LEVEL_VERBOSE, "client id=%" PRIu64 " timed out%s", c->client.id,
                 c->state == LINGERING ? " after its last reply"
                 : is_locked_out(c)    ? " before AUTH (authentication-timeout)"
                                       : " (timeout)");
        shutdown(c->client.fd, SHUT_RDWR); /* it may be on a list: it ends when it is looked at */
    }
    w->look_next = end < high ? end : 0;
}

static void tick(struct worker *w) {
    int64_t now_ms = w->context.now_ms;
    if (now_ms < w->tick_ms && w->tick_ms - now_ms <= TICK_MS) return;
    w->tick_ms = now_ms + TICK_MS;
    if (w->upkeep_next >= SHARDS) w->upkeep_next = (uint32_t)w->index;
    find_timed_out(w, now_ms);
    if (++w->ticks % 10 == 0) {
        pool_trim(&w->pool);
        if (w->index == 0) info_sample(w->server, now_ms);
        madvise(w->output.p + OUTPUT_KEPT, w->output.cap - OUTPUT_KEPT, MADV_DONTNEED);
    }
}

/* Hands what was executed to those who watch, as far as there is time in this turn and room in their sockets. Who is
 * further behind than the feed is long is closed. */
static void feed_watchers(struct worker *w) {
    int64_t from_ms = w->watchers ? clock_ms() : 0;
    struct conn *c = w->watched_next ? w->watched_next : w->watchers, *next;
    w->fed = false;
    for (; c && clock_ms() - from_ms < TURN_MS; c = next) {
        uint8_t modes = relaxed_load(c->client.modes);
        struct buf lines = {w->output.p, 0, c->state == READING ? FEED_PART : 0, false};
        next = c->next_watcher;
        bool is_open = c->state == READING || c->state == SENDING;
        if (!(modes & CLIENT_MONITOR)) {
            unwatch(w, c);
        } else if (is_open && !command_feed_read(&w->server->feed, &c->seen, &lines)) {
            close_because(w, c, &w->metrics.monitor_client_disconnections,
                          "it reads MONITOR too slowly, and is further behind than is kept", FEED_BYTES);
        } else if (lines.len) {
            w->fed = true;
            relaxed_store(c->client.active_ms, w->context.now_ms);
            if (!(modes & CLIENT_MUTE)) send_segment(w, c, lines.p, lines.len);
        }
    }
    w->watched_next = c;
}

/* ---- the end ---- */

/* One look at every connection: who has nothing more to be answered is closed. */
static void drain(struct worker *w) {
    uint32_t at = 0;
    for (struct conn *c; (c = next_conn(w, &at, UINT32_MAX)) != NULL;) {
        bool over = c->state == LINGERING && w->context.now_ms - relaxed_load(c->client.active_ms) > LINGER_LAST_MS;
        if (over || (c->state == READING && read_conn(w, c, 0) <= 0)) conn_close(w, c);
    }
    run_group(w);
}

/* ---- the loop ---- */

static int wait_ms(const struct worker *w) {
    if (w->queue || w->upkeep_next < SHARDS || w->fed) return 0;
    if (relaxed_load(w->stop_at_ns)) return 10;
    int64_t left = w->tick_ms - w->context.now_ms, most = w->watchers ? FEED_MS : TICK_MS;
    return (int)(left < 0 ? 0 : left > most ? most : left);
}

static bool should_end(const struct worker *w) {
    uint64_t stop_at_ns = relaxed_load(w->stop_at_ns);
    return stop_at_ns && (worker_connections(w) == 0 || clock_ns(CLOCK_MONOTONIC) >= stop_at_ns);
}

/* What CONFIG SET may have changed. */
static void look_at_config(struct worker *w) {
    const struct config *config = w->server->config;
    w->argument_max = command_argument_max(config);
    w->argument_safe = command_argument_safe(config);
    if (config->slowlog_us >= 0 && config->slowlog_us < SLOW_US) w->timed_left = TIMED_LONG; /* what it asks for */
}

static void go_on_after_pause(struct worker *w) {
    while (!(w->context.unusual & UNUSUAL_PAUSED) && w->paused) {
        struct conn *c = take(&w->paused);
        c->state = READING;
        conn_watch(w, c, EPOLLIN);
        if (c->state == READING) conn_queue(w, c, false);
    }
}

static void *run(void *argument) {
    struct worker *w = argument;
    struct epoll_event events[EVENTS_MAX];
    while (!should_end(w)) {
        int n = epoll_wait(w->epoll, events, EVENTS_MAX, wait_ms(w));
        w->turn_ms = w->context.now_ms = clock_ms();
        w->turn_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
        look_at_clock(w);
        look_at_config(w);
        go_on_after_pause(w);
        struct conn *queued = w->queue;
        w->queue = NULL;
        w->queue_end = &w->queue;
        w->turns++;
        handle_events(w, events, n, queued);
        if (relaxed_load(w->stop_at_ns)) drain(w);
        tick(w);
        upkeep(w);
        feed_watchers(w);
        while (w->closed)
            free_conn(w, take(&w->closed));
        relieve_early(w);
    }
    return NULL;
}

/* ---- life ---- */

struct worker *worker_new(struct command_server *server, int index, int count) {
    struct worker *w = calloc(1, sizeof *w);
    if (w == NULL) return NULL;
    w->server = server;
    server->metrics[index] = &w->metrics;
    w->index = index;
    w->count = count;
    w->upkeep_next = SHARDS;
    w->queue_end = &w->queue;
    pool_init(&w->pool, server->client_memory);
    w->context = (struct command_context){.server = server,
                                          .shards = server->shards,
                                          .config = server->config,
                                          .metrics = &w->metrics,
                                          .pool = &w->pool,
                                          .random = hash_load64(server->run_id + 8 * (index % 5)) | 1};
    w->output.cap = OUTPUT_TURN + command_reply_room(server->shards);
    w->output_mapped = OUTPUT_TURN + command_reply_room_max(server->shards);
    w->output.p =
        mmap(NULL, w->output_mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (w->output.p != MAP_FAILED && w->epoll >= 0 && w->wake >= 0 &&
        epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->wake, &event) == 0)
        return w;
    worker_free(w); /* which leaves errno, as nothing in it fails */
    return NULL;
}

bool worker_start(struct worker *w) { return pthread_create(&w->thread, NULL, run, w) == 0; }

void worker_stop(struct worker *w, int64_t timeout_ms) {
    atomic_store(&w->stop_at_ns, clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000000);
    eventfd_write(w->wake, 1); /* it cannot fail but for a full counter, which wakes as well */
}

void worker_join(struct worker *w) { pthread_join(w->thread, NULL); }

void worker_free(struct worker *w) {
    uint32_t at = 0;
    for (struct conn *c; (c = next_conn(w, &at, UINT32_MAX)) != NULL;)
        free_conn(w, c);
    pool_release(&w->pool);
    if (w->wake >= 0) close(w->wake);
    if (w->epoll >= 0) close(w->epoll);
    if (w->output.p != MAP_FAILED) munmap(w->output.p, w->output_mapped);
    free(w);
}
