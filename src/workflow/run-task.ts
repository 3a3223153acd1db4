/**
 * From a task to pull requests. Read this first: ticket, then each repository (run-repository.ts), then the comment on
 * the ticket and the task's status. Each step is stored with what it reported, so the whole may be begun again at any
 * instant, after a crash or because a person has it go on: it ends with one branch, one pull request and one comment.
 */
import { hasCode, messageOf, WorkerError } from "../core/errors.ts";
import { Suspended } from "../core/run.ts";
import { commentMarker } from "./branch.ts";
import { finalAnswer, pullRequestsShown, type RepositoryReport, ticketComment } from "./pull-request-body.ts";
import { describeRunEnd, keptReason } from "./run-ends.ts";
import { type RepositoryEnd, type RepositoryRequest, runRepository } from "./run-repository.ts";
import type { Task } from "./task.ts";
import { type TaskRun, taskStatus } from "./task-run.ts";
import type { Ticket } from "./tracker.ts";

/** What the first step found: the ticket's words as they were then, and where the work is to be done. */
interface Assignment {
  ticket: Ticket;
  repositories: { url: string; label: string }[];
  startedAt: number;
}

/**
 * Runs the task to its end and reports it. Rejects only with what another attempt can help with, and with what concerns
 * the whole task; how each repository ended is part of the report.
 */
export async function runTask(run: TaskRun): Promise<void> {
  const assignment = await run.context.step("ticket", async (step) => {
    const task = await run.options.tasks.get(run.key);
    refuseEmpty(task);
    // Before any clone: what is lacking is known at once, and is the operator's to mend.
    await run.agent.check?.({ signal: step.signal });
    const { warnings = [] } = (await run.options.sandbox?.sandbox.check({ signal: step.signal })) ?? {};
    for (const warning of warnings) run.log.warn({ run: run.runId, task: run.key }, warning);
    const ticket = await run.options.tracker.ticket(run.key, { signal: step.signal });
    step.emit("started", `Working on **${run.key}**`);
    step.write(taskStatus(run, { status: "in_progress", error: null }));
    return { ticket, repositories: labelled(task), startedAt: run.options.clock.now() };
  });
  const { round } = run.context;
  if (round > 1) {
    await run.context.step(`round ${round}`, async (step) =>
      step.write(taskStatus(run, { status: "in_progress", error: null })),
    );
  }
  await run.context.step("ticket in progress", (step) =>
    run.options.tracker.transition(run.key, "in_progress", step),
  );

  const ends = await endsOf(run, assignment);
  const troubles = ends.flatMap((end) => ("trouble" in end ? [end.trouble] : []));
  if (troubles.length > 0) throw await waitedFor(run, troubles);
  await report(run, assignment, ends);
}

/** How often a workspace that is taken, or for which there is no room, is tried again; more often where the wait is short. */
const WORKSPACE_WAIT_MS = 30_000;
const MIN_WORKSPACE_WAITS = 10;

/**
 * The trouble that another attempt may help with. Where there is no other than that someone works in a workspace, or that
 * there is no room for one, the run waits first, holding nothing: that is no failure of its own, up to `maxLockWaitMs`.
 */
async function waitedFor({ context, limits }: TaskRun, troubles: unknown[]): Promise<unknown> {
  const [first] = troubles;
  const other = troubles.find((trouble) => !hasCode(trouble, "WORKSPACE_IN_USE", "WORKSPACES_FULL"));
  if (other !== undefined) return other;
  const name = `workspace waited for ${context.round}`;
  await context.step(name, async ({ emit }) => emit("progress", `Waiting. ${messageOf(first)}`));
  const waitMs = Math.min(WORKSPACE_WAIT_MS, limits.maxLockWaitMs / MIN_WORKSPACE_WAITS);
  // Those that are over return at once; the next one suspends the run.
  for (let time = 1; time * waitMs <= limits.maxLockWaitMs; time += 1)
    await context.sleep(`${name}.${time}`, waitMs);
  return first;
}

/**
 * The repositories, one after the other. One whose change a person has to look at stands aside until the others are done:
 * once a run has asked, no step of it goes on before the answer.
 */
async function endsOf(run: TaskRun, { ticket, repositories }: Assignment): Promise<RepositoryEnd[]> {
  const turns = repositories.map(() => Promise.withResolvers<void>());
  // Not all of them stand aside.
  for (const { promise } of turns) promise.catch(() => undefined);
  const begun: Promise<RepositoryEnd>[] = [];
  const ends: RepositoryEnd[] = [];
  try {
    for (const [index, repository] of repositories.entries()) {
      const aside = Promise.withResolvers<void>();
      const beforeAsking = async () => {
        if (index < repositories.length - 1) await sayThatItIsAskedLater(run, repository.label);
        aside.resolve();
        await turns[index]?.promise;
      };
      const isAlone = repositories.length === 1;
      const end = endOf(run, { ...repository, ticket, isAlone, beforeAsking: once(beforeAsking) });
      begun.push(end);
      await Promise.race([end, aside.promise]);
    }
    for (const [index, end] of begun.entries()) {
      turns[index]?.resolve();
      ends.push(await end);
    }
    return ends;
  } catch (error) {
    // Each gives its workspace back before the attempt is over.
    for (const { reject } of turns) reject(error);
    await Promise.allSettled(begun);
    throw error;
  }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}

