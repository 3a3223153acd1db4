/**
 * A real SQLite file as the world's database. Each process has connections of its own to it; a dead one's are closed,
 * by which its lock is free, and nothing of it is written any more. All calls are awaited before the next step, and
 * wake-ups are the world's own: so that a seed gives the same run again.
 */
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isOwnerLocked } from "../../src/store/sqlite/owner-lock.ts";
import { openSqliteStore } from "../../src/store/sqlite/store.ts";
import { RealWorld, type RealWorldOptions } from "./real-world.ts";
import { ENDS_TABLE, READINGS, type Rows } from "./rows-view.ts";
import type { DatabaseView, WorldDatabase } from "./world-database.ts";

const COUNT_ENDS = `${ENDS_TABLE};
  create trigger sim_done after delete on inbox when old.status in ('pending', 'claimed', 'waiting')
    begin insert into sim_ends values (old.conversation_id); end;
  create trigger sim_dead after update on inbox
    when old.status in ('pending', 'claimed', 'waiting') and new.status in ('done', 'dead')
    begin insert into sim_ends values (old.conversation_id); end`;

/** Makes an empty database in that folder, of which each run gets a copy. */
export async function createSqliteTemplate(folder: string): Promise<string> {
  const file = join(folder, "template.db");
  const store = await openSqliteStore(file, { migrate: true });
  await store.close();
  const db = new DatabaseSync(file);
  db.exec(`pragma journal_mode = delete; ${COUNT_ENDS}`);
  db.close();
  return file;
}

export function createSqliteWorld(options: RealWorldOptions & { template: string }): WorldDatabase {
  const file = options.template.replace(/template\.db$/, `seed-${process.pid}.db`);
  copyFileSync(options.template, file);
  const world = new RealWorld(options);
  const reader = new DatabaseSync(file);
  const readings = prepareReadings(reader);
  const version = reader.prepare("pragma data_version");
  let seen: { version: unknown; view: DatabaseView } | undefined;
  /** Read anew when another connection has committed something. */
  const view = () => {
    const { data_version: present } = version.get() ?? {};
    if (seen?.version !== present) seen = { version: present, view: world.view(readings()) };
    return {
      ...(seen as { view: DatabaseView }).view,
      get memberCount() {
        return Number(isOwnerLocked(file));
      },
    };
  };
  return {
    look: (see) => void see(view()),
    open: (host) =>
      world.open(host, {
        location: file,
        open: () => openSqliteStore(file, { migrate: false }),
        look: async () => view(),
        hasWakes: true,
      }),
    died: (host) => void world.underWay.track(close(world, host)),
    froze: () => undefined,
    thawed: () => undefined,
    // As when someone has tidied up beside the database: the lock is of a file that is nobody's any more.
    loseLock: () => rmSync(`${file}.owner`, { force: true }),
    wasExpelled: (epoch) => world.wasExpelled(epoch),
    settle: () => world.underWay.ended(),
    async close() {
      for (const host of [...world.stores.keys()]) await close(world, host);
      reader.close();
      for (const end of ["", "-wal", "-shm", ".owner", ".wake", ".owner-journal"])
        rmSync(file + end, { force: true });
    },
  };
}

async function close({ stores }: RealWorld, host: Parameters<WorldDatabase["died"]>[0]): Promise<void> {
  const store = stores.get(host);
  stores.delete(host);
  await store?.close();
}

function prepareReadings(db: DatabaseSync): () => Rows {
  const statements = Object.entries(READINGS).map(([name, sql]) => [name, db.prepare(sql)] as const);
  const lease = db.prepare("select epoch from leases where name = 'loop'");
  return () => {
    const rows = Object.fromEntries(statements.map(([name, statement]) => [name, statement.all()]));
    const epoch = Number(lease.get()?.epoch ?? 0);
    return { ...(rows as unknown as Rows), members: [epoch], lastEpoch: epoch, leases: [] };
  };
}
