/**
 * One run of the simulation: a stormy part, in which processes die, freeze and stop, then a calm one, in which
 * everything has to come to its end; then all processes stop, and nothing may be left.
 */
import { messageOf } from "../../src/core/errors.ts";
import { checkTheEnd } from "./final-checks.ts";
import { MemoryDatabase } from "./memory-database.ts";
import { openMemoryStore } from "./memory-store.ts";
import { isOpen } from "./memory-tables.ts";
import { Platform } from "./platform.ts";
import { createRandom, type Random } from "./random.ts";
import { createScenario, type Scenario } from "./scenario.ts";
import { type Host, SimScheduler } from "./scheduler.ts";
import { createProcess, type SimProcess } from "./sim-process.ts";
import { Witness } from "./witness.ts";

export interface RunResult {
  seed: number;
  steps: number;
  violations: string[];
}

const START_AT = Date.UTC(2030, 0, 1);
const MAX_STORM_STEPS = 1500;
const MAX_STEPS = 40_000;
const HOUR_MS = 3_600_000;
/** After everything has ended, what memory still holds has this long to notice. */
const NOTICE_MS = 90_000;
const RESTART_MS = 500;

export function runSeed(seed: number, trace?: (line: string) => void): Promise<RunResult> {
  const world = new World(seed, trace);
  return world.run();
}

class World {
  readonly #random: Random;
  readonly #scenario: Scenario;
  readonly #scheduler: SimScheduler;
  readonly #db: MemoryDatabase;
  readonly #witness: Witness;
  readonly #platform: Platform;
  readonly #outside: Host = { name: "outside", state: "alive", parked: [] };
  readonly #plans;
  readonly #failures = new Map<string, number>();
  readonly #processes = new Set<SimProcess>();
  readonly #seed: number;
  #processCount = 0;
  #faults = 0;
  #isCalm = false;
  #isOver = false;
  #isTroubled = false;

