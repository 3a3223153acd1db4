/** What the runs of a seed do: their steps, their effects outside, and what they wait for; and who says what to them. */
import type { Random } from "./random.ts";

export type OperationPlan =
  | { kind: "step"; emits: number; failures: number; readsNotes: boolean }
  | { kind: "effect"; failures: number }
  | { kind: "ask"; isChoice: boolean; timeoutMs: number | null; replies: ReplyPlan[] }
  | { kind: "sleep"; ms: number }
  | { kind: "wait"; timeoutMs: number | null; signal: SignalPlan };

/** How someone answers, or tries to. */
export interface ReplyPlan {
  /** After the question was first about to be asked; it may be too early, or too late. */
  afterMs: number;
  way: "message" | "store";
  /** Who has asked for the run; nobody else may answer in its thread. */
  isRequester: boolean;
}

export interface SignalPlan {
  /** After the run has come to wait for it; or after the world has begun, which may be long before. */
  afterMs: number;
  isEarly: boolean;
  /** It comes when this message has ended, which therefore must not wait behind the run. */
  afterMessage: string | null;
}

export interface RunPlan {
  /** `run` takes notes, `job` does not; `ask` is a worker for short work, whose run stays in its thread's lane. */
  worker: "run" | "job" | "ask";
  lane: string | null;
  operations: OperationPlan[];
  /** By their places: what is begun together with the operation before it. */
  isBeside: boolean[];
  /** In so many of its first rounds it ends as failed by its worker's own word, before that operation. */
  failedRounds: number;
  failsBefore: number;
  /** How often people have it tried again, where it has not ended well. */
  retries: number;
}

export const RUN_WORKERS = ["run", "job", "ask"] as const;

export function runBy(random: Random, { index, count }: { index: number; count: number }): RunPlan {
  const worker = random.pick(["run", "run", "job", "ask"] as const);
  const operations = Array.from({ length: random.between(1, 5) }, () =>
    operationBy(random, { index, count }),
  );
  return {
    worker,
    lane: worker !== "ask" && random.chance(0.2) ? "L" : null,
    operations,
    isBeside: operations.map((_operation, place) => place > 0 && random.chance(0.2)),
    ...{ failedRounds: 0, failsBefore: 0, retries: 0 },
  };
}

export function retriesBy(
  random: Random,
  { operations }: RunPlan,
): Pick<RunPlan, "failedRounds" | "failsBefore" | "retries"> {
  return {
    failedRounds: random.pick([0, 0, 1, 1, 2]),
    failsBefore: random.between(0, operations.length),
    retries: random.between(1, 3),
  };
}

/** Whether they were begun together: what they say comes in any order. */
export function areBeside({ isBeside }: Pick<RunPlan, "isBeside">, [one, other]: [number, number]): boolean {
  return one !== other && isBeside.slice(Math.min(one, other) + 1, Math.max(one, other) + 1).every(Boolean);
}

function operationBy(random: Random, { index, count }: { index: number; count: number }): OperationPlan {
  const failures = random.pick([0, 0, 0, 0, 1, 2, 3]);
  const timeoutMs = random.chance(0.4) ? random.between(1, 30_000) : null;
  const kind = random.pick(["step", "step", "effect", "effect", "ask", "ask", "sleep", "wait"] as const);
  if (kind === "step") return { kind, emits: random.between(0, 2), failures, readsNotes: random.chance(0.5) };
  if (kind === "effect") return { kind, failures };
  if (kind === "sleep") return { kind, ms: random.pick([0, 1, random.between(1, 60_000)]) };
  if (kind === "wait") return { kind, timeoutMs, signal: signalBy(random, { index, count }) };
  const replies = Array.from({ length: random.between(0, 3) }, () => replyBy(random));
  return { kind, isChoice: random.chance(0.3), timeoutMs, replies };
}

function replyBy(random: Random): ReplyPlan {
  return {
    afterMs: random.pick([0, 1, random.between(0, 2000), random.between(0, 40_000)]),
    way: random.pick(["message", "message", "store"]),
    isRequester: random.chance(0.7),
  };
}

function signalBy(random: Random, { index, count }: { index: number; count: number }): SignalPlan {
  const isBehind = index + 1 < count && random.chance(0.3);
  return {
    afterMs: random.pick([0, 1, random.between(0, 40_000)]),
    isEarly: !isBehind && random.chance(0.3),
    afterMessage: isBehind ? `m${random.between(index + 1, count - 1)}` : null,
  };
}
