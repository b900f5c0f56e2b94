/* load.c -- the load: C connections with P requests in flight on each, RESP or memcached's text protocol. Every
 * reply is checked; one JSON line on stdout tells what was answered.
 *
 *   load --port N [--memcached 1] [--connections C] [--pipeline P] [--keys N] [--value BYTES] [--gets PERCENT]
 *        [--ms MILLISECONDS] [--seed N]          requests for so long
 *   load --port N ... --fill 1                   stores every key once, in order
 *
 * Keys    "key:000000000017", 16 bytes: those of redis-benchmark -r, so that both find the same entries. Which one is
 *         asked follows the power law x^-0.99, near to Zipf's, scattered over all keys.
 * Values  the key over and over: what belongs to a key is known without a table, and checking is comparing.
 * Batch   P requests are sent at once and the next P when all are answered, as redis-benchmark does. A latency is that
 *         of a batch, from its first byte sent to its last reply.
 * Meta    memcached is asked with mg and ms: it answers a pipeline of them with few sends, one of get with one each.
 * Threads one. What can be made beforehand is (which key comes when): the client must not be slower than the server.
 * Failure a lost or silent connection ends the program with 1; wrong replies are only counted. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define KEY_BYTES 16
#define PICKS (1u << 21) /* keys drawn before the clock starts, used round and round */
#define REPLY_SPARE 512  /* bytes of a reply beside its value: an error line is the longest */
#define SILENCE_MS 10000
#define EVENTS 256

struct plan { /* set once */
    long port, memcached, connections, pipeline, keys, value, gets, ms, seed, fill;
    const char *get_head, *get_end, *set_head;
    char set_middle[32];
    uint32_t *picks;
};

struct tally {
    uint64_t requests, hits, misses, stored, wrong, errors;
    uint32_t *latency_ns;
    size_t latencies, room;
};

struct request {
    uint32_t key_at; /* in the connection's output, which stays as it is until the batch is answered */
    bool is_get;
};

struct conn {
    int fd;
    bool is_blocked;
    char *out, *in;
    size_t out_bytes, out_sent, in_bytes, in_room;
    struct request *requests;
    long asked, answered;
    uint64_t sent_ns;
};

struct run {
    struct plan plan;
    struct tally tally;
    int epoll;
    uint64_t random, end_ns;
    uint32_t next_pick, next_fill;
};

