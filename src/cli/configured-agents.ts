/** The coding agents of the configuration, with the variables that reach each of them, and which one does the work. */
import type { Config } from "../config/load-config.ts";
import { refusedSetting } from "../config/refused-setting.ts";
import type { KeyPath } from "../config/toml-positions.ts";
import { RobsonError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { acpAgent } from "../workflow/agents/acp/index.ts";
import { claudeCodeAgent } from "../workflow/agents/claude-code/index.ts";
import { codexAgent } from "../workflow/agents/codex/index.ts";
import { scriptedAgent } from "../workflow/agents/scripted/index.ts";
import type { CodingAgent } from "../workflow/coding-agent.ts";
import { whyNotHeld } from "../workflow/permissions.ts";
import { parseDomains } from "../workflow/sandbox/domains.ts";
import { listedEnvironment } from "../workflow/sandbox/environment.ts";

export interface ConfiguredAgents {
  /** The one of `workflow.agent`. */
  agent: CodingAgent;
  /** All that can be named for a task. */
  agents: CodingAgent[];
  /** The values that reach agents, which must not be shown or published. */
  secrets: string[];
}

/**
 * `CONFIG_INVALID` where `workflow.agent` names none or one that `workflow.permissions` does not hold, a name is given
 * twice, or a variable must not leave Robson.
 */
export function configuredAgents(config: Config): ConfiguredAgents {
  const { scripted, claudeCode, codex, acp } = config.agents;
  const secrets = new Set<string>();
  /** An agent with what its settings let it reach. */
  const reaching = (
    { path, settings }: { path: KeyPath; settings: { environment: string[]; domains: string[] } },
    create: (environment: Record<string, string>) => CodingAgent,
  ): CodingAgent => {
    const environment = variablesOf(config, { names: settings.environment, path: [...path, "environment"] });
    for (const [name, value] of Object.entries(environment))
      if (isSecret({ name, value })) secrets.add(value);
    located({ config, path: [...path, "domains"] }, () => parseDomains(settings.domains));
    return { ...create(environment), domains: settings.domains };
  };
  const agents = [
    scriptedAgent({ scriptFile: scripted.script }),
    reaching({ path: ["agents", "claude_code"], settings: claudeCode }, (environment) =>
      claudeCodeAgent({ ...claudeCode, environment }),
    ),
    reaching({ path: ["agents", "codex"], settings: codex }, (environment) =>
      codexAgent({ ...codex, environment, isSandboxed: config.workflow.sandbox !== "none" }),
    ),
    ...acp.map((settings, index) =>
      reaching({ path: ["agents", "acp", index], settings }, (environment) =>
        acpAgent({ ...settings, environment, limits: config.workflow.limits }),
      ),
    ),
  ];
  refuseDoubles(config, agents);
  const agent = find(config, agents);
  const cause = whyNotHeld(agent, config.workflow.permissions);
  if (cause) throw refusedSetting(config.file, { path: ["workflow", "permissions"], cause });
  return { agent, agents, secrets: [...secrets] };
}

function variablesOf(
  config: Config,
  { names, path }: { names: string[]; path: KeyPath },
): Record<string, string> {
  const { agentVariables = {}, gitTokens = {} } = config.secrets;
  return located({ config, path }, () => listedEnvironment(names, agentVariables, Object.keys(gitTokens)));
}

/** A mistake in a setting is told with its line. */
function located<T>({ config, path }: { config: Config; path: KeyPath }, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof RobsonError)) throw cause;
    throw refusedSetting(config.file, { path, cause });
  }
}

function refuseDoubles({ file }: Config, agents: CodingAgent[]): void {
  const names = agents.map(({ name }) => name);
  const double = names.find((name, index) => names.indexOf(name) < index);
  if (double === undefined) return;
  const cause = new RobsonError("CONFIG_INVALID", `there are two agents "${double}"`, {
    hint: "Give each of [[agents.acp]] a name of its own; scripted, claude-code and codex are taken",
  });
  throw refusedSetting(file, { path: ["agents", "acp"], cause });
}

function find({ workflow, file }: Config, agents: CodingAgent[]): CodingAgent {
  const found = agents.find(({ name }) => name === workflow.agent);
  if (found) return found;
  const names = agents.map(({ name }) => name);
  const near = nearest(workflow.agent, names);
  const cause = new RobsonError("CONFIG_INVALID", `there is no agent "${workflow.agent}"`, {
    hint: near ? `Did you mean "${near}"?` : `There are: ${names.join(", ")}`,
  });
  throw refusedSetting(file, { path: ["workflow", "agent"], cause });
}

/** What stands in honest texts too: addresses, names of models and projects. */
const NO_SECRET =
  /_(?:URL|URI|ENDPOINT|HOST|MODEL|PROJECT|REGION|LOCATION|USE_BEDROCK|USE_VERTEX|USE_VERTEXAI)$/;

/** Whatever is not known to be none; an address with a password in it is one. */
function isSecret({ name, value }: { name: string; value: string }): boolean {
  return !NO_SECRET.test(name) || /^[a-z][a-z0-9+.-]*:\/\/[^/]*@/i.test(value);
}
