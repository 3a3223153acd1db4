/**
 * The whole: register workers and gateways, run, stop. Read this first. A message comes in through a gateway's
 * `accept` (inbox.ts), is given to the workers it matches (routing.ts, dispatch.ts), and what they report is
 * stored (outbox.ts) and delivered (delivery.ts). The database remembers; memory schedules.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type AccessRules, OPEN_ACCESS } from "./access.ts";
import { assemble, type Running } from "./assemble.ts";
import { type Clock, systemClock, wait } from "./clock.ts";
import type { LoopControl } from "./control.ts";
import { hasCode, messageOf, RobsonError } from "./errors.ts";
import { defineGateway, type Gateway } from "./gateway.ts";
import type { GatewayHealth } from "./gateway-supervisor.ts";
import { HookRegistry } from "./hooks.ts";
import { type Limits, withDefaults } from "./limits.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { definePlugin, type Plugin, setUpPlugin } from "./plugin.ts";
import { Routing } from "./routing.ts";
import type { Probe } from "./steps.ts";
import type { Ownership, Store, UnregisteredWork } from "./store.ts";
import { isStoreTrouble, StoreHealth } from "./store-health.ts";
import { type Asker, defineWorker, type Worker } from "./worker.ts";

export interface SensoriumLoopOptions {
  store: Store;
  /** Each limit that is left out has its default. */
  limits?: Partial<Limits>;
  /** Who is heard, and how often. Default: everyone, but on public gateways only the channels on the allow list. */
  access?: Partial<AccessRules>;
  log?: Logger;
  /** How this process calls itself to others that want the same database. */
  owner?: string;
  clock?: Clock;
  /** A number in [0, 1), for the jitter. */
  random?: () => number;
  /** Who may answer the questions of runs that others have asked for. Default: nobody. */
  isOperator?: (asker: Asker) => boolean;
  /** For crash tests: called at each point of a run at which the process may end. */
  probe?: Probe;
}

export interface LoopHealth {
  isReady: boolean;
  /** Why it is not ready. */
  reason?: string;
  gateways: GatewayHealth[];
  openMessages: number;
  openDeliveries: number;
  /** What waits for gateways that this process does not run. */
  unregistered: UnregisteredWork[];
}

export class SensoriumLoop {
  readonly #store: Store;
  readonly #limits: Limits;
  readonly #rules: AccessRules;
  readonly #log: Logger;
  readonly #owner: string;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #probe: Probe | undefined;
  readonly #isOperator: (asker: Asker) => boolean;
  readonly #routing = new Routing();
  readonly #gateways = new Map<string, Gateway>();
  readonly #hooks: HookRegistry;
  readonly #plugins = new Set<string>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #eventCallbacks = new Set<() => void>();
  readonly #storeHealth: StoreHealth;
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  #ownership: Ownership | undefined;
  /** Set while the database is being taken over. */
  #owning: Promise<Ownership> | undefined;
  #running: Running | undefined;
  #stopping: Promise<void> | undefined;
  #failure: unknown;
  #starting: Promise<void> | undefined;

  constructor(options: SensoriumLoopOptions) {
    this.#store = options.store;
    this.#limits = withDefaults(options.limits);
    this.#rules = { ...OPEN_ACCESS, ...options.access };
    this.#log = options.log ?? silentLogger;
    this.#storeHealth = new StoreHealth(this.#log);
    this.#owner = options.owner ?? `process ${process.pid} on ${hostname()}`;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#probe = options.probe;
    this.#isOperator = options.isOperator ?? (() => false);
    this.#hooks = new HookRegistry({ clock: this.#clock, limits: this.#limits, log: this.#log });
    this.#ended.promise.catch(() => undefined);
  }

  /** Adds a worker; the first that matches is asked first. Throws `WORKER_INVALID`. */
  registerWorker(worker: Worker): void {
    const defined = defineWorker(worker);
    this.#refuseWhileRunning("worker", defined.name);
    this.#routing.register(defined);
  }

