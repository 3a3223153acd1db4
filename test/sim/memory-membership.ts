/**
 * One process's part in a cluster on the store model, as store/postgres/membership.ts does it: a row of its own,
 * signs of life, the shards that are its due and free, and the end of who is gone. Each reading and each writing is
 * a turn of its own, so that what one process has read may be old when it acts on it.
 */
import { RobsonError } from "../../src/core/errors.ts";
import { LISTENER_SHARD, SHARD_COUNT, type ShardKey, ShardSet } from "../../src/core/shards.ts";
import type { OwnOptions, ShardChange, WokenFor } from "../../src/core/store.ts";
import { leaseLost } from "../../src/store/owner-errors.ts";
import { assignShards } from "../../src/store/postgres/assignment.ts";
import {
  Connection,
  leaseKey,
  MEMORY_LOCATION,
  type MemoryDatabase,
  type ProcessRow,
} from "./memory-database.ts";
import { rightOf } from "./memory-transactions.ts";
import type { Host } from "./scheduler.ts";

const DEFAULT_LEASE_MS = 10_000;
const BEATS_PER_LEASE = 3;
const RECONNECT_MS = 300;

export class MemoryMembership {
  readonly #db: MemoryDatabase;
  readonly #host: Host;
  readonly #options: OwnOptions;
  readonly #row: ProcessRow;
  readonly #held = new ShardSet();
  readonly #leaving = new ShardSet();
  /** Of the leases that are its own, as it has read them. */
  readonly #versions = new Map<string, number | undefined>();
  readonly #connection: Connection;
  readonly #lost = Promise.withResolvers<Error>();
  readonly #wakeCallbacks: ((wokenFor: WokenFor) => void)[] = [];
  #onShards: ((change: ShardChange) => void) | undefined;
  #looking: Promise<void> | undefined;
  #mustLookAgain = false;
  #isRetired = false;
  #isOver = false;
  #letGoCount = 0;
  #cancelBeat: (() => void) | undefined;

  static async join(db: MemoryDatabase, host: Host, options: OwnOptions): Promise<MemoryMembership> {
    await db.turns.turn(host, "join");
    const membership = new MemoryMembership(db, host, options);
    try {
      await membership.#lookOnce();
      const other = [...db.processes.values()].find(
        (row) => row.host.state === "alive" && row.workers !== membership.#row.workers,
      );
      if (other) {
        const text = `Cannot work beside ${other.name}: it has other workers`;
        throw new RobsonError("WORKERS_DIFFER", text, { hint: "Give all the same version" });
      }
    } catch (error) {
      await membership.leave();
      throw error;
    }
    db.notifyMembers();
    membership.#beatLater();
    return membership;
  }

