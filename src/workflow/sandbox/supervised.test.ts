import { beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_WORKFLOW_LIMITS, type SandboxLimits } from "../limits.ts";
import { createLaunch } from "../supervisor.ts";
import {
  type Corner,
  makeCorner,
  NODE,
  processesOf,
  testSandbox,
  whyNoBubblewrap,
} from "./sandbox.fixture.ts";

const isSkipped = (await whyNoBubblewrap()) !== undefined;

let corner: Corner;
beforeEach(async (t) => {
  corner = await makeCorner(t);
});

describe.skipIf(isSkipped)("under the supervisor, a program in bubblewrap", () => {
  test("prints its lines, is talked to, and tells its exit code", async () => {
    const lines: string[] = [];
    const program = await launch({})({
      command: "sh",
      args: ["-c", "read -r name; echo hello $name; exit 4"],
      stdin: "pipe",
      onLine: (line) => lines.push(line),
    });
    program.stdin?.write("world\n");

    expect(await program.ended).toMatchObject({ exitCode: 4, endedBy: "itself" });
    expect(lines).toEqual(["hello world"]);
  });

  test("hears that it is to end, and saves what it has", async () => {
    const started = Promise.withResolvers<void>();
    const save = `process.on("SIGINT", () => { console.log("saved"); process.exit(5); }); console.log("ready"); setInterval(() => {}, 1000);`;
    const program = await launch(
      {},
      { killGraceMs: 20_000 },
    )({ command: NODE, args: ["-e", save], onLine: () => started.resolve() });
    await started.promise;

    program.end();

    expect(await program.ended).toMatchObject({ exitCode: 5, endedBy: "abort", stdout: "ready\nsaved\n" });
  });

  test("that takes too long, and hears nothing, is ended with what it left behind", async () => {
    const shell = "trap '' INT TERM; setsid sleep 600 & while :; do sleep 600; done";
    const program = await launch({}, { timeoutMs: 300 })({ command: "sh", args: ["-c", shell] });

    expect(await program.ended).toMatchObject({ endedBy: "timeout" });
    await expect.poll(() => processesOf(corner)).toEqual([]);
  });

  test("that fills the disk is ended, and the limit is told", async () => {
    const fill = "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > file-$((i % 40)); done";
    const program = await launch({ maxDiskMib: 8, diskCheckMs: 50 })({ command: "sh", args: ["-c", fill] });

    await expect(program.ended).rejects.toMatchObject({ code: "SANDBOX_LIMIT" });
    await expect.poll(() => processesOf(corner)).toEqual([]);
  });
});

function launch(limits: Partial<SandboxLimits>, { timeoutMs = 60_000, killGraceMs = 2000 } = {}) {
  return createLaunch({
    directory: corner.checkout,
    environment: { PATH: "/usr/bin:/bin", HOME: corner.home },
    timeout: { name: "agentTimeoutMs", ms: timeoutMs },
    limits: { ...DEFAULT_WORKFLOW_LIMITS, killGraceMs },
    sandbox: {
      sandbox: testSandbox(corner, { limits }),
      rules: { writable: [corner.checkout, corner.home], readable: [NODE], allowedDomains: [] },
    },
    signal: new AbortController().signal,
  });
}
