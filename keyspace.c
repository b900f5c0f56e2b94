/* keyspace.c -- the commands on keys and values: what they ask for, and what they answer.
 *
 * Owns    nothing that lasts but client->suspended of a command that was interrupted.
 *
 * A handler is headed by its syntax as the Redis documentation writes it, and answers as Redis 7.2 does, byte for
 * byte. It locks a shard, encodes the reply from the entry itself, and unlocks; between the two there is no system
 * call, since `out` has room for any reply that is given at once (command_reply_room()).
 *
 * Work without a bound (KEYS, MGET of very many keys) is done in pieces: the handler keeps its place in
 * client->suspended and returns COMMAND_AGAIN; on the next turn it is called with the same arguments. A reply whose
 * length must be known before its first byte is collected in a block of the pool meanwhile. Within a transaction it is
 * called again at once, and `out` has room for all of it.
 *
 * A key belongs to a database, and its hash says to which: lock() sees to it that the hash is of the id that the
 * database has while the shard is locked. */
#include "keyspace.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "glob.h"

#define KEYS_PER_TURN 512           /* keys of one MGET, DEL or WATCH */
#define BUCKETS_PER_TURN 64         /* of KEYS and RANDOMKEY: some 600 keys */
#define SCAN_BUCKETS_MAX 512        /* of one SCAN, whatever its COUNT asks for */
#define SCAN_BYTES_MAX (256u << 10) /* of one SCAN: it stops at the bucket that passes it */
#define PATTERN_MAX 1024            /* bytes of a pattern, ... */
#define PATTERN_WORK (1u << 20)     /* ... and of it times the longest key: what matching one can take */
#define MATCH_STEPS_MAX 500000      /* of KEYS and SCAN: a pattern of many stars takes a thousand a key */
#define KEYS_AHEAD 16               /* keys whose memory is fetched at once: as many lines as a core waits for */
#define SCRATCH_BEHIND 2048         /* bytes of `out` that stay free for the reply beside a value put together in it */
#define INDEX_BYTES 8               /* of the index, that an entry takes; MEMORY USAGE says so */
#define EMBSTR_MAX 44               /* bytes of a value that Redis keeps in one piece with its header */

/* ---- helpers ---- */

/* From now on the call is about this key. */
static void turn_to(struct call *c, const struct slice *key) {
    c->key = key;
    c->hash = shards_hash(c->shards, c->database, *key);
    c->lru = shard_of(c->shards, c->hash); /* if it is */
}

static inline void unlock(struct call *c) { shard_unlock(c->shards, c->hash); }

/* Locks the shard of the key in the client's database. */
static inline void lock(struct call *c) {
    for (;;) {
        c->lru = shard_lock(c->shards, c->hash);
        if (hash_database(c->hash) == shards_id(c->shards, c->database)) return; /* nearly always */
        unlock(c);
        turn_to(c, c->key);
    }
}

static struct entry *peek(struct call *c) { return lru_peek(c->lru, c->hash, *c->key, c->now_ms); }

/* Finds an entry and makes it the latest, unless the client wants none touched. */
static inline struct entry *use(struct call *c) {
    bool touch = !(relaxed_load(c->client->modes) & CLIENT_NO_TOUCH);
    return touch ? lru_get(c->lru, c->hash, *c->key, c->now_ms) : peek(c);
}

/* Finds an entry for a command that reads it, counting hits and misses. Each GET goes through it, so it is
 * never called, but stands in place. */
__attribute__((always_inline)) static inline struct entry *read_entry(struct call *c, bool touch) {
    struct entry *e = touch ? use(c) : peek(c);
    lru_count_read(c->lru, c->hash, e != NULL);
    return e;
}

/* Locks the key's shard and finds its entry: to change it, or to read it. */
static inline struct entry *lock_entry(struct call *c) { return lock(c), peek(c); }

__attribute__((always_inline)) static inline struct entry *lock_read(struct call *c, bool touch) {
    return lock(c), read_entry(c, touch);
}

static bool value_fits(struct call *c, uint64_t bytes) {
    uint64_t max = c->context->config->max_value_size_bytes;
    if (bytes <= max) return true;
    return error_format(c, "ERR value exceeds max-value-size (%" PRIu64 " bytes)", max), false;
}

/* Stores a value. What fits the limit always has room; what was stored before maxmemory sank may have none any more:
 * then it is evicted with this. One whose time is over already is none. */
static void store(struct call *c, struct slice value, int64_t deadline_ms) {
    if ((deadline_ms == 0 || deadline_ms > c->now_ms) && lru_set(c->lru, c->hash, *c->key, value, deadline_ms)) return;
    struct entry *e = peek(c);
    if (e) lru_remove(c->lru, c->hash, e);
    lru_changed(c->lru, c->hash); /* it was there for a moment */
}

/* The end of `out`, `bytes` of it: a place to put a value together while the shard is locked. NULL: there is no room,
 * since CONFIG SET has just allowed larger values than when `out` was looked at; that was answered. */
static char *scratch(struct call *c, size_t bytes) {
    if (bytes + SCRATCH_BEHIND <= buf_left(c->out)) return c->out->p + c->out->cap - bytes;
    return ERROR(c, "ERR max-value-size has just been changed; try again"), NULL;
}

