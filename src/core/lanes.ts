/**
 * Order within a lane, parallel work across lanes. A lane runs its items one after another; at most `slots`
 * items of all lanes run at once. An item may hold its lane until later without keeping a slot, and begin with what
 * needs none before it has one. The lanes know nothing of what their items are.
 */
import type { Clock } from "./clock.ts";

export interface Lane<Item = unknown> {
  /** The items that wait behind the one that runs. */
  later(): Item[];
  /** Whether other items wait behind the one that runs. */
  hasLater(): boolean;
  /** Whether the instant for which the first item held the lane has come, even if the clock was set back meanwhile. */
  readonly isDue: boolean;
  /** Gives the item's slot to another lane, although the item goes on: only its own lane waits for it now. */
  freeSlot(): void;
  /** The slot of an item that was begun ahead of it: undefined when it has it now, else it resolves then. */
  takeSlot(): Promise<void> | undefined;
}

export interface LanesOptions<Item> {
  clock: Clock;
  /** How many items run at once. */
  slots: number;
  /** How many items may have begun ahead of their slots. Default: none. */
  maxAhead?: number;
  /**
   * Works on one item. Resolve with an instant to hold the lane and be run again then (Infinity: at `resume`),
   * with undefined to leave the lane, with `IN_ORDER` to have the lane begin with whatever is its first. The first
   * part, up to its first await, runs inside `enter`.
   */
  run(item: Item, lane: Lane<Item>): Promise<number | undefined | typeof IN_ORDER>;
  /** The order that `IN_ORDER` brings about. */
  compare?(a: Item, b: Item): number;
  /** Called when `run` rejects, which is a bug; the item leaves its lane. */
  onBug(error: unknown, item: Item): void;
  /** Whether an item counts as one that waits; it may be in its lane before that is certain. Default: all do. */
  counts?(item: Item): boolean;
  /** Called when `heldCount` has changed: what is held takes no room from what can be worked on, but has a limit too. */
  onHeldCount?(): void;
}

export const IN_ORDER = "in order";

interface LaneState<Item> extends Lane<Item> {
  key: string;
  items: Item[];
  isDue: boolean;
  state: "waiting" | "running" | "held";
  /** Resumed while it ran: it may not be held this time. */
  isResumed: boolean;
  cancelTimer: (() => void) | undefined;
  hasSlot: boolean;
  isAhead: boolean;
}

export class Lanes<Item> {
  readonly #options: LanesOptions<Item>;
  readonly #lanes = new Map<string, LaneState<Item>>();
  /** Lanes whose first item waits for a slot, longest wait first. */
  readonly #waiting: LaneState<Item>[] = [];
  /** Gives their slots to the items that were begun ahead and need one now, longest wait first. */
  readonly #late: (() => void)[] = [];
  readonly #idleCallbacks: (() => void)[] = [];
  /** How many items run, and how many of them have a slot. */
  #running = 0;
  #slotsTaken = 0;
  #aheadCount = 0;
  #itemCount = 0;
  #heldLanes = 0;
  #isStopped = false;

  constructor(options: LanesOptions<Item>) {
    this.#options = options;
  }

  /** Puts an item at the end of its lane. True when it runs at once. */
  enter(key: string, item: Item): boolean {
    return this.#enter(key, item, false);
  }

  /** The same for an item that begins with what needs no slot: it runs at once, unless others wait for theirs. */
  enterAhead(key: string, item: Item): boolean {
    return this.#enter(key, item, this.#aheadCount < (this.#options.maxAhead ?? 0));
  }

  #enter(key: string, item: Item, isAhead: boolean): boolean {
    this.#itemCount += 1;
    const known = this.#lanes.get(key);
    if (known) {
      known.items.push(item);
      return false;
    }
    const items = [item];
    const lane: LaneState<Item> = {
      key,
      items,
      isDue: false,
      state: "waiting",
      isResumed: false,
      cancelTimer: undefined,
      hasSlot: false,
      isAhead: false,
      freeSlot: () => {
        this.#giveSlot(lane);
        this.#fillSlots();
      },
      takeSlot: () => this.#slotOf(lane),
      later: () => items.slice(1),
      hasLater: () => items.slice(1).some((later) => this.#options.counts?.(later) ?? true),
    };
    this.#lanes.set(key, lane);
    if (this.#isStopped || this.#waiting.length > 0 || !(isAhead || this.#hasFreeSlot)) {
      this.#waiting.push(lane);
      return false;
    }
    this.#begin(lane, isAhead);
    return true;
  }

  /** The item that its lane works on, or waits for. */
  first(key: string): Item | undefined {
    return this.#lanes.get(key)?.items[0];
  }

