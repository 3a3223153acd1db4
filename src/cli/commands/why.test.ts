/** `robson why` as a process of its own: by the key of a task, and with the workers of plugins. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { databaseKinds } from "../../testing/databases.ts";
import { aFolder, robson, startAgentProcess } from "../robson-process.fixture.ts";

const PLUGIN = `
export const plugin = {
  name: "greeter",
  setup(host) {
    host.registerWorker({
      name: "greet", description: "Greets", example: "/greet", command: "/greet",
      async handle(_message, _args, { emit }) { await emit("completed", "Good day"); },
    });
    host.registerGateway({ name: "nowhere", async start({ signal }) { if (!process.argv.includes("agent")) throw new Error("it was started"); await new Promise((end) => signal.addEventListener("abort", end)); }, async send() {} });
  },
};
`;

describe.each(databaseKinds)("on $name", ({ create }) => {
  test("a task is told by its key, however it is written, with every message that names it", async (t) => {
    const database = ["--db", await create(t)];
    const cwd = aFolder({
      "robson.toml": "limits.max_message_attempts = 1\nworkflow.allow_file_repositories = true\n",
    });
    const url = `file://${cwd}/absent.git`;
    await robson(
      cwd,
      ...database,
      "task",
      "create",
      "--key",
      "ABC-1",
      "--summary",
      "Do it",
      "--repo-url",
      url,
    );
    const before = await robson(cwd, ...database, "why", "ABC-1");
    await robson(cwd, ...database, "run");

    const after = await robson(cwd, ...database, "why", "abc-1");

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
    const [task, message] = (await robson(cwd, ...database, "why", "--json", "ABC-1")).stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(task).toMatchObject({ task: { key: "ABC-1", status: "failed" } });
    expect(message).toMatchObject({ message: { conversationId: 1 } });
    expect(await robson(cwd, ...database, "why", "ABC-2")).toMatchObject({ stdout: "", exitCode: 1 });
  }, 180_000);

  test("beside an agent its workers, gateways and limits are told, and without it those of this configuration", async (t) => {
    const database = ["--db", await create(t)];
    const cwd = aFolder({ "robson.toml": '[[plugins]]\nuse = "./greeter.mjs"\n', "greeter.mjs": PLUGIN });
    const agent = await startAgentProcess(cwd, ...database, "--json");
    await robson(cwd, ...database, "send", "--wait", "/greet");
    const { port } = new URL(agent.url);
    const besideIt = aFolder({ "robson.toml": `server.port = ${port}\n` });
    const ofAnother = aFolder();
    const another = await startAgentProcess(ofAnother);

    const told = await robson(besideIt, ...database, "why", "1");
    const elsewhere = await robson(aFolder(), ...database, "why", "1");
    const mistaken = await robson(besideIt, "--db", `${ofAnother}/robson.db`, "gateways", "status");

    const matched =
      'Matched by the command /greet, of worker "greet" (recomputed from the workers that are registered now)';
    expect(told.stdout).toContain(matched);
    expect(told.stderr).toBe("");
    expect(elsewhere.stdout).toContain(
      "Matched by no worker (recomputed from the workers of this configuration)",
    );
    expect(elsewhere.stderr).toContain("does not answer at the configured address");
    // The agent at that address has another database than the one that is asked about.
    expect(mistaken.stdout).toMatch(/^webhook +unknown/m);
    for (const running of [agent, another]) {
      running.child.kill("SIGTERM");
      expect((await running.finished).exitCode).toBe(0);
    }
  }, 180_000);
});

test("the workers of plugins are known, on the command line and in chat, and their gateways are left alone", async () => {
  const cwd = aFolder({ "robson.toml": '[[plugins]]\nuse = "./greeter.mjs"\n', "greeter.mjs": PLUGIN });
  expect(await robson(cwd, "send", "/greet")).toEqual({
    stdout: "Good day\n",
    stderr: "",
    exitCode: 0,
  });

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

  expect(stdout).toContain("Matched by no worker (recomputed from the workers of this configuration)");
  expect(stdout).toContain('emitted by worker "greet"');
  expect(stderr).toMatch(/^The workers of plugins are left out: .*greeter\.mjs.*no such device\n$/);
  expect(exitCode).toBe(0);
});
