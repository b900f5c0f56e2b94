/* test_config.c -- the options, from text to resolved values; the machine below them (host.c), and the log's
 * line.
 *
 * Every file stands in one directory of mkdtemp(), which main() removes. No test depends on the machine it
 * runs on but for the affinity mask, which it reads itself. */
#include "../config.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../host.h"
#include "../log.h"
#include "tap.h"

#define MB ((uint64_t)1 << 20)
#define GB ((uint64_t)1 << 30)
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HAS(part) CHECK_HAS(error, part)
/* Shows the whole text when a part of it is missing. */
#define CHECK_HAS(text, part)                                                                                \
    do {                                                                                                     \
        const char *text_ = (text), *part_ = (part);                                                         \
        if (!strstr(text_, part_)) {                                                                         \
            printf("# %s:%d: no \"%s\" in \"%s\"\n", __FILE__, __LINE__, part_, text_);                      \
            tap_failures++;                                                                                  \
        }                                                                                                    \
    } while (0)

static char directory[] = "/tmp/test_config.XXXXXX";
static struct config config;
static char error[1024];

/* ---- helpers ---- */

static void make_directories(const char *path) {
    char prefix[1024];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(prefix, sizeof prefix, "%.*s", (int)(slash - path), path);
        mkdir(prefix, 0700);
    }
}

/* Writes a file below the test's directory and returns its path, which is valid until the next call. */
static const char *put_file(const char *name, const char *text, size_t n) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    make_directories(path);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(text, 1, n, file) != n || fclose(file) != 0) {
        printf("Bail out! cannot write %s\n", path);
        exit(1);
    }
    return path;
}

static bool set(const char *name, const char *value) {
    error[0] = '\0';
    return config_set(&config, name, value, error, sizeof error);
}

/* Loads with a list of arguments that NULL ends (argv[0] is put before it) and an environment, or NULL for
 * none. */
static enum config_result load(char **arguments, char **environment) {
    char *argv[32] = {"sponson"}, *nothing[] = {NULL};
    int argc = 1;
    while (arguments && arguments[argc - 1]) {
        argv[argc] = arguments[argc - 1];
        argc++;
    }
    config_init(&config);
    error[0] = '\0';
    return config_load(&config, argc, argv, environment ? environment : nothing, error, sizeof error);
}

#define LOAD(...) load((char *[]){__VA_ARGS__, NULL}, NULL)
#define LOAD_ENVIRONMENT(...) load(NULL, (char *[]){__VA_ARGS__, NULL})

static enum config_result load_bytes(const char *text, size_t n) {
    char path[1024];
    snprintf(path, sizeof path, "%s", put_file("t.conf", text, n));
    return LOAD(path);
}

static enum config_result load_text(const char *text) {
    return load_bytes(text, strlen(text));
}

static int find(const char *name) {
    for (int i = 0; i < config_count(); i++)
        if (strcmp(config_name(i), name) == 0)
            return i;
    return -1;
}

static const char *value_of(const char *name) {
    static char text[CONFIG_TEXT_MAX + 64];
    int i = find(name);
    if (i < 0)
        return "(no such option)";
    size_t n = config_value(&config, i, text, sizeof text);
    CHECK(n == strlen(text));
    return text;
}

/* Resolves on a machine of so many megabytes with a control group of so many; 0: unknown, none. */
static bool resolve(uint64_t machine_mb, uint64_t cgroup_mb) {
    struct host h = {
        .memory_bytes = machine_mb * MB, .cgroup_memory_bytes = cgroup_mb * MB, .cpus = 4, .cgroup_cpus = 3};
    error[0] = '\0';
    return config_resolve(&config, &h, error, sizeof error);
}

/* ---- options and their values ---- */

static void test_defaults(void) {
    config_init(&config);
    CHECK_TEXT(config.bind, "127.0.0.1 -::1");
    CHECK(config.port == 7171);
    CHECK_TEXT(config.unixsocket, "");
    CHECK(config.unixsocketperm == 0);
    CHECK(config.threads == 0);
    CHECK(config.maxclients == 10000);
    CHECK(config.timeout_s == 0);
    CHECK(config.tcp_keepalive_s == 300);
    CHECK(config.tcp_backlog == 511);
    CHECK(config.maxmemory_bytes == 0);
    CHECK(config.shard_capacity == 0);
    CHECK(config.max_key_size_bytes == 1024);
    CHECK(config.max_value_size_bytes == 0);
    CHECK(config.client_memory_bytes == 0);
    CHECK(config.client_output_bytes == 0);
    CHECK_TEXT(config.requirepass, "");
    CHECK(config.shutdown_timeout_s == 5);
    CHECK(config.loglevel == LOG_LEVEL_NOTICE);
    CHECK_TEXT(config.notes, "");
}

static void test_units(void) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"8388608", 8388608},
                {"8388608b", 8388608},
                {"00009000000", 9000000},
                {"9000k", 9000000},
                {"9000K", 9000000},
                {"9000kb", 9216000},
                {"9000KB", 9216000},
                {"9000kB", 9216000},
                {"256m", 256000000},
                {"256mb", 268435456},
                {"256Mb", 268435456},
                {"2g", 2000000000},
                {"2gb", 2147483648},
                {"2GB", 2147483648},
                {"1t", 1000000000000},
                {"1tb", 1099511627776},
                {"1024gb", 1099511627776}};
    static const char *const bad[] = {"",
                                      " ",
                                      "x",
                                      "12x",
                                      "256mib",
                                      "256 mb",
                                      " 256mb",
                                      "256mb ",
                                      "-1",
                                      "+256mb",
                                      "1.5gb",
                                      "0x100000",
                                      "mb",
                                      "256mbb",
                                      "256b b",
                                      "1e9",
                                      "1",
                                      "8388607",
                                      "2tb",
                                      "1025gb",
                                      "1099511627777",
                                      "1%",
                                      "256bm",
                                      "infinity",
                                      "18446744073709551616",
                                      "18446744073709551615",
                                      "99999999999999999999999gb",
                                      "17179869185gb",
                                      "18014398509481985kb"};
    for (size_t i = 0; i < COUNT(good); i++) {
        config_init(&config);
        config.maxmemory_bytes = 77;
        CHECK(set("maxmemory", good[i].text));
        CHECK_TEXT(error, "");
        if (config.maxmemory_bytes != good[i].bytes)
            printf("# %s\n", good[i].text);
        CHECK(config.maxmemory_bytes == good[i].bytes);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        char quoted[64];
        config.maxmemory_bytes = 77;
        CHECK(!set("maxmemory", bad[i]));
        CHECK(config.maxmemory_bytes == 77);
        snprintf(quoted, sizeof quoted, "maxmemory: \"%s\" is not allowed; give ", bad[i]);
        HAS(quoted);
    }
}

