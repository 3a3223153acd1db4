/** What the programs of a run are started with: the environment made from nothing, and the sandbox around them. */

import type { LaunchOptions } from "./supervisor.ts";
import type { TaskRun } from "./task-run.ts";
import type { PreparedWorkspace } from "./workspace.ts";

export function sandboxFor(
  { options }: TaskRun,
  { environment, writable, readable }: PreparedWorkspace,
  /** Hosts that this program may reach besides. */
  { domains = [] }: { domains?: readonly string[] | undefined } = {},
): Pick<LaunchOptions, "environment" | "sandbox"> {
  if (!options.sandbox) return { environment };
  const { sandbox, rules } = options.sandbox;
  return {
    environment: { ...environment, ...options.sandbox.environment },
    sandbox: {
      sandbox,
      rules: {
        writable,
        readable: [...rules.readable, ...readable],
        allowedDomains: [...rules.allowedDomains, ...domains],
      },
    },
  };
}
