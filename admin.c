/* admin.c -- the admin endpoint: a small HTTP server that can be asked for three things.
 *
 *   READING -- a whole head --> ANSWERING -- all is sent --> IDLE, READING where more has come, or CLOSING:
 *                                            what still arrives is dropped; a close would turn it into a reset
 *
 * Owns    its connections, and address space for an answer each: no allocation can fail or has to grow when some
 *         200 KB are printed, and the pages go back to the system when they are sent.
 * True    a turn does one receive, one answer and one send a connection at most, and a state ends in time whatever comes.
 * Room    is made for every newcomer: of the network that has the most connections one that is not being answered goes,
 *         if there is one, and the one that is longest in its state. So who opens a thousand takes them from himself.
 * Threads its own; admin_drain() from any one.   Time: monotonic, read once a turn.
 * Failure no descriptor for a newcomer: the listeners rest for REST_MS. An answer that is too long: 500, and logged. */
#include "admin.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_HEAD_MAX 256 /* bytes before an answer's text */
#define CLOSING_MS 1000     /* until the other side has closed, too */
#define REST_MS 100

struct conn {
    int fd; /* -1: none */
    enum { READING, IDLE, ANSWERING, CLOSING } state;
    int64_t since_ms, until_ms; /* in this state */
    uint64_t network;
    bool pending; /* more has come than the request that was answered: it is not waited for */
    bool closes;  /* after this answer */
    size_t in_len, out_at, out_end;
    char *out; /* ADMIN_ANSWER_MAX bytes */
    char in[ADMIN_HEAD_MAX];
};

struct admin {
    struct admin_options o;
    atomic_bool draining;
    pthread_t thread;
    int wake; /* an eventfd: readable when it is to end */
    int64_t rest_until_ms;
    char *answers;
    struct conn conns[ADMIN_CONNECTIONS];
};

struct request {
    char *method, *path;
    bool closes;
};

static void release(struct admin *a) {
    if (a->answers != MAP_FAILED) munmap(a->answers, ADMIN_CONNECTIONS * ADMIN_ANSWER_MAX);
    if (a->wake >= 0) close(a->wake);
    free(a);
}

static int64_t monotonic_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void enter(struct conn *c, int state, int64_t now_ms, int limit_ms) {
    c->state = state;
    c->since_ms = now_ms;
    c->until_ms = now_ms + limit_ms;
}

static void drop(struct conn *c) {
    close(c->fd);
    c->fd = -1;
    madvise(c->out, ADMIN_ANSWER_MAX, MADV_DONTNEED);
}

static void send_some(struct admin *a, struct conn *c, int64_t now_ms) {
    ssize_t n = send(c->fd, c->out + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
    if (n > 0) c->out_at += (size_t)n;
    if (n < 0 && errno != EAGAIN && errno != EINTR) drop(c);
    if (n < 0 || c->out_at < c->out_end) return;
    madvise(c->out, ADMIN_ANSWER_MAX, MADV_DONTNEED);
    c->pending = !c->closes && c->in_len > 0;
    if (c->closes) shutdown(c->fd, SHUT_WR);
    if (c->closes)
        enter(c, CLOSING, now_ms, CLOSING_MS);
    else
        enter(c, c->pending ? READING : IDLE, now_ms, c->pending ? a->o.head_ms : a->o.idle_ms);
}

/* Says the status, with "ok", the metrics, or the rest of its line as text. */
static void answer(struct admin *a, struct conn *c, const char *status, const struct request *r, int64_t now_ms) {
    struct buf body = {c->out + ANSWER_HEAD_MAX, 0, ADMIN_ANSWER_MAX - ANSWER_HEAD_MAX, false};
    bool is_ok = strcmp(status, "200 OK") == 0, is_metrics = is_ok && r->path[1] == 'm';
    if (is_metrics) a->o.metrics(a->o.context, &body);
    if (body.full) {
        log_line(a->o.log, LOG_LEVEL_WARNING, "/metrics is not answered: it has more than %zu bytes", body.cap);
        status = "500 Internal Server Error"; /* half of the truth would look like all of it */
        body.len = 0;
    }
    if (body.len == 0) buf_printf(&body, "%s\n", is_ok && !is_metrics ? "ok" : status + 4);
    char head[ANSWER_HEAD_MAX];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nContent-Type: text/plain; %scharset=utf-8\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\n%s%s\r\n",
                     status, is_metrics ? "version=0.0.4; " : "", body.len,
                     strncmp(status, "405", 3) ? "" : "Allow: GET, HEAD\r\n", r->closes ? "Connection: close\r\n" : "");
    c->closes = r->closes;
    c->out_at = ANSWER_HEAD_MAX - (size_t)n;
    c->out_end = ANSWER_HEAD_MAX + (strcmp(r->method, "HEAD") ? body.len : 0);
    memcpy(c->out + c->out_at, head, (size_t)n);
    enter(c, ANSWERING, now_ms, a->o.send_ms);
    send_some(a, c, now_ms);
}

