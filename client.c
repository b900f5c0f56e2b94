/* client.c -- the registry of connections.
 *
 * Owns    the records of all connections, in one reservation of address space: record i lies at i * record_bytes, and
 *         the last one freed is the next one used, so memory follows the most that were open at once.
 * Room    one pass over all records finds who holds most of client-memory; their sockets are shut, their owners free them.
 * True    live records + free ones below `high` == high <= capacity; count == live records
 * Threads every call locks, but for fields that the owning worker keeps to itself, and what only tells of one client.
 *         A record is taken out before its memory can be used again, so who holds the lock and sees it live may read
 *         it.
 * Failure out of memory: NULL or false, and nothing changes. */
#include "client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/param.h>

#include "resp.h"

bool registry_init(struct registry *r, uint32_t capacity, size_t record_bytes) {
    *r = (struct registry){.capacity = capacity, .limit = capacity, .next_id = 1};
    r->record_bytes = (record_bytes + 63) / 64 * 64;
    r->records = mmap(NULL, r->record_bytes * capacity, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r->records == MAP_FAILED) return false;
    pthread_mutex_init(&r->lock, NULL);
    return true;
}

void registry_release(struct registry *r) {
    munmap(r->records, r->record_bytes * r->capacity);
    pthread_mutex_destroy(&r->lock);
}

struct client *client_new(struct registry *r, int fd, const struct sockaddr_storage *address, const void *owner,
                          int64_t now_ms) {
    pthread_mutex_lock(&r->lock);
    if ((r->free == NULL && r->high == r->capacity) || atomic_load(&r->count) >= atomic_load(&r->limit)) {
        pthread_mutex_unlock(&r->lock);
        return NULL;
    }
    struct client *c = r->free ? r->free : registry_record(r, r->high++);
    r->free = r->free ? c->next_free : NULL;
    memset(c, 0, r->record_bytes);
    *c = (struct client){
        .id = r->next_id++, .created_ms = now_ms, .fd = fd, .owner = owner, .resp = 2, .active_ms = now_ms};
    memcpy(&c->address, address, sizeof c->address);
    atomic_fetch_add(&r->count, 1);
    pthread_mutex_unlock(&r->lock);
    return c;
}

void client_free(struct registry *r, struct client *c) {
    pthread_mutex_lock(&r->lock);
    free(c->name);
    free(c->lib_name);
    free(c->lib_version);
    c->id = 0;
    c->next_free = r->free;
    r->free = c;
    atomic_fetch_sub(&r->count, 1);
    pthread_mutex_unlock(&r->lock);
}

bool client_set_text(struct registry *r, char **field, struct slice text) {
    char *copy = text.n ? strndup(text.p, text.n) : NULL;
    if (text.n && copy == NULL) return false;
    pthread_mutex_lock(&r->lock);
    free(*field);
    *field = copy;
    pthread_mutex_unlock(&r->lock);
    return true;
}

void client_address_text(char *to, const struct sockaddr_in6 *a) {
    char text[INET6_ADDRSTRLEN] = "unix";
    unsigned port = a->sin6_family == AF_UNIX ? 0 : ntohs(a->sin6_port);
    bool is_v6 = a->sin6_family == AF_INET6;
    inet_ntop(a->sin6_family, is_v6 ? (const void *)&a->sin6_addr : &a->sin6_flowinfo, text, sizeof text);
    snprintf(to, CLIENT_ADDRESS_MAX, is_v6 ? "[%s]:%u" : "%s:%u", text, port);
}

void client_address(const struct client *c, bool own, char *to) {
    union address local = {.storage = {.ss_family = AF_INET}};
    socklen_t size = sizeof local;
    bool is_unix = c->address.sin6_family == AF_UNIX;
    if (own || is_unix) getsockname(c->fd, &local.any, &size); /* a socket that is gone shows zeros */
    if (is_unix)
        snprintf(to, CLIENT_ADDRESS_MAX, "%s:0", local.un.sun_path);
    else
        client_address_text(to, own ? &local.v6 : &c->address);
}

static bool has_address(const struct client *c, bool own, struct slice wanted) {
    char text[CLIENT_ADDRESS_MAX];
    if (!wanted.p) return true;
    client_address(c, own, text);
    return slice_equal(wanted, slice_of(text));
}

static bool matches(const struct client *c, const struct client_filter *f) {
    bool wanted = !f->nobody && c->id != f->not_id && (!f->created_before_ms || c->created_ms <= f->created_before_ms);
    bool named = f->ids == NULL;
    for (int64_t id, i = 0; wanted && !named && i < f->id_count; i++)
        named = resp_integer_of(f->ids[i], &id) && (uint64_t)id == c->id;
    return wanted && named && has_address(c, false, f->addr) && has_address(c, true, f->laddr);
}

