/* info.c -- what is measured, told: INFO, MEMORY STATS, LATENCY, SLOWLOG, HOTKEYS, and the text that Prometheus reads.
 *
 * Owns    the slow log: a request is kept as the reply that SLOWLOG GET will give, cut to SLOW_BYTES; and the sketches of
 *         HOTKEYS, each of which keeps the keys that have most of one metric, and what another key may have had before.
 *
 * Figures all numbers are collected into one struct figures, without a lock: the threads' own counters are summed,
 *         the shards' read as they stand, so they may differ by what happened meanwhile. The list of them in figures.h
 *         says how each is called in INFO and at /metrics.
 * Times   one request in METRICS_SAMPLE is timed, and counts for as many; those that may take long are timed always,
 *         and all are while some do (worker.c). So the histograms are estimates of all that were executed.
 *
 * Threads any.   Failure: a request for which there is no memory is not in the slow log. */
#include "info.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "host.h"

#define SLOW_ARGS 32       /* arguments that the slow log shows, as Redis, ... */
#define SLOW_ARG_BYTES 128 /* ... of each so much, ... */
#define SLOW_BYTES 504     /* ... and of all: SLOWLOG_MAX of them, with their clients, are a reply at once */
#define SLOW_SHOWN 10      /* by SLOWLOG GET without a count */
#define HOT_SAMPLE 16      /* one request in so many is counted by HOTKEYS, if it is not told otherwise */
#define HOT_SHOWN_MAX 64   /* keys that HOTKEYS GET shows at most */
#define INFO_BYTES (96u << 10)

struct figures {
    const struct command_server *server;
    struct metrics counted; /* since CONFIG RESETSTAT, as all that counts */
    struct shards_totals shards;
    uint64_t client_memory, used_peak, resident, with_ttl;
    struct rusage usage;
    int64_t now_ms;
};

/* ---- collecting ---- */

/* Adds up what all threads have counted, less what they had before (NULL: nothing; RESETSTAT may be changing it). */
static void sum_metrics(const struct command_server *s, const struct metrics *before, struct metrics *sum) {
    const uint64_t *less = (const uint64_t *)before;
    for (size_t n = 0; n < sizeof *sum / sizeof *less; n++) {
        uint64_t all = 0;
        for (int i = 0; i < s->metrics_count; i++)
            all += READ(((const uint64_t *)s->metrics[i])[n]);
        __atomic_store_n((uint64_t *)sum + n, all - (less ? MIN(all, READ(less[n])) : 0), __ATOMIC_RELAXED);
    }
}

static uint64_t commands_of(const struct metrics *m) {
    uint64_t calls = 0;
    for (int i = 0; i < METRICS_COMMANDS; i++)
        calls += m->command[i].calls;
    return calls;
}

static uint64_t sum_of(const uint64_t *bins, int n) {
    uint64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += bins[i];
    return sum;
}

/* The end of the power of two below which so large a share of what was counted lies; 0: nothing was. */
static uint64_t percentile(const uint64_t *bins, int n, double share) {
    uint64_t all = sum_of(bins, n), seen = 0;
    for (int i = 0; i < n && all; i++)
        if ((double)(seen += bins[i]) >= share * (double)all) return 1ull << i;
    return 0;
}

static uint64_t us_of(const struct timeval *t) { return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec; }

static void collect(struct command_server *s, int64_t now_ms, struct figures *f) {
    *f = (struct figures){.server = s, .now_ms = now_ms, .resident = host_resident_bytes()};
    sum_metrics(s, &s->since, &f->counted);
    shards_total(s->shards, &f->shards);
    f->client_memory = relaxed_load(s->client_memory->used_bytes);
    f->used_peak = MAX(f->shards.used_bytes, relaxed_load(s->used_peak_bytes));
    for (int d = 0; d < DATABASES_MAX; d++)
        f->with_ttl += f->shards.database[d].with_deadline;
    getrusage(RUSAGE_SELF, &f->usage);
}

#include "figures.h"

