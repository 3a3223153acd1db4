import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createDemoProject } from "./demo-project.ts";
import { git } from "./git.ts";

const signal = new AbortController().signal;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "robson-project-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("the demo project is a bare repository with one commit on main, and the agent's script", async () => {
  const project = await createDemoProject(directory, { signal });

  expect(readdirSync(directory).sort()).toEqual(["agent-script.json", "origin.git"]);
  const atOrigin = (...args: string[]) => git(args, { directory: project.origin, signal });
  expect((await atOrigin("log", "--format=%an %s", "main")).trim()).toBe("Robson Add up the lines of a bill");
  expect((await atOrigin("ls-tree", "--name-only", "main")).trim().split("\n")).toEqual([
    ...["README.md", "package.json", "total.js", "total.test.js"],
  ]);
});

test("it is the same commit each time, and a second call keeps what is there", async () => {
  const first = await createDemoProject(join(directory, "first"), { signal });
  const second = await createDemoProject(join(directory, "second"), { signal });
  await createDemoProject(join(directory, "first"), { signal });

  const main = (origin: string) => git(["rev-parse", "main"], { directory: origin, signal });
  expect(await main(first.origin)).toBe(await main(second.origin));
});
