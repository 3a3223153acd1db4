/**
 * Which programs can work on which databases. A program is what its migrations make of a database, and its version is
 * their number. The database remembers its own version and that of the oldest program that can work on it, so that
 * an older program knows whether it may, although it does not know the migrations that came after it.
 */

import { type Migration, migrations } from "./index.ts";
import { newerThanProgram } from "./outcome.ts";

/** What a database says of itself. */
export interface DatabaseVersion {
  version: number;
  oldestProgram: number;
}

/** A list of migrations, the whole of them; tests bring those of other releases. */
export type Program = readonly Migration[];

export const thisProgram: Program = migrations;

/** The version of the oldest program that can work on a database with all these migrations. */
export function oldestProgram(program: Program): number {
  return Math.max(0, ...program.map(oldestBeside));
}

/** The migrations that a database of this version lacks, and whether programs of it may work on meanwhile. */
export function pending(program: Program, version: number): { steps: Migration[]; isBesideOthers: boolean } {
  const steps = program.filter((migration) => migration.version > version);
  return { steps, isBesideOthers: version === 0 || steps.every((step) => oldestBeside(step) <= version) };
}

/** Throws `STORE_NEWER` for a database that this program cannot work on. */
export function checkUsable(found: DatabaseVersion, of: { location: string; program: Program }): void {
  const known = of.program.length;
  if (found.version > known && found.oldestProgram > known) {
    throw newerThanProgram({ location: of.location, known, ...found });
  }
}

function oldestBeside({ worksWith, version }: Migration): number {
  return worksWith ?? version;
}
