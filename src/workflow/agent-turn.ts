/**
 * One turn of the coding agent as a step of a run: what it changed is staged into Robson's repository before the step is
 * stored. Interrupted, the turn is taken up in its session once, then begun afresh on what the checkout holds.
 */
import { hasCode, messageOf, RobsonError, WorkerError } from "../core/errors.ts";
import { type StepContext, Suspended } from "../core/run.ts";
import { preview, toStorable } from "../core/text.ts";
import { restoreAgentFiles } from "./agent-files.ts";
import { type AgentSession, readSession, writeSession } from "./agent-session.ts";
import { type Base, RunEnded } from "./change.ts";
import type { AgentRequest, AgentResult, AgentUsage } from "./coding-agent.ts";
import { stageTree } from "./commit.ts";
import { permitFor } from "./permissions.ts";
import { buildPrompt, followUpPrompt } from "./prompt.ts";
import type { RepositoryRun } from "./repository-run.ts";
import type { RepositoryRules } from "./repository-settings.ts";
import type { RunEnd } from "./run-ends.ts";
import { sandboxFor } from "./run-sandbox.ts";
import { agentLaunch } from "./supervisor.ts";
import { openTurnRecord } from "./turn-record.ts";
import { openTurnUsage, type TurnUsage } from "./turn-usage.ts";
import { addUsage } from "./usage-shown.ts";
import { hasCheckout, inRunsOf, type PreparedWorkspace, saveWork } from "./workspace.ts";

export interface TurnRequest {
  round: number;
  base: Base;
  rules: RepositoryRules;
  /** What sent the change back; absent for the first turn. */
  followUp: string | undefined;
}

/** Plain data: the step's result. */
export interface AgentTurn {
  summary: string;
  /** The staged change. */
  tree: string;
  /** Of this turn, and of attempts at it that were interrupted: what those told before. */
  usage: AgentUsage[];
}

/** A turn that came to no change: stored too, so that nobody pays for it again by himself. */
interface Fruitless {
  /** Absent where its model was overloaded. */
  end?: RunEnd;
  usage: AgentUsage[];
  /** Of the run: in a later one the agent is asked again. */
  runRound: number;
}

/** How many characters of an agent's summary are kept. */
const MAX_AGENT_SUMMARY = 10_000;

/** Throws `RunEnded` where the agent did not do it; a turn that failed is not repeated by itself, for it costs money. */
export async function agentTurn(repository: RepositoryRun, request: TurnRequest): Promise<AgentTurn> {
  const { run, label } = repository;
  const { overloadBackoffMs, maxOverloadWaitMs } = run.limits;
  const before: AgentUsage[] = [];
  let overloads = 0;
  for (let again = 0; ; again += 1) {
    const name = again === 0 ? `agent ${request.round}` : `agent ${request.round}, again ${again}`;
    const isAgain = again > 0;
    const turn = await repository.step(name, (step) =>
      takeTurn(repository, { ...request, name, step, isAgain }),
    );
    if ("tree" in turn) return { ...turn, usage: [...before, ...turn.usage] };
    before.push(...turn.usage);
    // A person had the run go on since.
    if (turn.runRound < run.context.round) continue;
    if (turn.end) throw new RunEnded(turn.end);
    overloads += 1;
    if (overloads * overloadBackoffMs > maxOverloadWaitMs) {
      const message = `The agent's model was overloaded for longer than maxOverloadWaitMs (${maxOverloadWaitMs} ms)`;
      throw new RunEnded({ kind: "agent", message, hint: "Try again later" });
    }
    // An overloaded model is waited for without holding anything.
    await run.context.sleep(`${label}: overloaded ${request.round}.${again + 1}`, overloadBackoffMs);
  }
}

interface Taken extends TurnRequest {
  /** Of the step. */
  name: string;
  step: StepContext;
  /** The turn was taken before, and came to nothing. */
  isAgain: boolean;
}

