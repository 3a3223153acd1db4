/**
 * Reads what `git diff-tree -p -U0 --text` prints, file by file, and keeps what the change adds. Hunks are read by the
 * counts in their headers: a line of a file that looks like a header of the diff is never taken for one.
 */

/** Lines that follow each other in the changed file. */
export interface AddedBlock {
  /** The number of its first line, from 1 on. */
  line: number;
  text: string;
}

export interface FileDiff {
  added: AddedBlock[];
  addedLines: number;
  removedLines: number;
}

const FILE_HEADER = "diff --git ";
const HUNK_HEADER = /^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/;

/** One entry for each file header, in the order of the diff. */
export function readFileDiffs(diff: string): FileDiff[] {
  const lines = diff.split("\n");
  const files: FileDiff[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? "";
    const file = files.at(-1);
    const [header, removed = "1", first = "1", added = "1"] = HUNK_HEADER.exec(line) ?? [];
    at += 1;
    if (line.startsWith(FILE_HEADER)) files.push({ added: [], addedLines: 0, removedLines: 0 });
    if (file === undefined || header === undefined) continue;

    const counts = { removed: Number(removed), added: Number(added) };
    const hunk = readHunk(lines, { at, ...counts });
    at = hunk.end;
    file.addedLines += counts.added;
    file.removedLines += counts.removed;
    if (counts.added > 0) file.added.push({ line: Number(first), text: hunk.added.join("\n") });
  }
  return files;
}

function readHunk(lines: string[], { at, removed, added }: { at: number; removed: number; added: number }) {
  const kept: string[] = [];
  let end = at;
  for (let left = removed + added; left > 0 && end < lines.length; end += 1) {
    const line = lines[end] ?? "";
    // "\ No newline at end of file" is no line of the file, and not counted.
    if (line.startsWith("\\")) continue;
    if (line.startsWith("+")) kept.push(line.slice(1));
    left -= 1;
  }
  return { added: kept, end };
}
