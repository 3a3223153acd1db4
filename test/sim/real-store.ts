/**
 * One process's view of a real database: the store that the product uses, with the scheduler's turns and the faults
 * of the world around each call. Writes keep the order of their connection, as in the product; what waits at the same
 * moment is handed over together. An answer comes in a turn of its own, late, or not at all.
 */
import type { Ownership, Store } from "../../src/core/store.ts";
import { labelOf, rowsOf } from "./memory-store.ts";
import { answered, readThrough, Wire, type WireOptions } from "./real-wire.ts";

export interface RealStoreOptions extends WireOptions {
  location: string;
  /** Opens it when it is first needed. */
  open(): Promise<Store>;
  /** It has become an owner. */
  owned(ownership: Ownership): void;
  /** Whether it is certain that this epoch may not write any more. */
  isStale(epoch: number): boolean;
  /** A write of that epoch was stored, although it was stale before it was handed over. */
  wroteStale(epoch: number, label: string): void;
  /** This process has written these messages and deliveries; late: after others perhaps. */
  wrote(rows: (number | string)[], isLate: boolean): void;
  /** Before it leaves: whether it still may. */
  releases(epoch: number): Promise<void>;
  /** Where wake-ups are the world's own: it is told of each. */
  onWake?(callback: () => void): void;
  /** Something was stored for an owner by one who is none. */
  wakes(): void;
}

