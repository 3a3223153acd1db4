/** What the programs of a run are started with: the environment made from nothing, and the sandbox around them. */

import type { CodingAgent } from "./coding-agent.ts";
import type { LaunchOptions } from "./supervisor.ts";
import type { TaskRun } from "./task-run.ts";
import type { PreparedWorkspace } from "./workspace.ts";

export function sandboxFor(
  { options }: TaskRun,
  { environment, writable, readable }: PreparedWorkspace,
  /** Hosts that this program may reach besides, and what it is made of. */
  { domains = [], readable: own = [] }: Pick<CodingAgent, "domains" | "readable"> = {},
): Pick<LaunchOptions, "environment" | "sandbox"> {
  if (!options.sandbox) return { environment };
  const { sandbox, rules } = options.sandbox;
  return {
    environment: { ...environment, ...options.sandbox.environment },
    sandbox: {
      sandbox,
      rules: {
        writable,
        readable: [...rules.readable, ...readable, ...own],
        allowedDomains: [...rules.allowedDomains, ...domains],
      },
    },
  };
}
