/* null.c -- the floor: a server that parses nothing and stores nothing. For every REQUEST_BYTES that arrive on a
 * connection it sends one fixed reply, so its CPU per request is what the kernel alone costs a server that waits in
 * epoll, receives once and sends once a turn.
 *
 *   null PORT REQUEST_BYTES VALUE_BYTES      the reply is a RESP bulk string of VALUE_BYTES times 'x'; with 0: +OK
 *
 * Owns    the listener, every connection, and a run of replies laid out beforehand: however many are due, they are one
 *         piece of memory, and nothing is copied in user space.
 * True    between two turns: 0 <= part[fd] < REQUEST_BYTES, the bytes of a request whose rest has yet to come.
 * Threads one. Failure: a connection that fails is closed; what fails at the start ends the program with a sentence.
 *
 * Tried   16 connections that receive together and then send together, as sponson does: no gain that stood out of the
 *         noise, so one after the other.
 *
 * It knows requests by their length alone: all of one run must be equally long. A send may block, because a client of
 * this server always reads. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_BYTES 65536 /* what one turn takes from a connection */
#define FDS 16384         /* connections are told apart by descriptor; one above this is closed */
#define EVENTS 256

struct floor {
    /* set once */
    size_t request_bytes;
    size_t reply_bytes;
    char *replies; /* as many as the requests that one turn can complete */

    size_t part[FDS];
};

static void die(const char *what) {
    fprintf(stderr, "null: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void lay_out_replies(struct floor *f, size_t value_bytes) {
    size_t count = INPUT_BYTES / f->request_bytes + 1; /* one more for a part that came before */
    char *reply = malloc(value_bytes + 32);
    if (reply == NULL) die("memory");
    int head = sprintf(reply, value_bytes > 0 ? "$%zu\r\n" : "+OK\r\n", value_bytes);
    f->reply_bytes = (size_t)head;
    if (value_bytes > 0) {
        memset(reply + head, 'x', value_bytes);
        memcpy(reply + head + value_bytes, "\r\n", 2);
        f->reply_bytes += value_bytes + 2;
    }
    f->replies = malloc(count * f->reply_bytes);
    if (f->replies == NULL) die("memory");
    for (size_t i = 0; i < count; i++)
        memcpy(f->replies + i * f->reply_bytes, reply, f->reply_bytes);
    free(reply);
}

static int listen_on(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0) die("socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 511) < 0) die("the port");
    return fd;
}

static void accept_one(struct floor *f, int epoll, int listener) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) return;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= FDS || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    f->part[fd] = 0;
}

static bool send_all(int fd, const char *data, size_t left) {
    while (left > 0) {
        ssize_t n = send(fd, data, left, MSG_NOSIGNAL);
        if (n < 0) return false;
        data += n;
        left -= (size_t)n;
    }
    return true;
}

/* One turn of a connection that has input; false when it is over. */
static bool serve(struct floor *f, int fd) {
    static char input[INPUT_BYTES];
    ssize_t n = recv(fd, input, sizeof input, 0);
    if (n <= 0) return false;
    size_t bytes = f->part[fd] + (size_t)n;
    f->part[fd] = bytes % f->request_bytes;
    return send_all(fd, f->replies, bytes / f->request_bytes * f->reply_bytes);
}

/* A whole number from 0 to most; anything else ends the program. */
static size_t number(const char *text, unsigned long most) {
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || n > most) {
        fprintf(stderr, "null: '%s' is no number from 0 to %lu\n", text, most);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv) {
    static struct floor f;
    struct epoll_event events[EVENTS];
    if (argc != 4) {
        fprintf(stderr, "usage: null PORT REQUEST_BYTES VALUE_BYTES\n");
        return 2;
    }
    int listener = listen_on((unsigned)number(argv[1], 65535));
    f.request_bytes = number(argv[2], 1 << 20);
    f.request_bytes += f.request_bytes == 0;
    lay_out_replies(&f, number(argv[3], 1 << 20));

    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll");
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_one(&f, epoll, listener);
            else if (!serve(&f, events[i].data.fd))
                close(events[i].data.fd);
        }
    }
}