void info_sample(struct command_server *s, int64_t now_ms) {
    struct metrics now;
    struct shards_totals totals;
    sum_metrics(s, NULL, &now);
    shards_total(s->shards, &totals);
    if (totals.used_bytes > relaxed_load(s->used_peak_bytes)) relaxed_store(s->used_peak_bytes, totals.used_bytes);
    const uint64_t counted[] = {commands_of(&now), now.total_net_input_bytes, now.total_net_output_bytes};
    uint64_t ms = now_ms > s->sampled_ms ? (uint64_t)(now_ms - s->sampled_ms) : 1;
    for (int i = 0; i < SAMPLES; i++) {
        relaxed_store(s->per_s[i], (counted[i] - s->sampled[i]) * 1000 / ms);
        s->sampled[i] = counted[i];
    }
    s->sampled_ms = now_ms;
}

/* CONFIG RESETSTAT */
enum command_result cmd_config_resetstat(struct call *c) {
    sum_metrics(c->context->server, NULL, &c->context->server->since);
    shards_reset_counters(c->shards);
    return ok(c);
}

/* ---- INFO ---- */

/* A figure's value, in its base unit. */
static void print_value(struct buf *b, const struct figure *row, const char *end) {
    if (row->unit == ONE)
        buf_printf(b, "%" PRIu64 "%s", row->value, end);
    else
        buf_printf(b, "%.*f%s", row->unit == KB ? 2 : 6, (double)row->value / (int)row->unit, end);
}

/* A figure of INFO; some numbers of bytes once more, for people. */
static void print_info(struct buf *b, const struct figure *row) {
    buf_printf(b, "%s:", row->info);
    print_value(b, row, "\r\n");
    if (strncmp(row->info, "used_memory", 11) && strcmp(row->info, "maxmemory")) return;
    double v = (double)row->value;
    int unit = 0;
    for (; v >= 1024 && unit < 4; unit++)
        v /= 1024;
    buf_printf(b, "%s_human:%.*f%c\r\n", row->info, unit ? 2 : 0, v, "BKMGT"[unit]);
}

static void info_server(const struct figures *f, struct buf *b) {
    const struct command_server *s = f->server;
    long long up_s = f->now_ms > s->started_ms ? (f->now_ms - s->started_ms) / 1000 : 0; /* the clock may be set back */
    struct utsname os;
    uname(&os);
    buf_printf(b,
               "redis_version:%s\r\nsponson_version:%s\r\nredis_mode:standalone\r\nos:%s %s %s\r\narch_bits:%zu\r\n"
               "multiplexing_api:epoll\r\natomicvar_api:c11-builtin\r\ngcc_version:%d.%d.%d\r\nprocess_id:%ld\r\n"
               "run_id:%s\r\ntcp_port:%d\r\nserver_time_usec:%lld\r\nuptime_in_seconds:%lld\r\n"
               "uptime_in_days:%lld\r\nhz:10\r\nconfigured_hz:10\r\nio_threads_active:%d\r\n",
               SPONSON_REDIS_VERSION, SPONSON_VERSION, os.sysname, os.release, os.machine, sizeof(void *) * CHAR_BIT,
               __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__, (long)getpid(), s->run_id, s->config->port,
               (long long)f->now_ms * 1000, up_s, up_s / 86400, s->config->threads > 1);
}

static void info_memory(const struct figures *f, struct buf *b) {
    uint64_t used = f->shards.used_bytes + f->client_memory;
    buf_printf(b, "maxmemory_policy:allkeys-lru\r\nmem_fragmentation_ratio:%.2f\r\nmem_allocator:arena\r\n",
               used ? (double)f->resident / (double)used : 0.0);
}

