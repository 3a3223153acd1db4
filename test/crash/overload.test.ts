/**
 * Overload: messages are posted as fast as HTTP takes them, to workers that take 100 ms. What is too much is refused
 * with 503 and Retry-After, what was accepted is answered once, `/status` and `/stop` are answered meanwhile, and the
 * process does not grow. `npm run test:crash` is the long form; ROBSON_OVERLOAD_MESSAGES sets the number.
 */
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Pool } from "undici";
import { describe, expect, test } from "vitest";
import { freePort } from "../../src/cli/demo/free-port.ts";
import { openStore } from "../../src/store/open-store.ts";
import { databaseKinds } from "../../src/testing/databases.ts";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { startAgentProcess } from "./agent-process.ts";
import { type Receiver, startReceiver } from "./receiver.ts";

const isLong = Number(process.env.ROBSON_CRASH_KILLS ?? 0) >= 100;
const MESSAGES = Number(process.env.ROBSON_OVERLOAD_MESSAGES ?? (isLong ? 50_000 : 3000));
const MAX_OPEN = Math.round(MESSAGES / 5);
/** Ten messages a second each: less than HTTP takes on any machine. */
const MAX_AT_WORK = isLong ? 64 : 16;
const CLIENTS = 64;
/** For nearly all control commands, and for the slowest: the machine may have other work. */
const CONTROL_MS = 1000;
const MAX_CONTROL_MS = 5000;
/** Of memory, over the idle agent: much of it is what V8 has not collected yet. It does not grow with what is posted. */
const MAX_GROWTH_BYTES = 400 * 1024 * 1024;
const TIMEOUT_MS = 60_000 + MESSAGES * 4;

const SLOW_PLUGIN = `export default { name: "slow", setup(host) {
  host.registerWorker({
    name: "slow", description: "Takes 100 ms", example: "/slow x", command: "/slow",
    async handle(_message, _args, { emit, text }) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await emit("completed", text);
    },
  });
} };`;

describe.each(databaseKinds)("an agent on $name that is posted too much", ({ create }) => {
  test(`refuses some of ${MESSAGES} messages, answers every other one, and obeys meanwhile`, {
    timeout: TIMEOUT_MS,
  }, async (t) => {
    const folder = await temporaryFolder(t);
    const location = await create(t);
    const port = await freePort();
    const receiver = await startReceiver();
    t.onTestFinished(() => receiver.close());
    await writeFile(join(folder, "slow.mjs"), SLOW_PLUGIN);
    await writeFile(join(folder, "robson.toml"), configuration({ location, port }));
    const agent = startAgentProcess(folder);
    t.onTestFinished(() => agent.kill());
    await agent.listening;
    const http = new Pool(`http://127.0.0.1:${port}`, { connections: CLIENTS + 4 });
    t.onTestFinished(() => http.destroy());
    const idleBytes = peakMemory(agent.pid);

    const posting = postAll(http);
    const isPosting = { value: true };
    void posting.finally(() => {
      isPosting.value = false;
    });
    const control = askMeanwhile({ http, receiver, isPosting });
    const { accepted, refused } = await posting;
    const waits = await control;

    expect(accepted.size + refused.length).toBe(MESSAGES);
    expect(new Set(refused)).toEqual(new Set(["503 OVERLOADED 5"]));
    expect(waits.length).toBeGreaterThan(1);
    expect(Math.max(...waits)).toBeLessThan(MAX_CONTROL_MS);
    if (isLong)
      expect(waits.toSorted((a, b) => a - b)[Math.floor(waits.length * 0.98)]).toBeLessThan(CONTROL_MS);
    const store = await openStore(location);
    t.onTestFinished(() => store.close());
    await expect.poll(() => store.admission.countOpen(1), { timeout: TIMEOUT_MS }).toBe(0);
    expect(await answersOf(store)).toEqual(answersTo(accepted));
    expect(await store.deadLetters({ limit: 1 })).toEqual([]);
    const growth = (peakMemory(agent.pid) ?? 0) - (idleBytes ?? 0);
    expect(await agent.stop(), agent.log.slice(-20).join("\n")).toBe(0);
    if (isLong) report({ accepted, refused, waits, growth });
    expect(growth).toBeLessThan(MAX_GROWTH_BYTES);
  });
});

