/**
 * `robson agent` as users start it, from `bin/` over `dist/`: how long until it accepts (its `/readyz` says so), and
 * what it takes while it has nothing to do.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Figures } from "./modes.ts";
import { median, now, processCpuMs, processTree, residentMb, round, sleep } from "./readings.ts";
import { freePort } from "./servers/postgres.ts";

const POLL_MS = 3;
const MAX_START_MS = 20_000;
/** What a start leaves to be tidied up. */
const SETTLE_MS = 3000;

export async function measureAgentStart(options: {
  folder: string;
  dist: string;
  starts: number;
  idleSeconds: number;
  /** A database URL; without one a file that is made at the first start. */
  databaseUrl?: string;
}): Promise<Figures> {
  const { folder, dist, starts, idleSeconds, databaseUrl } = options;
  const program = layOutPackage(folder, dist);
  const times: number[] = [];
  let idle: Figures = {};
  for (let start = 0; start < starts; start += 1) {
    const port = await freePort();
    const database = databaseUrl ?? join(folder, "agent.db");
    const config = `[server]\nport = ${port}\n[database]\nurl = "${database}"\n[log]\nfile = "agent.log"\n`;
    writeFileSync(join(folder, "robson.toml"), config);
    const from = now();
    const child = spawn(process.execPath, [program, "agent"], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder },
      stdio: ["ignore", "ignore", "inherit"],
    });
    await untilReady(child, port);
    times.push(now() - from);
    if (start === starts - 1) idle = await whileIdle(child.pid ?? 0, idleSeconds);
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  const [firstMs = 0, ...laterMs] = times;
  return {
    engine: databaseUrl === undefined ? "robson-sqlite" : "robson-postgres",
    starts,
    // The first one makes the tables too, and finds nothing in the page cache.
    firstReadyMs: round(firstMs, 0),
    readyMs: round(median(laterMs.length > 0 ? laterMs : times) ?? 0, 0),
    ...idle,
  };
}

/** As npm lays it out: `bin/`, `dist/`, and no sources beside them. */
function layOutPackage(folder: string, dist: string): string {
  const root = dirname(dist);
  const home = join(folder, "package");
  rmSync(home, { recursive: true, force: true });
  mkdirSync(join(home, "bin"), { recursive: true });
  cpSync(join(root, "bin", "robson.cjs"), join(home, "bin", "robson.cjs"));
  cpSync(join(root, "package.json"), join(home, "package.json"));
  cpSync(dist, join(home, "dist"), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(home, "node_modules"));
  return join(home, "bin", "robson.cjs");
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  const giveUpAt = now() + MAX_START_MS;
  while (now() < giveUpAt) {
    if (child.exitCode !== null) throw new Error(`robson agent ended with code ${child.exitCode}`);
    const isReady = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      async (response) => {
        await response.arrayBuffer();
        return response.ok;
      },
      () => false,
    );
    if (isReady) return;
    await sleep(POLL_MS);
  }
  child.kill("SIGKILL");
  throw new Error(`robson agent was not ready within ${MAX_START_MS} ms`);
}

async function whileIdle(pid: number, seconds: number): Promise<Figures> {
  await sleep(SETTLE_MS);
  // The launcher may have started the program as a process of its own.
  const pids = processTree(pid);
  const cpuMs = () => pids.reduce((sum, each) => sum + processCpuMs(each), 0);
  const [from, before] = [now(), cpuMs()];
  await sleep(seconds * 1000);
  const percent = (100 * (cpuMs() - before)) / (now() - from);
  const resident = pids.reduce((sum, each) => sum + residentMb(each), 0);
  return { idleCpuPercent: round(percent), residentMb: round(resident, 1) };
}
