import { expect, test } from "vitest";
import { defineWorker } from "../../core/worker.ts";
import { commandsOf } from "./commands.ts";

const worker = (name: string, more: { command?: string; example: string }) =>
  defineWorker({ name, description: `does ${name}`, handle: async () => undefined, ...more });

test("commands are known with the argument names of their example, and /help is among them", () => {
  const commands = commandsOf([
    worker("create", {
      command: "/task create",
      example: '/task create key=A-1 summary="a=b" url=https://h/?x=1',
    }),
    worker("fallback", { example: "anything" }),
  ]);
  expect(commands.map(({ command, argumentNames }) => [command, argumentNames])).toEqual([
    ["/help", []],
    ["/task create", ["key", "summary", "url"]],
  ]);
});
