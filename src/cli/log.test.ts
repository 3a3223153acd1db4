import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import type { CliIo } from "./io.ts";
import { createLog } from "./log.ts";

function aLog(options: { isTerminal?: boolean; isJson?: boolean; file?: string; atLeast?: "warn" } = {}) {
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
