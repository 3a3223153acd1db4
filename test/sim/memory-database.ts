/**
 * The store model's database: its tables, who may write, and what goes wrong on the way. A connection takes
 * operations in their order and commits those that wait together; between the call and the commit, and between the
 * commit and the answer, anything else may happen, also the death of the process that asked; and where it is shared,
 * between the statements of what takes several (memory-transactions.ts).
 */
import { RobsonError } from "../../src/core/errors.ts";
import type { ShardKey } from "../../src/core/shards.ts";
import type { WokenFor } from "../../src/core/store.ts";
import { MemoryTables } from "./memory-tables.ts";
import { type LockedRow, MemoryTransactions, type OpenTransaction } from "./memory-transactions.ts";
import type { Host, Turns } from "./scheduler.ts";

/** What becomes of a commit; `late` is told to have failed and is stored afterwards. */
export type Fate = "stored" | "busy" | "lost" | "lost though stored" | "late";

/** What goes wrong; without it, nothing. */
export interface Faults {
  /** How many of the waiting operations the next commit takes. */
  batchSize(waiting: number): number;
  commit(): Fate;
  /** How long a commit that comes late is on its way. */
  lateMs(): number;
  isReadLost(): boolean;
  isWakeLost(): boolean;
  /** Of a real server: which of the answers to what is written breaks its connection off; 0 for none. */
  cutAtAnswer(): number;
}

const NO_FAULTS: Faults = {
  batchSize: (waiting) => waiting,
  commit: () => "stored",
  lateMs: () => 0,
  isReadLost: () => false,
  isWakeLost: () => false,
  cutAtAnswer: () => 0,
};

/** A process's row in the cluster. */
export interface ProcessRow {
  id: number;
  name: string;
  host: Host;
  workers: string;
  gateways: string[];
  isLeaving: boolean;
  expiresAt: number;
  onMembers(): void;
  onWake(wokenFor: WokenFor): void;
}

export interface DatabaseOptions {
  turns: Turns;
  isShared: boolean;
  faults?: Partial<Faults>;
}

/** Where what was sent goes on its way, even when its sender is dead. */
const NETWORK: Host = { name: "network", state: "alive", parked: [] };

/** Where it says it is. */
export const MEMORY_LOCATION = "memory:model";

export class MemoryDatabase {
  readonly tables = new MemoryTables();
  /** Those of several statements that are under way; where there is one owner, nothing gets in between. */
  readonly transactions: MemoryTransactions;
  readonly turns: Turns;
  readonly isShared: boolean;
  readonly faults: Faults;
  /** Those who have joined, by their id, where it is shared. */
  readonly processes = new Map<number, ProcessRow>();
  /** Who holds which shard, by `leaseKey`. */
  readonly leases = new Map<string, number>();
  /** How often each was claimed: another version of it each time. */
  readonly leaseVersions = new Map<string, number>();
  /** Those whose right to write was taken from them, as dead or frozen. */
  readonly expelled = new Set<number>();
  /** The one owner, where it is not shared. */
  owner:
    | { host: Host; name: string; epoch: number; isLocked: boolean; onWake(wokenFor: WokenFor): void }
    | undefined;
  lastEpoch = 0;

  constructor({ turns, isShared, faults }: DatabaseOptions) {
    this.turns = turns;
    this.transactions = new MemoryTransactions(turns);
    this.isShared = isShared;
    this.faults = { ...NO_FAULTS, ...faults };
  }

  /** How many have joined, or 1 where the one owner has the lock. */
  get memberCount(): number {
    return this.isShared ? this.processes.size : Number(this.owner?.isLocked ?? false);
  }

  /** Whether that epoch may write. */
  isValid(epoch: number): boolean {
    return this.isShared ? this.processes.has(epoch) : this.owner?.epoch === epoch;
  }

  /** Whether a process of that epoch works on that shard, as the database has it. */
  isHeldBy(epoch: number, { gateway, shard }: ShardKey): boolean {
    if (!this.isShared) return this.isValid(epoch);
    return this.processes.has(epoch) && this.leases.get(leaseKey({ gateway, shard })) === epoch;
  }

  /** The process has ended: its locks are free, and the others see it. */
  died(host: Host): void {
    this.transactions.died(host);
    if (this.owner?.host === host) this.owner.isLocked = false;
    if ([...this.processes.values()].some((row) => row.host === host)) this.notifyMembers();
  }

  /** Tells whoever works on these shards that something was written for them. */
  wake(keys: ShardKey[], wokenFor: WokenFor = "all"): void {
    const { owner } = this;
    if (owner) this.#tell(owner.host, "wake", () => owner.onWake(wokenFor));
    const holders = new Set(keys.map((key) => this.leases.get(leaseKey(key))));
    for (const row of this.processes.values())
      if (holders.has(row.id)) this.#tell(row.host, "wake", () => row.onWake(wokenFor));
  }

  notifyMembers(): void {
    for (const row of this.processes.values()) this.#tell(row.host, "members", () => row.onMembers());
  }

  #tell(host: Host, label: string, happens: () => void): void {
    if (!this.faults.isWakeLost()) this.turns.later(host, label, happens);
  }
}

export function leaseKey({ gateway, shard }: ShardKey): string {
  return `${gateway ?? ""}:${shard}`;
}