static void die(const char *what, const char *why) {
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

static void *need(void *memory) {
    if (memory == NULL) die("memory", strerror(errno));
    return memory;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t draw(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* The density x^-a from 1 to keys + 1, inverted; the factor is a prime, so that ranks map to keys one to one. */
static void draw_picks(struct run *r) {
    double exponent = 1 - 0.99, top = pow((double)r->plan.keys + 1, exponent) - 1;
    r->plan.picks = need(malloc(PICKS * sizeof *r->plan.picks));
    for (size_t i = 0; i < PICKS; i++) {
        double u = (double)(draw(&r->random) >> 11) / 9007199254740992.0;
        uint64_t rank = (uint64_t)pow(u * top + 1, 1 / exponent) - 1;
        r->plan.picks[i] = (uint32_t)(rank * 2654435761 % (uint64_t)r->plan.keys);
    }
}

static void prepare(struct run *r) {
    struct plan *p = &r->plan;
    p->get_head = p->memcached ? "mg " : "*2\r\n$3\r\nGET\r\n$16\r\n";
    p->get_end = p->memcached ? " v\r\n" : "\r\n";
    p->set_head = p->memcached ? "ms " : "*3\r\n$3\r\nSET\r\n$16\r\n";
    snprintf(p->set_middle, sizeof p->set_middle, p->memcached ? " %ld\r\n" : "\r\n$%ld\r\n", p->value);
    r->random = (uint64_t)p->seed;
    if (!p->fill) draw_picks(r);
}

/* ---- requests ---- */

static char *put(char *at, const char *text) {
    size_t n = strlen(text);
    memcpy(at, text, n);
    return at + n;
}

static char *put_key(char *at, uint32_t id) {
    memcpy(at, "key:", 4);
    for (int i = KEY_BYTES - 1; i >= 4; i--, id /= 10)
        at[i] = (char)('0' + id % 10);
    return at + KEY_BYTES;
}

static char *put_value(char *at, const char *key, size_t bytes) {
    memcpy(at, key, KEY_BYTES);
    for (size_t done = KEY_BYTES; done < bytes; done *= 2)
        memcpy(at + done, at, done < bytes - done ? done : bytes - done);
    return at + bytes;
}

static void send_rest(struct run *r, struct conn *c) {
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_bytes - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) die("send", strerror(errno));
    c->out_sent += n > 0 ? (size_t)n : 0;
    bool is_blocked = c->out_sent < c->out_bytes;
    if (is_blocked != c->is_blocked) {
        struct epoll_event event = {.events = EPOLLIN | (is_blocked ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &event);
        c->is_blocked = is_blocked;
    }
}

/* Sends the next batch; false when there is none to send. */
static bool send_batch(struct run *r, struct conn *c, uint64_t now) {
    const struct plan *p = &r->plan;
    char *at = c->out;
    c->asked = c->answered = 0;
    if (p->fill ? r->next_fill >= (uint32_t)p->keys : now >= r->end_ns) return false;
    for (long i = 0; i < p->pipeline && (!p->fill || r->next_fill < (uint32_t)p->keys); i++) {
        uint32_t id = p->fill ? r->next_fill++ : p->picks[r->next_pick++ % PICKS];
        bool is_get = !p->fill && (p->gets == 100 || (long)(draw(&r->random) % 100) < p->gets);
        at = put(at, is_get ? p->get_head : p->set_head);
        char *key = at;
        at = put_key(at, id);
        if (!is_get) at = put_value(put(at, p->set_middle), key, (size_t)p->value);
        at = put(at, is_get ? p->get_end : "\r\n");
        c->requests[c->asked++] = (struct request){(uint32_t)(key - c->out), is_get};
    }
    c->out_bytes = (size_t)(at - c->out);
    c->out_sent = 0;
    c->sent_ns = now;
    send_rest(r, c);
    return true;
}

/* ---- replies ---- */

/* The whole number that ends a line: a value's length in both protocols. */
static size_t last_number(const char *line, size_t n) {
    size_t start = n, number = 0;
    while (start > 0 && line[start - 1] >= '0' && line[start - 1] <= '9')
        start--;
    for (; start < n; start++)
        number = number * 10 + (size_t)(line[start] - '0');
    return number;
}

/* Takes one reply and returns its length, or 0 when it is not whole. */
static size_t take_reply(struct run *r, const struct conn *c, const char *in, size_t n) {
    const char *newline = memchr(in, '\n', n);
    if (newline == NULL) return 0;
    struct tally *t = &r->tally;
    struct request request = c->requests[c->answered];
    size_t line = (size_t)(newline - in) + 1;
    if ((in[0] == '$' && in[1] != '-') || strncmp(in, "VA ", 3) == 0) {
        const char *value = in + line, *key = c->out + request.key_at;
        size_t bytes = last_number(in, line - 2), all = line + bytes + 2;
        if (n < all) return 0;
        bool is_right = request.is_get && bytes == (size_t)r->plan.value && memcmp(value, key, KEY_BYTES) == 0 &&
                        memcmp(value + KEY_BYTES, value, bytes - KEY_BYTES) == 0;
        t->hits += is_right;
        t->wrong += !is_right;
        return all;
    }
    bool is_miss =
        strncmp(in, "$-1\r\n", line) == 0 || strncmp(in, "_\r\n", line) == 0 || strncmp(in, "EN\r\n", line) == 0;
    bool is_stored = strncmp(in, "+OK\r\n", line) == 0 || strncmp(in, "HD\r\n", line) == 0;
    if (is_miss && request.is_get)
        t->misses++;
    else if (is_stored && !request.is_get)
        t->stored++;
    else if (is_miss || is_stored)
        t->wrong++;
    else if (t->errors++ == 0)
        fprintf(stderr, "load: the first error: %.*s", (int)line, in);
    return line;
}

static void note_latency(struct tally *t, uint64_t ns) {
    if (t->latencies == t->room) {
        t->room = t->room ? t->room * 2 : 1 << 16;
        t->latency_ns = need(realloc(t->latency_ns, t->room * sizeof *t->latency_ns));
    }
    t->latency_ns[t->latencies++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

/* Reads what has come; false when the connection's last batch is answered. */
static bool receive(struct run *r, struct conn *c) {
    ssize_t n = recv(c->fd, c->in + c->in_bytes, c->in_room - c->in_bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) die("recv", n < 0 ? strerror(errno) : "the server closed the connection, or its reply is too long");
    c->in_bytes += (size_t)n;
    size_t at = 0, used;
    while (c->answered < c->asked && (used = take_reply(r, c, c->in + at, c->in_bytes - at)) > 0) {
        at += used;
        c->answered++;
    }
    c->in_bytes -= at;
    memmove(c->in, c->in + at, c->in_bytes);
    if (c->answered < c->asked) return true;
    if (c->in_bytes > 0) die("reply", "more came than was asked for");
    uint64_t now = now_ns();
    note_latency(&r->tally, now - c->sent_ns);
    r->tally.requests += (uint64_t)c->asked;
    return send_batch(r, c, now);
}

/* ---- a run ---- */

static void connect_to(struct run *r, struct conn *c) {
    const struct plan *p = &r->plan;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)p->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->in_room = (size_t)p->pipeline * ((size_t)p->value + REPLY_SPARE);
    c->in = need(malloc(c->in_room));
    c->out = need(malloc((size_t)p->pipeline * ((size_t)p->value + 128)));
    c->requests = need(malloc((size_t)p->pipeline * sizeof *c->requests));
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void read_options(struct plan *p, int argc, char **argv) {
    const struct {
        const char *name;
        long *value, least, most;
    } options[] = {
        {"--port", &p->port, 1, 65535},        {"--memcached", &p->memcached, 0, 1},
        {"--pipeline", &p->pipeline, 1, 1024}, {"--connections", &p->connections, 1, 10000},
        {"--value", &p->value, 16, 1 << 20},   {"--keys", &p->keys, 1, 4000000000},
        {"--gets", &p->gets, 0, 100},          {"--ms", &p->ms, 1, 3600000},
        {"--seed", &p->seed, 0, 1 << 30},      {"--fill", &p->fill, 0, 1},
    };
    for (int i = 1; i < argc; i += 2) {
        size_t at = 0, count = sizeof options / sizeof *options;
        char *end = NULL;
        while (at < count && strcmp(options[at].name, argv[i]) != 0)
            at++;
        if (at == count || i + 1 == argc) die(argv[i], at == count ? "no such option" : "its number is missing");
        *options[at].value = strtol(argv[i + 1], &end, 10);
        if (*end != '\0' || *options[at].value < options[at].least || *options[at].value > options[at].most)
            die(argv[i], "its number is out of range");
    }
}

int main(int argc, char **argv) {
    static struct run r = {
        .plan = {.connections = 50, .pipeline = 1, .keys = 1000000, .value = 64, .gets = 95, .ms = 1000}};
    struct epoll_event events[EVENTS];
    read_options(&r.plan, argc, argv);
    prepare(&r);
    r.epoll = epoll_create1(0);
    struct conn *conns = need(calloc((size_t)r.plan.connections, sizeof *conns));
    for (long i = 0; i < r.plan.connections; i++) {
        connect_to(&r, &conns[i]);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[i]};
        if (epoll_ctl(r.epoll, EPOLL_CTL_ADD, conns[i].fd, &event) < 0) die("epoll", strerror(errno));
    }

    uint64_t start_ns = now_ns();
    long live = 0;
    r.end_ns = start_ns + (uint64_t)r.plan.ms * 1000000;
    for (long i = 0; i < r.plan.connections; i++)
        live += send_batch(&r, &conns[i], now_ns());
    while (live > 0) {
        int count = epoll_wait(r.epoll, events, EVENTS, SILENCE_MS);
        if (count == 0) die("recv", "the server is silent");
        for (int i = 0; i < count; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->is_blocked) send_rest(&r, c);
            if (events[i].events & ~(uint32_t)EPOLLOUT) live -= !receive(&r, c);
        }
    }
    double seconds = (double)(now_ns() - start_ns) / 1e9;
    struct tally *t = &r.tally;
    if (t->latencies == 0) die("the run", "nothing was answered");
    qsort(t->latency_ns, t->latencies, sizeof *t->latency_ns, by_size);
    printf("{\"requests\": %lu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"hits\": %lu, \"misses\": %lu, "
           "\"stored\": %lu, \"wrong\": %lu, \"errors\": %lu}\n",
           t->requests, seconds, t->latency_ns[t->latencies / 2] / 1e3, t->latency_ns[t->latencies * 99 / 100] / 1e3,
           t->hits, t->misses, t->stored, t->wrong, t->errors);
    return 0;
}
