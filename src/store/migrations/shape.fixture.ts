/**
 * The rule for migrations beside older programs (docs/concepts/upgrades.md), as a comparison: what of a database's
 * tables an older program misses, or cannot fill, after a migration.
 */
import { type Kysely, sql } from "kysely";

interface Column {
  table: string;
  name: string;
  type: string;
  /** Whether a row can be inserted that does not name it. */
  isOptional: boolean;
  isNullable: boolean;
}

export interface Shape {
  columns: Column[];
  /** Each with its table and definition. */
  uniqueIndexes: { table: string; definition: string }[];
}

export async function shapeOf(read: Kysely<unknown>, dialect: "sqlite" | "postgres"): Promise<Shape> {
  const { columns, uniqueIndexes } = dialect === "sqlite" ? SQLITE : POSTGRES;
  const { rows } = await columns.execute(read);
  const indexes = await uniqueIndexes.execute(read);
  return {
    columns: rows.map((row) => ({
      ...row,
      isOptional: Boolean(row.isOptional),
      isNullable: Boolean(row.isNullable),
    })),
    uniqueIndexes: indexes.rows,
  };
}

/** One line for each thing that a program of the former shape would stumble over. */
export function whatBreaksOlderPrograms(before: Shape, after: Shape): string[] {
  const tables = new Set(before.columns.map(({ table }) => table));
  const old = new Map(before.columns.map((column) => [`${column.table}.${column.name}`, column]));
  const now = new Map(after.columns.map((column) => [`${column.table}.${column.name}`, column]));
  const gone = [...old.keys()].filter((name) => !now.has(name)).map((name) => `${name} is gone`);
  const changed = [...old].flatMap(([name, { type, isNullable, isOptional }]) => {
    const column = now.get(name);
    if (!column) return [];
    const isStricter = (isNullable && !column.isNullable) || (isOptional && !column.isOptional);
    return column.type !== type || isStricter ? [`${name} takes less than before, or something else`] : [];
  });
  const needed = [...now]
    .filter(([name, { table, isOptional }]) => tables.has(table) && !old.has(name) && !isOptional)
    .map(([name]) => `${name} is null for older programs, and may not be`);
  const known = new Set(before.uniqueIndexes.map(({ definition }) => definition));
  const stricter = after.uniqueIndexes
    .filter(({ table, definition }) => tables.has(table) && !known.has(definition))
    .map(({ definition }) => `${definition} refuses rows that were good`);
  return [...gone, ...changed, ...needed, ...stricter];
}

type Row = Omit<Column, "isOptional" | "isNullable"> & {
  isOptional: boolean | number;
  isNullable: boolean | number;
};

const SQLITE = {
  columns: sql<Row>`select t.name as "table", c.name, lower(c.type) as type,
      c."notnull" = 0 or c.dflt_value is not null or c.pk > 0 as "isOptional", c."notnull" = 0 as "isNullable"
    from sqlite_master t join pragma_table_info(t.name) c where t.type = 'table'`,
  uniqueIndexes: sql<{ table: string; definition: string }>`select t.name as "table",
      coalesce(m.sql, i.name) as definition
    from sqlite_master t join pragma_index_list(t.name) i left join sqlite_master m on m.name = i.name
    where t.type = 'table' and i."unique" = 1`,
};

const POSTGRES = {
  columns: sql<Row>`select table_name as "table", column_name as name, data_type as type,
      is_nullable = 'YES' or column_default is not null or is_identity = 'YES' as "isOptional",
      is_nullable = 'YES' as "isNullable"
    from information_schema.columns where table_schema = current_schema()`,
  uniqueIndexes: sql<{ table: string; definition: string }>`select c.relname as "table",
      pg_get_indexdef(indexrelid) as definition
    from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
    where i.indisunique and n.nspname = current_schema()`,
};
