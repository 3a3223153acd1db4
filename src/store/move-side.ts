/** What a move (move.ts) asks of either database, and which tables it takes along. */
import type { Schema } from "./schema.ts";

/** One of the two databases, in a transaction that nobody else writes beside. */
export interface MoveSide {
  /** As it may be shown. */
  readonly location: string;
  columns(table: string): Promise<string[]>;
  count(table: string): Promise<number>;
  /** All rows, `ROWS_AT_ONCE` or fewer at a time; the values are in the order of the columns. */
  rows(part: TablePart): AsyncIterable<unknown[][]>;
  insert(part: TablePart, rows: unknown[][]): Promise<void>;
  clear(table: string): Promise<void>;
  /** Makes what was inserted last; new rows get ids behind those. */
  commit(): Promise<void>;
  /** Undoes what was not committed, and lets others write. */
  close(): Promise<void>;
}

export interface TablePart {
  table: string;
  columns: string[];
}

/** How many rows are in memory at once; each may hold a message of 256 KiB. */
export const ROWS_AT_ONCE = 250;

type Kind = "moved" | "replaced" | "left";

/**
 * Every table, each behind those that its rows refer to. `left`: what processes say of themselves, or to each other.
 * `replaced`: a new database has a row of its own there.
 */
const TABLES = {
  gateways: "moved",
  conversations: "moved",
  inbox: "moved",
  process_events: "moved",
  subscribers: "moved",
  process_event_deliveries: "moved",
  failed_attempts: "moved",
  runs: "moved",
  steps: "moved",
  effects: "moved",
  decisions: "moved",
  run_signals: "moved",
  run_notes: "moved",
  hinted_threads: "moved",
  retention: "replaced",
  tasks: "moved",
  repos: "moved",
  task_repos: "moved",
  task_comments: "moved",
  pull_requests: "moved",
  allowed_channels: "moved",
  rate_limits: "moved",
  leases: "left",
  processes: "left",
  shard_leases: "left",
} as const satisfies Record<keyof Schema, Kind>;

/** Those of these kinds, in the order above. */
export const tablesThatAre = (...kinds: Kind[]): string[] =>
  Object.entries(TABLES).flatMap(([table, kind]) => (kinds.includes(kind) ? [table] : []));

/** What a move writes to. */
export const MOVED_TABLES: readonly string[] = tablesThatAre("moved", "replaced");
