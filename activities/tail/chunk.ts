import type { Pool, PoolClient } from 'pg';
import { isOfItsInput } from '../../db/errors';
import { withTransaction } from '../../db/pool';
import { errorText } from '../error-text';
import type { InsideConsumer, LogConsumer, StandStill } from '../tail';
import type { ConsumerWatch } from '../watch';
import { advance, Fenced, lockPositions } from './checkpoints';
import { actOnChunk } from './outside';
import { readAfter, type LogEvent } from './read-log';

/** One owner's time with a consumer. */
export interface Turn<Consumer extends LogConsumer = LogConsumer> {
  readonly db: Pool;
  readonly consumer: Consumer;
  readonly epoch: number;
  readonly parkedMax: number;
  readonly signal: AbortSignal;
  /** To be called with each chunk, however it is applied: an owner that is silent for long is taken for dead. */
  readonly heartbeat: (details: unknown) => void;
  readonly watch: ConsumerWatch;
  /** An earlier owner may have died of these events: applying some of them does not yet clear the rest. */
  readonly inDoubt?: true;
  /** By partition, the offset that is not applied any more: as far as another generation is. Default: the head. */
  readonly before?: ReadonlyMap<number, number>;
}

/** The consumer's own code failed, or PostgreSQL refused what it made: the events are to blame, not the machinery. */
class ApplyFailed extends Error {}

export const isPoison = (error: unknown): boolean => error instanceof ApplyFailed;

/** Calls the consumer. Throws `ApplyFailed` for what another process, or another moment, would meet as well. */
export async function applyEvents(
  consumer: InsideConsumer,
  tx: PoolClient,
  events: readonly LogEvent[],
): Promise<readonly StandStill[]> {
  try {
    return await consumer.apply(tx, events);
  } catch (cause) {
    if (cause instanceof Fenced || !isOfItsInput(cause)) throw cause;
    throw new ApplyFailed(errorText(cause), { cause });
  }
}

/** The next events of these partitions, and their checkpoints past them. True when a partition had more than fitted. */
export async function applyChunk(turn: Turn, partitions: readonly number[], eventsMax: number): Promise<boolean> {
  const { consumer } = turn;
  return 'actOn' in consumer
    ? actOnChunk({ ...turn, consumer }, partitions, eventsMax)
    : applyInside({ ...turn, consumer }, partitions, eventsMax);
}

/** One transaction: lock the checkpoints, read what follows them, apply it, move them. Throws `Fenced` for a zombie. */
async function applyInside(
  turn: Turn<InsideConsumer>,
  partitions: readonly number[],
  eventsMax: number,
): Promise<boolean> {
  const { db, consumer, epoch, watch } = turn;
  const { more, applied } = await withTransaction(db, async (tx) => {
    const positions = await lockPositions(tx, consumer, epoch, partitions);
    const each = Math.ceil(eventsMax / Math.max(1, positions.length));
    const { all, due, isCut } = await readAfter(tx, consumer, positions, each, turn.before);
    const still = await applyEvents(consumer, tx, due);
    await advance(tx, turn, { positions, events: all, still });
    return { more: isCut, applied: countBefore(still, due) };
  });
  watch.onApplied(applied);
  return more;
}

/** Those that lie before where their partition had to stand still. */
function countBefore(still: readonly StandStill[], events: readonly LogEvent[]): number {
  if (still.length === 0) return events.length;
  const stops = new Map(still.map(({ partition, offset }) => [partition, offset]));
  return events.filter(({ partition, offset }) => offset < (stops.get(partition) ?? Infinity)).length;
}
