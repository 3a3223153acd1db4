/**
 * Patterns for paths of a repository, as `.gitignore` has them: `*` and `?` within a name, `**` over folders, a name
 * without a slash at any depth, and whatever lies below a match. Blind to case, because some file systems are. Takes
 * time in proportion to pattern and path: patterns come from files that strangers may have a hand in.
 */

/** Whether one of the patterns names the path, or a folder that it lies in. */
export function matchesPath(patterns: readonly string[], path: string): boolean {
  const names = path.toLowerCase().split("/");
  return patterns.some((pattern) => matchesNames(partsOf(pattern), names));
}

/** `CODEOWNERS` and `dir/` hold at any depth, `/CODEOWNERS` and `docs/CODEOWNERS` from the top on. */
function partsOf(pattern: string): string[] {
  const parts = pattern
    .toLowerCase()
    .replace(/^\/+|\/+$/g, "")
    .split(/\/+/);
  const isAnywhere = parts.length === 1 && !pattern.startsWith("/");
  return isAnywhere ? ["**", ...parts] : parts;
}

/** Which beginnings of `parts` fit the names so far, name by name; a whole fit at any name takes all below it. */
function matchesNames(parts: string[], names: string[]): boolean {
  let reached = afterFolders(parts, new Set([0]));
  for (const name of names) {
    const next = new Set<number>();
    for (const at of reached) {
      const part = parts[at];
      if (part === "**") next.add(at);
      else if (part !== undefined && matchesName(part, name)) next.add(at + 1);
    }
    reached = afterFolders(parts, next);
    if (reached.has(parts.length)) return true;
  }
  return false;
}

/** `**` stands for no folder, too. */
function afterFolders(parts: string[], reached: Set<number>): Set<number> {
  for (const at of reached) if (parts[at] === "**") reached.add(at + 1);
  return reached;
}

/** `*` and `?` in one name; a mismatch goes back to the last `*` only, which is enough. */
function matchesName(part: string, name: string): boolean {
  let at = 0;
  let star = -1;
  let starred = 0;
  for (let index = 0; index < name.length; ) {
    if (part[at] === "*") {
      star = at;
      starred = index;
      at += 1;
    } else if (at < part.length && (part[at] === "?" || part[at] === name[index])) {
      at += 1;
      index += 1;
    } else if (star >= 0) {
      starred += 1;
      index = starred;
      at = star + 1;
    } else return false;
  }
  while (part[at] === "*") at += 1;
  return at === part.length;
}
