/** OpenWorkflow: a run for each message, a step for the answer and a step for its delivery; on either of its databases. */
import { join } from "node:path";
import type { Answered, BenchMessage, Engine, Surroundings } from "../engine.ts";
import { answerTo, loadPeer, needed } from "../engine.ts";
import { sleep } from "../readings.ts";

interface Step {
  run<Result>(options: { name: string }, work: () => Result): Promise<Result>;
}

interface Workflow {
  run(input: BenchMessage): Promise<{ result(): Promise<unknown> }>;
}

interface Backend {
  stop(): Promise<void>;
  countWorkflowRuns(): Promise<Record<string, number>>;
}

interface OpenWorkflow {
  defineWorkflow(
    options: { name: string },
    flow: (context: { input: BenchMessage; step: Step }) => Promise<null>,
  ): Workflow;
  newWorker(options: { concurrency: number }): { start(): Promise<void>; stop(): Promise<void> };
}

interface Library {
  OpenWorkflow: new (options: { backend: Backend }) => OpenWorkflow;
}

interface Connects {
  connect(where: string): Promise<Backend>;
}

const CONCURRENT_RUNS = 100;
const AT_ONCE = 24;

export async function openworkflow(surroundings: Surroundings): Promise<Engine> {
  const { variant, serverPid } = surroundings;
  const isOnSqlite = variant === "sqlite";
  const { OpenWorkflow } = await loadPeer<Library>("openworkflow");
  const backend = await connect(surroundings, isOnSqlite);
  const library = new OpenWorkflow({ backend });
  let deliver: (answered: Answered) => void = () => undefined;
  const flow = library.defineWorkflow({ name: "message" }, async ({ input, step }) => {
    const answer = await step.run({ name: "answer" }, () => ({ ...input, text: answerTo(input) }));
    await step.run({ name: "deliver" }, () => {
      deliver(answer);
      return null;
    });
    return null;
  });
  const worker = library.newWorker({ concurrency: CONCURRENT_RUNS });
  return {
    name: "openworkflow",
    variant,
    durability: isOnSqlite ? "SQLite as the library sets it" : "PostgreSQL, synchronous_commit=on",
    ...(isOnSqlite || serverPid === undefined ? {} : { serverPid }),
    init: async () => undefined,
    enqueue: (message) => flow.run(message),
    async enqueueMany(messages) {
      for (let from = 0; from < messages.length; from += AT_ONCE)
        await Promise.all(messages.slice(from, from + AT_ONCE).map((message) => flow.run(message)));
    },
    async start(onDelivered) {
      deliver = onDelivered;
      await worker.start();
    },
    async drained() {
      for (;;) {
        const { pending = 0, running = 0 } = await backend.countWorkflowRuns();
        if (pending + running === 0) return;
        await sleep(5);
      }
    },
    async stop() {
      await worker.stop();
      await backend.stop();
    },
  };
}

async function connect({ folder, postgresUrl }: Surroundings, isOnSqlite: boolean): Promise<Backend> {
  if (isOnSqlite) {
    const { BackendSqlite } = await loadPeer<{ BackendSqlite: Connects }>("openworkflow/sqlite");
    return BackendSqlite.connect(join(folder, "openworkflow.db"));
  }
  const { BackendPostgres } = await loadPeer<{ BackendPostgres: Connects }>("openworkflow/postgres");
  return BackendPostgres.connect(needed(postgresUrl, "PostgreSQL"));
}
