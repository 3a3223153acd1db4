/** Plugins as robson.toml names them: each case is a folder with its files, loaded in a process as the program does. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { robson } from "./robson-process.fixture.ts";

interface Outcome {
  names?: string[];
  code?: string;
  message?: string;
  hint?: string;
}

const plugin = (name: string, setup = "") =>
  `import { definePlugin } from "robson";\nexport const plugin = definePlugin({ name: "${name}", setup(host) { ${setup} } });\n`;
const use = (...names: string[]) => names.map((name) => `[[plugins]]\nuse = "${name}"\n`).join("\n");
/** A schema as any library's: refuses every `folder` that is no text. */
const SCHEMA = `{ "~standard": { version: 1, vendor: "test", validate: (value) =>
  typeof value.folder === "string" ? { value } : { issues: [{ message: "expected a text", path: ["folder"] }] } } }`;
const WITH_CONFIG = `export const plugin = { name: "chat", config: ${SCHEMA}, setup() {} };`;

const CASES: Record<string, { files: Record<string, string>; outcome: Outcome }> = {
  "a plugin of a .ts file is loaded as it is": {
    files: {
      "robson.toml": use("./plugins/a.ts"),
      "plugins/a.ts": `${plugin("a")}export const n: number = 1;`,
    },
    outcome: { names: ["a"] },
  },
  "a default export is a plugin too, and the order is that of the file": {
    files: {
      "robson.toml": use("./b.mjs", "./a.ts"),
      "a.ts": plugin("a"),
      "b.mjs": 'export default { name: "b", setup() {} };',
    },
    outcome: { names: ["b", "a"] },
  },
  "a package is found from the folder of robson.toml, ESM and its exports included": {
    files: {
      "robson.toml": use("robson-plugin-x", "@scope/y"),
      "node_modules/robson-plugin-x/package.json": '{"type":"module","exports":{"import":"./x.js"}}',
      "node_modules/robson-plugin-x/x.js": plugin("x"),
      "node_modules/@scope/y/package.json": '{"type":"module","main":"y.js"}',
      "node_modules/@scope/y/y.js": plugin("y"),
    },
    outcome: { names: ["x", "y"] },
  },
  "a config that fits is taken, its keys as they are written": {
    files: {
      "robson.toml": `${use("./a.ts")}[plugins.config]\nfolder = "x"\nsnake_case = 1\n`,
      "a.ts": WITH_CONFIG.replace(
        "setup() {}",
        "setup({ config }) { if (config.snake_case !== 1) throw config; }",
      ),
    },
    outcome: { names: ["chat"] },
  },
  "a file that is missing is refused": {
    files: { "robson.toml": `\n${use("./plugins/a.ts")}` },
    outcome: {
      code: "PLUGIN_INVALID",
      message:
        'Cannot use the plugin "./plugins/a.ts" (FOLDER/robson.toml, line 3): there is no file FOLDER/plugins/a.ts',
      hint: expect.stringContaining("relative to the folder of robson.toml"),
    },
  },
  "a folder is no plugin": {
    files: { "robson.toml": use("./plugins"), "plugins/a.ts": plugin("a") },
    outcome: { message: expect.stringContaining("FOLDER/plugins is no file") },
  },
  "a package that is not installed is refused": {
    files: { "robson.toml": use("robson-plugin-x") },
    outcome: {
      message: expect.stringContaining("there is no package of that name in FOLDER"),
      hint: expect.stringContaining("npm install robson-plugin-x"),
    },
  },
  "a path that does not begin with ./ is shown how": {
    files: { "robson.toml": use("plugins/a.ts"), "plugins/a.ts": plugin("a") },
    outcome: { hint: 'Write "./plugins/a.ts" for the file' },
  },
  "a plugin that throws when it is imported is refused with its words and place": {
    files: { "robson.toml": use("./a.ts"), "a.ts": '\nthrow new Error("no such device");' },
    outcome: {
      message: expect.stringMatching(/it failed while it was loaded: FOLDER\/a\.ts:2: no such device$/),
    },
  },
  "a plugin that is no JavaScript is refused with the way to its place": {
    files: { "robson.toml": use("./a.mjs"), "a.mjs": "\n\nexport const plugin = = 1;" },
    outcome: {
      message: expect.stringMatching(/loaded: Unexpected token '='$/),
      hint: "node FOLDER/a.mjs shows the place",
    },
  },
  "a plugin whose own import is missing is refused with what is missing": {
    files: { "robson.toml": use("./a.ts"), "a.ts": 'import "left-pad-of-mine";' },
    outcome: {
      message: expect.stringContaining("Cannot find package 'left-pad-of-mine'"),
      hint: "Install it beside the plugin (npm install left-pad-of-mine), or correct the import",
    },
  },
  "a file without a plugin is refused with what it exports": {
    files: { "robson.toml": use("./a.ts"), "a.ts": "export const worker = 1;" },
    outcome: {
      message: expect.stringContaining("it exports no plugin; it exports worker"),
      hint: expect.stringContaining("definePlugin"),
    },
  },
  "a function in the place of a plugin is refused as what it is": {
    files: { "robson.toml": use("./a.ts"), "a.ts": "export const plugin = () => ({});" },
    outcome: { message: expect.stringContaining("what it exports as its plugin is a function") },
  },
  "a type that is imported as a value is named": {
    files: {
      "robson.toml": use("./a.ts"),
      "a.ts": `import { type Plugin, Worker } from "robson";\n${plugin("a")}`,
    },
    outcome: {
      message: expect.stringMatching(/loaded: The requested module/),
      hint: expect.stringMatching(/^Write `type Worker` in the import/),
    },
  },
  "what definePlugin refuses is refused with the plugin's own line": {
    files: { "robson.toml": use("./a.ts"), "a.ts": `\n\n${plugin("not a name")}` },
    outcome: { message: expect.stringMatching(/loaded: FOLDER\/a\.ts:4: Cannot define a plugin named/) },
  },
  "what a worker is refused for is told with the plugin's own line": {
    files: { "robson.toml": use("./a.ts"), "a.ts": plugin("a", "\nhost.registerWorker({});") },
    outcome: { message: expect.stringMatching(/: "a": FOLDER\/a\.ts:3: Cannot define worker/) },
  },
  "an export that is no plugin is refused": {
    files: { "robson.toml": use("./a.ts"), "a.ts": 'export const plugin = { name: "a" };' },
    outcome: { message: expect.stringContaining('"a": it has no setup()') },
  },
  "two plugins of one name are refused": {
    files: { "robson.toml": use("./a.ts", "./b.ts"), "a.ts": plugin("a"), "b.ts": plugin("a") },
    outcome: {
      message:
        'Cannot use the plugin "./b.ts" (FOLDER/robson.toml, line 5): "a": there is another one of that name',
    },
  },
  "a setup that throws is refused": {
    files: { "robson.toml": use("./a.ts"), "a.ts": plugin("a", 'throw new Error("no such device");') },
    outcome: {
      message: expect.stringMatching(/: "a": FOLDER\/a\.ts:2: no such device$/),
      hint: expect.stringContaining("setup()"),
    },
  },
  "a wrong value of its config is refused with key, value, line and file": {
    files: { "robson.toml": `${use("./a.ts")}[plugins.config]\nfolder = 5\n`, "a.ts": WITH_CONFIG },
    outcome: {
      code: "CONFIG_INVALID",
      message:
        'Cannot use FOLDER/robson.toml: line 4, column 1: plugins[0].config.folder is 5; the plugin "./a.ts" refuses it: expected a text',
    },
  },
  "a missing key of its config is refused at its section": {
    files: { "robson.toml": `${use("./a.ts")}`, "a.ts": WITH_CONFIG },
    outcome: { message: expect.stringContaining("line 1, column 3: plugins[0].config.folder is missing; ") },
  },
  "a value that may be a secret is not shown": {
    files: {
      "robson.toml": `${use("./a.ts")}[plugins.config]\napi_token = "hunter2"\n`,
      "a.ts": WITH_CONFIG.replace('path: ["folder"]', 'path: ["api_token"]'),
    },
    outcome: {
      message: expect.stringMatching(/^(?!.*hunter2).*api_token is a value that is not shown here/),
    },
  },
  "an unknown key beside `use` is refused": {
    files: { "robson.toml": `${use("./a.ts")}folder = "x"\n`, "a.ts": WITH_CONFIG },
    outcome: { message: expect.stringContaining('unknown key "folder" in [plugins[0]]') },
  },
};

