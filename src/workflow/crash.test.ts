import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import { endLeftovers } from "./leftovers.ts";
import { STEPS } from "./run-task.ts";

const PROGRAM = fileURLToPath(new URL("../testing/run-demo-task.ts", import.meta.url));

let world: DemoWorkflow;

beforeEach(async () => {
  world = await openDemoWorkflow();
});
afterEach(() => world.close());

function startRun(): ChildProcess & { stdout: NodeJS.ReadableStream } {
  const args = ["--disable-warning=ExperimentalWarning", PROGRAM, world.directory];
  return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
}

/** Kills the process as soon as it has printed the step, in the middle of the next ones; false when it was quicker. */
async function killAfter(step: string): Promise<boolean> {
  const child = startRun();
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
    if (printed.split("\n").includes(step)) child.kill("SIGKILL");
  });
  await once(child, "close");
  return child.signalCode === "SIGKILL";
}

test("a process that is killed again and again, a step later each time, ends with one of everything", async () => {
  const killed: string[] = [];
  for (const step of STEPS) if (await killAfter(step)) killed.push(step);
  // The last steps take less time than the signal needs.
  expect(killed).toEqual(expect.arrayContaining(["ticket", "workspace", "agent", "verify"]));

  await world.run("DEMO-1");

  const branches = await world.branches();
  expect(branches).toHaveLength(2);
  expect((await world.git("rev-list", "--count", `main..${branches[1]}`)).trim()).toBe("1");
  expect(await world.pullRequests.list()).toHaveLength(1);
  expect(await world.tasks.comments("DEMO-1")).toHaveLength(1);
  expect(await world.tasks.get("DEMO-1")).toMatchObject({
    status: "done",
    repositories: [{ status: "done" }],
  });
});

test("an agent that outlived a killed process is ended before the next one starts, and edits nothing any more", async () => {
  const ready = join(world.directory, "ready");
  const program = `fs.writeFileSync(${JSON.stringify(ready)}, String(process.pid)); setInterval(() => fs.writeFileSync("late.txt", "x"), 5)`;
  world.script([{ run: ["setsid", process.execPath, "-e", program] }]);
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "-e", runWithout(world.directory)],
    { stdio: "inherit" },
  );
  await expect.poll(() => existsSync(ready), { timeout: 15_000, interval: 20 }).toBe(true);
  child.kill("SIGKILL");
  await once(child, "close");
  const pid = readFileSync(ready, "utf8");
  expect(environmentOf(pid)).toContain("ROBSON_WORKSPACE=");
  world.script([{ file: "total.js", find: "let index = 1;", replace: "let index = 0;" }]);

  const report = await world.run("DEMO-1");

  expect(environmentOf(pid)).toBe("");
  expect(await world.git("ls-tree", "--name-only", report.repositories[0]?.branch ?? "")).not.toContain(
    "late.txt",
  );
  expect(readdirSync(join(world.options.workDirectory, "DEMO-1"))).toEqual([]);
});

test("ending leftovers where there are none does nothing", async () => {
  expect(await endLeftovers(join(world.directory, "nothing"))).toBe(0);
});

/** The crash program again, but with the script that is there now instead of the demo's. */
function runWithout(directory: string): string {
  const script = JSON.stringify(readFileSync(join(directory, "agent-script.json"), "utf8"));
  const helper = JSON.stringify(new URL("../testing/demo-workflow.ts", import.meta.url).href);
  return `import(${helper}).then(async ({ openDemoWorkflow }) => {
    const world = await openDemoWorkflow({ directory: ${JSON.stringify(directory)} });
    world.script(JSON.parse(${script}));
    await world.run("DEMO-1");
  });`;
}

/** Empty for a process that is gone, or waits only to be counted. */
function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8");
  } catch {
    // No such process.
    return "";
  }
}
