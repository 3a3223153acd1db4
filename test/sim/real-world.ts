/** What the worlds of both real databases share: who has opened what, who is stale, and who wrote what last. */
import type { Store } from "../../src/core/store.ts";
import type { WorldOptions } from "./memory-world.ts";
import { openRealStore, type RealStoreOptions } from "./real-store.ts";
import { type Rows, viewOf } from "./rows-view.ts";
import type { Host, SimScheduler } from "./scheduler.ts";
import { UnderWay } from "./under-way.ts";
import type { DatabaseView } from "./world-database.ts";

export interface RealWorldOptions extends WorldOptions {
  turns: SimScheduler;
  violated(text: string): void;
}

export class RealWorld {
  readonly underWay = new UnderWay();
  readonly stores = new Map<Host, Store>();
  readonly #options: RealWorldOptions;
  readonly #epochs = new Map<Host, number>();
  readonly #staleEpochs = new Set<number>();
  readonly #expelled = new Set<number>();
  readonly #writers = new Map<number | string, string>();
  readonly #overwritten = new Set<number | string>();
  readonly #wakeCallbacks = new Map<Host, () => void>();

  constructor(options: RealWorldOptions) {
    this.#options = options;
  }

  epochOf(host: Host): number | undefined {
    return this.#epochs.get(host);
  }

  wasExpelled(epoch: number): boolean {
    return this.#expelled.has(epoch);
  }

  view(rows: Rows): DatabaseView {
    const view = viewOf(rows, { writers: this.#writers, isShared: this.#options.isShared });
    for (const key of this.#overwritten) view.tables.overwritten.add(key);
    for (const epoch of this.#epochs.values()) if (!view.isValid(epoch)) this.#staleEpochs.add(epoch);
    return view;
  }

  /** `look` reads the rows; wake-ups are the world's own where `hasWakes`. */
  open(
    host: Host,
    more: Pick<RealStoreOptions, "location" | "open" | "cutAtAnswer"> & {
      look(): Promise<DatabaseView>;
      hasWakes: boolean;
    },
  ): Store {
    const { turns, faults, violated } = this.#options;
    const { location, open, look, hasWakes, cutAtAnswer } = more;
    const store = openRealStore({
      ...{ host, turns, faults, location, open, underWay: this.underWay },
      owned: ({ epoch }) => void this.#epochs.set(host, epoch),
      isStale: (epoch) => this.#staleEpochs.has(epoch),
      wroteStale: (epoch, label) =>
        violated(`${label} was written by epoch ${epoch}, which had lost its right to write`),
      wrote: (keys, isLate) => {
        for (const key of keys) {
          this.#writers.set(key, host.name);
          if (isLate) this.#overwritten.add(key);
        }
      },
      releases: async (epoch) => {
        if (!(await look()).isValid(epoch)) this.#expelled.add(epoch);
      },
      ...(cutAtAnswer ? { cutAtAnswer } : {}),
      ...(hasWakes ? { onWake: (callback) => void this.#wakeCallbacks.set(host, callback) } : {}),
      wakes: () => {
        if (hasWakes) for (const wake of this.#wakeCallbacks.values()) wake();
      },
    });
    this.stores.set(host, store);
    return store;
  }
}
