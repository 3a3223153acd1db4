/**
 * The project of `robson demo`: a bare repository whose one test fails, a ticket that asks for the repair, and
 * the scripted agent's script that does it. The same bytes, and so the same commit, each time.
 */
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { git } from "./git.ts";
import type { TaskRequest } from "./task.ts";

export interface DemoProject {
  /** The bare repository. */
  origin: string;
  repoUrl: string;
  /** For `scriptedAgent({ scriptFile })`. */
  scriptFile: string;
  task: TaskRequest & { key: string };
}

const FILES: Record<string, string> = {
  "package.json": `${JSON.stringify({ name: "demo", version: "1.0.0", private: true, type: "module", scripts: { test: "node --test" } }, null, 2)}\n`,
  "README.md": "# demo\n\nAdds up the lines of a bill.\n",
  "total.js": `/** The total of a bill's lines, in cents. */
export function total(lines) {
  let sum = 0;
  for (let index = 1; index < lines.length; index += 1) {
    sum += lines[index].cents * lines[index].count;
  }
  return sum;
}
`,
  "total.test.js": `import assert from "node:assert/strict";
import { test } from "node:test";
import { total } from "./total.js";

test("every line of a bill counts", () => {
  const lines = [
    { cents: 250, count: 2 },
    { cents: 100, count: 1 },
  ];
  assert.equal(total(lines), 600);
});
`,
};

const SCRIPT = [
  { say: "total.test.js fails: the loop in total.js starts at the second line of the bill" },
  { file: "total.js", find: "let index = 1;", replace: "let index = 0;" },
];

/** Makes the project in the folder; what is there already is kept, so that a second demo there goes on. */
export async function createDemoProject(
  directory: string,
  { signal }: { signal: AbortSignal },
): Promise<DemoProject> {
  const origin = join(directory, "origin.git");
  const scriptFile = join(directory, "agent-script.json");
  await mkdir(directory, { recursive: true });
  await writeFile(scriptFile, `${JSON.stringify(SCRIPT, null, 2)}\n`);
  if (!(await isThere(origin))) await createOrigin({ directory, origin, signal });
  const repoUrl = pathToFileURL(origin).href;
  return {
    origin,
    repoUrl,
    scriptFile,
    task: {
      key: "DEMO-1",
      summary: "The first line of a bill is not counted",
      description: "total() leaves out the first line, and the test fails. Make `npm test` pass.",
      repoUrls: [repoUrl],
    },
  };
}

async function createOrigin({
  directory,
  origin,
  signal,
}: {
  directory: string;
  origin: string;
  signal: AbortSignal;
}) {
  const files = join(directory, "demo-files");
  const fresh = join(directory, "demo-origin.git");
  await rm(files, { recursive: true, force: true });
  await rm(fresh, { recursive: true, force: true });
  for (const [name, content] of Object.entries(FILES)) {
    await mkdir(dirname(join(files, name)), { recursive: true });
    await writeFile(join(files, name), content, { mode: 0o644 });
  }

  await git(["init", "--quiet", "--bare", "--initial-branch=main", fresh], { directory, signal });
  const date = "2026-01-01T00:00:00Z";
  const options = {
    directory: files,
    signal,
    environment: { GIT_DIR: fresh, GIT_WORK_TREE: files, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
  };
  await git(["add", "--all", "--", "."], options);
  const tree = (await git(["write-tree"], options)).trim();
  const sha = (await git(["commit-tree", tree, "-m", "Add up the lines of a bill"], options)).trim();
  await git(["update-ref", "refs/heads/main", sha], options);
  await rm(join(fresh, "index"), { force: true });
  await rm(files, { recursive: true, force: true });
  // Last, so that a crash leaves a whole repository or none.
  await rename(fresh, origin);
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
