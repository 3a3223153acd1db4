/** The answers that the loop gives itself: `/help`, and a word to someone whom no worker understood. */
import type { Worker } from "./worker.ts";

/** The text of `/help`: a title, an empty line, a line for each worker in the order of registration. */
export function helpText(workers: readonly Worker[]): string {
  const lines = workers.map(({ example, description }) => `${example} — ${description}`);
  return [":book: *Robson — Available Commands*", "", ...lines].join("\n");
}

/** The answer to a message that was meant for the bot and matched nothing. */
export const UNMATCHED_TEXT = "I do not know what to do with this. `/help` lists what I understand.";
