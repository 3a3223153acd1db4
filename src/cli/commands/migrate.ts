/** `robson migrate`: the tables of the database, created or brought up to date. */
import type { CommandContext } from "../program.ts";
import { withStore } from "../with-store.ts";

export async function migrate({ io, config, isJson }: CommandContext): Promise<undefined> {
  await withStore(config, async ({ location, migrated: { from, to } }) => {
    if (isJson) io.out(JSON.stringify({ location, from, to }));
    else if (from === to) io.err(`${location} is up to date (version ${to})`);
    else io.err(`${location}: migrated from version ${from} to ${to}`);
  });
}
