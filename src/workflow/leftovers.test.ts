import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { endLeftovers, endMarked, PROGRAM_VARIABLE, WORKSPACE_VARIABLE } from "./leftovers.ts";

async function aProcess(
  environment: Record<string, string>,
  script = "echo ready; exec sleep 600",
): Promise<ChildProcess> {
  const env = { PATH: process.env.PATH, ...environment };
  const child = spawn("sh", ["-c", script], { env, detached: true, stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

test("what carries the folder is ended, also in a group and session of its own; what carries a longer one is not", async () => {
  const marked = await aProcess({ [WORKSPACE_VARIABLE]: "/work/a" });
  const apart = await aProcess(
    { [WORKSPACE_VARIABLE]: "/work/a" },
    "setsid sh -c 'echo ready; exec sleep 600' & wait",
  );
  const other = await aProcess({ [WORKSPACE_VARIABLE]: "/work/ab", OTHER: "ROBSON_WORKSPACE=/work/a" });
  const ended = Promise.all([once(marked, "exit"), once(apart, "exit")]);

  expect(await endLeftovers("/work/a")).toBeGreaterThanOrEqual(2);

  await ended;
  expect(hasEnded(other)).toBe(false);
  expect(await endLeftovers("/work/a")).toBe(0);
});

test("what starts more of itself while it is being ended is ended all the same", async () => {
  const mark = { [PROGRAM_VARIABLE]: "fork" };
  await aProcess(
    mark,
    "echo ready; i=0; while test $i -lt 400; do i=$((i + 1)); setsid sleep 600 & done; wait",
  );

  await endMarked(`${PROGRAM_VARIABLE}=fork`);

  expect(await endMarked(`${PROGRAM_VARIABLE}=fork`)).toBe(0);
});

test("ending what is not there does nothing", async () => {
  expect(await endLeftovers("/work/nothing")).toBe(0);
});