function configuration({ location, port }: { location: string; port: number }): string {
  return `[database]
url = "${location}"
[server]
port = ${port}
max_requests_per_minute = 100000000
[webhook]
allow_callback_hosts = ["127.0.0.1"]
[limits]
max_open_messages = ${MAX_OPEN}
max_concurrent_messages = ${MAX_AT_WORK}
[log.levels]
core = "warn"
[[plugins]]
use = "./slow.mjs"
`;
}

/** Every message is posted once: what is refused is not sent again. */
async function postAll(http: Pool) {
  const accepted = new Map<number, string>();
  const refused: string[] = [];
  let next = 0;
  const client = async () => {
    while (next < MESSAGES) {
      const index = next;
      next += 1;
      const message = { content: `/slow m${index}`, thread_ts: `t${index}`, external_id: `m${index}` };
      const { statusCode, headers, body } = await post(http, message);
      if (statusCode === 202) accepted.set(body.conversation_id ?? 0, `m${index}`);
      else refused.push(`${statusCode} ${body.code} ${headers["retry-after"]}`);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return { accepted, refused };
}

async function post(http: Pool, message: object) {
  const headers = { "content-type": "application/json" };
  const request = { path: "/message", method: "POST", headers, body: JSON.stringify(message) } as const;
  const response = await http.request(request);
  const body = (await response.body.json()) as { conversation_id?: number; code?: string };
  return { ...response, body };
}

interface Asking {
  http: Pool;
  receiver: Receiver;
  isPosting: { value: boolean };
}

/** Control commands, one after another: how long each took from its POST to its answer at the callback. */
async function askMeanwhile({ http, receiver, isPosting }: Asking): Promise<number[]> {
  const waits: number[] = [];
  for (let index = 0; isPosting.value; index += 1) {
    const thread_ts = `control-${index}`;
    const startedAt = performance.now();
    const content = index % 2 === 0 ? "/status" : "/stop";
    const { statusCode } = await post(http, { content, thread_ts, channel_id: receiver.url });
    expect(statusCode).toBe(202);
    await expect
      .poll(() => receiver.received.some((each) => each.thread_ts === thread_ts), {
        timeout: 30_000,
        interval: 5,
      })
      .toBe(true);
    waits.push(performance.now() - startedAt);
  }
  return waits;
}

async function answersOf(store: Awaited<ReturnType<typeof openStore>>): Promise<string[]> {
  const rows = await (await store.sql()).read
    .selectFrom("process_events as e")
    .innerJoin("conversations as c", "c.id", "e.conversation_id")
    .select(["e.conversation_id", "e.content"])
    .where("c.content", "like", "/slow%")
    .orderBy("e.conversation_id")
    .execute();
  return rows.map(({ conversation_id, content }) => `${conversation_id} ${content}`);
}

function answersTo(accepted: Map<number, string>): string[] {
  return [...accepted].sort(([a], [b]) => a - b).map(([id, text]) => `${id} ${text}`);
}

/** The most that a process has had in memory; undefined where the system does not tell. */
function peakMemory(pid: number): number | undefined {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return undefined;
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(file, "utf8")) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

function report(run: { accepted: Map<number, string>; refused: string[]; waits: number[]; growth: number }) {
  const sorted = run.waits.toSorted((a, b) => a - b);
  const [median, worst] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  const control = `${sorted.length} control commands: ${median?.toFixed(0)} ms median, ${worst?.toFixed(0)} ms worst; ${(run.growth / 1e6).toFixed(0)} MB`;
  process.stdout.write(`${run.accepted.size} accepted, ${run.refused.length} refused; ${control}\n`);
}
