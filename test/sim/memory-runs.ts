/**
 * The runs of the store model: what a change of one writes, as store/run-changes.ts has it, and what others say to
 * one. A row is never changed in place, so that what was read stays as it was, and what throws is undone.
 */
import { RobsonError } from "../../src/core/errors.ts";
import type {
  DecisionRecord,
  NewDecision,
  RunChange,
  RunDetails,
  RunNote,
  RunReference,
  StepChange,
} from "../../src/core/run-store.ts";
import { hasEnded, type MemoryTables } from "./memory-tables.ts";
import type { LockedRow } from "./memory-transactions.ts";

/** A run with all its rows; what else is told of it is its message's. */
export type MemoryRun = Omit<RunDetails, "gateway" | "channelId" | "threadTs" | "userId" | "stoppedBy">;

export function changeRun(tables: MemoryTables, change: RunChange): void {
  const { conversationId, begin, step, effect, passedOn, decisions = [], notesTaken = [], status } = change;
  if (begin) beginRun(tables, { ...begin, conversationId });
  if (step) changeStep(tables, { ...step, conversationId });
  if (effect)
    editRun(tables, conversationId, (run) => {
      const known = run.effects.find((other) => other.step === effect.step);
      if (!known) run.effects.push(effect);
      else if (known.outcome === "intended") Object.assign(known, effect);
    });
  if (passedOn) passOn(tables, { ...passedOn, run: conversationId });
  for (const decision of decisions) ask(tables, { ...decision, run: conversationId });
  if (notesTaken.length > 0)
    editRun(tables, conversationId, (run) => {
      for (const note of run.notes)
        if (note.takenAt === null && notesTaken.includes(note.conversationId)) note.takenAt = note.createdAt;
    });
  for (const { kind } of change.writes ?? [])
    throw new RobsonError("INTERNAL", `The store model knows no write of the kind "${kind}"`, {
      hint: "None",
    });
  if (status) stand(tables, { ...status, conversationId, round: change.round ?? begin?.round });
  if (decisions.length > 0) resumeIfAnswered(tables, { conversationId, decisions });
}

/** What it locks on PostgreSQL beside its message's row. */
export function locksOfRun({ conversationId, passedOn, begin, decisions = [] }: RunChange): LockedRow[] {
  const keys = decisions.flatMap(({ key }) => (key === null ? [] : [lockOfKey(key)]));
  const lanes = begin && begin.lane !== null ? [`lane ${begin.lane}`] : [];
  // A note is a row of its own; an answer, and what is waited for, wakes the run's message.
  const message = passedOn?.answers || decisions.length > 0 ? [conversationId] : [];
  return [...(passedOn ? [] : [rowOfRun(conversationId)]), ...message, ...keys, ...lanes];
}

export function rowOfRun(id: number): LockedRow {
  return `run ${id}`;
}

export function lockOfKey(key: string): LockedRow {
  return `key ${key}`;
}

export function referenceOf(run: MemoryRun | undefined): { run?: RunReference } {
  if (!run) return {};
  const { worker, version, isDetached, round, endedAt } = run;
  return { run: { worker, version, isDetached, round, isOpen: endedAt === null } };
}

/** Answers what is open of these; false where nothing is. */
export function answerRun(
  tables: MemoryTables,
  {
    run,
    matches,
    ...answer
  }: { run: number; matches(decision: DecisionRecord): boolean; json: string; by: string | null; at: number },
): boolean {
  const { decisions: known = [], updatedAt = 0, endedAt = null } = tables.runs.get(run) ?? {};
  const isOpen = (decision: DecisionRecord) =>
    matches(decision) && decision.answeredAt === null && endedAt === null && !isDue(decision, updatedAt);
  if (!known.some(isOpen)) return false;
  editRun(tables, run, ({ decisions }) => {
    for (const decision of decisions.filter(isOpen))
      Object.assign(decision, { answer: answer.json, answeredBy: answer.by, answeredAt: answer.at });
  });
  resume(tables, run);
  return true;
}

/** False where it has ended. */
export function addNote(tables: MemoryTables, { run, ...note }: RunNote & { run: number }): boolean {
  if (tables.runs.get(run)?.endedAt !== null) return false;
  editRun(tables, run, ({ notes }) => {
    const known = notes.find(({ conversationId }) => conversationId === note.conversationId);
    if (known) known.content = note.content;
    else notes.push(note);
  });
  return true;
}

export function keepSignal(tables: MemoryTables, { key, json }: { key: string; json: string }): void {
  setIn(tables, { map: tables.signals, key, value: json });
}

/** Ends the open runs whose messages are dead or discarded. */
export function endRunsOfTheDead(tables: MemoryTables, at: number): void {
  for (const [id, { endedAt }] of tables.runs) {
    const { status, lastError = null } = tables.inbox.get(id) ?? {};
    if (endedAt !== null || (status !== "dead" && status !== "done")) continue;
    stand(tables, { conversationId: id, value: "dead", reason: lastError, at });
  }
}

function beginRun(
  tables: MemoryTables,
  { conversationId, ...begin }: NonNullable<RunChange["begin"]> & { conversationId: number },
): void {
  const { createdAt, round, version } = begin;
  const known = tables.runs.get(conversationId);
  // Begun by a former try at this write, and perhaps far from it by now.
  if (known && known.round >= round) return;
  const message = tables.inbox.get(conversationId)?.status;
  const lane = known ? known.lane : begin.lane;
  const other = [...tables.runs.values()].find(
    (run) =>
      lane !== null && run.lane === lane && run.endedAt === null && run.conversationId !== conversationId,
  );
  if (other)
    throw new RobsonError("RUN_EXISTS", `Run ${other.conversationId} is at this already: ${begin.title}`, {
      hint: "Look at it",
    });
  if (message === undefined || hasEnded(message))
    throw new RobsonError("RUN_INVALID", `Cannot begin run ${conversationId}: its message has ended`, {
      hint: "None",
    });
  const updatedAt = Math.max(createdAt, known?.updatedAt ?? 0);
  const open = { status: "open", reason: null, endedAt: null, updatedAt } as const;
  if (known) {
    editRun(tables, conversationId, (run) => Object.assign(run, { ...open, round, version }));
    return;
  }
  const rows = { steps: [], effects: [], decisions: [], notes: [] };
  setIn(tables, {
    map: tables.runs,
    key: conversationId,
    value: { conversationId, ...begin, ...open, ...rows },
  });
}

