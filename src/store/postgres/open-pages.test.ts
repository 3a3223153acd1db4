/** What a page of the open work costs the server, in rows that it looks at: what the page brings, however much is open. */
import { expect, type TestContext, test } from "vitest";
import { OPEN_DELIVERIES, OPEN_MESSAGES, pageQuery } from "./open-pages.ts";
import { openOwned } from "./owned.fixture.ts";
import { UNOWNED } from "./ownership.ts";
import { PLANNED_ONCE } from "./writer-connection.ts";

const OPEN_COUNT = 5000;
const LIMIT = 50;

interface PlanNode {
  "Actual Rows": number;
  "Actual Loops": number;
  "Rows Removed by Filter"?: number;
  "Rows Removed by Join Filter"?: number;
  Plans?: PlanNode[];
}

/** A process that owns all of a database in which so much is open, all of it stored by others. */
async function openWithBacklog(t: TestContext) {
  const { ownership, other } = await openOwned(t);
  const each = `from generate_series(1, ${OPEN_COUNT}) i`;
  await other.query(`
    insert into conversations (message_id, gateway_id, gateway_channel_id, user_id, role, content, is_addressed,
      idempotency_key, created_at, shard) select i::text, 1, 'C', 'U', 'user', 'x', 1, i::text, i, i % 64 ${each};
    insert into inbox (conversation_id, status, attempts, is_unowned) select i, 'pending', 0, 1 ${each};
    insert into process_events (conversation_id, sequence, kind, content, created_at)
      select i, 1, 'completed', 'x', i ${each};
    insert into process_event_deliveries (event_id, gateway_id, target, delivery_id, status, attempts)
      select i, 1, 'C', i::text, 'pending', 1 ${each}`);
  return { ownership, other };
}

/** The most rows that one part of the plan looks at. */
function mostRows(node: PlanNode): number {
  const each =
    node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Join Filter"] ?? 0);
  return Math.max(each * node["Actual Loops"], ...(node.Plans ?? []).map(mostRows));
}

test.concurrent.for([
  ["is not known", ""],
  ["is known", "analyze"],
])("a page looks at no more than it brings, where the size of the tables %s", async ([, before], t) => {
  const { ownership, other } = await openWithBacklog(t);
  if (before) await other.query(before);
  const costOf = async (settings: string, query: string) => {
    const results: unknown = await other.query(`${settings}; explain (analyze, format json) ${query}`);
    const { rows } = (results as { rows: { "QUERY PLAN": { Plan: PlanNode }[] }[] }[]).at(-1) ?? { rows: [] };
    return mostRows(rows[0]?.["QUERY PLAN"][0]?.Plan as PlanNode);
  };

  for (const text of [OPEN_MESSAGES, OPEN_DELIVERIES])
    for (const after of [0, OPEN_COUNT / 2]) {
      const [settings = "", query = ""] = pageQuery(text, {
        processId: ownership.epoch,
        after,
        limit: LIMIT,
      }).split("; ");
      expect(await costOf(settings, query)).toBeLessThanOrEqual(2 * LIMIT);
    }
  const prepared = `${PLANNED_ONCE}; prepare taking (int, int) as ${UNOWNED.text}`;
  expect(await costOf(prepared, `execute taking (${ownership.epoch}, ${LIMIT})`)).toBeLessThanOrEqual(
    2 * LIMIT,
  );

  const page = { after: OPEN_COUNT / 2, limit: LIMIT };
  const ids = Array.from({ length: LIMIT }, (_, index) => page.after + 1 + index);
  const messages = await ownership.openMessages(page);
  expect(messages.map(({ conversationId }) => conversationId)).toEqual(ids);
  expect((await ownership.openDeliveries(page)).map(({ eventId }) => eventId)).toEqual(ids);
});