static void test_bounds(void) {
    static const struct {
        const char *name, *low, *high, *below, *above, *allowed;
    } rows[] = {
        {"port", "1", "65535", "-1", "65536", "from 1 to 65535, or 0 for no TCP"},
        {"unixsocketperm", "1", "777", "8", "1000", "octal mode bits from 1 to 777"},
        {"threads", "1", "256", "-1", "257", "from 1 to 256, or 0 for the CPUs"},
        {"maxclients", "1", "1000000", "0", "1000001", "from 1 to 1000000"},
        {"timeout", "1", "2147483", "-1", "2147484", "seconds from 1 to 2147483, or 0 for never"},
        {"tcp-keepalive", "1", "32767", "-1", "32768", "seconds from 1 to 32767, or 0"},
        {"tcp-backlog", "1", "65535", "0", "65536", "from 1 to 65535"},
        {"maxmemory", "8mb", "1tb", "8388607", "1099511627777",
         "bytes between 8mb and 1tb, such as 256mb, or 0 for a default"},
        {"shard-capacity", "1", "2147483647", "-1", "2147483648", "from 1 to 2147483647, or 0"},
        {"max-key-size", "1", "4095", "0", "4096", "between 1 and 4095"},
        {"max-value-size", "1", "536870911", "-1", "536870912", "between 1 and 536870911"},
        {"client-memory", "1mb", "1tb", "1048575", "1025gb", "between 1mb and 1tb"},
        {"shutdown-timeout", "0", "3600", "-1", "3601", "seconds from 0 to 3600"},
        {"loglevel", "debug", "warning", "nothing", "", "give debug, verbose, notice or warning"},
        {"client-output-buffer-limit", "normal 1 0 0", "normal 1tb 0 0", "normal -1 0 0", "normal 2tb 0 0",
         "up to 1tb, or 0 for"},
        {"bind", "::1", "* -::*", "", "   ", "at least one address"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const bad[] = {rows[i].below, rows[i].above};
        config_init(&config);
        CHECK(set(rows[i].name, rows[i].low));
        CHECK_TEXT(error, "");
        CHECK(set(rows[i].name, rows[i].high));
        CHECK_TEXT(error, "");
        struct config before = config;
        for (size_t k = 0; k < COUNT(bad); k++) {
            char quoted[128];
            CHECK(!set(rows[i].name, bad[k]));
            snprintf(quoted, sizeof quoted, "%s: \"%s\" is not allowed; ", rows[i].name, bad[k]);
            HAS(quoted);
            HAS(rows[i].allowed);
            CHECK(memcmp(&before, &config, sizeof config) == 0);
        }
    }
    CHECK(set("port", "0") && config.port == 0);
    CHECK(set("threads", "0") && config.threads == 0);
    CHECK(set("unixsocketperm", "0") && config.unixsocketperm == 0);
}

static void test_numbers_are_strict(void) {
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "1.0",
                                      "0x10",
                                      "1k",
                                      "one",
                                      "99999999999999999999",
                                      "18446744073709551617",
                                      "1,000",
                                      "4294967297"};
    config_init(&config);
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK(!set("maxclients", bad[i]));
        CHECK(!set("timeout", bad[i]));
        CHECK(!set("threads", bad[i]));
    }
    CHECK(config.maxclients == 10000);
    CHECK(!set("unixsocketperm", "788"));
    CHECK(set("unixsocketperm", "0770"));
    CHECK(config.unixsocketperm == 0770);
}

static void test_exact_sentence(void) {
    config_init(&config);
    CHECK(!set("maxmemory", "12x"));
    CHECK_TEXT(error,
               "maxmemory: \"12x\" is not allowed; give bytes between 8mb and 1tb, such as 256mb, or 0 for a "
               "default from the machine's memory");
    CHECK(!set("loglevel", "loud"));
    CHECK_TEXT(error, "loglevel: \"loud\" is not allowed; give debug, verbose, notice or warning");
    CHECK(!set("databases", "16"));
    CHECK_TEXT(error, "databases: \"16\" is not allowed; give 1: this server has one database for now");
}

static void test_levels(void) {
    static const char *const names[] = {"debug", "verbose", "notice", "warning"};
    config_init(&config);
    for (int i = 0; i < 4; i++) {
        CHECK(set("LogLevel", names[i]));
        CHECK(config.loglevel == i);
        CHECK_TEXT(value_of("loglevel"), names[i]);
    }
    CHECK(set("loglevel", "DEBUG") && config.loglevel == LOG_LEVEL_DEBUG);
}

static void test_texts_are_never_cut(void) {
    char text[CONFIG_TEXT_MAX + 1];
    memset(text, 'a', sizeof text);
    config_init(&config);
    text[CONFIG_TEXT_MAX] = '\0';
    CHECK(!set("requirepass", text));
    CHECK(!set("bind", text));
    CHECK_TEXT(config.bind, "127.0.0.1 -::1");
    text[CONFIG_TEXT_MAX - 1] = '\0';
    CHECK(set("requirepass", text));
    CHECK_TEXT(config.requirepass, text);
    CHECK(set("bind", text));
    CHECK_TEXT(config.bind, text);
    CHECK_TEXT(value_of("bind"), text);
    text[500] = ' '; /* the space between two words counts */
    CHECK(set("bind", text));
    text[CONFIG_TEXT_MAX - 1] = 'a';
    CHECK(!set("bind", text));
    text[500] = 'a';
    text[108] = '\0'; /* a socket's path and its terminator have 108 bytes */
    CHECK(!set("unixsocket", text));
    HAS("unixsocket: \"aaa");
    HAS("at most 107 bytes");
    text[107] = '\0';
    CHECK(set("unixsocket", text));
    CHECK_TEXT(config.unixsocket, text);
    CHECK(!set("unixsocket", "/tmp/a\nb"));
    HAS("/tmp/a?b");
    HAS("line break");
    CHECK(!set("bind", "127.0.0.1\n::1"));
    CHECK(load_bytes("unixsocket /tmp/a\0b\n", 20) == CONFIG_BAD);
    CHECK(load_text("unixsocket \"/tmp/a\\x00b\"\n") == CONFIG_BAD);
    CHECK(load_text("unixsocket \"/tmp/a\\nb\"\n") == CONFIG_BAD);
    HAS("/tmp/a?b");
}

static void test_passwords_stay_secret(void) {
    char text[CONFIG_TEXT_MAX + 8];
    memset(text, 'a', sizeof text);
    memcpy(text, "s3cret", 6);
    text[sizeof text - 1] = '\0';
    config_init(&config);
    CHECK(!set("requirepass", text));
    HAS("requirepass");
    HAS("at most 1023 bytes");
    CHECK(!strstr(error, "s3cret"));
    CHECK(!set("requirepass", "s3cret\n"));
    CHECK(!strstr(error, "s3cret"));
    CHECK(load_text("requirepass s3cret word\n") == CONFIG_BAD);
    HAS("requirepass: 2 values are not allowed; give one");
    CHECK(!strstr(error, "s3cret"));
    CHECK(load_text("requirepass \"s3cret\n") == CONFIG_BAD);
    CHECK(!strstr(error, "s3cret"));
    CHECK(load_text("masterauth s3cret\n") == CONFIG_BAD);
    HAS("masterauth");
    CHECK(!strstr(error, "s3cret"));
    CHECK(load_text("user default on >s3cret\n") == CONFIG_BAD);
    CHECK(!strstr(error, "s3cret"));
    CHECK(LOAD("--requirepass", "--s3cret") == CONFIG_BAD);
    CHECK(!strstr(error, "s3cret"));
    CHECK(LOAD_ENVIRONMENT("SPONSON_REQUIREPAS=s3cret") == CONFIG_OK);
    CHECK(!strstr(config.notes, "s3cret"));
    CHECK(load_text("requirepass \"s3cret word\"\n") == CONFIG_OK);
    CHECK_TEXT(config.requirepass, "s3cret word");
    CHECK_TEXT(value_of("requirepass"), "********");
    CHECK(set("requirepass", ""));
    CHECK_TEXT(value_of("requirepass"), "");
}

static void test_bind_words(void) {
    CHECK(load_text("bind\t10.0.0.1    -::1  \n") == CONFIG_OK);
    CHECK_TEXT(config.bind, "10.0.0.1 -::1");
    CHECK(set("bind", "  a \t b  "));
    CHECK_TEXT(config.bind, "a b");
}

static void test_output_limit(void) {
    static const char *const bad[] = {"",
                                      "normal",
                                      "normal 0 0",
                                      "normal 0 0 0 0",
                                      "normal 0 0 x",
                                      "normal x 0 0",
                                      "normal 0 -1 0",
                                      "master 0 0 0",
                                      "0 0 0",
                                      "normal 1mb 0 0 pubsub"};
    config_init(&config);
    CHECK(set("client-output-buffer-limit", "normal 4mb 0 0"));
    CHECK(config.client_output_bytes == 4 * MB);
    CHECK_TEXT(value_of("client-output-buffer-limit"), "normal 4194304 0 0 slave 0 0 0 pubsub 0 0 0");
    CHECK(set("client-output-buffer-limit", "replica 256mb 64mb 60"));
    CHECK(set("client-output-buffer-limit", "slave 256mb 64mb 60"));
    CHECK(set("client-output-buffer-limit", "PUBSUB 32mb 8mb 60"));
    CHECK(config.client_output_bytes == 4 * MB);
    CHECK_TEXT(config.notes, "");
    CHECK(set("client-output-buffer-limit", "pubsub 32mb 8mb 60 Normal 5mb 0 0 slave 1 1 1"));
    CHECK(config.client_output_bytes == 5 * MB);
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK(!set("client-output-buffer-limit", bad[i]));
        HAS("client-output-buffer-limit: \"");
        HAS("such as normal 32mb 0 0");
        CHECK(config.client_output_bytes == 5 * MB);
    }
    CHECK(set("client-output-buffer-limit", "normal 2mb 1mb 10"));
    CHECK(config.client_output_bytes == 2 * MB);
    CHECK_HAS(config.notes, "client-output-buffer-limit: the soft limit");
    CHECK(load_text("client-output-buffer-limit normal 3mb 0 0\n") == CONFIG_OK);
    CHECK(config.client_output_bytes == 3 * MB);
    CHECK(LOAD("--client-output-buffer-limit", "normal", "6mb", "0", "0") == CONFIG_OK);
    CHECK(config.client_output_bytes == 6 * MB);
}

