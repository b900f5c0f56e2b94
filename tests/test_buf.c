/* test_buf.c -- what stands at the bottom: output bytes, the pool, the registry of connections, the counters.
 */
#include "../buf.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../client.h"
#include "random.h"
#include "tap.h"

/* ---- struct buf ---- */

static void test_put(void) {
    for (size_t cap = 0; cap < 12; cap++) {
        char *block = malloc(cap);
        struct buf b = {block, 0, cap, false};
        buf_put(&b, "abc", 3);
        buf_put_slice(&b, (struct slice){NULL, 0});
        buf_put_slice(&b, SLICE("defg"));
        CHECK(b.full == (cap < 7));
        CHECK(b.len == (cap >= 7 ? 7 : cap >= 3 ? 3 : 0));
        CHECK(buf_left(&b) == cap - b.len);
        CHECK(cap < 7 || memcmp(block, "abcdefg", 7) == 0);
        free(block);
    }
}

static void test_printf(void) {
    for (size_t cap = 0; cap < 12; cap++) {
        char *block = malloc(cap);
        struct buf b = {block, 0, cap, false};
        buf_printf(&b, "%s-%d", "abc", 42); /* six characters, and room for a NUL */
        CHECK(b.full == (cap < 7) && b.len == (cap < 7 ? 0 : 6));
        if (cap >= 7) {
            CHECK(memcmp(block, "abc-42", 6) == 0);
            buf_printf(&b, "%c", '!');
            CHECK(b.full == (cap < 8) && b.len == (cap < 8 ? 6 : 7));
        }
        free(block);
    }
}

/* ---- the pool ---- */

static size_t used(struct pool_budget *budget) { return atomic_load(&budget->used_bytes); }

static void test_pool_classes(void) {
    struct pool_budget budget = {0, 1 << 30};
    struct pool pool;
    pool_init(&pool, &budget);
    static const size_t sizes[][2] = {
        {0, 256},           {1, 256},     {255, 256},   {256, 256},       {257, 512},
        {4095, 4096},       {4096, 4096}, {4097, 8192}, {65536, 1 << 16}, {(1 << 20) + 1, 1 << 21},
        {1 << 26, 1 << 26},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t cap = 1;
        char *p = pool_get(&pool, sizes[i][0], &cap);
        REQUIRE(p != NULL && cap == sizes[i][1]);
        memset(p, 0x11, cap);
        CHECK(used(&budget) == cap);
        pool_put(&pool, p, cap);
        CHECK(used(&budget) == 0);
    }
    size_t cap = 1;
    CHECK(pool_get(&pool, SIZE_MAX, &cap) == NULL);
    CHECK(pool_get(&pool, ((size_t)1 << 39) + 1, &cap) == NULL);
    CHECK(used(&budget) == 0);
    pool_put(&pool, NULL, 0);
    pool_put(&pool, NULL, 4096);
    CHECK(used(&budget) == 0);
    pool_release(&pool);
}

/* A block that came back is handed out again, and only for its own size. */
static void test_pool_reuses(void) {
    struct pool_budget budget = {0, 1 << 30};
    struct pool pool;
    size_t cap, cap2;
    pool_init(&pool, &budget);
    char *a = pool_get(&pool, 1000, &cap), *b = pool_get(&pool, 1000, &cap);
    CHECK(a != b && pool.kept_bytes == 0);
    pool_put(&pool, a, cap);
    pool_put(&pool, b, cap);
    CHECK(pool.kept_bytes == 2048 && used(&budget) == 0);
    char *other = pool_get(&pool, 1025, &cap2);
    CHECK(other != a && other != b && cap2 == 2048 && pool.kept_bytes == 2048);
    char *c = pool_get(&pool, 513, &cap), *d = pool_get(&pool, 1024, &cap);
    CHECK(((c == a && d == b) || (c == b && d == a)) && pool.kept_bytes == 0 && used(&budget) == 4096);
    pool_put(&pool, c, cap);
    pool_put(&pool, d, cap);
    pool_put(&pool, other, cap2);
    CHECK(used(&budget) == 0);
    pool_release(&pool);
}

