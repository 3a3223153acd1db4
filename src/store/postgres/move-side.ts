/**
 * A PostgreSQL database as one side of a move: in one transaction, which keeps every other process from writing to
 * the tables and from joining. Readers are not held up.
 */
import type { Client, QueryArrayConfig } from "pg";
import { RobsonError } from "../../core/errors.ts";
import { MOVED_TABLES, type MoveSide, ROWS_AT_ONCE, type TablePart } from "../move-side.ts";
import { connect, endClient, shownLocation } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { ownerNames } from "./ownership.ts";

/** How long others' transactions are waited for. */
const LOCK_TIMEOUT_MS = 10_000;

/** Columns that SQLite does not have, and what moved rows have there: events come before those of all transactions. */
const OWN_COLUMNS: Record<string, Record<string, string>> = { process_events: { transaction_id: "0" } };

/** Throws `ALREADY_RUNNING` while agents work on the database. */
export async function openPostgresSide(url: string): Promise<MoveSide> {
  const location = shownLocation(url);
  let client: Client | undefined;
  try {
    client = await connect(url, { isPatient: true });
    await client.query("begin isolation level repeatable read");
    await client.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
    // Before the first look at a table: what is seen from then on is what was there when the locks were had.
    await client.query(`lock table ${["processes", ...MOVED_TABLES].join(", ")} in share row exclusive mode`);
    const owners = await ownerNames(client);
    if (owners.length > 0) throw isOwned(location, owners);
    return createSide(client, location);
  } catch (error) {
    if (client) await endClient(client);
    throw toStoreError(error, location);
  }
}

function isOwned(location: string, owners: string[]): RobsonError {
  const works = owners.length === 1 ? "works" : "work";
  return new RobsonError("ALREADY_RUNNING", `Cannot move ${location}: ${owners.join("; ")} ${works} on it`, {
    hint: "Stop all processes on it first, with SIGTERM or Ctrl-C",
  });
}

function createSide(client: Client, location: string): MoveSide {
  const query = async <Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> => {
    try {
      return (await client.query<Row>(text, values)).rows;
    } catch (error) {
      throw toStoreError(error, location);
    }
  };
  const fetch = async (cursor: string): Promise<unknown[][]> => {
    const statement: QueryArrayConfig = { text: `fetch ${ROWS_AT_ONCE} from ${cursor}`, rowMode: "array" };
    try {
      return (await client.query<unknown[]>(statement)).rows;
    } catch (error) {
      throw toStoreError(error, location);
    }
  };
  return {
    location,
    async columns(table) {
      const rows = await query<{ name: string }>(
        `select column_name as name from information_schema.columns
         where table_schema = current_schema() and table_name = $1 order by ordinal_position`,
        [table],
      );
      const own = OWN_COLUMNS[table] ?? {};
      return rows.map(({ name }) => name).filter((name) => own[name] === undefined);
    },
    async count(table) {
      const [row] = await query<{ count: number }>(`select count(*) as count from ${table}`);
      return Number(row?.count);
    },
    async *rows({ table, columns }) {
      const cursor = `moved_${table}`;
      await query(
        `declare ${cursor} no scroll cursor for select ${columns.join(", ")} from ${table} order by 1`,
      );
      for (let rows = await fetch(cursor); rows.length > 0; rows = await fetch(cursor)) yield rows;
      await query(`close ${cursor}`);
    },
    async insert(part, rows) {
      const objects = rows.map((row) => Object.fromEntries(part.columns.map((name, at) => [name, row[at]])));
      await query(insertStatement(part), [JSON.stringify(objects)]);
    },
    clear: async (table) => void (await query(`delete from ${table}`)),
    async commit() {
      for (const table of MOVED_TABLES) await setIdBehind(table);
      // Its next statements are planned for what is there now, not for empty tables.
      await query(`analyze ${MOVED_TABLES.join(", ")}`);
      await query("commit");
    },
    close: () => endClient(client),
  };

  async function setIdBehind(table: string): Promise<void> {
    const [column] = await query(
      `select from information_schema.columns where table_schema = current_schema() and table_name = $1
         and column_name = 'id' and is_identity = 'YES'`,
      [table],
    );
    if (!column) return;
    await query(
      `select setval(pg_get_serial_sequence($1, 'id'), max(id)) from ${table} having max(id) is not null`,
      [table],
    );
  }
}

function insertStatement({ table, columns }: TablePart): string {
  const own = OWN_COLUMNS[table] ?? {};
  return `insert into ${table} (${[...columns, ...Object.keys(own)].join(", ")}) overriding system value
    select ${[...columns, ...Object.values(own)].join(", ")} from json_populate_recordset(null::${table}, $1::json)`;
}
