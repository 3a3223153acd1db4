import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { Client } from "pg";
import { expect, inject, test, vi } from "vitest";
import { createDatabase, startPostgres } from "./index.ts";

test("two databases of one test run share nothing", async (t) => {
  const first = await createDatabase(t);
  const second = await createDatabase(t);

  await query(first.url, "create table only_here (id int)");

  expect(await query(first.url, "select to_regclass('only_here') as name")).toEqual([{ name: "only_here" }]);
  expect(await query(second.url, "select to_regclass('only_here') as name")).toEqual([{ name: null }]);
});

test("a database is a copy of its template", async (t) => {
  const template = await createDatabase(t);
  await query(template.url, "create table told (id int)");

  const copy = await createDatabase(t, { template: template.name });

  expect(await query(copy.url, "select count(*)::int as rows from told")).toEqual([{ rows: 0 }]);
});

test("a dropped database is gone, with the connections that were left open to it", async () => {
  const database = await createDatabase();
  const leftOpen = new Client({ connectionString: database.url });
  const wasCut = new Promise((resolve) => leftOpen.on("error", resolve));
  await leftOpen.connect();

  await database.drop();
  await database.drop();

  await wasCut;
  const names = await query(
    inject("postgresUrl"),
    `select 1 from pg_database where datname = '${database.name}'`,
  );
  expect(names).toEqual([]);
});

test("commits wait for the disk and 200 connections are allowed unless a test says otherwise", async () => {
  expect(await query(inject("postgresUrl"), "show fsync")).toEqual([{ fsync: "on" }]);
  expect(await query(inject("postgresUrl"), "show max_connections")).toEqual([{ max_connections: "200" }]);
});

test("a stopped server leaves neither a process nor a file", async () => {
  const postgres = await startPostgres({ isDurable: false, maxConnections: 20 });
  const folder = await dataFolder(postgres.url);
  expect(await query(postgres.url, "show fsync")).toEqual([{ fsync: "off" }]);

  await postgres.stop();
  await postgres.stop();

  await expect(query(postgres.url, "select 1")).rejects.toThrow("ECONNREFUSED");
  expect(existsSync(folder)).toBe(false);
});

test("a server that cannot start says why", async () => {
  await expect(startPostgres({ maxConnections: 0 })).rejects.toThrow(
    /Cannot start PostgreSQL for the tests: .*max_connections/,
  );
});

test("a server that is not ready in time is given up", async () => {
  await expect(startPostgres({ startTimeoutMs: 1 })).rejects.toThrow(
    "it was not ready within 1 ms (startTimeoutMs)",
  );
});

test("the server ends, and its files go, when the test run that started it is killed", async () => {
  const module = new URL("./start-postgres.ts", import.meta.url).href;
  const script = `const { startPostgres } = await import("${module}");
    console.log((await startPostgres()).url);
    setInterval(() => {}, 1000);`;
  const run = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await firstLine(run);
  const folder = await dataFolder(url);

  run.kill("SIGKILL");

  await vi.waitUntil(() => !existsSync(folder), { timeout: 20_000 });
  await expect(query(url, "select 1")).rejects.toThrow("ECONNREFUSED");
});

test("a process that forgets to stop its server can end, and the server ends with it", async () => {
  const module = new URL("./start-postgres.ts", import.meta.url).href;
  const script = `const { startPostgres } = await import("${module}"); console.log((await startPostgres()).url);`;
  const run = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [url] = await Promise.all([firstLine(run), once(run, "exit")]);

  await vi.waitUntil(
    () =>
      query(url, "select 1")
        .then(() => false)
        .catch(() => true),
    { timeout: 20_000 },
  );
  expect(run.exitCode).toBe(0);
});

async function query(url: string, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

/** The folder that the server's files lie in. */
async function dataFolder(url: string): Promise<string> {
  const [row] = (await query(url, "show data_directory")) as { data_directory: string }[];
  return dirname(row?.data_directory ?? "");
}

async function firstLine(run: ChildProcess): Promise<string> {
  if (run.stdout === null) throw new Error("the process has no stdout");
  for await (const line of createInterface({ input: run.stdout })) return line;
  throw new Error("the process ended without a word");
}
