/** `/retry`: has a run that has ended go on after its finished steps, or a dead letter tried again. */
import * as z from "zod";
import { hasCode } from "../../core/errors.ts";
import type { RunDetails } from "../../core/run-store.ts";
import { type Asker, defineWorker, type Worker } from "../../core/worker.ts";
import { isOperator, operatorsOnly } from "./access.ts";
import { findLetter } from "./find-letter.ts";
import type { OperatorOptions } from "./index.ts";
import { letterId } from "./letter-id.ts";
import { parseRunId, runToChange } from "./run-access.ts";
import { retriedText, runState } from "./run-lines.ts";

interface Answer {
  kind: "completed" | "failed";
  text: string;
}

export function retryWorker(options: OperatorOptions): Worker {
  return defineWorker({
    name: "retry",
    description: "Has a run that has ended go on, or a dead letter tried again",
    example: "/retry 12",
    command: "/retry",
    args: z.object({ run: z.string().describe("Its number, or the id of a dead letter") }),
    isControl: true,
    async handle(message, { run: named }, { emit, log }) {
      const id = parseRunId(named);
      const isRun = id !== undefined && (await options.store.runs.run(id)) !== undefined;
      const { kind, text } = await (isRun
        ? retryRun(options, { named, asker: message })
        : retryLetter(options, { named, asker: message }));
      if (kind === "completed")
        log.info({ run: named, by: message.userId || "someone" }, "retried by a person");
      await emit(kind, text);
    },
  });
}

async function retryRun(
  options: OperatorOptions,
  { named, asker }: { named: string; asker: Asker },
): Promise<Answer> {
  const found = await runToChange(options, { text: named, asker, what: "Retrying" });
  if ("refusal" in found) return { kind: "failed", text: found.refusal };
  const { run } = found;
  const id = run.conversationId;
  const refusal = whyNot(run, options.clock.now());
  if (refusal !== undefined) return { kind: "failed", text: refusal };
  if (!(await options.store.runs.reopen(id)))
    return { kind: "failed", text: `Run ${id} is open again by now, or done.` };
  return { kind: "completed", text: `${retriedText(run)}.` };
}

function whyNot(run: RunDetails, now: number): string | undefined {
  const id = run.conversationId;
  if (run.endedAt === null)
    return `Run ${id} is open: ${runState(run, { now, commands: "/" })}. \`/stop ${id}\` ends it.`;
  if (run.status === "done") return `Run ${id} is done. Ask for the same again to have it done anew.`;
  return undefined;
}

async function retryLetter(
  options: OperatorOptions,
  { named, asker }: { named: string; asker: Asker },
): Promise<Answer> {
  if (!isOperator(asker, options)) return { kind: "failed", text: operatorsOnly("Retrying a dead letter") };
  const id = parseRunId(named);
  try {
    const letter = await findLetter(options.records, id === undefined ? named : `message-${id}`);
    const isRetried = await options.store.retryDeadLetter(letter);
    const text = `${letterId(letter)} ${isRetried ? "is tried again" : "is no dead letter any more"}.`;
    return { kind: isRetried ? "completed" : "failed", text };
  } catch (error) {
    if (!hasCode(error, "NOT_FOUND", "USAGE_INVALID")) throw error;
    const shown = named.slice(0, 40).toWellFormed();
    const text = `There is no run and no dead letter "${shown}" that could be retried. A run has its message's number, as in \`/retry 12\`; \`/dead-letters\` lists what was given up.`;
    return { kind: "failed", text };
  }
}
