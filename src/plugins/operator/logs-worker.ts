/** `/logs`: what a run has done so far, step by step, and how it stands; without a number, the latest of the thread. */
import * as z from "zod";
import type { LoopControl } from "../../core/control.ts";
import type { RunDetails } from "../../core/run-store.ts";
import { type Asker, defineWorker, type Worker } from "../../core/worker.ts";
import type { OperatorOptions } from "./index.ts";
import { runToRead } from "./run-access.ts";
import { runLines } from "./run-lines.ts";
import { fenced } from "./words.ts";

export function logsWorker(options: OperatorOptions): Worker {
  return defineWorker({
    name: "logs",
    description: "Shows what a run has done so far, and how it stands",
    example: "/logs 12",
    command: "/logs",
    args: z.object({ run: z.string().optional().describe("Its number; default: the latest of this thread") }),
    isControl: true,
    async handle(message, { run: named }, { emit, control }) {
      const text = named ?? (await latestOf(options, message));
      if (text === undefined)
        return emit("failed", "There is no run in this thread. `/logs 12` shows another one.");
      const found = await runToRead(options, { text, asker: message });
      if ("refusal" in found) return emit("failed", found.refusal);
      return emit("completed", await logOf(options, { run: found.run, control }));
    },
  });
}

async function latestOf({ store }: OperatorOptions, asker: Asker): Promise<string | undefined> {
  const { gateway = null, channelId, threadTs = "" } = asker;
  const [run] = await store.runs.runs({ thread: { gateway, channelId, threadTs }, limit: 1 });
  return run && String(run.conversationId);
}

async function logOf(
  { store, clock, transcriptsOf }: OperatorOptions,
  { run, control }: { run: RunDetails; control: LoopControl },
): Promise<string> {
  const { conversationId } = run;
  const lines = runLines(run, {
    now: clock.now(),
    commands: "/",
    live: control.openMessages().find((message) => message.conversationId === conversationId),
    events: await store.events(conversationId),
    transcripts: (await transcriptsOf?.(conversationId)) ?? [],
  });
  return fenced(lines.join("\n"));
}
