import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { removeFolder } from "../../testing/temporary-folder.ts";
import {
  type Corner,
  endOf,
  makeCorner,
  NODE,
  processesOf,
  runIn,
  type SandboxEnd,
  startWrapped,
  testSandbox,
  whyNoBubblewrap,
  wrapIn,
} from "./sandbox.fixture.ts";

const isSkipped = (await whyNoBubblewrap()) !== undefined;
const SOURCE = new URL("../../", import.meta.url).pathname;

let corner: Corner;
beforeEach(async (t) => {
  corner = await makeCorner(t);
});

describe.skipIf(isSkipped)("a program in bubblewrap", () => {
  test("edits its checkout and its home, and its exit code is told", async () => {
    const shell = "echo more >> README.md; mkdir sub; echo x > ~/.agent; cd sub; git init -q . && exit 3";

    expect(await sh(shell)).toEqual({ output: "", exitCode: 3, signal: null });

    expect(readFileSync(join(corner.checkout, "README.md"), "utf8")).toBe("# Shop\nmore\n");
    expect(readFileSync(join(corner.home, ".agent"), "utf8")).toBe("x\n");
    expect(existsSync(join(corner.checkout, "sub/.git/HEAD"))).toBe(true);
    expect(readdirSync(corner.checkout).sort()).toEqual(["README.md", "sub"]);
  });

  test("reads what a rule opens to it, and cannot write there", async () => {
    const folder = join(corner.checkout, "../mirror");
    mkdirSync(folder);
    writeFileSync(join(folder, "objects"), "readable");

    const run = {
      command: "sh",
      args: ["-c", "cat ../mirror/objects; touch ../mirror/x"],
      readable: [folder],
    };
    const { output } = await runIn(testSandbox(corner), corner, run);

    expect(output).toMatch(/^readable.*Read-only file system/);
  });

  test("keeps from writing a part of its checkout that is opened to be read alone", async () => {
    mkdirSync(join(corner.checkout, ".claude"));

    const run = {
      command: "touch",
      args: [".claude/settings.json"],
      readable: [join(corner.checkout, ".claude")],
    };
    const { output } = await runIn(testSandbox(corner), corner, run);

    expect(output).toMatch(/Read-only file system/);
  });

  test("has nobody's environment but its own, also variables that would load code, which bubblewrap does not see", async () => {
    const environment = { API_KEY: "key", LD_PRELOAD: "/nowhere.so" };

    const { output } = await runIn(testSandbox(corner), corner, { command: "env", args: [], environment });

    const names = output.match(/^[A-Za-z_]+(?==)/gm)?.sort();
    // The last two are the shell's own.
    expect(names).toEqual(["API_KEY", "HOME", "LD_PRELOAD", "PATH", "PWD", "SHLVL"]);
  });

  test("is talked to by its stdin where it has one, also with a way out beside it", async () => {
    const run = { command: "cat", args: [], allowedDomains: ["example.org"] };
    const wrapped = await wrapIn(testSandbox(corner), corner, run);
    const { command, args, directory: cwd, environment: env } = wrapped;
    const child = spawn(command, args, { cwd, env, detached: true });
    child.stdin.end("a question");

    const ended = await endOf(child).finally(() => wrapped.close());
    expect(ended).toEqual({ output: "a question", exitCode: 0, signal: null });
  });

  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "hears %s when its group does, and ends as it likes",
    async (name) => {
      // What the shell says of its own children, which hear it too, is not of interest.
      const shell = `exec 2>/dev/null; trap 'echo saved; exit 7' ${name.slice(3)}; echo ready; while :; do sleep 0.05; done`;
      const wrapped = await wrapIn(testSandbox(corner), corner, { command: "sh", args: ["-c", shell] });
      const child = startWrapped(wrapped);
      const end = endOf(child);
      await new Promise((resolve) => child.stdout?.once("data", resolve));

      process.kill(-(child.pid ?? 0), name);

      expect(await end).toEqual({ output: "ready\nsaved\n", exitCode: 7, signal: null });
      await wrapped.close();
    },
  );

  test("is refused when it is not there, or where Robson's own files would be opened", async () => {
    const sandbox = testSandbox(corner);
    const hidden = { command: process.execPath, args: [], readable: [corner.robson] };

    await expect(runIn(sandbox, corner, hidden)).rejects.toMatchObject({ code: "SANDBOX_REFUSED" });
    await expect(runIn(sandbox, corner, { command: "no-such-program", args: [] })).rejects.toMatchObject({
      code: "PROGRAM_MISSING",
    });
    expect(leftFolders()).toEqual([]);
  });
});

