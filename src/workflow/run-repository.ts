/**
 * One task's work in one repository, in the order in which it happens: workspace, branch, prompt, agent,
 * verify, commit, push, pull request. A commit that an earlier run made is adopted, and then nothing up to
 * the commit happens again. A crash between any two steps leaves at most what the next run finds.
 */
import { messageOf, RobsonError, retryOf, WorkerError } from "../core/errors.ts";
import { toStorable } from "../core/text.ts";
import { branchName, type CommitRecord, commitMessage, titleOf } from "./branch.ts";
import type { AgentEvent, AgentResult } from "./coding-agent.ts";
import { commitTree, diffStat, push, stageTree } from "./commit.ts";
import { endLeftovers } from "./leftovers.ts";
import { buildPrompt } from "./prompt.ts";
import { pullRequestBody, type RepositoryReport } from "./pull-request-body.ts";
import { checkResolvedHost } from "./repository-host.ts";
import type { StepName, TaskRun } from "./run-task.ts";
import type { TaskRepo } from "./task.ts";
import type { Ticket } from "./tracker.ts";
import { type Check, verify } from "./verify.ts";
import { hasCheckout, prepareWorkspace, removeWorkspace, startBranch, type Workspace } from "./workspace.ts";

/** How many characters of an agent's summary are kept. */
const MAX_AGENT_SUMMARY = 10_000;

/** Does the work, or finds it done, and returns what there is now. Safe to repeat. */
export async function runRepository(run: TaskRun, ticket: Ticket, repo: TaskRepo): Promise<RepositoryReport> {
  const { options, signal, limits } = run;
  const gitOptions = { signal, limits };
  const settings = options.repositories?.find(({ url }) => url === repo.url);
  const branch = repo.branch ?? branchName(ticket);
  const report = (step: StepName, text: string) => run.report({ step, repoUrl: repo.url, text });
  // Kept before anything is made under that name: a summary that is edited later must not make a second branch.
  await options.tasks.setRepositoryStatus(run.key, {
    url: repo.url,
    status: "in_progress",
    branch,
    error: null,
  });

  await checkResolvedHost(repo.url, { allowed: options.allowedHosts, lookup: options.lookup });
  signal.throwIfAborted();
  const workspace = await prepareWorkspace(
    { workDirectory: options.workDirectory, key: run.key, repoUrl: repo.url, branch, base: settings?.base },
    gitOptions,
  );
  try {
    return await work(run, { ticket, repo, branch, workspace, checks: settings?.verify, report });
  } finally {
    // However it ended: what the agent or a check left running would go on with the operator's rights.
    await endLeftovers(workspace.root);
  }
}

interface ChangeRequest {
  ticket: Ticket;
  repo: TaskRepo;
  branch: string;
  workspace: Workspace;
  checks: string[][] | undefined;
  report(step: StepName, text: string): Promise<void>;
}

/** The commit, made or adopted; then what makes it public. */
async function work(run: TaskRun, request: ChangeRequest): Promise<RepositoryReport> {
  const { options, signal, limits } = run;
  const { ticket, repo, branch, workspace, report } = request;
  const gitOptions = { signal, limits };
  const own = workspace.ownCommit;
  await report(
    "workspace",
    own ? `Taking up commit ${short(own.sha)} of an earlier run` : `Cloned, on branch \`${branch}\``,
  );

  const { sha, record } = own ?? (await makeCommit(run, request));
  if (own) {
    await report("agent", "The agent's change is there already");
    await report("verify", describeChecks(record.checks));
    await report("commit", `Commit ${short(sha)} is there already`);
  }
  if (!own?.isPushed) await push(workspace, { branch, sha }, gitOptions);
  await report("push", `Pushed \`${branch}\``);

  const stat = await diffStat(workspace, { sha, limits }, gitOptions);
  const change = { ...record, diffStat: stat };
  const pullRequest = await options.forge.findOrCreatePullRequest(
    {
      repoUrl: repo.url,
      head: branch,
      base: workspace.base,
      title: titleOf(ticket),
      body: pullRequestBody(ticket, change),
      headSha: sha,
    },
    { signal },
  );
  await options.tasks.setRepositoryStatus(run.key, { url: repo.url, status: "done", prUrl: pullRequest.url });
  await report("pull-request", `Pull request ${pullRequest.url}`);
  await removeWorkspace(workspace);
  return { url: repo.url, branch, base: workspace.base, commit: sha, pullRequest, ...change };
}

