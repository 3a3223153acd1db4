/** Databases with a past: so many finished conversations, each answered and delivered, to begin a measurement with. */
import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { loadRobson } from "./engines/robson.ts";
import { createDatabase, queryPostgres } from "./servers/postgres.ts";

const CONTENT = "deploy a failing build on the release branch and tell me what broke it, please. "
  .repeat(4)
  .slice(0, 280);
/** 500 threads, as the messages of the measurement have, and more. */
const THREADS = 5000;

/** A file that holds so many finished conversations. */
export async function sqliteWithHistory(
  file: string,
  { rows, dist }: { rows: number; dist: string },
): Promise<void> {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true });
  await migrated(file, dist);
  const db = new DatabaseSync(file);
  // Without `analyze`, which the database it is compared with has not had either.
  db.exec("pragma synchronous = off; pragma cache_size = -200000; begin");
  const series = `with recursive series (n) as (select 1 union all select n + 1 from series where n < ${rows})`;
  for (const insert of insertsOf("sqlite"))
    db.exec(`insert into ${insert.into} ${series} ${insert.select} from series`);
  db.exec("commit; pragma wal_checkpoint(truncate); pragma journal_mode = delete");
  db.close();
}

/** The name of a database that holds so many finished conversations, to be copied. */
export async function postgresWithHistory(
  server: string,
  { rows, dist }: { rows: number; dist: string },
): Promise<string> {
  const url = await createDatabase(server);
  await migrated(url, dist);
  for (const insert of insertsOf("postgres")) {
    await queryPostgres(
      url,
      `insert into ${insert.into} overriding system value ${insert.select} from generate_series(1, ${rows}) as series (n)`,
    );
  }
  for (const table of ["conversations", "process_events"])
    await queryPostgres(url, `select setval(pg_get_serial_sequence('${table}', 'id'), ${rows})`);
  await queryPostgres(url, "vacuum analyze");
  await queryPostgres(url, "checkpoint");
  return new URL(url).pathname.slice(1);
}

async function migrated(location: string, dist: string): Promise<void> {
  const { openStore } = await loadRobson(dist);
  const store = await openStore(location);
  const ownership = await store.own({ owner: "bench", gateways: ["bench"], now: Date.now() });
  await ownership.release();
  await store.close();
}

function insertsOf(dialect: "sqlite" | "postgres"): { into: string; select: string }[] {
  const text = (sql: string) => (dialect === "postgres" ? `(${sql})::text` : `cast(${sql} as text)`);
  const channel = `'C' || ${text(`n % ${THREADS}`)}`;
  const gateway = "(select id from gateways where name = 'bench')";
  return [
    {
      into: `conversations (id, message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role, content,
        is_addressed, idempotency_key, created_at)`,
      select: `select n, 'message-' || ${text("n")}, ${gateway}, ${channel}, '', 'U1', 'user', '${CONTENT}', 1,
        'past-' || ${text("n")}, n`,
    },
    {
      into: "process_events (id, conversation_id, sequence, kind, content, worker, created_at, delivered_at)",
      select: `select n, n, -1, 'completed', 'done: ${CONTENT}', 'worker-19', n, n`,
    },
    {
      into: "process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts, delivered_at)",
      select: `select n, ${gateway}, ${channel}, 'delivery-' || ${text("n")}, 'done', 1, n`,
    },
  ];
}
