/* options.h -- the option table, one row an option: --help, the file, the environment, the flags, CONFIG GET and SET and
 * the documents are made from it. config.c includes it.
 *
 *   name, kind, when it may change and its field, least, most, default, help, what 0 means
 *
 * A value is looked up by the first row whose name fits; what CONFIG GET shows stands before what is ignored or refused. */
#ifndef SPONSON_OPTIONS_H
#define SPONSON_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "log.h"

#define THREADS_MAX 256                /* more than any machine gives to a cache */
#define SOCKET_PATH_MAX 107            /* bytes: sun_path less its terminator */
#define KEEPALIVE_MAX 32767            /* seconds: the kernel's own bound */
#define TIMEOUT_MAX 2147483            /* seconds: in milliseconds it still fits 31 bits */
#define CLIENT_MEMORY_MIN (1 << 20)    /* bytes: a few clients with a request each */
#define TEXT_MAX (CONFIG_TEXT_MAX - 1) /* bytes: the field less its terminator */

enum kind {
    NUMBER,
    SECONDS,
    MODE,
    BYTES,
    LEVEL,     /* enum log_level */
    FORMAT,    /* enum log_format */
    MANAGER,   /* what redis.conf calls supervised */
    SWITCH,    /* yes or no */
    OUTPUT,    /* bytes, in Redis's syntax by class of client */
    ADDRESSES, /* char[], words apart by spaces */
    TEXT,      /* char[] */
    SECRET,    /* char[], never shown */
    FIXED,     /* an option of Redis that has one true value here; the last kind that CONFIG GET shows */
    IGNORED,   /* an option of Redis that changes nothing here, whatever it says */
    REFUSED    /* an option of Redis that would change something that is not here */
};

struct option {
    const char *name; /* a pattern where it is IGNORED or REFUSED */
    enum kind kind;
    enum {
        AT_START,
        AT_RELOAD,  /* and on SIGHUP, by the file: no command may */
        AT_ANY_TIME /* and with CONFIG SET */
    } changes;
    size_t offset, size; /* of the field in struct config; numbers are int or uint64_t */
    int64_t min, max;    /* of a number, or of the bytes of a text */
    const char *initial; /* as a file would hold it; of a FIXED option the only value */
    const char *help;    /* of a FIXED option why, of a REFUSED one what to do instead */
    const char *zero;    /* what 0 means where it is special; NULL: nothing */
};

/* clang-format off */
#define FIELD(name) AT_START, offsetof(struct config, name), sizeof(((struct config *)0)->name)
#define RELOADS(name) AT_RELOAD, offsetof(struct config, name), sizeof(((struct config *)0)->name)
#define CHANGES(name) AT_ANY_TIME, offsetof(struct config, name), sizeof(((struct config *)0)->name)
#define FIXED(name, value, why) {name, FIXED, AT_START, 0, 0, 0, 0, value, why, NULL}
#define IGNORED(name) {name, IGNORED, AT_START, 0, 0, 0, 0, "", "", NULL}
#define REFUSED(name, instead) {name, REFUSED, AT_START, 0, 0, 0, 0, "", instead, NULL}

