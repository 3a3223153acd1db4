import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, type TestContext, test } from "vitest";
import { RobsonError } from "../core/errors.ts";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { cleanEnvironment } from "./child-process.ts";
import { endLeftovers, WORKSPACE_VARIABLE } from "./leftovers.ts";
import type { Program, SandboxRules } from "./sandbox.ts";
import { createLaunch, type LaunchOptions, type LaunchRequest } from "./supervisor.ts";

const LIMITS = { killGraceMs: 400, maxProcessOutputBytes: 1_000_000, maxKeptOutput: 1000 };
/** Where the program does something with its grace, on a machine that may be busy. */
const PATIENT = { ...LIMITS, killGraceMs: 2000 };

async function aPlace(t: TestContext, options: Partial<LaunchOptions> = {}) {
  const directory = await temporaryFolder(t);
  // Whatever a failing test leaves running.
  t.onTestFinished(async () => void (await endLeftovers(directory)));
  const environment = { ...cleanEnvironment({ home: directory }), [WORKSPACE_VARIABLE]: directory };
  const timeout = { name: "agentTimeoutMs", ms: 20_000 };
  const signal = new AbortController().signal;
  const launch = createLaunch({ directory, environment, timeout, limits: LIMITS, signal, ...options });
  const start = (script: string, request: Partial<LaunchRequest> = {}) =>
    launch({ command: "sh", args: ["-c", script], ...request });
  const has = (file: string) => existsSync(join(directory, file));
  return { directory, environment, launch, start, has };
}

/** Resolves once the file is there, with what is written to it. */
async function appeared(directory: string, file: string): Promise<void> {
  const size = () => statSync(join(directory, file), { throwIfNoEntry: false })?.size ?? 0;
  await expect.poll(size, { timeout: 60_000, interval: 10 }).toBeGreaterThan(0);
}

test("a program that is to end is asked kindly first, and has the time to tidy up", async (t) => {
  const { directory, start, has } = await aPlace(t, { limits: { ...LIMITS, killGraceMs: 20_000 } });
  const program = await start("trap 'echo > tidied; exit 0' INT; echo > ready; while :; do sleep 0.01; done");
  await appeared(directory, "ready");

  program.end();
  program.end();
  const end = await program.ended;

  expect(end).toMatchObject({ exitCode: 0, endedBy: "abort" });
  expect(has("tidied")).toBe(true);
});

test("one that hears neither SIGINT nor SIGTERM is killed, and SIGTERM comes between", async (t) => {
  const { directory, start, has } = await aPlace(t, { limits: PATIENT });
  const program = await start(
    "trap '' INT; trap 'echo > terminated' TERM; echo > ready; while :; do sleep 0.01; done",
  );
  await appeared(directory, "ready");

  program.end();

  expect(await program.ended).toMatchObject({ exitCode: null, endedBy: "abort" });
  expect(has("terminated")).toBe(true);
});

test("an aborted signal ends it, and one that is aborted already starts nothing", async (t) => {
  const controller = new AbortController();
  const { directory, start, has } = await aPlace(t, { signal: controller.signal });
  const program = await start("echo > ready; exec sleep 600");
  await appeared(directory, "ready");

  controller.abort(new Error("stop"));

  expect(await program.ended).toMatchObject({ endedBy: "abort" });
  await expect(start("echo > second")).rejects.toThrow("stop");
  expect(has("second")).toBe(false);
});

test("silence ends it at the limit that is named, but not while it speaks", async (t) => {
  const stall = { name: "agentStallMs", ms: 3000 };
  const { start } = await aPlace(t, { stall });
  const program = await start("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done; exec sleep 600");

  const end = await program.ended;

  expect(end).toMatchObject({
    endedBy: "stall",
    why: "it said nothing for longer than agentStallMs (3000 ms)",
    stdout: "1\n2\n3\n4\n5\n6\n7\n8\n",
  });
});

test("what it said while Robson himself was frozen counts as said", async (t) => {
  const stall = { name: "agentStallMs", ms: 2000 };
  const { start } = await aPlace(t, { stall });
  const spoken = Promise.withResolvers<void>();
  const speaking = "i=0; while [ $i -lt 40 ]; do echo $i; i=$((i + 1)); sleep 0.1; done";
  const program = await start(speaking, { onLine: () => spoken.resolve() });
  await spoken.promise;

  const thawedAt = performance.now() + 1.5 * stall.ms;
  while (performance.now() < thawedAt);

  expect(await program.ended).toMatchObject({ endedBy: "itself", exitCode: 0 });
});

test("while it waits for an answer of ours its silence is not its own", async (t) => {
  const stall = { name: "agentStallMs", ms: 1000 };
  const { start } = await aPlace(t, { stall });
  const program = await start("read answer; echo $answer; exec sleep 600", { stdin: "pipe" });
  const person = Promise.withResolvers<string>();
  const another = program.awaiting(Promise.reject(new Error("nobody")));
  await expect(another).rejects.toThrow("nobody");

  const answer = program.awaiting(person.promise);
  // Longer than the limit, by the same clock that it is measured with.
  setTimeout(() => person.resolve("allowed"), 3 * stall.ms);
  program.stdin?.write(`${await answer}\n`);

  expect(await program.ended).toMatchObject({ endedBy: "stall", stdout: "allowed\n" });
});

