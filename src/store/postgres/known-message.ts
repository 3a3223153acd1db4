/**
 * A message that was stored before, found by its idempotency key. Its owner perhaps does not know of it: the statement
 * that stored it was carried out long after the connection was gone, and the owner, told that it had failed, told the
 * sender to send again. Whoever gets that copy in another process has the owner take it, before it is acknowledged.
 */
import type { Pool, PoolClient } from "pg";
import type { NewMessage } from "../../core/store.ts";
import { OPEN } from "./open-pages.ts";

export interface KnownMessage {
  conversationId: number;
  /** See `AcceptedByOwner`; as it was found. */
  isWithOwner: boolean;
}

export interface Copy {
  message: NewMessage;
  gatewayId: number | null;
  /** Whether another process owns its thread. */
  isForOther: boolean;
}

const BY_KEY = `select c.id, coalesce(i.${OPEN} and i.is_unowned = 0, false) as is_with_owner
  from conversations c left join inbox i on i.conversation_id = c.id
  where coalesce(c.gateway_id, 0) = coalesce($1::int8, 0) and c.idempotency_key = $2`;

/** What has ended, or waits, is nobody's to take. */
const TO_BE_TAKEN = `update inbox set is_unowned = 1 where conversation_id = $1 and ${OPEN} and is_unowned = 0`;

/** It happens only after a crash, or for a repeated message. The owner has to be woken by whoever calls. */
export async function findKnown(
  db: Pool | Pick<PoolClient, "query">,
  { message, gatewayId, isForOther }: Copy,
): Promise<KnownMessage> {
  const query: PoolClient["query"] = db.query.bind(db);
  const { rows } = await query<{ id: number; is_with_owner: boolean }>(BY_KEY, [
    gatewayId,
    message.idempotencyKey,
  ]);
  const { id, is_with_owner: isWithOwner = false } = rows[0] ?? {};
  if (isForOther && isWithOwner) await query(TO_BE_TAKEN, [id]);
  return { conversationId: Number(id), isWithOwner };
}
