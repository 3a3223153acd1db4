/**
 * A process for the crash tests that works on DEMO-2, a task over two repositories, the second of which has a person asked
 * before anything is pushed. It kills itself at the first point of the run that begins as its last argument says, and says
 * "waiting" or "done" where it comes to none.
 */
import { join } from "node:path";
import { openDemoWorkflow } from "../../src/testing/demo-workflow.ts";
import { createDemoProject } from "../../src/workflow/demo-project.ts";

const [directory = "", location, dieAt] = process.argv.slice(2);
const world = await openDemoWorkflow({ directory, location });
const { signal } = new AbortController();
const second = await createDemoProject(join(directory, "second"), { signal });
if (!(await world.tasks.find("DEMO-2"))) {
  const repoUrls = [world.project.repoUrl, second.repoUrl];
  await world.create({ key: "DEMO-2", summary: "Both", repoUrls });
}
world.options.repositories = [{ url: second.repoUrl, protectedPaths: ["total.js"] }];
const probe = (point: string) => {
  if (dieAt && point.startsWith(dieAt)) process.kill(process.pid, "SIGKILL");
};
const request = { probe, untilWaiting: true };
const [open] = await world.store.runs.runs({ isOpen: true });
const { conversationId } = await (open ? world.resume(request) : world.run("DEMO-2", request));
const { status } = (await world.store.runs.run(conversationId)) ?? {};
process.stdout.write(status === "waiting" ? "waiting" : "done");
await world.close();
