/** How a message stands now, and what is next and when: the last lines of an explanation. Pure. */
import { NOT_ALLOWED_TEXT } from "../../core/help.ts";
import { waitAfterInterruption } from "../../core/interruption.ts";
import type { DeliveryFacts } from "../../core/operator-records.ts";
import { isFinal } from "../../core/process-event.ts";
import { openQuestion } from "../../core/run-answer.ts";
import type { Facts } from "./facts.ts";
import { letterId } from "./letter-id.ts";
import { runState, waitsFor } from "./run-lines.ts";
import {
  holderElsewhere,
  holderNow,
  whatIsKnownElsewhere,
  whatWaitsForGateway,
  whatWaitsForOwner,
} from "./waiting.ts";
import { at, count, duration, errorText, quoted } from "./words.ts";

export function standing(facts: Facts, now: number): string[] {
  switch (facts.message.status) {
    case "done":
      return [`Now: ${ended(facts, now)}`, ...nextDeliveries(facts, now)];
    case "dead":
      return dead(facts, now);
    case "waiting":
      return waitsForSomething(facts, now);
    case "claimed":
      return [`Now: ${underWay(facts, now)}${stopped(facts)}`];
    default:
      return [`Now: ${waits(facts, now)}${stopped(facts)}`];
  }
}

/** Nothing is to be done before someone says something, or a time comes. */
function waitsForSomething(facts: Facts, now: number): string[] {
  const { run } = facts;
  if (!run) return ["Now: waits; what for is not on record"];
  const { conversationId: id } = run;
  const isAsked = openQuestion(run) !== undefined;
  return [
    `Now: its run ${waitsFor(run, { now, commands: "robson runs " })}${stopped(facts)}`,
    `Next: ${isAsked ? `\`/answer ${id} …\` in its chat, or a message in its thread, answers; ` : ""}\`/stop ${id}\` or \`robson runs stop ${id}\` ends it`,
  ];
}

/** Someone wants it ended, and it is open still. */
function stopped({ message: { stoppedBy } }: Facts): string {
  if (stoppedBy === null) return "";
  return `; ${stoppedBy} has stopped it: it ends without being begun again`;
}

/** An instant with a minus before it is what the loop's own last word about a message is known by. */
const isLastWord = (sequence: number) => sequence < -1_000_000_000;

