/** Taking over, on the store model, what others have stored: in two halves as on PostgreSQL, or at once as on SQLite. */
import type { StoredMessage } from "../../src/core/store.ts";
import { type RowVersion, Unowned } from "../../src/store/postgres/unowned.ts";
import { type Fence, type MemoryDatabase, read } from "./memory-database.ts";
import type { Host } from "./scheduler.ts";

export interface TakingOptions {
  db: MemoryDatabase;
  host: Host;
  /** By the database's word, which memory may not know yet. */
  holds(gateway: string | null, shard: number): boolean;
  fence: Fence;
  write<T>(label: string, how: { run: () => T }): Promise<T>;
}

interface Row extends RowVersion {
  message: StoredMessage;
}

export function createTaking({ db, host, holds, fence, write }: TakingOptions) {
  const { tables } = db;
  const look = (limit: number): Row[] =>
    tables
      .openMessages((row, { isUnowned }) => isUnowned && holds(row.gateway, row.shard))
      .slice(0, limit)
      .map((message) => {
        const row = tables.inbox.get(message.conversationId) ?? {};
        return { id: message.conversationId, version: String(tables.versionOf(row)), message };
      });
  /** Those that are as they were read, and that nobody is about to change. */
  const hide = (rows: RowVersion[]) => {
    for (const { id, version } of rows) {
      const row = tables.inbox.get(id);
      if (db.transactions.isLocked(id)) continue;
      if (row && String(tables.versionOf(row)) === version) tables.update(row, { isUnowned: false });
    }
  };
  const unowned = new Unowned<Row>({
    read: (limit) =>
      read(db, host, () => {
        if (!fence.mayWrite()) throw fence.error();
        return look(limit);
      }),
    hide: (rows) => write(`hide message ${rows.map(({ id }) => id).join(", ")}`, { run: () => hide(rows) }),
  });
  const takeAtOnce = (limit: number) =>
    write("take unowned", {
      run() {
        const taken = look(limit);
        hide(taken);
        return taken;
      },
    });
  return async (limit: number): Promise<StoredMessage[]> => {
    const taken = await (db.isShared ? unowned.take(limit) : takeAtOnce(limit));
    return taken.map(({ message }) => message);
  };
}
