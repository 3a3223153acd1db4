/** Several `robson agent` processes on one database, each with a folder and a port of its own. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "pg";
import { expect } from "vitest";
import { freePort } from "../../src/cli/demo/free-port.ts";
import { type TestEnd, temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { type AgentProcess, startAgentProcess } from "../crash/agent-process.ts";
import { configuration } from "../crash/configuration.ts";
import { postAll, textOf } from "../crash/poster.ts";
import { type Receiver, startReceiver } from "../crash/receiver.ts";

export interface Member extends AgentProcess {
  port: number;
  /** Its status and body of a GET. */
  get(path: string): Promise<{ status: number; body: string }>;
}

export interface Cluster {
  receiver: Receiver;
  /** How many processes hold shards, and how many shards they hold in all. */
  holders(): Promise<{ processes: number; shards: number }>;
  start(options?: { url?: string; more?: string; main?: string; nodeArgs?: string[] }): Promise<Member>;
  /** Posts to all of these in turn, until all is accepted. */
  post(members: Member[], options: { threads: number; messagesPerThread: number }): Promise<void>;
  /** Posts one message, in a thread of its own. */
  say(member: Member, content: string): Promise<void>;
  /** Waits until every message is answered; fails unless each was once, in the order of its thread. */
  expectAllAnswered(options: { threads: number; messagesPerThread: number }): Promise<void>;
}

export const PATIENTLY = { timeout: 60_000, interval: 20 };
/** The lease of the processes, where the test does not say: longer than a busy machine holds one up. */
export const LEASE_MS = 2500;
/** Of processes that must not be taken for frozen, however busy the machine is. */
export const LONG_LEASE_MS = 20_000;

export async function startCluster(
  t: TestEnd & { signal: AbortSignal },
  databaseUrl: string,
  { leaseMs = LEASE_MS }: { leaseMs?: number } = {},
): Promise<Cluster> {
  const receiver = await startReceiver();
  t.onTestFinished(() => receiver.close());
  const folder = await temporaryFolder(t);
  let count = 0;

  const holders = async () => {
    const client = new Client({ connectionString: databaseUrl });
    try {
      await client.connect();
      const { rows } = await client.query(`select count(distinct p.id)::int4 as processes,
        count(*)::int4 as shards from shard_leases l join processes p on p.id = l.process_id
        join gateways g on g.id = l.gateway_id where g.name = 'webhook'`);
      return rows[0];
    } finally {
      await client.end();
    }
  };
  const start: Cluster["start"] = async ({ url = databaseUrl, more = "", ...options } = {}) => {
    const port = await freePort();
    const own = join(folder, `agent-${++count}`);
    await mkdir(own);
    await writeFile(
      join(own, "robson.toml"),
      configuration({ location: url, port, more: `lease_ms = ${leaseMs}\n${more}` }),
    );
    const agent = startAgentProcess(own, options);
    t.onTestFinished(() => agent.kill());
    await agent.listening;
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      return { status: response.status, body: await response.text() };
    };
    return { ...agent, port, get };
  };
  return {
    receiver,
    holders,
    start,
    post: (members, options) =>
      postAll({
        ...options,
        ports: members.map(({ port }) => port),
        callbackUrl: receiver.url,
        mayPost: async () => undefined,
        signal: t.signal,
      }),
    async say(member, content) {
      const response = await fetch(`http://127.0.0.1:${member.port}/message`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ content, channel_id: receiver.url, thread_ts: content }),
      });
      expect(response.status).toBe(202);
    },
    async expectAllAnswered({ threads, messagesPerThread }) {
      const answered = () => new Set(receiver.received.map(({ content }) => content)).size;
      await expect.poll(answered, PATIENTLY).toBe(threads * messagesPerThread);
      for (let thread = 0; thread < threads; thread += 1) {
        const texts = Array.from({ length: messagesPerThread }, (_, index) => textOf(thread, index));
        const arrived = receiver.received.filter(({ thread_ts }) => thread_ts === `thread-${thread}`);
        expect([...new Set(arrived.map(({ content }) => content))]).toEqual(texts);
        expect(new Set(arrived.map(({ delivery_id }) => delivery_id)).size).toBe(messagesPerThread);
      }
    },
  };
}