const names = Object.keys(CASES);
const all = mkdtempSync(join(tmpdir(), "robson-plugins-"));
let outcomes: { outcome: Outcome; folder: string }[] = [];

beforeAll(() => {
  const folders = Object.values(CASES).map(({ files }) => folderWith(files));
  const source = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
  const script = `
    import { addPlugins, loadPlugins } from ${source("./load-plugins.ts")};
    import { loadConfig } from ${source("../config/load-config.ts")};
    import { SensoriumLoop } from ${source("../core/sensorium-loop.ts")};
    const outcomes = [];
    for (const cwd of ${JSON.stringify(folders)}) {
      try {
        const loaded = await loadPlugins(loadConfig({ cwd, env: {} }));
        addPlugins(new SensoriumLoop({ store: {} }), { plugins: loaded, hasGateways: true });
        outcomes.push({ names: loaded.map(({ plugin }) => plugin.name) });
      } catch ({ code, message, hint }) {
        outcomes.push({ code, message, hint });
      }
    }
    console.log(JSON.stringify(outcomes));
  `;
  const output = execFileSync(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", script],
    {
      encoding: "utf8",
    },
  );
  outcomes = (JSON.parse(output) as Outcome[]).map((outcome, index) => ({
    outcome,
    folder: folders[index] ?? "",
  }));
});

