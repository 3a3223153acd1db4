/** A process of its own for the crash tests: runs DEMO-1 in the folder given, and prints each step that has ended. */
import { openDemoWorkflow } from "./demo-workflow.ts";

const [directory = ""] = process.argv.slice(2);
const world = await openDemoWorkflow({ directory });
await world.run("DEMO-1", { onStep: ({ step }) => process.stdout.write(`${step}\n`) });
await world.close();
