/* config.c -- the options: one table that feeds --help, the file, the environment, the flags and CONFIG GET.
 *
 *   file line     maxmemory 256mb           \
 *   environment   SPONSON_MAXMEMORY=256mb    > name, value, number of words -> set_option() -> struct config
 *   flag          --maxmemory 256mb         /
 *
 * Owns    nothing; the values live in the caller's struct config.
 *
 * True    every number in a struct config is within the bounds of its row, and every text is whole:
 *         a value is taken or refused, never cut. A password shows in no error, no note and no CONFIG GET.
 *
 * Threads none.   Failure: false and one sentence that names option, value and what is allowed. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include "glob.h"
#include "host.h"
#include "options.h"
#include "resp.h"

#define MB ((uint64_t)1 << 20)
#define CLIENT_MEMORY_DEFAULT_MIN (16 * MB) /* bytes: a thousand clients with 16 KB waiting each */
#define CLIENT_OUTPUT_DEFAULT_MAX (32 * MB) /* bytes: no single reader needs more to keep its socket full */
#define MACHINE_BLIND (1024 * MB)           /* bytes: taken when the machine's memory cannot be read */
#define VALUE_SIZE_DEFAULT_MAX MB           /* bytes: as memcached; larger ones stall other requests */
#define ENTRY_SIZE_LEAST 32                 /* bytes: header, shortest key and value, slot in the index */

enum { NAME_SIZE = 64, SHOWN_SIZE = 200, FLAG_SIZE = 8192 };

static const struct option *find_option(const char *name) {
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (glob_match(slice_of(options[i].name), slice_of(name), true)) return &options[i];
    return NULL;
}

/* ---- sentences ---- */

/* Where a setting comes from and where its error goes. */
struct load {
    struct config *config;
    bool again;                  /* what is read was read before */
    char place[SHOWN_SIZE + 32]; /* put before the sentence: "redis.conf line 3: "; "" for a flag */
    char *error;
    size_t error_size;
};

/* Writes the error, on a line behind those that are there. Always false, so that callers can return it. */
__attribute__((format(printf, 2, 3))) static bool refuse(const struct load *l, const char *format, ...) {
    size_t n = strlen(l->error);
    n += (size_t)snprintf(l->error + n, l->error_size - n, "%s%s", n ? "\n" : "", l->place);
    va_list args;
    va_start(args, format);
    if (n < l->error_size) vsnprintf(l->error + n, l->error_size - n, format, args);
    va_end(args);
    return false;
}

/* Adds a line to the notes; one that does not fit whole is left out. */
__attribute__((format(printf, 2, 3))) static void note(struct config *c, const char *format, ...) {
    size_t used = strlen(c->notes), room = sizeof c->notes - used;
    va_list args;
    va_start(args, format);
    if ((size_t)vsnprintf(c->notes + used, room, format, args) >= room) c->notes[used] = '\0';
    va_end(args);
}

struct shown {
    char text[SHOWN_SIZE];
};

/* A text from outside as a sentence may show it: printable, and its beginning where it is long. */
static struct shown show(const char *text) {
    struct shown s;
    if ((size_t)snprintf(s.text, sizeof s.text, "%s", text) >= sizeof s.text)
        strcpy(s.text + sizeof s.text - sizeof "...", "...");
    for (char *p = s.text; *p; p++)
        if (iscntrl((unsigned char)*p)) *p = '?';
    return s;
}

/* A number as an option of that kind takes it, bytes in the largest unit that leaves no rest. */
static struct shown show_number(enum kind kind, int64_t n) {
    static const char *const units[] = {"", "kb", "mb", "gb", "tb"};
    struct shown s;
    size_t unit = 0;
    for (; (kind == BYTES || kind == OUTPUT) && n > 0 && n % 1024 == 0 && unit < 4; unit++)
        n /= 1024;
    snprintf(s.text, sizeof s.text, kind == MODE ? "%" PRIo64 "%s" : "%" PRId64 "%s", n, units[unit]);
    return s;
}

