/* host.h -- the process and its surroundings: what it may use of the machine, and its service manager. log.h is the rest
 * of host.c. */
#ifndef SPONSON_HOST_H
#define SPONSON_HOST_H

#include <stdint.h>

struct host {
    uint64_t memory_bytes;        /* physical memory of the machine; 0 when it cannot be read */
    uint64_t cgroup_memory_bytes; /* the least memory limit of our control group and all its ancestors; 0: none */
    int cpus;                     /* CPUs in our affinity mask, at least 1 */
    int cgroup_cpus;              /* the least CPU quota over all ancestors, rounded up; 0: none */
};

/* Fills *h. `root` is put before every path that is read ("" for the real machine, a made-up tree in tests); the
 * affinity mask always is the process's own. Understands control groups v1 and v2 and both at once; "max", -1 and
 * limits near 2^63 mean none. What cannot be read counts as no limit. */
void host_read(struct host *h, const char *root);

/* The CPUs that this process may use at once: the lesser of affinity and quota, at least 1. */
int host_usable_cpus(const struct host *h);

/* The memory of this process that is resident; 0 when it cannot be read. */
uint64_t host_resident_bytes(void);

struct log;

/* Tells the service manager, where NOTIFY_SOCKET names its socket, lines of NAME=value as sd_notify(3) has them. If that
 * fails, one warning says so, and no more is told. The main thread's alone: it may change the environment. */
void host_notify(struct log *log, const char *state);

#endif
