import type { Pool, PoolClient } from 'pg';
import type { WakeListener } from '../db/wake';
import type { Model } from '../model/model';
import { pause } from './pause';
import { applyOrPark } from './tail/patience';
import { applyWithCare } from './tail/care';
import { behind, endTurn, PARKED_MAX, takeOver, type Position } from './tail/checkpoints';
import type { Turn } from './tail/chunk';
import type { LogEvent, PublishedEvent } from './tail/read-log';
import { redriveParked } from './tail/redrive';
import { notStanding, roomOf } from './tail/room';
import { NOT_WATCHED, type ConsumerWatch } from './watch';

/** Who reads the log, and into which build of what; generation 0 for what builds nothing. */
export interface ConsumerName {
  readonly consumer: string;
  readonly generation: number;
}

/** A consumer whose work is in PostgreSQL, inside the transaction that moves its checkpoint: done once. */
export interface InsideConsumer extends ConsumerName {
  /** Entity types whose events it folds: others only move its checkpoint. */
  readonly entityTypes: readonly string[];
  /**
   * Applies events, gapless per partition. Answers where it had to stand still: the partitions that hold an event only
   * newer code knows, with the offset of that event and the reason. What lies before it was applied.
   */
  readonly apply: (tx: PoolClient, events: readonly LogEvent[]) => Promise<readonly StandStill[]>;
}

/** A consumer whose work is elsewhere: done before its checkpoint moves, so at least once, in order per entity. */
export interface OutsideConsumer extends ConsumerName {
  readonly model: Model;
  /** Others are passed over. */
  readonly concerns: (event: PublishedEvent) => boolean;
  /** What must be known of all of them before the first is acted on. */
  readonly prepare?: (events: readonly PublishedEvent[], how: { readonly redriven: boolean }) => Promise<void>;
  readonly actOn: (event: PublishedEvent) => Promise<void>;
  /** Whether the event is to blame for this error: tried again and then parked, parked at once, or not: the turn ends. */
  readonly blames: (error: unknown) => 'retry' | 'park' | 'no';
  /** Entities at the same time. */
  readonly concurrency: number;
  readonly chunkEvents: number;
  /** Of one that may not do everything at once. Default: it may. */
  readonly room?: Room;
}

/** What a consumer may still do now. */
export interface Room {
  /** Whether an event must wait for room: it comes again, and what follows it of its entity. Known when it was prepared. */
  readonly isLater: (event: PublishedEvent) => boolean;
  /** Partitions whose next event waits. They are not read until there is room. */
  readonly standing: ReadonlySet<number>;
  /** Looks again. True: there is room, and nothing stands any more. */
  readonly look: () => Promise<boolean>;
  /** When to look next. */
  readonly pollMs: () => number;
}

export type LogConsumer = InsideConsumer | OutsideConsumer;

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
  /** More parked entities than this stop the whole consumer. Default 100. */
  readonly parkedMax?: number | undefined;
  readonly watch?: ConsumerWatch;
}

export const CHUNK_EVENTS = 5_000;

// What a wake-up missed is found by the next slow poll.
const SLOW_POLL_MS = 2_000;

// One pass costs seven round trips whatever it carries. At 90 events/s a pass per event took a sixth of a core.
const PASS_MS_MIN = 50;

// News of others only moves a checkpoint, and nobody waits for that.
const PASS_MS_MIN_FOR_OTHERS = 250;

// The activity ends its turn now and then, so that its workflow can continue as new and a deploy finds no old turn.
const TURN_MS = 60 * 60 * 1_000;

/** Tails the log for one consumer: take over, then chunk after chunk. A second run continues at the checkpoints. */
export async function tailLog(consumer: LogConsumer, ports: TailPorts): Promise<void> {
  const { db, signal, heartbeat, parkedMax = PARKED_MAX, watch = NOT_WATCHED } = ports;
  const { epoch, doubtful } = await takeOver(db, consumer);
  const turn: Turn = { db, consumer, epoch, parkedMax, signal, heartbeat, watch };
  try {
    await applyWithCare(turn, doubtful, chunkEventsOf(consumer));
    await tailUntilOver(turn, ports);
  } finally {
    await endTurn(db, consumer, epoch).catch(() => undefined);
  }
}

async function tailUntilOver(turn: Turn, { wakes, heartbeat, signal }: TailPorts): Promise<void> {
  const turnEnds = Date.now() + TURN_MS;
  const chunkEvents = chunkEventsOf(turn.consumer);
  const own = 'entityTypes' in turn.consumer ? turn.consumer.entityTypes : undefined;
  while (!signal.aborted && Date.now() < turnEnds) {
    const startedAt = Date.now();
    const heard = wakes.heard();
    const heardOwn = wakes.heard(own);
    const { positions: all, redrive } = await behind(turn.db, turn.consumer);
    const positions = await notStanding(turn.consumer, all);
    let more = redrive ? await redriveParked(turn) : false;
    for (const chunk of chunksOf(positions, chunkEvents)) {
      heartbeat({ partitionsBehind: positions.length });
      if (signal.aborted) break;
      more = (await applyOrPark(turn, chunk, chunkEvents)) || more;
    }
    heartbeat({ partitionsBehind: 0 });
    if (more) continue;
    const room = roomOf(turn.consumer);
    await wakes.next(heard, room?.standing.size ? room.pollMs() : SLOW_POLL_MS, signal);
    await wakes.next(heardOwn, startedAt + PASS_MS_MIN_FOR_OTHERS - Date.now(), signal, own);
    await pause(startedAt + PASS_MS_MIN - Date.now(), signal);
  }
}

const chunkEventsOf = (consumer: LogConsumer): number => ('actOn' in consumer ? consumer.chunkEvents : CHUNK_EVENTS);

/** Partitions are packed together up to a chunk's size: little lag in many partitions is still one transaction. */
export function chunksOf(
  positions: readonly (Pick<Position, 'partition'> & { readonly lag: number })[],
  chunkEvents: number,
): number[][] {
  const chunks: number[][] = [];
  let room = 0;
  for (const { partition, lag } of positions) {
    if (room <= 0) {
      chunks.push([]);
      room = chunkEvents;
    }
    chunks.at(-1)?.push(partition);
    room -= lag;
  }
  return chunks;
}
