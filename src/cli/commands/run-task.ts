/** `robson run-task`: asks for the work of a task as anyone would, and waits for its end. */
import { parseTaskKey } from "../../workflow/task.ts";
import type { CommandContext } from "../program.ts";
import { withStore } from "../with-store.ts";
import { sendText } from "./send.ts";

export async function runTask(
  context: CommandContext,
  text: string,
  { timeout }: { timeout: number },
): Promise<number> {
  const key = parseTaskKey(text);
  await withStore(context.config, ({ tasks }) => tasks.get(key));
  return sendText(context, { text: `/run-task ${key}`, isWaiting: true, timeoutMs: timeout * 1000 });
}
