/** Kysely over our pool, with the server's errors as ours. For cold queries alone. */
import { PostgresDialect } from "kysely";
import type { Pool, PoolClient } from "pg";
import { toStoreError } from "./errors.ts";

export function kyselyDialect(pool: Pool, location: string): PostgresDialect {
  const asOurs = (error: unknown): never => {
    throw toStoreError(error, location);
  };
  const guard = (client: PoolClient): PoolClient =>
    new Proxy(client, {
      get(target, name) {
        if (name === "query") return (...query: [string, unknown[]]) => target.query(...query).catch(asOurs);
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  return new PostgresDialect({
    pool: {
      options: {},
      connect: () => pool.connect().then(guard, asOurs),
      end: () => pool.end(),
    },
  });
}
