/**
 * The log of a command: lines for a person where stderr is a terminal, or among words for a person; JSON lines
 * where a program reads them, or into the file that robson.toml names.
 */
import { openSync } from "node:fs";
import { type Logger as PinoLogger, pino } from "pino";
import type { Config } from "../config/load-config.ts";
import { messageOf, RobsonError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { CliIo } from "./io.ts";
import { openedLogFile } from "./log-file.ts";

export type LogLevel = Config["log"]["level"];

export interface CommandLog extends Logger {
  /** The same log for one part, whose level may be another one (`[log.levels]`). */
  part?(name: string): Logger;
  /** Writes what is still held, and closes the file. */
  close(): void;
}

export interface LogOptions {
  io: CliIo;
  config: Config;
  isJson: boolean;
  /** Of commands that print their own words: nothing less goes to stderr, whatever robson.toml says. */
  atLeast?: LogLevel;
}

/** The parts that `[log.levels]` may name, beside the gateways. */
export const LOG_PARTS: readonly string[] = ["core", "http", "workflow", "scheduler"];

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

export function createLog({ io, config, isJson, atLeast = "debug" }: LogOptions): CommandLog {
  const { file, level, levels } = config.log;
  if (file !== undefined) return fileLog(file, { io, level, levels });
  const isPretty = !isJson && (io.isTerminal || atLeast !== "debug");
  const bounded = (wanted: LogLevel) =>
    LEVELS[Math.max(LEVELS.indexOf(wanted), LEVELS.indexOf(atLeast))] ?? wanted;
  const pretty = prettyLines(io);
  const write = (line: string) => io.err(isPretty ? pretty(line) : line.trimEnd());
  const log = pino(pinoOptions(bounded(level)), { write });
  const part = (name: string) => partOf(log, { name, level: bounded(levels[name] ?? level) });
  return Object.assign(log, { part, close: () => undefined });
}

/** The log of a part, where the log has parts: the terminal's and those of tests have none. */
export function partLog(log: Logger & { part?(name: string): Logger }, name: string): Logger {
  return log.part?.(name) ?? log;
}

function partOf(log: PinoLogger, { name, level }: { name: string; level: LogLevel }): Logger {
  return log.child({ part: name }, { level });
}

interface FileLogOptions extends Pick<Config["log"], "level" | "levels"> {
  io: CliIo;
}

/** Ends nobody's work when its disk is full: that is said on stderr, and its lines are written when there is space. */
function fileLog(file: string, { io, level, levels }: FileLogOptions): CommandLog {
  const fd = openLogFile(file);
  const destination = openedLogFile({
    fd,
    onTrouble: (error) =>
      io.err(`Cannot write to the log ${file}: ${messageOf(error)}; what it says is held for a while`),
  });
  const log = pino(pinoOptions(level), destination);
  const part = (name: string) => partOf(log, { name, level: levels[name] ?? level });
  return Object.assign(log, { part, close: destination.close });
}

function openLogFile(file: string): number {
  try {
    return openSync(file, "a", 0o640);
  } catch (error) {
    throw new RobsonError("CONFIG_INVALID", `Cannot write the log to ${file}: ${messageOf(error)}`, {
      hint: "Set log.file in robson.toml to a file that this user may write, in a folder that exists",
      cause: error,
    });
  }
}

function pinoOptions(level: LogLevel) {
  const formatters = { level: (label: string) => ({ level: label }) };
  return { level, base: null, formatters, hooks: { streamWrite: wellFormed } };
}

/** Half characters, as in the error of a worker, are no JSON to many that read it: `jq` stops at the first. */
function wellFormed(line: string): string {
  if (!line.includes("\\ud")) return line;
  const toWellFormed = (_key: string, value: unknown) =>
    typeof value === "string" ? value.toWellFormed() : value;
  return `${JSON.stringify(JSON.parse(line), toWellFormed)}\n`;
}

const STYLES = { debug: "dim", info: "green", warn: "yellow", error: "red" } as const;

/** As `prettyLine`; an error that comes again, as at each attempt of a message, is told in full but once. */
function prettyLines({ style }: Pick<CliIo, "style">): (json: string) => string {
  let former: unknown;
  return (json) => {
    const entry = JSON.parse(json) as LogEntry;
    const { error } = entry;
    if (error === former && error !== undefined) {
      entry.error = "(as before)";
      delete entry.stack;
    }
    former = error ?? former;
    return prettyLine(entry, { style });
  };
}

interface LogEntry {
  level: LogLevel;
  time: number;
  msg?: string;
  err?: { message?: string; stack?: string };
  stack?: string;
  error?: unknown;
}

/** `12:03:59 info  listening  url=http://127.0.0.1:7420`; an error's stack follows on its own lines. */
function prettyLine(entry: LogEntry, { style }: Pick<CliIo, "style">): string {
  const { level, time, msg, err, stack = level === "error" ? err?.stack : undefined, ...fields } = entry;
  const clock = new Date(time).toTimeString().slice(0, 8);
  const details = Object.entries(fields).map(([name, value]) => `${name}=${show(value)}`);
  if (err?.message !== undefined) details.push(`error=${show(err.message)}`);
  const line = [style("dim", clock), style(STYLES[level], level.padEnd(5)), msg];
  if (details.length > 0) line.push(style("dim", details.join(" ")));
  if (stack !== undefined) line.push(`\n${style("dim", stack)}`);
  return line.join(" ").replace(" \n", "\n");
}

function show(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /[\s"=]/.test(text) && typeof value === "string" ? JSON.stringify(value) : text;
}
