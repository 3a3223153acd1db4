/** For tests of moving: a database with rows in every table, and all its rows as another one is compared with. */
import fc from "fast-check";
import { sql } from "kysely";
import { MOVED_TABLES, tablesThatAre } from "./move-side.ts";
import type { OpenedStore } from "./opened-store.ts";

const ROWS = 40;

/** Whatever text can be stored, and what a format between the two might stumble over. */
const TEXTS = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }).map((text) => text.replaceAll("\0", "")),
  fc.constantFrom(
    "",
    "'; --",
    '"\\"',
    "\\u0000",
    "a\r\nb\tc",
    "\u0001\u001b[31m",
    "👩‍🔧 \u202e",
    "null",
    "{}",
  ),
);
const WHOLE_NUMBERS = fc.oneof(
  fc.integer(),
  fc.constantFrom(0, 1_795_000_000_000, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER),
);
/** In some columns only these make sense to an index or to the loop. */
const SMALL = fc.integer({ min: 0, max: 63 });

/** Rows in every table, with gaps between their ids; the same for the same seed. */
export async function fill(store: OpenedStore, seed: number): Promise<void> {
  const { dialect, read, write } = await store.sql();
  for (const table of tablesThatAre("moved")) {
    const columns = await columnsOf(store, table);
    const rows = Array.from({ length: ROWS }, (_, index) =>
      columns.map((column) => valueFor(column, { index, seed: seed + index })),
    );
    const names = sql.join(columns.map(({ name }) => sql.ref(name)));
    const values = sql.join(rows.map((row) => sql`(${sql.join(row)})`));
    const overriding = sql.raw(dialect === "postgres" ? "overriding system value" : "");
    await write([
      sql`insert into ${sql.table(table)} (${names}) ${overriding} values ${values}`.compile(read),
    ]);
  }
  await write([sql`update retention set epoch = 7, removed_through = 9`.compile(read)]);
}

/** All rows of all tables that are moved, in the order of their keys. */
export async function contents(store: OpenedStore): Promise<Record<string, unknown[]>> {
  const all: Record<string, unknown[]> = {};
  for (const table of MOVED_TABLES) {
    const columns = (await columnsOf(store, table)).map(({ name }) => sql.ref(name));
    const select = sql`select ${sql.join(columns)} from ${sql.table(table)} order by 1, 2`;
    all[table] = (await select.execute((await store.sql()).read)).rows;
  }
  return all;
}

interface Column {
  name: string;
  isNullable: boolean;
  type: string;
}

/** Without what PostgreSQL alone has. */
async function columnsOf(store: OpenedStore, table: string): Promise<Column[]> {
  const { dialect, read } = await store.sql();
  const { rows } = await (dialect === "sqlite"
    ? sql<Column>`select name, "notnull" = 0 and pk = 0 as "isNullable", lower(type) as type
        from pragma_table_info(${table})`
    : sql<Column>`select column_name as name, is_nullable = 'YES' as "isNullable", data_type as type
        from information_schema.columns
        where table_name = ${table} and column_name <> 'transaction_id' order by ordinal_position`
  ).execute(read);
  return rows;
}

function valueFor(
  { name, isNullable, type }: Column,
  { index, seed }: { index: number; seed: number },
): unknown {
  const one = <T>(arbitrary: fc.Arbitrary<T>) =>
    fc.sample(arbitrary, { seed: seed * 31 + name.length, numRuns: 1 })[0];
  // Ids and what refers to them: the same in every table, so that each reference finds its row.
  if (name === "id" || name === "number" || (name.endsWith("_id") && type !== "text")) return index * 3 + 1;
  if (isNullable && (seed + name.length) % 3 === 0) return null;
  // Unique wherever a table asks for it.
  if (type === "text") return `${one(TEXTS)}#${index}`;
  if (type === "bigint" || name.endsWith("_at")) return one(WHOLE_NUMBERS);
  return one(SMALL);
}
