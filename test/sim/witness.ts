/**
 * Watches what happens and says what must not: each look compares what a process does with what the database
 * holds at that moment. What a process does that has lost its lease and does not know it yet is not its fault;
 * only that it writes nothing is, and that is looked at where its writes would show.
 */
import type { Accepted } from "../../src/core/gateway.ts";
import type { Delivery, ReceivedMessage } from "../../src/core/message-event.ts";
import { threadKey } from "../../src/core/shards.ts";
import type { MemoryDatabase } from "./memory-database.ts";
import { type ConversationRow, deliveryKey, isOpen } from "./memory-tables.ts";
import type { MessagePlan } from "./scenario.ts";
import type { Host } from "./scheduler.ts";

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
  isControl: boolean;
}

interface Arrival {
  eventId: number;
  lane: string;
}

export interface WitnessOptions {
  db: MemoryDatabase;
  plans: ReadonlyMap<string, MessagePlan>;
  steps(): number;
}

export class Witness {
  readonly violations: string[] = [];
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
  readonly #newKeys = new Set<string>();
  readonly #staleLanes = new Set<string>();

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  violated(text: string): void {
    this.violations.push(`${text} (step ${this.#options.steps()})`);
  }

  isStale({ host, epoch }: Watched): boolean {
    return host.state === "dead" || epoch === undefined || !this.#options.db.isValid(epoch);
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
    if (!this.#options.db.tables.conversations.has(conversationId))
      this.violated(`${key} was acknowledged before its commit`);
    this.accepted.set(key, conversationId);
    if (!this.#acceptedAt.has(key)) this.#acceptedAt.set(key, this.#options.steps());
  }

  /** The result tells that its worker works on no more, or may. */
  attemptBegins(process: Watched, message: ReceivedMessage, { attempt }: { attempt: number }): () => void {
    const { db } = this.#options;
    const { conversationId } = message;
    this.begun.add(conversationId);
    const row = db.tables.conversations.get(conversationId);
    if (this.isStale(process) || !row) return () => undefined;
    const thread = threadKey(row);
    const isControl = this.#planOf(row)?.isControl ?? false;
    const name = `${process.host.name} begins message ${conversationId}`;
    const inbox = db.tables.inbox.get(conversationId);
    if (inbox?.status !== "claimed" || inbox.attempts !== attempt)
      this.violated(
        `${name}, attempt ${attempt}, which is ${inbox?.status ?? "done"} with ${inbox?.attempts}`,
      );
    this.#checkHeld(process, { gateway: row.gateway, shard: row.shard, name });
    for (const other of this.#attempts) {
      if (this.isStale(other.process)) continue;
      if (other.conversationId === conversationId) this.violated(`${name}, which is being handled`);
      else if (other.thread === thread && !other.isControl && !isControl)
        this.violated(`${name} while message ${other.conversationId} of its thread is handled`);
    }
    if (!isControl) this.#checkMessageOrder(row, name);
    const entry = { process, conversationId, thread, isControl };
    this.#attempts.add(entry);
    return () => void this.#attempts.delete(entry);
  }

  emitted(process: Watched, event: { conversationId: number; sequence: number; content: string }): void {
    if (this.isStale(process)) return;
    const rows = [...this.#options.db.tables.events.values()];
    const isThere = rows.some(
      ({ conversationId, sequence, content }) =>
        conversationId === event.conversationId && sequence === event.sequence && content === event.content,
    );
    if (!isThere) this.violated(`"${event.content}" was emitted and is not stored`);
  }

  sendBegins(process: Watched, delivery: Delivery): () => void {
    const { tables } = this.#options.db;
    if (this.isStale(process)) return () => undefined;
    const name = `${process.host.name} sends event ${delivery.eventId} (attempt ${delivery.attempt})`;
    const row = tables.deliveries.get(deliveryKey(delivery));
    const lane = this.#laneOf(delivery);
    if (row?.status !== "claimed" || row.attempts !== delivery.attempt || row.deliveryId !== delivery.id)
      this.violated(`${name}, which is ${row?.status ?? "not stored"} with ${row?.attempts} attempts`);
    const { shard = 0 } = tables.conversationOf(delivery) ?? {};
    this.#checkHeld(process, { gateway: delivery.gateway, shard, name });
    for (const other of this.#sends)
      if (!this.isStale(other.process) && other.lane === lane)
        this.violated(`${name} while event ${other.delivery.eventId} of its lane is sent`);
    for (const earlier of tables.deliveries.values()) {
      if (earlier.eventId >= delivery.eventId || !isOpen(earlier.status)) continue;
      if (this.#laneOf(earlier) === lane && this.#areInOrder(earlier, delivery))
        this.violated(`${name} while event ${earlier.eventId} of its lane is ${earlier.status}`);
    }
    const entry = { process, delivery, lane };
    this.#sends.add(entry);
    return () => void this.#sends.delete(entry);
  }

  /** The platform has it. */
  arrived(process: Watched, delivery: Delivery, { mayRepeat }: { mayRepeat: boolean }): void {
    const lane = this.#laneOf(delivery);
    if (this.isStale(process)) {
      this.staleSends.add(delivery.id);
      this.#staleLanes.add(lane);
    }
    const isKnown = this.arrivals.has(delivery.id);
    if (isKnown && !mayRepeat && !this.staleSends.has(delivery.id))
      this.violated(`event ${delivery.eventId} arrived twice where the platform could be asked`);
    for (const [id, other] of this.arrivals) {
      if (other.lane !== lane) continue;
      if (other.eventId === delivery.eventId && id !== delivery.id)
        this.violated(`event ${delivery.eventId} arrived under two delivery ids`);
      const isEarlier = other.eventId > delivery.eventId && this.#areInOrder(other, delivery);
      if (!isKnown && isEarlier && !this.#staleLanes.has(lane))
        this.violated(`event ${delivery.eventId} arrived after event ${other.eventId} of its lane`);
    }
    this.arrivals.set(delivery.id, { eventId: delivery.eventId, lane });
  }

  #checkHeld(
    { epoch = 0 }: Watched,
    { gateway, shard, name }: { gateway: string | null; shard: number; name: string },
  ): void {
    if (!this.#options.db.isHeldBy(epoch, { gateway, shard }))
      this.violated(`${name}, whose shard ${gateway}:${shard} is not its own`);
  }

  /** What came before it in its thread has ended, or has failed and waits for its retry. */
  #checkMessageOrder(row: ConversationRow, name: string): void {
    const { tables } = this.#options.db;
    const calledAt = this.#calledAt.get(row.content.split(" ")[1] ?? "") ?? 0;
    for (const earlier of tables.conversations.values()) {
      if (earlier.conversationId >= row.conversationId || threadKey(earlier) !== threadKey(row)) continue;
      const inbox = tables.inbox.get(earlier.conversationId);
      if (!inbox || !isOpen(inbox.status) || this.#planOf(earlier)?.isControl) continue;
      const acceptedAt = this.#acceptedAt.get(this.#planOf(earlier)?.key ?? "") ?? Number.POSITIVE_INFINITY;
      // Known and not promised: where memory is full, what others have stored waits for its room.
      if (inbox.isUnowned) continue;
      // Nobody knows the order of two that were on their way at the same time.
      if (acceptedAt >= calledAt || inbox.nextAttemptAt !== null || inbox.lastError !== null) continue;
      this.violated(
        `${name} before message ${earlier.conversationId} of its thread, which is ${inbox.status}`,
      );
    }
  }

  /** A control message's events come between the others; places in a lane are in the order of the calls. */
  #areInOrder(...events: { eventId: number }[]): boolean {
    const { tables } = this.#options.db;
    return events.every((event) => {
      const row = tables.conversationOf(event);
      const isLoose = this.loose.has(tables.events.get(event.eventId)?.content ?? "");
      return row && !isLoose && !this.#planOf(row)?.isControl;
    });
  }

  /** As core has it: of a copy for another gateway too, the thread of the message. */
  #laneOf({ eventId, gateway, target }: Pick<Delivery, "eventId" | "gateway" | "target">): string {
    const { threadTs = "" } = this.#options.db.tables.conversationOf({ eventId }) ?? {};
    return threadKey({ gateway, channelId: target, threadTs });
  }

  #planOf(row: ConversationRow): MessagePlan | undefined {
    return this.#options.plans.get(row.content.split(" ")[1] ?? "");
  }
}
