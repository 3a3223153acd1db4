/** Taking over what others have stored, although a statement of it is carried out long after its connection is gone. */
import { expect, test } from "vitest";
import { aMessage } from "../../testing/builders.ts";
import { createDatabase } from "../../testing/postgres/database.ts";
import { startLateNetwork } from "../../testing/postgres/late-network.ts";
import { openStore } from "../open-store.ts";
import { type RowVersion, Unowned } from "./unowned.ts";

/** What hides the rows that were taken. */
const HIDING = "update inbox set is_unowned = 0";

test("a taking that the server carries out late hides nothing that was stored or changed since", async (t) => {
  const { url } = await createDatabase(t);
  const network = await startLateNetwork(t, { url, late: HIDING });
  const store = await openStore(network.url);
  t.onTestFinished(() => store.close());
  const other = await openStore(url);
  t.onTestFinished(() => other.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  const insert = (content: string) => other.insertUnowned(aMessage({ gateway: "a", content }));
  const stopped = await insert("stopped meanwhile");
  await insert("taken");

  const taken = await ownership.takeUnowned(10).catch(() => []);
  await network.isLost;
  await insert("stored meanwhile");
  await other.requestStop(stopped.conversationId, "Ann");
  await network.comesLate();

  expect(taken).toMatchObject([{ content: "stopped meanwhile" }, { content: "taken" }]);
  expect(await ownership.takeUnowned(10)).toMatchObject([
    { content: "stopped meanwhile", stoppedBy: "Ann" },
    { content: "stored meanwhile" },
  ]);
  expect(await ownership.takeUnowned(10)).toEqual([]);
});

test("a message whose row is hidden no more by a lost statement is handed out once", async (t) => {
  const { url } = await createDatabase(t);
  const network = await startLateNetwork(t, { url, late: HIDING });
  const store = await openStore(network.url);
  t.onTestFinished(() => store.close());
  const ownership = await store.own({ owner: "first", gateways: ["a"], now: 0 });
  await store.insertUnowned(aMessage({ gateway: "a" }));

  const placement = { shard: 0, status: "pending", attempts: 0 } as const;
  expect(await ownership.takeUnowned(10)).toHaveLength(1);
  await network.isLost;
  expect(await ownership.accept(aMessage({ gateway: "a" }), placement)).toMatchObject({ hasUnowned: true });

  expect(await ownership.takeUnowned(10)).toEqual([]);
  const isHidden = async () =>
    (await ownership.accept(aMessage({ gateway: "a" }), placement)).hasUnowned === false;
  await expect.poll(isHidden, { timeout: 20_000 }).toBe(true);
});

/** Rows as a database has them: hidden where nobody has changed them since they were read. */
function rowsInMemory() {
  const rows = new Map<number, { version: number; isHidden: boolean }>();
  const change = (id: number) => {
    rows.set(id, { version: (rows.get(id)?.version ?? 0) + 1, isHidden: false });
  };
  const read = async (limit: number): Promise<RowVersion[]> =>
    [...rows]
      .filter(([, { isHidden }]) => !isHidden)
      .map(([id, { version }]) => ({ id, version: String(version) }))
      .slice(0, limit);
  const hide = (named: RowVersion[]) => {
    for (const { id, version } of named) {
      const row = rows.get(id);
      if (row && String(row.version) === version) row.isHidden = true;
    }
  };
  return { change, read, hide };
}

test("rows that cannot be hidden are handed out once, do not stand before others, and again once changed", async () => {
  const { change, read, hide } = rowsInMemory();
  let isReachable = false;
  const unowned = new Unowned({
    read,
    async hide(rows) {
      if (!isReachable) throw new Error("unreachable");
      hide(rows);
    },
  });
  const take = async (limit: number) => (await unowned.take(limit)).map(({ id }) => id);
  for (const id of [1, 2, 3, 4, 5]) change(id);

  expect([await take(2), await take(2), await take(2), await take(2)]).toEqual([[1, 2], [3, 4], [5], []]);
  change(2);
  expect(await take(9)).toEqual([2]);
  isReachable = true;
  expect(await take(9)).toEqual([]);
  expect(await read(9)).toEqual([]);
  change(1);
  expect(await take(9)).toEqual([1]);
});

test("a statement that hides is not made beside another one, and names what was taken meanwhile", async () => {
  const { change, read, hide } = rowsInMemory();
  const hidden: number[][] = [];
  const goOn = Promise.withResolvers<void>();
  const unowned = new Unowned({
    read,
    async hide(rows) {
      hidden.push(rows.map(({ id }) => id));
      await goOn.promise;
      hide(rows);
    },
  });
  change(1);
  await unowned.take(9);
  for (const id of [2, 3]) {
    change(id);
    await unowned.take(9);
  }

  expect(hidden).toEqual([[1]]);
  goOn.resolve();
  await expect.poll(() => hidden).toEqual([[1], [1, 2, 3]]);
});
