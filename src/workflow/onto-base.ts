/** Before the push: the commit is brought onto the base as it is by then, and checked again where that changed it. */
import { type Change, checked, RunEnded } from "./change.ts";
import { rebaseOntoBase } from "./rebase.ts";
import type { RepositoryRun } from "./repository-run.ts";
import { readRepositoryRules } from "./repository-settings.ts";
import { isVerified, verifyFailed } from "./verify.ts";
import { startBranch } from "./workspace.ts";

export async function rebased(repository: RepositoryRun, change: Change): Promise<Change> {
  const { run, branch } = repository;
  const result = await repository.step("rebase", async ({ signal, emit }) => {
    const workspace = await repository.workspace();
    const made = await rebaseOntoBase(workspace, { sha: change.sha, branch }, repository.git(signal));
    if (made.kind === "rebased") {
      repository.replaceWorkspace(made.workspace);
      emit("progress", `\`${workspace.base}\` has moved on; the change is on it now`);
      return { kind: made.kind, sha: made.sha, tree: made.tree };
    }
    if (made.kind === "conflicts") {
      // Not stored: whoever has the run go on later finds the base as it is then.
      throw new RunEnded({
        kind: "trouble",
        message: made.report,
        hint: "Nothing was pushed. Run the task again: the work begins on the base as it is then",
      });
    }
    return { kind: made.kind, sha: made.sha, tree: null };
  });
  if (result.kind !== "rebased" || result.tree === null) return { ...change, sha: result.sha };
  const { sha, tree } = result;
  await repository.step("checkout of the rebased", async ({ signal }) => {
    await startBranch(await repository.workspace(), branch, { ...repository.git(signal), files: sha });
  });
  const rules = await repository.step("rules of the rebased", async ({ signal }) =>
    readRepositoryRules(await repository.workspace(), repository.settings, {
      ...repository.git(signal),
      limits: run.limits,
    }),
  );
  const checks = await checked(repository, { name: "verify the rebased", tree, rules });
  if (checks.length > 0 && !isVerified(checks)) {
    throw new RunEnded({ kind: "verify", message: verifyFailed(checks).message, rounds: 0 });
  }
  return { ...change, sha, tree, checks };
}
