/** Where the programs of the system lie that a sandbox is made with. */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";

/** The path of such a program. Looked for in the system's folders alone, where no agent can have put one. */
export async function findTool(name: string): Promise<string | undefined> {
  for (const folder of ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin"]) {
    const path = join(folder, name);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}
