/**
 * The sandbox of the configuration with what holds for every program in it: which of Robson's files no rule may open, which
 * variables are handed on, which hosts may be reached.
 */
import { dirname, isAbsolute, join } from "node:path";
import type { Config } from "../config/load-config.ts";
import { refusedSetting } from "../config/refused-setting.ts";
import { RobsonError } from "../core/errors.ts";
import { createSandbox } from "../workflow/sandbox/create-sandbox.ts";
import { parseDomains } from "../workflow/sandbox/domains.ts";
import { listedEnvironment } from "../workflow/sandbox/environment.ts";
import type { Sandbox, SandboxRules } from "../workflow/sandbox.ts";

export interface OpenSandboxOptions {
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** What the agent of the workflow reaches besides. */
  agentDomains?: readonly string[] | undefined;
}

export interface OpenedSandbox {
  sandbox: Sandbox;
  /** For every program; the checkout and the home come with each run. */
  rules: Omit<SandboxRules, "writable">;
  environment: Record<string, string>;
}

/** A mistake in `[sandbox]` is a `CONFIG_INVALID`. Makes nothing yet: `sandbox.check` says whether it can be made. */
export function openSandbox(config: Config, options: OpenSandboxOptions): OpenedSandbox {
  const { env, cwd, agentDomains = [] } = options;
  const { allowDomains, environment, readable, dockerImage, limits } = config.sandbox;
  // Push is Robson's: what opens the repositories stays with it.
  const gitTokens = config.gitCredentials.flatMap(({ tokenEnv }) => tokenEnv ?? []);
  for (const [index, domain] of allowDomains.entries()) {
    located(config, ["sandbox", "allow_domains", index], () => parseDomains([domain]));
  }
  for (const [index, name] of environment.entries()) {
    located(config, ["sandbox", "environment", index], () => listedEnvironment([name], {}, gitTokens));
  }
  const protectedPaths = [...databaseFiles(config.database.url), join(cwd, ".env")];
  if (config.file !== undefined) protectedPaths.push(config.file, join(dirname(config.file), ".env"));
  if (config.log.file !== undefined) protectedPaths.push(config.log.file);
  return {
    sandbox: createSandbox({
      name: config.workflow.sandbox,
      limits,
      allowDomains: [...allowDomains, ...agentDomains],
      dockerImage,
      protectedPaths,
    }),
    rules: { readable, allowedDomains: allowDomains },
    environment: listedEnvironment(environment, env, gitTokens),
  };
}

/** A mistake in a setting is told with its line. */
function located({ file }: Config, path: (string | number)[], read: () => unknown): void {
  try {
    read();
  } catch (cause) {
    if (!(cause instanceof RobsonError)) throw cause;
    throw refusedSetting(file, { path, cause });
  }
}

/** The database and what lies beside it under its name; nothing where it is a server. */
function databaseFiles(url: string): string[] {
  if (!isAbsolute(url)) return [];
  return ["", "-wal", "-shm", "-journal", ".owner", ".wake"].map((ending) => `${url}${ending}`);
}
