/** What retention needs: whose round it is and how far it came, and an order by age where there was none. */
import { type ColumnDataType, type Kysely, sql } from "kysely";
import type { MigrationContext } from "./index.ts";

export async function up(db: Kysely<unknown>, { dialect }: MigrationContext): Promise<void> {
  const whole: ColumnDataType = dialect === "sqlite" ? "integer" : "bigint";

  await db.schema
    .createTable("retention")
    .addColumn("name", "text", (column) => column.primaryKey())
    .addColumn("epoch", whole, (column) => column.notNull())
    .addColumn("claimed_at", whole, (column) => column.notNull())
    .addColumn("removed_through", whole, (column) => column.notNull())
    .execute();
  await sql`insert into retention (name, epoch, claimed_at, removed_through) values ('round', 0, 0, 0)`.execute(
    db,
  );
  await sql`create index hinted_threads_age on hinted_threads (hinted_at)`.execute(db);
  await sql`create index rate_limits_age on rate_limits (window_started_at)`.execute(db);
}
