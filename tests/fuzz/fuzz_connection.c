/* fuzz_connection.c -- whole connections: a worker's loop, the parser, the commands and the storage, without sockets.
 *
 *   input    | the server | event | bytes that a client sends ... 0xFF | event | bytes ... 0xFF | event | ...
 *   event    the connection 2 (3: the first one, and the bytes come many times over) | how much time goes by before 2 |
 *            its socket takes next to nothing in this turn 1 | the client closes behind these bytes 1 | the next event
 *            comes in the same turn 1 | this one does not wait until the worker is done with what came before 1
 *
 * worker.c and client.c are included, their system calls replaced by those below: so the loop that a server runs is
 * what runs here, on SOCKETS made-up connections, with a clock that only the input moves and keys' hashes from a fixed
 * seed. Caches are small: entries are evicted, expire, and meet in one bucket.
 *
 * Checked  after each command: every invariant of the shards that it can have changed, the budget of clients' buffers,
 *          that the reply fits its room and is one whole RESP value, or none where the client wants none.
 *          in send(): what goes out is these replies, in this order, and nothing else but the error of a broken
 *          protocol.
 *          at the end: all memory was given back, nothing is watched, and entries keep the limits. */
#include "fuzz.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---- what worker.c and client.c call instead ---- */

static ssize_t fake_recv(int fd, char *to, size_t n);
static ssize_t fake_send(int fd, const char *p, size_t n);
static int fake_shutdown(int fd, int how);
static int fake_close(int fd);
static int fake_epoll_ctl(int fd, const struct epoll_event *event);
static int fake_epoll_wait(struct epoll_event *events, int timeout_ms);
static int fake_clock(struct timespec *t);

static struct {
    void *(*run)(void *worker);
    void *worker;
} thread;

enum { FD_EPOLL = 1 << 20, FD_WAKE, FD_FIRST, SOCKETS = 3 }; /* none of these is open */

#define recv(fd, to, n, flags) fake_recv(fd, to, n)
#define send(fd, p, n, flags) fake_send(fd, p, n)
#define shutdown(fd, how) fake_shutdown(fd, how)
#define close(fd) fake_close(fd)
#define read(fd, to, n) ((void)(fd), (void)(to), 0)
#define write(fd, p, n) ((void)(fd), (void)(p), 0)
#define epoll_create1(flags) FD_EPOLL
#define eventfd(value, flags) FD_WAKE
#define epoll_ctl(epoll, what, fd, event) fake_epoll_ctl(fd, event)
#define epoll_wait(epoll, events, most, timeout_ms) fake_epoll_wait(events, timeout_ms)
#define clock_gettime(clock, t) ((void)(clock), fake_clock(t))
#define pthread_create(handle, options, function, argument) (thread.run = (function), thread.worker = (argument), 0)
#include "../../client.c"

#include "../../command.h"
#include "../../host.h"
#include "../check.h"
#include "../reply.h"

static enum command_result checked_execute(struct command_context *context, struct client *client,
                                           const struct request *r, struct buf *out);

#define command_execute checked_execute
#include "../../worker.c"
#undef command_execute
#undef close

/* ---- a server and its clients ---- */

#define NOW_MS 1700000000000
#define REPEATED 200
#define TURNS_MOST 200000 /* an input that needs more does not end */

struct peer {
    struct conn *conn; /* NULL: not connected */
    uint32_t events;   /* that the worker waits for */
    struct bytes in;   /* sent to the worker, not received */
    struct bytes piece;
    int times;  /* that the piece is sent once more, when it is received */
    bool over;  /* nothing more comes */
    bool cut;   /* the worker has shut it in both directions */
    bool full;  /* its socket takes next to nothing in this turn */
    char *owed; /* replies that must be sent, of which `sent` were */
    size_t owed_n, owed_cap, sent;
    size_t begun; /* where in `owed` the reply of the command under way begins */
    bool refused; /* was told that its protocol is broken */
};

static struct fixture {
    struct shards shards;
    struct registry registry;
    struct config config;
    struct pool_budget budget;
    struct host host;
    struct lru checked[SHARDS]; /* as they were then */
    struct metrics *all[1];
    struct command_server server;
    struct log log;
    struct worker *worker;
    struct peer peer[SOCKETS];
    struct bytes input;
    size_t receive_most, client_memory_most;
    int64_t now_ms, clock_step_ms;
    int turns;
    bool stopping;
} f;

static void note_shutdown(void *context) { (void)context; }

