/**
 * One connection of the writer: writes one batch at a time and answers its operations. A batch that the server refuses
 * is halved until the one row it refuses is alone; one that it ends for another's sake is written again. All that it runs is planned once, for tables of any size.
 */
import type { Client } from "pg";
import type { RobsonError } from "../../core/errors.ts";
import type { RunChange } from "../../core/run-store.ts";
import type { AcceptedByOwner, StoredEvent } from "../../core/store.ts";
import { deliveryClosed, leaseLost } from "../owner-errors.ts";
import { locksOf, writeRun } from "../run-changes.ts";
import { connect, endClient, maybeUnnamed } from "./connection.ts";
import { toStoreError } from "./errors.ts";
import { findKnown } from "./known-message.ts";
import { MAX_ATTEMPTS, wasForAnother } from "./repeat.ts";
import type { WakeCalls } from "./wake-calls.ts";
import { EVENT_BY_SEQUENCE, readWayResult, type WayOperation, type WayResult, wayQuery } from "./way.ts";
import { callsOf, isForOther } from "./way-lists.ts";

export interface Pending {
  operation: WayOperation;
  /** Of its thread. */
  shard: number;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export interface WriterConnectionOptions {
  url: string;
  location: string;
  epoch: number;
  /** Whether its statements have no names (connection.ts). */
  hasPooler: boolean;
  idOf(gateway: string): number;
  wakeCalls: WakeCalls;
}

/**
 * A statement is planned once, perhaps while the tables are empty: never by reading a whole table, or all that is to be
 * taken. For small batches the server would think a plan of their own worth it each time, which costs as much again.
 */
export const PLANNED_ONCE =
  "set enable_seqscan = off; set enable_sort = off; set plan_cache_mode = force_generic_plan";

export class WriterConnection {
  readonly #options: WriterConnectionOptions;
  #client: Client | undefined;
  #connecting: Promise<Client> | undefined;
  /** Set while a transaction of several statements is under way: what came in between would be a part of it. */
  #transaction: Promise<void> | undefined;

  constructor(options: WriterConnectionOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    await this.#connected();
  }

  async close(): Promise<void> {
    await this.#connecting?.catch(() => undefined);
    await this.#end();
  }

  /** Gives up what is under way. */
  drop(): void {
    void this.#end();
  }

  async #end(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client) await endClient(client);
  }

  /** Runs a statement by its name, in a transaction of its own, behind the batch under way. */
  async ask<Row extends object>(
    statement: { name: string; text: string },
    values: unknown[],
  ): Promise<Row[]> {
    try {
      let client = await this.#connected();
      while (this.#transaction) {
        await this.#transaction;
        client = await this.#connected();
      }
      return (await client.query<Row>({ ...maybeUnnamed(statement, this.#options.hasPooler), values })).rows;
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  /** Resolves when each operation of the batch has its answer or its error. */
  async write(batch: Pending[], attempt = 1): Promise<void> {
    try {
      await this.#writeOrThrow(batch);
      const { wakeCalls, idOf } = this.#options;
      wakeCalls.call(batch.flatMap(({ operation }) => callsOf(operation, idOf)));
    } catch (cause) {
      if (attempt < MAX_ATTEMPTS && wasForAnother(cause)) return this.write(batch, attempt + 1);
      const error = this.#failed(cause);
      if (error.code === "STORE_REFUSED_ROW" && batch.length > 1) {
        const half = Math.ceil(batch.length / 2);
        await this.write(batch.slice(0, half));
        await this.write(batch.slice(half));
        return;
      }
      for (const pending of batch) pending.reject(error);
    }
  }

  /** A connection that has failed is made anew for the next. */
  #failed(cause: unknown): RobsonError {
    const error = toStoreError(cause, this.#options.location);
    if (error.code === "STORE_UNAVAILABLE") this.drop();
    return error;
  }

  async #writeOrThrow(batch: Pending[]): Promise<void> {
    const client = await this.#connected();
    const run = batch[0] && runOf(batch[0].operation);
    if (!run) return this.#writeBatch(client, batch);
    const ended = Promise.withResolvers<void>();
    this.#transaction = ended.promise;
    try {
      await this.#writeInTransaction(client, { batch, run });
    } finally {
      this.#transaction = undefined;
      ended.resolve();
    }
  }

  async #writeInTransaction(
    client: Client,
    { batch, run }: { batch: Pending[]; run: RunChange },
  ): Promise<void> {
    // The answers wait for the commit.
    const answers: (() => void)[] = [];
    const later = batch.map(
      ({ operation, shard, resolve, reject }): Pending => ({
        operation,
        shard,
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
      await client.query("rollback").catch(() => this.drop());
      throw error;
    }
    for (const answer of answers) answer();
  }

  async #writeBatch(client: Client, batch: Pending[]): Promise<void> {
    const query = wayQuery(
      batch.map(({ operation }) => operation),
      this.#options,
    );
    const { rows } = await client.query<WayResult>(maybeUnnamed(query, this.#options.hasPooler));
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
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<Client> {
    const client = await connect(this.#options.url);
    client.on("error", () => {
      if (this.#client === client) this.drop();
    });
    await client.query(PLANNED_ONCE);
    this.#client = client;
    return client;
  }
}

/** What of an operation has a transaction for itself. */
export function runOf(operation: WayOperation): RunChange | undefined {
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
    const { accept } = operation;
    const known = await findKnown(client, { ...accept, isForOther: isForOther(accept.placement) });
    return { ...known, isDuplicate: true, hasUnowned: false };
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
