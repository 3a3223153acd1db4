/**
 * What an agent may not do by itself: allowed, refused, or asked of a person. Asking ends the turn and holds nothing; with
 * the answer the turn is taken up in its session, and the agent, which asks again, gets it.
 */
import { createHash } from "node:crypto";
import { RobsonError } from "../core/errors.ts";
import { preview } from "../core/text.ts";
import type { AgentRequest, CodingAgent, PermissionRequest } from "./coding-agent.ts";
import { inertLine } from "./inert-markdown.ts";
import type { RepositoryRun } from "./repository-run.ts";

/** `[workflow] permissions`. `allow`: what the sandbox lets it do, it may do. */
export type PermissionPolicy = "allow" | "ask" | "deny";

/** Why this agent cannot be run under the policy: one that asks for no leave would do what is to be asked about, or denied. */
export function whyNotHeld(
  { name, asksLeave }: CodingAgent,
  policy: PermissionPolicy = "allow",
): RobsonError | undefined {
  if (policy === "allow" || asksLeave !== false) return undefined;
  const message = `the agent "${name}" asks for no leave, so "${policy}" cannot be held`;
  const hint =
    'Name an agent that asks (claude-code, or one of [[agents.acp]]), or set permissions = "allow" under [workflow]: the sandbox holds it either way';
  return new RobsonError("TASK_INVALID", message, { hint });
}

/** How much of a request is shown to a person, in characters. */
const MAX_SHOWN = 1000;

/** Nothing where the policy is to allow: then the agent's adapter decides by what lies in the checkout. */
export function permitFor({ run, label }: RepositoryRun, round: number): Pick<AgentRequest, "permit"> {
  const policy = run.options.permissions ?? "allow";
  if (policy === "allow") return {};
  if (policy === "deny") return { permit: async () => "deny" };
  // The same request again, in the same turn, has the same answer.
  const asked = new Map<string, Promise<"allow" | "deny">>();
  return {
    permit(request) {
      const name = `${label}: permission ${round} ${digestOf(request)}`;
      const known = asked.get(name) ?? askPerson({ run }, { name, request });
      asked.set(name, known);
      return known;
    },
  };
}

async function askPerson(
  { run }: Pick<RepositoryRun, "run">,
  { name, request }: { name: string; request: PermissionRequest },
): Promise<"allow" | "deny"> {
  const detail = inertLine(preview(request.detail, MAX_SHOWN));
  const text = `**${run.key}**: the agent "${run.agent.name}" asks for leave to use ${inertLine(request.tool)}: ${detail}`;
  const answer = await run.context.ask(name, { text, choices: ["allow", "deny"] });
  return answer?.value === "allow" ? "allow" : "deny";
}

function digestOf({ tool, detail }: PermissionRequest): string {
  return createHash("sha256")
    .update(JSON.stringify([tool, detail]))
    .digest("hex")
    .slice(0, 12);
}
