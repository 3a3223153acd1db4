import fc from "fast-check";
import { expect, test } from "vitest";
import { type BackoffOptions, backoffMs } from "./backoff.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function aBackoff(options: Partial<BackoffOptions>): number {
  const defaults = {
    attempts: 1,
    baseMs: 1_000,
    maxMs: HOUR_MS,
    maxRetryAfterMs: DAY_MS,
    random: () => 1 - Number.EPSILON,
  };
  return backoffMs({ ...defaults, ...options });
}

test("the longest wait doubles with each attempt, up to the limit", () => {
  const waits = [1, 2, 3, 4, 12, 13, 100].map((attempts) => aBackoff({ attempts }));

  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 2_048_000, HOUR_MS, HOUR_MS]);
});

test("chance spreads the wait over the whole range, and it is never nothing", () => {
  expect(aBackoff({ attempts: 3, random: () => 0 })).toBe(1);
  expect(aBackoff({ attempts: 3, random: () => 0.25 })).toBe(1_000);
  expect(aBackoff({ attempts: 3, random: () => 0.5 })).toBe(2_000);
});

test("what the platform asks for is not undercut", () => {
  expect(aBackoff({ retryAfterMs: 90_000, random: () => 0 })).toBe(90_000);
  expect(aBackoff({ retryAfterMs: 2 * HOUR_MS })).toBe(2 * HOUR_MS);
});

test("a shorter wish of the platform does not shorten the wait", () => {
  expect(aBackoff({ attempts: 5, retryAfterMs: 10 })).toBe(16_000);
});

test("a platform that asks for more than the limit gets the limit", () => {
  expect(aBackoff({ retryAfterMs: 30 * DAY_MS })).toBe(DAY_MS);
});

test("whatever the attempt and the chance, the wait is a whole number of milliseconds within its limits", () => {
  const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), chance, (attempts, random) => {
      const waitMs = aBackoff({ attempts, random: () => random });
      expect(Number.isInteger(waitMs)).toBe(true);
      expect(waitMs).toBeGreaterThanOrEqual(1);
      expect(waitMs).toBeLessThanOrEqual(HOUR_MS);
    }),
  );
});