/* As the server's. */
static bool reconfigure(void *context, const struct config *next, char *text, size_t size) {
    (void)context;
    config_compare(&f.config, next, text, size);
    if (next->maxmemory_bytes > f.shards.maxmemory_max || next->shard_capacity > f.shards.capacity_max ||
        (uint32_t)next->maxclients > f.registry.capacity) {
        snprintf(text, size, "not without a restart");
        return false;
    }
    shards_allow_values(&f.shards, next->max_value_size_bytes);
    shards_resize(&f.shards, next->maxmemory_bytes, (uint32_t)next->shard_capacity);
    config_apply(&f.config, next);
    atomic_store(&f.registry.limit, (unsigned)next->maxclients);
    atomic_store(&f.budget.limit_bytes, next->client_memory_bytes);
    if (next->client_memory_bytes > f.client_memory_most) f.client_memory_most = next->client_memory_bytes;
    return true;
}

/* Keys' hashes are the same in every run; with `meet` all short keys meet in one bucket of one shard. */
static void set_seed(bool meet) {
    uint64_t word = 88172645463325252;
    for (size_t i = 0; i < HASH_WORDS + 2; i++) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        f.shards.seed.word[i] = meet ? 0 : word;
    }
}

static void start(uint8_t kind) {
    bool few = kind & 2, password = kind & 4, poor = kind & 8;
    memset(&f, 0, sizeof f);
    f.now_ms = NOW_MS;
    f.clock_step_ms = kind & 16 ? 1 : 0;
    f.receive_most = kind & 32 ? 5 : SIZE_MAX;
    config_init(&f.config);
    f.config.maxmemory_bytes = MAXMEMORY_MIN;
    f.config.shard_capacity = few ? 3 : 4000;
    f.config.max_key_size_bytes = 100;
    f.config.max_value_size_bytes = 30000;
    f.config.client_memory_bytes = poor ? 96 << 10 : 16 << 20;
    f.config.client_output_bytes = poor ? 64 << 10 : 8 << 20;
    f.config.maxclients = SOCKETS;
    f.config.threads = 1;
    f.config.timeout_s = 600;
    if (password) strcpy(f.config.requirepass, "secret");
    f.budget.limit_bytes = f.client_memory_most = f.config.client_memory_bytes;
    f.log = (struct log){.fd = -1, .level = LOG_LEVEL_WARNING};
    MUST(shards_init(&f.shards, f.config.maxmemory_bytes, (uint32_t)f.config.shard_capacity, 1));
    MUST(registry_init(&f.registry, SOCKETS, worker_record_bytes()));
    set_seed(kind & 1);
    for (int i = 0; i < SHARDS; i++)
        f.checked[i] = f.shards.shard[i].lru;
    atomic_store(&f.shards.large_pages, false);
    shards_allow_values(&f.shards, f.config.max_value_size_bytes);
    f.server = (struct command_server){.shards = &f.shards,
                                       .registry = &f.registry,
                                       .config = &f.config,
                                       .client_memory = &f.budget,
                                       .metrics = f.all,
                                       .metrics_count = 1,
                                       .started_ms = NOW_MS,
                                       .host = &f.host,
                                       .log = &f.log,
                                       .reconfigure = reconfigure,
                                       .shutdown = note_shutdown};
    memset(f.server.run_id, 'a', 40);
    command_init(&f.server);
    f.worker = worker_new(&f.server, 0, 1);
    MUST(f.worker && worker_start(f.worker));
}

/* ---- what is true ---- */

static void check_shards(uint64_t set) {
    for (; set; set &= set - 1) {
        int i = __builtin_ctzll(set);
        lru_check(&f.shards.shard[i].lru);
        f.checked[i] = f.shards.shard[i].lru;
    }
    MUST(shards_held == 0);
}

/* Those shards that a request can have changed: one in which something else stands than when it was checked, or which
 * an argument of the request is a key of. (All of them, each time, would be a hundred times as slow.) */
static uint64_t shards_changed(const struct client *client, const struct request *r) {
    uint64_t set = 0;
    if (is_word(r->argv[0], SLICE("exec"))) return SHARDS_ALL;
    for (int i = 0; i < SHARDS; i++)
        if (memcmp(&f.checked[i], &f.shards.shard[i].lru, sizeof f.checked[i]) != 0) set |= 1ull << i;
    for (int i = 1; i < r->argc && i < 16; i++)
        if (r->argv[i].p && r->argv[i].n <= KEY_SIZE_MAX)
            set |= 1ull << hash_shard(shards_hash(&f.shards, atomic_load(&client->database), r->argv[i]));
    return set;
}

