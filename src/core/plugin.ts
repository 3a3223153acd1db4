/**
 * The contract of a plugin: an addition from outside core, with a name, perhaps a section of the configuration, and
 * a `setup` that registers its workers, gateways and hooks before the loop starts. Whatever is wrong with it is
 * thrown by `loop.use` at once, under the plugin's name.
 */
import type { OutputOf, StandardIssue, StandardSchema } from "./arguments/standard-schema.ts";
import { messageOf, RobsonError } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import { HOOK_POINTS, type HookCallback, type HookPoint } from "./hooks.ts";
import type { Logger } from "./logger.ts";
import { named as namedValue } from "./named.ts";
import { misspelt, nearest } from "./nearest.ts";
import type { Worker } from "./worker.ts";

/** What a plugin gets for its set-up; closed when `setup` returns. */
export interface PluginHost<Config = unknown> {
  /** Its section of the configuration, as its schema gave it back. */
  config: Config;
  /** Writes its name beside every line. */
  log: Logger;
  registerWorker(worker: Worker): void;
  registerGateway(gateway: Gateway): void;
  /** Attaches a callback to a point. See `Hooks` for the points; no message waits for a hook. */
  hook<Point extends HookPoint>(point: Point, callback: HookCallback<Point>): void;
}

export interface Plugin<Schema extends StandardSchema = StandardSchema> {
  /** Unique within a loop; stands in the log. */
  name: string;
  /** Checks its section of the configuration: of any library that follows Standard Schema. Must not be asynchronous. */
  config?: Schema;
  /** Registers what the plugin brings. What takes time belongs into a gateway's `start`. */
  setup(host: PluginHost<OutputOf<Schema>>): void;
}

/** Checks a plugin's shape at once, so that a mistake shows where it was made. */
export function definePlugin<Schema extends StandardSchema = StandardSchema>(
  plugin: Plugin<Schema>,
): Plugin<Schema> {
  if (typeof plugin !== "object" || plugin === null || Array.isArray(plugin)) {
    throw new RobsonError("PLUGIN_INVALID", `Cannot define a plugin: it is ${namedValue(plugin)}`, {
      hint: "Look at where it is imported from; a plugin is { name, setup(host) }",
    });
  }
  const { name, config, setup } = plugin;
  if (typeof name !== "string" || !/^[a-zA-Z@][\w@/.:-]{0,99}$/.test(name)) {
    throw new RobsonError("PLUGIN_INVALID", `Cannot define a plugin named "${String(name)}"`, {
      hint: "Use a letter, then letters, digits or one of _ - . : / @ (100 characters at most)",
    });
  }
  if (typeof setup !== "function") throw invalid(plugin, "it has no setup()", "Add setup(host)");
  if (config !== undefined && typeof config?.["~standard"]?.validate !== "function") {
    throw invalid(
      plugin,
      "its config is no schema",
      "Give one that follows Standard Schema, as z.object({ … }) of zod",
    );
  }
  const slip = misspelt(plugin, ["config"]);
  if (slip) throw invalid(plugin, `it has no setting "${slip.written}"`, `Did you mean "${slip.meant}"?`);
  return plugin;
}

/** Thrown by `loop.use` for a section of the configuration that the plugin's schema refuses. */
export class PluginConfigError extends RobsonError {
  readonly issues: readonly StandardIssue[];

  constructor(plugin: Pick<Plugin, "name">, issues: readonly StandardIssue[]) {
    const list = issues.map(({ message, path }) => {
      const key = keyPathOf({ path }).join(".");
      return key === "" ? message : `${key}: ${message}`;
    });
    super("PLUGIN_INVALID", `Cannot use plugin "${plugin.name}": its config is refused: ${list.join("; ")}`, {
      hint: "Correct the config that is passed to use()",
    });
    this.issues = issues;
  }
}

/** Where in the configuration an issue stands. */
export function keyPathOf({ path }: Pick<StandardIssue, "path">): (string | number)[] {
  return (path ?? [])
    .map((part) => (typeof part === "object" ? part.key : part))
    .map((key) => (typeof key === "symbol" ? String(key) : key));
}

