/**
 * The rounds of a message, which begin each time that a person has it tried again. A run's message has no row in `inbox`
 * once it has ended, so the run keeps its latest: none of them comes a second time.
 */
import { type CompiledQuery, type RawBuilder, sql } from "kysely";
import type { Sql } from "./sql.ts";

/** Of a message that has a row in `inbox`, or a run. */
export function lastRoundOf(conversationId: number): RawBuilder<number> {
  return sql<number>`(select coalesce(max(round), 0) from (
    select round from inbox where conversation_id = ${conversationId}
    union all select message_round from runs where conversation_id = ${conversationId}) rounds)`;
}

/** For behind the write that begins one, in its transaction. */
export function keepRound({ read }: Sql, conversationId: number): CompiledQuery {
  return sql`update runs set message_round = ${lastRoundOf(conversationId)}
    where conversation_id = ${conversationId}`.compile(read);
}
