/** How a message stands now, and what is next and when: the last lines of an explanation. Pure. */
import { NOT_ALLOWED_TEXT } from "../../core/help.ts";
import { isFinal } from "../../core/process-event.ts";
import type { Facts } from "./facts.ts";
import { letterId } from "./letter-id.ts";
import { whatWaitsForGateway, whatWaitsForOwner } from "./waiting.ts";
import { at, count, errorText, quoted } from "./words.ts";

export function standing(facts: Facts, now: number): string[] {
  switch (facts.message.status) {
    case "done":
      return [`Now: ${ended(facts, now)}`, ...nextDeliveries(facts, now)];
    case "dead":
      return dead(facts);
    case "claimed":
      return [`Now: ${underWay(facts, now)}`];
    default:
      return [`Now: ${waits(facts, now)}`];
  }
}

/** An instant with a minus before it is what the loop's own last word about a message is known by. */
const isLastWord = (sequence: number) => sequence < -1_000_000_000;

function ended({ message, events, route, isDiscarded }: Facts, now: number): string {
  if (isDiscarded)
    return `discarded by a person, after it was a dead letter (${errorText(message.lastError ?? "")})`;
  const last = events.findLast(({ kind }) => isFinal(kind));
  if (!last) {
    if (route.routes.length > 0) return "done; its worker ended without an answer";
    const why = message.isAddressed ? "its thread had that hint before" : "it was not addressed to the bot";
    return `done; no worker took it, and nothing was answered because ${why}`;
  }
  const when = at(last.createdAt, now);
  if (last.worker !== null) return `done; worker "${last.worker}" ended it with ${last.kind} ${when}`;
  if (isLastWord(last.sequence))
    return `${last.content.replace(/^S/, "s").replace(/\.$/, "")} ${when}; it is not tried again`;
  if (last.content === NOT_ALLOWED_TEXT)
    return `refused ${when}: its user may not use what it asked for there`;
  if (route.isHelp) return `done; the loop answered it itself ${when}`;
  if (last.kind === "failed") return `refused ${when}: ${quoted(last.content)}`;
  return `done; no worker took it, and its user was told so ${when}`;
}

/** What is left to be done for a message that has ended: its deliveries. */
function nextDeliveries({ events }: Facts, now: number): string[] {
  const deliveries = events.flatMap((event) => event.deliveries);
  const open = deliveries.filter(({ status }) => status === "pending" || status === "claimed");
  const deadCount = deliveries.filter(({ status }) => status === "dead").length;
  const nextAt = Math.min(...open.map(({ nextRetryAt }) => nextRetryAt ?? Number.POSITIVE_INFINITY));
  const parts = [
    ...(open.length === 0 ? [] : [`${count(open.length, "delivery")} to come`]),
    ...(Number.isFinite(nextAt) ? [`the next attempt ${at(nextAt, now)}`] : []),
    ...(deadCount === 0 ? [] : [`${count(deadCount, "delivery")} dead`]),
  ];
  return [`Next: ${parts.length === 0 ? "nothing; all is delivered" : parts.join(", ")}`];
}

function dead(facts: Facts): string[] {
  const { message, failures, route, limits } = facts;
  const id = letterId(message);
  const maxAttempts = route.routes[0]?.maxAttempts ?? limits.maxMessageAttempts;
  const tried = message.attempts - message.interruptions;
  const error = errorText(message.lastError ?? "");
  const last = failures.at(-1);
  let why = `attempt ${message.attempts} failed for good: ${error}`;
  if (!last) why = error;
  else if (last.worker === null)
    why = `${error}; it is not begun again by itself, because it may be what ends the process`;
  else if (tried >= maxAttempts) why = `all ${maxAttempts} attempts failed, the last one with: ${error}`;
  return [
    `Now: a dead letter; ${why}`,
    `Next: nothing by itself; \`robson dead-letters retry ${id}\` tries it again, \`robson dead-letters discard ${id}\` closes it`,
  ];
}

function underWay(facts: Facts, now: number): string {
  const { message, owner, ownedSince, live, failures } = facts;
  const elsewhere = waitsElsewhere(facts, now);
  const attempt = `attempt ${message.attempts}`;
  if (elsewhere) return `${attempt} was interrupted when its process ended; it ${elsewhere}`;
  if (live?.state === "running") {
    const since = live.startedAt === undefined ? "" : `, since ${at(live.startedAt, now)}`;
    return `${attempt} is under way${live.worker === undefined ? "" : `, by worker "${live.worker}"`}${since}`;
  }
  const isOfThisOwner =
    ownedSince !== null &&
    (message.createdAt >= ownedSince || failures.some(({ failedAt }) => failedAt >= ownedSince));
  const or = isOfThisOwner ? "" : ", or about to be taken up again after an interruption";
  return `${attempt} is under way${or} in ${owner}`;
}

function waits(facts: Facts, now: number): string {
  const { message, isBehindMessages, isUnowned, route, limits, owner } = facts;
  const elsewhere = waitsElsewhere(facts, now);
  if (elsewhere) return elsewhere;
  const { nextAttemptAt, attempts } = message;
  if (nextAttemptAt !== null && nextAttemptAt > now) {
    const maxAttempts = route.routes[0]?.maxAttempts ?? limits.maxMessageAttempts;
    return `waits for attempt ${attempts + 1} of ${maxAttempts + message.interruptions}, ${at(nextAttemptAt, now)}`;
  }
  const [first] = isBehindMessages;
  if (first !== undefined) {
    const all = isBehindMessages.length === 1 ? "" : `, ${isBehindMessages.length} messages in all`;
    return `waits in line behind message-${isBehindMessages.at(-1)} of the same thread${all}`;
  }
  if (isUnowned) return `stored for ${owner}, which takes it over within seconds`;
  return "waits for a free slot (limits.max_concurrent_messages, or its worker's maxConcurrent)";
}

function waitsElsewhere(facts: Facts, now: number): string | undefined {
  const { gateway, createdAt: since } = facts.message;
  return whatWaitsForGateway({ gateway, since }, { facts, now }) ?? whatWaitsForOwner(facts);
}
