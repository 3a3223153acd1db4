/** pg-boss with LISTEN/NOTIFY and batches, which is the fastest that it was measured with. */
import type { Answered, BenchMessage, Engine, Surroundings } from "../engine.ts";
import { answerTo, loadPeer, needed } from "../engine.ts";
import { sleep } from "../readings.ts";
import { queryPostgres } from "../servers/postgres.ts";

interface Boss {
  on(event: "error", callback: () => void): void;
  start(): Promise<unknown>;
  stop(options: object): Promise<void>;
  createQueue(name: string, options: object): Promise<void>;
  send(name: string, data: unknown): Promise<unknown>;
  insert(name: string, jobs: object[]): Promise<unknown>;
  work(
    name: string,
    options: object,
    handle: (jobs: { data: BenchMessage }[]) => Promise<void>,
  ): Promise<unknown>;
}

const BATCH = 1000;
const HOW = { batchSize: BATCH, localConcurrency: 2, burstWhenBatchFull: true };

export async function pgBoss(surroundings: Surroundings): Promise<Engine> {
  const url = needed(surroundings.postgresUrl, "PostgreSQL");
  const { PgBoss } = await loadPeer<{ PgBoss: new (options: object) => Boss }>("pg-boss");
  const boss = new PgBoss({ connectionString: url, max: 24, useListenNotify: true });
  boss.on("error", () => undefined);
  return {
    name: "pg-boss",
    variant: surroundings.variant,
    durability: "PostgreSQL, synchronous_commit=on",
    ...(surroundings.serverPid === undefined ? {} : { serverPid: surroundings.serverPid }),
    async init() {
      await boss.start();
      for (const queue of ["receive", "deliver"]) await boss.createQueue(queue, { notify: true });
    },
    enqueue: (message) => boss.send("receive", message),
    async enqueueMany(messages) {
      for (let from = 0; from < messages.length; from += BATCH)
        await boss.insert(
          "receive",
          messages.slice(from, from + BATCH).map((data) => ({ data })),
        );
    },
    async start(onDelivered: (answered: Answered) => void) {
      await boss.work("receive", HOW, async (jobs) => {
        const answers = jobs.map(({ data }) => ({ data: { ...data, text: answerTo(data) } }));
        await boss.insert("deliver", answers);
      });
      await boss.work("deliver", HOW, async (jobs) => {
        for (const { data } of jobs) onDelivered(data);
      });
    },
    async drained() {
      const open =
        "select 1 from pgboss.job where state < 'completed' and name in ('receive', 'deliver') limit 1";
      while ((await queryPostgres(url, open)).length > 0) await sleep(5);
    },
    stop: () => boss.stop({ graceful: false, close: true }),
  };
}