#define SHOW_BYTES(n) show_number(BYTES, (int64_t)(n)).text

static int letter(char c) { return c == '_' ? '-' : tolower((unsigned char)c); }

/* How many letters differ between what the two begin with alike and what they end with alike. */
static size_t difference(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), same = 0;
    while (same < MIN(n, m) && letter(a[same]) == b[same])
        same++;
    for (; MIN(n, m) > same && letter(a[n - 1]) == b[m - 1]; n--)
        m--;
    return MAX(n, m) - same;
}

/* The option whose name is so near to an unknown one that a slip of the hand explains it, in these words; "" for none. */
static struct shown hint(const char *unknown, const char *before, const char *behind) {
    struct shown s = {""};
    size_t too_many = MIN(strlen(unknown) / 2, 3) + 1;
    for (const struct option *o = options; o->kind <= FIXED; o++) {
        size_t n = difference(unknown, o->name);
        if (n >= too_many) continue;
        snprintf(s.text, sizeof s.text, "%s%s%s", before, o->name, behind);
        too_many = n;
    }
    return s;
}

/* `problem` is what is wrong with the option's value; the sentence goes on with what is allowed. */
static bool refuse_value(const struct load *l, const struct option *o, const char *problem) {
    const char *zero = !o->zero ? "" : o->kind == OUTPUT ? ", or normal 0 0 0 for " : ", or 0 for ";
    if (o->kind == FIXED)
        return refuse(l, "%s: %s; give %s: %s", o->name, problem, *o->initial ? o->initial : "\"\"", o->help);
    if (kinds[o->kind].words[0]) return refuse(l, "%s: %s; give %s", o->name, problem, kinds[o->kind].what);
    return refuse(l, "%s: %s; give %s%s to %s%s%s%s", o->name, problem, kinds[o->kind].what,
                  show_number(o->kind, o->min).text, show_number(o->kind, o->max).text, kinds[o->kind].unit, zero,
                  o->zero ? o->zero : "");
}

/* ---- one setting ---- */

/* One of the kind's words, or digits, octal for a MODE; for BYTES with a unit of redis.conf, where 1k is 1000 and
 * 1kb is 1024. */
static bool parse_number(enum kind kind, const char *text, int64_t *number) {
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"", 1},         {"b", 1},          {"k", 1000},     {"kb", 1 << 10},      {"m", 1000000},
                 {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}, {"t", 1000000000000}, {"tb", 1ll << 40}};
    size_t unit = 0, count = kind == BYTES ? sizeof units / sizeof *units : 1;
    char *end;
    const char *const *words = kinds[kind].words;
    for (*number = 0; words[*number]; ++*number)
        if (strcasecmp(text, words[*number]) == 0) return true;
    if (!isdigit((unsigned char)text[kind == NUMBER && *text == '-']) || words[0]) return false;
    int64_t n = strtoll(text, &end, kind == MODE ? 8 : 10); /* too many digits give 2^63 - 1, beyond all bounds */
    while (unit < count && strcasecmp(end, units[unit].name) != 0)
        unit++;
    if (unit == count || n > INT64_MAX / units[unit].bytes) return false;
    *number = n * units[unit].bytes;
    return true;
}

/* "CLASS HARD SOFT SECONDS". Only the hard limit of normal clients means something here, so their soft one
 * must be 0; the other classes have no clients. */
static bool parse_output(const char *text, int64_t *limit) {
    char copy[128], *rest;
    int64_t n, hard_bytes;
    snprintf(copy, sizeof copy, "%s", text);
    const char *class = strtok_r(copy, " ", &rest), *hard = strtok_r(NULL, " ", &rest);
    const char *soft = strtok_r(NULL, " ", &rest), *seconds = strtok_r(NULL, " ", &rest);
    if (!seconds || strtok_r(NULL, " ", &rest) || !parse_number(SECONDS, seconds, &n) ||
        !parse_number(BYTES, soft, &n) || !parse_number(BYTES, hard, &hard_bytes))
        return false;
    if (strcasecmp(class, "normal") != 0)
        return !strcasecmp(class, "replica") || !strcasecmp(class, "slave") || !strcasecmp(class, "pubsub");
    *limit = hard_bytes;
    return n == 0;
}

