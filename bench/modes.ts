/** The modes: what is done with an engine, and what is measured meanwhile. Each resolves with one line's figures. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { BenchMessage, Engine } from "./engine.ts";
import { messageOf } from "./engine.ts";
import { now, ownCpuMs, round, sleep, spread, startMeter } from "./readings.ts";

export type Mode = "preload" | "stream" | "latency" | "idle";

export interface ModeOptions {
  /** Messages in all. */
  count: number;
  conversations: number;
  /** How many await their commit at once. */
  producers: number;
  /** Messages per second, in mode latency. */
  rate: number;
  /** How long modes latency and idle go on. */
  seconds: number;
  warmUp: number;
  timeoutSeconds: number;
}

export type Figures = Record<string, unknown>;

/** What has come back from the engine. */
class Deliveries {
  readonly latencies: number[] = [];
  delivered = 0;
  duplicates = 0;
  misordered = 0;
  readonly #sentAt = new Map<number, number>();
  readonly #seen = new Set<number>();
  readonly #lastOf = new Map<string, number>();
  #wanted = Number.POSITIVE_INFINITY;
  #arrived = Promise.withResolvers<void>();

  sending(id: number): void {
    this.#sentAt.set(id, now());
  }

  readonly took = ({ id, conversation }: Pick<BenchMessage, "id" | "conversation">): void => {
    const sentAt = this.#sentAt.get(id);
    if (this.#seen.has(id)) {
      this.duplicates += 1;
      return;
    }
    this.#seen.add(id);
    if (sentAt !== undefined) this.latencies.push(now() - sentAt);
    const last = this.#lastOf.get(conversation) ?? -1;
    if (last > id) this.misordered += 1;
    else this.#lastOf.set(conversation, id);
    this.delivered += 1;
    if (this.delivered === this.#wanted) this.#arrived.resolve();
  };

  /** Resolves when so many have arrived since `reset`. */
  async all(count: number, timeoutSeconds: number): Promise<void> {
    this.#wanted = count;
    if (this.delivered >= count) return;
    const timeout = setTimeout(() => {
      this.#arrived.reject(
        new Error(`${this.delivered} of ${count} delivered within ${timeoutSeconds} seconds`),
      );
    }, timeoutSeconds * 1000);
    await this.#arrived.promise;
    clearTimeout(timeout);
  }

  reset(): void {
    this.latencies.length = 0;
    this.delivered = 0;
    this.#wanted = Number.POSITIVE_INFINITY;
    this.#arrived = Promise.withResolvers();
  }
}

export async function runMode(mode: Mode, engine: Engine, options: ModeOptions): Promise<Figures> {
  if (mode === "preload") return preload(engine, options);
  const deliveries = new Deliveries();
  await engine.start(deliveries.took);
  await warmUp(engine, { deliveries, options });
  if (mode === "stream") return stream(engine, { deliveries, options });
  if (mode === "latency") return latency(engine, { deliveries, options });
  return idle(engine, options);
}

interface Under {
  deliveries: Deliveries;
  options: ModeOptions;
}

/** The JIT, the prepared statements, the connections. */
async function warmUp(engine: Engine, { deliveries, options }: Under): Promise<void> {
  const { warmUp: count, conversations, timeoutSeconds } = options;
  for (let id = 0; id < count; id += 1) await engine.enqueue(messageOf(id, conversations));
  await deliveries.all(count, timeoutSeconds);
  await engine.drained();
  deliveries.reset();
}

async function preload(engine: Engine, options: ModeOptions): Promise<Figures> {
  const { count, conversations, timeoutSeconds } = options;
  const deliveries = new Deliveries();
  const messages = Array.from({ length: count }, (_, id) => messageOf(id, conversations));
  const enqueuedFrom = now();
  await engine.enqueueMany(messages);
  const enqueuedMs = now() - enqueuedFrom;
  const meter = startMeter(engine.serverPid);
  const startedAt = now();
  await engine.start(deliveries.took);
  await deliveries.all(count, timeoutSeconds);
  await engine.drained();
  const ms = now() - startedAt;
  return {
    count,
    enqueuedPerSecond: round(count / (enqueuedMs / 1000), 0),
    perSecond: round(count / (ms / 1000), 0),
    cpuUsPerMessage: round((meter.ownMs() * 1000) / count, 1),
    serverCpuUsPerMessage: round((meter.serverMs() * 1000) / count, 1),
    ...outcome(deliveries),
    ...(await memory()),
    othersPercent: meter.othersPercent(),
  };
}