/* Makes *value a copy of itself. False: as above. */
static bool scratch_copy(struct call *c, struct slice *value) {
    char *copy = scratch(c, value->n);
    if (copy == NULL) return false;
    if (value->n) memcpy(copy, value->p, value->n);
    value->p = copy;
    return true;
}

/* Gives the key's entry another deadline; one that is over removes it. False: it could not, and that was answered. */
static bool set_deadline(struct call *c, struct entry *e, int64_t deadline_ms) {
    if (deadline_ms && deadline_ms <= c->now_ms) return lru_remove(c->lru, c->hash, e), true;
    if (lru_set_deadline(c->lru, e, deadline_ms)) return true;
    struct slice value = entry_value(e); /* it has no room for one */
    if (!scratch_copy(c, &value)) return false;
    store(c, value, deadline_ms);
    return true;
}

/* Locks the shards of argv[from], argv[from + 2] and so on below `to`, and that of argv[other] in a database that may
 * be another, all at once, so nobody sees a part of what is done. For shards_unlock_many(). */
static uint64_t lock_keys(struct call *c, int from, int to, int other, uint32_t database) {
    for (;;) {
        uint32_t id = shards_id(c->shards, c->database), other_id = shards_id(c->shards, database);
        uint64_t set = 1ull << hash_shard(hash_key(&c->shards->seed, other_id, c->argv[other])), locked;
        for (int i = from; i < to; i += 2)
            set |= 1ull << hash_shard(hash_key(&c->shards->seed, id, c->argv[i]));
        locked = shards_lock_many(c->shards, set);
        if (id == shards_id(c->shards, c->database) && other_id == shards_id(c->shards, database)) return locked;
        shards_unlock_many(c->shards, locked);
    }
}

/* ---- collected replies ---- */

void collect_forget(struct pool *pool, struct client *client) {
    pool_put(pool, client->suspended.reply.p, client->suspended.reply.cap);
    client->suspended = (struct suspended){0};
}

bool collect_room(struct call *c, size_t bytes) {
    struct suspended *s = &c->client->suspended;
    struct buf *b = &s->reply;
    if (b->p == NULL) b->len = COLLECT_HEADER;
    if (b->full) b->len = s->start;
    size_t wanted = b->p ? b->len + (b->full ? b->cap : bytes) : COLLECT_FIRST;
    if (wanted > b->cap) {
        if (b->p && wanted > c->context->config->client_output_bytes) return false;
        char *p = pool_grow(c->context->pool, b->p, &b->cap, b->len, wanted);
        if (p == NULL) return false;
        b->p = p;
    }
    b->full = false;
    s->start = b->len;
    return true;
}

enum command_result collect_failed(struct call *c, const char *instead) {
    collect_forget(c->context->pool, c->client);
    return error_format(
        c, "ERR the reply of '%s' exceeds client-output-buffer-limit (%" PRIu64 " bytes) or client-memory; %s",
        c->command->name, (uint64_t)c->context->config->client_output_bytes, instead);
}

enum command_result collected(struct call *c, const char *format, size_t size) {
    struct suspended *s = &c->client->suspended;
    char header[COLLECT_HEADER];
    size_t n = (size_t)snprintf(header, sizeof header, format, size);
    *s = (struct suspended){.reply = s->reply, .start = COLLECT_HEADER - n};
    memcpy(s->reply.p + s->start, header, n);
    return COMMAND_COLLECTED;
}

/* ---- options of SET and its kin ---- */

struct set_options {
    unsigned flags;
    int ifeq;            /* the argument to compare with, ... */
    int time;            /* ... and that of the time, which set_time() reads; 0: none */
    int64_t deadline_ms; /* 0: none */
};

/* The deadline that `text` means: in VARIANT_SECONDS or ms, counted from now or as VARIANT_UNIX says. False: the
 * error is answered. As Redis, only what is positive is a time to live, but for EXPIRE, one that is `past` removes. */
static bool deadline_of(struct call *c, struct slice text, int variant, bool past, int64_t *deadline_ms) {
    int64_t v, unit_ms = variant & VARIANT_SECONDS ? 1000 : 1;
    bool relative = !(variant & VARIANT_UNIX);
    if (!resp_integer_of(text, &v)) return not_an_integer(c), false;
    if ((v > 0 || past) && !__builtin_mul_overflow(v, unit_ms, deadline_ms) &&
        !__builtin_add_overflow(*deadline_ms, relative ? c->now_ms : 0, deadline_ms))
        return true;
    return error_format(c, "ERR invalid expire time in '%s' command", c->command->name), false;
}

