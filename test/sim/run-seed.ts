/**
 * One run of the simulation: a stormy part, in which processes die, freeze and stop, then a calm one, in which
 * everything has to come to its end; then all processes stop, and nothing may be left.
 */
import { messageOf } from "../../src/core/errors.ts";
import { checkTheEnd } from "./final-checks.ts";
import { hasEnded, isOpen, type MemoryTables } from "./memory-tables.ts";
import { OutsideWorld } from "./outside-world.ts";
import { People } from "./people.ts";
import { Platform } from "./platform.ts";
import { createRandom, type Random } from "./random.ts";
import { Retriers } from "./retriers.ts";
import { checkRuns, waitsInVain } from "./run-checks.ts";
import { RunRetriers } from "./run-retriers.ts";
import { createScenario, type Scenario } from "./scenario.ts";
import { type Host, SimScheduler } from "./scheduler.ts";
import { createProcess, type SimProcess } from "./sim-process.ts";
import { createFaults } from "./store-faults.ts";
import { Witness } from "./witness.ts";
import type { WorldDatabase } from "./world-database.ts";
import { type Databases, MEMORY } from "./worlds.ts";

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
/** How many steps a write may take until it is known what became of it. */
const STEPS_OF_A_WRITE = 50;
/** More than all scenarios have of anything. */
const MANY = 1000;
/** How many processes there are at once, with those that join others for a while. */
const MAX_PROCESSES = 4;
/** Of a real database: how often it is looked at whether all has ended. */
const STEPS_PER_LOOK = 8;

export interface RunOptions {
  databases?: Databases;
  trace?: ((line: string) => void) | undefined;
}

export async function runSeed(
  seed: number,
  { databases = MEMORY, trace }: RunOptions = {},
): Promise<RunResult> {
  const random = createRandom(seed);
  const scenario = createScenario(seed, { random, kind: databases.kind });
  const { tickProbability } = scenario;
  const scheduler = new SimScheduler({ seed, random, tickProbability, startAt: START_AT, trace });
  return scheduler.holding(async () => {
    const world = new World({ seed, random, scenario, scheduler });
    await world.open(databases);
    try {
      return await world.run();
    } finally {
      await world.close();
    }
  });
}

interface WorldParts {
  seed: number;
  random: Random;
  scenario: Scenario;
  scheduler: SimScheduler;
}

class World {
  readonly #random: Random;
  readonly #scenario: Scenario;
  readonly #scheduler: SimScheduler;
  readonly #outside: Host = { name: "outside", state: "alive", parked: [] };
  readonly #plans;
  readonly #failures = new Map<string, number>();
  readonly #processes = new Set<SimProcess>();
  readonly #seed: number;
  readonly #witness: Witness;
  #db!: WorldDatabase;
  #platform!: Platform;
  #people!: People;
  #retriers!: Retriers;
  #runRetriers!: RunRetriers;
  #outsideWorld!: OutsideWorld;
  #isReal = false;
  #processCount = 0;
  #faults = 0;
  #isCalm = false;
  #calmAt = 0;
  #isOver = false;
  /** When a write failed the last time, by the count of steps. */
  #troubledAt = Number.NEGATIVE_INFINITY;