static void test_pool_budget(void) {
    struct pool_budget budget = {0, 10000};
    struct pool one, two;
    size_t cap, cap2, cap3 = 1;
    pool_init(&one, &budget);
    pool_init(&two, &budget);
    char *a = pool_get(&one, 4096, &cap), *b = pool_get(&two, 4096, &cap2);
    REQUIRE(a != NULL && b != NULL);
    CHECK(used(&budget) == 8192);
    CHECK(pool_get(&one, 2000, &cap3) == NULL && cap3 == 0); /* both pools count against one budget */
    CHECK(used(&budget) == 8192);
    char *c = pool_get(&one, 1024, &cap3);
    CHECK(c != NULL && used(&budget) == 9216);
    pool_put(&one, c, cap3);
    CHECK(used(&budget) == 8192);
    pool_put(&one, a, cap);
    CHECK(used(&budget) == 4096); /* kept blocks do not count */
    a = pool_get(&two, 4096, &cap);
    CHECK(a != NULL && used(&budget) == 8192);
    pool_put(&two, a, cap);
    pool_put(&two, b, cap2);
    CHECK(used(&budget) == 0);
    budget.limit_bytes = 4096; /* exactly the limit is allowed */
    a = pool_get(&one, 4096, &cap);
    CHECK(a != NULL && used(&budget) == 4096);
    CHECK(pool_get(&one, 1, &cap2) == NULL && used(&budget) == 4096);
    pool_put(&one, a, cap);
    pool_release(&one);
    pool_release(&two);
}

static void fill(char *p, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(seed = seed * 1664525u + 1013904223u);
}

static bool filled(const char *p, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != (char)(seed = seed * 1664525u + 1013904223u)) return false;
    return true;
}

static void test_pool_grow(void) {
    struct pool_budget budget = {0, 3 << 20};
    struct pool pool;
    size_t cap = SIZE_MAX;
    pool_init(&pool, &budget);
    char *p = pool_grow(&pool, NULL, &cap, 0, 1); /* from nothing, whatever cap was */
    REQUIRE(p != NULL && cap == 256);
    fill(p, 200, 1);
    while (cap < 1 << 20) {
        size_t before = cap;
        char *larger = pool_grow(&pool, p, &cap, 200, cap + 1);
        REQUIRE(larger != NULL && cap == 2 * before);
        p = larger;
        CHECK(filled(p, 200, 1) && used(&budget) == cap);
        memset(p + 200, 0x22, cap - 200);
    }
    fill(p, cap, 2);
    char *larger = pool_grow(&pool, p, &cap, cap, (1 << 20) + 1); /* 1 MB and 2 MB for a moment: exactly the limit */
    REQUIRE(larger != NULL && cap == 2 << 20);
    p = larger;
    CHECK(filled(p, 1 << 20, 2));
    size_t before = cap;
    CHECK(pool_grow(&pool, p, &cap, cap, cap + 1) == NULL); /* over it: the block stays as it is */
    CHECK(cap == before && used(&budget) == before && filled(p, 1 << 20, 2));
    pool_put(&pool, p, cap);
    budget.limit_bytes = 32 << 20; /* a large one is not copied: it needs only what it becomes */
    p = pool_get(&pool, 8 << 20, &cap);
    REQUIRE(p != NULL);
    fill(p, cap, 3);
    for (size_t size = 16 << 20; size <= 32 << 20; size *= 2) {
        larger = pool_grow(&pool, p, &cap, 8 << 20, cap + 1);
        REQUIRE(larger != NULL && cap == size && used(&budget) == size);
        p = larger;
        CHECK(filled(p, 8 << 20, 3));
        memset(p + (size >> 1), 0x22, size >> 1);
    }
    CHECK(pool_grow(&pool, p, &cap, cap, cap + 1) == NULL);
    CHECK(cap == 32 << 20 && used(&budget) == 32 << 20 && filled(p, 8 << 20, 3));
    pool_put(&pool, p, cap);
    CHECK(used(&budget) == 0);
    pool_release(&pool);
}

