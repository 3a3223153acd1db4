/**
 * One attempt of one worker at one message: its context, its time, and what it emitted. Once the attempt is
 * over, the worker can report nothing any more, whatever it still does.
 */
import { AttemptContext } from "./attempt-context.ts";
import type { Clock } from "./clock.ts";
import type { LoopControl } from "./control.ts";
import { RobsonError, WorkerError } from "./errors.ts";
import { LazySignal } from "./lazy-signal.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import { named } from "./named.ts";
import type { EventToStore } from "./outbox-entry.ts";
import { EVENT_KINDS, type EventKind, isFinal } from "./process-event.ts";
import { Suspended } from "./run.ts";
import type { RunDetails } from "./run-store.ts";
import { type Probe, Steps, type StepsOptions } from "./steps.ts";
import { byteLength, toStorable } from "./text.ts";
import type { Worker, WorkerContext } from "./worker.ts";

export interface AttemptOptions {
  clock: Clock;
  limits: Limits;
  log: Logger;
  /** The message that it is made at. */
  conversationId: number;
  /** Whether somebody waits for its answer. */
  isAddressed: boolean;
  /** Workers, by name, of whose silence the log was told: once of each is enough. */
  silentWorkers: Set<string>;
  /** Which attempt at the message this is, from 1. */
  number: number;
  /** Stores an event that does not end the message. */
  store(event: EventToStore): Promise<void>;
  control: LoopControl;
  /** How often the message's run was begun; 1 for a message without one. */
  round: number;
  loadRun(): Promise<RunDetails | undefined>;
  /** Commits a change of the message's run together with events. */
  storeRun(change: Parameters<StepsOptions["store"]>[0] & { worker: string | null }): Promise<void>;
  probe?: Probe | undefined;
  /** Told of a worker that goes on although its attempt is over. */
  onLeftover(handled: Promise<unknown>): void;
}

interface UnderWay {
  worker: Worker;
  over: PromiseWithResolvers<unknown>;
  /** Takes its time-out back. */
  cancel(): void;
  /** Resolves when the worker has ended, whatever became of the attempt meanwhile. */
  handled?: Promise<void>;
}

