import { expect, test } from "vitest";
import { aFolder, robsonHere as robson } from "./robson-process.fixture.ts";

test("help and version are data, and no error", async () => {
  const help = await robson("/", "--help");
  expect(help.stdout).toContain("Exit codes: 0 done, 1 the work failed");
  expect([help.stderr, help.exitCode]).toEqual(["", 0]);
  expect((await robson("/", "--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("a command without its subcommand shows its help on stderr", async () => {
  const { stdout, stderr, exitCode } = await robson("/", "task");
  expect([stdout, exitCode]).toEqual(["", 2]);
  expect(stderr).toContain("Usage: robson task");
});

test("migrate says which version it came from, and which it came to", async () => {
  const cwd = aFolder();
  expect(JSON.parse((await robson(cwd, "migrate", "--json")).stdout)).toMatchObject({ from: 0 });
  expect((await robson(cwd, "migrate")).stderr).toContain("is up to date");
});

test("/help lists the commands of the workflow and of echo", async () => {
  const { stdout } = await robson(aFolder(), "send", "/help");
  expect(stdout).toMatch(/^:book: \*Robson — Available Commands\*\n\n/);
  expect(stdout).toContain("/echo hello — Answers with the same text");
  expect(stdout).toContain("/run-task PROJ-123 — ");
});

test("an answer that is a failure ends the command with 1", async () => {
  const { stdout, exitCode } = await robson(aFolder(), "send", "/task show NONE-1");
  expect(stdout).toContain('There is no task "NONE-1"');
  expect(exitCode).toBe(1);
});

test("tasks are created, listed and shown", async () => {
  const cwd = aFolder();
  const created = await robson(
    cwd,
    "task",
    "create",
    "--key",
    "abc-1",
    "--summary",
    "Do it",
    "--repo-url",
    "https://host/a.git",
  );
  expect(created.stdout).toBe("ABC-1\n");
  expect((await robson(cwd, "task", "list")).stdout).toBe("ABC-1  pending      Do it\n");
  expect((await robson(cwd, "task", "show", "ABC-1")).stdout).toContain(
    "Repository:   https://host/a.git (pending)",
  );
  const [task] = JSON.parse((await robson(cwd, "task", "list", "--json")).stdout);
  expect(task).toMatchObject({
    key: "ABC-1",
    status: "pending",
    repositories: [{ url: "https://host/a.git" }],
  });
});

test.each([
  [["run-task", "NONE-1"], 2, 'There is no task "NONE-1"'],
  [["task", "show", "NONE-1"], 2, "robson task list"],
  [["task", "show", "NONE-1", "--no"], 2, "`robson task show --help`"],
  [["task", "list", "--limit", "x"], 2, "`robson task list --help`"],
  [["--no"], 2, "`robson --help`"],
  [["send", ""], 2, "the text is empty"],
  [["send", "--json", " ", "\n"], 2, "the text is empty"],
  [["task", "show", "no key"], 2, '"no key" is not a task key'],
  [["task", "list", "--jsno"], 2, "unknown option '--jsno'"],
  [["tsk"], 2, "unknown command 'tsk'"],
  [["logs", "1"], 2, "Did you mean `robson runs logs`?"],
  [["retry", "1"], 2, "Did you mean `robson dead-letters retry` or `robson runs retry`?"],
  [["runs", "status"], 2, "Did you mean `robson gateways status`?"],
  [["agnet"], 2, "Did you mean agent?"],
  [["greeting", "hello"], 2, "is sent by `robson send`, as in: robson send /greeting"],
  [["runs", "greeting"], 2, "`robson runs --help` lists what it takes\n"],
  [["send", "/echo x", "--timeout", "soon"], 2, "It must be a whole number from 1 to"],
  [["migrate", "--config", "absent.toml"], 2, "Cannot read absent.toml"],
  [["migrate", "--db", "mysql://host/x"], 2, "it names no file"],
  [["migrate", "--db", "text.db"], 3, "text.db"],
  [["migrate", "--db", "."], 3, "It is a folder; name a file in it"],
  [["demo", "--dir", "/proc/absent/deeper"], 2, "Cannot make the folder of the demo"],
  [["demo", "--dir", "text.db/below"], 2, "Cannot make the folder of the demo"],
  [["migrate", "--db", "absent/folder/robson.db"], 3, "absent/folder/robson.db"],
])("%j ends with %i and says why", async (args, exitCode, reason) => {
  const cwd = aFolder({ "text.db": "this is no database, but a text of some length ".repeat(100) });
  const plain = await robson(cwd, ...args);
  expect(plain.stdout).toBe("");
  if (!args.includes("--json")) expect(plain.stderr).toMatch(/^error: .*(\n.*)*\nhint: /);
  expect(plain.stderr).toContain(reason);
  expect(plain.exitCode).toBe(exitCode);
});

test("a key that a task has already is wrong usage", async () => {
  const cwd = aFolder();
  const create = () => robson(cwd, "task", "create", "--key", "A-1", "--summary", "Do it", "--json");
  expect((await create()).exitCode).toBe(0);
  const { exitCode, stderr } = await create();
  expect([exitCode, JSON.parse(stderr)]).toEqual([2, expect.objectContaining({ code: "TASK_EXISTS" })]);
});

test("with --json an error is one JSON object on stderr", async () => {
  const { stderr } = await robson(aFolder({ "robson.toml": "[server]\nprot = 1\n" }), "migrate", "--json");
  expect(JSON.parse(stderr)).toEqual({
    code: "CONFIG_INVALID",
    message: 'Cannot use robson.toml: line 2, column 1: unknown key "prot" in [server]',
    hint: 'Did you mean "port"?',
  });
});
