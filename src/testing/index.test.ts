import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

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

test("robson/testing has the agents that it can test", async () => {
  const { acpAgent } = await import("./index.ts");

  expect(acpAgent({ name: "mine", command: "./my-double" }).name).toBe("mine");
});
