/** What a worker reports beyond a limit, or without a word: whoever reads it is told what to do, and which setting of `robson.toml` it was. */
import { expect, onTestFinished, test } from "vitest";
import { aWorker } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { byteLength } from "./text.ts";

const MAX_BYTES = 1000;

test("an answer that is too long arrives as far as it may, and names the setting", async (t) => {
  const gateway = fakeGateway();
  const worker = aWorker((_message, _args, { emit }) => emit("completed", "ü".repeat(MAX_BYTES)));
  const limits = { maxContentBytes: MAX_BYTES };
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [worker], limits });

  await gateway.say("go");
  await idle();

  const [answer] = gateway.texts();
  expect(answer).toMatch(/ü\n… \(cut: limits\.max_content_bytes is 1000\)$/);
  expect(byteLength(gateway.sent[0]?.content ?? "")).toBeLessThanOrEqual(MAX_BYTES);
});

test("a worker that reports too often fails, and names the setting", async (t) => {
  const gateway = fakeGateway();
  const worker = aWorker(async (_message, _args, { emit }) => {
    for (let index = 0; index < 10; index += 1) await emit("progress", `${index}`);
  });
  const limits = { maxEventsPerMessage: 3 };
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [worker], limits });

  await gateway.say("go");
  await idle();

  const texts = gateway.texts();
  expect(texts.slice(0, 3)).toEqual(["progress: 0", "progress: 1", "progress: 2"]);
  expect(texts).toHaveLength(4);
  expect(texts[3]).toMatch(/^failed: .*more than 3 events.*limits\.max_events_per_message/s);
});

test.each(["completed", "progress"] as const)("an event without any text is refused: %s", async (kind) => {
  const gateway = fakeGateway();
  const worker = aWorker((_message, _args, { emit }) => emit(kind, " \n"));
  const { idle, store } = await startTestLoop({ onTestFinished }, { gateways: [gateway], workers: [worker] });

  await gateway.say("go");
  await idle();

  expect(gateway.texts()).toEqual([
    expect.stringMatching(/^failed: .*Cannot emit an event without any text\nSay what there is to say/s),
  ]);
  expect(await store.deadLetters({ limit: 9 })).toHaveLength(1);
});
