/* metrics.h -- counters: one list, summed and printed by info.c; and the clocks.
 *
 * Every thread that counts has its own struct metrics and is the only one to write it, so counting is a plain add
 * and no cache line is shared; a reader sums them all and may be a moment late. */
#ifndef SPONSON_METRICS_H
#define SPONSON_METRICS_H

#include <stdint.h>
#include <string.h>
#include <time.h>

enum { METRICS_COMMANDS = 192 }; /* rows of the command table, and room for more */

/* Of a command's times: bin i counts those below 2^i us and not below half of it; the last one all that are longer. */
enum { METRICS_BINS = 24 };

/* What error replies begin with. */
static const char *const metrics_codes[] = {"ERR", "EXECABORT", "NOAUTH", "NOPROTO", "WRONGPASS"};
enum { METRICS_CODES = sizeof metrics_codes / sizeof *metrics_codes };

/* One in so many requests is timed, and then counts for so many; some are timed always, and count once. */
#define METRICS_SAMPLE 64

/* Numbers of 64 bits and nothing else, so that they are read and added up as an array. */
struct metrics {
    /* those that are printed are named in figures.h */
    uint64_t total_connections_received;
    uint64_t total_net_input_bytes;
    uint64_t total_net_output_bytes;
    uint64_t rejected_maxclients;
    uint64_t rejected_protected_mode;
    uint64_t rejected_resources;
    uint64_t errors[METRICS_CODES];
    uint64_t slow_requests;
    uint64_t acl_access_denied_auth;
    uint64_t evicted_clients;
    uint64_t client_query_buffer_limit_disconnections;
    uint64_t client_output_buffer_limit_disconnections;
    uint64_t monitor_client_disconnections;
    struct command_metrics {
        uint64_t calls;    /* executed */
        uint64_t rejected; /* an error was answered before it was executed: arguments, authentication */
        uint64_t failed;   /* or while it was */
        uint64_t ns;       /* what those took that are in `bins` */
        uint64_t bins[METRICS_BINS];
    } command[METRICS_COMMANDS];
};

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The wall clock. */
static inline int64_t clock_ms(void) { return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000); }

/* Adds to a counter of the calling thread. */
static inline void metrics_add(uint64_t *counter, uint64_t n) {
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Counts an error reply, which begins with its code. */
static inline void metrics_error(struct metrics *m, const char *text) {
    int i = METRICS_CODES;
    while (--i > 0 && strncmp(text, metrics_codes[i], strlen(metrics_codes[i])) != 0)
        ;
    metrics_add(&m->errors[i], 1);
}

/* Counts the time of a request that stands for `weight` of them. */
static inline void metrics_time(struct metrics *m, uint32_t row, uint64_t ns, uint64_t weight) {
    int bin = 64 - __builtin_clzll(ns / 1000 << 1 | 1) - 1;
    metrics_add(&m->command[row].ns, ns * weight);
    metrics_add(&m->command[row].bins[bin < METRICS_BINS ? bin : METRICS_BINS - 1], weight);
}

#endif