static const struct option options[] = {
    {"bind", ADDRESSES, FIELD(bind), 1, TEXT_MAX, "127.0.0.1 -::1", "addresses to listen on; -ADDRESS may be absent", NULL},
    {"port", NUMBER, FIELD(port), 1, 65535, "7171", "TCP port", "no TCP"},
    {"unixsocket", TEXT, FIELD(unixsocket), 0, SOCKET_PATH_MAX, "", "path of a unix socket to listen on", NULL},
    {"unixsocketperm", MODE, FIELD(unixsocketperm), 1, 0777, "0", "mode of the unix socket", "what the umask leaves"},
    {"threads", NUMBER, FIELD(threads), 1, THREADS_MAX, "0", "worker threads", "the CPUs this process may use"},
    {"databases", NUMBER, FIELD(databases), 1, DATABASES_MAX, "16", "databases, for SELECT", NULL},
    {"maxclients", NUMBER, CHANGES(maxclients), 1, MAXCLIENTS_MAX, "10000", "connections at once", NULL},
    {"timeout", SECONDS, CHANGES(timeout_s), 1, TIMEOUT_MAX, "0", "close clients idle for so long", "never"},
    {"tcp-keepalive", SECONDS, CHANGES(tcp_keepalive_s), 1, KEEPALIVE_MAX, "300", "probe silent TCP clients after so long", "no probes"},
    {"tcp-backlog", NUMBER, FIELD(tcp_backlog), 1, 65535, "511", "connections waiting to be accepted", NULL},
    {"maxmemory", BYTES, CHANGES(maxmemory_bytes), MAXMEMORY_MIN, MAXMEMORY_MAX, "0", "entries and their index; by default what fits a container's limit, else a quarter of the machine; while it runs at most four times the start's", "a share of the machine's memory"},
    {"shard-capacity", NUMBER, CHANGES(shard_capacity), 1, INT32_MAX, "0", "entries in each of the 64 shards", "what fits maxmemory"},
    {"max-key-size", BYTES, CHANGES(max_key_size_bytes), 1, KEY_SIZE_MAX, "1024", "longest key", NULL},
    {"max-value-size", BYTES, CHANGES(max_value_size_bytes), 1, VALUE_SIZE_MAX, "0", "largest value, half a shard at most; a shard is a 64th of maxmemory", "the lesser of 1mb and an eighth of a shard"},
    {"client-memory", BYTES, CHANGES(client_memory_bytes), CLIENT_MEMORY_MIN, MAXMEMORY_MAX, "0", "all clients' buffers", "a sixteenth of maxmemory and at least 16mb"},
    {"client-output-buffer-limit", OUTPUT, CHANGES(client_output_bytes), 1, MAXMEMORY_MAX, "normal 0 0 0",
     "normal BYTES 0 0, BYTES being what may wait for one client", "the lesser of 32mb and half of client-memory"},
    {"requirepass", SECRET, CHANGES(requirepass), 0, TEXT_MAX, "", "what clients must send with AUTH; prefer requirepass-file: others may read a configuration, and flags in ps", NULL},
    {"requirepass-file", TEXT, RELOADS(requirepass_file), 1, TEXT_MAX, "", "file whose first line is requirepass", NULL},
    {"protected-mode", SWITCH, CHANGES(protected_mode), 0, 1, "yes", "without requirepass serve this machine only: yes or no", NULL},
    {"authentication-timeout", SECONDS, CHANGES(authentication_timeout_s), 1, TIMEOUT_MAX, "60", "close clients that do not AUTH within", "never"},
    {"shutdown-timeout", SECONDS, CHANGES(shutdown_timeout_s), 0, 3600, "5", "how long a stop waits for clients", NULL},
    {"loglevel", LEVEL, CHANGES(loglevel), 0, LOG_LEVEL_WARNING, "notice", "debug, verbose, notice or warning", NULL},
    {"log-format", FORMAT, CHANGES(log_format), 0, LOG_FORMAT_JSON, "text", "of a line on stderr: text or json", NULL},
    {"slowlog-log-slower-than", NUMBER, CHANGES(slowlog_us), -1, INT32_MAX, "10000", "microseconds; 0 for every request, -1 for none", NULL},
    {"slowlog-max-len", NUMBER, CHANGES(slowlog_max_len), 0, SLOWLOG_MAX, "128", "slow requests that are kept", NULL},
    {"admin-port", NUMBER, FIELD(admin_port), 1, 65535, "0", "port of /metrics, /healthz and /readyz", "no such endpoint"},
    {"admin-bind", ADDRESSES, FIELD(admin_bind), 1, TEXT_MAX, "127.0.0.1", "addresses of the admin endpoint", NULL},
    {"supervised", MANAGER, FIELD(supervised), 0, 2, "no", "no, auto or systemd: it is told where NOTIFY_SOCKET is set", NULL},

    FIXED("save", "", "nothing is written to disk"),
    FIXED("appendonly", "no", "nothing is written to disk"),
    FIXED("maxmemory-policy", "allkeys-lru", "the least recently used go first, with a TTL or without"),
    FIXED("daemonize", "no", "let a service manager or container run it"),
    FIXED("logfile", "", "the log goes to stderr, redirect that"),
    FIXED("io-threads", "1", "use threads"),
    FIXED("cluster-enabled", "no", "use a proxy or a client that shards"),
    FIXED("notify-keyspace-events", "", "there are no keyspace events"),
    FIXED("latency-monitor-threshold", "0", "there is no latency monitor"),
    FIXED("oom-score-adj", "no", "let a service manager set it"),

    IGNORED("lazyfree-*"), IGNORED("active*"), IGNORED("hz"), IGNORED("dynamic-hz"), IGNORED("maxmemory-samples"), IGNORED("lfu-*"),
    IGNORED("always-show-logo"), IGNORED("set-proc-title"), IGNORED("proc-title-template"), IGNORED("disable-thp"),
    IGNORED("jemalloc-bg-thread"), IGNORED("io-threads-do-reads"), IGNORED("oom-score-adj-values"), IGNORED("pidfile"),
    IGNORED("latency-tracking*"), IGNORED("dir"), IGNORED("dbfilename"), IGNORED("rdb*"), IGNORED("stop-writes-on-bgsave-error"),
    IGNORED("appendfilename"), IGNORED("appenddirname"), IGNORED("appendfsync"), IGNORED("no-appendfsync-on-rewrite"),
    IGNORED("auto-aof-rewrite-*"), IGNORED("aof-*"), IGNORED("hash-max-*"), IGNORED("list-*"), IGNORED("set-max-*"),
    IGNORED("zset-max-*"), IGNORED("stream-node-*"), IGNORED("hll-sparse-max-bytes"), IGNORED("lua-time-limit"),
    IGNORED("busy-reply-threshold"), IGNORED("locale-collate"), IGNORED("hide-user-data-from-log"), IGNORED("dual-channel-*"), IGNORED("commandlog-*"), IGNORED("acllog-max-len"), IGNORED("repl-*"), IGNORED("enable-*"), IGNORED("replica-*"), IGNORED("cluster-*"),

    REFUSED("replicaof", "remove the line"), REFUSED("slaveof", "remove the line"), REFUSED("master*", "remove the line"),
    REFUSED("loadmodule", "remove the line"), REFUSED("rename-command", "remove the line"),
    REFUSED("user", "use requirepass"), REFUSED("aclfile", "use requirepass"), REFUSED("include", "give one file, the rest as flags"),
    REFUSED("tls-*", "use a unix socket, stunnel or a mesh"), REFUSED("proto-max-bulk-len", "use max-value-size"),
    REFUSED("client-query-buffer-limit", "use client-memory and max-value-size"), REFUSED("maxmemory-clients", "use client-memory"),
};

