/** `/status`: the open runs, what is worked on, waits and retries in this thread, or everywhere for operators; and how the loop is. */
import * as z from "zod";
import type { LoopControl, OpenMessage } from "../../core/control.ts";
import type { RunDetails } from "../../core/run-store.ts";
import type { LoopHealth } from "../../core/sensorium-loop.ts";
import { type Asker, defineWorker, type Worker } from "../../core/worker.ts";
import { isOperator, isSameThread, operatorsOnly } from "./access.ts";
import type { OperatorOptions } from "./index.ts";
import { letterId } from "./letter-id.ts";
import { runState } from "./run-lines.ts";
import { count, duration, errorText, relative } from "./words.ts";

/** How many messages are listed. */
const MAX_LISTED = 20;

export function statusWorker(options: OperatorOptions): Worker {
  return defineWorker({
    name: "status",
    description: "Shows what runs, waits and retries in this thread; `/status all` everywhere",
    example: "/status",
    command: "/status",
    args: z.object({ scope: z.enum(["thread", "all"]).default("thread") }),
    isControl: true,
    async handle(message, { scope }, { emit, control }) {
      const isAll = scope === "all";
      if (isAll && !isOperator(message, options)) {
        await emit("failed", operatorsOnly("`/status all`"));
        return;
      }
      const open = control.openMessages();
      const here = isAll ? open : open.filter((each) => isSameThread(each, message));
      const runs = await openRuns(options, { isAll, message });
      const ofRuns = new Set(runs.map(({ conversationId }) => conversationId));
      const shown = here.filter(({ conversationId }) => !ofRuns.has(conversationId));
      const where = isAll ? "Nothing is open." : "Nothing is open in this thread.";
      const now = options.clock.now();
      const lines = [...runLinesOf(runs, { now, isAll, open }), ...listed(shown, { now, isAll })];
      if (lines.length === 0) lines.push(where);
      const others = otherProcesses(await options.store.currentOwners(), options);
      await emit("completed", [...lines, "", ...healthLines(control), ...others].join("\n"));
    },
  });
}

/** Those of the database: what waits is in nobody's memory. */
async function openRuns(
  { store }: OperatorOptions,
  { isAll, message }: { isAll: boolean; message: Asker },
): Promise<RunDetails[]> {
  const { gateway = null, channelId, threadTs = "" } = message;
  const thread = isAll ? {} : { thread: { gateway, channelId, threadTs } };
  const runs = await store.runs.runs({ isOpen: true, limit: MAX_LISTED, ...thread });
  const details = await Promise.all(runs.map(({ conversationId }) => store.runs.run(conversationId)));
  return details.flatMap((run) => (run?.endedAt === null ? [run] : [])).reverse();
}

function runLinesOf(
  runs: RunDetails[],
  { now, isAll, open }: { now: number; isAll: boolean; open: OpenMessage[] },
): string[] {
  return runs.map((run) => {
    const { conversationId, worker, title } = run;
    const live = open.find((message) => message.conversationId === conversationId);
    const who = isAll
      ? `, of ${run.userId || "someone"} in ${run.gateway ?? "no gateway"} ${run.channelId}`
      : "";
    return `- **run ${conversationId}** (${worker}) ${title}: ${runState(run, { now, live, commands: "/" })}${who}`;
  });
}

function listed(messages: OpenMessage[], options: { now: number; isAll: boolean }): string[] {
  const lines = messages.slice(0, MAX_LISTED).map((message) => `- ${describe(message, options)}`);
  const left = messages.length - MAX_LISTED;
  return left > 0 ? [...lines, `- and ${left} more`] : lines;
}

function describe(message: OpenMessage, { now, isAll }: { now: number; isAll: boolean }): string {
  const { worker, gateway, channelId, userId } = message;
  const what = worker === undefined ? "" : ` (${worker})`;
  const who = isAll ? `, of ${userId || "someone"} in ${gateway ?? "no gateway"} ${channelId}` : "";
  return `**${letterId(message)}**${what} ${stateOf(message, now)}${who}`;
}

function stateOf(message: OpenMessage, now: number): string {
  const { state, startedAt = now, nextAttemptAt = now, attempts, createdAt, lastError = "" } = message;
  if (state === "running") return `has run for ${duration(now - startedAt)}`;
  if (state === "waiting") return `has waited for ${duration(now - createdAt)}`;
  return `is tried again ${relative(nextAttemptAt, now)}, after attempt ${attempts} failed: ${errorText(lastError)}`;
}

/** The loop as a whole: its open work, its gateways, and what waits for gateways elsewhere. */
function healthLines(control: LoopControl): string[] {
  const { isReady, reason, gateways, openDeliveries, unregistered } = control.health();
  // Without commands such as this one.
  const openMessages = control.openMessages().length;
  const loop = isReady ? "The loop is ready" : `The loop is not ready: ${reason ?? "it is starting"}`;
  const work = `${count(openMessages, "message")} and ${count(openDeliveries, "delivery")} are open`;
  return [
    `${loop}; ${work}.`,
    ...gateways.filter(({ state }) => state !== "listening").map(troubled),
    ...unregistered.map(
      ({ gateway, messages, deliveries }) =>
        `${count(messages, "message")} and ${count(deliveries, "delivery")} wait for gateway ${gateway}, which does not run here.`,
    ),
  ];
}

/** Where several share the database, each knows its own open work. */
function otherProcesses(owners: string[], { owner }: OperatorOptions): string[] {
  const others = owners.filter((name) => name !== owner).length;
  if (others === 0) return [];
  const run = others === 1 ? "other process runs" : "other processes run";
  return [`${others} ${run} the loop on this database; this is what ${owner} has open.`];
}

function troubled({ name, state, lastError }: LoopHealth["gateways"][number]): string {
  const why = lastError === undefined ? "" : `: ${errorText(lastError)}`;
  return `Gateway ${name} is ${state === "waiting" ? "down and will be started again" : state}${why}.`;
}
