import fc from "fast-check";
import { expect, test } from "vitest";
import { parseKv } from "./parse-kv.ts";

const TABLE: [content: string, pairs: Record<string, string>][] = [
  ["", {}],
  ["hello", {}],
  ["/task list", {}],
  ["<@U1> hi", {}],
  ['/task create key=A-1 summary="Fix the bug"', { key: "A-1", summary: "Fix the bug" }],
  ["<@U1> /task create a=1", { a: "1" }],
  ["<@U1>/task a=1", { a: "1" }],
  ["hey <@U1> /task a=1", { a: "1" }],
  ["//x a=1", { a: "1" }],
  ["/run-task PROJ-123 dry=true", { dry: "true" }],
  ["Key=1 key=2", { key: "2" }],
  ["a= 1", { a: "" }],
  ['a=""', { a: "" }],
  ["a = 1", {}],
  ["=x b=2", {}],
  ["a=b=c", { a: "b=c" }],
  ["url=https://h/p?x=1&y=2", { url: "https://h/p?x=1&y=2" }],
  ['a="x y b=2', { a: "x y b=2" }],
  ['a="x"b=2', { a: "x", b: "2" }],
];

test.each(TABLE)("%j gives the pairs of the contract's table", (content, pairs) => {
  expect(parseKv(content)).toStrictEqual(pairs);
});

const CORNERS: [rule: string, content: string, pairs: Record<string, string>][] = [
  ["a mention is passed over only at the start", "a=1 <@U2>=x", { a: "1", "<@u2>": "x" }],
  ["a mention that does not end is a word like any other", "<@U1 a=1", { a: "1" }],
  ["a mention that does not end can be a key", "<@U1=2 a=1", { "<@u1": "2", a: "1" }],
  ["a mention may hold white space and =", "<@U1 x=1> a=2", { a: "2" }],
  ["a command that holds = is a command all the same", "<@U1> /x=1 a=2", { a: "2" }],
  [
    "only one word is a sub-command, and other words are passed over",
    "/task create now a=1 please b=2",
    { a: "1", b: "2" },
  ],
  ["an = after a quoted value ends the reading", 'a="1"=2 b=3', { a: "1" }],
  ["an = alone ends the reading of what follows", "a=1 = b=2", { a: "1" }],
  ["a quote inside a value is a character", 'a=x"y z" b=1', { a: 'x"y', b: "1" }],
  ["a backslash escapes nothing", 'a="x\\" b=1', { a: "x\\", b: "1" }],
  ["a quoted value keeps its line ends", 'a="1\n 2"', { a: "1\n 2" }],
  ["a value without its closing quote ends where the trimmed text ends", 'a="x y \n', { a: "x y" }],
  ["a single quote mark after = is an empty value", 'a="', { a: "" }],
  ["pairs may stand on lines of their own", "a=1\nb=2\r\n\tc=3", { a: "1", b: "2", c: "3" }],
  [
    "every white space of Unicode separates",
    "a=1\u0085b=2\u00a0c=3\u2028d=4\u3000e=5",
    { a: "1", b: "2", c: "3", d: "4", e: "5" },
  ],
  [
    "a byte order mark and a zero-width space are no white space",
    "a=1\ufeffb=2\u200bc=3",
    { a: "1\ufeffb=2\u200bc=3" },
  ],
  ["keys outside ASCII are lower-cased too", "ÄRGER=1 Σ=2", { ärger: "1", σ: "2" }],
];

test.each(CORNERS)("%s", (_rule, content, pairs) => {
  expect(parseKv(content)).toStrictEqual(pairs);
});

test("a key that every object has is a key like any other and changes no other object", () => {
  const pairs = parseKv("__proto__=a constructor=b __proto__=c");

  expect(Object.entries(pairs)).toEqual([
    ["__proto__", "c"],
    ["constructor", "b"],
  ]);
  expect(Object.getPrototypeOf(pairs)).toBe(Object.prototype);
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
});

const BITS = [
  "<@",
  "<@U1>",
  "<",
  ">",
  "/",
  "/task",
  "=",
  "==",
  '"',
  " ",
  "\n",
  "\t",
  "\u0085",
  "\u00a0",
  "\u1680",
];
const MORE_BITS = [
  "\u2003",
  "\u2028",
  "\u202f",
  "\u205f",
  "\u3000",
  "\ufeff",
  "\u200b",
  "\u180e",
  "a",
  "B",
  "é",
  "😀",
  "\ud800",
  "__proto__",
  "key=v",
  'q="x y"',
];
const content = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...BITS, ...MORE_BITS) },
      { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
    ),
    { maxLength: 40 },
  )
  .map((bits) => bits.join(""));

test("a second reading of the rules, by regular expressions, agrees on any text", () => {
  fc.assert(
    fc.property(content, (text) => {
      expect(Object.entries(parseKv(text))).toEqual([...secondReading(text)]);
    }),
    { numRuns: 5_000 },
  );
});

test("every code point counts as white space exactly where Unicode says so", () => {
  const wrong: string[] = [];
  for (let code = 0; code <= 0x10ffff; code += 1) {
    const isSpace = /\p{White_Space}/u.test(String.fromCodePoint(code));
    const { a } = parseKv(`a=1${String.fromCodePoint(code)}2`);
    if ((a === "1") !== isSpace) wrong.push(code.toString(16));
  }
  expect(wrong).toEqual([]);
});

// Reading some character again for each later one would take hours here, and the test would time out.
test("a text of a million characters is read in one pass, whatever it is made of", () => {
  for (const bit of ["a=1 ", "=", '"', 'a="', "<@", ">", "/", "a", " ", "\u3000", 'a=""', "<@U> /x y "]) {
    const text = `k=1 ${bit.repeat(1_000_000 / bit.length)}`;
    expect(parseKv(text)).toHaveProperty("k");
  }
});

function secondReading(text: string): Map<string, string> {
  const S = "\\p{White_Space}";
  const rest = text
    .replace(new RegExp(`^${S}+`, "u"), "")
    .replace(new RegExp(`(?<!${S})${S}+$`, "u"), "")
    .replace(new RegExp(`^<@[^>]*>${S}*`, "u"), "")
    .replace(new RegExp(`^/[^${S}]*${S}*`, "u"), "")
    .replace(new RegExp(`^[^=${S}]+(${S}+|$)`, "u"), "");
  const pairs = new Map<string, string>();
  for (const [, key, quoted, bare] of rest.matchAll(
    new RegExp(`([^=${S}]*)=(?:"([^"]*)"?|([^${S}]*))|[^${S}]+`, "gu"),
  )) {
    if (key === "") break;
    if (key !== undefined) pairs.set(key.toLowerCase(), quoted ?? bare ?? "");
  }
  return pairs;
}
