/**
 * Robson's real loop as it is published: twenty patterns, lanes, attempts, ids, and an info log to a file. Bulk is
 * stored as a process stores it that accepts messages and stops before it has begun them.
 */
import { randomUUID } from "node:crypto";
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import type { GatewayContext } from "../../src/core/gateway.ts";
import type { SensoriumLoop } from "../../src/core/sensorium-loop.ts";
import type { Ownership } from "../../src/core/store.ts";
import type { OpenedStore } from "../../src/store/opened-store.ts";
import type { Answered, BenchMessage, Engine, Stored, Surroundings } from "../engine.ts";
import { answeredId, answerTo, needed, PATTERNS } from "../engine.ts";
import { queryPostgres } from "../servers/postgres.ts";

const GATEWAY = "bench";

/** The modules of `dist/` that a loop is made of. */
export async function loadRobson(dist: string) {
  const load = (path: string): Promise<unknown> => import(pathToFileURL(join(dist, path)).href);
  const [core, worker, store, log, config] = await Promise.all([
    load("core/sensorium-loop.js") as Promise<typeof import("../../src/core/sensorium-loop.ts")>,
    load("core/worker.js") as Promise<typeof import("../../src/core/worker.ts")>,
    load("store/open-store.js") as Promise<typeof import("../../src/store/open-store.ts")>,
    load("cli/log.js") as Promise<typeof import("../../src/cli/log.ts")>,
    load("config/load-config.js") as Promise<typeof import("../../src/config/load-config.ts")>,
  ]);
  return { ...core, ...worker, ...store, ...log, ...config };
}

export async function robsonOnSqlite(surroundings: Surroundings): Promise<Engine> {
  const file = join(surroundings.folder, "robson.db");
  if (surroundings.template !== undefined) cpSync(surroundings.template, file);
  const engine = await createEngine(surroundings, file);
  return {
    ...engine,
    name: "robson-sqlite",
    durability: "SQLite WAL, synchronous=full",
    file,
    stored: async () => {
      const db = new DatabaseSync(file, { readOnly: true });
      try {
        return db.prepare(COUNTS).get() as unknown as Stored;
      } finally {
        db.close();
      }
    },
  };
}

export async function robsonOnPostgres(surroundings: Surroundings): Promise<Engine> {
  const { postgresUrl, serverPid } = surroundings;
  const url = needed(postgresUrl, "PostgreSQL");
  const engine = await createEngine(surroundings, url);
  return {
    ...engine,
    name: "robson-postgres",
    durability: "PostgreSQL, synchronous_commit=on",
    ...(serverPid === undefined ? {} : { serverPid }),
    commits: async () => {
      const [row] = await queryPostgres(
        url,
        "select xact_commit::int as count from pg_stat_database where datname = current_database()",
      );
      return Number(row?.count);
    },
    stored: async () => (await queryPostgres(url, COUNTS))[0] as unknown as Stored,
  };
}

/** Of both databases. */
const COUNTS = `select (select count(*) from conversations) as messages,
  (select count(*) from inbox) + (select count(*) from process_event_deliveries where status <> 'done') as open,
  (select count(*) from process_events) as events,
  (select count(*) from process_events where delivered_at is not null) as delivered`;

async function createEngine({ folder, dist, variant }: Surroundings, location: string) {
  const robson = await loadRobson(dist);
  const log = createLog(robson, folder);
  let store: OpenedStore;
  let loop: SensoriumLoop;
  let accept: GatewayContext["accept"];
  return {
    variant,
    async init() {
      store = await robson.openStore(location);
    },
    enqueue: (message: BenchMessage) => accept(toInbound(message)),
    async enqueueMany(messages: BenchMessage[]) {
      const former = await robson.openStore(location);
      const ownership = await former.own({ owner: "bench", gateways: [GATEWAY], now: Date.now() });
      await Promise.all(messages.map((message) => storePending(ownership, message)));
      await former.close();
    },
    async start(onDelivered: (answered: Answered) => void) {
      loop = new robson.SensoriumLoop({ store, log });
      const started = Promise.withResolvers<void>();
      registerAll(loop, {
        robson,
        onDelivered,
        onStarted: (context) => {
          accept = context.accept;
          started.resolve();
        },
      });
      await loop.start();
      await started.promise;
    },
    drained: () => loop.idle(),
    async stop() {
      await loop.stop();
      await store.close();
      log.close();
    },
  };
}

type Robson = Awaited<ReturnType<typeof loadRobson>>;

/** The log as `robson agent` has it, with `log.file` set. */
export function createLog({ createLog: create, loadConfig }: Robson, folder: string) {
  writeFileSync(join(folder, "robson.toml"), `[log]\nfile = "${join(folder, "robson.log")}"\n`);
  const config = loadConfig({ cwd: folder, env: {}, configFile: undefined, database: undefined });
  const unused = () => undefined;
  const io = { cwd: folder, env: {}, out: unused, err: unused, isTerminal: false };
  const style = (_format: string, text: string) => text;
  const catchSignals = () => new AbortController().signal;
  return create({ io: { ...io, style, catchSignals }, config, isJson: true });
}

export function registerAll(
  loop: SensoriumLoop,
  options: {
    robson: Robson;
    onDelivered(answered: Answered & { content: string }): void;
    onStarted(context: GatewayContext): void;
  },
): void {
  for (const [index, pattern] of PATTERNS.entries()) {
    const worker = options.robson.defineWorker({
      name: `worker-${index}`,
      description: "Answers",
      example: "deploy 1",
      pattern,
      handle: (message, _args, { emit }) => emit("completed", answerTo({ text: message.content })),
    });
    loop.registerWorker(worker);
  }
  loop.registerGateway({
    name: GATEWAY,
    async start(context) {
      options.onStarted(context);
      await new Promise((resolve) => {
        context.signal.addEventListener("abort", resolve, { once: true });
      });
    },
    async send({ content, channelId }) {
      options.onDelivered({ id: answeredId(content), conversation: channelId, content });
      return undefined;
    },
  });
}

export function toInbound({ id, conversation, user, text }: BenchMessage) {
  return { content: text, channelId: conversation, userId: user, idempotencyKey: `bench-${id}` };
}

function storePending(ownership: Ownership, message: BenchMessage) {
  const { content, ...inbound } = toInbound(message);
  const role = "user" as const;
  const stored = { id: randomUUID(), gateway: GATEWAY, threadTs: "", role, isAddressed: true };
  const at = { shard: message.id % 64, status: "pending", attempts: 0 } as const;
  return ownership.accept({ ...stored, ...inbound, content, createdAt: Date.now() }, at);
}
