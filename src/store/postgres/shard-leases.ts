/**
 * Who holds which shard of which gateway: a row of `shard_leases` for each, worth as much as the process that it
 * names is alive. A shard is taken only when it is free, and given up only by its holder.
 */
import type { Pool, QueryResult, QueryResultRow } from "pg";
import { LISTENER_SHARD, SHARD_COUNT, type ShardKey } from "../../core/shards.ts";
import { assignShards } from "./assignment.ts";
import type { Peer } from "./peers.ts";
import { repeating } from "./repeat.ts";
import { NO_GATEWAY } from "./way-lists.ts";

export interface ShardLeasesOptions {
  pool: Pool;
  gatewayIds: ReadonlyMap<string, number>;
  exclusiveGateways: string[];
}

interface LeaseRow {
  gateway_id: number;
  shard: number;
  process_id: number;
  /** Another one each time that the shard is claimed. */
  version: string;
}

export class ShardLeases {
  readonly gatewayIds: ReadonlyMap<string, number>;
  readonly #pool: Pool;
  readonly #exclusive: ReadonlySet<string>;
  readonly #names: ReadonlyMap<number, string | null>;
  /** Of the rows that are this process's. */
  readonly #versions = new Map<string, string>();

  constructor({ pool, gatewayIds, exclusiveGateways }: ShardLeasesOptions) {
    this.#pool = pool;
    this.gatewayIds = gatewayIds;
    this.#exclusive = new Set(exclusiveGateways);
    this.#names = new Map<number, string | null>([
      [NO_GATEWAY, null],
      ...[...gatewayIds].map(([name, id]): [number, string] => [id, name]),
    ]);
  }

  /** What is free and the process's due; what it holds and is another's due; all that it holds. */
  async read(
    processId: number,
    peers: Peer[],
  ): Promise<{ due: ShardKey[]; wanted: ShardKey[]; own: ShardKey[] }> {
    const { rows } = await this.#pool.query<LeaseRow>(
      "select gateway_id, shard, process_id, xmin::text as version from shard_leases",
    );
    for (const row of rows) if (row.process_id === processId) this.#versions.set(leaseKey(row), row.version);
    const alive = new Set(peers.map(({ id }) => id));
    const holders = new Map(
      rows.filter(({ process_id }) => alive.has(process_id)).map((row) => [leaseKey(row), row.process_id]),
    );
    const due: ShardKey[] = [];
    const wanted: ShardKey[] = [];
    const own: ShardKey[] = [];
    for (const [gatewayId, gateway] of this.#names) {
      const runners = peers.filter(
        ({ gateway_ids, is_leaving }) => !is_leaving && (gateway === null || gateway_ids.includes(gatewayId)),
      );
      const assigned = assignShards(
        runners.map(({ id }) => id),
        SHARD_COUNT,
      );
      for (const [shard, owner] of assigned.entries()) {
        const holder = holders.get(leaseKey({ gateway_id: gatewayId, shard }));
        if (owner === processId && holder === undefined) due.push({ gateway, shard });
        if (owner !== processId && holder === processId) wanted.push({ gateway, shard });
        if (holder === processId) own.push({ gateway, shard });
      }
      // Who listens goes on listening: there is nothing to be shared out.
      const listener = { gateway_id: gatewayId, shard: LISTENER_SHARD };
      if (holders.get(leaseKey(listener)) === processId) own.push({ gateway, shard: LISTENER_SHARD });
      if (gateway !== null && this.#exclusive.has(gateway) && !holders.has(leaseKey(listener)))
        due.push({ gateway, shard: LISTENER_SHARD });
    }
    return { due, wanted, own };
  }

  /** Takes those of them that are free, at the instant `now`; resolves with these. */
  async claim(processId: number, { keys, now }: { keys: ShardKey[]; now: number }): Promise<ShardKey[]> {
    const { rows } = await this.#write<Omit<LeaseRow, "process_id">>(
      `insert into shard_leases (gateway_id, shard, process_id, acquired_at)
       select x.gateway_id, x.shard, $1, $4 from unnest($2::int8[], $3::int2[]) as x (gateway_id, shard)
       where exists (select from processes where id = $1 for key share) order by 1, 2
       on conflict (gateway_id, shard) do update set process_id = excluded.process_id,
         acquired_at = excluded.acquired_at
       where not exists (select from processes p where p.id = shard_leases.process_id)
       returning gateway_id, shard, xmin::text as version`,
      [processId, ...this.#columns(keys), now],
    );
    for (const row of rows) this.#versions.set(leaseKey(row), row.version);
    return rows.map(({ gateway_id, shard }) => ({ gateway: this.#names.get(gateway_id) ?? null, shard }));
  }

  /**
   * Each as it was claimed: carried out late by the server, its connection long gone, it frees no shard that the process
   * has claimed again since.
   */
  async letGo(processId: number, keys: ShardKey[]): Promise<void> {
    const [gatewayIds, shards] = this.#columns(keys);
    const versions = gatewayIds.map((gateway_id, index) =>
      this.#versions.get(leaseKey({ gateway_id, shard: shards[index] ?? 0 })),
    );
    await this.#write(
      `delete from shard_leases l using unnest($2::int8[], $3::int2[], $4::text[]) as x (gateway_id, shard, version)
       where l.gateway_id = x.gateway_id and l.shard = x.shard and l.process_id = $1 and l.xmin::text = x.version`,
      [processId, gatewayIds, shards, versions],
    );
  }

  /** Null stands for the messages of no gateway; undefined: this process does not run it. */
  nameOf(gatewayId: number): string | null | undefined {
    return this.#names.get(gatewayId);
  }

  /** Others lock the same leases, in another order perhaps. */
  #write<Row extends QueryResultRow>(text: string, values: unknown[]): Promise<QueryResult<Row>> {
    return repeating(() => this.#pool.query<Row>(text, values));
  }

  #columns(keys: ShardKey[]): [number[], number[]] {
    const idOf = (gateway: string | null) =>
      gateway === null ? NO_GATEWAY : Number(this.gatewayIds.get(gateway));
    return [keys.map(({ gateway }) => idOf(gateway)), keys.map(({ shard }) => shard)];
  }
}

function leaseKey({ gateway_id, shard }: { gateway_id: number; shard: number }): string {
  return `${gateway_id}:${shard}`;
}
