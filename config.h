/* config.h -- limits and defaults, each with its unit and its reason; and the options that a user may set.
 *
 * The bottom of the project: it includes nothing of it. */
#ifndef SPONSON_CONFIG_H
#define SPONSON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPONSON_VERSION "0.5.0"
/* Clients choose what they send by the version of Redis that INFO and HELLO name. */
#define SPONSON_REDIS_VERSION "7.2.0"

/* ---- fixed limits ---- */

#define SHARDS 64                           /* a power of two; six bits of the hash choose one */
#define KEY_SIZE_MAX 4095                   /* bytes: twelve bits of an entry's header */
#define DATABASES_MAX 16                    /* as Redis has them; ... */
#define DATABASE_IDS 32                     /* ... five bits of an entry's header: FLUSHDB takes a fresh one */
#define MAXCLIENTS_MAX 1000000              /* a process that has more descriptors is none that we know */
#define VALUE_SIZE_MAX ((1u << 29) - 1)     /* bytes: twenty-nine bits of an entry's header */
#define ARGS_MAX 1048576                    /* arguments of one request, as in Redis */
#define BULK_MAX (512u << 20)               /* bytes a bulk string may announce, as in Redis */
#define UNAUTHENTICATED_ARGS 10             /* before AUTH, as in Redis: arguments of one request ... */
#define UNAUTHENTICATED_BULK (16u << 10)    /* ... and bytes of one of them */
#define LINE_MAX_BYTES (64u << 10)          /* a header or an inline request, as in Redis */
#define MAXMEMORY_MIN (8ull << 20)          /* bytes: 128 KB a shard; below that its index leaves no room */
#define MAXMEMORY_MAX (1ull << 40)          /* bytes: 16 GiB a shard, what an entry's reference can reach */
#define PROCESS_OVERHEAD_BYTES (8ull << 20) /* what the process needs beside entries and clients' buffers */
#define SLOWLOG_MAX 1024                    /* slow requests that are kept: some 300 KB */
#define SPARE_DESCRIPTORS 32                /* listeners, signals, log, and room to refuse a client politely */

/* ---- what a user may set ---- */

enum config_limits { CONFIG_TEXT_MAX = 1024, CONFIG_ERROR_MAX = 8 * CONFIG_TEXT_MAX, CONFIG_ERRORS_MAX = 10 };

/* Once the server runs, config_apply() changes the atomic ones, and requirepass under a lock of its caller. */
struct config {
    /* as given by file, environment and flags; 0 or "" where the default depends on the machine */
    char bind[CONFIG_TEXT_MAX];       /* addresses apart by spaces; "-" before one: its absence is no error */
    int port;                         /* 0: no TCP */
    char unixsocket[CONFIG_TEXT_MAX]; /* path; "": none */
    int unixsocketperm;               /* mode bits; 0: as the umask has it */
    int threads;                      /* 0: the CPUs this process may use */
    _Atomic int maxclients;           /* connections */
    _Atomic int timeout_s;            /* idle clients are closed after it; 0: never */
    _Atomic int tcp_keepalive_s;      /* 0: off */
    int tcp_backlog;
    int databases;
    _Atomic uint64_t maxmemory_bytes;       /* entries and their index; 0: from the machine */
    _Atomic uint64_t shard_capacity;        /* entries; 0: from maxmemory */
    _Atomic uint64_t max_key_size_bytes;    /* 1 to KEY_SIZE_MAX */
    _Atomic uint64_t max_value_size_bytes;  /* 0: 1 MB or an eighth of a shard */
    _Atomic uint64_t client_memory_bytes;   /* all clients' buffers; 0: a sixteenth of maxmemory, at least 16 MB */
    _Atomic uint64_t client_output_bytes;   /* what may wait for one client; 0: 32 MB, or half client_memory if less */
    char requirepass[CONFIG_TEXT_MAX];      /* "": none */
    char requirepass_file[CONFIG_TEXT_MAX]; /* path; "": none */
    _Atomic int protected_mode;             /* no password, no client from beyond loopback */
    _Atomic int authentication_timeout_s;   /* 0: never */
    _Atomic int shutdown_timeout_s;
    _Atomic int loglevel;             /* enum log_level */
    _Atomic int log_format;           /* enum log_format */
    _Atomic int slowlog_us;           /* requests that take longer are kept; 0: all, -1: none */
    _Atomic int slowlog_max_len;      /* how many of them, at most SLOWLOG_MAX */
    int admin_port;                   /* 0: no admin endpoint */
    char admin_bind[CONFIG_TEXT_MAX]; /* its addresses, as bind */
    int supervised;                   /* accepted for Redis's sake: NOTIFY_SOCKET alone decides */

