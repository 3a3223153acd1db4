/**
 * Git as a child process with nothing of the machine in it: no configuration, no hooks, no prompts, no shell.
 * Errors are `GIT_FAILED` with what git said, cut, and without credentials.
 */
import { WorkerError } from "../core/errors.ts";
import { preview, toStorable } from "../core/text.ts";
import { type ProcessEnd, runProcess } from "./child-process.ts";
import { type GitCredential, gitAccess } from "./git-credentials.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "./limits.ts";
import { withoutCredentials } from "./repository-url.ts";

export interface GitOptions {
  directory: string;
  /** The git directory. Default: the one that git finds from `directory` on. */
  repository?: string;
  signal: AbortSignal;
  limits?: WorkflowLimits | undefined;
  /** How long the command may take. Default: `gitTimeoutMs` of the limits. */
  timeout?: { ms: number; limit: keyof WorkflowLimits } | undefined;
  /** How much the command may print. Default: `MAX_GIT_OUTPUT_BYTES`. */
  maxOutputBytes?: number | undefined;
  /** Which hosts want a password. Only that of `remoteUrl` is handed to git. */
  credentials?: readonly GitCredential[] | undefined;
  /** The address that the command may talk to. */
  remoteUrl?: string | undefined;
  /** Added to the environment made from nothing; fixed dates, for instance. */
  environment?: Record<string, string>;
}

/** How much one git command may print. Not for the configuration: Robson asks git nothing that comes near. */
const MAX_GIT_OUTPUT_BYTES = 8 * 1024 * 1024;
/** How many characters of git's own words an error carries. */
const MAX_SHOWN_ERROR = 600;

/** The commits of Robson are his own, on every machine. */
const ROBSON_IDENTITY = {
  GIT_AUTHOR_NAME: "Robson",
  GIT_AUTHOR_EMAIL: "robson@localhost",
  GIT_COMMITTER_NAME: "Robson",
  GIT_COMMITTER_EMAIL: "robson@localhost",
};

/** Runs `git <args>` and returns its stdout. `GIT_FAILED` when it fails, the signal's reason when aborted. */
export async function git(args: string[], options: GitOptions): Promise<string> {
  const end = await runGit(args, options);
  if (end.exitCode === 0 && end.endedBy === "itself") return end.stdout;
  throw gitFailed(args, ended(end, options));
}

/** Like `git`, but undefined where git ends with 1 or 128: for asking whether something is there. */
export async function askGit(args: string[], options: GitOptions): Promise<string | undefined> {
  const end = await runGit(args, options);
  if (end.exitCode === 0 && end.endedBy === "itself") return end.stdout;
  if (end.endedBy === "itself" && (end.exitCode === 1 || end.exitCode === 128)) return undefined;
  throw gitFailed(args, ended(end, options));
}

/** For commands whose exit code 1 is an answer too, with what they print beside it. */
export async function gitAnswer(
  args: string[],
  options: GitOptions,
): Promise<{ isYes: boolean; stdout: string }> {
  const end = await runGit(args, options);
  const isAnswer = end.endedBy === "itself" && (end.exitCode === 0 || end.exitCode === 1);
  if (isAnswer) return { isYes: end.exitCode === 0, stdout: end.stdout };
  throw gitFailed(args, ended(end, options));
}

async function runGit(args: string[], options: GitOptions): Promise<ProcessEnd> {
  const { signal, limits = DEFAULT_WORKFLOW_LIMITS, timeout } = options;
  signal.throwIfAborted();
  const access = gitAccess(options.remoteUrl, options.credentials);
  let end: ProcessEnd;
  try {
    end = await runProcess({
      command: "git",
      args: [...SAFE_SETTINGS, ...access.settings, ...args],
      directory: options.directory,
      environment: {
        ...gitEnvironment(),
        ...access.environment,
        ...(options.repository === undefined ? {} : { GIT_DIR: options.repository }),
        ...options.environment,
      },
      timeoutMs: timeout?.ms ?? limits.gitTimeoutMs,
      // What git prints is read, so it must be whole: over the limit is an error, never a part.
      limits: {
        killGraceMs: limits.killGraceMs,
        maxProcessOutputBytes: options.maxOutputBytes ?? MAX_GIT_OUTPUT_BYTES,
        maxKeptOutput: options.maxOutputBytes ?? MAX_GIT_OUTPUT_BYTES,
      },
      signal,
    });
  } catch (error) {
    const hint = "Install git and put it on the PATH";
    throw gitFailed(args, { why: "it cannot be started", hint, cause: error });
  }
  signal.throwIfAborted();
  return { ...end, stderr: without(access.secrets, end.stderr) };
}

