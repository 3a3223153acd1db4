/** Puts the parts of a running loop together; who does what when it runs is sensorium-loop.ts's. */
import { Access, type AccessRules } from "./access.ts";
import { Admission } from "./admission.ts";
import { backoffMs } from "./backoff.ts";
import { type Clock, wait } from "./clock.ts";
import { createControl, type LoopControl } from "./control.ts";
import { Dispatcher } from "./dispatch.ts";
import { messageOf } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import { GatewaySupervisor } from "./gateway-supervisor.ts";
import type { HookRegistry } from "./hooks.ts";
import { Inbox } from "./inbox.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { InboundMessage } from "./message-event.ts";
import { Outbox } from "./outbox.ts";
import { Overload } from "./overload.ts";
import type { Routing } from "./routing.ts";
import { RunThreads } from "./run-threads.ts";
import type { LoopHealth } from "./sensorium-loop.ts";
import type { Probe } from "./steps.ts";
import type { Ownership, Store } from "./store.ts";
import type { StoreHealth } from "./store-health.ts";
import { Sweep } from "./sweep.ts";
import { Tenure } from "./tenure.ts";
import type { Asker } from "./worker.ts";

export interface AssembleOptions {
  ownership: Ownership;
  store: Store;
  routing: Routing;
  gateways: ReadonlyMap<string, Gateway>;
  clock: Clock;
  random: () => number;
  limits: Limits;
  log: Logger;
  hooks: HookRegistry;
  storeHealth: StoreHealth;
  rules: AccessRules;
  probe?: Probe | undefined;
  /** See `SensoriumLoopOptions`. */
  isOperator(asker: Asker): boolean;
  health(): LoopHealth;
  onBug(error: unknown): void;
  onEvents(): void;
}

/** All that exists while the loop runs. */
export interface Running {
  ownership: Ownership;
  inbox: Inbox;
  outbox: Outbox;
  dispatcher: Dispatcher;
  runThreads: RunThreads;
  control: LoopControl;
  tenure: Tenure;
  sweep: Sweep;
  supervisors: GatewaySupervisor[];
  gatewaysEnded: Promise<unknown>;
  /** Aborted when gateways are to stop listening. */
  listening: AbortController;
  /** Aborted when the time to stop is over. */
  grace: AbortController;
  keepAlive: NodeJS.Timeout;
}

/** The longest interval that a timer keeps. */
const MAX_INTERVAL_MS = 2_147_483_647;

/** Nothing of it is under way yet. */
export function assemble(options: AssembleOptions): Running {
  const { ownership, routing, gateways } = options;
  const listening = new AbortController();
  const grace = new AbortController();
  const onReadError = (error: unknown, failures: number) =>
    waitAfterReadError(error, { ...options, failures, signal: grace.signal });

  const tenure: Tenure = new Tenure({
    ...options,
    holders: () => [inbox, outbox, runThreads, ...supervisors],
  });
  const shared = {
    holds: (gateway: string | null, shard: number) => tenure.holds(gateway, shard),
    onEnded: () => tenure.ended(),
  };
  const runThreads = new RunThreads({ ...options, ...shared, runs: options.store.runs });
  const access = new Access({ ...options, store: options.store.admission });
  const outbox: Outbox = new Outbox({ ...options, ...shared, signal: grace.signal, onReadError });
  const control = createControl({ ...options, dispatcher: () => dispatcher, inbox: () => inbox });
  const dispatcher: Dispatcher = new Dispatcher({
    ...options,
    outbox,
    control,
    access,
    resume: (key) => inbox.resume(key),
    runs: options.store.runs,
    runThreads,
    onAnswered: () => void inbox.takeUnowned(),
    onReadError,
    wasHinted: (threadKey) => ownership.wasHinted(threadKey),
  });
  const overload = new Overload({ ...options, store: options.store.admission });
  const isControl = (content: string) => routing.isControl(content);
  const inbox: Inbox = new Inbox({
    ...options,
    overload,
    ...shared,
    dispatch: (entry) => dispatcher.dispatch(entry),
    uncount: (entry) => dispatcher.uncount(entry),
    leaveTurns: (entry) => dispatcher.leaveTurns(entry),
    stop: (conversationId, by) => void control.stop(conversationId, by),
    isControl,
    onReadError,
    onRunWaits: (until) => sweep.runWaits(until),
  });
  const admission = new Admission({
    ...{ ...options, overload, access, isControl },
    store: (message, admitted) => inbox.accept(message, admitted),
  });
  const supervisors: GatewaySupervisor[] = [...gateways.values()].map((gateway) => {
    const accept = (message: InboundMessage) => admission.accept(gateway.name, message);
    return new GatewaySupervisor({ ...options, ...shared, gateway, accept, signal: listening.signal });
  });
  const sweep: Sweep = new Sweep({ ...options, inbox, outbox, runThreads });
  // The loop's timers do not keep a process alive; the loop itself does.
  const keepAlive = setInterval(() => undefined, MAX_INTERVAL_MS);
  const gatewaysEnded = Promise.resolve();
  return {
    ...{ ownership, inbox, outbox, dispatcher, runThreads, control, tenure, sweep },
    ...{ supervisors, gatewaysEnded, listening, grace, keepAlive },
  };
}

interface ReadError {
  failures: number;
  clock: Clock;
  random: () => number;
  limits: Limits;
  log: Logger;
  signal: AbortSignal;
}

/** Resolves when it is time to read again; rejects when the loop stops. */
async function waitAfterReadError(error: unknown, options: ReadError): Promise<void> {
  const { failures, clock, random, limits, log, signal } = options;
  const { backoffBaseMs: baseMs, maxDatabaseBackoffMs: maxMs } = limits;
  const waitMs = backoffMs({ attempts: failures, baseMs, maxMs, maxRetryAfterMs: 0, random });
  const level = failures === 1 ? "warn" : "debug";
  log[level]({ failures, waitMs, error: messageOf(error) }, "database refused a read; trying again");
  await wait(clock, waitMs, signal);
}
