/* server.c -- main(): options, shards, workers, listeners; accept; wait for a signal; everything down in reverse.
 *
 * Owns    the process: its options, log, descriptors and threads. Everything else is told what it needs.
 *
 * Threads main accepts and gives each socket to the worker with the fewest connections, which costs the workers
 *         nothing: the socket simply appears in the worker's epoll. Only main() exits.
 *
 * Refused A client over maxclients gets its error line, and is kept for a moment so that a reset does not take the
 *         line back: the last REFUSED_MAX of them, each twice REFUSED_MS at most.
 *
 * Failure no descriptors left: main waits for RETRY_MS, or a signal, so that accept() is not asked over and over. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/param.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin.h"
#include "client.h"
#include "command.h"
#include "config.h"
#include "host.h"
#include "info.h"
#include "log.h"
#include "shard.h"
#include "worker.h"

#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED 2
#endif

#define TCP_LISTENERS_MAX 16
#define LISTENERS_MAX (TCP_LISTENERS_MAX + 1) /* and the unix socket */
#define ACCEPTS_PER_TURN 64
#define REFUSED_MAX 16
#define REFUSED_MS 1000
#define RETRY_MS 100
#define PING_S 2

struct refused {
    int fd;
    int64_t since_ms;
};

/* Sockets that listen: for clients, or for the admin endpoint. */
struct listeners {
    int fd[LISTENERS_MAX];
    int count;
    bool beyond_loopback; /* one can be reached from other machines */
};

struct server {
    int argc; /* the arguments, to read the options again */
    char **argv;
    struct host host;
    struct config config;
    int clients_max; /* that CONFIG SET may ask for: there are descriptors for them */
    struct log log;
    struct shards shards;
    struct registry registry;
    struct pool_budget client_memory;
    struct command_server command;
    struct metrics metrics; /* of the accepting thread */
    struct worker **workers;
    int worker_count;
    struct listeners clients, admins;
    struct admin *admin; /* NULL: there is none */
    bool unix_bound;     /* the unix socket's path is ours to remove */
    int signals, shutdown_request;
    struct refused refused[REFUSED_MAX];  /* number n stands at n % REFUSED_MAX */
    unsigned refused_first, refused_next; /* those are kept, the second one excluded */
};

/* Says one sentence; returns the exit code that goes with it. */
__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("sponson: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 1;
}

/* ---- addresses ---- */

/* Turns a numeric address, or Redis's "*" and "::*" for all, into *a. Returns its size, 0 when it is none. */
static socklen_t address_parse(const char *text, int port, union address *a) {
    memset(a, 0, sizeof *a);
    if (strcmp(text, "*") == 0) text = "0.0.0.0";
    if (strcmp(text, "::*") == 0) text = "::";
    bool is_v4 = inet_pton(AF_INET, text, &a->v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, text, &a->v6.sin6_addr) != 1) return 0;
    a->any.sa_family = is_v4 ? AF_INET : AF_INET6;
    a->v4.sin_port = htons((uint16_t)port); /* of both, they stand at one place */
    return is_v4 ? sizeof a->v4 : sizeof a->v6;
}

/* The same of a path, which fits: its option is no longer. */
static socklen_t address_unix(const char *path, union address *a) {
    *a = (union address){.un = {.sun_family = AF_UNIX}};
    assert(strlen(path) < sizeof a->un.sun_path);
    strcpy(a->un.sun_path, path);
    return sizeof a->un;
}

