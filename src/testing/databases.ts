/** The databases that a suite runs over, each made for one test and gone after it. */
import { join } from "node:path";
import { createDatabase } from "./postgres/database.ts";
import { type TestEnd, temporaryFolder } from "./temporary-folder.ts";

export interface DatabaseKind {
  name: "sqlite" | "postgres";
  /** The location of an empty database, for `openStore`. */
  create(t: TestEnd): Promise<string>;
}

export const databaseKinds: DatabaseKind[] = [
  { name: "sqlite", create: async (t) => join(await temporaryFolder(t), "robson.db") },
  { name: "postgres", create: async (t) => (await createDatabase(t)).url },
];
