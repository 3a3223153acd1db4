import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { openStore } from "../src/store/open-store.ts";
import { aMessage } from "../src/testing/builders.ts";
import { temporaryFolder } from "../src/testing/temporary-folder.ts";
import { expectClear, refusal, runChild, withFileLimit, withSmallDisk } from "./bad-databases.fixture.ts";

interface BadFile {
  what: string;
  make(file: string): unknown;
  code: string;
  words: RegExp;
}

const BAD_FILES: BadFile[] = [
  { what: "is a folder", make: (file) => mkdir(file), code: "STORE_UNREADABLE", words: /open/ },
  {
    what: "is no database",
    make: (file) => writeFile(file, "hello ".repeat(1000)),
    code: "STORE_UNREADABLE",
    words: /not a database/,
  },
  {
    what: "is another program's",
    make: (file) => execute(file, "create table users (id)"),
    code: "STORE_UNREADABLE",
    words: /another program/,
  },
  {
    what: "is another program's of version 1",
    make: (file) => execute(file, "create table users (id); pragma user_version = 1"),
    code: "STORE_UNREADABLE",
    words: /another program/,
  },
  {
    what: "is another program's of version 99",
    make: (file) => execute(file, "create table users (id); pragma user_version = 99"),
    code: "STORE_UNREADABLE",
    words: /another program/,
  },
  {
    what: "was made by a newer program",
    make: async (file) => {
      await (await openStore(file)).close();
      execute(file, "pragma user_version = 99");
    },
    code: "STORE_NEWER",
    words: /version 99, and this program knows versions up to/,
  },
  {
    what: "was cut off",
    make: async (file) => {
      await fill(file);
      await truncate(file, Math.floor((await stat(file)).size / 8192) * 4096);
    },
    code: "STORE_UNREADABLE",
    words: /malformed/,
  },
];

for (const migrate of [true, false]) {
  test.for(BAD_FILES)(
    `an SQLite file that $what is refused and left as it is (migrate: ${migrate})`,
    async ({ make, code, words }, t) => {
      const folder = await temporaryFolder(t);
      const file = join(folder, "robson.db");
      await make(file);
      const before = await contents(folder);

      const error = await refusal(openStore(file, { migrate }));

      expect(error).toMatchObject({ code, message: expect.stringMatching(words) });
      expect(error.message).toContain(file);
      expect(await contents(folder)).toEqual(before);
    },
  );
}

test("a database that is not there is made, but not where it may not be migrated, nor is its folder", async (t) => {
  const folder = await temporaryFolder(t);
  const missing = join(folder, "missing", "robson.db");

  const unmade = { code: "STORE_UNREADABLE", hint: expect.stringContaining("folder") };
  expect(await refusal(openStore(missing))).toMatchObject(unmade);
  expect(await refusal(openStore(join(folder, "robson.db"), { migrate: false }))).toMatchObject(unmade);

  expect(await contents(folder)).toEqual([]);
});

test("a damaged page is an error of the reading that meets it, and the file is left as it is", async (t) => {
  const file = join(await temporaryFolder(t), "robson.db");
  await fill(file);
  const bytes = await readFile(file);
  // Behind the pages that the tables begin with, which opening reads.
  bytes.fill(0xee, 80 * 4096, 130 * 4096);
  await writeFile(file, bytes);

  const store = await openStore(file);
  t.onTestFinished(() => store.close());
  const readings = Promise.all(Array.from({ length: 200 }, (_, index) => store.conversation(index + 1)));

  expect(await refusal(readings)).toMatchObject({
    code: "STORE_UNREADABLE",
    hint: expect.stringContaining("backup"),
  });
});

const TRY_TO_WRITE = `
  const attempt = async () => {
    const store = await openStore(folder + "/robson.db");
    await store.insertUnowned(aMessage());
  };
  report(await attempt().then(() => "written", told));`;

test("a new database in a folder that may not be written is refused", async (t) => {
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o555);

  const told = await runChild<Told>({ folder, script: TRY_TO_WRITE, asNobody: true });

  expect(told).toMatchObject({
    name: "RobsonError",
    code: "STORE_UNREADABLE",
    hint: expect.stringContaining("writable"),
  });
  expectClear(told);
  expect(await contents(folder)).toEqual([]);
});

test.for([
  { what: "a read-only file in a read-only folder", mode: 0o555 },
  { what: "a read-only file", mode: 0o777 },
])("writing to $what is refused, and nothing in it changes", async ({ mode }, t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, "robson.db");
  await fill(file);
  await chmod(file, 0o444);
  await chmod(folder, mode);
  const before = await readFile(file);

  const told = await runChild<Told>({ folder, script: TRY_TO_WRITE, asNobody: true });

  expect(["STORE_READ_ONLY", "STORE_UNREADABLE"]).toContain(told.code);
  expect(told).toMatchObject({ name: "RobsonError", hint: expect.stringContaining("writable") });
  expectClear(told);
  expect((await readFile(file)).equals(before)).toBe(true);
});

interface Told {
  name: string;
  code: string;
  message: string;
  hint: string;
}

