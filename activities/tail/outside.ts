import { withTransaction } from '../../db/pool';
import { inLines } from '../lines';
import { pause } from '../pause';
import { asPoison, park } from '../park';
import type { OutsideConsumer } from '../tail';
import { upToUnknown } from './behind-code';
import { advance, lockForDone, readPositions, stopWhenFull } from './checkpoints';
import type { Turn } from './chunk';
import { readPublishedAfter, type LogEvent, type PublishedEvent } from './read-log';

// 0.1, 0.2, 0.4, 0.8 s, each with up to as much jitter again.
const ATTEMPTS_MAX = 5;
const RETRY_MS = 100;

export interface Failure {
  readonly event: PublishedEvent;
  readonly error: unknown;
  readonly attempts: number;
}

/** What came of acting on events. */
export interface Acted {
  readonly done: readonly PublishedEvent[];
  readonly failed: readonly Failure[];
  /** Told to stop before them, or no room for them: they come again. */
  readonly left: readonly PublishedEvent[];
}

/** Acts first, then moves the checkpoints in a transaction that a zombie cannot end. A crash between repeats the chunk. */
export async function actOnChunk(
  turn: Turn<OutsideConsumer>,
  partitions: readonly number[],
  eventsMax: number,
): Promise<boolean> {
  const { db, consumer, epoch, parkedMax } = turn;
  const positions = await readPositions(db, consumer, epoch, partitions);
  const each = Math.ceil(eventsMax / Math.max(1, positions.length));
  const { all, due, isCut } = await readPublishedAfter(db, consumer, positions, each);
  const { known, still } = upToUnknown(consumer.model, due, consumer.concerns);
  const { done, failed, left } = await actInLines(turn, known, { redriven: false });
  await withTransaction(db, async (tx) => {
    await lockForDone(tx, consumer, epoch, partitions);
    for (const { event, error, attempts } of failed)
      await park(tx, { ...asPoison(consumer, event, error, attempts), earliest: true });
    // Where something is left the partition goes on from there, not from the event further on that newer code knows.
    const reached = still.filter((one) => !left.some(({ partition }) => partition === one.partition));
    await advance(tx, turn, { positions, events: before(left, all), still: reached });
    if (failed.length > 0) await stopWhenFull(tx, consumer, parkedMax);
  });
  turn.watch.onApplied(before(left, done).length); // what lies behind comes again
  return failed.length > 0 || isCut;
}

/** Entities side by side, each one's events in order; behind one that fails its entity's others are not acted on. */
export async function actInLines(
  turn: Turn<OutsideConsumer>,
  events: readonly PublishedEvent[],
  { redriven }: { readonly redriven: boolean },
): Promise<Acted> {
  const { consumer, signal } = turn;
  const done: PublishedEvent[] = [];
  const failed: Failure[] = [];
  const left: PublishedEvent[] = [];
  if (events.length > 0) await consumer.prepare?.(events, { redriven });
  const lines = inLines(events, ({ entityType, entityId }) => `${entityType}/${entityId}`).values();

  async function actOnLines(): Promise<void> {
    for (const line of lines) await actOnLine(line);
  }

  async function actOnLine(line: readonly PublishedEvent[]): Promise<void> {
    for (const [nth, event] of line.entries()) {
      const comesAgain = signal.aborted || consumer.room?.isLater(event);
      const outcome = comesAgain ? 'stopped' : await actPatiently(turn, event);
      turn.heartbeat({ partition: event.partition, offset: event.offset });
      if (outcome === 'stopped') return void left.push(...line.slice(nth));
      if (outcome !== 'done') return void failed.push({ event, ...outcome });
      done.push(event);
    }
  }

  // All of them settle before an error goes on: what is under way would else end behind our back.
  const ended = await Promise.allSettled(Array.from({ length: consumer.concurrency }, actOnLines));
  const broken = ended.find((one) => one.status === 'rejected');
  if (broken) throw broken.reason;
  return { done, failed, left };
}

async function actPatiently(
  { consumer, signal, watch }: Turn<OutsideConsumer>,
  event: PublishedEvent,
): Promise<'done' | 'stopped' | Omit<Failure, 'event'>> {
  for (let attempt = 1; ; attempt++) {
    watch.onTry(attempt > 1);
    try {
      await consumer.actOn(event);
      return 'done';
    } catch (error) {
      watch.onError();
      const verdict = consumer.blames(error);
      if (verdict === 'no') throw error;
      if (verdict === 'park' || attempt === ATTEMPTS_MAX) return { error, attempts: attempt };
      await pause(RETRY_MS * 2 ** (attempt - 1) * (1 + Math.random()), signal);
      if (signal.aborted) return 'stopped';
    }
  }
}

/** Of each partition the events before the first that is left. */
function before(left: readonly LogEvent[], all: readonly LogEvent[]): readonly LogEvent[] {
  const first = new Map<number, number>();
  for (const { partition, offset } of left) first.set(partition, Math.min(offset, first.get(partition) ?? offset));
  return all.filter(({ partition, offset }) => offset < (first.get(partition) ?? Infinity));
}
