/** `/stop`: ends what runs and waits in this thread, or one message; one of another thread only for operators. */
import * as z from "zod";
import type { LoopControl, OpenMessage } from "../../core/control.ts";
import type { ReceivedMessage } from "../../core/message-event.ts";
import { defineWorker, type Worker } from "../../core/worker.ts";
import { isOperator, isSameThread, operatorsOnly } from "./access.ts";
import type { OperatorOptions } from "./index.ts";
import { letterId, parseLetterId } from "./letter-id.ts";

/** How many stopped messages are named. */
const MAX_NAMED = 10;
/** How many of the latest messages that are stored and wait are looked through for those of the thread. */
const MAX_STORED = 200;

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
    description: "Ends what runs and waits in this thread, or the one message that is named",
    example: "/stop message-12",
    command: "/stop",
    args: z.object({ message: z.string().optional().describe("Its id, as `/status` shows it") }),
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

async function stopThread({ records }: OperatorOptions, { message, control }: Request): Promise<Answer> {
  const { gateway } = message;
  const open = control.openMessages();
  const stopped = stopAll(
    open.filter((each) => isSameThread(each, message)),
    { message, control },
  );
  const waiting = await records.messages({ gateway, status: "pending", limit: MAX_STORED });
  const held = new Set(open.map(({ conversationId }) => conversationId));
  const left = waiting.filter((each) => isSameThread(each, message) && !held.has(each.conversationId));
  const text =
    stopped.length > 0 ? `Stopped ${names(stopped)}.` : "Nothing is open here that could be stopped.";
  if (left.length === 0) return { kind: "completed", text };
  const rest = notHeldText(left.toReversed());
  return { kind: "failed", text: stopped.length > 0 ? `${text} ${rest}` : rest };
}

function notHeldText(messages: { conversationId: number }[]): string {
  const wait = messages.length === 1 ? "is open, but waits" : "are open, but wait";
  return `${names(messages)} ${wait} in the database: for room in memory (\`limits.max_loaded\`), or in another process. Send \`/stop\` again in a moment.`;
}

async function stopOne(
  options: OperatorOptions,
  { message, control, named }: Request & { named: string },
): Promise<Answer> {
  const id = /^\d{1,15}$/.test(named.trim()) ? `message-${Number(named)}` : named;
  const letter = parseLetterId(id);
  if (letter?.kind !== "message") {
    const text = "Name a message as `/stop message-12`, or nothing to stop what is open in this thread.";
    return { kind: "failed", text };
  }
  const { conversationId } = letter;
  const held = control.openMessages().find((each) => each.conversationId === conversationId);
  const stored = held ?? (await storedMessage(options, conversationId));
  if (stored === undefined) {
    const text = `Message ${conversationId} is not open. \`/why ${letterId(letter)}\` tells what became of it.`;
    return { kind: "failed", text };
  }
  if (!isSameThread(stored, message) && !isOperator(message, options)) {
    return { kind: "failed", text: operatorsOnly("Stopping what was asked in another thread") };
  }
  const stopped = stopAll(held === undefined ? [] : [held], { message, control });
  if (stopped.length > 0) return { kind: "completed", text: `Stopped ${names(stopped)}.` };
  return { kind: "failed", text: notHeldText([stored]) };
}

/** One that is open by the records, though not in the memory of this process. */
async function storedMessage({ records }: OperatorOptions, conversationId: number) {
  const stored = (await records.facts(conversationId))?.message;
  return stored?.status === "pending" || stored?.status === "claimed" ? stored : undefined;
}

function stopAll(messages: OpenMessage[], { message, control }: Request): OpenMessage[] {
  return messages.filter(({ conversationId }) => control.stop(conversationId, message.userId || "someone"));
}

function names(messages: { conversationId: number }[]): string {
  const shown = messages.slice(0, MAX_NAMED).map(letterId).join(", ");
  return messages.length > MAX_NAMED ? `${shown} and ${messages.length - MAX_NAMED} more` : shown;
}
