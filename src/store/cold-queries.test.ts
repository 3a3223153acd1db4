/** That a start does not pay for Kysely. What the queries answer is tested with each of them. */
import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { databaseKinds } from "../testing/databases.ts";
import { openStore } from "./open-store.ts";

/** Reports how many files of Kysely are loaded: after the opening, after a count, after a query. */
const CHILD = `
import { registerHooks } from "node:module";
let files = 0;
registerHooks({
  load(url, context, next) {
    if (url.includes("/kysely/")) files += 1;
    return next(url, context);
  },
});
const { openStore } = await import(process.argv[1]);
const store = await openStore(process.argv[2]);
const ownership = await store.own({ owner: "child", gateways: ["a"], now: 0 });
const opened = files;
await store.admission.countOpen(10);
const counted = files;
const letters = await store.deadLetters({ limit: 1 });
await ownership.release();
await store.close();
console.log(JSON.stringify({ opened, counted, queried: files > 0, letters }));
`;

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("a process starts without Kysely, which its first query loads", async (t) => {
    const location = await create(t);
    await (await openStore(location)).close();

    const program = import.meta.resolve("./open-store.ts");
    const out = execFileSync(process.execPath, ["--input-type=module", "--eval", CHILD, program, location]);

    expect(JSON.parse(out.toString())).toEqual({ opened: 0, counted: 0, queried: true, letters: [] });
  });

  test("an opened store can be printed, which calls nothing of it", async (t) => {
    const unhandled: unknown[] = [];
    const keep = (reason: unknown) => void unhandled.push(reason);
    process.on("unhandledRejection", keep);
    t.onTestFinished(() => void process.off("unhandledRejection", keep));
    const store = await openStore(await create(t));

    expect(JSON.parse(JSON.stringify(store.tasks))).toEqual({});
    expect(String(store.tasks)).toBe("[object Object]");
    await store.close();
    await new Promise((resolve) => setImmediate(resolve));

    expect(unhandled).toEqual([]);
  });
});
