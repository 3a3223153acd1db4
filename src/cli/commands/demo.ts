/** `robson demo`: shows the whole way, and ends with what it came to. */
import { mkdir, mkdtemp, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { messageOf, RobsonError } from "../../core/errors.ts";
import { type DemoResult, runDemo } from "../demo/run-demo.ts";
import { createLog } from "../log.ts";
import type { CommandContext } from "../program.ts";
import { EXIT } from "../report-error.ts";

/** The demo takes seconds; past this something hangs. */
const MAX_DEMO_MS = 120_000;

export async function demo(
  { io, config, isJson }: CommandContext,
  { dir, crash = false }: { dir?: string; crash?: boolean },
): Promise<number> {
  const startedAt = Date.now();
  const log = createLog({ io, config, isJson, atLeast: "warn" });
  const interrupted = io.catchSignals();
  const timeout = AbortSignal.timeout(MAX_DEMO_MS);
  const directory = await makeFolder(dir === undefined ? undefined : resolve(io.cwd, dir));
  try {
    const result = await runDemo({
      directory,
      log,
      hasCrash: crash,
      signal: AbortSignal.any([interrupted, timeout]),
      onStep: (text) => io.err(stepLine(text, io.style("dim", seconds(Date.now() - startedAt)))),
    });
    const elapsedMs = Date.now() - startedAt;
    const { isDone, diffStat, ...shown } = result;
    if (isJson) io.out(JSON.stringify({ ...shown, elapsedMs, dir: directory }));
    else for (const line of summary(result, { elapsedMs, directory })) io.out(line);
    return isDone ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (interrupted.aborted) return EXIT.interrupted;
    throw timeout.aborted ? timedOut(directory, error) : error;
  } finally {
    log.close();
  }
}

async function makeFolder(given: string | undefined): Promise<string> {
  try {
    if (given === undefined) return await mkdtemp(join(tmpdir(), "robson-demo-"));
    await makeFolders(given);
    return given;
  } catch (error) {
    throw new RobsonError("USAGE_INVALID", `Cannot make the folder of the demo: ${messageOf(error)}`, {
      hint: "Name a folder that this user may write, with --dir",
      cause: error,
    });
  }
}

/** Not by mkdir's own `recursive`: below /proc, where nothing can be made, that tries for ever. */
async function makeFolders(folder: string): Promise<void> {
  if ((await stat(folder).catch(() => undefined))?.isDirectory()) return;
  const parent = dirname(folder);
  if (parent !== folder) await makeFolders(parent);
  await mkdir(folder);
}

function summary(
  result: DemoResult,
  { elapsedMs, directory }: { elapsedMs: number; directory: string },
): string[] {
  const { isDone, branch, commit, pullRequest, diffStat, counts } = result;
  const show = `robson --db ${join(directory, "robson.db")} pull-requests show ${pullRequest.split("/").at(-1)}`;
  const outcome = isDone
    ? [
        `Branch        ${branch} (commit ${commit.slice(0, 12)})`,
        diffStat,
        `Pull request  ${pullRequest}; see it with: ${show}`,
        `One of each   ${counted(counts)}`,
      ]
    : [`Not done      ${result.answer}`];
  return ["", ...outcome, `Time          ${seconds(elapsedMs)}`, `Folder        ${directory} (kept)`];
}

function counted({ branches, commits, pullRequests, comments, answers }: DemoResult["counts"]): string {
  const parts = [`branch ${branches}`, `commit ${commits}`, `pull request ${pullRequests}`];
  return [...parts, `comment on the ticket ${comments}`, `answer ${answers}`].join(", ");
}

/** Further lines of a text stand under its first one. */
function stepLine(text: string, time: string): string {
  return `${time}  ${text.trimEnd().replace(/\n(?=[^\n])/g, "\n       ")}`;
}

function seconds(elapsedMs: number): string {
  return `${(elapsedMs / 1000).toFixed(1)} s`;
}

function timedOut(directory: string, cause: unknown): RobsonError {
  return new RobsonError("WORKER_TIMED_OUT", `The demo has not ended within ${MAX_DEMO_MS / 1000} s`, {
    hint: `Look at what it left in ${directory}, and report this as a bug`,
    cause,
  });
}
