import type { Pool } from 'pg';
import { quantile } from './measure';

const POLL_MS = 10;

/** Watches, as a reader would, when each event becomes visible in a read model: its checkpoint moves with its rows. */
export function watchLag(db: Pool): { readonly stop: () => Promise<number> } {
  const sightings: { readonly at: string; readonly next: ReadonlyMap<number, number> }[] = [];
  let watching = true;
  const done = (async () => {
    while (watching) {
      const { rows } = await db.query<{ at: string; partition: number; next_offset: number }>({
        name: 'bench_lag',
        text: `select clock_timestamp() as at, partition, next_offset from reprise.checkpoints
               where consumer = 'projection/order_summary'`,
      });
      sightings.push({ at: rows[0]?.at ?? '', next: new Map(rows.map((row) => [row.partition, row.next_offset])) });
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  })();
  return {
    stop: async () => {
      await new Promise((resolve) => setTimeout(resolve, 1_000)); // the last events' turn
      watching = false;
      await done;
      const { rows } = await db.query<{ partition: number; offset: number; recorded_at: string }>(
        'select partition, "offset", recorded_at from reprise.events where recorded_at >= $1',
        [sightings[0]?.at],
      );
      return quantile(
        rows.map(({ partition, offset, recorded_at }) => {
          const seen = sightings.find(({ next }) => (next.get(partition) ?? 0) > offset);
          return seen ? Date.parse(seen.at) - Date.parse(recorded_at) : Infinity;
        }),
        0.99,
      );
    },
  };
}
