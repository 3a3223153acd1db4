/**
 * For the tests of this folder: a real HTTP receiver of deliveries on 127.0.0.1, a delivery to send, a clock
 * whose timers fire when told, and the gateway's own view of a failure.
 */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import type { Clock } from "../../core/clock.ts";
import { DeliveryError } from "../../core/errors.ts";
import type { Delivery } from "../../core/message-event.ts";

export interface Received {
  method: string | undefined;
  path: string | undefined;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Receiver {
  url: string;
  host: string;
  port: number;
  received: Received[];
  /** The connections that were made, and those still open. */
  connections: { made: number; open: number };
  /** Resolves when the next request has arrived. */
  nextRequest(): Promise<void>;
  /** Cuts off every connection; done at the end of the test in any case. */
  close(): Promise<void>;
}

export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** Answers the n-th request with the n-th answer, and all further ones with the last; default: 204. */
export async function startReceiver(...answers: Answer[]): Promise<Receiver> {
  const received: Received[] = [];
  const connections = { made: 0, open: 0 };
  let announce: () => void = () => undefined;
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    received.push({ method: request.method, path: request.url, headers: request.headers, body });
    const answer = answers[Math.min(received.length, answers.length) - 1] ?? withStatus(204);
    answer(response, request);
    announce();
  });
  server.on("connection", (socket) => {
    connections.made += 1;
    connections.open += 1;
    socket.on("close", () => {
      connections.open -= 1;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    server.closeAllConnections();
    server.close();
  };
  onTestFinished(close);
  const { port } = server.address() as AddressInfo;
  const nextRequest = () => new Promise<void>((resolve) => (announce = resolve));
  return {
    url: `http://127.0.0.1:${port}/hook`,
    host: `127.0.0.1:${port}`,
    port,
    received,
    connections,
    nextRequest,
    close,
  };
}

export function withStatus(status: number, headers: Record<string, string> = {}): Answer {
  return (response) => response.writeHead(status, headers).end();
}

export function aDelivery(fields: Partial<Delivery> & { target: string }): Delivery {
  return {
    kind: "delivered",
    id: "0b2f6a52-6b39-4a60-9d8a-2f7f6a0a3c11",
    content: "done",
    channelId: fields.target,
    userId: "ada",
    conversationId: 7,
    gateway: "webhook",
    eventId: 21,
    eventKind: "completed",
    attempt: 1,
    createdAt: 1_760_000_000_000,
    ...fields,
  };
}

/** What a `send` failed with; throws when it did not fail as a delivery does. */
export async function failureOf(sending: Promise<unknown>): Promise<DeliveryError> {
  const outcome = await sending.then(
    () => "it was delivered",
    (error: unknown) => error,
  );
  if (outcome instanceof DeliveryError) return outcome;
  throw new Error(`Expected a DeliveryError, got: ${outcome}`);
}

/** A clock that runs, but whose timers fire only when told. */
export function heldClock(): Clock & { fireAll(): void; scheduled(count: number): Promise<() => void> } {
  const timers = new Set<() => void>();
  const isScheduled = new Map<number, (timer: () => void) => void>();
  let count = 0;
  return {
    now: () => Date.now(),
    schedule(_at, callback) {
      timers.add(callback);
      count += 1;
      isScheduled.get(count)?.(callback);
      return () => timers.delete(callback);
    },
    fireAll() {
      for (const timer of timers) timer();
    },
    /** Resolves with the n-th timer as soon as it is scheduled. */
    scheduled: (nth) => new Promise((resolve) => isScheduled.set(nth, resolve)),
  };
}
