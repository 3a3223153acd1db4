/**
 * What comes after the checks: the change is good, it goes back to the agent with what was printed, or it is given up.
 * Pure: a run that is taken up after a crash decides the same again.
 */
import type { WorkerError } from "../core/errors.ts";
import type { WorkflowLimits } from "./limits.ts";
import { followUpPrompt } from "./prompt.ts";
import { type Check, endOf, verifyFailed } from "./verify.ts";

export type AfterChecks =
  /** All passed, or there were none. */
  | { next: "go-on" }
  /** The agent gets another turn with this prompt; `round` counts these turns from 1 on. */
  | { next: "back-to-agent"; round: number; prompt: string }
  /** `maxVerifyRounds` are used up, or no agent could mend it. */
  | { next: "give-up"; error: WorkerError };

/** What follows; `rounds` is how often the change went back to the agent already. */
export function afterChecks(
  checks: readonly Check[],
  { rounds, limits }: { rounds: number; limits: WorkflowLimits },
): AfterChecks {
  const failed = checks.find(({ isPassed }) => !isPassed);
  if (failed === undefined) return { next: "go-on" };
  // Its program is not there: that is the operator's to mend.
  if (failed.outcome === "not-run" || rounds >= limits.maxVerifyRounds) {
    return { next: "give-up", error: verifyFailed(checks) };
  }
  return { next: "back-to-agent", round: rounds + 1, prompt: repairPrompt(failed, { rounds, limits }) };
}

/** The failing check as material, for a session that knows the task; or for `PromptParts.material` of a fresh one. */
function checkMaterial(check: Check, limits: WorkflowLimits): { source: string; text: string } {
  const printed = endOf(check.output, limits.maxVerifyOutput);
  return {
    source: `the end of what the check ${JSON.stringify(check.command)} printed`,
    text: printed === "" ? "(nothing)" : printed,
  };
}

function repairPrompt(check: Check, { rounds, limits }: { rounds: number; limits: WorkflowLimits }): string {
  const left = limits.maxVerifyRounds - rounds - 1;
  const again = left === 0 ? "This is the last attempt." : `After this, there are ${left} more attempts.`;
  const request = `Your change does not pass the project's check \`${check.command}\`: ${check.why ?? "it failed"}.

Find out why, and mend your change, so that the check passes and the task is still done. Do not weaken, skip or delete the
check or its tests. If the check fails for a reason that has nothing to do with the task, say so and change nothing. ${again}`;
  return followUpPrompt(request, {
    material: [checkMaterial(check, limits)],
    maxPromptBytes: limits.maxPromptBytes,
  });
}