test("what it was told on stdin is read, and that it does not read on is no error", async (t) => {
  const { start } = await aPlace(t);
  const reader = await start("cat", { stdin: "pipe" });
  reader.stdin?.end("hello");
  const deaf = await start("exec <&-; echo deaf", { stdin: "pipe" });
  for (let index = 0; index < 100; index += 1) deaf.stdin?.write("x".repeat(10_000));

  expect((await reader.ended).stdout).toBe("hello");
  expect((await deaf.ended).stdout).toBe("deaf\n");
});

test("what left its group and session ends with it, and holds nothing up", async (t) => {
  const { directory, start } = await aPlace(t);
  const program = await start(
    "setsid sh -c 'echo $$ > pid; exec sleep 600' & until test -s pid; do sleep 0.01; done; echo done",
  );

  const end = await program.ended;

  expect(end).toMatchObject({ exitCode: 0, endedBy: "itself", stdout: "done\n" });
  expect(isRunning(readFileSync(join(directory, "pid"), "utf8").trim())).toBe(false);
  expect(await endLeftovers(directory)).toBe(0);
});

test("two programs of one place do not end each other's", async (t) => {
  const { directory, start } = await aPlace(t);
  const first = await start(
    "setsid sh -c 'echo $$ > pid; exec sleep 600' & until test -e go; do sleep 0.01; done",
  );
  await appeared(directory, "pid");
  const second = await start("echo done");
  await second.ended;

  expect(isRunning(readFileSync(join(directory, "pid"), "utf8").trim())).toBe(true);

  first.end();
  await first.ended;
  expect(await endLeftovers(directory)).toBe(0);
});

test("the sandbox says how it is started, and is closed after its end, also where it cannot be started", async (t) => {
  const closed: string[] = [];
  const wrap = async (program: Program, rules: SandboxRules) => ({
    ...program,
    ...(program.command === "missing"
      ? {}
      : {
          command: "sh",
          args: ["-c", `echo in ${rules.writable.join()}; "$@"`, "sh", program.command, ...program.args],
        }),
    overLimit: new AbortController().signal,
    close: async () => void closed.push(program.command),
  });
  const sandbox = { name: "none" as const, check: async () => ({ warnings: [] }), wrap };
  const rules = { writable: ["/checkout"], readable: [], allowedDomains: [] };
  const { launch } = await aPlace(t, { sandbox: { sandbox, rules } });

  const program = await launch({ command: "echo", args: ["a b"] });
  expect(closed).toEqual([]);
  expect((await program.ended).stdout).toBe("in /checkout\na b\n");
  await expect(launch({ command: "missing", args: [] })).rejects.toThrow();

  expect(closed).toEqual(["echo", "missing"]);
});

test("a sandbox whose limit is passed ends the program, and says why", async (t) => {
  const disk = new AbortController();
  const wrap = async (program: Program) => ({
    ...program,
    overLimit: disk.signal,
    close: async () => undefined,
  });
  const sandbox = { name: "none" as const, check: async () => ({ warnings: [] }), wrap };
  const rules = { writable: [], readable: [], allowedDomains: [] };
  const { directory, start } = await aPlace(t, { sandbox: { sandbox, rules } });
  const program = await start("echo > ready; exec sleep 600");
  await appeared(directory, "ready");

  const error = new RobsonError("INTERNAL", "the disk is full");
  disk.abort(error);

  await expect(program.ended).rejects.toBe(error);
});

test("nothing of a program is left to be counted by the system", async (t) => {
  const { start } = await aPlace(t);
  const before = ownChildren();
  const programs = await Promise.all([start("exit 3"), start("setsid sleep 600 & exit 0")]);
  await Promise.all(programs.map(({ ended }) => ended));

  expect(ownChildren().filter((pid) => !before.includes(pid))).toEqual([]);
});

test("when Robson is killed, what he started dies with him, in whatever session it is", async (t) => {
  const { directory } = await aPlace(t);
  const robson = startRobson(
    directory,
    "setsid sh -c 'echo $$ > inner; exec sleep 600' & echo $$ > outer; wait",
  );
  await appeared(directory, "inner");
  await appeared(directory, "outer");

  robson.kill("SIGKILL");
  await once(robson, "close");

  for (const file of ["outer", "inner"]) {
    const pid = readFileSync(join(directory, file), "utf8").trim();
    await expect.poll(() => isRunning(pid), { timeout: 60_000, interval: 10 }).toBe(false);
  }
});

/** A process that starts a program and waits for it. */
function startRobson(directory: string, script: string): ChildProcess {
  const options = {
    directory,
    environment: { ...cleanEnvironment({ home: directory }), [WORKSPACE_VARIABLE]: directory },
    timeout: { name: "agentTimeoutMs", ms: 60_000 },
    limits: LIMITS,
  };
  const program = `
    const { createLaunch } = await import(${JSON.stringify(new URL("./supervisor.ts", import.meta.url).href)});
    const launch = createLaunch({ ...${JSON.stringify(options)}, signal: new AbortController().signal });
    const program = await launch({ command: "sh", args: ["-c", ${JSON.stringify(script)}] });
    await program.ended;`;
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program];
  return spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] });
}

/** The processes of ours that are there, also those that ended and were not counted yet. */
function ownChildren(): string[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean);
}

/** Whether it runs; one that waits only to be counted does not. */
function isRunning(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";
  } catch {
    // No such process.
    return false;
  }
}
