import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { markdownToMrkdwn } from "./mrkdwn.ts";

type Golden = [what: string, markdown: string, mrkdwn: string];

const BLOCKS: Golden[] = [
  ["nothing stays nothing", "", ""],
  ["plain text stays as it is", "just text, nothing more", "just text, nothing more"],
  ["line ends stay, the last one too", "a\n\nb\n", "a\n\nb\n"],
  ["line ends of Windows stay", "# a\r\n**b**\r\n", "*a*\r\n*b*\r\n"],
  ["headings become bold", "# One\n## Two\n### Three", "*One*\n*Two*\n*Three*"],
  ["deeper headings become bold too", "#### Four\n##### Five\n###### Six", "*Four*\n*Five*\n*Six*"],
  ["seven hashes are no heading", "####### Seven", "####### Seven"],
  ["a hash without a space is no heading", "#channel and #42", "#channel and #42"],
  ["a heading's closing hashes go", "## Two ##", "*Two*"],
  ["a hash at the end of a word stays", "# C#", "*C#*"],
  ["an empty heading stays", "# ", "# "],
  ["bold in a heading is not doubled", "# a **b** c", "*a b c*"],
  ["a heading that is all bold is bold once", "## **Two**", "*Two*"],
  [
    "italics, code and links keep their form in a heading",
    "# _a_ `**b**` [c](https://d)",
    "*_a_ `**b**` <https://d|c>*",
  ],
  ["bullets become dots", "- a\n* b\n+ c", "• a\n• b\n• c"],
  ["nested bullets keep their depth", "- a\n  - b\n\t* c", "• a\n  • b\n\t• c"],
  ["a bullet's text is rendered", "* **a** *b*", "• *a* _b_"],
  ["numbered lists stay", "1. a\n2) **b**\n   - c", "1. a\n2) *b*\n   • c"],
  ["a dash that is no bullet stays", "-a\n-\n- ", "-a\n-\n- "],
  ["thematic breaks stay", "---\n***\n* * *\n___", "---\n***\n* * *\n___"],
  ["a quotation stays one", "> **a** & b\n>c", "> *a* &amp; b\n>c"],
  [
    "a quotation in a quotation is text, since Slack knows one level",
    ">>> a\n> > b",
    ">&gt;&gt; a\n> &gt; b",
  ],
  ["a list and a heading in a quotation are rendered", "> # a\n> - b", "> *a*\n> • b"],
];

const FENCES: Golden[] = [
  ["a fence keeps its lines", "```\n**a** # b\n- c\n```\n**d**", "```\n**a** # b\n- c\n```\n*d*"],
  ["a fence keeps its language", "```ts\nlet a = b ** c;\n```", "```ts\nlet a = b ** c;\n```"],
  ["a fence of tildes keeps its lines", "~~~\n__a__\n~~~\n__b__", "~~~\n__a__\n~~~\n_b_"],
  ["a fence is closed by its own kind only", "```\n~~~\n**a**\n```\n**b**", "```\n~~~\n**a**\n```\n*b*"],
  [
    "a longer fence holds a shorter one",
    "````\n```\n**a**\n```\n````\n**b**",
    "````\n```\n**a**\n```\n````\n*b*",
  ],
  ["an unclosed fence lasts to the end", "**a**\n```\n**b**\n\n# c\n", "*a*\n```\n**b**\n\n# c\n"],
  ["a fence with text behind it closes nothing", "```\n``` x\n**a**", "```\n``` x\n**a**"],
  [
    "a fence in a list keeps its lines",
    "- a\n  ```\n  **b**\n  ```\n- **c**",
    "• a\n  ```\n  **b**\n  ```\n• *c*",
  ],
  ["a fence may begin in a bullet's line", "- ```\n  **a**\n  ```", "• ```\n  **a**\n  ```"],
  ["a fence in a quotation ends with it", "> ```\n> **a**\n**b**", "> ```\n> **a**\n*b*"],
  ["a mark of quotation in a fence is code", "```\n> **a**\n```", "```\n&gt; **a**\n```"],
  [
    "& < > are entities in a fence too",
    "```\nif (a < b && c > d) x = '&lt;';\n```",
    "```\nif (a &lt; b &amp;&amp; c &gt; d) x = '&amp;lt;';\n```",
  ],
  ["a mention in a fence mentions nobody", "```\n<@U1>\n```", "```\n&lt;@U1&gt;\n```"],
  ["three backticks around code in a line are a code span", "```**a**``` **b**", "```**a**``` *b*"],
];

