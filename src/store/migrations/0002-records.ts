/** What `robson why` reads: who emitted an event, which attempts failed; which threads had a hint; interruptions. */
import { type ColumnDataType, type Kysely, sql } from "kysely";
import type { MigrationContext } from "./index.ts";

export async function up(db: Kysely<unknown>, { dialect }: MigrationContext): Promise<void> {
  const instant: ColumnDataType = dialect === "sqlite" ? "integer" : "bigint";

  await db.schema.alterTable("process_events").addColumn("worker", "text").execute();

  // How many of the attempts ended with the process: not the message's fault, as far as one knows.
  await db.schema
    .alterTable("inbox")
    .addColumn("interruptions", "integer", (column) => column.notNull().defaultTo(0))
    .execute();

  await db.schema
    .alterTable("process_event_deliveries")
    .addColumn("interruptions", "integer", (column) => column.notNull().defaultTo(0))
    .execute();

  // Only attempts that failed: one that succeeded shows in what it left behind.
  const failures = db.schema.createTable("failed_attempts");
  await (dialect === "sqlite"
    ? failures.addColumn("id", "integer", (column) => column.primaryKey())
    : failures.addColumn("id", "bigint", (column) => column.primaryKey().generatedAlwaysAsIdentity())
  )
    .addColumn("conversation_id", instant, (column) => column.notNull())
    .addColumn("event_id", instant)
    .addColumn("gateway", "text")
    .addColumn("target", "text")
    .addColumn("worker", "text")
    .addColumn("attempt", "integer", (column) => column.notNull())
    .addColumn("error", "text", (column) => column.notNull())
    .addColumn("failed_at", instant, (column) => column.notNull())
    .addColumn("next_at", instant)
    .execute();
  await sql`create index failed_attempts_conversation on failed_attempts (conversation_id, id)`.execute(db);

  await db.schema
    .createTable("hinted_threads")
    .addColumn("thread_key", "text", (column) => column.primaryKey())
    .addColumn("hinted_at", instant, (column) => column.notNull())
    .execute();
}
