/** What is under way outside of the scheduler's turns, in a real database: so that the world can wait for it. */
import type { Host } from "./scheduler.ts";

/** Nothing that is under way takes longer; what does is not waited for. */
const MAX_WAIT_MS = 5000;

export class UnderWay {
  readonly #all = new Map<Promise<unknown>, Host | undefined>();
  /** The witness is looking: nothing may happen meanwhile. */
  readonly #looks = new Set<Promise<unknown>>();

  track<T>(promise: Promise<T>, host?: Host): Promise<T> {
    const forget = () => void this.#all.delete(promise);
    this.#all.set(promise, host);
    promise.then(forget, forget);
    return promise;
  }

  trackLook(promise: Promise<void>): Promise<void> {
    const forget = () => void this.#looks.delete(promise);
    this.#looks.add(promise);
    promise.then(forget, forget);
    return promise;
  }

  async looksEnded(): Promise<void> {
    while (this.#looks.size > 0) await Promise.all(this.#looks);
  }

  /** Resolves when nothing of a process that lives is under way; a frozen one's may be for as long as it is frozen. */
  async ended(): Promise<void> {
    const until = performance.now() + MAX_WAIT_MS;
    for (let pending = this.#ofLiving(); pending.length > 0 && performance.now() < until; ) {
      await Promise.race([Promise.allSettled(pending), pause(MAX_WAIT_MS / 10)]);
      pending = this.#ofLiving();
    }
  }

  #ofLiving(): Promise<unknown>[] {
    return [...this.#all].flatMap(([promise, host]) =>
      host === undefined || host.state === "alive" ? [promise] : [],
    );
  }
}

/** Real time: for what happens inside of a database by itself. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
