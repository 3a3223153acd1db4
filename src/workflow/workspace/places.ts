/**
 * Where things lie below the work directory. What the agent may touch and what Robson's git reads never share a folder:
 *
 *     KEY/<repository>/            the run's: checkout, home
 *     repositories/<repository>/   Robson's
 *       mirror.git                 what the server has; agents borrow its objects, read-only
 *       runs.git                   what runs made: branches, refs/robson/…; borrows from the mirror, nobody from it
 *       workspaces/KEY/            one workspace's record, index and lock
 *       trash-…/                   on its way out: put here by renaming, so that nothing half removed is ever met
 *     repositories/<repository>.lock
 */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";

/** What belongs to one repository. */
export interface RepositoryPlaces {
  repoUrl: string;
  folder: string;
  mirror: string;
  runs: string;
  workspaces: string;
  /** Beside the folder, and never removed: a lock on a file that is gone holds nobody off. */
  lock: string;
}

/** What belongs to one task's work in one repository. */
export interface WorkspacePlaces {
  /** The run's folder: what the agent and the checks reach. */
  root: string;
  checkout: string;
  home: string;
  /** Robson's folder for it. */
  own: string;
  record: string;
  /** Locked while a process works there. */
  live: string;
}

export function repositoryPlaces(workDirectory: string, repoUrl: string): RepositoryPlaces {
  const folder = resolve(workDirectory, "repositories", folderName(repoUrl));
  return {
    repoUrl,
    folder,
    mirror: join(folder, "mirror.git"),
    runs: join(folder, "runs.git"),
    workspaces: join(folder, "workspaces"),
    lock: `${folder}.lock`,
  };
}

export function workspacePlaces(
  workDirectory: string,
  { key, repoUrl }: { key: string; repoUrl: string },
): WorkspacePlaces {
  const root = resolve(workDirectory, key, folderName(repoUrl));
  const own = join(repositoryPlaces(workDirectory, repoUrl).workspaces, key);
  return {
    root,
    checkout: join(root, "checkout"),
    home: join(root, "home"),
    own,
    record: join(own, "record.json"),
    live: join(own, "live"),
  };
}

/** Readable, and one name for one address alone. */
function folderName(repoUrl: string): string {
  const name = /([\w.-]+?)(\.git)?\/?$/.exec(repoUrl)?.[1]?.replace(/^[.-]+/, "") || "repository";
  const digest = createHash("sha256").update(repoUrl).digest("hex").slice(0, 16);
  return `${name.slice(0, 60)}-${digest}`;
}
