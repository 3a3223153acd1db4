import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cleanEnvironment, type ProcessOptions, runProcess } from "./child-process.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "robson-process-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function run(program: string, options: Partial<ProcessOptions> = {}) {
  return runProcess({
    command: process.execPath,
    args: ["-e", program],
    directory,
    environment: cleanEnvironment({ home: directory }),
    timeoutMs: 20_000,
    limits: { killGraceMs: 100, maxProcessOutputBytes: 1_000_000, maxKeptOutput: 1000 },
    signal: new AbortController().signal,
    ...options,
  });
}

test("a process sees no variable of ours but those it is given, and a closed stdin", async () => {
  const end = await run(`
    require("node:fs").writeFileSync("stdin", require("node:fs").readFileSync(0));
    console.log(JSON.stringify(process.env));`);

  const { PATH, ...rest } = JSON.parse(end.stdout);
  expect(PATH).toBe(process.env.PATH);
  expect(rest).toEqual({ HOME: directory, LANG: "C.UTF-8", CI: "true", NO_COLOR: "1" });
  expect(readFileSync(join(directory, "stdin"), "utf8")).toBe("");
});

test("its exit code and what it printed are returned", async () => {
  const end = await run('console.log("out"); console.error("err"); process.exitCode = 3');

  expect(end).toEqual({ exitCode: 3, endedBy: "itself", stdout: "out\n", stderr: "err\n" });
});

test("a process over its time is ended, even when it ignores SIGTERM", async () => {
  const end = await run('process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)', { timeoutMs: 300 });

  expect(end).toMatchObject({ exitCode: null, endedBy: "timeout" });
});

test("a process that prints without end is ended at its limit, and the end of its output is kept", async () => {
  const end = await run(
    'const write = () => { while (process.stdout.write("🦀".repeat(1000))); process.stdout.once("drain", write) }; write()',
  );

  expect(end.endedBy).toBe("output");
  expect(end.stdout.length).toBe(1000);
  expect(end.stdout.isWellFormed()).toBe(true);
});

test("what a process started does not outlive it, nor hold it open", async () => {
  const child = `setTimeout(() => require("node:fs").writeFileSync("late", ""), 10_000)`;
  const end = await run(`
    require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(child)}], { stdio: "inherit" }).unref();
    console.log("done");`);

  expect(end).toMatchObject({ exitCode: 0, stdout: "done\n" });
  expect(existsSync(join(directory, "late"))).toBe(false);
});

test("lines are handed over whole, also in pieces; one over the limit is left out", async () => {
  const lines: string[] = [];
  const program = `
    process.stdout.write("fi");
    setTimeout(() => process.stdout.write("rst\\n" + "x".repeat(5000)), 20);
    setTimeout(() => process.stdout.write("y\\nlast é\\nno newline"), 40);`;
  await run(program, { onLine: (line) => lines.push(line) });

  expect(lines).toEqual(["first", "last é"]);
});

test("an error in the reader of the lines ends the process and is the caller's", async () => {
  const program = 'console.log("x"); setInterval(() => {}, 1000)';
  const onLine = () => {
    throw new Error("unreadable");
  };

  await expect(run(program, { onLine })).rejects.toThrow("unreadable");
});

test("a program that is not there is an error, an aborted signal starts nothing", async () => {
  await expect(run("", { command: "no-such-program" })).rejects.toMatchObject({ code: "ENOENT" });

  const end = await run('require("node:fs").writeFileSync("started", "")', { signal: AbortSignal.abort() });
  expect(end.endedBy).toBe("abort");
  expect(existsSync(join(directory, "started"))).toBe(false);
});
