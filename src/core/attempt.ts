/**
 * One attempt of one worker at one message: its context, its time, and what it emitted. Once the attempt is
 * over, the worker can report nothing any more, whatever it still does.
 */
import type { Clock } from "./clock.ts";
import type { LoopControl } from "./control.ts";
import { RobsonError, WorkerError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import type { EventToStore } from "./outbox.ts";
import { EVENT_KINDS, type EventKind, isFinal } from "./process-event.ts";
import { byteLength, toStorable } from "./text.ts";
import type { Worker, WorkerContext } from "./worker.ts";

export interface AttemptOptions {
  clock: Clock;
  limits: Limits;
  log: Logger;
  /** Which attempt at the message this is, from 1. */
  number: number;
  /** Stores an event that does not end the message. */
  store(event: EventToStore): Promise<void>;
  control: LoopControl;
  /** Told of a worker that goes on although its attempt is over. */
  onLeftover(handled: Promise<unknown>): void;
}

export class Attempt {
  /** What ends the message; stored together with its end. */
  readonly finalEvents: EventToStore[] = [];
  readonly #options: AttemptOptions;
  readonly #controller = new AbortController();
  readonly #over = Promise.withResolvers<never>();
  readonly startedAt: number;
  #emitCount = 0;
  #worker: string | null = null;
  #endedBy: RobsonError | undefined;
  #isClosed = false;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.startedAt = options.clock.now();
    this.#over.promise.catch(() => undefined);
  }

  /** Runs a worker; resolves with what its `handle` did, rejects with its error or with why it was ended. */
  async run(
    worker: Worker,
    handle: (context: WorkerContext) => Promise<unknown>,
    text: string,
  ): Promise<unknown> {
    if (this.#endedBy) throw this.#endedBy;
    const { clock, limits, number } = this.#options;
    const timeoutMs = worker.timeoutMs ?? limits.workerTimeoutMs;
    const cancel = clock.schedule(clock.now() + timeoutMs, () => this.end(timedOut(worker, timeoutMs)));
    this.#worker = worker.name;
    const context: WorkerContext = {
      emit: (kind, content) => {
        const emitted = this.#emit(kind, content);
        // A worker that does not await it must not end the process when it is refused.
        emitted.catch(() => undefined);
        return emitted;
      },
      signal: this.#controller.signal,
      text,
      attempt: number,
      log: this.#options.log,
      control: this.#options.control,
    };
    const handled = handle(context);
    try {
      return await Promise.race([handled, this.#over.promise]);
    } catch (error) {
      if (this.#endedBy) this.#watchLeftover(worker, handled);
      throw error;
    } finally {
      cancel();
    }
  }

  /** The worker at it, and the last one that was. */
  get worker(): string | null {
    return this.#worker;
  }

  /** Ends the attempt from outside: the signal is aborted, and `run` rejects with the reason. */
  end(reason: RobsonError): void {
    if (this.#endedBy) return;
    this.#endedBy = reason;
    this.#controller.abort(reason);
    this.#over.reject(reason);
  }

  /** Whatever the worker still does, its message has ended, or another attempt will be made. */
  close(): void {
    this.#isClosed = true;
    if (!this.#endedBy) this.#controller.abort();
  }

  /** Why it was ended from outside, if it was. */
  get endedBy(): RobsonError | undefined {
    return this.#endedBy;
  }

  /** Says when a worker goes on although its signal was aborted. Its result is refused either way. */
  #watchLeftover(worker: Worker, handled: Promise<unknown>): void {
    const { clock, limits, log, onLeftover } = this.#options;
    onLeftover(handled);
    const fields = { worker: worker.name, afterMs: limits.workerAbortGraceMs };
    const cancel = clock.schedule(clock.now() + limits.workerAbortGraceMs, () => {
      log.warn(fields, "worker goes on although its signal was aborted");
    });
    handled.then(cancel, cancel);
  }

  async #emit(kind: EventKind, content: string): Promise<void> {
    if (this.#endedBy) throw this.#endedBy;
    if (this.#isClosed) throw attemptIsOver();
    const { limits, clock } = this.#options;
    if (!EVENT_KINDS.includes(kind)) {
      throw new WorkerError(`Cannot emit an event of kind "${kind}"`, {
        retry: "never",
        hint: `The kinds are ${EVENT_KINDS.join(", ")}`,
      });
    }
    if (this.#emitCount >= limits.maxEventsPerMessage) {
      throw new WorkerError(`Cannot emit more than ${limits.maxEventsPerMessage} events for one message`, {
        retry: "never",
        hint: "The limit is maxEventsPerMessage",
      });
    }
    this.#emitCount += 1;
    const text = within(toStorable(String(content)), limits.maxContentBytes);
    const event = {
      sequence: this.#emitCount,
      kind,
      content: text,
      worker: this.#worker,
      createdAt: clock.now(),
    };
    // A former attempt may have emitted more before it was interrupted: its events must not stand in the way of
    // how this one ends. Final events count apart; they are stored once, together with the end.
    if (isFinal(kind)) this.finalEvents.push({ ...event, sequence: -this.#emitCount });
    else await this.#options.store(event);
  }
}

function attemptIsOver(): RobsonError {
  return new RobsonError("WORKER_ENDED", "Cannot emit: the attempt is over", {
    hint: "Await every emit before handle() returns",
  });
}

function timedOut(worker: Worker, timeoutMs: number): RobsonError {
  return new WorkerError(`Worker "${worker.name}" took longer than ${timeoutMs} ms`, {
    code: "WORKER_TIMED_OUT",
    retry: "never",
    hint: "Ask for less at once, or raise the worker's timeoutMs (default: workerTimeoutMs)",
  });
}

/** The text, cut between characters where it is over the limit: an answer that is too long is still an answer. */
function within(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || byteLength(text) <= maxBytes) return text;
  const note = "\n… (cut: the limit is maxContentBytes)";
  const bytes = Buffer.from(text).subarray(0, Math.max(0, maxBytes - byteLength(note)));
  return new TextDecoder("utf-8").decode(bytes).replace(/\u{FFFD}+$/u, "") + note;
}
