/**
 * One task's work in one repository, in the order in which it happens: workspace, then rounds of agent and checks
 * (change.ts), gates, commit, rebase, push, pull request. What an earlier run of the task has committed is adopted. A
 * crash between any two steps leaves at most what the next attempt finds.
 */
import { hasCode, retryOf } from "../core/errors.ts";
import { branchName, type CommitRecord, titleOf } from "./branch.ts";
import { type Change, makeChange, RunEnded } from "./change.ts";
import { diffStat, push } from "./commit.ts";
import { rebased } from "./onto-base.ts";
import { draftReasons, pullRequestBody, type RepositoryReport } from "./pull-request-body.ts";
import { openRepositoryRun, type RepositoryRun } from "./repository-run.ts";
import { readRepositoryRules } from "./repository-settings.ts";
import { endOfError, keptReason, type RunEnd } from "./run-ends.ts";
import { repositoryStatus, type TaskRun } from "./task-run.ts";
import type { Ticket } from "./tracker.ts";
import { addUsage } from "./usage-shown.ts";
import { isAncestor, shaOf } from "./workspace/base.ts";
import { inRunsOf, type PreparedWorkspace } from "./workspace.ts";

export type RepositoryEnd =
  | { url: string; report: RepositoryReport }
  /** It has ended without a pull request, and says so; a person can have it go on. */
  | { url: string; failed: RunEnd; kept?: string }
  /** Another attempt can help. */
  | { url: string; trouble: unknown };

export interface RepositoryRequest {
  ticket: Ticket;
  url: string;
  /** Names the steps. */
  label: string;
  /** Whether the task has no other. */
  isAlone: boolean;
  /** Resolves when the run may ask a person about it. */
  beforeAsking(): Promise<void>;
}

/** Does the work, or finds it done. Rejects with what another attempt can help with. */
export async function runRepository(run: TaskRun, request: RepositoryRequest): Promise<RepositoryEnd> {
  const { url, label } = request;
  const repository = openRepositoryRun(run, request);
  try {
    return { url, report: await work(repository) };
  } catch (error) {
    run.context.signal.throwIfAborted();
    const end = endFor(error);
    if (!end) throw error;
    const kept = await repository.kept();
    await run.context.step(`${label}: ended ${run.context.round}`, async (step) => {
      step.write(repositoryStatus(run, url, { status: "failed", error: keptReason(end) }));
    });
    return { url, failed: end, ...(kept === undefined ? {} : { kept }) };
  } finally {
    await repository.close();
  }
}

/** Undefined where another attempt can help. */
function endFor(error: unknown): RunEnd | undefined {
  if (error instanceof RunEnded) return error.end;
  if (retryOf(error).retry === "later" || hasCode(error, "LEASE_LOST", "STEP_INVALID")) return undefined;
  return endOfError(error);
}

async function work(repository: RepositoryRun): Promise<RepositoryReport> {
  const { run, ticket, url } = repository;
  const { options, context } = run;
  const startedAt = options.clock.now();
  const branch = await repository.step("branch", async (step) => {
    const known = (await options.tasks.get(run.key)).repositories.find((each) => each.url === url)?.branch;
    // Kept before anything is made under that name: a summary that is edited later must not make a second branch.
    const name = known ?? branchName(ticket, options.branchPattern);
    step.write(repositoryStatus(run, url, { status: "in_progress", branch: name, error: null }));
    return name;
  });
  repository.branch = branch;
  const begun = await repository.step("workspace", async (step) => {
    const opened = await repository.workspace();
    const { base, baseSha, ownCommit, formerDefaultBranch } = opened;
    if (!ownCommit) await refuseUnfitBase(repository, opened, step.signal);
    const moved =
      formerDefaultBranch === undefined ? "" : `; the default branch was \`${formerDefaultBranch}\` before`;
    step.emit(
      "progress",
      ownCommit
        ? `Taking up commit ${short(ownCommit.sha)} of an earlier run`
        : `Cloned, on branch \`${branch}\`${moved}`,
    );
    return { base, baseSha, ownCommit: ownCommit ?? null };
  });

  const made = begun.ownCommit
    ? adopted(begun.ownCommit)
    : await makeChange(repository, { base: begun.base, baseSha: begun.baseSha });
  const commit = begun.ownCommit?.isPushed ? made : await rebased(repository, made);
  await repository.effect("push", ({ emit, signal }) => ({
    key: `${branch} ${commit.sha}`,
    find: async () => {
      const there = await pushedOn(repository, { sha: commit.sha, signal });
      if (there === undefined && !begun.ownCommit?.isPushed) return undefined;
      emit("progress", `Pushed \`${branch}\``);
      return true;
    },
    make: async () => {
      await push(await repository.workspace(), { branch, sha: commit.sha }, repository.git(signal));
      emit("progress", `Pushed \`${branch}\``);
      return true;
    },
  }));
  const report = await openPullRequest(repository, { branch, base: begun.base, startedAt, commit });
  await repository.step("workspace removed", () => repository.remove());
  context.signal.throwIfAborted();
  return report;
}

