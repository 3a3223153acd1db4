import { expect, test } from "vitest";
import { splitWords } from "./words.ts";

function texts(source: string): string[] | string {
  const split = splitWords(source);
  return split.ok ? split.words.map(({ text }) => text) : split.problem;
}

const TABLE: [source: string, words: string[]][] = [
  ["", []],
  [" \n\t ", []],
  ["a b", ["a", "b"]],
  ["a\u0085b\u00a0c\u2028d\u3000e\r\nf", ["a", "b", "c", "d", "e", "f"]],
  ["a\ufeffb", ["a\ufeffb"]],
  ['"a b" c', ["a b", "c"]],
  ["'a b' c", ["a b", "c"]],
  ["`a b` c", ["a b", "c"]],
  ["“a b” c", ["a b", "c"]],
  ["„a b“ c", ["a b", "c"]],
  ["„a b” c", ["a b", "c"]],
  ["”a b” c", ["a b", "c"]],
  ["‟a b“ c", ["a b", "c"]],
  ["‘a b’ c", ["a b", "c"]],
  ["‚a b‘ c", ["a b", "c"]],
  ["‹a b› c", ["a b", "c"]],
  ["›a b‹ c", ["a b", "c"]],
  ["«a b» c", ["a b", "c"]],
  ["»a b« c", ["a b", "c"]],
  ["«\u00a0a b\u00a0» c", ["a b", "c"]],
  ['“a b" c', ["a b", "c"]],
  ['"a b” c', ["a b", "c"]],
  ["'a b’ c", ["a b", "c"]],
  ['"say “hi” now" c', ["say “hi” now", "c"]],
  ['“say "hi" now” c', ['say "hi" now', "c"]],
  ["'don't do it' c", ["don't do it", "c"]],
  ["‘don’t do it’ c", ["don’t do it", "c"]],
  ["don't 5\" users' x", ["don't", '5"', "users'", "x"]],
  ["\"\" '' ``", ["", "", ""]],
  ['"a\nb"', ["a\nb"]],
  ['"a", b', ["a,", "b"]],
  ["“你好”世界", ["你好世界"]],
  ['key="a b" --k=“c d”', ["key=a b", "--k=c d"]],
  ['"a \\" b" c', ['a " b', "c"]],
  ['a\\"b \\"c d\\"', ['a"b', '"c', 'd"']],
  ["a\\ b c", ["a b", "c"]],
  ["a\\\\ b", ["a\\", "b"]],
  ["a\\nb\\tc", ["a\nb\tc"]],
  ['"a\\nb\\\\"', ["a\nb\\"]],
  ["`C:\\new\\`", ["C:\\new\\"]],
  ["\\d+\\.x \\", ["\\d+\\.x", "\\"]],
  ["a \\\n  b\\\r\nc", ["a", "b", "c"]],
];

test.each(TABLE)("%j is split into its words", (source, words) => {
  expect(texts(source)).toEqual(words);
});

test.each([
  ['a "b c', '"', 3],
  ["👩‍👩‍👧 key='b c", "'", 7],
  ["“b c", "“", 1],
  ["a `b c\\`d", "`", 3],
  ['a="x"b=2', '"', 3],
])("the quote of %j that is never closed is named with its position", (source, mark, position) => {
  expect(texts(source)).toContain(`The quote ${mark} at character ${position} is never closed`);
});

test("a quoted word and a quoted value are marked as such, and only an = outside of quotes divides", () => {
  const split = splitWords('"a=b" c="d=e" f=g=h =i j');

  expect(
    split.ok &&
      split.words.map(({ isQuoted, equalsAt, isValueQuoted }) => [isQuoted, equalsAt, isValueQuoted]),
  ).toEqual([
    [true, -1, false],
    [false, 1, true],
    [false, 1, false],
    [false, -1, false],
    [false, -1, false],
  ]);
});

// Looking to the end again for each quote would take minutes here, and the test would time out.
test("a long text is read in one pass, whatever they are made of", () => {
  for (const bit of ['“a" ', '"a” ', "'a’ ", "« ", "\\", "\\ ", "a'b ", '"', "x=", "—", "` "]) {
    splitWords(bit.repeat(300_000 / bit.length));
  }
});