/* ---- Redis's options ---- */

static void test_fixed_options(void) {
    static const struct {
        const char *name, *good, *bad, *use;
    } rows[] = {{"save", "", "900 1", "written to disk"},
                {"appendonly", "no", "yes", "written to disk"},
                {"daemonize", "no", "yes", "service manager"},
                {"maxmemory-policy", "allkeys-lru", "noeviction", "least recently used"},
                {"databases", "1", "16", "one database"},
                {"protected-mode", "no", "yes", "use bind and requirepass"},
                {"io-threads", "1", "4", "use threads"},
                {"supervised", "no", "systemd", "service manager"},
                {"cluster-enabled", "no", "yes", "no cluster node"},
                {"tls-port", "0", "6380", "no TLS"},
                {"logfile", "", "/var/log/redis.log", "stderr"},
                {"syslog-enabled", "no", "yes", "stderr"},
                {"pidfile", "", "/run/redis.pid", "foreground"},
                {"notify-keyspace-events", "", "Ex", "no keyspace events"},
                {"latency-monitor-threshold", "0", "100", "no latency monitor"},
                {"maxmemory-clients", "0", "5%", "use client-memory"},
                {"min-replicas-to-write", "0", "1", "no replicas"},
                {"min-slaves-to-write", "0", "1", "no replicas"},
                {"oom-score-adj", "no", "yes", "service manager"},
                {"enable-debug-command", "no", "local", "no DEBUG"},
                {"enable-module-command", "no", "yes", "no modules"},
                {"shutdown-on-sigint", "default", "save", "nothing to save"},
                {"shutdown-on-sigterm", "default", "nosave force", "nothing to save"}};
    config_init(&config);
    size_t fixed = 0;
    for (int i = find("save"); i < config_count(); i++)
        fixed++;
    CHECK(fixed == COUNT(rows)); /* the rows here are all there are */
    for (size_t i = 0; i < COUNT(rows); i++) {
        char want[128];
        CHECK(set(rows[i].name, rows[i].good));
        CHECK_TEXT(error, "");
        CHECK(!set(rows[i].name, rows[i].bad));
        snprintf(want, sizeof want, "%s: \"%s\" is not allowed; give %s: ", rows[i].name, rows[i].bad,
                 *rows[i].good ? rows[i].good : "\"\"");
        HAS(want);
        HAS(rows[i].use);
        CHECK_TEXT(value_of(rows[i].name), rows[i].good);
    }
    CHECK(set("appendonly", "NO"));
}

static void test_options_without_effect(void) {
    static const char *const switches[] = {"lazyfree-lazy-eviction", "lazyfree-lazy-user-flush",
                                           "activerehashing",        "dynamic-hz",
                                           "always-show-logo",       "set-proc-title",
                                           "rdbcompression",         "rdbchecksum",
                                           "rdb-del-sync-files",     "stop-writes-on-bgsave-error",
                                           "activedefrag",           "aof-load-truncated"};
    static const char *const any[] = {"hz",
                                      "proc-title-template",
                                      "dbfilename",
                                      "dir",
                                      "maxmemory-samples",
                                      "appendfsync",
                                      "slowlog-max-len",
                                      "hash-max-ziplist-entries",
                                      "repl-diskless-sync",
                                      "replica-priority",
                                      "cluster-node-timeout",
                                      "lua-time-limit",
                                      "active-defrag-cycle-min",
                                      "lfu-decay-time"};
    struct config before;
    config_init(&config);
    before = config;
    for (size_t i = 0; i < COUNT(switches); i++) {
        CHECK(set(switches[i], "yes"));
        CHECK(set(switches[i], "No"));
        CHECK(!set(switches[i], "maybe"));
        HAS(switches[i]);
        HAS("\"maybe\" is not allowed; give yes or no, as ");
    }
    for (size_t i = 0; i < COUNT(any); i++) {
        char line[128];
        CHECK(set(any[i], "whatever 1 2"));
        snprintf(line, sizeof line, "%s a b c\n", any[i]);
        CHECK(load_text(line) == CONFIG_OK);
        snprintf(line, sizeof line, "%s\n", any[i]);
        CHECK(load_text(line) == CONFIG_BAD);
        HAS("a value is missing");
    }
    config_init(&config);
    CHECK(memcmp(&before, &config, sizeof config) == 0);
}

static void test_refused_options(void) {
    static const struct {
        const char *name, *use;
    } rows[] = {{"replicaof", "no replication"},
                {"slaveof", "no replication"},
                {"masterauth", "no replication"},
                {"masteruser", "no replication"},
                {"user", "use requirepass"},
                {"aclfile", "use requirepass"},
                {"rename-command", "keep their names"},
                {"include", "one file"},
                {"loadmodule", "no modules"},
                {"tls-cert-file", "stunnel"},
                {"TLS-key-file", "unix socket"},
                {"proto-max-bulk-len", "use max-value-size"},
                {"client-query-buffer-limit", "use client-memory"},
                {"bind-source-addr", "leave it out"},
                {"socket-mark-id", "leave it out"},
                {"enable-protected-configs", "leave it out"},
                {"server_cpulist", "taskset"},
                {"bio-cpulist", "taskset"}};
    config_init(&config);
    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK(!set(rows[i].name, "hidden words"));
        HAS(rows[i].name);
        HAS(" is not supported; ");
        HAS(rows[i].use);
        CHECK(!strstr(error, "hidden"));
    }
}

static void test_unknown_options(void) {
    static const struct {
        const char *slip, *meant;
    } rows[] = {{"maxmemroy", "maxmemory"},
                {"maxmemor", "maxmemory"},
                {"max-memory", "maxmemory"},
                {"MAXMEMROY", "maxmemory"},
                {"prot", "port"},
                {"maxclient", "maxclients"},
                {"max_value_size", "max-value-size"},
                {"requirepas", "requirepass"},
                {"log-level", "loglevel"},
                {"appendony", "appendonly"},
                {"replicof", "replicaof"}};
    static const char *const far[] = {"", "x", "completely-different", "zzzz", "portable-things"};
    config_init(&config);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char want[128];
        CHECK(!set(rows[i].slip, "1"));
        snprintf(want, sizeof want, "unknown option \"%s\"; did you mean \"%s\"?", rows[i].slip,
                 rows[i].meant);
        CHECK_TEXT(error, want);
    }
    for (size_t i = 0; i < COUNT(far); i++) {
        char want[128];
        CHECK(!set(far[i], "1"));
        snprintf(want, sizeof want, "unknown option \"%s\"; --help lists the known ones", far[i]);
        CHECK_TEXT(error, want);
    }
}

/* ---- the file ---- */

static void test_file_syntax(void) {
    CHECK(load_text("# a comment\n\n   \t \r\n  # another\n\tPORT   7000  \r\n"
                    "MaxMemory \"256mb\"\nsave \"\"\nlogfile ''\n"
                    "unixsocket '/tmp/it\\'s \\n here'\n"
                    "requirepass \"a\\n\\x41\\\"\\\\ b\"") == CONFIG_BAD); /* a line feed in a password */
    CHECK(load_text("# a comment\n\n   \t \r\n  # another\n\tPORT   7000  \r\n"
                    "MaxMemory \"256mb\"\nsave \"\"\nlogfile ''\n"
                    "unixsocket '/tmp/it\\'s \\n here'\n"
                    "requirepass \"a\\t\\b\\a\\x41\\x4a\\xfF\\\"\\\\ b\\q\\xZ\"") == CONFIG_OK);
    CHECK_TEXT(error, "");
    CHECK(config.port == 7000);
    CHECK(config.maxmemory_bytes == 256 * MB);
    CHECK_TEXT(config.unixsocket, "/tmp/it's \\n here");
    CHECK_TEXT(config.requirepass, "a\t\b\aAJ\xff\"\\ bqxZ");
    CHECK(load_text("") == CONFIG_OK);
    CHECK(load_text("port 1\nport 2\n") == CONFIG_OK);
    CHECK(config.port == 2);
}

