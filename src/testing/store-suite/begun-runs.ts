/** What the suite's parts about runs begin with: a run, a question, runs that are open or wait, and what is handed to their owner. */
import type { NewDecision } from "../../core/run-store.ts";
import type { Ownership } from "../../core/store.ts";
import { aChange, accepted } from "./set-up.ts";

/** How many races are run at once: some of them are close. */
export const RACES = 60;

export const QUESTION: NewDecision = {
  ...{ name: "sure", kind: "question", text: "Sure?", key: null },
  ...{ choices: [], askedAt: 3000, dueAt: null },
};

export const run = {
  worker: "w",
  version: 1,
  isDetached: true,
  lane: null,
  title: "A run",
  createdAt: 2000,
  round: 1,
};

/** A message whose run has begun. */
export async function begun(
  ownership: Ownership,
  { lane = null, ...message }: { lane?: string | null; gateway?: string; createdAt?: number } = {},
): Promise<number> {
  const { conversationId } = await accepted(ownership, message);
  await ownership.record({ shard: 0, run: { conversationId, begin: { ...run, lane } } });
  return conversationId;
}

/** The run waits, as its owner stores it: its attempts are counted anew. */
export async function waits(
  ownership: Ownership,
  conversationId: number,
  decisions: NewDecision[],
): Promise<void> {
  const dueAt = decisions[0]?.dueAt ?? null;
  const message = aChange(conversationId, { status: "waiting", attempts: 0, nextAttemptAt: dueAt });
  const status = { value: "waiting", reason: null, at: 3000 } as const;
  await ownership.record({ shard: 0, message, run: { conversationId, decisions, status } });
}

/** The ids of all that is handed to the owner. */
export async function taken(ownership: Ownership): Promise<number[]> {
  const messages = await ownership.takeUnowned(10 * RACES);
  return messages.map(({ conversationId }) => conversationId).sort((a, b) => a - b);
}

/** The run has failed by its worker's word, and its message is done. */
export async function ends(ownership: Ownership, conversationId: number): Promise<void> {
  const status = { value: "failed", reason: "no luck", at: 4000 } as const;
  const message = aChange(conversationId, { status: "done" });
  await ownership.record({ shard: 0, message, run: { conversationId, status } });
}
