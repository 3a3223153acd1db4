/** What goes wrong on the way to the database and back, as often as the scenario has it. */
import type { Faults } from "./memory-database.ts";
import type { Random } from "./random.ts";
import type { Scenario } from "./scenario.ts";

const SHARED_FATES = ["lost", "lost though stored", "late"] as const;
const ALONE_FATES = ["busy", "busy", "lost", "lost though stored"] as const;

/** A server lets a statement take so long, whoever waits for it. */
const MAX_LATE_MS = 25_000;

export interface FaultOptions {
  random: Random;
  scenario: Scenario;
  isCalm(): boolean;
  /** A write has failed. */
  onTrouble(): void;
}

export function createFaults({ random, scenario, isCalm, onTrouble }: FaultOptions): Faults {
  const { storeTrouble, wakeLoss, isShared } = scenario;
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
    isWakeLost: () => !isCalm() && random.chance(wakeLoss),
  };
}
