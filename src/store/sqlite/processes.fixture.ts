/** Other programs on the same SQLite file, for tests: real processes that say when they are ready. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const storeModule = new URL("../open-store.ts", import.meta.url).href;

/** Runs a script that may `say` things, with `openStore`, `DatabaseSync` and the file at hand. */
export async function startProcess(file: string, script: string): Promise<OtherProcess> {
  const source = `
    import { DatabaseSync } from "node:sqlite";
    const { openStore } = await import(${JSON.stringify(storeModule)});
    const file = ${JSON.stringify(file)};
    const say = (text) => console.log(text);
    ${script}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, "exit");
  await Promise.race([once(lines, "line"), ended]);
  return { child, ended };
}

export interface OtherProcess {
  child: ChildProcess;
  ended: Promise<unknown>;
}
