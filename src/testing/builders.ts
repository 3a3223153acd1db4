/** What tests say about workers and messages only where it matters. */
import type { LoopControl } from "../core/control.ts";
import type { Delivery } from "../core/message-event.ts";
import type { NewMessage } from "../core/store.ts";
import { defineWorker, type Worker } from "../core/worker.ts";

/** Answers `/echo text` with the text. */
export const echoWorker = defineWorker({
  name: "echo",
  description: "Answers with the text",
  example: "/echo hello",
  command: "/echo",
  async handle(_message, _args, { emit, text }) {
    await emit("completed", text);
  },
});

/** A fallback worker, unless `more` gives it a pattern or a command. */
export function aWorker(handle: Worker["handle"], more: Partial<Worker> = {}): Worker {
  return { name: "w", description: "Does as the test says", example: "anything", handle, ...more };
}

let messageCount = 0;

/** A message as a gateway's would be stored. */
export function aMessage(more: Partial<NewMessage> = {}): NewMessage {
  messageCount += 1;
  return {
    id: `00000000-0000-4000-8000-${String(messageCount).padStart(12, "0")}`,
    gateway: "fake",
    channelId: "C1",
    threadTs: "",
    userId: "U1",
    role: "user",
    content: "hello",
    isAddressed: true,
    idempotencyKey: null,
    createdAt: Date.UTC(2030, 0, 1),
    ...more,
  };
}

/** A delivery as a gateway's `send` gets it. */
export function aDelivery(more: Partial<Delivery> = {}): Delivery {
  return {
    kind: "delivered",
    id: "0b2f6a52-6b39-4a60-9d8a-2f7f6a0a3c11",
    content: "done",
    channelId: "C1",
    userId: "U1",
    conversationId: 7,
    gateway: "fake",
    target: more.channelId ?? "C1",
    eventId: 21,
    eventKind: "completed",
    attempt: 1,
    createdAt: Date.UTC(2030, 0, 1),
    ...more,
  };
}

/** The control of a loop in which nothing is open. */
export const idleControl: LoopControl = {
  health: () => ({ isReady: true, gateways: [], openMessages: 0, openDeliveries: 0, unregistered: [] }),
  openMessages: () => [],
  stop: () => false,
};
