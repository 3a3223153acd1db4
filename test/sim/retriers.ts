/**
 * Those who have dead letters tried again, messages and deliveries, as soon as they see one: perhaps before the process
 * that has made it one knows that this is stored. Each letter once; who is not told what came of it asks again.
 */
import type { DeadLetter, Store } from "../../src/core/store.ts";
import { Errands, type ErrandsOptions } from "./errands.ts";
import type { MemoryTables } from "./memory-tables.ts";
import { createRandom, type Random } from "./random.ts";
import { keyOf, type Scenario } from "./scenario.ts";
import type { Witness } from "./witness.ts";

export interface RetriersOptions extends ErrandsOptions {
  scenario: Scenario;
  witness: Witness;
  /** Of a process that is no owner. */
  store: Store;
}

/** How often one looks for a letter whose attempt has failed, and how long apart at most. */
const LOOKS = 8;
const MAX_LOOK_MS = 150;
const ASK_AGAIN_MS = 500;
const CHANCES = 0x51ed_270b;

export class Retriers {
  readonly #options: RetriersOptions;
  readonly #random: Random;
  readonly #errands: Errands;
  readonly #seen = new Set<number | string>();

  constructor(options: RetriersOptions) {
    this.#options = options;
    this.#errands = new Errands(options);
    this.#random = createRandom(options.scenario.seed ^ CHANCES);
    if (options.scenario.hasRetries) options.witness.onFailure = (of) => this.#lookFor(of, LOOKS);
  }

  get isQuiet(): boolean {
    return this.#errands.isQuiet;
  }

  #lookFor(of: number | string, looks: number): void {
    if (looks === 0 || this.#seen.has(of)) return;
    const longest = this.#random.pick([1, MAX_LOOK_MS / 10, MAX_LOOK_MS]);
    this.#errands.after(this.#random.between(1, longest), () =>
      this.#errands.look((tables) => {
        const letter = this.#letterOf(tables, of);
        if (!letter) return this.#lookFor(of, looks - 1);
        if (this.#seen.has(of)) return;
        this.#seen.add(of);
        this.#retry(letter, of);
      }),
    );
  }

  /** A run has more to it than a message: those are not theirs. */
  #letterOf(tables: MemoryTables, of: number | string): DeadLetter | undefined {
    const rest = { attempts: 0, lastError: "", createdAt: 0 };
    if (typeof of === "number") {
      const { content = "", gateway = null } = tables.conversations.get(of) ?? {};
      const plan = this.#options.scenario.messages.find(({ key }) => key === keyOf(content));
      if (plan?.run || plan?.isPlain || tables.inbox.get(of)?.status !== "dead") return undefined;
      return { ...rest, conversationId: of, gateway };
    }
    const row = [...tables.deliveries.values()].find(({ deliveryId }) => deliveryId === of);
    if (row?.status !== "dead") return undefined;
    const { eventId, gateway, target } = row;
    const { conversationId = 0 } = tables.events.get(eventId) ?? {};
    return { ...rest, conversationId, gateway, delivery: { eventId, gateway, target } };
  }

  #retry(letter: DeadLetter, of: number | string): void {
    const { store, witness } = this.#options;
    const retry = () => {
      witness.mayBeRetried(of);
      return store.retryDeadLetter(letter);
    };
    this.#errands.ask(retry, (isRetried) => isRetried && witness.retried(of), ASK_AGAIN_MS);
  }
}
