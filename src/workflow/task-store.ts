/**
 * Where tasks are kept: the contract between the workflow and the database. Every write may be repeated.
 * Implementation: `createTaskStore` in store/tasks.ts.
 */
import type { OwnWrite } from "../core/run-store.ts";
import type { Task, TaskRepo, TaskStatus } from "./task.ts";

/** A task as `createTask` has checked it. */
export interface NewTask {
  key: string;
  summary: string;
  description: string;
  assignee?: string;
  project: string;
  repoUrls: string[];
}

export interface TaskFilter {
  status?: TaskStatus;
  project?: string;
  /** Default: 1000. */
  limit?: number;
}

/** What becomes of a task or of one of its repositories; absent fields stay, null empties. */
export interface StatusChange {
  status?: TaskStatus;
  branch?: string | null;
  prUrl?: string | null;
  error?: string | null;
}

/** What becomes of a task, committed with a step of its run (`StepContext.write`). */
export interface TaskStatusWrite extends OwnWrite {
  kind: "task-status";
  key: string;
  change: StatusChange;
  at: number;
}

export interface RepositoryStatusWrite extends OwnWrite {
  kind: "repository-status";
  key: string;
  url: string;
  change: StatusChange;
}

/** Of each of the task's repositories that is being worked on. */
export interface OpenRepositoriesWrite extends OwnWrite {
  kind: "open-repositories-status";
  key: string;
  change: StatusChange;
}

export interface TaskComment {
  marker: string;
  body: string;
  createdAt: number;
}

export interface TaskStore {
  /** Stores the task and its repositories as `pending`, together. `TASK_EXISTS` when the key is taken. */
  create(task: NewTask): Promise<Task>;
  /** `TASK_NOT_FOUND` when there is none. */
  get(key: string): Promise<Task>;
  find(key: string): Promise<Task | undefined>;
  /** The oldest first. */
  list(filter?: TaskFilter): Promise<Task[]>;
  /** Has the task touch one more repository; nothing where it does already. `TASK_NOT_FOUND` when there is none. */
  addRepository(key: string, url: string): Promise<void>;
  /** Also keeps the times: of the first start, and of the end. */
  setStatus(key: string, change: StatusChange): Promise<void>;
  setRepositoryStatus(key: string, repository: Pick<TaskRepo, "url"> & StatusChange): Promise<void>;
  /** Stores the comment unless the task has one with this marker. */
  findOrCreateComment(key: string, comment: { marker: string; body: string }): Promise<{ isNew: boolean }>;
  comments(key: string): Promise<TaskComment[]>;
}
