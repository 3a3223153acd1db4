import { databaseKinds } from "../testing/databases.ts";
import { testStore } from "../testing/test-store.ts";
import { openStore } from "./open-store.ts";

for (const { name, create } of databaseKinds) {
  testStore(name, {
    create,
    isShared: name === "postgres",
    open: (location) => openStore(location),
    async takeOver(location) {
      const other = await openStore(location);
      const lease = (await other.sql()).read
        .updateTable("leases")
        .set((row) => ({ epoch: row("epoch", "+", 1), owner: "usurper" }));
      const everybody = (await other.sql()).read.deleteFrom("processes");
      await (await other.sql()).write([(name === "sqlite" ? lease : everybody).compile()]);
      await other.close();
    },
  });
}
