/** What a seed stands for: the processes, what people write, how workers and platforms behave, what goes wrong. */
import { DEFAULT_LIMITS, type Limits } from "../../src/core/limits.ts";
import { createRandom, type Random } from "./random.ts";
import { type RunPlan, retriesBy, runBy } from "./run-plans.ts";
import type { StoreKind } from "./world-database.ts";

export interface MessagePlan {
  key: string;
  /** Who writes it. */
  userId: string;
  /** Plain words, which a run of its thread may take. */
  isPlain: boolean;
  /** The long work that it starts. */
  run: RunPlan | null;
  /** Null: a message of no gateway, announced through all of them. */
  gateway: string | null;
  thread: string;
  /** Written through a gateway, or stored by a process that is no owner. */
  by: "platform" | "other process";
  /** How often the platform hands it over. */
  copies: number;
  /** Before the first is handed over. */
  waitMs: number;
  isControl: boolean;
  progress: number;
  /** How many attempts fail, each after it has emitted all. */
  failures: number;
  ending: "answer" | "silence" | "refusal" | "hanging";
  /** An attempt after the first emits one event less. */
  isShorterAgain: boolean;
  /** Goes on when its signal is aborted. */
  isDeaf: boolean;
  /** How long its worker sleeps between two steps. */
  sleepMs: number;
  /** How long after it was accepted someone who is no owner wants it ended. */
  stopAfterMs: number | null;
  /** Of a control message: the message that it has its own process end. */
  halts: string | null;
}

export interface Scenario {
  seed: number;
  isShared: boolean;
  /** The gateways of each process. */
  slots: string[][];
  /** Whether the platforms can be asked for a delivery. */
  canFind: boolean;
  isExclusive: boolean;
  maxConcurrent: number | undefined;
  limits: Limits;
  messages: MessagePlan[];
  /** Whether some of them start runs. */
  hasRuns: boolean;
  /** Whether someone has dead letters tried again; runs have their own plans for that. */
  hasRetries: boolean;
  tickProbability: number;
  /** Of each step: that a process is killed, frozen or stopped. */
  faultProbability: number;
  maxFaults: number;
  /** Of each commit or reading. */
  storeTrouble: number;
  wakeLoss: number;
  /** Of each send. */
  sendTrouble: number;
  /** By how much the processes' clocks differ. */
  maxClockOffsetMs: number;
}

export const DEFAULT_CHANNEL = "home";

/** Sets the chances of the runs apart from the others. */
const RUNS = 0x2f6e_2b1d;
const RUN_LIMITS = 0x1b87_3593;
const RETRIES = 0x7feb_352d;
const RUN_RETRIES = 0x1656_67b1;

/** Of real time: a process on PostgreSQL whose sign of life is older counts as frozen. */
const REAL_LEASE_MS = 3000;

export function createScenario(
  seed: number,
  { random, kind }: { random: Random; kind: StoreKind },
): Scenario {
  const isShared = kind === "memory" ? random.chance(0.6) : kind === "postgres";
  const slotCount = isShared ? random.between(kind === "postgres" ? 2 : 1, 3) : 1;
  const slots = Array.from({ length: slotCount }, (_, slot) =>
    slot === 0 ? ["a", "b"] : random.pick([["a", "b"], ["a"], ["b"]]),
  );
  const often = (probability: number) => (random.chance(0.5) ? probability * random.next() : 0);
  const threads = random.between(1, 4);
  const count = random.between(2, 9);
  const plain = Array.from({ length: count }, (_, index) => messageBy(random, { index, threads, count }));
  const messages = withRunRetries(withRuns(plain, seed), seed);
  return {
    ...{ seed, isShared, slots },
    canFind: random.chance(0.8),
    isExclusive: random.chance(0.2),
    maxConcurrent: random.chance(0.3) ? random.between(1, 2) : undefined,
    limits: {
      ...limitsBy(random),
      ...runLimitsBy(seed),
      ...(kind === "postgres" ? { leaseMs: REAL_LEASE_MS } : {}),
    },
    ...{ messages, hasRuns: messages !== plain },
    hasRetries: createRandom(seed ^ RETRIES).chance(0.5),
    tickProbability: random.pick([0, 0.005, 0.02, 0.1, 0.3]),
    faultProbability: random.chance(0.75) ? random.pick([0.002, 0.01, 0.03]) : 0,
    maxFaults: random.between(1, 6),
    storeTrouble: often(0.3),
    wakeLoss: often(0.5),
    sendTrouble: often(0.6),
    maxClockOffsetMs: random.pick([0, 0, 5000]),
  };
}

/**
 * Of each other seed, some messages start runs and some are plain words. By chances of their own: the rest of a seed is
 * as it was without.
 */
