/** What both models share: lanes that keep the order of a conversation, and the routing of a message. */
import { PATTERNS } from "../engine.ts";

interface Lane {
  jobs: (() => Promise<void>)[];
  next: number;
  isWaiting: boolean;
}

/** How many jobs a lane does before the next lane has its turn. */
const TURN = 16;

/** Runs the jobs of one key one after another, and of at most `slots` keys at once. Nothing runs before `open`. */
export class ModelLanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #waiting: [string, Lane][] = [];
  readonly #slots: number;
  #running = 0;
  #isOpen = false;

  constructor(slots: number) {
    this.#slots = slots;
  }

  enter(key: string, job: () => Promise<void>): void {
    const lane = this.#lanes.get(key) ?? { jobs: [], next: 0, isWaiting: false };
    this.#lanes.set(key, lane);
    lane.jobs.push(job);
    if (lane.isWaiting) return;
    lane.isWaiting = true;
    this.#waiting.push([key, lane]);
    this.#fill();
  }

  open(): void {
    this.#isOpen = true;
    this.#fill();
  }

  #fill(): void {
    while (this.#isOpen && this.#running < this.#slots) {
      const next = this.#waiting.shift();
      if (!next) return;
      this.#running += 1;
      void this.#run(next[0], next[1]);
    }
  }

  async #run(key: string, lane: Lane): Promise<void> {
    for (let done = 0; done < TURN && lane.next < lane.jobs.length; done += 1) {
      await lane.jobs[lane.next]?.();
      lane.next += 1;
    }
    if (lane.next < lane.jobs.length) this.#waiting.push([key, lane]);
    else this.#lanes.delete(key);
    this.#running -= 1;
    this.#fill();
  }
}

const patterns = PATTERNS.map((source) => new RegExp(source));

/** Which of the twenty workers a text is for; -1 for none. */
export function route(text: string): number {
  return patterns.findIndex((pattern) => pattern.test(text));
}
