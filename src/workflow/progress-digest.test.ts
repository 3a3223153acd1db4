import { expect, test } from "vitest";
import { createTestClock } from "../testing/test-clock.ts";
import { ProgressDigest } from "./progress-digest.ts";

function aDigest({ show }: { show?: (text: string) => Promise<void> } = {}) {
  const clock = createTestClock();
  const texts: string[] = [];
  const digest = new ProgressDigest({
    intervalMs: 1000,
    clock,
    redact: (text) => text.replaceAll("s3cret", "[redacted]"),
    async show(text) {
      texts.push(text);
      await show?.(text);
    },
  });
  return { clock, texts, digest };
}

test("of many events at most one text an interval is made, with what is done now and what was done so far", async () => {
  const { clock, texts, digest } = aDigest();
  digest.add({ type: "session", id: "1" });
  digest.add({ type: "message", text: "I look  at\nthe tests" });
  await clock.advance(0);
  for (let index = 0; index < 100; index += 1) {
    digest.add({ type: "tool", name: "Read", detail: `file-${index}.ts` });
    await clock.advance(5);
  }
  for (const file of ["a.ts", "b.ts", "c.ts", "d.ts", "d.ts"]) digest.add({ type: "edited", file });
  digest.add({ type: "tool", name: "Bash", detail: "npm test" });
  await clock.advance(500);
  await clock.advance(5000);

  expect(texts).toEqual([
    "I look at the tests",
    "Bash: `npm test`\n\nSo far: 4 files edited (`b.ts`, `c.ts`, `d.ts` and 1 more), 101 steps",
  ]);
});

test("a wait is said with how long it takes", async () => {
  const { clock, texts, digest } = aDigest();
  digest.add({ type: "waiting", reason: "the model is overloaded", retryInMs: 30_500 });
  await clock.advance(0);

  expect(texts).toEqual(["Waiting: the model is overloaded; it goes on in 31 s"]);
});

test("while a text is on its way no other one is sent, and the next has the latest", async () => {
  const sent = Promise.withResolvers<void>();
  const { clock, texts, digest } = aDigest({ show: () => sent.promise });
  digest.add({ type: "message", text: "one" });
  await clock.advance(0);
  digest.add({ type: "message", text: "two" });
  await clock.advance(3000);
  digest.add({ type: "message", text: "three" });
  await clock.advance(3000);
  expect(texts).toEqual(["one"]);

  sent.resolve();
  await new Promise((settled) => setImmediate(settled));
  await clock.advance(1000);

  expect(texts).toEqual(["one", "three"]);
});

test("a text that cannot be shown ends nothing, and a closed digest shows nothing", async () => {
  const { clock, texts, digest } = aDigest({ show: () => Promise.reject(new Error("away")) });
  digest.add({ type: "message", text: "one" });
  await clock.advance(0);
  digest.add({ type: "message", text: "two" });
  await clock.advance(1000);
  digest.add({ type: "message", text: "three" });
  await digest.close();
  digest.add({ type: "message", text: "four" });
  await clock.advance(10_000);

  expect(texts).toEqual(["one", "two"]);
});

test("what an agent says cannot look like anything else, nor carry a secret", async () => {
  const { clock, texts, digest } = aDigest();
  digest.add({ type: "tool", name: "Bash", detail: `curl \`x\` s3cret\u202e ${"é".repeat(5000)}` });
  await clock.advance(0);

  expect(texts[0]).toMatch(/^Bash: `curl 'x' \[redacted\] é+…`\n\nSo far: 1 step$/);
  expect(texts[0]?.length).toBeLessThan(200);
});
