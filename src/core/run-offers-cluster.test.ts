/** Several processes on one database: a plain message reaches the run of its thread, whichever of them hears it. */
import { expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { createDatabase } from "../testing/postgres/database.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { SHARD_COUNT } from "./shards.ts";

const PATIENTLY = { timeout: 20_000, interval: 20 };
const THREADS = Array.from({ length: 24 }, (_, index) => `T${index}`);

function workers() {
  const asking = aWorker(
    async ({ threadTs }, _args, { ask, emit }) => {
      const answer = await ask("sure", { text: "Sure?" });
      await emit("completed", `${threadTs}: ${answer?.value}`);
    },
    { name: "long", command: "/long", run: {} },
  );
  const chat = aWorker(async ({ content }, _args, { emit }) => emit("completed", `chat: ${content}`));
  return [asking, chat];
}

test("runs that wait while their threads go to another process are answered there, through any of them", async (t) => {
  const { url: location } = await createDatabase(t);
  const join = async (test: TestEnd) => {
    const gateway = fakeGateway();
    return { gateway, ...(await startTestLoop(test, { location, workers: workers(), gateways: [gateway] })) };
  };
  const first = await join(t);
  for (const threadTs of THREADS) await first.gateway.say("/long", { threadTs });
  const waiting = async () =>
    (await first.store.runs.runs({ isOpen: true })).filter(({ status }) => status === "waiting").length;
  await expect.poll(waiting, PATIENTLY).toBe(THREADS.length);
  const second = await join(t);
  const shares = async () =>
    (await first.store.operator.processes()).map(({ gateways }) => gateways[0]?.shards);
  await expect.poll(shares, PATIENTLY).toEqual([SHARD_COUNT / 2, SHARD_COUNT / 2]);

  for (const [index, threadTs] of THREADS.entries()) {
    const { gateway } = index % 2 === 0 ? first : second;
    await gateway.say(`answer ${index}`, { threadTs });
  }

  const ends = () =>
    [...first.gateway.texts(), ...second.gateway.texts()].filter((text) => /^completed: T\d+: /.test(text));
  await expect.poll(() => ends().length, PATIENTLY).toBe(THREADS.length);
  expect(ends().sort()).toEqual(
    THREADS.map((thread, index) => `completed: ${thread}: answer ${index}`).sort(),
  );
  for (const { gateway } of [first, second]) {
    expect(gateway.texts().some((text) => text.startsWith("completed: T"))).toBe(true);
    expect(gateway.texts().some((text) => text.includes("chat:"))).toBe(false);
  }
});
