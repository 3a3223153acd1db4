/**
 * Several processes on one PostgreSQL database: who they are, and which shards each of them holds. The shard of a
 * message's thread is stored with it, so that the database can tell whose it is.
 */
import { type Kysely, sql } from "kysely";
import { shardOf, threadKey } from "../../core/shards.ts";
import type { MigrationContext } from "./index.ts";

export async function up(db: Kysely<unknown>, { dialect }: MigrationContext): Promise<void> {
  await db.schema
    .alterTable("conversations")
    .addColumn("shard", "smallint", (column) => column.notNull().defaultTo(0))
    .execute();
  await giveShards(db);
  // Who wants an open message ended: kept, so that a crash between the wish and the end does not run it.
  await db.schema.alterTable("inbox").addColumn("stopped_by", "text").execute();
  if (dialect === "sqlite") return;

  await db.schema
    .createTable("processes")
    .addColumn("id", "integer", (column) => column.primaryKey().generatedAlwaysAsIdentity())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("host", "text", (column) => column.notNull())
    .addColumn("pid", "integer", (column) => column.notNull())
    .addColumn("workers", "text", (column) => column.notNull())
    .addColumn("gateway_ids", sql`bigint[]`, (column) => column.notNull())
    .addColumn("joined_at", "bigint", (column) => column.notNull())
    // By the server's clock, like nothing else in these tables: the machines' clocks may differ.
    .addColumn("expires_at", "timestamptz", (column) => column.notNull())
    .addColumn("has_session", "smallint", (column) => column.notNull().defaultTo(0))
    .addColumn("is_leaving", "smallint", (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .createTable("shard_leases")
    .addColumn("gateway_id", "bigint", (column) => column.notNull())
    .addColumn("shard", "smallint", (column) => column.notNull())
    .addColumn("process_id", "integer", (column) => column.notNull())
    .addColumn("acquired_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("shard_leases_identity", ["gateway_id", "shard"])
    .execute();
  // An owner of the former kind, which had the whole database, writes nothing any more.
  await sql`update leases set epoch = epoch + 1, owner = 'a migration' where name = 'loop'`.execute(db);
}

interface Thread {
  id: number;
  gateway: string | null;
  gateway_channel_id: string;
  thread_ts: string;
}

/** Only what is open needs its shard; history keeps the default. */
async function giveShards(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<Thread>`select c.id, g.name as gateway, c.gateway_channel_id, c.thread_ts
    from conversations c left join gateways g on g.id = c.gateway_id
    where c.id in (select conversation_id from inbox) or c.id in (select e.conversation_id from process_events e
      join process_event_deliveries d on d.event_id = e.id where d.status <> 'done')`.execute(db);
  for (const { id, gateway, gateway_channel_id: channelId, thread_ts: threadTs } of rows) {
    const shard = shardOf(threadKey({ gateway, channelId, threadTs }));
    await sql`update conversations set shard = ${shard} where id = ${id}`.execute(db);
  }
}
