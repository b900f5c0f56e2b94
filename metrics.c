/* metrics.c -- counters, summed over the threads that keep them. The list is in metrics.h. */
#include "metrics.h"

#include <inttypes.h>

_Static_assert(sizeof(struct metrics) + sizeof(uint64_t) == sizeof(struct metrics_totals),
               "the sums stand in one order");

/* Both structs are nothing but such numbers. */
void metrics_sum(struct metrics_totals *totals, struct metrics *m) {
    uint64_t *to = (uint64_t *)totals;
    const _Atomic uint64_t *from = (const _Atomic uint64_t *)m;
    for (size_t i = 0; i < sizeof *m / sizeof *from; i++)
        to[i] += relaxed_load(from[i]);
    for (int i = 0; i < METRICS_COMMANDS; i++)
        totals->total_commands_processed += relaxed_load(m->command[i].calls);
}

void metrics_subtract(struct metrics_totals *totals, const struct metrics_totals *since) {
    uint64_t *to = (uint64_t *)totals;
    for (size_t i = 0; i < sizeof *totals / sizeof *to; i++)
        to[i] -= ((const uint64_t *)since)[i];
}

void metrics_print(struct buf *out, const struct metrics_totals *totals) {
    buf_printf(out, "total_commands_processed:%" PRIu64 "\r\n", totals->total_commands_processed);
#define METRICS_FIELD(name) buf_printf(out, #name ":%" PRIu64 "\r\n", totals->name);
    METRICS(METRICS_FIELD)
#undef METRICS_FIELD
}
