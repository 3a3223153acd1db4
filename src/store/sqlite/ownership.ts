/** Owning an SQLite file: the lock, the epoch that fences every write, and the wake-ups of other processes. */
import type { DatabaseSync } from "node:sqlite";
import { RobsonError } from "../../core/errors.ts";
import type { Ownership, WokenFor } from "../../core/store.ts";
import { checkGateway, checkGateways } from "../owner-errors.ts";
import { toStoreError } from "./errors.ts";
import { takeOwnerLock } from "./owner-lock.ts";
import { watchWake } from "./wake.ts";
import { prepareReadings, type Way } from "./way.ts";
import type { SqliteWriter } from "./writer.ts";

/** How the last owner called itself. */
export function ownerName(db: DatabaseSync): string {
  return String(db.prepare("select owner from leases where name = 'loop'").get()?.owner ?? "another process");
}

export interface OwnOptions {
  file: string;
  db: DatabaseSync;
  writer: SqliteWriter;
  way: Way;
  owner: string;
  gateways: string[];
  now: number;
}

/** Becomes the owner of the file's open work, or throws `ALREADY_RUNNING`. */
export async function own({ file, db, writer, way, owner, gateways, now }: OwnOptions): Promise<Ownership> {
  const lock = takeOwnerLock(file);
  if (!lock) {
    throw new RobsonError(
      "ALREADY_RUNNING",
      `Cannot take over "${file}": ${ownerName(db)} is working on it`,
      {
        hint: "Stop that process first, or give this one a database of its own with --db",
      },
    );
  }
  const wakeCallbacks: ((wokenFor: WokenFor) => void)[] = [];
  let watcher: { close(): void } | undefined;
  try {
    watcher = await watchWake(file, () => {
      for (const callback of wakeCallbacks) callback("all");
    });
    const { epoch, gatewayIds } = await writer.submit(() => takeLease(db, { owner, gateways, now }));
    const readings = prepareReadings(db, gatewayIds);
    const currentEpoch = db.prepare("select epoch from leases where name = 'loop'");
    let isReleased = false;
    const fence = () => !isReleased && currentEpoch.get()?.epoch === epoch;
    const owned = new Set(gateways);
    return {
      epoch,
      accept(message, placement) {
        return writer.submit(() => {
          checkGateway(owned, message.gateway);
          const hasUnowned = readings.hasUnowned();
          return { ...way.accept(message, { ...placement, isUnowned: false }), hasUnowned };
        }, fence);
      },
      record(change) {
        return writer.submit(() => {
          checkGateways(owned, change);
          return way.record(change);
        }, fence);
      },
      openMessages: async (page) => reading(file, () => readings.openMessages(page)),
      takeUnowned: (limit) => writer.submit(() => readings.takeUnowned(limit), fence),
      stopRequests: async (limit) => reading(file, () => readings.stopRequests(limit)),
      openDeliveries: async (page) => reading(file, () => readings.openDeliveries(page)),
      wakeDue: (now) => writer.submit(() => readings.wakeDue(now), fence),
      wasHinted: async (threadKey) => reading(file, () => readings.wasHinted(threadKey)),
      expireUnregistered: (before) => writer.submit(() => readings.expireUnregistered(before), fence),
      onWake: (callback) => void wakeCallbacks.push(callback),
      onLost: () => undefined, // on SQLite it shows at the next write
      // One process owns all of a file, for as long as it lives.
      onReach: () => undefined,
      holds: () => true,
      shards: () => [],
      onShards: () => undefined,
      letGo: async () => undefined,
      retire: async () => undefined,
      async release() {
        watcher?.close();
        await writer.drained();
        isReleased = true;
        lock.release();
      },
    };
  } catch (error) {
    watcher?.close();
    lock.release();
    throw toStoreError(error, file);
  }
}

function reading<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw toStoreError(error, file);
  }
}

interface Taking {
  owner: string;
  gateways: string[];
  now: number;
}

function takeLease(
  db: DatabaseSync,
  { owner, gateways, now }: Taking,
): { epoch: number; gatewayIds: number[] } {
  const lease = db
    .prepare(`insert into leases (name, owner, epoch, acquired_at) values ('loop', ?1, 1, ?2)
      on conflict (name) do update set owner = ?1, epoch = epoch + 1, acquired_at = ?2 returning epoch`)
    .get(owner, now);
  const register = db.prepare(
    "insert into gateways (name, created_at) values (?, ?) on conflict (name) do nothing",
  );
  const select = db.prepare("select id from gateways where name = ?");
  const gatewayIds = gateways.map((name) => {
    register.run(name, now);
    return Number(select.get(name)?.id);
  });
  return { epoch: Number(lease?.epoch), gatewayIds };
}
