/**
 * Those who have runs tried again that were stopped, have failed or were given up: as soon as they see the end, perhaps
 * before the process that has written it knows; two of them, as a run or as a dead letter. Who is not told what came of
 * it asks again, without looking.
 */
import type { Store } from "../../src/core/store.ts";
import { Errands } from "./errands.ts";
import type { MemoryTables } from "./memory-tables.ts";
import { createRandom, type Random } from "./random.ts";
import type { RetriersOptions } from "./retriers.ts";
import type { MessagePlan } from "./scenario.ts";

/** How often one looks for the end that something has brought about, and how long apart at most. */
const LOOKS = 6;
const MAX_LOOK_MS = 100;
/** How often those look who wait for whatever end. */
const LOOK_MS = 10_000;
const ASK_AGAIN_MS = 500;
const MAX_THOUGHT_MS = 20_000;
const CHANCES = 0x3c6e_f372;

type Ask = (store: Store, id: number) => Promise<boolean>;

const REOPEN: Ask = ({ runs }, id) => runs.reopen(id);

export class RunRetriers {
  readonly #options: RetriersOptions;
  readonly #random: Random;
  readonly #errands: Errands;
  /** How often each run is tried again yet, by its message's key. */
  readonly #left: Map<string, number>;

  constructor(options: RetriersOptions) {
    const { scenario, witness } = options;
    this.#options = options;
    this.#errands = new Errands(options);
    this.#random = createRandom(scenario.seed ^ CHANCES);
    const retried = scenario.messages.filter(({ run }) => (run?.retries ?? 0) > 0);
    this.#left = new Map(retried.map(({ key, run }) => [key, run?.retries ?? 0]));
    if (retried.length > 0) witness.runs.onTrouble = (of) => this.#lookSoon(of, LOOKS);
    for (const plan of retried) this.#errands.after(LOOK_MS, () => this.#lookForTheEnd(plan));
  }

  get isQuiet(): boolean {
    return this.#errands.isQuiet;
  }

  /** Something has failed in a run, or somebody wants it stopped. */
  #lookSoon(of: string | number, looks: number): void {
    const plan = this.#planOf(of);
    if (!plan || looks === 0 || !this.#left.get(plan.key)) return;
    const longest = this.#random.pick([1, MAX_LOOK_MS / 10, MAX_LOOK_MS]);
    this.#errands.after(this.#random.between(1, longest), () =>
      this.#errands.look((tables) => {
        if (!this.#retryIfEnded(tables, plan)) this.#lookSoon(of, looks - 1);
      }),
    );
  }

  #lookForTheEnd(plan: MessagePlan): void {
    this.#errands.look((tables) => {
      const id = this.#idOf(plan);
      const { status } = tables.message(id) ?? {};
      const run = tables.runs.get(id);
      const isOver = (status === "done" || status === "dead") && (!run || run.status === "done");
      if (!this.#left.get(plan.key) || isOver) return;
      this.#retryIfEnded(tables, plan);
      this.#errands.after(LOOK_MS, () => this.#lookForTheEnd(plan));
    });
  }

  #retryIfEnded(tables: MemoryTables, plan: MessagePlan): boolean {
    const id = this.#idOf(plan);
    const { status = "done", endedAt = null } = tables.runs.get(id) ?? {};
    const message = tables.message(id)?.status ?? "done";
    const hasEnded = endedAt !== null && status !== "done" && (message === "done" || message === "dead");
    const left = this.#left.get(plan.key) ?? 0;
    if (!hasEnded || left === 0) return false;
    this.#left.set(plan.key, left - 1);
    this.#retry(id, this.#wayFor(plan, message));
    // Someone else has seen it too, and thinks about it for a while.
    const waitMs = this.#random.pick([0, 1, this.#random.between(1, MAX_THOUGHT_MS)]);
    if (this.#random.chance(0.4)) this.#errands.after(waitMs, () => this.#retry(id, REOPEN));
    return true;
  }

  /** What is dead is in the list of dead letters too. */
  #wayFor({ gateway }: MessagePlan, message: string): Ask {
    if (message !== "dead" || this.#random.chance(0.5)) return REOPEN;
    return (store, conversationId) =>
      store.retryDeadLetter({ conversationId, gateway, attempts: 0, lastError: "", createdAt: 0 });
  }

  #retry(id: number, ask: Ask): void {
    const { store, witness } = this.#options;
    const retry = () => {
      witness.mayBeRetried(id);
      return ask(store, id);
    };
    this.#errands.ask(retry, (isRetried) => isRetried && witness.retried(id), ASK_AGAIN_MS);
  }

  #planOf(of: string | number): MessagePlan | undefined {
    return this.#options.scenario.messages.find((plan) => plan.key === of || this.#idOf(plan) === of);
  }

  #idOf({ key }: MessagePlan): number {
    return this.#options.witness.accepted.get(key) ?? 0;
  }
}
