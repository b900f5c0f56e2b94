/* linear.c -- whether what many connections did to a few keys at once could have been done one after another.
 *
 *   linear self-test                                      the checker's own tests, as TAP
 *   linear PORT SECONDS CONNECTIONS SEED                  records histories, checks each; exit code 1: one is wrong, or
 *                                                         more than a twentieth could not be decided
 *
 * A history is what a set of connections asked and was answered, with the times (CLOCK_MONOTONIC) before a request was
 * sent and after its reply was read. It is right if each operation can be given a moment between its two times so that
 * all replies are those of a table of integers on which the operations are done at these moments, an EXEC with all its
 * commands at once; operations of one connection in the order of its pipeline. One whose reply never came may have been
 * done at any moment after it was sent, or never.
 *
 * Checker  (Wing and Gong's search, done as Lowe's "just in time" one.) It goes through all beginnings and ends in
 *          order, with the set of all configurations that are possible so far: the table, and which of the operations
 *          under way are done. When one ends, each configuration in which it is not done yet is tried with every order
 *          of those under way before it; operations that have no key in common with it, nor with any that has, may
 *          wait for their own end. No configuration left: the history is wrong.
 *
 * A value is an integer; ABSENT: there is no such key. A transaction that WATCHed a key and was executed counts as one
 * that begins with the condition that the key still has the value that was read behind the WATCH. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tap.h"

enum {
    KEYS = 4,
    PARTS_MAX = 4,
    UNDER_WAY_MAX = 64,
    CONNECTIONS_MAX = 16,
    DEPTH_MAX = 4,
    HOT_CLIENTS = 4, /* of a hot history, in which they do deep pipelines on one key or two */
    HOT_DEPTH_MAX = 14,
    OPERATIONS_MAX = 1024,
    LOST_MAX = 8,
    CONFIGURATIONS_MAX = 1 << 19,
};

#define ABSENT INT64_MIN
#define NEVER UINT64_MAX

enum kind { SET, GET, INCR, DEL, SET_IFEQ, DELIFEQ, HAS, KINDS };
static const char *const kind_name[] = {"SET", "GET", "INCR", "DEL", "SET IFEQ", "DELIFEQ", "watched"};

struct part {
    enum kind kind;
    int key;
    int64_t value, compared; /* SET stores value; IFEQ and HAS compare */
    int64_t result;          /* GET: the value; SET IFEQ: whether it was stored; others: the integer */
};

struct operation {
    uint64_t begin_ns, end_ns; /* NEVER: no reply came, `result` means nothing */
    uint32_t connection;       /* another number after a reconnect */
    uint32_t count;            /* of parts; more than one: a transaction */
    struct part part[PARTS_MAX];
};

struct table {
    int64_t value[KEYS];
};

/* ---- the model ---- */

/* Does one part; returns whether the result is the one that was answered. */
static bool do_part(struct table *t, const struct part *p, bool answered) {
    int64_t *v = &t->value[p->key], result = 0;
    switch (p->kind) {
    case SET:
        *v = p->value;
        return true;
    case GET:
        return !answered || *v == p->result;
    case INCR:
        *v = *v == ABSENT ? 1 : *v + 1;
        return !answered || *v == p->result;
    case DEL:
        result = *v != ABSENT;
        *v = ABSENT;
        break;
    case SET_IFEQ:
        result = *v == p->compared;
        if (result) *v = p->value;
        break;
    case DELIFEQ:
        result = *v == p->compared;
        if (result) *v = ABSENT;
        break;
    default:
        return *v == p->compared;
    }
    return !answered || result == p->result;
}

static bool do_operation(struct table *t, const struct operation *o) {
    for (uint32_t i = 0; i < o->count; i++)
        if (!do_part(t, &o->part[i], o->end_ns != NEVER)) return false;
    return true;
}

/* ---- sets of configurations ---- */

struct configuration {
    uint64_t done; /* bit i: the operation in place i of those under way */
    struct table table;
};

struct set {
    struct configuration *item;
    uint32_t *slot; /* 1 + index of an item, 0: free */
    uint32_t count, slots;
};

