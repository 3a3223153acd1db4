/** The launcher, under a Node that is new enough and under one that says it is old. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { expect, onTestFinished, test } from "vitest";

const root = join(import.meta.dirname, "..");

/** A folder with the launcher in it, and a program that tells what it was started with. */
function aCheckout(main: string): { launcher: string; oldNode: string[]; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "robson-launcher-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "src/cli"), { recursive: true });
  cpSync(join(root, "bin"), join(folder, "bin"), { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "src/cli/main.ts"), main);
  const pretence = join(folder, "old.cjs");
  writeFileSync(
    pretence,
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.19.0" } });',
  );
  return { folder, launcher: join(folder, "bin/robson.cjs"), oldNode: ["--require", pretence] };
}

function bringNode(folder: string): void {
  mkdirSync(join(folder, "node_modules/.bin"), { recursive: true });
  symlinkSync(process.execPath, join(folder, "node_modules/.bin/node"));
}

function build(folder: string): void {
  mkdirSync(join(folder, "dist/cli"), { recursive: true });
  writeFileSync(join(folder, "dist/cli/main.js"), 'console.log("built");');
}

const TELL =
  "console.log(JSON.stringify(process.argv.slice(2)), process.versions.node); process.exitCode = 7;";

test("the launcher prints the version of the package", () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { stdout, status } = spawnSync(process.execPath, [join(root, "bin/robson.cjs"), "--version"], {
    encoding: "utf8",
  });
  expect([stdout, status]).toEqual([`${version}\n`, 0]);
});

test("in a checkout the sources run, whatever was built there", () => {
  const { folder, launcher } = aCheckout(TELL);
  build(folder);
  const { stdout } = spawnSync(process.execPath, [launcher, "a"], { encoding: "utf8" });
  expect(stdout).toBe(`["a"] ${process.versions.node}\n`);
});

test("where there are no sources, as in the package, the built program runs", () => {
  const { folder, launcher } = aCheckout(TELL);
  build(folder);
  rmSync(join(folder, "src"), { recursive: true });
  expect(spawnSync(process.execPath, [launcher], { encoding: "utf8" }).stdout).toBe("built\n");
});

test("under an old Node in a checkout the program runs under the checkout's Node, with its arguments and exit code", () => {
  const { folder, launcher, oldNode } = aCheckout(TELL);
  bringNode(folder);
  const run = spawnSync(process.execPath, [...oldNode, launcher, "task", "a b", "--json"], {
    encoding: "utf8",
  });
  expect(run.stdout).toBe(`["task","a b","--json"] ${process.versions.node}\n`);
  expect(run.status).toBe(7);
});

test("a signal to the launcher reaches the program that it started", async () => {
  const { folder, launcher, oldNode } = aCheckout(
    'process.on("SIGTERM", () => process.exit(5)); setInterval(() => undefined, 60_000); console.log("ready");',
  );
  bringNode(folder);
  const launched = spawn(process.execPath, [...oldNode, launcher], { stdio: ["ignore", "pipe", "inherit"] });
  await once(launched.stdout, "data");
  launched.kill("SIGTERM");
  expect(await once(launched, "exit")).toEqual([5, null]);
});

test("the program stops as on SIGTERM when the launcher that started it is killed", async () => {
  const { folder, launcher, oldNode } = aCheckout(
    `process.on("SIGTERM", () => { console.log("stopped"); process.exit(); });
     setInterval(() => undefined, 60_000); console.log("ready");`,
  );
  bringNode(folder);
  const launched = spawn(process.execPath, [...oldNode, launcher], { stdio: ["ignore", "pipe", "inherit"] });
  let told = "";
  launched.stdout.on("data", (text) => {
    told += text;
    if (told === "ready\n") launched.kill("SIGKILL");
  });

  await once(launched.stdout, "close"); // the program's too, which has inherited it

  expect(told).toBe("ready\nstopped\n");
});

test("what the program starts knows nothing of its launcher, and a channel of someone else's may be closed", async () => {
  const { folder, launcher, oldNode } = aCheckout(
    `import { spawnSync } from "node:child_process";
     const look = "console.log(typeof process.send, process.env.ROBSON_LAUNCHER)";
     process.stdout.write(spawnSync(process.execPath, ["-e", look]).stdout);
     const end = () => console.log("ended by itself");
     if (process.argv.includes("--forked")) process.on("disconnect", () => setImmediate(end));
     else end();`,
  );
  bringNode(folder);
  const run = spawnSync(process.execPath, [...oldNode, launcher], { encoding: "utf8" });
  const forked = spawn(process.execPath, [launcher, "--forked"], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  let told = "";
  forked.stdout?.on("data", (text) => {
    told += text;
    if (forked.connected) forked.disconnect();
  });
  const [exit] = await Promise.all([once(forked, "exit"), once(forked.stdout as Readable, "close")]);

  expect(run.stdout).toBe("undefined undefined\nended by itself\n");
  expect([told, ...exit]).toEqual(["undefined undefined\nended by itself\n", 0, null]);
});

test("under an old Node outside a checkout it says what to install", () => {
  const { launcher, oldNode } = aCheckout(TELL);
  const run = spawnSync(process.execPath, [...oldNode, launcher, "agent"], { encoding: "utf8" });
  expect(run.stdout).toBe("");
  expect(run.stderr).toBe(
    "Cannot start robson: it needs Node.js 24.15 or later, and this is 20.19.0\n" +
      "hint: Install a newer Node.js (nodejs.org), or one beside it with a version manager\n",
  );
  expect(run.status).toBe(2);
});
