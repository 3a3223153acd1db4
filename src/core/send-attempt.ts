/**
 * The gateway's part of one attempt at a delivery: asked whether the platform has it already, where a former attempt
 * may have arrived, and told to send; within its time, and within the loop's.
 */
import type { Clock } from "./clock.ts";
import { DeliveryError, messageOf, type Retry, retryOf } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import { LazySignal, onAbort } from "./lazy-signal.ts";
import type { Limits } from "./limits.ts";
import type { Delivery } from "./message-event.ts";
import type { StoredDelivery } from "./store.ts";

export interface SendOptions {
  gateway: Gateway;
  clock: Clock;
  limits: Limits;
  /** Aborted when the loop's time to stop is over: the attempt is given up. */
  signal: AbortSignal;
}

export type SendOutcome =
  | { kind: "delivered" }
  | { kind: "failed"; error: string; retry: Retry; retryAfterMs: number | undefined };

/** Never rejects. */
export async function attemptToSend(delivery: StoredDelivery, options: SendOptions): Promise<SendOutcome> {
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
