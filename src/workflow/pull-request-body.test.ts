import { expect, test } from "vitest";
import {
  draftReasons,
  finalAnswer,
  isDraftBody,
  pullRequestBody,
  ticketComment,
} from "./pull-request-body.ts";
import { addUsage, costShown, durationShown } from "./usage-shown.ts";

const ticket = { key: "A-1", summary: "Do it", description: "" };
const passed = { command: "npm test", isPassed: true, outcome: "passed" as const, durationMs: 12_300 };
const change = { diffStat: " a.js | 2 +-", summary: "Edited a.js.", agent: "scripted", checks: [] };
const asked = {
  gate: "protectedPaths" as const,
  decision: "ask" as const,
  reason: "Protected files: `CODEOWNERS`",
};

test("a body tells what was asked, changed, run, not verified, what it cost and how to go on", () => {
  const body = pullRequestBody(
    { ...ticket, description: "Please.", url: "https://tracker.example.org/A-1" },
    {
      ...change,
      checks: [passed],
      usage: { model: "some-model", costUsd: 0.4213, inputTokens: 12_000, outputTokens: 900, turns: 7 },
      elapsedMs: 200_000,
    },
  );

  expect(body).toBe(`## What was asked

[A-1](https://tracker.example.org/A-1): Do it

> Please.

## What changed

In the words of the agent scripted:

> Edited a.js.

\`\`\`
 a.js | 2 +-
\`\`\`

## What was run

- \`npm test\` passed (12 s)

## What was not verified

- Anything beyond the commands above. The change was written by the agent scripted; nobody has read it yet

## Cost and time

- Cost: $0.42
- Tokens: 12,000 read, 900 written
- Turns: 7
- Model: some-model
- Time: 3 min 20 s

## How to ask for changes

Push to this branch, or comment here for whoever looks after it: Robson does not read comments yet. What can be a change of its own is asked for with \`/do <what is to change> repo=<address>\`, where this one was asked for.
`);
});

test("what is not known is called unknown, never zero", () => {
  const body = pullRequestBody(ticket, change);

  expect(body).toContain("- Cost: unknown\n- Tokens: unknown read, unknown written\n- Time: unknown");
  expect(body).not.toMatch(/\$0|\b0 /);
});

test("a change that nothing was run for is called not verified, and is a draft", () => {
  const body = pullRequestBody(ticket, change);

  expect(body).toMatch(/^\*\*Draft\*\*, because no check was run\./);
  expect(body).toContain("No check was run: the project shows none.");
  expect(body).toContain("Anything: the project shows no checks.");
  expect(body).not.toContain("passed");
});

test("checks that did not pass are told with their ends", () => {
  const checks = [
    passed,
    {
      command: "make",
      isPassed: false,
      outcome: "timed-out" as const,
      durationMs: 60_000,
      why: "it took longer",
    },
    {
      command: "make lint",
      isPassed: false,
      outcome: "not-run" as const,
      why: "a command before it did not pass",
    },
    { command: "old", isPassed: false },
  ];

  const body = pullRequestBody(ticket, { ...change, checks });

  expect(body).toContain("- `make` timed out (1 min; it took longer)");
  expect(body).toContain("- `make lint` was not run (a command before it did not pass)");
  expect(body).toContain("- `old` failed");
  expect(body).toContain("- What did not pass: `make`, `make lint`, `old`");
});

test("what a person let through a gate, and what was hidden, is told", () => {
  const gates = { verdicts: [asked], allowedBy: "ada @team" };

  const body = pullRequestBody(ticket, {
    ...change,
    checks: [passed],
    gates,
    hidden: "3 hidden characters were left out",
  });

  expect(body).toContain(
    "- Protected files: `CODEOWNERS` (`protected_paths`; let through by ada @&#8203;team)",
  );
  expect(body).toContain("- 3 hidden characters were left out");
});

