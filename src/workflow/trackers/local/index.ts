/** The tracker that needs no account: its tickets are the rows of the tasks table, its comments of task_comments. */
import type { TaskStore } from "../../task-store.ts";
import type { Tracker } from "../../tracker.ts";

/** A tracker over the local tasks. A task's status is kept by the workflow itself, so a transition is nothing more. */
export function localTracker({ tasks }: { tasks: TaskStore }): Tracker {
  return {
    name: "local",
    async ticket(key) {
      const { summary, description } = await tasks.get(key);
      return { key, summary, description };
    },
    comment: (key, comment) => tasks.findOrCreateComment(key, comment),
    transition: async () => undefined,
  };
}