/* What is kept is bounded, and fades; a large block is never kept. */
static void test_pool_keeps_little(void) {
    enum { BLOCKS = 200 };
    struct pool_budget budget = {0, 1 << 30};
    struct pool pool;
    size_t cap;
    char *block[BLOCKS];
    pool_init(&pool, &budget);
    for (int i = 0; i < BLOCKS; i++)
        REQUIRE((block[i] = pool_get(&pool, 65536, &cap)) != NULL);
    CHECK(used(&budget) == (size_t)BLOCKS * 65536);
    for (int i = 0; i < BLOCKS; i++) {
        pool_put(&pool, block[i], cap);
        CHECK(pool.kept_bytes <= 4 << 20);
    }
    CHECK(used(&budget) == 0 && pool.kept_bytes == 4 << 20);
    char *large = pool_get(&pool, 8 << 20, &cap);
    pool_put(&pool, large, cap);
    CHECK(pool.kept_bytes == 4 << 20);
    pool_trim(&pool); /* nothing was kept all the time since the last */
    CHECK(pool.kept_bytes == 4 << 20);
    for (int i = 0; i < 3; i++) { /* what is needed again and again stays */
        char *p = pool_get(&pool, 65536, &cap);
        pool_put(&pool, p, cap);
        pool_trim(&pool);
        CHECK(pool.count[16] >= 1);
    }
    for (size_t kept = pool.kept_bytes, times = 0; kept > 0; kept = pool.kept_bytes) {
        REQUIRE(++times < 100);
        pool_trim(&pool);
        CHECK(pool.kept_bytes <= kept / 2 && (kept < 131072 || pool.kept_bytes >= kept / 2 - 65536));
    }
    pool_trim(&pool);
    CHECK(pool.kept_bytes == 0);
    pool_release(&pool);
}

static void test_pool_random(void) {
    enum { BLOCKS = 64 };
    struct pool_budget budget = {0, 2 << 20};
    struct pool pool[2];
    struct {
        char *p;
        size_t cap, n;
        uint32_t seed;
    } block[BLOCKS] = {{0}};
    size_t model = 0, refused = 0;
    random_state = 3;
    pool_init(&pool[0], &budget);
    pool_init(&pool[1], &budget);
    for (int step = 0; step < 12000; step++) {
        uint32_t i = below(BLOCKS), half = i % 2;
        size_t size = below(4) ? below(3000) : below(200000);
        if (block[i].p == NULL) {
            block[i].p = pool_get(&pool[half], size, &block[i].cap);
            model += block[i].cap;
            block[i].n = size;
        } else if (below(2)) {
            CHECK(filled(block[i].p, block[i].n, block[i].seed));
            pool_put(&pool[half], block[i].p, block[i].cap);
            model -= block[i].cap;
            block[i].p = NULL;
        } else {
            size_t before = block[i].cap;
            char *p = pool_grow(&pool[half], block[i].p, &block[i].cap, block[i].n, block[i].n + size);
            CHECK(filled(p ? p : block[i].p, block[i].n, block[i].seed));
            CHECK(p || block[i].cap == before);
            model += block[i].cap - before;
            if (p) {
                block[i].p = p;
                block[i].n += size;
            }
            refused += p == NULL;
        }
        if (block[i].p) {
            REQUIRE(block[i].n <= block[i].cap);
            fill(block[i].p, block[i].n, block[i].seed = (uint32_t)step);
        } else {
            refused += block[i].cap == 0;
        }
        REQUIRE(used(&budget) == model && model <= budget.limit_bytes);
        if (below(500) == 0) pool_trim(&pool[half]);
    }
    CHECK(refused > 50);
    for (uint32_t i = 0; i < BLOCKS; i++)
        pool_put(&pool[i % 2], block[i].p, block[i].cap);
    CHECK(used(&budget) == 0);
    pool_release(&pool[0]);
    pool_release(&pool[1]);
}

/* Each thread has its own pool, all have one budget: it is never passed, and all comes back. */
static struct pool_budget shared_budget;

static void *use_pool(void *arg) {
    struct pool pool;
    size_t cap[8], bad = 0;
    char *p[8];
    pool_init(&pool, &shared_budget);
    uint32_t x = *(uint32_t *)arg;
    for (int step = 0; step < 500; step++) {
        for (int i = 0; i < 8; i++) {
            x = x * 1664525u + 1013904223u;
            p[i] = pool_get(&pool, x >> 18, &cap[i]);
            if (p[i]) p[i][0] = 1;
        }
        for (int i = 0; i < 8; i++)
            pool_put(&pool, p[i], cap[i]);
        bad += used(&shared_budget) > ((size_t)1 << 40); /* wrapped round */
    }
    pool_release(&pool);
    *(uint32_t *)arg = (uint32_t)bad;
    return NULL;
}

static void test_pool_threads(void) {
    pthread_t thread[4];
    uint32_t arg[4] = {1, 2, 3, 4};
    shared_budget.limit_bytes = 200000;
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&thread[i], NULL, use_pool, &arg[i]) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        CHECK(arg[i] == 0);
    }
    CHECK(used(&shared_budget) == 0);
}

