import type { SourceRow } from './source';

export interface Page {
  readonly rows: readonly SourceRow[];
  /** Nothing is behind it. */
  readonly isLast: boolean;
}

const ROWS_MAX = 10_000;
const BYTES_MAX = 16 * 1024 * 1024;
// At a low rate a page is what goes in these seconds, so that a stop or a crash repeats no more.
const SECONDS_MAX = 5;

export const rowsAtOnce = (rate: number | null): number =>
  rate === null ? ROWS_MAX : Math.max(1, Math.min(ROWS_MAX, rate * SECONDS_MAX));

/** Cuts rows into pages, by number and by size. The last page may be empty. */
export async function* pagesOf(rows: AsyncGenerator<SourceRow>, rowsMax: () => number): AsyncGenerator<Page> {
  let page: SourceRow[] = [];
  let bytes = 0;
  for await (const row of rows) {
    page.push(row);
    bytes += row.bytes;
    if (page.length < rowsMax() && bytes < BYTES_MAX) continue;
    yield { rows: page, isLast: false };
    page = [];
    bytes = 0;
  }
  yield { rows: page, isLast: true };
}
