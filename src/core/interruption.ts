/**
 * How long an item that was interrupted waits at the next start. Once is an accident: it goes on at once. After
 * that it waits, longer each time, so that a process that never lives long begins it ever more rarely, and one
 * that it brings down itself has some time for everything else.
 */
import { backoffMs } from "./backoff.ts";
import type { Limits } from "./limits.ts";

/** The longest such wait. */
const MAX_WAIT_MS = 60_000;

export interface Interrupted {
  /** How often it was interrupted before this time. */
  interruptions: number;
  limits: Pick<Limits, "backoffBaseMs" | "maxInterruptions">;
  random: () => number;
}

/** In milliseconds; 0 for the first time, and where it is to be given up anyway. */
export function waitAfterInterruption({ interruptions, limits, random }: Interrupted): number {
  if (interruptions === 0 || interruptions + 1 >= limits.maxInterruptions) return 0;
  const { backoffBaseMs: baseMs } = limits;
  return backoffMs({ attempts: interruptions, baseMs, maxMs: MAX_WAIT_MS, maxRetryAfterMs: 0, random });
}
