import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { temporaryFolder } from "../../testing/temporary-folder.ts";
import { findProgram, isWithin, openingsOf } from "./rules.ts";

let root: string;
beforeEach(async (t) => {
  root = realpathSync(await temporaryFolder(t));
  for (const folder of ["checkout/sub", "home", "data/robson", "tools/bin"])
    mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, "data/robson/robson.db"), "");
});

const inRoot = (...names: string[]) => names.map((name) => join(root, name));

test("parents stand before what lies in them, and each path stands once", async () => {
  const rules = {
    writable: inRoot("checkout", "home"),
    readable: inRoot("checkout/sub", "tools", "home"),
    allowedDomains: [],
  };

  expect(await openingsOf(rules, { protectedPaths: [] })).toEqual([
    { path: join(root, "checkout"), isWritable: true },
    { path: join(root, "checkout/sub"), isWritable: false },
    { path: join(root, "home"), isWritable: true },
    { path: join(root, "tools"), isWritable: false },
  ]);
});

describe("a rule is refused that", () => {
  test.each([
    ["opens a folder with Robson's database", "data", "it holds, or lies in, %/data/robson/robson.db"],
    ["opens the database itself", "data/robson/robson.db", "it holds, or lies in, %/data/robson/robson.db"],
    ["opens what is not there", "missing", "it is not there"],
    ["opens a link", "link", "a link leads from it to %/data"],
    ["opens a path over a link", "link/robson", "a link leads from it to %/data/robson"],
    ["opens a path that climbs", "checkout/../data", "it is no absolute path"],
  ])("%s", async (_what, name, why) => {
    symlinkSync(join(root, "data"), join(root, "link"));
    const protectedPaths = inRoot("data/robson/robson.db");
    const rules = { writable: [], readable: [`${root}/${name}`], allowedDomains: [] };

    await expect(openingsOf(rules, { protectedPaths })).rejects.toMatchObject({
      code: "SANDBOX_REFUSED",
      retry: "never",
      message: expect.stringContaining(why.replace("%", root)),
    });
  });

  test.each(["/", "/proc", "/proc/1", "/run", "/sys", homedir(), "/etc"])("opens %s", async (path) => {
    const rules = { writable: [], readable: [path], allowedDomains: [] };

    await expect(openingsOf(rules, { protectedPaths: [] })).rejects.toMatchObject({
      code: "SANDBOX_REFUSED",
    });
  });

  test("makes a file writable", async () => {
    const rules = { writable: inRoot("data/robson/robson.db"), readable: [], allowedDomains: [] };

    await expect(openingsOf(rules, { protectedPaths: [] })).rejects.toMatchObject({
      message: expect.stringContaining("it is no folder"),
    });
  });
});

describe("a program", () => {
  const systemPaths = ["/usr", "/bin"];
  const find = (command: string, { path = "/usr/bin", openings = inRoot("checkout") } = {}) =>
    findProgram(
      { command, args: [], directory: join(root, "checkout"), environment: { PATH: path } },
      openings.map((each) => ({ path: each, isWritable: false })),
      { systemPaths },
    );

  test("of the system is found by its name", async () => {
    expect(await find("env")).toBe("/usr/bin/env");
  });

  test("of the checkout is found by its path", async () => {
    writeFileSync(join(root, "checkout/run"), "");

    expect(await find("./run")).toBe(join(root, "checkout/run"));
  });

  test("behind a link from out of reach is started where it is", async () => {
    writeFileSync(join(root, "checkout/tool"), "");
    symlinkSync(join(root, "checkout/tool"), join(root, "tools/bin/tool"));

    expect(await find("tool", { path: join(root, "tools/bin") })).toBe(join(root, "checkout/tool"));
  });

  test("out of reach is refused with the folder to open", async () => {
    writeFileSync(join(root, "tools/bin/agent"), "");

    await expect(find("agent", { path: join(root, "tools/bin") })).rejects.toMatchObject({
      code: "SANDBOX_REFUSED",
      hint: expect.stringContaining(`Add "${join(root, "tools/bin")}" to sandbox.readable`),
    });
  });

  test("that is nowhere is refused as not installed", async () => {
    await expect(find("no-such-program")).rejects.toMatchObject({
      code: "PROGRAM_MISSING",
      message: expect.stringContaining("no such program"),
    });
  });

  test("is not started in a folder that no rule opens", async () => {
    await expect(find("env", { openings: inRoot("home") })).rejects.toMatchObject({
      code: "SANDBOX_REFUSED",
    });
  });
});

test("a folder whose name only begins like another does not lie in it", () => {
  expect([
    isWithin("/a/b", "/a"),
    isWithin("/a", "/a"),
    isWithin("/ab", "/a"),
    isWithin("/a/..b", "/a"),
  ]).toEqual([true, true, false, true]);
});