  /** Takes out the items that match and are not being run; the result is them. */
  remove(matches: (item: Item) => boolean): Item[] {
    const removed: Item[] = [];
    for (const lane of [...this.#lanes.values()]) this.#removeFrom(lane, { matches, removed });
    this.#announceIdle();
    return removed;
  }

  /** The items that are being run. */
  running(): Item[] {
    return [...this.#lanes.values()].flatMap(({ state, items }) =>
      state === "running" ? items.slice(0, 1) : [],
    );
  }

  /** The items of all lanes but those that are held. */
  active(): Item[] {
    return [...this.#lanes.values()].flatMap(({ state, items }) => (state === "held" ? [] : items));
  }

  /** How many items have to wait, however many slots there are: their lane is held, or they are not its first. */
  get heldCount(): number {
    return this.#itemCount - (this.#lanes.size - this.#heldLanes);
  }

  /** Runs the item that holds the lane again, before its time; one that runs will not hold it this time. */
  resume(key: string): void {
    const lane = this.#lanes.get(key);
    if (lane?.state === "held") this.#unhold(lane);
    else if (lane?.state === "running") lane.isResumed = true;
  }

  /** Runs the next item of a lane without a slot, before all that wait for one; for what takes no time. False: it is not next. */
  hurry(key: string, item: Item): boolean {
    const lane = this.#lanes.get(key);
    if (this.#isStopped || lane?.state !== "waiting" || lane.items[0] !== item) return false;
    this.#waiting.splice(this.#waiting.indexOf(lane), 1);
    this.#begin(lane, true);
    return true;
  }

  /** Begins no further item. Items under way end as they do. */
  stop(): void {
    this.#isStopped = true;
    for (const lane of this.#lanes.values()) lane.cancelTimer?.();
  }

  /** Resolves when nothing runs and, unless stopped, nothing waits for a slot. Held lanes do not count. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idleCallbacks.push(resolve);
      this.#announceIdle();
    });
  }

  #removeFrom(
    lane: LaneState<Item>,
    { matches, removed }: { matches: (item: Item) => boolean; removed: Item[] },
  ): void {
    const first = lane.items[0];
    const kept: Item[] = [];
    const countBefore = removed.length;
    for (const item of lane.items) {
      const stays = (item === first && lane.state === "running") || !matches(item);
      (stays ? kept : removed).push(item);
    }
    if (removed.length === countBefore) return;
    this.#itemCount -= removed.length - countBefore;
    lane.items.splice(0, lane.items.length, ...kept);
    if (kept[0] === first) return;
    lane.isDue = false;
    if (lane.state === "held") {
      // Whoever held the lane is gone.
      lane.cancelTimer?.();
      if (kept.length > 0) this.#unhold(lane);
      else this.#heldLanes -= 1;
    } else if (kept.length === 0) this.#waiting.splice(this.#waiting.indexOf(lane), 1);
    if (kept.length === 0) this.#lanes.delete(lane.key);
  }

  #unhold(lane: LaneState<Item>): void {
    lane.cancelTimer?.();
    lane.cancelTimer = undefined;
    this.#heldLanes -= 1;
    lane.state = "waiting";
    this.#waiting.push(lane);
    this.#fillSlots();
  }

  get #hasFreeSlot(): boolean {
    return this.#slotsTaken < this.#options.slots;
  }

  #fillSlots(): void {
    while (this.#hasFreeSlot && this.#late.length > 0) this.#late.shift()?.();
    while (this.#hasFreeSlot && !this.#isStopped) {
      const lane = this.#waiting.shift();
      if (!lane) break;
      this.#begin(lane);
    }
    this.#announceIdle();
  }

  #begin(lane: LaneState<Item>, isAhead = false): void {
    const item = lane.items[0] as Item;
    lane.state = "running";
    lane.isResumed = false;
    this.#running += 1;
    if (isAhead) this.#goAhead(lane);
    else this.#takeSlot(lane);
    this.#options.run(item, lane).then(
      (outcome) => this.#end(lane, outcome),
      (error) => {
        this.#options.onBug(error, item);
        this.#end(lane, undefined);
      },
    );
  }

  #goAhead(lane: LaneState<Item>): void {
    this.#aheadCount += 1;
    lane.isAhead = true;
  }

  #slotOf(lane: LaneState<Item>): Promise<void> | undefined {
    if (!lane.isAhead) return undefined;
    if (this.#hasFreeSlot) {
      this.#takeSlot(lane);
      return undefined;
    }
    return new Promise((resolve) => {
      this.#late.push(() => {
        this.#takeSlot(lane);
        resolve();
      });
    });
  }

  #takeSlot(lane: LaneState<Item>): void {
    this.#isAheadNoMore(lane);
    lane.hasSlot = true;
    this.#slotsTaken += 1;
  }

  #isAheadNoMore(lane: LaneState<Item>): void {
    if (lane.isAhead) this.#aheadCount -= 1;
    lane.isAhead = false;
  }

  #giveSlot(lane: LaneState<Item>): void {
    this.#isAheadNoMore(lane);
    if (!lane.hasSlot) return;
    lane.hasSlot = false;
    this.#slotsTaken -= 1;
  }

  #end(lane: LaneState<Item>, outcome: number | undefined | typeof IN_ORDER): void {
    this.#running -= 1;
    this.#giveSlot(lane);
    if (typeof outcome === "number") {
      this.#hold(lane, outcome);
    } else {
      if (outcome === IN_ORDER) lane.items.sort(this.#options.compare);
      else this.#leave(lane);
      lane.isDue = false;
      if (lane.items.length === 0) this.#lanes.delete(lane.key);
      else {
        lane.state = "waiting";
        this.#waiting.push(lane);
        this.#options.onHeldCount?.();
      }
    }
    this.#fillSlots();
  }

  #leave(lane: LaneState<Item>): void {
    lane.items.shift();
    this.#itemCount -= 1;
  }

  #hold(lane: LaneState<Item>, until: number): void {
    lane.state = "held";
    this.#heldLanes += 1;
    if (this.#isStopped) return;
    if (lane.isResumed) {
      this.#unhold(lane);
      return;
    }
    this.#options.onHeldCount?.();
    if (until === Number.POSITIVE_INFINITY) return;
    lane.isDue = false;
    lane.cancelTimer = this.#options.clock.schedule(until, () => {
      if (lane.state !== "held" || this.#isStopped) return;
      lane.isDue = true;
      this.#unhold(lane);
    });
  }

  #announceIdle(): void {
    if (this.#running > 0 || (this.#waiting.length > 0 && !this.#isStopped)) return;
    for (const callback of this.#idleCallbacks.splice(0)) callback();
  }
}
