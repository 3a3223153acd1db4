/** graphile-worker: `default`, or `batched` as its own page on performance has it. */
import pg from "pg";
import type { Answered, BenchMessage, Engine, Surroundings } from "../engine.ts";
import { answerTo, loadPeer, needed } from "../engine.ts";
import { sleep } from "../readings.ts";

interface Helpers {
  addJob(task: string, payload: unknown): Promise<unknown>;
}

interface GraphileWorker {
  Logger: new (factory: () => () => void) => unknown;
  makeWorkerUtils(
    options: object,
  ): Promise<
    Helpers & { migrate(): Promise<void>; addJobs(jobs: object[]): Promise<unknown>; release(): unknown }
  >;
  run(options: object): Promise<{ stop(): Promise<void> }>;
}

const CONCURRENT_JOBS = 24;
const LOCAL_QUEUE_SIZE = 500;
const BULK = 1000;

export async function graphileWorker(surroundings: Surroundings): Promise<Engine> {
  const url = needed(surroundings.postgresUrl, "PostgreSQL");
  const { Logger, makeWorkerUtils, run } = await loadPeer<GraphileWorker>("graphile-worker");
  const pgPool = new pg.Pool({ connectionString: url, max: CONCURRENT_JOBS + 2 });
  pgPool.on("error", () => undefined);
  pgPool.on("connect", (client) => client.on("error", () => undefined));
  const batched = { localQueue: { size: LOCAL_QUEUE_SIZE }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
  const worker = {
    maxPoolSize: CONCURRENT_JOBS + 2,
    concurrentJobs: CONCURRENT_JOBS,
    ...(surroundings.variant === "batched" ? batched : {}),
  };
  const options = { pgPool, logger: new Logger(() => () => undefined), preset: { worker } };
  const utils = await makeWorkerUtils(options);
  let runner: { stop(): Promise<void> } | undefined;
  return {
    name: "graphile-worker",
    variant: surroundings.variant,
    durability: "PostgreSQL, synchronous_commit=on",
    ...(surroundings.serverPid === undefined ? {} : { serverPid: surroundings.serverPid }),
    init: () => utils.migrate(),
    enqueue: (message) => utils.addJob("receive", message),
    async enqueueMany(messages) {
      for (let from = 0; from < messages.length; from += BULK)
        await utils.addJobs(
          messages.slice(from, from + BULK).map((payload) => ({ identifier: "receive", payload })),
        );
    },
    async start(onDelivered) {
      const taskList = {
        receive: async (message: BenchMessage, helpers: Helpers) => {
          const { id, conversation } = message;
          await helpers.addJob("deliver", { id, conversation, text: answerTo(message) });
        },
        deliver: async (answer: Answered) => onDelivered(answer),
      };
      runner = await run({ ...options, noHandleSignals: true, taskList });
    },
    async drained() {
      const open = "select 1 from graphile_worker._private_jobs limit 1";
      while ((await pgPool.query(open)).rows.length > 0) await sleep(2);
    },
    async stop() {
      await runner?.stop();
      await utils.release();
      await pgPool.end();
    },
  };
}
