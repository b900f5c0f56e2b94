/* admin.h -- the admin endpoint: /metrics, /healthz and /readyz over HTTP, read-only, by a thread of its own.
 *
 * | asked               | answered                                                                  | then     |
 * |---------------------|---------------------------------------------------------------------------|----------|
 * | GET, HEAD /metrics  | 200, what the callback prints; 500 where that does not fit                | goes on  |
 * | GET, HEAD /healthz  | 200 "ok": the process lives                                               | goes on  |
 * | GET, HEAD /readyz   | 200 "ok", and 503 "draining" after admin_drain()                          | goes on  |
 * | another method      | 405                                                                       | goes on  |
 * | another path        | 404                                                                       | goes on  |
 * | malformed, no Host in HTTP/1.1, a body | 400                                                    | closes   |
 * | a head over ADMIN_HEAD_MAX | 431                                                                | closes   |
 * | a head not complete in time | 408                                                               | closes   |
 * | HTTP/2              | 505                                                                       | closes   |
 *
 * A query ("?x=y") is ignored. HTTP/1.1 goes on unless it says "Connection: close", HTTP/1.0 never does. Requests that
 * come at once are answered in order. */
#ifndef SPONSON_ADMIN_H
#define SPONSON_ADMIN_H

#include "buf.h"
#include "log.h"

enum admin_limits {
    ADMIN_CONNECTIONS = 16,
    ADMIN_LISTENERS = 16,
    ADMIN_HEAD_MAX = 8192,      /* bytes of a request's lines, up to and with the empty one */
    ADMIN_ANSWER_MAX = 2 << 20, /* bytes: several times what is printed when every command was called */
    ADMIN_HEAD_MS = 5000,       /* a request must be complete so soon */
    ADMIN_IDLE_MS = 30000,      /* who asks nothing more is closed after it */
    ADMIN_SEND_MS = 10000       /* an answer must be taken so soon, and after the last one the connection be closed */
};

struct admin_options {
    const int *listeners; /* that listen, non-blocking; the caller's, who closes them after admin_stop() */
    int listener_count;   /* at most ADMIN_LISTENERS */
    struct log *log;
    void (*metrics)(void *context, struct buf *out); /* called by the endpoint's thread; appends to out */
    void *context;
    int head_ms, idle_ms, send_ms; /* ADMIN_HEAD_MS and so on, but in tests */
};

/* Starts the thread, which has the signal mask of the caller. NULL: the system has no memory or thread. */
struct admin *admin_start(const struct admin_options *options);

/* From now on /readyz is 503; all else goes on. */
void admin_drain(struct admin *a);

/* Ends the thread within a tenth of a second, closes its connections and frees everything. NULL is fine. */
void admin_stop(struct admin *a);

#endif
