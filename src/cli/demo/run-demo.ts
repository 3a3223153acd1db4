/**
 * The demo from start to end, with nothing played but the coding agent: a real repository, the real loop,
 * server, gateway and workflow, and a user who knows nothing of them but HTTP.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { join } from "node:path";
import { defaultSettings } from "../../config/config-schema.ts";
import type { Config } from "../../config/load-config.ts";
import { hasCode, RobsonError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { openStore } from "../../store/open-store.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import { createDemoProject, type DemoProject } from "../../workflow/demo-project.ts";
import { git } from "../../workflow/git.ts";
import { createTask } from "../../workflow/task.ts";
import { startAgent } from "../start-agent.ts";
import { taskRules } from "../start-loop.ts";
import { startChildAgent } from "./child-agent.ts";
import { type ReceivedDelivery, startReceiver } from "./receiver.ts";

export interface DemoOptions {
  directory: string;
  log: Logger;
  signal: AbortSignal;
  /** Pulls the plug in the middle of the work, and starts Robson again. Default: no. */
  hasCrash?: boolean;
  /** Told what happens, as it happens. */
  onStep(text: string): void;
}

export interface DemoResult {
  task: string;
  isDone: boolean;
  branch: string;
  commit: string;
  pullRequest: string;
  diffStat: string;
  answer: string;
  deliveries: ReceivedDelivery[];
  /** How many of each there are: one, whatever happened in between. */
  counts: { branches: number; commits: number; pullRequests: number; comments: number; answers: number };
}

/** Runs the demo in the folder; what an earlier one did there is found and adopted. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { directory, onStep, signal } = options;
  const project = await createDemoProject(directory, { signal });
  onStep(`Made a repository with a failing test: ${project.origin}`);
  const config = demoConfig(directory, project);
  const user = await startUser(config, onStep);
  try {
    const store = await openStore(config.database.url);
    try {
      await createTicket(store, { config, project, onStep });
      await (options.hasCrash ? askWithCrash : ask)(`/run-task ${project.task.key}`, {
        ...options,
        store,
        config,
        user,
      });
      return await resultOf({ store, project, deliveries: user.deliveries, directory, signal });
    } finally {
      await store.close();
    }
  } finally {
    user.close();
  }
}

interface Asking extends DemoOptions {
  store: OpenedStore;
  config: Config;
  user: DemoUser;
}

async function ask(text: string, { store, config, log, user, signal, onStep }: Asking): Promise<void> {
  const agent = await startAgent({ store, config, log });
  try {
    onStep(`Started Robson: ${agent.url}`);
    await user.ask(text, { url: agent.url, signal, ended: agent.ended });
  } finally {
    // While the user still listens: the last answer's receipt is on its way.
    await agent.stop();
  }
}

/** What the agent reports first of its work: by then it has edited a file, and nothing of that is a commit. */
const AT_WORK = /^Edited|has changed the code/;

async function askWithCrash(
  text: string,
  { config, directory, user, signal, onStep }: Asking,
): Promise<void> {
  const agent = await startChildAgent(config, { directory, signal });
  try {
    onStep(`Started Robson as a process of its own: ${agent.url}`);
    const crashed = user.heard(AT_WORK).then(async () => {
      onStep("Pulled the plug: SIGKILL in the middle of the work");
      await agent.crash();
      onStep("Started Robson again on what it left");
    });
    const isOver = Promise.all([user.ask(text, { url: agent.url, signal, ended: agent.ended }), crashed]);
    await isOver;
  } finally {
    await agent.stop();
  }
}

function demoConfig(directory: string, project: DemoProject): Config {
  const settings = defaultSettings();
  return {
    ...settings,
    database: { url: join(directory, "robson.db") },
    server: { ...settings.server, port: 0 },
    webhook: { ...settings.webhook, allowCallbackHosts: ["127.0.0.1"] },
    workflow: {
      ...settings.workflow,
      workDir: join(directory, "work"),
      allowFileRepositories: true,
      // The agent is a script of ours, and the demo runs on every machine.
      sandbox: "none",
    },
    agents: { ...settings.agents, scripted: { script: project.scriptFile } },
    secrets: {
      token: randomBytes(32).toString("hex"),
      webhookSecret: `whsec_${randomBytes(32).toString("base64")}`,
    },
  };
}