interface MadeCommit {
  sha: string;
  record: CommitRecord;
}

async function makeCommit(run: TaskRun, request: ChangeRequest): Promise<MadeCommit> {
  const { signal, limits } = run;
  await startBranch(request.workspace, request.branch, { signal, limits });
  const result = await runAgent(run, request);
  let made: MadeCommit;
  try {
    made = await commitChange(run, request, result);
  } catch (error) {
    signal.throwIfAborted();
    throw withoutRetry(error);
  }
  await request.report("commit", `Committed ${short(made.sha)}`);
  return made;
}

async function commitChange(
  { options, signal, limits }: TaskRun,
  { ticket, branch, workspace, checks: commands, report }: ChangeRequest,
  result: AgentResult,
): Promise<MadeCommit> {
  const gitOptions = { signal, limits };
  const agent = options.agent.name;
  if (!(await hasCheckout(workspace)))
    throw agentFailed(agent, "its checkout is gone, or no folder any more");
  const tree = await stageTree(workspace, gitOptions);
  if (tree === undefined) throw agentFailed(agent, "it says that it is done, but changed no file");
  await report("agent", `The agent "${agent}" has changed the code`);

  const checks = await verify(workspace, { tree, commands, limits, signal });
  await report("verify", describeChecks(checks));

  const record = { summary: result.summary, agent, checks };
  const sha = await commitTree(
    workspace,
    { tree, branch, message: commitMessage(ticket, record) },
    gitOptions,
  );
  return { sha, record };
}

/** The agent at work, with its own time limit; resolves only when it says that it has done it. */
async function runAgent(
  run: TaskRun,
  { ticket, repo, branch, workspace }: ChangeRequest,
): Promise<AgentResult> {
  const { options, limits } = run;
  const { agent, tracker } = options;
  const timeLimit = AbortSignal.timeout(limits.agentTimeoutMs);
  let result: AgentResult;
  try {
    result = await agent.run({
      prompt: buildPrompt({ ticket, tracker: tracker.name, repoUrl: repo.url, branch }),
      directory: workspace.checkout,
      environment: workspace.environment,
      signal: AbortSignal.any([run.signal, timeLimit]),
      onEvent: (event: AgentEvent) => run.log.debug({ task: run.key, event: event.type }, "agent event"),
    });
  } catch (error) {
    run.signal.throwIfAborted();
    if (timeLimit.aborted) {
      throw agentFailed(
        agent.name,
        `it took longer than agentTimeoutMs (${limits.agentTimeoutMs} ms)`,
        error,
      );
    }
    if (error instanceof RobsonError) throw error;
    throw agentFailed(agent.name, "it could not be run", error);
  } finally {
    // Before anything is staged: what it left running would edit the files meanwhile.
    await endLeftovers(workspace.root);
  }
  run.signal.throwIfAborted();
  const summary = toStorable(result.summary.slice(0, MAX_AGENT_SUMMARY)).trim();
  if (!result.isSuccess) throw agentFailed(agent.name, `it says: ${summary}`);
  return { ...result, summary };
}

/** The agent has done its work, and it is not a commit yet: another attempt would have it done, and paid, again. */
function withoutRetry(error: unknown): unknown {
  if (retryOf(error).retry === "never") return error;
  return new WorkerError(messageOf(error), {
    ...(error instanceof RobsonError ? { code: error.code } : {}),
    retry: "never",
    hint: "Nothing was pushed, and the agent is not started a second time by itself; read the error, then run the task again",
    cause: error,
  });
}

// A second attempt at the same prompt costs the same money again: that is for a person to decide.
function agentFailed(name: string, why: string, cause?: unknown): WorkerError {
  return new WorkerError(`The agent "${name}" did not do the task: ${why}`, {
    code: "AGENT_FAILED",
    retry: "never",
    hint: "Nothing was pushed. Make the ticket clearer, then run the task again",
    cause,
  });
}

function describeChecks(checks: Pick<Check, "command" | "isPassed">[]): string {
  if (checks.length === 0) return "Not verified: the project shows no checks";
  return checks.map(({ command, isPassed }) => `\`${command}\` ${isPassed ? "passed" : "failed"}`).join(", ");
}

function short(sha: string): string {
  return sha.slice(0, 12);
}
