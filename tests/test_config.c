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
#define COUNT(array) (sizeof(array) / sizeof *(array))
/* Shows the whole text when a part of it is missing. */
#define CHECK_HAS(text, part)                                                                                          \
    do {                                                                                                               \
        const char *text_ = (text), *part_ = (part);                                                                   \
        if (!strstr(text_, part_)) {                                                                                   \
            printf("# %s:%d: no \"%s\" in \"%s\"\n", __FILE__, __LINE__, part_, text_);                                \
            tap_failures++;                                                                                            \
        }                                                                                                              \
    } while (0)

static char directory[] = "/tmp/test_config.XXXXXX";
static struct config config;
static char error[CONFIG_ERROR_MAX];

/* ---- helpers ---- */

/* Writes a file below the test's directory and returns its path, which is valid until the next call. */
static char *put_file(const char *name, const char *text, size_t n) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    if (!file || fwrite(text, 1, n, file) != n || fclose(file) != 0) {
        printf("Bail out! cannot write %s\n", path);
        exit(1);
    }
    return path;
}

/* One option, as a flag sets it. */
static bool set_in(struct config *c, const char *name, const char *value, char *sentence, size_t size) {
    char flag[10000];
    snprintf(flag, sizeof flag, "--%s=%s", name, value);
    return config_load(c, 2, (char *[]){"sponson", flag, NULL}, (char *[]){NULL}, false, sentence, size) == CONFIG_OK;
}

static bool set(const char *name, const char *value) {
    error[0] = '\0';
    return set_in(&config, name, value, error, sizeof error);
}

/* Sets options to the values behind their names, all from the defaults; NULL last. */
static void start_with(const char *const *pairs) {
    config_init(&config);
    for (; *pairs; pairs += 2)
        if (!set(pairs[0], pairs[1])) CHECK_TEXT(error, "");
}

#define START(...) start_with((const char *const[]){__VA_ARGS__, NULL})

/* Loads with arguments behind argv[0] and an environment, NULL last. */
static enum config_result load(char **arguments, char **environment) {
    char *argv[32] = {"sponson"};
    int argc = 1;
    for (; arguments[argc - 1]; argc++)
        argv[argc] = arguments[argc - 1];
    config_init(&config);
    error[0] = '\0';
    return config_load(&config, argc, argv, environment, false, error, sizeof error);
}

static enum config_result load_file(const char *text, size_t n) {
    return load((char *[]){put_file("t.conf", text, n), NULL}, (char *[]){NULL});
}

enum source { A_FILE, VARIABLES, FLAGS };

/* Loads from one source; variables and the words of flags stand apart by '|'. */
static enum config_result load_from(enum source source, const char *text) {
    char copy[1024], *words[32], *rest = copy, *none[] = {NULL};
    size_t n = 0;
    if (source == A_FILE) return load_file(text, strlen(text));
    snprintf(copy, sizeof copy, "%s", text);
    while (rest)
        words[n++] = strsep(&rest, "|");
    words[n] = NULL;
    return source == FLAGS ? load(words, none) : load(none, words);
}

static int config_count(void) {
    int n = 0;
    while (config_name(n))
        n++;
    return n;
}

static const char *value_of(const char *name) {
    static char text[CONFIG_TEXT_MAX + 64];
    for (int i = 0; config_name(i); i++)
        if (strcmp(config_name(i), name) == 0) {
            CHECK(config_value(&config, i, false, text, sizeof text) == strlen(text));
            return text;
        }
    return "(no such option)";
}

/* ---- options and their values ---- */

/* clang-format off */
static void test_defaults(void) {
    static const char *const rows[][2] = {
        {"bind", "127.0.0.1 -::1"}, {"port", "7171"}, {"unixsocket", ""}, {"unixsocketperm", "0"}, {"threads", "0"},
        {"maxclients", "10000"}, {"timeout", "0"}, {"tcp-keepalive", "300"}, {"tcp-backlog", "511"}, {"maxmemory", "0"},
        {"shard-capacity", "0"}, {"max-key-size", "1024"}, {"max-value-size", "0"}, {"client-memory", "0"},
        {"client-output-buffer-limit", "normal 0 0 0"}, {"requirepass", ""}, {"shutdown-timeout", "5"}, {"loglevel", "notice"}, {"slowlog-log-slower-than", "10000"}, {"slowlog-max-len", "128"},
        {"log-format", "text"}, {"admin-port", "0"}, {"admin-bind", "127.0.0.1"}, {"supervised", "no"},
        {"save", ""}, {"maxmemory-policy", "allkeys-lru"}, {"masterauth", "(no such option)"}, {"hz", "(no such option)"}};
    config_init(&config);
    for (size_t i = 0; i < COUNT(rows); i++)
        CHECK_TEXT(value_of(rows[i][0]), rows[i][1]);
    CHECK_TEXT(config.bind, "127.0.0.1 -::1");
    CHECK(config.port == 7171 && config.max_key_size_bytes == 1024 && config.loglevel == LOG_LEVEL_NOTICE && !config.notes[0]);
}

static void test_units(void) {
    static const struct { const char *text; uint64_t bytes; } good[] = {
        {"0", 0}, {"8388608", 8388608}, {"8388608b", 8388608}, {"00009000000", 9000000}, {"9000k", 9000000}, {"9000K", 9000000},
        {"9000kb", 9216000}, {"9000kB", 9216000}, {"256m", 256000000}, {"256mb", 268435456}, {"256Mb", 268435456},
        {"2g", 2000000000}, {"2GB", 2147483648}, {"1t", 1000000000000}, {"1tb", 1099511627776}, {"1024gb", 1099511627776}};
    static const char *const bad[] = {
        "", " ", "x", "12x", "256mib", "256 mb", " 256mb", "256mb ", "-1", "+256mb", "1.5gb", "0x100000", "mb", "256mbb", "256bb", "1e9",
        "1", "8388607", "2tb", "1025gb", "1099511627777", "1%", "256bm", "infinity", "18446744073709551616", "18446744073709551615",
        "99999999999999999999999gb", "17179869185gb", "18014398509481985kb"};
    config_init(&config);
    for (size_t i = 0; i < COUNT(good); i++) {
        config.maxmemory_bytes = 77;
        CHECK(set("maxmemory", good[i].text) && config.maxmemory_bytes == good[i].bytes);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        char quoted[64];
        config.maxmemory_bytes = 77;
        CHECK(!set("maxmemory", bad[i]) && config.maxmemory_bytes == 77);
        snprintf(quoted, sizeof quoted, "maxmemory: \"%s\" is not allowed; give ", bad[i]);
        CHECK_HAS(error, quoted);
    }
}

