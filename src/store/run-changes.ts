/**
 * What a change of a run writes, statement by statement, for both databases: the same text, with `?1` for SQLite's
 * parameters where PostgreSQL has `$1`. Runs inside the transaction of the change that carries it.
 */
import { RobsonError } from "../core/errors.ts";
import type { NewDecision, RunChange } from "../core/run-store.ts";
import type { Rows } from "./sql.ts";
import { taskWrites } from "./task-writes.ts";

export interface Statement {
  text: string;
  values: (string | number | null)[];
  /** Needed where others write beside the transaction: SQLite has one writer. */
  isForPostgres?: boolean;
}

/**
 * Whoever tells of an event, and whoever begins to wait for it, do so one after the other: side by side neither would
 * see the other, and the run would wait for ever. The class of the advisory locks is our own.
 */
export const LOCK_OF_KEY = "select pg_advisory_xact_lock(1382377, hashtext($1))";

/**
 * Of an open row of `decisions`. A run that went on when its time was over waits no more: an answer would change what it
 * has decided. When it went on is in its row, so that whoever answers by another clock is told the same. One that has
 * ended waits for nothing; tried again, it is told what has come meanwhile when it waits again.
 */
export const IS_AWAITED = `exists (select 1 from runs r where r.conversation_id = run_id and r.ended_at is null
  and (due_at is null or due_at > r.updated_at))`;

/** Whoever begins a run, or has one go on, in a lane does so after the other: one of them is told that the other is at it. */
const LOCK_OF_LANE = `select pg_advisory_xact_lock(1382378, hashtext(coalesce(
  (select lane from runs where conversation_id = $1), cast($2 as text))))`;

/** What the kinds of `RunChange.writes` do. */
const OWN_WRITES: Record<string, (write: never) => Statement[]> = { ...taskWrites };

/**
 * Whether its message is to be worked on. A write that comes late, of one that was refused meanwhile and has ended, must
 * begin no run: nobody would work on it, and its lane would stay taken.
 */
const IS_OPEN = `exists (select 1 from inbox m
  where m.conversation_id = $1 and m.status in ('pending', 'claimed', 'waiting'))`;

/**
 * What is locked on PostgreSQL before anything of the change is written, its message included: whoever tells of an event
 * locks its key before the messages that wait for it, and the other way round each would wait for the other.
 */
export function locksOf({ decisions = [] }: RunChange): Statement[] {
  // In one order for all, so that two runs never wait for each other.
  const keys = decisions.flatMap(({ key }) => key ?? []).sort();
  return keys.map((key) => ({ text: LOCK_OF_KEY, values: [key] }));
}

