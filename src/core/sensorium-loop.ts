/**
 * The whole: register workers and gateways, run, stop. Read this first. A message comes in through a gateway's
 * `accept` (inbox.ts), is given to the workers it matches (routing.ts, dispatch.ts), and what they report is
 * stored (outbox.ts) and delivered (delivery.ts). The database remembers; memory schedules.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { backoffMs } from "./backoff.ts";
import { type Clock, systemClock, wait } from "./clock.ts";
import { Dispatcher } from "./dispatch.ts";
import { hasCode, messageOf, RobsonError } from "./errors.ts";
import { defineGateway, type Gateway } from "./gateway.ts";
import { type GatewayHealth, GatewaySupervisor } from "./gateway-supervisor.ts";
import { Inbox } from "./inbox.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { type Logger, silentLogger } from "./logger.ts";
import type { InboundMessage } from "./message-event.ts";
import { Outbox } from "./outbox.ts";
import { Routing } from "./routing.ts";
import type { Ownership, Store, UnregisteredDeliveries } from "./store.ts";
import { defineWorker, type Worker } from "./worker.ts";

export interface SensoriumLoopOptions {
  store: Store;
  /** Each limit that is left out has its default. */
  limits?: Partial<Limits>;
  log?: Logger;
  /** How this process calls itself to others that want the same database. */
  owner?: string;
  clock?: Clock;
  /** A number in [0, 1), for the jitter. */
  random?: () => number;
}

export interface LoopHealth {
  isReady: boolean;
  /** Why it is not ready. */
  reason?: string;
  gateways: GatewayHealth[];
  openMessages: number;
  openDeliveries: number;
  /** Deliveries that wait for a gateway which this process does not run. */
  unregistered: UnregisteredDeliveries[];
}

/** How often deliveries for gateways that do not run here are looked at, and open deliveries read anew. */
const SWEEP_EVERY_MS = 60_000;

/** All that exists while the loop runs. */
interface Running {
  ownership: Ownership;
  inbox: Inbox;
  outbox: Outbox;
  dispatcher: Dispatcher;
  supervisors: GatewaySupervisor[];
  gatewaysEnded: Promise<unknown>;
  /** Aborted when gateways are to stop listening. */
  listening: AbortController;
  /** Aborted when the time to stop is over. */
  grace: AbortController;
  cancelPoll: () => void;
}

export class SensoriumLoop {
  readonly #store: Store;
  readonly #limits: Limits;
  readonly #log: Logger;
  readonly #owner: string;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #routing = new Routing();
  readonly #gateways = new Map<string, Gateway>();
  readonly #ended = Promise.withResolvers<void>();
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  #running: Running | undefined;
  #stopping: Promise<void> | undefined;
  #failure: unknown;
  #unregistered: UnregisteredDeliveries[] = [];

  constructor(options: SensoriumLoopOptions) {
    this.#store = options.store;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#log = options.log ?? silentLogger;
    this.#owner = options.owner ?? `process ${process.pid} on ${hostname()}`;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#ended.promise.catch(() => undefined);
  }

  /** Adds a worker; the first that matches is asked first. Throws `WORKER_INVALID`. */
  registerWorker(worker: Worker): void {
    this.#refuseWhileRunning("worker", worker.name);
    this.#routing.register(defineWorker(worker));
  }

  /** Adds a gateway. Throws `GATEWAY_INVALID`, also for a second one of its name. */
  registerGateway(gateway: Gateway): void {
    this.#refuseWhileRunning("gateway", gateway.name);
    defineGateway(gateway);
    if (this.#gateways.has(gateway.name)) {
      throw new RobsonError(
        "GATEWAY_INVALID",
        `Cannot register gateway "${gateway.name}": there is one of that name`,
        {
          hint: "Give one of the two another name",
        },
      );
    }
    this.#gateways.set(gateway.name, gateway);
  }

