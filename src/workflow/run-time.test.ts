import { expect, test } from "vitest";
import { workedMs } from "./run-time.ts";

const step = (name: string, begunAt: number, endedAt: number | null, attempts = 1) => ({
  ...{ name, begunAt, endedAt, attempts, ordinal: 0, result: null },
});

test("a run has worked for as long as its finished steps took, without what it waited between them", () => {
  const steps = [step("ticket", 1000, 1200), step("agent 1", 90_000, 95_000), step("verify 1", 95_000, null)];

  expect(workedMs({ steps, round: 1, createdAt: 1000 })).toBe(5200);
});

test("a step that a crash or a question cut off counts for nothing: nobody knows for how long it was at work", () => {
  expect(workedMs({ steps: [step("agent 1", 0, 90_000, 2)], round: 1, createdAt: 0 })).toBe(0);
});

test("whoever has a run go on gives it as much time again", () => {
  const steps = [step("agent 1", 0, 5000), step("round 2", 9000, 9001), step("agent 2", 9001, 9101)];

  expect(workedMs({ steps, round: 2, createdAt: 0 })).toBe(101);
  expect(workedMs({ steps, round: 3, createdAt: 0 })).toBe(0);
});