/** Yields the statements in their order, and wants the rows of each. */
export function* writeRun(change: RunChange): Generator<Statement, void, Rows> {
  const { conversationId: run, step, effect, decisions = [], notesTaken = [], writes = [], status } = change;
  let isOfRound = true;
  if (change.begin) yield* begin(run, change.begin);
  if (step) {
    yield {
      text: `insert into steps (run_id, name, ordinal, attempts, result, begun_at, ended_at)
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (run_id, name) do update set
        attempts = excluded.attempts, result = excluded.result, ended_at = excluded.ended_at
        where steps.ended_at is null`,
      values: [
        run,
        step.name,
        step.ordinal,
        step.attempts,
        step.result ?? null,
        step.begunAt,
        step.endedAt ?? null,
      ],
    };
    if (step.result !== undefined) yield progressMade(run);
  }
  if (effect) {
    yield {
      text: `insert into effects (run_id, step, key, outcome, at) values ($1, $2, $3, $4, $5)
        on conflict (run_id, step) do update set key = excluded.key, outcome = excluded.outcome, at = excluded.at
        where effects.outcome = 'intended'`,
      values: [run, effect.step, effect.key, effect.outcome, effect.at],
    };
  }
  if (change.passedOn) yield* passOn(run, change.passedOn);
  for (const decision of decisions) yield* ask(run, decision);
  for (const note of notesTaken) {
    yield {
      text: `update run_notes set taken_at = created_at
        where run_id = $1 and conversation_id = $2 and taken_at is null`,
      values: [run, note],
    };
  }
  if (status) {
    // A write that comes late opens nothing that has ended, and what waits is woken by what it waits for. Nor does it
    // say anything of a run that a person has had go on since. Its instant never goes back: by it is judged whose time is
    // over, whichever process asks.
    const stands = yield {
      text: `update runs set status = $2, reason = $3,
        updated_at = case when updated_at > cast($4 as bigint) then updated_at else cast($4 as bigint) end,
        ended_at = case when $2 in ('open', 'waiting') then null else cast($4 as bigint) end
        where conversation_id = $1 and not ($2 in ('open', 'waiting') and ended_at is not null)
          and not ($2 = 'open' and exists (select 1 from inbox i
            where i.conversation_id = runs.conversation_id and i.status = 'waiting'))
          and round = coalesce(cast($5 as integer), round) returning round`,
      values: [run, status.value, status.reason, status.at, change.round ?? change.begin?.round ?? null],
    };
    isOfRound = stands.length > 0;
  }
  if (isOfRound) for (const write of writes) yield* ownWrite(write);
  // Answered before it began to wait: by an event that had come already, or by a change that was written twice. Or
  // somebody wants it ended, and what waits is not looked at.
  if (decisions.length > 0) {
    const names = decisions.map((_, index) => `$${index + 2}`).join(", ");
    yield {
      text: `update inbox set status = 'pending', is_unowned = 1, next_attempt_at = null
        where conversation_id = $1 and status = 'waiting' and (stopped_by is not null or exists (select 1
          from decisions d where d.run_id = inbox.conversation_id and d.answered_at is not null and d.name in (${names})))`,
      values: [run, ...decisions.map(({ name }) => name)],
    };
  }
}

function* begin(run: number, begin: NonNullable<RunChange["begin"]>): Generator<Statement, void, Rows> {
  const { worker, version, isDetached, lane, title, createdAt, round } = begin;
  if (lane !== null) yield { text: LOCK_OF_LANE, values: [run, lane], isForPostgres: true };
  const rows = yield {
    text: `insert into runs (conversation_id, worker, version, is_detached, lane, title, status, round, created_at,
        updated_at, message_round) select cast($1 as bigint), $2, cast($3 as integer), cast($4 as integer), $5, $6, 'open',
        cast($7 as integer), cast($8 as bigint), cast($8 as bigint),
        (select round from inbox where conversation_id = $1) where ${IS_OPEN} on conflict do nothing returning round`,
    values: [run, worker, version, isDetached ? 1 : 0, lane, title, round, createdAt],
  };
  if (rows.length > 0) return;
  const again = yield {
    text: `update runs set status = 'open', reason = null, ended_at = null, round = $2, version = $4,
        updated_at = case when updated_at > cast($3 as bigint) then updated_at else cast($3 as bigint) end
      where conversation_id = $1 and round < $2 and ${IS_OPEN} and not exists (select 1 from runs o
        where o.lane = runs.lane and o.ended_at is null and o.conversation_id <> runs.conversation_id)
      returning round`,
    values: [run, round, createdAt, version],
  };
  if (again.length > 0) return;
  // Begun by a former try at this write, and perhaps far from it by now.
  const known = yield {
    text: "select 1 as known from runs where conversation_id = $1 and round >= $2",
    values: [run, round],
  };
  if (known.length > 0) return;
  // The lane that it was begun in, which its worker may name otherwise by now.
  const others = yield {
    text: `select conversation_id from runs where ended_at is null and conversation_id <> $1
        and lane = coalesce((select lane from runs where conversation_id = $1), cast($2 as text))`,
    values: [run, lane],
  };
  const [other] = others;
  if (other) throw runExists({ title, by: Number(other.conversation_id) });
  const open = yield { text: `select 1 as known where ${IS_OPEN}`, values: [run] };
  throw open.length > 0 ? laneIsFreeAgain() : messageEnded(run);
}

/** The attempts that failed or were interrupted before a step was done say nothing about those behind it. */
function progressMade(run: number): Statement {
  return {
    text: `update inbox set attempts = 1, interruptions = 0
      where conversation_id = $1 and status = 'claimed' and attempts > 1`,
    values: [run],
  };
}

