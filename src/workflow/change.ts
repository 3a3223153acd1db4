/**
 * From an assignment to a commit in one repository: a turn of the agent, the project's checks, the gates, and again where
 * the checks or a person sent it back. Each part is a step: what has ended is not done again, and the agent is not paid twice.
 */

import { type AgentTurn, agentTurn } from "./agent-turn.ts";
import { type CommitRecord, commitMessage, titleOf } from "./branch.ts";
import type { AgentUsage } from "./coding-agent.ts";
import { commitTree } from "./commit.ts";
import { checkGates, type GateReport } from "./gates/check-gates.ts";
import type { Verdict } from "./gates/policy.ts";
import { readStagedChange } from "./gates/staged-change.ts";
import { describeHidden } from "./hidden-text.ts";
import { followUpPrompt, hiddenInPrompt } from "./prompt.ts";
import type { GatesReported, ReportedCheck } from "./pull-request-body.ts";
import type { RepositoryRun } from "./repository-run.ts";
import { type RepositoryRules, readRepositoryRules } from "./repository-settings.ts";
import { removeCheckLeftovers } from "./restore-files.ts";
import { gateQuestion, type RunEnd } from "./run-ends.ts";
import { sandboxFor } from "./run-sandbox.ts";
import { type Check, detectCommands, runChecks, verifyFailed, verifyLaunch } from "./verify.ts";
import { afterChecks } from "./verify-rounds.ts";
import { inRunsOf } from "./workspace.ts";

/** Thrown where the work in a repository has come to an end of its own kind, which no other attempt changes. */
export class RunEnded extends Error {
  readonly end: RunEnd;

  constructor(end: RunEnd) {
    super(end.kind);
    this.name = "RunEnded";
    this.end = end;
  }
}

export interface Change {
  sha: string;
  /** Absent for a commit that an earlier run made. */
  tree: string | null;
  record: CommitRecord;
  checks: ReportedCheck[];
  /** Of each turn. */
  usage: AgentUsage[];
  gates: GatesReported | undefined;
  /** What was left out of the ticket's words. */
  hidden: string | undefined;
}

/** Where the work starts. */
export interface Base {
  base: string;
  baseSha: string;
}

export async function makeChange(repository: RepositoryRun, base: Base): Promise<Change> {
  const rules = await repository.step("rules", async ({ signal }) =>
    readRepositoryRules(await repository.workspace(), repository.settings, {
      ...repository.git(signal),
      limits: repository.run.limits,
    }),
  );
  const usage: AgentUsage[] = [];
  let followUp: string | undefined;
  for (let round = 1; ; round += 1) {
    const turn = await agentTurn(repository, { round, base, rules, followUp });
    usage.push(...turn.usage);
    const checking = { name: `verify ${round}`, tree: turn.tree, rules, rounds: round - 1 };
    const checks = await checked(repository, checking);
    const after = afterChecks(checks, {
      rounds: roundsSince(repository, round),
      limits: repository.run.limits,
    });
    if (after.next === "give-up") {
      throw new RunEnded({ kind: "verify", message: after.error.message, rounds: round - 1 });
    }
    if (after.next === "back-to-agent") {
      followUp = after.prompt;
      continue;
    }
    const verdict = await gated(repository, { round, turn, checks, rules, base });
    if ("refused" in verdict) {
      followUp = refusalPrompt(verdict.refused);
      continue;
    }
    return committed(repository, { turn, checks, usage, base, gates: verdict.gates });
  }
}

/** How often the change went back to the agent since a person had the run go on. */
function roundsSince({ run: { context, limits } }: RepositoryRun, round: number): number {
  return Math.max(0, round - 1 - (limits.maxVerifyRounds + 1) * (context.round - 1));
}

/** The project's checks on the checkout as the agent left it. */
export function checked(
  repository: RepositoryRun,
  { name, tree, rules, rounds }: { name: string; tree: string; rules: RepositoryRules; rounds: number },
): Promise<Check[]> {
  const { run } = repository;
  return repository.step(name, async (step) => {
    const workspace = await repository.checkout();
    const { checkout } = workspace;
    const commands =
      rules.verify?.commands ?? (await detectCommands(workspace, { tree, ...repository.git(step.signal) }));
    const { environment, sandbox } = sandboxFor(run, workspace);
    const launch = verifyLaunch({
      directory: checkout,
      environment,
      sandbox,
      limits: run.limits,
      signal: step.signal,
    });
    const checks = await runChecks(commands, {
      launch,
      checkout,
      clock: run.options.clock,
      signal: step.signal,
    });
    // What they left behind is not the agent's: in the next round it would be committed with the change.
    const inRuns = inRunsOf(workspace, repository.git(step.signal));
    await removeCheckLeftovers({ checkout, own: workspace.places.own, from: tree }, inRuns);
    // Not stored: where a program was not there, it may be by the time that a person has the run go on.
    if (checks.find(({ isPassed }) => !isPassed)?.outcome === "not-run")
      throw new RunEnded({ kind: "verify", message: verifyFailed(checks).message, rounds });
    step.emit("progress", describeChecks(checks));
    return checks;
  });
}