    /* worked out by config_resolve() */
    char maxmemory_source[128]; /* for the start-up line: "maxmemory", "cgroup limit of 512 MB" */
    char value_size_note[128];  /* "" or " (why max-value-size is less than 1 MB)" */

    /* what was ignored or is doubtful, for the log: lines, each with its '\n' */
    char notes[4096];
};

struct host;

/* Sets every option to its default. */
void config_init(struct config *c);

enum config_result {
    CONFIG_OK,   /* go on */
    CONFIG_EXIT, /* --help or --version was printed to stdout: exit 0 */
    CONFIG_PING, /* --ping was given: be the probe */
    CONFIG_BAD   /* `error` holds one sentence: option, value, what is allowed. Of a file it holds the first
                  * CONFIG_ERRORS_MAX, apart by '\n'. It takes CONFIG_ERROR_MAX bytes. */
};

/* Reads the file that argv[1] names (when it does not begin with '-'), then SPONSON_ variables of `environment`
 * (as environ: NAME=value, NULL last), then the flags of argv; later ones win. argv[0] is skipped. `again`: it was read
 * before, so that a pipe is refused, and nothing is waited for. */
enum config_result config_load(struct config *c, int argc, char **argv, char **environment, bool again, char *error,
                               size_t error_size);

/* Works out every value that depends on the machine or on another option, and checks them against one another.
 * False: `error` is set. Descriptor limits are the server's business, not this function's. */
bool config_resolve(struct config *c, const struct host *h, char *error, size_t error_size);

/* ---- CONFIG SET: options are changed in a copy, resolved, and applied together ---- */

enum config_change { CONFIG_CHANGED, CONFIG_UNKNOWN, CONFIG_IMMUTABLE, CONFIG_INVALID };

/* Sets one option in a copy of the running configuration; without a value, only says whether it could. With
 * CONFIG_INVALID `error` is set; with CONFIG_UNKNOWN it is "" or ", did you mean 'NAME'?". */
enum config_change config_change(struct config *next, const char *name, const char *value, char *error,
                                 size_t error_size);

/* What maxmemory led to by default (or was given and is the same) and is not given now is to follow it when that is
 * changed: before config_resolve(). */
void config_follow(struct config *next, const struct config *running, bool capacity_given, bool value_size_given);

/* Writes what config_apply() would change, and what only a restart does: "timeout 0 -> 60; needs a restart: port 1 ->
 * 2", or "nothing changed". No password shows. */
void config_compare(const struct config *running, const struct config *next, char *text, size_t size);

/* Takes every option that may change from the copy. */
void config_apply(struct config *running, const struct config *next);

/* ---- the option table, for CONFIG GET and the documents ---- */

/* The name of option i, a static string; NULL behind the last one. */
const char *config_name(int i);

/* Writes option i's value as CONFIG GET shows it, or with units, and a file could hold it, NUL-terminated, at most `size`
 * bytes. Returns its length. A password is shown as "" when none is set and as "********" when one is. */
size_t config_value(const struct config *c, int i, bool units, char *text, size_t size);

#endif
