/** What the routes of runs take and answer, and what the description of the HTTP interface says of it. */
import * as z from "zod";
import type { ApiPart } from "./openapi.ts";

const instant = () => z.iso.datetime();
const id = () => z.int().min(1);

export const byWhomSchema = z.strictObject({ user_id: z.string().optional().describe("Who says so") });

/** The body of `POST /runs/:id/answer`. */
export const answerSchema = z.strictObject({
  answer: z.string().describe("One of the question's choices, or any text where it has none"),
  question: z.string().optional().describe("The question's name, where the run has asked several"),
  user_id: z.string().optional().describe("Who answers"),
});

export const runSchema = z.strictObject({
  run_id: id().describe("The conversation_id of the message that started it"),
  worker: z.string(),
  title: z.string(),
  status: z
    .enum(["open", "waiting", "done", "failed", "stopped", "dead"])
    .describe(
      "open: worked on or waiting for its turn; waiting: for a person, an event or a time; else ended",
    ),
  reason: z.string().nullable().describe("Why it has ended otherwise than well"),
  round: id().describe("How often it was begun"),
  gateway: z.string().nullable(),
  channel_id: z.string(),
  thread_ts: z.string().nullable(),
  user_id: z.string(),
  created_at: instant(),
  ended_at: instant().nullable(),
  stopped_by: z.string().nullable().describe("Who wants it ended, while it is open"),
});

export const runDetailsSchema = runSchema.extend({
  steps: z.array(
    z.strictObject({
      name: z.string(),
      attempts: id(),
      result: z.unknown().describe("JSON; null while it has not ended"),
      begun_at: instant(),
      ended_at: instant().nullable(),
    }),
  ),
  effects: z.array(
    z.strictObject({
      step: z.string(),
      key: z.string(),
      outcome: z.enum(["intended", "found", "made"]),
      at: instant(),
    }),
  ),
  decisions: z.array(
    z.strictObject({
      name: z.string(),
      kind: z.enum(["question", "event", "sleep"]),
      text: z.string(),
      choices: z.array(z.string()),
      asked_at: instant(),
      due_at: instant().nullable(),
      answer: z.unknown().describe("JSON; null while there is none"),
      answered_by: z.string().nullable(),
      answered_at: instant().nullable(),
    }),
  ),
  notes: z.array(
    z.strictObject({
      conversation_id: id(),
      user_id: z.string(),
      content: z.string(),
      is_read: z.boolean(),
    }),
  ),
});

const schemas = {
  Run: runSchema,
  RunDetails: runDetailsSchema,
  Runs: z.strictObject({ runs: z.array(runSchema) }),
  RunAnswer: answerSchema,
  ByWhom: byWhomSchema,
  RunAnswered: z.strictObject({ run_id: id(), question: z.string(), answer: z.string() }),
  RunTold: z.strictObject({ run_id: id() }),
};

/** What the description says of them. */
export function runApi(): ApiPart {
  const parameters = [{ name: "id", in: "path", required: true, schema: { type: "integer", minimum: 1 } }];
  const listed = [
    { name: "all", in: "query", description: "Those that have ended too", schema: { type: "boolean" } },
    { name: "limit", in: "query", schema: { type: "integer", minimum: 1, maximum: 1000, default: 100 } },
  ];
  const told = (summary: string) => ({
    post: {
      summary,
      parameters,
      requestBody: { required: false, ...json("ByWhom") },
      responses: { 202: answer("Stored; whoever has the run does it", "RunTold"), ...failures },
    },
  });
  return {
    paths: {
      "/runs": {
        get: {
          summary: "The open runs, the latest first",
          parameters: listed,
          responses: { 200: answer("As of now", "Runs"), ...failures },
        },
      },
      "/runs/{id}": {
        get: {
          summary: "A run with its steps, effects, questions and notes",
          parameters,
          responses: { 200: answer("As of now", "RunDetails"), ...failures },
        },
      },
      "/runs/{id}/answer": {
        post: {
          summary: "Answer the question that it waits with",
          parameters,
          requestBody: { required: true, ...json("RunAnswer") },
          responses: { 200: answer("It goes on", "RunAnswered"), ...failures },
        },
      },
      "/runs/{id}/stop": told("End it; what is done is kept"),
      "/runs/{id}/retry": told("Have one that has ended go on after its finished steps"),
    },
    schemas: Object.fromEntries(
      Object.entries(schemas).map(([name, schema]) => [name, toJsonSchema(schema)]),
    ),
  };
}

const failures = {
  default: { $ref: "#/components/responses/Error" },
  429: { $ref: "#/components/responses/TryLater" },
};

function toJsonSchema(schema: z.ZodType): object {
  const { $schema: _, ...plain } = z.toJSONSchema(schema, { io: "input" });
  return plain;
}

function json(name: string) {
  return { content: { "application/json": { schema: { $ref: `#/components/schemas/${name}` } } } };
}

function answer(description: string, name: string): object {
  return { description, ...json(name) };
}
