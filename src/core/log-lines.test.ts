/** The log: one line for each change of status, with the ids by which the records are found. */
import { expect, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { DeliveryError, WorkerError } from "./errors.ts";
import type { Logger } from "./logger.ts";

interface Line {
  level: keyof Logger;
  text: string;
  conversationId?: number;
  eventId?: number;
  deliveryId?: string;
  gateway?: string;
  attempts?: number;
  stack?: string;
}

function aLog() {
  const lines: Line[] = [];
  const at = (level: keyof Logger) => (fields: object, text: string) => {
    lines.push({ level, text, ...fields });
  };
  const log: Logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  /** Sorted: what concerns the message and what its delivery may come in either order. */
  const about = (conversationId: number) =>
    lines
      .filter((line) => line.conversationId === conversationId)
      .map(({ level, text, eventId, deliveryId, attempts = "" }) => {
        const of = deliveryId === undefined ? "" : ` of event ${eventId}`;
        return `${level}: ${text}${of} ${attempts}`.trim();
      })
      .sort();
  return { log, lines, about };
}

test("an error that is none of ours is told with the place where it was thrown", async (t) => {
  const { log, lines } = aLog();
  const boom = () => {
    throw new TypeError("boom");
  };
  const gateway = fakeGateway({ onSend: boom });
  const throwing = aWorker(boom, { command: "/throw", name: "throwing" });
  const failing = aWorker(() => Promise.reject(new WorkerError("no", { retry: "never" })));
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [throwing, failing], log });

  await gateway.say("/throw");
  await gateway.say("fail");
  await idle();

  const stackAt = (wanted: string, id: number) =>
    lines.find(({ text, conversationId }) => text === wanted && conversationId === id)?.stack;
  expect(stackAt("message attempt failed", 1)).toContain("log-lines.test.ts");
  expect(stackAt("message dead", 2)).toBeUndefined();
  expect(stackAt("delivery attempt failed", 2)).toContain("log-lines.test.ts");
});

test("what goes well is told from the acceptance to the delivery, each time with its ids", async (t) => {
  const { log, lines, about } = aLog();
  const gateway = fakeGateway();
  const workers = [aWorker(async (_message, _args, { emit }) => emit("completed", "well"))];
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers, log });
  await gateway.say("go");
  await idle();

  expect(about(1)).toEqual([
    "debug: delivery attempt begins of event 1 1",
    "debug: message accepted",
    "debug: message attempt begins 1",
    "info: delivered of event 1 1",
    "info: message done 1",
  ]);
  for (const line of lines.filter(({ conversationId }) => conversationId === 1))
    expect(line.gateway).toBe("fake");
  expect(lines.find(({ text }) => text === "delivered")?.deliveryId).toBe(gateway.sent[0]?.id);
});

test("failed attempts, dead letters and what a person stops are told, and no text of a message is", async (t) => {
  const { log, lines, about } = aLog();
  const gateway = fakeGateway({
    failures: 2,
    failWith: ({ attempt }) =>
      new DeliveryError("the channel is gone", { retry: attempt === 1 ? "later" : "never" }),
  });
  const workers = [
    aWorker(async () => Promise.reject(new Error("boom")), { name: "fail", pattern: "^fail" }),
    aWorker(() => new Promise(() => undefined), { name: "hang", pattern: "^hang" }),
  ];
  const limits = { maxMessageAttempts: 2 };
  const { loop, idle, clock } = await startTestLoop(t, { gateways: [gateway], workers, log, limits });
  await gateway.say("fail with a secret", { threadTs: "T1" });
  await idle();
  for (let second = 0; second < 3; second += 1) {
    await clock.advance(1000);
    await idle();
  }
  const { conversationId } = await gateway.say("hang with a secret", { threadTs: "T2" });
  await expect.poll(() => loop.control?.openMessages()[0]?.state).toBe("running");
  loop.control?.stop(conversationId, "ada");
  await idle();

  expect(about(1)).toEqual([
    "debug: delivery attempt begins of event 1 1",
    "debug: delivery attempt begins of event 1 2",
    "debug: message accepted",
    "debug: message attempt begins 1",
    "debug: message attempt begins 2",
    "error: delivery dead of event 1 2",
    "error: message dead 2",
    "warn: delivery attempt failed of event 1 1",
    "warn: message attempt failed 1",
  ]);
  expect(about(2)).toContain("info: message stopped 1");
  expect(JSON.stringify(lines)).not.toContain("secret");
});

test("what a stop hands back is told, and a worker that goes on all the same", async (t) => {
  const location = `${await temporaryFolder(t)}/robson.db`;
  const { log, lines, about } = aLog();
  const stuck = fakeGateway({ onSend: () => new Promise(() => undefined) });
  const workers = [
    aWorker(() => new Promise(() => undefined), { name: "hang", pattern: "^hang" }),
    aWorker(async (_message, _args, { emit }) => emit("completed", "well"), { name: "do", pattern: "^do" }),
  ];
  const first = await startTestLoop(t, { location, gateways: [stuck], workers, log });
  await stuck.say("hang", { threadTs: "T1" });
  await stuck.say("do", { threadTs: "T2" });
  await expect.poll(() => stuck.attempted.length).toBe(1);
  await first.stop();

  // The attempt does not count.
  expect(about(1)).toContain("info: message handed back 0");
  expect(about(2)).toContain("info: delivery handed back of event 1 1");
  expect(lines.find(({ text }) => text === "worker goes on although its signal was aborted")).toMatchObject({
    conversationId: 1,
  });
});