static bool is_loopback(const union address *a) {
    if (a->any.sa_family == AF_INET) return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
    return a->any.sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

/* ---- the probe: sponson --ping ---- */

/* In a container the health check cannot repeat the server's arguments: where process 1 is this program, a probe that
 * was given none of its own takes those, with "--ping" behind them. */
static void take_arguments_of_process_1(int *argc, char ***argv) {
    enum { MOST = 256 };
    static char text[4096], *arguments[MOST]; /* which are the program's from now on */
    if (*argc != 2 || strcmp((*argv)[1], "--ping") != 0) return;
    int fd = open("/proc/1/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (n <= 0 || n == sizeof text - 1) return;
    const char *slash = strrchr(text, '/');
    if (strcmp(slash ? slash + 1 : text, "sponson") != 0) return;
    int count = 0;
    for (char *p = text; p < text + n && count < MOST - 1; p += strlen(p) + 1)
        arguments[count++] = p;
    arguments[count++] = (*argv)[1];
    *argc = count;
    *argv = arguments;
}

/* Asks the server at *a; returns the exit code, with the reason on stderr. */
static int ping_address(const union address *a, socklen_t size, const char *where) {
    struct timeval patience = {.tv_sec = PING_S};
    char reply[256] = "";
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 || /* of connect() too */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 || connect(fd, &a->any, size) != 0)
        return fail("no server at %s: %s", where, strerror(errno == EINPROGRESS ? ETIMEDOUT : errno));
    ssize_t n = send(fd, "PING\r\n", 6, MSG_NOSIGNAL);
    if (n > 0) n = recv(fd, reply, sizeof reply - 1, 0); /* its first byte tells */
    close(fd);
    reply[strcspn(reply, "\r\n")] = '\0';
    if (reply[0] == '+' || reply[0] == '-') /* NOAUTH, or too many clients: it lives, and it answers */
        return 0;
    if (n <= 0) return fail("the server at %s did not answer PING within %d s", where, PING_S);
    return fail("what listens at %s is no RESP server: it answered \"%.60s\"", where, reply);
}

static int ping(const struct config *c) {
    union address a;
    char first[CONFIG_TEXT_MAX], where[CONFIG_TEXT_MAX + 32];
    if (c->unixsocket[0]) {
        socklen_t size = address_unix(c->unixsocket, &a);
        return ping_address(&a, size, c->unixsocket);
    }
    snprintf(first, sizeof first, "%s", c->bind + strspn(c->bind, " -"));
    first[strcspn(first, " ")] = '\0';
    socklen_t size = address_parse(first, c->port, &a);
    if (size == sizeof a.v4 && a.v4.sin_addr.s_addr == htonl(INADDR_ANY)) a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (size == sizeof a.v6 && IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr)) a.v6.sin6_addr = in6addr_loopback;
    if (size == 0) return fail("bind: the first address is not a numeric one");
    char asked[INET6_ADDRSTRLEN];
    const void *ip = size == sizeof a.v4 ? (const void *)&a.v4.sin_addr : (const void *)&a.v6.sin6_addr;
    snprintf(where, sizeof where, "%s port %d", inet_ntop(a.any.sa_family, ip, asked, sizeof asked), c->port);
    return ping_address(&a, size, where);
}

/* ---- listening ---- */

