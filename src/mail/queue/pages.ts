import type { QueueFilter, QueuePage, QueuePlace, QueueRow } from "./store.ts";

/** Rows in a page: some hundred kilobytes, a few milliseconds. */
export const PAGE_ROWS = 1000;

/** What pages have in common, whatever their rows are made into on the way. */
export interface PageEnd {
  readonly count: number;
  readonly next?: QueuePlace | undefined;
}

/**
 * A list, page after page, to its end or `filter.limit`. One page is asked for ahead, while the last one is used; who stops
 * early leaves nothing behind but that. Empty pages come as well, for whoever wants to look around between two of them.
 */
export async function* pagesOf<Page extends PageEnd>(
  ask: (filter: QueueFilter, behind: QueuePlace | undefined) => Promise<Page>,
  filter: QueueFilter,
): AsyncGenerator<Page, void, void> {
  let left = filter.limit;
  if (left !== undefined && left <= 0) return;
  for (let asked: Promise<Page> | undefined = ask(filter, undefined); asked !== undefined;) {
    const page: Page = await asked;
    if (left !== undefined) left -= page.count;
    asked = page.next === undefined || left === 0 ? undefined : ask({ ...filter, limit: left }, page.next);
    // Nobody may be waiting when it fails.
    asked?.catch(() => {});
    yield page;
  }
}

export function rowsOf(page: QueuePage): QueueRow[] {
  // Our own store wrote it.
  return JSON.parse(`[${page.rows.join(",")}]`) as QueueRow[];
}
