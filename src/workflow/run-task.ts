/**
 * From a task to pull requests. Read this first: ticket, then each repository (run-repository.ts), then the
 * comment on the ticket and the task's status. The whole may be run again at any time, after a crash or
 * because someone asked twice: it ends with one branch, one commit, one pull request and one comment.
 */
import type { AllowedHosts } from "../core/allowed-hosts.ts";
import { hasCode, messageOf, RobsonError, WorkerError } from "../core/errors.ts";
import { type Logger, silentLogger } from "../core/logger.ts";
import { toStorable } from "../core/text.ts";
import { commentMarker } from "./branch.ts";
import type { CodingAgent } from "./coding-agent.ts";
import type { Forge } from "./forge.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "./limits.ts";
import { type RepositoryReport, type RunReport, ticketComment } from "./pull-request-body.ts";
import type { Lookup } from "./repository-host.ts";
import { runRepository } from "./run-repository.ts";
import type { Task } from "./task.ts";
import type { TaskStore } from "./task-store.ts";
import type { Tracker } from "./tracker.ts";

export interface RepositorySettings {
  url: string;
  /** The branch to start from and to merge into. Default: the repository's default branch. */
  base?: string;
  /** The commands that must pass, each a program with its arguments. Default: what the project shows. */
  verify?: string[][];
}

export interface WorkflowOptions {
  tasks: TaskStore;
  tracker: Tracker;
  forge: Forge;
  agent: CodingAgent;
  /** Where the clones are made; a folder that only Robson uses. */
  workDirectory: string;
  clock: { now(): number };
  repositories?: RepositorySettings[];
  /** Hosts of repositories that may be reached although their addresses are private. Default: none. */
  allowedHosts?: AllowedHosts;
  /** What hosts resolve to. Default: what the system says. */
  lookup?: Lookup;
  limits?: Partial<WorkflowLimits>;
  log?: Logger;
}

/** The steps in their order; those from `workspace` to `pull-request` happen once per repository. */
export const STEPS = [
  "ticket",
  "workspace",
  "agent",
  "verify",
  "commit",
  "push",
  "pull-request",
  "comment",
  "status",
] as const;

export type StepName = (typeof STEPS)[number];

/** A step that has ended. Each run reports the same steps in the same order, also those it found done. */
export interface StepReport {
  step: StepName;
  repoUrl?: string;
  text: string;
}

export interface RunContext {
  signal: AbortSignal;
  onStep?: (report: StepReport) => Promise<void> | void;
}

/** What the steps of one run share. */
export interface TaskRun {
  key: string;
  options: WorkflowOptions;
  limits: WorkflowLimits;
  log: Logger;
  signal: AbortSignal;
  report(report: StepReport): Promise<void>;
}

/** How many characters of an error are kept with the task. */
const MAX_KEPT_ERROR = 2000;

/**
 * Runs the task to its end. Rejects with a `WorkerError` that says whether another attempt can help, or with
 * the signal's reason when stopped; the task's status and error are stored before.
 */
export async function runTask(
  key: string,
  options: WorkflowOptions,
  context: RunContext,
): Promise<RunReport> {
  const run: TaskRun = {
    key,
    options,
    limits: { ...DEFAULT_WORKFLOW_LIMITS, ...options.limits },
    log: options.log ?? silentLogger,
    signal: context.signal,
    report: async (report) => {
      await context.onStep?.(report);
      context.signal.throwIfAborted();
    },
  };
  const startedAt = options.clock.now();
  const done: RepositoryReport[] = [];
  try {
    const task = await options.tasks.get(key);
    refuseEmpty(task);
    // Before any clone: what an agent lacks is known at once, and is its operator's to mend.
    await options.agent.check?.({ signal: context.signal });
    await options.tasks.setStatus(key, { status: "in_progress", error: null });
    return await runSteps(run, { task, done, startedAt });
  } catch (error) {
    const failure = context.signal.aborted ? context.signal.reason : asWorkerError(error);
    await recordFailure(run, { failure, isPartlyDone: done.length > 0 });
    throw failure;
  }
}

async function runSteps(
  run: TaskRun,
  { task, done, startedAt }: { task: Task; done: RepositoryReport[]; startedAt: number },
): Promise<RunReport> {
  const { key, signal } = run;
  const { tasks, tracker, clock } = run.options;
  const ticket = await tracker.ticket(key, { signal });
  await tracker.transition(key, "in_progress", { signal });
  await run.report({ step: "ticket", text: `Read ${key}` });

  for (const repo of task.repositories) {
    try {
      done.push(await runRepository(run, ticket, repo));
    } catch (error) {
      await recordRepositoryFailure(run, { url: repo.url, error });
      throw error;
    }
  }

  const urls = done.map(({ pullRequest }) => pullRequest.url);
  const comment = { marker: commentMarker(key, urls), body: ticketComment({ repositories: done }) };
  await tracker.comment(key, comment, { signal });
  for (const url of urls) await tracker.link?.(key, { url, title: ticket.summary }, { signal });
  await run.report({ step: "comment", text: `Commented on ${key}` });

  const [first] = done;
  await tracker.transition(key, "done", { signal });
  await tasks.setStatus(key, {
    status: "done",
    branch: first?.branch ?? null,
    prUrl: first?.pullRequest.url ?? null,
  });
  await run.report({ step: "status", text: `${key} is done` });
  return { key, summary: ticket.summary, repositories: done, elapsedMs: clock.now() - startedAt };
}

function refuseEmpty(task: Task): void {
  if (task.repositories.length > 0) return;
  throw new WorkerError(`Cannot run task "${task.key}": it names no repository`, {
    code: "REPOSITORY_INVALID",
    retry: "never",
    hint: "Create a task that names one: --repo-url on the command line, repo= in a chat",
  });
}

const PERMANENT = [
  "TASK_INVALID",
  "TASK_NOT_FOUND",
  "REPOSITORY_INVALID",
  "AGENT_FAILED",
  "VERIFY_FAILED",
] as const;

function asWorkerError(error: unknown): WorkerError {
  if (error instanceof WorkerError) return error;
  const hint =
    (error instanceof RobsonError && error.hint) || "Run the task again: what is done already is kept";
  return new WorkerError(messageOf(error), {
    ...(error instanceof RobsonError ? { code: error.code } : {}),
    retry: hasCode(error, ...PERMANENT) ? "never" : "later",
    hint,
    cause: error,
  });
}

async function recordRepositoryFailure(
  run: TaskRun,
  { url, error }: { url: string; error: unknown },
): Promise<void> {
  const isStopped = run.signal.aborted;
  const kept = keptError(isStopped ? run.signal.reason : error);
  const status = isStopped ? "unfinished" : "failed";
  await attempt(run, () => run.options.tasks.setRepositoryStatus(run.key, { url, status, error: kept }));
}

async function recordFailure(
  run: TaskRun,
  { failure, isPartlyDone }: { failure: unknown; isPartlyDone: boolean },
): Promise<void> {
  if (hasCode(failure, "TASK_NOT_FOUND")) return;
  const status = run.signal.aborted || isPartlyDone ? "unfinished" : "failed";
  const error = keptError(failure);
  await attempt(run, () => run.options.tasks.setStatus(run.key, { status, error }));
}

function keptError(error: unknown): string {
  return toStorable(messageOf(error).slice(0, MAX_KEPT_ERROR));
}

/** The first error is the one to report: a second one, while it is being recorded, only goes to the log. */
async function attempt(run: TaskRun, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    run.log.error({ task: run.key, error: messageOf(error) }, "a task's failure could not be recorded");
  }
}
