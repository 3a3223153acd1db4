/**
 * What Robson keeps of a workspace, outside of all that its agent can write: whose it is, and where it started. It
 * appears by renaming, so that a crash leaves the former one or the new one.
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import * as z from "zod";
import type { WorkspacePlaces } from "./places.ts";

const recordSchema = z.object({
  key: z.string(),
  repoUrl: z.string(),
  /** The run that works there, or did last. */
  runId: z.string(),
  branch: z.string(),
  base: z.string(),
  baseSha: z.string(),
  createdAt: z.number(),
  usedAt: z.number(),
});

export type WorkspaceRecord = z.output<typeof recordSchema>;

/** Undefined where there is none. One that cannot be read counts as none: it is never written in place. */
export async function readRecord({
  record,
}: Pick<WorkspacePlaces, "record">): Promise<WorkspaceRecord | undefined> {
  let text: string;
  try {
    text = await readFile(record, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    // Not of this version, or damaged with its disk.
    return undefined;
  }
}

export async function writeRecord(
  places: Pick<WorkspacePlaces, "own" | "record">,
  record: WorkspaceRecord,
): Promise<void> {
  await mkdir(places.own, { recursive: true, mode: 0o700 });
  const fresh = `${places.record}.fresh`;
  await writeFile(fresh, `${JSON.stringify(record, null, 2)}\n`, { flush: true });
  await rename(fresh, places.record);
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
