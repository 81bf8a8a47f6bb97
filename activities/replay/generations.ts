import { ApplicationFailure } from '@temporalio/activity';
import type { Pool } from 'pg';
import type { Model } from '../../model/model';
import type { Projection } from '../../model/projection';
import { projectionOfConsumer } from '../../workflows/names';
import type { Build } from '../../workflows/replay';

type Db = Pick<Pool, 'query'>;

export interface Generation {
  readonly generation: number;
  readonly declaredVersion: number;
  readonly status: 'building' | 'active' | 'standby' | 'dropped';
  readonly tableName: string;
}

/** What is built, and what serves meanwhile. */
export interface BuiltAndActive {
  readonly built: Generation;
  readonly active: Generation;
}

export async function readGenerations(db: Db, build: Build): Promise<BuiltAndActive> {
  const { built, active } = await readBoth(db, build);
  const { consumer, generation } = build;
  if (!built) throw refused(`${consumer} has no generation ${generation}`);
  if (!active) throw refused(`${consumer} has no active generation: run 'reprise migrate'`);
  return { built, active };
}

async function readBoth(db: Db, { consumer, generation }: Build): Promise<Partial<BuiltAndActive>> {
  const { rows } = await db.query<Generation>(
    `select generation, declared_version as "declaredVersion", status, table_name as "tableName"
     from reprise.generations where consumer = $1::text and (generation = $2::integer or status = 'active')`,
    [consumer, generation],
  );
  const built = rows.find((row) => row.generation === generation);
  const active = rows.find(({ status }) => status === 'active');
  return { ...(built && { built }), ...(active && { active }) };
}

/** The fold and the table of what is being built. */
export async function readBuilt(
  { db, model }: { readonly db: Db; readonly model: Model },
  build: Build,
): Promise<{ readonly projection: Projection; readonly tableName: string }> {
  const { built } = await readBoth(db, build);
  if (built?.status !== 'building')
    throw refused(`generation ${build.generation} of ${projectionOfConsumer(build.consumer)} is not being built`);
  return { projection: foldOf(model, build, built), tableName: built.tableName };
}

/** The fold that builds it. Another worker may have its code: then this try ends, and the next one may run there. */
export function foldOf(model: Model, { consumer }: Build, { generation, declaredVersion }: Generation): Projection {
  const name = projectionOfConsumer(consumer);
  const projection = model.projection(name);
  if (projection?.version === declaredVersion) return projection;
  throw new Error(`generation ${generation} of ${name} is built by version ${declaredVersion}, which is not here`);
}

/** What another try would meet again: it is told to whoever asked, and nothing was changed. */
export const refused = (message: string, cause?: unknown): ApplicationFailure =>
  ApplicationFailure.create({
    type: 'Refused',
    nonRetryable: true,
    message,
    ...(cause instanceof Error ? { cause } : {}),
  });
