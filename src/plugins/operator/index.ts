/**
 * What a person asks the running loop: `/status`, `/stop`, `/why`, `/logs`, `/answer`, `/retry`, `/dead-letters`. All are control commands: they are
 * handled at once, whatever else is under way. What concerns other threads is for operators only.
 */
import type { Clock } from "../../core/clock.ts";
import type { OperatorRecords } from "../../core/operator-records.ts";
import type { Store } from "../../core/store.ts";
import type { Worker } from "../../core/worker.ts";
import { answerWorker } from "./answer-worker.ts";
import { deadLettersWorker } from "./dead-letters-worker.ts";
import type { Surroundings } from "./facts.ts";
import { logsWorker } from "./logs-worker.ts";
import { retryWorker } from "./retry-worker.ts";
import { statusWorker } from "./status-worker.ts";
import { stopWorker } from "./stop-worker.ts";
import { whyWorker } from "./why-worker.ts";

export interface OperatorOptions {
  records: OperatorRecords;
  store: Pick<
    Store,
    "currentOwners" | "requestStop" | "retryDeadLetter" | "discardDeadLetter" | "runs" | "events"
  >;
  /** The files that hold what a run's agent wrote. */
  transcriptsOf?: ((runId: number) => Promise<string[]>) | undefined;
  /** All workers of the loop, these included. */
  workers(): readonly Worker[];
  /** How the process calls itself. */
  owner: string;
  limits: Surroundings["limits"];
  /** Users as `gateway:user`, or `user` for every gateway. */
  operators: readonly string[];
  /** Gateways whose every user is an operator: whoever sits at the machine. */
  localGateways: readonly string[];
  clock: Clock;
}

/** The workers, ready to be registered. */
export function operatorWorkers(options: OperatorOptions): Worker[] {
  return [
    statusWorker(options),
    stopWorker(options),
    answerWorker(options),
    retryWorker(options),
    logsWorker(options),
    whyWorker(options),
    deadLettersWorker(options),
  ];
}
