/* config.c -- the options: one table that feeds --help, the file, the environment, the flags and CONFIG GET.
 *
 *   file line    maxmemory 256mb           \
 *   environment  SPONSON_MAXMEMORY=256mb    > struct setting {name, value, words} -> set_option() -> struct
 * config flag         --maxmemory 256mb         /
 *
 * Owns    nothing; the values live in the caller's struct config.
 * True    every number in a struct config is within the bounds of its row, and every text fits whole: a value
 * is taken or refused, never cut. A password shows in no error, no note and no CONFIG GET. Threads none.
 * Failure: false and one sentence that names option, value and what is allowed. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "log.h"
#include "slice.h"

#define MB ((uint64_t)1 << 20)
#define GB ((uint64_t)1 << 30)

#define CLIENT_MEMORY_DEFAULT_MIN (16 * MB) /* bytes: a thousand clients with 16 KB waiting each */
#define CLIENT_OUTPUT_DEFAULT_MAX (32 * MB) /* bytes: no single reader needs more to keep its socket full */
#define MAXMEMORY_BLIND (256 * MB)          /* bytes: taken when the machine's memory cannot be read */
#define VALUE_SIZE_DEFAULT_MAX MB           /* bytes: as memcached; larger ones stall other requests */
#define ENTRY_SIZE_LEAST 32                 /* bytes: header, shortest key and value, slot in the index */
#define THREADS_MAX 256                     /* more than any machine gives to a cache */
#define SOCKET_PATH_MAX 107                 /* bytes: sun_path less its terminator */
#define KEEPALIVE_MAX 32767                 /* seconds: the kernel's own bound */
#define TIMEOUT_MAX 2147483                 /* seconds: in milliseconds it still fits 31 bits */

enum { LINE_SIZE = 8192, NAME_SIZE = 64, SHOWN_SIZE = 80, SENTENCE_SIZE = 512 };

/* ---- the tables ---- */

enum kind {
    KIND_NUMBER,    /* int */
    KIND_SECONDS,   /* int */
    KIND_MODE,      /* int, octal */
    KIND_LEVEL,     /* int, enum log_level */
    KIND_COUNT,     /* uint64_t */
    KIND_BYTES,     /* uint64_t, with units */
    KIND_OUTPUT,    /* uint64_t, bytes in Redis's syntax by class of client */
    KIND_TEXT,      /* char[CONFIG_TEXT_MAX] */
    KIND_SECRET,    /* the same, never shown */
    KIND_ADDRESSES, /* the same, at least one word, apart by one space */
    KIND_FIXED      /* nothing: only the value that is true here anyway is accepted */
};

struct option {
    const char *name;
    enum kind kind;
    size_t offset;           /* of the field in struct config */
    uint64_t min, max;       /* of a number; `max` bytes of a text */
    const char *placeholder; /* of the value, for --help */
    const char *initial;     /* as a file would hold it; of a KIND_FIXED option the only value */
    const char *zero; /* what 0 means where it is outside the bounds or special; NULL: nothing special */
    const char *help; /* of a KIND_FIXED option: why, and what to use instead */
};

#define FIELD(name) offsetof(struct config, name)
#define FIXED(name, value, why)                                                                              \
    { name, KIND_FIXED, 0, 0, 0, NULL, value, NULL, why }

/* clang-format off */
static const struct option options[] = {
    {"bind", KIND_ADDRESSES, FIELD(bind), 1, CONFIG_TEXT_MAX - 1, "ADDRESS ...", "127.0.0.1 -::1", NULL,
     "addresses to listen on; - before one: its absence is no error"},
    {"port", KIND_NUMBER, FIELD(port), 1, 65535, "PORT", "7171", "no TCP", "TCP port"},
    {"unixsocket", KIND_TEXT, FIELD(unixsocket), 0, SOCKET_PATH_MAX, "PATH", "", NULL, "path of a unix socket to listen on"},
    {"unixsocketperm", KIND_MODE, FIELD(unixsocketperm), 1, 0777, "MODE", "0", "what the umask leaves",
     "mode bits of the unix socket, octal"},
    {"threads", KIND_NUMBER, FIELD(threads), 1, THREADS_MAX, "N", "0", "the CPUs this process may use", "worker threads"},
    {"maxclients", KIND_NUMBER, FIELD(maxclients), 1, 1000000, "N", "10000", NULL, "connections at once"},
    {"timeout", KIND_SECONDS, FIELD(timeout_s), 1, TIMEOUT_MAX, "SECONDS", "0", "never", "close clients idle for so long"},
    {"tcp-keepalive", KIND_SECONDS, FIELD(tcp_keepalive_s), 1, KEEPALIVE_MAX, "SECONDS", "300", "no probes",
     "probe silent TCP clients after so long"},
    {"tcp-backlog", KIND_NUMBER, FIELD(tcp_backlog), 1, 65535, "N", "511", NULL, "connections waiting to be accepted"},
    {"maxmemory", KIND_BYTES, FIELD(maxmemory_bytes), MAXMEMORY_MIN, MAXMEMORY_MAX, "BYTES", "0",
     "a default from the machine's memory", "memory of all entries and their index"},
    {"shard-capacity", KIND_COUNT, FIELD(shard_capacity), 1, INT32_MAX, "ENTRIES", "0", "a default from maxmemory",
     "entries in each of the shards"},
    {"max-key-size", KIND_BYTES, FIELD(max_key_size_bytes), 1, KEY_SIZE_MAX, "BYTES", "1024", NULL, "longest key"},
    {"max-value-size", KIND_BYTES, FIELD(max_value_size_bytes), 1, VALUE_SIZE_MAX, "BYTES", "0",
     "the lesser of 1mb and an eighth of a shard", "largest value"},
    {"client-memory", KIND_BYTES, FIELD(client_memory_bytes), MB, MAXMEMORY_MAX, "BYTES", "0",
     "a sixteenth of maxmemory and at least 16mb", "buffers of all clients together"},
    {"client-output-buffer-limit", KIND_OUTPUT, FIELD(client_output_bytes), 1, MAXMEMORY_MAX, "CLASS HARD SOFT SECONDS",
     "normal 0 0 0", "the lesser of 32mb and half of client-memory",
     "HARD is the most that waits for one client of class normal"},
    {"requirepass", KIND_SECRET, FIELD(requirepass), 0, CONFIG_TEXT_MAX - 1, "PASSWORD", "", NULL,
     "what clients must send with AUTH; better set by file or environment"},
    {"shutdown-timeout", KIND_SECONDS, FIELD(shutdown_timeout_s), 0, 3600, "SECONDS", "5", NULL,
     "how long a stop waits for clients"},
    {"loglevel", KIND_LEVEL, FIELD(loglevel), 0, 0, "LEVEL", "notice", NULL, "debug, verbose, notice or warning"},

    /* Options of Redis that have one true value here. Clients and tools read them with CONFIG GET. */
    FIXED("save", "", "nothing is written to disk"),
    FIXED("appendonly", "no", "nothing is written to disk"),
    FIXED("maxmemory-policy", "allkeys-lru", "the least recently used keys go first, with a TTL or without"),
    FIXED("databases", "1", "this server has one database for now"),
    FIXED("daemonize", "no", "let a service manager or container run it"),
    FIXED("supervised", "no", "it stays in the foreground, use a service manager without notification"),
    FIXED("protected-mode", "no", "use bind and requirepass"),
    FIXED("io-threads", "1", "use threads"),
    FIXED("cluster-enabled", "no", "this server is no cluster node, use a proxy or a client that shards"),
    FIXED("tls-port", "0", "there is no TLS, use a unix socket, stunnel or a mesh"),
    FIXED("logfile", "", "the log goes to stderr, redirect that"),
    FIXED("syslog-enabled", "no", "the log goes to stderr, redirect that"),
    FIXED("pidfile", "", "it stays in the foreground, its starter knows the pid"),
    FIXED("notify-keyspace-events", "", "there are no keyspace events"),
    FIXED("latency-monitor-threshold", "0", "there is no latency monitor"),
    FIXED("maxmemory-clients", "0", "use client-memory"),
    FIXED("min-replicas-to-write", "0", "there are no replicas"),
    FIXED("min-slaves-to-write", "0", "there are no replicas"),
    FIXED("oom-score-adj", "no", "let a service manager set it"),
    FIXED("enable-debug-command", "no", "there is no DEBUG"),
    FIXED("enable-module-command", "no", "there are no modules"),
    FIXED("shutdown-on-sigint", "default", "there is nothing to save"),
    FIXED("shutdown-on-sigterm", "default", "there is nothing to save"),
};

