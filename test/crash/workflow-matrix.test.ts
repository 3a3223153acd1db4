/**
 * The crash matrix: a process that works on a task kills itself at a point of the run, before or after a step, a commit or
 * an effect outside; the next one goes on. At every point the end is that of a run that nothing interrupted. A sample of
 * the points here, all of them with ROBSON_CRASH_KILLS (`npm run test:crash`).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { databaseKinds } from "../../src/testing/databases.ts";
import { type DemoWorkflow, openDemoWorkflow } from "../../src/testing/demo-workflow.ts";
import { temporaryFolder } from "../../src/testing/temporary-folder.ts";

const PROGRAM = fileURLToPath(new URL("../../src/testing/run-demo-task.ts", import.meta.url));
/** Of how many points one is tried. */
const EVERY = process.env.ROBSON_CRASH_KILLS === undefined ? 12 : 1;
const LONG_MS = 1_200_000;

/** What steps report with their results, each once. What an agent's turn tells at once depends on where it was cut. */
const REPORTED = /^(?:Working on|Cloned|Taking up|The agent "|`npm test`|Pushed|\*\*DEMO-1\*\*)/;

interface Ended {
  signal: NodeJS.Signals | null;
  code: number | null;
  points: string[];
}

async function runProcess(
  { directory, location }: { directory: string; location: string },
  dieAt?: string,
): Promise<Ended> {
  const env = { ...process.env, ...(dieAt === undefined ? {} : { ROBSON_DIE_AT: dieAt }) };
  const args = ["--disable-warning=ExperimentalWarning", PROGRAM, directory, location];
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const [code, signal] = await once(child, "close");
  return { code, signal, points: printed.split("\n").filter((line) => line !== "") };
}

/** All that a person can see of the run afterwards, without what differs by its nature: ids, times, commits' hashes. */
async function endOf(world: DemoWorkflow) {
  const branches = await world.branches();
  const branch = branches[1] ?? "";
  const [run, ...others] = await world.store.runs.runs({});
  const events = await world.store.events(run?.conversationId ?? 0);
  const pullRequests = await world.pullRequests.list();
  const task = await world.tasks.get("DEMO-1");
  return {
    branches,
    commits: (await world.git("log", "--format=%s%n%an%n%T", `main..${branch}`)).trim(),
    pullRequests: pullRequests.map(({ head, base, title, headSha }) => ({
      head,
      base,
      title,
      isHead: headSha !== "",
    })),
    comments: (await world.tasks.comments("DEMO-1")).map(({ marker }) => marker),
    answers: events.filter(({ kind }) => kind === "completed" || kind === "failed").map(({ kind }) => kind),
    told: events.map(({ content }) => content.split("\n", 1)[0] ?? "").filter((text) => REPORTED.test(text)),
    run: {
      status: run?.status,
      steps: (await world.store.runs.run(run?.conversationId ?? 0))?.steps.map(({ name }) => name),
    },
    others,
    task: {
      status: task.status,
      branch: task.branch,
      prUrl: task.prUrl,
      error: task.error,
      repositories: task.repositories.map(({ url: _, ...repository }) => repository),
    },
    leftWorkspaces: readdirSync(join(world.options.workDirectory, "DEMO-1")),
  };
}

/** Processes that work in the folder, by what their environment says. */
function processesIn(directory: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || !existsSync(`/proc/${pid}/environ`)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`=${directory}`);
    } catch {
      // It has ended meanwhile, or is not ours.
      return false;
    }
  });
}

describe.each(databaseKinds)(
  "a process that kills itself while it works on a task, on $name",
  ({ name, create }) => {
    test("leaves at every point what the next one makes one result of", { timeout: LONG_MS }, async (t) => {
      const place = async () => ({ directory: await temporaryFolder(t), location: await create(t) });
      const whole = await place();
      const { points, code } = await runProcess(whole);
      expect(code).toBe(0);
      expect(new Set(points).size).toBe(points.length);
      expect(points.length).toBeGreaterThan(40);
      const wanted = await withWorld(whole, endOf);
      expect(wanted).toMatchObject({
        others: [],
        answers: ["completed"],
        task: { status: "done" },
        leftWorkspaces: [],
      });

      // Not the same points on both databases.
      const offset = name === "sqlite" ? 0 : Math.floor(EVERY / 2);
      for (const [index, point] of points.entries()) {
        if (index % EVERY !== offset) continue;
        const interrupted = await place();
        expect(await runProcess(interrupted, point)).toMatchObject({ signal: "SIGKILL" });
        const next = await runProcess(interrupted);
        expect({ point, code: next.code }).toEqual({ point, code: 0 });
        const end = await withWorld(interrupted, endOf);
        const told = { ...end, run: wanted.run, others: end.others };
        expect({ point, ...told }).toEqual({ point, ...wanted });
        expect(end.run.status).toBe("done");
        // What was killed may take a moment to be gone.
        await expect.poll(() => processesIn(interrupted.directory)).toEqual([]);
      }
    });
  },
);

async function withWorld<T>(
  place: { directory: string; location: string },
  look: (world: DemoWorkflow) => Promise<T>,
): Promise<T> {
  const world = await openDemoWorkflow(place);
  try {
    return await look(world);
  } finally {
    await world.close();
  }
}
