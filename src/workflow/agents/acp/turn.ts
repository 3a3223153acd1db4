/**
 * One turn of an ACP agent, in its order: start, session, prompt, end. Loaded when a turn begins, so that nobody else
 * pays for the SDK. A crash leaves the agent's session behind where it got its id (the `session` event); the program
 * itself is the supervisor's to end.
 */
import { methods, type PromptResponse } from "@agentclientprotocol/sdk";
import type { RobsonError } from "../../../core/errors.ts";
import { agentFailed, atMostAsked } from "../../agent-program.ts";
import type { AgentOutcome, AgentRequest, AgentResult } from "../../coding-agent.ts";
import { type AgentConnection, connectAgent } from "./connection.ts";
import {
  type AcpSettings,
  type AnsweredError,
  deathOf,
  isAnsweredError,
  kindOfFailure,
  unauthorized,
  wordsOf,
} from "./failures.ts";
import { decidePermission, toResponse } from "./permissions.ts";
import { openSession } from "./session.ts";
import { createSessionRecord, type SessionRecord, type TurnRecord } from "./session-record.ts";

/** Runs one turn; see `CodingAgent.run`. The program has ended when this settles. */
export async function runTurn(request: AgentRequest, settings: AcpSettings): Promise<AgentResult> {
  const { directory, environment, maxCostUsd } = request;
  const permit = request.permit && atMostAsked(request.permit.bind(request));
  const budget: Budget = { isSpent: false, stop: () => undefined };
  const record = createSessionRecord({
    directory,
    spentBefore: request.resume?.usage?.costUsd ?? 0,
    onEvent: (event) => request.onEvent(event),
    onUsage: (usage) => request.onUsage?.(usage),
    onCost: (costUsd) => {
      if (maxCostUsd === undefined || costUsd < maxCostUsd || budget.isSpent) return;
      budget.isSpent = true;
      budget.stop();
    },
  });
  const connection = await connectAgent({
    request,
    settings,
    onUpdate: record.update,
    onAnswer: record.answer,
    onPermission: async (asked) => {
      record.tool(asked.toolCall);
      const rules = { directory, home: environment.HOME, permit };
      const { verdict, asked: what } = await decidePermission(asked, rules);
      if (verdict === "deny") record.refused(`${what.tool}: ${what.detail}`);
      return toResponse(verdict, asked.options);
    },
  });
  try {
    const result = await work({ connection, record, request, settings, budget });
    const end = await connection.finish();
    request.signal.throwIfAborted();
    // Asked to end by a limit, an agent may answer that it was cancelled.
    const isByLimit = end.endedBy !== "itself" && end.endedBy !== "abort";
    if (isByLimit && result.outcome === "gave-up") throw deathOf(settings.name, end);
    return result;
  } catch (error) {
    const { reason, isOverloaded } = await connection.abandon(error);
    if (isOverloaded) return overloaded(record.finish());
    throw isAnsweredError(reason) ? toError(reason, settings.name) : reason;
  }
}

/** What the turn may cost is used up: told to the agent by `stop`, once there is something to stop. */
interface Budget {
  isSpent: boolean;
  stop(): void;
}

interface Turn {
  connection: AgentConnection;
  record: SessionRecord;
  request: AgentRequest;
  settings: AcpSettings;
  budget: Budget;
}

async function work(turn: Turn): Promise<AgentResult> {
  const { connection, record, request, settings } = turn;
  const { directory, resume, maxCostUsd } = request;
  const resumed = resume?.sessionId;
  const session = await openSession(connection, { settings, directory, resume: resumed, maxCostUsd });
  if (session === undefined) {
    return { outcome: "session-lost", summary: "The session to go on with is gone", usage: {} };
  }
  const model = session.model === undefined ? {} : { model: session.model };
  record.begin(session.id);
  request.onEvent({ type: "session", id: session.id, ...model });

  const answer = await prompt(session.id, turn);
  const { text, usage, refusal } = record.finish();
  const { outcome, why } = toEnd(answer, { refusal, isBudgetSpent: turn.budget.isSpent });
  return { outcome, summary: why ?? text, sessionId: session.id, usage: { ...model, ...usage } };
}

/** A turn whose agent waited for its model until it was ended for its silence. */
function overloaded({ sessionId, usage }: TurnRecord): AgentResult {
  const summary = "Its model was overloaded for longer than an agent may be silent (agentStallMs)";
  return { outcome: "overloaded", summary, usage, ...(sessionId === undefined ? {} : { sessionId }) };
}

/** Undefined where we ended it. */
type PromptAnswer = PromptResponse | (Error & AnsweredError) | undefined;

/** Sends the prompt and waits for what the agent answers to it: a result, or an error of its own. */
async function prompt(sessionId: string, turn: Turn): Promise<PromptAnswer> {
  const { connection, request, settings, budget } = turn;
  if (budget.isSpent) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const cancel = () => connection.cancel(sessionId);
  budget.stop = () => {
    cancel();
    timer = setTimeout(connection.end, settings.limits.killGraceMs);
  };
  request.signal.addEventListener("abort", cancel, { once: true });
  try {
    const content = [{ type: "text" as const, text: request.prompt }];
    return await connection.work(methods.agent.session.prompt, { sessionId, prompt: content });
  } catch (error) {
    if (isAnsweredError(error)) return error;
    // Ended by us, because it did not stop when it was asked to.
    if (budget.isSpent && !request.signal.aborted) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
    request.signal.removeEventListener("abort", cancel);
  }
}

interface TurnState {
  refusal: string | undefined;
  isBudgetSpent: boolean;
}

/** The outcome of a turn, and its reason where the agent's last message is none. */
function toEnd(
  answer: PromptAnswer,
  { refusal, isBudgetSpent }: TurnState,
): { outcome: AgentOutcome; why?: string } {
  // What was done when the bill came is done.
  const isDone = answer !== undefined && !isAnsweredError(answer) && answer.stopReason === "end_turn";
  if (answer === undefined || (isBudgetSpent && !isDone))
    return { outcome: "budget", why: "It used up what it may cost" };
  if (isAnsweredError(answer)) {
    const kind = kindOfFailure(answer);
    if (kind === "unauthorized") throw answer;
    return { outcome: kind === "overloaded" ? kind : "gave-up", why: wordsOf(answer) };
  }
  if (refusal !== undefined)
    return { outcome: "refused", why: `It was refused what it asked for: ${refusal}` };
  if (answer.stopReason === "end_turn") return { outcome: "done" };
  const why = STOP_REASONS[answer.stopReason];
  if (why === undefined) throw new TypeError(`Unknown stop reason ${String(answer.stopReason)}`);
  return { outcome: "gave-up", why };
}

/** Ends that are no success, in words. */
const STOP_REASONS: Partial<Record<PromptResponse["stopReason"], string>> = {
  max_tokens: "It reached the most tokens that its model writes",
  max_turn_requests: "It reached the most requests that it makes in one turn",
  refusal: "Its model refused to go on",
  cancelled: "It stopped in the middle of its work",
};

function toError(error: AnsweredError, name: string): RobsonError {
  return kindOfFailure(error) === "unauthorized"
    ? unauthorized(name, wordsOf(error))
    : agentFailed(name, wordsOf(error), { cause: error });
}