  /** Takes the database over, takes up what is open, and listens. Resolves when messages are accepted. */
  async start(): Promise<void> {
    this.#refuseWhileRunning("loop", this.#owner);
    this.#state = "running";
    try {
      const gateways = [...this.#gateways.keys()];
      const ownership = await this.#store.own({ owner: this.#owner, gateways, now: this.#clock.now() });
      this.#running = this.#assemble(ownership);
    } catch (error) {
      this.#state = "new";
      throw error;
    }
    const { ownership, inbox, outbox, supervisors } = this.#running;
    ownership.onWake(() => this.#wake());
    ownership.onLost((error) => this.#fail(error));
    this.#log.info({ epoch: ownership.epoch, store: this.#store.location }, "loop started");
    outbox.reread();
    inbox.start();
    this.#running.gatewaysEnded = Promise.all(supervisors.map((supervisor) => supervisor.run()));
    this.#poll(this.#clock.now());
  }

  /** Starts unless started, and resolves when the loop has stopped. Rejects with why it could not go on. */
  async run(): Promise<void> {
    if (this.#state === "new") await this.start();
    await this.#ended.promise;
  }

  /**
   * Stops taking messages, lets what is under way end within `limits.stopGraceMs`, hands the rest back and lets
   * go of the database. Nothing is lost: what is open is taken up at the next start. Safe to call twice.
   */
  stop(): Promise<void> {
    if (this.#state === "new") return Promise.resolve();
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  health(): LoopHealth {
    const running = this.#running;
    const isReady = this.#state === "running" && running !== undefined;
    return {
      isReady,
      ...(isReady ? {} : { reason: `The loop is ${this.#state === "running" ? "starting" : this.#state}` }),
      gateways: running?.supervisors.map(({ health }) => ({ ...health })) ?? [],
      openMessages: running?.inbox.loadedCount ?? 0,
      openDeliveries: running?.outbox.loadedCount ?? 0,
      unregistered: this.#unregistered,
    };
  }

  /** Resolves when nothing is under way: retries to come do not count. */
  async idle(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    for (let quietTurns = 0; quietTurns < 2; quietTurns += 1) {
      await running.inbox.idle();
      await running.outbox.idle();
      if (!(running.inbox.isCaughtUp && running.outbox.isCaughtUp)) quietTurns = -1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #refuseWhileRunning(what: string, name: string): void {
    if (this.#state === "new") return;
    throw new RobsonError("ALREADY_RUNNING", `Cannot add ${what} "${name}": the loop is ${this.#state}`, {
      hint: "Register everything first, then start; a loop is started once",
    });
  }

  #assemble(ownership: Ownership): Running {
    const listening = new AbortController();
    const grace = new AbortController();
    const shared = { clock: this.#clock, random: this.#random, limits: this.#limits, log: this.#log };
    const onBug = (error: unknown) => this.#onBug(error);
    const reads = { attempts: 0 };
    const onReadError = (error: unknown) => this.#onReadError(error, { reads, signal: grace.signal });

    const outbox = new Outbox({
      ...shared,
      ownership,
      gateways: this.#gateways,
      signal: grace.signal,
      onBug,
      onReadError,
    });
    const dispatcher: Dispatcher = new Dispatcher({
      ...shared,
      routing: this.#routing,
      outbox,
      resume: (key) => inbox.resume(key),
    });
    const inbox = new Inbox({
      ownership,
      clock: this.#clock,
      limits: this.#limits,
      dispatch: (entry) => dispatcher.dispatch(entry),
      onBug,
      onReadError,
    });
    const supervisors = [...this.#gateways.values()].map((gateway) => {
      const accept = (message: InboundMessage) => inbox.accept(gateway.name, message);
      return new GatewaySupervisor({ ...shared, gateway, accept, signal: listening.signal });
    });
    const gatewaysEnded = Promise.resolve();
    return {
      ownership,
      inbox,
      outbox,
      dispatcher,
      supervisors,
      gatewaysEnded,
      listening,
      grace,
      cancelPoll: () => undefined,
    };
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    this.#state = "stopping";
    this.#log.info({}, "loop stopping");
    if (running) {
      running.cancelPoll();
      running.listening.abort(new Error("The loop is stopping"));
      running.inbox.stop();
      const graceIsOver = this.#clock.schedule(this.#clock.now() + this.#limits.stopGraceMs, () => {
        running.dispatcher.handBack();
        running.grace.abort(new Error("The loop is stopping"));
      });
      if (this.#failure !== undefined) running.grace.abort(this.#failure);
      await running.inbox.idle();
      await this.#deliverWhatIsReady(running);
      running.outbox.stop();
      await running.outbox.idle();
      await running.gatewaysEnded;
      graceIsOver();
      await running.ownership.release();
    }
    this.#state = "stopped";
    this.#log.info({}, "loop stopped");
    if (this.#failure === undefined) this.#ended.resolve();
    else this.#ended.reject(this.#failure);
  }

  /** Answers that were stored just now still go out, as long as there is time. */
  async #deliverWhatIsReady({ outbox, grace }: Running): Promise<void> {
    if (grace.signal.aborted) return;
    const graceIsOver = new Promise((resolve) => {
      grace.signal.addEventListener("abort", resolve, { once: true });
    });
    await Promise.race([outbox.idle(), graceIsOver]);
  }

  #wake(): void {
    this.#running?.inbox.takeUnowned();
    this.#running?.outbox.reread();
  }

  /** Looks at the database now and then, in case a wake-up was lost. */
  #poll(sweepAt: number): void {
    const running = this.#running;
    if (!running || this.#state !== "running") return;
    let nextSweepAt = sweepAt;
    if (this.#clock.now() >= sweepAt) {
      nextSweepAt = this.#clock.now() + SWEEP_EVERY_MS;
      running.outbox.reread();
      void this.#sweep(running.ownership);
    }
    running.inbox.takeUnowned();
    const at = this.#clock.now() + this.#limits.fallbackPollMs;
    running.cancelPoll = this.#clock.schedule(at, () => this.#poll(nextSweepAt));
  }

  async #sweep(ownership: Ownership): Promise<void> {
    try {
      const before = this.#clock.now() - this.#limits.maxUnregisteredGatewayMs;
      this.#unregistered = await ownership.expireUnregistered(before);
      for (const { gateway, count } of this.#unregistered) {
        this.#log.warn({ gateway, count }, "deliveries wait for a gateway that does not run here");
      }
    } catch (error) {
      this.#onBug(error);
    }
  }

  async #onReadError(
    error: unknown,
    retry: { reads: { attempts: number }; signal: AbortSignal },
  ): Promise<void> {
    retry.reads.attempts += 1;
    const { backoffBaseMs: baseMs, maxDatabaseBackoffMs: maxMs } = this.#limits;
    const waitMs = backoffMs({
      attempts: retry.reads.attempts,
      baseMs,
      maxMs,
      maxRetryAfterMs: 0,
      random: this.#random,
    });
    this.#log.warn({ waitMs, error: messageOf(error) }, "database refused a read; trying again");
    await wait(this.#clock, waitMs, retry.signal);
  }

  /** What no part of the loop expected: it is logged, and the entry stays open for the next start. */
  #onBug(error: unknown): void {
    if (hasCode(error, "LEASE_LOST")) {
      this.#fail(error);
      return;
    }
    if (this.#state !== "running" && hasCode(error, "STORE_UNAVAILABLE", "STORE_BUSY", "STORE_FULL")) {
      this.#log.warn({ error: messageOf(error) }, "left for the next start");
      return;
    }
    this.#log.error(
      { incident: randomUUID(), error: messageOf(error), stack: stackOf(error) },
      "unexpected error",
    );
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined || this.#state !== "running") return;
    this.#failure = error;
    this.#log.error({ error: messageOf(error) }, "loop cannot go on");
    void this.stop();
  }
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}