/* Has the kernel probe those that a listener accepts when they are silent for `idle` seconds; 0: never. */
static void keep_alive(int listener, int idle) {
    int on = idle > 0, interval = idle / 3 ? idle / 3 : 1, count = 3;
    setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (on) {
        setsockopt(listener, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
        setsockopt(listener, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
        setsockopt(listener, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    }
}

static bool listen_on(struct server *s, struct listeners *l, const union address *a, socklen_t size) {
    int one = 1, fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    l->fd[l->count++] = fd;            /* closed with the others, whatever comes */
    if (a->any.sa_family != AF_UNIX) { /* accepted sockets inherit all of these */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        keep_alive(fd, s->config.tcp_keepalive_s);
    }
    if (a->any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, &a->any, size) != 0) return false;
    s->unix_bound |= a->any.sa_family == AF_UNIX;
    return listen(fd, s->config.tcp_backlog) == 0;
}

/* What the system said, and what is to be done about it. */
static const char *why_not(void) {
    static char text[128];
    const char *advice = errno == EADDRINUSE ? "; another server has it (ss -lnp shows which)"
                         : errno == ENOENT   ? "; its directory has to be there"
                                             : "";
    snprintf(text, sizeof text, "%s%s", strerror(errno), advice);
    return text;
}

/* Listens on every address of the list that option `name` gives. Returns the exit code. */
static int listen_tcp(struct server *s, struct listeners *l, const char *name, const char *addresses, int port) {
    char list[CONFIG_TEXT_MAX], *rest;
    snprintf(list, sizeof list, "%s", addresses);
    for (char *word = strtok_r(list, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        bool optional = *word == '-';
        word += optional;
        union address a;
        socklen_t size = address_parse(word, port, &a);
        if (size == 0)
            return fail("%s: \"%s\" is not allowed; give numeric IPv4 or IPv6 addresses, or * for all", name, word);
        if (l->count == TCP_LISTENERS_MAX) return fail("%s: more than %d addresses", name, TCP_LISTENERS_MAX);
        if (listen_on(s, l, &a, size)) {
            l->beyond_loopback |= !is_loopback(&a);
            continue;
        }
        if (!optional || (errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT && errno != ENOPROTOOPT))
            return fail("cannot listen on %s port %d (%s): %s", word, port, name, why_not());
        if (errno != EAFNOSUPPORT) close(l->fd[--l->count]);
    }
    return l->count > 0 ? 0 : fail("%s: none of the addresses is there", name);
}

/* Whether somebody answers on the unix socket at *a; if not, what lies there is a leftover. */
static bool unix_in_use(const union address *a, socklen_t size) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool in_use = fd >= 0 && (connect(fd, &a->any, size) == 0 || errno == EAGAIN);
    if (fd >= 0) close(fd);
    return in_use;
}

static int listen_unix(struct server *s) {
    const char *path = s->config.unixsocket;
    union address a;
    struct stat st;
    socklen_t size = address_unix(path, &a);
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode)) return fail("cannot listen on %s: it exists and is no socket", path);
        if (unix_in_use(&a, size)) return errno = EADDRINUSE, fail("cannot listen on %s: %s", path, why_not());
        unlink(path);
    }
    if (listen_on(s, &s->clients, &a, size) &&
        (s->config.unixsocketperm == 0 || chmod(path, (mode_t)s->config.unixsocketperm) == 0))
        return 0;
    return fail("cannot listen on %s: %s", path, why_not());
}

/* ---- options that change ---- */

/* Raises the limit of open files as far as it can be. Returns for how many clients that is enough. */
static int raise_descriptors(const struct config *c) {
    struct rlimit limit;
    /* what is not clients'; a worker has an epoll and an eventfd */
    rlim_t spare = SPARE_DESCRIPTORS + 2 * (rlim_t)c->threads + (c->admin_port ? 2 * ADMIN_CONNECTIONS : 0);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return c->maxclients;
    rlim_t need = MAX((rlim_t)c->maxclients + spare, limit.rlim_max);
    struct rlimit all = {need, need}, most = {limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &all) == 0 || setrlimit(RLIMIT_NOFILE, &most) == 0) getrlimit(RLIMIT_NOFILE, &limit);
    return (int)MIN(limit.rlim_cur > spare ? limit.rlim_cur - spare : 0, MAXCLIENTS_MAX);
}

/* Lowers maxclients to what there are descriptors for. */
static void fit_descriptors(struct server *s, struct config *c) {
    if (c->maxclients <= s->clients_max) return;
    log_line(&s->log, LOG_LEVEL_WARNING,
             "maxclients lowered from %d to %d by the limit of open files; raise it (ulimit -n)", c->maxclients,
             s->clients_max);
    c->maxclients = s->clients_max;
}

/* Says who may connect where that may not be meant. */
static void warn_open(struct server *s) {
    if (s->clients.beyond_loopback && s->config.requirepass[0] == '\0')
        log_line(&s->log, LOG_LEVEL_WARNING, "%s",
                 s->config.protected_mode
                     ? "protected-mode: clients of other machines are refused: set requirepass, or "
                       "protected-mode no where nobody but your own clients can reach this port"
                     : "anybody who can reach this address can read and change the cache: set "
                       "requirepass, or bind 127.0.0.1");
}

