/**
 * The words that a repository's maintainers add to every prompt: a text with a few names in braces that are filled in.
 * It guides the agent; Robson's own rules stand in every prompt, whatever it says.
 */

/** What a template may name, beside `{{task}}`: where the task itself stands. Without it, the task comes first. */
export interface TemplateValues {
  key: string;
  repository: string;
  branch: string;
  base: string;
  tracker: string;
}

export const TEMPLATE_NAMES = [
  "key",
  "repository",
  "branch",
  "base",
  "tracker",
] as const satisfies readonly (keyof TemplateValues)[];

/** What is wrong with a template, as a clause, or undefined. */
export function templateProblem(template: string): string | undefined {
  const names = [...template.matchAll(NAME)].map(([, name = ""]) => name);
  const unknown = names.find((name) => name !== TASK && !isKnown(name));
  if (unknown !== undefined) {
    return `it names {{${unknown}}}; known are {{task}}, ${TEMPLATE_NAMES.map((name) => `{{${name}}}`).join(", ")}`;
  }
  if (names.filter((name) => name === TASK).length > 1) return "it names {{task}} more than once";
  return undefined;
}

/** What stands before the task, and what after it. */
export function fillTemplate(template: string, values: TemplateValues): { before: string; after: string } {
  const [first = "", second] = template.split(/\{\{\s*task\s*\}\}/);
  const fill = (text: string) =>
    text.replace(NAME, (whole, name: string) => (isKnown(name) ? values[name] : whole)).trim();
  return second === undefined
    ? { before: "", after: fill(first) }
    : { before: fill(first), after: fill(second) };
}

const TASK = "task";
const NAME = /\{\{\s*([\w-]{1,40})\s*\}\}/g;

function isKnown(name: string): name is keyof TemplateValues {
  return TEMPLATE_NAMES.some((known) => known === name);
}
