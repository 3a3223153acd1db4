/** The store on one PostgreSQL database: the owner's writer and lock, and a small pool for everything else. */

import type { CompiledQuery } from "kysely";
import type { Pool } from "pg";
import type { Accepted } from "../../core/gateway.ts";
import type { RunThread } from "../../core/run-store.ts";
import { shardOf, threadKey } from "../../core/shards.ts";
import type { NewMessage, Ownership } from "../../core/store.ts";
import { createColdQueries } from "../cold-queries.ts";
import { type CountedPage, countOpen, openPage } from "../count-open.ts";
import { type Program, thisProgram } from "../migrations/compatibility.ts";
import { openThreadsPage } from "../open-threads.ts";
import type { OpenedStore } from "../opened-store.ts";
import type { WrittenShard } from "../records.ts";
import { conversationValues } from "../rows.ts";
import type { Schema } from "../schema.ts";
import type { Rows, Sql } from "../sql.ts";
import { createPool, shownLocation } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { findKnown } from "./known-message.ts";
import { checkVersion, type MigrationTarget, migratePostgres } from "./migrate.ts";
import { own, ownerNames } from "./ownership.ts";
import { repeating } from "./repeat.ts";
import { callOf, WAKE_CHANNEL } from "./wake-calls.ts";
import { NO_GATEWAY } from "./way-lists.ts";

export async function openPostgresStore(
  url: string,
  { migrate, program = thisProgram }: { migrate: boolean; program?: Program },
): Promise<OpenedStore> {
  const location = shownLocation(url);
  const pool = createPool(url);
  try {
    const target = { url, location, program };
    const migrated = migrate ? await migratePostgres(pool, target) : await checkVersion(pool, target);
    return createStore({ ...target, pool, migrated });
  } catch (error) {
    await pool.end();
    throw error;
  }
}

interface Parts extends MigrationTarget {
  pool: Pool;
  migrated: { from: number; to: number };
}

function createStore({ url, location, program, pool, migrated }: Parts): OpenedStore {
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
  const load = async (): Promise<Sql> => {
    const [{ Kysely }, { kyselyDialect }] = await Promise.all([
      import("kysely"),
      import("./kysely-dialect.ts"),
    ]);
    return {
      dialect: "postgres",
      read: new Kysely<Schema>({ dialect: kyselyDialect(pool, location) }),
      write: (queries) => write(repeating(() => inTransaction(pool, queries))),
    };
  };
  const readPage = async (...page: number[]) => (await pool.query<CountedPage>(openPage("$"), page)).rows[0];
  // A wake-up that is lost is made good by the loop's fallback poll.
  const wake = (to?: WrittenShard) =>
    pool
      .query("select pg_notify($1, $2)", [
        WAKE_CHANNEL,
        to ? callOf({ ...to, isForMessagesAlone: false }) : "",
      ])
      .then(
        () => undefined,
        () => undefined,
      );
  const owned: Ownership[] = [];

  return {
    location,
    migrated,
    ...createColdQueries({
      ...{ dialect: "postgres", load, wake },
      openThreads: async (...of) => (await pool.query<RunThread>(openThreadsPage("$"), of)).rows,
      countOpen: (atMost) => countOpen(atMost, readPage),
    }),
    async own(options) {
      const ownership = await own({ url, location, pool, ...options });
      owned.push(ownership);
      // A migration that keeps others out may have been between the opening and this.
      await checkVersion(pool, { url, location, program });
      return ownership;
    },
    insertUnowned: (message) => write(insertMessage(pool, message)),
    currentOwners: () => ownerNames(pool).catch((error) => Promise.reject(toStoreError(error, location))),
    async close() {
      for (const ownership of owned) await ownership.release();
      await Promise.allSettled(writes);
      if (!pool.ending) await pool.end();
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
  const call = callOf({ gatewayId: gatewayId ?? NO_GATEWAY, shard, isForMessagesAlone: true });
  const { rows } = await pool.query<{ id: number }>(
    `with made as (insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role,
       content, is_addressed, idempotency_key, created_at, shard) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
       on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing
       returning id),
     opened as (insert into inbox (conversation_id, status, attempts, is_unowned) select id, 'pending', 0, 1 from made)
     select id, pg_notify($12, $13) from made`,
    [...conversationValues(message, { gatewayId, shard }), WAKE_CHANNEL, call],
  );
  const made = rows[0];
  if (made) return { conversationId: made.id, isDuplicate: false };
  const { conversationId, isWithOwner } = await findKnown(pool, { message, gatewayId, isForOther: true });
  if (isWithOwner) await pool.query("select pg_notify($1, $2)", [WAKE_CHANNEL, call]);
  return { conversationId, isDuplicate: true };
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
