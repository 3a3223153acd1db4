/** One of several Robsons on one PostgreSQL; started by processes.ts, which it talks to over IPC. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { GatewayContext } from "../src/core/gateway.ts";
import { messageOf } from "./engine.ts";
import { createLog, loadRobson, registerAll, toInbound } from "./engines/robson.ts";
import type { ChildOptions, Said } from "./processes.ts";
import { ownCpuMs } from "./readings.ts";

/** How often the deliveries are told. */
const TELL_EVERY_MS = 3;

const { index, count, producers, conversations, dist, url, folder } = JSON.parse(
  process.argv[2] ?? "{}",
) as ChildOptions;
const ownFolder = join(folder, `process-${process.pid}`);
mkdirSync(ownFolder, { recursive: true });
const robson = await loadRobson(dist);
const log = createLog(robson, ownFolder);
const store = await robson.openStore(url);
const loop = new robson.SensoriumLoop({ store, log, owner: `bench process ${index}` });
const latencies: number[] = [];
const lastOf = new Map<string, number>();
let misordered = 0;
let untold = 0;
let cpuFrom = 0;
const { promise: listening, resolve: listens } = Promise.withResolvers<GatewayContext>();

registerAll(loop, {
  robson,
  onStarted: listens,
  // Of whichever process took the message: the time it was sent at stands in it, by the clock that all share.
  onDelivered({ content, conversation }) {
    const [, sender = "", id = "", sentAt = ""] = / from (\d+) number (\d+) at (\d+)/.exec(content) ?? [];
    latencies.push(sharedMs() - Number(sentAt) / 1000);
    const lane = `${sender} ${conversation}`;
    if ((lastOf.get(lane) ?? -1) > Number(id)) misordered += 1;
    lastOf.set(lane, Number(id));
    untold += 1;
  },
});

try {
  await loop.start();
  const { accept } = await listening;
  process.on("message", ({ what }: { what: "go" | "report" | "stop" }) => {
    if (what === "go") void produceAll(accept);
    else if (what === "report") say({ what: "report", latencies, misordered, cpuMs: ownCpuMs() - cpuFrom });
    else void stop();
  });
  setInterval(tell, TELL_EVERY_MS);
  say({ what: "ready" });
} catch (error) {
  say({ what: "refused", error: error instanceof Error ? error.message : String(error) });
  await stop();
}

async function produceAll(accept: GatewayContext["accept"]): Promise<void> {
  cpuFrom = ownCpuMs();
  let next = 0;
  const produce = async () => {
    while (next < count) {
      const id = next;
      next += 1;
      const message = messageOf(id, conversations);
      const note = `deploy ${id} from ${index} number ${id} at ${Math.round(sharedMs() * 1000)} `;
      const text = note + message.text.slice(note.length);
      await accept({ ...toInbound({ ...message, text }), idempotencyKey: `bench-${index}-${id}` });
    }
  };
  await Promise.all(Array.from({ length: producers }, produce));
}

function tell(): void {
  if (untold === 0) return;
  say({ what: "delivered", count: untold });
  untold = 0;
}

function say(said: Said): void {
  if (process.connected) process.send?.(said);
}

/** Milliseconds since the machine's start. */
function sharedMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

async function stop(): Promise<void> {
  await loop.stop();
  await store.close();
  process.exit();
}
