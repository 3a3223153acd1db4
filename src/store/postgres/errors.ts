/** What PostgreSQL's SQLSTATE codes and lost connections mean to us. */
import { messageOf, RobsonError } from "../../core/errors.ts";

/** The five-letter SQLSTATE of a server error, or undefined for a lost connection and all else. */
export function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** The error as ours. `STORE_REFUSED_ROW` where nothing but the row itself can be the reason. */
export function toStoreError(error: unknown, location: string): RobsonError {
  if (error instanceof RobsonError) return error;
  const reason = reasonOf(error);
  const make = (code: RobsonError["code"], what: string, hint: string) =>
    new RobsonError(code, `Cannot ${what} the database ${location}: ${reason}`, { hint, cause: error });
  const state = sqlState(error);
  // Classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
  if (state === undefined) return make("STORE_UNAVAILABLE", "reach", hintOfNoAnswer(reason));
  if (state.startsWith("28"))
    return make("STORE_UNREADABLE", "log in to", "Check user and password of its URL");
  if (state === "3D000") return make("STORE_UNREADABLE", "open", "Create it first: createdb NAME");
  // Not a row's fault: a table is not as this program made it.
  if (/^42(P|7|8)/.test(state)) return make("STORE_UNREADABLE", "use", "Give Robson a database of its own");
  if (state === "08P01" && /startup parameter|pooling mode/.test(reason))
    return make("STORE_UNREADABLE", "use", reason.includes("mode") ? POOL_MODE : POOLER);
  if (state === "42501" || state === "3F000") return make("STORE_READ_ONLY", "use", RIGHTS);
  if (state === "25006") return make("STORE_READ_ONLY", "write to", PRIMARY);
  if (state === "53100") return make("STORE_FULL", "write to", "Free space on its disk");
  if (state.startsWith("40") || state === "55P03" || state === "57014") {
    return make("STORE_BUSY", "write to", "Another transaction stood in the way; try again");
  }
  if (/^(22|23|54)/.test(state)) {
    return make(
      "STORE_REFUSED_ROW",
      "write a row to",
      "Report this with the row's ids; its neighbours are stored",
    );
  }
  if (state === "53300") return make("STORE_UNAVAILABLE", "connect to", CONNECTIONS);
  if (/^57P0[123]$/.test(state)) return make("STORE_UNAVAILABLE", "use", AGAIN);
  return make("STORE_UNAVAILABLE", "use", "Look in the server's log");
}

const AGAIN = "Its server stops, starts, or has ended this connection: try again once it runs";
const RIGHTS =
  "Grant this user the right to create and write tables, and usage of a schema that is in its search_path";
const PRIMARY =
  "It is read-only now; connect to the primary server, or see who has set default_transaction_read_only";
const CONNECTIONS =
  "Each process uses up to 8: raise max_connections of the server, or the limit of this user or database, or run fewer";
const POOLER =
  "Have the pooler ignore it, as PgBouncer with ignore_startup_parameters = statement_timeout, idle_in_transaction_session_timeout";
const POOL_MODE = "Give Robson a pool with pool_mode = session, or connect to the server directly";

function hintOfNoAnswer(reason: string): string {
  if (!reason.includes("SSL")) return "Check that the server runs and can be reached";
  return "Set up SSL on the server, or take what asks for it (sslmode, ssl) out of the database's URL";
}

/** One line; where every address of a host was tried, what each of them answered. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join(", ");
  return messageOf(error);
}
