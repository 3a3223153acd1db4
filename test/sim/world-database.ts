/**
 * What the simulation asks of a database, whichever it is: to open it as one process of the world does, to take what
 * a dead or frozen process holds in the real world (locks, connections) from it, and to be looked into by the witness.
 */
import type { ShardKey } from "../../src/core/shards.ts";
import type { Store } from "../../src/core/store.ts";
import type { MemoryTables } from "./memory-tables.ts";
import type { Host } from "./scheduler.ts";

export const STORE_KINDS = ["memory", "sqlite", "postgres"] as const;
export type StoreKind = (typeof STORE_KINDS)[number];

/** All that is committed, at one moment. */
export interface DatabaseView {
  readonly tables: MemoryTables;
  /** How many processes are members, or have the lock. */
  readonly memberCount: number;
  /** The newest right to write that was given. */
  readonly lastEpoch: number;
  /** Whether that epoch may write. */
  isValid(epoch: number): boolean;
  /** Whether a process of that epoch works on that shard. */
  isHeldBy(epoch: number, key: ShardKey): boolean;
}

export interface WorldDatabase {
  /** Lets it be looked into: at once, or before the world's next step. */
  look(see: (view: DatabaseView) => void): Promise<void> | undefined;
  /** What the process of that host works with; nothing of it has begun. */
  open(host: Host): Store;
  /** Its process has ended, and the system lets go of what it held. */
  died(host: Host): void;
  /** It stands still, and what it holds it keeps. `hasSleptLong`: longer than others wait for a sign of life. */
  froze(host: Host, hasSleptLong: boolean): void;
  thawed(host: Host): void;
  /** Another process can take the place of the one owner, which does not know it. Only where there is one owner. */
  loseLock(host: Host): void;
  /** Whether its right to write was taken from it; otherwise it has left by itself. */
  wasExpelled(epoch: number): boolean;
  /** Resolves when the next step may be made. `isIdle`: time alone would move on, so all that is under way comes first. */
  settle(isIdle: boolean): Promise<void>;
  close(): Promise<void>;
}
