/** A clone of Robson's with a base commit, and a checkout whose changes can be staged: for the tests of the gates. */
import { chmod, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type TestEnd, temporaryFolder } from "../../testing/temporary-folder.ts";
import { git } from "../git.ts";
import type { Workspace } from "../workspace.ts";
import { type InRobsonsRepository, readStagedChange, type StagedChange } from "./staged-change.ts";

/** What stands at a path: text or bytes, a link, a submodule's commit, nothing; text that may be run. */
export type Content = string | Buffer | { link: string } | { commit: string } | { run: string } | null;

export interface TestRepository {
  checkout: string;
  baseSha: string;
  /** A folder beside the checkout. */
  own: string;
  inRepository: InRobsonsRepository;
  /** What reading from the repository needs of a workspace; nothing can be pushed or removed with it. */
  workspace: Workspace;
  /** Writes into the checkout. */
  write(files: Record<string, Content>): Promise<void>;
  /** Stages the checkout as it is now. */
  stage(files?: Record<string, Content>): Promise<string>;
  change(files: Record<string, Content>): Promise<StagedChange>;
}

const options = { signal: new AbortController().signal };

/** The repository with these files at its base. */
export async function aRepository(t: TestEnd, base: Record<string, Content> = {}): Promise<TestRepository> {
  const root = await temporaryFolder(t);
  const repository = join(root, "repository");
  const checkout = join(root, "checkout");
  await mkdir(checkout);
  const environment = { GIT_WORK_TREE: checkout, GIT_INDEX_FILE: join(root, "index") };
  const inCheckout = { ...options, directory: checkout, repository, environment };
  await git(["init", "--quiet", "--bare", repository], { ...options, directory: root });

  const commits: Record<string, string> = {};
  const write = async (files: Record<string, Content>) => {
    for (const [path, content] of Object.entries(files)) {
      await rm(join(checkout, path), { recursive: true, force: true });
      if (content !== null && typeof content === "object" && "commit" in content) {
        commits[path] = content.commit;
      } else await put(join(checkout, path), content);
    }
  };
  const stage = async (files: Record<string, Content> = {}) => {
    await write(files);
    await git(["add", "--all", "--", "."], inCheckout);
    for (const [path, commit] of Object.entries(commits)) {
      await git(["update-index", "--add", "--cacheinfo", `160000,${commit},${path}`], inCheckout);
    }
    return (await git(["write-tree"], inCheckout)).trim();
  };

  const baseSha = (await git(["commit-tree", await stage(base), "-m", "Base"], inCheckout)).trim();
  const inRepository = { ...options, directory: root, repository };
  const change = async (files: Record<string, Content>) =>
    readStagedChange({ baseSha, tree: await stage(files) }, inRepository);
  const places = { folder: root, runs: repository, own: root, repoUrl: "file:///none" };
  const read: Pick<Workspace, "root" | "repository" | "checkout" | "base" | "baseSha" | "environment"> = {
    ...{ root, repository, checkout, base: "main", baseSha },
    environment: { PATH: process.env.PATH ?? "" },
  };
  const workspace = { ...read, places } as unknown as Workspace;
  return { checkout, baseSha, own: root, inRepository, workspace, write, stage, change };
}

async function put(path: string, content: Exclude<Content, { commit: string }>): Promise<void> {
  if (content === null) return;
  await mkdir(dirname(path), { recursive: true });
  if (typeof content === "string" || Buffer.isBuffer(content)) await writeFile(path, content);
  else if ("link" in content) await symlink(content.link, path);
  else {
    await writeFile(path, content.run);
    await chmod(path, 0o755);
  }
}
