/**
 * What the runs' effects are made in. A call that is cut off, by its signal or by the end of its process, has had its
 * effect or has not: chance says which at that moment. Answers get lost too. Whoever looks sees all that is there.
 */
import type { Random } from "./random.ts";
import type { Scenario } from "./scenario.ts";
import type { Host, SimScheduler } from "./scheduler.ts";
import type { Watched } from "./witness.ts";
import type { DatabaseView, WorldDatabase } from "./world-database.ts";

export interface OutsideOptions {
  scenario: Scenario;
  random: Random;
  scheduler: SimScheduler;
  db: Pick<WorldDatabase, "look">;
  isCalm(): boolean;
}

interface Call {
  process: Watched;
  key: string;
  /** Whether it will have its effect when it is cut off. */
  isRefused: boolean;
}

export const REFUSED_OUTSIDE = "the world outside refuses";
export const LOST_OUTSIDE = "the answer from outside is lost";
export const CUT_OUTSIDE = "the line to the world outside was cut";

export class OutsideWorld {
  /** What is there, by the key of each effect, as often as it was made. */
  readonly made = new Map<string, number>();
  /** What a process has made that had lost its right to write: nobody can keep it from being there twice. */
  readonly madeStale = new Set<string>();
  readonly #options: OutsideOptions;
  readonly #calls = new Set<Call>();

  constructor(options: OutsideOptions) {
    this.#options = options;
  }

  async find(process: Watched, key: string): Promise<string | undefined> {
    const { scheduler } = this.#options;
    await scheduler.turn(process.host, "look outside");
    const isThere = this.made.has(key);
    await scheduler.turn(process.host, "looked outside");
    return isThere ? thing(key) : undefined;
  }

  async make(process: Watched, { key, signal }: { key: string; signal: AbortSignal }): Promise<string> {
    const { scheduler, random, scenario, isCalm } = this.#options;
    const trouble = !isCalm() && random.chance(scenario.sendTrouble) ? random.pick(TROUBLES) : undefined;
    const call = { process, key, isRefused: trouble === REFUSED_OUTSIDE };
    const cut = () => this.#cut(call);
    signal.throwIfAborted();
    this.#calls.add(call);
    signal.addEventListener("abort", cut, { once: true });
    await scheduler.turn(process.host, "make outside");
    signal.removeEventListener("abort", cut);
    if (!this.#calls.delete(call)) throw new Error(CUT_OUTSIDE);
    if (trouble === REFUSED_OUTSIDE) throw new Error(trouble);
    this.#happens(call);
    await scheduler.turn(process.host, "made outside");
    if (trouble !== undefined) throw new Error(trouble);
    return thing(key);
  }

  /** Its process has ended, or stands still: what it had asked for has happened or has not. */
  cutOff(host: Host): void {
    for (const call of this.#calls) if (call.process.host === host) this.#cut(call);
  }

  #cut(call: Call): void {
    if (this.#calls.delete(call) && !call.isRefused && this.#options.random.chance(0.5)) this.#happens(call);
  }

  #happens({ process: { epoch }, key }: Call): void {
    this.made.set(key, (this.made.get(key) ?? 0) + 1);
    void this.#options.db.look((view: DatabaseView) => {
      if (epoch === undefined || !view.isValid(epoch)) this.madeStale.add(key);
    });
  }
}

const TROUBLES = [REFUSED_OUTSIDE, LOST_OUTSIDE] as const;

function thing(key: string): string {
  return `thing of ${key}`;
}
