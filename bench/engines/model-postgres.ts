/**
 * What the design can reach on PostgreSQL with one process while it keeps its promises: one statement a batch with
 * arrays, one batch under way per connection, fenced by the epoch. The rows are those of the SQLite model.
 */
import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Answered, BenchMessage, Engine, Stored, Surroundings } from "../engine.ts";
import { answeredId, answerTo, needed } from "../engine.ts";
import { sleep } from "../readings.ts";
import { ModelLanes, route } from "./lanes.ts";

const CONNECTIONS = 2;
const MAX_BATCH = 500;
const SLOTS = 512;
const PAGE = 2000;

type Operation =
  | { kind: "accept"; message: BenchMessage; status: string }
  | { kind: "begin"; id: number }
  | { kind: "answer"; open: OpenRow; worker: number; answer: string }
  | { kind: "delivered"; event: number; target: string };

interface Pending {
  operation: Operation;
  resolve(id: number): void;
  reject(error: unknown): void;
}

interface OpenRow {
  id: number;
  conversation: string;
  content: string;
}

export async function modelPostgres(surroundings: Surroundings): Promise<Engine> {
  const url = needed(surroundings.postgresUrl, "PostgreSQL");
  const reader = await connect(url);
  await reader.query(TABLES);
  const writers = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => new Writer(await connect(url))),
  );
  const write = (conversation: string, operation: Operation) =>
    (writers[Number(conversation.slice(1)) % CONNECTIONS] as Writer).submit(operation);
  const lanes = new ModelLanes(SLOTS);
  let onDelivered: (answered: Answered) => void = () => undefined;

  const work = (open: OpenRow) => async () => {
    const { conversation, content } = open;
    const worker = route(content);
    const answer = await handle(content);
    const event = await write(conversation, { kind: "answer", open, worker, answer });
    lanes.enter(`out ${conversation}`, async () => {
      onDelivered({ id: answeredId(answer), conversation });
      await write(conversation, { kind: "delivered", event, target: conversation });
    });
  };
  const counts = async () => (await reader.query<Record<keyof Stored, number>>(COUNTS)).rows[0] as Stored;

  return {
    name: "model-postgres",
    variant: surroundings.variant,
    durability: "PostgreSQL, synchronous_commit=on",
    ...(surroundings.serverPid === undefined ? {} : { serverPid: surroundings.serverPid }),
    init: async () => undefined,
    async enqueue(message) {
      const { conversation, text: content } = message;
      const id = await write(conversation, { kind: "accept", message, status: "claimed" });
      lanes.enter(conversation, work({ id, conversation, content }));
    },
    async enqueueMany(messages) {
      const accept = (message: BenchMessage) =>
        write(message.conversation, { kind: "accept", message, status: "pending" });
      await Promise.all(messages.map(accept));
    },
    async start(callback) {
      onDelivered = callback;
      lanes.open();
      for (let last = 0; ; ) {
        const { rows } = await reader.query<OpenRow>(OPEN, [last, PAGE]);
        for (const row of rows) {
          lanes.enter(row.conversation, async () => {
            await write(row.conversation, { kind: "begin", id: row.id });
            await work(row)();
          });
        }
        last = rows.at(-1)?.id ?? last;
        if (rows.length < PAGE) return;
      }
    },
    async drained() {
      while ((await counts()).open > 0) await sleep(2);
    },
    async stop() {
      await Promise.all([reader.end(), ...writers.map((writer) => writer.end())]);
    },
    stored: counts,
  };
}

async function handle(content: string): Promise<string> {
  return answerTo({ text: content });
}

async function connect(url: string): Promise<pg.Client> {
  const getTypeParser = (oid: number, format?: "text" | "binary") =>
    oid === 20 ? Number : pg.types.getTypeParser(oid, format as "text");
  const client = new pg.Client({ connectionString: url, types: { getTypeParser } as pg.CustomTypesConfig });
  await client.connect();
  return client;
}

class Writer {
  readonly #client: pg.Client;
  #queue: Pending[] = [];
  #isBusy = false;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  submit(operation: Operation): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ operation, resolve, reject });
      if (this.#isBusy) return;
      this.#isBusy = true;
      setImmediate(() => void this.#writeAll());
    });
  }

  end(): Promise<void> {
    return this.#client.end();
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, MAX_BATCH);
      try {
        await this.#write(batch);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#isBusy = false;
  }

  async #write(batch: Pending[]): Promise<void> {
    const of = <Kind extends Operation["kind"]>(kind: Kind) =>
      batch.flatMap(({ operation, resolve }) =>
        operation.kind === kind ? [{ ...(operation as Extract<Operation, { kind: Kind }>), resolve }] : [],
      );
    const [accepts, begins, answers, ends] = [of("accept"), of("begin"), of("answer"), of("delivered")];
    const instant = Date.now();
    const { rows } = await this.#client.query<{ made: string[]; emitted: string[] }>({
      name: "way",
      text: WAY,
      values: [
        accepts.map(() => randomUUID()),
        accepts.map(({ message }) => message.conversation),
        accepts.map(({ message }) => message.user),
        accepts.map(({ message }) => message.text),
        accepts.map(({ message }) => `bench-${message.id}`),
        accepts.map(({ status }) => status),
        begins.map(({ id }) => id),
        answers.map(({ open }) => open.id),
        answers.map(({ answer }) => answer),
        answers.map(({ worker }) => `worker-${worker}`),
        answers.map(({ open }) => open.conversation),
        answers.map(() => randomUUID()),
        ends.map(({ event }) => event),
        ends.map(({ target }) => target),
        instant,
      ],
    });
    const { made = [], emitted = [] } = rows[0] ?? {};
    if (made.length !== accepts.length || emitted.length !== answers.length) throw new Error("lease lost");
    for (const [index, { resolve }] of accepts.entries()) resolve(Number(made[index]));
    for (const [index, { resolve }] of answers.entries()) resolve(Number(emitted[index]));
    for (const { resolve } of [...begins, ...ends]) resolve(0);
  }
}

