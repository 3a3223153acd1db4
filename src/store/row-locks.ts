/**
 * The order in which the cold queries lock rows of the way, on PostgreSQL: by what names them. So two of them never
 * wait for each other; a batch of the writer has its own order, and whichever of them is ended is written again.
 */
import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { Sql } from "./sql.ts";

/** SQLite has one writer, and no locks of rows. */
export function lockMessages({ read, dialect }: Sql, which: RawBuilder<unknown>): CompiledQuery[] {
  if (dialect === "sqlite") return [];
  return [sql`select 1 from inbox where ${which} order by conversation_id for update`.compile(read)];
}

export function lockDeliveries({ read, dialect }: Sql, which: RawBuilder<unknown>): CompiledQuery[] {
  if (dialect === "sqlite") return [];
  return [
    sql`select 1 from process_event_deliveries where ${which}
      order by event_id, gateway_id, target for update`.compile(read),
  ];
}