/* Reads the options from argv[from] on; those that the command has are in `allowed`. False: the error is answered. */
static bool set_options(struct call *c, int from, unsigned allowed, struct set_options *o) {
    for (int i = from; i < c->argc; i++) {
        int word = one_of(c->argv[i], "ex px exat pxat keepttl persist nx xx ifeq get"); /* bit by bit of the flags */
        unsigned flag = word < 0 ? 0 : 1u << word & allowed;
        unsigned kin = flag & SET_ANY_TTL ? SET_ANY_TTL & ~flag : flag & SET_CONDITION ? SET_CONDITION & ~flag : 0;
        bool more = flag & (SET_TIME | SET_IFEQ), again = flag & o->flags & SET_IFEQ;
        if (flag == 0 || (o->flags & kin) || again || (more && i + 1 == c->argc)) return syntax_error(c), false;
        o->flags |= flag;
        if (more) *(flag == SET_IFEQ ? &o->ifeq : &o->time) = ++i;
    }
    return true;
}

/* Works out the deadline. False: the error is answered. */
static bool set_time(struct call *c, struct set_options *o) {
    int unit = o->flags & (SET_EX | SET_EXAT) ? VARIANT_SECONDS : 0,
        from = o->flags & (SET_EX | SET_PX) ? 0 : VARIANT_UNIX;
    return o->time == 0 || deadline_of(c, c->argv[o->time], unit | from, false, &o->deadline_ms);
}

static bool value_is(const struct entry *e, struct slice value) { return e && slice_equal(entry_value(e), value); }

/* ---- one value ---- */

__attribute__((always_inline)) static inline enum command_result put_value(struct call *c, const struct entry *e) {
    return e ? bulk(c, entry_value(e)) : null(c);
}

/* GET key */
enum command_result cmd_get(struct call *c) {
    put_value(c, lock_read(c, true));
    unlock(c);
    return COMMAND_DONE;
}

static enum command_result set_entry(struct call *c, const struct set_options *o, struct slice value) {
    if (!value_fits(c, value.n)) return COMMAND_DONE;
    lock(c);
    struct entry *e = o->flags ? peek(c) : NULL;
    if (o->flags & SET_GET) {
        lru_count_read(c->lru, c->hash, e != NULL);
        put_value(c, e);
    }
    bool stored = !((o->flags & SET_NX) && e) && !((o->flags & SET_XX) && !e) &&
                  !((o->flags & SET_IFEQ) && !value_is(e, c->argv[o->ifeq]));
    if (stored) store(c, value, (o->flags & SET_KEEPTTL) && e ? entry_deadline_ms(e) : o->deadline_ms);
    unlock(c);
    if (o->flags & SET_GET) return COMMAND_DONE;
    if (c->command->variant == SET_NX) return integer(c, stored);
    return stored ? ok(c) : null(c);
}

/* SET key value [NX | XX | IFEQ comparison-value] [GET] [EX seconds | PX milliseconds | EXAT time | PXAT time |
 * KEEPTTL]; IFEQ as Valkey 8.1 has it
 * PUT key value, GETSET key value, SETNX key value: PUT is what key-value servers of textbooks call it. */
enum command_result cmd_set(struct call *c) {
    struct set_options o = {.flags = (unsigned)c->command->variant};
    if (c->argc > 3 && (!set_options(c, 3, SET_CONDITION | SET_GET | SET_KEEPTTL | SET_TIME, &o) || !set_time(c, &o)))
        return COMMAND_DONE;
    return set_entry(c, &o, c->argv[2]);
}

/* SETEX key seconds value, PSETEX key milliseconds value */
enum command_result cmd_setex(struct call *c) {
    struct set_options o = {0};
    bool right = deadline_of(c, c->argv[2], c->command->variant, false, &o.deadline_ms);
    return right ? set_entry(c, &o, c->argv[3]) : COMMAND_DONE;
}

/* GETDEL key */
enum command_result cmd_getdel(struct call *c) {
    struct entry *e = lock_read(c, true);
    put_value(c, e);
    if (e) lru_remove(c->lru, c->hash, e);
    unlock(c);
    return COMMAND_DONE;
}

/* GETEX key [EX seconds | PX milliseconds | EXAT time | PXAT time | PERSIST] */
enum command_result cmd_getex(struct call *c) {
    struct set_options o = {0};
    if (!set_options(c, 2, SET_TIME | SET_PERSIST, &o)) return COMMAND_DONE;
    struct entry *e = lock_read(c, true);
    if (e && set_time(c, &o)) { /* of what is not there, not even the time is looked at */
        bool over = o.deadline_ms && o.deadline_ms <= c->now_ms;
        if (o.flags && !over && set_deadline(c, e, o.deadline_ms)) e = peek(c); /* stored anew, or it had no room */
        if (e && !c->failed) resp_bulk(c->out, entry_value(e));
        if (over) lru_remove(c->lru, c->hash, e);
    }
    unlock(c);
    return e ? COMMAND_DONE : null(c);
}

/* DELEX key [IFEQ value] as Redis 8.4 has it, DELIFEQ key value as Valkey 9 */
enum command_result cmd_delex(struct call *c) {
    bool compare = c->argc > 2;
    if (c->command->variant != VARIANT_IFEQ && compare && (c->argc != 4 || !is_word(c->argv[2], SLICE("ifeq"))))
        return c->argc == 3 || c->argc > 4 ? wrong_arity(c) : ERROR(c, "ERR Invalid condition. Use IFEQ");
    struct entry *e = lock_entry(c);
    bool removed = e && (!compare || value_is(e, c->argv[c->argc - 1]));
    if (removed) lru_remove(c->lru, c->hash, e);
    unlock(c);
    return integer(c, removed);
}

