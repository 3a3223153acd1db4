import fc from "fast-check";
import { expect, test } from "vitest";
import { safeLine, safeText } from "./safe-text.ts";

test("escape sequences of others are shown, and move nothing", () => {
  expect(safeText("a\u001b[2Jb")).toBe("a␛[2Jb");
  expect(safeText("\u001b]0;title\u0007")).toBe("␛]0;title␇");
  expect(safeText("\u001b]52;c;aGk=\u001b\\")).toBe("␛]52;c;aGk=␛\\");
  expect(safeText("\u009b31mred")).toBe("\ufffd31mred");
  expect(safeText("back\u0008\u007fspace")).toBe("back␈␡space");
});

test("signs that turn the reading direction are shown as such", () => {
  expect(safeText("abc\u202ecba\u2066x")).toBe("abc\ufffdcba\ufffdx");
});

test("every kind of line end is one, and a carriage return cannot overwrite a line", () => {
  expect(safeText("a\r\nb\rc\nd\u2028e")).toBe("a\nb\nc\nd\ne");
});

test("tabs, emoji and their joiners stay", () => {
  expect(safeText("\t👩‍👩‍👧 e\u0301")).toBe("\t👩‍👩‍👧 e\u0301");
});

test("whatever comes in, no control character but tab and line feed comes out", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(safeText(text)).not.toMatch(/(?![\t\n])\p{Cc}/u);
    }),
  );
});

test("a line has neither line ends nor white space at its ends", () => {
  expect(safeLine("  a\n\tb\u001b  ")).toBe("a b␛");
});
