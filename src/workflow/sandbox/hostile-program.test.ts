import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { homedir, networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createFolder, removeFolder } from "../../testing/temporary-folder.ts";
import { WAYS_TO_FILES, type Way } from "./hostile-files.fixture.ts";
import { WAYS_TO_THE_MACHINE } from "./hostile-machine.fixture.ts";
import { noSandbox } from "./none.ts";
import {
  type Corner,
  endOf,
  makeCorner,
  NODE,
  processesOf,
  runIn,
  SECRET,
  startWrapped,
  testSandbox,
  whyNoBubblewrap,
  wrapIn,
} from "./sandbox.fixture.ts";

const isSkipped = (await whyNoBubblewrap()) !== undefined;

const SMALL = { maxProcesses: 64, maxFileMib: 16, maxTemporaryMib: 16, maxMemoryMib: 512 };
/** What Robson's kernel runs when a program crashes: whoever can write it, is root. */
const CORE_PATTERN = "/proc/sys/kernel/core_pattern";

let corner: Corner;
/** What listens on the machine, and who has come there. */
let machine: Awaited<ReturnType<typeof listenEverywhere>>;

beforeAll(async () => {
  machine = await listenEverywhere();
});
afterAll(async () => {
  await machine.close();
});
beforeEach(async (t) => {
  corner = await makeCorner(t);
});

describe.skipIf(isSkipped)("a hostile program in the sandbox gets nothing out when it", () => {
  test.each([...WAYS_TO_FILES, ...WAYS_TO_THE_MACHINE])("$way", async (way) => {
    const corePattern = readFileSync(CORE_PATTERN, "utf8");

    const { output } = await runIn(testSandbox(corner, { limits: SMALL }), corner, programOf(way));

    expect(output).toMatch(way.meets);
    expect(output).not.toContain(SECRET);
    expect(machine.visitors).toEqual([]);
    expect(machine.robson).toMatchObject({ exitCode: null, signalCode: null });
    expect(readFileSync(join(corner.robson, "robson.db"), "utf8")).toBe(`${SECRET}\n`);
    expect(readFileSync(CORE_PATTERN, "utf8")).toBe(corePattern);
    way.after?.(corner);
  });

  test("reads what Robson was handed open by its own starter", async () => {
    const file = openSync(join(corner.robson, "robson.db"), "r");

    const run = { command: "sh", args: ["-c", "cat <&3"], openFiles: [file] };
    const { output } = await runIn(testSandbox(corner), corner, run).finally(() => closeSync(file));

    expect(output).toMatch(/bad file descriptor/i);
    expect(output).not.toContain(SECRET);
  });

  test("has swapped its checkout for a link in an earlier turn", async () => {
    renameSync(corner.checkout, `${corner.checkout}.old`);
    symlinkSync(corner.robson, corner.checkout);

    const run = runIn(testSandbox(corner), corner, { command: "ls", args: [] });

    await expect(run).rejects.toMatchObject({ code: "SANDBOX_REFUSED", retry: "never" });
  });

  test("starts processes without an end: their number is held, or the operator was told that it cannot be", async () => {
    const sandbox = testSandbox(corner, { limits: SMALL });
    const { warnings } = await sandbox.check({ signal: AbortSignal.timeout(30_000) });
    const bomb = `my $n = 0; while ($n < 300) { my $p = fork; last unless defined $p; if (!$p) { sleep 600; exit } $n++ } print "started $n\\n"`;

    const { output } = await runIn(sandbox, corner, { command: "perl", args: ["-e", bomb] });

    const started = Number(/started (\d+)/.exec(output)?.[1] ?? 0);
    expect(started < SMALL.maxProcesses || warnings.join().includes("maxProcesses")).toBe(true);
    await expect.poll(() => processesOf(corner)).toEqual([]);
  });

  test("takes memory without an end: it is held, or the operator was told that it cannot be", async () => {
    const sandbox = testSandbox(corner, { limits: { maxMemoryMib: 64 } });
    const { warnings } = await sandbox.check({ signal: AbortSignal.timeout(30_000) });

    const hog = `my @m; push @m, "x" x 1048576 for 1 .. 256; print "has it all\\n"`;
    const { output } = await runIn(sandbox, corner, { command: "perl", args: ["-e", hog] });

    expect(!output.includes("has it all") || warnings.join().includes("maxMemoryMib")).toBe(true);
  });

  test("fills the disk with many files: whoever started it is told to end it", async () => {
    const limits = { maxDiskMib: 8, diskCheckMs: 50 };
    const fill = "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > file-$((i % 40)); done";

    const { output } = await runIn(testSandbox(corner, { limits }), corner, {
      command: "sh",
      args: ["-c", fill],
    });

    expect(output).toMatch(/hold more than maxDiskMib \(8\)/);
    await expect.poll(() => processesOf(corner)).toEqual([]);
  });

  test("leaves a process in a session of its own that is to outlive it", async () => {
    const shell = "setsid sh -c 'trap \"\" HUP TERM INT; sleep 600' >/dev/null 2>&1 & sleep 0.1; echo left";

    const { output } = await runIn(testSandbox(corner), corner, { command: "sh", args: ["-c", shell] });

    expect(output).toBe("left\n");
    await expect.poll(() => processesOf(corner)).toEqual([]);
  });

  test("hears no signal: SIGKILL to its group ends it with all that it started", async () => {
    const shell = "trap '' INT TERM HUP; setsid sleep 600 & echo ready; while :; do sleep 600; done";
    const wrapped = await wrapIn(testSandbox(corner), corner, { command: "sh", args: ["-c", shell] });
    const child = startWrapped(wrapped);
    const ended = endOf(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));

    process.kill(-(child.pid ?? 0), "SIGINT");
    process.kill(-(child.pid ?? 0), "SIGTERM");
    expect(child.exitCode).toBeNull();
    process.kill(-(child.pid ?? 0), "SIGKILL");

    await ended;
    await wrapped.close();
    await expect.poll(() => processesOf(corner)).toEqual([]);
  });
});