const SPANS: Golden[] = [
  ["bold", "**x**", "*x*"],
  ["bold among words", "a **b c** d **e**.", "a *b c* d *e*."],
  ["bold by underscores is italic, as the original has it", "__x__", "_x_"],
  ["italic by asterisks", "*x*", "_x_"],
  ["italic by underscores", "_x_", "_x_"],
  ["bold and italic", "***x***", "_*x*_"],
  ["bold that ends in italic", "**a *b***", "*a _b_*"],
  ["italic that begins in bold", "***a** b*", "_*a* b_"],
  ["bold that begins in italic", "***a* b**", "*_a_ b*"],
  ["struck through", "~~x~~ ~y~", "~x~ ~y~"],
  ["struck through in bold", "**a ~~b~~**", "*a ~b~*"],
  ["marks without a partner stay", "**a, b* and __c ~~d", "**a, b* and __c ~~d"],
  ["a lone mark inside a pair stays", "**a*b**", "*a*b*"],
  ["pairs do not cross", "**a _b** c_", "*a _b* c_"],
  ["marks between spaces stay", "2 * 3 * 4, a ** b", "2 * 3 * 4, a ** b"],
  ["underscores in words stay", "snake_case_name and __init__.py", "snake_case_name and _init_.py"],
  ["four marks in a row stay", "****x****", "****x****"],
  ["escaped marks are text", "\\*a\\* \\[b](c) \\\\ C:\\dir", "*a* [b](c) \\ C:\\dir"],
  ["a code span keeps its marks", "`**a** _b_ [c](d)` **e**", "`**a** _b_ [c](d)` *e*"],
  ["a code span of two backticks holds one", "`` a`**b** `` **c**", "`` a`**b** `` *c*"],
  ["& < > are entities in a code span too", "`a < b && <@U1>`", "`a &lt; b &amp;&amp; &lt;@U1&gt;`"],
  ["a backtick without a partner stays", "a ` **b**", "a ` *b*"],
  ["an escaped backtick opens no code", "\\`**a**`", "`*a*`"],
  ["& < > are entities", "a < b > c & d -> e", "a &lt; b &gt; c &amp; d -&gt; e"],
  ["entities that are there stay", "&lt;a&gt; &amp; &quot;", "&lt;a&gt; &amp; &amp;quot;"],
  ["tags are text", "a<br>b", "a&lt;br&gt;b"],
];

const LINKS: Golden[] = [
  ["a link", "see [the **docs**](https://a.b/c?d=1&e=2).", "see <https://a.b/c?d=1&amp;e=2|the docs>."],
  ["a link with a title", '[a](https://b "c d")', "<https://b|a>"],
  ["a link with a target in angle brackets", "[a](<https://b/c d>)", "<https://b/c d|a>"],
  ["a link with parentheses in its target", "([a](https://b/c_(d)))", "(<https://b/c_(d)|a>)"],
  ["a link with brackets in its label", "[a [b] c](https://d)", "<https://d|a [b] c>"],
  ["a link without a label", "[](https://a)", "<https://a>"],
  ["a bar in a link's target", "[a](https://b/c|d)", "<https://b/c%7Cd|a>"],
  ["bold around a link", "**[a](https://b)**", "*<https://b|a>*"],
  ["a link to mail", "[a](mailto:b@c.d)", "<mailto:b@c.d|a>"],
  ["an image is a link", "![a](https://b/c.png)", "<https://b/c.png|a>"],
  ["an image in a link is its label", "[![a](https://b/c.svg)](https://d)", "<https://d|a>"],
  ["a target that is no address is text", "[a](docs/b.md) [c](#d)", "a (docs/b.md) c (#d)"],
  ["a target cannot become a mention", "[a](!channel) [b](@U1)", "a (!channel) b (@U1)"],
  [
    "a label that repeats its address is not shown twice",
    "[https://a](https://a) [b.md](b.md)",
    "<https://a> b.md",
  ],
  [
    "an entity at the end of a bare address stays whole",
    "https://a&amp; https://b&gt;",
    "https://a&amp; https://b&gt;",
  ],
  ["what is no link stays", "[a] (b) [c]() [d](e f) [g", "[a] (b) [c]() [d](e f) [g"],
  [
    "a bare address stays",
    "https://a.b/c_d_e?f=*g*&h=1, (http://i.j/_k_)",
    "https://a.b/c_d_e?f=*g*&amp;h=1, (http://i.j/_k_)",
  ],
  ["bold around a bare address", "**https://a.b**", "*https://a.b*"],
  ["an address in angle brackets stays", "<https://a.b/_c_?d&e>", "<https://a.b/_c_?d&amp;e>"],
  [
    "mentions of people and channels stay",
    "<@U1> in <#C1|x> and **<@U2|y>**",
    "<@U1> in <#C1|x> and *<@U2|y>*",
  ],
  ["Slack's own links stay", "<https://a|b *c*>", "<https://a|b *c*>"],
  [
    "mentions of everyone become text",
    "<!channel> <!here|here> <!subteam^S1>",
    "&lt;!channel&gt; &lt;!here|here&gt; &lt;!subteam^S1&gt;",
  ],
  ["a mention in a label is text", "[<!here>](https://a)", "<https://a|&lt;!here&gt;>"],
];

