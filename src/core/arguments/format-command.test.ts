import fc from "fast-check";
import { expect, test } from "vitest";
import * as z from "zod";
import { formatCommand } from "./format-command.ts";
import { parseArguments } from "./parse-arguments.ts";
import type { StandardSchema } from "./standard-schema.ts";

const review = z.object({
  pr: z.coerce.number().int().positive(),
  depth: z.enum(["shallow", "deep"]).default("shallow"),
  dryRun: z.boolean().default(false),
  title: z.string().optional(),
  tags: z.array(z.string()).optional(),
});

test.each([
  [{ pr: 42, depth: "deep", dryRun: true }, "/review 42 depth=deep --dry-run"],
  [{ pr: 42, dryRun: false, title: 'a "b"\nc' }, '/review 42 title="a \\"b\\"\\nc" --no-dry-run'],
  [{ pr: 42, tags: [] }, "/review 42 tags=[]"],
  [{ pr: 42, tags: ["a", "b c", "[]"], title: "" }, '/review 42 title="" tags=a tags="b c" tags="[]"'],
  [{ title: undefined, dryRun: true }, "/review --dry-run"],
])("%j is printed", (value, command) => {
  expect(formatCommand("/review", value, review)).toBe(command);
});

test("a rest is printed as prose where it is read as the same", () => {
  const schema = z.object({ what: z.string().meta({ "x-rest": true }), repo: z.string().optional() });

  expect(formatCommand("/do", { what: "fix the login", repo: "api" }, schema)).toBe(
    "/do fix the login repo=api",
  );
  expect(formatCommand("/do", { what: "fix  it" }, schema)).toBe('/do "fix  it"');
  expect(formatCommand("/do", { what: "set repo=x" }, schema)).toBe('/do "set repo=x"');
  expect(formatCommand("/echo", { text: "hello" }, z.object({ text: z.string().optional() }))).toBe(
    "/echo hello",
  );
});

test("a flag that would be read as another property is printed as a pair", async () => {
  const schema = z.object({ cache: z.boolean(), noCache: z.boolean() });
  const value = { cache: false, noCache: false };

  const command = formatCommand("/x", value, schema);

  expect(command).toBe("/x cache=false --no-no-cache");
  expect(await parseArguments(command.slice(2), schema)).toEqual({ ok: true, value });
});

const BITS = [
  '"',
  "'",
  "`",
  "“",
  "”",
  "„",
  "’",
  "«",
  "»",
  "\\",
  "\\n",
  "\n",
  "\t",
  "\r\n",
  " ",
  "=",
  "--",
  "—",
  "-",
];
const MORE_BITS = [
  "a",
  "no",
  "true",
  "null",
  "42",
  "[]",
  "{}",
  "a=b",
  "--pr",
  "😀",
  "👩‍👩‍👧",
  "\u00a0",
  "\ufeff",
  "\u2028",
  "__proto__",
];
const text = fc.oneof(
  fc
    .array(fc.oneof(fc.constantFrom(...BITS, ...MORE_BITS), fc.string({ unit: "binary" })))
    .map((bits) => bits.join("")),
  fc.constantFrom("", ...BITS, ...MORE_BITS),
);
const number = fc.double({ noNaN: true, noDefaultInfinity: true });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const CASES: [name: string, schema: StandardSchema, value: fc.Arbitrary<object>][] = [
  [
    "positional, enum, flag, optional, list",
    review,
    fc.record({
      pr: fc.integer({ min: 1 }),
      depth: fc.constantFrom("shallow", "deep"),
      dryRun: fc.boolean(),
      title: maybe(text),
      tags: maybe(fc.array(text)),
    }),
  ],
  ["one text", z.object({ text: z.string() }), fc.record({ text })],
  ["one optional text", z.object({ text: z.string().optional() }), fc.record({ text: maybe(text) })],
  [
    "a rest behind an optional argument",
    z.object({
      repo: z.string().optional(),
      n: z.number(),
      what: z.string().meta({ "x-rest": true }),
      all: z.boolean(),
    }),
    fc.record({ repo: maybe(text), n: number, what: text, all: fc.boolean() }),
  ],
  [
    "an optional rest behind an optional argument",
    z.object({ repo: z.string().optional(), what: z.string().optional().meta({ "x-rest": true }) }),
    fc.record({ repo: maybe(text), what: maybe(text) }),
  ],
  [
    "unions and null",
    z.object({
      id: z.union([z.number(), z.boolean(), z.string()]),
      note: z.string().nullable(),
      mode: z.union([z.literal("5"), z.literal(5), z.literal(true), z.literal("--x y"), z.null()]),
      flag: z.boolean().nullable().optional(),
      tags: z.array(z.string()).nullable(),
    }),
    fc.record({
      id: fc.oneof(number, fc.boolean(), text),
      note: fc.option(text),
      mode: fc.constantFrom("5", 5, true, "--x y", null),
      flag: fc.option(maybe(fc.boolean())),
      tags: fc.option(fc.array(text)),
    }),
  ],
  [
    "lists of each kind around required texts",
    z.object({
      a: z.string(),
      list: z.array(z.string()).min(1),
      mixed: z.array(z.union([z.number(), z.string(), z.null()])).default([1]),
      pair: z.tuple([z.number(), z.string()]),
      b: z.string(),
    }),
    fc.record({
      a: text,
      list: fc.array(text, { minLength: 1 }),
      mixed: fc.array(fc.oneof(number, text, fc.constant(null))),
      pair: fc.tuple(number, text),
      b: text,
    }),
  ],
  [
    "objects, dates, big integers",
    z.object({
      filter: z.object({ text: z.string(), list: z.array(z.number()) }),
      either: z.union([z.string(), z.object({ a: z.string() })]),
      at: z.coerce.date(),
      big: z.coerce.bigint(),
    }),
    fc.record({
      filter: fc.record({ text, list: fc.array(fc.integer()) }),
      either: fc.oneof(text, fc.record({ a: text })),
      at: fc.date({ noInvalidDate: true }),
      big: fc.bigInt(),
    }),
  ],
  [
    "names that look alike",
    z.object({ dryRun: z.string(), dry_run: z.string().optional(), DRYRUN: z.boolean(), no: z.boolean() }),
    fc.record({ dryRun: text, dry_run: maybe(text), DRYRUN: fc.boolean(), no: fc.boolean() }),
  ],
  [
    "any key",
    z.record(z.string(), z.string()),
    fc.dictionary(fc.stringMatching(/^[a-z][a-zA-Z0-9_-]*$/), text),
  ],
];

test.each(CASES)("what is printed is read as the same value: %s", async (_name, schema, values) => {
  await fc.assert(
    fc.asyncProperty(values, async (value) => {
      const expected = Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined));

      const command = formatCommand("/x", value, schema);

      expect([command, await parseArguments(command.slice(2), schema)]).toEqual([
        command,
        { ok: true, value: expected },
      ]);
    }),
    { numRuns: 300 },
  );
});