/* ---- the registry ---- */

struct record {
    struct client client;
    char rest[100];
};

static struct sockaddr_storage peer(const char *ip, uint16_t port) {
    struct sockaddr_storage s;
    memset(&s, 0, sizeof s);
    if (strchr(ip, ':')) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&s;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        inet_pton(AF_INET6, ip, &v6->sin6_addr);
    } else {
        struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&s;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        inet_pton(AF_INET, ip, &v4->sin_addr);
    }
    return s;
}

static void test_registry_records(void) {
    enum { CAPACITY = 10 };
    struct registry r;
    struct sockaddr_storage from = peer("127.0.0.1", 1000);
    struct client *c[CAPACITY];
    REQUIRE(registry_init(&r, CAPACITY, sizeof(struct record)));
    for (int i = 0; i < CAPACITY; i++) {
        c[i] = client_new(&r, -1, &from, NULL, 5000 + i);
        REQUIRE(c[i] != NULL);
        CHECK(c[i]->id == (uint64_t)i + 1 && c[i]->created_ms == 5000 + i && c[i]->fd == -1);
        CHECK(atomic_load(&c[i]->resp) == 2 && atomic_load(&c[i]->active_ms) == 5000 + i &&
              atomic_load(&c[i]->modes) == 0);
        CHECK(c[i]->suspended.reply.p == NULL && c[i]->name == NULL);
        CHECK(registry_record(&r, (uint32_t)i) == c[i] && (uintptr_t)c[i] % 64 == 0);
        memset(((struct record *)(void *)c[i])->rest, 0x77, 100);
    }
    CHECK(client_new(&r, -1, &from, NULL, 0) == NULL && atomic_load(&r.count) == CAPACITY);
    client_free(&r, c[3]);
    client_free(&r, c[7]);
    CHECK(atomic_load(&r.count) == CAPACITY - 2);
    struct client *first = client_new(&r, 9, &from, NULL, 6000), *second = client_new(&r, 9, &from, NULL, 6000);
    CHECK(first == c[7] && second == c[3]); /* the last one freed is the next one used, and zeroed */
    CHECK(first->id == CAPACITY + 1 && second->id == CAPACITY + 2 && first->fd == 9);
    for (int i = 0; i < 100; i++)
        CHECK(((struct record *)(void *)first)->rest[i] == 0);
    CHECK(((struct record *)(void *)c[4])->rest[99] == 0x77);
    CHECK(client_new(&r, -1, &from, NULL, 0) == NULL);
    for (int i = 0; i < CAPACITY; i++)
        client_free(&r, c[i]);
    CHECK(atomic_load(&r.count) == 0);
    registry_release(&r);
}

static void test_registry_random(void) {
    enum { CAPACITY = 50 };
    struct registry r;
    struct sockaddr_storage from = peer("::1", 1);
    struct client *c[CAPACITY] = {NULL};
    uint64_t last_id = 0;
    uint32_t live = 0;
    random_state = 9;
    REQUIRE(registry_init(&r, CAPACITY, sizeof(struct client)));
    for (int step = 0; step < 20000; step++) {
        uint32_t i = below(CAPACITY);
        if (c[i]) {
            client_free(&r, c[i]);
            c[i] = NULL;
            live--;
        } else {
            c[i] = client_new(&r, -1, &from, NULL, 0);
            REQUIRE(c[i] != NULL);
            CHECK(c[i]->id > last_id);
            last_id = c[i]->id;
            for (uint32_t j = 0; j < CAPACITY; j++)
                CHECK(j == i || c[j] != c[i]);
            if (below(2)) CHECK(client_set_text(&r, &c[i]->name, SLICE("somebody")));
            live++;
        }
        REQUIRE(atomic_load(&r.count) == live && r.high <= CAPACITY);
    }
    for (uint32_t i = 0; i < CAPACITY; i++)
        if (c[i]) client_free(&r, c[i]);
    registry_release(&r);
}

