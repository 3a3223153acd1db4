/**
 * Watches what happens and says what must not: each look compares what a process does with what the database
 * holds at that moment. What a process does that has lost its lease and does not know it yet is not its fault;
 * only that it writes nothing is, and that is looked at where its writes would show.
 */
import type { Accepted } from "../../src/core/gateway.ts";
import type { Delivery, ReceivedMessage } from "../../src/core/message-event.ts";
import { threadKey } from "../../src/core/shards.ts";
import { type ConversationRow, deliveryKey, isOpen } from "./memory-tables.ts";
import { areBeside } from "./run-plans.ts";
import { RunWitness } from "./run-witness.ts";
import { keyOf, type MessagePlan } from "./scenario.ts";
import type { Host } from "./scheduler.ts";
import type { DatabaseView, WorldDatabase } from "./world-database.ts";

/** A process of the world, as far as it is watched. */
export interface Watched {
  host: Host;
  /** Its right to write, once it has one. */
  epoch: number | undefined;
}

interface Attempt {
  process: Watched;
  conversationId: number;
  thread: string;
  /** A control command, or a run in a lane of its own: handled beside its thread's other messages. */
  isBeside: boolean;
}

interface Arrival {
  eventId: number;
  lane: string;
}

export interface WitnessOptions {
  db: Pick<WorldDatabase, "look">;
  plans: ReadonlyMap<string, MessagePlan>;
  steps(): number;
  /** Whether what is stored may be unknown to the memory of the process that has stored it. */
  mayFallBehind: boolean;
}

/** How many steps a process has to know what it has stored, and to act by it. */
const NOTICE_STEPS = 80;

const NOTHING = () => undefined;