static void info_commandstats(const struct figures *f, struct buf *b) {
    for (uint32_t i = 0; command_name(i); i++) {
        const struct command_metrics *m = &f->counted.command[i];
        uint64_t timed = sum_of(m->bins, METRICS_BINS);
        double each = timed && m->calls ? (double)m->ns / 1000 / (double)timed : 0;
        if (m->calls + m->rejected == 0) continue;
        buf_printf(b,
                   "cmdstat_%s:calls=%" PRIu64 ",usec=%.0f,usec_per_call=%.2f,rejected_calls=%" PRIu64
                   ",failed_calls=%" PRIu64 "\r\n",
                   command_name(i), m->calls, each * (double)m->calls, each, m->rejected, m->failed);
    }
}

static void info_errorstats(const struct figures *f, struct buf *b) {
    for (int i = 0; i < METRICS_CODES; i++)
        if (f->counted.errors[i])
            buf_printf(b, "errorstat_%s:count=%" PRIu64 "\r\n", metrics_codes[i], f->counted.errors[i]);
}

static void info_latencystats(const struct figures *f, struct buf *b) {
    for (uint32_t i = 0; command_name(i); i++) {
        const uint64_t *bins = f->counted.command[i].bins;
        if (sum_of(bins, METRICS_BINS))
            buf_printf(b,
                       "latency_percentiles_usec_%s:p50=%" PRIu64 ".000,p99=%" PRIu64 ".000,p99.9=%" PRIu64 ".000\r\n",
                       command_name(i), percentile(bins, METRICS_BINS, 0.5), percentile(bins, METRICS_BINS, 0.99),
                       percentile(bins, METRICS_BINS, 0.999));
    }
}

static void info_keyspace(const struct figures *f, struct buf *b) {
    for (int d = 0; d < DATABASES_MAX; d++)
        if (f->shards.database[d].entries)
            buf_printf(b, "db%d:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", d, f->shards.database[d].entries,
                       f->shards.database[d].with_deadline);
}

/* INFO [section [section ...]] */
enum command_result cmd_info(struct call *c) {
    static const struct {
        const char *title;
        void (*print)(const struct figures *f, struct buf *b);
        const char *text; /* what never changes; the section's figures stand before it, what is printed behind it */
    } sections[] = {
        {"Server", info_server, ""},
        {"Clients", NULL, "cluster_connections:0\r\nblocked_clients:0\r\ntracking_clients:0\r\n"},
        {"Memory", info_memory, ""},
        {"Persistence", NULL,
         "loading:0\r\nrdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\naof_enabled:0\r\n"
         "aof_rewrite_in_progress:0\r\n"},
        {"Stats", NULL, ""},
        {"Replication", NULL,
         "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_repl_offset:0\r\n"
         "repl_backlog_active:0\r\n"},
        {"CPU", NULL, ""},
        {"Modules", NULL, ""},
        {"Commandstats", info_commandstats, ""},
        {"Errorstats", info_errorstats, ""},
        {"Latencystats", info_latencystats, ""},
        {"Cluster", NULL, "cluster_enabled:0\r\n"},
        {"Keyspace", info_keyspace, ""},
    };
    if (c->argc > NAMES_MAX) return error_format(c, "ERR at most %d names at once", NAMES_MAX);
    struct figures f;
    char text[INFO_BYTES];
    struct buf b = {text, 0, sizeof text, false};
    collect(c->context->server, c->now_ms, &f);
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        bool usual = sections[s].print != info_commandstats && sections[s].print != info_latencystats;
        bool wanted = c->argc == 1 && usual;
        for (int i = 1; i < c->argc && !wanted; i++) {
            int group = one_of(c->argv[i], "default all everything");
            wanted = is_word(c->argv[i], slice_of(sections[s].title)) || group > 0 || (usual && group == 0);
        }
        if (!wanted) continue;
        buf_printf(&b, "%s# %s\r\n", b.len ? "\r\n" : "", sections[s].title);
        each_figure(&f, &b, sections[s].title, print_info);
        buf_printf(&b, "%s", sections[s].text);
        if (sections[s].print) sections[s].print(&f, &b);
    }
    resp_text(c->out, (struct slice){text, b.len}, resp_of(c));
    return COMMAND_DONE;
}

/* MEMORY PURGE: upkeep gives free pages back without being asked */
enum command_result cmd_memory_purge(struct call *c) { return ok(c); }

