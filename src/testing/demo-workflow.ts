/**
 * The workflow in a temporary folder, for tests: a real bare repository, the local tracker and forge over a
 * real database, and the scripted agent as a child process.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../core/clock.ts";
import { openStore } from "../store/open-store.ts";
import { scriptedAgent } from "../workflow/agents/scripted/index.ts";
import type { ScriptStep } from "../workflow/agents/scripted/protocol.ts";
import { createDemoProject } from "../workflow/demo-project.ts";
import { localForge } from "../workflow/forges/local/index.ts";
import { git } from "../workflow/git.ts";
import type { WorkflowLimits } from "../workflow/limits.ts";
import { runTask, type StepReport, type WorkflowOptions } from "../workflow/run-task.ts";
import { createTask, type TaskRequest } from "../workflow/task.ts";
import { localTracker } from "../workflow/trackers/local/index.ts";

export type DemoWorkflow = Awaited<ReturnType<typeof openDemoWorkflow>>;

export interface DemoWorkflowOptions {
  limits?: Partial<WorkflowLimits>;
  /** A folder that another process has made one in, to go on there. Default: a fresh one. */
  directory?: string;
}

/** Makes all of it, with the task DEMO-1; `close` removes the folder if it was made here. */
export async function openDemoWorkflow({ limits, directory: given }: DemoWorkflowOptions = {}) {
  const directory = given ?? mkdtempSync(join(tmpdir(), "robson-demo-"));
  const signal = new AbortController().signal;
  const store = await openStore(join(directory, "robson.db"));
  const project = await createDemoProject(directory, { signal });
  const { tasks, pullRequests } = store;
  const options: WorkflowOptions = {
    tasks,
    tracker: localTracker({ tasks }),
    forge: localForge({ pullRequests, directory }),
    agent: scriptedAgent({ scriptFile: project.scriptFile, ...(limits ? { limits } : {}) }),
    workDirectory: join(directory, "work"),
    clock: systemClock,
    ...(limits ? { limits } : {}),
  };
  if (!(await tasks.find("DEMO-1"))) await createTask(tasks, project.task, { allowFileUrls: true });
  const atOrigin = (...args: string[]) => git(args, { directory: project.origin, signal });
  return {
    ...{ directory, project, tasks, pullRequests, options },
    git: atOrigin,
    /** Every branch of the bare repository. */
    branches: async () =>
      (await atOrigin("for-each-ref", "--format=%(refname:short)", "refs/heads")).trim().split("\n"),
    /** Replaces what the agent does. */
    script: (steps: ScriptStep[]) => writeFileSync(project.scriptFile, JSON.stringify(steps)),
    create: (request: TaskRequest) => createTask(tasks, request, { allowFileUrls: true }),
    run: (key: string, context: { signal?: AbortSignal; onStep?: (report: StepReport) => void } = {}) =>
      runTask(key, options, { signal, ...context }),
    close: async () => {
      await store.close();
      if (given === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}