function ended({ message, events, route, isDiscarded, run }: Facts, now: number): string {
  if (run && run.endedAt !== null && run.status !== "done")
    return `its run is ${runState(run, { now, commands: "robson runs " })}`;
  if (isDiscarded)
    return `discarded by a person, after it was a dead letter (${errorText(message.lastError ?? "")})`;
  const last = events.findLast(({ kind }) => isFinal(kind));
  if (!last) {
    // Which of the two it was is not on record.
    if (route.routes.length > 0)
      return "done, without an answer: its worker gave none, or passed it on and nobody took it";
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
function nextDeliveries(facts: Facts, now: number): string[] {
  const deliveries = facts.events.flatMap((event) => event.deliveries);
  const parts = openDeliveries(facts, { deliveries, now });
  return [`Next: ${parts.length === 0 ? nothing(deliveries) : parts.join(", ")}`];
}

function openDeliveries(
  facts: Facts,
  { deliveries, now }: { deliveries: DeliveryFacts[]; now: number },
): string[] {
  const open = deliveries.filter(({ status }) => status === "pending" || status === "claimed");
  const deadCount = deliveries.filter(({ status }) => status === "dead").length;
  const nextAt = Math.min(
    ...open.map((delivery) =>
      isStuck(delivery, { facts, now })
        ? Number.POSITIVE_INFINITY
        : (delivery.nextRetryAt ?? Number.POSITIVE_INFINITY),
    ),
  );
  return [
    ...(open.length === 0 ? [] : [`${count(open.length, "delivery")} to come`]),
    ...(Number.isFinite(nextAt) ? [`the next attempt ${at(nextAt, now)}`] : []),
    ...(deadCount === 0 ? [] : [`${count(deadCount, "delivery")} dead`]),
  ];
}

/** Whatever time is written to it: it is not tried while nobody is there who could. */
function isStuck(delivery: DeliveryFacts, { facts, now }: { facts: Facts; now: number }): boolean {
  const waits =
    whatWaitsForOwner(delivery, facts) ?? whatWaitsForGateway({ ...delivery, since: now }, { facts, now });
  return waits !== undefined;
}

function nothing(deliveries: DeliveryFacts[]): string {
  const closed = deliveries.filter(({ deliveredAt }) => deliveredAt === null).length;
  if (deliveries.length === 0) return "nothing";
  if (closed === 0) return "nothing; all is delivered";
  const delivered = deliveries.length - closed;
  const rest = delivered === 0 ? "none is delivered" : `${count(delivered, "delivery")} arrived`;
  return `nothing; ${count(closed, "delivery")} closed, ${rest}`;
}

/** As core begins the error of a message that may be what ends the process. */
const ENDED_WITH_PROCESS = "The process ended ";

function dead(facts: Facts, now: number): string[] {
  const { message, failures, route, limits, events } = facts;
  const id = letterId(message);
  const maxAttempts = route.routes[0]?.maxAttempts ?? limits.maxMessageAttempts;
  const tried = message.attempts - message.interruptions;
  const error = errorText(message.lastError ?? "");
  const last = failures.at(-1);
  let why = `attempt ${message.attempts} failed for good: ${error}`;
  if (!last) why = error;
  else if (last.nextAt !== null) why = `no process ran its gateway in time; before that: ${error}`;
  else if (error.startsWith(ENDED_WITH_PROCESS))
    why = `${error}; it is not begun again by itself, because it may be what ends the process`;
  else if (tried >= maxAttempts) why = `all ${maxAttempts} attempts failed, the last one with: ${error}`;
  const open = openDeliveries(facts, { deliveries: events.flatMap(({ deliveries }) => deliveries), now });
  const next = open.length === 0 ? "" : `${open.join(", ")}; for the message itself, `;
  return [
    `Now: a dead letter; ${why}`,
    `Next: ${next}nothing by itself; \`robson dead-letters retry ${id}\` tries it again, \`robson dead-letters discard ${id}\` closes it`,
  ];
}

function underWay(facts: Facts, now: number): string {
  const { message, live, failures } = facts;
  const elsewhere = waitsElsewhere(facts, now);
  const attempt = `attempt ${message.attempts}`;
  if (elsewhere) return `${attempt} was interrupted when its process ended; it ${elsewhere}`;
  if (live?.state === "running") {
    const since = live.startedAt === undefined ? "" : `, since ${at(live.startedAt, now)}`;
    return `${attempt} is under way${live.worker === undefined ? "" : `, by worker "${live.worker}"`}${since}`;
  }
  if (live) return `${attempt} was interrupted when its process ended; ${waitsAfterIt(facts)}`;
  const { process, since } = holderNow(facts, facts) ?? { process: "", since: Number.POSITIVE_INFINITY };
  const isOfThisOwner = message.createdAt >= since || failures.some(({ failedAt }) => failedAt > since);
  const or = isOfThisOwner ? "" : ", or about to be taken up again after an interruption";
  return `${attempt} is under way${or} in ${process}`;
}

/** The loop has it, and has not begun it again. */
function waitsAfterIt(facts: Facts): string {
  const { message, limits } = facts;
  const line = behind(facts);
  if (line) return `it ${line}`;
  const maxMs = waitAfterInterruption({ interruptions: message.interruptions, limits, random: () => 1 });
  if (maxMs === 0) return "it is taken up again as soon as there is a free slot";
  return `it waits up to ${duration(maxMs)} before the next one, because it was interrupted before; such messages are begun one at a time`;
}

function behind({ isBehindMessages }: Facts): string | undefined {
  if (isBehindMessages.length === 0) return undefined;
  const all = isBehindMessages.length === 1 ? "" : `, ${isBehindMessages.length} messages in all`;
  return `waits in line behind message-${isBehindMessages.at(-1)} of the same thread${all}`;
}

function waits(facts: Facts, now: number): string {
  const { message, isUnowned, route, limits } = facts;
  const elsewhere = waitsElsewhere(facts, now);
  if (elsewhere) return elsewhere;
  const { nextAttemptAt, attempts } = message;
  if (nextAttemptAt !== null && nextAttemptAt > now) {
    const maxAttempts = route.routes[0]?.maxAttempts ?? limits.maxMessageAttempts;
    const holder = holderElsewhere(facts, facts);
    const where = holder === undefined ? "" : `, in ${holder}`;
    return `waits for attempt ${attempts + 1} of ${maxAttempts + message.interruptions}, ${at(nextAttemptAt, now)}${where}`;
  }
  const line = behind(facts);
  if (line) return line;
  if (facts.run?.isDetached && facts.live?.state === "waiting")
    return "its run waits for a free slot (limits.max_concurrent_runs)";
  // One that is to be stopped is to be taken once more, though it was long ago.
  if (isUnowned && message.stoppedBy === null)
    return `stored for ${holderNow(facts, facts)?.process}, which takes it over within seconds`;
  const known = whatIsKnownElsewhere(facts, facts);
  if (known) return known;
  return "waits for a free slot (limits.max_concurrent_messages, or its worker's maxConcurrent)";
}

function waitsElsewhere(facts: Facts, now: number): string | undefined {
  const { holder, message } = facts;
  const held = { gateway: message.gateway, since: message.createdAt, holder };
  return whatWaitsForGateway(held, { facts, now }) ?? whatWaitsForOwner(facts, facts);
}
