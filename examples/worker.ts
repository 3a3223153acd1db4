/** A worker in ten lines, as a plugin: `/shout hello` answers HELLO. */
import { definePlugin, defineWorker } from "robson";

export const shout = defineWorker({
  name: "shout",
  description: "Says it louder",
  example: "/shout hello",
  command: "/shout",
  async handle(_message, _args, { emit, text }) {
    await emit("completed", text.toUpperCase() || "SHOUT WHAT?");
  },
});

export const plugin = definePlugin({ name: "shout", setup: (host) => host.registerWorker(shout) });
