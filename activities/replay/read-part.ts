import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { toIso } from '../../db/pool';
import { BYTES } from '../tail/read-log';

// Two reads per lane are in memory at a time: one being folded, one on its way.
const READ_EVENTS_MAX = 8_000;
const READ_BYTES_MAX = 8_000_000;

/** A stretch of one partition. */
export interface Stretch {
  readonly events: readonly RecordedEvent[];
  /** The next offset behind it. */
  readonly next: number;
}

/** What is read: of entities it is fed by, all events but those it is known not to take. */
export interface Wanted {
  readonly entityTypes: readonly string[];
  readonly notTaken: readonly string[];
}

/**
 * A partition from `next` up to and with `last`, stretch by stretch; the next one is on its way while one is folded. An
 * event travels as one text, its fields apart by a character that no id may hold and JSON escapes: as columns of their own,
 * of which it has fourteen, it takes twice the time here, and as a JSON array twice the time in PostgreSQL.
 */
export async function* readPart(
  db: Pool,
  { partition, next, last }: { readonly partition: number; readonly next: number; readonly last: number },
  wanted: Wanted,
): AsyncGenerator<Stretch> {
  let coming = next <= last ? read(db, partition, next, last, wanted) : null;
  while (coming) {
    const stretch = await coming;
    coming = stretch.next <= last ? read(db, partition, stretch.next, last, wanted) : null;
    coming?.catch(() => undefined); // met when it is awaited, unless its reader stopped before
    yield stretch;
  }
}

async function read(
  db: Pool,
  partition: number,
  next: number,
  last: number,
  { entityTypes, notTaken }: Wanted,
): Promise<Stretch> {
  const { rows } = await db.query<[number, string | null]>({
    name: 'replay_read',
    rowMode: 'array',
    text: `select "offset", event from (
             select "offset", ${BYTES} as own, sum(${BYTES}) over (order by "offset") as bytes,
                    case when entity_type = any($4::text[]) and type <> all($5::text[]) then
                      concat_ws(E'\\x1f', event_id, entity_type, entity_id, version, type, schema_version, data, meta,
                                command_id, origin, occurred_at, recorded_at) end as event
             from reprise.events
             where partition = $1::smallint and "offset" >= $2::bigint and "offset" <= $3::bigint
             order by "offset" limit $6::integer
           ) counted
           where bytes - own < $7::bigint
           order by "offset"`,
    values: [partition, next, last, entityTypes, notTaken, READ_EVENTS_MAX, READ_BYTES_MAX],
  });
  const events: RecordedEvent[] = [];
  let expected = next;
  for (const [offset, text] of rows) {
    if (offset !== expected) throw gap(partition, offset, expected);
    expected += 1;
    if (text !== null) events.push(toEvent(partition, offset, text.split(SEPARATOR)));
  }
  if (expected === next) throw gap(partition, last, next);
  return { events, next: expected };
}

const SEPARATOR = '\x1f';
const FIELDS = 12;

function toEvent(partition: number, offset: number, of: readonly string[]): RecordedEvent {
  if (of.length !== FIELDS) throw new Error(`the event at offset ${offset} of partition ${partition} has a control character in an id`); // prettier-ignore
  const [
    eventId,
    entityType,
    entityId,
    version,
    type,
    schemaVersion,
    data,
    meta,
    commandId,
    origin,
    occurred,
    recorded,
  ] = of as readonly [string, string, string, string, string, string, string, string, string, string, string, string];
  return {
    partition,
    offset,
    eventId,
    entityType,
    entityId,
    version: Number(version),
    type,
    schemaVersion: Number(schemaVersion),
    data: JSON.parse(data) as unknown,
    meta: JSON.parse(meta) as RecordedEvent['meta'],
    commandId,
    origin: origin as RecordedEvent['origin'],
    occurredAt: toIso(occurred),
    recordedAt: toIso(recorded),
  };
}

const gap = (partition: number, offset: number, expected: number) =>
  new Error(`partition ${partition} has offset ${offset} where ${expected} must follow: the log has a gap`);
