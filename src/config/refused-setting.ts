/**
 * A setting that only its user can judge, as a gateway its addresses: refused with its place in robson.toml, like
 * the mistakes that are found when the file is read.
 */
import { readFileSync } from "node:fs";
import { RobsonError } from "../core/errors.ts";
import { problemsError } from "./config-problems.ts";
import type { KeyPath } from "./toml-positions.ts";

/** The `CONFIG_INVALID` for the setting at `path`, in the file's spelling; `cause` says what is wrong with it. */
export function refusedSetting(
  file: string | undefined,
  { path, cause }: { path: KeyPath; cause: RobsonError },
): RobsonError {
  const names = path.filter((part) => typeof part === "string").join(".");
  const text = `${names}: ${cause.message}`;
  const hint = cause.hint ?? `Correct ${names}, or remove it to have the default`;
  if (file === undefined) return new RobsonError("CONFIG_INVALID", `Cannot use ${text}`, { hint, cause });
  return problemsError({ file, toml: readFileSync(file, "utf8") }, [{ path, text, hint }]);
}