static uint64_t hash_of(const struct configuration *c) {
    uint64_t h = c->done * 0x9E3779B97F4A7C15ull;
    for (int i = 0; i < KEYS; i++)
        h = (h ^ (uint64_t)c->table.value[i] ^ h >> 29) * 0xBF58476D1CE4E5B9ull;
    return h ^ h >> 32;
}

static void set_clear(struct set *s) {
    if (s->slot) memset(s->slot, 0, s->slots * sizeof *s->slot);
    s->count = 0;
}

static void set_add(struct set *s, struct configuration c) {
    if (2 * s->count >= s->slots) {
        s->slots = s->slots ? 2 * s->slots : 256;
        free(s->slot);
        s->slot = calloc(s->slots, sizeof *s->slot);
        s->item = realloc(s->item, s->slots * sizeof *s->item);
        for (uint32_t i = 0; i < s->count; i++) {
            uint64_t at = hash_of(&s->item[i]);
            while (s->slot[at & (s->slots - 1)])
                at++;
            s->slot[at & (s->slots - 1)] = i + 1;
        }
    }
    uint64_t at = hash_of(&c);
    for (uint32_t i; (i = s->slot[at & (s->slots - 1)]) != 0; at++)
        if (memcmp(&s->item[i - 1], &c, sizeof c) == 0) return;
    s->slot[at & (s->slots - 1)] = s->count + 1;
    s->item[s->count++] = c;
}

/* ---- the checker ---- */

enum verdict { RIGHT, WRONG, UNDECIDED };

struct event {
    uint64_t ns;
    const struct operation *o;
    bool is_end;
};

static int by_time(const void *a, const void *b) {
    const struct event *x = a, *y = b;
    if (x->ns != y->ns) return x->ns < y->ns ? -1 : 1;
    if (x->is_end != y->is_end) return x->is_end ? 1 : -1; /* at one moment: they overlap */
    return x->o < y->o ? -1 : x->o > y->o;                 /* a connection's pipeline begins at one moment, in order */
}

static struct set now, tried, next;
static uint64_t most_configurations;

static uint32_t keys_of(const struct operation *o) {
    uint32_t keys = 0;
    for (uint32_t i = 0; i < o->count; i++)
        keys |= 1u << o->part[i].key;
    return keys;
}

static bool is_before(const struct operation *a, const struct operation *b) {
    return a->connection == b->connection && a < b;
}

/* The places of those under way that may matter for the one at place `at`: they share keys with it or with another of
 * them, or precede one in its pipeline. */
static uint64_t related(const struct operation *const *under_way, uint64_t used, int at) {
    uint64_t found = 1ull << at, before = 0;
    uint32_t keys = keys_of(under_way[at]);
    while (found != before) {
        before = found;
        for (uint64_t rest = used & ~found; rest; rest &= rest - 1) {
            int i = __builtin_ctzll(rest);
            bool wanted = keys_of(under_way[i]) & keys;
            for (uint64_t f = found; f && !wanted; f &= f - 1)
                wanted = is_before(under_way[i], under_way[__builtin_ctzll(f)]);
            if (!wanted) continue;
            found |= 1ull << i;
            keys |= keys_of(under_way[i]);
        }
    }
    return found;
}

/* Goes from `now` to `next`: the configurations in which the operation at place `at` is done. */
static bool finish(const struct operation *const *under_way, uint64_t used, int at) {
    uint64_t own = 1ull << at, wanted = related(under_way, used, at);
    set_clear(&tried);
    set_clear(&next);
    for (uint32_t i = 0; i < now.count; i++) {
        struct configuration c = now.item[i];
        if (c.done & own) {
            c.done &= ~own;
            set_add(&next, c);
        } else {
            set_add(&tried, c);
        }
    }
    for (uint32_t i = 0; i < tried.count; i++) {
        if (tried.count > CONFIGURATIONS_MAX) return false;
        for (uint64_t rest = wanted & ~tried.item[i].done; rest; rest &= rest - 1) {
            int p = __builtin_ctzll(rest);
            struct configuration c = tried.item[i];
            bool waits = false;
            for (uint64_t others = used & ~c.done; others && !waits; others &= others - 1)
                waits = is_before(under_way[__builtin_ctzll(others)], under_way[p]);
            if (waits || !do_operation(&c.table, under_way[p])) continue;
            if (p == at) {
                set_add(&next, c);
            } else {
                c.done |= 1ull << p;
                set_add(&tried, c);
            }
        }
    }
    most_configurations = tried.count > most_configurations ? tried.count : most_configurations;
    return true;
}

