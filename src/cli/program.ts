/**
 * The commands of `robson` and their options; what each does stands in commands/, loaded only when it is asked
 * for, so that `robson --help` waits for none of them. Every error ends in report-error.ts.
 */
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import type { Config } from "../config/load-config.ts";
import type { CliIo } from "./io.ts";
import { age, collect, dollars, positive } from "./option-values.ts";
import { EXIT, reportError } from "./report-error.ts";
import { usageHint } from "./usage-hint.ts";

/** What every command gets. */
export interface CommandContext {
  io: CliIo;
  config: Config;
  isJson: boolean;
}

/** Resolves with the exit code; nothing means that all went well. */
type Run = (context: CommandContext, ...args: never[]) => Promise<number | undefined>;

/** Runs one command line to its end and returns the exit code. Never rejects. */
export async function runCli(argv: string[], io: CliIo): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = createProgram(io, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    return reportError(error, { io, isJson: argv.includes("--json"), usageHint: usageHint(program, argv) });
  }
}

function createProgram(io: CliIo, setExitCode: (code: number) => void): Command {
  const program = new Command("robson")
    .description(
      "Takes work from where a team talks, has a coding agent do it, and brings back a pull request",
    )
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("-c, --config <file>", "read this file (default: robson.toml in this folder, if there is one)")
    .option("--db <location>", "use this database: a file, or a postgres:// URL")
    .option("--json", "print data as JSON on stdout, and errors as JSON on stderr")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 the work failed, 2 wrong usage or configuration, 3 database trouble, 130 interrupted",
    )
    .exitOverride()
    // A usage error is told by report-error.ts; what commander writes to stderr besides is the help.
    .configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.err(text.trimEnd()),
      outputError: () => undefined,
    });

  const run =
    (load: () => Promise<Run>) =>
    async (...given: unknown[]) => {
      const command = given.at(-1) as Command;
      const context = await createContext(io, command.optsWithGlobals());
      const args = given.slice(0, -1) as never[];
      setExitCode((await (await load())(context, ...args)) ?? EXIT.ok);
    };
  addLoopCommands(program, run);
  addTaskCommands(program, run);
  addPullRequestCommands(program, run);
  addOperatorCommands(program, run);
  addDeadLetterCommands(program, run);
  addRunCommands(program, run);
  addAllowCommands(program, run);
  addWorkspaceCommands(program, run);
  return program;
}

type Runner = (load: () => Promise<Run>) => (...given: unknown[]) => Promise<void>;

function addLoopCommands(program: Command, run: Runner): void {
  program
    .command("agent")
    .description("run the loop with the webhook gateway and its HTTP server, until SIGINT or SIGTERM")
    .option("--tui", "talk with it on this terminal; beside a running agent, attach to that one")
    .action(run(async () => (await import("./commands/agent.ts")).agent));

  program
    .command("server")
    .description("the HTTP server alone: messages are stored for the process that runs the loop")
    .action(run(async () => (await import("./commands/server.ts")).server));

  program
    .command("send")
    .description("send a message through the loop and print the answers")
    .argument("<text...>", "the message, as in: /echo hello")
    .option("--wait", "wait for the answers when another process runs the loop")
    .addOption(timeoutOption(600))
    .action(run(async () => (await import("./commands/send.ts")).send));

  program
    .command("demo")
    .description("show the whole way, from a ticket to a pull request, in a folder of its own")
    .option("--dir <folder>", "work in this folder (default: a temporary one, which is kept)")
    .option("--crash", "pull the plug in the middle of the work, and start Robson again")
    .action(run(async () => (await import("./commands/demo.ts")).demo));

  program
    .command("migrate")
    .description("create the tables of the database, or bring them up to date")
    .action(run(async () => (await import("./commands/migrate.ts")).migrate));

  program
    .command("db")
    .description("the database as a whole")
    .command("move")
    .description("copy all that a database holds to an empty one of the other kind, SQLite or PostgreSQL")
    .argument("<from>", "as in sqlite:robson.db; no agent may run on it")
    .argument("<to>", "as in postgres://user@host/name")
    .action(run(async () => (await import("./commands/db-move.ts")).dbMove));
}

