import type { PoolClient } from 'pg';
import type { Build } from '../../workflows/replay';
import type { Generation } from './generations';

/** What the two generations do not share for reasons that are known: read in the snapshot that is compared. */
export interface Apart {
  /** Entities held back for the active one, `order/10248`: of their rows it has an older state. */
  readonly parkedLive: readonly string[];
  /** Those held back for the built one; an event that is skipped since is none. */
  readonly parkedNew: readonly string[];
  /** Events that both pass over. */
  readonly skips: readonly string[];
}

export async function readApart(db: PoolClient, { consumer, generation }: Build, active: Generation): Promise<Apart> {
  const { rows } = await db.query<Apart>(
    `select coalesce((select array_agg(entity_type || '/' || entity_id order by since) from reprise.parked
                      where consumer = $1::text and generation = $3::integer), '{}') as "parkedLive",
            coalesce((select array_agg(entity_type || '/' || entity_id order by since) from reprise.parked k
                      where consumer = $1::text and generation = $2::integer and not exists (
                        select from reprise.skips s where s.consumer = k.consumer and s.event_id = k.event_id)), '{}') as "parkedNew",
            coalesce((select array_agg(event_id::text order by at) from reprise.skips where consumer = $1::text), '{}') as skips`,
    [consumer, generation, active.generation],
  );
  return rows[0] ?? { parkedLive: [], parkedNew: [], skips: [] };
}

/** Where a row is its entity's, the rows of these entities; else no row can be told to be theirs. */
export const keysOf = (entities: readonly string[], oneEntityPerRow: boolean): readonly string[] =>
  oneEntityPerRow ? entities.map((entity) => entity.slice(entity.indexOf('/') + 1)) : [];
