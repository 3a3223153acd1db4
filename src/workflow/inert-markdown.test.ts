import * as fc from "fast-check";
import { expect, test } from "vitest";
import { fenced, inertLine, inertMarkdown, inertPlain, quoted } from "./inert-markdown.ts";

test.each([
  ["a mention", "thanks @octocat and @org/team", "thanks @&#8203;octocat and @&#8203;org/team"],
  ["HTML", "<img src=x onerror=y> & <b>", "&lt;img src=x onerror=y> &amp; &lt;b>"],
  ["an entity that stands for a mention", "&#64;octocat", "&amp;#&#8203;64;octocat"],
  [
    "a picture and a link",
    "![x](http://t/p.png) [bank](http://evil)",
    "!\\[x\\](http://t/p.png) \\[bank\\](http://evil)",
  ],
  ["a closing word", "Fixes #12, closes GH-3", "Fixes #&#8203;12, clos&#8203;es GH&#8203;-3"],
  ["a closing word with an address", "fixes https://h/o/r/issues/1", "fix&#8203;es https://h/o/r/issues/1"],
  ["a forge's command", "/merge", "\\/merge"],
  [
    "a hidden comment",
    "a<!-- x -->b",
    "a[hidden comment of 10 characters left out]b".replace(/[[\]]/g, "\\$&"),
  ],
  ["a word with an underscore or a star", "snake_case *is* fine", "snake_case *is* fine"],
])("%s has no effect in a line", (_what, text, shown) => {
  expect(inertLine(text)).toBe(shown);
});

test("code stays as it is, and what only resembles it is prose", () => {
  expect(inertLine("use `@types/node` <here>")).toBe("use `@types/node` &lt;here>");
  expect(inertLine("``@a` b @c")).toBe("\\`\\`@&#8203;a\\` b @&#8203;c");
  expect(inertLine("`open @a")).toBe("\\`open @&#8203;a");
  expect(inertMarkdown("a\n```js\n@x <b>\n```\n@y")).toBe("a\n```js\n@x <b>\n```\n@&#8203;y");
  expect(inertMarkdown("~~~\n```\n@x\n~~~~\n@y")).toBe("````\n```\n@x\n````\n@&#8203;y");
  expect(inertMarkdown("```\nopen @x")).toBe("```\nopen @x\n```");
});

test("a commit's message mentions nobody and closes nothing", () => {
  expect(
    inertPlain("Fixes #12 and GH-3, by @octocat of a@b.example\nfixes: https://h/o/r/issues/1\u200b"),
  ).toBe("Fixes # 12 and GH 3, by @ octocat of a@ b.example\nfixes: - https://h/o/r/issues/1");
  expect(inertPlain("Use a # and an @ alone")).toBe("Use a # and an @ alone");
});

test("lists stay, headings and rules of another's text do not pass for the frame's", () => {
  expect(quoted("one\r\n## What was run\r- all passed\n---\n1. x")).toBe(
    "> one\n> What was run\n> - all passed\n> \\---\n> 1. x",
  );
});

test("nothing within a code block can close it", () => {
  expect(fenced("a")).toBe("```\na\n```");
  expect(fenced("x\n````\ny")).toBe("`````\nx\n````\ny\n`````");
});

test("outside of code no text brings a mention, HTML, a link, a reference or an open backtick", async () => {
  const piece = fc.constantFrom(
    ...["a", " ", "\n", "\\", "`", "``", "```", "```\n", "~~~\n", "    ", "\t", "> ", "- ", "1. "],
    ...["@a", "<b>", "<!--", "-->", "![x](y)", "[x](y)", "#1", "&#64;", "/merge", "fixes x/1", "\u200b"],
  );
  await fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const prose = inertMarkdown(pieces.join(""))
        .replace(/^(`{3,})[^`\n]*\n[\s\S]*?\n\1$/gm, "")
        // From the left, as a reader does: a backtick after an escaped backslash does open code.
        .replace(/\\.|(?<!`)`[^`\n]+`(?!`)/g, "x");

      expect(prose).not.toMatch(/@a|<|#1|[[`]|\u200b/);
      expect(prose).not.toMatch(/^\s*\/merge/m);
    }),
    { numRuns: 500, examples: [[["\\", "`", "a", "`"]]] },
  );
});
