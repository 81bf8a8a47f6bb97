import { describeTable } from '../../db/read-model-table';
import type { Projection } from '../../model/projection';
import type { Build } from '../../workflows/replay';
import { makeProjector } from '../project';
import { chunksOf } from '../tail';
import { takeOverSome } from '../tail/checkpoints';
import type { ReplayPorts } from '../replay';
import { readBuilt } from './generations';
import { Cancelled, Governor } from './governor';
import { fillGroup } from './group';

/** Of the partitions, those with this remainder. */
export interface Slice {
  readonly nth: number;
  readonly of: number;
}

// One lane's events are folded while the others' are read and written.
const LANES = 3;

// Each write is a transaction of some milliseconds, however little is in it.
const GROUP_EVENTS = 20_000;

/** Folds a slice of the log into the generation, up to where the active generation is. Goes on at its checkpoints when it is run again. */
export async function fill(ports: ReplayPorts, build: Build, slice: Slice): Promise<'filled' | 'cancelled'> {
  const { db, model } = ports;
  const { projection, tableName } = await readBuilt(ports, build);
  const table = await describeTable(db, tableName);
  const signal = ports.signal();
  const governor = new Governor(db, build, slice.of, signal, ports.heartbeat);
  const projector = makeProjector({ model, projection, generation: build.generation, table });
  const groups = await groupsOf(ports, build, projection, slice);
  const epoch = await takeOverSome(db, projector, groups.flat());
  const shared = { db, model, projection, table, projector, epoch, governor, signal, heartbeat: ports.heartbeat };
  try {
    await governor.open();
    await inLanes(governor.yields ? 1 : LANES, groups, (partitions) => fillGroup(shared, partitions));
    return 'filled';
  } catch (error) {
    if (error instanceof Cancelled) return 'cancelled';
    throw error;
  } finally {
    await governor.close();
  }
}

/** Partitions that are folded with one cache and written together: small ones share a transaction. */
async function groupsOf(
  { db }: ReplayPorts,
  { consumer, generation }: Build,
  { oneEntityPerRow }: Projection,
  { nth, of }: Slice,
): Promise<number[][]> {
  const { rows } = await db.query<{ partition: number; lag: number }>(
    `select partition, p.head + 1 - c.next_offset as lag
     from reprise.checkpoints c join reprise.partitions p using (partition)
     where c.consumer = $1::text and c.generation = $2::integer and c.next_offset <= p.head order by partition`,
    [consumer, generation],
  );
  const mine = rows.filter(({ partition }) => partition % of === nth);
  if (oneEntityPerRow) return chunksOf(mine, GROUP_EVENTS);
  // Where a row is fed by several entities, one cache has one owner: the first slice fills all of it.
  return nth === 0 && rows.length > 0 ? [rows.map(({ partition }) => partition)] : [];
}

async function inLanes(
  lanes: number,
  groups: readonly number[][],
  work: (group: readonly number[]) => Promise<void>,
): Promise<void> {
  const coming = groups.values();
  const failed: unknown[] = [];
  const lane = async () => {
    for (const group of coming) {
      if (failed.length > 0) return;
      await work(group).catch((error: unknown) => failed.push(error));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failed.length > 0) throw failed[0];
}
