/* stress.c -- many connections that send requests drawn from a file (corpus.py makes it), and look at every reply.
 *
 *   stress PORT FILE PASSWORD SECONDS CONNECTIONS SEED
 *
 * A thread is one connection after another. Each sends batches: one request or a pipeline, alone or between WATCH,
 * MULTI and EXEC, whole or in pieces; some connections are closed in the middle, reset, or half closed; now and then
 * one kills another. What must hold: each request has one reply (of RESP2 or RESP3) and none is a protocol error; a
 * value that says whose it is was stored under that key and has its checksum; some reply comes within a minute. That a
 * connection ends is no failure, for it may have been killed.
 *
 * Prints "command NUMBER DONE REFUSED" for each command, a line of totals, and what is wrong; exit code 1 with that. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 256, BATCH_MAX = 40, COMMANDS_MAX = 400, PATIENCE_MS = 60000, DEPTH_MAX = 32 };

struct request {
    const char *bytes;
    size_t n;
    int command; /* -1: one of our own */
    char mark;
    const char *keys; /* with mark 's': the last character of each */
};

static struct request *corpus;
static size_t corpus_count;
static struct request auth;
static int port;
static uint64_t end_ms;
static _Atomic bool failed;
static _Atomic uint64_t done[COMMANDS_MAX], refused[COMMANDS_MAX];
static _Atomic uint64_t requests, replies, values_checked, connections, lost, kills;

struct connection {
    pthread_t thread;
    uint64_t random;
    int fd;
    bool silent, ended;
    _Atomic int64_t id;
    struct request batch[BATCH_MAX];
    int count;
    char *in;
    size_t have, cap;
};

static struct connection connection[THREADS_MAX];
static int threads;

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint32_t draw(struct connection *c, uint32_t n) {
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (uint32_t)(c->random * 0x2545F4914F6CDD1Dull >> 33) % n;
}

static void print_bytes(const char *p, size_t n) {
    for (size_t i = 0; i < n && i < 300; i++)
        printf(p[i] >= ' ' && p[i] <= '~' ? "%c" : "\\x%02x", (unsigned char)p[i]);
    printf("\n");
}

static void wrong(const char *what, const struct request *r, const char *reply, size_t n) {
    failed = true;
    flockfile(stdout);
    printf("# wrong: %s\n# the request: ", what);
    print_bytes(r ? r->bytes : "", r ? r->n : 0);
    printf("# the reply: ");
    print_bytes(reply, n);
    funlockfile(stdout);
}

/* ---- replies ---- */

static uint32_t crc_table[256];

static void make_crc_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        crc_table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            crc_table[i] = crc_table[i] >> 1 ^ (crc_table[i] & 1 ? 0xEDB88320u : 0);
    }
}

static uint32_t crc32(const char *p, size_t n) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++)
        crc = crc_table[(crc ^ (unsigned char)p[i]) & 255] ^ crc >> 8;
    return ~crc;
}

struct look {
    const struct request *r;
    size_t leaf;      /* values seen so far */
    const char *what; /* what is wrong */
};

/* A value that begins with \1= says whose it is: see corpus.py. */
static void look_at(struct look *l, const char *p, size_t n, bool is_null) {
    size_t leaf = l->leaf++;
    bool known = !is_null && n >= 11 && p[0] == 1 && p[1] == '=';
    if (known) {
        char sum[9];
        snprintf(sum, sizeof sum, "%08x", crc32(p + 11, n - 11));
        if (memcmp(sum, p + 3, 8) != 0) l->what = "a value that was never stored";
        values_checked++;
    }
    if (l->r->mark != 's' || is_null || l->what) return;
    if (leaf >= strlen(l->r->keys))
        l->what = "more values than keys";
    else if (!known || p[2] != l->r->keys[leaf])
        l->what = "another key's value";
}

/* The bytes of the reply at p, 0: its end is missing. */
static size_t reply_bytes(struct look *l, const char *p, size_t n, int depth) {
    const char *lf = memchr(p, '\n', n);
    if (lf == NULL) {
        if (n > 100000) l->what = "a line without an end";
        return 0;
    }
    size_t used = (size_t)(lf - p) + 1;
    if (used < 3 || lf[-1] != '\r' || depth > DEPTH_MAX) l->what = "no reply of RESP";
    if (l->what) return used;
    long count = atol(p + 1);
    switch (p[0]) {
    case '$':
    case '=':
        if (count < 0) {
            look_at(l, NULL, 0, true);
            return used;
        }
        if (n < used + (size_t)count + 2) return 0;
        if (p[used + (size_t)count] != '\r') l->what = "a string whose end is not where its length says";
        look_at(l, p + used, (size_t)count, false);
        return used + (size_t)count + 2;
    case '%':
        count *= 2; /* fall through */
    case '*':
    case '~':
        for (long i = 0; i < count; i++) {
            size_t more = reply_bytes(l, p + used, n - used, depth + 1);
            if (more == 0) return 0;
            used += more;
        }
        return used;
    case '_':
        look_at(l, NULL, 0, true);
        return used;
    case '-':
        if (memcmp(p, "-ERR Protocol", 13) == 0) l->what = "a protocol error";
        return used;
    case '+':
    case ':':
    case '#':
    case ',':
        return used;
    default:
        l->what = "no reply of RESP";
        return used;
    }
}

