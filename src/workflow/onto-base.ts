/** Before the push: the commit is brought onto the base as it is by then, and checked again where that changed it. */
import { type Change, checked, RunEnded } from "./change.ts";
import { rebaseOntoBase } from "./rebase.ts";
import type { RepositoryRun } from "./repository-run.ts";
import { readRepositoryRules } from "./repository-settings.ts";
import { type Check, isVerified, verifyFailed } from "./verify.ts";
import { startBranch } from "./workspace.ts";

/** Throws `RunEnded` where it does not fit, or does not pass; a person has it tried anew, on the base as it is then. */
export async function rebased(repository: RepositoryRun, change: Change): Promise<Change> {
  const { context } = repository.run;
  for (let time = 1; ; time += 1) {
    const number = time === 1 ? "" : ` ${time}`;
    const { checks, ...made } = await ontoBase(repository, { change, number });
    if (!checks) return { ...change, ...made };
    if (checks.length === 0 || isVerified(checks)) return { ...change, ...made, checks };
    const refusedIn = await repository.step(`rebased refused${number}`, async () => context.round);
    if (refusedIn < context.round) continue;
    throw new RunEnded({ kind: "verify", message: verifyFailed(checks).message, rounds: 0 });
  }
}

/** Without checks where nothing was to be done. */
async function ontoBase(
  repository: RepositoryRun,
  { change, number }: { change: Change; number: string },
): Promise<{ sha: string; tree: string | null; checks?: Check[] }> {
  const { run, branch } = repository;
  const result = await rebase(repository, { change, number });
  if (result.tree === null) return { sha: result.sha, tree: change.tree };
  const { sha, tree } = result;
  await repository.step(`checkout of the rebased${number}`, async ({ signal }) => {
    await startBranch(await repository.workspace(), branch, { ...repository.git(signal), files: sha });
  });
  const rules = await repository.step(`rules of the rebased${number}`, async ({ signal }) =>
    readRepositoryRules(await repository.workspace(), repository.settings, {
      ...repository.git(signal),
      limits: run.limits,
    }),
  );
  const checks = await checked(repository, { name: `verify the rebased${number}`, tree, rules, rounds: 0 });
  return { sha, tree, checks };
}

function rebase(
  repository: RepositoryRun,
  { change, number }: { change: Change; number: string },
): Promise<{ sha: string; tree: string | null }> {
  const { branch } = repository;
  return repository.step(`rebase${number}`, async ({ signal, emit }) => {
    const workspace = await repository.workspace();
    const made = await rebaseOntoBase(workspace, { sha: change.sha, branch }, repository.git(signal));
    if (made.kind === "rebased") {
      repository.replaceWorkspace(made.workspace);
      emit("progress", `\`${workspace.base}\` has moved on; the change is on it now`);
      return { sha: made.sha, tree: made.tree };
    }
    if (made.kind === "conflicts") {
      // Not stored: whoever has the run go on later finds the base as it is then.
      throw new RunEnded({
        kind: "trouble",
        message: made.report,
        hint: `Nothing was pushed. \`/run-task ${repository.run.key}\` has it done again on \`${workspace.base}\` as it is now`,
      });
    }
    return { sha: made.sha, tree: null };
  });
}
