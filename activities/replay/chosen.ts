import type { Pool, PoolClient } from 'pg';
import { partitionOf } from '../../model/partition';
import type { Selection } from '../../workflows/replay';
import { parseEntity, type EntityName } from './selection';

// Past every event.
const NOWHERE = Number.MAX_SAFE_INTEGER;

type Db = Pick<Pool | PoolClient, 'query'>;

/** Next offset by partition, of all partitions. */
export type Vector = readonly number[];

export interface ChosenEntity extends EntityName {
  readonly partition: number;
}

/** Where to look for entities: what is named, and whoever has events from one vector to another. */
export interface Choice {
  readonly entityTypes: readonly string[];
  readonly named: readonly EntityName[];
  readonly from: Vector;
  readonly to: Vector;
}

/** Behind the last entities taken: of those parked (0), of those named (1), of a partition (2). */
export type Place = readonly [source: 0 | 1 | 2, at: number, offset: number];

export interface ChosenPage {
  readonly entities: readonly ChosenEntity[];
  readonly next: Place;
}

/** The chosen entities, page by page: first those parked, then those named, then whoever has events. Some may come twice. */
export async function* chosenPages(
  db: Db,
  { choice, parked, start }: { readonly choice: Choice; readonly parked: readonly EntityName[]; readonly start: Place },
  sizeOf: () => number,
): AsyncGenerator<ChosenPage> {
  const place = ({ entityType, entityId }: EntityName): ChosenEntity => {
    return { entityType, entityId, partition: partitionOf(entityType, entityId, choice.to.length) };
  };
  let [source, at, offset] = start;
  if (source === 0) {
    yield { entities: parked.map(place), next: [1, 0, 0] };
    [source, at] = [1, 0];
  }
  if (source === 1) {
    while (at < choice.named.length) {
      const entities = choice.named.slice(at, at + sizeOf()).map(place);
      at += entities.length;
      yield { entities, next: [1, at, 0] };
    }
    [at, offset] = [0, 0];
  }
  for (; at < choice.to.length; [at, offset] = [at + 1, 0]) {
    for (;;) {
      const limit = sizeOf();
      const found = await readFirsts(db, choice, { partition: at, after: offset }, limit);
      offset = found.at(-1)?.offset ?? offset;
      if (found.length > 0) yield { entities: found, next: [2, at, offset] };
      if (found.length < limit) break;
    }
  }
}

/** An entity has its first event of a stretch where the one before lies before it: a partition holds its events in order. */
const IS_FIRST = `coalesce((select b."offset" from reprise.events b
                            where b.entity_type = e.entity_type and b.entity_id = e.entity_id and b.version = e.version - 1), 0)
                  < $2::bigint`;
const IN_STRETCH = `e.partition = $1::smallint and e."offset" >= $2::bigint and e."offset" < $3::bigint
                    and e.entity_type = any($4::text[])`;

async function readFirsts(
  db: Db,
  { entityTypes, from, to }: Choice,
  { partition, after }: { readonly partition: number; readonly after: number },
  limit: number,
): Promise<(ChosenEntity & { readonly offset: number })[]> {
  const { rows } = await db.query<ChosenEntity & { readonly offset: number }>({
    name: 'replay_chosen',
    text: `select e.entity_type as "entityType", e.entity_id as "entityId", e.partition, e."offset" from reprise.events e
           where ${IN_STRETCH} and e."offset" > $5::bigint and ${IS_FIRST}
           order by e."offset" limit $6::integer`,
    values: [partition, from[partition] ?? NOWHERE, to[partition] ?? 0, entityTypes, after, limit],
  });
  return rows;
}

/** How many there are, up to a bound, in each partition by itself: no statement is long. */
export async function countFirsts(
  db: Db,
  { entityTypes, from, to }: Choice,
  countedMax: number,
  onPartition: () => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  let count = 0;
  for (let partition = 0; partition < to.length && count < countedMax; partition++) {
    await onPartition();
    const { rows } = await db.query<{ count: number }>({
      name: 'replay_count_chosen',
      text: `select count(*) from (select from reprise.events e where ${IN_STRETCH} and ${IS_FIRST} limit $5::bigint) firsts`,
      values: [partition, from[partition] ?? NOWHERE, to[partition] ?? 0, entityTypes, countedMax - count],
    });
    count += rows[0]?.count ?? 0;
  }
  return count;
}

export const namedIn = ({ entities }: Selection): EntityName[] =>
  [...new Set(entities ?? [])].sort().map((text) => parseEntity(text));

/** Of those named, the ones that have no event. */
export async function readUnknown(db: Db, named: readonly EntityName[]): Promise<EntityName[]> {
  const { rows } = await db.query<EntityName>(
    `select n.entity_type as "entityType", n.entity_id as "entityId"
     from unnest($1::text[], $2::text[]) as n (entity_type, entity_id)
     where not exists (select from reprise.events e where e.entity_type = n.entity_type and e.entity_id = n.entity_id and e.version = 1)`,
    [named.map(({ entityType }) => entityType), named.map(({ entityId }) => entityId)],
  );
  return rows;
}

// As far as a clock that was set back may have put events of one partition out of the order of their times.
const CLOCK_SECONDS = 600;

/** The offset of each partition that a choice by time or position begins at; past every event where it chooses none. */
export async function sinceVector(
  db: Db,
  { since, sinceOffsets, entityTypes }: Selection,
  partitions: number,
): Promise<Vector> {
  if (sinceOffsets) return Array.from({ length: partitions }, (_, partition) => sinceOffsets[partition] ?? NOWHERE);
  if (since === undefined) return Array.from({ length: partitions }, () => (entityTypes ? 1 : NOWHERE));
  const from: number[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    const { rows } = await db.query<{ from: number | null }>({
      name: 'replay_since',
      // Backwards from the head, so that it costs what it chooses and not what the log holds.
      text: `select (select e."offset" from reprise.events e
                     where e.partition = $1::smallint and e.recorded_at >= $2::timestamptz and e."offset" > coalesce((
                       select b."offset" from reprise.events b
                       where b.partition = $1::smallint and b.recorded_at < $2::timestamptz - make_interval(secs => $3::integer)
                       order by b."offset" desc limit 1), 0)
                     order by e."offset" limit 1) as from`,
      values: [partition, since, CLOCK_SECONDS],
    });
    from.push(rows[0]?.from ?? NOWHERE);
  }
  return from;
}
