import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const source = (path: string) => new URL(`./src/${path}`, import.meta.url).pathname;

export default defineConfig({
  resolve: {
    // The examples import what users import; here that is the source, not dist/.
    alias: [
      { find: /^robson$/, replacement: source("index.ts") },
      { find: /^robson\/testing$/, replacement: source("testing/index.ts") },
    ],
  },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "tools/**/*.test.ts", "examples/**/*.test.ts"],
    globalSetup: ["test/global-setup.ts"],
    // Many tests wait for processes of their own: on two cores one worker, the default, would leave one idle.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 90_000,
    hookTimeout: 90_000,
    // What is waited for comes soon, on a busy machine less soon: the second that vitest gives is no part of any promise.
    expect: { poll: { timeout: 20_000 } },
  },
});
