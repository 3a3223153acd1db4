/**
 * The environment as Robson sees it: the real one, and beneath it what `.env` in the present folder adds.
 * The variables named here are the only place that secrets come from.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { messageOf, RobsonError } from "../core/errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Secrets {
  /** What callers of the HTTP server must bring. */
  token: string | undefined;
  /** What callbacks are signed with. */
  webhookSecret: string | undefined;
  /** What messages are signed with by those who sign them instead of bringing the token. */
  webhookInboundSecret?: string | undefined;
  /** The variables that `[[git_credentials]]` names, as far as they are set. */
  gitTokens?: Environment;
  /** The variables that reach the coding agents, as far as they are set. */
  agentVariables?: Environment;
}

/** Which variables the configuration names. */
export interface NamedVariables {
  gitTokens?: readonly string[];
  agentVariables?: readonly string[];
}

/** The variables of `.env` with those of `env` over them; an empty variable counts as not set. */
export function readEnvironment({ cwd, env }: { cwd: string; env: Environment }): Environment {
  return { ...withoutEmpty(readDotEnv(join(cwd, ".env"))), ...withoutEmpty(env) };
}

export function secretsOf(environment: Environment, named: NamedVariables = {}): Secrets {
  const pick = (names: readonly string[] = []) =>
    Object.fromEntries(names.map((name) => [name, environment[name]]));
  return {
    token: environment.ROBSON_TOKEN,
    webhookSecret: environment.ROBSON_WEBHOOK_SECRET,
    webhookInboundSecret: environment.ROBSON_WEBHOOK_INBOUND_SECRET,
    gitTokens: pick(named.gitTokens),
    agentVariables: pick(named.agentVariables),
  };
}

function readDotEnv(file: string): Environment {
  let content: string;
  try {
    content = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new RobsonError("CONFIG_UNREADABLE", `Cannot read ${file}: ${messageOf(error)}`, {
      hint: "Make .env a file that this user may read, or remove it",
      cause: error,
    });
  }
  return parseEnv(content);
}

function withoutEmpty(variables: Environment): Environment {
  return Object.fromEntries(
    Object.entries(variables).filter(([, value]) => value !== undefined && value !== ""),
  );
}
