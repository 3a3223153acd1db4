import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { importViolations, readImports } from "../tools/import-arrows.ts";

const src = fileURLToPath(new URL("../src", import.meta.url));

test("every source file imports only what the table of import arrows allows", () => {
  const files = globSync("**/*.ts", { cwd: src }).sort();

  const violations = files.flatMap((file) => importViolations(file, readFileSync(`${src}/${file}`, "utf8")));

  expect(files.length).toBeGreaterThan(0);
  expect(violations).toEqual([]);
});

const ALLOWED: [file: string, source: string][] = [
  ["core/inbox.ts", 'import { a } from "./lanes.ts";'],
  ["core/routing.ts", 'import { RE2JS } from "re2js";\nimport { join } from "node:path";'],
  ["core/inbox.test.ts", 'import { test } from "vitest";\nimport { a } from "../testing/builders.ts";'],
  ["core/inbox.test.ts", 'import { openStore } from "../store/open-store.ts";'],
  ["store/tasks.ts", 'import type { TaskStore } from "../workflow/task-store.ts";'],
  [
    "store/tasks.ts",
    'import { type A, type B } from "../workflow/task-store.ts";\nimport { sql } from "kysely";',
  ],
  ["gateways/slack/mrkdwn.ts", 'import { a } from "./spans.ts";\nimport { b } from "../../core/errors.ts";'],
  ["plugins/echo.ts", 'import { a } from "../core/worker.ts";'],
  ["workflow/forges/local/index.ts", 'import { git } from "../../git.ts";'],
  ["workflow/forges/github/index.ts", 'import { api } from "../../clients/github/api.ts";'],
  [
    "cli/main.ts",
    'import { a } from "../store/open-store.ts";\nconst b = await import("../testing/index.ts");',
  ],
  [
    "index.ts",
    '/** What it exports. */\nexport { a } from "./core/a.ts";\nexport type {\n  B,\n} from "./core/b.ts";\n',
  ],
];

test.each(ALLOWED)("%s may have %j", (file, source) => {
  expect(importViolations(file, source)).toEqual([]);
});

const FORBIDDEN: [file: string, source: string, violation: string][] = [
  [
    "core/inbox.ts",
    'import { a } from "../store/rows.ts";',
    "src/core/inbox.ts:1 imports ../store/rows.ts; allowed: core, node:, re2js",
  ],
  [
    "core/inbox.ts",
    'import type { A } from "../store/rows.ts";',
    "src/core/inbox.ts:1 imports ../store/rows.ts; allowed: core, node:, re2js",
  ],
  [
    "core/inbox.ts",
    '\nimport { z } from "zod";',
    "src/core/inbox.ts:2 imports zod; allowed: core, node:, re2js",
  ],
  [
    "core/inbox.ts",
    'import { test } from "vitest";',
    "src/core/inbox.ts:1 imports vitest; allowed: core, node:, re2js",
  ],
  [
    "core/inbox.ts",
    'const a = await import("../cli/main.ts");',
    "src/core/inbox.ts:1 imports ../cli/main.ts; allowed: core, node:, re2js",
  ],
  [
    "core/a.test.ts",
    'import { a } from "../server/app.ts";',
    "src/core/a.test.ts:1 imports ../server/app.ts; allowed: core, node:, re2js",
  ],
  [
    "store/tasks.ts",
    'import {\n  type A,\n  b,\n} from "../workflow/task-store.ts";',
    "src/store/tasks.ts:4 imports ../workflow/task-store.ts; allowed: core, store, types of workflow, libraries",
  ],
  [
    "gateways/webhook/index.ts",
    'export { a } from "../slack/mrkdwn.ts";',
    "src/gateways/webhook/index.ts:1 imports ../slack/mrkdwn.ts; allowed: core, its own folder, libraries",
  ],
  [
    "gateways/webhook/index.ts",
    'import "../../server/app.ts";',
    "src/gateways/webhook/index.ts:1 imports ../../server/app.ts; allowed: core, its own folder, libraries",
  ],
  [
    "plugins/echo.ts",
    'import { a } from "./chat/index.ts";',
    "src/plugins/echo.ts:1 imports ./chat/index.ts; allowed: core, its own folder, libraries",
  ],
  [
    "workflow/forges/github/index.ts",
    'import { a } from "../gitlab/index.ts";',
    "src/workflow/forges/github/index.ts:1 imports ../gitlab/index.ts; allowed: core, the files directly in workflow, workflow/clients, its own folder, libraries",
  ],
  [
    "index.ts",
    'export { a } from "./core/a.ts";\nexport const b = 1;',
    "src/index.ts:2 does more than re-export",
  ],
  [
    "helpers/a.ts",
    "",
    "src/helpers/a.ts:1 lies in a folder without a rule; add one to tools/import-arrows.ts",
  ],
];

test.each(FORBIDDEN)("%s may not have %j", (file, source, violation) => {
  expect(importViolations(file, source)).toEqual([violation]);
});

test("imports are found in every form, and not in comments, strings or names", () => {
  const source = [
    'import "./a.ts";',
    'import b, { c } from "./b.ts";',
    'import * as d from "./d.ts";',
    "import {",
    "  e,",
    '} from "./e.ts";',
    'export * from "./f.ts";',
    'const g = () => import("./g.ts");',
    '/* import "./h.ts"; */',
    '// import "./i.ts";',
    "export const importer = 1;",
    'export function from(): string { return "./j.ts"; }',
    'export const k = "./k.ts";',
  ].join("\n");

  expect(readImports(source).map(({ line, specifier }) => [line, specifier])).toEqual([
    [1, "./a.ts"],
    [2, "./b.ts"],
    [3, "./d.ts"],
    [6, "./e.ts"],
    [7, "./f.ts"],
    [8, "./g.ts"],
  ]);
});
