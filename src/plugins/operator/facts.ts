/**
 * All that `why` explains of one message: what is on record, and what is known beside the records: who runs the
 * loop, which gateways run, what the workers that are registered now would do with it.
 */
import type { OpenMessage } from "../../core/control.ts";
import { messageOf, RobsonError } from "../../core/errors.ts";
import type { Limits } from "../../core/limits.ts";
import type { MessageFacts, OperatorRecords } from "../../core/operator-records.ts";
import { isHelp, Routing } from "../../core/routing.ts";
import type { StoredMessage } from "../../core/store.ts";
import { type Asker, mayUse, type Worker } from "../../core/worker.ts";
import { parseLetterId } from "./letter-id.ts";

/** How the workers that are registered now would take the message. */
export interface RouteFacts {
  isHelp: boolean;
  /** In the order in which they are asked. */
  routes: RouteFact[];
}

export interface RouteFact {
  worker: string;
  by: string;
  mayUse: boolean;
  /** Why it cannot be said whether its user may use it. */
  mayUseError?: string | undefined;
  maxAttempts?: number | undefined;
}

/** The gateways that run, or that the configuration would run. */
export interface RunningGateways {
  names: readonly string[];
  /** Whether the loop itself could not be asked: then its workers are those of the configuration as well. */
  isConfiguration: boolean;
}

/** The limits that an explanation names. */
export type ExplainedLimits = Pick<
  Limits,
  | "maxMessageAttempts"
  | "maxDeliveryAttempts"
  | "maxInterruptions"
  | "maxUnregisteredGatewayMs"
  | "backoffBaseMs"
>;

/** What is known beside the records of one message. */
export interface Surroundings {
  /** The processes that run the loop. */
  owners: readonly string[];
  /** The one of them whose gateways, limits and open messages are known here; undefined where none could be asked. */
  answering: string | undefined;
  gateways: RunningGateways;
  limits: ExplainedLimits;
}

export interface Facts extends MessageFacts, Surroundings {
  route: RouteFacts;
  /** What the loop that runs knows of it. */
  live?: Pick<OpenMessage, "state" | "worker" | "startedAt"> | undefined;
}

/** How the message is routed by these workers. */
export function routeFacts(message: StoredMessage, workers: readonly Worker[]): RouteFacts {
  const routing = new Routing();
  for (const worker of workers) routing.register(worker);
  const { gateway, channelId, threadTs, userId } = message;
  const asker = {
    ...{ channelId, userId },
    ...(gateway === null ? {} : { gateway }),
    ...(threadTs === "" ? {} : { threadTs }),
  };
  return {
    isHelp: isHelp(message.content),
    routes: routing.match(message.content).map(({ worker }) => ({
      worker: worker.name,
      by: matchedBy(worker),
      ...allowed(worker, asker),
      maxAttempts: worker.maxAttempts,
    })),
  };
}

/** A plugin's own rule may fail; what is on record is told all the same. */
function allowed(worker: Worker, asker: Asker): Pick<RouteFact, "mayUse" | "mayUseError"> {
  try {
    return { mayUse: mayUse(worker, asker) };
  } catch (error) {
    return { mayUse: false, mayUseError: messageOf(error) };
  }
}

function matchedBy({ command, pattern }: Worker): string {
  if (command !== undefined) return `the command ${command}`;
  return pattern === undefined ? "no command or pattern, so by the fallback" : `the pattern ${pattern}`;
}

/** The messages that a person means: by a typed id, a number, an external id, or the key of a task. */
export async function findMessages(
  records: OperatorRecords,
  { text, maxMessages = MAX_MESSAGES }: { text: string; maxMessages?: number },
): Promise<number[]> {
  const letter = parseLetterId(text);
  if (letter?.kind === "message") return known(records, [letter.conversationId], text);
  if (letter?.kind === "delivery") {
    const conversationId = await records.messageOfEvent(letter.eventId);
    return known(records, conversationId === undefined ? [] : [conversationId], text);
  }
  const number = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : undefined;
  const isNumber = number !== undefined && (await records.facts(number)) !== undefined;
  const found = [...(isNumber ? [number] : []), ...(await records.messagesByKey(text))];
  if (found.length > 0) return [...new Set(found)];
  if (TASK_KEY.test(text)) {
    const naming = await records.messagesOfTask(text, { limit: maxMessages });
    if (naming.length > 0) return naming;
  }
  return known(records, [], text);
}

/** How many messages of one task are explained. */
const MAX_MESSAGES = 10;
const TASK_KEY = /^[a-z][a-z0-9_]*-\d+$/i;

/** Says so where the text is the number of a message that is kept no more. */
export async function removedText(records: OperatorRecords, text: string): Promise<string | undefined> {
  const letter = parseLetterId(text);
  const id = letter?.kind === "message" ? letter.conversationId : Number(text);
  if (!Number.isSafeInteger(id) || id < 1 || !(await records.wasRemoved(id))) return undefined;
  return `Message ${id} is not on record any more: it had ended, and retention removed it`;
}

async function known(records: OperatorRecords, ids: number[], text: string): Promise<number[]> {
  const [id] = ids;
  if (id !== undefined && (await records.facts(id)) !== undefined) return ids;
  const removed = await removedText(records, text);
  if (removed !== undefined) {
    throw new RobsonError("NOT_FOUND", removed, {
      hint: "[retention] in robson.toml says for how long messages are kept",
    });
  }
  throw new RobsonError("NOT_FOUND", `Cannot find a message by "${text.slice(0, 100).toWellFormed()}"`, {
    hint: "Use a message's number, its external id, the id of a dead letter, or the key of a task; `robson conversations list` shows the latest",
  });
}
