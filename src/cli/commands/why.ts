/** `robson why`: what happened to a message or a task, and what is next, from the records alone. */
import { systemClock } from "../../core/clock.ts";
import { hasCode } from "../../core/errors.ts";
import { explain } from "../../plugins/operator/explain.ts";
import { findMessages } from "../../plugins/operator/facts.ts";
import { absolute, at, errorText, quoted } from "../../plugins/operator/words.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import type { Task } from "../../workflow/task.ts";
import type { CommandContext } from "../program.ts";
import { factsFinder } from "../surroundings.ts";
import { withStore } from "../with-store.ts";

export async function why({ io, config, isJson }: CommandContext, text: string): Promise<undefined> {
  await withStore(config, async (store) => {
    const now = systemClock.now();
    const task = await findTask(store, text);
    const ids = await findMessages(store.operator, { text }).catch((error: unknown) => {
      if (task !== undefined && hasCode(error, "NOT_FOUND")) return [];
      throw error;
    });
    const factsOf = await factsFinder(store, { config, warn: io.err });
    if (task !== undefined)
      for (const line of isJson ? [JSON.stringify({ task })] : aboutTask(task, now)) io.out(line);
    for (const [index, id] of ids.entries()) {
      const facts = await factsOf(id);
      if (!facts) continue;
      if (isJson) {
        io.out(JSON.stringify(facts));
        continue;
      }
      if (index > 0 || task !== undefined) io.out("");
      for (const line of explain(facts, now)) io.out(line);
    }
  });
}

async function findTask({ tasks }: OpenedStore, text: string): Promise<Task | undefined> {
  return tasks.find(text.trim().toUpperCase());
}

function aboutTask(task: Task, now: number): string[] {
  const { key, summary, status, createdAt, startedAt, finishedAt, repositories, error } = task;
  return [
    `Task ${key}: ${quoted(summary)}`,
    `  Stored ${at(createdAt, now)}`,
    startedAt === undefined
      ? `  ${finishedAt === undefined ? "Not begun yet" : "Never begun"}`
      : `  First begun ${at(startedAt, now)}`,
    ...(finishedAt === undefined ? [] : [`  Ended ${absolute(finishedAt)}`]),
    ...(error === undefined ? [] : [`  Error: ${errorText(error)}`]),
    ...repositories.map(({ url, status: state, branch, prUrl, error: why }) => {
      const parts = [state, branch, prUrl, why && errorText(why)].filter((part) => part);
      return `  Repository ${url}: ${parts.join(", ")}`;
    }),
    `  Now: ${status}${status === "pending" ? `; \`robson run-task ${key}\` begins it` : ""}`,
  ];
}
