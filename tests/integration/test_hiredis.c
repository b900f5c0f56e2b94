/* test_hiredis.c -- a C client: the blocking API of hiredis.
 *
 *   test_hiredis                 prints the name of each test, a line each
 *   test_hiredis PORT NUMBER     runs one against the server at 127.0.0.1; exit 0: it passed
 *
 * A test that needs the server to be restarted prints "restart" and waits for a line on stdin. */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdlib.h>

#include "../tap.h"

static int port;

static redisContext *connected(void) {
    struct timeval timeout = {30, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, timeout);
    if (c == NULL || c->err) {
        printf("# cannot connect: %s\n", c ? c->errstr : "out of memory");
        exit(1);
    }
    redisSetTimeout(c, timeout);
    return c;
}

static bool is_text(const redisReply *r, int type, const char *text, size_t n) {
    return r && r->type == type && r->len == n && memcmp(r->str, text, n) == 0;
}

static bool is_status(const redisReply *r, const char *text) {
    return is_text(r, REDIS_REPLY_STATUS, text, strlen(text));
}

static void test_put_get(void) {
    redisContext *c = connected();
    redisReply *r = redisCommand(c, "PUT %s %s", "greeting", "hello");
    CHECK(is_status(r, "OK"));
    freeReplyObject(r);
    r = redisCommand(c, "GET greeting");
    CHECK(is_text(r, REDIS_REPLY_STRING, "hello", 5));
    freeReplyObject(r);
    r = redisCommand(c, "GET nothing");
    CHECK(r && r->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    r = redisCommand(c, "DEL greeting nothing");
    CHECK(r && r->type == REDIS_REPLY_INTEGER && r->integer == 1);
    freeReplyObject(r);
    redisFree(c);
}

static void test_binary(void) {
    redisContext *c = connected();
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        redisReply *r = redisCommand(c, "PUT %b %b", bytes, n, bytes + 256 - n, n);
        CHECK(is_status(r, "OK"));
        freeReplyObject(r);
        r = redisCommand(c, "GET %b", bytes, n);
        CHECK(is_text(r, REDIS_REPLY_STRING, bytes + 256 - n, n));
        freeReplyObject(r);
    }
    redisFree(c);
}

static void test_pipeline(void) {
    enum { COUNT = 10000 };
    redisContext *c = connected();
    for (int i = 0; i < COUNT; i++) {
        REQUIRE(redisAppendCommand(c, "SET key:%d value:%d", i, i) == REDIS_OK);
        REQUIRE(redisAppendCommand(c, "GET key:%d", i) == REDIS_OK);
    }
    for (int i = 0; i < COUNT; i++) {
        redisReply *r = NULL;
        char want[32];
        int n = snprintf(want, sizeof want, "value:%d", i);
        REQUIRE(redisGetReply(c, (void **)&r) == REDIS_OK);
        CHECK(is_status(r, "OK"));
        freeReplyObject(r);
        REQUIRE(redisGetReply(c, (void **)&r) == REDIS_OK);
        CHECK(is_text(r, REDIS_REPLY_STRING, want, (size_t)n));
        freeReplyObject(r);
    }
    redisFree(c);
}

