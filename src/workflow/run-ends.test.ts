import { expect, test } from "vitest";
import { WorkerError } from "../core/errors.ts";
import { describeRunEnd, endOfError, gateQuestion, keptReason, type RunEnd } from "./run-ends.ts";

const verdicts = [
  {
    gate: "secrets" as const,
    decision: "refuse" as const,
    reason: "Found a token in `a.ts`, line 2",
    hint: "Revoke it",
  },
  { gate: "protectedPaths" as const, decision: "ask" as const, reason: "Protected files: `CODEOWNERS`" },
];

const ENDS: [RunEnd, RegExp][] = [
  [
    { kind: "budget", maxCostUsd: 5, costUsd: 5.02 },
    /may cost \$5\.00, and has cost \$5\.02\n`\/retry 12` goes on with as much again, `\/run-task A-1 budget=10`/,
  ],
  [{ kind: "budget", maxCostUsd: 5 }, /has cost unknown/],
  [
    { kind: "time", maxMs: 3_600_000 },
    /stopped by its time: a run may be at work for 1 h 0 min \(`workflow\.run_timeout_ms`\)\n`\/retry 12` goes on with as much time again/,
  ],
  [
    { kind: "verify", message: "it ended with 1", rounds: 3 },
    /the project's checks, after the agent had 3 more attempts at it.*\nit ended with 1\n`\/logs 12`/,
  ],
  [
    { kind: "gate", verdicts },
    /stopped by a gate.*\n- Found a token in `a\.ts`, line 2 \(`secrets`\)\. Revoke it\n`\/retry 12`/,
  ],
  [{ kind: "gate", verdicts, refusedBy: "ada" }, /ada refused what a gate asked about/],
  [{ kind: "agent", message: "it says no" }, /was not done\. it says no\n`\/logs 12`/],
  [
    { kind: "trouble", message: "No disk", hint: "Get one" },
    /could not go on\. No disk\nGet one\n`\/retry 12`/,
  ],
];

test.each(ENDS)("the end %j has words and a next command of its own", (end, words) => {
  const text = describeRunEnd(end, { key: "A-1", run: 12 });

  expect(text).toMatch(/^\*\*A-1\*\* /);
  expect(text).toMatch(words);
});

test("no two kinds of end read alike", () => {
  const first = ENDS.map(([end]) => describeRunEnd(end, { key: "A-1" }).split(/[.:\n]/)[0]);
  expect(new Set(first).size).toBe(new Set(ENDS.map(([end]) => end.kind)).size + 1);
});

test("what is kept is told before the command", () => {
  const text = describeRunEnd(
    { kind: "budget", maxCostUsd: 1 },
    { key: "A-1", run: 12, kept: "the branch robson/A-1" },
  );
  expect(text.split("\n").slice(1)).toEqual([
    "Kept: the branch robson/A-1",
    expect.stringMatching(/^`\/retry 12` goes on/),
  ]);
});

test("without a run's number the commands are those that need none", () => {
  expect(describeRunEnd({ kind: "agent", message: "no" }, { key: "A-1" }).split("\n").at(-1)).toBe(
    "`/logs` shows what the agent did; `/run-task A-1` has it try again",
  );
});

test("a gate's question names what is asked about, and the answers", () => {
  const question = gateQuestion(verdicts, { key: "A-1" });
  expect(question).toContain("- Protected files: `CODEOWNERS` (`protected_paths`)");
  expect(question).not.toContain("Found a token");
  expect(question).toContain("Answer `allow`");
  expect(gateQuestion(verdicts, { key: "A-1", repository: "shop" })).toMatch(
    /^\*\*A-1\*\* is done in `shop`, but before/,
  );
});

test("an error becomes the end that it stands for", () => {
  const agents = new WorkerError("it says no", { code: "AGENT_FAILED", retry: "never", hint: "Say more" });
  expect(endOfError(agents)).toEqual({ kind: "agent", message: "it says no", hint: "Say more" });
  expect(endOfError("odd")).toEqual({ kind: "trouble", message: "odd" });
});

test("what is kept of a refused change says what was found, and who refused it", () => {
  expect(keptReason({ kind: "gate", verdicts })).toBe(
    "The change may not leave this machine: Found a token in `a.ts`, line 2",
  );
  expect(keptReason({ kind: "gate", verdicts: verdicts.slice(1), refusedBy: "ada" })).toBe(
    "The change was refused by ada: Protected files: `CODEOWNERS`",
  );
});
