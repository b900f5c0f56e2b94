/* worker.h -- one event loop per thread, and the connections that belong to it. */
#ifndef SPONSON_WORKER_H
#define SPONSON_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "command.h"

struct worker;

/* Bytes of a connection, for registry_init(). */
size_t worker_record_bytes(void);

/* Worker `index` of `count`, which does not run yet, or NULL; errno tells why. Its counters become those at the
 * same index of the server's. */
struct worker *worker_new(struct command_server *server, int index, int count);

bool worker_start(struct worker *w);

/* Gives the worker a connected, non-blocking socket of a client at `peer`. False: there is no room; fd is still the
 * caller's. From any one thread. */
bool worker_add(struct worker *w, int fd, const struct sockaddr_storage *peer, int64_t now_ms);

/* How many connections it has now. */
unsigned worker_connections(const struct worker *w);

/* Asks it to answer what has arrived, flush, close all connections and end; what is not done after timeout_ms is
 * dropped. Returns at once. */
void worker_stop(struct worker *w, int64_t timeout_ms);

/* Waits for its end. */
void worker_join(struct worker *w);

void worker_free(struct worker *w);

#endif
