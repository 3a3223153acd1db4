import fc from "fast-check";
import { expect, test } from "vitest";
import { breakHard, columnsOf, plainText, toAnsi, wrapSpans } from "./styled.ts";

const wrapped = (text: string, width: number) => wrapSpans([{ text }], { width }).map(plainText);

test("words go to the next row whole, and the blank between is dropped", () => {
  expect(wrapped("one two three", 7)).toEqual(["one two", "three"]);
});

test("a word longer than a row is broken in it", () => {
  expect(wrapped("a abcdefghij", 4)).toEqual(["a", "abcd", "efgh", "ij"]);
});

test("a word that changes its style in the middle stays whole", () => {
  const rows = wrapSpans([{ text: "one t" }, { text: "w", bold: true }, { text: "o" }], { width: 6 });
  expect(rows.map(plainText)).toEqual(["one", "two"]);
});

test("rows after the first hang under its text", () => {
  const rows = wrapSpans([{ text: "one two" }], {
    width: 5,
    first: [{ text: "• " }],
    rest: [{ text: "  " }],
  });
  expect(rows.map(plainText)).toEqual(["• one", "  two"]);
});

test("no row is wider than asked for, and no letter is lost", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 2, max: 20 }), (text, width) => {
      const rows = wrapSpans([{ text }], { width });
      expect(Math.max(...rows.map(columnsOf))).toBeLessThanOrEqual(width);
      expect(rows.map(plainText).join("").replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
      expect(breakHard({ text }, width).map(plainText).join("")).toBe(text);
    }),
  );
});

test("styles become escape sequences, neighbours of one style share theirs", () => {
  const row = [
    { text: "a" },
    { text: "b", bold: true },
    { text: "c", bold: true },
    { text: "d", color: "red" as const },
  ];
  expect(toAnsi(row, { hasColor: true })).toBe("a\u001b[1mbc\u001b[0m\u001b[31md\u001b[0m");
});

test("without color, bold stays and gray becomes faint", () => {
  const row = [
    { text: "a", bold: true, color: "red" as const },
    { text: "b", color: "gray" as const },
  ];
  expect(toAnsi(row, { hasColor: false })).toBe("\u001b[1ma\u001b[0m\u001b[2mb\u001b[0m");
});