static void check_entry(void *context, const struct entry *e) {
    (void)context;
    MUST(entry_key_size(e) <= KEY_SIZE_MAX && entry_value_size(e) <= shards_value_room(&f.shards));
}

static void end(void) {
    uint32_t ids = 0;
    worker_free(f.worker);
    MUST(atomic_load(&f.registry.count) == 0 && atomic_load(&f.budget.used_bytes) == 0);
    check_shards(SHARDS_ALL);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct lru *l = &f.shards.shard[i].lru;
        MUST(l->watched == 0);
        for (uint32_t at = 0; (at = lru_scan(l, at, f.now_ms, check_entry, NULL)) != 0;)
            ;
    }
    for (uint32_t d = 0; d < DATABASES_MAX; d++)
        ids |= 1u << shards_id(&f.shards, d);
    MUST(__builtin_popcount(ids) == DATABASES_MAX); /* no two databases share entries */
    for (int i = 0; i < SOCKETS; i++)
        free(f.peer[i].owed);
    info_release(&f.server);
    shards_release(&f.shards);
    registry_release(&f.registry);
    pthread_mutex_destroy(&f.server.config_lock);
}

/* ---- replies ---- */

static struct peer *peer_of(int fd) {
    MUST(fd >= FD_FIRST && fd < FD_FIRST + SOCKETS && f.peer[fd - FD_FIRST].conn);
    return &f.peer[fd - FD_FIRST];
}

static void owe(struct peer *p, const char *bytes, size_t n) {
    if (n == 0) return;
    if (p->owed_n + n > p->owed_cap) {
        p->owed_cap = 2 * (p->owed_n + n);
        p->owed = realloc(p->owed, p->owed_cap);
        MUST(p->owed);
    }
    memcpy(p->owed + p->owed_n, bytes, n);
    p->owed_n += n;
}

static enum command_result checked_execute(struct command_context *context, struct client *client,
                                           const struct request *r, struct buf *out) {
    struct peer *p = peer_of(client->fd);
    uint8_t no_reply = CLIENT_MUTE | CLIENT_SKIP, before = atomic_load(&client->modes) & no_reply;
    size_t from = out->len;
    MUST(buf_left(out) >= command_reply_room(&f.shards) && !p->refused);
    enum command_result result = command_execute(context, client, r, out);
    const struct suspended *s = &client->suspended;
    MUST(!out->full && out->len >= from);
    owe(p, out->p + from, out->len - from);
    if (result == COMMAND_COLLECTED) {
        MUST(!s->reply.full && s->start < s->reply.len && s->reply.len <= s->reply.cap);
        owe(p, s->reply.p + s->start, s->reply.len - s->start);
    }
    check_shards(shards_changed(client, r));
    MUST(atomic_load(&f.budget.used_bytes) <= f.client_memory_most);
    if (result == COMMAND_AGAIN || result == COMMAND_WAIT) return result;

    uint8_t after = atomic_load(&client->modes) & no_reply;
    if (p->begun == p->owed_n)
        MUST(before || after || result == COMMAND_CLOSE);
    else
        MUST(value_end(p->owed + p->begun, p->owed + p->owed_n) == p->owed + p->owed_n && !(before && after));
    MUST(result == COMMAND_COLLECTED || s->reply.p == NULL);
    MUST(s->next == 0 && s->cursor == 0 && s->count == 0);
    p->begun = p->owed_n;
    return result;
}

static ssize_t fake_send(int fd, const char *bytes, size_t n) {
    static const char refusal[] = "-ERR Protocol error: ";
    struct peer *p = peer_of(fd);
    size_t owed = p->owed_n - p->sent, most = p->full ? 7 : n;
    if (n > owed) { /* the last words */
        MUST(!p->refused && n - owed > sizeof refusal && memcmp(bytes + owed, refusal, sizeof refusal - 1) == 0);
        MUST(value_end(bytes + owed, bytes + n) == bytes + n);
        owe(p, bytes + owed, n - owed);
        p->begun = p->owed_n;
        p->refused = true;
    }
    MUST(memcmp(bytes, p->owed + p->sent, n) == 0);
    if (p->cut || (p->over && p->full)) return errno = EPIPE, -1;
    p->sent += n < most ? n : most;
    if (p->sent == p->begun && p->sent == p->owed_n) p->sent = p->begun = p->owed_n = 0;
    if (n <= most) return (ssize_t)n;
    p->full = true; /* until the next turn */
    return (ssize_t)most;
}

