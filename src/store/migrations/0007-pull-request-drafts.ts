/** Whether a pull request of the local forge is a draft. Null: opened by a program that does not keep it; its text says so. */
import type { Kysely } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("pull_requests").addColumn("is_draft", "smallint").execute();
}
