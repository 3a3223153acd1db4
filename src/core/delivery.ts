/**
 * Station 5 of a message's way: one attempt to deliver one event through one gateway, then delivered, retry or
 * dead letter. The attempt is counted before the call; a crash in between leaves a claimed delivery, and the
 * next attempt asks the platform first whether it is there.
 */
import { backoffMs } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { DeliveryError, messageOf, type Retry, retryOf } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import type { HookRegistry, Hooks } from "./hooks.ts";
import { waitAfterInterruption } from "./interruption.ts";
import { LazySignal, onAbort } from "./lazy-signal.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { Delivery } from "./message-event.ts";
import type { OutboxEntry } from "./outbox-entry.ts";
import type { Change, DeliveryChange, NewFailure, StoredDelivery } from "./store.ts";
import { toStorable } from "./text.ts";

export interface DeliverOptions {
  gateway: Gateway;
  clock: Clock;
  random: () => number;
  limits: Limits;
  log: Logger;
  hooks: HookRegistry;
  /** Aborted when the loop's time to stop is over: the attempt is given up. */
  signal: AbortSignal;
  /** The gateway's part is over; what is left is to be stored. */
  onSent(): void;
  /** Whether another event waits behind this one in its lane. */
  hasLater(): boolean;
  /** Its time has come: what the clock says does not count, should it have been set back meanwhile. */
  isDue: boolean;
  persist(change: Change): Promise<unknown>;
}

const INTERRUPTED = "The process stopped during this attempt";

/** Resolves with the instant of the next attempt, or with undefined when the delivery has ended. */
export async function deliver(entry: OutboxEntry, options: DeliverOptions): Promise<number | undefined> {
  const { delivery } = entry;
  const { clock, limits, log, gateway } = options;
  const record = (change: Partial<DeliveryChange>, failure?: NewFailure) => {
    Object.assign(delivery, change);
    return options.persist({ shard: entry.shard, delivery: toChange(delivery), ...(failure && { failure }) });
  };
  const failedWith = (error: string, nextAt: number | null = null) =>
    toFailure(delivery, { error, nextAt, failedAt: clock.now() });
  const tellEnded = (end: Omit<Hooks["delivery.ended"], "delivery">) =>
    options.hooks.tell("delivery.ended", () => ({ delivery: toDelivery(delivery), ...end }));
  const ids = {
    deliveryId: delivery.deliveryId,
    eventId: delivery.eventId,
    conversationId: delivery.conversationId,
    gateway: gateway.name,
  };

  // Progress that failed is old news as soon as there is a later event: it closes, and never holds that up.
  const isSuperseded = () =>
    delivery.kind === "progress" && delivery.lastError !== null && options.hasLater();
  const supersede = async () => {
    await record({ status: "done", nextRetryAt: null });
    log.info({ ...ids, attempts: delivery.attempts }, "delivery superseded");
    tellEnded({ outcome: "superseded" });
    return undefined;
  };
  const giveUp = async (lastError: string) => {
    await record({ status: "dead", nextRetryAt: null, lastError }, failedWith(lastError));
    log.error({ ...ids, attempts: delivery.attempts, error: lastError }, "delivery dead");
    tellEnded({ outcome: "dead", error: lastError });
    return undefined;
  };

  if (isSuperseded()) return supersede();
  const isEarly = !options.isDue && delivery.nextRetryAt !== null && delivery.nextRetryAt > clock.now();
  if (isEarly) return delivery.nextRetryAt ?? undefined;
  // The loop's time to stop is over: what has not begun keeps its lane, and is left to the next start.
  if (options.signal.aborted && !entry.isCounted) return Number.POSITIVE_INFINITY;
  if (!entry.isCounted) {
    const waitMs = entry.hasWaited ? 0 : waitFor(delivery, options);
    entry.hasWaited = true;
    if (waitMs > 0) return clock.now() + waitMs;
    const begun = toBegun(delivery);
    const wasInterrupted = delivery.status === "claimed";
    if (wasInterrupted && begun.interruptions >= limits.maxInterruptions) return giveUp(INTERRUPTED);
    const { attempts } = delivery;
    await record(begun, wasInterrupted ? failedWith(INTERRUPTED) : undefined);
    if (wasInterrupted) log.warn({ ...ids, attempts }, "delivery attempt was interrupted");
  }
  entry.isCounted = false;
  log.debug({ ...ids, attempts: delivery.attempts }, "delivery attempt begins");

  const outcome = await attempt(delivery, options);
  options.onSent();

  if (outcome.kind === "delivered") {
    await record({ status: "done", deliveredAt: clock.now(), nextRetryAt: null });
    log.info({ ...ids, attempts: delivery.attempts }, "delivered");
    tellEnded({ outcome: "delivered" });
    return undefined;
  }
  if (options.signal.aborted) {
    // Given up because the loop stops: the platform is asked at the next start. It counts as no failure.
    await record({ status: "pending", interruptions: delivery.interruptions + 1, nextRetryAt: null });
    log.info({ ...ids, attempts: delivery.attempts }, "delivery handed back");
    // Nothing of its lane may pass it: it keeps the lane for as long as the loop lives.
    return Number.POSITIVE_INFINITY;
  }
  const lastError = toStorable(outcome.error);
  delivery.lastError = lastError;
  if (isSuperseded()) return supersede();
  const failures = delivery.attempts - delivery.interruptions;
  if (outcome.retry === "never" || failures >= limits.maxDeliveryAttempts) return giveUp(lastError);
  const waitMs = retryWaitMs({ attempts: failures, outcome, options });
  const nextRetryAt = clock.now() + waitMs;
  await record({ status: "pending", nextRetryAt, lastError }, failedWith(lastError, nextRetryAt));
  log.warn({ ...ids, attempts: delivery.attempts, nextRetryAt, error: lastError }, "delivery attempt failed");
  // Not `nextRetryAt`: the clock may have been set back while that was written.
  return clock.now() + waitMs;
}

