/**
 * Loads the plugins that robson.toml names, in its order, and has the loop use them. A plugin's `robson` is the
 * program that loads it, wherever the plugin's file lies, so that there is one copy of each class. One that cannot
 * be used stops the start, with its reason.
 */
import { statSync } from "node:fs";
import { registerHooks } from "node:module";
import { dirname, extname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Config } from "../config/load-config.ts";
import { type PluginEntry, pluginConfigError, pluginError } from "../config/plugin-problems.ts";
import { messageOf, RobsonError } from "../core/errors.ts";
import { defineGateway } from "../core/gateway.ts";
import { definePlugin, keyPathOf, type Plugin, PluginConfigError } from "../core/plugin.ts";
import type { SensoriumLoop } from "../core/sensorium-loop.ts";
import type { Worker } from "../core/worker.ts";

export interface LoadedPlugin {
  plugin: Plugin;
  entry: PluginEntry;
}

/** A plugin that takes longer to load waits for something that does not come. */
const MAX_LOAD_MS = 30_000;
/** Imports of this scheme are resolved from the folder of robson.toml. */
const PACKAGE_SCHEME = "robson-plugin:";

/** Imports every plugin of the configuration. Rejects with `PLUGIN_INVALID`. */
export async function loadPlugins(config: Config): Promise<LoadedPlugin[]> {
  if (config.plugins.length === 0) return [];
  const folder = config.file === undefined ? process.cwd() : dirname(config.file);
  resolveFrom(folder);
  const loaded: LoadedPlugin[] = [];
  for (const index of config.plugins.keys()) {
    const entry = { config, index };
    loaded.push({ plugin: await loadPlugin(entry, folder), entry });
  }
  return loaded;
}

/**
 * Has the loop use them, and returns the workers that they brought. Throws `CONFIG_INVALID` for a section that a
 * plugin refuses, else `PLUGIN_INVALID`.
 */
export function addPlugins(
  loop: SensoriumLoop,
  { plugins, hasGateways }: { plugins: readonly LoadedPlugin[]; hasGateways: boolean },
): Worker[] {
  const workers: Worker[] = [];
  for (const { plugin, entry } of plugins) {
    const used = hasGateways ? plugin : withoutGateways(plugin);
    try {
      loop.use(collecting(used, workers), entry.config.plugins[entry.index]?.config);
    } catch (error) {
      throw refusal(error, entry);
    }
  }
  return workers;
}

/** The plugin as it is; what its worker is, is told to us too. */
function collecting(plugin: Plugin, workers: Worker[]): Plugin {
  const setup: Plugin["setup"] = (host) =>
    plugin.setup({
      ...host,
      registerWorker: (worker) => {
        host.registerWorker(worker);
        workers.push(worker);
      },
    });
  return { ...plugin, setup };
}

/** The plugin as it is, but for its gateways: they are checked, and what is open for them is left to others. */
function withoutGateways(plugin: Plugin): Plugin {
  const setup: Plugin["setup"] = (host) =>
    plugin.setup({ ...host, registerGateway: (gateway) => void defineGateway(gateway) });
  return { ...plugin, setup };
}

function refusal(error: unknown, entry: PluginEntry): RobsonError {
  if (error instanceof PluginConfigError) {
    const issues = error.issues.map((issue) => ({ message: issue.message, path: keyPathOf(issue) }));
    return pluginConfigError(entry, issues);
  }
  const [, name = "", what] = /^(?:Cannot use plugin ("[^"]*": ))?(.*)$/s.exec(messageOf(error)) ?? [];
  const why = `${name}${placeOf(error instanceof Error ? error.cause : undefined)}${what}`;
  const hint = error instanceof RobsonError ? (error.hint ?? "") : "Look at the plugin";
  return pluginError(entry, { why, hint, cause: error });
}

async function loadPlugin(entry: PluginEntry, folder: string): Promise<Plugin> {
  const { use = "" } = entry.config.plugins[entry.index] ?? {};
  const isPath = /^\.{0,2}[/\\]/.test(use);
  if (isPath) checkFile(resolve(folder, use), entry);
  const specifier = isPath ? pathToFileURL(resolve(folder, use)).href : PACKAGE_SCHEME + use;
  let exported: Record<string, unknown>;
  try {
    exported = await withinLoadTime(import(/* @vite-ignore */ specifier));
  } catch (error) {
    if (!isPath && isMissing(error, use)) throw notInstalled(entry, { use, folder });
    throw pluginError(entry, {
      why: `it failed while it was loaded: ${placeOf(error)}${messageOf(error)}`,
      hint: hintOf(error, isPath ? resolve(folder, use) : undefined),
      cause: error,
    });
  }
  const plugin = exported.plugin ?? exported.default;
  if (typeof plugin === "object" && plugin !== null) return definedPlugin(plugin as Plugin, entry);
  throw pluginError(entry, {
    why: plugin === undefined ? noPlugin(exported) : `what it exports as its plugin is a ${typeof plugin}`,
    hint: "Add `export const plugin = definePlugin({ name, setup(host) { … } })`",
  });
}

function noPlugin(exported: object): string {
  return `it exports no plugin; it exports ${Object.keys(exported).join(", ") || "nothing"}`;
}

function definedPlugin(plugin: Plugin, entry: PluginEntry): Plugin {
  try {
    return definePlugin(plugin);
  } catch (error) {
    throw refusal(error, entry);
  }
}

function checkFile(file: string, entry: PluginEntry): void {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats?.isFile()) return;
  throw pluginError(entry, {
    why: stats ? `${file} is no file` : `there is no file ${file}`,
    hint: "Name the plugin's file; the path is relative to the folder of robson.toml",
  });
}