/* Checks n operations on a table that was empty before. *failed: the one that ended where no order was left. */
static enum verdict check_history(const struct operation *o, uint32_t n, const struct operation **failed) {
    static struct event event[2 * OPERATIONS_MAX];
    const struct operation *under_way[UNDER_WAY_MAX] = {0};
    uint64_t used = 0;
    uint32_t events = 0;
    for (uint32_t i = 0; i < n; i++) {
        event[events++] = (struct event){o[i].begin_ns, &o[i], false};
        if (o[i].end_ns != NEVER) event[events++] = (struct event){o[i].end_ns, &o[i], true};
    }
    qsort(event, events, sizeof *event, by_time);
    struct configuration first = {0};
    for (int k = 0; k < KEYS; k++)
        first.table.value[k] = ABSENT;
    set_clear(&now);
    set_add(&now, first);
    for (uint32_t i = 0; i < events; i++) {
        const struct operation *op = event[i].o;
        if (!event[i].is_end) {
            if (~used == 0) return UNDECIDED;
            int at = __builtin_ctzll(~used);
            under_way[at] = op;
            used |= 1ull << at;
            continue;
        }
        int at = 0;
        while (!(used >> at & 1) || under_way[at] != op)
            at++;
        if (!finish(under_way, used, at)) return UNDECIDED;
        used &= ~(1ull << at);
        struct set kept = now;
        now = next;
        next = kept;
        *failed = op;
        if (now.count == 0) return WRONG;
    }
    return RIGHT;
}

/* ---- the checker's own tests: a line an operation, "connection begin end parts", end -1: no reply ----
 *
 * Parts, on keys a to d: "a=5" SET, "a:5" GET, "a:-" GET of nothing, "a+5" INCR that answered 5, "a!1" DEL,
 * "a?4=5,1" SET 5 IFEQ 4, "a~4,1" DELIFEQ, "a@5" a WATCH was behind which a was 5. */

static struct operation history[OPERATIONS_MAX];

static uint32_t read_history(const char *text) {
    uint32_t n = 0;
    for (int used; *text; text += used) {
        struct operation *o = &history[n++];
        int connection, begin, end;
        if (sscanf(text, "%d %d %d%n", &connection, &begin, &end, &used) != 3) abort();
        *o = (struct operation){(uint64_t)begin, end < 0 ? NEVER : (uint64_t)end, (uint32_t)connection, 0, {{0}}};
        for (text += used, used = 0; *text && *text != '\n'; text += used) {
            struct part *p = &o->part[o->count++];
            char key, what, number[24];
            used = 0;
            if (sscanf(text, " %c%c%23[-0-9]%n", &key, &what, number, &used) != 3) abort();
            p->key = key - 'a';
            p->kind = (enum kind)(strchr("=:+!?~@", what) - "=:+!?~@");
            p->kind = (enum kind[]){SET, GET, INCR, DEL, SET_IFEQ, DELIFEQ, HAS}[p->kind];
            p->value = p->compared = p->result = strcmp(number, "-") == 0 ? ABSENT : atoll(number);
            int more = 0;
            if (p->kind == SET_IFEQ &&
                sscanf(text + used, "=%" SCNd64 ",%" SCNd64 "%n", &p->value, &p->result, &more) != 2)
                abort();
            if (p->kind == DELIFEQ && sscanf(text + used, ",%" SCNd64 "%n", &p->result, &more) != 1) abort();
            used += more;
        }
        used = *text == '\n';
    }
    return n;
}

static void expect(enum verdict want, const char *text) {
    const struct operation *failed;
    enum verdict got = check_history(history, read_history(text), &failed);
    CHECK(got == want);
    if (got != want) printf("# of this history:\n# %s\n", text);
}