  private constructor(db: MemoryDatabase, host: Host, options: OwnOptions) {
    this.#db = db;
    this.#host = host;
    this.#options = options;
    this.#connection = new Connection(db, host);
    db.lastEpoch += 1;
    this.#row = {
      id: db.lastEpoch,
      name: options.owner,
      host,
      workers: options.workers ?? "",
      gateways: options.gateways,
      isLeaving: false,
      expiresAt: db.turns.now() + this.#leaseMs,
      onMembers: () => void this.#look(),
      onWake: (wokenFor) => {
        for (const callback of this.#wakeCallbacks) callback(wokenFor);
      },
    };
    db.processes.set(this.#row.id, this.#row);
    for (const gateway of options.gateways) db.tables.gateways.add(gateway);
  }

  get epoch(): number {
    return this.#row.id;
  }

  holds(gateway: string | null, shard: number): boolean {
    return this.#held.has(gateway, shard);
  }

  shards(): ShardKey[] {
    return this.#held.keys();
  }

  onShards(callback: (change: ShardChange) => void): void {
    this.#onShards = callback;
    void this.#look();
  }

  onWake(callback: (wokenFor: WokenFor) => void): void {
    this.#wakeCallbacks.push(callback);
  }

  onLost(callback: (error: Error) => void): void {
    void this.#lost.promise.then(callback);
  }

  async letGo(keys: ShardKey[]): Promise<void> {
    for (const key of keys) {
      this.#held.delete(key);
      this.#leaving.add(key);
    }
    this.#letGoCount += 1;
    for (let isDone = false; !isDone; ) isDone = await this.#tryToLetGo(keys);
    for (const key of keys) this.#leaving.delete(key);
    this.#db.notifyMembers();
  }

  /** What became of a failed try is unknown: it is made again, and nothing comes back before. */
  async #tryToLetGo(keys: ShardKey[]): Promise<boolean> {
    const { leases, leaseVersions } = this.#db;
    const claimed = keys.map((key) => this.#versions.get(leaseKey(key)));
    try {
      await this.#connection.submit(`let go ${keys.map(leaseKey).join(" ")}`, () => {
        for (const [index, key] of keys.map(leaseKey).entries())
          if (leases.get(key) === this.epoch && leaseVersions.get(key) === claimed[index]) leases.delete(key);
      });
      return true;
    } catch {
      await new Promise<void>((resolve) => this.#db.turns.after(this.#host, RECONNECT_MS, resolve));
      return false;
    }
  }

