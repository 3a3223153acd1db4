/** `/stop`: ends what runs and waits in this thread, or one message; one of another thread only for operators. */
import * as z from "zod";
import type { LoopControl } from "../../core/control.ts";
import type { ReceivedMessage } from "../../core/message-event.ts";
import type { MessageSummary } from "../../core/operator-records.ts";
import { Routing } from "../../core/routing.ts";
import { isRequester } from "../../core/run-answer.ts";
import type { MessageStatus } from "../../core/store.ts";
import { defineWorker, type Worker } from "../../core/worker.ts";
import { isOperator, isSameThread, operatorsOnly } from "./access.ts";
import type { OperatorOptions } from "./index.ts";
import { letterId } from "./letter-id.ts";
import { parseRunId } from "./run-access.ts";

/** How many stopped messages are named. */
const MAX_NAMED = 10;
/** How many of the latest messages that are stored and wait are looked through for those of the thread. */
const MAX_STORED = 200;

/** `waiting` is a run that is in nobody's memory. */
const OPEN: readonly MessageStatus[] = ["pending", "claimed", "waiting"];

/** What is to be said, and whether it is a refusal. */
interface Answer {
  kind: "completed" | "failed";
  text: string;
}

interface Request {
  message: ReceivedMessage;
  control: LoopControl;
}

export function stopWorker(options: OperatorOptions): Worker {
  return defineWorker({
    name: "stop",
    description: "Ends what runs and waits in this thread, or the one message or run that is named",
    example: "/stop message-12",
    command: "/stop",
    args: z.object({ message: z.string().optional().describe("Its id or number, as `/status` shows it") }),
    isControl: true,
    async handle(message, { message: named }, { emit, control }) {
      const request = { message, control };
      const { kind, text } = await (named === undefined
        ? stopThread(options, request)
        : stopOne(options, { ...request, named }));
      await emit(kind, text);
    },
  });
}

async function stopThread(options: OperatorOptions, { message, control }: Request): Promise<Answer> {
  const held = control.openMessages().filter((each) => isSameThread(each, message));
  const stored = await storedOfThread(options, message);
  const stopped = await stopAll(options, { messages: [...held, ...stored], message, control });
  if (stopped.length === 0) return { kind: "completed", text: "Nothing is open here that could be stopped." };
  return { kind: "completed", text: stoppedText(stopped) };
}

/** Those that are open by the records, be it in another process or beyond what is in memory. */
async function storedOfThread({ records, workers }: OperatorOptions, message: ReceivedMessage) {
  const { gateway } = message;
  const routing = new Routing();
  for (const worker of workers()) routing.register(worker);
  const found: MessageSummary[] = [];
  for (const status of OPEN) found.push(...(await records.messages({ gateway, status, limit: MAX_STORED })));
  // Control commands, this one among them, end by themselves.
  const ofThread = found.filter((each) => isSameThread(each, message) && !routing.isControl(each.content));
  return ofThread.toSorted((a, b) => a.conversationId - b.conversationId);
}

async function stopOne(
  options: OperatorOptions,
  { message, control, named }: Request & { named: string },
): Promise<Answer> {
  const conversationId = parseRunId(named);
  if (conversationId === undefined) {
    const text =
      "Name a message or a run as `/stop message-12`, or nothing to stop what is open in this thread.";
    return { kind: "failed", text };
  }
  const held = control.openMessages().find((each) => each.conversationId === conversationId);
  const found = held ?? (await storedMessage(options, conversationId));
  if (found === undefined) return notOpen({ conversationId });
  if (
    !isSameThread(found, message) &&
    !isOperator(message, options) &&
    !(await isOwnRun(options, { id: conversationId, message }))
  ) {
    return { kind: "failed", text: operatorsOnly("Stopping what was asked in another thread") };
  }
  const stopped = await stopAll(options, { messages: [found], message, control });
  return stopped.length === 0
    ? notOpen({ conversationId })
    : { kind: "completed", text: stoppedText(stopped) };
}

/** Whoever has asked for a run may end it from anywhere. */
async function isOwnRun(
  { store }: OperatorOptions,
  { id, message }: { id: number; message: ReceivedMessage },
) {
  const run = await store.runs.run(id);
  return run !== undefined && isRequester(run, message);
}

function notOpen(letter: { conversationId: number }): Answer {
  const text = `Message ${letter.conversationId} is not open. \`/why ${letterId(letter)}\` tells what became of it.`;
  return { kind: "failed", text };
}

/** One that is open by the records, though not in the memory of this process. */
async function storedMessage({ records }: OperatorOptions, conversationId: number) {
  const stored = (await records.facts(conversationId))?.message;
  return stored && OPEN.includes(stored.status) ? stored : undefined;
}

interface Stopped {
  conversationId: number;
  /** False where whoever has it has been told to. */
  isDone: boolean;
}

/**
 * What is in memory ends at once. Each is stored as to be stopped besides: a crash before its end does not run it, and
 * the process that has it ends it. What has ended meanwhile is left out.
 */
async function stopAll(
  { store }: OperatorOptions,
  { messages, message, control }: Request & { messages: { conversationId: number }[] },
): Promise<Stopped[]> {
  const by = message.userId || "someone";
  const stopped: Stopped[] = [];
  for (const conversationId of new Set(messages.map((each) => each.conversationId))) {
    const isDone = control.stop(conversationId, by);
    const isStored = await store.requestStop(conversationId, by);
    if (isDone || isStored) stopped.push({ conversationId, isDone });
  }
  return stopped;
}

function stoppedText(stopped: Stopped[]): string {
  const here = stopped.filter(({ isDone }) => isDone);
  const elsewhere = stopped.filter(({ isDone }) => !isDone);
  const is = elsewhere.length === 1 ? "is not" : "are not";
  const ends = elsewhere.length === 1 ? "it ends" : "they end";
  return [
    ...(here.length === 0 ? [] : [`Stopped ${names(here)}.`]),
    ...(elsewhere.length === 0
      ? []
      : [
          `${names(elsewhere)} ${is} in the memory of this process; ${ends} as soon as whoever has the thread comes to it.`,
        ]),
  ].join(" ");
}

function names(messages: { conversationId: number }[]): string {
  const shown = messages.slice(0, MAX_NAMED).map(letterId).join(", ");
  return messages.length > MAX_NAMED ? `${shown} and ${messages.length - MAX_NAMED} more` : shown;
}