/* Replaces what lies at `offset` of the value by `bytes`, with zeros before it where it was shorter; -1: at its end.
 * Answers the new length. */
static enum command_result overwrite(struct call *c, int64_t offset, struct slice bytes) {
    bool nothing = bytes.n == 0 && offset >= 0;
    if (!value_fits(c, bytes.n)) return COMMAND_DONE; /* it was dropped as it came */
    const struct entry *e = lock_entry(c);
    struct slice old = e ? entry_value(e) : (struct slice){"", 0};
    uint64_t at = offset < 0 ? old.n : (uint64_t)offset, size = nothing || at + bytes.n < old.n ? old.n : at + bytes.n;
    char *joined = !nothing && value_fits(c, size) ? scratch(c, size) : NULL;
    if (joined) {
        if (old.n) memcpy(joined, old.p, old.n);
        if (at > old.n) memset(joined + old.n, 0, at - old.n);
        if (bytes.n) memcpy(joined + at, bytes.p, bytes.n);
        store(c, (struct slice){joined, size}, e ? entry_deadline_ms(e) : 0);
    }
    unlock(c);
    return c->failed ? COMMAND_DONE : integer(c, (int64_t)size);
}

/* APPEND key value */
enum command_result cmd_append(struct call *c) { return overwrite(c, -1, c->argv[2]); }

/* SETRANGE key offset value */
enum command_result cmd_setrange(struct call *c) {
    int64_t offset;
    if (!resp_integer_of(c->argv[2], &offset)) return not_an_integer(c);
    if (offset < 0) return ERROR(c, "ERR offset is out of range");
    return overwrite(c, offset, c->argv[3]);
}

/* GETRANGE key start end, SUBSTR key start end */
enum command_result cmd_getrange(struct call *c) {
    int64_t from, to;
    if (!resp_integer_of(c->argv[2], &from) || !resp_integer_of(c->argv[3], &to)) return not_an_integer(c);
    struct entry *e = lock_read(c, true);
    struct slice value = e ? entry_value(e) : (struct slice){"", 0};
    int64_t n = (int64_t)value.n;
    bool none = from < 0 && to < 0 && from > to;
    from = from >= 0 ? from : from + n > 0 ? from + n : 0;
    to = to >= n ? n - 1 : to >= 0 ? to : to + n > 0 ? to + n : 0;
    none |= from > to || n == 0;
    resp_bulk(c->out, none ? SLICE("") : (struct slice){value.p + from, (size_t)(to - from + 1)});
    unlock(c);
    return COMMAND_DONE;
}

/* STRLEN key */
enum command_result cmd_strlen(struct call *c) {
    const struct entry *e = lock_read(c, true);
    int64_t size = e ? (int64_t)entry_value(e).n : 0;
    unlock(c);
    return integer(c, size);
}

/* INCR key, DECR key, INCRBY key increment, DECRBY key decrement */
enum command_result cmd_increment(struct call *c) {
    int64_t by = 1, value = 0;
    if ((c->command->variant & VARIANT_BY) && !resp_integer_of(c->argv[2], &by)) return not_an_integer(c);
    if ((c->command->variant & VARIANT_DOWN) && by == INT64_MIN) return ERROR(c, "ERR decrement would overflow");
    by = c->command->variant & VARIANT_DOWN ? -by : by;
    const struct entry *e = lock_entry(c);
    bool is_integer = e == NULL || resp_integer_of(entry_value(e), &value);
    bool in_range = is_integer && !__builtin_add_overflow(value, by, &value);
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    if (in_range) store(c, (struct slice){text, (size_t)n}, e ? entry_deadline_ms(e) : 0);
    unlock(c);
    if (!is_integer) return not_an_integer(c);
    return in_range ? integer(c, value) : ERROR(c, "ERR increment or decrement would overflow");
}

bool is_plain_float(struct slice text) {
    size_t head = 0, exponent = 0;
    while (head < text.n && memchr("0123456789.+-", text.p[head], 13))
        head++;
    if (head == text.n || head == 0 || (head == 1 && *text.p < '.'))
        return true; /* infinity, too: nothing is made of it */
    for (size_t i = head + 1; i < text.n && exponent < 1000; i++)
        if (text.p[i] >= '0') exponent = exponent * 10 + (size_t)(text.p[i] - '0'); /* whatever its sign */
    return head + exponent <= 58 || head + exponent <= text.n + 8;
}

/* A number as Redis reads one for INCRBYFLOAT: what strtold() takes whole, without white space before it. */
static bool float_of(struct slice text, long double *value) {
    char copy[5120], *end; /* as long as Redis takes them */
    if (text.n == 0 || text.n >= sizeof copy || (text.p[0] >= '\t' && text.p[0] <= '\r') || text.p[0] == ' ')
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    errno = 0;
    *value = strtold(copy, &end);
    bool range = errno == ERANGE && (isinf(*value) || fpclassify(*value) == FP_ZERO);
    return end == copy + text.n && !range && !isnan(*value);
}