static void test_registry_names(void) {
    struct registry r;
    struct sockaddr_storage from = peer("127.0.0.1", 1);
    char longest[CLIENT_NAME_MAX - 1];
    REQUIRE(registry_init(&r, 2, sizeof(struct client)));
    struct client *c = client_new(&r, -1, &from, NULL, 0);
    CHECK(c->name == NULL);
    CHECK(client_set_text(&r, &c->name, SLICE("worker-1")));
    CHECK_TEXT(c->name, "worker-1");
    memset(longest, 'n', sizeof longest);
    CHECK(client_set_text(&r, &c->name, (struct slice){longest, sizeof longest}));
    CHECK(strlen(c->name) == sizeof longest && memcmp(c->name, longest, sizeof longest) == 0);
    CHECK(client_set_text(&r, &c->lib_name, SLICE("lib")) && client_set_text(&r, &c->lib_version, SLICE("1")));
    CHECK_TEXT(c->lib_name, "lib");
    CHECK(client_set_text(&r, &c->name, SLICE("")) && c->name == NULL);
    client_free(&r, c); /* and its texts: the leak checker looks */
    registry_release(&r);
}

static const struct client_filter everybody;

static const char *row_name(uint32_t row) { return row == 0 ? "NULL" : "get"; }

static int64_t list(struct registry *r, int64_t from, int most, struct buf *out) {
    struct client_visit visit = {.out = out};
    r->command_name = row_name;
    return registry_visit(r, &everybody, from, most, &visit);
}

static void test_describe(void) {
    static const struct {
        const char *ip;
        uint16_t port;
        const char *addr;
    } peers[] = {
        {"127.0.0.1", 1, "addr=127.0.0.1:1 laddr=0.0.0.0:0"},
        {"10.20.30.40", 65535, "addr=10.20.30.40:65535 laddr=0.0.0.0:0"},
        {"::1", 256, "addr=[::1]:256 laddr=0.0.0.0:0"},
        {"2001:db8::ff", 80, "addr=[2001:db8::ff]:80 laddr=0.0.0.0:0"},
    };
    struct registry r;
    REQUIRE(registry_init(&r, 8, sizeof(struct client)));
    r.command_name = row_name;
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        struct sockaddr_storage from = peer(peers[i].ip, peers[i].port);
        struct client *c = client_new(&r, -1, &from, NULL, 10000);
        char line[1024], want[1024];
        struct buf b = {line, 0, sizeof line - 1, false};
        atomic_store(&c->active_ms, 12500);
        client_set_text(&r, &c->name, SLICE("me"));
        if (i == 1) {
            atomic_store(&c->input_bytes, 256u);
            atomic_store(&c->output_bytes, 1024u);
            atomic_store(&c->resp, (uint8_t)3);
            client_set_text(&r, &c->lib_name, SLICE("lib"));
            client_set_text(&r, &c->lib_version, SLICE("1.2"));
        }
        atomic_store(&c->last_command, 1u);
        client_describe(&r, c, 15999, &b);
        line[b.len] = '\0';
        snprintf(want, sizeof want,
                 "id=%zu %s fd=-1 name=me age=5 idle=3 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=%d "
                 "qbuf-free=0 "
                 "argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=%d oll=0 omem=%d tot-mem=%d events=%s cmd=get "
                 "user=default "
                 "redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
                 i + 1, peers[i].addr, i == 1 ? 256 : 0, i == 1 ? 1024 : 0, i == 1 ? 1024 : 0, i == 1 ? 1280 : 0,
                 i == 1 ? "w" : "r", i == 1 ? 3 : 2, i == 1 ? "lib" : "", i == 1 ? "1.2" : "");
        CHECK_TEXT(line, want);
    }
    for (uint32_t i = 0; i < 4; i++)
        client_free(&r, registry_record(&r, i));
    registry_release(&r);
}

/* Through a real socket: laddr is this end's address; a clock that was set back shows no negative idle time.
 */
static void test_describe_socket(void) {
    struct registry r;
    struct sockaddr_storage from = peer("127.0.0.1", 4242), local = peer("127.0.0.1", 0);
    socklen_t size = sizeof(struct sockaddr_in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&local, size) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&local, &size) == 0);
    REQUIRE(registry_init(&r, 1, sizeof(struct client)));
    r.command_name = row_name;
    struct client *c = client_new(&r, fd, &from, NULL, 9000);
    char line[1024], want[100];
    struct buf b = {line, 0, sizeof line - 1, false};
    client_describe(&r, c, 1000, &b);
    line[b.len] = '\0';
    snprintf(want, sizeof want, "addr=127.0.0.1:4242 laddr=127.0.0.1:%u fd=%d ",
             ntohs(((struct sockaddr_in *)(void *)&local)->sin_port), fd);
    CHECK(strstr(line, want) != NULL);
    CHECK(strstr(line, " idle=0 ") != NULL);
    client_free(&r, c);
    registry_release(&r);
    close(fd);
}