/**
 * An event that has come already is its answer; it is used up by that. Where the question was stored before, this is
 * perhaps the same write, and comes late: the run may have gone on without the event, which is another one's then.
 */
function* ask(run: number, decision: NewDecision): Generator<Statement, void, Rows> {
  const { name, kind, text, choices, key, askedAt, dueAt } = decision;
  const made = yield {
    text: `insert into decisions (run_id, name, kind, text, choices, key, asked_at, due_at)
      values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (run_id, name) do nothing returning name`,
    values: [run, name, kind, text, JSON.stringify(choices), key, askedAt, dueAt],
  };
  if (key === null) return;
  const signals = yield { text: "select value from run_signals where key = $1", values: [key] };
  if (signals.length === 0) return;
  const answered = yield {
    text: `update decisions set answer = $3, answered_at = $4 where run_id = $1 and name = $2 and answered_at is null
      ${made.length > 0 ? "" : `and ${IS_AWAITED}`} returning name`,
    values: [run, name, String(signals[0]?.value), askedAt],
  };
  if (answered.length > 0) yield { text: "delete from run_signals where key = $1", values: [key] };
}

/** Written once, however often it is tried: the message's id is what it is known by. */
function* passOn(
  run: number,
  { conversationId, userId, content, createdAt, answers }: NonNullable<RunChange["passedOn"]>,
): Generator<Statement, void, Rows> {
  const known = yield {
    text: "select 1 as known from run_notes where run_id = $1 and conversation_id = $2",
    values: [run, conversationId],
  };
  if (known.length > 0) return;
  // Before the decision, as whoever answers by command does: the other way round they would wait for each other.
  if (answers)
    yield {
      text: "select 1 from inbox where conversation_id = $1 for update",
      values: [run],
      isForPostgres: true,
    };
  const noted = yield {
    text: `insert into run_notes (run_id, conversation_id, user_id, content, created_at, taken_at)
      select conversation_id, cast($2 as bigint), $3, $4, cast($5 as bigint), cast($6 as bigint)
      from runs where conversation_id = $1 and ended_at is null returning run_id`,
    values: [run, conversationId, userId, content, createdAt, answers ? createdAt : null],
  };
  if (noted.length === 0) throw runClosed(run, "it has ended");
  if (!answers) return;
  const answered = yield {
    text: `update decisions set answer = $3, answered_by = $4, answered_at = $5
      where run_id = $1 and name = $2 and kind = 'question' and answered_at is null and ${IS_AWAITED}
      returning name`,
    values: [run, answers.name, JSON.stringify(answers.value), answers.by, answers.at],
  };
  if (answered.length === 0) throw runClosed(run, `its question "${answers.name}" is answered`);
  yield {
    text: `update inbox set status = 'pending', is_unowned = 1, next_attempt_at = null
      where conversation_id = $1 and status = 'waiting'`,
    values: [run],
  };
}

function* ownWrite(write: { kind: string }): Generator<Statement, void, Rows> {
  const make = OWN_WRITES[write.kind];
  if (!make) {
    throw new RobsonError("INTERNAL", `The store knows no write of the kind "${write.kind}"`, {
      hint: `The kinds are ${Object.keys(OWN_WRITES).join(", ")}`,
    });
  }
  for (const statement of make(write as never)) yield statement;
}

function runClosed(run: number, why: string): RobsonError {
  return new RobsonError("RUN_INVALID", `Cannot pass a message on to run ${run}: ${why}`, {
    hint: `See what became of it with \`robson runs show ${run}\``,
  });
}

/** Whoever had it has ended in this very moment. */
function laneIsFreeAgain(): RobsonError {
  return new RobsonError("STORE_BUSY", "Cannot begin the run: another one has just ended in its lane", {
    hint: "Try again",
  });
}

function messageEnded(run: number): RobsonError {
  return new RobsonError("RUN_INVALID", `Cannot begin run ${run}: its message has ended`, {
    hint: `See what became of it with \`robson why ${run}\``,
  });
}

function runExists({ title, by }: { title: string; by: number }): RobsonError {
  return new RobsonError("RUN_EXISTS", `Run ${by} is at this already: ${title}`, {
    hint: `Look at it with /logs ${by}, or end it with /stop ${by}`,
  });
}
