/* info.h -- what is measured, told: the handlers of INFO, LATENCY, SLOWLOG and MEMORY STATS, and the text of /metrics. */
#ifndef SPONSON_INFO_H
#define SPONSON_INFO_H

#include "call.h"

command_handler cmd_config_resetstat, cmd_info, cmd_latency_doctor, cmd_latency_graph, cmd_latency_histogram,
    cmd_latency_latest, cmd_latency_reset, cmd_memory_purge, cmd_memory_stats, cmd_slowlog_get, cmd_slowlog_len;

/* The slow log: its lock; what it holds, once no thread is left. */
void info_init(struct command_server *server);
void info_release(struct command_server *server);

/* Works out the rates that INFO shows, since the last call: one worker does, once a second. */
void info_sample(struct command_server *server, int64_t now_ms);

/* Puts a request into the slow log, if it is on, and counts it. `client` is NULL when it is not known which of several
 * it was; no value of AUTH, HELLO or CONFIG SET is kept. */
void info_slow(struct command_server *server, struct metrics *m, const struct client *client, const struct slice *argv,
               int argc, uint64_t us, int64_t now_ms);

/* Appends the text of https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4. No lock is waited
 * for. INFO_METRICS_BYTES are enough. */
enum { INFO_METRICS_BYTES = 1 << 20 };
void info_metrics(struct command_server *server, struct buf *out);

#endif