  /** Adds a gateway. Throws `GATEWAY_INVALID`, also for a second one of its name. */
  registerGateway(gateway: Gateway): void {
    defineGateway(gateway);
    this.#refuseWhileRunning("gateway", gateway.name);
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

  /**
   * Runs the set-up of a plugin with its section of the configuration, which its schema checks. Throws
   * `PLUGIN_INVALID` with the plugin's name, also for what its registrations throw.
   */
  use(plugin: Plugin, config?: unknown): void {
    definePlugin(plugin);
    this.#refuseWhileRunning("plugin", plugin.name);
    setUpPlugin(plugin, {
      config,
      log: this.#log,
      names: this.#plugins,
      hook: (point, callback) => this.#hooks.attach(plugin.name, { point, callback }),
      registerWorker: (worker) => this.registerWorker(worker),
      registerGateway: (gateway) => this.registerGateway(gateway),
    });
  }

  /**
   * Takes the database over and begins nothing: for whoever has more to make ready before the first message is
   * worked on. `start` does it by itself. Throws `ALREADY_RUNNING` while another process has the database.
   */
  async own(): Promise<void> {
    this.#refuseWhileRunning("loop", this.#owner);
    await this.#takeOver();
  }

  /** Takes the database over, takes up what is open, and listens. Resolves when messages are accepted. */
  async start(): Promise<void> {
    this.#refuseWhileRunning("loop", this.#owner);
    this.#state = "running";
    this.#starting = this.#start();
    try {
      await this.#starting;
    } catch (error) {
      if (this.#state === "running") this.#state = "new";
      throw error;
    }
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
    if (this.#state === "new") return this.#letGo();
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Whether a text is for the loop itself or a control worker, as `/stop`: no limit of admission keeps it out. */
  isControl(content: string): boolean {
    return this.#routing.isControl(content);
  }

  /** What is open, and how to stop it; undefined while the loop does not run. */
  get control(): LoopControl | undefined {
    return this.#running?.control;
  }

  health(): LoopHealth {
    const running = this.#running;
    const reason = this.#reasonNotReady();
    return {
      isReady: reason === undefined,
      ...(reason === undefined ? {} : { reason }),
      gateways: running?.supervisors.map(({ health }) => ({ ...health })) ?? [],
      openMessages: running?.inbox.loadedCount ?? 0,
      openDeliveries: running?.outbox.loadedCount ?? 0,
      unregistered: running?.sweep.unregistered ?? [],
    };
  }

  /** Resolves when nothing is under way: retries to come do not count, nor what a stop has left unread. */
  async idle(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    for (let quietTurns = 0; quietTurns < 2; quietTurns += 1) {
      await running.inbox.idle();
      await running.outbox.idle();
      const isCaughtUp = running.inbox.isCaughtUp && running.outbox.isCaughtUp;
      if (this.#state === "running" && !isCaughtUp) quietTurns = -1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Calls back after each commit that may have stored events, until the result is called. */
  onEvents(callback: () => void): () => void {
    this.#eventCallbacks.add(callback);
    return () => void this.#eventCallbacks.delete(callback);
  }

  #refuseWhileRunning(what: string, name: string): void {
    if (this.#state === "new" && (what === "loop" || !this.#ownership)) return;
    const state = this.#state === "new" ? "about to start" : this.#state;
    throw new RobsonError("ALREADY_RUNNING", `Cannot add ${what} "${name}": the loop is ${state}`, {
      hint: "Register everything first, then start; a loop is started once",
    });
  }

  async #takeOver(): Promise<Ownership> {
    const gateways = [...this.#gateways.values()];
    if (this.#ownership) return this.#ownership;
    this.#owning ??= this.#store.own({
      owner: this.#owner,
      gateways: gateways.map(({ name }) => name),
      exclusiveGateways: gateways.filter(({ isExclusive }) => isExclusive).map(({ name }) => name),
      workers: this.#routing.fingerprint(),
      leaseMs: this.#limits.leaseMs,
      now: this.#clock.now(),
      clock: this.#clock,
    });
    try {
      this.#ownership = await this.#owning;
      return this.#ownership;
    } finally {
      this.#owning = undefined;
    }
  }

  /** Of what was taken over, or is just being, when nothing has begun. */
  async #letGo(): Promise<void> {
    const ownership = this.#ownership ?? (await this.#owning?.catch(() => undefined));
    await ownership?.release();
  }

  async #start(): Promise<void> {
    const ownership = await this.#takeOver();
    if (this.#state !== "running") {
      await ownership.release();
      throw new RobsonError("STOPPING", "Cannot start the loop: it was stopped meanwhile", {
        hint: "Make another loop; one is started once",
      });
    }
    const running = assemble({
      ownership,
      store: this.#store,
      routing: this.#routing,
      gateways: this.#gateways,
      clock: this.#clock,
      random: this.#random,
      probe: this.#probe,
      isOperator: this.#isOperator,
      limits: this.#limits,
      rules: this.#rules,
      log: this.#log,
      hooks: this.#hooks,
      storeHealth: this.#storeHealth,
      health: () => this.health(),
      onBug: (error) => this.#onBug(error),
      onEvents: () => {
        for (const callback of this.#eventCallbacks) callback();
      },
    });
    this.#running = running;
    ownership.onWake((wokenFor) => running.sweep.wake(wokenFor));
    ownership.onLost((error) => this.#fail(error));
    ownership.onShards((change) => running.tenure.onChange(change));
    ownership.onReach((error) =>
      error === undefined ? this.#storeHealth.worked() : this.#storeHealth.unreached(error),
    );
    this.#log.info({ epoch: ownership.epoch, store: this.#store.location }, "loop started");
    running.outbox.reread();
    running.runThreads.reread();
    running.inbox.start();
    running.gatewaysEnded = Promise.all(running.supervisors.map((supervisor) => supervisor.run()));
    running.sweep.start();
  }

  async #stop(): Promise<void> {
    this.#state = "stopping";
    this.#log.info({}, "loop stopping");
    if (!this.#running) await this.#starting?.catch(() => undefined);
    if (this.#running) await this.#stopRunning(this.#running);
    this.#state = "stopped";
    this.#log.info({}, "loop stopped");
    if (this.#failure === undefined) this.#ended.resolve();
    else this.#ended.reject(this.#failure);
  }

  async #stopRunning(running: Running): Promise<void> {
    const { tenure, sweep, runThreads, listening, inbox, outbox, dispatcher, grace, ownership } = running;
    const endGrace = (reason: unknown) => {
      dispatcher.handBack();
      grace.abort(reason);
    };
    sweep.stop();
    runThreads.stop();
    listening.abort(new Error("The loop is stopping"));
    inbox.stop();
    // Shards in which nothing is under way go to other processes at once.
    tenure.leaveAll();
    const graceEndsAt = this.#clock.now() + this.#limits.stopGraceMs;
    const cancelGrace = this.#clock.schedule(graceEndsAt, () => endGrace(new Error("The loop is stopping")));
    // Whoever has taken over works on the same messages by now.
    if (this.#failure !== undefined) endGrace(this.#failure);
    await inbox.idle();
    await this.#within(this.#limits.workerAbortGraceMs, dispatcher.leftoversEnded());
    await withinGrace(outbox.drained(), grace.signal);
    outbox.stop();
    await outbox.idle();
    await withinGrace(running.gatewaysEnded, grace.signal);
    for (const { health } of running.supervisors) {
      if (health.state !== "stopped")
        this.#log.error({ gateway: health.name }, "gateway ignores its signal; left behind");
    }
    await withinGrace(this.#hooks.idle(), grace.signal);
    this.#hooks.close();
    cancelGrace();
    tenure.stop();
    await ownership.release();
    clearInterval(running.keepAlive);
  }

  async #within(timeoutMs: number, ended: Promise<unknown>): Promise<void> {
    const isOver = new AbortController();
    const timeout = wait(this.#clock, timeoutMs, isOver.signal);
    await Promise.race([ended, timeout]);
    isOver.abort();
    timeout.catch(() => undefined);
  }

  #reasonNotReady(): string | undefined {
    if (this.#state !== "running") return `The loop is ${this.#state}`;
    if (!this.#running) return "The loop is starting";
    return this.#storeHealth.trouble;
  }

  /** What no part of the loop expected: it is logged, and the entry stays open for the next start. */
  #onBug(error: unknown): void {
    if (hasCode(error, "LEASE_LOST")) {
      this.#fail(error);
      return;
    }
    if (this.#state !== "running" && isStoreTrouble(error)) {
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
    this.#storeHealth.giveUp();
    this.#log.error({ error: messageOf(error) }, "loop cannot go on");
    void this.stop();
  }
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}

/** Waits for it as long as there is time. */
async function withinGrace(ended: Promise<unknown>, grace: AbortSignal): Promise<void> {
  if (grace.aborted) return;
  const graceIsOver = new Promise((resolve) => {
    grace.addEventListener("abort", resolve, { once: true });
  });
  await Promise.race([ended, graceIsOver]);
}