function notInstalled(entry: PluginEntry, { use, folder }: { use: string; folder: string }): RobsonError {
  const isFile = statSync(resolve(folder, use), { throwIfNoEntry: false })?.isFile();
  return pluginError(entry, {
    why: `there is no package of that name in ${folder} or above`,
    hint: isFile
      ? `Write "./${use}" for the file`
      : `Install it there (npm install ${use}), or give a path that begins with ./`,
  });
}

/** The module that was asked for is missing, not one that it imports. */
function isMissing(error: unknown, use: string): boolean {
  const { code, message = "" } = error as NodeJS.ErrnoException;
  const name = use
    .split("/")
    .slice(0, use.startsWith("@") ? 2 : 1)
    .join("/");
  return code === "ERR_MODULE_NOT_FOUND" && message.includes(`'${name}' imported from`);
}

function hintOf(error: unknown, file: string | undefined): string {
  if (error instanceof RobsonError && error.hint) return error.hint;
  const [, type] = /'robson\S*' does not provide an export named '(\w+)'/.exec(messageOf(error)) ?? [];
  if (type !== undefined)
    return `Write \`type ${type}\` in the import where it is a type; else it is misspelt`;
  // What a syntax error knows of its place, it tells to nobody but Node itself.
  if (error instanceof SyntaxError && file !== undefined) return `node ${file} shows the place`;
  const [, missing] = /^Cannot find package '([^']+)' imported from/.exec(messageOf(error)) ?? [];
  if (missing !== undefined)
    return `Install it beside the plugin (npm install ${missing}), or correct the import`;
  return "Correct the plugin, or remove its entry";
}

/** `file:line: ` of what was thrown, where its stack leads out of Robson. */
function placeOf(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const frames = stack.matchAll(/(?:\bat |\()file:\/\/([^\s()]+?:\d+)(?::\d+)?\)?$/gm);
  const own = fileURLToPath(new URL("..", import.meta.url));
  const place = [...frames].map(([, frame = ""]) => frame).find((frame) => !frame.startsWith(own));
  return place === undefined ? "" : `${place}: `;
}

/** Rejects when the time is over; the import cannot be ended, but the start can. */
async function withinLoadTime<T>(imported: Promise<T>): Promise<T> {
  const { promise: isOver, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`it took longer than ${MAX_LOAD_MS} ms`)), MAX_LOAD_MS);
  try {
    return await Promise.race([imported, isOver]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Makes `robson` in a plugin this program, and finds packages from the folder of robson.toml. For the rest of the
 * process: a plugin may import more while it runs.
 */
function resolveFrom(folder: string): void {
  const extension = extname(fileURLToPath(import.meta.url));
  const own: Record<string, string> = {
    robson: new URL(`../index${extension}`, import.meta.url).href,
    "robson/testing": new URL(`../testing/index${extension}`, import.meta.url).href,
  };
  registerHooks({
    resolve(specifier, context, next) {
      const url = own[specifier];
      if (url !== undefined) return { url, shortCircuit: true };
      if (!specifier.startsWith(PACKAGE_SCHEME)) return next(specifier, context);
      const parentURL = pathToFileURL(resolve(folder, "robson.toml")).href;
      return next(specifier.slice(PACKAGE_SCHEME.length), { ...context, parentURL });
    },
  });
}
