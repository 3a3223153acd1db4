/**
 * Stations 2 and 3 of a message's way: which worker it is for, that worker's attempt, and then one commit for
 * the message's end together with the events that end it. A crash before that commit leaves the message claimed;
 * it is run again, and what it emitted before is not stored twice.
 */
import type { Access } from "./access.ts";
import { argumentsFor, WrongArguments } from "./arguments-for.ts";
import { Attempt } from "./attempt.ts";
import type { Clock } from "./clock.ts";
import type { LoopControl } from "./control.ts";
import { hasCode, messageOf, RobsonError } from "./errors.ts";
import { commandHelpText, helpText, NOT_ALLOWED_TEXT, notListedText, unmatchedText } from "./help.ts";
import type { DispatchOutcome, InboxEntry } from "./inbox-entry.ts";
import { waitAfterInterruption } from "./interruption.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import { type EndOptions, MessageEnd } from "./message-end.ts";
import type { ReceivedMessage } from "./message-event.ts";
import type { Outbox } from "./outbox.ts";
import { toReceived } from "./received.ts";
import { helpAbout, isHelp, type Route, type Routing } from "./routing.ts";
import { type RunEnd, Suspended } from "./run.ts";
import { checkVersion, rememberBegin, roundOf, toNewRun, withBegin } from "./run-begin.ts";
import { RunOffers } from "./run-offers.ts";
import type { OwnWrite, RunDetails, RunRecords } from "./run-store.ts";
import type { RunThreads } from "./run-threads.ts";
import { storableThreadKey } from "./shards.ts";
import type { Probe } from "./steps.ts";
import { isStoreTrouble } from "./store-health.ts";
import { Turns } from "./turns.ts";
import { type Asker, isShownTo, mayUse, type Worker, type WorkerContext } from "./worker.ts";

export interface DispatcherOptions extends Omit<EndOptions, "endWrites"> {
  routing: Routing;
  outbox: Outbox;
  clock: Clock;
  limits: Limits;
  log: Logger;
  control: LoopControl;
  /** Runs the first message of a lane that was held. */
  resume(laneKey: string): void;
  runs: Pick<RunRecords, "run" | "runs">;
  runThreads: RunThreads;
  /** Whether someone may answer a run that others have asked for. */
  isOperator(asker: Asker): boolean;
  /** A run has the answer that it waited for. */
  onAnswered(): void;
  /** Resolves when to read again, rejects to give up. */
  onReadError(error: unknown, failures: number): Promise<void>;
  probe?: Probe | undefined;
  /** Whether this thread has had its hint that a message matched nothing. */
  wasHinted(threadKey: string): Promise<boolean>;
  access: Pick<Access, "mayBeWorkedOn">;
}

