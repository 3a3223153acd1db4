import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import { commandHelpText } from "./help.ts";
import { defineWorker } from "./worker.ts";

const review = defineWorker({
  name: "review",
  description: "Reviews a pull request",
  example: "/review 42",
  command: "/review",
  args: z.object({
    pr: z.coerce.number().int().positive().describe("its number"),
    depth: z.enum(["shallow", "deep"]).default("shallow"),
    dryRun: z.boolean().optional(),
  }),
  async handle(_message, args, { emit }) {
    expectTypeOf(args.pr).toBeNumber();
    await emit("completed", JSON.stringify(args));
  },
});

async function answersTo(t: Parameters<typeof startTestLoop>[0], ...contents: string[]): Promise<string[]> {
  const gateway = fakeGateway();
  const { idle } = await startTestLoop(t, { gateways: [gateway], workers: [review] });
  for (const content of contents) {
    await gateway.say(content);
    await idle();
  }
  return gateway.texts();
}

test("a worker with a schema gets its arguments typed, however they are written", async (t) => {
  const answers = await answersTo(
    t,
    "/review 42",
    "/review pr=7 depth=deep",
    "<@U1> /review --pr 9 --dry-run",
    "/review “5” --depth=deep",
  );

  expect(answers).toEqual([
    'completed: {"pr":42,"depth":"shallow"}',
    'completed: {"pr":7,"depth":"deep"}',
    'completed: {"pr":9,"depth":"shallow","dryRun":true}',
    'completed: {"pr":5,"depth":"deep"}',
  ]);
});

test("arguments that are missing or wrong are answered with what is wrong and the usage, and nothing is run", async (t) => {
  const answers = await answersTo(t, "/review", "/review 42 depth=shalow", "/review 42 --dept deep");

  expect(answers).toHaveLength(3);
  for (const answer of answers) expect(answer).toMatch(/^failed: [\s\S]*Usage: `\/review <pr>/);
  expect(answers[0]).toContain("pr");
  expect(answers[1]).toContain("shalow");
  expect(answers[1]).toContain("deep");
  expect(answers[2]).toContain("depth");
});

test("/help with a command shows its usage and each of its arguments", async (t) => {
  const [answer] = await answersTo(t, "/help review");

  expect(answer).toContain("`/review <pr> [--depth shallow|deep] [--dry-run]` — Reviews a pull request");
  expect(answer).toContain("its number");
});

test("/help with the first word of several commands shows them all, and with an unknown one the nearest", () => {
  const task = (name: string) =>
    defineWorker({
      ...{ name: `task-${name}`, description: `Tasks: ${name}`, example: "?", command: `/task ${name}` },
      args: z.object({ key: z.string() }),
      handle: async () => undefined,
    });
  const workers = [review, task("create"), task("list")];

  expect(commandHelpText(workers, "Task")).toBe(
    "`/task create <key>` — Tasks: create\n`/task list <key>` — Tasks: list",
  );
  expect(commandHelpText(workers, "/task  list")).toContain("\n`key` — a text");
  expect(commandHelpText(workers, "rewiew")).toBe(
    'I know no command "/rewiew". Did you mean `/review`? `/help` lists what I understand.',
  );
});

test("what matches nothing is answered with the nearest command, once in a thread", async (t) => {
  const answers = await answersTo(t, "/revew 42", "/revew 43");

  expect(answers).toEqual([expect.stringContaining("Did you mean `/review`?")]);
});

test("args without a command are refused where the worker is defined", () => {
  const wrong = {
    name: "w",
    description: "d",
    example: "e",
    args: z.object({}),
    handle: async () => undefined,
  };

  expect(() => defineWorker(wrong)).toThrow(/it has args but no command/);
});
