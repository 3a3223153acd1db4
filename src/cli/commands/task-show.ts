/** `robson task show`: one task with its repositories and comments. */
import { parseTaskKey, type Task, type TaskRepo } from "../../workflow/task.ts";
import type { TaskComment } from "../../workflow/task-store.ts";
import type { CommandContext } from "../program.ts";
import { withStore } from "../with-store.ts";

export async function taskShow({ io, config, isJson }: CommandContext, key: string): Promise<undefined> {
  const { task, comments } = await withStore(config, async ({ tasks }) => ({
    task: await tasks.get(parseTaskKey(key)),
    comments: await tasks.comments(parseTaskKey(key)),
  }));
  const lines = isJson ? [JSON.stringify({ ...task, comments })] : linesOf(task, comments);
  for (const line of lines) io.out(line);
}

function linesOf(task: Task, comments: TaskComment[]): string[] {
  const fields: [string, string | undefined][] = [
    ["Status", task.status],
    ["Assignee", task.assignee],
    ["Branch", task.branch],
    ["Pull request", task.prUrl],
    ["Error", task.error],
    ["Created", at(task.createdAt)],
    ["Started", at(task.startedAt)],
    ["Finished", at(task.finishedAt)],
  ];
  return [
    `${task.key}  ${task.summary}`,
    ...(task.description === "" ? [] : ["", task.description]),
    "",
    ...fields.flatMap(([name, value]) => (value === undefined ? [] : [`${`${name}:`.padEnd(14)}${value}`])),
    ...task.repositories.map(repositoryLine),
    ...comments.flatMap(({ body, createdAt }) => ["", `Comment of ${at(createdAt)}`, body]),
  ];
}

function repositoryLine({ url, status, prUrl, error }: TaskRepo): string {
  const end = [prUrl, error].filter((part) => part !== undefined).map((part) => `, ${part}`);
  return `${"Repository:".padEnd(14)}${url} (${status}${end.join("")})`;
}

function at(instant: number | undefined): string | undefined {
  return instant === undefined ? undefined : new Date(instant).toISOString();
}
