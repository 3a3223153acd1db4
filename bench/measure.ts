/**
 * One measurement in a process of its own: `node measure.ts '{"engine":…}'`. Prints one line of JSON: the figures,
 * what is missing here, or the error.
 */
import { mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Missing, type Surroundings } from "./engine.ts";
import { ENGINES, type EngineName } from "./engines/index.ts";
import { startForeignWriter } from "./foreign-writer.ts";
import { type Figures, type Mode, type ModeOptions, runMode } from "./modes.ts";
import { sleep } from "./readings.ts";
import { watchStorage } from "./storage-blocks.ts";

export interface Measurement extends Omit<Surroundings, "folder"> {
  engine: EngineName;
  mode: Mode;
  /** What it stands under in the results; the mode, where it is no more than that. */
  scenario: string;
  options: ModeOptions;
  /** Whether another program writes to the SQLite file meanwhile. */
  hasForeignWriter: boolean;
  /** Whether the time that SQLite blocks the event loop is measured. */
  watchesStorage: boolean;
}

const STOP_MS = 5000;

const measurement = JSON.parse(process.argv[2] ?? "{}") as Measurement;
const { scenario, mode } = measurement;
const folder = join(process.env.BENCH_FOLDER ?? tmpdir(), `robson-bench-${process.pid}`);
mkdirSync(folder, { recursive: true });
const line = await measured().catch((error: unknown) => ({
  engine: measurement.engine,
  variant: measurement.variant,
  [error instanceof Missing ? "missing" : "error"]: error instanceof Error ? error.message : String(error),
}));
process.stdout.write(
  `${JSON.stringify({ scenario, mode, ...line, node: process.version, at: new Date().toISOString() })}\n`,
);
rmSync(folder, { recursive: true, force: true });
// Engines that hang at their stop must not hold up the rest.
process.exit(0);

async function measured(): Promise<Figures> {
  const { engine: engineName, hasForeignWriter, watchesStorage, options } = measurement;
  const blocks = watchesStorage ? watchStorage() : undefined;
  const engine = await ENGINES[engineName]({ ...measurement, folder });
  await engine.init();
  blocks?.reset();
  const { name, variant, durability, file } = engine;
  const foreign = hasForeignWriter && file !== undefined ? await startForeignWriter(file) : undefined;
  try {
    const figures = await runMode(mode, engine, options);
    const stored = await engine.stored?.();
    return {
      ...{ engine: name, variant, durability },
      ...figures,
      ...blocks?.figures(),
      ...(foreign ? { foreignWriter: await foreign.stop() } : {}),
      ...(stored ? { stored } : {}),
    };
  } finally {
    await Promise.race([engine.stop(), sleep(STOP_MS)]).catch(() => undefined);
  }
}
