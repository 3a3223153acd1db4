/**
 * The workflow in a temporary folder, for tests: a real bare repository, the local tracker and forge over a
 * real database, and the scripted agent as a child process.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../core/clock.ts";
import { isFinal } from "../core/process-event.ts";
import { SensoriumLoop } from "../core/sensorium-loop.ts";
import type { Probe } from "../core/steps.ts";
import type { EventRecord } from "../core/store.ts";
import { openStore } from "../store/open-store.ts";
import type { OpenedStore } from "../store/opened-store.ts";
import { tryFileLock } from "../store/sqlite/file-lock.ts";
import { scriptedAgent } from "../workflow/agents/scripted/index.ts";
import type { ScriptStep } from "../workflow/agents/scripted/protocol.ts";
import { createDemoProject } from "../workflow/demo-project.ts";
import { localForge } from "../workflow/forges/local/index.ts";
import { git } from "../workflow/git.ts";
import type { WorkflowLimits } from "../workflow/limits.ts";
import type { RepositoryReport } from "../workflow/pull-request-body.ts";
import { createTask, type TaskRequest } from "../workflow/task.ts";
import type { WorkflowOptions } from "../workflow/task-run.ts";
import { localTracker } from "../workflow/trackers/local/index.ts";
import { workflowWorkers } from "../workflow/workers.ts";
import { fakeGateway } from "./fake-gateway.ts";

export type DemoWorkflow = Awaited<ReturnType<typeof openDemoWorkflow>>;

export interface DemoWorkflowOptions {
  limits?: Partial<WorkflowLimits>;
  /** A folder that another process has made one in, to go on there. Default: a fresh one. */
  directory?: string;
  /** Of the database. Default: a file in the folder. */
  location?: string | undefined;
}

/** Makes all of it, with the task DEMO-1; `close` removes the folder if it was made here. */
export async function openDemoWorkflow({ limits, directory: given, location }: DemoWorkflowOptions = {}) {
  const directory = given ?? mkdtempSync(join(tmpdir(), "robson-demo-"));
  const signal = new AbortController().signal;
  const store = await openStore(location ?? join(directory, "robson.db"));
  const project = await createDemoProject(directory, { signal });
  const { tasks, pullRequests } = store;
  const options: WorkflowOptions = {
    tasks,
    runs: store.runs,
    tracker: localTracker({ tasks }),
    forge: localForge({ pullRequests, directory }),
    agent: scriptedAgent({ scriptFile: project.scriptFile }),
    workDirectory: join(directory, "work"),
    tryLock: tryFileLock,
    clock: systemClock,
    ...(limits ? { limits } : {}),
  };
  if (!(await tasks.find("DEMO-1"))) await createTask(tasks, project.task, { allowFileUrls: true });
  const runs = demoRuns(store, () => options);
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
    /** Has a task done as a person would; rejects with what he is told where it does not end well. */
    run: async (key: string, request: RunRequest = {}) =>
      runs.within(request, (loop) => loop.say(request.text ?? `/run-task ${key}`)),
    /** Says something in the thread of the run that is under way; resolves when the loop is done with it. */
    say: runs.say,
    /** Goes on with the run that an earlier process left, as the next start does. */
    resume: async (request: RunRequest = {}) =>
      runs.within(request, async () => {
        const [open] = await store.runs.runs({ isOpen: true });
        if (!open) throw new Error("No run is open");
        return open.conversationId;
      }),
    /** Has the newest run go on after its end, as a person does. */
    retry: async (request: RunRequest = {}) =>
      runs.within(request, async () => {
        const [newest] = await store.runs.runs({});
        if (!(newest && (await store.runs.reopen(newest.conversationId))))
          throw new Error("No run has ended");
        return newest.conversationId;
      }),
    store,
    close: async () => {
      await store.close();
      if (given === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}

export interface RunRequest {
  /** What is said instead of `/run-task <key>`. */
  text?: string;
  /** Aborted: a person stops the run. */
  signal?: AbortSignal;
  probe?: Probe;
  /** Resolves when the run waits for an answer, too. */
  untilWaiting?: boolean;
  /** How often it is tried. Default: 3. */
  maxAttempts?: number;
  /** How often its process may end at one step. Default: the loop's. */
  maxInterruptions?: number;
}

/** What came of a run that ended well. */
export interface DemoRun {
  conversationId: number;
  /** What the asker was told, as `kind: content`. */
  texts: string[];
  repositories: RepositoryReport[];
}

/** A loop for each run, over the same database: as a process that is started, has one message, and stops. */
function demoRuns(store: OpenedStore, options: () => WorkflowOptions) {
  let current: { loop: SensoriumLoop; say(text: string): Promise<number> } | undefined;
  return {
    async say(text: string): Promise<void> {
      if (!current) throw new Error("No run is under way");
      const { loop, say } = current;
      await finalEvents(store, { loop, id: await say(text), untilWaiting: false });
    },
    async within(
      { signal, probe, untilWaiting = false, maxAttempts = 3, maxInterruptions }: RunRequest,
      begin: (loop: { say(text: string): Promise<number> }) => Promise<number>,
    ): Promise<DemoRun> {
      const gateway = fakeGateway({ targets: () => [] });
      const loop = new SensoriumLoop({
        store,
        limits: {
          ...QUICK,
          maxMessageAttempts: maxAttempts,
          ...(maxInterruptions === undefined ? {} : { maxInterruptions }),
        },
        ...(probe ? { probe } : {}),
      });
      for (const worker of workflowWorkers({ ...options(), allowFileUrls: true }))
        loop.registerWorker(worker);
      loop.registerGateway(gateway);
      await loop.start();
      try {
        const say = async (text: string) => (await gateway.say(text)).conversationId;
        current = { loop, say };
        const running = loop.run();
        const id = await begin({ say });
        signal?.addEventListener("abort", () => loop.control?.stop(id, "the test"), { once: true });
        const events = await finalEvents(store, { loop, id, untilWaiting, running });
        const texts = events.map(({ kind, content }) => `${kind}: ${content}`);
        const last = events.at(-1);
        if (last?.kind !== "completed" && !(untilWaiting && last?.kind === "progress"))
          throw new Error(last?.content ?? "Nothing was answered");
        const run = await store.runs.run(id);
        const reports = run?.steps.filter(({ name }) => name.endsWith(": pull request")) ?? [];
        return {
          conversationId: id,
          texts,
          repositories: reports.map(({ result }) => JSON.parse(result ?? "")),
        };
      } finally {
        await loop.stop();
      }
    },
  };
}

/** Retries without waiting: a test's trouble is over at once, or never. */
const QUICK = { backoffBaseMs: 1, maxBackoffMs: 1 };

async function finalEvents(
  store: OpenedStore,
  {
    loop,
    id,
    untilWaiting,
    running,
  }: { loop: SensoriumLoop; id: number; untilWaiting: boolean; running?: Promise<void> },
): Promise<EventRecord[]> {
  const ended = Promise.withResolvers<EventRecord[]>();
  const look = async () => {
    const { status } = (await store.conversation(id)) ?? {};
    const events = await store.events(id);
    if (untilWaiting && status === "waiting") return ended.resolve(events);
    if ((status === "done" || status === "dead") && events.some(({ kind }) => isFinal(kind)))
      ended.resolve(events);
  };
  const forget = loop.onEvents(() => void look().catch(ended.reject));
  running?.catch(ended.reject);
  await look();
  return ended.promise.finally(forget);
}
