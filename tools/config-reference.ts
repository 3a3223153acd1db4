/**
 * `npm run docs:config`: writes docs/reference/configuration.md. Keys, types and defaults come from the schema, what they
 * mean from the comments of robson.example.toml. A test fails while the page is another one, or a key has no comment.
 */
import { readFileSync, writeFileSync } from "node:fs";
import * as z from "zod";
import { configSchema } from "../src/config/config-schema.ts";
import { type ExampleComments, readExample } from "./example-comments.ts";

const EXAMPLE = new URL("../robson.example.toml", import.meta.url);
export const PAGE = new URL("../docs/reference/configuration.md", import.meta.url);

const INTRO = `# Configuration

Every key that may stand in \`robson.toml\`. Each may be left out, but for those that a row of a \`[[list]]\` needs; a key that
is not here is refused with its line and the nearest known one. Paths are relative to the file, sizes and times are whole
numbers in the unit that the name ends in. Secrets stand in the environment, never here:
[which](cli.md#configuration). What a repository says about itself is in [\`.robson.toml\`](repository-file.md).

*Made by \`npm run docs:config\` from \`src/config/config-schema.ts\` and [robson.example.toml](../../robson.example.toml); change those.*
`;

type Schema = z.core.JSONSchema.JSONSchema;

interface Section {
  /** As its header in TOML: `[server]`, `[[repositories]]`. */
  header: string;
  path: string;
  schema: Schema;
}

if (import.meta.main) writeFileSync(PAGE, configReference(readFileSync(EXAMPLE, "utf8")));

/** The page, from the text of robson.example.toml. Throws where that says nothing of a key. */
export function configReference(example: string): string {
  const comments = readExample(example);
  const root = z.toJSONSchema(configSchema, { io: "input" });
  const sections = sectionsOf(root, "").map((section) => describeSection(section, comments));
  return [INTRO, ...sections].join("\n");
}

/** The sections below one, in the order of the schema. */
function sectionsOf(schema: Schema, path: string): Section[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    const name = path === "" ? key : `${path}.${key}`;
    const { items } = child as Schema;
    const rows = items !== undefined && !Array.isArray(items) ? (items as Schema) : undefined;
    const isList = rows?.properties !== undefined;
    const table = isList ? rows : (child as Schema);
    if (table.properties === undefined) return [];
    const own: Section = { header: isList ? `[[${name}]]` : `[${name}]`, path: name, schema: table };
    const hasKeys = Object.values(table.properties).some((each) => !isSection(each as Schema));
    return [...(hasKeys ? [own] : []), ...sectionsOf(table, name)];
  });
}

function isSection({ properties, items }: Schema): boolean {
  return properties !== undefined || (items as Schema | undefined)?.properties !== undefined;
}

function describeSection({ header, path, schema }: Section, comments: ExampleComments): string {
  const rows = Object.entries(schema.properties ?? {})
    .filter(([, child]) => !isSection(child as Schema))
    .map(([key, child]) => {
      const meaning = comments.keys.get(`${path}.${key}`) ?? comments.sections.get(`${path}.${key}`);
      if (meaning === undefined) {
        throw new Error(`robson.example.toml says nothing of ${path}.${key}: put a comment above it`);
      }
      const isNeeded = schema.required?.includes(key) ?? false;
      const fallback = isNeeded ? "*needed*" : defaultOf(child as Schema);
      return `| ${[`\`${key}\``, typeOf(child as Schema), fallback, inTable(meaning)].join(" | ")} |`;
    });
  const about = comments.sections.get(path);
  return [
    `## \`${header}\``,
    "",
    ...(about === undefined ? [] : [`${about}.`.replace(/([.:])\.$/, "$1"), ""]),
    "| key | type | default | meaning |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function typeOf(schema: Schema): string {
  if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(", ");
  if (schema.type === "boolean") return "`true`, `false`";
  if (schema.type === "integer") return wholeNumber(schema);
  if (schema.type === "array") return `list of ${plural(schema.items as Schema)}`;
  if (schema.type === "object") return "table";
  return "text";
}

/** Whole numbers from 1 on to the longest wait of a timer are all but a few, and said nothing of. */
function wholeNumber({ minimum = 0, maximum = 0 }: Schema): string {
  return maximum > 1_000_000 ? `number from ${minimum}` : `number, ${minimum} to ${maximum}`;
}

function plural(schema: Schema): string {
  return schema.type === "array" ? `lists of ${plural(schema.items as Schema)}` : "texts";
}

function defaultOf(schema: Schema): string {
  const value = schema.default;
  if (value === undefined || (schema.type === "object" && Object.keys(value as object).length === 0)) {
    return "none";
  }
  return inTable(`\`${JSON.stringify(value).replaceAll('","', '", "')}\``);
}

function inTable(text: string): string {
  return text.replaceAll("|", "\\|");
}