static int64_t get_number(const struct config *c, const struct option *o) {
    const void *field = (const char *)c + o->offset;
    if (o->size == sizeof(int)) return __atomic_load_n((const int *)field, __ATOMIC_RELAXED);
    return (int64_t)__atomic_load_n((const uint64_t *)field, __ATOMIC_RELAXED);
}

static void set_number(struct config *c, const struct option *o, int64_t n) {
    void *field = (char *)c + o->offset;
    if (o->size == sizeof(int))
        __atomic_store_n((int *)field, (int)n, __ATOMIC_RELAXED);
    else
        __atomic_store_n((uint64_t *)field, (uint64_t)n, __ATOMIC_RELAXED);
}

static bool set_value(struct config *c, const struct option *o, const char *value) {
    void *field = (char *)c + o->offset;
    int64_t n = o->kind <= OUTPUT ? get_number(c, o) : (int64_t)strlen(value);
    if (o->kind == FIXED) return strcasecmp(value, o->initial) == 0;
    bool ok = o->kind == OUTPUT  ? parse_output(value, &n)
              : o->kind < OUTPUT ? parse_number(o->kind, value, &n)
                                 : !strpbrk(value, "\r\n"); /* a secret's file often ends with one */
    if (!ok || ((n < o->min || n > o->max) && !(n == 0 && o->zero))) return false;
    if (o->kind > OUTPUT)
        memcpy(field, value, (size_t)n + 1);
    else
        set_number(c, o, n);
    return true;
}

/* `count` is how many words the value is made of, joined by one space; 0: there is none. */
static bool set_option(const struct load *l, const char *name, const char *value, int count) {
    const struct option *o = find_option(name);
    char problem[SHOWN_SIZE + 32];
    if (!o)
        return refuse(l, "unknown option \"%s\"; %s--help lists the known ones", show(name).text,
                      hint(name, "did you mean ", "? ").text);
    if (o->kind == IGNORED) return true;
    if (o->kind == REFUSED) /* without the value: it may be a password */
        return refuse(l, "%s: this cache does not do that; %s", show(name).text, o->help);
    if (count > 1 && (o->kind == TEXT || o->kind == SECRET))
        return refuse(l, "%s: %d words are not allowed; put the value in quotes", o->name, count);
    if (count == 0) return refuse_value(l, o, "a value is missing");
    if (set_value(l->config, o, value)) return true;
    snprintf(problem, sizeof problem, "\"%s\" is not allowed", show(value).text);
    return refuse_value(l, o, o->kind == SECRET ? "the value (not shown) is not allowed" : problem);
}

void config_init(struct config *c) {
    memset(c, 0, sizeof *c);
    for (const struct option *o = options; o->kind <= FIXED; o++)
        set_value(c, o, o->initial);
}

/* ---- the file ---- */

#define SPACE " \t\r\n\v\f"

/* Splits the line in place: without quotes and with single spaces it only gets shorter. */
static bool load_line(const struct load *l, char *line) {
    char *in = line + strspn(line, SPACE), *end = in + strlen(in), *out = line, *value = NULL;
    int count = 0;
    if (*in == '\0' || *in == '#') return true;
    for (struct slice word; in < end; in += strspn(in, SPACE), count++) {
        if (!resp_word(&in, end, &word) || memchr(word.p, '\0', word.n))
            return refuse(l, "quotes are not balanced; close each, with white space behind it");
        if (count) *out++ = count > 1 ? ' ' : '\0';
        if (count == 1) value = out;
        memmove(out, word.p, word.n);
        out += word.n;
    }
    *out = '\0';
    return set_option(l, line, value, count - 1);
}