async function createTicket(
  store: OpenedStore,
  { config, project, onStep }: { config: Config; project: DemoProject; onStep(text: string): void },
): Promise<void> {
  const { key, summary } = project.task;
  try {
    await createTask(store.tasks, project.task, taskRules(config));
    onStep(`Wrote the ticket ${key}: ${summary}`);
  } catch (error) {
    if (!hasCode(error, "TASK_EXISTS")) throw error;
    onStep(`Found the ticket ${key}: ${summary}`);
  }
}

interface DemoUser {
  /** What was delivered to him, in its order. */
  deliveries: ReceivedDelivery[];
  /** Sends the text, and resolves when its final answer was delivered. */
  ask(text: string, robson: { url: string; signal: AbortSignal; ended: Promise<void> }): Promise<void>;
  /** Resolves at the first delivery that says so. */
  heard(text: RegExp): Promise<void>;
  close(): void;
}

/** A user as Robson sees him: someone who posts messages and takes callbacks. */
async function startUser({ secrets }: Config, onStep: (text: string) => void): Promise<DemoUser> {
  const { token = "", webhookSecret: signingSecret = "" } = secrets;
  const deliveries: ReceivedDelivery[] = [];
  const answered = Promise.withResolvers<void>();
  const listeners: ((content: string) => void)[] = [];
  const heard = (wanted: RegExp) =>
    new Promise<void>((resolve) => {
      listeners.push((content) => {
        if (wanted.test(content)) resolve();
      });
    });
  const receiver = await startReceiver({
    signingSecret,
    onDelivery(delivery) {
      deliveries.push(delivery);
      onStep(`Robson (${delivery.kind}): ${delivery.content}`);
      for (const listener of listeners) listener(delivery.content);
      if (delivery.kind === "completed" || delivery.kind === "failed") answered.resolve();
    },
  });
  const ask: DemoUser["ask"] = async (text, { url, signal, ended }) => {
    onStep(`You: ${text}`);
    await post(`${url}/message`, { token, text, callback: receiver.url, signal });
    await Promise.race([answered.promise, rejectedBy(signal), ended]);
  };
  return { deliveries, ask, heard, close: receiver.close };
}

function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

interface Post {
  token: string;
  text: string;
  callback: string;
  signal: AbortSignal;
}

async function post(url: string, { token, text, callback, signal }: Post): Promise<void> {
  const body = { content: text, channel_id: callback, user_id: "you", external_id: randomUUID() };
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
    signal,
  });
  if (response.status === 202) return;
  throw new RobsonError(
    "INTERNAL",
    `The message was not accepted: ${response.status} ${await response.text()}`,
    {
      hint: "Report this as a bug",
    },
  );
}

interface Outcome {
  store: OpenedStore;
  project: DemoProject;
  deliveries: ReceivedDelivery[];
  directory: string;
  signal: AbortSignal;
}

/** What there is now, read from the database and from the repository itself. */
async function resultOf({ store, project, deliveries, directory, signal }: Outcome): Promise<DemoResult> {
  const task = await store.tasks.get(project.task.key);
  const branch = task.repositories[0]?.branch ?? "";
  const ask = async (...args: string[]) =>
    (await git([`--git-dir=${project.origin}`, ...args], { directory, signal })).trimEnd();
  const isDone = task.status === "done";
  return {
    task: task.key,
    isDone,
    branch,
    commit: isDone ? await ask("rev-parse", `refs/heads/${branch}`) : "",
    pullRequest: task.prUrl ?? "",
    diffStat: isDone ? await ask("diff", "--stat", `main...${branch}`) : "",
    answer: deliveries.at(-1)?.content ?? "",
    deliveries,
    counts: {
      branches: (await ask("for-each-ref", "--format=x", "refs/heads/robson")).split("\n").filter(Boolean)
        .length,
      commits: isDone ? Number(await ask("rev-list", "--count", `main..${branch}`)) : 0,
      pullRequests: (await store.pullRequests.list()).length,
      comments: (await store.tasks.comments(task.key)).length,
      answers: deliveries.filter(({ kind }) => kind === "completed" || kind === "failed").length,
    },
  };
}
