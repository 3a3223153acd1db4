/**
 * Runs tasks, one run of a task at a time within this process: a second request for the same task waits for
 * the first one's end, and then finds everything done. Tasks of different keys run beside each other.
 */
import type { RunReport } from "./pull-request-body.ts";
import { type RunContext, runTask, type WorkflowOptions } from "./run-task.ts";

export interface TaskRunner {
  /** As `runTask`. */
  run(key: string, context: RunContext): Promise<RunReport>;
}

/** A runner over these parts; make one per process. */
export function createTaskRunner(options: WorkflowOptions): TaskRunner {
  const last = new Map<string, Promise<unknown>>();
  return {
    async run(key, context) {
      const before = last.get(key);
      const turn = (async () => {
        // How the run before ended is its own asker's concern. It is waited for even when it was stopped: its
        // agent must be gone before another one starts in the same folder.
        await before?.catch(() => undefined);
        context.signal.throwIfAborted();
        return runTask(key, options, context);
      })();
      last.set(key, turn);
      try {
        return await turn;
      } finally {
        if (last.get(key) === turn) last.delete(key);
      }
    },
  };
}
