import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { MAX_FILE_LINES, tooLongFiles } from "./limits.ts";

test("a file one line longer than the limit is named, whatever folder of ours it lies in", () => {
  const root = aFolder({
    "src/core/long.ts": "x\n".repeat(MAX_FILE_LINES + 1),
    "test/long.test.ts": "x\n".repeat(MAX_FILE_LINES).concat("x"),
    "src/core/full.ts": "x\n".repeat(MAX_FILE_LINES),
    "src/core/long.md": "x\n".repeat(MAX_FILE_LINES + 1),
    "tools/node_modules/long.ts": "x\n".repeat(MAX_FILE_LINES + 1),
  });

  expect(tooLongFiles(root)).toEqual([
    "src/core/long.ts has 401 lines, and 400 are the limit: find its second idea",
    "test/long.test.ts has 401 lines, and 400 are the limit: find its second idea",
  ]);
});

function aFolder(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "robson-limits-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(root, file, ".."), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  return root;
}
