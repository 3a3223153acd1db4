/** What is wrong with a plugin of robson.toml, said with the place where it stands there. */
import { readFileSync } from "node:fs";
import { RobsonError } from "../core/errors.ts";
import { isSecretName, problemsError, show, valueShown } from "./config-problems.ts";
import type { Config } from "./load-config.ts";
import { findPosition, type KeyPath } from "./toml-positions.ts";

/** A plugin that the configuration names: the place of its entry. */
export interface PluginEntry {
  config: Config;
  index: number;
}

/** Why a plugin cannot be used, with what to do; `of` is what it was caused by. */
export function pluginError(
  { config, index }: PluginEntry,
  { why, hint, cause }: { why: string; hint: string; cause?: unknown },
): RobsonError {
  const { use = "" } = config.plugins[index] ?? {};
  const position = findPosition(readSource(config), ["plugins", index, "use"]);
  const place =
    config.file === undefined ? "" : ` (${config.file}${position ? `, line ${position.line}` : ""})`;
  return new RobsonError("PLUGIN_INVALID", `Cannot use the plugin "${use}"${place}: ${why}`, { hint, cause });
}

/** The error for a section that the plugin's schema refused: each key with its value and its line. */
export function pluginConfigError(
  { config, index }: PluginEntry,
  issues: readonly { message: string; path: KeyPath }[],
): RobsonError {
  const { use = "", config: section } = config.plugins[index] ?? {};
  const source = { file: config.file ?? "the configuration", toml: readSource(config) };
  const problems = issues.map(({ message, path }) => {
    const whole = ["plugins", index, "config", ...path];
    const value = path.reduce<unknown>(
      (table, key) => (table as Record<string | number, unknown> | undefined)?.[key],
      section,
    );
    const isTable = typeof value === "object" && value !== null;
    const isSecret = path.some((part) => isSecretName(String(part)));
    const met = isSecret && value !== undefined ? "a value that is not shown here" : valueShown(value);
    const refused = `the plugin "${use}" refuses ${isTable ? show(whole) : "it"}: ${message}`;
    return {
      path: whole,
      text: isTable ? refused : `${show(whole)} is ${met}; ${refused}`,
      hint: `Correct ${show(whole)}; the plugin's own documentation says what it takes`,
    };
  });
  return problemsError(source, problems);
}

/** Read again, for the lines of an error; without them the error is still true. */
function readSource({ file }: Config): string {
  try {
    return file === undefined ? "" : readFileSync(file, "utf8");
  } catch {
    // Gone since it was loaded.
    return "";
  }
}