/* MEMORY STATS */
enum command_result cmd_memory_stats(struct call *c) {
    struct figures f;
    collect(c->context->server, c->now_ms, &f);
    uint64_t used = f.shards.used_bytes, keys = f.shards.entries;
    put(c, "%$:$:$:$:$:$:$:$:", 8, "peak.allocated", f.used_peak, "total.allocated", used + f.client_memory,
        "clients.normal", f.client_memory, "keys.count", keys, "keys.bytes-per-key", keys ? used / keys : 0,
        "dataset.bytes", used, "maxmemory", c->context->config->maxmemory_bytes, "resident", f.resident);
    return COMMAND_DONE;
}

/* ---- LATENCY: the histograms; there is no monitor of events, so of those there never are any ---- */

/* LATENCY HISTOGRAM [command [command ...]] */
enum command_result cmd_latency_histogram(struct call *c) {
    struct figures f;
    uint32_t rows[METRICS_COMMANDS];
    int found = 0, most = MIN(c->argc, NAMES_MAX);
    collect(c->context->server, c->now_ms, &f);
    for (uint32_t row = 0; command_name(row); row++) {
        int i = 2;
        while (i < most && !is_word(c->argv[i], slice_of(command_name(row))))
            i++;
        if (sum_of(f.counted.command[row].bins, METRICS_BINS) && (c->argc == 2 || i < most)) rows[found++] = row;
    }
    put(c, "%", found);
    for (int i = 0; i < found; i++) {
        const struct command_metrics *m = &f.counted.command[rows[i]];
        double each = (double)m->calls / (double)sum_of(m->bins, METRICS_BINS); /* a timed one stands for so many */
        int filled = 0;
        for (int bin = 0; bin < METRICS_BINS; bin++)
            filled += m->bins[bin] != 0;
        put(c, "$%$:$%", command_name(rows[i]), 2, "calls", m->calls, "histogram_usec", filled);
        for (int bin = 0; bin < METRICS_BINS; bin++)
            if (m->bins[bin]) put(c, "::", (int64_t)1 << bin, (int64_t)((double)sum_of(m->bins, bin + 1) * each + 0.5));
    }
    return COMMAND_DONE;
}

/* LATENCY LATEST, LATENCY HISTORY event, MODULE LIST */
enum command_result cmd_latency_latest(struct call *c) { return resp_array(c->out, 0), COMMAND_DONE; }

/* LATENCY RESET [event [event ...]] */
enum command_result cmd_latency_reset(struct call *c) { return integer(c, 0); }

/* LATENCY GRAPH event */
enum command_result cmd_latency_graph(struct call *c) {
    return error_format(c, "ERR No samples available for event '%.*s'", shown_bytes(c->argv[2]), c->argv[2].p);
}

/* LATENCY DOCTOR */
enum command_result cmd_latency_doctor(struct call *c) {
    resp_text(c->out,
              SLICE("No latency events are recorded here. LATENCY HISTOGRAM and INFO latencystats show how long "
                    "commands take, SLOWLOG GET those that took longest (slowlog-log-slower-than)."),
              resp_of(c));
    return COMMAND_DONE;
}

/* ---- the slow log ---- */

struct slow_request {
    int64_t at_s, us;
    char client[CLIENT_ADDRESS_MAX], name[CLIENT_NAME_MAX];
    int shown;
    size_t bytes;
    char argv[SLOW_BYTES]; /* as the reply has them, so many are shown */
};

void info_init(struct command_server *s) {
    pthread_mutex_init(&s->slowlog.lock, NULL);
    pthread_mutex_init(&s->hotkeys.lock, NULL);
}

/* How many of the arguments may be shown: those behind them may be secrets. */
static int open_arguments(const struct slice *argv, int argc) {
    if (is_word(argv[0], SLICE("auth")) || (argc > 2 && is_word(argv[0], SLICE("hello")))) return 1;
    return argc > 2 && is_word(argv[0], SLICE("config")) && !is_word(argv[1], SLICE("get")) ? 2 : argc;
}

