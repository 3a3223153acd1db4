/** What is measured: an engine takes a message, answers it and delivers the answer; and the message itself. */

export interface BenchMessage {
  id: number;
  /** 500 of them share the messages; the order within one is checked. */
  conversation: string;
  user: string;
  /** 280 bytes. */
  text: string;
}

/** What a delivered answer tells: which message it answers. */
export type Answered = Pick<BenchMessage, "id" | "conversation">;

export interface Engine {
  name: string;
  variant: string;
  /** What an acknowledged message survives. */
  durability: string;
  init(): Promise<void>;
  /** Resolves when the message is durable. */
  enqueue(message: BenchMessage): Promise<unknown>;
  /** As many at once as the engine can; nothing is worked on before `start`. */
  enqueueMany(messages: BenchMessage[]): Promise<void>;
  start(onDelivered: (answered: Answered) => void): Promise<void>;
  /** Resolves when nothing is open in the database. */
  drained(): Promise<void>;
  stop(): Promise<void>;
  serverPid?: number;
  /** How many transactions the server has committed. */
  commits?(): Promise<number>;
  /** What the database holds in the end, counted by another connection. */
  stored?(): Promise<Stored>;
  /** The file of an SQLite database, for a program that writes to it meanwhile. */
  file?: string;
}

export interface Stored {
  messages: number;
  open: number;
  events: number;
  delivered: number;
}

/** What an engine needs to begin; which of it, it says itself. */
export interface Surroundings {
  /** Removed at the end. */
  folder: string;
  variant: string;
  /** Robson as it is published. */
  dist: string;
  /** Of a database of its own, empty unless there is a template. */
  postgresUrl: string | undefined;
  serverPid: number | undefined;
  redisPort: number | undefined;
  /** What the database begins with: a file, or the name of a database. */
  template: string | undefined;
}

/** A part that is not installed here; the table names it, and everything else is measured. */
export class Missing extends Error {}

/** A library from bench/node_modules; its types are ours, since the folder is not installed everywhere. */
export async function loadPeer<Library>(name: string): Promise<Library> {
  try {
    return (await import(name)) as Library;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    throw new Missing(`${name} is not installed (npm ci in bench/): ${reason}`);
  }
}

export function needed<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined) throw new Missing(`${what} is not there`);
  return value;
}

const CONTENT_BYTES = 280;
const FILLER = "Could you have a look at the failing build on the release branch and tell me what broke it? ";

export function messageOf(id: number, conversations: number): BenchMessage {
  const index = id % conversations;
  const text = `deploy ${id} ${FILLER.repeat(3)}`.slice(0, CONTENT_BYTES);
  return { id, conversation: `C${String(index).padStart(6, "0")}`, user: `U${index % 97}`, text };
}

export function answerTo({ text }: Pick<BenchMessage, "text">): string {
  return `done: ${text}`;
}

/** The message's id out of its answer. */
export function answeredId(answer: string): number {
  return Number.parseInt(answer.slice("done: deploy ".length), 10);
}

/** Of twenty patterns the last one matches. */
export const PATTERNS: readonly string[] = [
  ...Array.from({ length: 19 }, (_, index) => `^command${index}\\s`),
  "^deploy\\s+(\\d+)",
];
