/** How a run begins, or goes on: its row made from its worker's rules, and whether its worker still knows its steps. */
import type { Clock } from "./clock.ts";
import { WorkerError } from "./errors.ts";
import { named } from "./named.ts";
import type { NewRun, RunChange } from "./run-store.ts";
import type { StoredMessage } from "./store.ts";
import { preview, toStorable } from "./text.ts";
import type { Worker } from "./worker.ts";

const MAX_TITLE = 200;
const MAX_LANE = 500;

/** The run of a worker for long work. */
export function toNewRun(
  { name, run: rules = {} }: Worker,
  { args, content, clock }: { args: unknown; content: string; clock: Clock },
): NewRun {
  const lane = checkedText(name, { rule: "lane", text: rules.lane?.(args) });
  const title = checkedText(name, { rule: "title", text: rules.title?.(args) });
  return {
    worker: name,
    version: rules.version ?? 1,
    isDetached: true,
    lane: lane === undefined ? null : preview(toStorable(lane), MAX_LANE),
    title: titleOf(title ?? content),
    createdAt: clock.now(),
  };
}

function checkedText(worker: string, { rule, text }: { rule: string; text: unknown }): string | undefined {
  if (text === undefined || typeof text === "string") return text;
  throw new WorkerError(`${rule}() of the run of worker "${worker}" has answered ${named(text)}, not text`, {
    retry: "never",
    hint: "Make it a plain function that returns a text at once, or undefined",
  });
}

/**
 * The change of a message's run; the first one of a worker that is none for long work makes the run, which stays in
 * its thread's lane.
 */
export function withBegin(
  message: StoredMessage,
  { run, worker, clock }: { run: Omit<RunChange, "conversationId">; worker: string | null; clock: Clock },
): RunChange {
  const { conversationId } = message;
  if (message.run?.isOpen) return { ...run, conversationId, round: message.run.round };
  const begin = {
    worker: message.run?.worker ?? worker ?? "",
    version: message.run?.version ?? 1,
    isDetached: false,
    lane: null,
    title: titleOf(message.content),
    createdAt: clock.now(),
    round: roundOf(message),
  };
  return { ...run, conversationId, begin };
}

/** What memory knows of the run once a change that begins it is committed. */
export function rememberBegin(message: StoredMessage, { begin }: RunChange): void {
  if (!begin) return;
  const { worker, version, isDetached, round } = begin;
  message.run = { worker, version, isDetached, round, isOpen: true };
}

/** How often the run was begun, the time at hand included. */
export function roundOf({ run }: StoredMessage): number {
  if (!run) return 1;
  return run.isOpen ? run.round : run.round + 1;
}

/** Throws `RUN_INVALID` where an upgrade has given the steps another meaning, or has taken the worker away. */
export function checkVersion({ run, conversationId }: StoredMessage, worker: Worker | undefined): void {
  if (!run) return;
  if (!worker) {
    throw new WorkerError(`Run ${conversationId} cannot go on: its worker "${run.worker}" is not here`, {
      code: "RUN_INVALID",
      retry: "never",
      hint: `Add it again, then type /retry ${conversationId}`,
    });
  }
  const { name } = worker;
  const { version = 1, continues = [] } = worker.run ?? {};
  if (run.version === version || continues.includes(run.version)) return;
  throw new WorkerError(
    `Run ${conversationId} was begun by version ${run.version} of "${name}", and this program has version ${version}, which cannot go on with it`,
    {
      code: "RUN_INVALID",
      retry: "never",
      hint: "Ask for the same again: what it did outside is found and adopted",
    },
  );
}

function titleOf(text: string): string {
  return preview(toStorable(text).trim().replace(/\s+/gu, " "), MAX_TITLE);
}