/* Writes a text, of one longer than `most` the first `cut` bytes and how many are missing; of one that was dropped as
 * it came only that. Returns its length. */
static size_t shorten(struct slice s, size_t most, size_t cut, char *to, size_t size) {
    size_t n = s.p == NULL ? 0 : s.n > most ? cut : s.n;
    if (n) memcpy(to, s.p, n);
    return n == s.n ? n : n + (size_t)snprintf(to + n, size - n, "... (%zu more bytes)", s.n - n);
}

/* Encodes a request's arguments, as many and as much of each as the slow log shows. */
static void encode_slow(const struct slice *argv, int argc, struct slow_request *r) {
    struct buf b = {r->argv, 0, SLOW_BYTES, false};
    char text[SLOW_ARG_BYTES + 64];
    int open = open_arguments(argv, argc), most = argc > SLOW_ARGS ? SLOW_ARGS - 1 : argc;
    for (; r->shown < most; r->shown++) {
        struct slice argument = r->shown < open ? argv[r->shown] : SLICE("(redacted)");
        size_t n = shorten(argument, SLOW_ARG_BYTES, SLOW_ARG_BYTES, text, sizeof text);
        if (buf_left(&b) < resp_bulk_bytes(n) + 64 + (r->shown + 1 < argc ? 32 : 0)) break;
        resp_bulk(&b, (struct slice){text, n});
    }
    if (r->shown < argc) {
        int n = snprintf(text, sizeof text, "... (%d more arguments)", argc - r->shown++);
        resp_bulk(&b, (struct slice){text, (size_t)n});
    }
    r->bytes = b.len;
}

/* Forgets requests of lower numbers; under the lock. */
static void forget(struct slowlog *l, int64_t before) {
    for (; l->first_id < before; l->first_id++) {
        free(l->request[l->first_id % SLOWLOG_MAX]);
        l->request[l->first_id % SLOWLOG_MAX] = NULL;
    }
}

void info_slow(struct command_server *s, struct metrics *m, const struct client *client, const struct slice *argv,
               int argc, uint64_t us, int64_t now_ms) {
    struct slowlog *l = &s->slowlog;
    int64_t keep = s->config->slowlog_max_len;
    metrics_add(&m->slow_requests, 1);
    struct slow_request *r = keep ? malloc(sizeof *r) : NULL;
    if (r) {
        *r = (struct slow_request){.at_s = now_ms / 1000, .us = (int64_t)us};
        if (client) client_address(client, false, r->client);
        if (client && client->name) strcpy(r->name, client->name);
        encode_slow(argv, argc, r);
    }
    pthread_mutex_lock(&l->lock);
    forget(l, l->next_id + (r != NULL) - keep);
    if (r) l->request[l->next_id++ % SLOWLOG_MAX] = r;
    pthread_mutex_unlock(&l->lock);
}

/* SLOWLOG GET [count] */
enum command_result cmd_slowlog_get(struct call *c) {
    struct slowlog *l = &c->context->server->slowlog;
    int64_t wanted = SLOW_SHOWN;
    if (c->argc > 3) return wrong_arity(c);
    if (c->argc == 3 && (!resp_integer_of(c->argv[2], &wanted) || wanted < -1))
        return ERROR(c, "ERR count should be greater than or equal to -1");
    pthread_mutex_lock(&l->lock);
    int64_t have = l->next_id - l->first_id, n = wanted < 0 || wanted > have ? have : wanted;
    resp_array(c->out, (size_t)n);
    for (int64_t id = l->next_id - 1; id >= l->next_id - n; id--) {
        const struct slow_request *r = l->request[id % SLOWLOG_MAX];
        put(c, "*:::*", 6, id, r->at_s, r->us, r->shown);
        buf_put(c->out, r->argv, r->bytes);
        put(c, "$$", r->client, r->name);
    }
    pthread_mutex_unlock(&l->lock);
    return COMMAND_DONE;
}