/* Options of Redis without a value here. A star stands for any rest; the first row that fits counts. */
enum foreign_kind {
    FOREIGN_SWITCH, /* yes and no are accepted and change nothing */
    FOREIGN_ANY,    /* any value is accepted and changes nothing */
    FOREIGN_REFUSED /* it would change something that we do not have */
};

static const struct foreign {
    const char *pattern;
    enum foreign_kind kind;
    const char *why;
} foreigners[] = {
    {"lazyfree-*", FOREIGN_SWITCH, "deletion never blocks"},
    {"activerehashing", FOREIGN_SWITCH, "the index grows a bucket at a time"},
    {"activedefrag", FOREIGN_SWITCH, "memory never fragments beyond maxmemory"},
    {"active-defrag-*", FOREIGN_ANY, "memory never fragments beyond maxmemory"},
    {"jemalloc-bg-thread", FOREIGN_SWITCH, "there is no jemalloc"},
    {"disable-thp", FOREIGN_SWITCH, "huge pages are never asked for"},
    {"hz", FOREIGN_ANY, "there is no timer to tune"},
    {"dynamic-hz", FOREIGN_SWITCH, "there is no timer to tune"},
    {"active-expire-effort", FOREIGN_ANY, "expired entries go as they fall due"},
    {"maxmemory-samples", FOREIGN_ANY, "the LRU is exact"},
    {"maxmemory-eviction-tenacity", FOREIGN_ANY, "room is made as it is needed"},
    {"lfu-*", FOREIGN_ANY, "the policy is LRU"},
    {"always-show-logo", FOREIGN_SWITCH, "there is no logo"},
    {"set-proc-title", FOREIGN_SWITCH, "the process keeps its name"},
    {"proc-title-template", FOREIGN_ANY, "the process keeps its name"},
    {"crash-log-enabled", FOREIGN_SWITCH, "a crash leaves a core file"},
    {"crash-memcheck-enabled", FOREIGN_SWITCH, "a crash leaves a core file"},
    {"syslog-ident", FOREIGN_ANY, "the log goes to stderr"},
    {"syslog-facility", FOREIGN_ANY, "the log goes to stderr"},
    {"io-threads-do-reads", FOREIGN_SWITCH, "every worker thread reads"},
    {"oom-score-adj-values", FOREIGN_ANY, "oom-score-adj is no"},
    {"ignore-warnings", FOREIGN_ANY, "it is about Redis's own start"},
    {"locale-collate", FOREIGN_ANY, "nothing is sorted"},
    {"slowlog-*", FOREIGN_ANY, "there is no slow log"},
    {"latency-tracking", FOREIGN_SWITCH, "latency statistics need no setting"},
    {"latency-tracking-info-percentiles", FOREIGN_ANY, "latency statistics need no setting"},
    {"tracking-table-max-keys", FOREIGN_ANY, "there is no tracking"},

    {"rdbcompression", FOREIGN_SWITCH, "nothing is written to disk"},
    {"rdbchecksum", FOREIGN_SWITCH, "nothing is written to disk"},
    {"rdb-*", FOREIGN_SWITCH, "nothing is written to disk"},
    {"stop-writes-on-bgsave-error", FOREIGN_SWITCH, "nothing is written to disk"},
    {"sanitize-dump-payload", FOREIGN_ANY, "nothing is written to disk"},
    {"dbfilename", FOREIGN_ANY, "nothing is written to disk"},
    {"dir", FOREIGN_ANY, "nothing is written to disk"},
    {"appendfilename", FOREIGN_ANY, "nothing is written to disk"},
    {"appenddirname", FOREIGN_ANY, "nothing is written to disk"},
    {"appendfsync", FOREIGN_ANY, "nothing is written to disk"},
    {"no-appendfsync-on-rewrite", FOREIGN_SWITCH, "nothing is written to disk"},
    {"auto-aof-rewrite-*", FOREIGN_ANY, "nothing is written to disk"},
    {"aof-*", FOREIGN_SWITCH, "nothing is written to disk"},

    {"hash-max-*", FOREIGN_ANY, "strings are the only type"},
    {"list-*", FOREIGN_ANY, "strings are the only type"},
    {"set-max-*", FOREIGN_ANY, "strings are the only type"},
    {"zset-max-*", FOREIGN_ANY, "strings are the only type"},
    {"stream-node-*", FOREIGN_ANY, "strings are the only type"},
    {"hll-sparse-max-bytes", FOREIGN_ANY, "strings are the only type"},

    {"lua-time-limit", FOREIGN_ANY, "there are no scripts"},
    {"busy-reply-threshold", FOREIGN_ANY, "there are no scripts"},
    {"acllog-max-len", FOREIGN_ANY, "there are no ACLs"},
    {"acl-pubsub-default", FOREIGN_ANY, "there are no ACLs"},
    {"repl-*", FOREIGN_ANY, "there is no replication"},
    {"replica-*", FOREIGN_ANY, "there is no replication"},
    {"slave-*", FOREIGN_ANY, "there is no replication"},
    {"min-replicas-max-lag", FOREIGN_ANY, "there is no replication"},
    {"min-slaves-max-lag", FOREIGN_ANY, "there is no replication"},
    {"cluster-*", FOREIGN_ANY, "cluster-enabled is no"},

    {"replicaof", FOREIGN_REFUSED, "there is no replication, leave it out"},
    {"slaveof", FOREIGN_REFUSED, "there is no replication, leave it out"},
    {"masterauth", FOREIGN_REFUSED, "there is no replication, leave it out"},
    {"masteruser", FOREIGN_REFUSED, "there is no replication, leave it out"},
    {"user", FOREIGN_REFUSED, "there are no ACLs, use requirepass"},
    {"aclfile", FOREIGN_REFUSED, "there are no ACLs, use requirepass"},
    {"rename-command", FOREIGN_REFUSED, "commands keep their names, use bind and requirepass"},
    {"include", FOREIGN_REFUSED, "give one file, and the rest as flags or environment variables"},
    {"loadmodule", FOREIGN_REFUSED, "there are no modules, leave it out"},
    {"tls-*", FOREIGN_REFUSED, "there is no TLS, use a unix socket, stunnel or a mesh"},
    {"proto-max-bulk-len", FOREIGN_REFUSED, "use max-value-size"},
    {"client-query-buffer-limit", FOREIGN_REFUSED, "use client-memory and max-value-size"},
    {"bind-source-addr", FOREIGN_REFUSED, "this server opens no connections, leave it out"},
    {"socket-mark-id", FOREIGN_REFUSED, "sockets are not marked, leave it out"},
    {"enable-protected-configs", FOREIGN_REFUSED, "no option can change while it runs, leave it out"},
    {"*_cpulist", FOREIGN_REFUSED, "start it with taskset or a cpuset instead"},
    {"*-cpulist", FOREIGN_REFUSED, "start it with taskset or a cpuset instead"},
};
/* clang-format on */

