/**
 * `npm run bench`: measures Robson from `dist/` beside two models, the original's algorithm and what peers are
 * installed, one after another on this machine, and says which targets are met. See docs/performance.md.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureAgentStart } from "./agent-start.ts";
import { Missing } from "./engine.ts";
import type { EngineName } from "./engines/index.ts";
import { postgresWithHistory, sqliteWithHistory } from "./history.ts";
import type { Measurement } from "./measure.ts";
import type { Figures } from "./modes.ts";
import { FULL, type Planned, planRound, QUICK, type Size, serverOf } from "./plan.ts";
import { measureProcesses } from "./processes.ts";
import { now, round } from "./readings.ts";
import { Results } from "./results.ts";
import { createDatabase, dropDatabase, type PostgresServer, startPostgres } from "./servers/postgres.ts";
import { type RedisServer, startRedis } from "./servers/redis.ts";
import { apartTable, enginesTable } from "./table.ts";
import { targetsTable } from "./targets.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const MEASURE_TIMEOUT_MS = 300_000;
/** An agent on PostgreSQL gives a sign of life every 3.3 s: in less time there would be one of them, or none. */
const MIN_AGENT_IDLE_SECONDS = 10;

interface Run {
  size: Size;
  dist: string;
  out: string;
  /** For all files of the run; removed at its end. */
  folder: string;
  /** Only what has one of these in its "engine variant scenario". */
  only: string[];
  postgres: PostgresServer;
  redis: RedisServer | undefined;
}

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    count: { type: "string" },
    only: { type: "string", multiple: true, default: [] },
    out: { type: "string" },
    dist: { type: "string", default: join(HERE, "..", "dist") },
    folder: { type: "string", default: tmpdir() },
    table: { type: "string" },
  },
});

if (values.table === undefined) await bench();
else printTables(values.table);

