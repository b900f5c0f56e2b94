/* replay.c -- recorded requests to a server, and the same ones to an exact LRU beside it.
 *
 *   replay PORT PREFIXES MAXMEMORY LONGEST_VALUE < TRACE     prints the misses of both: "SERVER MODEL"
 *
 * TRACE is 32-bit words: the number of requests and of keys; each key's value size; each key's length; each request as
 * a key's index; then the bytes of all keys.
 *
 * Each request is done for every prefix ("00:", "01:", ...), so that a short trace fills shards of a real size. The
 * GETs of one request go out in one piece, a round. A round is sent before the replies to the last one are read, so
 * that server and client work at the same time; what a round misses is therefore stored one round late, but for a
 * round of the same key, which waits. The model has its turn meanwhile.
 *
 *   model    64 lists, each with a 64th of maxmemory; an entry costs 16 bytes, key and value, rounded up to 8, and 8
 *            more in the index. A list is exact: a hit moves its entry to the front, the last one goes first. */
#include <stdbool.h>

#include "link.h"

enum { SHARDS = 64, HEADER = 16, INDEX = 8, PREFIX = 3, PREFIXES_MAX = 256, AHEAD_BYTES = 64 << 10 };

struct trace {
    uint32_t requests, keys;
    uint32_t *sizes, *lengths, *order;
    char **key;
};

/* Node 0 .. SHARDS - 1 are the ends of the lists, the others entries: SHARDS + key * prefixes + prefix. */
struct node {
    uint32_t prev, next; /* towards the most recent, towards the oldest; next of an entry that is not there: itself */
};

struct model {
    struct node *nodes;
    uint64_t used[SHARDS], budget;
};

static uint32_t cost(const struct trace *t, uint32_t key) {
    return ((HEADER + PREFIX + t->lengths[key] + t->sizes[key] + 7) & ~7u) + INDEX;
}

static void detach(struct model *m, uint32_t n) {
    m->nodes[m->nodes[n].prev].next = m->nodes[n].next;
    m->nodes[m->nodes[n].next].prev = m->nodes[n].prev;
    m->nodes[n].next = n;
}

static void to_front(struct model *m, uint32_t shard, uint32_t n) {
    m->nodes[n] = (struct node){shard, m->nodes[shard].next};
    m->nodes[m->nodes[shard].next].prev = n;
    m->nodes[shard].next = n;
}

/* A GET, and the SET that follows a miss. True: a miss. */
static bool model_misses(struct model *m, const struct trace *t, uint32_t key, uint32_t prefixes, uint32_t prefix,
                         uint32_t longest) {
    uint32_t n = SHARDS + key * prefixes + prefix, shard = (uint32_t)(mix(n) >> 58);
    bool hit = m->nodes[n].next != n;
    if (hit) {
        detach(m, n);
    } else {
        if (t->sizes[key] > longest) return true;
        m->used[shard] += cost(t, key);
        while (m->used[shard] > m->budget) {
            uint32_t oldest = m->nodes[shard].prev;
            m->used[shard] -= cost(t, (oldest - SHARDS) / prefixes);
            detach(m, oldest);
        }
    }
    to_front(m, shard, n);
    return !hit;
}

static uint32_t *read_words(size_t n) {
    uint32_t *words = need(malloc((n + 1) * sizeof *words));
    if (fread(words, sizeof *words, n, stdin) != n) die("the trace ends too soon", "");
    return words;
}

static void read_trace(struct trace *t) {
    uint32_t *head = read_words(2);
    *t = (struct trace){.requests = head[0], .keys = head[1]};
    t->sizes = read_words(t->keys);
    t->lengths = read_words(t->keys);
    t->order = read_words(t->requests);
    t->key = need(malloc((t->keys + 1) * sizeof *t->key));
    for (uint32_t i = 0; i < t->keys; i++) {
        t->key[i] = need(malloc(t->lengths[i] + 1));
        if (fread(t->key[i], 1, t->lengths[i], stdin) != t->lengths[i]) die("the trace ends too soon", "");
    }
}

