/** `robson dead-letters`: what is out of attempts, and what a person does with it; one or many at once. */
import { systemClock } from "../../core/clock.ts";
import { RobsonError } from "../../core/errors.ts";
import type { DeadLetterFilter, ListedDeadLetter } from "../../core/operator-records.ts";
import { explain } from "../../plugins/operator/explain.ts";
import { findLetter } from "../../plugins/operator/find-letter.ts";
import { letterId } from "../../plugins/operator/letter-id.ts";
import { count, errorText, relative } from "../../plugins/operator/words.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import type { CommandContext } from "../program.ts";
import { factsFinder } from "../surroundings.ts";
import { withStore } from "../with-store.ts";

export interface DeadLetterOptions {
  gateway?: string;
  /** Milliseconds. */
  olderThan?: number;
  limit: number;
}

/** How many are changed at the same moment: they share commits. */
const AT_ONCE = 100;

export async function listDeadLetters(
  { io, config, isJson }: CommandContext,
  options: DeadLetterOptions,
): Promise<undefined> {
  const letters = await withStore(config, (store) => store.operator.deadLetters(filterOf(options)));
  const now = systemClock.now();
  if (isJson) for (const letter of letters) io.out(JSON.stringify({ id: letterId(letter), ...letter }));
  else {
    const width = Math.max(0, ...letters.map((letter) => letterId(letter).length));
    for (const letter of letters) io.out(lineOf(letter, { width, now }));
    io.err(letters.length === 0 ? "There are no such dead letters" : count(letters.length, "dead letter"));
  }
}

export async function showDeadLetter(context: CommandContext, id: string): Promise<undefined> {
  const { io, config, isJson } = context;
  await withStore(config, async (store) => {
    const letter = await findLetter(store.operator, id);
    const factsOf = await factsFinder(store, { config, warn: io.err });
    const facts = await factsOf(letter.conversationId);
    if (isJson) return io.out(JSON.stringify({ id: letterId(letter), ...letter, facts }));
    const now = systemClock.now();
    io.out(lineOf(letter, { width: 0, now }));
    if (!facts) return;
    for (const line of explain(facts, now)) io.out(line);
  });
}

export function retryDeadLetters(context: CommandContext, ids: string[], options: ChangeOptions) {
  return changeAll(context, { ...options, ids, action: "retry" });
}

export function discardDeadLetters(context: CommandContext, ids: string[], options: ChangeOptions) {
  return changeAll(context, { ...options, ids, action: "discard" });
}

export interface ChangeOptions extends Omit<DeadLetterOptions, "limit"> {
  all?: boolean;
}

interface Change extends ChangeOptions {
  ids: string[];
  action: "retry" | "discard";
}

const DONE = { retry: "retried", discard: "discarded" } as const;

async function changeAll({ io, config, isJson }: CommandContext, change: Change): Promise<undefined> {
  const { ids, action } = change;
  checkChoice(change);
  await withStore(config, async (store) => {
    const changed = ids.length > 0 ? await changeNamed(store, change) : await changeFiltered(store, change);
    if (isJson) return io.out(JSON.stringify({ [DONE[action]]: changed }));
    io.out(`${count(changed, "dead letter")} ${DONE[action]}`);
    if (action === "retry" && changed > 0 && (await store.currentOwners()).length === 0)
      io.err("No process runs the loop now; `robson agent` takes them up");
  });
}

function checkChoice({ ids, all, gateway, olderThan, action }: Change): void {
  const hasFilter = gateway !== undefined || olderThan !== undefined || all === true;
  if (ids.length > 0 !== hasFilter) return;
  throw new RobsonError(
    "USAGE_INVALID",
    ids.length > 0
      ? `Cannot ${action} dead letters by ids and by a filter at once`
      : `Cannot ${action} dead letters: it is not said which`,
    { hint: "Name their ids, or choose with --gateway, --older-than or --all" },
  );
}

/** All are found before the first is changed: with one wrong id nothing happens. */
async function changeNamed(store: OpenedStore, { ids, action }: Change): Promise<number> {
  const letters: ListedDeadLetter[] = [];
  for (const id of new Set(ids)) letters.push(await findLetter(store.operator, id));
  return changeLetters(store, { letters, action });
}

async function changeFiltered(store: OpenedStore, change: Change): Promise<number> {
  // What becomes a dead letter from now on was not meant; a retried one may be dead again in a moment.
  const everything = { ...change, limit: Number.MAX_SAFE_INTEGER };
  const letters = await store.operator.deadLetters(filterOf(everything));
  return changeLetters(store, { letters, action: change.action });
}

async function changeLetters(
  store: OpenedStore,
  { letters, action }: { letters: ListedDeadLetter[]; action: "retry" | "discard" },
): Promise<number> {
  let changed = 0;
  for (let start = 0; start < letters.length; start += AT_ONCE) {
    const some = letters.slice(start, start + AT_ONCE);
    const results = await Promise.all(
      some.map((letter) =>
        action === "retry" ? store.retryDeadLetter(letter) : store.discardDeadLetter(letter),
      ),
    );
    changed += results.filter(Boolean).length;
  }
  return changed;
}

function filterOf({ gateway, olderThan, limit }: DeadLetterOptions): DeadLetterFilter {
  return {
    gateway,
    limit,
    createdBefore: olderThan === undefined ? undefined : systemClock.now() - olderThan,
  };
}

function lineOf(letter: ListedDeadLetter, { width, now }: { width: number; now: number }): string {
  const { gateway, createdAt, lastError, kind = "message", attempts } = letter;
  const about = `${kind}, ${gateway ?? "no gateway"}, ${relative(createdAt, now)}, ${count(attempts, "attempt")}`;
  return `${letterId(letter).padEnd(width)}  ${about}: ${errorText(lastError)}`;
}
