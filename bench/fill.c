/* fill.c -- the load of memory.py: stores, deletes and counts entries faster than a script could.
 *
 *   fill set -p PORT ...      stores the keys FROM, FROM + 1, ...: COUNT of them, or as many as hold BYTES of key and
 *                             value; prints their number and those bytes
 *   fill delete -p PORT ...   deletes every second of COUNT keys; prints how many were there
 *   fill scan -p PORT         walks all keys; prints their number, and the bytes of keys and values
 *   fill probe -p PORT ...    GETs one of COUNT keys after the other for some seconds; prints the number of GETs, the
 *                             99.9th percentile and the longest, in microseconds
 *
 *   -f FROM -n COUNT -b BYTES -l LEAST -m MOST (value sizes, uniform between) -g (their logarithm is uniform)
 *   -x SECONDS (EX) -d FIRST -e LAST (deadlines, PXAT, evenly spread between) -c CONNECTIONS -s SECONDS
 *
 * A key has 16 bytes: its number in 9 hexadecimal digits, and the size of its value in 7 decimal ones. So whoever sees
 * a key knows what its entry holds, and SCAN, which uses no entry, is enough to add up what is alive. */
#include <math.h>
#include <stdbool.h>
#include <time.h>

#include "link.h"

enum { KEY = 16, BATCH = 128, BATCH_BYTES = 64 << 10, STRIDE = 7919, PROBES_MAX = 1 << 24 };

struct plan {
    int port, connections;
    uint64_t from, count, bytes;
    uint64_t least, most;
    bool logarithmic;
    uint64_t ex_s, first_ms, last_ms;
    double seconds;
};

static unsigned value_size(const struct plan *p, uint64_t i) {
    uint64_t random = mix(i);
    if (!p->logarithmic) return (unsigned)(p->least + random % (p->most - p->least + 1));
    double share = (double)(random >> 11) / 9007199254740992.0;
    return (unsigned)((double)p->least * pow((double)p->most / (double)p->least, share));
}

static void write_key(char *to, const struct plan *p, uint64_t i) {
    char text[KEY + 16];
    snprintf(text, sizeof text, "%09llx%07u", (unsigned long long)i, value_size(p, i));
    memcpy(to, text, KEY);
}

static size_t write_set(char *to, const struct plan *p, uint64_t i, const char *pad) {
    unsigned size = value_size(p, i);
    char *at = to + sprintf(to, "*%d\r\n$3\r\nSET\r\n$16\r\n", p->ex_s || p->first_ms ? 5 : 3);
    write_key(at, p, i);
    at += KEY;
    at += sprintf(at, "\r\n$%u\r\n", size);
    memcpy(at, pad, size);
    at += size;
    *at++ = '\r';
    *at++ = '\n';
    /* A stride that has no factor in common with the span visits every millisecond of it equally often. */
    unsigned long long deadline = p->first_ms ? p->first_ms + i * STRIDE % (p->last_ms - p->first_ms) : p->ex_s;
    if (deadline) {
        char digits[24];
        int n = sprintf(digits, "%llu", deadline);
        at += sprintf(at, "$%d\r\n%s\r\n$%d\r\n%s\r\n", p->first_ms ? 4 : 2, p->first_ms ? "PXAT" : "EX", n, digits);
    }
    return (size_t)(at - to);
}

static size_t write_delete(char *to, const struct plan *p, uint64_t i) {
    char *at = to + sprintf(to, "*2\r\n$3\r\nDEL\r\n$16\r\n");
    write_key(at, p, i);
    memcpy(at + KEY, "\r\n", 2);
    return (size_t)(at - to) + KEY + 2;
}

/* Reads that many replies and adds up those that are numbers. */
static uint64_t read_replies(struct link *l, int count) {
    uint64_t sum = 0;
    for (int i = 0; i < count; i++) {
        char *line = link_line(l);
        if (*line == ':') sum += strtoull(line + 1, NULL, 10);
    }
    return sum;
}