/* Every option's bounds, two values that are refused, and the whole sentence about them. */
static void test_bounds(void) {
    static const struct { const char *name, *low, *high, *bad, *worse, *allowed; } rows[] = {
        {"bind", "::1", "* -::*", "", "a\nb", "addresses apart by spaces, 1 to 1023 bytes"},
        {"port", "1", "65535", "-1", "65536", "a whole number from 1 to 65535, or 0 for no TCP"},
        {"unixsocket", "", "/tmp/a b", "/tmp/a\n", "/tmp/a\r", "one line of 0 to 107 bytes"},
        {"unixsocketperm", "1", "0777", "8", "1000", "octal mode bits from 1 to 777, or 0 for what the umask leaves"},
        {"threads", "1", "256", " 1", "257", "a whole number from 1 to 256, or 0 for the CPUs this process may use"},
        {"maxclients", "1", "1000000", "0", "1k", "a whole number from 1 to 1000000"},
        {"timeout", "1", "2147483", "1.0", "2147484", "1 to 2147483 seconds, or 0 for never"},
        {"tcp-keepalive", "1", "32767", "", "18446744073709551617", "1 to 32767 seconds, or 0 for no probes"},
        {"tcp-backlog", "1", "65535", "0", "4294967297", "a whole number from 1 to 65535"},
        {"maxmemory", "8mb", "1tb", "8388607", "12x", "bytes from 8mb to 1tb, or 0 for a share of the machine's memory"},
        {"shard-capacity", "1", "2147483647", "+1", "2147483648", "a whole number from 1 to 2147483647, or 0 for what fits maxmemory"},
        {"max-key-size", "1", "4095", "0", "4kb", "bytes from 1 to 4095"},
        {"max-value-size", "1", "536870911", "-1", "512mb", "bytes from 1 to 536870911, or 0 for the lesser of 1mb and an eighth of a shard"},
        {"client-memory", "1mb", "1tb", "1m", "1025gb", "bytes from 1mb to 1tb, or 0 for a sixteenth of maxmemory and at least 16mb"},
        {"client-output-buffer-limit", "normal 1 0 0", "normal 1tb 0 0", "normal -1 0 0", "normal 2tb 0 0",
         "normal BYTES 0 0 with BYTES from 1 to 1tb, or normal 0 0 0 for the lesser of 32mb and half of client-memory"},
        {"shutdown-timeout", "0", "3600", "-1", "3601", "0 to 3600 seconds"},
        {"loglevel", "Debug", "warning", "", "loud", "debug, verbose, notice or warning"},
        {"save", "", "", "900 1", "no", "\"\": nothing is written to disk"},
        {"appendonly", "no", "NO", "yes", "", "no: nothing is written to disk"},
        {"maxmemory-policy", "allkeys-lru", "allkeys-lru", "noeviction", "", "allkeys-lru: the least recently used go first, with a TTL or without"},
        {"databases", "1", "16", "0", "17", "a whole number from 1 to 16"},
        {"daemonize", "no", "no", "yes", "", "no: let a service manager or container run it"},
        {"supervised", "auto", "systemd", "upstart", "", "no, auto or systemd"},
        {"log-format", "TEXT", "json", "xml", "", "text or json"},
        {"slowlog-log-slower-than", "-1", "2147483647", "-2", "2147483648", "a whole number from -1 to 2147483647"},
        {"slowlog-max-len", "0", "1024", "-1", "1025", "a whole number from 0 to 1024"},
        {"admin-port", "1", "65535", "-1", "65536", "a whole number from 1 to 65535, or 0 for no such endpoint"},
        {"admin-bind", "::1", "* -::*", "", "a\nb", "addresses apart by spaces, 1 to 1023 bytes"},
        {"logfile", "", "", "/var/log/redis.log", " ", "\"\": the log goes to stderr, redirect that"},
        {"protected-mode", "no", "YES", "1", "", "yes or no"},
        {"authentication-timeout", "1", "2147483", "-1", "2147484", "1 to 2147483 seconds, or 0 for never"},
        {"io-threads", "1", "1", "4", "", "1: use threads"},
        {"cluster-enabled", "no", "no", "yes", "", "no: use a proxy or a client that shards"},
        {"notify-keyspace-events", "", "", "Ex", " ", "\"\": there are no keyspace events"},
        {"latency-monitor-threshold", "0", "0", "100", "", "0: there is no latency monitor"},
        {"oom-score-adj", "no", "no", "yes", "", "no: let a service manager set it"}};
    CHECK(COUNT(rows) == (size_t)config_count() - 2); /* requirepass and its file have tests of their own */
    for (size_t i = 0; i < COUNT(rows); i++) {
        START(rows[i].name, rows[i].low, rows[i].name, rows[i].high);
        struct config before = config;
        for (int k = 0; k < 2; k++) {
            char want[256], *shown = want + strlen(rows[i].name) + strlen(": \"");
            const char *bad = k ? rows[i].worse : rows[i].bad;
            CHECK(!set(rows[i].name, bad));
            snprintf(want, sizeof want, "%s: \"%s\" is not allowed; give %s", rows[i].name, bad, rows[i].allowed);
            for (; *shown; shown++)
                *shown = *shown < ' ' ? '?' : *shown;
            CHECK_TEXT(error, want);
            CHECK(memcmp(&before, &config, sizeof config) == 0);
        }
    }
    START("port", "0", "threads", "0", "unixsocketperm", "0770");
    CHECK(config.port == 0 && config.threads == 0 && config.unixsocketperm == 0770);
}

static void test_texts_are_never_cut(void) {
    static char text[9000];
    memset(text, 'a', sizeof text - 1);
    text[CONFIG_TEXT_MAX] = '\0';
    config_init(&config);
    CHECK(!set("bind", text) && strstr(error, "aaa...\" is not allowed; give addresses"));
    memcpy(text, "s3cret", 6);
    CHECK(!set("requirepass", text));
    CHECK_TEXT(error, "requirepass: the value (not shown) is not allowed; give one line of 0 to 1023 bytes");
    text[CONFIG_TEXT_MAX - 1] = '\0';
    START("requirepass", text, "bind", text);
    CHECK_TEXT(config.requirepass, text);
    CHECK_TEXT(value_of("requirepass"), "********");
    CHECK_TEXT(value_of("bind"), text);
    text[108] = '\0'; /* a socket's path and its terminator have 108 bytes */
    CHECK(!set("unixsocket", text));
    text[107] = '\0';
    CHECK(set("unixsocket", text));
    CHECK_TEXT(config.unixsocket, text);
    CHECK(load_file("port 1\nbind a\0b\n", 16) == CONFIG_BAD);
    CHECK_HAS(error, "t.conf line 2: NUL bytes are not allowed");
    memset(text, '9', sizeof text - 1);
    memcpy(text, "--requirepass=s3cret", 20);
    CHECK(load((char *[]){text, NULL}, (char *[]){NULL}) == CONFIG_BAD);
    CHECK_TEXT(error, "requirepass: over 8192 bytes are not allowed");
    memcpy(text, "maxmemory 9", 11);
    CHECK(load_from(A_FILE, text) == CONFIG_BAD);
    CHECK_HAS(error, "999...\" is not allowed; give bytes from 8mb to 1tb");
}

/* ---- file, environment and flags ---- */

