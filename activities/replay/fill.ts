import { ApplicationFailure } from '@temporalio/activity';
import { describeTable } from '../../db/read-model-table';
import type { Model } from '../../model/model';
import type { Projection } from '../../model/projection';
import type { Build } from '../../workflows/replay';
import { makeProjector } from '../project';
import { takeOverSome } from '../tail/checkpoints';
import type { ReplayPorts } from '../replay';
import { Cancelled, Governor } from './governor';
import { fillGroup } from './group';

/** Of the partitions, those with this remainder. */
export interface Slice {
  readonly nth: number;
  readonly of: number;
}

// One lane's events are folded while the others' are read and written.
const LANES = 3;

/** Folds a slice of the log into the generation, up to the heads of now. Goes on at its checkpoints when it is run again. */
export async function fill(ports: ReplayPorts, build: Build, slice: Slice): Promise<'filled' | 'cancelled'> {
  const { db, model } = ports;
  const projection = await projectionOf(ports, build);
  const table = await describeTable(db, projection.tableName);
  const signal = ports.signal();
  const governor = new Governor(db, build, slice.of, signal, ports.heartbeat);
  const projector = makeProjector({ model, projection, generation: build.generation, table });
  const groups = await groupsOf(ports, build, projection, slice);
  const epoch = await takeOverSome(db, projector, groups.flat());
  const shared = { db, model, projection, table, projector, epoch, governor, signal, heartbeat: ports.heartbeat };
  try {
    await governor.open();
    await inLanes(groups, (partitions) => fillGroup(shared, partitions));
    return 'filled';
  } catch (error) {
    if (error instanceof Cancelled) return 'cancelled';
    throw error;
  } finally {
    await governor.close();
  }
}

/** Partitions that are folded with one cache: each by itself, or all of them where a row is fed by several entities. */
async function groupsOf(
  { db }: ReplayPorts,
  { consumer, generation }: Build,
  { oneEntityPerRow }: Projection,
  { nth, of }: Slice,
): Promise<number[][]> {
  const { rows } = await db.query<{ partition: number }>(
    `select partition from reprise.checkpoints c join reprise.partitions p using (partition)
     where c.consumer = $1::text and c.generation = $2::integer and c.next_offset <= p.head order by partition`,
    [consumer, generation],
  );
  const behind = rows.map(({ partition }) => partition);
  if (oneEntityPerRow) return behind.filter((partition) => partition % of === nth).map((partition) => [partition]);
  // One cache has one owner: the first slice fills it alone.
  return nth === 0 && behind.length > 0 ? [behind] : [];
}

async function inLanes(groups: readonly number[][], work: (group: readonly number[]) => Promise<void>): Promise<void> {
  const coming = groups.values();
  const failed: unknown[] = [];
  const lane = async () => {
    for (const group of coming) {
      if (failed.length > 0) return;
      await work(group).catch((error: unknown) => failed.push(error));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (failed.length > 0) throw failed[0];
}

/** The fold and the table of what is being built. */
export async function projectionOf(
  { db, model }: { readonly db: ReplayPorts['db']; readonly model: Model },
  { consumer, generation }: Build,
): Promise<Projection & { readonly tableName: string }> {
  const { rows } = await db.query<{ table_name: string; declared_version: number; status: string }>(
    `select table_name, declared_version, status from reprise.generations
     where consumer = $1::text and generation = $2::integer`,
    [consumer, generation],
  );
  const [row] = rows;
  const name = consumer.slice(consumer.indexOf('/') + 1);
  if (row?.status !== 'building') throw refused(`generation ${generation} of ${name} is not being built`);
  const projection = model.projection(name);
  if (projection?.version === row.declared_version) return { ...projection, tableName: row.table_name };
  // Another worker may have that code: this try ends, and the next one may run there.
  throw new Error(`generation ${generation} of ${name} is built by version ${row.declared_version}, which is not here`);
}

const refused = (message: string) => ApplicationFailure.create({ type: 'Refused', nonRetryable: true, message });
