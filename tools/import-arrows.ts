/**
 * Which folder may import which: the table of import arrows, and a reader of import lines. The arrows keep the
 * way of a message free of platforms and databases; test/import-arrows.test.ts holds every source file to them.
 */
import { dirname, join } from "node:path/posix";

export interface ImportLine {
  line: number;
  /** As written: `node:fs`, `re2js`, `../core/errors.ts`. */
  specifier: string;
  isTypeOnly: boolean;
}

interface Rule {
  /** The files that the rule is for; the first rule that fits a file counts. */
  files: RegExp;
  /** What they may import, said to whoever broke it. */
  allowed: string;
  /** Whether they may import `target`, a path inside `src/`, from the folder or folders of `own`. */
  allows(target: string, from: { own: string; isTypeOnly: boolean }): boolean;
  /** The libraries that they may use beside `node:`; all where it is absent. */
  libraries?: string[];
}

const isIn = (target: string, folder: string) => target.startsWith(`${folder}/`);
const isCoreOrOwn = (target: string, { own }: { own: string }) => isIn(target, "core") || isIn(target, own);
/** Contracts and what all adapters share lie directly in `workflow/`, the adapters in folders below. */
const isWorkflowItself = (target: string) => /^workflow\/[^/]+$/.test(target);

const RULES: Rule[] = [
  { files: /^index\.ts$/, allowed: "anything, as re-exports only", allows: () => true },
  { files: /^(?:cli|testing)\//, allowed: "anything", allows: () => true },
  {
    files: /^(core)\//,
    allowed: "core, node:, re2js",
    allows: (target) => isIn(target, "core"),
    libraries: ["re2js"],
  },
  {
    files: /^(store)\//,
    allowed: "core, store, types of workflow, libraries",
    allows: (target, from) => isCoreOrOwn(target, from) || (isIn(target, "workflow") && from.isTypeOnly),
  },
  {
    files: /^(workflow\/(?:trackers|forges|agents|sandbox)\/[^/]+)\//,
    allowed: "core, the files directly in workflow, workflow/clients, its own folder, libraries",
    allows: (target, from) =>
      isCoreOrOwn(target, from) || isWorkflowItself(target) || isIn(target, "workflow/clients"),
  },
  {
    files: /^(workflow\/clients\/[^/]+)(?:\/|$)/,
    allowed: "core, the files directly in workflow, its own folder, libraries",
    allows: (target, from) => isCoreOrOwn(target, from) || isWorkflowItself(target),
  },
  {
    files: /^(config)\//,
    allowed: "core, what it takes names and defaults from in workflow, its own folder, libraries",
    allows: (target, from) =>
      isCoreOrOwn(target, from) ||
      ["limits.ts", "gates/policy.ts", "prompt-template.ts"].some((name) => target === `workflow/${name}`),
  },
  {
    // `.robson.toml` is TOML, too: a mistake in it is shown with its line.
    files: /^(workflow)\/repository-settings\.ts$/,
    allowed: "core, config/toml-positions.ts, its own folder, libraries",
    allows: (target, from) => isCoreOrOwn(target, from) || target === "config/toml-positions.ts",
  },
  {
    files: /^(workflow|server|gateways\/[^/]+|plugins\/[^/]+)(?:\/|$)/,
    allowed: "core, its own folder, libraries",
    allows: isCoreOrOwn,
  },
];

/** One line for each import in `source` that the table forbids; `file` is the path inside `src/`. */
export function importViolations(file: string, source: string): string[] {
  const rule = RULES.find(({ files }) => files.test(file));
  if (rule === undefined)
    return [`src/${file}:1 lies in a folder without a rule; add one to tools/import-arrows.ts`];

  const wrong = readImports(source).filter((each) => !isAllowed(each, { rule, file }));
  const violations = wrong.map(
    ({ line, specifier }) => `src/${file}:${line} imports ${specifier}; allowed: ${rule.allowed}`,
  );
  if (file === "index.ts") violations.push(...statementsBesideReExports(source));
  return violations;
}

const COMMENT = /\/\*[\s\S]*?\*\//g;
/** `import "…"`, `import … from "…"`, `export … from "…"`; then `import("…")`. */
const STATEMENT = /^(?:import|(?:import|export)(\s+type)?\b([\w\s$*,{}]*?)\bfrom)\s*["']([^"'\n]+)["']/gm;
const CALL = /\bimport\(\s*["']([^"'\n]+)["']/g;

/** Static imports, re-exports and `import("…")`, each with the line of its specifier. */
export function readImports(source: string): ImportLine[] {
  const code = blank(source, COMMENT);
  const lineAt = (index: number) => code.slice(0, index).split("\n").length;
  const statements = [...code.matchAll(STATEMENT)].map(
    ({ 0: text, 1: type, 2: names = "", 3: specifier = "", index }) => ({
      line: lineAt(index + text.length),
      specifier,
      isTypeOnly: type !== undefined || hasOnlyTypes(names),
    }),
  );
  const calls = [...code.matchAll(CALL)].map(({ 1: specifier = "", index }) => ({
    line: lineAt(index),
    specifier,
    isTypeOnly: false,
  }));
  return [...statements, ...calls];
}

/** The text with everything that matches taken out, its lines kept. */
function blank(text: string, pattern: RegExp): string {
  return text.replace(pattern, (match) => match.replace(/[^\n]/g, ""));
}

function isAllowed(imported: ImportLine, { rule, file }: { rule: Rule; file: string }): boolean {
  const { specifier, isTypeOnly } = imported;
  const isTest = /\.(?:test|fixture)\.ts$/.test(file);
  if (specifier.startsWith("node:")) return true;
  if (!specifier.startsWith(".")) {
    return (
      rule.libraries === undefined ||
      rule.libraries.includes(specifier) ||
      (isTest && isTestLibrary(specifier))
    );
  }
  const target = join(dirname(file), specifier);
  if (target.startsWith("..")) return isTest;
  if (isTest && (isIn(target, "testing") || isIn(target, "store"))) return true;
  const own = rule.files.exec(file)?.[1]?.replace(/\.ts$/, "") ?? "";
  return rule.allows(target, { own, isTypeOnly });
}

function isTestLibrary(specifier: string): boolean {
  return ["vitest", "fast-check", "zod", "@standard-schema/spec"].includes(specifier);
}

/** `{ type A, type B }`, over as many lines as it likes. */
function hasOnlyTypes(names: string): boolean {
  const [, inBraces] = /^\s*\{([^}]*)\}/.exec(names) ?? [];
  const list = inBraces?.split(",").filter((name) => name.trim() !== "") ?? [];
  return list.length > 0 && list.every((name) => /^\s*type\s/.test(name));
}

function statementsBesideReExports(source: string): string[] {
  const withoutComments = blank(blank(source, COMMENT), /^\s*\/\/.*$/gm);
  const rest = blank(withoutComments, /^export\b[\w\s$*,{}]*\bfrom\s*["'][^"'\n]+["'];?/gm);
  return rest
    .split("\n")
    .flatMap((text, index) =>
      text.trim() === "" ? [] : [`src/index.ts:${index + 1} does more than re-export`],
    );
}
