import type { Meta, RecordedEvent } from '../contracts/event';

/** What every reader of the log selects. */
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

export const toEvent = (row: EventRow): RecordedEvent => ({
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
