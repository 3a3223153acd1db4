/**
 * DBOS Transact: a workflow for each message, a step for the answer and a step for its delivery. `direct` begins it in
 * this process at once, `queue` by a queue that is asked every 100 ms.
 */
import type { Answered, BenchMessage, Engine, Surroundings } from "../engine.ts";
import { answerTo, loadPeer, needed } from "../engine.ts";
import { sleep } from "../readings.ts";
import { queryPostgres } from "../servers/postgres.ts";

type Flow = (message: BenchMessage) => Promise<void>;

interface Dbos {
  setConfig(config: object): void;
  launch(): Promise<void>;
  shutdown(): Promise<void>;
  registerWorkflow(flow: Flow, options: { name: string }): Flow;
  registerQueue(name: string, options: object): Promise<unknown>;
  startWorkflow(flow: Flow, options: { queueName?: string }): (message: BenchMessage) => Promise<unknown>;
  runStep<Result>(step: () => Promise<Result>, options: { name: string }): Promise<Result>;
}

const QUEUE = "messages";
const QUEUE_OPTIONS = { workerConcurrency: 200, minPollingIntervalMs: 100 };
const MAX_CONNECTIONS = 24;
const unused = () => undefined;
const SILENT = { info: unused, debug: unused, warn: unused, error: unused };

export async function dbos({ postgresUrl, serverPid, variant }: Surroundings): Promise<Engine> {
  const url = needed(postgresUrl, "PostgreSQL");
  const { DBOS } = await loadPeer<{ DBOS: Dbos }>("@dbos-inc/dbos-sdk");
  const isQueued = variant === "queue";
  let deliver: (answered: Answered) => void = unused;
  const flow = DBOS.registerWorkflow(
    async (message) => {
      const answer = await DBOS.runStep(async () => ({ ...message, text: answerTo(message) }), {
        name: "answer",
      });
      await DBOS.runStep(async () => deliver(answer), { name: "deliver" });
    },
    { name: "message" },
  );
  const launch = async (listensTo?: string[]) => {
    const database = { systemDatabaseUrl: url, systemDatabasePoolSize: MAX_CONNECTIONS };
    const config = { ...database, logger: SILENT, logLevel: "error", applicationVersion: "1" };
    DBOS.setConfig({ name: "bench", ...config, ...(listensTo ? { listenQueues: listensTo } : {}) });
    await DBOS.launch();
    await DBOS.registerQueue(QUEUE, QUEUE_OPTIONS);
  };
  const enqueue = (message: BenchMessage) =>
    DBOS.startWorkflow(flow, isQueued ? { queueName: QUEUE } : {})(message);
  return {
    name: "dbos",
    variant,
    durability: "PostgreSQL, synchronous_commit=on",
    ...(serverPid === undefined ? {} : { serverPid }),
    // Until `start` it listens to no queue: what is enqueued before waits.
    init: () => launch(["none"]),
    enqueue,
    async enqueueMany(messages) {
      for (let from = 0; from < messages.length; from += MAX_CONNECTIONS)
        await Promise.all(messages.slice(from, from + MAX_CONNECTIONS).map(enqueue));
    },
    async start(onDelivered) {
      deliver = onDelivered;
      await DBOS.shutdown();
      await launch();
    },
    async drained() {
      const open = "select 1 from dbos.workflow_status where status in ('PENDING', 'ENQUEUED') limit 1";
      while ((await queryPostgres(url, open)).length > 0) await sleep(5);
    },
    stop: () => DBOS.shutdown(),
  };
}