test.each([
  { way: "the database", sh: "cat %ROBSON%/robson.db" },
  { way: "the environment", sh: "cat /proc/%PID%/environ" },
  {
    way: "a service of the machine",
    perl: `use IO::Socket::INET; print IO::Socket::INET->new("127.0.0.1:%PORT%")->getline`,
  },
  { way: "the ssh agent", perl: `use IO::Socket::UNIX; print IO::Socket::UNIX->new("%AGENT%")->getline` },
])("without a sandbox, $way gives the secret away: what the tests above look for is there", async (way) => {
  const { output } = await runIn(noSandbox(), corner, programOf({ ...way, meets: /./ }));

  machine.visitors.length = 0;
  expect(output).toContain(SECRET);
});

function programOf({ sh, js, perl, args = [] }: Way) {
  const [command, flag, source = ""] = sh ? ["sh", "-c", sh] : js ? [NODE, "-e", js] : ["perl", "-e", perl];
  return { command, args: [flag, filledIn(source), ...args] };
}

function filledIn(source: string): string {
  const known: Record<string, string> = {
    PID: String(machine.robson.pid),
    PORT: String(machine.port),
    ADDRESS: machine.address,
    AGENT: machine.agent,
    ABSTRACT: machine.abstract,
    HOME: homedir(),
    ROBSON: corner.robson,
    NEIGHBOUR: corner.neighbour,
    CHECKOUT: corner.checkout,
  };
  return source.replace(/%([A-Z]+)%/g, (_all, name: string) => known[name] ?? "");
}

/** A process, a service on all addresses, an abstract socket, and what could be an ssh agent. Each gives away the secret. */
async function listenEverywhere() {
  const folder = await createFolder();
  const visitors: string[] = [];
  const servers: Server[] = [];
  const listen = (where: { port: number; host: string } | { path: string }) =>
    new Promise<Server>((resolve) => {
      const server = createServer((socket) => {
        visitors.push(JSON.stringify(where));
        socket.end(SECRET);
      });
      servers.push(server);
      server.listen(where, () => resolve(server));
    });
  const agent = join(folder, "agent.sock");
  const abstract = `robson-test-${process.pid}`;
  const service = (await listen({ port: 0, host: "0.0.0.0" })).address();
  await listen({ path: agent });
  await listen({ path: `\0${abstract}` });
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  // Stands for Robson: what it has in its environment, nobody may read, and nobody may end it.
  const robson = spawn("sleep", ["600"], { env: { ROBSON_TOKEN: SECRET }, stdio: "ignore" });
  const outside = addresses.find(({ family, internal }) => family === "IPv4" && !internal);
  return {
    robson,
    visitors,
    agent,
    abstract,
    port: service !== null && typeof service === "object" ? service.port : 0,
    address: outside?.address ?? "127.0.0.2",
    close: async () => {
      robson.kill();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
      await removeFolder(folder);
    },
  };
}