static void test_right(void) {
    expect(RIGHT, "1 0 1 a=5\n1 2 3 a:5\n1 4 5 a!1\n1 6 7 a:-");
    expect(RIGHT, "1 0 9 a=5\n2 1 2 a:-\n2 3 4 a:5"); /* done between the two reads */
    expect(RIGHT, "1 0 9 a=5\n2 1 2 a:5\n3 3 4 a:5"); /* seen before its own reply */
    expect(RIGHT, "1 0 9 a+2\n2 0 9 a+1\n3 0 9 a+3\n4 10 11 a:3");
    expect(RIGHT, "1 0 9 a=1\n2 0 9 a=2\n3 10 11 a:1");
    expect(RIGHT, "1 0 1 a=1\n2 2 9 a?1=7,1\n3 2 9 a?1=8,0\n1 10 11 a:7");
    expect(RIGHT, "1 0 1 a=1\n2 2 9 a~1,1\n3 2 9 a~1,0\n1 10 11 a:-");
    expect(RIGHT, "1 0 1 a?1=2,0\n1 2 3 a~1,0\n1 4 5 a:-");
    expect(RIGHT, "1 0 9 a=1 b=1\n2 1 2 a:- b:-\n3 3 4 a:1 b:1");
    expect(RIGHT, "1 0 9 a=1 b=1\n2 1 2 a:-\n2 3 4 b:1\n2 5 6 a:1"); /* between two single reads */
    expect(RIGHT, "1 0 1 a=1\n1 2 9 a=2 a:2 a+3\n2 3 4 a:1");
    expect(RIGHT, "1 0 -1 a=5\n2 10 11 a:-\n2 12 13 a:5"); /* lost, and done late */
    expect(RIGHT, "1 0 -1 a=5\n2 10 11 a:-\n2 12 13 a:-"); /* lost, and never done */
    expect(RIGHT, "1 0 9 a=1\n1 0 9 a=2\n2 10 11 a:2");    /* a pipeline, in order */
    expect(RIGHT, "1 0 1 a=1\n1 2 3 a@1 a=2\n2 4 5 a:2");
    expect(RIGHT, "1 3 3 a=1\n2 3 3 a:-"); /* one moment: they overlap */
    expect(RIGHT, "1 0 9 a=1 b=2\n2 0 9 b=1 c=2\n3 0 9 c=1 d=2\n4 10 11 b:2 c:1\n5 12 13 a:1 d:2");
}

static void test_wrong(void) {
    expect(WRONG, "1 0 1 a=1\n1 2 3 a=2\n2 4 5 a:1");                /* stale read */
    expect(WRONG, "1 0 9 a=5\n2 1 2 a:5\n3 3 4 a:-");                /* new, then old */
    expect(WRONG, "1 0 9 a=1\n2 0 9 a=2\n3 10 11 a:1\n4 12 13 a:2"); /* two orders of one pair */
    expect(WRONG, "1 0 9 a+1\n2 0 9 a+1");                           /* lost update */
    expect(WRONG, "1 0 9 a+1\n2 0 9 a+3");                           /* one too many */
    expect(WRONG, "1 0 1 a=1\n2 2 9 a?1=7,1\n3 2 9 a?1=8,1");        /* both exchanged */
    expect(WRONG, "1 0 1 a=1\n2 2 9 a~1,1\n3 2 9 a~1,1");            /* both released the lock */
    expect(WRONG, "1 0 1 a=1\n2 2 3 a?1=7,0");                       /* refused without a reason */
    expect(WRONG, "1 0 1 a=1\n1 2 3 a!1\n2 4 5 a:1");                /* phantom after DEL */
    expect(WRONG, "1 0 1 a=1\n2 2 9 a!1\n3 2 9 a!1");
    expect(WRONG, "1 0 1 a:5");                                            /* out of nowhere */
    expect(WRONG, "1 0 1 a=1\n2 2 3 b:1");                                 /* another key's value */
    expect(WRONG, "1 0 9 a=1 b=1\n2 1 2 a:1 b:-");                         /* half an EXEC seen by an EXEC */
    expect(WRONG, "1 0 9 a=1 b=1\n2 1 2 b:1\n2 3 4 a:-");                  /* ... and by two reads */
    expect(WRONG, "1 0 1 a=1 b=1\n1 2 9 a=2 b=2\n2 2 9 a:2 b:1");          /* reads that mix two states */
    expect(WRONG, "1 0 9 a=1 b=1\n2 0 9 a=2 b=2\n3 10 11 a:1 b:2");        /* two EXECs, mixed */
    expect(WRONG, "1 0 1 a=1\n2 2 9 a:1 a=2 a:2\n3 2 9 a=3\n4 10 11 a:1"); /* neither was done */
    expect(WRONG, "1 0 9 a+1 a+3\n2 0 9 a+2");                             /* another in the middle */
    expect(WRONG, "1 0 -1 a=5\n2 10 11 a:5\n2 12 13 a:-");                 /* lost, done, and undone */
    expect(WRONG, "1 5 -1 a=5\n2 1 2 a:5");                                /* lost, and seen before it was sent */
    expect(WRONG, "1 0 -1 a=1\n1 0 -1 a=2\n2 9 10 a:2\n2 11 12 a:1");      /* a lost pipeline, turned round */
    expect(WRONG, "1 0 9 a=1\n1 0 9 a=2\n2 10 11 a:1");                    /* a pipeline, turned round */
    expect(WRONG, "1 0 1 a=1\n1 2 3 a=5\n2 4 5 a@1 a=2");                  /* a change that WATCH missed */
    expect(WRONG, "1 0 9 a=1 b=2\n2 0 9 b=1 c=2\n3 0 9 c=1 a=2\n4 10 11 a:1 b:1 c:1"); /* a circle */
}

