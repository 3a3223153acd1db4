/** What goes wrong on the way to the database and back, as often as the scenario has it. */
import type { Faults } from "./memory-database.ts";
import { createRandom, type Random } from "./random.ts";
import type { Scenario } from "./scenario.ts";

const SHARED_FATES = ["lost", "lost though stored", "late"] as const;
const ALONE_FATES = ["busy", "busy", "lost", "lost though stored"] as const;

/** A server lets a statement take so long, whoever waits for it. */
const MAX_LATE_MS = 25_000;
/** What changes a run takes about as many statements. */
const MAX_ANSWERS = 8;
const CUTS = 0x510e_527f;
/** Of what changes a run. */
const LEAST_CUTS = 0.2;

export interface FaultOptions {
  random: Random;
  scenario: Scenario;
  isCalm(): boolean;
  /** A write has failed. */
  onTrouble(): void;
}

export function createFaults({ random, scenario, isCalm, onTrouble }: FaultOptions): Faults {
  const { storeTrouble, wakeLoss, isShared } = scenario;
  const cuts = createRandom(scenario.seed ^ CUTS);
  const isTrouble = () => !isCalm() && random.chance(storeTrouble);
  return {
    batchSize: (waiting) => random.between(1, waiting),
    commit() {
      if (!isTrouble()) return "stored";
      onTrouble();
      return random.pick<(typeof SHARED_FATES)[number] | (typeof ALONE_FATES)[number]>(
        isShared ? SHARED_FATES : ALONE_FATES,
      );
    },
    lateMs: () => random.pick([0, random.between(0, 200), random.between(0, MAX_LATE_MS)]),
    isReadLost: isTrouble,
    cutAtAnswer() {
      if (isCalm() || !cuts.chance(Math.max(storeTrouble, LEAST_CUTS))) return 0;
      onTrouble();
      return cuts.between(1, MAX_ANSWERS);
    },
    isWakeLost: () => !isCalm() && random.chance(wakeLoss),
  };
}
