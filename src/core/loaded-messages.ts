/**
 * The messages in memory: by conversation id, or by message id while that is not known. How much text they hold is
 * known at any time: a few thousand long ones would be more than a process can have.
 */
import type { InboxEntry } from "./inbox-entry.ts";

export class LoadedMessages extends Map<number | string, InboxEntry> {
  #textLength = 0;

  /** Of all of them, in UTF-16 units. */
  get textLength(): number {
    return this.#textLength;
  }

  override set(id: number | string, entry: InboxEntry): this {
    this.#textLength += lengthOf(entry) - lengthOf(this.get(id));
    return super.set(id, entry);
  }

  override delete(id: number | string): boolean {
    this.#textLength -= lengthOf(this.get(id));
    return super.delete(id);
  }
}

function lengthOf(entry: InboxEntry | undefined): number {
  return entry?.message.content.length ?? 0;
}
