/** What a seed stands for: the processes, what people write, how workers and platforms behave, what goes wrong. */
import { DEFAULT_LIMITS, type Limits } from "../../src/core/limits.ts";
import type { Random } from "./random.ts";
import type { StoreKind } from "./world-database.ts";

export interface MessagePlan {
  key: string;
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
  return {
    ...{ seed, isShared, slots },
    canFind: random.chance(0.8),
    isExclusive: random.chance(0.2),
    maxConcurrent: random.chance(0.3) ? random.between(1, 2) : undefined,
    limits: { ...limitsBy(random), ...(kind === "postgres" ? { leaseMs: REAL_LEASE_MS } : {}) },
    messages: Array.from({ length: count }, (_, index) => messageBy(random, { index, threads, count })),
    tickProbability: random.pick([0, 0.005, 0.02, 0.1, 0.3]),
    faultProbability: random.chance(0.75) ? random.pick([0.002, 0.01, 0.03]) : 0,
    maxFaults: random.between(1, 6),
    storeTrouble: often(0.3),
    wakeLoss: often(0.5),
    sendTrouble: often(0.6),
    maxClockOffsetMs: random.pick([0, 0, 5000]),
  };
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
