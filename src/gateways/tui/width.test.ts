import { renderToString, Text } from "ink";
import { createElement } from "react";
import { expect, test } from "vitest";
import { fitTo, graphemesOf, widthOf } from "./width.ts";

const SAMPLES: [text: string, columns: number][] = [
  ["", 0],
  ["hello", 5],
  ["漢字", 4],
  ["한국어", 6],
  ["カタカナ", 8],
  ["ｶﾀｶﾅ", 4],
  ["ＡＢ", 4],
  ["😀", 2],
  ["👩‍👩‍👧", 2],
  ["🇩🇪", 2],
  ["👍🏽", 2],
  ["⚠️", 2],
  ["⚠", 1],
  ["e\u0301", 1],
  ["नमस्ते", 3],
  ["…•│●", 4],
  ["a\u200bb", 2],
];

test.each(SAMPLES)("%j takes %i columns", (text, columns) => {
  expect(widthOf(text)).toBe(columns);
});

test("ink counts the same columns, so that its rows are ours", () => {
  const disagreed = SAMPLES.filter(([text]) => text !== "" && !text.includes("स")).filter(
    ([text, columns]) => {
      // What fits exactly stays in one row; with one column less it does not.
      const fits = rowsByInk(text.repeat(3), columns * 3) === 1;
      const breaks = columns * 3 === 1 || rowsByInk(text.repeat(3), columns * 3 - 1) > 1;
      return !(fits && breaks);
    },
  );
  expect(disagreed).toEqual([]);
});

function rowsByInk(text: string, columns: number): number {
  return renderToString(createElement(Text, { wrap: "wrap" }, text), { columns }).split("\n").length;
}

test("a family is one grapheme", () => {
  expect(graphemesOf("a👩‍👩‍👧b")).toEqual(["a", "👩‍👩‍👧", "b"]);
});

test("what does not fit ends with an ellipsis, and no character is cut in two", () => {
  expect(fitTo("hello", 5)).toBe("hello");
  expect(fitTo("hello", 4)).toBe("hel…");
  expect(fitTo("漢字漢字", 6)).toBe("漢字…");
  expect(fitTo("a👩‍👩‍👧b", 3)).toBe("a…");
  expect(fitTo("hello", 0)).toBe("");
});
