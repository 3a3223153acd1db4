import fc from "fast-check";
import { expect, test } from "vitest";
import { byteLength, preview, toStorable } from "./text.ts";

const FAMILY = "👩‍👩‍👧‍👦";
const anyText = fc.string({ unit: "binary" });
/** Half characters and NUL included. */
const brokenText = fc
  .array(fc.constantFrom("\0", "\ud83d", "\ude00", "a", "é", "😀"))
  .map((parts) => parts.join(""));

test("NUL and half characters become U+FFFD, and whole characters stay", () => {
  expect(toStorable("a\0b\ud83dc\ude00d😀")).toBe("a\u{fffd}b\u{fffd}c\u{fffd}d😀");
});

test("text that can be stored is stored as it is", () => {
  expect(toStorable(`plain, ümlaut, ${FAMILY}\n`)).toBe(`plain, ümlaut, ${FAMILY}\n`);
});

test("what can be stored survives UTF-8 and stays when it is made storable again", () => {
  fc.assert(
    fc.property(fc.oneof(anyText, brokenText), (text) => {
      const storable = toStorable(text);
      expect(storable).not.toContain("\0");
      expect(Buffer.from(storable, "utf8").toString("utf8")).toBe(storable);
      expect(toStorable(storable)).toBe(storable);
      expect(storable.length).toBe(text.length);
    }),
  );
});

test("a text within the limit is shown whole", () => {
  expect(preview("abc", 3)).toBe("abc");
  expect(preview(FAMILY.repeat(3), 3)).toBe(FAMILY.repeat(3));
});

test("a text over the limit is cut between characters, with a mark in the last one's place", () => {
  expect(preview("abcd", 3)).toBe("ab…");
  expect(preview(`a${FAMILY}${FAMILY}e\u0301`, 3)).toBe(`a${FAMILY}…`);
  expect(preview("e\u0301e\u0301e\u0301", 2)).toBe("e\u0301…");
});

test("a multi-byte character at the place of the cut is never halved", () => {
  const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
  const count = (text: string) => [...graphemes.segment(text)].length;
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 20 }), (text, max) => {
      const shown = preview(text, max);
      expect(shown.isWellFormed()).toBe(true);
      expect(text.startsWith(shown.replace(/…$/, ""))).toBe(true);
      if (count(text) <= max) expect(shown).toBe(text);
      else expect(shown.endsWith("…")).toBe(true);
    }),
  );
});

test("a preview is bounded in length too, whatever its writer calls one character", () => {
  const zalgo = `a${"\u0301".repeat(100_000)}`;
  expect(preview(zalgo, 10)).toBe("…");
  expect(preview(`abc${zalgo}`, 10)).toBe("abc…");
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 20 }), (text, max) => {
      const shown = preview(text, 20, max);
      expect(shown.length).toBeLessThanOrEqual(max);
      expect(shown.isWellFormed()).toBe(true);
    }),
  );
});

test("the length in bytes is that of UTF-8", () => {
  expect(byteLength("aé€😀")).toBe(1 + 2 + 3 + 4);
});
