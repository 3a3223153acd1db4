/**
 * plainjob on SQLite with the settings it makes itself (`synchronous=normal`): `default` polls every second, `fast`
 * every 10 ms. Its adapter expects better-sqlite3; it gets node:sqlite with that face, as the other engines here.
 */
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { Answered, BenchMessage, Engine, Surroundings } from "../engine.ts";
import { answerTo, loadPeer } from "../engine.ts";
import { sleep } from "../readings.ts";

interface Queue {
  add(type: string, data: unknown): void;
  addMany(type: string, data: unknown[]): void;
  countJobs(filter: { status: number }): number;
}

interface Worker {
  start(): unknown;
  stop(): Promise<unknown>;
}

interface PlainJob {
  better(db: unknown): unknown;
  defineQueue(options: object): Queue;
  defineWorker(type: string, handle: (job: { data: string }) => Promise<void>, options: object): Worker;
}

const PENDING = 0;
const PROCESSING = 1;
const BULK = 1000;
/** Its workers are given so long to stop: they end only between two polls. */
const STOP_MS = 1500;

export async function plainjob({ folder, variant }: Surroundings): Promise<Engine> {
  const { better, defineQueue, defineWorker } = await loadPeer<PlainJob>("plainjob");
  const unused = () => undefined;
  const logger = { error: unused, warn: unused, info: unused, debug: unused };
  const db = new DatabaseSync(join(folder, "plainjob.db"));
  const queue = defineQueue({ connection: better(withFace(db)), logger });
  const workers: Worker[] = [];
  const parsed = ({ data }: { data: string }) => JSON.parse(data) as BenchMessage;
  return {
    name: "plainjob",
    variant,
    durability: "SQLite WAL, synchronous=normal",
    init: async () => undefined,
    enqueue: async (message) => queue.add("receive", message),
    async enqueueMany(messages) {
      for (let from = 0; from < messages.length; from += BULK)
        queue.addMany("receive", messages.slice(from, from + BULK));
    },
    async start(onDelivered: (answered: Answered) => void) {
      const options = { queue, logger, pollIntervall: variant === "fast" ? 10 : 1000 };
      const answer = async (job: { data: string }) => {
        const message = parsed(job);
        queue.add("deliver", { ...message, text: answerTo(message) });
      };
      workers.push(defineWorker("receive", answer, options));
      workers.push(defineWorker("deliver", async (job) => onDelivered(parsed(job)), options));
      for (const worker of workers) worker.start();
    },
    async drained() {
      while (queue.countJobs({ status: PENDING }) + queue.countJobs({ status: PROCESSING }) > 0)
        await sleep(1);
    },
    async stop() {
      await Promise.race([Promise.all(workers.map((worker) => worker.stop())), sleep(STOP_MS)]);
    },
  };
}

/** What plainjob's adapter uses of better-sqlite3. Its transactions are immediate, as those of the others. */
function withFace(db: DatabaseSync) {
  return {
    pragma: (sql: string) => db.exec(`pragma ${sql}`),
    exec: (sql: string) => db.exec(sql),
    close: () => db.close(),
    prepare: (sql: string) => db.prepare(sql),
    transaction: <Result>(run: (...values: SQLInputValue[]) => Result) => {
      const immediate = (...values: SQLInputValue[]): Result => {
        db.exec("begin immediate");
        try {
          const result = run(...values);
          db.exec("commit");
          return result;
        } catch (error) {
          db.exec("rollback");
          throw error;
        }
      };
      return Object.assign(immediate, { immediate });
    },
  };
}
