/**
 * The gateway's part of one attempt at a delivery: asked whether the platform has it already, where a former attempt
 * may have arrived, and told to send; within its time, and within the loop's.
 */
import type { Clock } from "./clock.ts";
import { DeliveryError, messageOf, type Retry, retryOf, stackField } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import { LazySignal, onAbort } from "./lazy-signal.ts";
import type { Limits } from "./limits.ts";
import type { Delivery } from "./message-event.ts";
import { named } from "./named.ts";
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
  | {
      kind: "failed";
      error: string;
      retry: Retry;
      retryAfterMs: number | undefined;
      more: { stack?: string };
    };

/** Never rejects. Whichever comes first decides: the gateway's end, its time-out, or the loop's. */
export function attemptToSend(delivery: StoredDelivery, options: SendOptions): Promise<SendOutcome> {
  const { gateway, clock, limits } = options;
  const { promise, resolve } = Promise.withResolvers<SendOutcome>();
  const lazy = new LazySignal();
  const settle = (outcome: SendOutcome) => {
    cancelTimeout();
    cancelStop();
    lazy.abort(SENT);
    resolve(outcome);
  };
  const end = (reason: unknown) => {
    lazy.abort(reason);
    settle(toFailed(reason));
  };
  let cancelStop: () => void = ignore;
  const cancelTimeout = clock.schedule(clock.now() + limits.sendTimeoutMs, () =>
    end(timedOut(gateway, limits)),
  );
  cancelStop = onAbort(options.signal, end);
  void send(gateway, { delivery: toDelivery(delivery), lazy, settle });
  return promise;
}

const ignore = () => undefined;

/** Why the signal of an attempt that has ended is aborted; made once, for its stack costs. */
const SENT = new Error("The attempt is over");

function timedOut({ name }: Gateway, { sendTimeoutMs }: Limits): DeliveryError {
  return new DeliveryError(`Gateway "${name}" did not answer within ${sendTimeoutMs} ms`, {
    code: "DELIVERY_TIMED_OUT",
    retry: "later",
    hint: "The limit is sendTimeoutMs",
  });
}

interface Sending {
  delivery: Delivery;
  lazy: LazySignal;
  settle(outcome: SendOutcome): void;
}

/** Sends, unless a former attempt turns out to have arrived. */
async function send(gateway: Gateway, { delivery, lazy, settle }: Sending): Promise<void> {
  try {
    lazy.throwIfAborted();
    const isThere =
      delivery.attempt > 1 && gateway.find && answered(gateway, await gateway.find(delivery, lazy));
    // An answer that comes after the attempt's time is of no use: the next attempt may be under way.
    lazy.throwIfAborted();
    if (!isThere) await gateway.send(delivery, lazy);
    settle(DELIVERED);
  } catch (error) {
    settle(toFailed(error));
  }
}

/** An empty list of findings is no "no": taken for an answer, it would leave the delivery unsent. */
function answered({ name }: Gateway, isThere: unknown): boolean {
  if (typeof isThere === "boolean") return isThere;
  throw new DeliveryError(`find() of gateway "${name}" has answered ${named(isThere)}, not true or false`, {
    retry: "later",
    hint: "Return whether the platform has the delivery",
  });
}

const DELIVERED: SendOutcome = { kind: "delivered" };

function toFailed(error: unknown): SendOutcome {
  return { kind: "failed", error: messageOf(error), ...retryOf(error), more: stackField(error) };
}

/** The delivery as gateways and plugins see it. */
export function toDelivery(stored: StoredDelivery): Delivery {
  const isOrigin = stored.originGateway === stored.gateway;
  const delivery: Delivery = {
    kind: "delivered",
    id: stored.deliveryId,
    content: stored.content,
    // A copy for a gateway that the message did not come through has only its own channel to go to.
    channelId: isOrigin ? stored.channelId : stored.target,
    userId: stored.userId,
    conversationId: stored.conversationId,
    gateway: stored.gateway,
    target: stored.target,
    eventId: stored.eventId,
    eventKind: stored.kind,
    attempt: stored.attempts,
    createdAt: stored.createdAt,
  };
  if (isOrigin && stored.threadTs !== "") delivery.threadTs = stored.threadTs;
  return delivery;
}
