/** The one place that tells a person (or, with --json, a program) what went wrong, and picks the exit code. */
import type { CommanderError } from "commander";
import { type ErrorCode, messageOf, RobsonError } from "../core/errors.ts";
import { type CliIo, EXIT_INTERRUPTED } from "./io.ts";
import type { UsageHint } from "./usage-hint.ts";

export const EXIT = {
  ok: 0,
  /** The work failed, or did not end in time. */
  failed: 1,
  /** Wrong usage or configuration; nothing was done. */
  usage: 2,
  /** The database cannot be used, or another process has it. */
  database: 3,
  interrupted: EXIT_INTERRUPTED,
} as const;

const USAGE_CODES: readonly ErrorCode[] = [
  "USAGE_INVALID",
  "CONFIG_INVALID",
  "CONFIG_UNREADABLE",
  "WORKER_INVALID",
  "GATEWAY_INVALID",
  "PLUGIN_INVALID",
  "PORT_TAKEN",
  "LISTEN_REFUSED",
  "MESSAGE_INVALID",
  "MESSAGE_TOO_LARGE",
  "STORE_LOCATION_INVALID",
  "TASK_INVALID",
  "TASK_EXISTS",
  "TASK_NOT_FOUND",
  "REPOSITORY_INVALID",
];

export interface ReportOptions {
  io: CliIo;
  isJson: boolean;
  usageHint: UsageHint;
}

/** Prints the error on stderr and returns the exit code that it calls for. */
export function reportError(error: unknown, options: ReportOptions): number {
  if (isCommanderError(error)) return reportUsage(error, options);
  const { io, isJson } = options;
  const known = error instanceof RobsonError ? error : unexpected(error);
  if (isJson) io.err(JSON.stringify({ code: known.code, message: known.message, hint: known.hint }));
  else print(known, io);
  return exitCodeOf(known);
}

/** Other processes have the database, and this one does not fit beside them. */
const OWNER_CODES: readonly ErrorCode[] = ["ALREADY_RUNNING", "LEASE_LOST", "WORKERS_DIFFER"];

function exitCodeOf({ code }: RobsonError): number {
  if (USAGE_CODES.includes(code)) return EXIT.usage;
  return code.startsWith("STORE_") || OWNER_CODES.includes(code) ? EXIT.database : EXIT.failed;
}

function print(error: RobsonError, io: CliIo): void {
  io.err(`${io.style("red", "error:")} ${error.message}`);
  if (error.hint) io.err(`${io.style("bold", "hint:")} ${error.hint}`);
  if (error.code === "INTERNAL" && error.cause instanceof Error)
    io.err(io.style("dim", error.cause.stack ?? ""));
}

/** Not one of ours: a bug, so its stack is shown. */
function unexpected(error: unknown): RobsonError {
  return new RobsonError("INTERNAL", messageOf(error), {
    hint: "This is a bug in Robson or in a plugin; please report it with the lines below",
    cause: error,
  });
}

function isCommanderError(error: unknown): error is CommanderError {
  return error instanceof Error && "code" in error && String(error.code).startsWith("commander.");
}

/** Commander throws for --help and --version too, after it has printed them. */
function reportUsage(error: CommanderError, options: ReportOptions): number {
  if (error.exitCode === 0) return EXIT.ok;
  if (error.code === "commander.help") return EXIT.usage;
  const [first = "", ...rest] = error.message.replace(/^error: /, "").split("\n");
  const hint = options.usageHint(error, rest.join(" ").replace(/^\((.*)\)$/, "$1"));
  return reportError(new RobsonError("USAGE_INVALID", first, { hint }), options);
}
