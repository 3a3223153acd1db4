/**
 * How long a run may be at work: `runTimeoutMs`, over all attempts at it. What it waits takes nothing of that, nor what a
 * crash cut off; a person who has it go on gives it as much again. When it is over, what is done in a repository ends.
 */
import type { StepContext } from "../core/run.ts";
import type { RunDetails } from "../core/run-store.ts";
import { RunEnded } from "./change.ts";
import type { WorkflowOptions } from "./task-run.ts";

export interface RunTime {
  /** The step, with a signal that is aborted with `RunEnded` when the time is over. */
  within(step: StepContext): StepContext;
  close(): void;
}

/** The longest that a timer of the system can be set to. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Counts from now on, on top of what the run has used. */
export async function startRunTime(
  runId: number,
  { maxMs, runs }: { maxMs: number; runs: WorkflowOptions["runs"] },
): Promise<RunTime> {
  // Where it cannot be read now, this attempt counts alone.
  const run = await runs?.run(runId).catch(() => undefined);
  const leftMs = Math.max(1, maxMs - (run ? workedMs(run) : 0));
  const over = new AbortController();
  const end = () => over.abort(new RunEnded({ kind: "time", maxMs }));
  const timer = setTimeout(end, Math.min(leftMs, MAX_TIMER_MS));
  return {
    within: (step) => ({ ...step, signal: AbortSignal.any([step.signal, over.signal]) }),
    close: () => clearTimeout(timer),
  };
}

/** What the steps took that were done in one go, since the run was begun, or a person had it go on. */
export function workedMs({
  steps,
  round,
  createdAt,
}: Pick<RunDetails, "steps" | "round" | "createdAt">): number {
  const begin = steps.find(({ name }) => name === `round ${round}`)?.begunAt;
  const since = round === 1 ? createdAt : (begin ?? Number.POSITIVE_INFINITY);
  const done = steps.filter(({ attempts, begunAt }) => attempts === 1 && begunAt >= since);
  return done.reduce((sum, { begunAt, endedAt }) => sum + (endedAt === null ? 0 : endedAt - begunAt), 0);
}
