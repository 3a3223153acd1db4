import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commitTree, push, stageTree } from "../commit.ts";
import { git } from "../git.ts";
import { removeWorkspace, saveWork, startBranch } from "../workspace.ts";
import { openWorld, options } from "./repository.fixture.ts";

/** What an agent does in its checkout beside its work; PWNED is a file that is there when something of it has run. */
const ATTEMPTS: [string, string][] = [
  [
    "a filter in its configuration",
    "git config filter.x.clean 'touch PWNED; cat'; echo '* filter=x' > .gitattributes",
  ],
  [
    "a filter in a file that its configuration includes",
    "printf '[filter \"x\"]\\n\\tclean = touch PWNED\\n' > i; git config include.path ../i; echo '* filter=x' > .gitattributes",
  ],
  [
    "hooks",
    "mkdir -p .git/hooks; for h in pre-commit pre-push post-checkout reference-transaction; do printf '#!/bin/sh\\ntouch PWNED\\n' > .git/hooks/$h; chmod +x .git/hooks/$h; done; git config core.hooksPath .git/hooks",
  ],
  ["a program that watches files", "git config core.fsmonitor 'touch PWNED'"],
  [
    "a diff program and a text conversion",
    "git config diff.external 'touch PWNED'; git config diff.x.textconv 'touch PWNED'; echo '* diff=x' > .gitattributes",
  ],
  [
    "a program for logging in",
    "git config credential.helper '!touch PWNED'; git config core.askPass 'touch PWNED'",
  ],
  [
    "another remote",
    "git config remote.origin.url 'ext::touch PWNED'; git config remote.origin.pushurl 'ext::touch PWNED'",
  ],
  ["an alternate that leads elsewhere", "echo /nonexistent/objects > .git/objects/info/alternates"],
  ["a work tree elsewhere", "git config core.worktree /"],
  ["a .git that is a file and leads to Robson's repository", "rm -rf .git; echo 'gitdir: RUNS' > .git"],
  ["a .git that is a link to Robson's mirror", "rm -rf .git; ln -s MIRROR .git"],
  [
    "a locked index and half a rebase",
    "touch .git/index.lock; mkdir -p .git/rebase-merge; echo x > .git/MERGE_HEAD",
  ],
  ["graftings and replacements", "git replace --graft HEAD 2>/dev/null; echo x > .git/shallow"],
  [
    "a branch of a name that git reads as an option",
    "git update-ref refs/heads/--upload-pack=x HEAD; git symbolic-ref HEAD refs/heads/--upload-pack=x",
  ],
  [
    "a submodule whose address is a program",
    "printf '[submodule \"s\"]\\n\\tpath = s\\n\\turl = ext::touch PWNED\\n\\tupdate = !touch PWNED\\n' > .gitmodules",
  ],
  ["names that the shell would run", "touch -- '$(false)' '; false' '--force' '-x' \"$(printf 'a\\nb')\""],
];

test.for(ATTEMPTS)(
  "an agent that leaves %s gets nothing run, and its work goes where it should",
  async ([, shell], t) => {
    const world = await openWorld(t);
    const workspace = await world.prepare();
    const { checkout, branch, places } = workspace;
    await startBranch(workspace, branch, options);
    const pwned = join(world.folder, "pwned");
    const script = `echo changed > a.txt; ${shell}`;
    const filled = script
      .replaceAll("PWNED", pwned)
      .replaceAll("RUNS", places.runs)
      .replaceAll("MIRROR", places.mirror);
    execFileSync("sh", ["-c", filled], { cwd: checkout, env: { PATH: process.env.PATH, HOME: places.home } });
    const settings = () =>
      ["mirror", "runs"].map((name) =>
        readFileSync(join(places[name as "mirror" | "runs"], "config"), "utf8"),
      );
    const before = settings();

    await saveWork(workspace, options);
    const tree = (await stageTree(workspace, options)) ?? "";
    const sha = await commitTree(workspace, { tree, message: "Change\n", branch }, options);
    await push(workspace, { branch, sha }, options);
    const saved = await git(["show", `refs/robson/T-1/1/work:a.txt`], {
      ...options,
      directory: world.folder,
      repository: places.runs,
    });
    await removeWorkspace(workspace, options);

    expect(existsSync(pwned)).toBe(false);
    expect(settings()).toEqual(before);
    expect(saved).toBe("changed\n");
    expect(await world.server.git("show", `${branch}:a.txt`)).toBe("changed\n");
    expect((await world.server.git("rev-parse", `${branch}^`)).trim()).toBe(world.server.sha);
  },
);

test("a checkout that became a link is neither staged nor saved, and only the link is removed", async (t) => {
  const world = await openWorld(t);
  const workspace = await world.prepare();
  await startBranch(workspace, workspace.branch, options);
  execFileSync("sh", ["-c", "mv checkout moved; ln -s / checkout"], { cwd: workspace.root });

  await expect(stageTree(workspace, options)).rejects.toMatchObject({ code: "AGENT_FAILED", retry: "never" });
  expect(await saveWork(workspace, options)).toBeUndefined();
  await removeWorkspace(workspace, options);

  expect(existsSync(workspace.root)).toBe(false);
  expect(existsSync("/usr")).toBe(true);
});