async function takeTurn(repository: RepositoryRun, request: Taken): Promise<AgentTurn | Fruitless> {
  const { step, name } = request;
  let spending: TurnUsage | undefined;
  let used: AgentUsage | undefined;
  const whole = (): AgentUsage[] => [
    ...(spending?.before ?? Array.from({ length: step.attempt - 1 }, () => ({}))),
    used ?? spending?.told() ?? {},
  ];
  const fruitless = (end?: RunEnd): Fruitless => {
    step.leaveNotes();
    return { ...(end ? { end } : {}), usage: whole(), runRound: repository.run.context.round };
  };
  try {
    const workspace = await prepared(repository, step);
    spending = openTurnUsage(workspace, { turn: name, attempt: step.attempt });
    const result = await askAgent(repository, { ...request, workspace, spending });
    used = result.usage;
    if (result.outcome !== "overloaded")
      return { ...(await changeOf(repository, { step, workspace, result })), usage: whole() };
    await step.tell(`The agent's model is overloaded; going on in a while: ${preview(result.summary, 200)}`);
    return fruitless();
  } catch (error) {
    if (error instanceof RunEnded) return fruitless(error.end);
    throw error;
  }
}

async function prepared(repository: RepositoryRun, { signal }: StepContext): Promise<PreparedWorkspace> {
  const workspace = await repository.checkout();
  const { checkout, baseSha, places } = workspace;
  await restoreAgentFiles(
    { checkout, baseSha, own: places.own },
    inRunsOf(workspace, repository.git(signal)),
  );
  return workspace;
}

/** What the turn has changed, staged. */
async function changeOf(
  repository: RepositoryRun,
  { step, workspace, result }: { step: StepContext; workspace: PreparedWorkspace; result: AgentResult },
): Promise<Omit<AgentTurn, "usage">> {
  const { run } = repository;
  const git = repository.git(step.signal);
  const summary = toStorable(result.summary.slice(0, MAX_AGENT_SUMMARY)).trim();
  await saveWork(workspace, git);
  const end = endFor(repository, { ...result, summary });
  if (end) throw new RunEnded(end);
  if (!(await hasCheckout(workspace)))
    throw notDone(repository, "its checkout is gone, or no folder any more");
  const tree = await stageTree(workspace, git);
  if (tree === undefined) throw notDone(repository, "it says that it is done, but changed no file");
  step.emit("progress", `The agent "${run.agent.name}" has changed the code`);
  return { summary, tree };
}

function endFor({ run }: RepositoryRun, { outcome, summary, usage }: AgentResult): RunEnd | undefined {
  const name = run.agent.name;
  if (outcome === "done") return undefined;
  if (outcome === "budget") {
    const { costUsd } = usage;
    return { kind: "budget", maxCostUsd: run.maxCostUsd ?? 0, ...(costUsd === undefined ? {} : { costUsd }) };
  }
  if (outcome === "refused") {
    const message = `The agent "${name}" needed a permission that was refused: ${summary}`;
    return { kind: "agent", message, hint: "Allow it in the agent's settings, or make the ticket clearer" };
  }
  return { kind: "agent", message: `The agent "${name}" did not do the task: it says: ${summary}` };
}

function notDone({ run }: RepositoryRun, why: string): RunEnded {
  return new RunEnded({
    kind: "agent",
    message: `The agent "${run.agent.name}" did not do the task: ${why}`,
  });
}

interface Asked extends Taken {
  workspace: PreparedWorkspace;
  spending: TurnUsage;
}

/** Runs the program; a session that is gone is replaced by a fresh one, once. */
async function askAgent(repository: RepositoryRun, asked: Asked): Promise<AgentResult> {
  const { run } = repository;
  const { step, workspace, spending, round, isAgain } = asked;
  const session = await readSession(workspace, run.agent.name);
  // A question to a person is no interruption.
  const questions = session?.asked ?? 0;
  const interruptions = step.attempt - 1 - questions;
  // One that is interrupted twice may be what ends the process.
  const mayResume = interruptions === 1 || (interruptions < 1 && (round > 1 || questions > 0 || isAgain));
  // Once: a session that is lost must not take them along.
  const notes = await step.notes();
  const record = await openTurnRecord(repository, { round, step });
  let sessionId: string | undefined;
  let written: Promise<void> = Promise.resolve();
  const ask = async (resume: AgentRequest["resume"]) => {
    const { environment, sandbox } = sandboxFor(run, workspace, run.agent);
    const result = await run.agent.run({
      prompt: promptFor(repository, { ...asked, notes, isResumed: resume !== undefined }),
      directory: workspace.checkout,
      environment,
      ...(resume ? { resume } : {}),
      ...(run.maxCostUsd === undefined ? {} : { maxCostUsd: run.maxCostUsd }),
      ...permitFor(repository, round),
      launch: agentLaunch({
        directory: workspace.checkout,
        environment,
        sandbox,
        limits: run.limits,
        signal: step.signal,
      }),
      signal: step.signal,
      onEvent: (event) => {
        record.onEvent(event);
        if (event.type !== "session") return;
        sessionId = event.id;
        written = writeSession(workspace, {
          ...(sessionId === session?.sessionId ? session : {}),
          agent: run.agent.name,
          sessionId,
        });
      },
      onUsage: (usage) => spending.tell({ session: sessionId, usage }),
      onTranscript: (line) => record.onLine(line),
    });
    return result;
  };
  try {
    const resumed = mayResume && session ? resumable(session, spending) : undefined;
    let result = await ask(resumed);
    const isLost = result.outcome === "session-lost" && resumed !== undefined;
    if (isLost) result = await ask(undefined);
    await keepUsage(repository, { workspace, result, former: isLost ? undefined : resumed?.usage });
    spending.settle();
    return result;
  } catch (error) {
    step.signal.throwIfAborted();
    if (error instanceof Suspended) {
      await written;
      const known = await readSession(workspace, run.agent.name);
      if (known) await writeSession(workspace, { ...known, asked: (known.asked ?? 0) + 1 });
      throw error;
    }
    throw ended(run.agent.name, error);
  } finally {
    await record.close();
  }
}

