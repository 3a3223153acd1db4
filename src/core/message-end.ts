/**
 * How an attempt at a message is counted and how it ends, each way one commit: done with its answers, tried again later, dead with a
 * word to the asker, stopped by a person, or handed back. The decisions are dispatch.ts's.
 */
import { backoffMs } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { hasCode, messageOf, RobsonError, retryOf, stackField } from "./errors.ts";
import type { HookRegistry, Hooks } from "./hooks.ts";
import { type DispatchOutcome, type InboxEntry, runKey } from "./inbox-entry.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { Outbox } from "./outbox.ts";
import type { EventToStore } from "./outbox-entry.ts";
import type { RunEnd } from "./run.ts";
import { rememberBegin, roundOf, withBegin } from "./run-begin.ts";
import type { NewDecision, NewRun, OwnWrite, RunChange, RunStatus } from "./run-store.ts";
import type { RunThreads } from "./run-threads.ts";
import { storableThreadKey } from "./shards.ts";
import type { Change, MessageChange, MessageStatus, StoredMessage } from "./store.ts";
import { isStoreTrouble } from "./store-health.ts";
import { preview, toStorable } from "./text.ts";

export interface EndOptions {
  outbox: Outbox;
  hooks: HookRegistry;
  clock: Clock;
  random: () => number;
  limits: Limits;
  log: Logger;
  /** Learns of the runs that are open. */
  runThreads: Pick<RunThreads, "add" | "remove">;
  /** See `RunRules`. */
  endWrites(entry: InboxEntry, end: RunEnd): Promise<OwnWrite[]>;
}

/** An answer of the loop itself; without content, silence. */
export interface OwnAnswer {
  kind?: "completed" | "failed";
  content?: string;
  /** The thread has had its one hint now. */
  isHint?: boolean;
}

type Dead = Pick<MessageChange, "nextAttemptAt" | "lastError"> & { status: "dead" };

const ENDED: DispatchOutcome = { kind: "ended" };

export class MessageEnd {
  readonly #options: EndOptions;

  constructor(options: EndOptions) {
    this.#options = options;
  }

  /** Counts the attempt that begins. One that was interrupted goes on record with it. */
  async begun(entry: InboxEntry): Promise<void> {
    const { status, attempts, interruptions, conversationId, gateway } = entry.message;
    const change = { status: "claimed", attempts: attempts + 1, nextAttemptAt: null } as const;
    const run = this.#goesOn(entry);
    if (status !== "claimed") {
      await this.record(entry, change, run);
      if (run.run) rememberBegin(entry.message, run.run);
      return;
    }
    const error = "The process ended during this attempt";
    const failure = this.#failure(entry, { error, worker: null, nextAt: null });
    await this.record(entry, { ...change, interruptions: interruptions + 1 }, { failure, ...run });
    if (run.run) rememberBegin(entry.message, run.run);
    this.#options.log.warn({ conversationId, gateway, attempts }, "message attempt was interrupted");
  }

  /** Done by a worker, with the events that end it. */
  async done(entry: InboxEntry, end: { events: EventToStore[]; worker: string }): Promise<DispatchOutcome> {
    const failed = end.events.find(({ kind }) => kind === "failed");
    const run = this.#runStands(entry, failed ? "failed" : "done", failed ? firstLine(failed.content) : null);
    await this.record(entry, { status: "done" }, { events: end.events, ...run });
    this.#log(entry, "message done", { worker: end.worker });
    this.#tellEnded(entry, { outcome: "done", worker: end.worker });
    return ENDED;
  }

