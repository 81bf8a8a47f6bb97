import type { Pool } from 'pg';
import type { RecordedEvent } from '../../contracts/event';
import type { ConsumerName } from '../tail';
import { upToUnknown } from '../tail/behind-code';
import { applyWithCare } from '../tail/care';
import { beginTurn, endTurn, PARKED_MAX, readPositions, type Position } from '../tail/checkpoints';
import { NOT_WATCHED } from '../watch';
import { foldInto } from './fold-into';
import { nothingUnwritten, type Filling, type Group } from './filling';
import { readPart } from './read-part';
import { RowCache } from './row-cache';
import { readStanding } from './standing';
import { writeDown } from './write-down';

// A checkpoint is due after so many changed rows, events or milliseconds: fewer rewrites, against what a crash makes it do
// again. An event is a few hundred bytes where a partition has many; a stretch of larger ones is bounded where it is read.
const DUE_ROWS = 20_000;
const DUE_EVENTS = 60_000;
const DUE_MS = 5_000;

// As far as a process that died may be taken to have died of an event.
const DOUBT_EVENTS = 5_000;

/** Folds partitions from their checkpoints up to their heads of now. */
export async function fillGroup(filling: Filling, partitions: readonly number[]): Promise<void> {
  const { db, projector, epoch } = filling;
  const doubtful = await beginTurn(db, projector, epoch, partitions);
  try {
    const group = await openGroup(filling, doubtful);
    const heads = await readHeads(db, partitions);
    const positions = await readPositions(db, projector, epoch, partitions);
    if (positions.length < partitions.length) throw new Error(await whyItStands(db, projector));
    group.cache = new RowCache(positions.every(({ nextOffset }) => nextOffset === 1));
    for (const position of positions) await fillPartition(group, position, heads.get(position.partition) ?? 0);
    await writeDown(group);
  } finally {
    // An error that it lived to see leaves no doubt about any event.
    await endTurn(db, projector, epoch, partitions).catch(() => undefined);
  }
}

/** What an earlier owner may have died of is applied with care first. */
async function openGroup(filling: Filling, doubtful: readonly number[]): Promise<Group> {
  const { db, projector, epoch, signal, heartbeat } = filling;
  const turn = { db, consumer: projector, epoch, parkedMax: PARKED_MAX, signal, heartbeat, watch: NOT_WATCHED };
  await applyWithCare(turn, doubtful, DOUBT_EVENTS);
  signal.throwIfAborted();
  const standing = await readStanding(db, projector);
  return { ...filling, turn, standing, cache: new RowCache(false), unwritten: nothingUnwritten() };
}

async function fillPartition(group: Group, { partition, nextOffset }: Position, last: number): Promise<void> {
  const { db, model, governor, projector } = group;
  let at = nextOffset;
  for await (const stretch of readPart(db, { partition, next: nextOffset, last }, wantedOf(group))) {
    const { known, still } = upToUnknown(model, stretch.events, () => true);
    const [behind] = still;
    for (const step of stepsOf(known, { from: at, to: behind?.offset ?? stretch.next }, () => governor.step)) {
      await governor.pass(step.to - step.from);
      await foldInto(group, step.events);
      note(group, partition, step);
      if (isDue(group)) await writeDown(group);
      at = step.to;
    }
    if (!behind) continue;
    note(group, partition, { from: at, to: at });
    await writeDown(group, still);
    throw new Error(`${projector.consumer}, generation ${projector.generation}, stands still: ${behind.reason}`);
  }
}

interface Step {
  readonly events: readonly RecordedEvent[];
  readonly from: number;
  readonly to: number;
}

/** A stretch cut into what may go at once, which may change from step to step. */
function* stepsOf(
  events: readonly RecordedEvent[],
  { from, to }: { readonly from: number; readonly to: number },
  sizeOf: () => number | null,
): Generator<Step> {
  for (let at = from, nth = 0; at < to;) {
    const next = Math.min(to, at + (sizeOf() ?? to - at));
    const begin = nth;
    while ((events[nth]?.offset ?? Infinity) < next) nth += 1;
    yield { events: events.slice(begin, nth), from: at, to: next };
    at = next;
  }
}

function note({ unwritten }: Group, partition: number, { from, to }: { readonly from: number; readonly to: number }) {
  unwritten.strides.set(partition, { from: unwritten.strides.get(partition)?.from ?? from, to });
  unwritten.events += to - from;
}

/** Under a limit at every step: its checkpoints move as evenly as its events. */
function isDue({ governor, cache, unwritten }: Group): boolean {
  if (governor.step !== null || cache.changed >= DUE_ROWS || unwritten.events >= DUE_EVENTS) return true;
  return performance.now() - unwritten.since >= DUE_MS;
}

/** All of its entities but what this code knows and the projection does not take: what it does not know must be met. */
function wantedOf({ model, projection }: Filling) {
  const known = model.entities.filter(({ name }) => projection.from.includes(name)).flatMap(({ events }) => events);
  const notTaken = known.map(({ type }) => type).filter((type) => !projection.events.includes(type));
  return { entityTypes: projection.from, notTaken };
}

async function readHeads(db: Pool, partitions: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const { rows } = await db.query<{ partition: number; head: number }>(
    'select partition, head from reprise.partitions where partition = any($1::smallint[])',
    [partitions],
  );
  return new Map(rows.map(({ partition, head }) => [partition, head]));
}

export async function whyItStands(db: Pick<Pool, 'query'>, { consumer, generation }: ConsumerName): Promise<string> {
  const { rows } = await db.query<{ status: string; error: string | null }>(
    `select status, error from reprise.checkpoints
     where consumer = $1::text and generation = $2::integer and status <> 'running' limit 1`,
    [consumer, generation],
  );
  return `${consumer}, generation ${generation}, is ${rows[0]?.status ?? 'not there'}: ${rows[0]?.error ?? ''}`;
}
