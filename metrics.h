/* metrics.h -- counters: one list, summed and printed.
 *
 * Every thread that counts has its own struct metrics and is the only one to write it, so counting is a plain add
 * and no cache line is shared; a reader sums them all and may be a moment late. */
#ifndef SPONSON_METRICS_H
#define SPONSON_METRICS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "buf.h"

/* name as INFO stats shows it */
#define METRICS(X)                                                                                                     \
    X(total_connections_received)                                                                                      \
    X(total_net_input_bytes)                                                                                           \
    X(total_net_output_bytes)                                                                                          \
    X(rejected_connections)                                                                                            \
    X(total_error_replies)                                                                                             \
    X(acl_access_denied_auth)                                                                                          \
    X(evicted_clients)                                                                                                 \
    X(client_query_buffer_limit_disconnections)                                                                        \
    X(client_output_buffer_limit_disconnections)                                                                       \
    X(monitor_client_disconnections)

enum { METRICS_COMMANDS = 192 }; /* rows of the command table, and room for more */

struct metrics {
#define METRICS_FIELD(name) alignas(8) _Atomic uint64_t name;
    METRICS(METRICS_FIELD)
#undef METRICS_FIELD
    struct {
        _Atomic uint64_t calls;    /* executed */
        _Atomic uint64_t ns;       /* those of them took that were timed, one in METRICS_SAMPLE, ... */
        _Atomic uint64_t timed;    /* ... so many */
        _Atomic uint64_t rejected; /* an error was answered before it was executed: arguments, authentication */
        _Atomic uint64_t failed;   /* or while it was */
    } command[METRICS_COMMANDS];
};

#define METRICS_SAMPLE 64

struct metrics_totals {
#define METRICS_FIELD(name) uint64_t name;
    METRICS(METRICS_FIELD)
#undef METRICS_FIELD
    struct {
        uint64_t calls, ns, timed, rejected, failed;
    } command[METRICS_COMMANDS];
    uint64_t total_commands_processed;
};

/* Adds to a counter of the calling thread. */
static inline void metrics_add(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Adds the counters of one thread to *totals. */
void metrics_sum(struct metrics_totals *totals, struct metrics *m);

/* Takes what was counted up to `since` away. */
void metrics_subtract(struct metrics_totals *totals, const struct metrics_totals *since);

/* Writes all totals as lines "name:value\r\n". */
void metrics_print(struct buf *out, const struct metrics_totals *totals);

#endif
