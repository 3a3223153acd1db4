/**
 * What the feed of events and the deliveries to subscribers need: on PostgreSQL, where ids are not in the order of
 * the commits, the transaction that stored an event; and for which subscriber a delivery was made.
 */
import { type ColumnDataType, type Kysely, sql } from "kysely";
import type { MigrationContext } from "./index.ts";

export async function up(db: Kysely<unknown>, { dialect }: MigrationContext): Promise<void> {
  const id: ColumnDataType = dialect === "sqlite" ? "integer" : "bigint";

  if (dialect === "postgres") {
    // In two steps: events that are there get 0, which comes before every transaction, and no row is rewritten.
    await sql`alter table process_events add column transaction_id bigint not null default 0`.execute(db);
    await sql`alter table process_events alter column transaction_id
      set default pg_current_xact_id()::text::bigint`.execute(db);
    await sql`create index process_events_transaction on process_events (transaction_id, id)`.execute(db);
  }
  await db.schema.alterTable("process_event_deliveries").addColumn("subscriber_id", id).execute();
  await sql`create index process_event_deliveries_subscriber on process_event_deliveries (subscriber_id)
    where subscriber_id is not null and status <> 'done'`.execute(db);
}
