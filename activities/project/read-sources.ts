import type { Pool, PoolClient } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import { EVENT_COLUMNS, toEvent, type EventRow } from '../../db/event-row';
import type { Projection } from '../../model/projection';
import type { ConsumerName } from '../tail';
import { BYTES, readHeldBack } from '../tail/read-log';

type Db = Pick<Pool | PoolClient, 'query'>;

const PAGE_EVENTS = 1_000;
const PAGE_BYTES_MAX = 8_000_000;

/** An entity's events that lie before an offset, without skipped ones, page by page. */
export async function* readEntity(
  db: Db,
  name: ConsumerName,
  { entityType, entityId, before }: Readonly<{ entityType: string; entityId: string; before: number }>,
): AsyncGenerator<RecordedEvent> {
  for (let from: number | null = 1; from !== null;) {
    const held = { entityType, entityId, from, before };
    const { events, cutAt } = await readHeldBack(db, name, held, PAGE_EVENTS);
    yield* events;
    from = cutAt === null ? null : cutAt + 1;
  }
}

/** What a projection takes of one partition before an offset, without skipped ones, page by page. */
export async function* readTaken(
  db: Db,
  { consumer, from, events: types }: Pick<Projection, 'from' | 'events'> & { readonly consumer: string },
  { partition, before }: { readonly partition: number; readonly before: number },
): AsyncGenerator<RecordedEvent> {
  for (let next = 1; next < before;) {
    const { rows } = await db.query<EventRow & { readonly skipped: boolean }>({
      name: 'log_read_taken',
      text: `select e.*, exists (select from reprise.skips s
                                 where s.consumer = $1::text and s.event_id = e.event_id) as skipped
             from (
               select ${EVENT_COLUMNS}, ${BYTES} as own, sum(${BYTES}) over (order by "offset") as bytes
               from reprise.events
               where partition = $2::smallint and "offset" >= $3::bigint and "offset" < $4::bigint
                 and entity_type = any($5::text[]) and type = any($6::text[])
               order by "offset" limit $7::integer
             ) e
             where bytes - own < $8::bigint
             order by "offset"`,
      values: [consumer, partition, next, before, from, types, PAGE_EVENTS, PAGE_BYTES_MAX],
    });
    yield* rows.filter(({ skipped }) => !skipped).map(toEvent);
    next = (rows.at(-1)?.offset ?? before) + 1;
  }
}

/** How many events there are of a projection's entities: counted up to a bound, beyond which it is too many anyway. */
export async function countSources(db: Db, from: readonly string[], max: number): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `select count(*) from (select from reprise.events where entity_type = any($1::text[]) limit $2::bigint) as counted`,
    [from, max + 1],
  );
  return rows[0]?.count ?? 0;
}
