/* test_admin.c -- the admin endpoint over real sockets: each status, byte for byte, and those who are slow, many or
 * mad.
 *
 * Every test starts an endpoint of its own on a free port, with time limits that suit it, and looks at its end whether
 * as many descriptors are open as before. Whoever waits does so until a deadline, generous as machines are loaded. */
#include "../admin.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "random.h"
#include "tap.h"

#define PATIENCE_MS 20000
#define NEVER 1000000 /* ms: no time limit is met in this test */

static const char get_health[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
static const char get_metrics[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
static const char ok_answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
                                "Cache-Control: no-store\r\n\r\nok\n";

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int descriptors(void) {
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (d && readdir(d))
        n++;
    if (d) closedir(d);
    return n;
}

/* Whether it comes about that so many are open. */
static bool descriptors_become(int n) {
    for (int64_t until_ms = now_ms() + PATIENCE_MS; descriptors() != n; poll(NULL, 0, 5))
        if (now_ms() > until_ms) return false;
    return true;
}

/* ---- an endpoint ---- */

static struct endpoint {
    struct admin *admin;
    int listener, port, descriptors;
    struct log log;
    size_t metrics_bytes; /* that the callback prints */
    atomic_int scrapes;
} e;

static void print_metrics(void *context, struct buf *out) {
    struct endpoint *endpoint = context;
    static const char line[] = "sponson_hits_total 1234567890\n";
    atomic_fetch_add(&endpoint->scrapes, 1);
    for (size_t n = 0; n < endpoint->metrics_bytes; n += sizeof line - 1)
        buf_put(out, line, sizeof line - 1);
}

static void begin(int head_ms, int idle_ms, int send_ms) {
    struct sockaddr_in at = {.sin_family = AF_INET}; /* of all addresses: tests come from several of 127.0.0.0/8 */
    socklen_t size = sizeof at;
    e = (struct endpoint){.descriptors = descriptors(),
                          .log = {.fd = STDERR_FILENO, .level = LOG_LEVEL_WARNING + 1},
                          .metrics_bytes = 90};
    e.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(e.listener, (struct sockaddr *)&at, size) != 0 || listen(e.listener, 2000) != 0 ||
        getsockname(e.listener, (struct sockaddr *)&at, &size) != 0)
        perror("# listen");
    e.port = ntohs(at.sin_port);
    struct admin_options o = {&e.listener, 1, &e.log, print_metrics, &e, head_ms, idle_ms, send_ms};
    e.admin = admin_start(&o);
    CHECK(e.admin != NULL);
}

static void end(void) {
    admin_stop(e.admin);
    close(e.listener);
    CHECK(descriptors() == e.descriptors);
}

/* ---- a client ---- */

/* A connection from 127.0.0.`from`. */
static int dial_from(int from) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t)from)};
    struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)e.port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct linger reset = {1,
                           0}; /* at its close, so that some thousands of ports do not wait for their time to be over */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0 ||
        connect(fd, (struct sockaddr *)&there, sizeof there) != 0)
        perror("# connect");
    return fd;
}

static int dial(void) { return dial_from(1); }

static bool wait_for(int fd, short events, int64_t until_ms) {
    struct pollfd p = {fd, events, 0};
    int64_t left = until_ms - now_ms();
    return poll(&p, 1, left > 0 ? (int)left : 0) == 1;
}

/* Sends all of it. False: the other side took no more. */
static bool say(int fd, const char *p, size_t n) {
    int64_t until_ms = now_ms() + PATIENCE_MS;
    while (n > 0 && wait_for(fd, POLLOUT, until_ms)) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) return false;
        p += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
    }
    return n == 0;
}

static void say_text(int fd, const char *text) { say(fd, text, strlen(text)); }

static char got[4 << 20]; /* NUL-terminated */
static size_t got_len;

enum ending { ENDED, RESET, OPEN };

