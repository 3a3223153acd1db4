/** What tests say about workers and messages only where it matters. */
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