  /** Done by the loop itself. */
  async answered(entry: InboxEntry, answer: OwnAnswer): Promise<DispatchOutcome> {
    const { kind = "completed", content, isHint = false } = answer;
    const now = this.#options.clock.now();
    // A run has perhaps ended before, and said so: this is another event.
    const sequence = entry.message.run ? -now : -1;
    const events = content === undefined ? [] : [{ sequence, kind, content, worker: null, createdAt: now }];
    const hint = isHint ? { hint: { threadKey: storableThreadKey(entry.message), hintedAt: now } } : {};
    const run = await this.#runCut(entry, "failed", content === undefined ? "" : firstLine(content));
    await this.record(entry, { status: "done" }, { events, ...hint, ...run });
    this.#log(entry, "message done");
    this.#tellEnded(entry, { outcome: "done", worker: null });
    return ENDED;
  }

  /** A run of its thread has it now. Rejects with `RUN_INVALID` where that takes nothing any more. */
  async passedOn(
    entry: InboxEntry,
    { content, run }: { content: string; run: RunChange },
  ): Promise<DispatchOutcome> {
    const createdAt = this.#options.clock.now();
    const event = { sequence: -1, kind: "completed", content, worker: null, createdAt } as const;
    await this.record(entry, { status: "done" }, { events: [event], run });
    this.#log(entry, "message passed on", { run: run.conversationId });
    this.#tellEnded(entry, { outcome: "done", worker: null });
    return ENDED;
  }