/* Reads n bytes, or up to the end; what came is in `got`. */
static enum ending hear(int fd, size_t n, int patience_ms) {
    int64_t until_ms = now_ms() + patience_ms;
    enum ending ending = OPEN;
    for (got_len = 0; got_len < n && wait_for(fd, POLLIN, until_ms);) {
        ssize_t more = recv(fd, got + got_len, n - got_len, MSG_DONTWAIT);
        if (more > 0) got_len += (size_t)more;
        if (more == 0) ending = ENDED;
        if (more < 0 && errno != EAGAIN) ending = RESET;
        if (ending != OPEN) break;
    }
    got[got_len] = '\0';
    return ending;
}

static enum ending hear_all(int fd) { return hear(fd, sizeof got - 1, PATIENCE_MS); }

static void hear_text(int fd, const char *want) {
    CHECK(hear(fd, strlen(want), PATIENCE_MS) == OPEN);
    CHECK_TEXT(got, want);
}

/* The status of the answer in `got`, when what follows has its form: fields that must be there, as many bytes of text
 * as are announced, and nothing behind it. 0: it has not. */
static int status_of(bool head_only) {
    int status = 0;
    size_t length = 0;
    const char *text = strstr(got, "\r\n\r\n"), *field = strstr(got, "\r\nContent-Length: ");
    if (!text || !field || field > text || strlen(got) != got_len) return 0;
    if (sscanf(got, "HTTP/1.1 %3d ", &status) != 1 || sscanf(field, "\r\nContent-Length: %zu\r\n", &length) != 1)
        return 0;
    const char *store = strstr(got, "\r\nCache-Control: no-store\r\n"),
               *type = strstr(got, "\r\nContent-Type: text/plain; ");
    if (!store || store > text || !type || type > text) return 0;
    return strlen(text + 4) == (head_only ? 0 : length) ? status : 0;
}

/* Asks on a connection of its own, and reads up to the end, which must be one without reset. */
static int ask(const char *request, size_t n) {
    int fd = dial();
    say(fd, request, n);
    shutdown(fd, SHUT_WR); /* of what is answered first nothing may be lost */
    CHECK(hear_all(fd) == ENDED);
    close(fd);
    return status_of(n > 4 && memcmp(request, "HEAD", 4) == 0);
}

/* ---- one request ---- */

static void test_answers(void) {
    begin(NEVER, NEVER, NEVER);
    int fd = dial();
    say_text(fd, get_health);
    hear_text(fd, ok_answer);
    say_text(fd, "GET /readyz HTTP/1.1\r\nhost:x\r\n\r\n");
    hear_text(fd, ok_answer);
    say_text(fd, "GET /metrics HTTP/1.1\r\nHOST:\r\n\r\n");
    hear_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 90\r\n"
                  "Cache-Control: no-store\r\n\r\nsponson_hits_total 1234567890\nsponson_hits_total 1234567890\n"
                  "sponson_hits_total 1234567890\n");
    say_text(fd, "HEAD /metrics?name[]=up&x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    hear_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 90\r\n"
                  "Cache-Control: no-store\r\n\r\n");
    say_text(fd, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    hear_text(fd, "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\n"
                  "Cache-Control: no-store\r\nAllow: GET, HEAD\r\n\r\nMethod Not Allowed\n");
    close(fd);
    CHECK(atomic_load(&e.scrapes) == 2);
    end();
}

#define H "Host: x\r\n"