/* Opens a file; with `again` only one that can be read again, and that nobody has to wait for. */
static FILE *open_file(const struct load *l, const char *path) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | (l->again ? O_NONBLOCK | O_NOCTTY : 0));
    if (fd >= 0 && l->again && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        close(fd);
        return errno = 0, NULL;
    }
    return fd >= 0 ? fdopen(fd, "r") : NULL;
}

/* Why there was nothing to be read. */
static const char *unreadable(void) { return errno ? strerror(errno) : "a pipe or device cannot be read again"; }

static bool load_file(struct load *l, const char *path) {
    FILE *file = open_file(l, path);
    char *line = NULL;
    size_t size = 0;
    ssize_t n = 0;
    int bad = 0;
    for (int number = 1; file && bad < CONFIG_ERRORS_MAX && (n = getline(&line, &size, file)) >= 0; number++) {
        snprintf(l->place, sizeof l->place, "%s line %d: ", show(path).text, number);
        bad += !(strlen(line) == (size_t)n ? load_line(l, line) : refuse(l, "NUL bytes are not allowed"));
    }
    l->place[0] = '\0';
    if (!file || (n < 0 && !feof(file)))
        bad += !refuse(l, "cannot read the configuration file \"%s\": %s", show(path).text, unreadable());
    free(line);
    if (file) fclose(file);
    return bad == 0;
}

/* ---- the environment ---- */

#define PREFIX "SPONSON_"

/* `variable` is NAME=value without the prefix. Kubernetes names variables after services: what is no option
 * with a value here is noted and ignored. */
static bool load_variable(struct load *l, const char *variable) {
    const char *equals = strchr(variable, '=');
    char name[NAME_SIZE];
    if (!equals) return true;
    snprintf(name, sizeof name, "%.*s", (int)(equals - variable), variable); /* a cut one is no option's */
    struct shown shown = show(name);
    for (char *p = strchr(name, '_'); p; p = strchr(p, '_'))
        *p = '-';
    const struct option *o = find_option(name);
    bool unknown = !o || o->kind > FIXED;
    if (unknown || (o->kind != SECRET && strstr(equals, "://"))) { /* a password may look like an address */
        note(l->config, "ignored environment variable " PREFIX "%s: %s%s%s\n", shown.text,
             unknown ? "unknown option; " : "an address, as Kubernetes sets it",
             unknown ? hint(name, "did you mean ", "? ").text : "", unknown ? "--help lists the known ones" : "");
        return true;
    }
    snprintf(l->place, sizeof l->place, PREFIX "%s: ", shown.text);
    return set_option(l, name, equals + 1, 1);
}

/* ---- the flags ---- */

/* The value of a flag is what stands behind its '=' and all words up to the next flag. */
static bool load_flags(const struct load *l, char **argv, int argc) {
    char text[FLAG_SIZE];
    for (int i = 0; i < argc;) {
        const char *flag = argv[i++];
        size_t n = (size_t)snprintf(text, sizeof text, "%s", flag), name = strcspn(flag, "=");
        int values = flag[name] == '=';
        if (strncmp(flag, "--", 2) != 0)
            return refuse(l, "unknown argument \"%s\"; give a file first, then --option value, or --help",
                          show(flag).text);
        if (strcmp(flag, "--ping") == 0) continue;
        for (; i < argc && strncmp(argv[i], "--", 2) != 0 && n < sizeof text; i++, values++)
            n += (size_t)snprintf(text + n, sizeof text - n, " %s", argv[i]);
        text[MIN(name, sizeof text - 1)] = '\0';
        if (n >= sizeof text) return refuse(l, "%s: over %d bytes are not allowed", show(text + 2).text, FLAG_SIZE);
        if (!set_option(l, text + 2, text + name + 1, values)) return false;
    }
    return true;
}

