/** The open work of the store model, as one owner sees it: of its shards, or of the gateways that it runs. */
import type {
  OwnOptions,
  Page,
  StopRequest,
  StoredDelivery,
  StoredMessage,
  UnregisteredWork,
} from "../../src/core/store.ts";
import { firstOf } from "../../src/store/sqlite/way.ts";
import type { MemoryDatabase } from "./memory-database.ts";
import { endRunsOfTheDead } from "./memory-runs.ts";
import { isOpen } from "./memory-tables.ts";

interface WorkOptions {
  db: MemoryDatabase;
  /** By the database's word, which memory may not know yet. */
  holds(gateway: string | null, shard: number): boolean;
  options: OwnOptions;
}

export function openWork({ db, holds, options }: WorkOptions) {
  const { tables } = db;
  const due = (now: number) =>
    [...tables.inbox].filter(([id, { status, nextAttemptAt }]) => {
      const { gateway = null, shard = 0 } = tables.conversations.get(id) ?? {};
      return status === "waiting" && nextAttemptAt !== null && nextAttemptAt <= now && holds(gateway, shard);
    });
  return {
    messages: (page: Page): StoredMessage[] =>
      firstOf(
        tables
          .openMessages((row) => row.conversationId > page.after && holds(row.gateway, row.shard))
          .slice(0, page.limit),
        { ...page, idOf: ({ conversationId }) => conversationId },
      ).map((message) =>
        tables.inbox.get(message.conversationId)?.isUnowned ? { ...message, isUnowned: true } : message,
      ),

    hasUnowned: (): boolean =>
      tables.openMessages((row, { isUnowned }) => isUnowned && holds(row.gateway, row.shard)).length > 0,

    /** The runs whose time has come. */
    due,

    wakeDue(now: number): number {
      const woken = due(now);
      for (const [, row] of woken)
        tables.update(row, { status: "pending", isUnowned: true, nextAttemptAt: null });
      return woken.length;
    },

    stopRequests: (limit: number): StopRequest[] =>
      tables
        .openMessages(
          (row, { isUnowned, stoppedBy }) => isUnowned && stoppedBy !== null && holds(row.gateway, row.shard),
        )
        .slice(0, limit)
        .map(({ conversationId, stoppedBy }) => ({ conversationId, by: stoppedBy ?? "" })),

    deliveries(page: Page): StoredDelivery[] {
      const { after, limit } = page;
      const open = tables
        .openDeliveries((row, { shard }) => row.eventId > after && holds(row.gateway, shard))
        .sort((a, b) => a.eventId - b.eventId);
      const ids = new Set([...new Set(open.map(({ eventId }) => eventId))].slice(0, limit));
      const ofThose = open.filter(({ eventId }) => ids.has(eventId));
      return firstOf(ofThose, { ...page, idOf: ({ eventId }) => eventId });
    },

    expireUnregistered(createdBefore: number): UnregisteredWork[] {
      const running = new Set(
        db.isShared ? [...db.processes.values()].flatMap(({ gateways }) => gateways) : options.gateways,
      );
      const isRun = (gateway: string | null) => gateway === null || running.has(gateway);
      const lastError = "No process ran its gateway in time";
      const waiting = new Map<string, UnregisteredWork>();
      const count = (gateway: string, part: "messages" | "deliveries") => {
        const counted = waiting.get(gateway) ?? { gateway, messages: 0, deliveries: 0 };
        counted[part] += 1;
        waiting.set(gateway, counted);
      };
      for (const [id, row] of tables.inbox) {
        const { gateway, createdAt } = tables.conversations.get(id) ?? { gateway: null, createdAt: 0 };
        if (gateway === null || isRun(gateway) || !isOpen(row.status)) continue;
        const { updatedAt = 0, decisions = [] } = tables.runs.get(id) ?? {};
        const lastAt = Math.max(createdAt, updatedAt, ...decisions.map(({ answeredAt }) => answeredAt ?? 0));
        if (lastAt >= createdBefore) count(gateway, "messages");
        else tables.update(row, { status: "dead", nextAttemptAt: null, isUnowned: false, lastError });
      }
      endRunsOfTheDead(tables, db.turns.now());
      for (const row of tables.deliveries.values()) {
        if (isRun(row.gateway) || !isOpen(row.status)) continue;
        const createdAt = tables.events.get(row.eventId)?.createdAt ?? 0;
        if (createdAt >= createdBefore) count(row.gateway, "deliveries");
        else tables.update(row, { status: "dead", nextRetryAt: null, lastError });
      }
      return [...waiting.values()];
    },
  };
}