static void count_reply(struct connection *c, const struct request *r, const char *p) {
    replies++;
    if (r->mark == 'i' && p[0] == ':') c->id = atoll(p + 1);
    if (r->command < 0 || memcmp(p, "+QUEUED", 7) == 0) return;
    atomic_fetch_add(p[0] == '-' ? &refused[r->command] : &done[r->command], 1);
}

/* ---- a batch ---- */

/* Sends `n` bytes and reads `expected` replies; pieces of up to `most` bytes, so that some requests arrive cut. */
static void exchange(struct connection *c, const char *out, size_t n, size_t most, int expected) {
    uint64_t patience = now_ms() + PATIENCE_MS;
    size_t sent = 0;
    int got = 0;
    while (!c->ended && !failed && (sent < n || got < expected)) {
        struct pollfd p = {c->fd, (short)(POLLIN | (sent < n ? POLLOUT : 0)), 0};
        poll(&p, 1, 1000);
        if (now_ms() > patience) {
            wrong("nothing came for a minute", &c->batch[got], c->in, c->have);
            c->ended = true;
            return;
        }
        if (p.revents & POLLOUT) {
            size_t piece = n - sent < most ? n - sent : 1 + draw(c, (uint32_t)most);
            ssize_t k = send(c->fd, out + sent, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (k > 0) sent += (size_t)k;
            if (k < 0 && errno != EAGAIN) c->ended = true;
        }
        if (!(p.revents & (POLLIN | POLLHUP | POLLERR))) continue;
        if (c->cap - c->have < 1 << 16) c->in = realloc(c->in, c->cap = 2 * c->cap + (1 << 17));
        ssize_t k = recv(c->fd, c->in + c->have, c->cap - c->have, MSG_DONTWAIT);
        if (k == 0 || (k < 0 && errno != EAGAIN)) c->ended = true;
        if (k <= 0) continue;
        patience = now_ms() + PATIENCE_MS;
        c->have += (size_t)k;
        if (c->silent) {
            c->have = 0;
            continue;
        }
        size_t at = 0;
        for (size_t bytes = 1; bytes && at < c->have && got < expected;) {
            struct look l = {&c->batch[got], 0, NULL};
            bytes = reply_bytes(&l, c->in + at, c->have - at, 0);
            if (l.what) {
                wrong(l.what, l.r, c->in + at, c->have - at);
                c->ended = true;
                return;
            }
            if (bytes) count_reply(c, &c->batch[got++], c->in + at);
            at += bytes;
        }
        if (at < c->have && got == expected && sent == n && !c->ended) {
            wrong("a reply that nobody asked for", NULL, c->in + at, c->have - at);
            c->ended = true;
            return;
        }
        memmove(c->in, c->in + at, c->have - at);
        c->have -= at;
    }
    if (c->ended && got < expected) lost += (uint64_t)(expected - got);
}

static void add(struct connection *c, struct request r) {
    if (c->count < BATCH_MAX) c->batch[c->count++] = r;
}

static void add_text(struct connection *c, const char *text) {
    add(c, (struct request){text, strlen(text), -1, '-', ""});
}

/* Requests from the file; true: the connection goes on behind them. */
static bool add_drawn(struct connection *c, uint32_t count) {
    while (count-- && c->count < BATCH_MAX - 4) {
        const struct request *r = &corpus[draw(c, (uint32_t)corpus_count)];
        add(c, *r);
        if (r->mark == 'a') add(c, auth);
        if (r->mark == 'r') c->silent = true;
        if (r->mark == 'q') return false;
    }
    return true;
}

static bool draw_batch(struct connection *c, char *own, size_t own_size) {
    c->count = 0;
    if (draw(c, 5) == 0) {
        if (draw(c, 2)) add_text(c, "*3\r\n$5\r\nWATCH\r\n$6\r\nself:1\r\n$1\r\na\r\n");
        if (draw(c, 4) == 0 && !add_drawn(c, 1)) return false;
        add_text(c, "*1\r\n$5\r\nMULTI\r\n");
        if (!add_drawn(c, 1 + draw(c, 10))) return false;
        add_text(c, draw(c, 8) ? "*1\r\n$4\r\nEXEC\r\n" : "*1\r\n$7\r\nDISCARD\r\n");
        return true;
    }
    if (draw(c, 400) == 0) {
        int64_t id = connection[draw(c, (uint32_t)threads)].id;
        char text[32];
        int n = snprintf(text, sizeof text, "%" PRId64, id);
        snprintf(own, own_size, "*4\r\n$6\r\nCLIENT\r\n$4\r\nKILL\r\n$2\r\nID\r\n$%d\r\n%s\r\n", n, text);
        add_text(c, own);
        kills++;
    }
    return add_drawn(c, draw(c, 2) ? 1 : 1 + draw(c, 30));
}

static void do_batch(struct connection *c) {
    static _Thread_local char out[BATCH_MAX * 20000];
    char own[128];
    bool goes_on = draw_batch(c, own, sizeof own);
    size_t n = 0;
    for (int i = 0; i < c->count; i++) {
        if (n + c->batch[i].n > sizeof out) abort();
        memcpy(out + n, c->batch[i].bytes, c->batch[i].n);
        n += c->batch[i].n;
    }
    requests += (uint64_t)c->count;
    int expected = c->silent ? 0 : c->count;
    uint32_t end = draw(c, 60);
    if (end == 0) { /* gone in the middle of a request */
        exchange(c, out, draw(c, (uint32_t)n), SIZE_MAX >> 33, 0);
        c->ended = true;
    } else if (end == 1) { /* asked, and gone; half of them with a reset */
        exchange(c, out, n, SIZE_MAX >> 33, 0);
        struct linger reset = {(int)draw(c, 2), 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        c->ended = true;
    } else if (end == 2 && n < 20000) { /* a few bytes at a time */
        exchange(c, out, n, 1 + draw(c, 30), expected);
    } else {
        exchange(c, out, n, end < 10 ? 2000 : SIZE_MAX >> 33, expected);
    }
    if (end == 3 && !c->ended) {
        shutdown(c->fd, SHUT_WR);
        c->silent = true;
        exchange(c, NULL, 0, 1, 1); /* until the server closes too */
    }
    c->ended |= !goes_on || (c->silent && draw(c, 4) == 0);
}

static void *run(void *context) {
    struct connection *c = context;
    while (now_ms() < end_ms && !failed) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0) {
            wrong("the server takes no connection", NULL, strerror(errno), strlen(strerror(errno)));
            return NULL;
        }
        int on = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections++;
        c->ended = c->silent = false;
        c->have = 0;
        char out[256];
        c->count = 0;
        add(c, auth);
        add_text(c, "*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n");
        c->batch[1].mark = 'i';
        memcpy(out, auth.bytes, auth.n);
        memcpy(out + auth.n, c->batch[1].bytes, c->batch[1].n);
        exchange(c, out, auth.n + c->batch[1].n, SIZE_MAX >> 33, 2);
        while (!c->ended && now_ms() < end_ms && !failed)
            do_batch(c);
        close(c->fd);
    }
    return NULL;
}

