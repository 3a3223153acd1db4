/** Many seeds, one after another on each database: several databases have theirs at the same time. */
import { type RunResult, runSeed } from "./run-seed.ts";
import type { Databases } from "./worlds.ts";

export interface RunSeedsOptions {
  /** One for each run that may be under way. */
  lanes: Databases[];
  from?: number;
  count: number;
  /** Begins no further seed after that time, but for those that are too few on whatever machine. */
  maxMs?: number;
  min?: number;
  trace?: ((line: string) => void) | undefined;
  /** False: begins no further seed. */
  onResult(result: RunResult): boolean;
}

/** Resolves with how many were run. */
export async function runSeeds(options: RunSeedsOptions): Promise<number> {
  const { lanes, from = 0, count, maxMs = Number.POSITIVE_INFINITY, min = 0, trace, onResult } = options;
  const startedAt = performance.now();
  let next = from;
  let hasFailed = false;
  const isInTime = () => next < from + min || performance.now() - startedAt < maxMs;
  const isMore = () => next < from + count && !hasFailed && isInTime();
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
