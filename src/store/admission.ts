/**
 * What the loop asks before it accepts a message, and the allow lists; for both databases. None of it is on the way
 * of a message for which nothing is configured.
 */
import { type CompiledQuery, sql } from "kysely";
import type { AdmissionStore, AllowList, Channel, RateCount, RateSubject } from "../core/admission-store.ts";
import type { Sql } from "./sql.ts";

/** All but the count of what is open: count-open.ts. */
export function createAdmissionStore(db: Sql): Omit<AdmissionStore, "countOpen"> {
  return {
    async isAllowed({ gateway, channelId }) {
      const { rows } = await sql`select 1 as found from allowed_channels
        where gateway_id = (select id from gateways where name = ${gateway}) and channel_id = ${channelId}`.execute(
        db.read,
      );
      return rows.length > 0;
    },
    async countRequest(subjects, window) {
      const counted = await db.write(
        subjects.map((subject, index) =>
          countOne(db, { subject, before: subjects.slice(0, index), ...window }),
        ),
      );
      return counted.flat().map(
        ({ request_count, window_started_at }): RateCount => ({
          count: Number(request_count),
          windowStartedAt: Number(window_started_at),
        }),
      );
    },
  };
}

export function createAllowList(db: Sql, { now }: { now(): number }): AllowList {
  return {
    async list(gateway) {
      const rows = await db.read
        .selectFrom("allowed_channels as a")
        .innerJoin("gateways as g", "g.id", "a.gateway_id")
        .select(["g.name as gateway", "a.channel_id as channelId", "a.created_at as createdAt"])
        .$if(gateway !== undefined, (query) => query.where("g.name", "=", gateway ?? ""))
        .orderBy("g.name")
        .orderBy("a.channel_id")
        .execute();
      return rows;
    },
    async add({ gateway, channelId }) {
      const at = now();
      const [, made = []] = await db.write([
        db.read
          .insertInto("gateways")
          .values({ name: gateway, created_at: at })
          .onConflict((conflict) => conflict.doNothing())
          .compile(),
        sql`insert into allowed_channels (gateway_id, channel_id, created_at)
          select id, cast(${channelId} as text), cast(${at} as bigint) from gateways where name = ${gateway}
          on conflict (gateway_id, channel_id) do nothing returning id`.compile(db.read),
      ]);
      return made.length > 0;
    },
    async remove(channel) {
      const [removed = []] = await db.write([removeOne(db, channel)]);
      return removed.length > 0;
    },
  };
}

interface Counting {
  subject: RateSubject;
  before: readonly RateSubject[];
  now: number;
  windowMs: number;
}

/** A window begins with the first request after the end of the one before; a clock that was set back begins one too. */
function countOne({ read }: Sql, { subject, before, now, windowMs }: Counting): CompiledQuery {
  const isOver = sql`(rate_limits.window_started_at <= ${now - windowMs} or rate_limits.window_started_at > ${now + windowMs})`;
  const isBeyond = before.map(
    (each) => sql<boolean>`exists (select 1 from rate_limits where scope = ${each.scope}
      and subject = ${each.subject} and request_count > ${each.max})`,
  );
  const isCounted = sql.join([sql`1 = 1`, ...isBeyond.map((each) => sql`not ${each}`)], sql` and `);
  return sql`insert into rate_limits (scope, subject, window_started_at, request_count)
    select cast(${subject.scope} as text), cast(${subject.subject} as text), cast(${now} as bigint), 1 where ${isCounted}
    on conflict (scope, subject) do update set
      request_count = case when ${isOver} then 1 else rate_limits.request_count + 1 end,
      window_started_at = case when ${isOver} then excluded.window_started_at else rate_limits.window_started_at end
    returning request_count, window_started_at`.compile(read);
}

function removeOne({ read }: Sql, { gateway, channelId }: Channel): CompiledQuery {
  return sql`delete from allowed_channels where channel_id = ${channelId}
    and gateway_id = (select id from gateways where name = ${gateway}) returning id`.compile(read);
}
