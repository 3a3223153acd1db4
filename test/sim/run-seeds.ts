/** Many seeds, one after another on each database: several databases have theirs at the same time. */
import { type RunResult, runSeed } from "./run-seed.ts";
import type { Databases } from "./worlds.ts";

export interface RunSeedsOptions {
  /** One for each run that may be under way. */
  lanes: Databases[];
  from?: number;
  count: number;
  /** Begins no further seed after that time. */
  maxMs?: number;
  trace?: ((line: string) => void) | undefined;
  /** False: begins no further seed. */
  onResult(result: RunResult): boolean;
}

/** Resolves with how many were run. */
export async function runSeeds(options: RunSeedsOptions): Promise<number> {
  const { lanes, from = 0, count, maxMs = Number.POSITIVE_INFINITY, trace, onResult } = options;
  const startedAt = performance.now();
  let next = from;
  let hasFailed = false;
  const isMore = () => next < from + count && !hasFailed && performance.now() - startedAt < maxMs;
  await Promise.all(
    lanes.map(async (databases) => {
      while (isMore()) {
        const seed = next;
        next += 1;
        if (!onResult(await runSeed(seed, { databases, trace }))) hasFailed = true;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }),
  );
  return next - from;
}
