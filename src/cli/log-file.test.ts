import { existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { openedLogFile } from "./log-file.ts";

test("what is logged is in the file soon, all of it and in order, and the rest of it at the end", async (t) => {
  const path = join(await temporaryFolder(t), "robson.log");
  const troubles: unknown[] = [];
  const file = openedLogFile({ fd: openSync(path, "a"), onTrouble: (error) => troubles.push(error) });
  const lines = Array.from({ length: 3000 }, (_, index) => `line ${index} ${"ä".repeat(20)}\n`);

  for (const line of lines.slice(0, 2000)) file.write(line);
  await expect.poll(() => readFileSync(path, "utf8")).toBe(lines.slice(0, 2000).join(""));
  for (const line of lines.slice(2000)) file.write(line);
  file.close();
  file.close();
  file.write("too late\n");

  await expect.poll(() => readFileSync(path, "utf8")).toBe(lines.join(""));
  expect(troubles).toEqual([]);
});

test.skipIf(!existsSync("/dev/full"))(
  "a disk that is full is told of once, and holds up neither writing nor the end",
  async () => {
    const troubles: unknown[] = [];
    const file = openedLogFile({
      fd: openSync("/dev/full", "a"),
      onTrouble: (error) => troubles.push(error),
    });

    for (let index = 0; index < 10_000; index += 1) file.write(`${"x".repeat(1000)}\n`);
    await expect.poll(() => troubles).toMatchObject([{ code: "ENOSPC" }]);
    file.write("more\n");
    file.close();

    expect(troubles).toHaveLength(1);
  },
);
