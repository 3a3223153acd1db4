/** When a schedule is due: instants that follow from its settings alone, so that a restart knows the same ones. */
import { Cron } from "croner";
import { messageOf, RobsonError } from "../../core/errors.ts";

export interface Timing {
  name: string;
  /** Seconds; the instants are whole multiples of it since 1970. */
  every?: number;
  /** A cron expression: five fields, or six with seconds first. */
  cron?: string;
  /** Of the cron expression. Default: UTC. */
  timezone?: string;
}

export interface Plan {
  /** The first instant after this one; undefined when there is none. */
  next(after: number): number | undefined;
  /** The last instant at or before this one. */
  last(until: number): number | undefined;
}

/** Refuses with `CONFIG_INVALID` what could never be due. */
export function planOf(timing: Timing): Plan {
  const { every, cron } = timing;
  if (every !== undefined) {
    const everyMs = every * 1000;
    return {
      next: (after) => (Math.floor(after / everyMs) + 1) * everyMs,
      last: (until) => Math.floor(until / everyMs) * everyMs,
    };
  }
  const job = parsed(timing, cron ?? "");
  return {
    next: (after) => job.nextRuns(1, new Date(after))[0]?.getTime(),
    // croner looks for what lies strictly before, in whole seconds.
    last: (until) => job.previousRuns(1, new Date((Math.floor(until / 1000) + 1) * 1000))[0]?.getTime(),
  };
}

function parsed({ name, timezone = "UTC" }: Timing, cron: string): Cron {
  try {
    // Without a function it only computes; it has no timers of its own.
    const job = new Cron(cron, { timezone, paused: true });
    if (job.nextRuns(1).length === 0) throw new Error("it is never due again");
    return job;
  } catch (error) {
    throw new RobsonError("CONFIG_INVALID", `Cannot use the schedule "${name}": ${messageOf(error)}`, {
      hint: 'Write cron as minute hour day month weekday ("0 3 * * 1-5"), and timezone as "Europe/Berlin"',
      cause: error,
    });
  }
}
