/* admin.c -- the admin endpoint: a small HTTP server that can be asked for three things.
 *
 *   IDLE -- bytes --> READING -- a whole head --> ANSWERING -- all is sent --> IDLE, or CLOSING: what still arrives
 *                                                 is dropped, as a close would answer it with a reset
 *
 * Owns    its connections, and address space for an answer each: printing some 200 KB needs no allocation that can fail
 *         or has to grow, and the pages go back to the system when they are sent.
 * True    a connection has at most one request read, answered or sent a turn, and no state outlasts its until_us.
 * Room    is made for every newcomer: of the network with the most connections one goes that is not being answered, if
 *         there is one, and is longest in its state. So who opens a thousand connections takes them from himself.
 * Threads its own; admin_drain() from any one.   Time: monotonic.   Failure: without a descriptor all rests for TICK_MS. */
#include "admin.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "glob.h"
#include "metrics.h"

#define TICK_MS 100 /* time limits, and whether it is to end, are looked at so often */

struct conn {
    int fd; /* -1: none */
    enum state { IDLE, READING, ANSWERING, CLOSING } state;
    int64_t since_us, until_us; /* in this state; two newcomers of one ms differ */
    unsigned char network[12];  /* the IPv4 address, or 64 bits of the IPv6 address: one owner has all of them */
    bool wants_metrics, head_only, closes; /* the request that is answered */
    size_t in_len, out_at, out_end;
    char in[ADMIN_HEAD_MAX];
};

struct admin {
    char answers[ADMIN_CONNECTIONS][ADMIN_ANSWER_MAX]; /* first: they begin with a page */
    struct admin_options o;
    _Atomic enum { SERVING, DRAINING, ENDING } phase;
    pthread_t thread;
    struct conn conns[ADMIN_CONNECTIONS];
};

static void enter(struct conn *c, enum state state, int64_t now_us, int limit_ms) {
    c->state = state;
    c->since_us = now_us;
    c->until_us = now_us + (int64_t)limit_ms * 1000;
    c->in_len = 0;
    c->wants_metrics = c->head_only = false;
    if (state == READING) c->closes = true; /* unless the request is well-formed */
}

static void drop(struct admin *a, struct conn *c) {
    close(c->fd);
    c->fd = -1;
    madvise(a->answers[c - a->conns], ADMIN_ANSWER_MAX, MADV_DONTNEED);
}

static void answer(struct admin *a, struct conn *c, const char *status, int64_t now_us) {
    char head[256], *out = a->answers[c - a->conns]; /* the head ends where its text begins */
    struct buf body = {out + sizeof head, 0, ADMIN_ANSWER_MAX - sizeof head, false};
    if (c->wants_metrics) a->o.metrics(a->o.context, &body);
    if (body.full) status = "500 Metrics Too Long"; /* half of the truth would look like all of it */
    if (body.full || !c->wants_metrics) {
        body.len = 0;
        buf_printf(&body, "%s\n", *status == '2' ? "ok" : status + 4);
    }
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nContent-Type: text/plain; %scharset=utf-8\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\n%s%s\r\n",
                     status, c->wants_metrics ? "version=0.0.4; " : "", body.len,
                     strncmp(status, "405", 3) ? "" : "Allow: GET, HEAD\r\n", c->closes ? "Connection: close\r\n" : "");
    c->out_at = sizeof head - (size_t)n;
    c->out_end = sizeof head + (c->head_only ? 0 : body.len);
    memcpy(out + c->out_at, head, (size_t)n);
    enter(c, ANSWERING, now_us, a->o.send_ms);
}

/* Reads the request whose head this is. Returns the status of the answer; sets `closes` only when it is well-formed. */
static const char *read_request(struct admin *a, struct conn *c) {
    static const char bad[] = "400 Bad Request";
    if (memchr(c->in, '\0', c->in_len)) return bad;
    c->in[c->in_len - 1] = '\0';
    char *lines, *version = strtok_r(c->in, "\r\n", &lines), *method = strsep(&version, " ");
    char *path = strsep(&version, " "), *value;
    if (version == NULL || !glob_match(SLICE("HTTP/[0-9].[0-9]"), slice_of(version), false)) return bad;
    if (version[5] != '1') return "505 HTTP Version Not Supported";
    bool is_1_0 = version[7] == '0', closes = is_1_0;
    int hosts = 0;
    while ((value = strtok_r(NULL, "\r\n", &lines)) != NULL) {
        const char *name = strsep(&value, ":");
        if (value == NULL || *name == '\0' || strpbrk(name, " \t")) return bad;
        value += strspn(value, " \t");
        hosts += strcasecmp(name, "Host") == 0;
        closes |= strcasecmp(name, "Connection") == 0 && strcasestr(value, "close");
        if (strcasecmp(name, "Transfer-Encoding") == 0) return bad; /* a body would be taken for the next request */
        if (strcasecmp(name, "Content-Length") == 0 && (*value != '0' || value[strspn(value, "0")])) return bad;
    }
    if (hosts > 1 || (hosts == 0 && !is_1_0)) return bad;
    path[strcspn(path, "?")] = '\0';
    c->closes = closes;
    c->head_only = strcmp(method, "HEAD") == 0;
    bool is_metrics = strcmp(path, "/metrics") == 0, is_ready = strcmp(path, "/readyz") == 0;
    if (!is_metrics && !is_ready && strcmp(path, "/healthz") != 0) return "404 Not Found";
    if (!c->head_only && strcmp(method, "GET") != 0) return "405 Method Not Allowed";
    c->wants_metrics = is_metrics;
    return is_ready && a->phase == DRAINING ? "503 draining" : "200 OK";
}

