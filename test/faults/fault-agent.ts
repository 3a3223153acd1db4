/**
 * For the tests of faults: one `robson agent` from `dist/` with a plugin of the test's own, a platform that takes its
 * answers, and what an operator has to look at: the log, `/readyz`, `robson why`.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "vitest";
import { freePort } from "../../src/cli/demo/free-port.ts";
import { type TestEnd, temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { type AgentProcess, type AgentProcessOptions, startAgentProcess } from "../crash/agent-process.ts";
import { type Received, type Receiver, startReceiver } from "../crash/receiver.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export const PATIENTLY = { timeout: 30_000, interval: 20 };
export const TIMEOUT = { timeout: 120_000 };

export interface FaultAgentOptions extends AgentProcessOptions {
  /** Of the database. */
  location: string;
  /** The source of a plugin: the body of its `setup(host)`. */
  plugin?: string;
  /** Lines under `[limits]`. */
  limits?: string;
  /** Lines behind all others. */
  more?: string;
  /** Where it logs to, instead of what the test sees. */
  logFile?: string;
}

export interface Answer {
  status: number;
  retryAfter: number;
  body: string;
}

export interface FaultAgent extends AgentProcess {
  folder: string;
  port: number;
  receiver: Receiver;
  get(path: string): Promise<Answer>;
  /** Posts a message in a thread of its own, whose answer goes to the receiver. */
  post(content: string, options?: { thread?: string; callback?: string }): Promise<Answer>;
  /** Posts a message that is taken; resolves with its id. */
  say(content: string, options?: { thread?: string; callback?: string }): Promise<number>;
  /** The answers in a thread, deliveries that came twice left out. */
  answersIn(thread: string): Received[];
  /** Waits until each of these threads has exactly one final answer. */
  expectAnswers(threads: string[]): Promise<void>;
  /** What `robson why` says of a message. */
  why(conversationId: number): Promise<string>;
  /** Makes a file beside the plugin. */
  touch(name: string): Promise<void>;
  /** The lines of its log that say this. */
  logged(text: string): Record<string, unknown>[];
  /** An agent again, in the same folder, at the same port. */
  restart(options?: AgentProcessOptions): Promise<FaultAgent>;
}

export async function startFaultAgent(t: TestEnd, options: FaultAgentOptions): Promise<FaultAgent> {
  const folder = await temporaryFolder(t);
  const port = await freePort();
  const receiver = await startReceiver();
  t.onTestFinished(() => receiver.close());
  await writeFile(join(folder, "plugin.mjs"), pluginSource(options.plugin ?? ""));
  await writeFile(join(folder, "robson.toml"), configuration(options, port));
  return start(t, { ...options, folder, port, receiver });
}

/** Real time, where a test is about how long a fault lasts. */
export function fault(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

type Place = AgentProcessOptions &
  Pick<FaultAgentOptions, "logFile"> &
  Pick<FaultAgent, "folder" | "port" | "receiver">;

async function start(t: TestEnd, { folder, port, receiver, ...options }: Place): Promise<FaultAgent> {
  const agent = startAgentProcess(folder, options);
  t.onTestFinished(() => agent.kill());
  const isUp = () => fetch(`http://127.0.0.1:${port}/healthz`).then(Boolean, () => false);
  // Where it does not log to us, it does not say that it listens.
  if (options.logFile === undefined) await agent.listening;
  else await expect.poll(isUp, PATIENTLY).toBe(true);
  if (!(await isUp())) throw new Error(`The agent does not run:\n${agent.log.join("\n")}`);
  const ask = async (path: string, request?: RequestInit): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, request);
    const retryAfter = Number(response.headers.get("retry-after"));
    return { status: response.status, retryAfter, body: await response.text() };
  };
  const post: FaultAgent["post"] = (content, { thread = content, callback = receiver.url } = {}) =>
    ask("/message", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ content, channel_id: callback, thread_ts: thread, external_id: content }),
    });
  const answersIn = (thread: string) => {
    const arrived = receiver.received.filter(({ thread_ts }) => thread_ts === thread);
    return [...new Map(arrived.map((each) => [each.delivery_id, each])).values()];
  };
  const finalsIn = (thread: string) => answersIn(thread).filter(({ kind }) => /completed|failed/.test(kind));
  return {
    ...agent,
    ...{ folder, port, receiver, post, answersIn },
    get: (path) => ask(path),
    async say(content, to) {
      const { status, body } = await post(content, to);
      expect(status, body).toBe(202);
      return JSON.parse(body).conversation_id;
    },
    async expectAnswers(threads) {
      const answered = () => threads.filter((thread) => finalsIn(thread).length > 0);
      const log = () => `${agent.log.slice(-30).join("\n")}\nare the last lines of the log`;
      await expect
        .poll(answered, PATIENTLY)
        .toEqual(threads)
        .catch((error) => {
          throw new Error(log(), { cause: error });
        });
      expect(threads.filter((thread) => finalsIn(thread).length > 1)).toEqual([]);
    },
    async why(conversationId) {
      const args = ["--disable-warning=ExperimentalWarning", MAIN, "why", String(conversationId)];
      const env = { PATH: process.env.PATH ?? "", HOME: folder };
      return (await promisify(execFile)(process.execPath, args, { cwd: folder, env })).stdout;
    },
    touch: (name) => writeFile(join(folder, name), ""),
    logged: (text) =>
      agent.log
        .filter((line) => line.startsWith("{") && line.includes(`"msg":"${text}`))
        .map((line) => JSON.parse(line)),
    restart: (changed = options) => start(t, { folder, port, receiver, ...changed }),
  };
}

/** A plugin's whole source, of the body of its `setup(host)`. */
export function pluginSource(setup: string): string {
  return `import { appendFileSync, existsSync, writeFileSync } from "node:fs";
const folder = import.meta.dirname;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const plugin = {
  name: "faults",
  setup(host) {
    const worker = (name, handle, more = {}) => host.registerWorker({
      name, description: name, example: "/" + name, command: "/" + name, handle, ...more,
    });
    ${setup}
  },
};
`;
}

function configuration(
  { location, limits = "", more = "", logFile }: FaultAgentOptions,
  port: number,
): string {
  return `[database]
url = "${location}"
[server]
port = ${port}
max_requests_per_minute = 1000000
[webhook]
allow_callback_hosts = ["127.0.0.1"]
[limits]
backoff_base_ms = 50
max_backoff_ms = 1000
max_database_backoff_ms = 200
${limits}
[[plugins]]
use = "./plugin.mjs"
[log]
${logFile === undefined ? "" : `file = "${logFile}"`}
${more}
`;
}
