import { expect, test } from "vitest";
import { DEFAULT_RETENTION, Retention } from "../core/retention.ts";
import { openStore } from "../store/open-store.ts";
import { keptLog } from "../testing/interfered-loop.ts";
import { createTestClock } from "../testing/test-clock.ts";
import { aFolder, robson } from "./robson-process.fixture.ts";

const DAY_MS = 86_400_000;

test("robson why says of a message that retention removed it, and of one that never was that there is none", async (t) => {
  const cwd = aFolder();
  for (const text of ["/echo one", "/echo two"]) expect((await robson(cwd, "send", text)).exitCode).toBe(0);
  const store = await openStore(`${cwd}/robson.db`);
  t.onTestFinished(() => store.close());
  const clock = createTestClock(Date.now() + 91 * DAY_MS);
  const log = keptLog();
  await new Retention({ store: store.retention, rules: DEFAULT_RETENTION, clock, log }).round();

  const [first, second, never] = [
    await robson(cwd, "why", "1"),
    await robson(cwd, "why", "2"),
    await robson(cwd, "why", "9"),
  ];

  expect(first).toMatchObject({ exitCode: 1, stdout: "" });
  expect(first.stderr).toContain(
    "Message 1 is not on record any more: it had ended, and retention removed it",
  );
  expect(second.stdout).toContain("two");
  expect(never.stderr).toContain('Cannot find a message by "9"');
}, 180_000);
