/** The schedule that looks for pending tasks and has them done: `run_pending_every_seconds`. */
import type { DueMessage, Schedule } from "./index.ts";

/** A task as far as this needs it. */
export interface PendingTask {
  key: string;
  updatedAt: number;
}

export const PENDING_TASKS = "pending-tasks";

/** A task gets one message for each time that it becomes pending, however often it is looked at meanwhile. */
export function pendingTasksSchedule(options: {
  every: number;
  pendingTasks(): Promise<readonly PendingTask[]>;
}): Schedule {
  const message = async (): Promise<DueMessage[]> =>
    (await options.pendingTasks()).map(({ key, updatedAt }) => ({
      content: `/run-task ${key}`,
      idempotencyKey: `pending:${key}:${new Date(updatedAt).toISOString()}`,
    }));
  return { name: PENDING_TASKS, every: options.every, message };
}
