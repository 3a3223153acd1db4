/**
 * Messages that are answered with a refusal at once, although their thread is another process's, which would not know
 * of the refusal. Until that answer is stored they are in this process's hands, whoever owns the thread.
 */
import type { Accepted } from "./gateway.ts";
import { type InboxEntry, toRefused } from "./inbox-entry.ts";
import type { NewMessage, Ownership } from "./store.ts";

export interface RefusalsOptions {
  ownership: Ownership;
  dispatch(entry: InboxEntry): Promise<unknown>;
}

export class Refusals {
  readonly #options: RefusalsOptions;
  readonly #underWay = new Set<number>();

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  async refuse(
    message: NewMessage,
    { shard, refusal }: { shard: number; refusal: string },
  ): Promise<Accepted> {
    const { ownership, dispatch } = this.#options;
    const accepted = await ownership.accept(message, { shard, status: "claimed", attempts: 1 });
    const { conversationId, isDuplicate, isWithOwner = false } = accepted;
    if (isDuplicate) {
      // A former try was stored, and seemed to have failed: nobody has it, unless its thread's owner takes it.
      if (isWithOwner && !this.#underWay.has(conversationId))
        await ownership.accept(message, { shard, status: "pending", attempts: 0, isForOther: true });
      return accepted;
    }
    const entry = toRefused(message, refusal);
    entry.message.conversationId = conversationId;
    this.#underWay.add(conversationId);
    await dispatch(entry).finally(() => this.#underWay.delete(conversationId));
    return accepted;
  }
}
