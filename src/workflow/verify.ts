/**
 * Runs the project's own checks on what the agent changed. Which commands those are is said by robson.toml, by the
 * `.robson.toml` of the base (repository-settings.ts), or shown by the project; a project that shows none is reported
 * as not verified, never as passed. A crash leaves nothing but files in the checkout: the checks are run again.
 */
import { hasCode, messageOf, RobsonError, WorkerError } from "../core/errors.ts";
import { toStorable } from "../core/text.ts";
import { readStaged, stagedNames } from "./commit.ts";
import { spellHidden } from "./hidden-text.ts";
import { fenced } from "./inert-markdown.ts";
import type { WorkflowLimits } from "./limits.ts";
import { createLaunch, type Launch, type ProgramEnd } from "./supervisor.ts";
import type { GitSettings, Workspace } from "./workspace.ts";

/** `not-run`: a command before it did not pass, or its program is not there. */
export type CheckOutcome = "passed" | "failed" | "timed-out" | "not-run";

/** One command and its end. Plain data: a run stores it. */
export interface Check {
  /** As a person would type it. */
  command: string;
  outcome: CheckOutcome;
  isPassed: boolean;
  durationMs: number;
  /** Why it did not pass, as a clause: "it ended with 1". */
  why?: string;
  /** The end of what it printed, its hidden signs spelled out. */
  output: string;
}

export interface CheckOptions {
  /** Starts a command in the checkout: with `verifyTimeoutMs`, in the sandbox. See `verifyLaunch`. */
  launch: Launch;
  /** Its path is left out of what the commands print. */
  checkout: string;
  clock: { now(): number };
  signal: AbortSignal;
}

/** The largest package.json that is read for its test script. Not for the configuration: real ones are far below. */
const MAX_PACKAGE_JSON_BYTES = 1024 * 1024;
/** How much of what a command printed is kept of it, in characters. */
const MAX_CHECK_OUTPUT = 32 * 1024;
/** How many characters of a failing command's output go into the error. */
const MAX_SHOWN_OUTPUT = 1500;

/**
 * Runs the commands one after the other, up to the first that does not pass. Rejects only when stopped: how the commands
 * end is the result.
 */
export async function runChecks(commands: readonly string[][], options: CheckOptions): Promise<Check[]> {
  const checks: Check[] = [];
  for (const command of commands) {
    const isOver = checks.some(({ isPassed }) => !isPassed);
    checks.push(
      isOver ? notRun(command, "a command before it did not pass") : await runCheck(command, options),
    );
  }
  return checks;
}

/** Whether anything was run, and all of it passed. */
export function isVerified(checks: readonly Pick<Check, "isPassed">[]): boolean {
  return checks.length > 0 && checks.every(({ isPassed }) => isPassed);
}

/** The means to start the commands: under their time limit, in the sandbox where there is one. */
export function verifyLaunch(
  options: Omit<Parameters<typeof createLaunch>[0], "timeout" | "stall" | "maxLine" | "limits"> & {
    limits: WorkflowLimits;
  },
): Launch {
  return createLaunch({
    ...options,
    timeout: { name: "verifyTimeoutMs", ms: options.limits.verifyTimeoutMs },
  });
}

/** What people are told when the change does not pass: `VERIFY_FAILED`, with the output of the check that did not. */
export function verifyFailed(checks: readonly Check[]): WorkerError {
  const failed = checks.find(({ isPassed }) => !isPassed);
  const { command = "", why = "it did not pass", output = "" } = failed ?? {};
  const shown = output.trim() === "" ? "" : `\n${fenced(endOf(output, MAX_SHOWN_OUTPUT))}`;
  const hint =
    failed?.outcome === "not-run"
      ? `Correct the command (verify of [[repositories]] in robson.toml, or of the repository's .robson.toml), or install the program; in the sandbox its folder must be below /usr or in sandbox.readable`
      : "Nothing was pushed. Make the ticket clearer or repair the check, then run the task again";
  const message =
    failed?.outcome === "not-run"
      ? `Cannot verify with \`${command}\`: ${why}`
      : `The change does not pass \`${command}\`: ${why}${shown}`;
  return new WorkerError(message, { code: "VERIFY_FAILED", retry: "never", hint });
}

