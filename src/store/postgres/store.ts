/** The store on one PostgreSQL database: the owner's writer and lock, and a small pool for everything else. */

import { type CompiledQuery, Kysely } from "kysely";
import type { Pool } from "pg";
import type { Accepted } from "../../core/gateway.ts";
import { shardOf, threadKey } from "../../core/shards.ts";
import type { NewMessage, Ownership } from "../../core/store.ts";
import { createAdmissionStore, createAllowList } from "../admission.ts";
import { createEventFeed } from "../event-feed.ts";
import { type Program, thisProgram } from "../migrations/compatibility.ts";
import type { OpenedStore } from "../opened-store.ts";
import { createOperatorRecords } from "../operator-records.ts";
import { createPullRequestStore } from "../pull-requests.ts";
import { createRecords, type WrittenShard } from "../records.ts";
import { createRetentionStore } from "../retention.ts";
import { conversationValues } from "../rows.ts";
import type { Schema } from "../schema.ts";
import type { Rows, Sql } from "../sql.ts";
import { createSubscriberStore } from "../subscribers.ts";
import { createTaskStore } from "../tasks.ts";
import { createPool, shownLocation } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { kyselyDialect } from "./kysely-dialect.ts";
import { checkVersion, type MigrationTarget, migratePostgres } from "./migrate.ts";
import { own, ownerNames } from "./ownership.ts";
import { CONVERSATION_BY_KEY, WAKE_CHANNEL } from "./way.ts";
import { NO_GATEWAY } from "./way-lists.ts";

export async function openPostgresStore(
  url: string,
  { migrate, program = thisProgram }: { migrate: boolean; program?: Program },
): Promise<OpenedStore> {
  const location = shownLocation(url);
  const pool = createPool(url);
  const kysely = new Kysely<Schema>({ dialect: kyselyDialect(pool, location) });
  try {
    const target = { url, location, program };
    const migrated = migrate ? await migratePostgres(kysely, target) : await checkVersion(kysely, target);
    return createStore({ ...target, pool, kysely, migrated });
  } catch (error) {
    await kysely.destroy();
    throw error;
  }
}

interface Parts extends MigrationTarget {
  pool: Pool;
  kysely: Kysely<Schema>;
  migrated: { from: number; to: number };
}

function createStore({ url, location, program, pool, kysely, migrated }: Parts): OpenedStore {
  /** A pool that ends forgets who waits for a connection; so `close` waits for the writes itself. */
  const writes = new Set<Promise<unknown>>();
  const write = async <T>(written: Promise<T>): Promise<T> => {
    writes.add(written);
    try {
      return await written;
    } catch (error) {
      throw toStoreError(error, location);
    } finally {
      writes.delete(written);
    }
  };
  const sql: Sql = {
    dialect: "postgres",
    read: kysely,
    write: (queries) => write(inTransaction(pool, queries)),
  };
  // A wake-up that is lost is made good by the loop's fallback poll.
  const wake = (to?: WrittenShard) =>
    pool.query("select pg_notify($1, $2)", [WAKE_CHANNEL, to ? `${to.gatewayId}:${to.shard}` : ""]).then(
      () => undefined,
      () => undefined,
    );
  const owned: Ownership[] = [];

  return {
    location,
    migrated,
    sql,
    tasks: createTaskStore(sql, { now: Date.now }),
    pullRequests: createPullRequestStore(sql, { now: Date.now }),
    admission: createAdmissionStore(sql),
    retention: createRetentionStore(sql),
    allowList: createAllowList(sql, { now: Date.now }),
    subscribers: createSubscriberStore(sql, { now: Date.now }),
    feed: createEventFeed(sql),
    operator: createOperatorRecords(sql),
    ...createRecords(sql, wake),
    async own(options) {
      const ownership = await own({ url, location, pool, ...options });
      owned.push(ownership);
      // A migration that keeps others out may have been between the opening and this.
      await checkVersion(kysely, { url, location, program });
      return ownership;
    },
    insertUnowned: (message) => write(insertMessage(pool, message)),
    currentOwners: () => ownerNames(pool).catch((error) => Promise.reject(toStoreError(error, location))),
    async close() {
      for (const ownership of owned) await ownership.release();
      await Promise.allSettled(writes);
      await kysely.destroy();
    },
  };
}

async function inTransaction(pool: Pool, queries: CompiledQuery[]): Promise<Rows[]> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    const results: Rows[] = [];
    for (const { sql, parameters } of queries) results.push((await client.query(sql, [...parameters])).rows);
    await client.query("commit");
    client.release();
    return results;
  } catch (error) {
    await client.query("rollback").then(
      () => client.release(),
      (broken) => client.release(broken),
    );
    throw error;
  }
}

/** For another process to work on; `is_unowned` makes its owner look at it, and the commit wakes it. */
async function insertMessage(pool: Pool, message: NewMessage): Promise<Accepted> {
  const gatewayId = message.gateway === null ? null : await gatewayIdOf(pool, message.gateway);
  const shard = shardOf(threadKey(message));
  const { rows } = await pool.query<{ id: number }>(
    `with made as (insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role,
       content, is_addressed, idempotency_key, created_at, shard) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
       on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing
       returning id),
     opened as (insert into inbox (conversation_id, status, attempts, is_unowned) select id, 'pending', 0, 1 from made)
     select id, pg_notify($12, $13) from made`,
    [
      ...conversationValues(message, { gatewayId, shard }),
      WAKE_CHANNEL,
      `${gatewayId ?? NO_GATEWAY}:${shard}`,
    ],
  );
  const made = rows[0];
  if (made) return { conversationId: made.id, isDuplicate: false };
  const known = await pool.query<{ id: number }>(CONVERSATION_BY_KEY, [gatewayId, message.idempotencyKey]);
  return { conversationId: Number(known.rows[0]?.id), isDuplicate: true };
}

/** Not in one statement, which would not see the row that another process commits at the same moment. */
async function gatewayIdOf(pool: Pool, name: string): Promise<number> {
  const select = () => pool.query<{ id: number }>("select id from gateways where name = $1", [name]);
  const known = (await select()).rows[0];
  if (known) return known.id;
  const insert = "insert into gateways (name, created_at) values ($1, $2) on conflict do nothing";
  await pool.query(insert, [name, Date.now()]);
  return Number((await select()).rows[0]?.id);
}
