/**
 * The store model: core's `Store` and `Ownership` over tables in memory, alone (as SQLite) or shared (as
 * PostgreSQL). A test double of the contract for the simulation, which passes the store suite.
 */
import { RobsonError } from "../../src/core/errors.ts";
import { shardOf, threadKey } from "../../src/core/shards.ts";
import type {
  Change,
  DeadLetter,
  EventRecord,
  Ownership,
  OwnOptions,
  Store,
  WokenFor,
} from "../../src/core/store.ts";
import { checkGateway, checkGateways, leaseLost } from "../../src/store/owner-errors.ts";
import {
  anyone,
  Connection,
  type Fence,
  MEMORY_LOCATION,
  type MemoryDatabase,
  read,
} from "./memory-database.ts";
import { MemoryMembership } from "./memory-membership.ts";
import { allShards, createRunRecords, nextRound } from "./memory-run-records.ts";
import { endRunsOfTheDead, locksOfRun } from "./memory-runs.ts";
import { deliveryKey, hasEnded, isOpen, type MemoryTables } from "./memory-tables.ts";
import { rightOf } from "./memory-transactions.ts";
import { createTaking } from "./memory-unowned.ts";
import { openWork } from "./memory-work.ts";
import type { Host } from "./scheduler.ts";

/** Whose rights an ownership has; the simulation looks at it. */
export type MemoryOwnership = Ownership & { readonly epoch: number };

export function openMemoryStore(db: MemoryDatabase, host: Host): Store {
  const { tables } = db;
  const connection = new Connection(db, host);
  const owned: Ownership[] = [];
  return {
    location: MEMORY_LOCATION,
    runs: createRunRecords({ db, host, connection }),
    async own(options) {
      const membership = db.isShared ? await MemoryMembership.join(db, host, options) : undefined;
      const taken = membership ?? (await takeAlone(db, host, options));
      const connections = [new Connection(db, host), new Connection(db, host)];
      const ownership = createOwnership({ db, host, options, membership, alone: taken, connections });
      owned.push(ownership);
      return ownership;
    },
    async insertUnowned(message) {
      const shard = shardOf(threadKey(message));
      const stored = await connection.submit(`insert ${message.content}`, () => {
        const at = { shard, status: "pending", attempts: 0, isUnowned: true, by: host.name } as const;
        const { conversationId, isDuplicate } = tables.accept(message, at);
        if (message.gateway !== null) tables.gateways.add(message.gateway);
        return { conversationId, isDuplicate };
      });
      db.wake([{ gateway: message.gateway, shard }], "messages");
      return stored;
    },
    async currentOwners() {
      await db.turns.turn(host, "look");
      if (!db.isShared) return db.owner?.isLocked ? [db.owner.name] : [];
      return [...db.processes.values()].map(({ name }) => name);
    },
    async requestStop(conversationId, by) {
      const row = tables.inbox.get(conversationId);
      const stops = () => {
        if (!row || tables.inbox.get(conversationId) !== row || hasEnded(row.status)) return false;
        const status = row.status === "waiting" ? "pending" : row.status;
        tables.update(row, { stoppedBy: by, isUnowned: true, status });
        return true;
      };
      const isOpenNow = await connection.submit(`stop ${conversationId}`, stops, anyone([conversationId]));
      const { gateway = null, shard = 0 } = tables.conversations.get(conversationId) ?? {};
      if (isOpenNow) db.wake([{ gateway, shard }]);
      return isOpenNow;
    },
    admission: {
      countOpen: (atMost) => read(db, host, () => Math.min(atMost, tables.openMessages(() => true).length)),
      isAllowed: async () => true,
      countRequest: async () => [],
    },
    conversation: (conversationId) => read(db, host, () => tables.message(conversationId)),
    events: (conversationId) => read(db, host, () => eventsOf(tables, conversationId)),
    deadLetters: ({ limit }) => read(db, host, () => deadLettersOf(tables).slice(0, limit)),
    async retryDeadLetter(letter) {
      const { delivery, conversationId } = letter;
      const fence = delivery
        ? anyone([deliveryKey(delivery)])
        : { ...anyone([conversationId]), isLong: true };
      const isRetried = await connection.submit("retry", () => retry(tables, letter), fence);
      db.wake(allShards(db));
      return isRetried;
    },
    discardDeadLetter: (letter) => connection.submit("discard", () => discard(tables, letter)),
    async close() {
      await connection.idle();
      await Promise.all(owned.map((each) => each.release()));
    },
  };
}

