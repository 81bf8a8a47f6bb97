import type { PoolClient } from 'pg';
import type { Meta, RecordedEvent } from '../../contracts/event';
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

export const EVENT_COLUMNS = `partition, "offset", event_id, entity_type, entity_id, version, type, schema_version, data,
  meta, command_id, origin, occurred_at, recorded_at`;

export interface EventRow {
  readonly partition: number;
  readonly offset: number;
  readonly event_id: string;
  readonly entity_type: string;
  readonly entity_id: string;
  readonly version: number;
  readonly type: string;
  readonly schema_version: number;
  readonly data: unknown;
  readonly meta: Meta;
  readonly command_id: string;
  readonly origin: 'live' | 'backfill';
  readonly occurred_at: string;
  readonly recorded_at: string;
}

export const toEvent = (row: EventRow): LogEvent => ({
  partition: row.partition,
  offset: row.offset,
  eventId: row.event_id,
  entityType: row.entity_type,
  entityId: row.entity_id,
  version: row.version,
  type: row.type,
  schemaVersion: row.schema_version,
  data: row.data,
  meta: row.meta,
  commandId: row.command_id,
  origin: row.origin,
  occurredAt: row.occurred_at,
  recordedAt: row.recorded_at,
});

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
