/**
 * What happened to a message and what is next, in plain lines: received, matched, each attempt that failed, what was
 * emitted, each delivery, and how it stands. Pure: says nothing that the facts do not show.
 */
import { NOT_ALLOWED_TEXT } from "../../core/help.ts";
import type { EventFacts, FailedAttempt } from "../../core/operator-records.ts";
import { explainDelivery } from "./explain-delivery.ts";
import type { Facts, RouteFact } from "./facts.ts";
import { letterId } from "./letter-id.ts";
import { standing } from "./standing.ts";
import { holderNow } from "./waiting.ts";
import { at, count, duration, errorText, quoted } from "./words.ts";

/** One line for each thing, indented below what it belongs to. Bounded, however much is on record. */
export function explain(facts: Facts, now: number): string[] {
  return [
    `${letterId(facts.message)}: ${quoted(facts.message.content)}`,
    received(facts, now),
    matched(facts),
    ...runLine(facts, now),
    ...shortened(facts.failures.map((failure, index) => failed(failure, { facts, index, now }))),
    ...shortened(facts.events.map((event) => emitted(event, { facts, now }))).flat(),
    ...held(facts, now),
    ...standing(facts, now),
  ].map((line, index) => (index === 0 ? line : `  ${line}`));
}

/** How many entries of one kind are told; what lies between the first and the last is counted. */
const MAX_TOLD = 30;

function shortened<Entry extends string | string[]>(entries: Entry[]): (Entry | string)[] {
  if (entries.length <= MAX_TOLD) return entries;
  const half = MAX_TOLD / 2;
  const left = entries.length - MAX_TOLD;
  return [
    ...entries.slice(0, half),
    `(${left} more, left out here; --json has them)`,
    ...entries.slice(-half),
  ];
}

function received({ message }: Facts, now: number): string {
  const { gateway, channelId, threadTs, userId, idempotencyKey, createdAt } = message;
  const parts = [
    gateway === null ? "through no gateway" : `through gateway "${gateway}"`,
    ...(channelId === "" ? [] : [`channel ${quoted(channelId)}`]),
    ...(threadTs === "" ? [] : [`thread ${quoted(threadTs)}`]),
    ...(userId === "" ? [] : [`from user ${quoted(userId)}`]),
  ];
  const key =
    idempotencyKey === null
      ? ", without an idempotency key: a second copy counts as another message"
      : `, with the idempotency key ${quoted(idempotencyKey)}: a second copy runs nothing`;
  return `Received ${at(createdAt, now)} ${parts.join(", ")}${key}`;
}

function matched({ route, message, gateways }: Facts): string {
  const recomputed = `recomputed from the workers ${gateways.isConfiguration ? "of this configuration" : "that are registered now"}`;
  if (route.isHelp) return "Matched by /help, which the loop answers itself";
  const [first, ...others] = route.routes;
  if (!first)
    return `Matched by no worker (${recomputed})${message.isAddressed ? "" : "; it was not addressed to the bot"}`;
  const allowed = route.routes.some(({ mayUse }) => mayUse) ? "" : `; ${notAllowed(first)}`;
  const rest =
    others.length === 0 ? "" : `; asked after it: ${others.map(({ worker }) => `"${worker}"`).join(", ")}`;
  return `Matched by ${first.by}, of worker "${first.worker}"${rest}${allowed} (${recomputed})`;
}

/** Its long work, in one line; `runs show` tells the rest. */
function runLine({ run }: Facts, now: number): string[] {
  if (!run) return [];
  const { conversationId: id, worker, title, createdAt, steps } = run;
  const done = steps.filter(({ endedAt }) => endedAt !== null);
  const last = steps.findLast(({ endedAt }) => endedAt === null);
  const begun = last ? `; "${last.name}" is begun and not finished` : "";
  const what = `Run ${id} of worker "${worker}", ${quoted(title)}, since ${at(createdAt, now)}`;
  return [`${what}: ${count(done.length, "finished step")}${begun}; \`robson runs show ${id}\` tells them`];
}

function notAllowed({ mayUseError }: RouteFact): string {
  if (mayUseError === undefined) return "its user may not use it there";
  return `whether its user may use it cannot be said: ${errorText(mayUseError)}`;
}

/** By which of several processes, while there is something to be done about it. */
function held(facts: Facts, now: number): string[] {
  const { status } = facts.message;
  const holder = holderNow(facts, facts);
  if (facts.owners.length < 2 || !holder || (status !== "pending" && status !== "claimed")) return [];
  return [`Its thread is held by ${holder.process}, since ${at(holder.since, now)}`];
}

function failed(
  { attempt, worker, error, failedAt, nextAt }: FailedAttempt,
  { facts, index, now }: { facts: Facts; index: number; now: number },
): string {
  // It goes on record when the next attempt begins, which may be long after the start that found it.
  if (worker === null && error === INTERRUPTED)
    return `Attempt ${attempt} was interrupted: the process ended during it; the next attempt began ${at(failedAt, now)}`;
  const who = worker === null ? "" : ` by worker "${worker}"`;
  const isLast = index === facts.failures.length - 1;
  const isClosed = facts.message.status === "dead" || facts.isDiscarded;
  const end = isLast && isClosed ? "there was no other" : "it was a dead letter, until a person retried it";
  const next = nextAt === null ? end : `the next one was due after ${duration(nextAt - failedAt)}`;
  return `Attempt ${attempt}${who} failed ${at(failedAt, now)}: ${errorText(error)}; ${next}`;
}

/** As core records it. */
const INTERRUPTED = "The process ended during this attempt";

function emitted(event: EventFacts, { facts, now }: { facts: Facts; now: number }): string[] {
  const { id, kind, worker, content, createdAt, deliveries } = event;
  const by = worker === null ? "the loop itself" : `worker "${worker}"`;
  const what = content === NOT_ALLOWED_TEXT && worker === null ? "a refusal" : quoted(content);
  return [
    `Event ${id}, ${kind}, emitted by ${by} ${at(createdAt, now)}: ${what}`,
    ...(deliveries.length === 0 ? ["  Delivered to nobody: the asker reads it himself"] : []),
    ...shortened(deliveries.map((delivery) => explainDelivery(delivery, { event, facts, now })))
      .flat()
      .map((line) => `  ${line}`),
  ];
}
