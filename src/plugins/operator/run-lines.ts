/** A run as a person reads it: what it is at, what it waits for and what to type, and what it has done so far. Pure. */
import type { OpenMessage } from "../../core/control.ts";
import type {
  DecisionRecord,
  EffectChange,
  RunDetails,
  RunNote,
  RunRecord,
  StepRecord,
} from "../../core/run-store.ts";
import type { EventRecord } from "../../core/store.ts";
import { at, count, duration, errorText, quoted, relative } from "./words.ts";

export interface RunTelling {
  now: number;
  /** Before the name of a command, where it is read: in a chat or on a command line. */
  commands: "/" | "robson runs ";
  /** What the process that is asked has in memory of it. */
  live?: Pick<OpenMessage, "state" | "startedAt" | "nextAttemptAt" | "lastError"> | undefined;
  /** Whether no process runs the loop, so that nothing is at work. */
  isUnattended?: boolean;
}

/** How much of a run is told beside its state. */
export interface RunLog {
  events?: EventRecord[];
  /** Where the agent's words are kept. */
  transcripts?: string[];
}

/** `run 12 (run-task): PROJ-1`. */
function runTitle({ conversationId, worker, title }: RunRecord): string {
  return `run ${conversationId} (${worker}): ${title}`;
}

/** The whole of it, a line for each thing. */
export function runLines(run: RunDetails, telling: RunTelling & RunLog): string[] {
  const { now, events = [], transcripts = [] } = telling;
  const last = events.findLast(({ kind }) => kind === "progress");
  return [
    runTitle(run),
    ...[
      begun(run, now),
      ...run.steps.map((step, index) => stepLine(step, { run, index, now })),
      ...run.effects.map((effect) => effectLine(effect, now)),
      ...run.decisions.flatMap((decision) => decisionLine(decision, now)),
      ...run.notes.map((note) => noteLine(note, now)),
      ...(last === undefined ? [] : [`Last progress ${at(last.createdAt, now)}: ${quoted(last.content)}`]),
      ...transcripts.map((file) => `Transcript: ${file}`),
      `Now: ${runState(run, telling)}`,
    ].map((line) => `  ${line}`),
  ];
}

/** How it stands, and what to type next. */
export function runState(run: RunDetails, telling: RunTelling): string {
  const { conversationId: id, status, reason, createdAt, endedAt, stoppedBy } = run;
  const { now, commands, isUnattended = false } = telling;
  if (endedAt === null && stoppedBy !== null)
    return isUnattended
      ? `ends as stopped by ${stoppedBy} as soon as a process runs the loop; \`robson agent\` does`
      : `is being stopped by ${stoppedBy}`;
  if (endedAt === null) return status === "waiting" ? waitsFor(run, telling) : worksOn(run, telling);
  const when = `${relative(endedAt, now)}, after ${duration(endedAt - createdAt)}`;
  if (status === "done") return `done ${when}`;
  const why = reason === null ? "" : `: ${errorText(reason)}`;
  const how = status === "dead" ? "a dead letter" : status;
  const again = howRetried(run) ?? "begins it again";
  return `${how} ${when}${why}; \`${commands}retry ${id}\` ${again}`;
}

/** What whoever has it retried is told. */
export function retriedText(run: RunDetails): string {
  return `Run ${run.conversationId} ${howRetried(run) ?? "begins again: none of its steps was finished"}`;
}

/** Undefined where it begins again, because nothing of it is finished. */
function howRetried({ steps }: RunDetails): string | undefined {
  const finished = steps.filter(isFinished).length;
  return finished === 0 ? undefined : `goes on after its ${count(finished, "finished step")}`;
}

/** What it waits for, since when, and what to type. */
export function waitsFor(
  run: RunDetails,
  { now, commands, isUnattended = false }: Pick<RunTelling, "now" | "commands" | "isUnattended">,
): string {
  const open = run.decisions.filter(
    ({ answeredAt, dueAt }) => answeredAt === null && (dueAt ?? now + 1) > now,
  );
  if (open.length === 0)
    return isUnattended ? UNATTENDED : "what it waited for is there: it is about to go on";
  return open.map((decision) => waitLine(decision, { run, now, commands })).join("; and ");
}

const UNATTENDED = "waits for a process that runs the loop; `robson agent` takes it up";

