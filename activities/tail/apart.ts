import type { PoolClient } from 'pg';
import { withTransaction } from '../../db/pool';
import { asPoison, park } from '../park';
import type { InsideConsumer, StandStill } from '../tail';
import { advance, lockPositions, stopWhenFull } from './checkpoints';
import { applyEvents, isPoison, type Turn } from './chunk';
import { readAfter, type LogEvent } from './read-log';

// Event by event, each with its savepoint: about a millisecond each under the checkpoints' locks.
const APART_EVENTS_MAX = 200;

/** What is applied event by event: the chunk that failed, so often. */
export interface FailedChunk {
  readonly partitions: readonly number[];
  readonly eventsMax: number;
  readonly attempts: number;
}

/** Applies a chunk event by event until one fails; parks the entities of those that do. True: there may be more. */
export async function applyApart(turn: Turn, chunk: FailedChunk): Promise<boolean> {
  const { consumer } = turn;
  if ('actOn' in consumer) throw new Error(`${consumer.consumer} parks what fails by itself`);
  for (let left = chunk.eventsMax; left > 0 && !turn.signal.aborted;) {
    turn.heartbeat({ apart: left });
    const { parked, read, applied } = await applySome({ ...turn, consumer }, { ...chunk, eventsMax: left });
    turn.watch.onApplied(applied);
    if (parked > 0 || read === 0) return parked > 0;
    left -= read;
  }
  return true;
}

async function applySome(
  turn: Turn<InsideConsumer>,
  { partitions, eventsMax, attempts }: FailedChunk,
): Promise<{ readonly parked: number; readonly read: number; readonly applied: number }> {
  const { db, consumer, epoch, parkedMax } = turn;
  return withTransaction(db, async (tx) => {
    const positions = await lockPositions(tx, consumer, epoch, partitions);
    const each = Math.ceil(Math.min(eventsMax, APART_EVENTS_MAX) / Math.max(1, positions.length));
    const { all, due } = await readAfter(tx, consumer, positions, each, turn.before);
    const still = new Map<number, StandStill>();
    const poisoned = new Set<string>();
    let applied = 0;
    for (const event of due) {
      const entity = `${event.entityType}/${event.entityId}`;
      if (poisoned.has(entity) || still.has(event.partition)) continue;
      const outcome = await tryOne(turn, tx, event);
      if (outcome.failure !== undefined) {
        poisoned.add(entity);
        await park(tx, asPoison(turn.consumer, event, outcome.failure, attempts));
      } else if (outcome.still.length === 0) applied += 1;
      for (const one of outcome.still) still.set(one.partition, one);
    }
    await advance(tx, turn, { positions, events: all, still: [...still.values()] });
    if (poisoned.size > 0) await stopWhenFull(tx, consumer, parkedMax);
    return { parked: poisoned.size, read: still.size > 0 ? 0 : all.length, applied };
  });
}

/** One event under a savepoint: what it wrote before it failed is undone, and what others wrote is not. */
export async function tryOne(
  { consumer }: Turn<InsideConsumer>,
  tx: PoolClient,
  event: LogEvent,
): Promise<{ readonly still: readonly StandStill[]; readonly failure?: unknown }> {
  await tx.query('savepoint one_event');
  try {
    const still = await applyEvents(consumer, tx, [event]);
    await tx.query('release savepoint one_event');
    return { still };
  } catch (failure) {
    if (!isPoison(failure)) throw failure;
    await tx.query('rollback to savepoint one_event');
    return { still: [], failure };
  }
}
