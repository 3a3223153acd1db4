/**
 * `npm run sim`: many seeds, or one again. `npm run sim -- --seed 4711` runs that seed and shows each turn;
 * `npm run sim -- --from 0 --count 100000` looks for a seed that fails, and with `--first` stops there.
 * `--store sqlite` and `--store postgres` run them on a real database; the default is the model of one.
 */
import pg from "pg";
import { messageOf } from "../../src/core/errors.ts";
import { startPostgres } from "../../src/testing/postgres/start-postgres.ts";
import { readOptions, type SimOptions } from "./options.ts";
import { createRandom } from "./random.ts";
import { runSeeds } from "./run-seeds.ts";
import { createScenario } from "./scenario.ts";
import type { StoreKind } from "./world-database.ts";
import { type Databases, MEMORY, POSTGRES_LANES, postgresDatabases, sqliteDatabases } from "./worlds.ts";

const { kind, from, count, isTraced, isFirstEnough } = optionsOrEnd();
const trace = isTraced ? say : undefined;
if (trace) say(JSON.stringify(createScenario(from, { random: createRandom(from), kind }), undefined, 1));
const lanes = await open(kind);
const startedAt = performance.now();
let failed = 0;
let steps = 0;
const done = await runSeeds({
  ...{ lanes: lanes.databases, from, count, trace },
  onResult(result) {
    steps += result.steps;
    if (result.violations.length === 0) return true;
    failed += 1;
    say(`seed ${result.seed} on ${kind} (${result.steps} steps):`);
    for (const violation of result.violations) say(`  ${violation}`);
    return !isFirstEnough;
  },
});
const ms = Math.round(performance.now() - startedAt);
say(`${done} seeds on ${kind}, ${failed} failed, ${steps} steps, ${ms} ms`);
await lanes.close();
process.exit(failed > 0 ? 1 : 0);

function optionsOrEnd(): SimOptions {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exit(2);
  }
}

async function open(store: StoreKind): Promise<{ databases: Databases[]; close(): Promise<void> }> {
  if (store === "memory") return { databases: [MEMORY], close: MEMORY.close };
  if (store === "sqlite") {
    const sqlite = await sqliteDatabases();
    return { databases: [sqlite], close: sqlite.close };
  }
  const server = await startPostgres();
  const urls = await createDatabases(server.url, { count: Math.min(count, POSTGRES_LANES) });
  const databases = await Promise.all(urls.map(postgresDatabases));
  return {
    databases,
    async close() {
      for (const each of databases) await each.close();
      await server.stop();
    },
  };
}

async function createDatabases(url: string, { count: wanted }: { count: number }): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const names = Array.from({ length: wanted }, (_, index) => `sim_${index}`);
  for (const name of names) await client.query(`create database ${name}`);
  await client.end();
  return names.map((name) => new URL(`/${name}`, url).href);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
