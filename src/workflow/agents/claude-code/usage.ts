/**
 * What a turn of Claude Code used. `total_cost_usd` counts the whole session, also turns before a `--resume`, so that
 * it is the turn's only in a fresh one; newer versions say the turn's own part besides.
 */
import { isRecord } from "../../agent-program.ts";
import type { AgentUsage } from "../../coding-agent.ts";

export interface UsageContext {
  /** The model that the session began with. */
  model: string | undefined;
  isResumed: boolean;
}

/** Reads it from the result event. What is not said, or cannot be true, is absent. */
export function claudeUsage(result: Record<string, unknown>, { model, isResumed }: UsageContext): AgentUsage {
  const byModel = isRecord(result.model_usage_since_last_result)
    ? result.model_usage_since_last_result
    : isResumed
      ? undefined
      : result.modelUsage;
  const rows = isRecord(byModel) ? Object.values(byModel).filter(isRecord) : [];
  const inputTokens = sum(rows, "inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens");
  const outputTokens = sum(rows, "outputTokens");
  const costUsd = sum(rows, "costUSD");
  const turns = result.num_turns;
  return {
    ...(model === undefined ? {} : { model }),
    ...(inputTokens === undefined ? {} : { inputTokens }),
    ...(outputTokens === undefined ? {} : { outputTokens }),
    // A model without a known price costs 0 by its count.
    ...(costUsd === undefined || (costUsd === 0 && outputTokens !== 0) ? {} : { costUsd }),
    ...(typeof turns === "number" ? { turns } : {}),
  };
}

function sum(rows: Record<string, unknown>[], ...names: string[]): number | undefined {
  const numbers = rows.flatMap((row) =>
    names.map((name) => row[name]).filter((value) => typeof value === "number"),
  );
  return numbers.length === 0 ? undefined : numbers.reduce((total, value) => total + value, 0);
}
