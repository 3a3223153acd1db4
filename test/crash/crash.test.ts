/**
 * The promise itself: `robson agent` is killed again and again while messages are posted, and in the end every
 * message is answered, in order per thread, every answer under one delivery id, with no dead letter.
 * `npm run test:crash` is the long form; ROBSON_CRASH_SEED repeats a run's moments.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { freePort } from "../../src/cli/demo/free-port.ts";
import { openStore } from "../../src/store/open-store.ts";
import { databaseKinds } from "../../src/testing/databases.ts";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { type AgentProcess, startAgentProcess } from "./agent-process.ts";
import { configuration } from "./configuration.ts";
import { postAll, textOf } from "./poster.ts";
import { type Received, startReceiver } from "./receiver.ts";

const KILLS = Number(process.env.ROBSON_CRASH_KILLS ?? 8);
const THREADS = 100;
const MESSAGES_PER_THREAD = Math.max(1, Math.round(KILLS / 10));
const SEED = Number(process.env.ROBSON_CRASH_SEED ?? Date.now() % 1_000_000);
const TIMEOUT_MS = 60_000 + KILLS * 5_000;

describe.each(databaseKinds)("robson agent on $name", ({ create }) => {
  test(`answers everything once although it is killed ${KILLS} times (seed ${SEED})`, {
    timeout: TIMEOUT_MS,
  }, async (t) => {
    const folder = await temporaryFolder(t);
    const location = await create(t);
    const port = await freePort();
    const receiver = await startReceiver();
    t.onTestFinished(() => receiver.close());
    await writeFile(join(folder, "robson.toml"), configuration({ location, port }));
    const random = seededRandom(SEED);
    const kills = killCounter();
    const messages = THREADS * MESSAGES_PER_THREAD;

    const posting = postAll({
      ports: [port],
      callbackUrl: receiver.url,
      threads: THREADS,
      messagesPerThread: MESSAGES_PER_THREAD,
      // Spread over all kills, so that each of them meets messages on their way.
      mayPost: (n) => kills.reached(Math.floor((n * KILLS) / messages) - 1),
      signal: t.signal,
    });
    let agent = startAgentProcess(folder);
    t.onTestFinished(() => agent.kill());
    while (kills.count < KILLS) {
      await untilKilled(agent, random);
      kills.add();
      agent = startAgentProcess(folder);
    }
    await posting;
    await expect
      .poll(() => new Set(receiver.received.map(({ content }) => content)).size, { timeout: TIMEOUT_MS })
      .toBe(messages);
    await agent.listening; // everything may have been answered while it starts
    expect(await agent.stop(), agent.log.join("\n")).toBe(0);

    expect(orderOfFirstArrivals(receiver.received)).toEqual(expectedOrder());
    expect(contentsWithSeveralIds(receiver.received)).toEqual([]);
    const store = await openStore(location);
    t.onTestFinished(() => store.close());
    expect(await store.deadLetters({ limit: 10 })).toEqual([]);
    const open = await (await store.sql()).read.selectFrom("inbox").selectAll().execute();
    expect(open).toEqual([]);
  });
});

/** Lets it live until some moment while it starts, or for some milliseconds of its work. */
async function untilKilled(agent: AgentProcess, random: () => number): Promise<void> {
  const isStarting = random() < 0.3;
  if (!isStarting) await agent.listening;
  await passing(random() * (isStarting ? 800 : 150));
  await agent.kill();
}

/** Real time is what this test is about: the moment of a kill. */
function passing(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function killCounter() {
  const waiting: { kills: number; resolve: () => void }[] = [];
  const counter = {
    count: 0,
    add() {
      counter.count += 1;
      for (const { kills, resolve } of waiting) if (kills <= counter.count) resolve();
    },
    reached(kills: number): Promise<void> {
      if (kills <= counter.count) return Promise.resolve();
      return new Promise((resolve) => {
        waiting.push({ kills, resolve });
      });
    },
  };
  return counter;
}

/** mulberry32: small, and the same numbers for the same seed. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function orderOfFirstArrivals(received: Received[]): Record<string, string[]> {
  const order: Record<string, string[]> = {};
  for (const { thread_ts, content } of received) {
    const thread = order[thread_ts ?? ""] ?? [];
    order[thread_ts ?? ""] = thread;
    if (!thread.includes(content)) thread.push(content);
  }
  return order;
}

function expectedOrder(): Record<string, string[]> {
  return Object.fromEntries(
    Array.from({ length: THREADS }, (_, thread) => [
      `thread-${thread}`,
      Array.from({ length: MESSAGES_PER_THREAD }, (_, index) => textOf(thread, index)),
    ]),
  );
}

function contentsWithSeveralIds(received: Received[]): string[] {
  const idOf = new Map<string, string>();
  return received.flatMap(({ content, delivery_id }) => {
    const known = idOf.get(content) ?? delivery_id;
    idOf.set(content, known);
    return known === delivery_id ? [] : [content];
  });
}
