/**
 * A message from the command line, on the way that all messages go. Where another process owns the database it
 * is stored for that one to take; where none does, this process runs the loop itself until the message has ended.
 */
import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import type { Config } from "../config/load-config.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { hasCode, RobsonError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { InboundMessage } from "../core/message-event.ts";
import { toNewMessage } from "../core/new-message.ts";
import type { EventRecord } from "../core/store.ts";
import { CLI_GATEWAY } from "../gateways/cli/index.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { type Followed, follow } from "./follow.ts";
import { type StartedLoop, startLoop } from "./start-loop.ts";

export interface SendMessageOptions {
  store: OpenedStore;
  config: Config;
  log: Logger;
  text: string;
  /** Whether to wait although another process does the work. */
  isWaiting: boolean;
  timeoutMs: number;
  /** Aborted when the user ends the command. */
  interrupted: AbortSignal;
  /** Called once the message is stored. */
  onStored?(): void;
  onEvent(event: EventRecord): void;
}

export interface SentMessage {
  conversationId: number;
  /** "pending" when nobody waited for the end. */
  status: Followed | "pending";
}

/** How often a waiting command looks whether the owner is still there. */
const OWNER_CHECK_MS = 1000;

/** Sends the text, and unless that was not asked for waits for its end, or for its question. A stop leaves the message for the next owner. */
export async function sendMessage(options: SendMessageOptions): Promise<SentMessage> {
  const [sent] = await sendMessages({ ...options, texts: [options.text] });
  return sent ?? { conversationId: 0, status: "pending" };
}

export interface SendMessagesOptions extends Omit<SendMessageOptions, "text"> {
  texts: readonly string[];
  /** How many of them are handled at once. Default: all. */
  parallel?: number;
}

/** Sends several, as `sendMessage` does one; the time-out is for all of them together. */
export async function sendMessages(options: SendMessagesOptions): Promise<SentMessage[]> {
  const { texts, parallel = texts.length } = options;
  const run = new OwnLoop(options);
  // A thread handles one message after another.
  const threads = Array.from({ length: Math.min(parallel, texts.length) }, () => randomUUID());
  const startedAt = performance.now();
  const sent: SentMessage[] = [];
  try {
    await run.startUnlessOwned();
    for (const [index, text] of texts.entries()) {
      const threadTs = threads[index % threads.length] ?? randomUUID();
      sent.push({ conversationId: await run.accept(inbound(text, threadTs)), status: "pending" });
      options.onStored?.();
    }
    if (!run.isRunning && !options.isWaiting) return sent;
    for (const message of sent) {
      const timeoutMs = Math.max(1, options.timeoutMs - (performance.now() - startedAt));
      const { conversationId } = message;
      message.status = await waitForEnd(run, { ...options, conversationId, timeoutMs });
    }
    return sent;
  } finally {
    await run.stop();
  }
}

/** Waits for the end, or the question, of a message that is open already; of what it reports, for what is not stored yet. */
export async function followMessage(
  options: Omit<SendMessageOptions, "text" | "isWaiting"> & { conversationId: number },
): Promise<SentMessage> {
  const { conversationId, store } = options;
  const run = new OwnLoop(options);
  options.onStored?.();
  try {
    const afterEvent = (await store.events(conversationId)).at(-1)?.id;
    await run.startUnlessOwned();
    return { conversationId, status: await waitForEnd(run, { ...options, afterEvent }) };
  } finally {
    await run.stop();
  }
}

async function waitForEnd(
  run: OwnLoop,
  options: Omit<SendMessageOptions, "text" | "isWaiting"> & {
    conversationId: number;
    afterEvent?: number | undefined;
  },
): Promise<Followed> {
  const { store, conversationId, afterEvent, onEvent, timeoutMs, interrupted } = options;
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(timedOut(conversationId, timeoutMs)), timeoutMs);
  const signal = AbortSignal.any([timeout.signal, interrupted, run.failed]);
  try {
    return await follow({
      store,
      conversationId,
      afterEvent,
      onEvent,
      signal,
      onPoll: () => run.replaceLostOwner(),
    });
  } finally {
    clearTimeout(timer);
  }
}

type StartOptions = Pick<SendMessageOptions, "store" | "config" | "log">;

/** The loop of this process, where no other process has one. */
class OwnLoop {
  readonly #options: StartOptions;
  readonly #clock: Clock = systemClock;
  readonly #failure = new AbortController();
  #running: StartedLoop | undefined;
  #nextCheckAt = 0;

  constructor(options: StartOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Aborted with the error that ended the loop. */
  get failed(): AbortSignal {
    return this.#failure.signal;
  }

  /** Starts the loop, unless another process has the database. */
  async startUnlessOwned(): Promise<void> {
    const { store, config, log } = this.#options;
    this.#nextCheckAt = this.#clock.now() + OWNER_CHECK_MS;
    if ((await store.currentOwners()).length > 0) return;
    try {
      this.#running = await startLoop({ store, config, log, gateways: [], isForOneMessage: true });
    } catch (error) {
      // Another process was quicker: then it does the work.
      if (hasCode(error, "ALREADY_RUNNING")) return;
      throw error;
    }
    this.#running.ended.catch((error: unknown) => this.#failure.abort(error));
  }

  /** Takes over when the process that owned the database has ended meanwhile. */
  async replaceLostOwner(): Promise<void> {
    if (this.isRunning || this.#clock.now() < this.#nextCheckAt) return;
    await this.startUnlessOwned();
  }

  async accept(message: InboundMessage): Promise<number> {
    const { store, config } = this.#options;
    if (this.#running !== undefined) return (await this.#running.cli.say(message)).conversationId;
    const now = this.#clock.now();
    const row = toNewMessage({ gateway: CLI_GATEWAY, inbound: message, limits: config.limits, now });
    return (await store.insertUnowned(row)).conversationId;
  }

  async stop(): Promise<void> {
    await this.#running?.loop.stop();
  }
}

/** Each command is a thread of its own: it waits for no other one. */
function inbound(content: string, threadTs: string): InboundMessage {
  return { content, channelId: CLI_GATEWAY, threadTs, userId: userName() };
}

/** Who runs this command, by the system. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without a name, as in a container.
    return String(process.getuid?.() ?? "");
  }
}

function timedOut(conversationId: number, timeoutMs: number): RobsonError {
  return new RobsonError(
    "WORKER_TIMED_OUT",
    `Message ${conversationId} has not ended within ${Math.ceil(timeoutMs / 1000)} s; it is kept, and work on it goes on`,
    { hint: "Wait longer with --timeout, or keep `robson agent` running" },
  );
}
