/**
 * The chat commands that have work done: `/run-task` for a task that is there, `/do` for what has no ticket. Both are long
 * work: their message is done once the run is stored, and at most one open run is at a task.
 */
import * as z from "zod";
import { hasCode, WorkerError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import type { ReceivedMessage } from "../core/message-event.ts";
import type { RunEnd as CutOff, RunRules } from "../core/run.ts";
import type { OwnWrite } from "../core/run-store.ts";
import { defineWorker, type Worker, type WorkerContext } from "../core/worker.ts";
import type { CodingAgent } from "./coding-agent.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "./limits.ts";
import { emitMistake } from "./mistakes.ts";
import { whyNotHeld } from "./permissions.ts";
import { checkRepositoryUrl } from "./repository-url.ts";
import { runTask } from "./run-task.ts";
import { startRunTime } from "./run-time.ts";
import { createTask, parseTaskKey } from "./task.ts";
import type { TaskRun } from "./task-run.ts";
import type { OpenRepositoriesWrite, TaskStatusWrite } from "./task-store.ts";
import type { WorkflowWorkersOptions } from "./workers.ts";

const agent = z.string().optional().describe("Which coding agent does it");
const budget = z.coerce.number().positive().optional().describe("The most that it may cost, in US dollars");

/** What `/run-task` takes. */
export const runTaskArguments = z.object({
  key: z.string().describe("The task, as its tracker names it: PROJ-123"),
  repo: z.string().optional().describe("A repository that the task is to be done in, besides its own"),
  agent,
  budget,
});

/** Raised when the steps of a run mean something else; see `RunRules`. */
const VERSION = 1;

export function runTaskWorker(options: WorkflowWorkersOptions): Worker {
  return defineWorker({
    name: "run-task",
    description: "Has the coding agent do a task, and opens a pull request",
    example: "/run-task PROJ-123",
    command: "/run-task",
    args: runTaskArguments,
    timeoutMs: timeoutOf(options),
    run: rulesFor((args: { key: string }) => args.key.trim().toUpperCase(), options),
    async handle(message, args, context) {
      let work: Work;
      try {
        const key = parseTaskKey(args.key);
        await options.tasks.get(key);
        if (args.repo !== undefined) {
          await options.tasks.addRepository(key, checkRepositoryUrl(args.repo, options));
        }
        work = { key, agent: agentOf(options, args), maxCostUsd: args.budget };
      } catch (error) {
        return emitMistake(context, error);
      }
      await doWork(options, { message, context, ...work });
    },
  });
}

export function doWorker(options: WorkflowWorkersOptions): Worker {
  return defineWorker({
    name: "do",
    description: "Has the coding agent do what you say, without a ticket, and opens a pull request",
    example: '/do "Fix the login page" repo=https://host/team/project.git',
    command: "/do",
    args: z.object({
      what: z.string().describe("What is to be done").meta({ "x-rest": true }),
      repo: z.array(z.string()).default([]).describe("The addresses of its repositories"),
      agent,
      budget,
    }),
    timeoutMs: timeoutOf(options),
    run: {
      version: VERSION,
      takesNotes: true,
      title: ({ what }: { what: string }) => what,
      endWrites: (_args, end) => endWrites(localKey(end.run), end),
    },
    async handle(message, args, context) {
      let work: Work;
      try {
        const key = await context.step("task", async () => createLocalTask(options, { message, ...args }));
        work = { key, agent: agentOf(options, args), maxCostUsd: args.budget };
      } catch (error) {
        return emitMistake(context, error);
      }
      await doWork(options, { message, context, ...work });
    },
  });
}

interface Work {
  key: string;
  agent: CodingAgent;
  maxCostUsd: number | undefined;
}

async function doWork(
  options: WorkflowWorkersOptions,
  { message, context, key, agent, maxCostUsd }: Work & { message: ReceivedMessage; context: WorkerContext },
): Promise<void> {
  const limits = { ...DEFAULT_WORKFLOW_LIMITS, ...options.limits };
  const runId = message.conversationId;
  const time = await startRunTime(runId, { maxMs: limits.runTimeoutMs, runs: options.runs });
  const run: TaskRun = {
    key,
    runId,
    requester: message.userId,
    options,
    agent,
    ...(maxCostUsd === undefined ? {} : { maxCostUsd }),
    limits,
    time,
    log: options.log ?? silentLogger,
    context,
  };
  await runTask(run).finally(time.close);
}

/** What keeps a second run of the task from beginning. */
export function taskLane(key: string): string {
  return `task ${key}`;
}

function rulesFor<Args>(keyOf: (args: Args) => string, { tasks: _ }: WorkflowWorkersOptions): RunRules<Args> {
  return {
    version: VERSION,
    takesNotes: true,
    lane: (args) => taskLane(keyOf(args)),
    title: keyOf,
    endWrites: (args, end) => endWrites(keyOf(args), end),
  };
}

/** The task, and its repositories that were being worked on, say how the run ended. */
function endWrites(key: string, { status, reason, at }: CutOff): OwnWrite[] {
  const change = { status: status === "stopped" ? "unfinished" : "failed", error: reason } as const;
  const ofTask: TaskStatusWrite = { kind: "task-status", key, change, at };
  const ofRepositories: OpenRepositoriesWrite = { kind: "open-repositories-status", key, change };
  return [ofTask, ofRepositories];
}

/** Of work that has no ticket. */
function localKey(run: number): string {
  return `DO-${run}`;
}

/** A task under a key of its own that its message gives it: a second attempt finds it again. */
async function createLocalTask(
  options: WorkflowWorkersOptions,
  { message, what, repo }: { message: ReceivedMessage; what: string; repo: string[] },
): Promise<string> {
  const key = localKey(message.conversationId);
  const [summary = "", ...rest] = what.trim().split("\n");
  if (repo.length === 0 && (options.repositories ?? []).length !== 1) {
    throw new WorkerError("Cannot do this: it names no repository", {
      code: "REPOSITORY_INVALID",
      retry: "never",
      hint: "Add repo= with its address, as in /do Fix the login page repo=https://host/team/project.git",
    });
  }
  const repoUrls = repo.length > 0 ? repo : [options.repositories?.[0]?.url ?? ""];
  const request = { key, summary, description: rest.join("\n"), repoUrls };
  await createTask(options.tasks, request, options).catch((error: unknown) => {
    if (!hasCode(error, "TASK_EXISTS")) throw error;
  });
  return key;
}

function agentOf(
  { agent, agents = [], permissions }: WorkflowWorkersOptions,
  wanted: { agent?: string | undefined; budget?: number | undefined },
): CodingAgent {
  const name = wanted.agent ?? agent.name;
  const all = [agent, ...agents];
  const named = all.find((each) => each.name === name);
  if (!named) {
    const known = [...new Set(all.map((each) => each.name))].join(", ");
    throw refusal(`There is no agent "${name}"`, `Known here: ${known}`);
  }
  if (wanted.budget !== undefined && !named.holdsBudget) {
    const holding = [...new Set(all.filter(({ holdsBudget }) => holdsBudget).map((each) => each.name))];
    const others = holding.length === 0 ? "" : `, or name one that can (${holding.join(", ")})`;
    const hint = `Leave the budget out${others}: the limits on time hold it either way`;
    throw refusal(`The agent "${name}" cannot be held to a budget`, hint);
  }
  const notHeld = whyNotHeld(named, permissions);
  if (notHeld) throw refusal(`Cannot do this under workflow.permissions: ${notHeld.message}`, notHeld.hint);
  return named;
}

function refusal(message: string, hint: string | undefined): WorkerError {
  return new WorkerError(message, { code: "TASK_INVALID", retry: "never", ...(hint ? { hint } : {}) });
}

/** Of one attempt, for what does not end by itself when the run's own time is over: a clone has limits of its own. */
function timeoutOf({ limits }: WorkflowWorkersOptions): number {
  const { runTimeoutMs, fetchTimeoutMs, maxLockWaitMs } = { ...DEFAULT_WORKFLOW_LIMITS, ...limits };
  return runTimeoutMs + fetchTimeoutMs + maxLockWaitMs;
}
