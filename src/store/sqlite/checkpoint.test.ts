import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { aMessage } from "../../testing/builders.ts";
import { temporaryFolder } from "../../testing/temporary-folder.ts";
import { openStore } from "../open-store.ts";

const MB = 2 ** 20;

test("the write-ahead log is copied in small portions: no commit has more than a few megabytes to copy", async (t) => {
  const file = join(await temporaryFolder(t), "robson.db");
  const store = await openStore(file);
  t.onTestFinished(() => store.close());
  const content = "x".repeat(4000);

  const messages = Array.from({ length: 3000 }, () => aMessage({ content }));
  await Promise.all(messages.map((message) => store.insertUnowned(message)));

  // A log begins anew from its start once it has been copied: its size is the largest that it ever had.
  expect(statSync(`${file}-wal`).size).toBeLessThan(7 * MB);
  expect(statSync(file).size).toBeGreaterThan(10 * MB);
});
