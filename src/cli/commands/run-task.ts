/** `robson run-task`: asks for the work of a task as anyone would, and waits for its end. */
import { formatCommand } from "../../core/arguments/format-command.ts";
import { checkRepositoryUrl } from "../../workflow/repository-url.ts";
import { runTaskArguments } from "../../workflow/run-workers.ts";
import { parseTaskKey } from "../../workflow/task.ts";
import type { CommandContext } from "../program.ts";
import { taskRules } from "../start-loop.ts";
import { withStore } from "../with-store.ts";
import { sendText } from "./send.ts";

export interface RunTaskOptions {
  /** Seconds. */
  timeout: number;
  repo?: string;
  agent?: string;
  /** US dollars. */
  budget?: number;
}

/** What is wrong with the key or the address is said before a message is made; of agents, whoever runs the loop knows. */
export async function runTask(
  context: CommandContext,
  text: string,
  { timeout, repo, agent, budget }: RunTaskOptions,
): Promise<number> {
  const key = parseTaskKey(text);
  const repoUrl = repo === undefined ? undefined : checkRepositoryUrl(repo, taskRules(context.config));
  await withStore(context.config, ({ tasks }) => tasks.get(key));
  const command = formatCommand("/run-task", { key, repo: repoUrl, agent, budget }, runTaskArguments);
  return sendText(context, { text: command, isWaiting: true, timeoutMs: timeout * 1000 });
}
