/**
 * Where tasks are kept: the contract between the workflow and the database. Every write may be repeated.
 * Implementation: `createTaskStore` in store/tasks.ts.
 */
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
  /** Also keeps the times: of the first start, and of the end. */
  setStatus(key: string, change: StatusChange): Promise<void>;
  setRepositoryStatus(key: string, repository: Pick<TaskRepo, "url"> & StatusChange): Promise<void>;
  /** Stores the comment unless the task has one with this marker. */
  findOrCreateComment(key: string, comment: { marker: string; body: string }): Promise<{ isNew: boolean }>;
  comments(key: string): Promise<TaskComment[]>;
}
