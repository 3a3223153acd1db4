/**
 * The scripted agent itself, a program of its own: `node agent-process.ts '<TurnArguments as JSON>'`, with the prompt
 * on stdin. It follows the script in its working directory and reports on stdout. It stands for a real coding agent in
 * the demo and in tests, so it knows nothing of Robson but the protocol.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import type { AgentOutcome, AgentUsage } from "../../coding-agent.ts";
import { type AgentLine, parseScript, type ScriptStep, type TurnArguments } from "./protocol.ts";

/** What a turn keeps in mind. */
interface Turn {
  prompt: string;
  maxCostUsd: number | undefined;
  /** How much was spent in this turn; absent as long as the script says nothing of it. */
  costUsd: number | undefined;
  edited: Set<string>;
}

/** How a turn ends before the script does. */
class TurnEnd extends Error {
  readonly outcome: AgentOutcome;

  constructor(outcome: AgentOutcome, summary: string) {
    super(summary);
    this.outcome = outcome;
  }
}

const turnArguments: TurnArguments = JSON.parse(process.argv[2] ?? "{}");
await main(turnArguments);

async function main({ scriptFile, sessionId, maxCostUsd }: TurnArguments): Promise<void> {
  const turn: Turn = { prompt: readFileSync(0, "utf8"), maxCostUsd, costUsd: undefined, edited: new Set() };
  try {
    const steps = parseScript(readFileSync(scriptFile, "utf8"));
    const session = openSession(sessionId);
    report({ type: "session", id: session.id });
    report({ type: "message", text: "Read the prompt" });
    for (const [index, step] of steps.entries()) {
      if (index < session.finished) continue;
      // Who is ended while it hangs goes on behind that when it is resumed.
      if ("hang" in step) session.finish(index + 1);
      await follow(step, turn).finally(() => session.finish(index + 1));
    }
    throw new TurnEnd("done", `Edited ${[...turn.edited].join(", ") || "nothing"}.`);
  } catch (error) {
    const outcome = error instanceof TurnEnd ? error.outcome : "gave-up";
    const summary = error instanceof Error ? error.message : String(error);
    report({ type: "result", outcome, summary, usage: usageOf(turn) });
    process.exitCode = outcome === "done" ? 0 : 1;
  }
}

/** A session is a file in the agent's home that says how many steps are finished. */
function openSession(resumed: string | undefined) {
  const id = resumed ?? randomUUID();
  const file = join(process.env.HOME ?? ".", ".scripted-agent", id);
  if (resumed !== undefined && !existsSync(file))
    throw new TurnEnd("session-lost", `There is no session ${id}`);
  mkdirSync(dirname(file), { recursive: true });
  const finish = (steps: number) => writeFileSync(file, String(steps));
  const finished = resumed === undefined ? 0 : Number(readFileSync(file, "utf8"));
  finish(finished);
  return { id, finished, finish };
}

async function follow(step: ScriptStep, turn: Turn): Promise<void> {
  if ("file" in step) return void turn.edited.add(edit(step));
  if ("say" in step) return report({ type: "message", text: step.say });
  if ("expect" in step) return expectPrompt(step.expect, turn);
  if ("run" in step) return run(step.run);
  if ("leave" in step) return leave(step.leave);
  if ("spend" in step) return spend(step.spend, turn);
  if ("wait" in step) return report({ type: "waiting", reason: step.wait });
  if ("hang" in step) {
    ignoreSignals();
    report({ type: "tool", name: "wait", detail: "without end" });
    return hang();
  }
  if ("flood" in step) return flood(step.flood);
  if ("unauthorized" in step) {
    report({ type: "unauthorized", text: step.unauthorized });
    return hang();
  }
  if ("end" in step)
    throw new TurnEnd(step.end, step.summary ?? `Edited ${[...turn.edited].join(", ") || "nothing"}.`);
  process.exit(step.exit);
}

function expectPrompt(text: string, { prompt }: Turn): void {
  if (!prompt.includes(text)) throw new Error(`The prompt does not say ${JSON.stringify(text)}`);
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
    // Killed between the edit and its note in the session, it comes here again.
    const isThere = text.includes(step.find) && !step.replace.includes(step.find);
    const isMade = !isThere && step.replace !== "" && text.includes(step.replace);
    if (!(isMade || text.includes(step.find)))
      throw new Error(`${name} does not contain what the script wants to replace`);
    // A function, so that "$&" in the replacement is only text.
    if (!isMade)
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
    report({ type: "tool", name: program, detail: args.join(" ") });
    child.once("error", fail);
    child.once("exit", () => done());
  });
}

function leave([program = "", ...args]: string[]): void {
  report({ type: "tool", name: program, detail: args.join(" ") });
  spawn(program, args, { stdio: "inherit", detached: true }).unref();
}

function spend(costUsd: number, turn: Turn): void {
  turn.costUsd = (turn.costUsd ?? 0) + costUsd;
  report({ type: "usage", usage: usageOf(turn) });
  if (turn.maxCostUsd !== undefined && turn.costUsd > turn.maxCostUsd) {
    throw new TurnEnd("budget", `It has spent $${turn.costUsd} of $${turn.maxCostUsd}`);
  }
}

function usageOf({ costUsd }: Turn): AgentUsage {
  return { turns: 1, ...(costUsd === undefined ? {} : { costUsd }) };
}

function ignoreSignals(): void {
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => undefined);
}

function hang(): Promise<void> {
  setInterval(() => undefined, 60_000);
  return new Promise(() => undefined);
}

async function flood(bytes: number): Promise<void> {
  const line = `${"x".repeat(1023)}\n`;
  for (let written = 0; written < bytes; written += line.length) {
    if (!process.stdout.write(line)) await new Promise((drained) => process.stdout.once("drain", drained));
  }
}

function report(line: AgentLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