export class Attempt {
  /** What ends the message; stored together with its end. */
  readonly finalEvents: EventToStore[] = [];
  readonly #options: AttemptOptions;
  readonly #lazy = new LazySignal();
  readonly startedAt: number;
  /** Made when first asked for: most workers have none. */
  #steps: Steps | undefined;
  /** What of its run is being stored, once anything is. */
  #storing: Set<Promise<unknown>> | undefined;
  /** The worker that is being run. */
  #underWay: UnderWay | undefined;
  #emitCount = 0;
  #worker: string | null = null;
  #endedBy: RobsonError | undefined;
  #isClosed = false;
  #wasTooLate = false;
  /** Why an event was refused, perhaps one of a worker that did not await it. */
  #refused: RobsonError | undefined;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.startedAt = options.clock.now();
  }

  /** Runs a worker; resolves with what its `handle` did, rejects with its error or with why it was ended. */
  run(worker: Worker, handle: (context: WorkerContext) => Promise<unknown>, text: string): Promise<unknown> {
    if (this.#endedBy) return Promise.reject(this.#endedBy);
    const { clock, limits } = this.#options;
    const timeoutMs = worker.timeoutMs ?? limits.workerTimeoutMs;
    const cancel = clock.schedule(clock.now() + timeoutMs, () => this.end(timedOut(worker, timeoutMs)));
    this.#worker = worker.name;
    // Whichever comes first: the worker's end, its time-out, or the loop's.
    const over = Promise.withResolvers<unknown>();
    const underWay: UnderWay = { worker, over, cancel };
    this.#underWay = underWay;
    underWay.handled = this.#settle(underWay, { handle, text });
    // By its worker's first lines.
    if (this.#endedBy) this.#watchLeftover(underWay);
    return over.promise;
  }

  get steps(): Steps {
    this.#steps ??= this.#createSteps();
    return this.#steps;
  }

  /** The worker at it, and the last one that was. */
  get worker(): string | null {
    return this.#worker;
  }

  /** Ends the attempt from outside: the signal is aborted, and `run` rejects with the reason. */
  end(reason: RobsonError): void {
    if (this.#endedBy) return;
    this.#endedBy = reason;
    this.#lazy.abort(reason);
    if (!this.#underWay) return;
    this.#underWay.over.reject(reason);
    this.#watchLeftover(this.#underWay);
  }

  /** Whatever the worker still does, its message has ended, or another attempt will be made. */
  close(): void {
    this.#isClosed = true;
    this.#lazy.abort(ENDED);
  }

  /** Whether something of its run is being stored: it must not come after the message's end. */
  get isStoring(): boolean {
    return this.#storing !== undefined && this.#storing.size > 0;
  }

  /** Resolves when nothing of its run is being stored any more. */
  async stored(): Promise<void> {
    while (this.#storing && this.isStoring) await Promise.allSettled(this.#storing);
  }

  /** Why it was ended from outside, if it was. */
  get endedBy(): RobsonError | undefined {
    return this.#endedBy;
  }

  /** Who does not await an emit does not see that it is refused: the log tells him, once. */
  #tooLate(): RobsonError {
    const { conversationId, log } = this.#options;
    if (!this.#wasTooLate) {
      log.warn(
        { conversationId, worker: this.#worker },
        "worker emits after its attempt is over; nobody gets it",
      );
    }
    this.#wasTooLate = true;
    return attemptIsOver();
  }

  /** Its asker cannot tell that from work that never ends. A text that is returned was taken for the answer. */
  #warnOfSilence(worker: Worker, result: unknown): void {
    const { conversationId, isAddressed, log, silentWorkers } = this.#options;
    const isText = typeof result === "string" && this.#emitCount === 0;
    if (silentWorkers.has(worker.name) || !(isAddressed || isText)) return;
    silentWorkers.add(worker.name);
    log.warn(
      { conversationId, worker: worker.name },
      isText
        ? "worker returned a text and emitted nothing; nobody gets it"
        : "worker returned without completed or failed; its asker gets no answer",
    );
  }

  /** Nobody awaited it, or its worker thought nothing of it: without a word it would just be missing. */
  #warnOfRefused({ name }: Worker, { message, hint }: RobsonError): void {
    const { conversationId, log } = this.#options;
    log.warn({ conversationId, worker: name, error: message, hint }, "event of a worker was refused");
  }

  /** Says when a worker goes on although its signal was aborted. Its result is refused either way. */
  #watchLeftover({ worker, handled, cancel: cancelTimeout }: UnderWay): void {
    cancelTimeout();
    if (!handled) return;
    const { conversationId, clock, limits, log, onLeftover } = this.#options;
    onLeftover(handled);
    const fields = { conversationId, worker: worker.name, afterMs: limits.workerAbortGraceMs };
    const cancel = clock.schedule(clock.now() + limits.workerAbortGraceMs, () => {
      log.warn(fields, "worker goes on although its signal was aborted");
    });
    handled.then(cancel, cancel);
  }

  #createSteps(): Steps {
    const options = this.#options;
    return new Steps({
      ...options,
      signal: () => this.#lazy.signal,
      load: options.loadRun,
      store: async (change) => {
        this.#checkOpen();
        await this.#remembered(options.storeRun({ ...change, worker: this.#worker }));
      },
      tell: async (event) => {
        this.#checkOpen();
        await this.#remembered(options.store(event));
      },
      toEvent: (kind, content) => this.#toEvent(kind, content),
    });
  }

  #contextFor(text: string): WorkerContext {
    const { number, log, control, round } = this.#options;
    const emit = (kind: EventKind, content: string) => {
      const emitted = this.#emit(kind, content);
      // A worker that does not await it must not end the process when it is refused.
      if (emitted !== KEPT) emitted.catch(ignore);
      return emitted;
    };
    const steps = () => this.steps;
    return new AttemptContext({ emit, text, attempt: number, log, control, round, lazy: this.#lazy, steps });
  }

  /** Resolves when the worker has ended. What is at work beside the step that waits goes on to its end, and is stored. */
  async #settle(
    { worker, over, cancel }: UnderWay,
    { handle, text }: { handle(context: WorkerContext): Promise<unknown>; text: string },
  ): Promise<void> {
    try {
      const result = await handle(this.#contextFor(text));
      if (this.#steps) await this.#endSteps(this.#steps, worker);
      // What was refused may be the answer: done without a word is not what its worker meant.
      if (this.#refused && this.#lacksAnswer) throw this.#refused;
      if (this.#refused) this.#warnOfRefused(worker, this.#refused);
      if (result !== false && this.finalEvents.length === 0 && !this.#endedBy)
        this.#warnOfSilence(worker, result);
      over.resolve(result);
    } catch (error) {
      const isWaiting = this.#steps?.isWaiting;
      if (isWaiting) await this.#steps?.settled();
      over.reject(isWaiting ? new Suspended() : error);
    }
    cancel();
    this.#underWay = undefined;
  }

  /** Whether it has no answer, or perhaps not all of it. */
  get #lacksAnswer(): boolean {
    return this.finalEvents.length === 0 || this.#emitCount >= this.#options.limits.maxEventsPerMessage;
  }

  /** A question that its worker did not await is a wait all the same; a step that still works is its worker's mistake. */
  async #endSteps(steps: Steps, worker: Worker): Promise<void> {
    const { conversationId, log } = this.#options;
    await steps.asked();
    steps.check();
    const [step] = steps.underWay;
    if (step === undefined || this.#endedBy) return;
    log.warn(
      { conversationId, worker: worker.name, step },
      "worker returned before its step had ended, which is not stored; await every step",
    );
  }

  #remembered(storing: Promise<void>): Promise<void> {
    const all = this.#storing ?? new Set();
    this.#storing = all.add(storing);
    const forget = () => void all.delete(storing);
    storing.then(forget, forget);
    return storing;
  }

  #checkOpen(): void {
    if (this.#endedBy) throw this.#endedBy;
    if (this.#isClosed) throw this.#tooLate();
  }

  #emit(kind: EventKind, content: string): Promise<void> {
    try {
      this.#checkOpen();
      this.#steps?.check();
      const event = this.#toEvent(kind, content);
      const sequence = (this.#options.round - 1) * EVENTS_PER_ROUND + this.#emitCount;
      // A former attempt may have emitted more before it was interrupted: its events must not stand in the way of
      // how this one ends. Final events count apart; they are stored once, together with the end.
      if (!isFinal(kind)) return this.#options.store({ ...event, sequence });
      this.finalEvents.push({ ...event, sequence: -sequence });
      return KEPT;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #toEvent(kind: EventKind, content: string): Omit<EventToStore, "sequence"> {
    const { limits, clock } = this.#options;
    const refusal = whyRefused({ kind, content, count: this.#emitCount }, limits);
    if (refusal) {
      this.#refused ??= refusal;
      throw refusal;
    }
    this.#emitCount += 1;
    const text = within(toStorable(content), limits.maxContentBytes);
    return { kind, content: text, worker: this.#worker, createdAt: clock.now() };
  }
}

function whyRefused(
  { kind, content, count }: { kind: unknown; content: unknown; count: number },
  { maxEventsPerMessage }: Limits,
): RobsonError | undefined {
  if (!KINDS.includes(kind)) return refusal(`an event of ${kindShown(kind)}`, KINDS_HINT);
  if (typeof content !== "string") {
    return refusal(
      `an event whose content is ${named(content)}, not text`,
      'Pass a text, as in emit("completed", "Done")',
    );
  }
  // Platforms refuse an empty message, each in its own way: nobody would hear of it.
  if (content.trim() === "") {
    return refusal(
      "an event without any text",
      'Say what there is to say, as in emit("completed", "Nothing was found")',
    );
  }
  if (count < maxEventsPerMessage) return undefined;
  return refusal(
    `more than ${maxEventsPerMessage} events for one message`,
    "Report less often, or raise limits.max_events_per_message in robson.toml",
  );
}

const KINDS: readonly unknown[] = EVENT_KINDS;
const KINDS_HINT = `The kinds are ${EVENT_KINDS.join(", ")}; the kind comes first, as in emit("completed", "Done")`;

function refusal(what: string, hint: string): WorkerError {
  return new WorkerError(`Cannot emit ${what}`, { retry: "never", hint });
}

/** What is longer than a kind may be the answer itself. */
function kindShown(kind: unknown): string {
  return typeof kind === "string" && kind.length <= 20 ? `kind "${kind}"` : `no kind: ${named(kind)}`;
}

/** What an emit gets that is stored with the message's end. */
const KEPT = Promise.resolve();
const ignore = () => undefined;

/** Beyond the events of all rounds before: a run that goes on after its end reports anew. */
const EVENTS_PER_ROUND = 2 ** 31;

/** Why the signal of an attempt that has simply ended is aborted; made once, for its stack costs. */
const ENDED = new RobsonError("WORKER_ENDED", "The attempt is over", {
  hint: "Nothing is to be done: handle() has returned",
});

function attemptIsOver(): RobsonError {
  return new RobsonError("WORKER_ENDED", "Cannot emit: the attempt is over", {
    hint: "Await every emit before handle() returns",
  });
}

function timedOut(worker: Worker, timeoutMs: number): RobsonError {
  return new WorkerError(`Worker "${worker.name}" took longer than ${timeoutMs} ms`, {
    code: "WORKER_TIMED_OUT",
    retry: "never",
    hint:
      worker.timeoutMs === undefined
        ? "Ask for less at once, or raise limits.worker_timeout_ms in robson.toml"
        : "Ask for less at once, or raise the timeoutMs of this worker",
  });
}

/** The text, cut between characters where it is over the limit: an answer that is too long is still an answer. */
function within(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || byteLength(text) <= maxBytes) return text;
  const note = `\n… (cut: limits.max_content_bytes is ${maxBytes})`;
  const bytes = Buffer.from(text).subarray(0, Math.max(0, maxBytes - byteLength(note)));
  return new TextDecoder("utf-8").decode(bytes).replace(/\u{FFFD}+$/u, "") + note;
}
