/* admin.c -- the admin endpoint: a small HTTP server that can be asked for three things.
 *
 *   IDLE -- bytes --> READING -- a whole head --> ANSWERING -- all is sent --> IDLE, or CLOSING: what still arrives
 *                                                 is dropped, as a close would answer it with a reset
 *
 * Owns    its connections, and address space for an answer each: printing some 200 KB needs no allocation that can fail
 *         or has to grow, and the pages go back to the system when they are sent.
 * True    a connection has at most one request read, answered or sent a turn, and no state outlasts its until_ms.
 * Room    is made for every newcomer: of the network with the most connections one goes that is not being answered, if
 *         there is one, and is longest in its state. So who opens a thousand connections takes them from himself.
 * Threads its own; admin_drain() from any one.   Time: monotonic, read once a turn.
 * Failure no descriptor for a newcomer: the listeners rest for TICK_MS. An answer that is too long: 500, and logged. */
#include "admin.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_HEAD_MAX 256 /* bytes before an answer's text */
#define CLOSING_MS 1000     /* until the other side has closed, too */
#define TICK_MS 100

struct conn {
    int fd; /* -1: none */
    enum state { IDLE, READING, ANSWERING, CLOSING } state;
    int64_t since_ms, until_ms; /* in this state */
    unsigned char network[12];  /* the IPv4 address, or 64 bits of the IPv6 address: one owner has all of them */
    bool wants_metrics, head_only, closes; /* the request that is answered */
    size_t in_len, out_at, out_end;
    char in[ADMIN_HEAD_MAX];
};

struct admin {
    char answers[ADMIN_CONNECTIONS][ADMIN_ANSWER_MAX]; /* first: they begin with a page */
    struct admin_options o;
    atomic_bool draining;
    pthread_t thread;
    int wake; /* an eventfd: readable when it is to end */
    int64_t rest_until_ms;
    struct conn conns[ADMIN_CONNECTIONS];
};

static int64_t monotonic_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void enter(struct conn *c, enum state state, int64_t now_ms, int limit_ms) {
    c->state = state;
    c->since_ms = now_ms;
    c->until_ms = now_ms + limit_ms;
    c->in_len = 0;
    c->wants_metrics = c->head_only = false;
    if (state == READING) c->closes = true; /* unless the request is well-formed */
}

static void drop(struct admin *a, struct conn *c) {
    close(c->fd);
    c->fd = -1;
    madvise(a->answers[c - a->conns], ADMIN_ANSWER_MAX, MADV_DONTNEED);
}

static void answer(struct admin *a, struct conn *c, const char *status, int64_t now_ms) {
    char head[ANSWER_HEAD_MAX], *out = a->answers[c - a->conns];
    struct buf body = {out + ANSWER_HEAD_MAX, 0, ADMIN_ANSWER_MAX - ANSWER_HEAD_MAX, false};
    if (c->wants_metrics)
        a->o.metrics(a->o.context, &body);
    else
        buf_printf(&body, "%s\n", *status == '2' ? "ok" : status + 4);
    if (body.full) {
        log_line(a->o.log, LOG_LEVEL_WARNING, "/metrics is not answered: it has more than %zu bytes", body.cap);
        status = "500 Internal Server Error"; /* half of the truth would look like all of it */
        body.len = 0;
    }
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nContent-Type: text/plain; %scharset=utf-8\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\n%s%s\r\n",
                     status, c->wants_metrics ? "version=0.0.4; " : "", body.len,
                     strncmp(status, "405", 3) ? "" : "Allow: GET, HEAD\r\n", c->closes ? "Connection: close\r\n" : "");
    c->out_at = ANSWER_HEAD_MAX - (size_t)n;
    c->out_end = ANSWER_HEAD_MAX + (c->head_only ? 0 : body.len);
    memcpy(out + c->out_at, head, (size_t)n);
    enter(c, ANSWERING, now_ms, a->o.send_ms);
}

/* Reads a request, whose head these bytes are. Returns the status of the answer; where it is read to the end, the
 * connection may go on. */
