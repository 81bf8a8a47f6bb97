import type { Pool } from 'pg';

export interface SampledEntity {
  readonly entityType: string;
  readonly entityId: string;
}

type Random = () => number;

// Of a type that is rare in the log, most places that are tried have another's events.
const PROBES_PER_ENTITY = 4;
const PROBES_MAX = 50_000;

/**
 * A random sample without a scan: random places of the log, whose entities are taken; so one with many events is likelier.
 * Where that finds too few, neighbours by id from a random place on.
 */
export async function sampleEntities(
  db: Pool,
  types: readonly string[],
  count: number,
  random: Random = Math.random,
): Promise<SampledEntity[]> {
  const found = await probe(db, types, count, random);
  if (found.size < count) await fillUp(db, types, count, found);
  return [...found.values()].slice(0, count);
}

async function probe(db: Pool, types: readonly string[], count: number, random: Random) {
  const { rows: heads } = await db.query<{ partition: number; head: number }>(
    'select partition, head from reprise.partitions where head > 0',
  );
  const total = heads.reduce((sum, { head }) => sum + head, 0);
  const probes = Array.from({ length: total === 0 ? 0 : Math.min(PROBES_MAX, count * PROBES_PER_ENTITY) }, () =>
    placeOf(heads, Math.floor(random() * total)),
  );
  const { rows } = await db.query<SampledEntity>(
    `select e.entity_type as "entityType", e.entity_id as "entityId"
     from unnest($1::smallint[], $2::bigint[]) with ordinality as p (partition, "offset", nth)
     join reprise.events e using (partition, "offset")
     where e.entity_type = any($3::text[]) order by p.nth`,
    [probes.map(({ partition }) => partition), probes.map(({ offset }) => offset), types],
  );
  return new Map(rows.map((entity) => [`${entity.entityType}/${entity.entityId}`, entity]));
}

/** The nth event of the log, as if its partitions lay one behind the other. */
function placeOf(heads: readonly { readonly partition: number; readonly head: number }[], nth: number) {
  let left = nth;
  for (const { partition, head } of heads) {
    if (left < head) return { partition, offset: left + 1 };
    left -= head;
  }
  return { partition: 0, offset: 1 };
}

async function fillUp(db: Pool, types: readonly string[], count: number, found: Map<string, SampledEntity>) {
  const from = [...found.values()].at(-1)?.entityId ?? '';
  for (const type of types) {
    for (const side of ['>=', '<'] as const) {
      const { rows } = await db.query<SampledEntity>(
        `select entity_type as "entityType", entity_id as "entityId" from reprise.entities
         where entity_type = $1::text and entity_id ${side} $2::text order by entity_id limit $3::integer`,
        [type, from, count],
      );
      for (const entity of rows) found.set(`${entity.entityType}/${entity.entityId}`, entity);
    }
  }
}