/** `npm test` where package.json has a test script, `node --test` where there are test files for it. */
export async function detectCommands(
  workspace: Workspace,
  { tree, ...options }: { tree: string } & GitSettings,
): Promise<string[][]> {
  const manifest = await readStaged(workspace, { tree, name: "package.json" }, options);
  if (manifest === undefined) return [];
  if (manifest.bytes > MAX_PACKAGE_JSON_BYTES) {
    throw new WorkerError(
      `Cannot verify the change: package.json has ${manifest.bytes} bytes, and MAX_PACKAGE_JSON_BYTES (${MAX_PACKAGE_JSON_BYTES}) are read`,
      {
        code: "VERIFY_FAILED",
        retry: "never",
        hint: "Nothing was pushed. Name the commands as `verify` of the repository in robson.toml, then run the task again",
      },
    );
  }
  if (hasTestScript(await manifest.read())) return [["npm", "test"]];
  const names = await stagedNames(workspace, tree, options);
  const isTested = names.some((name) => name === "test" || /[.-]test\.[cm]?[jt]s$/.test(name));
  return isTested ? [["node", "--test"]] : [];
}

/** The end of a text, with a mark where its beginning is left out. */
export function endOf(text: string, maxLength: number): string {
  const trimmed = text.trim();
  return trimmed.length <= maxLength ? trimmed : `…${trimmed.slice(-maxLength).toWellFormed()}`;
}

async function runCheck(command: string[], options: CheckOptions): Promise<Check> {
  const { launch, clock, signal } = options;
  const [program = "", ...args] = command;
  const startedAt = clock.now();
  let end: ProgramEnd;
  try {
    const launched = await launch({ command: program, args });
    end = await launched.ended;
  } catch (error) {
    signal.throwIfAborted();
    return { ...couldNotEnd(command, error), durationMs: clock.now() - startedAt };
  }
  signal.throwIfAborted();
  const output = toStorable(spellHidden(`${end.stdout}${end.stderr}`)).replaceAll(options.checkout, ".");
  const ended = { command: command.join(" "), durationMs: clock.now() - startedAt };
  const kept = { ...ended, output: endOf(output, MAX_CHECK_OUTPUT) };
  if (end.exitCode === 0 && end.endedBy === "itself") return { ...kept, outcome: "passed", isPassed: true };
  const outcome = end.endedBy === "timeout" || end.endedBy === "stall" ? "timed-out" : "failed";
  return { ...kept, outcome, isPassed: false, why: whyEnded(end) };
}

/** What its sandbox had to end is the change's fault; a sandbox that cannot be had, or any other trouble, is not. */
function couldNotEnd(command: string[], error: unknown): Check {
  if (hasCode(error, "SANDBOX_LIMIT")) return { ...notRun(command, messageOf(error)), outcome: "failed" };
  if (hasCode(error, "PROGRAM_MISSING")) return notRun(command, `"${command[0]}" is not installed`);
  if (error instanceof RobsonError) throw error;
  return notRun(command, `"${command[0]}" cannot be started`);
}

function notRun(command: string[], why: string): Check {
  return { command: command.join(" "), outcome: "not-run", isPassed: false, durationMs: 0, why, output: "" };
}

function whyEnded({ endedBy, exitCode, why }: ProgramEnd): string {
  if (why !== undefined) return why;
  if (endedBy === "abort") return "it was stopped";
  if (endedBy !== "itself") return `it passed its limit (${endedBy})`;
  return exitCode === null ? "it was ended by a signal" : `it ended with ${exitCode}`;
}

function hasTestScript(packageJson: string): boolean {
  try {
    const parsed: unknown = JSON.parse(packageJson);
    const scripts = isRecord(parsed) && isRecord(parsed.scripts) ? parsed.scripts : {};
    return typeof scripts.test === "string";
  } catch {
    // Not JSON: npm could not run a script of it either.
    return false;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