async function sayThatItIsAskedLater({ context }: TaskRun, label: string): Promise<void> {
  await context.step(`${label}: asked later ${context.round}`, async ({ emit }) =>
    emit("progress", `A person has to look at the change in \`${label}\`: asked once the others are done`),
  );
}

/** Trouble in one repository does not keep the others from being worked on. */
async function endOf(run: TaskRun, repository: RepositoryRequest): Promise<RepositoryEnd> {
  try {
    return await runRepository(run, repository);
  } catch (error) {
    if (error instanceof Suspended || hasCode(error, "LEASE_LOST")) throw error;
    run.context.signal.throwIfAborted();
    return { url: repository.url, trouble: error };
  }
}

async function report(run: TaskRun, { ticket, startedAt }: Assignment, ends: RepositoryEnd[]): Promise<void> {
  const { context, key, options } = run;
  const done = ends.flatMap((end) => ("report" in end ? [end.report] : []));
  const failed = ends.flatMap((end) => ("failed" in end ? [end] : []));
  if (done.length > 0) await comment(run, ticket, done);
  if (failed.length === 0) {
    await context.step("ticket done", (step) => options.tracker.transition(key, "done", step));
  }
  const [first] = done;
  const status = failed.length === 0 ? "done" : done.length > 0 ? "unfinished" : "failed";
  const { elapsedMs, unread } = await context.step(`status ${context.round}`, async (step) => {
    // Where the run may go on, they are for its next turn.
    const unread = failed.length === 0 ? (await step.notes()).length : 0;
    step.write(
      taskStatus(run, {
        status,
        branch: first?.branch ?? null,
        prUrl: first?.pullRequest.url ?? null,
        error: failed[0] ? keptReason(failed[0].failed) : null,
      }),
    );
    return { elapsedMs: options.clock.now() - startedAt, unread };
  });
  const answer = { key, summary: ticket.summary, repositories: done, elapsedMs };
  if (failed.length === 0) return context.emit("completed", `${finalAnswer(answer)}${unreadText(unread)}`);
  const lines = failed.map(({ url, failed: end, kept }) => {
    const text = describeRunEnd(end, { key, run: run.runId, ...(kept === undefined ? {} : { kept }) });
    return ends.length === 1 ? text : `${url}\n${text}`;
  });
  const head =
    done.length === 0
      ? []
      : [`**${key}** is unfinished: ${done.length} of ${ends.length} repositories are ready for review`];
  const parts = [...head, ...(done.length === 0 ? [] : [pullRequestsShown(done)]), ...lines];
  await context.emit("failed", parts.join("\n\n"));
}

/** What was said to the run when the agent had had its last turn. */
function unreadText(count: number): string {
  if (count === 0) return "";
  const what = count === 1 ? "One message of this thread" : `${count} messages of this thread`;
  return `\n\n${what} came after the agent's last turn: what they ask for is not in it`;
}

/** One comment for one set of pull requests, however often the run goes on. */
async function comment(run: TaskRun, ticket: Ticket, done: RepositoryReport[]): Promise<void> {
  const { context, key, options } = run;
  const urls = done.map(({ pullRequest }) => pullRequest.url);
  const marker = commentMarker(key, urls);
  await context.effect(`comment ${marker}`, ({ signal }) => ({
    key: marker,
    // The tracker looks by the marker itself.
    find: async () => undefined,
    make: () =>
      options.tracker.comment(key, { marker, body: ticketComment({ repositories: done }) }, { signal }),
  }));
  for (const url of urls) {
    await context.step(`link ${url}`, async ({ signal }) =>
      options.tracker.link?.(key, { url, title: ticket.summary }, { signal }),
    );
  }
}

/** Short names of the repositories, for the names of their steps; each its own. */
function labelled({ repositories }: Task): { url: string; label: string }[] {
  const labels = new Set<string>();
  return repositories.map(({ url }) => {
    const name = /([\w.-]+?)(\.git)?\/?$/.exec(url)?.[1] ?? "repository";
    let label = name;
    for (let count = 2; labels.has(label); count += 1) label = `${name} ${count}`;
    labels.add(label);
    return { url, label };
  });
}

function refuseEmpty(task: Task): void {
  if (task.repositories.length > 0) return;
  throw new WorkerError(`Cannot run task "${task.key}": it names no repository`, {
    code: "REPOSITORY_INVALID",
    retry: "never",
    hint: `Name one: \`/run-task ${task.key} repo=<url>\` in a chat, \`robson run-task ${task.key} --repo <url>\` on the command line`,
  });
}
