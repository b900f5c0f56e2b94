// connect-redis.mjs -- express-session's sessions in connect-redis's store, by node-redis, for visitors who speak HTTP.
import http from "node:http";
import { about, absent, check, equal, expires, load, version, works } from "./report.mjs";

const session = load("express-session");
const { RedisStore } = load("connect-redis");
const { createClient } = load("redis");

async function connect(database = 0) {
    const client = createClient({ url: `redis://127.0.0.1:${process.env.PORT}/${database}` });
    client.on("error", (error) => { throw error; });
    return client.connect();
}

const client = await connect();
const store = new RedisStore({ client, prefix: "shop:", ttl: 60 });
const cookie = { path: "/", httpOnly: true };

await about(["express-session", "connect-redis", "redis"].map((name) => `${name} ${version(name)}`).join(", ")
    + `, Node ${process.versions.node}`);

await works("get and set", async () => {
    // Every visit adds one to what the visitor's session holds.
    const remember = session({ store, secret: "secret", resave: false, saveUninitialized: false });
    const server = http.createServer((request, response) => remember(request, response, (error) => {
        request.session.visits = (request.session.visits ?? 0) + 1;
        response.end(error ? `${error}` : `${request.session.visits}`);
    }));
    await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
    const visit = async (sent = "") => {
        const response = await fetch(`http://127.0.0.1:${server.address().port}/`, { headers: { cookie: sent } });
        return [await response.text(), response.headers.get("set-cookie")?.split(";")[0]];
    };
    const [first, anna] = await visit();
    equal([first, (await visit(anna))[0], (await visit(anna))[0], (await visit())[0]], ["1", "2", "3", "1"]);
    server.close();
    server.closeAllConnections();

    equal(await store.get("nobody"), null);
    const values = { cookie, user: 17, name: "Grüße", cart: { a: [1, 2] }, long: "x".repeat(100000) };
    await store.set("anna", values);
    equal(await store.get("anna"), values);
});

await works("many", async () => {
    for (let i = 0; i < 200; ++i) {
        await store.set(`many${i}`, { cookie, i });
    }
    const all = await store.all();
    equal(all.filter((one) => one.id.startsWith("many")).length, 200);
    equal(all.find((one) => one.id === "many7").i, 7);
    equal((await store.ids()).length, await store.length());
}, "`all`, `ids` and `length`, by SCAN and MGET");

await works("expiry", async () => {
    const brief = new RedisStore({ client, prefix: "brief:", ttl: 1 });
    await expires(1, () => brief.set("anna", { cookie, here: 1 }), async () => (await brief.get("anna"))?.here === 1);
});

await works("touch", async () => {
    await store.set("touched", { cookie, here: 1 });
    await client.expire("shop:touched", 10);
    await store.touch("touched", { cookie });
    check(await client.ttl("shop:touched") > 50, "it lives longer now");
});

await works("delete", async () => {
    await store.set("gone", { cookie });
    await store.destroy("gone");
    equal(await store.get("gone"), null);
});

await works("prefixes", async () => {
    const other = new RedisStore({ client, prefix: "news:" });
    await store.set("same", { cookie, name: "shop" });
    await other.set("same", { cookie, name: "news" });
    equal([(await store.get("same")).name, (await other.get("same")).name], ["shop", "news"]);
    equal(await other.ids(), ["same"]);
});

await works("database", async () => {
    const elsewhere = new RedisStore({ client: await connect(1), prefix: "shop:" });
    await store.set("place", { cookie, name: "here" });
    equal(await elsewhere.get("place"), null);
    await elsewhere.set("place", { cookie, name: "there" });
    equal([(await store.get("place")).name, await elsewhere.ids()], ["here", ["place"]]);
});

await works("clear", async () => {
    const other = new RedisStore({ client, prefix: "news:" });
    await other.set("anna", { cookie });
    await store.clear();
    equal(await store.length(), 0);
    equal((await other.ids()).includes("anna"), true);
}, "by SCAN and one DEL");

for (const name of ["add", "lock", "tags"]) {
    check(!(name in store), `connect-redis has ${name} by now`);
}
await absent("get or compute", "add", "increment", "delete many", "delete by pattern", "versions", "tags", "lock",
    "stale lock");
process.exit(0);