/** Writes until it is refused, then looks at what it has. */
const WRITE_UNTIL_FULL = `
  const own = (store) => store.own({ owner: "x", gateways: ["a"], now: 0 });
  const { rmSync, writeFileSync } = await import("node:fs");
  writeFileSync(folder + "/ballast", Buffer.alloc(400_000));
  const store = await openStore(folder + "/robson.db");
  const ownership = await own(store);
  const accept = () => ownership.accept(aMessage({ gateway: "a", content: "x".repeat(5000) }), { shard: 0, status: "pending", attempts: 0 });
  let acknowledged = 0;
  let refused;
  while (!refused) await accept().then(() => { acknowledged += 1; }, (error) => { refused = told(error); });
  const together = await Promise.allSettled([accept(), accept(), accept()]);
  acknowledged += together.filter(({ status }) => status === "fulfilled").length;
  const readable = (await ownership.openMessages({ after: 0, limit: 100_000 })).length;`;

interface Full {
  refused: Told;
  acknowledged: number;
  readable: number;
}

test("a full disk refuses writes and loses nothing, and the writing goes on when there is room", async (t) => {
  const folder = await temporaryFolder(t);
  const within = withSmallDisk(folder, "1500k");
  if (!within) {
    if (process.env.CI) throw new Error("This machine cannot mount a small disk for the test of a full one");
    return t.skip(
      "this machine cannot mount a small disk; the test with a limit on file sizes stands for it",
    );
  }

  const script = `${WRITE_UNTIL_FULL}
    rmSync(folder + "/ballast");
    await accept();
    acknowledged += 1;
    await store.close();
    const again = await openStore(folder + "/robson.db");
    const stored = (await (await own(again)).openMessages({ after: 0, limit: 100_000 })).length;
    const { rows: [check] } = await (await import("kysely")).sql\`pragma integrity_check\`.execute((await again.sql()).read);
    await again.close();
    report({ refused, acknowledged, readable, stored, check });`;
  const full = await runChild<Full & { stored: number; check: unknown }>({ folder, script, within });

  expect(full.refused).toMatchObject({
    name: "RobsonError",
    code: "STORE_FULL",
    hint: expect.stringContaining("space"),
  });
  expectClear(full.refused);
  expect(full.acknowledged).toBeGreaterThan(10);
  expect(full.readable).toBe(full.acknowledged - 1);
  expect(full.stored).toBe(full.acknowledged);
  expect(full.check).toEqual({ integrity_check: "ok" });
});

test("a file that may not grow refuses writes, and all that was acknowledged is there", async (t) => {
  const folder = await temporaryFolder(t);

  const script = `${WRITE_UNTIL_FULL} report({ refused, acknowledged, readable }); process.exit();`;
  const full = await runChild<Full>({ folder, script, within: withFileLimit(1_000_000) });

  expect(["STORE_FULL", "STORE_UNAVAILABLE"]).toContain(full.refused.code);
  expectClear(full.refused);
  expect(full.acknowledged).toBeGreaterThan(10);
  expect(full.readable).toBe(full.acknowledged);
  const store = await openStore(join(folder, "robson.db"));
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "y", gateways: ["a"], now: 1 });
  expect(await ownership.openMessages({ after: 0, limit: 100_000 })).toHaveLength(full.acknowledged);
});

test("a second agent on one file is refused, and the first goes on", async (t) => {
  const location = join(await temporaryFolder(t), "robson.db");
  const [first, second] = [await openStore(location), await openStore(location)];
  t.onTestFinished(() => first.close());
  t.onTestFinished(() => second.close());
  const ownership = await first.own({ owner: "agent 17 on host-a", gateways: ["a"], now: 0 });

  const error = await refusal(second.own({ owner: "agent 18", gateways: ["a"], now: 0 }));

  expect(error).toMatchObject({
    code: "ALREADY_RUNNING",
    hint: expect.stringContaining("Stop that process"),
  });
  expect(error.message).toContain("agent 17 on host-a is working on it");
  const at = { shard: 0, status: "pending", attempts: 0 } as const;
  expect(await ownership.accept(aMessage({ gateway: "a" }), at)).toMatchObject({ isDuplicate: false });
});

function execute(file: string, statements: string): void {
  const db = new DatabaseSync(file);
  db.exec(statements);
  db.close();
}

/** A closed database of ours with 200 messages in it. */
async function fill(file: string): Promise<void> {
  const store = await openStore(file);
  const content = "x".repeat(2000);
  await Promise.all(
    Array.from({ length: 200 }, () => store.insertUnowned(aMessage({ gateway: "a", content }))),
  );
  await store.close();
}

/** The names of all files in a folder, and what tells their bytes from others. */
async function contents(folder: string): Promise<unknown[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const bytes = async (name: string) =>
    createHash("sha256")
      .update(await readFile(join(folder, name)))
      .digest("hex");
  const read = entries.map(async (entry) => [entry.name, entry.isFile() && (await bytes(entry.name))]);
  return (await Promise.all(read)).toSorted();
}