  constructor(seed: number, trace?: (line: string) => void) {
    const random = createRandom(seed);
    const scenario = createScenario(seed, random);
    const { tickProbability, isShared } = scenario;
    const scheduler = new SimScheduler({ seed, random, tickProbability, startAt: START_AT, trace });
    const db = new MemoryDatabase({
      turns: scheduler,
      isShared,
      faults: this.#storeFaults(random, scenario),
    });
    const plans = new Map(scenario.messages.map((plan) => [plan.key, plan]));
    const witness = new Witness({ db, plans, steps: () => scheduler.steps });
    const store = openMemoryStore(db, this.#outside);
    const isCalm = () => this.#isCalm;
    const shared = { scenario, random, scheduler, witness };
    this.#platform = new Platform({ ...shared, outside: this.#outside, store, isCalm });
    this.#seed = seed;
    this.#random = random;
    this.#scenario = scenario;
    this.#scheduler = scheduler;
    this.#db = db;
    this.#plans = plans;
    this.#witness = witness;
  }

  run(): Promise<RunResult> {
    return this.#scheduler.holding(async () => {
      for (const slot of this.#scenario.slots.keys()) this.#start(slot);
      this.#platform.start();
      await this.#storm();
      await this.#calm();
      await this.#stopAll();
      const { violations } = this.#witness;
      if (violations.length === 0)
        checkTheEnd(this.#db.tables, { scenario: this.#scenario, witness: this.#witness });
      return { seed: this.#seed, steps: this.#scheduler.steps, violations };
    });
  }

  async #storm(): Promise<void> {
    const { faultProbability, maxFaults } = this.#scenario;
    while (this.#scheduler.steps < MAX_STORM_STEPS && !this.#isQuiet()) {
      if (this.#faults < maxFaults && this.#random.chance(faultProbability)) this.#fault();
      if (!(await this.#step())) break;
    }
  }

  async #calm(): Promise<void> {
    this.#isCalm = true;
    this.#scheduler.calm();
    for (const { host } of this.#processes) if (host.state === "frozen") this.#scheduler.thaw(host);
    const until = this.#scheduler.now() + HOUR_MS;
    while (!this.#isQuiet() && this.#scheduler.now() < until && (await this.#step()));
    if (this.#witness.violations.length > 0) return;
    if (!this.#isQuiet()) this.#witness.violated(`not everything has ended: ${this.#openWork()}`);
    const noticedAt = this.#scheduler.now() + NOTICE_MS;
    while (this.#scheduler.now() < noticedAt && (await this.#step()));
    for (const { loop, host } of this.#processes) {
      const { openMessages, openDeliveries } = loop.health();
      if (openMessages + openDeliveries > 0)
        this.#witness.violated(
          `${host.name} holds ${openMessages} messages and ${openDeliveries} deliveries`,
        );
    }
  }

  async #stopAll(): Promise<void> {
    if (this.#witness.violations.length > 0) return;
    this.#isOver = true;
    for (const process of this.#processes) this.#stop(process);
    const until = this.#scheduler.now() + HOUR_MS;
    while (this.#processes.size > 0 && this.#scheduler.now() < until && (await this.#step()));
    for (const { host } of this.#processes) this.#witness.violated(`${host.name} does not stop`);
    if (this.#db.processes.size > 0) this.#witness.violated("a process that has stopped is still a member");
  }

  async #step(): Promise<boolean> {
    if (this.#scheduler.steps > MAX_STEPS) {
      this.#witness.violated(`no end after ${MAX_STEPS} steps: ${this.#openWork()}`);
      return false;
    }
    return this.#witness.violations.length === 0 && (await this.#scheduler.step());
  }

  #start(slot: number): void {
    this.#processCount += 1;
    const host: Host = { name: `p${this.#processCount}`, state: "alive", parked: [] };
    const process = createProcess({
      ...{
        scenario: this.#scenario,
        random: this.#random,
        scheduler: this.#scheduler,
        witness: this.#witness,
      },
      ...{ platform: this.#platform, plans: this.#plans, failures: this.#failures, host, slot },
      store: openMemoryStore(this.#db, host),
    });
    this.#processes.add(process);
    this.#scheduler.later(host, "start", () => {
      process.hasBegun = true;
      process.loop.run().then(
        () => this.#ended(process),
        (error) => this.#ended(process, error),
      );
    });
  }

  #fault(): void {
    const alive = [...this.#processes].filter(({ host }) => host.state === "alive");
    if (alive.length === 0) return;
    this.#faults += 1;
    const process = this.#random.pick(alive);
    const kind = this.#random.pick(["kill", "kill", "kill", "freeze", "stop"] as const);
    if (kind === "kill") this.#kill(process);
    else if (kind === "stop") this.#stop(process);
    else this.#freeze(process);
  }

  #freeze(process: SimProcess): void {
    const { scheduler, platform } = { scheduler: this.#scheduler, platform: this.#platform };
    scheduler.freeze(process.host);
    platform.frozen(process.host);
    // Whoever is alone and frozen keeps its lock; another one takes the database over all the same.
    if (!this.#scenario.isShared && this.#random.chance(0.7)) {
      if (this.#db.owner?.host === process.host) this.#db.owner.isLocked = false;
      this.#start(process.slot);
    }
    scheduler.after(this.#outside, this.#random.between(1, 40_000), () => {
      if (process.host.state === "frozen") scheduler.thaw(process.host);
    });
  }

  #kill(process: SimProcess): void {
    this.#scheduler.kill(process.host);
    this.#gone(process);
  }

  #stop(process: SimProcess): void {
    if (process.isStopping) return;
    process.isStopping = true;
    this.#isTroubled = false;
    const stop = () => {
      if (process.hasBegun) void process.loop.stop();
      else this.#scheduler.later(process.host, "stop", stop);
    };
    this.#scheduler.later(process.host, "stop", stop);
  }

  /** Its loop has come to an end by itself, or because it was stopped. */
  #ended(process: SimProcess, error?: unknown): void {
    const { host, epoch } = process;
    const { code } = { code: undefined, ...(error as object) } as { code: unknown };
    const isExpected = error === undefined || EXPECTED_ENDS.includes(String(code));
    if (!isExpected) this.#witness.violated(`${host.name} has ended: ${messageOf(error)}`);
    const hasLeft = error === undefined && epoch !== undefined && !this.#db.expelled.has(epoch);
    if (hasLeft && !this.#isTroubled) this.#checkNothingClaimed(process);
    this.#scheduler.kill(host);
    this.#gone(process);
  }

  #checkNothingClaimed({ host }: SimProcess): void {
    // Known: one that was stored as begun while its shard was let go is left claimed, and counts as interrupted.
    for (const rows of [this.#db.tables.inbox, this.#db.tables.deliveries])
      for (const [key, row] of rows)
        if (row.status === "claimed" && row.by === host.name && !this.#isOnlyCounted(key))
          this.#witness.violated(
            `${host.name} has stopped and left ${String(key).replaceAll("\0", " ")} claimed`,
          );
  }

  #isOnlyCounted(key: number | string): boolean {
    return typeof key === "number" && !this.#witness.begun.has(key);
  }

  #gone(process: SimProcess): void {
    this.#processes.delete(process);
    this.#platform.cutOff(process.host);
    this.#db.died(process.host);
    const isReplaced = [...this.#processes].some(
      ({ slot, isStopping }) => slot === process.slot && !isStopping,
    );
    if (this.#isOver || isReplaced) return;
    this.#scheduler.after(this.#outside, RESTART_MS, () => this.#start(process.slot));
  }

  #isQuiet(): boolean {
    return this.#platform.posts.size === 0 && this.#openWork() === "";
  }

  #openWork(): string {
    const { inbox, deliveries } = this.#db.tables;
    const messages = [...inbox]
      .filter(([, { status }]) => isOpen(status))
      .map(([id, { status }]) => `${id} ${status}`);
    const open = [...deliveries.values()].filter(({ status }) => isOpen(status));
    const events = open.map(({ eventId, status }) => `event ${eventId} ${status}`);
    const posts = [...this.#platform.posts].map(({ plan }) => `${plan.key} not accepted`);
    return [...posts, ...messages, ...events].join(", ");
  }

  #storeFaults(random: Random, { storeTrouble, wakeLoss, isShared }: Scenario) {
    const isTrouble = () => !this.#isCalm && random.chance(storeTrouble);
    const fates = isShared
      ? (["lost", "lost though stored", "late"] as const)
      : (["busy", "busy", "lost", "lost though stored"] as const);
    return {
      batchSize: (waiting: number) => random.between(1, waiting),
      commit: () => {
        if (!isTrouble()) return "stored" as const;
        this.#isTroubled = true;
        return random.pick(fates);
      },
      isReadLost: isTrouble,
      isWakeLost: () => !this.#isCalm && random.chance(wakeLoss),
    };
  }
}

const EXPECTED_ENDS = ["LEASE_LOST", "ALREADY_RUNNING", "STORE_UNAVAILABLE", "STORE_BUSY", "STOPPING"];
