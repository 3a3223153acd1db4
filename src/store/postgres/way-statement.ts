/**
 * The statements that write a batch of a message's way on PostgreSQL: one statement, one round trip, one commit. Every
 * part of it names the epoch and does nothing when that is stale. There are a few of them, since planning, sending and
 * beginning a part costs even where there are no rows for it: the first that has all the lists of a batch is taken.
 */
import {
  ACCEPTANCES,
  DELIVERIES,
  DELIVERY_CHANGES,
  EVENTS,
  FAILURES,
  HINTS,
  INBOX_CHANGES,
  INBOX_ENDS,
  type List,
  SUBSCRIPTIONS,
} from "./way-lists.ts";

export interface WayStatement {
  name: string;
  text: string;
  /** In the order of the parameters: $1 is the epoch, then an array for each column of each list. */
  lists: readonly List[];
}

/** How many of the newest messages that wait for their owner are looked at: some may be of a gateway nobody runs. */
const LOOKED_AT = 20;

/** Of each list its rows as a table `x`, with their place in it from 1 as `position`. */
type Rows = (list: List) => string;

function wayStatement(name: string, lists: readonly List[]): WayStatement {
  const rows: Rows = (list) => {
    const before = lists.slice(0, lists.indexOf(list)).reduce((sum, { columns }) => sum + columns.length, 0);
    const parameters = list.columns.map(([, type], index) => `$${before + index + 2}::${type}[]`);
    const names = list.columns.map(([column]) => column);
    return `unnest(${parameters.join(", ")}) with ordinality as x (${names.join(", ")}, position)`;
  };
  const has = (list: List) => lists.includes(list);
  const parts = [LEASE, ...PARTS.filter(([list]) => has(list)).map(([, part]) => part(rows))];
  const results = [IS_OWNER, ...RESULTS.filter(([list]) => has(list)).map(([, result]) => result)];
  return { name, lists, text: `with\n${parts.join(",\n")}\nselect ${results.join(",\n  ")}` };
}

const LEASE = "lease as (select id from processes where id = $1 for key share)";

const PARTS: readonly [List, (rows: Rows) => string][] = [
  [
    ACCEPTANCES,
    (rows) => `accepted as (
  insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role, content,
    is_addressed, idempotency_key, created_at, shard)
  select message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role, content, is_addressed,
    idempotency_key, created_at, shard from ${rows(ACCEPTANCES)}
  where exists (select from lease) order by position
  on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing
  returning id, message_id),
opened as (
  insert into inbox (conversation_id, status, attempts, is_unowned)
  select accepted.id, x.status, x.attempts, x.is_unowned from accepted join ${rows(ACCEPTANCES)} using (message_id))`,
  ],
  [
    INBOX_CHANGES,
    (rows) => `changed as (
  update inbox set status = x.status, attempts = x.attempts, interruptions = x.interruptions,
    next_attempt_at = x.next_attempt_at, last_error = x.last_error,
    is_unowned = case when inbox.stopped_by is null or x.status = 'dead' then 0 else inbox.is_unowned end
  from ${rows(INBOX_CHANGES)}, lease where inbox.conversation_id = x.id and inbox.round = x.round
    and (inbox.status not in ('dead', 'done') or x.status = inbox.status)
    and (inbox.status <> 'waiting' or x.status in ('waiting', 'dead')))`,
  ],
  [
    INBOX_ENDS,
    (rows) =>
      `closed as (delete from inbox using ${rows(INBOX_ENDS)}, lease
  where inbox.conversation_id = x.id and inbox.round = x.round)`,
  ],
  [
    SUBSCRIPTIONS,
    (rows) => `subscribed as materialized (
  select id, callback_url from subscribers
  where exists (select from lease) and exists (select from ${rows(SUBSCRIPTIONS)}) for key share)`,
  ],
  [
    EVENTS,
    (rows) => `emitted as (
  insert into process_events (conversation_id, sequence, kind, content, worker, created_at)
  select conversation_id, sequence, kind, content, worker, created_at from ${rows(EVENTS)}
  where exists (select from lease) order by position
  on conflict (conversation_id, sequence) do nothing
  returning id, conversation_id, sequence)`,
  ],
  [
    DELIVERIES,
    (rows) => `addressed as (
  insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts)
  select emitted.id, x.gateway_id, x.target, x.delivery_id, x.status, x.attempts from emitted
  join ${rows(DELIVERIES)} using (conversation_id, sequence))`,
  ],
  [
    SUBSCRIPTIONS,
    (rows) => `broadcast as (
  insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts, subscriber_id)
  select emitted.id, x.gateway_id, s.callback_url, gen_random_uuid()::text, 'pending', 0, s.id
  from emitted join ${rows(SUBSCRIPTIONS)} using (conversation_id, sequence) cross join subscribed s
  returning event_id, target, delivery_id, subscriber_id)`,
  ],
  [
    DELIVERY_CHANGES,
    (rows) => `attempted as materialized (
  select * from ${rows(DELIVERY_CHANGES)} where exists (select from lease)),
delivered as (
  update process_event_deliveries d set status = a.status, attempts = a.attempts, interruptions = a.interruptions,
    next_retry_at = a.next_retry_at, last_error = a.last_error, delivered_at = a.delivered_at
  from attempted a where d.event_id = a.event_id and d.gateway_id = a.gateway_id and d.target = a.target
    and (a.status = 'done' or d.round = a.round and d.status in ('pending', 'claimed', a.status))
  returning a.position)`,
  ],
  [
    FAILURES,
    (rows) => `failed as (
  insert into failed_attempts (conversation_id, event_id, gateway, target, worker, attempt, error, failed_at, next_at)
  select conversation_id, event_id, gateway, target, worker, attempt, error, failed_at, next_at
  from ${rows(FAILURES)} where exists (select from lease) order by position)`,
  ],
  [
    HINTS,
    (rows) => `hinted as (
  insert into hinted_threads (thread_key, hinted_at) select thread_key, hinted_at from ${rows(HINTS)}
  where exists (select from lease) on conflict do nothing)`,
  ],
];

