/**
 * Ways to break the core and the stores, one line each, that the simulation must notice: a check of its checks. Each
 * names the text that it takes out of a file; where that is not there any more, the mutant is to be written anew.
 */
import type { StoreKind } from "./world-database.ts";

export interface Mutant {
  /** What is wrong with it. */
  name: string;
  /** Below `src/`. */
  file: string;
  from: string;
  to: string;
  store: StoreKind;
  /** How many seeds may be needed. */
  maxSeeds: number;
}

export const MUTANTS: Mutant[] = [
  {
    name: "failed progress does not give way",
    file: "core/delivery.ts",
    from: 'return kind === "progress" && lastError !== null &&',
    to: 'return kind === "nothing" && lastError !== null &&',
    store: "memory",
    maxSeeds: 400,
  },
  {
    name: "attempts at messages are not counted",
    file: "core/message-end.ts",
    from: 'status: "claimed", attempts: attempts + 1,',
    to: 'status: "claimed", attempts: Math.max(1, attempts),',
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "attempts at deliveries are not counted",
    file: "core/delivery.ts",
    from: "attempts: attempts + 1,",
    to: "attempts: Math.max(1, attempts),",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "a lane is overtaken by what comes later",
    file: "core/lanes.ts",
    from: "known.items.push(item);",
    to: "known.items.splice(1, 0, item);",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "a lane that is held is overtaken",
    file: "core/lanes.ts",
    from: "if (known) {",
    to: 'if (known && known.state !== "held") {',
    store: "memory",
    maxSeeds: 200,
  },
  {
    name: "an event that was stored before is delivered under a second id",
    file: "core/outbox-entry.ts",
    from: "if (!event?.isNew) return false;",
    to: "if (!event) return false;",
    store: "memory",
    maxSeeds: 200,
  },
  {
    name: "an event is stored twice when its worker runs again",
    file: "core/attempt.ts",
    from: "EVENTS_PER_ROUND + this.#emitCount;",
    to: "EVENTS_PER_ROUND + this.#emitCount + 1000 * this.#options.number;",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "the final event is lost",
    file: "core/dispatch.ts",
    from: "const { finalEvents: own } = attempt;",
    to: "const own: never[] = [];",
    store: "memory",
    maxSeeds: 20,
  },
  {
    name: "a message that is handed back is left claimed",
    file: "core/dispatch.ts",
    from: "return await this.#end.handedBack(entry);",
    to: 'return { kind: "ended" };',
    store: "memory",
    maxSeeds: 400,
  },
  {
    name: "a wish to end a message does not outlive its process",
    file: "core/inbox-entry.ts",
    from: "message.stoppedBy === null ? entry",
    to: "message !== undefined ? entry",
    store: "memory",
    maxSeeds: 400,
  },
  {
    name: "a shard is handed over while its messages are worked on",
    file: "core/inbox.ts",
    from: "yield* this.#accepting;",
    to: "return;",
    store: "memory",
    maxSeeds: 200,
  },
  {
    name: "the platform is not asked whether an interrupted delivery has arrived",
    file: "core/send-attempt.ts",
    from: "delivery.attempt > 1 && gateway.find",
    to: "delivery.attempt > 99 && gateway.find",
    store: "memory",
    maxSeeds: 200,
  },
  {
    name: "what has changed since it was taken is not handed out again",
    file: "store/postgres/unowned.ts",
    from: "this.#handedOut.get(id) !== version",
    to: "!this.#handedOut.has(id)",
    store: "memory",
    maxSeeds: 400,
  },
  {
    name: "a step's result is not stored before the next one begins",
    file: "core/steps.ts",
    from: "step: { ...begun, result, endedAt: clock.now() },",
    to: "step: begun,",
    store: "memory",
    maxSeeds: 20,
  },
  {
    name: "what a step has said is stored before its result",
    file: "core/steps.ts",
    from: "const result = toResult(name, { value, maxBytes: limits.maxStepResultBytes });",
    to: `const result = toResult(name, { value, maxBytes: limits.maxStepResultBytes });
      await store({ events: record.events.map((event, n) => ({ ...event, sequence: 2 ** 45 + ordinal * 2 ** 31 + n })), run: {} });`,
    store: "memory",
    maxSeeds: 400,
  },
  {
    name: "the notes that a step has read are not stored as read with it",
    file: "core/steps.ts",
    from: "notesTaken: record.notesTaken,",
    to: "notesTaken: [],",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "an effect is made without having been looked up",
    file: "core/steps.ts",
    from: "const found = await effect.find();",
    to: "const found = undefined;",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "an answer is given to all runs of its thread",
    file: "core/run-offers.ts",
    from: "if (outcome) this.#options.onAnswered();\n      if (outcome) return outcome;",
    to: "if (outcome) this.#options.onAnswered();",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "a run takes the answer of someone else",
    file: "core/run-offers.ts",
    from: "if (!isRequester(each, asker) && !isOperator(asker)) continue;",
    to: "if (isOperator(asker)) continue;",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "what sleeps is forgotten when its process has ended, or its shard is handed over",
    file: "core/sweep.ts",
    from: "void this.#wakeDue();\n    this.#cancelPoll",
    to: "this.#cancelPoll",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "a run that waits keeps its lane",
    file: "core/inbox.ts",
    from: "return this.#suspend(entry);",
    to: "this.#suspend(entry);\n      return Number.POSITIVE_INFINITY;",
    store: "memory",
    maxSeeds: 100,
  },
  {
    name: "a run that waits is not woken by its answer (SQLite)",
    file: "store/run-changes.ts",
    from: "where conversation_id = $1 and status = 'waiting'`",
    to: "where conversation_id = $1 and status = 'nothing'`",
    store: "sqlite",
    maxSeeds: 100,
  },
  {
    name: "a process writes with an epoch that is stale (SQLite)",
    file: "store/sqlite/ownership.ts",
    from: "!isReleased && currentEpoch.get()?.epoch === epoch",
    to: "!isReleased",
    store: "sqlite",
    maxSeeds: 300,
  },
  {
    name: "a process writes with an epoch that is stale (PostgreSQL)",
    file: "store/postgres/way-statement.ts",
    from: "lease as (select id from processes where id = $1 for key share)",
    to: "lease as (select $1::int as id)",
    store: "postgres",
    maxSeeds: 100,
  },
  {
    name: "a message's end that is written twice ends one that was retried (SQLite)",
    file: "store/sqlite/way.ts",
    from: "and round = ?7 and",
    to: "and ?7 = ?7 and",
    store: "sqlite",
    maxSeeds: 600,
  },
  {
    name: "a delivery's end that is written twice ends one that was retried (SQLite)",
    file: "store/sqlite/way.ts",
    from: "or round = ?10 and status",
    to: "or ?10 = ?10 and status",
    store: "sqlite",
    maxSeeds: 600,
  },
  {
    name: "a message that is retried while its end is on the way is not taken",
    file: "core/taking.ts",
    from: "return entry !== undefined && entry.message.round >= round;",
    to: "return entry !== undefined;",
    store: "memory",
    maxSeeds: 600,
  },
];
