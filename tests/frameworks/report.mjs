// report.mjs -- what the Node programs here share; report.py tells what each of these means.
import assert from "node:assert";
import { createRequire } from "node:module";
import readline from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

// What install.sh has fetched lies under build/, where an import from here does not look.
export const load = createRequire(`${process.env.NODE_FOLDER}/package.json`);
export const version = (name) => load(`${process.env.NODE_FOLDER}/node_modules/${name}/package.json`).version;

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const check = (condition, message) => assert.ok(condition, message);
export const equal = (got, want) => assert.deepStrictEqual(got, want);

export async function until(condition, what, seconds = 60) {
    const deadline = performance.now() + seconds * 1000;
    while (!(await condition())) {
        check(performance.now() < deadline, `not within ${seconds} s: ${what}`);
        await pause(10);
    }
}

export async function expires(seconds, write, isThere) {
    let began;
    for (;;) {
        began = performance.now();
        await write();
        if (await isThere()) {
            break;
        }
        // or the machine had stopped somebody: again
        check(performance.now() - began > seconds * 1000 - 50, "it is gone at once");
    }
    await until(async () => !(await isThere()), `what lives ${seconds} s is gone`);
    const lived = (performance.now() - began) / 1000;
    check(lived > seconds - 0.05, `it was gone after ${lived} s, not ${seconds}`);
}

async function say(report) {
    process.stdout.write(`${JSON.stringify(report)}\n`);
    if ((await answers.next()).done) {
        process.exit(1);
    }
}

export const about = (versions) => say({ about: versions });

export async function works(capability, attempt, note = "") {
    let report = { capability, result: "works", note };
    try {
        await attempt();
    } catch (error) {
        report = { capability, result: "failed", why: String(error.stack ?? error) };
    }
    await say(report);
}

export async function absent(...capabilities) {
    for (const capability of capabilities) {
        await say({ capability, result: "absent" });
    }
}
