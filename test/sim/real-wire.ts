/**
 * The way between a process and its real database: calls are handed over in their order, together with what waits at
 * the same moment, and answered in a turn of their own; what goes wrong on it is the world's choice, as in the model.
 */
import { busy, type Faults, unavailable } from "./memory-database.ts";
import type { Host, SimScheduler } from "./scheduler.ts";
import type { UnderWay } from "./under-way.ts";

export interface WireOptions {
  host: Host;
  turns: SimScheduler;
  faults: Faults;
  underWay: UnderWay;
  /** See `PostgresProxy`; where there is a server. */
  cutAtAnswer?(number: number): Promise<void>;
}

interface Call {
  label: string;
  /** It takes several statements. */
  isLong: boolean;
  run(isLate: boolean): Promise<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Writes in order; one batch is under way at a time. */
export class Wire {
  readonly #options: WireOptions;
  #queue: Call[] = [];
  #isBusy = false;
  #idleCallbacks: (() => void)[] = [];

  constructor(options: WireOptions) {
    this.#options = options;
  }

  submit<T>(
    label: string,
    run: (isLate: boolean) => Promise<T>,
    { isLong = false }: { isLong?: boolean } = {},
  ): Promise<T> {
    const { turns, host } = this.#options;
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ label, isLong, run, resolve: resolve as (value: unknown) => void, reject });
      if (this.#isBusy) return;
      this.#isBusy = true;
      turns.later(host, "hand over", () => void this.#handOver());
    });
  }

  /** Resolves when nothing is under way or waits. */
  idle(): Promise<void> {
    if (!this.#isBusy) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idleCallbacks.push(resolve);
    });
  }

  async #handOver(): Promise<void> {
    const { faults, turns, host, underWay, cutAtAnswer } = this.#options;
    const batch = this.#queue.splice(0, faults.batchSize(this.#queue.length));
    const fate = faults.commit();
    turns.note(host, `${fate}: ${batch.map(({ label }) => label).join("; ")}`);
    const writeAll = (isLate: boolean) =>
      turns.outside(() => Promise.allSettled(batch.map(({ run }) => run(isLate))));
    const mayBeCut = cutAtAnswer !== undefined && fate === "stored" && batch.some(({ isLong }) => isLong);
    const cutAt = mayBeCut ? faults.cutAtAnswer() : 0;
    if (cutAt > 0) turns.note(host, `is cut off at answer ${cutAt}`);
    if (cutAt > 0) await turns.outside(() => cutAtAnswer?.(cutAt));
    const isStored = fate === "stored" || fate === "lost though stored";
    const answers = isStored ? await underWay.track(writeAll(false), host) : [];
    if (cutAt > 0) await turns.outside(() => cutAtAnswer?.(0));
    // Told to have failed, and stored after what follows.
    if (fate === "late") turns.after(host, faults.lateMs(), () => void underWay.track(writeAll(true), host));
    turns.later(host, fate === "stored" ? "answer" : fate, () => {
      for (const [index, call] of batch.entries()) {
        const answer = fate === "stored" ? answers[index] : undefined;
        if (answer?.status === "fulfilled") call.resolve(answer.value);
        else call.reject(answer?.reason ?? (fate === "busy" ? busy() : unavailable()));
      }
      if (this.#queue.length > 0) return turns.later(host, "hand over", () => void this.#handOver());
      this.#isBusy = false;
      for (const callback of this.#idleCallbacks.splice(0)) callback();
    });
  }
}

/** A reading: of one moment, answered at a later one. */
export async function readThrough<T>(
  { host, turns, faults, underWay }: WireOptions,
  { label, look }: { label: string; look: () => Promise<T> },
): Promise<T> {
  await turns.turn(host, label);
  const isLost = faults.isReadLost();
  const found = await answered({ host, turns, faults, underWay }, { label, act: look });
  if (isLost) throw unavailable();
  return found;
}

/** Acts on the real database, and hands the answer back in a turn. */
export function answered<T>(
  { host, turns, underWay }: WireOptions,
  { label, act }: { label: string; act: () => Promise<T> },
): Promise<T> {
  return new Promise((resolve, reject) => {
    underWay.track(turns.outside(act), host).then(
      (value) => turns.later(host, `${label} answered`, () => resolve(value)),
      (error) => turns.later(host, `${label} failed`, () => reject(error)),
    );
  });
}
