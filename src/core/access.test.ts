import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage, aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { type FakeGatewayOptions, fakeGateway } from "../testing/fake-gateway.ts";
import { keptLog } from "../testing/interfered-loop.ts";
import { startTestLoop, type TestLoopOptions } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";
import { SensoriumLoop } from "./sensorium-loop.ts";
import { SHARD_COUNT } from "./shards.ts";

const PATIENTLY = { timeout: 20_000 };
const HOUR_MS = 3_600_000;

const status = aWorker((_message, _args, { emit }) => emit("completed", "well"), {
  name: "status",
  command: "/status",
  isControl: true,
});

async function start(t: TestEnd, options: TestLoopOptions & { gateway?: FakeGatewayOptions }) {
  const gateway = fakeGateway(options.gateway);
  const log = keptLog();
  const workers = options.workers ?? [echo, status];
  const running = await startTestLoop(t, { ...options, gateways: [gateway], workers, log });
  const refusals = () =>
    log.lines.filter(({ message, level }) => message === "message refused" && level === "warn").length;
  return { ...running, gateway, refusals };
}

/** What `say` comes to. */
const code = (said: Promise<unknown>) => said.then(() => "accepted").catch((error) => error.code);

describe.each(databaseKinds)("the allow list of a gateway on $name", ({ create }) => {
  test("closes a public gateway: a stranger is answered once, and nothing of his is worked on", async (t) => {
    const { gateway, store, clock, refusals } = await start(t, {
      location: await create(t),
      gateway: { isPublic: true },
    });
    await store.allowList.add({ gateway: "fake", channelId: "C2" });

    expect(await code(gateway.say("/echo a", { threadTs: "T1" }))).toBe("accepted");
    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(1);
    expect(gateway.sent[0]).toMatchObject({ eventKind: "failed", channelId: "C1", threadTs: "T1" });
    expect(gateway.sent[0]?.content).toContain("robson allow add fake C1");
    for (const say of ["/echo b", "/status", "/help"])
      expect(await code(gateway.say(say))).toBe("CHANNEL_NOT_ALLOWED");
    expect(refusals()).toBe(1);

    await clock.advance(HOUR_MS);
    expect(await code(gateway.say("/echo c"))).toBe("accepted");
    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(2);
    await gateway.say("/echo in", { channelId: "C2" });
    await expect.poll(() => gateway.texts()[2], PATIENTLY).toBe("completed: in");
  });

  test("says nothing to what was merely overheard, and nothing twice where the gateway shows it", async (t) => {
    const { gateway, store } = await start(t, {
      location: await create(t),
      gateway: { isPublic: true, showsRefusals: true },
    });
    for (const more of [{}, { isAddressed: false }])
      expect(await code(gateway.say("/echo a", more))).toBe("CHANNEL_NOT_ALLOWED");

    expect(await store.operator.messages({ limit: 9 })).toEqual([]);
  });

  test("takes effect within a second, also for what waits", async (t) => {
    const release = Promise.withResolvers<void>();
    const begun: string[] = [];
    const slow = aWorker(async ({ content }, _args, { emit }) => {
      begun.push(content);
      await release.promise;
      await emit("completed", content);
    });
    const { gateway, store, clock } = await start(t, {
      location: await create(t),
      gateway: { isPublic: true },
      workers: [slow],
    });
    await store.allowList.add({ gateway: "fake", channelId: "C1" });
    await gateway.say("one", { threadTs: "T1" });
    await gateway.say("two", { threadTs: "T1" });

    await store.allowList.remove({ gateway: "fake", channelId: "C1" });
    await clock.advance(1000);
    release.resolve();
    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(2);

    expect(gateway.texts()[0]).toBe("completed: one");
    expect(gateway.texts()[1]).toMatch(/^failed: I may not work in this channel/);
    expect(begun).toEqual(["one"]);
    await store.allowList.add({ gateway: "fake", channelId: "C1" });
    await clock.advance(1000);
    await gateway.say("three");
    await expect.poll(() => gateway.texts()[2], PATIENTLY).toBe("completed: three");
  });

  test("holds for what another process stored, and for what a crash left behind", async (t) => {
    const location = await create(t);
    const before = await openStore(location);
    const ownership = await before.own({ owner: "the one before", gateways: ["fake"], now: 0 });
    const left = aMessage({ content: "/echo left", threadTs: "T1" });
    await ownership.accept(left, { shard: 0, status: "claimed", attempts: 1 });
    await before.insertUnowned(aMessage({ content: "/echo inserted", threadTs: "T2" }));
    await before.close();

    const { gateway } = await start(t, { location, gateway: { isPublic: true } });

    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(2);
    expect(gateway.sent.map(({ eventKind }) => eventKind)).toEqual(["failed", "failed"]);
  });

  test("is kept by hand: what is added twice is there once", async (t) => {
    const store = await openStore(await create(t));
    t.onTestFinished(() => store.close());
    const channel = { gateway: "telegram", channelId: "42" };

    expect([await store.allowList.add(channel), await store.allowList.add(channel)]).toEqual([true, false]);
    expect(await store.allowList.list()).toMatchObject([channel]);
    expect(await store.allowList.list("slack")).toEqual([]);
    expect(await store.admission.isAllowed(channel)).toBe(true);
    expect([await store.allowList.remove(channel), await store.allowList.remove(channel)]).toEqual([
      true,
      false,
    ]);
    expect(await store.admission.isAllowed(channel)).toBe(false);
  });
});

