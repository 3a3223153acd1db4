/**
 * How a process tells the others on one PostgreSQL that it has written for them: `NOTIFY` with the shards whose owners
 * have to look. It is said after the write, on a connection of the pool, not in its transaction: a commit with a
 * NOTIFY holds one lock of the whole server until it is on the disk, so that no two of them share a flush
 * (PostgreSQL, commands/async.c). What is said while a call is under way is the next one's.
 */
import type { Pool, QueryConfig } from "pg";
import type { WokenFor } from "../../core/store.ts";
import { maybeUnnamed } from "./connection.ts";

/** The channel of these calls. */
export const WAKE_CHANNEL = "robson_wake";

/** The most shards that a call names; the payload of a NOTIFY has less than 8,000 bytes. */
const MAX_NAMED = 500;
const MESSAGES_ALONE = "m";

export interface Call {
  gatewayId: number;
  shard: number;
  isForMessagesAlone: boolean;
}

/** `gateway id:shard`, then `:m` where only messages wait there. */
export function callOf({ gatewayId, shard, isForMessagesAlone }: Call): string {
  return `${gatewayId}:${shard}${isForMessagesAlone ? `:${MESSAGES_ALONE}` : ""}`;
}

/** What a payload calls upon, for whom `isMine` says yes; undefined: nothing. An empty payload calls upon everyone. */
export function readCalls(
  payload: string,
  isMine: (gatewayId: number, shard: number) => boolean,
): WokenFor | undefined {
  if (payload === "") return "all";
  const mine = payload.split(",").filter((call) => {
    const [gatewayId, shard] = call.split(":").map(Number);
    return isMine(gatewayId ?? Number.NaN, shard ?? Number.NaN);
  });
  if (mine.length === 0) return undefined;
  return mine.every((call) => call.endsWith(`:${MESSAGES_ALONE}`)) ? "messages" : "all";
}

export class WakeCalls {
  readonly #pool: Pool;
  readonly #say: QueryConfig;
  readonly #waiting = new Set<string>();
  #underWay: Promise<void> | undefined;

  constructor(pool: Pool, { hasPooler = false } = {}) {
    this.#pool = pool;
    this.#say = maybeUnnamed(SAY, hasPooler);
  }

  /** A crash before it is said, or a call that is lost, is made good by the owner's fallback poll. */
  call(calls: string[]): void {
    if (calls.length === 0) return;
    for (const call of calls) this.#waiting.add(call);
    this.#underWay ??= this.#sayAll().finally(() => {
      this.#underWay = undefined;
    });
  }

  /** Resolves when all is said. */
  async close(): Promise<void> {
    await this.#underWay;
  }

  async #sayAll(): Promise<void> {
    while (this.#waiting.size > 0) {
      const payload = this.#waiting.size > MAX_NAMED ? "" : [...this.#waiting].join(",");
      this.#waiting.clear();
      await this.#pool.query({ ...this.#say, values: [WAKE_CHANNEL, payload] }).catch(() => undefined);
    }
  }
}

/**
 * Nothing is lost with the server's last moments but the call itself, so no flush is waited for. It has a name, so that
 * the server parses and plans it once for a connection.
 */
const SAY = {
  name: "robson_call",
  text: "select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)",
};
