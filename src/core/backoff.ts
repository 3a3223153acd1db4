/** How long to wait before the next attempt: exponential with full jitter, so that many do not return at once. */

export interface BackoffOptions {
  /** Attempts begun so far, from 1. */
  attempts: number;
  baseMs: number;
  maxMs: number;
  /** What the platform asked for: not undercut, up to `maxRetryAfterMs`. */
  retryAfterMs?: number | undefined;
  maxRetryAfterMs: number;
  /** A number in [0, 1). */
  random: () => number;
}

/** The wait in milliseconds: between 1 and min(maxMs, baseMs · 2^(attempts-1)), or `retryAfterMs` when longer. */
export function backoffMs(options: BackoffOptions): number {
  const { attempts, baseMs, maxMs, retryAfterMs = 0, maxRetryAfterMs, random } = options;
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempts - 1, 40));
  const jittered = Math.max(1, Math.ceil(random() * ceiling));
  // What a plugin passes may be anything that Number() makes of a header.
  const asked = Number.isNaN(retryAfterMs) ? 0 : Math.ceil(Math.min(retryAfterMs, maxRetryAfterMs));
  return Math.max(jittered, asked);
}
