import type { Pool, PoolClient } from 'pg';
import { withTransaction } from '../../db/pool';
import { describeTable } from '../../db/read-model-table';
import { partitionOf } from '../../model/partition';
import type { Model } from '../../model/model';
import type { Projection, ProjectionRow } from '../../model/projection';
import { projectionConsumer } from '../../workflows/names';
import { countSources, readEntity, readTaken } from './read-sources';
import { differing, foldSlowly, takeEvent, textOf, textsOf, type Fold, type RowText } from './refold';
import { writeRows } from './rows';

export interface RepairPorts {
  /** A pool logged in as `reprise_project`: it alone writes live read models. */
  readonly db: Pool;
  readonly model: Model;
  readonly projection: Projection;
  readonly partitions: number;
}

export interface Repaired {
  readonly projection: string;
  readonly generation: number;
  readonly key: string;
  readonly outcome: 'right' | 'made' | 'changed' | 'removed';
  /** As PostgreSQL writes them; null where there is no row. */
  readonly columns: readonly {
    readonly column: string;
    readonly before: string | null;
    readonly after: string | null;
  }[];
  /** Folded. */
  readonly events: number;
}

/** Not repaired, and nothing was written. */
export class RepairRefused extends Error {
  override readonly name = 'RepairRefused';

  constructor(
    readonly code: 'parked' | 'too_many' | 'shared_row' | 'not_shared' | 'other_version' | 'no_generation',
    message: string,
    readonly next: string,
  ) {
    super(message);
  }
}

interface EntityName {
  readonly entityType: string;
  readonly entityId: string;
}

// A consumer waits as long as a row is folded; its lock timeout is 10 s.
const HELD_MS_MAX = 8_000;
export const SOURCES_MAX = 100_000;

/**
 * Folds the row of one entity again, under the lock of its checkpoint: its consumer waits, takes no part and is not
 * fenced. Run again, it finds the row right.
 */
export async function repairEntity(ports: RepairPorts, { entityType, entityId }: EntityName): Promise<Repaired> {
  const { db, projection, partitions } = ports;
  if (!projection.oneEntityPerRow) throw await asShared(ports, { entityType, entityId });
  const partition = partitionOf(entityType, entityId, partitions);
  return withTransaction(db, async (tx) => {
    const live = await lockLive(tx, ports, [partition]);
    await refuseParked(tx, live, [{ entityType, entityId }]);
    const before = live.places.get(partition) ?? 1;
    const refolding = new Refolding(tx, live, entityId);
    for await (const stored of readEntity(tx, live, { entityType, entityId, before })) await refolding.take(stored);
    return put(tx, live, refolding);
  });
}

/** The same for a row that several entities feed: all that its projection ever took is read, under all its locks. */
export async function repairRow(ports: RepairPorts, key: string, sourcesMax = SOURCES_MAX): Promise<Repaired> {
  const { db, projection } = ports;
  if (projection.oneEntityPerRow) {
    throw new RepairRefused(
      'not_shared',
      `a row of '${projection.name}' is fed by one entity`,
      `Name that: ${projection.from[0]}/${key}`,
    );
  }
  if ((await countSources(db, projection.from, sourcesMax)) > sourcesMax) throw tooMany(projection, sourcesMax);
  return withTransaction(db, async (tx) => {
    const live = await lockLive(tx, ports, null);
    const refolding = new Refolding(tx, live, key);
    for (const [partition, before] of live.places) {
      const taken = { ...projection, consumer: live.consumer };
      for await (const stored of readTaken(tx, taken, { partition, before })) await refolding.take(stored);
    }
    await refuseParked(tx, live, refolding.sources);
    return put(tx, live, refolding);
  });
}

interface Live extends Fold {
  readonly consumer: string;
  readonly generation: number;
  /** Of each partition that is locked: the next offset. */
  readonly places: ReadonlyMap<number, number>;
}

async function lockLive(
  tx: PoolClient,
  { model, projection }: RepairPorts,
  partitions: readonly number[] | null,
): Promise<Live> {
  const consumer = projectionConsumer(projection.name);
  const { rows } = await tx.query<{ generation: number; partition: number; next_offset: number }>(
    `select c.generation, c.partition, c.next_offset
     from reprise.checkpoints c join reprise.generations g using (consumer, generation)
     where c.consumer = $1::text and g.status = 'active' and ($2::smallint[] is null or c.partition = any($2::smallint[]))
     order by c.partition for update of c`,
    [consumer, partitions],
  );
  // A statement of its own: while the locks were waited for another may have become the active one.
  const { rows: actives } = await tx.query<{ generation: number; declared_version: number; table_name: string }>(
    `select generation, declared_version, table_name from reprise.generations
     where consumer = $1::text and status = 'active'`,
    [consumer],
  );
  const [active] = actives;
  if (!active || rows.length === 0 || rows[0]?.generation !== active.generation) {
    throw new RepairRefused('no_generation', `'${projection.name}' was switched just now`, 'Try again.');
  }
  if (active.declared_version !== projection.version) {
    throw new RepairRefused(
      'other_version',
      `read.${projection.name} is of version ${active.declared_version}, and this code folds version ${projection.version}`,
      `Repair it with the code that feeds it, or build it again: 'reprise replay start ${projection.name}'.`,
    );
  }
  const table = await describeTable(tx, active.table_name);
  const places = new Map(rows.map(({ partition, next_offset }) => [partition, next_offset]));
  return { model, projection, table, consumer, generation: active.generation, places };
}

