/** The next release of Robson, made from this one's `dist/`: the same program with one migration more. */
import { cp, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type TestEnd, temporaryFolder } from "../../src/testing/temporary-folder.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface NextRelease {
  /** What `node` runs. */
  main: string;
  version: number;
}

/** `up` is the body of its migration, which has `db` and `sql` of Kysely. */
export async function nextRelease(
  t: TestEnd,
  { up, isForOlder }: { up: string; isForOlder: boolean },
): Promise<NextRelease> {
  const folder = await temporaryFolder(t);
  await cp(join(ROOT, "dist"), join(folder, "dist"), { recursive: true });
  await cp(join(ROOT, "package.json"), join(folder, "package.json"));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const migrations = join(folder, "dist/store/migrations");
  await rename(join(migrations, "index.js"), join(migrations, "former.js"));
  const worksWith = isForOlder ? "worksWith: former.length," : "";
  await writeFile(
    join(migrations, "index.js"),
    `import { sql } from "kysely";
import { migrations as former } from "./former.js";
export const migrations = [...former, {
  version: former.length + 1, name: "next", ${worksWith}
  async up(db) { ${up} },
}];
export const SCHEMA_VERSION = migrations.length;
`,
  );
  const made = (await import(join(migrations, "index.js"))) as { SCHEMA_VERSION: number };
  return { main: join(folder, "dist/cli/main.js"), version: made.SCHEMA_VERSION };
}
