import type { PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import type { ConsumerName } from '../tail';
import type { Position } from './checkpoints';

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
): Promise<NextEvents<LogEvent>> {
  const { rows } = await tx.query<EventRow & { readonly held: boolean }>({
    name: 'log_read_after',
    text: readAfterSql(EVENT_COLUMNS, `${IS_PARKED} or ${IS_SKIPPED} as held`),
    values: readAfterValues(positions, eventsMax, { consumer, generation }),
  });
  const all = rows.map(toEvent);
  checkGapless(positions, all);
  return { all, due: all.filter((_, nth) => !rows[nth]?.held) };
}

/** For a consumer that works outside: no locks, and skipped events are due too, as what they are. */
export async function readPublishedAfter(
  db: Pick<PoolClient, 'query'>,
  name: ConsumerName,
  positions: readonly Position[],
  eventsMax: number,
): Promise<NextEvents<PublishedEvent>> {
  const { rows } = await db.query<PublishedRow & { readonly parked: boolean }>({
    name: 'log_read_published_after',
    text: readAfterSql(PUBLISHED_COLUMNS, `${IS_PARKED} as parked, ${IS_SKIPPED} as skipped`),
    values: readAfterValues(positions, eventsMax, name),
  });
  const all = rows.map(toPublished);
  checkGapless(positions, all);
  return { all, due: all.filter((_, nth) => !rows[nth]?.parked) };
}

type PublishedRow = EventRow & { readonly published_after: number | null; readonly skipped: boolean };

const PUBLISHED_COLUMNS = `${EVENT_COLUMNS}, published_after`;
const IS_PARKED = `exists (select from reprise.parked k where k.consumer = $4::text and k.generation = $5::integer
                            and k.entity_type = e.entity_type and k.entity_id = e.entity_id)`;
const IS_SKIPPED = `exists (select from reprise.skips s where s.consumer = $4::text and s.event_id = e.event_id)`;

const readAfterSql = (columns: string, standing: string): string => `
  select e.*, ${standing}
  from unnest($1::smallint[], $2::bigint[]) as w (partition, next_offset)
  cross join lateral (
    select ${columns} from reprise.events
    where partition = w.partition and "offset" >= w.next_offset and "offset" < w.next_offset + $3::bigint
    order by "offset" limit $3::bigint
  ) e`;

const readAfterValues = (positions: readonly Position[], eventsMax: number, name: ConsumerName) => [
  positions.map(({ partition }) => partition),
  positions.map(({ nextOffset }) => nextOffset),
  eventsMax,
  name.consumer,
  name.generation,
];

const toPublished = (row: PublishedRow): PublishedEvent => ({
  ...toEvent(row),
  publishedAfter: row.published_after,
  skipped: row.skipped,
});

/** A partition had as many as were asked for: there may be more. */
export const hasMore = (positions: readonly Position[], all: readonly LogEvent[], each: number): boolean =>
  positions.some(({ partition, nextOffset }) =>
    all.some((event) => event.partition === partition && event.offset === nextOffset + each - 1),
  );

interface HeldBackRange {
  readonly entityType: string;
  readonly entityId: string;
  readonly from: number;
  readonly before: number;
}

/** What a parked entity's events up to the consumer's checkpoint are: those held back, without skipped ones. */
export async function readHeldBack(
  tx: PoolClient,
  { consumer }: ConsumerName,
  held: HeldBackRange,
  eventsMax: number,
): Promise<readonly LogEvent[]> {
  const { rows } = await tx.query<EventRow>({
    name: 'log_read_held_back',
    text: `select ${EVENT_COLUMNS} from reprise.events e
           where ${IN_RANGE} and not exists (select from reprise.skips s where s.consumer = $1::text and s.event_id = e.event_id)
           order by version limit $6::integer`,
    values: [consumer, held.entityType, held.entityId, held.from, held.before, eventsMax],
  });
  return rows.map(toEvent);
}

/** The same for a consumer that works outside. */
export async function readPublishedHeldBack(
  db: Pick<PoolClient, 'query'>,
  { consumer }: ConsumerName,
  held: HeldBackRange,
  eventsMax: number,
): Promise<readonly PublishedEvent[]> {
  const { rows } = await db.query<PublishedRow>({
    name: 'log_read_published_held_back',
    text: `select ${PUBLISHED_COLUMNS},
                  exists (select from reprise.skips s where s.consumer = $1::text and s.event_id = e.event_id) as skipped
           from reprise.events e where ${IN_RANGE} order by version limit $6::integer`,
    values: [consumer, held.entityType, held.entityId, held.from, held.before, eventsMax],
  });
  return rows.map(toPublished);
}

const IN_RANGE = `entity_type = $2::text and entity_id = $3::text and "offset" >= $4::bigint and "offset" < $5::bigint`;

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
