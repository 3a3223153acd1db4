import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import { endLeftovers } from "./leftovers.ts";

let world: DemoWorkflow;

beforeEach(async () => {
  world = await openDemoWorkflow();
});
afterEach(() => world.close());

test("an agent does not outlive a process that is killed, and the next one goes on without what it left", async () => {
  const ready = join(world.directory, "ready");
  const program = `fs.writeFileSync(${JSON.stringify(ready)}, String(process.pid)); setInterval(() => fs.writeFileSync("late.txt", "x"), 5)`;
  world.script([{ run: ["setsid", process.execPath, "-e", program] }]);
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "-e", runWithout(world.directory)],
    { stdio: "inherit" },
  );
  const size = () => statSync(ready, { throwIfNoEntry: false })?.size ?? 0;
  await expect.poll(size, { timeout: 60_000, interval: 20 }).toBeGreaterThan(0);
  child.kill("SIGKILL");
  await once(child, "close");
  const pid = readFileSync(ready, "utf8");
  await expect.poll(() => environmentOf(pid), { timeout: 60_000, interval: 20 }).toBe("");
  world.script([{ file: "total.js", find: "let index = 1;", replace: "let index = 0;" }]);

  const report = await world.resume();

  expect(environmentOf(pid)).toBe("");
  expect(await world.git("show", `${report.repositories[0]?.branch}:total.js`)).toContain("let index = 0;");
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
