/**
 * The connection by which others know that a process is there: it holds a session advisory lock, which the server
 * frees when the connection ends, and listens for what other processes have to say. When it breaks it is made
 * anew, for as long as it takes.
 */
import { type Client, DatabaseError, type QueryResultRow } from "pg";
import { connect, endClient, hangUp } from "./connection.ts";

/** The advisory locks of Robson's processes: a class of our own, and the process's id in it. */
export const PROCESS_LOCK_CLASS = 7_626_000;
/** The channel on which processes say that one has come or gone, or that shards are free. */
export const MEMBERS_CHANNEL = "robson_members";

export interface SessionOptions {
  url: string;
  /** How long an answer may take. */
  timeoutMs: number;
  /** The channels to listen on, beside `MEMBERS_CHANNEL`. */
  channels: string[];
  onNotification(channel: string, payload: string): void;
  /** The connection is there again; what was said meanwhile is lost. */
  onReconnected(): void;
}

const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 1000;

export class Session {
  readonly processId: number;
  readonly #options: SessionOptions;
  #client: Client;
  /** When it was made anew for the last time, by `performance.now`. */
  #reconnectedAt = Number.NEGATIVE_INFINITY;
  #isEnded = false;
  #cancelWait: (() => void) | undefined;

  /** `register` makes the process known; its lock is held before others can see that. */
  static async open(
    options: SessionOptions,
    register: (client: Client) => Promise<number>,
  ): Promise<Session> {
    const client = await connect(options.url, { timeoutMs: options.timeoutMs });
    try {
      await client.query("begin");
      const processId = await register(client);
      await lock(client, processId);
      await client.query("commit");
      await listen(client, options);
      return new Session(client, { processId, options });
    } catch (error) {
      await endClient(client);
      throw error;
    }
  }

  private constructor(
    client: Client,
    { processId, options }: { processId: number; options: SessionOptions },
  ) {
    this.processId = processId;
    this.#options = options;
    this.#client = client;
    this.#follow(client);
  }

  /** How long ago the connection was made anew; Infinity when it never broke. */
  get settledMs(): number {
    return performance.now() - this.#reconnectedAt;
  }

  /**
   * Asks on this connection, which nothing else can keep busy. One that does not answer in time is given up and
   * made anew: the network may be gone without a word.
   */
  async query<Row extends QueryResultRow>(text: string, values: unknown[]): Promise<Row[]> {
    const client = this.#client;
    try {
      return (await client.query<Row>({ text, values })).rows;
    } catch (error) {
      if (!(error instanceof DatabaseError)) hangUp(client);
      throw error;
    }
  }

  async end(): Promise<void> {
    this.#isEnded = true;
    this.#cancelWait?.();
    await endClient(this.#client);
  }

  #follow(client: Client): void {
    client.on("notification", ({ channel, payload }) => this.#options.onNotification(channel, payload ?? ""));
    client.once("end", () => void this.#reconnect());
  }

  async #reconnect(): Promise<void> {
    for (let waitMs = FIRST_WAIT_MS; !this.#isEnded; waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)) {
      this.#reconnectedAt = performance.now();
      const client = await this.#connectAgain().catch(() => undefined);
      if (client) {
        this.#client = client;
        if (this.#isEnded) return endClient(client);
        this.#follow(client);
        this.#options.onReconnected();
        return;
      }
      await this.#wait(waitMs);
    }
  }

  async #connectAgain(): Promise<Client> {
    const client = await connect(this.#options.url, { timeoutMs: this.#options.timeoutMs });
    try {
      // The server may not have noticed yet that the former connection is gone.
      await client.query(
        `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and classid = $1 and objid = $2
         and mode = 'ExclusiveLock' and pid <> pg_backend_pid() and ${IN_THIS_DATABASE}`,
        [PROCESS_LOCK_CLASS, this.processId],
      );
      await lock(client, this.processId);
      await listen(client, this.#options);
      return client;
    } catch (error) {
      await endClient(client);
      throw error;
    }
  }

  #wait(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#cancelWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** A condition over pg_locks: advisory locks of other databases have the same numbers. */
export const IN_THIS_DATABASE = "database = (select oid from pg_database where datname = current_database())";

async function lock(client: Client, processId: number): Promise<void> {
  await client.query("select pg_advisory_lock($1, $2)", [PROCESS_LOCK_CLASS, processId]);
}

async function listen(client: Client, { channels }: SessionOptions): Promise<void> {
  for (const channel of [MEMBERS_CHANNEL, ...channels]) await client.query(`listen ${channel}`);
}
