/**
 * Which session of the agent belongs to a workspace: written as soon as the agent names it, so that a turn that a crash
 * interrupts can be taken up. It lies in Robson's own folder, and goes with the workspace.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { PreparedWorkspace } from "./workspace.ts";

export const usageSchema = z.object({
  model: z.exactOptional(z.string()),
  inputTokens: z.exactOptional(z.number()),
  outputTokens: z.exactOptional(z.number()),
  costUsd: z.exactOptional(z.number()),
  turns: z.exactOptional(z.number()),
});

const sessionSchema = z.object({
  agent: z.string(),
  sessionId: z.string(),
  /** How often a turn in it has ended because a person was asked. */
  asked: z.exactOptional(z.number()),
  /** Of the turns in it that have ended; absent while none has. */
  usage: z.exactOptional(usageSchema),
});

export type AgentSession = z.output<typeof sessionSchema>;

/** Undefined where there is none of this agent, or none that can be read. */
export async function readSession(
  workspace: PreparedWorkspace,
  agent: string,
): Promise<AgentSession | undefined> {
  try {
    const session = sessionSchema.parse(JSON.parse(await readFile(fileOf(workspace), "utf8")));
    return session.agent === agent ? session : undefined;
  } catch {
    // It only spares work: without it the turn begins afresh.
    return undefined;
  }
}

/** Never rejects: without it the turn begins afresh. */
export async function writeSession(workspace: PreparedWorkspace, session: AgentSession): Promise<void> {
  const file = fileOf(workspace);
  try {
    await writeFile(`${file}.fresh`, JSON.stringify(session), { flush: true });
    await rename(`${file}.fresh`, file);
  } catch {
    // The folder is gone, or its disk is full.
  }
}

function fileOf({ places }: PreparedWorkspace): string {
  return join(places.own, "session.json");
}