interface Operation {
  /** For the trace. */
  label: string;
  run(): unknown;
  mayWrite(): boolean;
  error(): Error;
  rows: (number | string)[];
  locks(): LockedRow[];
  isLong: boolean;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Who may write, and what he is told who may not. */
export interface Fence {
  mayWrite(): boolean;
  error(): Error;
  /** The messages and deliveries that it changes. */
  rows?: (number | string)[];
  /** What it locks, as it is when it comes to that; without it, its rows. */
  locks?: () => LockedRow[];
  /** It takes several statements, and is a batch by itself. */
  isLong?: boolean;
}

/** Of a write that needs no right. */
export function anyone(rows: (number | string)[]): Fence {
  return { mayWrite: () => true, error: unavailable, rows };
}

/** Writes in order; one batch is under way at a time. */
export class Connection {
  readonly #db: MemoryDatabase;
  readonly #host: Host;
  #queue: Operation[] = [];
  #isBusy = false;
  #idleCallbacks: (() => void)[] = [];

  constructor(db: MemoryDatabase, host: Host) {
    this.#db = db;
    this.#host = host;
  }

  submit<T>(label: string, run: () => T, fence?: Fence): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { mayWrite = () => true, error = unavailable, rows = [] } = fence ?? {};
      const { locks = () => rows, isLong = false } = fence ?? {};
      const settle = { resolve: resolve as (value: unknown) => void, reject };
      this.#queue.push({ label, run, mayWrite, error, rows, locks, isLong, ...settle });
      if (this.#isBusy) return;
      this.#isBusy = true;
      this.#db.turns.later(this.#host, "commit", () => this.#commit());
    });
  }

  /** Resolves when nothing is under way or waits. */
  idle(): Promise<void> {
    if (!this.#isBusy) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idleCallbacks.push(resolve);
    });
  }

  #commit(): void {
    const { faults, isShared } = this.#db;
    const batch = this.#queue.splice(0, faults.batchSize(this.#queue.length));
    const long = isShared ? batch.findIndex(({ isLong }) => isLong) : -1;
    // What changes a run is alone: what is before it in the batch comes first, what is behind it later.
    if (long >= 0) this.#queue.unshift(...batch.splice(Math.max(1, long)));
    this.#write(batch, long === 0);
  }

  /** Waits in the server for what others have locked, whatever becomes of the process meanwhile. */
  #write(batch: Operation[], isLong: boolean): void {
    const { isShared, transactions, turns } = this.#db;
    const rows = isShared ? batch.flatMap(({ locks }) => locks()) : [];
    if (transactions.waits(rows, () => this.#write(batch, isLong))) return;
    const [only] = batch;
    if (!(isLong && only?.mayWrite())) {
      this.#carryOut(batch);
      return;
    }
    const transaction = transactions.begin(this.#host, rows);
    turns.note?.(this.#host, `begins: ${only.label}`);
    turns.later(this.#host, "next statement", () => this.#carryOut(batch, transaction));
  }

  /** All of it at one moment; of a transaction that the server has ended, nothing. */
  #carryOut(batch: Operation[], transaction?: OpenTransaction): void {
    const { faults, turns, transactions } = this.#db;
    const fate = transaction?.isEnded ? "lost" : faults.commit();
    turns.note?.(this.#host, `${fate}: ${batch.map(({ label }) => label).join("; ")}`);
    const isStored = fate === "stored" || fate === "lost though stored";
    const answers = isStored ? batch.map((operation) => this.#attempt(operation)) : [];
    if (fate === "late") turns.after(NETWORK, faults.lateMs(), () => this.#comesLate(batch, transaction));
    else if (transaction) transactions.end(transaction);
    turns.later(this.#host, fate === "stored" ? "answer" : fate, () => {
      for (const [index, operation] of batch.entries()) {
        const answer = fate === "stored" ? answers[index] : undefined;
        if (answer) answer();
        else operation.reject(fate === "busy" ? busy() : unavailable());
      }
      if (this.#queue.length > 0) return turns.later(this.#host, "commit", () => this.#commit());
      this.#isBusy = false;
      for (const callback of this.#idleCallbacks.splice(0)) callback();
    });
  }

  /** Its process was told that it has failed. What is locked until then, the server may have let go of. */
  #comesLate(batch: Operation[], transaction: OpenTransaction | undefined): void {
    const { tables, transactions, turns } = this.#db;
    if (transaction?.isEnded) return;
    turns.note?.(NETWORK, batch.map(({ label }) => label).join("; "));
    for (const each of batch) {
      this.#attempt(each);
      for (const row of each.rows) tables.overwritten.add(row);
    }
    if (transaction) transactions.end(transaction);
  }

  /** Writes, and returns how the one who waits is told. */
  #attempt({ run, mayWrite, error, resolve, reject }: Operation): () => void {
    if (!mayWrite()) return () => reject(error());
    try {
      const value = this.#db.tables.transaction(run);
      return () => resolve(value);
    } catch (cause) {
      return () => reject(cause);
    }
  }
}

/** Reads at one moment, and answers at a later one. */
export async function read<T>(db: MemoryDatabase, host: Host, look: () => T): Promise<T> {
  await db.turns.turn(host, "read");
  const found = look();
  if (Array.isArray(found)) db.turns.note?.(host, `found ${found.map(nameOf).join("; ")}`);
  const isLost = db.faults.isReadLost();
  await db.turns.turn(host, "answer");
  if (isLost) throw unavailable();
  return found;
}

/** A message or a delivery in the trace. */
function nameOf(row: {
  conversationId?: number;
  eventId?: number;
  status?: string;
  attempts?: number;
}): string {
  const { conversationId, eventId, status, attempts } = row;
  return `${eventId === undefined ? `message ${conversationId}` : `event ${eventId}`} ${status} ${attempts}`;
}

export function unavailable(): RobsonError {
  return new RobsonError("STORE_UNAVAILABLE", "Cannot reach the database: it is away", { hint: "Wait" });
}

export function busy(): RobsonError {
  return new RobsonError("STORE_BUSY", "Cannot write to the database: it is busy", { hint: "Wait" });
}