/* What CONFIG SET and SIGHUP do: takes the options over, and whatever else holds one of them. The caller has the lock. */
static bool reconfigure(void *context, const struct config *next, char *text, size_t size) {
    struct server *s = context;
    uint64_t most = s->shards.maxmemory_max;
    *text = '\0';
    if (next->maxmemory_bytes > most)
        snprintf(text, size, "maxmemory can become at most %" PRIu64 "mb without a restart", most >> 20);
    else if (next->shard_capacity > s->shards.capacity_max)
        snprintf(text, size, "shard-capacity can become at most %u without a restart", s->shards.capacity_max);
    else if (s->command.feed.watchers && next->client_memory_bytes < 2 * FEED_BYTES)
        snprintf(text, size, "client-memory has to be %dmb at least while somebody uses MONITOR", 2 * FEED_BYTES >> 20);
    else if (next->maxclients > s->clients_max)
        snprintf(text, size, "The operating system is not able to handle the specified number of clients, try with %d",
                 s->clients_max);
    if (*text) return false;
    config_compare(&s->config, next, text, size);
    shards_allow_values(&s->shards, next->max_value_size_bytes);
    shards_resize(&s->shards, next->maxmemory_bytes, (uint32_t)next->shard_capacity);
    bool warn = *next->requirepass == '\0' &&
                (*s->config.requirepass != '\0' || s->config.protected_mode != next->protected_mode);
    config_apply(&s->config, next);
    if (warn) warn_open(s);
    atomic_store(&s->registry.limit, (unsigned)next->maxclients);
    atomic_store(&s->client_memory.limit_bytes, next->client_memory_bytes);
    atomic_store(&s->log.level, next->loglevel);
    atomic_store(&s->log.format, next->log_format);
    for (int i = 0; i < s->clients.count; i++)
        keep_alive(s->clients.fd[i], next->tcp_keepalive_s);
    return true;
}

/* SIGHUP: file, environment and flags are read as at the start; what may change while it runs does so, all or nothing. */
static void reload(struct server *s) {
    struct config next;
    char text[CONFIG_ERROR_MAX];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n", clock_ns(CLOCK_MONOTONIC) / 1000);
    host_notify(&s->log, text);
    config_init(&next);
    bool ok = config_load(&next, s->argc, s->argv, environ, true, text, sizeof text) == CONFIG_OK &&
              config_resolve(&next, &s->host, text, sizeof text);
    if (ok) fit_descriptors(s, &next);
    pthread_mutex_lock(&s->command.config_lock);
    ok = ok && reconfigure(s, &next, text, sizeof text);
    pthread_mutex_unlock(&s->command.config_lock);
    if (ok) {
        log_lines(&s->log, LOG_LEVEL_WARNING, "", next.notes);
        log_line(&s->log, LOG_LEVEL_NOTICE, "SIGHUP: %s read again: %s",
                 s->argc > 1 && *s->argv[1] != '-' ? s->argv[1] : "options", text);
    } else {
        log_lines(&s->log, LOG_LEVEL_WARNING, "SIGHUP: nothing changed: ", text);
    }
    host_notify(&s->log, "READY=1\n");
}

/* ---- accepting ---- */

/* Closes the one that was refused first. */
static void close_refused(struct server *s) {
    char rest[4096];
    int fd = s->refused[s->refused_first++ % REFUSED_MAX].fd;
    int reads = 16; /* what it sent, unread, would turn the close into a reset */
    while (reads-- > 0 && recv(fd, rest, sizeof rest, MSG_DONTWAIT) == (ssize_t)sizeof rest)
        ;
    close(fd);
}

static bool has_refused(const struct server *s) { return s->refused_first != s->refused_next; }

static void close_old_refused(struct server *s, int64_t now_ms) {
    while (has_refused(s) && /* or the clock was set back */
           (uint64_t)(now_ms - s->refused[s->refused_first % REFUSED_MAX].since_ms) > REFUSED_MS)
        close_refused(s);
}

/* Says the line to a client that is not served. */
static void refuse(struct server *s, int fd, const union address *peer, const char *line, uint64_t *counter) {
    char from[CLIENT_ADDRESS_MAX];
    if (s->refused_next - s->refused_first == REFUSED_MAX) close_refused(s);
    metrics_add(counter, 1); /* first: who has read its line finds itself counted */
    client_address_text(from, &peer->v6);
    log_line(&s->log, LOG_LEVEL_WARNING, "client refused: addr=%s: %.*s", from, (int)strcspn(line + 1, ":\r"),
             line + 1);
    send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    s->refused[s->refused_next++ % REFUSED_MAX] = (struct refused){fd, clock_ms()};
}

