/**
 * Reads the configuration: robson.toml, then the environment over it, then what the command line says.
 * Everything wrong with it is refused here, before anything moves. Paths within robson.toml are relative to it.
 */
import { readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { messageOf, RobsonError } from "../core/errors.ts";
import {
  type ConfigSource,
  type Problem,
  problemsError,
  problemsOf,
  secretInFile,
  syntaxError,
} from "./config-problems.ts";
import { configSchema, type Settings } from "./config-schema.ts";
import { type Environment, readEnvironment, type Secrets, secretsOf } from "./environment.ts";
import { camelKeys } from "./key-case.ts";

export interface Config extends Settings {
  secrets: Secrets;
  /** The file that was read; absent when there was none and the defaults hold. */
  file?: string;
}

export interface LoadConfigOptions {
  cwd: string;
  env: Environment;
  /** `--config`: this file, which must exist. Default: robson.toml in `cwd`, where there is one. */
  configFile?: string | undefined;
  /** `--db`: before ROBSON_DATABASE_URL, before robson.toml. */
  database?: string | undefined;
}

/** A larger robson.toml is not one. */
const MAX_CONFIG_BYTES = 1024 * 1024;

/** The complete configuration, or `CONFIG_INVALID` / `CONFIG_UNREADABLE` with the line and what to do. */
export function loadConfig(options: LoadConfigOptions): Config {
  const { cwd } = options;
  const environment = readEnvironment(options);
  const source = readSource(options);
  const settings = source === undefined ? configSchema.parse({}) : readSettings(source);
  const { plugins } = settings;
  const { claude_code, codex, acp } = settings.agents;
  const secrets = secretsOf(environment, {
    gitTokens: settings.git_credentials.flatMap(({ token_env }) => token_env ?? []),
    agentVariables: [claude_code, codex, ...acp].flatMap((agent) => agent.environment),
  });
  const config: Config = { ...camelKeys(settings), plugins, secrets };
  if (source !== undefined) config.file = resolve(cwd, source.file);

  const base = config.file === undefined ? cwd : dirname(config.file);
  const given = options.database ?? environment.ROBSON_DATABASE_URL;
  config.database.url = given === undefined ? locate(config.database.url, base) : locate(given, cwd);
  config.workflow.workDir = withoutLinks(resolve(base, config.workflow.workDir));
  config.sandbox.readable = config.sandbox.readable.map((path) => resolve(base, path));
  for (const each of config.gitCredentials) {
    if (each.caFile !== undefined) each.caFile = resolve(base, each.caFile);
  }
  if (config.log.file !== undefined) config.log.file = resolve(base, config.log.file);
  const { scripted } = config.agents;
  if (scripted.script !== undefined) scripted.script = resolve(base, scripted.script);
  return config;
}

/** Where a path leads in the end: a sandbox opens no folder through a link, since an agent could have made it. */
function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // What is not there yet is no link.
    return dirname(path) === path ? path : join(withoutLinks(dirname(path)), basename(path));
  }
}

function readSource({ cwd, configFile }: LoadConfigOptions): ConfigSource | undefined {
  const file = configFile ?? "robson.toml";
  const path = resolve(cwd, file);
  try {
    const { size } = statSync(path);
    if (size > MAX_CONFIG_BYTES) {
      throw new RobsonError(
        "CONFIG_UNREADABLE",
        `Cannot read ${file}: it has ${size} bytes, more than ${MAX_CONFIG_BYTES}`,
        {
          hint: "Name a robson.toml with --config",
        },
      );
    }
    return { file, toml: readFileSync(path, "utf8") };
  } catch (error) {
    if (error instanceof RobsonError) throw error;
    if (configFile === undefined && (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new RobsonError("CONFIG_UNREADABLE", `Cannot read ${file}: ${messageOf(error)}`, {
      hint: "Name a file that exists and that this user may read, or leave --config out to have the defaults",
      cause: error,
    });
  }
}

function readSettings(source: ConfigSource) {
  let document: Record<string, unknown>;
  try {
    document = parse(source.toml);
  } catch (error) {
    if (error instanceof TomlError) throw syntaxError(source, error);
    throw error;
  }
  const result = configSchema.safeParse(document);
  const problems: Problem[] = result.success ? [] : problemsOf(result.error.issues, document);
  if (hasPassword((document.database as { url?: unknown } | undefined)?.url)) {
    problems.push(secretInFile(["database", "url"]));
  }
  if (!result.success || problems.length > 0) throw problemsError(source, problems);
  return result.data;
}

function hasPassword(url: unknown): boolean {
  if (typeof url !== "string" || !URL.canParse(url)) return false;
  const { password, searchParams } = new URL(url);
  return password !== "" || searchParams.has("password");
}

/** A file of the database as an absolute path; URLs, and what the store will refuse, as they are. */
function locate(database: string, base: string): string {
  const file = database.replace(/^sqlite:(\/\/)?/i, "");
  const isFile = file !== "" && !file.startsWith(":memory:") && !/^[a-z][a-z0-9+.-]+:\/\//i.test(file);
  return isFile ? resolve(base, file) : database;
}
