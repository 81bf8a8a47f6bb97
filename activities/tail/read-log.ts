import type { PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import type { ConsumerName } from '../tail';
import type { Position } from './checkpoints';

// What a chunk may hold in memory, beside one event of each partition. Without it 5,000 events of 1 MB were 5 GB.
const CHUNK_BYTES_MAX = 16_000_000;

// Read without unpacking, so that passing over what does not fit costs nothing. Only rows over 2 kB are compressed, pglz
// at most to a ninetieth (then a chunk is three times as large, and still bounded), JSON usually to a quarter.
// Nothing of a private event that a subscriber may not see.
export const BYTES = `coalesce(pg_column_size(data) * case when pg_column_compression(data) is null then 1 else 30 end
  + pg_column_size(meta) * case when pg_column_compression(meta) is null then 1 else 30 end, 0)`;

/** An event as stored: `data` in the shape of `schemaVersion`, not yet lifted. */
export type LogEvent = RecordedEvent;

/** The same with what tells how it was published. */
export type PublishedEvent = LogEvent & {
  /** The version published before it; null for one that is not published. */
  readonly publishedAfter: number | null;
  /** A person decided that this consumer passes it over. */
  readonly skipped: boolean;
};

export interface NextEvents<Event> {
  /** Gapless per partition. */
  readonly all: readonly Event[];
  /** Those to apply: without events of parked entities, and without those a person decided to skip. */
  readonly due: readonly Event[];
  /** A partition's read ended at its bound, in number or in bytes: there may be more. */
  readonly isCut: boolean;
}

/**
 * The next events of each position: of each at most `eventsMax` and its share of the bytes, and at least one. To be asked
 * after the checkpoints are locked, in a statement of its own: a redrive under way ends under that lock, and an older
 * snapshot would still see its row. Nothing from `before` on, where it is given.
 */
export async function readAfter(
  tx: PoolClient,
  name: ConsumerName,
  positions: readonly Position[],
  eventsMax: number,
  before?: ReadonlyMap<number, number>,
): Promise<NextEvents<LogEvent>> {
  const { rows } = await tx.query<CountedRow & { readonly held: boolean }>({
    name: 'log_read_after',
    text: readAfterSql(EVENT_COLUMNS, `${IS_PARKED} or ${IS_SKIPPED} as held`),
    values: readAfterValues(positions, eventsMax, name, before),
  });
  const all = rows.map(toEvent);
  checkGapless(positions, all);
  return { all, due: all.filter((_, nth) => !rows[nth]?.held), isCut: isCut(rows, positions, eventsMax) };
}

/** For a consumer that works outside: no locks, and skipped events are due too, as what they are. */
export async function readPublishedAfter(
  db: Pick<PoolClient, 'query'>,
  name: ConsumerName,
  positions: readonly Position[],
  eventsMax: number,
): Promise<NextEvents<PublishedEvent>> {
  const { rows } = await db.query<CountedRow & PublishedRow & { readonly parked: boolean }>({
    name: isFeed(name) ? 'feed_read_after' : 'log_read_published_after',
    text: readAfterSql(PUBLISHED_COLUMNS, `${IS_PARKED} as parked, ${IS_SKIPPED} as skipped`, sourceOf(name)),
    values: readAfterValues(positions, eventsMax, name),
  });
  const all = rows.map(toPublished);
  checkGapless(positions, all);
  return { all, due: all.filter((_, nth) => !rows[nth]?.parked), isCut: isCut(rows, positions, eventsMax) };
}

type CountedRow = EventRow & { readonly bytes: number };
type PublishedRow = EventRow & { readonly published_after: number | null; readonly skipped: boolean };

// Subscribers are given a view of it, in which private events have neither data nor meta: they only pass them over.
const EVENTS = 'reprise.events';
const isFeed = ({ consumer }: ConsumerName): boolean => consumer.startsWith('feed/');
const sourceOf = (name: ConsumerName): string => (isFeed(name) ? 'reprise.published_events' : EVENTS);

const PUBLISHED_COLUMNS = `${EVENT_COLUMNS}, published_after`;
const IS_PARKED = `exists (select from reprise.parked k where k.consumer = $5::text and k.generation = $6::integer
                            and k.entity_type = e.entity_type and k.entity_id = e.entity_id)`;
const IS_SKIPPED = `exists (select from reprise.skips s where s.consumer = $5::text and s.event_id = e.event_id)`;

const readAfterSql = (columns: string, standing: string, source = EVENTS): string => `
  select e.*, ${standing}
  from unnest($1::smallint[], $2::bigint[], $7::bigint[]) as w (partition, next_offset, before)
  cross join lateral (
    select * from (
      select ${columns}, ${BYTES} as own, sum(${BYTES}) over (order by "offset") as bytes
      from ${source}
      where partition = w.partition and "offset" >= w.next_offset and "offset" < least(w.next_offset + $3::bigint, w.before)
      order by "offset" limit $3::bigint
    ) counted
    where bytes - own < $4::bigint
    order by "offset"
  ) e`;

const readAfterValues = (
  positions: readonly Position[],
  eventsMax: number,
  name: ConsumerName,
  before?: ReadonlyMap<number, number>,
) => [
  positions.map(({ partition }) => partition),
  positions.map(({ nextOffset }) => nextOffset),
  eventsMax,
  bytesOfEach(positions),
  name.consumer,
  name.generation,
  positions.map(({ partition }) => before?.get(partition) ?? null),
];

const bytesOfEach = (positions: readonly Position[]): number =>
  Math.ceil(CHUNK_BYTES_MAX / Math.max(1, positions.length));

const isCut = (rows: readonly CountedRow[], positions: readonly Position[], eventsMax: number): boolean =>
  rows.some(
    ({ partition, offset, bytes }) =>
      bytes >= bytesOfEach(positions) ||
      positions.some((at) => at.partition === partition && offset === at.nextOffset + eventsMax - 1),
  );

const toPublished = (row: PublishedRow): PublishedEvent => ({
  ...toEvent(row),
  publishedAfter: row.published_after,
  skipped: row.skipped,
});

/** From the event an entity was parked at to its consumer's checkpoint. */
export interface HeldBackRange {
  readonly entityType: string;
  readonly entityId: string;
  readonly from: number;
  readonly before: number;
}

export interface HeldBackEvents<Event> {
  readonly events: readonly Event[];
  /** The offset of the last that was looked at, when the read ended at its bound: there may be more. */
  readonly cutAt: number | null;
}

/** What a parked entity's events up to the consumer's checkpoint are: those held back, without skipped ones. In chunks. */
export async function readHeldBack(
  tx: Pick<PoolClient, 'query'>,
  { consumer }: ConsumerName,
  held: HeldBackRange,
  eventsMax: number,
): Promise<HeldBackEvents<LogEvent>> {
  const { rows } = await tx.query<CountedRow & { readonly skipped: boolean }>({
    name: 'log_read_held_back',
    text: heldBackSql(EVENT_COLUMNS),
    values: heldBackValues(consumer, held, eventsMax),
  });
  return { events: rows.filter(({ skipped }) => !skipped).map(toEvent), cutAt: cutAt(rows, eventsMax) };
}

/** The same for a consumer that works outside: skipped ones too. */
export async function readPublishedHeldBack(
  db: Pick<PoolClient, 'query'>,
  name: ConsumerName,
  held: HeldBackRange,
  eventsMax: number,
): Promise<HeldBackEvents<PublishedEvent>> {
  const { rows } = await db.query<CountedRow & PublishedRow>({
    name: isFeed(name) ? 'feed_read_held_back' : 'log_read_published_held_back',
    text: heldBackSql(PUBLISHED_COLUMNS, sourceOf(name)),
    values: heldBackValues(name.consumer, held, eventsMax),
  });
  return { events: rows.map(toPublished), cutAt: cutAt(rows, eventsMax) };
}

const heldBackSql = (columns: string, source = EVENTS): string => `
  select e.*, exists (select from reprise.skips s where s.consumer = $1::text and s.event_id = e.event_id) as skipped
  from (
    select ${columns}, ${BYTES} as own, sum(${BYTES}) over (order by version) as bytes
    from ${source}
    where entity_type = $2::text and entity_id = $3::text and "offset" >= $4::bigint and "offset" < $5::bigint
    order by version limit $6::integer
  ) e
  where bytes - own < $7::bigint
  order by version`;

const heldBackValues = (consumer: string, held: HeldBackRange, eventsMax: number) => [
  consumer,
  held.entityType,
  held.entityId,
  held.from,
  held.before,
  eventsMax,
  CHUNK_BYTES_MAX,
];

function cutAt(rows: readonly CountedRow[], eventsMax: number): number | null {
  const last = rows.at(-1);
  return last && (rows.length === eventsMax || last.bytes >= CHUNK_BYTES_MAX) ? last.offset : null;
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
