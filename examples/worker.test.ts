import { testWorker } from "robson/testing";
import { expect, test } from "vitest";
import { shout } from "./worker.ts";

test("/shout answers louder", async (t) => {
  const events = await testWorker(t, shout).say("/shout hello");

  expect(events).toEqual([{ kind: "completed", content: "HELLO" }]);
});
