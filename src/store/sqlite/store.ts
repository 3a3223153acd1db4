/**
 * The store on one SQLite file: WAL, every commit on disk before it is acknowledged (`synchronous = full`), one
 * connection that writes, one that reads for the cold queries.
 */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { pathToFileURL } from "node:url";
import type { CompiledQuery } from "kysely";
import type { RunThread } from "../../core/run-store.ts";
import { shardOf, threadKey } from "../../core/shards.ts";
import type { Ownership } from "../../core/store.ts";
import { createColdQueries } from "../cold-queries.ts";
import { type CountedPage, countOpen, openPage } from "../count-open.ts";
import { type Program, thisProgram } from "../migrations/compatibility.ts";
import { needsMigration } from "../migrations/outcome.ts";
import { openThreadsPage } from "../open-threads.ts";
import type { OpenedStore } from "../opened-store.ts";
import type { Schema } from "../schema.ts";
import type { Rows, Sql } from "../sql.ts";
import { toStoreError } from "./errors.ts";
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
/**
 * How large the write-ahead log grows before it is copied into the file, in pages of 4 KiB. The commit that finds it so
 * large copies it, and holds up the event loop for as long: 1000 pages take a third of what 4000 take.
 */
const CHECKPOINT_PAGES = 1000;

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
  const page = reader.prepare(openPage("?"));
  const threads = reader.prepare(openThreadsPage("?"));
  const wake = () => wakeOwner(file);
  const owned: Ownership[] = [];

  return {
    location: file,
    migrated,
    ...createColdQueries({
      dialect: "sqlite",
      load: () => loadSql({ reader, writer, db, file }),
      openThreads: async (...of) => threads.all(...of) as unknown as RunThread[],
      countOpen: (atMost) => countOpen(atMost, async (...of) => page.get(...of) as unknown as CountedPage),
      wake,
    }),
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
      const { conversationId, isDuplicate } = await writer.submit(() => way.accept(message, at));
      await wake();
      return { conversationId, isDuplicate };
    },
    async currentOwners() {
      return isOwnerLocked(file) ? [ownerName(db)] : [];
    },
    async close() {
      for (const ownership of owned) await ownership.release();
      await writer.drained();
      // A connection left open would keep the log out of the file.
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

interface SqlParts {
  reader: DatabaseSync;
  writer: SqliteWriter;
  db: DatabaseSync;
  file: string;
}

async function loadSql({ reader, writer, db, file }: SqlParts): Promise<Sql> {
  const [{ Kysely }, { kyselyDialect }] = await Promise.all([
    import("kysely"),
    import("./kysely-dialect.ts"),
  ]);
  return {
    dialect: "sqlite",
    read: new Kysely<Schema>({ dialect: kyselyDialect(reader, file) }),
    write: (queries) => writer.submit(() => queries.map((query) => runCompiled(db, query))),
  };
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