/* ---- the password's own file ---- */

static bool load_password(const struct load *l) {
    const char *path = l->config->requirepass_file;
    if (!*path) return true;
    if (*l->config->requirepass)
        return refuse(l, "requirepass-file: \"%s\" is not allowed beside requirepass; give one of them",
                      show(path).text);
    FILE *file = open_file(l, path);
    char *line = NULL;
    size_t size = 0;
    ssize_t n = file ? getline(&line, &size, file) : -1;
    const char *why = n < 0 ? unreadable() : strlen(line) < (size_t)n ? "it holds a NUL" : NULL;
    if (file && feof(file) && n < 0) why = "it is empty";
    if (!why) line[strcspn(line, "\r\n")] = '\0';
    if (!why && !*line) why = "its first line is empty";
    bool ok = why ? refuse(l, "requirepass-file: cannot take a password from \"%s\": %s", show(path).text, why)
                  : set_option(l, "requirepass", line, 1);
    free(line);
    if (file) fclose(file);
    return ok;
}

/* ---- --help ---- */

static void print_help(void) {
    printf("usage: sponson [/path/to/sponson.conf] [--option value ...]\n"
           "       sponson [the server's own file and options] --ping\n"
           "       sponson --help | --version\n\n"
           "The file is a redis.conf; an option may also be a variable (SPONSON_MAXMEMORY=256mb) or a flag.\n"
           "Flags win over the environment, that over the file. 1k is 1000 bytes, 1kb 1024; so m, g, t.\n"
           "FIXED: an option of Redis with one value here; its others change nothing or are refused.\n"
           "*: may be changed while the server runs, by CONFIG SET, or by SIGHUP, which reads the file again.\n\n");
    for (const struct option *o = options; o->kind <= FIXED; o++) {
        bool zero = o->zero && (o->kind == OUTPUT || strcmp(o->initial, "0") == 0);
        const char *initial = zero ? o->zero : o->initial;
        printf("  --%s %-*s%s (default %s%s)%s\n", o->name, (int)(34 - strlen(o->name)), kinds[o->kind].placeholder,
               o->help, zero ? "0: " : "", *initial ? initial : "none", o->changes == AT_ANY_TIME ? " *" : "");
    }
}

/* ---- all of it ---- */

enum config_result config_load(struct config *c, int argc, char **argv, char **environment, bool again, char *error,
                               size_t error_size) {
    struct load l = {.config = c, .again = again, .error = error, .error_size = error_size};
    bool ping = false;
    *error = '\0';
    int flags = argc > 1 && argv[1][0] != '-' ? 2 : 1;
    for (int i = 1; i < argc; i++) { /* but for the last of them, these win over everything, even over a broken file */
        if (strcmp(argv[i], "--help") == 0) return print_help(), CONFIG_EXIT;
        if (strcmp(argv[i], "--version") == 0) return puts("sponson " SPONSON_VERSION), CONFIG_EXIT;
        ping |= strcmp(argv[i], "--ping") == 0;
    }
    if (flags == 2 && !load_file(&l, argv[1])) return CONFIG_BAD;
    for (char **e = environment; *e; e++)
        if (strncmp(*e, PREFIX, sizeof PREFIX - 1) == 0 && !load_variable(&l, *e + sizeof PREFIX - 1))
            return CONFIG_BAD;
    l.place[0] = '\0';
    if (!load_flags(&l, argv + flags, argc - flags)) return CONFIG_BAD;
    if (ping) return CONFIG_PING; /* which needs no password */
    return load_password(&l) ? CONFIG_OK : CONFIG_BAD;
}

/* ---- what depends on the machine and on other options ---- */