describe("which gateways are closed", () => {
  const code1 = async (t: TestEnd, gateway: FakeGatewayOptions, access: TestLoopOptions["access"]) => {
    const running = await start(t, {
      gateway: { showsRefusals: true, ...gateway },
      ...(access && { access }),
    });
    return code(running.gateway.say("/echo a"));
  };

  test("public ones are, unless they are opened; others are when they are listed", async (t) => {
    expect(await code1(t, {}, undefined)).toBe("accepted");
    expect(await code1(t, { isPublic: true }, undefined)).toBe("CHANNEL_NOT_ALLOWED");
    expect(await code1(t, { isPublic: true }, { openGateways: ["fake"] })).toBe("accepted");
    expect(await code1(t, {}, { listedGateways: ["fake"] })).toBe("CHANNEL_NOT_ALLOWED");
  });
});

describe.each(databaseKinds)("a limit on messages on $name", ({ create }) => {
  test("refuses one user until his window is over; others, control commands and his first word get through", async (t) => {
    const { gateway, clock, refusals } = await start(t, {
      location: await create(t),
      access: { maxUserMessages: 2, windowSeconds: 60 },
    });
    for (const text of ["/echo 1", "/echo 2", "/echo 3"])
      expect(await code(gateway.say(text, { threadTs: "T1" }))).toBe("accepted");
    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(3);
    const told = gateway.texts().filter((text) => text.startsWith("failed"));
    expect(told).toEqual([
      "failed: That was too much at once: I take 2 messages from one user in 60 s. Send it again in 60 s.",
    ]);

    await clock.advance(20_000);
    const refused = gateway.say("/echo 4");
    await expect(refused).rejects.toMatchObject({ code: "RATE_LIMITED", retryAfterMs: 40_000 });
    await expect(refused).rejects.toThrow("maxUserMessages (2 in 60 s)");
    expect(await code(gateway.say("/status"))).toBe("accepted");
    expect(await code(gateway.say("/echo other", { userId: "U2" }))).toBe("accepted");
    expect(refusals()).toBe(1);

    await clock.advance(40_000);
    expect(await code(gateway.say("/echo 5"))).toBe("accepted");
    await expect.poll(() => gateway.texts(), PATIENTLY).toContain("completed: 5");
  });

  test("of a channel is not used up by a user who is refused himself", async (t) => {
    const { gateway } = await start(t, {
      location: await create(t),
      gateway: { showsRefusals: true },
      access: { maxUserMessages: 1, maxChannelMessages: 3 },
    });
    const say = (userId: string) => code(gateway.say("/echo x", { userId }));

    expect([await say("U1"), await say("U1"), await say("U1"), await say("U1")]).toEqual([
      "accepted",
      ...["RATE_LIMITED", "RATE_LIMITED", "RATE_LIMITED"],
    ]);
    expect([await say("U2"), await say("U3"), await say("U4")]).toEqual([
      "accepted",
      "accepted",
      "RATE_LIMITED",
    ]);
    await expect(gateway.say("/echo x", { userId: "U5" })).rejects.toThrow("maxChannelMessages (3 in 60 s)");
    expect(await code(gateway.say("/echo x", { userId: "U5", channelId: "C2" }))).toBe("accepted");
  });

  test("is counted once however many processes count, and goes on after a restart", async (t) => {
    const location = await create(t);
    const subject = { scope: "user", subject: "x", max: 10 };
    const window = { now: 1_000_000, windowMs: 60_000 };
    const stores = [await openStore(location), await openStore(location)];
    const counts = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        stores[index % 2]?.admission.countRequest([subject, { ...subject, scope: "channel" }], window),
      ),
    );
    for (const store of stores) await store.close();

    const users = counts.map((count) => count?.[0]?.count ?? 0).sort((a, b) => a - b);
    expect(users).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
    const channels = counts.flatMap((count) => count?.[1]?.count ?? []);
    expect(channels.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const again = await openStore(location);
    t.onTestFinished(() => again.close());
    expect(await again.admission.countRequest([subject], { ...window, now: 1_059_999 })).toEqual([
      { count: 41, windowStartedAt: 1_000_000 },
    ]);
    expect(await again.admission.countRequest([subject], { ...window, now: 1_060_000 })).toEqual([
      { count: 1, windowStartedAt: 1_060_000 },
    ]);
  });

  test("keeps the messages of a thread in their order", async (t) => {
    const { gateway } = await start(t, {
      location: await create(t),
      access: { maxUserMessages: 1000, maxChannelMessages: 1000 },
    });
    const texts = Array.from({ length: 50 }, (_, index) => `/echo ${index}`);
    await Promise.all(texts.map((text) => gateway.say(text, { threadTs: "T1" })));

    await expect.poll(() => gateway.sent.length, PATIENTLY).toBe(50);
    expect(gateway.sent.map(({ content }) => `/echo ${content}`)).toEqual(texts);
  });
});

