import { DatabaseError, type PoolClient } from 'pg';
import { withTransaction } from '../../db/pool';
import { readBuilding } from '../../db/replays';
import type { Projection } from '../../model/projection';
import { projectionConsumer } from '../../workflows/names';
import type { Build, ReplayInput, Selection } from '../../workflows/replay';
import type { ReplayPorts } from '../replay';
import { namedIn, readUnknown } from './chosen';
import { beginCopy } from './copy';
import { refused } from './generations';
import { whyNot } from './plan-selection';
import { choiceFor, SelectionRefused } from './selection';

const NOT_DECLARED = 'RP101';
const UNIQUE_VIOLATION = '23505';

/** Makes the next generation, empty, and its row in `replays`. A second run finds what the first one made. */
export async function begin({ db, model }: ReplayPorts, input: ReplayInput): Promise<Build> {
  const { projection: name, declaredVersion } = input;
  const projection = model.projection(name);
  if (projection?.version !== declaredVersion) {
    throw refused(`this worker does not fold version ${declaredVersion} of '${name}': start a worker of that code`);
  }
  const consumer = projectionConsumer(name);
  try {
    const selection = choiceFor(projection, input.selection);
    const building = await readBuilding(db, consumer);
    if (building) return await sameChoice(db, building, selection);
    return await withTransaction(db, async (tx) => {
      const source = selection ? await sourceOf(tx, projection, selection) : null;
      const { rows } = await tx.query<{ generation: number }>(
        `select reprise.create_generation($1::text, $2::integer, 'building') as generation`,
        [consumer, declaredVersion],
      );
      const generation = rows[0]?.generation ?? 0;
      await tx.query(
        `insert into reprise.replays (consumer, generation, rate, adaptive, slices, actor, selection, copy_of)
         values ($1::text, $2::integer, $3::integer, $4::boolean, $5::smallint, $6::text, $7::jsonb, $8::integer)`,
        [
          ...[consumer, generation, input.rate, input.adaptive, input.slices, input.actor],
          ...[selection && JSON.stringify(selection), source],
        ],
      );
      if (source !== null) await beginCopy(tx, { consumer, generation }, source);
      return { consumer, generation };
    });
  } catch (error) {
    throw asRefusal(error, name);
  }
}

/** What is begun is gone on with, if it is what is asked for. */
async function sameChoice(db: ReplayPorts['db'], build: Build, selection: Selection | null): Promise<Build> {
  const { rows } = await db.query<{ same: boolean }>(
    `select selection is not distinct from $3::jsonb as same from reprise.replays
     where consumer = $1::text and generation = $2::integer`,
    [build.consumer, build.generation, selection && JSON.stringify(selection)],
  );
  if (rows[0]?.same) return build;
  throw new SelectionRefused(
    `generation ${build.generation} is begun with another choice of entities: cancel it first`,
  );
}

/** The generation to copy. Throws `SelectionRefused` where that would not do. */
async function sourceOf(tx: PoolClient, projection: Projection, selection: Selection): Promise<number> {
  const { rows } = await tx.query<{ generation: number; version: number }>(
    `select generation, declared_version as version from reprise.generations
     where consumer = $1::text and status = 'active'`,
    [projectionConsumer(projection.name)],
  );
  const unknown = await readUnknown(tx, namedIn(selection));
  const why = whyNot({
    projection,
    version: rows[0]?.version ?? null,
    unknown: unknown.map(({ entityType, entityId }) => `${entityType}/${entityId}`),
    isNothing: !selection.entities && !(await hasAny(tx, selection)),
  });
  if (why !== null || !rows[0]) throw new SelectionRefused(why ?? '');
  return rows[0].generation;
}

/** By the last event of each partition: cheap, and what it cannot tell is only that it is of another type. */
async function hasAny(tx: PoolClient, { since, sinceOffsets = {} }: Selection): Promise<boolean> {
  const { rows } = await tx.query<{ any: boolean }>(
    `select exists (
       select from reprise.partitions p join reprise.events e on e.partition = p.partition and e."offset" = p.head
       where e.recorded_at >= $1::timestamptz
          or exists (select from unnest($2::integer[], $3::bigint[]) as s (partition, "offset")
                     where s.partition = p.partition and s."offset" <= p.head)) as any`,
    [since ?? null, Object.keys(sinceOffsets), Object.values(sinceOffsets)],
  );
  return rows[0]?.any ?? false;
}

/** What another try would meet again is said at once. */
function asRefusal(error: unknown, name: string): unknown {
  const code = error instanceof DatabaseError ? error.code : undefined;
  if (code === NOT_DECLARED || error instanceof SelectionRefused) return refused(errorMessage(error));
  if (code === UNIQUE_VIOLATION) return refused(`a generation of '${name}' is being built already`);
  return error;
}
const errorMessage = (error: unknown): string => (error instanceof Error ? error.message : String(error));
