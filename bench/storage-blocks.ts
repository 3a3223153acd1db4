/**
 * How long SQLite holds up the event loop: every stretch from a `begin` to its end, and every single statement
 * outside of one. Measures by wrapping the statements of `node:sqlite`, which costs a little; so only on demand.
 */
import { StatementSync } from "node:sqlite";
import type { Figures } from "./modes.ts";
import { now, round, spread } from "./readings.ts";

/** The longest that a block may take, by the promise of docs/performance.md. */
const MAX_BLOCK_MS = 20;

export interface StorageBlocks {
  /** Forgets what was seen so far. */
  reset(): void;
  figures(): Figures;
}

/** From now on every statement of this process is watched. */
export function watchStorage(): StorageBlocks {
  const blocks: number[] = [];
  let transactionFrom: number | undefined;
  const watched = <Result>(sql: string, run: () => Result): Result => {
    const from = now();
    const isBegin = sql.startsWith("begin");
    try {
      const result = run();
      if (isBegin) transactionFrom = from;
      return result;
    } finally {
      if (transactionFrom === undefined) blocks.push(now() - from);
      else if (sql.startsWith("commit")) {
        blocks.push(now() - transactionFrom);
        transactionFrom = undefined;
      }
    }
  };
  for (const method of ["run", "get", "all"] as const) {
    const original = StatementSync.prototype[method] as (...parameters: unknown[]) => unknown;
    const wrapped = function (this: StatementSync, ...parameters: unknown[]): unknown {
      return watched(this.sourceSQL, () => original.apply(this, parameters));
    };
    Object.defineProperty(StatementSync.prototype, method, { value: wrapped });
  }
  return {
    reset: () => void blocks.splice(0),
    figures: () => ({
      storageBlockMs: spread(blocks),
      storageBlocksOverLimit: blocks.filter((ms) => ms > MAX_BLOCK_MS).length,
      storageBlockedMs: round(
        blocks.reduce((sum, ms) => sum + ms, 0),
        0,
      ),
    }),
  };
}
