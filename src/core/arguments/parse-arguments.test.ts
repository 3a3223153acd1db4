import fc from "fast-check";
import { expect, test } from "vitest";
import * as z from "zod";
import { parseArguments } from "./parse-arguments.ts";
import type { StandardSchema } from "./standard-schema.ts";

const review = z.object({
  pr: z.coerce.number().int().positive(),
  depth: z.enum(["shallow", "deep"]).default("shallow"),
  dryRun: z.boolean().default(false),
  max_files: z.number().optional(),
  title: z.string().min(3).optional(),
});
const plain = { depth: "shallow", dryRun: false };

const REVIEWS: [text: string, value: object][] = [
  ["42", { ...plain, pr: 42 }],
  ["pr=42", { ...plain, pr: 42 }],
  ["--pr 42", { ...plain, pr: 42 }],
  ["--pr=42", { ...plain, pr: 42 }],
  ["—pr 42", { ...plain, pr: 42 }],
  ["–pr=42", { ...plain, pr: 42 }],
  ["42 deep", { ...plain, pr: 42, depth: "deep" }],
  ["42 Deep", { ...plain, pr: 42, depth: "deep" }],
  ["depth=deep 42", { ...plain, pr: 42, depth: "deep" }],
  ["--depth deep 42", { ...plain, pr: 42, depth: "deep" }],
  ["42 --dry-run", { ...plain, pr: 42, dryRun: true }],
  ["--dry-run 42", { ...plain, pr: 42, dryRun: true }],
  ["42 —dry-run", { ...plain, pr: 42, dryRun: true }],
  ["42 --DRY_RUN", { ...plain, pr: 42, dryRun: true }],
  ["42 --dryRun", { ...plain, pr: 42, dryRun: true }],
  ["42 dry_run=yes", { ...plain, pr: 42, dryRun: true }],
  ["42 dryrun=ON", { ...plain, pr: 42, dryRun: true }],
  ["--dry-run no 42", { ...plain, pr: 42 }],
  ["42 --no-dry-run", { ...plain, pr: 42 }],
  ["42 --max-files -1.5", { ...plain, pr: 42, max_files: -1.5 }],
  ["42 maxFiles=1e3", { ...plain, pr: 42, max_files: 1000 }],
  ['42 title="a \\"b\\" c"', { ...plain, pr: 42, title: 'a "b" c' }],
  ["42 title=“don’t do it”", { ...plain, pr: 42, title: "don’t do it" }],
  ["42 title=a=b=c", { ...plain, pr: 42, title: "a=b=c" }],
  ["42 deep 3 https://h/p?x=1", { ...plain, pr: 42, depth: "deep", max_files: 3, title: "https://h/p?x=1" }],
  ["42 deep 3 -- --text", { ...plain, pr: 42, depth: "deep", max_files: 3, title: "--text" }],
  ['42 deep 3 "--text"', { ...plain, pr: 42, depth: "deep", max_files: 3, title: "--text" }],
];

test.each(REVIEWS)("%j is read into its typed value", async (text, value) => {
  expect(await parseArguments(text, review)).toEqual({ ok: true, value });
});

const MISTAKES: [text: string, problems: string[]][] = [
  ["", ["pr is missing: give a whole number of at least 1"]],
  ["abc", ['pr must be a whole number of at least 1, not "abc"']],
  ["-5", ['pr must be a whole number of at least 1, not "-5"']],
  ["1.5", ['pr must be a whole number of at least 1, not "1.5"']],
  ['""', ["pr is empty: give a whole number of at least 1"]],
  ["42 dep", ['depth must be shallow or deep, not "dep"; did you mean deep?']],
  ["42 depth=1", ['depth must be shallow or deep, not "1"']],
  ["42 --depth", ["--depth needs a value: shallow or deep"]],
  ["42 --depth --dry-run", ["--depth needs a value: shallow or deep"]],
  ["42 --dry-run=maybe", ['dry-run must be yes or no, not "maybe"']],
  ["42 --dryrum", ["I do not know --dryrum; did you mean --dry-run?"]],
  ["42 dept=deep", ["I do not know dept=; did you mean depth=? (put it in quotes if it is text)"]],
  ["42 -dry-run", ['depth must be shallow or deep, not "-dry-run"; did you mean --dry-run?']],
  ["42 --dry", ["I do not know --dry; did you mean --dry-run?"]],
  [
    "pr=42 depth=deep 3 title=abc rest",
    ['I do not know what to do with "rest"; put what has several words in quotes'],
  ],
  ["42 --color", ["I do not know --color; there is pr, depth, --dry-run, max-files, title"]],
  ["42 pr=43", ['depth must be shallow or deep, not "42"']],
  ["pr=42 PR=43", ['pr is given twice: "42" and "43"']],
  ["42 title=ab", ['title must be a text of at least 3 characters, not "ab"']],
  [
    "42 deep 3 some words",
    ['I do not know what to do with "words"; put title in quotes if it has several words'],
  ],
  ['42 "dry-run', ['The quote " at character 4 is never closed: "dry-run (write \\" for the mark itself)']],
  [
    "x depth=y --nope",
    [
      "I do not know --nope; there is pr, depth, --dry-run, max-files, title",
      'pr must be a whole number of at least 1, not "x"',
      'depth must be shallow or deep, not "y"',
    ],
  ],
];