function addTaskCommands(program: Command, run: Runner): void {
  const task = program.command("task").description("the tasks that Robson keeps");

  task
    .command("create")
    .description("store a task")
    .requiredOption("--key <key>", "its key, as in PROJ-123")
    .requiredOption("--summary <text>", "what is to be done, in one line")
    .option("--description <text>", "what is to be done, in full")
    .option("--assignee <name>", "who has asked for it or watches over it")
    .option("--repo-url <url>", "a repository that it touches (may be repeated)", collect, [])
    .action(run(async () => (await import("./commands/task-create.ts")).taskCreate));

  task
    .command("list")
    .description("list the tasks, the oldest first")
    .option("--status <status>", "only those: pending, in_progress, done, failed or unfinished")
    .option("--limit <count>", "at most so many", positive, 1000)
    .action(run(async () => (await import("./commands/task-list.ts")).taskList));

  task
    .command("show")
    .description("show one task with its repositories and comments")
    .argument("<key>", "its key, as in PROJ-123")
    .action(run(async () => (await import("./commands/task-show.ts")).taskShow));

  program
    .command("run-task")
    .description("have the work of a task done, and wait for its end")
    .argument("<key>", "its key, as in PROJ-123")
    .option("--repo <url>", "a repository that it is to be done in, besides its own")
    .option("--agent <name>", "the coding agent that does it (default: workflow.agent)")
    .option("--budget <dollars>", "the most that it may cost, where the agent can be held to that", dollars)
    .addOption(timeoutOption(3660))
    .action(run(async () => (await import("./commands/run-task.ts")).runTask));

  program
    .command("run")
    .description("have the work of every pending task done, and wait for the end of all")
    .option("--parallel <count>", "work on so many tasks at once", positive, 4)
    .option("--limit <count>", "take at most so many tasks, the oldest first", positive, 1000)
    .addOption(timeoutOption(86_400))
    .action(run(async () => (await import("./commands/run.ts")).run));
}

function addPullRequestCommands(program: Command, run: Runner): void {
  const pullRequests = program.command("pull-requests").description("the pull requests that Robson keeps");

  pullRequests
    .command("list")
    .description("list the pull requests, the oldest first")
    .option("--limit <count>", "at most so many", positive, 1000)
    .action(run(async () => (await import("./commands/pull-requests.ts")).pullRequestsList));

  pullRequests
    .command("show")
    .description("show one with its text, its branch and how to fetch it")
    .argument("<number>", "its number, as 1 of robson://pull/1", positive)
    .action(run(async () => (await import("./commands/pull-requests.ts")).pullRequestsShow));
}

function addOperatorCommands(program: Command, run: Runner): void {
  program
    .command("why")
    .description("tell what happened to a message or a task, and what is next")
    .argument("<id>", "a message's number or external id, the id of a dead letter, or the key of a task")
    .action(run(async () => (await import("./commands/why.ts")).why));

  program
    .command("stop")
    .description("end a message that is open, whichever process has it")
    .argument("<id>", "as `robson why` takes it")
    .action(run(async () => (await import("./commands/stop.ts")).stop));

  const conversations = program.command("conversations").description("the messages on record");
  conversations
    .command("list")
    .description("list the latest messages, the latest first")
    .option("--gateway <name>", "only those of this gateway")
    .addOption(
      new Option("--status <status>", "only those").choices([
        "pending",
        "claimed",
        "waiting",
        "done",
        "dead",
      ]),
    )
    .option("--limit <count>", "at most so many", positive, 20)
    .action(run(async () => (await import("./commands/conversations.ts")).listConversations));
  conversations
    .command("show")
    .description("show a message and what was answered")
    .argument("<id>", "as `robson why` takes it")
    .action(run(async () => (await import("./commands/conversations.ts")).showConversation));

  program
    .command("gateways")
    .description("the gateways on record")
    .command("status")
    .description("how each gateway is, what is open and dead, and which processes run the loop")
    .action(run(async () => (await import("./commands/gateways.ts")).gatewaysStatus));
}

