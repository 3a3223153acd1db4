/**
 * One process's part in a cluster: it joins with a row in `processes`, gives a sign of life now and then, takes
 * the shards that are its due, offers those that are another's, and takes part in finding out who is gone. All of
 * it is event-driven (`NOTIFY`, a lock that comes free); each sign of life looks at everything anew, in case an
 * event was lost.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Client, Pool } from "pg";
import { RobsonError } from "../../core/errors.ts";
import { type ShardKey, ShardSet } from "../../core/shards.ts";
import type { OwnOptions, ShardChange, WokenFor } from "../../core/store.ts";
import { leaseLost } from "../owner-errors.ts";
import { toStoreError } from "./errors.ts";
import { PeerWatch } from "./peer-watch.ts";
import { endPeers, judge, type Peer, RECONNECT_MS, readPeers } from "./peers.ts";
import { MEMBERS_CHANNEL, Session } from "./session.ts";
import { ShardLeases } from "./shard-leases.ts";
import { readCalls, WAKE_CHANNEL } from "./wake-calls.ts";

export interface JoinOptions extends Required<OwnOptions> {
  url: string;
  location: string;
  pool: Pool;
}

/** Signs of life in one lease. */
const BEATS_PER_LEASE = 3;
/** What a process says to itself: it arrives unless a pooler stands in between that lets nothing through. */
const HELLO = "hello ";

export class Membership {
  readonly #options: JoinOptions;
  readonly #leases: ShardLeases;
  readonly #watch: PeerWatch;
  readonly #held = new ShardSet();
  readonly #leaving = new ShardSet();
  #letGoCount = 0;
  readonly #hello = HELLO + randomUUID();
  readonly #wakeCallbacks: ((wokenFor: WokenFor) => void)[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #lost = Promise.withResolvers<Error>();
  #session!: Session;
  #suspects: ReadonlySet<number> = new Set();
  /** When this process was found to have been frozen itself, by `performance.now`. */
  #lateAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #mustLookAgain = false;
  #isRetired = false;
  #isOver = false;
  #onShards: ((change: ShardChange) => void) | undefined;
  #onReach: ((error: unknown) => void) | undefined;

