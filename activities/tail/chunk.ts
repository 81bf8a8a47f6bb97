import type { Pool, PoolClient } from 'pg';
import { kindOf } from '../../db/errors';
import { withTransaction } from '../../db/pool';
import type { LogConsumer, StandStill } from '../tail';
import { advance, lockPositions } from './checkpoints';
import { readAfter, type LogEvent } from './read-log';

/** One owner's time with a consumer. */
export interface Turn {
  readonly db: Pool;
  readonly consumer: LogConsumer;
  readonly epoch: number;
  readonly parkedMax: number;
}

/** The consumer's own code failed, or PostgreSQL refused what it made: the events are to blame, not the machinery. */
class ApplyFailed extends Error {}

export const isPoison = (error: unknown): boolean => error instanceof ApplyFailed;

/** Calls the consumer. Throws `ApplyFailed` for what another process, or another moment, would meet as well. */
export async function applyEvents(
  { consumer }: Turn,
  tx: PoolClient,
  events: readonly LogEvent[],
): Promise<readonly StandStill[]> {
  try {
    return await consumer.apply(tx, events);
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    const thrownByItself = typeof code !== 'string' && kindOf(cause) === 'bug';
    if (!thrownByItself && kindOf(cause) !== 'data') throw cause;
    throw new ApplyFailed(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/**
 * One transaction: lock the checkpoints, read what follows them, apply it, move them. Throws `Fenced` for a zombie.
 * True when a partition had more than fitted.
 */
export async function applyChunk(turn: Turn, partitions: readonly number[], eventsMax: number): Promise<boolean> {
  const { db, consumer, epoch } = turn;
  return withTransaction(db, async (tx) => {
    const positions = await lockPositions(tx, consumer, epoch, partitions);
    const each = Math.ceil(eventsMax / Math.max(1, positions.length));
    const { all, due, isCut } = await readAfter(tx, consumer, positions, each);
    const still = await applyEvents(turn, tx, due);
    await advance(tx, consumer, positions, all, still);
    return isCut;
  });
}