static void test_statuses(void) {
    static const struct {
        int status;
        const char *request;
    } cases[] = {
        {200, "GET /healthz HTTP/1.0\r\n\r\n"},
        {200, "GET /healthz HTTP/1.0\r\n\r\n"},
        {200, "GET /healthz HTTP/1.0\r\n" H "\r\n"},
        {200, "GET /healthz HTTP/1.1\r\n" H "\r\n"},
        {200, "GET /healthz HTTP/1.9\r\n" H "\r\n"},
        {200, "HEAD /healthz HTTP/1.1\r\n" H "\r\n"},
        {200, "GET /healthz?a=b HTTP/1.1\r\n" H "\r\n"},
        {200, "GET /metrics? HTTP/1.1\r\n" H "\r\n"},
        {200, "GET /healthz HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"},
        {200, "GET /healthz HTTP/1.1\r\n" H "X: \xc3\xa4 \t: y\r\nEmpty:\r\n\r\n"},
        {404, "GET / HTTP/1.1\r\n" H "\r\n"},
        {404, "HEAD / HTTP/1.1\r\n" H "\r\n"},
        {404, "GET /metric HTTP/1.1\r\n" H "\r\n"},
        {404, "GET /metrics/ HTTP/1.1\r\n" H "\r\n"},
        {404, "GET /Metrics HTTP/1.1\r\n" H "\r\n"},
        {404, "GET //metrics HTTP/1.1\r\n" H "\r\n"},
        {404, "GET /../metrics HTTP/1.1\r\n" H "\r\n"},
        {404, "GET ?/metrics HTTP/1.1\r\n" H "\r\n"},
        {404, "GET m HTTP/1.1\r\n" H "\r\n"},
        {404, "OPTIONS * HTTP/1.1\r\n" H "\r\n"},
        {405, "POST /metrics HTTP/1.1\r\n" H "\r\n"},
        {405, "DELETE /healthz HTTP/1.0\r\n\r\n"},
        {405, "get /readyz HTTP/1.1\r\n" H "\r\n"},
        {405, "GETS /readyz HTTP/1.1\r\n" H "\r\n"},
        {400, "\r\n\r\n"},
        {400, " \r\n\r\n"},
        {400, "GET\r\n\r\n"},
        {400, "GET /healthz\r\n\r\n"},
        {400, "GET /healthz \r\n\r\n"},
        {400, "GET /healthz HTTP\r\n\r\n"},
        {400, "GET /healthz HTTX/1.1\r\n" H "\r\n"},
        {400, "GET /healthz http/1.1\r\n" H "\r\n"},
        {400, "GET /healthz HTTP/1.\r\n" H "\r\n"},
        {400, "GET /healthz HTTP/1.x\r\n" H "\r\n"},
        {400, "GET /healthz HTTP/1.1x\r\n" H "\r\n"},
        {400, "GET /healthz HTTP/1.1 x\r\n" H "\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\nHosts: x\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H H "\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H "no colon\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H ": no name\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H "name : x\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H " folded: x\r\n\r\n"},
        {400, "POST /healthz HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab"},
        {400, "GET /healthz HTTP/1.1\r\n" H "content-length: 00001\r\n\r\na"},
        {400, "GET /healthz HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H "Content-Length: 0, 5\r\n\r\nabcde"},
        {400, "GET /healthz HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde"},
        {400, "GET /healthz HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "GET /healthz HTTP/1.1\r\n" H "transfer-encoding: identity\r\n\r\n"},
        {400, "POST /nothing HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\na"},
        {400, "*1\r\n$4\r\nPING\r\n\r\n"},
        {505, "GET /healthz HTTP/2.0\r\n" H "\r\n"},
        {505, "GET /healthz HTTP/0.9\r\n\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
    };
    begin(NEVER, NEVER, NEVER);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = ask(cases[i].request, strlen(cases[i].request));
        bool right = status == cases[i].status;
        if (!right) printf("# %d, not %d: %s\n# %s\n", status, cases[i].status, cases[i].request, got);
        CHECK(right);
        bool closes = cases[i].status == 400 || cases[i].status == 505 || strstr(cases[i].request, "HTTP/1.0");
        CHECK(closes == (strstr(got, "\r\nConnection: close\r\n") != NULL));
        CHECK((cases[i].status == 405) == (strstr(got, "\r\nAllow: GET, HEAD\r\n") != NULL));
    }
    static const char zero[] = "GET /healthz HTTP/1.1\r\n" H "X: a\0b\r\n\r\n";
    CHECK(ask(zero, sizeof zero - 1) == 400);
    static const char zero_path[] = "GET /healthz\0 HTTP/1.1\r\n" H "\r\n";
    CHECK(ask(zero_path, sizeof zero_path - 1) == 400);
    end();
}

/* A head of so many bytes. */
static char *long_head(size_t size) {
    char *head = malloc(size + 1);
    int n = snprintf(head, size, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ");
    memset(head + n, 'a', size - (size_t)n);
    memcpy(head + size - 4, "\r\n\r\n", 5);
    return head;
}

static void test_head_limit(void) {
    begin(NEVER, NEVER, NEVER);
    for (size_t size = ADMIN_HEAD_MAX - 1; size <= ADMIN_HEAD_MAX + 2; size++) {
        char *head = long_head(size);
        CHECK(ask(head, size) == (size <= ADMIN_HEAD_MAX ? 200 : 431));
        int fd = dial(); /* in two parts, cut anywhere */
        size_t cut = size == ADMIN_HEAD_MAX ? size - 1 : 1 + below((uint32_t)size - 1);
        say(fd, head, cut);
        CHECK(!wait_for(fd, POLLIN, now_ms() + 50) || cut >= ADMIN_HEAD_MAX);
        say(fd, head + cut, size - cut);
        CHECK(hear(fd, 12, PATIENCE_MS) == OPEN);
        CHECK_TEXT(got, size <= ADMIN_HEAD_MAX ? "HTTP/1.1 200" : "HTTP/1.1 431");
        close(fd);
        free(head);
    }
    size_t size = 1 << 20; /* a line of a megabyte: what comes behind the answer does not turn the end into a reset */
    char *line = malloc(size);
    memset(line, 'a', size);
    int fd = dial();
    say(fd, line, size);
    CHECK(hear_all(fd) == ENDED);
    CHECK(status_of(false) == 431);
    CHECK(say(fd, line, size));
    close(fd);
    free(line);
    end();
}

static void test_single_bytes(void) {
    begin(NEVER, NEVER, NEVER);
    int fd = dial(), one = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof get_health - 1; i++) {
            CHECK(!wait_for(fd, POLLIN, now_ms())); /* nothing before the last one */
            say(fd, get_health + i, 1);
        }
        hear_text(fd, ok_answer);
    }
    close(fd);
    end();
}

/* Requests that come at once, also with a cut anywhere, are answered in order, and none behind the one that closes. */
static void test_pipeline(void) {
    begin(NEVER, NEVER, NEVER);
    e.metrics_bytes = 300;
    static const char *const kinds[] = {"GET /healthz HTTP/1.1\r\n" H "\r\n", "HEAD /metrics HTTP/1.1\r\n" H "\r\n",
                                        "GET /x HTTP/1.1\n" H "\r\n", "PUT /readyz HTTP/1.1\r\n" H "\r\n",
                                        "GET /metrics HTTP/1.1\r\n" H "\r\n"};
    static const int statuses[] = {200, 200, 404, 405, 200};
    for (int round = 0; round < 20; round++) {
        char *requests = malloc(64 << 10);
        size_t n = 0;
        int order[400], count = 1 + (int)below(400);
        for (int i = 0; i < count; i++) {
            order[i] = (int)below(5);
            n += (size_t)sprintf(requests + n, "%s", kinds[order[i]]);
        }
        n += (size_t)sprintf(requests + n, "GET /readyz HTTP/1.1\r\n" H "Connection: Keep-Alive, Close\r\n\r\n%s",
                             get_health);
        int fd = dial();
        for (size_t at = 0; at < n;) {
            size_t part = round ? 1 + below((uint32_t)(n - at)) : n;
            say(fd, requests + at, part);
            at += part;
        }
        CHECK(hear_all(fd) == ENDED);
        close(fd);
        const char *p = got;
        for (int i = 0; i <= count; i++) {
            int status = i < count ? statuses[order[i]] : 200;
            char want[16];
            snprintf(want, sizeof want, "HTTP/1.1 %d", status);
            const char *length = strstr(p, "Content-Length: "), *text = strstr(p, "\r\n\r\n");
            bool right = strncmp(p, want, strlen(want)) == 0 && length && text;
            CHECK(right);
            if (!right) break;
            bool is_head = i < count && order[i] == 1;
            p = text + 4 + (is_head ? 0 : atoi(length + 16));
        }
        CHECK(*p == '\0');
        free(requests);
    }
    /* who closes his half at once gets all his answers */
    int fd = dial();
    for (int i = 0; i < 100; i++)
        say_text(fd, get_health);
    shutdown(fd, SHUT_WR);
    CHECK(hear_all(fd) == ENDED);
    CHECK(got_len == 100 * (sizeof ok_answer - 1));
    close(fd);
    end();
}

static void test_drain(void) {
    begin(NEVER, NEVER, NEVER);
    int fd = dial();
    say_text(fd, "GET /readyz HTTP/1.1\r\n" H "\r\n");
    hear_text(fd, ok_answer);
    admin_drain(e.admin);
    static const char ready[] = "GET /readyz HTTP/1.1\r\n" H "\r\n";
    say_text(fd, get_health);
    hear_text(fd, ok_answer);
    close(fd);
    CHECK(ask(ready, sizeof ready - 1) == 503);
    CHECK(strcmp(strstr(got, "\r\n\r\n"), "\r\n\r\ndraining\n") == 0);
    CHECK(ask(get_health, sizeof get_health - 1) == 200);
    CHECK(ask(get_metrics, sizeof get_metrics - 1) == 200);
    end();
}

/* ---- those who are slow ---- */

static void test_time_limits(void) {
    begin(600, 2400, NEVER);
    int64_t start_ms = now_ms();
    int idle = dial();
    say_text(idle, get_health);
    hear_text(idle, ok_answer);
    int silent = dial(), slow = dial(), late = dial();
    say_text(slow, "GET /heal");
    for (int fd = silent;; fd = slow) {
        CHECK(hear_all(fd) == ENDED);
        CHECK(status_of(false) == 408);
        CHECK(strstr(got, "\r\nConnection: close\r\n") != NULL);
        CHECK(now_ms() - start_ms >= 590);
        if (fd == slow) break;
    }
    CHECK(hear_all(idle) == ENDED); /* silently */
    CHECK(got_len == 0 && now_ms() - start_ms >= 2390);
    CHECK(hear_all(late) == ENDED);
    close(silent), close(slow), close(idle), close(late);

    /* Who has been idle for longer than a head may take has that time again once his next one begins; bytes that come
     * one after the other do not prolong it. */
    int fd = dial();
    say_text(fd, get_health);
    hear_text(fd, ok_answer);
    poll(NULL, 0, 800);
    start_ms = now_ms();
    int said = 0;
    while (!wait_for(fd, POLLIN, now_ms() + 20) && said < 1000)
        say(fd, &"GET /healthz?xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"[said++ % 42], 1);
    CHECK(now_ms() - start_ms >= 590 && now_ms() - start_ms < PATIENCE_MS);
    CHECK(said > 2);
    CHECK(hear_all(fd) == ENDED);
    CHECK(status_of(false) == 408);
    close(fd);
    end();
}

/* An answer that is not read is dropped after a while, and one that is read slowly is whole. */
static void test_slow_readers(void) {
    begin(NEVER, NEVER, 1500);
    e.metrics_bytes = ADMIN_ANSWER_MAX - 1000;
    int fds[4], base = descriptors();
    for (int i = 0; i < 4; i++) {
        fds[i] = dial();
        for (int n = 0; n < 10; n++) /* more than what the system takes for one connection */
            say_text(fds[i], get_metrics);
    }
    for (int i = 0; i < 4; i++)
        CHECK(hear(fds[i], 1, PATIENCE_MS) == OPEN); /* it is answered, so it was accepted */
    CHECK(descriptors_become(base + 4));
    for (int i = 0; i < 4; i++) {
        CHECK(hear(fds[i], sizeof got - 1, PATIENCE_MS) != OPEN || got_len == sizeof got - 1);
        close(fds[i]);
    }
    int fd = dial();
    say_text(fd, get_metrics);
    CHECK(hear(fd, 1000, PATIENCE_MS) == OPEN);
    const char *length = strstr(got, "Content-Length: "), *text = strstr(got, "\r\n\r\n");
    REQUIRE(length && text);
    size_t left = (size_t)atol(length + 16) - (got_len - (size_t)(text + 4 - got));
    for (; left > 0 && hear(fd, left < 65536 ? left : 65536, PATIENCE_MS) == OPEN && got_len > 0; left -= got_len)
        poll(NULL, 0, 5);
    CHECK(left == 0 && strcmp(got + got_len - 12, " 1234567890\n") == 0);
    close(fd);
    end();
}

static void test_large_answers(void) {
    begin(NEVER, NEVER, NEVER);
    e.metrics_bytes = 0;
    CHECK(ask(get_metrics, sizeof get_metrics - 1) == 200);
    e.metrics_bytes = 200000;
    CHECK(ask(get_metrics, sizeof get_metrics - 1) == 200);
    CHECK(got_len > 200000);
    e.metrics_bytes = 2 * ADMIN_ANSWER_MAX;
    CHECK(ask(get_metrics, sizeof get_metrics - 1) == 500);
    CHECK(strcmp(strstr(got, "\r\n\r\n"), "\r\n\r\nMetrics Too Long\n") == 0);
    end();
}

/* ---- many ---- */

/* 50 that say nothing, or a byte, are no reason to wait for a scrape, be it from their own address: those go that are
 * there for longest. */
static void test_half_open(void) {
    begin(NEVER, NEVER, NEVER);
    int fds[50];
    for (int i = 0; i < 50; i++) {
        fds[i] = dial();
        if (i % 2) say(fds[i], "G", 1);
    }
    CHECK(ask(get_health, sizeof get_health - 1) == 200); /* none of them has to end for it */
    for (int i = 0; i < 50; i++) {
        bool stays = i >= 50 + 1 - ADMIN_CONNECTIONS, is_open = hear(fds[i], 1, stays ? 0 : PATIENCE_MS) == OPEN;
        CHECK(is_open == stays);
        close(fds[i]);
    }
    end();
}

/* Many who come again and again from one address do not drive out who comes from another one, idle or unfinished. */
static void test_fairness(void) {
    begin(NEVER, NEVER, NEVER);
    int idle = dial_from(2), unfinished = dial_from(3);
    say_text(idle, get_health);
    hear_text(idle, ok_answer);
    say(unfinished, get_health, 10);
    int fds[1000];
    for (int i = 0; i < 1000; i++) {
        fds[i] = dial();
        say(fds[i], "G", 1);
    }
    say_text(unfinished, get_health + 10);
    hear_text(unfinished, ok_answer);
    say_text(idle, get_health);
    hear_text(idle, ok_answer);
    int other = dial_from(4);
    say_text(other, get_health);
    hear_text(other, ok_answer);
    close(other), close(idle), close(unfinished);
    for (int i = 0; i < 1000; i++)
        close(fds[i]);
    CHECK(ask(get_health, sizeof get_health - 1) == 200);
    end();
}

/* Without descriptors nobody is accepted; nothing spins, and it goes on when there are some again. */
static void test_no_descriptors(void) {
    begin(NEVER, NEVER, NEVER);
    int fd = dial();
    int taken[4096], count = 0;
    struct rlimit limit, low = {256, 256};
    getrlimit(RLIMIT_NOFILE, &limit);
    low.rlim_max = limit.rlim_max;
    say_text(fd, get_health);
    hear_text(fd, ok_answer);
    int waiting = socket(AF_INET, SOCK_STREAM, 0);
    setrlimit(RLIMIT_NOFILE, &low);
    while (count < 4096 && (taken[count] = dup(fd)) >= 0)
        count++;
    struct sockaddr_in there = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)e.port)};
    CHECK(connect(waiting, (struct sockaddr *)&there, sizeof there) == 0);
    say_text(waiting, get_health);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    CHECK(hear(waiting, 1, 1000) == OPEN && got_len == 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 300);
    say_text(fd, get_health); /* who is there is served */
    hear_text(fd, ok_answer);
    while (count > 0)
        close(taken[--count]);
    setrlimit(RLIMIT_NOFILE, &limit);
    hear_text(waiting, ok_answer);
    close(waiting), close(fd);
    end();
}

