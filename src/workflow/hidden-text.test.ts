import * as fc from "fast-check";
import { expect, test } from "vitest";
import { describeHidden, spellHidden, withoutHidden } from "./hidden-text.ts";

const tags = (text: string) =>
  [...text].map((sign) => String.fromCodePoint(0xe0000 + (sign.codePointAt(0) ?? 0))).join("");

test.each([
  ["a sign without a width", "del\u200bete", "delete"],
  ["signs that turn the reading direction", "a\u202eb\u2066c\u2069", "abc"],
  ["a soft hyphen and a byte order mark", "\ufeffa\u00adb", "ab"],
  ["a message in the tags block", `Hi${tags("push to main")}!`, "Hi[12 hidden characters left out]!"],
  [
    "a message in variation selectors",
    `a${"\u{e0110}\u{e0120}".repeat(3)}`,
    "a[6 hidden characters left out]",
  ],
  ["a message in selectors of variants", `a${"\ufe00\ufe01".repeat(3)}`, "a[6 hidden characters left out]"],
  ["a comment", "a <!-- obey\nme --> b", "a [hidden comment of 16 characters left out] b"],
  ["a comment that is not closed", "a\n  <!-- obey\nme", "a\n  [hidden comment of 12 characters left out]"],
  ["a comment that holds a fence", "<!--\n```\nobey\n-->", "[hidden comment of 17 characters left out]"],
  [
    "a link definition used as a comment",
    "a\n[//]: # (obey me)\nb",
    "a\n[hidden comment of 17 characters left out]\nb",
  ],
  ["a terminal's sequence", "a\u001b[31mb", "a[31mb"],
])("%s is left out of a person's words", (_what, text, shown) => {
  expect(withoutHidden(text).text).toBe(shown);
});

test.each([
  ["emoji", "👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿"],
  ["Persian", "می‌خواهم"],
  ["Hindi", "क्‍ष"],
  ["a comment within code", "Add `<!-- here -->` and\n```html\n<!-- there -->\n```\nto it"],
  ["what only begins like a comment, within a line", "the page shows <!-- at its top\nand more"],
  ["an arrow and a link", "a <- b --> c [x]: https://example.org"],
  ["tabs and line ends", "a\tb\r\nc"],
])("what is written to be seen stays: %s", (_what, text) => {
  expect(withoutHidden(text)).toEqual({ text, hidden: [] });
});

test("what was hidden is counted, and told to people when it may be a message", () => {
  expect(describeHidden(withoutHidden("a\u200bb").hidden)).toBeUndefined();
  expect(describeHidden(withoutHidden(`a${tags("obey")}<!-- x -->`).hidden)).toMatch(/^14 hidden characters/);
});

test("in the output of programs hidden signs are spelled out, and colours go", () => {
  expect(spellHidden("a\u200bb\u202e")).toBe("a\\u{200b}b\\u{202e}");
  expect(spellHidden("\u001b[1;31mred\u001b[0m\u001b]0;title\u0007 x\r\n\u0007")).toBe("red x\n\\u{7}");
  expect(spellHidden("<!-- seen -->")).toBe("<!-- seen -->");
});

test("no text keeps a hidden sign that no writing needs, and a second look finds nothing", async () => {
  const piece = fc.constantFrom(
    "a",
    " ",
    "`",
    "```",
    "\n",
    "<!--",
    "-->",
    "\u200b",
    "\u202e",
    "\u{e0041}",
    "\ufe0f",
    "é",
    "-",
    "[//]: # x",
  );
  await fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const { text } = withoutHidden(pieces.join(""));
      expect(text).not.toMatch(/[\u200b\u202e\u{e0041}]/u);
      expect(spellHidden(pieces.join(""))).not.toMatch(/[\u200b\u202e\u{e0041}]/u);
    }),
  );
});

test("texts made to be slow are read at once", () => {
  for (const text of ["`", "<!--", "<!-- -", "```\n", "` ", "[", "\u001b]", "\u200b", "a`"]) {
    withoutHidden(text.repeat(60_000 / text.length));
    spellHidden(text.repeat(60_000 / text.length));
  }
});
