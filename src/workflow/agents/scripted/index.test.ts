import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../testing/temporary-folder.ts";
import { type AgentScene, testCodingAgent } from "../../../testing/test-coding-agent.ts";
import { scriptedAgent } from "./index.ts";
import type { ScriptStep } from "./protocol.ts";

const EDIT: ScriptStep = { file: "edited.txt", content: "edited\n" };
const FIRST: ScriptStep = { file: "first.txt", content: "1\n" };
const SECOND: ScriptStep = { file: "second.txt", content: "2\n" };

const SCENES: Record<AgentScene, ScriptStep[]> = {
  edits: [EDIT, { spend: 0.02 }],
  "goes on": [FIRST, { spend: 0.02 }, { end: "done" }, SECOND, { spend: 0.01 }],
  spends: [{ spend: 5 }, EDIT],
  "is refused": [{ end: "refused", summary: "I may not write there." }],
  "gives up": [{ end: "gave-up", summary: "The ticket contradicts itself." }],
  waits: [{ wait: "the model is overloaded" }, EDIT],
  "is overloaded": [{ wait: "the model is overloaded" }, { end: "overloaded", summary: "Still overloaded." }],
  "is unauthorized": [{ unauthorized: "invalid x-api-key" }],
  hangs: [FIRST, { hang: true }, SECOND],
  floods: [{ flood: 50_000_000 }],
  "leaves a program": [
    { leave: ["setsid", "sh", "-c", "echo > left.txt; exec sleep 600"] },
    { run: ["sh", "-c", "until test -e left.txt; do sleep 0.01; done"] },
  ],
  dies: [{ say: "I begin." }, { exit: 0 }],
};

testCodingAgent(test, {
  createAgent(scene, { folder }) {
    const scriptFile = join(folder, "script.json");
    writeFileSync(scriptFile, JSON.stringify(SCENES[scene]));
    return scriptedAgent({ scriptFile });
  },
});

test("an edit that was made before its program was killed is not made twice, nor missed", async (t) => {
  const folder = await temporaryFolder(t);
  const scriptFile = join(folder, "script.json");
  const edited = join(folder, "sum.js");
  writeFileSync(scriptFile, JSON.stringify([{ file: "sum.js", find: "+ 1", replace: "+ 12" }]));
  writeFileSync(edited, "a + 1");
  const program = fileURLToPath(new URL("./agent-process.ts", import.meta.url));
  const follow = () => {
    const running = promisify(execFile)(process.execPath, [program, JSON.stringify({ scriptFile })], {
      cwd: folder,
      env: { HOME: folder },
    });
    running.child.stdin?.end();
    return running;
  };

  expect((await follow()).stdout).toContain('"done"');
  expect((await follow()).stdout).toContain('"done"');
  expect(readFileSync(edited, "utf8")).toBe("a + 12");
});
