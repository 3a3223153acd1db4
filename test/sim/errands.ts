/** What those outside the loop are about: something to be done later, a look at the database, a question to the store. */
import type { MemoryTables } from "./memory-tables.ts";
import type { Host, SimScheduler } from "./scheduler.ts";
import type { WorldDatabase } from "./world-database.ts";

export interface ErrandsOptions {
  scheduler: SimScheduler;
  db: Pick<WorldDatabase, "look">;
  outside: Host;
}

export class Errands {
  readonly #options: ErrandsOptions;
  #underWay = 0;

  constructor({ scheduler, db, outside }: ErrandsOptions) {
    this.#options = { scheduler, db, outside };
  }

  get isQuiet(): boolean {
    return this.#underWay === 0;
  }

  after(waitMs: number, happens: () => void): void {
    const { scheduler, outside } = this.#options;
    this.#underWay += 1;
    const happensOnce = () => {
      this.#underWay -= 1;
      happens();
    };
    if (waitMs === 0) scheduler.later(outside, "say", happensOnce);
    else scheduler.after(outside, waitMs, happensOnce);
  }

  look(see: (tables: MemoryTables) => void): void {
    this.#underWay += 1;
    void this.#options.db.look(({ tables }) => {
      this.#underWay -= 1;
      see(tables);
    });
  }

  /** Who is not told what came of it asks again, after a while. */
  ask<Answer>(question: () => Promise<Answer>, hear: (answer: Answer) => void, againMs: number): void {
    this.#underWay += 1;
    question().then(
      (answer) => {
        this.#underWay -= 1;
        hear(answer);
      },
      () => {
        this.#underWay -= 1;
        this.after(againMs, () => this.ask(question, hear, againMs));
      },
    );
  }
}
