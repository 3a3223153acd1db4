/**
 * The way to write to PostgreSQL for the owner: a few connections, each with one batch under way; what arrives
 * meanwhile shares the next one. A thread always uses the same connection, so that its writes keep their order.
 * A batch that the server refuses is halved until the one row it refuses is alone.
 */
import type { Client, Pool } from "pg";
import type { RunChange } from "../../core/run-store.ts";
import type { AcceptedByOwner, StoredEvent } from "../../core/store.ts";
import { deliveryClosed, leaseLost } from "../owner-errors.ts";
import { locksOf, writeRun } from "../run-changes.ts";
import { connect, endClient } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { WakeCalls } from "./wake-calls.ts";
import {
  CONVERSATION_BY_KEY,
  EVENT_BY_SEQUENCE,
  readWayResult,
  rowsOf,
  type WayOperation,
  type WayResult,
  wayQuery,
} from "./way.ts";
import { callsOf } from "./way-lists.ts";

/** How many operations one statement carries at the most. */
const MAX_BATCH_OPERATIONS = 256;
/** How many connections write side by side. */
const WRITER_CONNECTIONS = 2;

/** How long closing waits for the batches under way. */
const CLOSE_TIMEOUT_MS = 5000;

interface Pending {
  operation: WayOperation;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export interface WriterOptions {
  url: string;
  location: string;
  epoch: number;
  idOf(gateway: string): number;
  /** For what is not written, but said: that others have to look. */
  pool: Pool;
}

export class PostgresWriter {
  readonly #connections: WriterConnection[];
  readonly #wakeCalls: WakeCalls;

  constructor(options: WriterOptions) {
    const wakeCalls = new WakeCalls(options.pool);
    this.#wakeCalls = wakeCalls;
    this.#connections = Array.from(
      { length: WRITER_CONNECTIONS },
      () => new WriterConnection({ ...options, wakeCalls }),
    );
  }

  accept(
    shard: number,
    accept: Extract<WayOperation, { accept: unknown }>["accept"],
  ): Promise<AcceptedByOwner> {
    return this.#of(shard).submit({ accept }) as Promise<AcceptedByOwner>;
  }

  record(change: Extract<WayOperation, { change: unknown }>["change"]): Promise<StoredEvent[]> {
    return this.#of(change.shard).submit({ change }) as Promise<StoredEvent[]>;
  }

  /** Ends the connections after the batches under way and waiting. */
  async close(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await this.#wakeCalls.close();
  }

  #of(shard: number): WriterConnection {
    return this.#connections[shard % this.#connections.length] as WriterConnection;
  }
}

class WriterConnection {
  readonly #options: WriterOptions & { wakeCalls: WakeCalls };
  #client: Client | undefined;
  #queue: Pending[] = [];
  #isScheduled = false;
  #idleCallbacks: (() => void)[] = [];

  constructor(options: WriterOptions & { wakeCalls: WakeCalls }) {
    this.#options = options;
  }