  constructor({ seed, random, scenario, scheduler }: WorldParts) {
    this.#seed = seed;
    this.#random = random;
    this.#scenario = scenario;
    this.#scheduler = scheduler;
    this.#plans = new Map(scenario.messages.map((plan) => [plan.key, plan]));
    const mayBeFull = Math.min(scenario.limits.maxLoaded, scenario.limits.maxHeld) < MANY;
    this.#witness = new Witness({
      db: { look: (see) => this.#db.look(see) },
      plans: this.#plans,
      steps: () => scheduler.steps,
      mayFallBehind: scenario.isShared || scenario.storeTrouble > 0 || mayBeFull,
    });
  }

  async open(databases: Databases): Promise<void> {
    const { random, scenario, scheduler, witness } = {
      random: this.#random,
      scenario: this.#scenario,
      scheduler: this.#scheduler,
      witness: this.#witness,
    };
    const isCalm = () => this.#isCalm;
    const onTrouble = () => {
      this.#troubledAt = this.#scheduler.steps;
    };
    this.#isReal = databases.kind !== "memory";
    this.#db = await databases.create({
      turns: scheduler,
      isShared: scenario.isShared,
      faults: createFaults({ random, scenario, isCalm, onTrouble }),
      random,
      violated: (text) => witness.violated(text),
    });
    const store = this.#db.open(this.#outside);
    const shared = { scenario, random, scheduler, witness };
    const { db, outside } = { db: this.#db, outside: this.#outside };
    this.#platform = new Platform({ ...shared, plans: this.#plans, outside, store, isCalm });
    this.#people = new People({ ...shared, platform: this.#platform, db, outside, store });
    this.#retriers = new Retriers({ ...shared, db, outside, store });
    this.#runRetriers = new RunRetriers({ ...shared, db, outside, store });
    this.#outsideWorld = new OutsideWorld({ ...shared, db, isCalm });
  }

  async run(): Promise<RunResult> {
    for (const slot of this.#scenario.slots.keys()) this.#start(slot);
    this.#platform.start();
    this.#people.start();
    await this.#storm();
    await this.#calm();
    await this.#stopAll();
    const { violations } = this.#witness;
    await this.#db.look(({ tables }) => {
      const parts = { scenario: this.#scenario, witness: this.#witness, outside: this.#outsideWorld };
      if (violations.length === 0) checkTheEnd(tables, parts);
    });
    return { seed: this.#seed, steps: this.#scheduler.steps, violations };
  }

  close(): Promise<void> {
    for (const { host } of this.#processes) this.#scheduler.kill(host);
    return this.#db.close();
  }

  async #storm(): Promise<void> {
    const { faultProbability, maxFaults } = this.#scenario;
    while (this.#scheduler.steps < MAX_STORM_STEPS && !(await this.#isQuiet())) {
      if (this.#faults < maxFaults && this.#random.chance(faultProbability)) this.#fault();
      if (!(await this.#step())) break;
    }
  }

  async #calm(): Promise<void> {
    this.#isCalm = true;
    this.#calmAt = this.#scheduler.now();
    this.#scheduler.calm();
    for (const { host } of this.#processes) if (host.state === "frozen") this.#thaw(host);
    const { limits, messages } = this.#scenario;
    // At worst one after the other, each of them hanging at each attempt.
    const rounds = messages.reduce((sum, { run }) => sum + 1 + 2 * (run?.retries ?? 0), 0);
    const workMs = limits.workerTimeoutMs * limits.maxMessageAttempts * rounds;
    const until = this.#scheduler.now() + HOUR_MS + workMs;
    while (!(await this.#isQuiet()) && this.#scheduler.now() < until && (await this.#step()));
    if (this.#witness.violations.length > 0) return;
    const openWork = await this.#openWork();
    if (openWork !== "") this.#witness.violated(`not everything has ended: ${openWork}`);
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
    const stopping = [...this.#processes];
    for (const process of stopping) this.#stop(process);
    const until = this.#scheduler.now() + HOUR_MS;
    while (this.#processes.size > 0 && this.#scheduler.now() < until && (await this.#step()));
    for (const { host } of this.#processes) this.#witness.violated(`${host.name} does not stop`);
    // One that died while it joined is a member until its lease is over, which on a real database takes real time.
    await this.#db.look((view) => {
      const isLeft = stopping.some(({ epoch }) => epoch !== undefined && view.isValid(epoch));
      if (view.memberCount > 0 && isLeft && this.#witness.violations.length === 0)
        this.#witness.violated("a process that has stopped is still a member");
    });
  }

  async #step(): Promise<boolean> {
    if (this.#scheduler.steps > MAX_STEPS) {
      this.#witness.violated(`no end after ${MAX_STEPS} steps: ${await this.#openWork()}`);
      return false;
    }
    if (this.#witness.violations.length > 0 || !(await this.#scheduler.step())) return false;
    await this.#db.settle(false);
    if (this.#scheduler.pendingCount === 0) await this.#db.settle(true);
    return true;
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
      ...{ people: this.#people, outside: this.#outsideWorld },
      ...{ platform: this.#platform, plans: this.#plans, failures: this.#failures, host, slot },
      store: this.#db.open(host),
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
    const kind = this.#random.pick(["kill", "kill", "freeze", "freeze", "stop", "join"] as const);
    if (kind === "kill") this.#kill(process);
    else if (kind === "stop") this.#stop(process);
    else if (kind === "freeze") this.#freeze(process);
    else if (this.#scenario.isShared && this.#processes.size < MAX_PROCESSES) this.#start(process.slot);
  }

  #freeze(process: SimProcess): void {
    const { host } = process;
    this.#scheduler.freeze(host);
    this.#platform.frozen(host);
    this.#outsideWorld.cutOff(host);
    const frozenMs = this.#random.between(1, 40_000);
    this.#db.froze(host, frozenMs > this.#scenario.limits.leaseMs);
    // Whoever is alone and frozen keeps its lock; another one takes the database over all the same.
    if (!this.#scenario.isShared && this.#random.chance(0.7)) {
      this.#db.loseLock(host);
      this.#start(process.slot);
    }
    this.#scheduler.after(this.#outside, frozenMs, () => {
      if (host.state === "frozen") this.#thaw(host);
    });
  }

  #thaw(host: Host): void {
    this.#db.thawed(host);
    this.#scheduler.thaw(host);
  }

  #kill(process: SimProcess): void {
    this.#scheduler.kill(process.host);
    this.#gone(process);
  }

  #stop(process: SimProcess): void {
    if (process.isStopping) return;
    process.isStopping = true;
    process.stoppedAt = this.#scheduler.steps;
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
    const hasLeft = error === undefined && epoch !== undefined && !this.#db.wasExpelled(epoch);
    // What became of a write that was lost on the way, or of one before it, it could not know.
    const wasTroubled = this.#troubledAt > (process.stoppedAt ?? 0) - STEPS_OF_A_WRITE;
    if (hasLeft && !wasTroubled) this.#checkNothingClaimed(process);
    this.#scheduler.kill(host);
    this.#gone(process);
  }

  #checkNothingClaimed({ host }: SimProcess): void {
    // Known: one that was stored as begun while its shard was let go is left claimed, and counts as interrupted.
    void this.#db.look(({ tables }) => {
      for (const rows of [tables.inbox, tables.deliveries])
        for (const [key, row] of rows)
          if (row.status === "claimed" && row.by === host.name && !this.#isOnlyCounted(key))
            this.#witness.violated(
              `${host.name} has stopped and left ${String(key).replaceAll("\0", " ")} claimed`,
            );
    });
  }

  #isOnlyCounted(key: number | string): boolean {
    return typeof key === "number" && !this.#witness.begun.has(key);
  }

  #gone(process: SimProcess): void {
    this.#processes.delete(process);
    this.#platform.cutOff(process.host);
    this.#outsideWorld.cutOff(process.host);
    if (this.#scenario.hasRuns)
      void this.#db.look(({ tables }) => checkRuns(tables, (text) => this.#witness.violated(text)));
    this.#db.died(process.host);
    const isReplaced = [...this.#processes].some(
      ({ slot, isStopping }) => slot === process.slot && !isStopping,
    );
    if (this.#isOver || isReplaced) return;
    this.#scheduler.after(this.#outside, RESTART_MS, () => this.#start(process.slot));
  }

  async #isQuiet(): Promise<boolean> {
    if (!(this.#platform.isQuiet && this.#people.isQuiet)) return false;
    if (!(this.#retriers.isQuiet && this.#runRetriers.isQuiet)) return false;
    if (this.#isReal && this.#scheduler.pendingCount > 0 && this.#scheduler.steps % STEPS_PER_LOOK > 0)
      return false;
    return (await this.#openWork()) === "";
  }

  async #openWork(): Promise<string> {
    const posts = [...this.#platform.posts].map(({ plan }) => `${plan.key} not accepted`);
    let open: string[] = [];
    await this.#db.look(({ tables }) => {
      open = openIn(tables);
      if (!this.#scenario.hasRuns || !this.#isCalm) return;
      const before = this.#scheduler.now() - NOTICE_MS;
      for (const text of waitsInVain(tables, before > this.#calmAt ? before : 0))
        this.#witness.violated(text);
    });
    return [...posts, ...open].join(", ");
  }
}

function openIn({ inbox, deliveries }: MemoryTables): string[] {
  const messages = [...inbox]
    .filter(([, { status }]) => !hasEnded(status))
    .map(([id, { status }]) => `${id} ${status}`);
  const open = [...deliveries.values()].filter(({ status }) => isOpen(status));
  return [...messages, ...open.map(({ eventId, status }) => `event ${eventId} ${status}`)];
}

const EXPECTED_ENDS = ["LEASE_LOST", "ALREADY_RUNNING", "STORE_UNAVAILABLE", "STORE_BUSY", "STOPPING"];
