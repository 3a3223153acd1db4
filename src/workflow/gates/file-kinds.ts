/**
 * What a path of a change is beside its text: a link and where it leads, a repository within the repository, a name
 * that does not say what it is.
 */
import { dirname } from "node:path/posix";
import type { ChangedFile } from "./staged-change.ts";

export const EXECUTABLE_MODE = "100755";
const LINK_MODE = "120000";
const SUBMODULE_MODE = "160000";

/** Why a link is not let through, or undefined for all that stays in the repository. */
export function whyLinkLeadsOut({ path, mode, added, isRead }: ChangedFile): string | undefined {
  if (mode !== LINK_MODE) return undefined;
  const target = added.map(({ text }) => text).join("\n");
  if (!isRead || target === "") return "where it leads cannot be read";
  if (/^(?:[/\\~]|[a-zA-Z]:)/.test(target)) return "it leads to a place of the machine";
  if (/[\\\p{Cc}]/u.test(target))
    return "its target has signs that mean different things on different systems";
  const names = target.split("/").filter((name) => name !== "" && name !== ".");
  const up = names.lastIndexOf("..") + 1;
  // `y/..` is not where it seems to be when y is a link itself.
  if (names.slice(0, up).some((name) => name !== "..")) return "its target goes up again behind a folder";
  const depth = dirname(path) === "." ? 0 : dirname(path).split("/").length;
  if (up > depth) return "it leads out of the repository";
  if (names.some(isGitName)) return "it leads to what git keeps for itself";
  return undefined;
}

/** Whether it is another repository, how it is fetched, or a path in a git directory. */
export function isOfGit({ path, mode, oldMode }: ChangedFile): boolean {
  const names = path.split("/");
  const isSubmodule = mode === SUBMODULE_MODE || oldMode === SUBMODULE_MODE;
  return isSubmodule || names.some(isGitName) || plainName(names.at(-1) ?? "") === ".gitmodules";
}

/** Whether the path has signs that are not seen, that turn the reading direction, or that are no text. */
export function hasOddName({ path }: ChangedFile): boolean {
  return /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u{FFFD}\\]|(?:^|\/) | (?:\/|$)/u.test(path);
}

/** Whether added lines of a text turn the reading direction, or carry a message in signs that nothing shows. */
export function hasHiddenSigns({ isBinary, added }: ChangedFile): boolean {
  return (
    !isBinary &&
    added.some(({ text }) =>
      /[\u202a-\u202e\u2066-\u2069\u{e0001}-\u{e007f}]|[\u{e0100}-\u{e01ef}]{2}/u.test(text),
    )
  );
}

/** `.git` as every file system would take it: without regard to case, to dots and blanks at its end, by its short name. */
function isGitName(name: string): boolean {
  const plain = plainName(name);
  return plain === ".git" || plain === "git~1";
}

function plainName(name: string): string {
  return name
    .normalize("NFKC")
    .replace(/\p{Cf}/gu, "")
    .replace(/:.*$/su, "")
    .replace(/[. ]+$/u, "")
    .toLowerCase();
}
