import { expect, test } from "vitest";
import * as z from "zod";
import { defineWorker, type Worker } from "../../core/worker.ts";
import { completionsAt } from "../../gateways/tui/completion.ts";
import { commandsOf } from "./commands.ts";

const asker = { gateway: "tui", channelId: "tui", threadTs: "T1", userId: "ada" };

const worker = (name: string, more: { command?: string; example: string }) =>
  defineWorker({ name, description: `does ${name}`, handle: async () => undefined, ...more });

test("commands are known with the argument names of their example, and /help is among them", () => {
  const commands = commandsOf(
    [
      worker("create", {
        command: "/task create",
        example: '/task create key=A-1 summary="a=b" url=https://h/?x=1',
      }),
      worker("fallback", { example: "anything" }),
    ],
    asker,
  );
  expect(commands.map(({ command, argumentNames }) => [command, argumentNames])).toEqual([
    ["/help", []],
    ["/task create", ["key", "summary", "url"]],
  ]);
});

test("a command with typed arguments is known with all of them, and with the usage of its schema", () => {
  const commands = commandsOf(
    [
      defineWorker({
        ...{ name: "review", description: "Reviews", example: "/review 12", command: "/review" },
        args: z.object({
          pr: z.number(),
          depth: z.enum(["shallow", "deep"]).default("deep"),
          dryRun: z.boolean().default(false),
          note: z.string().optional().meta({ "x-rest": true }),
        }),
        handle: async () => undefined,
      }),
    ],
    asker,
  );
  const candidates = (text: string) =>
    completionsAt({ text, cursor: text.length }, commands).candidates.map(({ insert }) => insert);

  expect(commands[1]?.argumentNames).toEqual(["pr", "depth", "--dry-run"]);
  expect(commands[1]?.usage).toBe("/review <pr> [--depth shallow|deep] [--dry-run] [note]");
  expect(candidates("/review ")).toEqual(["pr=", "depth=", "--dry-run "]);
  expect(candidates("/review pr=1 --")).toEqual(["--dry-run "]);
  expect(candidates("/review --dry-run d")).toEqual(["depth=", "deep "]);
  expect(candidates("/review depth=")).toEqual(["depth=shallow ", "depth=deep "]);
  expect(candidates("/review --Depth=S")).toEqual(["--Depth=shallow "]);
  expect(candidates("/review depth=deep sh")).toEqual([]);
  expect(candidates("/review pr=")).toEqual([]);
});

test("what the person may not use is not offered, as /help does not list it", () => {
  const only = (mayUse: Worker["mayUse"]) => ({
    ...worker("close", { command: "/close", example: "/close" }),
    ...(mayUse && { mayUse }),
  });
  const offered = (mayUse: Worker["mayUse"]) =>
    commandsOf([only(mayUse)], asker).map(({ command }) => command);

  expect(offered(({ userId, gateway }) => userId === "ada" && gateway === "tui")).toEqual([
    "/help",
    "/close",
  ]);
  expect(offered(({ userId }) => userId === "bob")).toEqual(["/help"]);
  expect(
    offered(() => {
      throw new Error("no list");
    }),
  ).toEqual(["/help"]);
});