async function stream(engine: Engine, { deliveries, options }: Under): Promise<Figures> {
  const { count, conversations, producers, warmUp: first, timeoutSeconds } = options;
  const lag = watchLag();
  const meter = startMeter(engine.serverPid);
  const startedAt = now();
  let next = first;
  const produce = async () => {
    while (next < first + count) {
      const id = next;
      next += 1;
      deliveries.sending(id);
      await engine.enqueue(messageOf(id, conversations));
    }
  };
  const produced = Promise.all(Array.from({ length: producers }, produce));
  await Promise.all([produced, deliveries.all(count, timeoutSeconds)]);
  await engine.drained();
  const ms = now() - startedAt;
  return {
    count,
    producers,
    perSecond: round(count / (ms / 1000), 0),
    endToEndMs: spread(deliveries.latencies),
    cpuUsPerMessage: round((meter.ownMs() * 1000) / count, 1),
    serverCpuUsPerMessage: round((meter.serverMs() * 1000) / count, 1),
    ...outcome(deliveries),
    ...(await memory()),
    othersPercent: meter.othersPercent(),
    lagMs: lag(),
  };
}

async function latency(engine: Engine, { deliveries, options }: Under): Promise<Figures> {
  const { rate, seconds, conversations, warmUp: first, timeoutSeconds } = options;
  const count = rate * seconds;
  const gapMs = 1000 / rate;
  const acknowledged: number[] = [];
  const lag = watchLag();
  const meter = startMeter(engine.serverPid);
  const startedAt = now();
  const sends: Promise<void>[] = [];
  for (let index = 0; index < count; index += 1) {
    const waitMs = startedAt + index * gapMs - now();
    if (waitMs > 0) await sleep(waitMs);
    const sentAt = now();
    deliveries.sending(first + index);
    const sent = engine.enqueue(messageOf(first + index, conversations));
    sends.push(sent.then(() => void acknowledged.push(now() - sentAt)));
  }
  await Promise.all(sends);
  await deliveries.all(count, timeoutSeconds);
  const ms = now() - startedAt;
  const lagMs = lag();
  await engine.drained();
  return {
    count,
    rate,
    endToEndMs: spread(deliveries.latencies),
    acknowledgedMs: spread(acknowledged),
    cpuPercent: round((100 * meter.ownMs()) / ms),
    serverCpuPercent: round((100 * meter.serverMs()) / ms),
    ...outcome(deliveries),
    othersPercent: meter.othersPercent(),
    lagMs,
  };
}

/** PostgreSQL counts transactions late, and every engine has something to tidy up after its start. */
const SETTLE_MS = 2000;

async function idle(engine: Engine, { seconds }: ModeOptions): Promise<Figures> {
  await sleep(SETTLE_MS);
  const meter = startMeter(engine.serverPid);
  const startedAt = now();
  const commits = await engine.commits?.();
  await sleep(seconds * 1000);
  const committed = ((await engine.commits?.()) ?? 0) - (commits ?? 0);
  const ms = now() - startedAt;
  return {
    seconds: round(ms / 1000, 1),
    idleCpuPercent: round((100 * meter.ownMs()) / ms),
    serverIdleCpuPercent: round((100 * meter.serverMs()) / ms),
    ...(engine.commits ? { serverCommitsPerSecond: round(committed / (ms / 1000), 1) } : {}),
    ...(await memory()),
    othersPercent: meter.othersPercent(),
  };
}

function outcome({ duplicates, misordered }: Deliveries): Figures {
  return { duplicates, misordered };
}

async function memory(): Promise<Figures> {
  return {
    residentMb: round(process.memoryUsage().rss / 2 ** 20, 1),
    peakResidentMb: round(process.resourceUsage().maxRSS / 1024, 1),
    ownCpuMs: round(ownCpuMs(), 0),
  };
}

/** How late the event loop's timers are, until the result is called. Its timer itself takes a millisecond. */
export function watchLag(): () => Figures {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  return () => {
    histogram.disable();
    const ms = (nanoseconds: number) => round(nanoseconds / 1e6, 1);
    return {
      p50: ms(histogram.percentile(50)),
      p99: ms(histogram.percentile(99)),
      p999: ms(histogram.percentile(99.9)),
      max: ms(histogram.max),
    };
  };
}
