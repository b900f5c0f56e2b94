// node_redis.js -- what node-redis does with the server. How it is called stands in run.py.
"use strict";
const { PORT, MODULE, MANY, ALL_BYTES, ONE_MB, padded, check, equal, rejects, until, restarted,
    main } = require("./common.js");
const { createClient, RESP_TYPES, ErrorReply, WatchError } = require(MODULE);

async function connect(options) {
    const c = createClient({ socket: { host: "127.0.0.1", port: PORT }, ...options });
    c.on("error", error => console.log(error.message)); // without a listener a lost connection ends the process
    return c.connect();
}

// The parsed line of CLIENT LIST for the connection of this name.
async function named(c, name) {
    return (await c.clientList()).find(line => line.name === name);
}

// Replies as buffers.
function inBytes(c) {
    return c.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
}

async function resp(protocol) {
    const c = await connect({ RESP: protocol, name: "plain" });
    equal(await c.ping(), "PONG");
    equal([await c.set("k", "v"), await c.get("k"), await c.get("nothing")], ["OK", "v", null]);
    equal({ ...(await c.configGet("timeout")) }, { timeout: "0" }); // a map in RESP3
    equal((await named(c, "plain")).resp, protocol);
}

async function handshake() {
    const c = await connect({ name: "the-name", database: 3 });
    await c.set("k", "in 3");
    equal((await named(c, "the-name")).db, 3);
    const others = [await connect(), await connect({ database: 3 })];
    equal(await Promise.all(others.map(other => other.get("k"))), [null, "in 3"]);
}

async function ttl() {
    const c = await connect();
    await c.set("seconds", "v", { expiration: { type: "EX", value: 100 } });
    await c.set("milliseconds", "v", { expiration: { type: "PX", value: 100000 } });
    await c.set("short", "v", { expiration: { type: "PX", value: 30 } });
    const [seconds, milliseconds] = [await c.ttl("seconds"), await c.pTTL("milliseconds")];
    check(seconds >= 90 && seconds <= 100 && milliseconds >= 90000 && milliseconds <= 100000, "the TTL is off");
    await until(async () => (await c.get("short")) === null);
    equal([await c.ttl("short"), await c.get("seconds")], [-2, "v"]);
}

async function binary() {
    const c = await connect();
    const value = Buffer.from(ALL_BYTES).reverse();
    await c.set(ALL_BYTES, value);
    await c.set("empty", "");
    equal([await inBytes(c).get(ALL_BYTES), await c.get("empty")], [value, ""]);
}

async function large() {
    const c = await connect();
    await c.set("large", ONE_MB);
    check(ONE_MB.equals(await inBytes(c).get("large")), "another value came back");
}

async function pipeline() {
    const p = (await connect()).multi();
    for (let i = 0; i < MANY / 2; i++) p.set(`key:${i}`, padded(i)).get(`key:${i}`);
    const replies = await p.execAsPipeline();
    equal(replies.length, MANY);
    replies.forEach((reply, i) => equal(reply, i % 2 ? padded((i - 1) / 2) : "OK"));
}

async function many() {
    const c = await connect();
    await c.mSet({ a: "1", b: "two" });
    equal([await c.mGet(["a", "nothing", "b"]), await c.incr("a")], [["1", null, "two"], 2]);
    const both = ["a", "b", "nothing"];
    equal([await c.exists(both), await c.del(both), await c.exists(both)], [2, 2, 0]);
}

async function scan() {
    const c = await connect();
    const keys = Array.from({ length: 1000 }, (_, i) => `scan:${i}`);
    await c.mSet(keys.flatMap((key, i) => [[key, `${i}`], [`other:${i}`, `${i}`]]));
    const found = new Set();
    for await (const some of c.scanIterator({ MATCH: "scan:*", COUNT: 100 })) some.forEach(key => found.add(key));
    equal([...found].sort(), keys.sort());
}

async function transaction() {
    const c = await connect();
    equal(await c.multi().set("n", "1").incr("n").get("n").get("nothing").exec(), ["OK", 2, "2", null]);
}

async function watch() {
    const [c, other] = [await connect(), await connect()];
    await c.watch("k");
    await other.set("k", "the other's");
    check((await rejects(c.multi().set("k", "mine").exec())) instanceof WatchError, "it is no WatchError");
    equal(await c.get("k"), "the other's");
    await c.watch("k");
    equal(await c.multi().set("k", "mine").get("k").exec(), ["OK", "mine"]);
}

async function execabort() {
    const c = await connect();
    const raised = await rejects(c.multi().set("k", "v").addCommand(["GET"]).exec());
    // The library raises the first error while queueing in the place of EXECABORT.
    equal(raised.message, "ERR wrong number of arguments for 'get' command");
    equal(await c.get("k"), null);
}

async function error() {
    const c = await connect();
    await c.set("text", "abc");
    const raised = await rejects(c.incr("text"));
    check(raised instanceof ErrorReply, "it is no ErrorReply");
    equal(raised.message, "ERR value is not an integer or out of range");
    equal(await c.get("text"), "abc");
}

async function unknown() {
    const raised = await rejects((await connect()).lPush("k", "v"));
    equal(raised.message, "ERR unknown command 'LPUSH', with args beginning with: 'k' 'v' ");
}

async function reconnect() {
    const c = await connect({ name: "again", database: 3 });
    await c.set("k", "v");
    await restarted();
    equal([await c.get("k"), await c.set("k", "new"), await c.get("k")], [null, "OK", "new"]);
    equal((await named(c, "again")).db, 3);
}

main([
    ["resp2", () => resp(2), ""],
    ["resp3", () => resp(3), ""],
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
