/** For the tests of databases that cannot be used: processes with fewer rights or less room than ours. */
import { spawn, spawnSync } from "node:child_process";
import { inspect } from "node:util";
import { expect } from "vitest";
import { RobsonError } from "../src/core/errors.ts";

/** In every password here; no error may show it. */
export const SECRET = "s3cr3t-pa55";

const NOBODY = 65_534;
const MODULES = ["../src/store/open-store.ts", "../src/testing/builders.ts"].map(
  (path) => new URL(path, import.meta.url).href,
);

/** What was thrown, once it is shown to be an error of ours that tells its reader what to do. */
export async function refusal(attempt: Promise<unknown>): Promise<RobsonError> {
  const error = await attempt.then(
    () => "it was not refused",
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof RobsonError)) throw new Error(`Not an error of ours: ${inspect(error)}`);
  expectClear(error);
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET);
  return error;
}

/** Fails unless an error says in one line what is wrong, and has a hint. */
export function expectClear({ message, hint }: { message: string; hint?: string | undefined }): void {
  expect(message).toMatch(/^Cannot [^\n]+[^.\n]$/);
  expect(hint).toMatch(/^\S[^\n]+[^.\n]$/);
}

export interface ChildOptions {
  /** Has `openStore`, `aMessage`, `told(error)`, `folder`, and `report(value)`, which is what `runChild` returns. */
  script: string;
  folder: string;
  /** Whether the file system refuses it what root may do. */
  asNobody?: boolean;
  /** A command that runs the one it is given, with its limits. */
  within?: string[];
}

/** Runs a script in a process of its own, and returns what it reported. */
export async function runChild<T>({
  script,
  folder,
  asNobody = false,
  within = [],
}: ChildOptions): Promise<T> {
  const source = `
    const [{ openStore }, { aMessage }] = await Promise.all(${JSON.stringify(MODULES)}.map((path) => import(path)));
    const folder = ${JSON.stringify(folder)};
    const report = (value) => console.log(JSON.stringify(value));
    const told = ({ name, code, message, hint }) => ({ name, code, message, hint });
    if (${asNobody} && process.getuid() === 0) { process.setgid(${NOBODY}); process.setuid(${NOBODY}); }
    ${script}`;
  const [command = "", ...args] = [...within, process.execPath, "--input-type=module", "--eval", source];
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  await new Promise((resolve) => child.on("close", resolve));
  if (stdout === "") throw new Error(`The process reported nothing: ${stderr}`);
  return JSON.parse(stdout) as T;
}

/** The command that runs another with `folder` as a file system of its own of this size; undefined where we may not. */
export function withSmallDisk(folder: string, size: string): string[] | undefined {
  const mount = 'mount -t tmpfs -o size="$2" robson-test "$1" && shift 2 && exec "$@"';
  for (const flags of ["-m", "-rm"]) {
    const within = ["unshare", flags, "sh", "-c", mount, "sh", folder, size];
    const [command = "", ...args] = [...within, "true"];
    if (spawnSync(command, args).status === 0) return within;
  }
  return undefined;
}

/** The command that runs another which may write files of at most so many bytes. */
export function withFileLimit(bytes: number): string[] {
  const blocks = Math.floor(bytes / 512);
  return ["sh", "-c", `trap "" XFSZ; ulimit -S -f ${blocks}; exec "$@"`, "sh"];
}