test.each(MISTAKES)("the mistakes in %j are told", async (text, problems) => {
  const parsed = await parseArguments(text, review);

  expect(parsed.ok ? [] : parsed.problems.toSorted()).toEqual(problems.toSorted());
});

test("what is missing is told with its description, as part of the sentence", async () => {
  const schema = z.object({
    task: z.string().describe("Its key,\nas PROJ-1"),
    url: z.url().describe("URL of it"),
  });

  expect(await parseArguments("", schema)).toEqual({
    ok: false,
    problems: ["task is missing: give a text (its key, as PROJ-1)", "url is missing: give a URL (URL of it)"],
  });
});

test("a beginning that several arguments share suggests none of them", async () => {
  const schema = z.object({ dryRun: z.boolean().default(false), dryDock: z.boolean().default(false) });

  expect(await parseArguments("--dry", schema)).toEqual({
    ok: false,
    problems: ["I do not know --dry; there is --dry-run, --dry-dock"],
  });
});

test("a word that nearly is a flag is taken for one in the answer", async () => {
  const schema = z.object({ pr: z.number(), dryRun: z.boolean().default(false) });

  expect(await parseArguments("42 dry-run", schema)).toEqual({
    ok: false,
    problems: ['I do not know what to do with "dry-run"; did you mean --dry-run?'],
  });
});

test("required arguments have their word before optional ones", async () => {
  const schema = z.object({ depth: z.string().optional(), pr: z.number() });

  expect(await parseArguments("42", schema)).toEqual({ ok: true, value: { pr: 42 } });
  expect(await parseArguments("deep 42", schema)).toEqual({ ok: true, value: { depth: "deep", pr: 42 } });
});

test("a list takes repeated keys, or the words that are left over", async () => {
  const schema = z.object({
    files: z.array(z.string()),
    counts: z.array(z.number()).optional(),
    to: z.string(),
  });

  expect(await parseArguments("a b c d", schema)).toEqual({
    ok: true,
    value: { files: ["a", "b", "c"], to: "d" },
  });
  expect(await parseArguments("d files=a --files b counts=1 --counts=2", schema)).toEqual({
    ok: true,
    value: { files: ["a", "b"], counts: [1, 2], to: "d" },
  });
  expect(await parseArguments("d counts=[]", schema)).toEqual({
    ok: true,
    value: { files: [], counts: [], to: "d" },
  });
  expect(await parseArguments("d counts=1 counts=x", schema)).toEqual({
    ok: false,
    problems: ['counts must be a number, not "x"'],
  });
});

const only = z.object({ text: z.string() });
const work = z.object({
  what: z.string().meta({ "x-rest": true }),
  repo: z.string().optional(),
  dryRun: z.boolean().default(false),
});

const RESTS: [text: string, schema: StandardSchema, value: object][] = [
  ["hello  world, it's\nme", only, { text: "hello  world, it's\nme" }],
  ['say "a b" to C:\\new', only, { text: 'say "a b" to C:\\new' }],
  ['"a \\"b\\""', only, { text: 'a "b"' }],
  ["text=hello", only, { text: "hello" }],
  ["set x=1 and --watch — now", only, { text: "set x=1 and --watch — now" }],
  ["a -- b", only, { text: "a -- b" }],
  ["-- text=b", only, { text: "text=b" }],
  ["fix the login repo=api", work, { what: "fix the login", repo: "api", dryRun: false }],
  ["repo=api fix the login --dry-run", work, { what: "fix the login", repo: "api", dryRun: true }],
  ["fix the --repo api login", work, { what: "fix the login", repo: "api", dryRun: false }],
  ["--dry-run on the page", work, { what: "on the page", dryRun: true }],
  ['fix "repo=x" too', work, { what: 'fix "repo=x" too', dryRun: false }],
];

test.each(RESTS)("the rest of %j is taken as it stands", async (text, schema, value) => {
  expect(await parseArguments(text, schema)).toEqual({ ok: true, value });
});

test("in a rest, a key that is nearly one of the command's is asked about", async () => {
  expect(await parseArguments("fix it rep=api", work)).toEqual({
    ok: false,
    problems: ["I do not know rep=; did you mean repo=? (put it in quotes if it is text)"],
  });
});

test("a coerced boolean takes no word for yes that is none", async () => {
  const schema = z.object({ all: z.coerce.boolean(), count: z.coerce.number() });

  expect(await parseArguments("3 all=false", schema)).toEqual({ ok: true, value: { all: false, count: 3 } });
  expect(await parseArguments("3 all=perhaps", schema)).toMatchObject({ ok: false });
  expect(await parseArguments("3", schema)).toEqual({
    ok: false,
    problems: ["all is missing: give --all or --no-all"],
  });
});

