/**
 * The store model's transactions of several statements, as a server has them for what changes a run and what others say
 * to one: between the first statement and the commit its rows are locked, the process's own among them. Whoever wants
 * one of these waits. It is carried out wholly at its commit; a server ends one that waits too long for its next
 * statement, or whose process has died, and lets go of what it held.
 */
import type { Host, Turns } from "./scheduler.ts";

/** As src/store/postgres/connection.ts has it. */
const IDLE_TRANSACTION_TIMEOUT_MS = 10_000;

/** Where the server's own time passes. */
const SERVER: Host = { name: "server", state: "alive", parked: [] };

export type LockedRow = number | string;

export interface OpenTransaction {
  readonly host: Host;
  readonly rows: ReadonlySet<LockedRow>;
  /** The server has ended it: nothing of it is stored. */
  isEnded: boolean;
}

export class MemoryTransactions {
  readonly #turns: Turns;
  readonly #open = new Map<OpenTransaction, { cancel: () => void; waiting: (() => void)[] }>();

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** Nobody else may hold any of the rows. */
  begin(host: Host, rows: LockedRow[]): OpenTransaction {
    const transaction: OpenTransaction = { host, rows: new Set(rows), isEnded: false };
    const cancel = this.#turns.after(SERVER, IDLE_TRANSACTION_TIMEOUT_MS, () => {
      this.#turns.note?.(host, "waited too long in a transaction");
      this.end(transaction);
    });
    this.#open.set(transaction, { cancel, waiting: [] });
    return transaction;
  }

  /** Lets go of its rows; safe to call for one that the server has ended. */
  end(transaction: OpenTransaction): void {
    const { cancel, waiting } = this.#open.get(transaction) ?? {};
    this.#open.delete(transaction);
    transaction.isEnded = true;
    cancel?.();
    for (const goesOn of waiting ?? []) goesOn();
  }

  /** The connections of a process that has died are broken. */
  died(host: Host): void {
    for (const transaction of this.#open.keys()) if (transaction.host === host) this.end(transaction);
  }

  isLocked(row: LockedRow): boolean {
    return this.#holderOf([row]) !== undefined;
  }

  /** Calls back, in the server's turn, once one of those that stand in the way has ended; false where none does. */
  waits(rows: LockedRow[], goesOn: () => void): boolean {
    const holder = this.#holderOf(rows);
    if (holder === undefined) return false;
    this.#open.get(holder)?.waiting.push(() => this.#turns.later(SERVER, "lock granted", goesOn));
    return true;
  }

  #holderOf(rows: LockedRow[]): OpenTransaction | undefined {
    for (const transaction of this.#open.keys())
      if (rows.some((row) => transaction.rows.has(row))) return transaction;
    return undefined;
  }
}

/** The row by which a process may write. */
export function rightOf(epoch: number): LockedRow {
  return `process ${epoch}`;
}
