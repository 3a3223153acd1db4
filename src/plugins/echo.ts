/** `/echo text` answers with the text: the smallest worker, to see that a message goes the whole way. */
import { defineWorker } from "../core/worker.ts";

export const echo = defineWorker({
  name: "echo",
  description: "Answers with the same text",
  example: "/echo hello",
  command: "/echo",
  async handle(_message, _args, { emit, text }) {
    await emit("completed", text === "" ? "Say something after `/echo`, and it comes back." : text);
  },
});