  async retire(): Promise<void> {
    this.#isRetired = true;
    await this.#connection.submit("retire", () => {
      this.#row.isLeaving = true;
    });
    this.#db.notifyMembers();
  }

  async leave(): Promise<void> {
    this.#isOver = true;
    this.#cancelBeat?.();
    await this.#looking;
    await this.#db.turns.turn(this.#host, "leave");
    this.#db.processes.delete(this.epoch);
    this.#db.notifyMembers();
  }

  get #leaseMs(): number {
    return this.#options.leaseMs ?? DEFAULT_LEASE_MS;
  }

  /** Looks at who is there and who holds what; again, when something happens meanwhile. */
  #look(): Promise<void> {
    this.#mustLookAgain = true;
    this.#looking ??= this.#lookUntilQuiet().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookUntilQuiet(): Promise<void> {
    while (this.#mustLookAgain && !this.#isOver) {
      this.#mustLookAgain = false;
      await this.#lookOnce();
    }
  }

  async #lookOnce(): Promise<void> {
    const { turns, processes } = this.#db;
    await turns.turn(this.#host, "look");
    await this.#endWhoIsGone();
    if (!processes.has(this.epoch)) return this.#lose();
    const { due, wanted, own } = this.#share();
    this.#learnVersions(own);
    const { isEmpty } = this.#leaving;
    const letGoCount = this.#letGoCount;
    if (this.#isRetired) return;
    if (due.length > 0) await turns.turn(this.#host, "claim");
    const claimed = due.filter((key) => this.#claim(key));
    const isAnswerLost = claimed.length > 0 && this.#db.faults.isReadLost();
    turns.note?.(
      this.#host,
      `claimed ${claimed.map(leaseKey).join(" ")} wanted ${wanted.map(leaseKey).join(" ")}`,
    );
    if (claimed.length > 0) await turns.turn(this.#host, "claimed");
    if (this.#isOver) return;
    // What was claimed by a try whose answer was lost; what is being let go meanwhile looks the same.
    const stranded = isEmpty && letGoCount === this.#letGoCount ? own : [];
    const gained = isAnswerLost ? [] : [...claimed, ...stranded];
    this.#learnVersions(gained);
    const fresh = gained.filter(({ gateway, shard }) => !this.#held.has(gateway, shard));
    for (const key of fresh) this.#held.add(key);
    const held = wanted.filter(({ gateway, shard }) => this.#held.has(gateway, shard));
    if (fresh.length + held.length > 0) this.#onShards?.({ gained: fresh, wanted: held });
  }

  /** Waits for their transactions under way, which hold their rows. */
  async #endWhoIsGone(): Promise<void> {
    const { processes, turns, transactions } = this.#db;
    const gone = [...processes.values()].filter((row) => this.#isGone(row));
    for (const row of gone) {
      const waits = Promise.withResolvers<void>();
      const isHeld = transactions.waits([rightOf(row.id)], () =>
        turns.later(this.#host, "look", waits.resolve),
      );
      if (isHeld) await waits.promise;
      // It may have given a sign of life meanwhile.
      if (!this.#isGone(row)) continue;
      processes.delete(row.id);
      this.#db.expelled.add(row.id);
    }
    if (gone.length > 0) this.#db.notifyMembers();
  }

  #isGone({ id, host, expiresAt }: ProcessRow): boolean {
    return id !== this.epoch && (host.state === "dead" || expiresAt < this.#db.turns.now());
  }

  /** What is free and its due; what it holds and is another's due. */
  #share(): { due: ShardKey[]; wanted: ShardKey[]; own: ShardKey[] } {
    const due: ShardKey[] = [];
    const wanted: ShardKey[] = [];
    const own: ShardKey[] = [];
    const { gateways, exclusiveGateways = [] } = this.#options;
    for (const gateway of [null, ...gateways]) {
      const runners = [...this.#db.processes.values()].filter(
        (row) => !row.isLeaving && (gateway === null || row.gateways.includes(gateway)),
      );
      const assigned = assignedTo(runners.map(({ id }) => id));
      for (const [shard, owner] of assigned.entries()) {
        const holder = this.#holderOf({ gateway, shard });
        const isLeaving = this.#leaving.has(gateway, shard);
        if (owner === this.epoch && holder === undefined && !isLeaving) due.push({ gateway, shard });
        if (holder === this.epoch) own.push({ gateway, shard });
        if (owner !== this.epoch && holder === this.epoch) wanted.push({ gateway, shard });
      }
    }
    for (const gateway of exclusiveGateways) {
      const listener = { gateway, shard: LISTENER_SHARD };
      const holder = this.#holderOf(listener);
      if (holder === undefined && !this.#leaving.has(gateway, LISTENER_SHARD)) due.push(listener);
      if (holder === this.epoch) own.push(listener);
    }
    return { due, wanted, own };
  }

  #holderOf(key: ShardKey): number | undefined {
    const holder = this.#db.leases.get(leaseKey(key));
    return holder !== undefined && this.#db.processes.has(holder) ? holder : undefined;
  }

  #claim(key: ShardKey): boolean {
    if (!this.#db.processes.has(this.epoch) || this.#holderOf(key) !== undefined) return false;
    this.#db.leases.set(leaseKey(key), this.epoch);
    this.#db.leaseVersions.set(leaseKey(key), (this.#db.leaseVersions.get(leaseKey(key)) ?? 0) + 1);
    return true;
  }

  #learnVersions(keys: ShardKey[]): void {
    for (const key of keys.map(leaseKey)) this.#versions.set(key, this.#db.leaseVersions.get(key));
  }

  #beatLater(): void {
    if (this.#isOver) return;
    this.#cancelBeat = this.#db.turns.after(this.#host, this.#leaseMs / BEATS_PER_LEASE, () => this.#beat());
  }

  #beat(): void {
    if (this.#db.processes.has(this.epoch)) {
      this.#row.expiresAt = this.#db.turns.now() + this.#leaseMs;
      void this.#look();
    } else this.#lose();
    this.#beatLater();
  }

  #lose(): void {
    if (!this.#isOver) this.#lost.resolve(leaseLost(MEMORY_LOCATION));
  }
}

/** What was worked out before, by who takes part: it is asked for at every look. */
const assignments = new Map<string, number[]>();

function assignedTo(processIds: number[]): number[] {
  const key = processIds.join();
  const assigned = assignments.get(key) ?? assignShards(processIds, SHARD_COUNT);
  assignments.set(key, assigned);
  return assigned;
}