/* The size of the head that these bytes begin with, its empty line counted; 0: it goes on. */
static size_t head_size(const char *p, size_t n) {
    for (const char *line = p, *end; (end = memchr(line, '\n', (size_t)(p + n - line))) != NULL; line = end + 1)
        if (end == line || (end == line + 1 && *line == '\r')) return (size_t)(end + 1 - p);
    return 0;
}

/* Reads a head, whose lines may end as they like. Returns the status of what is wrong with it, or NULL. */
static const char *read_head(char *head, size_t size, struct request *r) {
    static const char bad[] = "400 Bad Request";
    char *lines, *words, *line;
    int hosts = 0;
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)head[i] < ' ' && !memchr("\t\r\n", head[i], 3)) || head[i] == 0x7f) return bad;
    head[size - 1] = '\0';
    if ((line = strtok_r(head, "\r\n", &lines)) == NULL) return bad;
    char *method = strtok_r(line, " ", &words), *path = strtok_r(NULL, " ", &words);
    const char *version = strtok_r(NULL, " ", &words);
    if (version == NULL || strtok_r(NULL, " ", &words) || strncmp(version, "HTTP/", 5) != 0) return bad;
    if (strncmp(version, "HTTP/1.", 7) != 0) return "505 HTTP Version Not Supported";
    bool is_1_0 = strcmp(version + 7, "0") == 0, closes = is_1_0;
    while ((line = strtok_r(NULL, "\r\n", &lines)) != NULL) {
        size_t name = strcspn(line, ": \t");
        if (name == 0 || line[name] != ':') return bad;
        line[name] = '\0';
        const char *value = line + name + 1 + strspn(line + name + 1, " \t");
        hosts += strcasecmp(line, "Host") == 0;
        closes |= strcasecmp(line, "Connection") == 0 && strcasestr(value, "close");
        bool is_zero = *value == '0' && value[strspn(value, "0")] == '\0';
        if (strcasecmp(line, "Transfer-Encoding") == 0 || (strcasecmp(line, "Content-Length") == 0 && !is_zero))
            return bad; /* a body would be taken for the next request */
    }
    if (hosts != 1 && !(is_1_0 && hosts == 0)) return bad;
    path[strcspn(path, "?")] = '\0';
    *r = (struct request){method, path, closes};
    return NULL;
}

static const char *status_of(struct admin *a, const struct request *r) {
    bool is_ready = strcmp(r->path, "/readyz") == 0;
    if (!is_ready && strcmp(r->path, "/metrics") != 0 && strcmp(r->path, "/healthz") != 0) return "404 Not Found";
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0) return "405 Method Not Allowed";
    return is_ready && atomic_load(&a->draining) ? "503 draining" : "200 OK";
}

/* Answers the first request of what has come, once it is whole, or too long, or too late. */
static void answer_first(struct admin *a, struct conn *c, int64_t now_ms) {
    struct request r = {"", "", true};
    const char *status = now_ms < c->until_ms ? NULL : "408 Request Timeout";
    size_t size = head_size(c->in, c->in_len);
    if (c->in_len == ADMIN_HEAD_MAX) status = "431 Request Header Fields Too Large";
    if (size > 0 && (status = read_head(c->in, size, &r)) == NULL) status = status_of(a, &r);
    c->pending = false;
    c->in_len -= size;
    if (status) answer(a, c, status, &r, now_ms);
    memmove(c->in, c->in + size, c->in_len);
}

/* Does what its state asks for; something came or could be sent if it `moved`. */
static void step(struct admin *a, struct conn *c, bool moved, int64_t now_ms) {
    if (moved && c->state != ANSWERING && !c->pending) {
        if (c->state == CLOSING) c->in_len = 0;
        ssize_t n = recv(c->fd, c->in + c->in_len, ADMIN_HEAD_MAX - c->in_len, 0);
        bool is_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
        if (is_over) c->until_ms = now_ms, c->state = CLOSING;
        if (n > 0 && c->state == IDLE) enter(c, READING, now_ms, a->o.head_ms);
        if (n > 0) c->in_len += (size_t)n;
    }
    if (c->state == READING)
        answer_first(a, c, now_ms);
    else if (now_ms >= c->until_ms)
        drop(c);
    else if (c->state == ANSWERING)
        send_some(a, c, now_ms);
}