enum { OPTIONS = sizeof options / sizeof *options, FOREIGNERS = sizeof foreigners / sizeof *foreigners };

static const char *const level_names[] = {[LOG_LEVEL_DEBUG] = "debug",
                                          [LOG_LEVEL_VERBOSE] = "verbose",
                                          [LOG_LEVEL_NOTICE] = "notice",
                                          [LOG_LEVEL_WARNING] = "warning"};
enum { LEVELS = sizeof level_names / sizeof *level_names };

static const struct option *find_option(struct slice name) {
    for (int i = 0; i < OPTIONS; i++)
        if (slice_equal_nocase(name, slice_of(options[i].name)))
            return &options[i];
    return NULL;
}

/* True when the name fits a pattern with at most one star, at either end. */
static bool fits(struct slice name, struct slice pattern) {
    size_t fixed = pattern.n - 1;
    if (pattern.p[fixed] == '*')
        return name.n > fixed &&
               slice_equal_nocase((struct slice){name.p, fixed}, (struct slice){pattern.p, fixed});
    if (pattern.p[0] == '*')
        return name.n > fixed && slice_equal_nocase((struct slice){name.p + name.n - fixed, fixed},
                                                    (struct slice){pattern.p + 1, fixed});
    return slice_equal_nocase(name, pattern);
}

static const struct foreign *find_foreign(struct slice name) {
    for (int i = 0; i < FOREIGNERS; i++)
        if (fits(name, slice_of(foreigners[i].pattern)))
            return &foreigners[i];
    return NULL;
}

static int *int_field(struct config *c, const struct option *o) {
    return (int *)(void *)((char *)c + o->offset);
}

static uint64_t *u64_field(struct config *c, const struct option *o) {
    return (uint64_t *)(void *)((char *)c + o->offset);
}

static char *text_field(struct config *c, const struct option *o) {
    return (char *)c + o->offset;
}

/* ---- sentences ---- */

/* Where a setting comes from and where its error goes. */
struct load {
    struct config *config;
    char place[SENTENCE_SIZE + 32]; /* put before the sentence: "redis.conf line 3: "; "" for a flag */
    char *error;
    size_t error_size;
};

