import type { PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import type { Position } from './checkpoints';

/** An event as stored: `data` in the shape of `schemaVersion`, not yet lifted. */
export type LogEvent = RecordedEvent;

/** The next events of each position, gapless per partition, at most `eventsMax` of each. */
export async function readAfter(
  tx: PoolClient,
  positions: readonly Position[],
  eventsMax: number,
): Promise<readonly LogEvent[]> {
  const { rows } = await tx.query<EventRow>({
    name: 'log_read_after',
    text: `select e.* from unnest($1::smallint[], $2::bigint[]) as w (partition, next_offset)
           cross join lateral (
             select ${EVENT_COLUMNS} from reprise.events
             where partition = w.partition and "offset" >= w.next_offset and "offset" < w.next_offset + $3::bigint
             order by "offset" limit $3::bigint
           ) e`,
    values: [positions.map(({ partition }) => partition), positions.map(({ nextOffset }) => nextOffset), eventsMax],
  });
  const events = rows.map(toEvent);
  checkGapless(positions, events);
  return events;
}

/** Every reader checks the one rule: next = last + 1. A hole means a log that was tampered with, not one to read on. */
function checkGapless(positions: readonly Position[], events: readonly LogEvent[]): void {
  const next = new Map(positions.map(({ partition, nextOffset }) => [partition, nextOffset]));
  for (const { partition, offset } of events) {
    const expected = next.get(partition);
    if (offset !== expected) {
      throw new Error(`partition ${partition} has offset ${offset} where ${expected} must follow: the log has a gap`);
    }
    next.set(partition, offset + 1);
  }
}
