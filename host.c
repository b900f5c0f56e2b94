/* host.c -- what this process may use of the machine: memory and CPUs, control groups counted.
 *
 *   /proc/self/cgroup        directories below /sys/fs/cgroup, each with its ancestors up to the mount's top
 *   4:memory:/pod/app        memory/pod/app
 *   5:cpu,cpuacct:/pod/app   cpu/pod/app, cpuacct/pod/app, cpu,cpuacct/pod/app: a joint mount has links or not
 *   0::/pod/app              pod/app, unified/pod/app (v2 alone; v1 and v2 at once)
 *
 * A group is held to the limits of all its ancestors, so the least of them counts. In a container the path
 * may be the host's and not exist below the mount; the mount's top then is the container's own group.
 *
 * Owns    nothing.   Threads any.   Failure: what cannot be read counts as no limit. */
#include "host.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT_FROM (1ull << 60) /* bytes: "no limit" of v1 is 2^63 less a page, and no machine is so large */
#define AFFINITY_SETS 8            /* of 1024 CPUs: the kernel has no more than 8192 */

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
    char path[PATH_MAX];
    cpu_set_t affinity[AFFINITY_SETS];
    *h = (struct host){.cpus = 1};
    if (sched_getaffinity(0, sizeof affinity, affinity) == 0) h->cpus = CPU_COUNT_S(sizeof affinity, affinity);
    snprintf(path, sizeof path, "%s/proc", root);
    uint64_t kilobytes = read_number(path, "meminfo", ' '); /* the first line is MemTotal */
    h->memory_bytes = kilobytes < NO_LIMIT_FROM / 1024 ? kilobytes * 1024 : 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        read_group(h, root, line);
    }
    free(line);
    if (file) fclose(file);
}

uint64_t host_resident_bytes(void) { return read_number("/proc/self", "statm", ' ') * (uint64_t)sysconf(_SC_PAGESIZE); }

int host_usable_cpus(const struct host *h) {
    int cpus = h->cgroup_cpus > 0 && h->cgroup_cpus < h->cpus ? h->cgroup_cpus : h->cpus;
    return cpus > 0 ? cpus : 1;
}
