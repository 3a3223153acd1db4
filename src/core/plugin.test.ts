import { expect, test } from "vitest";
import * as z from "zod";
import { echoWorker } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { startTestLoop } from "../testing/start-test-loop.ts";
import type { StandardSchema } from "./arguments/standard-schema.ts";
import { RobsonError } from "./errors.ts";
import { definePlugin, type Plugin, PluginConfigError, type PluginHost } from "./plugin.ts";
import { SensoriumLoop } from "./sensorium-loop.ts";
import type { Store } from "./store.ts";

function aLoop(): SensoriumLoop {
  // Nothing is started: no store is needed.
  return new SensoriumLoop({ store: {} as Store });
}

function refusal(plugin: unknown, config?: unknown, loop = aLoop()): RobsonError {
  try {
    loop.use(plugin as Plugin, config);
  } catch (error) {
    if (error instanceof RobsonError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

test("a plugin brings workers and gateways, and gets its config as its schema gives it back", async (t) => {
  const gateway = fakeGateway({ name: "mine" });
  let config: { times: number } | undefined;
  const plugin = definePlugin({
    name: "mine",
    config: z.strictObject({ times: z.coerce.number().default(3) }),
    setup(host) {
      config = host.config;
      host.registerWorker(echoWorker);
      host.registerGateway(gateway);
    },
  });
  const { idle } = await startTestLoop(t, { plugins: [{ plugin, config: { times: "7" } }] });

  await gateway.say("/echo hello");
  await idle();

  expect(config).toEqual({ times: 7 });
  expect(gateway.texts()).toEqual(["completed: hello"]);
});

test("without a config a schema gets an empty one, and a plugin without a schema gets none", () => {
  const configs: unknown[] = [];
  const loop = aLoop();

  loop.use(
    definePlugin({
      name: "a",
      config: z.object({ x: z.int().default(1) }),
      setup: (host) => configs.push(host.config),
    }),
  );
  loop.use(definePlugin({ name: "b", setup: (host) => configs.push(host.config) }), {});

  expect(configs).toEqual([{ x: 1 }, undefined]);
});

test("a config that the schema refuses is told with the plugin, the key and the issues", () => {
  const plugin = {
    name: "mine",
    config: z.strictObject({ limits: z.object({ max: z.int() }) }),
    setup: () => undefined,
  };

  const error = refusal(plugin, { limits: { max: "many" } });

  expect(error).toBeInstanceOf(PluginConfigError);
  expect(error.message).toMatch(/^Cannot use plugin "mine": its config is refused: limits\.max: /);
  expect((error as PluginConfigError).issues).toMatchObject([{ path: ["limits", "max"] }]);
});

test("a config for a plugin that takes none is refused", () => {
  expect(refusal({ name: "mine", setup: () => undefined }, { a: 1 }).message).toBe(
    'Cannot use plugin "mine": its config is refused: a: the plugin takes no config',
  );
});

test.each<[why: string, plugin: unknown, message: string]>([
  ["it has no name", { setup: () => undefined }, 'Cannot define a plugin named "undefined"'],
  ["it has no setup", { name: "mine" }, 'Cannot use plugin "mine": it has no setup()'],
  [
    "its config is no schema",
    { name: "mine", config: {}, setup: () => undefined },
    "its config is no schema",
  ],
  [
    "its setup throws",
    { name: "mine", setup: () => JSON.parse("{") },
    'Cannot use plugin "mine": Expected property',
  ],
  [
    "its setup is asynchronous",
    { name: "mine", setup: async () => Promise.reject(new Error("x")) },
    "its setup() is asynchronous",
  ],
  [
    "its worker is wrong",
    { name: "mine", setup: (host: PluginHost) => host.registerWorker({ ...echoWorker, command: "/help" }) },
    'Cannot use plugin "mine": ',
  ],
  [
    "its hook's point is unknown",
    { name: "mine", setup: (host: PluginHost) => host.hook("mesage.ended" as never, () => undefined) },
    'Cannot use plugin "mine": there is no hook point "mesage.ended"',
  ],
  [
    "its hook is no function",
    { name: "mine", setup: (host: PluginHost) => host.hook("message.ended", undefined as never) },
    'Cannot use plugin "mine": the hook at "message.ended" is no function',
  ],
])("a plugin is refused at once when %s", (_why, plugin, message) => {
  const error = refusal(plugin);
  expect(error).toMatchObject({ code: "PLUGIN_INVALID", message: expect.stringContaining(message) });
  expect(error.hint).toBeTruthy();
});

test("an asynchronous schema is refused", () => {
  const config: StandardSchema = {
    "~standard": { version: 1, vendor: "test", validate: async (value) => ({ value }) },
  };
  expect(refusal({ name: "mine", config, setup: () => undefined }).message).toContain(
    "its config schema is asynchronous",
  );
});

test("a second plugin of one name is refused", () => {
  const loop = aLoop();
  const plugin = definePlugin({ name: "mine", setup: () => undefined });
  loop.use(plugin);
  expect(refusal(plugin, undefined, loop).message).toBe(
    'Cannot use plugin "mine": there is another one of that name',
  );
});

test("what two plugins cannot both have is refused under the second one's name", () => {
  const loop = aLoop();
  const bringing = (name: string) =>
    definePlugin({ name, setup: (host) => host.registerGateway(fakeGateway()) });
  loop.use(bringing("first"));
  expect(refusal(bringing("second"), undefined, loop).message).toBe(
    'Cannot use plugin "second": Cannot register gateway "fake": there is one of that name',
  );
});

test("a host is closed once setup has returned, and a loop that runs takes no plugin", async (t) => {
  let host: PluginHost | undefined;
  const plugin = definePlugin({
    name: "late",
    setup(given) {
      host = given;
    },
  });
  const { loop } = await startTestLoop(t, { plugins: [plugin] });

  expect(() => host?.registerWorker(echoWorker)).toThrow("it uses its host after setup()");
  expect(() => loop.use({ ...plugin, name: "later" })).toThrow(
    expect.objectContaining({ code: "ALREADY_RUNNING" }),
  );
});
