/**
 * The core under thousands of accidents: each seed is a small world in which processes die, freeze and stop, writes
 * and sends fail, and messages come twice; on the model of a database, and on the real ones.
 * `npm run sim -- --seed N` runs one again and shows its turns, with `--store sqlite` or `--store postgres` on those.
 */
import { expect, onTestFinished, test } from "vitest";
import { createDatabase } from "../../src/testing/postgres/index.ts";
import { runSeed } from "./run-seed.ts";
import { runSeeds } from "./run-seeds.ts";
import { type Databases, MEMORY, POSTGRES_LANES, postgresDatabases, sqliteDatabases } from "./worlds.ts";

/** Of each kind: how many seeds at the most, for how long, and how few would show nothing, on whatever machine. */
const AMOUNTS = {
  memory: { count: Number(process.env.ROBSON_SIM_SEEDS ?? 2000), maxMs: 60_000, min: 100 },
  sqlite: { count: 300, maxMs: 15_000, min: 20 },
  postgres: { count: 60, maxMs: 20_000, min: 4 },
};
const TIMEOUT_MS = 600_000;

test("whatever happens, messages end once, events arrive in order, and nothing is left over", {
  timeout: TIMEOUT_MS,
}, async () => {
  await expectNoViolation([MEMORY]);
});

test("so it is on a real SQLite file", { timeout: TIMEOUT_MS }, async () => {
  await expectNoViolation([await sqlite()]);
});

test("so it is for several processes on a real PostgreSQL", { timeout: TIMEOUT_MS }, async (t) => {
  const urls = await Promise.all(Array.from({ length: POSTGRES_LANES }, () => createDatabase(t)));
  const lanes = await Promise.all(urls.map(({ url }) => postgresDatabases(url)));

  try {
    await expectNoViolation(lanes);
  } finally {
    for (const each of lanes) await each.close();
  }
});

test("a seed gives the same run each time, also on SQLite", async () => {
  for (const databases of [MEMORY, await sqlite()])
    for (const seed of [3, 41, 1703]) {
      const lines: string[][] = [[], []];
      for (const run of lines) await runSeed(seed, { databases, trace: (line) => run.push(line) });
      expect(lines[0]?.length).toBeGreaterThan(50);
      expect(lines[1]).toEqual(lines[0]);
    }
});

async function sqlite(): Promise<Databases> {
  const databases = await sqliteDatabases();
  onTestFinished(databases.close);
  return databases;
}

async function expectNoViolation(lanes: Databases[]): Promise<void> {
  const kind = lanes[0]?.kind ?? "memory";
  const { count, maxMs, min } = AMOUNTS[kind];
  const done = await runSeeds({
    ...{ lanes, count, maxMs, min },
    onResult({ seed, violations }) {
      const again = `npm run sim -- --store ${kind} --seed ${seed}`;
      expect(violations, `seed ${seed} on ${kind}: repeat it with ${again}`).toEqual([]);
      return true;
    },
  });
  expect(done).toBeGreaterThanOrEqual(min);
}