static struct worker *least_loaded(const struct server *s) {
    struct worker *least = s->workers[0];
    for (int i = 1; i < s->worker_count; i++)
        if (worker_connections(s->workers[i]) < worker_connections(least)) least = s->workers[i];
    return least;
}

/* protected-mode: without a password only this machine is served. */
static bool is_protected(struct server *s) {
    pthread_mutex_lock(&s->command.config_lock);
    bool on = s->config.protected_mode && s->config.requirepass[0] == '\0';
    pthread_mutex_unlock(&s->command.config_lock);
    return on;
}

static const char too_many[] = "-ERR max number of clients reached\r\n";
static const char no_room[] = "-ERR the system gives no memory or descriptor for another client\r\n";
static const char denied[] =
    "-DENIED sponson is in protected mode: no password is set, so it serves only clients on its own machine, by "
    "loopback or unix socket. Set a password (requirepass, requirepass-file, or the variable SPONSON_REQUIREPASS; at "
    "run time, from its own machine, CONFIG SET requirepass), or, where nobody but your own clients can reach this "
    "port, set protected-mode no.\r\n";

/* Accepts what waits at one listener, up to a bound. False: the system gives no more. */
static bool accept_some(struct server *s, int listener, int64_t now_ms) {
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        union address peer = {.storage = {0}};
        socklen_t size = sizeof peer;
        int fd = accept4(listener, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            log_line(&s->log, LOG_LEVEL_WARNING, "cannot accept a connection: %s; trying again in %d ms",
                     strerror(errno), RETRY_MS);
            return false;
        }
        if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
            return true; /* none left; the network's own errors are not ours */
        if (fd < 0) continue;
        metrics_add(&s->metrics.total_connections_received, 1);
        if (!is_loopback(&peer) && is_protected(s))
            refuse(s, fd, &peer, denied, &s->metrics.rejected_protected_mode);
        else if (relaxed_load(s->registry.count) >= relaxed_load(s->registry.limit))
            refuse(s, fd, &peer, too_many, &s->metrics.rejected_maxclients);
        else if (!worker_add(least_loaded(s), fd, &peer.storage, now_ms))
            refuse(s, fd, &peer, no_room, &s->metrics.rejected_resources);
    }
    return true;
}

/* Accepts until a signal or SHUTDOWN asks for the end; returns what asked. */
static const char *serve(struct server *s) {
    struct pollfd p[2 + LISTENERS_MAX] = {{s->signals, POLLIN, 0}, {s->shutdown_request, POLLIN, 0}};
    for (int i = 0; i < s->clients.count; i++)
        p[2 + i] = (struct pollfd){s->clients.fd[i], POLLIN, 0};
    for (;;) {
        struct signalfd_siginfo info;
        int timeout_ms = has_refused(s) ? REFUSED_MS : LOG_WINDOW_S * 1000; /* for log_repeats() */
        int ready = poll(p, 2 + (nfds_t)s->clients.count, timeout_ms);
        int64_t now_ms = clock_ms();
        if (ready > 0 && p[0].revents && read(s->signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo != SIGHUP) return info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT";
            reload(s);
        }
        if (ready > 0 && p[1].revents) return "SHUTDOWN";
        for (int i = 2; ready > 0 && i < 2 + s->clients.count; i++)
            if (p[i].revents && !accept_some(s, p[i].fd, now_ms)) poll(p, 2, RETRY_MS); /* a rest, but for a signal */
        close_old_refused(s, now_ms);
        log_repeats(&s->log, false);
    }
}

/* ---- start and end ---- */

static void log_start(struct server *s) {
    const struct config *c = &s->config;
    char text[4 * CONFIG_TEXT_MAX];
    struct buf where = {text, 0, sizeof text, false};
    if (c->port) buf_printf(&where, "%s port %d%s", c->bind, c->port, *c->unixsocket ? " and " : "");
    buf_printf(&where, "%s", c->unixsocket);
    if (c->admin_port) buf_printf(&where, ", /metrics on %s port %d", c->admin_bind, c->admin_port);
    warn_open(s); /* first: who waits for the line that says ready has read everything about the start */
    log_line(&s->log, LOG_LEVEL_NOTICE,
             "sponson " SPONSON_VERSION " ready on %s: maxmemory %" PRIu64 " MB (%s), %d shards of %" PRIu64
             " entries at most, keys to %" PRIu64 " bytes, values to %" PRIu64 " bytes%s, client-memory %" PRIu64
             " MB, maxclients %d, threads %d",
             text, c->maxmemory_bytes >> 20, c->maxmemory_source, SHARDS, c->shard_capacity, c->max_key_size_bytes,
             c->max_value_size_bytes, c->value_size_note, c->client_memory_bytes >> 20, c->maxclients, c->threads);
}

