/** What anyone reads and says about runs on the store model: the contract's `RunRecords`. */
import { checkedSignal } from "../../src/core/run-answer.ts";
import type {
  DecisionRecord,
  RunDetails,
  RunRecord,
  RunRecords,
  RunThread,
} from "../../src/core/run-store.ts";
import type { ShardKey } from "../../src/core/shards.ts";
import { anyone, type Connection, type MemoryDatabase, read } from "./memory-database.ts";
import { answerRun, keepSignal, lockOfKey, type MemoryRun, rowOfRun } from "./memory-runs.ts";
import type { ConversationRow, MemoryTables } from "./memory-tables.ts";
import type { LockedRow } from "./memory-transactions.ts";
import type { Host } from "./scheduler.ts";

const MAX_LISTED = 100;

export interface RunRecordsOptions {
  db: MemoryDatabase;
  host: Host;
  connection: Connection;
}

export function createRunRecords({ db, host, connection }: RunRecordsOptions): RunRecords {
  const { tables } = db;
  /** As after a reading, `found` shows in the trace. */
  const wake = () => db.wake(allShards(db));
  const write = async <T>(label: string, run: () => T, locks: () => LockedRow[]): Promise<T> => {
    const written = await connection.submit(label, run, { ...anyone([]), locks, isLong: true });
    if (written !== false && written !== 0) wake();
    return written;
  };
  return {
    run: (id) => read(db, host, () => detailsOf(tables, id)),
    runs: (filter) =>
      read(db, host, () => {
        const { isOpen, thread, lane, limit = MAX_LISTED } = filter;
        const found = [...tables.runs.keys()].sort((a, b) => b - a).map((id) => detailsOf(tables, id));
        const matching = found
          .filter((run) => run !== undefined)
          .filter((run) => {
            if (isOpen !== undefined && (run.endedAt === null) !== isOpen) return false;
            return (lane === undefined || run.lane === lane) && (!thread || isOf(run, thread));
          });
        return matching.slice(0, limit);
      }),
    openThreads: ({ after, limit }) =>
      read(db, host, () => {
        const open = [...tables.runs.values()].filter(
          ({ conversationId, endedAt, isDetached, status }) =>
            conversationId > after && endedAt === null && (isDetached || status === "waiting"),
        );
        const ids = open.map(({ conversationId }) => conversationId).sort((a, b) => a - b);
        return ids.slice(0, limit).map((id) => threadOf(tables.conversations.get(id) as ConversationRow));
      }),
    answer(run, { name, value, by, at }) {
      const matches = (decision: DecisionRecord) =>
        decision.kind === "question" && (name === undefined || decision.name === name);
      const answers = () => answerRun(tables, { run, matches, json: JSON.stringify(value), by, at });
      return write(`answer ${run}`, answers, () => [run]);
    },
    async signal(name, event) {
      const { key, answer: json, at } = checkedSignal(name, event);
      const matches = (decision: DecisionRecord) => decision.key === key;
      const waiting = () =>
        [...tables.runs.values()].filter(({ decisions }) =>
          decisions.some((decision) => matches(decision) && decision.answeredAt === null),
        );
      const tells = () => {
        const told = [...tables.runs.keys()].filter((run) =>
          answerRun(tables, { run, matches, json, by: null, at }),
        );
        if (told.length === 0) keepSignal(tables, { key, json });
        return told.length;
      };
      const locks = () => [lockOfKey(key), ...waiting().map(({ conversationId }) => conversationId)];
      return write(`signal ${key}`, tells, locks);
    },
    reopen: (run) =>
      write(
        `reopen ${run}`,
        () => reopen(tables, run),
        () => [run, rowOfRun(run)],
      ),
  };
}

export function allShards(db: MemoryDatabase): ShardKey[] {
  return [...db.leases.keys()].map((key) => {
    const [gateway = "", shard] = key.split(":");
    return { gateway: gateway === "" ? null : gateway, shard: Number(shard) };
  });
}

function reopen(tables: MemoryTables, id: number): boolean {
  const { endedAt: ended = null, status } = tables.runs.get(id) ?? {};
  const row = tables.inbox.get(id);
  if (ended === null || status === "done" || (row && row.status !== "dead" && row.status !== "done"))
    return false;
  const anew = { status: "pending", attempts: 0, interruptions: 0, nextAttemptAt: null } as const;
  const round = nextRound(tables, id);
  if (row) tables.update(row, { ...anew, stoppedBy: null, isUnowned: true, round });
  else tables.inbox.set(id, { ...anew, lastError: null, stoppedBy: null, round, isUnowned: true, by: "" });
  return true;
}

/** Of a message that a person has tried again; none comes twice. */
export function nextRound({ inbox, lastRounds }: MemoryTables, id: number): number {
  const round = 1 + Math.max(inbox.get(id)?.round ?? 0, lastRounds.get(id) ?? 0);
  lastRounds.set(id, round);
  return round;
}

function detailsOf(tables: MemoryTables, id: number): RunDetails | undefined {
  const run = tables.runs.get(id);
  const conversation = tables.conversations.get(id);
  const stoppedBy = (run?.endedAt === null && tables.inbox.get(id)?.stoppedBy) || null;
  return run && conversation && { ...withMessage(run, conversation), stoppedBy };
}

function withMessage(run: MemoryRun, conversation: ConversationRow): Omit<RunDetails, "stoppedBy"> {
  const notes = run.notes.toSorted((a, b) => a.conversationId - b.conversationId);
  const decisions = run.decisions.toSorted((a, b) => a.askedAt - b.askedAt || (a.name < b.name ? -1 : 1));
  return { ...run, decisions, notes, ...threadOf(conversation), userId: conversation.userId };
}

function threadOf({ conversationId, gateway, channelId, threadTs }: ConversationRow): RunThread {
  return { conversationId, gateway, channelId, threadTs };
}

function isOf(run: RunRecord, thread: Pick<RunThread, "gateway" | "channelId" | "threadTs">): boolean {
  const { gateway, channelId, threadTs } = thread;
  return run.gateway === gateway && run.channelId === channelId && run.threadTs === threadTs;
}
