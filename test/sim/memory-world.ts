/** The store model as the world's database. All of it happens in the scheduler's turns, so that nothing is waited for. */
import { type Faults, MemoryDatabase } from "./memory-database.ts";
import { openMemoryStore } from "./memory-store.ts";
import type { Turns } from "./scheduler.ts";
import type { WorldDatabase } from "./world-database.ts";

export interface WorldOptions {
  turns: Turns;
  isShared: boolean;
  faults: Faults;
}

export function createMemoryWorld(options: WorldOptions): WorldDatabase {
  const db = new MemoryDatabase(options);
  return {
    look: (see) => void see(db),
    open: (host) => openMemoryStore(db, host),
    died: (host) => db.died(host),
    froze: () => undefined,
    thawed: () => undefined,
    loseLock(host) {
      if (db.owner?.host === host) db.owner.isLocked = false;
    },
    wasExpelled: (epoch) => db.expelled.has(epoch),
    settle: async () => undefined,
    close: async () => undefined,
  };
}