  /** Resolves as a member that holds what is free of its due. Throws `WORKERS_DIFFER`. */
  static async join(options: JoinOptions): Promise<Membership> {
    const gatewayIds = await registerGateways(options);
    const membership = new Membership(options, gatewayIds);
    membership.#session = await Session.open(
      {
        url: options.url,
        timeoutMs: options.leaseMs,
        channels: [WAKE_CHANNEL],
        onNotification: (channel, payload) => membership.#onNotification(channel, payload),
        onReconnected: () => membership.#onReconnected(),
      },
      (client) => register(client, { ...options, gatewayIds: [...gatewayIds.values()] }),
    );
    try {
      await membership.#lookForTheFirstTime();
      await membership.#notifyMembers();
    } catch (error) {
      await membership.leave();
      throw error;
    }
    void membership.#sayHello();
    membership.#beatLater();
    return membership;
  }

  private constructor(options: JoinOptions, gatewayIds: Map<string, number>) {
    this.#options = options;
    this.#leases = new ShardLeases({ ...options, gatewayIds });
    this.#watch = new PeerWatch({ ...options, onGone: () => void this.#look() });
  }

  /** Names its right to write. */
  get processId(): number {
    return this.#session.processId;
  }

  get gatewayIds(): ReadonlyMap<string, number> {
    return this.#leases.gatewayIds;
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

  onReach(callback: (error: unknown) => void): void {
    this.#onReach = callback;
  }

  /** Gives shards up, and says so to the others. Once begun it is gone through with: see `#tryToLetGo`. */
  async letGo(keys: ShardKey[]): Promise<void> {
    for (const key of keys) {
      this.#held.delete(key);
      this.#leaving.add(key);
    }
    this.#letGoCount += 1;
    while (!(await this.#tryToLetGo(keys)))
      await new Promise((resolve) => this.#later(RECONNECT_MS, () => resolve(undefined)));
    for (const key of keys) this.#leaving.delete(key);
    await this.#notifyMembers();
  }

  /** From now on everything is the others' due. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    await this.#options.pool.query("update processes set is_leaving = 1 where id = $1", [this.processId]);
    await this.#notifyMembers();
  }

  /** Leaves the cluster; what it held is free. Never rejects: whoever cannot be told finds out. */
  async leave(): Promise<void> {
    this.#isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#watch.end();
    await this.#looking;
    await this.#options.pool
      .query("with gone as (delete from processes where id = $1) select pg_notify($2, '')", [
        this.processId,
        MEMBERS_CHANNEL,
      ])
      .catch(() => undefined);
    await this.#session.end();
  }

  /** A try that failed may have been carried out: another process may work on them, and they are not ours any more. */
  async #tryToLetGo(keys: ShardKey[]): Promise<boolean> {
    try {
      await this.#leases.letGo(this.processId, keys);
      return true;
    } catch (error) {
      if (this.#isOver) throw error;
      this.#onReach?.(toStoreError(error, this.#options.location));
      return false;
    }
  }

  async #lookForTheFirstTime(): Promise<void> {
    await this.#lookOnce();
    // Those who died without a word may have had other workers, and hold what is ours.
    if (this.#suspects.size > 0) {
      await new Promise((resolve) => this.#later(RECONNECT_MS, () => resolve(undefined)));
      await this.#lookOnce();
    }
    const other = (await readPeers(this.#options.pool)).find(
      ({ id, workers, lost_lock, is_expired }) =>
        id !== this.processId && !lost_lock && !is_expired && workers !== this.#options.workers,
    );
    if (!other) return;
    throw new RobsonError(
      "WORKERS_DIFFER",
      `Cannot work on ${this.#options.location} beside ${other.name}: it has other workers than this process`,
      { hint: "Give all processes the same version and configuration, or stop the others first" },
    );
  }

  /** Looks at who is there and who holds what; again, when something happens meanwhile. Never rejects. */
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
      try {
        await this.#lookOnce();
        this.#onReach?.(undefined);
      } catch (error) {
        this.#onReach?.(toStoreError(error, this.#options.location));
      }
    }
  }

  async #lookOnce(): Promise<void> {
    const peers = await this.#endWhoIsGone(await readPeers(this.#options.pool));
    if (!peers.some(({ id }) => id === this.processId)) return this.#lose();
    this.#watch.watch(nextAfter(this.processId, peers));
    const letGoCount = this.#leaving.isEmpty ? this.#letGoCount : undefined;
    const { due, wanted, own } = await this.#leases.read(this.processId, peers);
    if (this.#isRetired) return;
    const free = due.filter(({ gateway, shard }) => !this.#leaving.has(gateway, shard));
    const claimed =
      free.length > 0
        ? await this.#leases.claim(this.processId, { keys: free, now: this.#options.clock.now() })
        : [];
    if (this.#isOver) return;
    // Ours without our knowing: the answer to a claim was lost. What is being let go meanwhile looks the same.
    const stranded = letGoCount === this.#letGoCount ? own : [];
    const gained = [...claimed, ...stranded];
    const fresh = gained.filter(({ gateway, shard }) => !this.#held.has(gateway, shard));
    for (const key of fresh) this.#held.add(key);
    const held = wanted.filter(({ gateway, shard }) => this.#held.has(gateway, shard));
    if (fresh.length + held.length > 0) this.#onShards?.({ gained: fresh, wanted: held });
  }

  /** The peers without those that are gone for certain. */
  async #endWhoIsGone(peers: Peer[]): Promise<Peer[]> {
    const { pool, leaseMs } = this.#options;
    const others = peers.filter(({ id }) => id !== this.processId);
    // Who slept himself judges nobody by the time: the others may have slept with him, and are about to wake up.
    if (peers.some(({ id, is_expired }) => id === this.processId && is_expired))
      this.#lateAt = performance.now();
    const settledMs = Math.min(this.#session.settledMs, performance.now() - this.#lateAt);
    const verdict = await judge(pool, others, { settledMs, leaseMs, suspects: this.#suspects });
    this.#suspects = new Set(verdict.suspects);
    if (this.#suspects.size > 0) this.#later(RECONNECT_MS, () => void this.#look());
    if (verdict.gone.length === 0) return peers;
    const ended = await endPeers(pool, verdict.gone);
    if (ended.length > 0) await this.#notifyMembers();
    return peers.filter(({ id }) => !ended.includes(id));
  }

  #onNotification(channel: string, payload: string): void {
    if (this.#isOver) return;
    if (channel === MEMBERS_CHANNEL) {
      void this.#look();
      // Who has died may have written for this process, and not have said so.
      this.#wake("messages");
    } else if (payload === this.#hello) void this.#hearHello();
    else if (!payload.startsWith(HELLO)) this.#hearCall(payload);
  }

  #hearCall(payload: string): void {
    const wokenFor = readCalls(payload, (gatewayId, shard) => {
      const gateway = this.#leases.nameOf(gatewayId);
      return gateway !== undefined && this.#held.has(gateway, shard);
    });
    if (wokenFor) this.#wake(wokenFor);
  }

  #onReconnected(): void {
    void this.#look();
    this.#wake("all");
  }

  #wake(wokenFor: WokenFor): void {
    for (const callback of this.#wakeCallbacks) callback(wokenFor);
  }

  async #sayHello(): Promise<void> {
    await this.#options.pool
      .query("select pg_notify($1, $2)", [WAKE_CHANNEL, this.#hello])
      .catch(() => undefined);
  }

  /** What this connection is told arrives: so its lock is its own too, and others may judge by it. */
  async #hearHello(): Promise<void> {
    await this.#options.pool
      .query("update processes set has_session = 1 where id = $1", [this.processId])
      .catch(() => undefined);
    // So that one of them watches it.
    await this.#notifyMembers();
  }

  #beatLater(): void {
    this.#later(this.#options.leaseMs / BEATS_PER_LEASE, () => void this.#beat());
  }

  async #beat(): Promise<void> {
    const { leaseMs } = this.#options;
    try {
      const [row] = await this.#session.query<{ was_late: boolean }>(
        `with former as (select expires_at from processes where id = $1)
         update processes set expires_at = now() + $2 * interval '1 millisecond' where id = $1
         returning (select expires_at < now() from former) as was_late`,
        [this.processId, leaseMs],
      );
      if (row?.was_late) this.#lateAt = performance.now();
      if (!row) this.#lose();
      else await this.#look();
    } catch (error) {
      this.#onReach?.(toStoreError(error, this.#options.location));
    }
    if (!this.#isOver) this.#beatLater();
  }

  #lose(): void {
    if (!this.#isOver) this.#lost.resolve(leaseLost(this.#options.location));
  }

  async #notifyMembers(): Promise<void> {
    // One that is lost is made good by the next sign of life.
    await this.#options.pool.query(`notify ${MEMBERS_CHANNEL}`).catch(() => undefined);
  }

  #later(waitMs: number, callback: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, waitMs);
    timer.unref();
    this.#timers.add(timer);
  }
}

/** The next one in the ring of all processes whose lock says that they live; undefined for who is alone. */
function nextAfter(processId: number, peers: Peer[]): number | undefined {
  const others = peers.filter(({ id, has_session }) => id !== processId && has_session).map(({ id }) => id);
  return others.find((id) => id > processId) ?? others[0];
}

/** In one order for all: two processes that start at the same moment would wait for each other. */
async function registerGateways({ pool, gateways, now }: JoinOptions): Promise<Map<string, number>> {
  await pool.query(
    `insert into gateways (name, created_at) select name, $2 from unnest($1::text[]) as x (name) order by name
     on conflict do nothing`,
    [gateways, now],
  );
  const { rows } = await pool.query<{ id: number; name: string }>(
    "select id, name from gateways where name = any ($1::text[])",
    [gateways],
  );
  return new Map(rows.map(({ id, name }) => [name, id]));
}

async function register(
  client: Client,
  { owner, workers, gatewayIds, leaseMs, now }: JoinOptions & { gatewayIds: number[] },
): Promise<number> {
  const { rows } = await client.query<{ id: number }>(
    `insert into processes (name, host, pid, workers, gateway_ids, joined_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 millisecond') returning id`,
    [owner, hostname(), process.pid, workers, gatewayIds, now, leaseMs],
  );
  return Number(rows[0]?.id);
}