function waitLine(
  { kind, text, choices, key, askedAt, dueAt }: DecisionRecord,
  { run, now, commands }: Pick<RunTelling, "now" | "commands"> & { run: RunRecord },
): string {
  const since = `since ${at(askedAt, now)}`;
  const until = dueAt === null ? "" : `, until ${at(dueAt, now)}`;
  if (kind === "sleep") return `sleeps ${since}${until}`;
  if (kind === "event") return `waits for the event ${quoted(key ?? "")} ${since}${until}`;
  const answers = choices.length === 0 ? "…" : choices.join(" | ");
  return `waits for an answer to ${quoted(text)} ${since}${until}: \`${commands}answer ${run.conversationId} ${answers}\``;
}

function worksOn(run: RunDetails, { now, live, isUnattended = false }: RunTelling): string {
  if (isUnattended) return UNATTENDED;
  if (live?.state === "waiting") return "waits for a free slot (limits.max_concurrent_runs)";
  if (live?.state === "retrying") {
    const error =
      live.lastError === undefined ? "" : `, after an attempt failed: ${errorText(live.lastError)}`;
    return `is tried again ${relative(live.nextAttemptAt ?? now, now)}${error}`;
  }
  const step = run.steps.findLast((each) => !isFinished(each));
  if (step) return `at step "${step.name}", begun ${relative(step.begunAt, now)}`;
  const last = run.steps.at(-1);
  return last ? `at work, after step "${last.name}"` : "at work; no step is begun yet";
}

function isFinished({ endedAt }: StepRecord): boolean {
  return endedAt !== null;
}

function begun({ createdAt, userId, gateway, channelId, threadTs, round }: RunRecord, now: number): string {
  const where = [
    gateway === null ? "through no gateway" : `through gateway "${gateway}"`,
    ...(channelId === "" ? [] : [`channel ${quoted(channelId)}`]),
    ...(threadTs === "" ? [] : [`thread ${quoted(threadTs)}`]),
  ].join(", ");
  const again = round === 1 ? "" : `; begun ${round} times, each time after its finished steps`;
  return `Begun ${at(createdAt, now)} for ${userId === "" ? "someone" : userId} ${where}${again}`;
}

function stepLine(
  step: StepRecord,
  { run, index, now }: { run: RunRecord; index: number; now: number },
): string {
  const { name, attempts, begunAt, endedAt } = step;
  const times = attempts > 1 ? `, begun ${attempts} times` : "";
  if (endedAt !== null) return `Step ${index + 1}, "${name}": done in ${duration(endedAt - begunAt)}${times}`;
  const state = run.endedAt === null ? "under way" : "not finished";
  return `Step ${index + 1}, "${name}": ${state}, begun ${relative(begunAt, now)}${times}`;
}

function effectLine({ step, key, outcome, at: when }: EffectChange, now: number): string {
  const how = {
    intended: "intended; it is looked up before it is made again",
    found: "found there, and adopted",
    made: "made",
  };
  return `Effect of "${step}", ${quoted(key)}: ${how[outcome]} (${relative(when, now)})`;
}

function decisionLine(decision: DecisionRecord, now: number): string[] {
  const { kind, name, text, key, answer, answeredBy, answeredAt, dueAt } = decision;
  // What is open is told by how the run stands.
  if (answeredAt === null && (dueAt === null || dueAt > now)) return [];
  const what = kind === "question" ? `Asked ${quoted(text)}` : kind === "sleep" ? `Slept "${name}"` : "";
  const waited = kind === "event" ? `Waited for the event ${quoted(key ?? "")}` : what;
  if (kind === "sleep") return [`${waited}, until ${relative(dueAt ?? answeredAt ?? now, now)}`];
  if (answeredAt === null) return [`${waited}: nothing came in time`];
  const by = answeredBy === null ? "" : ` by ${answeredBy}`;
  return [`${waited}: ${quoted(answerText(answer ?? ""))}${by} (${relative(answeredAt, now)})`];
}

/** It is kept as JSON: a text is shown without the quotes of that. */
function answerText(json: string): string {
  return json.startsWith('"') ? String(JSON.parse(json)) : json;
}

function noteLine({ userId, content, createdAt, takenAt }: RunNote, now: number): string {
  const state = takenAt === null ? "not read yet" : "read";
  return `Passed on from ${userId === "" ? "someone" : userId} (${relative(createdAt, now)}): ${quoted(content)}; ${state}`;
}
