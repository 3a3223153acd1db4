/**
 * The connection to an agent's program: started through the run's launch, asked and answered by the SDK. Whatever goes
 * wrong ends the program, and is said with what the program printed and why it ended.
 *
 * Robson offers neither its file system nor terminals: the agent has both of its own, inside its sandbox and under its
 * limits; what Robson did in its place would happen outside of them. A request for them is answered "not found".
 */
import {
  type AgentRequestMethod,
  type AgentRequestParamsByMethod,
  type AgentRequestResponsesByMethod,
  client,
  methods,
  type RequestPermissionRequest,
  type RequestPermissionResponse,
} from "@agentclientprotocol/sdk";
import { RobsonError } from "../../../core/errors.ts";
import { notStarted } from "../../agent-program.ts";
import type { AgentRequest } from "../../coding-agent.ts";
import type { ProgramEnd } from "../../supervisor.ts";
import { type AcpSettings, deathOf, isAnsweredError, nonsense, wasOverloaded } from "./failures.ts";
import { programStream } from "./stream.ts";

export interface ConnectionOptions {
  request: AgentRequest;
  settings: AcpSettings;
  /** The parameters of each `session/update`, in order and before any answer that came after it. */
  onUpdate(params: unknown): void;
  /** The result of each request, as it came. */
  onAnswer(result: unknown): void;
  /** What this throws ends the turn. Called once at a time. */
  onPermission(request: RequestPermissionRequest): Promise<RequestPermissionResponse>;
}

export interface AgentConnection {
  /** Rejects with what the agent answers (`isAnsweredError`), or when it has not answered within `agentAnswerMs`. */
  ask<Method extends AgentRequestMethod>(
    method: Method,
    params: AgentRequestParamsByMethod[Method],
  ): Promise<AgentRequestResponsesByMethod[Method]>;
  /** As `ask`, however long it takes. */
  work<Method extends AgentRequestMethod>(
    method: Method,
    params: AgentRequestParamsByMethod[Method],
  ): Promise<AgentRequestResponsesByMethod[Method]>;
  /** Asks the agent to stop its work on a prompt; that it does not is for the program's end to mend. */
  cancel(sessionId: string): void;
  /** Ends the program kindly: it has said its last word, and may still save its session. Rejects as `ended` does. */
  finish(): Promise<ProgramEnd>;
  /** Ends the program, and says why the turn failed, given what was thrown. */
  abandon(error: unknown): Promise<{ reason: unknown; isOverloaded: boolean }>;
  /** Ends the program; what is asked rejects. */
  end(): void;
}

/** Starts the agent's program. Rejects with `AGENT_FAILED` when it cannot be started. */
export async function connectAgent(options: ConnectionOptions): Promise<AgentConnection> {
  const { request, settings } = options;
  const stream = programStream({
    onNotification: ({ method, params }) => {
      if (method === methods.client.session.update) options.onUpdate(params);
    },
    onAnswer: options.onAnswer,
  });
  const program = await startProgram(options, (line) => {
    request.onTranscript(line);
    stream.take(line);
  });
  if (program.stdin) stream.connect(program.stdin);
  program.ended.catch(() => undefined).finally(stream.close);

  const maxMs = settings.limits.agentAnswerMs;
  let late: string | undefined;
  let broken: { error: unknown } | undefined;
  let permissions: Promise<unknown> = Promise.resolve();
  const onPermission = (asked: RequestPermissionRequest) => {
    const answer = program.awaiting(permissions.then(() => options.onPermission(asked)));
    permissions = answer.catch((error: unknown) => {
      broken ??= { error };
      program.end();
    });
    return answer;
  };
  const { agent } = client({ name: "robson" })
    .onRequest(methods.client.session.requestPermission, ({ params }) => onPermission(params))
    .connect(stream);

  return {
    work: (method, params) => agent.request(method, params),
    ask: (method, params) => {
      const onLate = () => {
        late = `it has not answered "${method}" within agentAnswerMs (${maxMs} ms)`;
      };
      return inTime(agent.request(method, params), { maxMs, onLate });
    },
    cancel: (sessionId) => {
      // The connection may be gone already.
      agent.notify(methods.agent.session.cancel, { sessionId }).catch(() => undefined);
    },
    finish: async () => {
      program.stdin?.end();
      const timer = setTimeout(() => program.end(), settings.limits.killGraceMs);
      return await program.ended.finally(() => clearTimeout(timer));
    },
    abandon: async (error) => {
      program.end();
      const end = await program.ended.catch((reason: unknown) => ({ reason }));
      const isOverloaded = "endedBy" in end && wasOverloaded(end);
      if (request.signal.aborted) return { reason: request.signal.reason, isOverloaded: false };
      if (broken) return { reason: broken.error, isOverloaded: false };
      if ("reason" in end) return { reason: end.reason, isOverloaded };
      if (error instanceof RobsonError || isAnsweredError(error)) return { reason: error, isOverloaded };
      // The SDK does not look into answers; what is read of one may not be there.
      if (error instanceof TypeError) return { reason: nonsense(settings.name, error), isOverloaded };
      return {
        reason: deathOf(settings.name, { ...end, ...(late === undefined ? {} : { why: late }) }),
        isOverloaded,
      };
    },
    end: () => program.end(),
  };
}

async function startProgram({ request, settings }: ConnectionOptions, onLine: (line: string) => void) {
  const { command, args, environment = {} } = settings;
  try {
    return await request.launch({ command, args, environment, stdin: "pipe", onLine });
  } catch (cause) {
    request.signal.throwIfAborted();
    const installHint = "Install it, or set command in its [[agents.acp]] of robson.toml to its path";
    throw notStarted(cause, { agent: settings.name, command, installHint });
  }
}

/** Rejects when the answer takes longer than `maxMs`; what it rejects with then counts for nothing beside `onLate`. */
async function inTime<T>(
  answer: Promise<T>,
  { maxMs, onLate }: { maxMs: number; onLate(): void },
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    onLate();
    late.reject(new Error("late"));
  }, maxMs);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
