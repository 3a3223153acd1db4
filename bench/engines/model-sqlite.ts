/**
 * What the design can reach on SQLite while it keeps its promises, with as little program as possible: group commit,
 * memory schedules and the database remembers. It writes the rows of the contract: the message with its idempotency
 * key, the inbox row with its attempts, the event, its delivery with an id of its own, fenced by the epoch.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Answered, BenchMessage, Engine, Stored, Surroundings } from "../engine.ts";
import { answeredId, answerTo } from "../engine.ts";
import { sleep } from "../readings.ts";
import { ModelLanes, route } from "./lanes.ts";

const MAX_BATCH = 512;
const SLOTS = 256;
const PAGE = 2000;

interface Operation {
  run(): unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  result?: unknown;
}

interface OpenRow {
  id: number;
  conversation: string;
  content: string;
}

export async function modelSqlite({ folder, variant }: Surroundings): Promise<Engine> {
  const db = new DatabaseSync(join(folder, "model.db"));
  db.exec(
    "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 4000; pragma cache_size = -32000",
  );
  db.exec(TABLES);
  const statements = prepare(db);
  const write = createWriter(statements);
  const lanes = new ModelLanes(SLOTS);
  let onDelivered: (answered: Answered) => void = () => undefined;

  const accept = ({ id, conversation, user, text }: BenchMessage, status: string) =>
    write(() => {
      const attempts = status === "claimed" ? 1 : 0;
      const { conversation: insert, inbox } = statements;
      const { lastInsertRowid } = insert.run(
        ...[randomUUID(), 1, conversation, "", user, "user", text, 1, `bench-${id}`, Date.now()],
      );
      inbox.run(lastInsertRowid, status, attempts, 0);
      return Number(lastInsertRowid);
    });
  const work = (open: OpenRow) => async () => {
    const worker = route(open.content);
    const answer = await handle(open.content);
    const event = await write(() => storeAnswer(statements, { open, worker, answer }));
    lanes.enter(`out ${open.conversation}`, async () => {
      onDelivered({ id: answeredId(answer), conversation: open.conversation });
      await write(() => {
        statements.delivered.run("done", 1, 0, null, null, Date.now(), event as number, 1, open.conversation);
        statements.stamp.run(Date.now(), event as number);
      });
    });
  };

  return {
    name: "model-sqlite",
    variant,
    durability: "SQLite WAL, synchronous=full",
    init: async () => undefined,
    async enqueue(message) {
      const id = Number(await accept(message, "claimed"));
      const { conversation, text: content } = message;
      lanes.enter(conversation, work({ id, conversation, content }));
    },
    async enqueueMany(messages) {
      await Promise.all(messages.map((message) => accept(message, "pending")));
    },
    async start(callback) {
      onDelivered = callback;
      lanes.open();
      for (let last = 0; ; ) {
        const rows = statements.open.all(last, PAGE) as unknown as OpenRow[];
        for (const row of rows) lanes.enter(row.conversation, begin(row, { write, statements, work }));
        last = rows.at(-1)?.id ?? last;
        if (rows.length < PAGE) return;
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    async drained() {
      while (Number(statements.counts.get()?.open) > 0) await sleep(1);
    },
    stop: async () => db.close(),
    stored: async () => statements.counts.get() as unknown as Stored,
  };
}

/** An attempt is counted when it begins. */
function begin(
  row: OpenRow,
  model: {
    write(run: () => unknown): Promise<unknown>;
    statements: ReturnType<typeof prepare>;
    work(row: OpenRow): () => Promise<void>;
  },
) {
  return async () => {
    await model.write(() => model.statements.begun.run("claimed", 1, 0, null, null, row.id));
    await model.work(row)();
  };
}

async function handle(content: string): Promise<string> {
  return answerTo({ text: content });
}

function storeAnswer(
  { event, delivery, done }: ReturnType<typeof prepare>,
  { open, worker, answer }: { open: OpenRow; worker: number; answer: string },
): number {
  const stored = event.run(open.id, -1, "completed", answer, `worker-${worker}`, Date.now(), null);
  delivery.run(stored.lastInsertRowid, 1, open.conversation, randomUUID(), "claimed", 1, null);
  done.run(open.id);
  return Number(stored.lastInsertRowid);
}

