/** Reads a stream of Server-Sent Events as a client does: message by message, with the last id that it has seen. */
import type { TestEnd } from "./temporary-folder.ts";

export interface SentEvent {
  id: string;
  event: string;
  data: unknown;
}

export interface EventSourceClient {
  status: number;
  headers: Headers;
  /** The last id that came, also without an event. */
  lastEventId(): string;
  /** The next so many events; rejects when the stream ends before. */
  next(count: number): Promise<SentEvent[]>;
  /** Resolves with all events that come before the stream ends. */
  rest(): Promise<SentEvent[]>;
  /** The next comment, without its colon. */
  comment(): Promise<string>;
  close(): void;
}

/** Connects; the stream is closed at the end of the test. */
export async function openEventSource(
  t: TestEnd,
  url: string,
  headers: Record<string, string> = {},
): Promise<EventSourceClient> {
  const controller = new AbortController();
  t.onTestFinished(async () => controller.abort());
  const response = await fetch(url, { headers, signal: controller.signal });
  const blocks = blocksOf(response);
  let lastEventId = "";
  const read = async (): Promise<
    { event: SentEvent | undefined; comment: string | undefined } | undefined
  > => {
    const { value, done } = await blocks.next();
    if (done) return undefined;
    const fields = fieldsOf(value);
    lastEventId = fields.get("id") ?? lastEventId;
    const data = fields.get("data");
    const event = data === undefined ? undefined : JSON.parse(data);
    return {
      event: event && { id: lastEventId, event: fields.get("event") ?? "message", data: event },
      comment: fields.get(""),
    };
  };
  const take = async (count: number): Promise<SentEvent[]> => {
    const events: SentEvent[] = [];
    while (events.length < count) {
      const block = await read();
      if (!block) break;
      if (block.event) events.push(block.event);
    }
    return events;
  };
  return {
    status: response.status,
    headers: response.headers,
    lastEventId: () => lastEventId,
    async next(count) {
      const events = await take(count);
      if (events.length < count)
        throw new Error(`The stream ended after ${events.length} of ${count} events`);
      return events;
    },
    rest: () => take(Number.POSITIVE_INFINITY),
    async comment() {
      for (;;) {
        const block = await read();
        if (!block) throw new Error("The stream ended without a comment");
        if (block.comment !== undefined) return block.comment;
      }
    },
    close: () => controller.abort(),
  };
}

async function* blocksOf(response: Response): AsyncGenerator<string, undefined> {
  let text = "";
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      yield* blocks;
    }
  } catch {
    // Cut off: what came completely before was handed out.
  }
  return undefined;
}

function fieldsOf(block: string): Map<string, string> {
  return new Map(
    block.split("\n").map((line) => {
      const [name = "", ...value] = line.split(":");
      return [name, value.join(":").replace(/^ /, "")];
    }),
  );
}
