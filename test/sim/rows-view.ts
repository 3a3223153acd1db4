/** A real database as the witness sees it: its rows at one moment, in the tables of the store model. */
import type { EventKind } from "../../src/core/process-event.ts";
import type { DecisionRecord, EffectChange, RunStatus } from "../../src/core/run-store.ts";
import type { ShardKey } from "../../src/core/shards.ts";
import type { MessageStatus, Status } from "../../src/core/store.ts";
import type { MemoryRun } from "./memory-runs.ts";
import { deliveryKey, MemoryTables } from "./memory-tables.ts";
import type { DatabaseView } from "./world-database.ts";

/** What is read of each table, by its columns; the same of both databases. */
export const READINGS = {
  conversations:
    "select c.*, g.name as gateway from conversations c left join gateways g on g.id = c.gateway_id",
  inbox: "select * from inbox",
  events: "select * from process_events",
  deliveries:
    "select d.*, g.name as gateway from process_event_deliveries d join gateways g on g.id = d.gateway_id",
  runs: "select * from runs",
  steps: "select * from steps order by ordinal",
  effects: "select * from effects",
  decisions: "select * from decisions order by asked_at",
  notes: "select * from run_notes order by conversation_id",
  ends: "select conversation_id, count(*) as ends from sim_ends group by conversation_id",
} as const;

/** Counts each end of a message, whoever writes it. */
export const ENDS_TABLE = "create table sim_ends (conversation_id bigint not null)";

export interface Rows extends Record<keyof typeof READINGS, Record<string, unknown>[]> {
  members: number[];
  lastEpoch: number;
  leases: { gateway: string; shard: number; process_id: number }[];
}

export interface ViewOptions {
  /** Who wrote it last, where that is known. */
  writers: ReadonlyMap<number | string, string>;
  isShared: boolean;
}

export function viewOf(rows: Rows, { writers, isShared }: ViewOptions): DatabaseView {
  const members = new Set(rows.members);
  const holders = new Map(
    rows.leases.map(({ gateway, shard, process_id }) => [`${gateway}:${shard}`, process_id]),
  );
  return {
    tables: toTables(rows, writers),
    memberCount: members.size,
    lastEpoch: rows.lastEpoch,
    isValid: (epoch) => members.has(epoch),
    isHeldBy: (epoch, { gateway, shard }: ShardKey) =>
      members.has(epoch) && (!isShared || holders.get(`${gateway ?? ""}:${shard}`) === epoch),
  };
}

function toTables(rows: Rows, writers: ReadonlyMap<number | string, string>): MemoryTables {
  const tables = new MemoryTables();
  const by = (key: number | string) => writers.get(key) ?? "";
  for (const row of rows.conversations) {
    const conversationId = Number(row.id);
    tables.conversations.set(conversationId, {
      conversationId,
      id: String(row.message_id),
      gateway: textOf(row.gateway),
      channelId: String(row.gateway_channel_id),
      threadTs: String(row.thread_ts),
      userId: String(row.user_id),
      role: "user",
      content: String(row.content),
      isAddressed: row.is_addressed === 1,
      idempotencyKey: textOf(row.idempotency_key),
      createdAt: Number(row.created_at),
      shard: Number(row.shard),
    });
  }
  for (const row of rows.inbox) {
    const id = Number(row.conversation_id);
    tables.inbox.set(id, {
      status: row.status as MessageStatus,
      attempts: Number(row.attempts),
      interruptions: Number(row.interruptions),
      nextAttemptAt: numberOf(row.next_attempt_at),
      lastError: textOf(row.last_error),
      stoppedBy: textOf(row.stopped_by),
      round: Number(row.round),
      isUnowned: row.is_unowned === 1,
      by: by(id),
    });
  }
  for (const row of rows.events) {
    const eventId = Number(row.id);
    tables.events.set(eventId, {
      eventId,
      conversationId: Number(row.conversation_id),
      sequence: Number(row.sequence),
      kind: row.kind as EventKind,
      content: String(row.content),
      worker: textOf(row.worker),
      createdAt: Number(row.created_at),
      deliveredAt: null,
    });
  }
  for (const row of rows.deliveries) {
    const key = { eventId: Number(row.event_id), gateway: String(row.gateway), target: String(row.target) };
    tables.deliveries.set(deliveryKey(key), {
      ...key,
      deliveryId: String(row.delivery_id),
      status: row.status as Status,
      attempts: Number(row.attempts),
      interruptions: Number(row.interruptions),
      nextRetryAt: numberOf(row.next_retry_at),
      lastError: textOf(row.last_error),
      deliveredAt: numberOf(row.delivered_at),
      round: Number(row.round),
      by: by(deliveryKey(key)),
    });
  }
  for (const row of rows.runs) tables.runs.set(Number(row.conversation_id), toRun(row, rows));
  for (const { conversation_id, ends } of rows.ends) tables.ends.set(Number(conversation_id), Number(ends));
  return tables;
}

function toRun(row: Record<string, unknown>, rows: Rows): MemoryRun {
  const conversationId = Number(row.conversation_id);
  const ofRun = ({ run_id }: Record<string, unknown>) => Number(run_id) === conversationId;
  return {
    conversationId,
    worker: String(row.worker),
    version: Number(row.version),
    isDetached: row.is_detached === 1,
    lane: textOf(row.lane),
    title: String(row.title),
    status: row.status as RunStatus,
    reason: textOf(row.reason),
    round: Number(row.round),
    createdAt: Number(row.created_at),
    updatedAt: Number(row.updated_at),
    endedAt: numberOf(row.ended_at),
    steps: rows.steps.filter(ofRun).map((step) => ({
      name: String(step.name),
      ordinal: Number(step.ordinal),
      attempts: Number(step.attempts),
      result: textOf(step.result),
      begunAt: Number(step.begun_at),
      endedAt: numberOf(step.ended_at),
    })),
    effects: rows.effects.filter(ofRun).map(({ step, key, outcome, at }) => ({
      ...{ step: String(step), key: String(key), at: Number(at) },
      outcome: outcome as EffectChange["outcome"],
    })),
    decisions: rows.decisions.filter(ofRun).map(toDecision),
    notes: rows.notes.filter(ofRun).map((note) => ({
      conversationId: Number(note.conversation_id),
      userId: String(note.user_id),
      content: String(note.content),
      createdAt: Number(note.created_at),
      takenAt: numberOf(note.taken_at),
    })),
  };
}

function toDecision(row: Record<string, unknown>): DecisionRecord {
  return {
    name: String(row.name),
    kind: row.kind as DecisionRecord["kind"],
    text: String(row.text),
    choices: JSON.parse(String(row.choices)) as string[],
    key: textOf(row.key),
    askedAt: Number(row.asked_at),
    dueAt: numberOf(row.due_at),
    answer: textOf(row.answer),
    answeredBy: textOf(row.answered_by),
    answeredAt: numberOf(row.answered_at),
  };
}

function textOf(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}

function numberOf(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}
