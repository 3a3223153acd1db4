/** A bare repository as a server has it, and a work directory, for tests of workspaces. */
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { tryFileLock } from "../../store/sqlite/file-lock.ts";
import { type TestEnd, temporaryFolder } from "../../testing/temporary-folder.ts";
import { git } from "../git.ts";
import { prepareWorkspace, releaseWorkspace, type WorkspaceRequest } from "../workspace.ts";

/** Null removes a file; `{ commit }` is a link to a commit of another repository. */
export type Files = Record<string, string | null | { link: string } | { commit: string }>;

const signal = new AbortController().signal;

export const options = { signal };

/** What a branch `main` with one commit needs, unless the test says otherwise. */
const FIRST: Files = { "a.txt": "1\n2\n3\n", "src/b.txt": "b\n" };

export type World = Awaited<ReturnType<typeof openWorld>>;

/** A folder with a server's repository `origin.git`, in which nothing of Robson's is yet. */
export async function openWorld(t: TestEnd, first: Files = FIRST) {
  const folder = await temporaryFolder(t);
  const server = await openServer(folder, { name: "origin", first });
  const workDirectory = join(folder, "work");
  const request: WorkspaceRequest = {
    workDirectory,
    tryLock: tryFileLock,
    key: "T-1",
    runId: "1",
    repoUrl: server.url,
    branch: "robson/T-1",
  };
  return {
    ...{ folder, server, workDirectory, request },
    area: { workDirectory, tryLock: tryFileLock },
    /** A workspace that is released when the test ends. */
    async prepare(more: Partial<WorkspaceRequest> = {}) {
      const workspace = await prepareWorkspace({ ...request, ...more }, options);
      t.onTestFinished(() => releaseWorkspace(workspace));
      return workspace;
    },
  };
}

export type Server = Awaited<ReturnType<typeof openServer>>;

/** A bare repository that takes commits on its branches as other people make them. */
export async function openServer(folder: string, { name, first = FIRST }: { name: string; first?: Files }) {
  const directory = join(folder, `${name}.git`);
  const files = join(folder, `${name}-files`);
  await git(["init", "--quiet", "--bare", "--initial-branch=main", directory], { directory: folder, signal });
  const atServer = (...args: string[]) => git(args, { directory, signal, repository: directory });
  await atServer("config", "uploadpack.allowFilter", "true");
  await atServer("config", "uploadpack.allowAnySHA1InWant", "true");
  const commit = async (changed: Files, branch = "main") => {
    const environment = { GIT_WORK_TREE: files, GIT_INDEX_FILE: join(folder, `${name}-index`) };
    await rm(files, { recursive: true, force: true });
    await rm(environment.GIT_INDEX_FILE, { force: true });
    await mkdir(files);
    const inFiles = { directory: files, signal, repository: directory, environment };
    const parent = await atServer("rev-parse", "--verify", "--quiet", branch).catch(() => undefined);
    if (parent !== undefined) await git(["read-tree", "--reset", "-u", branch], inFiles);
    for (const [path, content] of Object.entries(changed)) {
      if (typeof content === "object" && content !== null && "commit" in content) continue;
      await put(join(files, path), content);
    }
    await git(["add", "--all", "."], inFiles);
    for (const [path, content] of Object.entries(changed)) {
      if (typeof content !== "object" || content === null || !("commit" in content)) continue;
      await git(["update-index", "--add", "--cacheinfo", `160000,${content.commit},${path}`], inFiles);
    }
    const tree = (await git(["write-tree"], inFiles)).trim();
    const parents = parent === undefined ? [] : ["-p", parent.trim()];
    const sha = (await git(["commit-tree", tree, ...parents, "-m", "A commit"], inFiles)).trim();
    await atServer("update-ref", `refs/heads/${branch}`, sha);
    return sha;
  };
  const sha = await commit(first);
  return { directory, url: pathToFileURL(directory).href, git: atServer, commit, sha };
}

async function put(path: string, content: string | null | { link: string }): Promise<void> {
  if (content === null) return rm(path, { force: true });
  await mkdir(dirname(path), { recursive: true });
  if (typeof content === "string") await writeFile(path, content);
  else await symlink(content.link, path);
}
