/** Copies of messages that are stored and open while the process that owns their thread does not know of them. */
import { describe, expect, test } from "vitest";
import { aMessage, aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startInterferedLoop } from "../testing/interfered-loop.ts";
import { createDatabase } from "../testing/postgres/database.ts";
import { startTestLoop, type TestLoopOptions } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import type { Hooks } from "./hooks.ts";
import { definePlugin } from "./plugin.ts";
import { SHARD_COUNT, shardOf, threadKey } from "./shards.ts";
import type { Ownership } from "./store.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };

interface OwnerOptions extends TestLoopOptions {
  location: string;
}

/** A loop, and what it may write by: what is stored by that alone, the loop does not know of. */
async function startOwner(t: TestEnd, options: OwnerOptions) {
  const gateway = fakeGateway();
  let owned: Ownership | undefined;
  const running = await startInterferedLoop(t, {
    workers: [echo],
    ...options,
    gateways: [gateway],
    interfere(ownership) {
      owned = ownership;
      return {};
    },
  });
  await running.idle();
  if (!owned) throw new Error("the loop has started without an ownership");
  return { ...running, gateway, ownership: owned };
}

/** Its thread is one of those that `isWanted` says yes to. */
function aThread(isWanted: (shard: number) => boolean): string {
  const threads = Array.from({ length: 1000 }, (_, index) => `T${index}`);
  const found = threads.find((threadTs) =>
    isWanted(shardOf(threadKey({ gateway: "fake", channelId: "C1", threadTs }))),
  );
  if (found === undefined) throw new Error("no thread is of such a shard");
  return found;
}

/** As by a try whose statement the server has carried out after the connection was gone. */
async function storeLate(ownership: Ownership, more: { threadTs: string; idempotencyKey: string }) {
  const message = aMessage({ content: "/echo late", ...more });
  const shard = shardOf(threadKey(message));
  return ownership.accept(message, { shard, status: "claimed", attempts: 1 });
}

describe("where another process hears the copy", () => {
  async function startTwo(t: TestEnd, other: Parameters<typeof fakeGateway>[0] = {}) {
    const { url: location } = await createDatabase(t);
    const owner = await startOwner(t, { location });
    const gateway = fakeGateway(other);
    await startTestLoop(t, { location, workers: [echo], gateways: [gateway] });
    await expect.poll(() => owner.ownership.shards().length, PATIENTLY).toBe(SHARD_COUNT);
    await owner.idle();
    const threadTs = aThread((shard) => owner.ownership.holds("fake", shard));
    return { owner, gateway, threadTs };
  }

  test("the owner handles the message at once, once, and before what is newer in its thread", async (t) => {
    const { owner, gateway, threadTs } = await startTwo(t);
    const stored = await storeLate(owner.ownership, { threadTs, idempotencyKey: "k1" });

    const copy = await gateway.say("/echo late", { threadTs, idempotencyKey: "k1" });
    await owner.gateway.say("/echo newer", { threadTs });

    expect(copy).toMatchObject({ conversationId: stored.conversationId, isDuplicate: true });
    await expect
      .poll(() => owner.gateway.texts(), PATIENTLY)
      .toEqual(["completed: late", "completed: newer"]);
    await gateway.say("/echo late", { threadTs, idempotencyKey: "k1" });
    await owner.gateway.say("/echo last", { threadTs });
    await expect.poll(() => owner.gateway.texts().slice(2), PATIENTLY).toEqual(["completed: last"]);
  });

  test("and refuses it, the owner, which has accepted the message, handles it", async (t) => {
    const { owner, gateway, threadTs } = await startTwo(t, { isPublic: true });
    await storeLate(owner.ownership, { threadTs, idempotencyKey: "k1" });

    const copy = await gateway.say("/echo late", { threadTs, idempotencyKey: "k1" });

    expect(copy.isDuplicate).toBe(true);
    await expect.poll(() => owner.gateway.texts(), PATIENTLY).toEqual(["completed: late"]);
  });
});

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("the owner handles it at once where it hears the copy itself, whoever had stored the message", async (t) => {
    const { ownership, gateway } = await startOwner(t, { location: await create(t) });
    await storeLate(ownership, { threadTs: "T1", idempotencyKey: "k1" });

    const copy = await gateway.say("/echo late", { threadTs: "T1", idempotencyKey: "k1" });
    await gateway.say("/echo newer", { threadTs: "T1" });

    expect(copy.isDuplicate).toBe(true);
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: late", "completed: newer"]);
  });

  test("a copy of what the owner has in its hands changes nothing, and tells nobody anything twice", async (t) => {
    const goOn = Promise.withResolvers<void>();
    let runs = 0;
    const slow = aWorker(async (_message, _args, { emit }) => {
      runs += 1;
      await goOn.promise;
      await emit("completed", "slow");
    });
    const told: Hooks["message.accepted"][] = [];
    const plugin = definePlugin({
      name: "ear",
      setup: (host) => host.hook("message.accepted", (fact) => told.push(fact)),
    });
    const gateway = fakeGateway();
    const { store, idle } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [slow, echo],
      plugins: [plugin],
    });
    await gateway.say("work", { threadTs: "T1", idempotencyKey: "k1" });
    await expect.poll(() => runs, PATIENTLY).toBe(1);

    await store.insertUnowned(aMessage({ content: "work", threadTs: "T1", idempotencyKey: "k1" }));
    // It waits for the taking of what the copy has put forward.
    await gateway.say("/echo after", { threadTs: "T2" });
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: after"]);
    goOn.resolve();
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: after", "completed: slow"]);
    await idle();

    expect(runs).toBe(1);
    expect(told.map(({ message }) => message.content)).toEqual(["work", "/echo after"]);
  });
});