interface Owning {
  db: MemoryDatabase;
  host: Host;
  options: OwnOptions;
  membership: MemoryMembership | undefined;
  alone: {
    readonly epoch: number;
    onWake(callback: (wokenFor: WokenFor) => void): void;
    leave(): Promise<void>;
  };
  connections: Connection[];
}

function createOwnership({ db, host, options, membership, alone, connections }: Owning): MemoryOwnership {
  const { tables } = db;
  const { epoch } = alone;
  const gateways = new Set(options.gateways);
  const holds = (gateway: string | null, shard: number) =>
    membership
      ? db.leases.get(`${gateway ?? ""}:${shard}`) === epoch
      : gateway === null || gateways.has(gateway);
  const work = openWork({ db, holds, options });
  let isReleased = false;
  const fence = { mayWrite: () => !isReleased && db.isValid(epoch), error: () => leaseLost(MEMORY_LOCATION) };
  const write = <T>(
    label: string,
    { shard = 0, run, ...more }: { shard?: number; run: () => T } & Pick<Fence, "rows" | "locks" | "isLong">,
  ): Promise<T> => {
    if (isReleased) return Promise.reject(fence.error());
    return (connections[shard % 2] as Connection).submit(label, run, { ...fence, ...more });
  };
  return {
    epoch,
    async accept(message, at) {
      checkGateway(gateways, message.gateway);
      const isForOther = "isForOther" in at && at.isForOther === true;
      const run = () => {
        const hasUnowned = work.hasUnowned();
        const stored = tables.accept(message, { ...at, isUnowned: isForOther, by: host.name });
        return { ...stored, hasUnowned: hasUnowned && !stored.isDuplicate };
      };
      const accepted = await write(`accept ${message.content} ${at.status}`, {
        shard: at.shard,
        run,
      });
      if (isForOther) db.wake([{ gateway: message.gateway, shard: at.shard }], "messages");
      return accepted;
    },
    async record(change) {
      checkGateways(gateways, change);
      const made = await write(labelOf(change), {
        shard: change.shard,
        rows: rowsOf(change),
        locks: () => [...rowsOf(change), ...(change.run ? [rightOf(epoch), ...locksOfRun(change.run)] : [])],
        isLong: change.run !== undefined,
        run: () => tables.record(change, host.name),
      });
      if (change.wakes) db.wake(change.wakes);
      return made;
    },
    openMessages: (page) => read(db, host, () => work.messages(page)),
    takeUnowned: createTaking({ db, host, holds, fence, write }),
    stopRequests: (limit) => read(db, host, () => work.stopRequests(limit)),
    openDeliveries: (page) => read(db, host, () => work.deliveries(page)),
    wakeDue: (now) =>
      write("wake due", { run: () => work.wakeDue(now), locks: () => work.due(now).map(([id]) => id) }),
    expireUnregistered: (before) => write("expire", { run: () => work.expireUnregistered(before) }),
    wasHinted: (thread) => read(db, host, () => tables.hints.has(thread)),
    onWake: (callback) => alone.onWake(() => callback("all")),
    onLost: (callback) => membership?.onLost(callback),
    onReach: () => undefined,
    holds: (gateway, shard) => membership?.holds(gateway, shard) ?? true,
    shards: () => membership?.shards() ?? [],
    onShards: (callback) => membership?.onShards(callback),
    letGo: async (keys) => membership?.letGo(keys),
    retire: async () => membership?.retire(),
    async release() {
      if (isReleased) return;
      await Promise.all(connections.map((each) => each.idle()));
      isReleased = true;
      await alone.leave();
    },
  };
}

/** What it changes of what was there before. */
export function rowsOf({ message, delivery }: Change): (number | string)[] {
  return [...(message ? [message.conversationId] : []), ...(delivery ? [deliveryKey(delivery)] : [])];
}

