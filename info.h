/* info.h -- what is measured, told: the handlers of INFO, LATENCY, SLOWLOG and MEMORY STATS, and the text of /metrics. */
#ifndef SPONSON_INFO_H
#define SPONSON_INFO_H

#include "call.h"

command_handler cmd_config_resetstat, cmd_hotkeys_get, cmd_hotkeys_start, cmd_hotkeys_stop, cmd_info,
    cmd_latency_doctor, cmd_latency_graph, cmd_latency_histogram, cmd_latency_latest, cmd_latency_reset,
    cmd_memory_purge, cmd_memory_stats, cmd_slowlog_get, cmd_slowlog_len;

/* The slow log and HOTKEYS: their locks; what they hold, once no thread is left. */
void info_init(struct command_server *server);
void info_release(struct command_server *server);

/* Works out the rates that INFO shows, since the last call: one worker does, once a second. */
void info_sample(struct command_server *server, int64_t now_ms);

/* Puts a request into the slow log, if it is on, and counts it. `client` is NULL when it is not known which of several
 * it was; no value of AUTH, HELLO or CONFIG SET is kept. */
void info_slow(struct command_server *server, struct metrics *m, const struct client *client, const struct slice *argv,
               int argc, uint64_t us, int64_t now_ms);

/* The keys of a stream that have most of something: those that have more than a SKETCH_KEYS-th of all are among them
 * ("space-saving", Metwally, Agrawal, El Abbadi 2005). All zero: empty. */
enum { SKETCH_KEYS = 512, SKETCH_KEY_BYTES = 128, SKETCH_KEY_CUT = 104 };

struct sketch {
    uint64_t total;
    uint64_t hash[SKETCH_KEYS];
    uint64_t count[SKETCH_KEYS]; /* at most so much has this key, ... */
    uint64_t error[SKETCH_KEYS]; /* ... and at least so much less: what the one had that it took the place of */
    struct {
        uint32_t database, bytes;
        char text[SKETCH_KEY_BYTES]; /* of a longer key SKETCH_KEY_CUT bytes, and how many are missing */
    } key[SKETCH_KEYS];
};

void sketch_add(struct sketch *s, uint64_t hash, uint32_t database, struct slice key, uint64_t weight);

/* The places of the `most` keys that have most for certain, in order. Returns how many there are. */
int sketch_top(const struct sketch *s, int most, int *top);

/* Counts a key, if HOTKEYS still does. */
void info_count_key(struct hotkeys *h, int64_t now_ms, uint64_t hash, uint32_t database, struct slice key,
                    const uint64_t weight[HOT_METRICS]);

/* Appends the text of https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4. No lock is waited
 * for. A megabyte is enough. */
void info_metrics(struct command_server *server, struct buf *out);

#endif
