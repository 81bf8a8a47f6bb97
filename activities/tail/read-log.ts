import type { PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import type { ConsumerName, Position } from './checkpoints';

// What a chunk may hold in memory, beside one event of each partition. Without it 5,000 events of 1 MB were 5 GB.
const CHUNK_BYTES_MAX = 16_000_000;

// Read without unpacking, so that passing over what does not fit costs nothing. Only rows over 2 kB are compressed, pglz
// at most to a ninetieth (then a chunk is three times as large, and still bounded), JSON usually to a quarter.
const BYTES = `(pg_column_size(data) * case when pg_column_compression(data) is null then 1 else 30 end
  + pg_column_size(meta) * case when pg_column_compression(meta) is null then 1 else 30 end)`;

/** An event as stored: `data` in the shape of `schemaVersion`, not yet lifted. */
export type LogEvent = RecordedEvent;

export interface NextEvents {
  /** Gapless per partition. */
  readonly all: readonly LogEvent[];
  /** Those to apply: without events of parked entities, and without those a person decided to skip. */
  readonly due: readonly LogEvent[];
  /** A partition's read ended at its bound, in number or in bytes: there may be more. */
  readonly isCut: boolean;
}

/**
 * The next events of each position, at most `eventsMax` and its share of the bytes, at least one, of each. To be asked after the checkpoints are locked, in a
 * statement of its own: a redrive under way ends under that lock, and an older snapshot would still see its row.
 */
export async function readAfter(
  tx: PoolClient,
  { consumer, generation }: ConsumerName,
  positions: readonly Position[],
  eventsMax: number,
): Promise<NextEvents> {
  const bytesMax = Math.ceil(CHUNK_BYTES_MAX / Math.max(1, positions.length));
  const { rows } = await tx.query<EventRow & { readonly held: boolean; readonly bytes: number }>({
    name: 'log_read_after',
    text: `select e.*,
                  exists (select from reprise.parked k where k.consumer = $4::text and k.generation = $5::integer
                            and k.entity_type = e.entity_type and k.entity_id = e.entity_id)
                  or exists (select from reprise.skips s where s.consumer = $4::text and s.event_id = e.event_id) as held
           from unnest($1::smallint[], $2::bigint[]) as w (partition, next_offset)
           cross join lateral (
             select * from (
               select ${EVENT_COLUMNS}, ${BYTES} as own, sum(${BYTES}) over (order by "offset") as bytes
               from reprise.events
               where partition = w.partition and "offset" >= w.next_offset and "offset" < w.next_offset + $3::bigint
               order by "offset" limit $3::bigint
             ) counted
             where bytes - own < $6::bigint
             order by "offset"
           ) e`,
    values: [
      positions.map(({ partition }) => partition),
      positions.map(({ nextOffset }) => nextOffset),
      eventsMax,
      consumer,
      generation,
      bytesMax,
    ],
  });
  const all = rows.map(toEvent);
  checkGapless(positions, all);
  const isCut = rows.some(
    ({ partition, offset, bytes }) =>
      bytes >= bytesMax ||
      positions.some((at) => at.partition === partition && offset === at.nextOffset + eventsMax - 1),
  );
  return { all, due: all.filter((_, nth) => !rows[nth]?.held), isCut };
}

/** What a parked entity's events up to the consumer's checkpoint are: those held back, without skipped ones. In chunks. */
export async function readHeldBack(
  tx: PoolClient,
  { consumer }: ConsumerName,
  held: { readonly entityType: string; readonly entityId: string; readonly from: number; readonly before: number },
  eventsMax: number,
): Promise<{ readonly events: readonly LogEvent[]; readonly isCut: boolean }> {
  const { rows } = await tx.query<EventRow & { readonly bytes: number }>({
    name: 'log_read_held_back',
    text: `select * from (
             select ${EVENT_COLUMNS}, ${BYTES} as own, sum(${BYTES}) over (order by version) as bytes
             from reprise.events e
             where entity_type = $2::text and entity_id = $3::text and "offset" >= $4::bigint and "offset" < $5::bigint
               and not exists (select from reprise.skips s where s.consumer = $1::text and s.event_id = e.event_id)
             order by version limit $6::integer
           ) counted
           where bytes - own < $7::bigint
           order by version`,
    values: [consumer, held.entityType, held.entityId, held.from, held.before, eventsMax, CHUNK_BYTES_MAX],
  });
  return {
    events: rows.map(toEvent),
    isCut: rows.length === eventsMax || (rows.at(-1)?.bytes ?? 0) >= CHUNK_BYTES_MAX,
  };
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
