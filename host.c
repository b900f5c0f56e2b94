/* host.c -- the process and its surroundings: limits of memory and CPUs, control groups counted; log lines; the service
 * manager.
 *
 *   /proc/self/cgroup        directories below /sys/fs/cgroup, each with its ancestors up to the mount's top
 *   4:memory:/pod/app        memory/pod/app
 *   5:cpu,cpuacct:/pod/app   cpu/pod/app, cpuacct/pod/app, cpu,cpuacct/pod/app: a joint mount has links or not
 *   0::/pod/app              pod/app, unified/pod/app (v2 alone; v1 and v2 at once)
 *
 * A group is held to the limits of all its ancestors, so the least of them counts. In a container the path
 * may be the host's and not exist below the mount; the mount's top then is the container's own group.
 *
 * Owns    nothing; a log line is built on the stack.
 *
 * True    a log line holds no control character but its last byte, and is UTF-8, so a text that came from outside cannot
 *         forge a line; as JSON it is an object, whatever it says.
 *
 * Threads any, but for host_notify(); one write(2) a log line, with no lock held.
 *
 * Failure what cannot be read counts as no limit; a line that cannot be written is lost. errno is kept by log_line(). */
#include "host.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define NO_LIMIT_FROM (1ull << 60) /* bytes: "no limit" of v1 is 2^63 less a page, and no machine is so large */
#define AFFINITY_SETS 8            /* of 1024 CPUs: the kernel has no more than 8192 */

/* ---- limits ---- */

/* The number at the start of the file's first line, or behind the first space of it; 0 for none and for
 * "max", near 2^64 for a negative one. */