afterAll(() => rmSync(all, { recursive: true }));

function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(all, "plugins-"));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

test.each(names)("%s", (name) => {
  const { outcome, folder } = outcomes[names.indexOf(name)] ?? { outcome: {}, folder: "" };
  const general = JSON.parse(JSON.stringify(outcome).replaceAll(folder, "FOLDER"));
  expect(general).toMatchObject(CASES[name]?.outcome ?? {});
});

test("the program does not start with a plugin that is refused, and its exit code is 2", async () => {
  const folder = folderWith({ "robson.toml": use("./a.ts"), "a.ts": 'throw new Error("no such device");' });

  const { stdout, stderr, exitCode } = await robson(folder, "send", "/echo hello");

  expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 2 });
  expect(stderr).toMatch(/^error: Cannot use the plugin "\.\/a\.ts".*no such device\nhint: \S/);
});

test("what a plugin leaves open does not keep a process that is done", async () => {
  const folder = folderWith({
    "robson.toml": use("./a.ts"),
    "a.ts": `${plugin("a")}setInterval(() => undefined, 1000);`,
  });

  const { stdout, stderr, exitCode } = await robson(folder, "send", "/echo hello");

  expect({ stdout, exitCode }).toEqual({ stdout: "hello\n", exitCode: 0 });
  expect(stderr).toContain("Something was left open");
});

test("errors of a plugin's `robson` are those of the program, though it brings a copy of its own", async () => {
  const copy = 'export const definePlugin = () => { throw new Error("the copy was used"); };';
  const folder = folderWith({
    "robson.toml": use("./a.ts"),
    "node_modules/robson/package.json": '{"type":"module","exports":"./index.js"}',
    "node_modules/robson/index.js": copy,
    "a.ts": `import { WorkerError } from "robson";\n${plugin(
      "a",
      'host.registerWorker({ name: "w", description: "d", example: "/w", command: "/w", handle() { throw new WorkerError("never again", { retry: "never" }); } });',
    )}`,
  });

  const { stdout, exitCode } = await robson(folder, "send", "/w");

  expect(readFileSync(join(folder, "node_modules/robson/index.js"), "utf8")).toBe(copy);
  expect(stdout).toContain("never again");
  expect(exitCode).toBe(1);
});
