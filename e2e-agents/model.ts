/**
 * The model that the agents believe to talk to: `@copilotkit/aimock` on 127.0.0.1, which speaks the interfaces of
 * Anthropic, OpenAI and Google. What it answers is played: the agent's own tool calls, texts, and troubles.
 */
import { LLMock } from "@copilotkit/aimock";

/** What the model answers. */
export type Reply =
  | { text: string }
  | { tool: string; input: Record<string, unknown> }
  /** An error of the provider. */
  | { status: number; type: string; message: string };

export interface Turn {
  /** How many tools have ended since the script began. */
  step: number;
  /** How many requests for work came before this one since the script began. */
  attempt: number;
  /** What the last tool gave back. */
  result: string;
}

export type Script = (turn: Turn) => Reply;

export interface Model {
  url: string;
  /** From now on it answers by this script. */
  play(script: Script): void;
  /** How many requests came since then. */
  requests(): number;
  stop(): Promise<void>;
}

interface Asked {
  messages?: { role: string; content?: unknown }[];
  tools?: unknown[];
}

/** As much as an agent's first request holds, so that it costs what can be seen. */
const TOKENS = { input: 12_000, output: 345 };
const USAGE = {
  input_tokens: TOKENS.input,
  output_tokens: TOKENS.output,
  prompt_tokens: TOKENS.input,
  completion_tokens: TOKENS.output,
  promptTokenCount: TOKENS.input,
  candidatesTokenCount: TOKENS.output,
};

export async function startModel({ asksOnlyForWork = false } = {}): Promise<Model> {
  const mock = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent" });
  let script: Script = () => ({ text: "Nothing is played." });
  let requests = 0;
  let attempt = 0;
  let before: number | undefined;
  const answer = (request: Asked) => {
    requests += 1;
    const results = (request.messages ?? []).filter(({ role }) => role === "tool");
    const result = JSON.stringify(results.at(-1)?.content ?? "");
    // Titles, summaries and the like are asked for without tools; troubles meet them too.
    const isWork = asksOnlyForWork || (request.tools?.length ?? 0) > 0;
    if (isWork) before ??= results.length;
    const reply = script({
      step: results.length - (before ?? 0),
      attempt: isWork ? attempt++ : attempt,
      result,
    });
    if (!isWork && !("status" in reply)) return toResponse({ text: "Title" }, requests);
    return toResponse(reply, requests);
  };
  mock.addFixture({ match: { predicate: () => true }, response: (request) => answer(request as Asked) });
  await mock.start();
  return {
    url: mock.url,
    play: (next) => {
      script = next;
      requests = 0;
      attempt = 0;
      before = undefined;
    },
    requests: () => requests,
    stop: () => mock.stop(),
  };
}

function toResponse(reply: Reply, id: number) {
  if ("status" in reply) {
    const { status, type, message } = reply;
    return { error: { type, message }, status };
  }
  if ("text" in reply) return { content: reply.text, usage: USAGE };
  const call = { id: `call_${id}`, name: reply.tool, arguments: JSON.stringify(reply.input) };
  return { toolCalls: [call], usage: USAGE };
}