/* SLOWLOG LEN, SLOWLOG RESET */
enum command_result cmd_slowlog_len(struct call *c) {
    struct slowlog *l = &c->context->server->slowlog;
    pthread_mutex_lock(&l->lock);
    int64_t have = l->next_id - l->first_id;
    if (c->command->variant) forget(l, l->next_id);
    pthread_mutex_unlock(&l->lock);
    return c->command->variant ? ok(c) : integer(c, have);
}

/* ---- hot keys ---- */

void sketch_add(struct sketch *s, uint64_t hash, uint32_t database, struct slice key, uint64_t weight) {
    int least = 0, at = 0;
    s->total += weight;
    for (; at < SKETCH_KEYS && s->hash[at] != hash; at++)
        if (s->count[at] < s->count[least]) least = at;
    if (at == SKETCH_KEYS) { /* it takes the place, and the count, of the one that has least */
        at = least;
        s->hash[at] = hash;
        s->error[at] = s->count[at];
        s->key[at].database = database;
        s->key[at].bytes =
            (uint32_t)shorten(key, SKETCH_KEY_BYTES, SKETCH_KEY_CUT, s->key[at].text, sizeof s->key[at].text);
    }
    s->count[at] += weight;
}

int sketch_top(const struct sketch *s, int most, int *top) {
    int n = 0;
    for (int i = 0; i < SKETCH_KEYS; i++) {
        int j = s->count[i] ? n : most;
        for (; j > 0 && j <= n && s->count[i] - s->error[i] > s->count[top[j - 1]] - s->error[top[j - 1]]; j--)
            if (j < most) top[j] = top[j - 1];
        if (j == most) continue;
        top[j] = i;
        n += n < most;
    }
    return n;
}

void info_count_key(struct hotkeys *h, int64_t now_ms, uint64_t hash, uint32_t database, struct slice key,
                    const uint64_t weight[HOT_METRICS]) {
    pthread_mutex_lock(&h->lock);
    for (int m = 0; h->sketch && now_ms < h->ends_ms && m < HOT_METRICS; m++)
        if (h->metrics >> m & 1) sketch_add(&h->sketch[m], hash, database, key, weight[m]);
    pthread_mutex_unlock(&h->lock);
}

/* HOTKEYS START [METRICS count [USES] [CPU] [NET]] [COUNT k] [DURATION seconds] [SAMPLE ratio] */
enum command_result cmd_hotkeys_start(struct call *c) {
    enum { METRICS, COUNT, DURATION, SAMPLE, SLOTS };
    static const char *const names[] = {"METRICS count", "COUNT", "DURATION", "SAMPLE ratio"};
    static const int64_t most[] = {HOT_METRICS, HOT_SHOWN_MAX, 1000000, INT_MAX};
    int64_t given[] = {0, 10, 0, HOT_SAMPLE};
    struct hotkeys *h = &c->context->server->hotkeys;
    unsigned metrics = 0;
    for (int i = 2; i < c->argc;) {
        int option = i + 1 < c->argc ? one_of(c->argv[i], "metrics count duration sample slots") : -1;
        if (option < 0) return syntax_error(c);
        if (option == SLOTS) return ERROR(c, "ERR SLOTS parameter cannot be used in non-cluster mode");
        if (!resp_integer_of(c->argv[i + 1], &given[option]) || given[option] < 1 || given[option] > most[option])
            return error_format(c, "ERR %s must be between 1 and %" PRId64, names[option], most[option]);
        i += 2;
        for (int64_t n = 0; option == METRICS && n < given[METRICS]; n++, i++) {
            int metric = i < c->argc ? one_of(c->argv[i], "uses cpu net") : -1;
            if (metric < 0 || (metrics >> metric & 1))
                return ERROR(c, "ERR METRICS count must be followed by as many of USES, CPU and NET");
            metrics |= 1u << metric;
        }
    }
    pthread_mutex_lock(&h->lock);
    bool active = c->now_ms < h->ends_ms;
    if (!active && h->sketch == NULL) h->sketch = malloc(HOT_METRICS * sizeof *h->sketch);
    if (!active && h->sketch) {
        memset(h->sketch, 0, HOT_METRICS * sizeof *h->sketch);
        h->metrics = metrics ? metrics : 1u << HOT_USES;
        h->count = (int)given[COUNT];
        h->started_ms = c->now_ms;
        relaxed_store(h->ratio, (uint32_t)given[SAMPLE]);
        relaxed_store(h->ends_ms, given[DURATION] ? c->now_ms + given[DURATION] * 1000 : INT64_MAX);
        c->context->unusual |= UNUSUAL_COUNTED;
        ok(c);
    } else {
        call_error(c, active ? SLICE("ERR hotkey tracking session already in progress") : SLICE("ERR out of memory"));
    }
    pthread_mutex_unlock(&h->lock);
    return COMMAND_DONE;
}

