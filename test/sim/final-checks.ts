/** What must hold when everything has ended: nothing lost, nothing twice, nothing left over. */
import {
  checkPlainMessage,
  checkRunMessage,
  checkRunsEnd,
  type EndedMessage,
  type EndOfRuns,
} from "./final-run-checks.ts";
import type { MemoryTables } from "./memory-tables.ts";
import type { MessagePlan, Scenario } from "./scenario.ts";
import { answerText, FAILED, progressText, REFUSED } from "./sim-process.ts";
import type { Witness } from "./witness.ts";

export function checkTheEnd(tables: MemoryTables, end: EndOfRuns): void {
  const { scenario, witness } = end;
  const ids = new Set<number>();
  for (const plan of scenario.messages) {
    const id = witness.accepted.get(plan.key);
    if (id === undefined) witness.violated(`${plan.key} was never accepted`);
    else {
      ids.add(id);
      const { status, lastError = null } = tables.message(id) ?? {};
      checkMessage(tables, { ...end, plan, id, status, lastError });
    }
  }
  for (const { conversationId, content } of tables.conversations.values())
    if (!ids.has(conversationId)) witness.violated(`message ${conversationId} (${content}) is a second one`);
  checkDeliveries(tables, witness);
  if (scenario.hasRuns) checkRunsEnd(tables, end);
}

function checkMessage(tables: MemoryTables, ended: EndedMessage): void {
  const { plan, id, witness, status } = ended;
  const name = `${plan.key} (message ${id})`;
  if (status !== "done" && status !== "dead") witness.violated(`${name} has not ended: it is ${status}`);
  const ends = tables.ends.get(id) ?? 0;
  // Once in each of its rounds.
  const { asked = 0, told = 0 } = witness.retries.get(id) ?? {};
  if (ends < 1 + told || ends > 1 + asked)
    witness.violated(`${name} has ended ${ends} times, and was retried ${told} to ${asked} times`);
  const mayBeRefused = plan.run !== null && plan.run.lane !== null;
  if (ends > 1 && !(witness.triedAgain.has(id) || witness.mayBeStopped.has(id) || mayBeRefused))
    witness.violated(`${name} was retried, and has ended again without an attempt: it is ${status}`);
  if (plan.run) checkRunMessage(tables, ended);
  else if (plan.isPlain) checkPlainMessage(tables, ended);
  else checkWork(tables, { ...ended, name });
}

function checkWork(
  tables: MemoryTables,
  { plan, id, scenario, witness, status, lastError, name }: EndedMessage & { name: string },
): void {
  const events = [...tables.events.values()].filter(({ conversationId }) => conversationId === id);
  const isWord = (text: string) => text.startsWith("I could not do this");
  // Where it was retried, its asker was told each time that it was dead; once, of two times within a millisecond.
  const told = events.filter(({ content }) => isWord(content)).length;
  let words = Math.min((tables.ends.get(id) ?? 1) - 1, status === "dead" ? told - 1 : told);
  const texts = events.flatMap(({ content }) => {
    const isOfFormerRound = isWord(content) && words > 0;
    words -= Number(isOfFormerRound);
    return isOfFormerRound ? [] : [content];
  });
  if (texts.some((text) => text.startsWith("Stopped by "))) {
    checkStopped(name, { plan, id, status, texts, witness });
    return;
  }
  const progress = Array.from({ length: plan.progress }, (_, index) => progressText(plan.key, index + 1));
  if (status === "done") {
    if (plan.ending === "refusal" || plan.ending === "hanging")
      witness.violated(`${name} is done, and cannot be`);
    const expected = plan.ending === "answer" ? [...progress, answerText(plan.key)] : progress;
    const isShorter = plan.isShorterAgain && `${texts}` === `${expected.toSpliced(plan.progress - 1, 1)}`;
    if (`${texts}` !== `${expected}` && !isShorter)
      witness.violated(`${name} is done with events [${texts}], not [${expected}]`);
    return;
  }
  if (!mayBeDead(plan, { lastError: lastError ?? "", scenario }))
    witness.violated(`${name} is dead: ${lastError}`);
  const rest = texts.filter((text) => !isWord(text));
  if (rest.length !== texts.length - 1) witness.violated(`${name} is dead, and nobody was told: [${texts}]`);
  if (rest.some((text) => !progress.includes(text)))
    witness.violated(`${name} is dead with events [${texts}]`);
}

/** Someone wanted it ended: it is, with his name as its last word, and without an answer. */
function checkStopped(
  name: string,
  {
    plan,
    id,
    status,
    texts,
    witness,
  }: { plan: MessagePlan; id: number; status: string | undefined; texts: string[]; witness: Witness },
): void {
  const progress = Array.from({ length: plan.progress }, (_, index) => progressText(plan.key, index + 1));
  if (!witness.mayBeStopped.has(id)) witness.violated(`${name} was stopped, and nobody wanted that`);
  if (status !== "done") witness.violated(`${name} was stopped and is ${status}`);
  const rest = texts.filter((text) => !text.startsWith("Stopped by "));
  if (rest.length !== texts.length - 1 || rest.some((text) => !progress.includes(text)))
    witness.violated(`${name} was stopped with events [${texts}]`);
}

function mayBeDead(
  plan: MessagePlan,
  { lastError, scenario }: { lastError: string; scenario: Scenario },
): boolean {
  if (lastError === REFUSED) return plan.ending === "refusal";
  if (lastError === FAILED) return plan.failures >= scenario.limits.maxMessageAttempts;
  return lastError.includes("took longer than");
}

function checkDeliveries(tables: MemoryTables, witness: Witness): void {
  for (const { eventId, content } of tables.events.values()) {
    const deliveries = tables.deliveriesOf(eventId);
    const name = `event ${eventId} (${content})`;
    const origin = tables.conversationOf({ eventId })?.gateway ?? null;
    if (deliveries.length === 0 || (origin !== null && deliveries.length !== 1))
      witness.violated(`${name} has ${deliveries.length} deliveries`);
    for (const { status, deliveredAt, deliveryId, lastError } of deliveries) {
      if (status !== "done" && status !== "dead") witness.violated(`${name} is not delivered: ${status}`);
      const { told = 0 } = witness.retries.get(deliveryId) ?? {};
      if (status === "dead" && told > 0 && !witness.triedAgain.has(deliveryId))
        witness.violated(`${name} was retried, and nobody has tried it again: ${lastError}`);
      if (status === "done" && deliveredAt !== null && !witness.arrivals.has(deliveryId))
        witness.violated(`${name} counts as delivered and has not arrived`);
      if (
        status === "done" &&
        deliveredAt === null &&
        (tables.events.get(eventId)?.kind !== "progress" || lastError === null)
      )
        witness.violated(`${name} was closed without having arrived`);
    }
  }
}
