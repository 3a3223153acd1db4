/** Cost, tokens and time as people read them. What is not known is called unknown, and never counted as nothing. */
import type { AgentUsage } from "./coding-agent.ts";
import { inertLine } from "./inert-markdown.ts";

const UNKNOWN = "unknown";

/** One line for each fact. */
export function usageLines(usage: AgentUsage | undefined): string[] {
  const { model, costUsd, inputTokens, outputTokens, turns } = usage ?? {};
  return [
    `Cost: ${costShown(costUsd)}`,
    `Tokens: ${countShown(inputTokens)} read, ${countShown(outputTokens)} written`,
    ...(turns === undefined ? [] : [`Turns: ${countShown(turns)}`]),
    ...(model === undefined ? [] : [`Model: ${inertLine(model)}`]),
  ];
}

/** The whole of several turns: a fact that one of them does not know is not known of the whole. */
export function addUsage(turns: readonly AgentUsage[]): AgentUsage {
  const total = (name: "inputTokens" | "outputTokens" | "costUsd" | "turns") => {
    let sum = 0;
    for (const turn of turns) {
      const value = turn[name];
      if (value === undefined) return undefined;
      sum += value;
    }
    return turns.length === 0 ? undefined : sum;
  };
  const models = [...new Set(turns.flatMap(({ model }) => model ?? []))];
  const sums = {
    inputTokens: total("inputTokens"),
    outputTokens: total("outputTokens"),
    costUsd: total("costUsd"),
    turns: total("turns"),
    model: models.length === 0 ? undefined : models.join(", "),
  };
  return Object.fromEntries(Object.entries(sums).filter(([, value]) => value !== undefined));
}

/** In US dollars, to the cent where it is one at least. */
export function costShown(costUsd: number | undefined): string {
  if (costUsd === undefined || !Number.isFinite(costUsd)) return UNKNOWN;
  if (costUsd > 0 && costUsd < 0.01) return "less than $0.01";
  return `$${costUsd.toFixed(2)}`;
}

/** "1 h 2 min", "3 min 20 s", "12 s", "under 1 s". */
export function durationShown(durationMs: number | undefined): string {
  if (durationMs === undefined || !Number.isFinite(durationMs)) return UNKNOWN;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 1) return "under 1 s";
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function countShown(count: number | undefined): string {
  return count === undefined ? UNKNOWN : count.toLocaleString("en-US");
}
