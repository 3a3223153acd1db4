/**
 * What the scripted agent's process and its parent share: the script, and the events, one JSON object a line
 * on stdout. A line that is no event is passed over, as with any agent that prints more than it should.
 */

/** One step of a script. Files are named from the checkout on. */
export type ScriptStep =
  | { file: string; content: string }
  | { file: string; find: string; replace: string }
  | { say: string }
  /** Starts a program and waits for its end. */
  | { run: string[] }
  /** Ends the process at once, without a result. */
  | { exit: number };

export type AgentLine =
  | { type: "started" }
  | { type: "progress"; text: string }
  | { type: "edited"; file: string }
  | { type: "result"; isSuccess: boolean; summary: string };

/** The event on a line, or undefined when it is none. */
export function parseLine(line: string): AgentLine | undefined {
  if (!line.startsWith("{")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { type, text, file, isSuccess, summary } = value;
  if (type === "started") return { type };
  if (type === "progress" && typeof text === "string") return { type, text };
  if (type === "edited" && typeof file === "string") return { type, file };
  if (type === "result" && typeof isSuccess === "boolean" && typeof summary === "string") {
    return { type, isSuccess, summary };
  }
  return undefined;
}

/** The steps of a script, or an error that names the first bad one. */
export function parseScript(text: string): ScriptStep[] {
  const value: unknown = JSON.parse(text);
  if (!Array.isArray(value)) throw new Error("The script is not a JSON list of steps");
  return value.map((step: unknown, index) => {
    if (isStep(step)) return step;
    throw new Error(
      `Step ${index + 1} of the script is none of {file, content}, {file, find, replace}, {say}, {run}, {exit}`,
    );
  });
}

function isStep(step: unknown): step is ScriptStep {
  if (!isRecord(step)) return false;
  if (typeof step.file === "string") {
    return (
      typeof step.content === "string" || (typeof step.find === "string" && typeof step.replace === "string")
    );
  }
  if (Array.isArray(step.run))
    return step.run.length > 0 && step.run.every((part) => typeof part === "string");
  return typeof step.say === "string" || typeof step.exit === "number";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
