import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import type { CliIo } from "./io.ts";
import { createLog, type LogLevel, partLog } from "./log.ts";
import { aFolder, startAgentProcess } from "./robson-process.fixture.ts";

interface Wanted {
  isTerminal?: boolean;
  isJson?: boolean;
  file?: string;
  atLeast?: "warn";
  levels?: Record<string, LogLevel>;
}

function aLog(options: Wanted = {}) {
  const lines: string[] = [];
  const io: CliIo = {
    cwd: "/",
    env: {},
    out: () => undefined,
    err: (line) => lines.push(line),
    isTerminal: options.isTerminal ?? false,
    style: (_format, text) => text,
    catchSignals: () => new AbortController().signal,
  };
  const config = loadConfig({ cwd: "/nowhere", env: {} });
  if (options.file !== undefined) config.log.file = options.file;
  config.log.levels = options.levels ?? {};
  return { lines, log: createLog({ io, config, isJson: options.isJson ?? false, ...options }) };
}

test("on a terminal the log is one readable line an entry", () => {
  const { log, lines } = aLog({ isTerminal: true });
  log.info({ url: "http://127.0.0.1:7420", reason: "two words" }, "listening");
  log.warn({ err: new Error("it is away") }, "cannot deliver");
  expect(lines[0]).toMatch(
    /^\d\d:\d\d:\d\d info {2}listening url=http:\/\/127\.0\.0\.1:7420 reason="two words"$/,
  );
  expect(lines[1]).toMatch(/^\d\d:\d\d:\d\d warn {2}cannot deliver error="it is away"$/);
});

test("commands with words of their own log readable lines wherever stderr goes", () => {
  const { log, lines } = aLog({ atLeast: "warn" });
  log.warn({}, "trouble");
  expect(lines[0]).toMatch(/ warn {2}trouble$/);
});

test("an error that comes again is told in full but once", () => {
  const { log, lines } = aLog({ atLeast: "warn" });
  for (const attempts of [1, 2]) log.warn({ attempts, error: "git clone failed" }, "attempt failed");
  log.warn({}, "something else");
  log.error({ error: "git clone failed" }, "message dead");
  log.warn({ error: "another one" }, "attempt failed");
  expect(lines.map((line) => line.replace(/^\S+ \w+ +/, ""))).toEqual([
    'attempt failed attempts=1 error="git clone failed"',
    'attempt failed attempts=2 error="(as before)"',
    "something else",
    'message dead error="(as before)"',
    'attempt failed error="another one"',
  ]);
});

test("a failed attempt's stack follows its line, and is not told again", () => {
  const { log, lines } = aLog({ isTerminal: true });
  for (let attempt = 0; attempt < 2; attempt += 1)
    log.warn({ error: "boom", stack: "TypeError: boom\n    at worker.ts:7" }, "message attempt failed");
  expect(lines[0]).toContain("message attempt failed error=boom\nTypeError: boom\n    at worker.ts:7");
  expect(lines[1]).not.toContain("worker.ts");
});

test("an error's stack follows its line", () => {
  const { log, lines } = aLog({ isTerminal: true });
  log.error({ err: new Error("boom") }, "a bug");
  expect(lines[0]).toContain("a bug error=boom\nError: boom\n    at ");
});

test("where a program reads stderr, and with --json, the log is JSON lines", () => {
  for (const options of [{}, { isTerminal: true, isJson: true }]) {
    const { log, lines } = aLog(options);
    log.info({ gateway: "webhook" }, "started");
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "info", gateway: "webhook", msg: "started" });
  }
});

test("half characters become U+FFFD, so that the log stays JSON; whole ones and what only looks like half stay", () => {
  const { log, lines } = aLog();
  log.warn(
    { error: "half \ud800, whole \u{1f600}, typed \\ud800", of: { worker: "\udc00" } },
    "failed \ud83d",
  );
  expect(lines[0]).not.toContain("\ud800,");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    error: "half \ufffd, whole \u{1f600}, typed \\ud800",
    of: { worker: "\ufffd" },
    msg: "failed \ufffd",
  });
});

test("entries below the level are left out, and commands with words of their own log less", () => {
  const { log, lines } = aLog({ atLeast: "warn" });
  log.debug({}, "detail");
  log.info({}, "news");
  log.warn({}, "trouble");
  expect(lines).toHaveLength(1);
});

test("with log.file the log goes to that file, and what is held is written at its close", () => {
  const folder = mkdtempSync(join(tmpdir(), "robson-log-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { log, lines } = aLog({ file: join(folder, "robson.log") });
  log.info({}, "first");
  log.info({}, "second");
  log.close();
  const written = readFileSync(join(folder, "robson.log"), "utf8").trim().split("\n");
  expect(written.map((line) => JSON.parse(line).msg)).toEqual(["first", "second"]);
  expect(lines).toEqual([]);
});

test("a log file that cannot be written is refused with what to set", () => {
  expect(() => aLog({ file: "/nowhere/robson.log" })).toThrow(
    /Cannot write the log to \/nowhere\/robson.log/,
  );
});

test("a part logs at its own level, with its name, and the others at the general one", () => {
  const { log, lines } = aLog({ isJson: true, levels: { core: "debug", http: "error" } });
  partLog(log, "core").debug({}, "detail of core");
  for (const part of ["http", "workflow"]) {
    partLog(log, part).debug({}, `detail of ${part}`);
    partLog(log, part).info({}, `news of ${part}`);
  }
  partLog(log, "http").error({}, "trouble of http");
  log.debug({}, "detail of nobody");
  expect(lines.map((line) => JSON.parse(line)).map(({ part, msg }) => [part, msg])).toEqual([
    ["core", "detail of core"],
    ["workflow", "news of workflow"],
    ["http", "trouble of http"],
  ]);
});

test("a command with words of its own logs no part at a lower level than the command's", () => {
  const { log, lines } = aLog({ atLeast: "warn", levels: { core: "debug" } });
  partLog(log, "core").info({}, "news");
  partLog(log, "core").warn({}, "trouble");
  expect(lines).toHaveLength(1);
});

test("the levels of robson.toml are those of the agent's parts", async () => {
  const cwd = aFolder({ "robson.toml": '[log]\nlevel = "warn"\n\n[log.levels]\nhttp = "info"\n\n' });
  const agent = await startAgentProcess(cwd);
  agent.child.kill("SIGTERM");
  const { stderr, exitCode } = await agent.finished;
  expect(stderr).toMatch(/"part":"http".*"msg":"listening for HTTP requests"/);
  expect(stderr).not.toContain('"part":"core"');
  expect(exitCode).toBe(0);
});
