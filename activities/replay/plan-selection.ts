import type { Pool } from 'pg';
import type { Projection } from '../../model/projection';
import { projectionConsumer } from '../../workflows/names';
import type { Selection } from '../../workflows/replay';
import { countFirsts, namedIn, readUnknown, sinceVector } from './chosen';

/** What a replay of some entities would fold again. */
export interface SelectionPlan {
  readonly entities: number;
  /** There are at least so many: no more were counted. */
  readonly more: boolean;
  /** Named, and without any event. */
  readonly unknown: readonly string[];
  /** Why it would be refused, though the choice makes sense; null: it would not. */
  readonly refused: string | null;
}

const COUNTED_MAX = 100_000;

/** For a dry run of what `choiceFor` answered: counts, and writes nothing. By any login that reads the log. */
export async function planSelection(db: Pool, projection: Projection, choice: Selection): Promise<SelectionPlan> {
  const { rows } = await db.query<{ heads: number[]; version: number | null }>(
    `select (select array_agg(head order by partition) from reprise.partitions) as heads,
            (select declared_version from reprise.generations where consumer = $1::text and status = 'active') as version`,
    [projectionConsumer(projection.name)],
  );
  const heads = (rows[0]?.heads ?? []).map(Number);
  const named = namedIn(choice);
  const unknown = (await readUnknown(db, named)).map(({ entityType, entityId }) => `${entityType}/${entityId}`);
  const from = await sinceVector(db, choice, heads.length);
  const to = heads.map((head) => head + 1);
  const found = await countFirsts(db, { entityTypes: projection.from, named, from, to }, COUNTED_MAX);
  const entities = named.length - unknown.length + found;
  const refused = whyNot({ projection, version: rows[0]?.version ?? null, unknown, isNothing: entities === 0 });
  return { entities, more: found >= COUNTED_MAX, unknown, refused };
}

/** What stands in the way of a replay of some entities; null: nothing. */
export function whyNot({
  projection: { name, version: declared },
  version,
  unknown,
  isNothing,
}: {
  readonly projection: Pick<Projection, 'name' | 'version'>;
  /** Of the active generation. */
  readonly version: number | null;
  readonly unknown: readonly string[];
  readonly isNothing: boolean;
}): string | null {
  if (version === null) return `${name} has no active generation to copy`;
  if (version !== declared)
    return `${name} is version ${declared} here and version ${version} live: a changed fold needs the whole log`;
  if (unknown.length > 0) return `nothing to fold: no event of ${unknown.join(', ')}`;
  return isNothing ? 'nothing to do: no entity that was chosen has events' : null;
}
