/* hiredis.c -- what hiredis does with the server, by its blocking API. How it is called stands in run.py. */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "../tap.h"

enum { MANY = 10000, MB = 1 << 20 }; /* commands in one pipeline; bytes */
#define PADDED 1000                  /* bytes of a value in the pipeline */

static int port;
static redisReply *r; /* the latest reply; the next one frees it */

static redisContext *connected(void) {
    struct timeval timeout = {30, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, timeout);
    if (c == NULL || c->err) {
        printf("cannot connect: %s\n", c ? c->errstr : "out of memory");
        exit(1);
    }
    redisSetTimeout(c, timeout);
    return c;
}

#define ASK(...) (freeReplyObject(r), r = redisCommand(__VA_ARGS__))

static bool is_text(const redisReply *a, int type, const char *text, size_t n) {
    return a && a->type == type && a->len == n && memcmp(a->str, text, n) == 0;
}

static bool is_status(const redisReply *a, const char *text) {
    return is_text(a, REDIS_REPLY_STATUS, text, strlen(text));
}

static bool is_error(const redisReply *a, const char *text) {
    return is_text(a, REDIS_REPLY_ERROR, text, strlen(text));
}

static bool is_bulk(const redisReply *a, const char *text) {
    return is_text(a, REDIS_REPLY_STRING, text, strlen(text));
}

static bool is_int(const redisReply *a, long long n) { return a && a->type == REDIS_REPLY_INTEGER && a->integer == n; }

static bool is_nil(const redisReply *a) { return a && a->type == REDIS_REPLY_NIL; }

static bool is_array(const redisReply *a, size_t n) { return a && a->type == REDIS_REPLY_ARRAY && a->elements == n; }

static void resp2(void) {
    redisContext *c = connected();
    CHECK(is_status(ASK(c, "PING"), "PONG"));
    CHECK(is_status(ASK(c, "SET k v"), "OK"));
    CHECK(is_bulk(ASK(c, "GET k"), "v"));
    CHECK(is_nil(ASK(c, "GET nothing")));
    CHECK(ASK(c, "CLIENT LIST") && r->type == REDIS_REPLY_STRING && strstr(r->str, " resp=2"));
}

static void handshake(void) {
    redisContext *c = connected(), *other = connected();
    CHECK(is_status(ASK(c, "CLIENT SETNAME %s", "the-name"), "OK"));
    CHECK(is_status(ASK(c, "SELECT %d", 3), "OK"));
    CHECK(is_status(ASK(c, "SET k %s", "in 3"), "OK"));
    CHECK(ASK(c, "CLIENT LIST") && r->type == REDIS_REPLY_STRING);
    char *line = strstr(r->str, "name=the-name ");
    char *db = line ? strstr(line, "db=3 ") : NULL;
    CHECK(db && db < strchr(line, '\n'));
    CHECK(is_nil(ASK(other, "GET k")));
    CHECK(is_status(ASK(other, "SELECT 3"), "OK"));
    CHECK(is_bulk(ASK(other, "GET k"), "in 3"));
}

