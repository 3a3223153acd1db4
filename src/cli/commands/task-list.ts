/** `robson task list`: one line a task, the oldest first. */
import { preview } from "../../core/text.ts";
import { parseTaskStatus, type Task } from "../../workflow/task.ts";
import type { TaskFilter } from "../../workflow/task-store.ts";
import type { CommandContext } from "../program.ts";
import { withStore } from "../with-store.ts";

const MAX_SUMMARY_GRAPHEMES = 80;

export async function taskList(
  { io, config, isJson }: CommandContext,
  { status, limit }: { status?: string; limit: number },
): Promise<undefined> {
  const filter: TaskFilter = { limit, ...(status === undefined ? {} : { status: parseTaskStatus(status) }) };
  const tasks = await withStore(config, (store) => store.tasks.list(filter));
  const width = Math.max(0, ...tasks.map(({ key }) => key.length));
  const lines = isJson ? [JSON.stringify(tasks)] : tasks.map((task) => lineOf(task, width));
  for (const line of lines) io.out(line);
  if (tasks.length === 0 && !isJson) io.err("There are no such tasks");
}

function lineOf({ key, status, summary, prUrl }: Task, keyWidth: number): string {
  const end = prUrl === undefined ? "" : `  ${prUrl}`;
  return `${key.padEnd(keyWidth)}  ${status.padEnd(11)}  ${preview(summary, MAX_SUMMARY_GRAPHEMES)}${end}`;
}