const TABLES = `create table conversations (id bigint generated always as identity primary key, message_id text not null,
    gateway_id bigint, gateway_channel_id text not null, thread_ts text not null, user_id text not null,
    role text not null, content text not null, is_addressed smallint not null, idempotency_key text,
    created_at bigint not null);
  create unique index on conversations (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null;
  create table inbox (conversation_id bigint primary key, status text not null, attempts int not null,
    interruptions int not null default 0, next_attempt_at bigint, last_error text, is_unowned smallint not null);
  create index on inbox (conversation_id) where is_unowned = 1;
  create table process_events (id bigint generated always as identity primary key, conversation_id bigint not null,
    sequence bigint not null, kind text not null, content text not null, worker text, created_at bigint not null,
    delivered_at bigint, transaction_id bigint not null default pg_current_xact_id()::text::bigint,
    unique (conversation_id, sequence));
  create index on process_events (transaction_id, id);
  create table process_event_deliveries (event_id bigint not null, gateway_id bigint not null, target text not null,
    delivery_id text not null, status text not null, attempts int not null, interruptions int not null default 0,
    next_retry_at bigint, last_error text, delivered_at bigint, subscriber_id bigint,
    primary key (event_id, gateway_id, target));
  create index on process_event_deliveries (event_id) where status in ('pending', 'claimed');
  create index on process_event_deliveries (event_id) where status = 'dead';
  create table leases (name text primary key, epoch bigint not null);
  insert into leases values ('loop', 1)`;

const WAY = `with lease as (select 1 from leases where name = 'loop' and epoch = 1 for share),
accepted as (
  insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts, user_id, role, content,
    is_addressed, idempotency_key, created_at)
  select m, 1, channel, '', usr, 'user', content, 1, key, $15::int8
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) with ordinality
    as x (m, channel, usr, content, key, position), lease order by position
  on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing
  returning id, message_id),
opened as (
  insert into inbox (conversation_id, status, attempts, is_unowned)
  select id, status, case status when 'claimed' then 1 else 0 end, 0 from accepted
  join unnest($1::text[], $6::text[]) as x (message_id, status) using (message_id)),
begun as (
  update inbox set status = 'claimed', attempts = attempts + 1 from unnest($7::int8[]) as x (id), lease
  where conversation_id = x.id),
closed as (delete from inbox using unnest($8::int8[]) as x (id), lease where conversation_id = x.id),
emitted as (
  insert into process_events (conversation_id, sequence, kind, content, worker, created_at)
  select id, -1, 'completed', answer, worker, $15::int8
  from unnest($8::int8[], $9::text[], $10::text[]) with ordinality as x (id, answer, worker, position), lease
  order by position on conflict (conversation_id, sequence) do nothing returning id, conversation_id),
addressed as (
  insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts)
  select emitted.id, 1, x.target, x.delivery_id, 'claimed', 1 from emitted
  join unnest($8::int8[], $11::text[], $12::text[]) as x (conversation_id, target, delivery_id) using (conversation_id)),
delivered as (
  update process_event_deliveries d set status = 'done', delivered_at = $15::int8
  from unnest($13::int8[], $14::text[]) as x (event_id, target), lease
  where d.event_id = x.event_id and d.gateway_id = 1 and d.target = x.target),
stamped as (
  update process_events set delivered_at = $15::int8 from unnest($13::int8[]) as x (event_id), lease
  where id = x.event_id)
select (select coalesce(array_agg(id order by id), '{}') from accepted) as made,
  (select coalesce(array_agg(id order by id), '{}') from emitted) as emitted`;

const OPEN = `select c.id, c.gateway_channel_id as conversation, c.content from inbox i
  join conversations c on c.id = i.conversation_id where i.conversation_id > $1 order by i.conversation_id limit $2`;

const COUNTS = `select (select count(*) from conversations) as messages, (select count(*) from inbox)
  + (select count(*) from process_event_deliveries where status in ('pending', 'claimed')) as open,
  (select count(*) from process_events) as events,
  (select count(*) from process_events where delivered_at is not null) as delivered`;
