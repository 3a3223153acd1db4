/** The threads in which runs are open, for both databases: asked at each start, and so without Kysely. */

/** Parameters: the run that the page begins behind, and how many it holds; `mark` is what numbers them. */
export function openThreadsPage(mark: "?" | "$"): string {
  return `select r.conversation_id as "conversationId", g.name as gateway,
      c.gateway_channel_id as "channelId", c.thread_ts as "threadTs"
    from runs r join conversations c on c.id = r.conversation_id left join gateways g on g.id = c.gateway_id
    where r.ended_at is null and (r.is_detached = 1 or r.status = 'waiting') and r.conversation_id > ${mark}1
    order by r.conversation_id limit ${mark}2`;
}