static uint64_t read_number(const char *directory, const char *name, char behind) {
    char path[PATH_MAX + 64], line[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    const char *number = fgets(line, sizeof line, file);
    fclose(file);
    if (number && behind) number = strchr(number, behind);
    return number ? strtoull(number, NULL, 10) : 0;
}

static void limit_memory(struct host *h, uint64_t bytes) {
    if (bytes > 0 && bytes < NO_LIMIT_FROM && (h->cgroup_memory_bytes == 0 || bytes < h->cgroup_memory_bytes))
        h->cgroup_memory_bytes = bytes;
}

static void limit_cpus(struct host *h, uint64_t quota_us, uint64_t period_us) {
    uint64_t cpus = period_us ? quota_us / period_us + (quota_us % period_us != 0) : 0;
    if (cpus > 0 && cpus <= INT_MAX && (h->cgroup_cpus == 0 || (int)cpus < h->cgroup_cpus)) h->cgroup_cpus = (int)cpus;
}

/* Applies the limits, of v1 or v2, of the group's directory below the mount and of all its ancestors. */
static void read_mount(struct host *h, const char *root, const char *mount, const char *group) {
    char directory[PATH_MAX];
    size_t top = (size_t)snprintf(directory, sizeof directory, "%s/sys/fs/cgroup/%s", root, mount);
    /* A group outside of our cgroup namespace shows as "/../x"; only the top is ours to read then. A path too
     * long to open is left at the top as well. */
    if (top >= sizeof directory) return;
    if (!strstr(group, "/..") && strlen(group) < sizeof directory - top) strcpy(directory + top, group);
    for (;;) {
        limit_memory(h, read_number(directory, "memory.limit_in_bytes", '\0'));
        limit_memory(h, read_number(directory, "memory.max", '\0'));
        limit_cpus(h, read_number(directory, "cpu.cfs_quota_us", '\0'),
                   read_number(directory, "cpu.cfs_period_us", '\0'));
        limit_cpus(h, read_number(directory, "cpu.max", '\0'), read_number(directory, "cpu.max", ' '));
        char *last = strrchr(directory + top, '/');
        if (!last) return;
        *last = '\0';
    }
}

/* `line` is "number:controllers:path"; the path may hold colons. */
static void read_group(struct host *h, const char *root, char *line) {
    char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL, *rest;
    if (!group || group[1] != '/') return;
    *group++ = '\0';
    read_mount(h, root, ++controllers, group); /* all of them; "" for v2 */
    if (*controllers == '\0') read_mount(h, root, "unified", group);
    for (char *one = strtok_r(controllers, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
        read_mount(h, root, one, group);
}

void host_read(struct host *h, const char *root) {
    char path[PATH_MAX], line[2 * PATH_MAX];
    cpu_set_t affinity[AFFINITY_SETS];
    *h = (struct host){.cpus = 1};
    if (sched_getaffinity(0, sizeof affinity, affinity) == 0) h->cpus = CPU_COUNT_S(sizeof affinity, affinity);
    snprintf(path, sizeof path, "%s/proc", root);
    uint64_t kilobytes = read_number(path, "meminfo", ' '); /* the first line is MemTotal */
    h->memory_bytes = kilobytes < NO_LIMIT_FROM / 1024 ? kilobytes * 1024 : 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) { /* a group's path is shorter than PATH_MAX */
        line[strcspn(line, "\n")] = '\0';
        read_group(h, root, line);
    }
    if (file) fclose(file);
}

uint64_t host_resident_bytes(void) { return read_number("/proc/self", "statm", ' ') * (uint64_t)sysconf(_SC_PAGESIZE); }

int host_usable_cpus(const struct host *h) {
    return MAX(h->cgroup_cpus > 0 ? MIN(h->cgroup_cpus, h->cpus) : h->cpus, 1);
}

/* ---- log lines ---- */

enum { TEXT_MAX = 1000, HEAD_MAX = 96 };

/* Writes "2026-11-20T17:45:08.123Z notice ", or the same as JSON, and returns its length. The calendar is computed here
 * (Hinnant's days-to-civil): gmtime_r() and strftime() bring time zones, locales and scanf, 100 KB, into the static
 * binary. */
static size_t put_head(char *line, enum log_level level, bool json) {
    static const char *const names[] = {"debug", "verbose", "notice", "warning"};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t days = now.tv_sec / 86400 + 719468, second = now.tv_sec % 86400; /* days since March 1st of year 0 */
    int64_t era = days / 146097, day_of_era = days % 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    int64_t year = era * 400 + year_of_era + (month >= 10);
    return (size_t)snprintf(line, HEAD_MAX,
                            json ? "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\",\"level\":\"%s\",\"message\":\""
                                 : "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s ",
                            (int)year, (int)(month < 10 ? month + 3 : month - 9), (int)day, (int)(second / 3600),
                            (int)(second / 60 % 60), (int)(second % 60), (int)(now.tv_nsec / 1000000), names[level]);
}

/* The bytes of the character of UTF-8 that the text begins with; 0: there is none, or it is a control character. */
static size_t character_size(const char *text, size_t n) {
    static const uint32_t least[] = {0, ' ', 0xa0, 0x800, 0x10000}; /* of so many bytes */
    uint32_t first = (unsigned char)*text;
    size_t size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t character = size > 1 ? first & (0xffu >> size) : first;
    if (size > n) return 0;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        character = character << 6 | (text[i] & 0x3f);
    }
    bool is_character = character < 0xd800 || (character > 0xdfff && character < 0x110000);
    return is_character && character >= least[size] && character != 0x7f ? size : 0;
}

static void write_line(const struct log *log, enum log_level level, const char *text) {
    char line[HEAD_MAX + 2 * TEXT_MAX + sizeof "\"}\n"];
    bool json = log->format == LOG_FORMAT_JSON;
    size_t used = put_head(line, level, json), size;
    for (size_t n = strlen(text); n > 0; n -= size, text += size) {
        size = character_size(text, n);
        if (json && (*text == '"' || *text == '\\')) line[used++] = '\\';
        memcpy(line + used, size ? text : "?", MAX(size, 1));
        used += size = MAX(size, 1);
    }
    used += (size_t)sprintf(line + used, json ? "\"}\n" : "\n");
    struct pollfd ready = {log->fd, POLLOUT, 0}; /* a pipe that nobody reads holds up nobody: the line is lost */
    ssize_t written = poll(&ready, 1, 0) == 1 ? write(log->fd, line, used) : 0;
    (void)written; /* there is nowhere to complain to */
}

/* What a notice says is an administrator's doing: it may be a script. */
static uint64_t lines_max(enum log_level level) { return level == LOG_LEVEL_NOTICE ? LOG_NOTICES_MAX : LOG_LINES_MAX; }

void log_repeats(struct log *log, bool all) {
    char text[TEXT_MAX + 1];
    for (struct log_site *site = log->site; site < log->site + LOG_SITES; site++) {
        pthread_mutex_lock(&log->lock);
        struct log_site seen = *site;
        bool over = all || (uint64_t)(time(NULL) - seen.since) >= LOG_WINDOW_S; /* or the clock was set back */
        if (over) site->lines = 0;
        pthread_mutex_unlock(&log->lock);
        if (!over || seen.lines <= lines_max(seen.level)) continue;
        snprintf(text, sizeof text, "%llu more lines like \"%.*s...\" left out",
                 (unsigned long long)(seen.lines - lines_max(seen.level)), (int)strcspn(seen.format, "%"), seen.format);
        write_line(log, seen.level, text);
    }
}

/* Counts a line of this kind. Returns how many there are in its window. */
static uint64_t count_line(struct log *log, enum log_level level, const char *format) {
    struct log_site *site = log->site;
    pthread_mutex_lock(&log->lock);
    while (site < log->site + LOG_SITES - 1 && site->format && site->format != format)
        site++;
    if (site->lines++ == 0) *site = (struct log_site){format, level, time(NULL), 1};
    uint64_t lines = site->lines;
    pthread_mutex_unlock(&log->lock);
    return lines;
}

void log_line(struct log *log, enum log_level level, const char *format, ...) {
    if ((int)level < log->level) return;
    int kept_errno = errno;
    char text[TEXT_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_repeats(log, false);
    if (level < LOG_LEVEL_NOTICE || count_line(log, level, format) <= lines_max(level)) write_line(log, level, text);
    errno = kept_errno;
}

void log_lines(struct log *log, enum log_level level, const char *before, const char *lines) {
    char text[TEXT_MAX + 1];
    for (size_t n; (int)level >= log->level && *lines; lines += n + (lines[n] == '\n')) {
        n = strcspn(lines, "\n");
        snprintf(text, sizeof text, "%s%.*s", before, (int)n, lines);
        write_line(log, level, text);
    }
}

/* ---- the service manager ---- */

void host_notify(struct log *log, const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!path) return;
    size_t n = strlen(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, path, MIN(n, sizeof a.sun_path)); /* none has the beginning of one that is too long */
    if (*path == '@') a.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + MIN(n, sizeof a.sun_path));
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&a, size) < 0 &&
        errno != EAGAIN && errno != ENOBUFS) { /* it is there, and busy */
        log_line(log, LOG_LEVEL_WARNING, "cannot tell the service manager at %s: %s", path, strerror(errno));
        unsetenv("NOTIFY_SOCKET");
    }
    if (fd >= 0) close(fd);
}
