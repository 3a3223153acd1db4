/**
 * How often a person has had a message, or a delivery, tried again after its end. A write of an earlier round, made
 * again or carried out late, changes nothing of a later one. 0 as well: tried again by a program that does not count it.
 */
import type { Kysely } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  const columns = { inbox: "round", process_event_deliveries: "round", runs: "message_round" };
  for (const [table, name] of Object.entries(columns)) {
    await db.schema
      .alterTable(table)
      .addColumn(name, "integer", (column) => column.notNull().defaultTo(0))
      .execute();
  }
}