/* HOTKEYS STOP, HOTKEYS RESET */
enum command_result cmd_hotkeys_stop(struct call *c) {
    struct hotkeys *h = &c->context->server->hotkeys;
    bool reset = c->command->variant;
    pthread_mutex_lock(&h->lock);
    bool active = c->now_ms < h->ends_ms;
    if (active && !reset) relaxed_store(h->ends_ms, c->now_ms);
    if (!active && reset) {
        free(h->sketch);
        h->sketch = NULL;
    }
    pthread_mutex_unlock(&h->lock);
    if (active && reset) return ERROR(c, "ERR hotkey tracking session in progress, stop tracking first");
    return active || reset ? ok(c) : null(c);
}

/* One metric of HOTKEYS GET: the total, the keys with what they have, their databases. */
static void put_hot(struct call *c, const struct sketch *s, int m, int count, int64_t ratio) {
    static const char *const names[HOT_METRICS][3] = {
        {"uses-all-commands", "by-uses", "by-uses-databases"},
        {"all-commands-all-slots-us", "by-cpu-time-us", "by-cpu-time-databases"},
        {"net-bytes-all-commands-all-slots", "by-net-bytes", "by-net-databases"}};
    int64_t unit = m == HOT_CPU ? 1000 : 1;
    int top[HOT_SHOWN_MAX], n = sketch_top(s, count, top);
    put(c, "$:$*", names[m][0], (int64_t)s->total * ratio / unit, names[m][1], 2 * n);
    for (int i = 0; i < n; i++)
        put(c, "s:", (struct slice){s->key[top[i]].text, s->key[top[i]].bytes},
            (int64_t)(s->count[top[i]] - s->error[top[i]]) * ratio / unit);
    put(c, "$*", names[m][2], n);
    for (int i = 0; i < n; i++)
        resp_integer(c->out, s->key[top[i]].database);
}

/* HOTKEYS GET */
enum command_result cmd_hotkeys_get(struct call *c) {
    struct hotkeys *h = &c->context->server->hotkeys;
    pthread_mutex_lock(&h->lock);
    int64_t until_ms = c->now_ms < h->ends_ms ? c->now_ms : h->ends_ms, ratio = h->ratio;
    if (h->sketch == NULL)
        null(c);
    else
        put(c, "*%$:$:$**::$:$:", 1, 5 + 3 * __builtin_popcount(h->metrics), "tracking-active",
            (int64_t)(c->now_ms < h->ends_ms), "sample-ratio", ratio, "selected-slots", 1, 2, (int64_t)0,
            (int64_t)16383, "collection-start-time-unix-ms", h->started_ms, "collection-duration-ms",
            until_ms - h->started_ms);
    for (int m = 0; h->sketch && m < HOT_METRICS; m++)
        if (h->metrics >> m & 1) put_hot(c, &h->sketch[m], m, h->count, ratio);
    pthread_mutex_unlock(&h->lock);
    return COMMAND_DONE;
}

void info_release(struct command_server *s) {
    forget(&s->slowlog, s->slowlog.next_id);
    free(s->hotkeys.sketch);
}

/* ---- /metrics ---- */

