/**
 * A task: the work that one ticket asks for, in one repository or more. `createTask` is the one way in, for
 * the chat and the command line alike; it refuses what the later steps could not carry.
 */
import { RobsonError } from "../core/errors.ts";
import { byteLength, toStorable } from "../core/text.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "./limits.ts";
import { checkRepositoryUrl, type UrlRules } from "./repository-url.ts";
import type { TaskStore } from "./task-store.ts";

/** `unfinished` was stopped before its end, or ended in some of its repositories only. */
export const TASK_STATUSES = ["pending", "in_progress", "done", "failed", "unfinished"] as const;

export type TaskStatus = (typeof TASK_STATUSES)[number];

/** The part of a task that concerns one repository. */
export interface TaskRepo {
  url: string;
  status: TaskStatus;
  branch?: string;
  prUrl?: string;
  error?: string;
}

export interface Task {
  /** As the tracker names it: PROJ-123. */
  key: string;
  summary: string;
  description: string;
  assignee?: string;
  /** The key's part before the dash. */
  project: string;
  status: TaskStatus;
  branch?: string;
  prUrl?: string;
  error?: string;
  createdAt: number;
  updatedAt: number;
  startedAt?: number;
  finishedAt?: number;
  repositories: TaskRepo[];
}

/** What a person asks for, not yet checked. */
export interface TaskRequest {
  key: string;
  summary: string;
  description?: string | undefined;
  assignee?: string | undefined;
  repoUrls?: string[] | undefined;
}

export interface TaskRules extends UrlRules {
  limits?: Partial<WorkflowLimits> | undefined;
}

/** Checks the request and stores the task as `pending`. Throws `TASK_INVALID`, `REPOSITORY_INVALID`, `TASK_EXISTS`. */
export async function createTask(
  tasks: TaskStore,
  request: TaskRequest,
  rules: TaskRules = {},
): Promise<Task> {
  const limits = { ...DEFAULT_WORKFLOW_LIMITS, ...rules.limits };
  const key = parseTaskKey(request.key);
  const summary = toStorable(request.summary).trim().replace(/\s+/gu, " ");
  const description = toStorable(request.description ?? "").trim();
  const urls = [...new Set(request.repoUrls ?? [])];

  if (summary === "") {
    throw invalid(
      `Cannot create task "${key}": it has no summary`,
      "Say in one line what is to be done, as in: Fix the login page",
    );
  }
  refuseLonger(key, {
    field: "summary",
    text: summary,
    limit: "maxSummaryBytes",
    key: "max_summary_bytes",
    maxBytes: limits.maxSummaryBytes,
  });
  refuseLonger(key, {
    field: "description",
    text: description,
    limit: "maxDescriptionBytes",
    key: "max_description_bytes",
    maxBytes: limits.maxDescriptionBytes,
  });
  if (urls.length > limits.maxRepositoriesPerTask) {
    throw invalid(
      `Cannot create task "${key}": it names ${urls.length} repositories, and the limit maxRepositoriesPerTask is ${limits.maxRepositoriesPerTask}`,
      "Split the task, or raise workflow.limits.max_repositories_per_task in robson.toml",
    );
  }
  return tasks.create({
    key,
    summary,
    description,
    ...(request.assignee === undefined ? {} : { assignee: toStorable(request.assignee) }),
    project: key.slice(0, key.lastIndexOf("-")),
    repoUrls: urls.map((url) => checkRepositoryUrl(url, rules)),
  });
}

/** The key as it is stored, or `TASK_INVALID`. */
export function parseTaskKey(text: string): string {
  const key = text.trim().toUpperCase();
  if (/^[A-Z][A-Z0-9_]{0,31}-[1-9][0-9]{0,9}$/.test(key)) return key;
  const shown =
    key === ""
      ? "No task key was given"
      : `${JSON.stringify(toStorable(text).slice(0, 60))} is not a task key`;
  throw invalid(shown, "Write the project, a dash and a number, as in PROJ-123");
}

/** The status of that name, or `TASK_INVALID`. */
export function parseTaskStatus(text: string): TaskStatus {
  const status = TASK_STATUSES.find((known) => known === text);
  if (status) return status;
  throw invalid(
    `${JSON.stringify(toStorable(text).slice(0, 60))} is not a task status`,
    `Use one of ${TASK_STATUSES.join(", ")}`,
  );
}

function refuseLonger(
  key: string,
  rule: { field: string; text: string; limit: string; key: string; maxBytes: number },
): void {
  const bytes = byteLength(rule.text);
  if (bytes <= rule.maxBytes) return;
  throw invalid(
    `Cannot create task "${key}": its ${rule.field} has ${bytes} bytes, and the limit ${rule.limit} is ${rule.maxBytes}`,
    `Shorten the ${rule.field}, or raise workflow.limits.${rule.key} in robson.toml`,
  );
}

function invalid(message: string, hint: string): RobsonError {
  return new RobsonError("TASK_INVALID", message, { hint });
}
