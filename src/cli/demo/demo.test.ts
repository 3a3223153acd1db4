/** The demo as a new user runs it, and with the plug pulled in the middle: the same single result. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { aFolder, robson } from "../robson-process.fixture.ts";

const ONE_OF_EACH = { branches: 1, commits: 1, pullRequests: 1, comments: 1, answers: 1 };

test.each([
  ["as it is", []],
  ["with the plug pulled in the middle of the work", ["--crash"]],
])(
  "the demo %s ends with one branch, one pull request and one answer",
  { timeout: 180_000 },
  async (_how, more) => {
    const folder = aFolder();

    const { stdout, stderr, exitCode } = await robson(
      folder,
      "--json",
      "demo",
      "--dir",
      join(folder, "demo"),
      ...more,
    );

    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining("is ready for review"),
    });
    expect(JSON.parse(stdout)).toMatchObject({ task: "DEMO-1", counts: ONE_OF_EACH });
    expect(stderr.includes("Pulled the plug")).toBe(more.length > 0);
    expect(existsSync(join(folder, "demo", "work", "DEMO-1", "checkout"))).toBe(false);
  },
);
