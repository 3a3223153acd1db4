/**
 * Loaded before the simulation (`node --import`): breaks one line of the source as it is read, as the environment
 * variable ROBSON_MUTANT names it. Nothing on disk changes.
 */
import { registerHooks } from "node:module";
import { MUTANTS } from "./mutants.ts";

const name = process.env.ROBSON_MUTANT;
const mutant = MUTANTS.find((known) => known.name === name);
if (!mutant) throw new Error(`There is no mutant "${name}"`);
const { href } = new URL(`../../src/${mutant.file}`, import.meta.url);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (url !== href) return loaded;
    const source = Buffer.from(loaded.source as Uint8Array).toString();
    if (source.split(mutant.from).length !== 2)
      throw new Error(`"${mutant.from}" is not in src/${mutant.file} once: write the mutant anew`);
    return { ...loaded, source: source.replace(mutant.from, () => mutant.to) };
  },
});
