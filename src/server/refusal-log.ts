/**
 * Says in the log that requests are refused for now (429, 503): once when that begins, once a minute while it goes on,
 * and once when it is over, with how many there were. For an operator; each sender is told by his own answer.
 */
import type { Clock } from "../core/clock.ts";
import { messageOf, RobsonError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";

/** After how long without a refusal it is over: those who were refused have come again by then. */
const QUIET_MS = 15_000;
const SAY_AGAIN_MS = 60_000;

export interface RefusalLog {
  /** A request has failed; what is no refusal for now is not counted. */
  count(refusal: { error: unknown; status: number }): void;
  /** Says how many there were of what is not over yet. */
  close(): void;
}

interface Phase {
  count: number;
  lastAt: number;
  saidAt: number;
  cancel(): void;
}

export function createRefusalLog({ clock, log }: { clock: Clock; log: Logger }): RefusalLog {
  /** By their codes, of which there are few. */
  const phases = new Map<string, Phase>();

  function end(code: string, { count, cancel }: Phase): number {
    cancel();
    phases.delete(code);
    return count;
  }

  /** Looks when it may be over: not at each refusal, of which there may be thousands a second. */
  function endWhenQuiet(code: string, phase: Phase): void {
    phase.cancel = clock.schedule(phase.lastAt + QUIET_MS, () => {
      if (clock.now() - phase.lastAt < QUIET_MS) endWhenQuiet(code, phase);
      else log.info({ code, count: end(code, phase) }, "requests are not refused any more");
    });
  }

  function say(phase: Phase, { error, status }: { error: RobsonError; status: number }): void {
    phase.saidAt = phase.lastAt;
    const { code } = error;
    log.warn({ code, status, count: phase.count, error: messageOf(error) }, "requests are refused for now");
  }

  return {
    count({ error, status }) {
      if (!(error instanceof RobsonError) || (status !== 429 && status !== 503)) return;
      const now = clock.now();
      const known = phases.get(error.code);
      const phase = known ?? { count: 0, lastAt: now, saidAt: now, cancel: () => undefined };
      phase.count += 1;
      phase.lastAt = now;
      if (known && now - phase.saidAt < SAY_AGAIN_MS) return;
      say(phase, { error, status });
      if (known) return;
      phases.set(error.code, phase);
      endWhenQuiet(error.code, phase);
    },
    close() {
      for (const [code, phase] of phases)
        log.info({ code, count: end(code, phase) }, "requests were refused until the stop");
    },
  };
}
