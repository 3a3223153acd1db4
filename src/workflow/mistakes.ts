/** What a person got wrong in a command: answered with `failed` and what to do, and not tried again. */
import { hasCode, RobsonError } from "../core/errors.ts";
import type { WorkerContext } from "../core/worker.ts";

const MISTAKES = ["TASK_INVALID", "TASK_EXISTS", "TASK_NOT_FOUND", "REPOSITORY_INVALID"] as const;

/** Rethrows whatever is no mistake of the asker's. */
export async function emitMistake(context: Pick<WorkerContext, "emit">, error: unknown): Promise<void> {
  if (!(error instanceof RobsonError) || !hasCode(error, ...MISTAKES)) throw error;
  await context.emit("failed", error.hint ? `${error.message}\n${error.hint}` : error.message);
}
