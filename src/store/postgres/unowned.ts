/**
 * Taking over what other processes have stored for this one, in two halves: what is there is read and handed out; then
 * its rows are hidden from the next reading, each named as it was read. So a statement that the server carries out
 * late, its connection long gone, hides nothing that was stored or changed since: nobody would know of that, and what
 * is newer in its thread would overtake it. Nobody waits for the second half: what it has not hidden yet is known here.
 */

/** A row of `inbox` as it was read; whoever changes it gives it another version. */
export interface RowVersion {
  id: number;
  version: string;
}

export interface UnownedOptions<Row> {
  /** What others have stored and nobody has hidden, in the order of the ids. */
  read(limit: number): Promise<Row[]>;
  /** Hides those of the rows that are as they were read. May fail, and be repeated. */
  hide(rows: RowVersion[]): Promise<void>;
}

export class Unowned<Row extends RowVersion> {
  readonly #options: UnownedOptions<Row>;
  /** What was handed out and is perhaps not hidden yet: the version by the id. */
  readonly #handedOut = new Map<number, string>();
  #lastTaking: Promise<unknown> = Promise.resolve();
  #isHiding = false;
  #mustHideAgain = false;

  constructor(options: UnownedOptions<Row>) {
    this.#options = options;
  }

  /**
   * Hands each row out once, and once more when it was changed by others. One after another: a reading that has begun
   * before the end of another one may show what that has handed out, and what is hidden and forgotten by now.
   */
  take(limit: number): Promise<Row[]> {
    const taken = this.#lastTaking.then(() => this.#take(limit));
    this.#lastTaking = taken.catch(() => undefined);
    return taken;
  }

  async #take(limit: number): Promise<Row[]> {
    const wanted = limit + this.#handedOut.size;
    const rows = await this.#options.read(wanted);
    const fresh = rows.filter(({ id, version }) => this.#handedOut.get(id) !== version).slice(0, limit);
    // What a whole reading does not show is hidden, or gone.
    const shown = new Set(rows.map(({ id }) => id));
    if (rows.length < wanted)
      for (const id of this.#handedOut.keys()) if (!shown.has(id)) this.#handedOut.delete(id);
    for (const { id, version } of fresh) this.#handedOut.set(id, version);
    if (rows.length > 0) void this.#hide();
    return fresh;
  }

  /** One statement at a time. After a failure, the next taking brings another one. */
  async #hide(): Promise<void> {
    this.#mustHideAgain = true;
    if (this.#isHiding) return;
    this.#isHiding = true;
    while (this.#mustHideAgain) {
      this.#mustHideAgain = false;
      const rows = [...this.#handedOut].map(([id, version]) => ({ id, version }));
      await this.#options.hide(rows).catch(() => undefined);
    }
    this.#isHiding = false;
  }
}
