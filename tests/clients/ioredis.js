// ioredis.js -- what ioredis and its descendant iovalkey do with the server. How it is called stands in run.py.
"use strict";
const { PORT, MODULE, MANY, ALL_BYTES, ONE_MB, padded, check, equal, rejects, until, restarted,
    main } = require("./common.js");
const Redis = require(MODULE);
const { ReplyError } = Redis.default ?? Redis;

const HAS_RESP3 = MODULE === "ioredis"; // and speaks it where no other protocol is asked for

function connect(options) {
    return new Redis({ host: "127.0.0.1", port: PORT, ...options });
}

// A field of the line of CLIENT LIST for the connection of this name.
async function field(c, name, wanted) {
    const line = (await c.client("LIST")).split("\n").find(text => text.includes(` name=${name} `));
    return line && new RegExp(` ${wanted}=(\\S*)`).exec(line)[1];
}

async function resp(protocol) {
    const c = connect({ protocol, connectionName: "plain" });
    equal(await c.ping(), "PONG");
    equal([await c.set("k", "v"), await c.get("k"), await c.get("nothing")], ["OK", "v", null]);
    equal(await c.config("GET", "timeout"), ["timeout", "0"]); // a map in RESP3, which the library turns into this
    equal(await field(c, "plain", "resp"), String(protocol));
}

async function handshake() {
    const c = connect({ connectionName: "the-name", db: 3 });
    await c.set("k", "in 3");
    equal(await field(c, "the-name", "db"), "3");
    equal([await connect().get("k"), await connect({ db: 3 }).get("k")], [null, "in 3"]);
}

async function ttl() {
    const c = connect();
    await c.set("seconds", "v", "EX", 100);
    await c.set("milliseconds", "v", "PX", 100000);
    await c.set("short", "v", "PX", 30);
    const [seconds, milliseconds] = [await c.ttl("seconds"), await c.pttl("milliseconds")];
    check(seconds >= 90 && seconds <= 100 && milliseconds >= 90000 && milliseconds <= 100000, "the TTL is off");
    await until(async () => (await c.get("short")) === null);
    equal([await c.ttl("short"), await c.get("seconds")], [-2, "v"]);
}

async function binary() {
    const c = connect();
    const value = Buffer.from(ALL_BYTES).reverse();
    await c.set(ALL_BYTES, value);
    await c.set("empty", "");
    equal([await c.getBuffer(ALL_BYTES), await c.get("empty")], [value, ""]);
}

async function large() {
    const c = connect();
    await c.set("large", ONE_MB);
    check(ONE_MB.equals(await c.getBuffer("large")), "another value came back");
}

async function pipeline() {
    const p = connect().pipeline();
    for (let i = 0; i < MANY / 2; i++) p.set(`key:${i}`, padded(i)).get(`key:${i}`);
    const replies = await p.exec();
    equal(replies.length, MANY);
    replies.forEach((reply, i) => equal(reply, [null, i % 2 ? padded((i - 1) / 2) : "OK"]));
}

async function many() {
    const c = connect();
    await c.mset("a", 1, "b", "two");
    equal([await c.mget("a", "nothing", "b"), await c.incr("a")], [["1", null, "two"], 2]);
    equal([await c.exists("a", "b", "nothing"), await c.del("a", "b", "nothing"), await c.exists("a", "b")], [2, 2, 0]);
}

async function scan() {
    const c = connect();
    const keys = Array.from({ length: 1000 }, (_, i) => `scan:${i}`);
    await c.mset(keys.flatMap((key, i) => [key, i, `other:${i}`, i]));
    const found = new Set();
    for await (const some of c.scanStream({ match: "scan:*", count: 100 })) some.forEach(key => found.add(key));
    equal([...found].sort(), keys.sort());
}

async function transaction() {
    const replies = await connect().multi().set("n", 1).incr("n").get("n").get("nothing").exec();
    equal(replies, [[null, "OK"], [null, 2], [null, "2"], [null, null]]);
}

async function watch() {
    const [c, other] = [connect(), connect()];
    await c.watch("k");
    await other.set("k", "the other's");
    equal(await c.multi().set("k", "mine").exec(), null);
    equal(await c.get("k"), "the other's");
    await c.watch("k");
    equal(await c.multi().set("k", "mine").get("k").exec(), [[null, "OK"], [null, "mine"]]);
}

async function execabort() {
    const c = connect();
    const error = await rejects(c.multi().set("k", "v").call("GET").exec());
    equal(error.message, "EXECABORT Transaction discarded because of previous errors.");
    equal(error.previousErrors.map(e => e.message), ["ERR wrong number of arguments for 'get' command"]);
    equal(await c.get("k"), null);
}

async function error() {
    const c = connect();
    await c.set("text", "abc");
    const raised = await rejects(c.incr("text"));
    check(raised instanceof ReplyError, "it is no ReplyError");
    equal(raised.message, "ERR value is not an integer or out of range");
    equal(await c.get("text"), "abc");
}

async function unknown() {
    const raised = await rejects(connect().lpush("k", "v"));
    equal(raised.message, "ERR unknown command 'lpush', with args beginning with: 'k' 'v' ");
}

async function reconnect() {
    const c = connect({ connectionName: "again", db: 3 });
    await c.set("k", "v");
    await restarted();
    equal([await c.get("k"), await c.set("k", "new"), await c.get("k")], [null, "OK", "new"]);
    equal(await field(c, "again", "db"), "3");
}

main([
    ["resp2", () => resp(2), ""],
    ["resp3", HAS_RESP3 ? () => resp(3) : null, HAS_RESP3 ? "" : "ioredis 6 brought it"],
    ["handshake", handshake, ""],
    ["ttl", ttl, ""],
    ["binary", binary, ""],
    ["large", large, ""],
    ["pipeline", pipeline, ""],
    ["many", many, ""],
    ["scan", scan, ""],
    ["transaction", transaction, ""],
    ["watch", watch, ""],
    ["execabort", execabort, ""],
    ["error", error, ""],
    ["unknown", unknown, ""],
    ["reconnect", reconnect, ""],
]);