/* Seventeen digits behind the point, without the zeros at the end: as Redis writes a long double. */
static struct slice float_text(char text[5120], long double value) {
    size_t n = (size_t)snprintf(text, 5120, "%.17Lf", value);
    while (text[n - 1] == '0')
        n--;
    n -= text[n - 1] == '.';
    return n == 2 && memcmp(text, "-0", 2) == 0 ? SLICE("0") : (struct slice){text, n};
}

/* INCRBYFLOAT key increment */
enum command_result cmd_incrbyfloat(struct call *c) {
    long double value = 0, by;
    char text[5120]; /* the largest has 4,933 digits before the point */
    const struct entry *e = lock_entry(c);
    bool is_bounded = !c->in_exec || e == NULL || is_plain_float(entry_value(e)); /* by what EXEC has looked at */
    bool is_float = is_bounded && (e == NULL || float_of(entry_value(e), &value)) && float_of(c->argv[2], &by);
    bool in_range = is_float && !isnan(value + by) && !isinf(value + by);
    struct slice sum = in_range ? float_text(text, value + by) : SLICE("");
    if (in_range && value_fits(c, sum.n)) store(c, sum, e ? entry_deadline_ms(e) : 0);
    unlock(c);
    if (!is_float) return ERROR(c, "ERR value is not a valid float");
    if (!in_range) return ERROR(c, "ERR increment would produce NaN or Infinity");
    return c->failed ? COMMAND_DONE : bulk(c, sum);
}

/* ---- many values ---- */

/* As many keys at once as surely fit `out`. One always does, since `out` came with room for a whole value; EXEC made
 * room for all. */
enum command_result each_key(struct call *c, size_t room, key_function *each) {
    struct suspended *s = &c->client->suspended;
    uint64_t hash[KEYS_AHEAD];
    int at = s->next ? (int)s->next : 1, most = c->argc - at > KEYS_PER_TURN ? at + KEYS_PER_TURN : c->argc, n = 0;
    for (int ahead = 0; at < most && n == ahead; at += n) {
        ahead = most - at < KEYS_AHEAD ? most - at : KEYS_AHEAD;
        for (int i = 0; i < ahead; i++) {
            hash[i] = shards_hash(c->shards, c->database, c->argv[at + i]);
            lru_prefetch_bucket(shard_of(c->shards, hash[i]), hash[i]);
        }
        for (int i = 0; i < ahead; i++)
            lru_prefetch_entry(shard_of(c->shards, hash[i]), hash[i]);
        for (n = 0; n < ahead && (c->in_exec || buf_left(c->out) >= room); n++) {
            c->key = &c->argv[at + n];
            c->hash = hash[n];
            lock(c);
            each(c);
            unlock(c);
        }
    }
    s->next = at == c->argc ? 0 : at;
    return s->next ? COMMAND_AGAIN : COMMAND_DONE;
}

static void mget_one(struct call *c) { put_value(c, read_entry(c, true)); }

/* MGET key [key ...] */
enum command_result cmd_mget(struct call *c) {
    if (c->client->suspended.next == 0) resp_array(c->out, (size_t)c->argc - 1);
    return each_key(c, resp_bulk_bytes(shards_value_room(c->shards)), mget_one);
}

/* Stores argv[from], argv[from + 1] and so on below `to`, all or none. Answers 1 or 0 when `answer` says so. */
static enum command_result store_pairs(struct call *c, int from, int to, const struct set_options *o, bool answer) {
    bool wanted = true;
    for (int i = from; i < to; i += 2)
        if (!value_fits(c, c->argv[i + 1].n)) return COMMAND_DONE;
    uint64_t locked = lock_keys(c, from, to, from, c->database);
    for (int i = from; (o->flags & (SET_NX | SET_XX)) && wanted && i < to; i += 2) {
        turn_to(c, &c->argv[i]);
        wanted = (peek(c) != NULL) == !!(o->flags & SET_XX);
    }
    for (int i = from; wanted && i < to; i += 2) {
        turn_to(c, &c->argv[i]);
        struct entry *e = o->flags & SET_KEEPTTL ? peek(c) : NULL;
        store(c, c->argv[i + 1], e ? entry_deadline_ms(e) : o->deadline_ms);
    }
    shards_unlock_many(c->shards, locked);
    return answer ? integer(c, wanted) : ok(c);
}

/* MSET key value [key value ...], MSETNX key value [key value ...] */
enum command_result cmd_mset(struct call *c) {
    if (c->argc % 2 == 0) return wrong_arity(c);
    struct set_options o = {.flags = (unsigned)c->command->variant};
    return store_pairs(c, 1, c->argc, &o, o.flags != 0);
}

/* MSETEX numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL],
 * as Redis 8.4 has it */
enum command_result cmd_msetex(struct call *c) {
    int64_t keys;
    struct set_options o = {0};
    if (!resp_integer_of(c->argv[1], &keys) || keys <= 0 || keys > INT_MAX)
        return ERROR(c, "ERR invalid numkeys value");
    if (keys > (c->argc - 2) / 2) return wrong_arity(c);
    int to = 2 + 2 * (int)keys;
    if (!set_options(c, to, SET_NX | SET_XX | SET_KEEPTTL | SET_TIME, &o) || !set_time(c, &o)) return COMMAND_DONE;
    return store_pairs(c, 2, to, &o, true);
}

