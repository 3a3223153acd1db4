/**
 * Long work over HTTP: which runs there are, one with all that is on record, and what a person says to it. Only inserts,
 * and wakes whoever has the run; the same with a loop and without one.
 */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import * as z from "zod";
import type { Clock } from "../core/clock.ts";
import { RobsonError } from "../core/errors.ts";
import { chosen, noQuestion, openQuestion, wrongAnswer } from "../core/run-answer.ts";
import type { RunDetails, RunRecord, RunRecords } from "../core/run-store.ts";
import type { Store } from "../core/store.ts";
import { answerSchema, byWhomSchema, type runDetailsSchema, type runSchema } from "./run-schemas.ts";

export interface RunRoutesOptions {
  store: Pick<Store, "requestStop"> & { runs: Pick<RunRecords, "run" | "runs" | "answer" | "reopen"> };
  clock: Pick<Clock, "now">;
}

/** An answer is a word or a few lines. */
const MAX_BODY_BYTES = 64 * 1024;
const MAX_LISTED = 1000;
const DEFAULT_LISTED = 100;
/** Whoever says something without saying who he is. */
const SOMEONE = "someone";

export function runRoutes({ store, clock }: RunRoutesOptions): Hono {
  const { runs } = store;
  const routes = new Hono();
  const findRun = (c: Context) => runOf(runs, c.req.param("id") ?? "");
  routes.use("/runs/*", bodyLimit({ maxSize: MAX_BODY_BYTES, onError: refuseLargeBody }));

  routes.get("/runs", async (c) => {
    const { all, limit } = parse(querySchema, c.req.query());
    const found = await runs.runs({ limit, ...(all === "true" ? {} : { isOpen: true }) });
    return c.json({ runs: found.map(toJson) });
  });
  routes.get("/runs/:id", async (c) => c.json(toDetails(await findRun(c))));

  routes.post("/runs/:id/answer", async (c) => {
    const { answer: text, question: name, user_id: by = SOMEONE } = parse(answerSchema, await bodyOf(c));
    const run = await findRun(c);
    const question = openQuestion(run, name);
    if (!question) throw noQuestion(run, name);
    const value = chosen(question, text);
    if (value === undefined) throw wrongAnswer(run, question);
    const answer = { name: question.name, value, by: by || SOMEONE, at: clock.now() };
    if (!(await runs.answer(run.conversationId, answer))) throw noQuestion(run, question.name);
    return c.json({ run_id: run.conversationId, question: question.name, answer: value });
  });
  routes.post("/runs/:id/stop", async (c) => {
    const { user_id: by = SOMEONE } = parse(byWhomSchema, await bodyOf(c));
    const run = await findRun(c);
    if (await store.requestStop(run.conversationId, by || SOMEONE))
      return c.json({ run_id: run.conversationId }, 202);
    throw refused(run, "stop", "Nothing is to be done: what it did is kept");
  });
  routes.post("/runs/:id/retry", async (c) => {
    const run = await findRun(c);
    const isRetriable = run.endedAt !== null && run.status !== "done";
    if (isRetriable && (await runs.reopen(run.conversationId)))
      return c.json({ run_id: run.conversationId }, 202);
    const hint = run.endedAt === null ? "Stop it first, or wait for its end" : "Ask for the same again";
    throw refused(run, "retry", hint);
  });
  return routes;
}

const querySchema = z.object({
  all: z.enum(["true", "false"]).optional(),
  limit: z.coerce.number().int().min(1).max(MAX_LISTED).default(DEFAULT_LISTED),
});

async function runOf(runs: Pick<RunRecords, "run">, id: string): Promise<RunDetails> {
  const run = /^[1-9]\d{0,14}$/.test(id) ? await runs.run(Number(id)) : undefined;
  if (run) return run;
  throw new RobsonError("NOT_FOUND", `Cannot find run "${id.slice(0, 20).toWellFormed()}"`, {
    hint: "GET /runs?all=true lists them; a run has the conversation_id of the message that started it",
  });
}

/** No body is an empty object. */
async function bodyOf(c: Context): Promise<unknown> {
  const text = await c.req.text();
  if (text.trim() === "") return {};
  const mediaType = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase();
  // Browsers may not send JSON to a foreign site unasked.
  if (mediaType !== "application/json") throw invalid("the content type is not JSON");
  try {
    return JSON.parse(text);
  } catch {
    throw invalid("the body is no JSON");
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const { data, error } = schema.safeParse(value);
  if (!error) return data;
  const [issue] = error.issues;
  throw invalid(`${issue?.path.join(".") || "the body"}: ${issue?.message ?? "it cannot be used"}`);
}

function invalid(why: string): RobsonError {
  return new RobsonError("MESSAGE_INVALID", `Cannot accept the request: ${why}`, {
    hint: 'Send JSON as {"answer": "yes", "user_id": "ann"}; /openapi.json describes it',
  });
}

function refuseLargeBody(): never {
  throw new RobsonError(
    "MESSAGE_TOO_LARGE",
    `Cannot accept the request: its body is over maxBodyBytes (${MAX_BODY_BYTES})`,
    { hint: "Send a shorter answer" },
  );
}

function refused(
  { conversationId: id, status, endedAt }: RunRecord,
  what: string,
  hint: string,
): RobsonError {
  const why = endedAt === null ? `it is open (${status})` : `it has ended (${status})`;
  return new RobsonError("RUN_INVALID", `Cannot ${what} run ${id}: ${why}`, { hint });
}

function toJson(run: RunRecord): z.output<typeof runSchema> {
  return {
    run_id: run.conversationId,
    worker: run.worker,
    title: run.title,
    status: run.status,
    reason: run.reason,
    round: run.round,
    gateway: run.gateway,
    channel_id: run.channelId,
    thread_ts: run.threadTs === "" ? null : run.threadTs,
    user_id: run.userId,
    created_at: toIso(run.createdAt),
    ended_at: toIsoOrNull(run.endedAt),
    stopped_by: run.stoppedBy,
  };
}

function toDetails(run: RunDetails): z.output<typeof runDetailsSchema> {
  return {
    ...toJson(run),
    steps: run.steps.map(({ name, attempts, result, begunAt, endedAt }) => ({
      ...{ name, attempts, result: parsed(result) },
      begun_at: toIso(begunAt),
      ended_at: toIsoOrNull(endedAt),
    })),
    effects: run.effects.map(({ step, key, outcome, at }) => ({ step, key, outcome, at: toIso(at) })),
    decisions: run.decisions.map((decision) => ({
      ...{ name: decision.name, kind: decision.kind, text: decision.text, choices: decision.choices },
      asked_at: toIso(decision.askedAt),
      due_at: toIsoOrNull(decision.dueAt),
      answer: parsed(decision.answer),
      answered_by: decision.answeredBy,
      answered_at: toIsoOrNull(decision.answeredAt),
    })),
    notes: run.notes.map(({ conversationId, userId, content, takenAt }) => ({
      ...{ conversation_id: conversationId, user_id: userId, content },
      is_read: takenAt !== null,
    })),
  };
}

function parsed(json: string | null): unknown {
  return json === null ? null : JSON.parse(json);
}

function toIso(instant: number): string {
  return new Date(instant).toISOString();
}

function toIsoOrNull(instant: number | null): string | null {
  return instant === null ? null : toIso(instant);
}