function withRuns(messages: MessagePlan[], seed: number): MessagePlan[] {
  const random = createRandom(seed ^ RUNS);
  if (random.chance(0.5)) return messages;
  const count = messages.length;
  return messages.map((plan, index) => {
    if (plan.isControl || plan.gateway === null) return plan;
    const run = random.chance(0.5) ? runBy(random, { index, count }) : null;
    const isPlain = run === null && random.chance(0.5);
    const userId = random.pick(["U1", "U1", "U2"]);
    if (run)
      return { ...plan, run, userId, ending: "answer", failures: 0, progress: 0, isShorterAgain: false };
    // A run that takes it ends it: it has nothing of its own that must be seen.
    return isPlain ? { ...plan, ...PLAIN, userId } : { ...plan, userId };
  });
}

/** Of each other seed with runs, some of these end otherwise than well, and people have them go on. */
function withRunRetries(messages: MessagePlan[], seed: number): MessagePlan[] {
  const random = createRandom(seed ^ RUN_RETRIES);
  if (!messages.some(({ run }) => run) || random.chance(0.5)) return messages;
  return messages.map((plan) => {
    if (!plan.run || random.chance(0.3)) return plan;
    const stopAfterMs = random.chance(0.4)
      ? random.pick([0, 1, random.between(1, 30_000)])
      : plan.stopAfterMs;
    return { ...plan, stopAfterMs, run: { ...plan.run, ...retriesBy(random, plan.run) } };
  });
}

/** What is not meant for one does as a message without any trouble does. */
const PLAIN = {
  isPlain: true,
  ending: "answer",
  progress: 0,
  failures: 0,
  isShorterAgain: false,
  isDeaf: false,
  sleepMs: 0,
  stopAfterMs: null,
} as const;

/** Plain words that someone writes while the world goes on. */
export function plainMessage(of: Pick<MessagePlan, "key" | "userId" | "gateway" | "thread">): MessagePlan {
  const more = { by: "platform", copies: 1, waitMs: 0, isControl: false, run: null, halts: null } as const;
  return { ...PLAIN, ...more, ...of };
}

/** What the message says. */
export function contentOf({ key, isControl, isPlain, run }: MessagePlan): string {
  if (run) return `/${run.worker} ${key}${run.lane === null ? "" : ` lane=${run.lane}`}`;
  if (isPlain) return `say ${key}`;
  return `${isControl ? "/ping" : "/work"} ${key}`;
}

/** Whose plan it is that says this. */
export function keyOf(content: string): string {
  return content.split(" ")[1] ?? "";
}

function messageBy(
  random: Random,
  { index, threads, count }: { index: number; threads: number; count: number },
): MessagePlan {
  const isControl = random.chance(0.12);
  const isOfOther = random.chance(0.15);
  const gateway = random.pick(["a", "a", "b"]);
  return {
    key: `m${index}`,
    userId: "U1",
    ...{ isPlain: false, run: null },
    gateway: isOfOther && random.chance(0.4) ? null : gateway,
    thread: `T${random.between(1, threads)}`,
    by: isOfOther ? "other process" : "platform",
    copies: random.pick([1, 1, 1, 2, 3]),
    waitMs: random.pick([0, 0, 0, random.between(1, 30_000)]),
    isControl,
    progress: random.pick([0, 0, 1, 2, 3]),
    failures: random.pick([0, 0, 0, 0, 0, 1, 2, 3]),
    ending: random.pick([
      "answer",
      "answer",
      "answer",
      "answer",
      "answer",
      "answer",
      "silence",
      "refusal",
      "hanging",
    ]),
    isShorterAgain: random.chance(0.15),
    isDeaf: random.chance(0.1),
    sleepMs: random.pick([0, 0, 0, random.between(1, 8000)]),
    stopAfterMs: random.chance(0.12) ? random.pick([0, 0, 1, random.between(1, 60_000)]) : null,
    halts: isControl && random.chance(0.6) ? `m${random.between(0, count - 1)}` : null,
  };
}

function runLimitsBy(seed: number): Pick<Limits, "maxConcurrentRuns"> {
  return { maxConcurrentRuns: createRandom(seed ^ RUN_LIMITS).pick([1, 2, 8]) };
}

/** Small ones, so that a few messages meet them. */
function limitsBy(random: Random): Limits {
  return {
    ...DEFAULT_LIMITS,
    maxLoaded: random.pick([2, 4, 10_000, 10_000]),
    maxHeld: random.pick([2, 100_000, 100_000]),
    maxOpenMessages: random.pick([3, 100_000, 100_000, 100_000]),
    maxConcurrentMessages: random.pick([1, 2, 256]),
    maxConcurrentSends: random.pick([1, 2, 64]),
    maxConcurrentSendsPerTarget: random.pick([1, 2, 16]),
    maxMessageAttempts: 3,
    maxDeliveryAttempts: 4,
    maxBackoffMs: 60_000,
    fallbackPollMs: random.pick([5000, 20_000]),
    workerTimeoutMs: random.pick([60_000, 600_000]),
  };
}