/* Histories of a real table with real moments are right; one result changed nearly always is not. */
static void test_made(void) {
    static struct operation made[200];
    int noticed = 0, changed = 0;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        uint64_t r = seed * 0x9E3779B97F4A7C15ull, free_at[6] = {0};
        struct table t = {{ABSENT, ABSENT, ABSENT, ABSENT}};
        for (uint32_t i = 0; i < 200; i++) {
            struct operation *o = &made[i];
            r = r * 6364136223846793005u + 1442695040888963407u;
            uint32_t c = (uint32_t)(r >> 33) % 6, span = (uint32_t)(r >> 40) % 60;
            uint64_t moment = 100 * (uint64_t)(i + 1); /* it begins a while before, and ends behind it */
            o->connection = c;
            if (free_at[c] >= moment) o->connection = 100 + i; /* one of its own */
            o->begin_ns = free_at[c] < moment ? free_at[c] + 1 : moment;
            o->end_ns = moment + span * 5;
            free_at[c] = o->end_ns;
            o->count = (r >> 50) % 4 ? 1 : 2;
            for (uint32_t k = 0; k < o->count; k++) {
                r = r * 6364136223846793005u + 1442695040888963407u;
                struct part *p = &o->part[k];
                *p = (struct part){(enum kind)((r >> 33) % HAS), (int)(r >> 40) % 3, i * 100, 0, 0};
                int64_t *v = &t.value[p->key], old = *v;
                p->compared = (r >> 45) % 2 ? old : 7;
                do_part(&t, p, false);
                p->result = p->kind == GET || p->kind == INCR ? *v
                            : p->kind == DEL                  ? old != ABSENT
                                                              : old == p->compared;
            }
        }
        const struct operation *failed;
        CHECK(check_history(made, 200, &failed) == RIGHT);
        struct part *p = &made[r % 200].part[0];
        if (p->kind == SET) continue;
        p->result = p->kind == GET || p->kind == INCR ? p->result + 1 : !p->result;
        changed++;
        noticed += check_history(made, 200, &failed) == WRONG;
    }
    printf("# %d of %d changed results noticed\n", noticed, changed);
    CHECK(noticed > changed * 8 / 10);
}

/* ---- recording ---- */

static int port;
static uint64_t deadline_ns;
static uint32_t connections;
static _Atomic bool is_over; /* the next history is not recorded any more */
static pthread_barrier_t start, end;
static char key_prefix[32];
static uint32_t history_length; /* operations of a connection */
static bool is_hot;
static _Atomic int lost_left;
static struct client {
    pthread_t thread;
    uint64_t random;
    int fd;
    uint32_t number; /* of the connection: new ones after a reconnect */
    uint32_t count;
    struct operation operation[OPERATIONS_MAX / 4];
    char in[1 << 16];
    size_t at, have;
    int64_t seen[KEYS]; /* what was last known of each key */
} client[CONNECTIONS_MAX];

static uint64_t ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t draw(struct client *c, uint32_t n) {
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (uint32_t)(c->random * 0x2545F4914F6CDD1Dull >> 33) % n;
}

