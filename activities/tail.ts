import { setTimeout } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';
import type { WakeListener } from '../db/wake';
import { withTransaction } from '../db/pool';
import { advance, behind, lockPositions, takeOver, type Position } from './tail/checkpoints';
import { readAfter, type LogEvent } from './tail/read-log';

/** One consumer of the log: what it does with a chunk, inside the transaction that moves its checkpoint. */
export interface LogConsumer {
  readonly consumer: string;
  readonly generation: number;
  /**
   * Applies events, gapless per partition. Answers where it had to stand still: the partitions that hold an event only
   * newer code knows, with the offset of that event and the reason. What lies before it was applied.
   */
  readonly apply: (tx: PoolClient, events: readonly LogEvent[]) => Promise<readonly StandStill[]>;
}

export interface StandStill {
  readonly partition: number;
  readonly offset: number;
  readonly reason: string;
}

export interface TailPorts {
  readonly db: Pool;
  readonly wakes: WakeListener;
  readonly heartbeat: (details: unknown) => void;
  /** Aborted when the worker stops or the workflow is cancelled; the chunk under way is finished first. */
  readonly signal: AbortSignal;
}

const CHUNK_EVENTS_MAX = 5_000;

// What a wake-up missed is found by the next slow poll.
const SLOW_POLL_MS = 2_000;

// One pass costs seven round trips whatever it carries. At 90 events/s a pass per event took a sixth of a core.
const PASS_MS_MIN = 50;

// The activity ends its turn now and then, so that its workflow can continue as new and a deploy finds no old turn.
const TURN_MS = 60 * 60 * 1_000;

/** Tails the log for one consumer: take over, then chunk after chunk. A second run continues at the checkpoints. */
export async function tailLog(consumer: LogConsumer, ports: TailPorts): Promise<void> {
  const { db, wakes, heartbeat, signal } = ports;
  const epoch = await takeOver(db, consumer);
  const turnEnds = Date.now() + TURN_MS;
  while (!signal.aborted && Date.now() < turnEnds) {
    const startedAt = Date.now();
    const heard = wakes.heard();
    const positions = await behind(db, consumer);
    let more = false;
    for (const chunk of chunksOf(positions)) {
      heartbeat({ partitionsBehind: positions.length });
      if (signal.aborted) break;
      more = (await applyChunk(db, consumer, epoch, chunk)) || more;
    }
    heartbeat({ partitionsBehind: 0 });
    if (more) continue;
    await wakes.next(heard, SLOW_POLL_MS, signal);
    await pause(startedAt + PASS_MS_MIN - Date.now(), signal);
  }
}

/** Under load events gather for a moment; after a lull the first one passes at once. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await setTimeout(ms, undefined, { signal }).catch(() => undefined);
}

/** Partitions are packed together up to a chunk's size: little lag in many partitions is still one transaction. */
function chunksOf(positions: readonly (Position & { readonly lag: number })[]): number[][] {
  const chunks: number[][] = [];
  let room = 0;
  for (const { partition, lag } of positions) {
    if (room <= 0) {
      chunks.push([]);
      room = CHUNK_EVENTS_MAX;
    }
    chunks.at(-1)?.push(partition);
    room -= lag;
  }
  return chunks;
}

/**
 * One transaction: lock the checkpoints, read what follows them, apply it, move them. Throws `Fenced` for a zombie.
 * True when a partition had more than fitted.
 */
async function applyChunk(
  db: Pool,
  consumer: LogConsumer,
  epoch: number,
  partitions: readonly number[],
): Promise<boolean> {
  return withTransaction(db, async (tx) => {
    const positions = await lockPositions(tx, consumer, epoch, partitions);
    const eventsMax = Math.ceil(CHUNK_EVENTS_MAX / Math.max(1, positions.length));
    const events = await readAfter(tx, positions, eventsMax);
    const still = await consumer.apply(tx, events);
    await advance(tx, consumer, positions, events, still);
    return positions.some(({ partition, nextOffset }) =>
      events.some((event) => event.partition === partition && event.offset === nextOffset + eventsMax - 1),
    );
  });
}
