/**
 * Messages by the clock: each planned instant of a schedule becomes one message, stored the way that all messages
 * are. Its idempotency key is the schedule's name and the instant, so that a restart doubles none; and of those that
 * were missed while nothing ran, the last one is made good. Runs beside a loop, and stops with it.
 */
import { randomUUID } from "node:crypto";
import { backoffMs } from "../../core/backoff.ts";
import { type Clock, wait } from "../../core/clock.ts";
import { messageOf, RobsonError } from "../../core/errors.ts";
import type { Accepted } from "../../core/gateway.ts";
import type { Logger } from "../../core/logger.ts";
import type { NewMessage } from "../../core/store.ts";
import { type Plan, planOf, type Timing } from "./planned.ts";

export interface Schedule extends Timing {
  /** What is sent: a text, or one or more messages made when it is due, each with a key of its own. */
  message: string | (() => Promise<DueMessage[]>);
  /** Where the answers go; without a gateway to every gateway's default channel. */
  gateway?: string;
  channel?: string;
}

export interface DueMessage {
  content: string;
  idempotencyKey: string;
}

export interface SchedulerOptions {
  schedules: readonly Schedule[];
  store: { insertUnowned(message: NewMessage): Promise<Accepted> };
  /** Whether a message with a key that begins so was ever stored. */
  hasKeyPrefix(prefix: string): Promise<boolean>;
  clock: Clock;
  random: () => number;
  log: Logger;
}

export interface Scheduler {
  /** Begins: makes good what was missed, and plans what comes. */
  start(): void;
  /** Resolves once nothing is being stored any more. Safe to call twice. */
  stop(): Promise<void>;
}

/** The longest wait between two tries to store a message. */
const MAX_RETRY_MS = 60_000;
const RETRY_BASE_MS = 500;
const USER = "scheduler";

/** Refuses with `CONFIG_INVALID` two schedules of one name, and one that is never due. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  const { schedules, clock } = options;
  const plans = schedules.map((schedule) => ({ schedule, plan: planOf(schedule) }));
  checkNames(schedules);
  const stopping = new AbortController();
  const timers = new Map<string, () => void>();
  const underWay = new Set<Promise<void>>();

  return {
    start() {
      for (const { schedule, plan } of plans) {
        const caughtUp = catchUp(schedule, plan);
        track(caughtUp);
        planNext({ schedule, plan, caughtUp });
      }
    },
    async stop() {
      stopping.abort(new Error("The scheduler is stopping"));
      for (const cancel of timers.values()) cancel();
      await Promise.allSettled(underWay);
    },
  };

  function planNext(planned: { schedule: Schedule; plan: Plan; caughtUp: Promise<void> }): void {
    const { schedule, plan, caughtUp } = planned;
    const at = plan.next(clock.now());
    if (at === undefined || stopping.signal.aborted) return;
    const due = () => {
      // Not before it is known what was missed: a first message of a new schedule would look like an old one.
      const sendNow = () => send(schedule, at);
      track(caughtUp.then(sendNow, sendNow));
      // From now on, not from then: a machine that slept makes up for one instant, not for each.
      planNext(planned);
    };
    timers.set(schedule.name, clock.schedule(at, due));
  }

  function track(work: Promise<void>): void {
    const tracked = work.finally(() => underWay.delete(tracked));
    underWay.add(tracked);
    tracked.catch((error: unknown) => {
      if (!stopping.signal.aborted) options.log.error({ error: messageOf(error) }, "a schedule failed");
    });
  }

  /** What was due last, unless the schedule is new; the key tells whether it was sent. */
  async function catchUp(schedule: Schedule, plan: Plan): Promise<void> {
    if (typeof schedule.message !== "string") return send(schedule, clock.now());
    const at = plan.last(clock.now());
    if (at === undefined) return;
    const isKnown = await tryUntil(() => options.hasKeyPrefix(`schedule:${schedule.name}:`));
    if (isKnown) await send(schedule, at);
  }

  async function send(schedule: Schedule, at: number): Promise<void> {
    const { name, message, gateway = null, channel = "" } = schedule;
    const due = await tryUntil(async () =>
      typeof message === "string" ? [{ content: message, idempotencyKey: keyOf(name, at) }] : message(),
    );
    for (const { content, idempotencyKey } of due) {
      const row = toMessage({ content, idempotencyKey, gateway, channel, name, now: clock.now() });
      const { conversationId, isDuplicate } = await tryUntil(() => options.store.insertUnowned(row));
      if (!isDuplicate) options.log.info({ schedule: name, conversationId }, "schedule due");
    }
  }

  /** The database may be away for a while; a planned message is not lost by that. */
  async function tryUntil<T>(act: () => Promise<T>): Promise<T> {
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await act();
      } catch (error) {
        if (!isPassing(error)) throw error;
        const { random, log } = options;
        const waitMs = backoffMs({
          attempts,
          random,
          baseMs: RETRY_BASE_MS,
          maxMs: MAX_RETRY_MS,
          maxRetryAfterMs: 0,
        });
        log.warn({ attempts, waitMs, error: messageOf(error) }, "a schedule waits for the database");
        await wait(clock, waitMs, stopping.signal);
      }
    }
  }
}

function keyOf(name: string, at: number): string {
  return `schedule:${name}:${new Date(at).toISOString()}`;
}

function isPassing(error: unknown): boolean {
  return (
    error instanceof RobsonError && error.code.startsWith("STORE_") && error.code !== "STORE_REFUSED_ROW"
  );
}

function checkNames(schedules: readonly Schedule[]): void {
  const names = schedules.map(({ name }) => name);
  const twin = names.find((name, index) => names.indexOf(name) !== index);
  if (twin === undefined) return;
  throw new RobsonError("CONFIG_INVALID", `Cannot use the schedule "${twin}": there are two of that name`, {
    hint: "Give one of the two another name; it is how their messages are told apart",
  });
}

/** Each schedule is a thread of its own: its messages are handled in order. */
function toMessage(
  due: DueMessage & { gateway: string | null; channel: string; name: string; now: number },
): NewMessage {
  const { content, idempotencyKey, gateway, channel, name, now } = due;
  return {
    id: randomUUID(),
    gateway,
    channelId: channel,
    // A platform knows only threads of its own.
    threadTs: gateway === null ? `schedule:${name}` : "",
    userId: USER,
    role: "user",
    content,
    isAddressed: true,
    idempotencyKey,
    createdAt: now,
  };
}
