import { describe, expect, test } from "vitest";
import { aWorker, echoWorker as echo } from "../testing/builders.ts";
import { databaseKinds } from "../testing/databases.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { Asker } from "./worker.ts";

const HINT = expect.stringContaining("`/help` lists what I understand");

describe("a worker with mayUse", () => {
  const asked: Asker[] = [];
  const ran: string[] = [];
  const forAnn = aWorker(async ({ userId }) => void ran.push(userId), {
    name: "deploy",
    command: "/deploy",
    example: "/deploy production",
    mayUse: (asker) => {
      asked.push(asker);
      return asker.userId === "Ann";
    },
  });

  test("is listed by /help to nobody but those who may use it", async (t) => {
    const gateway = fakeGateway();
    const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [forAnn, echo] });

    await gateway.say("/help", { userId: "Bob" });
    await gateway.say("/help", { userId: "Ann" });
    await idle();

    const [forBob, toAnn] = gateway.sent.map(({ content }) => content);
    expect(forBob).toContain("/echo");
    expect(forBob).not.toContain("/deploy");
    expect(toAnn).toContain("/deploy production");
  });

  test("is not run for anyone else, who is told so once and not tried again", async (t) => {
    const gateway = fakeGateway();
    const { idle, store } = await startTestLoop(t, { gateways: [gateway], workers: [forAnn] });
    ran.length = 0;
    asked.length = 0;

    await gateway.say("/deploy", { userId: "Bob", threadTs: "T1" });
    await idle();
    expect(gateway.texts()).toEqual([expect.stringMatching(/^failed: You may not use this here/)]);
    expect(ran).toEqual([]);
    expect(asked).toMatchObject([{ userId: "Bob", gateway: "fake", channelId: "C1", threadTs: "T1" }]);
    expect(await store.deadLetters({ limit: 9 })).toEqual([]);

    await gateway.say("/deploy", { userId: "Ann", threadTs: "T1" });
    await idle();
    expect(ran).toEqual(["Ann"]);
  });

  test("is passed over where another one that matches may be used", async (t) => {
    const gateway = fakeGateway();
    const fallback = aWorker(async (_message, _args, { emit }) => emit("completed", "I listen to all"));
    const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [forAnn, fallback] });
    ran.length = 0;

    await gateway.say("/deploy", { userId: "Bob" });
    await idle();

    expect(ran).toEqual([]);
    expect(gateway.texts()).toEqual(["completed: I listen to all"]);
  });

  test.for<[string, () => unknown]>([
    ["a promise", async () => false],
    ["a promise", () => Promise.reject(new Error("nobody is asked"))],
    ["undefined", () => undefined],
  ])(
    "whose mayUse answers with %s is run for nobody, and takes nothing from /help",
    async ([what, answer], t) => {
      const gateway = fakeGateway();
      const open = aWorker(async () => void ran.push("anyone"), {
        name: "open",
        command: "/open",
        mayUse: answer as never,
      });
      const { idle, store } = await startTestLoop(t, { gateways: [gateway], workers: [open, echo] });
      ran.length = 0;

      await gateway.say("/open");
      await idle();
      await gateway.say("/help");
      await idle();

      expect(ran).toEqual([]);
      const lastError = `mayUse() of worker "open" has answered ${what}, not true or false`;
      expect(await store.conversation(1)).toMatchObject({ status: "dead", lastError });
      expect(gateway.texts()[1]).toContain("/echo hello");
    },
  );

  test("whose mayUse throws is not run, and the message is a dead letter", async (t) => {
    const gateway = fakeGateway();
    let runs = 0;
    const broken = aWorker(
      async () => {
        runs += 1;
      },
      {
        mayUse: () => {
          throw new Error("the directory is away");
        },
      },
    );
    const { idle, store } = await startTestLoop(t, { gateways: [gateway], workers: [broken] });

    await gateway.say("go");
    await idle();

    expect(runs).toBe(0);
    expect(await store.deadLetters({ limit: 9 })).toMatchObject([{ lastError: "the directory is away" }]);
  });
});

describe.each(databaseKinds)("a message that nobody understands, on $name", ({ create }) => {
  test("is answered with a hint once in its thread, also after a restart", async (t) => {
    const location = await create(t);
    const gateway = fakeGateway();
    const first = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });
    await gateway.say("what?", { threadTs: "T1" });
    await gateway.say("hello?", { threadTs: "T1" });
    await gateway.say("what?", { threadTs: "T2" });
    await first.idle();
    expect(gateway.sent.toSorted((a, b) => a.conversationId - b.conversationId)).toMatchObject([
      { threadTs: "T1", content: HINT },
      { threadTs: "T2", content: HINT },
    ]);
    await first.stop();

    const again = fakeGateway();
    const second = await startTestLoop(t, { location, gateways: [again], workers: [echo] });
    await again.say("anyone?", { threadTs: "T1" });
    await again.say("anyone?", { threadTs: "T3" });
    await second.idle();

    expect(again.sent).toMatchObject([{ threadTs: "T3", content: HINT }]);
    expect(second.loop.health().openMessages).toBe(0);
  });

  test("uses up no hint when it was merely overheard", async (t) => {
    const gateway = fakeGateway();
    const location = await create(t);
    const { idle } = await startTestLoop(t, { location, gateways: [gateway], workers: [echo] });

    await gateway.say("chatter", { isAddressed: false });
    await idle();
    expect(gateway.sent).toEqual([]);
    await gateway.say("and you?");
    await idle();

    expect(gateway.sent).toMatchObject([{ content: HINT }]);
  });
});
