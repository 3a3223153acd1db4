/**
 * `npm run test:agents`: the real coding agents against a played model, each scenario with each agent. It prints which
 * agent in which version passed what, and why one that cannot be asked for something is not; exit code 1 when one fails.
 *
 *     npm run test:agents -- [--agent NAME]… [--scenario NAME]… [--installed] [--record FOLDER]
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    agent: { type: "string", multiple: true },
    scenario: { type: "string", multiple: true },
    /** Takes what `npm ci` has installed before. */
    installed: { type: "boolean", default: false },
    /** Writes what the agents print into this folder. */
    record: { type: "string" },
  },
});

if (!values.installed) runs("npm", ["ci"]);
runs("tsc", ["-p", "."]);
// Loaded only now: they need what was installed.
const { REAL_AGENTS, versionOf } = await import("./real-agents.ts");
const { SCENARIOS } = await import("./scenarios.ts");
const { PULL_REQUEST_SCENARIOS } = await import("./pull-request.ts");

const agents = chosen(REAL_AGENTS, values.agent);
const scenarios = chosen([...SCENARIOS, ...PULL_REQUEST_SCENARIOS], values.scenario);
let [passed, failed, impossible] = [0, 0, 0];

for (const agent of agents) {
  say(`\n${agent.packageName} ${versionOf(agent)} (${agent.name})`);
  for (const scenario of scenarios) {
    const reason = agent.cannot[scenario.name];
    if (reason !== undefined) {
      impossible += 1;
      say(`  cannot  ${scenario.name}: ${reason}`);
      continue;
    }
    const startedAt = performance.now();
    try {
      const turns = await scenario.run(agent);
      passed += 1;
      say(`  passed  ${scenario.name}: ${scenario.says} (${seconds(startedAt)})`);
      for (const [index, { transcript }] of turns.entries()) {
        record(`${agent.name}-${scenario.name}-${index + 1}`, transcript);
      }
    } catch (error) {
      failed += 1;
      say(`  FAILED  ${scenario.name}: ${scenario.says} (${seconds(startedAt)})`);
      say(indented(error instanceof Error ? (error.stack ?? error.message) : String(error)));
    }
  }
}
say(`\n${passed} passed, ${failed} failed, ${impossible} that an agent cannot do`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** npm puts the commands of node_modules/.bin in the path. */
function runs(command: string, args: string[]): void {
  const { status, error } = spawnSync(command, args, { cwd: import.meta.dirname, stdio: "inherit" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed in e2e-agents`, { cause: error });
}

function chosen<Each extends { name: string }>(all: Each[], names: string[] | undefined): Each[] {
  const known = all.map(({ name }) => name);
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`There is no "${unknown}"; there are: ${known.join(", ")}`);
  return all.filter(({ name }) => names === undefined || names.includes(name));
}

function record(name: string, transcript: string[]): void {
  if (values.record === undefined) return;
  mkdirSync(values.record, { recursive: true });
  writeFileSync(join(values.record, `${name}.jsonl`), `${transcript.join("\n")}\n`);
}

function seconds(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
}

function indented(text: string): string {
  return text.replace(/^/gm, "          ");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
