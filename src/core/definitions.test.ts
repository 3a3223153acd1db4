/** That a worker, a gateway or a plugin of a wrong shape is refused where it is defined, with what is wrong about it. */
import { expect, test } from "vitest";
import * as z from "zod";
import { echoWorker } from "../testing/builders.ts";
import { fakeGateway } from "../testing/fake-gateway.ts";
import { defineGateway } from "./gateway.ts";
import { DEFAULT_LIMITS, withDefaults } from "./limits.ts";
import { definePlugin } from "./plugin.ts";
import { SensoriumLoop } from "./sensorium-loop.ts";
import type { Store } from "./store.ts";
import { defineWorker } from "./worker.ts";

const { command, ...plain } = echoWorker;

test.for<[object, string]>([
  [{ pattern: 7 }, "its pattern is 7"],
  [{ pattern: "" }, "its pattern is an empty text"],
  [{ command: ["/echo"] }, "its command is an array"],
  [{ timeoutMs: "5s" }, "its timeoutMs is a text"],
  [{ timeoutMs: Number.NaN }, "its timeoutMs is NaN"],
  [{ timeoutMs: -1 }, "its timeoutMs is -1"],
  [{ maxAttempts: 0 }, "its maxAttempts is 0"],
  [{ maxConcurrent: 0 }, "its maxConcurrent is 0"],
  [{ maxConcurrent: 0.5 }, "its maxConcurrent is 0.5"],
  [{ isControl: "yes" }, "its isControl is a text"],
  [{ run: true }, "its run is a boolean"],
  [{ run: { lane: "release" } }, "its run: its lane is a text"],
  [{ run: { title: "a release" } }, "its run: its title is a text"],
  [{ run: { version: "2" } }, "its run: its version is a text"],
  [{ run: { continues: [0] } }, "its run: its continues is an array"],
  [{ run: { takeNotes: true } }, 'its run: it has no setting "takeNotes"'],
  [{ mayUse: ["U1"] }, "its mayUse is an array"],
  [{ patern: "hello" }, 'it has no setting "patern"'],
  [{ timeout: 5000 }, 'it has no setting "timeout"'],
])("a worker with %o is refused", ([part, why]) => {
  const define = () => defineWorker({ ...plain, ...part });

  expect(define).toThrow(`Cannot define worker "echo": ${why}`);
});

test.for<[z.ZodType, string]>([
  [z.string(), "string"],
  [z.array(z.string()), "array"],
])("a worker whose args are a schema of no object is refused", ([args, type]) => {
  const define = () => defineWorker({ ...echoWorker, args });

  expect(define).toThrow(
    `Cannot define worker "echo": its args are a schema of type ${type}, not of an object`,
  );
});

test("a worker may have args whose schema says little", () => {
  for (const args of [z.any(), z.union([z.object({ a: z.string() }), z.object({ b: z.date() })])])
    expect(defineWorker({ ...echoWorker, args })).toMatchObject({ args });
});

test.for<[object, string, string]>([
  [{ maxContentByte: 5 }, 'there is no limit "maxContentByte"', 'Did you mean "maxContentBytes"?'],
  [{ leaseMs: "10s" }, "its limit leaseMs is a text", "Give a number, or leave it out"],
  [{ leaseMs: Number.NaN }, "its limit leaseMs is NaN", "Give a number, or leave it out"],
])("a loop with the limits %o is refused", ([limits, why, hint]) => {
  const make = () => new SensoriumLoop({ store: {} as Store, limits });

  expect(make).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: `Cannot make a loop: ${why}`, hint }),
  );
});

test("a limit that is undefined has its default", () => {
  expect(withDefaults({ leaseMs: undefined, maxHeld: 7 } as never)).toEqual({
    ...DEFAULT_LIMITS,
    maxHeld: 7,
  });
});

test("a plugin whose config has a slip in its name is refused", () => {
  const plugin = { name: "mine", confg: {}, setup: () => undefined };

  expect(() => definePlugin(plugin)).toThrow('Cannot use plugin "mine": it has no setting "confg"');
});

test("a worker may have properties of its own", () => {
  const worker = { ...echoWorker, count: 0, tags: [], store: {} };

  expect(defineWorker(worker)).toBe(worker);
});

test.for<[object, string]>([
  [{ find: true }, "its find is a boolean"],
  [{ targets: ["C1"] }, "its targets is an array"],
  [{ isPublic: "no" }, "its isPublic is a text"],
  [{ ispublic: true }, 'it has no setting "ispublic"'],
])("a gateway with %o is refused", ([part, why]) => {
  const define = () => defineGateway({ ...fakeGateway(), ...part });

  expect(define).toThrow(`Cannot define gateway "fake": ${why}`);
});

test("what is not there at all is named, wherever it is handed over", () => {
  const loop = new SensoriumLoop({ store: {} as Store }); // nothing is started: no store is needed
  const nothing = undefined as never;

  expect(() => defineWorker(nothing)).toThrow("Cannot define a worker: it is undefined");
  expect(() => loop.registerWorker(nothing)).toThrow("Cannot define a worker: it is undefined");
  expect(() => defineGateway(nothing)).toThrow("Cannot define a gateway: it is undefined");
  expect(() => loop.registerGateway(nothing)).toThrow("Cannot define a gateway: it is undefined");
  expect(() => definePlugin(nothing)).toThrow("Cannot define a plugin: it is undefined");
  expect(() => loop.use(nothing)).toThrow("Cannot define a plugin: it is undefined");
  const plugin = definePlugin({ name: "mine", setup: (host) => host.registerWorker(nothing) });
  expect(() => loop.use(plugin)).toThrow('Cannot use plugin "mine": Cannot define a worker: it is undefined');
});
