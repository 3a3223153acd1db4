import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
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
