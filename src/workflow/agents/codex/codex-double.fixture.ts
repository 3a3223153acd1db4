/**
 * Stands for the real `codex exec --json` in tests: as strict with its arguments as 0.169.0, whose output it plays. See
 * `recorded/`: each was printed by the real program, against a model that was played.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  flood,
  hang,
  hasSession,
  ignoreSignals,
  keepSession,
  play,
  print,
  refuse,
  runCommand,
  sceneOf,
  writeFile,
} from "../../../testing/recorded-program.fixture.ts";
import type { AgentScene } from "../../../testing/test-coding-agent.ts";
import { isRecord } from "../../agent-program.ts";

const from = join(import.meta.dirname, "recorded");
const home = process.env.HOME ?? refuse("no HOME");
const resumed = readOptions();
if (readFileSync(0, "utf8").trim() === "") refuse("No prompt provided via stdin.");
const session = resumed ?? randomUUID();
writeFile(join(home, "arguments.json"), JSON.stringify(process.argv.slice(2)));
await main();

async function main(): Promise<void> {
  process.stderr.write("WARNING: proceeding, even though we could not create PATH aliases\n");
  const sessionFile = join(home, ".codex", "sessions", `rollout-${session}.jsonl`);
  if (resumed !== undefined && !hasSession(sessionFile)) {
    refuse(
      `Error: thread/resume: thread/resume failed: no rollout found for thread id ${session} (code -32600)`,
    );
  }
  if (!process.env.CODEX_API_KEY) return perform("no-key");
  keepSession(sessionFile);
  const { DOUBLE_RECORDING } = process.env;
  await (DOUBLE_RECORDING ? perform(DOUBLE_RECORDING) : scenes()[sceneOf(home)]());
}

function scenes(): Record<AgentScene, () => Promise<void>> {
  return {
    edits: () => perform("edits"),
    "goes on": () => perform(resumed === undefined ? "goes-on-1" : "goes-on-2"),
    spends: () => perform("edits"),
    // Nothing that 0.169.0 prints tells of a refusal; what it is asked for is tried by the sandbox, and fails.
    "is refused": () => perform("failing-command"),
    "gives up": () => perform("gives-up"),
    waits: () => perform("waits"),
    "is overloaded": () => perform("overloaded"),
    async "is unauthorized"() {
      await perform("unauthorized", 3);
      await hang();
    },
    async hangs() {
      if (resumed !== undefined) return perform("goes-on-2");
      ignoreSignals();
      await perform("hangs-1");
      await hang();
    },
    floods: () => flood(),
    "leaves a program": () => perform("leaves"),
    dies: () => perform("edits", 2),
  };
}

function perform(name: string, lines?: number): Promise<void> {
  return play(name, { from, session, act, ...(lines === undefined ? {} : { lines }) });
}

/** Runs the commands for real, and ends as the turn does. */
async function act({ type, item }: Record<string, unknown>): Promise<void> {
  if (type === "turn.failed") process.exitCode = 1;
  if (type === "item.started" && isRecord(item) && item.type === "command_execution") {
    await runCommand(String(item.command));
  }
}

/** The id of the session to resume, if any. */
function readOptions(): string | undefined {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const [exec, ...rest] = process.argv.slice(2);
  if (exec !== "exec") refuse(`error: unrecognized subcommand '${exec}'`, 2);
  const isResume = rest[0] === "resume";
  try {
    const { values, positionals } = parseArgs({
      args: isResume ? rest.slice(1) : rest,
      allowPositionals: true,
      options: {
        ...{ json: flag, "skip-git-repo-check": flag, ephemeral: flag },
        ...{ config: { ...text, short: "c", multiple: true }, model: { ...text, short: "m" } },
        ...(isResume ? {} : { sandbox: text }),
      },
    });
    if (!values["skip-git-repo-check"]) {
      refuse("Not inside a trusted directory and --skip-git-repo-check was not specified.");
    }
    if (!values.json) print("I have done it.");
    if (positionals.at(-1) !== "-") refuse("the prompt is to come on stdin");
    return isResume ? positionals[0] : undefined;
  } catch (error) {
    return refuse(`error: unexpected argument: ${String(error)}`, 2);
  }
}