test("unions, null, dates, objects and references are read by their JSON Schema", async () => {
  const level = z.enum(["low", "high"]).meta({ id: "level" });
  const schema = z.object({
    id: z.union([z.number(), z.string()]),
    level,
    mode: z.union([z.literal("off"), z.literal(5)]).optional(),
    until: z.coerce.date().optional(),
    filter: z.object({ a: z.number() }).optional(),
    note: z.string().nullable().optional(),
  });

  expect(await parseArguments('5 LOW mode=5 until=2026-01-31 filter={"a":1} note=null', schema)).toEqual({
    ok: true,
    value: { id: 5, level: "low", mode: 5, until: new Date("2026-01-31"), filter: { a: 1 }, note: null },
  });
  expect(await parseArguments('"5" low note="null"', schema)).toEqual({
    ok: true,
    value: { id: "5", level: "low", note: "null" },
  });
});

test("a schema that takes other keys is given them", async () => {
  expect(
    await parseArguments("a=1 --long-name x --flag --no-flip", z.record(z.string(), z.string())),
  ).toEqual({
    ok: true,
    value: { a: "1", longName: "x", flag: "true", flip: "false" },
  });
});

test("what the schema alone knows is told in its words, and it may take its time", async () => {
  const schema = z
    .object({ a: z.number(), b: z.number(), s: z.string().regex(/^x/, "it must start with x").default("x") })
    .refine(async ({ a, b }) => a < b, "a must be less than b");

  expect(await parseArguments("2 1", schema)).toEqual({ ok: false, problems: ["a must be less than b"] });
  expect(await parseArguments("1 2 y", schema)).toEqual({
    ok: false,
    problems: ['s cannot be "y": it must start with x'],
  });
});

const handMade: StandardSchema<unknown, Record<string, string>> = {
  "~standard": {
    version: 1,
    vendor: "me",
    validate: (value) => {
      const { key, ...others } = value as Record<string, string>;
      return key === undefined ? { issues: [{ message: "key is needed" }] } : { value: { key, ...others } };
    },
  },
};

test("a schema that does not describe itself is given texts", async () => {
  expect(await parseArguments('key="A 1" --dry-run --n=1', handMade)).toEqual({
    ok: true,
    value: { key: "A 1", dryRun: "true", n: "1" },
  });
  expect(await parseArguments("--n 1", handMade)).toEqual({ ok: false, problems: ["key is needed"] });
  expect(await parseArguments("key=1 word", handMade)).toEqual({
    ok: false,
    problems: ['I do not know what to do with "word"; write it as key=value'],
  });
});

test("a key that every object has changes no other object", async () => {
  const parsed = await parseArguments("__proto__=a constructor=b", z.record(z.string(), z.string()));

  expect(parsed.ok).toBe(true);
  expect(({} as Record<string, unknown>).a).toBeUndefined();
  expect(await parseArguments("42 __proto__=x", review)).toMatchObject({ ok: false });
});

const BITS = [
  "--",
  "—",
  "pr",
  "=",
  " ",
  '"',
  "“",
  "'",
  "\\",
  "`",
  "no-",
  "depth",
  "deep",
  "42",
  "{",
  "[",
  "é",
  "😀",
];
const content = fc
  .array(
    fc.oneof(
      fc.constantFrom(...BITS, "\n", "\ud800", "__proto__", "--dry-run"),
      fc.string({ unit: "binary" }),
    ),
  )
  .map((bits) => bits.join(""));

test("no text at all makes it throw, and each mistake is a sentence", async () => {
  const schemas: StandardSchema[] = [
    review,
    only,
    work,
    handMade,
    z.record(z.string(), z.json()),
    z.object({}),
  ];
  await fc.assert(
    fc.asyncProperty(content, fc.constantFrom(...schemas), async (text, schema) => {
      const parsed = await parseArguments(text, schema);
      if (!parsed.ok) expect(parsed.problems.every((problem) => problem.length > 5)).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

test.for([undefined, null, "fine", true])(
  "a schema that answers %s is its worker's mistake, for good",
  async (answer) => {
    const broken = { "~standard": { version: 1, vendor: "mine", validate: () => answer } };

    await expect(parseArguments("x", broken as never)).rejects.toMatchObject({
      retry: "never",
      message: expect.stringContaining("not { value } or { issues }"),
    });
  },
);

// A cost that grows with the square of the length would take minutes here, and the test would time out.
test("a long text costs its length, whatever it is made of", async () => {
  for (const bit of ["a=1 ", "--x ", "word ", "dept=1 ", "rep=1 ", "pr=1 ", "[", '"a” ', "--no-x "]) {
    const text = bit.repeat(100_000 / bit.length);
    for (const schema of [review, only, work, handMade]) await parseArguments(text, schema);
  }
}, 90_000);