test("a refusal is answered once also where the thread is another process's", async (t) => {
  const location = (await databaseKinds[1]?.create(t)) ?? "";
  const one = await start(t, { location, gateway: { isPublic: true } });
  const other = await start(t, { location, gateway: { isPublic: true } });
  const shares = async () =>
    (await one.store.operator.processes()).map(({ gateways }) => gateways[0]?.shards);
  await expect.poll(shares, PATIENTLY).toEqual([SHARD_COUNT / 2, SHARD_COUNT / 2]);
  const channels = Array.from({ length: 24 }, (_, index) => `C${index}`);

  for (const channelId of channels) {
    expect(await code(one.gateway.say("/echo a", { channelId }))).toBe("accepted");
    expect(await code(other.gateway.say("/echo a", { channelId }))).toBe("CHANNEL_NOT_ALLOWED");
  }

  const sent = () => [...one.gateway.sent, ...other.gateway.sent];
  const look = async () => {
    await Promise.all([one.clock.advance(1000), other.clock.advance(1000)]);
    return sent().length;
  };
  await expect.poll(look, PATIENTLY).toBe(channels.length);
  expect(
    sent()
      .map(({ channelId }) => channelId)
      .sort(),
  ).toEqual(channels.sort());
  expect(other.gateway.sent.length).toBeGreaterThan(0);
  await expect.poll(() => one.store.admission.countOpen(99), PATIENTLY).toBe(0);
});

test("whoever sits at the machine is not counted", async (t) => {
  const { gateway } = await start(t, { gateway: { isLocal: true }, access: { maxUserMessages: 1 } });

  for (const text of ["/echo 1", "/echo 2", "/echo 3"])
    expect(await code(gateway.say(text))).toBe("accepted");
});

test("without rules nothing is asked of the database", async (t) => {
  const store = await openStore((await databaseKinds[0]?.create(t)) ?? "");
  const asked: string[] = [];
  const refuse = (what: string) => async () => {
    asked.push(what);
    throw new Error("not to be asked");
  };
  const admission = {
    countOpen: async () => 0,
    isAllowed: refuse("isAllowed"),
    countRequest: refuse("countRequest"),
  };
  const loop = new SensoriumLoop({ store: { ...store, admission } });
  const gateway = fakeGateway();
  loop.registerWorker(echo);
  loop.registerGateway(gateway);
  t.onTestFinished(async () => {
    await loop.stop();
    await store.close();
  });
  await loop.start();

  await gateway.say("/echo a");

  await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["completed: a"]);
  expect(asked).toEqual([]);
});
