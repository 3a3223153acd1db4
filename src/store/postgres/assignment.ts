/**
 * Who of several processes should hold which shard: a pure function of who is there, so that all of them come to
 * the same answer. Rendezvous hashing with equal shares: when a process comes or goes, few shards move that need
 * not.
 */

/** The process for each shard, by the shard's number; empty for no processes. */
export function assignShards(processIds: number[], shardCount: number): number[] {
  if (processIds.length === 0) return [];
  const share = Math.ceil(shardCount / processIds.length);
  const taken = new Map(processIds.map((id) => [id, 0]));
  return Array.from({ length: shardCount }, (_, shard) => {
    const [chosen = 0] = processIds
      .filter((id) => (taken.get(id) ?? 0) < share)
      .sort((a, b) => rank(b, shard) - rank(a, shard) || a - b);
    taken.set(chosen, (taken.get(chosen) ?? 0) + 1);
    return chosen;
  });
}

/** How much a process and a shard belong together. */
function rank(processId: number, shard: number): number {
  let hash = Math.imul(processId, 0x9e37_79b1) ^ Math.imul(shard + 1, 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb_352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846c_a68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}
