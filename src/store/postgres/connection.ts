/** Connections to one PostgreSQL: how they are made, how integers come back, and how the place is shown. */
import pg from "pg";
import { RobsonError } from "../../core/errors.ts";

/** How long connecting may take. */
const CONNECT_TIMEOUT_MS = 5_000;
/** How long one statement may take before its connection is given up. */
const QUERY_TIMEOUT_MS = 30_000;
/** How long the server lets one statement take: it must not go on after its connection was given up. */
const STATEMENT_TIMEOUT_MS = 25_000;
/**
 * How long a transaction may wait for its next statement before the server ends it. Whoever is frozen in between holds
 * locks, that of its own row in `processes` among them, and nobody could take over from it for as long as it is frozen.
 */
const IDLE_TRANSACTION_TIMEOUT_MS = 10_000;
/** How long a connection's end may take. */
const END_TIMEOUT_MS = 1000;
/** How many connections the cold queries share. */
const MAX_POOL_CONNECTIONS = 4;

const INT8 = 20;
const INT8_ARRAY = 1016;

/** Ids and instants are int8; all of ours are safe integers. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: "text" | "binary") {
    if (oid === INT8) return Number;
    if (oid === INT8_ARRAY) return (text: string) => text.slice(1, -1).split(",").filter(Boolean).map(Number);
    return pg.types.getTypeParser(oid, format as "text");
  },
};

function settings(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
    application_name: "robson",
    keepAlive: true,
    types,
  };
}

const PATIENCE = { query_timeout: 0, statement_timeout: 0, idle_in_transaction_session_timeout: 0 };

/** What a role or a database may have set for everyone; servers of different ages know different ones of them. */
export const HAVE_PATIENCE = `select set_config(name, '0', false) from pg_settings
  where name in ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`;

/** A connection of its own; `isPatient`: its statements may take for ever. */
export async function connect(
  url: string,
  { isPatient = false, timeoutMs = QUERY_TIMEOUT_MS } = {},
): Promise<pg.Client> {
  const limited = {
    query_timeout: timeoutMs,
    statement_timeout: Math.min(timeoutMs, STATEMENT_TIMEOUT_MS),
    idle_in_transaction_session_timeout: Math.min(timeoutMs, IDLE_TRANSACTION_TIMEOUT_MS),
  };
  const patience = isPatient ? PATIENCE : limited;
  const client = new pg.Client({ ...settings(url), ...patience });
  // Without a listener a connection that breaks would end the process; the query under way says what is wrong.
  client.on("error", () => undefined);
  await client.connect();
  if (isPatient) await client.query(HAVE_PATIENCE);
  return client;
}

/** `isPatient`: the statements of its connections may take for ever, once `HAVE_PATIENCE` was run on them. */
export function createPool(url: string, { isPatient = false } = {}): pg.Pool {
  const patience = isPatient ? PATIENCE : {};
  const all = { ...settings(url), ...patience };
  const pool = new pg.Pool({ ...all, max: MAX_POOL_CONNECTIONS, allowExitOnIdle: true });
  // An idle connection that breaks is replaced at the next query, which reports what is wrong.
  pool.on("error", () => undefined);
  // One that breaks while it is lent out tells its borrower by the query under way.
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

/**
 * Whether a pooler stands in between: it tells another process id than the server does. Each transaction may have another
 * connection of the server then, so that no statement is known by a name that a former one gave it.
 */
export async function isBehindPooler(pool: pg.Pool): Promise<boolean> {
  const client = await pool.connect();
  const { rows } = await client
    .query<{ pid: number }>("select pg_backend_pid() as pid")
    .finally(() => client.release());
  const { processID } = client as unknown as { processID: number };
  return rows[0]?.pid !== processID;
}

/** A statement as it may be run: where it is to have no name, it is parsed and planned each time. */
export function maybeUnnamed<Statement extends { name: string }>(
  statement: Statement,
  isUnnamed: boolean,
): Omit<Statement, "name"> {
  if (!isUnnamed) return statement;
  const { name, ...rest } = statement;
  return rest;
}

/** Says goodbye, and hangs up where nobody answers: a peer that is gone must not hold up a stop. */
export async function endClient(client: pg.Client): Promise<void> {
  const timer = setTimeout(() => hangUp(client), END_TIMEOUT_MS);
  await client.end().catch(() => undefined);
  clearTimeout(timer);
}

/** Ends a connection without a word. */
export function hangUp(client: pg.Client): void {
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } };
  connection.stream.destroy();
}

/** The URL as it may be shown: without its password and parameters. */
export function shownLocation(url: string): string {
  try {
    const { username, password, host, pathname } = new URL(url);
    for (const part of [username, password, pathname]) decodeURIComponent(part);
    return `postgres://${username ? `${username}@` : ""}${host}${pathname}`;
  } catch {
    // Without its cause, which holds the whole URL.
    throw new RobsonError(
      "STORE_LOCATION_INVALID",
      "Cannot open a database: its postgres:// URL does not parse",
      {
        hint: "Write it as postgres://user:password@host:5432/name, special characters as %XX",
      },
    );
  }
}