/* Takes what has come, up to the end of a head: the next one waits in the socket until this one is answered. */
static void receive(struct admin *a, struct conn *c, int64_t now_us) {
    ssize_t n = recv(c->fd, c->in + c->in_len, ADMIN_HEAD_MAX - c->in_len, MSG_PEEK);
    const char *end = n > 0 ? memmem(c->in, c->in_len + (size_t)n, "\r\n\r\n", 4) : NULL;
    if (end) n = end + 4 - (c->in + c->in_len);
    if (n <= 0 || recv(c->fd, c->in + c->in_len, (size_t)n, 0) != n) enter(c, CLOSING, now_us, 0);
    if (c->state == CLOSING) return;
    if (c->state == IDLE) enter(c, READING, now_us, a->o.head_ms);
    c->in_len += (size_t)n;
    if (!end && c->in_len < ADMIN_HEAD_MAX) return;
    answer(a, c, end ? read_request(a, c) : "431 Request Header Fields Too Large", now_us);
}

static void send_some(struct admin *a, struct conn *c, int64_t now_us) {
    char *out = a->answers[c - a->conns];
    ssize_t n = send(c->fd, out + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
    if (n < 0) enter(c, CLOSING, now_us, 0); /* also where poll() says yes and send() no: that could spin */
    if (n < 0 || (c->out_at += (size_t)n) < c->out_end) return;
    madvise(out, ADMIN_ANSWER_MAX, MADV_DONTNEED);
    if (c->closes) shutdown(c->fd, SHUT_WR);
    enter(c, c->closes ? CLOSING : IDLE, now_us, c->closes ? a->o.send_ms : a->o.idle_ms);
}

/* Makes room for a newcomer and accepts one: what it has sent is looked at before the next may take its place. */
static void accept_one(struct admin *a, int listener, int64_t now_us) {
    struct sockaddr_in6 peer = {0};
    socklen_t size = sizeof peer;
    struct conn *c = a->conns;
    int most = 0;
    for (struct conn *one = a->conns; one < a->conns + ADMIN_CONNECTIONS; one++) {
        int score = one->fd < 0 ? 4 * ADMIN_CONNECTIONS : one->state != ANSWERING;
        for (int i = 0; i < ADMIN_CONNECTIONS; i++)
            score += 2 * (memcmp(a->conns[i].network, one->network, sizeof one->network) == 0);
        if (score > most || (score == most && one->since_us < c->since_us)) c = one;
        if (c == one) most = score;
    }
    if (c->fd >= 0) drop(a, c);
    c->fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c->fd < 0 && errno != EAGAIN) {
        log_line(a->o.log, LOG_LEVEL_WARNING, "admin: cannot accept a connection: %s", strerror(errno));
        poll(NULL, 0, TICK_MS);
    }
    /* IPv4 has its address where IPv6 has the flow label, 0 here, and zeros behind it. */
    memcpy(c->network, (char *)&peer + offsetof(struct sockaddr_in6, sin6_flowinfo), sizeof c->network);
    enter(c, READING, now_us, a->o.head_ms);
}

static void *run(void *context) {
    struct admin *a = context;
    struct pollfd p[ADMIN_CONNECTIONS + ADMIN_LISTENERS]; /* poll() passes over descriptors of -1 */
    const int count = ADMIN_CONNECTIONS + a->o.listener_count;
    while (a->phase != ENDING) {
        for (int i = 0; i < ADMIN_CONNECTIONS; i++)
            p[i] = (struct pollfd){a->conns[i].fd, a->conns[i].state == ANSWERING ? POLLOUT : POLLIN, 0};
        for (int i = ADMIN_CONNECTIONS; i < count; i++)
            p[i] = (struct pollfd){a->o.listeners[i - ADMIN_CONNECTIONS], POLLIN, 0};
        if (poll(p, (nfds_t)count, TICK_MS) < 0) poll(NULL, 0, TICK_MS); /* no memory for it */
        int64_t now_us = (int64_t)clock_ns(CLOCK_MONOTONIC) / 1000;
        for (struct conn *c = a->conns; c < a->conns + ADMIN_CONNECTIONS; c++) {
            if (p[c - a->conns].revents) (c->state == ANSWERING ? send_some : receive)(a, c, now_us);
            if (c->fd < 0 || now_us < c->until_us) continue;
            if (c->state == READING)
                answer(a, c, "408 Request Timeout", now_us);
            else
                drop(a, c);
        }
        for (int i = ADMIN_CONNECTIONS; i < count; i++)
            if (p[i].revents) accept_one(a, p[i].fd, now_us);
    }
    return NULL;
}

struct admin *admin_start(const struct admin_options *options) {
    struct admin *a = mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a == MAP_FAILED) return NULL;
    a->o = *options;
    for (int i = 0; i < ADMIN_CONNECTIONS; i++)
        a->conns[i].fd = -1;
    if (pthread_create(&a->thread, NULL, run, a) == 0) return a;
    munmap(a, sizeof *a);
    return NULL;
}

void admin_drain(struct admin *a) { a->phase = DRAINING; }

void admin_stop(struct admin *a) {
    if (a == NULL) return;
    a->phase = ENDING;
    pthread_join(a->thread, NULL);
    for (int i = 0; i < ADMIN_CONNECTIONS; i++)
        if (a->conns[i].fd >= 0) close(a->conns[i].fd);
    munmap(a, sizeof *a);
}