/* ---- keys ---- */

static void delete_one(struct call *c) {
    struct entry *e = peek(c);
    if (e == NULL) return;
    lru_remove(c->lru, c->hash, e);
    c->client->suspended.count++;
}

static void exists_one(struct call *c) { c->client->suspended.count += read_entry(c, false) != NULL; }

static void touch_one(struct call *c) {
    lru_get(c->lru, c->hash, *c->key, c->now_ms); /* whatever CLIENT NO-TOUCH says */
    exists_one(c);
}

/* Answers for how many keys `each` said so. */
static enum command_result count_keys(struct call *c, key_function *each) {
    if (each_key(c, 0, each) == COMMAND_AGAIN) return COMMAND_AGAIN;
    int64_t count = c->client->suspended.count;
    c->client->suspended.count = 0;
    return integer(c, count);
}

/* DEL key [key ...], UNLINK key [key ...]: nothing here is freed later, there is nothing to wait for */
enum command_result cmd_del(struct call *c) { return count_keys(c, delete_one); }

/* EXISTS key [key ...] */
enum command_result cmd_exists(struct call *c) { return count_keys(c, exists_one); }

/* TOUCH key [key ...] */
enum command_result cmd_touch(struct call *c) { return count_keys(c, touch_one); }

/* TYPE key */
enum command_result cmd_type(struct call *c) {
    resp_simple(c->out, lock_read(c, false) ? SLICE("string") : SLICE("none"));
    unlock(c);
    return COMMAND_DONE;
}

/* TTL key, PTTL key, EXPIRETIME key, PEXPIRETIME key: -2 no such key, -1 no deadline */
enum command_result cmd_ttl(struct call *c) {
    const struct entry *e = lock_read(c, false);
    int64_t time_ms = e ? entry_deadline_ms(e) : 0;
    unlock(c);
    if (time_ms == 0) return integer(c, e ? -1 : -2);
    if (!(c->command->variant & VARIANT_UNIX)) time_ms = time_ms > c->now_ms ? time_ms - c->now_ms : 0;
    return integer(c, c->command->variant & VARIANT_SECONDS ? time_ms / 1000 + (time_ms % 1000 >= 500) : time_ms);
}

