/* figures.h -- the list of what is measured: INFO's numbers and /metrics are made from it. info.c includes it.
 *
 *   section and name in INFO, name and labels at /metrics (NULL: not there), kind, unit, where it stands, what it is
 *
 * A section's rows are printed in this order; those of one name at /metrics stand together. The names follow
 * https://prometheus.io/docs/practices/naming/: base units, so what INFO tells in ms is divided there. What is told of
 * each command, and the histograms, are not in the list: info.c has them. */
#ifndef SPONSON_FIGURES_H
#define SPONSON_FIGURES_H

enum kind { COUNTER, GAUGE };
enum unit { ONE = 1, MS = 1000, US = 1000000 }; /* so many are one of the base unit */

struct figure {
    const char *section, *info, *name, *labels;
    enum kind kind;
    enum unit unit;
    size_t offset;
    const char *help;
};

#define AT(field) offsetof(struct figures, field)

/* clang-format off */
static const struct figure list[] = {
    {"clients", "connected_clients", "sponson_connected_clients", "", GAUGE, ONE, AT(connected_clients), "Clients connected now."},
    {"clients", "maxclients", "sponson_max_clients", "", GAUGE, ONE, AT(maxclients), "Clients that may be connected at once (maxclients)."},
    {"clients", "client_memory_limit", "sponson_client_memory_max_bytes", "", GAUGE, ONE, AT(client_memory_max), "Bytes that all clients' buffers may take (client-memory)."},
    {"memory", "used_memory", "sponson_memory_used_bytes", "", GAUGE, ONE, AT(shards.used_bytes), "Bytes of entries and their index, which maxmemory bounds."},
    {"memory", "used_memory_peak", NULL, "", GAUGE, ONE, AT(used_peak), ""},
    {"memory", "used_memory_rss", "process_resident_memory_bytes", "", GAUGE, ONE, AT(resident), "Resident memory of the process."},
    {"memory", "used_memory_dataset", NULL, "", GAUGE, ONE, AT(shards.used_bytes), ""},
    {"memory", "mem_clients_normal", "sponson_client_memory_bytes", "", GAUGE, ONE, AT(client_memory), "Bytes in clients' buffers."},
    {"memory", "total_system_memory", NULL, "", GAUGE, ONE, AT(system_memory), ""},
    {"memory", "maxmemory", "sponson_memory_max_bytes", "", GAUGE, ONE, AT(maxmemory), "Bytes that entries and their index may take (maxmemory)."},
    {"memory", "shard_used_memory_min", "sponson_shard_used_bytes", "stat=\"min\"", GAUGE, ONE, AT(shards.shard_used_bytes.least), "Bytes of entries and index in the emptiest and the fullest shard."},
    {"memory", "shard_used_memory_max", "sponson_shard_used_bytes", "stat=\"max\"", GAUGE, ONE, AT(shards.shard_used_bytes.most), ""},

    {"stats", "total_connections_received", "sponson_connections_total", "", COUNTER, ONE, AT(counted.total_connections_received), "Connections accepted."},
    {"stats", "total_commands_processed", NULL, "", COUNTER, ONE, AT(commands), ""},
    {"stats", "instantaneous_ops_per_sec", NULL, "", GAUGE, ONE, AT(per_s[SAMPLE_COMMANDS]), ""},
    {"stats", "total_net_input_bytes", "sponson_network_receive_bytes_total", "", COUNTER, ONE, AT(counted.total_net_input_bytes), "Bytes received from clients."},
    {"stats", "total_net_output_bytes", "sponson_network_transmit_bytes_total", "", COUNTER, ONE, AT(counted.total_net_output_bytes), "Bytes sent to clients."},
    {"stats", "rejected_connections", NULL, "", COUNTER, ONE, AT(rejected), ""},
    {"stats", "rejected_connections_maxclients", "sponson_rejected_connections_total", "reason=\"maxclients\"", COUNTER, ONE, AT(counted.rejected_maxclients), "Connections refused: more than maxclients, by protected-mode, for want of descriptors or memory."},
    {"stats", "rejected_connections_protected_mode", "sponson_rejected_connections_total", "reason=\"protected_mode\"", COUNTER, ONE, AT(counted.rejected_protected_mode), ""},
    {"stats", "rejected_connections_resources", "sponson_rejected_connections_total", "reason=\"resources\"", COUNTER, ONE, AT(counted.rejected_resources), ""},
    {"stats", "expired_keys", "sponson_expired_total", "", COUNTER, ONE, AT(shards.counters.expired), "Entries whose time to live was over."},
    {"stats", "expired_lag_p99_ms", NULL, "", GAUGE, ONE, AT(lag_p99_ms), ""},
    {"stats", "expired_lag_max_ms", NULL, "", GAUGE, ONE, AT(shards.lag_max_ms), ""},
    {"stats", "evicted_keys", NULL, "", COUNTER, ONE, AT(shards.counters.evicted), ""},
    {"stats", "evicted_by_bytes", "sponson_evictions_total", "cause=\"bytes\"", COUNTER, ONE, AT(shards.counters.evicted_by_bytes), "Entries evicted, the oldest first: for room in bytes (maxmemory), for their number (shard-capacity), and out of that order, for room at one place."},
    {"stats", "evicted_by_entries", "sponson_evictions_total", "cause=\"entries\"", COUNTER, ONE, AT(shards.counters.evicted_by_entries), ""},
    {"stats", "evicted_out_of_order", "sponson_evictions_total", "cause=\"out_of_order\"", COUNTER, ONE, AT(shards.counters.evicted_out_of_order), ""},
    {"stats", "evicted_age_p50_ms", NULL, "", GAUGE, ONE, AT(age_p50_ms), ""},
    {"stats", "evicted_age_p99_ms", NULL, "", GAUGE, ONE, AT(age_p99_ms), ""},
    {"stats", "keyspace_hits", "sponson_hits_total", "", COUNTER, ONE, AT(shards.counters.hits), "Reads that found their key."},
    {"stats", "keyspace_misses", NULL, "", COUNTER, ONE, AT(misses), ""},
    {"stats", "keyspace_misses_never_seen", "sponson_misses_total", "cause=\"never_seen\"", COUNTER, ONE, AT(shards.counters.misses[SAMPLE_FREE]), "Reads that did not find their key: it was evicted of late (a larger cache would have had it), it expired of late, or neither."},
    {"stats", "keyspace_misses_expired", "sponson_misses_total", "cause=\"expired\"", COUNTER, ONE, AT(shards.counters.misses[SAMPLE_EXPIRED]), ""},
    {"stats", "keyspace_misses_evicted", "sponson_misses_total", "cause=\"evicted\"", COUNTER, ONE, AT(shards.counters.misses[SAMPLE_EVICTED]), ""},
    {"stats", "total_error_replies", "sponson_errors_total", "", COUNTER, ONE, AT(counted.total_error_replies), "Error replies."},
    {"stats", "slow_requests", "sponson_slow_requests_total", "", COUNTER, ONE, AT(counted.slow_requests), "Requests that took slowlog-log-slower-than or longer."},
    {"stats", "acl_access_denied_auth", "sponson_auth_failures_total", "", COUNTER, ONE, AT(counted.acl_access_denied_auth), "Wrong passwords."},
    {"stats", "evicted_clients", "sponson_closed_clients_total", "reason=\"client_memory\"", COUNTER, ONE, AT(counted.evicted_clients), "Clients closed: they held most of client-memory, there was no room for a request or a reply, or they read MONITOR too slowly."},
    {"stats", "client_query_buffer_limit_disconnections", "sponson_closed_clients_total", "reason=\"query_buffer\"", COUNTER, ONE, AT(counted.client_query_buffer_limit_disconnections), ""},
    {"stats", "client_output_buffer_limit_disconnections", "sponson_closed_clients_total", "reason=\"output_buffer\"", COUNTER, ONE, AT(counted.client_output_buffer_limit_disconnections), ""},
    {"stats", "monitor_client_disconnections", "sponson_closed_clients_total", "reason=\"monitor\"", COUNTER, ONE, AT(counted.monitor_client_disconnections), ""},

    {NULL, NULL, "sponson_entries", "", GAUGE, ONE, AT(shards.entries), "Entries, of all databases."},
    {NULL, NULL, "sponson_entries_with_ttl", "", GAUGE, ONE, AT(with_ttl), "Entries that have a time to live."},
    {NULL, NULL, "sponson_shard_entries", "stat=\"min\"", GAUGE, ONE, AT(shards.shard_entries.least), "Entries in the emptiest and the fullest shard."},
    {NULL, NULL, "sponson_shard_entries", "stat=\"max\"", GAUGE, ONE, AT(shards.shard_entries.most), ""},
    {NULL, NULL, "process_cpu_seconds_total", "", COUNTER, US, AT(cpu_us), "Time of the processors, user and system."},
    {NULL, NULL, "process_start_time_seconds", "", GAUGE, MS, AT(started_ms), "When the process started, since 1970."},
};
/* clang-format on */

#endif