/* Who holds most goes first, until enough is on its way; those with NO-EVICT stay; who was shut counts until it is
 * gone, and is not chosen a second time. */
static void test_evict(void) {
    enum { CLIENTS = 40 };
    struct registry r;
    struct sockaddr_storage from = peer("127.0.0.1", 1);
    struct client *c[CLIENTS];
    int fd[CLIENTS][2], owner;
    char byte;
    REQUIRE(registry_init(&r, CLIENTS, sizeof(struct client)));
    for (int i = 0; i < CLIENTS; i++) {
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd[i]) == 0);
        c[i] = client_new(&r, fd[i][0], &from, i % 2 ? &owner : NULL, 0);
        atomic_store(&c[i]->input_bytes, (uint32_t)(i * 7 % CLIENTS)); /* each number once: 0 to 39 */
        atomic_store(&c[i]->output_bytes, 1000u * (uint32_t)(i * 7 % CLIENTS));
        atomic_store(&c[i]->multi_bytes, 10u * (uint32_t)(i * 7 % CLIENTS));
    }
    enum { EACH = 1011, NO_EVICT = 37 };
    for (int i = 0; i < CLIENTS; i++)
        if (i * 7 % CLIENTS == NO_EVICT) atomic_store(&c[i]->modes, (uint8_t)CLIENT_NO_EVICT);
    atomic_size_t used = 1000 * EACH;
    struct eviction e = {.used = &used, .owner = &owner, .now_ms = 5000};
    r.command_name = row_name;
    const struct {
        size_t level, least;
        int count, first; /* how many go, and what the first of them holds */
        bool relief;
    } steps[] = {{0, 39 * EACH, 0, 0, false},
                 {1000 * EACH, 0, 0, 0, false},
                 {961 * EACH - 1, 0, 2, 39, true},
                 {923 * EACH, 0, 0, 0, true}, /* so much is on its way */
                 {923 * EACH - 1, 0, 1, 36, true}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char want[64];
        e.level = steps[i].level;
        e.least = steps[i].least;
        registry_evict(&r, &e);
        CHECK(e.count == steps[i].count && e.relief == steps[i].relief);
        snprintf(want, sizeof want, " tot-mem=%d ", steps[i].first * EACH);
        CHECK(e.count == 0 || strstr(e.closed[0].line, want));
    }
    int unknown = 3; /* holds 21, and has not authenticated: it goes before those who hold more */
    atomic_store(&c[unknown]->modes, (uint8_t)CLIENT_LOCKED_OUT);
    e.level = e.least = 0;
    registry_evict(&r, &e);
    CHECK(e.count == EVICTED_AT_ONCE && strstr(e.closed[0].line, " tot-mem=21231 ") &&
          e.closed[0].client == c[unknown]);
    for (int i = 1; i < EVICTED_AT_ONCE; i++) {
        int id = 0;
        CHECK(sscanf(e.closed[i].line, "id=%d ", &id) == 1 && (id - 1) * 7 % CLIENTS == 36 - i); /* ids count from 1 */
        CHECK(e.closed[i].client == ((id - 1) % 2 ? c[id - 1] : NULL));
        CHECK(strstr(e.closed[i].line, " cmd=NULL ") && !strchr(e.closed[i].line, '\n'));
    }
    for (int i = 0; i < CLIENTS; i++) {
        int held = i * 7 % CLIENTS;
        bool shut = recv(fd[i][1], &byte, 1, 0) == 0;
        CHECK(shut == ((held >= 29 && held != NO_EVICT) || i == unknown));
        client_free(&r, c[i]);
        close(fd[i][0]);
        close(fd[i][1]);
    }
    registry_release(&r);
}

