// cache-manager.mjs -- cache-manager over Keyv's Redis store, which is node-redis.
import { about, absent, check, equal, expires, load, until, version, works } from "./report.mjs";

const { createCache } = load("cache-manager");
const { Keyv } = load("keyv");
const { default: KeyvRedis } = load("@keyv/redis");

const opened = [];

function makeCache(namespace, { database = 0, ...options } = {}) {
    const url = `redis://127.0.0.1:${process.env.PORT}/${database}`;
    const store = new Keyv({ store: new KeyvRedis(url, options), namespace, useKeyPrefix: false });
    const cache = createCache({ stores: [store], ttl: 60000 });
    // Keyv turns an error into a miss; it is heard of here.
    store.on("error", (error) => {
        cache.failure = error;
    });
    opened.push(cache);
    return cache;
}

const cache = makeCache("shop");
const works_aloud = (capability, attempt, note) => works(capability, async () => {
    await attempt();
    equal(opened.map((one) => one.failure).find(Boolean), undefined);
}, note);

const packages = ["cache-manager", "keyv", "@keyv/redis", "@redis/client"];
await about(packages.map((name) => `${name} ${version(name)}`).join(", ")
    + `, Node ${process.versions.node}`);

await works_aloud("get and set", async () => {
    equal(await cache.get("nobody"), undefined);
    const long = "x".repeat(100000);
    for (const value of ["text", "", "Grüße", "\r\n\0", 17, 2.5, true, false, { a: [1, 2] }, Buffer.from([0, 255]), long]) {
        await cache.set("value", value);
        equal(await cache.get("value"), value);
    }
    equal(await cache.stores[0].has("value"), true);
    equal(await cache.stores[0].has("nobody"), false);
});

await works_aloud("get or compute", async () => {
    let calls = 0;
    const compute = () => cache.wrap("computed", () => ++calls, 60000);
    equal([await compute(), await compute()], [1, 1]);
    equal(await Promise.all([1, 2, 3].map(() => cache.wrap("together", async () => ++calls))), [2, 2, 2]);
});

await works_aloud("many", async () => {
    await cache.mset(Array.from({ length: 200 }, (_, i) => ({ key: `many${i}`, value: i, ttl: 60000 })));
    equal(await cache.mget(["many0", "nobody", "many199"]), [0, undefined, 199]);
    equal(await cache.stores[0].hasMany(["many0", "nobody"]), [true, false]);
});

await works_aloud("expiry", async () => {
    await expires(0.3, () => cache.set("brief", 1, 300), async () => (await cache.get("brief")) === 1);
    // Keyv looks at the time, too: that the server has forgotten it shows in its raw client.
    const client = await cache.stores[0].store.getClient();
    const isStored = async () => (await client.exists("shop::brief")) === 1;
    await expires(0.3, () => cache.set("brief", 1, 300), isStored);
    await expires(0.3, () => cache.mset([{ key: "brief", value: 1, ttl: 300 }]), isStored);
    const left = (await cache.set("timed", 1, 60000), await cache.ttl("timed")) - Date.now();
    check(left > 30000 && left <= 60000, `its time to live is ${left} ms`);
});

await works_aloud("delete", async () => {
    await cache.set("gone", 1);
    await cache.del("gone");
    await cache.del("gone");
    equal(await cache.get("gone"), undefined);
});

await works_aloud("delete many", async () => {
    await cache.mset(["d0", "d1", "d2", "d3"].map((key) => ({ key, value: key })));
    await cache.mdel(["d0", "nobody"]);
    await cache.stores[0].deleteMany(["d2", "d3"]);
    equal(await cache.mget(["d0", "d1", "d2", "d3"]), [undefined, "d1", undefined, undefined]);
});

await works_aloud("prefixes", async () => {
    const other = makeCache("news");
    await cache.set("same", "shop");
    await other.set("same", "news");
    equal([await cache.get("same"), await other.get("same")], ["shop", "news"]);
    const keys = [];
    for await (const [key] of other.stores[0].iterator()) {
        keys.push(key);
    }
    equal(keys, ["same"]);
});

await works_aloud("database", async () => {
    const elsewhere = makeCache("shop", { database: 1 });
    await cache.set("place", "here");
    equal(await elsewhere.get("place"), undefined);
    await elsewhere.set("place", "there");
    await elsewhere.clear();
    equal([await cache.get("place"), await elsewhere.get("place")], ["here", undefined]);
});

await works_aloud("clear", async () => {
    const other = makeCache("news");
    const everything = makeCache(undefined, { noNamespaceAffectsAll: true });
    await cache.mset(Array.from({ length: 300 }, (_, i) => ({ key: `c${i}`, value: i })));
    await other.set("c0", "stays");
    await cache.clear();
    equal([await cache.get("c0"), await cache.get("c299"), await other.get("c0")], [undefined, undefined, "stays"]);
    await everything.clear();
    await until(async () => (await other.get("c0")) === undefined, "everything is gone");
}, "with a namespace by SCAN and UNLINK; by FLUSHDB without one and `noNamespaceAffectsAll`");

for (const name of ["add", "incr", "increment", "touch", "tags", "lock", "deletePattern"]) {
    check(!(name in cache), `cache-manager has ${name} by now`);
}
await absent("add", "increment", "touch", "delete by pattern", "versions", "tags", "lock", "stale lock");
await Promise.all(opened.map((one) => one.disconnect()));
process.exit(0);
