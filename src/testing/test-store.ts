/**
 * The suite that every implementation of core's `Store` and `Ownership` must pass. Call it in a test file; each
 * promise of the contract is a test of its own, over an empty database of its own.
 */
import { describe } from "vitest";
import { testConcurrency, testRefusedRows } from "./store-suite/batches.ts";
import { testDeadLetterEnds, testDeadLetters } from "./store-suite/dead-letters.ts";
import {
  testDeliveries,
  testDeliveryEnds,
  testEventCopies,
  testEvents,
  testOpenDeliveries,
  testUnregistered,
} from "./store-suite/events.ts";
import { testAccepting, testChanging, testDuplicates, testOpenMessages } from "./store-suite/messages.ts";
import {
  testCopies,
  testFencing,
  testOwning,
  testOwningAlone,
  testUnowned,
} from "./store-suite/ownership.ts";
import { testRounds } from "./store-suite/rounds.ts";
import { testLateWords } from "./store-suite/run-late-words.ts";
import { testRunRaces } from "./store-suite/run-races.ts";
import { testRuns } from "./store-suite/runs.ts";
import { type StoreKind, setUpWith } from "./store-suite/set-up.ts";
import { testStops } from "./store-suite/stops.ts";
import { testText } from "./store-suite/text.ts";

export type { StoreKind } from "./store-suite/set-up.ts";

/** Tests the store that `kind` opens. */
export function testStore(name: string, kind: StoreKind): void {
  const setUp = setUpWith(kind);
  describe(`the store on ${name}`, () => {
    testAccepting(setUp);
    testDuplicates(setUp);
    testChanging(setUp);
    testOpenMessages(setUp);
    testEvents(setUp);
    testEventCopies(setUp);
    testDeliveries(setUp);
    testDeliveryEnds(setUp);
    testOpenDeliveries(setUp);
    testUnregistered(setUp);
    if (!kind.isShared) testOwningAlone(setUp);
    testOwning(setUp);
    testFencing(setUp, kind);
    testUnowned(setUp);
    testCopies(setUp);
    testStops(setUp);
    testDeadLetters(setUp);
    testDeadLetterEnds(setUp);
    testRounds(setUp);
    testRuns(setUp, kind);
    testRunRaces(setUp);
    testLateWords(setUp);
    testConcurrency(setUp);
    testRefusedRows(setUp);
    testText(setUp);
  });
}