/** With what was used in it so far, by turns that were cut off too. */
function resumable({ sessionId, usage }: AgentSession, spending: TurnUsage): AgentRequest["resume"] {
  const parts = [...(usage ? [usage] : []), ...spending.inSession(sessionId)];
  return { sessionId, ...(parts.length === 0 ? {} : { usage: addUsage(parts) }) };
}

/** For agents that count whole sessions; see `AgentRequest.resume`. */
async function keepUsage(
  { run }: RepositoryRun,
  kept: { workspace: PreparedWorkspace; result: AgentResult; former: AgentUsage | undefined },
): Promise<void> {
  const { sessionId, usage } = kept.result;
  if (sessionId === undefined) return;
  const whole = kept.former ? addUsage([kept.former, usage]) : usage;
  await writeSession(kept.workspace, { agent: run.agent.name, sessionId, usage: whole });
}

/** Whatever the agent's trouble is: another turn would cost the same money again, which is for a person to decide. */
function ended(name: string, error: unknown): unknown {
  if (error instanceof WorkerError && !hasCode(error, "AGENT_FAILED", "AGENT_UNAUTHORIZED")) return error;
  const hint = error instanceof RobsonError ? error.hint : undefined;
  const message =
    error instanceof RobsonError
      ? error.message
      : `The agent "${name}" could not be run: ${messageOf(error)}`;
  return new RunEnded({ kind: "agent", message, ...(hint === undefined ? {} : { hint }) });
}

function promptFor(
  repository: RepositoryRun,
  {
    step,
    base,
    rules,
    followUp,
    isAgain,
    notes,
    isResumed,
  }: Asked & { notes: Awaited<ReturnType<StepContext["notes"]>>; isResumed: boolean },
): string {
  const { run, ticket, url, branch } = repository;
  const { maxPromptBytes } = run.limits;
  const wasBegun = isAgain || step.attempt > 1;
  const requests = notes
    .filter(({ userId }) => userId === run.requester)
    .map(({ content }) => ({ source: "whoever asked for this, in the thread", text: content }));
  const remarks = notes
    .filter(({ userId }) => userId !== run.requester)
    .map(({ userId, content }) => ({ source: `${userId}, in the thread`, text: content }));
  if (isResumed && (wasBegun || followUp !== undefined)) {
    const interrupted = wasBegun
      ? ["You were interrupted. Look at what you have changed so far, and go on."]
      : [];
    const spoken = requests.map(({ text }) => `Whoever asked for this has said since:\n\n${text}`);
    const request = [...interrupted, ...(followUp === undefined ? [] : [followUp]), ...spoken].join("\n\n");
    return remarks.length === 0 ? request : followUpPrompt(request, { material: remarks, maxPromptBytes });
  }
  const left = wasBegun || followUp !== undefined;
  return buildPrompt({
    ticket,
    tracker: run.options.tracker.name,
    repoUrl: url,
    branch,
    base: base.base,
    ...(rules.template ? { template: rules.template } : {}),
    requests,
    material: [
      ...remarks,
      ...(left
        ? [
            {
              source: "Robson",
              text: "An earlier session has worked here: the checkout holds what it changed. Look at it first.",
            },
          ]
        : []),
      ...(followUp === undefined ? [] : [{ source: "what sent the change back", text: followUp }]),
    ],
    maxPromptBytes,
  });
}