describe.each([
  ["blocks", BLOCKS],
  ["fences", FENCES],
  ["spans", SPANS],
  ["links", LINKS],
] as const)("markdownToMrkdwn on %s:", (_part, goldens) => {
  test.each(goldens)("%s", (_what, markdown, mrkdwn) => {
    expect(markdownToMrkdwn(markdown)).toBe(mrkdwn);
  });
});

const MARKS = [
  "*",
  "**",
  "***",
  "_",
  "__",
  "~~",
  "`",
  "``",
  "```",
  "~~~",
  "[",
  "](",
  ")",
  "(",
  "!",
  "<",
  ">",
  "&",
];
const MORE_MARKS = [
  "# ",
  "- ",
  "> ",
  "1. ",
  "\n",
  "\r\n",
  " ",
  "\\",
  "|",
  "https://",
  "<@",
  "<!",
  "&amp;",
  "\u2028",
];
const anyMarkdown = fc
  .array(
    fc.oneof(
      fc.constantFrom(...MARKS, ...MORE_MARKS),
      fc.string({ unit: "binary", maxLength: 3 }),
      fc.constantFrom("a", "Word"),
    ),
    {
      maxLength: 60,
    },
  )
  .map((parts) => parts.join(""));

test("no letter is lost and none is added, whatever the text, but for a label that repeats its address", () => {
  fc.assert(
    fc.property(anyMarkdown, (markdown) => {
      // In code an entity is text, outside it a character; these are left to the tables above.
      fc.pre(!/&(?:amp|lt|gt);|\[([^\]]*)\]\(\1\)/.test(markdown));
      expect(letters(withoutEntities(markdownToMrkdwn(markdown)))).toBe(letters(markdown));
    }),
    { numRuns: 5_000 },
  );
});

test("no line is lost and none is added", () => {
  fc.assert(
    fc.property(anyMarkdown, (markdown) => {
      expect(markdownToMrkdwn(markdown).split("\n").length).toBe(markdown.split("\n").length);
    }),
    { numRuns: 2_000 },
  );
});

test("what stands in a fence comes out equal", () => {
  const code = anyMarkdown.map((text) => text.replaceAll("```", "").replaceAll(/[&<>]/g, ""));
  fc.assert(
    fc.property(code, (text) => {
      const block = `\`\`\`\n${text}\n\`\`\``;
      expect(markdownToMrkdwn(`**a**\n${block}\n**b**`)).toBe(`*a*\n${block}\n*b*`);
    }),
    { numRuns: 2_000 },
  );
});

test("nothing but mentions and addresses is left in angle brackets", () => {
  fc.assert(
    fc.property(anyMarkdown, (markdown) => {
      const rest = markdownToMrkdwn(markdown).replaceAll(
        /<(?:[@#]\w+|https?:\/\/[^<>|]+)(?:\|[^<>]*)?>/g,
        "",
      );
      expect(rest.replaceAll(/^ {0,3}>/gm, "")).not.toMatch(/[<>]|&(?!amp;|lt;|gt;)/);
    }),
    { numRuns: 5_000 },
  );
});

test("text that is rendered already stays when it is rendered again, but for emphasis and code", () => {
  const parts = [
    "a",
    " ",
    "\n",
    "<@U1>",
    "<https://a|b>",
    "&",
    "<",
    ">",
    "> ",
    "- ",
    "[a](https://b)",
    "1. ",
    "\n```\nx\n```\n",
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...parts)), (bits) => {
      const once = markdownToMrkdwn(bits.join(""));
      fc.pre(!/^ *(```)? *(&|>).*```/m.test(once));
      expect(markdownToMrkdwn(once)).toBe(once);
    }),
  );
});

// Searching the rest of the text for each mark would take hours here, and the test would time out.
test("a text of a hundred thousand characters is rendered in one pass, whatever it is made of", () => {
  const bits = [
    "*",
    "**a",
    "a**",
    "*a _b ",
    "_a*",
    "`",
    "`a``",
    "[",
    "[a](",
    "[a](b ",
    "](",
    "![",
    "<",
    "<@a",
    "<https://a",
    "https://*",
  ];
  const more = [
    "&",
    "\\",
    "~~a ",
    "***a",
    "> ",
    "# ",
    "#",
    "- ",
    "-",
    " ",
    "```",
    "```\n",
    "[a](<",
    '[a](b "',
    "\u{1f600}",
    "a_b*c",
  ];
  for (const bit of [...bits, ...more]) {
    const text = bit.repeat(100_000 / bit.length);
    expect(markdownToMrkdwn(text).length).toBeGreaterThan(0);
    expect(markdownToMrkdwn(`${text} x${")".repeat(10_000)}`).length).toBeGreaterThan(0);
  }
}, 90_000);

function letters(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N}]/gu, "");
}

function withoutEntities(text: string): string {
  return text.replaceAll(/&(?:amp|lt|gt);/g, "");
}