/* ---- the file ---- */

static void read_corpus(const char *path) {
    FILE *f = fopen(path, "rb");
    size_t n, cap = 0;
    int command;
    char mark, keys[16];
    if (f == NULL) abort();
    while (fscanf(f, "%zu %d %c %15s", &n, &command, &mark, keys) == 4) {
        if (getc(f) != '\n' || command >= COMMANDS_MAX) abort();
        char *bytes = malloc(n);
        if (fread(bytes, 1, n, f) != n) abort();
        if (corpus_count == cap) corpus = realloc(corpus, (cap = 2 * cap + 1000) * sizeof *corpus);
        corpus[corpus_count++] = (struct request){bytes, n, command, mark, strdup(keys)};
    }
    fclose(f);
    if (corpus_count == 0) abort();
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "stress PORT FILE PASSWORD SECONDS CONNECTIONS SEED\n");
        return 2;
    }
    port = atoi(argv[1]);
    read_corpus(argv[2]);
    char password[128];
    auth = (struct request){
        password,
        (size_t)snprintf(password, sizeof password, "*2\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n", strlen(argv[3]), argv[3]), -1,
        '-', ""};
    end_ms = now_ms() + (uint64_t)(atof(argv[4]) * 1000);
    threads = atoi(argv[5]) < THREADS_MAX ? atoi(argv[5]) : THREADS_MAX;
    make_crc_table();
    for (int i = 0; i < threads; i++) {
        connection[i].random = ((uint64_t)atoll(argv[6]) + 1) * 0x9E3779B97F4A7C15ull + (uint32_t)i;
        if (pthread_create(&connection[i].thread, NULL, run, &connection[i]) != 0) abort();
    }
    for (int i = 0; i < threads; i++)
        pthread_join(connection[i].thread, NULL);
    for (int i = 0; i < COMMANDS_MAX; i++)
        if (done[i] || refused[i]) printf("command %d %" PRIu64 " %" PRIu64 "\n", i, done[i], refused[i]);
    printf("# %" PRIu64 " requests, %" PRIu64 " replies, %" PRIu64 " values checked, %" PRIu64 " connections, %" PRIu64
           " of them told to be killed, %" PRIu64 " replies lost with a connection\n",
           requests, replies, values_checked, connections, kills, lost);
    return failed;
}