static void die(const char *what) {
    fprintf(stderr, "linear: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void open_connection(struct client *c) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0) die("connect");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct timeval patience = {60, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    c->at = c->have = 0;
    c->number += CONNECTIONS_MAX;
}

static void send_all(struct client *c, const char *p, size_t n) {
    while (n) {
        ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
        if (sent < 0) die("send");
        p += sent;
        n -= (size_t)sent;
    }
}

/* The next line of a reply, without its end; static memory of the client's. */
static char *read_line(struct client *c) {
    for (;;) {
        char *cr = memchr(c->in + c->at, '\n', c->have - c->at);
        if (cr) {
            char *line = c->in + c->at;
            cr[-1] = 0;
            c->at = (size_t)(cr + 1 - c->in);
            return line;
        }
        memmove(c->in, c->in + c->at, c->have - c->at);
        c->have -= c->at;
        c->at = 0;
        ssize_t got = recv(c->fd, c->in + c->have, sizeof c->in - c->have, 0);
        if (got <= 0) die("no reply came");
        c->have += (size_t)got;
    }
}

/* A reply as an integer: +OK is 1, a null is ABSENT, of an array the count. */
static int64_t read_value(struct client *c) {
    char *line = read_line(c);
    switch (line[0]) {
    case '+':
        return 1;
    case ':':
    case '*':
        return atoll(line + 1) < 0 && line[0] == '*' ? ABSENT : atoll(line + 1);
    case '$':
        return atoi(line + 1) < 0 ? ABSENT : atoll(read_line(c));
    }
    fprintf(stderr, "linear: the reply %s\n", line);
    exit(1);
}

static void read_result(struct client *c, struct part *p) {
    if (p->kind == HAS) return;
    int64_t v = read_value(c);
    p->result = p->kind == SET_IFEQ ? v != ABSENT : v;
    int64_t *seen = &c->seen[p->key];
    if (p->kind == SET || (p->kind == SET_IFEQ && p->result)) *seen = p->value;
    if (p->kind == GET || p->kind == INCR) *seen = v;
    if (p->kind == DEL || (p->kind == DELIFEQ && v)) *seen = ABSENT;
}

static size_t put_word(char *to, const char *word) { return (size_t)sprintf(to, "$%zu\r\n%s\r\n", strlen(word), word); }

static size_t put_request(char *to, const struct part *p) {
    static const char *const command[KINDS] = {"SET", "GET", "INCR", "DEL", "SET", "DELIFEQ"};
    static const int words[KINDS] = {3, 2, 2, 2, 5, 3};
    char key[64], value[24], compared[24], *at = to;
    snprintf(key, sizeof key, "%s%d", key_prefix, p->key);
    snprintf(value, sizeof value, "%" PRId64, p->value);
    snprintf(compared, sizeof compared, "%" PRId64, p->compared);
    at += sprintf(at, "*%d\r\n", words[p->kind]);
    at += put_word(at, command[p->kind]);
    at += put_word(at, key);
    if (p->kind == SET || p->kind == SET_IFEQ) at += put_word(at, value);
    if (p->kind == SET_IFEQ) at += put_word(at, "IFEQ");
    if (p->kind == SET_IFEQ || p->kind == DELIFEQ) at += put_word(at, compared);
    return (size_t)(at - to);
}

static void draw_part(struct client *c, struct part *p) {
    static const enum kind kinds[] = {SET, GET, GET, GET, INCR, INCR, INCR, DEL, SET_IFEQ, SET_IFEQ, DELIFEQ};
    static _Atomic int64_t unique = 1;
    p->kind = kinds[draw(c, sizeof kinds / sizeof *kinds)];
    if (is_hot && draw(c, 2)) p->kind = INCR;
    p->key = (int)draw(c, is_hot ? 2 : KEYS);
    p->value = 1000 * unique++; /* what INCR makes of one is nobody else's value */
    p->compared = c->seen[p->key] == ABSENT ? 5 : c->seen[p->key];
    p->result = 0;
}

static void draw_operation(struct client *c, struct operation *o) {
    o->connection = c->number;
    o->count = draw(c, is_hot ? 10 : 3) ? 1 : 2 + draw(c, PARTS_MAX - 1);
    for (uint32_t i = 0; i < o->count; i++)
        draw_part(c, &o->part[i]);
}

static size_t put_operation(char *to, const struct operation *o) {
    char *at = to;
    if (o->count > 1) at += sprintf(at, "*1\r\n$5\r\nMULTI\r\n");
    for (uint32_t i = 0; i < o->count; i++)
        if (o->part[i].kind != HAS) at += put_request(at, &o->part[i]);
    if (o->count > 1) at += sprintf(at, "*1\r\n$4\r\nEXEC\r\n");
    return (size_t)(at - to);
}

/* False: the transaction was not executed, since a key that it watched had been changed. */
static bool read_operation(struct client *c, struct operation *o) {
    if (o->count > 1) {
        int parts = (int)o->count - (o->part[0].kind == HAS);
        for (int i = 0; i < parts + 1; i++)
            read_value(c); /* +OK, +QUEUED, ... */
        if (read_value(c) == ABSENT) return false;
    }
    for (uint32_t i = 0; i < o->count; i++)
        read_result(c, &o->part[i]);
    o->end_ns = ns();
    return true;
}

/* A few operations in one pipeline. Now and then the connection is closed with the replies still to come. */
static void do_pipeline(struct client *c) {
    char out[HOT_DEPTH_MAX * PARTS_MAX * 256];
    uint32_t depth = is_hot ? HOT_DEPTH_MAX : draw(c, 2) ? 1 : 1 + draw(c, DEPTH_MAX);
    size_t n = 0;
    struct operation *first = &c->operation[c->count];
    for (uint32_t i = 0; i < depth; i++) {
        draw_operation(c, &first[i]);
        n += put_operation(out + n, &first[i]);
    }
    uint64_t begin = ns();
    for (uint32_t i = 0; i < depth; i++) {
        first[i].begin_ns = begin;
        first[i].end_ns = NEVER;
    }
    send_all(c, out, n);
    c->count += depth;
    if (draw(c, 100) == 0 && (lost_left -= (int)depth) >= 0) {
        close(c->fd);
        open_connection(c);
        return;
    }
    for (uint32_t i = 0; i < depth; i++)
        read_operation(c, &first[i]);
}

/* WATCH and GET; then a transaction that stores, if nothing happened in between. */
static void do_watched(struct client *c) {
    struct operation *get = &c->operation[c->count], *o = get + 1;
    char out[PARTS_MAX * 256];
    *get = (struct operation){.connection = c->number, .count = 1, .part = {{.kind = GET, .key = (int)draw(c, KEYS)}}};
    size_t n = (size_t)sprintf(out, "*2\r\n$5\r\nWATCH\r\n$%d\r\n%s%d\r\n", (int)strlen(key_prefix) + 1, key_prefix,
                               get->part[0].key);
    n += put_request(out + n, &get->part[0]);
    get->begin_ns = ns();
    send_all(c, out, n);
    read_value(c);
    read_operation(c, get);
    *o = (struct operation){.connection = c->number, .count = 2 + draw(c, PARTS_MAX - 1)};
    o->part[0] = (struct part){HAS, get->part[0].key, 0, get->part[0].result, 0};
    for (uint32_t i = 1; i < o->count; i++)
        draw_part(c, &o->part[i]);
    o->begin_ns = ns();
    send_all(c, out, put_operation(out, o));
    c->count += read_operation(c, o) ? 2 : 1;
}

static void *run_client(void *context) {
    struct client *c = context;
    open_connection(c);
    for (;;) {
        pthread_barrier_wait(&start);
        if (is_over) return NULL;
        c->count = 0;
        for (int i = 0; i < KEYS; i++)
            c->seen[i] = ABSENT;
        while (c->count < history_length && !(is_hot && c >= client + HOT_CLIENTS))
            if (!is_hot && draw(c, 8) == 0)
                do_watched(c);
            else
                do_pipeline(c);
        pthread_barrier_wait(&end);
    }
}

/* ---- showing what is wrong ---- */

static void show(const struct operation *o, uint64_t from) {
    printf("# %10.1f %10.1f us  connection %u ", (double)(int64_t)(o->begin_ns - from) / 1e3,
           o->end_ns == NEVER ? -1 : (double)(int64_t)(o->end_ns - from) / 1e3, o->connection);
    for (uint32_t i = 0; i < o->count; i++) {
        const struct part *p = &o->part[i];
        printf(" %s %d", kind_name[p->kind], p->key);
        if (p->kind == SET || p->kind == SET_IFEQ) printf(" %" PRId64, p->value);
        if (p->kind >= SET_IFEQ) printf(" if %" PRId64, p->compared);
        if (p->result == ABSENT) printf(" -> nothing,");
        if (p->result != ABSENT && p->kind != SET && p->kind != HAS) printf(" -> %" PRId64 ",", p->result);
    }
    printf("\n");
}

static void show_failure(const struct operation *o, uint32_t n, const struct operation *failed) {
    printf("# no order of these explains the operation that ended last (those around it):\n");
    for (uint32_t i = 0; i < n; i++)
        if (o[i].begin_ns <= failed->end_ns && (o[i].end_ns >= failed->begin_ns - 300000 || o[i].end_ns == NEVER))
            show(&o[i], failed->begin_ns);
    printf("# the last:\n");
    show(failed, failed->begin_ns);
}

static int run(double seconds, uint32_t seed) {
    uint64_t histories = 0, operations = 0, lost = 0, transactions = 0, undecided = 0;
    deadline_ns = ns() + (uint64_t)(seconds * 1e9);
    pthread_barrier_init(&start, NULL, connections + 1);
    pthread_barrier_init(&end, NULL, connections + 1);
    for (uint32_t i = 0; i < connections; i++) {
        client[i].number = i;
        client[i].random = (seed + 1) * 0x9E3779B97F4A7C15ull + i;
        if (pthread_create(&client[i].thread, NULL, run_client, &client[i]) != 0) die("pthread_create");
    }
    int code = 0;
    while (code == 0 && ns() < deadline_ns) {
        snprintf(key_prefix, sizeof key_prefix, "%d:%" PRIu64 ":", getpid(), histories); /* fresh keys, in any shards */
        history_length = 5 + (uint32_t)(histories % 4) * 14;
        is_hot = histories % 2;
        if (history_length * connections > OPERATIONS_MAX - 8 * connections)
            history_length = OPERATIONS_MAX / connections - 8;
        lost_left = LOST_MAX;
        pthread_barrier_wait(&start);
        pthread_barrier_wait(&end);
        uint32_t n = 0;
        for (uint32_t i = 0; i < connections; i++)
            for (uint32_t k = 0; k < client[i].count; k++) {
                history[n++] = client[i].operation[k];
                lost += history[n - 1].end_ns == NEVER;
                transactions += history[n - 1].count > 1;
            }
        const struct operation *failed;
        enum verdict v = check_history(history, n, &failed);
        histories++;
        operations += n;
        undecided += v == UNDECIDED;
        if (v != WRONG) continue;
        printf("# history %" PRIu64 ", %u operations, is wrong\n", histories, n);
        show_failure(history, n, failed);
        code = 1;
    }
    is_over = true;
    pthread_barrier_wait(&start);
    for (uint32_t i = 0; i < connections; i++)
        pthread_join(client[i].thread, NULL);
    printf("# %" PRIu64 " histories, %" PRIu64 " operations, %" PRIu64 " of them transactions, %" PRIu64
           " without a reply; up to %" PRIu64 " configurations at once, %" PRIu64 " histories undecided for too many\n",
           histories, operations, transactions, lost, most_configurations, undecided);
    return code || undecided > histories / 20;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "self-test") == 0) {
        static const struct tap_test tests[] = {
            {"right histories are accepted", test_right},
            {"wrong histories are rejected", test_wrong},
            {"made histories are accepted, and rejected with one result changed", test_made},
        };
        return tap_main(tests, sizeof tests / sizeof *tests);
    }
    if (argc != 5) {
        fprintf(stderr, "linear self-test | linear PORT SECONDS CONNECTIONS SEED\n");
        return 2;
    }
    port = atoi(argv[1]);
    connections = (uint32_t)atoi(argv[3]);
    if (connections < 1 || connections > CONNECTIONS_MAX) die("up to 16 connections");
    return run(atof(argv[2]), (uint32_t)atoi(argv[4]));
}