/* ---- sockets ---- */

static ssize_t fake_recv(int fd, char *to, size_t n) {
    struct peer *p = peer_of(fd);
    if (p->cut || (p->in.n == 0 && p->over)) return 0;
    if (p->in.n == 0) return errno = EAGAIN, -1;
    struct bytes got = bytes_take(&p->in, n < f.receive_most ? n : f.receive_most);
    if (p->in.n == 0 && p->times) {
        p->times--;
        p->in = p->piece;
    }
    memcpy(to, got.p, got.n);
    return (ssize_t)got.n;
}

static int fake_shutdown(int fd, int how) {
    struct peer *p = peer_of(fd);
    p->over = true; /* who is told goodbye says it too */
    p->cut |= how == SHUT_RDWR;
    return 0;
}

static int fake_close(int fd) {
    if (fd < FD_FIRST) return 0;
    struct peer *p = peer_of(fd);
    free(p->owed);
    *p = (struct peer){0};
    return 0;
}

static int fake_epoll_ctl(int fd, const struct epoll_event *event) {
    if (fd < FD_FIRST) return 0;
    f.peer[fd - FD_FIRST].events = event->events;
    f.peer[fd - FD_FIRST].conn = event->data.ptr;
    return 0;
}

static int fake_clock(struct timespec *t) {
    f.now_ms += f.clock_step_ms;
    *t = (struct timespec){f.now_ms / 1000, f.now_ms % 1000 * 1000000};
    return 0;
}

/* The next event of the input, and the bytes behind it: who is not connected connects. True: another one follows in
 * this turn. */
static bool next_event(void) {
    static const int64_t steps_ms[] = {0, 1, 1000, 3600000};
    uint8_t event = bytes_one(&f.input);
    const char *mark = f.input.n ? memchr(f.input.p, 0xFF, f.input.n) : NULL;
    struct bytes piece = bytes_take(&f.input, mark ? (size_t)(mark - f.input.p) : f.input.n);
    bytes_one(&f.input);
    f.now_ms += steps_ms[event >> 2 & 3];
    struct peer *p = &f.peer[(event & 3) % SOCKETS];
    if (p->over) return false; /* a closed connection gets nothing more */
    if (p->conn == NULL) {
        struct sockaddr_storage from = {.ss_family = AF_INET};
        if (!worker_add(f.worker, FD_FIRST + (event & 3) % SOCKETS, &from, f.now_ms)) return false;
    }
    p->in = p->piece = piece;
    p->times = (event & 3) == SOCKETS && piece.n ? REPEATED : 0;
    p->full = event & 16;
    p->over = event & 32;
    return event & 64;
}

static bool all_quiet(int timeout_ms) {
    bool quiet = timeout_ms != 0;
    for (int i = 0; i < SOCKETS; i++)
        quiet &= !f.peer[i].cut && !(f.peer[i].events & EPOLLOUT) && !(f.peer[i].in.n && (f.peer[i].events & EPOLLIN));
    return quiet;
}

static int fake_epoll_wait(struct epoll_event *events, int timeout_ms) {
    int n = 0;
    bool idle = all_quiet(timeout_ms);
    MUST(++f.turns < TURNS_MOST && timeout_ms >= 0);
    for (int i = 0; i < SOCKETS; i++)
        f.peer[i].full = false;
    if (f.input.n && (idle || (f.input.p[0] & 0x80))) {
        while (next_event() && f.input.n)
            ;
    } else if (idle && !f.stopping) {
        f.stopping = true;
        worker_stop(f.worker, 1000);
    }
    for (int i = 0; i < SOCKETS; i++) {
        struct peer *p = &f.peer[i];
        uint32_t ready = (p->in.n || p->over ? EPOLLIN : 0u) | (p->over ? EPOLLRDHUP : 0u) | (p->full ? 0u : EPOLLOUT);
        ready = (ready & p->events) | (p->cut ? EPOLLHUP : 0u);
        if (p->conn && ready) events[n++] = (struct epoll_event){ready, {.ptr = p->conn}};
    }
    if (n == 0) f.now_ms += timeout_ms;
    f.now_ms += f.turns % 16 == 0; /* turns take time: FLUSHDB may wait for upkeep, which is due every 100 ms */
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes input = {(const char *)data, size};
    start(bytes_one(&input));
    f.input = input;
    thread.run(thread.worker);
    end();
    return 0;
}
