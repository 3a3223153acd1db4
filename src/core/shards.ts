/** A thread's key, and the shard that it hashes to. Ownership is by gateway and shard, order by thread. */

/** How many shards the threads of each gateway hash to. Stored with each message: it never changes. */
export const SHARD_COUNT = 64;
/** Where a gateway may be listened to by one process alone: held like a shard, and no thread hashes to it. */
export const LISTENER_SHARD = -1;

/** What is owned: the threads of one gateway (null: of none) that hash to one number. */
export interface ShardKey {
  gateway: string | null;
  shard: number;
}

/** A set of shards that is quick to ask. */
export class ShardSet {
  readonly #ofGateway = new Map<string | null, Set<number>>();

  has(gateway: string | null, shard: number): boolean {
    return this.#ofGateway.get(gateway)?.has(shard) ?? false;
  }

  add({ gateway, shard }: ShardKey): void {
    const shards = this.#ofGateway.get(gateway) ?? new Set();
    this.#ofGateway.set(gateway, shards.add(shard));
  }

  delete({ gateway, shard }: ShardKey): void {
    const shards = this.#ofGateway.get(gateway);
    shards?.delete(shard);
    if (shards?.size === 0) this.#ofGateway.delete(gateway);
  }

  get isEmpty(): boolean {
    return this.#ofGateway.size === 0;
  }

  keys(): ShardKey[] {
    return [...this.#ofGateway].flatMap(([gateway, shards]) =>
      [...shards].map((shard) => ({ gateway, shard })),
    );
  }
}

/** Names one thread: gateway, channel and thread id. NUL cannot occur within the parts. */
export function threadKey(thread: { gateway: string | null; channelId: string; threadTs: string }): string {
  return `${thread.gateway ?? ""}\0${thread.channelId}\0${thread.threadTs}`;
}

/** The thread as a text that a database takes. */
export function storableThreadKey(thread: Parameters<typeof threadKey>[0]): string {
  return JSON.stringify([thread.gateway, thread.channelId, thread.threadTs]);
}

/** FNV-1a over the UTF-16 units. The databases keep what it said: it never changes. */
export function shardOf(key: string): number {
  let hash = 2_166_136_261;
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 16_777_619);
  }
  return (hash >>> 0) % SHARD_COUNT;
}
