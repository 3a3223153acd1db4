/**
 * The one way to write to an SQLite file: operations that wait at the same moment share one transaction, and so
 * one fsync. Resolves an operation after the commit that holds it. A batch is small enough that the event loop
 * is not held up; a row that SQLite refuses is taken out and its neighbours are committed without it.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { leaseLost } from "../owner-errors.ts";
import { concernsWholeBatch, isBusy, toStoreError } from "./errors.ts";

/** How many operations one transaction holds at the most. */
const MAX_BATCH_OPERATIONS = 256;
/** How long one transaction may take operations in, so that a turn of the event loop stays short. */
const MAX_BATCH_MS = 6;
/** How long operations wait for another program that holds the file, before they are refused. */
const MAX_BUSY_MS = 10_000;
/** The wait before the file is tried again; `busy_timeout` itself blocks the event loop, and is short. */
const BUSY_RETRY_MS = 5;

/** Decides, inside the transaction, whether an operation may still write. */
export type Fence = () => boolean;

interface Operation {
  run(): unknown;
  fence: Fence | undefined;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  result?: unknown;
}

export interface SqliteWriterOptions {
  db: DatabaseSync;
  file: string;
  /** Called when what operations have read may not be so: their transaction has been rolled back. */
  onRollback?(): void;
  /** Default `MAX_BUSY_MS`. */
  maxBusyMs?: number;
}

export class SqliteWriter {
  readonly #options: SqliteWriterOptions;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  #queue: Operation[] = [];
  #isScheduled = false;
  #busySince: number | undefined;
  #emptyCallbacks: (() => void)[] = [];

  constructor(options: SqliteWriterOptions) {
    this.#options = options;
    this.#begin = options.db.prepare("begin immediate");
    this.#commit = options.db.prepare("commit");
  }

  /** Queues an operation for the next transaction. Operations run in the order in which they are handed over. */
  submit<T>(run: () => T, fence?: Fence): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ run, fence, resolve: resolve as (value: unknown) => void, reject });
      this.#schedule();
    });
  }

  /** Resolves when everything that was submitted so far has ended. */
  drained(): Promise<void> {
    if (this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptyCallbacks.push(resolve);
    });
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    const batch = this.#queue.splice(0, MAX_BATCH_OPERATIONS);
    try {
      this.#begin.run();
    } catch (error) {
      if (isBusy(error) && this.#mayWaitOn()) {
        this.#queue.unshift(...batch);
        setTimeout(() => this.#flush(), BUSY_RETRY_MS);
        return;
      }
      // While the file stays busy, what comes next is refused without another wait.
      this.#rejectAll(batch, error);
      this.#goOn();
      return;
    }
    this.#busySince = undefined;
    this.#commitBatch(batch);
    this.#goOn();
  }

  #commitBatch(batch: Operation[]): void {
    const deadline = performance.now() + MAX_BATCH_MS;
    const mayWrite = rememberedFences();
    const written: Operation[] = [];
    const fencedOff: Operation[] = [];
    let current: Operation | undefined;
    try {
      for (const operation of batch) {
        if (written.length > 0 && performance.now() > deadline) break;
        if (!mayWrite(operation.fence)) {
          fencedOff.push(operation);
          continue;
        }
        current = operation;
        operation.result = operation.run();
        written.push(operation);
        current = undefined;
      }
      this.#commit.run();
    } catch (error) {
      this.#rollback();
      if (current === undefined || concernsWholeBatch(error)) {
        this.#rejectAll(batch, error);
        return;
      }
      // The statement that failed may have left a part of its operation behind: start over without it.
      this.#reject(current, error);
      this.#queue.unshift(...batch.filter((operation) => operation !== current));
      return;
    }
    this.#queue.unshift(...batch.slice(written.length + fencedOff.length));
    for (const operation of written) operation.resolve(operation.result);
    if (fencedOff.length > 0) this.#rejectAll(fencedOff, leaseLost(this.#options.file));
  }

  #goOn(): void {
    this.#isScheduled = false;
    if (this.#queue.length > 0) this.#schedule();
    else for (const callback of this.#emptyCallbacks.splice(0)) callback();
  }

  #mayWaitOn(): boolean {
    const { maxBusyMs = MAX_BUSY_MS } = this.#options;
    this.#busySince ??= performance.now();
    return performance.now() - this.#busySince < maxBusyMs;
  }

  #rollback(): void {
    const { db, onRollback } = this.#options;
    // After some errors (a full disk) SQLite has rolled back already.
    if (db.isTransaction) db.exec("rollback");
    onRollback?.();
  }

  #rejectAll(batch: Operation[], error: unknown): void {
    for (const operation of batch) this.#reject(operation, error);
  }

  #reject(operation: Operation, error: unknown): void {
    operation.reject(toStoreError(error, this.#options.file));
  }
}

/** Asks each fence once, for one transaction; nearly always all of them are one. */
function rememberedFences(): (fence: Fence | undefined) => boolean {
  const answers = new Map<Fence, boolean>();
  let last: Fence | undefined;
  let answer = true;
  return (fence) => {
    if (fence === last) return answer;
    if (fence === undefined) return true;
    answer = answers.get(fence) ?? fence();
    answers.set(fence, answer);
    last = fence;
    return answer;
  };
}
