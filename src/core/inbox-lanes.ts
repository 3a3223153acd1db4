/** The lanes of messages in memory: those of threads, of control commands and of runs, each kind with slots of its own. */
import type { InboxEntry } from "./inbox-entry.ts";
import { Lanes, type LanesOptions } from "./lanes.ts";
import type { Limits } from "./limits.ts";

export class InboxLanes {
  readonly #threads: Lanes<InboxEntry>;
  readonly #control: Lanes<InboxEntry>;
  readonly #runs: Lanes<InboxEntry>;
  readonly #all: readonly Lanes<InboxEntry>[];

  constructor({
    limits,
    ...options
  }: Omit<LanesOptions<InboxEntry>, "slots" | "compare"> & { limits: Limits }) {
    const shared = { ...options, compare: byAcceptance };
    this.#threads = new Lanes({ ...shared, slots: limits.maxConcurrentMessages });
    this.#control = new Lanes({ ...shared, slots: limits.maxConcurrentControl });
    this.#runs = new Lanes({ ...shared, slots: limits.maxConcurrentRuns });
    this.#all = [this.#threads, this.#control, this.#runs];
  }

  /** How many messages stand in lanes that are held. Control commands never wait long. */
  get heldCount(): number {
    return this.#threads.heldCount + this.#runs.heldCount;
  }

  /** True when it is worked on at once. */
  enter(entry: InboxEntry): boolean {
    const isBegun = this.#of(entry).enter(entry.key, entry);
    // Someone wants it ended, which no worker is needed for.
    return isBegun || (entry.stoppedBy !== undefined && this.hurry(entry));
  }

  /** See `Lanes`. */
  hurry(entry: InboxEntry): boolean {
    return this.#of(entry).hurry(entry.key, entry);
  }

  remove(matches: (entry: InboxEntry) => boolean): InboxEntry[] {
    return this.#all.flatMap((lanes) => lanes.remove(matches));
  }

  running(): InboxEntry[] {
    return this.#all.flatMap((lanes) => lanes.running());
  }

  resume(key: string): void {
    for (const lanes of this.#all) lanes.resume(key);
  }

  stop(): void {
    for (const lanes of this.#all) lanes.stop();
  }

  async idle(): Promise<void> {
    await Promise.all(this.#all.map((lanes) => lanes.idle()));
  }

  #of({ isControl, message }: InboxEntry): Lanes<InboxEntry> {
    const own = message.run?.isDetached ? this.#runs : this.#threads;
    return isControl ? this.#control : own;
  }
}

/** In the order of their ids; those that are being stored have none yet, and come last. */
export function byAcceptance(a: InboxEntry, b: InboxEntry): number {
  const placeOf = ({ message }: InboxEntry) => message.conversationId || Number.POSITIVE_INFINITY;
  const [first, second] = [placeOf(a), placeOf(b)];
  return first === second ? 0 : first - second;
}
