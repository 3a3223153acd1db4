/**
 * How much of the open work is in memory. While `live`, all of it is, and what is stored goes straight into its
 * lane. When memory is full, or at the start, or when a write's outcome is unknown, the part is `behind`: what
 * is stored stays in the database, and pages are read in the order of their ids as room comes free. A write is
 * let in by `admit`, so that the change between the two never overtakes a write under way.
 */
import type { Limits } from "./limits.ts";

export interface BacklogOptions<Row> {
  /** Rows with an id above `after`, in the order of their ids. Fewer ids than `limit`: there are no more. */
  read(page: { after: number; limit: number }): Promise<Row[]>;
  idOf(row: Row): number;
  /** What tells this row from all others; rows of one id may be several. */
  keyOf(row: Row): string | number;
  /** Takes a row into memory, unless it is there. */
  load(row: Row): void;
  /** How many rows are in memory. */
  loadedCount(): number;
  maxLoaded: number;
  /** Called when all open work is in memory again. */
  onLive(): void;
  /** Called when a read fails for the n-th time in a row; resolves when to try again, rejects to give up. */
  onReadError(error: unknown, failures: number): Promise<void>;
}

/** How long a database may take to commit what was sent over a connection that has broken. */
const UNCERTAIN_MS = 10 * 60_000;
/** How many ids one read asks for. */
const PAGE_SIZE = 500;

export type Admission = "live" | "behind";

export class Backlog<Row> {
  readonly #options: BacklogOptions<Row>;
  readonly #underWay = { live: 0, behind: 0 };
  #state: Admission = "behind";
  #cursor = 0;
  /** Counts the times it fell behind, so that a page read before the last of them is not believed. */
  #generation = 0;
  /** Set while new writes wait for the change to live. */
  #gate: PromiseWithResolvers<void> | undefined;
  #isReading = false;
  #reading: Promise<void> | undefined;
  /** Whether room has perhaps come free since the reading under way has looked for some. */
  #isRoomFreed = false;
  #failedReads = 0;
  /** What left memory while a page was being read: the page may still show it as open. */
  #endedWhileReading: Set<string | number> | undefined;
  /** What was stored while a page was being read: the page may be older, and reach beyond it. */
  #storedWhileReading: Row[] = [];
  /** Whether a page has been asked for since it fell behind. */
  #hasBegun = false;
  /** Rows that a page being read should show, unless it is older than they are. */
  #missedWhileReading: number[] | undefined;
  /** Whether the reading under way is to be followed by another one. */
  #isDueAgain = false;
  #isStopped = false;
  /** Until then a row may turn up whose write seemed to have failed. */
  #uncertainUntil = 0;
  #quietCallbacks: (() => void)[] = [];
  #reachCallbacks: { id: number; resolve(isReached: boolean): void }[] = [];

  constructor(options: BacklogOptions<Row>) {
    this.#options = options;
  }

  get isLive(): boolean {
    return this.#state === "live";
  }

