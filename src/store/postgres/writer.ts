/**
 * The way to write to PostgreSQL for the owner: one batch under way, and what arrives meanwhile shares the next one. A
 * batch that is held up (by a row that another program locks, say) holds up the shards that are in it; the others go
 * on over a second connection. So a thread's writes keep their order. writer-connection.ts writes a batch.
 */
import type { Pool } from "pg";
import type { AcceptedByOwner, StoredEvent } from "../../core/store.ts";
import { WakeCalls } from "./wake-calls.ts";
import { rowsOf, type WayOperation } from "./way.ts";
import { type Pending, runOf, WriterConnection } from "./writer-connection.ts";

/** How many operations one statement carries at the most. */
const MAX_BATCH_OPERATIONS = 256;
/** How many connections may write side by side. Most of what a batch costs is the same for one row and for thirty. */
const WRITER_CONNECTIONS = 2;
/** Fewer operations than that wait a turn for what the answers just given bring: one batch for both is half the work. */
const WORTH_A_BATCH = 24;
/** How long a batch may be under way before what is not of its shards goes past it. */
const HELD_UP_MS = 100;
/** How long closing waits for the batches under way. */
const CLOSE_TIMEOUT_MS = 5000;

export interface WriterOptions {
  url: string;
  location: string;
  epoch: number;
  /** Whether a pooler stands before the server. */
  hasPooler: boolean;
  idOf(gateway: string): number;
  /** For what is not written, but said: that others have to look. */
  pool: Pool;
}

export class PostgresWriter {
  readonly #connections: readonly WriterConnection[];
  readonly #wakeCalls: WakeCalls;
  #queue: Pending[] = [];
  readonly #underWay = new Map<WriterConnection, UnderWay>();
  #isScheduled = false;
  #idleCallbacks: (() => void)[] = [];

  constructor(options: WriterOptions) {
    const wakeCalls = new WakeCalls(options.pool, options);
    this.#wakeCalls = wakeCalls;
    this.#connections = Array.from(
      { length: WRITER_CONNECTIONS },
      () => new WriterConnection({ ...options, wakeCalls }),
    );
  }

  /** Throws where the server gives it no connections: rather at once than at the first write. */
  async open(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.open()));
  }

  accept(
    shard: number,
    accept: Extract<WayOperation, { accept: unknown }>["accept"],
  ): Promise<AcceptedByOwner> {
    return this.#submit({ accept }, shard) as Promise<AcceptedByOwner>;
  }

  record(change: Extract<WayOperation, { change: unknown }>["change"]): Promise<StoredEvent[]> {
    return this.#submit({ change }, change.shard) as Promise<StoredEvent[]>;
  }

  /** What is asked often and is no part of a batch: planned once, as the batches are, on the connection that mostly is free. */
  ask<Row extends object>(statement: { name: string; text: string }, values: unknown[]): Promise<Row[]> {
    return (this.#connections.at(-1) as WriterConnection).ask(statement, values);
  }

  /** Ends the connections after the batches under way and waiting. */
  async close(): Promise<void> {
    if (this.#queue.length > 0 || this.#underWay.size > 0) {
      // A server that does not answer any more must not hold up a stop: what is under way is given up then.
      const hangUp = setTimeout(() => {
        for (const connection of this.#connections) connection.drop();
      }, CLOSE_TIMEOUT_MS);
      await new Promise<void>((resolve) => {
        this.#idleCallbacks.push(resolve);
      });
      clearTimeout(hangUp);
    }
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await this.#wakeCalls.close();
  }

  #submit(operation: WayOperation, shard: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ operation, shard, resolve, reject });
      if (!this.#isBusy) this.#handOutSoon();
    });
  }

  /** Together with what else is written in this turn. */
  #handOutSoon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#handOut();
    });
  }

  /** Whether what comes now has to wait for the end of a batch, or until that one is held up. */
  get #isBusy(): boolean {
    if (this.#underWay.size === this.#connections.length) return true;
    for (const { isHeldUp } of this.#underWay.values()) if (!isHeldUp) return true;
    return false;
  }

  #handOut(): void {
    while (this.#queue.length > 0 && !this.#isBusy) {
      const connection = this.#connections.find((each) => !this.#underWay.has(each));
      const batch = this.#takeBatch();
      if (!connection || batch.length === 0) return;
      this.#begin(connection, batch);
    }
    if (this.#underWay.size > 0 || this.#queue.length > 0) return;
    for (const callback of this.#idleCallbacks.splice(0)) callback();
  }

  #begin(connection: WriterConnection, batch: Pending[]): void {
    const underWay = { shards: new Set(batch.map(({ shard }) => shard)), isHeldUp: false };
    this.#underWay.set(connection, underWay);
    const holdUp = setTimeout(() => {
      underWay.isHeldUp = true;
      this.#handOut();
    }, HELD_UP_MS);
    void connection.write(batch).then(() => {
      clearTimeout(holdUp);
      this.#underWay.delete(connection);
      if (this.#queue.length < WORTH_A_BATCH) this.#handOutSoon();
      else this.#handOut();
    });
  }

  /** The next operations of shards that are not under way, up to the first that writes a row which another of them writes. */
  #takeBatch(): Pending[] {
    const blocked = new Set([...this.#underWay.values()].flatMap(({ shards }) => [...shards]));
    const written = new Set<string>();
    const batch: Pending[] = [];
    // What is behind another one of its shard that waits, waits too.
    const left: Pending[] = [];
    let next = 0;
    for (let isFull = false; next < this.#queue.length && !isFull; next += 1) {
      const pending = this.#queue[next] as Pending;
      if (blocked.has(pending.shard)) {
        left.push(pending);
        continue;
      }
      const rows = rowsOf(pending.operation);
      // A change of a run has statements of its own, and a transaction for itself.
      const hasRun = runOf(pending.operation) !== undefined;
      if (hasRun && batch.length > 0) break;
      if (rows.some((row) => written.has(row))) break;
      for (const row of rows) written.add(row);
      batch.push(pending);
      isFull = hasRun || batch.length === MAX_BATCH_OPERATIONS;
    }
    this.#queue = [...left, ...this.#queue.slice(next)];
    return batch;
  }
}

interface UnderWay {
  shards: ReadonlySet<number>;
  isHeldUp: boolean;
}