/** One row from its first event on. */
class Refolding {
  row: ProjectionRow | null = null;
  events = 0;
  private readonly fedBy = new Map<string, EntityName>();
  private readonly until = performance.now() + HELD_MS_MAX;

  constructor(
    private readonly tx: PoolClient,
    private readonly fold: Fold,
    readonly key: string,
  ) {}

  get sources(): readonly EntityName[] {
    return [...this.fedBy.values()];
  }

  async take(stored: Parameters<typeof takeEvent>[1]): Promise<void> {
    if (performance.now() > this.until) throw tooSlow(this.fold.projection);
    const event = takeEvent(this.fold, stored);
    if (!event || this.fold.projection.key(event) !== this.key) return;
    this.row = await foldSlowly(this.tx, this.fold, { key: this.key, row: this.row, event });
    this.events += 1;
    this.fedBy.set(`${event.entityType}/${event.entityId}`, event);
  }
}

/** What is held back from an entity is not in its row, and to fold it here would apply it twice. */
async function refuseParked(tx: PoolClient, { consumer, generation }: Live, entities: readonly EntityName[]) {
  const { rows } = await tx.query<{ entity: string; error: string }>(
    `select k.entity_type || '/' || k.entity_id as entity, k.error from reprise.parked k
     join unnest($3::text[], $4::text[]) as e (entity_type, entity_id) using (entity_type, entity_id)
     where k.consumer = $1::text and k.generation = $2::integer limit 1`,
    [consumer, generation, entities.map(({ entityType }) => entityType), entities.map(({ entityId }) => entityId)],
  );
  const [parked] = rows;
  if (!parked) return;
  throw new RepairRefused(
    'parked',
    `${parked.entity} is parked: ${parked.error}`,
    `First 'reprise parked redrive ${consumer} ${parked.entity}', or 'reprise parked skip' with a reason.`,
  );
}

async function put(tx: PoolClient, live: Live, { key, row, events }: Refolding): Promise<Repaired> {
  const { table, consumer, generation, projection } = live;
  const there = (await textsOf(tx, table, [key])).get(key) ?? null;
  const right = await textOf(tx, table, row);
  await tx.query('delete from reprise.drifts where consumer = $1::text and subject = $2::text', [consumer, key]);
  const columns = changesOf(live, there, right);
  if (columns.length > 0) await writeRows(tx, table, new Map([[key, row]]));
  return { projection: projection.name, generation, key, outcome: outcomeOf(columns, there, right), columns, events };
}

function changesOf({ table }: Fold, there: RowText | null, right: RowText | null): Repaired['columns'] {
  if (!there && !right) return [];
  const none = table.columns.map(() => null);
  const changed = there && right ? new Set(differing(table, there, right)) : null;
  return table.columns.flatMap(({ name }, nth) =>
    changed && !changed.has(name)
      ? []
      : [{ column: name, before: (there ?? none)[nth] ?? null, after: (right ?? none)[nth] ?? null }],
  );
}

function outcomeOf(columns: Repaired['columns'], there: RowText | null, right: RowText | null): Repaired['outcome'] {
  if (columns.length === 0) return 'right';
  if (!there) return 'made';
  return right ? 'changed' : 'removed';
}

const tooMany = ({ name }: Projection, max: number) =>
  new RepairRefused(
    'too_many',
    `a row of '${name}' may be fed by any of more than ${max} events, which is too long to lock it for`,
    `Build it again: 'reprise replay start ${name}'.`,
  );

const tooSlow = ({ name }: Projection) =>
  new RepairRefused(
    'too_many',
    `not folded within ${HELD_MS_MAX / 1_000} s, and longer its consumer may not wait`,
    `Build it again: 'reprise replay start ${name}'.`,
  );

// How many rows of an entity are named.
const KEYS_MAX = 5;

async function asShared({ db, model, projection }: RepairPorts, entity: EntityName): Promise<RepairRefused> {
  const keys = new Set<string>();
  const name = { consumer: projectionConsumer(projection.name), generation: 0 };
  for await (const stored of readEntity(db, name, { ...entity, before: Number.MAX_SAFE_INTEGER })) {
    const event = takeEvent({ model, projection }, stored);
    if (event) keys.add(projection.key(event));
    if (keys.size === KEYS_MAX) break;
  }
  return new RepairRefused(
    'shared_row',
    `a row of '${projection.name}' is fed by several entities`,
    keys.size === 0
      ? 'Name the row: --row <key>'
      : `Name the row: ${[...keys].map((key) => `--row ${key}`).join(', or ')}`,
  );
}
