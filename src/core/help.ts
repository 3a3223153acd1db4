/** The answers that the loop gives itself: `/help`, and a word to someone whom no worker understood. */
import { didYouMean } from "./arguments/did-you-mean.ts";
import { shown } from "./arguments/problems.ts";
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
    ({ command, name }) => command?.toLowerCase() === wanted || `/${name}`.toLowerCase() === wanted,
  );
  // "/help task" asks for all of "/task create", "/task list", …
  const begun = workers.filter(({ command }) => command?.toLowerCase().startsWith(`${wanted} `));
  const [worker, ...others] = [...new Set([...known, ...begun])];
  if (worker === undefined) return unknownCommandText(workers, wanted);
  if (others.length > 0) return [worker, ...others].map(headline).join("\n");
  const args = worker.args ? argumentHelp(worker.args) : [];
  return [headline(worker), ...(args.length > 0 ? ["", ...args] : [])].join("\n");
}

/** How a worker is called, in one line. */
export function usageOfWorker({ command, args, example }: Worker): string {
  return command !== undefined && args ? usageOf(command, args, { example }) : example;
}

function headline(worker: Worker): string {
  return `\`${usageOfWorker(worker)}\` — ${worker.description}`;
}

/** The answer to arguments that are missing or wrong. */
export function wrongArgumentsText(worker: Worker, problems: readonly string[]): string {
  return [...problems.map((problem) => `- ${problem}`), "", `Usage: \`${usageOfWorker(worker)}\``].join("\n");
}

/** The answer to a message that was meant for the bot and matched nothing, with the nearest command. */
export function unmatchedText(workers: readonly Worker[], content: string): string {
  return `I do not know what to do with this.${didYouMeanText(workers, content)} ${LIST_HINT}`;
}

const LIST_HINT = "`/help` lists what I understand.";

function unknownCommandText(workers: readonly Worker[], command: string): string {
  return `I know no command ${shown(command)}.${didYouMeanText(workers, command)} ${LIST_HINT}`;
}

function didYouMeanText(workers: readonly Worker[], content: string): string {
  const commands = workers.flatMap(({ command }) => command ?? []);
  const nearest = didYouMean(content, [...commands, "/help"]);
  return nearest === undefined ? "" : ` Did you mean \`${nearest}\`?`;
}

/** The answer to someone who may use none of the workers that match. */
export const NOT_ALLOWED_TEXT = "You may not use this here. `/help` lists what you may use.";

/** The answer in a channel that is not on its gateway's allow list. */
export function notListedText({ gateway, channelId }: { gateway: string; channelId: string }): string {
  return `I may not work in this channel. Whoever runs me can allow it: \`robson allow add ${gateway} ${channelId}\``;
}

/** The answer to the first message that is one too many. */
export function limitText(limit: {
  max: number;
  isUser: boolean;
  windowSeconds: number;
  waitSeconds: number;
}): string {
  const { max, isUser, windowSeconds, waitSeconds } = limit;
  const source = isUser ? "from one user" : "from one channel";
  return `That was too much at once: I take ${max} messages ${source} in ${windowSeconds} s. Send it again in ${waitSeconds} s.`;
}
