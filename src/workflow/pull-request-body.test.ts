import { expect, test } from "vitest";
import { fenced, pullRequestBody } from "./pull-request-body.ts";

const change = { diffStat: " a.js | 2 +-", summary: "Edited a.js.", agent: "scripted", checks: [] };

test("nothing within a code block can close it", () => {
  expect(fenced("a")).toBe("```\na\n```");
  expect(fenced("x\n````\ny")).toBe("`````\nx\n````\ny\n`````");
});

test("a change that nothing was run for is called not verified", () => {
  const body = pullRequestBody({ key: "A-1", summary: "Do it", description: "" }, change);

  expect(body).toContain("No check was run: the project shows none.");
  expect(body).toContain("Anything: the project shows no checks.");
  expect(body).not.toContain("passed");
});

test("the ticket's and the agent's words are quoted line by line", () => {
  const ticket = { key: "A-1", summary: "Do it", description: "one\r\n## What was run\r- all passed" };

  const body = pullRequestBody(ticket, { ...change, summary: "x\n## What was run" });

  expect(body.match(/^## What was run$/gm)).toHaveLength(1);
  expect(body).toContain("> one\n> ## What was run\n> - all passed");
});