export function openRealStore(options: RealStoreOptions): Store {
  const { host, turns, location } = options;
  const wire = new Wire(options);
  let opening: Promise<Store> | undefined;
  let owning: Promise<unknown> | undefined;
  const opened = () => {
    if (opening) return opening;
    const opens = options.open();
    opening = opens;
    // Cut off while it is opened, it is opened anew.
    opens.catch(() => {
      opening = undefined;
    });
    return opens;
  };
  const read = <T>(label: string, look: (store: Store) => Promise<T>) =>
    readThrough(options, { label, look: async () => look(await opened()) });
  const write = <T>(label: string, run: (store: Store) => Promise<T>, how?: { isLong: boolean }) =>
    wire.submit(label, async () => run(await opened()), how);
  return {
    location,
    runs: createRunRecords({ read, write, wakes: options.wakes }),
    admission: {
      countOpen: (atMost) => read("count open", (store) => store.admission.countOpen(atMost)),
      isAllowed: async () => true,
      countRequest: async () => [],
    },
    async own(more) {
      await turns.turn(host, "own");
      const act = async () => (await opened()).own(more);
      const ownership = await answered(options, {
        label: "own",
        act() {
          const owned = act();
          owning = owned.catch(() => undefined);
          return owned;
        },
      });
      options.owned(ownership);
      return createOwnership(ownership, options);
    },
    async insertUnowned(message) {
      const accepted = await write(`insert ${message.content}`, (store) => store.insertUnowned(message));
      options.wakes();
      return accepted;
    },
    async requestStop(conversationId, by) {
      const isOpen = await write(`stop ${conversationId}`, (store) => store.requestStop(conversationId, by));
      options.wakes();
      return isOpen;
    },
    currentOwners: () => read("owners", (store) => store.currentOwners()),
    conversation: (id) => read("conversation", (store) => store.conversation(id)),
    events: (id) => read("events", (store) => store.events(id)),
    deadLetters: (page) => read("dead letters", (store) => store.deadLetters(page)),
    async retryDeadLetter(letter) {
      const isRetried = await write("retry", (store) => store.retryDeadLetter(letter));
      options.wakes();
      return isRetried;
    },
    discardDeadLetter: (letter) => write("discard", (store) => store.discardDeadLetter(letter)),
    async close() {
      await owning;
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}

interface RunsOptions {
  read<T>(label: string, look: (store: Store) => Promise<T>): Promise<T>;
  write<T>(label: string, run: (store: Store) => Promise<T>, how?: { isLong: boolean }): Promise<T>;
  wakes(): void;
}

function createRunRecords({ read, write, wakes }: RunsOptions): Store["runs"] {
  const told = async <T>(label: string, run: (store: Store) => Promise<T>) => {
    const written = await write(label, run, { isLong: true });
    wakes();
    return written;
  };
  return {
    run: (id) => read(`run ${id}`, ({ runs }) => runs.run(id)),
    runs: (filter) => read("runs", ({ runs }) => runs.runs(filter)),
    openThreads: (page) => read("threads of runs", ({ runs }) => runs.openThreads(page)),
    answer: (id, answer) => told(`answer ${id}`, ({ runs }) => runs.answer(id, answer)),
    signal: (key, event) => told(`signal ${key}`, ({ runs }) => runs.signal(key, event)),
    reopen: (id) => told(`reopen ${id}`, ({ runs }) => runs.reopen(id)),
  };
}

function createOwnership(real: Ownership, options: RealStoreOptions): Ownership {
  const { host, turns } = options;
  const { epoch } = real;
  const wires = [new Wire(options), new Wire(options)];
  const write = async <T>(
    label: string,
    {
      shard = 0,
      isLong = false,
      run,
    }: { shard?: number; isLong?: boolean; run: (isLate: boolean) => Promise<T> },
  ) => {
    let wasStale = false;
    const runs = (isLate: boolean) => {
      wasStale = options.isStale(epoch);
      return run(isLate);
    };
    const made = await (wires[shard % wires.length] as Wire).submit(label, runs, { isLong });
    if (wasStale) options.wroteStale(epoch, label);
    return made;
  };
  const read = <T>(label: string, look: () => Promise<T>) => readThrough(options, { label, look });
  const inTurn = async <T>(label: string, act: () => Promise<T>) => {
    await turns.turn(host, label);
    return answered(options, { label, act });
  };
  return {
    epoch,
    accept: (message, at) =>
      write(`accept ${message.content} ${at.status}`, {
        shard: at.shard,
        run: () => real.accept(message, at),
      }),
    record: (change) =>
      write(labelOf(change), {
        ...{ shard: change.shard, isLong: change.run !== undefined },
        async run(isLate) {
          const events = await real.record(change);
          options.wrote(rowsOf(change), isLate);
          return events;
        },
      }),
    openMessages: (page) => read("open messages", () => real.openMessages(page)),
    // Late, on PostgreSQL, is what nobody hears: a reading, behind which nothing is hidden.
    takeUnowned: (limit) =>
      write("take unowned", { run: async (isLate) => (isLate ? [] : real.takeUnowned(limit)) }),
    stopRequests: (limit) => read("stop requests", () => real.stopRequests(limit)),
    openDeliveries: (page) => read("open deliveries", () => real.openDeliveries(page)),
    // It may find nothing, and then does not say that its right to write is gone.
    wakeDue: (now) => inTurn("wake due", () => real.wakeDue(now)),
    expireUnregistered: (before) => write("expire", { run: () => real.expireUnregistered(before) }),
    wasHinted: (thread) => read("hint", () => real.wasHinted(thread)),
    onWake: (callback) => {
      const wake = () => {
        if (!options.faults.isWakeLost()) turns.later(host, "wake", () => callback("all"));
      };
      if (options.onWake) options.onWake(wake);
      else real.onWake(wake);
    },
    onLost: (callback) => real.onLost((error) => turns.later(host, "lost", () => callback(error))),
    onReach: (callback) => real.onReach((error) => turns.later(host, "reach", () => callback(error))),
    holds: (gateway, shard) => real.holds(gateway, shard),
    shards: () => real.shards(),
    // Together with what `holds` says.
    onShards: (callback) => real.onShards((change) => turns.at(host, () => callback(change))),
    // From its call on, `holds` is false for them: so there is no turn before.
    letGo: (keys) => answered(options, { label: "let go", act: () => real.letGo(keys) }),
    retire: () => inTurn("retire", () => real.retire()),
    async release() {
      await Promise.all(wires.map((wire) => wire.idle()));
      await inTurn("release", async () => {
        await options.releases(epoch);
        await real.release();
      });
    },
  };
}
