/** What both databases say of their versions. */
import { RobsonError } from "../../core/errors.ts";
import { SCHEMA_VERSION } from "./index.ts";

/** The versions before and after; equal when there was nothing to do. */
export interface Migrated {
  from: number;
  to: number;
}

export function newerThanProgram({ location, version }: { location: string; version: number }): RobsonError {
  return new RobsonError(
    "STORE_NEWER",
    `Cannot use "${location}": it has version ${version}, and this program knows versions up to ${SCHEMA_VERSION}`,
    { hint: "Start the newer robson that made it, or restore a backup from before the upgrade" },
  );
}

/** For a database that was opened without migrating. */
export function needsMigration({ location, version }: { location: string; version: number }): RobsonError {
  return new RobsonError(
    "STORE_UNREADABLE",
    `Cannot use "${location}": it has version ${version}, and this program needs version ${SCHEMA_VERSION}`,
    { hint: "Run `robson migrate` first" },
  );
}
