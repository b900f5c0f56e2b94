/* figures.h -- the list of what is measured: INFO's numbers and /metrics are made from it. info.c includes it.
 *
 *   section and name in INFO, name and labels at /metrics (NULL: not there), unit, its value, what it is
 *
 * A section's rows are printed in this order; those of one name at /metrics stand together, and the first says what it
 * is. The names follow https://prometheus.io/docs/practices/naming/: counters end in _total, and units are base units, so
 * what INFO tells in ms is divided there. What is told of each command and kind of error, and the histograms, are not in the
 * list: info.c has them. */
#ifndef SPONSON_FIGURES_H
#define SPONSON_FIGURES_H

enum unit { ONE = 1, MS = 1000, KB = 1024, US = 1000000 }; /* so many are one of the base unit */

struct figure {
    const char *section, *info, *name, *labels;
    enum unit unit;
    uint64_t value;
    const char *help;
};

/* Hands each of the section to print(b, row); of all, when that is NULL. */
static void each_figure(const struct figures *f, struct buf *b, const char *section,
                        void (*print)(struct buf *b, const struct figure *row)) {
    const struct command_server *s = f->server;
    const struct shards_totals *t = &f->shards;
    const struct lru_counters *n = &t->counters;
    const struct metrics *m = &f->counted;
    /* clang-format off */
    const struct figure list[] = {
        {"Clients", "connected_clients", "sponson_connected_clients", "", ONE, relaxed_load(s->registry->count), "Clients connected now."},
        {"Clients", "maxclients", "sponson_max_clients", "", ONE, (uint64_t)s->config->maxclients, "Clients that may be connected at once (maxclients)."},
        {"Clients", "client_memory_limit", "sponson_client_memory_max_bytes", "", ONE, relaxed_load(s->client_memory->limit_bytes), "Bytes that all clients' buffers may take (client-memory)."},
        {"Memory", "used_memory", "sponson_memory_used_bytes", "", ONE, t->used_bytes, "Bytes of entries and their index, which maxmemory bounds."},
        {"Memory", "used_memory_peak", NULL, "", ONE, f->used_peak, ""},
        {"Memory", "used_memory_rss", "process_resident_memory_bytes", "", ONE, f->resident, "Resident memory of the process."},
        {"Memory", "used_memory_dataset", NULL, "", ONE, t->used_bytes, ""},
        {"Memory", "mem_clients_normal", "sponson_client_memory_bytes", "", ONE, f->client_memory, "Bytes in clients' buffers."},
        {"Memory", "total_system_memory", NULL, "", ONE, s->host->memory_bytes, ""},
        {"Memory", "maxmemory", "sponson_memory_max_bytes", "", ONE, s->config->maxmemory_bytes, "Bytes that entries and their index may take (maxmemory)."},
        {"Memory", "shard_used_memory_min", "sponson_shard_used_bytes", "{stat=\"min\"}", ONE, t->shard_used_bytes.least, "Bytes of entries and index in the emptiest and the fullest shard."},
        {"Memory", "shard_used_memory_max", "sponson_shard_used_bytes", "{stat=\"max\"}", ONE, t->shard_used_bytes.most, ""},

        {"Stats", "total_connections_received", "sponson_connections_total", "", ONE, m->total_connections_received, "Connections accepted."},
        {"Stats", "total_commands_processed", NULL, "", ONE, commands_of(m), ""},
        {"Stats", "instantaneous_ops_per_sec", NULL, "", ONE, relaxed_load(s->per_s[SAMPLE_COMMANDS]), ""},
        {"Stats", "total_net_input_bytes", "sponson_network_receive_bytes_total", "", ONE, m->total_net_input_bytes, "Bytes received from clients."},
        {"Stats", "total_net_output_bytes", "sponson_network_transmit_bytes_total", "", ONE, m->total_net_output_bytes, "Bytes sent to clients."},
        {"Stats", "rejected_connections", NULL, "", ONE, m->rejected_maxclients + m->rejected_protected_mode + m->rejected_resources, ""},
        {"Stats", "rejected_connections_maxclients", "sponson_rejected_connections_total", "{reason=\"maxclients\"}", ONE, m->rejected_maxclients, "Connections refused: more than maxclients, by protected-mode, for want of descriptors or memory."},
        {"Stats", "rejected_connections_protected_mode", "sponson_rejected_connections_total", "{reason=\"protected_mode\"}", ONE, m->rejected_protected_mode, ""},
        {"Stats", "rejected_connections_resources", "sponson_rejected_connections_total", "{reason=\"resources\"}", ONE, m->rejected_resources, ""},
        {"Stats", "expired_keys", "sponson_expired_total", "", ONE, n->expired, "Entries whose time to live was over."},
        {"Stats", "expired_lag_p99_ms", NULL, "", ONE, MIN(percentile(n->lag, LRU_BINS, 0.99), t->lag_max_ms), ""},
        {"Stats", "expired_lag_max_ms", NULL, "", ONE, t->lag_max_ms, ""},
        {"Stats", "evicted_keys", NULL, "", ONE, n->evicted, ""},
        {"Stats", "evicted_by_bytes", "sponson_evictions_total", "{cause=\"bytes\"}", ONE, n->evicted_by_bytes, "Entries evicted, the oldest first: for room in bytes (maxmemory), for their number (shard-capacity), and out of that order, for room at one place."},
        {"Stats", "evicted_by_entries", "sponson_evictions_total", "{cause=\"entries\"}", ONE, n->evicted_by_entries, ""},
        {"Stats", "evicted_out_of_order", "sponson_evictions_total", "{cause=\"out_of_order\"}", ONE, n->evicted_out_of_order, ""},
        {"Stats", "evicted_age_p50_ms", NULL, "", ONE, percentile(n->age, LRU_BINS, 0.5), ""},
        {"Stats", "evicted_age_p99_ms", NULL, "", ONE, percentile(n->age, LRU_BINS, 0.99), ""},
        {"Stats", "keyspace_hits", "sponson_hits_total", "", ONE, n->hits, "Reads that found their key."},
        {"Stats", "keyspace_misses", NULL, "", ONE, n->misses[SAMPLE_FREE] + n->misses[SAMPLE_EXPIRED] + n->misses[SAMPLE_EVICTED], ""},
        {"Stats", "keyspace_misses_never_seen", "sponson_misses_total", "{cause=\"never_seen\"}", ONE, n->misses[SAMPLE_FREE], "Reads that did not find their key: it was evicted of late (a larger cache would have had it), it expired of late, or neither."},
        {"Stats", "keyspace_misses_expired", "sponson_misses_total", "{cause=\"expired\"}", ONE, n->misses[SAMPLE_EXPIRED], ""},
        {"Stats", "keyspace_misses_evicted", "sponson_misses_total", "{cause=\"evicted\"}", ONE, n->misses[SAMPLE_EVICTED], ""},
        {"Stats", "total_error_replies", NULL, "", ONE, sum_of(m->errors, METRICS_CODES), ""},
        {"Stats", "slow_requests", "sponson_slow_requests_total", "", ONE, m->slow_requests, "Requests that took slowlog-log-slower-than or longer."},
        {"Stats", "acl_access_denied_auth", "sponson_auth_failures_total", "", ONE, m->acl_access_denied_auth, "Wrong passwords."},
        {"Stats", "evicted_clients", "sponson_closed_clients_total", "{reason=\"client_memory\"}", ONE, m->evicted_clients, "Clients closed: they held most of client-memory, there was no room for a request or a reply, or they read MONITOR too slowly."},
        {"Stats", "client_query_buffer_limit_disconnections", "sponson_closed_clients_total", "{reason=\"query_buffer\"}", ONE, m->client_query_buffer_limit_disconnections, ""},
        {"Stats", "client_output_buffer_limit_disconnections", "sponson_closed_clients_total", "{reason=\"output_buffer\"}", ONE, m->client_output_buffer_limit_disconnections, ""},
        {"Stats", "monitor_client_disconnections", "sponson_closed_clients_total", "{reason=\"monitor\"}", ONE, m->monitor_client_disconnections, ""},
        {"Stats", "instantaneous_input_kbps", NULL, "", KB, relaxed_load(s->per_s[SAMPLE_INPUT]), ""},
        {"Stats", "instantaneous_output_kbps", NULL, "", KB, relaxed_load(s->per_s[SAMPLE_OUTPUT]), ""},
        {"CPU", "used_cpu_sys", NULL, "", US, us_of(&f->usage.ru_stime), ""},
        {"CPU", "used_cpu_user", NULL, "", US, us_of(&f->usage.ru_utime), ""},

        {NULL, NULL, "sponson_entries", "", ONE, t->entries, "Entries, of all databases."},
        {NULL, NULL, "sponson_entries_with_ttl", "", ONE, f->with_ttl, "Entries that have a time to live."},
        {NULL, NULL, "sponson_shard_entries", "{stat=\"min\"}", ONE, t->shard_entries.least, "Entries in the emptiest and the fullest shard."},
        {NULL, NULL, "sponson_shard_entries", "{stat=\"max\"}", ONE, t->shard_entries.most, ""},
        {NULL, NULL, "process_cpu_seconds_total", "", US, us_of(&f->usage.ru_utime) + us_of(&f->usage.ru_stime), "Time of the processors, user and system."},
        {NULL, NULL, "process_start_time_seconds", "", MS, (uint64_t)s->started_ms, "When the process started, since 1970."},
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (section == NULL || (list[i].section && !strcmp(list[i].section, section))) print(b, &list[i]);
}

#endif