/** Where the base's own settings cannot be used, nothing is kept of where the run began: the next attempt finds them as they are by then. */
async function refuseUnfitBase(
  repository: RepositoryRun,
  workspace: PreparedWorkspace,
  signal: AbortSignal,
): Promise<void> {
  const { settings, run, git } = repository;
  try {
    await readRepositoryRules(workspace, settings, { ...git(signal), limits: run.limits });
  } catch (error) {
    if (hasCode(error, "REPOSITORY_INVALID")) await repository.remove();
    throw error;
  }
}

/** What the server's branch was at the last fetch, where it holds the commit: a person or a bot may have gone on from there. */
async function pushedOn(
  { branch, workspace, git }: RepositoryRun,
  { sha, signal }: { sha: string; signal: AbortSignal },
): Promise<string | undefined> {
  const opened = await workspace();
  const { folder: directory, mirror } = opened.places;
  const there = await shaOf(`refs/heads/${branch}`, { ...git(signal), directory, repository: mirror });
  if (there === undefined || there === sha) return there;
  return (await isAncestor(sha, { of: there, options: inRunsOf(opened, git(signal)) })) ? there : undefined;
}

async function openPullRequest(
  repository: RepositoryRun,
  made: { branch: string; base: string; startedAt: number; commit: Change },
): Promise<RepositoryReport> {
  const { run, ticket, url } = repository;
  const { options } = run;
  const { branch, base, commit } = made;
  return repository.effect("pull request", (step) => ({
    key: `${branch} → ${base}`,
    // The forge looks by branch and base itself.
    find: async () => undefined,
    make: async () => {
      const git = repository.git(step.signal);
      const stat = await diffStat(await repository.workspace(), { sha: commit.sha, limits: run.limits }, git);
      const policy = options.pullRequests ?? "ready";
      const usage = addUsage(commit.usage);
      const change = {
        ...commit.record,
        checks: commit.checks,
        diffStat: stat,
        usage,
        elapsedMs: options.clock.now() - made.startedAt,
        gates: commit.gates,
        hidden: commit.hidden,
      };
      const drafted = draftReasons(change, policy);
      const pullRequest = await options.forge.findOrCreatePullRequest(
        {
          repoUrl: url,
          head: branch,
          base,
          title: titleOf(ticket),
          body: pullRequestBody(ticket, change, policy),
          headSha: (await pushedOn(repository, { sha: commit.sha, signal: step.signal })) ?? commit.sha,
          isDraft: drafted.length > 0,
        },
        step,
      );
      step.write(repositoryStatus(run, url, { status: "done", prUrl: pullRequest.url, error: null }));
      const { summary, agent } = commit.record;
      return {
        url,
        branch,
        base,
        commit: commit.sha,
        diffStat: stat,
        summary,
        agent,
        checks: commit.checks,
        usage,
        pullRequest,
        ...(drafted.length === 0 ? {} : { draftReasons: drafted }),
      };
    },
  }));
}

/** What an earlier run committed, with what its message says of it. */
function adopted({ sha, record }: { sha: string; record: CommitRecord }): Change {
  return { sha, tree: null, record, checks: record.checks, usage: [], gates: undefined, hidden: undefined };
}

function short(sha: string): string {
  return sha.slice(0, 12);
}
