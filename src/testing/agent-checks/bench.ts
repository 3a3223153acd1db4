/** Where one check has an agent work: a folder, a turn with all that was heard of it, and the end without leftovers. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RobsonError } from "../../core/errors.ts";
import { cleanEnvironment } from "../../workflow/child-process.ts";
import type { AgentEvent, AgentRequest, AgentResult, CodingAgent } from "../../workflow/coding-agent.ts";
import { endLeftovers, WORKSPACE_VARIABLE } from "../../workflow/leftovers.ts";
import { DEFAULT_WORKFLOW_LIMITS, type WorkflowLimits } from "../../workflow/limits.ts";
import { agentLaunch } from "../../workflow/supervisor.ts";
import type { AgentPlace, AgentScene, CodingAgentCheck } from "../test-coding-agent.ts";

export interface AgentKit {
  createAgent(scene: AgentScene, place: AgentPlace): CodingAgent | Promise<CodingAgent>;
  maxWaitMs: number;
}

export interface TurnOptions
  extends Partial<Pick<AgentRequest, "prompt" | "resume" | "maxCostUsd" | "permit">> {
  limits?: Partial<WorkflowLimits>;
  /** Aborts the turn before it begins. */
  abortedBy?: Error;
  /** Called with each event and what aborts the turn. */
  onEvent?(event: AgentEvent, abort: (reason: Error) => void): void;
}

/** A turn that has ended, one way or the other. */
export interface EndedTurn {
  result?: AgentResult;
  error?: unknown;
  events: AgentEvent[];
  transcript: string[];
}

export interface AgentBench extends AgentPlace {
  turn(options?: TurnOptions): Promise<EndedTurn>;
  has(file: string): boolean;
  /** The result of a turn that must have ended so. */
  endsAs(turn: EndedTurn, outcome: AgentResult["outcome"]): AgentResult;
  /** That a turn was refused with this code, a hint, and a message that says so. */
  failsWith(turn: EndedTurn, expected: { code: string; says?: string }): void;
}

export interface CheckOfScene extends CodingAgentCheck {
  scene: AgentScene;
}

interface CheckOptions {
  name: string;
  scene: AgentScene;
  on(bench: AgentBench): Promise<void>;
}

/** A check that fails too when something of its agent is still running after a turn. */
export function agentCheck(kit: AgentKit, { name, scene, on }: CheckOptions): CheckOfScene {
  const run = async () => {
    const folder = await mkdtemp(join(tmpdir(), "robson-agent-"));
    const place = { folder, directory: join(folder, "checkout"), home: join(folder, "home") };
    try {
      await mkdir(place.directory);
      await mkdir(place.home);
      await on(createBench(kit, { scene, place }));
    } finally {
      await endLeftovers(folder);
      await rm(folder, { recursive: true, force: true });
    }
  };
  return { name, scene, run };
}

function createBench(kit: AgentKit, { scene, place }: { scene: AgentScene; place: AgentPlace }): AgentBench {
  return {
    ...place,
    has: (file) => existsSync(join(place.directory, file)),
    async turn(options = {}) {
      const turn = await runTurn(await kit.createAgent(scene, place), { kit, place, options });
      assert.equal(await endLeftovers(place.folder), 0, "it left programs running after its turn");
      return turn;
    },
    endsAs({ result, error }, outcome) {
      if (result === undefined)
        throw new Error(`the turn was to end as "${outcome}", but it threw`, { cause: error });
      assert.equal(result.outcome, outcome, `it ended as "${result.outcome}": ${result.summary}`);
      assert.ok(result.summary.trim() !== "", "its summary is empty");
      return result;
    },
    failsWith({ result, error }, { code, says = "" }) {
      assert.equal(result, undefined, `it ended as "${result?.outcome}" instead of with ${code}`);
      assert.ok(error instanceof RobsonError, `it threw no RobsonError but ${String(error)}`);
      assert.equal(error.code, code, error.message);
      assert.ok(error.hint, "its error has no hint");
      assert.ok(error.message.includes(says), `its error does not say "${says}": ${error.message}`);
    },
  };
}

interface TurnContext {
  kit: AgentKit;
  place: AgentPlace;
  options: TurnOptions;
}

async function runTurn(agent: CodingAgent, { kit, place, options }: TurnContext): Promise<EndedTurn> {
  const { limits, onEvent, abortedBy, ...request } = options;
  const controller = new AbortController();
  if (abortedBy) controller.abort(abortedBy);
  const tooLate = setTimeout(
    () => controller.abort(new Error(`the agent took longer than ${kit.maxWaitMs} ms`)),
    kit.maxWaitMs,
  );
  const turn: EndedTurn = { events: [], transcript: [] };
  const environment = { ...cleanEnvironment(place), [WORKSPACE_VARIABLE]: place.folder };
  try {
    turn.result = await agent.run({
      prompt: "Write edited.txt",
      directory: place.directory,
      environment,
      launch: agentLaunch({
        directory: place.directory,
        environment,
        limits: { ...DEFAULT_WORKFLOW_LIMITS, killGraceMs: 1000, ...limits },
        signal: controller.signal,
      }),
      signal: controller.signal,
      onEvent: (event) => {
        turn.events.push(event);
        onEvent?.(event, (reason) => controller.abort(reason));
      },
      onTranscript: (line) => void turn.transcript.push(line),
      ...request,
    });
  } catch (error) {
    turn.error = error;
  } finally {
    clearTimeout(tooLate);
  }
  return turn;
}