static char *write_key(char *to, const struct trace *t, uint32_t key, uint32_t prefix) {
    to += sprintf(to, "$%u\r\n%02x:", PREFIX + t->lengths[key], prefix);
    memcpy(to, t->key[key], t->lengths[key]);
    to += t->lengths[key];
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static char *write_get(char *to, const struct trace *t, uint32_t key, uint32_t prefix) {
    to += sprintf(to, "*2\r\n$3\r\nGET\r\n");
    return write_key(to, t, key, prefix);
}

static char *write_set(char *to, const struct trace *t, uint32_t key, uint32_t prefix, const char *pad) {
    to += sprintf(to, "*3\r\n$3\r\nSET\r\n");
    to = write_key(to, t, key, prefix);
    to += sprintf(to, "$%u\r\n", t->sizes[key]);
    memcpy(to, pad, t->sizes[key]);
    to += t->sizes[key];
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

/* What was sent and not yet read, and what is to be stored. */
struct rounds {
    struct link *link;
    const struct trace *trace;
    uint32_t prefixes, longest;
    bool waits;         /* a round was sent and its replies were not read: */
    uint32_t sets, key; /* those of so many SETs, then those of the GETs of that key */
    uint32_t missing_key[2 * PREFIXES_MAX], missing_prefix[2 * PREFIXES_MAX], missing;
    uint64_t misses;
};

static void read_round(struct rounds *s) {
    if (!s->waits) return;
    for (uint32_t i = 0; i < s->sets; i++)
        link_line(s->link);
    uint32_t size = s->trace->sizes[s->key];
    for (uint32_t p = 0; p < s->prefixes; p++) {
        long n = link_bulk(s->link);
        if (n >= 0 && n != (long)size) die("a value of another size", "");
        if (n >= 0) continue;
        s->misses++;
        if (size <= s->longest) {
            s->missing_key[s->missing] = s->key;
            s->missing_prefix[s->missing++] = p;
        }
    }
    s->waits = false;
}

int main(int argc, char **argv) {
    if (argc != 5) die("replay PORT PREFIXES MAXMEMORY LONGEST_VALUE", "");
    struct link l;
    struct trace t;
    link_open(&l, atoi(argv[1]));
    /* So much can be sent while the server, whose replies nobody reads, takes nothing. */
    setsockopt(l.fd, SOL_SOCKET, SO_SNDBUF, &(int){2 * AHEAD_BYTES}, sizeof(int));
    read_trace(&t);
    struct rounds s = {
        .link = &l, .trace = &t, .prefixes = (uint32_t)atoi(argv[2]), .longest = (uint32_t)atoi(argv[4])};
    if (s.prefixes < 1 || s.prefixes > PREFIXES_MAX || (uint64_t)t.keys * s.prefixes > UINT32_MAX - SHARDS)
        die("too many keys or prefixes", "");

    struct model m = {.budget = strtoull(argv[3], NULL, 10) / SHARDS};
    uint32_t nodes = SHARDS + t.keys * s.prefixes, most = 0, longest_key = 0;
    m.nodes = need(malloc(nodes * sizeof *m.nodes));
    for (uint32_t n = 0; n < nodes; n++)
        m.nodes[n] = (struct node){n, n};
    for (uint32_t i = 0; i < t.keys; i++) {
        if (t.sizes[i] > most) most = t.sizes[i];
        if (t.lengths[i] > longest_key) longest_key = t.lengths[i];
    }
    char *pad = need(calloc(1, most + 1));
    char *out = need(malloc(s.prefixes * (2 * (size_t)most + 3 * (longest_key + 64))));
    uint64_t model_count = 0;
    for (uint32_t r = 0; r < t.requests; r++) {
        uint32_t key = t.order[r];
        if (s.waits && s.key == key) read_round(&s);
        char *at = out;
        uint32_t sets = s.missing;
        for (uint32_t i = 0; i < sets; i++)
            at = write_set(at, &t, s.missing_key[i], s.missing_prefix[i], pad);
        s.missing = 0;
        for (uint32_t p = 0; p < s.prefixes; p++)
            at = write_get(at, &t, key, p);
        if (at - out > AHEAD_BYTES) read_round(&s);
        link_send(&l, out, (size_t)(at - out));
        for (uint32_t p = 0; p < s.prefixes; p++)
            model_count += model_misses(&m, &t, key, s.prefixes, p, s.longest);
        read_round(&s);
        s.waits = true;
        s.sets = sets;
        s.key = key;
    }
    read_round(&s);
    printf("%llu %llu\n", (unsigned long long)s.misses, (unsigned long long)model_count);
    return 0;
}
