/**
 * Moves a database: from an SQLite file to PostgreSQL, or back. All rows are copied in one transaction of the target,
 * with their ids, and the source is left as it was: a move that is cut off has moved nothing, and is run again. No
 * process may run the loop on either, and none writes to them meanwhile.
 */
import { RobsonError } from "../core/errors.ts";
import type { Location } from "./location.ts";
import { SCHEMA_VERSION } from "./migrations/index.ts";
import { newerThanProgram } from "./migrations/outcome.ts";
import { MOVED_TABLES, type MoveSide, tablesThatAre } from "./move-side.ts";
import { openStore } from "./open-store.ts";
import { openPostgresSide } from "./postgres/move-side.ts";
import { openSqliteSide } from "./sqlite/move-side.ts";

export interface MoveOptions {
  from: Location;
  to: Location;
}

export interface Moved {
  from: string;
  to: string;
  /** Counted on both sides. */
  tables: { table: string; rows: number }[];
}

/** Moves everything, or throws and has moved nothing. */
export async function moveDatabase({ from, to }: MoveOptions): Promise<Moved> {
  if (from.kind === to.kind) throw sameKind(from.kind);
  await checkSource(from);
  const source = await openSide(from);
  try {
    await (await openStore(textOf(to))).close();
    const target = await openSide(to);
    try {
      return await copyAll(source, target);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

function sameKind(kind: Location["kind"]): RobsonError {
  return new RobsonError("USAGE_INVALID", `Cannot move a ${kind} database to ${kind}`, {
    hint:
      kind === "sqlite"
        ? 'Stop the agent and copy the file: sqlite3 robson.db ".backup other.db"'
        : "Use PostgreSQL's own pg_dump and pg_restore",
  });
}

/** The source is not migrated, and has no columns that this program does not know. */
async function checkSource(from: Location): Promise<void> {
  const { migrated, location, close } = await openStore(textOf(from), { migrate: false });
  await close();
  const { to: version } = migrated;
  if (version > SCHEMA_VERSION)
    throw newerThanProgram({ location, version, known: SCHEMA_VERSION, oldestProgram: version });
}

function textOf(location: Location): string {
  return location.kind === "sqlite" ? location.file : location.url;
}

function openSide(location: Location): Promise<MoveSide> {
  return location.kind === "sqlite" ? openSqliteSide(location.file) : openPostgresSide(location.url);
}

async function copyAll(source: MoveSide, target: MoveSide): Promise<Moved> {
  await checkEmpty(target);
  for (const table of tablesThatAre("replaced")) await target.clear(table);
  const tables: Moved["tables"] = [];
  for (const table of MOVED_TABLES) {
    const part = { table, columns: await commonColumns(table, { source, target }) };
    for await (const rows of source.rows(part)) await target.insert(part, rows);
    tables.push({ table, rows: await comparedCount(table, { source, target }) });
  }
  await target.commit();
  return { from: source.location, to: target.location, tables };
}

async function checkEmpty(target: MoveSide): Promise<void> {
  const found: string[] = [];
  for (const table of tablesThatAre("moved")) {
    const count = await target.count(table);
    if (count > 0) found.push(`${table} (${count})`);
  }
  if (found.length === 0) return;
  throw new RobsonError(
    "USAGE_INVALID",
    `Cannot move to ${target.location}: it is not empty, there are rows in ${found.join(", ")}`,
    { hint: "Name a database without any: a file that does not exist yet, or a new one from createdb" },
  );
}

interface Sides {
  source: MoveSide;
  target: MoveSide;
}

/** Those of the source, all of which the target has too. */
async function commonColumns(table: string, { source, target }: Sides): Promise<string[]> {
  const columns = await source.columns(table);
  const known = new Set(await target.columns(table));
  const missing = columns.filter((column) => !known.has(column));
  if (missing.length === 0) return columns;
  throw new RobsonError(
    "STORE_UNREADABLE",
    `Cannot move to ${target.location}: its table ${table} has no column ${missing.join(", ")}`,
    { hint: "Give Robson a database of its own" },
  );
}

async function comparedCount(table: string, { source, target }: Sides): Promise<number> {
  const [before, after] = [await source.count(table), await target.count(table)];
  if (before === after) return after;
  throw new RobsonError(
    "INTERNAL",
    `Cannot move ${source.location}: of ${before} rows of ${table} ${after} have arrived`,
    { hint: "Nothing was moved. Report this with both numbers" },
  );
}
