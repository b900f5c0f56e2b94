/* metrics.h -- counters: one list, summed and printed by info.c.
 *
 * Every thread that counts has its own struct metrics and is the only one to write it, so counting is a plain add
 * and no cache line is shared; a reader sums them all and may be a moment late. */
#ifndef SPONSON_METRICS_H
#define SPONSON_METRICS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "buf.h"

/* Those that are printed are named in figures.h. */
#define METRICS(X)                                                                                                     \
    X(total_connections_received)                                                                                      \
    X(total_net_input_bytes)                                                                                           \
    X(total_net_output_bytes)                                                                                          \
    X(rejected_maxclients)                                                                                             \
    X(rejected_protected_mode)                                                                                         \
    X(rejected_resources)                                                                                              \
    X(total_error_replies)                                                                                             \
    X(slow_requests)                                                                                                   \
    X(acl_access_denied_auth)                                                                                          \
    X(evicted_clients)                                                                                                 \
    X(client_query_buffer_limit_disconnections)                                                                        \
    X(client_output_buffer_limit_disconnections)                                                                       \
    X(monitor_client_disconnections)

enum { METRICS_COMMANDS = 192 }; /* rows of the command table, and room for more */

/* Of a command's times: bin i counts those below 2^i us and not below half of it; the last one all that are longer. */
enum { METRICS_BINS = 24 };

/* One in so many requests is timed, and then counts for so many; some are timed always, and count once. */
#define METRICS_SAMPLE 64

struct metrics {
#define METRICS_FIELD(name) alignas(8) _Atomic uint64_t name;
    METRICS(METRICS_FIELD)
#undef METRICS_FIELD
    struct {
        _Atomic uint64_t calls;    /* executed */
        _Atomic uint64_t rejected; /* an error was answered before it was executed: arguments, authentication */
        _Atomic uint64_t failed;   /* or while it was */
        _Atomic uint64_t ns;       /* what those took that are in `bins` */
        _Atomic uint64_t bins[METRICS_BINS];
    } command[METRICS_COMMANDS];
};

/* Adds to a counter of the calling thread. */
static inline void metrics_add(_Atomic uint64_t *counter, uint64_t n) {
    relaxed_store(*counter, relaxed_load(*counter) + n);
}

/* Counts the time of a request that stands for `weight` of them. */
static inline void metrics_time(struct metrics *m, uint32_t row, uint64_t ns, uint64_t weight) {
    int bin = 64 - __builtin_clzll(ns / 1000 << 1 | 1) - 1;
    metrics_add(&m->command[row].ns, ns * weight);
    metrics_add(&m->command[row].bins[bin < METRICS_BINS ? bin : METRICS_BINS - 1], weight);
}

#endif
