/** Kysely over `node:sqlite`: its SqliteDialect expects the face of better-sqlite3. For cold queries alone. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { SqliteDialect } from "kysely";
import { toStoreError } from "./errors.ts";

export function kyselyDialect(db: DatabaseSync, file: string): SqliteDialect {
  const asOurs = <T>(run: () => T): T => {
    try {
      return run();
    } catch (error) {
      throw toStoreError(error, file);
    }
  };
  return new SqliteDialect({
    database: {
      close: () => db.close(),
      prepare(sql) {
        const statement = asOurs(() => db.prepare(sql));
        return {
          reader: statement.columns().length > 0,
          all: (parameters) => asOurs(() => statement.all(...(parameters as SQLInputValue[]))),
          run: (parameters) => asOurs(() => statement.run(...(parameters as SQLInputValue[]))),
          iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
        };
      },
    },
  });
}
