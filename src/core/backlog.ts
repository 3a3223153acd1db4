/**
 * How much of the open work is in memory. While `live`, all of it is, and what is stored goes straight into its
 * lane. When memory is full, or at the start, or when a write's outcome is unknown, the part is `behind`: what
 * is stored stays in the database, and pages are read in the order of their ids as room comes free. A write is
 * let in by `admit`, so that the change between the two never overtakes a write under way.
 */
import type { Limits } from "./limits.ts";
import type { Page as PageRequest } from "./store.ts";

export interface BacklogOptions<Row> {
  /** Rows with an id above `after`, in the order of their ids. Fewer ids than `limit`, and less text than `maxBytes`: there are no more. */
  read(page: Required<PageRequest>): Promise<Row[]>;
  idOf(row: Row): number;
  textOf(row: Row): string;
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
/** How much text one read brings at the most, but for its last row: 500 of the longest would be more than some processes can have. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const PAGE = { limit: PAGE_SIZE, maxBytes: MAX_PAGE_BYTES };
/** How many bytes one unit of a text's length has at the most, whatever the database counts in. */
const MAX_UNIT_BYTES = 4;

export type Admission = "live" | "behind";

/** One reading of all open rows, page by page: the one since the part has fallen behind for the last time. */
class Pass {
  /** All rows up to this id have been read. */
  cursor = 0;
  /** Whether a page has been asked for. */
  hasBegun = false;
  /** Whether another one is to follow. */
  isDueAgain = false;
}

/** A page that is being read, and what happens meanwhile that it may not show. */
class Page<Row> {
  /** What has left memory: the page may still show it as open. */
  readonly ended = new Set<string | number>();
  /** What was stored: the page may be older, and reach beyond it. */
  readonly stored: Row[] = [];
  /** Rows that it should show, unless it is older than they are. */
  readonly missed: number[] = [];
}

export class Backlog<Row> {
  readonly #options: BacklogOptions<Row>;
  readonly #underWay = { live: 0, behind: 0 };
  #state: Admission = "behind";
  #pass = new Pass();
  #page: Page<Row> | undefined;
  /** Set while new writes wait for the change to live. */
  #gate: PromiseWithResolvers<void> | undefined;
  /** Set while pages are being read, or about to be. */
  #reading: Promise<void> | undefined;
  /** Whether room has perhaps come free since the reading under way has looked for some. */
  #isRoomFreed = false;
  #failedReads = 0;
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
    while (this.#reading && !this.#isStopped) await this.#reading;
  }

  /** The same, and `idle` has resolved after it without any more to be read. */
  async drained(idle: () => Promise<void>): Promise<void> {
    do {
      await this.readingEnded();
      await idle();
    } while (this.#reading && !this.#isStopped);
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
    if (this.#state === "live" || this.#options.idOf(row) <= this.#pass.cursor) this.#options.load(row);
    else this.#page?.stored.push(row);
  }

  /** The open work has to be read (again), and no page that was asked for before is believed. Rows in memory stay there. */
  fallBehind(): void {
    this.#state = "behind";
    this.#pass = new Pass();
    this.catchUp();
  }

  /**
   * There may be more open work than there was. A reading under way comes to its end first: begun anew at each of these
   * calls, it would never come there where it takes longer than they are apart.
   */
  readAgain(): void {
    if (this.#reading) this.#pass.isDueAgain = this.#pass.hasBegun;
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
    if (this.#state === "live" || id <= this.#pass.cursor) this.fallBehind();
    else this.#page?.missed.push(id);
  }

  /**
   * Resolves with true when every row up to this id has been read, with false when there is no room for that now: what
   * was stored while it fell behind may have older ones before it.
   */
  reached(id: number): Promise<boolean> {
    if (!this.#reading || this.#hasRead(id)) return Promise.resolve(this.#hasRead(id));
    return new Promise((resolve) => this.#reachCallbacks.push({ id, resolve }));
  }

  /** A row has left memory because it has ended; reads on when there is room again. */
  ended(key: string | number): void {
    this.#page?.ended.add(key);
    this.catchUp();
  }

  /** Reads on while there is room. */
  catchUp(): void {
    if (this.#reading) this.#isRoomFreed = true;
    if (this.#state === "live" || this.#reading || this.#isStopped) return;
    let seen = this.#pass;
    this.#reading = this.#readOn((pass) => {
      seen = pass;
    }).finally(() => {
      this.#reading = undefined;
      // It fell behind anew in the very moment of becoming live, or found no room just before there was some.
      if (seen !== this.#pass || this.#isRoomFreed) this.catchUp();
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

  async #readOn(onPass: (pass: Pass) => void): Promise<void> {
    // Rows under way are in memory before their ids are known: reading now would load them twice.
    await this.#quiet("live");
    while (!this.#isStopped && this.#hasRoom()) {
      onPass(this.#pass);
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

  /** Whether it was the last one; undefined: given up. */
  async #readPage(): Promise<boolean | undefined> {
    const pass = this.#pass;
    pass.hasBegun = true;
    const page = new Page<Row>();
    this.#page = page;
    try {
      const rows = await this.#options.read({ after: pass.cursor, ...PAGE });
      this.#failedReads = 0;
      if (this.#isStopped) return undefined;
      return this.#pass === pass && this.#takeIn(rows, { page, pass });
    } catch (error) {
      this.#openGate();
      this.#failedReads += 1;
      return this.#options.onReadError(error, this.#failedReads).then(
        () => false,
        () => undefined,
      );
    } finally {
      this.#page = undefined;
    }
  }

  /** Whether there are no more. */
  #takeIn(rows: Row[], { page, pass }: { page: Page<Row>; pass: Pass }): boolean {
    const { idOf, keyOf, load } = this.#options;
    const ids = new Set(rows.map(idOf));
    const last = Math.max(...ids);
    const isOlder = page.missed.some((id) => id < last && !ids.has(id) && !page.ended.has(id));
    if (isOlder) {
      this.fallBehind();
      return false;
    }
    for (const row of rows) if (!page.ended.has(keyOf(row))) load(row);
    pass.cursor = Math.max(pass.cursor, last);
    for (const row of page.stored.splice(0)) this.stored(row);
    this.#tellReached(pass.cursor);
    return ids.size < PAGE_SIZE && !this.#isCutShort(rows) && this.#pass === pass;
  }

  /** Whether there may be more, as the page has so much text. */
  #isCutShort(rows: Row[]): boolean {
    const length = rows.reduce((sum, row) => sum + this.#options.textOf(row).length, 0);
    return length * MAX_UNIT_BYTES >= MAX_PAGE_BYTES;
  }

  #becomeLive(): void {
    this.#state = "live";
    this.#openGate();
    this.#options.onLive();
    this.#tellReached(Number.POSITIVE_INFINITY);
    if (this.#pass.isDueAgain) this.fallBehind();
  }

  #tellReached(cursor: number): void {
    if (this.#reachCallbacks.length === 0) return;
    const callbacks = this.#reachCallbacks;
    this.#reachCallbacks = callbacks.filter(({ id }) => id > cursor);
    for (const { id, resolve } of callbacks) if (id <= cursor) resolve(this.#hasRead(id));
  }

  #hasRead(id: number): boolean {
    return this.#state === "live" || this.#isStopped || this.#pass.cursor >= id;
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
