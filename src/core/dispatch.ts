/**
 * Stations 2 and 3 of a message's way: which worker it is for, that worker's attempt, and then one commit for
 * the message's end together with the events that end it. A crash before that commit leaves the message claimed;
 * it is run again, and what it emitted before is not stored twice.
 */
import { Attempt } from "./attempt.ts";
import { backoffMs } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { hasCode, messageOf, RobsonError, retryOf } from "./errors.ts";
import { helpText, UNMATCHED_TEXT } from "./help.ts";
import type { DispatchOutcome, InboxEntry } from "./inbox.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { EventToStore, Outbox } from "./outbox.ts";
import { parseKv } from "./parse-kv.ts";
import { toReceived } from "./received.ts";
import { isHelp, type Route, type Routing } from "./routing.ts";
import type { MessageChange, Status } from "./store.ts";
import { toStorable } from "./text.ts";

export interface DispatcherOptions {
  routing: Routing;
  outbox: Outbox;
  clock: Clock;
  random: () => number;
  limits: Limits;
  log: Logger;
  /** Runs the first message of a lane that was held. */
  resume(laneKey: string): void;
}

const ENDED: DispatchOutcome = { kind: "ended" };

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #attempts = new Set<Attempt>();
  /** The suspect that runs, and the lanes of those that wait for it. */
  #suspect: InboxEntry | undefined;
  readonly #waitingSuspects: string[] = [];
  #handedBackFor: RobsonError | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Makes one attempt at a message. Rejects only with `LEASE_LOST`, or when the database is given up. */
  async dispatch(entry: InboxEntry): Promise<DispatchOutcome> {
    if (!entry.isSuspect) return this.#handle(entry);
    // Alone among its kind: when the process stops again, it is clear which message was being handled.
    if (this.#suspect) {
      this.#waitingSuspects.push(entry.key);
      return { kind: "held" };
    }
    this.#suspect = entry;
    try {
      return await this.#handle(entry);
    } finally {
      this.#suspect = undefined;
      const next = this.#waitingSuspects.shift();
      if (next !== undefined) this.#options.resume(next);
    }
  }

  /** Ends every attempt, those about to begin too; their messages are handed back, the attempt not counted. */
  handBack(): void {
    const reason = new RobsonError("STOPPING", "The process is stopping", {
      hint: "The message is taken up again",
    });
    this.#handedBackFor = reason;
    for (const attempt of this.#attempts) attempt.end(reason);
  }

  async #handle(entry: InboxEntry): Promise<DispatchOutcome> {
    const { routing, limits } = this.#options;
    const { message } = entry;
    const routes = isHelp(message.content) ? [] : routing.match(message.content);
    const maxAttempts = routes[0]?.worker.maxAttempts ?? limits.maxMessageAttempts;
    if (!entry.isCounted) {
      if (message.attempts >= maxAttempts) return this.#deadLetter(entry, interrupted(message.attempts));
      await this.#record(entry, { status: "claimed", attempts: message.attempts + 1, nextAttemptAt: null });
    }
    entry.isCounted = false;

    if (isHelp(message.content)) return this.#answer(entry, helpText(routing.workers));
    const attempt = this.#createAttempt(entry);
    this.#attempts.add(attempt);
    if (this.#handedBackFor) attempt.end(this.#handedBackFor);
    try {
      const worker = await this.#askInTurn(entry, { routes, attempt });
      if (worker === undefined) return this.#answer(entry, message.isAddressed ? UNMATCHED_TEXT : undefined);
      return await this.#complete(entry, { events: attempt.finalEvents, worker });
    } catch (error) {
      if (hasCode(error, "LEASE_LOST")) throw error;
      if (hasCode(attempt.endedBy, "STOPPING")) return this.#return(entry);
      return this.#failed(entry, { error, maxAttempts });
    } finally {
      attempt.close();
      this.#attempts.delete(attempt);
    }
  }

  #createAttempt({ message }: InboxEntry): Attempt {
    const { clock, limits, log, outbox } = this.#options;
    return new Attempt({
      clock,
      limits,
      log,
      number: message.attempts,
      store: (event) => outbox.record(message, { events: [event] }),
    });
  }

  /** Asks the workers one after another until one does not pass; resolves with its name. */
  async #askInTurn(
    entry: InboxEntry,
    ask: { routes: Route[]; attempt: Attempt },
  ): Promise<string | undefined> {
    const message = toReceived(entry.message);
    for (const { worker, text } of ask.routes) {
      const handle = async (context: Parameters<typeof worker.handle>[2]) =>
        worker.handle(message, parseKv(message.content), context);
      const answer = await ask.attempt.run(worker, handle, text);
      if (answer !== false) return worker.name;
    }
    return undefined;
  }

  async #answer(entry: InboxEntry, content: string | undefined): Promise<DispatchOutcome> {
    const createdAt = this.#options.clock.now();
    const events =
      content === undefined ? [] : [{ sequence: -1, kind: "completed" as const, content, createdAt }];
    return this.#complete(entry, { events, worker: undefined });
  }

  async #complete(
    entry: InboxEntry,
    end: { events: EventToStore[]; worker: string | undefined },
  ): Promise<DispatchOutcome> {
    await this.#record(entry, { status: "done" }, end.events);
    this.#log(entry, "message done", { worker: end.worker });
    return ENDED;
  }

  /** Back to the inbox as if the attempt had not begun. */
  async #return(entry: InboxEntry): Promise<DispatchOutcome> {
    await this.#record(entry, { status: "pending", attempts: entry.message.attempts - 1 });
    this.#log(entry, "message handed back");
    return ENDED;
  }

  async #failed(
    entry: InboxEntry,
    failure: { error: unknown; maxAttempts: number },
  ): Promise<DispatchOutcome> {
    const { error, maxAttempts } = failure;
    const { clock, limits, random, log } = this.#options;
    const { retry, retryAfterMs } = retryOf(error);
    const { attempts, conversationId } = entry.message;
    if (retry === "never" || attempts >= maxAttempts || hasCode(error, "STORE_REFUSED_ROW")) {
      return this.#deadLetter(entry, error);
    }
    const { backoffBaseMs: baseMs, maxBackoffMs: maxMs, maxRetryAfterMs } = limits;
    const waitMs = backoffMs({ attempts, baseMs, maxMs, maxRetryAfterMs, retryAfterMs, random });
    const at = clock.now() + waitMs;
    await this.#record(entry, {
      status: "pending",
      nextAttemptAt: at,
      lastError: toStorable(messageOf(error)),
    });
    log.warn(
      { conversationId, attempts, nextAttemptAt: at, error: messageOf(error) },
      "message attempt failed",
    );
    return { kind: "retry", at };
  }

  async #deadLetter(entry: InboxEntry, error: unknown): Promise<DispatchOutcome> {
    const now = this.#options.clock.now();
    const lastError = toStorable(messageOf(error));
    const event: EventToStore = {
      // Not the worker's: a retried dead letter must be able to emit its own first event.
      sequence: -now,
      kind: "failed",
      content: failedText(entry.message.conversationId, error),
      createdAt: now,
    };
    await this.#record(entry, { status: "dead", nextAttemptAt: null, lastError }, [event]);
    const { conversationId, attempts } = entry.message;
    this.#options.log.error({ conversationId, attempts, error: lastError }, "message dead");
    return ENDED;
  }

  async #record(
    entry: InboxEntry,
    change: Partial<MessageChange> & { status: Status },
    events: EventToStore[] = [],
  ): Promise<void> {
    const { message } = entry;
    const { conversationId, attempts, nextAttemptAt, lastError } = message;
    const ends = { conversationId, attempts, nextAttemptAt, lastError, ...change };
    await this.#options.outbox.record(message, { message: ends, events });
    Object.assign(message, change);
  }

  #log({ message }: InboxEntry, text: string, more: object = {}): void {
    const { conversationId, gateway, attempts } = message;
    this.#options.log.info({ conversationId, gateway, attempts, ...more }, text);
  }
}

function interrupted(attempts: number): RobsonError {
  return new RobsonError("WORKER_FAILED", `The process stopped during each of ${attempts} attempts at it`, {
    hint: "Look in the log for what stopped the process before you try it again",
  });
}

/** What the asker is told: what went wrong, and what he can do. */
function failedText(conversationId: number, error: unknown): string {
  const hint =
    (error instanceof RobsonError && error.hint) || "Send it again, or ask whoever runs me to look";
  return toStorable(
    `I could not do this: ${messageOf(error)}\n${hint}. (Message ${conversationId} is kept as a dead letter.)`,
  );
}
