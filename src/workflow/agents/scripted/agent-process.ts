/**
 * The scripted agent itself, a program of its own: `node agent-process.ts <script> <prompt file>`. It follows
 * the script in its working directory and reports on stdout. It stands for a real coding agent in the demo
 * and in tests, so it knows nothing of Robson but the protocol.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { type AgentLine, parseScript, type ScriptStep } from "./protocol.ts";

const [scriptFile = "", promptFile = ""] = process.argv.slice(2);
process.exitCode = await main();

async function main(): Promise<number> {
  report({ type: "started" });
  try {
    const prompt = readFileSync(promptFile, "utf8");
    report({ type: "progress", text: `Read the prompt (${prompt.length} characters)` });
    const files = new Set<string>();
    for (const step of parseScript(readFileSync(scriptFile, "utf8"))) {
      const file = await follow(step);
      if (file !== undefined) files.add(file);
    }
    report({ type: "result", isSuccess: true, summary: `Edited ${[...files].join(", ") || "nothing"}.` });
    return 0;
  } catch (error) {
    report({
      type: "result",
      isSuccess: false,
      summary: error instanceof Error ? error.message : String(error),
    });
    return 1;
  }
}

/** Does one step; returns the file that it edited, if any. */
async function follow(step: ScriptStep): Promise<string | undefined> {
  if ("say" in step) report({ type: "progress", text: step.say });
  else if ("run" in step) await run(step.run);
  else if ("exit" in step) process.exit(step.exit);
  else return edit(step);
  return undefined;
}

function edit(step: Extract<ScriptStep, { file: string }>): string {
  const path = resolve(step.file);
  const name = relative(process.cwd(), path);
  if (name === "" || name.startsWith(".."))
    throw new Error(`${JSON.stringify(step.file)} lies outside the checkout`);
  mkdirSync(dirname(path), { recursive: true });
  if ("content" in step) {
    writeFileSync(path, step.content);
  } else {
    const text = readFileSync(path, "utf8");
    if (!text.includes(step.find))
      throw new Error(`${name} does not contain what the script wants to replace`);
    // A function, so that "$&" in the replacement is only text.
    writeFileSync(
      path,
      text.replace(step.find, () => step.replace),
    );
  }
  report({ type: "edited", file: name });
  return name;
}

function run([program = "", ...args]: string[]): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    report({ type: "progress", text: `Started ${program} as process ${child.pid}` });
    child.once("error", fail);
    child.once("exit", () => done());
  });
}

function report(line: AgentLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
