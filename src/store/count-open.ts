/** How many messages are open, for both databases, each of which brings the reading of a page. */

/** How many messages one reading counts: SQLite holds the event loop up for as long as it takes. */
const COUNT_PAGE = 10_000;

export interface CountedPage {
  count: number;
  last: number | null;
}

/** Parameters: the id that the page begins behind, and how many it counts; `mark` is what numbers them. */
export function openPage(mark: "?" | "$"): string {
  return `select count(*) as count, max(conversation_id) as last from (
    select conversation_id from inbox where conversation_id > ${mark}1 and status in ('pending', 'claimed')
    order by conversation_id limit ${mark}2) x`;
}

export async function countOpen(
  atMost: number,
  read: (after: number, limit: number) => Promise<CountedPage | undefined>,
): Promise<number> {
  let count = 0;
  for (let after = 0; count < atMost; ) {
    const page = await read(after, Math.min(COUNT_PAGE, atMost - count));
    count += page?.count ?? 0;
    if (!page?.last || page.count < COUNT_PAGE) break;
    after = page.last;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return count;
}
