import { expect, test } from "vitest";
import { WorkerError } from "../core/errors.ts";
import { atMostAsked, notStarted } from "./agent-program.ts";

const claude = { agent: "claude-code", command: "claude", installHint: "Install Claude Code" };

test("a program that its sandbox cannot find is told with how to install it, and where", () => {
  const missing = new WorkerError('Cannot start "claude" in the sandbox', {
    code: "PROGRAM_MISSING",
    retry: "never",
  });

  expect(notStarted(missing, claude)).toMatchObject({
    code: "AGENT_FAILED",
    message: 'The agent "claude-code" failed: "claude" cannot be started: there is no such program',
    hint: expect.stringMatching(/^Install Claude Code\. In the sandbox .* sandbox\.readable/),
  });
});

test("what a sandbox refuses is told in its own words, what the system says with how to install it", () => {
  const refused = new WorkerError("/opt/x is not within its reach", {
    code: "SANDBOX_REFUSED",
    retry: "never",
  });

  expect(notStarted(refused, claude)).toBe(refused);
  expect(notStarted(new Error("spawn claude ENOENT"), claude)).toMatchObject({
    code: "AGENT_FAILED",
    hint: "Install Claude Code",
  });
});

test("who is asked too often is not asked any more: the answer is no", async () => {
  let asked = 0;
  const ask = atMostAsked(async () => {
    asked += 1;
    return "allow";
  }, 2);
  const request = { tool: "Bash", detail: "make" };

  expect([await ask(request), await ask(request), await ask(request)]).toEqual(["allow", "allow", "deny"]);
  expect(asked).toBe(2);
});
