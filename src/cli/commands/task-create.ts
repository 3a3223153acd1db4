/** `robson task create`: stores a task; a running agent needs no word of it until someone asks for its work. */
import { createTask } from "../../workflow/task.ts";
import type { CommandContext } from "../program.ts";
import { taskRules } from "../start-loop.ts";
import { withStore } from "../with-store.ts";

export interface TaskCreateOptions {
  key: string;
  summary: string;
  description?: string;
  assignee?: string;
  repoUrl: string[];
}

export async function taskCreate(context: CommandContext, options: TaskCreateOptions): Promise<undefined> {
  const { io, config, isJson } = context;
  const { repoUrl: repoUrls, ...request } = options;
  const task = await withStore(config, (store) =>
    createTask(store.tasks, { ...request, repoUrls }, taskRules(config)),
  );
  if (isJson) io.out(JSON.stringify(task));
  else {
    io.out(task.key);
    io.err(
      task.repositories.length === 0
        ? `Created. It names no repository: have it done in one with: robson run-task ${task.key} --repo <url>`
        : `Created. Have it done with: robson run-task ${task.key}`,
    );
  }
}
