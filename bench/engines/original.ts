/**
 * The original's algorithm: two loops, each asleep for 1 s between its passes, one query per thing, a message marked
 * as processed before its dispatch, every statement a commit of its own. Indexed, and on the driver of the others.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import type { Answered, Engine, Surroundings } from "../engine.ts";
import { answerTo, PATTERNS } from "../engine.ts";

const PASS_MS = 1000;

interface Row {
  id: number;
  conversation_id: number;
  gateway: string;
  conversation: string;
  body: string;
  name: string;
  pattern: string;
  process_event_id: number;
}

export async function original({ folder, variant }: Surroundings): Promise<Engine> {
  const db = new DatabaseSync(join(folder, "original.db"));
  const durability = variant === "full" ? "full" : "normal";
  db.exec(`pragma journal_mode = wal; pragma synchronous = ${durability}; ${TABLES}`);
  for (const [index, pattern] of PATTERNS.entries())
    db.prepare("insert into workers (name, pattern) values (?, ?)").run(`worker-${index}`, pattern);
  const run = createPasses(db);
  const insert = db.prepare(
    "insert into conversations (gateway, conversation, user, body) values ('bench', ?, ?, ?)",
  );
  const stopping = new AbortController();
  const repeat = async (pass: () => Promise<void>) => {
    while (!stopping.signal.aborted) {
      await pass();
      await sleep(PASS_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  let loops: Promise<unknown> = Promise.resolve();
  return {
    name: "original",
    variant,
    durability: `SQLite WAL, synchronous=${durability}`,
    init: async () => undefined,
    async enqueue(message) {
      insert.run(message.conversation, message.user, JSON.stringify(message));
    },
    async enqueueMany(messages) {
      for (const message of messages) insert.run(message.conversation, message.user, JSON.stringify(message));
    },
    async start(onDelivered) {
      loops = Promise.all([repeat(() => run.dispatch()), repeat(() => run.deliver(onDelivered))]);
    },
    async drained() {
      while (run.hasOpen()) await sleep(5);
    },
    async stop() {
      stopping.abort();
      await loops;
      db.close();
    },
  };
}

const TABLES = `create table gateways (id integer primary key, name text unique);
  create table workers (id integer primary key, name text unique, pattern text);
  create table conversations (id integer primary key, gateway text not null, conversation text not null, user text,
    body text not null, processed integer not null default 0);
  create table process_events (id integer primary key, conversation_id integer not null, worker text,
    body text not null, delivered integer not null default 0);
  create table deliveries (id integer primary key, process_event_id integer not null, gateway_id integer not null,
    status text not null, attempts integer not null default 0, updated_at integer, unique (process_event_id, gateway_id));
  create index open_conversations on conversations (processed, id);
  create index open_events on process_events (delivered, id);
  create index open_deliveries on deliveries (gateway_id, status);
  insert into gateways (name) values ('bench')`;

function createPasses(db: DatabaseSync) {
  const prepare = (sql: string) => {
    const statement = db.prepare(sql);
    return {
      all: (...values: (string | number)[]) => statement.all(...values) as unknown as Row[],
      first: (...values: (string | number)[]) => statement.get(...values) as unknown as Row | undefined,
      run: (...values: (string | number)[]) => statement.run(...values),
    };
  };
  const unprocessed = prepare("select * from conversations where processed = 0 order by id");
  const mark = prepare("update conversations set processed = 1 where id = ?");
  const workers = prepare("select * from workers");
  const emit = prepare("insert into process_events (conversation_id, worker, body) values (?, ?, ?)");
  const undelivered = prepare("select * from process_events where delivered = 0 order by id");
  const conversation = prepare("select * from conversations where id = ?");
  const gateway = prepare("select * from gateways where name = ?");
  const event = prepare("select * from process_events where id = ?");
  const plan = prepare(`insert into deliveries (process_event_id, gateway_id, status) values (?, ?, 'pending')
    on conflict (process_event_id, gateway_id) do nothing`);
  const pending = prepare("select * from deliveries where gateway_id = ? and status = 'pending'");
  const sent = prepare(
    "update deliveries set status = 'delivered', attempts = attempts + 1, updated_at = ? where id = ?",
  );
  const left = prepare("select id from deliveries where process_event_id = ? and status = 'pending'");
  const close = prepare("update process_events set delivered = 1 where id = ?");

  return {
    async dispatch() {
      for (const { id, body } of unprocessed.all()) {
        mark.run(id);
        const message = JSON.parse(body) as Answered & { text: string };
        const worker = workers.all().find(({ pattern }) => new RegExp(pattern).test(message.text));
        if (worker === undefined) continue;
        const { id: of, conversation: to } = message;
        const answer = await Promise.resolve({ id: of, conversation: to, text: answerTo(message) });
        emit.run(id, worker.name, JSON.stringify(answer));
      }
    },
    async deliver(onDelivered: (answered: Answered) => void) {
      for (const { id, conversation_id } of undelivered.all()) {
        const gatewayId = gateway.first(conversation.first(conversation_id)?.gateway ?? "")?.id ?? 0;
        plan.run(id, gatewayId);
        for (const delivery of pending.all(gatewayId)) {
          const answer = JSON.parse(event.first(delivery.process_event_id)?.body ?? "{}") as Answered;
          await Promise.resolve(onDelivered(answer));
          sent.run(Date.now(), delivery.id);
        }
        if (left.first(id) === undefined) close.run(id);
      }
    },
    hasOpen: () => unprocessed.first() !== undefined || undelivered.first() !== undefined,
  };
}
