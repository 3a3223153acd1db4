import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { ToolKind } from "@agentclientprotocol/sdk";
import { expect, type TestContext, test } from "vitest";
import { temporaryFolder } from "../../../testing/temporary-folder.ts";
import { decidePermission, toResponse } from "./permissions.ts";

test("reading and editing in the checkout and in its home is allowed without a question", async (t) => {
  const place = await aPlace(t);

  for (const path of ["sum.js", join(place.directory, "new/deep.js"), join(place.home, "plan.md")]) {
    expect(await verdict(place, { kind: "edit", path })).toBe("allow");
  }
});

test("files elsewhere are refused, whoever could be asked", async (t) => {
  const place = await aPlace(t);

  for (const path of ["/etc/passwd", "../other/sum.js", `${place.directory}-2/sum.js`, "/"]) {
    expect(await verdict(place, { kind: "read", path })).toBe("deny");
    expect(await verdict(place, { kind: "read", path, permit: async () => "allow" })).toBe("deny");
  }
});

test("a link that leads out of the checkout is no way out, not even one to what does not exist yet", async (t) => {
  const place = await aPlace(t);
  symlinkSync("/etc", join(place.directory, "etc"));
  symlinkSync(join(place.directory, "../new.txt"), join(place.directory, "dangling"));
  symlinkSync("loop", join(place.directory, "loop"));

  for (const path of ["etc/passwd", "dangling", "dangling/deeper"]) {
    expect(await verdict(place, { kind: "edit", path })).toBe("deny");
  }
  expect(await verdict(place, { kind: "edit", path: "loop" })).toBe("allow");
});

test("a path counts wherever the agent names it", async (t) => {
  const place = await aPlace(t);
  const rules = { ...place, permit: undefined };
  const outside = "/etc/passwd";
  const calls = [
    { locations: [{ path: "a.js" }, { path: outside }] },
    { content: [{ type: "diff" as const, path: outside, newText: "" }] },
    { rawInput: { file_path: outside } },
  ];

  for (const call of calls) {
    const toolCall = { toolCallId: "1", kind: "edit" as const, ...call };
    const answer = await decidePermission({ sessionId: "1", toolCall, options: [] }, rules);
    expect(answer.verdict).toBe("deny");
  }
});

test("a command is for a person to judge, also one that names a path elsewhere", async (t) => {
  const place = await aPlace(t);
  const asked: unknown[] = [];
  const permit = async (request: unknown) => {
    asked.push(request);
    return "allow" as const;
  };

  expect(await verdict(place, { kind: "execute", path: "/etc", permit })).toBe("allow");
  expect(await verdict(place, { kind: "execute", path: "/etc" })).toBe("deny");
  expect(await verdict(place, { kind: "execute" })).toBe("allow");
  expect(asked).toEqual([{ tool: "execute", detail: "Do it" }]);
});

test("what is allowed is allowed once; an agent that offers only more gets no answer", () => {
  const always = { optionId: "a", name: "Always", kind: "allow_always" as const };
  const once = { optionId: "o", name: "Once", kind: "allow_once" as const };

  expect(toResponse("allow", [always, once])).toEqual({ outcome: { outcome: "selected", optionId: "o" } });
  expect(toResponse("allow", [always])).toEqual({ outcome: { outcome: "cancelled" } });
  expect(toResponse("deny", [always, once])).toEqual({ outcome: { outcome: "cancelled" } });
});

async function aPlace(t: TestContext) {
  const folder = await temporaryFolder(t);
  const place = { directory: join(folder, "checkout"), home: join(folder, "home") };
  for (const each of Object.values(place)) mkdirSync(each);
  return place;
}

interface Asked {
  kind: ToolKind;
  path?: string;
  permit?: (request: unknown) => Promise<"allow" | "deny">;
}

async function verdict(place: { directory: string; home: string }, { kind, path, permit }: Asked) {
  const locations = path === undefined ? [] : [{ path }];
  const toolCall = { toolCallId: "1", title: "Do it", kind, locations };
  const answer = await decidePermission({ sessionId: "1", toolCall, options: [] }, { ...place, permit });
  return answer.verdict;
}
