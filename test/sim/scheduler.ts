/**
 * What happens next, by a seed alone. Everything that the world does (a commit, an answer, a send, a step of a
 * worker, `setImmediate`) waits here for its turn, and fast-check's scheduler picks whose it is; between two turns
 * all promises settle. Time stands still until nothing else can happen, or chance moves it to the next timer.
 * A host is one process: of a dead one nothing happens any more, of a frozen one nothing until it is thawed.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import fc from "fast-check";
import type { Clock } from "../../src/core/clock.ts";
import type { Random } from "./random.ts";

export interface Host {
  readonly name: string;
  state: "alive" | "frozen" | "dead";
  /** What came to its turn while it was frozen. */
  parked: (() => void)[];
}

/** The part of the scheduler that the store model stands on; the store suite gives it another one. */
export interface Turns {
  later(host: Host, label: string, happens: () => void): void;
  turn(host: Host, label: string): Promise<void>;
  /** Runs it once that much time has passed; the result cancels it. */
  after(host: Host, waitMs: number, happens: () => void): () => void;
  now(): number;
  /** Says more in the trace about what happens. */
  note?(host: Host, text: string): void;
}

interface Timer {
  at: number;
  host: Host;
  happens: () => void;
}

export interface SchedulerOptions {
  seed: number;
  random: Random;
  /** How often time moves on although something else could happen. */
  tickProbability: number;
  startAt: number;
  /** Gets a line for each turn. */
  trace?: ((line: string) => void) | undefined;
}

type Callback = (...args: unknown[]) => void;

const READY = Promise.resolve();
const realSetImmediate = globalThis.setImmediate;
const realSetInterval = globalThis.setInterval;
/** Those whose worlds run at the same time; of one at the most it is the turn. */
const schedulers = new Set<SimScheduler>();

export class SimScheduler implements Turns {
  readonly #options: SchedulerOptions;
  readonly #order: fc.Scheduler;
  readonly #timers = new Set<Timer>();
  #now: number;
  #steps = 0;
  /** Set where a real database works: its `setImmediate` is the machine's. */
  readonly #isOutside = new AsyncLocalStorage<boolean>();
  #current: Host | undefined;
  #isCalm = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#now = options.startAt;
    const [order] = fc.sample(fc.scheduler(), { seed: options.seed, numRuns: 1 });
    this.#order = order as fc.Scheduler;
  }

  get steps(): number {
    return this.#steps;
  }

  get pendingCount(): number {
    return this.#order.count();
  }

  now(): number {
    return this.#now;
  }

  later(host: Host, label: string, happens: () => void): void {
    if (host.state === "dead") return;
    void this.#order.schedule(READY, label).then(() => this.#run(host, { label, happens }));
  }

  /** Resolves when its turn has come; never, when the host dies before. */
  turn(host: Host, label: string): Promise<void> {
    return new Promise((resolve) => this.later(host, label, resolve));
  }

  after(host: Host, waitMs: number, happens: () => void): () => void {
    return this.#schedule({ host, at: this.#now + Math.max(0, Math.ceil(waitMs)), happens });
  }

  /** Runs what is not the world's: a real database, in real time. */
  outside<T>(run: () => T): T {
    return this.#isOutside.run(true, run);
  }

  /** Lets it happen at once, although it is nobody's turn: a real database calls back. */
  at(host: Host, happens: () => void): void {
    if (host.state === "dead") return;
    const before = this.#current;
    this.#current = host;
    this.#isOutside.exit(happens);
    this.#current = before;
  }

  note(host: Host, text: string): void {
    this.#options.trace?.(`    ${host.name} ${text}`);
  }

  /** The clock of a host, which may go before or behind the others'. */
  clockOf(host: Host, offsetMs: number): Clock {
    return {
      now: () => this.#now + offsetMs,
      schedule: (at, happens) => this.#schedule({ host, at: Math.max(at - offsetMs, this.#now), happens }),
    };
  }

  /** Lets one thing happen, and all that follows from it by itself. False when there is nothing. */
  async step(): Promise<boolean> {
    const { random, tickProbability } = this.#options;
    const isPending = this.#order.count() > 0;
    if (!isPending && this.#timers.size === 0) return false;
    this.#steps += 1;
    if (this.#timers.size > 0 && (!isPending || (!this.#isCalm && random.chance(tickProbability))))
      this.#tick();
    else await this.#order.waitNext(1);
    await settled();
    this.#current = undefined;
    return true;
  }

  /** From now on time moves only when nothing else can happen. */
  calm(): void {
    this.#isCalm = true;
  }

  kill(host: Host): void {
    host.state = "dead";
    host.parked = [];
    for (const timer of this.#timers) if (timer.host === host) this.#timers.delete(timer);
  }

  freeze(host: Host): void {
    host.state = "frozen";
  }

  thaw(host: Host): void {
    host.state = "alive";
    for (const happens of host.parked.splice(0)) this.later(host, "thawed", happens);
  }

  /** Runs it with `setImmediate` in the scheduler's hand, as far as a host calls it. */
  async holding<T>(run: () => Promise<T>): Promise<T> {
    schedulers.add(this);
    const setImmediate = (happens: Callback, ...args: unknown[]) => {
      const scheduler = currentScheduler();
      if (!scheduler) return realSetImmediate(happens, ...args);
      scheduler.#later("immediate", () => happens(...args));
      return undefined;
    };
    // The loop keeps its process alive by an interval that never comes; one of a dead host would stay.
    const setInterval = (...args: Parameters<typeof realSetInterval>) =>
      currentScheduler() ? undefined : realSetInterval(...args);
    Object.assign(globalThis, { setImmediate, setInterval });
    try {
      return await run();
    } finally {
      schedulers.delete(this);
      if (schedulers.size === 0)
        Object.assign(globalThis, { setImmediate: realSetImmediate, setInterval: realSetInterval });
    }
  }

  /** Whether what happens now is of one of its hosts. */
  get isActing(): boolean {
    return this.#current !== undefined && this.#isOutside.getStore() !== true;
  }

  #later(label: string, happens: () => void): void {
    if (this.#current) this.later(this.#current, label, happens);
  }

  #schedule(timer: Timer): () => void {
    let isCancelled = false;
    // It may have come to its time while its host was frozen, and be cancelled by what happens before it then.
    const happens = () => {
      if (!isCancelled) timer.happens();
    };
    const kept = { ...timer, happens };
    if (timer.host.state !== "dead") this.#timers.add(kept);
    return () => {
      isCancelled = true;
      this.#timers.delete(kept);
    };
  }

  #tick(): void {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (!next || timer.at < next.at) next = timer;
    if (!next) return;
    this.#timers.delete(next);
    this.#now = Math.max(this.#now, next.at);
    this.#run(next.host, { label: "timer", happens: next.happens });
  }

  #run(host: Host, { label, happens }: { label: string; happens: () => void }): void {
    if (host.state === "dead") return;
    if (host.state === "frozen") {
      host.parked.push(happens);
      return;
    }
    this.#options.trace?.(`${this.#steps} ${this.#now} ${host.name} ${label}`);
    this.#current = host;
    this.#isOutside.exit(happens);
  }
}

function currentScheduler(): SimScheduler | undefined {
  for (const scheduler of schedulers) if (scheduler.isActing) return scheduler;
  return undefined;
}

/** Resolves when no promise is left that can settle by itself: Node runs these before the next tick. */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}
