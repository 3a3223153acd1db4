/** A clock that stands still until a test moves it. */
import type { Clock } from "../core/clock.ts";

export interface TestClock extends Clock {
  /** Moves on, running what becomes due in its order, and letting promises settle in between. */
  advance(byMs: number): Promise<void>;
}

export function createTestClock(startAt = Date.UTC(2030, 0, 1)): TestClock {
  const timers = new Set<{ at: number; callback: () => void }>();
  let now = startAt;
  return {
    now: () => now,
    schedule(at, callback) {
      const timer = { at, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    async advance(byMs) {
      const until = now + byMs;
      for (;;) {
        const next = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
        if (!next) break;
        timers.delete(next);
        now = Math.max(now, next.at);
        next.callback();
        await new Promise((resolve) => setImmediate(resolve));
      }
      now = until;
    },
  };
}