function without(secrets: readonly string[], text: string): string {
  return secrets.reduce((left, secret) => left.replaceAll(secret, "…"), text);
}

// Robson's git reads no configuration of a checkout (see workspace.ts). What would run a repository's programs, or
// lead git to another address, is set here besides, where no configuration can override it.
const SAFE_SETTINGS = [
  "-c",
  "core.hooksPath=/dev/null",
  "-c",
  "core.fsmonitor=false",
  "-c",
  "core.quotePath=false",
  "-c",
  "core.sshCommand=ssh -oBatchMode=yes",
  "-c",
  "credential.helper=",
  "-c",
  "commit.gpgSign=false",
  "-c",
  "gc.auto=0",
  "-c",
  "maintenance.auto=false",
  "-c",
  "advice.detachedHead=false",
  "-c",
  "core.attributesFile=/dev/null",
  "-c",
  "submodule.recurse=false",
  "-c",
  "fetch.recurseSubmodules=false",
  "-c",
  "push.recurseSubmodules=no",
  // A public host could send git on to a private one, behind the check of repository-host.ts.
  "-c",
  "http.followRedirects=false",
];

function gitEnvironment(): Record<string, string> {
  return {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    HOME: "/nonexistent",
    LANG: "C.UTF-8",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ALLOW_PROTOCOL: "https:ssh:file",
    GIT_PAGER: "cat",
    // The keys of whoever runs Robson; no program of a checkout sees it.
    ...(process.env.SSH_AUTH_SOCK === undefined ? {} : { SSH_AUTH_SOCK: process.env.SSH_AUTH_SOCK }),
    ...ROBSON_IDENTITY,
  };
}

interface Failure {
  why: string;
  stderr?: string;
  hint?: string;
  cause?: unknown;
}

function ended(end: ProcessEnd, options: GitOptions): Failure {
  return { why: describe(end, options), stderr: end.stderr };
}

function describe(
  end: ProcessEnd,
  { limits = DEFAULT_WORKFLOW_LIMITS, timeout, maxOutputBytes }: GitOptions,
): string {
  if (end.endedBy === "timeout") {
    const { ms, limit } = timeout ?? { ms: limits.gitTimeoutMs, limit: "gitTimeoutMs" };
    return `it took longer than ${limit} (${ms} ms)`;
  }
  if (end.endedBy === "output") {
    return `it printed more than MAX_GIT_OUTPUT_BYTES (${maxOutputBytes ?? MAX_GIT_OUTPUT_BYTES})`;
  }
  return end.exitCode === null ? "a signal ended it" : `it ended with ${end.exitCode}`;
}

function gitFailed(args: string[], { why, stderr = "", hint, cause }: Failure): WorkerError {
  const command = args.find((part) => !part.startsWith("-")) ?? "";
  const said = preview(
    withoutCredentials(toStorable(stderr))
      .trim()
      .replace(/\s*\n\s*/g, "; "),
    MAX_SHOWN_ERROR,
  );
  const message = `git ${command} failed: ${why}${said === "" ? "" : `, saying: ${said}`}`;
  const known = PERMANENT.find(({ says }) => says.test(stderr));
  const retry = known === undefined ? "later" : "never";
  return new WorkerError(message, { code: "GIT_FAILED", retry, hint: hint ?? known?.hint ?? HINT, cause });
}

const HINT = "Check that the repository can be reached and that Robson may read and write it";

/** What git and its servers say when another attempt cannot help, and what its reader can do. */
const PERMANENT: { says: RegExp; hint: string }[] = [
  {
    says: /could not read (?:Username|Password)|Authentication failed/i,
    hint: "Give Robson a token for that host, in [[git_credentials]] of robson.toml, or correct it; or name the repository by ssh (git@host:path), for which the user that runs Robson has a key",
  },
  {
    says: /Host key verification failed/i,
    hint: "Connect once by ssh to that host as the user that runs Robson, and accept its key",
  },
  {
    says: /returned error: 30[1278]/,
    hint: "The server sends git on to another address, which is not followed; create the task with that address, often the same with .git at its end",
  },
  {
    says: /remote rejected.*(?:hook declined|rule violations|refusing to allow)/i,
    hint: "The repository refuses this push by a rule of its own, in the words above. Change that rule, or what the branch is called (branch_pattern under [workflow]), or what Robson's token may do",
  },
  { says: /unknown option|usage: git merge-tree/, hint: "Robson needs git 2.38 or newer" },
  { says: /does not exist|not found|not appear to be a git repository|Permission denied/i, hint: HINT },
];