static void test_file_errors(void) {
    static const struct {
        const char *text, *line, *sentence;
    } rows[] = {
        {"port 1\n\nport x\n", " line 3: ", "port: \"x\" is not allowed; give a whole number"},
        {"port", " line 1: ", "port: a value is missing; give a whole number from 1 to 65535"},
        {"port 1 2\n", " line 1: ", "port: 2 values are not allowed; give one"},
        {"maxmemory 256mb # half\n", " line 1: ", "maxmemory: 3 values are not allowed"},
        {"#\nunixsocket \"/tmp/a\n", " line 2: ", "quotes are not balanced"},
        {"unixsocket '/tmp/a\n", " line 1: ", "quotes are not balanced"},
        {"unixsocket \"/tmp\"a\n", " line 1: ", "quotes are not balanced"},
        {"unixsocket \"/tmp\\\n", " line 1: ", "quotes are not balanced"},
        {"\"port\n", " line 1: ", "quotes are not balanced"},
        {"save\n", " line 1: ", "save: a value is missing; give \"\": nothing is written to disk"},
        {"save 900 1\n", " line 1: ", "save: \"900 1\" is not allowed; give \"\""},
        {"save \"\" 1\n", " line 1: ", "save: \" 1\" is not allowed"},
        {"maxmemroy 1gb\n", " line 1: ", "unknown option \"maxmemroy\"; did you mean \"maxmemory\"?"},
        {"--port 1\n", " line 1: ", "unknown option \"--port\"; did you mean \"port\"?"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK(load_text(rows[i].text) == CONFIG_BAD);
        CHECK_HAS(error, directory);
        CHECK_HAS(error, "/t.conf");
        HAS(rows[i].line);
        HAS(rows[i].sentence);
    }
    CHECK(LOAD("/nonexistent/sponson.conf") == CONFIG_BAD);
    HAS("cannot open the configuration file \"/nonexistent/sponson.conf\": No such file");
    CHECK(LOAD(directory) == CONFIG_BAD);
    HAS("cannot read the configuration file");
    HAS("directory");
    CHECK(LOAD("") == CONFIG_BAD);
    HAS("cannot open");
}

static void test_long_lines(void) {
    static char text[20000];
    memset(text, 'x', sizeof text);
    memcpy(text, "port 1\n#", 8);
    CHECK(load_bytes(text, 7 + 8192) == CONFIG_OK);
    CHECK(load_bytes(text, 7 + 8193) == CONFIG_BAD);
    HAS("line 2: the line is too long; at most 8192 bytes");
    memcpy(text, "dir ", 4);
    memset(text + 4, ' ', 6000);
    CHECK(load_bytes(text, 8192) == CONFIG_OK);
    CHECK(load_bytes("port \0", 6) == CONFIG_BAD);
    HAS("port: \"?\"");
    CHECK(load_bytes("\0", 1) == CONFIG_BAD);
    HAS("unknown option \"?\"");
}

/* What people's files look like: Debian's redis.conf with the lines changed that it must change, a Helm
 * chart's and a short one. */
static void test_real_files(void) {
    static const char *const files[] = {
        "bind 127.0.0.1 -::1\nprotected-mode no\nport 6379\ntcp-backlog 511\ntimeout 0\ntcp-keepalive "
        "300\ndaemonize no\n"
        "pidfile \"\"\nloglevel notice\nlogfile \"\"\ndatabases 1\nalways-show-logo no\nset-proc-title yes\n"
        "proc-title-template \"{title} {listen-addr} {server-mode}\"\nstop-writes-on-bgsave-error yes\n"
        "rdbcompression yes\nrdbchecksum yes\ndbfilename dump.rdb\nrdb-del-sync-files no\ndir "
        "/var/lib/redis\n"
        "replica-serve-stale-data yes\nreplica-read-only yes\nrepl-diskless-sync "
        "yes\nrepl-diskless-sync-delay 5\n"
        "repl-diskless-sync-max-replicas 0\nrepl-diskless-load disabled\nrepl-disable-tcp-nodelay no\n"
        "replica-priority 100\nacllog-max-len 128\nlazyfree-lazy-eviction no\nlazyfree-lazy-expire no\n"
        "lazyfree-lazy-server-del no\nreplica-lazy-flush no\nlazyfree-lazy-user-del "
        "no\nlazyfree-lazy-user-flush no\n"
        "oom-score-adj no\noom-score-adj-values 0 200 800\ndisable-thp yes\nappendonly no\n"
        "appendfilename \"appendonly.aof\"\nappenddirname \"appendonlydir\"\nappendfsync everysec\n"
        "no-appendfsync-on-rewrite no\nauto-aof-rewrite-percentage 100\nauto-aof-rewrite-min-size 64mb\n"
        "aof-load-truncated yes\naof-use-rdb-preamble yes\naof-timestamp-enabled no\n "
        "\nslowlog-log-slower-than 10000\n"
        "slowlog-max-len 128\nlatency-monitor-threshold 0\nnotify-keyspace-events \"\"\n"
        "hash-max-listpack-entries 512\nhash-max-listpack-value 64\nlist-max-listpack-size "
        "-2\nlist-compress-depth 0\n"
        "set-max-intset-entries 512\nzset-max-listpack-entries 128\nzset-max-listpack-value 64\n"
        "hll-sparse-max-bytes 3000\nstream-node-max-bytes 4096\nstream-node-max-entries 100\nactiverehashing "
        "yes\n"
        "client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit replica 256mb 64mb 60\n"
        "client-output-buffer-limit pubsub 32mb 8mb 60\nhz 10\ndynamic-hz yes\naof-rewrite-incremental-fsync "
        "yes\n"
        "rdb-save-incremental-fsync yes\njemalloc-bg-thread yes\n",
        "# User-supplied common configuration:\nport 6379\nbind * -::*\nmaxmemory 200mb\nmaxmemory-policy "
        "allkeys-lru\n"
        "save \"\"\nappendonly no\ndir /data\nprotected-mode no\nmaxmemory-samples 10\n",
        "maxmemory 2mb0\n", /* the counter-example */
        "port 6379\nunixsocket /var/run/redis/redis.sock\nunixsocketperm 770\nmaxmemory 100mb\nsave "
        "''\nio-threads 1\n"
        "lazyfree-lazy-user-del yes\nrequirepass foobared\nmaxclients 1000\nlua-time-limit 5000\n"};
    for (size_t i = 0; i < COUNT(files); i++) {
        CHECK(load_text(files[i]) == (i == 2 ? CONFIG_BAD : CONFIG_OK));
        CHECK((error[0] == '\0') == (i != 2));
        CHECK_TEXT(config.notes, "");
        CHECK(i == 2 || config.port == 6379);
    }
    CHECK(config.unixsocketperm == 0770);
    CHECK(config.maxmemory_bytes == 100 * MB);
}

/* ---- the environment and the flags ---- */

static void test_environment(void) {
    CHECK(LOAD_ENVIRONMENT("SPONSON_MAXMEMORY=256mb", "SPONSON_MAX_VALUE_SIZE=1kb",
                           "SPONSON_BIND=10.0.0.1 ::1", "SPONSON_SAVE=", "PORT=1", "sponson_port=2",
                           "SPONSON_port=7002", "XSPONSON_PORT=3", "SPONSON_REQUIREPASS=p://q r", "noequals",
                           "SPONSON_", "", "HOME=/") == CONFIG_OK);
    CHECK(config.maxmemory_bytes == 256 * MB);
    CHECK(config.max_value_size_bytes == 1024);
    CHECK_TEXT(config.bind, "10.0.0.1 ::1");
    CHECK(config.port == 7002);
    CHECK_TEXT(config.requirepass, "p://q r"); /* never dropped, even if it looks like an address */
    CHECK_TEXT(config.notes, "");
    CHECK(LOAD_ENVIRONMENT("SPONSON_MAXMEMORY=12x") == CONFIG_BAD);
    HAS("SPONSON_MAXMEMORY: maxmemory: \"12x\" is not allowed; give bytes");
    CHECK(LOAD_ENVIRONMENT("SPONSON_PORT=") == CONFIG_BAD);
    HAS("SPONSON_PORT: port: \"\" is not allowed");
    CHECK(LOAD_ENVIRONMENT("SPONSON_APPENDONLY=yes") == CONFIG_BAD);
    HAS("SPONSON_APPENDONLY: appendonly: \"yes\" is not allowed; give no");
}

static void test_kubernetes_variables(void) {
    CHECK(LOAD_ENVIRONMENT("SPONSON_PORT=tcp://1.2.3.4:7171", "SPONSON_SERVICE_HOST=1.2.3.4",
                           "SPONSON_SERVICE_PORT=7171", "SPONSON_PORT_7171_TCP=tcp://1.2.3.4:7171",
                           "SPONSON_PORT_7171_TCP_PROTO=tcp", "SPONSON_TLS_SERVICE_HOST=1.2.3.4",
                           "SPONSON_MAXMEMROY=hidden", "SPONSON_\n\x01=hidden") == CONFIG_OK);
    CHECK(config.port == 7171);
    CHECK_TEXT(error, "");
    CHECK_TEXT(config.notes,
               "ignored environment variable SPONSON_PORT: its value is an address, as Kubernetes sets it\n"
               "ignored environment variable SPONSON_SERVICE_HOST: there is no such option\n"
               "ignored environment variable SPONSON_SERVICE_PORT: there is no such option\n"
               "ignored environment variable SPONSON_PORT_7171_TCP: there is no such option\n"
               "ignored environment variable SPONSON_PORT_7171_TCP_PROTO: there is no such option\n"
               "ignored environment variable SPONSON_TLS_SERVICE_HOST: there is no such option\n"
               "ignored environment variable SPONSON_MAXMEMROY: there is no such option; did you mean "
               "\"maxmemory\"?\n"
               "ignored environment variable SPONSON_??: there is no such option");
}

static void test_notes_never_overflow(void) {
    static char variables[300][300];
    char *environment[301] = {NULL};
    for (size_t i = 0; i < 300; i++) {
        snprintf(variables[i], sizeof variables[i], "SPONSON_%0*zu=x", (int)(i % 280), i);
        environment[i] = variables[i];
    }
    CHECK(load(NULL, environment) == CONFIG_OK);
    size_t n = strlen(config.notes);
    CHECK(n < sizeof config.notes && n > sizeof config.notes - 200);
    CHECK_TEXT(config.notes + n - 7, " option"); /* the last line is whole */
}

static void test_flags(void) {
    CHECK(LOAD("--maxmemory", "256mb", "--bind", "127.0.0.1", "-::1", "10.0.0.1", "--save", "", "--PORT",
               "7003") == CONFIG_OK);
    CHECK_TEXT(error, "");
    CHECK(config.maxmemory_bytes == 256 * MB);
    CHECK_TEXT(config.bind, "127.0.0.1 -::1 10.0.0.1");
    CHECK(config.port == 7003);
    CHECK(LOAD("--maxmemory=512mb", "--save=", "--requirepass=--a=b") == CONFIG_OK);
    CHECK(config.maxmemory_bytes == 512 * MB);
    CHECK_TEXT(config.requirepass, "--a=b");
    CHECK(LOAD("--unixsocket", "/tmp/a b") == CONFIG_OK);
    CHECK_TEXT(config.unixsocket, "/tmp/a b");
    CHECK(LOAD("--requirepass", "") == CONFIG_OK);
    CHECK(LOAD(NULL) == CONFIG_OK);
}

static void test_flag_errors(void) {
    static char many[5000];
    CHECK(LOAD("--maxmemory", "12x") == CONFIG_BAD);
    CHECK_TEXT(error,
               "maxmemory: \"12x\" is not allowed; give bytes between 8mb and 1tb, such as 256mb, or 0 for a "
               "default from the machine's memory");
    CHECK(LOAD("--maxmemory") == CONFIG_BAD);
    HAS("maxmemory: a value is missing; give bytes");
    CHECK(LOAD("--save", "--port", "1") == CONFIG_BAD);
    HAS("save: a value is missing");
    CHECK(LOAD("--port", "1", "2") == CONFIG_BAD);
    HAS("port: 2 values are not allowed");
    CHECK(LOAD("--port=1", "2") == CONFIG_BAD);
    HAS("port: 2 values are not allowed");
    CHECK(LOAD("--maxmemroy", "1gb") == CONFIG_BAD);
    HAS("unknown option \"maxmemroy\"; did you mean \"maxmemory\"?");
    CHECK(LOAD("--", "x") == CONFIG_BAD);
    HAS("unknown option \"\"");
    CHECK(LOAD("-p", "6379") == CONFIG_BAD);
    HAS("unknown argument \"-p\"");
    CHECK(LOAD("--port", "") == CONFIG_BAD);
    HAS("port: \"\" is not allowed");
    memset(many, 'x', sizeof many - 1);
    CHECK(LOAD("--dir", many) == CONFIG_OK);
    CHECK(LOAD("--dir", many, many) == CONFIG_BAD);
    HAS("dir: the value is too long; at most 8192 bytes");
    const char *path = put_file("ok.conf", "port 1\n", 7);
    CHECK(LOAD((char *)path, "stray") == CONFIG_BAD);
    HAS("unknown argument \"stray\"");
}

static void test_precedence(void) {
    char path[1024];
    char *environment[] = {"SPONSON_PORT=2", "SPONSON_TIMEOUT=2", NULL};
    snprintf(path, sizeof path, "%s", put_file("p.conf", "port 1\ntimeout 1\nthreads 1\n", 27));
    CHECK(load((char *[]){path, "--port", "3", NULL}, environment) == CONFIG_OK);
    CHECK(config.threads == 1);
    CHECK(config.timeout_s == 2);
    CHECK(config.port == 3);
    CHECK(LOAD("--port", "3", "--port", "4") == CONFIG_OK);
    CHECK(config.port == 4);
}

static void test_ping(void) {
    CHECK(LOAD("--ping") == CONFIG_PING);
    CHECK(LOAD("--ping", "--port", "9") == CONFIG_PING);
    CHECK(config.port == 9);
    CHECK(LOAD("--bind", "10.0.0.1", "--ping", "--port", "9") == CONFIG_PING);
    CHECK(config.port == 9);
    CHECK_TEXT(config.bind, "10.0.0.1");
    CHECK(LOAD("--ping", "--port", "x") == CONFIG_BAD);
    CHECK(LOAD("--ping", "now") == CONFIG_BAD);
    HAS("--ping takes no value");
}

/* Runs config_load() with stdout going to a file and reads that. */
static enum config_result load_printing(char **arguments, char *text, size_t size) {
    char path[1024];
    snprintf(path, sizeof path, "%s", put_file("out", "", 0));
    fflush(stdout);
    int kept = dup(1), out = open(path, O_WRONLY | O_TRUNC);
    dup2(out, 1);
    enum config_result result = load(arguments, NULL);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    close(out);
    FILE *file = fopen(path, "r");
    text[file ? fread(text, 1, size - 1, file) : 0] = '\0';
    if (file)
        fclose(file);
    return result;
}

static void test_help_and_version(void) {
    static char text[32768];
    static char *const versions[] = {"--version", "-v"}, *const helps[] = {"--help", "-h"};
    for (size_t i = 0; i < 2; i++) {
        CHECK(load_printing((char *[]){versions[i], NULL}, text, sizeof text) == CONFIG_EXIT);
        CHECK_TEXT(text, "sponson " SPONSON_VERSION "\n");
        CHECK(load_printing((char *[]){helps[i], NULL}, text, sizeof text) == CONFIG_EXIT);
        CHECK(strncmp(text, "usage: sponson [/path/to/sponson.conf] [--option value ...]\n", 60) == 0);
    }
    for (int i = 0; i < config_count(); i++)
        CHECK_HAS(text, config_name(i));
    CHECK_HAS(text, "--maxmemory BYTES");
    CHECK_HAS(text, "default: 7171");
    CHECK_HAS(text, "(default 0: a default from the machine's memory)");
    CHECK(!strstr(text, ",\n\n"));
    CHECK_HAS(text, "lazyfree-*");
    CHECK_HAS(text, "SPONSON_MAXMEMORY");
    CHECK(!strstr(text, "(null)"));
    CHECK(!strstr(text, "masterauth"));
    CHECK(load_printing((char *[]){"/nonexistent", "--bad", "--help", NULL}, text, sizeof text) ==
          CONFIG_EXIT);
}

/* ---- what depends on the machine ---- */

static void test_resolve_cgroup(void) {
    static const struct {
        uint64_t limit_mb, maxmemory_mb;
    } rows[] = {{32, 8}, {64, 40}, {96, 72}, {128, 96}, {256, 192}, {512, 384}, {1024, 768}, {65536, 49152}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        config_init(&config);
        CHECK(resolve(1 << 20, rows[i].limit_mb));
        CHECK_TEXT(error, "");
        CHECK(config.maxmemory_bytes == rows[i].maxmemory_mb * MB);
        CHECK(config.maxmemory_bytes + config.client_memory_bytes + PROCESS_OVERHEAD_BYTES <=
              rows[i].limit_mb * MB);
        CHECK_TEXT(config.notes, "");
    }
    CHECK_TEXT(config.maxmemory_source, "cgroup limit of 64 GB");
    config_init(&config);
    CHECK(resolve(24000, 512));
    CHECK_TEXT(config.maxmemory_source, "cgroup limit of 512 MB");
    config_init(&config);
    CHECK(!resolve(24000, 31));
    HAS("maxmemory: 0 is not allowed with a cgroup limit of 31 MB");
    HAS("between 8mb and 1tb");
    config_init(&config);
    CHECK(!resolve(24000, 4));
    config_init(&config);
    CHECK(set("client-memory", "400mb") && resolve(24000, 512));
    CHECK(config.maxmemory_bytes == 104 * MB);
    config_init(&config);
    CHECK(set("client-memory", "1mb") && resolve(24000, 17)); /* three quarters are more than what is left */
    CHECK(config.maxmemory_bytes == 8 * MB);
    config_init(&config);
    CHECK(set("client-memory", "600mb") && !resolve(24000, 512));
}

static void test_resolve_machine(void) {
    static const struct {
        uint64_t machine_mb, cgroup_mb, maxmemory_mb;
        const char *source;
    } rows[] = {{24000, 0, 6000, "machine of 23 GB"},
                {24000, 24000, 6000, "machine of 23 GB"}, /* a limit that is none */
                {24000, 32000, 6000, "machine of 23 GB"},
                {1001, 0, 250, "machine of 1001 MB"},
                {2048, 0, 512, "machine of 2 GB"},
                {0, 0, 256, "default, the machine's memory cannot be read"},
                {0, 512, 384, "cgroup limit of 512 MB"},
                {8 << 20, 0, 1 << 20, "machine of 8192 GB"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        config_init(&config);
        CHECK(resolve(rows[i].machine_mb, rows[i].cgroup_mb));
        CHECK(config.maxmemory_bytes == rows[i].maxmemory_mb * MB);
        CHECK_TEXT(config.maxmemory_source, rows[i].source);
    }
    config_init(&config);
    CHECK(!resolve(31, 0));
    HAS("maxmemory: 0 is not allowed with a machine of 31 MB");
}

static void test_resolve_dependents(void) {
    config_init(&config);
    CHECK(set("maxmemory", "8gb") && resolve(24000, 0));
    CHECK(config.threads == 3);
    CHECK_TEXT(config.maxmemory_source, "maxmemory");
    CHECK(config.client_memory_bytes == 512 * MB);
    CHECK(config.client_output_bytes == 32 * MB);
    CHECK(config.shard_capacity == 8 * GB / 64 / 32);
    CHECK(config.max_value_size_bytes == MB);
    CHECK_TEXT(config.value_size_note, "");
    config_init(&config);
    CHECK(set("maxmemory", "64mb") && set("threads", "7") && set("shard-capacity", "5") && resolve(24000, 0));
    CHECK(config.threads == 7);
    CHECK(config.shard_capacity == 5);
    CHECK(config.client_memory_bytes == 16 * MB);
    CHECK(config.client_output_bytes == 8 * MB);
    CHECK(config.max_value_size_bytes == 131072);
    CHECK_HAS(config.value_size_note, "512mb");
    config_init(&config);
    CHECK(set("maxmemory", "511mb") && resolve(24000, 0));
    CHECK(config.value_size_note[0] != '\0');
    config_init(&config);
    CHECK(set("maxmemory", "512mb") && resolve(24000, 0));
    CHECK(config.max_value_size_bytes == MB);
    CHECK_TEXT(config.value_size_note, "");
}

static void test_resolve_errors(void) {
    config_init(&config);
    CHECK(set("maxmemory", "256mb") && set("max-value-size", "2mb") && resolve(24000, 0));
    CHECK(config.max_value_size_bytes == 2 * MB);
    config_init(&config);
    CHECK(set("maxmemory", "256mb") && set("max-value-size", "2097153") && !resolve(24000, 0));
    CHECK_TEXT(
        error,
        "max-value-size: 2097153 is not allowed with maxmemory 256mb; give at most 2mb, or maxmemory 257mb "
        "or more");
    config_init(&config);
    CHECK(set("maxmemory", "256mb") && set("max-value-size", "64mb") && !resolve(24000, 0));
    CHECK_TEXT(
        error,
        "max-value-size: 64mb is not allowed with maxmemory 256mb; give at most 2mb, or maxmemory 8gb or "
        "more");
    config_init(&config);
    CHECK(set("port", "0") && !resolve(24000, 0));
    HAS("port: 0 without unixsocket");
    HAS("from 1 to 65535");
    CHECK(set("unixsocket", "/tmp/s") && resolve(24000, 0));
    config_init(&config);
    CHECK(set("client-memory", "1mb") && set("client-output-buffer-limit", "normal 2mb 0 0") &&
          !resolve(24000, 0));
    CHECK_TEXT(
        error,
        "client-output-buffer-limit: normal 2mb is not allowed; give at most client-memory, which is 1mb, "
        "or raise that");
}

static void test_resolve_notes(void) {
    config_init(&config);
    CHECK(set("maxmemory", "488mb") && resolve(24000, 512)); /* 488 + 30 of clients + 8 */
    CHECK_HAS(config.notes, "maxmemory 488mb risks an OOM kill");
    CHECK_HAS(config.notes, "the cgroup limit of 512mb");
    CHECK_HAS(config.notes, "at most 474mb fits");
    config_init(&config);
    CHECK(set("maxmemory", "474mb") && resolve(24000, 512));
    CHECK_TEXT(config.notes, "");
    config_init(&config);
    CHECK(set("maxmemory", "475mb") && resolve(24000, 512));
    CHECK(config.notes[0] != '\0');
    config_init(&config);
    CHECK(set("maxmemory", "2gb") && resolve(1024, 0));
    CHECK_HAS(config.notes, "the machine's memory of 1gb");
    config_init(&config);
    CHECK(set("maxmemory", "2gb") && resolve(0, 0));
    CHECK_TEXT(config.notes, "");
}

/* ---- CONFIG GET ---- */

static void test_values(void) {
    config_init(&config);
    CHECK(set("maxmemory", "256mb") && set("max-key-size", "1kb") && set("unixsocketperm", "0770"));
    CHECK_TEXT(value_of("maxmemory"), "268435456");
    CHECK_TEXT(value_of("max-key-size"), "1024");
    CHECK_TEXT(value_of("unixsocketperm"), "770");
    CHECK_TEXT(value_of("timeout"), "0");
    CHECK_TEXT(value_of("tcp-keepalive"), "300");
    CHECK_TEXT(value_of("bind"), "127.0.0.1 -::1");
    CHECK_TEXT(value_of("save"), "");
    CHECK_TEXT(value_of("appendonly"), "no");
    CHECK_TEXT(value_of("maxmemory-policy"), "allkeys-lru");
    CHECK_TEXT(value_of("databases"), "1");
    CHECK(find("masterauth") < 0);
    char small[4];
    CHECK(config_value(&config, find("maxmemory"), small, sizeof small) == 3);
    CHECK_TEXT(small, "268");
    CHECK(config_value(&config, find("maxmemory"), small, 0) == 0);
}

/* What CONFIG GET shows can be set again and then shows the same. */
static void test_values_can_be_set_again(void) {
    static struct config again;
    config_init(&config);
    CHECK(set("unixsocket", "/tmp/a b") && set("loglevel", "debug") && resolve(24000, 512));
    config_init(&again);
    for (int i = 0; i < config_count(); i++) {
        char text[CONFIG_TEXT_MAX], text_again[CONFIG_TEXT_MAX];
        config_value(&config, i, text, sizeof text);
        if (!config_set(&again, config_name(i), text, error, sizeof error))
            printf("# %s\n", error);
        CHECK(error[0] == '\0');
        config_value(&again, i, text_again, sizeof text_again);
        CHECK_TEXT(text_again, text);
    }
}

/* ---- noise ---- */

static uint64_t noise_state = 88172645463325252u;

static uint64_t noise(void) {
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return noise_state;
}

/* Bytes that are more likely to be of interest to a parser than others. */
static char noise_byte(void) {
    static const char likely[] = "\"\"''\\\\x  \t\n\n\r#=-01289kmgbnort";
    return noise() % 3 ? likely[noise() % (sizeof likely - 1)] : (char)noise();
}

/* Always in an exact-size block, for the address sanitizer. */
static char *noise_text(size_t n) {
    char *text = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        text[i] = noise_byte();
    text[n] = '\0';
    return text;
}

static void check_whole(void) {
    CHECK(config.port >= 0 && config.port <= 65535);
    CHECK(config.maxmemory_bytes == 0 || config.maxmemory_bytes >= MAXMEMORY_MIN);
    CHECK(memchr(config.requirepass, '\0', sizeof config.requirepass) != NULL);
    CHECK(memchr(config.notes, '\0', sizeof config.notes) != NULL);
    CHECK(memchr(error, '\0', sizeof error) != NULL && !strchr(error, '\n'));
}

static void test_noise_files(void) {
    for (int i = 0; i < 3000; i++) {
        size_t n = noise() % (i % 100 ? 200 : 20000), at = 0;
        char *text = noise_text(n);
        if (i % 2) /* get past the name */
            at = (size_t)snprintf(text, n + 1, "%s ", config_name((int)(noise() % (size_t)config_count())));
        if (i % 2 && at < n)
            text[at] = noise_byte();
        enum config_result result = load_bytes(text, n);
        CHECK(result == CONFIG_OK || result == CONFIG_BAD);
        CHECK((result == CONFIG_BAD) == (error[0] != '\0'));
        check_whole();
        free(text);
    }
}

static void test_noise_settings(void) {
    config_init(&config);
    for (int i = 0; i < 20000; i++) {
        char *value = noise_text(noise() % (i % 50 ? 12 : 3000)), *name = noise_text(noise() % 80);
        const char *known = config_name((int)(noise() % (size_t)config_count()));
        bool ok = set(i % 2 ? known : name, value);
        CHECK(ok == (error[0] == '\0'));
        check_whole();
        free(value);
        free(name);
    }
}

static void test_noise_flags(void) {
    for (int i = 0; i < 3000; i++) {
        char *a = noise_text(noise() % 20), *b = noise_text(noise() % (i % 20 ? 20 : 9000)),
             *c = noise_text(noise() % 20);
        char flag[64], variable[64];
        snprintf(flag, sizeof flag, "--%s", i % 2 ? a : config_name((int)(noise() % (size_t)config_count())));
        snprintf(variable, sizeof variable, "SPONSON_%s", c);
        enum config_result result = load((char *[]){flag, b, c, NULL}, (char *[]){variable, b, NULL});
        CHECK((result == CONFIG_BAD) == (error[0] != '\0'));
        check_whole();
        free(a);
        free(b);
        free(c);
    }
}

static void test_small_error_buffers(void) {
    char small[8];
    config_init(&config);
    CHECK(!config_set(&config, "port", "x", small, sizeof small));
    CHECK_TEXT(small, "port: \"");
    CHECK(!config_set(&config, "port", "x", small, 1));
    CHECK_TEXT(small, "");
}

/* ---- the machine ---- */

struct tree_file {
    const char *path, *text;
};

/* Makes a tree of files in a directory of its own and reads the machine that it shows. */
static void read_tree(struct host *h, const struct tree_file *files) {
    static int trees;
    char name[512], root[512];
    trees++;
    for (; files->path; files++) {
        snprintf(name, sizeof name, "tree%d/%s", trees, files->path);
        put_file(name, files->text, strlen(files->text));
    }
    snprintf(root, sizeof root, "%s/tree%d", directory, trees);
    host_read(h, root);
}

#define TREE(h, ...) read_tree((h), (const struct tree_file[]){__VA_ARGS__, {NULL, NULL}})
#define V1 "sys/fs/cgroup/memory/"
#define V2 "sys/fs/cgroup/"

static void test_host_bare(void) {
    struct host h;
    cpu_set_t set;
    TREE(&h, {"proc/meminfo", "MemTotal:       24684096 kB\nMemFree:  1 kB\n"});
    CHECK(h.memory_bytes == 24684096ull * 1024);
    CHECK(h.cgroup_memory_bytes == 0);
    CHECK(h.cgroup_cpus == 0);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        CHECK(h.cpus == CPU_COUNT(&set));
    CHECK(host_usable_cpus(&h) == h.cpus);
    host_read(&h, "/nonexistent");
    CHECK(h.memory_bytes == 0 && h.cgroup_memory_bytes == 0 && h.cpus >= 1 && h.cgroup_cpus == 0);
    TREE(&h, {"proc/meminfo", "garbage\n"},
         {"proc/self/cgroup", "garbage\n:\n::\n0::\n1:memory\n0::relative\n"});
    CHECK(h.memory_bytes == 0 && h.cgroup_memory_bytes == 0);
}

static void test_host_usable_cpus(void) {
    CHECK(host_usable_cpus(&(struct host){.cpus = 4, .cgroup_cpus = 0}) == 4);
    CHECK(host_usable_cpus(&(struct host){.cpus = 4, .cgroup_cpus = 2}) == 2);
    CHECK(host_usable_cpus(&(struct host){.cpus = 2, .cgroup_cpus = 4}) == 2);
    CHECK(host_usable_cpus(&(struct host){0}) == 1);
}

static void test_host_v1(void) {
    struct host h;
    TREE(&h, {"proc/self/cgroup", "9:name=systemd:/x\n5:cpu,cpuacct:/pod/app\n4:memory:/pod/app\n0::/\n"},
         {V1 "pod/app/memory.limit_in_bytes", "536870912\n"},
         {V1 "pod/memory.limit_in_bytes", "1073741824\n"},
         {V1 "memory.limit_in_bytes", "9223372036854771712\n"},
         {"sys/fs/cgroup/cpu/pod/app/cpu.cfs_quota_us", "150000\n"},
         {"sys/fs/cgroup/cpu/pod/app/cpu.cfs_period_us", "100000\n"},
         {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"}, {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"});
    CHECK(h.cgroup_memory_bytes == 512 * MB);
    CHECK(h.cgroup_cpus == 2);
}

static void test_host_v1_joint_mount(void) {
    struct host h;
    TREE(&h, {"proc/self/cgroup", "5:cpu,cpuacct:/app\n3:cpuset:/app\n"},
         {"sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "50000\n"},
         {"sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n"});
    CHECK(h.cgroup_cpus == 1);
    TREE(&h, {"proc/self/cgroup", "5:cpuacct,cpu:/app\n"},
         {"sys/fs/cgroup/cpuacct,cpu/app/cpu.cfs_quota_us", "300000\n"},
         {"sys/fs/cgroup/cpuacct,cpu/app/cpu.cfs_period_us", "100000\n"});
    CHECK(h.cgroup_cpus == 3);
    /* cpuset and cpuacct are no cpu */
    TREE(&h, {"proc/self/cgroup", "5:cpuacct:/app\n6:cpuset:/app\n"},
         {"sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "300000\n"},
         {"sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n"});
    CHECK(h.cgroup_cpus == 0);
}

static void test_host_v2(void) {
    struct host h;
    TREE(&h, {"proc/self/cgroup", "0::/a/b/c\n"}, {V2 "a/b/c/memory.max", "max\n"},
         {V2 "a/b/memory.max", "268435456\n"}, {V2 "a/memory.max", "536870912\n"},
         {V2 "a/b/c/cpu.max", "max 100000\n"}, {V2 "a/b/cpu.max", "400000 100000\n"},
         {V2 "a/cpu.max", "250001 50000\n"}, {V2 "memory.max", "268435457\n"});
    CHECK(h.cgroup_memory_bytes == 256 * MB); /* the least stands in the middle */
    CHECK(h.cgroup_cpus == 4);
    TREE(&h, {"proc/self/cgroup", "0::/\n"}, {V2 "memory.max", "1000000\n"},
         {V2 "cpu.max", "10000 100000\n"});
    CHECK(h.cgroup_memory_bytes == 1000000);
    CHECK(h.cgroup_cpus == 1);
}

static void test_host_no_limits(void) {
    static const char *const none[] = {"max\n",
                                       "-1\n",
                                       "9223372036854771712\n",
                                       "1152921504606846976\n",
                                       "18446744073709551615\n",
                                       "99999999999999999999999\n",
                                       "",
                                       "garbage\n",
                                       "\n"};
    struct host h;
    for (size_t i = 0; i < COUNT(none); i++) {
        TREE(&h, {"proc/self/cgroup", "4:memory:/a\n0::/a\n"}, {V1 "a/memory.limit_in_bytes", none[i]},
             {V2 "a/memory.max", none[i]}, {V2 "a/cpu.max", none[i]});
        CHECK(h.cgroup_memory_bytes == 0);
        CHECK(h.cgroup_cpus == 0);
    }
    TREE(&h, {"proc/self/cgroup", "0::/a\n"}, {V2 "a/memory.max", "1152921504606846975\n"},
         {V2 "a/cpu.max", "100000 0\n"});
    CHECK(h.cgroup_memory_bytes == 1152921504606846975u);
    CHECK(h.cgroup_cpus == 0);
}

static void test_host_hybrid(void) {
    struct host h;
    TREE(&h, {"proc/self/cgroup", "4:memory:/a\n0::/b\n"}, {V1 "a/memory.limit_in_bytes", "1073741824\n"},
         {V2 "unified/b/memory.max", "536870912\n"}, {V2 "unified/cpu.max", "150000 100000\n"});
    CHECK(h.cgroup_memory_bytes == 512 * MB);
    CHECK(h.cgroup_cpus == 2);
}

/* In a container the path is the host's and does not exist; the mount's top is the container's own group. */
static void test_host_container(void) {
    struct host h;
    TREE(&h, {"proc/self/cgroup", "4:memory:/docker/0123\n5:cpu:/docker/0123\n"},
         {V1 "memory.limit_in_bytes", "268435456\n"}, {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n"},
         {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"});
    CHECK(h.cgroup_memory_bytes == 256 * MB);
    CHECK(h.cgroup_cpus == 1);
    TREE(&h, {"proc/self/cgroup", "0::/kubepods/pod1/c2"}, {V2 "memory.max", "134217728\n"});
    CHECK(h.cgroup_memory_bytes == 128 * MB);
    /* outside of our namespace: the top only, never above it */
    TREE(&h, {"proc/self/cgroup", "0::/../other\n"}, {V2 "memory.max", "134217728\n"},
         {"sys/fs/other/memory.max", "1000\n"});
    CHECK(h.cgroup_memory_bytes == 128 * MB);
    TREE(&h, {"proc/self/cgroup", "0::/a:b/c\n"}, {V2 "a:b/c/memory.max", "1000\n"});
    CHECK(h.cgroup_memory_bytes == 1000);
}

static void test_host_long_path(void) {
    static const size_t lengths[] = {300, 4000, 4096, 5000, 20000};
    static char line[20000];
    struct host h;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        memset(line, 'a', lengths[i] - 1);
        memcpy(line, "0::/", 4);
        line[lengths[i] - 1] = '\0';
        TREE(&h, {"proc/self/cgroup", line}, {V2 "memory.max", "1000\n"});
        CHECK(h.cgroup_memory_bytes == 1000);
    }
}

static void test_host_real(void) {
    struct host h;
    host_read(&h, "");
    CHECK(h.memory_bytes > MB);
    CHECK(h.cpus >= 1);
}

/* ---- the log ---- */

/* Reads what was written to a pipe's end after one call of log_line(). */
static size_t read_pipe(int fd, char *text, size_t size) {
    ssize_t n = read(fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void test_log(void) {
    static const char *const words[] = {" debug ", " verbose ", " notice ", " warning "};
    static char text[4096], longest[3000];
    int ends[2];
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    struct log log = {ends[1], LOG_LEVEL_DEBUG};
    for (int level = 0; level < 4; level++) {
        log_line(&log, (enum log_level)level, "%d of %s", 7, "9");
        size_t n = read_pipe(ends[0], text, sizeof text);
        CHECK(n == 24 + strlen(words[level]) + strlen("7 of 9\n"));
        CHECK(strspn(text, "0123456789-T:.Z") == 24 && text[10] == 'T' && text[19] == '.' && text[23] == 'Z');
        CHECK_HAS(text, words[level]);
        CHECK_TEXT(text + n - 7, "7 of 9\n");
    }
    log.level = LOG_LEVEL_NOTICE;
    log_line(&log, LOG_LEVEL_VERBOSE, "unseen");
    CHECK(read_pipe(ends[0], text, sizeof text) == 0);
    log_line(&log, LOG_LEVEL_NOTICE, "a\nb\x1b\tc");
    read_pipe(ends[0], text, sizeof text);
    CHECK_HAS(text, " a?b??c\n");
    memset(longest, 'x', sizeof longest - 1);
    errno = EXDEV;
    log_line(&log, LOG_LEVEL_WARNING, "%s", longest);
    CHECK(errno == EXDEV);
    CHECK(read_pipe(ends[0], text, sizeof text) == 24 + 9 + 1000 + 1);
    CHECK(text[24 + 9 + 1000] == '\n');
    close(ends[0]);
    close(ends[1]);
    log_line(&log, LOG_LEVEL_WARNING, "into a closed descriptor");
    CHECK(errno == EXDEV);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    (void)status, (void)type, (void)where;
    return remove(path);
}

int main(void) {
    static const struct tap_test tests[] = {
        {"defaults", test_defaults},
        {"units of bytes", test_units},
        {"bounds of every option, and what an error names", test_bounds},
        {"numbers are digits only", test_numbers_are_strict},
        {"sentences, to the letter", test_exact_sentence},
        {"log levels", test_levels},
        {"texts are taken or refused, never cut", test_texts_are_never_cut},
        {"passwords are never shown", test_passwords_stay_secret},
        {"addresses are words", test_bind_words},
        {"client-output-buffer-limit", test_output_limit},
        {"options with one true value", test_fixed_options},
        {"options without effect", test_options_without_effect},
        {"options that are refused", test_refused_options},
        {"unknown options and their nearest", test_unknown_options},
        {"file: comments, quotes, escapes", test_file_syntax},
        {"file: errors name file and line", test_file_errors},
        {"file: long lines and NULs", test_long_lines},
        {"file: as people have them", test_real_files},
        {"environment", test_environment},
        {"environment: Kubernetes", test_kubernetes_variables},
        {"notes never overflow", test_notes_never_overflow},
        {"flags", test_flags},
        {"flags: errors", test_flag_errors},
        {"flags win over environment over file", test_precedence},
        {"--ping", test_ping},
        {"--help and --version", test_help_and_version},
        {"resolve: share of a cgroup", test_resolve_cgroup},
        {"resolve: share of a machine", test_resolve_machine},
        {"resolve: what follows from maxmemory", test_resolve_dependents},
        {"resolve: errors", test_resolve_errors},
        {"resolve: notes on too much memory", test_resolve_notes},
        {"values as CONFIG GET shows them", test_values},
        {"values can be set again", test_values_can_be_set_again},
        {"noise: files", test_noise_files},
        {"noise: settings", test_noise_settings},
        {"noise: flags and variables", test_noise_flags},
        {"small error buffers", test_small_error_buffers},
        {"host: no groups", test_host_bare},
        {"host: usable CPUs", test_host_usable_cpus},
        {"host: v1", test_host_v1},
        {"host: v1, controllers mounted together", test_host_v1_joint_mount},
        {"host: v2, the least in the middle", test_host_v2},
        {"host: what means no limit", test_host_no_limits},
        {"host: v1 and v2 at once", test_host_hybrid},
        {"host: inside a container", test_host_container},
        {"host: a path too long to open", test_host_long_path},
        {"host: this machine", test_host_real},
        {"log", test_log},
    };
    if (!mkdtemp(directory)) {
        printf("Bail out! mkdtemp: %s\n", strerror(errno));
        return 1;
    }
    int failed = tap_main(tests, COUNT(tests));
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
