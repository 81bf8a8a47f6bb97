import type { Pool, PoolClient } from 'pg';
import { readStateAt } from '../../client/read';
import type { Drift } from '../../db/audits';
import { isOfItsInput } from '../../db/errors';
import { withTransaction } from '../../db/pool';
import { describeTable, type ReadModelTable } from '../../db/read-model-table';
import { BehindCode } from '../../contracts/upcast';
import { partitionOf } from '../../model/partition';
import type { Model } from '../../model/model';
import type { Projection, ProjectionRow } from '../../model/projection';
import { errorText } from '../error-text';
import { readEntity } from '../project/read-sources';
import { differing, foldSlowly, takeEvent, textOf, textsOf, type RowText } from '../project/refold';
import type { SampledEntity } from './sample';

export interface Audited {
  /** Login `reprise_read`. */
  readonly db: Pool;
  readonly model: Model;
  readonly projection: Projection;
  readonly consumer: string;
  readonly partitions: number;
}

/** What was looked at, and how it differs. Without a subject it could not be compared. */
export interface Compared {
  readonly subject?: Pick<Drift, 'consumer' | 'subject'>;
  readonly drift?: Drift;
}

const NOT_COMPARED: Compared = {};

export const entityConsumer = (type: string): string => `entity/${type}`;

/** The row of an entity, at its consumer's place. Events are read after the snapshot: below a place they never change. */
export async function compareRow(audited: Audited, entity: SampledEntity): Promise<Compared> {
  const { db, model, projection, consumer } = audited;
  const seen = await inSnapshot(db, (tx) => see(audited, tx, entity));
  if (!seen) return NOT_COMPARED;
  const { generation, table, before } = seen;
  const fold = { model, projection, table };
  const key = entity.entityId;
  return against({ consumer, subject: key, generation }, async () => {
    let row: ProjectionRow | null = null;
    for await (const stored of readEntity(db, { consumer, generation }, { ...entity, before })) {
      const event = takeEvent(fold, stored);
      if (event) row = await foldSlowly(db, fold, { key, row, event });
    }
    return describe(table, seen.there, await textOf(db, table, row));
  });
}

interface Seen {
  readonly generation: number;
  readonly table: ReadModelTable;
  /** Its events from here on are not in its row: not applied yet, or held back. */
  readonly before: number;
  readonly there: RowText | null;
}

/** Null: nothing is active here, or it is fed by other code. */
async function see(
  { projection, consumer, partitions }: Audited,
  tx: PoolClient,
  { entityType, entityId }: SampledEntity,
): Promise<Seen | null> {
  const { rows } = await tx.query<{ generation: number; table_name: string; before: number }>(
    `select g.generation, g.table_name, least(c.next_offset, k.from_offset) as before
     from reprise.generations g join reprise.checkpoints c using (consumer, generation)
     left join reprise.parked k on k.consumer = g.consumer and k.generation = g.generation
       and k.entity_type = $4::text and k.entity_id = $5::text
     where g.consumer = $1::text and g.status = 'active' and g.declared_version = $2::integer
       and c.partition = $3::smallint`,
    [consumer, projection.version, partitionOf(entityType, entityId, partitions), entityType, entityId],
  );
  const [active] = rows;
  if (!active) return null;
  const table = await describeTable(tx, active.table_name);
  const there = (await textsOf(tx, table, [entityId])).get(entityId) ?? null;
  return { generation: active.generation, table, before: active.before, there };
}

/** An entity's state against the fold of its events up to its own version, by the definition that it names. */
export async function compareState({ db, model }: Audited, { entityType, entityId }: SampledEntity): Promise<Compared> {
  const entity = model.entity(entityType);
  const { rows } = await db.query<{ version: number; definition: number; state: string }>(
    `select version, definition, state::text from reprise.entities
     where entity_type = $1::text and entity_id = $2::text`,
    [entityType, entityId],
  );
  const [row] = rows;
  if (!entity || (row && row.definition !== entity.version)) return NOT_COMPARED;
  return against({ consumer: entityConsumer(entityType), subject: entityId, generation: 0 }, async () => {
    if (!row) return 'missing';
    const folded = await readStateAt(db, model, entity, entityId, row.version);
    if (!folded) return `its version is ${row.version}, which its events do not reach`;
    const { rows: texts } = await db.query<{ state: string }>('select $1::jsonb::text as state', [
      JSON.stringify(folded.state),
    ]);
    return texts[0]?.state === row.state ? null : 'state';
  });
}

/** What its own code throws at makes a difference too; what only newer code knows makes none. */
export async function against(of: Omit<Drift, 'detail'>, compare: () => Promise<string | null>): Promise<Compared> {
  const subject = { consumer: of.consumer, subject: of.subject };
  try {
    const detail = await compare();
    return detail === null ? { subject } : { subject, drift: { ...of, detail } };
  } catch (error) {
    if (error instanceof BehindCode) return NOT_COMPARED;
    if (!isOfItsInput(error)) throw error;
    return { subject, drift: { ...of, detail: `cannot be folded: ${errorText(error)}` } };
  }
}

export function describe(table: ReadModelTable, there: RowText | null, right: RowText | null): string | null {
  if (there && right) {
    const columns = differing(table, there, right);
    return columns.length === 0 ? null : columns.join(', ');
  }
  if (right) return 'missing';
  return there ? 'not to be there' : null;
}

/** One moment for all that `read` asks. */
export const inSnapshot = <T>(db: Pool, read: (tx: PoolClient) => Promise<T>): Promise<T> =>
  withTransaction(db, async (tx) => {
    await tx.query('set transaction isolation level repeatable read, read only');
    return read(tx);
  });