const IS_OWNER = "exists (select from lease) as is_owner";

const HAS_UNOWNED = `(select count(l.shard) > 0 or count(*) = ${LOOKED_AT} from (
     select conversation_id from inbox where is_unowned = 1 order by conversation_id desc limit ${LOOKED_AT}) i
   join conversations c on c.id = i.conversation_id
   left join shard_leases l on l.process_id = $1 and l.shard = c.shard and l.gateway_id = coalesce(c.gateway_id, 0)
  ) as has_unowned`;

/** What the parts of a list answer; `WayResult` says what is what. */
const RESULTS: readonly [List, string][] = [
  [ACCEPTANCES, HAS_UNOWNED],
  [ACCEPTANCES, arrayOf("message_id", { from: "accepted", as: "message_ids" })],
  [ACCEPTANCES, arrayOf("id", { from: "accepted", as: "conversation_ids" })],
  [EVENTS, arrayOf("id", { from: "emitted", as: "event_ids" })],
  [EVENTS, arrayOf("conversation_id", { from: "emitted", as: "event_conversations" })],
  [EVENTS, arrayOf("sequence", { from: "emitted", as: "event_sequences" })],
  [SUBSCRIPTIONS, broadcast("event_id", "broadcast_events")],
  [SUBSCRIPTIONS, broadcast("target", "broadcast_targets")],
  [SUBSCRIPTIONS, broadcast("delivery_id", "broadcast_ids")],
  [
    DELIVERY_CHANGES,
    `(select coalesce(array_agg(position), '{}') from attempted
    where status <> 'done' and position not in (select position from delivered)) as closed_deliveries`,
  ],
];

function broadcast(column: string, as: string): string {
  return arrayOf(column, { from: "broadcast", order: "event_id, subscriber_id", as });
}

/** The arrays of one part have its rows in one order, whichever it is, unless `order` says so. */
function arrayOf(column: string, { from, order, as }: { from: string; order?: string; as: string }): string {
  const sorted = order === undefined ? column : `${column} order by ${order}`;
  return `(select coalesce(array_agg(${sorted}), '{}') from ${from}) as ${as}`;
}

const ANSWERED = [INBOX_ENDS, EVENTS, DELIVERIES];
/** What a message's way brings when nothing goes wrong. */
const USUAL = [ACCEPTANCES, ...ANSWERED, DELIVERY_CHANGES];

/** The last one has all lists. */
export const WAY_STATEMENTS: readonly WayStatement[] = [
  wayStatement("robson_accept", [ACCEPTANCES]),
  wayStatement("robson_answer", ANSWERED),
  wayStatement("robson_delivered", [DELIVERY_CHANGES]),
  wayStatement("robson_usual", USUAL),
  wayStatement("robson_begun", [...USUAL, INBOX_CHANGES]),
  wayStatement("robson_way", [...USUAL, INBOX_CHANGES, SUBSCRIPTIONS, FAILURES, HINTS]),
];

/** The least statement that has these lists. */
export function statementFor(lists: readonly List[]): WayStatement {
  const found = WAY_STATEMENTS.find((statement) => lists.every((list) => statement.lists.includes(list)));
  if (!found) throw new Error("the last statement has not all lists");
  return found;
}
