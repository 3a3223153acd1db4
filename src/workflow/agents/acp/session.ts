/** The way to a session that is ready for a prompt: hello, log-in, a new session or the former one, its mode and model. */
import {
  type AgentCapabilities,
  methods,
  type NewSessionResponse,
  PROTOCOL_VERSION,
  type SessionConfigOption,
} from "@agentclientprotocol/sdk";
import { agentFailed } from "../../agent-program.ts";
import type { AgentConnection } from "./connection.ts";
import {
  type AcpSettings,
  AUTH_REQUIRED,
  isAnsweredError,
  kindOfFailure,
  nonsense,
  unauthorized,
  wordsOf,
} from "./failures.ts";

export interface SessionOptions {
  settings: AcpSettings;
  directory: string;
  /** The session to go on with. */
  resume: string | undefined;
  maxCostUsd: number | undefined;
}

export interface OpenSession {
  id: string;
  model: string | undefined;
}

/** The longest name of a session that is kept. */
const MAX_SESSION_ID = 1000;
/** How many modes or models an error names. */
const MAX_OFFERED = 20;

type SessionState = Pick<NewSessionResponse, "modes" | "configOptions">;

/** Opens the session; undefined when the one to resume is gone. */
export async function openSession(
  connection: AgentConnection,
  options: SessionOptions,
): Promise<OpenSession | undefined> {
  const { settings } = options;
  const hello = await connection.ask(methods.agent.initialize, {
    protocolVersion: PROTOCOL_VERSION,
    clientCapabilities: { session: { notices: {} } },
  });
  if (hello.protocolVersion !== PROTOCOL_VERSION) {
    throw agentFailed(
      settings.name,
      `it speaks version ${hello.protocolVersion} of the Agent Client Protocol, Robson ${PROTOCOL_VERSION}`,
    );
  }
  const { authMethod } = settings;
  try {
    if (authMethod !== undefined) {
      await connection.ask(methods.agent.authenticate, { methodId: authMethod });
    }
    return await enter(connection, { ...options, capabilities: hello.agentCapabilities ?? {} });
  } catch (error) {
    if (!isAnsweredError(error) || error.code !== AUTH_REQUIRED) throw error;
    const ways = hello.authMethods?.map(({ id }) => id).join(", ") || "none";
    throw unauthorized(settings.name, `${wordsOf(error)}; it offers these values of auth_method: ${ways}`);
  }
}

interface EnterOptions extends SessionOptions {
  capabilities: AgentCapabilities;
}

async function enter(connection: AgentConnection, options: EnterOptions): Promise<OpenSession | undefined> {
  const { directory, resume } = options;
  const place = { cwd: directory, mcpServers: [], ...budgetOf(options) };
  if (resume === undefined) {
    const { sessionId, ...state } = await connection.ask(methods.agent.session.new, place);
    if (typeof sessionId !== "string") throw nonsense(options.settings.name);
    if (sessionId.length > MAX_SESSION_ID) {
      throw agentFailed(options.settings.name, `its session has a name of ${sessionId.length} characters`);
    }
    return await prepare(connection, { ...options, sessionId, state });
  }
  const { loadSession, sessionCapabilities } = options.capabilities;
  const { resume: resumeMethod, load } = methods.agent.session;
  // Both are the same to us; a load tells the whole session again.
  const method = sessionCapabilities?.resume ? resumeMethod : loadSession ? load : undefined;
  if (method === undefined) return undefined;
  let state: SessionState;
  try {
    state = await connection.ask(method, { ...place, sessionId: resume });
  } catch (error) {
    if (!isAnsweredError(error) || kindOfFailure(error) === "unauthorized") throw error;
    return undefined;
  }
  return await prepare(connection, { ...options, sessionId: resume, state });
}

/** claude-agent-acp tells the cost at the end of a turn only, but holds a budget itself; others pass this by. */
function budgetOf({ maxCostUsd }: SessionOptions) {
  return maxCostUsd === undefined ? {} : { _meta: { claudeCode: { options: { maxBudgetUsd: maxCostUsd } } } };
}

interface PrepareOptions extends SessionOptions {
  sessionId: string;
  state: SessionState;
}

/** Sets the mode and the model that the config asks for; one that the agent does not have is the config's mistake. */
async function prepare(connection: AgentConnection, options: PrepareOptions): Promise<OpenSession> {
  const { sessionId, settings, state } = options;
  const { mode, model } = settings;
  const { setMode, setConfigOption } = methods.agent.session;
  const choices = (state.configOptions ?? []).filter((each) => each.type === "select");
  const modelChoice = choices.find(({ category }) => category === "model");

  if (mode !== undefined && state.modes) {
    const offered = state.modes.availableModes.map(({ id }) => id);
    if (!offered.includes(mode)) throw noSuch(settings.name, { what: "mode", value: mode, offered });
    await connection.ask(setMode, { sessionId, modeId: mode });
  } else if (mode !== undefined) {
    const choice = choices.find(({ category }) => category === "mode");
    await choose({ what: "mode", value: mode, choice });
  }
  if (model !== undefined) await choose({ what: "model", value: model, choice: modelChoice });
  return { id: sessionId, model: model ?? modelChoice?.currentValue };

  async function choose({
    what,
    value,
    choice,
  }: {
    what: string;
    value: string;
    choice: SelectOption | undefined;
  }) {
    const offered = choice === undefined ? [] : valuesOf(choice);
    if (choice === undefined || !offered.includes(value))
      throw noSuch(settings.name, { what, value, offered });
    await connection.ask(setConfigOption, { sessionId, configId: choice.id, value });
  }
}

type SelectOption = Extract<SessionConfigOption, { type: "select" }>;

function valuesOf({ options }: SelectOption): string[] {
  return options.flatMap((each) => ("group" in each ? each.options : [each])).map(({ value }) => value);
}

function noSuch(name: string, { what, value, offered }: { what: string; value: string; offered: string[] }) {
  const shown = offered.length === 0 ? "none to choose from" : offered.slice(0, MAX_OFFERED).join(", ");
  return agentFailed(name, `it has no ${what} "${value}"; it offers ${shown}`, {
    hint: `Correct ${what} in the agent's section of robson.toml, or leave it out`,
  });
}