static const char *read_request(struct admin *a, struct conn *c, char *head, size_t size) {
    static const char bad[] = "400 Bad Request";
    char *lines, *words;
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)head[i] < ' ' && !memchr("\t\r\n", head[i], 3)) || head[i] == 0x7f) return bad;
    head[size - 1] = '\0';
    char *line = strtok_r(head, "\r\n", &lines), *method = line ? strtok_r(line, " ", &words) : NULL;
    char *path = method ? strtok_r(NULL, " ", &words) : NULL, *version = path ? strtok_r(NULL, "", &words) : NULL;
    if (version == NULL || strlen(version) != 8 || strncmp(version, "HTTP/", 5) != 0) return bad;
    if (strncmp(version, "HTTP/1.", 7) != 0) return "505 HTTP Version Not Supported";
    if (strspn(version + 7, "0123456789") != 1) return bad;
    int hosts = 0;
    bool is_1_0 = version[7] == '0', closes = is_1_0;
    while ((line = strtok_r(NULL, "\r\n", &lines)) != NULL) {
        char *value = line + strcspn(line, ": \t");
        if (value == line || *value != ':') return bad;
        *value++ = '\0';
        value += strspn(value, " \t");
        hosts += strcasecmp(line, "Host") == 0;
        closes |= strcasecmp(line, "Connection") == 0 && strcasestr(value, "close");
        if (strcasecmp(line, "Transfer-Encoding") == 0) return bad; /* a body would be taken for the next request */
        if (strcasecmp(line, "Content-Length") == 0 && (*value != '0' || value[strspn(value, "0")])) return bad;
    }
    if (hosts != 1 && !(hosts == 0 && is_1_0)) return bad;
    path[strcspn(path, "?")] = '\0';
    c->closes = closes;
    c->head_only = strcmp(method, "HEAD") == 0;
    bool is_metrics = strcmp(path, "/metrics") == 0, is_ready = strcmp(path, "/readyz") == 0;
    if (!is_metrics && !is_ready && strcmp(path, "/healthz") != 0) return "404 Not Found";
    if (!c->head_only && strcmp(method, "GET") != 0) return "405 Method Not Allowed";
    c->wants_metrics = is_metrics;
    return is_ready && atomic_load(&a->draining) ? "503 draining" : "200 OK";
}

/* Takes what has come, up to the end of a head: the next one waits in the socket until this one is answered. */
static void receive(struct admin *a, struct conn *c, int64_t now_ms) {
    ssize_t n = recv(c->fd, c->in + c->in_len, ADMIN_HEAD_MAX - c->in_len, MSG_PEEK);
    const char *end = n > 0 ? memmem(c->in, c->in_len + (size_t)n, "\r\n\r\n", 4) : NULL;
    if (end) n = end + 4 - (c->in + c->in_len);
    if (n <= 0 || recv(c->fd, c->in + c->in_len, (size_t)n, 0) != n) {
        drop(a, c);
        return;
    }
    if (c->state == CLOSING) return;
    if (c->state == IDLE) enter(c, READING, now_ms, a->o.head_ms);
    c->in_len += (size_t)n;
    if (end)
        answer(a, c, read_request(a, c, c->in, c->in_len), now_ms);
    else if (c->in_len == ADMIN_HEAD_MAX)
        answer(a, c, "431 Request Header Fields Too Large", now_ms);
}