/** What a loop offers to a plugin's set-up. */
export interface PluginSetup extends Omit<PluginHost, "config"> {
  /** The plugin's section, as it was written. */
  config: unknown;
  /** The plugins that the loop has; this one's name is added. */
  names: Set<string>;
}

/** Runs the set-up. Throws `PLUGIN_INVALID`, or what a registration threw with the plugin's name before it. */
export function setUpPlugin(plugin: Plugin, loop: PluginSetup): void {
  if (loop.names.has(plugin.name)) {
    throw invalid(
      plugin,
      "there is another one of that name",
      "Use it once, or give one of the two another name",
    );
  }
  const config = parseConfig(plugin, loop.config);
  loop.names.add(plugin.name);
  let isOpen = true;
  const open = () => {
    if (isOpen) return;
    throw invalid(plugin, "it uses its host after setup()", "Register everything before setup() returns");
  };
  const host: PluginHost = {
    config,
    log: withPlugin(loop.log, plugin.name),
    registerWorker: (worker) => {
      open();
      loop.registerWorker(worker);
    },
    registerGateway: (gateway) => {
      open();
      loop.registerGateway(gateway);
    },
    hook: (point, callback) => {
      open();
      checkHook(point, callback);
      loop.hook(point, callback);
    },
  };
  try {
    const result: unknown = plugin.setup(host);
    if (result instanceof Promise) {
      result.catch(() => undefined); // it is refused below, whatever it comes to
      throw new RobsonError("PLUGIN_INVALID", "its setup() is asynchronous", {
        hint: "Make setup() a plain function, and do what takes time in a gateway's start()",
      });
    }
  } catch (error) {
    throw named(plugin, error);
  } finally {
    isOpen = false;
  }
}

function parseConfig(plugin: Plugin, value: unknown): unknown {
  const { config: schema } = plugin;
  if (schema === undefined) {
    const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
    if (keys.length === 0) return undefined;
    throw new PluginConfigError(
      plugin,
      keys.map((key) => ({ message: "the plugin takes no config", path: [key] })),
    );
  }
  const result = schema["~standard"].validate(value ?? {});
  if (result instanceof Promise) {
    result.catch(() => undefined);
    throw invalid(plugin, "its config schema is asynchronous", "Use one that answers at once");
  }
  if (result.issues) throw new PluginConfigError(plugin, result.issues);
  return result.value;
}

function checkHook(point: unknown, callback: unknown): void {
  if (!HOOK_POINTS.some((known) => known === point)) {
    const meant = nearest(String(point), HOOK_POINTS);
    throw new RobsonError("PLUGIN_INVALID", `there is no hook point "${String(point)}"`, {
      hint: meant === undefined ? `The points are ${HOOK_POINTS.join(", ")}` : `Did you mean "${meant}"?`,
    });
  }
  if (typeof callback === "function") return;
  throw new RobsonError("PLUGIN_INVALID", `the hook at "${String(point)}" is no function`, {
    hint: "Pass a function that takes the fact",
  });
}

/** The error with the plugin's name before it, so that its reader knows whose mistake it is. */
function named(plugin: Plugin, error: unknown): RobsonError {
  const hint =
    error instanceof RobsonError ? error.hint : "Look at the plugin's setup(), where this was thrown";
  return new RobsonError("PLUGIN_INVALID", `Cannot use plugin "${plugin.name}": ${messageOf(error)}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}

function invalid(plugin: Pick<Plugin, "name">, why: string, hint: string): RobsonError {
  return new RobsonError("PLUGIN_INVALID", `Cannot use plugin "${plugin.name}": ${why}`, { hint });
}

function withPlugin(log: Logger, plugin: string): Logger {
  return {
    debug: (fields, message) => log.debug({ plugin, ...fields }, message),
    info: (fields, message) => log.info({ plugin, ...fields }, message),
    warn: (fields, message) => log.warn({ plugin, ...fields }, message),
    error: (fields, message) => log.error({ plugin, ...fields }, message),
  };
}
