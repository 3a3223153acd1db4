/**
 * One repository within a run: the names of its steps, its settings, and its workspace, which is opened when a step needs
 * it. The workspace is claimed for this process; a crash leaves the claim to the system, and the folder to the next attempt.
 */
import type { Effect, StepContext } from "../core/run.ts";
import { checkResolvedHost } from "./repository-host.ts";
import type { RepositoryRequest } from "./run-repository.ts";
import type { RepositorySettings, TaskRun } from "./task-run.ts";
import { shownRef } from "./workspace/saved-work.ts";
import type { GitSettings, PreparedWorkspace } from "./workspace.ts";
import { prepareWorkspace, releaseWorkspace, removeWorkspace, resumeBranch, saveWork } from "./workspace.ts";

export interface RepositoryRun extends RepositoryRequest {
  run: TaskRun;
  settings: RepositorySettings;
  /** Set by the first step. */
  branch: string;
  step<T>(name: string, work: (step: StepContext) => Promise<T>): Promise<T>;
  effect<T>(name: string, effect: (step: StepContext) => Effect<T>): Promise<T>;
  git(signal: AbortSignal): GitSettings;
  /** Claimed and up to date; the same one for all steps of an attempt. */
  workspace(): Promise<PreparedWorkspace>;
  /** The workspace with the checkout as this run left it. */
  checkout(): Promise<PreparedWorkspace>;
  /** After a rebase its base is another one. */
  replaceWorkspace(workspace: PreparedWorkspace): void;
  /** Saves what is in the checkout, where there is anything, and says under which name it is kept. */
  kept(): Promise<string | undefined>;
  remove(): Promise<void>;
  close(): Promise<void>;
}

export function openRepositoryRun(run: TaskRun, request: RepositoryRequest): RepositoryRun {
  const { options, limits, context } = run;
  const { url, label } = request;
  const settings = options.repositories?.find((each) => each.url === url) ?? { url };
  const git = (signal: AbortSignal): GitSettings => ({ signal, limits, credentials: options.credentials });
  let opening: Promise<PreparedWorkspace> | undefined;
  let checkedOut: Promise<PreparedWorkspace> | undefined;

  const open = async (): Promise<PreparedWorkspace> => {
    await checkResolvedHost(url, { allowed: options.allowedHosts, lookup: options.lookup });
    context.signal.throwIfAborted();
    return prepareWorkspace(
      {
        ...settings,
        workDirectory: options.workDirectory,
        tryLock: options.tryLock,
        key: run.key,
        runId: String(run.runId),
        repoUrl: url,
        branch: repository.branch,
        rules: { allowedHosts: options.allowedHosts, lookup: options.lookup },
      },
      git(context.signal),
    );
  };
  const repository: RepositoryRun = {
    ...request,
    run,
    settings,
    branch: "",
    step: (name, work) => context.step(`${label}: ${name}`, (step) => work(run.time.within(step))),
    effect: (name, effect) => context.effect(`${label}: ${name}`, (step) => effect(run.time.within(step))),
    git,
    workspace() {
      opening ??= open();
      return opening;
    },
    checkout() {
      checkedOut ??= repository.workspace().then(async (workspace) => {
        await resumeBranch(workspace, repository.branch, git(context.signal));
        return workspace;
      });
      return checkedOut;
    },
    replaceWorkspace(workspace) {
      opening = Promise.resolve(workspace);
      checkedOut = undefined;
    },
    async kept() {
      if (!opening) return undefined;
      const saved = await opening.then(
        (workspace) => saveWork(workspace, git(context.signal)),
        () => undefined,
      );
      return saved && shownRef(saved.ref);
    },
    async remove() {
      await removeWorkspace(await repository.workspace(), git(context.signal));
    },
    async close() {
      // One that could not be opened has nothing to be released.
      const workspace = await opening?.catch(() => undefined);
      if (workspace) await releaseWorkspace(workspace);
    },
  };
  return repository;
}
