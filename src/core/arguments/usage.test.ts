import { expect, test } from "vitest";
import * as z from "zod";
import type { StandardSchema } from "./standard-schema.ts";
import { argumentHelp, usageOf } from "./usage.ts";

const review = z.object({
  pr: z.coerce.number().int().positive().describe("Its number"),
  depth: z.enum(["shallow", "deep"]).default("shallow").describe("How closely\nto look"),
  dryRun: z.boolean().default(false),
});
const opaque: StandardSchema = {
  "~standard": { version: 1, vendor: "me", validate: (value) => ({ value }) },
};

const USAGES: [schema: StandardSchema, usage: string][] = [
  [review, "/x <pr> [--depth shallow|deep] [--dry-run]"],
  [z.object({}), "/x"],
  [z.object({ text: z.string() }), "/x <text>"],
  [z.object({ text: z.string().optional() }), "/x [text]"],
  [z.object({ level: z.enum(["low", "high"]), all: z.boolean() }), "/x <level:low|high> --all|--no-all"],
  [z.object({ files: z.array(z.string()).min(1), to: z.string() }), "/x <files…> <to>"],
  [
    z.object({ files: z.array(z.string()), maxCount: z.number().optional() }),
    "/x [files…] [--max-count <number>]",
  ],
  [
    z.object({ tags: z.array(z.string()).optional(), url: z.url().optional() }),
    "/x [--tags <text>]… [--url <url>]",
  ],
  [z.object({ scope: z.enum(["thread", "all"]).default("thread") }), "/x [scope:thread|all]"],
  [
    z.object({ action: z.enum(["list", "retry"]).optional(), depth: z.enum(["a"]).optional() }),
    "/x [action:list|retry] [--depth a]",
  ],
  [z.object({ what: z.string().meta({ "x-rest": true }), repo: z.string() }), "/x <what> --repo <text>"],
  [z.looseObject({ id: z.number() }), "/x <id> [key=value …]"],
  [opaque, "/x key=value …"],
];

test.each(USAGES)("the usage of schema %# fits in a line", (schema, usage) => {
  expect(usageOf("/x", schema)).toBe(usage);
});

test("where a schema does not describe itself, the worker's example is the usage", () => {
  expect(usageOf("/x", opaque, { example: "/x key=A-1" })).toBe("/x key=A-1");
  expect(argumentHelp(opaque)).toEqual([]);
});

test("each argument has a line with what it takes, its default and what it is for", () => {
  const schema = review.extend({
    tags: z.array(z.string()).optional(),
    score: z.number().min(1).max(5).optional(),
    color: z.boolean().default(true),
    note: z.string().meta({ "x-rest": true }),
  });

  expect(argumentHelp(schema)).toEqual([
    "`pr` — a whole number of at least 1, required: Its number",
    "`depth` — shallow or deep, default shallow: How closely to look",
    "`--dry-run` — a switch, optional",
    "`tags` — any number of: a text, optional",
    "`score` — a number from 1 to 5, optional",
    "`--color` — a switch, on by default",
    "`note` — a text, to the end of the message, required",
  ]);
});
