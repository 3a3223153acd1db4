import { expect, test } from "vitest";
import { harmless } from "./io.ts";

test("control and bidi characters are shown escaped, tabs, line ends and other scripts as they are", () => {
  expect(harmless("\u001b]0;pwned\u0007\u001b[2J\u009b31m\u007f\u0000")).toBe(
    "\\u001b]0;pwned\\u0007\\u001b[2J\\u009b31m\\u007f\\u0000",
  );
  expect(harmless("a\u202eb\u2066c\u2028d\ufeff")).toBe("a\\u202eb\\u2066c\\u2028d\\ufeff");
  expect(harmless("one\ttwo\r\nthree\rfour שלום 👩‍👩‍👧")).toBe("one\ttwo\nthree\nfour שלום 👩‍👩‍👧");
});

test("a line of JSON keeps its meaning", () => {
  const value = { summary: "\u001b[2J \u009b \u202e \u007f \u2028 \ufeff \r\n" };
  const line = harmless(JSON.stringify(value));
  expect(line).not.toMatch(/[\u0080-\u009f\u007f\u202e\u2028\ufeff]/);
  expect(JSON.parse(line)).toEqual(value);
});

test("our own styles pass where there are colors, and nothing else does", () => {
  const line = "\u001b[31merror:\u001b[39m \u001b[8mhidden\u001b[5;31m";
  expect(harmless(line, { hasStyles: true })).toBe(
    "\u001b[31merror:\u001b[39m \\u001b[8mhidden\\u001b[5;31m",
  );
  expect(harmless(line)).toContain("\\u001b[31merror:");
});
