/**
 * Which process holds what, for an operator: on PostgreSQL by the shards, on SQLite the one owner of the file. A row
 * stays for a while after its process has ended: who of them lives is told by `Store.currentOwners`.
 */
import { sql } from "kysely";
import type { Holder, ProcessRecord } from "../core/operator-records.ts";
import { LISTENER_SHARD } from "../core/shards.ts";
import type { Sql } from "./sql.ts";

/** Who holds the threads of a shard of a gateway. */
export async function holderOf(
  { dialect, read }: Sql,
  { gateway_id, shard }: { gateway_id: number | null; shard: number },
): Promise<Holder | null> {
  if (dialect === "sqlite") return ownerOfFile({ dialect, read });
  const row = await read
    .selectFrom("shard_leases as l")
    .innerJoin("processes as p", "p.id", "l.process_id")
    .select(["p.name as process", "l.acquired_at as since"])
    .where("l.gateway_id", "=", gateway_id ?? 0)
    .where("l.shard", "=", shard)
    .executeTakeFirst();
  return row ?? null;
}

export async function processes({ dialect, read }: Pick<Sql, "dialect" | "read">): Promise<ProcessRecord[]> {
  if (dialect === "sqlite") {
    const owner = await ownerOfFile({ dialect, read });
    return owner ? [{ ...owner, gateways: [] }] : [];
  }
  const rows = await read
    .selectFrom("processes")
    .select(["id", "name", "joined_at", "gateway_ids"])
    .orderBy("id")
    .execute();
  const known = await read.selectFrom("gateways").select(["id", "name"]).orderBy("name").execute();
  const held = await read
    .selectFrom("shard_leases as l")
    .innerJoin("processes as p", "p.id", "l.process_id")
    .select(["l.process_id", "l.gateway_id"])
    .select(sql<number>`sum(case when l.shard = ${LISTENER_SHARD} then 0 else 1 end)`.as("shards"))
    .select(sql<number>`sum(case when l.shard = ${LISTENER_SHARD} then 1 else 0 end)`.as("listening"))
    .groupBy(["l.process_id", "l.gateway_id"])
    .execute();
  const isExclusive = (gatewayId: number) =>
    held.some(({ gateway_id, listening }) => gateway_id === gatewayId && Number(listening) > 0);
  return rows.map(({ id, name, joined_at, gateway_ids }) => ({
    process: name,
    since: joined_at,
    gateways: known
      .filter((gateway) => gateway_ids.includes(gateway.id))
      .map((gateway) => {
        const own = held.find(({ process_id, gateway_id }) => process_id === id && gateway_id === gateway.id);
        const isListening = isExclusive(gateway.id) ? Number(own?.listening ?? 0) > 0 : null;
        return { gateway: gateway.name, shards: Number(own?.shards ?? 0), isListening };
      }),
  }));
}

async function ownerOfFile({ read }: Pick<Sql, "dialect" | "read">): Promise<Holder | null> {
  const lease = await read
    .selectFrom("leases")
    .select(["owner as process", "acquired_at as since"])
    .where("name", "=", "loop")
    .executeTakeFirst();
  return lease ?? null;
}