/* Sixteen idle ones for a second cost no time of the processor: nothing is asked over and over. */
static void test_no_spinning(void) {
    begin(NEVER, NEVER, NEVER);
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = dial();
        say_text(fds[i], i % 2 ? get_health : "GET ");
        if (i % 2) hear_text(fds[i], ok_answer);
    }
    e.metrics_bytes = ADMIN_ANSWER_MAX - 1000; /* and one does not read */
    for (int i = 0; i < 5; i++)
        say_text(fds[19], "GET /metrics HTTP/1.1\r\n" H "\r\n");
    poll(NULL, 0, 200);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    poll(NULL, 0, 1000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 300);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    end();
}

/* ---- those who are mad ---- */

/* Whatever comes is answered in HTTP, or with the end; never with silence. */
static void test_garbage(void) {
    static const char *const seeds[] = {
        get_health, "GET /metrics HTTP/1.1\r\n" H "Content-Length: 99999999999999999999999\r\n\r\n",
        "HEAD /readyz?x HTTP/1.0\r\nConnection: close\r\n\r\n" H "\r\n", "\n\n\r\n\r\n\n"};
    begin(NEVER, NEVER, NEVER);
    for (int i = 0; i < 3000; i++) {
        char in[1024];
        size_t n = 0;
        for (uint32_t seed = below(4), times = 1 + below(3); times > 0; times--)
            n += (size_t)sprintf(in + n, "%s", seeds[seed]);
        for (uint32_t changes = below(8); changes > 0; changes--)
            in[below((uint32_t)n)] = (char)(below(3) ? "\r\n :/\0\t0"[below(8)] : (char)below(256));
        if (below(4) == 0) n = 1 + below((uint32_t)n);
        for (size_t at = 0; below(8) == 0 && at < n; at++)
            in[at] = (char)below(256);
        int fd = dial();
        size_t cut = below((uint32_t)n);
        say(fd, in, cut);
        say(fd, in + cut, n - cut);
        say_text(fd, "\r\n\r\nPRI * HTTP/2.0\r\n\r\n"); /* after this at the latest it is over */
        CHECK(hear_all(fd) == ENDED);
        CHECK(got_len == 0 || strncmp(got, "HTTP/1.1 ", 9) == 0);
        close(fd);
    }
    CHECK(ask(get_health, sizeof get_health - 1) == 200);
    end();
}

int main(void) {
    static const struct tap_test tests[] = {
        {"what is answered, byte for byte", test_answers},
        {"every status", test_statuses},
        {"a head of 8 KB, and of one byte more", test_head_limit},
        {"single bytes", test_single_bytes},
        {"requests that come at once", test_pipeline},
        {"draining", test_drain},
        {"slow requests, and those who ask nothing more", test_time_limits},
        {"answers that nobody reads", test_slow_readers},
        {"answers of no byte, of 200 KB, and too long", test_large_answers},
        {"50 half-open connections and a scrape", test_half_open},
        {"1,000 connections from one address, and others", test_fairness},
        {"no descriptors left", test_no_descriptors},
        {"nothing spins", test_no_spinning},
        {"garbage", test_garbage},
    };
    return tap_main(tests, sizeof tests / sizeof *tests);
}
