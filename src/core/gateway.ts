/**
 * The contract of a gateway: the bridge to one platform, both ways. A gateway stores nothing and retries
 * nothing itself; the inbox and the outbox do.
 */
import { RobsonError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { Delivery, InboundMessage, ReceivedMessage } from "./message-event.ts";
import { named } from "./named.ts";
import { misspelt } from "./nearest.ts";

/** What became of a message that was handed over. */
export interface Accepted {
  conversationId: number;
  /** True when the idempotency key was known: then this is the first one's id, and nothing runs. */
  isDuplicate: boolean;
}

export interface GatewayContext {
  /**
   * Stores a message. Resolves after the commit: acknowledge the platform only then, so that a crash before
   * makes it send again. Rejects with a `RobsonError`; `STOPPING`, `OVERLOADED`, `LEASE_LOST` and each `STORE_…` but
   * `STORE_REFUSED_ROW` are worth another try (a `TryLaterError` says when), everything else is not.
   * With `RATE_LIMITED` and `CHANNEL_NOT_ALLOWED` it
   * is for the asker to send it again: acknowledge the platform.
   */
  accept(message: InboundMessage): Promise<Accepted>;
  /** Aborted when the loop stops: end then. */
  signal: AbortSignal;
  log: Logger;
}

/** What a platform says about something that it took. */
export interface SendReceipt {
  platformMessageId?: string;
}

export interface Gateway {
  /** Unique within a loop; stored with each message. */
  name: string;
  /** Listens until `context.signal` is aborted, and resolves then. */
  start(context: GatewayContext): Promise<void>;
  /**
   * One attempt to deliver. Throw a `DeliveryError` to say whether another attempt can help. Must give up
   * when the signal is aborted. `delivery.id` is the same at each attempt.
   */
  send(delivery: Delivery, context: { signal: AbortSignal }): Promise<SendReceipt | undefined>;
  /**
   * Whether the platform has this delivery already; asked before a second attempt, because the first one's
   * outcome may be unknown. Leave it out where the platform cannot be asked.
   */
  find?(delivery: Delivery, context: { signal: AbortSignal }): Promise<boolean>;
  /**
   * Where the events of a message go, one delivery for each. Default: the channel that it came from. Empty:
   * nowhere, because the asker reads them himself. Must be pure.
   */
  targets?(message: ReceivedMessage): string[];
  /**
   * Whether an event that has no other target here goes to each row of `subscribers` that there is when it is
   * stored: one delivery, with a lane of its own, for each.
   */
  hasSubscribers?: boolean;
  /**
   * Whether one process at a time may listen, because the platform gives each message to one listener alone. The
   * other processes of a cluster send, and one of them listens when that one is gone. Default: all listen.
   */
  isExclusive?: boolean;
  /**
   * Whether strangers reach it, as on a chat platform: then only channels on its allow list are heard, unless
   * `[access] open_gateways` names it. Default: whoever reaches it may be heard.
   */
  isPublic?: boolean;
  /**
   * Whether the asker sees what `accept` rejects with, as an HTTP status or on his terminal. Default: the loop
   * answers in his thread why he is refused, once in a window.
   */
  showsRefusals?: boolean;
  /** Whether only whoever sits at this machine reaches it: his messages are not counted against `[access]`. */
  isLocal?: boolean;
  /** Where a message that came through no gateway is announced; without one this gateway gets no copy. */
  defaultChannelId?: string;
}

/** Checks a gateway's shape at once, so that a mistake shows where it was made. */
export function defineGateway<G extends Gateway>(gateway: G): G {
  if (typeof gateway !== "object" || gateway === null) {
    throw invalid(
      `Cannot define a gateway: it is ${named(gateway)}`,
      `Look at where it is imported from; ${SHAPE}`,
    );
  }
  if (typeof gateway.name !== "string" || !/^[a-z][a-z0-9_.:-]{0,62}$/.test(gateway.name)) {
    throw new RobsonError("GATEWAY_INVALID", `Cannot define a gateway named "${gateway.name}"`, {
      hint: "Use a lower-case letter, then letters, digits or one of _ . : - (63 characters at most)",
    });
  }
  const refuse = (why: string, hint: string) =>
    invalid(`Cannot define gateway "${gateway.name}": ${why}`, hint);
  for (const part of ["start", "send"] as const) {
    if (typeof gateway[part] !== "function") throw refuse(`it has no ${part}()`, `Add it: ${SHAPE}`);
  }
  for (const part of ["find", "targets"] as const) {
    if (gateway[part] === undefined || typeof gateway[part] === "function") continue;
    throw refuse(`its ${part} is ${named(gateway[part])}`, `Make ${part} a function, or leave it out`);
  }
  for (const part of FLAGS) {
    if (gateway[part] === undefined || typeof gateway[part] === "boolean") continue;
    throw refuse(`its ${part} is ${named(gateway[part])}`, "Give true or false, or leave it out");
  }
  const slip = misspelt(gateway, [...FLAGS, "defaultChannelId"]);
  if (slip) throw refuse(`it has no setting "${slip.written}"`, `Did you mean "${slip.meant}"?`);
  return gateway;
}

const SHAPE = "a gateway is { name, start({ accept, signal }), send(delivery, { signal }) }";
const FLAGS = ["hasSubscribers", "isExclusive", "isPublic", "showsRefusals", "isLocal"] as const;

function invalid(message: string, hint: string): RobsonError {
  return new RobsonError("GATEWAY_INVALID", message, { hint });
}