function addDeadLetterCommands(program: Command, run: Runner): void {
  const letters = program
    .command("dead-letters")
    .description("messages and deliveries that are not tried again by themselves");
  const filtered = (name: string, description: string) =>
    letters
      .command(name)
      .description(description)
      .option("--gateway <name>", "only those of this gateway")
      .option("--older-than <time>", "only those accepted or emitted so long ago: 30s, 15m, 2h, 7d", age);

  filtered("list", "list them, the oldest first")
    .option("--limit <count>", "at most so many", positive, 1000)
    .action(run(async () => (await import("./commands/dead-letters.ts")).listDeadLetters));
  letters
    .command("show")
    .description("show one with all that happened to its message")
    .argument("<id>", "as in message-12 or delivery-34-2b1f9c03")
    .action(run(async () => (await import("./commands/dead-letters.ts")).showDeadLetter));
  filtered("retry", "put them back with all their attempts before them; prints how many")
    .argument("[ids...]", "as in message-12 or delivery-34-2b1f9c03")
    .option("--all", "all that there are")
    .action(run(async () => (await import("./commands/dead-letters.ts")).retryDeadLetters));
  filtered("discard", "close them for good; prints how many")
    .argument("[ids...]", "as in message-12 or delivery-34-2b1f9c03")
    .option("--all", "all that there are")
    .action(run(async () => (await import("./commands/dead-letters.ts")).discardDeadLetters));
}

function addWorkspaceCommands(program: Command, run: Runner): void {
  const workspaces = program
    .command("workspaces")
    .description("the work directory: mirrors, checkouts and saved work");

  workspaces
    .command("list")
    .description("list what lies there by repository, with sizes and what was saved where")
    .action(run(async () => (await import("./commands/workspaces.ts")).listWorkspaces));

  workspaces
    .command("clean")
    .description(
      "remove what the limits do not keep, after saving what is in it; never what a process works in",
    )
    .argument("[keys...]", "only the workspaces of these tasks")
    .option("--all", "every workspace that no process works in")
    .action(run(async () => (await import("./commands/workspaces.ts")).cleanWorkspaces));
}

function addRunCommands(program: Command, run: Runner): void {
  const runs = program
    .command("runs")
    .description("long work: what was done, what it waits for, and answers");
  const id = ["<run>", "its number: that of the message that started it"] as const;
  const load = () => import("./commands/runs.ts");

  runs
    .command("list")
    .description("list the open runs, or all, the latest first")
    .option("--all", "those that have ended too")
    .option("--limit <count>", "at most so many", positive, 20)
    .action(run(async () => (await load()).listRuns));
  runs
    .command("show")
    .description("show one with its steps, effects, questions and notes")
    .argument(...id)
    .option("--transcript", "print what its agent wrote, as it came")
    .action(run(async () => (await load()).showRun));
  runs
    .command("logs")
    .description("what became of it so far: steps, and every event")
    .argument(...id)
    .action(run(async () => (await load()).logsOfRun));
  runs
    .command("answer")
    .description("answer the question that it waits with")
    .argument(...id)
    .argument("<text...>", "the answer")
    .option("--question <name>", "the question's name, where it has asked several")
    .action(run(async () => (await load()).answerRun));
  runs
    .command("stop")
    .description("end it, whichever process has it; what is done is kept")
    .argument(...id)
    .action(run(async () => (await load()).stopRun));
  runs
    .command("retry")
    .description("have one that has ended go on after its finished steps")
    .argument(...id)
    .action(run(async () => (await load()).retryRun));
}

function addAllowCommands(program: Command, run: Runner): void {
  const allow = program
    .command("allow")
    .description("the channels that are heard where a gateway does not hear everyone");
  allow
    .command("list")
    .description("list them")
    .argument("[gateway]", "only those of this gateway")
    .action(run(async () => (await import("./commands/allow.ts")).listAllowed));
  allow
    .command("add")
    .description("hear a channel; it takes effect within a second")
    .argument("<gateway>", "the name of the gateway")
    .argument("<channel>", "the channel's id, as the log and the refusal show it")
    .action(run(async () => (await import("./commands/allow.ts")).allowChannel));
  allow
    .command("remove")
    .description("hear it no more; what waits is refused")
    .argument("<gateway>", "the name of the gateway")
    .argument("<channel>", "the channel's id")
    .action(run(async () => (await import("./commands/allow.ts")).disallowChannel));
}

async function createContext(io: CliIo, options: Record<string, unknown>): Promise<CommandContext> {
  const { loadConfig } = await import("../config/load-config.ts");
  const {
    config: configFile,
    db: database,
    json,
  } = options as { config?: string; db?: string; json?: boolean };
  return {
    io,
    isJson: json === true,
    config: loadConfig({ cwd: io.cwd, env: io.env, configFile, database }),
  };
}

function timeoutOption(defaultSeconds: number): Option {
  return new Option("--timeout <seconds>", "wait no longer than this")
    .default(defaultSeconds)
    .argParser(positive);
}

/** Of the package that this file belongs to, whether it runs from src/ or from dist/. */
function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
