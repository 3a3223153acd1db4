/** What `robson agent` removes of its files: what is old and unwanted goes, what a run that waits wants stays. */
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { defaultSettings } from "../config/config-schema.ts";
import { systemClock } from "../core/clock.ts";
import { silentLogger } from "../core/logger.ts";
import { type DemoWorkflow, openDemoWorkflow } from "../testing/demo-workflow.ts";
import { transcriptFile } from "../workflow/transcript.ts";
import { HouseKeeping } from "./house-keeping.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

let world: DemoWorkflow;

beforeEach(async () => {
  world = await openDemoWorkflow();
});
afterEach(() => world.close());

function houseKeeping(laterMs: number) {
  const settings = defaultSettings();
  const workflow = { ...settings.workflow, workDir: world.options.workDirectory };
  return new HouseKeeping({
    store: world.store,
    config: { ...settings, workflow, secrets: { token: undefined, webhookSecret: undefined } },
    clock: { ...systemClock, now: () => Date.now() + laterMs },
    log: silentLogger,
  });
}

test("old transcripts go, young ones stay", async () => {
  const { workDirectory } = world.options;
  const [old, young] = [1, 2].map((runId) => transcriptFile({ workDirectory, runId })) as [string, string];
  mkdirSync(dirname(old), { recursive: true });
  for (const file of [old, young]) writeFileSync(file, "{}\n");
  utimesSync(old, new Date(0), new Date(0));

  await houseKeeping(0).round();

  expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
});

test("the workspace of a run that has ended goes when it is old; that of one that waits for an answer stays", async () => {
  const workspaces = () => readdirSync(join(world.options.workDirectory, "DEMO-1"));
  world.script([
    { file: "total.js", find: "let index = 1;", replace: "let index = 0;" },
    { file: ".github/workflows/ci.yml", content: "on: push\n" },
  ]);
  const waiting = world.run("DEMO-1", { untilWaiting: true });
  const { conversationId } = await waiting;
  const years = 10 * 365 * DAY_MS;

  await houseKeeping(years).round();
  expect(workspaces()).toHaveLength(1);

  await world.store.runs.answer(conversationId, { value: "refuse", by: "Ann", at: Date.now() });
  await expect(world.resume()).rejects.toThrow("Ann refused");
  await houseKeeping(years).round();
  expect(workspaces()).toEqual([]);
});
