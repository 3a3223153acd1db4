import fc from "fast-check";
import { expect, test } from "vitest";
import { type Edit, type EditedText, edit, textOf } from "./line-editor.ts";
import { graphemesOf } from "./width.ts";

/** A text with its cursor at "|". */
const at = (marked: string): EditedText => ({ text: marked.replace("|", ""), cursor: marked.indexOf("|") });
const shown = ({ text, cursor }: EditedText) => `${text.slice(0, cursor)}|${text.slice(cursor)}`;

const EDITS: [from: string, type: Exclude<Edit["type"], "insert">, to: string][] = [
  ["ab|c", "left", "a|bc"],
  ["|abc", "left", "|abc"],
  ["a|bc", "right", "ab|c"],
  ["a👩‍👩‍👧|b", "left", "a|👩‍👩‍👧b"],
  ["a👩‍👩‍👧|b", "delete-left", "a|b"],
  ["|e\u0301x", "delete-right", "|x"],
  ["one two-three|", "word-left", "one two-|three"],
  ["one |  two three", "word-right", "one   two| three"],
  ["one two |", "delete-word-left", "one |"],
  ["|one two", "delete-word-right", "| two"],
  ["ab\ncd|ef", "line-start", "ab\n|cdef"],
  ["a|b\ncd", "line-end", "ab|\ncd"],
  ["ab\nc|d", "delete-to-line-start", "ab\n|d"],
  ["|\nab", "delete-to-line-start", "|\nab"],
  ["a|b\ncd", "delete-to-line-end", "a|\ncd"],
  ["abc\nd|", "up", "a|bc\nd"],
  ["abcd|\nx\nabcd", "down", "abcd\nx|\nabcd"],
  ["漢字|x\nabcd", "down", "漢字x\nab|cd"],
  ["a|b", "up", "a|b"],
];

test.each(EDITS)("%j, %s: %j", (from, type, to) => {
  expect(shown(edit(at(from), { type }))).toBe(to);
});

test("text is inserted at the cursor", () => {
  expect(shown(edit(at("a|d"), { type: "insert", text: "bc" }))).toBe("abc|d");
});

test("a word ends before a sign that carries a mark, never between the two", () => {
  expect(edit(textOf("\u{2190}\u{338}"), { type: "word-left" }).cursor).toBe(0);
});

test("a word begins and ends between graphemes, also beside a sign with a mark or a joiner", () => {
  const text = "ab\u200d \u2190\u0338";
  const presses = (type: "word-left" | "word-right", cursor: number) =>
    edit({ ...textOf(text), cursor }, { type }).cursor;
  expect([presses("word-right", 0), presses("word-left", text.length)]).toEqual([3, 0]);
});

test("the cursor stands between graphemes, whatever is pressed", () => {
  const types = [...new Set(EDITS.map(([, type]) => type))];
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.array(fc.constantFrom(...types)), (text, presses) => {
      let state = textOf(text);
      for (const type of presses) state = edit(state, { type });
      const before = graphemesOf(state.text.slice(0, state.cursor)).length;
      const after = graphemesOf(state.text.slice(state.cursor)).length;
      expect(before + after).toBe(graphemesOf(state.text).length);
    }),
  );
});
