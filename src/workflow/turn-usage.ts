/**
 * What the attempts at one turn of an agent have used, as far as they told it: kept in Robson's own folder from the moment
 * that it is told, so that the cost of a turn that a person stopped, or a crash cut off, is in the run's sum.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { usageSchema } from "./agent-session.ts";
import type { AgentUsage } from "./coding-agent.ts";
import type { PreparedWorkspace } from "./workspace.ts";

const attemptsSchema = z.array(
  z.object({
    /** The name of the turn's step. */
    turn: z.string(),
    attempt: z.number(),
    /** The agent's session, as long as what it used there is not counted with it (`AgentSession.usage`). */
    session: z.exactOptional(z.string()),
    usage: usageSchema,
  }),
);

type Attempt = z.output<typeof attemptsSchema>[number];

export interface TurnUsage {
  /** Of the attempts at this turn before this one; nothing is known of one that told nothing. */
  before: AgentUsage[];
  /** What was told in this session of the agent by turns that were cut off, or failed. */
  inSession(session: string): AgentUsage[];
  /** This attempt has used so much until now. Never throws: without the file it is unknown later. */
  tell(told: { session: string | undefined; usage: AgentUsage }): void;
  /** What this attempt has told last. */
  told(): AgentUsage;
  /** The session counts all of it from now on. */
  settle(): void;
}

export function openTurnUsage(
  { places }: Pick<PreparedWorkspace, "places">,
  { turn, attempt }: { turn: string; attempt: number },
): TurnUsage {
  const file = join(places.own, "turn-usage.json");
  const isOfTurn = (each: Attempt) => each.turn === turn && each.attempt < attempt;
  let attempts = read(file).filter((each) => isOfTurn(each) || each.session !== undefined);
  const before = Array.from(
    { length: attempt - 1 },
    (_, index) => attempts.find((each) => isOfTurn(each) && each.attempt === index + 1)?.usage ?? {},
  );
  const former = attempts;
  let told: AgentUsage = {};
  return {
    before,
    inSession: (session) => former.flatMap((each) => (each.session === session ? [each.usage] : [])),
    told: () => told,
    tell({ session, usage }) {
      told = usage;
      attempts = [...former, { turn, attempt, usage, ...(session === undefined ? {} : { session }) }];
      write(file, attempts);
    },
    settle() {
      attempts = attempts.filter((each) => each.turn === turn).map(({ session: _, ...each }) => each);
      write(file, attempts);
    },
  };
}

function read(file: string): Attempt[] {
  try {
    return attemptsSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    // None was told of, or the file is a half one: then it is not known.
    return [];
  }
}

/** At once: a process that is killed right after it was told knows it at its next start. */
function write(file: string, attempts: Attempt[]): void {
  try {
    writeFileSync(`${file}.fresh`, JSON.stringify(attempts));
    renameSync(`${file}.fresh`, file);
  } catch {
    // The folder is gone, or its disk is full.
  }
}
