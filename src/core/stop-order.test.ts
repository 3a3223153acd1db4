/** A stop while messages of other processes are being taken: what is newer in their thread does not begin before them. */
import { describe, expect, test } from "vitest";
import type { OpenedStore } from "../store/opened-store.ts";
import { aMessage, aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startInterferedLoop } from "../testing/interfered-loop.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import type { WokenFor } from "./store.ts";

const PATIENTLY = { timeout: 20_000 };

/** A loop that takes when the test says so, and is answered when the test says so. */
async function start(t: TestEnd, location: string) {
  const begun: string[] = [];
  const release = Promise.withResolvers<void>();
  const worker = aWorker(async ({ content }, _args, { attempt, emit }) => {
    begun.push(`${content}, attempt ${attempt}`);
    if (content === "older") await release.promise;
    await emit("completed", content);
  });
  const taken = Promise.withResolvers<void>();
  const takingGoesOn = Promise.withResolvers<void>();
  const acceptGoesOn = Promise.withResolvers<void>();
  let wake: (wokenFor: WokenFor) => void = () => undefined;
  const gateway = fakeGateway();
  const running = await startInterferedLoop(t, {
    location,
    gateways: [gateway],
    workers: [worker],
    interfere: (ownership) => ({
      async accept(message, at) {
        const accepted = await ownership.accept(message, at);
        await acceptGoesOn.promise;
        return accepted;
      },
      async takeUnowned(limit) {
        const messages = await ownership.takeUnowned(limit);
        if (messages.length === 0) return messages;
        taken.resolve();
        await takingGoesOn.promise;
        return messages;
      },
      onWake(callback) {
        wake = callback;
      },
    }),
  });
  await running.idle();
  const take = async () => {
    wake("messages");
    await taken.promise;
  };
  return { ...running, gateway, begun, release, taken, takingGoesOn, acceptGoesOn, take };
}

/** What begins when the next process takes up what was left, and how often an attempt was interrupted by then. */
async function takeUp(t: TestEnd, location: string) {
  const begun: string[] = [];
  const worker = aWorker(
    async ({ content }, _args, { attempt }) => void begun.push(`${content}, attempt ${attempt}`),
  );
  const { idle, store } = await startTestLoop(t, { location, gateways: [fakeGateway()], workers: [worker] });
  await idle();
  return { begun, failures: await failuresIn(store) };
}

async function failuresIn(store: OpenedStore): Promise<unknown> {
  return (await store.sql()).read.selectFrom("failed_attempts").selectAll().execute();
}

describe.each(databaseKinds)("a stop on $name", ({ create }) => {
  test("leaves to the next process what others had stored before it, and what is newer in its thread", async (t) => {
    const location = await create(t);
    const { loop, gateway, store, begun, taken, takingGoesOn, acceptGoesOn } = await start(t, location);
    await store.insertUnowned(aMessage({ content: "older", threadTs: "T1" }));
    acceptGoesOn.resolve();
    await gateway.say("newer", { threadTs: "T1" });
    await taken.promise;

    const stopped = loop.stop();
    takingGoesOn.resolve();
    await stopped;

    expect(begun).toEqual([]);
    const next = await takeUp(t, location);
    expect(next).toEqual({ begun: ["older, attempt 1", "newer, attempt 1"], failures: [] });
  });

  test("leaves it too where the taking had ended before the newer one was known to be stored", async (t) => {
    const location = await create(t);
    const running = await start(t, location);
    const { loop, gateway, store, begun, takingGoesOn, acceptGoesOn, take } = running;
    await store.insertUnowned(aMessage({ content: "older", threadTs: "T1" }));
    await take();
    const said = gateway.say("newer", { threadTs: "T1" });
    await expect.poll(async () => (await store.conversation(2))?.status, PATIENTLY).toBe("claimed");

    const stopped = loop.stop();
    takingGoesOn.resolve();
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    acceptGoesOn.resolve();
    await Promise.all([said, stopped]);

    expect(begun).toEqual([]);
    const next = await takeUp(t, location);
    expect(next).toEqual({ begun: ["older, attempt 1", "newer, attempt 1"], failures: [] });
  });

  test("counts no attempt at a message that waited for an older one of its thread", async (t) => {
    const location = await create(t);
    const { loop, gateway, store, begun, release, takingGoesOn, acceptGoesOn } = await start(t, location);
    await store.insertUnowned(aMessage({ content: "older", threadTs: "T1" }));
    acceptGoesOn.resolve();
    takingGoesOn.resolve();
    await gateway.say("newer", { threadTs: "T1" });
    await expect.poll(() => begun, PATIENTLY).toEqual(["older, attempt 1"]);
    expect(await store.conversation(2)).toMatchObject({ status: "pending", attempts: 0 });

    const stopped = loop.stop();
    release.resolve();
    await stopped;

    expect(begun).toEqual(["older, attempt 1"]);
    expect(await takeUp(t, location)).toEqual({ begun: ["newer, attempt 1"], failures: [] });
  });
});
