/**
 * The whole way with a real agent: `robson run-task` as a process of its own, configured by robson.toml, from a ticket of
 * the local tracker to a pull request in the local forge.
 */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanEnvironment } from "../src/workflow/child-process.ts";
import { createDemoProject, type DemoProject } from "../src/workflow/demo-project.ts";
import type { Script } from "./model.ts";
import { createPlace, type EndedTurn, MAX_TURN_MS, type Place } from "./place.ts";
import { KEY, type RealAgent } from "./real-agents.ts";
import type { Scenario } from "./scenarios.ts";

const ROBSON = join(import.meta.dirname, "../src/cli/main.ts");
const FIXED = `/** The total of a bill's lines, in cents. */
export function total(lines) {
  return lines.reduce((sum, { cents, count }) => sum + cents * count, 0);
}
`;

export const PULL_REQUEST_SCENARIOS: Scenario[] = [
  pullRequestScenario({
    name: "pull-request",
    says: "does a task of the local tracker, up to its pull request",
    sandbox: "none",
  }),
  pullRequestScenario({
    name: "sandboxed",
    says: "does the same in the sandbox bubblewrap, with nothing open but the model",
    sandbox: "bubblewrap",
  }),
];

function pullRequestScenario({ name, says, sandbox }: PullRequestScenario): Scenario {
  const run = async (agent: RealAgent): Promise<EndedTurn[]> => {
    const place = await createPlace(agent);
    try {
      const project = await createDemoProject(join(place.folder, "project"), {
        signal: AbortSignal.timeout(60_000),
      });
      configure(agent, { place, sandbox });
      place.model.play(fixTotal(agent));

      await robson(place, { agent, args: ["task", "create", ...ticketOf(project)] });
      const answer = await robson(place, { agent, args: ["run-task", project.task.key] });

      assert.match(answer, /pull request/i);
      await checkPullRequest(place, { agent, project });
      return [];
    } finally {
      await place.remove();
    }
  };
  return { name, says, run };
}

interface PullRequestScenario extends Pick<Scenario, "name" | "says"> {
  sandbox: "none" | "bubblewrap";
}

/** The model asks where it is, and writes the file there. */
function fixTotal(agent: RealAgent): Script {
  return ({ step, result }) => {
    if (step === 0) return agent.command("pwd");
    if (step > 1) return { text: "The first line of the bill counts now." };
    const paths = result.match(/\/[^\s"'\\<]+/g) ?? [];
    const file = paths.map((path) => join(path, "total.js")).find((path) => existsSync(path));
    return file === undefined ? { text: `I do not know where I am: ${result}` } : agent.edit(file, FIXED);
  };
}

function configure(agent: RealAgent, { place, sandbox }: { place: Place; sandbox: string }): void {
  const config = [
    `database.url = "robson.db"`,
    "[workflow]",
    `agent = "${agent.name}"`,
    `sandbox = "${sandbox}"`,
    "allow_file_repositories = true",
    "[sandbox]",
    `readable = [${JSON.stringify(join(import.meta.dirname, "node_modules"))}]`,
    `allow_domains = ["${new URL(place.model.url).host}"]`,
    agent.config({ modelUrl: place.model.url, key: KEY }),
  ];
  writeFileSync(join(place.folder, "robson.toml"), `${config.join("\n")}\n`);
}

function ticketOf({ task }: DemoProject): string[] {
  const { key, summary, description = "", repoUrls } = task;
  const words = ["--key", key, "--summary", summary, "--description", description];
  return [...words, ...(repoUrls ?? []).flatMap((url) => ["--repo-url", url])];
}

async function checkPullRequest(
  place: Place,
  { agent, project }: { agent: RealAgent; project: DemoProject },
): Promise<void> {
  const listed = await robson(place, { agent, args: ["--json", "pull-requests", "list"] });
  assert.match(listed, new RegExp(project.task.key));
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: project.origin, env: cleanEnvironment(place), encoding: "utf8" }).trim();
  const branches = git("for-each-ref", "--format=%(refname:short)", "refs/heads/robson").split("\n");
  assert.equal(branches.length, 1, `branches of Robson: ${branches.join(", ")}`);
  assert.equal(`${git("show", `${branches[0]}:total.js`)}\n`, FIXED);
  assert.equal(git("rev-list", "--count", `main..${branches[0]}`), "1");
}

interface Command {
  agent: RealAgent;
  args: string[];
}

/** Runs a command of Robson in the folder, with an environment made from nothing; its words are in what it rejects with. */
function robson(place: Place, { agent, args }: Command): Promise<string> {
  const env = {
    ...cleanEnvironment(place),
    ...agent.environment({ modelUrl: place.model.url, key: KEY }),
  };
  const options = { cwd: place.folder, env, timeout: MAX_TURN_MS };
  return new Promise((resolve, reject) => {
    const words = ["--disable-warning=ExperimentalWarning", ROBSON, ...args];
    execFile(process.execPath, words, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`robson ${args[0]} failed (${error.code}): ${stdout}\n${stderr}`));
    });
  });
}
