/** The store model keeps the contract that it stands for: the same suite as SQLite and PostgreSQL pass. */
import { randomUUID } from "node:crypto";
import { testStore } from "../../src/testing/test-store.ts";
import { MEMORY_LOCATION, MemoryDatabase } from "./memory-database.ts";
import { openMemoryStore } from "./memory-store.ts";
import type { Host, Turns } from "./scheduler.ts";

/** The machine's own turns: what happens next is what was asked for first. */
const turns: Turns = {
  later: (_host, _label, happens) => void setImmediate(happens),
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  after(_host, waitMs, happens) {
    const timer = setTimeout(happens, waitMs).unref();
    return () => clearTimeout(timer);
  },
  now: () => Date.now(),
};

for (const isShared of [false, true]) {
  const databases = new Map<string, MemoryDatabase>();
  const at = (location: string) => databases.get(location) as MemoryDatabase;
  testStore(isShared ? "the shared model" : "the model of one owner", {
    isShared,
    async create() {
      const location = `${randomUUID()}/${MEMORY_LOCATION}`;
      databases.set(location, new MemoryDatabase({ turns, isShared }));
      return location;
    },
    async open(location) {
      const host: Host = { name: "a process", state: "alive", parked: [] };
      return openMemoryStore(at(location), host);
    },
    async takeOver(location) {
      const { processes, owner } = at(location);
      processes.clear();
      if (owner) owner.epoch += 1;
    },
  });
}
