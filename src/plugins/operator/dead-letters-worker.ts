/** `/dead-letters`: lists them, or has some retried or discarded; for operators. */
import * as z from "zod";
import { hasCode, type RobsonError } from "../../core/errors.ts";
import type { ListedDeadLetter } from "../../core/operator-records.ts";
import { defineWorker, type Worker } from "../../core/worker.ts";
import { isOperator } from "./access.ts";
import { findLetter } from "./find-letter.ts";
import type { OperatorOptions } from "./index.ts";
import { letterId } from "./letter-id.ts";
import { errorText, relative } from "./words.ts";

/** How many are listed. */
const MAX_LISTED = 20;
/** How many ids one message may name. */
const MAX_IDS = 100;

export function deadLettersWorker(options: OperatorOptions): Worker {
  return defineWorker({
    name: "dead-letters",
    description: "Lists the dead letters; `retry` or `discard` with their ids tries or closes them",
    example: "/dead-letters retry message-12",
    command: "/dead-letters",
    args: z.object({
      action: z.enum(["list", "retry", "discard"]).default("list"),
      ids: z.array(z.string()).describe("Those to be retried or discarded, as message-12"),
    }),
    isControl: true,
    mayUse: (asker) => isOperator(asker, options),
    async handle({ userId }, { action, ids }, { emit, log }) {
      if (action === "list" && ids.length === 0) return emit("completed", await list(options));
      if (action === "list" || ids.length === 0 || ids.length > MAX_IDS) {
        return emit(
          "failed",
          `Write \`/dead-letters\`, or \`/dead-letters retry\` (or \`discard\`) and up to ${MAX_IDS} ids.`,
        );
      }
      try {
        const changed = await change(options, { action, ids });
        for (const letter of changed.letters) log.info({ letter, by: userId }, `dead letter: ${action}`);
        return await emit("completed", changed.text);
      } catch (error) {
        if (!hasCode(error, "NOT_FOUND", "USAGE_INVALID")) throw error;
        return emit("failed", mistake(error));
      }
    },
  });
}

async function list({ records, clock }: OperatorOptions): Promise<string> {
  const letters = await records.deadLetters({ limit: MAX_LISTED + 1 });
  if (letters.length === 0) return "There are no dead letters.";
  const lines = letters.slice(0, MAX_LISTED).map((letter) => `- ${lineOf(letter, clock.now())}`);
  return [...lines, ...(letters.length > MAX_LISTED ? ["- and more"] : [])].join("\n");
}

function lineOf(letter: ListedDeadLetter, now: number): string {
  const { gateway, createdAt, lastError } = letter;
  return `**${letterId(letter)}** (${gateway ?? "no gateway"}, ${relative(createdAt, now)}): ${errorText(lastError)}`;
}

/** All of them, or none when one of the ids is wrong. */
async function change(
  { records, store }: OperatorOptions,
  { action, ids }: { action: "retry" | "discard"; ids: string[] },
): Promise<{ text: string; letters: string[] }> {
  const letters: ListedDeadLetter[] = [];
  const changed: string[] = [];
  for (const id of ids) letters.push(await findLetter(records, id));
  const lines: string[] = [];
  for (const letter of letters) {
    const isChanged = await (action === "retry"
      ? store.retryDeadLetter(letter)
      : store.discardDeadLetter(letter));
    const done = action === "retry" ? "is tried again" : "is closed";
    if (isChanged) changed.push(letterId(letter));
    lines.push(`${letterId(letter)} ${isChanged ? done : "is no dead letter any more"}.`);
  }
  return { text: lines.join("\n"), letters: changed };
}

function mistake({ message, hint }: RobsonError): string {
  return hint === undefined ? message : `${message}\n${hint}`;
}
