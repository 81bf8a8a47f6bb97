import { describeTable } from '../../db/read-model-table';
import type { Build } from '../../workflows/replay';
import { makeProjector } from '../project';
import type { ReplayPorts } from '../replay';
import { takeOverSome } from '../tail/checkpoints';
import { chosenPages, countFirsts, namedIn, type Choice } from './chosen';
import { copyRows } from './copy';
import { readBuilt } from './generations';
import { foldAgain } from './fold-again';
import { Cancelled, Governor } from './governor';
import { readPart, type Part } from './part';
import { readParked, readSkipped } from './standing';
import { writeAgain } from './write-again';

// Rows kept in memory at a time, and what a crash makes it fold again.
const PAGE_ENTITIES = 500;

/** Copies the active generation and folds the chosen entities again. Goes on where it was when it is run again. */
export async function refold(ports: ReplayPorts, build: Build): Promise<'refolded' | 'cancelled'> {
  const { db, model } = ports;
  const standing = await readPart(db, build);
  if (!standing) return 'refolded';
  const { projection, tableName } = await readBuilt(ports, build);
  const table = await describeTable(db, tableName);
  const signal = ports.signal();
  const governor = new Governor(db, build, 1, signal, ports.heartbeat, 'here');
  const projector = makeProjector({ model, projection, generation: build.generation, table });
  const epoch = await takeOverSome(db, projector, [...standing.to.keys()]);
  const part = { db, build, model, projection, table, projector, epoch, governor, signal, heartbeat: ports.heartbeat };
  try {
    await governor.open();
    if (!standing.walkFrom) await copyRows(part, standing);
    await foldChosen(part);
    return 'refolded';
  } catch (error) {
    if (error instanceof Cancelled) return 'cancelled';
    throw error;
  } finally {
    await governor.close();
  }
}

async function foldChosen(part: Part): Promise<void> {
  const { db, build, projection, projector } = part;
  const standing = await readPart(db, build);
  if (!standing?.walkFrom) throw new Error(`generation ${build.generation} of ${build.consumer} is not copied`);
  const { selection, walkFrom: from, to, place: start } = standing;
  const choice = { entityTypes: projection.from, named: namedIn(selection), from, to };
  const parked = await readParked(db, projector);
  if (standing.total === null) await count(part, choice, parked.length);
  const where = { to, skipped: await readSkipped(db, projector) };
  for await (const { entities, next } of chosenPages(db, { choice, parked, start }, () => pageSize(part))) {
    await writeAgain(part, await foldAgain(part, entities, where), next, where);
  }
}

/** Under a limit pages are small: what is written moves as evenly as what is folded. */
const pageSize = ({ governor }: Part): number => Math.min(PAGE_ENTITIES, governor.step ?? PAGE_ENTITIES);

/** For its progress; who is met twice is counted twice. */
async function count({ db, build, governor }: Part, choice: Choice, parked: number): Promise<void> {
  const found = await countFirsts(db, choice, Number.MAX_SAFE_INTEGER, () => governor.pass(0));
  await db.query(
    'update reprise.replays set entities_total = $3::bigint where consumer = $1::text and generation = $2::integer',
    [build.consumer, build.generation, parked + choice.named.length + found],
  );
}
