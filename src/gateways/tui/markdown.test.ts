import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { renderMarkdown } from "./markdown.ts";
import { columnsOf, plainText } from "./styled.ts";

const rowsOf = (text: string, width = 40) => renderMarkdown(text, { width }).map(plainText);
const spansOf = (text: string) =>
  renderMarkdown(text, { width: 80 })
    .flat()
    .filter((span) => span.text !== "");

describe("within a line", () => {
  test("bold, italic, both, struck out and code have their styles", () => {
    expect(spansOf("**a** *b* _c_ ***d*** ~~e~~ `f`").filter(({ text }) => text !== " ")).toEqual([
      { text: "a", bold: true },
      { text: "b", italic: true },
      { text: "c", italic: true },
      { text: "d", bold: true, italic: true },
      { text: "e", strike: true },
      { text: "f", color: "cyan" },
    ]);
  });

  test("names with underscores, sums and lonely marks stay as they are", () => {
    for (const text of [
      "snake_case_name",
      "2 * 3 * 4",
      "a ** b",
      "`open",
      "[no link]",
      "__init",
      "C:\\temp",
    ]) {
      expect(rowsOf(text)).toEqual([text]);
    }
  });

  test("marks in code and escaped marks are text", () => {
    expect(rowsOf("`**a**` \\*b\\* ``c`d``")).toEqual(["**a** *b* c`d"]);
  });

  test("a link shows where it leads, whatever its label says", () => {
    expect(rowsOf("[bank](https://evil.example/a_(b))")).toEqual(["bank (https://evil.example/a_(b))"]);
    expect(rowsOf("<https://a.example> [https://b.example](https://b.example)", 60)).toEqual([
      "https://a.example https://b.example",
    ]);
  });

  test("the short names of emoji that Robson writes are shown as such; unknown ones stay", () => {
    expect(rowsOf(":book: *Help* :unknown: 12:30:45")).toEqual(["📖 Help :unknown: 12:30:45"]);
  });
});

describe("lines", () => {
  test("lines stay lines, and blank ones are one", () => {
    expect(rowsOf("\n\na\nb\n\n\n\nc\n\n")).toEqual(["a", "b", "", "c"]);
  });

  test("headings are bold, without their marks", () => {
    expect(spansOf("## Title ##")).toEqual([{ text: "Title", bold: true }]);
  });

  test("lists have bullets, numbers and boxes, and hang", () => {
    expect(rowsOf("- one two three\n  * inner\n1. first\n- [x] done\n- [ ] open", 12)).toEqual([
      "• one two",
      "  three",
      "  • inner",
      "1. first",
      "☑ done",
      "☐ open",
    ]);
  });

  test("quotes have a bar, within one another too", () => {
    expect(rowsOf("> a\n> > b\nc")).toEqual(["│ a", "│ │ b", "c"]);
  });

  test("fenced code keeps its blanks and its marks, and is broken where the row ends", () => {
    expect(rowsOf("```ts\nif (a) {\n  **b** = 12345678901\n}\n```\nafter", 14)).toEqual([
      "  if (a) {",
      "    **b** = 12",
      "  345678901",
      "  }",
      "after",
    ]);
  });

  test("a fence that nobody closes ends with the text", () => {
    expect(rowsOf("~~~\na\n```\nb")).toEqual(["  a", "  ```", "  b"]);
  });

  test("a rule is a line", () => {
    expect(rowsOf("a\n---\nb", 10)).toEqual(["a", "──────────", "b"]);
  });
});

test("what others write never reaches the terminal as an escape sequence", () => {
  const text = "**\u001b[31m** `\u001b]0;x\u0007` [\u001b[2J](\u001b[H)\n```\n\u001b[5m\n```";
  const shown = rowsOf(text, 80).join("\n");
  expect(shown).not.toContain("\u001b");
  expect(shown).toContain("␛[31m");
});

test("any text is rendered, in rows that fit", () => {
  const markup = fc.stringMatching(/^[ab *_~`>#\-[\]()<\n\\:1.漢]{0,80}$/u);
  fc.assert(
    fc.property(markup, fc.integer({ min: 16, max: 40 }), (text, width) => {
      for (const row of renderMarkdown(text, { width })) expect(columnsOf(row)).toBeLessThanOrEqual(width);
    }),
  );
});

test("a long line of marks is rendered soon", () => {
  const startedAt = performance.now();
  for (const mark of ["*", "_", "`", "[", "**a ", "~~", ":a"])
    renderMarkdown(mark.repeat(2000 / mark.length), { width: 80 });
  renderMarkdown("**a".repeat(80_000), { width: 80 });
  expect(performance.now() - startedAt).toBeLessThan(5000);
});

describe("a table", () => {
  test("stands in columns, aligned as it asks for, with its titles bold", () => {
    const text = "| Name | Count |\n|:-----|------:|\n| `a\\|b` | 1 |\n| 漢字 | 1000 |\n| short |\nbehind";
    expect(rowsOf(text)).toEqual([
      "Name  │ Count",
      "──────┼──────",
      "a|b   │     1",
      "漢字  │  1000",
      "short │      ",
      "behind",
    ]);
    expect(spansOf(text)[0]).toEqual({ text: "Name", bold: true });
  });

  test("that is wider than the screen is shown as it is written", () => {
    const text = "a | b\n--|--\nlong words | more of them";
    expect(rowsOf(text, 20)).toEqual(["a | b", "--|--", "long words | more of", "them"]);
    expect(rowsOf(text, 30)).toHaveLength(3);
  });

  test("of many rows that are too wide is rendered soon", () => {
    const startedAt = performance.now();
    rowsOf(`${"-".repeat(60)}|${"-".repeat(60)}\n`.repeat(2000));
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });

  test("needs its second line, with as many columns as the first", () => {
    for (const text of ["a | b\nc | d", "a | b\n---", "a\n|-|", "a | b\n|-|-|-|"]) {
      expect(rowsOf(text)).toEqual(text.split("\n").map((line) => (line === "---" ? "─".repeat(20) : line)));
    }
  });
});