/* Writes the error. Always false, so that callers can return it. */
__attribute__((format(printf, 2, 3))) static bool refuse(const struct load *l, const char *format, ...) {
    char sentence[2 * CONFIG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    snprintf(l->error, l->error_size, "%s%s", l->place, sentence);
    return false;
}

/* Adds a line to the notes; one that does not fit whole is left out. */
__attribute__((format(printf, 2, 3))) static void note(struct config *c, const char *format, ...) {
    size_t used = strlen(c->notes), start = used + (used > 0), room = sizeof c->notes - start;
    va_list args;
    if (start >= sizeof c->notes)
        return;
    va_start(args, format);
    int n = vsnprintf(c->notes + start, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        c->notes[used] = '\0';
    else if (used > 0)
        c->notes[used] = '\n';
}

/* Puts a text from outside into `out`, fit to be shown: printable, and its beginning only where it is long.
 */
static void put_shown(char *out, size_t size, struct slice s) {
    size_t room = size - sizeof "...", n = s.n < room ? s.n : room;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        out[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    strcpy(out + n, n < s.n ? "..." : "");
}

struct shown {
    char text[SHOWN_SIZE];
};

static struct shown show(struct slice s) {
    struct shown shown;
    put_shown(shown.text, sizeof shown.text, s);
    return shown;
}

struct size_text {
    char text[24];
};

/* Bytes in the largest unit that leaves no rest, as an option would take them: "8mb", "1023". */
static struct size_text show_bytes(uint64_t bytes) {
    static const char *const units[] = {"", "kb", "mb", "gb", "tb"};
    struct size_text size;
    size_t unit = 0;
    for (; bytes > 0 && bytes % 1024 == 0 && unit < 4; unit++)
        bytes /= 1024;
    snprintf(size.text, sizeof size.text, "%" PRIu64 "%s", bytes, units[unit]);
    return size;
}

/* What is allowed for an option, as the end of a sentence. */
static void put_allowed(const struct option *o, char *text, size_t size) {
    const char *or_zero = o->zero ? ", or 0 for " : "", *zero = o->zero ? o->zero : "";
    switch (o->kind) {
    case KIND_NUMBER:
    case KIND_COUNT:
        snprintf(text, size, "give a whole number from %" PRIu64 " to %" PRIu64 "%s%s", o->min, o->max,
                 or_zero, zero);
        break;
    case KIND_SECONDS:
        snprintf(text, size, "give whole seconds from %" PRIu64 " to %" PRIu64 "%s%s", o->min, o->max,
                 or_zero, zero);
        break;
    case KIND_MODE:
        snprintf(text, size, "give octal mode bits from %" PRIo64 " to %" PRIo64 ", such as 700%s%s", o->min,
                 o->max, or_zero, zero);
        break;
    case KIND_BYTES:
        snprintf(text, size, "give bytes between %s and %s, such as %s%s%s", show_bytes(o->min).text,
                 show_bytes(o->max).text, o->max >= 256 * MB ? "256mb" : "1kb", or_zero, zero);
        break;
    case KIND_OUTPUT:
        snprintf(
            text, size,
            "give groups of CLASS HARD SOFT SECONDS, such as normal 32mb 0 0, where CLASS is normal, replica "
            "or pubsub, HARD and SOFT are bytes up to %s%s%s",
            show_bytes(o->max).text, or_zero, zero);
        break;
    case KIND_LEVEL:
        snprintf(text, size, "give debug, verbose, notice or warning");
        break;
    case KIND_TEXT:
    case KIND_SECRET:
        snprintf(text, size, "give at most %" PRIu64 " bytes without a line break or NUL", o->max);
        break;
    case KIND_ADDRESSES:
        snprintf(text, size,
                 "give at least one address, apart by spaces, at most %" PRIu64
                 " bytes without a line break or NUL",
                 o->max);
        break;
    case KIND_FIXED:
        snprintf(text, size, "give %s: %s", *o->initial ? o->initial : "\"\"", o->help);
        break;
    }
}

static bool refuse_value(const struct load *l, const struct option *o, struct slice value) {
    char allowed[SENTENCE_SIZE];
    put_allowed(o, allowed, sizeof allowed);
    if (o->kind == KIND_SECRET)
        return refuse(l, "%s: the value (not shown) is not allowed; %s", o->name, allowed);
    return refuse(l, "%s: \"%s\" is not allowed; %s", o->name, show(value).text, allowed);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* How many letters must be put in, left out, changed or swapped with their neighbour to make b of a. */
static size_t edits(struct slice a, struct slice b) {
    size_t d[NAME_SIZE + 1][NAME_SIZE + 1];
    for (size_t i = 0; i <= a.n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= b.n; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a.n; i++)
        for (size_t j = 1; j <= b.n; j++) {
            int x = tolower((unsigned char)a.p[i - 1]), y = b.p[j - 1];
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (x != y));
            if (i > 1 && j > 1 && x == b.p[j - 2] && tolower((unsigned char)a.p[i - 2]) == y)
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[a.n][b.n];
}

/* The option whose name is nearest, when it is so near that a slip of the hand explains it; else NULL. */
static const char *nearest(struct slice name) {
    const char *found = NULL;
    size_t found_edits = least(1 + name.n / 5, 3) + 1;
    if (name.n > NAME_SIZE)
        return NULL;
    for (int i = 0; i < OPTIONS + FOREIGNERS; i++) {
        const char *known = i < OPTIONS ? options[i].name : foreigners[i - OPTIONS].pattern;
        size_t n = strchr(known, '*') ? found_edits : edits(name, slice_of(known));
        if (n < found_edits) {
            found = known;
            found_edits = n;
        }
    }
    return found;
}

/* ---- one setting ---- */

struct setting {
    struct slice name, value; /* the value's words stand apart by one space */
    int words;
};

/* Digits of `base` only: no sign, no space, nothing else. */
static bool parse_number(struct slice text, unsigned base, uint64_t *number) {
    uint64_t n = 0;
    if (text.n == 0)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        unsigned digit = (unsigned char)text.p[i] - (unsigned)'0';
        if (digit >= base || n > (UINT64_MAX - digit) / base)
            return false;
        n = n * base + digit;
    }
    *number = n;
    return true;
}

/* A number with a unit of redis.conf, where 1k is 1000 and 1kb is 1024. */
static bool parse_bytes(struct slice text, uint64_t *bytes) {
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        {"", 1},         {"b", 1},          {"k", 1000},     {"kb", 1024},         {"m", 1000000},
        {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}, {"t", 1000000000000}, {"tb", 1ull << 40}};
    size_t digits = 0;
    uint64_t n;
    while (digits < text.n && isdigit((unsigned char)text.p[digits]))
        digits++;
    if (!parse_number((struct slice){text.p, digits}, 10, &n))
        return false;
    struct slice unit = {text.p + digits, text.n - digits};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (slice_equal_nocase(unit, slice_of(units[i].name))) {
            *bytes = n * units[i].bytes;
            return n <= UINT64_MAX / units[i].bytes;
        }
    return false;
}

static bool in_bounds(const struct option *o, uint64_t n) {
    return (n >= o->min && n <= o->max) || (n == 0 && o->zero);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

/* Takes the next word off the front of *rest; an empty one at the end. */
static struct slice take_word(struct slice *rest) {
    while (rest->n > 0 && is_space(*rest->p))
        rest->p++, rest->n--;
    struct slice word = {rest->p, 0};
    while (word.n < rest->n && !is_space(word.p[word.n]))
        word.n++;
    rest->p += word.n;
    rest->n -= word.n;
    return word;
}

static bool set_number(struct config *c, const struct option *o, struct slice value) {
    uint64_t n;
    if (!parse_number(value, o->kind == KIND_MODE ? 8 : 10, &n) || !in_bounds(o, n))
        return false;
    if (o->kind == KIND_COUNT)
        *u64_field(c, o) = n;
    else
        *int_field(c, o) = (int)n;
    return true;
}

static bool set_bytes(struct config *c, const struct option *o, struct slice value) {
    uint64_t n;
    if (!parse_bytes(value, &n) || !in_bounds(o, n))
        return false;
    *u64_field(c, o) = n;
    return true;
}

/* "normal HARD SOFT SECONDS", and as many more groups as there are classes; only the hard limit of normal
 * clients means something here. */
static bool set_output(struct config *c, const struct option *o, struct slice value) {
    uint64_t chosen = *u64_field(c, o);
    struct slice rest = value, class = take_word(&rest);
    do {
        uint64_t hard, soft, seconds;
        bool normal = slice_equal_nocase(class, SLICE("normal"));
        if (!normal && !slice_equal_nocase(class, SLICE("replica")) &&
            !slice_equal_nocase(class, SLICE("slave")) && !slice_equal_nocase(class, SLICE("pubsub")))
            return false;
        if (!parse_bytes(take_word(&rest), &hard) || !parse_bytes(take_word(&rest), &soft) ||
            !parse_number(take_word(&rest), 10, &seconds))
            return false;
        if (!in_bounds(o, hard) || !in_bounds(o, soft))
            return false;
        if (normal)
            chosen = hard;
        if (normal && soft)
            note(c, "%s: the soft limit of normal clients has no effect, only the hard one has", o->name);
        class = take_word(&rest);
    } while (class.n > 0);
    *u64_field(c, o) = chosen;
    return true;
}

static bool set_level(struct config *c, const struct option *o, struct slice value) {
    for (int i = 0; i < LEVELS; i++)
        if (slice_equal_nocase(value, slice_of(level_names[i]))) {
            *int_field(c, o) = i;
            return true;
        }
    return false;
}

static bool set_text(struct config *c, const struct option *o, struct slice value) {
    if (value.n > o->max)
        return false;
    char *field = text_field(c, o);
    memcpy(field, value.p, value.n);
    field[value.n] = '\0';
    return true;
}

static bool set_words(struct config *c, const struct option *o, struct slice value) {
    char joined[CONFIG_TEXT_MAX];
    size_t n = 0;
    for (struct slice rest = value, word = take_word(&rest); word.n > 0; word = take_word(&rest)) {
        if (n + (n > 0) + word.n > o->max)
            return false;
        if (n > 0)
            joined[n++] = ' ';
        memcpy(joined + n, word.p, word.n);
        n += word.n;
    }
    return n > 0 && set_text(c, o, (struct slice){joined, n});
}

static bool set_value(struct config *c, const struct option *o, struct slice value) {
    switch (o->kind) {
    case KIND_NUMBER:
    case KIND_SECONDS:
    case KIND_MODE:
    case KIND_COUNT:
        return set_number(c, o, value);
    case KIND_BYTES:
        return set_bytes(c, o, value);
    case KIND_OUTPUT:
        return set_output(c, o, value);
    case KIND_LEVEL:
        return set_level(c, o, value);
    case KIND_TEXT:
    case KIND_SECRET:
        return set_text(c, o, value);
    case KIND_ADDRESSES:
        return set_words(c, o, value);
    case KIND_FIXED:
        return slice_equal_nocase(value, slice_of(o->initial));
    }
    return false;
}

static bool set_foreign(const struct load *l, const struct setting *s) {
    const struct foreign *f = find_foreign(s->name);
    struct shown name = show(s->name);
    if (!f) {
        const char *near = nearest(s->name);
        if (near)
            return refuse(l, "unknown option \"%s\"; did you mean \"%s\"?", name.text, near);
        return refuse(l, "unknown option \"%s\"; --help lists the known ones", name.text);
    }
    if (f->kind == FOREIGN_REFUSED) /* without the value: it may be a password */
        return refuse(l, "%s is not supported; %s", name.text, f->why);
    if (s->words == 0)
        return refuse(l, "%s: a value is missing; any is accepted, as %s", name.text, f->why);
    if (f->kind == FOREIGN_SWITCH && !slice_equal_nocase(s->value, SLICE("yes")) &&
        !slice_equal_nocase(s->value, SLICE("no")))
        return refuse(l, "%s: \"%s\" is not allowed; give yes or no, as %s", name.text, show(s->value).text,
                      f->why);
    return true;
}

static bool takes_words(enum kind kind) {
    return kind == KIND_ADDRESSES || kind == KIND_OUTPUT || kind == KIND_FIXED;
}

/* True when a C string can hold the text and one line of a file can. */
static bool is_one_line(struct slice text) {
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\0' || text.p[i] == '\n' || text.p[i] == '\r')
            return false;
    return true;
}

static bool set_option(const struct load *l, const struct setting *s) {
    const struct option *o = find_option(s->name);
    if (!o)
        return set_foreign(l, s);
    if (s->words == 0) {
        char allowed[SENTENCE_SIZE];
        put_allowed(o, allowed, sizeof allowed);
        return refuse(l, "%s: a value is missing; %s", o->name, allowed);
    }
    if (s->words > 1 && !takes_words(o->kind))
        return refuse(l, "%s: %d values are not allowed; give one, in quotes if it holds spaces", o->name,
                      s->words);
    if (!is_one_line(s->value) || !set_value(l->config, o, s->value))
        return refuse_value(l, o, s->value);
    return true;
}

void config_init(struct config *c) {
    memset(c, 0, sizeof *c);
    for (int i = 0; i < OPTIONS; i++)
        set_value(c, &options[i], slice_of(options[i].initial));
}

bool config_set(struct config *c, const char *name, const char *value, char *error, size_t error_size) {
    struct load l = {.config = c, .error = error, .error_size = error_size};
    return set_option(&l, &(struct setting){slice_of(name), slice_of(value), 1});
}

/* ---- the file ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Takes one character of a word in double quotes off the front of *rest, a backslash being the beginning of
 * one. */
static char take_quoted(struct slice *rest) {
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    char c = *rest->p;
    size_t used = 1;
    if (c == '\\' && rest->n >= 4 && rest->p[1] == 'x' && hex_digit(rest->p[2]) >= 0 &&
        hex_digit(rest->p[3]) >= 0) {
        c = (char)(hex_digit(rest->p[2]) * 16 + hex_digit(rest->p[3]));
        used = 4;
    } else if (c == '\\' && rest->n >= 2) {
        const char *escape = memchr(from, rest->p[1], sizeof from - 1);
        c = escape ? to[escape - from] : rest->p[1];
        used = 2;
    }
    rest->p += used;
    rest->n -= used;
    return c;
}

/* Takes one word off the front of *rest, which begins with it, and puts it without its quotes at out + *n.
 * False: quotes do not balance or something stands right behind the closing one. */
static bool take_argument(struct slice *rest, char *out, size_t *n) {
    while (rest->n > 0 && !is_space(*rest->p)) {
        char quote = *rest->p;
        if (quote != '"' && quote != '\'') {
            out[(*n)++] = quote;
            rest->p++, rest->n--;
            continue;
        }
        rest->p++, rest->n--;
        while (rest->n > 0 && *rest->p != quote) {
            bool escaped = quote == '\'' && rest->n >= 2 && rest->p[0] == '\\' && rest->p[1] == '\'';
            if (escaped)
                rest->p++, rest->n--;
            if (quote == '"') {
                out[(*n)++] = take_quoted(rest);
            } else {
                out[(*n)++] = *rest->p;
                rest->p++, rest->n--;
            }
        }
        if (rest->n == 0)
            return false;
        rest->p++, rest->n--;
        if (rest->n > 0 && !is_space(*rest->p))
            return false;
    }
    return true;
}

static struct slice trim(struct slice s) {
    while (s.n > 0 && is_space(s.p[0]))
        s.p++, s.n--;
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Splits a line into name and value; both point into `out`, which needs as many bytes as the line. */
static bool split_line(struct slice line, char *out, struct setting *s) {
    struct slice rest = line;
    size_t n = 0;
    if (!take_argument(&rest, out, &n))
        return false;
    *s = (struct setting){.name = {out, n}, .value = {out + n, 0}};
    for (rest = trim(rest); rest.n > 0; rest = trim(rest)) {
        if (s->words++ > 0)
            out[n++] = ' ';
        if (!take_argument(&rest, out, &n))
            return false;
    }
    s->value.n = n - s->name.n;
    return true;
}

static bool load_line(const struct load *l, struct slice raw) {
    char words[LINE_SIZE];
    struct setting s;
    struct slice line = trim(raw);
    if (line.n == 0 || *line.p == '#')
        return true;
    if (!split_line(line, words, &s))
        return refuse(l, "quotes are not balanced; close each, and put white space behind the closing one");
    return set_option(l, &s);
}

enum line_result { LINE_READ, LINE_END, LINE_TOO_LONG };

/* Reads up to the next line feed, which is left out. Not fgets: a line may hold NULs. */
static enum line_result read_line(FILE *file, char *line, size_t *n) {
    int c;
    *n = 0;
    while ((c = getc(file)) != EOF && c != '\n') {
        if (*n == LINE_SIZE)
            return LINE_TOO_LONG;
        line[(*n)++] = (char)c;
    }
    return c == EOF && *n == 0 ? LINE_END : LINE_READ;
}

/* `shown_path` is the path as errors show it. */
static bool load_lines(struct load *l, FILE *file, const char *shown_path) {
    char line[LINE_SIZE];
    size_t n;
    for (int number = 1;; number++) {
        enum line_result result = read_line(file, line, &n);
        if (ferror(file))
            return refuse(l, "cannot read the configuration file \"%s\": %s", shown_path, strerror(errno));
        if (result == LINE_END)
            return true;
        snprintf(l->place, sizeof l->place, "%s line %d: ", shown_path, number);
        if (result == LINE_TOO_LONG)
            return refuse(l, "the line is too long; at most %d bytes are allowed", LINE_SIZE);
        if (!load_line(l, (struct slice){line, n}))
            return false;
        l->place[0] = '\0';
    }
}

static bool load_file(struct load *l, const char *path) {
    char shown_path[SENTENCE_SIZE];
    put_shown(shown_path, sizeof shown_path, slice_of(path));
    FILE *file = fopen(path, "re");
    if (!file)
        return refuse(l, "cannot open the configuration file \"%s\": %s", shown_path, strerror(errno));
    bool ok = load_lines(l, file, shown_path);
    fclose(file);
    return ok;
}

/* ---- the environment ---- */

#define PREFIX "SPONSON_"

/* Writes the name of the option that a variable (without its prefix) stands for; none when that is too long.
 */
static struct slice name_of_variable(struct slice variable, char name[NAME_SIZE]) {
    size_t n = variable.n <= NAME_SIZE ? variable.n : 0;
    for (size_t i = 0; i < n; i++)
        name[i] = variable.p[i] == '_' ? '-' : variable.p[i];
    return (struct slice){name, n};
}

static void note_unknown_variable(struct config *c, struct slice variable, struct slice name) {
    const char *near = nearest(name);
    char hint[NAME_SIZE + 32] = "";
    if (near)
        snprintf(hint, sizeof hint, "; did you mean \"%s\"?", near);
    note(c, "ignored environment variable " PREFIX "%s: there is no such option%s", show(variable).text,
         hint);
}

static bool load_variable(struct load *l, struct slice variable, const char *value) {
    char name_bytes[NAME_SIZE];
    struct slice name = name_of_variable(variable, name_bytes);
    /* Kubernetes names variables after services, so only the options with a value here count: the patterns
     * would refuse the SPONSON_TLS_SERVICE_HOST of a service that is called sponson-tls. */
    const struct option *o = find_option(name);
    if (!o) {
        note_unknown_variable(l->config, variable, name);
        return true;
    }
    /* A password may look like an address, and must never be dropped silently. */
    if (o->kind != KIND_SECRET && strstr(value, "://")) {
        note(l->config,
             "ignored environment variable " PREFIX "%s: its value is an address, as Kubernetes sets it",
             show(variable).text);
        return true;
    }
    snprintf(l->place, sizeof l->place, PREFIX "%s: ", show(variable).text);
    bool ok = set_option(l, &(struct setting){slice_of(o->name), slice_of(value), 1});
    l->place[0] = '\0';
    return ok;
}

static bool load_environment(struct load *l, char **environment) {
    for (char **e = environment; *e; e++) {
        const char *equals = strchr(*e, '=');
        if (!equals || strncmp(*e, PREFIX, sizeof PREFIX - 1) != 0)
            continue;
        const char *name = *e + sizeof PREFIX - 1;
        if (!load_variable(l, (struct slice){name, (size_t)(equals - name)}, equals + 1))
            return false;
    }
    return true;
}

/* ---- the flags ---- */

static bool is_flag(const char *word) {
    return word[0] == '-' && word[1] == '-';
}

/* Adds a word to the value; false when it does not fit into LINE_SIZE bytes. */
static bool add_word(struct setting *s, char *joined, struct slice word) {
    if (s->value.n + 1 + word.n > LINE_SIZE)
        return false;
    if (s->words++ > 0)
        joined[s->value.n++] = ' ';
    memcpy(joined + s->value.n, word.p, word.n);
    s->value.n += word.n;
    return true;
}

/* Sets the option of the flag argv[*i] from it and all words up to the next flag; leaves *i at that. */
static bool load_flag(const struct load *l, int argc, char **argv, int *i) {
    char joined[LINE_SIZE];
    struct setting s = {.value = {joined, 0}};
    const char *name = argv[(*i)++] + 2, *equals = strchr(name, '=');
    s.name = equals ? (struct slice){name, (size_t)(equals - name)} : slice_of(name);
    bool fits_joined = !equals || add_word(&s, joined, slice_of(equals + 1));
    for (; *i < argc && !is_flag(argv[*i]); ++*i)
        fits_joined = fits_joined && add_word(&s, joined, slice_of(argv[*i]));
    if (!fits_joined)
        return refuse(l, "%s: the value is too long; at most %d bytes are allowed", show(s.name).text,
                      LINE_SIZE);
    return set_option(l, &s);
}

static bool load_flags(const struct load *l, int argc, char **argv, int first, bool *ping) {
    for (int i = first; i < argc;) {
        if (!is_flag(argv[i]))
            return refuse(l, "unknown argument \"%s\"; give a configuration file first, then --option value",
                          show(slice_of(argv[i])).text);
        if (strcmp(argv[i], "--ping") != 0) {
            if (!load_flag(l, argc, argv, &i))
                return false;
            continue;
        }
        *ping = true;
        if (++i < argc && !is_flag(argv[i]))
            return refuse(l, "ping: \"%s\" is not allowed; --ping takes no value",
                          show(slice_of(argv[i])).text);
    }
    return true;
}

/* ---- --help ---- */

static void print_option(const struct option *o) {
    char head[NAME_SIZE];
    int n = snprintf(head, sizeof head, "--%s %s", o->name, o->placeholder);
    printf("  %-28s%s %s ", head, n > 28 ? "\n                              " : "", o->help);
    if (o->kind == KIND_OUTPUT || strcmp(o->initial, "0") == 0)
        printf("(default 0: %s)\n", o->zero);
    else
        printf("(default: %s)\n", *o->initial ? o->initial : "none");
}

/* Prints a name and its value behind what stands in the line already, or on a new line when that is full.
 * *column begins with 1. */
static void print_wrapped(const char *name, const char *value, size_t *column) {
    size_t n = strlen(name) + strlen(value) + 3;
    if (*column > 1)
        putchar(',');
    if (*column + n > 100) {
        printf("\n ");
        *column = 1;
    }
    printf(" %s%s%s", name, *value ? " " : "", value);
    *column += n;
}

static void print_help_on_redis(void) {
    size_t column = 1;
    printf("\nOptions of Redis that are accepted with the value that is true here anyway:\n ");
    for (int i = 0; i < OPTIONS; i++)
        if (options[i].kind == KIND_FIXED)
            print_wrapped(options[i].name, *options[i].initial ? options[i].initial : "\"\"", &column);
    column = 1;
    printf("\n\nOptions of Redis that are accepted and change nothing:\n ");
    for (int i = 0; i < FOREIGNERS; i++)
        if (foreigners[i].kind != FOREIGN_REFUSED)
            print_wrapped(foreigners[i].pattern, "", &column);
}

static void print_help(void) {
    printf("usage: sponson [/path/to/sponson.conf] [--option value ...]\n"
           "       sponson --help | --version\n"
           "       sponson --ping [the server's own file and options]\n\n"
           "A cache that speaks the Redis protocol. The file is a redis.conf; every option may also be a "
           "variable of\n"
           "the environment (SPONSON_MAXMEMORY=256mb) or a flag. Flags win over the environment, that over "
           "the file.\n"
           "Bytes take units: 1k is 1000, 1kb is 1024; so do m, mb, g, gb, t, tb.\n\n"
           "Options:\n");
    for (int i = 0; i < OPTIONS; i++)
        if (options[i].kind != KIND_FIXED)
            print_option(&options[i]);
    print_help_on_redis();
    printf("\n\nExamples:\n"
           "  sponson --maxmemory 256mb\n"
           "  sponson /etc/sponson.conf --port 6379 --bind 0.0.0.0 -::\n"
           "  SPONSON_REQUIREPASS=secret sponson --unixsocket /run/sponson.sock --port 0\n");
}

/* Prints what --help or --version ask for; they win over everything, even over a broken file. */
static bool answered(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        bool first = i == 1;
        if (strcmp(argv[i], "--help") == 0 || (first && strcmp(argv[i], "-h") == 0)) {
            print_help();
            return true;
        }
        if (strcmp(argv[i], "--version") == 0 || (first && strcmp(argv[i], "-v") == 0)) {
            printf("sponson %s\n", SPONSON_VERSION);
            return true;
        }
    }
    return false;
}

enum config_result config_load(struct config *c, int argc, char **argv, char **environment, char *error,
                               size_t error_size) {
    struct load l = {.config = c, .error = error, .error_size = error_size};
    bool ping = false, has_file = argc > 1 && argv[1][0] != '-';
    if (answered(argc, argv))
        return CONFIG_EXIT;
    if (has_file && !load_file(&l, argv[1]))
        return CONFIG_BAD;
    if (!load_environment(&l, environment) || !load_flags(&l, argc, argv, has_file ? 2 : 1, &ping))
        return CONFIG_BAD;
    return ping ? CONFIG_PING : CONFIG_OK;
}

/* ---- what depends on the machine and on other options ---- */

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t client_memory_for(const struct config *c, uint64_t maxmemory) {
    return c->client_memory_bytes ? c->client_memory_bytes
                                  : greater(CLIENT_MEMORY_DEFAULT_MIN, maxmemory / 16);
}

/* A size for people: "512 MB", "24 GB". */
static struct size_text show_size(uint64_t bytes) {
    struct size_text size;
    if (bytes >= 16 * GB || (bytes >= GB && bytes % GB == 0))
        snprintf(size.text, sizeof size.text, "%" PRIu64 " GB", (bytes + GB / 2) / GB);
    else
        snprintf(size.text, sizeof size.text, "%" PRIu64 " MB", bytes / MB);
    return size;
}

/* The control group's limit where it is the one that counts; 0: none. */
static uint64_t limit_in_force(const struct host *h) {
    bool counts = h->memory_bytes == 0 || h->cgroup_memory_bytes < h->memory_bytes;
    return counts ? h->cgroup_memory_bytes : 0;
}

/* The largest maxmemory, in whole megabytes, that fits `limit` together with clients' buffers and the
 * process. */
static uint64_t maxmemory_within(const struct config *c, uint64_t limit) {
    if (limit <= PROCESS_OVERHEAD_BYTES)
        return 0;
    uint64_t room = limit - PROCESS_OVERHEAD_BYTES;
    uint64_t beside = c->client_memory_bytes ? c->client_memory_bytes : CLIENT_MEMORY_DEFAULT_MIN;
    uint64_t most = room > beside ? room - beside : 0;
    if (c->client_memory_bytes == 0) /* M + M/16 must fit as well */
        most = lesser(most, room / 17 * 16 + room % 17 * 16 / 17);
    return most / MB * MB;
}

static bool choose_maxmemory(const struct load *l, const struct host *h) {
    struct config *c = l->config;
    uint64_t limit = limit_in_force(h), most = MAXMEMORY_BLIND;
    snprintf(c->maxmemory_source, sizeof c->maxmemory_source, "default, the machine's memory cannot be read");
    if (limit) {
        most = lesser(maxmemory_within(c, limit), limit / 4 * 3);
        snprintf(c->maxmemory_source, sizeof c->maxmemory_source, "cgroup limit of %s",
                 show_size(limit).text);
    } else if (h->memory_bytes) {
        most = h->memory_bytes / 4;
        snprintf(c->maxmemory_source, sizeof c->maxmemory_source, "machine of %s",
                 show_size(h->memory_bytes).text);
    }
    c->maxmemory_bytes = lesser(most, MAXMEMORY_MAX) / MB * MB;
    if (c->maxmemory_bytes >= MAXMEMORY_MIN)
        return true;
    return refuse(
        l,
        "maxmemory: 0 is not allowed with a %s, of which it would get less than %s; give more memory, a "
        "smaller client-memory, or a maxmemory between %s and %s",
        c->maxmemory_source, show_bytes(MAXMEMORY_MIN).text, show_bytes(MAXMEMORY_MIN).text,
        show_bytes(MAXMEMORY_MAX).text);
}

/* A maxmemory that was given is obeyed, but said to be too much where it is. */
static void check_given_maxmemory(struct config *c, const struct host *h) {
    uint64_t cgroup = limit_in_force(h), limit = cgroup ? cgroup : h->memory_bytes;
    uint64_t beside = client_memory_for(c, c->maxmemory_bytes) + PROCESS_OVERHEAD_BYTES;
    snprintf(c->maxmemory_source, sizeof c->maxmemory_source, "maxmemory");
    if (limit == 0 || c->maxmemory_bytes + beside <= limit)
        return;
    note(c,
         "maxmemory %s risks an OOM kill: with %s of client-memory and %s for the process it exceeds %s of "
         "%s; at "
         "most %s fits",
         show_bytes(c->maxmemory_bytes).text, show_bytes(beside - PROCESS_OVERHEAD_BYTES).text,
         show_bytes(PROCESS_OVERHEAD_BYTES).text, cgroup ? "the cgroup limit" : "the machine's memory",
         show_bytes(limit).text, show_bytes(maxmemory_within(c, limit)).text);
}

static bool resolve_clients(const struct load *l) {
    struct config *c = l->config;
    c->client_memory_bytes = client_memory_for(c, c->maxmemory_bytes);
    if (c->client_output_bytes == 0)
        c->client_output_bytes = lesser(CLIENT_OUTPUT_DEFAULT_MAX, c->client_memory_bytes / 2);
    if (c->client_output_bytes <= c->client_memory_bytes)
        return true;
    return refuse(
        l,
        "client-output-buffer-limit: normal %s is not allowed; give at most client-memory, which is %s, or "
        "raise that",
        show_bytes(c->client_output_bytes).text, show_bytes(c->client_memory_bytes).text);
}

static bool resolve_values(const struct load *l) {
    struct config *c = l->config;
    uint64_t shard = c->maxmemory_bytes / SHARDS;
    c->value_size_note[0] = '\0';
    if (c->max_value_size_bytes == 0) {
        c->max_value_size_bytes = lesser(VALUE_SIZE_DEFAULT_MAX, shard / 8);
        if (c->max_value_size_bytes < VALUE_SIZE_DEFAULT_MAX)
            snprintf(c->value_size_note, sizeof c->value_size_note,
                     "an eighth of a shard; 1mb by default needs maxmemory %s",
                     show_bytes(VALUE_SIZE_DEFAULT_MAX * 8 * SHARDS).text);
        return true;
    }
    if (c->max_value_size_bytes <= shard / 2)
        return true;
    uint64_t needed = (c->max_value_size_bytes * 2 * SHARDS + MB - 1) / MB * MB;
    return refuse(
        l, "max-value-size: %s is not allowed with maxmemory %s; give at most %s, or maxmemory %s or more",
        show_bytes(c->max_value_size_bytes).text, show_bytes(c->maxmemory_bytes).text,
        show_bytes(shard / 2).text, show_bytes(needed).text);
}

bool config_resolve(struct config *c, const struct host *h, char *error, size_t error_size) {
    struct load l = {.config = c, .error = error, .error_size = error_size};
    if (c->port == 0 && c->unixsocket[0] == '\0')
        return refuse(
            &l, "port: 0 without unixsocket leaves nothing to listen on; give a port from 1 to 65535 or a "
                "unixsocket");
    if (c->threads == 0)
        c->threads = (int)lesser((uint64_t)host_usable_cpus(h), THREADS_MAX);
    if (c->maxmemory_bytes)
        check_given_maxmemory(c, h);
    else if (!choose_maxmemory(&l, h))
        return false;
    if (c->shard_capacity == 0)
        c->shard_capacity = greater(1, c->maxmemory_bytes / SHARDS / ENTRY_SIZE_LEAST);
    return resolve_clients(&l) && resolve_values(&l);
}

/* ---- CONFIG GET ---- */

int config_count(void) {
    return OPTIONS;
}

const char *config_name(int i) {
    return options[i].name;
}

/* Writes the value; returns the length it would need. */
static int put_value(const struct config *c, const struct option *o, char *text, size_t size) {
    const void *field = (const char *)c + o->offset;
    switch (o->kind) {
    case KIND_NUMBER:
    case KIND_SECONDS:
        return snprintf(text, size, "%d", *(const int *)field);
    case KIND_MODE:
        return snprintf(text, size, "%o", (unsigned)*(const int *)field);
    case KIND_LEVEL:
        return snprintf(text, size, "%s", level_names[*(const int *)field]);
    case KIND_COUNT:
    case KIND_BYTES:
        return snprintf(text, size, "%" PRIu64, *(const uint64_t *)field);
    case KIND_OUTPUT:
        return snprintf(text, size, "normal %" PRIu64 " 0 0 slave 0 0 0 pubsub 0 0 0",
                        *(const uint64_t *)field);
    case KIND_TEXT:
    case KIND_ADDRESSES:
        return snprintf(text, size, "%s", (const char *)field);
    case KIND_SECRET:
        return snprintf(text, size, "%s", *(const char *)field ? "********" : "");
    case KIND_FIXED:
        return snprintf(text, size, "%s", o->initial);
    }
    return 0;
}

size_t config_value(const struct config *c, int i, char *text, size_t size) {
    if (size == 0)
        return 0;
    return least((size_t)put_value(c, &options[i], text, size), size - 1);
}
