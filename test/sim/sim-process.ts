/** One process of the world: a host, a loop on the world's database, and the workers that do as their message's plan says. */
import { WorkerError } from "../../src/core/errors.ts";
import type { Logger } from "../../src/core/logger.ts";
import { SensoriumLoop } from "../../src/core/sensorium-loop.ts";
import type { Store } from "../../src/core/store.ts";
import { defineWorker, type Worker } from "../../src/core/worker.ts";
import type { OutsideWorld } from "./outside-world.ts";
import type { People } from "./people.ts";
import type { Platform } from "./platform.ts";
import type { Random } from "./random.ts";
import type { MessagePlan, Scenario } from "./scenario.ts";
import type { Host, SimScheduler } from "./scheduler.ts";
import { runWorkers } from "./sim-run.ts";
import type { Watched, Witness } from "./witness.ts";

export interface SimProcess extends Watched {
  slot: number;
  loop: SensoriumLoop;
  hasBegun: boolean;
  isStopping: boolean;
  /** At which step it was told to stop. */
  stoppedAt: number | undefined;
}

export interface ProcessOptions {
  scenario: Scenario;
  random: Random;
  scheduler: SimScheduler;
  witness: Witness;
  platform: Platform;
  people: People;
  outside: OutsideWorld;
  plans: ReadonlyMap<string, MessagePlan>;
  /** How often a message's attempts have failed so far, by its key. */
  failures: Map<string, number>;
  store: Store;
  host: Host;
  slot: number;
}

/** Nothing of it has begun. */
export function createProcess(options: ProcessOptions): SimProcess {
  const { scenario, random, scheduler, witness, platform, store, host, slot } = options;
  const offsetMs = random.between(0, scenario.maxClockOffsetMs);
  const loop = new SensoriumLoop({
    store: {
      ...store,
      async own(more) {
        const ownership = await store.own(more);
        process.epoch = ownership.epoch;
        return ownership;
      },
    },
    clock: scheduler.clockOf(host, offsetMs),
    random: () => random.next(),
    limits: scenario.limits,
    log: watchingLog(host, witness),
    owner: host.name,
  });
  const process: SimProcess = {
    host,
    slot,
    loop,
    epoch: undefined,
    hasBegun: false,
    isStopping: false,
    stoppedAt: undefined,
  };
  for (const command of ["/work", "/ping"]) loop.registerWorker(worker(command, { ...options, process }));
  if (scenario.hasRuns) for (const each of runWorkers({ ...options, process })) loop.registerWorker(each);
  for (const gateway of scenario.slots[slot] ?? []) loop.registerGateway(platform.gateway(gateway, process));
  return process;
}

/** What no part of the loop expected is a fault, and so is a hand-over that fails. */
function watchingLog(host: Host, witness: Witness): Logger {
  const quiet = () => undefined;
  return {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error(fields, message) {
      const { error, stack } = fields as { error?: string; stack?: string };
      if (message === "unexpected error" && !/it is (?:away|busy)$/.test(error ?? ""))
        witness.violated(`${host.name}: ${message}: ${stack ?? error}`);
    },
  };
}

function worker(command: string, options: ProcessOptions & { process: SimProcess }): Worker {
  const { scheduler, witness, plans, failures, host, process, scenario } = options;
  const { maxConcurrent } = scenario;
  return defineWorker({
    name: command.slice(1),
    description: "Does as its message's plan says",
    example: command,
    command,
    isControl: command === "/ping",
    ...(maxConcurrent === undefined ? {} : { maxConcurrent }),
    async handle(message, _args, { emit, signal, attempt, text, control }) {
      const plan = plans.get(text.trim());
      if (!plan) throw new WorkerError(`no plan for "${message.content}"`, { retry: "never" });
      const { key, isDeaf, sleepMs } = plan;
      const { conversationId } = message;
      const ends = await witness.attemptBegins(process, message, { attempt });
      let emitting = "";
      signal.addEventListener("abort", () => {
        witness.loose.add(emitting);
        ends();
      });
      if (signal.aborted) ends();
      const step = async () => {
        if (!isDeaf) signal.throwIfAborted();
        await scheduler.turn(host, "work");
        if (sleepMs > 0) await new Promise<void>((resolve) => scheduler.after(host, sleepMs, resolve));
      };
      try {
        await step();
        const progress = plan.progress - (plan.isShorterAgain && attempt > 1 ? 1 : 0);
        for (let sequence = 1; sequence <= progress; sequence += 1) {
          const content = progressText(key, sequence);
          emitting = content;
          await emit("progress", content);
          emitting = "";
          await witness.emitted(process, { conversationId, sequence, content });
          await step();
        }
        const halted = witness.accepted.get(plan.halts ?? "");
        if (halted !== undefined) {
          witness.mayBeStopped.add(halted);
          control.stop(halted, key);
        }
        if (plan.ending === "hanging") await aborted(signal);
        const failed = failures.get(key) ?? 0;
        if (failed < plan.failures) {
          failures.set(key, failed + 1);
          await emit("completed", `${key} discarded`);
          if (!signal.aborted) witness.attemptFailed(conversationId, attempt);
          throw new Error(FAILED);
        }
        if (plan.ending === "refusal") {
          if (!signal.aborted) witness.attemptFailed(conversationId, attempt);
          throw new WorkerError(REFUSED, { retry: "never" });
        }
        if (plan.ending === "answer") await emit("completed", answerText(key));
      } finally {
        ends();
      }
    },
  });
}

export const FAILED = "as planned";
export const REFUSED = "refused, as planned";

export function progressText(key: string, sequence: number): string {
  return `${key} progress ${sequence}`;
}

export function answerText(key: string): string {
  return `${key} answer`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
