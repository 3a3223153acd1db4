import { testWorker } from "robson/testing";
import { expect, test } from "vitest";
import { release } from "./release.ts";

test("/release asks, and makes its tag once although the connection broke behind it", async (t) => {
  const made: string[] = [];
  const worker = release({
    find: async (version) => (made.includes(version) ? `tag ${version}` : undefined),
    make: async (version) => {
      made.push(version);
      throw new Error("connection reset");
    },
  });
  const asker = testWorker(t, worker);
  const [question] = await asker.say("/release v2");
  expect(question?.content).toContain("Release v2?");

  const events = await asker.answer("sure", "yes");

  expect(events).toEqual([{ kind: "completed", content: "Released: tag v2" }]);
  expect(made).toEqual(["v2"]);
});