  submit(operation: WayOperation): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ operation, resolve, reject });
      if (this.#isScheduled) return;
      this.#isScheduled = true;
      setImmediate(() => void this.#flush());
    });
  }

  async close(): Promise<void> {
    if (this.#isScheduled) {
      // A server that does not answer any more must not hold up a stop: what is under way is given up then.
      const hangUp = setTimeout(() => this.#drop(), CLOSE_TIMEOUT_MS);
      await new Promise<void>((resolve) => {
        this.#idleCallbacks.push(resolve);
      });
      clearTimeout(hangUp);
    }
    const client = this.#client;
    this.#client = undefined;
    if (client) await endClient(client);
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      await this.#write(this.#takeBatch());
    }
    this.#isScheduled = false;
    for (const callback of this.#idleCallbacks.splice(0)) callback();
  }

  /** The next operations up to the first that writes a row which another of them writes. */
  #takeBatch(): Pending[] {
    const written = new Set<string>();
    let count = 0;
    for (const { operation } of this.#queue) {
      const rows = rowsOf(operation);
      // A change of a run has statements of its own, and a transaction for itself.
      if (runOf(operation) && count > 0) break;
      if (count === MAX_BATCH_OPERATIONS || rows.some((row) => written.has(row))) break;
      for (const row of rows) written.add(row);
      count += 1;
      if (runOf(operation)) break;
    }
    return this.#queue.splice(0, count);
  }

  async #write(batch: Pending[]): Promise<void> {
    try {
      await this.#writeOrThrow(batch);
      const { wakeCalls, idOf } = this.#options;
      wakeCalls.call(batch.flatMap(({ operation }) => callsOf(operation, idOf)));
    } catch (cause) {
      const error = toStoreError(cause, this.#options.location);
      if (error.code === "STORE_REFUSED_ROW" && batch.length > 1) {
        const half = Math.ceil(batch.length / 2);
        await this.#write(batch.slice(0, half));
        await this.#write(batch.slice(half));
        return;
      }
      if (error.code === "STORE_UNAVAILABLE") this.#drop();
      for (const pending of batch) pending.reject(error);
    }
  }

  async #writeOrThrow(batch: Pending[]): Promise<void> {
    const client = await this.#connected();
    const run = batch[0] && runOf(batch[0].operation);
    if (!run) return this.#writeBatch(client, batch);
    // The answers wait for the commit.
    const answers: (() => void)[] = [];
    const later = batch.map(
      ({ operation, resolve, reject }): Pending => ({
        operation,
        resolve: (value) => answers.push(() => resolve(value)),
        reject: (error) => answers.push(() => reject(error)),
      }),
    );
    try {
      await client.query("begin");
      for (const { text, values } of locksOf(run)) await client.query(text, values);
      await this.#writeBatch(client, later);
      await writeRunTo(client, run);
      await client.query("commit");
    } catch (error) {
      // A connection on which that fails too is dropped by whoever gets the error.
      await client.query("rollback").catch(() => this.#drop());
      throw error;
    }
    for (const answer of answers) answer();
  }

  async #writeBatch(client: Client, batch: Pending[]): Promise<void> {
    const query = wayQuery(
      batch.map(({ operation }) => operation),
      this.#options,
    );
    const { rows } = await client.query<WayResult>(query);
    const result = rows[0];
    if (!result?.is_owner) throw leaseLost(this.#options.location);
    const written = readWayResult(result);
    const known: Pending[] = [];
    let deliveryChanges = 0;
    for (const pending of batch) {
      if ("change" in pending.operation && pending.operation.change.delivery) {
        deliveryChanges += 1;
        if (written.isClosed(deliveryChanges)) {
          pending.reject(deliveryClosed());
          continue;
        }
      }
      const answer = answerOf(pending.operation, written);
      if (answer === undefined) known.push(pending);
      else pending.resolve(answer);
    }
    for (const { operation, resolve, reject } of known) {
      const answer = lookUp(client, { operation, written });
      await answer.then(resolve, (error) => reject(toStoreError(error, this.#options.location)));
    }
  }

  async #connected(): Promise<Client> {
    if (this.#client) return this.#client;
    const client = await connect(this.#options.url);
    client.on("error", () => {
      if (this.#client === client) this.#drop();
    });
    // The statement is planned once, perhaps while the tables are empty: never by reading a whole table.
    await client.query("set enable_seqscan = off");
    this.#client = client;
    return client;
  }

  #drop(): void {
    const client = this.#client;
    this.#client = undefined;
    if (client) void endClient(client);
  }
}

function runOf(operation: WayOperation): RunChange | undefined {
  return "change" in operation ? operation.change.run : undefined;
}

async function writeRunTo(client: Client, change: RunChange): Promise<void> {
  const statements = writeRun(change);
  let next = statements.next();
  while (!next.done) {
    const { text, values } = next.value;
    next = statements.next((await client.query(text, values)).rows);
  }
}

type Written = ReturnType<typeof readWayResult>;

/** Undefined where the batch has not made every row of the operation: some were there before. */
function answerOf(operation: WayOperation, written: Written): AcceptedByOwner | StoredEvent[] | undefined {
  if ("accept" in operation) {
    const conversationId = written.conversationOf(operation.accept.message.id);
    const { hasUnowned } = written;
    return conversationId === undefined ? undefined : { conversationId, isDuplicate: false, hasUnowned };
  }
  const events = written.eventsOf(operation.change);
  return events.every((event) => event !== undefined) ? events : undefined;
}

/** Finds what was there before, row by row: it happens only after a crash or for a repeated message. */
async function lookUp(
  client: Client,
  { operation, written }: { operation: WayOperation; written: Written },
): Promise<AcceptedByOwner | StoredEvent[]> {
  if ("accept" in operation) {
    const { gatewayId, message } = operation.accept;
    const { rows } = await client.query<{ id: number }>(CONVERSATION_BY_KEY, [
      gatewayId,
      message.idempotencyKey,
    ]);
    return { conversationId: Number(rows[0]?.id), isDuplicate: true, hasUnowned: false };
  }
  const events: StoredEvent[] = [];
  for (const [index, made] of written.eventsOf(operation.change).entries()) {
    const { conversationId, sequence, deliveries = [] } = operation.change.events?.[index] ?? {};
    const ids = deliveries.map(({ deliveryId }) => deliveryId);
    const { rows } = await client.query<{ id: number; is_same: boolean }>(EVENT_BY_SEQUENCE, [
      conversationId,
      sequence,
      ids,
    ]);
    events.push(made ?? { eventId: Number(rows[0]?.id), isNew: rows[0]?.is_same ?? false });
  }
  return events;
}
