import fc from "fast-check";
import { expect, test } from "vitest";
import { assignShards } from "./assignment.ts";

const SHARDS = 64;
const processes = fc.uniqueArray(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 12 });

test("every shard has one process, and none has more than its share, in whatever order they are named", () => {
  fc.assert(
    fc.property(processes, (ids) => {
      const assigned = assignShards(ids, SHARDS);
      expect(assigned).toHaveLength(SHARDS);
      for (const id of assigned) expect(ids).toContain(id);
      const share = Math.ceil(SHARDS / ids.length);
      for (const id of ids) expect(assigned.filter((each) => each === id).length).toBeLessThanOrEqual(share);
      expect(assignShards([...ids].reverse(), SHARDS)).toEqual(assigned);
    }),
  );
});

test("most shards that need not move stay when a process comes", () => {
  for (let count = 1; count <= 8; count += 1) {
    const ids = Array.from({ length: count }, (_, index) => 10 + index * 7);
    const before = assignShards(ids, SHARDS);
    const after = assignShards([...ids, 999], SHARDS);
    const moved = before.filter((id, shard) => after[shard] !== id && after[shard] !== 999);
    expect(moved.length).toBeLessThan(SHARDS / 3);
  }
});

test("of no processes none is chosen", () => {
  expect(assignShards([], SHARDS)).toEqual([]);
});
