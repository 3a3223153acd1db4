import { expect, test } from "vitest";
import { defineWorker } from "../../core/worker.ts";
import { startTestLoop } from "../../testing/start-test-loop.ts";
import type { ShownEvent } from "./conversation.ts";
import { tuiGateway } from "./index.ts";

const report = defineWorker({
  name: "report",
  description: "reports",
  example: "/report",
  command: "/report",
  async handle(_message, _args, { emit, text }) {
    await emit("progress", "half");
    await emit("completed", `all of ${text}`);
  },
});

test("a line is a message of this session's thread, and its events are shown in order", async (t) => {
  const gateway = tuiGateway({ threadTs: "T1", userId: "ada" });
  const shown: ShownEvent[] = [];
  gateway.attach(async (event) => void shown.push(event));
  const { store, idle } = await startTestLoop(t, { gateways: [gateway], workers: [report] });

  const { conversationId } = await gateway.say({ content: "/report it", idempotencyKey: "s:1" });
  await idle();

  expect(shown.map(({ kind, content }) => [kind, content])).toEqual([
    ["progress", "half"],
    ["completed", "all of it"],
  ]);
  expect(await store.conversation(conversationId)).toMatchObject({
    gateway: "tui",
    channelId: "tui",
    threadTs: "T1",
    userId: "ada",
    isAddressed: true,
  });
});

test("a line that is handed over twice runs once", async (t) => {
  const gateway = tuiGateway({ threadTs: "T1", userId: "ada" });
  const shown: ShownEvent[] = [];
  gateway.attach(async (event) => void shown.push(event));
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [report] });

  await gateway.say({ content: "/report it", idempotencyKey: "s:1" });
  const second = await gateway.say({ content: "/report it", idempotencyKey: "s:1" });
  await idle();

  expect(second.isDuplicate).toBe(true);
  expect(shown).toHaveLength(2);
});

test("an answer that nobody looks at waits for the next terminal", async (t) => {
  const gateway = tuiGateway({ threadTs: "T1", userId: "ada" });
  const { idle, clock } = await startTestLoop(t, { gateways: [gateway], workers: [report] });
  await gateway.say({ content: "/report it", idempotencyKey: "s:1" });
  await idle();

  const shown: ShownEvent[] = [];
  gateway.attach(async (event) => void shown.push(event));
  await clock.advance(60_000);
  await idle();

  expect(shown.at(-1)).toMatchObject({ kind: "completed", content: "all of it" });
});
