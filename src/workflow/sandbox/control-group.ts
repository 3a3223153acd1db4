/**
 * A control group of the kernel for one program and all that it starts: how many processes, how much memory. Used
 * where this machine lets us make one (as root, or in a part of the tree that is delegated to us), in version 2 and in
 * the older version 1. Elsewhere there is none, and `undefined` says so.
 */
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { SandboxLimits } from "../limits.ts";
import { isOfLivingProcess, ownMark } from "./runtime-folder.ts";

export interface ControlGroup {
  /** Files that a process writes its number into to join. */
  joinFiles: string[];
  /** What it holds. */
  limits: ("processes" | "memory")[];
  /** Ends what is left in it, and removes it. Safe to call twice. */
  remove(): Promise<void>;
}

/** A place where groups can be made, and which limits it offers. */
export interface Place {
  folder: string;
  version: 1 | 2;
  controllers: Controller[];
}

type Controller = "pids" | "memory";

const PREFIX = "robson-sandbox-";
const MIB = 1024 * 1024;
/** A process that was killed leaves its group after a moment; so often, and this long, is that waited for. */
const REMOVE_TRIES = 50;
const REMOVE_WAIT_MS = 20;

/** Makes a group, or returns undefined where that is not possible. Also removes groups of processes that are gone. */
export async function makeControlGroup(
  limits: Pick<SandboxLimits, "maxProcesses" | "maxMemoryMib">,
): Promise<ControlGroup | undefined> {
  const name = `${PREFIX}${await ownMark()}-${crypto.randomUUID().slice(0, 8)}`;
  const made: { folder: string; place: Place }[] = [];
  for (const place of await findPlaces()) {
    const missing = place.controllers.filter(
      (each) => !made.some((group) => group.place.controllers.includes(each)),
    );
    if (missing.length === 0) continue;
    await sweep(place.folder);
    const folder = join(place.folder, name);
    const isMade = await fill(folder, { ...place, controllers: missing }, limits);
    if (isMade) made.push({ folder, place: { ...place, controllers: missing } });
  }
  if (made.length === 0) return undefined;
  const has = (controller: Controller) => made.some(({ place }) => place.controllers.includes(controller));
  return {
    joinFiles: made.map(({ folder }) => join(folder, "cgroup.procs")),
    limits: [...(has("pids") ? ["processes" as const] : []), ...(has("memory") ? ["memory" as const] : [])],
    remove: async () => {
      for (const { folder } of made) await removeGroup(folder);
    },
  };
}

async function fill(
  folder: string,
  { version, controllers }: Place,
  limits: Pick<SandboxLimits, "maxProcesses" | "maxMemoryMib">,
): Promise<boolean> {
  try {
    await mkdir(folder);
  } catch {
    // Read-only, not ours, or not delegated: this machine gives us no group here.
    return false;
  }
  try {
    const memory = version === 2 ? "memory.max" : "memory.limit_in_bytes";
    for (const controller of controllers) {
      if (controller === "pids") await writeFile(join(folder, "pids.max"), `${limits.maxProcesses}`);
      else await writeFile(join(folder, memory), `${limits.maxMemoryMib * MIB}`);
    }
    // Otherwise memory beyond the limit would go to the disk. Not there where the machine has no swap.
    if (version === 2) await writeFile(join(folder, "memory.swap.max"), "0").catch(() => undefined);
    return true;
  } catch {
    // The group is there, but its limits are not ours to set: it would hold nothing.
    await rmdir(folder).catch(() => undefined);
    return false;
  }
}

/** Where our own process stands in each tree, and one step above it. */
async function findPlaces(): Promise<Place[]> {
  const [memberships, mounts] = await Promise.all([read("/proc/self/cgroup"), read("/proc/self/mountinfo")]);
  const places: Place[] = [];
  for (const place of possiblePlaces(memberships, mounts)) {
    if (place.version === 1) places.push(place);
    else {
      // Which limits can be given to groups below; none where it is not delegated, or has processes itself.
      const given = (await read(join(place.folder, "cgroup.subtree_control"))).trim().split(" ");
      places.push({ ...place, controllers: place.controllers.filter((each) => given.includes(each)) });
    }
  }
  return places;
}

/** The same by what `/proc/self/cgroup` and `/proc/self/mountinfo` say. */
export function possiblePlaces(memberships: string, mounts: string): Place[] {
  const places: Place[] = [];
  for (const line of memberships.split("\n")) {
    const [, id, names, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined || path.includes("..")) continue;
    const controller = (["pids", "memory"] as const).find((each) => names?.split(",").includes(each));
    const root = mountPoint(mounts, id === "0" ? { type: "cgroup2" } : { type: "cgroup", controller });
    if (root === undefined) continue;
    const own = resolve(join(root, path));
    if (controller) places.push({ folder: own, version: 1, controllers: [controller] });
    if (id !== "0") continue;
    for (const folder of new Set([own, own === root ? own : dirname(own)])) {
      places.push({ folder, version: 2, controllers: ["pids", "memory"] });
    }
  }
  return places;
}

function mountPoint(
  mounts: string,
  { type, controller }: { type: string; controller?: string | undefined },
): string | undefined {
  if (type === "cgroup" && controller === undefined) return undefined;
  for (const line of mounts.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [found, , options = ""] = after.split(" ");
    const hasIt = controller === undefined || options.split(",").includes(controller);
    if (found === type && hasIt) return before.split(" ")[4];
  }
  return undefined;
}

async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(PREFIX)) continue;
    if (!(await isOfLivingProcess(name.slice(PREFIX.length)))) await removeGroup(join(folder, name));
  }
}

async function removeGroup(folder: string): Promise<void> {
  for (let tries = 0; tries < REMOVE_TRIES; tries += 1) {
    for (const pid of (await read(join(folder, "cgroup.procs"))).split("\n")) {
      if (pid !== "" && pid !== "0") kill(Number(pid));
    }
    const problem = await rmdir(folder).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code,
    );
    if (problem !== "EBUSY") return;
    await wait(REMOVE_WAIT_MS);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It is gone, or on its way out.
  }
}

async function read(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => "");
}
