/**
 * How many items of one kind are worked on at once: messages of one worker, suspects, deliveries to one target.
 * One that has to wait holds its lane without a slot, and its lane is resumed when a turn comes free. Whoever is
 * resumed and does not take the turn must `leave`, so that it goes to the next.
 */

interface Kind {
  taken: number;
  max: number;
  /** Longest wait first; made when one has to wait. */
  waitingLanes?: Set<string>;
}

export class Turns {
  readonly #resume: (laneKey: string) => void;
  readonly #kinds = new Map<string, Kind>();

  constructor(resume: (laneKey: string) => void) {
    this.#resume = resume;
  }

  /** True when the turn is taken: give it back. False: the lane is remembered, and resumed later. */
  take({ kind, max, laneKey }: { kind: string; max: number; laneKey: string }): boolean {
    const isTaken = this.takeIfFree({ kind, max });
    const known = this.#kinds.get(kind);
    if (isTaken) known?.waitingLanes?.delete(laneKey);
    else if (known) known.waitingLanes = (known.waitingLanes ?? new Set()).add(laneKey);
    return isTaken;
  }

  /** The same, but nothing is remembered. */
  takeIfFree({ kind, max }: { kind: string; max: number }): boolean {
    const known = this.#kinds.get(kind) ?? this.#create({ kind, max });
    if (known.taken >= max) return false;
    known.taken += 1;
    return true;
  }

  give(kind: string): void {
    const known = this.#kinds.get(kind);
    if (!known) return;
    known.taken -= 1;
    this.#resumeNext(kind, known);
  }

  /** The lane's item waits no longer, because it has ended. */
  leave({ kind, laneKey }: { kind: string; laneKey: string }): void {
    const known = this.#kinds.get(kind);
    if (!known) return;
    known.waitingLanes?.delete(laneKey);
    this.#resumeNext(kind, known);
  }

  #create({ kind, max }: { kind: string; max: number }): Kind {
    const created = { taken: 0, max };
    this.#kinds.set(kind, created);
    return created;
  }

  #resumeNext(kind: string, { taken, max, waitingLanes }: Kind): void {
    if (taken >= max) return;
    if (waitingLanes && waitingLanes.size > 0) {
      const [next = ""] = waitingLanes;
      waitingLanes.delete(next);
      this.#resume(next);
    } else if (taken === 0) this.#kinds.delete(kind);
  }
}
