import type { Pool, PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import { BYTES } from '../tail/read-log';
import type { ChosenEntity, Vector } from './chosen';

const EVENTS_MAX = 8_000;
const BYTES_MAX = 8_000_000;

export interface Stretch {
  readonly events: readonly RecordedEvent[];
  /** There are more of it, behind the last. */
  readonly isCut: boolean;
}

/** Of each entity the next events behind a version and before its partition's place: its share of the bound, and at least one. */
export async function readHistories(
  db: Pick<Pool | PoolClient, 'query'>,
  wanted: readonly { readonly entity: ChosenEntity; readonly version: number }[],
  to: Vector,
): Promise<Stretch[]> {
  const eventsMax = Math.max(1, Math.floor(EVENTS_MAX / wanted.length));
  const bytesMax = Math.ceil(BYTES_MAX / wanted.length);
  const { rows } = await db.query<EventRow & { readonly nth: number; readonly bytes: number }>({
    name: 'replay_histories',
    text: `select w.nth, e.*
           from unnest($1::text[], $2::text[], $3::integer[], $4::bigint[]) with ordinality
             as w (entity_type, entity_id, version, before, nth)
           cross join lateral (
             select * from (
               select ${EVENT_COLUMNS}, ${BYTES} as own, sum(${BYTES}) over (order by version) as bytes
               from reprise.events
               where entity_type = w.entity_type and entity_id = w.entity_id
                 and version > w.version and "offset" < w.before
               order by version limit $5::integer
             ) counted
             where bytes - own < $6::bigint
             order by version
           ) e
           order by w.nth, e.version`,
    values: [
      wanted.map(({ entity }) => entity.entityType),
      wanted.map(({ entity }) => entity.entityId),
      wanted.map(({ version }) => version),
      wanted.map(({ entity }) => to[entity.partition] ?? 1),
      eventsMax,
      bytesMax,
    ],
  });
  const all = wanted.map(() => ({ events: [] as RecordedEvent[], isCut: false }));
  for (const row of rows) {
    const stretch = all[row.nth - 1];
    stretch?.events.push(toEvent(row));
    if (stretch) stretch.isCut = stretch.events.length >= eventsMax || row.bytes >= bytesMax;
  }
  return all;
}