function describeChecks(checks: readonly Pick<Check, "command" | "isPassed">[]): string {
  if (checks.length === 0) return "Not verified: the project shows no checks";
  return checks.map(({ command, isPassed }) => `\`${command}\` ${isPassed ? "passed" : "failed"}`).join(", ");
}

interface Gated {
  round: number;
  turn: AgentTurn;
  checks: Check[];
  rules: RepositoryRules;
  base: Base;
}

/** What may leave the machine, perhaps by a person's word. Refused once: where the run goes on after that, the agent hears why. */
async function gated(
  repository: RepositoryRun,
  { round, turn, checks, rules, base }: Gated,
): Promise<{ gates: GatesReported } | { refused: Verdict[] }> {
  const { run, ticket, label, branch } = repository;
  const report: GateReport = await repository.step(`gates ${round}`, async ({ signal }) => {
    const inRuns = inRunsOf(await repository.workspace(), repository.git(signal));
    const message = commitMessage(ticket, recordOf(repository, { turn, checks }));
    return checkGates({
      change: await readStagedChange({ baseSha: base.baseSha, tree: turn.tree }, inRuns),
      texts: [
        { place: "the commit message", text: message },
        { place: "the pull request", text: [titleOf(ticket), ticket.description, turn.summary].join("\n") },
        { place: "the branch", text: branch },
      ],
      ...(run.options.gates ? { policies: run.options.gates } : {}),
      protectedPaths: [...(run.options.protectedPaths ?? []), ...rules.protectedPaths],
      knownSecrets: run.options.knownSecrets ?? [],
      limits: run.limits,
      signal,
    });
  });
  if (report.decision === "allow") return { gates: { verdicts: report.verdicts } };
  let refusedBy: string | undefined;
  if (report.decision === "ask") {
    const subject = { key: run.key, ...(repository.isAlone ? {} : { repository: label }) };
    const question = { text: gateQuestion(report.verdicts, subject), choices: ["allow", "refuse"] };
    await repository.beforeAsking();
    const answer = await run.context.ask(`${label}: gates ${round} allowed`, question);
    if (answer?.value === "allow") return { gates: { verdicts: report.verdicts, allowedBy: answer.by } };
    refusedBy = answer?.by;
  }
  const refusedIn = await repository.step(`gates ${round} refused`, async () => run.context.round);
  if (refusedIn < run.context.round) return { refused: report.verdicts };
  throw new RunEnded({
    kind: "gate",
    verdicts: report.verdicts,
    ...(refusedBy === undefined ? {} : { refusedBy }),
  });
}

function refusalPrompt(verdicts: Verdict[]): string {
  return followUpPrompt(
    "Your change was refused, because of what it would take out of this machine. Take that out of it, and keep the task done.",
    {
      material: [{ source: "what was found", text: verdicts.map(({ reason }) => `- ${reason}`).join("\n") }],
    },
  );
}

function recordOf(
  { run }: RepositoryRun,
  { turn, checks }: { turn: AgentTurn; checks: Check[] },
): CommitRecord {
  return {
    summary: turn.summary,
    agent: run.agent.name,
    checks: checks.map(({ command, isPassed }) => ({ command, isPassed })),
  };
}

async function committed(
  repository: RepositoryRun,
  made: { turn: AgentTurn; checks: Check[]; usage: AgentUsage[]; base: Base; gates: GatesReported },
): Promise<Change> {
  const { ticket, branch } = repository;
  const { turn, checks, usage, gates } = made;
  const record = recordOf(repository, made);
  const sha = await repository.step("commit", async ({ signal }) => {
    const message = commitMessage(ticket, record);
    return commitTree(
      await repository.workspace(),
      { tree: turn.tree, branch, message },
      repository.git(signal),
    );
  });
  const hidden = describeHidden(hiddenInPrompt({ ticket, tracker: "", repoUrl: repository.url, branch }));
  return { sha, tree: turn.tree, record, checks, usage, gates, hidden };
}
