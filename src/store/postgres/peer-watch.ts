/**
 * Waits for the end of one other process: its lock is asked for on a connection of its own, and granted by the
 * server in the moment when the process's connection ends. That is how a death is known at once.
 */
import { setTimeout } from "node:timers/promises";
import type { Client, Pool } from "pg";
import { connect, endClient } from "./connection.ts";
import { PROCESS_LOCK_CLASS } from "./session.ts";

/** How long after trouble with its connection the next try is made. */
const RETRY_MS = 1000;

/**
 * How long one wait is. What a statement could see when it began is kept by the server until it ends: with one that waits
 * for days no row that was changed since could be cleaned up, anywhere in the database. Less than `deadlock_timeout`,
 * from which on a server may log each wait.
 */
const WAIT_MS = 900;

export interface PeerWatchOptions {
  url: string;
  pool: Pool;
  /** The connection of the process that is watched has ended, or the one that watches it. */
  onGone(): void;
}

export class PeerWatch {
  readonly #options: PeerWatchOptions;
  #peerId: number | undefined;
  #client: Promise<Client> | undefined;

  constructor(options: PeerWatchOptions) {
    this.#options = options;
  }

  /** Watches this one instead of the one before; undefined: nobody. */
  watch(peerId: number | undefined): void {
    if (peerId === this.#peerId) return;
    this.#peerId = peerId;
    void this.#hangUp();
    if (peerId !== undefined) void this.#waitFor(peerId);
  }

  async end(): Promise<void> {
    this.#peerId = undefined;
    await this.#hangUp();
  }

  async #waitFor(peerId: number): Promise<void> {
    const connecting = connect(this.#options.url, { isPatient: true });
    this.#client = connecting;
    try {
      const client = await connecting;
      // Should this process be killed: the server is not to wait on in its name. Before PostgreSQL 14 it cannot be told.
      await client.query(
        "select set_config(name, '5s', false) from pg_settings where name = 'client_connection_check_interval'",
      );
      await client.query(`set lock_timeout = ${WAIT_MS}`);
      await client.query(waitForLockOf(peerId));
    } catch {
      // The connection broke: whether the peer lives is seen at the next look, which watches again.
      await setTimeout(RETRY_MS, undefined, { ref: false });
    }
    if (this.#client !== connecting) return;
    await this.#hangUp();
    this.#peerId = undefined;
    this.#options.onGone();
  }

  async #hangUp(): Promise<void> {
    const connecting = this.#client;
    this.#client = undefined;
    const client = await connecting?.catch(() => undefined);
    if (!client) return;
    const { processID } = client as unknown as { processID: number };
    // One that waits does not hear that its client says goodbye.
    await this.#options.pool.query("select pg_cancel_backend($1)", [processID]).catch(() => undefined);
    await endClient(client);
  }
}

/** Waits on the server, in one statement but in transactions of `WAIT_MS` each: nothing of that is sent or logged. */
function waitForLockOf(peerId: number): string {
  return `do $$ begin loop
    begin
      perform pg_advisory_lock_shared(${PROCESS_LOCK_CLASS}, ${peerId});
      return;
    exception when lock_not_available then null;
    end;
    commit;
  end loop; end $$`;
}