/* Batches go to the connections in turn, so the server has all but one of them to work on. */
static void change(const struct plan *p, bool set) {
    struct link *links = need(calloc((size_t)p->connections, sizeof *links));
    int *waiting = need(calloc((size_t)p->connections, sizeof *waiting));
    char *pad = need(malloc(p->most + 1)), *batch = need(malloc(BATCH_BYTES + p->most + 256));
    for (uint64_t i = 0; i < p->most; i++)
        pad[i] = (char)mix(i);
    for (int c = 0; c < p->connections; c++)
        link_open(&links[c], p->port);
    uint64_t done = 0, bytes = 0, deleted = 0;
    for (int c = 0; done < p->count && (!p->bytes || bytes < p->bytes); c = (c + 1) % p->connections) {
        size_t n = 0;
        int requests = 0;
        while (requests < BATCH && n < BATCH_BYTES && done < p->count && (!p->bytes || bytes < p->bytes)) {
            uint64_t i = p->from + done;
            n += set ? write_set(batch + n, p, i, pad) : write_delete(batch + n, p, i);
            bytes += KEY + value_size(p, i);
            done += set ? 1 : 2;
            requests++;
        }
        deleted += read_replies(&links[c], waiting[c]);
        link_send(&links[c], batch, n);
        waiting[c] = requests;
    }
    for (int c = 0; c < p->connections; c++)
        deleted += read_replies(&links[c], waiting[c]);
    if (set)
        printf("%llu %llu\n", (unsigned long long)done, (unsigned long long)bytes);
    else
        printf("%llu\n", (unsigned long long)deleted);
}

static void scan(const struct plan *p) {
    struct link l;
    link_open(&l, p->port);
    char cursor[32] = "0", request[128];
    uint64_t keys = 0, bytes = 0;
    do {
        int n =
            sprintf(request, "*4\r\n$4\r\nSCAN\r\n$%zu\r\n%s\r\n$5\r\nCOUNT\r\n$4\r\n1000\r\n", strlen(cursor), cursor);
        link_send(&l, request, (size_t)n);
        link_line(&l);
        link_line(&l);
        snprintf(cursor, sizeof cursor, "%s", link_line(&l));
        for (long left = atol(link_line(&l) + 1); left > 0; left--) {
            if (strcmp(link_line(&l), "$16")) die("a key that was not stored here", "");
            bytes += KEY + strtoull(link_line(&l) + 9, NULL, 10);
            keys++;
        }
    } while (strcmp(cursor, "0"));
    printf("%llu %llu\n", (unsigned long long)keys, (unsigned long long)bytes);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void probe(const struct plan *p) {
    struct link l;
    link_open(&l, p->port);
    uint32_t *took_ns = need(malloc(PROBES_MAX * sizeof *took_ns));
    size_t count = 0;
    char request[64];
    for (uint64_t began = now_ns(), end = began + (uint64_t)(p->seconds * 1e9); began < end && count < PROBES_MAX;) {
        size_t n = (size_t)sprintf(request, "*2\r\n$3\r\nGET\r\n$16\r\n");
        write_key(request + n, p, p->from + mix(count) % p->count);
        memcpy(request + n + KEY, "\r\n", 2);
        link_send(&l, request, n + KEY + 2);
        link_bulk(&l);
        uint64_t now = now_ns(), took = now - began;
        took_ns[count++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
        began = now;
    }
    qsort(took_ns, count, sizeof *took_ns, ascending);
    printf("%zu %.1f %.1f\n", count, took_ns[count - 1 - count / 1000] / 1e3, took_ns[count - 1] / 1e3);
}

int main(int argc, char **argv) {
    struct plan p = {.connections = 4, .count = UINT64_MAX, .least = 1, .seconds = 1};
    const char *what = argc > 1 ? argv[1] : "";
    for (int option; (option = getopt(argc - 1, argv + 1, "p:f:n:b:l:m:gx:d:e:c:s:")) != -1;) {
        uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;
        switch (option) {
        case 'p':
            p.port = (int)number;
            break;
        case 'f':
            p.from = number;
            break;
        case 'n':
            p.count = number;
            break;
        case 'b':
            p.bytes = number;
            break;
        case 'l':
            p.least = number;
            break;
        case 'm':
            p.most = number;
            break;
        case 'g':
            p.logarithmic = true;
            break;
        case 'x':
            p.ex_s = number;
            break;
        case 'd':
            p.first_ms = number;
            break;
        case 'e':
            p.last_ms = number;
            break;
        case 'c':
            p.connections = (int)number;
            break;
        case 's':
            p.seconds = atof(optarg);
            break;
        default:
            return 2;
        }
    }
    if (p.most < p.least) p.most = p.least;
    if (!strcmp(what, "set") || !strcmp(what, "delete"))
        change(&p, *what == 's');
    else if (!strcmp(what, "scan"))
        scan(&p);
    else if (!strcmp(what, "probe"))
        probe(&p);
    else
        die("fill set, delete, scan or probe; not", what);
    return 0;
}