static const struct {
    const char *placeholder; /* of the value, for --help */
    const char *what, *unit; /* before and behind the bounds, for errors */
    const char *words[5];    /* the value is one of these, its number the place; the rest are NULL */
} kinds[] = {
    [NUMBER] = {"N", "a whole number from ", "", {NULL}}, [SECONDS] = {"SECONDS", "", " seconds", {NULL}}, [MODE] = {"MODE", "octal mode bits from ", "", {NULL}},
    [BYTES] = {"BYTES", "bytes from ", "", {NULL}},
    [LEVEL] = {"LEVEL", "debug, verbose, notice or warning", "", {"debug", "verbose", "notice", "warning"}}, /* enum log_level */
    [FORMAT] = {"text|json", "text or json", "", {"text", "json"}}, /* enum log_format */
    [MANAGER] = {"no|auto|systemd", "no, auto or systemd", "", {"no", "auto", "systemd"}},
    [SWITCH] = {"yes|no", "yes or no", "", {"no", "yes"}}, [OUTPUT] = {"LIMIT", "normal BYTES 0 0 with BYTES from ", "", {NULL}},
    [TEXT] = {"TEXT", "one line of ", " bytes", {NULL}}, [ADDRESSES] = {"ADDRESS ...", "addresses apart by spaces, ", " bytes", {NULL}},
    [SECRET] = {"TEXT", "one line of ", " bytes", {NULL}}, [FIXED] = {"FIXED", "", "", {NULL}},
};
/* clang-format on */

#endif
