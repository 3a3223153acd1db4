/** `robson db move`: all that a database holds, to one of the other kind. */
import { systemClock } from "../../core/clock.ts";
import { parseLocation } from "../../store/location.ts";
import { moveDatabase } from "../../store/move.ts";
import type { CommandContext } from "../program.ts";

export async function dbMove({ io, isJson }: CommandContext, from: string, to: string): Promise<undefined> {
  const startedAt = systemClock.now();
  const moved = await moveDatabase({ from: parseLocation(from, io.cwd), to: parseLocation(to, io.cwd) });
  if (isJson) return io.out(JSON.stringify(moved)) as undefined;
  const width = Math.max(...moved.tables.map(({ table }) => table.length));
  for (const { table, rows } of moved.tables) io.out(`${table.padEnd(width)}  ${rows}`);
  const seconds = ((systemClock.now() - startedAt) / 1000).toFixed(1);
  io.err(`Moved ${moved.from} to ${moved.to} in ${seconds} s, the same number of rows in every table`);
  io.err(
    "Set database.url to the new one before you start an agent: the old one is as it was, and would answer",
  );
}
