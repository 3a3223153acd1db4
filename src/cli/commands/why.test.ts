/** `robson why` as a process of its own: by the key of a task, and with the workers of plugins. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { aFolder, robson } from "../robson-process.fixture.ts";

const PLUGIN = `
export const plugin = {
  name: "greeter",
  setup(host) {
    host.registerWorker({
      name: "greet", description: "Greets", example: "/greet", command: "/greet",
      async handle(_message, _args, { emit }) { await emit("completed", "Good day"); },
    });
    host.registerGateway({ name: "nowhere", async start() { throw new Error("it was started"); }, async send() {} });
  },
};
`;

test("a task is told by its key, however it is written, with every message that names it", async () => {
  const cwd = aFolder({
    "robson.toml": "limits.max_message_attempts = 1\nworkflow.allow_file_repositories = true\n",
  });
  const url = `file://${cwd}/absent.git`;
  await robson(cwd, "task", "create", "--key", "ABC-1", "--summary", "Do it", "--repo-url", url);
  const before = await robson(cwd, "why", "ABC-1");
  await robson(cwd, "run");

  const after = await robson(cwd, "why", "abc-1");

  expect(before).toMatchObject({ stderr: "", exitCode: 0 });
  expect(before.stdout).toMatch(
    /^Task ABC-1: "Do it"\n {2}Stored .*\n {2}Not begun yet\n {2}Repository .*absent.git: pending\n {2}Now: pending; `robson run-task ABC-1` begins it\n$/,
  );
  expect(after.stdout).toMatch(
    /^ {2}Never begun\n {2}Ended .*\n {2}Error: Cannot run the agent "scripted": it has no script$/m,
  );
  expect(after.stdout).toMatch(/^ {2}Now: failed$/m);
  expect(after.stdout).toMatch(/^message-1: "\/run-task ABC-1"\n {2}Received .* through gateway "cli"/m);
  expect(after.stdout).toContain('Matched by the command /run-task, of worker "run-task"');
  const [task, message] = (await robson(cwd, "why", "--json", "ABC-1")).stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(task).toMatchObject({ task: { key: "ABC-1", status: "failed" } });
  expect(message).toMatchObject({ message: { conversationId: 1 } });
  expect(await robson(cwd, "why", "ABC-2")).toMatchObject({ stdout: "", exitCode: 1 });
}, 60_000);

test("the workers of plugins are known, on the command line and in chat, and their gateways are left alone", async () => {
  const cwd = aFolder({ "robson.toml": '[[plugins]]\nuse = "./greeter.mjs"\n', "greeter.mjs": PLUGIN });
  expect(await robson(cwd, "send", "/greet")).toEqual({ stdout: "Good day\n", stderr: "", exitCode: 0 });

  const matched = 'Matched by the command /greet, of worker "greet"';
  const { stdout, stderr } = await robson(cwd, "why", "1");

  expect(stdout).toContain(matched);
  expect(stderr).toBe("");
  expect((await robson(cwd, "send", "/why message-1")).stdout).toContain(matched);
});

test("with a plugin that cannot be used, what is on record is told all the same, and that the plugin is left out", async () => {
  const cwd = aFolder({ "robson.toml": '[[plugins]]\nuse = "./greeter.mjs"\n', "greeter.mjs": PLUGIN });
  await robson(cwd, "send", "/greet");
  writeFileSync(join(cwd, "greeter.mjs"), 'throw new Error("no such device");');

  const { stdout, stderr, exitCode } = await robson(cwd, "why", "1");

  expect(stdout).toContain("Matched by no worker");
  expect(stdout).toContain('emitted by worker "greet"');
  expect(stderr).toMatch(/^The workers of plugins are left out: .*greeter\.mjs.*no such device\n$/);
  expect(exitCode).toBe(0);
});
