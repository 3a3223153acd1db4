/**
 * The chat commands of the workflow: `/task create`, `/task list`, `/task show`; those that do the work are in
 * run-workers.ts. What a person got wrong is answered with `failed` and what to do.
 */
import * as z from "zod";
import { hasCode } from "../core/errors.ts";
import { defineWorker, type Worker, type WorkerContext } from "../core/worker.ts";
import { DEFAULT_WORKFLOW_LIMITS } from "./limits.ts";
import { emitMistake } from "./mistakes.ts";
import { doWorker, runTaskWorker } from "./run-workers.ts";
import { createTask, parseTaskKey, TASK_STATUSES, type Task, type TaskRequest } from "./task.ts";
import type { WorkflowOptions } from "./task-run.ts";
import type { TaskFilter, TaskStore } from "./task-store.ts";

export interface WorkflowWorkersOptions extends WorkflowOptions {
  /** Whether tasks may name repositories of this machine (`file://`). Default: no. */
  allowFileUrls?: boolean;
}

const key = z.string().describe("The task, as its tracker names it: PROJ-123");

/** The workers, ready to be registered. */
export function workflowWorkers(options: WorkflowWorkersOptions): Worker[] {
  return [
    createWorker(options),
    listWorker(options),
    showWorker(options),
    runTaskWorker(options),
    doWorker(options),
  ];
}

function createWorker({ tasks, ...rules }: WorkflowWorkersOptions): Worker {
  return defineWorker({
    name: "task-create",
    description: "Creates a task",
    example: '/task create key=PROJ-123 summary="Fix the login page" repo=https://host/team/project.git',
    command: "/task create",
    args: z.object({
      key,
      summary: z.string().describe("What is to be done, in one line").meta({ "x-rest": true }),
      description: z.string().optional().describe("All that the agent should know"),
      assignee: z.string().optional().describe("Whose task it is"),
      repo: z.array(z.string()).default([]).describe("The addresses of its repositories"),
    }),
    handle: (message, { repo, ...args }, context) =>
      answer(context, async () => {
        const repoUrls = repo.flatMap((urls) => urls.split(",")).filter((url) => url.trim() !== "");
        const request: TaskRequest = { ...args, repoUrls };
        const task = await createTask(tasks, request, rules).catch((error: unknown) =>
          adoptOwn(error, { tasks, request, context, since: message.createdAt }),
        );
        const repositories = task.repositories.map(({ url }) => `\n- ${url}`).join("");
        const next =
          repositories === ""
            ? `It names no repository: have it done in one with \`/run-task ${task.key} repo=<url>\``
            : `Start it with \`/run-task ${task.key}\``;
        return `Created **${task.key}**: ${task.summary}${repositories}\n\n${next}`;
      }),
  });
}

/** A second attempt at the same message finds the task that the first one made before a crash. */
async function adoptOwn(
  error: unknown,
  made: { tasks: TaskStore; request: TaskRequest; context: WorkerContext; since: number },
): Promise<Task> {
  if (!hasCode(error, "TASK_EXISTS") || made.context.attempt === 1) throw error;
  const task = await made.tasks.get(parseTaskKey(made.request.key));
  if (task.createdAt < made.since) throw error;
  return task;
}

function listWorker({ tasks, limits }: WorkflowWorkersOptions): Worker {
  const { maxListedTasks } = { ...DEFAULT_WORKFLOW_LIMITS, ...limits };
  return defineWorker({
    name: "task-list",
    description: "Lists the tasks",
    example: "/task list status=pending",
    command: "/task list",
    args: z.object({
      status: z.enum(TASK_STATUSES).optional(),
      project: z.string().optional().describe("A key's part before the dash, as PROJ"),
    }),
    handle: (_message, { status, project }, context) =>
      answer(context, async () => {
        const filter: TaskFilter = { limit: maxListedTasks + 1 };
        if (status !== undefined) filter.status = status;
        if (project !== undefined) filter.project = project.toUpperCase();
        const found = await tasks.list(filter);
        if (found.length === 0) return "No tasks";
        const lines = found
          .slice(0, maxListedTasks)
          .map(({ key, status, summary }) => `- **${key}** ${status}: ${summary}`);
        const more = found.length > maxListedTasks ? [`- … and more (the limit is maxListedTasks)`] : [];
        return [...lines, ...more].join("\n");
      }),
  });
}

function showWorker({ tasks }: WorkflowWorkersOptions): Worker {
  return defineWorker({
    name: "task-show",
    description: "Shows a task with its repositories",
    example: "/task show PROJ-123",
    command: "/task show",
    args: z.object({ key }),
    handle: (_message, args, context) =>
      answer(context, async () => describeTask(await tasks.get(parseTaskKey(args.key)))),
  });
}

/** One answer, or the mistake that stands in its way. */
async function answer(context: WorkerContext, work: () => Promise<string>): Promise<void> {
  let text: string;
  try {
    text = await work();
  } catch (error) {
    return emitMistake(context, error);
  }
  await context.emit("completed", text);
}

function describeTask(task: Task): string {
  const facts = [
    `**${task.key}** ${task.status}: ${task.summary}`,
    ...(task.description === "" ? [] : [`\n${task.description}\n`]),
    ...(task.assignee === undefined ? [] : [`Assignee: ${task.assignee}`]),
    ...(task.error === undefined ? [] : [`Error: ${task.error}`]),
    ...task.repositories.map(({ url, status, branch, prUrl, error }) => {
      const parts = [branch && `branch \`${branch}\``, prUrl, error].filter((part) => part);
      return `- ${url}: ${status}${parts.length === 0 ? "" : ` (${parts.join(", ")})`}`;
    }),
  ];
  return facts.join("\n");
}
