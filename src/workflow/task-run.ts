/** What the steps of one run of a task share, and how their writes to the task look. */
import type { AllowedHosts } from "../core/allowed-hosts.ts";
import type { Logger } from "../core/logger.ts";
import type { RunRecords } from "../core/run-store.ts";
import type { WorkerContext } from "../core/worker.ts";
import type { CodingAgent } from "./coding-agent.ts";
import type { TryLock } from "./file-lock.ts";
import type { Forge } from "./forge.ts";
import type { GatePolicies } from "./gates/policy.ts";
import type { GitCredential } from "./git-credentials.ts";
import type { WorkflowLimits } from "./limits.ts";
import type { PermissionPolicy } from "./permissions.ts";
import type { PullRequestPolicy } from "./pull-request-body.ts";
import type { Lookup } from "./repository-host.ts";
import type { ConfiguredRepository } from "./repository-settings.ts";
import type { RunTime } from "./run-time.ts";
import type { Sandbox, SandboxRules } from "./sandbox.ts";
import type { TaskStatus } from "./task.ts";
import type { RepositoryStatusWrite, StatusChange, TaskStatusWrite, TaskStore } from "./task-store.ts";
import type { Tracker } from "./tracker.ts";
import type { CloneRules } from "./workspace.ts";

export interface RepositorySettings extends CloneRules, ConfiguredRepository {
  url: string;
  /** The branch to start from and to merge into. Default: the repository's default branch. */
  base?: string | undefined;
}

/** The sandbox of every program that works on a checkout, with what holds for all of them. */
export interface WorkflowSandbox {
  sandbox: Sandbox;
  rules: Omit<SandboxRules, "writable">;
  /** Variables of Robson's own environment that the programs see. */
  environment: Record<string, string>;
}

export interface WorkflowOptions {
  tasks: TaskStore;
  /** What is on record of the runs. Without it, `runTimeoutMs` counts for each attempt at one. */
  runs?: Pick<RunRecords, "run">;
  tracker: Tracker;
  forge: Forge;
  /** Who does the work where a task names nobody. */
  agent: CodingAgent;
  /** Who can be named: `/run-task PROJ-1 agent=codex`. */
  agents?: CodingAgent[];
  /** Where mirrors, checkouts and transcripts are; a folder that only Robson uses. */
  workDirectory: string;
  tryLock: TryLock;
  /** Default: none, the programs run as Robson does. */
  sandbox?: WorkflowSandbox;
  clock: { now(): number };
  repositories?: RepositorySettings[];
  branchPattern?: string;
  gates?: Partial<GatePolicies>;
  /** Protected in every repository, besides those that always are. */
  protectedPaths?: readonly string[];
  /** What becomes of an agent's requests for leave. Default: allow, within the sandbox. */
  permissions?: PermissionPolicy;
  /** Default: ready. */
  pullRequests?: PullRequestPolicy;
  /** Values that must not leave this machine, whatever they look like: tokens of Robson's own configuration. */
  knownSecrets?: readonly string[];
  /** Hosts of repositories that may be reached although their addresses are private. Default: none. */
  allowedHosts?: AllowedHosts;
  /** Which hosts want a password. Default: none has one. */
  credentials?: readonly GitCredential[];
  /** What hosts resolve to. Default: what the system says. */
  lookup?: Lookup;
  limits?: Partial<WorkflowLimits>;
  log?: Logger;
}

export interface TaskRun {
  key: string;
  /** The number of the run, and of its message. */
  runId: number;
  options: WorkflowOptions;
  agent: CodingAgent;
  /** Who asked for it: his words in the thread are instructions. */
  requester: string;
  /** The most that the agent may cost, in US dollars. */
  maxCostUsd?: number;
  limits: WorkflowLimits;
  time: RunTime;
  log: Logger;
  context: WorkerContext;
}

export function taskStatus(run: TaskRun, change: StatusChange & { status: TaskStatus }): TaskStatusWrite {
  return { kind: "task-status", key: run.key, change, at: run.options.clock.now() };
}

export function repositoryStatus(run: TaskRun, url: string, change: StatusChange): RepositoryStatusWrite {
  return { kind: "repository-status", key: run.key, url, change };
}
