/**
 * Everything that is asked of a database beside the way of a message. It is loaded when the first of it is asked, and
 * Kysely with it, whose 250 files would take a quarter of the time in which a process starts.
 */
import type { RunThread } from "../core/run-store.ts";
import { beginningOf } from "./feed-cursor.ts";
import type { OpenedStore } from "./opened-store.ts";
import type { createRecords, WrittenShard } from "./records.ts";
import type { Sql } from "./sql.ts";

type Records = ReturnType<typeof createRecords>;

export type ColdQueries = Pick<
  OpenedStore,
  | "admission"
  | "allowList"
  | "feed"
  | "operator"
  | "pullRequests"
  | "retention"
  | "runs"
  | "subscribers"
  | "tasks"
  | "sql"
> &
  Records;

export interface ColdQueryOptions {
  dialect: Sql["dialect"];
  load(): Promise<Sql>;
  /** Asked at each start, and so without Kysely. */
  countOpen(atMost: number): Promise<number>;
  /** As that. */
  openThreads(after: number, limit: number): Promise<RunThread[]>;
  wake(shard?: WrittenShard): Promise<void>;
}

export function createColdQueries({
  dialect,
  load,
  countOpen,
  openThreads,
  wake,
}: ColdQueryOptions): ColdQueries {
  const clock = { now: Date.now };
  let loaded: Promise<Sql> | undefined;
  const sql = () => {
    loaded ??= load();
    return loaded;
  };
  const records = later(async () => (await import("./records.ts")).createRecords(await sql(), wake));
  const admission = later(async () => (await import("./admission.ts")).createAdmissionStore(await sql()));
  const runs = later(async () => (await import("./runs.ts")).createRunRecords(await sql(), wake));
  const feed = later(async () => (await import("./event-feed.ts")).createEventFeed(await sql()));
  return {
    sql,
    tasks: later(async () => (await import("./tasks.ts")).createTaskStore(await sql(), clock)),
    pullRequests: later(async () =>
      (await import("./pull-requests.ts")).createPullRequestStore(await sql(), clock),
    ),
    retention: later(async () => (await import("./retention.ts")).createRetentionStore(await sql())),
    allowList: later(async () => (await import("./admission.ts")).createAllowList(await sql(), clock)),
    subscribers: later(async () =>
      (await import("./subscribers.ts")).createSubscriberStore(await sql(), clock),
    ),
    operator: later(async () => (await import("./operator-records.ts")).createOperatorRecords(await sql())),
    runs: {
      openThreads: ({ after, limit }) => openThreads(after, limit),
      run: (conversationId) => runs.run(conversationId),
      runs: (filter) => runs.runs(filter),
      answer: (conversationId, answer) => runs.answer(conversationId, answer),
      signal: (key, event) => runs.signal(key, event),
      reopen: (conversationId) => runs.reopen(conversationId),
    },
    admission: {
      countOpen,
      isAllowed: (channel) => admission.isAllowed(channel),
      countRequest: (subjects, window) => admission.countRequest(subjects, window),
    },
    feed: {
      beginning: beginningOf(dialect),
      now: () => feed.now(),
      eventsAfter: (cursor, options) => feed.eventsAfter(cursor, options),
    },
    conversation: (conversationId) => records.conversation(conversationId),
    events: (conversationId) => records.events(conversationId),
    requestStop: (conversationId, by) => records.requestStop(conversationId, by),
    deadLetters: (options) => records.deadLetters(options),
    retryDeadLetter: (letter) => records.retryDeadLetter(letter),
    discardDeadLetter: (letter) => records.discardDeadLetter(letter),
  };
}

/** What has methods alone, all of which return promises. */
type Asked<T> = { [Name in keyof T]: (...args: never[]) => Promise<unknown> };

/** Stands for an object that is made when the first of its methods is called. */
function later<T extends Asked<T>>(make: () => Promise<T>): T {
  let made: Promise<T> | undefined;
  const callOf =
    (name: keyof T) =>
    async (...args: never[]) => {
      made ??= make();
      return (await made)[name](...args);
    };
  // Whoever awaits the object itself must not take it for a promise, and whoever prints it finds nothing to call.
  const isNoMethod = (name: string | symbol) =>
    typeof name === "symbol" || name === "then" || name === "toJSON" || name in Object.prototype;
  return new Proxy({} as T, {
    get: (target, name) => (isNoMethod(name) ? Reflect.get(target, name) : callOf(name as keyof T)),
  });
}
