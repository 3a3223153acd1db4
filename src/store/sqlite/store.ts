/**
 * The store on one SQLite file: WAL, every commit on disk before it is acknowledged (`synchronous = full`), one
 * connection that writes, one that reads for the cold queries.
 */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { type CompiledQuery, Kysely } from "kysely";
import { shardOf, threadKey } from "../../core/shards.ts";
import type { Ownership } from "../../core/store.ts";
import { createAdmissionStore, createAllowList } from "../admission.ts";
import { createEventFeed } from "../event-feed.ts";
import { type Program, thisProgram } from "../migrations/compatibility.ts";
import { needsMigration } from "../migrations/outcome.ts";
import type { OpenedStore } from "../opened-store.ts";
import { createOperatorRecords } from "../operator-records.ts";
import { createPullRequestStore } from "../pull-requests.ts";
import { createRecords } from "../records.ts";
import { createRetentionStore } from "../retention.ts";
import type { Schema } from "../schema.ts";
import type { Rows, Sql } from "../sql.ts";
import { createSubscriberStore } from "../subscribers.ts";
import { createTaskStore } from "../tasks.ts";
import { toStoreError } from "./errors.ts";
import { kyselyDialect } from "./kysely-dialect.ts";
import { checkedVersion, migrateSqlite } from "./migrate.ts";
import { isOwnerLocked } from "./owner-lock.ts";
import { own, ownerName } from "./ownership.ts";
import { wakeOwner } from "./wake.ts";
import { Way } from "./way.ts";
import { SqliteWriter } from "./writer.ts";

/** How long SQLite itself waits for another program, blocking the event loop; after that the writer waits. */
const BUSY_TIMEOUT_MS = 1;
/** How long opening waits: another process may be making the database, or closing it as the last one. */
const OPEN_BUSY_MS = 10_000;
/** How large the write-ahead log grows before it is copied into the file, in pages of 4 KiB. */
const CHECKPOINT_PAGES = 4000;

export interface SqliteStoreOptions {
  migrate: boolean;
  /** How long writes wait for another program that holds the file; the writer has the default. */
  maxBusyMs?: number;
  /** Default: this one. */
  program?: Program;
}

export async function openSqliteStore(file: string, options: SqliteStoreOptions): Promise<OpenedStore> {
  const { program = thisProgram } = options;
  const migrated = options.migrate ? await migrateSqlite(file, program) : currentVersion(file, program);
  const db = openConnection(file);
  const gateways = createGatewayIds(db);
  const writer = new SqliteWriter({ db, file, onRollback: gateways.forget, ...options });
  const way = new Way(db, gateways);
  const reader = openConnection(file);
  const kysely = new Kysely<Schema>({ dialect: kyselyDialect(reader, file) });
  const sql: Sql = {
    dialect: "sqlite",
    read: kysely,
    write: (queries) => writer.submit(() => queries.map((query) => runCompiled(db, query))),
  };
  const wake = () => wakeOwner(file);
  const owned: Ownership[] = [];

  return {
    location: file,
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
      const ownership = await own({ file, db, writer, way, ...options });
      owned.push(ownership);
      // A migration that keeps others out may have been between the opening and this.
      checkedVersion(db, { file, program });
      return ownership;
    },
    async insertUnowned(message) {
      const shard = shardOf(threadKey(message));
      const at = { shard, status: "pending", attempts: 0, isUnowned: true } as const;
      const accepted = await writer.submit(() => way.accept(message, at));
      await wake();
      return accepted;
    },
    async currentOwners() {
      return isOwnerLocked(file) ? [ownerName(db)] : [];
    },
    async close() {
      for (const ownership of owned) await ownership.release();
      await writer.drained();
      await kysely.destroy();
      // Kysely closes only what it has used; a connection left open would keep the log out of the file.
      for (const connection of [reader, db]) if (connection.isOpen) connection.close();
    },
  };
}

function openConnection(file: string): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file, { timeout: OPEN_BUSY_MS, enableForeignKeyConstraints: false });
    db.exec(`pragma journal_mode = wal; pragma synchronous = full;
      pragma wal_autocheckpoint = ${CHECKPOINT_PAGES}; pragma cache_size = -32000;
      pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
    return db;
  } catch (error) {
    if (db?.isOpen) db.close();
    throw toStoreError(error, file);
  }
}

function currentVersion(file: string, program: Program) {
  let db: DatabaseSync | undefined;
  try {
    // Made by nobody here; but not read-only, which would leave a log and an index of it beside the file.
    const existing = pathToFileURL(file);
    existing.searchParams.set("mode", "rw");
    db = new DatabaseSync(existing, { timeout: OPEN_BUSY_MS });
    const version = checkedVersion(db, { file, program });
    const known = program.length;
    if (version < known) throw needsMigration({ location: file, version, known });
    return { from: version, to: version };
  } catch (error) {
    throw toStoreError(error, file);
  } finally {
    if (db?.isOpen) db.close();
  }
}

function runCompiled(db: DatabaseSync, { sql, parameters }: CompiledQuery): Rows {
  return db.prepare(sql).all(...(parameters as SQLInputValue[])) as Rows;
}

/** The row ids of the gateways; a name that is new is registered inside the transaction that uses it. */
function createGatewayIds(db: DatabaseSync) {
  const select = db.prepare("select id from gateways where name = ?");
  const insert = db.prepare(
    "insert into gateways (name, created_at) values (?, ?) on conflict (name) do nothing",
  );
  const known = new Map<string, number>();
  return {
    /** What was read inside a transaction that is rolled back is perhaps not so. */
    forget: () => known.clear(),
    idOf(name: string): number {
      const id = known.get(name);
      if (id !== undefined) return id;
      const row = select.get(name);
      if (!row) return Number(insert.run(name, Date.now()).lastInsertRowid);
      known.set(name, Number(row.id));
      return Number(row.id);
    },
  };
}