static void print_head(struct buf *b, const char *name, const char *type, const char *help) {
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A histogram of powers of two: bin i counts what is below 2^i of `unit`, the last one what is longer too. */
static void print_histogram(struct buf *b, const char *name, const char *label, const uint64_t *bins, int n,
                            enum unit unit, double sum) {
    const char *comma = *label ? "," : "", *open = *label ? "{" : "", *close = *label ? "}" : "";
    uint64_t below = 0;
    for (int i = 0; i < n; i++) {
        char end[32] = "+Inf";
        below += bins[i];
        if (i < n - 1) snprintf(end, sizeof end, "%.9g", (double)(1ull << i) / (int)unit);
        buf_printf(b, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, label, comma, end, below);
    }
    buf_printf(b, "%s_sum%s%s%s %.9g\n%s_count%s%s%s %" PRIu64 "\n", name, open, label, close, sum, name, open, label,
               close, below);
}

/* One whose sum nobody kept: each is taken for the middle of its bin. */
static void print_lengths(struct buf *b, const char *name, const char *help, const uint64_t *bins, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)bins[i] * (double)(1ull << i) * 0.75 / (int)MS;
    print_head(b, name, "histogram", help);
    print_histogram(b, name, "", bins, n, MS, sum);
}

static void print_commands(struct buf *b, const struct figures *f) {
    static const char *const heads[][3] = {
        {"sponson_commands_total", "counter", "Commands executed."},
        {"sponson_command_errors_total", "counter", "Commands answered with an error."},
        {"sponson_command_duration_seconds", "histogram",
         "Time that commands took, without the network. One in 64 is timed, and all that may take long."}};
    for (int pass = 0; pass < 3; pass++) { /* what has one name stands together */
        const char *name = heads[pass][0];
        print_head(b, name, heads[pass][1], heads[pass][2]);
        for (uint32_t row = 0; command_name(row); row++) {
            const struct command_metrics *m = &f->counted.command[row];
            char label[96];
            snprintf(label, sizeof label, "command=\"%s\"", command_name(row));
            if (pass < 2 && m->calls + m->rejected)
                buf_printf(b, "%s{%s} %" PRIu64 "\n", name, label, pass ? m->rejected + m->failed : m->calls);
            if (pass == 2 && sum_of(m->bins, METRICS_BINS))
                print_histogram(b, name, label, m->bins, METRICS_BINS, US, (double)m->ns / 1e9);
        }
    }
}

static void print_metric(struct buf *b, const struct figure *row) {
    if (row->name == NULL) return;
    if (*row->help) print_head(b, row->name, strstr(row->name, "_total") ? "counter" : "gauge", row->help);
    buf_printf(b, "%s%s ", row->name, row->labels);
    print_value(b, row, "\n");
}

void info_metrics(struct command_server *s, struct buf *b) {
    struct figures f;
    collect(s, s->started_ms, &f);
    print_head(b, "sponson_build_info", "gauge", "The version that runs.");
    buf_printf(b, "sponson_build_info{version=\"" SPONSON_VERSION "\"} 1\n");
    each_figure(&f, b, NULL, print_metric);
    print_head(b, "sponson_errors_total", "counter", "Error replies, by their first word.");
    for (int i = 0; i < METRICS_CODES; i++)
        buf_printf(b, "sponson_errors_total{code=\"%s\"} %" PRIu64 "\n", metrics_codes[i], f.counted.errors[i]);
    print_head(b, "sponson_database_entries", "gauge", "Entries of a database.");
    for (int d = 0; d < s->config->databases; d++)
        buf_printf(b, "sponson_database_entries{db=\"%d\"} %" PRIu64 "\n", d, f.shards.database[d].entries);
    print_commands(b, &f);
    print_lengths(b, "sponson_evicted_age_seconds",
                  "Time since its last use, of what was evicted: an estimate from a sample of the keys.",
                  f.shards.counters.age, LRU_BINS);
    print_lengths(b, "sponson_expiry_lag_seconds", "Time from its deadline to when an entry was swept.",
                  f.shards.counters.lag, LRU_BINS);
}
