/**
 * `robson runs`: long work on record, and what a person says to it. Reads and inserts alone: an agent that runs is woken,
 * and where none does, the next one takes it up.
 */
import { systemClock } from "../../core/clock.ts";
import { RobsonError } from "../../core/errors.ts";
import { chosen, noQuestion, openQuestion, wrongAnswer } from "../../core/run-answer.ts";
import type { RunDetails } from "../../core/run-store.ts";
import { parseRunId } from "../../plugins/operator/run-access.ts";
import { type RunTelling, retriedText, runLines, runState } from "../../plugins/operator/run-lines.ts";
import { absolute, count } from "../../plugins/operator/words.ts";
import type { OpenedStore } from "../../store/opened-store.ts";
import type { CommandContext } from "../program.ts";
import { userName } from "../send-message.ts";
import { transcriptLines, transcriptsOf } from "../transcripts.ts";
import { withStore } from "../with-store.ts";

const COMMANDS = "robson runs ";
/** How a run's end reads, for whoever asks a program. */
const RETRIABLE = ["failed", "stopped", "dead"];

export async function listRuns(
  { io, config, isJson }: CommandContext,
  { all = false, limit }: { all?: boolean; limit: number },
): Promise<undefined> {
  await withStore(config, async (store) => {
    const { runs } = store;
    const found = await runs.runs({ limit, ...(all ? {} : { isOpen: true }) });
    const telling = await tellingNow(store);
    const width = Math.max(0, ...found.map(({ conversationId }) => String(conversationId).length));
    for (const { conversationId } of found) {
      const run = await runs.run(conversationId);
      if (!run) continue;
      const about = `${run.status.padEnd(7)}  ${run.title} (${run.worker}): ${runState(run, telling)}`;
      io.out(isJson ? JSON.stringify(run) : `${String(conversationId).padStart(width)}  ${about}`);
    }
    if (!isJson)
      io.err(found.length === 0 ? `There are no ${all ? "" : "open "}runs` : count(found.length, "run"));
  });
}

export async function showRun(
  { io, config, isJson }: CommandContext,
  text: string,
  { transcript = false }: { transcript?: boolean } = {},
): Promise<undefined> {
  await withStore(config, async (store) => {
    const run = await findRun(store, text);
    const transcripts = await transcriptsOf(config, run.conversationId);
    if (transcript) return await printTranscripts(run, { transcripts, out: io.out, isJson });
    if (isJson) return io.out(JSON.stringify({ ...run, transcripts }));
    const events = await store.events(run.conversationId);
    for (const line of runLines(run, { ...(await tellingNow(store)), events, transcripts })) io.out(line);
  });
}

export async function logsOfRun({ io, config, isJson }: CommandContext, text: string): Promise<undefined> {
  await withStore(config, async (store) => {
    const run = await findRun(store, text);
    const transcripts = await transcriptsOf(config, run.conversationId);
    const events = await store.events(run.conversationId);
    if (isJson) return io.out(JSON.stringify({ ...run, transcripts, events }));
    for (const line of runLines(run, { ...(await tellingNow(store)), transcripts })) io.out(line);
    for (const { kind, content, createdAt } of events) {
      io.out("");
      io.out(`${kind}, ${absolute(createdAt)}`);
      io.out(content);
    }
  });
}

export async function answerRun(
  { io, config, isJson }: CommandContext,
  text: string,
  words: string[],
  { question: name }: { question?: string } = {},
): Promise<undefined> {
  await withStore(config, async (store) => {
    const run = await findRun(store, text);
    const question = openQuestion(run, name);
    if (!question) throw noQuestion(run, name);
    const value = chosen(question, words.join(" "));
    if (value === undefined) throw wrongAnswer(run, question);
    const answer = { name: question.name, value, by: userName() || "someone", at: systemClock.now() };
    if (!(await store.runs.answer(run.conversationId, answer))) throw noQuestion(run, question.name);
    if (isJson)
      io.out(JSON.stringify({ conversationId: run.conversationId, question: question.name, value }));
    else io.out(`Run ${run.conversationId} has the answer, and goes on`);
    await sayWhoGoesOn(store, io.err);
  });
}

export async function stopRun({ io, config, isJson }: CommandContext, text: string): Promise<undefined> {
  await withStore(config, async (store) => {
    const { conversationId, status } = await findRun(store, text);
    if (!(await store.requestStop(conversationId, userName() || "someone"))) {
      throw new RobsonError("RUN_INVALID", `Cannot stop run ${conversationId}: it has ended (${status})`, {
        hint: `\`robson runs show ${conversationId}\` tells what became of it`,
      });
    }
    if (isJson) io.out(JSON.stringify({ conversationId, isStopping: true }));
    else io.out(`Run ${conversationId} is being stopped; what is done is kept`);
    await sayWhoGoesOn(store, io.err);
  });
}

export async function retryRun({ io, config, isJson }: CommandContext, text: string): Promise<undefined> {
  await withStore(config, async (store) => {
    const run = await findRun(store, text);
    const { conversationId } = run;
    if (!RETRIABLE.includes(run.status) || !(await store.runs.reopen(conversationId)))
      throw notRetriable(run);
    if (isJson) io.out(JSON.stringify({ conversationId, isRetried: true }));
    else io.out(retriedText(run));
    await sayWhoGoesOn(store, io.err);
  });
}

async function tellingNow(store: OpenedStore): Promise<RunTelling> {
  const isUnattended = (await store.currentOwners()).length === 0;
  return { now: systemClock.now(), commands: COMMANDS, isUnattended };
}

async function findRun({ runs, operator }: OpenedStore, text: string): Promise<RunDetails> {
  const id = parseRunId(text);
  const run = id === undefined ? undefined : await runs.run(id);
  if (run) return run;
  const isMessage = id !== undefined && (await operator.facts(id)) !== undefined;
  throw new RobsonError("NOT_FOUND", `Cannot find a run "${text.slice(0, 40).toWellFormed()}"`, {
    hint: isMessage
      ? `It is a message that has started none; \`robson why ${id}\` tells about it`
      : "`robson runs list --all` shows the latest; a run has its message's number",
  });
}

async function printTranscripts(
  { conversationId }: RunDetails,
  { transcripts, out, isJson }: { transcripts: string[]; out: (text: string) => void; isJson: boolean },
): Promise<void> {
  if (transcripts.length === 0) {
    throw new RobsonError("NOT_FOUND", `Cannot find a transcript of run ${conversationId}`, {
      hint: "No agent has written anything for it yet, or its work directory is another machine's",
    });
  }
  for await (const line of transcriptLines(transcripts, isJson)) out(line);
}

function notRetriable({ conversationId: id, status, endedAt }: RunDetails): RobsonError {
  const why = endedAt === null ? "it is open" : `it has ended (${status}), or is open again by now, or done`;
  return new RobsonError("RUN_INVALID", `Cannot retry run ${id}: ${why}`, {
    hint:
      endedAt === null
        ? `\`robson runs show ${id}\` tells what it is at; \`robson runs stop ${id}\` ends it`
        : "Ask for the same again to have it done anew",
  });
}

async function sayWhoGoesOn(store: OpenedStore, warn: (text: string) => void): Promise<void> {
  if ((await store.currentOwners()).length === 0)
    warn("No process runs the loop now; `robson agent` takes it up");
}
