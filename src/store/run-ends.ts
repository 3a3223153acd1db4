/** What becomes of a run whose message ends without its worker: parts of statements for both databases. */

/** Whether the run of the message `c` has begun, ended a wait or been answered since then: it is no old work. */
export function hasRunSince(instant: string): string {
  return `exists (select 1 from runs r where r.conversation_id = c.id and (r.updated_at >= ${instant}
    or exists (select 1 from decisions d where d.run_id = r.conversation_id and d.answered_at >= ${instant})))`;
}

/** Ends the open runs whose messages are dead or discarded: nobody works on them, and their lanes are free for others. */
export function endRunsOfTheDead(now: string): string {
  return `update runs set status = 'dead', updated_at = ${now}, ended_at = ${now},
      reason = (select i.last_error from inbox i where i.conversation_id = runs.conversation_id)
    where ended_at is null and exists (select 1 from inbox i
      where i.conversation_id = runs.conversation_id and i.status in ('dead', 'done'))`;
}