test("a pull request is a draft when something was not verified or a person was asked, or drafts are wanted", () => {
  const of = (gates?: Parameters<typeof draftReasons>[0]["gates"]) => ({ checks: [passed], gates });
  expect(draftReasons(of(), "ready")).toEqual([]);
  expect(draftReasons(of({ verdicts: [{ ...asked, decision: "allow" }] }), "ready")).toEqual([]);
  expect(draftReasons(of(), "draft")).toEqual(["the configuration wants drafts"]);
  expect(draftReasons(of({ verdicts: [asked] }), "ready")).toEqual([
    "a person let through what a gate asked about",
  ]);
  expect(draftReasons({ checks: [] }, "ready")).toEqual(["no check was run"]);
  expect(draftReasons({ checks: [{ command: "x", isPassed: false }] }, "ready")).toEqual([
    "not all checks passed",
  ]);
});

test("the ticket's and the agent's words have no effect beyond being read", () => {
  const hostile = "@everyone <img src=x> [x](y)\r\n## What was run\r- all passed\n<!-- hidden -->";
  const body = pullRequestBody(
    { key: "A-1", summary: `Do it ${hostile}`, description: hostile, url: "javascript:alert(1)" },
    { ...change, summary: hostile, agent: "a @b", checks: [passed] },
  );

  expect(body.match(/^## What was run$/gm)).toHaveLength(1);
  expect(body).not.toMatch(/@everyone|@b|<img|<!--|javascript|(?<!\\)\[x/);
  expect(body).toContain("> What was run\n> - all passed");
});

test("very long words are cut", () => {
  const body = pullRequestBody(
    { ...ticket, description: "x".repeat(100_000) },
    { ...change, summary: "y\n".repeat(50_000) },
  );

  expect(body.length).toBeLessThan(32_000);
});

test("the comment says what is verified", () => {
  const pullRequest = { url: "u", number: 1, isNew: true };
  const repository = { ...change, url: "r", branch: "b", base: "main", commit: "c", pullRequest };
  const lineFor = (checks: { command: string; isPassed: boolean }[]) =>
    ticketComment({ repositories: [{ ...repository, checks }] })
      .split("\n")
      .at(-1);

  expect(lineFor([])).toBe("- u (branch `b`; not verified)");
  expect(lineFor([passed])).toBe("- u (branch `b`; checks passed)");
  expect(lineFor([{ command: "x", isPassed: false }])).toBe("- u (branch `b`; checks did not pass)");
});

test("usage of several turns is added up, and is unknown where one turn does not know it", () => {
  expect(addUsage([])).toEqual({});
  expect(
    addUsage([
      { costUsd: 1, turns: 2, model: "a" },
      { costUsd: 0.5, model: "b" },
    ]),
  ).toEqual({
    costUsd: 1.5,
    model: "a, b",
  });
});

test("money and time are shown as people say them", () => {
  expect([0, 0.004, 1.005, undefined, Number.NaN].map(costShown)).toEqual([
    ...["$0.00", "less than $0.01", "$1.00", "unknown", "unknown"],
  ]);
  expect([0, 900, 59_400, 60_000, 61_000, 3_720_000, undefined].map(durationShown)).toEqual([
    ...["under 1 s", "1 s", "59 s", "1 min", "1 min 1 s", "1 h 2 min", "unknown"],
  ]);
});

test("the answer in the thread says that a pull request is a draft, and why; so does its text", () => {
  const report = {
    ...{ url: "https://host/a.git", branch: "b", base: "main", commit: "0123456789abcdef", diffStat: "" },
    ...{ summary: "", agent: "scripted", checks: [], pullRequest: { number: 1, url: "p/1", isNew: true } },
  };
  const answer = (draftReasons: string[]) =>
    finalAnswer({ key: "A-1", summary: "Fix it", repositories: [{ ...report, draftReasons }], elapsedMs: 0 });
  const ticket = { key: "A-1", summary: "Fix it", description: "" };
  const change = { diffStat: "", summary: "", agent: "scripted" };

  expect(answer(["no check was run"])).toMatch(
    /^\*\*A-1\*\* is done, as a draft: Fix it\n\nDraft pull request: p\/1, because no check was run\n/,
  );
  expect(answer([])).toMatch(/^\*\*A-1\*\* is ready for review: Fix it\n\nPull request: p\/1\n/);
  expect(isDraftBody(pullRequestBody(ticket, { ...change, checks: [] }))).toBe(true);
  expect(isDraftBody(pullRequestBody(ticket, { ...change, checks: [passed] }))).toBe(false);
});