/* The largest maxmemory, in whole megabytes, that fits with clients' buffers and the process. */
static uint64_t maxmemory_within(const struct config *c, uint64_t limit) {
    uint64_t room = limit - MIN(limit, PROCESS_OVERHEAD_BYTES);
    uint64_t clients = c->client_memory_bytes;
    if (clients == 0) /* a sixteenth of maxmemory: the seventeenth part of both together */
        clients = MAX(CLIENT_MEMORY_DEFAULT_MIN, (room + 16) / 17);
    return (room - MIN(room, clients)) / MB * MB;
}

static bool resolve_maxmemory(const struct load *l, const struct host *h) {
    struct config *c = l->config;
    uint64_t machine = h->memory_bytes, cgroup = h->cgroup_memory_bytes;
    bool grouped = cgroup > 0 && (machine == 0 || cgroup < machine);
    uint64_t limit = grouped ? cgroup : machine ? machine : MACHINE_BLIND, most = maxmemory_within(c, limit);
    char *source = c->maxmemory_source;
    const char *what = grouped ? "cgroup limit" : machine ? "machine" : "guess";
    snprintf(source, sizeof c->maxmemory_source, "%s of %" PRIu64 " MB", what, limit / MB);
    if (c->maxmemory_bytes) { /* what was given is obeyed, but said to be too much where it is */
        if (c->maxmemory_bytes > most)
            note(c, "maxmemory %s risks an OOM kill: beside clients' buffers and the process %s fits a %s\n",
                 SHOW_BYTES(c->maxmemory_bytes), SHOW_BYTES(most), source);
        strcpy(source, "maxmemory");
        return true;
    }
    most = MIN(most, grouped ? limit / 4 * 3 : limit / 4);
    c->maxmemory_bytes = MIN(most, MAXMEMORY_MAX) / MB * MB;
    if (c->maxmemory_bytes >= MAXMEMORY_MIN) return true;
    return refuse(l, "maxmemory: 0 is not allowed with a %s; give %s to %s, or less client-memory", source,
                  SHOW_BYTES(MAXMEMORY_MIN), SHOW_BYTES(MAXMEMORY_MAX));
}

/* The sizes that follow from maxmemory. */
static bool resolve_sizes(const struct load *l) {
    struct config *c = l->config;
    uint64_t shard = c->maxmemory_bytes / SHARDS, size = c->max_value_size_bytes;
    if (c->shard_capacity == 0) c->shard_capacity = shard / ENTRY_SIZE_LEAST;
    if (c->client_memory_bytes == 0) c->client_memory_bytes = MAX(CLIENT_MEMORY_DEFAULT_MIN, c->maxmemory_bytes / 16);
    if (c->client_output_bytes == 0)
        c->client_output_bytes = MIN(CLIENT_OUTPUT_DEFAULT_MAX, c->client_memory_bytes / 2);
    if (c->client_output_bytes > c->client_memory_bytes)
        return refuse(l, "client-output-buffer-limit: %s is not allowed; give at most client-memory, %s",
                      SHOW_BYTES(c->client_output_bytes), SHOW_BYTES(c->client_memory_bytes));
    if (size == 0) {
        c->max_value_size_bytes = size = MIN(VALUE_SIZE_DEFAULT_MAX, shard / 8);
        if (size < VALUE_SIZE_DEFAULT_MAX)
            strcpy(c->value_size_note, " (an eighth of a shard; 1mb needs maxmemory 512mb)");
    }
    if (size <= shard / 2) return true;
    return refuse(l, "max-value-size: %s is not allowed with maxmemory %s; give at most %s, or maxmemory %s",
                  SHOW_BYTES(size), SHOW_BYTES(c->maxmemory_bytes), SHOW_BYTES(shard / 2),
                  SHOW_BYTES((size * 2 * SHARDS + MB - 1) / MB * MB));
}

