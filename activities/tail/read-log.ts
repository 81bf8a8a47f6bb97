import type { PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import type { ConsumerName, Position } from './checkpoints';

/** An event as stored: `data` in the shape of `schemaVersion`, not yet lifted. */
export type LogEvent = RecordedEvent;

export interface NextEvents {
  /** Gapless per partition. */
  readonly all: readonly LogEvent[];
  /** Those to apply: without events of parked entities, and without those a person decided to skip. */
  readonly due: readonly LogEvent[];
}

/**
 * The next events of each position, at most `eventsMax` of each. To be asked after the checkpoints are locked, in a
 * statement of its own: a redrive under way ends under that lock, and an older snapshot would still see its row.
 */
export async function readAfter(
  tx: PoolClient,
  { consumer, generation }: ConsumerName,
  positions: readonly Position[],
  eventsMax: number,
): Promise<NextEvents> {
  const { rows } = await tx.query<EventRow & { readonly held: boolean }>({
    name: 'log_read_after',
    text: `select e.*,
                  exists (select from reprise.parked k where k.consumer = $4::text and k.generation = $5::integer
                            and k.entity_type = e.entity_type and k.entity_id = e.entity_id)
                  or exists (select from reprise.skips s where s.consumer = $4::text and s.event_id = e.event_id) as held
           from unnest($1::smallint[], $2::bigint[]) as w (partition, next_offset)
           cross join lateral (
             select ${EVENT_COLUMNS} from reprise.events
             where partition = w.partition and "offset" >= w.next_offset and "offset" < w.next_offset + $3::bigint
             order by "offset" limit $3::bigint
           ) e`,
    values: [
      positions.map(({ partition }) => partition),
      positions.map(({ nextOffset }) => nextOffset),
      eventsMax,
      consumer,
      generation,
    ],
  });
  const all = rows.map(toEvent);
  checkGapless(positions, all);
  return { all, due: all.filter((_, nth) => !rows[nth]?.held) };
}

/** What a parked entity's events up to the consumer's checkpoint are: those held back, without skipped ones. */
export async function readHeldBack(
  tx: PoolClient,
  { consumer }: ConsumerName,
  held: { readonly entityType: string; readonly entityId: string; readonly from: number; readonly before: number },
  eventsMax: number,
): Promise<readonly LogEvent[]> {
  const { rows } = await tx.query<EventRow>({
    name: 'log_read_held_back',
    text: `select ${EVENT_COLUMNS} from reprise.events e
           where entity_type = $2::text and entity_id = $3::text and "offset" >= $4::bigint and "offset" < $5::bigint
             and not exists (select from reprise.skips s where s.consumer = $1::text and s.event_id = e.event_id)
           order by version limit $6::integer`,
    values: [consumer, held.entityType, held.entityId, held.from, held.before, eventsMax],
  });
  return rows.map(toEvent);
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