describe.skipIf(isSkipped)("the network of a program in bubblewrap", () => {
  test("leads to allowed domains through the proxy, and nowhere else", async () => {
    const port = await serve("from the service");
    const fetchAll = `(async () => {
      for (const url of ["http://shop.example.org:${port}", "http://other.example.org:${port}", "http://169.254.169.254/latest"]) {
        await new Promise((done) => require("node:http").get(url, (answer) => answer.setEncoding("utf8").on("data", (text) => console.log(answer.statusCode, text)).on("end", done)));
      }
    })()`;
    const run = {
      command: NODE,
      args: ["-e", fetchAll],
      allowedDomains: [`shop.example.org:${port}`, `127.0.0.1:${port}`],
    };
    const lookup = async () => [{ address: "127.0.0.1", family: 4 }];

    const { output } = await runIn(testSandbox(corner, { lookup }), corner, run);

    expect(output).toMatch(
      /^200 from the service\n403 Refused by .*other\.example\.org.*\n\n403 Refused by .*169\.254/,
    );
  });

  test("leads directly to a service of the machine that stands in the list with its port", async () => {
    const port = await serve("a local model");
    const ask = `require("node:http").get("http://127.0.0.1:${port}", (answer) => answer.pipe(process.stdout))`;

    const run = { command: NODE, args: ["-e", ask], allowedDomains: [`127.0.0.1:${port}`] };

    expect((await runIn(testSandbox(corner), corner, run)).output).toBe("a local model");
  });

  test("differs from program to program, also while they run at once", async () => {
    const sandbox = testSandbox(corner);
    const ports = [await serve("first"), await serve("second")];
    const ask = ports
      .map(
        (port) =>
          `require("node:http").get("http://127.0.0.1:${port}", (a) => a.pipe(process.stdout)).on("error", (e) => console.log(e.code))`,
      )
      .join(";");

    const ends = await Promise.all(
      [0, 1, 2].map((index) => {
        const allowedDomains = ports.slice(index, index + 1).map((port) => `127.0.0.1:${port}`);
        return runIn(sandbox, corner, { command: NODE, args: ["-e", ask], allowedDomains });
      }),
    );

    expect(ends.map(({ output }) => output.match(/first|second|ECONNREFUSED/g)?.sort())).toEqual([
      ["ECONNREFUSED", "first"],
      ["ECONNREFUSED", "second"],
      ["ECONNREFUSED", "ECONNREFUSED"],
    ]);
  });
});

describe.skipIf(isSkipped)("what a sandbox makes on the machine", () => {
  test("is gone after it is closed, twice if need be", async () => {
    const wrapped = await wrapIn(testSandbox(corner), corner, {
      command: "true",
      args: [],
      allowedDomains: ["example.org"],
    });
    expect(leftFolders()).toHaveLength(1);

    await wrapped.close();
    await wrapped.close();

    expect(leftFolders()).toEqual([]);
    expect(leftGroups()).toEqual([]);
  });

  test("is gone with all that runs in it when Robson is killed, after the next program at the latest", async () => {
    const owner = spawn(process.execPath, [
      "--disable-warning=ExperimentalWarning",
      new URL("sandbox-owner.fixture.ts", import.meta.url).pathname,
      corner.checkout,
      corner.home,
    ]);
    onTestFinished(() => void owner.kill("SIGKILL"));
    await new Promise((resolve) => owner.stdout.once("data", resolve));
    expect(processesOf(corner).length).toBeGreaterThan(2);
    expect(leftFolders(owner.pid)).toHaveLength(1);
    const gone = new Promise((resolve) => owner.once("close", resolve));

    owner.kill("SIGKILL");
    await gone;

    await expect.poll(() => processesOf(corner)).toEqual([]);
    await sh("true");
    expect(leftFolders(owner.pid)).toEqual([]);
    expect(leftGroups(owner.pid)).toEqual([]);
  });

  test("is not touched while the process lives that made it, or may live in another container", async () => {
    const stat = readFileSync("/proc/1/stat", "utf8");
    const start = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    const namespace = /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0];
    const make = (mark: string) => mkdtempSync(join(tmpdir(), `robson-sandbox-${mark}-`));
    const folder = make(`1-0-${namespace}`);
    const living = make(`1-${start}-${namespace}`);
    const elsewhere = make("1-0-1");

    await sh("true");

    expect([folder, living, elsewhere].map(existsSync)).toEqual([false, true, true]);
    await Promise.all([living, elsewhere].map(removeFolder));
  });
});

test.skipIf(isSkipped)(
  "where no namespaces can be made, as within a sandbox, it is unavailable, and the error says what to write",
  async () => {
    const check = `
      const { bubblewrapSandbox } = await import("${SOURCE}workflow/sandbox/bubblewrap.ts");
      const { DEFAULT_SANDBOX_LIMITS: limits } = await import("${SOURCE}workflow/limits.ts");
      const sandbox = bubblewrapSandbox({ limits, protectedPaths: [], needsNetwork: false });
      await sandbox.check({ signal: AbortSignal.timeout(30000) }).catch((e) => console.log(e.code, e.message, "HINT", e.hint));`;
    const run = {
      command: NODE,
      args: ["--no-warnings", "--input-type=module", "-e", check],
      readable: [SOURCE.slice(0, -1), join(SOURCE, "../node_modules"), join(SOURCE, "../package.json")],
    };

    const { output } = await runIn(testSandbox(corner), corner, run);

    expect(output).toMatch(
      /^SANDBOX_UNAVAILABLE Cannot use the sandbox "bubblewrap": a trial run failed: .+HINT .+sandbox = "none" under \[workflow\]/s,
    );
  },
);

function sh(text: string): Promise<SandboxEnd> {
  return runIn(testSandbox(corner), corner, { command: "sh", args: ["-c", text] });
}

async function serve(text: string): Promise<number> {
  const server: Server = createServer((_asked, answer) => answer.end(text));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function leftFolders(pid = process.pid): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith(`robson-sandbox-${pid}-`));
}

function leftGroups(pid = process.pid): string[] {
  const trees = ["/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"].filter(existsSync);
  return trees.flatMap((tree) =>
    readdirSync(tree, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.includes(`robson-sandbox-${pid}-`),
    ),
  );
}