static void request_shutdown(void *context) { eventfd_write(((struct server *)context)->shutdown_request, 1); }

static bool make_run_id(char id[41]) {
    unsigned char random[20];
    if (getrandom(random, sizeof random, 0) != sizeof random) return false;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    return true;
}

static bool open_main_loop(struct server *s) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread starts: all inherit it */
    signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    s->shutdown_request = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return s->signals >= 0 && s->shutdown_request >= 0;
}

/* Makes the workers, which do not run yet. */
static bool make_workers(struct server *s) {
    int n = s->config.threads;
    s->workers = calloc((size_t)n, sizeof *s->workers);
    s->command.metrics = calloc((size_t)n + 1, sizeof *s->command.metrics);
    if (s->workers == NULL || s->command.metrics == NULL) return false;
    for (int i = 0; i < n; i++) {
        s->workers[i] = worker_new(&s->command, i, n);
        if (s->workers[i] == NULL) return false;
        s->worker_count++;
    }
    s->command.metrics[n] = &s->metrics;
    s->command.metrics_count = n + 1;
    return true;
}

static volatile sig_atomic_t signals_to_ignore; /* before one ends the process: a handler is given nothing else */

/* The second signal does not wait. */
static void exit_at_once(int signal_number) {
    (void)signal_number;
    if (signals_to_ignore-- == 0) _exit(1);
}

static void stop_workers(struct server *s, int running) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGTERM, exit_at_once);
    signal(SIGINT, exit_at_once);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    for (int i = 0; i < running; i++)
        worker_stop(s->workers[i], (int64_t)s->config.shutdown_timeout_s * 1000);
    for (int i = 0; i < running; i++)
        worker_join(s->workers[i]);
}

static void close_all(struct listeners *l) {
    while (l->count)
        close(l->fd[--l->count]);
}

static void close_listeners(struct server *s) {
    close_all(&s->clients);
    if (s->unix_bound) unlink(s->config.unixsocket);
    s->unix_bound = false;
    while (has_refused(s))
        close_refused(s);
}

static void print_metrics(void *context, struct buf *out) { info_metrics(&((struct server *)context)->command, out); }

static bool start_admin(struct server *s) {
    if (s->admins.count == 0) return true;
    struct admin_options o = {.listeners = s->admins.fd,
                              .listener_count = s->admins.count,
                              .log = &s->log,
                              .metrics = print_metrics,
                              .context = s,
                              .head_ms = ADMIN_HEAD_MS,
                              .idle_ms = ADMIN_IDLE_MS,
                              .send_ms = ADMIN_SEND_MS};
    return (s->admin = admin_start(&o)) != NULL;
}

/* With listeners, shards and workers made: serves until the end. Returns the exit code. */
static int run(struct server *s) {
    int running = 0;
    while (running < s->worker_count && worker_start(s->workers[running]))
        running++;
    bool ready = running == s->worker_count && start_admin(s);
    if (ready) {
        log_start(s);
        host_notify(&s->log, "READY=1\nSTATUS=serving\n");
        const char *why = serve(s);
        host_notify(&s->log, "STOPPING=1\n");
        signals_to_ignore = strcmp(why, "SHUTDOWN") == 0;
        if (s->admin) admin_drain(s->admin);
        log_line(&s->log, LOG_LEVEL_NOTICE, "%s: answering what has arrived, then closing %u connections", why,
                 atomic_load(&s->registry.count));
    } else {
        fail("cannot start: the system gives no more threads or descriptors");
    }
    pthread_mutex_lock(&s->command.config_lock); /* CONFIG SET may be about to look at them */
    close_listeners(s);
    pthread_mutex_unlock(&s->command.config_lock);
    stop_workers(s, running);
    admin_stop(s->admin);
    log_repeats(&s->log, true);
    if (ready) log_line(&s->log, LOG_LEVEL_NOTICE, "bye");
    return ready ? 0 : 1;
}

