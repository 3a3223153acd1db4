/**
 * What an agent tells about its session, read with forbearance: agents differ in what they fill in, and what we do not
 * know is no reason to stop one. Only the fields that Robson uses are read.
 */
import * as z from "zod";
import type { AgentUsage } from "../../coding-agent.ts";

const toolFields = {
  toolCallId: z.string(),
  title: z.string().nullish(),
  name: z.string().nullish(),
  kind: z.string().nullish(),
  status: z.string().nullish(),
  locations: z.array(z.object({ path: z.string() })).nullish(),
  content: z.array(z.object({ type: z.string(), path: z.string().optional() })).nullish(),
  rawInput: z.unknown().optional(),
};

const toolSchema = z.object(toolFields);

const updateSchema = z.discriminatedUnion("sessionUpdate", [
  z.object({
    sessionUpdate: z.literal("agent_message_chunk"),
    content: z.object({ type: z.literal("text"), text: z.string() }),
  }),
  z.object({ sessionUpdate: z.literal("agent_thought_chunk") }),
  z.object({ sessionUpdate: z.enum(["tool_call", "tool_call_update"]), ...toolFields }),
  z.object({
    sessionUpdate: z.literal("usage_update"),
    cost: z.object({ amount: z.number(), currency: z.string() }).nullish(),
  }),
  z.object({ sessionUpdate: z.literal("notice"), title: z.string(), description: z.string().nullish() }),
]);

const notificationSchema = z.object({ sessionId: z.string(), update: updateSchema });

export type SessionUpdate = z.output<typeof updateSchema>;
export type ToolFields = z.output<typeof toolSchema>;

/** The update that `session/update` carries, or undefined when it says nothing that Robson uses. */
export function parseUpdate(params: unknown): { sessionId: string; update: SessionUpdate } | undefined {
  return notificationSchema.safeParse(params).data;
}

/** The tool that a permission is asked for. */
export function parseTool(toolCall: unknown): ToolFields | undefined {
  return toolSchema.safeParse(toolCall).data;
}

const count = z.number().nullish();
const promptResultSchema = z.object({
  stopReason: z.string(),
  /** What the draft of the protocol says. */
  usage: z
    .object({
      inputTokens: z.number(),
      outputTokens: z.number(),
      cachedReadTokens: count,
      cachedWriteTokens: count,
    })
    .nullish()
    .catch(undefined),
  /** What claude-agent-acp and Gemini say; the keys of its counts differ. */
  _meta: z
    .object({
      quota: z.object({
        token_count: z.object({ input_tokens: count, output_tokens: count }).nullish(),
        model_usage: z.array(z.object({ model: z.string() })).nullish(),
      }),
    })
    .nullish()
    .catch(undefined),
});

/** What the answer to `session/prompt` tells of its cost, where it does; the stable protocol does not ask for it. */
export function parsePromptUsage(result: unknown): AgentUsage {
  const { usage, _meta } = promptResultSchema.safeParse(result).data ?? {};
  const { token_count: counts, model_usage: models } = _meta?.quota ?? {};
  const inputTokens = usage
    ? usage.inputTokens + (usage.cachedReadTokens ?? 0) + (usage.cachedWriteTokens ?? 0)
    : counts?.input_tokens;
  const outputTokens = usage?.outputTokens ?? counts?.output_tokens;
  const [model, ...others] = models ?? [];
  return {
    // No work takes no tokens: what says so does not know.
    ...(inputTokens ? { inputTokens } : {}),
    ...(outputTokens ? { outputTokens } : {}),
    ...(model !== undefined && others.length === 0 ? { model: model.model } : {}),
  };
}
