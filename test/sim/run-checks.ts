/** What must hold of the runs in a database at any instant, and in the end: their rows belong together. */
import type { MemoryRun } from "./memory-runs.ts";
import type { MemoryTables } from "./memory-tables.ts";

type Violated = (text: string) => void;

/** All runs, after a process has ended and in the end. */
export function checkRuns(tables: MemoryTables, violated: Violated): void {
  for (const run of tables.runs.keys()) checkRun(tables, { run, violated });
  checkPassedOn(tables, violated);
}

/** What was committed with its steps is there with them, and nothing of those that are not. */
export function checkRun(
  tables: MemoryTables,
  { run: id, violated }: { run: number; violated: Violated },
): void {
  const run = tables.runs.get(id);
  if (!run) return;
  const said = eventsBySaying(tables, id);
  const read: string[] = [];
  for (const { name, result } of run.steps) {
    const { execution, notes } = parseResult(result);
    read.push(...notes);
    for (const other of said.get(name) ?? [])
      if (other !== execution)
        violated(`run ${id} has an event of execution ${other} of ${name}, whose result is ${result}`);
    const effect = run.effects.find(({ step }) => step === name);
    if (effect && (effect.outcome === "intended") !== (result === null))
      violated(`run ${id} has an effect of ${name} that is ${effect.outcome}, and its result is ${result}`);
  }
  checkNotes(run, { read, violated });
  checkLane(tables, { run, violated });
}

/** What waits for nothing that has a time waits for what is not there yet; what has one was woken, if that is before. */
export function waitsInVain(tables: MemoryTables, before: number): string[] {
  return [...tables.inbox].flatMap(([id, { status, nextAttemptAt }]) => {
    if (status !== "waiting") return [];
    if (nextAttemptAt !== null)
      return nextAttemptAt < before
        ? [`run ${id} still waits for ${new Date(nextAttemptAt).toISOString()}`]
        : [];
    const { decisions = [] } = tables.runs.get(id) ?? {};
    const isOpen = decisions.some(({ answeredAt, dueAt }) => answeredAt === null && dueAt === null);
    return isOpen ? [] : [`run ${id} still waits, and all that it waits for is there`];
  });
}

/** The messages that ended as an answer or a note are that, once; and what is an answer came from such a message. */
function checkPassedOn(tables: MemoryTables, violated: Violated): void {
  const answers = new Map<string, number[]>();
  const notes = new Map<number, number[]>();
  for (const { conversationId, decisions, notes: passedOn } of tables.runs.values()) {
    for (const { kind, answer } of decisions)
      if (kind === "question" && answer !== null)
        answers.set(answer, [...(answers.get(answer) ?? []), conversationId]);
    for (const note of passedOn)
      notes.set(note.conversationId, [...(notes.get(note.conversationId) ?? []), conversationId]);
  }
  for (const message of tables.conversations.values()) {
    const { conversationId, content } = message;
    if (!content.startsWith("say ")) continue;
    const texts = eventsOf(tables, conversationId);
    const answered = texts.flatMap((text) => Number(ANSWERED.exec(text)?.[1] ?? 0) || []);
    const noted = texts.flatMap((text) => Number(PASSED_ON.exec(text)?.[1] ?? 0) || []);
    const given = answers.get(JSON.stringify(content)) ?? [];
    if (`${given}` !== `${answered}`)
      violated(`"${content}" is the answer of runs [${given}], and was told to be that of [${answered}]`);
    const passed = notes.get(conversationId) ?? [];
    if (`${passed}` !== `${[...answered, ...noted]}`)
      violated(`"${content}" was passed on to runs [${passed}], and told is [${[...answered, ...noted]}]`);
    for (const run of [...given, ...passed])
      checkThread(tables, { message, run, isAnswer: given.includes(run), violated });
  }
}

function checkThread(
  tables: MemoryTables,
  {
    message,
    run,
    isAnswer,
    violated,
  }: {
    message: { conversationId: number; threadTs: string; gateway: string | null; userId: string };
    run: number;
    isAnswer: boolean;
    violated: Violated;
  },
): void {
  const asked = tables.conversations.get(run);
  const isOfThread = asked?.threadTs === message.threadTs && asked.gateway === message.gateway;
  if (!isOfThread || (isAnswer && asked.userId !== message.userId))
    violated(`run ${run} has taken message ${message.conversationId} of another thread or another person`);
}

function checkNotes(run: MemoryRun, { read, violated }: { read: string[]; violated: Violated }): void {
  const answers = new Set(run.decisions.map(({ answer }) => answer));
  for (const { content, takenAt } of run.notes) {
    const times = read.filter((text) => text === content).length;
    const isAnswer = answers.has(JSON.stringify(content));
    if (isAnswer ? times > 0 || takenAt === null : times !== Number(takenAt !== null))
      violated(
        `run ${run.conversationId} has read "${content}" ${times} times, and it was taken at ${takenAt}`,
      );
  }
}

/** One open run has a lane, and a run is open as long as its message is. */
function checkLane(tables: MemoryTables, { run, violated }: { run: MemoryRun; violated: Violated }): void {
  const { conversationId, lane, endedAt, status } = run;
  const message = tables.inbox.get(conversationId)?.status ?? "done";
  const isEnded = message === "done" || message === "dead";
  if (isEnded && endedAt === null)
    violated(`run ${conversationId} is ${status}, and its message is ${message}`);
  if (lane === null || endedAt !== null) return;
  for (const other of tables.runs.values())
    if (other.lane === lane && other.endedAt === null && other.conversationId !== conversationId)
      violated(`runs ${conversationId} and ${other.conversationId} are open in one lane`);
}

/** The executions of each step that have said something. */
function eventsBySaying(tables: MemoryTables, run: number): Map<string, number[]> {
  const said = new Map<string, number[]>();
  for (const text of eventsOf(tables, run)) {
    const [, name, execution] = SAYS.exec(text) ?? [];
    if (name !== undefined) said.set(name, [...(said.get(name) ?? []), Number(execution)]);
  }
  return said;
}

/** Of a step that is no effect: which execution of it was stored, and the notes that it has read. */
export function parseResult(result: string | null): { execution?: number; notes: string[] } {
  const [, execution, notes] = RESULT.exec(result === null ? "" : String(JSON.parse(result))) ?? [];
  if (execution === undefined) return { notes: [] };
  return { execution: Number(execution), notes: JSON.parse(notes ?? "[]") as string[] };
}

export function eventsOf(tables: MemoryTables, id: number): string[] {
  const events = [...tables.events.values()].filter(({ conversationId }) => conversationId === id);
  return events.map(({ content }) => content);
}

const SAYS = /^\S+ (op\d+) says \d+ in (\d+)$/;
const RESULT = /^op\d+ in (\d+) read (.*)$/s;
const ANSWERED = /^Run (\d+) has your answer/;
const PASSED_ON = /^Passed on to run (\d+)/;
