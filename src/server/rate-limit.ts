/** How much one caller may ask: a bucket of tokens for each kind of credential and of request, in the memory of this process. */
import type { Context, MiddlewareHandler } from "hono";
import type { Clock } from "../core/clock.ts";
import { hasCode } from "../core/errors.ts";
import { TooManyRequests } from "./http-errors.ts";

const MINUTE_MS = 60_000;

export interface RateLimitOptions {
  maxRequestsPerMinute: number;
  clock: Clock;
  /** Whose request it is, and about what; there are few of them. */
  callerOf(c: Context): string;
  /** Whether it has a limit of its own once that one is reached. */
  isUrgent(c: Context): Promise<boolean>;
}

/** Refuses what goes beyond the limit. A bucket holds one minute's worth and is refilled evenly. */
export function limitRate({
  maxRequestsPerMinute,
  clock,
  callerOf,
  isUrgent,
}: RateLimitOptions): MiddlewareHandler {
  const buckets = new Map<string, { tokens: number; filledAt: number }>();
  const perMs = maxRequestsPerMinute / MINUTE_MS;
  const refilled = (caller: string) => {
    const now = clock.now();
    const bucket = buckets.get(caller) ?? { tokens: maxRequestsPerMinute, filledAt: now };
    buckets.set(caller, bucket);
    // A clock that is set back takes nothing away.
    const tokens = bucket.tokens + Math.max(0, now - bucket.filledAt) * perMs;
    bucket.tokens = Math.min(maxRequestsPerMinute, tokens);
    bucket.filledAt = now;
    return bucket;
  };
  return async (c, next) => {
    const caller = callerOf(c);
    let bucket = refilled(caller);
    if (bucket.tokens < 1 && (await isUrgent(c))) bucket = refilled(`${caller} urgent`);
    if (bucket.tokens < 1) {
      const waitMs = (1 - bucket.tokens) / perMs;
      throw new TooManyRequests(
        `Cannot accept the request: maxRequestsPerMinute (${maxRequestsPerMinute}) have come`,
        { retryAfterSeconds: Math.ceil(waitMs / 1000) },
      );
    }
    bucket.tokens -= 1;
    await next();
    // A signature that turns out to be wrong was nobody's: whoever forges must not use up what those who sign have.
    if (hasCode(c.error, "UNAUTHORIZED")) bucket.tokens += 1;
  };
}