/** A change in the trace. */
export function labelOf({ message, events = [], delivery }: Change): string {
  const of = message ? `message ${message.conversationId} ${message.status} ${message.attempts}` : "";
  const sent = delivery ? `delivery ${delivery.eventId} ${delivery.status} ${delivery.attempts}` : "";
  const emitted = events.map(({ conversationId, content }) => `event of ${conversationId} (${content})`);
  return [of, sent, ...emitted].filter((part) => part !== "").join(", ");
}

/** The one owner, until its process has ended or it leaves. */
async function takeAlone(db: MemoryDatabase, host: Host, { owner: name, gateways }: OwnOptions) {
  await db.turns.turn(host, "own");
  if (db.owner?.isLocked) {
    const text = `Cannot take over ${MEMORY_LOCATION}: ${db.owner.name} is working on it`;
    throw new RobsonError("ALREADY_RUNNING", text, { hint: "Stop that process first" });
  }
  if (db.owner) db.expelled.add(db.owner.epoch);
  db.lastEpoch += 1;
  const epoch = db.lastEpoch;
  const callbacks: ((wokenFor: WokenFor) => void)[] = [];
  const onWake = (wokenFor: WokenFor) => {
    for (const callback of callbacks) callback(wokenFor);
  };
  db.owner = { host, name, epoch, isLocked: true, onWake };
  for (const gateway of gateways) db.tables.gateways.add(gateway);
  return {
    epoch,
    onWake: (callback: (wokenFor: WokenFor) => void) => void callbacks.push(callback),
    async leave() {
      await db.turns.turn(host, "leave");
      if (db.owner?.epoch === epoch) db.owner.isLocked = false;
    },
  };
}

function eventsOf(tables: MemoryTables, conversationId: number): EventRecord[] {
  const rows = [...tables.events.values()].filter((row) => row.conversationId === conversationId);
  return rows.map(({ eventId, kind, content, createdAt, deliveredAt }) => ({
    ...{ id: eventId, conversationId, kind, content, createdAt },
    ...(deliveredAt === null ? {} : { deliveredAt }),
    deliveries: tables
      .deliveriesOf(eventId)
      .map(({ by: _by, round: _round, ...delivery }) => delivery)
      .sort((a, b) => a.gateway.localeCompare(b.gateway) || a.target.localeCompare(b.target)),
  }));
}

function deadLettersOf(tables: MemoryTables): DeadLetter[] {
  const messages = [...tables.inbox].flatMap(([conversationId, { status, attempts, lastError }]) => {
    const row = tables.conversations.get(conversationId);
    if (status !== "dead" || !row) return [];
    const { gateway, createdAt } = row;
    return [{ conversationId, gateway, attempts, lastError: lastError ?? "", createdAt }];
  });
  const deliveries = [...tables.deliveries.values()].flatMap((row) => {
    const { eventId, gateway, target, status, attempts, lastError } = row;
    const event = tables.events.get(eventId);
    if (status !== "dead" || !event) return [];
    const { conversationId, createdAt } = event;
    const delivery = { eventId, gateway, target };
    return [{ conversationId, delivery, gateway, attempts, lastError: lastError ?? "", createdAt }];
  });
  return [...messages, ...deliveries].sort((a, b) => a.createdAt - b.createdAt);
}

function retry(tables: MemoryTables, { conversationId, delivery }: DeadLetter): boolean {
  const anew = { status: "pending", attempts: 0, interruptions: 0 } as const;
  if (delivery) {
    const row = tables.deliveries.get(deliveryKey(delivery));
    if (row?.status !== "dead") return false;
    tables.update(row, { ...anew, nextRetryAt: null, round: row.round + 1 });
    return true;
  }
  const row = tables.inbox.get(conversationId);
  if (row?.status !== "dead") return false;
  const round = nextRound(tables, conversationId);
  tables.update(row, { ...anew, nextAttemptAt: null, isUnowned: true, stoppedBy: null, round });
  return true;
}

function discard(tables: MemoryTables, { conversationId, delivery }: DeadLetter): boolean {
  const row = delivery ? tables.deliveries.get(deliveryKey(delivery)) : tables.inbox.get(conversationId);
  if (row?.status !== "dead" || isOpen(row.status)) return false;
  row.status = "done";
  if (!delivery) Object.assign(row, { attempts: 0, nextAttemptAt: null });
  if (!delivery) endRunsOfTheDead(tables, Date.now());
  return true;
}