/** A kind of turns that no worker's name can be. */
const SUSPECT = "";
const HELD: DispatchOutcome = { kind: "held" };

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #end: MessageEnd;
  readonly #offers: RunOffers;
  readonly #turns: Turns;
  /** By conversation id. */
  readonly #attempts = new Map<number, Attempt>();
  /** Workers that go on although their attempt is over. */
  readonly #leftovers = new Set<Promise<unknown>>();
  /** See `Attempt`. */
  readonly #silentWorkers = new Set<string>();
  #handedBackFor: RobsonError | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#end = new MessageEnd({ ...options, endWrites: (entry, end) => this.#endWrites(entry, end) });
    this.#offers = new RunOffers({ ...options, end: this.#end });
    this.#turns = new Turns(options.resume);
  }

  /** Makes one attempt at a message. Rejects only with `LEASE_LOST`, or when the database is given up. */
  async dispatch(entry: InboxEntry): Promise<DispatchOutcome> {
    const waitMs = this.#waitFor(entry);
    if (waitMs > 0) return { kind: "held", until: this.#options.clock.now() + waitMs };
    const routes = this.#routesFor(entry);
    // A suspect is alone among its kind: when the process stops again, it is clear which message was handled.
    const turns = entry.isSuspect ? [{ kind: SUSPECT, max: 1 }] : [];
    const worker = routes[0]?.worker;
    if (worker?.maxConcurrent !== undefined) turns.push({ kind: worker.name, max: worker.maxConcurrent });
    if (entry.stoppedBy !== undefined) {
      this.#leave(entry, turns);
      return this.#end.stopped(entry, entry.stoppedBy);
    }
    try {
      if (turns.length > 0 && !this.#takeTurns(entry, turns)) {
        await this.uncount(entry);
        return HELD;
      }
      return await this.#handle(entry, routes);
    } catch (error) {
      if (hasCode(error, "LEASE_LOST") || this.#handedBackFor) throw error;
      return await this.#end.failed(entry, { error, maxAttempts: 1, worker: null });
    } finally {
      if (entry.turns) for (const kind of entry.turns) this.#turns.give(kind);
      entry.turns = undefined;
    }
  }

  /** Writes that the attempt does not begin yet which the commit that stored the message counted, if it did. */
  async uncount(entry: InboxEntry): Promise<void> {
    if (!entry.isCounted) return;
    entry.isCounted = false;
    await this.#end.record(entry, { status: "pending", attempts: entry.message.attempts - 1 });
  }

  /** Ends every attempt, those about to begin too; their messages are handed back, the attempt not counted. */
  handBack(): void {
    const reason = new RobsonError("STOPPING", "The process is stopping", {
      hint: "The message is taken up again",
    });
    this.#handedBackFor = reason;
    for (const attempt of this.#attempts.values()) attempt.end(reason);
  }

  /** Resolves when no worker goes on any more whose attempt is over; a worker may need the store to clean up. */
  async leftoversEnded(): Promise<void> {
    await Promise.allSettled(this.#leftovers);
  }

  /** The entry is not handled here any more: the turns that it waits for are free for others. */
  leaveTurns(entry: InboxEntry): void {
    const worker = this.#routesFor(entry)[0]?.worker;
    this.#leave(entry, [{ kind: SUSPECT }, ...(worker ? [{ kind: worker.name }] : [])]);
  }

  /** The attempt under way at a message. */
  attemptAt(conversationId: number): Attempt | undefined {
    return this.#attempts.get(conversationId);
  }

  /** What was interrupted more than once waits first, and its lane with it. */
  #waitFor(entry: InboxEntry): number {
    const { status, interruptions } = entry.message;
    if (status !== "claimed" || entry.isCounted || entry.hasWaited || entry.stoppedBy !== undefined) return 0;
    entry.hasWaited = true;
    return waitAfterInterruption({ ...this.#options, interruptions });
  }

  #routesFor({ message, refusal }: InboxEntry): Route[] {
    // Whatever else would match before it now: it goes on with the worker that began it.
    if (message.run) return this.#options.routing.routesFrom(message.run.worker, message.content);
    return refusal !== undefined || isHelp(message.content)
      ? []
      : this.#options.routing.match(message.content);
  }

  /** False: one of them is not free, and its lane is resumed when it is. */
  #takeTurns(entry: InboxEntry, turns: { kind: string; max: number }[]): boolean {
    const taken = new Set<string>();
    entry.turns = taken;
    for (const [index, { kind, max }] of turns.entries()) {
      if (!this.#turns.take({ kind, max, laneKey: entry.key })) {
        // The turns behind this one are free for the next, one that it was resumed for too.
        this.#leave(entry, turns.slice(index + 1));
        return false;
      }
      taken.add(kind);
    }
    return true;
  }

  #leave(entry: InboxEntry, turns: { kind: string }[]): void {
    for (const { kind } of turns) this.#turns.leave({ kind, laneKey: entry.key });
  }

  async #handle(entry: InboxEntry, routes: Route[]): Promise<DispatchOutcome> {
    const { message } = entry;
    const maxAttempts = routes[0]?.worker.maxAttempts ?? this.#options.limits.maxMessageAttempts;
    if (!entry.isCounted) {
      const interruptions = message.interruptions + (message.status === "claimed" ? 1 : 0);
      if (interruptions >= this.#options.limits.maxInterruptions) return this.#end.interrupted(entry);
      await this.#end.begun(entry);
    }
    const isNew = entry.isCounted;
    entry.isCounted = false;
    const refused =
      isNew && entry.refusal === undefined ? undefined : await this.#refused(entry, maxAttempts);
    if (refused) return refused;
    if (entry.stoppedBy !== undefined) return this.#end.stopped(entry, entry.stoppedBy);
    const { conversationId, gateway, attempts } = message;
    this.#options.log.debug({ conversationId, gateway, attempts }, "message attempt begins");
    const isOffered = this.#offers.isFor(entry);
    const passedOn = isOffered === false ? undefined : await this.#offered(entry, { isOffered, maxAttempts });
    if (passedOn) return passedOn;
    const asker = toReceived(message);
    const allowed = routes.filter(({ worker }) => mayUse(worker, asker));
    const about = helpAbout(message.content);
    if (about !== undefined) {
      const workers = this.#workersFor(asker);
      const content = about === "" ? helpText(workers) : commandHelpText(workers, about);
      return this.#end.answered(entry, { content });
    }
    if (routes.length > 0 && allowed.length === 0) {
      return this.#end.answered(entry, { kind: "failed", content: NOT_ALLOWED_TEXT });
    }
    const first = allowed[0];
    if (message.run) checkVersion(message, first?.worker);
    if (first?.worker.run && !message.run?.isOpen) return this.#detach(entry, first);
    return await this.#attempt(entry, { asker, routes: allowed, maxAttempts });
  }

  /** To the runs of its thread; undefined where none takes it. */
  async #offered(
    entry: InboxEntry,
    { isOffered, maxAttempts }: { isOffered: boolean | Promise<boolean>; maxAttempts: number },
  ): Promise<DispatchOutcome | undefined> {
    try {
      return (await isOffered) ? await this.#offers.offer(entry) : undefined;
    } catch (error) {
      if (hasCode(error, "LEASE_LOST")) throw error;
      return this.#end.failed(entry, { error, maxAttempts, worker: null });
    }
  }

  /** Stores the run that the message starts, or has one that has ended go on; the attempt is the run's. */
  async #detach(entry: InboxEntry, { worker, text }: Route): Promise<DispatchOutcome> {
    const { message } = entry;
    try {
      const args = await argumentsFor(worker, { content: message.content, text });
      return await this.#end.detached(
        entry,
        toNewRun(worker, { args, content: message.content, ...this.#options }),
      );
    } catch (error) {
      if (error instanceof WrongArguments) {
        return this.#end.answered(entry, { kind: "failed", content: error.message });
      }
      if (!hasCode(error, "RUN_EXISTS")) throw error;
      const content = `${error.message}\n${error.hint}`;
      return this.#end.answered(entry, { kind: "failed", content });
    }
  }

  /** Of a message that waited: its channel may have left the allow list, or another process took it in. */
  async #refused(entry: InboxEntry, maxAttempts: number): Promise<DispatchOutcome | undefined> {
    const { gateway, channelId } = entry.message;
    let content = entry.refusal;
    try {
      if (content === undefined) {
        const mayBe = this.#options.access.mayBeWorkedOn(entry.message);
        if (mayBe === true || (await mayBe)) return undefined;
        content = notListedText({ gateway: gateway ?? "", channelId });
      }
    } catch (error) {
      return this.#end.failed(entry, { error, maxAttempts, worker: null });
    }
    return this.#end.answered(entry, { kind: "failed", content });
  }

  async #attempt(
    entry: InboxEntry,
    { asker, routes, maxAttempts }: { asker: ReceivedMessage; routes: Route[]; maxAttempts: number },
  ): Promise<DispatchOutcome> {
    const { conversationId } = entry.message;
    const attempt = this.#createAttempt(entry);
    this.#attempts.set(conversationId, attempt);
    if (this.#handedBackFor) attempt.end(this.#handedBackFor);
    try {
      const answer = await this.#askInTurn(asker, {
        routes,
        attempt,
        hasRun: entry.message.run !== undefined,
      });
      attempt.close();
      if (attempt.isStoring) await attempt.stored();
      if (answer === undefined) return await this.#unmatched(entry);
      if ("long" in answer) return await this.#detach(entry, answer.long);
      const { finalEvents: own } = attempt;
      const events = entry.message.run ? await this.#offers.lastWords(entry.message, own) : own;
      return await this.#end.done(entry, { events, worker: answer.worker });
    } catch (error) {
      if (hasCode(error, "LEASE_LOST")) throw error;
      attempt.close();
      await attempt.stored();
      if (error instanceof Suspended && !attempt.endedBy) {
        return await this.#end.suspended(entry, {
          ...(await attempt.steps.suspension()),
          worker: attempt.worker,
        });
      }
      if (error instanceof WrongArguments) {
        return await this.#end.answered(entry, { kind: "failed", content: error.message });
      }
      if (hasCode(attempt.endedBy, "STOPPING")) return await this.#end.handedBack(entry);
      if (hasCode(attempt.endedBy, "WORKER_STOPPED")) {
        return await this.#end.stopped(entry, entry.stoppedBy ?? "someone");
      }
      return await this.#end.failed(entry, { error, maxAttempts, worker: attempt.worker });
    } finally {
      attempt.close();
      this.#attempts.delete(conversationId);
      this.#offers.forget(conversationId);
    }
  }

  /** What cannot be read any more, or fails, must not stand in the way of the end. */
  async #endWrites({ message, ...entry }: InboxEntry, end: RunEnd): Promise<OwnWrite[]> {
    try {
      const route = this.#routesFor({ message, ...entry })[0];
      const endWrites = route?.worker.run?.endWrites;
      if (!route || !endWrites) return [];
      return endWrites(await argumentsFor(route.worker, { content: message.content, text: route.text }), end);
    } catch (error) {
      const { conversationId } = message;
      this.#options.log.warn({ conversationId, error: messageOf(error) }, "a run's end was told to nobody");
      return [];
    }
  }

  /** That the database is away is no fault of the run: it waits. */
  async #loadRun(conversationId: number): Promise<RunDetails | undefined> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await this.#options.runs.run(conversationId);
      } catch (error) {
        if (!isStoreTrouble(error)) throw error;
        await this.#options.onReadError(error, failures);
      }
    }
  }

  /** Whatever interrupted it before is no sign against it any more. */
  #progressMade({ message, turns }: InboxEntry): void {
    Object.assign(message, { attempts: 1, interruptions: 0 });
    if (turns?.delete(SUSPECT)) this.#turns.give(SUSPECT);
  }

  #createAttempt(entry: InboxEntry): Attempt {
    const { message } = entry;
    const { clock, limits, log, outbox, control, probe } = this.#options;
    const { conversationId } = message;
    return new Attempt({
      round: roundOf(message),
      loadRun: () => this.#loadRun(conversationId),
      storeRun: async ({ events, run, worker }) => {
        const change = withBegin(message, { run, worker, clock });
        await outbox.record(message, { events, run: change });
        rememberBegin(message, change);
        if (run.step?.result !== undefined) this.#progressMade(entry);
      },
      probe,
      clock,
      limits,
      log,
      control,
      conversationId,
      isAddressed: message.isAddressed,
      silentWorkers: this.#silentWorkers,
      number: message.attempts,
      store: (event) => outbox.record(message, { events: [event] }),
      onLeftover: (handled) => {
        this.#leftovers.add(handled);
        const forget = () => this.#leftovers.delete(handled);
        handled.then(forget, forget);
      },
    });
  }

  /** Asks the workers one after another until one does not pass, or has long work of its own to do. */
  async #askInTurn(
    message: ReceivedMessage,
    ask: { routes: Route[]; attempt: Attempt; hasRun: boolean },
  ): Promise<{ worker: string } | { long: Route } | undefined> {
    for (const { worker, text } of ask.routes) {
      if (worker.run && !ask.hasRun) return { long: { worker, text } };
      const wanted = argumentsFor(worker, { content: message.content, text });
      const args = worker.args ? await wanted : wanted;
      const handle = (context: WorkerContext) => worker.handle(message, args, context);
      const answer = await ask.attempt.run(worker, handle, text);
      if (answer !== false) return { worker: worker.name };
    }
    return undefined;
  }

  /** Nobody took it: who was meant is told so, once in a thread. */
  async #unmatched(entry: InboxEntry): Promise<DispatchOutcome> {
    const { wasHinted } = this.#options;
    const { message } = entry;
    if (!message.isAddressed || (await wasHinted(storableThreadKey(message))))
      return this.#end.answered(entry, {});
    const content = unmatchedText(this.#workersFor(toReceived(message)), message.content);
    return this.#end.answered(entry, { content, isHint: true });
  }

  #workersFor(asker: Asker): Worker[] {
    return this.#options.routing.workers.filter((worker) => isShownTo(worker, asker));
  }
}