static void test_large(void) {
    enum { SIZE = 1 << 20, COUNT = 20 };
    redisContext *c = connected();
    char *value = malloc(SIZE + 1);
    REQUIRE(value);
    unsigned x = 1;
    for (size_t i = 0; i <= SIZE; i++)
        value[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    for (int i = 0; i < COUNT; i++)
        REQUIRE(redisAppendCommand(c, "SET big:%d %b", i, value, (size_t)SIZE - (size_t)i) == REDIS_OK);
    for (int i = 0; i < COUNT; i++)
        REQUIRE(redisAppendCommand(c, "GET big:%d", i) == REDIS_OK);
    for (int i = 0; i < 2 * COUNT; i++) {
        redisReply *r = NULL;
        REQUIRE(redisGetReply(c, (void **)&r) == REDIS_OK);
        CHECK(i < COUNT ? is_status(r, "OK")
                        : is_text(r, REDIS_REPLY_STRING, value, (size_t)SIZE - (size_t)(i - COUNT)));
        freeReplyObject(r);
    }
    redisReply *r = redisCommand(c, "SET big %b", value, (size_t)SIZE + 1);
    CHECK(r && r->type == REDIS_REPLY_ERROR && strstr(r->str, "max-value-size (1048576 bytes)"));
    freeReplyObject(r);
    r = redisCommand(c, "PING");
    CHECK(is_status(r, "PONG"));
    freeReplyObject(r);
    free(value);
    redisFree(c);
}

static void test_errors(void) {
    static const struct {
        const char *request, *error;
    } rows[] = {
        {"NOTHING a b", "ERR unknown command 'NOTHING', with args beginning with: 'a' 'b' "},
        {"GET", "ERR wrong number of arguments for 'get' command"},
        {"SET k v EX 0", "ERR invalid expire time in 'set' command"},
        {"SET k v WHAT", "ERR syntax error"},
        {"INCRBY k x", "ERR value is not an integer or out of range"},
        {"SELECT 16", "ERR DB index is out of range"},
    };
    redisContext *c = connected();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        redisReply *r = redisCommand(c, rows[i].request);
        CHECK(is_text(r, REDIS_REPLY_ERROR, rows[i].error, strlen(rows[i].error)));
        freeReplyObject(r);
    }
    CHECK(c->err == 0);
    redisReply *r = redisCommand(c, "PING");
    CHECK(is_status(r, "PONG"));
    freeReplyObject(r);
    redisFree(c);
}

static void test_hello(void) {
    redisContext *c = connected();
#ifdef REDIS_REPLY_MAP /* hiredis 1.0 knows RESP3 */
    const int version = 3, map = REDIS_REPLY_MAP, verbatim = REDIS_REPLY_VERB;
#else
    const int version = 2, map = REDIS_REPLY_ARRAY, verbatim = REDIS_REPLY_STRING;
#endif
    redisReply *r = redisCommand(c, "HELLO %d SETNAME me", version);
    REQUIRE(r);
    CHECK(r->type == map && r->elements >= 14 && r->elements % 2 == 0);
    bool found = false;
    for (size_t i = 0; i + 1 < r->elements; i += 2)
        found |= strcmp(r->element[i]->str, "proto") == 0 && r->element[i + 1]->integer == version;
    CHECK(found);
    freeReplyObject(r);
    r = redisCommand(c, "GET nothing");
    CHECK(r && r->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    r = redisCommand(c, "CONFIG GET max*");
    CHECK(r && r->type == map && r->elements >= 4);
    freeReplyObject(r);
    r = redisCommand(c, "CLIENT LIST");
    CHECK(r && r->type == verbatim && strstr(r->str, "name=me"));
    freeReplyObject(r);
    redisFree(c);
}

static void test_reconnect(void) {
    redisContext *c = connected();
    redisReply *r = redisCommand(c, "SET k v");
    CHECK(is_status(r, "OK"));
    freeReplyObject(r);
    printf("restart\n");
    fflush(stdout);
    char line[16];
    REQUIRE(fgets(line, sizeof line, stdin));
    r = redisCommand(c, "PING");
    CHECK(r == NULL && (c->err == REDIS_ERR_EOF || c->err == REDIS_ERR_IO));
    if (r)
        freeReplyObject(r);
    REQUIRE(redisReconnect(c) == REDIS_OK);
    r = redisCommand(c, "GET k");
    CHECK(r && r->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    r = redisCommand(c, "PING");
    CHECK(is_status(r, "PONG"));
    freeReplyObject(r);
    redisFree(c);
}

int main(int argc, char **argv) {
    static const struct tap_test tests[] = {
        {"hiredis: PUT, GET and DEL", test_put_get},
        {"hiredis: keys and values of any bytes", test_binary},
        {"hiredis: a pipeline of 20,000 commands", test_pipeline},
        {"hiredis: values of 1 MB, and one byte more", test_large},
        {"hiredis: errors leave the connection usable", test_errors},
        {"hiredis: HELLO with the highest version that it knows, maps and texts", test_hello},
        {"hiredis: a client reconnects after a restart", test_reconnect},
    };
    size_t count = sizeof tests / sizeof *tests, chosen = argc > 2 ? strtoul(argv[2], NULL, 10) : count;
    if (argc < 3)
        for (size_t i = 0; i < count; i++)
            printf("%s\n", tests[i].name);
    if (argc < 3 || chosen >= count)
        return argc > 1;
    port = atoi(argv[1]);
    tests[chosen].run();
    return tap_failures != 0;
}
