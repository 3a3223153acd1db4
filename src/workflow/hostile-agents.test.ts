import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";

const FIX = { file: "total.js", find: "let index = 1;", replace: "let index = 0;" };

let world: DemoWorkflow;
/** A file that is there when what the agent planted has run. */
let pwned: string;

beforeEach(async () => {
  world = await openDemoWorkflow({ limits: { killGraceMs: 200 } });
  pwned = join(world.directory, "pwned");
  // What the gates would say to these changes is theirs to test: here it gets past them.
  world.options.gates = { links: "allow", protectedPaths: "allow", submodules: "allow" };
});
afterEach(() => world.close());

/** An agent that repairs the project, and does this besides, in the checkout. */
function agentThatAlso(shell: string): void {
  world.script([FIX, { run: ["sh", "-ec", shell] }]);
}

async function pushedFiles(branch = ""): Promise<string> {
  return world.git("ls-tree", "-r", branch);
}

test.each([
  ["a pipe that nobody writes to", "mkfifo pipe; ln -sf pipe package.json"],
  ["a device without an end", "ln -sf /dev/zero package.json"],
])("a package.json that leads to %s is not read, and no check is claimed", async (_what, shell) => {
  agentThatAlso(shell);

  const report = await world.run("DEMO-1");

  expect(report.repositories[0]?.checks).toEqual([]);
  expect(await pushedFiles(report.repositories[0]?.branch)).toMatch(/^120000 .*package\.json$/m);
});

test("a package.json over its size is an error that names the limit", async () => {
  agentThatAlso(`head -c 2000000 /dev/zero | tr '\\0' ' ' >> package.json`);

  await expect(world.run("DEMO-1")).rejects.toThrow("MAX_PACKAGE_JSON_BYTES (1048576)");
});

test("Robson's environment reaches neither the agent, nor what it starts, nor the checks", async (t) => {
  process.env.ROBSON_TOKEN_OF_A_TEST = "the-secret-of-robson";
  t.onTestFinished(() => void delete process.env.ROBSON_TOKEN_OF_A_TEST);
  // Names alone: values are what the gates ask about.
  const names = "(env; tr '\\0' '\\n' < /proc/$PPID/environ) | cut -d= -f1 | sort -u";
  agentThatAlso(`${names} > names.txt`);
  const check = `grep -qx PATH names.txt && ! (${names}) | grep ROBSON_TOKEN`;
  world.options.repositories = [{ url: world.project.repoUrl, verify: [["sh", "-c", check]] }];

  const report = await world.run("DEMO-1");

  const seen = (await world.git("show", `${report.repositories[0]?.branch}:names.txt`)).split("\n");
  expect(seen).toContain("PATH");
  expect(seen).not.toContain("ROBSON_TOKEN_OF_A_TEST");
});

test("a filter in the checkout's git configuration is not run by Robson's git", async () => {
  agentThatAlso(`git config filter.x.clean 'touch ${pwned}; cat'; echo '* filter=x' > .gitattributes`);

  await world.run("DEMO-1");

  expect(existsSync(pwned)).toBe(false);
});

test("a program for the other end of a push is not run by Robson's git", async () => {
  const program = `touch ${pwned}; git-receive-pack`;
  agentThatAlso(`git config 'remote.${world.project.repoUrl}.receivepack' '${program}'`);

  await world.run("DEMO-1");

  expect(existsSync(pwned)).toBe(false);
});

test("a commit goes to the task's repository, wherever the checkout's git would send it", async () => {
  const elsewhere = join(world.directory, "elsewhere.git");
  await world.git("init", "--quiet", "--bare", elsewhere);
  agentThatAlso(`git config 'url.file://${elsewhere}.insteadOf' '${world.project.repoUrl}'`);

  const report = await world.run("DEMO-1");

  expect(await world.branches()).toContain(report.repositories[0]?.branch);
  expect((await world.git("--git-dir", elsewhere, "for-each-ref")).trim()).toBe("");
});

