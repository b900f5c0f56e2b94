/* metrics.c -- counters, summed over the threads that keep them. The list is in metrics.h. */
#include "metrics.h"

#include <inttypes.h>

void metrics_sum(struct metrics_totals *totals, struct metrics *m) {
#define METRICS_FIELD(name) totals->name += atomic_load_explicit(&m->name, memory_order_relaxed);
    METRICS(METRICS_FIELD)
#undef METRICS_FIELD
}

void metrics_print(struct buf *out, const struct metrics_totals *totals) {
#define METRICS_FIELD(name) buf_printf(out, #name ":%" PRIu64 "\r\n", totals->name);
    METRICS(METRICS_FIELD)
#undef METRICS_FIELD
}
