/** The lines of a run, and the median of a figure over its rounds. */
import { existsSync, readFileSync } from "node:fs";
import type { Figures } from "./modes.ts";
import { median } from "./readings.ts";

export type Line = Figures & { engine?: string; variant?: string; scenario?: string; mode?: string };

/** Which lines a figure is taken from. */
export interface Of {
  engine: string;
  variant?: string;
  scenario: string;
  [field: string]: unknown;
}

export class Results {
  readonly lines: Line[];

  constructor(lines: Line[]) {
    this.lines = lines;
  }

  static read(file: string): Results {
    const text = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
    return new Results(text === "" ? [] : text.split("\n").map((line) => JSON.parse(line) as Line));
  }

  where(of: Of): Line[] {
    return this.lines.filter((line) => Object.entries(of).every(([field, value]) => line[field] === value));
  }

  /** The median of `figure`, such as `perSecond` or `endToEndMs.p50`; undefined where nothing was measured. */
  median(of: Of, figure: string): number | undefined {
    return median(this.all(of, figure));
  }

  largest(of: Of, figure: string): number | undefined {
    const values = this.all(of, figure);
    return values.length === 0 ? undefined : Math.max(...values);
  }

  all(of: Of, figure: string): number[] {
    return this.where(of)
      .map((line) => figureOf(line, figure))
      .filter((value) => value !== undefined);
  }

  /** The variants of each engine, in the order in which they were measured. */
  engines(): { engine: string; variant: string }[] {
    const names = this.lines
      .filter(({ mode, missing }) => mode !== undefined && missing === undefined)
      .map(({ engine = "", variant = "" }) => `${engine} ${variant}`);
    return [...new Set(names)].map((name) => {
      const [engine = "", variant = ""] = name.split(" ");
      return { engine, variant };
    });
  }

  /** What could not be measured, and why; each once. */
  gaps(): string[] {
    const texts = this.lines.flatMap(({ engine, variant, scenario, missing, error }) => {
      const what = [engine, variant, scenario].filter((part) => part !== undefined).join(", ");
      if (missing !== undefined) return [`${what}: missing: ${missing}`];
      return error === undefined ? [] : [`${what}: failed: ${error}`];
    });
    return [...new Set(texts)];
  }
}

function figureOf(line: Line, path: string): number | undefined {
  let value: unknown = line;
  for (const part of path.split(".")) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return typeof value === "number" ? value : undefined;
}
