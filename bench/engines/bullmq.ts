/** BullMQ on Redis, whose log is synced every second: what it acknowledged last can be lost with the machine. */
import type { Answered, BenchMessage, Engine, Surroundings } from "../engine.ts";
import { answerTo, loadPeer, needed } from "../engine.ts";
import { sleep } from "../readings.ts";

interface Queue {
  add(name: string, data: unknown): Promise<unknown>;
  addBulk(jobs: object[]): Promise<unknown>;
  waitUntilReady(): Promise<unknown>;
  getJobCounts(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

interface Worker {
  on(event: "error", callback: () => void): void;
  waitUntilReady(): Promise<unknown>;
  close(isForced: boolean): Promise<void>;
}

interface BullMq {
  Queue: new (name: string, options: object) => Queue;
  Worker: new (
    name: string,
    handle: (job: { data: BenchMessage }) => Promise<void>,
    options: object,
  ) => Worker;
}

const CONCURRENCY = 100;
const BULK = 1000;

export async function bullmq(surroundings: Surroundings): Promise<Engine> {
  const port = needed(surroundings.redisPort, "redis-server");
  const bull = await loadPeer<BullMq>("bullmq");
  const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  const defaultJobOptions = { removeOnComplete: true, removeOnFail: true };
  const prefix = `bench-${process.pid}`;
  const [receive, deliver] = ["receive", "deliver"].map(
    (name) => new bull.Queue(name, { connection, prefix, defaultJobOptions }),
  ) as [Queue, Queue];
  const workers: Worker[] = [];
  return {
    name: "bullmq",
    variant: "everysec",
    durability: "Redis, appendfsync=everysec",
    ...(surroundings.serverPid === undefined ? {} : { serverPid: surroundings.serverPid }),
    async init() {
      await Promise.all([receive.waitUntilReady(), deliver.waitUntilReady()]);
    },
    enqueue: (message) => receive.add("m", message),
    async enqueueMany(messages) {
      for (let from = 0; from < messages.length; from += BULK)
        await receive.addBulk(messages.slice(from, from + BULK).map((data) => ({ name: "m", data })));
    },
    async start(onDelivered: (answered: Answered) => void) {
      const options = { connection, prefix, concurrency: CONCURRENCY };
      const answer = async ({ data }: { data: BenchMessage }) =>
        void (await deliver.add("m", { ...data, text: answerTo(data) }));
      workers.push(new bull.Worker("receive", answer, options));
      workers.push(new bull.Worker("deliver", async ({ data }) => onDelivered(data), options));
      for (const worker of workers) worker.on("error", () => undefined);
      await Promise.all(workers.map((worker) => worker.waitUntilReady()));
    },
    async drained() {
      const isOpen = (counts: Record<string, number>) =>
        Boolean(counts.active || counts.waiting || counts.wait);
      const queues = [receive, deliver];
      while ((await Promise.all(queues.map((queue) => queue.getJobCounts()))).some(isOpen)) await sleep(2);
    },
    async stop() {
      await Promise.all(workers.map((worker) => worker.close(true)));
      await Promise.all([receive.close(), deliver.close()]);
    },
  };
}
