/** That a message is to be stopped is stored: whichever process has it ends it, and a crash in between changes nothing. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { openStore } from "../store/open-store.ts";
import { aMessage, aWorker } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { createDatabase } from "../testing/postgres/database.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { TestEnd } from "../testing/temporary-folder.ts";

const PATIENTLY = { timeout: 20_000, interval: 10 };
/** Where each look moves the clock: no faster than the database can follow. */
const PACED = { timeout: 30_000, interval: 200 };
const HOUR_MS = 3_600_000;

/** Works until its signal is aborted. */
function endless() {
  const begun: string[] = [];
  const worker = aWorker(
    async ({ content }, _args, { signal }) => {
      begun.push(content);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
    { name: "endless" },
  );
  return { worker, begun };
}

async function anotherStore(t: TestEnd, location: string) {
  const store = await openStore(location);
  t.onTestFinished(() => store.close());
  return store;
}

describe.each(databaseKinds)("a stop that another process asks for, on $name", ({ create }) => {
  test("ends a message that runs, one behind it, and one that waits for its retry", async (t) => {
    const location = await create(t);
    const { worker, begun } = endless();
    const failing = aWorker(async () => Promise.reject(new Error("not now")), {
      name: "failing",
      command: "/fail",
    });
    const gateway = fakeGateway();
    const running = await startTestLoop(t, { location, gateways: [gateway], workers: [worker, failing] });
    const other = await anotherStore(t, location);
    const failed = await gateway.say("/fail", { threadTs: "T1" });
    await running.idle();
    const first = await gateway.say("first", { threadTs: "T2" });
    const second = await gateway.say("second", { threadTs: "T2" });
    await expect.poll(() => begun, PATIENTLY).toEqual(["first"]);

    for (const { conversationId } of [second, failed, first])
      expect(await other.requestStop(conversationId, "Ann")).toBe(true);
    // A wake-up may be lost; the fallback poll is not.
    await expect
      .poll(async () => {
        await running.clock.advance(5000);
        return gateway.sent.filter(({ content }) => content === "Stopped by Ann.").length;
      }, PACED)
      .toBe(3);
    await running.clock.advance(HOUR_MS);
    await running.idle();

    expect(begun).toEqual(["first"]);
    expect(gateway.sent).toHaveLength(3);
    expect(running.loop.health().openMessages).toBe(0);
    for (const { conversationId } of [second, failed, first]) {
      expect(await other.conversation(conversationId)).toMatchObject({ status: "done", stoppedBy: null });
      expect(await other.requestStop(conversationId, "Bob")).toBe(false);
    }
  });

  test("ends what runs while memory is full, and what is beyond it before it is begun", async (t) => {
    const location = await create(t);
    const { worker, begun } = endless();
    const gateway = fakeGateway();
    const running = await startTestLoop(t, {
      location,
      gateways: [gateway],
      workers: [worker],
      limits: { maxLoaded: 2 },
    });
    // What is stored before memory is live comes into it by whole pages, whatever room there is.
    await running.idle();
    const other = await anotherStore(t, location);
    const ids: number[] = [];
    for (const content of ["a", "b", "c"])
      ids.push((await gateway.say(content, { threadTs: content })).conversationId);
    await expect.poll(() => begun.toSorted(), PATIENTLY).toEqual(["a", "b"]);

    for (const id of ids.toReversed()) await other.requestStop(id, "Ann");

    await expect
      .poll(async () => {
        await running.clock.advance(5000);
        return gateway.texts();
      }, PACED)
      .toEqual(Array.from({ length: 3 }, () => "failed: Stopped by Ann."));
    expect(begun.toSorted()).toEqual(["a", "b"]);
  });

  test("is kept through a crash of the process that has the message: the next one does not run it", async (t) => {
    const location = await create(t);
    await crashedWith(location, "work");
    const store = await anotherStore(t, location);
    const [message] = await store.operator.messages({ limit: 1 });
    const id = message?.conversationId ?? 0;
    expect(await store.requestStop(id, "Ann")).toBe(true);
    expect(await store.conversation(id)).toMatchObject({ status: "claimed", stoppedBy: "Ann" });

    const { worker, begun } = endless();
    const gateway = fakeGateway();
    const { idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [worker] });
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["failed: Stopped by Ann."]);
    await idle();

    expect(begun).toEqual([]);
    expect(await store.conversation(id)).toMatchObject({ status: "done" });
    expect(await store.deadLetters({ limit: 9 })).toEqual([]);
  });

  test("of a message that nobody has taken yet ends it before it is begun", async (t) => {
    const location = await create(t);
    const store = await anotherStore(t, location);
    const { conversationId } = await store.insertUnowned(aMessage({ content: "work" }));
    expect(await store.requestStop(conversationId, "Ann")).toBe(true);
    const { worker, begun } = endless();
    const gateway = fakeGateway();

    const { idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [worker] });
    await expect.poll(() => gateway.texts(), PATIENTLY).toEqual(["failed: Stopped by Ann."]);
    await idle();

    expect(begun).toEqual([]);
    expect(await store.requestStop(4711, "Ann")).toBe(false);
  });
});

test("of two processes on PostgreSQL the one that has the message ends it, whichever is asked", async (t) => {
  const { url: location } = await createDatabase(t);
  const join = async () => {
    const { worker, begun } = endless();
    const gateway = fakeGateway();
    const loop = await startTestLoop(t, { location, gateways: [gateway], workers: [worker] });
    return { ...loop, gateway, begun };
  };
  const members = [await join(), await join()] as const;
  const [first, second] = members;
  const threads = Array.from({ length: 8 }, (_, index) => `T${index}`);
  const ids: number[] = [];
  for (const threadTs of threads) ids.push((await first.gateway.say(threadTs, { threadTs })).conversationId);
  await expect.poll(() => first.begun.length + second.begun.length, PATIENTLY).toBe(threads.length);

  // Neither knows which are its own.
  for (const [index, id] of ids.entries())
    expect(await members[index % 2 === 0 ? 0 : 1].store.requestStop(id, "Ann")).toBe(true);

  const answers = () => members.flatMap(({ gateway }) => gateway.texts());
  await expect.poll(() => answers().length, PATIENTLY).toBe(threads.length);
  expect(new Set(answers())).toEqual(new Set(["failed: Stopped by Ann."]));
  await Promise.all(members.map(({ idle }) => idle()));
  for (const { loop } of members) expect(loop.health().openMessages).toBe(0);
});

/** A process that is killed in the middle of a message. */
async function crashedWith(location: string, content: string): Promise<void> {
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const script = `
    const { openStore } = await import(${url("../store/open-store.ts")});
    const { SensoriumLoop } = await import(${url("./sensorium-loop.ts")});
    const { fakeGateway } = await import(${url("../testing/fake-gateway.ts")});
    const gateway = fakeGateway();
    const loop = new SensoriumLoop({ store: await openStore(${JSON.stringify(location)}) });
    loop.registerGateway(gateway);
    loop.registerWorker({ name: "endless", description: "d", example: "e",
      handle: () => { process.kill(process.pid, "SIGKILL"); return new Promise(() => undefined); } });
    await loop.start();
    await gateway.say(${JSON.stringify(content)});
    await new Promise(() => undefined);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await once(child, "exit");
}