test("a checkout whose .git is gone, or leads elsewhere, is committed all the same", async () => {
  agentThatAlso("rm -rf .git; ln -s /nonexistent .git");

  const report = await world.run("DEMO-1");

  expect(await world.branches()).toContain(report.repositories[0]?.branch);
});

test("a repository within the checkout runs no program of its configuration", async () => {
  const sub = "git -c user.name=a -c user.email=a@b";
  agentThatAlso(
    `mkdir sub; cd sub; git init -q; echo x > a; ${sub} add a; ${sub} commit -qm x; echo y > a;
     git config core.fsmonitor 'touch ${pwned}'; git config filter.x.clean 'touch ${pwned}; cat'; echo '* filter=x' > .gitattributes`,
  );

  await world.run("DEMO-1").catch(() => undefined);

  expect(existsSync(pwned)).toBe(false);
});

test("a submodule of the project runs no program that the agent put into its configuration", async () => {
  await addSubmodule();
  const sub = "git -c user.name=a -c user.email=a@b";
  agentThatAlso(
    `cd sub; git init -q; echo x > a; ${sub} add a; ${sub} commit -qm x; echo y > a;
     git config core.fsmonitor 'touch ${pwned}'; git config filter.x.clean 'touch ${pwned}; cat'; echo '* filter=x' > .gitattributes`,
  );

  await world.run("DEMO-1").catch(() => undefined);

  expect(existsSync(pwned)).toBe(false);
});

test("a checkout that became a link to another folder is not committed", async () => {
  agentThatAlso(`mv ../checkout ../moved; ln -s ${world.directory} ../checkout`);

  await expect(world.run("DEMO-1")).rejects.toThrow();

  expect(await world.branches()).toEqual(["main"]);
});

test("a pipe in the place of Robson's own files holds up nothing", async () => {
  agentThatAlso("mkfifo ../message ../index");

  await world.run("DEMO-1");

  expect(await world.tasks.get("DEMO-1")).toMatchObject({ status: "done" });
});

test("what goes wrong between the agent and the commit is not paid for a second time", async () => {
  agentThatAlso("rm total.test.js; mkfifo total.test.js");

  await expect(world.run("DEMO-1")).rejects.toThrow();
});

test("a process that the agent or a check left in a session of its own ends with the run, however that ends", async () => {
  const child = join(world.directory, "child");
  const endless = `sh -c 'echo $$ > ${child}; exec sleep 600'`;
  world.script([{ run: ["sh", "-c", `setsid ${endless} & while [ ! -s ${child} ]; do :; done`] }]);
  await expect(world.run("DEMO-1")).rejects.toThrow();

  const check = `setsid ${endless} & while [ ! -s ${child} ]; do :; done; exit 1`;
  const ofAgent = await goneProcess(child);
  world.script([FIX]);
  world.options.repositories = [
    { url: world.project.repoUrl, verify: [["sh", "-c", `rm ${child}; ${check}`]] },
  ];
  await expect(world.run("DEMO-1")).rejects.toThrow();

  expect(ofAgent).toBe("");
  expect(await goneProcess(child)).toBe("");
});

/** The command line of the process whose number is in the file; empty when it is gone, or only waits to be counted. */
async function goneProcess(file: string): Promise<string> {
  const pid = readFileSync(file, "utf8").trim();
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // No such process.
    return "";
  }
}

/** Gives the project's main branch a submodule `sub`. */
async function addSubmodule(): Promise<void> {
  const index = ["-c", "core.bare=false", "--work-tree", world.directory];
  const main = (await world.git("rev-parse", "main")).trim();
  await world.git(...index, "read-tree", "main");
  await world.git(...index, "update-index", "--add", "--cacheinfo", `160000,${main},sub`);
  const tree = (await world.git("write-tree")).trim();
  const commit = (await world.git("commit-tree", tree, "-p", main, "-m", "Add a submodule")).trim();
  await world.git("update-ref", "refs/heads/main", commit);
}