enum expire_flags { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

/* Whether the condition lets an entry with deadline `old_ms` (0: none, so infinitely late) have `new_ms`. */
static bool expire_allowed(unsigned flags, int64_t old_ms, int64_t new_ms) {
    unsigned not_later = new_ms <= old_ms ? EXPIRE_GT : 0, not_sooner = new_ms >= old_ms ? EXPIRE_LT : 0;
    return !(flags & (old_ms ? EXPIRE_NX | not_later | not_sooner : EXPIRE_XX | EXPIRE_GT));
}

/* EXPIRE key seconds [NX | XX | GT | LT], PEXPIRE key milliseconds ..., EXPIREAT key unix-time-seconds ..., PEXPIREAT
 * key unix-time-milliseconds ... */
enum command_result cmd_expire(struct call *c) {
    int64_t deadline_ms;
    unsigned flags = 0;
    for (int i = 3; i < c->argc; i++) {
        int word = one_of(c->argv[i], "nx xx gt lt");
        if (word < 0) return error_format(c, "ERR Unsupported option %.*s", shown_option(c->argv[i]), c->argv[i].p);
        flags |= 1u << word;
    }
    if ((flags & EXPIRE_NX) && (flags & ~(unsigned)EXPIRE_NX))
        return ERROR(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
    if ((flags & EXPIRE_GT) && (flags & EXPIRE_LT))
        return ERROR(c, "ERR GT and LT options at the same time are not compatible");
    if (!deadline_of(c, c->argv[2], c->command->variant, true, &deadline_ms)) return COMMAND_DONE;
    struct entry *e = (lock(c), use(c));
    bool changed = e && expire_allowed(flags, entry_deadline_ms(e), deadline_ms);
    bool done = !changed || set_deadline(c, e, deadline_ms > 0 ? deadline_ms : 1); /* 0 would be none */
    unlock(c);
    return done ? integer(c, changed) : COMMAND_DONE;
}

/* PERSIST key */
enum command_result cmd_persist(struct call *c) {
    struct entry *e = (lock(c), use(c));
    bool changed = e && entry_deadline_ms(e);
    if (changed) lru_set_deadline(c->lru, e, 0);
    unlock(c);
    return integer(c, changed);
}

/* Copies argv[1]'s value and deadline to argv[to] of a database, or moves it there. Answers 1; 0 when there is nothing
 * to copy, or something in its place that may not be replaced. RENAME says so in words. */
static enum command_result transfer(struct call *c, int to, uint32_t database, bool replace, bool move) {
    bool rename = c->command->handler == cmd_rename;
    if (!rename && database == c->database && slice_equal(c->argv[1], c->argv[to]))
        return ERROR(c, "ERR source and destination objects are the same");
    uint64_t locked = lock_keys(c, 1, 2, to, database);
    struct call other = *c; /* it is about where the value goes */
    other.database = database;
    turn_to(&other, &c->argv[to]);
    turn_to(c, &c->argv[1]);
    struct entry *e = peek(c);
    bool same = e && c->hash == other.hash && slice_equal(*c->key, *other.key);
    bool done = e && (replace || peek(&other) == NULL);
    if (done && !same) {
        e = peek(c); /* looking at the other may have removed it: they share a shard */
        struct slice value = entry_value(e);
        int64_t deadline_ms = entry_deadline_ms(e);
        if (scratch_copy(c, &value)) {
            if (move) lru_remove(c->lru, c->hash, e);
            store(&other, value, deadline_ms);
        }
    }
    shards_unlock_many(c->shards, locked);
    if (c->failed) return COMMAND_DONE;
    if (rename && e == NULL) return ERROR(c, "ERR no such key");
    return rename && replace ? ok(c) : integer(c, done);
}

/* RENAME key newkey, RENAMENX key newkey */
enum command_result cmd_rename(struct call *c) {
    return transfer(c, 2, c->database, c->command->variant != VARIANT_NX, true);
}

/* COPY source destination [DB destination-db] [REPLACE] */
enum command_result cmd_copy(struct call *c) {
    uint32_t database = c->database;
    bool replace = false;
    for (int i = 3; i < c->argc; i++) {
        bool db = is_word(c->argv[i], SLICE("db")) && i + 1 < c->argc;
        if (!db && !is_word(c->argv[i], SLICE("replace"))) return syntax_error(c);
        if (db && !database_of(c, c->argv[++i], &database)) return COMMAND_DONE;
        replace |= !db;
    }
    return transfer(c, 2, database, replace, false);
}

/* MOVE key db */
enum command_result cmd_move(struct call *c) {
    uint32_t database;
    return database_of(c, c->argv[2], &database) ? transfer(c, 1, database, false, true) : COMMAND_DONE;
}

/* OBJECT ENCODING key, OBJECT IDLETIME key, OBJECT REFCOUNT key, OBJECT FREQ key */
enum command_result cmd_object(struct call *c) {
    int64_t number;
    int variant = c->command->variant;
    turn_to(c, &c->argv[2]);
    const struct entry *e = lock_entry(c);
    struct slice value = e ? entry_value(e) : SLICE("");
    struct slice encoding = resp_integer_of(value, &number) ? SLICE("int")
                            : value.n <= EMBSTR_MAX         ? SLICE("embstr")
                                                            : SLICE("raw");
    int64_t idle_ms = e ? lru_idle_ms(c->lru, e) : 0, bytes = e ? (int64_t)(lru_entry_bytes(e) + INDEX_BYTES) : 0;
    unlock(c);
    if (e == NULL) return null(c);
    if (variant == VARIANT_ENCODING) return bulk(c, encoding);
    if (variant == VARIANT_FREQ)
        return ERROR(c, "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
                        "when switching between policies at runtime LRU and LFU data will take some time to adjust.");
    return integer(c, variant == VARIANT_IDLETIME ? idle_ms / 1000 : variant == VARIANT_BYTES ? bytes : 1);
}

/* MEMORY USAGE key [SAMPLES count]: its entry, and its part of the index */
enum command_result cmd_memory_usage(struct call *c) {
    int64_t samples;
    for (int i = 3; i < c->argc; i += 2) {
        if (!is_word(c->argv[i], SLICE("samples")) || i + 1 == c->argc) return syntax_error(c);
        if (!resp_integer_of(c->argv[i + 1], &samples)) return not_an_integer(c);
        if (samples < 0) return syntax_error(c);
    }
    return cmd_object(c);
}

/* ---- all keys of a database ---- */

struct walk {
    struct buf *out;
    uint32_t id;
    const struct slice *pattern; /* NULL: every key */
    int64_t found;
    size_t steps;     /* of matching */
    uint64_t *random; /* not NULL: one of those that are found stays in `out`, behind `start` */
    size_t start;
};

static void walk_emit(void *context, const struct entry *e) {
    struct walk *w = context;
    if (entry_database(e) != w->id) return;
    if (w->pattern && !glob_match_steps(*w->pattern, entry_key(e), false, &w->steps)) return;
    w->found++;
    if (w->random) {
        if ((next_random(w->random) >> 32) % (uint64_t)w->found) return;
        w->out->len = w->start;
    }
    resp_bulk(w->out, entry_key(e));
}

/* The pattern in argv[i], in *pattern; what matches every key becomes NULL. False: it is too long, and that was
 * answered: matching takes time with the product of both lengths. */
static bool pattern_of(struct call *c, int i, const struct slice **pattern) {
    uint64_t key = c->context->config->max_key_size_bytes, max = key > PATTERN_MAX ? PATTERN_WORK / key : PATTERN_MAX;
    *pattern = slice_equal(c->argv[i], SLICE("*")) ? NULL : &c->argv[i];
    if (c->argv[i].n <= max) return true;
    return error_format(c, "ERR pattern exceeds %" PRIu64 " bytes", max), false;
}

/* SCAN cursor [MATCH pattern] [COUNT count] [TYPE type] */
enum command_result cmd_scan(struct call *c) {
    int64_t cursor, count = 10;
    const struct slice *pattern = NULL;
    bool strings = true;
    if (!resp_integer_of(c->argv[1], &cursor) || cursor < 0 || !shards_cursor_valid((uint64_t)cursor))
        return ERROR(c, "ERR invalid cursor");
    for (int i = 2; i < c->argc; i += 2) {
        int option = one_of(c->argv[i], "match count type");
        if (option < 0 || i + 1 == c->argc) return syntax_error(c);
        if (option == 0 && !pattern_of(c, i + 1, &pattern)) return COMMAND_DONE;
        if (option == 1 && !resp_integer_of(c->argv[i + 1], &count)) return not_an_integer(c);
        if (count < 1) return syntax_error(c);
        if (option == 2) strings = is_word(c->argv[i + 1], SLICE("string"));
    }
    struct buf items = {c->out->p + c->out->len + 64, 0, buf_left(c->out) - 64, false}; /* the headers go before them */
    struct walk w = {.out = &items, .id = shards_id(c->shards, c->database), .pattern = pattern};
    uint64_t at = (uint64_t)cursor;
    int buckets = 0;
    do {
        at = shards_scan(c->shards, w.id, at, c->now_ms, walk_emit, &w);
        if (!strings) items.len = (size_t)(w.found = 0);
    } while (at && w.found < count && ++buckets < SCAN_BUCKETS_MAX && (w.found == 0 || buckets / 10 < count) &&
             items.len < SCAN_BYTES_MAX && w.steps < MATCH_STEPS_MAX);
    put(c, "*#*", 2, (int64_t)at, (int)w.found);
    memmove(c->out->p + c->out->len, items.p, items.len);
    c->out->len += items.len;
    c->out->full |= items.full;
    return COMMAND_DONE;
}

/* KEYS pattern */
enum command_result cmd_keys(struct call *c) {
    struct suspended *s = &c->client->suspended;
    struct walk w = {.out = &s->reply, .id = shards_id(c->shards, c->database)};
    if (!pattern_of(c, 1, &w.pattern)) return collect_forget(c->context->pool, c->client), COMMAND_DONE;
    for (int buckets = 0; buckets < BUCKETS_PER_TURN && w.steps < MATCH_STEPS_MAX; buckets++) {
        if (!collect_room(c, COLLECT_FIRST / 2)) return collect_failed(c, "use SCAN");
        w.found = 0;
        uint64_t next = shards_scan(c->shards, w.id, s->cursor, c->now_ms, walk_emit, &w);
        if (s->reply.full) continue; /* a bucket of long keys: once more, with more room */
        s->count += w.found;
        s->cursor = next;
        if (next == 0) return collected(c, "*%zu\r\n", (size_t)s->count);
    }
    return COMMAND_AGAIN;
}

/* RANDOMKEY: from a random place on, the first bucket that has any; from the first place on, when there was none */
enum command_result cmd_randomkey(struct call *c) {
    struct suspended *s = &c->client->suspended;
    struct walk w = {
        .out = c->out, .id = shards_id(c->shards, c->database), .random = &c->context->random, .start = c->out->len};
    if (s->next++ == 0) s->cursor = shards_random_cursor(c->shards, w.id, next_random(&c->context->random));
    for (int buckets = 0; buckets < BUCKETS_PER_TURN; buckets++) {
        s->cursor = shards_scan(c->shards, w.id, s->cursor, c->now_ms, walk_emit, &w);
        if (w.found || (s->cursor == 0 && s->count++ > 0)) {
            *s = (struct suspended){0};
            return w.found ? COMMAND_DONE : null(c);
        }
    }
    return COMMAND_AGAIN;
}

/* DBSIZE */
enum command_result cmd_dbsize(struct call *c) {
    struct shards_totals totals;
    shards_total(c->shards, &totals);
    return integer(c, (int64_t)totals.database[c->database].entries);
}

/* FLUSHALL [ASYNC | SYNC], FLUSHDB [ASYNC | SYNC]: all is removed at once, whichever is asked for */
enum command_result cmd_flush(struct call *c) {
    if (c->argc > 2 || (c->argc == 2 && one_of(c->argv[1], "async sync") < 0)) return syntax_error(c);
    bool all = c->command->variant == VARIANT_ALL;
    if (all) shards_clear(c->shards);
    if (all || shards_clear_database(c->shards, c->database)) return ok(c);
    return c->in_exec
               ? ERROR(c, "ERR so many databases were just flushed that their memory is to be cleared first; try again")
               : COMMAND_AGAIN; /* upkeep will free an id */
}

/* SWAPDB index1 index2 */
enum command_result cmd_swapdb(struct call *c) {
    int64_t index[2];
    uint32_t database[2];
    for (int i = 0; i < 2; i++)
        if (!resp_integer_of(c->argv[1 + i], &index[i]) || index[i] < INT32_MIN || index[i] > INT32_MAX)
            return error_format(c, "ERR invalid %s DB index", i ? "second" : "first");
    for (int i = 0; i < 2; i++)
        if (!database_of(c, c->argv[1 + i], &database[i])) return COMMAND_DONE;
    shards_swap_databases(c->shards, database[0], database[1]);
    return ok(c);
}
