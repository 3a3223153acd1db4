/** The answers that the loop gives itself: `/help`, and a word to someone whom no worker understood. */
import { didYouMean } from "./arguments/did-you-mean.ts";
import { argumentHelp, usageOf } from "./arguments/usage.ts";
import type { Worker } from "./worker.ts";

/** The text of `/help`: a title, an empty line, a line for each worker in the order of registration. */
export function helpText(workers: readonly Worker[]): string {
  const lines = workers.map(({ example, description }) => `${example} — ${description}`);
  return [":book: *Robson — Available Commands*", "", ...lines].join("\n");
}

/** The text of `/help <command>`: how it is called, what it does, and each of its arguments. */
export function commandHelpText(workers: readonly Worker[], asked: string): string {
  const wanted = `/${asked.trim().replace(/^\//u, "")}`.toLowerCase().replace(/\s+/gu, " ");
  const known = workers.filter(
    ({ command, name }) => command?.toLowerCase() === wanted || `/${name}` === wanted,
  );
  const worker = known[0] ?? workers.find(({ command }) => command?.toLowerCase().startsWith(`${wanted} `));
  if (!worker) return unmatchedText(workers, wanted);
  const args = worker.args ? argumentHelp(worker.args) : [];
  return [
    `\`${usageOfWorker(worker)}\` — ${worker.description}`,
    ...(args.length > 0 ? ["", ...args] : []),
  ].join("\n");
}

/** How a worker is called, in one line. */
export function usageOfWorker({ command, args, example }: Worker): string {
  return command !== undefined && args ? usageOf(command, args, { example }) : example;
}

/** The answer to arguments that are missing or wrong. */
export function wrongArgumentsText(worker: Worker, problems: readonly string[]): string {
  return [...problems.map((problem) => `- ${problem}`), "", `Usage: \`${usageOfWorker(worker)}\``].join("\n");
}

/** The answer to a message that was meant for the bot and matched nothing, with the nearest command. */
export function unmatchedText(workers: readonly Worker[], content: string): string {
  const commands = workers.flatMap(({ command }) => command ?? []);
  const nearest = didYouMean(content, [...commands, "/help"]);
  const hint = nearest === undefined ? "" : ` Did you mean \`${nearest}\`?`;
  return `I do not know what to do with this.${hint} \`/help\` lists what I understand.`;
}

/** The answer to someone who may use none of the workers that match. */
export const NOT_ALLOWED_TEXT = "You may not use this here. `/help` lists what you may use.";