void client_describe(const struct registry *r, const struct client *c, int64_t now_ms, struct buf *out) {
    uint32_t output = relaxed_load(c->output_bytes);
    int64_t idle_ms = now_ms - relaxed_load(c->active_ms);
    uint8_t modes = relaxed_load(c->modes);
    char flags[8], peer[CLIENT_ADDRESS_MAX], own[CLIENT_ADDRESS_MAX];
    client_address(c, false, peer);
    client_address(c, true, own);
    snprintf(flags, sizeof flags, "%s%s%s%s%s", modes & CLIENT_MONITOR ? "O" : "",
             c->address.sin6_family == AF_UNIX ? "U" : "", modes & CLIENT_MULTI ? "x" : "",
             modes & CLIENT_NO_EVICT ? "e" : "", modes & CLIENT_NO_TOUCH ? "T" : "");
    buf_printf(out,
               "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s db=%d sub=0 psub=0 ssub=0 multi=%d "
               "qbuf=%u qbuf-free=0 argv-mem=0 multi-mem=%u rbs=0 rbp=0 obl=%u oll=0 omem=%u tot-mem=%zu events=%s "
               "cmd=%s user=default redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
               (unsigned long long)c->id, peer, own, c->fd, c->name ? c->name : "",
               (long long)(now_ms - c->created_ms) / 1000, (long long)(idle_ms > 0 ? idle_ms : 0) / 1000,
               flags[0] ? flags : "N", relaxed_load(c->database),
               modes & CLIENT_MULTI ? (int)relaxed_load(c->queued) : -1, relaxed_load(c->input_bytes),
               relaxed_load(c->multi_bytes), output, output, client_bytes(c), output ? "w" : "r",
               r->command_name(relaxed_load(c->last_command)), relaxed_load(c->resp), c->lib_name ? c->lib_name : "",
               c->lib_version ? c->lib_version : "");
}

int64_t registry_visit(struct registry *r, const struct client_filter *f, int64_t from, int most,
                       struct client_visit *v) {
    pthread_mutex_lock(&r->lock);
    int64_t i = from, high = r->high, end = MIN(from + most, high);
    for (; i < end; i++) {
        const struct client *c = registry_record(r, (uint32_t)i);
        if (!c->id || !matches(c, f)) continue;
        v->found++;
        v->own |= c->id == v->own_id;
        if (v->out)
            client_describe(r, c, v->now_ms, v->out);
        else if (c->id != v->own_id)
            shutdown(c->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&r->lock);
    return i < high ? i : -1;
}

struct client *registry_next(struct registry *r, const void *owner, uint32_t *at, uint32_t end) {
    struct client *c = NULL;
    pthread_mutex_lock(&r->lock);
    for (; c == NULL && *at < end && *at < r->high; ++*at)
        if (registry_record(r, *at)->id && registry_record(r, *at)->owner == owner) c = registry_record(r, *at);
    pthread_mutex_unlock(&r->lock);
    return c;
}

/* What it holds, as registry_evict() compares: who has not authenticated comes before all others. */
static size_t weight(const struct client *c) {
    size_t held = client_bytes(c);
    uint8_t modes = relaxed_load(c->modes);
    return modes & CLIENT_NO_EVICT ? 0 : held && (modes & CLIENT_LOCKED_OUT) ? held + SIZE_MAX / 2 : held;
}

void registry_evict(struct registry *r, struct eviction *e) {
    struct client *largest[EVICTED_AT_ONCE + 1];
    int found = 0;
    size_t going = 0;
    e->count = 0;
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->high; i++) {
        struct client *c = registry_record(r, i);
        if (c->id && c->evicted) going += client_bytes(c);
        size_t held = c->id && !c->evicted ? weight(c) : 0;
        if (held <= e->least) continue;
        int at = found;
        for (; at > 0 && weight(largest[at - 1]) < held; at--)
            largest[at] = largest[at - 1];
        largest[at] = c;
        found += found < EVICTED_AT_ONCE;
    }
    /* `used` is read behind the scan, so who went meanwhile is not counted */
    while (e->count < found && atomic_load(e->used) > e->level + going) {
        struct client *c = largest[e->count];
        struct buf line = {e->closed[e->count].line, 0, CLIENT_LINE_MAX - 1, false};
        client_describe(r, c, e->now_ms, &line);
        line.p[line.len - 1] = '\0';
        going += client_bytes(c);
        c->evicted = true;
        shutdown(c->fd, SHUT_RDWR); /* last: its worker may free what it holds at once */
        e->closed[e->count++].client = c->owner == e->owner ? c : NULL;
    }
    pthread_mutex_unlock(&r->lock);
    e->relief = going > 0;
}