function changeStep(
  tables: MemoryTables,
  { conversationId, ...step }: StepChange & { conversationId: number },
): void {
  editRun(tables, conversationId, ({ steps }) => {
    const known = steps.find(({ name }) => name === step.name);
    const { attempts, result = null, endedAt = null } = step;
    if (!known) steps.push({ ...step, result, endedAt });
    else if (known.endedAt === null) Object.assign(known, { attempts, result, endedAt });
    steps.sort((a, b) => a.ordinal - b.ordinal);
  });
  const row = tables.inbox.get(conversationId);
  if (step.result !== undefined && row?.status === "claimed" && row.attempts > 1)
    tables.update(row, { attempts: 1, interruptions: 0 });
}

type PassedOn = NonNullable<RunChange["passedOn"]> & { run: number };

function passOn(tables: MemoryTables, { run, answers, ...note }: PassedOn): void {
  const { notes = [] } = tables.runs.get(run) ?? {};
  if (notes.some(({ conversationId }) => conversationId === note.conversationId)) return;
  const isNoted = addNote(tables, { run, ...note, takenAt: answers ? note.createdAt : null });
  if (!isNoted) throw closed(run);
  if (!answers) return;
  const { name, value, by, at } = answers;
  const matches = (decision: DecisionRecord) => decision.name === name && decision.kind === "question";
  if (!answerRun(tables, { run, matches, json: JSON.stringify(value), by, at })) throw closed(run);
}

/** An event that has come already is its answer, and is used up; not by a run that has gone on without. */
function ask(tables: MemoryTables, { run, ...decision }: NewDecision & { run: number }): void {
  const unanswered = { answer: null, answeredBy: null, answeredAt: null };
  const { key, askedAt, name } = decision;
  const known = tables.runs.get(run)?.decisions.find((other) => other.name === name);
  if (!known) editRun(tables, run, ({ decisions }) => void decisions.push({ ...decision, ...unanswered }));
  const signal = key === null ? undefined : tables.signals.get(key);
  if (key === null || signal === undefined) return;
  const { updatedAt = 0, endedAt = null } = tables.runs.get(run) ?? {};
  const stillWaits = !known || (known.answeredAt === null && endedAt === null && !isDue(known, updatedAt));
  if (!stillWaits) return;
  editRun(tables, run, ({ decisions }) => {
    const asked = decisions.find((other) => other.name === name);
    if (asked) Object.assign(asked, { answer: signal, answeredAt: askedAt });
  });
  setIn(tables, { map: tables.signals, key, value: undefined });
}

function stand(
  tables: MemoryTables,
  {
    conversationId,
    value,
    reason,
    at,
    round,
  }: NonNullable<RunChange["status"]> & { conversationId: number; round?: number | undefined },
): void {
  const isOpen = value === "open" || value === "waiting";
  const known = tables.runs.get(conversationId);
  if (known && known.round !== (round ?? known.round)) return;
  // A write that comes late opens nothing that has ended, and what waits is woken by what it waits for.
  if (isOpen && known?.endedAt != null) return;
  if (value === "open" && tables.inbox.get(conversationId)?.status === "waiting") return;
  editRun(tables, conversationId, (run) => {
    const updatedAt = Math.max(at, run.updatedAt);
    Object.assign(run, { status: value, reason, updatedAt, endedAt: isOpen ? null : at });
  });
}

function resumeIfAnswered(
  tables: MemoryTables,
  { conversationId, decisions }: { conversationId: number; decisions: NewDecision[] },
): void {
  const names = new Set(decisions.map(({ name }) => name));
  const known = tables.runs.get(conversationId)?.decisions ?? [];
  const isAnswered = known.some(({ name, answeredAt }) => names.has(name) && answeredAt !== null);
  if (isAnswered || (tables.inbox.get(conversationId)?.stoppedBy ?? null) !== null)
    resume(tables, conversationId);
}

function resume(tables: MemoryTables, conversationId: number): void {
  const row = tables.inbox.get(conversationId);
  if (row?.status === "waiting")
    tables.update(row, { status: "pending", isUnowned: true, nextAttemptAt: null });
}

function isDue({ dueAt }: DecisionRecord, at: number): boolean {
  return dueAt !== null && dueAt <= at;
}

function editRun(tables: MemoryTables, id: number, edit: (run: MemoryRun) => void): void {
  const before = tables.runs.get(id);
  if (!before) return;
  const run = structuredClone(before);
  edit(run);
  setIn(tables, { map: tables.runs, key: id, value: run });
}

function setIn<Key, Value>(
  tables: MemoryTables,
  { map, key, value }: { map: Map<Key, Value>; key: Key; value: Value | undefined },
): void {
  const before = map.get(key);
  const put = (now: Value | undefined) => {
    if (now === undefined) map.delete(key);
    else map.set(key, now);
  };
  tables.onUndo(() => put(before));
  put(value);
}

function closed(run: number): RobsonError {
  return new RobsonError("RUN_INVALID", `Cannot pass a message on to run ${run}`, { hint: "Look at it" });
}
