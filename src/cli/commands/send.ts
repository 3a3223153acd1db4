/** `robson send`: a message through the real way. Prints the answers as they come. */
import { RobsonError } from "../../core/errors.ts";
import type { EventRecord } from "../../core/store.ts";
import type { CliIo } from "../io.ts";
import { createLog } from "../log.ts";
import type { CommandContext } from "../program.ts";
import { EXIT } from "../report-error.ts";
import { followMessage, type SendMessageOptions, type SentMessage, sendMessage } from "../send-message.ts";
import { tellQuestion, tellRetry } from "../tell-next.ts";
import { withStore } from "../with-store.ts";

export interface SendOptions {
  wait?: boolean;
  /** Seconds. */
  timeout: number;
}

export async function send(context: CommandContext, words: string[], options: SendOptions): Promise<number> {
  const text = words.join(" ");
  if (text.trim() === "") {
    throw new RobsonError("MESSAGE_INVALID", "Cannot send the message: the text is empty", {
      hint: "Say what is to be done, as in: robson send /help",
    });
  }
  return sendText(context, {
    text,
    isWaiting: options.wait === true,
    timeoutMs: options.timeout * 1000,
  });
}

/** Sends the text, prints what comes of it, and returns the exit code that this calls for. */
export function sendText(
  context: CommandContext,
  options: { text: string; isWaiting: boolean; timeoutMs: number },
): Promise<number> {
  return printed(context, (shared) => sendMessage({ ...options, ...shared }));
}

/** The same of a message that is open already: prints what comes of it from now on. */
export function followOpen(
  context: CommandContext,
  options: { conversationId: number; timeoutMs: number },
): Promise<number> {
  return printed(context, (shared) => followMessage({ ...options, ...shared }));
}

type Shared = Pick<SendMessageOptions, "store" | "config" | "log" | "interrupted" | "onStored" | "onEvent">;

async function printed(
  { io, config, isJson }: CommandContext,
  work: (shared: Shared) => Promise<SentMessage>,
): Promise<number> {
  const log = createLog({ io, config, isJson, atLeast: "warn" });
  const interrupted = io.catchSignals();
  let hasFailed = false;
  let isStored = false;
  const onStored = () => {
    isStored = true;
  };
  const onEvent = (event: EventRecord) => {
    hasFailed ||= event.kind === "failed";
    printEvent(event, { io, isJson });
  };
  try {
    const { conversationId, status } = await withStore(config, async (store) => {
      const sent = await work({ store, config, log, interrupted, onStored, onEvent });
      if (sent.status === "asking") await tellQuestion(sent.conversationId, { store, io, isJson });
      else if (hasFailed || sent.status === "dead")
        await tellRetry(sent.conversationId, { store, io, isJson });
      return sent;
    });
    if (status === "pending") printAccepted(conversationId, { io, isJson });
    return hasFailed || status === "dead" || status === "asking" ? EXIT.failed : EXIT.ok;
  } catch (error) {
    if (!interrupted.aborted) throw error;
    if (isStored) io.err("Interrupted; the message is kept, and the next `robson agent` goes on with it");
    else io.err("Interrupted before the message was stored; send it again");
    return EXIT.interrupted;
  } finally {
    log.close();
  }
}

function printEvent(
  { id, conversationId, kind, content, createdAt }: EventRecord,
  { io, isJson }: Output,
): void {
  if (isJson) io.out(JSON.stringify({ conversationId, eventId: id, kind, content, createdAt }));
  else if (kind === "completed" || kind === "failed") io.out(content);
  else io.err(io.style("dim", content));
}

function printAccepted(conversationId: number, { io, isJson }: Output): void {
  if (isJson) io.out(JSON.stringify({ conversationId, isDuplicate: false }));
  else {
    io.out(String(conversationId));
    io.err("The process that runs the loop has it now; --wait shows the answers");
  }
}

interface Output {
  io: CliIo;
  isJson: boolean;
}