/** What was interrupted more than once waits first, and its lane with it. */
function waitFor({ status, interruptions }: StoredDelivery, { limits, random }: DeliverOptions): number {
  return status === "claimed" ? waitAfterInterruption({ interruptions, limits, random }) : 0;
}

/** The delivery with its next attempt counted; one that ended with the process is counted apart. */
function toBegun({ status, attempts, interruptions }: StoredDelivery) {
  const wasInterrupted = status === "claimed";
  return {
    status: "claimed",
    attempts: attempts + 1,
    interruptions: interruptions + (wasInterrupted ? 1 : 0),
    nextRetryAt: null,
  } as const;
}

type AttemptOutcome =
  | { kind: "delivered" }
  | { kind: "failed"; error: string; retry: Retry; retryAfterMs: number | undefined };

/** Never rejects. */
async function attempt(delivery: StoredDelivery, options: DeliverOptions): Promise<AttemptOutcome> {
  const { gateway, clock, limits } = options;
  const over = Promise.withResolvers<never>();
  const lazy = new LazySignal();
  const end = (reason: unknown) => {
    lazy.abort(reason);
    over.reject(reason);
  };
  const cancelTimeout = clock.schedule(clock.now() + limits.sendTimeoutMs, () =>
    end(timedOut(gateway, limits)),
  );
  const cancelStop = onAbort(options.signal, end);
  try {
    await Promise.race([send(gateway, toDelivery(delivery), lazy), over.promise]);
    return { kind: "delivered" };
  } catch (error) {
    return { kind: "failed", error: messageOf(error), ...retryOf(error) };
  } finally {
    cancelTimeout();
    cancelStop();
    lazy.abort(SENT);
  }
}

/** Why the signal of an attempt that has ended is aborted; made once, for its stack costs. */
const SENT = new Error("The attempt is over");

function timedOut({ name }: Gateway, { sendTimeoutMs }: Limits): DeliveryError {
  return new DeliveryError(`Gateway "${name}" did not answer within ${sendTimeoutMs} ms`, {
    code: "DELIVERY_TIMED_OUT",
    retry: "later",
    hint: "The limit is sendTimeoutMs",
  });
}

/** Sends, unless a former attempt turns out to have arrived. */
async function send(gateway: Gateway, delivery: Delivery, context: LazySignal): Promise<void> {
  context.throwIfAborted();
  if (delivery.attempt > 1 && gateway.find && (await gateway.find(delivery, context))) return;
  // An answer that comes after the attempt's time is of no use: the next attempt may be under way.
  context.throwIfAborted();
  await gateway.send(delivery, context);
}

interface Failed {
  attempts: number;
  outcome: AttemptOutcome & { kind: "failed" };
  options: DeliverOptions;
}

function retryWaitMs({ attempts, outcome, options }: Failed): number {
  const { backoffBaseMs: baseMs, maxBackoffMs: maxMs, maxRetryAfterMs } = options.limits;
  const { retryAfterMs } = outcome;
  return backoffMs({ attempts, baseMs, maxMs, maxRetryAfterMs, retryAfterMs, random: options.random });
}

/** The delivery as gateways and plugins see it. */
export function toDelivery(stored: StoredDelivery): Delivery {
  const isOrigin = stored.originGateway === stored.gateway;
  return {
    kind: "delivered",
    id: stored.deliveryId,
    content: stored.content,
    // A copy for a gateway that the message did not come through has only its own channel to go to.
    channelId: isOrigin ? stored.channelId : stored.target,
    userId: stored.userId,
    ...(isOrigin && stored.threadTs !== "" ? { threadTs: stored.threadTs } : {}),
    conversationId: stored.conversationId,
    gateway: stored.gateway,
    target: stored.target,
    eventId: stored.eventId,
    eventKind: stored.kind,
    attempt: stored.attempts,
    createdAt: stored.createdAt,
  };
}

function toFailure(
  { conversationId, eventId, gateway, target, attempts }: StoredDelivery,
  of: { error: string; failedAt: number; nextAt: number | null },
): NewFailure {
  return { conversationId, eventId, gateway, target, worker: null, attempt: attempts, ...of };
}

function toChange(delivery: StoredDelivery): DeliveryChange {
  const { eventId, gateway, target, status, attempts, interruptions, nextRetryAt } = delivery;
  const { lastError, deliveredAt } = delivery;
  return { eventId, gateway, target, status, attempts, interruptions, nextRetryAt, lastError, deliveredAt };
}
