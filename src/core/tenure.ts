/**
 * Which shards this process works on, when several share a database. A shard that another process should have is
 * left first: nothing of it is begun any more, what waits in memory is forgotten (the database has it), and once
 * nothing of it is under way it is let go. What takes too long keeps the shard here, until the next try.
 */
import type { Clock } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Logger } from "./logger.ts";
import { type ShardKey, ShardSet } from "./shards.ts";
import type { Ownership, ShardChange } from "./store.ts";

/** A part of the loop that has entries of shards in memory. */
export interface Holder {
  /** Forgets what is not under way. */
  forget(isLeft: (key: ShardKey) => boolean): void;
  /** The shards of what is under way, or about to be. */
  busy(): Iterable<ShardKey>;
  /** Reads the open work again: shards have come. */
  reread(): void;
}

export interface TenureOptions {
  ownership: Ownership;
  clock: Clock;
  limits: Limits;
  log: Logger;
  holders(): Holder[];
}

/** After how long a shard that could not be left is tried again. */
const TRY_AGAIN_MS = 30_000;

export class Tenure {
  readonly #options: TenureOptions;
  readonly #leaving = new ShardSet();
  #isForGood = false;
  #isCheckDue = false;
  #cancelStay: (() => void) | undefined;
  /** What could not be left, and until when that is not tried again. */
  #kept: ShardKey[] = [];
  #keptUntil = 0;

  constructor(options: TenureOptions) {
    this.#options = options;
  }

  /** Whether work of that shard may begin here. */
  holds(gateway: string | null, shard: number): boolean {
    return this.#options.ownership.holds(gateway, shard) && !this.#leaving.has(gateway, shard);
  }

  /** Shards have come, or should go. */
  onChange({ gained, wanted }: ShardChange): void {
    if (this.#isForGood) return;
    if (gained.length > 0) for (const holder of this.#options.holders()) holder.reread();
    const kept = new ShardSet();
    if (this.#options.clock.now() < this.#keptUntil) for (const key of this.#kept) kept.add(key);
    const leavable = wanted.filter(({ gateway, shard }) => !kept.has(gateway, shard));
    if (leavable.length > 0) this.#leave(leavable);
  }

  /** Lets every shard go once nothing of it is under way, whoever wants it: the process stops. */
  leaveAll(): void {
    this.#isForGood = true;
    this.#options.ownership.retire().catch((error) => this.#tell(error));
    this.ended();
  }

  /** Something under way has ended. Cheap while nothing is being left. */
  ended(): void {
    if (this.#isCheckDue || (this.#leaving.isEmpty && !this.#isForGood)) return;
    this.#isCheckDue = true;
    setImmediate(() => {
      this.#isCheckDue = false;
      void this.#letGoIdle();
    });
  }

  stop(): void {
    this.#isForGood = true;
    this.#cancelStay?.();
  }

  #leave(keys: ShardKey[]): void {
    const { clock, limits } = this.#options;
    if (this.#isForGood) return;
    this.#forget(keys);
    this.ended();
    if (this.#cancelStay) return;
    this.#cancelStay = clock.schedule(clock.now() + limits.handOverMs, () => this.#stay());
  }

  #forget(keys: ShardKey[]): void {
    for (const key of keys) this.#leaving.add(key);
    const isLeft = ({ gateway, shard }: ShardKey) => this.#leaving.has(gateway, shard);
    for (const holder of this.#options.holders()) holder.forget(isLeft);
  }

  /** What is still under way takes long: work goes on here meanwhile. */
  #stay(): void {
    const { clock, holders } = this.#options;
    this.#cancelStay = undefined;
    const kept = this.#leaving.keys();
    if (this.#isForGood || kept.length === 0) return;
    for (const key of kept) this.#leaving.delete(key);
    for (const holder of holders()) holder.reread();
    this.#kept = kept;
    this.#keptUntil = clock.now() + TRY_AGAIN_MS;
  }

  #tell(error: unknown): void {
    this.#options.log.warn(
      { error: messageOf(error) },
      "cannot hand shards over now; they are offered again, and free when this process has ended",
    );
  }

  async #letGoIdle(): Promise<void> {
    const { ownership, holders, log } = this.#options;
    const busy = new ShardSet();
    for (const holder of holders()) for (const key of holder.busy()) busy.add(key);
    const candidates = this.#isForGood ? ownership.shards() : this.#leaving.keys();
    const idle = candidates.filter(({ gateway, shard }) => !busy.has(gateway, shard));
    if (idle.length === 0) return;
    if (this.#isForGood) this.#forget(idle);
    // From its call on, they are not held any more; and may come back before it resolves.
    const letGo = ownership.letGo(idle);
    for (const key of idle) this.#leaving.delete(key);
    try {
      await letGo;
      log.debug({ shards: idle.length }, "shards handed over");
    } catch (error) {
      this.#tell(error);
      for (const holder of holders()) holder.reread();
    }
  }
}
