/** `robson run-task`: asks for the work of a task as anyone would, and waits for its end. */
import { formatCommand } from "../../core/arguments/format-command.ts";
import { RobsonError } from "../../core/errors.ts";
import { checkRepositoryUrl } from "../../workflow/repository-url.ts";
import { runTaskArguments, taskLane } from "../../workflow/run-workers.ts";
import { parseTaskKey } from "../../workflow/task.ts";
import type { CommandContext } from "../program.ts";
import { taskRules } from "../start-loop.ts";
import { withStore } from "../with-store.ts";
import { followOpen, sendText } from "./send.ts";

export interface RunTaskOptions {
  /** Seconds. */
  timeout: number;
  repo?: string;
  agent?: string;
  /** US dollars. */
  budget?: number;
}

/**
 * What is wrong with the key or the address is said before a message is made; of agents, whoever runs the loop knows. A run
 * of the task that is open, as one that was interrupted, is gone on with.
 */
export async function runTask(
  context: CommandContext,
  text: string,
  { timeout, repo, agent, budget }: RunTaskOptions,
): Promise<number> {
  const key = parseTaskKey(text);
  const repoUrl = repo === undefined ? undefined : checkRepositoryUrl(repo, taskRules(context.config));
  const open = await withStore(context.config, async ({ tasks, runs }) => {
    await tasks.get(key);
    const [newest] = await runs.runs({ isOpen: true, lane: taskLane(key), limit: 1 });
    return newest;
  });
  const timeoutMs = timeout * 1000;
  const wanted = { repo: repoUrl, agent, budget };
  if (!open) {
    const command = formatCommand("/run-task", { key, ...wanted }, runTaskArguments);
    return sendText(context, { text: command, isWaiting: true, timeoutMs });
  }
  const { conversationId: id } = open;
  if (Object.values(wanted).some((value) => value !== undefined)) throw isOpenAlready(key, id);
  if (!context.isJson) context.io.err(`Run ${id} is at ${key} already; going on with it`);
  return followOpen(context, { conversationId: id, timeoutMs });
}

function isOpenAlready(key: string, run: number): RobsonError {
  return new RobsonError("RUN_EXISTS", `Cannot begin ${key} in another way: run ${run} is at it already`, {
    hint: `\`robson run-task ${key}\` without options goes on with that one, \`robson runs stop ${run}\` ends it`,
  });
}
