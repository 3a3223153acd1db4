/** What both databases say of their versions. */
import { RobsonError } from "../../core/errors.ts";

/** The versions before and after; equal when there was nothing to do. */
export interface Migrated {
  from: number;
  to: number;
}

interface Refused {
  location: string;
  version: number;
  /** The version that this program makes. */
  known: number;
}

export function newerThanProgram(refused: Refused & { oldestProgram: number }): RobsonError {
  const { location, version, known, oldestProgram } = refused;
  return new RobsonError(
    "STORE_NEWER",
    `Cannot use "${location}": it has version ${version}, and this program knows versions up to ${known}; it would have to know version ${oldestProgram}`,
    { hint: "Start the newer robson that made it, or restore a backup from before the upgrade" },
  );
}

/** For a database that was opened without migrating. */
export function needsMigration({ location, version, known }: Refused): RobsonError {
  return new RobsonError(
    "STORE_UNREADABLE",
    `Cannot use "${location}": it has version ${version}, and this program needs version ${known}`,
    { hint: "Run `robson migrate` first" },
  );
}

/** For a migration that those who work on the database would not survive. */
export function stopOthersFirst({
  location,
  version,
  known,
  owner,
}: Refused & { owner: string }): RobsonError {
  return new RobsonError(
    "ALREADY_RUNNING",
    `Cannot bring "${location}" from version ${version} to ${known} while ${owner} works on it`,
    {
      hint: "Stop all older processes first; this upgrade cannot be done beside them. One that was killed counts for as long as its lease",
    },
  );
}