static void send_some(struct admin *a, struct conn *c, int64_t now_ms) {
    char *out = a->answers[c - a->conns];
    ssize_t n = send(c->fd, out + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
    if (n < 0) {
        drop(a, c);
        return;
    }
    c->out_at += (size_t)n;
    if (c->out_at < c->out_end) return;
    madvise(out, ADMIN_ANSWER_MAX, MADV_DONTNEED);
    if (c->closes) shutdown(c->fd, SHUT_WR);
    enter(c, c->closes ? CLOSING : IDLE, now_ms, c->closes ? CLOSING_MS : a->o.idle_ms);
}

/* Makes room for a newcomer and accepts one: what it has sent is looked at before the next may take its place. */
static void accept_one(struct admin *a, int listener, int64_t now_ms) {
    struct sockaddr_in6 peer = {0};
    socklen_t size = sizeof peer;
    struct conn *c = a->conns;
    int most = 0;
    for (struct conn *one = a->conns; one < a->conns + ADMIN_CONNECTIONS; one++) {
        int score = one->fd < 0 ? 4 * ADMIN_CONNECTIONS : one->state != ANSWERING;
        for (int i = 0; i < ADMIN_CONNECTIONS; i++)
            score += 2 * (memcmp(a->conns[i].network, one->network, sizeof one->network) == 0);
        if (score > most || (score == most && one->since_ms < c->since_ms)) c = one;
        if (c == one) most = score;
    }
    if (c->fd >= 0) drop(a, c);
    c->fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c->fd < 0 && errno != EAGAIN) {
        log_line(a->o.log, LOG_LEVEL_WARNING, "admin: cannot accept a connection: %s", strerror(errno));
        a->rest_until_ms = now_ms + TICK_MS;
    }
    /* IPv4 has its address where the flow label of IPv6 is, which accept() leaves 0, and zeros behind it. */
    memcpy(c->network, (char *)&peer + offsetof(struct sockaddr_in6, sin6_flowinfo), sizeof c->network);
    enter(c, READING, now_ms, a->o.head_ms);
}

static void *run(void *context) {
    struct admin *a = context;
    struct pollfd p[ADMIN_CONNECTIONS + ADMIN_LISTENERS + 1]; /* poll() passes over descriptors of -1 */
    int last = ADMIN_CONNECTIONS + a->o.listener_count;
    for (int64_t now_ms = 0;;) {
        for (int i = 0; i < ADMIN_CONNECTIONS; i++)
            p[i] = (struct pollfd){a->conns[i].fd, a->conns[i].state == ANSWERING ? POLLOUT : POLLIN, 0};
        for (int i = ADMIN_CONNECTIONS; i < last; i++)
            p[i] = (struct pollfd){now_ms < a->rest_until_ms ? -1 : a->o.listeners[i - ADMIN_CONNECTIONS], POLLIN, 0};
        p[last] = (struct pollfd){a->wake, POLLIN, 0};
        if (poll(p, (nfds_t)last + 1, TICK_MS) < 0) poll(NULL, 0, TICK_MS); /* no memory for it */
        if (p[last].revents) return NULL;
        now_ms = monotonic_ms();
        for (struct conn *c = a->conns; c < a->conns + ADMIN_CONNECTIONS; c++) {
            if (p[c - a->conns].revents) (c->state == ANSWERING ? send_some : receive)(a, c, now_ms);
            bool is_over = c->fd >= 0 && now_ms >= c->until_ms;
            if (is_over && c->state == READING)
                answer(a, c, "408 Request Timeout", now_ms);
            else if (is_over)
                drop(a, c);
        }
        for (int i = ADMIN_CONNECTIONS; i < last; i++)
            if (p[i].revents) accept_one(a, p[i].fd, now_ms);
    }
}

struct admin *admin_start(const struct admin_options *options) {
    struct admin *a = mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a == MAP_FAILED) return NULL;
    a->o = *options;
    for (int i = 0; i < ADMIN_CONNECTIONS; i++)
        a->conns[i].fd = -1;
    a->wake = eventfd(0, EFD_CLOEXEC);
    if (a->wake >= 0 && pthread_create(&a->thread, NULL, run, a) == 0) return a;
    close(a->wake);
    munmap(a, sizeof *a);
    return NULL;
}

void admin_drain(struct admin *a) { atomic_store(&a->draining, true); }

void admin_stop(struct admin *a) {
    if (a == NULL) return;
    eventfd_write(a->wake, 1);
    pthread_join(a->thread, NULL);
    for (int i = 0; i < ADMIN_CONNECTIONS; i++)
        if (a->conns[i].fd >= 0) close(a->conns[i].fd);
    close(a->wake);
    munmap(a, sizeof *a);
}
