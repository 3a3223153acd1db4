/** Which run a person means, and whether it is his to answer, to stop and to retry: his own, or an operator's. */
import { isRequester } from "../../core/run-answer.ts";
import type { RunDetails } from "../../core/run-store.ts";
import type { Asker } from "../../core/worker.ts";
import { isOperator, operatorsOnly } from "./access.ts";
import type { OperatorOptions } from "./index.ts";

type Options = Pick<OperatorOptions, "store" | "operators" | "localGateways">;

/** The number of a run as a person writes it: `12`, `#12`, `run-12`, `message-12`; undefined for anything else. */
export function parseRunId(text: string): number | undefined {
  const [, number] = /^(?:#|(?:run|message)[ -])?([1-9]\d{0,14})$/.exec(text.trim().toLowerCase()) ?? [];
  return number === undefined ? undefined : Number(number);
}

/** The run that may be changed, or the word to someone who may not. */
export async function runToChange(
  options: Options,
  { text, asker, what }: { text: string; asker: Asker; what: string },
): Promise<{ run: RunDetails } | { refusal: string }> {
  const run = await findRun(options, text);
  if (!run) return { refusal: noRun(text) };
  if (isRequester(run, asker) || isOperator(asker, options)) return { run };
  return { refusal: operatorsOnly(`${what} a run that someone else has asked for`) };
}

/** The run that may be looked at, or the word that there is none for whoever asks. */
export async function runToRead(
  options: Options,
  { text, asker }: { text: string; asker: Asker },
): Promise<{ run: RunDetails } | { refusal: string }> {
  const run = await findRun(options, text);
  // Whoever asks in a channel can read what was asked there.
  const isHere = run?.gateway === (asker.gateway ?? null) && run.channelId === asker.channelId;
  if (!run || !(isHere || isRequester(run, asker) || isOperator(asker, options)))
    return { refusal: noRun(text) };
  return { run };
}

async function findRun({ store }: Options, text: string): Promise<RunDetails | undefined> {
  const id = parseRunId(text);
  return id === undefined ? undefined : store.runs.run(id);
}

function noRun(text: string): string {
  const shown = text.slice(0, 40).toWellFormed();
  return `There is no run "${shown}" here. A run has its message's number, as in \`/logs 12\`; \`/status\` shows those that are open.`;
}
