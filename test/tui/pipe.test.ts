import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test, vi } from "vitest";
import { startAgentProcess } from "../../src/cli/robson-process.fixture.ts";
import { type TestEnd, temporaryFolder } from "../../src/testing/temporary-folder.ts";
import { expectGolden, startTerminal } from "./terminal.fixture.ts";

/** Each test starts whole processes, one after another, on a machine that may be busy. */
vi.setConfig({ testTimeout: 120_000 });

const MAIN = join(import.meta.dirname, "../../src/cli/main.ts");

/** `robson agent --tui` with these lines piped in, to its end. */
async function piped(t: TestEnd, { cwd, input, args = [] }: { cwd: string; input: string; args?: string[] }) {
  const child = spawn(process.execPath, [MAIN, "agent", "--tui", ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: cwd },
    stdio: "pipe",
  });
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  t.onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  child.stdin.end(input);
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { stdout, stderr, exitCode };
}

/** Beside an agent of that folder, whose server listens where the terminal looks for it. */
async function anAgent(cwd: string): Promise<void> {
  const { url } = await startAgentProcess(cwd);
  writeFileSync(join(cwd, "robson.toml"), `[server]\nport = ${new URL(url).port}\n`);
}

test("echo '/help' | robson agent --tui prints the help and ends with 0", async (t) => {
  const { stdout, stderr, exitCode } = await piped(t, { cwd: await temporaryFolder(t), input: "/help\n" });
  expect(stdout).toMatch(/^:book: \*Robson — Available Commands\*\n\n(.+ — .+\n)+$/u);
  expect(stderr).toBe("");
  expect(exitCode).toBe(0);
  expectGolden("no-terminal", stdout);
});

test("each line is a message, and its answer stands in its place; one that failed makes it end with 1", async (t) => {
  const input = "/echo one\n\n/task show NOPE-1\r\n/echo **three**";
  const { stdout, exitCode } = await piped(t, { cwd: await temporaryFolder(t), input });
  expect(stdout).toBe(
    'one\nThere is no task "NOPE-1"\n`robson task list`, or /task list in a chat, shows those that are there\n**three**\n',
  );
  expect(exitCode).toBe(1);
});

test("with --json each event is one line", async (t) => {
  const cwd = await temporaryFolder(t);
  const { stdout } = await piped(t, { cwd, input: "/echo a\n/echo b\n", args: ["--json"] });
  const events = stdout.trim().split("\n");
  expect(events.map((line) => JSON.parse(line))).toMatchObject([
    { conversationId: 1, kind: "completed", content: "a" },
    { conversationId: 2, kind: "completed", content: "b" },
  ]);
});

test("a line that is too long is refused by itself, and the next is taken", async (t) => {
  const input = `/echo ${"x".repeat(300_000)}\n/echo after\n`;
  const { stdout, stderr, exitCode } = await piped(t, { cwd: await temporaryFolder(t), input });
  expect(stdout).toBe("after\n");
  expect(stderr).toContain("maxContentBytes");
  expect(exitCode).toBe(1);
});

test("without any line it ends with 0", async (t) => {
  expect(await piped(t, { cwd: await temporaryFolder(t), input: "" })).toEqual({
    stdout: "",
    stderr: "",
    exitCode: 0,
  });
});

test("beside an agent the lines are that agent's work", async (t) => {
  const cwd = await temporaryFolder(t);
  await anAgent(cwd);
  expect(await piped(t, { cwd, input: "/echo one\n/echo two\n" })).toEqual({
    stdout: "one\ntwo\n",
    stderr: "",
    exitCode: 0,
  });
});

test("beside an agent a terminal attaches to it, and leaves it to its work", async (t) => {
  const cwd = await temporaryFolder(t);
  await anAgent(cwd);
  const terminal = startTerminal(t, { cwd, columns: 120 });
  await terminal.sees("· Robson · attached to HOST, process PID at http://127.0.0.1:PORT");

  terminal.press("/echo **hi**\r");
  await terminal.sees("● hi");
  terminal.press("\u0003");

  expect(await terminal.exited).toBe(0);
  await terminal.sees("Detached. The agent goes on; its answers are kept in its records.");
});

test("where the owner of the database has no server that answers, it ends with 3 and says what to do", async (t) => {
  const cwd = await temporaryFolder(t);
  await startAgentProcess(cwd);
  writeFileSync(join(cwd, "robson.toml"), "[server]\nport = 1\n");
  const { stderr, exitCode } = await piped(t, { cwd, input: "/echo hi\n" });
  expect(stderr).toMatch(
    /^error: Cannot open the terminal: .+ owns the database, and no server of it answers at http:\/\/127\.0\.0\.1:1/u,
  );
  expect(stderr).toContain("hint: Set server.host and server.port in robson.toml to that agent's");
  expect(exitCode).toBe(3);
});
