// common.js -- what the programs for Node share. How they are called stands in run.py; the module comes first:
//   node PROGRAM MODULE [PORT NAME]
"use strict";
const readline = require("readline");
const { isDeepStrictEqual, inspect } = require("util");

const PORT = Number(process.argv[3]);

function check(condition, message) {
    if (!condition) throw new Error(message);
}

function equal(got, want) {
    check(isDeepStrictEqual(got, want), `got ${inspect(got).slice(0, 300)}, not ${inspect(want).slice(0, 300)}`);
}

// The error that this promise is rejected with.
async function rejects(promise) {
    const got = await promise.then(value => ({ value }), error => ({ error }));
    check(got.error, `no error but ${inspect(got.value)}`);
    return got.error;
}

async function until(condition) {
    const deadline = Date.now() + 20000;
    while (!(await condition())) {
        check(Date.now() < deadline, "not within 20 s");
        await new Promise(later => setTimeout(later, 2));
    }
}

// Has the server restarted.
async function restarted() {
    console.log("RESTART");
    await new Promise(later => readline.createInterface(process.stdin).once("line", later));
}

// Rows of [name, function or null, remark].
async function main(capabilities) {
    if (!PORT) {
        for (const [name, show, remark] of capabilities) console.log(show ? "+" : "-", name, remark);
        return;
    }
    await capabilities.find(([name]) => name === process.argv[4])[1]();
    process.exit(0); // although connections are still open
}

module.exports = {
    PORT, check, equal, rejects, until, restarted, main,
    MODULE: process.argv[2],
    MANY: 10000, // commands in one pipeline
    ALL_BYTES: Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
    ONE_MB: Buffer.from(Array.from({ length: 1 << 17 }, (_, i) => i.toString(16).padStart(8, "0")).join("")),
    padded: i => String(i).padStart(1000, "0"),
};