/* What is taken, and what CONFIG GET then shows of one option ("requirepass" as it is). */
static void test_good_input(void) {
    static const struct { enum source source; const char *text, *option, *value; } rows[] = {
        {A_FILE, "", "port", "7171"},
        {A_FILE, "# a comment\n\n   \t \r\n  # another\n\tPORT   7000  \r\n", "port", "7000"},
        {A_FILE, "bind\t10.0.0.1    -::1  \n", "bind", "10.0.0.1 -::1"},
        {A_FILE, "unixsocket '/tmp/it\\'s \\n here'\nlogfile ''\nsave \"\"\n", "unixsocket", "/tmp/it's \\n here"},
        {A_FILE, "requirepass \"a\\t\\b\\a\\x41\\x4a\\xfF\\\"\\\\ b\\q\\xZ\"", "requirepass", "a\t\b\aAJ\xff\"\\ bqxZ"},
        {A_FILE, "client-output-buffer-limit normal 4mb 0 0\nclient-output-buffer-limit PUBSUB 32mb 8mb 60\n",
         "client-output-buffer-limit", "normal 4194304 0 0"},
        {VARIABLES, "SPONSON_MAX_VALUE_SIZE=1kb|SPONSON_SAVE=", "max-value-size", "1024"},
        {VARIABLES, "PORT=1|sponson_port=2|SPONSON_port=7002|XSPONSON_PORT=3|noequals|SPONSON_||HOME=/", "port", "7002"},
        {VARIABLES, "SPONSON_BIND=10.0.0.1 ::1", "bind", "10.0.0.1 ::1"},
        {VARIABLES, "SPONSON_REQUIREPASS=p://q r", "requirepass", "p://q r"}, /* never dropped, though it looks like an address */
        {FLAGS, "--maxmemory|256mb|--PORT|7003", "port", "7003"},
        {FLAGS, "--bind|127.0.0.1|-::1|10.0.0.1|--save|", "bind", "127.0.0.1 -::1 10.0.0.1"},
        {FLAGS, "--maxmemory=512mb|--save=", "maxmemory", "536870912"},
        {FLAGS, "--requirepass=--a=b", "requirepass", "--a=b"},
        {FLAGS, "--unixsocket|/tmp/a b|--requirepass|", "unixsocket", "/tmp/a b"},
        {FLAGS, "--client-output-buffer-limit|normal|6mb|0|0", "client-output-buffer-limit", "normal 6291456 0 0"},
        {FLAGS, "--port|3|--port|4", "port", "4"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK(load_from(rows[i].source, rows[i].text) == CONFIG_OK);
        CHECK_TEXT(error, "");
        CHECK_TEXT(config.notes, "");
        CHECK_TEXT(strcmp(rows[i].option, "requirepass") ? value_of(rows[i].option) : config.requirepass, rows[i].value);
    }
    char *arguments[] = {put_file("p.conf", "port 1\ntimeout 1\nthreads 1\n", 27), "--port", "3", NULL};
    CHECK(load(arguments, (char *[]){"SPONSON_PORT=2", "SPONSON_TIMEOUT=2", NULL}) == CONFIG_OK);
    CHECK(config.threads == 1 && config.timeout_s == 2 && config.port == 3); /* flags win over variables over the file */
    CHECK(load((char *[]){"--port", "x", NULL}, (char *[]){"SPONSON_PORT=1", NULL}) == CONFIG_BAD && error[0] == 'p');
    CHECK(load_from(FLAGS, "--ping") == CONFIG_PING);
    CHECK(load_from(FLAGS, "--bind|10.0.0.1|--ping|--port|9") == CONFIG_PING && config.port == 9);
}

/* requirepass-file: the first line of a file; it is not shown, and what is wrong with it does not tell it. */
static void test_password_file(void) {
    static const struct { const char *text; size_t n; const char *password, *why; } rows[] = {
        {"s3cret", 6, "s3cret", NULL}, {"s3cret\n", 7, "s3cret", NULL}, {"a b\r\nnext line\n", 16, "a b", NULL}, {" \n", 2, " ", NULL},
        {"", 0, "", "it is empty"}, {"\n", 1, "", "its first line is empty"}, {"\r\nx", 3, "", "its first line is empty"},
        {"s3c\0ret\n", 8, "", "it holds a NUL"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *path = put_file("password", rows[i].text, rows[i].n), want[512] = "";
        CHECK(load((char *[]){"--requirepass-file", path, NULL}, (char *[]){NULL}) == (rows[i].why ? CONFIG_BAD : CONFIG_OK));
        if (rows[i].why)
            snprintf(want, sizeof want, "requirepass-file: cannot take a password from \"%s\": %s", path, rows[i].why);
        CHECK_TEXT(error, want);
        CHECK_TEXT(config.requirepass, rows[i].password);
        CHECK_TEXT(value_of("requirepass"), *rows[i].password ? "********" : "");
    }
    static char longest[CONFIG_TEXT_MAX + 1];
    memset(longest, 'x', CONFIG_TEXT_MAX);
    for (size_t n = CONFIG_TEXT_MAX - 1; n <= CONFIG_TEXT_MAX; n++) {
        char *path = put_file("password", longest, n), variable[512];
        snprintf(variable, sizeof variable, "SPONSON_REQUIREPASS_FILE=%s", path);
        bool ok = n < CONFIG_TEXT_MAX;
        CHECK(load((char *[]){NULL}, (char *[]){variable, NULL}) == (ok ? CONFIG_OK : CONFIG_BAD));
        CHECK_TEXT(error, ok ? "" : "requirepass: the value (not shown) is not allowed; give one line of 0 to 1023 bytes");
        CHECK(strlen(config.requirepass) == (ok ? n : 0));
    }
    CHECK(load((char *[]){"--requirepass", "x", "--requirepass-file", "/a", NULL}, (char *[]){NULL}) == CONFIG_BAD);
    CHECK_TEXT(error, "requirepass-file: \"/a\" is not allowed beside requirepass; give one of them");
    CHECK(load((char *[]){"--requirepass-file", "/nowhere/p", NULL}, (char *[]){NULL}) == CONFIG_BAD);
    CHECK_TEXT(error, "requirepass-file: cannot take a password from \"/nowhere/p\": No such file or directory");
    CHECK(load((char *[]){"--requirepass-file", "", NULL}, (char *[]){NULL}) == CONFIG_BAD); /* a ${SECRET} that is not set */
    CHECK_TEXT(error, "requirepass-file: \"\" is not allowed; give one line of 1 to 1023 bytes");
    CHECK(load((char *[]){"--requirepass-file", "/tmp", NULL}, (char *[]){NULL}) == CONFIG_BAD);
    CHECK_TEXT(error, "requirepass-file: cannot take a password from \"/tmp\": Is a directory");
    CHECK(load((char *[]){"--requirepass-file", "/nowhere/p", "--ping", NULL}, (char *[]){NULL}) == CONFIG_PING); /* needs none */
}

/* What is refused, and the end of the sentence. No sentence tells a secret. */
static void test_bad_input(void) {
    static const struct { enum source source; const char *text, *sentence; } rows[] = {
        {A_FILE, "port 1\n\ntimeout x\n", "/t.conf line 3: timeout: \"x\" is not allowed; give 1 to 2147483 seconds, or 0 for never"},
        {A_FILE, "timeout", " line 1: timeout: a value is missing; give 1 to 2147483 seconds, or 0 for never"},
        {A_FILE, "maxclients 1 2\n", " line 1: maxclients: \"1 2\" is not allowed; give a whole number from 1 to 1000000"},
        {A_FILE, "maxclients 5 # few\n", " line 1: maxclients: \"5 # few\" is not allowed; give a whole number from 1 to 1000000"},
        {A_FILE, "#\nunixsocket \"/tmp/a\n", " line 2: quotes are not balanced; close each, with white space behind it"},
        {A_FILE, "unixsocket \"/tmp\"a\n", " line 1: quotes are not balanced; close each, with white space behind it"},
        {A_FILE, "unixsocket \"/tmp\\\n", " line 1: quotes are not balanced; close each, with white space behind it"},
        {A_FILE, "unixsocket \"\\x00\"", " line 1: quotes are not balanced; close each, with white space behind it"},
        {A_FILE, "\"port\n", " line 1: quotes are not balanced; close each, with white space behind it"},
        {A_FILE, "unixsocket \"/a\\nb\"\n", " line 1: unixsocket: \"/a?b\" is not allowed; give one line of 0 to 107 bytes"},
        {A_FILE, "save \"\" 1\n", " line 1: save: \" 1\" is not allowed; give \"\": nothing is written to disk"},
        {A_FILE, "requirepass s3cret word\n", " line 1: requirepass: 2 words are not allowed; put the value in quotes"},
        {A_FILE, "requirepass \"s3cret\\n\"", " line 1: requirepass: the value (not shown) is not allowed; give one line of 0 to 1023 bytes"},
        {A_FILE, "requirepas s3cret", " line 1: unknown option \"requirepas\"; did you mean requirepass? --help lists the known ones"},
        {VARIABLES, "SPONSON_PORT=", "SPONSON_PORT: port: \"\" is not allowed; give a whole number from 1 to 65535, or 0 for no TCP"},
        {VARIABLES, "SPONSON_APPENDONLY=yes", "SPONSON_APPENDONLY: appendonly: \"yes\" is not allowed; give no: nothing is written to disk"},
        {FLAGS, "--save|--port|1", "save: a value is missing; give \"\": nothing is written to disk"},
        {FLAGS, "--ping|--maxclients|", "maxclients: \"\" is not allowed; give a whole number from 1 to 1000000"},
        {FLAGS, "--requirepass|--s3cret", "requirepass: a value is missing; give one line of 0 to 1023 bytes"},
        {FLAGS, "-p|6379", "unknown argument \"-p\"; give a file first, then --option value, or --help"},
        {FLAGS, "--ping|now", "unknown argument \"now\"; give a file first, then --option value, or --help"},
        {FLAGS, "/nowhere/a.conf", "cannot read the configuration file \"/nowhere/a.conf\": No such file or directory"},
        {FLAGS, "/tmp", "cannot read the configuration file \"/tmp\": Is a directory"},
        {FLAGS, "", "cannot read the configuration file \"\": No such file or directory"},
        {FLAGS, "--|x", "unknown option \"\"; --help lists the known ones"},
        {FLAGS, "--portable-things|1", "unknown option \"portable-things\"; --help lists the known ones"},
        {FLAGS, "--MAXMEMROY|1gb", "unknown option \"MAXMEMROY\"; did you mean maxmemory? --help lists the known ones"},
        {FLAGS, "--prot|1", "unknown option \"prot\"; did you mean port? --help lists the known ones"},
        {FLAGS, "--max_value_size|1", "unknown option \"max_value_size\"; did you mean max-value-size? --help lists the known ones"},
        {FLAGS, "--replicaof|h|1", "replicaof: this cache does not do that; remove the line"},
        {FLAGS, "--masterauth|s3cret", "masterauth: this cache does not do that; remove the line"},
        {FLAGS, "--loadmodule|a.so", "loadmodule: this cache does not do that; remove the line"},
        {FLAGS, "--rename-command|GET|x", "rename-command: this cache does not do that; remove the line"},
        {FLAGS, "--user|default|>s3cret", "user: this cache does not do that; use requirepass"},
        {FLAGS, "--include|a.conf", "include: this cache does not do that; give one file, the rest as flags"},
        {FLAGS, "--TLS-port|1", "TLS-port: this cache does not do that; use a unix socket, stunnel or a mesh"},
        {FLAGS, "--proto-max-bulk-len|1gb", "proto-max-bulk-len: this cache does not do that; use max-value-size"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t want = strlen(rows[i].sentence), n;
        CHECK(load_from(rows[i].source, rows[i].text) == CONFIG_BAD);
        n = strlen(error);
        CHECK_TEXT(n > want ? error + n - want : error, rows[i].sentence);
        CHECK(n == want || (rows[i].source == A_FILE && strncmp(error, directory, strlen(directory)) == 0));
        CHECK(!strstr(error, "s3cret"));
    }
}

static void test_limit_and_ignored(void) {
    static const char *const bad[] = {"", "normal", "normal 0 0", "normal 0 0 0 0", "normal 0 0 x", "normal x 0 0", "normal 0 -1 0",
        "master 0 0 0", "0 0 0", "normal 1mb 0 0 pubsub", "normal 2mb 1mb 10", "pubsub x 0 0"};
    static const char *const ignored[] = {"lazyfree-lazy-eviction", "activedefrag", "HZ", "rdbcompression", "dir", "appendfsync",
        "auto-aof-rewrite-min-size", "pidfile", "maxmemory-samples", "repl-diskless-sync", "cluster-node-timeout", "lfu-decay-time"};
    START("client-output-buffer-limit", "normal 4mb 0 0", "client-output-buffer-limit", "slave 256mb 64mb 60");
    CHECK(config.client_output_bytes == 4 * MB);
    struct config before = config;
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK(!set("client-output-buffer-limit", bad[i]));
    for (size_t i = 0; i < COUNT(ignored); i++)
        CHECK(set(ignored[i], "whatever 1 2"));
    CHECK(memcmp(&before, &config, sizeof config) == 0);
}

/* What people's files look like: Debian's redis.conf, its two lines changed that must be, upstream's, a Helm chart's, a
 * short one. */
static void test_real_files(void) {
    static const char *const files[] = {
        "bind 127.0.0.1 -::1\nprotected-mode no\nport 6379\ntcp-backlog 511\ntimeout 0\ntcp-keepalive 300\ndaemonize no\n"
        "pidfile /run/redis/redis-server.pid\nloglevel notice\nlogfile \"\"\ndatabases 16\nalways-show-logo no\nset-proc-title yes\n"
        "proc-title-template \"{title} {listen-addr} {server-mode}\"\nstop-writes-on-bgsave-error yes\nrdbcompression yes\nrdbchecksum yes\n"
        "dbfilename dump.rdb\nrdb-del-sync-files no\ndir /var/lib/redis\nreplica-serve-stale-data yes\nreplica-read-only yes\n"
        "repl-diskless-sync yes\nrepl-diskless-sync-delay 5\nrepl-diskless-sync-max-replicas 0\nrepl-diskless-load disabled\n"
        "repl-disable-tcp-nodelay no\nreplica-priority 100\nacllog-max-len 128\nlazyfree-lazy-eviction no\nlazyfree-lazy-expire no\n"
        "lazyfree-lazy-server-del no\nreplica-lazy-flush no\nlazyfree-lazy-user-del no\nlazyfree-lazy-user-flush no\noom-score-adj no\n"
        "oom-score-adj-values 0 200 800\ndisable-thp yes\nappendonly no\nappendfilename \"appendonly.aof\"\nappenddirname \"appendonlydir\"\n"
        "appendfsync everysec\nno-appendfsync-on-rewrite no\nauto-aof-rewrite-percentage 100\nauto-aof-rewrite-min-size 64mb\n"
        "aof-load-truncated yes\naof-use-rdb-preamble yes\naof-timestamp-enabled no\n \nslowlog-log-slower-than 10000\nslowlog-max-len 128\n"
        "latency-monitor-threshold 0\nnotify-keyspace-events \"\"\nhash-max-listpack-entries 512\nhash-max-listpack-value 64\n"
        "list-max-listpack-size -2\nlist-compress-depth 0\nset-max-intset-entries 512\nzset-max-listpack-entries 128\n"
        "zset-max-listpack-value 64\nhll-sparse-max-bytes 3000\nstream-node-max-bytes 4096\nstream-node-max-entries 100\nactiverehashing yes\n"
        "client-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit replica 256mb 64mb 60\n"
        "client-output-buffer-limit pubsub 32mb 8mb 60\nhz 10\ndynamic-hz yes\naof-rewrite-incremental-fsync yes\n"
        "rdb-save-incremental-fsync yes\njemalloc-bg-thread yes\n",
        "bind 127.0.0.1 -::1\nprotected-mode yes\nport 6379\ntcp-backlog 511\ndaemonize no\nsupervised auto\npidfile /var/run/redis_6379.pid\n"
        "loglevel notice\nlogfile \"\"\ndatabases 16\nalways-show-logo no\nlocale-collate \"\"\nenable-debug-command no\ndir ./\n",
        "# User-supplied common configuration:\nport 6379\nbind * -::*\nmaxmemory 200mb\nmaxmemory-policy allkeys-lru\nsave \"\"\nappendonly no\n"
        "dir /data\nprotected-mode no\nmaxmemory-samples 10\n",
        "port 6379\nunixsocket /var/run/redis/redis.sock\nunixsocketperm 770\nmaxmemory 100mb\nsave ''\nio-threads 1\n"
        "lazyfree-lazy-user-del yes\nrequirepass foobared\nmaxclients 1000\nlua-time-limit 5000\n"};
    for (size_t i = 0; i < COUNT(files); i++) {
        CHECK(load_from(A_FILE, files[i]) == CONFIG_OK);
        CHECK_TEXT(error, "");
        CHECK_TEXT(config.notes, "");
        CHECK(config.port == 6379);
    }
    CHECK(config.unixsocketperm == 0770 && config.maxmemory_bytes == 100 * MB);
}

/* Of a file all lines that are wrong are said, CONFIG_ERRORS_MAX at most; each of them whole. */
static void test_several_bad_lines(void) {
    static char text[40000];
    CHECK(load_from(A_FILE, "port x\ntimeout 5\nmaxmemry 1\n\n\"\nbind 1 2\nmaxclients 0") == CONFIG_BAD);
    char copy[sizeof error], *rest = copy;
    strcpy(copy, error);
    CHECK_HAS(strsep(&rest, "\n"), "/t.conf line 1: port: \"x\" is not allowed; give ");
    CHECK_HAS(strsep(&rest, "\n"), "/t.conf line 3: unknown option \"maxmemry\"; did you mean maxmemory? --help lists the known ones");
    CHECK_HAS(strsep(&rest, "\n"), "/t.conf line 5: quotes are not balanced; ");
    CHECK_HAS(strsep(&rest, "\n"), "/t.conf line 7: maxclients: \"0\" is not allowed; give a whole number from 1 to 1000000");
    CHECK(rest == NULL);
    memset(text, 'x', sizeof text); /* twenty lines with a long sentence each */
    text[sizeof text - 1] = '\0';
    for (size_t i = 0; i < 20; i++)
        memcpy(text + i * 1999, i ? "\nclient-output-buffer-limit " : "client-output-buffer-limit ", i ? 28 : 27);
    CHECK(load_from(A_FILE, text) == CONFIG_BAD);
    int lines = 0;
    for (rest = error; rest && *rest; lines++) {
        char *line = strsep(&rest, "\n");
        CHECK_HAS(line, ", or normal 0 0 0 for the lesser of 32mb and half of client-memory");
    }
    CHECK(lines == CONFIG_ERRORS_MAX);
}

/* What an unknown option is taken for. */
static void test_hints(void) {
    static const char *const rows[][2] = {
        {"maxmemry", "maxmemory"}, {"maxmemmory", "maxmemory"}, {"naxmemory", "maxmemory"}, {"MAXMEMROY", "maxmemory"}, {"maxmem", "maxmemory"},
        {"prot", "port"}, {"ports", "port"}, {"time_out", "timeout"}, {"max_value_size", "max-value-size"}, {"saev", "save"},
        {"logfiles", "logfile"}, {"", ""}, {"x", ""}, {"mem", ""}, {"replica", ""}, {"evict", ""}, {"sport-number-one", ""}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char want[200], text[64];
        bool near = *rows[i][1];
        snprintf(want, sizeof want, "unknown option \"%s\"; %s%s%s--help lists the known ones", rows[i][0], near ? "did you mean " : "",
                 rows[i][1], near ? "? " : "");
        config_init(&config);
        CHECK(!set(rows[i][0], "1"));
        CHECK_TEXT(error, want);
        snprintf(want, sizeof want, near ? ", did you mean '%s'?" : "%s", rows[i][1]);
        CHECK(config_change(&config, rows[i][0], NULL, text, sizeof text) == CONFIG_UNKNOWN);
        CHECK_TEXT(text, want);
    }
}

/* What config_compare() says, and that config_apply() does what it says and no more. */
static void test_compare(void) {
    static struct config running;
    static char text[4096];
    START("maxmemory", "64mb", "requirepass", "s3cret");
    running = config;
    config_compare(&running, &config, text, sizeof text);
    CHECK_TEXT(text, "nothing changed");
    CHECK(set("port", "7172") && set("unixsocket", "/tmp/s"));
    config_compare(&running, &config, text, sizeof text);
    CHECK_TEXT(text, "nothing changed; needs a restart: port 7171 -> 7172, unixsocket  -> /tmp/s");
    CHECK(set("maxmemory", "1000000000") && set("requirepass", "0ther") && set("slowlog-log-slower-than", "-1"));
    CHECK(set("client-output-buffer-limit", "normal 4mb 0 0") && set("loglevel", "debug"));
    strcpy(config.requirepass_file, "/a");
    config_compare(&running, &config, text, sizeof text);
    CHECK_TEXT(text, "maxmemory 64mb -> 1000000000, client-output-buffer-limit normal 0 0 0 -> normal 4mb 0 0, requirepass changed, "
                     "requirepass-file  -> /a, loglevel notice -> debug, slowlog-log-slower-than 10000 -> -1; needs a restart: port "
                     "7171 -> 7172, unixsocket  -> /tmp/s");
    char few[20];
    config_compare(&running, &config, few, sizeof few);
    CHECK(strncmp(few, text, sizeof few - 1) == 0 && few[sizeof few - 1] == '\0');
    config_apply(&running, &config);
    CHECK(running.port == 7171 && running.maxmemory_bytes == 1000000000 && running.slowlog_us == -1);
    CHECK_TEXT(running.requirepass, "0ther");
    config_compare(&running, &config, text, sizeof text);
    CHECK_TEXT(text, "nothing changed; needs a restart: port 7171 -> 7172, unixsocket  -> /tmp/s");
    CHECK(config_change(&config, "requirepass-file", NULL, text, sizeof text) == CONFIG_IMMUTABLE); /* no command names a file */
}

static void test_notes(void) {
    static char variables[300][300];
    char *environment[301] = {NULL};
    CHECK(load_from(VARIABLES, "SPONSON_PORT=tcp://1.2.3.4:7171|SPONSON_SERVICE_HOST=1.2.3.4|SPONSON_TLS_SERVICE_HOST=1.2.3.4|"
                    "SPONSON_PORT_7171_TCP=tcp://1.2.3.4:7171|SPONSON_MAXMEMROY=s3cret|SPONSON_\n\x01=s3cret") == CONFIG_OK);
    CHECK_TEXT(config.notes,
        "ignored environment variable SPONSON_PORT: an address, as Kubernetes sets it\n"
        "ignored environment variable SPONSON_SERVICE_HOST: unknown option; --help lists the known ones\n"
        "ignored environment variable SPONSON_TLS_SERVICE_HOST: unknown option; --help lists the known ones\n"
        "ignored environment variable SPONSON_PORT_7171_TCP: unknown option; --help lists the known ones\n"
        "ignored environment variable SPONSON_MAXMEMROY: unknown option; did you mean maxmemory? --help lists the known ones\n"
        "ignored environment variable SPONSON_??: unknown option; --help lists the known ones\n");
    CHECK(config.port == 7171);
    for (size_t i = 0; i < 300; i++) { /* more than fit */
        snprintf(variables[i], sizeof variables[i], "SPONSON_%0*zu=x", (int)(i % 280), i);
        environment[i] = variables[i];
    }
    CHECK(load((char *[]){NULL}, environment) == CONFIG_OK);
    size_t n = strlen(config.notes);
    CHECK(n < sizeof config.notes && n > sizeof config.notes - 200);
    CHECK_TEXT(config.notes + n - 12, " known ones\n"); /* the last line is whole */
}

/* Runs config_load() with stdout going to a file and reads that. A broken file and variable matter to neither. */
static void load_printing(char *flag, char *text, size_t size) {
    int kept = dup(1), out = open(put_file("out", "", 0), O_RDWR);
    fflush(stdout);
    dup2(out, 1);
    CHECK(load((char *[]){"/nonexistent", "--bad", flag, NULL}, (char *[]){"SPONSON_PORT=x", NULL}) == CONFIG_EXIT);
    fflush(stdout);
    dup2(kept, 1);
    ssize_t n = pread(out, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(kept);
    close(out);
}

static void test_help_and_version(void) {
    static char text[32768], name[64];
    load_printing("--version", text, sizeof text);
    CHECK_TEXT(text, "sponson " SPONSON_VERSION "\n");
    load_printing("--help", text, sizeof text);
    CHECK(strncmp(text, "usage: sponson [/path/to/sponson.conf] [--option value ...]\n", 60) == 0);
    for (int i = 0; config_name(i); i++) {
        snprintf(name, sizeof name, "\n  --%s ", config_name(i));
        CHECK_HAS(text, name);
    }
    CHECK_HAS(text, "\n  --port N                             TCP port (default 7171)\n");
    CHECK_HAS(text, "(default 0: a share of the machine's memory) *\n");
    CHECK(!strstr(text, "(null)") && !strstr(text, "masterauth"));
}

/* ---- what depends on the machine ---- */

/* Resolves on a machine of so many megabytes with a control group of so many; 0: unknown, none. */
static bool resolve(uint64_t machine_mb, uint64_t cgroup_mb) {
    struct host h = {.memory_bytes = machine_mb * MB, .cgroup_memory_bytes = cgroup_mb * MB, .cpus = 4, .cgroup_cpus = 3};
    error[0] = '\0';
    return config_resolve(&config, &h, error, sizeof error);
}

static void test_resolve_maxmemory(void) {
    static const struct { /* a maxmemory of 0: refused */
        uint64_t machine_mb, cgroup_mb; const char *client_memory; uint64_t maxmemory_mb; const char *source;
    } rows[] = {
        {1 << 20, 32, "0", 8, "cgroup limit of 32 MB"}, {1 << 20, 64, "0", 40, "cgroup limit of 64 MB"},
        {1 << 20, 128, "0", 96, "cgroup limit of 128 MB"}, {1 << 20, 512, "0", 384, "cgroup limit of 512 MB"},
        {1 << 20, 65536, "0", 49152, "cgroup limit of 65536 MB"}, {24000, 512, "400mb", 104, "cgroup limit of 512 MB"},
        {24000, 17, "1mb", 8, "cgroup limit of 17 MB"}, /* three quarters are more than what is left */
        {24000, 0, "0", 6000, "machine of 24000 MB"}, {24000, 24000, "0", 6000, "machine of 24000 MB"}, /* a limit that is none */
        {1001, 0, "0", 250, "machine of 1001 MB"}, {8 << 20, 0, "0", 1 << 20, "machine of 8388608 MB"},
        {1024, 0, "900mb", 116, "machine of 1024 MB"}, {0, 0, "0", 256, "guess of 1024 MB"}, {0, 512, "0", 384, "cgroup limit of 512 MB"},
        {24000, 4, "0", 0, ""}, {31, 0, "0", 0, ""}, {24000, 512, "600mb", 0, ""}, {24000, 31, "0", 0, ""}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t limit_mb = rows[i].cgroup_mb ? rows[i].cgroup_mb : rows[i].machine_mb ? rows[i].machine_mb : 1024;
        START("client-memory", rows[i].client_memory);
        CHECK(resolve(rows[i].machine_mb, rows[i].cgroup_mb) == (rows[i].maxmemory_mb > 0));
        if (rows[i].maxmemory_mb == 0)
            continue;
        CHECK(config.maxmemory_bytes == rows[i].maxmemory_mb * MB);
        CHECK(config.maxmemory_bytes + config.client_memory_bytes + PROCESS_OVERHEAD_BYTES <= limit_mb * MB);
        CHECK_TEXT(config.maxmemory_source, rows[i].source);
        CHECK_TEXT(config.notes, "");
    }
    CHECK_TEXT(error, "maxmemory: 0 is not allowed with a cgroup limit of 31 MB; give 8mb to 1tb, or less client-memory");
}

static void test_resolve_dependents(void) {
    START("maxmemory", "8gb");
    CHECK(resolve(24000, 0) && config.threads == 3 && config.shard_capacity == 8192 * MB / 64 / 32);
    CHECK(config.client_memory_bytes == 512 * MB && config.client_output_bytes == 32 * MB && config.max_value_size_bytes == MB);
    CHECK(strcmp(config.maxmemory_source, "maxmemory") == 0 && !config.value_size_note[0]);
    START("maxmemory", "64mb", "threads", "7", "shard-capacity", "5");
    CHECK(resolve(24000, 0) && config.threads == 7 && config.shard_capacity == 5 && config.max_value_size_bytes == 131072);
    CHECK(config.client_memory_bytes == 16 * MB && config.client_output_bytes == 8 * MB);
    CHECK_TEXT(config.value_size_note, " (an eighth of a shard; 1mb needs maxmemory 512mb)");
    START("maxmemory", "512mb"); /* from here on there is nothing to note */
    CHECK(resolve(24000, 0) && config.max_value_size_bytes == MB && !config.value_size_note[0]);
    START("maxmemory", "256mb", "max-value-size", "2mb", "port", "0", "unixsocket", "/tmp/s");
    CHECK(resolve(24000, 0) && config.max_value_size_bytes == 2 * MB);
    START("maxmemory", "256mb", "max-value-size", "2097153");
    CHECK(!resolve(24000, 0));
    CHECK_TEXT(error, "max-value-size: 2097153 is not allowed with maxmemory 256mb; give at most 2mb, or maxmemory 257mb");
    START("port", "0");
    CHECK(!resolve(24000, 0));
    CHECK_TEXT(error, "port: 0 is not allowed without unixsocket; give 1 to 65535, or a unixsocket");
    START("client-memory", "1mb", "client-output-buffer-limit", "normal 2mb 0 0");
    CHECK(!resolve(24000, 0));
    CHECK_TEXT(error, "client-output-buffer-limit: 2mb is not allowed; give at most client-memory, 1mb");
    START("maxmemory", "475mb"); /* and 30 of clients and 8 */
    CHECK(resolve(24000, 512));
    CHECK_TEXT(config.notes, "maxmemory 475mb risks an OOM kill: beside clients' buffers and the process 474mb fits a "
                             "cgroup limit of 512 MB\n");
    START("maxmemory", "474mb");
    CHECK(resolve(24000, 512) && !config.notes[0]);
}

/* What CONFIG GET shows can be set again and then shows the same; a short buffer gets the beginning. */
static void test_values(void) {
    static struct config again;
    char text[CONFIG_TEXT_MAX], other[CONFIG_TEXT_MAX];
    START("unixsocket", "/tmp/a b", "loglevel", "debug", "maxmemory", "256mb", "unixsocketperm", "0770");
    CHECK_TEXT(value_of("unixsocketperm"), "770");
    CHECK(resolve(24000, 512));
    config_init(&again);
    for (int i = 0; config_name(i); i++) {
        size_t n = config_value(&config, i, false, text, sizeof text);
        if (strcmp(config_name(i), "requirepass-file") == 0) continue; /* "" shows that there is none, and is not taken */
        CHECK(set_in(&again, config_name(i), text, error, sizeof error));
        config_value(&again, i, false, other, sizeof other);
        CHECK_TEXT(other, text);
        CHECK(config_value(&config, i, false, other, 4) == (n < 3 ? n : 3) && strncmp(other, text, 3) == 0);
    }
    CHECK(!set_in(&config, "port", "x", text, 8));
    CHECK_TEXT(text, "port: \"");
}

/* ---- noise ---- */

static uint64_t noise_state = 88172645463325252u;

static size_t noise(size_t below) {
    noise_state ^= noise_state << 13;
    noise_state ^= noise_state >> 7;
    noise_state ^= noise_state << 17;
    return noise_state % below;
}

/* Bytes that are more likely to be of interest to a parser than others, in an exact-size block for the sanitizer. */
static char *noise_text(size_t n) {
    static const char likely[] = "\"\"''\\\\x  \t\n\n\r#=-01289kmgbnort";
    char *text = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        text[i] = noise(3) ? likely[noise(sizeof likely - 1)] : (char)noise(256);
    text[n] = '\0';
    return text;
}

static void check_whole(bool ok) {
    CHECK(ok == (error[0] == '\0'));
    CHECK(config.port >= 0 && config.port <= 65535);
    CHECK(config.maxmemory_bytes == 0 || config.maxmemory_bytes >= MAXMEMORY_MIN);
    CHECK(memchr(config.requirepass, '\0', sizeof config.requirepass) && memchr(config.notes, '\0', sizeof config.notes));
    CHECK(strlen(error) < sizeof error);
}

static void test_noise(void) {
    for (int i = 0; i < 6000; i++) {
        size_t n = noise(i % 100 ? 200 : 20000);
        char *file = noise_text(n), *a = noise_text(noise(20)), *b = noise_text(noise(i % 20 ? 20 : 9000)), *c = noise_text(noise(20));
        const char *known = config_name((int)noise((size_t)config_count()));
        char flag[64], variable[64];
        if (i % 2 && strlen(known) < n) /* get past the name */
            memset(mempcpy(file, known, strlen(known)), ' ', 1);
        check_whole(load_file(file, n) == CONFIG_OK);
        snprintf(flag, sizeof flag, "--%s", i % 2 ? a : known);
        snprintf(variable, sizeof variable, "SPONSON_%s", c);
        check_whole(load((char *[]){flag, b, c, NULL}, (char *[]){variable, b, NULL}) == CONFIG_OK);
        check_whole(set(i % 3 ? known : a, b));
        free(file), free(a), free(b), free(c);
    }
}

/* ---- the machine ---- */

struct tree_file {
    const char *path, *text;
};

/* Makes a tree of files in a directory of its own, reads the machine that it shows, and checks the least limits. */
static struct host check_tree(int line, uint64_t memory_bytes, int cpus, const struct tree_file *files) {
    static int trees;
    struct host h;
    char name[512];
    trees++;
    for (; files->path; files++) {
        snprintf(name, sizeof name, "tree%d/%s", trees, files->path);
        put_file(name, files->text, strlen(files->text));
    }
    snprintf(name, sizeof name, "%s/tree%d", directory, trees);
    host_read(&h, name);
    if (h.cgroup_memory_bytes != memory_bytes || h.cgroup_cpus != cpus)
        printf("# tree of line %d\n", line);
    CHECK(h.cgroup_memory_bytes == memory_bytes && h.cgroup_cpus == cpus);
    return h;
}

#define TREE(memory, cpus, ...) check_tree(__LINE__, memory, cpus, (const struct tree_file[]){__VA_ARGS__, {NULL, NULL}})
#define GROUPS(text) {"proc/self/cgroup", text}
#define TOP "sys/fs/cgroup/"
#define V1_MEMORY(path, text) {TOP "memory/" path "memory.limit_in_bytes", text}
#define V1_CPU(path, quota) {TOP path "/cpu.cfs_quota_us", quota}, {TOP path "/cpu.cfs_period_us", "100000\n"}

static void test_host_machine(void) {
    cpu_set_t set;
    struct host h = TREE(0, 0, {"proc/meminfo", "MemTotal:       24684096 kB\nMemFree:  1 kB\n"});
    CHECK(h.memory_bytes == 24684096ull * 1024);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        CHECK(h.cpus == CPU_COUNT(&set) && host_usable_cpus(&h) == h.cpus);
    h = TREE(0, 0, {"proc/meminfo", "garbage\n"}, GROUPS("garbage\n:\n::\n0::\n1:memory\n0::relative\n"));
    CHECK(h.memory_bytes == 0);
    host_read(&h, "/nonexistent");
    CHECK(h.memory_bytes == 0 && h.cpus >= 1);
    host_read(&h, ""); /* this machine */
    CHECK(h.memory_bytes > MB && h.cpus >= 1);
    CHECK(host_usable_cpus(&(struct host){.cpus = 4}) == 4 && host_usable_cpus(&(struct host){0}) == 1);
    CHECK(host_usable_cpus(&(struct host){.cpus = 4, .cgroup_cpus = 2}) == 2);
    CHECK(host_usable_cpus(&(struct host){.cpus = 2, .cgroup_cpus = 4}) == 2);
}

static void test_host_groups(void) {
    TREE(512 * MB, 2, GROUPS("9:name=systemd:/x\n5:cpu,cpuacct:/pod/app\n4:memory:/pod/app\n0::/\n"),
         V1_MEMORY("pod/app/", "536870912\n"), V1_MEMORY("pod/", "1073741824\n"), V1_MEMORY("", "9223372036854771712\n"),
         V1_CPU("cpu/pod/app", "150000\n"), V1_CPU("cpu", "-1\n"));
    /* controllers of one hierarchy are mounted together, in any order, with a link for each or not */
    TREE(0, 1, GROUPS("5:cpu,cpuacct:/app\n3:cpuset:/app\n"), V1_CPU("cpu,cpuacct/app", "50000\n"));
    TREE(0, 3, GROUPS("5:cpuacct,cpu:/app\n"), V1_CPU("cpuacct,cpu/app", "300000\n"));
    TREE(0, 0, GROUPS("5:cpuacct:/app\n6:cpuset:/app\n"), V1_CPU("cpu/app", "300000\n")); /* these are no cpu */
    /* v2, the least in the middle; then at the top; then v1 and v2 at once */
    TREE(256 * MB, 4, GROUPS("0::/a/b/c\n"), {TOP "a/b/c/memory.max", "max\n"}, {TOP "a/b/memory.max", "268435456\n"},
         {TOP "a/memory.max", "536870912\n"}, {TOP "memory.max", "268435457\n"}, {TOP "a/b/c/cpu.max", "max 100000\n"},
         {TOP "a/b/cpu.max", "400000 100000\n"}, {TOP "a/cpu.max", "250001 50000\n"});
    TREE(1000000, 1, GROUPS("0::/\n"), {TOP "memory.max", "1000000\n"}, {TOP "cpu.max", "10000 100000\n"});
    TREE(512 * MB, 2, GROUPS("4:memory:/a\n0::/b\n"), V1_MEMORY("a/", "1073741824\n"), {TOP "unified/b/memory.max", "536870912\n"},
         {TOP "unified/cpu.max", "150000 100000\n"});
    /* in a container the path is the host's and does not exist; the mount's top is the container's own group */
    TREE(256 * MB, 1, GROUPS("4:memory:/docker/0123\n5:cpu:/docker/0123\n"), V1_MEMORY("", "268435456\n"), V1_CPU("cpu", "100000\n"));
    TREE(128 * MB, 0, GROUPS("0::/kubepods/pod1/c2"), {TOP "memory.max", "134217728\n"});
    /* outside of our namespace: the top only, never above it; and a path with a colon */
    TREE(128 * MB, 0, GROUPS("0::/../other\n"), {TOP "memory.max", "134217728\n"}, {"sys/fs/other/memory.max", "1000\n"});
    TREE(1000, 0, GROUPS("0::/a:b/c\n"), {TOP "a:b/c/memory.max", "1000\n"});
}

static void test_host_no_limits(void) {
    static const char *const none[] = {"max\n", "-1\n", "9223372036854771712\n", "1152921504606846976\n", "18446744073709551615\n",
        "99999999999999999999999\n", "", "garbage\n", "\n", "0\n"};
    static const size_t lengths[] = {300, 4000, 4070, 4090, 4096, 5000, 20000};
    static char line[20000];
    for (size_t i = 0; i < COUNT(none); i++)
        TREE(0, 0, GROUPS("4:memory:/a\n5:cpu:/a\n0::/a\n"), V1_MEMORY("a/", none[i]), V1_CPU("cpu/a", none[i]),
             {TOP "a/memory.max", none[i]}, {TOP "a/cpu.max", none[i]});
    TREE(1152921504606846975u, 0, GROUPS("0::/a\n"), {TOP "a/memory.max", "1152921504606846975\n"}, {TOP "a/cpu.max", "100000 0\n"});
    for (size_t i = 0; i < COUNT(lengths); i++) { /* a path too long to open */
        memset(line, 'a', lengths[i] - 1);
        memcpy(line, "0::/", 4);
        line[lengths[i] - 1] = '\0';
        TREE(1000, 0, GROUPS(line), {TOP "memory.max", "1000\n"});
    }
}
/* clang-format on */

/* ---- the log ---- */

/* Reads what one call of log_line() wrote to a pipe. */
static void read_pipe(int fd, char *text, size_t size) {
    ssize_t n = read(fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
}

static void test_log(void) {
    static const char *const lines[] = {" debug 7 of 9\n", " verbose 7 of 9\n", " notice 7 of 9\n",
                                        " warning 7 of 9\n"};
    static char text[4096], longest[3000];
    int ends[2];
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    struct log log = {.fd = ends[1], .level = LOG_LEVEL_DEBUG, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (int level = 0; level < 4; level++) {
        log_line(&log, (enum log_level)level, "%d of %s", 7, "9");
        read_pipe(ends[0], text, sizeof text);
        CHECK(strspn(text, "0123456789-T:.Z") == 24 && text[10] == 'T' && text[19] == '.' && text[23] == 'Z');
        CHECK_TEXT(text + 24, lines[level]);
    }
    log.level = LOG_LEVEL_NOTICE;
    log_line(&log, LOG_LEVEL_VERBOSE, "unseen"); /* the next line is the first to be read */
    log_line(&log, LOG_LEVEL_NOTICE, "a\nb\x1b\tc");
    read_pipe(ends[0], text, sizeof text);
    CHECK_TEXT(text + 24, " notice a?b??c\n");
    memset(longest, 'x', sizeof longest - 1);
    errno = EXDEV;
    log_line(&log, LOG_LEVEL_WARNING, "%s", longest);
    CHECK(errno == EXDEV);
    read_pipe(ends[0], text, sizeof text);
    CHECK(strlen(text) == 24 + 9 + 1000 + 1 && text[24 + 9 + 1000] == '\n');
    close(ends[0]);
    close(ends[1]);
    log_line(&log, LOG_LEVEL_WARNING, "into a closed descriptor");
    CHECK(errno == EXDEV);
}

/* The lines that a pipe holds. */
static int count_lines(int fd, char *text, size_t size) {
    int lines = 0;
    read_pipe(fd, text, size);
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    return lines;
}

/* Whatever a text holds, its line is one object, and shows what is printable UTF-8. */
static void test_log_json(void) {
    static const char *const rows[][2] = {
        {"plain", "plain"},
        {"a\"b\\c", "a\\\"b\\\\c"},
        {"a\nb\x01\x1f\x7f", "a?b???"},
        {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", NULL},
        {"\xff\xfe\x80", "???"},
        {"\xc3", "?"},
        {"\xe2\x82", "??"},
        {"\xf0\x9f\x98", "???"},
        {"\xc3(", "?("},                                                      /* cut */
        {"\xc0\x80\xc1\xbf\xe0\x9f\xbf\xf0\x8f\xbf\xbf", "???????????"},      /* longer than needed */
        {"\xed\xa0\x80\xf4\x90\x80\x80\xf8\x88\x80\x80\x80", "????????????"}, /* surrogates; beyond the last */
        {"\xc2\x9b\xc2\xa0", "??\xc2\xa0"},
        {"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", NULL}};
    static char text[8192], longest[3000], want[4096];
    int ends[2];
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    struct log log = {ends[1], LOG_LEVEL_DEBUG, LOG_FORMAT_JSON, PTHREAD_MUTEX_INITIALIZER, {{0}}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        log_line(&log, LOG_LEVEL_VERBOSE, "%s", rows[i][0]);
        read_pipe(ends[0], text, sizeof text);
        CHECK(strncmp(text, "{\"time\":\"20", 11) == 0 && strspn(text + 9, "0123456789-T:.Z") == 24);
        snprintf(want, sizeof want, "\",\"level\":\"verbose\",\"message\":\"%s\"}\n",
                 rows[i][1] ? rows[i][1] : rows[i][0]);
        CHECK_TEXT(text + 9 + 24, want);
    }
    memset(longest, '"', sizeof longest - 1);
    log_line(&log, LOG_LEVEL_WARNING, "%s", longest);
    read_pipe(ends[0], text, sizeof text);
    CHECK(strlen(text) ==
          strlen("{\"time\":\"2026-11-20T17:45:08.123Z\",\"level\":\"warning\",\"message\":\"\"}\n") + 2000);
    log_lines(&log, LOG_LEVEL_NOTICE, "x: ", "a\n\nb\"\n");
    CHECK(count_lines(ends[0], text, sizeof text) == 3);
    CHECK_HAS(text, "\"message\":\"x: a\"}\n");
    CHECK_HAS(text, "\"message\":\"x: b\\\"\"}\n");
    close(ends[0]);
    close(ends[1]);
}

/* So many lines of a kind in a window, then how many more; other kinds and lesser levels go on. */
static void test_log_repeats(void) {
    static char text[65536];
    int ends[2];
    REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
    struct log log = {ends[1], LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, PTHREAD_MUTEX_INITIALIZER, {{0}}};
    static const char *const kinds[] = {"one: %d", "two: %d"};
    for (int i = 0; i < 1000; i++)
        for (int k = 0; k < 2; k++)
            log_line(&log, k ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING, kinds[k], i);
    CHECK(count_lines(ends[0], text, sizeof text) == LOG_LINES_MAX + LOG_NOTICES_MAX);
    CHECK_HAS(text, " warning one: 9\n");
    CHECK_HAS(text, " notice two: 99\n");
    for (int i = 0; i < 100; i++)
        log_line(&log, LOG_LEVEL_VERBOSE, "three: %d", i);
    CHECK(count_lines(ends[0], text, sizeof text) == 100);
    log_repeats(&log, false);
    CHECK(count_lines(ends[0], text, sizeof text) == 0);
    for (int i = 0; i < LOG_SITES; i++)
        log.site[i].since -= LOG_WINDOW_S; /* as if so much time had passed */
    log_line(&log, LOG_LEVEL_WARNING, kinds[0], 5);
    CHECK(count_lines(ends[0], text, sizeof text) == 3);
    CHECK_HAS(text, " warning 990 more lines like \"one: ...\" left out\n");
    CHECK_HAS(text, " notice 900 more lines like \"two: ...\" left out\n");
    CHECK_HAS(text, " warning one: 5\n");
    log_repeats(&log, true); /* less than was allowed is nothing to tell */
    CHECK(count_lines(ends[0], text, sizeof text) == 0);
    for (int i = 0; i < LOG_LINES_MAX + 1; i++)
        log_line(&log, LOG_LEVEL_WARNING, kinds[0], i);
    log.site[0].since += 1000; /* the clock was set back: no line waits for it */
    log_line(&log, LOG_LEVEL_WARNING, kinds[0], 6);
    CHECK(count_lines(ends[0], text, sizeof text) == LOG_LINES_MAX + 2);
    CHECK_HAS(text, " 1 more lines like \"one: ...\" left out\n");
    static char formats[LOG_SITES + 10][16]; /* more kinds than there is room for: the last ones share it */
    for (int i = 0; i < LOG_SITES + 10; i++) {
        snprintf(formats[i], sizeof formats[i], "k%d", i);
        for (int n = 0; n < 100; n++)
            log_line(&log, LOG_LEVEL_WARNING, (const char *)formats[i], 0);
    }
    CHECK(count_lines(ends[0], text, sizeof text) < (LOG_SITES + 1) * LOG_LINES_MAX);
    /* a pipe that is full, though writes to it would wait: lines are lost, and nobody waits */
    REQUIRE(fcntl(ends[1], F_SETFL, 0) == 0);
    for (int i = 0; i < 3000; i++)
        log_line(&log, LOG_LEVEL_VERBOSE, "%0500d", i);
    CHECK(count_lines(ends[0], text, sizeof text) > 0);
    close(ends[0]);
    close(ends[1]);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    (void)status, (void)type, (void)where;
    return remove(path);
}

int main(void) {
    /* clang-format off */
    static const struct tap_test tests[] = {
        {"defaults", test_defaults}, {"units of bytes", test_units}, {"bounds and sentence of every option", test_bounds},
        {"texts are taken or refused, never cut", test_texts_are_never_cut}, {"file, variables, flags: what is taken", test_good_input},
        {"a password from its own file", test_password_file}, {"file, variables, flags: what is refused", test_bad_input}, {"files as people have them", test_real_files},
        {"client-output-buffer-limit, and options without effect", test_limit_and_ignored},
        {"several bad lines of a file", test_several_bad_lines}, {"what an unknown option is taken for", test_hints},
        {"what changes, and what does not", test_compare}, {"variables of Kubernetes, and too many of them", test_notes}, {"--help and --version", test_help_and_version},
        {"resolve: maxmemory", test_resolve_maxmemory}, {"resolve: what follows from maxmemory", test_resolve_dependents},
        {"values as CONFIG GET shows them", test_values}, {"noise", test_noise}, {"host: memory and CPUs", test_host_machine},
        {"host: control groups", test_host_groups}, {"host: what is no limit, and long paths", test_host_no_limits}, {"log", test_log},
        {"log: JSON", test_log_json}, {"log: what repeats", test_log_repeats}};
    /* clang-format on */
    if (!mkdtemp(directory)) {
        printf("Bail out! mkdtemp: %s\n", strerror(errno));
        return 1;
    }
    int failed = tap_main(tests, COUNT(tests));
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