bool config_resolve(struct config *c, const struct host *h, char *error, size_t error_size) {
    struct load l = {.config = c, .error = error, .error_size = error_size};
    *error = '\0';
    if (c->port == 0 && c->unixsocket[0] == '\0')
        return refuse(&l, "port: 0 is not allowed without unixsocket; give 1 to 65535, or a unixsocket");
    if (c->threads == 0) c->threads = (int)MIN((uint64_t)host_usable_cpus(h), THREADS_MAX);
    return resolve_maxmemory(&l, h) && resolve_sizes(&l);
}

/* ---- CONFIG SET ---- */

enum config_change config_change(struct config *next, const char *name, const char *value, char *error,
                                 size_t error_size) {
    struct load l = {.config = next, .error = error, .error_size = error_size};
    const struct option *o = find_option(name);
    snprintf(error, error_size, "%s", o ? "" : hint(name, ", did you mean '", "'?").text);
    if (!o || o->kind > FIXED) return CONFIG_UNKNOWN;
    if (o->kind != FIXED && o->changes != AT_ANY_TIME) return CONFIG_IMMUTABLE;
    return !value || set_option(&l, o->name, value, 1) ? CONFIG_CHANGED : CONFIG_INVALID;
}

void config_follow(struct config *next, const struct config *running, bool capacity_given, bool value_size_given) {
    uint64_t was = running->maxmemory_bytes / SHARDS;
    if (next->maxmemory_bytes == running->maxmemory_bytes) return;
    if (!capacity_given && next->shard_capacity == was / ENTRY_SIZE_LEAST) next->shard_capacity = 0;
    if (!value_size_given && next->max_value_size_bytes == MIN(VALUE_SIZE_DEFAULT_MAX, was / 8))
        next->max_value_size_bytes = 0;
}

void config_apply(struct config *running, const struct config *next) {
    for (const struct option *o = options; o->kind <= FIXED; o++) {
        if (o->changes != AT_START && o->kind <= OUTPUT)
            set_number(running, o, get_number(next, o));
        else if (o->changes != AT_START)
            memcpy((char *)running + o->offset, (const char *)next + o->offset, o->size);
    }
}

/* ---- CONFIG GET ---- */

const char *config_name(int i) { return options[i].kind <= FIXED ? options[i].name : NULL; }

size_t config_value(const struct config *c, int i, bool units, char *text, size_t size) {
    const struct option *o = &options[i];
    const char *field = (const char *)c + o->offset;
    struct shown number =
        show_number(units || o->kind == MODE ? o->kind : NUMBER, o->kind <= OUTPUT ? get_number(c, o) : 0);
    const char *const *words = kinds[o->kind].words;
    const char *value = words[0]                      ? words[get_number(c, o)]
                        : o->kind <= OUTPUT           ? number.text
                        : o->kind == FIXED            ? o->initial
                        : o->kind == SECRET && *field ? "********"
                                                      : field;
    int n = snprintf(text, size, o->kind == OUTPUT ? "normal %s 0 0" : "%s", value);
    return MIN((size_t)n, size ? size - 1 : 0);
}

void config_compare(const struct config *running, const struct config *next, char *text, size_t size) {
    char was[CONFIG_TEXT_MAX + 64], is[CONFIG_TEXT_MAX + 64];
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        const char *before = pass == 0 ? "" : n ? "; needs a restart: " : "nothing changed; needs a restart: ";
        for (int i = 0; config_name(i) && n < size; i++) {
            const struct option *o = &options[i];
            if ((o->changes == AT_START) != pass) continue;
            config_value(running, i, true, was, sizeof was);
            config_value(next, i, true, is, sizeof is);
            bool secret = o->kind == SECRET;
            if (secret ? !strcmp(running->requirepass, next->requirepass) : !strcmp(was, is)) continue;
            const char *now = secret ? "" : *is ? is : "\"\"";
            if (secret) strcpy(was, *is ? "changed" : "removed");
            n += (size_t)snprintf(text + n, size - n, "%s%s %s%s%s", before, o->name, was, secret ? "" : " -> ", now);
            before = ", ";
        }
    }
    if (n == 0) snprintf(text, size, "nothing changed");
}
