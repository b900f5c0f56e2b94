/* metrics.c -- counters, summed over the threads that keep them. The list is in metrics.h. */
#include "metrics.h"

#include <inttypes.h>

void metrics_sum(struct metrics_totals *totals, struct metrics *m) {
#define METRICS_FIELD(name) totals->name += atomic_load_explicit(&m->name, memory_order_relaxed);
    METRICS(METRICS_FIELD)
#undef METRICS_FIELD
    for (int i = 0; i < METRICS_COMMANDS; i++) {
        uint64_t calls = atomic_load_explicit(&m->command[i].calls, memory_order_relaxed);
        totals->command[i].calls += calls;
        totals->command[i].ns += atomic_load_explicit(&m->command[i].ns, memory_order_relaxed);
        totals->command[i].timed += atomic_load_explicit(&m->command[i].timed, memory_order_relaxed);
        totals->command[i].rejected += atomic_load_explicit(&m->command[i].rejected, memory_order_relaxed);
        totals->command[i].failed += atomic_load_explicit(&m->command[i].failed, memory_order_relaxed);
        totals->total_commands_processed += calls;
    }
}

void metrics_subtract(struct metrics_totals *totals, const struct metrics_totals *since) {
    uint64_t *to = (uint64_t *)totals; /* nothing but such numbers */
    for (size_t i = 0; i < sizeof *totals / sizeof *to; i++)
        to[i] -= ((const uint64_t *)since)[i];
}

void metrics_print(struct buf *out, const struct metrics_totals *totals) {
    buf_printf(out, "total_commands_processed:%" PRIu64 "\r\n", totals->total_commands_processed);
#define METRICS_FIELD(name) buf_printf(out, #name ":%" PRIu64 "\r\n", totals->name);
    METRICS(METRICS_FIELD)
#undef METRICS_FIELD
}
