/**
 * Runs the project's own checks on what the agent changed. The commands come from the options, or from what
 * the project shows; a project that shows none is reported as not verified, never as passed.
 */
import { WorkerError } from "../core/errors.ts";
import { preview, toStorable } from "../core/text.ts";
import { runProcess } from "./child-process.ts";
import { readStaged, stagedNames } from "./commit.ts";
import type { WorkflowLimits } from "./limits.ts";
import { fenced } from "./pull-request-body.ts";
import type { Workspace } from "./workspace.ts";

export interface Check {
  /** As a person would type it. */
  command: string;
  isPassed: boolean;
  /** The end of what it printed. */
  output: string;
}

export interface VerifyOptions {
  /** The staged tree: what is looked at to see which checks the project has. */
  tree: string;
  /** Each a program with its arguments; no shell. Absent: what the project shows. */
  commands?: string[][] | undefined;
  limits: WorkflowLimits;
  signal: AbortSignal;
}

/** The largest package.json that is read for its test script. Not for the configuration: real ones are far below. */
const MAX_PACKAGE_JSON_BYTES = 1024 * 1024;
/** How many characters of a failing command's output go into the error. */
const MAX_SHOWN_OUTPUT = 1500;

/** Runs all commands; throws `VERIFY_FAILED` with the output of the first that fails. None: an empty list. */
export async function verify(workspace: Workspace, options: VerifyOptions): Promise<Check[]> {
  const commands = options.commands ?? (await detectCommands(workspace, options));
  const checks: Check[] = [];
  for (const command of commands) {
    checks.push(await runCheck(command, workspace, options));
  }
  return checks;
}

/** `npm test` where package.json has a test script, `node --test` where there are test files for it. */
export async function detectCommands(
  workspace: Workspace,
  { tree, limits, signal }: Omit<VerifyOptions, "commands">,
): Promise<string[][]> {
  const options = { limits, signal };
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

async function runCheck(command: string[], workspace: Workspace, options: VerifyOptions): Promise<Check> {
  const { limits, signal } = options;
  const [program = "", ...args] = command;
  const shown = command.join(" ");
  const end = await runProcess({
    command: program,
    args,
    directory: workspace.checkout,
    environment: workspace.environment,
    timeoutMs: limits.verifyTimeoutMs,
    limits,
    signal,
  }).catch((error: unknown) => {
    throw new WorkerError(`Cannot verify with \`${shown}\`: "${program}" cannot be started`, {
      code: "VERIFY_FAILED",
      retry: "never",
      hint: "Correct the command in the configuration, or install the program",
      cause: error,
    });
  });
  signal.throwIfAborted();
  const output = toStorable(`${end.stdout}${end.stderr}`).replaceAll(workspace.checkout, ".");
  if (end.exitCode === 0 && end.endedBy === "itself") return { command: shown, isPassed: true, output };

  const why = {
    itself: end.exitCode === null ? "was ended by a signal" : `ended with ${end.exitCode}`,
    timeout: `took longer than verifyTimeoutMs (${limits.verifyTimeoutMs} ms)`,
    output: `printed more than maxProcessOutputBytes (${limits.maxProcessOutputBytes})`,
    abort: "was stopped",
  }[end.endedBy];
  throw new WorkerError(`The change does not pass \`${shown}\`: it ${why}\n${fenced(tailOf(output))}`, {
    code: "VERIFY_FAILED",
    retry: "never",
    hint: "Nothing was pushed. Make the ticket clearer or repair the check, then run the task again",
  });
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

function tailOf(output: string): string {
  const trimmed = output.trim();
  const tail = trimmed.slice(-MAX_SHOWN_OUTPUT);
  return tail.length === trimmed.length ? tail : `…${preview(tail.toWellFormed(), MAX_SHOWN_OUTPUT)}`;
}