/* A place for a newcomer: a free one, or that of somebody who goes. */
static struct conn *make_room(struct admin *a) {
    struct conn *found = NULL;
    int most = 0;
    for (struct conn *c = a->conns; c < a->conns + ADMIN_CONNECTIONS; c++) {
        int score = c->state != ANSWERING;
        for (int i = 0; i < ADMIN_CONNECTIONS; i++)
            score += 2 * (a->conns[i].network == c->network);
        if (c->fd < 0) return c;
        if (score < most || (score == most && c->since_ms >= found->since_ms)) continue;
        most = score;
        found = c;
    }
    drop(found);
    return found;
}

/* One newcomer a turn: what it has sent already is answered before the next one may take its place. */
static void accept_one(struct admin *a, int listener, int64_t now_ms) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer = {0};
    socklen_t size = sizeof peer;
    struct conn *c = make_room(a);
    c->fd = accept4(listener, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c->fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        log_line(a->o.log, LOG_LEVEL_WARNING, "admin: cannot accept a connection: %s", strerror(errno));
        a->rest_until_ms = now_ms + REST_MS;
    }
    if (c->fd < 0) return;
    c->in_len = 0;
    c->pending = false;
    c->network = peer.v4.sin_addr.s_addr;
    if (peer.any.sa_family == AF_INET6) memcpy(&c->network, &peer.v6.sin6_addr, sizeof c->network);
    enter(c, READING, now_ms, a->o.head_ms);
    step(a, c, true, now_ms);
}

static void *run(void *context) {
    struct admin *a = context;
    struct pollfd p[ADMIN_CONNECTIONS + ADMIN_LISTENERS + 1]; /* poll() passes over what is negative */
    int last = ADMIN_CONNECTIONS + a->o.listener_count;
    for (int64_t now_ms = monotonic_ms();; now_ms = monotonic_ms()) {
        bool rests = now_ms < a->rest_until_ms;
        int64_t until_ms = rests ? a->rest_until_ms : now_ms + ADMIN_IDLE_MS;
        for (int i = 0; i < ADMIN_CONNECTIONS; i++) {
            const struct conn *c = &a->conns[i];
            p[i] = (struct pollfd){c->fd, c->state == ANSWERING ? POLLOUT : POLLIN, 0};
            if (c->fd >= 0 && (c->pending || c->until_ms < until_ms)) until_ms = c->pending ? now_ms : c->until_ms;
        }
        for (int i = ADMIN_CONNECTIONS; i < last; i++)
            p[i] = (struct pollfd){rests ? -1 : a->o.listeners[i - ADMIN_CONNECTIONS], POLLIN, 0};
        p[last] = (struct pollfd){a->wake, POLLIN, 0};
        if (poll(p, (nfds_t)last + 1, until_ms > now_ms ? (int)(until_ms - now_ms) : 0) < 0) poll(NULL, 0, REST_MS);
        if (p[last].revents) return NULL;
        now_ms = monotonic_ms();
        for (int i = 0; i < ADMIN_CONNECTIONS; i++) {
            struct conn *c = &a->conns[i];
            if (c->fd >= 0 && (p[i].revents || c->pending || now_ms >= c->until_ms)) step(a, c, p[i].revents, now_ms);
        }
        for (int i = ADMIN_CONNECTIONS; i < last; i++)
            if (p[i].revents) accept_one(a, p[i].fd, now_ms);
    }
}

struct admin *admin_start(const struct admin_options *options) {
    struct admin *a = calloc(1, sizeof *a);
    if (a == NULL) return NULL;
    a->o = *options;
    a->wake = eventfd(0, EFD_CLOEXEC);
    a->answers = mmap(NULL, ADMIN_CONNECTIONS * ADMIN_ANSWER_MAX, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int i = 0; i < ADMIN_CONNECTIONS; i++) {
        a->conns[i].fd = -1;
        a->conns[i].out = a->answers + i * ADMIN_ANSWER_MAX;
    }
    if (a->wake >= 0 && a->answers != MAP_FAILED && (errno = pthread_create(&a->thread, NULL, run, a)) == 0) return a;
    release(a);
    return NULL;
}

void admin_drain(struct admin *a) { atomic_store(&a->draining, true); }

void admin_stop(struct admin *a) {
    if (a == NULL) return;
    eventfd_write(a->wake, 1);
    pthread_join(a->thread, NULL);
    for (int i = 0; i < ADMIN_CONNECTIONS; i++)
        if (a->conns[i].fd >= 0) close(a->conns[i].fd);
    release(a);
}
