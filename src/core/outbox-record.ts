/**
 * Events that are about to be stored, with the deliveries that are stored with them: what is written, and which of the
 * deliveries take their places here. Pure: outbox.ts takes the places and commits.
 */
import { randomUUID } from "node:crypto";
import type { Admission } from "./backlog.ts";
import { RobsonError } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import { named } from "./named.ts";
import { type EventToStore, newDelivery, type OutboxEntry, type Target, toNewEntry } from "./outbox-entry.ts";
import { type ShardKey, shardOf, threadKey } from "./shards.ts";
import type { Change, NewEvent, StoredDelivery, StoredMessage } from "./store.ts";

/** Where events go: to these, and to the subscribers of a gateway. */
export interface Targets {
  targets: Target[];
  subscribersOf?: string | undefined;
}

export const NOWHERE: Targets = { targets: [] };

/** What a gateway's `targets` has answered. */
export function checkedTargets({ name }: Pick<Gateway, "name">, targets: unknown): string[] {
  const refuse = (why: string) =>
    new RobsonError(
      "GATEWAY_INVALID",
      `targets() of gateway "${name}" has answered ${why}, not a list of texts`,
      {
        hint: "Return channels or addresses at once, as in targets: ({ channelId }) => [channelId]",
      },
    );
  if (!Array.isArray(targets)) throw refuse(named(targets));
  const wrong = targets.findIndex((target) => typeof target !== "string");
  if (wrong === -1) return targets;
  throw refuse(`an array with ${named(targets[wrong])}`);
}

export type ChangeWithEvents = Pick<Change, "message" | "failure" | "hint" | "run"> & {
  events: EventToStore[];
};

type EventToDeliver = NewEvent & { deliveries: StoredDelivery[] };

export interface RecordToDeliver extends Targets {
  write: Omit<Change, "events"> & { events: EventToDeliver[] };
}

/** A record that is being stored. */
export interface Recording {
  /** The deliveries of each event that are ours to make. */
  entries: OutboxEntry[][];
  stored: PromiseWithResolvers<void>;
  /** The shards that are busy with it. */
  busy: ShardKey[];
  /** The shards whose holders are to be told. */
  wakes: ShardKey[];
}

export function toRecord(
  message: StoredMessage,
  { change, to }: { change: ChangeWithEvents; to: Targets },
): RecordToDeliver {
  const { targets, subscribersOf } = to;
  const { conversationId } = message;
  const shard = shardOf(threadKey(message));
  const events = change.events.map((event) => {
    const deliveries = targets.map((target) =>
      newDelivery(message, { target, event, deliveryId: randomUUID() }),
    );
    const made = { ...event, conversationId, deliveries };
    return subscribersOf === undefined ? made : { ...made, subscribersOf };
  });
  return { write: { ...change, shard, events }, targets, subscribersOf };
}

export function toRecording(
  message: StoredMessage,
  {
    record,
    admission,
    holds,
  }: { record: RecordToDeliver; admission: Admission; holds(gateway: string | null, shard: number): boolean },
): Recording {
  const { write, targets, subscribersOf } = record;
  const { shard, events } = write;
  const stored = Promise.withResolvers<void>();
  const keys = targets.map(({ gateway }): ShardKey => ({ gateway, shard }));
  if (subscribersOf !== undefined) keys.push({ gateway: subscribersOf, shard });
  // Its own gateway's shard is busy with the message itself; but no more once what it left behind is only stored.
  const busy = admission === "behind" ? keys : keys.filter(({ gateway }) => gateway !== message.gateway);
  const wakes = keys.filter(({ gateway }) => !holds(gateway, shard));
  const ours = ({ gateway }: StoredDelivery) => wakes.length === 0 || holds(gateway, shard);
  const entries = events.map(({ deliveries }) =>
    deliveries.filter(ours).map((delivery) => toNewEntry(delivery, { shard, stored: stored.promise })),
  );
  return { entries, stored, busy, wakes };
}
