/* link.h -- one blocking connection to a server on this host, for the programs here that make load.
 *
 * True    everything that goes wrong ends the program with one sentence: a measurement that lost something is none. */
#ifndef SPONSON_BENCH_LINK_H
#define SPONSON_BENCH_LINK_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINK_IN = 256 << 10 };

struct link {
    int fd;
    char *in; /* bytes at .. end were received and not yet read */
    size_t at, end;
};

static inline _Noreturn void die(const char *what, const char *detail) {
    fprintf(stderr, "%s %s\n", what, detail);
    exit(1);
}

static inline void *need(void *p) {
    if (!p) die("out of memory", "");
    return p;
}

static inline void link_open(struct link *l, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *l = (struct link){.fd = socket(AF_INET, SOCK_STREAM, 0), .in = need(malloc(LINK_IN))};
    if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&address, sizeof address))
        die("no connection to the server", "");
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static inline void link_send(struct link *l, const char *p, size_t n) {
    while (n) {
        ssize_t sent = send(l->fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) die("the server closed the connection", "");
        p += sent;
        n -= (size_t)sent;
    }
}

static inline void link_fill(struct link *l) {
    memmove(l->in, l->in + l->at, l->end - l->at);
    l->end -= l->at;
    l->at = 0;
    ssize_t got = l->end < LINK_IN ? recv(l->fd, l->in + l->end, LINK_IN - l->end, 0) : 0;
    if (got <= 0) die("the server closed the connection", "");
    l->end += (size_t)got;
}

/* The next line without its CRLF, valid until the next call. An error reply ends the program. */
static inline char *link_line(struct link *l) {
    char *end;
    while (!(end = memchr(l->in + l->at, '\n', l->end - l->at)))
        link_fill(l);
    char *line = l->in + l->at;
    end[-1] = 0;
    l->at = (size_t)(end - l->in) + 1;
    if (*line == '-') die("the server answered", line);
    return line;
}

static inline void link_skip(struct link *l, size_t n) {
    while (n > l->end - l->at) {
        n -= l->end - l->at;
        l->at = l->end;
        link_fill(l);
    }
    l->at += n;
}

/* Reads a bulk string and drops it; returns its length, -1 for null. */
static inline long link_bulk(struct link *l) {
    char *line = link_line(l);
    long n = atol(line + 1);
    if (*line != '$') die("no bulk string:", line);
    if (n >= 0) link_skip(l, (size_t)n + 2);
    return n;
}

/* A number that looks random and belongs to i. */
static inline uint64_t mix(uint64_t i) {
    i = (i + 1) * 0x9E3779B97F4A7C15ull;
    i = (i ^ i >> 30) * 0xBF58476D1CE4E5B9ull;
    i = (i ^ i >> 27) * 0x94D049BB133111EBull;
    return i ^ i >> 31;
}

#endif
