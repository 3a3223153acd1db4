/** For the golden tests of `why`: what it says of the latest message, and processes that are killed at their work. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { OpenMessage } from "../../core/control.ts";
import { DEFAULT_LIMITS, type Limits } from "../../core/limits.ts";
import type { Worker } from "../../core/worker.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import { explain } from "./explain.ts";
import { routeFacts } from "./facts.ts";

const MODULES = {
  openStore: new URL("../../store/open-store.ts", import.meta.url).href,
  SensoriumLoop: new URL("../../core/sensorium-loop.ts", import.meta.url).href,
  fakeGateway: new URL("../../testing/fake-gateway.ts", import.meta.url).href,
  createTestClock: new URL("../../testing/test-clock.ts", import.meta.url).href,
};

export interface Told {
  store: OpenedStore;
  clock: { now(): number };
  workers?: Worker[];
  gateways?: string[];
  limits?: Partial<Limits>;
  /** What the loop knows of it. */
  live?: OpenMessage | undefined;
  /** The process that tells it. Default: the first. */
  answering?: string;
  /** Default: the latest. */
  conversationId?: number;
}

/** The explanation of a message, with what differs from run to run made equal. */
export async function told(options: Told): Promise<string> {
  const { store, clock, workers = [], gateways = ["fake"], limits, live } = options;
  const [latest] = await store.operator.messages({ limit: 1 });
  const facts = await store.operator.facts(options.conversationId ?? latest?.conversationId ?? 0);
  if (!facts) return "no such message";
  const owners = await store.currentOwners();
  const lines = explain(
    {
      ...facts,
      ...{ owners, answering: options.answering ?? owners[0], limits: { ...DEFAULT_LIMITS, ...limits } },
      gateways: { names: gateways, isConfiguration: false },
      route: routeFacts(facts.message, workers),
      live,
    },
    clock.now(),
  );
  const text = lines.join("\n").replace(/(delivery-\d+)-[0-9a-f]{8}/g, "$1-ID");
  const names = owners.length === 1 ? ["the owner"] : owners.map((_name, index) => `process ${index + 1}`);
  return owners.reduce((told, name, index) => told.replaceAll(name, names[index] ?? name), text);
}

/** A process whose worker, or whose gateway, kills it with SIGKILL; resolves when it is gone. */
export async function killedAt(
  what: "handle" | "send",
  { location, say }: { location: string; say?: string },
) {
  const script = `
    ${Object.entries(MODULES)
      .map(([name, url]) => `const { ${name} } = await import(${JSON.stringify(url)});`)
      .join("\n")}
    const die = () => { process.kill(process.pid, "SIGKILL"); return new Promise(() => undefined); };
    const gateway = fakeGateway(${what === "send" ? "{ onSend: die }" : ""});
    const store = await openStore(${JSON.stringify(location)});
    const clock = createTestClock();
    const loop = new SensoriumLoop({ store, clock, random: () => 0 });
    loop.registerGateway(gateway);
    loop.registerWorker({ name: "w", description: "d", example: "e",
      handle: async (_message, _args, { emit }) => { ${what === "handle" ? "await die();" : 'await emit("completed", "answer");'} } });
    await loop.start();
    ${say === undefined ? "" : `await gateway.say(${JSON.stringify(say)});`}
    // What was interrupted waits first; without jitter for a millisecond.
    for (;;) { await loop.idle(); await clock.advance(1); }`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await once(child, "exit");
}