export class Witness {
  readonly violations: string[] = [];
  readonly runs: RunWitness;
  readonly arrivals = new Map<string, Arrival>();
  readonly accepted = new Map<string, number>();
  /** What a process has sent that had lost its lease: nobody can keep it from being there twice. */
  readonly staleSends = new Set<string>();
  readonly #options: WitnessOptions;
  readonly #attempts = new Set<Attempt>();
  readonly #sends = new Set<{ process: Watched; delivery: Delivery; lane: string }>();
  /** By a message's key: when it was first handed over, and first acknowledged. */
  readonly #calledAt = new Map<string, number>();
  readonly #acceptedAt = new Map<string, number>();
  /** Events that were being stored when their attempt was cut off: they come when they come. */
  readonly loose = new Set<string>();
  /** Messages that a worker has had. */
  readonly begun = new Set<number>();
  /** By a message's id: the newest right to write when it was stored that someone wants it ended. */
  readonly stopped = new Map<number, number>();
  /** Messages that someone wanted ended, in whatever way. */
  readonly mayBeStopped = new Set<number>();
  /** Called when an attempt has failed: at a message (its id), or at a delivery (its id). */
  onFailure: (of: number | string) => void = NOTHING;
  /** How often someone has had a letter retried, and how often he was told that it is. */
  readonly retries = new Map<number | string, { asked: number; told: number }>();
  /** The letters that have been tried again since they were retried. */
  readonly triedAgain = new Set<number | string>();
  /** The number of the last attempt that has failed, by message or delivery. */
  readonly #failedAttempts = new Map<number | string, number>();
  /** By an event's text: when it was known to be stored, and to whom. */
  readonly #emittedAt = new Map<string, { step: number; epoch: number | undefined }>();
  readonly #newKeys = new Set<string>();
  readonly #staleLanes = new Set<string>();

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.runs = new RunWitness({
      look: (see) => this.#look(see),
      violated: (text) => this.violated(text),
      isStale: (process, view) => this.#isStale(process, view),
    });
  }

  violated(text: string): void {
    this.violations.push(`${text} (step ${this.#options.steps()})`);
  }

  acceptCalled(key: string): void {
    if (!this.#calledAt.has(key)) this.#calledAt.set(key, this.#options.steps());
  }

  acceptResolved(key: string, { conversationId, isDuplicate }: Accepted): void {
    const known = this.accepted.get(key);
    if (known !== undefined && known !== conversationId)
      this.violated(`${key} was accepted twice, as messages ${known} and ${conversationId}`);
    if (!isDuplicate && this.#newKeys.has(key)) this.violated(`${key} was accepted as new a second time`);
    if (!isDuplicate) this.#newKeys.add(key);
    this.accepted.set(key, conversationId);
    if (!this.#acceptedAt.has(key)) this.#acceptedAt.set(key, this.#options.steps());
    void this.#look(({ tables }) => {
      if (!tables.conversations.has(conversationId))
        this.violated(`${key} was acknowledged before its commit`);
    });
  }

  /** Someone wants it ended, and was told that it is open and will be. */
  stopStored(conversationId: number): void {
    this.runs.onTrouble(conversationId);
    void this.#look(({ lastEpoch, tables }) => {
      // Whoever has it tried again meanwhile wants it ended no more.
      if (this.retries.has(conversationId) && !tables.inbox.get(conversationId)?.stoppedBy) return;
      if (!this.stopped.has(conversationId)) this.stopped.set(conversationId, lastEpoch);
    });
  }

  /** An attempt at a message (its id) or at a delivery (its id) has failed, and not because it was cut off. */
  attemptFailed(of: number | string, attempt: number): void {
    this.#failedAttempts.set(of, attempt);
    this.onFailure(of);
  }

  /** Someone is about to have a dead letter tried again. */
  mayBeRetried(of: number | string): void {
    const { asked = 0, told = 0 } = this.retries.get(of) ?? {};
    this.retries.set(of, { asked: asked + 1, told });
    if (typeof of === "number") this.stopped.delete(of);
  }

  /** Someone was told that it is tried again. */
  retried(of: number | string): void {
    const { asked = 1, told = 0 } = this.retries.get(of) ?? {};
    this.retries.set(of, { asked, told: told + 1 });
  }

  /** The result tells that its worker works on no more, or may. */
  async attemptBegins(
    process: Watched,
    message: ReceivedMessage,
    { attempt }: { attempt: number },
  ): Promise<() => void> {
    const { conversationId } = message;
    this.begun.add(conversationId);
    this.#begins(conversationId);
    let ends: () => void = NOTHING;
    await this.#look((view) => {
      const row = view.tables.conversations.get(conversationId);
      if (this.#isStale(process, view) || !row) return;
      const isBeside = isBesideThread(this.#planOf(row));
      const entry = { process, conversationId, thread: threadKey(row), isBeside };
      this.#checkAttempt(entry, { view, row, attempt });
      this.#attempts.add(entry);
      ends = () => void this.#attempts.delete(entry);
    });
    return ends;
  }

  async emitted(
    process: Watched,
    event: { conversationId: number; sequence: number; content: string },
  ): Promise<void> {
    await this.#look((view) => {
      if (this.#isStale(process, view)) return;
      const isThere = [...view.tables.events.values()].some(
        ({ conversationId, sequence, content }) =>
          conversationId === event.conversationId && sequence === event.sequence && content === event.content,
      );
      if (!isThere) this.violated(`"${event.content}" was emitted and is not stored`);
      const { epoch } = process;
      if (!this.#emittedAt.has(event.content))
        this.#emittedAt.set(event.content, { step: this.#options.steps(), epoch });
    });
  }

  /** A further attempt at a delivery has begun: the gateway is asked whether it is there, or told to send. */
  async retryBegins(process: Watched, delivery: Delivery): Promise<void> {
    this.#begins(delivery.id);
    if (this.#options.mayFallBehind || delivery.eventKind !== "progress") return;
    await this.#look((view) => {
      const lane = laneOf(delivery, view);
      const hasFailed = view.tables.deliveries.get(deliveryKey(delivery))?.lastError;
      if (hasFailed && !this.#isStale(process, view)) this.#checkGivesWay({ process, delivery, lane }, view);
    });
  }

  async sendBegins(process: Watched, delivery: Delivery): Promise<() => void> {
    let ends: () => void = NOTHING;
    this.#begins(delivery.id);
    await this.#look((view) => {
      if (this.#isStale(process, view)) return;
      const lane = laneOf(delivery, view);
      this.#checkSend({ process, delivery, lane }, view);
      const entry = { process, delivery, lane };
      this.#sends.add(entry);
      ends = () => void this.#sends.delete(entry);
    });
    return ends;
  }

  /** The platform has it. */
  arrived(process: Watched, delivery: Delivery, { mayRepeat }: { mayRepeat: boolean }): void {
    const isKnown = this.arrivals.has(delivery.id);
    const arrival = { eventId: delivery.eventId, lane: "" };
    this.arrivals.set(delivery.id, arrival);
    void this.#look((view) => {
      const lane = laneOf(delivery, view);
      arrival.lane = lane;
      if (this.#isStale(process, view)) {
        this.staleSends.add(delivery.id);
        this.#staleLanes.add(lane);
      }
      const isRepeated = isKnown && !mayRepeat && !this.retries.has(delivery.id);
      if (isRepeated && !this.staleSends.has(delivery.id))
        this.violated(`event ${delivery.eventId} arrived twice where the platform could be asked`);
      for (const [id, other] of this.arrivals) {
        if (other.lane !== lane) continue;
        if (other.eventId === delivery.eventId && id !== delivery.id)
          this.violated(`event ${delivery.eventId} arrived under two delivery ids`);
        const isEarlier = other.eventId > delivery.eventId && this.#areInOrder(view, [other, delivery]);
        const isInOrder = !(this.#staleLanes.has(lane) || this.retries.has(delivery.id));
        if (!isKnown && isEarlier && isInOrder)
          this.violated(`event ${delivery.eventId} arrived after event ${other.eventId} of its lane`);
      }
    });
  }

  #look(see: (view: DatabaseView) => void): Promise<void> | undefined {
    return this.#options.db.look(see);
  }

  #isStale({ host, epoch }: Watched, view: DatabaseView): boolean {
    return host.state === "dead" || epoch === undefined || !view.isValid(epoch);
  }

  #checkAttempt(
    { process, conversationId, thread, isBeside }: Attempt,
    { view, row, attempt }: { view: DatabaseView; row: ConversationRow; attempt: number },
  ): void {
    const name = `${process.host.name} begins message ${conversationId}`;
    const inbox = view.tables.inbox.get(conversationId);
    const isCounted = inbox?.status === "claimed" && inbox.attempts === attempt;
    const isUncertain = view.tables.overwritten.has(conversationId);
    const { isControl = false, run = null } = this.#planOf(row) ?? {};
    // A run's attempts are counted anew with each step that is done, and each time that it has waited.
    if (!(isUncertain || run)) this.#checkIsLater(conversationId, { name, attempt });
    if (!(isCounted || isUncertain))
      this.violated(
        `${name}, attempt ${attempt}, which is ${inbox?.status ?? "done"} with ${inbox?.attempts}`,
      );
    if ((process.epoch ?? 0) > (this.stopped.get(conversationId) ?? Number.POSITIVE_INFINITY) && !isControl)
      this.violated(`${name}, which was to be ended before that process was there`);
    this.#checkHeld(process, { view, gateway: row.gateway, shard: row.shard, name });
    for (const other of this.#attempts) {
      if (this.#isStale(other.process, view)) continue;
      if (other.conversationId === conversationId) this.violated(`${name}, which is being handled`);
      else if (other.thread === thread && !other.isBeside && !isBeside)
        this.violated(`${name} while message ${other.conversationId} of its thread is handled`);
    }
    if (!isBeside) this.#checkMessageOrder(row, { view, name });
  }

  #checkSend(
    { process, delivery, lane }: { process: Watched; delivery: Delivery; lane: string },
    view: DatabaseView,
  ): void {
    const { tables } = view;
    const name = `${process.host.name} sends event ${delivery.eventId} (attempt ${delivery.attempt})`;
    const row = tables.deliveries.get(deliveryKey(delivery));
    const isCounted = row?.status === "claimed" && row.attempts === delivery.attempt;
    const isUncertain = tables.overwritten.has(deliveryKey(delivery));
    if (!isUncertain) this.#checkIsLater(delivery.id, { name, attempt: delivery.attempt });
    if (row?.deliveryId !== delivery.id || !(isCounted || isUncertain))
      this.violated(`${name}, which is ${row?.status ?? "not stored"} with ${row?.attempts} attempts`);
    const { shard = 0 } = tables.conversationOf(delivery) ?? {};
    this.#checkHeld(process, { view, gateway: delivery.gateway, shard, name });
    for (const other of this.#sends)
      if (!this.#isStale(other.process, view) && other.lane === lane)
        this.violated(`${name} while event ${other.delivery.eventId} of its lane is sent`);
    for (const earlier of tables.deliveries.values()) {
      if (earlier.eventId >= delivery.eventId || !isOpen(earlier.status)) continue;
      if (this.retries.has(earlier.deliveryId)) continue;
      if (laneOf(earlier, view) === lane && this.#areInOrder(view, [earlier, delivery]))
        this.violated(`${name} while event ${earlier.eventId} of its lane is ${earlier.status}`);
    }
  }

  #begins(of: number | string): void {
    if (this.retries.has(of)) this.triedAgain.add(of);
  }

  /** What a person has tried again is counted anew. */
  #checkIsLater(of: number | string, { name, attempt }: { name: string; attempt: number }): void {
    if (this.retries.has(of)) return;
    const failed = this.#failedAttempts.get(of) ?? 0;
    if (attempt <= failed) this.violated(`${name}, attempt ${attempt}, after attempt ${failed} had failed`);
  }

  /** Progress that failed is not tried again once its process has stored, and may well know, what is newer. */
  #checkGivesWay(
    { process, delivery, lane }: { process: Watched; delivery: Delivery; lane: string },
    view: DatabaseView,
  ): void {
    for (const later of view.tables.deliveries.values()) {
      if (later.eventId <= delivery.eventId || !isOpen(later.status) || laneOf(later, view) !== lane)
        continue;
      const { step, epoch } = this.#emittedAt.get(view.tables.events.get(later.eventId)?.content ?? "") ?? {};
      if (step === undefined || epoch !== process.epoch || this.#options.steps() - step < NOTICE_STEPS)
        continue;
      this.violated(
        `event ${delivery.eventId} is progress that failed, and does not give way to event ${later.eventId}`,
      );
    }
  }

  #checkHeld(
    { epoch = 0 }: Watched,
    {
      view,
      gateway,
      shard,
      name,
    }: { view: DatabaseView; gateway: string | null; shard: number; name: string },
  ): void {
    if (!view.isHeldBy(epoch, { gateway, shard }))
      this.violated(`${name}, whose shard ${gateway}:${shard} is not its own`);
  }

  /** What came before it in its thread has ended, or has failed and waits for its retry. */
  #checkMessageOrder(row: ConversationRow, { view, name }: { view: DatabaseView; name: string }): void {
    const { tables } = view;
    const calledAt = this.#calledAt.get(keyOf(row.content)) ?? 0;
    // What comes back from waiting takes its place behind what has come meanwhile.
    if (tables.runs.get(row.conversationId)?.decisions.length) return;
    for (const earlier of tables.conversations.values()) {
      if (earlier.conversationId >= row.conversationId || threadKey(earlier) !== threadKey(row)) continue;
      const inbox = tables.inbox.get(earlier.conversationId);
      if (!inbox || !isOpen(inbox.status) || isBesideThread(this.#planOf(earlier))) continue;
      if (tables.runs.get(earlier.conversationId)?.decisions.length) continue;
      // Nor does a run that was tried again have its former place.
      if (this.retries.has(earlier.conversationId)) continue;
      const acceptedAt = this.#acceptedAt.get(this.#planOf(earlier)?.key ?? "") ?? Number.POSITIVE_INFINITY;
      // Nobody knows the order of two that were on their way at the same time.
      if (acceptedAt >= calledAt || inbox.nextAttemptAt !== null || inbox.lastError !== null) continue;
      // What it has become was overwritten late; the process knows better.
      if (tables.overwritten.has(earlier.conversationId)) continue;
      this.violated(
        `${name} before message ${earlier.conversationId} of its thread, which is ${inbox.status}`,
      );
    }
  }

  /**
   * Events of what is beside its thread come between the others, and so do those of a run's operations that are beside
   * each other; places in a lane are in the order of the calls.
   */
  #areInOrder({ tables }: DatabaseView, [one, other]: [{ eventId: number }, { eventId: number }]): boolean {
    const contents = [one, other].map(({ eventId }) => tables.events.get(eventId)?.content ?? "");
    const rows = [one, other].map((event) => tables.conversationOf(event));
    const plans = rows.map((row) => row && this.#planOf(row));
    const [first, second] = contents.map(operationOf);
    const run = rows[0]?.conversationId === rows[1]?.conversationId ? plans[0]?.run : undefined;
    if (run && first !== undefined && second !== undefined && areBeside(run, [first, second])) return false;
    return (
      !contents.some((content) => this.loose.has(content)) &&
      !plans.some(isBesideThread) &&
      rows.every(Boolean)
    );
  }

  #planOf(row: ConversationRow): MessagePlan | undefined {
    return this.#options.plans.get(keyOf(row.content));
  }
}

/** Which operation of its run says that. */
function operationOf(content: string): number | undefined {
  const place = content.match(/^\S+ (?:op|asks op)(\d+)\b/)?.[1];
  return place === undefined ? undefined : Number(place);
}

function isBesideThread(plan: MessagePlan | undefined): boolean {
  return plan !== undefined && (plan.isControl || (plan.run !== null && plan.run.worker !== "ask"));
}

/** As core has it: of a copy for another gateway too, the thread of the message. */
function laneOf(
  { eventId, gateway, target }: Pick<Delivery, "eventId" | "gateway" | "target">,
  { tables }: DatabaseView,
): string {
  const { threadTs = "" } = tables.conversationOf({ eventId }) ?? {};
  return threadKey({ gateway, channelId: target, threadTs });
}
