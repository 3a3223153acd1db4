/**
 * Time as the loop sees it. Everything that waits asks a clock, so that a test can hold time still and
 * move it. Instants are milliseconds since 1970 (`…At`), durations milliseconds (`…Ms`).
 */
export interface Clock {
  /** The present instant. */
  now(): number;
  /** Runs `callback` at the instant `at`, or soon when that is past; the result cancels it. */
  schedule(at: number, callback: () => void): () => void;
}

/** The longest wait that `setTimeout` keeps; a longer one would fire at once. */
const MAX_TIMER_MS = 2_147_483_647;

/** By more than this no timer is early: the machine's clock was set back, and what waits keeps its time. */
const MAX_EARLY_MS = 200;

/** The clock of the machine. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  schedule(at, callback) {
    let timer: NodeJS.Timeout;
    const arm = () => {
      const waitMs = Math.max(0, at - Date.now());
      timer = waitMs > MAX_TIMER_MS ? setTimeout(arm, MAX_TIMER_MS) : setTimeout(due, waitMs);
      timer.unref();
    };
    // A timer may be early by a part of a millisecond: whoever looks then for what is due would not find it.
    const due = () => {
      const earlyMs = at - Date.now();
      if (earlyMs > 0 && earlyMs <= MAX_EARLY_MS) arm();
      else callback();
    };
    arm();
    return () => clearTimeout(timer);
  },
};

/** Resolves after `waitMs`, or rejects with the signal's reason when that is aborted first. */
export function wait(clock: Clock, waitMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.schedule(clock.now() + waitMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
