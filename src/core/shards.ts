/** A thread's key, and the shard that it hashes to. Ownership is by shard, order by thread. */

const SHARD_COUNT = 64;

/** Names one thread: gateway, channel and thread id. NUL cannot occur within the parts. */
export function threadKey(thread: { gateway: string | null; channelId: string; threadTs: string }): string {
  return `${thread.gateway ?? ""}\0${thread.channelId}\0${thread.threadTs}`;
}

/** The thread as a text that a database takes. */
export function storableThreadKey(thread: Parameters<typeof threadKey>[0]): string {
  return JSON.stringify([thread.gateway, thread.channelId, thread.threadTs]);
}

/** FNV-1a over the UTF-16 units; stored nowhere, so that it may change with a release. */
export function shardOf(key: string): number {
  let hash = 2_166_136_261;
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 16_777_619);
  }
  return (hash >>> 0) % SHARD_COUNT;
}