async function bench(): Promise<void> {
  const dist = resolve(values.dist);
  if (!existsSync(join(dist, "index.js"))) throw new Error(`${dist} is not there: run npm run build first`);
  const size = { ...(values.quick ? QUICK : FULL) };
  if (values.rounds !== undefined) size.rounds = Number(values.rounds);
  if (values.count !== undefined) size.count = Number(values.count);
  const stamp = new Date().toISOString().replace(/[:.]/g, "-");
  const out = resolve(values.out ?? join(HERE, "results", `${stamp}.jsonl`));
  mkdirSync(dirname(out), { recursive: true });
  const folder = mkdtempSync(join(values.folder, "robson-bench-"));
  const postgres = await startPostgres();
  const redis = await startRedis(folder).catch((error: unknown) => {
    if (error instanceof Missing) say(`Redis: ${error.message}`);
    else throw error;
    return undefined;
  });
  const startedAt = now();
  const end = async () => {
    await Promise.all([postgres.stop(), redis?.stop()]);
    rmSync(folder, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void end().then(() => process.exit(130)));
  try {
    await measureAll({ size, dist, out, folder, only: values.only, postgres, redis });
  } finally {
    await end();
  }
  say(
    `\n${size.isQuick ? "Quick form: too short to judge by. " : ""}${round((now() - startedAt) / 1000, 0)} s, ${out}\n`,
  );
  printTables(out);
}

async function measureAll(run: Run): Promise<void> {
  const { size, dist, postgres, folder } = run;
  const about = { cores: availableParallelism(), loadBefore: loadavg()[0], postgres: postgres.version };
  write(run, { scenario: "about", ...about, ...size, node: process.version });
  const templates = wants(run, "robson with history") ? await makeTemplates(run) : {};
  for (let number = 1; number <= size.rounds; number += 1) {
    for (const planned of planRound(size, templates)) {
      const { engine, variant, scenario } = planned;
      if (wants(run, `${engine} ${variant} ${scenario}`))
        write(run, { round: number, ...(await measureApart(run, planned)) });
    }
    for (const processes of size.processes) {
      if (!wants(run, "robson-postgres processes")) break;
      const more = { producers: 64, conversations: 500, timeoutSeconds: 120, folder };
      const figures = attempt({ engine: "robson-postgres", scenario: "processes", processes }, () =>
        measureProcesses({
          ...{ processes, count: size.count, dist, ...more },
          ...{ serverUrl: postgres.url, serverPid: postgres.pid },
        }),
      );
      write(run, { round: number, ...(await figures) });
    }
  }
  if (wants(run, "robson agent")) await measureAgents(run);
}

async function makeTemplates(run: Run): Promise<Partial<Record<EngineName, string>>> {
  const { size, dist, folder, postgres } = run;
  const rows = size.historyRows;
  say(`Making databases with ${rows} finished conversations`);
  const file = join(folder, "history.db");
  await sqliteWithHistory(file, { rows, dist });
  return {
    "robson-sqlite": file,
    "robson-postgres": await postgresWithHistory(postgres.url, { rows, dist }),
  };
}

async function measureAgents(run: Run): Promise<void> {
  const { size, dist, folder, postgres } = run;
  for (const engine of ["robson-sqlite", "robson-postgres"]) {
    const home = join(folder, `agent-${engine}`);
    mkdirSync(home);
    const onPostgres = engine === "robson-postgres";
    const figures = attempt({ engine, scenario: "agent" }, async () => {
      const database = onPostgres ? { databaseUrl: await createDatabase(postgres.url) } : {};
      const { starts } = size;
      const idleSeconds = Math.max(size.seconds, MIN_AGENT_IDLE_SECONDS);
      return measureAgentStart({ folder: home, dist, starts, idleSeconds, ...database });
    });
    write(run, { scenario: "agent", ...(await figures) });
  }
}

async function attempt(about: Figures, measure: () => Promise<Figures>): Promise<Figures> {
  try {
    return { ...about, ...(await measure()) };
  } catch (error) {
    return { ...about, error: error instanceof Error ? error.message : String(error) };
  }
}

/** In a process of its own, so that none inherits another's memory or compiled code. */
async function measureApart(run: Run, planned: Planned): Promise<Figures> {
  const { postgres, redis, dist, folder } = run;
  const server = serverOf(planned);
  const serverPid = server && { redis, postgres }[server]?.pid;
  const database = server === "postgres" ? await createDatabase(postgres.url, planned.template) : undefined;
  const measurement: Measurement = {
    ...planned,
    ...{ dist, serverPid, redisPort: redis?.port, postgresUrl: database },
  };
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", join(HERE, "measure.ts"), JSON.stringify(measurement)],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, BENCH_FOLDER: folder } },
  );
  const printed = { out: "", err: "" };
  for (const [stream, name] of [[child.stdout, "out"] as const, [child.stderr, "err"] as const])
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed[name] += text;
    });
  const kill = setTimeout(() => child.kill("SIGKILL"), MEASURE_TIMEOUT_MS);
  await once(child, "close");
  clearTimeout(kill);
  if (database !== undefined) await dropDatabase(database);
  const line = printed.out.split("\n").find((each) => each.startsWith("{"));
  const { engine, variant, scenario, mode } = planned;
  if (line !== undefined) return JSON.parse(line) as Figures;
  return {
    engine,
    variant,
    scenario,
    mode,
    error: printed.err.trim().slice(-300) || "it ended without a word",
  };
}

function wants({ only }: Run, what: string): boolean {
  return only.length === 0 || only.some((each) => what.includes(each));
}

function write({ out }: Run, figures: Figures): void {
  const line = JSON.stringify(figures);
  appendFileSync(out, `${line}\n`);
  say(line);
}

function printTables(file: string): void {
  const results = Results.read(file);
  const print = (text: string) => process.stdout.write(`${text}\n\n`);
  print(enginesTable(results));
  print(apartTable(results));
  print(targetsTable(results));
  const gaps = results.gaps();
  if (gaps.length > 0) print(`Not measured:\n${gaps.map((gap) => `- ${gap}`).join("\n")}`);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
