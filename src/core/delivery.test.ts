import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage, aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { DeliveryError } from "./errors.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Emits one event for each word: `started:a progress:b completed:c`. */
const reporter = aWorker(async ({ content }, _args, { emit }) => {
  for (const word of content.split(" ")) {
    const [kind, text] = word.split(":");
    await emit(kind as "progress", text ?? "");
  }
});

describe.each(databaseKinds)("delivery on $name", ({ create }) => {
  test("events of one thread arrive in order although the first attempts fail", async (t) => {
    const gateway = fakeGateway({ failures: 3 });
    const { idle, clock } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
    });

    for (const text of ["1", "2", "3"]) await gateway.say(`/echo ${text}`, { threadTs: "T" });
    await idle();
    expect(gateway.attempted.map(({ content }) => content)).toEqual(["1"]);
    for (let round = 0; round < 3; round += 1) {
      await clock.advance(MINUTE_MS);
      await idle();
    }

    expect(gateway.texts()).toEqual(["completed: 1", "completed: 2", "completed: 3"]);
  });

  test("a failed progress event gives way to later events and never arrives after them", async (t) => {
    const gateway = fakeGateway({
      onSend: async ({ eventKind }) => {
        if (eventKind === "progress") throw new DeliveryError("not now", { retry: "later" });
      },
    });
    const options = { location: await create(t), gateways: [gateway], workers: [reporter] };
    const { idle, clock, store } = await startTestLoop(t, options);

    const { conversationId } = await gateway.say("started:a progress:b completed:c");
    await idle();
    expect(gateway.texts()).toEqual(["started: a", "completed: c"]);

    await clock.advance(HOUR_MS);
    await idle();
    expect(gateway.texts()).toEqual(["started: a", "completed: c"]);
    const [, progress] = await store.events(conversationId);
    expect(progress?.deliveries).toMatchObject([{ status: "done", deliveredAt: null, lastError: "not now" }]);
  });

  test("each attempt waits longer than the one before, until the delivery is a dead letter", async (t) => {
    const gateway = fakeGateway({ failures: Number.POSITIVE_INFINITY });
    const running = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
      limits: { maxDeliveryAttempts: 4, backoffBaseMs: SECOND_MS },
    });
    const { idle, clock, store } = running;

    const { conversationId } = await gateway.say("/echo x");
    await idle();
    const attemptsAfter: number[] = [];
    for (const waitMs of [SECOND_MS, 2 * SECOND_MS, 4 * SECOND_MS, HOUR_MS]) {
      await clock.advance(waitMs - 1);
      await idle();
      attemptsAfter.push(gateway.attempted.length);
      await clock.advance(1);
      await idle();
    }

    expect(attemptsAfter).toEqual([1, 2, 3, 4]);
    expect(gateway.attempted.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(await store.deadLetters({ limit: 9 })).toMatchObject([{ conversationId, attempts: 4 }]);
  });

  test("a platform's Retry-After is waited for", async (t) => {
    const failWith = () => new DeliveryError("slow down", { retry: "later", retryAfterMs: 10 * MINUTE_MS });
    const gateway = fakeGateway({ failures: 1, failWith });
    const { idle, clock } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
    });

    await gateway.say("/echo x");
    await idle();
    await clock.advance(10 * MINUTE_MS - 1);
    await idle();
    expect(gateway.attempted).toHaveLength(1);

    await clock.advance(1);
    await idle();
    expect(gateway.texts()).toEqual(["completed: x"]);
  });

  test("a send that never answers is given up after its time and tried again; other threads go on", async (t) => {
    const signals: AbortSignal[] = [];
    const gateway = fakeGateway({
      onSend: async ({ threadTs, attempt }, { signal }) => {
        if (threadTs !== "slow" || attempt > 1) return;
        signals.push(signal);
        await new Promise(() => undefined);
      },
    });
    const limits = { sendTimeoutMs: 5 * SECOND_MS };
    const location = await create(t);
    const { clock, idle } = await startTestLoop(t, {
      location,
      gateways: [gateway],
      workers: [echo],
      limits,
    });

    await gateway.say("/echo slow", { threadTs: "slow" });
    await gateway.say("/echo quick", { threadTs: "quick" });
    await expect.poll(() => gateway.texts()).toEqual(["completed: quick"]);

    await expect.poll(() => signals.length).toBe(1);
    await clock.advance(5 * SECOND_MS);
    await idle();
    await clock.advance(MINUTE_MS);
    await idle();
    expect(signals[0]?.aborted).toBe(true);
    expect(gateway.texts()).toEqual(["completed: quick", "completed: slow"]);
  });

  test("a gateway that is stuck does not hold up another one", async (t) => {
    const stuck = fakeGateway({ name: "stuck", onSend: () => new Promise(() => undefined) });
    const well = fakeGateway({ name: "well" });
    await startTestLoop(t, {
      location: await create(t),
      gateways: [stuck, well],
      workers: [echo],
      limits: { maxConcurrentSends: 1 },
    });

    for (let index = 0; index < 5; index += 1) await stuck.say(`/echo ${index}`, { threadTs: `T${index}` });
    await well.say("/echo well");

    await expect.poll(() => well.texts()).toEqual(["completed: well"]);
  });

  test("a target that is stuck does not take the slots of its gateway's other targets", async (t) => {
    const gateway = fakeGateway({
      onSend: async ({ target }) => {
        if (target === "stuck") await new Promise(() => undefined);
      },
    });
    await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
      limits: { maxConcurrentSends: 3, maxConcurrentSendsPerTarget: 2 },
    });

    for (let index = 0; index < 5; index += 1) {
      await gateway.say(`/echo ${index}`, { channelId: "stuck", threadTs: `T${index}` });
    }
    for (const text of ["a", "b"]) await gateway.say(`/echo ${text}`, { channelId: "well", threadTs: text });

    await expect.poll(() => gateway.texts().toSorted()).toEqual(["completed: a", "completed: b"]);
    expect(gateway.attempted.filter(({ target }) => target === "stuck")).toHaveLength(2);
  });

  test("before a second attempt the platform is asked, and what arrived is not sent again", async (t) => {
    const arrived: string[] = [];
    const gateway = fakeGateway({
      onSend: async ({ id }) => {
        arrived.push(id);
        throw new Error("connection lost after the platform had it");
      },
      find: async ({ id }) => arrived.includes(id),
    });
    const location = await create(t);
    const { idle, clock, store } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });

    const { conversationId } = await gateway.say("/echo once");
    await idle();
    await clock.advance(MINUTE_MS);
    await idle();

    expect(arrived).toHaveLength(1);
    const [event] = await store.events(conversationId);
    expect(event?.deliveries).toMatchObject([{ status: "done", attempts: 2, deliveryId: arrived[0] }]);
  });

  test("a platform that answers the question after its time has nothing sent to it by that attempt", async (t) => {
    const questions: PromiseWithResolvers<boolean>[] = [];
    const gateway = fakeGateway({
      failures: 1,
      find: () => {
        const question = Promise.withResolvers<boolean>();
        questions.push(question);
        return question.promise;
      },
    });
    const { idle, clock } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo],
      limits: { sendTimeoutMs: 30 * SECOND_MS },
    });
    await gateway.say("/echo hello");
    await idle();
    await clock.advance(SECOND_MS);
    await expect.poll(() => questions.length).toBe(1);
    await clock.advance(30 * SECOND_MS);
    await idle();

    questions[0]?.resolve(false);
    await idle();
    expect(gateway.attempted).toHaveLength(1);
    await clock.advance(2 * SECOND_MS);
    await expect.poll(() => questions.length).toBe(2);
    questions[1]?.resolve(false);
    await idle();

    expect(gateway.texts()).toEqual(["completed: hello"]);
  });

  test("a delivery that a stop cuts off is not overtaken by the later ones of its thread", async (t) => {
    const cutOff = Promise.withResolvers<void>();
    const gateway = fakeGateway({
      onSend: async ({ content }, { signal }) => {
        if (content !== "1") return;
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        cutOff.resolve();
        throw new Error("cut off");
      },
    });
    const never = new Promise<void>(() => undefined);
    const deaf = aWorker(() => never, { name: "deaf", command: "/deaf" });
    const { clock, loop, stop } = await startTestLoop(t, {
      location: await create(t),
      gateways: [gateway],
      workers: [echo, deaf],
    });
    for (const text of ["/echo 1", "/echo 2", "/echo 3"]) await gateway.say(text, { threadTs: "T" });
    await gateway.say("/deaf", { threadTs: "elsewhere" });
    await expect.poll(() => loop.health().openDeliveries).toBe(3);

    // A worker that ignores its signal keeps the loop from its end, while the time to send is over.
    void loop.stop();
    await clock.advance(10 * SECOND_MS);
    await cutOff.promise;
    await stop();

    expect(gateway.attempted.map(({ content }) => content)).toEqual(["1"]);
  });

  test("a message of no gateway goes to each gateway's own channel, and one failing gateway is tried on", async (t) => {
    const one = fakeGateway({ name: "one", defaultChannelId: "C-one" });
    const two = fakeGateway({ name: "two", defaultChannelId: "C-two", failures: 1 });
    const none = fakeGateway({ name: "none" });
    const location = await create(t);
    const { idle, clock, store } = await startTestLoop(t, {
      location,
      gateways: [one, two, none],
      workers: [echo],
    });

    const { conversationId } = await store.insertUnowned(
      aMessage({ gateway: null, channelId: "elsewhere", threadTs: "T9", content: "/echo all" }),
    );
    await expect.poll(() => one.texts()).toEqual(["completed: all"]);
    await idle();
    expect((await store.events(conversationId))[0]?.deliveredAt).toBeUndefined();
    await clock.advance(MINUTE_MS);
    await idle();

    expect(one.sent).toMatchObject([{ channelId: "C-one" }]);
    expect(two.sent).toMatchObject([{ channelId: "C-two", attempt: 2 }]);
    expect(two.sent[0]).not.toHaveProperty("threadTs");
    expect(none.attempted).toEqual([]);
    expect((await store.events(conversationId))[0]?.deliveredAt).toBeTypeOf("number");
  });

  test("a delivery for a gateway that no process runs is visible, waits, and is dead after its limit", async (t) => {
    const location = await create(t);
    const limits = { fallbackPollMs: HOUR_MS };
    const gone = fakeGateway({ name: "gone", failures: Number.POSITIVE_INFINITY });
    const first = await startTestLoop(t, { location, gateways: [gone], workers: [echo] });
    await gone.say("/echo x");
    await first.idle();
    await first.stop();

    const other = fakeGateway({ name: "other" });
    const second = await startTestLoop(t, {
      location,
      gateways: [other],
      workers: [echo],
      clock: first.clock,
      limits,
    });
    await expect
      .poll(() => second.loop.health().unregistered)
      .toEqual([{ gateway: "gone", messages: 0, deliveries: 1 }]);
    expect(await second.store.deadLetters({ limit: 1 })).toEqual([]);

    await second.clock.advance(25 * HOUR_MS);
    await expect.poll(() => second.store.deadLetters({ limit: 1 })).toMatchObject([{ gateway: "gone" }]);
    await expect.poll(() => second.loop.health().unregistered).toEqual([]);
  });

  test("a message for a gateway that no process runs is counted, waits, and is dead after its limit", async (t) => {
    const location = await create(t);
    const before = await openStore(location);
    const ownership = await before.own({ owner: "the one before", gateways: ["gone"], now: 0 });
    const at = { shard: 0, status: "pending", attempts: 0 } as const;
    const { conversationId } = await ownership.accept(aMessage({ gateway: "gone" }), at);
    await before.close();

    const other = fakeGateway({ name: "other" });
    const options = { location, gateways: [other], workers: [echo], limits: { fallbackPollMs: HOUR_MS } };
    const { loop, store, clock } = await startTestLoop(t, options);
    await expect
      .poll(() => loop.health().unregistered, { timeout: 20_000 })
      .toEqual([{ gateway: "gone", messages: 1, deliveries: 0 }]);
    await clock.advance(23 * HOUR_MS);
    expect(await store.deadLetters({ limit: 9 })).toEqual([]);
    await clock.advance(2 * HOUR_MS);

    const dead = [{ conversationId, gateway: "gone" }];
    await expect.poll(() => store.deadLetters({ limit: 9 }), { timeout: 20_000 }).toMatchObject(dead);
    await expect.poll(() => loop.health().unregistered, { timeout: 20_000 }).toEqual([]);
    expect(other.attempted).toEqual([]);
  });
});