static void test_list_in_pieces(void) {
    enum { CAPACITY = 300 };
    struct registry r;
    struct sockaddr_storage from = peer("127.0.0.1", 7);
    struct client *c[CAPACITY];
    static char text[CAPACITY * 400];
    REQUIRE(registry_init(&r, CAPACITY, sizeof(struct record)));
    for (int i = 0; i < CAPACITY; i++)
        REQUIRE((c[i] = client_new(&r, -1, &from, NULL, 0)) != NULL);
    for (int i = 0; i < CAPACITY; i += 3)
        client_free(&r, c[i]);
    atomic_store(&c[1]->last_command, 1u);
    for (int most = 1; most <= CAPACITY + 1; most += 37) {
        struct buf b = {text, 0, sizeof text - 1, false};
        int pieces = 0;
        for (int64_t next = 0; next >= 0; pieces++) {
            int64_t from_record = next;
            next = list(&r, next, most, &b);
            CHECK(next == -1 || next == from_record + most);
            REQUIRE(pieces <= CAPACITY);
        }
        CHECK(pieces == (CAPACITY + most - 1) / most && !b.full);
        text[b.len] = '\0';
        char *at = text;
        for (int i = 0; i < CAPACITY; i++) { /* those that live, each once, in the order of their records */
            if (i % 3 == 0) continue;
            char want[32];
            snprintf(want, sizeof want, "id=%d ", i + 1);
            CHECK(strncmp(at, want, strlen(want)) == 0);
            char *end = strchr(at, '\n');
            REQUIRE(end != NULL);
            *end = '\0';
            CHECK(strstr(at, i == 1 ? " cmd=get " : " cmd=NULL ") != NULL);
            at = end + 1;
        }
        CHECK(*at == '\0');
    }
    struct buf small = {text, 0, 100, false};
    list(&r, 0, CAPACITY, &small);
    CHECK(small.full && small.len <= 100);
    struct buf b = {text, 0, sizeof text, false};
    CHECK(list(&r, CAPACITY, 10, &b) == -1 && b.len == 0);
    for (int i = 0; i < CAPACITY; i++)
        if (i % 3) client_free(&r, c[i]);
    b.len = 0;
    CHECK(list(&r, 0, CAPACITY, &b) == -1 && b.len == 0);
    registry_release(&r);
}

/* Connections come, are renamed and go in some threads while another lists them. */
static struct registry shared_registry;

static void *come_and_go(void *arg) {
    struct sockaddr_storage from = peer("127.0.0.1", 9);
    struct client *c[8];
    size_t *failed = arg;
    for (int step = 0; step < 300; step++) {
        for (int i = 0; i < 8; i++) {
            c[i] = client_new(&shared_registry, -1, &from, NULL, step);
            *failed += c[i] == NULL || !client_set_text(&shared_registry, &c[i]->name, SLICE("a-name"));
            if (c[i]) atomic_store_explicit(&c[i]->last_command, 1, memory_order_relaxed);
        }
        for (int i = 0; i < 8; i++)
            if (c[i]) client_free(&shared_registry, c[i]);
    }
    return NULL;
}

static void test_registry_threads(void) {
    pthread_t thread[3];
    size_t failed[3] = {0};
    static char text[64 * 400];
    REQUIRE(registry_init(&shared_registry, 24, sizeof(struct client)));
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&thread[i], NULL, come_and_go, &failed[i]) == 0);
    for (int step = 0; step < 300; step++) {
        struct buf b = {text, 0, sizeof text, false};
        for (int64_t next = 0; next >= 0;)
            next = list(&shared_registry, next, 5, &b);
        CHECK(!b.full);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
        CHECK(failed[i] == 0);
    }
    CHECK(atomic_load(&shared_registry.count) == 0 && shared_registry.high <= 24);
    registry_release(&shared_registry);
}

int main(void) {
    static const struct tap_test tests[] = {
        {"bytes go in, or full is set", test_put},
        {"printf into a buffer", test_printf},
        {"blocks are of 2^n bytes", test_pool_classes},
        {"blocks are used again", test_pool_reuses},
        {"the budget is exact, and of all pools", test_pool_budget},
        {"a block that grows keeps its bytes", test_pool_grow},
        {"what a pool keeps is bounded and fades", test_pool_keeps_little},
        {"random blocks against a model", test_pool_random},
        {"pools of four threads, one budget", test_pool_threads},
        {"records are used again, ids never", test_registry_records},
        {"connections come and go", test_registry_random},
        {"names", test_registry_names},
        {"the line of a connection", test_describe},
        {"the line of a connection with a socket", test_describe_socket},
        {"who holds most memory is shut first", test_evict},
        {"a list in pieces", test_list_in_pieces},
        {"a list while connections come and go", test_registry_threads},
    };
    return tap_main(tests, sizeof tests / sizeof *tests);
}