  /** Ended by a person. It is done, not dead: nobody wants it tried again. */
  async stopped(entry: InboxEntry, by: string): Promise<DispatchOutcome> {
    const { conversationId, run } = entry.message;
    const next = run ? ` What is done is kept: \`/retry ${conversationId}\` goes on with it.` : "";
    const events = [this.#ownEvent(`Stopped by ${by}.${next}`)];
    const cut = await this.#runCut(entry, "stopped", `Stopped by ${by}`);
    await this.record(entry, { status: "done" }, { events, ...cut });
    this.#log(entry, "message stopped", { by });
    this.#tellEnded(entry, { outcome: "stopped", worker: null });
    return ENDED;
  }

  /** Its run is stored, and goes on in a lane of its own. Rejects with `RUN_EXISTS` where another one is at it. */
  async detached(entry: InboxEntry, begin: NewRun): Promise<DispatchOutcome> {
    const { message } = entry;
    const run = { conversationId: message.conversationId, begin: { ...begin, round: roundOf(message) } };
    await this.record(entry, { status: "pending", attempts: 0, interruptions: 0 }, { run });
    rememberBegin(message, run);
    entry.key = runKey(message);
    this.#options.runThreads.add(message);
    this.#log(entry, "run begins", { worker: begin.worker, title: begin.title, round: run.begin.round });
    return { kind: "detached" };
  }

  /** Its run waits: what for, and the questions to the thread, are stored with it. */
  async suspended(
    entry: InboxEntry,
    {
      decisions,
      events,
      worker,
    }: { decisions: NewDecision[]; events: EventToStore[]; worker: string | null },
  ): Promise<DispatchOutcome> {
    const { clock } = this.#options;
    const dues = decisions.flatMap(({ dueAt }) => dueAt ?? []);
    const nextAttemptAt = dues.length === 0 ? null : Math.min(...dues);
    const status = { value: "waiting", reason: null, at: clock.now() } as const;
    const run = withBegin(entry.message, { run: { decisions, status }, worker, clock });
    const waiting = {
      status: "waiting",
      attempts: 0,
      interruptions: 0,
      nextAttemptAt,
      lastError: null,
    } as const;
    await this.record(entry, waiting, { events, run });
    rememberBegin(entry.message, run);
    this.#options.runThreads.add(entry.message);
    this.#log(entry, "run waits", { for: decisions.map(({ name }) => name) });
    return { kind: "suspended", ...(nextAttemptAt === null ? {} : { until: nextAttemptAt }) };
  }

  /** Back to the inbox as if the attempt had not begun. */
  async handedBack(entry: InboxEntry): Promise<DispatchOutcome> {
    await this.record(entry, { status: "pending", attempts: entry.message.attempts - 1 });
    this.#log(entry, "message handed back");
    return ENDED;
  }

  /** Tried again later, or dead. */
  async failed(
    entry: InboxEntry,
    failure: { error: unknown; maxAttempts: number; worker: string | null },
  ): Promise<DispatchOutcome> {
    const { error, maxAttempts, worker } = failure;
    const { clock, limits, random, log } = this.#options;
    const { retry, retryAfterMs } = retryOf(error);
    const { attempts, interruptions, conversationId, gateway } = entry.message;
    // Attempts that ended with the process say nothing about the worker.
    const failures = attempts - interruptions;
    if (retry === "never" || failures >= maxAttempts || hasCode(error, "STORE_REFUSED_ROW")) {
      return this.#dead(entry, { error, worker });
    }
    const { backoffBaseMs: baseMs, maxBackoffMs: maxMs, maxRetryAfterMs } = limits;
    const waitMs = backoffMs({ attempts, baseMs, maxMs, maxRetryAfterMs, retryAfterMs, random });
    const at = clock.now() + waitMs;
    const change = { status: "pending", nextAttemptAt: at, lastError: toStorable(messageOf(error)) } as const;
    await this.record(entry, change, { failure: this.#failure(entry, { error, worker, nextAt: at }) });
    log.warn(
      {
        conversationId,
        gateway,
        worker,
        attempts,
        nextAttemptAt: at,
        error: messageOf(error),
        ...stackField(error),
      },
      "message attempt failed",
    );
    // Whoever has stopped it meanwhile does not wait for that attempt. Not `at`: the clock may have been set back.
    return { kind: "retry", at: clock.now() + (entry.stoppedBy === undefined ? waitMs : 0) };
  }

  /** The process ended during too many of its attempts: dead without another one. */
  interrupted(entry: InboxEntry): Promise<DispatchOutcome> {
    const { run, interruptions, conversationId } = entry.message;
    // A step that ends well makes a run's count begin anew.
    const when = run ? `during run ${conversationId}, at the same step` : "while it was handled";
    const text = `The process ended ${interruptions + 1} times ${when}`;
    const hint = "Look in the log for what stopped the process before you try it again";
    return this.#dead(entry, { error: new RobsonError("WORKER_FAILED", text, { hint }), worker: null });
  }

  /** Writes what becomes of the message, and remembers it once it is written. */
  record(
    { message }: InboxEntry,
    change: Partial<MessageChange> & { status: MessageStatus },
    more: Pick<Change, "failure" | "hint" | "run"> & { events?: EventToStore[] } = {},
  ): Promise<void> {
    const { conversationId, attempts, interruptions, nextAttemptAt, lastError, round } = message;
    const whole = { conversationId, attempts, interruptions, nextAttemptAt, lastError, round, ...change };
    const written = this.#options.outbox.record(message, { events: [], ...more, message: whole });
    return written.then(() => void Object.assign(message, change));
  }

  /** As `#runStands`, where it is not its worker that ends it. */
  async #runCut(
    entry: InboxEntry,
    status: RunEnd["status"] | "failed",
    reason: string,
  ): Promise<Pick<Change, "run">> {
    const { run } = this.#runStands(entry, status, reason === "" ? null : reason);
    if (!run) return {};
    const end = { run: run.conversationId, reason, at: this.#options.clock.now() };
    const told = status === "failed" ? "dead" : status;
    return { run: { ...run, writes: await this.#options.endWrites(entry, { ...end, status: told }) } };
  }

  /** It may have been waiting; or it has ended, in its thread's lane, and is tried again. */
  #goesOn(entry: InboxEntry): Pick<Change, "run"> {
    const { message } = entry;
    if (!message.run || message.run.isOpen || message.run.isDetached)
      return this.#runStands(entry, "open", null);
    return { run: withBegin(message, { run: {}, worker: null, clock: this.#options.clock }) };
  }

  /** How the message's run stands from now on, to be written with the message; nothing where it has none. */
  #runStands({ message }: InboxEntry, value: RunStatus, reason: string | null): Pick<Change, "run"> {
    if (!message.run?.isOpen) return {};
    const { conversationId, run } = message;
    return {
      run: { conversationId, round: run.round, status: { value, reason, at: this.#options.clock.now() } },
    };
  }

  async #dead(entry: InboxEntry, { error, worker }: { error: unknown; worker: string | null }) {
    const lastError = toStorable(messageOf(error));
    const events = [this.#ownEvent(failedText(entry.message, error))];
    const failure = this.#failure(entry, { error, worker, nextAt: null });
    const dead: Dead = { status: "dead", nextAttemptAt: null, lastError };
    const run = await this.#runCut(entry, "dead", lastError);
    try {
      await this.record(entry, dead, { events, failure, ...run });
    } catch (cause) {
      // The loop stops while the database takes no writes: the next start takes it up, and tells its asker.
      if (hasCode(cause, "LEASE_LOST") || isStoreTrouble(cause)) throw cause;
      await this.#deadAnyhow(entry, { dead, events, failure, ...(run.run && { run: run.run }) });
    }
    const { conversationId, gateway, attempts } = entry.message;
    this.#options.log.error(
      { conversationId, gateway, worker, attempts, error: lastError, ...stackField(error) },
      "message dead",
    );
    this.#tellEnded(entry, { outcome: "dead", worker, error: lastError });
    return ENDED;
  }

  /** Perhaps it is what its worker wants written that cannot be stored; or the answer, or that has nowhere to go. */
  async #deadAnyhow(
    entry: InboxEntry,
    { dead, run, ...more }: Pick<Change, "failure" | "run"> & { dead: Dead; events: EventToStore[] },
  ): Promise<void> {
    const cut = run ? { run: { ...run, writes: [] } } : {};
    try {
      if (run?.writes?.length) return await this.record(entry, dead, { ...more, ...cut });
    } catch (cause) {
      if (hasCode(cause, "LEASE_LOST") || isStoreTrouble(cause)) throw cause;
    }
    await this.record(entry, dead, { ...more, ...cut, events: [] });
  }

  /** Not the worker's: a dead letter that is retried must be able to emit its own first event. */
  #ownEvent(content: string): EventToStore {
    const now = this.#options.clock.now();
    return { sequence: -now, kind: "failed", content, worker: null, createdAt: now };
  }

  #failure(entry: InboxEntry, of: { error: unknown; worker: string | null; nextAt: number | null }) {
    return {
      conversationId: entry.message.conversationId,
      eventId: null,
      gateway: null,
      target: null,
      worker: of.worker,
      attempt: entry.message.attempts,
      error: toStorable(messageOf(of.error)),
      failedAt: this.#options.clock.now(),
      nextAt: of.nextAt,
    };
  }

  #tellEnded({ message }: InboxEntry, end: Omit<Hooks["message.ended"], "message">): void {
    if (message.run) this.#options.runThreads.remove(message);
    this.#options.hooks.tellOf("message.ended", message, end);
  }

  #log({ message }: InboxEntry, text: string, more: object = {}): void {
    const { conversationId, gateway, attempts } = message;
    this.#options.log.info({ conversationId, gateway, attempts, ...more }, text);
  }
}

/** What the asker is told: what went wrong, and what he can do. */
function failedText({ conversationId, run }: StoredMessage, error: unknown): string {
  const hint =
    (error instanceof RobsonError && error.hint) || "Send it again, or ask whoever runs me to look";
  const kept = run
    ? `Run ${conversationId} keeps what is done: \`/retry ${conversationId}\` goes on with it, \`/logs ${conversationId}\` shows how far it came`
    : `Message ${conversationId} is kept as a dead letter`;
  return toStorable(`I could not do this: ${messageOf(error)}\n${hint}. (${kept}.)`);
}

/** How much of an answer stands as the reason of its run's end. */
const MAX_REASON = 300;

function firstLine(content: string): string {
  return preview(content.trim().split("\n", 1)[0] ?? "", MAX_REASON);
}
