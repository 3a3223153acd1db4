/**
 * A process of its own for the crash tests: runs DEMO-1 in the folder given, or goes on with the run that is open there.
 * It prints each point of the run that it comes to, and kills itself at the one that ROBSON_DIE_AT names; after
 * ROBSON_MAX_INTERRUPTIONS such ends at one step the run is given up.
 */
import { openDemoWorkflow } from "./demo-workflow.ts";

const [directory = "", location] = process.argv.slice(2);
const dieAt = process.env.ROBSON_DIE_AT;
const world = await openDemoWorkflow({ directory, location });
const probe = (point: string) => {
  process.stdout.write(`${point}\n`);
  if (point === dieAt) process.kill(process.pid, "SIGKILL");
};
const maxInterruptions = process.env.ROBSON_MAX_INTERRUPTIONS;
const request = { probe, ...(maxInterruptions && { maxInterruptions: Number(maxInterruptions) }) };
const [open] = await world.store.runs.runs({ isOpen: true });
await (open ? world.resume(request) : world.run("DEMO-1", request));
await world.close();