/* Makes what serving needs, in an order that the end reverses. */
static int start(struct server *s) {
    const struct config *c = &s->config;
    int code = 1;
    s->clients_max = raise_descriptors(c);
    fit_descriptors(s, &s->config);
    if (c->maxclients == 0) return fail("the limit of open files leaves none for clients (ulimit -n)");
    if (!open_main_loop(s)) return fail("cannot start: %s", strerror(errno));
    if ((c->port && listen_tcp(s, &s->clients, "bind", c->bind, c->port)) || (c->unixsocket[0] && listen_unix(s)) ||
        (c->admin_port && listen_tcp(s, &s->admins, "admin-bind", c->admin_bind, c->admin_port)))
        goto listeners;
    if (!shards_init(&s->shards, s->config.maxmemory_bytes, (uint32_t)s->config.shard_capacity, s->config.threads)) {
        fail("cannot reserve address space for maxmemory %" PRIu64 ": %s", s->config.maxmemory_bytes, strerror(errno));
        goto listeners;
    }
    if (!registry_init(&s->registry, (uint32_t)s->clients_max, worker_record_bytes())) {
        fail("out of memory for the table of clients; lower maxclients");
        goto shards;
    }
    atomic_store(&s->registry.limit, (unsigned)s->config.maxclients);
    s->client_memory.limit_bytes = s->config.client_memory_bytes;
    for (uint32_t i = 0; i < SHARDS; i++) /* so that each knows the time */
        shard_upkeep(&s->shards, i, clock_ms());
    shards_allow_values(&s->shards, s->config.max_value_size_bytes);
    s->command.host = &s->host;
    s->command.log = &s->log;
    s->command.reconfigure = reconfigure;
    s->command.shards = &s->shards;
    s->command.registry = &s->registry;
    s->command.config = &s->config;
    s->command.client_memory = &s->client_memory;
    s->command.started_ms = clock_ms();
    s->command.shutdown = request_shutdown;
    s->command.callback_context = s;
    command_init(&s->command);
    if (make_run_id(s->command.run_id) && make_workers(s))
        code = run(s);
    else
        fail("cannot make %d workers: %s", s->config.threads, strerror(errno));
    for (int i = s->worker_count - 1; i >= 0; i--)
        worker_free(s->workers[i]);
    info_release(&s->command);
    free(s->command.metrics);
    free(s->workers);
    registry_release(&s->registry);
shards:
    shards_release(&s->shards);
listeners:
    close_listeners(s);
    close_all(&s->admins);
    close(s->shutdown_request);
    close(s->signals);
    return code;
}

int main(int argc, char **argv) {
    static struct server server; /* some KB; nothing else is told of it but by pointer */
    /* large pages would be resident whole for one byte of each: none but those that are asked for, since Linux 6.18 */
    if (prctl(PR_SET_THP_DISABLE, 1, PR_THP_DISABLE_EXCEPT_ADVISED, 0, 0) != 0) prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    char error[CONFIG_ERROR_MAX];
    take_arguments_of_process_1(&argc, &argv);
    config_init(&server.config);
    enum config_result result = config_load(&server.config, argc, argv, environ, false, error, sizeof error);
    if (result == CONFIG_EXIT) return 0;
    if (result == CONFIG_BAD) return fail("%s", error);
    if (result == CONFIG_PING) return ping(&server.config);
    host_read(&server.host, "");
    if (!config_resolve(&server.config, &server.host, error, sizeof error)) return fail("%s", error);
    int terminal = isatty(STDERR_FILENO) ? open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    server.log = (struct log){.fd = terminal < 0 ? STDERR_FILENO : terminal, .lock = PTHREAD_MUTEX_INITIALIZER};
    server.log.level = server.config.loglevel;
    server.log.format = server.config.log_format;
    log_lines(&server.log, LOG_LEVEL_WARNING, "", server.config.notes);
    server.argc = argc;
    server.argv = argv;
    return start(&server);
}
