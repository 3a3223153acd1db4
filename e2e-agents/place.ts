/** Where one scenario has an agent work: scratch folders, the played model, and a turn with what was heard of it. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cleanEnvironment } from "../src/workflow/child-process.ts";
import type { AgentEvent, AgentRequest, AgentResult } from "../src/workflow/coding-agent.ts";
import { endLeftovers, WORKSPACE_VARIABLE } from "../src/workflow/leftovers.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "../src/workflow/limits.ts";
import { agentLaunch } from "../src/workflow/supervisor.ts";
import { type Model, startModel } from "./model.ts";
import { KEY, type RealAgent, type Setting } from "./real-agents.ts";

export const BEFORE = "export const sum = (a, b) => a - b;\n";
export const AFTER = "export const sum = (a, b) => a + b;\n";
/** Programs of this size take their time on a machine that has other work. */
export const MAX_TURN_MS = 150_000;

/** Codex does not put the helper of its own sandbox under the temporary folder, and is lost without it. */
const PARENT = existsSync("/var/tmp") ? "/var/tmp" : tmpdir();

export interface Place {
  folder: string;
  /** The checkout: a git repository with `sum.js` in it. */
  directory: string;
  home: string;
  model: Model;
  /** The file that the agent is to mend, by its whole path. */
  file: string;
  content(): string;
  turn(agent: RealAgent, options?: TurnOptions): Promise<EndedTurn>;
  remove(): Promise<void>;
}

export interface TurnOptions extends Partial<Pick<AgentRequest, "resume" | "maxCostUsd" | "permit">> {
  setting?: Partial<Setting>;
  limits?: Partial<WorkflowLimits>;
  onEvent?(event: AgentEvent, program: { pid: number; abort(reason: Error): void }): void;
}

export interface EndedTurn {
  result?: AgentResult;
  error?: unknown;
  events: AgentEvent[];
  transcript: string[];
  /** How many programs it left running. */
  left: number;
}

export async function createPlace({ asksOnlyForWork }: RealAgent): Promise<Place> {
  const folder = mkdtempSync(join(PARENT, "robson-e2e-"));
  const [directory, home] = [join(folder, "checkout"), join(folder, "home")];
  for (const each of [directory, home]) mkdirSync(each);
  const file = join(directory, "sum.js");
  writeFileSync(file, BEFORE);
  execFileSync("git", ["init", "-q", "-b", "main"], { cwd: directory, env: cleanEnvironment({ home }) });
  const model = await startModel({ asksOnlyForWork });
  return {
    ...{ folder, directory, home, model, file },
    content: () => readFileSync(file, "utf8"),
    turn: (agent, options = {}) => runTurn(agent, { folder, directory, home, model, options }),
    remove: async () => {
      await model.stop();
      await endLeftovers(folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface TurnPlace extends Pick<Place, "folder" | "directory" | "home" | "model"> {
  options: TurnOptions;
}

async function runTurn(
  agent: RealAgent,
  { folder, directory, home, model, options }: TurnPlace,
): Promise<EndedTurn> {
  const { setting, limits: some, onEvent, ...request } = options;
  const limits = { ...DEFAULT_WORKFLOW_LIMITS, agentTimeoutMs: MAX_TURN_MS, ...some };
  const environment = { ...cleanEnvironment({ home }), [WORKSPACE_VARIABLE]: folder };
  const controller = new AbortController();
  const { signal } = controller;
  const launch = agentLaunch({ directory, environment, limits, signal });
  // As a recording that can be played elsewhere.
  const anywhere = (line: string) =>
    line
      .replaceAll(directory, "{directory}")
      .replaceAll(home, "{home}")
      .replaceAll(folder, "{folder}")
      .replaceAll(model.url, "{model}");
  const turn: EndedTurn = { events: [], transcript: [], left: 0 };
  let pid = 0;
  try {
    turn.result = await agent.create(limits, { modelUrl: model.url, key: KEY, ...setting }).run({
      prompt: "Mend sum.js: it must add.",
      directory,
      environment,
      launch: async (program) => {
        const launched = await launch(program);
        pid = launched.pid;
        return launched;
      },
      signal,
      onEvent: (event) => {
        turn.events.push(event);
        onEvent?.(event, { pid, abort: (reason) => controller.abort(reason) });
      },
      onTranscript: (line) => void turn.transcript.push(anywhere(line)),
      ...request,
    });
  } catch (error) {
    turn.error = error;
  }
  turn.left = await endLeftovers(folder);
  return turn;
}
