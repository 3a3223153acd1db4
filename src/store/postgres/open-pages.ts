/**
 * Reading the open work of a process's shards, page by page in the order of the ids. A page costs what it brings, however
 * much is open: what the server knows of these tables is old (they fill and empty within seconds), and by it, it would
 * rather read and sort all that is open for each page. So it is told not to sort, and looks a row's lease up by itself.
 */
import type { Pool, QueryResult } from "pg";
import type { Page, StoredDelivery, StoredMessage } from "../../core/store.ts";
import {
  type DeliveryRow,
  type MessageRow,
  RUN_COLUMNS,
  toStoredDelivery,
  toStoredMessage,
} from "../rows.ts";
import { toStoreError } from "./errors.ts";

export const MESSAGE_COLUMNS = `c.*, g.name as gateway, i.status, i.attempts, i.interruptions, i.next_attempt_at, i.last_error,
  i.stopped_by, i.round, ${RUN_COLUMNS}`;
export const OPEN = "status in ('pending', 'claimed')";
const RUN = "left join runs r on r.conversation_id = c.id";

/** Of a table's row that is known by its id, looked up for each row before it: joined, the server could begin with it, and read all of the past. */
const lookUp = (table: string, as: string, id: string) =>
  `cross join lateral (select * from ${table} where id = ${id} offset 0) ${as}`;
/** Whether the shard is that of the process `$1`. */
const isMine = (gatewayId: string) =>
  `(select l.process_id from shard_leases l where l.gateway_id = ${gatewayId} and l.shard = c.shard) = $1`;

/** The rows of messages that are open and ours; the condition goes on. */
export const OUR_MESSAGES = `from inbox i ${lookUp("conversations", "c", "i.conversation_id")}
  left join gateways g on g.id = c.gateway_id ${RUN} where i.${OPEN} and ${isMine("coalesce(c.gateway_id, 0)")}`;
const OF_DELIVERIES = `process_event_deliveries d ${lookUp("process_events", "e", "d.event_id")}
  ${lookUp("conversations", "c", "e.conversation_id")}`;
const IS_OUR_DELIVERY = `d.${OPEN} and ${isMine("d.gateway_id")}`;

const ANY_BYTES = Number.MAX_SAFE_INTEGER;
/** How much text stands before a row in its page, of which `$4` bytes are enough; the server reads no text for it. */
const bytesBefore = (id: string, content: string) =>
  `sum(octet_length(${content})) over (order by ${id}) - octet_length(${content}) as bytes_before`;

export const OPEN_MESSAGES = `select * from (select m.*, ${bytesBefore("m.id", "m.content")} from (
    select ${MESSAGE_COLUMNS}, i.is_unowned as is_to_be_taken ${OUR_MESSAGES} and i.conversation_id > $2
    order by i.conversation_id limit $3) m) page where bytes_before < $4 order by id`;

/** Its rows come in any order. */
export const OPEN_DELIVERIES = `select d.*, g.name as gateway, e.kind, e.content, e.created_at, e.conversation_id,
    c.gateway_channel_id, c.thread_ts, c.user_id, o.name as origin_gateway
  from (select id from (select x.id, ${bytesBefore("x.id", "e.content")}
      from (select distinct d.event_id as id from ${OF_DELIVERIES}
        where ${IS_OUR_DELIVERY} and d.event_id > $2 order by d.event_id limit $3) x
      ${lookUp("process_events", "e", "x.id")}) page where bytes_before < $4) page
    cross join lateral (select * from process_event_deliveries where event_id = page.id and ${OPEN} offset 0) d
    ${lookUp("process_events", "e", "d.event_id")} ${lookUp("conversations", "c", "e.conversation_id")}
    join gateways g on g.id = d.gateway_id left join gateways o on o.id = c.gateway_id
  where ${isMine("d.gateway_id")}`;

interface PageRequest extends Page {
  pool: Pool;
  location: string;
  processId: number;
}

export async function readOpenMessages(request: PageRequest): Promise<StoredMessage[]> {
  return (await readPage<MessageRow>(OPEN_MESSAGES, request)).map(toStoredMessage);
}

export async function readOpenDeliveries(request: PageRequest): Promise<StoredDelivery[]> {
  const rows = await readPage<DeliveryRow>(OPEN_DELIVERIES, request);
  return rows.sort((a, b) => a.event_id - b.event_id).map(toStoredDelivery);
}

async function readPage<Row extends object>(text: string, request: PageRequest): Promise<Row[]> {
  try {
    const results: unknown = await request.pool.query(pageQuery(text, request));
    return (results as QueryResult<Row>[]).at(-1)?.rows ?? [];
  } catch (error) {
    throw toStoreError(error, request.location);
  }
}

/** The settings hold for this query alone, behind any pooler: statements that are sent as one text are one transaction. Such a text has no parameters. */
export function pageQuery(text: string, request: Omit<PageRequest, "pool" | "location">): string {
  const { processId, after, limit, maxBytes = ANY_BYTES } = request;
  const values = [processId, after, limit, maxBytes];
  return `${IN_ORDER}; ${text.replace(/\$(\d)/g, (_, number) => `${values[Number(number) - 1]}`)}`;
}

const IN_ORDER = `select ${["enable_sort", "enable_seqscan", "enable_hashjoin", "enable_mergejoin"]
  .map((setting) => `set_config('${setting}', 'off', true)`)
  .join(", ")}`;
