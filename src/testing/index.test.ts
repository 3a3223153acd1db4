import { execFileSync } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import { startTestLoop } from "./start-test-loop.ts";

test("robson/testing loads without a test runner, PostgreSQL or any development dependency", () => {
  const script = `
    import { registerHooks } from "node:module";
    const libraries = new Set();
    registerHooks({
      resolve(specifier, context, next) {
        if (!/^(node:|file:|[./])/.test(specifier) && !context.parentURL.includes("node_modules")) libraries.add(specifier);
        return next(specifier, context);
      },
    });
    await import(${JSON.stringify(new URL("./index.ts", import.meta.url).href)});
    console.log([...libraries].sort().join(" "));
  `;

  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });

  expect(output.trim().split(" ")).toEqual(["re2js"]);
});

test.each([
  [{ plugins: [undefined] }, "PLUGIN_INVALID", "Cannot define a plugin: it is undefined"],
  [{ plugins: ["./plugin.ts"] }, "PLUGIN_INVALID", "Cannot define a plugin: it is a text"],
  [
    { plugins: [{ plugin: undefined, config: {} }] },
    "PLUGIN_INVALID",
    "Cannot define a plugin: it is undefined",
  ],
  [{ workers: [undefined] }, "WORKER_INVALID", "Cannot define a worker: it is undefined"],
  [{ gateways: [undefined] }, "GATEWAY_INVALID", "Cannot define a gateway: it is undefined"],
])("startTestLoop refuses %o as a loop does", async (options, code, message) => {
  const started = startTestLoop({ onTestFinished }, options as never);

  await expect(started).rejects.toMatchObject({
    code,
    message,
    hint: expect.stringContaining("Look at where"),
  });
});

test("robson/testing has the agents that it can test", async () => {
  const { acpAgent } = await import("./index.ts");

  expect(acpAgent({ name: "mine", command: "./my-double" }).name).toBe("mine");
});
