/**
 * The longest file that the house style allows, and the files that are longer. The limit on functions is
 * biome's (`noExcessiveLinesPerFunction` in biome.json).
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const MAX_FILE_LINES = 400;

const SOURCES = ["{src,test,tools,bench,examples}/**/*.ts", "*.ts"];

/** One line for each TypeScript file under `root` that is too long. */
export function tooLongFiles(root: string): string[] {
  return globSync(SOURCES, { cwd: root, exclude: ["**/node_modules"] })
    .sort()
    .map((file) => ({ file, lines: countLines(readFileSync(join(root, file), "utf8")) }))
    .filter(({ lines }) => lines > MAX_FILE_LINES)
    .map(
      ({ file, lines }) =>
        `${file} has ${lines} lines, and ${MAX_FILE_LINES} are the limit: find its second idea`,
    );
}

function countLines(text: string): number {
  return text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}
