/** The `subscribers` table, as core's contract has it; for both databases. */
import { type CompiledQuery, sql } from "kysely";
import type { Subscriber, SubscriberStore } from "../core/subscriber.ts";
import { lockDeliveries } from "./row-locks.ts";
import type { Rows, Sql } from "./sql.ts";

/** What a delivery says that was closed because nobody subscribes for it any more. */
const REMOVED = "Its subscriber was deleted";

export function createSubscriberStore(db: Sql, { now }: { now(): number }): SubscriberStore {
  return {
    async add(subscriber, { maxSubscribers }) {
      const [made = [], known = []] = await db.write([
        insert(db, { ...subscriber, createdAt: now(), maxSubscribers }),
        describe(db, subscriber),
      ]);
      const row = toSubscribers(known)[0];
      return row && { subscriber: row, isNew: made.length > 0 };
    },
    async list() {
      return toSubscribers(await db.read.selectFrom("subscribers").selectAll().orderBy("id").execute());
    },
    async remove(id) {
      const remove = db.read.deleteFrom("subscribers").where("id", "=", id).returning("id");
      const [removed = []] = await db.write([remove.compile()]);
      // Apart, and also for one that is gone: an event that is being stored for it holds the first transaction up,
      // and a crash in between is made good by asking again.
      await db.write([...lockDeliveries(db, isOpenFor(id)), closeDeliveries(db, id)]);
      return removed.length > 0;
    },
  };
}

interface Insertion {
  callbackUrl: string;
  description: string | null;
  createdAt: number;
  maxSubscribers: number;
}

function insert({ read }: Sql, { callbackUrl, description, createdAt, maxSubscribers }: Insertion) {
  return sql`insert into subscribers (callback_url, description, created_at)
    select cast(${callbackUrl} as text), cast(${description} as text), cast(${createdAt} as bigint)
    where (select count(*) from subscribers) < ${maxSubscribers}
    on conflict (callback_url) do nothing returning id`.compile(read);
}

/** Returns the row, whether or not there was a description to change. */
function describe(
  { read }: Sql,
  { callbackUrl, description }: Pick<Insertion, "callbackUrl" | "description">,
) {
  return read
    .updateTable("subscribers")
    .set((row) => ({ description: description ?? row.ref("description") }))
    .where("callback_url", "=", callbackUrl)
    .returningAll()
    .compile();
}

const isOpenFor = (id: number) => sql`subscriber_id = ${id} and status <> 'done'`;

function closeDeliveries({ read }: Sql, id: number): CompiledQuery {
  return sql`update process_event_deliveries set status = 'done', next_retry_at = null,
    last_error = coalesce(last_error || '; ', '') || ${sql.lit(REMOVED)}
    where ${isOpenFor(id)}`.compile(read);
}

function toSubscribers(rows: Rows): Subscriber[] {
  return rows.map(({ id, callback_url, description, created_at }) => ({
    id: Number(id),
    callbackUrl: String(callback_url),
    description: description === null ? null : String(description),
    createdAt: Number(created_at),
  }));
}