/** Operations of one turn of the event loop share a transaction. */
function createWriter({ begin, commit, epoch }: ReturnType<typeof prepare>) {
  const queue: Operation[] = [];
  let isScheduled = false;
  const flush = () => {
    const batch = queue.splice(0, MAX_BATCH);
    try {
      begin.run();
      if (epoch.get()?.epoch !== 1) throw new Error("lease lost");
      for (const operation of batch) operation.result = operation.run();
      commit.run();
      for (const { resolve, result } of batch) resolve(result);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    isScheduled = queue.length > 0;
    if (isScheduled) setImmediate(flush);
  };
  return (run: () => unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      queue.push({ run, resolve, reject });
      if (isScheduled) return;
      isScheduled = true;
      setImmediate(flush);
    });
}

/** As Robson's migrations make them, those of a message's way. */
const TABLES = `create table conversations (id integer primary key, message_id text not null, gateway_id integer,
    gateway_channel_id text not null, thread_ts text not null, user_id text not null, role text not null,
    content text not null, is_addressed integer not null, idempotency_key text, created_at integer not null);
  create unique index conversations_idempotency on conversations (coalesce(gateway_id, 0), idempotency_key)
    where idempotency_key is not null;
  create table inbox (conversation_id integer primary key, status text not null, attempts integer not null,
    interruptions integer not null default 0, next_attempt_at integer, last_error text, is_unowned integer not null);
  create index inbox_unowned on inbox (conversation_id) where is_unowned = 1;
  create table process_events (id integer primary key, conversation_id integer not null, sequence integer not null,
    kind text not null, content text not null, worker text, created_at integer not null, delivered_at integer,
    unique (conversation_id, sequence));
  create table process_event_deliveries (event_id integer not null, gateway_id integer not null, target text not null,
    delivery_id text not null, status text not null, attempts integer not null, interruptions integer not null default 0,
    next_retry_at integer, last_error text, delivered_at integer, subscriber_id integer,
    primary key (event_id, gateway_id, target)) without rowid;
  create index deliveries_open on process_event_deliveries (event_id) where status in ('pending', 'claimed');
  create index deliveries_dead on process_event_deliveries (event_id) where status = 'dead';
  create table leases (name text primary key, epoch integer not null);
  insert into leases values ('loop', 1)`;

function prepare(db: DatabaseSync) {
  return {
    begin: db.prepare("begin immediate"),
    commit: db.prepare("commit"),
    epoch: db.prepare("select epoch from leases where name = 'loop'"),
    conversation:
      db.prepare(`insert into conversations (message_id, gateway_id, gateway_channel_id, thread_ts, user_id,
        role, content, is_addressed, idempotency_key, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict (coalesce(gateway_id, 0), idempotency_key) where idempotency_key is not null do nothing`),
    inbox: db.prepare(
      "insert into inbox (conversation_id, status, attempts, is_unowned) values (?, ?, ?, ?)",
    ),
    begun: db.prepare(`update inbox set status = ?, attempts = ?, interruptions = ?, next_attempt_at = ?,
      last_error = ?, is_unowned = 0 where conversation_id = ?`),
    done: db.prepare("delete from inbox where conversation_id = ?"),
    event:
      db.prepare(`insert into process_events (conversation_id, sequence, kind, content, worker, created_at,
      delivered_at) values (?, ?, ?, ?, ?, ?, ?) on conflict (conversation_id, sequence) do nothing`),
    delivery:
      db.prepare(`insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status,
      attempts, subscriber_id) values (?, ?, ?, ?, ?, ?, ?)`),
    delivered: db.prepare(`update process_event_deliveries set status = ?1, attempts = ?2, interruptions = ?3,
      next_retry_at = ?4, last_error = ?5, delivered_at = ?6 where event_id = ?7 and gateway_id = ?8 and target = ?9
      and (status <> 'done' or ?1 = 'done')`),
    stamp: db.prepare(`update process_events set delivered_at = ?1 where id = ?2 and not exists
      (select 1 from process_event_deliveries where event_id = ?2 and status <> 'done')`),
    open: db.prepare(`select c.id, c.gateway_channel_id as conversation, c.content from inbox i
      join conversations c on c.id = i.conversation_id where i.conversation_id > ? order by i.conversation_id limit ?`),
    counts:
      db.prepare(`select (select count(*) from conversations) as messages, (select count(*) from inbox) +
      (select count(*) from process_event_deliveries where status in ('pending', 'claimed')) as open,
      (select count(*) from process_events) as events,
      (select count(*) from process_events where delivered_at is not null) as delivered`),
  };
}
