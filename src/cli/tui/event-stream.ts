/**
 * Follows a stream of server-sent events for as long as one likes: it connects again with backoff when the
 * stream ends or falls silent, and says with `Last-Event-ID` where it was. What the server refuses for good is
 * thrown; a message may come twice after a reconnect.
 */
import { backoffMs } from "../../core/backoff.ts";
import { type Clock, wait } from "../../core/clock.ts";
import { type RobsonClient, refusedForGood } from "./robson-client.ts";
import { type SseMessage, SseParser } from "./sse-parser.ts";

export interface EventStreamOptions {
  client: RobsonClient;
  /** With its query. */
  path: string;
  clock: Clock;
  random: () => number;
  signal: AbortSignal;
  onMessage(message: SseMessage): Promise<void>;
  /** Called at each connection, the first one included. */
  onOpen(): void;
  /** Called when a connection is lost, with why. */
  onLost(error: unknown): void;
  /** A connection without a byte for this long is dead: three heart beats. */
  maxSilenceMs?: number;
}

const DEFAULT_MAX_SILENCE_MS = 45_000;
const BACKOFF_BASE_MS = 500;
const MAX_BACKOFF_MS = 15_000;

/** Resolves when the signal is aborted; rejects with what the server refuses for good. */
export async function followEvents(options: EventStreamOptions): Promise<void> {
  const { clock, random, signal } = options;
  let lastId = "";
  for (let attempts = 1; !signal.aborted; attempts += 1) {
    try {
      await readOnce(options, {
        lastId,
        onOpen: () => {
          attempts = 0;
          options.onOpen();
        },
        onId: (id) => {
          lastId = id;
        },
      });
      options.onLost(new Error("The server has ended the stream"));
    } catch (error) {
      if (signal.aborted) return;
      if (refusedForGood(error)) throw error;
      options.onLost(error);
    }
    const waitMs = backoffMs({
      attempts: Math.max(1, attempts),
      baseMs: BACKOFF_BASE_MS,
      maxMs: MAX_BACKOFF_MS,
      maxRetryAfterMs: 0,
      random,
    });
    await wait(clock, waitMs, signal).catch(() => undefined);
  }
}

/** One connection, to its end. */
async function readOnce(
  options: EventStreamOptions,
  at: { lastId: string; onOpen: () => void; onId: (id: string) => void },
): Promise<void> {
  const { client, path, clock, maxSilenceMs = DEFAULT_MAX_SILENCE_MS } = options;
  const silent = new AbortController();
  const signal = AbortSignal.any([options.signal, silent.signal]);
  const arm = () =>
    clock.schedule(clock.now() + maxSilenceMs, () =>
      silent.abort(new Error(`No sign of life for ${maxSilenceMs} ms`)),
    );
  let disarm = arm();
  try {
    const body = await client.stream(path, { signal, lastEventId: at.lastId });
    at.onOpen();
    const parser = new SseParser(at.lastId);
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      disarm();
      disarm = arm();
      for (const message of parser.push(chunk)) {
        await options.onMessage(message);
        at.onId(message.id);
      }
      at.onId(parser.lastId);
    }
  } finally {
    disarm();
  }
}