static void ttl(void) {
    redisContext *c = connected();
    CHECK(is_status(ASK(c, "SET seconds v EX %d", 100), "OK"));
    CHECK(is_status(ASK(c, "SET milliseconds v PX %d", 100000), "OK"));
    CHECK(ASK(c, "TTL seconds") && r->integer >= 90 && r->integer <= 100);
    CHECK(ASK(c, "PTTL milliseconds") && r->integer >= 90000 && r->integer <= 100000);
    CHECK(is_status(ASK(c, "SET short v PX 30"), "OK"));
    time_t deadline = time(NULL) + 20;
    while (ASK(c, "GET short") && r->type == REDIS_REPLY_STRING && time(NULL) < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    CHECK(is_nil(r));
    CHECK(is_int(ASK(c, "TTL short"), -2));
    CHECK(is_bulk(ASK(c, "GET seconds"), "v"));
}

static void binary(void) {
    redisContext *c = connected();
    char up[256], down[256];
    for (int i = 0; i < 256; i++)
        up[i] = down[255 - i] = (char)i;
    CHECK(is_status(ASK(c, "SET %b %b", up, sizeof up, down, sizeof down), "OK"));
    CHECK(is_text(ASK(c, "GET %b", up, sizeof up), REDIS_REPLY_STRING, down, sizeof down));
    CHECK(is_status(ASK(c, "SET empty %b", "", (size_t)0), "OK"));
    CHECK(is_bulk(ASK(c, "GET empty"), ""));
}

static void large(void) {
    redisContext *c = connected();
    static char value[MB + 1];
    for (int i = 0; i < MB; i += 8)
        sprintf(value + i, "%08x", (unsigned)i / 8);
    CHECK(is_status(ASK(c, "SET large %b", value, (size_t)MB), "OK"));
    CHECK(is_text(ASK(c, "GET large"), REDIS_REPLY_STRING, value, MB));
}

static void pipeline(void) {
    redisContext *c = connected();
    char value[PADDED + 1];
    for (int i = 0; i < MANY / 2; i++) {
        sprintf(value, "%0*d", PADDED, i);
        redisAppendCommand(c, "SET key:%d %s", i, value);
        redisAppendCommand(c, "GET key:%d", i);
    }
    for (int i = 0; i < MANY; i++) {
        freeReplyObject(r);
        REQUIRE(redisGetReply(c, (void **)&r) == REDIS_OK);
        sprintf(value, "%0*d", PADDED, i / 2);
        REQUIRE(i % 2 ? is_bulk(r, value) : is_status(r, "OK"));
    }
}

static void many(void) {
    redisContext *c = connected();
    CHECK(is_status(ASK(c, "MSET a 1 b two"), "OK"));
    CHECK(is_array(ASK(c, "MGET a nothing b"), 3));
    CHECK(is_bulk(r->element[0], "1") && is_nil(r->element[1]) && is_bulk(r->element[2], "two"));
    CHECK(is_int(ASK(c, "INCR a"), 2));
    CHECK(is_int(ASK(c, "EXISTS a b nothing"), 2));
    CHECK(is_int(ASK(c, "DEL a b nothing"), 2));
    CHECK(is_int(ASK(c, "EXISTS a b"), 0));
}

static void scan(void) {
    redisContext *c = connected();
    static int seen[1000];
    int found = 0;
    char cursor[32] = "0";
    for (int i = 0; i < 1500; i++)
        ASK(c, "SET %s:%d v", i < 1000 ? "scan" : "other", i);
    do {
        REQUIRE(is_array(ASK(c, "SCAN %s MATCH scan:* COUNT 100", cursor), 2));
        snprintf(cursor, sizeof cursor, "%s", r->element[0]->str);
        for (size_t i = 0; i < r->element[1]->elements; i++) {
            int number = -1;
            REQUIRE(sscanf(r->element[1]->element[i]->str, "scan:%d", &number) == 1 && number >= 0 && number < 1000);
            found += !seen[number]++;
        }
    } while (strcmp(cursor, "0") != 0);
    CHECK(found == 1000);
}

static void transaction(void) {
    redisContext *c = connected();
    static const char *queue[] = {"SET n 1", "INCR n", "GET n", "GET nothing"};
    CHECK(is_status(ASK(c, "MULTI"), "OK"));
    for (int i = 0; i < 4; i++)
        CHECK(is_status(ASK(c, queue[i]), "QUEUED"));
    REQUIRE(is_array(ASK(c, "EXEC"), 4));
    CHECK(is_status(r->element[0], "OK") && is_int(r->element[1], 2) && is_bulk(r->element[2], "2") &&
          is_nil(r->element[3]));
}

static void watch(void) {
    redisContext *c = connected(), *other = connected();
    for (int changed = 1; changed >= 0; changed--) {
        CHECK(is_status(ASK(c, "WATCH k"), "OK"));
        if (changed) CHECK(is_status(ASK(other, "SET k other"), "OK"));
        CHECK(is_status(ASK(c, "MULTI"), "OK"));
        CHECK(ASK(c, "SET k mine") && r->type == REDIS_REPLY_STATUS);
        CHECK(ASK(c, "EXEC") && r->type == (changed ? REDIS_REPLY_NIL : REDIS_REPLY_ARRAY));
        CHECK(is_bulk(ASK(c, "GET k"), changed ? "other" : "mine"));
    }
}

static void execabort(void) {
    redisContext *c = connected();
    CHECK(is_status(ASK(c, "MULTI"), "OK"));
    CHECK(ASK(c, "SET k v") && r->type == REDIS_REPLY_STATUS);
    CHECK(is_error(ASK(c, "GET"), "ERR wrong number of arguments for 'get' command"));
    CHECK(is_error(ASK(c, "EXEC"), "EXECABORT Transaction discarded because of previous errors."));
    CHECK(is_nil(ASK(c, "GET k")));
}

static void error(void) {
    redisContext *c = connected();
    CHECK(is_status(ASK(c, "SET text abc"), "OK"));
    CHECK(is_error(ASK(c, "INCR text"), "ERR value is not an integer or out of range"));
    CHECK(is_bulk(ASK(c, "GET text"), "abc"));
}

static void unknown(void) {
    CHECK(is_error(ASK(connected(), "LPUSH k v"), "ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' "));
}

/* The library never reconnects by itself: redisReconnect() is its way, and what was selected is lost. */
static void reconnect(void) {
    redisContext *c = connected();
    CHECK(is_status(ASK(c, "SET k v"), "OK"));
    puts("RESTART");
    REQUIRE(getchar() == '\n');
    r = redisCommand(c, "GET k");
    CHECK(r == NULL && c->err != 0);
    REQUIRE(redisReconnect(c) == REDIS_OK);
    CHECK(is_nil(ASK(c, "GET k")));
    CHECK(is_status(ASK(c, "SET k new"), "OK"));
    CHECK(is_bulk(ASK(c, "GET k"), "new"));
}

static const struct {
    const char *name;
    void (*run)(void);
    const char *remark;
} capabilities[] = {
    {"resp2", resp2, ""},
    {"resp3", NULL, "hiredis 1.0 brought it"},
    {"handshake", handshake, "the name and the database with calls of their own after connecting"},
    {"ttl", ttl, ""},
    {"binary", binary, ""},
    {"large", large, ""},
    {"pipeline", pipeline, ""},
    {"many", many, ""},
    {"scan", scan, "cursor by cursor: the library has no iterator"},
    {"transaction", transaction, ""},
    {"watch", watch, ""},
    {"execabort", execabort, ""},
    {"error", error, ""},
    {"unknown", unknown, ""},
    {"reconnect", reconnect, "by a call of its own: one command fails before"},
};

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    port = argc == 3 ? atoi(argv[1]) : 0;
    for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++) {
        if (argc != 3)
            printf("%c %s %s\n", capabilities[i].run ? '+' : '-', capabilities[i].name, capabilities[i].remark);
        else if (strcmp(argv[2], capabilities[i].name) == 0)
            capabilities[i].run();
    }
    return tap_failures != 0;
}
