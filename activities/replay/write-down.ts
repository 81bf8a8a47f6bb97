import type { PoolClient } from 'pg';
import { isOfItsInput } from '../../db/errors';
import { withTransaction } from '../../db/pool';
import { asPoison, park } from '../park';
import type { StandStill } from '../tail';
import { advance, Fenced, lockPositions, readPositions, stopWhenFull } from '../tail/checkpoints';
import { applyOrPark } from '../tail/patience';
import { nothingUnwritten, type Group } from './filling';
import { RowCache } from './row-cache';
import { readStanding } from './standing';
import { writeBack } from './write-back';

const SLOW_EVENTS = 500;

/** Rows, parked entities and checkpoints, in one transaction. What PostgreSQL refuses goes the slow way, event by event. */
export async function writeDown(group: Group, still: readonly StandStill[] = []): Promise<void> {
  if (group.unwritten.strides.size === 0) return;
  try {
    await withTransaction(group.db, (tx) => writeAll(group, tx, still));
    group.cache.written();
  } catch (error) {
    if (!isOfItsInput(error)) throw error;
    await applySlowly(group);
    if (still.length > 0) await withTransaction(group.db, (tx) => standStill(group, tx, still));
  }
  group.unwritten = nothingUnwritten();
}

/** What lies before it has been applied the slow way. */
async function standStill({ projector, turn }: Group, tx: PoolClient, still: readonly StandStill[]): Promise<void> {
  const positions = await lockPositions(
    tx,
    projector,
    turn.epoch,
    still.map(({ partition }) => partition),
  );
  await advance(tx, turn, { positions, events: [], still });
}

async function writeAll(group: Group, tx: PoolClient, still: readonly StandStill[]): Promise<void> {
  const { projector, turn, unwritten, cache, table } = group;
  const partitions = [...unwritten.strides.keys()];
  const locked = await lockPositions(tx, projector, turn.epoch, partitions);
  const moved = locked.filter(({ partition, nextOffset }) => nextOffset !== unwritten.strides.get(partition)?.from);
  if (locked.length < partitions.length || moved.length > 0)
    throw new Fenced(
      `${projector.consumer}, generation ${projector.generation}: its checkpoints were moved or stopped`,
    );
  await writeBack(tx, table, cache.toWrite());
  for (const { event, error } of unwritten.poisoned) await park(tx, asPoison(projector, event, error, 1));
  const positions = [...unwritten.strides].map(([partition, { to }]) => ({ partition, nextOffset: to }));
  await advance(tx, turn, { positions, events: [], still });
  if (unwritten.poisoned.length > 0) await stopWhenFull(tx, projector, turn.parkedMax);
}

/** By the live side's own fold and write, which finds the event that is to blame and parks its entity. */
async function applySlowly(group: Group): Promise<void> {
  const { db, projector, turn, unwritten } = group;
  for (const [partition, { to }] of unwritten.strides) {
    for (;;) {
      const [at] = await readPositions(db, projector, turn.epoch, [partition]);
      if (!at || at.nextOffset >= to) break;
      await applyOrPark(turn, [partition], Math.min(SLOW_EVENTS, to - at.nextOffset));
      turn.signal.throwIfAborted();
    }
  }
  group.cache = new RowCache(false);
  group.standing = await readStanding(db, projector);
}
