/** What happened to one delivery of an event, and what is next. Pure. */
import type { DeliveryFacts, EventFacts, FailedAttempt } from "../../core/operator-records.ts";
import type { Facts } from "./facts.ts";
import { deliveryLetterId } from "./letter-id.ts";
import {
  holderElsewhere,
  holderNow,
  whatIsKnownElsewhere,
  whatWaitsForGateway,
  whatWaitsForOwner,
} from "./waiting.ts";
import { at, count, duration, errorText, quoted } from "./words.ts";

interface Context {
  event: EventFacts;
  facts: Facts;
  now: number;
}

/** The first line names it, the next tell its failed attempts, the last how it stands. */
export function explainDelivery(delivery: DeliveryFacts, context: Context): string[] {
  const { gateway, target, isToSubscriber, failures } = delivery;
  const where = `${isToSubscriber ? "subscriber " : ""}${quoted(target)} through gateway "${gateway}"`;
  return [
    `${deliveryLetterId(delivery)} to ${where}: ${standsAs(delivery, context)}`,
    ...failures.slice(-MAX_TOLD_FAILURES).map((failure) => `  ${failed(failure, context.now)}`),
  ];
}

/** Of many attempts the last ones tell the most. */
const MAX_TOLD_FAILURES = 20;
/** As core and the store record it. */
const INTERRUPTED = "The process stopped during this attempt";
const UNSUBSCRIBED = "Its subscriber was deleted";

function failed({ attempt, error, failedAt, nextAt }: FailedAttempt, now: number): string {
  const next = nextAt === null ? "" : `; the next one was due after ${duration(nextAt - failedAt)}`;
  if (error === INTERRUPTED)
    return `Attempt ${attempt} was interrupted: the process ended during it; it is not known whether it arrived; taken up again ${at(failedAt, now)}`;
  return `Attempt ${attempt} failed ${at(failedAt, now)}: ${errorText(error)}${next}`;
}

function standsAs(delivery: DeliveryFacts, context: Context): string {
  switch (delivery.status) {
    case "done":
      return ended(delivery, context);
    case "dead":
      return dead(delivery, context.facts);
    case "claimed":
      return underWay(delivery, context);
    default:
      return waits(delivery, context);
  }
}

function ended(delivery: DeliveryFacts, { event, now }: Context): string {
  const { deliveredAt, attempts, lastError, failures } = delivery;
  if (deliveredAt !== null) return `delivered ${at(deliveredAt, now)} by attempt ${attempts}`;
  if (lastError?.includes(UNSUBSCRIBED)) return "closed, because its subscriber was deleted";
  const wasDead = failures.some(({ nextAt, error }) => nextAt === null && error !== INTERRUPTED);
  if (event.kind === "progress" && !wasDead && attempts > 0) {
    return `superseded: its attempt failed (${errorText(lastError ?? "")}), and a later event took its place`;
  }
  return "discarded by a person, after it was a dead letter";
}

function dead(delivery: DeliveryFacts, { limits }: Facts): string {
  const { attempts, interruptions, lastError, failures, gateway } = delivery;
  const id = deliveryLetterId(delivery);
  const next = `nothing more happens until \`robson dead-letters retry ${id}\``;
  const error = errorText(lastError ?? "");
  if (failures.length === 0) return `a dead letter without an attempt: ${error}; ${next}`;
  if (lastError === INTERRUPTED)
    return `a dead letter: the process ended during ${count(interruptions + 1, "attempt")} at it, and it may be why; ${next}`;
  const lastFailure = failures.at(-1);
  if (lastFailure !== undefined && lastFailure.nextAt !== null)
    return `a dead letter: no process ran gateway "${gateway}" in time; before that: ${error}; ${next}`;
  const why =
    attempts - interruptions >= limits.maxDeliveryAttempts
      ? `all ${limits.maxDeliveryAttempts} attempts failed, the last one with: ${error}`
      : `attempt ${attempts} failed for good: ${error}`;
  return `a dead letter, ${why}; ${next}`;
}

function underWay(delivery: DeliveryFacts, { event, facts, now }: Context): string {
  const { attempts, failures } = delivery;
  const elsewhere =
    whatWaitsForGateway({ ...delivery, since: event.createdAt }, { facts, now }) ??
    whatWaitsForOwner(delivery, facts);
  if (elsewhere) return `attempt ${attempts} was interrupted, and its outcome is unknown; ${elsewhere}`;
  const since = holderNow(delivery, facts)?.since ?? Number.POSITIVE_INFINITY;
  const isOfThisOwner = event.createdAt >= since || failures.some(({ failedAt }) => failedAt > since);
  const holder = holderElsewhere(delivery, facts);
  const where = holder === undefined ? "" : ` in ${holder}`;
  return `attempt ${attempts} is under way${where}${isOfThisOwner ? "" : ", or about to be taken up again after an interruption"}`;
}

function waits(delivery: DeliveryFacts, { event, facts, now }: Context): string {
  const { attempts, interruptions, nextRetryAt, gateway, isBehindEvent } = delivery;
  const elsewhere = whatWaitsForGateway({ ...delivery, since: event.createdAt }, { facts, now });
  if (elsewhere) return elsewhere;
  const owner = whatWaitsForOwner(delivery, facts);
  if (owner) return owner;
  if (isBehindEvent !== null)
    return `waits behind event ${isBehindEvent} of the same thread, so that they arrive in order`;
  if (nextRetryAt === null || nextRetryAt <= now)
    return (
      whatIsKnownElsewhere(delivery, facts) ??
      `waits for a free slot of gateway "${gateway}" (limits.max_concurrent_sends)`
    );
  const maxAttempts = facts.limits.maxDeliveryAttempts + interruptions;
  return `waits for attempt ${attempts + 1} of ${maxAttempts}, ${at(nextRetryAt, now)}`;
}