  /** Resolves when all that there is room for has been read. */
  async readingEnded(): Promise<void> {
    while (this.#isReading && !this.#isStopped) await this.#reading;
  }

  /** The same, and `idle` has resolved after it without any more to be read. */
  async drained(idle: () => Promise<void>): Promise<void> {
    do {
      await this.readingEnded();
      await idle();
    } while (this.#isReading && !this.#isStopped);
  }

  /** Lets a write in, at once unless it has to wait; tell its end with `end`. Live: enter the lane now. Behind: store only, then `stored`. */
  admit(): Admission | Promise<Admission> {
    return this.#gate ? this.#admitLater() : this.#admitNow();
  }

  async #admitLater(): Promise<Admission> {
    while (this.#gate) await this.#gate.promise;
    return this.#admitNow();
  }

  #admitNow(): Admission {
    if (this.#state === "live" && this.#options.loadedCount() >= this.#options.maxLoaded) this.fallBehind();
    this.#underWay[this.#state] += 1;
    return this.#state;
  }

  /** The write that `admit` let in has ended, well or not. */
  end(admission: Admission): void {
    this.#underWay[admission] -= 1;
    if (this.#underWay[admission] === 0)
      this.#quietCallbacks.splice(0).forEach((callback) => void callback());
  }

  /** A row was stored while behind: the reading will come to it, unless it has passed its id already. */
  stored(row: Row): void {
    if (this.#state === "live" || this.#options.idOf(row) <= this.#cursor) this.#options.load(row);
    else if (this.#endedWhileReading) this.#storedWhileReading.push(row);
  }

  /** The open work has to be read (again), and no page that was asked for before is believed. Rows in memory stay there. */
  fallBehind(): void {
    this.#state = "behind";
    this.#cursor = 0;
    this.#hasBegun = false;
    this.#isDueAgain = false;
    this.#generation += 1;
    this.catchUp();
  }

  /**
   * There may be more open work than there was. A reading under way comes to its end first: begun anew at each of these
   * calls, it would never come there where it takes longer than they are apart.
   */
  readAgain(): void {
    if (this.#isReading) this.#isDueAgain = this.#hasBegun;
    else this.fallBehind();
  }

  /** A write's outcome is unknown: the database may commit it long after the connection is gone. */
  becomeUncertain(now: number): void {
    this.#uncertainUntil = now + UNCERTAIN_MS;
    this.fallBehind();
  }

  /** Reads again where a write's outcome has been unknown not long ago. */
  rereadIfUncertain(now: number): void {
    if (now < this.#uncertainUntil) this.readAgain();
  }

  /**
   * A row that is open is not in memory: someone else's write of it came late, say. Read again is what has passed it, or
   * is just passing it; a reading that has yet to come to it goes on.
   */
  missed(id: number): void {
    if (this.#state === "live" || id <= this.#cursor) this.fallBehind();
    else this.#missedWhileReading?.push(id);
  }

  /**
   * Resolves with true when every row up to this id has been read, with false when there is no room for that now: what
   * was stored while it fell behind may have older ones before it.
   */
  reached(id: number): Promise<boolean> {
    if (!this.#isReading || this.#hasRead(id)) return Promise.resolve(this.#hasRead(id));
    return new Promise((resolve) => this.#reachCallbacks.push({ id, resolve }));
  }

  /** A row has left memory because it has ended; reads on when there is room again. */
  ended(key: string | number): void {
    this.#endedWhileReading?.add(key);
    this.catchUp();
  }

  /** Reads on while there is room. */
  catchUp(): void {
    if (this.#isReading) this.#isRoomFreed = true;
    if (this.#state === "live" || this.#isReading || this.#isStopped) return;
    this.#isReading = true;
    const generation = () => this.#generation;
    let seen = generation();
    this.#reading = this.#readOn(() => {
      seen = generation();
    }).finally(() => {
      this.#isReading = false;
      // It fell behind anew in the very moment of becoming live, or found no room just before there was some.
      if (seen !== generation() || this.#isRoomFreed) this.catchUp();
      else this.#tellReached(Number.POSITIVE_INFINITY);
    });
  }

  /** Reads no more, and lets waiting writes in. */
  stop(): void {
    this.#isStopped = true;
    this.#tellReached(Number.POSITIVE_INFINITY);
    this.#openGate();
    this.#quietCallbacks.splice(0).forEach((callback) => void callback());
  }

  async #readOn(onRound: () => void): Promise<void> {
    // Rows under way are in memory before their ids are known: reading now would load them twice.
    await this.#quiet("live");
    while (!this.#isStopped && this.#hasRoom()) {
      onRound();
      const isAtEnd = await this.#readPage();
      if (isAtEnd === undefined) return;
      if (isAtEnd && this.#gate) return this.#becomeLive();
      if (isAtEnd) {
        // What was stored while reading lies above the cursor: let it end, read it, and only then go live.
        this.#gate = Promise.withResolvers();
        await this.#quiet("behind");
      }
    }
    this.#openGate();
  }

  #hasRoom(): boolean {
    this.#isRoomFreed = false;
    return this.#options.loadedCount() < this.#options.maxLoaded / 2;
  }

  /** Undefined: given up. */
  async #readPage(): Promise<boolean | undefined> {
    const generation = this.#generation;
    this.#hasBegun = true;
    const ended = new Set<string | number>();
    this.#endedWhileReading = ended;
    const missed: number[] = [];
    this.#missedWhileReading = missed;
    try {
      const rows = await this.#options.read({ after: this.#cursor, limit: PAGE_SIZE });
      this.#failedReads = 0;
      if (this.#isStopped) return undefined;
      if (this.#generation !== generation) return false;
      const ids = new Set(rows.map(this.#options.idOf));
      const last = Math.max(...ids);
      if (missed.some((id) => id < last && !ids.has(id) && !ended.has(id))) {
        this.fallBehind();
        return false;
      }
      for (const row of rows) if (!ended.has(this.#options.keyOf(row))) this.#options.load(row);
      for (const id of ids) this.#cursor = Math.max(this.#cursor, id);
      this.#storedWhileReading.splice(0).forEach((row) => void this.stored(row));
      this.#tellReached(this.#cursor);
      return ids.size < PAGE_SIZE;
    } catch (error) {
      this.#openGate();
      this.#failedReads += 1;
      return this.#options.onReadError(error, this.#failedReads).then(
        () => false,
        () => undefined,
      );
    } finally {
      this.#endedWhileReading = undefined;
      this.#missedWhileReading = undefined;
      this.#storedWhileReading = [];
    }
  }

  #becomeLive(): void {
    this.#state = "live";
    this.#openGate();
    this.#options.onLive();
    this.#tellReached(Number.POSITIVE_INFINITY);
    if (this.#isDueAgain) this.fallBehind();
  }

  #tellReached(cursor: number): void {
    if (this.#reachCallbacks.length === 0) return;
    const callbacks = this.#reachCallbacks;
    this.#reachCallbacks = callbacks.filter(({ id }) => id > cursor);
    for (const { id, resolve } of callbacks) if (id <= cursor) resolve(this.#hasRead(id));
  }

  #hasRead(id: number): boolean {
    return this.#state === "live" || this.#isStopped || this.#cursor >= id;
  }

  #openGate(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  #quiet(admission: Admission): Promise<void> {
    if (this.#underWay[admission] === 0 || this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#quietCallbacks.push(() => {
        resolve(this.#quiet(admission));
      });
    });
  }
}

/**
 * How much of `maxLoaded` is taken. What waits for a later attempt takes none of it, so that one platform that is
 * away does not keep everything else from being read; but that has a limit too, `maxHeld`.
 */
export function roomTaken(count: { loaded: number; held: number; limits: Pick<Limits, "maxHeld"> }): number {
  return count.held >= count.limits.maxHeld ? Number.POSITIVE_INFINITY : count.loaded - count.held;
}
