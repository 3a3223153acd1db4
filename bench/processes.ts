/**
 * Several processes on one PostgreSQL: so many Robsons, each a gateway of the same name and its share of the 64
 * producers, over the same 500 conversations. Says which process was refused, where they may not work side by side.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Figures } from "./modes.ts";
import { now, round, serverCpuMs, spread } from "./readings.ts";
import { createDatabase, queryPostgres } from "./servers/postgres.ts";

const CHILD = fileURLToPath(new URL("./processes-child.ts", import.meta.url));

export interface ProcessesOptions {
  processes: number;
  count: number;
  producers: number;
  conversations: number;
  dist: string;
  serverUrl: string;
  serverPid: number;
  folder: string;
  timeoutSeconds: number;
}

export interface ChildOptions {
  index: number;
  count: number;
  producers: number;
  conversations: number;
  dist: string;
  url: string;
  folder: string;
}

/** What a process says. */
export type Said =
  | { what: "ready" }
  | { what: "refused"; error: string }
  | { what: "delivered"; count: number }
  | { what: "report"; latencies: number[]; cpuMs: number; misordered: number };

export async function measureProcesses(options: ProcessesOptions): Promise<Figures> {
  const { processes, count, serverUrl, serverPid, timeoutSeconds } = options;
  const url = await createDatabase(serverUrl);
  const common = { engine: "robson-postgres", scenario: "processes", processes };
  const children = [];
  try {
    for (let index = 0; index < processes; index += 1) {
      const child = startChild({ ...options, url, index, count: shareOf(count, { index, processes }) });
      children.push(child);
      const said = await next(child, ["ready", "refused"]);
      if (said.what === "refused")
        return { ...common, missing: `process ${index + 1} of ${processes} was refused: ${said.error}` };
    }
    const [from, serverFrom] = [now(), serverCpuMs(serverPid)];
    const all = delivered(children, { count, timeoutSeconds });
    for (const child of children) child.send({ what: "go" });
    await all;
    const ms = now() - from;
    const serverMs = serverCpuMs(serverPid) - serverFrom;
    const reports = await Promise.all(children.map(report));
    const sum = (of: (said: Extract<Said, { what: "report" }>) => number) =>
      reports.reduce((total, each) => total + of(each), 0);
    return {
      ...common,
      count,
      perSecond: round(count / (ms / 1000), 0),
      endToEndMs: spread(reports.flatMap(({ latencies }) => latencies)),
      cpuUsPerMessage: round((sum(({ cpuMs }) => cpuMs) * 1000) / count, 1),
      serverCpuUsPerMessage: round((serverMs * 1000) / count, 1),
      misordered: sum(({ misordered }) => misordered),
      stored: (await queryPostgres(url, STORED))[0],
    };
  } finally {
    await Promise.all(children.map(end));
  }
}

const STORED = `select (select count(*)::int from conversations) as messages, (select count(*)::int from inbox) as open,
  (select count(*)::int from process_events) as events`;

function startChild(options: ProcessesOptions & { url: string; index: number }): ChildProcess {
  const { index, count, producers, processes, conversations, dist, url, folder } = options;
  const child: ChildOptions = {
    index,
    count,
    producers: Math.max(1, Math.round(producers / processes)),
    conversations,
    dist,
    url,
    folder,
  };
  return fork(CHILD, [JSON.stringify(child)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
}

function shareOf(count: number, { index, processes }: { index: number; processes: number }): number {
  return Math.floor(count / processes) + (index < count % processes ? 1 : 0);
}

async function next(child: ChildProcess, whats: Said["what"][]): Promise<Said> {
  for (;;) {
    const [said] = (await Promise.race([
      once(child, "message"),
      once(child, "exit").then(() => Promise.reject(new Error("a process of the bench ended"))),
    ])) as [Said];
    if (whats.includes(said.what)) return said;
  }
}

async function report(child: ChildProcess) {
  const said = next(child, ["report"]);
  child.send({ what: "report" });
  return (await said) as Extract<Said, { what: "report" }>;
}

function delivered(
  children: ChildProcess[],
  { count, timeoutSeconds }: { count: number; timeoutSeconds: number },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sum = 0;
  const timeout = setTimeout(
    () => reject(new Error(`${sum} of ${count} delivered within ${timeoutSeconds} seconds`)),
    timeoutSeconds * 1000,
  );
  for (const child of children)
    child.on("message", (said: Said) => {
      if (said.what === "delivered") sum += said.count;
      if (sum >= count) resolve();
    });
  return promise.finally(() => clearTimeout(timeout));
}

const STOP_MS = 10_000;

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  if (child.connected) child.send({ what: "stop" });
  const kill = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(kill);
}
