import type { PoolClient } from 'pg';
import { describeTable, type ReadModelTable } from '../../db/read-model-table';
import type { ProjectionRow } from '../../model/projection';
import type { ReplayPorts } from '../replay';
import { countSources, readEntity, readTaken } from '../project/read-sources';
import { foldSlowly, takeEvent, textOf, textsOf, type Fold, type RowText } from '../project/refold';
import { against, describe, inSnapshot, type Audited, type Compared } from './audit-entity';
import type { SampledEntity } from './sample';

// Whoever feeds a row is known only once all is read. Beyond it a rehearsal is faster, and compares every row.
const SOURCES_MAX = 1_000_000;
const HEARTBEAT_EVENTS = 500;

/** Rows that the sampled entities feed, and those of `keys`: from all events that their projection took, in one pass. */
export async function compareSharedRows(
  ports: ReplayPorts,
  audited: Audited,
  entities: readonly SampledEntity[],
  known: readonly string[],
  sourcesMax = SOURCES_MAX,
): Promise<readonly Compared[]> {
  const { db, projection, consumer } = audited;
  const keys = [...new Set([...known, ...(await keysOf(ports, audited, entities))])];
  if (keys.length === 0) return [];
  if ((await countSources(db, projection.from, sourcesMax)) > sourcesMax) return keys.map(() => ({}));
  const seen = await inSnapshot(db, (tx) => see(audited, tx, keys));
  if (!seen) return keys.map(() => ({}));
  const rows = await foldThem(ports, audited, seen, new Set(keys));
  const { table, generation, there } = seen;
  return Promise.all(
    keys.map((key) =>
      against({ consumer, subject: key, generation }, async () => {
        const row = rows.get(key) ?? null;
        if (row instanceof Unfoldable) throw row.cause;
        return describe(table, there.get(key) ?? null, await textOf(db, table, row));
      }),
    ),
  );
}

/** An event that cannot be taken has no key: its entity is parked, and an audit of what is there passes it over. */
async function keysOf(ports: ReplayPorts, audited: Audited, entities: readonly SampledEntity[]): Promise<string[]> {
  const { db, projection, consumer } = audited;
  const keys: string[] = [];
  for (const entity of entities) {
    ports.signal().throwIfAborted();
    ports.heartbeat({ keysOf: entity.entityType });
    const before = Number.MAX_SAFE_INTEGER;
    for await (const stored of readEntity(db, { consumer, generation: 0 }, { ...entity, before })) {
      const event = attempt(() => takeEvent(audited, stored));
      const key = event && attempt(() => projection.key(event));
      if (key !== null) keys.push(key);
    }
  }
  return keys;
}

function attempt<T>(take: () => T): T | null {
  try {
    return take();
  } catch {
    return null;
  }
}

interface Seen {
  readonly generation: number;
  readonly table: ReadModelTable;
  readonly places: readonly { readonly partition: number; readonly before: number }[];
  /** From which offset on an entity is held back. */
  readonly held: ReadonlyMap<string, number>;
  readonly there: ReadonlyMap<string, RowText>;
}

async function see({ projection, consumer }: Audited, tx: PoolClient, keys: readonly string[]): Promise<Seen | null> {
  const { rows: actives } = await tx.query<{ generation: number; table_name: string }>(
    `select generation, table_name from reprise.generations
     where consumer = $1::text and status = 'active' and declared_version = $2::integer`,
    [consumer, projection.version],
  );
  const [active] = actives;
  if (!active) return null;
  const { generation } = active;
  const { rows: places } = await tx.query<Seen['places'][number]>(
    `select partition, next_offset as before from reprise.checkpoints
     where consumer = $1::text and generation = $2::integer order by partition`,
    [consumer, generation],
  );
  const { rows: held } = await tx.query<{ entity: string; from_offset: number }>(
    `select entity_type || '/' || entity_id as entity, from_offset from reprise.parked
     where consumer = $1::text and generation = $2::integer`,
    [consumer, generation],
  );
  const table = await describeTable(tx, active.table_name);
  const there = await textsOf(tx, table, keys);
  return { generation, table, places, held: new Map(held.map((row) => [row.entity, row.from_offset])), there };
}

/** A row whose fold threw. */
class Unfoldable {
  constructor(readonly cause: unknown) {}
}

async function foldThem(
  { heartbeat, signal }: ReplayPorts,
  { db, model, projection, consumer }: Audited,
  { table, places, held }: Seen,
  keys: ReadonlySet<string>,
): Promise<ReadonlyMap<string, ProjectionRow | Unfoldable | null>> {
  const rows = new Map<string, ProjectionRow | Unfoldable | null>();
  const fold: Fold = { model, projection, table };
  const stop = signal();
  let nth = 0;
  for (const place of places) {
    for await (const stored of readTaken(db, { ...projection, consumer }, place)) {
      if (nth++ % HEARTBEAT_EVENTS === 0) heartbeat({ events: nth });
      stop.throwIfAborted();
      if (stored.offset >= (held.get(`${stored.entityType}/${stored.entityId}`) ?? Infinity)) continue;
      const event = takeEvent(fold, stored);
      if (!event) continue;
      const key = projection.key(event);
      if (!keys.has(key)) continue;
      const row = rows.get(key) ?? null;
      if (row instanceof Unfoldable) continue;
      rows.set(key, await foldSlowly(db, fold, { key, row, event }).catch((cause: unknown) => new Unfoldable(cause)));
    }
  }
  return rows;
}
