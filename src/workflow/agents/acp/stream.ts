/**
 * The messages to and from the agent's program, one JSON object a line. Requests and the answers that are waited for go
 * to the SDK; notifications are handed over at once and in order, and take no memory. What is none of these is left out
 * (programs print notices and stack traces where they should not); it is in the transcript like every other line.
 */
import { once } from "node:events";
import type { AnyMessage, AnyNotification, Stream } from "@agentclientprotocol/sdk";

export interface ProgramStream extends Stream {
  /** Takes a line that the program wrote. */
  take(line: string): void;
  /** Sends what has been written, and what will be, to the program's stdin. */
  connect(stdin: NodeJS.WritableStream): void;
  /** Says that no line comes any more, once those that came are read. Safe to call twice. */
  close(): void;
}

/** Both directions of a program that is about to be started. `onAnswer` sees answers before whoever waits for them. */
export function programStream(options: {
  onNotification(notification: AnyNotification): void;
  onAnswer(result: unknown): void;
}): ProgramStream {
  let incoming: ReadableStreamDefaultController<AnyMessage> | undefined;
  const awaited = new Set<unknown>();
  const stdin = Promise.withResolvers<NodeJS.WritableStream>();
  const ended = new AbortController();

  const write = async (message: AnyMessage) => {
    if ("method" in message && "id" in message) awaited.add(message.id);
    const target = await stdin.promise;
    if (ended.signal.aborted || target.write(`${JSON.stringify(message)}\n`)) return;
    await once(target, "drain", { signal: ended.signal });
  };
  const take = (line: string) => {
    const message = toMessage(line);
    if (message === undefined) return;
    if (!("id" in message)) return options.onNotification(message);
    if (!("method" in message)) {
      if (!awaited.delete(message.id)) return;
      if ("result" in message) options.onAnswer(message.result);
    }
    incoming?.enqueue(message);
  };

  return {
    readable: new ReadableStream({
      start: (controller) => {
        incoming = controller;
      },
      cancel: () => {
        incoming = undefined;
      },
    }),
    writable: new WritableStream({ write }),
    take,
    connect: (target) => {
      // A program that ended leaves a broken pipe behind; why it ended is told by its end.
      target.on("error", () => ended.abort());
      stdin.resolve(target);
    },
    close: () => {
      ended.abort();
      incoming?.close();
      incoming = undefined;
    },
  };
}

/** The message on a line that has the form of one; whether its content makes sense is for the protocol to say. */
function toMessage(line: string): AnyMessage | undefined {
  if (!line.startsWith("{")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("jsonrpc" in value)) return undefined;
  return "id" in value || "method" in value ? (value as AnyMessage) : undefined;
}
