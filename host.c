/* host.c -- what this process may use of the machine: memory and CPUs, control groups counted.
 *
 *   /proc/self/cgroup            read below /sys/fs/cgroup                 up to, and with, the mount's top
 *   4:memory:/pod/app            memory/pod/app/memory.limit_in_bytes      memory/pod/..., memory/...
 *   5:cpu,cpuacct:/pod/app       cpu/pod/app/cpu.cfs_quota_us, ..._period_us
 *   0::/pod/app                  pod/app/memory.max and cpu.max, also below unified/ (v1 and v2 at once)
 *
 * A group is held to the limits of all its ancestors, so the least of them counts. In a container the path
 * may be the host's and not exist below the mount; the mount's top then is the container's own group.
 *
 * Owns    nothing.   Threads any.   Failure: what cannot be read counts as no limit. */
#include "host.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_LIMIT_FROM                                                                                        \
    (1ull << 60) /* bytes: "no limit" of v1 is 2^63 less a page, and no machine is so large */
#define AFFINITY_CPUS_MAX                                                                                    \
    (1 << 20) /* the kernel refuses masks smaller than its own; beyond this we give up */

/* Reads the first line of a file. */
static bool read_line(const char *path, char *line, size_t size) {
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool ok = fgets(line, (int)size, file) != NULL;
    fclose(file);
    return ok;
}

/* The number at the start of a text; 0 for "max", -1 and everything else that is no number. */
static uint64_t leading_number(const char *text) {
    if (*text < '0' || *text > '9')
        return 0;
    errno = 0;
    unsigned long long n = strtoull(text, NULL, 10);
    return errno ? 0 : n;
}

/* The number in directory/name; 0 when there is none. */
static uint64_t file_number(const char *directory, const char *name) {
    char path[PATH_MAX], line[64];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path)
        return 0;
    return read_line(path, line, sizeof line) ? leading_number(line) : 0;
}

static void limit_memory(struct host *h, uint64_t bytes) {
    if (bytes == 0 || bytes >= NO_LIMIT_FROM)
        return;
    if (h->cgroup_memory_bytes == 0 || bytes < h->cgroup_memory_bytes)
        h->cgroup_memory_bytes = bytes;
}

static void limit_cpus(struct host *h, uint64_t quota_us, uint64_t period_us) {
    if (quota_us == 0 || period_us == 0)
        return;
    uint64_t cpus = quota_us / period_us + (quota_us % period_us != 0);
    if (cpus <= INT_MAX && (h->cgroup_cpus == 0 || (int)cpus < h->cgroup_cpus))
        h->cgroup_cpus = (int)cpus;
}

static void limit_memory_v1(struct host *h, const char *directory) {
    limit_memory(h, file_number(directory, "memory.limit_in_bytes"));
}

static void limit_cpus_v1(struct host *h, const char *directory) {
    limit_cpus(h, file_number(directory, "cpu.cfs_quota_us"), file_number(directory, "cpu.cfs_period_us"));
}

static void limit_v2(struct host *h, const char *directory) {
    limit_memory(h, file_number(directory, "memory.max"));
    char path[PATH_MAX], line[64];
    if ((size_t)snprintf(path, sizeof path, "%s/cpu.max", directory) >= sizeof path)
        return;
    if (!read_line(path, line, sizeof line))
        return;
    const char *period = strchr(line, ' ');
    if (period)
        limit_cpus(h, leading_number(line), leading_number(period + 1));
}

/* A group of this process, as a line of /proc/self/cgroup names it. */
struct group {
    const char *root;        /* put before every path */
    const char *controllers; /* "memory", "cpu,cpuacct"; "" for v2 */
    const char *path;        /* from the mount's top, beginning with '/' */
};

/* Applies `limit` to the group's directory below `mount` and to each of its ancestors up to the mount's top.
 */
static void walk(struct host *h, const struct group *g, const char *mount,
                 void (*limit)(struct host *, const char *directory)) {
    char directory[PATH_MAX];
    int top = snprintf(directory, sizeof directory, "%s/sys/fs/cgroup/%s", g->root, mount);
    if (top < 0 || (size_t)top >= sizeof directory)
        return;
    /* A group outside of our cgroup namespace shows as "/../x"; only the top is ours to read then. A path too
     * long to open is left at the top as well. */
    if (!strstr(g->path, "/..") && strlen(g->path) < sizeof directory - (size_t)top)
        strcpy(directory + top, g->path);
    for (;;) {
        limit(h, directory);
        char *last = strrchr(directory + top, '/');
        if (!last)
            return;
        *last = '\0';
    }
}

/* True when `name` is one of the controllers, which stand apart by commas. */
static bool has_controller(const char *controllers, const char *name) {
    size_t n = strlen(name);
    for (const char *p = controllers; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && memcmp(p, name, n) == 0)
            return true;
    return false;
}

static void read_group(struct host *h, const struct group *g) {
    if (*g->controllers == '\0') {
        walk(h, g, "", limit_v2);
        walk(h, g, "unified", limit_v2);
        return;
    }
    /* A hierarchy of several controllers is mounted under their joint name, mostly with a link for each. */
    if (has_controller(g->controllers, "memory")) {
        walk(h, g, "memory", limit_memory_v1);
        walk(h, g, g->controllers, limit_memory_v1);
    }
    if (has_controller(g->controllers, "cpu")) {
        walk(h, g, "cpu", limit_cpus_v1);
        walk(h, g, g->controllers, limit_cpus_v1);
    }
}

/* Reads every group of this process. A line is "number:controllers:path"; the path may hold colons. */
static void read_groups(struct host *h, const char *root) {
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= sizeof path)
        return;
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group_path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group_path || group_path[1] != '/')
            continue;
        *group_path = '\0';
        read_group(h, &(struct group){root, controllers + 1, group_path + 1});
    }
    free(line);
    fclose(file);
}

static uint64_t machine_memory(const char *root) {
    char path[PATH_MAX], line[256];
    if ((size_t)snprintf(path, sizeof path, "%s/proc/meminfo", root) >= sizeof path)
        return 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    unsigned long long kilobytes = 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemTotal: %19llu kB", &kilobytes) == 1)
            break;
    fclose(file);
    return kilobytes < NO_LIMIT_FROM / 1024 ? kilobytes * 1024 : 0;
}

static int affinity_cpus(void) {
    for (int cpus = 1024; cpus <= AFFINITY_CPUS_MAX; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (!set)
            return 1;
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    return 1;
}

void host_read(struct host *h, const char *root) {
    *h = (struct host){.memory_bytes = machine_memory(root), .cpus = affinity_cpus()};
    read_groups(h, root);
}

int host_usable_cpus(const struct host *h) {
    int cpus = h->cgroup_cpus > 0 && h->cgroup_cpus < h->cpus ? h->cgroup_cpus : h->cpus;
    return cpus > 0 ? cpus : 1;
}
